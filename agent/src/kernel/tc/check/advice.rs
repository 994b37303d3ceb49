//! What to do about the classifiers of an interface: the rule, without any knowledge of the host.

use std::fmt;

use super::{Classifier, EndsChain, Position};

/// How network detections are switched off, everywhere that they can be.
pub(super) const SWITCH_OFF: &str = "`runtime_security_config.network.enabled: false` in \
    system-probe.yaml, `datadog.securityAgent.runtime.network.enabled: false` in the values of the \
    Helm chart, or DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED=false in the environment";

/// What to do. As text it is a sentence without its full stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Packets come to ours.
    Nothing,
    /// Ours have to come before this priority, which another provider holds.
    LowerPriority(u16),
    /// Another provider holds priority 1, which nothing comes before.
    Impossible,
}

impl Advice {
    /// `nothing`, `lower_priority` or `impossible`.
    pub fn code(self) -> &'static str {
        match self {
            Advice::Nothing => "nothing",
            Advice::LowerPriority(_) => "lower_priority",
            Advice::Impossible => "impossible",
        }
    }

    /// The advice on an interface with these classifiers, when ours have this priority. Equal ones
    /// are in the way, too: their order depends on who came last.
    pub(super) fn of(classifiers: &[Classifier], priority: u16) -> Advice {
        let in_the_way = classifiers.iter().filter(|one| {
            let is_foreign = one.position != Position::Ours;
            is_foreign && one.ends_chain != EndsChain::No && one.priority <= priority
        });
        match in_the_way.map(|one| one.priority).min() {
            None => Advice::Nothing,
            Some(lowest) if lowest <= 1 => Advice::Impossible,
            Some(lowest) => Advice::LowerPriority(lowest),
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Advice::Nothing => f.write_str("nothing to do"),
            Advice::LowerPriority(lowest) => write!(
                f,
                "set runtime_security_config.network.classifier_priority below {lowest}"
            ),
            Advice::Impossible => write!(
                f,
                "provider holds priority 1: network detections cannot work on these interfaces; \
                 disable with {SWITCH_OFF}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::tc::Direction;

    fn classifier(priority: u16, ends_chain: EndsChain, position: Position) -> Classifier {
        Classifier {
            direction: Direction::Egress,
            priority,
            handle: 1,
            name: String::new(),
            program_id: 0,
            is_direct: true,
            vendor: "",
            position,
            ends_chain,
        }
    }

    /// Our priority, and priorities and ends of foreign classifiers.
    type Case = (u16, &'static [(u16, EndsChain)], Advice);

    #[test]
    fn the_guide_is_followed() {
        use Advice::{Impossible, LowerPriority, Nothing};
        use EndsChain::{Counted, Known, No, Unknown};
        let cases: [Case; 16] = [
            (10, &[], Nothing),
            (10, &[(1, Unknown)], Impossible),
            (10, &[(1, Known)], Impossible),
            (10, &[(1, No)], Nothing),
            (10, &[(2, Unknown)], LowerPriority(2)),
            (10, &[(9, Counted)], LowerPriority(9)),
            (10, &[(10, Unknown)], LowerPriority(10)),
            (10, &[(5, No)], Nothing),
            (10, &[(11, Unknown)], Nothing),
            (10, &[(49_152, Known)], Nothing),
            (
                10,
                &[(7, Known), (3, Unknown), (50, Known)],
                LowerPriority(3),
            ),
            (10, &[(1, No), (5, Known)], LowerPriority(5)),
            (10, &[(5, Known), (1, Known)], Impossible),
            (50, &[(11, Unknown)], LowerPriority(11)),
            (4, &[(5, Known)], Nothing),
            (1, &[(1, Unknown)], Impossible),
        ];
        for (priority, foreign, expected) in cases {
            let foreign = foreign.iter();
            let mut classifiers: Vec<Classifier> = foreign
                .map(|(priority, ends)| classifier(*priority, *ends, Position::Before))
                .collect();
            classifiers.push(classifier(priority, No, Position::Ours));
            let advice = Advice::of(&classifiers, priority);
            assert_eq!(advice, expected, "{priority} {classifiers:?}");
        }
    }

    #[test]
    fn advice_names_what_to_set() {
        let cases = [
            (Advice::Nothing, "nothing to do"),
            (
                Advice::LowerPriority(5),
                "set runtime_security_config.network.classifier_priority below 5",
            ),
            (
                Advice::Impossible,
                "`runtime_security_config.network.enabled: false` in system-probe.yaml",
            ),
            (
                Advice::Impossible,
                "`datadog.securityAgent.runtime.network.enabled: false`",
            ),
            (
                Advice::Impossible,
                "DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED=false",
            ),
        ];
        for (advice, words) in cases {
            assert!(advice.to_string().contains(words), "{advice}");
        }
    }
}
