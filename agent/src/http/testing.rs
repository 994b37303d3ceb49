//! A server on 127.0.0.1 for tests: what it got, and what it was told to answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{channel, Receiver};
use std::thread;
use std::time::Duration;

use super::{Request, Transport};

/// One request as it came.
#[derive(Debug, Default)]
pub(crate) struct Got {
    pub(crate) first_line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Number of the connection that it came over, from 0.
    pub(crate) connection: usize,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self
            .headers
            .iter()
            .find(|(one, _)| one.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

/// What is done with a request.
#[derive(Clone, Copy)]
pub(crate) enum Reply {
    /// These bytes, and the connection stays.
    Send(&'static str),
    /// These bytes, and the connection is closed.
    SendAndClose(&'static str),
    /// Nothing; the peer has to give up.
    Hang,
}

pub(crate) const OK: Reply = Reply::Send("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}");

/// A running server; its threads end with the connections of the test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) got: Receiver<Got>,
}

impl Server {
    /// Answers the n-th request with the n-th reply, and all later ones with the last.
    pub(crate) fn start(replies: &[Reply]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, got) = channel();
        let replies = replies.to_vec();
        thread::spawn(move || {
            let mut next = 0;
            for (connection, stream) in listener.incoming().enumerate() {
                let mut stream = BufReader::new(stream.unwrap());
                while let Some(mut one) = read(&mut stream) {
                    one.connection = connection;
                    let reply = replies[next.min(replies.len() - 1)];
                    next += 1;
                    if sender.send(one).is_err() {
                        return;
                    }
                    match reply {
                        Reply::Send(bytes) => write(stream.get_mut(), bytes),
                        Reply::SendAndClose(bytes) => {
                            write(stream.get_mut(), bytes);
                            break;
                        }
                        // The end of the peer's patience is the end of the connection.
                        Reply::Hang => {}
                    }
                }
            }
        });
        Server { address, got }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn write(stream: &mut TcpStream, bytes: &str) {
    let _ = stream.write_all(bytes.as_bytes());
}

fn read(stream: &mut BufReader<TcpStream>) -> Option<Got> {
    let mut got = Got::default();
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
    got.first_line = line.trim_end().to_owned();
    loop {
        line.clear();
        stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        got.headers.push((name.to_owned(), value.to_owned()));
    }
    got.body = vec![0; got.header("content-length").parse().unwrap_or(0)];
    stream.read_exact(&mut got.body).ok()?;
    Some(got)
}

pub(crate) fn transport() -> Transport {
    Transport {
        proxy: None,
        ca_file: None,
        skip_verification: false,
        connect: Duration::from_secs(20),
        read: Duration::from_secs(20),
        overall: Duration::from_secs(20),
    }
}

pub(crate) fn post(url: &str, body: &[u8]) -> Request {
    Request {
        method: "POST".to_owned(),
        url: url.to_owned(),
        headers: vec![
            ("User-Agent".to_owned(), "datadog-agent/0".to_owned()),
            ("DD-API-KEY".to_owned(), "secret".to_owned()),
        ],
        body: body.to_vec(),
    }
}
