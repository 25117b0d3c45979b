//! Counters of one association. All wrap only after centuries; none is ever reset.

use std::time::Duration;

use crate::congestion::PathModel;

/// What one association has done so far. Byte counts are of user data unless said otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssociationStats {
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets received that belonged to this association.
    pub packets_received: u64,
    /// Bytes of SCTP packets sent, common headers included.
    pub bytes_sent: u64,
    /// Bytes of SCTP packets received, common headers included.
    pub bytes_received: u64,
    /// DATA and I-DATA chunks sent for the first time.
    pub data_chunks_sent: u64,
    /// DATA and I-DATA chunks sent again.
    pub data_chunks_retransmitted: u64,
    /// DATA and I-DATA chunks received, duplicates included.
    pub data_chunks_received: u64,
    /// DATA and I-DATA chunks received that had been received before.
    pub duplicate_chunks: u64,
    /// Chunks sent that are not DATA or I-DATA.
    pub control_chunks_sent: u64,
    /// Chunks received that are not DATA or I-DATA.
    pub control_chunks_received: u64,
    /// Of `data_chunks_sent`, those of ordered messages.
    pub ordered_chunks_sent: u64,
    /// Of `data_chunks_sent`, those of unordered messages.
    pub unordered_chunks_sent: u64,
    /// Of `data_chunks_received`, those of ordered messages that were not duplicates.
    pub ordered_chunks_received: u64,
    /// Of `data_chunks_received`, those of unordered messages that were not duplicates.
    pub unordered_chunks_received: u64,
    /// DATA and I-DATA chunks received before one with a lower TSN.
    pub chunks_out_of_order: u64,
    /// Gap ack blocks in the SACK chunks received.
    pub gap_blocks_received: u64,
    /// User messages sent in more than one chunk.
    pub messages_fragmented: u64,
    /// User messages received in more than one chunk, counted when the last of them came.
    pub messages_reassembled: u64,
    /// User messages that `send` has taken.
    pub messages_sent: u64,
    /// User messages acknowledged in full.
    pub messages_acked: u64,
    /// User messages given up, whether anything of them was sent or not.
    pub messages_abandoned: u64,
    /// FORWARD-TSN and I-FORWARD-TSN chunks sent.
    pub forward_tsns_sent: u64,
    /// FORWARD-TSN and I-FORWARD-TSN chunks received that moved the cumulative TSN on.
    pub forward_tsns_received: u64,
    /// User messages handed to the user, parts of one counted once.
    pub messages_received: u64,
    /// SACK chunks sent.
    pub sacks_sent: u64,
    /// SACK chunks received.
    pub sacks_received: u64,
    /// Times a loss was noticed by missing reports and data sent again at once (§7.2.4).
    pub fast_retransmits: u64,
    /// Tail loss probes sent (RFC 8985 §7).
    pub tail_loss_probes: u64,
    /// Expiries of T1-init and T1-cookie.
    pub t1_expiries: u64,
    /// Expiries of T2-shutdown.
    pub t2_expiries: u64,
    /// Times a path was given up before its time-out, because a probe by another had shown that
    /// nothing arrived.
    pub cross_path_failovers: u64,
    /// Packets dropped because they came from an address that is not the peer's.
    pub dropped_unknown_address: u64,
    /// Expiries of a T3-rtx timer.
    pub t3_expiries: u64,
    /// Retransmissions that turned out not to have been needed: the peer reported a duplicate, or
    /// acknowledged sooner than one can have arrived.
    pub spurious_retransmissions: u64,
    /// Reductions of the congestion window taken back because all they were for had arrived.
    pub reductions_undone: u64,
    /// Packets with DATA that came marked with Congestion Experienced (ECN).
    pub ecn_marks: u64,
    /// Reductions of a congestion window because the peer told of such marks.
    pub ecn_reductions: u64,
    /// Times that data waited for the pacer although the windows allowed it to leave.
    pub pacing_waits: u64,
    /// Chunks or packets dropped because they broke a rule that allows no answer.
    pub dropped_malformed: u64,
    /// Packets dropped for a wrong verification tag (§8.5).
    pub dropped_bad_tag: u64,
    /// AUTH chunks received that were right (RFC 4895).
    pub auth_verified: u64,
    /// AUTH chunks received with a wrong HMAC, an unknown key or algorithm: what followed them was
    /// discarded.
    pub auth_rejected: u64,
    /// Chunks dropped because they have to be authenticated and were not.
    pub auth_missing: u64,
    /// ICMP messages about packets of this association, with its verification tag.
    pub icmp_accepted: u64,
    /// ICMP messages without the tag, or about an address the peer has no more (§10).
    pub icmp_discarded: u64,
    /// DATA chunks dropped for lack of receive buffer.
    pub dropped_no_buffer: u64,
    /// Out-of-order DATA chunks dropped to make room for older ones (§6.2).
    pub reneged: u64,
    /// Bytes discarded because a stalled stream was not read.
    pub stall_discarded_bytes: u64,
    /// Times the peer acknowledged nothing for so long that the user was told.
    pub peer_stalls: u64,
    /// Times the association reached ESTABLISHED, but for restarts.
    pub establishments: u64,
    /// Times the peer set the association up anew (§5.2.4 action A).
    pub restarts: u64,
}

