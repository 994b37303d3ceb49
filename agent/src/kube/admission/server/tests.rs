//! The loop with clients over TLS and with somebody who prepares containers as he is told.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{json, Value};

use super::*;
use crate::config::Value as Setting;
use crate::kube::admission::testing::{exec_review, options, patch_of, pod, pod_review, settings};
use crate::kube::reason::Reason;

const NAME: &str = "datadog-admission-controller.agents.svc";

/// What becomes of jobs, in order: an outcome, or nothing ever.
struct Told {
    outcomes: VecDeque<Option<Outcome>>,
    /// All end together, when nothing is left to be told.
    are_together: bool,
    finished: Vec<(u64, Outcome)>,
    tickets: u64,
}

impl Prepare for Told {
    fn submit(&mut self, _: Job, _: Instant) -> u64 {
        self.tickets += 1;
        if let Some(Some(outcome)) = self.outcomes.pop_front() {
            self.finished.push((self.tickets, outcome));
        }
        self.tickets
    }

    fn turn(&mut self, _: Instant) -> Vec<(u64, Outcome)> {
        if self.are_together && !self.outcomes.is_empty() {
            return Vec::new();
        }
        self.finished.reverse();
        std::mem::take(&mut self.finished)
    }

    fn deadline(&self) -> Option<Instant> {
        (!self.are_together && !self.finished.is_empty()).then(Instant::now)
    }
}

/// A server in a thread of its own.
struct Running {
    port: u16,
    certificate: Vec<u8>,
    base: PathBuf,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(name: &str, outcomes: Vec<Option<Outcome>>) -> Running {
        Running::with(name, outcomes, "400ms", false)
    }

    fn with(
        name: &str,
        outcomes: Vec<Option<Outcome>>,
        timeout: &'static str,
        are_together: bool,
    ) -> Running {
        let base = std::env::temp_dir().join(format!("webhook-{name}-{}", std::process::id()));
        let ends = Arc::new(AtomicBool::new(false));
        let (sender, ready) = channel();
        let (run_path, stop) = (base.clone(), Arc::clone(&ends));
        let thread = thread::spawn(move || {
            let mut settings = settings();
            let text = Setting::Text(run_path.to_string_lossy().into_owned());
            settings.set(&keys::RUN_PATH, text, "x");
            settings.set(&keys::ADMISSION_PORT, Setting::Count(0), "x");
            let told = Told {
                outcomes: outcomes.into(),
                are_together,
                finished: Vec::new(),
                tickets: 0,
            };
            let reload = Box::new(|| options(&[(&keys::ADMISSION_TIMEOUT, timeout)]));
            let mut server = Server::new(&settings, reload, |_| Ok(Box::new(told))).unwrap();
            let port = server.listeners[0].local_addr().unwrap().port();
            sender.send(port).unwrap();
            let mut events = Events::with_capacity(16);
            while !stop.load(Ordering::Relaxed) {
                server.wake(&mut events).unwrap();
            }
        });
        let port = ready.recv().unwrap();
        let certificate = std::fs::read(base.join("admission-controller.pem")).unwrap();
        Running {
            port,
            certificate,
            base,
            ends,
            thread: Some(thread),
        }
    }

    fn connect(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(&self.certificate).unwrap();
        roots.add(certificate).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = NAME.try_into().unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", self.port))
            .or_else(|_| TcpStream::connect(("::1", self.port)))
            .unwrap();
        StreamOwned::new(tls, stream)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // Somebody who knocks makes it look.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = TcpStream::connect(("::1", self.port));
        let ended = self.thread.take().unwrap().join();
        let _ = std::fs::remove_dir_all(&self.base);
        if !thread::panicking() {
            ended.unwrap();
        }
    }
}

/// Sends a request and reads its answer: the status and the body.
fn ask(stream: &mut (impl Read + Write), method: &str, path: &str, body: &str) -> (u16, String) {
    let request = request(method, path, body);
    stream.write_all(request.as_bytes()).unwrap();
    read_answer(stream)
}

fn request(method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn read_answer(stream: &mut impl Read) -> (u16, String) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(char::from(byte[0]));
    }
    let status = head[9..12].parse().unwrap();
    let length = head.split("Content-Length: ").nth(1).unwrap();
    let length = length.split("\r\n").next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (status, String::from_utf8(body).unwrap())
}

fn response(body: &str) -> Value {
    let answer: Value = serde_json::from_str(body).unwrap();
    assert_eq!(answer["response"]["allowed"], true, "{body}");
    answer
}

