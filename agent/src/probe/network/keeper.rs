//! The work of the network: hears of changes, looks for namespaces, sends children to them.
//!
//! Everything is polled once in a turn, and nothing waits. At most two children run at once; a
//! search for namespaces is one of them.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use log::{info, warn};
use serde_json::{json, Value};

use super::runs::Runs;
use super::table::{Order, Table};
use super::{Error, Lost};
use crate::kernel::tc::attach::{Options, Report, Visit};
use crate::kernel::tc::watch::Watch;
use crate::kernel::tc::{find, Direction};
use crate::sys::child::Running;

/// Children at once, and while stopping.
const CHILDREN: usize = 2;
const STOPPING_CHILDREN: usize = 4;
/// Datagrams that are read in one turn.
const DATAGRAMS: usize = 512;
/// Between two looks at names and what has expired.
const SECOND: Duration = Duration::from_secs(1);
/// Between two searches through all processes.
const SEARCH: Duration = Duration::from_secs(10);
/// Between two looks whether every filter is still there.
const CHECK: Duration = Duration::from_secs(60);
/// Searches after a change of names: a file gets its name before it stands for a namespace.
const SEARCHES: u32 = 2;
/// How long stopping may take, and the pause between two looks meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(1);

/// Gives a program for a namespace and a direction; the error is a sentence.
type Loader = Box<dyn FnMut(u32, Direction) -> Result<OwnedFd, String>>;

/// What a child does.
#[derive(Clone, Copy, Debug)]
enum Task {
    /// Searches for namespaces, since then.
    Search(Instant),
    /// Visits the namespace of an inode; the serial number tells it from a later one.
    Visit(u32, u64),
}

type Job = (Task, Running);

/// See the module.
pub(super) struct Keeper {
    options: Options,
    load: Loader,
    runs: Runs,
    watch: Watch,
    table: Table,
    jobs: Vec<Job>,
    /// Children that were killed and that the kernel does not let go of.
    stuck: Vec<Running>,
    /// Why the last search failed; empty when it did not.
    search_problem: String,
    /// When the last turn was.
    now: Instant,
    second: Instant,
    search: Instant,
    check: Instant,
    names: u64,
    searches: u32,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

impl Keeper {
    /// Listens and takes the lock; everything else is due in the first turn.
    pub(super) fn start(
        run_path: &Path,
        options: Options,
        lazy: Vec<String>,
        load: Loader,
    ) -> Result<Keeper, Error> {
        let now = Instant::now();
        let own = find::own().map_err(Error::Namespace)?;
        // What changes from now on is heard of.
        let watch = Watch::open().map_err(Error::Watch)?;
        let runs = Runs::start(run_path).map_err(Error::Lock)?;
        Ok(Keeper {
            table: Table::new(own, options.choice.clone(), lazy, now),
            options,
            load,
            runs,
            watch,
            jobs: Vec::new(),
            stuck: Vec::new(),
            search_problem: String::new(),
            now,
            second: now + SECOND,
            search: now,
            check: now + CHECK,
            names: find::names(),
            searches: 0,
        })
    }

    pub(super) fn note(&mut self, inode: u32, pid: u32) {
        self.table.note(inode, pid, self.now);
    }

    /// Nothing of dead runs is left, as far as namespaces can be visited.
    pub(super) fn is_swept(&self) -> bool {
        self.runs.stale().is_empty()
    }

    pub(super) fn device_name(&self, namespace: u32, index: u32) -> Option<&str> {
        self.table.device_name(namespace, index)
    }

    pub(super) fn status(&self) -> Value {
        let mut status = self.table.status();
        if let Some(fields) = status.as_object_mut() {
            fields.insert("enabled".to_owned(), true.into());
            fields.insert("run".to_owned(), format!("{:016x}", self.runs.id()).into());
            fields.insert("stale_runs".to_owned(), json!(self.runs.stale().len()));
        }
        if let Some(problems) = status.get_mut("problems").and_then(Value::as_array_mut) {
            let problem = Some(&self.search_problem).filter(|problem| !problem.is_empty());
            problems.extend(problem.map(|problem| problem.as_str().into()));
        }
        status
    }

    /// Reads what is ready and starts what is due.
    pub(super) fn turn(&mut self, now: Instant) -> Vec<Lost> {
        self.now = now;
        // First, so that an interface which is gone is known to be when a report comes.
        self.hear();
        let mut lost = Vec::new();
        for (task, result) in self.finished() {
            match task {
                Task::Search(started) => self.searched(started, result),
                Task::Visit(inode, serial) => lost.extend(self.visited(inode, serial, result)),
            }
        }
        if now >= self.second {
            self.second = now + SECOND;
            self.look_after();
        }
        self.begin();
        lost
    }

    fn hear(&mut self) {
        let (table, now) = (&mut self.table, self.now);
        self.watch.read(DATAGRAMS, &mut |heard_in, change| {
            table.changed(heard_in, change, now);
        });
        table.heard();
    }

    /// The children that are gone, with what they wrote.
    fn finished(&mut self) -> Vec<(Task, io::Result<Vec<u8>>)> {
        let mut finished = Vec::new();
        for (task, mut running) in std::mem::take(&mut self.jobs) {
            match running.take() {
                Some(result) => {
                    finished.push((task, result));
                    if !running.is_gone() {
                        self.stuck.push(running);
                    }
                }
                None => self.jobs.push((task, running)),
            }
        }
        finished
    }

    fn searched(&mut self, started: Instant, result: io::Result<Vec<u8>>) {
        let result = result.map_err(|error| error.to_string()).and_then(|bytes| {
            find::understand(&bytes).ok_or_else(|| "the search was cut short".to_owned())
        });
        match result {
            Ok(search) => {
                self.search_problem.clear();
                self.table.found(search, started, self.now);
            }
            // What was not found now is found by the next search.
            Err(error) => self.search_failed(&error),
        }
    }

