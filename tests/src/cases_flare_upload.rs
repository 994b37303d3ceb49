//! Flares that are sent: what arrives, as Python sees it, and what people are told about every
//! answer. Whatever goes wrong, the archive stays and a command is shown that sends it again.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::certificates::Certificates;
use crate::finished::{finish, Finished};
use crate::flare_answers::{Row, ROWS};
use crate::flare_host::{self, archive_of, Host, Test, EMAIL, HOSTNAME, NOWHERE};
use crate::flare_server::{Answer, FlareServer, Received};
use crate::intake::API_KEY;
use crate::nginx::Nginx;
use crate::report::{ensure, Failure, Outcome, Report};
use crate::scratch::{self, patience};

const CASE: &str = "4711";
/// The level of the Datadog agent that is implemented.
const VERSION: &str = "7.83.0";
/// The key that says how long no progress is waited for.
const TIMEOUT: &str = "DD_FLARE_UPLOAD_TIMEOUT";
/// Bytes of the archive that is sent to a slow server: more than it reads slowly and the kernel
/// takes ahead.
const LARGE: usize = 24 << 20;

/// An archive that was made once, and where it is sent.
struct Upload {
    host: Host,
    archive: PathBuf,
    server: FlareServer,
}

/// Runs the tests of this file.
pub(crate) fn run(report: &mut Report) {
    let rows = ROWS.iter().map(|row| format!("flare_upload_{}", row.name));
    let rows: Vec<String> = rows.collect();
    let others: &[Test<Upload>] = &[
        ("flare_upload_fields", fields),
        ("flare_upload_odd_values", odd_values),
        ("flare_upload_no_key", no_key),
        ("flare_upload_head", head),
        ("flare_upload_head_refused", head_refused),
        ("flare_upload_redirects", redirects),
        ("flare_upload_key_not_elsewhere", key_not_elsewhere),
        ("flare_upload_refused", refused),
        ("flare_upload_slow_server", slow_server),
        ("flare_upload_proxy", proxy),
        ("flare_upload_tls", tls),
    ];
    let names = rows.iter().map(String::as_str);
    if !report.wants_any(names.chain(others.iter().map(|(name, _)| *name))) {
        return;
    }
    let made = prepare();
    for (row, name) in ROWS.iter().zip(&rows) {
        report.case(name, || {
            flare_host::shared(&made).and_then(|it| answered(it, row))
        });
    }
    for (name, test) in others {
        report.case(name, || flare_host::shared(&made).and_then(test));
    }
}

fn prepare() -> Result<Upload, Failure> {
    scratch::not_in_vm()?;
    let server = FlareServer::start()?;
    let (host, _) = Host::new("flare-upload", &server.url())?;
    let (_, archive) = host.build()?;
    Ok(Upload {
        host,
        archive,
        server,
    })
}

impl Upload {
    /// Sending the archive, not started.
    fn command(&self, more: &[&str]) -> Command {
        let archive = self.archive.to_string_lossy();
        let mut words = vec!["-s", "-e", EMAIL, "--archive", &archive];
        words.extend_from_slice(more);
        let mut command = self.host.command(&words);
        command.env(TIMEOUT, "10s");
        command
    }

    /// Fails unless the archive is there and the command that sends it is shown, without the key.
    fn expect_kept(&self, done: &Finished) -> Outcome {
        expect_no_key(done)?;
        let path = self.archive.to_string_lossy();
        let shown = [&done.stdout, &done.stderr].iter().any(|text| {
            text.lines().any(|line| {
                line.contains("security-agent flare") && line.contains(&format!("--archive {path}"))
            })
        });
        ensure(done.code == Some(1) && shown, || done.said())?;
        let size = fs::metadata(&self.archive)?.len();
        ensure(size > 0, || "the archive is empty".to_owned())
    }
}

fn expect_no_key(done: &Finished) -> Outcome {
    ensure(!done.said().contains(API_KEY), || {
        format!("the key is shown: {}", done.said())
    })
}

/// The requests as `METHOD target`.
fn asked(requests: &[Received]) -> Vec<String> {
    requests.iter().map(Received::asked).collect()
}

