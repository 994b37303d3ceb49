//! Messages of name servers (RFC 1035).
//!
//! The bytes of a datagram or of a segment of TCP enter, [`Message`]s leave. Names are texts in
//! the notation of zone files (5.1): case is kept, `\.` and `\\` are bytes of a label, `\DDD` is a
//! byte that cannot be printed. What follows the answers (authority, additional) is not read.

use std::fmt::Write;
use std::net::IpAddr;

use super::cursor::Cursor;

#[cfg(test)]
mod tests;

/// Bytes of the header.
const HEADER: usize = 12;
/// Bit of a response (QR) in the flags of the header.
const RESPONSE: u16 = 0x8000;
/// Bits of the kind of a message; 0 is a question or the answer to one.
const OPCODE: u16 = 0x7800;
/// Bits of the code of a response.
const CODE: u16 = 0x000f;
/// Servers answer one question. More of them than this are no message but other bytes.
const MAX_QUESTIONS: u16 = 8;
/// The most addresses, and the most aliases, that are taken from one message.
const MAX_ANSWERS: usize = 64;
/// The most bytes of a name, with the lengths of its labels (3.1).
const MAX_NAME: usize = 255;
/// Pointers that one name may go through: servers make names of one.
const MAX_POINTERS: usize = 32;
const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Number that question and answer share.
    pub id: u16,
    /// An answer rather than a question.
    pub is_response: bool,
    /// Code of the response; 0 is success.
    pub code: u8,
    /// How many questions it has.
    pub questions: u16,
    /// Name of the first question, without a dot at its end.
    pub name: String,
    /// Type of the first question (1 is A).
    pub kind: u16,
    /// Class of the first question (1 is IN).
    pub class: u16,
    /// Bytes of the message.
    pub size: u32,
    /// The addresses among the answers, and whose they are.
    pub addresses: Vec<(String, IpAddr)>,
    /// The aliases among the answers: a name and the one that it stands for.
    pub aliases: Vec<(String, String)>,
}

impl Message {
    /// Reads a message, which may be cut behind its first question: answers that are not whole are
    /// left out. Other bytes are `None`; so is a question that asks nothing.
    pub fn parse(bytes: &[u8]) -> Option<Message> {
        let mut cursor = Cursor::new(bytes);
        let id = cursor.u16()?;
        let flags = cursor.u16()?;
        let questions = cursor.u16()?;
        let answers = cursor.u16()?;
        cursor.take(4)?;
        let is_response = flags & RESPONSE != 0;
        if questions > MAX_QUESTIONS || (questions == 0 && !is_response) {
            return None;
        }
        let mut message = Message {
            id,
            is_response,
            code: (flags & CODE) as u8,
            questions,
            size: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            ..Message::default()
        };
        if questions > 0 {
            (message.name, message.kind, message.class) = question(&mut cursor)?;
        }
        // Nobody who asks has addresses to give.
        if is_response && flags & OPCODE == 0 {
            // `None` is an answer that is cut; those before it were taken.
            let _ = message.read_answers(&mut cursor, answers);
        }
        Some(message)
    }

    fn read_answers(&mut self, cursor: &mut Cursor<'_>, answers: u16) -> Option<()> {
        for _ in 1..self.questions {
            question(cursor)?;
        }
        for _ in 0..answers {
            self.read_answer(cursor)?;
        }
        Some(())
    }

    /// `None` when it is not whole; what it is not about is passed over.
    fn read_answer(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        let (owner, kind, class) = question(cursor)?;
        // How long it may be kept.
        cursor.take(4)?;
        let length = cursor.u16()?;
        let mut data = cursor.part(length.into())?;
        if class != CLASS_IN {
            return Some(());
        }
        let address = match (kind, length) {
            (TYPE_A, 4) => data.array::<4>().map(IpAddr::from),
            (TYPE_AAAA, 16) => data.array::<16>().map(IpAddr::from),
            _ => None,
        };
        if let Some(address) = address {
            if self.addresses.len() < MAX_ANSWERS {
                self.addresses.push((owner, address));
            }
        } else if kind == TYPE_CNAME && self.aliases.len() < MAX_ANSWERS {
            if let Some(name) = name(&mut data) {
                self.aliases.push((owner, name));
            }
        }
        Some(())
    }
}

/// Reads a name, a type and a class, which is a question or how an answer begins.
fn question(cursor: &mut Cursor<'_>) -> Option<(String, u16, u16)> {
    Some((name(cursor)?, cursor.u16()?, cursor.u16()?))
}

/// Reads a name, which may go on before itself (4.1.4). What a pointer leads to has to end where
/// the labels before the pointer begin, so there are fewer bytes to read with each.
fn name(cursor: &mut Cursor<'_>) -> Option<String> {
    let mut text = String::new();
    let mut length = 1;
    let mut pointers = 0;
    let mut start = cursor.position();
    let mut labels = *cursor;
    loop {
        let size = labels.u8()?;
        match size {
            0 => break,
            1..=63 => {
                length += 1 + usize::from(size);
                if length > MAX_NAME {
                    return None;
                }
                if !text.is_empty() {
                    text.push('.');
                }
                escape(labels.take(size.into())?, &mut text);
            }
            192.. => {
                let target = usize::from(size & 0x3f) << 8 | usize::from(labels.u8()?);
                if pointers == 0 {
                    *cursor = labels;
                }
                pointers += 1;
                if pointers > MAX_POINTERS || target < HEADER {
                    return None;
                }
                labels = labels.between(target, start)?;
                start = target;
            }
            // Reserved for other kinds of labels.
            64..=191 => return None,
        }
    }
    if pointers == 0 {
        *cursor = labels;
    }
    Some(text)
}

/// Appends a label as text.
fn escape(label: &[u8], text: &mut String) {
    for byte in label {
        match byte {
            b'.' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b'!'..=b'~' => text.push(char::from(*byte)),
            _ => {
                // Writing into a String cannot fail.
                let _ = write!(text, "\\{byte:03}");
            }
        }
    }
}

/// The messages in one segment of TCP, where each has its length in two bytes before it (4.2.2).
/// `None` is one that is malformed. Segments are not put together, so this is what one may be:
///
/// - Messages that follow each other. The last may be cut behind its first question; its size is
///   the whole one.
/// - A length alone, which some resolvers send by itself: nothing.
/// - A message without a length, which follows such a segment.
/// - The middle of a long message. It looks like any bytes, so it is nothing, and so is what
///   cannot be read behind whole messages.
/// - Malformed, but only if a length fits exactly what is behind it, so that it cannot be a middle.
pub fn messages_of_stream(segment: &[u8]) -> Vec<Option<Message>> {
    let mut messages = Vec::new();
    let mut cursor = Cursor::new(segment);
    let mut fits = false;
    while let Some(length) = cursor.u16() {
        let length = usize::from(length);
        let rest = cursor.rest();
        let bytes = rest.get(..length).unwrap_or(rest);
        let Some(mut message) = Message::parse(bytes) else {
            fits = length > 0 && length == rest.len();
            break;
        };
        message.size = u32::try_from(length).unwrap_or(u32::MAX);
        messages.push(Some(message));
        cursor.skip(length);
    }
    let alone = match messages.is_empty() {
        true => Message::parse(segment),
        false => None,
    };
    if alone.is_some() || fits {
        messages.push(alone);
    }
    messages
}
