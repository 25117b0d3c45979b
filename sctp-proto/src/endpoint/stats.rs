//! Counters of an endpoint. docs/observability.md has the names that RFC 3873 gives them.

use std::sync::atomic::Ordering::Relaxed;

use crate::accounts::Accounts;

/// What an endpoint has done, and what its associations have done together. None is ever reset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointStats {
    /// INIT chunks answered with INIT ACK.
    pub inits_answered: u64,
    /// Cookies with a wrong MAC, or for other addresses, ports or tags than they came from.
    pub cookies_rejected: u64,
    /// Cookies that came without authentication although they need it, or with a wrong one
    /// (RFC 4895 §6.3).
    pub cookies_unauthenticated: u64,
    /// Cookies past their lifetime.
    pub cookies_stale: u64,
    /// Packets with a wrong checksum.
    pub bad_checksum: u64,
    /// Packets too short, or with chunks that do not parse.
    pub malformed: u64,
    /// Packets that belong to no association (§8.4).
    pub out_of_the_blue: u64,
    /// Replies not sent because of their rate limits.
    pub replies_suppressed: u64,
    /// ICMP messages that are about no association, or came too fast.
    pub icmp_ignored: u64,
    /// INIT and COOKIE ECHO chunks ignored because their source sent too many.
    pub setups_limited: u64,
    /// Peers ignored because too many were waiting.
    pub backlog_overflow: u64,
    /// Associations refused, either way, because of the limits on their number or on what they
    /// hold.
    pub refused_for_resources: u64,

    /// Bytes that associations and waiting peers hold now
    /// ([`max_memory`](crate::EndpointConfig::max_memory)).
    pub memory: usize,
    /// Associations in ESTABLISHED, SHUTDOWN-PENDING or SHUTDOWN-RECEIVED now.
    pub current_established: u64,
    /// Associations that this side began and that were established.
    pub active_establishments: u64,
    /// Associations that the peer began and that were established.
    pub passive_establishments: u64,
    /// Associations ended by an ABORT, of either side.
    pub aborted: u64,
    /// Associations shut down gracefully.
    pub shut_down: u64,
    /// Packets that associations sent.
    pub packets_sent: u64,
    /// Packets that associations received.
    pub packets_received: u64,
    /// Chunks sent that are not DATA or I-DATA.
    pub control_chunks_sent: u64,
    /// Chunks received that are not DATA or I-DATA.
    pub control_chunks_received: u64,
    /// Chunks of ordered messages sent, retransmissions not counted.
    pub ordered_chunks_sent: u64,
    /// Chunks of ordered messages received, duplicates not counted.
    pub ordered_chunks_received: u64,
    /// Chunks of unordered messages sent, retransmissions not counted.
    pub unordered_chunks_sent: u64,
    /// Chunks of unordered messages received, duplicates not counted.
    pub unordered_chunks_received: u64,
    /// User messages sent in more than one chunk.
    pub messages_fragmented: u64,
    /// User messages received in more than one chunk.
    pub messages_reassembled: u64,
    /// Times a peer acknowledged nothing for so long that the user was told.
    pub peer_stalls: u64,
}

impl EndpointStats {
    /// These, with those that associations keep.
    pub(super) fn with(self, accounts: &Accounts) -> Self {
        let totals = &accounts.totals;
        Self {
            memory: accounts.held.bytes(),
            current_established: totals.current_established.load(Relaxed),
            active_establishments: totals.active_establishments.load(Relaxed),
            passive_establishments: totals.passive_establishments.load(Relaxed),
            aborted: totals.aborted.load(Relaxed),
            shut_down: totals.shut_down.load(Relaxed),
            packets_sent: totals.packets_sent.load(Relaxed),
            packets_received: totals.packets_received.load(Relaxed),
            control_chunks_sent: totals.control_chunks_sent.load(Relaxed),
            control_chunks_received: totals.control_chunks_received.load(Relaxed),
            ordered_chunks_sent: totals.ordered_chunks_sent.load(Relaxed),
            ordered_chunks_received: totals.ordered_chunks_received.load(Relaxed),
            unordered_chunks_sent: totals.unordered_chunks_sent.load(Relaxed),
            unordered_chunks_received: totals.unordered_chunks_received.load(Relaxed),
            messages_fragmented: totals.messages_fragmented.load(Relaxed),
            messages_reassembled: totals.messages_reassembled.load(Relaxed),
            peer_stalls: totals.peer_stalls.load(Relaxed),
            ..self
        }
    }
}
