//! Requests against servers on 127.0.0.1, directly and through the worker.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use mio::{Events, Poll, Token};

use super::testing::{post, transport, Reply, Server, OK};
use super::worker::Job;
use super::*;

#[test]
fn a_request_arrives_as_it_was_given_and_its_answer_is_read() {
    let server = Server::start(&[Reply::Send(
        "HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Type: text/plain\r\n\
         Content-Length: 5\r\n\r\nlater",
    )]);
    let answer = send(&transport(), &post(&server.url("/api?x=1"), b"[1]")).unwrap();
    let expected = Answer {
        status: 429,
        retry_after: Some(Duration::from_secs(7)),
        content_type: "text/plain".to_owned(),
        location: String::new(),
        body: "later".to_owned(),
    };
    assert_eq!(answer, expected);
    let got = server.got.recv().unwrap();
    assert_eq!(got.first_line, "POST /api?x=1 HTTP/1.1");
    assert_eq!(got.header("user-agent"), "datadog-agent/0");
    assert_eq!(got.header("dd-api-key"), "secret");
    assert_eq!(got.header("host"), server.address.to_string());
    assert_eq!(got.body, b"[1]");
}

#[test]
fn a_client_keeps_its_connection_and_follows_no_redirect() {
    let redirect = "HTTP/1.1 308 Moved\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start(&[OK, Reply::Send(redirect), OK]);
    let mut client = Client::new(&transport()).unwrap();
    let request = post(&server.url("/a"), b"x");
    assert_eq!(client.send(&request).unwrap().status, 202);
    let moved = client.send(&request).unwrap();
    assert_eq!((moved.status, moved.location.as_str()), (308, "/b"));
    client.send(&request).unwrap();
    let connections: Vec<usize> = server
        .got
        .iter()
        .take(3)
        .map(|got| got.connection)
        .collect();
    assert_eq!(connections[..2], [0, 0]);
}

#[test]
fn only_the_begin_of_a_long_body_is_kept() {
    let body = "x".repeat(10_000);
    let text = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let server = Server::start(&[Reply::Send(text.leak())]);
    let answer = send(&transport(), &post(&server.url("/"), b"")).unwrap();
    assert_eq!(answer.body, "x".repeat(4_096));
}

#[test]
fn what_goes_wrong_is_said_without_secrets() {
    let closed = "127.0.0.1:1".to_owned();
    let server = |reply| Server::start(&[reply]);
    let (reset, half, other, hang) = (
        server(Reply::SendAndClose("")),
        server(Reply::SendAndClose(
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
        )),
        server(Reply::SendAndClose("220 mail.example ESMTP\r\n")),
        server(Reply::Hang),
    );
    let at = |server: &Server| server.address.to_string();
    let cases = [
        (closed, "the connection was refused"),
        ("nowhere.invalid".to_owned(), "the name cannot be resolved"),
        (at(&reset), "closed before the answer"),
        (at(&half), "closed before the answer"),
        (at(&other), "does not speak HTTP/1.1"),
        (at(&hang), "timed out while waiting for the answer"),
    ];
    for (host, expected) in cases {
        let mut transport = transport();
        if expected.contains("timed out") {
            transport.read = Duration::from_millis(50);
        }
        let url = format!("http://user:pass@{host}/path?key=hidden");
        let error = send(&transport, &post(&url, b"body")).unwrap_err();
        let sentence = error.to_string();
        assert!(sentence.contains(expected), "{host}: {sentence}");
        for secret in ["user", "pass", "hidden", "secret"] {
            assert!(!sentence.contains(secret), "{sentence}");
        }
    }
    for url in ["x", "ftp://h", "http://", "/path"] {
        let sentence = send(&transport(), &post(url, b"")).unwrap_err().to_string();
        assert!(sentence.contains("not understood"), "{url}: {sentence}");
    }
}

