//! Certificates that vouch for themselves, for a webhook that only API servers talk to.
//!
//! The names of a service enter, a certificate and its key (ECDSA on P-256) leave as PEM. It is
//! written by hand (X.509 as of RFC 5280), because a crate for it is larger than what it is for.
//! Where they are kept is not known here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{EcdsaKeyPair, KeyPair, ECDSA_P256_SHA256_ASN1_SIGNING};

use super::der::{self, value};
use crate::event::json::write_time;
use crate::http::client::base64;

const DAY: Duration = Duration::from_secs(86_400);
/// How long one is valid.
pub const VALID: Duration = Duration::from_secs(3_650 * 86_400);
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

/// A certificate and its key, both as PEM.
pub struct Made {
    /// The certificate.
    pub certificate: String,
    /// The key (PKCS #8).
    pub key: String,
}

/// A new one for these names, valid from a day ago, since the clocks of a cluster differ; `None`
/// when the system gives no randomness.
pub fn make(names: &[String], now: SystemTime) -> Option<Made> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).ok()?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).ok()?;
    let validity = (now.saturating_sub(DAY), now + VALID);
    let body = to_be_signed(pair.public_key().as_ref(), names, validity)?;
    let signature = pair.sign(&random, &body).ok()?;
    let signed = value(
        der::SEQUENCE,
        &[
            &body,
            &signature_algorithm(),
            &value(der::BIT_STRING, &[&[0], signature.as_ref()]),
        ],
    );
    let mut made = Made {
        certificate: String::new(),
        key: String::new(),
    };
    push_pem(&mut made.certificate, "CERTIFICATE", &signed);
    push_pem(&mut made.key, "PRIVATE KEY", key.as_ref());
    Some(made)
}

/// The part of a certificate (RFC 5280) that its signature is of.
fn to_be_signed(
    public_key: &[u8],
    names: &[String],
    (from, until): (Duration, Duration),
) -> Option<Vec<u8>> {
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).ok()?;
    // Positive, and as long as it looks.
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    let subject = subject();
    let algorithm = value(
        der::SEQUENCE,
        &[&identifier(EC_PUBLIC_KEY), &identifier(P256)],
    );
    Some(value(
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
pub fn push_pem(text: &mut String, label: &str, der: &[u8]) {
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
}
