//! One job from its begin to its end: ask for the pod, copy the helper if need be.
//!
//! A [`Job`] enters, an [`Outcome`] and a sentence for the log leave. It may take as long as the job
//! allows, and blocks.
//!
//! The helper is copied each time, although it is 4 MB: what lies there already may be somebody
//! else's program, and the user's command would go through it. The archive is read by the
//! container's own `tar`, under a name that nobody can guess; then the file gets its real one at
//! once, so that two copies at a time are no trouble.

use std::time::{Duration, Instant};

use super::archive::{Helper, NAME};
use super::cluster::{self, Cluster};
use super::exec::{Ending, Session};
use super::pod::{self, Target, VOLUME};
use super::Error;
use crate::kube::job::{Job, Mode, Outcome};
use crate::kube::reason::Reason;

/// The longest that a job may take, whatever was configured; the API server itself waits half of it.
pub const LONGEST: Duration = Duration::from_secs(60);
/// How often the helper is run after a copy whose end the server could not tell.
const TRIES: u32 = 5;
/// Pause between those.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a job came to nothing: the label of a counter, and a sentence unless the label says it all.
struct Stopped(Reason, Option<Error>);

impl Stopped {
    fn at(reason: Reason) -> impl FnOnce(Error) -> Stopped {
        move |error| Stopped(reason, Some(error))
    }
}

/// Does a job; the sentence is empty when there is nothing to say.
pub fn prepare(job: &Job) -> (Outcome, String) {
    match attempt(job) {
        Ok(path) => (Outcome::Ready { path }, String::new()),
        Err(Stopped(reason, error)) => {
            let sentence = error.map(|error| error.to_string());
            (Outcome::Skip(reason), sentence.unwrap_or_default())
        }
    }
}

fn attempt(job: &Job) -> Result<String, Stopped> {
    let describe = |error| Stopped(Reason::DescribePod, Some(error));
    if !is_name(&job.namespace) || !is_name(&job.pod) {
        let error = Error::Unusable("the namespace or the pod has an impossible name");
        return Err(describe(error));
    }
    let cluster = Cluster::find(Instant::now() + job.timeout.min(LONGEST)).map_err(describe)?;
    let path = format!("/api/v1/namespaces/{}/pods/{}", job.namespace, job.pod);
    let pod = cluster.get(&path).map_err(describe)?;
    let target = pod::judge(&pod, job).map_err(|reason| Stopped(reason, None))?;
    let place = match &job.mode {
        Mode::InitContainer => return Ok(format!("{VOLUME}/{NAME}")),
        Mode::RemoteCopy {
            directory,
            mount_volume,
        } => Place::new(directory, *mount_volume).map_err(Stopped::at(Reason::CopyFailed))?,
    };
    let container = Container {
        cluster: &cluster,
        job,
        target: &target,
    };
    let helper = container.helper()?;
    let copied = container.copy(helper, &place);
    copied.map_err(Stopped::at(Reason::CopyFailed))?;
    Ok(place.path(NAME))
}

/// Whether this can be the name of an object, which stands in a path as it is.
fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    !name.is_empty()
        && name.len() <= 253
        && !name.starts_with('.')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

/// Where the helper goes: a directory that is there, and what is below it, which `tar` makes and
/// which ends with a slash unless it is empty.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    directory: String,
    below: String,
}

impl Place {
    fn new(directory: &str, mount_volume: bool) -> Result<Place, Error> {
        let below: Vec<&str> = directory
            .split('/')
            .filter(|part| !part.is_empty())
            .collect();
        let is_odd = |part: &&str| matches!(*part, "." | "..") || part.contains(char::is_control);
        if !directory.starts_with('/') || below.iter().any(is_odd) {
            return Err(Error::Unusable(
                "admission_controller.cws_instrumentation.remote_copy.directory must be an \
                 absolute path",
            ));
        }
        let below = below.join("/");
        Ok(match (mount_volume, below.is_empty()) {
            (false, _) => Place {
                directory: format!("/{below}"),
                below: String::new(),
            },
            (true, true) => Place {
                directory: VOLUME.to_owned(),
                below,
            },
            (true, false) => Place {
                directory: VOLUME.to_owned(),
                below: below + "/",
            },
        })
    }

    /// A file below the directory.
    fn name(&self, file: &str) -> String {
        format!("{}{file}", self.below)
    }

    fn path(&self, file: &str) -> String {
        format!(
            "{}/{}",
            self.directory.trim_end_matches('/'),
            self.name(file)
        )
    }
}

/// A container that commands are run in.
struct Container<'a> {
    cluster: &'a Cluster,
    job: &'a Job,
    target: &'a Target,
}

