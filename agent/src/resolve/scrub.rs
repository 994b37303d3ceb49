//! Secrets in arguments, and what readers of events get in their place.
//!
//! Arguments enter as a process was given them; a copy with masked values leaves when there is
//! something to mask. Rules see the arguments as they were. What counts as a secret is told by
//! the name before the value (`--password=x`, `--password x`, `TOKEN=x`, `"secret": "x"`) and by
//! the place of a password in a URL, and by the flags of some programs (`curl -u`); a value without
//! a name is not recognised.

use crate::scrub::command;
pub use crate::scrub::MASK;

/// Parts of names whose values are secret, as [`compact`] leaves them.
const SENSITIVE: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passin",
    "passout",
    "pswd",
    "pwd",
    "token",
    "secret",
    "apikey",
    "appkey",
    "accesskey",
    "privatekey",
    "credential",
    "authorization",
];

/// Ends of names that say where a secret is rather than what it is.
const PLACES: &[&str] = &["file", "path", "dir", "stdin"];

/// Masks the values of names that are said to be sensitive.
#[derive(Clone, Debug, Default)]
pub struct Scrubber {
    words: Vec<String>,
}

/// A name without what its writers vary: case, hyphens, underscores and dots.
fn compact(name: &str) -> String {
    name.chars()
        .filter(|letter| !matches!(letter, '-' | '_' | '.' | '*'))
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.')
}

/// The name that `text` ends with, in quotes or not, and whether nothing is before it.
fn name_at_end(text: &str) -> (&str, bool) {
    let bare = text.trim_end_matches(['"', '\'']);
    let before = bare.trim_end_matches(is_of_name);
    (bare.get(before.len()..).unwrap_or(""), before.is_empty())
}

/// How many bytes of `text`, which follows `separator`, are the value; `first` says that the
/// name began the argument.
fn value_length(text: &str, separator: char, name: &str, first: bool) -> usize {
    let ends = |letter: char| match (separator, first) {
        (':', true) => false,
        ('=', true) => !name.starts_with('-') && letter.is_whitespace(),
        (':', false) => matches!(letter, '"' | '\'' | ';' | ',' | '}' | '\n'),
        ('=', false) => letter.is_whitespace() || matches!(letter, '"' | '\'' | '&' | ';' | ','),
        _ => letter.is_whitespace(),
    };
    text.find(ends).unwrap_or(text.len())
}

/// Where the value begins and ends in `text`, which follows `separator`.
fn value(text: &str, separator: char, name: &str, first: bool) -> (usize, usize) {
    let blank = match separator {
        '=' => 0,
        _ => text.len() - text.trim_start().len(),
    };
    let text = text.get(blank..).unwrap_or("");
    let quoted = text
        .chars()
        .next()
        .filter(|first| matches!(first, '"' | '\''));
    match quoted.and_then(|quote| text.get(1..)?.find(quote)) {
        Some(length) => (blank + 1, blank + 1 + length),
        None => (blank, blank + value_length(text, separator, name, first)),
    }
}

impl Scrubber {
    /// Knows these words (`event_monitoring_config.custom_sensitive_words`) besides the usual
    /// ones; a name that contains one is sensitive, whatever its case, hyphens and underscores.
    pub fn new(words: &[String]) -> Scrubber {
        let words = words.iter().map(|word| compact(word));
        Scrubber {
            words: words.filter(|word| !word.is_empty()).collect(),
        }
    }

    /// The arguments with secrets masked; `None` when there are none.
    pub fn mask(&self, args: &[String]) -> Option<Vec<String>> {
        let mut masked: Option<Vec<String>> = None;
        let mut is_value = false;
        let (mut program, mut before) = ("", "");
        for (place, arg) in args.iter().enumerate() {
            let new = match is_value && !arg.is_empty() && !arg.starts_with('-') {
                true => Some(MASK.to_owned()),
                false => command::masked(program, before, arg).or_else(|| self.mask_one(arg)),
            };
            if command::is_program(arg) {
                program = arg;
            }
            is_value = self.awaits_value(arg);
            before = arg;
            let Some(new) = new else {
                continue;
            };
            let all = masked.get_or_insert_with(|| args.to_vec());
            if let Some(old) = all.get_mut(place) {
                *old = new;
            }
        }
        masked
    }

