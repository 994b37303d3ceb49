//! What the configuration says of the webhook, checked.
//!
//! Settings enter, [`Options`] leave, with sentences about what was not understood. Whatever could
//! make a pod invalid or keep it from starting switches instrumentation off instead, because a
//! request that is left alone harms nobody.

use std::time::Duration;

use serde_json::{json, Value};

use super::filter::Filter;
use super::{EXECUTABLE, MOUNT};
use crate::config::{keys, Settings};
use crate::kube::job::Mode;
use crate::sys::files::read_limited;

/// Where a pod finds the namespace that it is in.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// Bytes of that file that are read; a namespace has 63 at most.
const LONGEST_NAMESPACE: usize = 64;
const DEFAULT_NAMESPACE: &str = "default";
/// What an API server waits for a webhook at most, and what is too short to answer anything.
const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// How reviews are judged.
#[derive(Clone, Debug)]
pub struct Options {
    /// Why nothing is instrumented, as a sentence; `None` when it is.
    pub off: Option<String>,
    /// Path of the webhook for pods.
    pub pod_endpoint: String,
    /// Path of the webhook for commands.
    pub command_endpoint: String,
    /// Where the helper comes from; `None` when the configured mode is unknown.
    pub mode: Option<Mode>,
    /// Image of the init container.
    pub image: String,
    /// Resources of the init container; null for none.
    pub resources: Value,
    /// Which namespaces and pods are left alone.
    pub filter: Filter,
    /// Whether pods without the label are instrumented, too.
    pub mutate_unlabelled: bool,
    /// How long an API server waits for an answer.
    pub timeout: Duration,
    /// The user that this webhook is itself in the cluster; empty when it is not known.
    pub own_user: String,
}

impl Options {
    /// What these settings say, and sentences about what in them is not understood.
    pub fn new(settings: &Settings) -> (Options, Vec<String>) {
        let mut complaints = Vec::new();
        let filter = Filter::new(
            settings.list(&keys::ADMISSION_INCLUDE),
            settings.list(&keys::ADMISSION_EXCLUDE),
            &mut complaints,
        );
        let (shortest, longest) = TIMEOUTS;
        let mut options = Options {
            off: None,
            pod_endpoint: settings.text(&keys::ADMISSION_POD_ENDPOINT).to_owned(),
            command_endpoint: settings.text(&keys::ADMISSION_COMMAND_ENDPOINT).to_owned(),
            mode: mode(settings),
            image: image(settings),
            resources: resources(settings, &mut complaints),
            filter,
            mutate_unlabelled: settings.flag(&keys::ADMISSION_MUTATE_UNLABELLED),
            timeout: settings
                .duration(&keys::ADMISSION_TIMEOUT)
                .clamp(shortest, longest),
            own_user: own_user(settings),
        };
        options.off = options.obstacle(settings);
        (options, complaints)
    }

    /// The path of the helper in an instrumented container.
    pub fn helper(&self) -> Option<String> {
        Some(match self.mode.as_ref()? {
            Mode::InitContainer => format!("{MOUNT}/{EXECUTABLE}"),
            Mode::RemoteCopy {
                directory,
                mount_volume: false,
            } => format!("{directory}/{EXECUTABLE}"),
            Mode::RemoteCopy { directory, .. } => format!("{MOUNT}{directory}/{EXECUTABLE}"),
        })
    }

