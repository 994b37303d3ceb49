//! Qdiscs and filters of the interfaces in the namespace of this process.
//!
//! A clsact qdisc is added where there is none; one of another kind is left alone, and so are the
//! filters of others. A filter is ours by its name, never by its handle, which others may change.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::super::message::{self, Messages, NewFilter};
use super::super::route::Route;
use super::super::{name, Both, Direction, Filter, Handle, Interface};
use super::report::{Device, Report, Side, State};
use super::{Load, Visit};

/// The only kind of qdisc that our filters hang on.
const CLSACT: &str = "clsact";

/// Why an interface is not as it should be.
enum Failure {
    /// It is gone.
    Gone,
    /// As a sentence.
    Because(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.raw_os_error() {
            Some(libc::ENODEV) => Failure::Gone,
            _ => because(format_args!("{error}")),
        }
    }
}

fn because(text: fmt::Arguments<'_>) -> Failure {
    Failure::Because(text.to_string())
}

/// A loaded program and its number.
type Program = (OwnedFd, u32);

/// Does the work of a visit in the namespace that this process is in.
struct Worker<'a> {
    visit: &'a Visit<'a>,
    load: &'a mut Load<'a>,
    route: Route,
    /// Programs, once they are needed.
    programs: Both<Option<Program>>,
    removed: usize,
}

/// Makes every interface what it should be. The error is one of reading interfaces; what goes wrong
/// with a single one is in the report.
pub(super) fn settle(
    visit: &Visit<'_>,
    load: &mut Load<'_>,
    report: &mut Report,
) -> io::Result<()> {
    let mut route = Route::open()?;
    let links = route.dump(message::GET_LINK, &message::link_request())?;
    let qdiscs = qdiscs(&mut route)?;
    let mut worker = Worker {
        visit,
        // A shorter life for the borrow: the worker ends here.
        load: &mut |namespace, direction| load(namespace, direction),
        route,
        programs: Both::default(),
        removed: 0,
    };
    let links = Messages(&links).filter(|message| message.kind == message::NEW_LINK);
    for link in links.filter_map(|message| message::link(message.body)) {
        if report.devices.len() >= visit.room {
            report.left_out += 1;
            continue;
        }
        let qdisc = qdiscs.get(&link.index).map(String::as_str);
        report.devices.extend(worker.settle(&link, qdisc));
    }
    report.removed = worker.removed;
    Ok(())
}

/// The kind of the clsact or ingress qdisc of each interface that has one.
fn qdiscs(route: &mut Route) -> io::Result<BTreeMap<u32, String>> {
    let every = message::tc_request(0, Handle(0));
    let answer = route.dump(message::GET_QDISC, &every)?;
    let found = Messages(&answer).filter(|message| message.kind == message::NEW_QDISC);
    Ok(found
        .filter_map(|message| message::qdisc(message.body))
        .filter(|(_, qdisc)| qdisc.parent == message::CLSACT)
        .map(|(index, qdisc)| (index, qdisc.kind))
        .collect())
}

