//! Flares of hosts where something is wrong, which is when they are asked for: each time there is
//! an archive or a sentence, in bounded time, and nothing else is left behind.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use nix::mount::{mount, MsFlags};
use nix::sched::{unshare, CloneFlags};
use nix::sys::signal::{kill, Signal};
use nix::unistd::{chown, Gid, Pid, Uid};

use crate::finished::Finished;
use crate::flare_archive::Archive;
use crate::flare_host::{self, archive_of, archives_in, expect_sentence, Host, EMAIL, NOWHERE};
use crate::flare_logs::{self, Growing, FOREIGN};
use crate::harness::Agent;
use crate::namespace::{mount_bind, mount_tmpfs, with_own_mounts};
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};

const NOBODY: u32 = 65534;
/// What is said when the agent does not build the archive.
const LOCALLY: &str = "Initiating flare locally, some logs will be missing.";
const UNABLE: &str = "The agent was unable to make a full flare: ";
/// Bytes of the largest archive that a hostile directory may cause.
const LARGEST: u64 = 200 << 20;
/// Seconds for an agent to notice something.
const SECONDS: u64 = 20;

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case("flare_trouble_dead", dead);
    report.case("flare_trouble_ill", ill);
    report.case("flare_trouble_small_disk", || with_own_mounts(small_disk));
    report.case("flare_trouble_read_only", || with_own_mounts(read_only));
    report.case("flare_trouble_no_network", no_network);
    report.case("flare_trouble_logs", logs);
    report.case("flare_trouble_growing_log", growing);
    report.case("flare_trouble_links", links);
    report.case("flare_trouble_no_files", no_files);
    report.case("flare_trouble_bad_files", bad_files);
    report.case("flare_trouble_hostname", hostname);
    report.case("flare_trouble_other_user", other_user);
    report.case("flare_trouble_killed", killed);
}

/// A host without an agent.
fn alone(name: &str) -> Result<Host, Failure> {
    scratch::not_in_vm()?;
    Ok(Host::new(name, NOWHERE)?.0)
}

/// The archive of a flare that was built without the agent, and said so.
fn local(done: &Finished) -> Result<Archive, Failure> {
    let said = done.said();
    ensure(said.contains(UNABLE) && said.contains(LOCALLY), || {
        said.clone()
    })?;
    let archive = Archive::open(&archive_of(done)?)?;
    archive.expect_manifest()?;
    ensure(archive.has("local"), || format!("{:?}", archive.files()))?;
    Ok(archive)
}

/// An archive, or a sentence instead.
fn archive_or_sentence(done: &Finished) -> Result<Option<Archive>, Failure> {
    if done.code != Some(0) {
        expect_sentence(done)?;
        return Ok(None);
    }
    let archive = Archive::open(&archive_of(done)?)?;
    archive.expect_manifest()?;
    Ok(Some(archive))
}

/// Without an agent all that needs none is there.
fn dead() -> Outcome {
    let (host, _) = Host::new("flare-dead", NOWHERE)?;
    let archive = local(&host.build()?.0)?;
    for name in [
        "etc/datadog.yaml",
        "logs/planted.log",
        "kallsyms",
        "kernel.txt",
        "config.yaml",
    ] {
        archive.expect(name)?;
    }
    let status = archive.text("security-agent-status.log")?;
    ensure(status.contains("not running"), || {
        format!("the status of no agent: {status}")
    })?;
    host.expect_tidy()
}

/// A process that stands still until this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn stop(agent: &Agent, pid: i32) -> Result<Stopped, Failure> {
        ensure(agent.processes().contains(&pid), || {
            format!("{pid} is no process of this test")
        })?;
        let stopped = Stopped(Pid::from_raw(pid));
        kill(stopped.0, Signal::SIGSTOP)?;
        let is_still = wait_for(patience(SECONDS), || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit(')')
                .next()?
                .trim()
                .starts_with('T')
                .then_some(())
        });
        ensure(is_still.is_some(), || format!("{pid} does not stop"))?;
        Ok(stopped)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

