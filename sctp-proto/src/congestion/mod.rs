//! How much may be in flight on a path.
//!
//! A [`Controller`] sees bytes and times, never packets, chunks or TSNs. Byte counts are of DATA
//! chunks as they lie in a packet, header and padding included (§7.2), as
//! [`Outstanding::flight`](crate::tx::Outstanding::flight) has them.

mod bbr;
mod cubic;
mod hystart;
mod rfc9260;

use std::{fmt::Debug, time::Duration};

pub use self::bbr::{PathModel, Phase};
use crate::{
    config::{AssociationConfig, CongestionControl},
    time::Instant,
    wire::COMMON_HEADER,
};

/// What one SACK says about one path.
#[allow(dead_code)] // rate-based controllers read what RFC 9260's does not
#[derive(Debug, Clone, Copy)]
pub(crate) struct AckSample {
    pub(crate) now: Instant,
    /// Bytes newly acknowledged, cumulatively or by gap blocks.
    pub(crate) acked: usize,
    /// Bytes in flight on this path before the SACK was processed.
    pub(crate) flight_before: usize,
    /// Whether the SACK advanced the cumulative TSN ack point.
    pub(crate) cumulative_advanced: bool,
    /// Whether the window, not the application, limited what was in flight before the SACK.
    pub(crate) cwnd_fully_used: bool,
    /// A round-trip time measured on this path.
    pub(crate) rtt: Option<Duration>,
    /// Whether the path was in fast recovery before this SACK.
    pub(crate) in_recovery: bool,
}

/// How a path delivers, as one SACK shows, its losses included: what rate-based controllers
/// live on. Byte counts are of chunks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RateSample {
    pub(crate) now: Instant,
    /// Bytes newly acknowledged, and newly taken for lost.
    pub(crate) acked: usize,
    pub(crate) lost: usize,
    /// Bytes in flight by now.
    pub(crate) flight: usize,
    /// Bytes delivered by now.
    pub(crate) delivered: u64,
    /// A round-trip time measured on this path.
    pub(crate) rtt: Option<Duration>,
    /// Whether the window, not the application, limited what was in flight before the SACK.
    pub(crate) window_used: bool,
    /// Of what was acknowledged, the last to leave; `None` if nothing was, or nothing is known.
    pub(crate) delivery: Option<Delivery>,
    /// Of what was lost, that which left before the most other losses.
    pub(crate) loss: Option<LossAtFlight>,
}

/// What happened between the transmission of a chunk and its acknowledgement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    /// Bytes that had been delivered when it left: tells round trips apart.
    pub(crate) prior: u64,
    /// Bytes delivered since.
    pub(crate) bytes: u64,
    /// Bytes per second; `None` if the time was too short to be true.
    pub(crate) rate: Option<u64>,
    /// Bytes in flight when it left, itself included.
    pub(crate) flight: usize,
    /// Bytes lost since it left.
    pub(crate) lost: u64,
    /// Whether there was too little to send for the path.
    pub(crate) app_limited: bool,
}

/// What was in flight when a chunk left that was lost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LossAtFlight {
    /// Bytes in flight, itself included.
    pub(crate) flight: usize,
    /// Bytes lost since it left, itself included.
    pub(crate) lost: u64,
    /// Whether there was too little to send for the path.
    pub(crate) app_limited: bool,
}

/// Congestion controller of one path. Chosen at run time, one per path, never shared.
///
/// Order of calls for one SACK: `on_ack`, then `on_recovery_exit` if it ends fast recovery, then
/// `on_loss` if it begins it (§7.2.4: growth is applied before reduction).
#[allow(dead_code)] // some of it only tests call
pub(crate) trait Controller: Send + Debug {
    /// A packet with `bytes` of DATA chunks left; `flight` counts them already. `app_limited` if
    /// the sender had no more to send although the window had room.
    fn on_sent(&mut self, now: Instant, bytes: usize, flight: usize, app_limited: bool);

    /// A SACK acknowledged data sent on this path.
    fn on_ack(&mut self, ack: &AckSample);

    /// Whether it wants [`on_sample`](Self::on_sample) to be called.
    fn wants_samples(&self) -> bool {
        false
    }

    /// What the same SACK says about the rate of delivery; after all else about it is told. Also
    /// when a loss is found between SACKs.
    fn on_sample(&mut self, _sample: &RateSample) {}

    /// A HEARTBEAT has measured the round trip.
    fn on_round_trip(&mut self, _now: Instant, _rtt: Duration) {}

