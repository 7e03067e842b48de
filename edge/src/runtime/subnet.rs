//! Pure: small IPv4 networks out of a pool of our own, one per tenant.
//!
//! The engine's own pools end at about 31 networks. The default pool, 10.213.0.0/16 cut into /26,
//! has room for 1,024 tenants with 61 servers each on one node.

use serde::{Deserialize, Serialize};
use std::{fmt, net::Ipv4Addr, str::FromStr};

/// Addresses with a common beginning, written as `10.213.0.0/26`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subnet {
    /// First address.
    pub address: Ipv4Addr,
    /// Length of the prefix in bits, at most 32.
    pub prefix: u8,
}

/// Text that is no subnet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an IPv4 subnet such as 10.213.0.0/26 with no bit set behind its prefix")]
pub struct SubnetError(String);

/// The pool has no room left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no /{prefix} is free in the pool {pool}: every one overlaps a network or route of this machine"
)]
pub struct PoolExhausted {
    pool: Subnet,
    prefix: u8,
}

impl Subnet {
    /// Number of the first address.
    fn first(self) -> u64 {
        u64::from(u32::from(self.address))
    }

    /// Number after the last address.
    fn end(self) -> u64 {
        self.first() + self.size()
    }

    fn size(self) -> u64 {
        1 << (32 - u32::from(self.prefix.min(32)))
    }

    /// Whether the two have an address in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.first() < other.end() && other.first() < self.end()
    }

    /// Returns the first address that a host can have.
    #[must_use]
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.address).saturating_add(1))
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            let it = Self { address: address.parse().ok()?, prefix: prefix.parse().ok()? };
            (it.prefix <= 32 && it.first().is_multiple_of(it.size())).then_some(it)
        };
        parse().ok_or_else(|| SubnetError(text.chars().take(64).collect()))
    }
}

/// Where the networks of tenants are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubnetPool {
    pool: Subnet,
    prefix: u8,
}

impl Default for SubnetPool {
    fn default() -> Self {
        Self { pool: Subnet { address: Ipv4Addr::new(10, 213, 0, 0), prefix: 16 }, prefix: 26 }
    }
}

impl SubnetPool {
    /// Makes a pool that is cut into networks with this prefix. `None` unless they fit into the
    /// pool and have room for a server: `pool.prefix <= prefix <= 29`.
    #[must_use]
    pub fn new(pool: Subnet, prefix: u8) -> Option<Self> {
        (pool.prefix <= prefix && prefix <= 29).then_some(Self { pool, prefix })
    }

    /// Returns the lowest network of the pool that overlaps none of the taken ones: those assigned
    /// to tenants, those of the engine and the routes of the machine.
    ///
    /// # Errors
    /// When every one does.
    pub fn assign(&self, taken: &[Subnet]) -> Result<Subnet, PoolExhausted> {
        let count = 1_u32 << (self.prefix - self.pool.prefix);
        let size = 1_u32 << (32 - self.prefix);
        let start = u32::from(self.pool.address);
        (0..count)
            .map(|index| Subnet {
                address: Ipv4Addr::from(start + index * size),
                prefix: self.prefix,
            })
            .find(|subnet| !taken.iter().any(|other| other.overlaps(*subnet)))
            .ok_or(PoolExhausted { pool: self.pool, prefix: self.prefix })
    }
}

/// Reads the routes of the machine from the text of `/proc/net/route`; the default route, which
/// overlaps everything, is left out, and so is a line that is not understood.
#[must_use]
pub fn routes(proc_net_route: &str) -> Vec<Subnet> {
    let parse = |line: &str| {
        let mut fields = line.split_whitespace();
        let address = u32::from_str_radix(fields.nth(1)?, 16).ok().map(u32::from_be)?;
        let mask = u32::from_str_radix(fields.nth(5)?, 16).ok().map(u32::from_be)?;
        let prefix = u8::try_from(mask.leading_ones()).ok()?;
        (prefix > 0).then_some(Subnet { address: Ipv4Addr::from(address & mask), prefix })
    };
    proc_net_route.lines().skip(1).filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn text_of_a_subnet_is_exact() {
        for text in ["10.213.0.0/16", "10.213.0.64/26", "0.0.0.0/0", "1.2.3.4/32"] {
            assert_eq!(subnet(text).to_string(), text);
        }
        for text in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.1/24", "10.0.0.0/-1", "::/64"] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_pool_gives_each_network_once_and_then_says_that_it_is_used_up() {
        let pool = SubnetPool::default();
        let mut taken = vec![];
        while let Ok(next) = pool.assign(&taken) {
            assert!(!taken.iter().any(|other| next.overlaps(*other)), "{next}");
            taken.push(next);
        }
        assert_eq!(taken.len(), 1_024);
        assert_eq!(
            (taken[0], taken[1_023]),
            (subnet("10.213.0.0/26"), subnet("10.213.255.192/26"))
        );
        let error = pool.assign(&taken).unwrap_err().to_string();
        assert!(error.starts_with("no /26 is free in the pool 10.213.0.0/16"), "{error}");
        taken.remove(7);
        assert_eq!(pool.assign(&taken), Ok(subnet("10.213.1.192/26")));
    }

    #[test]
    fn networks_of_others_are_avoided() {
        let check = |taken: &[&str], expected: &str| {
            let taken: Vec<_> = taken.iter().map(|text| subnet(text)).collect();
            assert_eq!(SubnetPool::default().assign(&taken), Ok(subnet(expected)), "{taken:?}");
        };
        check(&["172.17.0.0/16", "10.0.0.0/16"], "10.213.0.0/26");
        check(&["10.213.0.0/24"], "10.213.1.0/26");
        check(&["10.213.0.5/32"], "10.213.0.64/26");
        check(&["10.213.0.128/25", "10.213.0.0/26"], "10.213.0.64/26");
    }

    #[test]
    fn routes_are_read_without_the_default_route() {
        let text = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\n\
                    eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                    docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                    eth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\nrubbish\n";
        assert_eq!(routes(text), [subnet("172.17.0.0/16"), subnet("192.168.2.0/24")]);
    }
}
