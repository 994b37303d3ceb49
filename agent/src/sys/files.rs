//! Looking at files of others without touching them.
//!
//! Descriptors are opened with `O_PATH`: nothing is read, no device is woken, no lease broken.
//! Attributes are taken without asking a server for fresh ones. Descriptors of directories and
//! paths enter, descriptors and plain values leave; who may be asked at all is decided above.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{self, OFlag, OpenHow, ResolveFlag};
use nix::sys::stat::Mode;

/// More than `/proc/<pid>/fdinfo/<fd>` has for a descriptor that only names a file.
const MAX_DESCRIPTOR_INFO: usize = 4_096;

/// What the kernel says of an inode. Times are nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Inode number.
    pub inode: u64,
    /// Mount id; 0 when the kernel does not tell it (see [`mount_id`]).
    pub mount_id: u32,
    /// Device number (major << 20 | minor).
    pub device: u32,
    /// Type and permissions.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Link count.
    pub links: u32,
    /// Modification time.
    pub modified: u64,
    /// Change time.
    pub changed: u64,
}

impl Metadata {
    /// Whether it is a symbolic link.
    pub fn is_link(&self) -> bool {
        u32::from(self.mode) & libc::S_IFMT == libc::S_IFLNK
    }
}

/// Whether a symbolic link in the last place is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// The file it points to.
    Follow,
    /// The link itself.
    Keep,
}

fn flags(last: Last) -> OFlag {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    match last {
        Last::Follow => flags,
        Last::Keep => flags | OFlag::O_NOFOLLOW,
    }
}

/// A descriptor that only names the file at `path`, seen from here.
pub fn open_path(path: &Path, last: Last) -> Result<OwnedFd, Errno> {
    fcntl::open(path, flags(last), Mode::empty())
}

/// A descriptor that only names the entry `name` of a directory; a link is not followed.
pub fn open_entry(directory: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    fcntl::openat(directory, name, flags(Last::Keep), Mode::empty())
}

/// A descriptor that only names the file at `path`, with `root` taken for the root directory.
/// The kernel looks at what it has in memory and fails with `EAGAIN` rather than wait (Linux
/// 5.12; `EINVAL` before, `ENOSYS` before Linux 5.6).
pub fn open_cached(root: BorrowedFd<'_>, path: &[u8], last: Last) -> Result<OwnedFd, Errno> {
    let cached = ResolveFlag::from_bits_retain(libc::RESOLVE_CACHED);
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | cached;
    let how = OpenHow::new().flags(flags(last)).resolve(resolve);
    fcntl::openat2(root, path, how)
}

/// The path that the kernel gives a descriptor: seen from the root of the mount namespace that
/// the file is in, with ` (deleted)` behind it when the file has no name any more.
pub fn descriptor_path(descriptor: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let link = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    read_link(Path::new(&link))
}

/// The target of a symbolic link.
pub fn read_link(path: &Path) -> Result<Vec<u8>, Errno> {
    fcntl::readlink(path).map(|target| target.into_vec())
}

/// The target of the symbolic link that a descriptor names.
pub fn read_link_at(link: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    fcntl::readlinkat(link, OsStr::from_bytes(b"")).map(|target| target.into_vec())
}

/// What the kernel knows of the file that a descriptor names; servers of network and FUSE file
/// systems are not asked.
pub fn metadata(descriptor: BorrowedFd<'_>) -> Result<Metadata, Errno> {
    let mut buffer = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the descriptor is open while it is borrowed, the path is an empty C string, and
    // the kernel writes no more than one struct statx into the buffer.
    let result = unsafe {
        libc::statx(
            descriptor.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC | libc::AT_SYMLINK_NOFOLLOW,
            libc::STATX_BASIC_STATS | libc::STATX_MNT_ID,
            buffer.as_mut_ptr(),
        )
    };
    Errno::result(result)?;
    // SAFETY: the buffer was zeroed and struct statx holds integers only, for which every bit
    // pattern is a value; the call succeeded and filled it.
    let stat = unsafe { buffer.assume_init() };
    Ok(Metadata {
        inode: stat.stx_ino,
        mount_id: u32::try_from(stat.stx_mnt_id).unwrap_or(0),
        device: stat.stx_dev_major << 20 | stat.stx_dev_minor & 0xf_ffff,
        mode: stat.stx_mode,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        links: stat.stx_nlink,
        modified: nanoseconds(&stat.stx_mtime),
        changed: nanoseconds(&stat.stx_ctime),
    })
}

