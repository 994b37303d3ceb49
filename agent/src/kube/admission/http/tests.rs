//! Requests as clients send them, whole and in pieces.

use super::*;

fn read_all(bytes: &[u8], piece: usize) -> Vec<Progress> {
    let mut reader = Reader::default();
    let mut found = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.push(piece);
        loop {
            match reader.next() {
                Progress::Partial => break,
                Progress::Refused(status) => {
                    found.push(Progress::Refused(status));
                    return found;
                }
                other => found.push(other),
            }
        }
    }
    found
}

fn whole(method: &str, path: &str, keep_alive: bool, body: &[u8]) -> Progress {
    Progress::Whole(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        keep_alive,
        body: body.to_vec(),
    })
}

#[test]
fn requests_come_whole_however_they_are_cut() {
    let text = "\r\nPOST /a?timeout=2s HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
        GET /b HTTP/1.1\r\nConnection: Close\r\n\r\n\
        POST /c HTTP/1.1\r\ntransfer-encoding: chunked\r\nExpect: 100-continue\r\n\r\n\
        3;x=y\r\nab\r\r\n0A \r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n\
        GET /d HTTP/1.0\r\n\r\nGET /e HTTP/1.0\r\nConnection: Keep-Alive, x\r\n\r\n";
    for piece in [1, 2, 3, 7, 50, 1_000] {
        let mut found = read_all(text.as_bytes(), piece);
        found.retain(|progress| *progress != Progress::Continue);
        let expected = [
            whole("POST", "/a", true, b"abc"),
            whole("GET", "/b", false, b""),
            whole("POST", "/c", true, b"ab\r0123456789"),
            whole("GET", "/d", false, b""),
            whole("GET", "/e", true, b""),
        ];
        assert_eq!(found, expected, "pieces of {piece}");
    }
}

#[test]
fn who_waits_is_told_to_go_on_once() {
    let mut reader = Reader::default();
    reader.push(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(reader.next(), Progress::Continue);
    assert_eq!(reader.next(), Progress::Partial);
    reader.push(b"ab");
    assert_eq!(reader.next(), whole("POST", "/", true, b"ab"));
    assert!(reader.is_empty());
}

#[test]
fn what_is_no_request_is_refused() {
    let long_line = format!("POST / HTTP/1.1\r\nx: {}", "y".repeat(MAX_HEAD));
    let long_extension = format!("{CHUNKED}1;{}", "x".repeat(MAX_LINE));
    let long_trailer = format!("{CHUNKED}0\r\n{}", "a: b\r\n".repeat(MAX_LINE / 4));
    const CHUNKED: &str = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunked = |body: &str| format!("{CHUNKED}{body}");
    let with = |fields: &str| format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n");
    let cases = [
        ("GET /\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/2.0\r\n\r\n".to_owned(), 400),
        ("GET / x HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("\u{16}\u{3}\u{1}\r\n\r\n".to_owned(), 400),
        (with("no colon"), 400),
        (with(": x"), 400),
        (with("a : x"), 400),
        (with("a: x\r\n folded: y"), 400),
        (with("Content-Length: -1"), 400),
        (with("Content-Length: +1"), 400),
        (with("Content-Length:"), 400),
        (with("Content-Length: 1\r\nContent-Length: 2"), 400),
        (with("Content-Length: 1\r\nTransfer-Encoding: chunked"), 400),
        (with("Transfer-Encoding: gzip, chunked"), 400),
        (with("Content-Length: 3145729"), 413),
        (with("Content-Length: 18446744073709551615"), 413),
        (with("Content-Length: 99999999999999999999"), 400),
        (long_line, 431),
        (chunked("x\r\n"), 400),
        (chunked("-1\r\n"), 400),
        (chunked("1\r\nabc"), 400),
        (chunked("300001\r\n"), 413),
        (chunked("ffffffffffffffffff\r\n"), 400),
        (long_extension, 400),
        (long_trailer, 400),
    ];
    for (text, status) in cases {
        let found = read_all(text.as_bytes(), 1_000);
        assert_eq!(found, [Progress::Refused(status)], "{text:.80}");
    }
    let invalid = read_all(b"GET /\xff HTTP/1.1\r\n\r\n", 100);
    assert_eq!(invalid, [Progress::Refused(400)]);
}

#[test]
fn pieces_of_a_body_are_bounded_together() {
    let mut reader = Reader::default();
    reader.push(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    let piece = [b"100000\r\n".as_slice(), &vec![b'x'; 1 << 20], b"\r\n"].concat();
    for _ in 0..3 {
        reader.push(&piece);
        assert_eq!(reader.next(), Progress::Partial);
    }
    assert_eq!(reader.held(), MAX_BODY);
    reader.push(b"1\r\n");
    assert_eq!(reader.next(), Progress::Refused(413));
}
