use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;

/// A directory of its own for a test, removed at its end.
struct Scene(PathBuf);

impl Scene {
    fn new(name: &str) -> Scene {
        let path = std::env::temp_dir().join(format!("path-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("dir/sub")).unwrap();
        fs::write(path.join("dir/file"), "x").unwrap();
        symlink("dir", path.join("link")).unwrap();
        symlink("file", path.join("dir/alias")).unwrap();
        Scene(fs::canonicalize(path).unwrap())
    }

    fn path(&self, rest: &str) -> String {
        format!("{}{rest}", self.0.to_str().unwrap())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn names(path: &str) -> Vec<u8> {
    let mut names = Vec::new();
    for name in path.rsplit('/').filter(|name| !name.is_empty()) {
        names.extend_from_slice(name.as_bytes());
        names.push(0);
    }
    names
}

fn resolve(base: &str, how: u16, string: &str, caller: &Caller<'_>) -> File {
    let walked_names = names(base);
    let walked = WalkedPath {
        names: &walked_names,
        how,
    };
    let named = Named {
        block: None,
        walked: &walked,
        root: None,
        string: string.as_bytes(),
    };
    PathResolver::default().resolve(&named, caller)
}

fn own() -> Caller<'static> {
    Caller {
        pid: std::process::id(),
        mount_namespace: own_namespace(),
        neighbour: &|| None,
    }
}

const STRING: u16 = WalkedPath::FROM_STRING;
const KEEP: u16 = WalkedPath::FROM_STRING | WalkedPath::NO_FOLLOW;

#[test]
fn strings_are_resolved_from_their_base() {
    let scene = Scene::new("strings");
    let base = scene.path("");
    for (base, how, string, expected) in [
        (&*base, STRING, "dir/file", scene.path("/dir/file")),
        (&base, STRING, "link/file", scene.path("/dir/file")),
        (
            &base,
            STRING,
            "link/./sub/../alias",
            scene.path("/dir/file"),
        ),
        (&base, KEEP, "link/alias", scene.path("/dir/alias")),
        (&base, STRING, "dir/sub/", scene.path("/dir/sub")),
        (&base, STRING, ".", scene.path("")),
        (&base, STRING, "../../../../../../..", "/".to_owned()),
        (
            "/",
            STRING,
            &scene.path("/link/file"),
            scene.path("/dir/file"),
        ),
        (&base, STRING, "link/new", scene.path("/dir/new")),
        (&base, STRING, "link/new/", scene.path("/dir/new")),
    ] {
        let file = resolve(base, how, string, &own());
        assert_eq!((&*file.path, file.path_error), (&*expected, ""), "{string}");
        assert_eq!(file.source, PathSource::Resolved, "{string}");
        assert_eq!(file.known, !string.contains("new"), "{string}");
    }
}

#[test]
fn what_was_found_is_described() {
    let scene = Scene::new("described");
    let file = resolve(&scene.path(""), STRING, "dir/file", &own());
    let expected = fs::metadata(scene.path("/dir/file")).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!(file.inode, expected.ino());
    assert_eq!(u32::from(file.mode), expected.mode());
    assert_ne!(file.filesystem, "");
}

#[test]
fn a_caller_that_is_gone_is_replaced() {
    let scene = Scene::new("gone");
    let gone = Caller {
        pid: u32::MAX,
        ..own()
    };
    let file = resolve(&scene.path(""), STRING, "link/file", &gone);
    assert_eq!(file.path, scene.path("/dir/file"));
    let stranger = Caller {
        mount_namespace: 1,
        ..gone
    };
    let file = resolve(&scene.path(""), STRING, "link/../file", &stranger);
    assert_eq!(file.path, scene.path("/file"));
    assert_eq!(file.source, PathSource::Lexical);
    let neighbour = Caller {
        neighbour: &|| Some(std::process::id()),
        ..stranger
    };
    let file = resolve(&scene.path(""), STRING, "link/file", &neighbour);
    assert_eq!(file.path, scene.path("/dir/file"));
}

#[test]
fn a_chroot_stays_in_front_and_is_not_left() {
    let scene = Scene::new("chroot");
    symlink("/dir/file", scene.0.join("absolute")).unwrap();
    let gone = Caller {
        pid: u32::MAX,
        ..own()
    };
    for string in ["/dir/file", "/absolute", "/../../dir/file"] {
        let file = resolve(&scene.path(""), STRING, string, &gone);
        assert_eq!(file.path, scene.path("/dir/file"), "{string}");
    }
}

#[test]
fn handles_in_proc_are_the_callers() {
    let scene = Scene::new("handles");
    let directory = fs::File::open(scene.path("/dir")).unwrap();
    use std::os::fd::AsRawFd;
    let number = directory.as_raw_fd();
    for (string, expected) in [
        (format!("/proc/self/fd/{number}"), scene.path("/dir")),
        (format!("/dev/fd/{number}/alias"), scene.path("/dir/file")),
        (
            "/proc/self/root/proc/self/root/etc".to_owned(),
            "/etc".to_owned(),
        ),
    ] {
        let file = resolve("/", STRING, &string, &own());
        assert_eq!((&*file.path, file.known), (&*expected, true), "{string}");
    }
}

#[test]
fn self_means_the_caller() {
    let caller = Caller { pid: 1, ..own() };
    let file = resolve("/", STRING, "/proc/self/status", &caller);
    assert_eq!((&*file.path, file.known), ("/proc/1/status", false));
}

#[test]
fn an_unlinked_file_keeps_its_name() {
    let scene = Scene::new("unlinked");
    let path = scene.path("/dir/file");
    let file = fs::File::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    use std::os::fd::AsRawFd;
    let string = format!("/proc/self/fd/{}", file.as_raw_fd());
    let found = resolve("/", STRING, &string, &own());
    assert_eq!((&*found.path, found.links), (&*path, 0));
}

#[test]
fn walked_files_need_no_file_system() {
    let names = names("/a/b");
    let block = FileBlock {
        inode: 5,
        ..FileBlock::default()
    };
    for (how, block, expected, error) in [
        (0, Some(&block), "/a/b", ""),
        (WalkedPath::TRUNCATED, Some(&block), "/a/b", TRUNCATED),
        (WalkedPath::DETACHED, Some(&block), "/a/b", DETACHED),
        (STRING | WalkedPath::NO_STRING, None, "", UNREADABLE),
        (STRING | WalkedPath::TRUNCATED, None, "/a/b/x", TRUNCATED),
    ] {
        let walked = WalkedPath { names: &names, how };
        let named = Named {
            block,
            walked: &walked,
            root: None,
            string: b"x",
        };
        let file = PathResolver::default().resolve(&named, &own());
        assert_eq!((&*file.path, file.path_error), (expected, error), "{how}");
    }
    let nothing = Named {
        block: None,
        walked: &WalkedPath::default(),
        root: None,
        string: b"",
    };
    let file = PathResolver::default().resolve(&nothing, &own());
    assert_eq!((&*file.path, file.path_error), ("", NOT_AVAILABLE));
}

#[test]
fn paths_split_before_their_last_name() {
    for (path, expected) in [
        ("/a/b", Some(("/a/", "b"))),
        ("/a/b//", Some(("/a/", "b"))),
        ("b", Some(("/", "b"))),
        ("/a/..", None),
        ("/", None),
        ("", None),
    ] {
        let split = split(path.as_bytes());
        let expected =
            expected.map(|(parent, name): (&str, &str)| (parent.as_bytes(), name.as_bytes()));
        assert_eq!(split, expected, "{path}");
    }
}
