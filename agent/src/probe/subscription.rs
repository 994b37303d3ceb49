//! What a reader of the event socket sends: what it wants, in one line, and what it has got.

use serde::Deserialize;

/// Version of what is said on the event socket.
pub(super) const PROTOCOL: u32 = 2;

#[derive(Deserialize)]
struct Request {
    subscribe: String,
    protocol: u32,
    #[serde(default)]
    silent: bool,
    #[serde(default)]
    role: String,
    #[serde(default)]
    acknowledge: bool,
    session: Option<String>,
    #[serde(default)]
    after: u64,
    #[serde(default)]
    recent: bool,
    #[serde(default = "yes")]
    follow: bool,
}

fn yes() -> bool {
    true
}

/// Who reads. It says so itself; whether to believe that is decided elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The security-agent role.
    SecurityAgent,
    /// The self-test's runner, which looks for its own events alone.
    SelfTest,
    /// Anyone else.
    Other,
}

/// A place in the events of one start of system-probe.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resume {
    /// The session that the reader has read from.
    pub(super) session: String,
    /// The last sequence number that it has.
    pub(super) after: u64,
}

/// What a reader wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wants {
    /// Who it is.
    pub(super) role: Role,
    /// The events of silent rules, too.
    pub(super) silent: bool,
    /// It will say what it has got, and only then has got it.
    pub(super) acknowledges: bool,
    /// Where it has stopped before.
    pub(super) resume: Option<Resume>,
    /// First what happened recently.
    pub(super) recent: bool,
    /// Not the end, once what is there has been sent.
    pub(super) follow: bool,
}

/// Reads the request; an error is a sentence.
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
    let after = request.after;
    Ok(Wants {
        role: match request.role.as_str() {
            "security-agent" => Role::SecurityAgent,
            "self-test" => Role::SelfTest,
            _ => Role::Other,
        },
        silent: request.silent,
        acknowledges: request.acknowledge,
        resume: request.session.map(|session| Resume { session, after }),
        recent: request.recent,
        follow: request.follow,
    })
}

/// What a reader that acknowledges sends from then on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acknowledgement {
    ack: u64,
}

/// The sequence number that is acknowledged; an error is a sentence.
pub(super) fn acknowledged(line: &str) -> Result<u64, String> {
    serde_json::from_str(line)
        .map(|acknowledgement: Acknowledgement| acknowledgement.ack)
        .map_err(|error| {
            format!("only acknowledgements are expected here, and this is none: {error}")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_say_what_is_wanted() {
        let plain = Wants {
            role: Role::Other,
            silent: false,
            acknowledges: false,
            resume: None,
            recent: false,
            follow: true,
        };
        let resumed = Wants {
            role: Role::SecurityAgent,
            acknowledges: true,
            resume: Some(Resume {
                session: "0f".to_owned(),
                after: 7,
            }),
            ..plain
        };
        let recent = Wants {
            recent: true,
            follow: false,
            resume: None,
            ..plain
        };
        for (members, wants) in [
            (
                r#","role":"security-agent","acknowledge":true,"session":"0f","after":7"#,
                resumed,
            ),
            (r#","recent":true,"follow":false,"unknown":1"#, recent),
            (r#","after":7,"role":"x""#, plain),
        ] {
            let line = format!(r#"{{"subscribe":"events","protocol":2{members}}}"#);
            assert_eq!(understand(&line), Ok(wants), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_answered_in_words() {
        for (line, words) in [
            (r#"{"subscribe":"events","protocol":1}"#, "version 2"),
            (r#"{"subscribe":"logs","protocol":2}"#, "`events`"),
            ("{}", "not understood"),
            (
                r#"{"subscribe":"events","protocol":2,"after":-1}"#,
                "not understood",
            ),
        ] {
            let sentence = understand(line).unwrap_err();
            assert!(sentence.contains(words), "{line}: {sentence}");
        }
        assert_eq!(acknowledged(r#"{"ack":3}"#), Ok(3));
        for line in [r#"{"ack":-1}"#, r#"{"ack":3,"x":1}"#, "3"] {
            assert!(acknowledged(line).is_err(), "{line}");
        }
    }
}
