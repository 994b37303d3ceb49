//! Why the agent leaves an interface, or a direction of it, alone.

use std::fmt;

use super::super::attach::Options;
use super::{Direction, Interface};

/// ARPHRD_ETHER of linux/if_arp.h.
const ETHERNET: u16 = 1;

/// Why no classifier of ours belongs on an interface. As text it is a sentence's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwatched {
    /// The configuration leaves it out.
    Excluded,
    /// Its packets have no Ethernet headers.
    NotEthernet,
    /// Only outgoing packets are seen.
    IngressOff,
}

impl Unwatched {
    /// `excluded`, `not_ethernet` or `ingress_off`.
    pub fn code(self) -> &'static str {
        match self {
            Unwatched::Excluded => "excluded",
            Unwatched::NotEthernet => "not_ethernet",
            Unwatched::IngressOff => "ingress_off",
        }
    }

    /// `None` where both directions are watched.
    pub(super) fn of(interface: &Interface, options: &Options) -> Option<Unwatched> {
        if options.choice.takes(interface) {
            return (!options.ingress).then_some(Unwatched::IngressOff);
        }
        let ethernet = Interface {
            name: interface.name.clone(),
            hardware: ETHERNET,
            ..Interface::default()
        };
        Some(match options.choice.takes(&ethernet) {
            true => Unwatched::NotEthernet,
            false => Unwatched::Excluded,
        })
    }

    /// Whether a direction is watched all the same.
    pub(super) fn allows(self, direction: Direction) -> bool {
        self == Unwatched::IngressOff && direction == Direction::Egress
    }
}

impl fmt::Display for Unwatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unwatched::Excluded => {
                "not watched, as network.interfaces.include or exclude leaves it out"
            }
            Unwatched::NotEthernet => "not watched, as its packets have no Ethernet headers",
            Unwatched::IngressOff => {
                "incoming packets not watched, as network.ingress.enabled is off"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::tc::attach::Choice;

    #[test]
    fn the_reason_is_the_one_that_counts() {
        use Unwatched::{Excluded, IngressOff, NotEthernet};
        let none = 65_534;
        for (name, hardware, ingress, expected) in [
            ("eth0", 1, true, None),
            ("lo", 772, true, None),
            ("eth0", 1, false, Some(IngressOff)),
            ("veth7", 1, true, Some(Excluded)),
            ("veth7", none, false, Some(Excluded)),
            ("tun0", none, true, Some(NotEthernet)),
            ("tun0", none, false, Some(NotEthernet)),
        ] {
            let interface = Interface {
                name: name.to_owned(),
                hardware,
                ..Interface::default()
            };
            let options = Options {
                choice: Choice::new(&[], &["veth*".to_owned()]),
                ingress,
                priority: 10,
                handle: 0,
            };
            let found = Unwatched::of(&interface, &options);
            assert_eq!(found, expected, "{name} {hardware} {ingress}");
        }
    }
}
