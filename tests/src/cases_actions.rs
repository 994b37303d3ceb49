//! What rules do when they match: variables, signals, hashes.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::cgroup::Cgroup;
use crate::harness::{policy, rule, rule_of, Agent, Launch};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};
use crate::tool::{self, Waiting};

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("actions_variables_live_and_end", variables);
    report.case("actions_variables_in_300_rules", three_hundred_rules);
    report.case("actions_kill_stays_in_its_cgroup", kill);
    report.case("actions_kill_a_whole_cgroup", kill_cgroup);
    report.case("actions_kill_is_refused_when_disabled", kill_disabled);
    report.case("actions_hash", hash);
    report.case("fim_write", fim_write);
}

/// A rule on the opening of a file of that name, without a limiter.
pub(crate) fn on_open(id: &str, file: &str, also: &str, actions: &str) -> String {
    let expression = format!("open.file.name == \"{file}\"{also}");
    rule(id, &expression, &format!("    every: 0\n{actions}"))
}

fn set(what: &str) -> String {
    format!("      - set: {{{what}}}\n")
}

fn with_actions(actions: &[String]) -> String {
    format!("    actions:\n{}", actions.concat())
}

fn scopes(agent: &Agent) -> Option<u64> {
    agent.command_status()?["variables"]["scopes"].as_u64()
}

/// The four things that happen to variables, each on the real kernel: they are set and seen, they
/// end in their time, children inherit them, and they go with their process and their cgroup.
fn variable_rules() -> Vec<String> {
    vec![
        on_open(
            "marks",
            "mark.e2e",
            "",
            &with_actions(&[
                set("name: seen, field: open.file.name, append: true, scope: process, inherited: true"),
                set("name: own, value: true, scope: process"),
                set("name: brief, value: true, ttl: 1s"),
                set("name: password, value: \"password=topsecret\", private: true"),
                set("name: place, value: here, scope: cgroup"),
                set("name: key, expression: '\"${process.pid}:${builtins.uuid4}\"', scope: process"),
            ]),
        ),
        on_open("asks_seen", "ask.e2e", " && \"mark.e2e\" in ${process.seen}", ""),
        on_open("asks_own", "ask.e2e", " && ${process.own}", ""),
        on_open("asks_place", "ask.e2e", " && ${cgroup.place} == \"here\"", ""),
        on_open("brief_holds", "ask.e2e", " && ${brief}", ""),
        on_open("brief_ended", "ask.e2e", " && !${brief}", ""),
    ]
}

fn variables() -> Outcome {
    let agent = Launch::new("variables")?
        .policy("variables.policy", policy(&variable_rules()))?
        .start()?;
    variables_live(&agent)
}

/// A policy of 300 rules, most of which watch for other things with variables of their own.
fn three_hundred_rules() -> Outcome {
    let mut rules = variable_rules();
    for number in rules.len()..300 {
        rules.push(crowd(number));
    }
    let agent = Launch::new("crowd")?
        .policy("crowd.policy", policy(&rules))?
        .start()?;
    let status = agent.command_status().ok_or("no status")?;
    let loaded = &status["policies"][0]["rules_loaded"];
    ensure(*loaded == 300, || format!("loaded: {}", status["policies"]))?;
    variables_live(&agent)
}

/// A rule as large public policies have them: patterns, ancestors, scoped lists that end, actions
/// with filters.
fn crowd(number: usize) -> String {
    let scope = ["process", "cgroup", "container"][number % 3];
    let inherited = if scope == "process" {
        ", inherited: true"
    } else {
        ""
    };
    let expression = match number % 3 {
        0 => format!(
            "exec.file.name in [\"tool{number}\", ~\"helper{number}*\"] && process.ancestors.file.path in [~\"/opt/app{number}/**\"] && exec.args_flags in [\"x\"]"
        ),
        1 => format!(
            "open.file.path in [~\"/srv/{number}/*\", \"/etc/app{number}.conf\"] && open.flags & (O_CREAT|O_WRONLY) > 0 && process.file.path not in [~\"/usr/bin/*\"] && \"${{process.pid}}\" != \"1\""
        ),
        _ => format!(
            "exec.comm == \"worker{number}\" && process.parent.file.name not in [\"systemd\"] && process.created_at < 5s"
        ),
    };
    let actions = with_actions(&[
        format!("      - set: {{name: list{number}, field: process.file.path, scope: {scope}, append: true, size: 20, ttl: 3600000000000{inherited}, private: true}}\n        filter: process.uid == 0 && ${{{scope}.count{number}}} < 10\n"),
        set(&format!("name: count{number}, expression: '${{{scope}.count{number}}} + 1', default_value: 0, scope: {scope}")),
    ]);
    rule(&format!("crowd_{number}"), &expression, &actions)
}

