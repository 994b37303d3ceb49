//! Cgroups: which one a process is in, who made it, and the container that it stands for.
//!
//! `/proc/<pid>/cgroup` and the paths in the probes' records enter, shared [`Cgroup`]s leave.
//! Hosts have one hierarchy (v2), many (v1) or both; the line that names a container is the one
//! that counts.

use std::collections::HashMap;
use std::rc::Rc;

use crate::event::Cgroup;
use crate::sys::files::{metadata_of, read_limited};
use crate::sys::host;

/// More than any `/proc/<pid>/cgroup` has.
const MAX_FILE: usize = 64 * 1024;
/// The most cgroups that are shared; unused ones are forgotten beyond it.
const MAX_SHARED: usize = 4_096;
/// Length of a container id of most runtimes, in hexadecimal digits.
const ID_DIGITS: usize = 64;
/// Length of the first part of a container id of ECS.
const TASK_DIGITS: usize = 32;
/// Lengths of the parts of a container id of Garden.
const GARDEN_PARTS: [usize; 5] = [8, 4, 4, 4, 4];

/// Words in the path of a container's cgroup, and the runtime that they tell of.
const MANAGERS: &[(&str, &str)] = &[
    ("libpod", "podman"),
    ("docker", "docker"),
    ("cri-containerd", "containerd"),
    ("containerd", "containerd"),
    ("crio", "cri-o"),
    ("lxc", "lxc"),
    ("ecs", "ecs"),
    ("garden", "garden"),
];

/// The cgroup that a path names, in a hierarchy of this version.
pub fn from_path(path: &str, version: u8) -> Cgroup {
    let container_id = container_id(path);
    Cgroup {
        manager: manager(path, container_id),
        container_id: container_id.to_owned(),
        path: path.to_owned(),
        version,
        ..Cgroup::default()
    }
}

/// The cgroup that `/proc/<pid>/cgroup` tells of: the line with a container id if there is one,
/// else systemd's, else the first.
pub fn parse(text: &str) -> Cgroup {
    let lines = || text.lines().filter_map(Line::parse);
    let container = lines().find(|line| !container_id(line.path).is_empty());
    let chosen = container
        .or_else(|| lines().find(|line| line.is_systemd() && line.path != "/"))
        .or_else(|| lines().find(|line| line.version == 2))
        .or_else(|| lines().next());
    chosen.map_or_else(Cgroup::default, |line| from_path(line.path, line.version))
}

/// The cgroup of a living process.
pub fn read(pid: u32) -> Option<Cgroup> {
    let bytes = read_limited(&host::process(pid, "cgroup"), MAX_FILE).ok()?;
    let mut cgroup = parse(&String::from_utf8_lossy(&bytes));
    if cgroup.version == 2 {
        cgroup.inode = directory_inode(&cgroup.path);
    }
    Some(cgroup)
}

/// The inode of a cgroup's directory in the unified hierarchy, which is also its id; 0 when it
/// cannot be seen from here.
fn directory_inode(path: &str) -> u64 {
    if path.split('/').any(|part| part == "..") {
        return 0;
    }
    ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
        .iter()
        .find_map(|mount| metadata_of(&host::file(&format!("{mount}{path}"))).ok())
        .map_or(0, |metadata| metadata.inode)
}

struct Line<'a> {
    controllers: &'a str,
    path: &'a str,
    version: u8,
}

