//! Turning off: every way that the guide and the reference know, for every daemon; file events
//! alone; and the network switched off while the rest runs.
//!
//! A way is a snippet in a configuration file or a variable of the environment. Each stands against
//! a wish that it be on, because one `false` wins.

use std::fs;

use serde_json::Value;

use crate::harness::{policy, rule, Agent, Launch, STOP_SECONDS};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{patience, wait_for};

/// The configuration files, in the order in which they are laid over each other.
const FILES: &[&str] = &["datadog.yaml", "security-agent.yaml", "system-probe.yaml"];
const ENABLED: &str = "DD_RUNTIME_SECURITY_CONFIG_ENABLED";
const FIM_ENABLED: &str = "DD_RUNTIME_SECURITY_CONFIG_FIM_ENABLED";
const OLD_NETWORK: &str = "DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED";
const NEW_NETWORK: &str = "DD_EVENT_MONITORING_CONFIG_NETWORK_ENABLED";
const INTERFACES: &str = "DD_RUNTIME_SECURITY_CONFIG_NETWORK_INTERFACES_INCLUDE";

const OFF: &str = "runtime_security_config:\n  enabled: false\n";
/// As the guide prints it.
const OFF_SLIPPED: &str = "runtime_security_config:\nenabled: false\n";
const ON: &str = "runtime_security_config:\n  enabled: true\n";
const FIM: &str = "runtime_security_config:\n  fim_enabled: true\n";
const FIM_SLIPPED: &str = "runtime_security_config:\nfim_enabled: true\n";
const NETWORK_OFF: &str = "runtime_security_config:\n  network:\n    enabled: false\n";
const NETWORK_OFF_NEW: &str = "event_monitoring_config:\n  network:\n    enabled: false\n";

/// Seconds for a daemon to say what it does.
const SAY_SECONDS: u64 = 10;

/// One way to say something: a file or a variable, and what it says.
struct Way {
    name: &'static str,
    place: &'static str,
    says: &'static str,
}

const fn way(name: &'static str, place: &'static str, says: &'static str) -> Way {
    Way { name, place, says }
}

const WAYS_OFF: &[Way] = &[
    way("system_probe_file", "system-probe.yaml", OFF),
    way("security_agent_file", "security-agent.yaml", OFF),
    way("datadog_file", "datadog.yaml", OFF),
    way("system_probe_slip", "system-probe.yaml", OFF_SLIPPED),
    way("security_agent_slip", "security-agent.yaml", OFF_SLIPPED),
    way("environment", ENABLED, "false"),
];

const WAYS_FIM: &[Way] = &[
    way("system_probe_file", "system-probe.yaml", FIM),
    way("security_agent_file", "security-agent.yaml", FIM),
    way("system_probe_slip", "system-probe.yaml", FIM_SLIPPED),
    way("environment", FIM_ENABLED, "true"),
];

const WAYS_NETWORK: &[Way] = &[
    way("system_probe_file", "system-probe.yaml", NETWORK_OFF),
    way("system_probe_new", "system-probe.yaml", NETWORK_OFF_NEW),
    way("security_agent_file", "security-agent.yaml", NETWORK_OFF),
    way("security_agent_new", "security-agent.yaml", NETWORK_OFF_NEW),
    way("datadog_file", "datadog.yaml", NETWORK_OFF),
    way("environment", OLD_NETWORK, "false"),
    way("environment_new", NEW_NETWORK, "false"),
];

/// A daemon, and the processes of it that have to say that they are off.
struct Daemon {
    name: &'static str,
    arguments: &'static [&'static str],
    roles: &'static [&'static str],
}

const PROBE: Daemon = Daemon {
    name: "system_probe_run",
    arguments: &["system-probe", "run"],
    roles: &["system-probe"],
};
const AGENT: Daemon = Daemon {
    name: "start",
    arguments: &["start"],
    roles: &["security-agent"],
};
const BOTH: Daemon = Daemon {
    name: "run",
    arguments: &["run", "--json"],
    roles: &["system-probe", "security-agent"],
};

