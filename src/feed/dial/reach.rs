//! How far a connection may go: to whatever a name means, or to what is public only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::feed::failure::ConnectError;

/// How far a connection may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Anywhere,
    /// Neither to this machine nor into a private network.
    Public,
}

impl Reach {
    /// The addresses, if all of them may be reached: a host with a public and a private one is up to something.
    pub(super) fn judge(
        self,
        host: &str,
        addresses: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, ConnectError> {
        let inner = addresses.iter().map(SocketAddr::ip).find(|address| !is_public(*address));
        match (self, inner) {
            (Self::Public, Some(address)) => Err(ConnectError::NotPublic { host: host.to_owned(), address }),
            _ => Ok(addresses),
        }
    }
}

/// Whether an address belongs to a machine of the open Internet, as far as its form tells (IANA's registries of special
/// addresses).
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        // This network, and what was reserved, multicast and broadcast.
        || a == 0
        || a >= 224
        // Between a provider and its customers.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        // Benchmarks.
        || (a == 198 && (18..20).contains(&b));
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let within = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match [a, b] {
        // NAT64 and 6to4 lead to an IPv4 address.
        [0x64, 0xff9b] => [c, d, e, f] == [0; 4] && within(g, h),
        [0x2002, high] => within(high, c),
        // Teredo, documentation.
        [0x2001, 0 | 0xdb8] => false,
        // Everything that is given out is in 2000::/3: not loopback, unique local, link-local, multicast.
        _ => a & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_machine_or_of_a_private_network_is_not_public() {
        for (address, expected) in [
            ("8.8.8.8", true),
            ("100.63.0.1", true),
            ("172.32.0.1", true),
            ("198.20.0.1", true),
            ("2606:4700::1111", true),
            ("64:ff9b::808:808", true),
            ("2002:808:808::1", true),
            ("::ffff:8.8.8.8", true),
            ("0.0.0.0", false),
            ("10.1.2.3", false),
            ("100.64.0.1", false),
            ("127.9.9.9", false),
            ("169.254.169.254", false),
            ("172.16.0.1", false),
            ("192.168.1.1", false),
            ("192.0.0.8", false),
            ("198.18.0.1", false),
            ("203.0.113.9", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("::127.0.0.1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
            ("2001:db8::1", false),
            ("2001::1", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b::a9fe:a9fe", false),
            ("2002:7f00:1::1", false),
            ("2002:c0a8:101::1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn one_private_address_among_public_ones_spoils_the_host() {
        let addresses: Vec<SocketAddr> =
            ["8.8.8.8:443", "10.0.0.1:443"].map(|address| address.parse().unwrap()).into();
        let judged = Reach::Public.judge("h", addresses.clone());
        assert!(
            matches!(judged, Err(ConnectError::NotPublic { address, .. }) if address == addresses[1].ip())
        );
        assert_eq!(Reach::Public.judge("h", addresses[..1].to_vec()).unwrap().len(), 1);
        assert_eq!(Reach::Anywhere.judge("h", addresses).unwrap().len(), 2);
    }
}