impl<'a> Line<'a> {
    /// `hierarchy:controllers:path`
    fn parse(line: &'a str) -> Option<Line<'a>> {
        let mut fields = line.splitn(3, ':');
        let (hierarchy, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let version = if hierarchy == "0" { 2 } else { 1 };
        Some(Line {
            controllers,
            path,
            version,
        })
    }

    fn is_systemd(&self) -> bool {
        self.version == 2 || self.controllers == "name=systemd"
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The container id in a path: that of the innermost container; empty without one.
fn container_id(path: &str) -> &str {
    path.rsplit('/').find_map(id_of_component).unwrap_or("")
}

/// The container id in one component: `<id>`, `docker-<id>.scope` and the like.
fn id_of_component(component: &str) -> Option<&str> {
    let long = component
        .split(|c: char| !c.is_ascii_hexdigit())
        .find(|run| run.len() == ID_DIGITS);
    long.or_else(|| is_task_id(component).then_some(component))
        .or_else(|| is_garden_id(component).then_some(component))
}

/// 32 hexadecimal digits, a hyphen, decimal digits.
fn is_task_id(component: &str) -> bool {
    component.split_once('-').is_some_and(|(task, number)| {
        let decimal = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        task.len() == TASK_DIGITS && is_hex(task) && decimal
    })
}

fn is_garden_id(component: &str) -> bool {
    let mut parts = component.split('-');
    let fits = |size: usize| {
        parts
            .next()
            .is_some_and(|part| part.len() == size && is_hex(part))
    };
    GARDEN_PARTS.into_iter().all(fits) && parts.next().is_none()
}

/// Who made a cgroup, by the words in its path.
fn manager(path: &str, container_id: &str) -> &'static str {
    if !container_id.is_empty() {
        let known = MANAGERS.iter().find(|(word, _)| path.contains(word));
        if let Some((_, name)) = known {
            return name;
        }
        if path.contains("kubepods") {
            return "containerd";
        }
    } else if path.split('/').any(|part| part.starts_with("lxc")) {
        return "lxc";
    }
    let units = [".service", ".scope", ".slice"];
    let is_unit = path
        .split('/')
        .any(|part| units.iter().any(|unit| part.ends_with(unit)));
    if is_unit {
        "systemd"
    } else {
        ""
    }
}

/// Cgroups that processes share.
#[derive(Debug, Default)]
pub struct Cgroups {
    by_path: HashMap<String, Rc<Cgroup>>,
}

impl Cgroups {
    /// The shared copy of a cgroup. One that is new, or that was removed and made again under
    /// its old name, counts as created at `seen` (nanoseconds since the epoch).
    pub fn share(&mut self, cgroup: Cgroup, seen: u64) -> Rc<Cgroup> {
        if let Some(known) = self.by_path.get(&cgroup.path) {
            let same = cgroup.inode == 0 || known.inode == 0 || cgroup.inode == known.inode;
            if same && known.version == cgroup.version {
                return Rc::clone(known);
            }
        }
        if self.by_path.len() >= MAX_SHARED {
            self.by_path
                .retain(|_, cgroup| Rc::strong_count(cgroup) > 1);
        }
        let shared = Rc::new(Cgroup {
            created: seen,
            ..cgroup
        });
        if self.by_path.len() < MAX_SHARED {
            self.by_path.insert(shared.path.clone(), Rc::clone(&shared));
        }
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a";

    #[test]
    fn containers_and_managers() {
        let task = "0123456789abcdef0123456789abcdef-42";
        let garden = "01234567-89ab-cdef-0123-4567";
        for (path, id, manager) in [
            ("/", "", ""),
            ("/system.slice/ssh.service", "", "systemd"),
            ("/user.slice/user-0.slice/session-1.scope", "", "systemd"),
            ("/lxc.payload.web/init", "", "lxc"),
            (&format!("/docker/{ID}"), ID, "docker"),
            (
                &format!("/docker/{ID}/system.slice/x.service"),
                ID,
                "docker",
            ),
            (&format!("/system.slice/docker-{ID}.scope"), ID, "docker"),
            (
                &format!("/machine.slice/libpod-{ID}.scope/container"),
                ID,
                "podman",
            ),
            (&format!("/kubepods/burstable/pod1/{ID}"), ID, "containerd"),
            (
                &format!("/kubepods.slice/x/cri-containerd-{ID}.scope"),
                ID,
                "containerd",
            ),
            (&format!("/kubepods.slice/x/crio-{ID}.scope"), ID, "cri-o"),
            (&format!("/ecs/{task}"), task, "ecs"),
            (&format!("/garden/{garden}"), garden, "garden"),
            (&format!("/x/{ID}0"), "", ""),
            ("/x/01234567-89ab-cdef-0123-4567-89", "", ""),
        ] {
            let cgroup = from_path(path, 2);
            assert_eq!(
                (&*cgroup.container_id, cgroup.manager),
                (id, manager),
                "{path}"
            );
        }
    }

    #[test]
    fn the_innermost_container_counts() {
        let inner = ID.replace('3', "4");
        let path = format!("/docker/{ID}/kubepods/pod1/{inner}");
        assert_eq!(from_path(&path, 2).container_id, inner);
    }

    #[test]
    fn the_line_with_a_container_is_chosen() {
        for (text, path, version) in [
            ("0::/user.slice\n", "/user.slice", 2),
            ("3:cpu:/a\n1:name=systemd:/b.scope\n0::/\n", "/b.scope", 1),
            ("3:cpu:/a\n0::/\n", "/", 2),
            ("3:cpu:/a\n", "/a", 1),
            (
                &format!("3:cpu:/docker/{ID}\n0::/x.slice\n"),
                &format!("/docker/{ID}"),
                1,
            ),
            ("", "", 0),
            ("nonsense", "", 0),
        ] {
            let cgroup = parse(text);
            assert_eq!((&*cgroup.path, cgroup.version), (path, version), "{text}");
        }
    }

    #[test]
    fn cgroups_are_shared_until_made_again() {
        let mut cgroups = Cgroups::default();
        let first = cgroups.share(
            Cgroup {
                inode: 5,
                ..from_path("/a", 2)
            },
            100,
        );
        let second = cgroups.share(from_path("/a", 2), 200);
        assert!(Rc::ptr_eq(&first, &second));
        let third = cgroups.share(
            Cgroup {
                inode: 6,
                ..from_path("/a", 2)
            },
            300,
        );
        assert_eq!((first.created, third.created), (100, 300));
        for number in 0..2 * MAX_SHARED {
            cgroups.share(from_path(&format!("/{number}"), 2), 1);
        }
        assert!(cgroups.by_path.len() <= MAX_SHARED);
    }

    #[test]
    fn our_own_cgroup_can_be_read() {
        assert!(read(std::process::id()).is_some());
        assert!(read(u32::MAX).is_none());
    }
}