/// Rules of the network, which go when it is off.
const NETWORK_RULES: &[(&str, &str)] = &[
    ("off_dns", "dns.question.name == \"example.com\""),
    ("off_imds", "imds.cloud_provider == \"aws\""),
    ("off_packet", "packet.filter == \"port 9\""),
    (
        "off_network_flow_monitor",
        "network_flow_monitor.flows.length > 100",
    ),
];
/// Rules that the network's switch leaves alone.
const OTHER_RULES: &[(&str, &str)] = &[
    ("off_connect", "connect.addr.port == 9"),
    ("off_bind", "bind.addr.port == 9"),
    ("off_open", "open.file.name == \"off.e2e\""),
    ("off_exec", "exec.file.name == \"off.e2e\""),
];

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    for way in WAYS_OFF {
        for daemon in [&PROBE, &AGENT, &BOTH] {
            let name = format!("off_{}_{}", way.name, daemon.name);
            report.case(&name, || off(way, daemon));
        }
    }
    for way in WAYS_FIM {
        for daemon in [&PROBE, &BOTH] {
            let name = format!("off_all_but_files_{}_{}", way.name, daemon.name);
            report.case(&name, || files_only(way, daemon));
        }
    }
    report.case("off_all_but_files_start", files_only_start);
    for way in WAYS_NETWORK {
        for daemon in [&PROBE, &BOTH] {
            let name = format!("off_network_{}_{}", way.name, daemon.name);
            report.case(&name, || network(way, daemon));
        }
    }
}

/// An agent with its three files named; those that say nothing are empty.
struct Configured {
    launch: Launch,
    flags: Vec<String>,
}

/// `ground` is what every file says that the way leaves alone.
fn configure(way: &Way, daemon: &Daemon, ground: &str) -> Result<Configured, Failure> {
    let mut launch = Launch::new("off")?.env(INTERFACES, "cwst*");
    let mut flags = Vec::new();
    for name in FILES {
        let text = if *name == way.place { way.says } else { ground };
        let flag = match *name {
            "system-probe.yaml" => "--sysprobe-config",
            _ => "--cfgpath",
        };
        flags.extend([flag.to_owned(), launch.file(name, text)?]);
    }
    if !FILES.contains(&way.place) {
        launch = launch.env(way.place, way.says);
    }
    let mut arguments = daemon.arguments.to_vec();
    arguments.extend(flags.iter().map(String::as_str));
    let launch = launch.arguments(&arguments);
    Ok(Configured { launch, flags })
}

impl Configured {
    fn spawn(self) -> Result<Started, Failure> {
        Ok(Started {
            agent: self.launch.spawn()?,
            flags: self.flags,
        })
    }
}

/// A running daemon and the flags that name its files.
struct Started {
    agent: Agent,
    flags: Vec<String>,
}

impl Started {
    fn command(&self, words: &[&str]) -> Result<String, Failure> {
        let mut arguments = words.to_vec();
        arguments.extend(self.flags.iter().map(String::as_str));
        Ok(self.agent.command(&arguments)?.stdout)
    }

    fn json(&self, words: &[&str]) -> Result<Value, Failure> {
        let text = self.command(words)?;
        serde_json::from_str(&text).map_err(|error| {
            Failure::Failed(format!("{words:?} printed no JSON ({error}): {text}"))
        })
    }
}

