//! A server that takes flares, and does to their senders what it is told: answers, redirects,
//! hangs, resets, reads slowly.
//!
//! Plain HTTP on a port of 127.0.0.1. Answers are queued apart for HEAD and for other methods.
//! Requests are kept as the bytes that came, framing included: a program that is not of these
//! tests takes them apart ([`Received::parse`]).

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};
use serde_json::Value;

use crate::finished::finish;
use crate::report::{ensure, Failure};
use crate::scratch::{self, patience};

/// The program that takes requests apart.
const PARSER: &str = include_str!("../fixtures/parse_upload.py");
/// Seconds for it.
const PARSER_SECONDS: u64 = 60;
/// Bytes that the kernel takes ahead of a server that reads slowly.
const SMALL_BUFFER: usize = 64 * 1024;
/// Bytes between two pauses of a slow server.
const STEP: u64 = 2 << 20;
/// Between two looks whether the server is down.
const LOOK: Duration = Duration::from_millis(20);

/// What happens to one request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Status with its reason, headers, and a body.
    Full(&'static str, Vec<(&'static str, String)>, String),
    /// The same, before the body of the request is read.
    Early(&'static str, String),
    /// None, until the server is gone.
    Never,
    /// None, and the body of the request is not read either.
    Deaf,
    /// Resets the connection after so many bytes of the body.
    ResetAfter(u64),
    /// Success at last; so many pauses of this length while the body is read.
    Paced(u32, Duration),
}

impl Answer {
    /// An answer with a JSON body.
    pub(crate) fn json(status: &'static str, body: &str) -> Answer {
        let kind = ("Content-Type", "application/json".to_owned());
        Answer::Full(status, vec![kind], body.to_owned())
    }

    /// An answer without a body.
    pub(crate) fn empty(status: &'static str) -> Answer {
        Answer::Full(status, Vec::new(), String::new())
    }

    /// Sends the client elsewhere.
    pub(crate) fn redirect(status: &'static str, location: &str) -> Answer {
        let location = ("Location", location.to_owned());
        Answer::Full(status, vec![location], String::new())
    }

    /// The flare was taken and has this case id.
    pub(crate) fn success(id: u32) -> Answer {
        Answer::json("200 OK", &format!("{{\"case_id\":{id},\"error\":\"\"}}"))
    }
}

/// One request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    raw: Vec<u8>,
}

impl Received {
    /// Request line and headers.
    pub(crate) fn head(&self) -> String {
        let text = String::from_utf8_lossy(&self.raw);
        text.split("\r\n\r\n").next().unwrap_or_default().to_owned()
    }

    /// The method, and what it is asked of: path and query.
    pub(crate) fn asked(&self) -> String {
        let head = self.head();
        let words: Vec<&str> = head.split(' ').take(2).collect();
        words.join(" ")
    }

    /// Whether this text is in a header or the body; the request line does not count.
    pub(crate) fn holds(&self, text: &str) -> bool {
        let line = self.raw.iter().position(|byte| *byte == b'\n');
        let rest = self.raw.get(line.unwrap_or(0)..).unwrap_or_default();
        rest.windows(text.len()).any(|part| part == text.as_bytes())
    }

    /// What Python finds in it; see the fixture.
    pub(crate) fn parse(&self) -> Result<Value, Failure> {
        let python = python()?;
        let path = scratch::directory("request")?.join("request");
        fs::write(&path, &self.raw)?;
        let mut command = Command::new(python);
        command.args(["-c", PARSER]).arg(&path);
        let done = finish(command, patience(PARSER_SECONDS))?;
        ensure(done.code == Some(0), || {
            format!("{}: {}", self.head(), done.said())
        })?;
        Ok(serde_json::from_str(&done.stdout)?)
    }
}

/// Python, where there is one.
pub(crate) fn python() -> Result<&'static str, Failure> {
    if scratch::in_vm() {
        let sentence = "the virtual machine has no python3";
        return Err(Failure::NotApplicable(sentence.to_owned()));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|one| one.join("python3").is_file());
    match found {
        true => Ok("python3"),
        false => Err(Failure::Skipped("there is no python3".to_owned())),
    }
}

#[derive(Default)]
struct State {
    heads: VecDeque<Answer>,
    posts: VecDeque<Answer>,
    received: Vec<Received>,
    connections: Vec<Weak<TcpStream>>,
    down: bool,
}

type Shared = Arc<Mutex<State>>;

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The server; down when dropped.
pub(crate) struct FlareServer {
    address: SocketAddr,
    shared: Shared,
    listening: Option<JoinHandle<()>>,
}

impl FlareServer {
    /// Answers 200 to HEAD and success to everything else, unless something is queued.
    pub(crate) fn start() -> Result<FlareServer, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        setsockopt(&listener, sockopt::RcvBuf, &SMALL_BUFFER)?;
        let address = listener.local_addr()?;
        let shared = Shared::default();
        let for_thread = Arc::clone(&shared);
        let listening = Some(thread::spawn(move || listen(&listener, &for_thread)));
        Ok(FlareServer {
            address,
            shared,
            listening,
        })
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What the next HEAD meets.
    pub(crate) fn then_head(&self, answer: Answer) {
        lock(&self.shared).heads.push_back(answer);
    }

    /// What the next request of another method meets.
    pub(crate) fn then_post(&self, answer: Answer) {
        lock(&self.shared).posts.push_back(answer);
    }

    /// The requests since this was asked last; what is queued is forgotten.
    pub(crate) fn take(&self) -> Vec<Received> {
        let mut state = lock(&self.shared);
        state.heads.clear();
        state.posts.clear();
        std::mem::take(&mut state.received)
    }
}

