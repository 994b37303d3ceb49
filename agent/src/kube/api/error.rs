//! Why a job came to nothing, as a sentence for the log.

use std::fmt;
use std::io;

/// What went wrong between this process and the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The environment does not name an API server.
    NoCluster,
    /// A file of the service account cannot be used.
    Account {
        /// Its name.
        file: &'static str,
        /// Why.
        cause: String,
    },
    /// The server was not reached, or the connection broke.
    Connection(String),
    /// Time is up.
    Late,
    /// The answer to a request has this status.
    Status(u16),
    /// An answer that is none.
    Answer(&'static str),
    /// A frame that the standard forbids.
    Frame(&'static str),
    /// The command ended otherwise than with success.
    Command(&'static str),
    /// The pod, or what was configured, cannot be used.
    Unusable(&'static str),
    /// The helper's own file cannot be read.
    Helper(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoCluster => f.write_str(
                "this is no pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set",
            ),
            Error::Account { file, cause } => write!(
                f,
                "{file} of the service account cannot be used, mount it: {cause}"
            ),
            Error::Connection(cause) => {
                write!(f, "the connection to the API server failed: {cause}")
            }
            Error::Late => f.write_str(
                "the API server was too slow; see admission_controller.cws_instrumentation.timeout",
            ),
            Error::Status(status @ (401 | 403)) => write!(
                f,
                "the API server answers {status}: the service account must be allowed to get pods \
                 and nodes, and to get and create pods/exec"
            ),
            Error::Status(status) => write!(f, "the API server answers {status}"),
            Error::Answer(cause) => write!(f, "the API server's answer is not understood: {cause}"),
            Error::Frame(cause) => {
                write!(f, "the API server sent a frame that is not taken: {cause}")
            }
            Error::Command(what) => write!(f, "{what} failed in the container"),
            Error::Unusable(cause) => f.write_str(cause),
            Error::Helper(cause) => write!(f, "the helper's file cannot be read: {cause}"),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Late,
            _ => Error::Connection(error.to_string()),
        }
    }
}