/// It says who decided so, loads nothing, stays, tells `status`, and ends when it is told to.
fn off(way: &Way, daemon: &Daemon) -> Outcome {
    let mut configured = configure(way, daemon, ON)?;
    // In the environment there is room for one value only.
    if way.place != ENABLED {
        configured.launch = configured.launch.env(ENABLED, "true");
    }
    let mut started = configured.spawn()?;
    for role in daemon.roles {
        expect_said(&mut started.agent, role, way.place)?;
    }
    if way.says == OFF_SLIPPED {
        expect_hint(&started.agent)?;
    }
    let before = started.agent.processes();
    expect_status_off(&started, way)?;
    expect_nothing_loaded(&started.agent)?;
    let after = started.agent.processes();
    ensure(!started.agent.has_ended() && before == after, || {
        format!(
            "its processes were {before:?} and are {after:?}; log: {}",
            started.agent.log()
        )
    })?;
    expect_clean_end(&mut started.agent)
}

fn expect_said(agent: &mut Agent, role: &str, source: &str) -> Outcome {
    let told = || {
        let log = agent.log();
        let mut lines = log.lines();
        lines.any(|line| {
            line.contains(role)
                && line.contains("Workload Protection is off")
                && line.contains(source)
        })
    };
    let said = wait_for(patience(SAY_SECONDS), || told().then_some(()));
    ensure(said.is_some(), || {
        format!(
            "{role} does not say that {source} switched it off; log: {}",
            agent.log()
        )
    })?;
    ensure(!agent.has_ended(), || {
        format!("it has ended; log: {}", agent.log())
    })
}

/// The slip of indentation is named with the right spelling.
fn expect_hint(agent: &Agent) -> Outcome {
    let log = agent.log();
    let told = log.contains("`runtime_security_config.enabled`") && log.contains("indent");
    ensure(told, || format!("the slip is not explained: {log}"))
}

fn expect_status_off(started: &Started, way: &Way) -> Outcome {
    let text = started.command(&["status"])?;
    ensure(
        text.contains("Not enabled") && text.contains(way.place),
        || format!("status says: {text}"),
    )?;
    let status = started.json(&["status", "-j"])?;
    ensure(status["enabled"] == false, || format!("{status}"))
}

/// No program, no map, no perf event in the kernel, and no socket of system-probe.
fn expect_nothing_loaded(agent: &Agent) -> Outcome {
    let loaded = kernel_objects(agent)?;
    ensure(loaded.is_empty(), || format!("it holds {loaded:?}"))?;
    for socket in [agent.event_socket(), agent.command_socket()] {
        ensure(!socket.exists(), || {
            format!("{} is there", socket.display())
        })?;
    }
    Ok(())
}

/// The programs, maps and perf events that its processes hold.
fn kernel_objects(agent: &Agent) -> Result<Vec<String>, Failure> {
    let processes = agent.processes();
    ensure(!processes.is_empty(), || "it has no process".to_owned())?;
    let mut found = Vec::new();
    for pid in processes {
        // A process of the self-test may have ended meanwhile.
        let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        let links = entries
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .map(|link| link.to_string_lossy().into_owned());
        found.extend(links.filter(|link| link.contains("bpf") || link.contains("perf_event")));
    }
    Ok(found)
}

fn expect_clean_end(agent: &mut Agent) -> Outcome {
    let status = agent.stop()?;
    ensure(status.code() == Some(0), || {
        format!("ended with {status}; log: {}", agent.log())
    })?;
    let gone = wait_for(patience(STOP_SECONDS), || {
        agent.processes().is_empty().then_some(())
    });
    ensure(gone.is_some(), || {
        format!("processes are left: {:?}", agent.processes())
    })?;
    let left: Vec<String> = fs::read_dir(agent.run_path())?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    ensure(left.is_empty(), || {
        format!("files are left in the run path: {left:?}")
    })
}

fn all_rules() -> String {
    let rules: Vec<String> = NETWORK_RULES
        .iter()
        .chain(OTHER_RULES)
        .map(|(id, expression)| rule(id, expression, ""))
        .collect();
    policy(&rules)
}

