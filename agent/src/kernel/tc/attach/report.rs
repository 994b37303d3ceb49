//! What a visit to a namespace found and did, as values and as bytes for a pipe.
//!
//! The bytes are lines of fields with tabs between them; the first field says what the line is. The
//! last line says that nothing is missing.

use std::io::{self, Write};

use super::super::{Both, Direction};

/// What the last line is.
const END: &str = "end";

/// A namespace after a visit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The number that the kernel calls it by in our namespace.
    pub number: Option<i32>,
    /// Whether no file leads to it any more; nothing else is told then.
    pub is_gone: bool,
    /// Its interfaces.
    pub devices: Vec<Device>,
    /// Interfaces that filters belong on, but that there was no room for.
    pub left_out: usize,
    /// Filters of dead runs that were removed.
    pub removed: usize,
    /// Interfaces where filters of dead runs, or of this one that are not wanted, may be left.
    pub untidy: usize,
    /// Why something is missing, as a sentence; empty when nothing is.
    pub problem: String,
}

/// An interface after a visit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Number, unique in its namespace.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Our filters.
    pub sides: Both<Side>,
    /// Why something is not as it should be; empty when all is.
    pub sentence: String,
}

/// One direction of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// What became of it.
    pub state: State,
    /// Number of the program that is attached; 0 for none.
    pub program: u32,
}

/// What became of a direction of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// No filter of ours is wanted.
    #[default]
    Unwanted,
    /// It could not be seen whether the filter is there.
    Unknown,
    /// The filter was attached now.
    Attached,
    /// The filter was there.
    Kept,
    /// The filter was not there, and it is not attached again.
    Missing,
    /// The filter could not be attached.
    Refused,
}

impl State {
    const ALL: [(State, &str); 6] = [
        (State::Unwanted, "unwanted"),
        (State::Unknown, "unknown"),
        (State::Attached, "attached"),
        (State::Kept, "kept"),
        (State::Missing, "missing"),
        (State::Refused, "refused"),
    ];

    fn name(self) -> &'static str {
        let known = State::ALL.iter().find(|(state, _)| *state == self);
        known.map_or("", |(_, name)| name)
    }

    fn named(name: &str) -> Option<State> {
        let known = State::ALL.iter().find(|(_, known)| *known == name);
        known.map(|(state, _)| *state)
    }
}

impl Side {
    /// Whether our filter is there.
    pub fn is_attached(&self) -> bool {
        matches!(self.state, State::Attached | State::Kept)
    }
}

impl Report {
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut text = String::new();
        let mut line = |fields: &[&str]| {
            text.push_str(&fields.join("\t"));
            text.push('\n');
        };
        if let Some(number) = self.number {
            line(&["number", &number.to_string()]);
        }
        if self.is_gone {
            line(&["gone"]);
        }
        for device in &self.devices {
            let Both { ingress, egress } = device.sides;
            line(&[
                "device",
                &device.index.to_string(),
                &one_field(&device.name),
                ingress.state.name(),
                &ingress.program.to_string(),
                egress.state.name(),
                &egress.program.to_string(),
                &one_field(&device.sentence),
            ]);
        }
        line(&["left_out", &self.left_out.to_string()]);
        line(&["removed", &self.removed.to_string()]);
        line(&["untidy", &self.untidy.to_string()]);
        line(&["problem", &one_field(&self.problem)]);
        line(&[END]);
        out.write_all(text.as_bytes())
    }

    /// Whether everything is as it should be, and known.
    pub fn is_whole(&self) -> bool {
        let mut devices = self.devices.iter();
        self.problem.is_empty()
            && self.left_out == 0
            && devices.all(|device| device.sentence.is_empty())
    }

    /// The report that a child wrote; `None` when it did not come to its end.
    pub fn understand(bytes: &[u8]) -> Option<Report> {
        let text = String::from_utf8_lossy(bytes);
        let mut report = Report::default();
        for line in text.strip_suffix('\n')?.split('\n') {
            let mut fields = line.split('\t');
            match fields.next()? {
                "number" => report.number = Some(fields.next()?.parse().ok()?),
                "gone" => report.is_gone = true,
                "device" => report.devices.push(device(&mut fields)?),
                "left_out" => report.left_out = fields.next()?.parse().ok()?,
                "removed" => report.removed = fields.next()?.parse().ok()?,
                "untidy" => report.untidy = fields.next()?.parse().ok()?,
                "problem" => report.problem = fields.next()?.to_owned(),
                END => return Some(report),
                _ => return None,
            }
        }
        None
    }
}

fn device(fields: &mut dyn Iterator<Item = &str>) -> Option<Device> {
    let mut device = Device {
        index: fields.next()?.parse().ok()?,
        name: fields.next()?.to_owned(),
        ..Device::default()
    };
    for direction in Direction::ALL {
        *device.sides.of_mut(direction) = Side {
            state: State::named(fields.next()?)?,
            program: fields.next()?.parse().ok()?,
        };
    }
    device.sentence = fields.next()?.to_owned();
    Some(device)
}

/// A text without what ends fields and lines.
fn one_field(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_understood_only_whole() {
        let side = |state, program| Side { state, program };
        let device = Device {
            index: 2,
            name: "eth0".to_owned(),
            sides: Both {
                ingress: side(State::Kept, 12),
                egress: side(State::Refused, 0),
            },
            sentence: "eth0: no".to_owned(),
        };
        let report = Report {
            number: Some(3),
            devices: vec![device, Device::default()],
            left_out: 1,
            removed: 2,
            untidy: 3,
            problem: "all is lost".to_owned(),
            ..Report::default()
        };
        let gone = Report {
            is_gone: true,
            ..Report::default()
        };
        for report in [report, gone] {
            let mut bytes = Vec::new();
            report.write(&mut bytes).unwrap();
            assert_eq!(Report::understand(&bytes), Some(report));
            for end in 0..bytes.len() {
                assert_eq!(Report::understand(&bytes[..end]), None, "{end}");
            }
        }
    }

    #[test]
    fn what_ends_fields_does_not_enter_them() {
        let report = Report {
            problem: "a\tb\nend".to_owned(),
            ..Report::default()
        };
        let mut bytes = Vec::new();
        report.write(&mut bytes).unwrap();
        let understood = Report::understand(&bytes).unwrap();
        assert_eq!(understood.problem, "a b end");
        assert_eq!(Report::understand(b"device\t1\nend\n"), None);
    }
}
