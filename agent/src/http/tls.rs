//! The cryptography of TLS connections, chosen so that nothing is linked that nobody needs.
//!
//! rustls' own choice of it has ChaCha20, X25519 and Ed25519 besides, about 80 KB of the binary.
//! Every server of TLS 1.3 has to know AES-GCM, P-256 and both kinds of signatures that are left
//! here (RFC 8446, 9.1), and those of TLS 1.2 that matter do. Nothing enters; a [`CryptoProvider`]
//! leaves, for clients and servers.

use std::sync::Arc;

use ring::rand::SystemRandom;
use rustls::crypto::ring::{cipher_suite, kx_group, sign};
use rustls::crypto::{
    CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, SupportedKxGroup,
    WebPkiSupportedAlgorithms,
};
use rustls::pki_types::{PrivateKeyDer, SignatureVerificationAlgorithm};
use rustls::sign::SigningKey;
use rustls::{SignatureScheme, SupportedCipherSuite};
use webpki::ring as verify;

static CIPHER_SUITES: &[SupportedCipherSuite] = &[
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

static GROUPS: &[&dyn SupportedKxGroup] = &[kx_group::SECP256R1, kx_group::SECP384R1];

/// What signatures of certificates are verified with.
static CERTIFICATES: &[&dyn SignatureVerificationAlgorithm] = &[
    verify::ECDSA_P256_SHA256,
    verify::ECDSA_P256_SHA384,
    verify::ECDSA_P384_SHA256,
    verify::ECDSA_P384_SHA384,
    verify::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    verify::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    verify::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
    verify::RSA_PKCS1_2048_8192_SHA256,
    verify::RSA_PKCS1_2048_8192_SHA384,
    verify::RSA_PKCS1_2048_8192_SHA512,
    // Some issuers leave out the parameters that RFC 4055 asks for.
    verify::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
    verify::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
    verify::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
];

/// What signatures in handshakes are verified with. That of TLS 1.2 does not name the curve.
static HANDSHAKES: &[(SignatureScheme, &[&dyn SignatureVerificationAlgorithm])] = &[
    (
        SignatureScheme::ECDSA_NISTP384_SHA384,
        &[verify::ECDSA_P384_SHA384, verify::ECDSA_P256_SHA384],
    ),
    (
        SignatureScheme::ECDSA_NISTP256_SHA256,
        &[verify::ECDSA_P256_SHA256, verify::ECDSA_P384_SHA256],
    ),
    (
        SignatureScheme::RSA_PSS_SHA512,
        &[verify::RSA_PSS_2048_8192_SHA512_LEGACY_KEY],
    ),
    (
        SignatureScheme::RSA_PSS_SHA384,
        &[verify::RSA_PSS_2048_8192_SHA384_LEGACY_KEY],
    ),
    (
        SignatureScheme::RSA_PSS_SHA256,
        &[verify::RSA_PSS_2048_8192_SHA256_LEGACY_KEY],
    ),
    (
        SignatureScheme::RSA_PKCS1_SHA512,
        &[verify::RSA_PKCS1_2048_8192_SHA512],
    ),
    (
        SignatureScheme::RSA_PKCS1_SHA384,
        &[verify::RSA_PKCS1_2048_8192_SHA384],
    ),
    (
        SignatureScheme::RSA_PKCS1_SHA256,
        &[verify::RSA_PKCS1_2048_8192_SHA256],
    ),
];

/// What rustls is to work with.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: CIPHER_SUITES.to_vec(),
        kx_groups: GROUPS.to_vec(),
        signature_verification_algorithms: WebPkiSupportedAlgorithms {
            all: CERTIFICATES,
            mapping: HANDSHAKES,
        },
        secure_random: &System,
        key_provider: &System,
    })
}

/// What the system gives: random numbers, and keys of servers from files.
#[derive(Debug)]
struct System;

impl SecureRandom for System {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        ring::rand::SecureRandom::fill(&SystemRandom::new(), bytes).map_err(|_| GetRandomFailed)
    }
}

impl KeyProvider for System {
    fn load_private_key(
        &self,
        key: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        match sign::any_ecdsa_type(&key) {
            Ok(key) => Ok(key),
            Err(_) => Ok(Arc::new(sign::RsaSigningKey::new(&key)?)),
        }
    }
}
