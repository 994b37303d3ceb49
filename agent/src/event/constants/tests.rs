use super::*;

/// Of each family some names and their numbers.
const SAMPLES: &[(&str, &str)] = &[
    ("open flags", "O_CREAT=64 O_RDONLY=0 O_WRONLY=1 O_RDWR=2 O_TRUNC=512 O_APPEND=1024"),
    ("flags of paths", "AT_REMOVEDIR=512 AT_FDCWD=-100"),
    ("file modes", "S_ISUID=2048 S_ISGID=1024 S_IFMT=61440 S_IXOTH=1"),
    ("flags of pipe buffers", "PIPE_BUF_FLAG_CAN_MERGE=16"),
    ("actions on sysctls", "SYSCTL_READ=1 SYSCTL_WRITE=2"),
    ("file types", "UNKNOWN_FILE_TYPE=0"),
    ("file architectures", "X86_64=2"),
    ("file ABIs", "BIT64=2"),
    ("file compressions", "GZIP=1"),
    ("signals", "SIGKILL=9 SIGSYS=31 SIGCHLD=17"),
    ("capabilities", "CAP_CHOWN=1 CAP_SYS_ADMIN=2097152 CAP_CHECKPOINT_RESTORE=1099511627776"),
    ("causes of an exit", "EXITED=0 COREDUMPED=1 SIGNALED=2"),
    ("login users", "AUDIT_AUID_UNSET=4294967295"),
    ("ptrace requests", "PTRACE_TRACEME=0 PTRACE_ATTACH=16 PTRACE_SEIZE=16902 PTRACE_SETREGS=13"),
    ("prctl options", "PR_SET_NAME=15 PR_SET_DUMPABLE=4 PR_SET_PTRACER=1499557217"),
    ("resource limits", "RLIMIT_CPU=0 RLIMIT_NOFILE=7 RLIMIT_RTTIME=15"),
    ("clone and unshare flags", "CLONE_NEWUSER=268435456 CLONE_IO=2147483648 CLONE_NEWNS=131072"),
    ("user session types", "K8S=1 SSH=2"),
    ("SSH authentication methods", "SSH_AUTH_PUBLIC_KEY=2"),
    ("memory protections", "PROT_NONE=0 PROT_READ=1 PROT_WRITE=2 PROT_EXEC=4"),
    ("flags of mmap", "MAP_SHARED=1 MAP_FIXED=16 MAP_ANONYMOUS=32 MAP_HUGE_16GB=2281701376"),
    ("flags of memory areas", "VM_NONE=0 VM_READ=1 VM_EXEC=4 VM_GROWSDOWN=256 VM_MERGEABLE=2147483648"),
    ("error numbers", "EPERM=1 EACCES=13 EHWPOISON=133"),
    ("address families", "AF_UNIX=1 AF_INET=2 AF_INET6=10 AF_VSOCK=40 AF_XDP=44"),
    ("socket types", "SOCK_STREAM=1 SOCK_RAW=3 SOCK_CLOEXEC=524288"),
    ("socket protocols", "IPPROTO_IP=0 IPPROTO_TCP=6 IPPROTO_ICMPV6=58"),
    ("transport protocols of packets", "IP_PROTO_IP=0 IP_PROTO_TCP=6 IP_PROTO_UDP=17"),
    ("network protocols of packets", "ETH_P_IP=2048 ETH_P_IPV6=34525 ETH_P_ARP=2054"),
    ("levels of socket options", "SOL_SOCKET=1 SOL_TCP=6 SOL_PACKET=263 SOL_TLS=282"),
    ("socket options", "SO_ATTACH_FILTER=26 SO_ATTACH_BPF=50 SO_REUSEADDR=2"),
    ("TCP options", "TCP_NODELAY=1 TCP_ULP=31"),
    ("UDP options", "UDP_SEGMENT=103"),
    ("IPv4 options", "IP_TOS=1 IP_TRANSPARENT=19"),
    ("IPv6 options", "IPV6_V6ONLY=26 IPV6_TRANSPARENT=75"),
    ("directions of packets", "EGRESS=1 INGRESS=2"),
    ("TLS versions", "TLS_1_2=771 SSL_3_0=768"),
    ("DNS types", "A=1 AAAA=28 TXT=16 SRV=33 ANY=255"),
    ("DNS classes", "CLASS_INET=1"),
    ("DNS response codes", "NOERROR=0 NXDOMAIN=3"),
    ("BPF commands", "BPF_MAP_CREATE=0 BPF_PROG_LOAD=5 BPF_PROG_RUN=10 BPF_LINK_DETACH=34"),
    ("BPF map types", "BPF_MAP_TYPE_ARRAY=2 BPF_MAP_TYPE_RINGBUF=27 BPF_MAP_TYPE_ARENA=33"),
    ("BPF program types", "BPF_PROG_TYPE_KPROBE=2 BPF_PROG_TYPE_LSM=29 BPF_PROG_TYPE_NETFILTER=32"),
    ("BPF attach types", "BPF_CGROUP_INET_INGRESS=0 BPF_LSM_MAC=27 BPF_NETKIT_PEER=55"),
    (
        "BPF helper functions",
        "BPF_PROBE_WRITE_USER=36 BPF_OVERRIDE_RETURN=58 BPF_SEND_SIGNAL=109 BPF_GET_CURRENT_TASK=35 \
         BPF_RINGBUF_OUTPUT=130 BPF_CGRP_STORAGE_DELETE=211",
    ),
];