/// One role of two stands still, then the other; then nobody can be reached.
fn ill() -> Outcome {
    scratch::not_in_vm()?;
    let (host, launch) = Host::new("flare-ill", NOWHERE)?;
    let agent = launch.start()?;
    let roles = || wait_for(patience(SECONDS), || agent.roles()).ok_or("the roles say no pids");
    let up = || {
        wait_for(patience(SECONDS), || {
            agent.status().ok()?.0.filter(|code| *code == 0)
        })
    };

    let stopped = Stopped::stop(&agent, roles()?.1)?;
    let (done, _) = host
        .build()
        .map_err(|failure| failure.at("security-agent"))?;
    drop(stopped);
    local(&done).map_err(|failure| failure.at("security-agent"))?;
    ensure(up().is_some(), || format!("not up again: {}", agent.log()))?;

    let stopped = Stopped::stop(&agent, roles()?.0)?;
    let (_, path) = host.build().map_err(|failure| failure.at("system-probe"))?;
    drop(stopped);
    let archive = Archive::open(&path)?;
    archive.expect_manifest()?;
    archive.expect("flare_creation.log")?;
    archive.expect("logs/planted.log")?;
    ensure(up().is_some(), || format!("not up again: {}", agent.log()))?;

    for socket in [
        agent.agent_socket(),
        agent.command_socket(),
        agent.event_socket(),
    ] {
        fs::remove_file(socket)?;
    }
    local(&host.build()?.0).map_err(|failure| failure.at("no sockets"))?;
    // What was asked for while it stood still may be made now, and put away.
    let tidy = wait_for(patience(SECONDS), || host.expect_tidy().ok());
    ensure(tidy.is_some(), || {
        format!("left: {:?}", host.left_behind().ok())
    })
}

/// What fits is kept; what does not is taken away again.
fn small_disk() -> Outcome {
    let host = alone("flare-small")?;
    for size in ["4m", "1m", "64k", "4k,nr_inodes=1"] {
        mount_tmpfs(&host.tmp(), &format!("mode=1777,size={size}"))?;
        let here = host.tmp().join("here.tar.gz");
        let done = host.flare(&["--no-upload", "--output", &here.to_string_lossy()])?;
        archive_or_sentence(&done).map_err(|failure| failure.at(size))?;
        let left = fs::read_dir(host.tmp())?.count();
        ensure(left == usize::from(done.code == Some(0)), || {
            format!("{size}: {left} files are left, {}", done.said())
        })?;
        if here.exists() {
            fs::remove_file(&here)?;
        }
        // Where there is more room, that is where the archive goes.
        let done = host.flare(&["--no-upload"])?;
        ensure(done.code == Some(0), || done.said())?;
        remove_after(&done, archive_or_sentence).map_err(|failure| failure.at(size))?;
        host.expect_tidy().map_err(|failure| failure.at(size))?;
    }
    Ok(())
}

fn mount_read_only(at: &Path) -> nix::Result<()> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    mount(None::<&str>, at, None::<&str>, flags, None::<&str>)
}

/// Nothing can be written where archives go.
fn read_only() -> Outcome {
    let host = alone("flare-read-only")?;
    mount_bind(&host.tmp(), &host.tmp())?;
    mount_read_only(&host.tmp())?;
    let done = host.flare(&["--no-upload"])?;
    remove_after(&done, archive_or_sentence)?;
    // What the tests themselves write lies below /tmp.
    mount_bind(&scratch::root(), &scratch::root())?;
    let tmp = Path::new("/tmp");
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(tmp), tmp, None::<&str>, flags, None::<&str>)?;
    mount_read_only(tmp)?;
    for without in [false, true] {
        let mut command = host.command(&["--no-upload"]);
        if without {
            command.env_remove("TMPDIR");
        }
        let done = flare_host::run(command)?;
        remove_after(&done, archive_or_sentence)?;
    }
    let path = scratch::directory("elsewhere")?.join("x.tar.gz");
    let done = host.flare(&["--no-upload", "--output", &path.to_string_lossy()])?;
    archive_or_sentence(&done).map(drop)
}

/// Does something with what a flare made, and removes it wherever it is.
fn remove_after<T>(
    done: &Finished,
    work: impl FnOnce(&Finished) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let result = work(done);
    for path in archives_in(&done.stdout) {
        // It may never have been made.
        let _ = fs::remove_file(path);
    }
    result
}

