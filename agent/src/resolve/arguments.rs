//! Arguments and environment, from pieces to lists.
//!
//! The probes send the memory of argv and of the environment in pieces before the exec record;
//! pieces wait here, bounded in number and bytes, until that record takes them. A piece that is
//! missing, and every limit that cuts, shows as "truncated".

use std::collections::{HashMap, VecDeque};

use crate::event::wire::Arguments;

/// The most elements of argv or of the environment.
const MAX_ELEMENTS: usize = 416;
/// The most bytes of one element.
const MAX_ELEMENT: usize = 4_096;
/// The most bytes of argv or of the environment.
const MAX_BYTES: usize = 32 * 1024;
/// The most execs whose pieces wait.
const MAX_WAITING: usize = 256;
/// The most bytes that wait.
const MAX_WAITING_BYTES: usize = 2 << 20;

/// Which environment variables keep their value.
#[derive(Clone, Debug, Default)]
pub struct EnvironmentFilter {
    with_value: Vec<String>,
}

impl EnvironmentFilter {
    /// Keeps the values of the variables with these names.
    pub fn new(with_value: Vec<String>) -> EnvironmentFilter {
        EnvironmentFilter { with_value }
    }

    /// `NAME=value` as it may be kept: whole, or the name only.
    fn apply(&self, variable: String) -> String {
        match variable.split_once('=') {
            Some((name, _)) if !self.with_value.iter().any(|known| known == name) => {
                name.to_owned()
            }
            _ => variable,
        }
    }
}

/// A list of arguments or variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    /// The elements.
    pub elements: Vec<String>,
    /// Some are missing or cut.
    pub truncated: bool,
}

impl Strings {
    /// Zero-separated strings as memory has them; `truncated` says that bytes are missing.
    pub fn split(bytes: &[u8], truncated: bool) -> Strings {
        let kept = bytes.get(..MAX_BYTES).unwrap_or(bytes);
        let mut strings = Strings {
            elements: Vec::new(),
            truncated: truncated || kept.len() < bytes.len(),
        };
        if kept.is_empty() {
            return strings;
        }
        let kept = kept.strip_suffix(&[0]).unwrap_or(kept);
        for element in kept.split(|byte| *byte == 0) {
            if strings.elements.len() == MAX_ELEMENTS {
                strings.truncated = true;
                break;
            }
            let short = element.get(..MAX_ELEMENT).unwrap_or(element);
            strings.truncated |= short.len() < element.len();
            let text = String::from_utf8_lossy(short).into_owned();
            strings.elements.push(text);
        }
        strings
    }

    /// The same with the values of most variables removed.
    pub fn filtered(mut self, filter: &EnvironmentFilter) -> Strings {
        let variables = std::mem::take(&mut self.elements).into_iter();
        self.elements = variables.map(|variable| filter.apply(variable)).collect();
        self
    }
}

#[derive(Debug, Default)]
struct Waiting {
    arguments: Vec<(u16, Vec<u8>)>,
    environment: Vec<(u16, Vec<u8>)>,
    bytes: usize,
}

/// The pieces in index order up to the first gap, and whether bytes of `expected` are missing.
fn join(mut pieces: Vec<(u16, Vec<u8>)>, expected: u32) -> (Vec<u8>, bool) {
    pieces.sort_by_key(|(index, _)| *index);
    let mut bytes = Vec::new();
    for (place, (index, data)) in pieces.iter().enumerate() {
        if usize::from(*index) != place {
            break;
        }
        bytes.extend_from_slice(data);
    }
    let missing = (bytes.len() as u64) < u64::from(expected);
    (bytes, missing)
}

/// Pieces that wait for their exec record.
#[derive(Debug, Default)]
pub struct Pieces {
    waiting: HashMap<u64, Waiting>,
    order: VecDeque<u64>,
    bytes: usize,
    /// How many execs lost their pieces to the limits.
    pub dropped: u64,
}

