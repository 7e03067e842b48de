//! Pure: the ports of a node that servers may be given, and which of them a new server gets.

use crate::{
    error::Invalid,
    ids::AllocationId,
    server::{PORTS_MAX, PortBinding, PortProtocol, check_text},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Longest alias of an allocation in bytes: the longest host name.
pub const ALIAS_BYTES_MAX: usize = 253;
/// Longest note on an allocation in bytes.
pub const NOTE_BYTES_MAX: usize = 256;

/// Ports from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PortRange {
    /// First port, 1 to 65535.
    pub first: u16,
    /// Last port, not below the first.
    pub last: u16,
}

impl PortRange {
    /// Checks the bounds.
    ///
    /// # Errors
    /// Names `first` or `last`.
    pub fn check(&self) -> Result<(), Invalid> {
        if self.first == 0 {
            return Err(Invalid::new("first", "must be 1 to 65535"));
        }
        if self.last < self.first {
            return Err(Invalid::new("last", "must not be below `first`"));
        }
        Ok(())
    }

    /// Whether a port lies in it.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

/// Returns the lowest port of a range on which nothing of `known` stands in the way of both
/// transports at an address, `None` when the range is full. `known` need hold only ports of the
/// range.
#[must_use]
pub fn lowest_unused(range: PortRange, ip: IpAddr, known: &[PortBinding]) -> Option<u16> {
    (range.first..=range.last).find(|port| {
        let wanted = PortBinding { ip, port: *port, protocol: PortProtocol::Both };
        !known.iter().any(|it| overlaps(it, &wanted))
    })
}

/// Checks an address that a node offers. One address has one spelling: what is an IPv4 address inside
/// of IPv6 would stand beside the same socket without being seen.
///
/// # Errors
/// Names `ip`.
pub fn check_address(ip: IpAddr) -> Result<(), Invalid> {
    let rule = match ip {
        IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => "must be written as an IPv4 address",
        IpAddr::V6(six) if six.is_unicast_link_local() => {
            "must not be link-local: it means nothing without an interface"
        }
        _ if ip.is_multicast() => "must not be a multicast address",
        _ => return Ok(()),
    };
    Err(Invalid::new("ip", rule))
}

/// Checks what people write about an allocation.
///
/// # Errors
/// Names `alias` or `note`.
pub fn check_words(alias: Option<&str>, note: Option<&str>) -> Result<(), Invalid> {
    if let Some(alias) = alias {
        let fits = |c: u8| c.is_ascii_alphanumeric() || b"-._:".contains(&c);
        if alias.is_empty() || alias.len() > ALIAS_BYTES_MAX || !alias.bytes().all(fits) {
            return Err(Invalid::new("alias", "must be a host name or address"));
        }
    }
    note.map_or(Ok(()), |note| check_text("note", note, 1, NOTE_BYTES_MAX))
}

/// One address and port of a node that a server may be given, as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its id.
    pub allocation: AllocationId,
    /// The socket; an unspecified address stands for all of its family. A server may publish less
    /// than the protocol allows.
    pub binding: PortBinding,
    /// Whether a server has it.
    pub is_taken: bool,
}

/// A port that a server gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The allocation that it comes from.
    pub allocation: AllocationId,
    /// What is published.
    pub binding: PortBinding,
}

/// Whether two sockets cannot both be published on one node.
#[must_use]
pub fn overlaps(a: &PortBinding, b: &PortBinding) -> bool {
    a.port == b.port && a.protocol.overlaps(b.protocol) && is_same_place(a.ip, b.ip)
}

