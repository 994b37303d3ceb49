//! The situations that a path is tested in: where a file lies, how a caller names it, and what its
//! real path is.
//!
//! Each situation makes a file of a given name below a directory of its own and tells the tool how
//! to prepare and what to pass. The real path is the runner's own view of it (realpath(3)), taken
//! before the call; the agent has no part in it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::namespace;
use crate::report::{Failure, Outcome};

/// Longest name of a file.
const NAME_LENGTH: usize = 255;
/// Directories above the file in the deep situation.
const DEPTH: usize = 40;
/// The descriptor that a directory is prepared as.
const DIRECTORY_DESCRIPTOR: &str = "7";

/// Where a file is and how it is named in the call.
pub(crate) struct Place {
    /// Options for the tool.
    pub(crate) options: Vec<OsString>,
    /// The directory descriptor of the `*at` calls.
    pub(crate) dirfd: &'static str,
    /// The path as the call gets it.
    pub(crate) given: PathBuf,
    /// The path as the runner sees it.
    pub(crate) outside: PathBuf,
    /// Whether the file is a directory that will be gone when the call is made.
    pub(crate) is_directory: bool,
}

impl Place {
    fn new(given: impl Into<PathBuf>, outside: PathBuf) -> Place {
        let (given, options) = (given.into(), Vec::new());
        Place {
            options,
            dirfd: "AT_FDCWD",
            given,
            outside,
            is_directory: false,
        }
    }

    fn option(mut self, name: &str, value: impl Into<OsString>) -> Place {
        self.options.push(OsString::from(name));
        self.options.push(value.into());
        self
    }

    fn open_directory(mut self, path: &Path) -> Place {
        self.dirfd = DIRECTORY_DESCRIPTOR;
        let mut value = path.as_os_str().to_owned();
        value.push(format!(":{DIRECTORY_DESCRIPTOR}"));
        self.option("--open", value)
    }
}

/// A way to name a file.
pub(crate) struct Situation {
    /// Its name, also part of the tests' names.
    pub(crate) name: &'static str,
    /// Mounts what it needs into the directory, given the names of all files to come; the calls
    /// are then made in a mount namespace of their own.
    pub(crate) mount: Option<fn(&Path, &[String]) -> Outcome>,
    /// Makes a file of this name in the directory.
    pub(crate) build: fn(&Path, &str) -> io::Result<Place>,
    /// Only for calls that take a directory descriptor.
    pub(crate) only_at: bool,
    /// The caller lives until its event has come: what its /proc means is lost with it.
    pub(crate) stays: bool,
    /// The caller's root is another one, so what it sees in its /proc is no oracle.
    pub(crate) own_root: bool,
}

const fn plain(name: &'static str, build: fn(&Path, &str) -> io::Result<Place>) -> Situation {
    Situation {
        name,
        mount: None,
        build,
        only_at: false,
        stays: false,
        own_root: false,
    }
}

const fn mounted(
    name: &'static str,
    mount: fn(&Path, &[String]) -> Outcome,
    build: fn(&Path, &str) -> io::Result<Place>,
) -> Situation {
    Situation {
        name,
        mount: Some(mount),
        build,
        only_at: false,
        stays: false,
        own_root: false,
    }
}

/// Every situation.
pub(crate) const SITUATIONS: &[Situation] = &[
    plain("absolute", absolute),
    plain("slashes", slashes),
    plain("relative", relative),
    plain("dotdot", dotdot),
    Situation {
        only_at: true,
        ..plain("dirfd", dirfd)
    },
    Situation {
        only_at: true,
        ..plain("dirfd_dotdot", dirfd_dotdot)
    },
    plain("linked_directory", linked_directory),
    plain("dotdot_after_link", dotdot_after_link),
    plain("final_link", final_link),
    plain("deleted_cwd", deleted_cwd),
    plain("deleted_directory", deleted_directory),
    plain("long_name", long_name),
    plain("deep", deep),
    plain("odd_names", odd_names),
    Situation {
        stays: true,
        ..plain("by_proc", by_proc)
    },
    Situation {
        own_root: true,
        ..plain("chroot", chroot)
    },
    Situation {
        own_root: true,
        ..plain("chroot_relative", chroot_relative)
    },
    Situation {
        own_root: true,
        ..plain("chroot_link", chroot_link)
    },
    mounted("overlay", mount_overlay, overlay),
    mounted("bind", mount_bind, bind),
    mounted("tmpfs", mount_tmpfs, tmpfs),
    mounted("tmpfs_link", mount_tmpfs, tmpfs_link),
];

