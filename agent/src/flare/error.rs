//! Why there is no archive.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::scrub;

/// Why an archive could not be made or read.
#[derive(Debug)]
pub enum Error {
    /// None of the directories can be written.
    NoPlace(Vec<(PathBuf, io::Error)>),
    /// The file that was asked for is there already.
    Exists(PathBuf),
    /// Writing the archive failed.
    Write(PathBuf, io::Error),
    /// An archive cannot be read.
    Read(PathBuf, io::Error),
    /// Secrets could not be recognised, so nothing is packed.
    Scrubber(scrub::Error),
    /// The user has had enough.
    Interrupted,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoPlace(tried) => {
                write!(f, "no directory can be written (")?;
                for (at, (path, error)) in tried.iter().enumerate() {
                    let comma = if at > 0 { "; " } else { "" };
                    write!(f, "{comma}{}: {error}", path.display())?;
                }
                write!(f, "); name a file elsewhere with --output")
            }
            Error::Exists(path) => write!(
                f,
                "{} exists already; remove it or give another path to --output",
                path.display()
            ),
            Error::Write(path, error) => write!(
                f,
                "{} cannot be written: {error}; make room there or name a file elsewhere with --output",
                path.display()
            ),
            Error::Read(path, error) => write!(
                f,
                "{} cannot be read: {error}; see that it is an archive of a flare",
                path.display()
            ),
            Error::Scrubber(error) => write!(f, "{error}"),
            Error::Interrupted => write!(f, "interrupted; no archive was made"),
        }
    }
}

impl std::error::Error for Error {}
