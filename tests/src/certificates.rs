//! Certificates for servers of the tests: a private authority and what it signed, good and bad.
//!
//! The openssl command makes them in a directory that the caller names; paths leave. `openssl ca`
//! is used because it can date a certificate into the past in every version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::finished::finish;
use crate::report::{ensure, Failure, Outcome};
use crate::scratch::{self, patience};

/// Seconds for one run of openssl.
const SECONDS: u64 = 20;
/// Until when what is not expired is valid: the end of what a two-digit year can say.
const FAR: &str = "491231235959Z";
const PAST: &str = "200101000000Z";
const LESS_PAST: &str = "200201000000Z";
const LOCAL_NAMES: &str = "DNS:localhost,IP:127.0.0.1";
const OTHER_NAME: &str = "DNS:elsewhere.example";

/// A certificate in a PEM file and its key in another.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    /// The certificate.
    pub(crate) certificate: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
}

/// An authority that no system knows, and certificates that it signed.
pub(crate) struct Certificates {
    /// The authority's own certificate.
    pub(crate) authority: PathBuf,
    /// For localhost and 127.0.0.1.
    pub(crate) good: Certificate,
    /// The same, valid for a month years ago.
    pub(crate) expired: Certificate,
    /// Valid, but for another name.
    pub(crate) wrong_name: Certificate,
}

impl Certificates {
    /// Makes all of them in an existing directory.
    pub(crate) fn make(directory: &Path) -> Result<Certificates, Failure> {
        if scratch::in_vm() {
            let sentence = "the virtual machine has no openssl";
            return Err(Failure::NotApplicable(sentence.to_owned()));
        }
        let maker = Maker { directory };
        maker.prepare()?;
        Ok(Certificates {
            authority: directory.join("authority.pem"),
            good: maker.sign("good", LOCAL_NAMES, PAST, FAR)?,
            expired: maker.sign("expired", LOCAL_NAMES, PAST, LESS_PAST)?,
            wrong_name: maker.sign("wrong-name", OTHER_NAME, PAST, FAR)?,
        })
    }
}

struct Maker<'a> {
    directory: &'a Path,
}

impl Maker<'_> {
    /// The authority, and the files that `openssl ca` keeps its books in.
    fn prepare(&self) -> Outcome {
        fs::write(self.directory.join("authority.cnf"), CONFIGURATION)?;
        fs::write(self.directory.join("index.txt"), "")?;
        fs::write(
            self.directory.join("index.txt.attr"),
            "unique_subject = no\n",
        )?;
        fs::write(self.directory.join("serial"), "01\n")?;
        self.make_request("authority", "/CN=Authority of the tests")?;
        self.openssl(&[
            "ca",
            "-batch",
            "-selfsign",
            "-config",
            "authority.cnf",
            "-extensions",
            "authority",
            "-keyfile",
            "authority.key",
            "-in",
            "authority.csr",
            "-out",
            "authority.pem",
            "-startdate",
            PAST,
            "-enddate",
            FAR,
        ])
    }

    fn make_request(&self, name: &str, subject: &str) -> Outcome {
        self.openssl(&[
            "req",
            "-new",
            "-config",
            "authority.cnf",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            &format!("{name}.key"),
            "-out",
            &format!("{name}.csr"),
            "-subj",
            subject,
        ])
    }

    /// A certificate of a server for these names, valid between these dates.
    fn sign(&self, name: &str, names: &str, from: &str, to: &str) -> Result<Certificate, Failure> {
        self.make_request(name, "/CN=A server of the tests")?;
        let extensions = format!("subjectAltName={names}\nextendedKeyUsage=serverAuth\n");
        fs::write(self.directory.join("extensions"), extensions)?;
        self.openssl(&[
            "ca",
            "-batch",
            "-config",
            "authority.cnf",
            "-cert",
            "authority.pem",
            "-keyfile",
            "authority.key",
            "-extfile",
            "extensions",
            "-in",
            &format!("{name}.csr"),
            "-out",
            &format!("{name}.pem"),
            "-startdate",
            from,
            "-enddate",
            to,
        ])?;
        Ok(Certificate {
            certificate: self.directory.join(format!("{name}.pem")),
            key: self.directory.join(format!("{name}.key")),
        })
    }

    fn openssl(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new("openssl");
        command.args(arguments).current_dir(self.directory);
        let finished = finish(command, patience(SECONDS))?;
        ensure(finished.code == Some(0), || {
            format!("openssl {arguments:?}: {}", finished.said())
        })
    }
}

const CONFIGURATION: &str = "\
[ca]
default_ca = books
[books]
dir = .
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = names
email_in_dn = no
notext = yes
[names]
commonName = supplied
[authority]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[req]
distinguished_name = subject
[subject]
";
