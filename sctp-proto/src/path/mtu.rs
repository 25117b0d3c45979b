//! The MTU of a path: how large an IP packet may be, and how small it may be made.

use std::{net::IpAddr, ops::RangeInclusive};

use super::Path;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const UDP_HEADER: usize = 8;

/// What every IPv6 link carries (RFC 8200 §5). A message that tells of less is wrong, and to be
/// discarded (RFC 8201 §4).
const IPV6_MINIMUM: usize = 1280;

/// MTUs of links and tunnels as one meets them, to be tried one after the other where only the
/// failure of a size is known (RFC 1191 §7).
const COMMON: [usize; 12] = [
    32_000, 17_914, 9000, 8166, 4352, 2002, 1500, 1492, 1400, 1280, 1006, 576,
];

impl Path {
    /// The way there carries no IP packet of more than `mtu` bytes: packets become smaller or,
    /// where the MTU is below what this side goes down to, may be fragmented. Gives the sizes of
    /// the SCTP packets that were sent so far and did not get through, if that is news.
    pub(crate) fn lower_mtu(&mut self, mtu: usize) -> Option<RangeInclusive<usize>> {
        let ip = self.remote.ip();
        if ip.is_ipv6() && mtu < IPV6_MINIMUM {
            return None;
        }
        let before = self.max_packet;
        let max_packet = max_packet(ip, mtu.max(self.min_mtu));
        if max_packet < before {
            self.max_packet = max_packet;
            self.congestion.on_mtu(max_packet);
        }
        let fragment = mtu < self.min_mtu && !self.fragmented;
        self.fragmented |= fragment;
        let carried = mtu.saturating_sub(headers(ip));
        (fragment || max_packet < before).then_some(carried + 1..=before)
    }

    /// As [`lower_mtu`](Self::lower_mtu), where all that is known is that packets of this size,
    /// SCTP common header included, are too large.
    pub(crate) fn lower_mtu_below(&mut self, packet: usize) -> Option<RangeInclusive<usize>> {
        let size = packet + headers(self.remote.ip());
        let next = COMMON.into_iter().find(|&mtu| mtu < size);
        self.lower_mtu(next.unwrap_or(0))
    }
}

/// Bytes of the headers in front of a SCTP packet.
fn headers(remote: IpAddr) -> usize {
    let ip_header = if remote.is_ipv4() {
        IPV4_HEADER
    } else {
        IPV6_HEADER
    };
    ip_header + UDP_HEADER
}

/// Largest SCTP packet in an IP packet of `mtu` bytes: chunks are multiples of four bytes, and the
/// UDP header takes its share (RFC 6951 §5.6).
pub(super) fn max_packet(remote: IpAddr, mtu: usize) -> usize {
    //= RFC 6951 §5.6
    //# If an SCTP endpoint starts to encapsulate the packets of a path, it MUST decrease the Path
    //# MTU of that path by the size of the UDP header.
    (mtu - headers(remote)) & !3
}

/// The smallest MTU that a path is believed to have: what is configured, but not more than what it
/// begins with, and what every IPv6 link carries.
pub(super) fn min_mtu(remote: IpAddr, configured: u16, initial: u16) -> usize {
    let least = usize::from(configured.min(initial));
    if remote.is_ipv6() {
        least.max(IPV6_MINIMUM.min(usize::from(initial)))
    } else {
        least
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{association::PathState, config::AssociationConfig, ids::PathId};

    fn path(remote: &str, mtu: u16, least: u16) -> Path {
        let mut config = AssociationConfig::default();
        config.path_mtu(mtu).min_path_mtu(least);
        let remote = remote.parse().expect("an address");
        Path::new(PathId(0), remote, PathState::Active, &config)
    }

    #[test]
    fn an_mtu_only_shrinks() {
        let mut path = path("192.0.2.1:9899", 1500, 576);
        assert_eq!(path.max_packet, 1472);
        assert_eq!(path.lower_mtu(1399), Some(1372..=1472));
        assert_eq!(path.max_packet, 1368, "1399 - 28, a multiple of four");
        assert_eq!(path.lower_mtu(1500), None);
        assert_eq!(path.lower_mtu(1398), None, "chunks are multiples of four");
        assert_eq!(path.max_packet, 1368);
        assert!(!path.fragmented);
    }

    #[test]
    fn below_the_least_ipv4_packets_are_fragmented_instead() {
        let mut path = path("192.0.2.1:9899", 1500, 1280);
        assert_eq!(path.lower_mtu(68), Some(41..=1472));
        assert_eq!((path.max_packet, path.fragmented), (1252, true));
        assert_eq!(path.lower_mtu(67), None, "nothing more to be done");
    }

    #[test]
    fn an_ipv6_message_of_less_than_1280_is_a_lie() {
        let mut path = path("[2001:db8::1]:9899", 1500, 576);
        assert_eq!(path.lower_mtu(1279), None);
        assert_eq!((path.max_packet, path.fragmented), (1452, false));
        assert_eq!(path.lower_mtu(1280), Some(1233..=1452));
        assert_eq!((path.max_packet, path.fragmented), (1232, false));
    }

    #[test]
    fn sizes_that_fail_lead_down_in_few_steps() {
        let mut path = path("192.0.2.1:9899", 65_535, 576);
        let mut sizes = Vec::new();
        while path.lower_mtu_below(path.max_packet).is_some() {
            sizes.push(path.max_packet + 28);
        }
        let (last, steps) = sizes.split_last().unwrap();
        assert_eq!(
            steps,
            [
                32_000, 17_912, 9000, 8164, 4352, 2000, 1500, 1492, 1400, 1280, 1004, 576
            ]
        );
        assert_eq!((*last, path.fragmented), (576, true));
        // Something that was sent before the first step says nothing.
        assert_eq!(path.lower_mtu_below(60_000), None);
    }

    #[test]
    fn a_path_that_begins_small_stays_as_it_is() {
        let mut path = path("192.0.2.1:9899", 1000, 1280);
        assert_eq!(path.max_packet, 972);
        assert_eq!(path.lower_mtu(600), Some(573..=972));
        assert_eq!((path.max_packet, path.fragmented), (972, true));
    }
}
