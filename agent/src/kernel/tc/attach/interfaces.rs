//! Qdiscs and filters of the interfaces in the namespace of this process.
//!
//! A clsact qdisc is added where there is none; one of another kind is left alone, and so are the
//! filters of others. A filter is ours by its name, never by its handle, which others may change.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use super::super::message::{self, Messages, NewFilter};
use super::super::route::Route;
use super::super::{name, Both, Direction, Filter, Handle, Interface};
use super::programs::Programs;
use super::report::{Device, Report, Side, State};
use super::{Load, Visit, LOOPBACK};

/// The only kind of qdisc that our filters hang on.
const CLSACT: &str = "clsact";
/// ETH_P_ALL of linux/if_ether.h.
const EVERY_PROTOCOL: u16 = 3;
/// IF_OPER_DOWN of linux/if.h, which the kernel also says of what is not up.
const DOWN: u8 = 2;
/// Handles that are tried.
const HANDLES: u32 = 4;

/// Why an interface is not as it should be.
enum Failure {
    /// It is gone, or its time has not come.
    Passed,
    /// As a sentence.
    Because(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.raw_os_error() {
            Some(libc::ENODEV) => Failure::Passed,
            _ => because(format_args!("{error}")),
        }
    }
}

fn because(text: fmt::Arguments<'_>) -> Failure {
    Failure::Because(text.to_string())
}

