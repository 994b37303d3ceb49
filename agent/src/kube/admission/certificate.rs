//! Who the webhook is to its clients: certificate and key, from files of others or its own.
//!
//! Settings enter, a configuration of TLS leaves, made anew when the files change; files that
//! cannot be used leave the previous one in place. The caBundle that a MutatingWebhookConfiguration
//! needs comes from here, too.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::ServerConfig;

use super::options::namespace;
use super::{self_signed, Error};
use crate::config::{keys, Settings};
use crate::http::client::base64;
use crate::http::tls;
use crate::kube::certificate::push_pem;
use crate::sys::files::read_limited;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// Bytes of a file.
const MAX_FILE: usize = 1 << 20;
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITY: &str = "ca.crt";

/// What tells a file from the one that had its name before.
type Stamp = Option<(u64, u64, i64, i64, u64)>;

/// The certificate in use.
pub struct Certificate {
    config: Arc<ServerConfig>,
    /// Where it came from; `None` when it is our own.
    directory: Option<PathBuf>,
    seen: [Stamp; 2],
    looked: Instant,
}

impl Certificate {
    /// The certificate of these settings.
    pub fn new(settings: &Settings, now: Instant) -> Result<Certificate, Error> {
        let directory = directory(settings);
        let seen = stamps(directory.as_deref());
        let config = match &directory {
            Some(directory) => read(directory)?,
            None => {
                let pem = own(settings)?;
                configure(&pem, &pem)?
            }
        };
        Ok(Certificate {
            config,
            directory,
            seen,
            looked: now,
        })
    }

    /// What new connections are to use.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Looks from time to time whether the files have changed.
    pub fn turn(&mut self, now: Instant) {
        if now.duration_since(self.looked) < INTERVAL {
            return;
        }
        self.looked = now;
        let seen = stamps(self.directory.as_deref());
        let Some(directory) = self.directory.as_ref().filter(|_| seen != self.seen) else {
            return;
        };
        self.seen = seen;
        match read(directory) {
            Ok(config) => {
                self.config = config;
                log::info!("the webhook's certificate has changed; the new one is in use");
            }
            Err(error) => log::error!("{error}; the previous certificate stays in use"),
        }
    }

    /// When to look again, if there are files to look at.
    pub fn deadline(&self) -> Option<Instant> {
        self.directory.as_ref().map(|_| self.looked + INTERVAL)
    }
}

/// What `caBundle` of the webhook has to be: base64 of the PEM text of who vouches for it.
pub fn ca_bundle(settings: &Settings) -> Result<String, Error> {
    let pem = match directory(settings) {
        None => own(settings)?,
        Some(directory) => {
            let authority = directory.join(AUTHORITY);
            match authority.exists() {
                true => file(&authority)?,
                false => file(&directory.join(CERTIFICATE))?,
            }
        }
    };
    let mut text = String::new();
    for certificate in CertificateDer::pem_slice_iter(&pem).flatten() {
        push_pem(&mut text, "CERTIFICATE", &certificate);
    }
    Ok(base64(text.as_bytes()))
}

fn directory(settings: &Settings) -> Option<PathBuf> {
    let directory = settings.text(&keys::ADMISSION_CERTIFICATE_DIRECTORY);
    (!directory.is_empty()).then(|| PathBuf::from(directory))
}

fn own(settings: &Settings) -> Result<Vec<u8>, Error> {
    let service = settings.text(&keys::ADMISSION_SERVICE_NAME);
    let names = self_signed::names(service, &namespace(settings));
    self_signed::obtain(&settings.run_path(), &names, SystemTime::now())
}

fn stamps(directory: Option<&Path>) -> [Stamp; 2] {
    [CERTIFICATE, KEY].map(|name| {
        let found = fs::metadata(directory?.join(name)).ok()?;
        Some((
            found.dev(),
            found.ino(),
            found.mtime(),
            found.mtime_nsec(),
            found.len(),
        ))
    })
}

fn read(directory: &Path) -> Result<Arc<ServerConfig>, Error> {
    configure(
        &file(&directory.join(CERTIFICATE))?,
        &file(&directory.join(KEY))?,
    )
}

fn file(path: &Path) -> Result<Vec<u8>, Error> {
    read_limited(path, MAX_FILE).map_err(|error| Error::File(path.to_owned(), error.to_string()))
}

fn configure(certificate: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, Error> {
    let broken = |_| Error::Certificate(rustls::Error::General("it is no PEM file".to_owned()));
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let key = PrivateKeyDer::from_pem_slice(key).map_err(broken)?;
    let config = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(chain.unwrap_or_default(), key)
        });
    config.map(Arc::new).map_err(Error::Certificate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Value;

    fn pem(service: &str, base: &Path) -> Vec<u8> {
        let names = self_signed::names(service, "ns");
        self_signed::obtain(&base.join(service), &names, SystemTime::now()).unwrap()
    }

    #[test]
    fn changed_files_are_taken_and_broken_ones_are_not() {
        let base = std::env::temp_dir().join(format!("certificate-{}", std::process::id()));
        fs::create_dir(&base).unwrap();
        let write = |certificate: &[u8], key: &[u8]| {
            for (name, text) in [(CERTIFICATE, certificate), (KEY, key)] {
                let new = base.join("new");
                fs::write(&new, text).unwrap();
                fs::rename(&new, base.join(name)).unwrap();
            }
        };
        let (a, b) = (pem("a", &base), pem("b", &base));
        let mut settings = Settings::empty(true);
        let text = |text: &Path| Value::Text(text.to_string_lossy().into_owned());
        settings.set(&keys::ADMISSION_CERTIFICATE_DIRECTORY, text(&base), "x");
        let mut now = Instant::now();
        assert!(matches!(
            Certificate::new(&settings, now),
            Err(Error::File(..))
        ));
        write(&a, &a);
        let mut certificate = Certificate::new(&settings, now).unwrap();
        let bundle = ca_bundle(&settings).unwrap();
        let first = certificate.config();
        let mut changes = |certificate: &mut Certificate| {
            let before = certificate.config();
            now += INTERVAL;
            certificate.turn(now);
            !Arc::ptr_eq(&before, &certificate.config())
        };
        assert!(!changes(&mut certificate));
        write(&b, &a);
        assert!(!changes(&mut certificate), "the key is of another");
        write(b"", b"");
        assert!(!changes(&mut certificate), "there is nothing");
        fs::remove_file(base.join(KEY)).unwrap();
        assert!(!changes(&mut certificate), "a file is missing");
        assert!(Arc::ptr_eq(&first, &certificate.config()));
        write(&b, &b);
        assert!(changes(&mut certificate));
        assert!(!changes(&mut certificate));
        assert_ne!(ca_bundle(&settings).unwrap(), bundle);
        fs::remove_dir_all(&base).unwrap();
    }
}
