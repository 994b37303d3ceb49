//! Frames of a WebSocket (RFC 6455, section 5), as a client reads and writes them.
//!
//! Pure: bytes enter [`parse`], a [`Frame`] leaves with how many of them it took; a payload enters
//! [`write`] and leaves masked. Fragments are put together in [`super::message`].

use super::Error;

/// Bytes of the payload of a frame that a server may send.
pub const MAX_PAYLOAD: usize = 128 << 10;
/// Bytes of the payload of a ping, a pong or a close.
pub const MAX_CONTROL: usize = 125;

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const SHORT: usize = 126;
const LONG: usize = 127;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A further part of a message.
    Continuation,
    /// A message, or its first part. Text and bytes are not told apart.
    Data,
    /// The last frame.
    Close,
    /// A question whether somebody is there.
    Ping,
    /// The answer to it.
    Pong,
}

impl Opcode {
    fn is_control(self) -> bool {
        !matches!(self, Opcode::Continuation | Opcode::Data)
    }

    fn number(self) -> u8 {
        match self {
            Opcode::Continuation => 0,
            Opcode::Data => 2,
            Opcode::Close => 8,
            Opcode::Ping => 9,
            Opcode::Pong => 10,
        }
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Whether it ends a message.
    pub is_final: bool,
    /// What it is.
    pub opcode: Opcode,
    /// What it holds.
    pub payload: Vec<u8>,
}

/// The first frame of what a server sent, and how many bytes it took; `None` when some are missing.
///
/// # Errors
/// A frame that the standard forbids, or that is too long.
pub fn parse(bytes: &[u8]) -> Result<Option<(Frame, usize)>, Error> {
    let Some((head, rest)) = bytes.split_first_chunk::<2>() else {
        return Ok(None);
    };
    let [first, second] = *head;
    if first & RESERVED != 0 {
        return Err(Error::Frame("it uses reserved bits"));
    }
    if second & MASKED != 0 {
        return Err(Error::Frame("it is masked"));
    }
    let is_final = first & FINAL != 0;
    let opcode = opcode(first & 0x0f)?;
    let Some((length, wide)) = length(usize::from(second), rest)? else {
        return Ok(None);
    };
    if opcode.is_control() && (!is_final || length > MAX_CONTROL) {
        return Err(Error::Frame("it controls, and is long or in parts"));
    }
    if length > MAX_PAYLOAD {
        return Err(Error::Frame("it is too long"));
    }
    let Some(payload) = rest.get(wide..wide + length) else {
        return Ok(None);
    };
    let payload = payload.to_vec();
    let frame = Frame {
        is_final,
        opcode,
        payload,
    };
    Ok(Some((frame, head.len() + wide + length)))
}

fn opcode(number: u8) -> Result<Opcode, Error> {
    Ok(match number {
        0 => Opcode::Continuation,
        1 | 2 => Opcode::Data,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        _ => return Err(Error::Frame("its kind is unknown")),
    })
}

/// The length of a payload, and how many further bytes it is written in.
fn length(short: usize, rest: &[u8]) -> Result<Option<(usize, usize)>, Error> {
    let (long, wide, least) = match short {
        SHORT => (
            rest.first_chunk()
                .map(|b| u64::from(u16::from_be_bytes(*b))),
            2,
            SHORT as u64,
        ),
        LONG => (
            rest.first_chunk().map(|b| u64::from_be_bytes(*b)),
            8,
            1 << 16,
        ),
        short => return Ok(Some((short, 0))),
    };
    match long {
        None => Ok(None),
        Some(long) if long < least => Err(Error::Frame("its length is written too wide")),
        // Whatever does not fit is too long, too.
        Some(long) => Ok(Some((usize::try_from(long).unwrap_or(usize::MAX), wide))),
    }
}

/// A whole message, or a frame that controls, as a client sends it.
pub fn write(opcode: Opcode, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 14);
    out.push(FINAL | opcode.number());
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length), _) if usize::from(length) < SHORT => out.push(MASKED | length),
        (_, Ok(length)) => {
            out.push(MASKED | SHORT as u8);
            out.extend(length.to_be_bytes());
        }
        _ => {
            out.push(MASKED | LONG as u8);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    out.extend(mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    out.extend(masked.map(|(byte, mask)| byte ^ mask));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_length(first: u8, head: &[u8], length: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        bytes.extend(head);
        bytes.resize(bytes.len() + length, b'x');
        bytes
    }

    #[test]
    fn frames_are_read_as_they_were_sent() {
        let cases = [
            (with_length(0x82, &[0], 0), true, Opcode::Data, 0),
            (with_length(0x81, &[5], 5), true, Opcode::Data, 5),
            (with_length(0x02, &[125], 125), false, Opcode::Data, 125),
            (
                with_length(0x00, &[126, 0, 126], 126),
                false,
                Opcode::Continuation,
                126,
            ),
            (
                with_length(0x80, &[126, 255, 255], 65_535),
                true,
                Opcode::Continuation,
                65_535,
            ),
            (
                with_length(0x82, &[127, 0, 0, 0, 0, 0, 1, 0, 0], 65_536),
                true,
                Opcode::Data,
                65_536,
            ),
            (
                with_length(0x82, &[127, 0, 0, 0, 0, 0, 2, 0, 0], MAX_PAYLOAD),
                true,
                Opcode::Data,
                MAX_PAYLOAD,
            ),
            (with_length(0x88, &[2], 2), true, Opcode::Close, 2),
            (with_length(0x89, &[125], 125), true, Opcode::Ping, 125),
            (with_length(0x8a, &[0], 0), true, Opcode::Pong, 0),
        ];
        for (mut bytes, is_final, opcode, length) in cases {
            let payload = vec![b'x'; length];
            let expected = Frame {
                is_final,
                opcode,
                payload,
            };
            for end in [0, 1, 2, 3, 9, bytes.len() - 1] {
                let part = &bytes[..end.min(bytes.len() - 1)];
                assert_eq!(parse(part), Ok(None), "{opcode:?} {length} {end}");
            }
            let end = bytes.len();
            bytes.extend(b"more");
            assert_eq!(parse(&bytes), Ok(Some((expected, end))));
        }
    }

    #[test]
    fn frames_that_the_standard_forbids_are_refused() {
        let cases: [(&[u8], &str); 15] = [
            (&[0xc2, 0], "reserved"),
            (&[0xa2, 0], "reserved"),
            (&[0x92, 0], "reserved"),
            (&[0x82, 0x80], "masked"),
            (&[0x83, 0], "kind"),
            (&[0x87, 0], "kind"),
            (&[0x8b, 0], "kind"),
            (&[0x8f, 0], "kind"),
            (&[0x09, 0], "controls"),
            (&[0x08, 0], "controls"),
            (&[0x89, 126, 0, 126], "controls"),
            (&[0x82, 126, 0, 125], "wide"),
            (&[0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255], "wide"),
            (&[0x82, 127, 0, 0, 0, 0, 0, 2, 0, 1], "too long"),
            (&[0x82, 127, 255, 0, 0, 0, 0, 0, 0, 0], "too long"),
        ];
        for (bytes, word) in cases {
            let error = parse(bytes).unwrap_err().to_string();
            assert!(error.contains(word), "{bytes:?}: {error}");
        }
    }

    #[test]
    fn what_is_written_is_masked_and_says_how_long_it_is() {
        // The example of the standard: a masked "Hello", as bytes here.
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let expected = [
            0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];
        assert_eq!(write(Opcode::Data, b"Hello", mask), expected);
        let cases: [(usize, &[u8]); 5] = [
            (125, &[0x82, 0xfd]),
            (126, &[0x82, 0xfe, 0, 126]),
            (256, &[0x82, 0xfe, 1, 0]),
            (65_535, &[0x82, 0xfe, 255, 255]),
            (65_536, &[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]),
        ];
        for (length, head) in cases {
            let bytes = write(Opcode::Data, &vec![7; length], [0; 4]);
            assert!(bytes.starts_with(head), "{length}");
            assert_eq!(bytes.len(), head.len() + 4 + length);
        }
        assert_eq!(write(Opcode::Pong, b"", [0; 4]), [0x8a, 0x80, 0, 0, 0, 0]);
    }
}
