//! Standard output of commands.

use std::io::{self, Write};

/// Prints a text and a line end. A reader that has gone away is no error: there is nobody left to
/// tell.
pub fn line(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{}", text.trim_end_matches('\n'));
    let _ = out.flush();
}

/// Prints `Error: ` and a sentence on standard error.
pub fn error(sentence: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "Error: {sentence}");
}