fn variables_live(agent: &Agent) -> Outcome {
    let directory = scratch::directory("variables-files")?;
    let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
    for name in ["mark.e2e", "ask.e2e"] {
        fs::write(path(name), "")?;
    }
    let before = scopes(agent).ok_or("status shows no variables")?;
    let own = i64::from(std::process::id());
    // The runner marks itself; its child asks.
    // The second one before the short-lived variable ends.
    File::open(path("mark.e2e"))?;
    File::open(path("ask.e2e"))?;
    let marked = agent.event_of("marks", own)?;
    shows(&marked, own)?;
    let child = tool::run(&["openat", "AT_FDCWD", &path("ask.e2e"), "0"])?;
    agent.event_of("asks_seen", child.pid)?;
    agent.event_of("asks_place", child.pid)?;
    ensure(!has_event(agent, "asks_own", child.pid), || {
        "a variable that is not inherited reached the child".to_owned()
    })?;
    agent.event_of("asks_own", own)?;
    ends(agent, &path("ask.e2e"))?;
    released(agent, &path("mark.e2e"), before)
}

fn has_event(agent: &Agent, rule: &str, pid: i64) -> bool {
    let lines = agent.lines();
    let mut of_rule = lines.iter().filter(|line| rule_of(&line.event) == rule);
    of_rule.any(|line| line.event["process"]["pid"] == pid)
}

/// The event shows what was set by it, and no private variable.
fn shows(event: &Value, pid: i64) -> Outcome {
    let process = &event["process"]["variables"];
    let seen = serde_json::json!(["mark.e2e"]);
    ensure(process["seen"] == seen && process["own"] == true, || {
        format!("process.variables: {process}")
    })?;
    let key = process["key"].as_str().unwrap_or_default();
    ensure(key.len() == pid.to_string().len() + 37, || {
        format!("key: {key}")
    })?;
    ensure(event["evt"]["variables"]["brief"] == true, || {
        format!("evt.variables: {}", event["evt"])
    })?;
    ensure(event["cgroup"]["variables"]["place"] == "here", || {
        format!("cgroup: {}", event["cgroup"])
    })?;
    ensure(!event.to_string().contains("topsecret"), || {
        "a private variable is shown".to_owned()
    })
}

/// After its time the value is gone; until then it holds.
fn ends(agent: &Agent, path: &str) -> Outcome {
    let ended = wait_for(patience(5), || {
        File::open(path).ok()?;
        let lines = agent.lines();
        lines
            .iter()
            .any(|line| rule_of(&line.event) == "brief_ended")
            .then_some(())
    });
    ended.ok_or("the value did not end")?;
    let held = agent
        .lines()
        .iter()
        .any(|line| rule_of(&line.event) == "brief_holds");
    ensure(held, || "the value never held".to_owned())
}

