//! Requests that block until their answer is there.
//!
//! A [`Client`] is made for one [`Transport`] and keeps its connection open from one request to
//! the next. It follows no redirect and takes every status for an answer. Requests enter, answers
//! or errors leave; nothing is logged, because headers and URLs hold secrets.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ureq::config::Config;
use ureq::http::{self, header, HeaderMap, HeaderName, Uri};
use ureq::tls::{parse_pem, Certificate, PemItem, RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    ConnectProxyConnector, Connector, RustlsConnector, TcpConnector,
};
use ureq::{Agent, Proxy, ProxyProtocol, SendBody};

use super::early_answer::{Broken, EarlyAnswer, UntilBroken};
use super::error::{host_of, proxy_refused};
use super::forward_proxy::{AbsoluteForm, ProxyResolver};
use super::{date, Answer, Error, Request, Transport};

/// Bytes of a body that are kept.
const BODY: u64 = 4 << 10;
/// Bytes that are kept of the answer to a body that was read while it was sent.
const LONG_BODY: u64 = 64 << 10;
/// Bytes that are read at most to keep a connection usable.
const MAX_SKIPPED: u64 = 256 << 10;
/// Bytes of a file of certificate authorities; those of distributions have 200 KB.
const MAX_ROOTS: usize = 4 << 20;
/// The longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
/// Buffer of a connection in each direction; bodies are large, headers are not.
const BUFFER: usize = 32 << 10;
/// Environment variable that names a file of certificate authorities in place of those below.
pub(super) const ROOTS_VARIABLE: &str = "SSL_CERT_FILE";
/// Where distributions keep their certificate authorities: Debian, Fedora, openSUSE, newer
/// Fedora, Alpine.
const ROOT_FILES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Sends requests one after the other.
pub struct Client {
    transport: Transport,
    proxy: Option<Proxy>,
    /// The agent for http URLs; another one for https URLs, made when the first comes, since only
    /// that one needs certificate authorities.
    plain: Agent,
    secure: Option<Agent>,
    /// Of the connections of both.
    broken: Broken,
}

impl Client {
    /// A client that reaches its servers in this way.
    pub fn new(transport: &Transport) -> Result<Client, Error> {
        let proxy = match &transport.proxy {
            Some(url) => Some(Proxy::new(url).map_err(|_| Error::ProxyUrl)?),
            None => None,
        };
        if proxy.as_ref().is_some_and(|proxy| !is_http(proxy)) {
            return Err(Error::ProxyUrl);
        }
        let broken = Broken::default();
        Ok(Client {
            transport: transport.clone(),
            plain: plain_agent(transport, proxy.as_ref(), &broken),
            proxy,
            secure: None,
            broken,
        })
    }

    /// Whether this client reaches its servers in that way.
    pub fn is_for(&self, transport: &Transport) -> bool {
        self.transport == *transport
    }

    /// Sends a request and waits for its answer.
    pub fn send(&mut self, request: &Request) -> Result<Answer, Error> {
        self.exchange(request, None)
    }

    /// Sends a request with a body that is read while it is sent, in chunks and without its length;
    /// the request's own body is left out. Of the answer's body 64 KiB are kept. The connection is
    /// not used again.
    pub fn send_read(&mut self, request: &Request, body: &mut dyn Read) -> Result<Answer, Error> {
        self.exchange(request, Some(body))
    }

