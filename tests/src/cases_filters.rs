//! What the kernel leaves out is what no rule could match: the same opens, seen with and without the
//! kernel's filters, give the same events.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{symlink, OpenOptionsExt};
use std::path::PathBuf;

use serde_json::Value;

use crate::harness::{policy, rule, rule_of, Agent, Launch};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};

/// Opens of one run.
const OPENS: usize = 1_200;
/// Opens between two pauses: their events have room wherever they wait.
const AT_ONCE: usize = 20;
/// A seed of its own for each run would hide what fails: this one is shown and fixed.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("filters_change_nothing", change_nothing);
    report.case("filters_are_in_force", in_force);
    report.case("filters_give_way_to_rules_that_need_all", give_way);
}

fn rules() -> Vec<String> {
    let always = "    every: 0\n";
    [
        ("by_path", "open.file.path == \"DIR/a.txt\""),
        ("by_glob", "open.file.path =~ \"DIR/*/deep.txt\""),
        ("by_name", "open.file.name in [\"b.txt\", \"LONG\"]"),
        (
            "by_flags",
            "open.flags & (O_CREAT|O_TRUNC) > 0 && open.file.path =~ \"DIR/**\"",
        ),
        (
            "by_both",
            "open.file.name == \"c.txt\" && open.flags & O_RDWR > 0",
        ),
        ("last", "open.file.name == \"last.e2e\""),
    ]
    .map(|(id, expression)| rule(id, expression, always))
    .to_vec()
}

/// A directory with files, links to them, and names that are longer than the filter's.
fn tree() -> Result<(PathBuf, String, Vec<PathBuf>), Failure> {
    let directory = scratch::directory("filters")?.canonicalize()?;
    let long = format!("{}{}", "n".repeat(120), ".txt");
    let short = format!("{}{}", "n".repeat(120), ".tXt");
    for sub in ["one", "two"] {
        fs::create_dir(directory.join(sub))?;
    }
    let mut paths = Vec::new();
    for name in [
        "a.txt",
        "b.txt",
        "c.txt",
        "other",
        "one/deep.txt",
        "two/deep.txt",
        "one/a.txt",
    ] {
        paths.push(directory.join(name));
    }
    paths.push(directory.join(&long));
    paths.push(directory.join(&short));
    for path in &paths {
        fs::write(path, "")?;
    }
    for (target, link) in [
        ("a.txt", "link"),
        ("two/deep.txt", "one/link"),
        ("other", "b-link"),
    ] {
        symlink(directory.join(target), directory.join(link))?;
        paths.push(directory.join(link));
    }
    fs::hard_link(directory.join("a.txt"), directory.join("hard"))?;
    paths.push(directory.join("hard"));
    paths.push(directory.join("one/../a.txt"));
    paths.push(directory.join("one"));
    Ok((directory, long, paths))
}

fn start(name: &str, filters: &str, text: &str) -> Result<Agent, Failure> {
    Launch::new(name)?
        .env("DD_RUNTIME_SECURITY_CONFIG_ENABLE_KERNEL_FILTERS", filters)
        .policy("filters.policy", text)?
        .start()
}

/// The next number of a xorshift generator.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Opens these files, and pauses now and then.
fn open_at_random(paths: &[PathBuf], mut pause: impl FnMut() -> Outcome) -> Outcome {
    let mut state = SEED;
    for number in 0..OPENS {
        let place = usize::try_from(next(&mut state)).unwrap_or(0) % paths.len();
        let flags =
            [0, 0, 0, 0o1000, 0o100, 0o2000][usize::try_from(next(&mut state) % 6).unwrap_or(0)];
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(flags);
        match next(&mut state) % 3 {
            0 => options.write(true),
            _ => options.write(flags != 0),
        };
        // A directory cannot be written, and some flags do not go together.
        let _ = paths.get(place).map(|path| options.open(path));
        // A reader that is flooded loses events, which is another test's business.
        if number % AT_ONCE == 0 {
            pause()?;
        }
    }
    Ok(())
}

/// An agent and how many of its lines were looked through for the event that ends a pause.
struct Paced<'a> {
    agent: &'a Agent,
    seen: usize,
}

