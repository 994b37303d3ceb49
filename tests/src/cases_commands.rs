//! The commands about policies: check, fields, eval and test.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::finished::{finish, Finished};
use crate::harness::{policy, rule, Launch};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience};

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("policy_check_report", check_report);
    report.case("policy_fields", fields);
    report.case("policy_eval", eval);
    report.case("policy_test", test);
    report.case_of_user_space("policy_large_sets_load", large_sets);
    report.case("policy_check_loaded", check_loaded);
}

fn command(arguments: &[&str]) -> Result<Finished, Failure> {
    let mut command = Command::new(scratch::agent_binary());
    command.args(arguments);
    finish(command, patience(30))
}

fn json(finished: &Finished) -> Result<Value, Failure> {
    serde_json::from_str(&finished.stdout)
        .map_err(|error| Failure::Failed(format!("{error}: {}", finished.said())))
}

fn directory_with(policy: &str) -> Result<String, Failure> {
    let directory = scratch::directory("commands")?;
    fs::write(directory.join("x.policy"), policy)?;
    fs::write(
        directory.join("default.policy"),
        "version: 1\nrules:\n  - {id: d, disabled: true}\n",
    )?;
    Ok(directory.to_string_lossy().into_owned())
}

/// The report names states and approvers; what is excluded on purpose is no failure, also on event
/// types that this release does not observe.
fn check_report() -> Outcome {
    let rules = [
        rule("loads", "open.file.path == \"/etc/shadow\"", ""),
        rule(
            "old",
            "open.file.path == \"/a\"",
            "    agent_version: \"< 7.0\"\n",
        ),
        rule(
            "elsewhere",
            "open.file.path == \"/a\"",
            "    filters: [os == \"windows\"]\n",
        ),
        rule("unobserved", "dns.question.name == \"example.com\"", ""),
    ];
    let directory = directory_with(&policy(&rules))?;
    let checked = command(&[
        "runtime",
        "policy",
        "check",
        "--policies-dir",
        &directory,
        "--json",
    ])?;
    ensure(checked.code == Some(0), || checked.said())?;
    let report = json(&checked)?;
    let statuses: Vec<&str> = report["policies"][1]["rules"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|rule| rule["status"].as_str())
        .collect();
    let expected = [
        "loaded",
        "agent_version_error",
        "agent_filter_error",
        "loaded",
    ];
    ensure(statuses == expected, || report.to_string())?;
    let approvers = &report["approvers"]["open"]["open.file.path"];
    ensure(*approvers == serde_json::json!(["shadow"]), || {
        report.to_string()
    })
}

fn fields() -> Outcome {
    let all = json(&command(&["runtime", "policy", "fields", "--json"])?)?;
    let count = |key: &str| all[key].as_array().map_or(0, Vec::len);
    let counts = ["event_types", "fields", "constants"].map(count);
    ensure(
        counts[0] >= 40 && counts[1] > 1_000 && counts[2] > 1_000,
        || format!("{counts:?}"),
    )?;
    let shown = command(&["runtime", "policy", "fields", "--event", "dns"])?;
    ensure(
        shown.code == Some(0) && shown.stdout.contains("dns.question.name"),
        || shown.said(),
    )?;
    let wrong = command(&["runtime", "policy", "fields", "--event", "opne"])?;
    ensure(
        wrong.code == Some(1) && wrong.stderr.contains("`open`"),
        || wrong.said(),
    )
}

fn eval() -> Outcome {
    let text = policy(&[rule(
        "a",
        "open.file.path == \"/etc/shadow\" && process.uid > 0",
        "",
    )]);
    let directory = directory_with(&text)?;
    let event = |uid: u32| -> Result<Value, Failure> {
        let file = Path::new(&directory).join("event.json");
        let path = file.to_string_lossy().into_owned();
        let text = format!("{{\"Type\": \"open\", \"Values\": {{\"open.file.path\": \"/etc/shadow\", \"process.uid\": {uid}}}}}");
        fs::write(&file, text)?;
        let done = command(&[
            "runtime",
            "policy",
            "eval",
            "--rule-id",
            "a",
            "--event-file",
            &path,
            "--policies-dir",
            &directory,
            "--debug",
        ])?;
        let expected = if uid > 0 { 0 } else { 255 };
        ensure(done.code == Some(expected), || done.said())?;
        json(&done)
    };
    let (yes, no) = (event(7)?, event(0)?);
    ensure(yes["Succeeded"] == true && no["Succeeded"] == false, || {
        yes.to_string()
    })?;
    ensure(yes["Approvers"]["open.file.path"][0] == "shadow", || {
        yes.to_string()
    })?;
    let parts = no["Debug"].to_string();
    ensure(
        parts.contains("{\"expression\":\"process.uid > 0\",\"value\":false}"),
        || parts.clone(),
    )
}