impl Pieces {
    /// Keeps a piece.
    pub fn add(&mut self, piece: &Arguments<'_>) {
        let waiting = self.waiting.entry(piece.exec_id).or_insert_with(|| {
            self.order.push_back(piece.exec_id);
            Waiting::default()
        });
        let pieces = match piece.environment {
            false => &mut waiting.arguments,
            true => &mut waiting.environment,
        };
        pieces.push((piece.index, piece.data.to_vec()));
        waiting.bytes += piece.data.len();
        self.bytes += piece.data.len();
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.waiting.len() > MAX_WAITING || self.bytes > MAX_WAITING_BYTES {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            if self.remove(oldest).is_some() {
                self.dropped += 1;
            }
        }
        // Ids of execs that were taken stay in the order until they come to its front.
        if self.order.len() > 2 * MAX_WAITING {
            let waiting = &self.waiting;
            self.order.retain(|exec_id| waiting.contains_key(exec_id));
        }
    }

    fn remove(&mut self, exec_id: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&exec_id)?;
        self.bytes = self.bytes.saturating_sub(waiting.bytes);
        Some(waiting)
    }

    /// Arguments and environment of an exec whose memory has these sizes in bytes.
    pub fn take(
        &mut self,
        exec_id: u64,
        arguments_size: u32,
        environment_size: u32,
    ) -> (Strings, Strings) {
        let waiting = self.remove(exec_id).unwrap_or_default();
        let (arguments, missing) = join(waiting.arguments, arguments_size);
        let (environment, lost) = join(waiting.environment, environment_size);
        (
            Strings::split(&arguments, missing),
            Strings::split(&environment, lost),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(exec_id: u64, index: u16, environment: bool, data: &[u8]) -> Arguments<'_> {
        Arguments {
            exec_id,
            index,
            environment,
            data,
        }
    }

    #[test]
    fn memory_splits_into_strings() {
        for (bytes, expected) in [
            (&b""[..], &[][..]),
            (b"\0", &[""]),
            (b"ls\0", &["ls"]),
            (b"ls\0-l\0\0a b\0", &["ls", "-l", "", "a b"]),
            (b"cut", &["cut"]),
            (b"\xff\0", &["\u{fffd}"]),
        ] {
            assert_eq!(Strings::split(bytes, false).elements, expected);
        }
    }

    #[test]
    fn limits_show_as_truncated() {
        let long = Strings::split(&[b'x'; 5_000], false);
        assert_eq!(
            (long.elements[0].len(), long.truncated),
            (MAX_ELEMENT, true)
        );
        let many = Strings::split(&b"a\0".repeat(500), false);
        assert_eq!((many.elements.len(), many.truncated), (MAX_ELEMENTS, true));
        let big = Strings::split(&b"abcdefg\0".repeat(5_000), false);
        assert!(big.truncated);
        assert!(!Strings::split(&b"a\0".repeat(416), false).truncated);
    }

    #[test]
    fn pieces_come_in_any_order_and_gaps_are_seen() {
        let mut pieces = Pieces::default();
        pieces.add(&piece(1, 1, false, b"c\0"));
        pieces.add(&piece(1, 0, false, b"a\0b"));
        pieces.add(&piece(1, 1, true, b"PATH=x\0"));
        let (arguments, environment) = pieces.take(1, 5, 12);
        assert_eq!(arguments.elements, ["a", "bc"]);
        assert!(!arguments.truncated);
        assert_eq!(
            environment,
            Strings {
                elements: vec![],
                truncated: true
            }
        );
        assert_eq!(pieces.bytes, 0);
        assert!(pieces.take(1, 5, 0).0.truncated);
    }

    #[test]
    fn what_never_gets_its_exec_is_dropped() {
        let mut pieces = Pieces::default();
        for exec_id in 0..10_000 {
            pieces.add(&piece(exec_id, 0, false, b"x\0"));
            if exec_id % 2 == 0 {
                pieces.take(exec_id, 2, 0);
            }
        }
        assert!(pieces.waiting.len() <= MAX_WAITING);
        assert!(pieces.order.len() <= 2 * MAX_WAITING + 1);
        assert!(pieces.dropped > 0);
        assert_eq!(pieces.take(9_999, 2, 0).0.elements, ["x"]);
        for exec_id in 0..200 {
            pieces.add(&piece(exec_id, 0, false, &[0; 32_768]));
        }
        assert!(pieces.bytes <= MAX_WAITING_BYTES);
    }

    #[test]
    fn values_are_kept_of_named_variables_only() {
        let filter = EnvironmentFilter::new(vec!["PATH".to_owned()]);
        let strings = Strings::split(b"PATH=/bin\0SECRET=x\0EMPTY\0", false);
        assert_eq!(
            strings.filtered(&filter).elements,
            ["PATH=/bin", "SECRET", "EMPTY"]
        );
    }
}
