//! The one line that a reader of the event socket sends: what it wants.

use serde::Deserialize;

/// Version of what is said on the event socket.
pub(super) const PROTOCOL: u32 = 1;

#[derive(Deserialize)]
struct Request {
    subscribe: String,
    protocol: u32,
    #[serde(default)]
    silent: bool,
    #[serde(default)]
    role: String,
}

/// What a reader wants.
#[derive(Clone, Copy)]
pub(super) struct Wants {
    /// The events of silent rules, too.
    pub(super) silent: bool,
    /// It says that it is the security-agent role; whether to believe that is decided elsewhere.
    pub(super) role: bool,
}

/// Reads the line; an error is a sentence.
pub(super) fn understand(line: &str) -> Result<Wants, String> {
    let request: Request = serde_json::from_str(line)
        .map_err(|error| format!("the request is not understood: {error}"))?;
    if request.protocol != PROTOCOL {
        return Err(format!(
            "this agent speaks version {PROTOCOL} of the event protocol, not {}; use a reader of \
             the same release",
            request.protocol
        ));
    }
    if request.subscribe != "events" {
        return Err(format!(
            "nothing is known of `{}`; subscribe to `events`",
            request.subscribe
        ));
    }
    Ok(Wants {
        silent: request.silent,
        role: request.role == "security-agent",
    })
}