#[test]
fn every_family_has_its_constants() {
    let named: Vec<&str> = families().map(|family| family.name).collect();
    let sampled: Vec<&str> = SAMPLES.iter().map(|(family, _)| *family).collect();
    assert_eq!(named, sampled);
    for (family, (_, samples)) in families().zip(SAMPLES) {
        for sample in samples.split_whitespace() {
            let (name, value) = sample.split_once('=').unwrap();
            let value: i64 = value.parse().unwrap();
            assert!(
                family.constants().any(|one| one == (name, value)),
                "{sample}"
            );
            assert_eq!(find(name), Some(Constant::Int(value)), "{sample}");
        }
    }
}

#[test]
fn every_constant_is_found() {
    for (name, value) in all() {
        assert_eq!(find(name), Some(Constant::Int(value)), "{name}");
    }
    assert!(all().count() > 1_000, "{}", all().count());
    assert_eq!(find("true"), Some(Constant::Bool(true)));
    assert_eq!(find("false"), Some(Constant::Bool(false)));
    for name in ["O_NOTHING", "", "o_creat", "open.flags"] {
        assert_eq!(find(name), None, "{name}");
    }
}

/// Policies are written for machines of every architecture.
#[test]
fn flags_of_the_kernel_on_this_architecture() {
    let (large, directory) = match cfg!(target_arch = "aarch64") {
        true => (0o400_000, 0o40_000),
        false => (0o100_000, 0o200_000),
    };
    assert_eq!(find("O_LARGEFILE"), Some(Constant::Int(large)));
    assert_eq!(find("O_DIRECTORY"), Some(Constant::Int(directory)));
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

#[test]
fn numbers_of_the_network_are_named() {
    for (family, number, name) in [
        (ADDRESS_FAMILY, 1, "AF_UNIX"),
        (ADDRESS_FAMILY, 10, "AF_INET6"),
        (ADDRESS_FAMILY, 16, "AF_NETLINK"),
        (ADDRESS_FAMILY, 43, "AF_SMC"),
        (SOCKET_PROTOCOL, 0, "IPPROTO_IP"),
        (SOCKET_PROTOCOL, 262, "IPPROTO_MPTCP"),
        (TRANSPORT_PROTOCOL, 58, "IP_PROTO_ICMPV6"),
        (NETWORK_PROTOCOL, 0x86dd, "ETH_P_IPV6"),
        (DIRECTION, INGRESS, "INGRESS"),
        (TLS_VERSION, 0x304, "TLS_1_3"),
        (DNS_TYPE, 255, "ANY"),
        (DNS_CLASS, 1, "CLASS_INET"),
        (DNS_TYPE, 65_000, ""),
        (ADDRESS_FAMILY, -1, ""),
    ] {
        assert_eq!(family.name_of(number), name, "{number} of {}", family.name);
    }
}
