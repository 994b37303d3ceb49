//! Names of addresses, learned from the answers of name servers.
//!
//! Messages enter as they are seen, names leave by address. An address gets the name that an answer
//! gives it and those that stand for that one by aliases, so that it has the name that was asked
//! for. Nothing is asked of a name server. Who answers can lie: a name is a hint for rules, no
//! proof of who owns the address. The addresses and the names of each are bounded; those that were
//! used least recently go first.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::IpAddr;

use crate::packet::dns::Message;

/// The most names of one address.
const MAX_NAMES: usize = 8;
/// What part of the addresses goes at once when there are too many.
const PART: usize = 8;

/// The names of one address.
#[derive(Debug, Default)]
struct Entry {
    /// In lower case, newest first.
    names: Vec<String>,
    /// The turn at which it was learned or asked for last.
    used: Cell<u64>,
}

impl Entry {
    /// Puts a name in front of the others.
    fn add(&mut self, name: &str) {
        // Resolvers mix the case of what they ask for, against forged answers.
        let name = name.to_ascii_lowercase();
        if !name.is_empty() {
            self.names.retain(|known| *known != name);
            self.names.insert(0, name);
            self.names.truncate(MAX_NAMES);
        }
    }
}

/// The names of addresses.
#[derive(Debug)]
pub struct Hostnames {
    capacity: usize,
    alias_depth: usize,
    entries: HashMap<IpAddr, Entry>,
    turn: Cell<u64>,
}

impl Hostnames {
    /// Names of at most `capacity` addresses (`event_monitoring_config.dns_resolution.cache_size`),
    /// found through at most `alias_depth` aliases (`…cname_max_depth`).
    pub fn new(capacity: usize, alias_depth: usize) -> Hostnames {
        Hostnames {
            capacity,
            alias_depth,
            entries: HashMap::new(),
            turn: Cell::new(0),
        }
    }

    /// Learns from a message; only answers without an error have anything to say.
    pub fn note(&mut self, message: &Message) {
        if !message.is_response || message.code != 0 || self.capacity == 0 {
            return;
        }
        for (owner, address) in &message.addresses {
            let names = chain(owner, &message.aliases, self.alias_depth);
            let address = address.to_canonical();
            let turn = self.next_turn();
            if !self.entries.contains_key(&address) {
                self.make_room();
            }
            let entry = self.entries.entry(address).or_default();
            entry.used.set(turn);
            for name in names {
                entry.add(name);
            }
        }
    }

    /// Addresses that have names.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// The names of an address in lower case, newest first: the name that was asked for before
    /// those that it stands for. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) counts as IPv4.
    pub fn names_of(&self, address: IpAddr) -> &[String] {
        let Some(entry) = self.entries.get(&address.to_canonical()) else {
            return &[];
        };
        entry.used.set(self.next_turn());
        &entry.names
    }

    fn next_turn(&self) -> u64 {
        let turn = self.turn.get().wrapping_add(1);
        self.turn.set(turn);
        turn
    }

    /// Forgets the addresses that were used least recently when there is no room for one more.
    fn make_room(&mut self) {
        if self.entries.len() < self.capacity {
            return;
        }
        let mut turns: Vec<u64> = self.entries.values().map(|one| one.used.get()).collect();
        turns.sort_unstable();
        // Several at once, as looking at all of them for each address would cost too much.
        let last = (self.capacity / PART).saturating_sub(1);
        if let Some(oldest) = turns.get(last) {
            self.entries.retain(|_, one| one.used.get() > *oldest);
        }
    }
}

