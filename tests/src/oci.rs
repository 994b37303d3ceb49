//! Containers of the image under crun: the archive unpacked, a bundle per container, and what runs
//! of it.
//!
//! A [`Bundle`] begins with the capabilities and mounts that are documented for system-probe and its
//! seccomp profile; tests take away from that. Cgroups are left alone. crun runs in a mount namespace
//! of its own, where the unified hierarchy is all of /sys/fs/cgroup: it refuses hybrid ones. What
//! runs in a container carries the name of its directory in its environment, so that the guard finds
//! it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::{json, Value};

use crate::finished::{finish, Finished};
use crate::guard::CONTAINER_VARIABLE;
use crate::harness::STOP_SECONDS;
use crate::report::{ensure, Failure, Outcome};
use crate::scratch::{self, patience, wait_for};

/// Names the archive.
const IMAGE_VARIABLE: &str = "SECURITY_AGENT_IMAGE";
/// The profile that is shipped.
const PROFILE: &str = include_str!("../../scripts/chart/files/system-probe-seccomp.json");
/// Seconds for a container or a command in it.
const SECONDS: u64 = 60;
/// What a node gives to the container of system-probe, but for [`UNUSED`].
pub(crate) const CAPABILITIES: [&str; 8] = [
    "CAP_SYS_ADMIN",
    "CAP_SYS_PTRACE",
    "CAP_NET_ADMIN",
    "CAP_NET_BROADCAST",
    "CAP_IPC_LOCK",
    "CAP_CHOWN",
    "CAP_DAC_READ_SEARCH",
    "CAP_KILL",
];
/// What manifests give to it besides: CAP_SYS_RESOURCE is for kernels before 5.11, and not every host of
/// tests may give it; CAP_NET_RAW is documented, and used for nothing.
pub(crate) const UNUSED: [&str; 2] = ["CAP_SYS_RESOURCE", "CAP_NET_RAW"];
/// What is mounted into it from the host: where, and what.
pub(crate) const OF_HOST: [(&str, &str, &str); 3] = [
    ("/sys/kernel/debug", "/sys/kernel/debug", "rw"),
    ("/host/proc", "/proc", "ro"),
    ("/host/root", "/", "ro"),
];
/// What is mounted into it of the pod: where, and under which name here.
pub(crate) const OF_POD: [(&str, &str, &str); 5] = [
    ("/tmp", "tmp", "rw"),
    ("/opt/datadog-agent/run", "run", "rw"),
    ("/var/run/sysprobe", "sysprobe", "rw"),
    ("/var/log/datadog", "logs", "rw"),
    ("/etc/datadog-agent/runtime-security.d", "policies", "ro"),
];
/// crun with its arguments, where it finds a single hierarchy of cgroups.
const CRUN: &str = "[ ! -d /sys/fs/cgroup/unified ] || \
                    mount --bind /sys/fs/cgroup/unified /sys/fs/cgroup; exec crun \"$@\"";

/// The archive that `make image` writes.
pub(crate) fn archive() -> Result<PathBuf, Failure> {
    let path = PathBuf::from(std::env::var_os(IMAGE_VARIABLE).unwrap_or_default());
    match path.is_file() {
        true => Ok(path),
        false => Err(Failure::Skipped(format!(
            "no image in `{}`; run `make image` and set {IMAGE_VARIABLE}",
            path.display()
        ))),
    }
}

/// The image, unpacked.
pub(crate) struct Image {
    root: PathBuf,
}

impl Image {
    /// Unpacks the layer of the archive; skips where there is no archive or no crun.
    pub(crate) fn unpack() -> Result<Image, Failure> {
        let archive = archive()?;
        if Command::new("crun").arg("--version").output().is_err() {
            return Err(Failure::Skipped("crun is missing".to_owned()));
        }
        let (layout, root) = (
            scratch::directory("layout")?,
            scratch::directory("image-root")?,
        );
        untar(&archive, &layout)?;
        let index = read_json(&layout.join("index.json"))?;
        let manifest = read_json(&blob(&layout, &index["manifests"][0]))?;
        untar(&blob(&layout, &manifest["layers"][0]), &root)?;
        fs::remove_dir_all(&layout)?;
        Ok(Image { root })
    }
}

fn blob(layout: &Path, descriptor: &Value) -> PathBuf {
    let digest = descriptor["digest"].as_str().unwrap_or_default();
    layout.join("blobs").join(digest.replace(':', "/"))
}

