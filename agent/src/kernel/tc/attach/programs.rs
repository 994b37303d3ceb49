//! The programs that a visit attaches: the one that the filters of a namespace have already, or one
//! that is loaded when it is needed.
//!
//! All filters of a direction share one program, so that a filter with another one is nobody's that
//! we know. Filters enter to be judged, descriptors and numbers of programs leave.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::super::{Both, Direction, Filter};
use super::{Load, Visit};

/// A program that is open.
struct Program {
    descriptor: OwnedFd,
    /// Its number; 0 before Linux 4.13, which has none, neither here nor in the filter.
    number: u32,
    tag: [u8; 8],
}

impl Program {
    fn new(descriptor: OwnedFd) -> Program {
        let info = bpf_sys::program_info(descriptor.as_fd()).unwrap_or_default();
        Program {
            descriptor,
            number: info.id,
            tag: info.tag,
        }
    }

    fn open(number: u32) -> Result<Option<Program>, String> {
        let opened = bpf_sys::Objects::Programs.open(number);
        opened
            .map(|found| found.map(Program::new))
            .map_err(|error| format!("the classifier cannot be opened again: {error}"))
    }
}

/// The programs of a visit.
pub(super) struct Programs<'a> {
    visit: &'a Visit<'a>,
    load: &'a mut Load<'a>,
    /// Those that were needed.
    open: Both<Option<Program>>,
}

impl<'a> Programs<'a> {
    pub(super) fn new(visit: &'a Visit<'a>, load: &'a mut Load<'a>) -> Programs<'a> {
        Programs {
            visit,
            load,
            open: Both::default(),
        }
    }

    /// Descriptor and number of the program of a direction: the one that other interfaces of this
    /// namespace have, or a new one. The error is a sentence.
    pub(super) fn get(&mut self, direction: Direction) -> Result<(i32, u32), String> {
        if self.open.of(direction).is_none() {
            let found = match *self.visit.programs.of(direction) {
                0 => None,
                known => Program::open(known)?,
            };
            let program = match found {
                Some(program) => program,
                None => Program::new((self.load)(self.visit.inode, direction)?),
            };
            *self.open.of_mut(direction) = Some(program);
        }
        let program = self.open.of(direction).as_ref();
        let program = program.ok_or("the classifier was not loaded")?;
        Ok((program.descriptor.as_raw_fd(), program.number))
    }

    /// Whether a filter that has our name also has our program. The error is a sentence.
    pub(super) fn takes(&mut self, filter: &Filter) -> Result<bool, String> {
        let direction = filter.direction;
        let Some(found) = &filter.program else {
            return Ok(false);
        };
        let known = *self.visit.programs.of(direction);
        match self.open.of(direction) {
            Some(open) => return Ok(open.number == found.id),
            None if known != 0 => return Ok(known == found.id),
            None => {}
        }
        // A visit was killed after it had attached this one: it has the code of a new one, and from
        // now on it is used for all.
        self.get(direction)?;
        let Some(loaded) = self.open.of_mut(direction) else {
            return Ok(false);
        };
        if loaded.tag != [0; 8] && loaded.tag != found.tag {
            return Ok(false);
        }
        if loaded.number != found.id {
            match Program::open(found.id)? {
                Some(program) => *loaded = program,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}
