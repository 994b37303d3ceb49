//! The container image: what is in the archive, and that it works under a plain container runtime
//! with what is documented, as pods and Compose run it, and says what is missing otherwise.

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{json, Value};

use crate::classifiers::{all_attached, filters};
use crate::finished::finish;
use crate::flare_host::{run_all, Test, EMAIL, NOWHERE};
use crate::flare_server::{Answer, FlareServer};
use crate::harness::{policy, rule, rule_of};
use crate::intake::API_KEY;
use crate::net_places::{join, Namespace, NAMED};
use crate::oci::{archive, Bundle, Container, Image, CAPABILITIES};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};

/// Computes digests and lists what is in the archive.
const CHECKER: &str = include_str!("../fixtures/check_image.py");
/// Seconds for what happens in a moment.
const SECONDS: u64 = 30;
/// A user that owns nothing.
const NOBODY: u32 = 65_534;
const OK: &str = "Runtime self test: OK";

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("image_archive", image_archive);
    let tests: &[Test<Image>] = &[
        ("image_pod", pod),
        ("image_pod_network", pod_network),
        ("image_pod_kill", pod_kill),
        ("image_compose", compose),
        ("image_capability_missing", capability_missing),
        ("image_mount_missing", mount_missing),
        ("image_calls_missing", calls_missing),
    ];
    run_all(report, tests, || {
        scratch::not_in_vm()?;
        Image::unpack()
    });
}

fn image_archive() -> Outcome {
    scratch::not_in_vm()?;
    let mut command = Command::new("python3");
    command.arg("-c").arg(CHECKER).arg(archive()?);
    let done = finish(command, patience(SECONDS))?;
    ensure(done.code == Some(0), || done.said())?;
    let found: Value = serde_json::from_str(&done.stdout)?;
    let config = &found["config"]["config"];
    ensure(config["Cmd"] == json!(["security-agent", "run"]), || {
        config.to_string()
    })?;
    ensure(config["Entrypoint"].is_null(), || config.to_string())?;
    let entries = &found["entries"];
    let agent = "/opt/datadog-agent/embedded/bin/security-agent";
    let size = fs::metadata(scratch::agent_binary())?.len();
    ensure(entries[agent]["size"] == size, || {
        "another binary is in the image".to_owned()
    })?;
    let names = [
        "/usr/bin/security-agent",
        "/usr/bin/system-probe",
        "/usr/bin/cws-instrumentation",
        "/cws-instrumentation",
        "/opt/datadog-agent/embedded/bin/system-probe",
        "/opt/datadog-agent/embedded/bin/cws-instrumentation",
    ];
    for name in names {
        ensure(entries[name]["link"].is_string(), || {
            format!("no {name} in {entries}")
        })?;
    }
    for (name, mode) in [
        ("/tmp", "0o1777"),
        ("/etc/ssl/certs/ca-certificates.crt", "0o644"),
        ("/etc/passwd", "0o644"),
        ("/opt/datadog-agent/run", "0o750"),
        ("/var/run/sysprobe", "0o750"),
        ("/var/log/datadog", "0o755"),
    ] {
        ensure(entries[name]["mode"] == mode, || {
            format!("{name}: {}", entries[name])
        })?;
    }
    Ok(())
}

/// The two containers of a pod.
struct Pod {
    probe: Container,
    agent: Container,
    /// Settings of the second.
    agent_bundle: Bundle,
}

impl Pod {
    /// Starts both with these rules and waits until they run.
    fn start(image: &Image, name: &str, rules: &[String], url: &str) -> Result<Pod, Failure> {
        let probe_bundle = Bundle::new(image, &format!("{name}-probe"), &["system-probe", "run"])?;
        fs::write(
            probe_bundle.place("policies").join("e2e.policy"),
            policy(rules),
        )?;
        let arguments = ["security-agent", "start", "--json"];
        let agent_bundle = Bundle::new(image, &format!("{name}-agent"), &arguments)?;
        let mut agent_bundle = with_intake(agent_bundle.with_sockets_of(&probe_bundle), url);
        // Only the container of system-probe has rights and a profile.
        agent_bundle.allow(&[]);
        agent_bundle.without_profile();
        let pod = Pod {
            probe: probe_bundle.start()?,
            agent: agent_bundle.start()?,
            agent_bundle,
        };
        pod.agent
            .wait_up()
            .map_err(|failure| failure.at(&pod.probe.log()))?;
        Ok(pod)
    }
}

/// Flares go to `url`, events to nobody.
fn with_intake(bundle: Bundle, url: &str) -> Bundle {
    bundle
        .env("DD_API_KEY", API_KEY)
        .env("DD_URL", url)
        .env("DD_RUNTIME_SECURITY_CONFIG_ENDPOINTS_LOGS_DD_URL", NOWHERE)
}

fn expect_self_test(container: &Container) -> Outcome {
    let done = container.exec(&["security-agent", "runtime", "self-test"])?;
    ensure(done.code == Some(0) && done.stdout.trim() == OK, || {
        format!("{}; {}", done.said(), container.log())
    })
}