/// Every answer has its sentence and its exit code.
fn answered(upload: &Upload, row: &Row) -> Outcome {
    upload.server.then_post((row.answer)());
    let mut command = upload.command(&[]);
    if matches!((row.answer)(), Answer::Never | Answer::Deaf) {
        command.env(TIMEOUT, "1s");
    }
    let done = flare_host::run(command)?;
    let requests = upload.server.take();
    for (words, text) in [(row.stdout, &done.stdout), (row.stderr, &done.stderr)] {
        for word in words {
            ensure(text.contains(word), || {
                format!("not `{word}`: {}", done.said())
            })?;
        }
    }
    ensure(done.code == Some(row.code), || done.said())?;
    ensure(!done.stderr.contains('\u{1b}'), || done.said())?;
    let shown = done.stderr.matches('<').count();
    ensure(
        shown <= 150 && (row.name != "too_large" || shown == 150),
        || format!("{shown} bytes of the answer are shown"),
    )?;
    expect_no_key(&done)?;
    if row.code != 0 {
        upload.expect_kept(&done)?;
    }
    // What hangs is put down when the server goes.
    if matches!((row.answer)(), Answer::Full(..)) {
        let target = format!("/support/flare?api_key={API_KEY}");
        let expected = [format!("HEAD {target}"), format!("POST {target}")];
        let asked = asked(&requests);
        ensure(asked == expected, || format!("asked: {asked:?}"))?;
    }
    Ok(())
}

/// The one POST of these requests as Python sees it.
fn parsed_post(requests: &[Received]) -> Result<Value, Failure> {
    let mut posts = requests
        .iter()
        .filter(|one| one.asked().starts_with("POST "));
    let (Some(post), None) = (posts.next(), posts.next()) else {
        let sentence = format!("not one POST: {:?}", asked(requests));
        return Err(Failure::Failed(sentence));
    };
    ensure(!post.holds(API_KEY), || {
        "the key is not in the query alone".to_owned()
    })?;
    let parsed = post.parse()?;
    let good = parsed["chunked"] == true
        && parsed["multipart"] == true
        && parsed["defects"].as_array().is_some_and(Vec::is_empty);
    ensure(good, || format!("the request is {parsed}"))?;
    Ok(parsed)
}

/// Names of the parts, in their order.
fn names_of(parsed: &Value) -> Vec<&str> {
    let parts = parsed["parts"].as_array();
    let names = parts.into_iter().flatten();
    names
        .map(|part| part["name"].as_str().unwrap_or("-"))
        .collect()
}

fn part<'a>(parsed: &'a Value, name: &str) -> &'a Value {
    let mut parts = parsed["parts"].as_array().into_iter().flatten();
    parts
        .find(|part| part["name"] == name)
        .unwrap_or(&Value::Null)
}

/// A flare from its making to its arrival: every field, with and without a case.
fn fields(upload: &Upload) -> Outcome {
    for case in [None, Some(CASE)] {
        let mut words = vec!["-e", EMAIL, "-s"];
        words.splice(0..0, case);
        let done = upload.host.flare(&words)?;
        let requests = upload.server.take();
        let path = archive_of(&done)?;
        for text in [
            "Asking the Security Agent to build the flare archive.",
            &format!("{} is going to be uploaded to Datadog", path.display()),
            "your internal case id is 123",
        ] {
            ensure(done.stdout.contains(text), || {
                format!("not `{text}`: {}", done.said())
            })?;
        }
        let path_of_case = case.map(|id| format!("/{id}")).unwrap_or_default();
        let parsed = parsed_post(&requests)?;
        ensure(
            parsed["target"] == format!("/support/flare{path_of_case}?api_key={API_KEY}"),
            || format!("the request is {parsed}"),
        )?;
        let all = [
            "case_id",
            "email",
            "flare_file",
            "agent_version",
            "hostname",
        ];
        let expected = all.get(usize::from(case.is_none())..).unwrap_or_default();
        ensure(names_of(&parsed) == expected, || format!("{parsed}"))?;
        let texts = [
            ("email", EMAIL),
            ("agent_version", VERSION),
            ("hostname", HOSTNAME),
        ];
        for (name, text) in texts.into_iter().chain(case.map(|id| ("case_id", id))) {
            ensure(part(&parsed, name)["text"] == text, || format!("{parsed}"))?;
        }
        expect_file(part(&parsed, "flare_file"), &path)?;
    }
    Ok(())
}

/// The part of the file holds what the file holds.
fn expect_file(part: &Value, path: &PathBuf) -> Outcome {
    let mut command = Command::new("sha256sum");
    command.arg(path);
    let sum = finish(command, patience(10))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let same = part["sha256"]
        .as_str()
        .is_some_and(|one| sum.stdout.starts_with(one));
    let right = part["filename"] == *name && part["type"] == "application/octet-stream";
    ensure(same && right, || format!("{part} is not {}", sum.said()))
}

