//! What security-agent says of where events go, as text.

use serde_json::Value;

use super::text::{add as line, at, heading, number, size, span, text_at};

/// Appends what is known of outputs, spool and endpoints.
pub(super) fn add(text: &mut String, agent: &Value) {
    if agent.get("outputs").is_none() {
        return;
    }
    heading(text, "Delivery");
    if let Some(received) = number(agent, "received") {
        line(text, 4, &format!("Events received: {received}"));
    }
    add_outputs(text, agent);
    let Some(delivery) = agent.get("delivery").filter(|it| it.is_object()) else {
        line(
            text,
            4,
            "Intake: none, because there is neither an api_key nor an outputs.http.url",
        );
        return;
    };
    let bytes = at(delivery, "/spool/bytes").unwrap_or(0);
    let place = text_at(delivery, "/spool/state");
    line(text, 4, &format!("Spool: {}, {place}", size(bytes)));
    let endpoints = delivery.get("endpoints").and_then(Value::as_array);
    for endpoint in endpoints.into_iter().flatten() {
        add_endpoint(text, endpoint);
    }
}

fn add_outputs(text: &mut String, agent: &Value) {
    if let Some(stdout) = agent.pointer("/outputs/stdout").filter(|it| it.is_object()) {
        let count = |key| number(stdout, key).unwrap_or(0);
        let (events, lost) = (count("events"), count("lost"));
        line(
            text,
            4,
            &format!("Standard output: {events} events, {lost} lost"),
        );
    }
    if let Some(file) = agent.pointer("/outputs/file").filter(|it| it.is_object()) {
        let count = |key| number(file, key).unwrap_or(0);
        let (path, problem) = (text_at(file, "/path"), text_at(file, "/problem"));
        let (events, lost) = (count("events"), count("lost"));
        line(
            text,
            4,
            &format!("File {path}: {events} events, {lost} lost"),
        );
        if !problem.is_empty() {
            line(text, 6, problem);
        }
    }
}

fn add_endpoint(text: &mut String, endpoint: &Value) {
    let count = |key| number(endpoint, key).unwrap_or(0);
    let name = text_at(endpoint, "/url");
    line(
        text,
        4,
        &format!("Endpoint {name}: {}", text_at(endpoint, "/state")),
    );
    let sent = format!(
        "sent {} events in {} requests ({}), {} retries, {} dropped, {} damaged",
        count("sent_events"),
        count("sent_batches"),
        size(count("sent_bytes")),
        count("retries"),
        count("dropped") + count("dropped_for_size") + count("dropped_for_age"),
        count("damaged"),
    );
    line(text, 6, &sent);
    let waiting = format!(
        "waiting {} events ({}), the oldest for {}",
        count("waiting_events"),
        size(count("waiting_bytes")),
        span(count("oldest_seconds")),
    );
    line(text, 6, &waiting);
    let answered = match number(endpoint, "last_status") {
        Some(status @ 1..) => format!("status {status}"),
        _ => "none".to_owned(),
    };
    let at = text_at(endpoint, "/last_time");
    if !at.is_empty() {
        line(text, 6, &format!("last answer: {answered}, {at}"));
    }
    let error = text_at(endpoint, "/last_error");
    if !error.is_empty() {
        line(text, 6, &format!("last error: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_loss_of_an_endpoint_is_shown() {
        let endpoint = json!({"url": "https://x", "state": "ok", "dropped": 1,
            "dropped_for_size": 2, "dropped_for_age": 3, "damaged": 4});
        let mut text = String::new();
        add_endpoint(&mut text, &endpoint);
        assert!(text.contains("6 dropped, 4 damaged"), "{text}");
    }
}