/// The warnings of system-probe.
fn warnings(container: &Container) -> Result<Vec<Value>, Failure> {
    let status = container.probe_status()?;
    Ok(status["warnings"].as_array().cloned().unwrap_or_default())
}

/// A file that only this test opens, and a rule on it.
fn bait(name: &str, extra: &str) -> Result<(String, String), Failure> {
    let path = scratch::directory(name)?.join("bait.e2e");
    fs::write(&path, "")?;
    let path = path.to_string_lossy().into_owned();
    let expression = format!("open.file.path == \"{path}\"");
    let rule = rule("bait", &expression, &format!("    every: 0\n{extra}"));
    Ok((path, rule))
}

/// As a pod runs it: both self-tests pass, events pass from one container to the other, and a flare
/// is made and sent from within.
fn pod(image: &Image) -> Outcome {
    let server = FlareServer::start()?;
    let (path, rule) = bait("image-bait", "")?;
    let mut pod = Pod::start(image, "pod", &[rule], &server.url())?;
    expect_self_test(&pod.probe)?;
    expect_self_test(&pod.agent)?;
    // Not of directories that everybody can write either, as volumes are when a pod starts.
    let missing = warnings(&pod.agent)?;
    ensure(missing.is_empty(), || format!("warnings: {missing:?}"))?;
    drop(fs::read(&path)?);
    pod.agent
        .event(|event| rule_of(event) == "bait" && event["file"]["path"] == path.as_str())?;
    server.then_head(Answer::empty("200 OK"));
    server.then_post(Answer::success(123));
    let flare = ["security-agent", "flare", "123", "--email", EMAIL, "--send"];
    let done = pod.agent.exec(&flare)?;
    ensure(done.code == Some(0), || done.said())?;
    let posts = server.take().iter().filter(|it| it.holds(EMAIL)).count();
    ensure(posts == 1, || format!("{posts} uploads: {}", done.said()))?;
    expect_flare(&pod.probe, None)?;
    expect_flare(&pod.agent, Some(&pod.agent_bundle))?;
    for container in [&mut pod.agent, &mut pod.probe] {
        let status = container.stop()?;
        ensure(status.code() == Some(0), || {
            format!("{status}: {}", container.log())
        })?;
    }
    Ok(())
}

/// Makes a flare in a container; with its bundle, looks for the archive in its /tmp as well.
fn expect_flare(container: &Container, bundle: Option<&Bundle>) -> Outcome {
    let words = ["security-agent", "flare", "123", "--no-upload"];
    let done = container.exec(&words)?;
    let name = done
        .stdout
        .split_whitespace()
        .find_map(|word| word.trim_end_matches('.').strip_prefix("/tmp/"));
    let (Some(0), Some(name)) = (done.code, name) else {
        return Err(Failure::Failed(done.said()));
    };
    let is_there =
        |bundle: &Bundle| fs::metadata(bundle.place("tmp").join(name)).is_ok_and(|it| it.len() > 0);
    ensure(bundle.is_none_or(is_there), || {
        format!("no {name} in /tmp: {}", done.said())
    })
}

/// With the documented rights, namespaces of other pods get their classifiers.
fn pod_network(image: &Image) -> Outcome {
    let (one, other) = (Namespace::new()?, Namespace::new()?);
    join(
        "cwst0",
        (&one, &["10.91.0.1/24"]),
        (&other, &["10.91.0.2/24"]),
    )?;
    let pod = Pod::start(image, "network", &[], NOWHERE)?;
    let _inside = InNamespace::start(&one)?;
    let interfaces = ["cwst0".to_owned()];
    let attached = wait_for(patience(SECONDS), || {
        let found = filters(&one, &interfaces).ok()?;
        all_attached(&found, &interfaces).then_some(())
    });
    let network = pod.agent.probe_status()?["network"].take();
    ensure(attached.is_some(), || {
        format!("no classifiers: {network}; {}", pod.probe.log())
    })?;
    let problems = &network["interfaces"]["problems"];
    ensure(*problems == json!([]), || format!("problems: {problems}"))?;
    let words = ["security-agent", "runtime", "network", "check", "-j"];
    let done = pod.probe.exec(&words)?;
    let report: Value = serde_json::from_str(&done.stdout).map_err(|_| done.said())?;
    let mut namespaces = report["namespaces"].as_array().into_iter().flatten();
    let inode = one.inode()?;
    let checked = namespaces.find(|namespace| namespace["inode"] == inode);
    let checked = checked.ok_or_else(|| done.said())?;
    let is_fine = checked["problem"] == "" && checked["interfaces"][0]["code"] == "nothing";
    ensure(is_fine, || checked.to_string())
}

/// A process in a namespace, which the agent sees it by.
struct InNamespace(Child);

