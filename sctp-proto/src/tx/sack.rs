//! SACK in, outcome out (§6.2.1).

use std::time::Duration;

use smallvec::SmallVec;

use super::{
    outstanding::{Credit, Outstanding, Record, State},
    queue::SendQueue,
};
use crate::{
    ids::{PathId, Tsn},
    time::Instant,
};

/// What an acknowledgement changed. Reused from one to the next, so that none allocates.
#[derive(Debug)]
pub struct AckOutcome {
    /// Whether the cumulative TSN ack point moved.
    pub cumulative_advanced: bool,
    /// The paths on which data was newly acknowledged.
    pub acked: SmallVec<[PathAck; 2]>,
    /// A round-trip time: of the highest newly acknowledged TSN that was sent only once, and on
    /// which path. At most one per SACK; at most one per round trip is for the caller to see to.
    pub rtt: Option<(PathId, Duration)>,
    /// What was newly marked lost, per path.
    pub lost: SmallVec<[PathLoss; 2]>,
    /// Highest TSN assigned: the exit point, if fast recovery begins now (§7.2.4 rule 6).
    pub highest_outstanding: Tsn,
    /// Messages acknowledged in full.
    pub messages_acked: u32,
    /// Whether nothing is queued or outstanding any more.
    pub dry: bool,
    /// TSNs the peer had acknowledged by gap blocks and no longer does.
    pub reneged: u32,
    /// Retransmissions acknowledged too soon to have been needed.
    pub spurious: u64,
    /// Gap blocks ignored: empty, out of order, overlapping, or touching the cumulative TSN.
    pub bad_gap_blocks: u32,
}

/// What was newly acknowledged on one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathAck {
    pub path: PathId,
    /// Bytes of chunks newly acknowledged, cumulatively or by gap blocks. What the peer takes back
    /// and acknowledges once more is not counted again.
    pub bytes: usize,
    /// Bytes in flight on the path before.
    pub flight_before: usize,
    /// Whether the earliest TSN outstanding on the path is among them, so that T3-rtx restarts
    /// (§6.3.2 R3).
    pub includes_earliest: bool,
    /// Whether some of it arrived in a large packet.
    pub large: bool,
}

/// What was newly marked lost on one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathLoss {
    pub path: PathId,
    /// Bytes of chunks.
    pub bytes: usize,
    /// If there are retransmissions among them, when the last of these left.
    pub resent_at: Option<Instant>,
    /// If some were in large packets, when the last of these left.
    pub large_at: Option<Instant>,
}

/// The acknowledgement breaks the protocol; the association has to be aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SackError {
    /// It acknowledges a TSN that was never sent.
    BeyondSent,
}

impl Default for AckOutcome {
    fn default() -> Self {
        Self {
            cumulative_advanced: false,
            acked: SmallVec::new(),
            rtt: None,
            lost: SmallVec::new(),
            highest_outstanding: Tsn::new(0),
            messages_acked: 0,
            dry: false,
            reneged: 0,
            spurious: 0,
            bad_gap_blocks: 0,
        }
    }
}

impl AckOutcome {
    /// Makes it ready for the next acknowledgement.
    pub fn clear(&mut self) {
        self.acked.clear();
        self.lost.clear();
        *self = Self {
            acked: std::mem::take(&mut self.acked),
            lost: std::mem::take(&mut self.lost),
            ..Self::default()
        };
    }

    pub(super) fn add_lost(&mut self, record: &Record, bytes: usize) {
        let resent_at = (record.transmits > 1).then_some(record.sent_at);
        let large_at = record.large.then_some(record.sent_at);
        match self.lost.iter_mut().find(|lost| lost.path == record.path) {
            Some(lost) => {
                lost.bytes += bytes;
                lost.resent_at = lost.resent_at.max(resent_at);
                lost.large_at = lost.large_at.max(large_at);
            }
            None => self.lost.push(PathLoss {
                path: record.path,
                bytes,
                resent_at,
                large_at,
            }),
        }
    }
}

