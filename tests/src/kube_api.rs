//! A stand-in for the API server of a cluster, and the process of the agent that asks it.
//!
//! The server is a fixture in Python, since it speaks TLS; its containers are one directory, in
//! which commands are really run. Names of pods say what goes wrong. A [`Cluster`] is what a pod
//! finds: an address, a service account, helpers; [`Cluster::ask`] gives the process one job.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{json, Value};

use crate::certificates::{Certificate, Certificates};
use crate::flare_server::python;
use crate::report::{ensure, Failure};
use crate::scratch::{self, patience};

const SERVER: &str = include_str!("../fixtures/kube_api.py");
/// Seconds until an answer must be there, far more than any job may take.
const SECONDS: u64 = 60;
/// Bytes of the helper that is copied, as many as the real one has.
const HELPER_SIZE: usize = 4_000_000;
/// It can do nothing but say that it is well.
const HELPER: &str = "#!/bin/sh\ntest \"$1\" = health\nexit $?\n";

/// A server, and what a pod is given to find it.
pub(crate) struct Cluster {
    server: Child,
    port: u16,
    host: &'static str,
    base: PathBuf,
}

impl Cluster {
    /// The token that the server wants.
    pub(crate) const TOKEN: &str = "token.of-the.tests";

    /// A server with a good certificate, and an account that fits.
    pub(crate) fn start() -> Result<Cluster, Failure> {
        Cluster::with(|all| &all.good)
    }

    /// A server with another certificate.
    pub(crate) fn with(certificate: fn(&Certificates) -> &Certificate) -> Result<Cluster, Failure> {
        let python = python()?;
        let base = scratch::directory("cluster")?;
        for name in ["certificates", "account", "helpers", "container/tmp"] {
            fs::create_dir_all(base.join(name))?;
        }
        let made = Certificates::make(&base.join("certificates"))?;
        let certificate = certificate(&made);
        let mut server = Command::new(python)
            .args(["-c", SERVER])
            .args([&certificate.certificate, &certificate.key])
            .arg(Cluster::TOKEN)
            .arg(base.join("container"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = server.stdout.take();
        let mut cluster = Cluster {
            server,
            port: 0,
            host: "127.0.0.1",
            base,
        };
        let mut line = String::new();
        if let Some(output) = output {
            BufReader::new(output).read_line(&mut line)?;
        }
        cluster.port = line.trim().parse()?;
        cluster.set_token(Cluster::TOKEN)?;
        cluster.trust(&made.authority)?;
        let mut helper = HELPER.as_bytes().to_vec();
        helper.resize(HELPER_SIZE, b'#');
        fs::write(
            cluster.base.join("helpers/cws-instrumentation.amd64"),
            helper,
        )?;
        Ok(cluster)
    }

    /// Has the server asked under another of its names.
    pub(crate) fn call(&mut self, host: &'static str) {
        self.host = host;
    }

    /// Replaces the token of the account.
    pub(crate) fn set_token(&self, token: &str) -> Result<(), Failure> {
        Ok(fs::write(self.base.join("account/token"), token)?)
    }

    /// Replaces the authority of the account.
    pub(crate) fn trust(&self, authority: &Path) -> Result<(), Failure> {
        fs::copy(authority, self.base.join("account/ca.crt"))?;
        Ok(())
    }

    /// Ends the server; its port is closed then.
    pub(crate) fn stop(&mut self) -> Result<(), Failure> {
        self.server.kill()?;
        self.server.wait()?;
        Ok(())
    }

    /// A file in the containers.
    pub(crate) fn in_container(&self, path: &str) -> PathBuf {
        self.base
            .join("container")
            .join(path.trim_start_matches('/'))
    }

    /// The first words of the commands that were run in a pod so far.
    pub(crate) fn commands(&self, pod: &str) -> Vec<String> {
        let log = fs::read_to_string(self.in_container("commands")).unwrap_or_default();
        let lines = log.lines().filter_map(|line| line.split_once(' '));
        let own = lines.filter(|(name, _)| *name == pod);
        own.map(|(_, command)| command.to_owned()).collect()
    }

    /// What a pod finds in its environment.
    pub(crate) fn environment(&self) -> [(&'static str, String); 4] {
        let path = |name: &str| self.base.join(name).to_string_lossy().into_owned();
        [
            ("KUBERNETES_SERVICE_HOST", self.host.to_owned()),
            ("KUBERNETES_SERVICE_PORT", self.port.to_string()),
            ("SECURITY_AGENT_SERVICE_ACCOUNT", path("account")),
            ("SECURITY_AGENT_HELPERS", path("helpers")),
        ]
    }

    /// Starts the process that asks.
    pub(crate) fn asker(&self) -> Result<Asker, Failure> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new(scratch::agent_binary())
            .arg("kube-worker")
            .env_clear()
            .envs(self.environment())
            .stdin(Stdio::from(OwnedFd::from(theirs.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::null())
            .spawn()?;
        ours.set_read_timeout(Some(patience(SECONDS)))?;
        let output = ours.try_clone()?;
        let input = BufReader::new(ours);
        Ok(Asker {
            child,
            input,
            output,
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// The process; it ends when dropped.
pub(crate) struct Asker {
    child: Child,
    input: BufReader<UnixStream>,
    output: UnixStream,
}

/// What the process said of a job.
#[derive(Debug)]
pub(crate) struct Said {
    /// `Ready PATH` or `Skip REASON`.
    pub(crate) outcome: String,
    /// Why; may be empty.
    pub(crate) sentence: String,
}

impl Asker {
    /// Gives it a job for a pod: a copy into a directory, or none for an init container's helper.
    pub(crate) fn ask(
        &mut self,
        pod: &str,
        directory: Option<&str>,
        timeout: Duration,
    ) -> Result<Said, Failure> {
        let mode = match directory {
            Some(directory) => {
                json!({"RemoteCopy": {"directory": directory, "mount_volume": false}})
            }
            None => json!("InitContainer"),
        };
        let job = json!({
            "namespace": "shop",
            "pod": pod,
            "container": "app",
            "mode": mode,
            "mutate_unlabelled": false,
            "timeout": {"secs": timeout.as_secs(), "nanos": timeout.subsec_nanos()},
        });
        self.output.write_all(format!("{job}\n").as_bytes())?;
        let mut line = String::new();
        self.input.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line)?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let outcome = match (&answer[0]["Ready"]["path"], &answer[0]["Skip"]) {
            (Value::String(path), _) => format!("Ready {path}"),
            (_, Value::String(reason)) => format!("Skip {reason}"),
            _ => answer[0].to_string(),
        };
        ensure(answer[1].is_string(), || format!("no sentence: {line}"))?;
        Ok(Said {
            outcome,
            sentence: text(&answer[1]).unwrap_or_default(),
        })
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
