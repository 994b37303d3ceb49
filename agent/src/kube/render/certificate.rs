//! A certificate that is its own authority, for a webhook that only the API server talks to.
//!
//! Its names enter, PEM leaves. It is written by hand (X.509 as of RFC 5280, DER), signed with a new
//! key on the curve P-256.

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{EcdsaKeyPair, KeyPair, ECDSA_P256_SHA256_ASN1_SIGNING};

use crate::http::base64;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const TIME: u8 = 0x17;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
const UTF8: u8 = 0x0c;

/// ecdsa-with-SHA256.
const SIGNATURE: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// id-ecPublicKey with prime256v1.
const CURVE: &[u8] = &[
    0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7,
];
/// commonName.
const COMMON_NAME: &[u8] = &[0x06, 3, 0x55, 4, 3];
/// subjectAltName.
const NAMES: &[u8] = &[0x06, 3, 0x55, 0x1d, 0x11];
/// extKeyUsage, with serverAuth in it.
const USAGE: &[u8] = &[0x06, 3, 0x55, 0x1d, 0x25];
const OF_SERVERS: &[u8] = &[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1];
/// Clocks of a cluster differ, so it begins long ago; an end far off, as nobody renews it.
const FROM: &[u8] = b"200101000000Z";
const UNTIL: &[u8] = b"491231235959Z";

/// A certificate and its key, both as PEM.
pub(super) struct Made {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// A new one for these names; `None` when the system gives no randomness.
pub(super) fn self_signed<S: AsRef<str>>(names: &[S]) -> Option<Made> {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).ok()?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).ok()?;
    let mut serial = [0_u8; 16];
    random.fill(&mut serial).ok()?;
    // Positive, and without a zero in front.
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    let content = content(&serial, names, pair.public_key().as_ref());
    let signature = pair.sign(&random, &content).ok()?;
    let certificate = element(
        SEQUENCE,
        &[
            &content,
            &element(SEQUENCE, &[SIGNATURE]),
            &element(BITS, &[&[0], signature.as_ref()]),
        ],
    );
    Some(Made {
        certificate: pem("CERTIFICATE", &certificate),
        key: pem("PRIVATE KEY", key.as_ref()),
    })
}

/// What is signed.
fn content<S: AsRef<str>>(serial: &[u8], names: &[S], public_key: &[u8]) -> Vec<u8> {
    let common = element(UTF8, &[b"security-agent webhook"]);
    let common = element(SEQUENCE, &[COMMON_NAME, &common]);
    let subject = element(SEQUENCE, &[&element(SET, &[&common])]);
    let validity = element(
        SEQUENCE,
        &[&element(TIME, &[FROM]), &element(TIME, &[UNTIL])],
    );
    let key = [
        element(SEQUENCE, &[CURVE]),
        element(BITS, &[&[0], public_key]),
    ];
    let names: Vec<Vec<u8>> = names
        .iter()
        .map(|name| element(DNS_NAME, &[name.as_ref().as_bytes()]))
        .collect();
    let extensions = [
        extension(NAMES, &element(SEQUENCE, &[&names.concat()])),
        extension(USAGE, &element(SEQUENCE, &[OF_SERVERS])),
    ];
    element(
        SEQUENCE,
        &[
            &element(VERSION, &[&element(INTEGER, &[&[2]])]),
            &element(INTEGER, &[serial]),
            &element(SEQUENCE, &[SIGNATURE]),
            &subject,
            &validity,
            &subject,
            &element(SEQUENCE, &[&key.concat()]),
            &element(EXTENSIONS, &[&element(SEQUENCE, &[&extensions.concat()])]),
        ],
    )
}

fn extension(id: &[u8], value: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[id, &element(OCTETS, &[value])])
}

/// An element of DER: its tag, its length and its parts.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let length: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut out = vec![tag];
    if content.len() >= 0x80 {
        out.push(0x80 | length.len() as u8);
        out.extend(length);
    } else {
        out.push(content.len() as u8);
    }
    out.extend(content);
    out
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64(der);
    let lines: Vec<String> = text
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
