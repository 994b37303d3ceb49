//! `kube render` and `kube install-seccomp`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use super::exit::Exit;
use super::flags::{IMAGE, NAMESPACE, SECCOMP, VALUES};
use super::parse::Arguments;
use super::{print, settings};
use crate::config::keys;
use crate::kube::render::{self, Options};

/// Bytes of a file of values; those of the largest charts have a tenth of it.
const MAX_FILE: u64 = 1 << 20;
/// What the profile is called when nobody says.
const PROFILE: &str = "system-probe";

/// Prints manifests.
pub fn render(arguments: &Arguments) -> Exit {
    let rest = arguments.texts(&VALUES);
    let [file] = rest.as_slice() else {
        print::error(&"name one file of values, or a DatadogAgent resource; - for standard input");
        return Exit::Usage;
    };
    let text = match read(file) {
        Ok(text) => text,
        Err(error) => {
            print::error(&format!("{file} cannot be read: {error}"));
            return Exit::Failure;
        }
    };
    let given = |flag| {
        let value = arguments.value(flag)?;
        Some(value.to_string_lossy().into_owned())
    };
    let options = Options {
        namespace: given(&NAMESPACE),
        image: given(&IMAGE),
    };
    match render::render(&text, &options) {
        Ok(rendered) => {
            for warning in &rendered.warnings {
                let _ = writeln!(io::stderr(), "Warning: {warning}");
            }
            print::line(&rendered.manifests);
            Exit::Success
        }
        Err(error) => {
            print::error(&format!("{file}: {error}"));
            Exit::Failure
        }
    }
}

fn read(file: &str) -> io::Result<String> {
    let mut text = String::new();
    let length = match file {
        "-" => io::stdin().take(MAX_FILE + 1).read_to_string(&mut text)?,
        file => File::open(file)?
            .take(MAX_FILE + 1)
            .read_to_string(&mut text)?,
    };
    match length as u64 > MAX_FILE {
        true => Err(io::Error::other("it has more than 1 MiB")),
        false => Ok(text),
    }
}

/// Writes the seccomp profile of system-probe to where the kubelet looks for it. The image has no
/// program that could copy a file.
pub fn install_seccomp(arguments: &Arguments) -> Exit {
    let rest = arguments.texts(&SECCOMP);
    let (directory, name) = match rest.as_slice() {
        [directory] => (directory, PROFILE),
        [directory, name] => (directory, name.as_str()),
        _ => {
            print::error(&"name the directory of seccomp profiles, /var/lib/kubelet/seccomp");
            return Exit::Usage;
        }
    };
    let may_kill = settings::of_client(arguments).flag(&keys::ENFORCEMENT_ENABLED);
    let path = Path::new(directory).join(name);
    match install(&path, may_kill) {
        Ok(()) => {
            print::line(&format!("{} is written", path.display()));
            Exit::Success
        }
        Err(error) => {
            print::error(&format!("{} cannot be written: {error}", path.display()));
            Exit::Failure
        }
    }
}

/// A container may start while another writes, so the file is there at once or not at all.
fn install(path: &Path, may_kill: bool) -> io::Result<()> {
    let profile = render::seccomp_profile(may_kill);
    let profile = profile.ok_or_else(|| io::Error::other("the one in this binary is damaged"))?;
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let written = fs::write(&new, profile).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}
