//! The life of variables: set, appended to, ended, inherited, released, bounded.

use super::{Declarations, ProcessKey, Scoped, Store, Subject};
use crate::policy::action::definition::{read, Kind};
use crate::policy::action::{Action, ActionKind, Set, Surroundings};
use crate::secl::{self, Constant, Field, FieldId, IpNet, Macros, Record, Scheme};
use std::collections::HashMap;

const SECOND: u64 = 1_000_000_000;

/// A scheme of two fields.
struct Fields;

impl Scheme for Fields {
    fn field(&self, name: &str) -> Option<Field> {
        let place = ["process.pid", "process.file.path", "process.ancestors.pid"]
            .iter()
            .position(|known| *known == name)?;
        let ty = |kind, many| secl::FieldType {
            kind,
            many,
            text: secl::TextKind::Plain,
        };
        Some(Field {
            id: FieldId(place as u32),
            ty: match place {
                0 => ty(secl::Kind::Int, false),
                1 => ty(secl::Kind::Text, false),
                _ => ty(secl::Kind::Int, true),
            },
            events: &[],
            iterator: place == 2,
        })
    }
    fn constant(&self, _: &str) -> Option<Constant> {
        None
    }
    fn variable(&self, name: &str) -> Option<Field> {
        (name == "process.pid").then(|| self.field(name))?
    }
    fn names(&self) -> Vec<String> {
        Vec::new()
    }
    fn event_types(&self) -> &'static [&'static str] {
        &["exec"]
    }
}

/// An event of a process, and to whom it belongs.
#[derive(Clone, Default)]
struct Event {
    pid: u32,
    path: String,
    ancestors: Vec<u32>,
    container: String,
    cgroup: String,
}

impl Record for Event {
    fn count(&self, field: FieldId) -> usize {
        match field.0 {
            2 => self.ancestors.len(),
            _ => 1,
        }
    }
    fn int(&self, field: FieldId, index: usize) -> i64 {
        match field.0 {
            2 => self.ancestors[index].into(),
            _ => self.pid.into(),
        }
    }
    fn boolean(&self, _: FieldId, _: usize) -> bool {
        false
    }
    fn text(&self, _: FieldId, _: usize) -> &str {
        &self.path
    }
    fn ip(&self, _: FieldId, _: usize) -> Option<IpNet> {
        None
    }
}

fn key(pid: u32) -> ProcessKey {
    ProcessKey { pid, start: 1 }
}

impl Subject for Event {
    fn process(&self) -> Option<ProcessKey> {
        Some(key(self.pid))
    }
    fn container(&self) -> &str {
        &self.container
    }
    fn cgroup(&self) -> &str {
        &self.cgroup
    }
    fn find(&self, pid: u32) -> Option<ProcessKey> {
        self.ancestors.contains(&pid).then(|| key(pid))
    }
}

fn event(pid: u32) -> Event {
    Event {
        pid,
        path: format!("/bin/{pid}"),
        ancestors: vec![pid / 10, 1],
        container: format!("c{}", pid % 10),
        cgroup: format!("/g{}", pid % 10),
    }
}

/// A store with the variables of some actions, which are kept by the order given.
struct Bench {
    store: Store,
    sets: Vec<Set>,
}

impl Bench {
    fn new(actions: &[&str]) -> Bench {
        let read = |text: &&str| read(&serde_yaml::from_str(text).unwrap()).unwrap();
        let definitions: Vec<_> = actions.iter().map(read).collect();
        let sets: Vec<_> = definitions
            .iter()
            .map(|one| match &one.kind {
                Kind::Set(set) => set,
                other => panic!("{other:?}"),
            })
            .collect();
        let macros = Macros::new();
        let (declarations, wrong) = Declarations::of(&sets, &macros, &Fields);
        assert!(wrong.is_empty(), "{wrong:?}");
        let scheme = declarations.scheme(&Fields);
        let around = Surroundings {
            macros: &macros,
            scheme: &scheme,
            enforcement: true,
        };
        let compiled = definitions.iter().map(|one| {
            match Action::compile(one, "exec", &around).unwrap().kind {
                ActionKind::Set(set) => *set,
                other => panic!("{other:?}"),
            }
        });
        let sets = compiled.collect();
        drop(scheme);
        Bench {
            store: Store::new(std::rc::Rc::new(declarations)),
            sets,
        }
    }

    fn set(&mut self, action: usize, event: &Event, now: u64) {
        self.store.advance(event, now);
        self.store.set(&self.sets[action], event, event, now);
    }

