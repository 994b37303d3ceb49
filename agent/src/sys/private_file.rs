//! New files for one user's eyes, in a directory that everybody may write to.
//!
//! A stem and an ending enter; a file of mode 0600 that did not exist before leaves, in `$TMPDIR`
//! or /tmp, under a name that cannot be guessed. No link is followed in its place.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const DIRECTORY: &str = "/tmp";
/// Names that are tried; each is as good as free.
const ATTEMPTS: u32 = 10;

/// Makes the file `<stem>-<16 hexadecimal digits>.<ending>`. Errors are those of open(2).
pub fn create(stem: &str, ending: &str) -> io::Result<(PathBuf, File)> {
    let wished = std::env::var_os("TMPDIR").filter(|path| !path.is_empty());
    let directory = wished.map_or_else(|| PathBuf::from(DIRECTORY), PathBuf::from);
    create_in(&directory, stem, ending)
}

fn create_in(directory: &Path, stem: &str, ending: &str) -> io::Result<(PathBuf, File)> {
    for attempt in 0..ATTEMPTS {
        let number = RandomState::new().hash_one(attempt);
        let path = directory.join(format!("{stem}-{number:016x}.{ending}"));
        let mut options = OpenOptions::new();
        match options.write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|file| (path, file)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_are_new_and_private() {
        let base = std::env::temp_dir().join(format!("private-file-{}", std::process::id()));
        fs::create_dir(&base).unwrap();
        let (one, file) = create_in(&base, "dump", "json").unwrap();
        let (other, _) = create_in(&base, "dump", "json").unwrap();
        assert_ne!(one, other);
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let name = one.file_name().unwrap().to_str().unwrap();
        assert!(
            name.starts_with("dump-") && name.ends_with(".json"),
            "{name}"
        );
        fs::remove_dir_all(&base).unwrap();
        let error = create_in(&base, "dump", "json").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