fn touch(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, "e2e\n")
}

fn absolute(base: &Path, name: &str) -> io::Result<Place> {
    let path = base.join(name);
    touch(&path)?;
    Ok(Place::new(path.clone(), path))
}

fn slashes(base: &Path, name: &str) -> io::Result<Place> {
    let path = base.join("sub").join(name);
    touch(&path)?;
    let given = format!("/{}/./sub//.///{name}", base.display());
    Ok(Place::new(given, path))
}

fn relative(base: &Path, name: &str) -> io::Result<Place> {
    let path = base.join(name);
    touch(&path)?;
    Ok(Place::new(name, path).option("--cwd", base))
}

fn dotdot(base: &Path, name: &str) -> io::Result<Place> {
    let path = base.join("a").join(name);
    touch(&path)?;
    fs::create_dir_all(base.join("a/b/c"))?;
    let given = format!("../../b/../../a/./{name}");
    Ok(Place::new(given, path).option("--cwd", base.join("a/b/c")))
}

fn dirfd(base: &Path, name: &str) -> io::Result<Place> {
    let path = base.join("sub").join(name);
    touch(&path)?;
    Ok(Place::new(format!("sub/{name}"), path).open_directory(base))
}

fn dirfd_dotdot(base: &Path, name: &str) -> io::Result<Place> {
    let path = base.join(name);
    touch(&path)?;
    fs::create_dir_all(base.join("sub/deeper"))?;
    Ok(Place::new(format!("../../{name}"), path).open_directory(&base.join("sub/deeper")))
}

/// `link` leads to `hop`, which leads to `real/deep`.
fn make_links(base: &Path) -> io::Result<PathBuf> {
    let real = base.join("real/deep");
    if !real.exists() {
        fs::create_dir_all(&real)?;
        symlink("real/deep", base.join("hop"))?;
        symlink(base.join("hop"), base.join("link"))?;
    }
    Ok(real)
}

fn linked_directory(base: &Path, name: &str) -> io::Result<Place> {
    let path = make_links(base)?.join(name);
    touch(&path)?;
    Ok(Place::new(base.join("link").join(name), path))
}

/// `link/..` is the parent of what the link leads to, not of the link.
fn dotdot_after_link(base: &Path, name: &str) -> io::Result<Place> {
    make_links(base)?;
    let path = base.join("real").join(name);
    touch(&path)?;
    Ok(Place::new(format!("link/../{name}"), path).option("--cwd", base))
}

fn final_link(base: &Path, name: &str) -> io::Result<Place> {
    let link = base.join("links").join(name);
    touch(&base.join("targets").join(name))?;
    fs::create_dir_all(base.join("links"))?;
    symlink(format!("../targets/{name}"), &link)?;
    Ok(Place::new(link.clone(), link))
}

fn deleted_cwd(base: &Path, name: &str) -> io::Result<Place> {
    let path = base.join(name);
    touch(&path)?;
    let gone = base.join(format!("gone-{name}"));
    fs::create_dir(&gone)?;
    let place = Place::new(format!("../{name}"), path);
    Ok(place.option("--cwd", gone.clone()).option("--rmdir", gone))
}

/// The file is the working directory itself, which is deleted.
fn deleted_directory(base: &Path, name: &str) -> io::Result<Place> {
    let gone = base.join(name);
    fs::create_dir(&gone)?;
    let mut place = Place::new(".", gone.clone());
    place.is_directory = true;
    Ok(place.option("--cwd", gone.clone()).option("--rmdir", gone))
}

fn long_name(base: &Path, name: &str) -> io::Result<Place> {
    let fill = "n".repeat(NAME_LENGTH.saturating_sub(name.len()));
    absolute(base, &format!("{name}{fill}"))
}