    fn holds(&mut self, expression: &str, event: &Event, now: u64) -> bool {
        self.store.advance(event, now);
        let scheme = self.store.declarations().scheme(&Fields);
        let parsed = secl::parse(expression).unwrap();
        let compiled = secl::compile(&parsed, &Macros::new(), &scheme).unwrap();
        let scoped: Scoped<'_> = self.store.scoped(event, event);
        compiled.matches(&scoped)
    }
}

#[test]
fn each_scope_has_its_own_values() {
    let mut bench = Bench::new(&[
        "set: {name: g, field: process.pid}",
        "set: {name: p, field: process.file.path, scope: process}",
        "set: {name: c, value: true, scope: container}",
        "set: {name: s, value: seen, scope: cgroup}",
    ]);
    let all =
        "${g} == 11 && ${process.p} == \"/bin/11\" && ${container.c} && ${cgroup.s} == \"seen\"";
    assert!(!bench.holds(all, &event(11), 0));
    for action in 0..4 {
        bench.set(action, &event(11), 0);
    }
    assert!(bench.holds(all, &event(11), 0));
    let other = event(22);
    assert!(bench.holds("${g} == 11", &other, 0));
    assert!(bench.holds(
        "${process.p} == \"\" && !${container.c} && ${cgroup.s} != \"seen\"",
        &other,
        0
    ));
    let neighbour = event(21);
    assert!(bench.holds("${container.c} && ${process.p} == \"\"", &neighbour, 0));
}

#[test]
fn lists_grow_to_their_size_and_entries_end_each_in_its_time() {
    let mut bench = Bench::new(&[
        "set: {name: pids, field: process.pid, append: true, size: 3, ttl: 10s}",
        "set: {name: pids, field: process.ancestors.pid}",
    ]);
    for (pid, at) in [(10, 0), (20, 4), (30, 8)] {
        bench.set(0, &event(pid), at * SECOND);
    }
    let length = |bench: &mut Bench, length: usize, at: u64| {
        bench.holds(
            &format!("${{pids.length}} == {length}"),
            &event(1),
            at * SECOND,
        )
    };
    assert!(length(&mut bench, 3, 9));
    assert!(bench.holds("process.pid in ${pids}", &event(20), 9 * SECOND));
    assert!(length(&mut bench, 2, 10));
    assert!(bench.holds("process.pid not in ${pids}", &event(10), 10 * SECOND));
    bench.set(0, &event(20), 12 * SECOND);
    assert!(
        length(&mut bench, 1, 19),
        "a value set again begins its time anew"
    );
    for pid in [40, 50, 60] {
        bench.set(0, &event(pid), 20 * SECOND);
    }
    assert!(length(&mut bench, 3, 20), "the oldest made room");
    assert!(bench.holds("process.pid not in ${pids}", &event(20), 20 * SECOND));
    assert!(length(&mut bench, 0, 30));
    assert_eq!(bench.store.size(), (0, 0));
    bench.set(1, &event(70), 30 * SECOND);
    assert!(length(&mut bench, 2, 3_000_000));
}

#[test]
fn children_inherit_a_copy_and_the_dead_leave_nothing() {
    let mut bench = Bench::new(&[
        "set: {name: mark, value: 7, scope: process, inherited: true}",
        "set: {name: own, value: 8, scope: process}",
    ]);
    bench.set(0, &event(10), 0);
    bench.set(1, &event(10), 0);
    bench.store.fork(key(10), key(100));
    assert!(bench.holds(
        "${process.mark} == 7 && ${process.own} == 0",
        &event(100),
        0
    ));
    bench.store.release_process(key(10));
    assert!(bench.holds("${process.mark} == 7", &event(100), 0));
    assert!(bench.holds("${process.mark} == 0", &event(10), 0));
    bench.store.fork(key(100), key(1000));
    bench
        .store
        .sweep(0, |key| key.pid == 1000, |_| true, |_| true);
    assert_eq!(bench.store.size().0, 1);
    bench.store.release_process(key(1000));
    assert_eq!(bench.store.size(), (0, 0));
}

#[test]
fn containers_and_cgroups_are_released_when_they_are_gone() {
    let mut bench = Bench::new(&[
        "set: {name: a, value: 1, scope: container}",
        "set: {name: b, value: 1, scope: cgroup}",
    ]);
    for pid in [11, 12] {
        bench.set(0, &event(pid), 0);
        bench.set(1, &event(pid), 0);
    }
    assert_eq!(bench.store.size().0, 4);
    bench
        .store
        .sweep(0, |_| true, |id| id == "c1", |path| path == "/g2");
    assert_eq!(bench.store.size().0, 2);
    assert!(bench.holds("${container.a} == 1 && ${cgroup.b} == 0", &event(11), 0));
}

