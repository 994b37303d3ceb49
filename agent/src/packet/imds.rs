//! Messages from and to the metadata services of clouds, which speak HTTP.
//!
//! The payload of a segment enters, a [`Message`] leaves when it is the beginning of a request or
//! of an answer. It may end anywhere. What is secret stays behind: tokens in headers, the values
//! of parameters that are named like secrets, and of credentials all but their public id.

use super::cursor::Cursor;

#[cfg(test)]
mod tests;

/// The most bytes of a text that are looked at.
const MAX_TEXT: usize = 1024;
/// The most headers that are looked at.
const MAX_HEADERS: usize = 64;
/// The most bytes of what is told of credentials; ids have up to 128.
const MAX_VALUE: usize = 128;
/// What stands for a value that is secret.
const HIDDEN: &str = "***";
/// Methods that a request may begin with.
const METHODS: [&[u8]; 7] = [
    b"GET", b"PUT", b"POST", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH",
];
/// What both versions of HTTP that are text begin with.
const HTTP: &[u8] = b"HTTP/1.";
/// What the target of a request begins with when it goes through a proxy.
const SCHEME: &[u8] = b"http://";
/// Where a client of AWS gets its token.
const AWS_TOKEN_PATH: &str = "/latest/api/token";
/// Headers of version 2 of the service of AWS begin with it.
const AWS_TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";
/// Names of parameters with one of these in them have secret values.
const SECRET_PARTS: &[&str] = &[
    "token",
    "secret",
    "signature",
    "credential",
    "password",
    "passwd",
    "passphrase",
    "api_key",
    "apikey",
    "api-key",
    "access_key",
    "accesskey",
    "access-key",
    // A name that is written in another way than it is meant.
    "%",
];
/// Names of parameters with secret values.
const SECRET_NAMES: &[&str] = &[
    "key",
    "sig",
    "pwd",
    "pass",
    "auth",
    "code",
    "jwt",
    "assertion",
];

/// Tells the service of a cloud from others.
struct Sign {
    /// Name of a header in lower case, or [`PATH`]; with a hyphen at its end any that begin so.
    header: &'static str,
    /// What the value begins with; case does not count.
    value: &'static str,
    provider: &'static str,
}

/// Stands for the path of a request among the names of headers.
const PATH: &str = ":path";

const fn sign(header: &'static str, value: &'static str, provider: &'static str) -> Sign {
    Sign {
        header,
        value,
        provider,
    }
}

/// The first sign that is seen counts: others copy the paths of AWS.
static SIGNS: &[Sign] = &[
    sign("metadata-flavor", "google", "GCP"),
    sign("server", "metadata server for vm", "GCP"),
    sign(PATH, "/computemetadata", "GCP"),
    sign("metadata-flavor", "ibm", "IBM"),
    sign("metadata", "true", "Azure"),
    sign("server", "microsoft-iis", "Azure"),
    sign(PATH, "/metadata/instance", "Azure"),
    sign(PATH, "/metadata/identity", "Azure"),
    sign("authorization", "bearer oracle", "Oracle"),
    sign(PATH, "/opc/", "Oracle"),
    sign(PATH, "/instance_identity/", "IBM"),
    sign("x-aws-ec2-metadata-", "", "AWS"),
    sign("server", "ec2ws", "AWS"),
    sign(PATH, "/latest/", "AWS"),
];

/// A request or the answer to one. It holds no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// An answer rather than a request.
    pub is_response: bool,
    /// `AWS`, `GCP`, `Azure`, `IBM`, `Oracle`; empty when it cannot be told.
    pub provider: &'static str,
    /// Path and query of a request.
    pub url: String,
    /// Host of a request.
    pub host: String,
    /// User agent of a request.
    pub user_agent: String,
    /// Server of an answer.
    pub server: String,
    /// Version 2 of the service of AWS, which wants a token.
    pub is_imds_v2: bool,
    /// The credentials of AWS in an answer.
    pub credentials: Option<Credentials>,
}

/// What may be told of credentials in an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Whether they could be given (`Success`).
    pub code: String,
    /// Their type (`AWS-HMAC`).
    pub kind: String,
    /// Their public id.
    pub access_key_id: String,
    /// When they were made, as it stands there.
    pub last_updated: String,
    /// When they end, as it stands there.
    pub expiration: String,
}

impl Message {
    /// Reads the beginning of a request or an answer, of whatever service; `None` for other bytes.
    /// A text that the payload ends in is as long as it is there.
    pub fn parse(payload: &[u8]) -> Option<Message> {
        let mut cursor = Cursor::new(payload);
        let mut message = Message::default();
        let mut first_sign = SIGNS.len();
        let line = line(&mut cursor);
        if is_status(line) {
            message.is_response = true;
        } else {
            let is_cut = line.len() == payload.len();
            message.read_request_line(line, is_cut)?;
            first_sign = place_of_sign(PATH, &message.url);
        }
        for _ in 0..MAX_HEADERS {
            let Some((name, value)) = header(&mut cursor) else {
                break;
            };
            first_sign = first_sign.min(place_of_sign(&name, &value));
            message.take_header(&name, value);
        }
        message.provider = SIGNS.get(first_sign).map_or("", |sign| sign.provider);
        if message.is_response {
            message.credentials = Credentials::find(cursor);
        }
        if message.credentials.is_some() && message.provider.is_empty() {
            message.provider = "AWS";
        }
        Some(message)
    }

