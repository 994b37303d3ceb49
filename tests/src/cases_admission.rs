//! The admission webhook: reviews over TLS as an API server sends them, patches applied by somebody
//! else, crowds and slow clients, other certificates, and the switch.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{kill, Signal};
use serde_json::{json, Value};

use crate::certificates::{Certificate, Certificates};
use crate::finished::finish;
use crate::kube_api::Cluster;
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};
use crate::webhook::{exec_review, launch, pod, pod_review, set, Webhook};
use crate::webhook::{COMMAND, POD, SECONDS, SWITCH};

/// Good requests at one time, and slow clients beside them.
const CROWD: usize = 200;
/// Connections that are served at one time.
const PLACES: usize = 512;
/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("admission_pods", pods);
    report.case("admission_commands", commands);
    report.case("admission_commands_of_a_cluster", commands_of_a_cluster);
    report.case("admission_doubt", doubt);
    report.case("admission_versions_of_tls", versions_of_tls);
    report.case("admission_switch", switch);
    report.case("admission_names_of_the_switch", names_of_the_switch);
    report.case("admission_certificate", certificate);
    report.case("admission_own_certificate_stays", own_certificate_stays);
    report.case("admission_crowd", crowd);
    report.case("admission_full", full);
    report.case("admission_end", end);
}

/// Makes a pod of another shape.
type Change = fn(&mut Value);

/// Pods of many shapes come out valid, with the helper in all containers; once only.
fn pods() -> Outcome {
    let webhook = Webhook::start()?;
    let shapes: [(&str, Change); 7] = [
        ("small", |_| {}),
        ("null lists", |pod| {
            pod["metadata"]["annotations"] = Value::Null;
            pod["spec"]["volumes"] = Value::Null;
            pod["spec"]["initContainers"] = Value::Null;
        }),
        ("volumes", |pod| {
            pod["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
            let mounts = json!([{"name": "data", "mountPath": "/data"}]);
            pod["spec"]["containers"][0]["volumeMounts"] = mounts;
        }),
        ("init containers", |pod| {
            pod["spec"]["initContainers"] = json!([{"name": "a", "image": "b"}]);
        }),
        ("annotations", |pod| {
            let annotation = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
            pod["metadata"]["annotations"] = json!({annotation: "data", "a~b/c": "é🦀"});
        }),
        ("security", |pod| {
            pod["spec"]["securityContext"] = json!({
                "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"},
            });
        }),
        ("many containers", |pod| {
            let containers =
                (0..30).map(|number| json!({"name": format!("c{number}"), "image": "x"}));
            pod["spec"]["containers"] = containers.collect();
        }),
    ];
    for version in ["v1", "v1beta1"] {
        for (name, change) in shapes {
            let mut before = pod();
            change(&mut before);
            let after = webhook.after(POD, &pod_review(version, &before))?;
            let init = &after["spec"]["initContainers"][0];
            let containers = after["spec"]["containers"].as_array();
            let mounted = containers.into_iter().flatten().all(|container| {
                let mounts = container["volumeMounts"].as_array().into_iter().flatten();
                mounts
                    .filter(|mount| mount["mountPath"] == "/datadog-cws-instrumentation")
                    .count()
                    == 1
            });
            ensure(
                mounted && init["image"] == "reg.example/agents/cws-instrumentation:latest",
                || format!("{name}: {after}"),
            )?;
            let again = webhook.review(POD, pod_review(version, &after).to_string().as_bytes())?;
            ensure(again["response"].get("patch").is_none(), || {
                format!("{name} was changed twice: {again}")
            })?;
        }
    }
    let metrics = webhook.metrics()?;
    let expected = "{webhook=\"cws_pod_instrumentation\",reason=\"already_instrumented\"} 14\n";
    ensure(metrics.contains(expected), || metrics.clone())
}

/// Nobody can be asked about pods here: commands are left as they are, at once.
fn commands() -> Outcome {
    let webhook = Webhook::start()?;
    for command in [json!(["sh", "-c", "echo é🦀"]), json!([]), Value::Null] {
        let review = exec_review(&command);
        let answer = webhook.review(COMMAND, review.to_string().as_bytes())?;
        let response = json!({"uid": review["request"]["uid"], "allowed": true});
        ensure(answer["response"] == response, || answer.to_string())?;
    }
    let metrics = webhook.metrics()?;
    let expected = "{webhook=\"cws_exec_instrumentation\",reason=\"nil_command\"} 2\n";
    ensure(metrics.contains(expected), || metrics.clone())
}

