//! Any bytes as a frame, and as what a frame may carry: each parser returns, nothing that it gives
//! is longer than its bound, and no secret of a metadata service is among it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use security_agent::packet::{dns, headers, imds, tls};

/// A label of one byte for each two of 255, each byte as `\DDD`, and less.
const LONGEST_NAME: usize = 1_100;
/// Addresses, and aliases, of one message.
const MOST_ANSWERS: usize = 64;
/// A text of 1024 bytes, of which each was no text.
const LONGEST_TEXT: usize = 3 * 1_024;
/// A path whose every parameter was hidden.
const LONGEST_URL: usize = 3 * LONGEST_TEXT;
const SECRET: &str = "NeverSeenSecret0";

fuzz_target!(|bytes: &[u8]| {
    if let Some(parsed) = headers::parse(bytes) {
        assert!(parsed.payload.len() + 14 <= bytes.len());
        assert!(!parsed.is_fragment || parsed.payload.is_empty());
        check(parsed.payload);
    }
    check(bytes);
    hide(bytes);
});

fn check(payload: &[u8]) {
    if let Some(message) = dns::Message::parse(payload) {
        check_dns(&message);
        assert_eq!(message.size as usize, payload.len());
    }
    let messages = dns::messages_of_stream(payload);
    // Each has a header, but the last one may be malformed.
    assert!(messages.len() <= payload.len() / 12 + 1);
    messages.iter().flatten().for_each(check_dns);
    if let Some(message) = imds::Message::parse(payload) {
        check_imds(&message);
    }
    let version = tls::version(payload);
    assert!(version == 0 || (0x0300..=0x0304).contains(&version));
}

fn check_dns(message: &dns::Message) {
    assert!(message.is_response || message.questions > 0);
    assert!(message.is_response || message.addresses.is_empty());
    assert!(message.addresses.len() <= MOST_ANSWERS);
    assert!(message.aliases.len() <= MOST_ANSWERS);
    check_name(&message.name);
    message
        .addresses
        .iter()
        .for_each(|(name, _)| check_name(name));
    for (name, alias) in &message.aliases {
        check_name(name);
        check_name(alias);
    }
}

fn check_name(name: &str) {
    assert!(name.len() <= LONGEST_NAME, "{name}");
    assert!(name.bytes().all(|byte| byte.is_ascii_graphic()), "{name}");
}

fn check_imds(message: &imds::Message) {
    assert!(message.url.len() <= LONGEST_URL);
    for text in [&message.host, &message.user_agent, &message.server] {
        assert!(text.len() <= LONGEST_TEXT);
    }
    if let Some(credentials) = &message.credentials {
        assert!(message.is_response && !credentials.access_key_id.is_empty());
        assert!(credentials.access_key_id.len() <= 128);
    }
}

/// Puts a secret where metadata services have theirs, behind and before any bytes.
fn hide(bytes: &[u8]) {
    let member = format!("\"SecretAccessKey\" : \"{SECRET}\", \"AccessKeyId\" : \"ASIA\"");
    let body = [b"HTTP/1.1 200 OK\r\n\r\n", bytes, member.as_bytes(), bytes].concat();
    let line = bytes.split(|byte| *byte == b' ' || *byte == b'\n').next();
    let query = [b"GET /?", line.unwrap_or(b""), b"&access_token="].concat();
    let header = format!("GET / HTTP/1.1\r\nX-aws-ec2-metadata-token: {SECRET}\r\n");
    for payload in [
        body,
        [&query, SECRET.as_bytes()].concat(),
        [header.as_bytes(), bytes].concat(),
    ] {
        if let Some(message) = imds::Message::parse(&payload) {
            let shown = format!("{message:?}");
            assert!(!shown.contains(SECRET), "{shown}");
        }
    }
}
