//! Beginning to use a disk, giving it up, and trying it again.
//!
//! A disk joins when the spool is opened, or later, when it has become usable; then what it holds
//! comes before what waits in memory. Consumers are put where their cursor files say.

use super::consumer::Consumer;
use super::disk::{cursor_name, Cursor, Disk, Opened};
use super::format::OVERHEAD;
use super::{Spool, RETRY};

/// Where a consumer goes on when a disk joins.
#[derive(Clone, Copy, Debug)]
enum Start {
    /// Where it is, as the disk has nothing.
    Here,
    /// At this record.
    At(u64),
    /// Behind everything on the disk.
    End,
}

impl Spool {
    /// Begins to use the directory that is configured.
    pub(super) fn join(&mut self) {
        let Some(path) = self.options.directory.clone() else {
            return;
        };
        let opened = match Disk::open(&path, &self.options) {
            Ok(opened) => opened,
            Err(error) => return self.fail(error.to_string()),
        };
        self.trouble = None;
        for damage in &opened.damages {
            self.damaged_bytes += damage.bytes;
            self.notice(damage.notice.clone());
        }
        let starts = self.starts(&opened);
        self.renumber(&opened, &starts);
        for (consumer, start) in self.consumers.iter_mut().zip(starts) {
            match start {
                Start::Here => {}
                Start::At(number) => consumer.place_at(number),
                Start::End => consumer.place_at(self.store.follows),
            }
            consumer.is_unsaved = true;
        }
        let cursors = opened.cursors;
        self.store.disk = Some(opened.disk);
        for consumer in &mut self.consumers {
            consumer.settle(&self.store);
        }
        self.forget_others(&cursors);
        self.tidy(false);
        let numbers: Vec<u64> = self.consumers.iter().map(|found| found.number).collect();
        for (index, number) in numbers.into_iter().enumerate() {
            self.place(index, number);
        }
        self.flush();
    }

    /// Where each consumer goes on.
    fn starts(&mut self, opened: &Opened) -> Vec<Start> {
        let disk = &opened.disk;
        let front = disk.segments().front();
        let oldest = front.map_or(Start::Here, |segment| Start::At(segment.first));
        // A power cut may take records that were accepted already, but no more than there can be.
        let reach = opened
            .next
            .saturating_add(self.options.max_bytes / OVERHEAD as u64);
        let is_any_known = self.is_any_known(&opened.cursors);
        let mut notices = Vec::new();
        let found = self.consumers.iter().map(|consumer| {
            let file = disk.directory().path().join(cursor_name(&consumer.name));
            let again = |what: &str| {
                format!(
                    "the cursor {} of {} {what}, so all events in the spool are sent again",
                    file.display(),
                    consumer.name
                )
            };
            match disk.cursor(&consumer.name) {
                Cursor::At(number) if number <= reach || front.is_none() => Start::At(number),
                Cursor::At(_) => {
                    notices.push(again("lies in the future"));
                    oldest
                }
                Cursor::Damaged => {
                    notices.push(again("is damaged"));
                    oldest
                }
                // Where all endpoints are new, they have taken the place of the ones before.
                Cursor::Missing if !is_any_known => oldest,
                Cursor::Missing => Start::End,
            }
        });
        let found = found.collect();
        notices.into_iter().for_each(|text| self.notice(text));
        found
    }

    /// Puts the numbers of what waits in memory behind those of the disk.
    fn renumber(&mut self, opened: &Opened, starts: &[Start]) {
        let end = starts.iter().fold(opened.next, |end, start| match start {
            Start::At(number) => end.max(*number),
            Start::Here | Start::End => end,
        });
        let waiting = self.store.memory.front().map(|record| record.number);
        let shift = end.saturating_sub(waiting.unwrap_or(self.store.next));
        self.store.memory.renumber(shift);
        self.store.next += shift;
        self.store.follows = end;
        for consumer in &mut self.consumers {
            let number = consumer.number + shift;
            consumer.place_at(number);
        }
    }

    /// Removes the cursors of consumers that are not named any more, unless none is named, which
    /// may be an oversight.
    fn forget_others(&mut self, cursors: &[String]) {
        let Some(disk) = &self.store.disk else {
            return;
        };
        if self.consumers.is_empty() {
            return;
        }
        let mut count = 0;
        for name in cursors.iter().filter(|name| !self.is_known(name)) {
            count += 1;
            if let Err(error) = disk.directory().remove(name) {
                log::debug!("{error}");
            }
        }
        if count > 0 && self.is_any_known(cursors) {
            self.notice(format!(
                "{count} endpoints are not configured any more; events that waited for them alone are given up"
            ));
        }
    }

    /// Whether this is the cursor of a consumer that is named.
    fn is_known(&self, cursor: &str) -> bool {
        let mut names = self.consumers.iter().map(|found: &Consumer| &found.name);
        names.any(|consumer| cursor_name(consumer) == cursor)
    }

    fn is_any_known(&self, cursors: &[String]) -> bool {
        cursors.iter().any(|name| self.is_known(name))
    }

    /// Writes no more to the disk for a while.
    pub(super) fn fail(&mut self, reason: String) {
        self.write_errors += 1;
        if self.told.as_ref() != Some(&reason) {
            self.notice(format!(
                "events that wait are kept in memory only, because {reason}"
            ));
            self.told = Some(reason.clone());
        }
        self.trouble = Some((reason, self.now));
    }

    /// Gives up a directory, or the file that is written to, when it has gone from its path.
    pub(super) fn check_directory(&mut self) {
        let checked = self
            .store
            .disk
            .as_ref()
            .map(|disk| disk.directory().check());
        if let Some(Err(error)) = checked {
            self.store.disk = None;
            for consumer in &mut self.consumers {
                consumer.settle(&self.store);
            }
            self.fail(error.to_string());
        }
        if let Some(place) = self.store.disk.as_ref().and_then(|disk| disk.vanished()) {
            self.cut(place);
        }
    }

    /// Tries a disk that failed, when it is time to. A clock that went back is no reason to wait.
    pub(super) fn retry(&mut self) {
        let Some((_, tried)) = &self.trouble else {
            return;
        };
        let pause = self.now.duration_since(*tried);
        if pause.is_ok_and(|pause| pause < RETRY) {
            return;
        }
        match self.store.disk {
            None => self.join(),
            Some(_) => {
                self.trouble = None;
                self.save_cursors(false);
                self.flush();
            }
        }
        if self.trouble.is_none() {
            self.told = None;
            self.notice("events that wait are kept on disk again".to_owned());
        }
    }

    /// Writes what waits in memory, as far as the disk takes it.
    fn flush(&mut self) {
        while let Some(record) = self.store.memory.front().cloned() {
            // It stays in the queue until it is on disk, so that no consumer is moved over it.
            if !self.write(&record.entry()) {
                return;
            }
            self.store.memory.pop();
        }
    }

    /// Brings to the disk itself what is not there yet.
    pub(super) fn sync(&mut self) {
        if self.trouble.is_some() {
            return;
        }
        let synced = self.store.disk.as_mut().map(|disk| disk.sync());
        if let Some(Err(error)) = synced {
            return self.fail(error.to_string());
        }
        self.save_cursors(true);
    }
}