/// Chooses the ports of a new server from `offers`: `wishes` in their order, the first ones standing
/// for the `needs` of its blueprint; needs without a wish get the lowest free port.
///
/// # Errors
/// Names the wish (`allocations.0`) that does not exist, is taken or does not fit, or `allocations`
/// when nothing free fits.
pub fn choose(
    offers: &[Offer],
    needs: &[PortProtocol],
    wishes: &[AllocationId],
) -> Result<Vec<Granted>, Invalid> {
    let count = needs.len().max(wishes.len());
    if count > PORTS_MAX {
        return Err(Invalid::new("allocations", format!("must be at most {PORTS_MAX}")));
    }
    let mut granted: Vec<Granted> = Vec::with_capacity(count);
    // Wishes come first, so that a free choice never takes what was asked for.
    for (index, wish) in wishes.iter().enumerate() {
        let need = needs.get(index).copied();
        let port = grant(offers, &granted, *wish, need)
            .map_err(|rule| Invalid::new(format!("allocations.{index}"), rule))?;
        granted.push(port);
    }
    for need in needs.iter().skip(wishes.len()) {
        let is_free = |offer: &&Offer| !offer.is_taken && !is_held(&granted, offer.allocation);
        let best = offers
            .iter()
            .filter(is_free)
            .filter(|offer| covers(offer.binding.protocol, *need))
            .min_by_key(|offer| (offer.binding.port, offer.binding.ip, offer.allocation));
        let port = best.map(|offer| publish(offer, Some(*need))).ok_or_else(|| {
            Invalid::new("allocations", format!("no free {} port is left on the node", name(*need)))
        })?;
        granted.push(port);
    }
    Ok(granted)
}

fn grant(
    offers: &[Offer],
    granted: &[Granted],
    wish: AllocationId,
    need: Option<PortProtocol>,
) -> Result<Granted, String> {
    let Some(offer) = offers.iter().find(|offer| offer.allocation == wish) else {
        return Err("is not an allocation of the node".to_owned());
    };
    let port = offer.binding.port;
    if is_held(granted, wish) {
        return Err("must not be given twice".to_owned());
    }
    if offer.is_taken {
        return Err(format!("port {port} is already taken by another server"));
    }
    match need {
        Some(need) if !covers(offer.binding.protocol, need) => {
            Err(format!("port {port} is not offered for {}, which the blueprint needs", name(need)))
        }
        _ => Ok(publish(offer, need)),
    }
}

fn publish(offer: &Offer, need: Option<PortProtocol>) -> Granted {
    let PortBinding { ip, port, protocol } = offer.binding;
    let binding = PortBinding { ip, port, protocol: need.unwrap_or(protocol) };
    Granted { allocation: offer.allocation, binding }
}

fn is_held(granted: &[Granted], allocation: AllocationId) -> bool {
    granted.iter().any(|held| held.allocation == allocation)
}

fn covers(offered: PortProtocol, need: PortProtocol) -> bool {
    offered == need || offered == PortProtocol::Both
}

fn name(protocol: PortProtocol) -> &'static str {
    match protocol {
        PortProtocol::Tcp => "TCP",
        PortProtocol::Udp => "UDP",
        PortProtocol::Both => "TCP and UDP",
    }
}

