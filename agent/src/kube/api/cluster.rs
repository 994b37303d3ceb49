//! Where the API server is and who we are there, as every pod is told (in-cluster configuration).
//!
//! The environment names the server, the directory of the service account holds its authority and
//! our token. Both files are read for every job, since tokens are replaced while we run. Paths
//! below the server enter, JSON or an open connection leaves. Only the cluster's own authority is
//! trusted, and no proxy is asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use super::connection::{Connection, Head};
use super::Error;
use crate::http::tls;
use crate::sys::files;

/// Name or address of the API server.
const HOST: &str = "KUBERNETES_SERVICE_HOST";
/// Its port.
const PORT: &str = "KUBERNETES_SERVICE_PORT";
/// Names another directory of the service account, for tests.
const ACCOUNT_VARIABLE: &str = "SECURITY_AGENT_SERVICE_ACCOUNT";
/// Names another directory of helpers, for tests.
const HELPERS_VARIABLE: &str = "SECURITY_AGENT_HELPERS";
/// What a process that asks the server may see of the environment.
pub const VARIABLES: [&str; 4] = [HOST, PORT, ACCOUNT_VARIABLE, HELPERS_VARIABLE];

const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const HELPERS: &str = "/opt/datadog-agent/bin/datadog-cws-instrumentation";
const TOKEN: &str = "token";
const AUTHORITY: &str = "ca.crt";
/// Bytes of a file of the service account.
const MAX_FILE: usize = 1 << 20;

/// The API server, for one job.
pub struct Cluster {
    host: String,
    port: u16,
    token: String,
    tls: Arc<ClientConfig>,
    /// When the job has failed.
    until: Instant,
}

impl Cluster {
    /// The one that this pod runs in.
    ///
    /// # Errors
    /// `NoCluster` and `Account`.
    pub fn find(until: Instant) -> Result<Cluster, Error> {
        let host = std::env::var(HOST).unwrap_or_default();
        let port = std::env::var(PORT).ok().and_then(|port| port.parse().ok());
        let (false, Some(port)) = (host.is_empty(), port) else {
            return Err(Error::NoCluster);
        };
        let account = directory(ACCOUNT_VARIABLE, ACCOUNT);
        Ok(Cluster {
            host,
            port,
            token: token(&account)?,
            tls: Arc::new(tls(&account)?),
            until,
        })
    }

    /// The object at this path.
    ///
    /// # Errors
    /// Those of [`Cluster::connect`], and of an answer that is no JSON.
    pub fn get(&self, path: &str) -> Result<Value, Error> {
        let (mut connection, head) =
            self.connect(path, "Accept: application/json\r\nConnection: close\r\n")?;
        if head.status() != 200 {
            return Err(Error::Status(head.status()));
        }
        let body = connection.body(&head)?;
        serde_json::from_slice(&body).map_err(|_| Error::Answer("it is no JSON"))
    }

    /// A connection on which a GET for this path was answered with these headers.
    ///
    /// # Errors
    /// `Connection`, `Late`, `Answer`.
    pub fn connect(&self, path: &str, headers: &str) -> Result<(Connection, Head), Error> {
        let mut connection = Connection::open(&self.host, self.port, &self.tls, self.until)?;
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}:{}\r\nUser-Agent: datadog-agent/{}\r\n\
             Authorization: Bearer {}\r\n{headers}\r\n",
            self.port,
            env!("CARGO_PKG_VERSION"),
            self.token,
        );
        connection.write(request.as_bytes())?;
        let head = connection.head()?;
        Ok((connection, head))
    }

    /// Fills bytes with what nobody can guess.
    pub fn randomize(&self, bytes: &mut [u8]) -> Result<(), Error> {
        let random = self.tls.crypto_provider().secure_random;
        random
            .fill(bytes)
            .map_err(|_| Error::Unusable("the kernel gives no random numbers"))
    }
}

/// Where the helpers lie.
pub fn helpers() -> PathBuf {
    directory(HELPERS_VARIABLE, HELPERS)
}

fn directory(variable: &str, usual: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| PathBuf::from(usual), PathBuf::from)
}

fn read(directory: &Path, file: &'static str) -> Result<Vec<u8>, Error> {
    files::read_limited(&directory.join(file), MAX_FILE).map_err(|error| Error::Account {
        file,
        cause: error.to_string(),
    })
}

/// The token; it must not end a header.
fn token(account: &Path) -> Result<String, Error> {
    let text = String::from_utf8(read(account, TOKEN)?).unwrap_or_default();
    let token = text.trim();
    match !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(token.to_owned()),
        false => Err(Error::Account {
            file: TOKEN,
            cause: "it holds no token".to_owned(),
        }),
    }
}

fn tls(account: &Path) -> Result<ClientConfig, Error> {
    let wrong = |cause: &str| Error::Account {
        file: AUTHORITY,
        cause: cause.to_owned(),
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&read(account, AUTHORITY)?) {
        let certificate = certificate.map_err(|_| wrong("it is no PEM file"))?;
        roots
            .add(certificate)
            .map_err(|_| wrong("it holds something else than certificates"))?;
    }
    if roots.is_empty() {
        return Err(wrong("it holds no certificate"));
    }
    let builder = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(|_| wrong("TLS is not there"))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_account_are_checked() {
        let base = std::env::temp_dir().join(format!("account-{}", std::process::id()));
        std::fs::create_dir_all(&base).unwrap();
        let error = token(&base).unwrap_err().to_string();
        assert!(error.starts_with("token of the service"), "{error}");
        let tokens = [
            ("abc.def-ghi\n", Some("abc.def-ghi")),
            ("  \n", None),
            ("a b", None),
            ("a\r\nX: y", None),
            ("\u{fc}", None),
        ];
        for (text, expected) in tokens {
            std::fs::write(base.join(TOKEN), text).unwrap();
            assert_eq!(token(&base).ok().as_deref(), expected, "{text:?}");
        }
        let authorities = [
            (crate::http::testing::AUTHORITY, true),
            ("", false),
            ("no certificate", false),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                false,
            ),
            (
                "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
                false,
            ),
        ];
        for (text, is_usable) in authorities {
            std::fs::write(base.join(AUTHORITY), text).unwrap();
            assert_eq!(tls(&base).is_ok(), is_usable, "{text}");
        }
        std::fs::remove_dir_all(&base).unwrap();
    }
}
