//! What to do about the classifiers of an interface: the rule, without any knowledge of the host.

use std::fmt;

use super::{Classifier, EndsChain, Position};

/// How network detections are switched off, everywhere that they can be.
pub(super) const SWITCH_OFF: &str = "`runtime_security_config.network.enabled: false` in \
    system-probe.yaml, `datadog.securityAgent.runtime.network.enabled: false` in the values of the \
    Helm chart, or DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED=false in the environment";

/// Behind an advice about a provider of which only the priority is known.
const UNLESS_PASSED_ON: &str = " (if it returns TC_ACT_UNSPEC, nothing to do about it)";

/// What to do. As text it is a sentence without its full stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Packets come to ours, or ours are not wanted.
    Nothing,
    /// Ours have to come before a priority that another provider holds.
    LowerPriority {
        /// That of the provider.
        below: u16,
        /// Whether it is known to end the chain.
        is_sure: bool,
    },
    /// Another provider holds priority 1, which nothing comes before.
    Impossible {
        /// It does not even stand among classifiers, but in TCX.
        is_early: bool,
        /// Whether it is known to end the chain.
        is_sure: bool,
    },
    /// Somebody's `ingress` qdisc leaves no place for ours.
    NoRoom,
}

/// The lowest priority in the way of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InTheWay {
    priority: u16,
    /// Nobody at it is known to end the chain.
    is_unsure: bool,
}

/// What is in the way among the classifiers of a direction, when ours have this priority. Equal ones
/// are in the way, too: their order depends on who came last.
pub(super) fn in_the_way(classifiers: &[Classifier], priority: u16) -> Option<InTheWay> {
    let in_the_way = classifiers.iter().filter(|one| {
        let is_foreign = one.position != Position::Ours;
        let passes = matches!(one.ends_chain, EndsChain::No | EndsChain::Passes);
        is_foreign && !passes && one.priority <= priority
    });
    let described = in_the_way.map(|one| InTheWay {
        priority: one.priority,
        is_unsure: one.ends_chain == EndsChain::Unknown,
    });
    described.min()
}

