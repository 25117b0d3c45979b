//! Losses: missing reports (§7.2.4), T3-rtx (§6.3.3), and what is to be sent again.

use super::{
    Fragment,
    outstanding::{LostChunk, Outstanding, Record, State},
    sack::AckOutcome,
};
use crate::{
    config::LossDetection,
    ids::{PathId, Tsn},
    time::Instant,
};

/// Missing reports that make a loss.
//= RFC 9260 §7.2.4
//# Whenever an endpoint receives a SACK chunk that indicates that some TSNs are missing, it SHOULD
//# wait for two further miss indications (via subsequent SACK chunks for a total of three missing
//# reports) on the same TSNs before taking action with regard to Fast Retransmit.
const MISSES: u8 = 3;

impl Record {
    /// Whether missing reports may yet make it lost.
    fn countable(&self) -> bool {
        self.state == State::InFlight && !self.fast_retransmitted
    }
}

impl Outstanding {
    /// Whether anything is marked for retransmission.
    pub fn has_lost(&self) -> bool {
        self.lost > 0
    }

    /// The earliest TSN marked for retransmission. O(1).
    pub fn next_lost(&self) -> Option<LostChunk> {
        if self.lost == 0 {
            return None;
        }
        Some(self.chunk(self.first_lost))
    }

    /// What a tail loss probe repeats, its first chunk: the last ones in flight on a path, so many
    /// of them that they fit into `room`. The rest is what
    /// [`in_flight_after`](Self::in_flight_after) gives. O(window), as rare as a probe.
    pub fn tail(&self, path: PathId, room: usize) -> Option<LostChunk> {
        let mut room = room;
        let mut first = None;
        for index in (0..self.records.len() as u32).rev() {
            let record = &self.records[index as usize];
            if record.path == path && record.state == State::InFlight && !record.is_abandoned() {
                room = match room.checked_sub(self.chunk_size(record.len)) {
                    Some(left) => left,
                    None => break,
                };
                first = Some(index);
            }
        }
        first.map(|index| self.chunk(index))
    }

    /// The next TSN in flight on a path.
    pub fn in_flight_after(&self, tsn: Tsn, path: PathId) -> Option<LostChunk> {
        let start = tsn.distance_from(self.cumulative);
        (start..)
            .zip(self.records.iter().skip(start as usize))
            .find(|(_, record)| {
                record.path == path && record.state == State::InFlight && !record.is_abandoned()
            })
            .map(|(index, _)| self.chunk(index))
    }

    fn chunk(&self, index: u32) -> LostChunk {
        let record = &self.records[index as usize];
        LostChunk {
            tsn: self.cumulative.plus(index).next(),
            fragment: Fragment {
                key: record.key,
                offset: record.offset,
                len: record.len,
                fsn: record.fsn,
                begin: record.begin,
                end: record.end,
            },
            path: record.path,
            transmits: record.transmits,
        }
    }

    /// A TSN in flight left once more, on `path`, to find out what became of it. No effect on any
    /// other TSN.
    pub fn probed(&mut self, tsn: Tsn, now: Instant, path: PathId) {
        let index = tsn.distance_from(self.cumulative.next());
        let Some(&record) = self.records.get(index as usize) else {
            return;
        };
        if record.state == State::InFlight {
            self.leave_flight(&record);
            self.left_again(index, now, path, false);
        }
    }

    /// A TSN marked for retransmission left again, on `path`. No effect on any other TSN.
    pub fn resent(&mut self, tsn: Tsn, now: Instant, path: PathId) {
        let index = tsn.distance_from(self.cumulative.next());
        let Some(&record) = self.records.get(index as usize) else {
            return;
        };
        if record.state != State::Lost {
            return;
        }
        if record.fast_retransmitted && self.detection == LossDetection::SendTimes {
            let rack = &mut self.paths[record.path.index()].rack;
            rack.reordering.get_or_insert_default().repaired(tsn);
        }
        self.left_again(index, now, path, true);
        self.lost -= 1;
        self.find_lost();
    }

    fn left_again(&mut self, index: u32, now: Instant, path: PathId, lost: bool) {
        let record = &mut self.records[index as usize];
        record.state = State::InFlight;
        record.sent_at = now;
        record.path = path;
        record.transmits = record.transmits.saturating_add(1);
        record.misses = 0;
        record.large = false;
        record.reneged = false;
        let len = record.len;
        if record.countable() {
            self.countable = self.countable.min(index);
        }
        self.know_path(path);
        self.note_sent(now, index, path, len);
        self.enter_flight(index, path, len);
        self.note_resent(index);
        let tsn = self.cumulative.plus(index + 1);
        self.paths[path.index()].latest = Some((now, tsn));
        let retransmits = &mut self.paths[path.index()].retransmits;
        retransmits.resent(now, tsn, lost);
        self.last_resent = Some(now);
    }

    /// T3-rtx ran out on a path: all that is in flight there is to be sent again (§6.3.3 E3), as
    /// the congestion window allows. Returns the bytes of user data. O(window), as rare as the
    /// time-out.
    //= RFC 9260 §6.3.3
    //# Any DATA chunks that were sent to the address for which the T3-rtx timer expired but did not
    //# fit in an SCTP packet of size smaller than or equal to the PMTU (rule E3 above) SHOULD be
    //# marked for retransmission and sent as soon as cwnd allows (normally, when a SACK chunk
    //# arrives).
    pub fn t3_expired(&mut self, path: PathId) -> usize {
        let mut bytes = 0;
        for index in 0..self.records.len() as u32 {
            let record = self.records[index as usize];
            if record.path == path && record.state == State::InFlight {
                self.mark_lost(index);
                bytes += usize::from(record.len);
            }
        }
        bytes
    }

