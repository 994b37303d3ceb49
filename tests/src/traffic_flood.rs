//! Much traffic: datagrams that are sent back and counted one by one, and a stream that is timed.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use crate::traffic::{answer_time, end_of_input, parsed, serve_streams, stay, usage, READY};

/// In front of a target whose datagrams must not come back.
pub(crate) const BLOCKED: char = '!';
/// Rounds that a flood makes at least.
const ROUNDS: u64 = 100;
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
