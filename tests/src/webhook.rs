//! A webhook under test: started on a port of its own, asked by curl, its patches applied by Python.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{json, Value};

use crate::finished::{finish, Finished};
use crate::harness::{Agent, Launch};
use crate::report::{ensure, Failure, Outcome};
use crate::scratch::{self, patience, wait_for};

const PREFIX: &str = "DD_ADMISSION_CONTROLLER_";
/// What the variable of the switch is called after the prefix.
pub(crate) const SWITCH: &str = "CWS_INSTRUMENTATION_ENABLED";
/// Name that the webhook's own certificate is for.
const SERVICE: &str = "datadog-admission-controller.agents.svc";
/// Path of the webhook for pods.
pub(crate) const POD: &str = "/inject-pod-cws";
/// Path of the webhook for commands.
pub(crate) const COMMAND: &str = "/inject-command-cws";
/// Seconds for one request, or for the loop to notice something.
pub(crate) const SECONDS: u64 = 20;
/// Where Python has jsonpatch and kubernetes-validate.
const PYTHON_VARIABLE: &str = "SECURITY_AGENT_PYTHON";
const CHECK: &str = r#"
import base64, json, sys
import jsonpatch, kubernetes_validate
review, answer = (json.load(open(name)) for name in sys.argv[1:3])
response = answer["response"]
assert response["allowed"] is True and response["uid"] == review["request"]["uid"], response
assert answer["apiVersion"] == review["apiVersion"] and answer["kind"] == "AdmissionReview"
patch = json.loads(base64.b64decode(response["patch"], validate=True))
after = jsonpatch.JsonPatch(patch).apply(review["request"]["object"])
versions = ["1.29", "1.34"] if after["kind"] == "Pod" else []
for version in versions:
    kubernetes_validate.validate(after, version, strict=True)
print(json.dumps(after))
"#;

/// A running webhook and how it is reached.
pub(crate) struct Webhook {
    /// The agent.
    pub(crate) agent: Agent,
    /// Its port.
    pub(crate) port: u16,
    /// For files of the test.
    pub(crate) directory: PathBuf,
    /// Who vouches for it.
    pub(crate) authority: PathBuf,
    /// What it is called.
    pub(crate) name: String,
}

impl Webhook {
    /// On, with a certificate of its own and with init containers.
    pub(crate) fn start() -> Result<Webhook, Failure> {
        let (launch, port) = launch()?;
        let launch = set(launch, SWITCH, "true");
        Webhook::of(launch, port, None)
    }

    /// `authority` vouches for localhost; without one the webhook says whom to trust.
    pub(crate) fn of(
        launch: Launch,
        port: u16,
        authority: Option<&Path>,
    ) -> Result<Webhook, Failure> {
        let directory = scratch::directory("webhook")?;
        let mut agent = launch.spawn()?;
        let up = wait_for(patience(SECONDS), || {
            let is_up = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
            (is_up || agent.has_ended()).then_some(is_up)
        });
        ensure(up == Some(true), || {
            format!("it is not up: {}", agent.log())
        })?;
        let mut webhook = Webhook {
            agent,
            port,
            authority: directory.join("authority.pem"),
            directory,
            name: SERVICE.to_owned(),
        };
        match authority {
            Some(authority) => {
                webhook.authority = authority.to_owned();
                webhook.name = "localhost".to_owned();
            }
            None => webhook.ask_authority()?,
        }
        Ok(webhook)
    }

    fn ask_authority(&self) -> Outcome {
        let told = self
            .agent
            .command(&["admission-controller", "--print-ca-bundle"])?;
        ensure(told.code == Some(0), || told.said())?;
        let bundle = self.directory.join("bundle");
        fs::write(&bundle, &told.stdout)?;
        let mut command = Command::new("openssl");
        command.args(["base64", "-d", "-A", "-in"]).arg(bundle);
        let decoded = finish(command, patience(SECONDS))?;
        ensure(
            decoded.stdout.starts_with("-----BEGIN CERTIFICATE-----\n"),
            || decoded.said(),
        )?;
        fs::write(&self.authority, decoded.stdout)?;
        Ok(())
    }

    /// A curl that trusts the authority and reaches the webhook under its name.
    pub(crate) fn curl(&self, path: &str) -> Command {
        let mut command = Command::new("curl");
        let (name, port) = (&self.name, self.port);
        command
            .args(["--silent", "--show-error", "--noproxy", "*", "--cacert"])
            .arg(&self.authority)
            .args(["--resolve", &format!("{name}:{port}:127.0.0.1")])
            .args(["--write-out", "%{stderr}%{http_code}"])
            .arg(format!("https://{name}:{port}{path}"));
        command
    }

