//! A secret and a text on two lines: the secret is hidden wherever it stands, a second time changes
//! nothing, and no line or file grows beyond what masks need.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use security_agent::scrub::{Kind, Scrubber, Stream};

static PLAIN: LazyLock<Scrubber> = LazyLock::new(|| Scrubber::new(&[], &[]).unwrap());

fuzz_target!(|text: &str| {
    let (secret, text) = text.split_once('\n').unwrap_or(("", text));
    let secret = secret.trim();
    check(&PLAIN, text);
    check_files(&PLAIN, text);
    // Not a character of a mask, or a mask itself could be the secret.
    if secret.chars().count() >= 6 && !secret.contains('*') {
        let mut scrubber = PLAIN.clone();
        scrubber.add_secrets(&[secret.to_owned()]);
        let text = format!("{text}{secret}{secret}{text}");
        let clean = check(&scrubber, &text);
        assert!(!clean.contains(secret), "{secret:?} in {clean:?}");
        let clean = check_files(&scrubber, &text);
        assert!(!clean.contains(secret), "{secret:?} in {clean:?}");
    }
    let mut stream = Stream::new(&PLAIN);
    for line in text.lines() {
        stream.line(line);
    }
});

fn check(scrubber: &Scrubber, line: &str) -> String {
    let once = scrubber.line(line);
    assert_eq!(scrubber.line(&once), once, "from {line:?}");
    // The shortest secret takes five bytes with its name, the longest mask that it gets 24.
    assert!(once.len() <= 6 * line.len() + 64, "from {line:?}");
    once.into_owned()
}

/// Returns the text as it is copied as lines.
fn check_files(scrubber: &Scrubber, text: &str) -> String {
    for kind in [Kind::Yaml, Kind::Json] {
        let (clean, replaced) = copied(scrubber, kind, text);
        assert_eq!(replaced > 0, clean != text, "{kind:?} from {text:?}");
        // A tree that is written anew has a line for each value, which is indented.
        assert!(
            clean.len() <= 64 * (text.len() + 1),
            "{kind:?} from {text:?}"
        );
    }
    let (clean, replaced) = copied(scrubber, Kind::Lines, text);
    let masks = 40 * usize::try_from(replaced).unwrap();
    assert!(clean.len() <= text.len() + masks, "from {text:?}");
    clean
}

fn copied(scrubber: &Scrubber, kind: Kind, text: &str) -> (String, u64) {
    let copy = |text: &str| {
        let mut out = Vec::new();
        let replaced = scrubber.copy(kind, &mut text.as_bytes(), &mut out);
        (String::from_utf8(out).unwrap(), replaced.unwrap())
    };
    let (clean, replaced) = copy(text);
    assert_eq!(copy(&clean), (clean.clone(), 0), "{kind:?} from {text:?}");
    (clean, replaced)
}