impl Outstanding {
    /// Applies a SACK: its cumulative TSN ack and its gap ack blocks, as (start, end) offsets
    /// from that, read in place. An older SACK than the last changes nothing.
    ///
    /// Costs what it changes: each TSN newly acknowledged, reneged or reported missing, and each
    /// gap block; never the window, nor the distance a peer claims. Nothing is changed on error.
    /// The outcome is added to what `outcome` holds.
    pub fn apply_sack(
        &mut self,
        now: Instant,
        cumulative: Tsn,
        gap_blocks: impl Iterator<Item = (u16, u16)>,
        queue: &mut SendQueue,
        in_fast_recovery: bool,
        outcome: &mut AckOutcome,
    ) -> Result<(), SackError> {
        let Some(advance) = self.advance_to(cumulative)? else {
            return Ok(());
        };
        self.read_gap_blocks(advance, gap_blocks, outcome)?;
        self.acknowledge_front(now, advance, queue, outcome);
        self.acknowledge_gaps(now, in_fast_recovery, outcome);
        if let Some((path, rtt)) = outcome.rtt {
            self.paths[path.index()].rack.measured(now, rtt);
        }
        self.find_lost();
        outcome.dry = queue.is_empty();
        Ok(())
    }

    /// Applies the cumulative TSN ack of a SHUTDOWN chunk, which says nothing about gaps.
    pub fn apply_cumulative(
        &mut self,
        now: Instant,
        cumulative: Tsn,
        queue: &mut SendQueue,
        outcome: &mut AckOutcome,
    ) -> Result<(), SackError> {
        let Some(advance) = self.advance_to(cumulative)? else {
            return Ok(());
        };
        self.acknowledge_front(now, advance, queue, outcome);
        self.find_lost();
        outcome.dry = queue.is_empty();
        Ok(())
    }

    /// How many records a cumulative TSN ack covers; `None` if it is an old one.
    fn advance_to(&self, cumulative: Tsn) -> Result<Option<u32>, SackError> {
        //= RFC 9260 §6.2.1
        //# If Cumulative TSN Ack is less than the Cumulative TSN Ack Point, then drop the SACK
        //# chunk.
        if cumulative.before(self.cumulative) {
            return Ok(None);
        }
        let advance = cumulative.distance_from(self.cumulative);
        //= RFC 9260 §12.4
        //# An SCTP implementation MUST abort the association if it receives a SACK chunk
        //# acknowledging a TSN that has not been sent.
        if advance as usize > self.records.len() {
            return Err(SackError::BeyondSent);
        }
        Ok(Some(advance))
    }

    /// Reads the gap blocks into `claimed`, as ranges of indexes after the ring has advanced.
    fn read_gap_blocks(
        &mut self,
        advance: u32,
        gap_blocks: impl Iterator<Item = (u16, u16)>,
        outcome: &mut AckOutcome,
    ) -> Result<(), SackError> {
        let sent = self.records.len() as u32 - advance;
        self.claimed.clear();
        for (start, end) in gap_blocks {
            // Offset 1 is the TSN after the cumulative one, which has index 0.
            let (start, end) = (u32::from(start).wrapping_sub(1), u32::from(end));
            let last = self.claimed.last_mut();
            let free_from = last.as_ref().map_or(1, |last| last.1);
            if start == u32::MAX || start < free_from || end <= start {
                outcome.bad_gap_blocks += 1;
                continue;
            }
            if end > sent {
                return Err(SackError::BeyondSent);
            }
            match last {
                Some(last) if last.1 == start => last.1 = end,
                _ => self.claimed.push((start, end)),
            }
        }
        self.claim_kept(advance);
        Ok(())
    }

