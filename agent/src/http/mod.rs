//! HTTP for the roles: requests that block, and the process that makes them.
//!
//! [`Client`] sends one request after the other and waits for each answer; the roles' loops must
//! not wait, so they give their requests to a [`Worker`], which is this binary once more
//! ([`serve`]). A [`Request`] enters, an [`Answer`] or a sentence leaves; what the request and its
//! answer mean is the caller's business. [`Transport`] says how a server is reached.

pub mod client;
pub mod date;
mod early_answer;
pub mod error;
mod forward_proxy;
pub mod serve;
pub mod tls;
pub mod transport;
pub mod worker;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use client::base64;
pub use client::Client;
pub use error::Error;
pub use transport::Transport;
pub use worker::Worker;

/// What is sent.
#[derive(Clone)]
pub struct Request {
    /// `GET`, `HEAD` or `POST`.
    pub method: String,
    /// The whole URL, http or https.
    pub url: String,
    /// Names and values. They may hold secrets, so neither they nor the URL are ever printed.
    pub headers: Vec<(String, String)>,
    /// The body, sent with its length; a `HEAD` has none.
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The status, such as 202.
    pub status: u16,
    /// How long the server asks to wait, at most an hour.
    pub retry_after: Option<Duration>,
    /// `Content-Type`; empty when there is none.
    pub content_type: String,
    /// `Location`; empty when there is none.
    pub location: String,
    /// The first 4 KiB of the body, 64 KiB of the answer to a body that was read while sent.
    pub body: String,
}

/// Sends one request over a connection of its own; blocks until the answer is there.
pub fn send(transport: &Transport, request: &Request) -> Result<Answer, Error> {
    Client::new(transport)?.send(request)
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
pub(crate) mod tests;
