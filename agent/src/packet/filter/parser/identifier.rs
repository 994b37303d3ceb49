//! What follows qualifiers: addresses, networks, ports and protocols.

use super::super::ast::Condition;
use super::super::lexer::{Token, TokenKind};
use super::super::names::{self, Protocol};
use super::super::primitives::{self, Kind, Qualifiers};
use super::super::Error;
use super::{join, Parser};

/// Below this, the field of the type of Ethernet is a length (IEEE 802.3).
const MIN_ETHER_TYPE: u32 = 0x600;

/// Whether a word, which may have a backslash, is an identifier after these qualifiers.
pub(super) fn knows(qualifiers: &Qualifiers, word: &str) -> bool {
    named(qualifiers, word).is_some()
}

/// The number that a word stands for after these qualifiers.
fn named(qualifiers: &Qualifiers, word: &str) -> Option<u32> {
    let word = word.strip_prefix('\\').unwrap_or(word);
    match (qualifiers.kind, qualifiers.protocol) {
        (Kind::Port | Kind::PortRange, _) => names::service(word),
        (Kind::Protocol, Some(Protocol::Ether)) => names::ether_type(word),
        (Kind::Protocol, _) => names::ip_protocol(word),
        (Kind::Host | Kind::Net, _) => None,
    }
}

/// Refuses qualifiers that do not go together; `start` is the word of the kind.
pub(super) fn check(qualifiers: &Qualifiers, start: Token<'_>) -> Result<(), Error> {
    use Protocol::{Arp, Ether, Ip, Ip6, Sctp, Tcp, Udp};
    let Some(protocol) = qualifiers.protocol else {
        return Ok(());
    };
    let (fits, wanted): (&[Protocol], &str) = match qualifiers.kind {
        Kind::Host => (&[Ether, Ip, Ip6, Arp], "ether, ip, ip6 or arp"),
        Kind::Net => (&[Ip, Ip6, Arp], "ip, ip6 or arp"),
        Kind::Port | Kind::PortRange => (&[Tcp, Udp, Sctp], "tcp, udp or sctp"),
        Kind::Protocol => (&[Ether, Ip, Ip6], "ether, ip or ip6"),
    };
    if fits.contains(&protocol) {
        return Ok(());
    }
    let (word, keyword) = (start.text, names::keyword(protocol));
    let message = format!("\"{word}\" does not go with {keyword}, but with {wanted} or none");
    Err(Error::new(start.at, message))
}

impl<'a> Parser<'a> {
    /// One identifier, `not` before one, or several in parentheses.
    pub(super) fn identifier(&mut self, qualifiers: &Qualifiers) -> Result<Condition, Error> {
        if self.take_if("not") || self.take_if("!") {
            let inner = self.nested(|parser| parser.identifier(qualifiers))?;
            return Ok(Condition::Not(Box::new(inner)));
        }
        if !self.take_if("(") {
            self.count()?;
            return self.single(qualifiers);
        }
        let inner = self.nested(|parser| parser.identifiers(qualifiers))?;
        self.expect(")")?;
        Ok(inner)
    }

    fn identifiers(&mut self, qualifiers: &Qualifiers) -> Result<Condition, Error> {
        let mut condition = self.identifier(qualifiers)?;
        while let Some(is_and) = self.logic() {
            let right = self.identifier(qualifiers)?;
            condition = join(condition, is_and, right);
        }
        Ok(condition)
    }

    fn single(&mut self, qualifiers: &Qualifiers) -> Result<Condition, Error> {
        match qualifiers.kind {
            Kind::Host | Kind::Net => self.address(qualifiers),
            Kind::PortRange => self.range(qualifiers),
            Kind::Port | Kind::Protocol => {
                let token = self.take();
                self.number(qualifiers, token)
            }
        }
    }

