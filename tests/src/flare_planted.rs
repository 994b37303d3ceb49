//! Secrets, and texts that look like secrets: generated anew for each run, in the surroundings
//! that they have in configuration files, logs, policies, environments and command lines.
//!
//! A template names a shape and holds [`HERE`]; [`Planter`] fills it and keeps what must not, what
//! must and what may be seen afterwards. [`Needles`] finds in bytes what must not.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the secret, or the number of a harmless text, stands in a template.
const HERE: &str = "%S";
/// Bytes of what is looked for: enough to be unique, few enough to find a secret that is cut.
const NEEDLE: usize = 14;
const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
const HEXADECIMAL: &[u8] = b"0123456789abcdef";

/// What a secret looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Letters and digits.
    Word,
    /// So many hexadecimal digits.
    Hex(usize),
    /// The key of an application, in its newer form.
    Application,
    /// A key of remote configuration.
    Remote,
    /// A JSON web token.
    Jwt,
    /// A private key over several lines.
    Pem,
    /// The same in base64.
    PemBase64,
}

/// A template of a secret.
pub(crate) type Template = (Shape, &'static str);

/// Numbers that nobody can guess from the code, the same for one seed.
struct Generator(u64);

impl Generator {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn of(&mut self, letters: &[u8], length: usize) -> String {
        let one = |_| {
            let at = usize::try_from(self.next() >> 33).unwrap_or(0) % letters.len();
            letters.get(at).map_or('x', |byte| char::from(*byte))
        };
        (0..length).map(one).collect()
    }
}

/// A secret that was planted.
#[derive(Clone, Debug)]
pub(crate) struct Secret {
    /// Where it is: a file of the archive, or words.
    pub(crate) place: String,
    /// What it looks like.
    pub(crate) shape: Shape,
    /// The template that it stood in.
    pub(crate) template: &'static str,
    /// As it was planted.
    pub(crate) text: String,
}

/// Fills templates and remembers what it filled them with.
pub(crate) struct Planter {
    generator: Generator,
    /// Says how to get the same secrets again.
    pub(crate) seed: u64,
    /// What must not be seen.
    pub(crate) secrets: Vec<Secret>,
    /// What must be seen: the file, and the text in it.
    pub(crate) harmless: Vec<(String, String)>,
}

impl Planter {
    /// With a seed of this moment.
    pub(crate) fn new() -> Planter {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seed = now.map_or(1, |time| time.subsec_nanos().into());
        Planter {
            generator: Generator(seed),
            seed,
            secrets: Vec::new(),
            harmless: Vec::new(),
        }
    }

    /// The template with a new secret in it.
    pub(crate) fn secret(&mut self, place: &str, (shape, template): Template) -> String {
        let text = self.make(shape);
        self.known(place, (shape, template), &text)
    }

    /// The template with a secret in it that stands elsewhere too.
    pub(crate) fn known(&mut self, place: &str, (shape, template): Template, text: &str) -> String {
        self.secrets.push(Secret {
            place: place.to_owned(),
            shape,
            template,
            text: text.to_owned(),
        });
        // A text of several lines keeps the indentation of its first.
        let line = template.split(HERE).next().unwrap_or_default();
        let line = line.rsplit('\n').next().unwrap_or_default();
        let indentation: String = line.chars().take_while(|one| *one == ' ').collect();
        template.replace(HERE, &text.replace('\n', &format!("\n{indentation}")))
    }

    /// The template with a number in it that tells it from others.
    pub(crate) fn harmless(&mut self, place: &str, template: &str) -> String {
        let text = match template.split_once("%X") {
            Some((before, rest)) => {
                let (digits, after) = rest.split_once('X').unwrap_or(("64", rest));
                let digits = self.generator.of(HEXADECIMAL, digits.parse().unwrap_or(64));
                format!("{before}{digits}{after}")
            }
            None => template.replace(HERE, &self.generator.of(b"123456789", 7)),
        };
        self.harmless.push((place.to_owned(), text.clone()));
        text
    }

    fn make(&mut self, shape: Shape) -> String {
        let generator = &mut self.generator;
        match shape {
            Shape::Word => format!("q{}7Z", generator.of(LETTERS, 21)),
            Shape::Hex(length) => generator.of(HEXADECIMAL, length),
            Shape::Application => format!("ddapp_{}", generator.of(LETTERS, 34)),
            Shape::Remote => format!("DDRCM_{}", generator.of(LETTERS, 40)),
            Shape::Jwt => {
                let claims = format!("{{\"sub\":\"{}\"}}", generator.of(LETTERS, 20));
                let signature = generator.of(LETTERS, 43);
                let head = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
                let claims = base64(claims.as_bytes()).replace('=', "");
                format!("{head}.{claims}.{signature}")
            }
            Shape::Pem => {
                let lines: Vec<String> = (0..4).map(|_| generator.of(LETTERS, 64)).collect();
                format!(
                    "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
                    lines.join("\n")
                )
            }
            Shape::PemBase64 => {
                let pem = self.make(Shape::Pem);
                base64(pem.as_bytes())
            }
        }
    }
}

/// Base64 as everybody writes it.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let at = (bits >> (18 - 6 * place)) & 63;
            let letter = usize::try_from(at).ok().and_then(|at| letters.get(at));
            match letter.filter(|_| place <= group.len()) {
                Some(letter) => out.push(char::from(*letter)),
                None => out.push('='),
            }
        }
    }
    out
}

