//! The names of our filters: `security-agent/<run>/<direction>`.
//!
//! The run is a random number of 16 hexadecimal digits that one start of system-probe chose, so that
//! what an earlier one left behind can be told from what another one uses. Every other name belongs
//! to somebody else.

use super::Direction;

const PREFIX: &str = "security-agent/";
const RUN_DIGITS: usize = 16;

/// The name of a filter of this run.
pub fn of(run: u64, direction: Direction) -> String {
    format!("{PREFIX}{run:016x}/{}", direction.name())
}

/// The run that a filter belongs to; `None` when it is not ours.
pub fn run_of(name: &str) -> Option<u64> {
    let (run, direction) = name.strip_prefix(PREFIX)?.split_once('/')?;
    let is_direction = [Direction::Ingress, Direction::Egress]
        .iter()
        .any(|known| known.name() == direction);
    let is_run = run.len() == RUN_DIGITS && run.bytes().all(|digit| digit.is_ascii_hexdigit());
    (is_direction && is_run).then(|| u64::from_str_radix(run, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_run() {
        for run in [0, 7, u64::MAX] {
            for direction in [Direction::Ingress, Direction::Egress] {
                assert_eq!(run_of(&of(run, direction)), Some(run));
            }
        }
        for foreign in [
            "",
            "cil_from_netdev",
            "security-agent/",
            "security-agent/0000000000000007/sideways",
            "security-agent/7/ingress",
            "security-agent/+000000000000007/ingress",
            "security-agent/0000000000000007/ingress2",
        ] {
            assert_eq!(run_of(foreign), None, "{foreign}");
        }
    }
}