    /// Takes the acknowledged records off the front and lets their messages go.
    fn acknowledge_front(
        &mut self,
        now: Instant,
        count: u32,
        queue: &mut SendQueue,
        outcome: &mut AckOutcome,
    ) {
        outcome.highest_outstanding = self.next_tsn().previous();
        outcome.cumulative_advanced |= count > 0;
        for n in 1..=count {
            let Some(record) = self.records.pop_front() else {
                break;
            };
            let note = self.take_front_note();
            if record.state == State::GapAcked {
                let size = self.chunk_size(record.len);
                self.paths[record.path.index()].rack.gap_bytes -= size;
            } else if record.is_abandoned() {
                self.skipped(&record, outcome);
            } else {
                //= RFC 9260 §6.3.1
                //# RTT measurements SHOULD only be made using a DATA chunk with TSN r if no DATA
                //# chunk with TSN less than or equal to r was retransmitted since the DATA chunk
                //# with TSN r was sent first.
                let unambiguous = self.last_resent.is_none_or(|at| record.sent_at > at);
                let tsn = self.cumulative.plus(n);
                self.note_delivered(now, note, &record);
                self.newly_acked(now, tsn, &record, None, unambiguous, outcome);
            }
            //= RFC 9260 §6.7
            //# Upon the reception of a SACK chunk, the endpoint MUST remove all DATA chunks that
            //# have been acknowledged by the SACK chunk's Cumulative TSN Ack from its transmit
            //# queue.
            if record.credit == Credit::Kept {
                queue.passed(record.key, record.len);
            }
            outcome.messages_acked += u32::from(queue.acked(record.key, record.len));
        }
        if count > 0 {
            self.shift(count);
        }
    }

    /// Compares the gap blocks with those of the last SACK.
    fn acknowledge_gaps(&mut self, now: Instant, in_fast_recovery: bool, outcome: &mut AckOutcome) {
        if self.claimed.is_empty() && self.gaps.is_empty() {
            return;
        }
        let claimed = std::mem::take(&mut self.claimed);
        let gaps = std::mem::take(&mut self.gaps);
        // One past the highest TSN newly acknowledged.
        let mut newly_acked = 0;
        let mut newest = None;
        difference(&claimed, &gaps, |start, end| {
            for index in start..end {
                let record = self.records[index as usize];
                // What a gap block newly covers has just arrived, whatever was sent again before
                // it: that rule of §6.3.1 is about what a filled gap acknowledges.
                let tsn = self.cumulative.plus(index + 1);
                self.note_delivered(now, self.note_of(index), &record);
                self.newly_acked(now, tsn, &record, Some(index), true, outcome);
                let size = self.chunk_size(record.len);
                self.paths[record.path.index()].rack.gap_bytes += size;
                let record = &mut self.records[index as usize];
                record.state = State::GapAcked;
                if record.credit == Credit::Due {
                    record.credit = Credit::Counted;
                }
                if record.transmits == 1 {
                    newest = newest.max(Some(record.sent_at));
                }
            }
            newly_acked = end;
        });

        //= RFC 9260 §7.2.4
        //# For each incoming SACK chunk, miss indications are incremented only for missing TSNs
        //# prior to the HTNA in the SACK chunk.
        //= RFC 9260 §7.2.4
        //# Miss indications SHOULD follow the Highest TSN Newly Acknowledged (HTNA) algorithm.
        let mut reported = newly_acked;
        //= RFC 9260 §7.2.4
        //# If an endpoint is in Fast Recovery and a SACK chunks arrives that advances the
        //# Cumulative TSN Ack Point, the miss indications are incremented for all TSNs reported
        //# missing in the SACK chunk.
        if in_fast_recovery && outcome.cumulative_advanced {
            reported = claimed.last().map_or(0, |last| last.1);
        }
        difference(&gaps, &claimed, |start, end| {
            outcome.reneged += end - start;
            self.renege(start, end, reported);
        });
        self.gaps = claimed;
        self.claimed = gaps;
        if self.countable < reported {
            self.count_misses(reported, newest, outcome);
        }
    }

