//! Whole files, from where they are read to where they are kept.
//!
//! Bytes enter; text without secrets leaves, with the number of replacements made. Lines go through
//! one by one in bounded memory. YAML and JSON are read whole up to a bound, because what stands
//! below a name can only be known from their structure; beyond it, and where they cannot be parsed,
//! they are lines.

use std::io::{self, Read, Write};

use super::{structure, Scrubber, Stream, MASK};

/// Bytes of a line at most. A longer one is hidden, because a secret could lie across any place at
/// which it were cut.
const LONGEST_LINE: usize = 1 << 20;
/// Bytes of a file of which the structure is looked at.
const LARGEST_STRUCTURE: usize = 4 << 20;
/// How often a text is tried to be parsed.
const MOST_ATTEMPTS: usize = 4;
/// Bytes that are read at once.
const CHUNK: usize = 32 * 1024;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text in lines, such as logs and reports.
    Lines,
    /// One or several YAML documents.
    Yaml,
    /// A JSON document, or a document a line.
    Json,
}

impl Kind {
    /// What a file of this name holds.
    pub fn of(path: &str) -> Kind {
        let name = path.to_ascii_lowercase();
        let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        if ends(&[".yaml", ".yml", ".policy"]) {
            Kind::Yaml
        } else if ends(&[".json", ".jsonl", ".ndjson"]) {
            Kind::Json
        } else {
            Kind::Lines
        }
    }
}

impl Scrubber {
    /// Copies a file with its secrets masked; returns the number of replacements. Bytes that are no
    /// UTF-8 become U+FFFD. A line of more than a mebibyte is replaced as a whole.
    pub fn copy(
        &self,
        kind: Kind,
        input: &mut dyn Read,
        output: &mut dyn Write,
    ) -> io::Result<u64> {
        if kind == Kind::Lines {
            return self.copy_lines(input, output);
        }
        let mut bytes = Vec::new();
        let limit = LARGEST_STRUCTURE as u64 + 1;
        (&mut *input).take(limit).read_to_end(&mut bytes)?;
        if bytes.len() > LARGEST_STRUCTURE {
            let mut all = bytes.as_slice().chain(input);
            return self.copy_lines(&mut all, output);
        }
        let (text, replaced) = self.structured(kind, &String::from_utf8_lossy(&bytes))?;
        output.write_all(text.as_bytes())?;
        Ok(replaced)
    }

    /// A text of YAML or JSON without its secrets. As lines it may become what can be parsed.
    fn structured(&self, kind: Kind, text: &str) -> io::Result<(String, u64)> {
        let mut text = text.to_owned();
        let mut replaced = 0;
        for _ in 0..MOST_ATTEMPTS {
            match structure::scrub(self, kind, &text) {
                // What has grown over the bound would be lines the next time.
                Some((clean, changes)) if clean.len() <= LARGEST_STRUCTURE => {
                    return Ok((clean, replaced + changes));
                }
                _ => {}
            }
            let mut lines = Vec::new();
            let changes = self.copy_lines(&mut text.as_bytes(), &mut lines)?;
            if changes == 0 {
                break;
            }
            replaced += changes;
            text = String::from_utf8_lossy(&lines).into_owned();
        }
        Ok((text, replaced))
    }

    fn copy_lines(&self, input: &mut dyn Read, output: &mut dyn Write) -> io::Result<u64> {
        let mut lines = Lines {
            stream: Stream::new(self),
            line: Vec::new(),
            is_too_long: false,
            hidden: 0,
            output,
        };
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = match input.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for piece in chunk
                .get(..length)
                .unwrap_or(&[])
                .split_inclusive(|b| *b == b'\n')
            {
                lines.add(piece)?;
            }
        }
        lines.end()?;
        Ok(lines.stream.replaced() + lines.hidden)
    }
}

/// Lines on their way.
struct Lines<'a> {
    stream: Stream<'a>,
    /// What was read of the line.
    line: Vec<u8>,
    /// Whether it was longer than what is kept of it, which is nothing.
    is_too_long: bool,
    /// Lines that were too long.
    hidden: u64,
    output: &'a mut dyn Write,
}

impl Lines<'_> {
    /// Adds a piece, which ends a line when a newline is its last byte.
    fn add(&mut self, piece: &[u8]) -> io::Result<()> {
        let is_end = piece.ends_with(b"\n");
        if self.line.len() + piece.len() > LONGEST_LINE {
            self.is_too_long = true;
            self.line.clear();
        }
        if !self.is_too_long || is_end {
            self.line.extend_from_slice(piece);
        }
        match is_end {
            true => self.end(),
            false => Ok(()),
        }
    }

    /// Writes the line.
    fn end(&mut self) -> io::Result<()> {
        let text = String::from_utf8_lossy(&self.line);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let end = text.get(line.len()..).unwrap_or("");
        let shown = match self.is_too_long || text.len() > LONGEST_LINE {
            true => None,
            false if text.is_empty() => return Ok(()),
            false => match self.stream.line(line) {
                Some(shown) => Some(shown).filter(|shown| shown.len() < LONGEST_LINE),
                None => {
                    self.line.clear();
                    return Ok(());
                }
            },
        };
        self.hidden += u64::from(shown.is_none());
        self.output
            .write_all(shown.as_deref().unwrap_or(MASK).as_bytes())?;
        self.output.write_all(end.as_bytes())?;
        self.line.clear();
        self.is_too_long = false;
        Ok(())
    }
}
