//! One run of the program that knows secrets.
//!
//! A path, arguments and what it is to read enter; what it printed leaves. It has a limit of time
//! and of output, runs in a process group of its own, which is killed when it exceeds one of them,
//! and is only trusted when nobody else could have written it. This happens at start, before any
//! loop.

use std::fmt;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::memfd::{memfd_create, MFdFlags};
use nix::sys::signal::{killpg, Signal};
use nix::unistd::{geteuid, Pid};

/// Bytes of its standard error that are kept for the message.
const MAX_COMPLAINT: usize = 1_024;
/// Pause between two looks at a program that has closed its output but still runs.
const PAUSE: Duration = Duration::from_millis(5);

/// What to run.
pub(super) struct Command {
    /// The program.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// How long it may take.
    pub limit: Duration,
    /// Bytes that it may print.
    pub max_output: u64,
}

/// Why it gave nothing.
#[derive(Debug)]
pub(super) enum Error {
    /// No program is configured.
    NotSet,
    /// It is not to be trusted.
    Untrusted(PathBuf, &'static str),
    /// It could not be run.
    Failed(PathBuf, io::Error),
    /// It took too long.
    Late(Duration),
    /// It printed too much.
    TooLong(u64),
    /// It ended with an error; what it wrote on standard error.
    Ended(ExitStatus, String),
    /// What it printed is not understood.
    Malformed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotSet => write!(f, "secret_backend_command is not set; set it to the program that knows the secret"),
            Error::Untrusted(path, reason) => {
                write!(f, "secret_backend_command {} is not run: {reason}", path.display())
            }
            Error::Failed(path, source) => write!(
                f,
                "secret_backend_command {} cannot be run: {source}; see that it is there and executable",
                path.display()
            ),
            Error::Late(limit) => write!(
                f,
                "secret_backend_command took longer than {limit:?}; see why, or raise secret_backend_timeout"
            ),
            Error::TooLong(limit) => write!(
                f,
                "secret_backend_command printed more than {limit} bytes; see why, or raise secret_backend_output_max_size"
            ),
            Error::Ended(status, complaint) if complaint.is_empty() => {
                write!(f, "secret_backend_command failed ({status}) without a word; run it by hand")
            }
            Error::Ended(status, complaint) => {
                write!(f, "secret_backend_command failed ({status}) and said: {complaint}")
            }
            Error::Malformed => write!(
                f,
                "secret_backend_command did not print a JSON object with a value for each secret; run it by hand"
            ),
        }
    }
}

impl std::error::Error for Error {}

/// A program that is killed with everything it started unless it ended by itself.
struct Running {
    child: Child,
    ended: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // Not reaped yet, so the number still is its own.
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

/// Runs the program on `input` and returns what it printed.
pub(super) fn run(command: &Command, input: &str) -> Result<Vec<u8>, Error> {
    trust(&command.path)?;
    let failed = |source| Error::Failed(command.path.clone(), source);
    let deadline = Instant::now().checked_add(command.limit);
    let deadline = deadline.ok_or(Error::Late(command.limit))?;
    let child = std::process::Command::new(&command.path)
        .args(&command.arguments)
        .stdin(file_with(input).map_err(failed)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let mut running = Running {
        child,
        ended: false,
    };
    let (output, complaint) = read(&mut running.child, command, deadline)?;
    loop {
        match running.child.try_wait().map_err(failed)? {
            Some(status) => {
                running.ended = true;
                if status.success() {
                    return Ok(output);
                }
                return Err(Error::Ended(status, printable(&complaint)));
            }
            None if Instant::now() >= deadline => return Err(Error::Late(command.limit)),
            None => std::thread::sleep(PAUSE),
        }
    }
}

/// Refuses a program that somebody else than root and our own user can change.
fn trust(path: &Path) -> Result<(), Error> {
    if path.as_os_str().is_empty() {
        return Err(Error::NotSet);
    }
    let untrusted = |reason| Err(Error::Untrusted(path.to_owned(), reason));
    if !path.is_absolute() {
        return untrusted("give its path from the root directory on");
    }
    let metadata = path
        .metadata()
        .map_err(|source| Error::Failed(path.to_owned(), source))?;
    if !metadata.is_file() {
        return untrusted("it is no regular file");
    }
    if metadata.uid() != 0 && metadata.uid() != geteuid().as_raw() {
        return untrusted("it belongs to another user; give it to root or to the agent's user");
    }
    if metadata.mode() & 0o022 != 0 {
        return untrusted("others may write to it; take that right away (chmod go-w)");
    }
    Ok(())
}

/// A file in memory with this text: reading from it never blocks, and nobody has to feed it.
fn file_with(text: &str) -> io::Result<Stdio> {
    let mut file = std::fs::File::from(memfd_create("secrets", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file.into())
}

/// Standard output, and the beginning of standard error, until both are closed.
fn read(
    child: &mut Child,
    command: &Command,
    deadline: Instant,
) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let failed = |source| Error::Failed(command.path.clone(), source);
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let (mut output, mut complaint) = (Vec::new(), Vec::new());
    while stdout.is_some() || stderr.is_some() {
        let sources = [
            stdout.as_ref().map(AsFd::as_fd),
            stderr.as_ref().map(AsFd::as_fd),
        ];
        let [out, err] = wait(sources, deadline)
            .map_err(failed)?
            .ok_or(Error::Late(command.limit))?;
        if out {
            take(&mut stdout, &mut output).map_err(failed)?;
            if output.len() as u64 > command.max_output {
                return Err(Error::TooLong(command.max_output));
            }
        }
        if err {
            take(&mut stderr, &mut complaint).map_err(failed)?;
            complaint.truncate(MAX_COMPLAINT);
        }
    }
    Ok((output, complaint))
}

/// Which of two descriptors can be read; `None` when there is no time left.
fn wait(sources: [Option<BorrowedFd<'_>>; 2], deadline: Instant) -> io::Result<Option<[bool; 2]>> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Ok(None);
    }
    let left = left.saturating_add(Duration::from_millis(1));
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    let open = sources.iter().flatten();
    let mut polled: Vec<PollFd<'_>> = open.map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    match poll(&mut polled, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut ready = polled.iter().map(|fd| fd.any().unwrap_or(false));
    Ok(Some(sources.map(|source| {
        source.is_some() && ready.next() == Some(true)
    })))
}

/// Reads what is there; a source that has ended is closed.
fn take(source: &mut Option<impl Read>, bytes: &mut Vec<u8>) -> io::Result<()> {
    let Some(open) = source else { return Ok(()) };
    let mut piece = [0; 4_096];
    match open.read(&mut piece) {
        Ok(0) => *source = None,
        Ok(count) => bytes.extend_from_slice(piece.get(..count).unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// What a program wrote, in one line without control characters.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .collect();
    words
        .into_iter()
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
