//! The process that makes the requests, so that a slow server never holds up a loop.
//!
//! A role starts it on demand, writes to its standard input a line of JSON ([`Head`]) followed by
//! the body, and gets one line of JSON back: `{"Ok":`[`Answer`]`}` or `{"Err":"sentence"}`. Secrets
//! come this way only, never in arguments or the environment. It ends when its input ends, when
//! its parent dies, and when nothing was asked for 30 seconds.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use flate2::write::GzEncoder;
use flate2::Compression;
use serde::{Deserialize, Serialize};

use super::{Answer, Client, Request, Transport};
use crate::sys::process;
use crate::sys::signals::{Signal, Signals};

/// How long it waits for the next request, or for the rest of one.
pub(crate) const IDLE: Duration = Duration::from_secs(30);
/// Bytes of a head.
const MAX_HEAD: u64 = 64 << 10;
/// Bytes of a body.
pub(super) const MAX_BODY: u64 = 16 << 20;

/// What goes before the body.
#[derive(Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) transport: Transport,
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    /// Bytes of the body that follows.
    pub(super) length: u64,
    /// Level of gzip that the body is compressed with before it is sent.
    pub(super) compression: Option<u32>,
}

/// `http-worker`: makes requests until its input ends.
pub fn run() -> io::Result<()> {
    process::die_with_parent();
    let _signals = hold_signals()?;
    let input = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    serve(input)
}

/// Keeps back the signals that end a whole service or terminal: the role finishes its batches then,
/// and ends this process when it has.
pub(crate) fn hold_signals() -> io::Result<Signals> {
    Signals::block(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP])
}

/// Makes the requests that come over a socket, one after the other.
pub(super) fn serve(socket: UnixStream) -> io::Result<()> {
    socket.set_read_timeout(Some(IDLE))?;
    let mut output = socket.try_clone()?;
    let mut input = BufReader::new(socket);
    let mut client = None;
    while let Some(head) = read_head(&mut input)? {
        let transport = head.transport.clone();
        let request = read_request(&mut input, head)?;
        let result = answer(&mut client, &transport, &request);
        // The body is large; it must not stay while the next request is waited for.
        drop(request);
        let mut line = serde_json::to_string(&result)?;
        line.push('\n');
        output.write_all(line.as_bytes())?;
    }
    Ok(())
}

fn read_head(input: &mut BufReader<UnixStream>) -> io::Result<Option<Head>> {
    match read_line(input)? {
        Some(line) => Ok(Some(serde_json::from_slice(&line)?)),
        None => Ok(None),
    }
}

/// The next line; `None` when there is none any more, or none for a while.
pub(crate) fn read_line(input: &mut BufReader<UnixStream>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    match input.by_ref().take(MAX_HEAD).read_until(b'\n', &mut line) {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(line)),
        Err(error) if line.is_empty() && error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_request(input: &mut impl Read, head: Head) -> io::Result<Request> {
    let mut body = input.take(head.length.min(MAX_BODY));
    let mut headers = head.headers;
    let (read, body) = match head.compression {
        Some(level) => {
            headers.push(("Content-Encoding".to_owned(), "gzip".to_owned()));
            let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level.clamp(1, 9)));
            (io::copy(&mut body, &mut encoder)?, encoder.finish()?)
        }
        None => {
            let mut bytes = Vec::new();
            (io::copy(&mut body, &mut bytes)?, bytes)
        }
    };
    if read != head.length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Request {
        method: head.method,
        url: head.url,
        headers,
        body,
    })
}

fn answer(
    client: &mut Option<Client>,
    transport: &Transport,
    request: &Request,
) -> Result<Answer, String> {
    let mut ready = match client.take().filter(|one| one.is_for(transport)) {
        Some(ready) => ready,
        None => Client::new(transport).map_err(|error| error.to_string())?,
    };
    let answer = ready.send(request).map_err(|error| error.to_string());
    *client = Some(ready);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_of_the_whole_service_is_left_to_the_role() {
        // The mask is the thread's own.
        let held = std::thread::spawn(|| {
            let signals = hold_signals().unwrap();
            nix::sys::signal::raise(Signal::SIGTERM).unwrap();
            signals.next()
        });
        assert_eq!(held.join().unwrap(), Some(Signal::SIGTERM));
    }
}