    fn is_sensitive(&self, name: &str) -> bool {
        let name = compact(name);
        let is_usual = SENSITIVE.iter().any(|word| name.contains(word))
            && !PLACES.iter().any(|place| name.ends_with(place));
        is_usual || self.words.iter().any(|word| name.contains(word.as_str()))
    }

    /// Whether the argument after this one is a secret: `--password`.
    fn awaits_value(&self, arg: &str) -> bool {
        arg.starts_with('-') && arg.chars().all(is_of_name) && self.is_sensitive(arg)
    }

    fn mask_one(&self, arg: &str) -> Option<String> {
        let without_flags = command::masked_line(arg);
        let without_url = mask_url(without_flags.as_deref().unwrap_or(arg)).or(without_flags);
        let named = self.mask_named(without_url.as_deref().unwrap_or(arg));
        named.or(without_url)
    }

    /// Masks what follows the sensitive names in an argument; a command line in one argument has
    /// several.
    fn mask_named(&self, arg: &str) -> Option<String> {
        let mut masked = String::new();
        let mut done = 0;
        for (at, separator) in arg.char_indices() {
            let is_blank = separator.is_whitespace();
            if at < done || !is_blank && !matches!(separator, '=' | ':') {
                continue;
            }
            let (name, first) = name_at_end(arg.get(done..at)?);
            let from = at + separator.len_utf8();
            if is_blank && !name.starts_with('-') || !self.is_sensitive(name) {
                continue;
            }
            let text = arg.get(from..)?;
            let (start, end) = value(text, separator, name, first && done == 0);
            let secret = text.get(start..end)?;
            if secret.is_empty() || is_blank && secret.starts_with('-') {
                continue;
            }
            masked.push_str(arg.get(done..from + start)?);
            masked.push_str(MASK);
            done = from + end;
        }
        masked.push_str(arg.get(done..)?);
        (done > 0).then_some(masked)
    }
}