/// In a network namespace of its own nothing can be reached; the archive is whole.
fn no_network() -> Outcome {
    let host = alone("flare-no-network")?;
    let work = || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        for url in [NOWHERE, ""] {
            let mut command = host.command(&["-s", "-e", EMAIL]);
            if url.is_empty() {
                command.env_remove("DD_URL");
            }
            let done = flare_host::run(command)?;
            ensure(done.code == Some(1), || done.said())?;
            ensure(done.stderr.contains("Error: "), || done.said())?;
            let paths = archives_in(&done.stdout);
            let path = paths.first().ok_or_else(|| done.said())?;
            let again = format!("--archive {}", path.display());
            ensure(done.said().contains(&again), || done.said())?;
            Archive::open(path)?.expect_manifest()?;
        }
        Ok(())
    };
    thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|_| Err(Failure::Failed("the test's thread panicked".to_owned())))?;
    host.expect_tidy()
}

/// Nobody can make a flare hang or carry off other files by what is in the directory of logs.
fn logs() -> Outcome {
    scratch::not_in_vm()?;
    let (host, launch) = Host::new("flare-logs", NOWHERE)?;
    let _socket = flare_logs::fill(&host.logs())?;
    let expect = |done: &Finished| {
        let path = archive_of(done)?;
        let size = fs::metadata(&path)?.len();
        ensure(size < LARGEST, || format!("the archive has {size} bytes"))?;
        let archive = Archive::open(&path)?;
        archive.expect_manifest()?;
        archive.expect("logs/planted.log")?;
        expect_nothing_foreign(&archive)?;
        fs::remove_file(&path)?;
        ensure(!done.said().contains('\u{1b}'), || done.said())
    };
    expect(&host.build()?.0).map_err(|failure| failure.at("locally"))?;
    let _agent = launch.start()?;
    expect(&host.build()?.0).map_err(|failure| failure.at("by the agent"))?;
    host.expect_tidy()
}

fn expect_nothing_foreign(archive: &Archive) -> Outcome {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let passwd = passwd.lines().next().unwrap_or(FOREIGN);
    for name in archive.files() {
        let text = archive.text(name)?;
        let foreign = [FOREIGN, "$6$Zq3vXn7k$", passwd];
        let found = foreign.iter().find(|part| text.contains(**part));
        ensure(found.is_none(), || format!("{name} holds {found:?}"))?;
    }
    Ok(())
}

/// A file that grows while it is read has one size in the archive.
fn growing() -> Outcome {
    let host = alone("flare-growing")?;
    let writer = Growing::start(host.logs().join("growing.log"))?;
    let (_, path) = host.build()?;
    drop(writer);
    let archive = Archive::open(&path)?;
    archive.expect_manifest()?;
    archive.expect("logs/growing.log")
}

/// Links in the other directories are not followed either.
fn links() -> Outcome {
    let host = alone("flare-links")?;
    let outside = scratch::directory("outside")?;
    let secret = outside.join("shadow");
    fs::write(&secret, FOREIGN)?;
    for directory in [host.policies(), &host.compliance()] {
        for name in ["link.policy", "link.yaml"] {
            std::os::unix::fs::symlink(&secret, directory.join(name))?;
        }
        std::os::unix::fs::symlink(&outside, directory.join("directory"))?;
    }
    let events = host.logs().join("events.json");
    std::os::unix::fs::symlink(&secret, &events)?;
    let mut command = host.command(&["--no-upload"]);
    command.env("DD_RUNTIME_SECURITY_CONFIG_OUTPUTS_FILE_PATH", &events);
    let archive = Archive::open(&archive_of(&flare_host::run(command)?)?)?;
    archive.expect_manifest()?;
    ensure(
        archive.text("flare_creation.log")?.contains("events.json"),
        || "nothing is said of the link to the file of events".to_owned(),
    )?;
    expect_nothing_foreign(&archive)
}

