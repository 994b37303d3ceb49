//! From collectors to the archive: whoever can collect is asked, and nobody can hold it up.
//!
//! Frames enter from a process of ours or from system-probe, over a socket with a limit of time for
//! each collector; files and notes leave for the [`Archive`]. A collector that hangs is given up
//! together with the process that runs it, and the ones behind it go to another process.

use std::io::{self, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use serde_json::json;

use super::archive::Archive;
use super::collect::{self, By, Sources, COLLECTORS};
use super::stream::Frame;
use super::worker::Order;
use super::Error;
use crate::ipc::client;
use crate::sys::signals::Signals;
use crate::sys::socket::credentials;

/// How long a process may take until its first collector begins.
const START: Duration = Duration::from_secs(5);
/// How long all collectors may take.
const OVERALL: Duration = Duration::from_secs(150);
/// Bytes that are read at once.
const PIECE: usize = 64 << 10;
/// Bytes of a line that is waited for to its end.
const LONGEST_LINE: usize = 1 << 20;

/// Who makes the archive, and for whom.
pub struct Gathering<'a> {
    /// Where the files of the agent are.
    pub sources: &'a Sources,
    /// The command socket of system-probe; `None` when it need not be asked.
    pub probe: Option<&'a Path>,
    /// Signals that end the gathering.
    pub signals: Option<&'a Signals>,
    /// Is told the name of each collector that begins.
    pub progress: &'a mut dyn FnMut(&str),
}

impl Gathering<'_> {
    /// Runs every collector. Fails when the archive cannot be written, or a signal came.
    pub fn run(mut self, archive: &mut Archive<'_>) -> Result<(), Error> {
        let end = Instant::now() + OVERALL;
        let of = |by: By| COLLECTORS.iter().filter(move |one| one.by == by);
        let names = |by: By| of(by).map(|one| one.name).collect::<Vec<_>>();
        let left = self.here(names(By::User), end, archive)?;
        self.give_up(&left, archive);
        let mut left = names(By::Root);
        if let Some(socket) = self.probe {
            match ask_probe(socket, &left) {
                Ok(stream) => {
                    self.take(stream, &mut left, end, archive)?;
                    if !left.is_empty() {
                        archive.note("system-probe ended early; the rest is collected without it");
                    }
                }
                Err(error) => archive.note(&format!("system-probe does not collect: {error}")),
            }
        }
        let left = self.here(left, end, archive)?;
        self.give_up(&left, archive);
        Ok(())
    }

    fn give_up(&self, left: &[&str], archive: &mut Archive<'_>) {
        for name in left {
            archive.note(&format!("{name}: not collected, as time had run out"));
        }
    }

    /// Runs collectors in processes of ours; returns those that time was too short for.
    fn here(
        &mut self,
        mut left: Vec<&'static str>,
        end: Instant,
        archive: &mut Archive<'_>,
    ) -> Result<Vec<&'static str>, Error> {
        while !left.is_empty() && Instant::now() < end {
            let before = left.len();
            match Process::start(&left, self.sources) {
                Ok(mut process) => {
                    let stream = process.stream.take();
                    let taken =
                        stream.map_or(Ok(()), |stream| self.take(stream, &mut left, end, archive));
                    drop(process);
                    taken?;
                }
                Err(error) => {
                    archive.note(&format!("nothing can be collected here: {error}"));
                    return Ok(Vec::new());
                }
            }
            // One that began nothing would do no better a second time.
            if left.len() == before {
                let name = left.remove(0);
                archive.note(&format!("{name}: the process that collects did not begin"));
            }
        }
        Ok(left)
    }

    /// Takes frames until they end; what has begun is taken off the list.
    fn take(
        &mut self,
        stream: UnixStream,
        left: &mut Vec<&'static str>,
        end: Instant,
        archive: &mut Archive<'_>,
    ) -> Result<(), Error> {
        let timed = Timed {
            stream,
            signals: self.signals,
            deadline: Instant::now() + START,
        };
        let mut frames = Frames {
            reader: BufReader::with_capacity(PIECE, timed),
            next: None,
            broken: None,
        };
        let mut running = None;
        while let Some(frame) = frames.next() {
            match frame {
                Frame::Begin(name) => {
                    // Each once: another beginning would be another limit of time.
                    let asked = left.iter().position(|one| *one == name);
                    let found = asked.and_then(|at| collect::find(left.remove(at)));
                    let Some(collector) = found else { break };
                    let deadline = Instant::now() + collector.limit;
                    frames.reader.get_mut().deadline = deadline.min(end);
                    running = Some(collector.name);
                    (self.progress)(collector.name);
                }
                Frame::File(path) => archive.add(&path, &mut Content::of(&mut frames))?,
                Frame::Permissions(row) => archive.permissions(row),
                Frame::Note(sentence) => archive.note(&sentence),
                Frame::End => running = None,
                // Of no file.
                Frame::Data(_) | Frame::Cut => {}
            }
        }
        if self.signals.is_some_and(|signals| signals.next().is_some()) {
            return Err(Error::Interrupted);
        }
        let broken = frames.broken.as_ref();
        match (running, broken) {
            (Some(name), Some(error)) => archive.note(&format!("{name}: given up: {error}")),
            (Some(name), None) => archive.note(&format!("{name}: it ended early")),
            (None, Some(error)) => archive.note(&format!("collecting was given up: {error}")),
            (None, None) => {}
        }
        Ok(())
    }
}