impl Paced<'_> {
    /// Waits until the event comes that was caused last.
    fn catch_up(&mut self) -> Outcome {
        let caught = wait_for(patience(20), || {
            let lines = self.agent.lines_after(self.seen);
            self.seen += lines.len();
            let mut rules = lines.iter().map(|line| rule_of(&line.event));
            rules.any(|rule| rule == "last").then_some(())
        });
        Ok(caught.ok_or("the event that ends a pause did not come")?)
    }
}

/// What matched so far, in order: rule, path and flags.
fn events_of(agent: &Agent) -> Vec<String> {
    let pid = i64::from(std::process::id());
    let lines = agent.lines();
    let events = lines.iter().map(|line| &line.event);
    let own = events.filter(|event| event["process"]["pid"] == pid);
    own.map(shown)
        .filter(|text| text.starts_with("by_"))
        .collect()
}

fn shown(event: &Value) -> String {
    let file = &event["file"];
    format!("{} {} {}", rule_of(event), file["path"], file["flags"])
}

fn change_nothing() -> Outcome {
    let (directory, long, paths) = tree()?;
    let text = policy(&rules())
        .replace("DIR", &directory.to_string_lossy())
        .replace("LONG", &long);
    let last = directory.join("last.e2e");
    fs::write(&last, "")?;
    let filtered = start("filters-on", "true", &text)?;
    let unfiltered = start("filters-off", "false", &text)?;
    let mode = |agent: &Agent| {
        let status = agent.command_status().unwrap_or_default();
        status["filters"]["open"]["mode"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let modes = (mode(&filtered), mode(&unfiltered));
    ensure(modes == ("deny".to_owned(), "accept".to_owned()), || {
        format!("{modes:?}")
    })?;
    let mut paced = [&filtered, &unfiltered].map(|agent| Paced { agent, seen: 0 });
    let mut pause = || {
        File::open(&last)?;
        paced.iter_mut().try_for_each(Paced::catch_up)
    };
    open_at_random(&paths, &mut pause)?;
    pause()?;
    let (with, without) = (events_of(&filtered), events_of(&unfiltered));
    for agent in [&filtered, &unfiltered] {
        let status = wait_for(patience(5), || agent.command_status()).ok_or("no status")?;
        let lost = (
            &status["loss"]["slow_readers"],
            &status["events"]["open"]["lost"],
        );
        ensure(*lost.0 == 0 && *lost.1 == 0, || {
            format!("{lost:?} events were lost on their way to the test")
        })?;
    }
    ensure(with == without && with.len() > OPENS / 10, || {
        let first = with
            .iter()
            .zip(&without)
            .position(|(left, right)| left != right);
        let at = first.unwrap_or(with.len().min(without.len()));
        format!(
            "seed {SEED:#x}: {} events with filters, {} without; the first difference is {:?} / {:?}",
            with.len(),
            without.len(),
            with.get(at),
            without.get(at)
        )
    })
}

fn emitted(agent: &Agent) -> Option<u64> {
    agent.command_status()?["events"]["open"]["emitted"].as_u64()
}

/// Opens of a file that no rule can match do not reach the agent at all.
fn in_force() -> Outcome {
    let (directory, long, _) = tree()?;
    let text = policy(&rules())
        .replace("DIR", &directory.to_string_lossy())
        .replace("LONG", &long);
    let agent = start("filters-force", "true", &text)?;
    let before = emitted(&agent).ok_or("no status")?;
    for _ in 0..10_000 {
        File::open(directory.join("other"))?;
    }
    let after = emitted(&agent).ok_or("no status")?;
    // Others on this machine may open files with the names and flags of the rules meanwhile.
    ensure(after - before < 5_000, || {
        format!("{} of 10000 were reported", after - before)
    })
}

/// One rule that names no file makes the kernel report every open.
fn give_way() -> Outcome {
    let text = policy(&[rule("all", "open.retval == -77777", "")]);
    let agent = start("filters-all", "true", &text)?;
    let status = agent.command_status().ok_or("no status")?;
    let mode = &status["filters"]["open"]["mode"];
    ensure(*mode == "accept", || status["filters"].to_string())?;
    let checked = agent.command(&["runtime", "policy", "check", "--json"])?;
    let report: Value = serde_json::from_str(&checked.stdout)
        .map_err(|error| Failure::Failed(format!("{error}: {}", checked.said())))?;
    ensure(
        report["accept_mode_rules"] == serde_json::json!(["all"]),
        || report.to_string(),
    )
}