    /// `lost` bytes are taken for lost; called once per fast recovery, when it begins.
    fn on_loss(&mut self, now: Instant, lost: usize);

    /// A packet that left within the last round trip was marked with Congestion Experienced, and no
    /// loss of it was told. As good as a loss that is recovered from at once.
    fn on_ecn(&mut self, now: Instant) {
        self.on_loss(now, 0);
        self.on_recovery_exit();
    }

    /// Everything that was in flight when fast recovery began is acknowledged.
    fn on_recovery_exit(&mut self);

    /// T3-rtx ran out on this path.
    fn on_timeout(&mut self, now: Instant);

    /// Keeps what the next call, `on_loss` or `on_timeout`, is about to change, instead of what was
    /// kept before.
    fn save(&mut self);

    /// That call was a mistake: what was kept is put back, as far as it is more than there is.
    /// False if there is none: it was put back already, or the path has been idle or has another
    /// MTU since.
    fn undo(&mut self, now: Instant) -> bool;

    /// The window that `undo` would put back at most, bytes; 0 if nothing is kept.
    fn saved_window(&self) -> usize;

    /// Data is about to leave after `idle` without any. To be called once per idle period.
    fn on_idle(&mut self, now: Instant, idle: Duration, rto: Duration);

    /// The largest packet of the path changed.
    fn on_mtu(&mut self, max_packet: usize);

    /// The congestion window, bytes. Never less than one full chunk.
    fn window(&self) -> usize;

    /// The slow-start threshold, bytes.
    fn ssthresh(&self) -> usize;

    /// Bytes per second to send at, counted as the window is; `None` for as fast as the window
    /// allows. `srtt` is the smoothed round-trip time of the path, once there is one.
    fn pacing_rate(&self, srtt: Option<Duration>) -> Option<u64>;

    /// What a controller that models the path makes of it.
    fn model(&self) -> Option<PathModel> {
        None
    }
}

/// A controller for a path whose packets have at most `max_packet` bytes, SCTP common header
/// included.
//= RFC 9260 §7.2
//# The slow-start and congestion avoidance algorithms MUST be used by an endpoint to control the
//# amount of data being injected into the network.
//= RFC 9260 §7.2
//# Unlike TCP, an SCTP sender MUST keep a set of the control variables cwnd, ssthresh, and
//# partial_bytes_acked for EACH destination address of its peer (when its peer is multi-homed).
pub(crate) fn new(
    kind: CongestionControl,
    config: &AssociationConfig,
    max_packet: usize,
    ipv6: bool,
) -> Box<dyn Controller> {
    let initial = initial(config, max_packet, ipv6);
    match kind {
        CongestionControl::Rfc9260 => Box::new(rfc9260::Rfc9260::new(max_packet, initial)),
        CongestionControl::Cubic => Box::new(cubic::Cubic::new(max_packet, initial)),
        CongestionControl::Bbr => Box::new(bbr::Bbr::new(max_packet, initial)),
    }
}

/// The window that a path begins with, bytes.
pub(crate) fn initial(config: &AssociationConfig, max_packet: usize, ipv6: bool) -> usize {
    let pmdcs = max_packet - COMMON_HEADER;
    match config.initial_window {
        Some(packets) => large_initial_window(packets, pmdcs),
        None => initial_window(pmdcs, ipv6),
    }
}

/// The initial window where none is set; `pmdcs` is the largest DATA chunk of the path (§1.3).
fn initial_window(pmdcs: usize, ipv6: bool) -> usize {
    //= RFC 9260 §7.2.1
    //# The initial cwnd before data transmission MUST be set to min(4 * PMDCS, max(2 * PMDCS,
    //# 4404)) bytes if the peer address is an IPv4 address and to min(4 * PMDCS, max(2 * PMDCS,
    //# 4344)) bytes if the peer address is an IPv6 address.
    let three_packets = if ipv6 { 4344 } else { 4404 };
    (2 * pmdcs).max(three_packets).min(4 * pmdcs)
}

/// The initial window of so many packets, within the bytes that RFC 6928 §2 found harmless: ten
/// packets of Ethernet, or two that are larger.
pub(crate) fn large_initial_window(packets: u32, pmdcs: usize) -> usize {
    (2 * pmdcs).max(14_600).min(packets as usize * pmdcs)
}

/// In slow start a window is sent in half a round trip: it doubles within one, so that a slower
/// sender would be held by its pacer and not by the acknowledgements it waits for. As Linux.
const SLOW_START_GAIN: f64 = 2.0;
/// What a paced window may leave faster than within one round trip. With 1 the window would never
/// be used up: timers are late, and the smoothed round-trip time lags behind (RFC 9002 §7.7).
const AVOIDANCE_GAIN: f64 = 1.25;

