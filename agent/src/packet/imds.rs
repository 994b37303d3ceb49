//! Messages from and to the metadata services of clouds, which speak HTTP.

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
