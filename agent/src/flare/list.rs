//! What is in an archive that was made before.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use flate2::read::GzDecoder;

use super::Error;
use crate::sys::terminal::printable;

/// Entries that are listed at most: an archive of ours has some hundreds.
const MOST: usize = 10_000;

/// Writes a line for each file of the archive at `path`: its bytes and its name.
pub fn write(path: &Path, out: &mut dyn Write) -> Result<(), Error> {
    match list(path, out) {
        // Who reads the list has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| Error::Read(path.to_owned(), error)),
    }
}

fn list(path: &Path, out: &mut dyn Write) -> io::Result<()> {
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(path)?));
    for entry in archive.entries()?.take(MOST) {
        let entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        writeln!(out, "{:>12} {}", entry.size(), printable(&name))?;
    }
    Ok(())
}
