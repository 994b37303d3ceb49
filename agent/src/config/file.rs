//! One configuration file: from bytes to dotted keys.
//!
//! A path enters; a [`Layer`] leaves, which maps `a.b.c` to the YAML value that stands there, and
//! finds the line of a key again. Of the keys, only those whose value is taken as a whole are
//! known here, and one slip of indentation that is common enough to be understood.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_yaml::Value as Yaml;

use super::keys::is_whole;
use super::value::{Kind, Value};

/// Largest file that is read, in bytes.
const SIZE_LIMIT: u64 = 4 * 1024 * 1024;

/// The section whose keys are sometimes left at the top level.
const SECTION: &str = "runtime_security_config";
const ENABLED: &str = "enabled";
/// Keys of that section that are known to be left there.
const SLIPPED: [&str; 4] = [ENABLED, "fim_enabled", "socket", "cmd_socket"];

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

/// What one file says. It may hold secrets, so it cannot be printed.
pub struct Layer {
    /// The file.
    pub path: PathBuf,
    /// Values by dotted key, in small letters; sections are not in it, except empty ones.
    pub values: BTreeMap<String, Yaml>,
    /// Sentences about what was understood otherwise than written.
    pub warnings: Vec<String>,
    text: String,
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Layer({})", self.path.display())
    }
}

impl Layer {
    /// Reads a file of at most 4 MiB.
    pub fn read(path: &Path) -> Result<Layer, Error> {
        let text = read_text(path)?;
        Layer::from_text(path, text)
    }

    /// The same with a text that was read already.
    pub(super) fn from_text(path: &Path, text: String) -> Result<Layer, Error> {
        let yaml: Yaml = serde_yaml::from_str(&text).map_err(|error| Error::Malformed {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        let mut layer = Layer {
            path: path.to_owned(),
            values: BTreeMap::new(),
            warnings: Vec::new(),
            text,
        };
        match &yaml {
            Yaml::Null => {}
            Yaml::Mapping(_) => flatten(String::new(), &yaml, &mut layer.values),
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

    /// The file and, when it is found, the line of a key, for messages. The text is read again,
    /// which is only worth it when there is something to complain about.
    pub fn place(&self, name: &str) -> String {
        let slipped = name
            .strip_prefix(SECTION)
            .and_then(|rest| rest.strip_prefix('.'));
        let line = line_of(&self.text, name).or_else(|| line_of(&self.text, slipped?));
        match line {
            Some(line) => format!("{} line {line}", self.path.display()),
            None => self.path.display().to_string(),
        }
    }

    /// Moves keys that follow an empty `runtime_security_config:` at the same depth below it. Where
    /// the section has keys, `enabled` beside it is moved, too, and one `false` wins.
    fn indent_slipped(&mut self) {
        let is_empty = matches!(self.values.get(SECTION), Some(Yaml::Null));
        let has_keys = self.values.keys().any(|name| is_below(name, SECTION));
        for name in SLIPPED {
            let is_slipped = is_empty || has_keys && name == ENABLED;
            if !is_slipped {
                continue;
            }
            let Some(value) = self.values.remove(name) else {
                continue;
            };
            let whole = format!("{SECTION}.{name}");
            if self.values.contains_key(&whole) && !says_false(&value) {
                continue;
            }
            let place = if is_empty { "below an empty" } else { "beside" };
            self.warnings.push(format!(
                "{}: `{name}` stands at the top level, {place} `{SECTION}:`; it is taken as `{whole}`, indent it by two spaces",
                self.path.display()
            ));
            self.values.insert(whole, value);
        }
    }
}

fn is_below(name: &str, section: &str) -> bool {
    name.strip_prefix(section)
        .is_some_and(|rest| rest.starts_with('.'))
}

fn says_false(yaml: &Yaml) -> bool {
    Value::from_yaml(Kind::Flag, yaml).is_ok_and(|value| value == Value::Flag(false))
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

/// The line of a key, from 1: serde_yaml keeps no places, but adds them to errors.
fn line_of(text: &str, name: &str) -> Option<usize> {
    let found = Walk(name).deserialize(serde_yaml::Deserializer::from_str(text));
    let error = found
        .err()
        .filter(|error| error.to_string().contains(FOUND))?;
    error.location().map(|location| location.line())
}

/// What the error says that stands for success.
const FOUND: &str = "this is the key";

/// Walks down to a dotted key and fails at its last part.
struct Walk<'a>(&'a str);

/// One key on the way: what is left of the name below it.
struct Part<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("keys with values")
    }

    // What is no section is passed over.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(below) = map.next_key_seed(Part(self.0))? {
            match below {
                Some(below) => map.next_value_seed(Walk(below))?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

impl<'de, 'a> DeserializeSeed<'de> for Part<'a> {
    type Value = Option<&'a str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Part<'a> {
    type Value = Option<&'a str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a key")
    }

    fn visit_str<E: serde::de::Error>(self, part: &str) -> Result<Self::Value, E> {
        match self.0.strip_prefix(part.to_lowercase().as_str()) {
            Some("") => Err(E::custom(FOUND)),
            Some(rest) => Ok(rest.strip_prefix('.')),
            None => Ok(None),
        }
    }
}

fn flatten(name: String, yaml: &Yaml, values: &mut BTreeMap<String, Yaml>) {
    match yaml {
        Yaml::Mapping(entries) if !entries.is_empty() && !is_whole(&name) => {
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
        Layer::from_text(Path::new("x.yaml"), text.to_owned())
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
    fn lines_of_keys_are_found_again() {
        let text =
            "x: [1, {a: b}]\nn: 1.5\na:\n  b: {c: 1,\n    d: 2}\n  E:\n  - x\nf.g:\n  h: 1\n";
        let found = layer(text).unwrap();
        let cases = [
            ("x", Some(1)),
            ("a", Some(3)),
            ("a.b", Some(4)),
            ("a.b.d", Some(5)),
            ("a.e", Some(6)),
            ("f.g", Some(8)),
            ("f.g.h", Some(9)),
            ("a.z", None),
            ("x.a", None),
        ];
        for (name, line) in cases {
            let expected = match line {
                Some(line) => format!("x.yaml line {line}"),
                None => "x.yaml".to_owned(),
            };
            assert_eq!(found.place(name), expected, "{name}");
        }
        let slipped = layer("a: 1\nruntime_security_config:\nenabled: false\n").unwrap();
        let place = slipped.place("runtime_security_config.enabled");
        assert_eq!(place, "x.yaml line 3");
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
