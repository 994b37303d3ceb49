//! What the webhook's process makes of the API server: the helper arrives, and whatever goes wrong
//! has its reason in time.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::certificates::{Certificate, Certificates};
use crate::kube_api::{Asker, Cluster, Said};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience};

/// Seconds for a job that is to end well.
const SECONDS: u64 = 30;
/// For a job whose server does nothing.
const SHORT: Duration = Duration::from_secs(4);
const TMP: Option<&str> = Some("/tmp");
const READY: &str = "Ready /tmp/cws-instrumentation";
const HEALTH: &str = "/tmp/cws-instrumentation health";
const TAR: &str = "tar -xmf - -C /tmp";
const MOVE: &str = "mv -f /tmp/.cws-instrumentation.# /tmp/cws-instrumentation";
const REMOVE: &str = "rm -f /tmp/.cws-instrumentation.#";
/// The commands of a copy.
const COPY: [&str; 3] = [TAR, MOVE, HEALTH];

/// A pod where something goes wrong.
struct Trouble {
    pod: &'static str,
    reason: &'static str,
    /// Words of the sentence.
    words: &'static str,
    /// Whether it only ends because time is up.
    is_late: bool,
}

const fn trouble(pod: &'static str, reason: &'static str, words: &'static str) -> Trouble {
    Trouble {
        pod,
        reason,
        words,
        is_late: false,
    }
}

const fn late(pod: &'static str, reason: &'static str) -> Trouble {
    Trouble {
        pod,
        reason,
        words: "too slow",
        is_late: true,
    }
}

const TROUBLE: &[Trouble] = &[
    trouble("403", "DescribePod", "403: the service account"),
    trouble("404", "DescribePod", "answers 404"),
    trouble("500", "DescribePod", "answers 500"),
    late("hangs", "DescribePod"),
    late("drips", "DescribePod"),
    trouble("half", "DescribePod", ""),
    trouble("closes", "DescribePod", ""),
    trouble("huge", "DescribePod", "too long"),
    trouble("endless", "DescribePod", "too long"),
    trouble("headers", "DescribePod", "head does not end"),
    trouble("garbage", "DescribePod", "not understood"),
    trouble("text", "DescribePod", "no JSON"),
    trouble("bad-chunks", "DescribePod", "chunk"),
    trouble("bare", "MissingArchitecture", ""),
    trouble("risc", "MissingArchitecture", ""),
    trouble("arm", "CopyFailed", "helper"),
    trouble("exec-403", "CopyFailed", "pods/exec"),
    trouble("exec-404", "CopyFailed", "answers 404"),
    trouble("exec-accept", "CopyFailed", "no WebSocket"),
    trouble("exec-protocol", "CopyFailed", "another protocol"),
    trouble("exec-odd", "CopyFailed", "masked"),
    trouble("exec-huge", "CopyFailed", "too long"),
    trouble("exec-text", "CopyFailed", "no JSON"),
    trouble("exec-closes", "CopyFailed", ""),
    late("exec-hangs", "CopyFailed"),
    late("exec-pings", "CopyFailed"),
    trouble("no-tar", "CopyFailed", ""),
    trouble("no-mv", "CopyFailed", "mv failed"),
    trouble("dead", "CopyFailed", "the helper failed"),
];

/// A server that is not the one of the account.
struct Stranger {
    name: &'static str,
    certificate: fn(&Certificates) -> &Certificate,
    host: &'static str,
    /// Whether the account holds another authority.
    is_foreign: bool,
}

const STRANGERS: &[Stranger] = &[
    Stranger {
        name: "unknown_authority",
        certificate: |all| &all.good,
        host: "127.0.0.1",
        is_foreign: true,
    },
    Stranger {
        name: "expired",
        certificate: |all| &all.expired,
        host: "127.0.0.1",
        is_foreign: false,
    },
    Stranger {
        name: "wrong_name",
        certificate: |all| &all.wrong_name,
        host: "localhost",
        is_foreign: false,
    },
];

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("kube_api_copy", copy);
    report.case("kube_api_copy_without_end_of_input", copy_without_end);
    report.case("kube_api_copy_in_fragments_and_chunks", copy_in_pieces);
    report.case("kube_api_trouble", in_trouble);
    report.case("kube_api_account", account);
    for stranger in STRANGERS {
        report.case(&format!("kube_api_{}", stranger.name), || meet(stranger));
    }
}

fn expect(said: &Said, outcome: &str, words: &str) -> Outcome {
    ensure(
        said.outcome == outcome && said.sentence.contains(words),
        || format!("{said:?} instead of {outcome} with `{words}`"),
    )
}

fn copy_into(asker: &mut Asker, pod: &str) -> Outcome {
    let said = asker.ask(pod, TMP, patience(SECONDS))?;
    expect(&said, READY, "").map_err(|failure| failure.at(pod))?;
    ensure(said.sentence.is_empty(), || format!("{said:?}"))
}

/// Whether the helper in the containers is the one that was to be copied; removes it.
fn take_helper(cluster: &Cluster) -> Outcome {
    let path = cluster.in_container("/tmp/cws-instrumentation");
    let copied = fs::read(&path)?;
    let mode = fs::metadata(&path)?.permissions().mode() & 0o777;
    let original = fs::read(cluster.in_container("../helpers/cws-instrumentation.amd64"))?;
    fs::remove_file(&path)?;
    ensure(copied == original && mode == 0o755, || {
        format!("{} bytes, mode {mode:o}", copied.len())
    })
}

