//! The `hash` action: which file, within which limits, and the worker that does it.
//!
//! A request leaves for the worker ([`super::worker`]) and its answer comes back between turns of
//! the loop. Requests are bounded in number and rate, answers are remembered by file, and a worker
//! that takes too long is killed and started again with the next request.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use log::warn;

use super::worker::{Answer, Request};
use crate::config::{keys, Settings};
use crate::event::{Event, File, Hashes};
use crate::policy::action::Hash;
use crate::resolve::clock::unix_now;
use crate::sys::host;

/// How long the worker may take for one file.
const DEADLINE: Duration = Duration::from_secs(10);
/// Requests that wait for the worker: they fit into a pipe, so that writing never blocks.
const MAX_WAITING: usize = 8;
/// Bytes of a file that is hashed, whatever a rule says.
const LARGEST: u64 = 1 << 30;
/// Bytes of a path that is hashed.
const MAX_PATH: usize = 4_096;
/// Nanoseconds after a change in which another one may leave the times of a file as they are: file
/// systems take them from a clock that ticks up to a hundred times a second.
const TICK: u64 = 20_000_000;
/// Bytes of answers that are not complete.
const MAX_OUTPUT: usize = 64 << 10;
/// Algorithms that there are.
const ALGORITHMS: [&str; 3] = ["md5", "sha1", "sha256"];

/// What a `hash` action is to do, or has done already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::probe) enum Hashing {
    /// The answer to the request with this number is still to come.
    Asked(u64),
    /// The state, and the hashes when it is `Done`.
    Done(Hashes),
}

/// A file as its content was: another content has another of these.
#[derive(Clone, PartialEq, Eq, Hash)]
struct FileKey {
    device: u32,
    inode: u64,
    modified: u64,
    changed: u64,
}

/// Answers files' hashes.
pub(in crate::probe) struct Hasher {
    enabled: bool,
    event_types: Vec<String>,
    max_size: u64,
    rate: u64,
    algorithms: Vec<String>,
    cache_size: usize,
    mount_namespace: u64,
    worker: Option<Worker>,
    waiting: VecDeque<Waiting>,
    next_id: u64,
    /// The second that is counted, and the requests in it.
    second: (u64, u64),
    cache: HashMap<FileKey, Hashes>,
    order: VecDeque<FileKey>,
}

struct Waiting {
    id: u64,
    key: Option<FileKey>,
    since: Instant,
}

struct Worker {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    answers: Vec<u8>,
}

