//! The servers of the tests themselves: nginx keeps what it answered, the certificates are good and
//! bad as they say, and numbered events come through where nothing stands in the way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use flate2::write::GzEncoder;
use flate2::Compression;
use serde_json::json;

use crate::certificates::{Certificate, Certificates};
use crate::finished::finish;
use crate::harness::Launch;
use crate::intake::Intake;
use crate::nginx::Nginx;
use crate::numbers::Numbers;
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience, wait_for};

/// Numbers that are made before they are looked for: a quarter of what the wire between the
/// roles holds where an event has 20 KB.
const STEP: usize = 50;
const STEPS: usize = 20;

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    report.case_of_user_space("servers_nginx", nginx);
    report.case_of_user_space("servers_certificates", certificates);
    report.case_of_user_space("servers_numbers", numbers);
}

/// Posts this body; returns what was answered.
fn post(nginx: &Nginx, body: &[u8]) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(nginx.address())?;
    stream.set_read_timeout(Some(patience(10)))?;
    let head = format!(
        "POST /api/v2/x HTTP/1.1\r\nHost: x\r\nDD-API-KEY: k\r\nContent-Encoding: gzip\r\n\
         User-Agent: \"me\"\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// What was answered is there, before and after a stop, and nothing twice.
fn nginx() -> Outcome {
    let mut nginx = Nginx::start(None)?;
    for round in 0..2 {
        for part in 0..3 {
            // Incompressible enough to be larger than what nginx keeps in memory.
            let padding: Vec<u64> = (0..20_000_u64)
                .map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
                .collect();
            let message = json!({ "part": part, "padding": padding }).to_string();
            let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
            packed.write_all(json!([{ "message": message }]).to_string().as_bytes())?;
            let answer = post(&nginx, &packed.finish()?)?;
            ensure(answer.starts_with("HTTP/1.1 202 "), || answer.clone())?;
        }
        // The log is written after the answer.
        let mut all = Vec::new();
        wait_for(patience(5), || {
            all.extend(nginx.take().ok()?);
            (all.len() == 3).then_some(())
        });
        ensure(all.len() == 3, || format!("{} are kept", all.len()))?;
        for (part, one) in all.iter().enumerate() {
            let envelopes = one.envelopes()?;
            let right = envelopes
                .first()
                .is_some_and(|envelope| envelope.event["part"] == part);
            let headers = format!("{} {} {:?}", one.method, one.uri, one.headers);
            ensure(
                right && headers.contains("(\"user-agent\", \"\\\"me\\\"\")"),
                || format!("round {round}: {headers}"),
            )?;
        }
        nginx.stop()?;
        ensure(TcpStream::connect(nginx.address()).is_err(), || {
            "stopped, and it listens".to_owned()
        })?;
        nginx.resume()?;
        ensure(nginx.take()?.is_empty(), || {
            "something came twice".to_owned()
        })?;
    }
    Ok(())
}

/// What openssl thinks of a server with this certificate.
fn verdict(certificates: &Certificates, one: &Certificate) -> Result<String, Failure> {
    let nginx = Nginx::start(Some(one))?;
    let mut client = Command::new("openssl");
    client
        .args([
            "s_client",
            "-verify_return_error",
            "-verify_ip",
            "127.0.0.1",
        ])
        .arg("-CAfile")
        .arg(&certificates.authority)
        .args(["-connect", &nginx.address().to_string()]);
    let finished = finish(client, patience(20))?;
    Ok(finished.said())
}

fn certificates() -> Outcome {
    let made = Certificates::make(&scratch::directory("certificates")?)?;
    let cases = [
        (&made.good, "Verify return code: 0 (ok)"),
        (&made.expired, "certificate has expired"),
        (&made.wrong_name, "IP address mismatch"),
    ];
    for (one, expected) in cases {
        let said = verdict(&made, one)?;
        ensure(said.contains(expected), || format!("{one:?}: {said}"))?;
    }
    Ok(())
}

/// Every number comes once on standard output, at a pace that loses nothing.
fn numbers() -> Outcome {
    let numbers = Numbers::new()?;
    let agent = Launch::new("numbers")?
        .policy("numbers.policy", numbers.policy())?
        .start()?;
    let mut tally = numbers.tally(STEPS * STEP);
    let mut seen = 0;
    for step in 0..STEPS {
        let end = (step + 1) * STEP;
        numbers.open(step * STEP..end)?;
        wait_for(patience(10), || {
            let lines = agent.lines_after(seen);
            seen += lines.len();
            lines.iter().for_each(|line| tally.add(&line.event));
            (tally.missing_below(end) == 0).then_some(())
        });
        ensure(tally.missing_below(end) == 0, || tally.summary())?;
    }
    ensure(tally.duplicates() == 0, || tally.summary())
}