    /// Why nothing can be instrumented.
    fn obstacle(&self, settings: &Settings) -> Option<String> {
        let enabled = &keys::ADMISSION_ENABLED;
        let said = |key: &keys::Key, why: &str| Some(format!("{} {why}", key.name));
        if !settings.flag(enabled) {
            let source = settings.source(enabled);
            return Some(format!(
                "{} is not true ({source}); set it to true to instrument sessions",
                enabled.name
            ));
        }
        if settings.text(&keys::ADMISSION_IMAGE_NAME).is_empty() {
            return said(&keys::ADMISSION_IMAGE_NAME, "is empty; name an image");
        }
        match &self.mode {
            Some(Mode::InitContainer) if !is_image(&self.image) => said(
                &keys::ADMISSION_IMAGE_NAME,
                "gives, with its registry and tag, no name of an image; correct it",
            ),
            Some(Mode::RemoteCopy { directory, .. }) if !is_directory(directory) => said(
                &keys::ADMISSION_REMOTE_COPY_DIRECTORY,
                "is no absolute path; correct it",
            ),
            Some(Mode::RemoteCopy { .. }) if self.own_user.is_empty() => said(
                &keys::CLUSTER_AGENT_SERVICE_ACCOUNT_NAME,
                "is empty, so that copies of the helper could not be told from sessions of users; \
                 set it to this pod's service account",
            ),
            _ => None,
        }
    }
}

fn mode(settings: &Settings) -> Option<Mode> {
    let directory = settings.text(&keys::ADMISSION_REMOTE_COPY_DIRECTORY);
    match settings.text(&keys::ADMISSION_MODE) {
        "init_container" => Some(Mode::InitContainer),
        "remote_copy" => Some(Mode::RemoteCopy {
            directory: directory.trim_end_matches('/').to_owned(),
            mount_volume: settings.flag(&keys::ADMISSION_REMOTE_COPY_MOUNT_VOLUME),
        }),
        _ => None,
    }
}

/// `registry/name:tag`, or `registry/name@sha256:…` when the tag is a digest.
fn image(settings: &Settings) -> String {
    let registry = settings.text(&keys::ADMISSION_CONTAINER_REGISTRY);
    let mut image = String::new();
    if !registry.is_empty() {
        image.push_str(registry.trim_end_matches('/'));
        image.push('/');
    }
    image.push_str(settings.text(&keys::ADMISSION_IMAGE_NAME));
    let tag = settings.text(&keys::ADMISSION_IMAGE_TAG);
    if !tag.is_empty() {
        image.push(if tag.contains(':') { '@' } else { ':' });
        image.push_str(tag);
    }
    image
}

/// Whether a container could have this image, `host:port/path:tag@algorithm:hex`; a wrong name
/// would keep its pod from starting.
fn is_image(image: &str) -> bool {
    let (image, digest) = image.split_once('@').unwrap_or((image, "a:0"));
    let (path, last) = image
        .rsplit_once('/')
        .map_or((None, image), |(path, last)| (Some(path), last));
    let (name, tag) = last.split_once(':').unwrap_or((last, "0"));
    // Without one of these the first part is a directory of the usual registry.
    let is_host = |part: &str| part == "localhost" || part.contains(['.', ':']);
    let (host, directories) = match path.map(|path| path.split_once('/').ok_or(path)) {
        Some(Ok((first, rest))) if is_host(first) => (first, Some(rest)),
        Some(Err(first)) if is_host(first) => (first, None),
        _ => ("localhost", path),
    };
    let (host, port) = host.split_once(':').unwrap_or((host, "0"));
    let (algorithm, digits) = digest.split_once(':').unwrap_or_default();
    let begins_and_ends = |text: &str| {
        let ends = [text.bytes().next(), text.bytes().next_back()];
        ends.map(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric())) == [true; 2]
    };
    let plain = |text: &str, more: &[u8]| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    let is_part = |part: &str| {
        begins_and_ends(part)
            && plain(part, b"._-")
            && !part.contains("..")
            && !part.bytes().any(|byte| byte.is_ascii_uppercase())
    };
    begins_and_ends(host)
        && plain(host, b".-")
        && !port.is_empty()
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && directories.is_none_or(|path| path.split('/').all(is_part))
        && is_part(name)
        && !tag.is_empty()
        && !tag.starts_with(['.', '-'])
        && tag.len() <= 128
        && plain(tag, b"._-")
        && begins_and_ends(algorithm)
        && plain(algorithm, b"+._-")
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_directory(directory: &str) -> bool {
    directory.starts_with('/') && !directory.split('/').any(|part| part == "..")
}