fn read_json(path: &Path) -> Result<Value, Failure> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn untar(archive: &Path, at: &Path) -> Outcome {
    let mut command = Command::new("tar");
    command.args(["--extract", "--preserve-permissions", "--file"]);
    command.arg(archive).arg("--directory").arg(at);
    let done = finish(command, patience(SECONDS))?;
    ensure(done.code == Some(0), || done.said())
}

/// A container that is not started: its directory, with what is mounted into it, and its settings.
pub(crate) struct Bundle {
    directory: PathBuf,
    config: Value,
}

impl Bundle {
    /// A container of this command line as the documentation has it for system-probe.
    pub(crate) fn new(image: &Image, name: &str, arguments: &[&str]) -> Result<Bundle, Failure> {
        let directory = scratch::directory(name)?;
        for (_, part, mode) in OF_POD {
            let path = directory.join(part);
            fs::create_dir(&path)?;
            // As the kubelet makes empty volumes.
            let mode = if mode == "rw" { 0o777 } else { 0o755 };
            scratch::set_mode(&path, mode)?;
        }
        let config = json!({
            "ociVersion": "1.0.0",
            "process": {
                "terminal": false,
                "user": { "uid": 0, "gid": 0 },
                "args": arguments,
                "cwd": "/",
                "noNewPrivileges": true,
                "env": [],
            },
            "root": { "path": image.root, "readonly": true },
            "mounts": mounts(&directory),
            "linux": { "namespaces": [{ "type": "mount" }, { "type": "ipc" }, { "type": "uts" }] },
        });
        let mut bundle = Bundle { directory, config };
        bundle.config["linux"]["seccomp"] = serde_json::from_str(PROFILE)?;
        bundle.allow(&CAPABILITIES);
        let own = bundle.directory.to_string_lossy().into_owned();
        Ok(bundle
            .env("PATH", "/opt/datadog-agent/embedded/bin:/usr/bin")
            .env(CONTAINER_VARIABLE, &own)
            .env("HOST_ROOT", "/host/root")
            .env("HOST_PROC", "/host/proc")
            .env("DD_RUNTIME_SECURITY_CONFIG_ENABLED", "true")
            .env(
                "DD_RUNTIME_SECURITY_CONFIG_SOCKET",
                "/var/run/sysprobe/runtime-security.sock",
            )
            .env(
                "DD_RUNTIME_SECURITY_CONFIG_POLICIES_DEFAULT_ENABLED",
                "false",
            )
            .env(
                "DD_RUNTIME_SECURITY_CONFIG_NETWORK_INTERFACES_INCLUDE",
                "cwst*",
            ))
    }

    /// A directory of it as the host sees it, by its name in [`OF_POD`].
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Bundle {
        push(
            &mut self.config["process"]["env"],
            json!(format!("{name}={value}")),
        );
        self
    }

    /// The sockets of another container, as containers of a pod share them.
    pub(crate) fn with_sockets_of(mut self, other: &Bundle) -> Bundle {
        self.without_mount("/var/run/sysprobe");
        let mount = bind("/var/run/sysprobe", &other.place("sysprobe"), "rw");
        push(&mut self.config["mounts"], mount);
        self
    }

    /// The capabilities that it has, and no others.
    pub(crate) fn allow(&mut self, capabilities: &[&str]) {
        self.config["process"]["capabilities"] = json!({
            "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
        });
    }

    /// One capability less.
    pub(crate) fn without_capability(&mut self, name: &str) {
        let left = CAPABILITIES.into_iter().filter(|known| *known != name);
        self.allow(&left.collect::<Vec<_>>());
    }

    /// One mount less.
    pub(crate) fn without_mount(&mut self, at: &str) {
        let mounts = self.config["mounts"].as_array_mut();
        if let Some(mounts) = mounts {
            mounts.retain(|mount| mount["destination"] != at);
        }
    }

    /// Fewer system calls.
    pub(crate) fn without_calls(&mut self, calls: &[&str]) {
        let entries = self.config["linux"]["seccomp"]["syscalls"].as_array_mut();
        for entry in entries.into_iter().flatten() {
            if let Some(names) = entry["names"].as_array_mut() {
                names.retain(|name| !calls.contains(&name.as_str().unwrap_or_default()));
            }
        }
    }

    /// As without a profile.
    pub(crate) fn without_profile(&mut self) {
        self.config["linux"]["seccomp"] = Value::Null;
    }