impl Hasher {
    pub(super) fn new(settings: &Settings) -> Hasher {
        let wanted = settings.list(&keys::HASH_ALGORITHMS);
        for unknown in wanted
            .iter()
            .filter(|name| !ALGORITHMS.contains(&name.as_str()))
        {
            warn!(
                "hash algorithm `{unknown}` is not supported; there are {}",
                ALGORITHMS.join(", ")
            );
        }
        let known = wanted
            .iter()
            .filter(|name| ALGORITHMS.contains(&name.as_str()));
        let cache_size = settings.count(&keys::HASH_CACHE_SIZE);
        Hasher {
            enabled: settings.flag(&keys::HASH_ENABLED),
            event_types: settings.list(&keys::HASH_EVENT_TYPES).to_vec(),
            max_size: settings.count(&keys::HASH_MAX_FILE_SIZE),
            rate: settings.count(&keys::HASH_MAX_RATE),
            algorithms: known.cloned().collect(),
            cache_size: usize::try_from(cache_size)
                .unwrap_or(usize::MAX)
                .min(100_000),
            mount_namespace: own_mount_namespace(),
            worker: None,
            waiting: VecDeque::new(),
            next_id: 1,
            second: (0, 0),
            cache: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// The process that hashes, whose own file events are no news.
    pub(super) fn worker(&self) -> Option<u32> {
        self.worker.as_ref().map(|worker| worker.child.id())
    }

    /// Asks for the hashes of a file of an event; `now` is monotonic nanoseconds.
    pub(super) fn hash(&mut self, action: &Hash, event: &Event, now: u64) -> Hashing {
        let done = |state| Hashing::Done(Hashes::new(state, Vec::new()));
        let kind = event.kind.name();
        if !self.enabled || !self.event_types.iter().any(|one| one == kind) {
            return done("EventTypeNotConfigured");
        }
        let Some(file) = event.file_of(&action.field) else {
            return done("PathnameResolutionError");
        };
        if !file.path.starts_with('/') || file.path.len() > MAX_PATH {
            return done("PathnameResolutionError");
        }
        let key = key(file);
        if let Some(known) = key.as_ref().and_then(|key| self.cache.get(key)) {
            return Hashing::Done(known.clone());
        }
        if !self.takes_one_more(now) {
            return done("HashWasRateLimited");
        }
        match self.ask(action, event, file) {
            Ok(id) => {
                self.waiting.push_back(Waiting {
                    id,
                    key,
                    since: Instant::now(),
                });
                Hashing::Asked(id)
            }
            Err(error) => {
                warn!("the worker that hashes files cannot be asked: {error}");
                self.stop();
                done("HashFailed")
            }
        }
    }

    fn takes_one_more(&mut self, now: u64) -> bool {
        let second = now / 1_000_000_000;
        if self.second.0 != second {
            self.second = (second, 0);
        }
        let takes = self.second.1 < self.rate && self.waiting.len() < MAX_WAITING;
        self.second.1 += u64::from(takes);
        takes
    }

    fn ask(&mut self, action: &Hash, event: &Event, file: &File) -> io::Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        let request = Request {
            id,
            paths: self.paths(event, file),
            inode: file.inode,
            max_size: action.max_file_size.unwrap_or(self.max_size).min(LARGEST),
            algorithms: self.algorithms.clone(),
        };
        let mut line = serde_json::to_string(&request)?;
        line.push('\n');
        let worker = match &mut self.worker {
            Some(worker) => worker,
            none => none.insert(Worker::start()?),
        };
        worker.input.write_all(line.as_bytes())?;
        Ok(id)
    }

    /// Where the file may be found: through the process, and in the agent's own view if that is the
    /// same.
    fn paths(&self, event: &Event, file: &File) -> Vec<String> {
        let info = &event.process.info;
        let mut paths = vec![format!("{}/{}/root{}", host::proc(), info.pid, file.path)];
        if u64::from(info.mount_namespace) == self.mount_namespace {
            paths.push(file.path.clone());
        }
        paths
    }

    /// The answers that have come since the last look; requests whose time is up have failed.
    pub(super) fn answers(&mut self) -> Vec<(u64, Hashes)> {
        let mut found = Vec::new();
        if self.waiting.is_empty() {
            return found;
        }
        match self.worker.as_mut().map(Worker::read) {
            Some(Ok(answers)) => {
                for answer in answers {
                    found.extend(self.settle(answer));
                }
            }
            Some(Err(error)) => {
                warn!("the worker that hashes files has ended: {error}");
                found.extend(self.give_up());
            }
            None => found.extend(self.give_up()),
        }
        if self
            .waiting
            .front()
            .is_some_and(|first| first.since.elapsed() > DEADLINE)
        {
            warn!("the worker that hashes files takes too long and is killed");
            found.extend(self.give_up());
        }
        found
    }

    fn settle(&mut self, answer: Answer) -> Option<(u64, Hashes)> {
        let place = self.waiting.iter().position(|one| one.id == answer.id)?;
        let waited = self.waiting.remove(place)?;
        // The worker's turn for the next one begins now.
        if let Some(next) = self.waiting.front_mut() {
            next.since = Instant::now();
        }
        let hashes = Hashes::new(&answer.state, answer.hashes);
        let settled = |key: &FileKey| unix_now().saturating_sub(key.changed) > TICK;
        let key = waited.key.filter(|key| hashes.is_done() && settled(key));
        if let Some(key) = key {
            self.remember(key, hashes.clone());
        }
        Some((answer.id, hashes))
    }

    fn remember(&mut self, key: FileKey, hashes: Hashes) {
        if self.cache_size == 0 {
            return;
        }
        while self.cache.len() >= self.cache_size {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.cache.remove(&oldest);
        }
        if self.cache.insert(key.clone(), hashes).is_none() {
            self.order.push_back(key);
        }
    }

    fn give_up(&mut self) -> Vec<(u64, Hashes)> {
        self.stop();
        let failed = self.waiting.drain(..);
        failed
            .map(|one| (one.id, Hashes::new("HashFailed", Vec::new())))
            .collect()
    }

    /// Ends the worker.
    pub(super) fn stop(&mut self) {
        if let Some(mut worker) = self.worker.take() {
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
    }
}

impl Drop for Hasher {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What tells contents of files apart; `None` when too little is known of the file.
fn key(file: &File) -> Option<FileKey> {
    (file.known && file.inode != 0).then_some(FileKey {
        device: file.device,
        inode: file.inode,
        modified: file.modified,
        changed: file.changed,
    })
}

fn own_mount_namespace() -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/ns/mnt").map_or(0, |found| found.ino())
}

impl Worker {
    fn start() -> io::Result<Worker> {
        let mut child = Command::new("/proc/self/exe")
            .arg("hash-worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output)) = (input, output) else {
            return Err(io::Error::other("it has no input or output"));
        };
        set_nonblocking(&input)?;
        set_nonblocking(&output)?;
        Ok(Worker {
            child,
            input,
            output,
            answers: Vec::new(),
        })
    }

    fn read(&mut self) -> io::Result<Vec<Answer>> {
        let mut piece = [0; 4096];
        loop {
            match self.output.read(&mut piece) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.answers.extend(piece.iter().take(read)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if self.answers.len() > MAX_OUTPUT {
                return Err(io::Error::other("it answers too much"));
            }
        }
        let mut found = Vec::new();
        while let Some(end) = self.answers.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.answers.drain(..=end).collect();
            found.push(serde_json::from_slice(&line)?);
        }
        Ok(found)
    }
}

fn set_nonblocking(descriptor: impl std::os::fd::AsFd) -> io::Result<()> {
    use nix::fcntl::{fcntl, FcntlArg, OFlag};
    fcntl(descriptor, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}