/// Whether sockets bound to both addresses would clash. The unspecified address of IPv6 takes IPv4
/// too where the kernel allows dual stack.
fn is_same_place(a: IpAddr, b: IpAddr) -> bool {
    let takes = |a: IpAddr, b: IpAddr| a.is_unspecified() && (a.is_ipv6() || b.is_ipv4());
    a == b || takes(a, b) || takes(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use PortProtocol::{Both, Tcp, Udp};

    const ANY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn id(number: u8) -> AllocationId {
        AllocationId::from_bytes([number; 16])
    }

    /// On offer: 1 is a taken UDP port, 2 and 3 are free UDP ports, 4 is for both, 5 for TCP.
    #[track_caller]
    fn check(
        needs: &[PortProtocol],
        wishes: &[u8],
        expected: Result<&[(u8, PortProtocol)], (&str, &str)>,
    ) {
        let offers: Vec<Offer> = [(1, Udp), (2, Udp), (3, Udp), (4, Both), (5, Tcp)]
            .into_iter()
            .map(|(number, protocol)| Offer {
                allocation: id(number),
                binding: PortBinding { ip: HOME, port: 100 + u16::from(number), protocol },
                is_taken: number == 1,
            })
            .collect();
        let wishes: Vec<AllocationId> = wishes.iter().copied().map(id).collect();
        match (choose(&offers, needs, &wishes), expected) {
            (Ok(found), Ok(expected)) => {
                let found = found.iter().map(|it| (it.allocation, it.binding.protocol));
                let expected = expected.iter().map(|(number, protocol)| (id(*number), *protocol));
                assert!(found.clone().eq(expected), "{:?}", found.collect::<Vec<_>>());
            }
            (Err(err), Err(expected)) => {
                assert_eq!((err.field.as_str(), err.rule.as_str()), expected);
            }
            (found, expected) => panic!("{found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn needs_get_the_lowest_free_ports_and_wishes_what_they_name() {
        check(&[Udp], &[], Ok(&[(2, Udp)]));
        check(&[Tcp, Udp], &[], Ok(&[(4, Tcp), (2, Udp)]));
        check(&[Udp, Udp], &[2], Ok(&[(2, Udp), (3, Udp)]));
        check(&[Udp, Udp], &[3], Ok(&[(3, Udp), (2, Udp)]));
        check(&[], &[4, 5], Ok(&[(4, Both), (5, Tcp)]));
    }

    #[test]
    fn a_refusal_names_the_field_and_the_rule() {
        let rule = "port 101 is already taken by another server";
        check(&[Udp], &[1], Err(("allocations.0", rule)));
        check(&[Udp, Udp], &[2, 9], Err(("allocations.1", "is not an allocation of the node")));
        check(&[Udp, Udp], &[2, 2], Err(("allocations.1", "must not be given twice")));
        let rule = "port 105 is not offered for UDP, which the blueprint needs";
        check(&[Udp], &[5], Err(("allocations.0", rule)));
        let rule = "no free TCP and UDP port is left on the node";
        check(&[Both, Both], &[], Err(("allocations", rule)));
    }

    #[test]
    fn sockets_overlap_when_both_could_not_be_bound() {
        let base = PortBinding { ip: HOME, port: 10, protocol: Udp };
        for (ip, port, protocol, expected) in [
            (HOME, 10, Udp, true),
            (HOME, 11, Udp, false),
            (HOME, 10, Tcp, false),
            (HOME, 10, Both, true),
            (ANY, 10, Udp, true),
            (IpAddr::from([127, 0, 0, 2]), 10, Udp, false),
        ] {
            let other = PortBinding { ip, port, protocol };
            assert_eq!(overlaps(&base, &other), expected, "{other:?}");
            assert_eq!(overlaps(&other, &base), expected, "{other:?}");
        }
    }

    #[test]
    fn a_new_port_is_the_lowest_that_nothing_stands_on() {
        let range = PortRange { first: 10, last: 12 };
        let at = |port, ip, protocol| PortBinding { ip, port, protocol };
        let known = [at(10, HOME, Udp), at(11, ANY, Tcp)];
        assert_eq!(lowest_unused(range, HOME, &known), Some(12));
        assert_eq!(lowest_unused(range, "10.0.0.1".parse().unwrap(), &known), Some(10));
        let full = [known.to_vec(), vec![at(12, HOME, Both)]].concat();
        assert_eq!(lowest_unused(range, HOME, &full), None);
    }

    #[test]
    fn sockets_of_version_6_overlap_by_address_and_not_by_spelling() {
        let at = |ip: &str| PortBinding { ip: ip.parse().unwrap(), port: 10, protocol: Udp };
        for (one, other, expected) in [
            ("::1", "0:0:0:0:0:0:0:1", true),
            ("2001:db8::1", "2001:DB8:0::0001", true),
            ("2001:db8::1", "2001:db8::2", false),
            ("::", "2001:db8::1", true),
            ("::", "192.0.2.1", true),
            ("::", "0.0.0.0", true),
            ("0.0.0.0", "::1", false),
            ("127.0.0.1", "::1", false),
        ] {
            assert_eq!(overlaps(&at(one), &at(other)), expected, "{one} and {other}");
            assert_eq!(overlaps(&at(other), &at(one)), expected, "{other} and {one}");
        }
    }

    #[test]
    fn an_address_has_one_spelling_and_can_be_published_on() {
        for (ip, is_good) in [
            ("::1", true),
            ("::", true),
            ("2001:db8::1", true),
            ("fd00::1", true),
            ("0.0.0.0", true),
            ("192.0.2.1", true),
            ("::ffff:192.0.2.1", false),
            ("::ffff:0.0.0.0", false),
            ("fe80::1", false),
            ("ff02::1", false),
            ("224.0.0.1", false),
        ] {
            let checked = check_address(ip.parse().unwrap());
            assert_eq!(checked.is_ok(), is_good, "{ip}: {checked:?}");
        }
    }

    #[test]
    fn words_about_an_allocation_have_rules() {
        assert_eq!(check_words(Some("play.example.org"), Some("query port")), Ok(()));
        assert_eq!(check_words(Some("a b"), None).unwrap_err().field, "alias");
        assert_eq!(check_words(None, Some("")).unwrap_err().field, "note");
    }
}
