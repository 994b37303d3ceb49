//! Much traffic: datagrams that are sent back and counted one by one, and a stream that is timed.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::traffic::{answer_time, end_of_input, parsed, serve_streams, stay, usage, READY};

/// In front of a target whose datagrams must not come back.
pub(crate) const BLOCKED: char = '!';
/// Rounds that a flood makes at least.
const ROUNDS: u64 = 100;
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
        socket.set_read_timeout(Some(answer_time()))?;
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

/// `echo-flood ADDRESS:PORT...`: sends to each in turn until standard input ends, but a hundred times
/// at least. Prints the rounds made, the targets that did not answer (`lost`) and the blocked ones that did (`leaked`); of
/// both, the first by name.
pub(crate) fn flood(arguments: &[String]) -> io::Result<String> {
    let targets: Vec<Target> = arguments
        .iter()
        .map(|text| Target::new(text))
        .collect::<io::Result<_>>()?;
    let ended = end_of_input();
    println!("{READY} pid={}", std::process::id());
    io::stdout().flush()?;
    let (mut rounds, mut lost, mut leaked) = (0_u64, 0_u64, 0_u64);
    let mut first = "-";
    while rounds < ROUNDS || !ended.load(Ordering::Relaxed) {
        for (target, name) in targets.iter().zip(arguments) {
            let came_back = target.echoes(rounds);
            if came_back != target.blocked {
                continue;
            }
            *(if came_back { &mut leaked } else { &mut lost }) += 1;
            if first == "-" {
                first = name;
            }
        }
        rounds += 1;
    }
    Ok(format!(
        "rounds={rounds} lost={lost} leaked={leaked} first={first}"
    ))
}

/// `echo-watch CGROUP TARGET TRIGGER`: goes into the cgroup, connects to both, then sends to the target until nothing comes back any
/// more, and on until something does. Prints `cut=1`, or 0 when that did not come, then `back`.
pub(crate) fn watch(arguments: &[String]) -> io::Result<String> {
    let [cgroup, target, trigger] = arguments else {
        return Err(usage("CGROUP TARGET TRIGGER"));
    };
    fs::write(Path::new(cgroup).join("cgroup.procs"), "0")?;
    let target = Target::new(target)?;
    target.socket.set_read_timeout(Some(SILENCE))?;
    let _trigger = Target::new(trigger)?;
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
