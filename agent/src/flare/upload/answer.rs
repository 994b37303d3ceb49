//! What the server's answer to an archive means for the user.
//!
//! An [`Answer`] and the API key enter, an [`Outcome`] leaves, in the words of the Datadog agent.
//! What the server wrote is shown in part: without the key, and without characters that would
//! change a terminal.

use serde_json::Value;
use ureq::http::StatusCode;

use super::{url, Outcome};
use crate::http::Answer;
use crate::scrub::MASK;

/// Bytes of an answer that are shown.
const SHOWN: usize = 150;
/// Characters at the end of a key that tell it from others; a key that has no more is not shown.
const END_OF_KEY: usize = 5;

/// Puts an answer into words.
pub(super) fn outcome(answer: &Answer, key: &str) -> Outcome {
    match answer.status {
        200 => accepted(answer, key),
        403 => Outcome {
            text: String::new(),
            error: Some(format!("HTTP 403 Forbidden: {}", refusal(key))),
        },
        status => not_understood(format!(
            "HTTP {}\nServer returned:\n{}",
            with_reason(status),
            begin(&printable(&answer.body, key))
        )),
    }
}

fn refusal(key: &str) -> String {
    if key.is_empty() {
        return "API key is missing".to_owned();
    }
    let before = key.char_indices().rev().nth(END_OF_KEY - 1);
    let end = before
        .filter(|(place, _)| *place > 0)
        .and_then(|(place, _)| key.get(place..));
    format!(
        "Make sure your API key is valid. API Key ending with: {}",
        end.unwrap_or(MASK)
    )
}

fn accepted(answer: &Answer, key: &str) -> Outcome {
    const RETURNED: &str = "Server returned a 200 but with";
    let content_type = answer.content_type.as_str();
    if content_type.is_empty() {
        return not_understood(format!("{RETURNED} no content-type header"));
    }
    let shown = one_line(begin(&printable(content_type, key)));
    if !is_json(content_type) {
        return not_understood(format!("{RETURNED} an unknown content-type {shown}"));
    }
    match case_and_error(&answer.body) {
        None => not_understood(format!(
            "{RETURNED} an unknown content-type {shown}: its body is not the JSON of an answer to a flare"
        )),
        Some((case_id, error)) if error.is_empty() => Outcome {
            text: format!(
                "Your logs were successfully uploaded. For future reference, your internal case id is {case_id}"
            ),
            error: None,
        },
        Some((_, error)) => {
            let error = one_line(&printable(&error, key));
            Outcome {
                text: format!(
                    "An error occurred while uploading the flare: {error}. Please contact support by email."
                ),
                error: Some(error),
            }
        }
    }
}

fn not_understood(error: String) -> Outcome {
    let text =
        "Error: could not deserialize response body -- Please contact support by email.".to_owned();
    Outcome {
        text,
        error: Some(error),
    }
}

fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or("");
    kind.trim().eq_ignore_ascii_case("application/json")
}

/// `{"case_id": 1, "error": "text"}`; either may be missing.
fn case_and_error(body: &str) -> Option<(i64, String)> {
    let body: Value = serde_json::from_str(body).ok()?;
    let body = body.as_object()?;
    let case_id = match body.get("case_id") {
        None | Some(Value::Null) => 0,
        Some(number) => number.as_i64()?,
    };
    let error = match body.get("error") {
        None | Some(Value::Null) => "",
        Some(error) => error.as_str()?,
    };
    Some((case_id, error.to_owned()))
}

/// A status and its phrase, such as `503 Service Unavailable`; the phrase that the server sent is
/// not looked at (RFC 9110, section 15.1).
pub(super) fn with_reason(status: u16) -> String {
    let reason = StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason());
    match reason {
        Some(reason) => format!("{status} {reason}"),
        None => status.to_string(),
    }
}

