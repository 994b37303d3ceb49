//! An agent whose network side is on, and what the tests ask of it: whether its filters are where
//! they belong, what `runtime network check` says, and what its processes hold.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::Value;

use crate::classifiers::{all_attached, filters, Filter};
use crate::harness::{Agent, Launch, STOP_SECONDS};
use crate::net_places::{Bridged, Namespace};
use crate::report::{ensure, Failure, Outcome};
use crate::scratch::{patience, wait_for};

pub(crate) const ENABLED: &str = "DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED";
pub(crate) const INTERFACES: &str = "DD_RUNTIME_SECURITY_CONFIG_NETWORK_INTERFACES_INCLUDE";
/// Seconds for filters to be attached; the figure to meet is two.
const ATTACH_SECONDS: u64 = 20;
/// Seconds for an agent that has started to come to rest, and how long it is then quiet.
const QUIET_SECONDS: u64 = 20;
const QUIET_TIME: Duration = Duration::from_millis(300);

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

/// Waits until everything between client and server has its filters; returns
/// these, and those of others there.
///
/// Until then packets may get lost: the kernel takes a device out of service for a moment when it gets
/// the qdisc (qdisc_graft in net/sched/sch_api.c).
pub(crate) fn wait_bridged(agent: &Agent, bed: &Bridged) -> Result<Vec<Filter>, Failure> {
    let mut all = Vec::new();
    for (namespace, interfaces) in bed.places() {
        all.extend(wait_attached(agent, namespace, &interfaces, |_| true)?);
    }
    Ok(all)
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
    expect_code(&report, finished.code)?;
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

/// The exit code says whether there is something to do, in any namespace of the machine.
fn expect_code(report: &Value, code: Option<i32>) -> Outcome {
    let mut namespaces = report["namespaces"].as_array().into_iter().flatten();
    let needs_something = namespaces.any(|namespace| {
        let mut interfaces = namespace["interfaces"].as_array().into_iter().flatten();
        namespace["problem"] != "" || interfaces.any(|one| one["code"] != "nothing")
    });
    ensure(code == Some(i32::from(needs_something)), || {
        format!("network check ended with {code:?}: {report}")
    })
}

/// What `runtime network check` says to people of a namespace.
pub(crate) fn check_text(agent: &Agent, namespace: &Namespace) -> Result<String, Failure> {
    let finished = agent.command(&["runtime", "network", "check"])?;
    let title = format!("network namespace {} ", namespace.inode()?);
    let found = finished.stdout.split_once(&title);
    let (_, rest) = found.ok_or_else(|| finished.said())?;
    let end = rest.find("network namespace").unwrap_or(rest.len());
    Ok(rest.get(..end).unwrap_or_default().to_owned())
}

/// A number of what `status` says of the network; `name` is a JSON pointer (RFC 6901).
pub(crate) fn network_count(agent: &Agent, name: &str) -> Result<u64, Failure> {
    let status = wait_for(patience(10), || agent.command_status()).ok_or("no status")?;
    let number = status["network"].pointer(name).and_then(Value::as_u64);
    Ok(number.ok_or_else(|| format!("status has no network{name}: {}", status["network"]))?)
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

/// Resident kilobytes of a process which are its own: pages of the program come and go.
pub(crate) fn resident(pid: i32) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    Ok(number.ok_or("a process without RssAnon")?)
}

/// Waits until the processes of an agent have used no processor for a while, so that what they do
/// once at the start is over. On a busy machine they never come to rest, so the wait is bounded.
pub(crate) fn wait_quiet(agent: &Agent) {
    let (mut since, mut last) = (Instant::now(), 0);
    wait_for(patience(QUIET_SECONDS), || {
        let ticks = agent.processes().into_iter().map(ticks).sum();
        if std::mem::replace(&mut last, ticks) != ticks {
            since = Instant::now();
        }
        (since.elapsed() >= QUIET_TIME).then_some(())
    });
}

/// Clock ticks that a process has run (proc(5), utime and stime); 0 when it is gone.
fn ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name, which may hold blanks.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let times = fields.split_whitespace().skip(11).take(2);
    times.filter_map(|text| text.parse::<u64>().ok()).sum()
}

/// Kills all processes of an agent at once, and waits until they are gone.
pub(crate) fn kill_all(agent: &mut Agent) -> Outcome {
    // Stopped first, so that none of them ends in good order when another one is gone.
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        for pid in agent.processes() {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
    agent.wait_end(patience(STOP_SECONDS));
    let gone = wait_for(patience(STOP_SECONDS), || {
        agent.processes().is_empty().then_some(())
    });
    ensure(gone.is_some(), || {
        format!("{:?} outlive kill -9", agent.processes())
    })
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
    fn the_exit_code_of_a_check_says_whether_there_is_something_to_do() {
        let report = |problem: &str, code: &str| json!({"namespaces": [{"problem": problem, "interfaces": [{"code": code}]}]});
        for (problem, advice, code) in [
            ("", "nothing", 0),
            ("", "impossible", 1),
            ("it cannot be entered", "nothing", 1),
        ] {
            let report = report(problem, advice);
            assert!(expect_code(&report, Some(code)).is_ok(), "{report}");
            assert!(expect_code(&report, Some(1 - code)).is_err(), "{report}");
        }
    }

    #[test]
    fn the_time_that_a_process_has_run_grows() {
        let own = i32::try_from(std::process::id()).unwrap();
        let before = ticks(own);
        let started = Instant::now();
        while ticks(own) == before && started.elapsed() < Duration::from_secs(5) {}
        assert!(ticks(own) > before);
        assert_eq!(ticks(-1), 0);
    }
}
