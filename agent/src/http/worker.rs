//! The loop's side of the process that makes the requests ([`super::serve`]).
//!
//! A [`Job`] enters with [`Worker::submit`] and is written as fast as the socket takes it; the
//! answer or a sentence leaves with [`Worker::turn`], which the loop calls whenever the socket is
//! ready or the deadline has come. The process is started when it is needed and killed when it
//! takes longer than the request may.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

use super::client::ROOTS_VARIABLE;
use super::serve::{Head, MAX_BODY};
use super::{Answer, Request, Transport};

/// How much longer than the request itself the process may take.
const GRACE: Duration = Duration::from_secs(5);
/// Bytes of an answer: 4 KiB of a body, each of its bytes escaped, and the headers.
const MAX_ANSWER: usize = 64 << 10;

/// A request and how it is to be made.
#[derive(Clone)]
pub struct Job {
    /// The way to the server.
    pub transport: Transport,
    /// The request.
    pub request: Request,
    /// Level of gzip, from 1 to 9, that the body is compressed with on its way.
    pub compression: Option<u32>,
}

/// One process that makes one request at a time.
pub struct Worker {
    registry: Registry,
    token: Token,
    start: Start,
    running: Option<Running>,
    /// When the request under way has failed.
    until: Option<Instant>,
}

/// Makes a process and the socket to it.
pub(crate) type Start = fn() -> io::Result<(StdStream, Option<Child>)>;

/// A process that answers each line, and perhaps what follows it, with a line.
pub(crate) struct Running {
    child: Option<Child>,
    socket: UnixStream,
    /// What is still to be written, the last part first.
    outgoing: Vec<(Vec<u8>, usize)>,
    incoming: Vec<u8>,
}

impl Worker {
    /// A worker whose socket wakes the loop under this token; no process is started yet.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Worker> {
        Worker::started_by(registry, token, start)
    }

    pub(crate) fn started_by(
        registry: &Registry,
        token: Token,
        start: Start,
    ) -> io::Result<Worker> {
        Ok(Worker {
            registry: registry.try_clone()?,
            token,
            start,
            running: None,
            until: None,
        })
    }

    /// Whether a request is under way.
    pub fn is_busy(&self) -> bool {
        self.until.is_some()
    }

    /// When [`Worker::turn`] must be called at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.until
    }

    /// Begins a request. The error is a sentence; so is it while another one is under way.
    pub fn submit(&mut self, job: Job, now: Instant) -> Result<(), String> {
        if self.is_busy() {
            return Err("another request is under way".to_owned());
        }
        if job.request.body.len() as u64 > MAX_BODY {
            return Err("the body is too long".to_owned());
        }
        let limit = job.transport.overall + GRACE;
        // A process that has ended since the last request is noticed now.
        if let Some(Err(_)) = self.running.as_mut().map(Running::read) {
            self.stop();
        }
        self.write(job).map_err(|error| {
            self.stop();
            format!("the process that makes requests cannot be started: {error}")
        })?;
        self.until = Some(now + limit);
        Ok(())
    }

    fn write(&mut self, job: Job) -> io::Result<()> {
        let head = Head {
            transport: job.transport,
            method: job.request.method,
            url: job.request.url,
            headers: job.request.headers,
            length: job.request.body.len() as u64,
            compression: job.compression,
        };
        let mut line = serde_json::to_vec(&head)?;
        line.push(b'\n');
        let running = match &mut self.running {
            Some(running) => running,
            none => none.insert(Running::start(self.start, &self.registry, self.token)?),
        };
        running.ask(vec![(job.request.body, 0), (line, 0)])
    }

    /// Goes on with the request; its answer, or why there is none, when it is over.
    pub fn turn(&mut self, now: Instant) -> Option<Result<Answer, String>> {
        let running = self.running.as_mut()?;
        let until = self.until;
        let result = running.write().and_then(|()| running.read());
        let answer = match (result, until) {
            // It was idle for long enough, and ends.
            (Err(_), None) => {
                self.stop();
                return None;
            }
            (_, None) => return None,
            (Ok(None), Some(until)) if now < until => return None,
            (Ok(Some(line)), _) => serde_json::from_slice(&line).unwrap_or_else(|error| {
                self.stop();
                Err(format!("the process that makes requests errs: {error}"))
            }),
            (Ok(None), _) => {
                self.stop();
                Err("no answer came in time, and the process that waited was killed".to_owned())
            }
            (Err(error), _) => {
                self.stop();
                Err(format!(
                    "the process that makes requests has ended: {error}"
                ))
            }
        };
        self.until = None;
        Some(answer)
    }

    /// Ends the process, and the request that may be under way.
    pub fn stop(&mut self) {
        self.until = None;
        if let Some(running) = self.running.take() {
            running.stop(&self.registry);
        }
    }

    /// Process id, while there is a process.
    pub fn process(&self) -> Option<u32> {
        self.running.as_ref()?.child.as_ref().map(Child::id)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts this program once more, with the one variable that it reads.
fn start() -> io::Result<(StdStream, Option<Child>)> {
    once_more("http-worker", &[ROOTS_VARIABLE])
}

/// Starts this program once more as such a process, with these variables: others may hold secrets.
pub(crate) fn once_more(word: &str, variables: &[&str]) -> io::Result<(StdStream, Option<Child>)> {
    let (ours, theirs) = StdStream::pair()?;
    let output = OwnedFd::from(theirs.try_clone()?);
    let child = bare("/proc/self/exe", variables)
        .arg0("security-agent")
        .arg(word)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(output))
        .stderr(Stdio::null())
        .spawn()?;
    Ok((ours, Some(child)))
}