    /// A port, range of one port or protocol, from a token that was taken.
    pub(super) fn number(
        &self,
        qualifiers: &Qualifiers,
        token: Token<'a>,
    ) -> Result<Condition, Error> {
        match qualifiers.kind {
            Kind::Port | Kind::PortRange => {
                let port = port(qualifiers, token)?;
                Ok(primitives::ports(qualifiers, port, port))
            }
            Kind::Protocol => {
                let number = protocol(qualifiers, token)?;
                Ok(primitives::numbered(qualifiers.protocol, number))
            }
            Kind::Net => self.short_net(qualifiers, token),
            Kind::Host => Err(no_address(token)),
        }
    }

    fn range(&mut self, qualifiers: &Qualifiers) -> Result<Condition, Error> {
        let first = self.take();
        let first = port(qualifiers, first)?;
        let mut last = first;
        if self.take_if("-") {
            let token = self.take();
            last = port(qualifiers, token)?;
        }
        Ok(primitives::ports(
            qualifiers,
            first.min(last),
            first.max(last),
        ))
    }

    fn address(&mut self, qualifiers: &Qualifiers) -> Result<Condition, Error> {
        let token = self.take();
        let is_ether = qualifiers.protocol == Some(Protocol::Ether);
        match token.kind {
            TokenKind::Ethernet(address) if is_ether => {
                Ok(primitives::ethernet_address(qualifiers.direction, address))
            }
            TokenKind::Ethernet(_) => Err(Error::new(
                token.at,
                "an address of Ethernet goes with `ether host`, `ether src` or `ether dst`",
            )),
            _ if is_ether => Err(Error::new(
                token.at,
                "`ether` goes with an address such as 02:00:5e:10:00:01",
            )),
            TokenKind::Ip { address, bits } => self.ip_net(qualifiers, token, address, bits),
            TokenKind::Number(number) if qualifiers.kind == Kind::Net => {
                let (address, bits) = promoted(number);
                self.ip_net(qualifiers, token, address, bits)
            }
            TokenKind::Ip6(address) => self.ip6_net(qualifiers, token, address),
            _ => Err(no_address(token)),
        }
    }

    /// A network of one number whose token was taken: `net 10`.
    fn short_net(&self, qualifiers: &Qualifiers, token: Token<'a>) -> Result<Condition, Error> {
        let TokenKind::Number(number) = token.kind else {
            return Err(no_address(token));
        };
        fits_ip(qualifiers, token)?;
        let (address, bits) = promoted(number);
        Ok(primitives::ip_address(qualifiers, address, mask(bits)))
    }

    fn ip_net(
        &mut self,
        qualifiers: &Qualifiers,
        token: Token<'a>,
        address: u32,
        bits: u32,
    ) -> Result<Condition, Error> {
        fits_ip(qualifiers, token)?;
        let mask = match self.prefix(qualifiers, 32)? {
            Some(prefix) => mask(prefix),
            None => self.written_mask(qualifiers)?.unwrap_or(mask(bits)),
        };
        if address & !mask != 0 {
            return Err(bits_behind(token));
        }
        Ok(primitives::ip_address(qualifiers, address, mask))
    }

    fn ip6_net(
        &mut self,
        qualifiers: &Qualifiers,
        token: Token<'a>,
        address: u128,
    ) -> Result<Condition, Error> {
        if !matches!(qualifiers.protocol, None | Some(Protocol::Ip6)) {
            return Err(wrong_family(qualifiers, token));
        }
        let prefix = self.prefix(qualifiers, 128)?.unwrap_or(128);
        let mask = u128::MAX
            .checked_shl(128_u32.saturating_sub(prefix))
            .unwrap_or(0);
        if address & !mask != 0 {
            return Err(bits_behind(token));
        }
        Ok(primitives::ip6_address(qualifiers.direction, address, mask))
    }

    /// The length of a prefix behind `/`.
    fn prefix(&mut self, qualifiers: &Qualifiers, most: u32) -> Result<Option<u32>, Error> {
        if !self.at("/") {
            return Ok(None);
        }
        self.for_net(qualifiers)?;
        match self.current().kind {
            TokenKind::Number(bits) if bits <= most => {
                self.take();
                Ok(Some(bits))
            }
            _ => Err(self.unexpected(&format!("a prefix of 0 to {most} bits"))),
        }
    }

