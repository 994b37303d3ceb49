//! A name server that answers every question, and its clients.
//!
//! The server answers A and AAAA with the addresses it was given. A name that begins with
//! `missing.` does not exist; one that begins with `alias.` stands for the rest of it. Every name of
//! an answer is compressed (RFC 1035, 4.1.4).

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{socket as new_socket, AddressFamily, SockFlag, SockType};

use crate::traffic::{answer_time, parsed, serve_streams, stay, usage};

/// Where name servers listen.
pub(crate) const PORT: u16 = 53;
/// Type numbers of questions.
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const INTERNET: u16 = 1;
const HEADER: usize = 12;
const LONGEST: usize = 4096;
/// Points at the name of the question, which follows the header.
const QUESTION_POINTER: u16 = 0xc000 | 12;
const NO_SUCH_NAME: u8 = 3;
/// Questions that a flood sends between two looks at the clock.
const BURST: u32 = 20;

/// `dns-serve IPV4 IPV6 ADDRESS...`: answers with the first two, listens on the others.
pub(crate) fn serve(arguments: &[String]) -> io::Result<String> {
    let [four, six, addresses @ ..] = arguments else {
        return Err(usage("IPV4 IPV6 ADDRESS..."));
    };
    let answers = (parsed(four)?, parsed(six)?);
    for address in addresses {
        let address = SocketAddr::new(parsed(address)?, PORT);
        serve_datagrams(UdpSocket::bind(address)?, answers);
        serve_streams(address, move |stream| serve_stream(stream, answers))?;
    }
    stay("")
}

fn serve_datagrams(socket: UdpSocket, answers: (Ipv4Addr, Ipv6Addr)) {
    thread::spawn(move || {
        let mut buffer = [0; LONGEST];
        while let Ok((size, client)) = socket.recv_from(&mut buffer) {
            let question = buffer.get(..size).unwrap_or_default();
            if let Some(answer) = answer_to(question, answers) {
                let _ = socket.send_to(&answer, client);
            }
        }
    });
}

fn serve_stream(mut stream: TcpStream, answers: (Ipv4Addr, Ipv6Addr)) -> io::Result<()> {
    while let Ok(question) = receive(&mut stream) {
        if let Some(answer) = answer_to(&question, answers) {
            stream.write_all(&framed(&answer))?;
        }
    }
    Ok(())
}

/// A message as it is sent in a stream: its length, then itself, in one write.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), message].concat()
}

fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

/// The answer to a question; `None` when it is none.
fn answer_to(question: &[u8], (four, six): (Ipv4Addr, Ipv6Addr)) -> Option<Vec<u8>> {
    let (name, kind, end) = question_of(question)?;
    let mut answer = question.get(..end)?.to_vec();
    let missing = name.starts_with("missing.");
    let alias = name.starts_with("alias.");
    *answer.get_mut(2)? = 0x84;
    *answer.get_mut(3)? = if missing { NO_SUCH_NAME } else { 0 };
    // No other records than those that follow; the question may have had additional ones.
    answer.get_mut(6..HEADER)?.fill(0);
    if missing {
        return Some(answer);
    }
    *answer.get_mut(7)? = 1 + u8::from(alias);
    let mut owner = QUESTION_POINTER;
    if alias {
        // Past the first label and its length.
        let target = QUESTION_POINTER + 6;
        record(&mut answer, owner, CNAME, &target.to_be_bytes());
        owner = target;
    }
    match kind {
        A => record(&mut answer, owner, A, &four.octets()),
        AAAA => record(&mut answer, owner, AAAA, &six.octets()),
        _ => return None,
    }
    Some(answer)
}

fn record(message: &mut Vec<u8>, owner: u16, kind: u16, data: &[u8]) {
    for number in [owner, kind, INTERNET] {
        message.extend(number.to_be_bytes());
    }
    message.extend(60_u32.to_be_bytes());
    message.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
    message.extend(data);
}

/// Name and type of the first question, and where it ends.
fn question_of(message: &[u8]) -> Option<(String, u16, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = message.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).into_owned());
        at += length;
    }
    let kind = u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?);
    Some((labels.join("."), kind, at + 4))
}

/// A question (RFC 1035, 4.1.1) with recursion desired.
pub(crate) fn question(id: u16, name: &str, kind: &str) -> io::Result<Vec<u8>> {
    let kind = match kind {
        "a" => A,
        "aaaa" => AAAA,
        _ => return Err(usage("the type a or aaaa")),
    };
    let mut message = id.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).map_err(io::Error::other)?);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend(INTERNET.to_be_bytes());
    Ok(message)
}

/// A datagram socket of the family of this address, neither bound nor connected.
pub(crate) fn socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let kind = SockType::Datagram;
    Ok(new_socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?)
}

