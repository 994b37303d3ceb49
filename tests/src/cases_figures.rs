//! Figures of the house: size, memory, time to the first event, and that the binary is static.

use std::fs;
use std::time::{Duration, Instant};

use crate::harness::{Agent, Launch};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};
use crate::tool;

const SIZE_LIMIT: u64 = 4_000_000;
/// Kilobytes of VmRSS, all processes together, after load.
const MEMORY_LIMIT: u64 = 20_000;
/// The figure to meet is 300 ms; a noisy machine may take ten times that.
const START_LIMIT: Duration = Duration::from_millis(3000);
const STARTS: usize = 3;
/// The pages of a start are let go within the first third of this time.
const SETTLE_TIME: Duration = Duration::from_secs(8);
const PROGRAM_INTERPRETER: u32 = 3;

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("figure_static", is_static);
    report.case("figure_size", size);
    report.case("figure_memory", memory);
    report.case("figure_start", start);
}

/// No program header asks for a dynamic linker.
fn is_static() -> Outcome {
    let bytes = fs::read(scratch::agent_binary())?;
    let number = |at: usize, size: usize| -> Result<u64, Failure> {
        let field = at.checked_add(size).and_then(|end| bytes.get(at..end));
        let field = field.ok_or("the binary ends within its headers")?;
        Ok(field
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    };
    ensure(bytes.starts_with(b"\x7fELF\x02\x01"), || {
        "not a 64-bit ELF file".to_owned()
    })?;
    let offset = usize::try_from(number(32, 8)?)?;
    let (entry, count) = (
        usize::try_from(number(54, 2)?)?,
        usize::try_from(number(56, 2)?)?,
    );
    ensure(count > 0, || "it has no program headers".to_owned())?;
    for index in 0..count {
        let kind = number(offset + index * entry, 4)?;
        ensure(kind != u64::from(PROGRAM_INTERPRETER), || {
            "it needs a dynamic linker".to_owned()
        })?;
    }
    Ok(())
}

fn size() -> Outcome {
    let path = scratch::agent_binary();
    if path.to_string_lossy().contains("/debug/") {
        return Err(Failure::Skipped(
            "the binary is a debug build; build with PROFILE=release".to_owned(),
        ));
    }
    let size = fs::metadata(path)?.len();
    println!("figure: the binary has {size} bytes");
    ensure(size <= SIZE_LIMIT, || {
        format!("{size} bytes are more than {SIZE_LIMIT}")
    })
}

/// Resident kilobytes of all processes of an agent, and what each of them is.
fn resident(agent: &Agent) -> (u64, String) {
    let mut total = 0;
    let mut parts = Vec::new();
    for pid in agent.processes() {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or("")
        };
        let size = field("VmRSS:")
            .split_whitespace()
            .next()
            .and_then(|word| word.parse().ok());
        let size: u64 = size.unwrap_or(0);
        total += size;
        parts.push(format!("{} {size}", field("Name:").trim()));
    }
    (total, parts.join(", "))
}

/// What is resident in the median of a while, in which the pages of a start or a self-test are let
/// go and those that the loops need come back.
fn settled(agent: &Agent) -> (u64, String) {
    let mut looks = vec![resident(agent)];
    wait_for(SETTLE_TIME, || {
        looks.push(resident(agent));
        None::<()>
    });
    looks.sort_unstable();
    looks.swap_remove(looks.len() / 2)
}

fn memory() -> Outcome {
    let agent = Launch::new("memory")?.default_policy().start()?;
    let (idle, parts) = settled(&agent);
    println!("figure: idle {idle} KB ({parts})");
    let path = scratch::directory("memory")?.join("file");
    fs::write(&path, "")?;
    for _ in 0..500 {
        tool::run(&["fchmodat", "AT_FDCWD", &path.to_string_lossy(), "0777"])?;
    }
    tool::run(&["burst", "100000", &path.to_string_lossy()])?;
    // Taken after what the load left in the queues has been worked off.
    let done = agent.command(&["runtime", "self-test"])?;
    ensure(done.code == Some(0), || done.said())?;
    let (loaded, parts) = settled(&agent);
    println!("figure: after load {loaded} KB ({parts})");
    ensure(idle > 0 && loaded <= MEMORY_LIMIT, || {
        format!("{loaded} KB resident: {parts}")
    })
}

/// From the start of the process to the first line of an event that was caused meanwhile: the best
/// of three, as another process may be in the way of one.
fn start() -> Outcome {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        times.push(first_event()?.as_millis());
    }
    println!("figure: start to first event {times:?} ms");
    let limit = START_LIMIT * if scratch::in_vm() { 10 } else { 1 };
    ensure(times.iter().any(|time| *time <= limit.as_millis()), || {
        format!("{times:?} ms are all more than {}", limit.as_millis())
    })
}

fn first_event() -> Result<Duration, Failure> {
    let path = scratch::directory("start")?.canonicalize()?.join("file");
    fs::write(&path, "")?;
    let text = path.to_string_lossy().into_owned();
    let agent = Launch::new("start")?.default_policy().spawn()?;
    let first = wait_for(patience(10), || {
        let _ = scratch::set_mode(&path, 0o777);
        let lines = agent.lines();
        lines
            .iter()
            .find(|line| line.event["file"]["path"] == text.as_str())
            .map(|line| line.at)
    });
    let first: Instant = first.ok_or_else(|| format!("no event came; log: {}", agent.log()))?;
    Ok(first.duration_since(agent.started()))
}
