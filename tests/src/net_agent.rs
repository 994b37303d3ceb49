//! An agent whose network side is on, and what the tests ask of it: whether its filters are where
//! they belong, what `runtime network check` says, and what its processes hold.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use serde_json::Value;

use crate::classifiers::{all_attached, filters, Filter};
use crate::harness::{Agent, Launch};
use crate::net_places::Namespace;
use crate::report::{ensure, Failure};
use crate::scratch::{patience, wait_for};

pub(crate) const ENABLED: &str = "DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED";
pub(crate) const INTERFACES: &str = "DD_RUNTIME_SECURITY_CONFIG_NETWORK_INTERFACES_INCLUDE";
/// Seconds for filters to be attached; the figure to meet is two.
const ATTACH_SECONDS: u64 = 20;

/// An agent whose network side is on, for the interfaces of the tests alone.
pub(crate) fn launch(name: &str) -> io::Result<Launch> {
    Ok(Launch::new(name)?
        .env(ENABLED, "true")
        .env(INTERFACES, "cwst*"))
}

/// Waits until each of these interfaces has a filter of ours in both directions and this holds for
/// all filters; returns them.
pub(crate) fn wait_attached(
    agent: &Agent,
    namespace: &Namespace,
    interfaces: &[String],
    holds: impl Fn(&[Filter]) -> bool,
) -> Result<Vec<Filter>, Failure> {
    let mut last = Vec::new();
    let attached = wait_for(patience(ATTACH_SECONDS), || {
        last = filters(namespace, interfaces).ok()?;
        (all_attached(&last, interfaces) && holds(&last)).then_some(())
    });
    ensure(attached.is_some(), || {
        let ours = last.iter().filter(|filter| filter.is_ours());
        let ours: Vec<String> = ours
            .map(|filter| format!("{} {} {}", filter.interface, filter.direction, filter.name))
            .collect();
        format!(
            "no filters of ours in both directions of {interfaces:?}, but {ours:?}; log: {}",
            agent.log()
        )
    })?;
    Ok(last)
}

/// What `runtime network check -j` says of the interfaces of a namespace: a value each.
pub(crate) fn check(agent: &Agent, namespace: &Namespace) -> Result<Vec<Value>, Failure> {
    let finished = agent.command(&["runtime", "network", "check", "-j"])?;
    let report: Value = serde_json::from_str(&finished.stdout).map_err(|error| {
        format!(
            "network check -j printed no JSON ({error}): {}",
            finished.said()
        )
    })?;
    let inode = namespace.inode()?;
    let mut namespaces = report["namespaces"].as_array().into_iter().flatten();
    let found = namespaces.find(|one| one["inode"] == inode);
    let found = found
        .ok_or_else(|| format!("network check does not know the namespace {inode}: {report}"))?;
    let problem = found["problem"].as_str().unwrap_or_default();
    ensure(problem.is_empty(), || {
        format!("network check says: {problem}")
    })?;
    Ok(found["interfaces"].as_array().cloned().unwrap_or_default())
}

/// What the descriptors of a process lead to.
pub(crate) fn descriptors(pid: i32) -> Result<Vec<String>, Failure> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))?;
    let links = entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok());
    Ok(links
        .map(|link| link.to_string_lossy().into_owned())
        .collect())
}

/// The netlink sockets that a process has used, of the namespace that it is in.
pub(crate) fn netlink_sockets(pid: i32) -> Result<Vec<String>, Failure> {
    let table = fs::read_to_string(format!("/proc/{pid}/net/netlink"))?;
    // The last column is the number of the socket.
    let numbers: BTreeSet<&str> = table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    let is_netlink = |link: &String| {
        let number = link
            .strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']'));
        number.is_some_and(|number| numbers.contains(number))
    };
    Ok(descriptors(pid)?.into_iter().filter(is_netlink).collect())
}

/// Resident kilobytes of a process.
pub(crate) fn resident(pid: i32) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    Ok(number.ok_or("a process without VmRSS")?)
}

/// The sum of every number that stands under this name anywhere in a value, or below it.
pub(crate) fn counted(value: &Value, name: &str) -> u64 {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, member)| {
                if key == name {
                    sum(member)
                } else {
                    counted(member, name)
                }
            })
            .sum(),
        Value::Array(members) => members.iter().map(|member| counted(member, name)).sum(),
        _ => 0,
    }
}

fn sum(value: &Value) -> u64 {
    match value {
        Value::Number(number) => number.as_u64().unwrap_or(0),
        Value::Object(members) => members.values().map(sum).sum(),
        Value::Array(members) => members.iter().map(sum).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{bind, socket, AddressFamily, NetlinkAddr};
    use nix::sys::socket::{SockFlag, SockProtocol, SockType};
    use serde_json::json;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_netlink_socket_is_told_from_others() {
        let own = i32::try_from(std::process::id()).unwrap();
        let _other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(netlink_sockets(own).unwrap(), Vec::<String>::new());
        let netlink = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )
        .unwrap();
        bind(netlink.as_raw_fd(), &NetlinkAddr::new(0, 0)).unwrap();
        assert_eq!(netlink_sockets(own).unwrap().len(), 1);
    }

    #[test]
    fn counters_are_found_by_their_name_wherever_they_stand() {
        let status = json!({"network": {"failed_dns": 2}, "events": [{"failed_dns": {"lost": 1}}]});
        assert_eq!(counted(&status, "failed_dns"), 3);
        assert_eq!(counted(&status, "other"), 0);
    }
}
