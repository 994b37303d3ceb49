//! Directories of the agent's own, and the group that may use them.
//!
//! A path enters; what is missing of it is made with mode 0750 and given to the agent's group.
//! Directories that exist are left as they are, unless [`narrow`] is asked.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{
    fchown, lchown, DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt,
};
use std::path::Path;

/// The group whose members may talk to the agent.
pub const AGENT_GROUP: &str = "dd-agent";

/// Largest `/etc/group` that is read, in bytes.
const GROUP_FILE_LIMIT: u64 = 1024 * 1024;

/// Directories that all programs share, whoever owns them.
const SHARED: [&str; 5] = ["/tmp", "/var/tmp", "/run", "/var/run", "/dev/shm"];

/// Makes the directory and its missing parents, mode 0750, for the agent's group where there is
/// one. Fails as mkdir(2) does, and with `NotADirectory` when something else has the name.
pub fn make(path: &Path) -> io::Result<()> {
    if fs::metadata(path)
        .map(|found| found.is_dir())
        .unwrap_or(false)
    {
        return Ok(());
    }
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        make(parent)?;
    }
    match DirBuilder::new().mode(0o750).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return match fs::metadata(path)?.is_dir() {
                true => Ok(()),
                false => Err(io::Error::from(io::ErrorKind::NotADirectory)),
            };
        }
        Err(error) => return Err(error),
    }
    give_to_group(path, agent_group());
    Ok(())
}

/// Gives a directory mode 0750 where [`weakness`] would complain of it and nobody else uses it: volumes
/// of Kubernetes can be written by everyone when a pod starts. Nothing below it is changed.
pub fn narrow(path: &Path) {
    if weakness(path).is_none() || SHARED.iter().any(|shared| path == Path::new(shared)) {
        return;
    }
    match narrow_own(path) {
        Ok(true) => log::info!("{} has mode 0750 now", path.display()),
        Ok(false) => {}
        Err(error) => log::debug!("the mode of {} stays: {error}", path.display()),
    }
}

/// A directory counts as used by us alone when it and all in it belong to us and it has no sticky
/// bit, which says that it is meant for many. It is changed through its descriptor, so that no
/// link leads elsewhere.
fn narrow_own(path: &Path) -> io::Result<bool> {
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(path)?;
    let found = directory.metadata()?;
    let own = nix::unistd::geteuid().as_raw();
    if found.uid() != own || found.mode() & libc::S_ISVTX != 0 {
        return Ok(false);
    }
    for entry in fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))? {
        if entry?.metadata()?.uid() != own {
            return Ok(false);
        }
    }
    directory.set_permissions(Permissions::from_mode(0o750))?;
    if let Some(group) = agent_group() {
        let _ = fchown(&directory, None, Some(group));
    }
    Ok(true)
}

/// Why files of the agent are not safe in this directory, as a sentence: somebody other than root,
/// us and the agent's group can replace them. `None` when they are safe.
pub fn weakness(path: &Path) -> Option<String> {
    let found = fs::metadata(path).ok()?;
    let own = nix::unistd::geteuid().as_raw();
    let name = path.display();
    if found.uid() != 0 && found.uid() != own {
        let owner = found.uid();
        return Some(format!(
            "{name} belongs to user {owner}, who can replace the agent's sockets and files; \
             give it to root or choose another run_path"
        ));
    }
    let by_group = found.mode() & 0o020 != 0 && agent_group() != Some(found.gid());
    let who = match found.mode() & 0o002 != 0 {
        true => "every user",
        false if by_group => "its group",
        false => return None,
    };
    Some(format!(
        "{name} can be written by {who}, who can replace the agent's sockets and files; \
         set its mode to 0750 or choose another run_path"
    ))
}

/// Hands a file of ours to a group; a process that may not do so leaves it to its own group,
/// which only narrows who can use it.
pub fn give_to_group(path: &Path, group: Option<u32>) {
    if let Some(group) = group {
        if let Err(error) = lchown(path, None, Some(group)) {
            log::debug!("{} stays with its group: {error}", path.display());
        }
    }
}

/// The id of [`AGENT_GROUP`], read from `/etc/group`; `None` without one.
///
/// The file is read here, because the C library would ask a name service, which may not answer.
pub fn agent_group() -> Option<u32> {
    let mut text = String::new();
    let file = File::open("/etc/group").ok()?;
    file.take(GROUP_FILE_LIMIT).read_to_string(&mut text).ok()?;
    group_in(&text, AGENT_GROUP)
}

fn group_in(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut parts = line.split(':');
        let found = parts.next() == Some(name);
        let id = parts.nth(1)?;
        found.then(|| id.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_parents_are_made_for_the_group_only() {
        let base = std::env::temp_dir().join(format!("directory-test-{}", std::process::id()));
        let path = base.join("a/b");
        make(&path).unwrap();
        make(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o027, 0);
        fs::write(path.join("file"), "").unwrap();
        assert!(make(&path.join("file")).is_err());
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn a_directory_that_others_can_write_is_named() {
        let path = std::env::temp_dir().join(format!("directory-mode-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        for (mode, word) in [
            (0o750, None),
            (0o757, Some("every user")),
            (0o1777, Some("every")),
        ] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let sentence = weakness(&path);
            let is_right = match (&sentence, word) {
                (Some(sentence), Some(word)) => sentence.contains(word),
                (found, expected) => found.is_none() && expected.is_none(),
            };
            assert!(is_right, "{mode:o}: {sentence:?}");
        }
        fs::remove_dir(&path).unwrap();
    }

    #[test]
    fn only_what_is_used_by_us_alone_is_narrowed() {
        let base = std::env::temp_dir().join(format!("directory-narrow-{}", std::process::id()));
        fs::create_dir_all(base.join("volume/below")).unwrap();
        let (volume, link) = (base.join("volume"), base.join("link"));
        std::os::unix::fs::symlink(&volume, &link).unwrap();
        let mode_after = |path: &Path, mode| {
            fs::set_permissions(&volume, Permissions::from_mode(mode)).unwrap();
            narrow(path);
            fs::metadata(&volume).unwrap().mode() & 0o7777
        };
        assert_eq!(mode_after(&volume, 0o777), 0o750);
        assert_eq!(mode_after(&volume, 0o2777), 0o750);
        assert_eq!(mode_after(&volume, 0o755), 0o755);
        assert_eq!(mode_after(&volume, 0o1777), 0o1777);
        assert_eq!(mode_after(&link, 0o777), 0o777);
        // Only root can give files away.
        if nix::unistd::geteuid().is_root() {
            lchown(volume.join("below"), Some(65_534), None).unwrap();
            assert_eq!(mode_after(&volume, 0o777), 0o777);
        }
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn the_group_is_found_by_its_whole_name() {
        let text = "root:x:0:\ndd-agent-x:x:5:\ndd-agent:x:977:a,b\nbroken\n";
        assert_eq!(group_in(text, "dd-agent"), Some(977));
        assert_eq!(group_in(text, "broken"), None);
        assert_eq!(group_in("dd-agent:x:many:", "dd-agent"), None);
    }
}