impl Advice {
    /// `nothing`, `lower_priority`, `impossible` or `no_room`.
    pub fn code(self) -> &'static str {
        match self {
            Advice::Nothing => "nothing",
            Advice::LowerPriority { .. } => "lower_priority",
            Advice::Impossible { .. } => "impossible",
            Advice::NoRoom => "no_room",
        }
    }

    pub(super) fn about(in_the_way: Option<InTheWay>) -> Advice {
        let Some(InTheWay {
            priority,
            is_unsure,
        }) = in_the_way
        else {
            return Advice::Nothing;
        };
        let is_sure = !is_unsure;
        match priority {
            0 | 1 => Advice::Impossible {
                is_early: priority == 0,
                is_sure,
            },
            below => Advice::LowerPriority { below, is_sure },
        }
    }

    fn is_sure(self) -> bool {
        match self {
            Advice::LowerPriority { is_sure, .. } | Advice::Impossible { is_sure, .. } => is_sure,
            Advice::Nothing | Advice::NoRoom => true,
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Advice::Nothing => f.write_str("nothing to do"),
            Advice::LowerPriority { below, .. } => write!(
                f,
                "set runtime_security_config.network.classifier_priority below {below}"
            ),
            Advice::Impossible { is_early: true, .. } => write!(
                f,
                "provider uses tcx, which comes before every classifier: network detections cannot \
                 work on these interfaces; let it use traffic control instead, or disable with \
                 {SWITCH_OFF}"
            ),
            Advice::Impossible { .. } => write!(
                f,
                "provider holds priority 1: network detections cannot work on these interfaces; \
                 disable with {SWITCH_OFF}"
            ),
            Advice::NoRoom => f.write_str(
                "an ingress qdisc leaves no room for classifiers of ours, so packets are not seen \
                 here: who added it may use clsact instead",
            ),
        }?;
        match self.is_sure() {
            true => Ok(()),
            false => f.write_str(UNLESS_PASSED_ON),
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
            is_old_cilium: false,
            position,
            ends_chain,
        }
    }

    /// Our priority, and priorities and ends of foreign classifiers.
    type Case = (u16, &'static [(u16, EndsChain)], Advice);

    #[test]
    fn the_guide_is_followed() {
        use EndsChain::{Counted, Known, No, Passes, Unknown};
        let nothing = Advice::Nothing;
        let impossible = |is_sure| Advice::Impossible {
            is_early: false,
            is_sure,
        };
        let early = |is_sure| Advice::Impossible {
            is_early: true,
            is_sure,
        };
        let lower = |below, is_sure| Advice::LowerPriority { below, is_sure };
        let cases: [Case; 24] = [
            (10, &[], nothing),
            (10, &[(0, Unknown), (5, Known)], early(false)),
            (1, &[(0, Known)], early(true)),
            (10, &[(0, Passes)], nothing),
            (10, &[(1, Unknown)], impossible(false)),
            (10, &[(1, Known)], impossible(true)),
            (10, &[(1, Counted)], impossible(true)),
            (10, &[(1, No)], nothing),
            (10, &[(1, Passes)], nothing),
            (10, &[(2, Unknown)], lower(2, false)),
            (10, &[(9, Counted)], lower(9, true)),
            (10, &[(10, Unknown)], lower(10, false)),
            (10, &[(5, No)], nothing),
            (10, &[(11, Unknown)], nothing),
            (10, &[(49_152, Known)], nothing),
            (
                10,
                &[(7, Known), (3, Unknown), (50, Known)],
                lower(3, false),
            ),
            (10, &[(3, Unknown), (3, Known)], lower(3, true)),
            (10, &[(1, No), (5, Known)], lower(5, true)),
            (10, &[(1, Passes), (5, Unknown)], lower(5, false)),
            (10, &[(5, Known), (1, Known)], impossible(true)),
            (10, &[(5, Known), (1, Unknown)], impossible(false)),
            (50, &[(11, Unknown)], lower(11, false)),
            (4, &[(5, Known)], nothing),
            (1, &[(1, Unknown)], impossible(false)),
        ];
        for (priority, foreign, expected) in cases {
            let foreign = foreign.iter();
            let mut classifiers: Vec<Classifier> = foreign
                .map(|(priority, ends)| classifier(*priority, *ends, Position::Before))
                .collect();
            classifiers.push(classifier(priority, No, Position::Ours));
            let advice = Advice::about(in_the_way(&classifiers, priority));
            assert_eq!(advice, expected, "{priority} {classifiers:?}");
        }
    }

    #[test]
    fn advice_names_what_to_set() {
        let below = |is_sure| Advice::LowerPriority { below: 5, is_sure };
        let impossible = Advice::Impossible {
            is_early: false,
            is_sure: true,
        };
        let cases = [
            (Advice::Nothing, "nothing to do"),
            (
                below(true),
                "set runtime_security_config.network.classifier_priority below 5",
            ),
            (
                impossible,
                "`runtime_security_config.network.enabled: false` in system-probe.yaml",
            ),
            (
                impossible,
                "`datadog.securityAgent.runtime.network.enabled: false`",
            ),
            (
                impossible,
                "DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED=false",
            ),
            (Advice::NoRoom, "who added it may use clsact instead"),
        ];
        for (advice, words) in cases {
            assert!(advice.to_string().contains(words), "{advice}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_claimed() {
        let below = |is_sure| Advice::LowerPriority { below: 5, is_sure };
        let impossible = |is_sure| Advice::Impossible {
            is_early: true,
            is_sure,
        };
        let cases = [
            (below(true), below(false)),
            (impossible(true), impossible(false)),
        ];
        for (sure, unsure) in cases {
            let (sure, unsure) = (sure.to_string(), unsure.to_string());
            assert_eq!(unsure.strip_prefix(&sure), Some(UNLESS_PASSED_ON));
        }
    }
}
