//! Much traffic: datagrams that are sent back and counted one by one, and a stream that is timed.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::scratch::{patience, stretched};
use crate::traffic::{answer_time, end_of_input, parsed, serve_streams, stay, usage, READY};

/// In front of a target whose datagrams must not come back.
pub(crate) const BLOCKED: char = '!';
/// Rounds that a flood makes at least.
const ROUNDS: u64 = 100;
/// Seconds for an echo to come: much more than a loaded machine takes, so that what comes late is not
/// taken for lost.
const ECHO_SECONDS: u64 = 10;
/// Between two rounds: a flood that leaves no pause takes the processor from whom it waits for.
const PAUSE: Duration = Duration::from_millis(2);
/// Without an echo for so long, so many times, somebody drops the datagrams.
const SILENCE: Duration = Duration::from_millis(200);
const SILENT_TIMES: u32 = 3;
/// Times that an answer may take for a change to come about.
const WATCH_TIMES: u32 = 6;
const CHUNK: usize = 64 << 10;

/// `echo-serve ADDRESS:PORT...`: sends back every datagram.
pub(crate) fn serve(arguments: &[String]) -> io::Result<String> {
    for address in arguments {
        let socket = UdpSocket::bind(parsed::<SocketAddr>(address)?)?;
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((size, client)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(buffer.get(..size).unwrap_or_default(), client);
            }
        });
    }
    stay("")
}

/// Somebody who sends back what he is sent, or must not.
struct Target {
    socket: UdpSocket,
    blocked: bool,
}

impl Target {
    fn new(text: &str) -> io::Result<Target> {
        let blocked = text.starts_with(BLOCKED);
        let address: SocketAddr = parsed(text.trim_start_matches(BLOCKED))?;
        let socket = UdpSocket::from(crate::traffic_dns::socket(address)?);
        socket.connect(address)?;
        socket.set_nonblocking(blocked)?;
        socket.set_read_timeout(Some(patience(ECHO_SECONDS)))?;
        Ok(Target { socket, blocked })
    }

    /// Sends this number; whether it came back. What is not let out counts as not come back.
    fn echoes(&self, number: u64) -> bool {
        let sent = number.to_le_bytes();
        if self.socket.send(&sent).is_err() {
            return false;
        }
        let mut received = [0; 8];
        // An answer that came too late for its own number is passed over.
        while matches!(self.socket.recv(&mut received), Ok(8)) {
            if self.blocked || received == sent {
                return true;
            }
        }
        false
    }
}

/// What a flood has counted.
#[derive(Default)]
struct Tally<'a> {
    rounds: u64,
    lost: u64,
    leaked: u64,
    /// The target that was not as it must be.
    first: &'a str,
    /// The longest that an echo took.
    slowest: Duration,
}

impl<'a> Tally<'a> {
    /// Sends this round's number to a target and counts what comes of it; whether that was as it must
    /// be.
    fn is_right(&mut self, target: &Target, name: &'a str) -> bool {
        let sent = Instant::now();
        match (target.echoes(self.rounds), target.blocked) {
            (true, true) => self.leaked += 1,
            (false, false) => self.lost += 1,
            (true, false) => {
                self.slowest = self.slowest.max(sent.elapsed());
                return true;
            }
            (false, true) => return true,
        }
        self.first = name;
        false
    }
}

/// `echo-flood ADDRESS:PORT...`: sends to each in turn until standard input ends, but a hundred rounds
/// at least, or until one is not as it must be. Prints the rounds made, whether that one did not answer
/// (`lost`) or did though it is blocked (`leaked`), its name, and the milliseconds that the slowest
/// echo took.
pub(crate) fn flood(arguments: &[String]) -> io::Result<String> {
    let targets: Vec<Target> = arguments
        .iter()
        .map(|text| Target::new(text))
        .collect::<io::Result<_>>()?;
    let ended = end_of_input();
    println!("{READY} pid={}", std::process::id());
    io::stdout().flush()?;
    let mut tally = Tally {
        first: "-",
        ..Tally::default()
    };
    while tally.rounds < ROUNDS || !ended.load(Ordering::Relaxed) {
        let mut all = targets.iter().zip(arguments);
        if !all.all(|(target, name)| tally.is_right(target, name)) {
            break;
        }
        tally.rounds += 1;
        thread::sleep(stretched(PAUSE));
    }
    Ok(format!(
        "rounds={} lost={} leaked={} first={} slowest={}",
        tally.rounds,
        tally.lost,
        tally.leaked,
        tally.first,
        tally.slowest.as_millis()
    ))
}

/// `echo-watch TARGET [TRIGGER]`: connects to both, then sends to the target until nothing comes back
/// any more, and on until something does. Prints `cut=1`, or 0 when that did not come, then `back`.
pub(crate) fn watch(arguments: &[String]) -> io::Result<String> {
    let [target, trigger @ ..] = arguments else {
        return Err(usage("TARGET [TRIGGER]"));
    };
    let target = Target::new(target)?;
    target.socket.set_read_timeout(Some(stretched(SILENCE)))?;
    let _triggers: Vec<Target> = trigger
        .iter()
        .map(|text| Target::new(text))
        .collect::<io::Result<_>>()?;
    println!("{READY} pid={}", std::process::id());
    let cut = comes_about(&target, |echoed, silent| !echoed && silent >= SILENT_TIMES);
    println!("pid={} cut={}", std::process::id(), u8::from(cut));
    io::stdout().flush()?;
    let back = comes_about(&target, |echoed, _| echoed);
    Ok(format!("back={}", u8::from(back)))
}

/// Sends until this holds of the last echo and of how many have not come one after the other.
fn comes_about(target: &Target, holds: impl Fn(bool, u32) -> bool) -> bool {
    let started = Instant::now();
    let mut silent = 0;
    let mut number = 0;
    while started.elapsed() < WATCH_TIMES * answer_time() {
        let echoed = target.echoes(number);
        number += 1;
        silent = if echoed { 0 } else { silent + 1 };
        if holds(echoed, silent) {
            return true;
        }
    }
    false
}

/// `bulk-serve ADDRESS:PORT`: takes streams and answers their end with one byte.
pub(crate) fn bulk_serve(arguments: &[String]) -> io::Result<String> {
    let [address] = arguments else {
        return Err(usage("ADDRESS:PORT"));
    };
    serve_streams(parsed(address)?, |mut stream| {
        let mut buffer = vec![0; CHUNK];
        while stream.read(&mut buffer)? > 0 {}
        stream.write_all(b".")
    })?;
    stay("")
}

/// `bulk ADDRESS:PORT MEGABYTES`: sends so much and waits until all of it was taken.
pub(crate) fn bulk(arguments: &[String]) -> io::Result<String> {
    let [address, megabytes] = arguments else {
        return Err(usage("ADDRESS:PORT MEGABYTES"));
    };
    let mut stream = TcpStream::connect_timeout(&parsed(address)?, answer_time())?;
    let chunks = parsed::<usize>(megabytes)? * (1 << 20) / CHUNK;
    let chunk = vec![0; CHUNK];
    let started = Instant::now();
    for _ in 0..chunks {
        stream.write_all(&chunk)?;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.read_exact(&mut [0])?;
    let elapsed = started.elapsed();
    Ok(format!(
        "bytes={} microseconds={}",
        chunks * CHUNK,
        elapsed.as_micros()
    ))
}