impl Container<'_> {
    /// The helper for the machine that the container runs on.
    fn helper(&self) -> Result<Helper, Stopped> {
        let missing = |error| Stopped(Reason::MissingArchitecture, error);
        let node = &self.target.node;
        if !is_name(node) {
            return Err(missing(None));
        }
        let node = self.cluster.get(&format!("/api/v1/nodes/{node}"));
        let node = node.map_err(|error| missing(Some(error)))?;
        let architecture = pod::architecture(&node).ok_or_else(|| missing(None))?;
        Helper::find(&cluster::helpers(), architecture).map_err(Stopped::at(Reason::CopyFailed))
    }

    fn copy(&self, helper: Helper, place: &Place) -> Result<(), Error> {
        let mut random = [0; 8];
        self.cluster.randomize(&mut random)?;
        let hidden = format!(".{NAME}.{:016x}", u64::from_ne_bytes(random));
        let (new, path) = (place.path(&hidden), place.path(NAME));
        let copied = self
            .unpack(helper, place, &hidden)
            .and_then(|()| self.run(&["mv", "-f", &new, &path], "mv"));
        if copied.is_err() {
            // It would stay there with every attempt.
            let _ = self.run(&["rm", "-f", &new], "rm");
            return copied;
        }
        self.run(&[&path, "health"], "the helper")
    }

    /// Copies the helper under this name.
    fn unpack(&self, helper: Helper, place: &Place, hidden: &str) -> Result<(), Error> {
        let command = ["tar", "-xmf", "-", "-C", place.directory.as_str()];
        let mut session = self.start(&command, true)?;
        helper.pack(&place.name(hidden), &mut |piece| session.write(piece))?;
        session.end_input()?;
        match session.finish() {
            Ok(Ending::Success) => Ok(()),
            Ok(Ending::Failure) => Err(Error::Command("tar")),
            // Older servers end a command's input by forgetting about it. A file that is still
            // being written cannot be run.
            Ok(Ending::Unknown) | Err(Error::Connection(_)) => {
                let health = [&place.path(hidden), "health"];
                let mut result = self.run(&health, "tar");
                for _ in 1..TRIES {
                    if result != Err(Error::Command("tar")) {
                        break;
                    }
                    std::thread::sleep(PAUSE);
                    result = self.run(&health, "tar");
                }
                result
            }
            Err(error) => Err(error),
        }
    }

    /// Runs a command to its good end; `what` failed otherwise.
    fn run(&self, command: &[&str], what: &'static str) -> Result<(), Error> {
        match self.start(command, false)?.finish()? {
            Ending::Success => Ok(()),
            Ending::Failure | Ending::Unknown => Err(Error::Command(what)),
        }
    }

    fn start(&self, command: &[&str], has_input: bool) -> Result<Session<'_>, Error> {
        let container = &self.target.container;
        Session::start(self.cluster, self.job, container, command, has_input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_helper_goes_where_it_was_configured() {
        let cases = [
            ("/tmp", false, Some(("/tmp", "/tmp/cws-instrumentation"))),
            ("/tmp/", false, Some(("/tmp", "/tmp/cws-instrumentation"))),
            ("/", false, Some(("/", "/cws-instrumentation"))),
            ("//a//b", false, Some(("/a/b", "/a/b/cws-instrumentation"))),
            (
                "/tmp",
                true,
                Some((
                    VOLUME,
                    "/datadog-cws-instrumentation/tmp/cws-instrumentation",
                )),
            ),
            (
                "/",
                true,
                Some((VOLUME, "/datadog-cws-instrumentation/cws-instrumentation")),
            ),
            ("", false, None),
            ("tmp", false, None),
            ("--to-command=sh", false, None),
            ("/tmp/../etc", false, None),
            ("/./x", true, None),
            ("/a\nb", false, None),
        ];
        for (directory, mount_volume, expected) in cases {
            let place = Place::new(directory, mount_volume).ok();
            let got = place.map(|place| (place.directory.clone(), place.path(NAME)));
            let expected = expected.map(|(one, path)| (one.to_owned(), path.to_owned()));
            assert_eq!(got, expected, "{directory} {mount_volume}");
        }
    }

    #[test]
    fn names_that_could_be_paths_are_refused() {
        for name in ["web-0", "a", "kube-system", "ip-10-0-0-1.ec2.internal", "A"] {
            assert!(is_name(name), "{name}");
        }
        let long = "x".repeat(254);
        for name in ["", ".", "..", "a/b", "a?b", "a b", "a%2f", "\u{fc}", &long] {
            assert!(!is_name(name), "{name}");
        }
    }
}
