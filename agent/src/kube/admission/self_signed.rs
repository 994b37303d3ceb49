//! A certificate that the webhook makes for itself, with its key in a private file.
//!
//! The names of the service enter, a PEM text leaves: a certificate and a key (ECDSA, P-256), below
//! lines that say for whom and until when it is, so that a restart takes the same one. The
//! certificate is nobody's authority: it vouches for itself only.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Error;
use crate::kube::certificate;
use crate::sys::directory;
use crate::sys::files::read_limited;

/// Name of the file below the run path.
pub(super) const FILE: &str = "admission-controller.pem";
/// Bytes of it that are read.
const MAX_FILE: usize = 64 << 10;
/// How it ends.
const LAST_LINE: &str = "-----END PRIVATE KEY-----";
/// How long before its end another one is made.
const RENEWED: Duration = Duration::from_secs(30 * 86_400);

/// The names under which an API server reaches a service.
pub(super) fn names(service: &str, namespace: &str) -> Vec<String> {
    ["", ".svc", ".svc.cluster.local"]
        .map(|end| format!("{service}.{namespace}{end}"))
        .into_iter()
        .chain([service.to_owned()])
        .collect()
}

/// The PEM text in the run path, made if there is none for these names that is still good.
pub(super) fn obtain(run_path: &Path, names: &[String], now: SystemTime) -> Result<Vec<u8>, Error> {
    let path = run_path.join(FILE);
    if let Ok(text) = read_limited(&path, MAX_FILE) {
        let head = String::from_utf8_lossy(&text);
        let mut lines = head.lines();
        let is_for_names = lines.next() == Some(&first_line(names));
        let until = lines.next().and_then(|line| line.strip_prefix("until "));
        let until = until.and_then(|text| text.parse().ok()).unwrap_or(0);
        let is_good = Duration::from_secs(until) > since_epoch(now) + RENEWED;
        let is_whole = lines.next_back().is_some_and(|line| line == LAST_LINE);
        if is_for_names && is_good && is_whole {
            return Ok(text);
        }
    }
    let text = make(names, now)?;
    if let Err(error) = keep(&path, text.as_bytes()) {
        log::warn!(
            "the webhook's certificate cannot be kept in {}: {error}; \
             there will be another one after a restart",
            path.display()
        );
    }
    Ok(text.into_bytes())
}

fn first_line(names: &[String]) -> String {
    format!("for {}", names.join(" "))
}

fn keep(path: &Path, text: &[u8]) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        directory::make(parent)?;
    }
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

/// A new one, below the lines that say for whom and until when it is.
fn make(names: &[String], now: SystemTime) -> Result<String, Error> {
    let made = certificate::make(names, now).ok_or(Error::Key)?;
    let until = since_epoch(now) + certificate::VALID;
    let mut text = first_line(names);
    text.push_str("\nuntil ");
    text.push_str(&until.as_secs().to_string());
    text.push('\n');
    text.push_str(&made.certificate);
    text.push_str(&made.key);
    Ok(text)
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use certificate::VALID;

    #[test]
    fn it_is_kept_as_long_as_it_fits() {
        let base = std::env::temp_dir().join(format!("self-signed-{}", std::process::id()));
        let now = SystemTime::now();
        let names_of = |service| names(service, "ns");
        let first = obtain(&base, &names_of("a"), now).unwrap();
        assert_eq!(obtain(&base, &names_of("a"), now).unwrap(), first);
        let late = now + VALID - RENEWED + Duration::from_secs(86_400);
        assert_ne!(obtain(&base, &names_of("a"), late).unwrap(), first);
        let other = obtain(&base, &names_of("b"), now).unwrap();
        assert_eq!(obtain(&base, &names_of("b"), now).unwrap(), other);
        let path = base.join(FILE);
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let truncated = &other[..other.len() - 10];
        fs::write(&path, truncated).unwrap();
        let again = obtain(&base, &names_of("b"), now).unwrap();
        assert_ne!(again, truncated);
        assert!(again.trim_ascii_end().ends_with(LAST_LINE.as_bytes()));
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn openssl_believes_it() {
        let base = std::env::temp_dir().join(format!("openssl-{}", std::process::id()));
        obtain(&base, &names("hook", "sys"), SystemTime::now()).unwrap();
        let run = |arguments: &[&str]| {
            let mut command = std::process::Command::new("openssl");
            let output = command.args(arguments).current_dir(&base).output();
            // Not every machine has it; the end-to-end tests say so then.
            let output = output.ok()?;
            let text = [output.stdout, output.stderr].concat();
            Some((
                output.status.success(),
                String::from_utf8_lossy(&text).into_owned(),
            ))
        };
        let verify = [
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-CAfile",
            FILE,
            "-verify_hostname",
            "hook.sys.svc",
            FILE,
        ];
        if let Some((is_good, text)) = run(&verify) {
            assert!(is_good, "{text}");
            let (_, text) = run(&["x509", "-in", FILE, "-noout", "-text"]).unwrap();
            for part in [
                "CA:FALSE",
                "DNS:hook.sys.svc,",
                "TLS Web Server",
                "prime256v1",
            ] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
        fs::remove_dir_all(&base).unwrap();
    }
}
