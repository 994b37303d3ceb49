//! The admission webhook: pods get the helper, and commands in them are run through it.
//!
//! `AdmissionReview`s enter over HTTPS, answers leave, which always allow: whatever goes wrong, or
//! is in doubt, leaves the request as it is. [`server`] is the loop, [`clients`], [`connection`] and
//! [`http`] what is spoken, [`certificate`] who it is; [`review`], [`pod`] and [`exec`] decide, by
//! [`options`] and [`filter`]; [`metrics`] counts. What must ask the API server is handed to a
//! [`prepare::Prepare`], never done here.

pub mod certificate;
mod clients;
mod connection;
mod exec;
mod filter;
mod http;
mod metrics;
pub mod options;
mod pod;
pub mod prepare;
pub mod review;
mod self_signed;
pub mod server;
#[cfg(test)]
mod testing;

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Name of the volume of an instrumented pod.
const VOLUME: &str = "datadog-cws-instrumentation";
/// Where its containers have that volume.
const MOUNT: &str = "/datadog-cws-instrumentation";
/// Name of the helper's file.
const EXECUTABLE: &str = "cws-instrumentation";

/// Why the webhook cannot run.
#[derive(Debug)]
pub enum Error {
    /// The port cannot be listened on.
    Port(u64, io::Error),
    /// The loop cannot be set up.
    Loop(io::Error),
    /// A file of the certificate cannot be used.
    File(PathBuf, String),
    /// The certificate and its key cannot be used together.
    Certificate(rustls::Error),
    /// No key could be made.
    Key,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Port(port, cause) => write!(
                f,
                "the webhook cannot listen on port {port}: {cause}; \
                 choose another admission_controller.port"
            ),
            Error::Loop(cause) => write!(f, "the webhook cannot run: {cause}"),
            Error::File(path, cause) => write!(
                f,
                "{} cannot be used: {cause}; correct it or \
                 admission_controller.certificate.directory",
                path.display()
            ),
            Error::Certificate(cause) => write!(
                f,
                "the webhook's certificate cannot be used: {cause}; \
                 tls.crt and tls.key must belong together"
            ),
            Error::Key => f.write_str("no key could be made; see that the system has randomness"),
        }
    }
}

impl std::error::Error for Error {}
