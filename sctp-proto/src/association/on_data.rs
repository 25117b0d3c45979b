//! DATA and I-DATA in: TSN map, reassembly, acknowledgement (§6.2).

use bytes::Bytes;

use super::{
    cx::{Cx, Fatal, Handled},
    inbound::DataSeen,
    state::State,
    tcb::{MAX_OWED_SACKS, Tcb},
};
use crate::{
    error::CloseReason,
    rx::{GapBlocks, RxChunk, RxError, TsnCheck},
    time::Instant,
    wire::{COMMON_HEADER, CauseWriter, Data, PacketWriter},
};

/// Gap ack blocks in a SACK that is owed, which waits for its packet: as many as fit the MTU of an
/// Ethernet, so that a path with a larger one does not cost memory.
const MAX_OWED_GAP_BLOCKS: usize = 360;

impl Tcb {
    /// One DATA or (`interleaved`) I-DATA chunk.
    pub(super) fn on_data(
        &mut self,
        cx: &mut Cx,
        packet: &Bytes,
        data: Data,
        interleaved: bool,
        seen: &mut DataSeen,
    ) -> Handled {
        cx.stats.data_chunks_received += 1;
        //= RFC 9260 §6
        //# DATA chunks MUST only be received according to the rules below in ESTABLISHED,
        //# SHUTDOWN-PENDING, and SHUTDOWN-SENT states.
        //= RFC 9260 §6
        //# A DATA chunk received in any other state SHOULD be discarded.
        // Not in COOKIE-ECHOED: DATA says there that the cookie was taken.
        if !self.state.takes_data() {
            return Ok(());
        }
        if interleaved != self.agreed.capabilities.interleaving() {
            return Err(violation("DATA and I-DATA mixed up"));
        }
        //= RFC 9260 §6.2
        //# If an endpoint receives a DATA chunk with no user data (i.e., the Length field is set to
        //# 16), it SHOULD send an ABORT chunk with a "No User Data" error cause.
        if data.payload.is_empty() {
            let mut causes = CauseWriter::new();
            causes.no_user_data(data.tsn);
            return Err(Fatal {
                reason: CloseReason::PeerMisbehaved("DATA chunk without user data"),
                abort: Some(causes),
            });
        }
        seen.any = true;
        if seen.lowest.is_none_or(|lowest| data.tsn.before(lowest)) {
            seen.lowest = Some(data.tsn);
        }
        //= RFC 9260 §6.2
        //# Upon receipt of an SCTP packet containing a DATA chunk with the I bit set, the receiver
        //# SHOULD NOT delay the sending of the corresponding SACK chunk, i.e., the receiver SHOULD
        //# immediately respond with the corresponding SACK chunk.
        seen.immediately |= data.immediate;
        match self.tsn_map.check(data.tsn) {
            TsnCheck::New => {}
            TsnCheck::Duplicate => {
                cx.stats.duplicate_chunks += 1;
                self.tsn_map.duplicate(data.tsn);
                seen.duplicate = true;
                //= RFC 9260 §6.2
                //# When a packet arrives with duplicate DATA chunk(s) and with no new DATA
                //# chunk(s), the endpoint MUST immediately send a SACK chunk with no delay.
                seen.immediately = true;
                return Ok(());
            }
            TsnCheck::TooFar => {
                cx.stats.dropped_no_buffer += 1;
                seen.immediately = true;
                return Ok(());
            }
        }
        //= RFC 9260 §6.2
        //# When the receiver's advertised window is 0, the receiver MUST drop any new incoming DATA
        //# chunk with a TSN larger than the largest TSN received so far.
        if self.rx.is_closed() && self.tsn_map.highest().before(data.tsn) {
            cx.stats.dropped_no_buffer += 1;
            seen.immediately = true;
            return Ok(());
        }
        if data.stream.0 >= self.agreed.inbound_streams {
            //= RFC 9260 §6.5
            //# If an endpoint receives a DATA chunk with an invalid stream identifier, it SHOULD
            //# acknowledge the reception of the DATA chunk following the normal procedure,
            //# immediately send an ERROR chunk with cause set to "Invalid Stream Identifier" (see
            //# Section 3.3.10), and discard the DATA chunk.
            self.due
                .error(|causes| _ = causes.invalid_stream(data.stream));
        //= RFC 9260 §6.2
        //# In either case, if such a DATA chunk is dropped, the receiver MUST immediately send back
        //# a SACK chunk with the current receive window showing only DATA chunks received and
        //# accepted so far.
        //= RFC 9260 §6.2
        //# The dropped DATA chunk(s) MUST NOT be included in the SACK chunk, as they were not
        //# accepted.
        } else if !self.reassemble(cx, packet, &data)? {
            cx.stats.dropped_no_buffer += 1;
            seen.immediately = true;
            return Ok(());
        }
        match data.unordered {
            true => cx.stats.unordered_chunks_received += 1,
            false => cx.stats.ordered_chunks_received += 1,
        }
        cx.stats.messages_reassembled += u64::from(data.end && !data.begin);
        cx.stats.chunks_out_of_order += u64::from(data.tsn != self.tsn_map.cumulative().next());
        let had_gaps = self.tsn_map.has_gaps();
        let before = self.tsn_map.cumulative();
        //= RFC 9260 §6.2
        //# The SCTP endpoint MUST always acknowledge the reception of each valid DATA chunk when
        //# the DATA chunk received is inside its receive window.
        self.tsn_map.insert(data.tsn);
        let cumulative = self.tsn_map.cumulative();
        if cumulative != before {
            self.rx.on_cumulative(cumulative);
            self.reconfig_reached(cx);
        }
        //= RFC 9260 §6.7
        //# Upon the reception of a new DATA chunk, an endpoint examines the continuity of the TSNs
        //# received. If the endpoint detects a gap in the received DATA chunk sequence, it SHOULD
        //# send a SACK chunk with Gap Ack Blocks immediately.
        //= RFC 9260 §7.2.4
        //# However, whenever an endpoint notices a hole in the arriving TSN sequence, it SHOULD
        //# start sending a SACK chunk back every time a packet arrives carrying data until the hole
        //# is filled.
        //= RFC 9260 §9.2
        //# If a SHUTDOWN chunk by itself cannot acknowledge all of the received DATA chunks (i.e.,
        //# there are TSNs that can be acknowledged that are larger than the cumulative TSN and thus
        //# gaps exist in the TSN sequence) or if duplicate TSNs have been received, then a SACK
        //# chunk MUST also be sent.
        seen.immediately |= had_gaps || self.tsn_map.has_gaps();
        Ok(())
    }