impl Drop for FlareServer {
    fn drop(&mut self) {
        let connections = {
            let mut state = lock(&self.shared);
            state.down = true;
            std::mem::take(&mut state.connections)
        };
        for connection in connections.iter().filter_map(Weak::upgrade) {
            // The other side may have been faster.
            let _ = connection.shutdown(Shutdown::Both);
        }
        // The listener waits for a connection: this one tells it to look around.
        let _ = TcpStream::connect(self.address);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

fn listen(listener: &TcpListener, shared: &Shared) {
    for stream in listener.incoming().flatten() {
        let stream = Arc::new(stream);
        {
            let mut state = lock(shared);
            if state.down {
                return;
            }
            state.connections.push(Arc::downgrade(&stream));
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // A sender that breaks off is what some tests are about.
            let _ = serve(&stream, &shared);
        });
    }
}

/// Keeps what is read through it.
struct Recorder<'a> {
    stream: &'a TcpStream,
    kept: Vec<u8>,
}

impl Read for Recorder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.stream.read(buffer)?;
        self.kept
            .extend_from_slice(buffer.get(..size).unwrap_or_default());
        Ok(size)
    }
}

/// One request, one answer, and the connection ends. No sender speaks before it is answered, so
/// what was read is one request.
fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut input = BufReader::new(Recorder {
        stream,
        kept: Vec::new(),
    });
    let head = read_head(&mut input)?;
    if head.is_empty() {
        return Ok(());
    }
    let is_head = head.starts_with("HEAD ");
    let answer = {
        let mut state = lock(shared);
        let queue = match is_head {
            true => &mut state.heads,
            false => &mut state.posts,
        };
        queue.pop_front().unwrap_or_else(|| match is_head {
            true => Answer::empty("200 OK"),
            false => Answer::success(123),
        })
    };
    let result = meet(stream, &mut input, &head, &answer, shared);
    if !matches!(answer, Answer::Full(..) | Answer::Paced(..)) {
        keep(&mut input, shared);
    }
    result
}

/// Put down before the answer goes out, so that whoever has the answer finds it.
fn keep(input: &mut BufReader<Recorder>, shared: &Shared) {
    let raw = std::mem::take(&mut input.get_mut().kept);
    lock(shared).received.push(Received { raw });
}

fn meet(
    mut stream: &TcpStream,
    input: &mut BufReader<Recorder>,
    head: &str,
    answer: &Answer,
    shared: &Shared,
) -> io::Result<()> {
    match answer {
        Answer::Full(status, headers, body) => {
            read_body(input, head, &mut |_| {})?;
            keep(input, shared);
            stream.write_all(respond(head, status, headers, body).as_bytes())
        }
        Answer::Early(status, body) => {
            stream.write_all(respond(head, status, &[], body).as_bytes())?;
            // Closing with something unread is a reset.
            stream.shutdown(Shutdown::Write)?;
            io::copy(input, &mut io::sink()).map(drop)
        }
        Answer::Never => {
            read_body(input, head, &mut |_| {})?;
            wait_until_down(shared);
            Ok(())
        }
        Answer::Deaf => {
            wait_until_down(shared);
            Ok(())
        }
        Answer::ResetAfter(most) => {
            io::copy(&mut input.by_ref().take(*most), &mut io::sink())?;
            let at_once = linger {
                l_onoff: 1,
                l_linger: 0,
            };
            Ok(setsockopt(&stream, sockopt::Linger, &at_once)?)
        }
        Answer::Paced(pauses, pause) => {
            let (mut next, mut left) = (STEP, *pauses);
            read_body(input, head, &mut |size| {
                if size >= next && left > 0 {
                    thread::sleep(*pause);
                    (next, left) = (size + STEP, left - 1);
                }
            })?;
            keep(input, shared);
            let (status, body) = ("200 OK", "{\"case_id\":123}");
            let kind = [("Content-Type", "application/json".to_owned())];
            stream.write_all(respond(head, status, &kind, body).as_bytes())
        }
    }
}

fn wait_until_down(shared: &Shared) {
    while !lock(shared).down {
        thread::sleep(LOOK);
    }
}

fn respond(head: &str, status: &str, headers: &[(&str, String)], body: &str) -> String {
    let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    if !head.starts_with("HEAD ") {
        text.push_str(body);
    }
    text
}

/// Request line and headers, and the go-ahead that some senders wait for; empty at the end.
fn read_head(input: &mut BufReader<Recorder>) -> io::Result<String> {
    let mut head = String::new();
    while input.read_line(&mut head)? > 2 {}
    if header(&head, "expect").eq_ignore_ascii_case("100-continue") {
        let mut stream = input.get_ref().stream;
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    Ok(head)
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let mut pairs = head.lines().filter_map(|line| line.split_once(':'));
    pairs
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map_or("", |(_, value)| value.trim())
}

/// Reads the body to its end; `progress` is told how much of it has come.
fn read_body(
    input: &mut BufReader<Recorder>,
    head: &str,
    progress: &mut dyn FnMut(u64),
) -> io::Result<()> {
    if !header(head, "transfer-encoding").eq_ignore_ascii_case("chunked") {
        let size = header(head, "content-length").parse().unwrap_or(0);
        return skip(input, size);
    }
    let mut all = 0;
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(digits, 16).map_err(io::Error::other)?;
        // The last chunk is empty, and so is what follows it when there are no trailers.
        skip(input, size + 2)?;
        if size == 0 {
            return Ok(());
        }
        all += size;
        progress(all);
    }
}

fn skip(input: &mut BufReader<Recorder>, size: u64) -> io::Result<()> {
    match io::copy(&mut input.by_ref().take(size), &mut io::sink())? == size {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
