//! Messages of a WebSocket: fragments are put together, what controls is told apart.
//!
//! Bytes of the server enter with [`Messages::feed`] in any pieces, one [`Message`] after the other
//! leaves with [`Messages::next_message`]. Pure; what has to be answered is the caller's business.

use super::frame::{self, Opcode, MAX_PAYLOAD};
use super::Error;

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text or bytes, complete.
    Data(Vec<u8>),
    /// It wants this back in a pong.
    Ping(Vec<u8>),
    /// It says no more.
    Close,
}

/// What has come and is not yet a message.
#[derive(Debug, Default)]
pub struct Messages {
    bytes: Vec<u8>,
    /// Those of `bytes` that were read.
    read: usize,
    /// The parts of a message that has not ended.
    parts: Option<Vec<u8>>,
}

impl Messages {
    /// Takes what came. All messages are to be taken before the next bytes come, which bounds what
    /// is kept by one frame, one message and those bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.read.min(self.bytes.len()));
        self.read = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message; `None` when more bytes have to come.
    ///
    /// # Errors
    /// What the standard forbids, and messages that are too long. Nothing is to be read then.
    pub fn next_message(&mut self) -> Result<Option<Message>, Error> {
        loop {
            let rest = self.bytes.get(self.read..).unwrap_or_default();
            let Some((frame, taken)) = frame::parse(rest)? else {
                return Ok(None);
            };
            self.read += taken;
            let payload = match (frame.opcode, self.parts.take()) {
                (Opcode::Data, None) => frame.payload,
                (Opcode::Continuation, Some(mut parts)) => {
                    parts.extend(frame.payload);
                    parts
                }
                (Opcode::Data, Some(_)) => {
                    return Err(Error::Frame("it begins a message inside of another"))
                }
                (Opcode::Continuation, None) => {
                    return Err(Error::Frame("it goes on with no message"))
                }
                (control, parts) => {
                    self.parts = parts;
                    match control {
                        Opcode::Ping => return Ok(Some(Message::Ping(frame.payload))),
                        Opcode::Close => return Ok(Some(Message::Close)),
                        _ => continue,
                    }
                }
            };
            if payload.len() > MAX_PAYLOAD {
                return Err(Error::Frame("it makes its message too long"));
            }
            match frame.is_final {
                true => return Ok(Some(Message::Data(payload))),
                false => self.parts = Some(payload),
            }
        }
    }

    /// Bytes that are kept.
    pub fn kept(&self) -> usize {
        self.bytes.len() + self.parts.as_ref().map_or(0, Vec::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(text: &[u8]) -> Message {
        Message::Data(text.to_vec())
    }

    #[test]
    fn messages_come_whole_however_they_are_cut() {
        let cases: [(&[u8], Vec<Message>); 6] = [
            (b"\x82\x02ab\x81\x01c", vec![data(b"ab"), data(b"c")]),
            (b"\x82\x00", vec![data(b"")]),
            (b"\x02\x01a\x00\x01b\x80\x01c", vec![data(b"abc")]),
            // What controls may stand between parts.
            (
                b"\x02\x01a\x89\x01p\x8a\x00\x80\x01b",
                vec![Message::Ping(b"p".to_vec()), data(b"ab")],
            ),
            (
                b"\x02\x01a\x88\x02\x03\xe8\x80\x00",
                vec![Message::Close, data(b"a")],
            ),
            (b"\x8a\x03abc", vec![]),
        ];
        for (bytes, expected) in cases {
            for size in 1..=bytes.len() {
                let mut messages = Messages::default();
                let mut got = Vec::new();
                for piece in bytes.chunks(size) {
                    messages.feed(piece);
                    while let Some(message) = messages.next_message().unwrap() {
                        got.push(message);
                    }
                }
                assert_eq!(got, expected, "{bytes:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn parts_without_order_are_refused() {
        let cases: [(&[u8], &str); 3] = [
            (b"\x80\x01a", "goes on"),
            (b"\x02\x01a\x82\x01b", "inside"),
            (b"\x02\x01a\x80\x01b\x00\x01c", "goes on"),
        ];
        for (bytes, words) in cases {
            let mut messages = Messages::default();
            messages.feed(bytes);
            let error = loop {
                match messages.next_message() {
                    Ok(message) => assert!(message.is_some(), "{bytes:?}"),
                    Err(error) => break error.to_string(),
                }
            };
            assert!(error.contains(words), "{bytes:?}: {error}");
        }
    }

    #[test]
    fn a_message_in_parts_is_bounded() {
        let mut messages = Messages::default();
        let mut frame = vec![0x02, 126, 0xff, 0xff];
        frame.resize(4 + 65_535, 0);
        let mut sent = 0;
        let error = loop {
            messages.feed(&frame);
            frame[0] = 0;
            sent += 1;
            match messages.next_message() {
                Ok(message) => assert_eq!(message, None),
                Err(error) => break error.to_string(),
            }
            assert!(messages.kept() <= 2 * MAX_PAYLOAD);
        };
        assert!(error.contains("too long"), "{error}");
        assert_eq!(sent, 3);
    }
}