    /// The paths that there were are no more: all that is in flight is to be sent again, as if it had
    /// left by the first path.
    pub fn leave_paths(&mut self) {
        for index in 0..self.records.len() as u32 {
            if self.records[index as usize].state == State::InFlight {
                self.mark_lost(index);
            }
            self.records[index as usize].path = PathId::from_index(0);
        }
        self.paths.truncate(1);
    }

    /// Chunks of certain sizes, header and padding included, are known to have been dropped on a
    /// path: those in flight there are to be sent again. Returns the bytes of user data. O(window),
    /// as rare as a path MTU that shrinks.
    pub fn dropped(&mut self, path: PathId, size: impl Fn(usize) -> bool) -> usize {
        let mut bytes = 0;
        for index in 0..self.records.len() as u32 {
            let record = self.records[index as usize];
            let in_flight = record.path == path && record.state == State::InFlight;
            if in_flight && size(self.chunk_size(record.len)) {
                self.mark_lost(index);
                bytes += usize::from(record.len);
            }
        }
        bytes
    }

    /// Counts a missing report for every TSN before index `end` that is in none of the gap
    /// blocks. `newest` is when the latest chunk that this SACK newly acknowledges was sent.
    ///
    /// Reports reach a prefix of the window, so earlier TSNs have at least as many as later ones;
    /// all before `countable` are through with it and not looked at again. A TSN is thus touched
    /// about as often as it is reported, three times, whatever the window.
    //= RFC 9260 §6.7
    //# All DATA chunks with TSNs not included in the Gap Ack Blocks that are smaller than the
    //# highest-acknowledged TSN reported in the SACK chunk MUST be treated as "missing" by the
    //# sending endpoint.
    //= RFC 9260 §6.7
    //# The number of "missing" reports for each outstanding DATA chunk MUST be recorded by the data
    //# sender to make retransmission decisions.
    pub(super) fn count_misses(
        &mut self,
        end: u32,
        newest: Option<Instant>,
        outcome: &mut AckOutcome,
    ) {
        let mut countable = None;
        let mut index = self.countable;
        let first = self.gaps.partition_point(|gap| gap.1 <= index);
        let mut next_gap = first;
        while index < end {
            let hole_end = match self.gaps.get(next_gap) {
                Some(gap) => gap.0.min(end),
                None => end,
            };
            for index in index..hole_end {
                let record = &mut self.records[index as usize];
                let rack = &self.paths[record.path.index()].rack;
                if !record.countable() || rack.overrules_reports(self.detection) {
                    continue;
                }
                // After T3-rtx the reports may be about the flight before it: only what left
                // after the retransmission tells that the retransmission is missing.
                if record.transmits == 1 || newest.is_some_and(|newest| newest > record.sent_at) {
                    record.misses += 1;
                }
                if record.misses < MISSES {
                    countable.get_or_insert(index);
                    continue;
                }
                self.mark_missing(index, outcome);
            }
            let Some(gap) = self.gaps.get(next_gap) else {
                break;
            };
            index = gap.1;
            next_gap += 1;
        }
        self.countable = countable.unwrap_or(end.max(self.countable));
    }

    /// The peer no longer acknowledges these TSNs: they are in flight again. `end` as in
    /// [`count_misses`](Self::count_misses), which counts the report for those before it.
    pub(super) fn renege(&mut self, start: u32, stop: u32, end: u32) {
        for index in start..stop {
            let record = &mut self.records[index as usize];
            if record.is_abandoned() {
                record.state = State::GivenUp;
                self.given_up += 1;
                let (path, len) = (record.path, record.len);
                self.paths[path.index()].rack.gap_bytes -= self.chunk_size(len);
                continue;
            }
            record.state = State::InFlight;
            //= RFC 9260 §6.2.1
            //# If the SACK chunk is missing a TSN that was previously acknowledged via a Gap Ack
            //# Block (e.g., the data receiver reneged on the data), then consider the corresponding
            //# DATA that might be possibly missing: Count one miss indication towards Fast
            //# Retransmit as described in Section 7.2.4, and if no retransmit timer is running for
            //# the destination address to which the DATA chunk was originally transmitted, then
            //# T3-rtx is started for that destination address.
            record.misses = u8::from(index >= end);
            record.reneged = true;
            let (path, len, countable) = (record.path, record.len, record.countable());
            let size = self.chunk_size(len);
            self.paths[path.index()].rack.gap_bytes -= size;
            if countable {
                self.countable = self.countable.min(index);
            }
            self.enter_flight(index, path, len);
        }
    }

    /// What acknowledgements of others tell of is a loss: to be sent again, and no second time for
    /// missing reports.
    pub(super) fn mark_missing(&mut self, index: u32, outcome: &mut AckOutcome) {
        let record = &mut self.records[index as usize];
        record.fast_retransmitted = true;
        let record = *record;
        self.mark_lost(index);
        outcome.add_lost(&record, self.chunk_size(record.len));
    }

    fn mark_lost(&mut self, index: u32) {
        let record = &mut self.records[index as usize];
        record.state = match record.is_abandoned() {
            false => State::Lost,
            true => State::GivenUp,
        };
        let record = *record;
        self.leave_flight(&record);
        self.note_lost(index, &record);
        if record.is_abandoned() {
            self.given_up += 1;
            return;
        }
        self.first_lost = if self.lost == 0 {
            index
        } else {
            self.first_lost.min(index)
        };
        self.lost += 1;
    }

    /// Moves `first_lost` on to the first record that is lost. Forward only, so that a pass over
    /// the window serves all retransmissions of it.
    pub(super) fn find_lost(&mut self) {
        if self.lost == 0 {
            return;
        }
        while self.records[self.first_lost as usize].state != State::Lost {
            self.first_lost += 1;
        }
    }
}