/// The default policy passes its own tests, and a wrong expectation is shown as a difference.
fn test() -> Outcome {
    let directory = scratch::directory("commands-test")?;
    let good = directory.join("default_policy.yaml");
    fs::write(&good, include_str!("../policies/default_policy.yaml"))?;
    let empty = directory.join("none");
    fs::create_dir(&empty)?;
    let none = empty.to_string_lossy().into_owned();
    let run = |path: &Path| {
        let path = path.to_string_lossy().into_owned();
        command(&["runtime", "policy", "test", &path, "--policies-dir", &none])
    };
    let done = run(&good)?;
    let last = done.stdout.lines().last().unwrap_or_default().to_owned();
    ensure(
        done.code == Some(0) && last.ends_with(" passed, 0 failed"),
        || {
            let failed: Vec<&str> = done
                .stdout
                .lines()
                .filter(|line| !line.starts_with("ok "))
                .collect();
            format!("{:?} {failed:?} {}", done.code, done.stderr)
        },
    )?;
    let bad = directory.join("bad.yaml");
    fs::write(
        &bad,
        "tests:\n- name: wrong\n  event: {type: open, values: {open.file.path: /x}}\n  expect: [shadow_file_accessed]\n",
    )?;
    let done = run(&bad)?;
    ensure(
        done.code == Some(1)
            && done.stdout.contains("FAIL wrong")
            && done.stdout.contains("  - shadow_file_accessed"),
        || done.said(),
    )
}

/// Sixteen megabytes of rules that are all right load, or are refused in a sentence, within bounded
/// memory.
fn large_sets() -> Outcome {
    let directory = scratch::directory("commands-large")?;
    let mut number = 0;
    for file in 0..4 {
        let mut rules = Vec::new();
        let mut size = 0;
        while size < (7 << 19) {
            let expression = format!(
                "open.file.path in [\"/srv/{number}/a\", ~\"/srv/{number}/*/b\"] && process.args =~ r\"x{number}\\.(a|b)+$\""
            );
            let text = rule(&format!("r{number}"), &expression, "");
            size += text.len();
            number += 1;
            rules.push(text);
        }
        fs::write(directory.join(format!("{file}.policy")), policy(&rules))?;
    }
    let path = directory.to_string_lossy().into_owned();
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -v 1500000 && exec \"$0\" \"$@\""])
        .arg(scratch::agent_binary())
        .args(["runtime", "policy", "check", "--policies-dir", &path]);
    let done = finish(limited, patience(60))?;
    ensure(matches!(done.code, Some(0 | 1)), || {
        let shown: String = done.said().chars().take(500).collect();
        format!("{number} rules: {:?} {shown}", done.code)
    })?;
    ensure(done.stdout.contains("3.policy"), || {
        done.stdout.chars().take(500).collect()
    })
}

/// system-probe tells of the rules that run in the same shape, and those on events that nothing
/// observes are not among them.
fn check_loaded() -> Outcome {
    let rules = [
        rule("runs", "open.file.path == \"/etc/shadow\"", ""),
        rule("unobserved", "dns.question.name == \"example.com\"", ""),
    ];
    let agent = Launch::new("loaded")?
        .policy("x.policy", policy(&rules))?
        .start()?;
    let done = agent.command(&["runtime", "policy", "check", "--loaded-policies", "--json"])?;
    ensure(done.code == Some(0), || done.said())?;
    let report = json(&done)?;
    let rules = &report["policies"][0]["rules"];
    ensure(
        rules[0]["status"] == "loaded" && rules[1]["status"] == "event_type_disabled",
        || report.to_string(),
    )?;
    ensure(report["approvers"]["open"].is_object(), || {
        report.to_string()
    })
}