/// The webhook, its process and an API server together: the helper arrives, and the command that
/// comes out begins with it.
fn commands_of_a_cluster() -> Outcome {
    let cluster = Cluster::start()?;
    let (mut launch, port) = launch()?;
    for (name, value) in cluster.environment() {
        launch = launch.env(name, &value);
    }
    let launch = set(launch, SWITCH, "true");
    let launch = set(launch, "CWS_INSTRUMENTATION_MODE", "remote_copy");
    let launch = set(launch, "CWS_INSTRUMENTATION_TIMEOUT", "30s");
    let launch = launch.env("DD_CLUSTER_AGENT_SERVICE_ACCOUNT_NAME", "hook");
    let webhook = Webhook::of(launch, port, None)?;
    let mut review = exec_review(&json!(["sh", "-c", "echo é🦀"]));
    let after = webhook.after(COMMAND, &review)?;
    let helper = "/tmp/cws-instrumentation";
    let data = "{\"username\":\"jane\",\"groups\":[\"dev\"]}";
    let expected = json!([
        helper,
        "inject",
        "--session-type",
        "k8s",
        "--data",
        data,
        "--",
        "sh",
        "-c",
        "echo é🦀",
    ]);
    ensure(after["command"] == expected, || {
        format!("{after}: {}", webhook.agent.log())
    })?;
    ensure(cluster.in_container(helper).exists(), || {
        format!("{:?}", cluster.commands("web-x2x7q"))
    })?;
    // The webhook's own commands change nothing.
    let own = "system:serviceaccount:agents:hook";
    review["request"]["userInfo"] = json!({ "username": own });
    let answer = webhook.review(COMMAND, review.to_string().as_bytes())?;
    ensure(answer["response"].get("patch").is_none(), || {
        answer.to_string()
    })
}

/// Whatever is posted is allowed; what is no request of this webhook is told so.
fn doubt() -> Outcome {
    let webhook = Webhook::start()?;
    let mut big = pod_review("v1", &pod());
    big["request"]["object"]["metadata"]["annotations"] = json!({"big": "x".repeat(2 << 20)});
    webhook.review(POD, big.to_string().as_bytes())?;
    let bodies: [&[u8]; 6] = [
        b"",
        b"no json",
        b"{\"request\":",
        b"\xff\xfe\x00",
        b"[[[[[[",
        b"{\"apiVersion\":\"admission.k8s.io/v9\",\"kind\":\"AdmissionReview\",\"request\":{\"uid\":\"u\"}}",
    ];
    for body in bodies {
        for path in [POD, COMMAND] {
            let answer = webhook.review(path, body)?;
            ensure(answer["response"].get("patch").is_none(), || {
                answer.to_string()
            })?;
        }
    }
    for (path, method, expected) in [
        ("/healthz", "GET", "200"),
        ("/metrics", "GET", "200"),
        (POD, "GET", "405"),
        (POD, "PUT", "405"),
        ("/healthz", "POST", "405"),
        ("/", "GET", "404"),
    ] {
        let mut command = webhook.curl(path);
        command.args(["--request", method]);
        let finished = finish(command, patience(SECONDS))?;
        ensure(finished.stderr == expected, || {
            format!("{method} {path}: {}", finished.said())
        })?;
    }
    let huge = webhook.directory.join("huge");
    File::create(&huge)?.set_len((3 << 20) + 1)?;
    for framing in ["Content-Type: x/y", "Transfer-Encoding: chunked"] {
        let mut command = webhook.curl(POD);
        command
            .args(["--header", framing, "--header", "Expect:", "--data-binary"])
            .arg(format!("@{}", huge.display()));
        let finished = finish(command, patience(SECONDS))?;
        ensure(finished.stderr.ends_with("413"), || finished.said())?;
    }
    ensure(webhook.changes_pods()?, || {
        "it does nothing any more".to_owned()
    })
}

fn versions_of_tls() -> Outcome {
    let webhook = Webhook::start()?;
    for (least, most, expected) in [
        ("--tlsv1.2", "1.2", true),
        ("--tlsv1.3", "1.3", true),
        ("--tlsv1.0", "1.1", false),
    ] {
        let mut command = webhook.curl("/healthz");
        command.args([least, "--tls-max", most]);
        let finished = finish(command, patience(SECONDS))?;
        ensure((finished.stdout == "ok\n") == expected, || {
            format!("{most}: {}", finished.said())
        })?;
    }
    Ok(())
}

