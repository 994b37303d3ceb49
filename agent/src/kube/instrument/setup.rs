//! Leaves a copy of this program in a volume, for the containers that mount it.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The copy's name in the volume; containers start it under this name.
const NAME: &str = "cws-instrumentation";
/// Its name until it is whole.
const NEW_NAME: &str = ".cws-instrumentation.new";
/// Everybody runs it, whoever a container runs as.
const MODE: u32 = 0o755;

/// The volume has no copy, or still the one that it had.
#[derive(Debug)]
pub enum Error {
    /// This program cannot be read.
    Program(io::Error),
    /// Something cannot be written.
    Volume(PathBuf, io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Program(error) => write!(
                f,
                "the program itself cannot be read: {error}; mount /proc in this container"
            ),
            Error::Volume(path, error) => write!(
                f,
                "{} cannot be written: {error}; mount the volume there, writable",
                path.display()
            ),
        }
    }
}

impl std::error::Error for Error {}

/// Copies this program into the volume, in one step for those who look at it.
///
/// # Errors
/// When the program cannot be read, or the volume not be written.
pub fn copy_into(volume: &Path) -> Result<(), Error> {
    let mut program = File::open("/proc/self/exe").map_err(Error::Program)?;
    let new = volume.join(NEW_NAME);
    // One that was killed may have left it.
    let _ = fs::remove_file(&new);
    let written = write(&mut program, &new).and_then(|()| fs::rename(&new, volume.join(NAME)));
    written.map_err(|error| {
        let _ = fs::remove_file(&new);
        Error::Volume(volume.to_owned(), error)
    })
}

fn write(program: &mut File, path: &Path) -> io::Result<()> {
    let mut copy = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path)?;
    io::copy(program, &mut copy)?;
    // The umask may have taken from the mode.
    copy.set_permissions(Permissions::from_mode(MODE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_volume_gets_this_program() {
        let volume = std::env::temp_dir().join(format!("cws-setup-{}", std::process::id()));
        fs::create_dir_all(&volume).unwrap();
        fs::write(volume.join(NEW_NAME), "half").unwrap();
        fs::write(volume.join(NAME), "old").unwrap();
        copy_into(&volume).unwrap();
        let copy = volume.join(NAME);
        assert!(fs::read(&copy).unwrap() == fs::read("/proc/self/exe").unwrap());
        let mode = fs::metadata(&copy).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, MODE);
        assert_eq!(fs::read_dir(&volume).unwrap().count(), 1);
        fs::remove_dir_all(&volume).unwrap();
    }

    #[test]
    fn a_volume_that_is_none_is_named() {
        let error = copy_into(Path::new("/proc/no volume")).unwrap_err();
        assert!(error
            .to_string()
            .starts_with("/proc/no volume cannot be written"));
    }
}