/// Where the agent was never set up there is not much to tell.
fn no_files() -> Outcome {
    let host = alone("flare-no-files")?;
    for name in ["datadog.yaml", "security-agent.yaml", "system-probe.yaml"] {
        fs::remove_file(host.etc(name))?;
    }
    for directory in [
        host.logs(),
        host.compliance(),
        host.policies().to_path_buf(),
    ] {
        fs::remove_dir_all(directory)?;
    }
    let archive = local(&host.build()?.0)?;
    archive.expect("flare_creation.log")?;
    archive.expect("kernel.txt")?;
    host.expect_tidy()
}

/// A configuration that cannot be read is a reason to ask for help.
fn bad_files() -> Outcome {
    scratch::not_in_vm()?;
    let (host, _) = Host::new("flare-bad-files", NOWHERE)?;
    let secret = "Zx81kQwe73nBv20LmPa5";
    for name in ["datadog.yaml", "security-agent.yaml", "system-probe.yaml"] {
        let text = format!("hostname: [unclosed\n\tpassword: {secret}\n  : : {{\n\u{0}\n");
        fs::write(host.etc(name), text)?;
    }
    fs::write(host.policies().join("bad.policy"), b"rules: [\xff\xfe")?;
    let done = host.flare(&["--no-upload"])?;
    let archive = local(&done)?;
    ensure(!done.said().contains(secret), || done.said())?;
    for name in archive.files() {
        ensure(!archive.text(name)?.contains(secret), || {
            format!("{name} holds the password")
        })?;
    }
    archive.expect("etc/datadog.yaml")
}

/// Whatever the host is called, its archive has one folder.
fn hostname() -> Outcome {
    let host = alone("flare-hostname")?;
    for name in [
        "../../up",
        "/etc",
        "..",
        "a\\b",
        "new\nline",
        "\u{1b}[31m",
        "\u{e4}.example",
    ] {
        let mut command = host.command(&["--no-upload"]);
        command.env("DD_HOSTNAME", name);
        let done = flare_host::run(command)?;
        let opened = archive_of(&done).and_then(|path| Archive::open(&path));
        opened.map_err(|failure| failure.at(&format!("{name:?}")))?;
    }
    let mut command = host.command(&["--no-upload"]);
    command.env("DD_HOSTNAME", "x".repeat(5000));
    local(&flare_host::run(command)?).map(drop)
}

/// Who may read little gets what may be read, and keeps it to themselves.
fn other_user() -> Outcome {
    let host = alone("flare-other-user")?;
    let binary = scratch::public_binary()?;
    let private = host.logs().join("private.log");
    fs::write(&private, FOREIGN)?;
    scratch::set_mode(&private, 0o600)?;
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    chown(&host.tmp(), Some(user), Some(group))?;
    let mut command = host.command_of(&binary, &["--no-upload"]);
    command.uid(NOBODY).gid(NOBODY);
    let done = flare_host::run(command)?;
    let Some(archive) = archive_or_sentence(&done)? else {
        return Ok(());
    };
    expect_nothing_foreign(&archive)?;
    let log = archive.text("flare_creation.log")?;
    ensure(log.contains("private.log"), || log.clone())?;
    host.expect_tidy()
}

/// What a flare that was killed has left is gone after the next one.
fn killed() -> Outcome {
    let host = alone("flare-killed")?;
    // Something to do, so that there is a moment to kill it in.
    let line = "a line that has to be looked at for secrets\n";
    for number in 0..50 {
        let path: PathBuf = host.logs().join(format!("long-{number}.log"));
        fs::write(path, line.repeat(5_000))?;
    }
    let mut command = host.command(&["--no-upload"]);
    let streams = command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = streams.stderr(Stdio::null()).spawn()?;
    let limit = patience(flare_host::FLARE_SECONDS);
    let begun = wait_for(limit, || {
        let ended = matches!(child.try_wait(), Ok(Some(_)) | Err(_));
        let begun = host.left_behind().is_ok_and(|left| !left.is_empty());
        (ended || begun).then_some(begun)
    });
    // Into the middle of it.
    thread::sleep(Duration::from_millis(50));
    child.kill()?;
    child.wait()?;
    ensure(begun.is_some(), || "it does not begin".to_owned())?;
    let (_, path) = host.build()?;
    Archive::open(&path)?.expect_manifest()?;
    host.expect_tidy()
}
