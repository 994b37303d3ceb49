//! One job from its begin to its end: ask for the pod, copy the helper if need be.
//!
//! A [`Job`] enters, an [`Outcome`] and a sentence for the log leave. It may take as long as the job
//! allows, and blocks.
//!
//! The helper is 4 MB: whether it is there already is asked first, by running it, and the node is
//! only asked for when it is not. The archive is read by the container's own `tar`.

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
    let path = place.path();
    if container
        .has_helper(&path)
        .map_err(Stopped::at(Reason::CopyFailed))?
        != Ending::Success
    {
        let helper = container.helper()?;
        container
            .copy(helper, &place, &path)
            .map_err(Stopped::at(Reason::CopyFailed))?;
    }
    Ok(path)
}

/// Whether this can be the name of an object, which stands in a path as it is.
fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    !name.is_empty()
        && name.len() <= 253
        && !name.starts_with('.')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

/// Where the helper goes: a directory that is there, and a name below it. `tar` makes the
/// directories of the name.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    directory: String,
    name: String,
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
                name: NAME.to_owned(),
            },
            (true, true) => Place {
                directory: VOLUME.to_owned(),
                name: NAME.to_owned(),
            },
            (true, false) => Place {
                directory: VOLUME.to_owned(),
                name: format!("{below}/{NAME}"),
            },
        })
    }

    fn path(&self) -> String {
        format!("{}/{}", self.directory.trim_end_matches('/'), self.name)
    }
}

/// A container that commands are run in.
struct Container<'a> {
    cluster: &'a Cluster,
    job: &'a Job,
    target: &'a Target,
}

impl Container<'_> {
    /// Whether the helper is there and can be run.
    fn has_helper(&self, path: &str) -> Result<Ending, Error> {
        self.start(&[path, "health"], false)?.finish()
    }

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

    fn copy(&self, helper: Helper, place: &Place, path: &str) -> Result<(), Error> {
        let command = ["tar", "-xmf", "-", "-C", place.directory.as_str()];
        let mut session = self.start(&command, true)?;
        helper.pack(&place.name, &mut |piece| session.write(piece))?;
        session.end_input()?;
        let tries = match session.finish() {
            Ok(Ending::Success) => 1,
            Ok(Ending::Failure) => return Err(Error::Command("tar")),
            // Older servers end a command's input by forgetting about it.
            Ok(Ending::Unknown) | Err(Error::Connection(_)) => TRIES,
            Err(error) => return Err(error),
        };
        for turn in 0..tries {
            if turn > 0 {
                std::thread::sleep(PAUSE);
            }
            if self.has_helper(path)? == Ending::Success {
                return Ok(());
            }
        }
        Err(Error::Command("the helper"))
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
            let got = place.map(|place| (place.directory.clone(), place.path()));
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
