//! Files: flags of open and of paths, modes, pipes, what a file is made of.

use super::{Family, Named, Values};

/// Flags of open, lowest bit first; `O_SYNC` before `O_DSYNC`, which it contains, and
/// `O_TMPFILE` before `O_DIRECTORY`.
pub const OPEN_FLAGS: &[Named] = from_libc![
    O_WRONLY O_RDWR O_CREAT O_EXCL O_NOCTTY O_TRUNC O_APPEND O_NONBLOCK O_SYNC O_DSYNC O_ASYNC
    O_DIRECT O_TMPFILE O_DIRECTORY O_NOFOLLOW O_NOATIME O_CLOEXEC O_PATH
];

/// Other names of open flags, and those that are no bits.
const MORE_OPEN_FLAGS: &[Named] = from_libc![O_RDONLY O_NDELAY O_RSYNC O_ACCMODE];

/// musl has 0 for it, as its files are always large.
#[cfg(target_arch = "aarch64")]
const LARGE_FILE: &[Named] = numbers![O_LARGEFILE 0o400000;];
#[cfg(not(target_arch = "aarch64"))]
const LARGE_FILE: &[Named] = numbers![O_LARGEFILE 0o100000;];

const PATH_FLAGS: &[Named] = from_libc![
    AT_FDCWD AT_SYMLINK_NOFOLLOW AT_EACCESS AT_REMOVEDIR AT_SYMLINK_FOLLOW AT_NO_AUTOMOUNT
    AT_EMPTY_PATH AT_RECURSIVE
];

const MODES: &[Named] = from_libc![
    S_IFMT S_IFSOCK S_IFLNK S_IFREG S_IFBLK S_IFDIR S_IFCHR S_IFIFO
    S_ISUID S_ISGID S_ISVTX
    S_IRWXU S_IRUSR S_IWUSR S_IXUSR
    S_IRWXG S_IRGRP S_IWGRP S_IXGRP
    S_IRWXO S_IROTH S_IWOTH S_IXOTH
];

/// Other names of modes.
const MORE_MODES: &[Named] = numbers![
    S_IREAD 0o400; S_IWRITE 0o200; S_IEXEC 0o100;
];

const PIPE_FLAGS: &[Named] = numbers![
    PIPE_BUF_FLAG_LRU 1; PIPE_BUF_FLAG_ATOMIC 2; PIPE_BUF_FLAG_GIFT 4; PIPE_BUF_FLAG_PACKET 8;
    PIPE_BUF_FLAG_CAN_MERGE 0x10; PIPE_BUF_FLAG_WHOLE 0x20; PIPE_BUF_FLAG_LOSS 0x40;
];

const SYSCTL_ACTIONS: &[Named] = numbers![SYSCTL_READ 1; SYSCTL_WRITE 2;];

// What a file is made of is our own finding, and so are the numbers.

const FILE_TYPES: &[&str] = names![
    UNKNOWN_FILE_TYPE EMPTY TEXT SHELL_SCRIPT BINARY LINUX_EXECUTABLE WINDOWS_EXECUTABLE
    MACOS_EXECUTABLE COMPRESSED ENCRYPTED FILE_LESS
];

const ARCHITECTURES: &[&str] = names![UNKNOWN_ARCHITECTURE X86 X86_64 ARM ARM64];

const ABIS: &[&str] = names![UNKNOWN_ABI BIT32 BIT64];

const COMPRESSIONS: &[&str] = names![NO_COMPRESSION GZIP ZIP BZIP2 XZ ZSTD LZ4 SEVEN_ZIP];

pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "open flags",
        values: &[
            Values::Named(OPEN_FLAGS),
            Values::Named(MORE_OPEN_FLAGS),
            Values::Named(LARGE_FILE),
        ],
    },
    Family {
        name: "flags of paths",
        values: &[Values::Named(PATH_FLAGS)],
    },
    Family {
        name: "file modes",
        values: &[Values::Named(MODES), Values::Named(MORE_MODES)],
    },
    Family {
        name: "flags of pipe buffers",
        values: &[Values::Named(PIPE_FLAGS)],
    },
    Family {
        name: "actions on sysctls",
        values: &[Values::Named(SYSCTL_ACTIONS)],
    },
    Family {
        name: "file types",
        values: &[Values::Counted(FILE_TYPES)],
    },
    Family {
        name: "file architectures",
        values: &[Values::Counted(ARCHITECTURES)],
    },
    Family {
        name: "file ABIs",
        values: &[Values::Counted(ABIS)],
    },
    Family {
        name: "file compressions",
        values: &[Values::Counted(COMPRESSIONS)],
    },
];