/// What people type stays in its place.
fn odd_values(upload: &Upload) -> Outcome {
    let email = "\"jane\"\r\nX-Odd: 1\r\n\r\n--@example.com";
    let archive = upload.archive.to_string_lossy();
    let words = ["-s", "-e", email, "--archive", &archive];
    let done = upload.host.flare(&words)?;
    let requests = upload.server.take();
    // A refusal is as good.
    if done.code == Some(0) {
        let parsed = parsed_post(&requests)?;
        let expected = ["email", "flare_file", "agent_version", "hostname"];
        let headers = &part(&parsed, "email")["headers"];
        let odd = headers.as_array().into_iter().flatten();
        let odd = odd.filter(|name| {
            !["content-disposition", "content-type"]
                .map(Value::from)
                .contains(name)
        });
        ensure(names_of(&parsed) == expected && odd.count() == 0, || {
            format!("the request is {parsed}")
        })?;
    } else {
        ensure(requests.is_empty() && !done.stderr.is_empty(), || {
            done.said()
        })?;
    }
    let done = flare_host::run(upload.command(&["12/../x?y#z"]))?;
    let asked = asked(&upload.server.take());
    let harmless = asked.iter().all(|one| {
        let path = one.split('?').next().unwrap_or_default();
        // A dot may be written either way.
        let path = path.replace("%2E", ".");
        one.matches('?').count() == 1
            && !one.contains('#')
            && path.ends_with("/support/flare/12%2F..%2Fx%3Fy%23z")
    });
    ensure(
        harmless && (done.code != Some(0) || asked.len() == 2),
        || format!("asked: {asked:?}, {}", done.said()),
    )
}

/// Without a key the server decides.
fn no_key(upload: &Upload) -> Outcome {
    let (host, _) = Host::new("flare-no-key", &upload.server.url())?;
    fs::write(host.etc("datadog.yaml"), format!("hostname: {HOSTNAME}\n"))?;
    upload.server.then_post(Answer::json("403 Forbidden", "{}"));
    let archive = upload.archive.to_string_lossy();
    let done = host.flare(&["-s", "-e", EMAIL, "--archive", &archive])?;
    let asked = asked(&upload.server.take());
    let words = "HTTP 403 Forbidden: API key is missing";
    ensure(done.stderr.contains(words) && asked.len() == 2, || {
        format!("asked: {asked:?}, {}", done.said())
    })?;
    upload.expect_kept(&done)
}

/// 404 is what a server answers that takes flares but knows no HEAD.
fn head(upload: &Upload) -> Outcome {
    upload.server.then_head(Answer::empty("404 Not Found"));
    let done = flare_host::run(upload.command(&[]))?;
    let asked = asked(&upload.server.take());
    ensure(done.code == Some(0) && asked.len() == 2, || {
        format!("asked: {asked:?}, {}", done.said())
    })
}

/// Any other end of the way means that nothing is sent.
fn head_refused(upload: &Upload) -> Outcome {
    let endless = format!("/support/flare?api_key={API_KEY}");
    let cases: [(Answer, usize, &str); 4] = [
        (
            Answer::empty("503 Service Unavailable"),
            1,
            "Could not determine flare URL via redirects: 503 Service Unavailable",
        ),
        (
            Answer::empty("403 Forbidden"),
            1,
            "Could not determine flare URL via redirects: 403 Forbidden",
        ),
        (Answer::redirect("302 Found", &endless), 50, "Error: "),
        (
            Answer::redirect("302 Found", "ftp://x.example/"),
            1,
            "Error: ",
        ),
    ];
    for (answer, times, words) in cases {
        for _ in 0..times {
            upload.server.then_head(answer.clone());
        }
        let done = flare_host::run(upload.command(&[]))?;
        let asked = asked(&upload.server.take());
        ensure(done.stderr.contains(words), || {
            format!("not `{words}`: {}", done.said())
        })?;
        let quiet = asked.len() <= 12 && asked.iter().all(|one| one.starts_with("HEAD "));
        ensure(quiet, || format!("asked: {asked:?}"))?;
        upload.expect_kept(&done)?;
    }
    Ok(())
}