    /// Starts it and returns at once.
    pub(crate) fn start(&self) -> Result<Container, Failure> {
        let name = self.directory.file_name().unwrap_or_default();
        let id = format!(
            "cwst-{}-{}",
            scratch::run_number(&scratch::root()),
            name.to_string_lossy()
        );
        let config = serde_json::to_vec(&self.config)?;
        fs::write(self.directory.join("config.json"), config)?;
        let (out, log) = (self.directory.join("out"), self.directory.join("log"));
        let child = crun(&["run", "--bundle"])
            .arg(&self.directory)
            .arg(&id)
            .env(CONTAINER_VARIABLE, &self.directory)
            .stdin(Stdio::null())
            .stdout(File::create(&out)?)
            .stderr(File::create(&log)?)
            .spawn()?;
        Ok(Container {
            id,
            child,
            out,
            log,
        })
    }
}

/// What is mounted into a container whose own directories lie here.
fn mounts(own: &Path) -> Vec<Value> {
    let mut mounts = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc" }),
        json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "mode=755"] }),
        json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"] }),
    ];
    mounts.extend(OF_HOST.map(|(at, source, mode)| bind(at, Path::new(source), mode)));
    mounts.extend(OF_POD.map(|(at, name, mode)| bind(at, &own.join(name), mode)));
    mounts
}

fn bind(at: &str, source: &Path, mode: &str) -> Value {
    json!({ "destination": at, "type": "bind", "source": source, "options": ["rbind", mode] })
}

fn push(list: &mut Value, item: Value) {
    if let Some(list) = list.as_array_mut() {
        list.push(item);
    }
}

/// crun with these arguments, not started.
fn crun(arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private"])
        .args(["sh", "-c", CRUN, "sh", "--cgroup-manager=disabled"])
        .arg("--root")
        .arg(scratch::root().join("crun"))
        .args(arguments);
    command
}

/// A container that was started; it is gone when this is dropped.
pub(crate) struct Container {
    id: String,
    child: Child,
    out: PathBuf,
    log: PathBuf,
}

impl Container {
    /// Runs a command in it.
    pub(crate) fn exec(&self, arguments: &[&str]) -> Result<Finished, Failure> {
        let mut command = crun(&["exec", &self.id]);
        command.args(arguments);
        finish(command, patience(SECONDS))
    }

    /// Waits until `status` of its agent says that everything runs.
    pub(crate) fn wait_up(&self) -> Outcome {
        let mut last = String::new();
        let up = wait_for(patience(SECONDS), || {
            let done = self.exec(&["security-agent", "status", "-j"]).ok()?;
            last = done.said();
            (done.code == Some(0)).then_some(())
        });
        ensure(up.is_some(), || {
            format!("not up: {last}; log: {}", self.log())
        })
    }

    /// The status of its system-probe.
    pub(crate) fn probe_status(&self) -> Result<Value, Failure> {
        let done = self.exec(&["security-agent", "status", "-j"])?;
        let status: Value = serde_json::from_str(&done.stdout)
            .map_err(|error| format!("no JSON ({error}): {}", done.said()))?;
        Ok(status["system_probe"].clone())
    }

    /// What it wrote to standard error.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits for this text in its log.
    pub(crate) fn expect_log(&self, text: &str) -> Outcome {
        let found = wait_for(patience(SECONDS), || {
            self.log().contains(text).then_some(())
        });
        ensure(found.is_some(), || format!("no `{text}` in {}", self.log()))
    }

    /// Waits for an event on its standard output for which this holds.
    pub(crate) fn event(&self, holds: impl Fn(&Value) -> bool) -> Result<Value, Failure> {
        let found = wait_for(patience(SECONDS), || {
            let text = fs::read_to_string(&self.out).ok()?;
            let events = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            events.into_iter().find(&holds)
        });
        found.ok_or_else(|| Failure::Failed(format!("the event did not come; {}", self.log())))
    }

    /// Tells it to end and waits for that.
    pub(crate) fn stop(&mut self) -> Result<ExitStatus, Failure> {
        let done = finish(crun(&["kill", &self.id, "TERM"]), patience(SECONDS))?;
        ensure(done.code == Some(0), || done.said())?;
        let ended = wait_for(patience(STOP_SECONDS), || self.child.try_wait().ok()?);
        ended.ok_or_else(|| Failure::Failed(format!("it does not end: {}", self.log())))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) && self.stop().is_err() {
            let _ = finish(crun(&["delete", "--force", &self.id]), patience(SECONDS));
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