/// Parts of secrets, and which secret each is of.
pub(crate) struct Needles {
    parts: HashMap<[u8; NEEDLE], usize>,
    /// Whether some part begins with these two bytes.
    begins: Vec<bool>,
}

impl Needles {
    /// What tells each of the secrets: some of its first bytes, as they are and in base64 whatever
    /// stands before them. Texts of several lines are told by each line between the first and the
    /// last.
    pub(crate) fn of(secrets: &[Secret]) -> Needles {
        let mut needles = Needles {
            parts: HashMap::new(),
            begins: vec![false; 1 << 16],
        };
        for (number, secret) in secrets.iter().enumerate() {
            for text in telling(secret) {
                needles.add(text.as_bytes(), number);
                for (before, skipped) in [("", 0), ("x", 2), ("xx", 3)] {
                    let encoded = base64(format!("{before}{text}").as_bytes());
                    let encoded = encoded.get(skipped..).unwrap_or_default();
                    needles.add(encoded.as_bytes(), number);
                    let in_urls = encoded.replace('+', "-").replace('/', "_");
                    needles.add(in_urls.as_bytes(), number);
                }
            }
        }
        needles
    }

    fn add(&mut self, bytes: &[u8], number: usize) {
        let Some(part) = bytes.first_chunk::<NEEDLE>() else {
            return;
        };
        let begin = usize::from(u16::from_be_bytes([part[0], part[1]]));
        if let Some(begins) = self.begins.get_mut(begin) {
            *begins = true;
        }
        self.parts.insert(*part, number);
    }

    /// The secrets that are in these bytes, by number.
    pub(crate) fn find(&self, bytes: &[u8]) -> Vec<usize> {
        let mut found = Vec::new();
        for window in bytes.windows(NEEDLE) {
            let Some(part) = window.first_chunk::<NEEDLE>() else {
                continue;
            };
            let begin = usize::from(u16::from_be_bytes([part[0], part[1]]));
            if self.begins.get(begin) == Some(&true) {
                found.extend(self.parts.get(part));
            }
        }
        found
    }
}

/// What of a secret is in nothing else.
fn telling(secret: &Secret) -> Vec<String> {
    let text = &secret.text;
    match secret.shape {
        Shape::Pem => text
            .lines()
            .filter(|line| !line.starts_with('-'))
            .map(str::to_owned)
            .collect(),
        // Head and first line are in every key, and what is encoded is shifted behind them.
        Shape::PemBase64 => vec![text.get(60..).unwrap_or_default().to_owned()],
        Shape::Jwt => text
            .split('.')
            .skip(1)
            .map(|part| part.chars().rev().take(20).collect::<String>())
            .map(|part| part.chars().rev().collect())
            .collect(),
        Shape::Application | Shape::Remote => {
            vec![text.get(6..).unwrap_or_default().to_owned()]
        }
        Shape::Word | Shape::Hex(_) => vec![text.clone()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        let mut planter = Planter::new();
        for shape in [
            Shape::Word,
            Shape::Hex(32),
            Shape::Pem,
            Shape::PemBase64,
            Shape::Jwt,
        ] {
            planter.secret("place", (shape, "%S"));
        }
        let needles = Needles::of(&planter.secrets);
        for (number, secret) in planter.secrets.iter().enumerate() {
            for before in ["", "a", "ab", "abc"] {
                let text = format!("{before}{}", secret.text);
                for written in [text.clone(), base64(text.as_bytes())] {
                    assert!(
                        needles.find(written.as_bytes()).contains(&number),
                        "{written}"
                    );
                }
            }
            assert!(needles
                .find(b"nothing of the kind is in this text")
                .is_empty());
        }
    }

    #[test]
    fn lines_of_a_secret_are_indented_as_its_first() {
        let mut planter = Planter::new();
        let text = planter.known("place", (Shape::Pem, "key: |\n  %S"), "a\nb");
        assert_eq!(text, "key: |\n  a\n  b");
        assert_eq!(planter.harmless("place", "x: %X5X;").len(), 9);
    }
}
