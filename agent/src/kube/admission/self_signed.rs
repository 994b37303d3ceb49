//! A certificate that the webhook makes for itself, with its key in a private file.
//!
//! The names of the service enter, a PEM text leaves: a certificate and a key (ECDSA, P-256), below
//! lines that say for whom and until when it is, so that a restart takes the same one. The
//! certificate is nobody's authority: it vouches for itself only.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{EcdsaKeyPair, KeyPair, ECDSA_P256_SHA256_ASN1_SIGNING};

use super::der::{self, value};
use super::Error;
use crate::event::json::write_time;
use crate::http::client::base64;
use crate::sys::directory;
use crate::sys::files::read_limited;

/// Name of the file below the run path.
pub(super) const FILE: &str = "admission-controller.pem";
/// Bytes of it that are read.
const MAX_FILE: usize = 64 << 10;
const DAY: Duration = Duration::from_secs(86_400);
/// Days that it is valid.
const VALID: u32 = 3_650;
/// Days before its end at which another one is made.
const RENEWED: u32 = 30;
/// The subject; clients look at the names of the service instead.
const SUBJECT: &str = "security-agent admission-controller";
/// Columns of base64 in a PEM file.
const COLUMNS: usize = 64;

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const SERVER_AUTHENTICATION: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// One bit, for signatures.
const DIGITAL_SIGNATURE: &[u8] = &[0x07, 0x80];

/// The names under which an API server reaches a service.
pub(super) fn names(service: &str, namespace: &str) -> Vec<String> {
    ["", ".svc", ".svc.cluster.local"]
        .map(|end| format!("{service}.{namespace}{end}"))
        .into_iter()
        .chain([service.to_owned()])
        .collect()
}

/// The PEM text in the run path, made if there is none for these names that is still good.
pub(super) fn obtain(run_path: &Path, names: &[String], now: SystemTime) -> Result<Vec<u8>, Error> {
    let path = run_path.join(FILE);
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    if let Ok(text) = read_limited(&path, MAX_FILE) {
        let head = String::from_utf8_lossy(&text);
        let mut lines = head.lines();
        let is_for_names = lines.next() == Some(&first_line(names));
        let until = lines.next().and_then(|line| line.strip_prefix("until "));
        let until = until.and_then(|text| text.parse().ok()).unwrap_or(0);
        let is_good = Duration::from_secs(until) > now + DAY * RENEWED;
        let is_whole = lines
            .next_back()
            .is_some_and(|line| line.starts_with("-----END"));
        if is_for_names && is_good && is_whole {
            return Ok(text);
        }
    }
    let text = make(names, now)?;
    if let Err(error) = keep(&path, text.as_bytes()) {
        log::warn!(
            "the webhook's certificate cannot be kept in {}: {error}; \
             there will be another one after a restart",
            path.display()
        );
    }
    Ok(text.into_bytes())
}

fn first_line(names: &[String]) -> String {
    format!("for {}", names.join(" "))
}

fn keep(path: &Path, text: &[u8]) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        directory::make(parent)?;
    }
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

/// A new key and its certificate, with the lines before them.
fn make(names: &[String], now: Duration) -> Result<String, Error> {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| Error::Key)?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random);
    let pair = pair.map_err(|_| Error::Key)?;
    let until = now + DAY * VALID;
    let body = to_be_signed(
        pair.public_key().as_ref(),
        names,
        (now - now.min(DAY), until),
    )?;
    let signature = pair.sign(&random, &body).map_err(|_| Error::Key)?;
    let certificate = value(
        der::SEQUENCE,
        &[
            &body,
            &signature_algorithm(),
            &value(der::BIT_STRING, &[&[0], signature.as_ref()]),
        ],
    );
    let mut text = first_line(names);
    text.push_str("\nuntil ");
    text.push_str(&until.as_secs().to_string());
    text.push('\n');
    push_pem(&mut text, "CERTIFICATE", &certificate);
    push_pem(&mut text, "PRIVATE KEY", key.as_ref());
    Ok(text)
}

/// The part of a certificate (RFC 5280) that its signature is of.
fn to_be_signed(
    public_key: &[u8],
    names: &[String],
    (from, until): (Duration, Duration),
) -> Result<Vec<u8>, Error> {
    let mut serial = [0; 16];
    SystemRandom::new()
        .fill(&mut serial)
        .map_err(|_| Error::Key)?;
    // Positive, and as long as it looks.
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    let subject = subject();
    let algorithm = value(
        der::SEQUENCE,
        &[&identifier(EC_PUBLIC_KEY), &identifier(P256)],
    );
    Ok(value(
        der::SEQUENCE,
        &[
            &value(der::context(0, true), &[&value(der::INTEGER, &[&[2]])]),
            &value(der::INTEGER, &[&serial]),
            &signature_algorithm(),
            &subject,
            &value(der::SEQUENCE, &[&time(from), &time(until)]),
            &subject,
            &value(
                der::SEQUENCE,
                &[&algorithm, &value(der::BIT_STRING, &[&[0], public_key])],
            ),
            &value(
                der::context(3, true),
                &[&value(der::SEQUENCE, &[&extensions(names)])],
            ),
        ],
    ))
}