/// The switch in the file, thrown while it runs.
fn switch() -> Outcome {
    let (launch, port) = launch()?;
    let on = "admission_controller:\n  cws_instrumentation:\n    enabled: true\n";
    let off = on.replace("true", "false");
    let path = launch.file("datadog.yaml", on)?;
    let probe = launch.file("system-probe.yaml", "")?;
    let launch = launch.arguments(&[
        "admission-controller",
        "--cfgpath",
        &path,
        "--sysprobe-config",
        &probe,
    ]);
    let webhook = Webhook::of(launch, port, None)?;
    for (text, expected) in [
        (on, true),
        (off.as_str(), false),
        (on, true),
        ("no: [yaml", false),
        (on, true),
    ] {
        fs::write(&path, text)?;
        kill(webhook.agent.pid(), Signal::SIGHUP)?;
        let changed = wait_for(patience(SECONDS), || match webhook.changes_pods() {
            Ok(found) if found == expected => Some(()),
            _ => None,
        });
        ensure(changed.is_some(), || {
            format!("`{text}` is not followed: {}", webhook.agent.log())
        })?;
    }
    ensure(
        webhook
            .agent
            .log()
            .contains("admission_controller.cws_instrumentation.enabled is not true"),
        || webhook.agent.log(),
    )
}

/// Either name of the variable switches it off, and so does saying nothing.
fn names_of_the_switch() -> Outcome {
    let runtime = "DD_RUNTIME_ADMISSION_CONTROLLER_CWS_INSTRUMENTATION_ENABLED";
    let usual = "DD_ADMISSION_CONTROLLER_CWS_INSTRUMENTATION_ENABLED";
    let cases: [(&[(&str, &str)], bool); 6] = [
        (&[], false),
        (&[(usual, "true")], true),
        (&[(runtime, "true")], true),
        (&[(usual, "true"), (runtime, "false")], false),
        (&[(usual, "false"), (runtime, "true")], false),
        (&[(usual, "false")], false),
    ];
    for (variables, expected) in cases {
        let (mut launch, port) = launch()?;
        for (name, value) in variables {
            launch = launch.env(name, value);
        }
        let webhook = Webhook::of(launch, port, None)?;
        let found = webhook.changes_pods()?;
        ensure(found == expected, || {
            format!("{variables:?}: {}", webhook.agent.log())
        })?;
    }
    Ok(())
}

/// Certificates of others are taken when they change, and stay when what follows is broken.
fn certificate() -> Outcome {
    let (launch, port) = launch()?;
    let directory = scratch::directory("certificates")?;
    let all = Certificates::make(&directory)?;
    let used = directory.join("used");
    fs::create_dir(&used)?;
    install(&used, &all.good)?;
    let launch = set(launch, SWITCH, "true");
    let launch = set(launch, "CERTIFICATE_DIRECTORY", &used.to_string_lossy());
    let mut webhook = Webhook::of(launch, port, Some(&all.authority))?;
    ensure(webhook.changes_pods()?, || webhook.agent.log())?;
    install(&used, &all.wrong_name)?;
    webhook.name = "elsewhere.example".to_owned();
    let taken = wait_for(patience(SECONDS), || webhook.changes_pods().ok());
    ensure(taken == Some(true), || webhook.agent.log())?;
    fs::write(used.join("tls.crt"), "broken")?;
    let said = wait_for(patience(SECONDS), || {
        let log = webhook.agent.log();
        log.contains("previous certificate stays in use")
            .then_some(())
    });
    ensure(said.is_some(), || webhook.agent.log())?;
    ensure(webhook.changes_pods()?, || webhook.agent.log())
}

fn install(directory: &Path, certificate: &Certificate) -> Outcome {
    for (file, name) in [
        (&certificate.key, "tls.key"),
        (&certificate.certificate, "tls.crt"),
    ] {
        let new = directory.join("new");
        fs::copy(file, &new)?;
        fs::rename(new, directory.join(name))?;
    }
    Ok(())
}

/// A restart keeps the certificate that the cluster was told to trust.
fn own_certificate_stays() -> Outcome {
    let mut webhook = Webhook::start()?;
    let status = webhook.agent.stop()?;
    ensure(status.code() == Some(0), || webhook.agent.log())?;
    let launch = webhook.agent.again().arguments(&["admission-controller"]);
    let again = Webhook::of(launch, webhook.port, None)?;
    let same = fs::read(&webhook.authority)? == fs::read(&again.authority)?;
    ensure(same, || "there is another one".to_owned())?;
    ensure(again.changes_pods()?, || again.agent.log())
}

