//! Packets as bytes: headers, messages of name servers and of metadata services, pcap filters.
//!
//! Everything here is pure: bytes or an expression enter, values leave. What is cut, lies about its
//! length or loops is no error of the program: the answer is `None` or a sentence. Nothing here
//! talks to the kernel or knows an event.

mod cursor;
pub mod dns;
pub mod filter;
pub mod headers;
pub mod imds;
pub mod tls;
