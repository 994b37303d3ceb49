//! The process that hashes files, so that a slow or hanging file system never holds up the loop.
//!
//! system-probe starts it on demand and writes one request a line; it answers with one line each,
//! in order. It opens files without blocking, refuses what is no regular file and what lies on a
//! file system that others control, and is killed by system-probe when it takes too long.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use md5::Md5;
use nix::sys::statfs::{fstatfs, FsType};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;
/// Magic numbers (include/uapi/linux/magic.h and statfs(2)) of file systems that another process
/// or another host serves: FUSE, NFS, SMB, CIFS, SMB2, 9P, Ceph, AFS, Coda.
const FOREIGN: [i64; 9] = [
    0x6573_5546,
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x0102_1997,
    0x00c3_6400,
    0x5346_414f,
    0x7375_7245,
];

/// What is asked.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) id: u64,
    /// Where the file may be found; the first that has the inode is taken.
    pub(super) paths: Vec<String>,
    /// 0 when it is not known.
    pub(super) inode: u64,
    pub(super) max_size: u64,
    pub(super) algorithms: Vec<String>,
}

/// What is answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) id: u64,
    pub(super) state: String,
    pub(super) hashes: Vec<String>,
}

/// `hash-worker`: answers requests until its input ends.
pub fn run() -> io::Result<()> {
    let mut output = io::stdout();
    for line in io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line?)?;
        let mut answer = serde_json::to_string(&answer(&request))?;
        answer.push('\n');
        output.write_all(answer.as_bytes())?;
        output.flush()?;
    }
    Ok(())
}

fn answer(request: &Request) -> Answer {
    let (state, hashes) = match open(request).and_then(|file| hash(file, request)) {
        Ok(hashes) => ("Done", hashes),
        Err(state) => (state, Vec::new()),
    };
    Answer {
        id: request.id,
        state: state.to_owned(),
        hashes,
    }
}

/// Opens the file that is meant; the error is a state.
fn open(request: &Request) -> Result<File, &'static str> {
    let mut state = "FileNotFound";
    for path in &request.paths {
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(_) => {
                state = "FileOpenError";
                continue;
            }
        };
        let Ok(metadata) = file.metadata() else {
            continue;
        };
        let is_meant = request.inode == 0 || metadata.ino() == request.inode;
        if metadata.is_file() && is_meant {
            return bounded(file, metadata.len(), request.max_size);
        }
    }
    Err(state)
}

fn bounded(file: File, size: u64, max_size: u64) -> Result<File, &'static str> {
    let FsType(kind) = fstatfs(&file)
        .map_err(|_| "FileOpenError")?
        .filesystem_type();
    if FOREIGN.contains(&(kind as i64 & 0xffff_ffff)) {
        return Err("FileOpenError");
    }
    match size {
        0 => Err("FileEmpty"),
        size if size > max_size => Err("FileTooBig"),
        _ => Ok(file),
    }
}

/// The hashes of a file, as `algorithm:hexadecimal`; the error is a state.
fn hash(mut file: File, request: &Request) -> Result<Vec<String>, &'static str> {
    let wants = |name: &str| request.algorithms.iter().any(|wanted| wanted == name);
    let mut md5 = wants("md5").then(Md5::new);
    let mut sha1 = wants("sha1").then(Sha1::new);
    let mut sha256 = wants("sha256").then(Sha256::new);
    let mut piece = vec![0; PIECE];
    let mut left = request.max_size;
    loop {
        let read = file.read(&mut piece).map_err(|_| "HashFailed")?;
        let bytes = piece.get(..read).unwrap_or(&[]);
        if bytes.is_empty() {
            break;
        }
        // A file may grow while it is read.
        left = left.checked_sub(read as u64).ok_or("FileTooBig")?;
        if let Some(md5) = &mut md5 {
            md5.update(bytes);
        }
        if let Some(sha1) = &mut sha1 {
            sha1.update(bytes);
        }
        if let Some(sha256) = &mut sha256 {
            sha256.update(bytes);
        }
    }
    let named = [
        ("md5", md5.map(|hash| hexadecimal(&hash.finalize()))),
        ("sha1", sha1.map(|hash| hexadecimal(&hash.finalize()))),
        ("sha256", sha256.map(|hash| hexadecimal(&hash.finalize()))),
    ];
    let found = named.into_iter();
    Ok(found
        .filter_map(|(name, hash)| Some(format!("{name}:{}", hash?)))
        .collect())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn request(paths: &[&str], max_size: u64) -> Request {
        Request {
            id: 1,
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            inode: 0,
            max_size,
            algorithms: ["md5", "sha1", "sha256", "ssdeep"]
                .map(str::to_owned)
                .to_vec(),
        }
    }

    #[test]
    fn files_are_hashed_within_limits() {
        let base = std::env::temp_dir().join(format!("hash-worker-{}", std::process::id()));
        fs::create_dir_all(&base).unwrap();
        let path = |name: &str| base.join(name).to_string_lossy().into_owned();
        fs::write(path("abc"), "abc").unwrap();
        fs::write(path("empty"), "").unwrap();
        nix::unistd::mkfifo(base.join("pipe").as_path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (missing, abc) = (path("missing"), path("abc"));
        let done = answer(&request(&[&missing, &abc], 3));
        assert_eq!(done.state, "Done");
        assert_eq!(
            done.hashes,
            [
                "md5:900150983cd24fb0d6963f7d28e17f72",
                "sha1:a9993e364706816aba3e25717850c26c9cd0d89d",
                "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ]
        );
        let other = Request {
            inode: 1,
            ..request(&[&abc], 3)
        };
        assert_eq!(
            answer(&other).state,
            "FileNotFound",
            "another file lies there"
        );
        for (name, size, state) in [
            ("abc", 2, "FileTooBig"),
            ("empty", 9, "FileEmpty"),
            ("missing", 9, "FileNotFound"),
            ("pipe", 9, "FileNotFound"),
            (".", 9, "FileNotFound"),
        ] {
            assert_eq!(
                answer(&request(&[&path(name)], size)).state,
                state,
                "{name}"
            );
        }
        fs::remove_dir_all(&base).unwrap();
    }
}