    fn exchange(
        &mut self,
        request: &Request,
        body: Option<&mut dyn Read>,
    ) -> Result<Answer, Error> {
        let uri: Uri = request.url.parse().map_err(|_| Error::Url)?;
        let mut host = host_of(&uri);
        if let Some(proxy) = &self.proxy {
            host = format!("{host} through the proxy {}:{}", proxy.host(), proxy.port());
        }
        let is_plain = match uri.scheme_str() {
            Some("http") => true,
            Some("https") => false,
            _ => return Err(Error::Url),
        };
        let builder = self.builder(request, uri, is_plain)?;
        let agent = match (is_plain, &mut self.secure) {
            (true, _) => &self.plain,
            (false, Some(agent)) => agent,
            (false, none) => none.insert(secure_agent(
                &self.transport,
                self.proxy.as_ref(),
                &self.broken,
            )?),
        };
        let failed = |error| Error::of_ureq(&error, &host);
        let (kept, skipped) = match body {
            Some(_) => (LONG_BODY, 0),
            None => (BODY, MAX_SKIPPED),
        };
        let response = match body {
            Some(body) => {
                let broken = self.broken.clone();
                let mut body = UntilBroken { body, broken };
                run(agent, builder, SendBody::from_reader(&mut body))
            }
            None if request.method == "HEAD" => run(agent, builder, SendBody::none()),
            None => run(agent, builder, request.body.as_slice()),
        };
        let (parts, body) = response.map_err(failed)?.into_parts();
        let status = parts.status.as_u16();
        if status == 407 {
            let cause = proxy_refused();
            return Err(Error::Failed { host, cause });
        }
        Ok(Answer {
            status,
            retry_after: retry_after(text(&parts.headers, header::RETRY_AFTER), SystemTime::now()),
            content_type: text(&parts.headers, header::CONTENT_TYPE).to_owned(),
            location: text(&parts.headers, header::LOCATION).to_owned(),
            body: read(body, kept, skipped).map_err(failed)?,
        })
    }

    /// Everything of a request but its body.
    fn builder(
        &self,
        request: &Request,
        uri: Uri,
        is_plain: bool,
    ) -> Result<http::request::Builder, Error> {
        let mut builder = http::Request::builder()
            .method(request.method.as_str())
            .uri(uri);
        for (name, value) in &request.headers {
            let mut value =
                http::HeaderValue::from_str(value).map_err(|_| Error::Header(name.clone()))?;
            value.set_sensitive(true);
            builder = builder.header(name, value);
        }
        if let Some(proxy) = self
            .proxy
            .as_ref()
            .filter(|proxy| is_plain && forwards(proxy))
        {
            if proxy.username().is_some() {
                let user = proxy.username().unwrap_or("");
                let pair = format!("{user}:{}", proxy.password().unwrap_or(""));
                let value = format!("Basic {}", base64(pair.as_bytes()));
                builder = builder.header(header::PROXY_AUTHORIZATION, value);
            }
        }
        match builder.headers_ref() {
            Some(_) => Ok(builder),
            None => Err(Error::Header(format!("of a {} request", request.method))),
        }
    }
}

fn run(
    agent: &Agent,
    builder: http::request::Builder,
    body: impl ureq::AsSendBody,
) -> Result<http::Response<ureq::Body>, ureq::Error> {
    agent.run(builder.body(body)?)
}

fn is_http(proxy: &Proxy) -> bool {
    matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https)
}

/// Whether http URLs are asked of the proxy itself; one that is spoken to in TLS makes a tunnel.
fn forwards(proxy: &Proxy) -> bool {
    proxy.protocol() == ProxyProtocol::Http
}

fn config(transport: &Transport) -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    let config = Config::builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        // The caller names its own; and answers are not to be compressed.
        .user_agent("")
        .accept_encoding("")
        .proxy(None)
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .timeout_resolve(Some(transport.connect))
        .timeout_connect(Some(transport.connect));
    match transport.stall {
        Some(stall) => config
            .timeout_per_write(Some(stall))
            .timeout_per_read(Some(stall)),
        None => config
            .timeout_send_request(Some(transport.overall))
            .timeout_send_body(Some(transport.overall))
            .timeout_recv_response(Some(transport.read))
            .timeout_recv_body(Some(transport.read))
            .timeout_global(Some(transport.overall)),
    }
}

fn plain_agent(transport: &Transport, proxy: Option<&Proxy>, broken: &Broken) -> Agent {
    let config = config(transport);
    match proxy {
        Some(proxy) if forwards(proxy) => Agent::with_parts(
            config.build(),
            TcpConnector::default()
                .chain(EarlyAnswer(broken.clone()))
                .chain(AbsoluteForm),
            ProxyResolver {
                proxy: proxy.uri().clone(),
            },
        ),
        proxy => agent(config.proxy(proxy.cloned()).build(), broken),
    }
}

