//! The version of TLS that a packet tells of.
//!
//! The payload of a segment enters, a number as TLS writes it leaves (0x0303 is TLS 1.2). Only the
//! first record is looked at, and of handshakes only the two hellos (RFC 8446, 4.1); what is cut
//! says as much as it can.

use super::cursor::Cursor;

#[cfg(test)]
mod tests;

/// The most bytes of a record: those of a text, and what encryption may add (RFC 5246, 6.2.3).
const MAX_RECORD: u16 = (1 << 14) + 2048;
const CONTENT_HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
/// Number of the extension `supported_versions` (RFC 8446, 4.2.1).
const SUPPORTED_VERSIONS: u16 = 43;

/// The version that a payload tells of, 0 when it does not begin as a record of TLS: the one that
/// a server selected, the highest one that a client offers, else that of the record, which is not
/// above 0x0303.
pub fn version(payload: &[u8]) -> u16 {
    of_record(Cursor::new(payload)).unwrap_or(0)
}

fn of_record(mut cursor: Cursor<'_>) -> Option<u16> {
    let content = cursor.u8()?;
    let version = cursor.u16()?;
    let length = cursor.u16()?;
    if !matches!(content, 20..=23) || !is_version(version) || length > MAX_RECORD {
        return None;
    }
    cursor.limit(length.into());
    let of_handshake = match content {
        CONTENT_HANDSHAKE => of_hello(cursor),
        _ => None,
    };
    of_handshake.or(Some(version))
}

fn of_hello(mut cursor: Cursor<'_>) -> Option<u16> {
    let kind = cursor.u8()?;
    // Its length.
    cursor.take(3)?;
    let legacy = Some(cursor.u16()?).filter(|version| is_version(*version))?;
    let extended = match kind {
        CLIENT_HELLO | SERVER_HELLO => of_extension(kind, cursor),
        _ => return None,
    };
    extended.or(Some(legacy))
}

/// The version in the extension of a hello; the cursor stands behind its old version.
fn of_extension(kind: u8, mut cursor: Cursor<'_>) -> Option<u16> {
    // What is random.
    cursor.take(32)?;
    let session = cursor.u8()?;
    cursor.take(session.into())?;
    if kind == CLIENT_HELLO {
        let ciphers = cursor.u16()?;
        cursor.take(ciphers.into())?;
        let compressions = cursor.u8()?;
        cursor.take(compressions.into())?;
    } else {
        // The cipher and the compression.
        cursor.take(3)?;
    }
    let extensions = cursor.u16()?;
    cursor.limit(extensions.into());
    loop {
        let number = cursor.u16()?;
        let length = cursor.u16()?;
        let mut data = cursor.part(length.into())?;
        if number == SUPPORTED_VERSIONS {
            if kind == CLIENT_HELLO {
                let length = data.u8()?;
                data.limit(length.into());
            }
            return highest(data);
        }
    }
}

/// The highest among versions. Clients also offer some that there are not (RFC 8701).
fn highest(mut cursor: Cursor<'_>) -> Option<u16> {
    std::iter::from_fn(|| cursor.u16())
        .filter(|version| is_version(*version))
        .max()
}

/// Whether it is one of SSL 3.0 up to TLS 1.3.
fn is_version(version: u16) -> bool {
    matches!(version, 0x0300..=0x0304)
}