fn extensions(names: &[String]) -> Vec<u8> {
    let names: Vec<u8> = names
        .iter()
        .flat_map(|name| value(der::context(2, false), &[name.as_bytes()]))
        .collect();
    let usage = value(der::BIT_STRING, &[DIGITAL_SIGNATURE]);
    let purpose = value(der::SEQUENCE, &[&identifier(SERVER_AUTHENTICATION)]);
    [
        extension(BASIC_CONSTRAINTS, der::TRUE, &value(der::SEQUENCE, &[])),
        extension(KEY_USAGE, der::TRUE, &usage),
        extension(EXTENDED_KEY_USAGE, &[], &purpose),
        extension(
            SUBJECT_ALTERNATIVE_NAME,
            &[],
            &value(der::SEQUENCE, &[&names]),
        ),
    ]
    .concat()
}

fn extension(name: &[u8], critical: &[u8], content: &[u8]) -> Vec<u8> {
    let content = value(der::OCTET_STRING, &[content]);
    value(der::SEQUENCE, &[&identifier(name), critical, &content])
}

fn subject() -> Vec<u8> {
    let name = value(der::UTF8_STRING, &[SUBJECT.as_bytes()]);
    let attribute = value(der::SEQUENCE, &[&identifier(COMMON_NAME), &name]);
    value(der::SEQUENCE, &[&value(der::SET, &[&attribute])])
}

fn signature_algorithm() -> Vec<u8> {
    value(der::SEQUENCE, &[&identifier(ECDSA_WITH_SHA256)])
}

fn identifier(bytes: &[u8]) -> Vec<u8> {
    value(der::OBJECT_IDENTIFIER, &[bytes])
}

/// A time since the epoch; with two digits of the year up to 2049, as RFC 5280 wants it.
fn time(since_epoch: Duration) -> Vec<u8> {
    const SECONDS: usize = "2026-01-31T10:20:30".len();
    const YEAR_2050: u64 = 2_524_608_000;
    let seconds = since_epoch.as_secs();
    let mut text = String::new();
    write_time(&mut text, seconds.saturating_mul(1_000_000_000));
    text.truncate(SECONDS);
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    match digits.get(2..).filter(|_| seconds < YEAR_2050) {
        Some(short) => value(der::UTC_TIME, &[short.as_bytes(), b"Z"]),
        None => value(der::GENERALIZED_TIME, &[digits.as_bytes(), b"Z"]),
    }
}

/// Appends a PEM section.
pub(super) fn push_pem(text: &mut String, label: &str, der: &[u8]) {
    let rule = |text: &mut String, word: &str| {
        ["-----", word, " ", label, "-----\n"]
            .iter()
            .for_each(|part| text.push_str(part));
    };
    rule(text, "BEGIN");
    for (place, digit) in base64(der).chars().enumerate() {
        if place > 0 && place % COLUMNS == 0 {
            text.push('\n');
        }
        text.push(digit);
    }
    text.push('\n');
    rule(text, "END");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_they_must_be() {
        let expect = |seconds, tag, text: &str| {
            assert_eq!(
                time(Duration::from_secs(seconds)),
                value(tag, &[text.as_bytes()])
            );
        };
        expect(0, der::UTC_TIME, "700101000000Z");
        expect(2_524_607_999, der::UTC_TIME, "491231235959Z");
        expect(2_524_608_000, der::GENERALIZED_TIME, "20500101000000Z");
    }

    #[test]
    fn it_is_kept_as_long_as_it_fits() {
        let base = std::env::temp_dir().join(format!("self-signed-{}", std::process::id()));
        let now = SystemTime::now();
        let names_of = |service| names(service, "ns");
        let first = obtain(&base, &names_of("a"), now).unwrap();
        assert_eq!(obtain(&base, &names_of("a"), now).unwrap(), first);
        let late = now + DAY * (VALID - RENEWED + 1);
        assert_ne!(obtain(&base, &names_of("a"), late).unwrap(), first);
        let other = obtain(&base, &names_of("b"), now).unwrap();
        assert_eq!(obtain(&base, &names_of("b"), now).unwrap(), other);
        let path = base.join(FILE);
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        fs::write(&path, &other[..other.len() - 10]).unwrap();
        let again = obtain(&base, &names_of("b"), now).unwrap();
        assert_ne!(again, other);
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn openssl_believes_it() {
        let base = std::env::temp_dir().join(format!("openssl-{}", std::process::id()));
        obtain(&base, &names("hook", "sys"), SystemTime::now()).unwrap();
        let run = |arguments: &[&str]| {
            let mut command = std::process::Command::new("openssl");
            let output = command.args(arguments).current_dir(&base).output();
            // Not every machine has it; the end-to-end tests say so then.
            let output = output.ok()?;
            let text = [output.stdout, output.stderr].concat();
            Some((
                output.status.success(),
                String::from_utf8_lossy(&text).into_owned(),
            ))
        };
        let verify = [
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-CAfile",
            FILE,
            "-verify_hostname",
            "hook.sys.svc",
            FILE,
        ];
        if let Some((is_good, text)) = run(&verify) {
            assert!(is_good, "{text}");
            let (_, text) = run(&["x509", "-in", FILE, "-noout", "-text"]).unwrap();
            for part in [
                "CA:FALSE",
                "DNS:hook.sys.svc,",
                "TLS Web Server",
                "prime256v1",
            ] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
        fs::remove_dir_all(&base).unwrap();
    }
}
