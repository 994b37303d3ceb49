//! Texts of help, made from the table of commands.

use std::fmt::Write as _;

use super::commands::{Command, COMMANDS};
use super::flags::{Flag, Role};

/// Column in which the sentences begin.
const COLUMN: usize = 30;

/// The help of a command, or of all the commands that begin with these words.
pub fn text(role: Role, words: &[String]) -> String {
    let begins = |command: &&Command| {
        let typed = words.iter().map(String::as_str);
        command.roles.contains(&role) && command.words.iter().copied().take(words.len()).eq(typed)
    };
    let mut text = format!("Usage: {}", role.name());
    for word in words {
        let _ = write!(text, " {word}");
    }
    let found: Vec<&Command> = COMMANDS.iter().filter(begins).collect();
    match found
        .iter()
        .find(|command| command.words.len() == words.len())
    {
        Some(command) => add_command(&mut text, command),
        None => add_list(&mut text, &found),
    }
    text.push_str("\nEverywhere:\n");
    for flag in role.global_flags() {
        add_flag(&mut text, flag);
    }
    add_row(&mut text, "  -h, --help", "Print this help.");
    text
}

/// The visible command of the role whose words look most like these.
pub fn nearest_command(role: Role, words: &str) -> Option<String> {
    let visible = COMMANDS.iter().filter(|command| !command.help.is_empty());
    let candidates = visible
        .filter(|command| command.roles.contains(&role))
        .map(|command| command.words.join(" "));
    let (distance, nearest) = candidates
        .map(|name| (distance(words, &name), name))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= words.chars().count() / 3 + 1).then_some(nearest)
}

fn add_command(text: &mut String, command: &Command) {
    let visible: Vec<&Flag> = command
        .flags
        .iter()
        .copied()
        .filter(|flag| !flag.help.is_empty())
        .collect();
    text.push_str(if visible.is_empty() {
        "\n\n"
    } else {
        " [FLAGS]\n\n"
    });
    let _ = writeln!(text, "{}", command.help);
    if !visible.is_empty() {
        text.push_str("\nFlags:\n");
    }
    for flag in visible {
        add_flag(text, flag);
    }
}

fn add_list(text: &mut String, commands: &[&Command]) {
    text.push_str(" COMMAND [FLAGS]\n\nCommands:\n");
    for command in commands.iter().filter(|command| !command.help.is_empty()) {
        add_row(
            text,
            &format!("  {}", command.words.join(" ")),
            command.help,
        );
    }
}

fn add_flag(text: &mut String, flag: &Flag) {
    let mut left = match flag.short {
        Some(letter) => format!("  -{letter}, --{}", flag.long),
        None if flag.long.is_empty() => format!("  {}", flag.value),
        None => format!("      --{}", flag.long),
    };
    if !flag.value.is_empty() && !flag.long.is_empty() {
        let _ = write!(left, " {}", flag.value);
    }
    add_row(text, &left, flag.help);
}

fn add_row(text: &mut String, left: &str, right: &str) {
    // A long one pushes its sentence to the right.
    let gap = if left.len() < COLUMN { "" } else { "  " };
    let _ = writeln!(text, "{left:COLUMN$}{gap}{right}");
}

/// Insertions, deletions and replacements that turn one text into the other.
pub(super) fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (line, left) in one.chars().enumerate() {
        let mut diagonal = line;
        let mut before = line + 1;
        let mut next = vec![before];
        for (right, above) in other.chars().zip(row.iter().skip(1)) {
            before = (diagonal + usize::from(left != right))
                .min(above + 1)
                .min(before + 1);
            diagonal = *above;
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits() {
        let cases = [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "", 3),
            ("statsu", "status", 2),
            ("kitten", "sitting", 3),
        ];
        for (one, other, expected) in cases {
            assert_eq!(distance(one, other), expected, "{one} {other}");
            assert_eq!(distance(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn hidden_things_stay_hidden() {
        let all = text(Role::SecurityAgent, &[]);
        assert!(all.contains("runtime policy check") && !all.contains("self-test-runner"));
        let start = text(Role::SecurityAgent, &["start".to_owned()]);
        assert!(start.contains("--pidfile FILE") && !start.contains("--supervisor"));
        let test = ["runtime", "policy", "test"].map(str::to_owned);
        let test = text(Role::SecurityAgent, &test);
        assert!(test.contains("\n  FILE...  "), "{test}");
    }

    #[test]
    fn long_names_are_apart_from_their_sentences() {
        for words in [&["runtime"][..], &["runtime", "network-namespace", "dump"]] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let text = text(Role::SecurityAgent, &words);
            let long = ["network-namespace dump  Write", "[=true|false]  Whether"];
            assert!(long.iter().any(|row| text.contains(row)), "{text}");
        }
    }
}
