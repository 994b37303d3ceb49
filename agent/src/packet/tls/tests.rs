use super::*;

const GREASE: u16 = 0x7a7a;

fn record(content: u8, version: u16, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    [&[content][..], &version.to_be_bytes(), &length, body].concat()
}

fn extension(number: u16, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u16).to_be_bytes();
    [&number.to_be_bytes()[..], &length, data].concat()
}

fn versions(all: &[u16]) -> Vec<u8> {
    all.iter().flat_map(|one| one.to_be_bytes()).collect()
}

/// A hello in a record; `None` for one without extensions.
fn hello(kind: u8, legacy: u16, extensions: Option<&[Vec<u8>]>) -> Vec<u8> {
    let mut body = legacy.to_be_bytes().to_vec();
    body.extend([7; 32]);
    body.push(4);
    body.extend([9; 4]);
    match kind {
        CLIENT_HELLO => body.extend([0, 4, 0x13, 1, 0x13, 2, 1, 0]),
        _ => body.extend([0x13, 1, 0]),
    }
    if let Some(extensions) = extensions {
        let extensions = extensions.concat();
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
    }
    let [_, length @ ..] = (body.len() as u32).to_be_bytes();
    record(22, 0x0301, &[&[kind][..], &length, &body].concat())
}

/// The versions that a client offers.
fn offer(all: &[u16]) -> Vec<u8> {
    let data = [vec![all.len() as u8 * 2], versions(all)].concat();
    extension(SUPPORTED_VERSIONS, &data)
}

fn selection(one: u16) -> Vec<u8> {
    extension(SUPPORTED_VERSIONS, &versions(&[one]))
}

#[test]
fn records_that_are_no_hello_have_the_version_of_the_record() {
    for (payload, expected) in [
        (record(23, 0x0303, b"secret"), 0x0303),
        (record(21, 0x0302, b"\x02\x28"), 0x0302),
        (record(20, 0x0300, b"\x01"), 0x0300),
        // A certificate; a handshake that is encrypted.
        (record(22, 0x0303, b"\x0b\0\0\x02\x03\x01"), 0x0303),
        (record(22, 0x0303, b"\x55\xaa\x99"), 0x0303),
    ] {
        assert_eq!(version(&payload), expected, "{payload:x?}");
    }
}

#[test]
fn hellos_have_the_version_that_they_agree_on() {
    let other = extension(0, b"\0\x05\0\0\x02ab");
    for (kind, legacy, extensions, expected) in [
        (CLIENT_HELLO, 0x0303, None, 0x0303),
        (CLIENT_HELLO, 0x0301, Some(vec![]), 0x0301),
        (CLIENT_HELLO, 0x0303, Some(vec![other.clone()]), 0x0303),
        (
            CLIENT_HELLO,
            0x0303,
            Some(vec![other.clone(), offer(&[GREASE, 0x0303, 0x0304])]),
            0x0304,
        ),
        (CLIENT_HELLO, 0x0303, Some(vec![offer(&[0x0302])]), 0x0302),
        (CLIENT_HELLO, 0x0303, Some(vec![offer(&[GREASE])]), 0x0303),
        (CLIENT_HELLO, 0x0303, Some(vec![offer(&[])]), 0x0303),
        // No version at all.
        (CLIENT_HELLO, 0x1234, None, 0x0301),
        (SERVER_HELLO, 0x0303, None, 0x0303),
        (
            SERVER_HELLO,
            0x0303,
            Some(vec![other, selection(0x0304)]),
            0x0304,
        ),
        (SERVER_HELLO, 0x0303, Some(vec![selection(0x7f1c)]), 0x0303),
    ] {
        let payload = hello(kind, legacy, extensions.as_deref());
        assert_eq!(version(&payload), expected, "{kind} {extensions:?}");
    }
}

#[test]
fn a_cut_hello_says_what_it_can() {
    for kind in [CLIENT_HELLO, SERVER_HELLO] {
        let versions = match kind {
            CLIENT_HELLO => offer(&[0x0304, 0x0303]),
            _ => selection(0x0304),
        };
        let payload = hello(kind, 0x0303, Some(&[extension(23, b""), versions]));
        for end in 0..=payload.len() {
            let expected = match end {
                0..5 => 0,
                5..11 => 0x0301,
                _ if end < payload.len() => 0x0303,
                _ => 0x0304,
            };
            assert_eq!(version(&payload[..end]), expected, "{kind} {end}");
        }
    }
}

#[test]
fn other_bytes_are_no_tls() {
    for payload in [
        &b""[..],
        b"\x16\x03",
        b"GET / HTTP/1.1\r\n",
        b"SSH-2.0-OpenSSH_9.6p1",
        // Another content, another version, a length that no record has.
        b"\x18\x03\x03\0\x01x",
        b"\x16\x02\x00\0\x01x",
        b"\x16\x03\x05\0\x01x",
        b"\x17\x03\x03\xff\xffx",
    ] {
        assert_eq!(version(payload), 0, "{payload:x?}");
    }
}

#[test]
fn any_changed_byte_is_survived() {
    let payload = hello(CLIENT_HELLO, 0x0303, Some(&[offer(&[0x0304])]));
    for position in 0..payload.len() {
        for byte in 0..=u8::MAX {
            let mut changed = payload.clone();
            changed[position] = byte;
            assert!(version(&changed) <= 0x0304);
        }
    }
}