    /// Keeps a chunk, giving up younger ones if need be; false if there is no room for it.
    fn reassemble(&mut self, cx: &mut Cx, packet: &Bytes, data: &Data) -> Result<bool, Fatal> {
        //= RFC 9260 §6.2
        //# Also, if the new incoming DATA chunk holds a TSN value less than the largest TSN received
        //# so far, then the receiver SHOULD drop the largest TSN held for reordering and accept the
        //# new incoming DATA chunk.
        //= RFC 9260 §6.2
        //# An endpoint SHOULD NOT revoke a SACK chunk and discard data.
        while !self.rx.has_room(data.stream, data.payload.len()) {
            let Some(given_up) = self.rx.renege(self.tsn_map.cumulative(), data.tsn) else {
                return Ok(false);
            };
            //= RFC 9260 §6.2
            //# If a data receiver drops DATA chunks, it MUST NOT include them in Gap Ack Blocks in
            //# subsequent SACK chunks until they are received again via retransmission.
            self.tsn_map.remove(given_up);
            cx.stats.reneged += 1;
        }
        let inserted = self.rx.insert(RxChunk {
            tsn: data.tsn,
            stream: data.stream,
            unordered: data.unordered,
            begin: data.begin,
            end: data.end,
            seq: data.seq,
            fsn: data.fsn,
            ppid: data.ppid,
            payload: packet.slice(data.payload.clone()),
            buffer: packet.len() as u32,
            cumulative: data.tsn == self.tsn_map.cumulative().next(),
        });
        match inserted {
            Ok(()) => Ok(true),
            Err(RxError::NoRoom) => Ok(false),
            Err(RxError::Violation(how)) => Err(violation(how)),
        }
    }

    /// Once per packet that had DATA chunks.
    pub(super) fn on_data_packet(&mut self, cx: &mut Cx, now: Instant, immediately: bool) {
        cx.restart_autoclose(now);
        if self.state == State::ShutdownSent {
            //= RFC 9260 §9.2
            //# While in the SHUTDOWN-SENT state, the SHUTDOWN chunk sender MUST immediately respond
            //# to each received packet containing one or more DATA chunks with a SHUTDOWN chunk and
            //# restart the T2-shutdown timer.
            //= RFC 9260 §4
            //# In the SHUTDOWN-SENT state, the endpoint MUST acknowledge any received DATA chunks
            //# without delay.
            self.due.shutdown = true;
            self.restart_t2(cx, now);
        }
        if self.sack.on_data_packet(now, immediately) && self.owed_sacks.len() < MAX_OWED_SACKS {
            let packet = self.paths.get(self.sack_path).max_packet;
            let room = packet - COMMON_HEADER - PacketWriter::sack_size(0, 0);
            let gaps = self.gap_blocks((room / 4).min(MAX_OWED_GAP_BLOCKS));
            self.owed_sacks.push((self.tsn_map.cumulative(), gaps));
        }
    }
}

impl Tcb {
    /// The first `max` gap ack blocks.
    pub(super) fn gap_blocks(&self, max: usize) -> GapBlocks {
        let mut gaps = GapBlocks::new();
        if self.tsn_map.has_gaps() {
            self.tsn_map.gap_blocks(max, &mut gaps);
        }
        gaps
    }
}

/// The peer broke a rule for which §4.2 of RFC 8260 and others ask for an ABORT.
pub(super) fn violation(how: &'static str) -> Fatal {
    let mut causes = CauseWriter::new();
    causes.protocol_violation(how.as_bytes());
    Fatal {
        reason: CloseReason::PeerMisbehaved(how),
        abort: Some(causes),
    }
}
