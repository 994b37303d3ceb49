//! The other side of the network tests: this program, started again as `e2e --traffic NAMESPACE
//! COMMAND ARGUMENT...`, which enters a network namespace of the tests and talks there.
//!
//! A command that serves prints `ready` and ends when its standard input does; one that asks ends
//! by itself. Each prints one line, `pid=PID` and what it has to say as `name=value` words, and ends
//! with 2 and a sentence on standard error when it could not do it. [`crate::sender`] starts them.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sched::{setns, CloneFlags};

use crate::net_places::NAMED;
use crate::scratch::patience;
use crate::{traffic_dns, traffic_flood, traffic_metadata, traffic_raw};

/// The first argument that asks for this.
pub(crate) const WORD: &str = "--traffic";
/// What a server says once it listens.
pub(crate) const READY: &str = "ready";
/// Seconds for an answer to come.
const ANSWER_SECONDS: u64 = 5;

/// One command: the arguments enter, the words to print leave.
type Command = fn(&[String]) -> io::Result<String>;

const COMMANDS: &[(&str, Command)] = &[
    ("dns-serve", traffic_dns::serve),
    ("dns-ask", traffic_dns::ask),
    ("dns-flood", traffic_dns::flood),
    ("raw-dns", traffic_raw::ask),
    ("metadata-serve", traffic_metadata::serve),
    ("metadata-ask", traffic_metadata::ask),
    ("echo-serve", traffic_flood::serve),
    ("echo-flood", traffic_flood::flood),
    ("echo-watch", traffic_flood::watch),
    ("bulk-serve", traffic_flood::bulk_serve),
    ("bulk", traffic_flood::bulk),
    ("listen", listen),
    ("connect", connect),
    ("bind", bind),
    ("send", send),
    ("sink", sink),
    ("within", within),
];

/// Does what the arguments after [`WORD`] say.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    match perform(arguments) {
        Ok(words) => {
            println!("pid={} {words}", std::process::id());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", arguments.join(" "));
            ExitCode::from(2)
        }
    }
}

fn perform(arguments: &[String]) -> io::Result<String> {
    let [namespace, command, rest @ ..] = arguments else {
        return Err(usage("NAMESPACE COMMAND ARGUMENT..."));
    };
    let file = File::open(format!("{NAMED}/{namespace}"))?;
    // Before any thread is started: a namespace belongs to a thread.
    setns(file, CloneFlags::CLONE_NEWNET)?;
    find(command)?(rest)
}

fn find(command: &str) -> io::Result<Command> {
    let found = COMMANDS.iter().find(|(name, _)| *name == command);
    let (_, command) = found.ok_or_else(|| usage("one of the commands of traffic.rs"))?;
    Ok(*command)
}

/// `within CGROUP COMMAND ARGUMENT...`: goes into the cgroup with this directory first.
fn within(arguments: &[String]) -> io::Result<String> {
    let [cgroup, command, rest @ ..] = arguments else {
        return Err(usage("CGROUP COMMAND ARGUMENT..."));
    };
    fs::write(Path::new(cgroup).join("cgroup.procs"), "0")?;
    find(command)?(rest)
}

/// The error of a command that was given other arguments than these.
pub(crate) fn usage(wanted: &str) -> io::Error {
    io::Error::other(format!("wants: {wanted}"))
}

/// Parses one argument.
pub(crate) fn parsed<T: std::str::FromStr>(text: &str) -> io::Result<T> {
    text.parse()
        .map_err(|_| io::Error::other(format!("`{text}` is not understood")))
}

/// How long an answer is waited for.
pub(crate) fn answer_time() -> Duration {
    patience(ANSWER_SECONDS)
}

/// Says that the server listens and returns when its standard input has ended.
pub(crate) fn stay(words: &str) -> io::Result<String> {
    println!("{READY} pid={} {words}", std::process::id());
    io::stdout().flush()?;
    let mut rest = Vec::new();
    io::stdin().read_to_end(&mut rest)?;
    Ok("end".to_owned())
}

/// Becomes true when standard input ends.
pub(crate) fn end_of_input() -> Arc<AtomicBool> {
    let ended = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ended);
    thread::spawn(move || {
        let mut rest = Vec::new();
        let _ = io::stdin().read_to_end(&mut rest);
        seen.store(true, Ordering::Relaxed);
    });
    ended
}

/// Serves each connection to this address in a thread of its own.
pub(crate) fn serve_streams(
    address: SocketAddr,
    serve: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static,
) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            // A client that goes away is no matter of the server.
            thread::spawn(move || serve(stream));
        }
    });
    Ok(())
}

/// `listen ADDRESS:PORT...`: takes connections, each until its other end closes.
fn listen(arguments: &[String]) -> io::Result<String> {
    for address in arguments {
        serve_streams(parsed(address)?, |mut stream| {
            stream.read_to_end(&mut Vec::new()).map(drop)
        })?;
    }
    stay("")
}

/// `connect ADDRESS:PORT`: one connection; `error` is the number of what went wrong, or 0.
fn connect(arguments: &[String]) -> io::Result<String> {
    let [address] = arguments else {
        return Err(usage("ADDRESS:PORT"));
    };
    match TcpStream::connect_timeout(&parsed(address)?, answer_time()) {
        Ok(stream) => Ok(format!("error=0 port={}", stream.local_addr()?.port())),
        Err(error) => Ok(format!("error={}", error.raw_os_error().unwrap_or(-1))),
    }
}

/// `bind udp|tcp ADDRESS:PORT`.
fn bind(arguments: &[String]) -> io::Result<String> {
    match arguments {
        [kind, address] if kind == "udp" => {
            UdpSocket::bind(parsed::<SocketAddr>(address)?).map(drop)?;
        }
        [kind, address] if kind == "tcp" => {
            TcpListener::bind(parsed::<SocketAddr>(address)?).map(drop)?;
        }
        _ => return Err(usage("udp|tcp ADDRESS:PORT")),
    }
    Ok("bound".to_owned())
}

/// `send ADDRESS:PORT HEX...`: a datagram for each, no answer wanted.
fn send(arguments: &[String]) -> io::Result<String> {
    let [address, payloads @ ..] = arguments else {
        return Err(usage("ADDRESS:PORT HEX..."));
    };
    let address: SocketAddr = parsed(address)?;
    let socket = UdpSocket::from(traffic_dns::socket(address)?);
    for payload in payloads {
        socket.send_to(&bytes_of(payload)?, address)?;
    }
    Ok(format!("port={}", socket.local_addr()?.port()))
}

fn bytes_of(hex: &str) -> io::Result<Vec<u8>> {
    let digits: Vec<char> = hex.chars().collect();
    let pairs = digits.chunks(2).map(|pair| pair.iter().collect::<String>());
    pairs
        .map(|pair| {
            u8::from_str_radix(&pair, 16)
                .map_err(|_| io::Error::other(format!("`{hex}` is no hex")))
        })
        .collect()
}

/// `sink ADDRESS:PORT...`: takes datagrams and says nothing.
fn sink(arguments: &[String]) -> io::Result<String> {
    for address in arguments {
        let socket = UdpSocket::bind(parsed::<SocketAddr>(address)?)?;
        thread::spawn(move || while socket.recv(&mut [0; 2048]).is_ok() {});
    }
    stay("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_become_bytes() {
        assert_eq!(bytes_of("00ff7a").ok(), Some(vec![0, 255, 0x7a]));
        assert_eq!(bytes_of("").ok(), Some(Vec::new()));
        assert!(bytes_of("zz").is_err());
    }
}