impl InNamespace {
    fn start(namespace: &Namespace) -> Result<InNamespace, Failure> {
        let path = Path::new(NAMED).join(namespace.name());
        let child = Command::new("nsenter")
            .arg(format!("--net={}", path.display()))
            .arg("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(InNamespace(child))
    }
}

impl Drop for InNamespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A rule ends a process of another user.
fn pod_kill(image: &Image) -> Outcome {
    let action = "    actions:\n      - kill: {signal: SIGKILL, scope: process}\n";
    let (path, rule) = bait("image-kill", action)?;
    let pod = Pod::start(image, "kill", &[rule], NOWHERE)?;
    let mut victim = Command::new("sh")
        .args(["-c", "read line < \"$0\"; read line", &path])
        .uid(NOBODY)
        .stdin(Stdio::piped())
        .spawn()?;
    let ended = wait_for(patience(SECONDS), || victim.try_wait().ok()?);
    // Whether it was killed or not: nothing stays.
    let _ = victim.kill();
    let _ = victim.wait();
    ensure(
        ended.is_some_and(|status| status.signal() == Some(9)),
        || format!("ended {ended:?}; {}", pod.probe.log()),
    )?;
    pod.agent.event(|event| {
        rule_of(event) == "bait" && event["agent"]["rule_actions"][0]["status"] == "performed"
    })?;
    Ok(())
}

/// As Compose runs it: one container with both roles.
fn compose(image: &Image) -> Outcome {
    let bundle = Bundle::new(image, "compose", &["security-agent", "run", "--json"])?;
    let (path, rule) = bait("image-compose", "")?;
    fs::write(bundle.place("policies").join("e2e.policy"), policy(&[rule]))?;
    let bundle = with_intake(bundle, NOWHERE);
    let mut container = bundle.start()?;
    container.wait_up()?;
    expect_self_test(&container)?;
    drop(fs::read(&path)?);
    container.event(|event| rule_of(event) == "bait")?;
    expect_flare(&container, Some(&bundle))?;
    let status = container.stop()?;
    ensure(status.code() == Some(0), || {
        format!("{status}: {}", container.log())
    })
}

/// One capability less gives a sentence that names it, and nothing else names another.
fn capability_missing(image: &Image) -> Outcome {
    for name in CAPABILITIES {
        let mut bundle = probe(image, name)?;
        bundle.without_capability(name);
        let container = bundle.start()?;
        let short = name.trim_start_matches("CAP_");
        // Without this one, what tells of it is that nothing can be watched.
        let sentence = match name {
            "CAP_NET_BROADCAST" => "or with CAP_NET_ADMIN and CAP_NET_BROADCAST".to_owned(),
            _ => format!("; add {short} to the container's capabilities"),
        };
        container
            .expect_log(&sentence)
            .map_err(|failure| failure.at(name))?;
        let told = container.log().matches("is missing: ").count();
        let expected = usize::from(name != "CAP_NET_BROADCAST");
        ensure(told == expected, || format!("{name}: {}", container.log()))?;
    }
    Ok(())
}

fn probe(image: &Image, name: &str) -> Result<Bundle, Failure> {
    let name = format!("less-{}", name.replace('/', "-"));
    Bundle::new(image, &name, &["system-probe", "run"])
}

/// One mount less gives a sentence that names it. On new kernels the tracing file system is mounted
/// by the agent itself; here the profile does not let it.
fn mount_missing(image: &Image) -> Outcome {
    for (number, (at, calls, sentence)) in [
        (
            "/sys/kernel/debug",
            &["fsopen"][..],
            "give the container the /sys/kernel/debug of the host",
        ),
        ("/host/root", &[], "HOST_ROOT is /host/root, where nothing"),
        ("/host/root", &[], "/sys/fs/cgroup is not mounted"),
        ("/host/proc", &[], "HOST_PROC is /host/proc, where nothing"),
        ("/sys", &[], "no BTF in /sys/kernel/btf/vmlinux"),
        ("/tmp", &[], "/tmp/datadog_agent_cws_self_test"),
        (
            "/var/run/sysprobe",
            &[],
            "/var/run/sysprobe/runtime-security.sock.lock cannot be used",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut bundle = probe(image, &format!("{number}{at}"))?;
        bundle.without_mount(at);
        if at == "/sys" {
            bundle.without_mount("/sys/kernel/debug");
        }
        bundle.without_calls(calls);
        let container = bundle.start()?;
        let seen = container.expect_log(sentence);
        seen.map_err(|failure| failure.at(at))?;
    }
    Ok(())
}

/// The last entry of the profile is for enforcement alone: without it, all else works. Without
/// bpf(2), the sentence points at the profile.
fn calls_missing(image: &Image) -> Outcome {
    let mut bundle = probe(image, "kill")?;
    bundle.without_calls(&["kill", "pidfd_send_signal", "tgkill", "tkill"]);
    let container = bundle.start()?;
    container.expect_log(OK)?;
    drop(container);
    let mut bundle = probe(image, "bpf")?;
    bundle.without_calls(&["bpf"]);
    bundle.start()?.expect_log("seccomp profile allow bpf(2)")
}
