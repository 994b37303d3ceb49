//! Messages of name servers (RFC 1035).

use std::net::IpAddr;

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Number that question and answer share.
    pub id: u16,
    /// An answer rather than a question.
    pub is_response: bool,
    /// Code of the response; 0 is success.
    pub code: u8,
    /// How many questions it has.
    pub questions: u16,
    /// Name of the first question, without a dot at its end.
    pub name: String,
    /// Type of the first question (1 is A).
    pub kind: u16,
    /// Class of the first question (1 is IN).
    pub class: u16,
    /// Bytes of the message.
    pub size: u32,
    /// The addresses among the answers, and whose they are.
    pub addresses: Vec<(String, IpAddr)>,
    /// The aliases among the answers: a name and the one that it stands for.
    pub aliases: Vec<(String, String)>,
}
