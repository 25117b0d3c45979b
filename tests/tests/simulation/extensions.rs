//! What associations may use beyond RFC 9260, switched on and off by chance.

use sctp_proto::{
    AssociationConfig, CongestionControl, ErrorDetection, LossDetection, SchedulerKind, SharedKey,
};
use sctp_tests::{
    net::{Ecn, Link},
    rng::Rng,
};

use crate::{Trust, random_link};

const SCHEDULERS: [SchedulerKind; 6] = [
    SchedulerKind::FirstComeFirstServed,
    SchedulerKind::RoundRobin,
    SchedulerKind::RoundRobinPerPacket,
    SchedulerKind::Priority,
    SchedulerKind::FairBandwidth,
    SchedulerKind::WeightedFairQueueing,
];

const CONTROLLERS: [CongestionControl; 3] = [
    CongestionControl::Rfc9260,
    CongestionControl::Cubic,
    CongestionControl::Bbr,
];

/// What both sides know before they begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// They share a key.
    pub(crate) secret: bool,
    /// Nothing changes packets on their way, so that checksums can be left out (RFC 9653).
    pub(crate) guarded: bool,
}

impl Setting {
    pub(crate) fn random_link(self, rng: &mut Rng) -> Link {
        let mut link = random_link(rng);
        link.ecn = match rng.below(6) {
            0 => Ecn::Mark(0.1),
            1 => Ecn::MarkAbove(5000),
            2 => Ecn::Bleach,
            3 => Ecn::Lose,
            _ => Ecn::Pass,
        };
        if self.guarded {
            link.corrupt = 0.0;
        }
        link
    }
}

pub(crate) fn scheduler(rng: &mut Rng) -> SchedulerKind {
    SCHEDULERS[rng.below(SCHEDULERS.len())]
}

pub(crate) fn controller(rng: &mut Rng) -> CongestionControl {
    CONTROLLERS[rng.below(CONTROLLERS.len())]
}

/// The key with this identifier, the same on both sides.
pub(crate) fn key(id: u16) -> SharedKey {
    SharedKey::new(vec![id as u8; 1 + usize::from(id % 40)])
}

/// Settings of one side, whatever the other has.
pub(crate) fn switch(rng: &mut Rng, setting: Setting, config: &mut AssociationConfig) {
    let mut on = |odds| rng.chance(odds);
    config
        .interleaving(on(0.7))
        .partial_reliability(on(0.8))
        .stream_reset(on(0.8))
        .obey_stream_reset(on(0.7))
        .obey_association_reset(on(0.7))
        .obey_add_streams(on(0.7))
        .auto_asconf(on(0.9))
        .asconf_wildcard(on(0.8))
        .announce_addresses(on(0.8))
        .nr_sack(on(0.6))
        .ecn(on(0.6))
        .plpmtud(on(0.6))
        .pacing(on(0.7))
        .tail_loss_probes(on(0.7))
        .undo_spurious(on(0.7));
    if setting.guarded && on(0.8) {
        config.zero_checksum(Some(ErrorDetection::Dtls));
    }
    if setting.secret {
        config.auth_keys(&[(7, key(7))]);
    }
    if on(0.3) {
        config.loss_detection(LossDetection::MissingReports);
    }
    Trust::random(rng).set(config);
    config
        .potentially_failed_max_retrans([None, Some(0), Some(0), Some(2)][rng.below(4)])
        .primary_switchover_max_retrans([None, None, Some(2), Some(5)][rng.below(4)])
        .max_paths([8, 8, 8, 4, 2, 1][rng.below(6)])
        .heartbeat_max_burst(rng.between(1, 4) as u32)
        .scheduler(scheduler(rng))
        .congestion_control(controller(rng))
        .initial_window([None, Some(rng.between(1, 10) as u32)][rng.below(2)])
        .sack_frequency(rng.between(1, 4) as u32);
}