impl Worker<'_> {
    /// Makes an interface what it should be; `None` when it is gone.
    fn settle(&mut self, link: &Interface, qdisc: Option<&str>) -> Option<Device> {
        let mut device = Device {
            index: link.index,
            name: link.name.clone(),
            ..Device::default()
        };
        match self.work_on(link, qdisc, &mut device.sides) {
            Ok(()) => {}
            Err(Failure::Gone) => return None,
            Err(Failure::Because(reason)) => device.sentence = format!("{}: {reason}", link.name),
        }
        Some(device)
    }

    fn work_on(
        &mut self,
        link: &Interface,
        qdisc: Option<&str>,
        sides: &mut Both<Side>,
    ) -> Result<(), Failure> {
        let wanted = Direction::ALL
            .into_iter()
            .filter(|direction| self.wants(link, *direction));
        let wanted: Vec<Direction> = wanted.collect();
        for direction in &wanted {
            sides.of_mut(*direction).state = State::Unknown;
        }
        let mut is_there = Both::default();
        if qdisc == Some(CLSACT) {
            for direction in Direction::ALL {
                *is_there.of_mut(direction) = self.tidy(link, direction)?;
            }
        }
        for direction in &wanted {
            *sides.of_mut(*direction) = match *is_there.of(*direction) {
                Some(program) => Side {
                    state: State::Kept,
                    program,
                },
                None => Side {
                    state: State::Refused,
                    program: 0,
                },
            };
        }
        if !wanted.is_empty() {
            self.prepare(link.index, qdisc)?;
        }
        for direction in wanted {
            if !sides.of(direction).is_attached() {
                *sides.of_mut(direction) = self.attach(link.index, direction)?;
            }
        }
        Ok(())
    }

    /// Whether a filter of ours belongs there.
    fn wants(&self, link: &Interface, direction: Direction) -> bool {
        let options = self.visit.options;
        let is_seen = direction == Direction::Egress || options.ingress;
        is_seen && !self.visit.removes && options.choice.takes(link)
    }

    /// Removes filters of dead runs, and those of this run where none is wanted. Returns the program
    /// of the one that stays.
    fn tidy(&mut self, link: &Interface, direction: Direction) -> Result<Option<u32>, Failure> {
        let is_wanted = self.wants(link, direction);
        let known = *self.visit.programs.of(direction);
        let mut kept = None;
        for filter in self.filters(link.index, direction)? {
            let Some((run, program)) = ours(&filter) else {
                continue;
            };
            let is_own = run == self.visit.run;
            if self.visit.stale.contains(&run) || (is_own && !is_wanted) {
                self.remove(link.index, &filter)?;
                self.removed += usize::from(!is_own);
            } else if is_own && (known == 0 || known == program) {
                kept = Some(program);
            }
        }
        Ok(kept)
    }

    /// The filters of a direction.
    fn filters(&mut self, interface: u32, direction: Direction) -> Result<Vec<Filter>, Failure> {
        let request = message::tc_request(interface, direction.parent());
        let answer = self.route.dump(message::GET_FILTER, &request)?;
        let found = Messages(&answer).filter(|message| message.kind == message::NEW_FILTER);
        Ok(found
            .filter_map(|message| message::filter(message.body, direction))
            .collect())
    }

    /// Deletes one filter, as it was just read.
    fn remove(&mut self, interface: u32, filter: &Filter) -> Result<(), Failure> {
        let Some(request) = message::one_filter(interface, filter) else {
            return Ok(());
        };
        let kind = message::DELETE_FILTER;
        match self.route.ask(kind, message::ACKNOWLEDGE, &request) {
            Ok(_) => Ok(()),
            // Somebody else was faster.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sees to a clsact qdisc.
    fn prepare(&mut self, interface: u32, qdisc: Option<&str>) -> Result<(), Failure> {
        if qdisc.is_none() {
            let request = message::new_qdisc(interface);
            match self
                .route
                .ask(message::NEW_QDISC, message::CREATE, &request)
            {
                Ok(_) => return Ok(()),
                Err(error) => match error.raw_os_error() {
                    // Somebody else was faster.
                    Some(libc::EEXIST) => {}
                    Some(libc::ENOENT | libc::EOPNOTSUPP) => {
                        return Err(because(format_args!(
                            "this kernel has no clsact qdisc, so packets are not seen: load the \
                             module sch_ingress, or use a kernel with CONFIG_NET_SCH_INGRESS"
                        )));
                    }
                    _ => return Err(error.into()),
                },
            }
        }
        let again = match qdisc {
            Some(kind) => Some(kind.to_owned()),
            None => qdiscs(&mut self.route)?.remove(&interface),
        };
        match again.as_deref() {
            None | Some(CLSACT) => Ok(()),
            Some(kind) => Err(because(format_args!(
                "it has a qdisc of the kind {kind}, which is left alone and leaves no place for a \
                 classifier; who added it may use clsact instead"
            ))),
        }
    }

    /// Attaches the program of a direction, and looks that it is there.
    fn attach(&mut self, interface: u32, direction: Direction) -> Result<Side, Failure> {
        if self.visit.given_up.contains(&(interface, direction)) {
            return Ok(Side {
                state: State::Missing,
                program: 0,
            });
        }
        let (descriptor, program) = self.program(direction).map_err(Failure::Because)?;
        let name = name::of(self.visit.run, direction);
        let request = message::new_filter(&NewFilter {
            interface,
            direction,
            priority: self.visit.options.priority,
            handle: self.visit.options.handle,
            program: descriptor,
            name: &name,
        });
        self.route
            .ask(message::NEW_FILTER, message::CREATE, &request)
            .map_err(|error| self.refusal(error))?;
        let is_there = self.filters(interface, direction)?.iter().any(|filter| {
            ours(filter) == Some((self.visit.run, program)) && filter.program_is_direct()
        });
        match is_there {
            true => Ok(Side {
                state: State::Attached,
                program,
            }),
            false => Err(because(format_args!(
                "the kernel took the classifier for {}, but it is not there: somebody else removes \
                 filters",
                direction.name()
            ))),
        }
    }

    /// What the kernel's refusal of a filter means.
    fn refusal(&self, error: io::Error) -> Failure {
        let (priority, handle) = (self.visit.options.priority, self.visit.options.handle);
        match error.raw_os_error() {
            Some(libc::EEXIST) => because(format_args!(
                "handle {handle} at priority {priority} belongs to somebody else's filter; choose \
                 another network.classifier_handle, or 0"
            )),
            Some(libc::EINVAL) => because(format_args!(
                "the kernel took no classifier at priority {priority}, where filters of another \
                 kind may be; choose another network.classifier_priority"
            )),
            _ => error.into(),
        }
    }

    /// Descriptor and number of the program of a direction: the one that other interfaces of this
    /// namespace have, or a new one.
    fn program(&mut self, direction: Direction) -> Result<(i32, u32), String> {
        if self.programs.of(direction).is_none() {
            let program = self.open_program(direction)?;
            *self.programs.of_mut(direction) = Some(program);
        }
        let program = self.programs.of(direction).as_ref();
        let (descriptor, number) = program.ok_or("the classifier was not loaded")?;
        Ok((descriptor.as_raw_fd(), *number))
    }

    fn open_program(&mut self, direction: Direction) -> Result<Program, String> {
        let known = *self.visit.programs.of(direction);
        let mut found = None;
        if known != 0 {
            found = bpf_sys::Objects::Programs
                .open(known)
                .map_err(|error| format!("the classifier cannot be opened again: {error}"))?;
        }
        let descriptor = match found {
            Some(descriptor) => descriptor,
            None => (self.load)(self.visit.inode, direction)?,
        };
        // Kernels before 4.13 have no numbers, neither here nor in the filter.
        let number = bpf_sys::program_info(descriptor.as_fd()).map_or(0, |info| info.id);
        Ok((descriptor, number))
    }
}

/// Run and program of a filter with a name of ours. We use no chain but the first.
fn ours(filter: &Filter) -> Option<(u64, u32)> {
    let program = filter.program.as_ref()?;
    let run = name::run_of(&program.name)?;
    (filter.chain == 0).then_some((run, program.id))
}

impl Filter {
    fn program_is_direct(&self) -> bool {
        self.program
            .as_ref()
            .is_some_and(|program| program.is_direct)
    }
}
