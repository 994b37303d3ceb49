//! What the user reads and is asked, word for word as the Datadog agent has it.

use std::io::{self, BufRead, IsTerminal, Write};

/// Colours of terminals.
const BLUE: &str = "\x1b[34m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// Standard input, output and error, and whether they may be coloured.
pub(super) struct Dialogue {
    colour: bool,
    /// Whether somebody can be asked.
    pub(super) is_interactive: bool,
    shows_progress: bool,
}

impl Dialogue {
    /// `colour` is what the user wishes; what is no terminal is never coloured.
    pub(super) fn new(colour: bool) -> Dialogue {
        Dialogue {
            colour: colour && std::env::var_os("NO_COLOR").is_none(),
            is_interactive: io::stdin().is_terminal(),
            shows_progress: io::stderr().is_terminal(),
        }
    }

    pub(super) fn say(&self, text: &str) {
        crate::cli::print::line(text);
    }

    pub(super) fn blue(&self, text: &str) {
        self.coloured(BLUE, text);
    }

    pub(super) fn yellow(&self, text: &str) {
        self.coloured(YELLOW, text);
    }

    pub(super) fn red(&self, text: &str) {
        self.coloured(RED, text);
    }

    /// A warning on standard error.
    pub(super) fn warn(&self, text: &str) {
        let coloured = self.colour && io::stderr().is_terminal();
        let (start, end) = if coloured { (YELLOW, PLAIN) } else { ("", "") };
        let _ = writeln!(io::stderr(), "{start}{text}{end}");
    }

    fn coloured(&self, colour: &str, text: &str) {
        match self.colour && io::stdout().is_terminal() {
            true => self.say(&format!("{colour}{text}{PLAIN}")),
            false => self.say(text),
        }
    }

    /// A line on standard error that people see while they wait.
    pub(super) fn progress(&self, text: &str) {
        if self.shows_progress {
            let _ = writeln!(io::stderr(), "  {text}");
        }
    }

    /// The same, in place of the one before; `is_last` leaves it.
    pub(super) fn progress_in_place(&self, text: &str, is_last: bool) {
        if self.shows_progress {
            let end = if is_last { "\n" } else { "" };
            let _ = write!(io::stderr(), "\r  {text}{end}");
        }
    }

    /// A question and what was typed; `None` when nothing was, because the input has ended.
    pub(super) fn ask(&self, question: &str) -> Option<String> {
        self.say(question);
        let mut line = String::new();
        match io::stdin().lock().read_line(&mut line) {
            Ok(read) if read > 0 => Some(line.trim().to_owned()),
            _ => None,
        }
    }
}
