//! Uploads to servers on 127.0.0.1.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use super::*;
use crate::config::{Key, Value};
use crate::http::testing::{Got, Reply, Server, AUTHORITY};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const FOUND: Reply = Reply::Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
const MISSING: Reply = Reply::Send("HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n");
const TAKEN: Reply = Reply::Send(
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"case_id\": 471}",
);
const SUCCESS: &str =
    "Your logs were successfully uploaded. For future reference, your internal case id is 471";

/// Settings and an archive in a directory of their own.
struct Setup {
    base: PathBuf,
    settings: Settings,
}

impl Drop for Setup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.base);
    }
}

impl Setup {
    fn new(dd_url: &str, size: usize) -> Setup {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let base = std::env::temp_dir().join(format!("upload-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&base).unwrap();
        let mut setup = Setup {
            base,
            settings: Settings::empty(true),
        };
        setup.set(&keys::API_KEY, KEY);
        setup.set(&keys::DD_URL, dd_url);
        std::fs::write(setup.archive(), content(size)).unwrap();
        setup
    }

    fn set(&mut self, key: &Key, text: &str) {
        let value = Value::from_text(key.kind, text).unwrap();
        self.settings.set(key, value, "x");
    }

    fn archive(&self) -> PathBuf {
        self.base.join("flare.tar.gz")
    }

    fn send(&self) -> Outcome {
        let archive = self.archive();
        let upload = Upload {
            settings: &self.settings,
            archive: &archive,
            case_id: None,
            email: None,
            hostname: "host.example",
        };
        upload.send(&mut |_, _| ())
    }

    /// The error of an upload that nobody answered.
    fn fail(&self) -> String {
        let outcome = self.send();
        assert_eq!(outcome.text, "");
        let error = outcome.error.unwrap();
        for secret in [KEY, "api_key", "?"] {
            assert!(!error.contains(secret), "{error}");
        }
        error
    }
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n % 251) as u8).collect()
}

fn base(server: &Server) -> String {
    server.url("")
}

fn success() -> Outcome {
    Outcome {
        text: SUCCESS.to_owned(),
        error: None,
    }
}

fn moved(location: &str) -> Reply {
    let text = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    );
    Reply::Send(text.leak())
}

fn first_lines(server: &Server, count: usize) -> Vec<String> {
    let got = server.got.iter().take(count);
    got.map(|got| got.first_line).collect()
}

/// Names of the parts of a form, and what stands after each name.
fn parts(got: &Got) -> Vec<(String, Vec<u8>)> {
    let content_type = got.header("content-type");
    let boundary = content_type
        .strip_prefix("multipart/form-data; boundary=")
        .unwrap();
    let separator = format!("\r\n--{boundary}").into_bytes();
    let body = [b"\r\n", got.body.as_slice()].concat();
    let mut rest = body.as_slice();
    let mut found = Vec::new();
    while let Some(place) = rest.windows(separator.len()).position(|w| w == separator) {
        found.push(&rest[..place]);
        rest = &rest[place + separator.len()..];
    }
    assert_eq!((found.remove(0), rest), (&b""[..], &b"--\r\n"[..]));
    let start = b"\r\nContent-Disposition: form-data; name=\"";
    let cut = |part: &[u8]| {
        let part = part.strip_prefix(start).unwrap();
        let end = part.iter().position(|byte| *byte == b'"').unwrap();
        let name = String::from_utf8(part[..end].to_vec()).unwrap();
        (name, part[end + 1..].to_vec())
    };
    found.into_iter().map(cut).collect()
}

