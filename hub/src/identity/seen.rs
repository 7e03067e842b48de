//! From which devices and networks an account was signed in: who signs in from another one is written of.
//!
//! A sign-out forgets nothing, nor does the end of a session: what counts is that somebody was there. A
//! place is remembered by a hash, which tells neither device nor network to who reads the store.

use super::{
    Client, IdentityError,
    records::{SEEN, SeenAt},
};
use mamba_core::{
    clock::{HOUR_MS, UnixMs},
    db::{Snapshot, Txn},
    ids::UserId,
};
use std::net::IpAddr;

/// How long a place is remembered after somebody was there: as long as a session lives at most.
const SEEN_MS: u64 = 90 * 24 * HOUR_MS;
/// Most places of one account; the one seen longest ago makes room. More than a person has devices and
/// networks in a season, and few enough to be read at each sign-in.
const SEEN_MAX: usize = 30;
/// How old the memory of a place gets before a refresh renews it: one write a day, not one each refresh.
const RENEW_MS: u64 = 24 * HOUR_MS;

const _: () = assert!(super::SESSION_TTL_MS <= SEEN_MS);

/// A device in a network.
type Place = [u8; 32];

/// What a sign-in means.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    /// Whether its owner is told.
    is_told: bool,
    /// What is remembered no more.
    forgotten: Vec<Place>,
}

/// Decides about a sign-in at a place, by what is remembered. The first sign-in of an account is told to
/// nobody; one after a long absence is.
fn decide(seen: &[(Place, UnixMs)], place: Place, now: UnixMs) -> Verdict {
    let mut kept: Vec<_> = seen.iter().filter(|(_, at)| now.since(*at) < SEEN_MS).collect();
    let is_known = kept.iter().any(|(it, _)| *it == place);
    kept.retain(|(it, _)| *it != place);
    kept.sort_by_key(|(it, at)| (std::cmp::Reverse(*at), *it));
    kept.truncate(SEEN_MAX - 1);
    let stays = |it: &Place| *it == place || kept.iter().any(|(other, _)| other == it);
    let forgotten = seen.iter().map(|(it, _)| *it).filter(|it| !stays(it)).collect();
    Verdict { is_told: !seen.is_empty() && !is_known, forgotten }
}

/// Remembers a sign-in; says whether it came from a new place.
pub(super) fn remember(
    txn: &mut Txn<'_>,
    now: UnixMs,
    client: &Client,
    user: UserId,
) -> Result<bool, IdentityError> {
    let rows = txn.prefix(SEEN, &(user,), SEEN_MAX)?;
    let seen: Vec<_> = rows.into_iter().map(|((_, place), SeenAt(at))| (place, at)).collect();
    let place = place(client);
    let verdict = decide(&seen, place, now);
    for place in verdict.forgotten {
        txn.delete(SEEN, &(user, place))?;
    }
    txn.put(SEEN, &(user, place), &SeenAt(now))?;
    Ok(verdict.is_told)
}

/// Renews the memory of a place where a session goes on. A place that is not remembered stays unknown:
/// nobody proved an identity there.
pub(super) fn renew(
    txn: &mut Txn<'_>,
    now: UnixMs,
    client: &Client,
    user: UserId,
) -> Result<(), IdentityError> {
    let key = (user, place(client));
    if let Some(SeenAt(at)) = txn.get(SEEN, &key)?
        && (RENEW_MS..SEEN_MS).contains(&now.since(at))
    {
        txn.put(SEEN, &key, &SeenAt(now))?;
    }
    Ok(())
}

/// Forgets all places of an account that ends.
pub(super) fn forget(txn: &mut Txn<'_>, user: UserId) -> Result<(), IdentityError> {
    for (key, _) in txn.prefix(SEEN, &(user,), SEEN_MAX)? {
        txn.delete(SEEN, &key)?;
    }
    Ok(())
}

fn place(client: &Client) -> Place {
    let mut hasher = blake3::Hasher::new_derive_key("mamba seen device v1");
    hasher.update(network(client.peer).to_string().as_bytes());
    hasher.update(b"\n");
    hasher.update(client.device.as_bytes());
    *hasher.finalize().as_bytes()
}

/// About the network of one provider: a line that gets another address each night stays the same place.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4((ip.to_bits() & (u32::MAX << 16)).into()),
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & (u128::MAX << 96)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * HOUR_MS;

    fn at(days: u64) -> UnixMs {
        UnixMs(1_800_000_000_000 + days * DAY_MS)
    }

    fn number(number: u8) -> Place {
        [number; 32]
    }

    #[test]
    fn who_signs_in_elsewhere_is_told_and_old_places_are_forgotten() {
        let many: Vec<_> = (0..30).map(|it| (number(it), at(u64::from(it)))).collect();
        for (name, seen, place, now, is_told, forgotten) in [
            ("first of all", vec![], 1, 0, false, vec![]),
            ("again", vec![(1, 0)], 1, 5, false, vec![]),
            ("again on the last day", vec![(1, 0)], 1, 89, false, vec![]),
            ("another place", vec![(1, 0)], 2, 5, true, vec![]),
            ("the same after a season", vec![(1, 0)], 1, 90, true, vec![]),
            ("another after a season", vec![(1, 0)], 2, 90, true, vec![1]),
            ("one of two, the other old", vec![(1, 0), (2, 50)], 2, 100, false, vec![1]),
        ] {
            let seen: Vec<_> = seen.into_iter().map(|(it, day)| (number(it), at(day))).collect();
            let forgotten = forgotten.into_iter().map(number).collect();
            let expected = Verdict { is_told, forgotten };
            assert_eq!(decide(&seen, number(place), at(now)), expected, "{name}");
        }
        let expected = Verdict { is_told: true, forgotten: vec![number(0)] };
        assert_eq!(decide(&many, number(99), at(30)), expected, "the oldest makes room");
        let expected = Verdict { is_told: false, forgotten: vec![] };
        assert_eq!(decide(&many, number(0), at(30)), expected, "nobody makes room for the known");
        let clock_went_back = decide(&[(number(1), at(9))], number(1), at(0));
        assert!(!clock_went_back.is_told);
    }

    #[test]
    fn a_place_is_a_device_in_a_network() {
        let of = |peer: &str, device: &str| place(&Client::new(peer.parse().unwrap(), device));
        let home = of("192.0.2.7", "fox");
        for (peer, device, is_same) in [
            ("192.0.2.7", "fox", true),
            ("192.0.77.8", "fox", true),
            ("::ffff:192.0.2.9", "fox", true),
            ("192.1.2.7", "fox", false),
            ("192.0.2.7", "wolf", false),
        ] {
            assert_eq!(of(peer, device) == home, is_same, "{peer} {device}");
        }
        assert_eq!(of("2001:db8:1::1", "fox"), of("2001:db8:2::1", "fox"));
        assert_ne!(of("2001:db8:1::1", "fox"), of("2001:db9::1", "fox"));
    }
}
