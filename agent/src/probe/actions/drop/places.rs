//! The places of network filters: which rule's filter the kernel has in which one.
//!
//! The kernel asks from place 0 up. Filters that keep packets from being dropped therefore lie
//! below those that drop: the former fill the places from the lowest up, the latter from the
//! highest down. What a place holds stays when it is in force for nobody, until another filter
//! needs it; in force for whom is the business of the module above.

use crate::kernel::DROPS;
use crate::policy::action::NetworkFilter;

/// A rule's wish to filter packets. A rule that was changed is another rule.
#[derive(Clone, Copy)]
pub(in crate::probe::actions) struct Demand<'a> {
    /// Its id.
    pub(in crate::probe::actions) rule: &'a str,
    /// Its expression as written.
    pub(in crate::probe::actions) expression: &'a str,
    pub(in crate::probe::actions) action: &'a NetworkFilter,
}

/// A filter in its place.
struct Loaded {
    rule: String,
    expression: String,
    action: NetworkFilter,
}

impl Loaded {
    fn demand(&self) -> Demand<'_> {
        Demand {
            rule: &self.rule,
            expression: &self.expression,
            action: &self.action,
        }
    }

    fn is(&self, demand: Demand<'_>) -> bool {
        self.rule == demand.rule
            && self.expression == demand.expression
            && self.action == *demand.action
    }
}

/// The places; see the module.
#[derive(Default)]
pub(super) struct Places([Option<Loaded>; DROPS]);

/// The bit that stands for a place.
pub(super) fn bit(place: usize) -> u64 {
    u32::try_from(place).map_or(0, |place| 1_u64.checked_shl(place).unwrap_or(0))
}

impl Places {
    /// The place of a filter.
    pub(super) fn of(&self, demand: Demand<'_>) -> Option<usize> {
        let is_it = |held: &Option<Loaded>| held.as_ref().is_some_and(|held| held.is(demand));
        self.0.iter().position(is_it)
    }

    /// A place for one more filter; `used` has the bits of those that are in force for someone. The
    /// error is a sentence.
    pub(super) fn free(&mut self, drops: bool, used: u64) -> Result<usize, String> {
        if let Some(place) = self.empty(drops, used) {
            return Ok(place);
        }
        for (place, slot) in self.0.iter_mut().enumerate() {
            slot.take_if(|_| used & bit(place) == 0);
        }
        let place = self.empty(drops, used);
        place.ok_or_else(|| format!("{DROPS} network filters are in force already"))
    }

    /// The first empty place, on the right side of the filters of the other kind.
    fn empty(&self, drops: bool, used: u64) -> Option<usize> {
        let held = |place: &usize| self.0.get(*place).and_then(Option::as_ref);
        let last = DROPS.saturating_sub(1);
        (0..DROPS)
            .map(|step| {
                if drops {
                    last.saturating_sub(step)
                } else {
                    step
                }
            })
            .take_while(|place| held(place).is_none_or(|held| held.action.drops == drops))
            .find(|place| held(place).is_none() && used & bit(*place) == 0)
    }

    /// Notes which filter a place has now.
    pub(super) fn put(&mut self, place: usize, demand: Demand<'_>) {
        if let Some(slot) = self.0.get_mut(place) {
            *slot = Some(Loaded {
                rule: demand.rule.to_owned(),
                expression: demand.expression.to_owned(),
                action: demand.action.clone(),
            });
        }
    }

    /// Forgets the filters that are not wanted; returns the bits of their places.
    pub(super) fn keep(&mut self, is_wanted: &dyn Fn(Demand<'_>) -> bool) -> u64 {
        let mut gone = 0;
        for (place, slot) in self.0.iter_mut().enumerate() {
            if slot.take_if(|held| !is_wanted(held.demand())).is_some() {
                gone |= bit(place);
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(places: &mut Places, rule: &str, drops: bool, used: u64) -> Result<usize, String> {
        let action = NetworkFilter {
            drops,
            ..NetworkFilter::default()
        };
        let place = places.free(drops, used)?;
        let demand = Demand {
            rule,
            expression: "",
            action: &action,
        };
        places.put(place, demand);
        assert_eq!(places.of(demand), Some(place));
        Ok(place)
    }

    #[test]
    fn what_keeps_packets_is_asked_before_what_drops_them() {
        let mut places = Places::default();
        let mut used = 0;
        let order = [(true, 11), (false, 0), (true, 10), (false, 1)];
        for (number, (drops, expected)) in order.into_iter().enumerate() {
            let place = put(&mut places, &number.to_string(), drops, used);
            assert_eq!(place, Ok(expected));
            used |= bit(expected);
        }
    }

    #[test]
    fn places_in_force_for_nobody_are_given_again() {
        let mut places = Places::default();
        for number in 0..DROPS {
            let place = put(&mut places, &number.to_string(), true, 0);
            assert_eq!(place, Ok(DROPS - 1 - number));
        }
        let all = (1 << DROPS) - 1;
        assert!(put(&mut places, "more", true, all).is_err());
        assert_eq!(put(&mut places, "more", true, all & !(1 << 4)), Ok(4));
        assert!(put(&mut places, "late", false, all & !(1 << 4)).is_err());
        assert_eq!(put(&mut places, "first", false, all & !1), Ok(0));
    }
}
