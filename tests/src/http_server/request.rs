//! One HTTP request: its bytes are read from a stream, [`Request`] leaves.

use std::io::{self, BufRead, Read, Write};

/// A line or a body of more bytes is refused.
const LARGEST: u64 = 64 << 20;

/// A request as it was received.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// `POST`, `CONNECT`, …
    pub(crate) method: String,
    /// The path, for a proxy a URL or host and port.
    pub(crate) target: String,
    /// Names in small letters, and values.
    pub(crate) headers: Vec<(String, String)>,
    /// Without the framing of chunks.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of a header; empty when it was not sent.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value)
    }

    /// Whether its sender wants no other one on this connection.
    pub(super) fn is_last(&self) -> bool {
        self.header("connection").eq_ignore_ascii_case("close")
    }

    /// Reads the next one; `None` when the other side has ended. `output` takes the go-ahead that
    /// some senders wait for before they send the body.
    pub(super) fn read(
        input: &mut impl BufRead,
        output: &mut impl Write,
    ) -> io::Result<Option<Request>> {
        let first = read_line(input)?;
        if first.is_empty() {
            return Ok(None);
        }
        let mut words = first.split(' ').map(str::to_owned);
        let mut request = Request {
            method: words.next().unwrap_or_default(),
            target: words.next().unwrap_or_default(),
            ..Request::default()
        };
        loop {
            let line = read_line(input)?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            let header = (name.to_ascii_lowercase(), value.trim().to_owned());
            request.headers.push(header);
        }
        if request
            .header("expect")
            .eq_ignore_ascii_case("100-continue")
        {
            output.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        request.body = request.read_body(input)?;
        Ok(Some(request))
    }

    fn read_body(&self, input: &mut impl BufRead) -> io::Result<Vec<u8>> {
        let chunked = self.header("transfer-encoding");
        if chunked.eq_ignore_ascii_case("chunked") {
            return read_chunks(input);
        }
        match self.header("content-length") {
            "" => Ok(Vec::new()),
            length => read_exactly(input, length.parse().map_err(io::Error::other)?),
        }
    }
}

fn read_chunks(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(input)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(digits, 16).map_err(io::Error::other)?;
        if size == 0 {
            while !read_line(input)?.is_empty() {}
            return Ok(body);
        }
        body.extend(read_exactly(input, size)?);
        read_line(input)?;
    }
}

fn read_exactly(input: &mut impl BufRead, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(size.min(LARGEST)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 == size {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Without its end; empty at the end of the stream.
fn read_line(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    input.take(LARGEST).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