/// The state of every rule, as system-probe itself tells it.
fn rule_states(started: &mut Started) -> Result<Value, Failure> {
    let agent = &mut started.agent;
    let up = wait_for(patience(SAY_SECONDS), || {
        (agent.has_ended() || agent.command_status().is_some()).then_some(())
    });
    ensure(up.is_some() && !agent.has_ended(), || {
        format!("it is not up; log: {}", agent.log())
    })?;
    started.json(&["runtime", "policy", "check", "--loaded-policies", "--json"])
}

fn state_of(report: &Value, id: &str) -> String {
    let policies = report["policies"].as_array().into_iter().flatten();
    let mut rules = policies.flat_map(|policy| policy["rules"].as_array().into_iter().flatten());
    let found = rules.find(|rule| rule["id"] == id);
    let state = found.and_then(|rule| rule["status"].as_str());
    state.unwrap_or("not in the report").to_owned()
}

fn expect_state(report: &Value, id: &str, expected: &str) -> Outcome {
    let state = state_of(report, id);
    ensure(state == expected, || {
        format!("rule {id} is `{state}`, not `{expected}`: {report}")
    })
}

/// With `fim_enabled` alone rules on files run and others do not.
fn files_only(way: &Way, daemon: &Daemon) -> Outcome {
    let mut configured = configure(way, daemon, "")?;
    configured.launch = configured
        .launch
        .without(ENABLED)
        .policy("off.policy", all_rules())?;
    let mut started = configured.spawn()?;
    let report = rule_states(&mut started)?;
    expect_state(&report, "off_open", "loaded")?;
    expect_state(&report, "off_exec", "event_type_disabled")?;
    // Here they must be found, or finding none elsewhere would prove nothing.
    let loaded = kernel_objects(&started.agent)?;
    ensure(!loaded.is_empty(), || "nothing is loaded".to_owned())?;
    ensure(!started.agent.log().contains("is off"), || {
        started.agent.log()
    })?;
    expect_clean_end(&mut started.agent)
}

/// security-agent is not off either.
fn files_only_start() -> Outcome {
    let [way, ..] = WAYS_FIM else {
        return Err(Failure::Failed("there is no way".to_owned()));
    };
    let mut configured = configure(way, &AGENT, "")?;
    configured.launch = configured.launch.without(ENABLED);
    let mut started = configured.spawn()?;
    let running = wait_for(patience(SAY_SECONDS), || {
        let status = started.json(&["status", "-j"]).ok()?;
        (status["security_agent"]["running"] == true).then_some(status)
    });
    let status = running.ok_or_else(|| format!("it does not run; log: {}", started.agent.log()))?;
    ensure(status["enabled"] == true, || format!("{status}"))?;
    ensure(!started.agent.log().contains("is off"), || {
        started.agent.log()
    })?;
    expect_clean_end(&mut started.agent)
}

/// Rules on packets are reported as switched off; system calls of sockets are as before.
fn network(way: &Way, daemon: &Daemon) -> Outcome {
    let states = |way: &Way| -> Result<(Started, Value), Failure> {
        let mut configured = configure(way, daemon, "")?;
        let launch = match way.place {
            OLD_NETWORK => configured.launch,
            _ => configured.launch.without(OLD_NETWORK),
        };
        configured.launch = launch.policy("off.policy", all_rules())?;
        let mut started = configured.spawn()?;
        let report = rule_states(&mut started)?;
        Ok((started, report))
    };
    let nothing_said = self::way("nothing", "datadog.yaml", "");
    let (mut on, with_network) = states(&nothing_said)?;
    on.agent.stop()?;
    let (mut started, report) = states(way)?;
    for (id, _) in NETWORK_RULES {
        expect_state(&report, id, "event_type_disabled")?;
    }
    for (id, _) in OTHER_RULES {
        expect_state(&report, id, &state_of(&with_network, id))?;
    }
    let text = started.command(&["status"])?;
    for (id, _) in NETWORK_RULES {
        ensure(text.contains(id), || {
            format!("status does not name rule {id}: {text}")
        })?;
    }
    expect_clean_end(&mut started.agent)
}
