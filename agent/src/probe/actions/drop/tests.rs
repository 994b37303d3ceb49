//! On the tables of the running kernel, which needs root.

use std::process::{Child, Command};

use super::*;
use crate::event::process::ProcessInfo;
use crate::event::testing::{event, file_event};
use crate::event::wire::Identity;
use crate::event::Fields;
use crate::event::{EventType, Image};
use crate::policy::{Host, Options, RuleSet, Source};
use crate::probe::actions::{Actions, Moment};
use crate::resolve::snapshot::ProcessSnapshot;

/// A child that waits until it is killed.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Sleeper {
        Sleeper(Command::new("/bin/sleep").arg("600").spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Ends it; its id is free then.
    fn end(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// An event of it, in a cgroup with this id.
    fn event(&self, cgroup: u64) -> Event {
        event(EventType::Exec, self.process(cgroup))
    }

    fn process(&self, cgroup: u64) -> Rc<Process> {
        let info = ProcessInfo {
            pid: self.pid(),
            ppid: std::process::id(),
            start_time: Stat::read(self.pid()).unwrap().start_time,
            ..ProcessInfo::default()
        };
        let cgroup = Cgroup {
            path: format!("/tested/{cgroup}"),
            version: 2,
            inode: cgroup,
            ..Cgroup::default()
        };
        let (image, identity) = (Rc::new(Image::default()), Identity::default());
        Rc::new(Process::new(info, image, None, identity, Rc::new(cgroup)))
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn action(scope: action::Scope) -> NetworkFilter {
    NetworkFilter {
        filter: "tcp port 80".to_owned(),
        drops: true,
        scope,
    }
}

fn demand<'a>(rule: &'a str, action: &'a NetworkFilter) -> Demand<'a> {
    Demand {
        rule,
        expression: "exec.file.path != \"\"",
        action,
    }
}

/// A dropper on tables of which that of scopes takes so many.
fn dropper(scopes: u32) -> (Dropper, Rc<PacketPrograms>) {
    let programs = Rc::new(PacketPrograms::testing(scopes));
    let mut dropper = Dropper::new(&Settings::empty(true));
    dropper.use_programs(Ok(Rc::clone(&programs)));
    (dropper, programs)
}

fn put(dropper: &mut Dropper, rule: &str, scope: action::Scope, event: &Event) -> String {
    let action = action(scope);
    dropper.carry_out(demand(rule, &action), event, &[]).problem
}

fn refusal(dropper: &Dropper, pid: u32, protected: &[u32]) -> String {
    let mut event = file_event(EventType::Open, "/x", [0; 4]);
    let process = Rc::get_mut(&mut event.process).unwrap();
    process.info.pid = pid;
    dropper.refusal(&event, protected).unwrap_or_default()
}

#[test]
fn the_agent_the_kernel_and_what_enforcement_excludes_are_left_alone() {
    let mut dropper = Dropper::new(&Settings::empty(true));
    assert_eq!(refusal(&dropper, 7, &[8]), "");
    assert!(refusal(&dropper, 7, &[8, 7]).contains("the agent itself"));
    assert!(refusal(&dropper, 0, &[]).contains("not known"));
    assert!(refusal(&dropper, 1, &[]).contains("first process"));
    assert!(refusal(&dropper, 2, &[]).contains("the kernel"));
    dropper.only_cgroup = "/elsewhere".to_owned();
    assert!(refusal(&dropper, 7, &[]).contains("only_cgroup"));
}

#[test]
fn without_programs_the_report_says_why_nothing_is_dropped() {
    let sleeper = Sleeper::start();
    let action = action(action::Scope::Process);
    let mut dropper = Dropper::new(&Settings::empty(true));
    let message = |dropper: &mut Dropper| {
        let report = dropper.carry_out(demand("rule", &action), &sleeper.event(5), &[]);
        let report = report.json();
        assert_eq!(report["status"], "error");
        report["message"].as_str().unwrap().to_owned()
    };
    assert!(message(&mut dropper).contains("network.enabled"));
    dropper.use_programs(Err("the kernel took none".to_owned()));
    assert_eq!(message(&mut dropper), "the kernel took none");
}

#[test]
fn a_process_that_has_ended_gets_no_filter() {
    let (mut dropper, programs) = dropper(8);
    let mut sleeper = Sleeper::start();
    let scope = Scope::Process(sleeper.pid());
    let told = sleeper.event(5);
    told.process.set_exit_time(1);
    let problem = put(&mut dropper, "rule", action::Scope::Process, &told);
    assert!(problem.contains("has ended"), "{problem}");
    let mut other = sleeper.event(5);
    Rc::get_mut(&mut other.process).unwrap().info.start_time += TICK;
    let problem = put(&mut dropper, "rule", action::Scope::Process, &other);
    assert!(problem.contains("another process"), "{problem}");
    let event = sleeper.event(5);
    sleeper.end();
    let problem = put(&mut dropper, "rule", action::Scope::Process, &event);
    assert!(problem.contains("has ended"), "{problem}");
    assert_eq!((programs.drops_of(scope), dropper.size()), (0, (0, 0)));
}

#[test]
fn a_process_whose_exit_was_lost_is_swept() {
    let (mut dropper, programs) = dropper(8);
    let (mut first, second) = (Sleeper::start(), Sleeper::start());
    let scopes = [&first, &second].map(|sleeper| Scope::Process(sleeper.pid()));
    for sleeper in [&first, &second] {
        let event = sleeper.event(5);
        assert_eq!(
            put(&mut dropper, "rule", action::Scope::Process, &event),
            ""
        );
    }
    let processes = ProcessCache::new(10);
    dropper.sweep(&processes, &[]);
    assert_eq!(dropper.size(), (1, 2));
    first.end();
    dropper.sweep(&processes, &[]);
    assert_eq!(scopes.map(|scope| programs.drops_of(scope)), [0, 1 << 11]);
    // Its id is another process's now.
    dropper.scopes.get_mut(&scopes[1]).unwrap().start -= 1;
    dropper.sweep(&processes, &[]);
    assert_eq!(scopes.map(|scope| programs.drops_of(scope)), [0, 0]);
    assert!(!programs.looks_for_drops());
}

#[test]
fn a_sweep_looks_at_so_many_and_goes_on_where_it_ended() {
    let (mut dropper, _) = dropper(1_024);
    let no_pids = 1 << 30;
    for number in 0..LOOKS as u32 + 3 {
        let target = Target { drops: 1, start: 1 };
        let scope = Scope::Process(no_pids + number);
        dropper.write(scope, target).unwrap();
    }
    let processes = ProcessCache::new(10);
    dropper.sweep(&processes, &[]);
    assert_eq!(dropper.size().1, 3);
    dropper.sweep(&processes, &[]);
    assert_eq!((dropper.size().1, dropper.swept), (0, 0));
}

#[test]
fn a_process_that_turns_out_to_be_the_agents_is_let_go() {
    let (mut dropper, _) = dropper(8);
    let sleeper = Sleeper::start();
    let event = sleeper.event(5);
    assert_eq!(
        put(&mut dropper, "rule", action::Scope::Process, &event),
        ""
    );
    dropper.sweep(&ProcessCache::new(10), &[sleeper.pid()]);
    assert_eq!(dropper.size(), (0, 0));
}

#[test]
fn a_cgroup_without_processes_is_swept() {
    let (mut dropper, programs) = dropper(8);
    let sleeper = Sleeper::start();
    for cgroup in [50, 60] {
        let event = sleeper.event(cgroup);
        assert_eq!(put(&mut dropper, "rule", action::Scope::Cgroup, &event), "");
    }
    let mut processes = ProcessCache::new(10);
    let process = sleeper.process(60);
    let snapshot = ProcessSnapshot {
        info: process.info.clone(),
        image: Rc::clone(&process.image),
        identity: process.identity(),
        cgroup: Cgroup::default(),
        looked: 1,
    };
    processes.insert_snapshot(vec![snapshot], |_, _| process.cgroup(), &|_| {});
    dropper.sweep(&processes, &[]);
    let drops = [50, 60].map(|id| programs.drops_of(Scope::Cgroup(id)));
    assert_eq!((drops, dropper.size()), ([0, 1 << 11], (1, 1)));
    dropper.sweep(&processes, &[sleeper.pid()]);
    assert_eq!(dropper.size(), (0, 0));
}

#[test]
fn the_cgroups_of_the_host_and_of_the_agent_get_no_filter() {
    let (mut dropper, _) = dropper(8);
    let sleeper = Sleeper::start();
    let action = action(action::Scope::Cgroup);
    let own = cgroup::read(std::process::id()).unwrap().path;
    for (path, inode, reason) in [
        ("/", 77, "the whole host"),
        ("/..", 1, "the whole host"),
        ("/tested", 0, "unified"),
        (
            &own,
            77,
            if own == "/" {
                "the whole host"
            } else {
                "the agent itself"
            },
        ),
    ] {
        let mut event = sleeper.event(5);
        event.cgroup = Rc::new(Cgroup {
            path: path.to_owned(),
            version: 2,
            inode,
            ..Cgroup::default()
        });
        let report = dropper.carry_out(demand("rule", &action), &event, &[std::process::id()]);
        assert!(
            report.problem.contains(reason),
            "{path}: {}",
            report.problem
        );
    }
}

#[test]
fn what_is_no_longer_wanted_is_taken_back() {
    let (mut dropper, programs) = dropper(8);
    let sleeper = Sleeper::start();
    let (event, scope) = (sleeper.event(5), Scope::Process(sleeper.pid()));
    for rule in ["one", "two"] {
        assert_eq!(put(&mut dropper, rule, action::Scope::Process, &event), "");
    }
    assert_eq!(programs.drops_of(scope), 3 << 10);
    dropper.keep(&|held| held.rule == "two");
    assert_eq!(
        (programs.drops_of(scope), dropper.size()),
        (1 << 10, (1, 1))
    );
    assert!(programs.looks_for_drops());
    // A narrower expression under the same id.
    dropper.keep(&|held| held.rule == "two" && held.expression == "exec.pid == 1");
    assert_eq!((programs.drops_of(scope), dropper.size()), (0, (0, 0)));
    assert!(!programs.looks_for_drops());
}

#[test]
fn what_the_kernel_refuses_takes_no_place() {
    let (mut dropper, programs) = dropper(1);
    let (first, second) = (Sleeper::start(), Sleeper::start());
    let event = first.event(5);
    assert_eq!(put(&mut dropper, "one", action::Scope::Process, &event), "");
    for number in 0..30 {
        let rule = format!("rule {number}");
        let problem = put(
            &mut dropper,
            &rule,
            action::Scope::Process,
            &second.event(5),
        );
        assert!(problem.contains("map drops"), "{problem}");
    }
    assert_eq!(dropper.size(), (1, 1));
    dropper.note_exit(first.pid());
    assert_eq!(
        put(
            &mut dropper,
            "two",
            action::Scope::Process,
            &second.event(5)
        ),
        ""
    );
    let drops = programs.drops_of(Scope::Process(second.pid()));
    assert_eq!(drops.count_ones(), 1);
}

fn rules(expression: &str) -> RuleSet {
    let text = format!(
        "rules:\n  - id: r\n    expression: {expression}\n    actions:\n      - network_filter: \
         {{filter: tcp, policy: drop, scope: process}}\n"
    );
    let source = Source {
        name: "x.policy".to_owned(),
        kind: "file",
        text: text.into_bytes(),
    };
    let options = Options {
        host: Host::default(),
        events: vec!["exec"],
        enforcement_disabled: false,
        enforcement_sources: Vec::new(),
    };
    RuleSet::load(&[source], &options, &Fields)
}

#[test]
fn filters_go_with_enforcement_and_with_a_rule_that_is_narrowed() {
    let sleeper = Sleeper::start();
    let mut actions = Actions::new(&Settings::empty(true));
    actions.use_packet_programs(Ok(Rc::new(PacketPrograms::testing(8))));
    let event = sleeper.event(5);
    let processes = ProcessCache::new(10);
    let moment = Moment {
        processes: &processes,
        protected: &[],
        now: 1,
        unix_now: 1,
    };
    let (broad, narrow) = (rules("exec.pid > 1"), rules("exec.pid > 2"));
    let enforce = |actions: &mut Actions| {
        actions.set_enforcement(true);
        actions.enforce(&broad.rules("exec")[0], &event, &event, &moment);
        assert_eq!(actions.drops(), (1, 1));
    };
    enforce(&mut actions);
    actions.follow(&rules("exec.pid > 1"));
    assert_eq!(actions.drops(), (1, 1));
    actions.follow(&narrow);
    assert_eq!(actions.drops(), (0, 0));
    enforce(&mut actions);
    actions.set_enforcement(false);
    assert_eq!(actions.drops(), (0, 0));
}
