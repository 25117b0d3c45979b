//! The MTU of a path: how large an IP packet may be, and how small it may be made.

use std::{net::IpAddr, ops::RangeInclusive};

use super::{
    Path,
    search::{Search, Suspicion},
};
use crate::{config::AssociationConfig, time::Instant};

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const UDP_HEADER: usize = 8;

/// What every IPv6 link carries (RFC 8200 §5). A message that tells of less is wrong, and to be
/// discarded (RFC 8201 §4).
const IPV6_MINIMUM: usize = 1280;

/// Where a search begins that has lost its footing (BASE_PLPMTU, RFC 8899 §5.1.2), unless packets are
/// smaller from the beginning.
const BASE: u16 = 1280;

/// Failures in a row, the present one not counted, after which a path is doubted to carry the base:
/// one less than make it inactive.
const DOUBTS: u32 = 4;

/// MTUs of links and tunnels as one meets them, to be tried one after the other where only the
/// failure of a size is known (RFC 1191 §7).
const COMMON: [usize; 12] = [
    32_000, 17_914, 9000, 8166, 4352, 2002, 1500, 1492, 1400, 1280, 1006, 576,
];

/// Bounds of a path's MTU, of IP packets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// What packets are made for at least.
    min: u16,
    /// What a path that became narrow is taken for, until more is known.
    base: u16,
    /// What is searched for at most; 0 where nothing is.
    max: u16,
}

impl Bounds {
    pub(super) fn new(remote: IpAddr, config: &AssociationConfig) -> Self {
        let min = min_mtu(remote, config.min_path_mtu, config.path_mtu);
        let max = match config.plpmtud {
            // What the largest packet takes, whose length is a multiple of four.
            true => max_packet(remote, config.max_path_mtu.into()) + headers(remote),
            false => 0,
        };
        Self {
            min,
            base: min.max(BASE.min(config.path_mtu)),
            max: max as u16,
        }
    }
}

/// What the path carries is found out (RFC 8899).
impl Path {
    /// Whether a packet of this size would be lost on a path that carries no more than the base.
    pub(crate) fn is_large(&self, packet: usize) -> bool {
        let base = max_packet(self.remote.ip(), self.mtu.base.into());
        self.mtu.max > 0 && packet > base && packet <= self.max_packet && !self.fragmented
    }

    /// Whether it is time to look for larger packets that get through.
    pub(crate) fn wants_search(&self, now: Instant) -> bool {
        match &self.search {
            Some(search) => search.is_wanted(now),
            None => self.max_packet + headers(self.remote.ip()) < self.mtu.max.into(),
        }
    }

    /// Looks for larger packets that get through.
    pub(crate) fn begin_search(&mut self, now: Instant) {
        self.search().begin(now);
    }

    /// The size of the padded HEARTBEAT to send now, SCTP common header included, if any is.
    pub(crate) fn mtu_probe(&self) -> Option<usize> {
        let size = self.search.as_ref()?.due()?;
        Some(max_packet(self.remote.ip(), size.into()))
    }

    /// Whether `info` answers such a HEARTBEAT: packets become as large.
    pub(crate) fn on_mtu_probe_answered(&mut self, now: Instant, info: &[u8]) -> bool {
        let answered = (self.search.as_mut()).is_some_and(|search| search.answered(now, info));
        if answered {
            self.fragmented = false;
            self.follow_search();
        }
        answered
    }

    /// The time of such a HEARTBEAT is over.
    pub(crate) fn on_mtu_probe_timeout(&mut self, now: Instant) {
        // With an error counted nothing is heard of the path, whatever the size.
        let answers = self.errors == 0;
        if let Some(search) = &mut self.search {
            search.timed_out(now, answers);
            self.fragmented |= search.has_failed();
        }
    }

    /// Packets that [are large](Self::is_large) got lost; the last of them left at `sent`. As
    /// [`lower_mtu`](Self::lower_mtu), if the path is taken to have become narrow.
    pub(crate) fn on_large_lost(
        &mut self,
        now: Instant,
        sent: Instant,
        how: Suspicion,
    ) -> Option<RangeInclusive<usize>> {
        let narrow = self.mtu.max > 0 && self.search().suspect(now, sent, how);
        narrow.then(|| self.follow_search()).flatten()
    }

    /// T3-rtx ran out once more, nothing having been acknowledged for so long that packets may not
    /// get through even at the base: from now on they may be fragmented, until a probe of the base is
    /// answered. On a path that is dead that does no harm.
    pub(crate) fn on_base_lost(&mut self, now: Instant) {
        let at_base = max_packet(self.remote.ip(), self.mtu.base.into()) >= self.max_packet;
        let doubtful = self.mtu.max > 0 && self.remote.is_ipv4() && at_base && !self.fragmented;
        if doubtful && self.errors >= DOUBTS {
            self.fragmented = true;
            self.search().doubt_base(now);
        }
    }

    /// The size of such a HEARTBEAT that waits for its answer.
    pub(crate) fn mtu_probe_under_way(&self) -> Option<usize> {
        let size = self.search.as_ref()?.under_way()?;
        Some(max_packet(self.remote.ip(), size.into()))
    }

    /// Such a HEARTBEAT is known to have been too large.
    pub(crate) fn on_mtu_probe_refused(&mut self, now: Instant) {
        if let Some(search) = &mut self.search {
            search.refused(now);
        }
    }