/// Many at once beside as many who never get to the point: each of the former is answered.
fn crowd() -> Outcome {
    let webhook = Webhook::start()?;
    let mut slow = Vec::new();
    for _ in 0..CROWD {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, webhook.port))?;
        // The begin of a handshake.
        stream.write_all(&[0x16, 0x03, 0x01])?;
        stream.set_read_timeout(Some(patience(SECONDS)))?;
        slow.push(stream);
    }
    let secure = slow_requests(&webhook)?;
    let review = webhook.directory.join("crowd.json");
    fs::write(&review, pod_review("v1", &pod()).to_string())?;
    let mut command = webhook.curl(&format!("{POD}?n=[1-{CROWD}]"));
    command
        // More handshakes at once than that would take one curl longer than the webhook waits.
        .args(["--parallel", "--parallel-immediate", "--parallel-max", "50"])
        // A parallel curl tells its progress on standard error.
        .args(["--write-out", "%{http_code}\n", "--output"])
        .arg(webhook.directory.join("crowd-#1"))
        .arg("--data-binary")
        .arg(format!("@{}", review.display()));
    let finished = finish(command, 3 * patience(SECONDS))?;
    ensure(finished.stdout == "200\n".repeat(CROWD), || finished.said())?;
    for number in 1..=CROWD {
        let text = fs::read_to_string(webhook.directory.join(format!("crowd-{number}")))?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        ensure(answer["response"]["patch"].is_string(), || text)?;
    }
    for mut stream in slow {
        let ended = !matches!(stream.read(&mut [0]), Err(error) if would_wait(&error));
        ensure(ended, || "a slow client is still there".to_owned())?;
    }
    for mut child in secure {
        let ended = wait_for(patience(SECONDS), || child.try_wait().ok().flatten());
        if ended.is_none() {
            let _ = child.kill();
            let _ = child.wait();
        }
        ensure(ended.is_some(), || {
            "a slow request is still there".to_owned()
        })?;
    }
    let metrics = webhook.metrics()?;
    ensure(!metrics.contains("reason=\"timeout\"} 0\n"), || {
        metrics.clone()
    })
}

/// Clients that have agreed on TLS and never come to the end of a head, or of a body.
fn slow_requests(webhook: &Webhook) -> Result<Vec<Child>, Failure> {
    let begins = [
        "POST / HT",
        "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc",
        "",
    ];
    let mut children = Vec::new();
    for begin in begins {
        let mut child = Command::new("openssl")
            .args(["s_client", "-quiet", "-connect"])
            .arg(format!("127.0.0.1:{}", webhook.port))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        if let Some(input) = &mut child.stdin {
            input.write_all(begin.as_bytes())?;
        }
        children.push(child);
    }
    Ok(children)
}

fn would_wait(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    matches!(error.kind(), TimedOut | WouldBlock)
}

/// Where all places are taken, who comes next has one all the same.
fn full() -> Outcome {
    let webhook = Webhook::start()?;
    let held: Result<Vec<TcpStream>, _> = (0..PLACES)
        .map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, webhook.port)))
        .collect();
    let held = held?;
    ensure(webhook.changes_pods()?, || webhook.agent.log())?;
    let metrics = webhook.metrics()?;
    ensure(!metrics.contains("reason=\"replaced\"} 0\n"), || {
        metrics.clone()
    })?;
    drop(held);
    Ok(())
}

/// It ends when it is told to, and what is under way is answered.
fn end() -> Outcome {
    let mut webhook = Webhook::start()?;
    let body = pod_review("v1", &pod()).to_string();
    let (first, rest) = body.split_at(body.len() / 2);
    let out = File::create(webhook.directory.join("end"))?;
    let mut child = Command::new("openssl")
        .args(["s_client", "-quiet", "-ign_eof", "-connect"])
        .arg(format!("127.0.0.1:{}", webhook.port))
        .stdin(Stdio::piped())
        .stdout(out)
        .stderr(Stdio::null())
        .spawn()?;
    let length = body.len();
    let head = format!("POST {POD} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    if let Some(input) = &mut child.stdin {
        input.write_all(head.as_bytes())?;
        input.write_all(first.as_bytes())?;
    }
    let connected = wait_for(patience(SECONDS), || {
        let metrics = webhook.metrics().ok()?;
        metrics.contains("_connections 2\n").then_some(())
    });
    kill(webhook.agent.pid(), Signal::SIGTERM)?;
    let refuses = wait_for(patience(SECONDS), || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, webhook.port))
            .is_err()
            .then_some(())
    });
    if let Some(input) = &mut child.stdin {
        input.write_all(rest.as_bytes())?;
    }
    let code = webhook.agent.wait_end(patience(SECONDS));
    let ended = wait_for(patience(SECONDS), || child.try_wait().ok().flatten());
    let _ = child.kill();
    let _ = child.wait();
    let text = fs::read_to_string(webhook.directory.join("end"))?;
    ensure(
        connected.is_some() && refuses.is_some() && ended.is_some(),
        || {
            format!(
                "{connected:?} {refuses:?} {ended:?}: {}",
                webhook.agent.log()
            )
        },
    )?;
    ensure(
        text.contains("\"patchType\":\"JSONPatch\"") && text.contains("Connection: close"),
        || format!("answered `{text}`: {}", webhook.agent.log()),
    )?;
    ensure(code.and_then(|code| code.code()) == Some(0), || {
        format!("{code:?}: {}", webhook.agent.log())
    })
}
