//! Any bytes as what a server sends over a WebSocket, cut at any place: messages come, or an error
//! that stays, the same ones however the bytes are cut, and what is kept is bounded. What we write
//! ourselves can be read back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use security_agent::kube::api::frame::{self, Opcode, MAX_PAYLOAD};
use security_agent::kube::api::message::{Message, Messages};

fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, said)) = bytes.split_first() else {
        return;
    };
    let whole = read(said, said.len().max(1));
    let pieces = read(said, usize::from(cut) + 1);
    assert_eq!(whole, pieces, "it depends on where it was cut");
    write(said, [cut, 1, 2, 3]);
});

/// The messages in these bytes, and whether there was an error.
fn read(said: &[u8], size: usize) -> (Vec<Message>, bool) {
    let mut messages = Messages::default();
    let mut got = Vec::new();
    for piece in said.chunks(size) {
        messages.feed(piece);
        loop {
            match messages.next_message() {
                Ok(Some(message)) => got.push(message),
                Ok(None) => break,
                Err(_) => return (got, true),
            }
        }
        // A frame that is not complete with its head, the parts before it, and the last bytes.
        assert!(
            messages.kept() <= 2 * MAX_PAYLOAD + 10 + size,
            "it keeps too much"
        );
    }
    (got, false)
}

/// What a client writes is what a server writes but for the mask.
fn write(payload: &[u8], mask: [u8; 4]) {
    let mut bytes = frame::write(Opcode::Data, payload, mask);
    let head = bytes.len() - payload.len() - 4;
    let unmasked: Vec<u8> = bytes
        .drain(head..)
        .skip(4)
        .zip(mask.iter().cycle())
        .map(|(byte, mask)| byte ^ mask)
        .collect();
    assert!(unmasked == payload, "the mask");
    if payload.len() > MAX_PAYLOAD {
        return;
    }
    if let Some(second) = bytes.get_mut(1) {
        assert!(*second & 0x80 != 0, "it is not masked");
        *second &= 0x7f;
    }
    bytes.extend(unmasked);
    let (frame, taken) = frame::parse(&bytes).unwrap().unwrap();
    assert!(frame.is_final && frame.payload == payload && taken == bytes.len());
}