#[test]
fn the_archive_arrives_in_chunks_behind_its_fields() {
    let server = Server::start(&[MISSING, TAKEN]);
    let setup = Setup::new(&format!("{}/", base(&server)), 1_000_000);
    let archive = setup.archive();
    let upload = Upload {
        settings: &setup.settings,
        archive: &archive,
        case_id: Some("12 3"),
        email: Some("a@b.example"),
        hostname: "host.example",
    };
    let mut told = Vec::new();
    let outcome = upload.send(&mut |sent, total| told.push((sent, total)));
    assert_eq!(outcome, success());
    assert_eq!(told.first(), Some(&(0, 1_000_000)));
    assert_eq!(told.last(), Some(&(1_000_000, 1_000_000)));
    assert!(told.is_sorted() && told.len() > 10);

    let head = server.got.recv().unwrap();
    let path = format!("/support/flare/12%203?api_key={KEY} HTTP/1.1");
    assert_eq!(head.first_line, format!("HEAD {path}"));
    assert_eq!(
        (
            head.header("content-length"),
            head.header("transfer-encoding")
        ),
        ("", "")
    );
    let post = server.got.recv().unwrap();
    assert_eq!(post.first_line, format!("POST {path}"));
    assert_eq!(post.header("transfer-encoding"), "chunked");
    assert_eq!(post.header("content-length"), "");
    assert!(post.chunks.len() > 10);
    let text = |name: &str, value: &str| (name.to_owned(), format!("\r\n\r\n{value}").into_bytes());
    let file = "; filename=\"flare.tar.gz\"\r\nContent-Type: application/octet-stream\r\n\r\n";
    let file = [file.as_bytes(), &content(1_000_000)].concat();
    let expected = [
        text("case_id", "12 3"),
        text("email", "a@b.example"),
        ("flare_file".to_owned(), file),
        text("agent_version", "7.83.0"),
        text("hostname", "host.example"),
    ];
    assert!(parts(&post) == expected);
}

#[test]
fn what_is_not_given_is_left_out() {
    let server = Server::start(&[FOUND, TAKEN]);
    let mut setup = Setup::new(&base(&server), 0);
    setup.set(&keys::API_KEY, "");
    let archive = setup.archive();
    let upload = Upload {
        settings: &setup.settings,
        archive: &archive,
        case_id: Some(""),
        email: Some(""),
        hostname: "h",
    };
    assert_eq!(upload.send(&mut |_, _| ()), success());
    assert_eq!(
        server.got.recv().unwrap().first_line,
        "HEAD /support/flare?api_key= HTTP/1.1"
    );
    let post = server.got.recv().unwrap();
    let names: Vec<String> = parts(&post).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["flare_file", "agent_version", "hostname"]);
}

