//! What ICMP messages say, and what is believed of them (§10; RFC 6951 §5.5).

use std::net::SocketAddr;

/// What an ICMP or ICMPv6 message says of the packet that it quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IcmpKind {
    /// The next link carries IP packets of so many bytes at most, and may not fragment. Zero if the
    /// message does not tell.
    PacketTooBig {
        /// Bytes of IP packet.
        mtu: u16,
    },
    /// Nobody takes UDP at that port: there is no SCTP.
    NotSupported,
    /// Nothing gets there at the moment.
    Unreachable,
}

impl IcmpKind {
    /// What an ICMP message of this type and code says; `mtu` is the last half of its second word.
    /// `None` for those that say nothing of use.
    //= RFC 6951 §5.5
    //# ICMP messages with type 'Destination Unreachable' and code 'Port Unreachable' SHOULD be
    //# treated as ICMP messages with type 'Destination Unreachable' and code 'Protocol
    //# Unreachable'.
    pub fn of_v4(kind: u8, code: u8, mtu: u16) -> Option<Self> {
        const DESTINATION_UNREACHABLE: u8 = 3;
        match (kind, code) {
            (DESTINATION_UNREACHABLE, 2 | 3) => Some(Self::NotSupported),
            (DESTINATION_UNREACHABLE, 4) => Some(Self::PacketTooBig { mtu }),
            (DESTINATION_UNREACHABLE, _) => Some(Self::Unreachable),
            _ => None,
        }
    }

    /// What an ICMPv6 message of this type and code says; `word` is its second word. `None` for
    /// those that say nothing of use.
    //= RFC 6951 §5.5
    //# ICMPv6 messages with type 'Destination Unreachable' and code 'Port Unreachable' SHOULD be
    //# treated as ICMPv6 messages with type 'Parameter Problem' and code 'unrecognized Next Header
    //# type encountered'.
    pub fn of_v6(kind: u8, code: u8, word: u32) -> Option<Self> {
        const DESTINATION_UNREACHABLE: u8 = 1;
        const PACKET_TOO_BIG: u8 = 2;
        const PARAMETER_PROBLEM: u8 = 4;
        match (kind, code) {
            (DESTINATION_UNREACHABLE, 4) | (PARAMETER_PROBLEM, 1) => Some(Self::NotSupported),
            (DESTINATION_UNREACHABLE, _) => Some(Self::Unreachable),
            (PACKET_TOO_BIG, _) => Some(Self::PacketTooBig {
                mtu: u16::try_from(word).unwrap_or(u16::MAX),
            }),
            _ => None,
        }
    }
}

/// An ICMP message about a packet that this side sent. Anybody can forge one: nothing is believed
/// without the verification tag of the association.
#[derive(Debug, Clone, Copy)]
pub struct IcmpMessage<'a> {
    /// What it says.
    pub kind: IcmpKind,
    /// Where the quoted packet went: destination address and UDP port of its headers.
    pub destination: SocketAddr,
    /// What is quoted of the UDP payload: the beginning of an SCTP packet.
    pub quoted: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;

    //= RFC 6951 §5.5, test
    //# ICMP messages with type 'Destination Unreachable' and code 'Port...
    //= RFC 6951 §5.5, test
    //# ICMPv6 messages with type 'Destination Unreachable' and code 'Port...
    #[test]
    fn types_and_codes() {
        use IcmpKind as K;
        let mtu = |mtu| Some(K::PacketTooBig { mtu });
        assert_eq!(K::of_v4(3, 2, 0), Some(K::NotSupported), "protocol");
        assert_eq!(K::of_v4(3, 3, 0), Some(K::NotSupported), "port");
        assert_eq!(K::of_v4(3, 4, 1400), mtu(1400));
        assert_eq!(K::of_v4(3, 1, 0), Some(K::Unreachable), "host");
        for ignored in [0, 4, 5, 8, 11, 12] {
            assert_eq!(K::of_v4(ignored, 0, 1400), None, "type {ignored}");
        }
        assert_eq!(K::of_v6(1, 4, 0), Some(K::NotSupported), "port");
        assert_eq!(K::of_v6(4, 1, 40), Some(K::NotSupported), "next header");
        assert_eq!(K::of_v6(2, 0, 1400), mtu(1400));
        assert_eq!(K::of_v6(2, 0, 70_000), mtu(65_535));
        assert_eq!(K::of_v6(1, 3, 0), Some(K::Unreachable), "address");
        assert_eq!(K::of_v6(4, 0, 0), None, "erroneous header field");
        assert_eq!(K::of_v6(3, 0, 0), None, "time exceeded");
    }
}
