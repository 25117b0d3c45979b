//! What associations may use beyond RFC 9260, switched on and off by chance.

use sctp_proto::{AssociationConfig, CongestionControl, LossDetection, SchedulerKind, SharedKey};
use sctp_tests::{codec::kind, rng::Rng};

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

/// Chunks that one side may want authenticated without a harm to either: not ABORT, which the
/// other would be unable to send once it has forgotten the association.
const SIGNED: [u8; 10] = [
    kind::DATA,
    kind::SACK,
    kind::HEARTBEAT,
    kind::HEARTBEAT_ACK,
    kind::SHUTDOWN,
    kind::COOKIE_ACK,
    kind::I_DATA,
    kind::RE_CONFIG,
    kind::FORWARD_TSN,
    kind::I_FORWARD_TSN,
];

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

/// Settings of one side, whatever the other has. `secret`: both sides share a key.
pub(crate) fn switch(rng: &mut Rng, secret: bool, config: &mut AssociationConfig) {
    let mut on = |odds| rng.chance(odds);
    config
        .interleaving(on(0.7))
        .partial_reliability(on(0.8))
        .stream_reset(on(0.8))
        .obey_stream_reset(on(0.7))
        .obey_association_reset(on(0.7))
        .obey_add_streams(on(0.7))
        .auth(on(0.85))
        .asconf(on(0.85))
        .auto_asconf(on(0.9))
        .asconf_wildcard(on(0.8))
        .announce_addresses(on(0.8))
        .plpmtud(on(0.6))
        .pacing(on(0.7))
        .tail_loss_probes(on(0.7))
        .undo_spurious(on(0.7));
    let signed: Vec<u8> = SIGNED.into_iter().filter(|_| on(0.2)).collect();
    if on(0.4) {
        config.auth_chunks(&signed);
    }
    if secret {
        config.auth_keys(&[(7, key(7))]);
    }
    if on(0.3) {
        config.loss_detection(LossDetection::MissingReports);
    }
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