/// The POST goes where the HEADs have led, to another server too.
fn redirects(upload: &Upload) -> Outcome {
    let other = FlareServer::start()?;
    let key = format!("?api_key={API_KEY}");
    upload.server.then_head(Answer::redirect(
        "307 Temporary Redirect",
        &format!("/one{key}"),
    ));
    upload.server.then_head(Answer::redirect(
        "301 Moved Permanently",
        &format!("two{key}"),
    ));
    let away = format!("{}/three{key}", other.url());
    upload
        .server
        .then_head(Answer::redirect("302 Found", &away));
    let done = flare_host::run(upload.command(&[CASE]))?;
    let here = asked(&upload.server.take());
    let there = asked(&other.take());
    let expected = [
        format!("HEAD /support/flare/{CASE}{key}"),
        format!("HEAD /one{key}"),
        format!("HEAD /two{key}"),
    ];
    ensure(done.code == Some(0) && here == expected, || {
        format!("asked: {here:?}, {}", done.said())
    })?;
    let expected = [format!("HEAD /three{key}"), format!("POST /three{key}")];
    ensure(there == expected, || format!("asked there: {there:?}"))
}

/// Another server is told the key only by who has it already.
fn key_not_elsewhere(upload: &Upload) -> Outcome {
    let other = FlareServer::start()?;
    let away = format!("{}/bare", other.url());
    upload
        .server
        .then_head(Answer::redirect("302 Found", &away));
    let done = flare_host::run(upload.command(&[]))?;
    let here = asked(&upload.server.take());
    let there = other.take();
    expect_no_key(&done)?;
    ensure(here.len() == 1, || format!("asked: {here:?}"))?;
    let told = there
        .iter()
        .any(|one| one.asked().contains(API_KEY) || one.holds(API_KEY));
    ensure(!told, || format!("asked there: {:?}", asked(&there)))
}

/// Nobody listens.
fn refused(upload: &Upload) -> Outcome {
    let mut command = upload.command(&[]);
    command.env("DD_URL", NOWHERE);
    let done = flare_host::run(command)?;
    let words = done.stderr.contains("Error: ") && done.stderr.contains("127.0.0.1:9");
    ensure(words, || done.said())?;
    upload.expect_kept(&done)
}

/// A server that reads for longer than the limit, and never stands still for as long, gets it all.
fn slow_server(upload: &Upload) -> Outcome {
    let directory = scratch::directory("large")?;
    let noise = (0..LARGE as u64 / 8).flat_map(|number| {
        let mixed = (number ^ (number >> 7)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 29))
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
            .to_le_bytes()
    });
    fs::write(directory.join("noise"), noise.collect::<Vec<u8>>())?;
    let path = directory
        .join("large.tar.gz")
        .to_string_lossy()
        .into_owned();
    let mut command = Command::new("tar");
    command
        .args(["-czf", &path, "-C"])
        .arg(&directory)
        .arg("noise");
    finish(command, patience(30))?;
    scratch::set_mode(path.as_ref(), 0o600)?;
    upload
        .server
        .then_post(Answer::Paced(11, Duration::from_millis(500)));
    let mut command = upload
        .host
        .command(&["-s", "-e", EMAIL, "--archive", &path]);
    command.env(TIMEOUT, "4s");
    let done = flare_host::run(command)?;
    upload.server.take();
    ensure(done.code == Some(0), || done.said())
}

/// Flares take the proxy of the configuration, as whole URLs.
fn proxy(upload: &Upload) -> Outcome {
    let mut command = upload.command(&[]);
    command
        .env("DD_URL", "http://elsewhere.example:8080/")
        .env("DD_PROXY_HTTP", upload.server.url());
    let done = flare_host::run(command)?;
    let asked = asked(&upload.server.take());
    let url = format!("http://elsewhere.example:8080/support/flare?api_key={API_KEY}");
    let expected = [format!("HEAD {url}"), format!("POST {url}")];
    ensure(done.code == Some(0) && asked == expected, || {
        format!("asked: {asked:?}, {}", done.said())
    })
}

/// nginx answers 202, which ends the way, but only to those who trust it.
fn tls(upload: &Upload) -> Outcome {
    let made = Certificates::make(&scratch::directory("certificates")?)?;
    let nginx = Nginx::start(Some(&made.good))?;
    let trusted = made.authority.to_string_lossy();
    for (trust, words) in [(Some(trusted), "redirects: 202"), (None, "certificate")] {
        let mut command = upload.command(&[]);
        command.env("DD_URL", nginx.url("localhost"));
        if let Some(authority) = &trust {
            command.env("DD_TLS_CA_FILE", authority.as_ref());
        }
        let done = flare_host::run(command)?;
        ensure(done.stderr.contains(words), || {
            format!("not `{words}`: {}", done.said())
        })?;
        upload.expect_kept(&done)?;
    }
    Ok(())
}