    /// Accounts for a record, in whatever state it was, that is acknowledged, for the first time
    /// or again after the peer had taken that back: its bytes count once. `index` is where it is, `None` if it was in front. Only the first record of a path in a
    /// SACK can be the earliest there: they come in order.
    fn newly_acked(
        &mut self,
        now: Instant,
        tsn: Tsn,
        record: &Record,
        index: Option<u32>,
        unambiguous: bool,
        outcome: &mut AckOutcome,
    ) {
        let bytes = match record.credit {
            Credit::Due => self.chunk_size(record.len),
            Credit::Counted | Credit::Kept | Credit::Abandoned => 0,
        };
        match (outcome.acked.iter_mut()).find(|ack| ack.path == record.path) {
            Some(ack) => {
                ack.bytes += bytes;
                ack.large |= record.large;
            }
            None => outcome.acked.push(PathAck {
                path: record.path,
                bytes,
                flight_before: self.flight(record.path),
                includes_earliest: index.is_none_or(|index| self.is_earliest(index, record.path)),
                large: record.large,
            }),
        }
        match record.state {
            State::Lost => self.lost -= 1,
            State::GivenUp => {
                self.given_up -= 1;
                return;
            }
            State::InFlight | State::GapAcked => self.leave_flight(record),
        }
        let path = &mut self.paths[record.path.index()];
        path.rack.delivered(now, tsn, record);
        let waiting = record.state == State::Lost;
        if waiting || record.transmits > 1 {
            let too_soon = !waiting && path.rack.is_too_fast(now - record.sent_at);
            let spurious = path.retransmits.acknowledged(tsn, waiting, too_soon);
            outcome.spurious += u64::from(spurious);
        }
        //= RFC 9260 §6.3.1
        //# Karn's algorithm: RTT measurements MUST NOT be made using chunks that were retransmitted
        //# (and thus for which it is ambiguous whether the reply was for the first instance of the
        //# chunk or for a later instance).
        if record.transmits == 1 && unambiguous {
            outcome.rtt = Some((record.path, now - record.sent_at));
        }
    }

    /// Accounts for a record in front that was given up: whether it arrived or was skipped, the
    /// peer has moved on.
    //= RFC 3758 §3.5
    //# The sender MUST NOT credit an "abandoned" data chunk to the partial_bytes_acked as defined in
    //# Section 7.2.2 of RFC 2960 [2], and MUST NOT advance the cwnd based on this "abandoned" data
    //# chunk.
    fn skipped(&mut self, record: &Record, outcome: &mut AckOutcome) {
        let flight_before = self.flight(record.path);
        if record.state == State::GivenUp {
            self.given_up -= 1;
            // What was lost with it, if it was, no retransmission can show to have arrived.
            self.forget_episode(record.path);
        } else {
            self.leave_flight(record);
        }
        if !(outcome.acked.iter()).any(|ack| ack.path == record.path) {
            outcome.acked.push(PathAck {
                path: record.path,
                bytes: 0,
                flight_before,
                includes_earliest: true,
                large: false,
            });
        }
    }

    /// Whether no TSN before this one is in flight on the path.
    fn is_earliest(&mut self, index: u32, path: PathId) -> bool {
        let mut earliest = self.paths[path.index()].earliest;
        while earliest < index {
            let record = &self.records[earliest as usize];
            if record.path == path && record.state == State::InFlight {
                break;
            }
            earliest += 1;
        }
        self.paths[path.index()].earliest = earliest;
        earliest >= index
    }
}

/// Calls `each` with every range that is in `a` and not in `b`. Both are sorted and disjoint.
pub(super) fn difference(a: &[(u32, u32)], b: &[(u32, u32)], mut each: impl FnMut(u32, u32)) {
    let mut b = b.iter().peekable();
    for &(mut start, end) in a {
        while let Some(&&(b_start, b_end)) = b.peek() {
            if b_start >= end {
                break;
            }
            if start < b_start {
                each(start, b_start);
            }
            start = start.max(b_end);
            if b_end > end {
                break;
            }
            b.next();
        }
        if start < end {
            each(start, end);
        }
    }
}