/// Bytes that one association holds, what it costs to hold them included. On the heap it is 0.7 to 1
/// times as much, and up to 1.8 times if nothing but single bytes out of order is held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// Messages queued or not yet acknowledged, and the records of their chunks.
    pub send: usize,
    /// What was received and is not read, fragments included: what counts against the window.
    pub receive: usize,
    /// The association itself, and control chunks that wait to be sent.
    pub control: usize,
}

impl Memory {
    /// All of it.
    pub const fn total(&self) -> usize {
        self.send + self.receive + self.control
    }
}

/// What one path has done so far, and how it stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathStats {
    /// Smoothed round-trip time (§6.3.1); zero before the first measurement.
    pub srtt: Duration,
    /// How much round-trip times vary (RTTVAR, §6.3.1); zero before the first measurement.
    pub rtt_variation: Duration,
    /// The round-trip time measured last.
    pub latest_rtt: Option<Duration>,
    /// The smallest round-trip time measured.
    pub min_rtt: Option<Duration>,
    /// Retransmission time-out.
    pub rto: Duration,
    /// The largest retransmission time-out there was, back-off included; zero before the first
    /// measurement.
    pub largest_rto: Duration,
    /// Congestion window, bytes.
    pub cwnd: usize,
    /// Slow-start threshold, bytes.
    pub ssthresh: usize,
    /// Bytes per second at which data leaves, chunk headers included; `None` where the window alone
    /// limits it.
    pub pacing_rate: Option<u64>,
    /// What a controller that models the path, as BBR does, knows of it.
    pub model: Option<PathModel>,
    /// Bytes outstanding.
    pub flight: usize,
    /// Largest SCTP packet sent, bytes (IP and UDP headers not counted).
    pub max_packet: usize,
    /// HEARTBEAT chunks sent that were padded to find out whether larger packets get through
    /// (RFC 8899); not among `heartbeats_sent`.
    pub mtu_probes_sent: u64,
    /// Those of them that were answered.
    pub mtu_probes_acked: u64,
    /// Times that the path was taken to have become narrow, since large packets got lost and no large
    /// one arrived.
    pub black_holes: u64,
    /// Consecutive failures counted against Path.Max.Retrans.
    pub errors: u32,
    /// HEARTBEAT chunks sent.
    pub heartbeats_sent: u64,
    /// HEARTBEAT ACK chunks that matched one.
    pub heartbeats_acked: u64,
    /// Expiries of T3-rtx on this path.
    pub t3_expiries: u64,
    /// Packets sent there.
    pub packets_sent: u64,
    /// Bytes of SCTP packets sent there, common headers included.
    pub bytes_sent: u64,
    /// Packets received from there.
    pub packets_received: u64,
    /// Bytes of SCTP packets received from there, common headers included.
    pub bytes_received: u64,
    /// DATA and I-DATA chunks sent there that had been sent before, by any path.
    pub chunks_retransmitted: u64,
    /// Changes of [`PathState`](crate::PathState).
    pub state_changes: u64,
}
