//! Why there is no answer, as sentences that name the host and the cause.
//!
//! What ureq and rustls say enters together with the host; nothing of the URL but its host and
//! port, and no header, is ever part of a sentence.

use std::fmt;
use std::io;
use std::path::PathBuf;

use rustls::CertificateError;
use ureq::http::Uri;
use ureq::Timeout;

/// Why a request has no answer.
#[derive(Debug)]
pub enum Error {
    /// The URL is none, or no http or https URL.
    Url,
    /// The proxy of the configuration is no URL of a proxy.
    ProxyUrl,
    /// A header or the method has characters that HTTP does not allow.
    Header(String),
    /// The system has no file of certificate authorities, and none is configured.
    NoRoots,
    /// A file of certificate authorities is of no use.
    Roots {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The server was not reached, or it did not answer.
    Failed {
        /// Host and port, and the proxy that was used.
        host: String,
        /// What happened and what to do.
        cause: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Url => write!(f, "the URL is not understood; write http://host or https://host"),
            Error::ProxyUrl => write!(
                f,
                "the proxy is not understood; write http://host:port or http://user:password@host:port"
            ),
            Error::Header(name) => write!(
                f,
                "the header {name} cannot be sent; it may hold printable ASCII only"
            ),
            Error::NoRoots => write!(
                f,
                "there are no certificate authorities to trust; install ca-certificates or set tls_ca_file"
            ),
            Error::Roots { path, cause } => write!(
                f,
                "the certificate authorities in {} cannot be used: {cause}",
                path.display()
            ),
            Error::Failed { host, cause } => write!(f, "{host}: {cause}"),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Puts what ureq says into words.
    pub(super) fn of_ureq(error: &ureq::Error, host: &str) -> Error {
        let cause = match error {
            ureq::Error::BadUri(_) => return Error::Url,
            ureq::Error::InvalidProxyUrl => return Error::ProxyUrl,
            ureq::Error::Timeout(phase) => format!("timed out while {}", phase_of(*phase)),
            ureq::Error::HostNotFound => "the name cannot be resolved".to_owned(),
            ureq::Error::ConnectProxyFailed(reason) => of_proxy(reason),
            ureq::Error::Rustls(error) => of_tls(error),
            ureq::Error::Tls(_) => "the host is no name that a certificate can have".to_owned(),
            ureq::Error::Io(error) => of_io(error),
            ureq::Error::Protocol(_) => {
                "what answers does not speak HTTP/1.1; check scheme and port".to_owned()
            }
            ureq::Error::LargeResponseHeader(..) => {
                "the header of the answer is too long".to_owned()
            }
            _ => "the request failed".to_owned(),
        };
        Error::Failed {
            host: host.to_owned(),
            cause,
        }
    }
}

fn phase_of(phase: Timeout) -> &'static str {
    match phase {
        Timeout::Resolve => "resolving the name",
        Timeout::Connect => "connecting",
        Timeout::SendRequest | Timeout::SendBody | Timeout::PerWrite => "sending the request",
        Timeout::RecvResponse | Timeout::RecvBody | Timeout::PerRead => "waiting for the answer",
        _ => "the request as a whole was under way",
    }
}

/// `proxy server responded 407/407` and the like.
fn of_proxy(reason: &str) -> String {
    let status = reason
        .rsplit('/')
        .next()
        .and_then(|s| s.parse::<u16>().ok());
    match status {
        Some(407) => proxy_refused(),
        Some(status) => format!("the proxy refused to connect (status {status})"),
        None => "the proxy did not answer".to_owned(),
    }
}

/// What a proxy's 407 means.
pub(super) fn proxy_refused() -> String {
    "the proxy refused the user or the password (status 407)".to_owned()
}

fn of_io(error: &io::Error) -> String {
    let inner = error.get_ref();
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return of_tls(error);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection was refused".to_owned(),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => "the connection was closed before the answer".to_owned(),
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => "there is no route to it".to_owned(),
        // The standard library has no kind for what getaddrinfo(3) says.
        _ if error.to_string().starts_with("failed to lookup address") => {
            "the name cannot be resolved".to_owned()
        }
        _ => match error.raw_os_error() {
            Some(number) => io::Error::from_raw_os_error(number).to_string(),
            None => "the connection broke".to_owned(),
        },
    }
}

fn of_tls(error: &rustls::Error) -> String {
    const ADVICE: &str = "set tls_ca_file to a PEM file with its authority";
    let rustls::Error::InvalidCertificate(error) = error else {
        return match error {
            rustls::Error::InvalidMessage(_) => {
                "what answers does not speak TLS; check scheme and port".to_owned()
            }
            other => format!("TLS failed: {other}"),
        };
    };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet; check the clock of this host".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name".to_owned()
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "its certificate is from an authority that is not trusted; {ADVICE} (or skip_ssl_validation, which trusts everybody)"
        ),
        other => format!("its certificate is not accepted: {other}"),
    }
}

/// Host and port of a URL, for people.
pub(super) fn host_of(uri: &Uri) -> String {
    let host = uri.host().unwrap_or("");
    match uri.port_u16() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_read_as_sentences() {
        let tls = |error| ureq::Error::Io(io::Error::new(io::ErrorKind::InvalidData, error));
        let invalid = rustls::Error::InvalidCertificate;
        let cases = [
            (ureq::Error::HostNotFound, "cannot be resolved"),
            (
                ureq::Error::Timeout(Timeout::Connect),
                "timed out while connecting",
            ),
            (
                ureq::Error::ConnectProxyFailed("proxy server responded 407/407".into()),
                "the user or the password (status 407)",
            ),
            (
                ureq::Error::ConnectProxyFailed("proxy server responded 403/403".into()),
                "refused to connect (status 403)",
            ),
            (
                ureq::Error::ConnectProxyFailed("proxy server did not respond".into()),
                "did not answer",
            ),
            (tls(invalid(CertificateError::Expired)), "has expired"),
            (
                tls(invalid(CertificateError::NotValidForName)),
                "another name",
            ),
            (tls(invalid(CertificateError::UnknownIssuer)), "tls_ca_file"),
            (
                ureq::Error::Rustls(invalid(CertificateError::UnknownIssuer)),
                "skip_ssl_validation",
            ),
            (
                ureq::Error::Io(io::ErrorKind::ConnectionRefused.into()),
                "refused",
            ),
            (
                ureq::Error::Io(io::ErrorKind::UnexpectedEof.into()),
                "closed before the answer",
            ),
            (
                ureq::Error::Io(io::Error::from_raw_os_error(24)),
                "os error 24",
            ),
        ];
        for (error, expected) in cases {
            let sentence = Error::of_ureq(&error, "h.example:1").to_string();
            assert!(sentence.starts_with("h.example:1: "), "{sentence}");
            assert!(sentence.contains(expected), "{sentence}");
        }
        let secret = ureq::Error::BadUri("http://u:p@h?key=x".into());
        assert!(!Error::of_ureq(&secret, "h").to_string().contains("key"));
    }
}