    /// Method, target, version (RFC 9112, 3). A line that is cut may lack the end of the target and
    /// the version.
    fn read_request_line(&mut self, line: &[u8], is_cut: bool) -> Option<()> {
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let method = words.next().filter(|method| METHODS.contains(method))?;
        let path = path(words.next()?)?;
        let version = words.next().unwrap_or(b"");
        let is_http = version.starts_with(HTTP) || is_cut && HTTP.starts_with(version);
        if !is_http {
            return None;
        }
        self.url = without_secrets(&text(path));
        let asks_for_token = self.url.split('?').next() == Some(AWS_TOKEN_PATH);
        self.is_imds_v2 = method == b"PUT" && asks_for_token;
        Some(())
    }

    fn take_header(&mut self, name: &str, value: String) {
        match (name, self.is_response) {
            ("host", false) => self.host = value,
            ("user-agent", false) => self.user_agent = value,
            ("server", true) => self.server = value,
            _ if name.starts_with(AWS_TOKEN_HEADER) => self.is_imds_v2 = true,
            _ => {}
        }
    }
}

/// The next line without its end.
fn line<'a>(cursor: &mut Cursor<'a>) -> &'a [u8] {
    let line = cursor.until(b'\n');
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The next header: its name in lower case and its value. `None` behind the last one. A line
/// without a colon has no value.
fn header(cursor: &mut Cursor<'_>) -> Option<(String, String)> {
    let line = line(cursor);
    if line.is_empty() {
        return None;
    }
    let mut line = Cursor::new(line);
    let name = text(line.until(b':')).to_ascii_lowercase();
    Some((name, text(line.rest().trim_ascii())))
}

/// Whether a line is one that answers begin with: version, a blank, a status of three digits.
fn is_status(line: &[u8]) -> bool {
    match line.strip_prefix(HTTP) {
        Some([minor, b' ', status @ ..]) => {
            let digits = status.iter().take_while(|byte| byte.is_ascii_digit());
            minor.is_ascii_digit() && digits.count() == 3
        }
        _ => false,
    }
}

/// The path and the query of a target, which may have the host before them.
fn path(target: &[u8]) -> Option<&[u8]> {
    if target.starts_with(b"/") {
        return Some(target);
    }
    let (scheme, rest) = target.split_at_checked(SCHEME.len())?;
    let ends = |byte: &u8| matches!(byte, b'/' | b'?' | b'#');
    let start = rest.iter().position(ends).unwrap_or(rest.len());
    let is_url = scheme.eq_ignore_ascii_case(SCHEME);
    rest.get(start..).filter(|_| is_url)
}

fn text(bytes: &[u8]) -> String {
    let bytes = bytes.get(..MAX_TEXT).unwrap_or(bytes);
    String::from_utf8_lossy(bytes).into_owned()
}

/// The place of the first sign that a header shows; their number when it shows none.
fn place_of_sign(name: &str, value: &str) -> usize {
    let shows = |sign: &Sign| {
        let is_header = match sign.header.ends_with('-') {
            true => name.starts_with(sign.header),
            false => name == sign.header,
        };
        let start = value.get(..sign.value.len());
        is_header && start.is_some_and(|start| start.eq_ignore_ascii_case(sign.value))
    };
    SIGNS.iter().position(shows).unwrap_or(SIGNS.len())
}

/// A path and a query with secret values hidden, wherever in them they stand.
fn without_secrets(url: &str) -> String {
    let mut clean = String::with_capacity(url.len());
    let mut name_start = 0;
    let mut is_hidden = false;
    for letter in url.chars() {
        is_hidden &= letter != '&';
        if is_hidden {
            continue;
        }
        clean.push(letter);
        if letter == '=' && is_secret(clean.get(name_start..).unwrap_or("")) {
            clean.push_str(HIDDEN);
            is_hidden = true;
        }
        if matches!(letter, '=' | '&' | '?' | ';' | '#' | '/') {
            name_start = clean.len();
        }
    }
    clean
}

/// Whether a name, with the `=` behind it, is that of a secret.
fn is_secret(name: &str) -> bool {
    let name = name.trim_end_matches('=').to_ascii_lowercase();
    let has = |part: &&str| name.contains(*part);
    SECRET_NAMES.contains(&&*name) || SECRET_PARTS.iter().any(has)
}

impl Credentials {
    /// What a JSON document tells of credentials, which may be cut or have other text around; `None`
    /// when it tells of no id.
    ///
    /// Looks for texts in quotes only: one that has but a colon before it is the value of the one
    /// before. A value that is not whole, or not of the letters of these values, is left out.
    fn find(mut document: Cursor<'_>) -> Option<Credentials> {
        let mut credentials = Credentials::default();
        let mut name: &[u8] = b"";
        loop {
            let before = document.until(b'"');
            let Some(quoted) = quoted(&mut document) else {
                break;
            };
            if before.trim_ascii() != b":" {
                name = quoted;
                continue;
            }
            if let Some(slot) = credentials.slot(name).filter(|slot| slot.is_empty()) {
                *slot = plain(quoted);
            }
            name = b"";
        }
        (!credentials.access_key_id.is_empty()).then_some(credentials)
    }

    fn slot(&mut self, name: &[u8]) -> Option<&mut String> {
        Some(match name {
            b"Code" => &mut self.code,
            b"Type" => &mut self.kind,
            b"AccessKeyId" => &mut self.access_key_id,
            b"LastUpdated" => &mut self.last_updated,
            b"Expiration" => &mut self.expiration,
            _ => return None,
        })
    }
}

/// The text up to the quote that ends it; `None` when there is none.
fn quoted<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let mut is_escaped = false;
    let ends = |byte: &u8| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    };
    let length = cursor.rest().iter().position(ends)?;
    let text = cursor.take(length)?;
    cursor.skip(1);
    Some(text)
}

/// A value as text; empty when it is not of the letters of ids, words and times.
fn plain(value: &[u8]) -> String {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+ ".contains(byte);
    match value.len() <= MAX_VALUE && value.iter().all(fits) {
        true => text(value),
        false => String::new(),
    }
}
