//! A stand-in for the metadata services of clouds, and a client of it.
//!
//! What must not be told of an answer or a request holds the word [`SECRET`].

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use crate::traffic::{answer_time, parsed, serve_streams, stay, usage};

/// Where the services of all clouds are.
pub(crate) const ADDRESS: &str = "169.254.169.254";
/// Is in every secret, and in nothing else.
pub(crate) const SECRET: &str = "E2ESECRET";
/// The part of the credentials that may be told.
pub(crate) const ACCESS_KEY_ID: &str = "ASIAE2EPUBLICKEYID00";
/// What the client calls itself.
pub(crate) const USER_AGENT: &str = "e2e-client/1.0";
/// What the server calls itself.
pub(crate) const SERVER: &str = "EC2ws";
const PORT: u16 = 80;

/// `metadata-serve`: listens on port 80 of the address of the metadata services.
pub(crate) fn serve(_: &[String]) -> io::Result<String> {
    serve_streams(address()?, answer)?;
    stay("")
}

fn address() -> io::Result<SocketAddr> {
    Ok(SocketAddr::new(parsed::<IpAddr>(ADDRESS)?, PORT))
}

fn answer(stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = first.clone();
    while !line.trim_end().is_empty() {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            break;
        }
    }
    let path = first.split(' ').nth(1).unwrap_or("/");
    let (kind, body) = body_of(path);
    let text = format!(
        "HTTP/1.1 200 OK\r\nServer: {SERVER}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    reader.get_mut().write_all(text.as_bytes())
}

fn body_of(path: &str) -> (&'static str, String) {
    if path.starts_with("/latest/api/token") {
        return ("text/plain", format!("{SECRET}token=="));
    }
    if path.contains("security-credentials/") {
        let text = format!(
            "{{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"2026-01-02T03:04:05Z\",\n  \
             \"Type\" : \"AWS-HMAC\",\n  \"AccessKeyId\" : \"{ACCESS_KEY_ID}\",\n  \
             \"SecretAccessKey\" : \"{SECRET}key\",\n  \"Token\" : \"{SECRET}session\",\n  \
             \"Expiration\" : \"2026-01-02T09:04:05Z\"\n}}"
        );
        return ("text/plain", text);
    }
    if path.contains("/token") {
        let text = format!("{{\"access_token\":\"{SECRET}bearer\",\"expires_in\":3599}}");
        return ("application/json", text);
    }
    ("text/plain", "i-0123456789abcdef0".to_owned())
}

/// `metadata-ask METHOD PATH [HEADER...]`: one request; a header is `Name: value`.
pub(crate) fn ask(arguments: &[String]) -> io::Result<String> {
    let [method, path, headers @ ..] = arguments else {
        return Err(usage("METHOD PATH [HEADER...]"));
    };
    let mut stream = TcpStream::connect_timeout(&address()?, answer_time())?;
    stream.set_read_timeout(Some(answer_time()))?;
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nHost: {ADDRESS}\r\nUser-Agent: {USER_AGENT}\r\n");
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).unwrap_or("-");
    Ok(format!("status={status} size={}", answer.len()))
}