/// A process and a cgroup set variables and go: the agent keeps nothing of them.
fn released(agent: &Agent, path: &str, before: u64) -> Outcome {
    let cgroup = Cgroup::new("variables")?;
    let place = cgroup.directory();
    let waiting = Waiting::start(&[
        "--cgroup", &place, "--wait", "openat", "AT_FDCWD", path, "0",
    ])?;
    let count = scopes(agent).ok_or("no status")?;
    let call = waiting.release()?;
    let marked = agent.event_of("marks", call.pid)?;
    let id = marked["cgroup"]["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    ensure(id.contains("cwst-variables"), || format!("cgroup.id: {id}"))?;
    drop(cgroup);
    // The runner's own scopes stay: its process, its cgroup, and what its living children have.
    let gone = wait_for(patience(10), || (scopes(agent)? <= count).then_some(()));
    gone.ok_or_else(|| {
        Failure::Failed(format!(
            "scopes: {before} before, {count} then, {:?} now",
            scopes(agent)
        ))
    })
}

/// A process that waits for its end in a cgroup.
struct Victim(Child);

impl Victim {
    fn start(program: &Path, cgroup: Option<&Cgroup>, path: &str) -> Result<Victim, Failure> {
        let mut command = Command::new(program);
        if let Some(cgroup) = cgroup {
            command.args(["--cgroup", &cgroup.directory()]);
        }
        command.args(["--stay", "openat", "AT_FDCWD", path, "0"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(Victim(command.spawn()?))
    }

    fn pid(&self) -> i64 {
        i64::from(self.0.id())
    }

    /// Returns once it has made its call, and so is in its cgroup.
    fn wait_until_called(&mut self) -> Outcome {
        let output = self.0.stdout.take().ok_or("the tool has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure(line.starts_with("pid="), || {
            format!("the tool said `{line}`")
        })
    }

    /// The signal that ended it, if one did in time.
    fn killed_by(&mut self) -> Option<i32> {
        let status = wait_for(patience(5), || self.0.try_wait().ok().flatten())?;
        status.signal()
    }

    fn lives(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn kill_policy(scope: &str) -> String {
    let action = format!("      - kill: {{signal: SIGKILL, scope: {scope}}}\n");
    policy(&[on_open("kills", "kill.e2e", "", &with_actions(&[action]))])
}

/// An agent whose kills are limited to this cgroup.
fn killing_agent(name: &str, scope: &str, cgroup: &Cgroup) -> Result<Agent, Failure> {
    Launch::new(name)?
        .env("DD_RUNTIME_SECURITY_CONFIG_ENFORCEMENT_ENABLED", "true")
        .env(
            "DD_RUNTIME_SECURITY_CONFIG_ENFORCEMENT_ONLY_CGROUP",
            &cgroup.path()?,
        )
        .policy("kill.policy", kill_policy(scope))?
        .start()
}

fn bait(name: &str) -> Result<String, Failure> {
    let path = scratch::directory(name)?.join("kill.e2e");
    fs::write(&path, "")?;
    Ok(path.to_string_lossy().into_owned())
}

fn kill() -> Outcome {
    let cgroup = Cgroup::new("kill")?;
    let agent = killing_agent("kill", "process", &cgroup)?;
    let path = bait("kill-files")?;
    let program = scratch::tool("syscalls");
    let mut outside = Victim::start(&program, None, &path)?;
    let refused = agent.event_of("kills", outside.pid())?;
    let report = &refused["agent"]["rule_actions"][0];
    ensure(report["status"] == "error", || format!("outside: {report}"))?;
    let message = report["message"].as_str().unwrap_or_default();
    ensure(message.contains("enforcement.only_cgroup"), || {
        format!("outside: {report}")
    })?;
    let mut inside = Victim::start(&program, Some(&cgroup), &path)?;
    let signal = inside.killed_by();
    ensure(signal == Some(9), || format!("inside: ended by {signal:?}"))?;
    let killed = agent.event_of("kills", inside.pid())?;
    let report = &killed["agent"]["rule_actions"][0];
    for (key, value) in [
        ("type", "kill"),
        ("signal", "SIGKILL"),
        ("scope", "process"),
        ("status", "performed"),
    ] {
        ensure(report[key] == value, || format!("{key}: {report}"))?;
    }
    for key in ["created_at", "detected_at", "killed_at", "exited_at", "ttr"] {
        ensure(report[key].is_string(), || format!("{key}: {report}"))?;
    }
    ensure(outside.lives(), || {
        "the process outside of the cgroup was killed".to_owned()
    })
}

fn kill_cgroup() -> Outcome {
    let cgroup = Cgroup::new("killall")?;
    let agent = killing_agent("killall", "cgroup", &cgroup)?;
    let path = bait("killall-files")?;
    let harmless = path.replace("kill.e2e", "other.e2e");
    fs::write(&harmless, "")?;
    let program = scratch::tool("syscalls");
    let mut bystanders = Vec::new();
    for _ in 0..3 {
        bystanders.push(Victim::start(&program, Some(&cgroup), &harmless)?);
    }
    for bystander in &mut bystanders {
        bystander.wait_until_called()?;
    }
    let mut culprit = Victim::start(&program, Some(&cgroup), &path)?;
    for victim in bystanders.iter_mut().chain([&mut culprit]) {
        let signal = victim.killed_by();
        ensure(signal == Some(9), || format!("ended by {signal:?}"))?;
    }
    let event = agent.event_of("kills", culprit.pid())?;
    let report = &event["agent"]["rule_actions"][0];
    ensure(
        report["scope"] == "cgroup" && report["status"] == "performed",
        || report.to_string(),
    )
}

/// Without leave to act, a rule that kills does not load, and nothing dies.
fn kill_disabled() -> Outcome {
    let agent = Launch::new("kill-disabled")?.policy("kill.policy", kill_policy("process"))?;
    let mut agent = agent.start()?;
    let path = bait("kill-disabled-files")?;
    let mut victim = Victim::start(&scratch::tool("syscalls"), None, &path)?;
    let status = agent.command_status().ok_or("no status")?.to_string();
    ensure(
        status.contains("'kill' action is disabled globally"),
        || status.clone(),
    )?;
    ensure(victim.lives(), || "it was killed".to_owned())?;
    agent.stop()?;
    Ok(())
}

/// The hashes in an event are those that sha256sum and its like compute.
fn hash() -> Outcome {
    let directory = scratch::directory("hash")?;
    let program = directory.join("hashed.e2e");
    fs::copy(scratch::tool("syscalls"), &program)?;
    let action = with_actions(&["      - hash: {}\n".to_owned()]);
    let rules = [
        rule("hashed_exec", "exec.file.name == \"hashed.e2e\"", &action),
        rule("hashed_open", "open.file.name == \"content.e2e\"", &action),
        rule(
            "too_big",
            "open.file.name == \"big.e2e\"",
            &action.replace("{}", "{max_file_size: 10}"),
        ),
    ];
    let agent = Launch::new("hash-agent")?
        .env(
            "DD_RUNTIME_SECURITY_CONFIG_HASH_RESOLVER_HASH_ALGORITHMS",
            "md5 sha1 sha256",
        )
        .policy("hash.policy", policy(&rules))?
        .start()?;
    let mut child = Command::new(&program)
        .arg("getpid")
        .stdout(Stdio::null())
        .spawn()?;
    let pid = i64::from(child.id());
    child.wait()?;
    let event = agent.event_of("hashed_exec", pid)?;
    same_hashes(&event["file"], &program)?;
    same_hashes(&event["process"]["executable"], &program)?;
    let report = &event["agent"]["rule_actions"][0];
    ensure(
        report["type"] == "hash" && report["state"] == "Done",
        || report.to_string(),
    )?;
    // Hashes that are known already have once been left out.
    let again = Command::new(&program).arg("getpid").output()?;
    ensure(again.status.success(), || "it did not run again".to_owned())?;
    let events = wait_for(patience(5), || {
        let lines = agent.lines();
        let events = lines
            .iter()
            .filter(|line| rule_of(&line.event) == "hashed_exec");
        let events: Vec<Value> = events.map(|line| line.event.clone()).collect();
        (events.len() > 1).then_some(events)
    });
    for event in events.ok_or("the second start was not seen")? {
        same_hashes(&event["file"], &program)?;
    }
    let content = directory.join("content.e2e");
    fs::write(&content, "abc")?;
    let path = content.to_string_lossy().into_owned();
    let call = tool::run(&["openat", "AT_FDCWD", &path, "0"])?;
    same_hashes(&agent.event_of("hashed_open", call.pid)?["file"], &content)?;
    let big = directory.join("big.e2e");
    fs::write(&big, "more than ten bytes")?;
    let call = tool::run(&["openat", "AT_FDCWD", &big.to_string_lossy(), "0"])?;
    let event = agent.event_of("too_big", call.pid)?;
    ensure(event["file"]["hash_state"] == "FileTooBig", || {
        event["file"].to_string()
    })
}

fn same_hashes(file: &Value, path: &Path) -> Outcome {
    let found = file["hashes"].to_string();
    for name in ["md5", "sha1", "sha256"] {
        let output = Command::new(format!("{name}sum")).arg(path).output();
        let output = output.map_err(|_| Failure::Skipped(format!("{name}sum is not installed")))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let expected = format!("{name}:{}", text.split(' ').next().unwrap_or_default());
        ensure(found.contains(&expected), || {
            format!("{expected} is not in {file}")
        })?;
    }
    Ok(())
}

/// One rule for writing, changing modes and changing owners.
fn fim_write() -> Outcome {
    let rules = [rule(
        "written",
        "fim.write.file.name == \"fim.e2e\"",
        "    every: 0\n",
    )];
    let agent = Launch::new("fim")?
        .policy("fim.policy", policy(&rules))?
        .start()?;
    let path = scratch::directory("fim-files")?.join("fim.e2e");
    fs::write(&path, "")?;
    let path = path.to_string_lossy().into_owned();
    let read = tool::run(&["openat", "AT_FDCWD", &path, "0"])?;
    for (name, arguments) in [
        ("open", ["openat", "AT_FDCWD", &path, "1"]),
        ("chmod", ["fchmodat", "AT_FDCWD", &path, "0600"]),
    ] {
        let call = tool::run(&arguments)?;
        let event = agent.event_of("written", call.pid)?;
        ensure(event["evt"]["name"] == name, || event["evt"].to_string())?;
    }
    ensure(!has_event(&agent, "written", read.pid), || {
        "reading is no writing".to_owned()
    })
}