fn expect_commands(cluster: &Cluster, pod: &str, expected: &[&str]) -> Outcome {
    let commands = cluster.commands(pod);
    let plain: Vec<String> = commands.iter().map(|line| without_number(line)).collect();
    ensure(plain == expected, || format!("{pod}: {commands:?}"))
}

/// A command with # for the random number of a hidden name.
fn without_number(line: &str) -> String {
    const BEFORE: &str = ".cws-instrumentation.";
    let Some((start, rest)) = line.split_once(BEFORE) else {
        return line.to_owned();
    };
    let end = rest.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    match rest.len() - end.len() {
        16 => format!("{start}{BEFORE}#{end}"),
        _ => line.to_owned(),
    }
}

fn copy() -> Outcome {
    let cluster = Cluster::start()?;
    let mut asker = cluster.asker()?;
    copy_into(&mut asker, "web-0")?;
    // What lies there is replaced, whatever it says of itself: it may be somebody else's.
    let path = cluster.in_container("/tmp/cws-instrumentation");
    fs::write(&path, "#!/bin/sh\nexit 0\n")?;
    copy_into(&mut asker, "web-0")?;
    expect_commands(&cluster, "web-0", &[COPY, COPY].concat())?;
    take_helper(&cluster)?;
    let said = asker.ask("no-mv", TMP, patience(SECONDS))?;
    expect(&said, "Skip CopyFailed", "mv failed")?;
    expect_commands(&cluster, "no-mv", &[TAR, MOVE, REMOVE])?;
    let left = fs::read_dir(cluster.in_container("/tmp"))?.count();
    ensure(left == 0, || format!("{left} files are left"))?;
    let said = asker.ask("web-2", Some("/nowhere"), patience(SECONDS))?;
    expect(&said, "Skip CopyFailed", "")?;
    let said = asker.ask("web-3", Some("../tmp"), patience(SECONDS))?;
    expect(&said, "Skip CopyFailed", "absolute path")?;
    expect_commands(&cluster, "web-3", &[])
}

/// What servers before v5 of the protocol can do.
fn copy_without_end() -> Outcome {
    let cluster = Cluster::start()?;
    let mut asker = cluster.asker()?;
    copy_into(&mut asker, "old")?;
    let commands = cluster.commands("old");
    let hidden_health = commands.get(1).map(|line| without_number(line));
    let expected = "/tmp/.cws-instrumentation.# health";
    ensure(
        commands.first().is_some_and(|line| line == TAR)
            && hidden_health.as_deref() == Some(expected)
            && commands.last().is_some_and(|line| line == HEALTH),
        || format!("{commands:?}"),
    )?;
    take_helper(&cluster)
}

fn copy_in_pieces() -> Outcome {
    let cluster = Cluster::start()?;
    let mut asker = cluster.asker()?;
    for pod in ["fragments", "chunks"] {
        copy_into(&mut asker, pod)?;
        expect_commands(&cluster, pod, &COPY)?;
        take_helper(&cluster)?;
    }
    Ok(())
}

fn in_trouble() -> Outcome {
    let mut cluster = Cluster::start()?;
    let mut asker = cluster.asker()?;
    for case in TROUBLE {
        let timeout = match case.is_late {
            true => scratch::stretched(SHORT),
            false => patience(SECONDS),
        };
        let said = asker.ask(case.pod, TMP, timeout)?;
        let expected = format!("Skip {}", case.reason);
        let met = expect(&said, &expected, case.words);
        met.map_err(|failure| failure.at(case.pod))?;
    }
    // The process survived all of it.
    copy_into(&mut asker, "web-0")?;
    cluster.stop()?;
    let said = asker.ask("web-0", TMP, patience(SECONDS))?;
    expect(&said, "Skip DescribePod", "connection")
}

/// Tokens are replaced while the process runs, and a pod without a label is described all the same.
fn account() -> Outcome {
    let cluster = Cluster::start()?;
    let mut asker = cluster.asker()?;
    let mut ask = |expected: &str, words: &str| -> Result<(), Failure> {
        let said = asker.ask("web-0", None, patience(SECONDS))?;
        expect(&said, expected, words)
    };
    ask("Skip PodNotInstrumented", "")?;
    cluster.set_token("an.old-one")?;
    ask("Skip DescribePod", "answers 401")?;
    cluster.set_token("")?;
    ask("Skip DescribePod", "holds no token")?;
    cluster.set_token(Cluster::TOKEN)?;
    ask("Skip PodNotInstrumented", "")?;
    expect_commands(&cluster, "web-0", &[])
}

fn meet(stranger: &Stranger) -> Outcome {
    let mut cluster = Cluster::with(stranger.certificate)?;
    cluster.call(stranger.host);
    if stranger.is_foreign {
        let other = Certificates::make(&scratch::directory("other-authority")?)?;
        cluster.trust(&other.authority)?;
    }
    let said = cluster.asker()?.ask("web-0", TMP, patience(SECONDS))?;
    expect(&said, "Skip DescribePod", "certificate")?;
    expect_commands(&cluster, "web-0", &[])
}