    fn search(&mut self) -> &mut Search {
        let mtu = self.max_packet + headers(self.remote.ip());
        let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
        let Bounds { base, max, .. } = self.mtu;
        self.search
            .get_or_insert_with(|| Box::new(Search::new(base.min(mtu), mtu, max.max(mtu))))
    }

    /// Makes packets for what the search has found. Gives the sizes that no longer fit.
    fn follow_search(&mut self) -> Option<RangeInclusive<usize>> {
        let mtu = self.search.as_ref()?.confirmed();
        let before = self.max_packet;
        let max_packet = max_packet(self.remote.ip(), mtu.into());
        if max_packet != before {
            self.max_packet = max_packet;
            self.congestion.on_mtu(max_packet);
        }
        (max_packet < before).then_some(max_packet + 1..=before)
    }
}

/// What the network says of it.
impl Path {
    /// The way there carries no IP packet of more than `mtu` bytes: packets become smaller or,
    /// where the MTU is below what this side goes down to, may be fragmented. Gives the sizes of
    /// the SCTP packets that were sent so far and did not get through, if that is news.
    pub(crate) fn lower_mtu(&mut self, now: Instant, mtu: usize) -> Option<RangeInclusive<usize>> {
        let ip = self.remote.ip();
        if ip.is_ipv6() && mtu < IPV6_MINIMUM {
            return None;
        }
        let before = self.max_packet;
        let least = usize::from(self.mtu.min);
        let max_packet = max_packet(ip, mtu.max(least));
        if let Some(search) = &mut self.search {
            search.limit(now, u16::try_from(mtu.max(least)).unwrap_or(u16::MAX));
        }
        if max_packet < before {
            self.max_packet = max_packet;
            self.congestion.on_mtu(max_packet);
        }
        let fragment = mtu < least && !self.fragmented;
        self.fragmented |= fragment;
        let carried = mtu.saturating_sub(headers(ip));
        (fragment || max_packet < before).then_some(carried + 1..=before)
    }

    /// As [`lower_mtu`](Self::lower_mtu), where all that is known is that packets of this size,
    /// SCTP common header included, are too large.
    pub(crate) fn lower_mtu_below(
        &mut self,
        now: Instant,
        packet: usize,
    ) -> Option<RangeInclusive<usize>> {
        let size = packet + headers(self.remote.ip());
        let next = COMMON.into_iter().find(|&mtu| mtu < size);
        self.lower_mtu(now, next.unwrap_or(0))
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

/// The largest SCTP packet to one address where to another it is `max_packet`: the headers before
/// it may have another size.
pub(super) fn between(max_packet: usize, before: IpAddr, now: IpAddr) -> usize {
    (max_packet + headers(before)).saturating_sub(headers(now)) & !3
}

/// The smallest MTU that a path is believed to have: what is configured, but not more than what it
/// begins with, and what every IPv6 link carries.
fn min_mtu(remote: IpAddr, configured: u16, initial: u16) -> u16 {
    let least = configured.min(initial);
    if remote.is_ipv6() {
        least.max(initial.min(IPV6_MINIMUM as u16))
    } else {
        least
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{association::PathState, ids::PathId};

    const NOW: Instant = Instant::EPOCH;

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
        assert_eq!(path.lower_mtu(NOW, 1399), Some(1372..=1472));
        assert_eq!(path.max_packet, 1368, "1399 - 28, a multiple of four");
        assert_eq!(path.lower_mtu(NOW, 1500), None);
        assert_eq!(
            path.lower_mtu(NOW, 1398),
            None,
            "chunks are multiples of four"
        );
        assert_eq!(path.max_packet, 1368);
        assert!(!path.fragmented);
    }

    #[test]
    fn below_the_least_ipv4_packets_are_fragmented_instead() {
        let mut path = path("192.0.2.1:9899", 1500, 1280);
        assert_eq!(path.lower_mtu(NOW, 68), Some(41..=1472));
        assert_eq!((path.max_packet, path.fragmented), (1252, true));
        assert_eq!(path.lower_mtu(NOW, 67), None, "nothing more to be done");
    }

    #[test]
    fn an_ipv6_message_of_less_than_1280_is_a_lie() {
        let mut path = path("[2001:db8::1]:9899", 1500, 576);
        assert_eq!(path.lower_mtu(NOW, 1279), None);
        assert_eq!((path.max_packet, path.fragmented), (1452, false));
        assert_eq!(path.lower_mtu(NOW, 1280), Some(1233..=1452));
        assert_eq!((path.max_packet, path.fragmented), (1232, false));
    }

    #[test]
    fn sizes_that_fail_lead_down_in_few_steps() {
        let mut path = path("192.0.2.1:9899", 65_535, 576);
        let mut sizes = Vec::new();
        while path.lower_mtu_below(NOW, path.max_packet).is_some() {
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
        assert_eq!(path.lower_mtu_below(NOW, 60_000), None);
    }

    #[test]
    fn a_path_that_begins_small_stays_as_it_is() {
        let mut path = path("192.0.2.1:9899", 1000, 1280);
        assert_eq!(path.max_packet, 972);
        assert_eq!(path.lower_mtu(NOW, 600), Some(573..=972));
        assert_eq!((path.max_packet, path.fragmented), (972, true));
    }
}