    fn search_failed(&mut self, error: &dyn fmt::Display) {
        self.search_problem = format!("network namespaces could not be searched for: {error}");
    }

    fn visited(&mut self, inode: u32, serial: u64, result: io::Result<Vec<u8>>) -> Vec<Lost> {
        let result = result.map_err(|error| error.to_string()).and_then(|bytes| {
            Report::understand(&bytes).ok_or_else(|| "the visit was cut short".to_owned())
        });
        let report = match result {
            Ok(report) => report,
            Err(error) => {
                let sentence = format!("its filters could not be seen to: {error}");
                self.table.failed(inode, serial, sentence, self.now);
                return Vec::new();
            }
        };
        if report.removed > 0 {
            info!(
                "network namespace {inode}: {} filters that dead runs left were removed",
                report.removed
            );
        }
        let before = self.table.lost();
        let lost = self.table.settled(inode, serial, report, self.now);
        if let Some(first) = lost.first() {
            warn!(
                "network namespace {inode}: somebody else removed classifiers ({}), first that for \
                 {} of {}",
                self.table.lost() - before,
                first.direction.name(),
                first.interface
            );
        }
        if !self.runs.stale().is_empty() && self.table.is_swept() {
            self.runs.forget_stale();
        }
        lost
    }

    /// What is due once a second.
    fn look_after(&mut self) {
        self.table.expire(self.now);
        self.stuck.retain_mut(|running| !running.is_gone());
        if self.now >= self.check {
            self.check = self.now + CHECK;
            self.table.revisit(self.now);
        }
        let names = find::names();
        if std::mem::replace(&mut self.names, names) != names {
            self.searches = SEARCHES;
        }
        let is_wanted = self.table.take_wish() || self.searches > 0;
        self.searches = self.searches.saturating_sub(1);
        if is_wanted {
            self.search = self.now;
        }
    }

    /// Starts children, as many as there may be.
    fn begin(&mut self) {
        let most = CHILDREN.saturating_sub(self.stuck.len());
        let is_searching = |(task, _): &Job| matches!(task, Task::Search(_));
        if self.now >= self.search && self.jobs.len() < most && !self.jobs.iter().any(is_searching)
        {
            self.start_search();
        }
        while self.jobs.len() < most {
            let Some(order) = self.table.begin(self.now) else {
                return;
            };
            if !self.visit(order, false) {
                return;
            }
        }
    }

    fn start_search(&mut self) {
        let started = find::start(&|inode| self.table.knows(inode));
        let pause = match started {
            Ok(running) => {
                self.jobs.push((Task::Search(self.now), running));
                SEARCH
            }
            Err(error) => {
                self.search_failed(&error);
                SECOND
            }
        };
        self.search = self.now + pause;
    }

    /// Starts a visit; false when no child can be had.
    fn visit(&mut self, order: Order, removes: bool) -> bool {
        let Order { inode, serial, .. } = order;
        let visit = Visit {
            options: &self.options,
            run: self.runs.id(),
            stale: self.runs.stale(),
            removes,
            inode,
            places: order.places,
            programs: order.programs,
            given_up: order.given_up,
            fresh: order.fresh,
            room: order.room,
        };
        match visit.start(&mut *self.load) {
            Ok(running) => {
                self.jobs.push((Task::Visit(inode, serial), running));
                true
            }
            Err(error) => {
                let sentence = format!("its filters could not be seen to: {error}");
                self.table.failed(inode, serial, sentence, self.now);
                false
            }
        }
    }

    /// Removes our filters everywhere.
    pub(super) fn stop(self) {
        self.stop_within(PATIENCE);
    }

    fn stop_within(mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        for (_, running) in &mut self.jobs {
            running.end();
        }
        while !self.jobs.is_empty() && Instant::now() < deadline {
            self.finished();
            sleep(PAUSE);
        }
        let mut left = self.table.with_filters();
        let mut failed = Vec::new();
        while !(left.is_empty() && self.jobs.is_empty()) && Instant::now() < deadline {
            self.send_off(&mut left);
            self.take_back(&mut failed);
            sleep(PAUSE);
        }
        // Namespaces that ended meanwhile took their filters along.
        self.hear();
        let late = self.jobs.iter().filter_map(|(task, _)| inode_of(*task));
        failed.extend(left.into_iter().chain(late));
        failed.retain(|inode| self.table.knows(*inode));
        let is_clean = failed.is_empty() && !self.table.has_forgotten();
        if !is_clean {
            warn!("classifiers may be left on some interfaces; the next start removes them");
        }
        self.jobs.clear();
        self.runs.end(is_clean);
    }

    /// Starts removals.
    fn send_off(&mut self, left: &mut Vec<u32>) {
        while self.jobs.len() < STOPPING_CHILDREN {
            let Some(inode) = left.pop() else { return };
            let order = self.table.order(inode);
            if !order.is_none_or(|order| self.visit(order, true)) {
                left.push(inode);
                return;
            }
        }
    }

    /// Takes what the removals report; `failed` gets the namespaces where something may be left.
    fn take_back(&mut self, failed: &mut Vec<u32>) {
        for (task, result) in self.finished() {
            let report = result.ok().and_then(|bytes| Report::understand(&bytes));
            let is_done = report.is_some_and(|report| !report.is_gone && report.is_whole());
            if !is_done {
                failed.extend(inode_of(task));
            }
        }
    }
}

fn inode_of(task: Task) -> Option<u32> {
    match task {
        Task::Visit(inode, _) => Some(inode),
        Task::Search(_) => None,
    }
}

#[cfg(test)]
mod tests;
