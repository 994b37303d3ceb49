//! What the webhook counts, and the text that Prometheus reads of it.

use std::fmt::Write as _;
use std::time::Duration;

use super::review::Webhook;
use crate::kube::reason::Reason;

/// What every name begins with.
const PREFIX: &str = "runtime_security_admission";

/// What became of a review; it was allowed each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// With a patch.
    Changed,
    /// As it was, for a reason.
    Left(Reason),
    /// As it was, because instrumentation is off.
    Off,
    /// As it was, because the container was not prepared in time.
    Late,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client or the protocol ended it.
    Closed,
    /// It took too long.
    Late,
    /// Another one had to have its place.
    Replaced,
}

const REASONS: usize = Reason::ALL.len();

/// Counts since the start.
#[derive(Debug)]
pub(super) struct Metrics {
    reviews: [Reviews; 2],
    accepted: u64,
    ended: [u64; 3],
    /// Answers that are no reviews and no success.
    refused: u64,
}

#[derive(Clone, Copy, Debug)]
struct Reviews {
    changed: u64,
    off: u64,
    late: u64,
    left: [u64; REASONS],
    took: Duration,
}

impl Metrics {
    pub(super) fn new() -> Metrics {
        let none = Reviews {
            changed: 0,
            off: 0,
            late: 0,
            left: [0; REASONS],
            took: Duration::ZERO,
        };
        Metrics {
            reviews: [none; 2],
            accepted: 0,
            ended: [0; 3],
            refused: 0,
        }
    }

    /// Counts a review and how long it took.
    pub(super) fn review(&mut self, webhook: Webhook, result: Decision, took: Duration) {
        let [pod, command] = &mut self.reviews;
        let reviews = match webhook {
            Webhook::Pod => pod,
            Webhook::Command => command,
        };
        reviews.took += took;
        match result {
            Decision::Changed => reviews.changed += 1,
            Decision::Off => reviews.off += 1,
            Decision::Late => reviews.late += 1,
            Decision::Left(reason) => {
                if let Some(count) = reviews.left.get_mut(reason as usize) {
                    *count += 1;
                }
            }
        }
    }

    /// Counts a connection.
    pub(super) fn accept(&mut self) {
        self.accepted += 1;
    }

    /// Counts the end of one.
    pub(super) fn end(&mut self, end: End) {
        if let Some(count) = self.ended.get_mut(end as usize) {
            *count += 1;
        }
    }

    /// Counts an answer that is no success.
    pub(super) fn refuse(&mut self) {
        self.refused += 1;
    }

    /// The text of all numbers.
    pub(super) fn render(&self, is_on: bool, connections: usize) -> String {
        let mut out = String::new();
        let mut single = |name: &str, kind: &str, help: &str, value: u64| {
            head(&mut out, name, kind, help);
            let _ = writeln!(out, "{PREFIX}_{name} {value}");
        };
        single(
            "enabled",
            "gauge",
            "Whether pods and commands are instrumented.",
            is_on.into(),
        );
        single(
            "connections",
            "gauge",
            "Connections that are open.",
            connections as u64,
        );
        single(
            "connections_accepted_total",
            "counter",
            "Connections that were opened.",
            self.accepted,
        );
        single(
            "requests_refused_total",
            "counter",
            "Requests that were answered with an error.",
            self.refused,
        );
        head(
            &mut out,
            "connections_ended_total",
            "counter",
            "Connections that ended, by why.",
        );
        let ends = ["closed", "timeout", "replaced"];
        for (end, count) in ends.iter().zip(self.ended) {
            let name = "connections_ended_total";
            let _ = writeln!(out, "{PREFIX}_{name}{{reason=\"{end}\"}} {count}");
        }
        self.render_reviews(&mut out);
        out
    }

    fn render_reviews(&self, out: &mut String) {
        let both = || Webhook::ALL.into_iter().zip(&self.reviews);
        let name = "reviews_total";
        head(out, name, "counter", "Reviews by what became of them.");
        for (webhook, reviews) in both() {
            let webhook = webhook.name();
            for (result, count) in reviews.results() {
                let labels = format_args!("webhook=\"{webhook}\",result=\"{result}\"");
                let _ = writeln!(out, "{PREFIX}_{name}{{{labels}}} {count}");
            }
        }
        let name = "skipped_reviews_total";
        head(
            out,
            name,
            "counter",
            "Reviews that changed nothing, by why.",
        );
        for (webhook, reviews) in both() {
            let webhook = webhook.name();
            for (reason, count) in Reason::ALL.iter().zip(reviews.left) {
                let reason = reason.name();
                let labels = format_args!("webhook=\"{webhook}\",reason=\"{reason}\"");
                let _ = writeln!(out, "{PREFIX}_{name}{{{labels}}} {count}");
            }
        }
        let name = "review_duration_seconds";
        head(out, name, "summary", "Time from a request to its answer.");
        for (webhook, reviews) in both() {
            let webhook = webhook.name();
            let (seconds, micros) = (reviews.took.as_secs(), reviews.took.subsec_micros());
            let count: u64 = reviews.results().iter().map(|(_, count)| count).sum();
            let _ = writeln!(
                out,
                "{PREFIX}_{name}_sum{{webhook=\"{webhook}\"}} {seconds}.{micros:06}\n\
                 {PREFIX}_{name}_count{{webhook=\"{webhook}\"}} {count}"
            );
        }
    }
}

impl Reviews {
    fn results(&self) -> [(&'static str, u64); 4] {
        [
            ("changed", self.changed),
            ("skipped", self.left.iter().sum()),
            ("off", self.off),
            ("late", self.late),
        ]
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(
        out,
        "# HELP {PREFIX}_{name} {help}\n# TYPE {PREFIX}_{name} {kind}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_count() {
        let mut metrics = Metrics::new();
        for (count, reason) in (1..).zip(Reason::ALL) {
            for _ in 0..count {
                let took = Duration::from_millis(1);
                metrics.review(Webhook::Command, Decision::Left(*reason), took);
            }
        }
        metrics.review(Webhook::Pod, Decision::Off, Duration::from_millis(1_500));
        metrics.end(End::Replaced);
        let text = metrics.render(true, 3);
        let all: usize = (1..=REASONS).sum();
        for (count, reason) in (1..).zip(Reason::ALL) {
            let labels = format!(
                "webhook=\"cws_exec_instrumentation\",reason=\"{}\"",
                reason.name()
            );
            let line = format!("{PREFIX}_skipped_reviews_total{{{labels}}} {count}\n");
            assert!(text.contains(&line), "{line}");
        }
        for line in [
            format!(
                "reviews_total{{webhook=\"cws_exec_instrumentation\",result=\"skipped\"}} {all}"
            ),
            "reviews_total{webhook=\"cws_pod_instrumentation\",result=\"off\"} 1".to_owned(),
            "review_duration_seconds_sum{webhook=\"cws_pod_instrumentation\"} 1.500000".to_owned(),
            "review_duration_seconds_count{webhook=\"cws_pod_instrumentation\"} 1".to_owned(),
            "connections_ended_total{reason=\"replaced\"} 1".to_owned(),
            "connections 3".to_owned(),
            "enabled 1".to_owned(),
        ] {
            assert!(
                text.contains(&format!("\n{PREFIX}_{line}\n")),
                "{line}\n{text}"
            );
        }
    }
}
