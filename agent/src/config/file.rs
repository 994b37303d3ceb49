//! One configuration file: from bytes to dotted keys.
//!
//! A path enters; a [`Layer`] leaves, which maps `a.b.c` to the YAML value that stands there. No
//! key is known here except for one slip of indentation that is common enough to be understood.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_yaml::Value as Yaml;

/// Largest file that is read, in bytes.
const SIZE_LIMIT: u64 = 4 * 1024 * 1024;

/// The section whose keys are sometimes left at the top level.
const SECTION: &str = "runtime_security_config";
/// Keys of that section that are known to be left there.
const SLIPPED: [&str; 4] = ["enabled", "fim_enabled", "socket", "cmd_socket"];

/// Why a file gave nothing.
#[derive(Debug)]
pub enum Error {
    /// It could not be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// It is not what a configuration file can be.
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
}

impl Error {
    /// Whether there simply is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Error::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unreadable { path, source } => write!(
                f,
                "the configuration file {} cannot be read: {source}; see its permissions, or name another file",
                path.display()
            ),
            Error::Malformed { path, reason } => write!(
                f,
                "the configuration file {} is not understood: {reason}; correct it and start again",
                path.display()
            ),
        }
    }
}

impl std::error::Error for Error {}

/// What one file says.
#[derive(Debug)]
pub struct Layer {
    /// The file.
    pub path: PathBuf,
    /// Values by dotted key, in small letters; sections are not in it, except empty ones.
    pub values: BTreeMap<String, Yaml>,
    /// Sentences about what was understood otherwise than written.
    pub warnings: Vec<String>,
}

impl Layer {
    /// Reads a file of at most 4 MiB.
    pub fn read(path: &Path) -> Result<Layer, Error> {
        let text = read_text(path)?;
        let yaml: Yaml = serde_yaml::from_str(&text).map_err(|error| Error::Malformed {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        Layer::from_yaml(path, &yaml)
    }

    fn from_yaml(path: &Path, yaml: &Yaml) -> Result<Layer, Error> {
        let mut layer = Layer {
            path: path.to_owned(),
            values: BTreeMap::new(),
            warnings: Vec::new(),
        };
        match yaml {
            Yaml::Null => {}
            Yaml::Mapping(_) => flatten(String::new(), yaml, &mut layer.values),
            _ => {
                return Err(Error::Malformed {
                    path: path.to_owned(),
                    reason: "it holds no keys with values".to_owned(),
                })
            }
        }
        layer.indent_slipped();
        Ok(layer)
    }

    /// Moves keys that follow an empty `runtime_security_config:` at the same depth below it.
    fn indent_slipped(&mut self) {
        if !matches!(self.values.get(SECTION), Some(Yaml::Null)) {
            return;
        }
        for name in SLIPPED {
            let Some(value) = self.values.remove(name) else {
                continue;
            };
            self.warnings.push(format!(
                "{}: `{name}` stands at the top level, below an empty `{SECTION}:`; it is taken as `{SECTION}.{name}`, indent it by two spaces",
                self.path.display()
            ));
            self.values.insert(format!("{SECTION}.{name}"), value);
        }
    }
}

fn read_text(path: &Path) -> Result<String, Error> {
    let unreadable = |source| Error::Unreadable {
        path: path.to_owned(),
        source,
    };
    let malformed = |reason: &str| Error::Malformed {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(malformed("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(SIZE_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > SIZE_LIMIT {
        return Err(malformed("it is larger than 4 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| malformed("it is no UTF-8 text"))
}

fn flatten(name: String, yaml: &Yaml, values: &mut BTreeMap<String, Yaml>) {
    match yaml {
        Yaml::Mapping(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                let part = key_text(key);
                let path = if name.is_empty() {
                    part
                } else {
                    format!("{name}.{part}")
                };
                flatten(path, value, values);
            }
        }
        _ => {
            values.insert(name, yaml.clone());
        }
    }
}

fn key_text(key: &Yaml) -> String {
    match key {
        Yaml::String(text) => text.to_lowercase(),
        Yaml::Bool(value) => value.to_string(),
        Yaml::Number(value) => value.to_string(),
        _ => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(text: &str) -> Result<Layer, Error> {
        Layer::from_yaml(Path::new("x.yaml"), &serde_yaml::from_str(text).unwrap())
    }

    #[test]
    fn sections_become_dotted_keys() {
        let found = layer("a:\n  B: 1\n  c: {d: [x, y]}\ne.f: z\ng:\n").unwrap();
        let names: Vec<_> = found.values.keys().map(String::as_str).collect();
        assert_eq!(names, ["a.b", "a.c.d", "e.f", "g"]);
        assert!(layer("").unwrap().values.is_empty());
        assert!(layer("- a").is_err() && layer("words").is_err());
    }

    #[test]
    fn the_slip_of_indentation_is_understood_and_named() {
        let found = layer("runtime_security_config:\nenabled: false\n").unwrap();
        let value = found.values.get("runtime_security_config.enabled");
        assert_eq!(value, Some(&Yaml::Bool(false)));
        let warning = found.warnings.first().unwrap();
        assert!(
            warning.contains("`runtime_security_config.enabled`"),
            "{warning}"
        );

        let other = layer("other:\nenabled: false\n").unwrap();
        assert!(other.warnings.is_empty() && other.values.contains_key("enabled"));
    }

    #[test]
    fn what_is_no_file_is_refused_in_words() {
        assert!(Layer::read(Path::new("/nonexistent/x.yaml"))
            .unwrap_err()
            .is_missing());
        let error = Layer::read(Path::new("/dev/null")).unwrap_err();
        assert!(error.to_string().contains("no regular file"), "{error}");
    }

    #[test]
    fn a_yaml_bomb_and_deep_nesting_are_errors() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let below = level - 1;
            let items = vec![format!("*a{below}"); 9].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        let path = std::env::temp_dir().join(format!("config-bomb-{}", std::process::id()));
        for text in [bomb, "[".repeat(10_000), "\u{0}".into()] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(Layer::read(&path), Err(Error::Malformed { .. })));
        }
        std::fs::remove_file(&path).unwrap();
    }
}
