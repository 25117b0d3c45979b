//! How an association stands: SCTP_STATUS of RFC 6458 §8.2.1.

use super::{Association, AssociationState, PathInfo, state::Phase};
use crate::ids::Tsn;

/// How an association stands now.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AssociationStatus {
    /// The state (§4).
    pub state: AssociationState,
    /// The peer's receive window less what is in flight, bytes.
    pub peer_window: usize,
    /// DATA chunks sent and not acknowledged cumulatively.
    pub unacknowledged_chunks: usize,
    /// Bytes of messages queued or not yet acknowledged.
    pub buffered: usize,
    /// DATA chunks received and not read, those that wait for others included.
    pub pending_chunks: usize,
    /// The last TSN received in sequence.
    pub cumulative_tsn: Option<Tsn>,
    /// Usable streams to send on.
    pub outbound_streams: u16,
    /// Usable streams to receive on.
    pub inbound_streams: u16,
    /// Bytes of user data from which a message is fragmented, on the primary path.
    pub fragmentation_point: usize,
    /// The path that new data takes.
    pub primary: Option<PathInfo>,
    /// The peer is alive and has acknowledged nothing for long
    /// ([`Event::PeerStalled`](crate::Event::PeerStalled)).
    pub peer_stalled: bool,
    /// What the peer said it adapts to (RFC 5061 §4.2.6).
    pub adaptation_indication: Option<u32>,
}

impl Association {
    /// How the association stands.
    pub fn status(&self) -> AssociationStatus {
        let (outbound_streams, inbound_streams) = self.streams();
        let mut status = AssociationStatus {
            state: self.state(),
            peer_window: 0,
            unacknowledged_chunks: 0,
            buffered: self.cx.queue.buffered(),
            pending_chunks: 0,
            cumulative_tsn: None,
            outbound_streams,
            inbound_streams,
            fragmentation_point: 0,
            primary: self.paths().find(|path| path.is_primary),
            peer_stalled: self.is_peer_stalled(),
            adaptation_indication: None,
        };
        match &self.phase {
            Phase::CookieWait(_) => {}
            Phase::Open(tcb) => {
                status.peer_window = tcb.peer_rwnd;
                status.unacknowledged_chunks = tcb.outstanding.len();
                status.pending_chunks = tcb.rx.chunks();
                status.cumulative_tsn = Some(tcb.tsn_map.cumulative());
                let full = tcb.full_payload();
                status.fragmentation_point = self.cx.config.segment(full);
                status.adaptation_indication = tcb.agreed.adaptation;
            }
            Phase::Closed(rx, _) => {
                status.pending_chunks = rx.as_ref().map_or(0, |rx| rx.chunks());
            }
        }
        status
    }
}