#[test]
fn one_connection_serves_many_requests() {
    let server = Running::start("many", Vec::new());
    let mut stream = server.connect();
    for (method, path, expected) in [
        ("GET", "/healthz", 200),
        ("POST", "/healthz", 405),
        ("GET", "/inject-pod-cws", 405),
        ("GET", "/elsewhere", 404),
        ("GET", "/metrics", 200),
    ] {
        assert_eq!(
            ask(&mut stream, method, path, "").0,
            expected,
            "{method} {path}"
        );
    }
    let body = pod_review(&pod()).to_string();
    let (status, text) = ask(&mut stream, "POST", "/inject-pod-cws?timeout=2s", &body);
    assert_eq!(status, 200);
    assert!(!patch_of(&response(&text)).as_array().unwrap().is_empty());
    let (status, text) = ask(&mut stream, "POST", "/inject-pod-cws", "garbage");
    assert_eq!(
        (status, &response(&text)["response"]["uid"]),
        (200, &json!(""))
    );
    let (_, text) = ask(&mut stream, "GET", "/metrics", "");
    for part in [
        "result=\"changed\"} 1\n",
        "reason=\"nil_input\"} 1\n",
        "connections 1\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn commands_wait_for_their_container() {
    let path = "/tmp/cws-instrumentation".to_owned();
    let outcomes = vec![
        Some(Outcome::Ready { path }),
        Some(Outcome::Skip(Reason::CopyFailed)),
        None,
    ];
    // Long, as the time from connecting on counts, and the first two are to be in time.
    let server = Running::with("wait", outcomes, "4s", false);
    let mut stream = server.connect();
    let review = exec_review(&json!(["sh"]), &json!({"username": "jane"}));
    let mut next = || {
        let (status, text) = ask(
            &mut stream,
            "POST",
            "/inject-command-cws",
            &review.to_string(),
        );
        assert_eq!(status, 200);
        let answer = response(&text);
        assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
        answer
    };
    let command = &patch_of(&next())[0]["value"];
    assert_eq!(command[0], "/tmp/cws-instrumentation");
    assert_eq!(command[7], "sh");
    // Neither a failure nor one that never comes back keeps a session from its begin.
    assert_eq!(next()["response"].get("patch"), None);
    assert_eq!(next()["response"].get("patch"), None);
    let (_, text) = ask(&mut stream, "GET", "/metrics", "");
    for part in [
        "result=\"changed\"} 1\n",
        "\"remote_copy_failed\"} 1\n",
        "result=\"late\"} 1\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn everybody_gets_the_answer_to_their_own_review() {
    let outcome = |number: usize| {
        let path = format!("/{number}");
        Some(Outcome::Ready { path })
    };
    let outcomes = vec![outcome(0), outcome(1)];
    let server = Running::with("together", outcomes, "30s", true);
    let reviews = ["jane", "john"].map(|user| {
        let mut review = exec_review(&json!(["sh"]), &json!({ "username": user }));
        review["request"]["uid"] = format!("uid-{user}").into();
        review
    });
    let mut streams = [server.connect(), server.connect()];
    for (stream, review) in streams.iter_mut().zip(&reviews) {
        let request = request("POST", "/inject-command-cws", &review.to_string());
        stream.write_all(request.as_bytes()).unwrap();
        stream.flush().unwrap();
    }
    let mut helpers = Vec::new();
    for (stream, review) in streams.iter_mut().zip(&reviews) {
        let answer = response(&read_answer(stream).1);
        assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
        let command = patch_of(&answer)[0]["value"].clone();
        let data: Value = serde_json::from_str(command[5].as_str().unwrap()).unwrap();
        assert_eq!(data, review["request"]["userInfo"]);
        helpers.push(command[0].clone());
    }
    // Whose request came first is not known, but they got one each.
    helpers.sort_by_key(Value::to_string);
    assert_eq!(helpers, ["/0", "/1"]);
}

/// A client may say at once that nothing more comes.
#[test]
fn the_last_request_of_a_client_is_answered() {
    let server = Running::start("last", Vec::new());
    let mut stream = server.connect();
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    let request = request("GET", "/healthz", "");
    stream.conn.writer().write_all(request.as_bytes()).unwrap();
    stream.conn.send_close_notify();
    assert_eq!(read_answer(&mut stream), (200, "ok\n".to_owned()));
}

#[test]
fn what_is_no_request_is_told_so() {
    let server = Running::start("refused", Vec::new());
    for (text, status) in [
        ("POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", "413"),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let mut stream = server.connect();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    let (_, metrics) = ask(&mut server.connect(), "GET", "/metrics", "");
    assert!(metrics.contains("requests_refused_total 2\n"), "{metrics}");
    // Plain HTTP is ended.
    let mut plain = TcpStream::connect(("127.0.0.1", server.port))
        .or_else(|_| TcpStream::connect(("::1", server.port)))
        .unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"));
}
