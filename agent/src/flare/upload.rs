//! Sends the archive of a flare to the support.
//!
//! Settings and the path of an archive enter, an [`Outcome`] for the user leaves. The server is
//! asked first (`HEAD`) where the flare belongs, then the archive goes there in one `POST`; neither
//! is tried again. Everything blocks, so this is for commands and never for a loop. `url` knows
//! where a flare goes, `multipart` how it is written, `answer` what the server's words mean. The
//! archive itself is only read.

mod answer;
mod multipart;
#[cfg(test)]
mod tests;
mod url;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{keys, Settings};
use crate::http::{self, Answer, Client, Request, Transport};
use crate::policy::condition::version::REFERENCE;
use multipart::{Body, Form};

/// Redirects that are followed; the number of most clients.
const MOST_REDIRECTS: usize = 10;

/// What is sent, and on whose behalf.
pub struct Upload<'a> {
    /// Where it goes (`dd_url`, `site`), with which key, and how servers are reached.
    pub settings: &'a Settings,
    /// The archive; a regular file.
    pub archive: &'a Path,
    /// The case that it belongs to; a new one when there is none.
    pub case_id: Option<&'a str>,
    /// Whom the support writes to.
    pub email: Option<&'a str>,
    /// Name of this host.
    pub hostname: &'a str,
}

/// What the user is told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// For standard output; may be empty.
    pub text: String,
    /// Why the upload failed; `None` when it did not.
    pub error: Option<String>,
}

/// Why there is no answer to the archive.
#[derive(Debug)]
enum Error {
    /// The archive cannot be read.
    Archive { path: PathBuf, cause: io::Error },
    /// What the server said to the `HEAD`: neither yes nor "not found".
    Status(u16),
    /// One redirect led to the next.
    TooManyRedirects,
    /// A redirect from https to http.
    Insecure,
    /// A redirect to what is no URL.
    Location,
    /// No answer.
    Http(http::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const REDIRECTS: &str = "Could not determine flare URL via redirects";
        match self {
            Error::Archive { path, cause } => write!(
                f,
                "the archive {} cannot be read: {cause}; it has to stay as it is until it is sent",
                path.display()
            ),
            Error::Status(status) => write!(f, "{REDIRECTS}: {}", answer::with_reason(*status)),
            Error::TooManyRedirects => write!(
                f,
                "{REDIRECTS}: there are more than {MOST_REDIRECTS}; check dd_url, site and the proxy"
            ),
            Error::Insecure => write!(
                f,
                "{REDIRECTS}: one leads from https to http, where others could read the API key and the flare; check dd_url, site and the proxy"
            ),
            Error::Location => write!(
                f,
                "{REDIRECTS}: one leads to what is no http or https URL; check dd_url, site and the proxy"
            ),
            Error::Http(error) => error.fmt(f),
        }
    }
}

impl From<http::Error> for Error {
    fn from(error: http::Error) -> Error {
        Error::Http(error)
    }
}

impl Upload<'_> {
    /// Sends the archive and waits for the answer. `progress` is told how many bytes of the archive
    /// were sent, and of how many.
    pub fn send(&self, progress: &mut dyn FnMut(u64, u64)) -> Outcome {
        match self.try_send(progress) {
            Ok(answer) => answer::outcome(&answer, self.key()),
            Err(error) => Outcome {
                text: String::new(),
                error: Some(error.to_string()),
            },
        }
    }

    fn key(&self) -> &str {
        self.settings.text(&keys::API_KEY)
    }

    fn try_send(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Answer, Error> {
        let unreadable = |cause| Error::Archive {
            path: self.archive.to_owned(),
            cause,
        };
        let form = self.form();
        let boundary = form.boundary.clone();
        let mut body = Body::open(self.archive, form, progress).map_err(unreadable)?;
        let endpoint = url::endpoint(self.settings);
        let url = self.resolve(url::with_key(&endpoint, self.case_id, self.key()))?;
        let mut request = request("POST", url);
        let content_type = format!("multipart/form-data; boundary={boundary}");
        request
            .headers
            .push(("Content-Type".to_owned(), content_type));
        let stall = self.settings.duration(&keys::FLARE_UPLOAD_TIMEOUT);
        let transport = Transport {
            stall: Some(stall),
            ..Transport::new(self.settings, &request.url)
        };
        let answer = Client::new(&transport)?.send_read(&request, &mut body);
        match body.failure {
            Some(cause) => Err(unreadable(cause)),
            None => Ok(answer?),
        }
    }

    /// The fields, in the order in which the Datadog agent sends them.
    fn form(&self) -> Form {
        let mut form = Form::new();
        let optional = [("case_id", self.case_id), ("email", self.email)];
        for (name, value) in optional {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                form.field(name, value);
            }
        }
        let name = self.archive.file_name().unwrap_or_default();
        form.file("flare_file", &name.to_string_lossy());
        form.field("agent_version", &REFERENCE.to_string());
        form.field("hostname", self.hostname);
        form
    }

    /// The URL at the end of the redirects: only it is sent the archive, because a redirected
    /// archive would have to be sent twice.
    fn resolve(&self, first: String) -> Result<String, Error> {
        let mut url = first;
        for _ in 0..=MOST_REDIRECTS {
            let request = request("HEAD", url);
            let answer = http::send(&self.brief(&request.url), &request)?;
            url = request.url;
            let is_redirect = matches!(answer.status, 301 | 302 | 303 | 307 | 308);
            url = match answer.status {
                _ if is_redirect && !answer.location.is_empty() => {
                    url::redirected(&url, &answer.location, self.key())?
                }
                // Many servers have an answer to a POST only.
                200 | 404 => return Ok(url),
                status => return Err(Error::Status(status)),
            };
        }
        Err(Error::TooManyRedirects)
    }

    /// The way to a server for a request without a body: resolving its name, connecting, sending
    /// and waiting may each take as long as connecting to an intake.
    fn brief(&self, url: &str) -> Transport {
        let transport = Transport::new(self.settings, url);
        let step = transport.connect;
        Transport {
            read: step,
            overall: step.saturating_mul(4),
            ..transport
        }
    }
}

fn request(method: &str, url: String) -> Request {
    let agent = format!("datadog-agent/{}", env!("CARGO_PKG_VERSION"));
    Request {
        method: method.to_owned(),
        url,
        headers: vec![("User-Agent".to_owned(), agent)],
        body: Vec::new(),
    }
}
