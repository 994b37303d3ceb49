//! The sockets that were there before the probes: who holds which, from /proc.
//!
//! `/proc/<pid>/net` says which inode of a socket has which addresses, `/proc/<pid>/fd` who holds
//! it (proc_pid_net(5), proc_pid_fd(5)). Read once, at start; bounded by the number of descriptors
//! that are looked at and the bytes of each table.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::event::wire::Flow;
use crate::sys::files::read_limited;

/// Descriptors that are looked at.
const MOST_DESCRIPTORS: usize = 65_536;
/// Bytes of one table: some 25,000 sockets.
const LONGEST_TABLE: usize = 4 << 20;
const TABLES: [(&str, i32); 4] = [
    ("tcp", libc::IPPROTO_TCP),
    ("tcp6", libc::IPPROTO_TCP),
    ("udp", libc::IPPROTO_UDP),
    ("udp6", libc::IPPROTO_UDP),
];

/// Calls `found` for every end of a TCP or UDP connection and the process that holds its socket.
/// Of several holders the one with the highest number is told last.
pub fn walk(found: &mut dyn FnMut(&Flow, u32)) {
    let pids: Vec<u32> = entries("/proc").collect();
    let mut namespaces: BTreeMap<u64, HashMap<u64, Flow>> = BTreeMap::new();
    let mut left = MOST_DESCRIPTORS;
    for pid in pids {
        let Ok(namespace) = fs::metadata(format!("/proc/{pid}/ns/net")) else {
            continue;
        };
        let sockets = namespaces
            .entry(namespace.ino())
            .or_insert_with(|| read_tables(pid, namespace.ino()));
        if sockets.is_empty() {
            continue;
        }
        for descriptor in entries(&format!("/proc/{pid}/fd")) {
            if left == 0 {
                return;
            }
            left -= 1;
            let inode = socket_inode(&format!("/proc/{pid}/fd/{descriptor}"));
            if let Some(flow) = inode.and_then(|inode| sockets.get(&inode)) {
                found(flow, pid);
            }
        }
    }
}

/// The numbers among the names in a directory.
fn entries(directory: &str) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The inode of the socket that a descriptor is (`socket:[4711]`).
fn socket_inode(path: &str) -> Option<u64> {
    let link = fs::read_link(path).ok()?;
    let number = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
    number.parse().ok()
}

/// The sockets of the namespace that a process is in, by inode.
fn read_tables(pid: u32, namespace: u64) -> HashMap<u64, Flow> {
    let mut sockets = HashMap::new();
    let Ok(namespace) = u32::try_from(namespace) else {
        return sockets;
    };
    for (table, protocol) in TABLES {
        let path = format!("/proc/{pid}/net/{table}");
        let bytes = read_limited(Path::new(&path), LONGEST_TABLE).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        sockets.extend(text.lines().skip(1).filter_map(|line| {
            let (inode, local, remote) = parse(line)?;
            let flow = Flow {
                net_namespace: namespace,
                protocol: protocol as u16,
                local_port: local.port(),
                remote: (remote.port() != 0).then_some(remote),
            };
            Some((inode, flow))
        }));
    }
    sockets
}

/// Inode, own address and the other one of a line of the tables.
fn parse(line: &str) -> Option<(u64, SocketAddr, SocketAddr)> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let local = address(words.next()?)?;
    let remote = address(words.next()?)?;
    let inode = words.nth(6)?.parse().ok()?;
    Some((inode, local, remote))
}

/// `0100007F:0035`: the words of the address in the machine's byte order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = ip.get(at..at + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let octets: [u8; 16] = words.as_flattened().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    #[test]
    fn lines_of_the_tables_are_read() {
        let line = "   0: 0100007F:0035 0200000A:D431 01 00000000:00000000 00:00000000 00000000  \
                    100        0 4711 1 0000000000000000 100 0 0 10 0";
        let (inode, local, remote) = parse(line).unwrap();
        assert_eq!(inode, 4711);
        assert_eq!(local, "127.0.0.1:53".parse().unwrap());
        assert_eq!(remote, "10.0.0.2:54321".parse().unwrap());
        assert_eq!(
            address("B80D01200000000000000000010000FF:0050"),
            "[2001:db8::ff00:1]:80".parse().ok()
        );
        for broken in [
            "",
            "0100007F",
            "0100007F:",
            "é00007F:0035",
            "01:1",
            "0100007G:0035",
        ] {
            assert_eq!(address(broken), None, "{broken}");
        }
    }

    #[test]
    fn the_sockets_of_this_process_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let udp = UdpSocket::bind("[::1]:0").unwrap();
        let mut all = Vec::new();
        walk(&mut |flow, pid| {
            if pid == std::process::id() {
                all.push((flow.protocol, flow.local_port, flow.remote));
            }
        });
        let port = |address: SocketAddr| address.port();
        let listening = (6, port(listener.local_addr().unwrap()), None);
        let connected = (
            6,
            port(client.local_addr().unwrap()),
            Some(listener.local_addr().unwrap()),
        );
        let bound = (17, port(udp.local_addr().unwrap()), None);
        for wanted in [listening, connected, bound] {
            assert!(all.contains(&wanted), "{wanted:?} in {all:?}");
        }
    }
}
