//! `flare-worker`: the process that runs collectors, for system-probe or for who makes the archive.
//!
//! It reads one line of JSON from its standard input, an [`Order`], and writes the frames of
//! [`super::stream`] to its standard output. It dies with its parent, and is killed by who reads
//! when a collector takes longer than it may.

use std::io::{self, BufRead, BufWriter, Read, Write};

use serde::{Deserialize, Serialize};

use super::collect::{self, Sources};
use super::stream::Writer;
use crate::sys::process;

/// Bytes of an order.
const LONGEST_ORDER: u64 = 256 << 10;
/// Bytes that are written at once.
const PIECE: usize = 64 << 10;

/// What is to be collected.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    /// Names of collectors; unknown ones are left out.
    pub(super) collectors: Vec<String>,
    #[serde(default)]
    pub(super) sources: Sources,
}

/// Runs the collectors that standard input names.
pub fn run() -> io::Result<()> {
    process::die_with_parent();
    let mut line = String::new();
    let input = io::stdin().lock();
    input.take(LONGEST_ORDER).read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line)?;
    let mut out = BufWriter::with_capacity(PIECE, io::stdout().lock());
    collect_all(&order, &mut out)
}

fn collect_all(order: &Order, out: &mut dyn Write) -> io::Result<()> {
    for collector in order
        .collectors
        .iter()
        .filter_map(|name| collect::find(name))
    {
        let mut writer = Writer::new(out);
        writer.begin(collector.name)?;
        (collector.run)(&order.sources, &mut writer)?;
        writer.end()?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flare::collect::COLLECTORS;
    use crate::flare::stream::Frame;

    #[test]
    fn every_collector_begins_and_ends() {
        let names = COLLECTORS.iter().map(|collector| collector.name);
        // The tables of the kernel are long, and collected end to end elsewhere.
        let short = names.filter(|name| !["kallsyms", "tracefs", "tc"].contains(name));
        let order = Order {
            collectors: short.chain(["unknown"]).map(str::to_owned).collect(),
            sources: Sources::default(),
        };
        let mut bytes = Vec::new();
        collect_all(&order, &mut bytes).unwrap();
        let mut rest = bytes.as_slice();
        let frames: Vec<_> = std::iter::from_fn(|| Frame::read(&mut rest).unwrap()).collect();
        let count = |wanted: fn(&Frame) -> bool| frames.iter().filter(|f| wanted(f)).count();
        assert_eq!(
            count(|f| matches!(f, Frame::Begin(_))),
            order.collectors.len() - 1
        );
        assert_eq!(
            count(|f| matches!(f, Frame::End)),
            order.collectors.len() - 1
        );
        let has = |path: &str| frames.contains(&Frame::File(path.to_owned()));
        assert!(has("kernel.txt") && has("cgroup.txt") && has("mountinfo"));
    }
}
