//! What happens to an association, as typed values for whoever wants to write them down: packets,
//! measurements, states, timers, and what the user is told.
//!
//! Off unless [`AssociationConfig::event_log`](crate::AssociationConfig::event_log) is set; then
//! every event costs one look at an `Option`, and nothing is formatted or copied here. The words
//! are those of qlog (draft-ietf-quic-qlog-main-schema) where it has one for the same.

mod chunks;

use std::{
    fmt::{self, Debug},
    net::SocketAddr,
    time::Duration,
};

pub use self::chunks::{ChunkFields, ChunkHeader, chunk_headers, chunk_name};
use crate::{
    association::{AssociationState, Event},
    ids::PathId,
    time::Instant,
};

/// Where associations are written down: asked once for each.
pub trait EventLog: Debug + Send + Sync {
    /// Begins the log of an association; `None` leaves it without.
    fn open(&self, now: Instant, association: &Vantage) -> Option<Box<dyn EventWriter>>;
}

/// Takes the events of one association, in order. Called from within the association's methods:
/// what it does, they wait for.
pub trait EventWriter: Send {
    /// Writes one down.
    fn write(&mut self, now: Instant, event: &LogEvent<'_>);
}

/// Which association a log is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vantage {
    /// Whether this side sent the INIT.
    pub is_client: bool,
    /// The address and UDP port of the peer that the association is set up with.
    pub remote: SocketAddr,
    /// SCTP port of this side.
    pub local_port: u16,
    /// SCTP port of the peer.
    pub remote_port: u16,
    /// The verification tag of the packets that come in, by which a capture is found.
    pub local_tag: u32,
}

/// One thing that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogEvent<'a> {
    /// A packet leaves.
    PacketSent {
        /// By this path; `None` for answers that go back by the way that what they answer came.
        path: Option<PathId>,
        /// Where to.
        to: SocketAddr,
        /// The SCTP packet, for [`chunk_headers`].
        packet: &'a [u8],
    },
    /// A packet came that belongs to the association.
    PacketReceived {
        /// By this path; `None` if it is not known for one.
        path: Option<PathId>,
        /// Where from.
        from: SocketAddr,
        /// The SCTP packet, for [`chunk_headers`].
        packet: &'a [u8],
    },
    /// The association went from one state to another.
    StateChanged {
        /// The state before.
        old: AssociationState,
        /// The state now.
        new: AssociationState,
    },
    /// What is known about a path, where something of it is other than it was.
    MetricsUpdated {
        /// The path.
        path: PathId,
        /// All of it.
        metrics: PathMetrics,
    },
    /// A path's congestion control is in another phase.
    CongestionStateChanged {
        /// The path.
        path: PathId,
        /// The phase now.
        new: CongestionState,
    },
    /// Data sent on a path counts as lost.
    DataLost {
        /// The path.
        path: PathId,
        /// Bytes of DATA chunks.
        bytes: usize,
        /// Why.
        trigger: LossTrigger,
    },
    /// A timer ran out.
    TimerExpired {
        /// Its name in RFC 9260, or what it is for.
        timer: &'a str,
        /// The path, if it is a path's.
        path: Option<PathId>,
    },
    /// The user is told: paths, streams, messages that failed, the end.
    Notified(&'a Event),
}

/// Why data counts as lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LossTrigger {
    /// Acknowledgements tell: three reports that it is missing, or send times.
    Acknowledgement,
    /// T3-rtx ran out.
    TimeOut,
}

/// The phase of a path's congestion control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CongestionState {
    /// The window is below the slow-start threshold (§7.2.1).
    SlowStart,
    /// The window is at the slow-start threshold or above (§7.2.2).
    CongestionAvoidance,
    /// Losses are being repaired (§7.2.4).
    FastRecovery,
}

/// What is known about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathMetrics {
    /// Smoothed round-trip time, once measured.
    pub smoothed_rtt: Option<Duration>,
    /// The smallest round-trip time measured.
    pub min_rtt: Option<Duration>,
    /// The round-trip time measured last.
    pub latest_rtt: Option<Duration>,
    /// How much they vary.
    pub rtt_variance: Duration,
    /// Retransmission time-out.
    pub rto: Duration,
    /// Congestion window, bytes.
    pub congestion_window: usize,
    /// Slow-start threshold, bytes.
    pub ssthresh: usize,
    /// Bytes outstanding.
    pub bytes_in_flight: usize,
    /// Bytes per second at which data leaves, where that is limited.
    pub pacing_rate: Option<u64>,
    /// The peer's receive window less what is in flight, bytes.
    pub peer_window: usize,
    /// Largest SCTP packet, bytes.
    pub max_packet: usize,
}

/// The log of one association, if it has one.
#[derive(Default)]
pub(crate) struct Log(Option<Box<Open>>);

struct Open {
    writer: Box<dyn EventWriter>,
    /// The time of the input or command at hand.
    now: Instant,
    state: AssociationState,
    /// What was written last about each path.
    paths: Vec<(PathId, PathMetrics, CongestionState)>,
}

impl Log {
    pub(crate) fn new(now: Instant, writer: Option<Box<dyn EventWriter>>) -> Self {
        Self(writer.map(|writer| {
            Box::new(Open {
                writer,
                now,
                state: AssociationState::Closed,
                paths: Vec::new(),
            })
        }))
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// An input or command begins.
    #[inline]
    pub(crate) fn at(&mut self, now: Instant) {
        if let Some(open) = &mut self.0 {
            open.now = now;
        }
    }

    /// Something happened in the input or command at hand.
    #[inline]
    pub(crate) fn write(&mut self, event: &LogEvent<'_>) {
        if let Some(open) = &mut self.0 {
            open.writer.write(open.now, event);
        }
    }

    /// The packets of a batch leave.
    #[inline]
    pub(crate) fn sent(
        &mut self,
        path: Option<PathId>,
        to: SocketAddr,
        batch: &[u8],
        segment_size: usize,
    ) {
        if self.is_on() {
            for packet in batch.chunks(segment_size.max(1)) {
                self.write(&LogEvent::PacketSent { path, to, packet });
            }
        }
    }

    /// Writes the state if it is another.
    pub(crate) fn state(&mut self, new: AssociationState) {
        if let Some(open) = &mut self.0
            && open.state != new
        {
            let old = std::mem::replace(&mut open.state, new);
            open.writer
                .write(open.now, &LogEvent::StateChanged { old, new });
        }
    }

    /// Writes what is other about a path.
    pub(crate) fn path(&mut self, path: PathId, metrics: PathMetrics, state: CongestionState) {
        let Some(open) = &mut self.0 else { return };
        let (new_metrics, new_state) = match open.paths.iter_mut().find(|(id, ..)| *id == path) {
            Some((_, known, phase)) => (
                std::mem::replace(known, metrics) != metrics,
                std::mem::replace(phase, state) != state,
            ),
            None => {
                open.paths.push((path, metrics, state));
                (true, true)
            }
        };
        if new_metrics {
            let event = LogEvent::MetricsUpdated { path, metrics };
            open.writer.write(open.now, &event);
        }
        if new_state {
            let event = LogEvent::CongestionStateChanged { path, new: state };
            open.writer.write(open.now, &event);
        }
    }
}

impl Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() { "Log(on)" } else { "Log(off)" })
    }
}
