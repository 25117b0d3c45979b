//! How much may be in flight on a path.
//!
//! A [`Controller`] sees bytes and times, never packets, chunks or TSNs. Byte counts are of DATA
//! chunks as they lie in a packet, header and padding included (§7.2), as
//! [`Outstanding::flight`](crate::tx::Outstanding::flight) has them.

mod rfc9260;

use std::{fmt::Debug, time::Duration};

use crate::{config::CongestionControl, time::Instant};

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
    /// Bytes per second at which data arrived, where measured.
    pub(crate) delivery_rate: Option<u64>,
    /// Whether the path was in fast recovery before this SACK.
    pub(crate) in_recovery: bool,
}

/// Congestion controller of one path. Chosen at run time, one per path, never shared.
///
/// Order of calls for one SACK: `on_ack`, then `on_recovery_exit` if it ends fast recovery, then
/// `on_loss` if it begins it (§7.2.4: growth is applied before reduction).
#[allow(dead_code)] // pacing is for rate-based controllers
pub(crate) trait Controller: Send + Debug {
    /// A packet with `bytes` of DATA chunks left; `flight` counts them already. `app_limited` if
    /// the sender had no more to send although the window had room.
    fn on_sent(&mut self, now: Instant, bytes: usize, flight: usize, app_limited: bool);

    /// A SACK acknowledged data sent on this path.
    fn on_ack(&mut self, ack: &AckSample);

    /// `lost` bytes are taken for lost; called once per fast recovery, when it begins.
    fn on_loss(&mut self, now: Instant, lost: usize);

    /// Everything that was in flight when fast recovery began is acknowledged.
    fn on_recovery_exit(&mut self);

    /// T3-rtx ran out on this path.
    fn on_timeout(&mut self, now: Instant);

    /// Data is about to leave after `idle` without any. To be called once per idle period.
    fn on_idle(&mut self, now: Instant, idle: Duration, rto: Duration);

    /// The largest packet of the path changed.
    fn on_mtu(&mut self, max_packet: usize);

    /// The congestion window, bytes. Never less than one full chunk.
    fn window(&self) -> usize;

    /// The slow-start threshold, bytes.
    fn ssthresh(&self) -> usize;

    /// Bytes per second to send at; `None` for as fast as the window allows.
    fn pacing_rate(&self) -> Option<u64>;
}

/// A controller for a path whose packets have at most `max_packet` bytes, SCTP common header
/// included.
//= RFC 9260 §7.2
//# The slow-start and congestion avoidance algorithms MUST be used by an endpoint to control the
//# amount of data being injected into the network.
//= RFC 9260 §7.2
//# Unlike TCP, an SCTP sender MUST keep a set of the control variables cwnd, ssthresh, and
//# partial_bytes_acked for EACH destination address of its peer (when its peer is multi-homed).
pub(crate) fn new(kind: CongestionControl, max_packet: usize, ipv6: bool) -> Box<dyn Controller> {
    match kind {
        CongestionControl::Rfc9260 => Box::new(rfc9260::Rfc9260::new(max_packet, ipv6)),
    }
}