/// What the server wrote, without the key that it may repeat and without control characters but
/// ends of lines.
fn printable(text: &str, key: &str) -> String {
    let mut text = text.to_owned();
    // Shorter ones are in too many words, and no keys.
    if key.len() > END_OF_KEY {
        text = text.replace(key, MASK);
        text = text.replace(&url::encoded(key), MASK);
    }
    let visible = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
    text.chars().map(visible).collect()
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

fn begin(text: &str) -> &str {
    text.get(..text.floor_char_boundary(SHOWN)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";
    const NOT_UNDERSTOOD: &str =
        "Error: could not deserialize response body -- Please contact support by email.";

    fn of(status: u16, content_type: &str, body: &str, key: &str) -> (String, Option<String>) {
        let answer = Answer {
            status,
            content_type: content_type.to_owned(),
            body: body.to_owned(),
            ..Answer::default()
        };
        let outcome = outcome(&answer, key);
        (outcome.text, outcome.error)
    }

    #[test]
    fn what_was_taken_has_a_case() {
        let json = "application/json";
        let cases = [
            (json, r#"{"case_id": 4711}"#, 4711),
            (
                "Application/JSON; charset=utf-8",
                r#"{"case_id": 1, "error": ""}"#,
                1,
            ),
            (json, r#"{"case_id": null, "error": null, "more": []}"#, 0),
        ];
        for (content_type, body, number) in cases {
            let expected = format!(
                "Your logs were successfully uploaded. For future reference, your internal case id is {number}"
            );
            assert_eq!(of(200, content_type, body, KEY), (expected, None), "{body}");
        }
        let (text, error) = of(
            200,
            json,
            r#"{"case_id": 1, "error": "too\u001b[1m\nlate"}"#,
            KEY,
        );
        assert_eq!(
            text,
            "An error occurred while uploading the flare: too [1m late. Please contact support by email."
        );
        assert_eq!(error.unwrap(), "too [1m late");
    }

    #[test]
    fn what_is_not_understood_is_shown_in_part() {
        let long = "é".repeat(100);
        let html = "text/html; charset=utf-8";
        let returned = "Server returned a 200 but with";
        let cases = [
            (
                500,
                html,
                "oops\r\n\tx",
                "HTTP 500 Internal Server Error\nServer returned:\noops \n x".to_owned(),
            ),
            (
                500,
                "",
                "",
                "HTTP 500 Internal Server Error\nServer returned:\n".to_owned(),
            ),
            (
                413,
                "",
                long.as_str(),
                format!(
                    "HTTP 413 Payload Too Large\nServer returned:\n{}",
                    &long[..150]
                ),
            ),
            (
                302,
                "",
                "x",
                "HTTP 302 Found\nServer returned:\nx".to_owned(),
            ),
            (
                202,
                "application/json",
                r#"{"case_id":1}"#,
                "HTTP 202 Accepted\nServer returned:\n{\"case_id\":1}".to_owned(),
            ),
            (599, "", "x", "HTTP 599\nServer returned:\nx".to_owned()),
            (
                200,
                html,
                "<html>",
                format!("{returned} an unknown content-type {html}"),
            ),
            (
                200,
                "application/jsonx",
                "{}",
                format!("{returned} an unknown content-type application/jsonx"),
            ),
            (
                200,
                "",
                r#"{"case_id":1}"#,
                format!("{returned} no content-type header"),
            ),
        ];
        for (status, content_type, body, expected) in cases {
            let (text, error) = of(status, content_type, body, KEY);
            assert_eq!(text, NOT_UNDERSTOOD);
            assert_eq!(error.unwrap(), expected);
        }
        for body in [
            "",
            "<html>",
            "[1]",
            r#"{"case_id": "1"}"#,
            r#"{"error": 1}"#,
        ] {
            let (text, error) = of(200, "application/json", body, KEY);
            assert_eq!(text, NOT_UNDERSTOOD, "{body}");
            let expected = format!("{returned} an unknown content-type application/json");
            assert!(error.unwrap().starts_with(&expected), "{body}");
        }
    }

    #[test]
    fn a_refused_key_is_named_by_its_end() {
        let cases = [
            ("", "API key is missing"),
            (
                KEY,
                "Make sure your API key is valid. API Key ending with: bcdef",
            ),
            (
                "é23456",
                "Make sure your API key is valid. API Key ending with: 23456",
            ),
            (
                "12345",
                "Make sure your API key is valid. API Key ending with: ********",
            ),
        ];
        for (key, expected) in cases {
            let expected = format!("HTTP 403 Forbidden: {expected}");
            assert_eq!(
                of(403, "", "", key),
                (String::new(), Some(expected)),
                "{key}"
            );
        }
    }

    #[test]
    fn the_key_is_never_repeated() {
        let odd = "an odd key+/";
        for (key, repeated) in [(KEY, KEY), (odd, odd), (odd, "an%20odd%20key%2B%2F")] {
            let padding = "x".repeat(140);
            let bodies = [
                format!("/support/flare?api_key={repeated} is wrong"),
                format!("{padding}{repeated}"),
                format!("{{\"error\": \"{repeated}\"}}"),
            ];
            for body in bodies {
                for (status, content_type) in [(500, ""), (200, "application/json"), (200, &body)] {
                    let (text, error) = of(status, content_type, &body, key);
                    let all = text + &error.unwrap();
                    assert!(!all.contains(&repeated[..8]), "{all}");
                }
            }
        }
    }
}