/// The id of the mount that an open file was found on, also where `statx` does not tell it
/// (before Linux 5.8); 0 when it cannot be read.
pub fn mount_id(descriptor: BorrowedFd<'_>, metadata: &Metadata) -> u32 {
    if metadata.mount_id != 0 {
        return metadata.mount_id;
    }
    let path = format!("/proc/self/fdinfo/{}", descriptor.as_raw_fd());
    let bytes = read_limited(Path::new(&path), MAX_DESCRIPTOR_INFO).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.lines()
        .find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
        .unwrap_or(0)
}

fn nanoseconds(time: &libc::statx_timestamp) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(time.tv_nsec.into())
}

/// The attributes of the file at `path`, links followed.
pub fn metadata_of(path: &Path) -> Result<Metadata, Errno> {
    metadata(open_path(path, Last::Follow)?.as_fd())
}

/// The first `limit` bytes of a regular file; other kinds are refused without being opened for
/// long, as they are opened non-blocking.
pub fn read_limited(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(limit as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{symlink, MetadataExt};

    use super::*;

    #[test]
    fn metadata_is_that_of_stat() {
        let path = Path::new("/proc/self/exe");
        let ours = metadata_of(path).unwrap();
        let theirs = std::fs::metadata(path).unwrap();
        assert_eq!(ours.inode, theirs.ino());
        assert_eq!(u32::from(ours.mode), theirs.mode());
        assert_eq!(
            ours.changed,
            (theirs.ctime() * 1_000_000_000 + theirs.ctime_nsec()) as u64
        );
        assert_eq!(u64::from(ours.links), theirs.nlink());
        assert_ne!(ours.mount_id, 0);
    }

    #[test]
    fn the_mount_is_known_without_statx() {
        for path in ["/", "/proc", "/proc/self/exe"] {
            let file = open_path(Path::new(path), Last::Follow).unwrap();
            let known = metadata(file.as_fd()).unwrap();
            assert_eq!(mount_id(file.as_fd(), &Metadata::default()), known.mount_id);
        }
    }

    #[test]
    fn a_root_is_not_left() {
        let base = std::env::temp_dir().join(format!("files-test-{}", std::process::id()));
        std::fs::create_dir_all(base.join("etc")).unwrap();
        std::fs::write(base.join("etc/passwd"), "x").unwrap();
        symlink("/etc/passwd", base.join("link")).unwrap();
        let root = open_path(&base, Last::Follow).unwrap();
        for path in ["etc/passwd", "/etc/passwd", "/../../etc/passwd", "link"] {
            let file = match open_cached(root.as_fd(), path.as_bytes(), Last::Follow) {
                // Not every kernel can, and some file systems follow no link from memory.
                Err(Errno::EAGAIN | Errno::EINVAL | Errno::ENOSYS | Errno::EPERM) => continue,
                file => file.unwrap(),
            };
            let expected = base.join("etc/passwd").into_os_string().into_vec();
            assert_eq!(descriptor_path(file.as_fd()).unwrap(), expected, "{path}");
        }
        let link = open_entry(root.as_fd(), b"link").unwrap();
        assert!(metadata(link.as_fd()).unwrap().is_link());
        assert_eq!(read_link_at(link.as_fd()).unwrap(), b"/etc/passwd");
        std::fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn only_regular_files_are_read() {
        assert!(read_limited(Path::new("/dev/zero"), 10).is_err());
        assert!(read_limited(Path::new("/proc"), 10).is_err());
        assert_eq!(
            read_limited(Path::new("/proc/self/stat"), 3).unwrap().len(),
            3
        );
    }
}
