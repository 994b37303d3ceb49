//! HTTP/1.1 as a server reads it: one request at a time, from bytes as they come.
//!
//! Decrypted bytes enter a [`Reader`], requests leave, or the status to refuse them with. Heads and
//! bodies are bounded; nothing is known here of what a request asks for.

/// Bytes of a head.
const MAX_HEAD: usize = 16 << 10;
/// Bytes of a body; an API server's own limit for objects is the same.
const MAX_BODY: usize = 3 << 20;
/// Bytes of the line that says how long a piece of a body is, and of all lines after the body.
const MAX_LINE: usize = 1 << 10;

const BAD_REQUEST: u16 = 400;
const TOO_LARGE: u16 = 413;
const HEAD_TOO_LARGE: u16 = 431;

/// What is asked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    /// As it was sent, such as `POST`.
    pub(super) method: String,
    /// Without what follows a question mark.
    pub(super) path: String,
    /// Whether the connection may serve another one.
    pub(super) keep_alive: bool,
    /// The body, whole.
    pub(super) body: Vec<u8>,
}

/// What the bytes so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More must come.
    Partial,
    /// The client waits for a word before it sends the body.
    Continue,
    /// A request is whole.
    Whole(Request),
    /// It cannot be read; to be refused with this status.
    Refused(u16),
}

/// Bytes that became no request yet.
#[derive(Default)]
pub(super) struct Reader {
    bytes: Vec<u8>,
    head: Option<Head>,
}

struct Head {
    request: Request,
    framing: Framing,
    waits: bool,
}

/// What says where the body ends.
enum Framing {
    /// So many bytes.
    Length(usize),
    /// Pieces with their lengths.
    Chunked(Chunk),
}

/// Where in a body of pieces the next byte stands.
enum Chunk {
    Size,
    Data(usize),
    DataEnd,
    /// Lines after the last piece; so many bytes of them may still come.
    Trailer(usize),
}

impl Reader {
    /// Takes in bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether nothing of a request has come.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.head.is_none()
    }

    /// Whether a whole head has come.
    pub(super) fn has_head(&self) -> bool {
        self.head.is_some()
    }

    /// Bytes that are held.
    pub(super) fn held(&self) -> usize {
        let body = self.head.as_ref().map_or(0, |head| head.request.body.len());
        self.bytes.len() + body
    }

    /// Goes on with what has come.
    pub(super) fn next(&mut self) -> Progress {
        match self.advance() {
            Ok(Some(request)) => Progress::Whole(request),
            Ok(None) => {
                let head = self.head.as_mut();
                match head.is_some_and(|head| std::mem::take(&mut head.waits)) {
                    true => Progress::Continue,
                    false => Progress::Partial,
                }
            }
            Err(status) => Progress::Refused(status),
        }
    }

    fn advance(&mut self) -> Result<Option<Request>, u16> {
        if self.head.is_none() {
            self.head = self.read_head()?;
        }
        let Some(head) = &mut self.head else {
            return Ok(None);
        };
        let body = &mut head.request.body;
        let is_whole = match &mut head.framing {
            Framing::Length(length) => {
                let missing = length.saturating_sub(body.len());
                body.extend(self.bytes.drain(..missing.min(self.bytes.len())));
                body.len() >= *length
            }
            Framing::Chunked(chunk) => {
                let mut rest = self.bytes.as_slice();
                let is_whole = chunk.read(&mut rest, body)?;
                let read = self.bytes.len() - rest.len();
                self.bytes.drain(..read);
                is_whole
            }
        };
        match is_whole {
            true => Ok(self.head.take().map(|head| head.request)),
            false => Ok(None),
        }
    }

    fn read_head(&mut self) -> Result<Option<Head>, u16> {
        // Old clients put empty lines before a request.
        let start = self
            .bytes
            .iter()
            .take_while(|b| b"\r\n".contains(b))
            .count();
        self.bytes.drain(..start);
        let end = self.bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end.filter(|end| *end <= MAX_HEAD) else {
            return match self.bytes.len() > MAX_HEAD {
                true => Err(HEAD_TOO_LARGE),
                false => Ok(None),
            };
        };
        let head: Vec<u8> = self.bytes.drain(..end + 4).take(end).collect();
        let text = String::from_utf8(head).map_err(|_| BAD_REQUEST)?;
        Head::read(&text).map(Some)
    }
}

