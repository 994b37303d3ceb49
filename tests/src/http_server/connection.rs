//! One connection of the server: reads its requests in turn and does to each what is queued.

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

use super::request::Request;
use super::{Behaviour, Shared};

const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

/// Serves until one side ends the connection.
pub(super) fn serve(stream: &TcpStream, shared: &Shared) {
    // A sender that breaks off is what some tests are about.
    let _ = serve_all(stream, shared);
}

fn serve_all(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut input = BufReader::new(stream);
    let mut output = stream;
    while let Some(request) = Request::read(&mut input, &mut output)? {
        let behaviour = {
            let mut state = shared.state();
            let next = state.queue.pop_front();
            next.unwrap_or_else(|| state.default.clone())
        };
        let is_plain = matches!(behaviour, Behaviour::Status(200..=299, _));
        if let Some(behind) = shared.behind.filter(|_| is_plain) {
            return pass_on(input, stream, request, (behind, shared));
        }
        let last = request.is_last();
        if !answer(stream, behaviour, request, shared)? || last {
            break;
        }
    }
    Ok(())
}

/// Whether the connection goes on. A request is put down before its answer is sent, so that whoever
/// has the answer finds it.
fn answer(
    mut stream: &TcpStream,
    behaviour: Behaviour,
    request: Request,
    shared: &Shared,
) -> io::Result<bool> {
    match behaviour {
        Behaviour::Status(code, headers) => respond(stream, (code, &headers), request, shared),
        Behaviour::TooLarge(most) => {
            let code = if request.body.len() > most { 413 } else { 202 };
            respond(stream, (code, &[]), request, shared)
        }
        Behaviour::Hang if shared.wait_for_release() => {
            put_down(shared, request, true);
            stream.write_all(ACCEPTED)?;
            Ok(true)
        }
        Behaviour::Hang => {
            put_down(shared, request, false);
            Ok(false)
        }
        Behaviour::Reset => {
            put_down(shared, request, false);
            reset(stream)?;
            Ok(false)
        }
        Behaviour::HalfAnswer => {
            put_down(shared, request, false);
            let (half, _) = ACCEPTED.split_at(ACCEPTED.len() / 2);
            stream.write_all(half)?;
            Ok(false)
        }
        Behaviour::Slow(pause) => {
            put_down(shared, request, true);
            for byte in ACCEPTED {
                stream.write_all(&[*byte])?;
                thread::sleep(pause);
            }
            Ok(true)
        }
    }
}

/// A whole answer without a body.
fn respond(
    mut stream: &TcpStream,
    (code, headers): (u16, &[(&str, String)]),
    request: Request,
    shared: &Shared,
) -> io::Result<bool> {
    let mut text = format!("HTTP/1.1 {code} Scripted\r\nContent-Length: 0\r\n");
    if request.is_last() {
        text.push_str("Connection: close\r\n");
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    put_down(shared, request, (200..300).contains(&code));
    stream.write_all(text.as_bytes())?;
    Ok(true)
}

fn put_down(shared: &Shared, request: Request, accepted: bool) {
    let mut state = shared.state();
    match accepted {
        true => state.accepted.push(request),
        false => state.others.push(request),
    }
}

/// Closing a socket that does not linger sends a reset.
fn reset(stream: &TcpStream) -> io::Result<()> {
    let at_once = linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(stream, sockopt::Linger, &at_once)?;
    Ok(())
}

/// Takes the request to where it is for, and everything that comes back to the sender.
fn pass_on(
    input: BufReader<&TcpStream>,
    mut stream: &TcpStream,
    request: Request,
    (behind, shared): (SocketAddr, &Shared),
) -> io::Result<()> {
    let connect = request.method == "CONNECT";
    let mut server = match TcpStream::connect(behind) {
        Ok(server) => server,
        Err(_) => {
            put_down(shared, request, false);
            let text = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return stream.write_all(text.as_bytes());
        }
    };
    if connect {
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    } else {
        server.write_all(&rewritten(&request))?;
    }
    put_down(shared, request, true);
    let mut back = server.try_clone()?;
    thread::scope(|scope| {
        scope.spawn(move || {
            let _ = io::copy(&mut back, &mut stream);
            let _ = stream.shutdown(Shutdown::Both);
        });
        if connect {
            forward(input, &mut server);
        }
    });
    Ok(())
}

/// What was read ahead, then what comes.
fn forward(mut input: BufReader<&TcpStream>, server: &mut TcpStream) {
    let ahead = input.buffer().to_vec();
    let _ = server.write_all(&ahead);
    let _ = io::copy(input.get_mut(), server);
    let _ = server.shutdown(Shutdown::Write);
}

/// The path of an http URL.
fn path_of(url: &str) -> &str {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
}

/// The request as the server behind wants it; one a connection.
fn rewritten(request: &Request) -> Vec<u8> {
    let path = path_of(&request.target);
    let mut text = format!("{} {path} HTTP/1.1\r\n", request.method);
    for (name, value) in &request.headers {
        let framing = [
            "connection",
            "content-length",
            "transfer-encoding",
            "expect",
        ];
        if !framing.contains(&name.as_str()) && !name.starts_with("proxy-") {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    let length = request.body.len();
    text.push_str(&format!(
        "content-length: {length}\r\nconnection: close\r\n\r\n"
    ));
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&request.body);
    bytes
}