#[test]
fn an_answer_that_comes_before_the_whole_body_was_sent_is_read() {
    let refusal = Reply::Refuse("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    let long = vec![b'y'; 50_000_000];
    for server in [Server::start(&[refusal]), Server::start_tls(&[refusal])] {
        let mut transport = transport();
        transport.skip_verification = true;
        let mut client = Client::new(&transport).unwrap();
        let request = post(&server.url("/"), &long);
        // Its connection is not used again.
        for connection in 0..2 {
            let answer = client.send(&request).unwrap();
            assert_eq!((answer.status, answer.body.as_str()), (413, "no"));
            assert_eq!(server.got.recv().unwrap().connection, connection);
        }
    }
}

#[test]
fn a_body_that_is_read_goes_in_chunks_and_a_head_has_none() {
    let server = Server::start(&[OK]);
    let mut client = Client::new(&transport()).unwrap();
    let mut request = post(&server.url("/"), b"left out");
    let long = vec![b'y'; 100_000];
    client.send_read(&request, &mut &long[..]).unwrap();
    let got = server.got.recv().unwrap();
    assert!(got.body == long && got.chunks.len() > 1);
    request.method = "HEAD".to_owned();
    client.send(&request).unwrap();
    let got = server.got.recv().unwrap();
    assert_eq!(got.first_line, "HEAD / HTTP/1.1");
    assert_eq!((got.header("content-length"), got.body.len()), ("", 0));
}

#[test]
fn the_overall_time_ends_a_slow_request() {
    let server = Server::start(&[Reply::Hang]);
    let mut transport = transport();
    transport.overall = Duration::from_millis(50);
    let error = send(&transport, &post(&server.url("/"), b"")).unwrap_err();
    assert!(error.to_string().contains("as a whole"), "{error}");
}

#[test]
fn http_goes_to_a_proxy_with_the_whole_url() {
    let proxy = Server::start(&[
        OK,
        OK,
        Reply::Send("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"),
    ]);
    let mut transport = transport();
    transport.proxy = Some(format!("http://us%40er:pa%3Ass@{}", proxy.address));
    let mut client = Client::new(&transport).unwrap();
    let long = vec![b'y'; 200_000];
    let request = post("http://target.invalid:81/a/b?c=d", &long);
    for _ in 0..2 {
        assert_eq!(client.send(&request).unwrap().status, 202);
        let got = proxy.got.recv().unwrap();
        let line = "POST http://target.invalid:81/a/b?c=d HTTP/1.1";
        assert_eq!((got.first_line.as_str(), got.connection), (line, 0));
        assert_eq!(got.header("host"), "target.invalid:81");
        assert_eq!(got.header("proxy-authorization"), "Basic dXNAZXI6cGE6c3M=");
        assert_eq!(got.body, long);
    }
    let error = client.send(&request).unwrap_err().to_string();
    assert!(error.contains("the proxy refused the user"), "{error}");
    assert!(
        error.starts_with("target.invalid:81 through the proxy 127.0.0.1:"),
        "{error}"
    );
}

#[test]
fn https_goes_through_a_tunnel_of_the_proxy() {
    let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
    let proxy = Server::start(&[Reply::Send(refusal)]);
    let mut transport = transport();
    transport.proxy = Some(format!("user:pass@{}", proxy.address));
    transport.skip_verification = true;
    let error = send(&transport, &post("https://target.invalid/x", b"")).unwrap_err();
    let sentence = error.to_string();
    assert!(
        sentence.contains("the proxy refused the user"),
        "{sentence}"
    );
    let got = proxy.got.recv().unwrap();
    assert_eq!(got.first_line, "CONNECT target.invalid:443 HTTP/1.1");
    assert_eq!(got.header("proxy-authorization"), "Basic dXNlcjpwYXNz");
    assert_eq!(got.header("dd-api-key"), "", "the proxy is not told");
    for proxy in ["socks5://h:1", "ftp://h", "http://", "h h"] {
        transport.proxy = Some(proxy.to_owned());
        let error = send(&transport, &post("https://t.invalid", b"")).unwrap_err();
        assert!(error.to_string().contains("the proxy is not understood"));
    }
}

/// Serves as the worker process does, in a thread.
pub(crate) fn in_a_thread() -> std::io::Result<(UnixStream, Option<Child>)> {
    let (ours, theirs) = UnixStream::pair()?;
    thread::spawn(move || serve::serve(theirs));
    Ok((ours, None))
}

/// A process that holds its socket and never answers.
fn that_hangs() -> std::io::Result<(UnixStream, Option<Child>)> {
    let (ours, theirs) = UnixStream::pair()?;
    let held = std::os::fd::OwnedFd::from(theirs);
    let child = Command::new("sleep").arg("600").stdin(held).spawn()?;
    Ok((ours, Some(child)))
}

fn that_dies() -> std::io::Result<(UnixStream, Option<Child>)> {
    let (ours, theirs) = UnixStream::pair()?;
    thread::spawn(move || (&theirs).read_exact(&mut [0; 8]));
    Ok((ours, None))
}

/// Turns until the request is over, woken by the socket only.
fn finish(worker: &mut Worker, poll: &mut Poll) -> Result<Answer, String> {
    let mut events = Events::with_capacity(4);
    loop {
        if let Some(result) = worker.turn(Instant::now()) {
            return result;
        }
        poll.poll(&mut events, Some(Duration::from_secs(20)))
            .unwrap();
    }
}

#[test]
fn a_worker_makes_one_request_after_the_other() {
    let server = Server::start(&[OK]);
    let mut poll = Poll::new().unwrap();
    let mut worker = Worker::started_by(poll.registry(), Token(0), in_a_thread).unwrap();
    // More than any socket buffer holds, so that it is written in pieces.
    let body: Vec<u8> = (0..10_000_000u32).map(|n| (n % 251) as u8).collect();
    for compression in [None, Some(6), None] {
        let job = Job {
            transport: transport(),
            request: post(&server.url("/"), &body),
            compression,
        };
        worker.submit(job.clone(), Instant::now()).unwrap();
        assert!(worker.is_busy() && worker.deadline().is_some());
        assert!(worker.submit(job, Instant::now()).is_err());
        assert_eq!(finish(&mut worker, &mut poll).unwrap().status, 202);
        assert!(!worker.is_busy() && worker.deadline().is_none());
        let got = server.got.recv().unwrap();
        assert_eq!(got.connection, 0);
        let mut arrived = got.body.clone();
        if compression.is_some() {
            assert_eq!(got.header("content-encoding"), "gzip");
            arrived.clear();
            GzDecoder::new(&got.body[..])
                .read_to_end(&mut arrived)
                .unwrap();
        }
        assert!(arrived == body);
    }
    worker.stop();
}

#[test]
fn a_worker_that_hangs_is_killed_and_started_again() {
    let mut poll = Poll::new().unwrap();
    let mut worker = Worker::started_by(poll.registry(), Token(0), that_hangs).unwrap();
    let job = Job {
        transport: transport(),
        request: post("http://127.0.0.1:1", &[0; 1_000_000]),
        compression: None,
    };
    let now = Instant::now();
    worker.submit(job.clone(), now).unwrap();
    assert_eq!(worker.deadline(), Some(now + Duration::from_secs(25)));
    assert!(worker.turn(now + Duration::from_secs(24)).is_none());
    assert!(worker.process().is_some());
    let error = worker
        .turn(now + Duration::from_secs(25))
        .unwrap()
        .unwrap_err();
    assert!(error.contains("was killed"), "{error}");
    assert!(worker.process().is_none() && worker.turn(now).is_none());

    let mut worker = Worker::started_by(poll.registry(), Token(1), that_dies).unwrap();
    for _ in 0..2 {
        // It may be gone before everything is written to it.
        let error = match worker.submit(job.clone(), Instant::now()) {
            Ok(()) => finish(&mut worker, &mut poll).unwrap_err(),
            Err(error) => error,
        };
        let expected = ["has ended", "cannot be started"];
        assert!(
            expected.iter().any(|words| error.contains(words)),
            "{error}"
        );
        assert!(!worker.is_busy() && worker.process().is_none());
    }
}