#[test]
fn the_answer_decides_what_is_said() {
    let long = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 60016\r\n\r\n{{\"case_id\": 471}}{}", " ".repeat(60_000));
    let not_understood =
        "Error: could not deserialize response body -- Please contact support by email.";
    let refused = "HTTP 403 Forbidden: Make sure your API key is valid. API Key ending with: bcdef";
    let cases = [
        (long.as_str(), SUCCESS, None),
        ("403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "", Some(refused)),
        (
            "500 Odd\r\nContent-Length: 4\r\n\r\noops",
            not_understood,
            Some("HTTP 500 Internal Server Error\nServer returned:\noops"),
        ),
        (
            "307 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
            not_understood,
            Some("HTTP 307 Temporary Redirect\nServer returned:\n"),
        ),
        (
            "200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n{}",
            not_understood,
            Some("Server returned a 200 but with an unknown content-type text/html"),
        ),
        (
            "200 OK\r\nContent-Length: 2\r\n\r\n{}",
            not_understood,
            Some("Server returned a 200 but with no content-type header"),
        ),
        (
            "200 OK\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{\"error\": \"it is\"}",
            "An error occurred while uploading the flare: it is. Please contact support by email.",
            Some("it is"),
        ),
    ];
    for (answer, text, error) in cases {
        let answer = match answer.starts_with("HTTP") {
            true => answer.to_owned(),
            false => format!("HTTP/1.1 {answer}"),
        };
        let server = Server::start(&[FOUND, Reply::Send(answer.leak())]);
        let outcome = Setup::new(&base(&server), 10).send();
        assert_eq!(
            (outcome.text.as_str(), outcome.error.as_deref()),
            (text, error)
        );
        assert_eq!(first_lines(&server, 2).len(), 2);
    }
    let server = Server::start(&[
        FOUND,
        Reply::Send("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"),
    ]);
    let mut setup = Setup::new(&base(&server), 10);
    setup.set(&keys::API_KEY, "");
    let error = setup.send().error.unwrap();
    assert_eq!(error, "HTTP 403 Forbidden: API key is missing");
}

#[test]
fn redirects_are_followed_before_the_archive_is_sent() {
    let last = Server::start(&[FOUND, TAKEN]);
    let there = format!("{}/c?api_key=given", base(&last));
    let first = Server::start(&[moved("/a?x=1"), moved("b"), moved(&there)]);
    assert_eq!(Setup::new(&base(&first), 10).send(), success());
    let expected = [
        format!("HEAD /support/flare?api_key={KEY} HTTP/1.1"),
        format!("HEAD /a?x=1&api_key={KEY} HTTP/1.1"),
        format!("HEAD /b?api_key={KEY} HTTP/1.1"),
    ];
    assert_eq!(first_lines(&first, 3), expected);
    let expected = [
        "HEAD /c?api_key=given HTTP/1.1",
        "POST /c?api_key=given HTTP/1.1",
    ];
    assert_eq!(first_lines(&last, 2), expected);

    // Another server gets no key that the first one did not send there.
    let last = Server::start(&[FOUND, TAKEN]);
    let first = Server::start(&[moved(&format!("{}/c", base(&last)))]);
    assert_eq!(Setup::new(&base(&first), 10).send(), success());
    assert_eq!(
        first_lines(&last, 2),
        ["HEAD /c HTTP/1.1", "POST /c HTTP/1.1"]
    );

    let server = Server::start(&[moved("/again")]);
    let error = Setup::new(&base(&server), 10).fail();
    assert!(error.contains("more than 10"), "{error}");
    assert_eq!(server.got.try_iter().count(), 11);
}

#[test]
fn nothing_is_sent_where_no_flare_belongs() {
    let cases = [
        ("503 Odd\r\n", "503 Service Unavailable"),
        ("405 Odd\r\n", "405 Method Not Allowed"),
        ("403 Odd\r\n", "403 Forbidden"),
        ("302 Odd\r\n", "302 Found"),
        ("304 Odd\r\nLocation: /x\r\n", "304 Not Modified"),
        (
            "307 Odd\r\nLocation: ftp://h.invalid/\r\n",
            "one leads to what is no http or https URL; check dd_url, site and the proxy",
        ),
    ];
    for (answer, expected) in cases {
        let answer = format!("HTTP/1.1 {answer}Content-Length: 0\r\n\r\n");
        let server = Server::start(&[Reply::Send(answer.leak())]);
        let error = Setup::new(&base(&server), 10).fail();
        let start = "Could not determine flare URL via redirects: ";
        assert_eq!(error.strip_prefix(start), Some(expected));
        assert_eq!(server.got.try_iter().count(), 1);
    }
    let setup = Setup::new("http://127.0.0.1:1", 10);
    let error = setup.fail();
    assert_eq!(error, "127.0.0.1:1: the connection was refused");
    std::fs::remove_file(setup.archive()).unwrap();
    let error = setup.fail();
    assert!(error.contains("flare.tar.gz cannot be read: "), "{error}");
    let error = Setup::new("127.0.0.1:1", 10).fail();
    assert!(
        error.contains("write http://host or https://host"),
        "{error}"
    );
}

#[test]
fn a_server_that_does_not_move_is_given_up() {
    // More than the buffers of any socket.
    let sizes = [
        (Reply::Hang, 10, "waiting for the answer"),
        (Reply::Stall, 50_000_000, "sending the request"),
    ];
    for (reply, size, phase) in sizes {
        for server in [
            Server::start(&[FOUND, reply]),
            Server::start_tls(&[FOUND, reply]),
        ] {
            let mut setup = Setup::new(&base(&server), size);
            setup.set(&keys::SKIP_SSL_VALIDATION, "true");
            // It holds for each step of the handshake, too.
            setup.set(&keys::FLARE_UPLOAD_TIMEOUT, "4s");
            // The time of an intake does not count, however short it is.
            setup.set(&keys::ENDPOINTS_TIMEOUT, "1ms");
            setup.set(&keys::ENDPOINTS_READ_TIMEOUT, "1ms");
            let error = setup.fail();
            let expected = format!("{}: timed out while {phase}", server.address);
            assert_eq!(error, expected);
        }
    }
}

#[test]
fn an_answer_that_comes_early_is_read_and_a_reset_is_said() {
    let refusal = "HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\n\r\ntoo long";
    let expected = "HTTP 413 Payload Too Large\nServer returned:\ntoo long";
    for reply in [refusal, ""] {
        let replies = [FOUND, Reply::Refuse(reply)];
        for server in [Server::start(&replies), Server::start_tls(&replies)] {
            let mut setup = Setup::new(&base(&server), 50_000_000);
            setup.set(&keys::SKIP_SSL_VALIDATION, "true");
            let archive = setup.archive();
            let upload = Upload {
                settings: &setup.settings,
                archive: &archive,
                case_id: None,
                email: None,
                hostname: "h",
            };
            let mut sent = 0;
            let error = upload.send(&mut |now, _| sent = now).error.unwrap();
            match reply {
                "" => assert!(error.ends_with("closed before the answer"), "{error}"),
                _ => assert_eq!(error, expected),
            }
            assert!(sent < 50_000_000, "the rest is not read");
        }
    }
}

#[test]
fn the_proxy_of_the_configuration_is_used() {
    let proxy = Server::start(&[FOUND, TAKEN]);
    let mut setup = Setup::new("http://flare.invalid", 500_000);
    setup.set(&keys::PROXY_HTTP, &base(&proxy));
    assert_eq!(setup.send(), success());
    let path = format!("http://flare.invalid/support/flare?api_key={KEY} HTTP/1.1");
    assert_eq!(proxy.got.recv().unwrap().first_line, format!("HEAD {path}"));
    let post = proxy.got.recv().unwrap();
    assert_eq!(post.first_line, format!("POST {path}"));
    assert!(post.header("host") == "flare.invalid" && post.chunks.len() > 5);
    assert_eq!(parts(&post).len(), 3);

    // Of the two, only https goes through a tunnel, and the proxy sees nothing of it.
    let proxy = Server::start(&[Reply::Send("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")]);
    let mut setup = Setup::new("https://flare.invalid", 10);
    setup.set(&keys::PROXY_HTTPS, &base(&proxy));
    setup.set(&keys::SKIP_SSL_VALIDATION, "true");
    let error = setup.fail();
    assert!(
        error.ends_with("the proxy refused to connect (status 503)"),
        "{error}"
    );
    assert_eq!(
        first_lines(&proxy, 1),
        ["CONNECT flare.invalid:443 HTTP/1.1"]
    );
}

/// A proxy that makes a tunnel to this server, whatever server it is asked for.
fn tunnel_to(address: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            assert!(head.starts_with(b"CONNECT flare.invalid:443 HTTP/1.1\r\n"));
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let mut server = TcpStream::connect(address).unwrap();
            let mut back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || io::copy(&mut back.0, &mut back.1));
            thread::spawn(move || {
                let _ = io::copy(&mut client, &mut server);
                let _ = server.shutdown(Shutdown::Both);
            });
        }
    });
    proxy
}

