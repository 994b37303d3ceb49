//! Who has to leave, and who is refused, among clients that are in the middle of a body.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Events, Poll};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::*;
use crate::config::{keys, Value as Setting};
use crate::kube::admission::certificate::Certificate;
use crate::kube::admission::connection::Turn;
use crate::kube::admission::testing::settings;

const HEAD: &str = "POST / HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n";

type Stream = StreamOwned<ClientConnection, std::net::TcpStream>;

/// Clients of a listener, each with somebody at the other end.
struct Crowd {
    poll: Poll,
    events: Events,
    listener: TcpListener,
    certificate: Certificate,
    base: PathBuf,
    clients: Clients,
    metrics: Metrics,
    threads: Vec<std::thread::JoinHandle<(String, Stream)>>,
}

impl Crowd {
    fn new(name: &str) -> Crowd {
        let base = std::env::temp_dir().join(format!("clients-{name}-{}", std::process::id()));
        let mut settings = settings();
        let text = Setting::Text(base.to_string_lossy().into_owned());
        settings.set(&keys::RUN_PATH, text, "x");
        let poll = Poll::new().unwrap();
        let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let registry = poll.registry();
        registry
            .register(&mut listener, Token(0), Interest::READABLE)
            .unwrap();
        Crowd {
            certificate: Certificate::new(&settings, Instant::now()).unwrap(),
            events: Events::with_capacity(16),
            clients: Clients::new(1),
            metrics: Metrics::new(),
            threads: Vec::new(),
            poll,
            listener,
            base,
        }
    }

    /// Takes in a client that sends this text over TLS, and goes on until it holds that many bytes.
    fn add(&mut self, text: String, held: usize) {
        let address = self.listener.local_addr().unwrap();
        let pem = std::fs::read(self.base.join("admission-controller.pem")).unwrap();
        self.threads
            .push(std::thread::spawn(move || talk(address, &pem, &text)));
        let before = self.clients.count();
        loop {
            let wait = Some(Duration::from_secs(30));
            self.poll.poll(&mut self.events, wait).unwrap();
            assert!(!self.events.is_empty(), "the client does not come");
            let tokens: Vec<Token> = self.events.iter().map(|event| event.token()).collect();
            for token in tokens {
                self.clients.wake(token);
            }
            if let Ok((stream, _)) = self.listener.accept() {
                let with = (self.poll.registry(), &mut self.metrics, Instant::now());
                self.clients.add(stream, self.certificate.config(), with);
            }
            self.turn();
            let last = self.clients.iter().last();
            let is_new = self.clients.count() > before;
            if is_new && last.is_some_and(|one| one.phase().0 == Phase::Body && one.held() == held)
            {
                return;
            }
        }
    }

    fn turn(&mut self) {
        while let Some(client) = self.clients.ready().first() {
            let connection = self.clients.get(*client).unwrap();
            match connection.turn(Instant::now()) {
                Turn::Closed => self.clients.close(*client, &mut self.metrics),
                turn => assert!(matches!(turn, Turn::Nothing), "{turn:?}"),
            }
        }
    }

    fn held(&self) -> Vec<usize> {
        self.clients.iter().map(Connection::held).collect()
    }

    /// What the clients were told.
    fn end(mut self) -> Vec<String> {
        self.turn();
        drop(self.clients);
        std::fs::remove_dir_all(&self.base).unwrap();
        let threads = self.threads.into_iter();
        threads.map(|thread| thread.join().unwrap().0).collect()
    }
}

/// Sends a text and reads what comes until the end; the socket is open as long as the caller has it.
fn talk(address: SocketAddr, pem: &[u8], text: &str) -> (String, Stream) {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(pem).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "datadog-admission-controller.agents.svc";
    let tls = ClientConnection::new(Arc::new(config), name.try_into().unwrap()).unwrap();
    let stream = std::net::TcpStream::connect(address).unwrap();
    let mut stream = StreamOwned::new(tls, stream);
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    (String::from_utf8(answer).unwrap(), stream)
}

#[test]
fn who_holds_most_is_refused_until_it_is_little_enough() {
    let mut crowd = Crowd::new("shed");
    for held in [1_000, 3_000, 2_000, 500] {
        crowd.add(HEAD.to_owned() + &"x".repeat(held), held);
    }
    let now = Instant::now();
    crowd.clients.shed(6_500, &mut crowd.metrics, now);
    assert_eq!(crowd.held(), [1_000, 3_000, 2_000, 500]);
    // What they held is free at once, or all would have to go.
    crowd.clients.shed(1_600, &mut crowd.metrics, now);
    assert_eq!(crowd.held(), [1_000, 0, 0, 500]);
    let refused: Vec<bool> = crowd
        .end()
        .iter()
        .map(|answer| answer.starts_with("HTTP/1.1 503 "))
        .collect();
    assert_eq!(refused, [false, true, true, false]);
}

#[test]
fn slow_bodies_leave_when_nobody_else_can() {
    let mut crowd = Crowd::new("replace");
    for held in [1, 2, 3] {
        crowd.add(HEAD.to_owned() + &"x".repeat(held), held);
    }
    assert!(crowd.clients.replace(&mut crowd.metrics));
    assert_eq!(crowd.held(), [2, 3]);
    // Whoever is told to go comes before them, for as long as it has not gone.
    let refused = crowd.clients.iter_mut().last().unwrap();
    refused.refuse(UNAVAILABLE, Instant::now());
    crowd.turn();
    assert!(crowd.clients.replace(&mut crowd.metrics));
    assert_eq!(crowd.held(), [2]);
    assert!(crowd.clients.replace(&mut crowd.metrics));
    assert!(!crowd.clients.replace(&mut crowd.metrics));
    crowd.end();
}
