//! The helper as an archive: one file, packed while it is sent.
//!
//! A directory of helpers and an architecture enter, the bytes of a tar archive leave piece by
//! piece. Where they go is the caller's business.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use tar::{EntryType, Header};

use super::Error;

/// The helper's name, wherever it lies.
pub const NAME: &str = "cws-instrumentation";
/// Bytes of a helper; ours has 4 MB, more when it was built for debugging.
const MAX_SIZE: u64 = 256 << 20;
/// Bytes that are read at once, and sent in one frame.
const PIECE: usize = 32 << 10;
/// Bytes that archives are made of.
const BLOCK: u64 = 512;

/// The architecture that this program was built for, as Kubernetes calls it.
const OWN: &str = match cfg!(target_arch = "aarch64") {
    true => "arm64",
    false => "amd64",
};

/// A file that is a helper.
pub struct Helper {
    file: File,
    size: u64,
}

impl Helper {
    /// The one for this architecture: what lies in the directory, else this program itself, when
    /// it was built for that.
    ///
    /// # Errors
    /// `Helper`.
    pub fn find(directory: &Path, architecture: &str) -> Result<Helper, Error> {
        let path = directory.join(format!("{NAME}.{architecture}"));
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && architecture == OWN => {
                File::open("/proc/self/exe")
            }
            result => result,
        };
        let wrong = |error: io::Error| Error::Helper(format!("{} {error}", path.to_string_lossy()));
        let file = file.map_err(wrong)?;
        let metadata = file.metadata().map_err(wrong)?;
        if !metadata.is_file() || metadata.len() > MAX_SIZE {
            return Err(wrong(io::ErrorKind::InvalidInput.into()));
        }
        let size = metadata.len();
        Ok(Helper { file, size })
    }

    /// Packs it under this name, for everybody to execute.
    ///
    /// # Errors
    /// `Helper`, and those of `write`.
    pub fn pack(
        mut self,
        name: &str,
        write: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        write(&header(name, self.size)?)?;
        let mut left = self.size;
        let mut piece = vec![0; PIECE];
        while left > 0 {
            let wanted = left.min(PIECE as u64) as usize;
            let part = piece.get_mut(..wanted).unwrap_or_default();
            self.file
                .read_exact(part)
                .map_err(|error| Error::Helper(error.to_string()))?;
            write(part)?;
            left -= wanted as u64;
        }
        // The last block is filled up, and two empty ones are the end.
        let fill = (BLOCK - self.size % BLOCK) % BLOCK + 2 * BLOCK;
        write(&vec![0; fill as usize])
    }
}

fn header(name: &str, size: u64) -> Result<[u8; BLOCK as usize], Error> {
    let mut header = Header::new_ustar();
    header
        .set_path(name)
        .map_err(|_| Error::Unusable("the directory for the helper has a name that is too long"))?;
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o755);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    Ok(*header.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_size_makes_an_archive() {
        let base = std::env::temp_dir().join(format!("archive-{}", std::process::id()));
        std::fs::create_dir_all(&base).unwrap();
        for size in [0, 1, 511, 512, 513, PIECE, PIECE + 1, 3 * PIECE + 100] {
            let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            std::fs::write(base.join("cws-instrumentation.arm64"), &bytes).unwrap();
            let mut packed = Vec::new();
            let helper = Helper::find(&base, "arm64").unwrap();
            let mut write = |part: &[u8]| {
                assert!(part.len() <= PIECE);
                packed.extend_from_slice(part);
                Ok(())
            };
            helper.pack("tmp/cws-instrumentation", &mut write).unwrap();
            assert_eq!(packed.len() % 512, 0);
            let mut archive = tar::Archive::new(packed.as_slice());
            let mut entries = archive.entries().unwrap();
            let mut entry = entries.next().unwrap().unwrap();
            assert_eq!(entry.path().unwrap(), Path::new("tmp/cws-instrumentation"));
            assert_eq!(entry.header().mode().unwrap(), 0o755);
            let mut got = Vec::new();
            entry.read_to_end(&mut got).unwrap();
            assert!(got == bytes, "{size}");
            assert!(entries.next().is_none());
        }
        std::fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn this_program_is_the_helper_of_its_architecture_only() {
        let nowhere = Path::new("/nonexistent");
        let other = if OWN == "arm64" { "amd64" } else { "arm64" };
        assert!(Helper::find(nowhere, OWN).is_ok());
        assert!(Helper::find(nowhere, other).is_err());
    }

    #[test]
    fn a_name_that_does_not_fit_is_refused() {
        assert!(header(&"x".repeat(300), 1).is_err());
        assert!(header("../x", 1).is_err());
    }
}
