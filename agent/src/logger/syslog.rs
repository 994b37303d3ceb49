//! Messages to syslog, as datagrams.
//!
//! A target out of the configuration and finished datagrams enter. A send never waits: what the
//! daemon does not take is refused, for the caller to count. After the daemon was started anew the
//! connection is made again.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Where the daemon of this host listens.
const LOCAL: &str = "/dev/log";
/// Port of syslog over UDP.
const PORT: &str = ":514";
/// Pause before a daemon that was not there is looked for again.
const PAUSE: Duration = Duration::from_secs(5);

/// Where syslog listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Unix(PathBuf),
    Udp(SocketAddr),
}

/// Why there is no target.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// The URI is of a kind that is not known.
    Unknown(String),
    /// The host of the URI has no address.
    NoAddress(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unknown(uri) => write!(
                f,
                "syslog_uri is ignored: `{uri}` is neither unixgram:///path nor udp://host:port"
            ),
            Error::NoAddress(uri) => write!(
                f,
                "syslog is not used: no address was found for `{uri}`; name the host by its address"
            ),
        }
    }
}

impl std::error::Error for Error {}

impl Target {
    /// Reads a `syslog_uri`. A host name is looked up here and never again, as that may take long.
    pub(super) fn from_uri(uri: &str) -> Result<Target, Error> {
        if uri.is_empty() {
            return Ok(Target::Unix(PathBuf::from(LOCAL)));
        }
        let path = ["unixgram://", "unix://"]
            .iter()
            .find_map(|scheme| uri.strip_prefix(scheme));
        if let Some(path) = path.or(Some(uri)).filter(|path| path.starts_with('/')) {
            return Ok(Target::Unix(PathBuf::from(path)));
        }
        let host = uri
            .strip_prefix("udp://")
            .map(|host| host.trim_end_matches('/'))
            .filter(|host| !host.is_empty())
            .ok_or_else(|| Error::Unknown(uri.to_owned()))?;
        let has_port = host
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let host = match has_port {
            true => host.to_owned(),
            false => format!("{host}{PORT}"),
        };
        let addresses = host.to_socket_addrs().ok();
        let address = addresses.and_then(|mut addresses| addresses.next());
        address
            .map(Target::Udp)
            .ok_or_else(|| Error::NoAddress(uri.to_owned()))
    }

    /// Whether the daemon is reached over a network, and cannot know which host sends.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self, Target::Udp(_))
    }
}

#[derive(Debug)]
enum Socket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

impl Socket {
    fn connect(target: &Target) -> io::Result<Socket> {
        match target {
            Target::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                socket.connect(path)?;
                Ok(Socket::Unix(socket))
            }
            Target::Udp(address) => {
                let any: SocketAddr = match address {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(any)?;
                socket.set_nonblocking(true)?;
                socket.connect(address)?;
                Ok(Socket::Udp(socket))
            }
        }
    }

    fn send(&self, datagram: &[u8]) -> io::Result<()> {
        match self {
            Socket::Unix(socket) => socket.send(datagram),
            Socket::Udp(socket) => socket.send(datagram),
        }
        .map(|_| ())
    }
}

/// A connection to syslog.
#[derive(Debug)]
pub(super) struct Syslog {
    target: Target,
    socket: Option<Socket>,
    retry_at: Option<Instant>,
}

impl Syslog {
    pub(super) fn new(target: Target) -> Syslog {
        Syslog {
            target,
            socket: None,
            retry_at: None,
        }
    }

    /// Sends a datagram; false when it was not taken.
    pub(super) fn send(&mut self, now: Instant, datagram: &[u8]) -> bool {
        // The second attempt is for a daemon that was started anew.
        for _ in 0..2 {
            let Some(socket) = self.connected(now) else {
                return false;
            };
            match socket.send(datagram) {
                Ok(()) => return true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => self.socket = None,
            }
        }
        false
    }

    fn connected(&mut self, now: Instant) -> Option<&Socket> {
        if self.socket.is_none() {
            if self.retry_at.is_some_and(|at| now < at) {
                return None;
            }
            self.socket = Socket::connect(&self.target).ok();
            self.retry_at = match self.socket {
                Some(_) => None,
                None => Some(now + PAUSE),
            };
        }
        self.socket.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("syslog-test-{name}-{}", std::process::id()))
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn targets_are_read_or_refused_in_words() {
        let unix = |path: &str| Ok(Target::Unix(PathBuf::from(path)));
        let udp = |text: &str| Ok(Target::Udp(text.parse().unwrap()));
        let unknown = |uri: &str| Err(Error::Unknown(uri.to_owned()));
        for (uri, expected) in [
            ("", unix("/dev/log")),
            ("unixgram:///run/log", unix("/run/log")),
            ("unix:///run/log", unix("/run/log")),
            ("/run/log", unix("/run/log")),
            ("udp://127.0.0.1:5140", udp("127.0.0.1:5140")),
            ("udp://127.0.0.1", udp("127.0.0.1:514")),
            ("udp://[::1]:5140/", udp("[::1]:5140")),
            ("udp://[::1]", udp("[::1]:514")),
            ("udp://", unknown("udp://")),
            ("unixgram://run", unknown("unixgram://run")),
            ("tcp://127.0.0.1:1", unknown("tcp://127.0.0.1:1")),
        ] {
            assert_eq!(Target::from_uri(uri), expected, "{uri}");
        }
    }

    #[test]
    fn a_daemon_that_was_started_anew_is_found_again() {
        let path = scratch("anew");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::new(Target::Unix(path.clone()));
        let start = Instant::now();
        assert!(syslog.send(start, b"one"));
        assert_eq!(received(&daemon), "one");

        drop(daemon);
        fs::remove_file(&path).unwrap();
        assert!(!syslog.send(start, b"two"));
        let daemon = UnixDatagram::bind(&path).unwrap();
        assert!(!syslog.send(start + PAUSE / 2, b"three"));
        assert!(syslog.send(start + PAUSE, b"four"));
        assert_eq!(received(&daemon), "four");

        drop(daemon);
        fs::remove_file(&path).unwrap();
        let daemon = UnixDatagram::bind(&path).unwrap();
        assert!(syslog.send(start + PAUSE, b"five"));
        assert_eq!(received(&daemon), "five");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_daemon_that_does_not_read_is_not_waited_for() {
        let path = scratch("full");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::new(Target::Unix(path.clone()));
        let now = Instant::now();
        let taken = (0..100_000).take_while(|_| syslog.send(now, b"x")).count();
        assert!(taken < 100_000);
        assert_eq!(received(&daemon), "x");
        assert!(syslog.send(now, b"y"));
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn datagrams_go_over_udp() {
        let daemon = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut syslog = Syslog::new(Target::Udp(daemon.local_addr().unwrap()));
        assert!(syslog.send(Instant::now(), b"one"));
        let mut buffer = [0; 16];
        let length = daemon.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"one");
    }
}
