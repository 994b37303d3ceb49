//! A server on 127.0.0.1 for tests: what it got, and what it was told to answer.
//!
//! It speaks plain HTTP or TLS; the certificate for that, its key and its authority lie beside this
//! file and are for tests only. They are valid until the end of 2049.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{channel, Receiver};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Request, Transport};

/// One request as it came.
#[derive(Debug, Default)]
pub(crate) struct Got {
    pub(crate) first_line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Sizes of the chunks that the body came in, if it did.
    pub(crate) chunks: Vec<usize>,
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
    /// These bytes as soon as the headers have come, and the connection is closed with the body
    /// unread, which the peer learns as a reset.
    Refuse(&'static str),
    /// Nothing, and nothing is read but the headers.
    Stall,
}

/// PEM file of the authority of the servers that speak TLS.
pub(crate) const AUTHORITY: &str = include_str!("testing/authority.pem");

/// A connection to a peer.
trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

pub(crate) const OK: Reply = Reply::Send("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}");

/// A running server; its threads end with the connections of the test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) got: Receiver<Got>,
    pub(crate) is_tls: bool,
}

impl Server {
    /// Answers the n-th request with the n-th reply, and all later ones with the last.
    pub(crate) fn start(replies: &[Reply]) -> Server {
        Server::start_with(replies, |stream| Box::new(stream))
    }

    /// The same over TLS, with a certificate for 127.0.0.1, localhost and flare.invalid.
    pub(crate) fn start_tls(replies: &[Reply]) -> Server {
        let pem = include_bytes!("testing/server.pem");
        let certificates = CertificateDer::pem_slice_iter(pem).map(Result::unwrap);
        let key = PrivateKeyDer::from_pem_slice(pem).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificates.collect(), key)
            .unwrap();
        let config = Arc::new(config);
        let server = Server::start_with(replies, move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            Box::new(StreamOwned::new(connection, stream))
        });
        Server {
            is_tls: true,
            ..server
        }
    }

    fn start_with(
        replies: &[Reply],
        wrap: impl Fn(TcpStream) -> Box<dyn Stream> + Send + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, got) = channel();
        let replies = replies.to_vec();
        thread::spawn(move || {
            let mut next = 0;
            let mut stalled = Vec::new();
            for (connection, stream) in listener.incoming().enumerate() {
                let stream = stream.unwrap();
                // A reply that waits for an acknowledgement would be lost where the connection is
                // closed after it.
                stream.set_nodelay(true).unwrap();
                let mut stream = BufReader::new(wrap(stream));
                while let Some(mut one) = read_head(&mut stream) {
                    one.connection = connection;
                    let reply = replies[next.min(replies.len() - 1)];
                    next += 1;
                    let is_read_on = !matches!(reply, Reply::Refuse(_) | Reply::Stall);
                    if is_read_on && read_body(&mut stream, &mut one).is_none() {
                        break;
                    }
                    if sender.send(one).is_err() {
                        return;
                    }
                    match reply {
                        Reply::Send(bytes) => write(stream.get_mut(), bytes),
                        Reply::SendAndClose(bytes) | Reply::Refuse(bytes) => {
                            write(stream.get_mut(), bytes);
                            break;
                        }
                        // The end of the peer's patience is the end of the connection.
                        Reply::Hang => {}
                        Reply::Stall => {
                            stalled.push(stream);
                            break;
                        }
                    }
                }
            }
        });
        Server {
            address,
            got,
            is_tls: false,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }
}

fn write(stream: &mut impl Write, bytes: &str) {
    let _ = stream.write_all(bytes.as_bytes());
    let _ = stream.flush();
}

fn read_head(stream: &mut impl BufRead) -> Option<Got> {
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
    Some(got)
}

fn read_body(stream: &mut impl BufRead, got: &mut Got) -> Option<()> {
    if got.header("transfer-encoding") != "chunked" {
        got.body = vec![0; got.header("content-length").parse().unwrap_or(0)];
        return stream.read_exact(&mut got.body).ok();
    }
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.trim_end(), 16).ok()?;
        let start = got.body.len();
        got.body.resize(start + size, 0);
        stream.read_exact(&mut got.body[start..]).ok()?;
        let mut end = [0; 2];
        stream.read_exact(&mut end).ok()?;
        if size == 0 {
            return Some(());
        }
        got.chunks.push(size);
    }
}

pub(crate) fn transport() -> Transport {
    Transport {
        proxy: None,
        ca_file: None,
        skip_verification: false,
        connect: Duration::from_secs(20),
        read: Duration::from_secs(20),
        overall: Duration::from_secs(20),
        stall: None,
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
