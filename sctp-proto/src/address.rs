//! Addresses: those of this side as a driver tells them, and how far each is known.

use std::net::{IpAddr, Ipv6Addr};

use crate::ids::SocketId;

/// An address of this side, and the socket that sends from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LocalAddress {
    /// The address; not a wildcard.
    pub ip: IpAddr,
    /// The socket that is bound to it, or to a wildcard that has it.
    pub socket: SocketId,
}

/// From where an address can be reached at all, the narrowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Host,
    Link,
    /// RFC 1918, RFC 4193, and what carriers share behind their NATs (RFC 6598).
    Site,
    Global,
}

impl Scope {
    fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            ip if ip.is_loopback() => Self::Host,
            IpAddr::V4(ip) if ip.is_link_local() => Self::Link,
            IpAddr::V4(ip) if ip.is_private() || is_shared(ip.octets()) => Self::Site,
            IpAddr::V6(ip) if is_link_local(ip) => Self::Link,
            IpAddr::V6(ip) if ip.segments()[0] & 0xfe00 == 0xfc00 => Self::Site,
            _ => Self::Global,
        }
    }
}

const fn is_shared(octets: [u8; 4]) -> bool {
    octets[0] == 100 && octets[1] & 0xc0 == 64
}

const fn is_link_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}

/// Whether an address means the same host to whoever is, or is reached, at `other`: its scope is not
/// narrower. A loopback address is told on loopback only, a private one only where the other is
/// private too; and what a peer lists beyond that leads into the network of somebody else, which
/// nobody outside may have probed (RFC 5062 §2).
pub(crate) fn is_meaningful_to(ip: IpAddr, other: IpAddr) -> bool {
    Scope::of(ip) >= Scope::of(other)
}

/// Whether packets from one address can come to the other at all: not from loopback or a link to
/// anywhere else, nor from elsewhere to loopback.
pub(crate) fn may_reach(from: IpAddr, to: IpAddr) -> bool {
    let (from, to) = (Scope::of(from), Scope::of(to));
    from == to || (from >= Scope::Site && to >= Scope::Site)
}

/// Whether packets can go from one address to the other.
pub(crate) fn is_same_family(a: IpAddr, b: IpAddr) -> bool {
    a.to_canonical().is_ipv4() == b.to_canonical().is_ipv4()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn addresses_are_told_within_their_scope() {
        let narrow_to_wide: [&[&str]; 4] = [
            &["127.0.0.1", "::1", "127.9.9.9", "::ffff:127.0.0.1"],
            &["169.254.7.7", "fe80::1", "febf::1"],
            &[
                "10.0.0.1",
                "192.168.1.1",
                "100.64.0.1",
                "100.127.0.1",
                "fd00::1",
                "fc00::1",
            ],
            &[
                "192.0.2.1",
                "100.128.0.1",
                "2001:db8::1",
                "fec0::1",
                "172.32.0.1",
            ],
        ];
        for (rank, scope) in narrow_to_wide.iter().enumerate() {
            for (other_rank, other) in narrow_to_wide.iter().enumerate() {
                for (a, b) in scope.iter().flat_map(|a| other.iter().map(move |b| (a, b))) {
                    let told = is_meaningful_to(ip(a), ip(b));
                    assert_eq!(told, rank >= other_rank, "{a} to {b}");
                }
            }
        }
    }

    #[test]
    fn nothing_gets_from_loopback_or_a_link_to_elsewhere() {
        for (from, to, may) in [
            ("10.0.0.1", "192.0.2.1", true),
            ("192.0.2.1", "10.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", true),
            ("fe80::1", "fe80::2", true),
            ("127.0.0.1", "192.0.2.1", false),
            ("192.0.2.1", "127.0.0.1", false),
            ("fe80::1", "2001:db8::1", false),
        ] {
            assert_eq!(may_reach(ip(from), ip(to)), may, "{from} to {to}");
        }
    }

    #[test]
    fn a_mapped_address_is_an_ipv4_address() {
        assert!(is_same_family(ip("::ffff:10.0.0.1"), ip("10.0.0.2")));
        assert!(!is_same_family(ip("::1"), ip("10.0.0.2")));
    }
}