/// `dns-ask connected|unconnected|tcp SERVER NAME a|aaaa`: asks once; prints the port that it asked
/// from, the code of the response and its last address.
pub(crate) fn ask(arguments: &[String]) -> io::Result<String> {
    let [way, server, name, kind] = arguments else {
        return Err(usage("connected|unconnected|tcp SERVER NAME a|aaaa"));
    };
    let server = SocketAddr::new(parsed(server)?, PORT);
    let id = std::process::id().to_le_bytes();
    let question = question(u16::from_le_bytes([id[0], id[1]]), name, kind)?;
    let (answer, port) = match way.as_str() {
        "tcp" => ask_stream(server, &question)?,
        "connected" | "unconnected" => ask_datagram(server, &question, way == "connected")?,
        _ => return Err(usage("connected, unconnected or tcp")),
    };
    let code = answer.get(3).map_or(255, |byte| byte & 15);
    Ok(format!(
        "port={port} code={code} answer={}",
        last_address(&answer, kind)
    ))
}

fn ask_stream(server: SocketAddr, question: &[u8]) -> io::Result<(Vec<u8>, u16)> {
    let mut stream = TcpStream::connect_timeout(&server, answer_time())?;
    stream.set_read_timeout(Some(answer_time()))?;
    stream.write_all(&framed(question))?;
    Ok((receive(&mut stream)?, stream.local_addr()?.port()))
}

fn ask_datagram(
    server: SocketAddr,
    question: &[u8],
    connected: bool,
) -> io::Result<(Vec<u8>, u16)> {
    let socket = UdpSocket::from(socket(server)?);
    socket.set_read_timeout(Some(answer_time()))?;
    if connected {
        socket.connect(server)?;
        socket.send(question)?;
    } else {
        socket.send_to(question, server)?;
    }
    let mut buffer = vec![0; LONGEST];
    let size = socket.recv(&mut buffer)?;
    buffer.truncate(size);
    Ok((buffer, socket.local_addr()?.port()))
}

/// The address at the end of an answer; `-` when there is none.
fn last_address(answer: &[u8], kind: &str) -> String {
    let has_answers = answer.get(7).is_some_and(|count| *count > 0);
    let address = match kind {
        "a" => answer.last_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
        _ => answer.last_chunk::<16>().map(|bytes| IpAddr::from(*bytes)),
    };
    match address {
        Some(address) if has_answers => address.to_string(),
        _ => "-".to_owned(),
    }
}

/// `dns-flood SERVER COUNT PER_SECOND DOMAIN`: questions for `000000.DOMAIN` and on, evenly spread;
/// no answer is waited for. Prints how many were sent in how many milliseconds.
pub(crate) fn flood(arguments: &[String]) -> io::Result<String> {
    let [server, count, rate, domain] = arguments else {
        return Err(usage("SERVER COUNT PER_SECOND DOMAIN"));
    };
    let server = SocketAddr::new(parsed(server)?, PORT);
    let (count, rate): (u32, u32) = (parsed(count)?, parsed(rate)?);
    let socket = UdpSocket::from(socket(server)?);
    socket.connect(server)?;
    let started = Instant::now();
    for number in 0..count {
        let due = Duration::from_secs(1) * number / rate.max(1);
        let elapsed = started.elapsed();
        if number % BURST == 0 && due > elapsed {
            thread::sleep(due - elapsed);
        }
        let id = number.to_le_bytes();
        let name = format!("{number:06}.{domain}");
        socket.send(&question(u16::from_le_bytes([id[0], id[1]]), &name, "a")?)?;
    }
    Ok(format!(
        "sent={count} milliseconds={}",
        started.elapsed().as_millis()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUR: Ipv4Addr = Ipv4Addr::new(10, 1, 2, 3);
    const SIX: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9);

    #[test]
    fn questions_are_answered_by_their_names() {
        for (name, kind, code, count, last) in [
            ("www.e2e", "a", 0, 1, "10.1.2.3"),
            ("www.e2e", "aaaa", 0, 1, "fd00::9"),
            ("alias.www.e2e", "a", 0, 2, "10.1.2.3"),
            ("missing.e2e", "a", 3, 0, "-"),
        ] {
            let asked = question(0x1234, name, kind).unwrap();
            let answer = answer_to(&asked, (FOUR, SIX)).unwrap();
            assert_eq!(answer.get(..2), Some(&[0x12, 0x34][..]));
            assert_eq!((answer[3] & 15, answer[7]), (code, count), "{name}");
            assert_eq!(last_address(&answer, kind), last, "{name}");
        }
        assert_eq!(answer_to(b"short", (FOUR, SIX)), None);
    }

    #[test]
    fn an_alias_leads_to_the_rest_of_its_name() {
        let asked = question(1, "alias.www.e2e", "a").unwrap();
        let answer = answer_to(&asked, (FOUR, SIX)).unwrap();
        // The target of the alias is a pointer to the second label of the question.
        let target = answer.get(asked.len() + 12..asked.len() + 14);
        assert_eq!(target, Some(&[0xc0, 18][..]));
        assert_eq!(answer.get(18..22), Some(&b"\x03www"[..]));
    }
}