    /// Gets a path.
    pub(crate) fn get(&self, path: &str) -> Result<Finished, Failure> {
        finish(self.curl(path), patience(SECONDS))
    }

    /// Posts a body; its answer has to allow.
    pub(crate) fn review(&self, path: &str, body: &[u8]) -> Result<Value, Failure> {
        let file = self.directory.join("review.json");
        fs::write(&file, body)?;
        let mut command = self.curl(path);
        command
            .args(["--header", "Content-Type: application/json"])
            .arg("--data-binary")
            .arg(format!("@{}", file.display()));
        let finished = finish(command, patience(SECONDS))?;
        fs::write(self.directory.join("answer.json"), &finished.stdout)?;
        let answer: Value = serde_json::from_str(&finished.stdout)
            .map_err(|error| format!("no JSON ({error}): {}", finished.said()))?;
        ensure(
            finished.stderr == "200" && answer["response"]["allowed"] == true,
            || finished.said(),
        )?;
        Ok(answer)
    }

    /// Whether pods are changed now.
    pub(crate) fn changes_pods(&self) -> Result<bool, Failure> {
        let answer = self.review(POD, pod_review("v1", &pod()).to_string().as_bytes())?;
        Ok(answer["response"].get("patch").is_some())
    }

    /// Posts a review and applies the patch of the answer with Python, which also says whether the
    /// pod that comes out is one.
    pub(crate) fn after(&self, path: &str, review: &Value) -> Result<Value, Failure> {
        let python = python()?;
        self.review(path, review.to_string().as_bytes())?;
        let mut command = Command::new(python);
        command
            .args(["-c", CHECK])
            .arg(self.directory.join("review.json"))
            .arg(self.directory.join("answer.json"));
        let finished = finish(command, patience(SECONDS))?;
        serde_json::from_str(&finished.stdout)
            .map_err(|_| Failure::Failed(format!("{review}: {}", finished.said())))
    }

    /// The text of its metrics.
    pub(crate) fn metrics(&self) -> Result<String, Failure> {
        Ok(self.get("/metrics")?.stdout)
    }
}

/// A webhook on a port that nobody had a moment ago.
pub(crate) fn launch() -> Result<(Launch, u16), Failure> {
    if scratch::in_vm() {
        let sentence = "the virtual machine has no curl";
        return Err(Failure::NotApplicable(sentence.to_owned()));
    }
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let port = port.port();
    let launch = Launch::new("admission")?.arguments(&["admission-controller"]);
    let launch = launch.env("DD_KUBE_RESOURCES_NAMESPACE", "agents");
    let launch = set(launch, "PORT", &port.to_string());
    let launch = set(launch, "CWS_INSTRUMENTATION_MODE", "init_container");
    let registry = "CWS_INSTRUMENTATION_CONTAINER_REGISTRY";
    Ok((set(launch, registry, "reg.example/agents"), port))
}

/// Sets a variable of the webhook.
pub(crate) fn set(launch: Launch, name: &str, value: &str) -> Launch {
    launch.env(&format!("{PREFIX}{name}"), value)
}

fn python() -> Result<PathBuf, Failure> {
    let named = std::env::var_os(PYTHON_VARIABLE).map(PathBuf::from);
    let python = named.unwrap_or_else(|| scratch::tool("venv/bin/python"));
    match python.exists() {
        true => Ok(python),
        false => Err(Failure::Skipped(format!(
            "{} with jsonpatch and kubernetes-validate is missing",
            python.display()
        ))),
    }
}

/// A small pod that wants to be instrumented.
pub(crate) fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "web-",
            "labels": {"admission.datadoghq.com/cws-instrumentation.enabled": "true"},
        },
        "spec": {"containers": [{"name": "web", "image": "reg.example/web:1"}]},
    })
}

/// The review of a pod in this version.
pub(crate) fn pod_review(version: &str, pod: &Value) -> Value {
    json!({
        "apiVersion": format!("admission.k8s.io/{version}"),
        "kind": "AdmissionReview",
        "request": {
            "uid": "2f1b6c1e-0000-4000-8000-0123456789ab",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:job-controller"},
            "object": pod,
            "oldObject": null,
            "unknown": {"to": ["anybody"]},
        },
    })
}

/// The review of a command.
pub(crate) fn exec_review(command: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "9a1c2e3f-0000-4000-8000-0123456789ab",
            "kind": {"group": "", "version": "v1", "kind": "PodExecOptions"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "subResource": "exec",
            "name": "web-x2x7q",
            "namespace": "shop",
            "operation": "CONNECT",
            "userInfo": {"username": "jane", "groups": ["dev"]},
            "object": {"kind": "PodExecOptions", "apiVersion": "v1", "command": command},
        },
    })
}
