//! Any bytes as what a peer says, cut at any place: on the event socket, on the command socket, and
//! from a system-probe that is none. The loop's functions return and nothing grows.

#![no_main]

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use libfuzzer_sys::fuzz_target;
use security_agent::event::HostInfo;
use security_agent::forward::connection::{self, Incoming, Subscription};
use security_agent::ipc::{Command as _, Commands, Connection, SUCCESS};
use security_agent::probe::commands::Command;
use security_agent::probe::subscribers::Subscribers;
use security_agent::sys::socket::Credentials;

/// Bytes that may wait for readers: the bound of the journal, and one line.
const BOUND: usize = 5 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Some((head, said)) = bytes.split_first_chunk::<3>() else {
        return;
    };
    let [which, cut, uid] = *head;
    let pieces: Vec<&[u8]> = said.chunks(usize::from(cut) + 1).collect();
    let credentials = Credentials {
        // Our own process is believed to be the security-agent role.
        pid: if uid % 2 == 0 {
            std::process::id() as i32
        } else {
            0
        },
        uid: u32::from(uid % 3),
        gid: 0,
        groups: Vec::new(),
    };
    match which % 3 {
        0 => read_events(credentials, &pieces),
        1 => give_commands(credentials, &pieces),
        _ => pretend_to_be_system_probe(&pieces),
    }
});

fn read_events(credentials: Credentials, pieces: &[&[u8]]) {
    let mut subscribers = Subscribers::new(HostInfo::default());
    let event = format!("{{\"x\":\"{}\"}}", "y".repeat(pieces.len() * 997 % 100_000));
    let (connection, mut peer) = Connection::pair(credentials, Subscribers::LIMITS).unwrap();
    peer.set_nonblocking(true).unwrap();
    subscribers.publish("early", false, "[]", &event);
    subscribers.add(1, connection);
    let mut sink = vec![0; 32 << 10];
    for (turn, piece) in pieces.iter().enumerate() {
        let _ = peer.write(piece);
        subscribers.ready(1);
        for _ in 0..3 {
            subscribers.publish("rule", turn % 5 == 0, "[]", &event);
        }
        subscribers.flush();
        if turn % 3 == 0 {
            let _ = peer.read(&mut sink);
        }
        assert!(subscribers.waiting() <= BOUND, "too much waits");
        assert!(subscribers.kept() <= BOUND, "too much is kept");
    }
    drop(peer);
    subscribers.ready(1);
    subscribers.flush();
    assert_eq!(subscribers.connected(), 0, "who is gone is still there");
}

fn give_commands(credentials: Credentials, pieces: &[&[u8]]) {
    let mut commands = Commands::<Command>::default();
    let limits = Commands::<Command>::LIMITS;
    let is_owner = credentials.is_owner();
    let (connection, mut peer) = Connection::pair(credentials, limits).unwrap();
    peer.set_nonblocking(true).unwrap();
    commands.add(1, connection);
    let mut sink = vec![0; 4096];
    for piece in pieces {
        let _ = peer.write(piece);
        commands.wake(1);
        while commands.has_pending() {
            if let Some(command) = commands.ready(1) {
                assert!(
                    is_owner || !command.is_for_owner(),
                    "{command:?} of a stranger"
                );
                if command.takes_long() {
                    commands.reply_late(1, SUCCESS);
                } else {
                    commands.reply(1, SUCCESS);
                }
            }
        }
        let _ = peer.read(&mut sink);
    }
    drop(peer);
    commands.wake(1);
    while commands.has_pending() {
        commands.ready(1);
    }
    assert_eq!(commands.connected(), 0, "who is gone is still there");
}

fn pretend_to_be_system_probe(pieces: &[&[u8]]) {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let subscription = Subscription::default();
    let Ok(mut connection) = connection::Connection::over(ours, &subscription) else {
        return;
    };
    let mut answers = [0; 4096];
    for piece in pieces {
        peer.set_nonblocking(true).unwrap();
        match peer.write(piece) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => return,
            _ => {}
        }
        let _ = peer.read(&mut answers);
        loop {
            let number = match connection.next_message() {
                Ok(Some(Incoming::Event {
                    line,
                    event,
                    sequence,
                    rule_id,
                })) => {
                    assert!(
                        line.len() > event.len() + rule_id.len(),
                        "parts of the line"
                    );
                    sequence
                }
                Ok(Some(_)) => 0,
                Ok(None) => break,
                Err(_) => return,
            };
            connection.acknowledge(number);
        }
    }
}
