//! What a server may answer to a flare, and what people are told then.

use crate::flare_server::Answer;

/// What is said of answers that are not understood.
const NOT_UNDERSTOOD: &str =
    "Error: could not deserialize response body -- Please contact support by email.";

/// An answer to the POST and what is printed then.
pub(crate) struct Row {
    /// Part of the test's name.
    pub(crate) name: &'static str,
    /// What the server does.
    pub(crate) answer: fn() -> Answer,
    /// Parts of what is printed.
    pub(crate) stdout: &'static [&'static str],
    /// Parts of what is complained about.
    pub(crate) stderr: &'static [&'static str],
    /// The exit code.
    pub(crate) code: i32,
}

/// Every row of the table of answers.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "success",
        answer: || Answer::success(4_294_967_295),
        stdout: &["Your logs were successfully uploaded. For future reference, your internal case id is 4294967295"],
        stderr: &[],
        code: 0,
    },
    Row {
        name: "forbidden",
        answer: || Answer::json("403 Forbidden", "{\"case_id\":0}"),
        stdout: &[],
        stderr: &["HTTP 403 Forbidden: Make sure your API key is valid. API Key ending with: bcdef"],
        code: 1,
    },
    Row {
        name: "too_large",
        answer: || Answer::Full("413 Payload Too Large", vec![], "<".repeat(200)),
        stdout: &[NOT_UNDERSTOOD],
        stderr: &["Error: HTTP 413 ", "\nServer returned:\n<<<<<<<<<<"],
        code: 1,
    },
    Row {
        name: "too_large_early",
        answer: || Answer::Early("413 Payload Too Large", "<too large>".to_owned()),
        stdout: &[NOT_UNDERSTOOD],
        stderr: &["Error: HTTP 413 ", "\nServer returned:\n<too large>"],
        code: 1,
    },
    Row {
        name: "server_error",
        answer: || Answer::json("500 Internal Server Error", "{\"x\":\"\u{1b}[31mred\"}"),
        stdout: &[NOT_UNDERSTOOD],
        stderr: &["Error: HTTP 500 Internal Server Error\nServer returned:\n{\"x\":\""],
        code: 1,
    },
    Row {
        name: "redirected",
        answer: || Answer::redirect("302 Found", "/elsewhere"),
        stdout: &[NOT_UNDERSTOOD],
        stderr: &["Error: HTTP 302 Found"],
        code: 1,
    },
    Row {
        name: "text",
        answer: || {
            let kind = ("Content-Type", "text/plain".to_owned());
            Answer::Full("200 OK", vec![kind], "thank you".to_owned())
        },
        stdout: &[NOT_UNDERSTOOD],
        stderr: &["Server returned a 200 but with an unknown content-type text/plain"],
        code: 1,
    },
    Row {
        name: "no_type",
        answer: || Answer::Full("200 OK", vec![], "thank you".to_owned()),
        stdout: &[NOT_UNDERSTOOD],
        stderr: &["Server returned a 200 but with no content-type header"],
        code: 1,
    },
    Row {
        name: "no_json",
        answer: || Answer::json("200 OK", "{\"case_id\":"),
        stdout: &[NOT_UNDERSTOOD],
        stderr: &["Error: "],
        code: 1,
    },
    Row {
        name: "error",
        answer: || Answer::json("200 OK", "{\"case_id\":5,\"error\":\"no such case\"}"),
        stdout: &["An error occurred while uploading the flare: no such case. Please contact support by email."],
        stderr: &[],
        code: 1,
    },
    Row {
        name: "reset",
        answer: || Answer::ResetAfter(64 << 10),
        stdout: &[],
        stderr: &["Error: ", "127.0.0.1"],
        code: 1,
    },
    Row {
        name: "hang",
        answer: || Answer::Never,
        stdout: &[],
        stderr: &["Error: ", "timed out"],
        code: 1,
    },
    Row {
        name: "deaf",
        answer: || Answer::Deaf,
        stdout: &[],
        stderr: &["Error: ", "timed out"],
        code: 1,
    },
];