/// Does the work of a visit in the namespace that this process is in.
struct Worker<'a> {
    visit: &'a Visit<'a>,
    route: Route,
    programs: Programs<'a>,
    /// Whether filters belong on more than the loopback interface.
    has_others: bool,
    removed: usize,
    untidy: usize,
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
    let links = Messages(&links).filter(|message| message.kind == message::NEW_LINK);
    let links = links.filter_map(|message| message::link(message.body));
    let links: Vec<Interface> = links.collect();
    let qdiscs = qdiscs(&mut route)?;
    let mut others = links.iter().filter(|link| link.hardware != LOOPBACK);
    // A shorter life for the borrow: the worker ends here.
    let mut load = |namespace, direction| load(namespace, direction);
    let mut worker = Worker {
        visit,
        programs: Programs::new(visit, &mut load),
        route,
        has_others: others.any(|link| visit.options.choice.takes(link)),
        removed: 0,
        untidy: 0,
    };
    let mut taken = 0;
    for link in &links {
        let is_wanted = Direction::ALL.iter().any(|one| worker.wants(link, *one));
        if is_wanted && taken >= visit.room {
            report.left_out += 1;
            continue;
        }
        taken += usize::from(is_wanted);
        let qdisc = qdiscs.get(&link.index).map(String::as_str);
        report.devices.extend(worker.settle(link, qdisc));
    }
    (report.removed, report.untidy) = (worker.removed, worker.untidy);
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
    /// Makes an interface what it should be; `None` when there is nothing to be said of it.
    fn settle(&mut self, link: &Interface, qdisc: Option<&str>) -> Option<Device> {
        let mut device = Device {
            index: link.index,
            name: link.name.clone(),
            ..Device::default()
        };
        match self.work_on(link, qdisc, &mut device.sides) {
            Ok(()) => {}
            Err(Failure::Passed) => return None,
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
                let found = self.tidy(link, direction);
                self.untidy += usize::from(matches!(found, Err(Failure::Because(_))));
                *is_there.of_mut(direction) = found?;
            }
        }
        let mut missing = Vec::new();
        for direction in wanted {
            let given_up = self.visit.given_up.contains(&(link.index, direction));
            let (state, program) = match *is_there.of(direction) {
                Some(program) => (State::Kept, program),
                None if given_up => (State::Missing, 0),
                None => {
                    missing.push(direction);
                    (State::Refused, 0)
                }
            };
            *sides.of_mut(direction) = Side { state, program };
        }
        if !missing.is_empty() {
            self.prepare(link.index, qdisc, &missing)?;
        }
        let mut result = Ok(());
        for direction in missing {
            // What stands in the way of one direction need not stand in that of the other.
            result = result.and(self.attach(link.index, direction, sides.of_mut(direction)));
        }
        result
    }

    /// Whether a filter of ours belongs there. Anybody can make namespaces that have nothing but a
    /// loopback interface which is down; nothing is loaded for those.
    fn wants(&self, link: &Interface, direction: Direction) -> bool {
        let options = self.visit.options;
        let is_seen = direction == Direction::Egress || options.ingress;
        let is_used = self.has_others || link.hardware != LOOPBACK || link.state != DOWN;
        is_seen && is_used && !self.visit.removes && options.choice.takes(link)
    }

    /// Removes filters of dead runs, and those of this run that are not wanted or not what they
    /// should be. Returns the program of the one that stays.
    fn tidy(&mut self, link: &Interface, direction: Direction) -> Result<Option<u32>, Failure> {
        let is_wanted = self.wants(link, direction);
        let mut kept = None;
        for filter in self.filters(link.index, direction)? {
            let Some((run, program)) = ours(&filter) else {
                continue;
            };
            if self.visit.stale.contains(&run) {
                self.removed += usize::from(remove(&mut self.route, link.index, &filter)?);
            } else if run == self.visit.run {
                let is_right = is_wanted && kept.is_none() && self.is_placed(&filter);
                match is_right && self.programs.takes(&filter).map_err(Failure::Because)? {
                    true => kept = Some(program),
                    false => drop(remove(&mut self.route, link.index, &filter)?),
                }
            }
        }
        Ok(kept)
    }

    /// The filters of a direction; only those at the place of ours when no others are looked for.
    fn filters(&mut self, interface: u32, direction: Direction) -> Result<Vec<Filter>, Failure> {
        let request = match self.visit.stale.is_empty() {
            true => message::place_request(interface, direction, self.visit.options.priority),
            false => message::tc_request(interface, direction.parent()),
        };
        let answer = self.route.dump(message::GET_FILTER, &request)?;
        Ok(message::filters(&answer, direction))
    }

    /// Sees to a clsact qdisc. One that gets no filters would only cost, so the programs come first.
    fn prepare(
        &mut self,
        interface: u32,
        qdisc: Option<&str>,
        missing: &[Direction],
    ) -> Result<(), Failure> {
        if let Some(kind) = qdisc {
            return has_place(kind);
        }
        if self.visit.fresh.contains(&interface) {
            return Err(Failure::Passed);
        }
        for direction in missing {
            let program = self.programs.get(*direction);
            program.map(drop).map_err(Failure::Because)?;
        }
        self.add_qdisc(interface)
    }

    fn add_qdisc(&mut self, interface: u32) -> Result<(), Failure> {
        let request = message::new_qdisc(interface);
        let answer = self
            .route
            .ask(message::NEW_QDISC, message::CREATE, &request);
        let Err(error) = answer else {
            return Ok(());
        };
        match error.raw_os_error() {
            // Somebody else was faster.
            Some(libc::EEXIST) => {
                let kind = qdiscs(&mut self.route)?.remove(&interface);
                kind.map_or(Ok(()), |kind| has_place(&kind))
            }
            Some(libc::ENOENT | libc::EOPNOTSUPP) => Err(because(format_args!(
                "this kernel has no clsact qdisc, so packets are not seen: load the module \
                 sch_ingress, or use a kernel with CONFIG_NET_SCH_INGRESS"
            ))),
            _ => Err(error.into()),
        }
    }

    /// Attaches the program of a direction, and looks that it is there. Until that is known, the
    /// side is [`State::Unknown`].
    fn attach(
        &mut self,
        interface: u32,
        direction: Direction,
        side: &mut Side,
    ) -> Result<(), Failure> {
        let program = self.programs.get(direction);
        let (descriptor, program) = program.map_err(Failure::Because)?;
        side.state = State::Unknown;
        if let Err(error) = self.add_filter(interface, direction, descriptor) {
            // Where no answer came, it may be there.
            if error.raw_os_error().is_some() {
                side.state = State::Refused;
            }
            return Err(self.refusal(error));
        }
        let filters = self.filters(interface, direction)?;
        let is_there = filters.iter().any(|filter| {
            ours(filter) == Some((self.visit.run, program)) && self.is_placed(filter)
        });
        side.state = State::Refused;
        if !is_there {
            return Err(because(format_args!(
                "the kernel took the classifier for {}, but it is not there: somebody else removes \
                 filters",
                direction.name()
            )));
        }
        let state = State::Attached;
        *side = Side { state, program };
        Ok(())
    }

    /// Adds a filter. A handle of our own choice may be taken; then another is tried.
    fn add_filter(&mut self, interface: u32, direction: Direction, program: i32) -> io::Result<()> {
        let chosen = self.visit.options.handle;
        let name = name::of(self.visit.run, direction);
        let mut attempt = 0;
        loop {
            let request = message::new_filter(&NewFilter {
                interface,
                direction,
                priority: self.visit.options.priority,
                handle: if chosen > 0 {
                    chosen
                } else {
                    handle(self.visit.run, attempt)
                },
                program,
                name: &name,
            });
            let answer = self
                .route
                .ask(message::NEW_FILTER, message::CREATE, &request);
            attempt += 1;
            match answer {
                Err(error)
                    if error.raw_os_error() == Some(libc::EEXIST)
                        && chosen == 0
                        && attempt < HANDLES => {}
                answer => return answer.map(drop),
            }
        }
    }

    /// What the kernel's refusal of a filter means.
    fn refusal(&self, error: io::Error) -> Failure {
        let (priority, handle) = (self.visit.options.priority, self.visit.options.handle);
        match error.raw_os_error() {
            Some(libc::EEXIST) if handle > 0 => because(format_args!(
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

    /// Whether a filter is at the place of ours and decides over every packet, as ours do.
    fn is_placed(&self, filter: &Filter) -> bool {
        let mut programs = filter.program.iter();
        filter.protocol == EVERY_PROTOCOL
            && filter.priority == self.visit.options.priority
            && programs.any(|program| program.is_direct)
    }
}

/// Whether our filters have a place in a qdisc.
fn has_place(kind: &str) -> Result<(), Failure> {
    match kind == CLSACT {
        true => Ok(()),
        false => Err(because(format_args!(
            "it has a qdisc of the kind {kind}, which is left alone and leaves no place for a \
             classifier; who added it may use clsact instead"
        ))),
    }
}

/// Run and program of a filter with a name of ours. We use no chain but the first.
fn ours(filter: &Filter) -> Option<(u64, u32)> {
    let program = filter.program.as_ref()?;
    let run = name::run_of(&program.name)?;
    (filter.chain == 0).then_some((run, program.id))
}

/// A handle that nobody else asks for: people and plug-ins use small ones, and the kernel takes the
/// lowest that is free.
fn handle(run: u64, attempt: u32) -> u32 {
    let spread = (run as u32).wrapping_add(attempt.wrapping_mul(0x9e37_79b1));
    (spread & i32::MAX as u32) | 1 << 16
}

/// Deletes one filter as it was read; false when it is gone or another has taken its handle.
pub(super) fn remove(route: &mut Route, interface: u32, filter: &Filter) -> io::Result<bool> {
    let Some(request) = message::one_filter(interface, filter) else {
        return Ok(false);
    };
    // A deletion names a handle only, whoever's filter is there meanwhile.
    let answer = match route.ask(message::GET_FILTER, message::ANSWER, &request) {
        Ok(answer) => answer.unwrap_or_default(),
        Err(error) => return absent(error),
    };
    if !message::filters(&answer, filter.direction).contains(filter) {
        return Ok(false);
    }
    match route.ask(message::DELETE_FILTER, message::ACKNOWLEDGE, &request) {
        Ok(_) => Ok(true),
        Err(error) => absent(error),
    }
}

/// False for what the kernel says of a filter that is not there, alone or with its chain or qdisc.
fn absent(error: io::Error) -> io::Result<bool> {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EINVAL) => Ok(false),
        _ => Err(error),
    }
}