impl Head {
    fn read(text: &str) -> Result<Head, u16> {
        let mut lines = text.split("\r\n");
        let mut words = lines.next().unwrap_or("").split(' ');
        let (method, target) = (words.next(), words.next());
        let (method, target) = method.zip(target).ok_or(BAD_REQUEST)?;
        let keep_alive = match (words.next(), words.next()) {
            (Some("HTTP/1.1"), None) => true,
            (Some("HTTP/1.0"), None) => false,
            _ => return Err(BAD_REQUEST),
        };
        let path = target.split('?').next().unwrap_or("");
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            keep_alive,
            body: Vec::new(),
        };
        let mut head = Head {
            request,
            framing: Framing::Length(0),
            waits: false,
        };
        head.read_fields(lines)?;
        Ok(head)
    }

    fn read_fields<'a>(&mut self, lines: impl Iterator<Item = &'a str>) -> Result<(), u16> {
        let mut length = None;
        let mut is_chunked = false;
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(BAD_REQUEST)?;
            let value = value.trim_matches([' ', '\t']);
            if name.is_empty() || name.contains([' ', '\t']) {
                return Err(BAD_REQUEST);
            }
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
            if is("content-length") {
                let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
                let number = value.parse::<u64>().ok().filter(|_| is_number);
                let number = number.ok_or(BAD_REQUEST)?;
                if length.is_some_and(|before| before != number) {
                    return Err(BAD_REQUEST);
                }
                length = Some(number);
            } else if is("transfer-encoding") {
                if is_chunked || !value.eq_ignore_ascii_case("chunked") {
                    return Err(BAD_REQUEST);
                }
                is_chunked = true;
            } else if is("connection") {
                self.read_connection(value);
            } else if is("expect") {
                self.waits = value.eq_ignore_ascii_case("100-continue");
            }
        }
        self.framing = match (length, is_chunked) {
            (Some(_), true) => return Err(BAD_REQUEST),
            (None, true) => Framing::Chunked(Chunk::Size),
            (length, false) => {
                let length = usize::try_from(length.unwrap_or(0)).unwrap_or(usize::MAX);
                if length > MAX_BODY {
                    return Err(TOO_LARGE);
                }
                Framing::Length(length)
            }
        };
        Ok(())
    }

    fn read_connection(&mut self, value: &str) {
        for word in value.split(',').map(str::trim) {
            if word.eq_ignore_ascii_case("close") {
                self.request.keep_alive = false;
            } else if word.eq_ignore_ascii_case("keep-alive") {
                self.request.keep_alive = true;
            }
        }
    }
}

impl Chunk {
    /// Moves what has come to the body; true when the body is whole.
    fn read(&mut self, rest: &mut &[u8], body: &mut Vec<u8>) -> Result<bool, u16> {
        loop {
            *self = match self {
                Chunk::Size => {
                    let Some(line) = take_line(rest, MAX_LINE)? else {
                        return Ok(false);
                    };
                    match chunk_size(line)? {
                        0 => Chunk::Trailer(MAX_LINE),
                        size if size > MAX_BODY.saturating_sub(body.len()) => {
                            return Err(TOO_LARGE)
                        }
                        size => Chunk::Data(size),
                    }
                }
                Chunk::Data(missing) => {
                    let (data, left) = rest.split_at(rest.len().min(*missing));
                    body.extend_from_slice(data);
                    *rest = left;
                    match *missing - data.len() {
                        0 => Chunk::DataEnd,
                        missing => {
                            *self = Chunk::Data(missing);
                            return Ok(false);
                        }
                    }
                }
                Chunk::DataEnd => match take_line(rest, 0)? {
                    Some(_) => Chunk::Size,
                    None => return Ok(false),
                },
                Chunk::Trailer(room) => match take_line(rest, *room)? {
                    Some([]) => return Ok(true),
                    Some(line) => Chunk::Trailer(room.saturating_sub(line.len() + 2)),
                    None => return Ok(false),
                },
            };
        }
    }
}

/// The next line, without its end, of at most so many bytes.
fn take_line<'a>(rest: &mut &'a [u8], longest: usize) -> Result<Option<&'a [u8]>, u16> {
    let looked_at = rest.get(..longest + 2).unwrap_or(rest);
    let Some(end) = looked_at.windows(2).position(|two| two == b"\r\n") else {
        return match looked_at.len() < longest + 2 {
            true => Ok(None),
            false => Err(BAD_REQUEST),
        };
    };
    let (line, left) = rest.split_at(end);
    *rest = left.get(2..).unwrap_or_default();
    Ok(Some(line))
}

/// The number before the extensions of a piece, in hexadecimal digits.
fn chunk_size(line: &[u8]) -> Result<usize, u16> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let digits = digits.trim_ascii_end();
    let is_number = digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| is_number);
    let text = text.ok_or(BAD_REQUEST)?;
    usize::from_str_radix(text, 16).map_err(|_| BAD_REQUEST)
}

/// An answer; empty content types say nothing of the body.
pub(super) fn answer(status: u16, content_type: &str, body: &str, keep_alive: bool) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        BAD_REQUEST => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        TOO_LARGE => "Content Too Large",
        HEAD_TOO_LARGE => "Request Header Fields Too Large",
        _ => "Service Unavailable",
    };
    let connection = if keep_alive { "keep-alive" } else { "close" };
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         Connection: {connection}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
#[path = "http/tests.rs"]
mod tests;
