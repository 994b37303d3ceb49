//! The sockets that were there before the probes: who holds which, from /proc.
//!
//! `/proc/<pid>/net` says which inode of a socket has which addresses, `/proc/<pid>/fd` who holds
//! it (proc_pid_net(5), proc_pid_fd(5)). Read once, at start; bounded in time, in the descriptors of
//! a process that are looked at and in the bytes of each table.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::event::wire::Flow;
use crate::sys::files::read_limited;
use crate::sys::host;

/// How long this may take.
const PATIENCE: Duration = Duration::from_millis(200);
/// Descriptors of one process that are looked at.
const MOST_DESCRIPTORS: usize = 4_096;
/// Bytes of one table: some 25,000 sockets.
const LONGEST_TABLE: usize = 4 << 20;
const TABLES: [(&str, i32); 4] = [
    ("tcp", libc::IPPROTO_TCP),
    ("tcp6", libc::IPPROTO_TCP),
    ("udp", libc::IPPROTO_UDP),
    ("udp6", libc::IPPROTO_UDP),
];

/// Calls `found` for every end of a TCP or UDP connection and the process that holds its socket.
/// Of several holders the youngest is told first: who was handed a socket rather than who made it.
/// Returns whether everything was looked at.
pub fn walk(found: &mut dyn FnMut(&Flow, u32)) -> bool {
    let deadline = Instant::now() + PATIENCE;
    let mut pids: Vec<u32> = entries(Path::new(host::proc())).collect();
    pids.sort_unstable_by(|one, other| other.cmp(one));
    let mut namespaces: BTreeMap<u64, HashMap<u64, Vec<Flow>>> = BTreeMap::new();
    let mut is_whole = true;
    for pid in pids {
        if Instant::now() >= deadline {
            return false;
        }
        let Ok(namespace) = fs::metadata(host::process(pid, "ns/net")) else {
            continue;
        };
        let sockets = namespaces
            .entry(namespace.ino())
            .or_insert_with(|| read_tables(pid, namespace.ino()));
        if !sockets.is_empty() {
            is_whole &= look_into(pid, sockets, found);
        }
    }
    is_whole
}

/// Tells of the sockets that a process holds; whether all of its descriptors were looked at.
fn look_into(
    pid: u32,
    sockets: &HashMap<u64, Vec<Flow>>,
    found: &mut dyn FnMut(&Flow, u32),
) -> bool {
    let directory = host::process(pid, "fd");
    let mut descriptors = entries(&directory);
    for descriptor in descriptors.by_ref().take(MOST_DESCRIPTORS) {
        let inode = socket_inode(&directory.join(descriptor.to_string()));
        let flows = inode.and_then(|inode| sockets.get(&inode));
        flows
            .into_iter()
            .flatten()
            .for_each(|flow| found(flow, pid));
    }
    descriptors.next().is_none()
}

/// The numbers among the names in a directory.
fn entries(directory: &Path) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The inode of the socket that a descriptor is (`socket:[4711]`).
fn socket_inode(path: &Path) -> Option<u64> {
    let link = fs::read_link(path).ok()?;
    let number = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
    number.parse().ok()
}

/// The sockets of the namespace that a process is in, by inode.
fn read_tables(pid: u32, namespace: u64) -> HashMap<u64, Vec<Flow>> {
    let mut sockets: HashMap<u64, Vec<Flow>> = HashMap::new();
    let Ok(namespace) = u32::try_from(namespace) else {
        return sockets;
    };
    for (table, protocol) in TABLES {
        let path = host::process(pid, &format!("net/{table}"));
        let bytes = read_limited(&path, LONGEST_TABLE).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        for (inode, local, remote) in text.lines().skip(1).filter_map(parse) {
            let flow = Flow {
                net_namespace: namespace,
                protocol: protocol as u16,
                local,
                remote: (remote.port() != 0).then_some(remote),
            };
            let flows = sockets.entry(inode).or_default();
            flows.push(flow);
            // It takes IPv4, too, unless it was told not to, which the table does not show.
            if flow.remote.is_none() && local.ip() == Ipv6Addr::UNSPECIFIED {
                let local = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), local.port());
                flows.push(Flow { local, ..flow });
            }
        }
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
        // A busy machine may use up its time before this process is looked at.
        let mut is_whole = false;
        while all.is_empty() && !is_whole {
            is_whole = walk(&mut |flow, pid| {
                if pid == std::process::id() {
                    all.push((flow.protocol, flow.local, flow.remote));
                }
            });
        }
        let listening = (6, listener.local_addr().unwrap(), None);
        let connected = (6, client.local_addr().unwrap(), Some(listening.1));
        let bound = (17, udp.local_addr().unwrap(), None);
        for wanted in [listening, connected, bound] {
            assert!(all.contains(&wanted), "{wanted:?} in {all:?}");
        }
    }
}
