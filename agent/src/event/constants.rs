//! Names of numbers: the kernel's constants that rules may use, and the same tables read
//! backwards for JSON.
//!
//! The numbers come from the libc crate for the architecture that is built for; where musl gives
//! another value than the kernel, or libc has none, the kernel's is written here.

use crate::secl::Constant;

/// A name and its number.
pub type Named = (&'static str, i64);

macro_rules! from_libc {
    ($($name:ident)*) => { &[$((stringify!($name), libc::$name as i64)),*] };
}

/// Flags of open, lowest bit first; `O_SYNC` before `O_DSYNC`, which it contains, and
/// `O_TMPFILE` before `O_DIRECTORY`.
pub const OPEN_FLAGS: &[Named] = from_libc![
    O_WRONLY O_RDWR O_CREAT O_EXCL O_NOCTTY O_TRUNC O_APPEND O_NONBLOCK O_SYNC O_DSYNC O_ASYNC
    O_DIRECT O_TMPFILE O_DIRECTORY O_NOFOLLOW O_NOATIME O_CLOEXEC O_PATH
];

/// Other names of open flags, and those that are no bits.
const MORE_OPEN_FLAGS: &[Named] = &[
    ("O_RDONLY", 0),
    ("O_NDELAY", libc::O_NDELAY as i64),
    ("O_RSYNC", libc::O_RSYNC as i64),
    ("O_LARGEFILE", 0o100000),
    ("O_ACCMODE", 3),
    ("AT_FDCWD", libc::AT_FDCWD as i64),
];

const MODES: &[Named] = from_libc![
    S_IFMT S_IFSOCK S_IFLNK S_IFREG S_IFBLK S_IFDIR S_IFCHR S_IFIFO
    S_ISUID S_ISGID S_ISVTX
    S_IRWXU S_IRUSR S_IWUSR S_IXUSR
    S_IRWXG S_IRGRP S_IWGRP S_IXGRP
    S_IRWXO S_IROTH S_IWOTH S_IXOTH
];

const ERRORS: &[Named] = from_libc![
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT
    ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG
    ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY
    ELOOP EWOULDBLOCK ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG EUNATCH ENOCSI EL2HLT
    EBADE EBADR EXFULL ENOANO EBADRQC EBADSLT EDEADLOCK EBFONT ENOSTR ENODATA ETIME ENOSR
    ENONET ENOPKG EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO EMULTIHOP EDOTDOT EBADMSG EOVERFLOW
    ENOTUNIQ EBADFD EREMCHG ELIBACC ELIBBAD ELIBSCN ELIBMAX ELIBEXEC EILSEQ ERESTART ESTRPIPE
    EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT
    ESOCKTNOSUPPORT EOPNOTSUPP ENOTSUP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL
    ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN
    ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE
    EUCLEAN ENOTNAM ENAVAIL EISNAM EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY
    EKEYEXPIRED EKEYREVOKED EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON
];

/// Signals by name.
pub const SIGNALS: &[Named] = from_libc![
    SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2
    SIGPIPE SIGALRM SIGTERM SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG
    SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPOLL SIGPWR SIGSYS
];

/// Names of the capabilities, by number.
const CAPABILITIES: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Causes of an exit (`exit.cause`).
pub const EXIT_CAUSES: &[Named] = &[("EXITED", 0), ("COREDUMPED", 1), ("SIGNALED", 2)];

/// The login user of processes that no login began.
pub const LOGIN_UID_UNSET: u32 = u32::MAX;

const OTHERS: &[Named] = &[("AUDIT_AUID_UNSET", LOGIN_UID_UNSET as i64)];

const TABLES: &[&[Named]] = &[
    OPEN_FLAGS,
    MORE_OPEN_FLAGS,
    MODES,
    ERRORS,
    SIGNALS,
    EXIT_CAUSES,
    OTHERS,
];

/// The constant with this name: a number of the kernel, `true` or `false`. Capabilities are
/// bits of a mask, as the capability fields are.
pub fn find(name: &str) -> Option<Constant> {
    match name {
        "true" => return Some(Constant::Bool(true)),
        "false" => return Some(Constant::Bool(false)),
        _ => {}
    }
    let listed = TABLES.iter().flat_map(|table| table.iter());
    let value = listed
        .filter(|(known, _)| *known == name)
        .map(|(_, value)| *value)
        .next();
    value
        .or_else(|| {
            let bit = CAPABILITIES.iter().position(|known| *known == name)?;
            Some(1i64 << bit)
        })
        .map(Constant::Int)
}

/// Every constant, in the order of the tables, for documentation.
pub fn all() -> impl Iterator<Item = Named> {
    let capabilities = CAPABILITIES
        .iter()
        .enumerate()
        .map(|(bit, name)| (*name, 1i64 << bit));
    TABLES
        .iter()
        .flat_map(|table| table.iter().copied())
        .chain(capabilities)
}

/// The names of the flags of open; `O_RDONLY` when neither writing flag is set.
pub fn open_flags(flags: u32) -> Vec<&'static str> {
    let mut left = i64::from(flags);
    let mut names = Vec::new();
    if flags & libc::O_ACCMODE as u32 == 0 {
        names.push("O_RDONLY");
    }
    for (name, bits) in OPEN_FLAGS {
        if *bits != 0 && left & bits == *bits {
            names.push(*name);
            left &= !bits;
        }
    }
    names
}

/// The names of a set of capabilities.
pub fn capabilities(set: u64) -> impl Iterator<Item = &'static str> {
    CAPABILITIES
        .iter()
        .enumerate()
        .filter(move |(bit, _)| set >> bit & 1 == 1)
        .map(|(_, name)| *name)
}

/// The name of an exit cause.
pub fn exit_cause(cause: u32) -> &'static str {
    EXIT_CAUSES
        .iter()
        .find(|(_, value)| *value == i64::from(cause))
        .map_or("", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_found_by_name() {
        for (name, value) in [
            ("O_CREAT", 0o100),
            ("O_RDONLY", 0),
            ("S_ISUID", 0o4000),
            ("EACCES", 13),
            ("SIGKILL", 9),
            ("CAP_SYS_ADMIN", 1 << 21),
            ("SIGNALED", 2),
            ("AUDIT_AUID_UNSET", 4_294_967_295),
        ] {
            assert_eq!(find(name), Some(Constant::Int(value)), "{name}");
        }
        assert_eq!(find("true"), Some(Constant::Bool(true)));
        assert_eq!(find("O_NOTHING"), None);
    }

    #[test]
    fn no_name_has_two_values() {
        let mut seen = std::collections::HashMap::new();
        for (name, value) in all() {
            assert_eq!(*seen.entry(name).or_insert(value), value, "{name}");
        }
    }

    #[test]
    fn masks_are_named() {
        assert_eq!(open_flags(0o1101), ["O_WRONLY", "O_CREAT", "O_TRUNC"]);
        assert_eq!(open_flags(0), ["O_RDONLY"]);
        assert_eq!(open_flags(libc::O_SYNC as u32), ["O_RDONLY", "O_SYNC"]);
        let names: Vec<_> = capabilities(1 | 1 << 40).collect();
        assert_eq!(names, ["CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"]);
        assert_eq!(exit_cause(1), "COREDUMPED");
    }
}