/// A name and those that stand for it, by at most `depth` aliases, the farthest last.
fn chain<'a>(owner: &'a str, aliases: &'a [(String, String)], depth: usize) -> Vec<&'a str> {
    let alias_of = |name: &&'a str| {
        let alias = aliases
            .iter()
            .find(|(_, target)| target.eq_ignore_ascii_case(name));
        alias.map(|(alias, _)| alias.as_str())
    };
    // A loop of aliases ends with the bound.
    let steps = depth.min(MAX_NAMES);
    std::iter::successors(Some(owner), alias_of)
        .take(steps.saturating_add(1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// An answer; `aliases` and `addresses` are written `a>b` and `a=10.0.0.1`, with blanks between.
    fn answer(aliases: &str, addresses: &str) -> Message {
        let pairs = |text: &str, sign: char| -> Vec<(String, String)> {
            let pairs = text.split_whitespace().map(|one| one.split_once(sign));
            let pairs = pairs.map(|pair| pair.unwrap());
            pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
        };
        let addresses = pairs(addresses, '=').into_iter();
        Message {
            is_response: true,
            aliases: pairs(aliases, '>'),
            addresses: addresses.map(|(name, one)| (name, ip(&one))).collect(),
            ..Message::default()
        }
    }

    #[test]
    fn an_address_gets_the_names_of_aliases_down_to_a_depth() {
        let aliases = "www.a>cdn.b cdn.b>edge.c edge.c>host.d";
        for (depth, expected) in [
            (0, "host.d"),
            (1, "edge.c host.d"),
            (2, "cdn.b edge.c host.d"),
            (9, "www.a cdn.b edge.c host.d"),
        ] {
            let mut names = Hostnames::new(8, depth);
            names.note(&answer(aliases, "host.d=192.0.2.1 other.e=192.0.2.2"));
            assert_eq!(names.names_of(ip("192.0.2.1")).join(" "), expected);
            assert_eq!(names.names_of(ip("192.0.2.2")), ["other.e"]);
        }
    }

    #[test]
    fn aliases_in_a_circle_end() {
        let mut names = Hostnames::new(8, usize::MAX);
        names.note(&answer("a>b b>a", "a=192.0.2.1"));
        assert_eq!(names.names_of(ip("192.0.2.1")), ["a", "b"]);
    }

    #[test]
    fn names_come_newest_first_without_doubles_and_no_more_than_eight() {
        let mut names = Hostnames::new(8, 2);
        for name in ["a.x", "b.x", "A.X", ""] {
            names.note(&answer("", &format!("{name}=192.0.2.1")));
        }
        assert_eq!(names.names_of(ip("192.0.2.1")), ["a.x", "b.x"]);
        for number in 0..20 {
            names.note(&answer("", &format!("n{number}=192.0.2.1")));
        }
        let found = names.names_of(ip("192.0.2.1"));
        assert_eq!(found.len(), MAX_NAMES);
        assert_eq!((found[0].as_str(), found[7].as_str()), ("n19", "n12"));
    }

    #[test]
    fn only_answers_without_an_error_are_believed() {
        let mut names = Hostnames::new(8, 2);
        let good = answer("", "a=192.0.2.1");
        let question = Message {
            is_response: false,
            ..good.clone()
        };
        let failed = Message {
            code: 3,
            ..good.clone()
        };
        names.note(&question);
        names.note(&failed);
        assert_eq!(names.names_of(ip("192.0.2.1")), [""; 0]);
        let mut none = Hostnames::new(0, 2);
        none.note(&good);
        assert_eq!(none.names_of(ip("192.0.2.1")), [""; 0]);
    }

    #[test]
    fn an_address_written_as_ipv6_is_the_same() {
        let mut names = Hostnames::new(8, 2);
        names.note(&answer("", "a=::ffff:192.0.2.1 b=2001:db8::1"));
        assert_eq!(names.names_of(ip("192.0.2.1")), ["a"]);
        assert_eq!(names.names_of(ip("::ffff:192.0.2.1")), ["a"]);
        assert_eq!(names.names_of(ip("2001:db8::1")), ["b"]);
    }

    #[test]
    fn what_was_used_least_recently_is_forgotten() {
        let mut names = Hostnames::new(2, 2);
        names.note(&answer("", "a=192.0.2.1 b=192.0.2.2"));
        assert_eq!(names.names_of(ip("192.0.2.1")), ["a"]);
        names.note(&answer("", "c=192.0.2.3"));
        assert_eq!(names.names_of(ip("192.0.2.1")), ["a"]);
        assert_eq!(names.names_of(ip("192.0.2.2")), [""; 0]);
        assert_eq!(names.names_of(ip("192.0.2.3")), ["c"]);
    }

    #[test]
    fn a_flood_of_addresses_stays_within_the_bound() {
        let mut names = Hostnames::new(100, 2);
        for number in 0..10_000_u32 {
            let address = std::net::Ipv4Addr::from(number);
            names.note(&answer("", &format!("n{number}={address}")));
            assert!(names.entries.len() <= 100);
        }
        assert!(names.entries.len() > 80, "{}", names.entries.len());
        assert_eq!(names.names_of(ip("0.0.39.15")), ["n9999"]);
    }
}
