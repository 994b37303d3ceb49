//! Names of users and groups.
//!
//! Read from the host's `/etc/passwd` and `/etc/group` without NSS, which no static binary can load. The
//! files are looked at again at most once per second and read again when they have changed;
//! what leaves is a shared table that events keep, so that looking a name up costs no copy.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::event::Names;
use crate::sys::files::{metadata_of, read_limited, Metadata};
use crate::sys::host::file;

/// The longest file that is read, in bytes.
const MAX_FILE: usize = 4 << 20;
/// The most names that are kept of one file.
const MAX_NAMES: usize = 65_536;
/// How long the files are trusted, in nanoseconds.
const TRUST: u64 = 1_000_000_000;

/// The table of names and when it was made.
#[derive(Debug)]
pub struct Users {
    passwd: PathBuf,
    group: PathBuf,
    stamps: [Option<Metadata>; 2],
    checked: Option<u64>,
    names: Rc<Names>,
}

impl Default for Users {
    fn default() -> Users {
        Users::new(file("/etc/passwd"), file("/etc/group"))
    }
}

impl Users {
    /// A table of these two files, read at first use.
    pub fn new(passwd: PathBuf, group: PathBuf) -> Users {
        Users {
            passwd,
            group,
            stamps: [None; 2],
            checked: None,
            names: Rc::default(),
        }
    }

    /// The names at this monotonic time in nanoseconds.
    pub fn names(&mut self, now: u64) -> Rc<Names> {
        let due = self
            .checked
            .is_none_or(|checked| now.saturating_sub(checked) >= TRUST);
        if due {
            let stamps = [
                metadata_of(&self.passwd).ok(),
                metadata_of(&self.group).ok(),
            ];
            if self.checked.is_none() || stamps != self.stamps {
                self.names = Rc::new(Names {
                    users: read(&self.passwd),
                    groups: read(&self.group),
                });
                self.stamps = stamps;
            }
            self.checked = Some(now);
        }
        Rc::clone(&self.names)
    }
}

/// The names of one file; one that cannot be read has none.
fn read(path: &Path) -> HashMap<u32, String> {
    let bytes = read_limited(path, MAX_FILE).unwrap_or_default();
    parse(&String::from_utf8_lossy(&bytes))
}

/// Lines of `name:password:id:…`, the form that both files share. The first name of an id wins,
/// as in the C library.
fn parse(text: &str) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in text.lines().take(MAX_NAMES) {
        let mut fields = line.split(':');
        let name = fields.next().unwrap_or("");
        if let Some(Ok(id)) = fields.nth(1).map(str::parse) {
            names.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_parsed() {
        let names = parse("root:x:0:0::/root:/bin/sh\ntoor:x:0:0\n+nis\n#c:x:y\nann:x:1000:1000\n");
        assert_eq!(names.len(), 2);
        assert_eq!(names.get(&0).unwrap(), "root");
        assert_eq!(names.get(&1000).unwrap(), "ann");
    }

    #[test]
    fn a_change_is_seen_after_a_second() {
        let base = std::env::temp_dir().join(format!("users-test-{}", std::process::id()));
        std::fs::create_dir_all(&base).unwrap();
        let (passwd, group) = (base.join("passwd"), base.join("group"));
        std::fs::write(&passwd, "ann:x:1000:1000\n").unwrap();
        let mut users = Users::new(passwd.clone(), group.clone());
        assert_eq!(users.names(0).user(1000), "ann");
        assert_eq!(users.names(0).group(42), "");
        std::fs::write(&passwd, "bob:x:1000:1000:::\n").unwrap();
        std::fs::write(&group, "shadow:x:42:\n").unwrap();
        assert_eq!(users.names(TRUST - 1).user(1000), "ann");
        let names = users.names(TRUST);
        assert_eq!((names.user(1000), names.group(42)), ("bob", "shadow"));
        assert!(Rc::ptr_eq(&names, &users.names(5 * TRUST)));
        std::fs::remove_dir_all(&base).unwrap();
    }
}
