//! Reads policy files from their directory.
//!
//! Bytes leave, nothing is judged: what a file says is found in [`crate::policy::load`]. Files are opened
//! without blocking, must be regular, and are bounded one by one and together. Symbolic links are
//! followed, because that is how orchestrators mount configuration; the directory is the
//! administrator's.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::read::DeflateDecoder;

/// The policy that is first, and that stands in for the embedded one.
pub const DEFAULT_NAME: &str = "default.policy";
/// Largest file in bytes: twenty times the largest public policy.
const MAX_FILE: u64 = 4 << 20;
/// Bytes of all files together.
const MAX_TOTAL: u64 = 16 << 20;

/// The default policy, deflated at build time to a quarter.
const EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/default.policy.deflate"));

/// A policy as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file name, such as `default.policy`.
    pub name: String,
    /// Where it comes from: `file`, `embedded` or `self-test`.
    pub kind: &'static str,
    /// The content.
    pub text: Vec<u8>,
}

impl Source {
    /// The default policy that is part of the binary.
    pub fn embedded() -> Source {
        let mut text = Vec::new();
        // What a damaged binary holds instead is no policy, which loading it says.
        let _ = DeflateDecoder::new(EMBEDDED).read_to_end(&mut text);
        Source {
            name: DEFAULT_NAME.to_owned(),
            kind: "embedded",
            text,
        }
    }
}

/// Why a file or the directory could not be read.
#[derive(Debug)]
pub enum Cause {
    /// The operating system says no.
    Io(io::Error),
    /// It is a directory, a device, a pipe or a socket.
    NotAFile,
    /// It has more bytes than one policy may have.
    TooLarge,
    /// All policies together have more bytes than are read.
    TooMuch,
}

/// A policy, or the directory of policies, that could not be read.
#[derive(Debug)]
pub struct ReadError {
    /// The file or directory.
    pub path: PathBuf,
    /// The reason.
    pub cause: Cause,
}

impl ReadError {
    /// The name under which the file is reported.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        name.to_string_lossy().into_owned()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Io(error) => write!(f, "it cannot be read: {error}"),
            Cause::NotAFile => f.write_str("it is not a regular file"),
            Cause::TooLarge => write!(
                f,
                "it has more than {} MiB, the most that is read of one policy; split it",
                MAX_FILE >> 20
            ),
            Cause::TooMuch => write!(
                f,
                "all policies together have more than {} MiB, the most that is read; remove some",
                MAX_TOTAL >> 20
            ),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.cause)
    }
}

impl std::error::Error for ReadError {}

/// Reads every `*.policy` of a directory: `default.policy` first, the others by name.
///
/// The embedded policy comes first when the directory has no `default.policy` and
/// `default_enabled` is true. A missing or empty directory is no error; a file that cannot be
/// read is one, and the others are still read.
pub fn read_directory(dir: &Path, default_enabled: bool) -> (Vec<Source>, Vec<ReadError>) {
    let mut errors = Vec::new();
    let paths = list(dir).unwrap_or_else(|error| {
        errors.push(ReadError {
            path: dir.to_owned(),
            cause: Cause::Io(error),
        });
        Vec::new()
    });
    let mut sources = Vec::new();
    if default_enabled && !paths.iter().any(|path| is_default(path)) {
        sources.push(Source::embedded());
    }
    let mut left = MAX_TOTAL;
    for path in paths {
        match read_file(&path, &mut left) {
            Ok(text) => sources.push(Source {
                name: file_name(&path),
                kind: "file",
                text,
            }),
            Err(cause) => errors.push(ReadError { path, cause }),
        }
    }
    (sources, errors)
}

/// Reads one policy that is named by its path.
pub fn read_policy(path: &Path) -> Result<Source, ReadError> {
    let text = read_file(path, &mut { MAX_TOTAL });
    let text = text.map_err(|cause| ReadError {
        path: path.to_owned(),
        cause,
    })?;
    Ok(Source {
        name: file_name(path),
        kind: "file",
        text,
    })
}

fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "policy")
        {
            paths.push(path);
        }
    }
    paths.sort_by_cached_key(|path| (!is_default(path), file_name(path)));
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn is_default(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == DEFAULT_NAME)
}

/// Reads one file and takes its size from what is left for all.
fn read_file(path: &Path, left: &mut u64) -> Result<Vec<u8>, Cause> {
    let file = open(path).map_err(Cause::Io)?;
    let metadata = file.metadata().map_err(Cause::Io)?;
    if !metadata.is_file() {
        return Err(Cause::NotAFile);
    }
    if metadata.len() > MAX_FILE {
        return Err(Cause::TooLarge);
    }
    let mut text = Vec::new();
    let mut limited = file.take(MAX_FILE + 1);
    limited.read_to_end(&mut text).map_err(Cause::Io)?;
    // A file may grow while it is read.
    let size = u64::try_from(text.len()).unwrap_or(u64::MAX);
    if size > MAX_FILE {
        return Err(Cause::TooLarge);
    }
    *left = left.checked_sub(size).ok_or(Cause::TooMuch)?;
    Ok(text)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Dir {
            let unique = format!("policy-source-{}-{name}", std::process::id());
            let dir = Dir(std::env::temp_dir().join(unique));
            fs::create_dir_all(&dir.0).unwrap();
            dir
        }

        fn write(&self, name: &str, text: &[u8]) {
            fs::write(self.0.join(name), text).unwrap();
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn names(sources: &[Source]) -> Vec<(&str, &str)> {
        sources
            .iter()
            .map(|source| (source.kind, source.name.as_str()))
            .collect()
    }

    #[test]
    fn default_is_first_then_names_in_order() {
        let dir = Dir::new("order");
        for name in ["b.policy", "a.policy", "notes.txt", "default.policy"] {
            dir.write(name, b"x");
        }
        let (sources, errors) = read_directory(&dir.0, true);
        assert!(errors.is_empty());
        assert_eq!(
            names(&sources),
            [
                ("file", "default.policy"),
                ("file", "a.policy"),
                ("file", "b.policy")
            ]
        );
    }

    #[test]
    fn the_embedded_policy_stands_in() {
        let missing = Path::new("/nonexistent/policies");
        let (sources, errors) = read_directory(missing, true);
        assert_eq!(names(&sources), [("embedded", "default.policy")]);
        assert!(errors.is_empty());
        let (sources, errors) = read_directory(missing, false);
        assert!(sources.is_empty() && errors.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_named_and_the_rest_is_read() {
        let dir = Dir::new("errors");
        dir.write("good.policy", b"x");
        dir.write("large.policy", &vec![b'x'; MAX_FILE as usize + 1]);
        fs::create_dir(dir.0.join("folder.policy")).unwrap();
        nix::unistd::mkfifo(&dir.0.join("pipe.policy"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("/nonexistent", dir.0.join("link.policy")).unwrap();
        let (sources, errors) = read_directory(&dir.0, false);
        assert_eq!(names(&sources), [("file", "good.policy")]);
        let text: Vec<String> = errors.iter().map(ReadError::to_string).collect();
        assert_eq!(text.len(), 4);
        for (message, part) in text
            .iter()
            .zip(["regular", "more than 4 MiB", "No such", "regular"])
        {
            assert!(message.contains(part), "{message}");
        }
        let (_, errors) = read_directory(&dir.0.join("good.policy"), false);
        assert_eq!(errors.len(), 1);
    }

    #[test]
    fn all_files_together_are_bounded() {
        let dir = Dir::new("total");
        for name in ["a", "b", "c", "d", "e"] {
            dir.write(&format!("{name}.policy"), &vec![b'x'; MAX_FILE as usize]);
        }
        let (sources, errors) = read_directory(&dir.0, false);
        assert_eq!((sources.len(), errors.len()), (4, 1));
        assert!(matches!(errors[0].cause, Cause::TooMuch));
    }
}
