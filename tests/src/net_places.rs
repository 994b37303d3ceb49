//! Network namespaces of the tests' own and what is in them: interface pairs, bridges, addresses.
//!
//! Every interface is made inside such a namespace and is called `cwst*`, so that the machine's own
//! namespace never has one of them and the agent's list of interfaces lets no other one in. A
//! namespace is removed when it is dropped, its interfaces with it; the guard removes those of a run
//! that was killed. ip(8) does the work: it also makes the names that the agent looks for.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::finished::finish;
use crate::report::{ensure, Failure, Outcome};
use crate::run_lock;
use crate::scratch::{self, patience, run_number, wait_for};

/// Where ip(8) keeps the names of namespaces.
pub(crate) const NAMED: &str = "/run/netns";
/// Seconds for a command of iproute2 to end.
const SECONDS: u64 = 30;

static COUNTER: AtomicUsize = AtomicUsize::new(0);

/// What the names of a run begin with: `cwst`, its number, a dash. With three digits more they have 15
/// characters at most, as names of interfaces do.
fn prefix(root: &Path) -> String {
    format!("cwst{}-", run_number(root))
}

/// A network namespace that has a name.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// A new one, with its loopback interface up. From the first one on no other run on this machine
    /// has any: the agents of both would take the interfaces of both.
    pub(crate) fn new() -> Result<Namespace, Failure> {
        check_programs()?;
        run_lock::hold()?;
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{number}", prefix(&scratch::root()));
        run("ip", &["netns", "add", &name])?;
        let namespace = Namespace { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Its name, as ip(8) knows it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Number of the namespace, as events and /proc have it.
    pub(crate) fn inode(&self) -> Result<u64, Failure> {
        Ok(fs::metadata(Path::new(NAMED).join(&self.name))?.ino())
    }

    /// Runs one command of ip(8) in it; returns what it printed.
    pub(crate) fn ip(&self, arguments: &[&str]) -> Result<String, Failure> {
        self.run("ip", arguments)
    }

    /// Runs one command of tc(8) in it; returns what it printed.
    pub(crate) fn tc(&self, arguments: &[&str]) -> Result<String, Failure> {
        self.run("tc", arguments)
    }

    /// Runs a command of ip(8) a line.
    pub(crate) fn ip_lines(&self, lines: &[String]) -> Outcome {
        self.lines("ip", &[], lines).map(drop)
    }

    /// Runs a command of tc(8) a line; returns what they printed.
    pub(crate) fn tc_lines(&self, flags: &[&str], lines: &[String]) -> Result<String, Failure> {
        self.lines("tc", flags, lines)
    }

    fn lines(&self, program: &str, flags: &[&str], lines: &[String]) -> Result<String, Failure> {
        let directory = scratch::directory("lines")?;
        let file = directory.join("lines");
        fs::write(&file, lines.join("\n") + "\n")?;
        let path = file.to_string_lossy();
        let mut arguments = flags.to_vec();
        arguments.extend(["-batch", &path]);
        let printed = self.run(program, &arguments);
        fs::remove_dir_all(&directory)?;
        printed
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<String, Failure> {
        let mut all = vec!["-n", &self.name];
        all.extend(arguments);
        run(program, &all)
    }

    /// Whether an interface of this name is in it.
    pub(crate) fn has_interface(&self, name: &str) -> bool {
        self.ip(&["link", "show", "dev", name]).is_ok()
    }

    /// Removes it now, and says so when that does not work.
    pub(crate) fn remove(self) -> Outcome {
        let name = self.name.clone();
        std::mem::forget(self);
        run("ip", &["netns", "del", &name]).map(drop)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = run("ip", &["netns", "del", &self.name]);
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new(program);
    command.args(arguments);
    let finished = finish(command, patience(SECONDS))?;
    ensure(finished.code == Some(0), || {
        format!("`{program} {}`: {}", arguments.join(" "), finished.said())
    })?;
    Ok(finished.stdout)
}

fn check_programs() -> Outcome {
    for program in ["ip", "tc"] {
        match Command::new(program).arg("-V").output() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let sentence = format!("{program} is missing: install iproute2");
                return Err(Failure::Skipped(sentence));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Waits until every interface of the tests in these namespaces is up: what is sent earlier is gone.
pub(crate) fn wait_up(namespaces: &[&Namespace]) -> Outcome {
    for namespace in namespaces {
        let mut down = Vec::new();
        let up = wait_for(patience(SECONDS), || {
            let shown = namespace.ip(&["-brief", "link", "show"]).ok()?;
            down = down_of(&shown);
            down.is_empty().then_some(())
        });
        ensure(up.is_some(), || format!("these do not come up: {down:?}"))?;
    }
    Ok(())
}

/// The interfaces of the tests that are not up, of what `ip -brief link show` prints.
fn down_of(shown: &str) -> Vec<String> {
    let rows = shown.lines().filter(|row| row.starts_with("cwst"));
    let is_down = |row: &&str| row.split_whitespace().nth(1) != Some("UP");
    rows.filter(is_down).map(str::to_owned).collect()
}

/// A pair of interfaces between two namespaces, both called `name`, up, with these addresses
/// (`10.1.0.1/24`; IPv6 ones are usable at once).
pub(crate) fn join(
    name: &str,
    (one, addresses): (&Namespace, &[&str]),
    (other, other_addresses): (&Namespace, &[&str]),
) -> Outcome {
    let pair = format!(
        "link add {name} type veth peer name {name} netns {}",
        other.name
    );
    let mut lines = vec![pair];
    lines.extend(addressed(name, addresses));
    one.ip_lines(&lines)?;
    other.ip_lines(&addressed(name, other_addresses))?;
    wait_up(&[one, other])
}

/// Lines for ip(8) that give an interface addresses and put it up.
pub(crate) fn addressed(name: &str, addresses: &[&str]) -> Vec<String> {
    let add = |address: &&str| {
        let at_once = if address.contains(':') { " nodad" } else { "" };
        format!("address add {address} dev {name}{at_once}")
    };
    let mut lines: Vec<String> = addresses.iter().map(add).collect();
    lines.push(format!("link set {name} up"));
    lines
}

/// Three namespaces: a client and a server, whose interfaces are `cwst0`, and between them one with
/// a bridge.
pub(crate) struct Bridged {
    /// Has [`CLIENT`] and [`CLIENT_6`].
    pub(crate) client: Namespace,
    /// Has [`SERVER`] and [`SERVER_6`].
    pub(crate) server: Namespace,
    /// Has the bridge, `cwstbr`, and its ports `cwstp0` (to the client) and `cwstp1`.
    pub(crate) hub: Namespace,
}

/// The interface of client and server.
pub(crate) const INTERFACE: &str = "cwst0";
pub(crate) const CLIENT: &str = "10.78.0.1";
pub(crate) const CLIENT_6: &str = "fd78::1";
pub(crate) const SERVER: &str = "10.78.0.2";
pub(crate) const SERVER_6: &str = "fd78::2";

impl Bridged {
    /// Makes the namespaces; every address is usable.
    pub(crate) fn new() -> Result<Bridged, Failure> {
        let bridged = Bridged {
            client: Namespace::new()?,
            server: Namespace::new()?,
            hub: Namespace::new()?,
        };
        let mut lines = vec![
            "link add cwstbr type bridge".to_owned(),
            "link set cwstbr up".to_owned(),
        ];
        let ends = [(&bridged.client, "cwstp0"), (&bridged.server, "cwstp1")];
        for (namespace, port) in ends {
            lines.push(format!(
                "link add {port} type veth peer name {INTERFACE} netns {}",
                namespace.name
            ));
            lines.push(format!("link set {port} master cwstbr"));
            lines.push(format!("link set {port} up"));
        }
        bridged.hub.ip_lines(&lines)?;
        let addresses = [(CLIENT, CLIENT_6), (SERVER, SERVER_6)];
        for ((namespace, _), (four, six)) in ends.iter().zip(addresses) {
            let (four, six) = (format!("{four}/24"), format!("{six}/64"));
            namespace.ip_lines(&addressed(INTERFACE, &[&four, &six]))?;
        }
        wait_up(&[&bridged.client, &bridged.server, &bridged.hub])?;
        Ok(bridged)
    }

    /// The namespaces, and the interfaces in each.
    pub(crate) fn places(&self) -> [(&Namespace, Vec<String>); 3] {
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        [
            (&self.client, named(&[INTERFACE])),
            (&self.server, named(&[INTERFACE])),
            (&self.hub, named(&["cwstbr", "cwstp0", "cwstp1"])),
        ]
    }
}

/// What the guard notes before the tests and needs to clean up after them.
pub(crate) struct Before {
    mounted: bool,
    existed: bool,
}

/// Notes what ip(8) will leave behind when the first namespace is made.
pub(crate) fn before() -> Before {
    Before {
        mounted: is_mounted(NAMED),
        existed: Path::new(NAMED).exists(),
    }
}

fn is_mounted(path: &str) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(path))
}

/// Removes the namespaces of the run with this root that are left, then the directory of names when
/// it came with them and nobody else uses it.
pub(crate) fn clean_up(root: &Path, before: &Before) {
    let prefix = prefix(root);
    let Ok(entries) = fs::read_dir(NAMED) else {
        return;
    };
    let names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let (ours, others): (Vec<_>, Vec<_>) = names
        .into_iter()
        .partition(|name| name.starts_with(&prefix));
    for name in ours {
        let removed = Command::new("ip").args(["netns", "del", &name]).status();
        if !removed.is_ok_and(|status| status.success()) {
            println!("FAIL guard: the network namespace {name} could not be removed");
        }
    }
    // ip(8) mounts the directory on itself, and it may be mounted twice by two that were first.
    if others.is_empty() && !before.mounted {
        while is_mounted(NAMED) && nix::mount::umount(NAMED).is_ok() {}
        if !before.existed {
            let _ = fs::remove_dir(NAMED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_run_are_short_and_its_own() {
        let prefix = prefix(Path::new("/tmp/e2e-4194304"));
        assert_eq!(prefix, "cwst4194304-");
        assert_eq!(prefix.len() + 3, 15);
    }

    #[test]
    fn interfaces_of_the_tests_that_are_not_up_are_found() {
        let shown = "lo UNKNOWN 00:00:00:00:00:00 <LOOPBACK,UP,LOWER_UP>\n\
                     cwst0@if2 UP aa:aa:aa:aa:aa:aa <UP,LOWER_UP>\n\
                     cwst1@if3 LOWERLAYERDOWN bb:bb:bb:bb:bb:bb <NO-CARRIER,UP>\n";
        let down = down_of(shown);
        assert_eq!(down.len(), 1);
        assert!(down[0].starts_with("cwst1@if3"));
    }

    #[test]
    fn addresses_of_the_sixth_version_need_no_check_for_doubles() {
        assert_eq!(
            addressed("cwst1", &["10.0.0.1/8", "fd00::1/64"]),
            [
                "address add 10.0.0.1/8 dev cwst1",
                "address add fd00::1/64 dev cwst1 nodad",
                "link set cwst1 up"
            ]
        );
    }
}