    /// The mask behind `mask`.
    fn written_mask(&mut self, qualifiers: &Qualifiers) -> Result<Option<u32>, Error> {
        if !self.at("mask") {
            return Ok(None);
        }
        self.for_net(qualifiers)?;
        match self.current().kind {
            TokenKind::Ip { address, .. } => {
                self.take();
                Ok(Some(address))
            }
            _ => Err(self.unexpected("a mask such as 255.255.0.0")),
        }
    }

    /// Takes the sign of a prefix or a mask, which hosts do not have.
    fn for_net(&mut self, qualifiers: &Qualifiers) -> Result<(), Error> {
        let token = self.take();
        if qualifiers.kind == Kind::Net {
            return Ok(());
        }
        let message = "a prefix or a mask goes with `net`, as in `net 10.0.0.0/8`";
        Err(Error::new(token.at, message))
    }
}

fn port(qualifiers: &Qualifiers, token: Token<'_>) -> Result<u32, Error> {
    let known = match token.kind {
        TokenKind::Number(port) if port <= 0xffff => return Ok(port),
        TokenKind::Word(word) => named(qualifiers, word),
        _ => None,
    };
    known.ok_or_else(|| {
        let wanted = "a port is 0 to 65535, or ssh, domain, http, ntp or https";
        Error::new(token.at, format!("{} is no port; {wanted}", shown(token)))
    })
}

fn protocol(qualifiers: &Qualifiers, token: Token<'_>) -> Result<u32, Error> {
    let is_ether = qualifiers.protocol == Some(Protocol::Ether);
    let (least, most) = match is_ether {
        true => (MIN_ETHER_TYPE, 0xffff),
        false => (0, 0xff),
    };
    let known = match token.kind {
        TokenKind::Number(number) if (least..=most).contains(&number) => return Ok(number),
        TokenKind::Word(word) => named(qualifiers, word),
        _ => None,
    };
    known.ok_or_else(|| {
        let names = match is_ether {
            true => "ip, ip6, arp or rarp",
            false => "tcp, udp, sctp, icmp, icmp6, igmp, gre, esp or ah",
        };
        let shown = shown(token);
        let message =
            format!("{shown} is no protocol here; a number from {least} to {most}, or {names}, is");
        Error::new(token.at, message)
    })
}

fn shown(token: Token<'_>) -> String {
    match token.kind {
        TokenKind::End => "the end".to_owned(),
        _ => format!("\"{}\"", token.text),
    }
}

fn no_address(token: Token<'_>) -> Error {
    let advice = match token.kind {
        TokenKind::Number(_) => "write `port` before it, or all of the address",
        _ => "names of hosts are not looked up; write the address",
    };
    Error::new(
        token.at,
        format!("{} is no address; {advice}", shown(token)),
    )
}

fn bits_behind(token: Token<'_>) -> Error {
    let message = format!("\"{}\" has bits behind its prefix or mask", token.text);
    Error::new(token.at, message)
}

fn fits_ip(qualifiers: &Qualifiers, token: Token<'_>) -> Result<(), Error> {
    match qualifiers.protocol {
        None | Some(Protocol::Ip | Protocol::Arp) => Ok(()),
        _ => Err(wrong_family(qualifiers, token)),
    }
}

fn wrong_family(qualifiers: &Qualifiers, token: Token<'_>) -> Error {
    let keyword = qualifiers.protocol.map_or("", names::keyword);
    let message = format!("\"{}\" is no address that {keyword} has", token.text);
    Error::new(token.at, message)
}

/// A network of one number: the number is its first byte, or its first two, as `net 10` has it.
fn promoted(number: u32) -> (u32, u32) {
    if number == 0 {
        return (0, 32);
    }
    let missing = number.leading_zeros() / 8 * 8;
    (
        number.checked_shl(missing).unwrap_or(0),
        32_u32.saturating_sub(missing),
    )
}

fn mask(bits: u32) -> u32 {
    u32::MAX
        .checked_shl(32_u32.saturating_sub(bits))
        .unwrap_or(0)
}
