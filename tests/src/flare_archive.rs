//! Archives of flares, read by the tar and sha256sum commands: the path of one enters, what is in
//! it leaves, and whether it is what its manifest says.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::finished::{finish, Finished};
use crate::report::{ensure, Failure, Outcome};
use crate::scratch::{self, patience};

/// Seconds for one run of tar or sha256sum.
const SECONDS: u64 = 60;
const MANIFEST: &str = "manifest.json";
/// The owner may read and write it, nobody else anything.
const MODE: u32 = 0o600;

/// An archive that has been unpacked.
pub(crate) struct Archive {
    root: String,
    /// The unpacked root folder.
    directory: PathBuf,
    /// The files in it, below the root folder.
    files: Vec<String>,
}

impl Archive {
    /// Looks through an archive and unpacks it. Fails when tar complains, when an entry could be
    /// unpacked elsewhere or is neither file nor directory, when there is not one root folder, and
    /// when others may read the archive.
    pub(crate) fn open(path: &Path) -> Result<Archive, Failure> {
        let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
        ensure(mode == MODE, || format!("the archive has mode {mode:o}"))?;
        let text = path.to_string_lossy().into_owned();
        let root = expect_entries(&tar(&["-tzf", &text])?)?;
        expect_kinds(&tar(&["-tvzf", &text])?)?;
        let unpacked = scratch::directory("unpacked")?;
        tar(&["-xzf", &text, "-C", &unpacked.to_string_lossy()])?;
        let directory = unpacked.join(&root);
        let mut files = Vec::new();
        walk(&directory, &directory, &mut files)?;
        files.sort();
        for name in &files {
            let harmless = !name.contains('\\') && !name.chars().any(char::is_control);
            ensure(harmless, || format!("an entry is called {name:?}"))?;
        }
        Ok(Archive {
            root,
            directory,
            files,
        })
    }

    /// The folder that everything is in.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// The names of all files, below the root folder.
    pub(crate) fn files(&self) -> &[String] {
        &self.files
    }

    /// Whether it has this file.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.iter().any(|known| known == name)
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, name: &str) -> Result<Vec<u8>, Failure> {
        fs::read(self.directory.join(name))
            .map_err(|error| Failure::Failed(format!("{name} of the archive: {error}")))
    }

    /// The text of a file.
    pub(crate) fn text(&self, name: &str) -> Result<String, Failure> {
        Ok(String::from_utf8_lossy(&self.bytes(name)?).into_owned())
    }

    /// A file that is JSON.
    pub(crate) fn json(&self, name: &str) -> Result<Value, Failure> {
        serde_json::from_slice(&self.bytes(name)?)
            .map_err(|error| Failure::Failed(format!("{name} of the archive: {error}")))
    }

    /// Fails when a file is missing or empty.
    pub(crate) fn expect(&self, name: &str) -> Outcome {
        let size = self.bytes(name)?.len();
        ensure(size > 0, || format!("{name} of the archive is empty"))
    }

    /// What the manifest says of each file.
    pub(crate) fn manifest(&self) -> Result<BTreeMap<String, Value>, Failure> {
        let manifest = self.json(MANIFEST)?;
        let list = manifest["files"].as_array().ok_or("it lists no files")?;
        let mut entries = BTreeMap::new();
        for entry in list {
            let path = entry["path"].as_str().ok_or("an entry has no path")?;
            let twice = entries.insert(path.to_owned(), entry.clone()).is_some();
            ensure(!twice, || format!("{path} is twice in the manifest"))?;
        }
        Ok(entries)
    }

    /// Fails unless the manifest tells size and SHA-256 of every file but itself, and of no other.
    pub(crate) fn expect_manifest(&self) -> Outcome {
        let entries = self.manifest()?;
        let files = self.files.iter().filter(|name| *name != MANIFEST);
        let files: Vec<&String> = files.collect();
        ensure(entries.keys().eq(files.iter().copied()), || {
            format!(
                "the manifest lists {:?}, there are {files:?}",
                entries.keys()
            )
        })?;
        let mut command = Command::new("sha256sum");
        command.current_dir(&self.directory).arg("--").args(&files);
        let done = expect_success(command)?;
        for line in done.stdout.lines() {
            let (sum, name) = line.split_once("  ").ok_or_else(|| line.to_owned())?;
            let size = fs::metadata(self.directory.join(name))?.len();
            let entry = entries.get(name).ok_or_else(|| line.to_owned())?;
            let right =
                entry["sha256"] == sum && entry["bytes"] == size && entry["replacements"].is_u64();
            ensure(right, || {
                format!("{name} has {size} bytes and {sum}, not {entry}")
            })?;
        }
        ensure(done.stdout.lines().count() == files.len(), || done.said())
    }
}

/// Runs tar, which must not complain.
fn tar(arguments: &[&str]) -> Result<Finished, Failure> {
    let mut command = Command::new("tar");
    command.args(arguments);
    expect_success(command)
}

fn expect_success(command: Command) -> Result<Finished, Failure> {
    let done = finish(command, patience(SECONDS))?;
    ensure(done.code == Some(0) && done.stderr.is_empty(), || {
        let stderr: String = done.stderr.chars().take(1000).collect();
        format!("code {:?}: {stderr}", done.code)
    })?;
    Ok(done)
}

/// The one root folder of a listing. tar writes what is no printable character with a backslash.
fn expect_entries(listing: &Finished) -> Result<String, Failure> {
    let mut root = None;
    for line in listing.stdout.lines() {
        let mut parts = Path::new(line).components();
        let Some(Component::Normal(first)) = parts.next() else {
            return Err(Failure::Failed(format!("an entry is {line:?}")));
        };
        let below = parts.all(|part| matches!(part, Component::Normal(_)));
        let first = first.to_string_lossy().into_owned();
        let same = root.get_or_insert_with(|| first.clone()) == &first;
        ensure(below && same && !line.contains('\\'), || {
            format!("an entry is {line:?}, the root is {root:?}")
        })?;
    }
    root.ok_or_else(|| Failure::Failed("the archive is empty".to_owned()))
}

fn expect_kinds(listing: &Finished) -> Outcome {
    let mut lines = listing.stdout.lines();
    let odd = lines.find(|line| !line.starts_with(['-', 'd']));
    ensure(odd.is_none(), || format!("an entry is {odd:?}"))
}

/// The files below a directory, as paths from `top`.
fn walk(top: &Path, directory: &Path, files: &mut Vec<String>) -> Outcome {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(top, &path, files)?;
        } else {
            let below = path.strip_prefix(top)?;
            files.push(below.to_string_lossy().into_owned());
        }
    }
    Ok(())
}