fn deep(base: &Path, name: &str) -> io::Result<Place> {
    let mut path = base.to_owned();
    for level in 0..DEPTH {
        path.push(format!("level-{level}"));
    }
    absolute(&path, name)
}

fn odd_names(base: &Path, name: &str) -> io::Result<Place> {
    let directory =
        base.join("sp ace \"quoted\" back\\slash tab\t line\nbreak \u{e9}\u{1f980} \u{1b}[0m");
    absolute(&directory, name)
}

fn by_proc(base: &Path, name: &str) -> io::Result<Place> {
    let path = base.join("sub").join(name);
    touch(&path)?;
    Ok(Place::new(format!("/proc/self/cwd/sub/{name}"), path).option("--cwd", base))
}

fn chroot(base: &Path, name: &str) -> io::Result<Place> {
    let path = base.join("dir").join(name);
    touch(&path)?;
    let place = Place::new(format!("/../../dir/{name}"), path);
    Ok(place.option("--chroot", base).option("--cwd", "/"))
}

fn chroot_relative(base: &Path, name: &str) -> io::Result<Place> {
    let path = base.join("dir").join(name);
    touch(&path)?;
    let place = Place::new(format!("../../../dir/{name}"), path);
    Ok(place.option("--chroot", base).option("--cwd", "/dir"))
}

/// An absolute link inside a chroot leads somewhere else than outside of it.
fn chroot_link(base: &Path, name: &str) -> io::Result<Place> {
    let path = base.join("dir").join(name);
    touch(&path)?;
    let link = base.join("link");
    if link.symlink_metadata().is_err() {
        symlink("/dir", link)?;
    }
    let place = Place::new(format!("/link/{name}"), path);
    Ok(place.option("--chroot", base).option("--cwd", "/"))
}

fn overlay(base: &Path, name: &str) -> io::Result<Place> {
    let path = base.join("merged/sub").join(name);
    Ok(Place::new(path.clone(), path))
}

/// The files are in the lower layer, so that whoever changes one makes a copy of it.
fn mount_overlay(base: &Path, names: &[String]) -> Outcome {
    let [lower, upper, work, merged] =
        ["lower", "upper", "work", "merged"].map(|name| base.join(name));
    for directory in [&lower, &upper, &work, &merged] {
        fs::create_dir_all(directory)?;
    }
    for name in names {
        touch(&lower.join("sub").join(name))?;
    }
    namespace::mount_overlay(&lower, &upper, &work, &merged).map_err(|error| match error {
        nix::errno::Errno::ENODEV if crate::scratch::in_vm() => {
            Failure::NotApplicable("this kernel has no overlay file system".to_owned())
        }
        nix::errno::Errno::ENODEV => Failure::Skipped(
            "the overlay file system is missing: load the module overlay".to_owned(),
        ),
        error => Failure::from(format!("mounting an overlay: {error}")),
    })
}

/// The file is made where it comes from and named where it is bound.
fn bind(base: &Path, name: &str) -> io::Result<Place> {
    touch(&base.join("source/sub").join(name))?;
    let path = base.join("bound/sub").join(name);
    Ok(Place::new(path.clone(), path))
}

fn mount_bind(base: &Path, _: &[String]) -> Outcome {
    let (source, bound) = (base.join("source"), base.join("bound"));
    fs::create_dir_all(&source)?;
    fs::create_dir_all(&bound)?;
    Ok(namespace::mount_bind(&source, &bound)?)
}

fn tmpfs(base: &Path, name: &str) -> io::Result<Place> {
    let place = absolute(&base.join("mounted/sub"), name)?;
    Ok(Place {
        given: PathBuf::from(format!("sub/{name}")),
        ..place
    }
    .option("--cwd", base.join("mounted")))
}

fn tmpfs_link(base: &Path, name: &str) -> io::Result<Place> {
    linked_directory(&base.join("mounted"), name)
}

fn mount_tmpfs(base: &Path, _: &[String]) -> Outcome {
    let at = base.join("mounted");
    fs::create_dir_all(&at)?;
    Ok(namespace::mount_tmpfs(&at, "size=1m,mode=0755")?)
}