#[test]
fn https_goes_through_a_tunnel_to_a_server_that_is_verified() {
    let server = Server::start_tls(&[FOUND, TAKEN]);
    let mut setup = Setup::new("https://flare.invalid", 500_000);
    let authority = setup.base.join("authority.pem");
    std::fs::write(&authority, AUTHORITY).unwrap();
    setup.set(&keys::TLS_CA_FILE, authority.to_str().unwrap());
    let proxy = format!("http://{}", tunnel_to(server.address));
    setup.set(&keys::PROXY_HTTPS, &proxy);
    assert_eq!(setup.send(), success());
    let path = format!("/support/flare?api_key={KEY} HTTP/1.1");
    let expected = [format!("HEAD {path}"), format!("POST {path}")];
    assert_eq!(first_lines(&server, 2), expected);
}

#[test]
fn authorities_of_the_configuration_are_trusted() {
    let server = Server::start_tls(&[FOUND, TAKEN]);
    let mut setup = Setup::new(&base(&server), 500_000);
    let authority = setup.base.join("authority.pem");
    std::fs::write(&authority, AUTHORITY).unwrap();
    setup.set(&keys::TLS_CA_FILE, authority.to_str().unwrap());
    assert_eq!(setup.send(), success());
    assert_eq!(first_lines(&server, 2).len(), 2);

    setup.set(&keys::TLS_CA_FILE, "");
    let error = setup.fail();
    assert!(error.contains("tls_ca_file"), "{error}");

    setup.set(&keys::SKIP_SSL_VALIDATION, "true");
    let server = Server::start_tls(&[moved("http://127.0.0.1/c")]);
    setup.set(&keys::DD_URL, &base(&server));
    let error = setup.fail();
    assert!(error.contains("from https to http"), "{error}");
}