/// A program with no more of the environment of this one than these variables.
fn bare(program: &str, variables: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for name in variables {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
}

impl Running {
    /// Starts one whose socket wakes the loop under this token.
    pub(crate) fn start(start: Start, registry: &Registry, token: Token) -> io::Result<Running> {
        let (socket, child) = start()?;
        socket.set_nonblocking(true)?;
        let mut running = Running {
            child,
            socket: UnixStream::from_std(socket),
            outgoing: Vec::new(),
            incoming: Vec::new(),
        };
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut running.socket, token, both)?;
        Ok(running)
    }

    /// Begins to write, the last part first; nothing else may be under way.
    pub(crate) fn ask(&mut self, parts: Vec<(Vec<u8>, usize)>) -> io::Result<()> {
        self.incoming.clear();
        self.outgoing = parts;
        self.write()
    }

    /// Ends it.
    pub(crate) fn stop(mut self, registry: &Registry) {
        let _ = registry.deregister(&mut self.socket);
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Writes what the socket takes.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        while let Some((bytes, written)) = self.outgoing.last_mut() {
            let rest = bytes.get(*written..).unwrap_or(&[]);
            if rest.is_empty() {
                self.outgoing.pop();
                continue;
            }
            match self.socket.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(more) => *written += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.outgoing = Vec::new();
        Ok(())
    }

    /// The line of the answer, when it is complete.
    pub(crate) fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut piece = [0; 4096];
        loop {
            match self.socket.read(&mut piece) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.incoming.extend(piece.iter().take(read)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if self.incoming.len() > MAX_ANSWER {
                return Err(io::Error::other("it answers too much"));
            }
        }
        match self.incoming.ends_with(b"\n") {
            true => Ok(Some(std::mem::take(&mut self.incoming))),
            false => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_not_handed_on() {
        assert!(std::env::vars_os().any(|(name, _)| name != ROOTS_VARIABLE));
        let output = bare("/usr/bin/env", &[ROOTS_VARIABLE]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success());
        assert!(text.lines().all(|line| line.starts_with(ROOTS_VARIABLE)));
    }
}
