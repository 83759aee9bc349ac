//! Peers with a limit of their own: sources of which no more than one client is behind each.

use std::net::IpAddr;

use crate::allowance::Source;

/// Addresses that many clients share, such as those of reverse proxies. A limit for each peer would make one client shut out
/// the others there, so they have none. The same goes for this machine itself.
#[derive(Debug, Clone, Default)]
pub struct SharedAddresses(Vec<IpAddr>);

impl SharedAddresses {
    /// Takes the addresses as they stand in the settings.
    pub fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self(addresses.into_iter().map(|address| address.to_canonical()).collect())
    }

    /// Returns true if many clients may share one connection from `address`, as behind a proxy that was named.
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Returns the peer behind `address`; none where many may be behind it.
    pub fn peer(&self, address: IpAddr) -> Option<Source> {
        // A socket for both versions shows IPv4 within IPv6.
        let is_shared = address.to_canonical().is_loopback() || self.has(address);
        (!is_shared).then(|| address.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Option<Source> {
        let shared = SharedAddresses::new(["192.0.2.1", "2001:db8::1"].map(|text| text.parse().unwrap()));
        shared.peer(address.parse().unwrap())
    }

    #[test]
    fn a_host_cannot_become_many_peers() {
        for (one, other, same) in [
            ("198.51.100.7", "198.51.100.7", true),
            ("198.51.100.7", "198.51.100.8", false),
            ("198.51.100.7", "::ffff:198.51.100.7", true),
            ("2001:db8:0:1::5", "2001:db8:0:1:ffff::9", true),
            ("2001:db8:0:1::5", "2001:db8:0:2::5", false),
        ] {
            assert_eq!(peer(one) == peer(other), same, "{one} {other}");
            assert!(peer(one).is_some(), "{one}");
        }
    }

    #[test]
    fn an_address_that_many_share_is_no_peer() {
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "192.0.2.1", "2001:db8::1"] {
            assert_eq!(peer(address), None, "{address}");
        }
        assert!(peer("2001:db8::2").is_some(), "its neighbour is one");
    }
}
