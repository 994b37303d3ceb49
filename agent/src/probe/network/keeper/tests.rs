//! The whole, on the real kernel, in network namespaces of the tests' own. It plays in a child,
//! which writes what it sees; the interfaces have names that nothing else has, so that no other
//! namespace is touched, and no other test touches them.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use nix::sched::{unshare, CloneFlags};

use super::*;
use crate::kernel::tc::attach::Choice;
use crate::kernel::tc::{dump, survey};
use crate::sys::child;

const LONG: Duration = Duration::from_secs(100);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A classifier that leaves every packet to the next: r0 = -1; exit.
fn program() -> std::result::Result<OwnedFd, String> {
    let code = [
        [0xb7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        [0x95, 0, 0, 0, 0, 0, 0, 0],
    ];
    bpf_sys::load_program(&bpf_sys::ProgramLoad {
        kind: 3,
        expected_attach_type: 0,
        attach_btf_id: 0,
        name: "cwst",
        license: c"GPL",
        kern_version: 0,
        instructions: &code.concat(),
    })
    .map_err(|error| error.to_string())
}

/// Runs a program of iproute2.
fn run(line: &str) -> Result<()> {
    let mut words = line.split(' ');
    let output = Command::new(words.next().ok_or("no program")?)
        .args(words)
        .output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{line}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// Where a test plays.
struct Scene {
    run_path: PathBuf,
    /// What the names of its interfaces begin with.
    ours: String,
}

impl Scene {
    /// A pair of interfaces, the first one ours.
    fn add_pair(&self, first: u32, second: u32) -> Result<()> {
        let (ours, other) = (&self.ours, self.other());
        run(&format!(
            "ip link add {ours}{first} type veth peer name {other}{second}"
        ))
    }

    /// What names of interfaces that are not ours begin with.
    fn other(&self) -> String {
        self.ours.to_uppercase()
    }
}

fn keeper(scene: &Scene) -> Result<Keeper> {
    let options = Options {
        choice: Choice::new(&[format!("{}*", scene.ours)], &[]),
        ingress: true,
        priority: 10,
        handle: 0,
    };
    let lazy = vec!["lo".to_owned()];
    let load = Box::new(|_, _| program());
    let mut keeper = Keeper::start(&scene.run_path, options, lazy, load)?;
    // Only what the test says is found.
    keeper.search = keeper.now + LONG * 10;
    Ok(keeper)
}

/// Turns until so many directions have a filter; returns what was lost.
fn turn_until(keeper: &mut Keeper, attached: u64) -> Vec<Lost> {
    let mut lost = Vec::new();
    loop {
        lost.extend(keeper.turn(Instant::now()));
        let status = keeper.status();
        let count = |direction: &str| status["attached"][direction].as_u64().unwrap_or(0);
        if count("ingress") + count("egress") == attached && keeper.jobs.is_empty() {
            return lost;
        }
        sleep(PAUSE);
    }
}

/// Lines about the interfaces of the own namespace and the filters of these runs, without what
/// differs from run to run. An agent of this host may have attached others.
fn filters(out: &mut File, runs: &[u64]) -> Result<()> {
    let own = find::own()?;
    let mut bytes = Vec::new();
    dump::render(&survey(), &mut bytes)?;
    let text = String::from_utf8(bytes)?;
    let begin = format!("network namespace {own} ");
    let lines = text
        .lines()
        .skip_while(|line| !line.starts_with(&begin))
        .skip(1);
    for line in lines.take_while(|line| line.starts_with(' ')) {
        let line = line.trim();
        let kept: Vec<&str> = match line.split(' ').next() {
            Some("qdisc") if line.contains("clsact") => vec!["qdisc clsact"],
            Some("filter")
                if runs
                    .iter()
                    .any(|run| line.contains(&format!("/{run:016x}/"))) =>
            {
                line.split(' ').take(2).collect()
            }
            _ => continue,
        };
        writeln!(out, "{}", kept.join(" "))?;
    }
    Ok(())
}

/// Plays in a child with its own network namespace; what it wrote must be `expected`. `letter` is
/// the test's own.
fn compare(letter: char, play: fn(&mut File, &Scene) -> Result<()>, expected: &str) {
    if !nix::unistd::geteuid().is_root() {
        println!("not run: a new network namespace needs root");
        return;
    }
    let ours = format!("cwst{}{letter}", std::process::id());
    let scene = Scene {
        run_path: std::env::temp_dir().join(&ours),
        ours,
    };
    let mut work = |out: &mut File| {
        let begun = unshare(CloneFlags::CLONE_NEWNET).map_err(Into::into);
        if let Err(error) = begun.and_then(|()| play(out, &scene)) {
            let _ = write!(out, "failed: {error}");
        }
    };
    let text = child::output_of(&mut work, 100_000, LONG).unwrap();
    let left = fs::read_dir(&scene.run_path).map_or(0, Iterator::count);
    let _ = fs::remove_dir_all(&scene.run_path);
    assert_eq!(String::from_utf8(text).unwrap(), expected);
    assert_eq!(left, 0, "no lock file is left");
}

#[test]
fn interfaces_are_followed_and_filters_go_at_the_end() {
    compare(
        'a',
        |out, scene| {
            let (ours, other) = (&scene.ours, scene.other());
            scene.add_pair(0, 1)?;
            let mut keeper = keeper(scene)?;
            let runs = [keeper.runs.id()];
            turn_until(&mut keeper, 2);
            filters(out, &runs)?;
            scene.add_pair(2, 3)?;
            turn_until(&mut keeper, 4);
            run(&format!("ip link delete {ours}2"))?;
            turn_until(&mut keeper, 2);
            run(&format!("ip link set {other}1 name {ours}1"))?;
            turn_until(&mut keeper, 4);
            run(&format!("tc filter delete dev {ours}0 egress"))?;
            // A minute later.
            (keeper.check, keeper.second) = (keeper.now, keeper.now);
            let mut lost = Vec::new();
            while lost.is_empty() {
                lost = turn_until(&mut keeper, 4);
            }
            for Lost {
                interface,
                direction,
                ..
            } in lost
            {
                let is_ours = interface == format!("{ours}0");
                writeln!(out, "lost {is_ours} {}", direction.name())?;
            }
            keeper.stop_within(LONG);
            filters(out, &runs)
        },
        "\
qdisc clsact\nfilter ingress\nfilter egress
lost true egress
qdisc clsact\nqdisc clsact
",
    );
}

/// In a child: a namespace with an interface, until it is ended.
fn live_elsewhere(scene: &Scene) {
    let made = unshare(CloneFlags::CLONE_NEWNET).map_err(Into::into);
    let made = made.and_then(|()| scene.add_pair(0, 1));
    while made.is_ok() {
        sleep(LONG);
    }
}

#[test]
fn another_namespace_is_followed_to_its_end() {
    compare(
        'b',
        |out, scene| {
            let mut keeper = keeper(scene)?;
            turn_until(&mut keeper, 0);
            let other = child::start(&mut |_| live_elsewhere(scene), 100, LONG)?;
            let place = format!("/proc/{}/ns/net", other.pid());
            // It begins in the same namespace as this process.
            let inode = loop {
                let inode = fs::metadata(&place)?.ino();
                if inode != u64::from(find::own()?) {
                    break u32::try_from(inode)?;
                }
                sleep(PAUSE);
            };
            keeper.note(inode, other.pid());
            turn_until(&mut keeper, 2);
            let names = (1..10).filter_map(|index| keeper.device_name(inode, index));
            let is_named = names
                .into_iter()
                .any(|name| name == format!("{}0", scene.ours));
            writeln!(out, "{is_named}")?;
            drop(other);
            // The kernel takes it down and says so; nothing here holds it.
            while keeper.table.knows(inode) {
                keeper.turn(Instant::now());
                sleep(PAUSE);
            }
            writeln!(out, "{}", keeper.status()["attached"])?;
            keeper.stop_within(LONG);
            Ok(())
        },
        "true\n{\"egress\":0,\"ingress\":0}\n",
    );
}

#[test]
fn what_a_killed_run_left_is_removed_by_the_next() {
    compare(
        'c',
        |out, scene| {
            scene.add_pair(0, 1)?;
            let mut killed = keeper(scene)?;
            turn_until(&mut killed, 2);
            let killed_run = killed.runs.id();
            killed.runs.end(false);
            let mut next = keeper(scene)?;
            let runs = [killed_run, next.runs.id()];
            writeln!(out, "{}", next.status()["stale_runs"])?;
            next.searched(next.now, Ok(b"end\0".to_vec()));
            turn_until(&mut next, 2);
            writeln!(out, "{}", next.status()["stale_runs"])?;
            filters(out, &runs)?;
            next.stop_within(LONG);
            filters(out, &runs)
        },
        "1\n0\nqdisc clsact\nfilter ingress\nfilter egress\nqdisc clsact\n",
    );
}

#[test]
fn children_that_the_kernel_keeps_count_until_they_are_gone() {
    compare(
        'd',
        |out, scene| {
            let mut keeper = keeper(scene)?;
            for _ in 0..CHILDREN {
                let hang = &mut |_: &mut File| sleep(LONG);
                keeper.stuck.push(child::start(hang, 100, LONG)?);
            }
            keeper.turn(Instant::now());
            writeln!(out, "{} started", keeper.jobs.len())?;
            keeper.stuck.iter_mut().for_each(Running::end);
            while !keeper.stuck.is_empty() {
                keeper.second = keeper.now;
                keeper.turn(Instant::now());
                sleep(PAUSE);
            }
            turn_until(&mut keeper, 0);
            keeper.stop_within(LONG);
            Ok(())
        },
        "0 started\n",
    );
}

#[test]
fn a_search_that_fails_is_a_problem() {
    compare(
        'e',
        |out, scene| {
            let mut keeper = keeper(scene)?;
            keeper.searched(keeper.now, Ok(b"7\0".to_vec()));
            writeln!(out, "{}", keeper.status()["problems"][0])?;
            keeper.searched(keeper.now, Ok(b"end\0".to_vec()));
            writeln!(out, "{}", keeper.status()["problems"])?;
            keeper.stop_within(LONG);
            Ok(())
        },
        "\"network namespaces could not be searched for: the search was cut short\"\n[]\n",
    );
}
