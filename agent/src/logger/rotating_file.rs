//! Stands in for `sys::rotating_file`, which has the same functions and rotates; goes when that
//! comes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

#[derive(Debug)]
pub(super) struct RotatingFile(File);

impl RotatingFile {
    pub(super) fn open(path: &Path, _max_size: u64, _count: usize) -> io::Result<RotatingFile> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(RotatingFile(file))
    }

    pub(super) fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.write_all(line)?;
        self.0.write_all(b"\n")
    }
}