/// Asks system-probe for collectors; the stream that it answers with. The error is a sentence.
fn ask_probe(socket: &Path, collectors: &[&str]) -> Result<UnixStream, String> {
    let request = json!({ "command": "flare", "collectors": collectors });
    let stream = client::open(socket, &request, START).map_err(|error| error.to_string())?;
    let answers = credentials(&stream).map_err(|error| error.to_string())?;
    match answers.is_owner() {
        true => Ok(stream),
        false => Err(format!("who answers there is user {}", answers.uid)),
    }
}

/// A process that runs collectors. Dropping it kills it.
struct Process {
    child: Child,
    stream: Option<UnixStream>,
}

impl Process {
    fn start(collectors: &[&str], sources: &Sources) -> io::Result<Process> {
        let order = Order {
            collectors: collectors.iter().map(|name| (*name).to_owned()).collect(),
            sources: sources.clone(),
        };
        let (ours, theirs) = UnixStream::pair()?;
        let child = start_worker(&order, OwnedFd::from(theirs))?;
        Ok(Process {
            child,
            stream: Some(ours),
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that waits for a file system that does not answer stays until that does.
        let _ = self.child.kill();
        let _ = self.child.try_wait();
    }
}

/// Starts the process that carries out an order and writes its frames to `out`.
pub(super) fn start_worker(order: &Order, out: OwnedFd) -> io::Result<Child> {
    let mut child = Command::new("/proc/self/exe")
        .arg0("security-agent")
        .arg("flare-worker")
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(out)
        .stderr(Stdio::null())
        .spawn()?;
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    // It fits into a pipe, so that nobody waits.
    let told = child
        .stdin
        .take()
        .map_or(Ok(()), |mut input| input.write_all(&line));
    if let Err(error) = told {
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    Ok(child)
}

/// Frames one after the other. What breaks ends them and is kept.
struct Frames<'s> {
    reader: BufReader<Timed<'s>>,
    /// Read already, but not of the file whose bytes were wanted.
    next: Option<Frame>,
    broken: Option<io::Error>,
}

impl Frames<'_> {
    fn next(&mut self) -> Option<Frame> {
        if self.broken.is_some() {
            return None;
        }
        match self.next.take() {
            Some(frame) => Some(frame),
            None => Frame::read(&mut self.reader).unwrap_or_else(|error| {
                self.broken = Some(error);
                None
            }),
        }
    }
}

/// The bytes of one file, in whole lines: of a line that was cut, or that something broke in, a
/// secret might not be recognised any more, so it is left out.
struct Content<'f, 's> {
    frames: &'f mut Frames<'s>,
    bytes: Vec<u8>,
    taken: usize,
    /// What has come of a line.
    held: Vec<u8>,
    has_ended: bool,
}

impl<'f, 's> Content<'f, 's> {
    fn of(frames: &'f mut Frames<'s>) -> Content<'f, 's> {
        Content {
            frames,
            bytes: Vec::new(),
            taken: 0,
            held: Vec::new(),
            has_ended: false,
        }
    }

    /// Makes bytes ready up to the end of the last line among them.
    fn accept(&mut self, bytes: &[u8]) {
        let end = bytes.iter().rposition(|byte| *byte == b'\n');
        let end = match end {
            Some(end) => end + 1,
            // The scrubber hides a line that is as long, cut or not.
            None if self.held.len() > LONGEST_LINE => bytes.len(),
            None => return self.held.extend_from_slice(bytes),
        };
        let (now, later) = bytes.split_at(end);
        self.held.extend_from_slice(now);
        self.bytes = std::mem::replace(&mut self.held, later.to_vec());
        self.taken = 0;
    }

    /// Takes the next frame of the file.
    fn advance(&mut self) {
        match self.frames.next() {
            Some(Frame::Data(bytes)) => self.accept(&bytes),
            Some(Frame::Cut) => self.held.clear(),
            next => {
                let is_whole = next.is_some();
                self.frames.next = next;
                self.has_ended = true;
                self.bytes = std::mem::take(&mut self.held);
                self.taken = if is_whole { 0 } else { self.bytes.len() };
            }
        }
    }
}

impl Read for Content<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken >= self.bytes.len() {
            if self.has_ended {
                return Ok(0);
            }
            self.advance();
        }
        let mut rest = self.bytes.get(self.taken..).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.taken += read;
        Ok(read)
    }
}

/// A stream that is read until a deadline, or until a signal comes.
struct Timed<'s> {
    stream: UnixStream,
    signals: Option<&'s Signals>,
    deadline: Instant,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long"));
            }
            let mut waiting = vec![PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
            let signals = self.signals.map(|signals| signals.as_fd());
            waiting.extend(signals.map(|signals| PollFd::new(signals, PollFlags::POLLIN)));
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut waiting, left) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            let is_ready = |one: &PollFd<'_>| one.any().unwrap_or(false);
            if waiting.get(1).is_some_and(is_ready) {
                // Not the kind of that name, after which readers try again.
                return Err(io::Error::other("interrupted"));
            }
            if waiting.first().is_some_and(is_ready) {
                return self.stream.read(buffer);
            }
        }
    }
}

#[cfg(test)]
mod tests;