#[test]
fn a_scope_field_names_another_process() {
    let mut bench = Bench::new(&[
        "set: {name: child, field: process.pid, scope: process, scope_field: process.ancestors.pid}",
    ]);
    bench.set(0, &event(12), 0);
    assert!(bench.holds("${process.child} == 12", &event(1), 0));
    assert!(bench.holds("${process.child} == 0", &event(12), 0));
}

#[test]
fn expressions_build_on_variables_and_defaults() {
    let mut bench = Bench::new(&[
        "set: {name: count, expression: '${count} + 1', default_value: 40}",
        "set: {name: key, expression: '\"${process.pid}-${count}\"'}",
        "set: {name: id, expression: '\"${builtins.uuid4}\"', scope: process}",
    ]);
    assert!(bench.holds("${count} == 40 && ${key} == \"\"", &event(5), 0));
    bench.set(0, &event(5), 0);
    bench.set(0, &event(5), 0);
    bench.set(1, &event(5), 0);
    assert!(bench.holds("${count} == 42 && ${key} == \"5-42\"", &event(5), 0));
    for pid in [5, 6] {
        bench.set(2, &event(pid), 0);
    }
    let shape = "r\"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$\"";
    assert!(bench.holds(&format!("${{process.id}} =~ {shape}"), &event(5), 0));
    let scoped = |pid: u32| {
        let event = event(pid);
        let scoped = bench.store.scoped(&event, &event);
        let shown: HashMap<_, _> = scoped
            .shown(crate::policy::action::Scope::Process)
            .map(|(name, values)| (name.to_owned(), values[0].to_string()))
            .collect();
        shown["id"].clone()
    };
    assert_ne!(scoped(5), scoped(6));
}

#[test]
fn private_variables_are_not_shown() {
    let mut bench = Bench::new(&[
        "set: {name: open, value: [a, b], append: true}",
        "set: {name: hidden, value: c, private: true}",
    ]);
    bench.set(0, &event(1), 0);
    bench.set(1, &event(1), 0);
    let event = event(1);
    let scoped = bench.store.scoped(&event, &event);
    let names: Vec<&str> = scoped
        .shown(crate::policy::action::Scope::Global)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["open"]);
    assert!(scoped.is_list(crate::policy::action::Scope::Global, "open"));
}

#[test]
fn a_flood_of_scopes_and_of_text_is_bounded_and_counted() {
    let mut bench = Bench::new(&["set: {name: path, field: process.file.path, scope: process}"]);
    for pid in 0..5_000 {
        bench.set(0, &event(pid), 0);
    }
    let (scopes, bytes) = bench.store.size();
    assert!(scopes <= 4_096 && bytes <= 4 << 20, "{scopes} {bytes}");
    assert_eq!(bench.store.counters().evicted, 5_000 - scopes as u64);
    assert!(bench.holds("${process.path} == \"/bin/4999\"", &event(4_999), 0));
    assert!(bench.holds("${process.path} == \"\"", &event(0), 0));
    let long = |pid| Event {
        path: "ü".repeat(10_000),
        ..event(pid)
    };
    for pid in 0..3_000 {
        bench.set(0, &long(pid), 0);
    }
    assert!(bench.store.size().1 <= 4 << 20);
    assert_eq!(bench.store.counters().cut, 3_000);
}

#[test]
fn variables_of_the_host_are_bounded_too() {
    let sets: Vec<String> = (0..12)
        .map(|number| {
            format!(
                "set: {{name: v{number}, expression: '\"${{process.pid}}-${{path}}\"', append: true, size: 10000}}"
            )
        })
        .chain(["set: {name: path, field: process.file.path}".to_owned()])
        .collect();
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    let mut bench = Bench::new(&sets);
    for pid in 0..200 {
        let long = Event {
            path: "x".repeat(4_000),
            ..event(pid)
        };
        bench.set(12, &long, 0);
        for number in 0..12 {
            bench.set(number, &long, 0);
        }
        assert!(bench.store.size().1 <= 4 << 20);
    }
    assert!(bench.store.counters().evicted > 0);
}

#[test]
fn a_reload_keeps_what_is_declared_alike() {
    let mut old = Bench::new(&[
        "set: {name: kept, value: 5}",
        "set: {name: changed, value: 6}",
        "set: {name: gone, value: 7, scope: process}",
    ]);
    for action in 0..3 {
        old.set(action, &event(1), 0);
    }
    let mut new = Bench::new(&[
        "set: {name: changed, value: text}",
        "set: {name: added, value: 1}",
        "set: {name: kept, value: 1}",
    ]);
    new.store.take_over(old.store);
    let expression = "${kept} == 5 && ${changed} == \"\" && ${added} == 0";
    assert!(new.holds(expression, &event(1), 0));
    assert_eq!(new.store.size().0, 0);
}