/// Masks the password in `scheme://user:password@host`.
fn mask_url(arg: &str) -> Option<String> {
    let mut masked = String::new();
    let mut rest = arg;
    let mut found = false;
    while let Some((before, after)) = rest.split_once("://") {
        masked.push_str(before);
        masked.push_str("://");
        rest = after;
        let ends = |letter: char| letter.is_whitespace() || matches!(letter, '/' | '"' | '\'');
        let authority = after.get(..after.find(ends).unwrap_or(after.len()))?;
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        if let Some((user, password)) = user.and_then(|user| user.split_once(':')) {
            found = true;
            masked.push_str(user);
            masked.push(':');
            masked.push_str(MASK);
            rest = after.get(user.len() + 1 + password.len()..)?;
        }
    }
    masked.push_str(rest);
    found.then_some(masked)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Arguments are separated by `|` here.
    fn shown(scrubber: &Scrubber, line: &str) -> String {
        let args: Vec<String> = line.split('|').map(str::to_owned).collect();
        scrubber.mask(&args).unwrap_or(args).join("|")
    }

    #[test]
    fn secrets_in_arguments_once_went_into_events() {
        let scrubber = Scrubber::default();
        for (line, expected) in [
            ("mysql|--password=a b", "mysql|--password=********"),
            ("mysql|--password|x|-u|y", "mysql|--password|********|-u|y"),
            ("tool|-token|x", "tool|-token|********"),
            ("tool|--api-key|x", "tool|--api-key|********"),
            ("tool|--apiKey=x=y", "tool|--apiKey=********"),
            (
                "env|AWS_SECRET_ACCESS_KEY=x|id",
                "env|AWS_SECRET_ACCESS_KEY=********|id",
            ),
            ("java|-Ddb.password=x", "java|-Ddb.password=********"),
            (
                "sh|-c|PGPASSWORD=x psql -l",
                "sh|-c|PGPASSWORD=******** psql -l",
            ),
            ("sh|-c|a --token x --b c", "sh|-c|a --token ******** --b c"),
            ("sh|-c|a --token 'x y' c", "sh|-c|a --token '********' c"),
            ("curl|h/?a=1&token=x&b=2", "curl|h/?a=1&token=********&b=2"),
            (
                "curl|-d|{\"password\": \"x\", \"a\": 1}",
                "curl|-d|{\"password\": \"********\", \"a\": 1}",
            ),
            (
                "curl|-H|Authorization: Bearer x",
                "curl|-H|Authorization: ********",
            ),
            (
                "curl|--header=X-Api-Key: x",
                "curl|--header=X-Api-Key: ********",
            ),
            (
                "git|https://ann:x@y@host/a:b@c",
                "git|https://ann:********@host/a:b@c",
            ),
            ("password=é|ü", "password=********|ü"),
            ("curl|-u|ann:x|h", "curl|-u|ann:********|h"),
            ("/bin/curl|-uann:x|h", "/bin/curl|-uann:********|h"),
            ("curl|--user=ann:x", "curl|--user=ann:********"),
            ("mysql|-px|db", "mysql|-p********|db"),
            ("redis-cli|-a|x", "redis-cli|-a|********"),
            ("sudo|mysql|-px", "sudo|mysql|-p********"),
            (
                "env|A=b|/bin/curl|-s|-u|ann:x|h",
                "env|A=b|/bin/curl|-s|-u|ann:********|h",
            ),
            (
                "sh|-c|curl -u ann:x https://h",
                "sh|-c|curl -u ann:******** https://h",
            ),
            (
                "sh|-c|mysql -px; redis-cli -a 'x y' ping",
                "sh|-c|mysql -p********; redis-cli -a '********' ping",
            ),
        ] {
            assert_eq!(shown(&scrubber, line), expected);
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        let scrubber = Scrubber::default();
        for line in [
            "passwd|root",
            "cat|/run/secrets/token",
            "docker|login|--password-stdin|host",
            "tool|--password-file=/etc/x|--token-path|/x",
            "tool|--password|--verbose",
            "tool|--password=|x",
            "docker|run|-u|1000:1000",
            "curl|--user-agent=a:b|-u|ann|h",
            "ssh|-p|22|ann@h",
            "sh|-c|docker run -u 1000:1000 image; ssh -p 22 h",
            "sh|-c|curl --user-agent a:b h",
            "mkdir|-p|/var/lib/mysql",
            "git|https://host:80/a@b",
            "://|=|:| |--|'|\"=\"|é=é",
            "",
        ] {
            assert_eq!(shown(&scrubber, line), line);
            let args: Vec<String> = line.split('|').map(str::to_owned).collect();
            assert_eq!(scrubber.mask(&args), None, "{line}");
        }
    }

    #[test]
    fn words_of_the_configuration_are_added() {
        let words = [
            "*Pin_Code*".to_owned(),
            String::new(),
            "token_file".to_owned(),
        ];
        let scrubber = Scrubber::new(&words);
        assert_eq!(shown(&scrubber, "a|--pin-code|1"), "a|--pin-code|********");
        assert_eq!(
            shown(&scrubber, "a|--token-file=1"),
            "a|--token-file=********"
        );
        assert_eq!(shown(&scrubber, "a|--size|1"), "a|--size|1");
    }

    /// Looking at the rest of the line for each flag would need hours for these.
    #[test]
    fn command_lines_of_flags_only_once_looked_endless() {
        let scrubber = Scrubber::default();
        for piece in ["curl -u ", " -p", "curl -u 'x ", "curl \"-u\" ", "mysql -p"] {
            let line = piece.repeat(500_000 / piece.len());
            scrubber.mask(&["sh".to_owned(), "-c".to_owned(), line]);
        }
    }
}
