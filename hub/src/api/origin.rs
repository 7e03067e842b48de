//! Pure: the address that a request came from, which is what attempts to sign in are counted by.
//!
//! Behind a proxy every connection comes from the proxy: counted by that, anyone who guesses
//! passwords would lock everybody out. A proxy that the config trusts appends the address that it
//! saw to `X-Forwarded-For`; what stands before its entry was written by the client and proves
//! nothing. Without a readable entry it is the proxy's own address, never an empty one.

use std::net::{IpAddr, SocketAddr};
use warp::http::HeaderMap;

/// Returns the address of the client behind `peer`.
pub(super) fn origin(peer: IpAddr, headers: &HeaderMap, trusted_proxies: &[IpAddr]) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted_proxies.contains(&peer) {
        return peer;
    }
    // A proxy may add a line of its own: then the last line is its.
    let last = headers.get_all("x-forwarded-for").iter().next_back();
    let entry = last.and_then(|line| line.to_str().ok()).and_then(|line| line.rsplit(',').next());
    entry.and_then(|entry| address(entry.trim())).map_or(peer, |client| client.to_canonical())
}

/// Reads an address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    inner.parse().ok().or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use warp::http::HeaderValue;

    #[track_caller]
    fn check(peer: &str, lines: &[&str], expected: &str) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_str(line).unwrap());
        }
        let trusted = ["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        let found = origin(peer.parse().unwrap(), &headers, &trusted);
        assert_eq!(found, expected.parse::<IpAddr>().unwrap());
    }

    #[test]
    fn only_the_last_word_of_a_trusted_proxy_counts() {
        check("192.0.2.9", &["192.0.2.1"], "192.0.2.9");
        check("10.0.0.1", &["192.0.2.1"], "192.0.2.1");
        check("::ffff:10.0.0.1", &["192.0.2.1"], "192.0.2.1");
        check("::1", &["198.51.100.7, 192.0.2.1"], "192.0.2.1");
        check("::1", &["198.51.100.7", "192.0.2.1"], "192.0.2.1");
        check("::1", &["192.0.2.1:4711"], "192.0.2.1");
        check("::1", &["[2001:db8::1]:4711"], "2001:db8::1");
        check("::1", &["[2001:db8::1]"], "2001:db8::1");
        for unreadable in [&[][..], &[""], &["192.0.2.1,"], &["unknown"], &["192.0.2.1, _x"]] {
            check("10.0.0.1", unreadable, "10.0.0.1");
        }
    }
}
