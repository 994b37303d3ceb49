//! A secret and a text on two lines: the secret is hidden wherever it stands, a second time changes
//! nothing, and no line grows beyond what masks need.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use security_agent::scrub::{Scrubber, Stream};

static PLAIN: LazyLock<Scrubber> = LazyLock::new(|| Scrubber::new(&[], &[]).unwrap());

fuzz_target!(|text: &str| {
    let (secret, text) = text.split_once('\n').unwrap_or(("", text));
    let secret = secret.trim();
    check(&PLAIN, text);
    // Not a character of a mask, or a mask itself could be the secret.
    if secret.chars().count() >= 6 && !secret.contains('*') {
        let mut scrubber = PLAIN.clone();
        scrubber.add_secrets(&[secret.to_owned()]);
        let clean = check(&scrubber, &format!("{text}{secret}{secret}{text}"));
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