/// The rate that spreads a window over a round trip. None before one was measured: an initial
/// window leaves at once.
fn window_rate(cwnd: usize, slow_start: bool, srtt: Option<Duration>) -> Option<u64> {
    let srtt = srtt.filter(|srtt| !srtt.is_zero())?;
    let gain = if slow_start {
        SLOW_START_GAIN
    } else {
        AVOIDANCE_GAIN
    };
    Some((gain * cwnd as f64 / srtt.as_secs_f64()) as u64)
}

/// What is left of the window after `idle` without sending, by any controller; `None` if it was
/// too short to matter. `least` is not decayed below.
///
/// A departure from the letter: a window under `least` is not raised by being idle (after T3-rtx
/// only one packet may be in flight).
fn decayed_window(cwnd: usize, least: usize, idle: Duration, rto: Duration) -> Option<usize> {
    //= RFC 9260 §7.2.1
    //# While the endpoint does not transmit data on a given transport address, the cwnd of the
    //# transport address SHOULD be adjusted to max(cwnd / 2, 4 * PMDCS) once per RTO.
    //= RFC 9260 §7.2.2
    //# Same as in the slow start, when the sender does not transmit DATA chunks on a given
    //# transport address, the cwnd of the transport address SHOULD be adjusted to max(cwnd / 2, 4 *
    //# PMDCS) per RTO.
    //= RFC 9260 §7.1
    //# The parameters SHOULD decay if the address is not used for a long enough time period.
    let periods = idle.as_nanos() / rto.as_nanos().max(1);
    if periods == 0 {
        return None;
    }
    let halvings = u32::try_from(periods).unwrap_or(u32::MAX);
    let halved = cwnd.checked_shr(halvings).unwrap_or(0);
    Some(halved.max(cwnd.min(least)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_windows() {
        assert_eq!(initial_window(1000, false), 4000);
        assert_eq!(initial_window(1440, false), 4404);
        assert_eq!(initial_window(1440, true), 4344);
        assert_eq!(initial_window(8000, false), 16_000);
    }

    #[test]
    fn initial_windows_that_are_set() {
        assert_eq!(large_initial_window(1, 1460), 1460);
        assert_eq!(large_initial_window(10, 1240), 12_400);
        assert_eq!(large_initial_window(10, 1460), 14_600);
        assert_eq!(large_initial_window(10, 2920), 14_600);
        assert_eq!(large_initial_window(10, 8960), 17_920);
    }

    #[test]
    fn a_window_takes_half_a_round_trip_to_leave_and_later_four_fifths() {
        for kind in [CongestionControl::Rfc9260, CongestionControl::Cubic] {
            let config = AssociationConfig::default();
            let mut controller = new(kind, &config, 1000 + COMMON_HEADER, false);
            let srtt = Some(Duration::from_millis(100));
            assert_eq!(controller.pacing_rate(None), None);
            assert_eq!(controller.pacing_rate(Some(Duration::ZERO)), None);
            assert_eq!(controller.window(), 4000);
            assert_eq!(controller.pacing_rate(srtt), Some(80_000), "{kind:?}");
            controller.on_timeout(Instant::EPOCH);
            assert_eq!(controller.window(), 1000);
            assert_eq!(controller.pacing_rate(srtt), Some(20_000), "{kind:?}");
            let mut ack = AckSample {
                now: Instant::EPOCH,
                acked: 1000,
                flight_before: 1000,
                cumulative_advanced: true,
                cwnd_fully_used: true,
                rtt: None,
                in_recovery: false,
            };
            while controller.window() <= controller.ssthresh() {
                ack.now += Duration::from_millis(100);
                controller.on_ack(&ack);
            }
            let rate = controller.window() as f64 * 12.5;
            let paced = controller.pacing_rate(srtt).map(|paced| paced as f64);
            assert!(paced.is_some_and(|paced| (paced - rate).abs() < 15.0));
        }
    }

    #[test]
    fn every_controller_honours_them() {
        use CongestionControl::{Bbr, Cubic, Rfc9260};
        for kind in [Rfc9260, Cubic, Bbr] {
            let mut config = AssociationConfig::default();
            let window = |config: &_| new(kind, config, 1000 + COMMON_HEADER, false).window();
            assert_eq!(window(&config), 4000);
            config.initial_window(Some(10));
            assert_eq!(window(&config), 10_000);
        }
    }
}