/// Requests and limits of the init container. A wrong quantity would make every pod invalid, so
/// it is left out.
fn resources(settings: &Settings, complaints: &mut Vec<String>) -> Value {
    let mut amounts = serde_json::Map::new();
    let wanted = [
        ("cpu", &keys::ADMISSION_INIT_RESOURCES_CPU),
        ("memory", &keys::ADMISSION_INIT_RESOURCES_MEMORY),
    ];
    for (name, key) in wanted {
        let text = settings.text(key);
        if is_quantity(text) {
            amounts.insert(name.to_owned(), text.into());
        } else if !text.is_empty() {
            let key = key.name;
            complaints.push(format!(
                "{key} is ignored: it must be a quantity such as 50m or 64Mi"
            ));
        }
    }
    match amounts.is_empty() {
        true => Value::Null,
        false => json!({ "requests": amounts, "limits": amounts }),
    }
}

/// Whether a text is an amount as Kubernetes writes them, without exponents.
fn is_quantity(text: &str) -> bool {
    const UNITS: [&str; 15] = [
        "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi",
    ];
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(number.len()..).unwrap_or("?");
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| {
        !part.is_empty() && part.len() <= 15 && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    UNITS.contains(&unit) && digits(whole) && digits(fraction)
}

/// The name of this pod's service account among the users of the cluster.
fn own_user(settings: &Settings) -> String {
    let account = settings.text(&keys::CLUSTER_AGENT_SERVICE_ACCOUNT_NAME);
    match account.is_empty() {
        true => String::new(),
        false => format!("system:serviceaccount:{}:{account}", namespace(settings)),
    }
}

/// The namespace that this pod is in.
pub(super) fn namespace(settings: &Settings) -> String {
    let configured = settings.text(&keys::KUBE_RESOURCES_NAMESPACE);
    if !configured.is_empty() {
        return configured.to_owned();
    }
    let file = read_limited(OWN_NAMESPACE.as_ref(), LONGEST_NAMESPACE);
    let found = file.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let found = found.map(|text| text.trim().to_owned());
    found
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Value as Setting;
    use crate::kube::admission::testing::settings;

    fn with(changes: &[(&'static keys::Key, &str)]) -> (Options, Vec<String>) {
        let mut settings = settings();
        for (key, text) in changes {
            let value = Setting::from_text(key.kind, text).unwrap();
            settings.set(key, value, "x");
        }
        Options::new(&settings)
    }

    #[test]
    fn what_could_harm_switches_it_off() {
        let cases: &[(&'static keys::Key, &str, &str)] = &[
            (&keys::ADMISSION_ENABLED, "false", "enabled is not true"),
            (&keys::ADMISSION_IMAGE_NAME, "", "image_name is empty"),
        ];
        assert_eq!(with(&[]).0.off, None);
        for (key, text, expected) in cases {
            let off = with(&[(key, text)]).0.off.unwrap();
            assert!(off.contains(expected), "{off}");
        }
        for (key, text) in [
            (&keys::ADMISSION_IMAGE_NAME, "a b"),
            (&keys::ADMISSION_IMAGE_NAME, "Agent"),
            (&keys::ADMISSION_IMAGE_NAME, "a//b"),
            (&keys::ADMISSION_IMAGE_NAME, "/a"),
            (&keys::ADMISSION_IMAGE_NAME, "a/"),
            (&keys::ADMISSION_IMAGE_NAME, "x:1"),
            (&keys::ADMISSION_IMAGE_NAME, "x@sha256:0"),
            (&keys::ADMISSION_IMAGE_TAG, "${TAG}"),
            (&keys::ADMISSION_IMAGE_TAG, "sha256:xyz"),
            (&keys::ADMISSION_IMAGE_TAG, "-1"),
            (&keys::ADMISSION_CONTAINER_REGISTRY, "https://reg.example"),
            (&keys::ADMISSION_CONTAINER_REGISTRY, "reg.example/Agents"),
            (&keys::ADMISSION_CONTAINER_REGISTRY, "reg.example:x"),
            (&keys::ADMISSION_CONTAINER_REGISTRY, "reg.example//a"),
        ] {
            let off = with(&[(key, text)]).0.off.unwrap_or_default();
            assert!(off.contains("no name of an image"), "{text}: {off}");
        }
        let magic: (&'static keys::Key, &str) = (&keys::ADMISSION_MODE, "magic");
        assert_eq!(with(&[magic]).0.off, None, "each skip is counted");
        let copy: (&'static keys::Key, &str) = (&keys::ADMISSION_MODE, "remote_copy");
        assert_eq!(with(&[copy]).0.off, None);
        for (key, text, expected) in [
            (
                &keys::ADMISSION_REMOTE_COPY_DIRECTORY,
                "tmp",
                "no absolute path",
            ),
            (
                &keys::ADMISSION_REMOTE_COPY_DIRECTORY,
                "/tmp/../etc",
                "no absolute path",
            ),
            (
                &keys::CLUSTER_AGENT_SERVICE_ACCOUNT_NAME,
                "",
                "service_account_name is empty",
            ),
        ] {
            let off = with(&[copy, (key, text)]).0.off.unwrap();
            assert!(off.contains(expected), "{off}");
        }
    }

    #[test]
    fn images_are_put_together() {
        let digest = "sha256:0123456789abcdef";
        for (registry, tag, expected) in [
            ("", "1.2", "cws-instrumentation:1.2"),
            (
                "reg.example/dd",
                "1",
                "reg.example/dd/cws-instrumentation:1",
            ),
            ("other:5000/", "1", "other:5000/cws-instrumentation:1"),
            (
                "Reg.example:5000/a/b-c",
                "1.2_x",
                "Reg.example:5000/a/b-c/cws-instrumentation:1.2_x",
            ),
            ("r", digest, "r/cws-instrumentation@sha256:0123456789abcdef"),
            ("", "", "cws-instrumentation"),
        ] {
            let (options, _) = with(&[
                (&keys::ADMISSION_CONTAINER_REGISTRY, registry),
                (&keys::ADMISSION_IMAGE_TAG, tag),
            ]);
            assert_eq!(options.image, expected);
            assert_eq!(options.off, None);
        }
    }

    #[test]
    fn quantities_are_those_of_kubernetes() {
        for text in ["1", "50m", "0.5", "64Mi", "1.25Gi", "1000000"] {
            assert!(is_quantity(text), "{text}");
        }
        for text in [
            "", "m", "-1", "64MB", "1 Gi", ".5", "5.", "1e3", "1é", "0x1",
        ] {
            assert!(!is_quantity(text), "{text}");
        }
        let (options, complaints) = with(&[
            (&keys::ADMISSION_INIT_RESOURCES_CPU, "lots"),
            (&keys::ADMISSION_INIT_RESOURCES_MEMORY, "64Mi"),
        ]);
        let expected = json!({"requests": {"memory": "64Mi"}, "limits": {"memory": "64Mi"}});
        assert_eq!(options.resources, expected);
        assert!(
            complaints[0].contains("init_resources.cpu"),
            "{complaints:?}"
        );
    }

    #[test]
    fn the_helper_is_where_the_mode_puts_it() {
        let copy: (&'static keys::Key, &str) = (&keys::ADMISSION_MODE, "remote_copy");
        let volume: (&'static keys::Key, &str) =
            (&keys::ADMISSION_REMOTE_COPY_MOUNT_VOLUME, "true");
        let cases: [(&[(&'static keys::Key, &str)], &str); 3] = [
            (&[], "/datadog-cws-instrumentation/cws-instrumentation"),
            (&[copy], "/tmp/cws-instrumentation"),
            (
                &[copy, volume],
                "/datadog-cws-instrumentation/tmp/cws-instrumentation",
            ),
        ];
        for (changes, expected) in cases {
            assert_eq!(with(changes).0.helper().as_deref(), Some(expected));
        }
    }
}