/// An agent that connects directly or through a tunnel, in TLS for https URLs.
fn agent(config: Config, broken: &Broken) -> Agent {
    let connector =
        ().chain(ConnectProxyConnector::default())
            .chain(TcpConnector::default())
            .chain(EarlyAnswer(broken.clone()))
            .chain(RustlsConnector::default());
    Agent::with_parts(config, connector, DefaultResolver::default())
}

fn secure_agent(
    transport: &Transport,
    proxy: Option<&Proxy>,
    broken: &Broken,
) -> Result<Agent, Error> {
    let roots = match transport.skip_verification {
        true => Vec::new(),
        false => roots(transport.ca_file.as_deref())?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .disable_verification(transport.skip_verification)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let config = config(transport).tls_config(tls);
    Ok(agent(config.proxy(proxy.cloned()).build(), broken))
}

/// The authorities of the system and those of the configuration.
fn roots(ca_file: Option<&str>) -> Result<Vec<Certificate<'static>>, Error> {
    let named = std::env::var_os(ROOTS_VARIABLE).filter(|path| !path.is_empty());
    let system = named.map(PathBuf::from).or_else(|| {
        let mut usual = ROOT_FILES.iter().map(PathBuf::from);
        usual.find(|path| path.exists())
    });
    let mut found = Vec::new();
    for path in system
        .iter()
        .map(PathBuf::as_path)
        .chain(ca_file.map(Path::new))
    {
        found.extend(certificates(path)?);
    }
    match found.is_empty() {
        true => Err(Error::NoRoots),
        false => Ok(found),
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let wrong = |cause: String| Error::Roots {
        path: path.to_owned(),
        cause,
    };
    let pem = crate::sys::files::read_limited(path, MAX_ROOTS)
        .map_err(|error| wrong(error.to_string()))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(wrong("it is no PEM file".to_owned())),
        }
    }
    match found.is_empty() {
        true => Err(wrong("it holds no certificate".to_owned())),
        false => Ok(found),
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    let value = headers.get(name);
    value.and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// The first part of a body; a little more is read and thrown away, so that the connection can be
/// used again.
fn read(body: ureq::Body, kept: u64, skipped: u64) -> Result<String, ureq::Error> {
    let mut reader = body.into_reader();
    let mut text = Vec::new();
    (&mut reader).take(kept).read_to_end(&mut text)?;
    std::io::copy(&mut reader.take(skipped), &mut std::io::sink())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// `Retry-After`: seconds, or a date.
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let pause = match value.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = UNIX_EPOCH + Duration::from_secs(date::from_http(value.trim())?);
            date.duration_since(now).unwrap_or(Duration::ZERO)
        }
    };
    Some(pause.min(LONGEST_PAUSE))
}

/// Base 64 (RFC 4648), with padding.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |place: usize| u32::from(group.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = bits >> (18 - 6 * place) & 63;
            let digit = DIGITS
                .get(digit as usize)
                .map_or('=', |byte| char::from(*byte));
            out.push(if place <= group.len() { digit } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_may_ask_for_an_hour_at_most() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let cases = [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("999999", Some(3_600)),
            ("Sun, 06 Nov 1994 08:50:00 GMT", Some(23)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 2094 08:00:00 GMT", Some(3_600)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ];
        for (value, expected) in cases {
            let pause = retry_after(value, now);
            assert_eq!(pause, expected.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
            ("ü:?", "w7w6Pw=="),
        ];
        for (text, expected) in cases {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }

    #[test]
    fn files_without_certificates_are_refused() {
        let base = std::env::temp_dir().join(format!("roots-{}", std::process::id()));
        std::fs::create_dir_all(&base).unwrap();
        let path = base.join("ca.pem");
        let broken = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
        for (content, expected) in [("", "no certificate"), (broken, "no PEM file")] {
            std::fs::write(&path, content).unwrap();
            let error = certificates(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        std::fs::remove_dir_all(&base).unwrap();
        let error = certificates(&path).unwrap_err().to_string();
        assert!(error.contains("ca.pem cannot be used"), "{error}");
    }
}
