//! What an intake received: bodies become envelopes, envelopes events.
//!
//! [`Intake`] is what both servers of the tests have in common: what they accepted can be taken.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::http_server::HttpServer;
use crate::nginx::Nginx;
use crate::report::{ensure, Failure, Outcome};

/// Path that events are posted to.
const PATH: &str = "/api/v2/secruntime";
/// Path of what the agent says about itself.
const INFORMATION_PATH: &str = "/api/v2/secinfo";
/// The key that the agents of the tests have.
pub(crate) const API_KEY: &str = "0123456789abcdef0123456789abcdef";
/// Bytes of a batch before compression.
const LARGEST_BATCH: usize = 5_000_000;
/// Events of a batch.
const MOST_EVENTS: usize = 1_000;

/// One accepted request.
#[derive(Debug)]
pub(crate) struct Delivered {
    /// `POST`.
    pub(crate) method: String,
    /// Path and query.
    pub(crate) uri: String,
    /// The headers that are known here, by names in small letters.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// As it was sent, perhaps compressed.
    pub(crate) body: Vec<u8>,
}

/// One event with what is around it.
#[derive(Debug)]
pub(crate) struct Envelope {
    /// The envelope's own members.
    pub(crate) fields: Value,
    /// The event in its `message`.
    pub(crate) event: Value,
}

/// Headers that are looked at.
const HEADERS: &[&str] = &[
    "dd-api-key",
    "content-type",
    "content-encoding",
    "dd-evp-origin",
    "dd-evp-origin-version",
    "user-agent",
];

/// Something that accepts batches.
pub(crate) trait Intake {
    /// What it accepted since this was asked last.
    fn take(&mut self) -> Result<Vec<Delivered>, Failure>;
}

impl Intake for Nginx {
    fn take(&mut self) -> Result<Vec<Delivered>, Failure> {
        let received = self.take_received()?.into_iter().map(|one| {
            let headers = HEADERS
                .iter()
                .map(|name| (*name, one.header(name).to_owned()));
            Delivered {
                headers: headers.collect(),
                method: one.method,
                uri: one.uri,
                body: one.body,
            }
        });
        Ok(received.collect())
    }
}

impl Intake for HttpServer {
    fn take(&mut self) -> Result<Vec<Delivered>, Failure> {
        let received = self.take_accepted().into_iter().map(|one| {
            let headers = HEADERS
                .iter()
                .map(|name| (*name, one.header(name).to_owned()));
            Delivered {
                headers: headers.collect(),
                method: one.method,
                uri: one.target,
                body: one.body,
            }
        });
        Ok(received.collect())
    }
}

impl Delivered {
    fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| *known == name)
            .map_or("", |(_, value)| value)
    }

    /// The envelopes of a batch.
    pub(crate) fn envelopes(&self) -> Result<Vec<Envelope>, Failure> {
        let text = match self.header("content-encoding") {
            "gzip" => {
                let mut text = Vec::new();
                GzDecoder::new(self.body.as_slice()).read_to_end(&mut text)?;
                text
            }
            _ => self.body.clone(),
        };
        ensure(text.len() <= LARGEST_BATCH, || {
            format!("a batch of {} bytes", text.len())
        })?;
        let batch: Vec<Value> = serde_json::from_slice(&text)?;
        ensure(batch.len() <= MOST_EVENTS, || {
            format!("a batch of {} events", batch.len())
        })?;
        batch
            .into_iter()
            .map(|fields| {
                let message = fields["message"]
                    .as_str()
                    .ok_or("an envelope without message")?;
                let event = serde_json::from_str(message)?;
                Ok(Envelope { fields, event })
            })
            .collect()
    }

    /// Method, path and headers are those that an intake expects.
    pub(crate) fn expect_well_formed(&self) -> Outcome {
        let path_is_known = [PATH, INFORMATION_PATH].contains(&self.uri.as_str());
        ensure(self.method == "POST" && path_is_known, || {
            format!("{} {}", self.method, self.uri)
        })?;
        let expected = [
            ("dd-api-key", API_KEY),
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
            ("dd-evp-origin", "cloud-workload-security"),
        ];
        for (name, value) in expected {
            ensure(self.header(name) == value, || {
                format!("{name} is `{}`", self.header(name))
            })?;
        }
        for name in ["user-agent", "dd-evp-origin-version"] {
            ensure(!self.header(name).is_empty(), || format!("no {name}"))?;
        }
        ensure(
            self.header("user-agent").starts_with("datadog-agent/"),
            || format!("user-agent is `{}`", self.header("user-agent")),
        )?;
        for envelope in self.envelopes()? {
            envelope.expect_well_formed()?;
        }
        Ok(())
    }
}

impl Envelope {
    fn expect_well_formed(&self) -> Outcome {
        let expected = [
            ("status", "info"),
            ("service", "runtime-security-agent"),
            ("ddsource", "runtime-security-agent"),
        ];
        let right = expected
            .iter()
            .all(|(name, value)| self.fields[*name] == *value)
            && self.fields["timestamp"].is_u64()
            && self.fields["hostname"]
                .as_str()
                .is_some_and(|name| !name.is_empty())
            && self.event["event_id"].is_string();
        let tags = self.fields["ddtags"].as_str().unwrap_or_default();
        ensure(right && tags.contains("rule_id:"), || {
            format!("an envelope is {}", self.fields)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::GzEncoder;
    use flate2::Compression;
    use serde_json::json;
    use std::io::Write;

    fn envelope() -> Value {
        json!({
            "message": "{\"event_id\":\"0-1\",\"agent\":{\"rule_id\":\"a\"}}",
            "status": "info", "service": "runtime-security-agent", "timestamp": 1,
            "hostname": "h", "ddsource": "runtime-security-agent", "ddtags": "rule_id:a,type:open",
        })
    }

    fn delivered(envelope: &Value) -> Delivered {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed
            .write_all(json!([envelope]).to_string().as_bytes())
            .unwrap();
        let headers = [
            ("dd-api-key", API_KEY),
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
            ("dd-evp-origin", "cloud-workload-security"),
            ("dd-evp-origin-version", "1"),
            ("user-agent", "datadog-agent/1"),
        ];
        Delivered {
            method: "POST".to_owned(),
            uri: PATH.to_owned(),
            headers: headers
                .map(|(name, value)| (name, value.to_owned()))
                .to_vec(),
            body: packed.finish().unwrap(),
        }
    }

    #[test]
    fn a_batch_as_it_should_be_is_accepted_and_read() {
        let one = delivered(&envelope());
        one.expect_well_formed().unwrap();
        let envelopes = one.envelopes().unwrap();
        assert_eq!(envelopes.first().unwrap().event["agent"]["rule_id"], "a");
    }

    #[test]
    fn every_part_of_a_batch_is_looked_at() {
        for part in [
            "message",
            "status",
            "service",
            "timestamp",
            "hostname",
            "ddsource",
            "ddtags",
        ] {
            let mut bad = envelope();
            bad[part] = json!("");
            assert!(delivered(&bad).expect_well_formed().is_err(), "{part}");
        }
        for header in HEADERS {
            let mut bad = delivered(&envelope());
            bad.headers.retain(|(name, _)| name != header);
            assert!(bad.expect_well_formed().is_err(), "{header}");
        }
        let mut bad = delivered(&envelope());
        bad.uri = "/v1/input".to_owned();
        assert!(bad.expect_well_formed().is_err());
    }
}
