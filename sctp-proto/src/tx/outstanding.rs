//! The send window: one record per TSN that is assigned and not yet acknowledged cumulatively.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::{
    message::{Fragment, MessageKey},
    rack::Rack,
    rate::{Note, Sampler},
    retransmits::Retransmits,
};
use crate::{
    config::LossDetection,
    ids::{PathId, Tsn},
    time::Instant,
    wire::{DATA_HEADER, I_DATA_HEADER},
};

/// Where a TSN stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Sent, and neither acknowledged nor taken for lost since. Counts as in flight.
    InFlight,
    /// Acknowledged by a gap block, which the peer may take back (§6.2.1).
    GapAcked,
    /// Marked for retransmission.
    Lost,
    /// Lost, or never sent, and never to be sent again: its message is abandoned.
    GivenUp,
}

/// What an acknowledgement of a TSN is worth to the congestion window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credit {
    /// Its bytes.
    Due,
    /// Nothing: it was acknowledged once, and counted then. The peer may take that back and
    /// acknowledge it again, as it does whenever its SACKs overtake each other.
    Counted,
    /// Nothing more, and the peer cannot take it back.
    Kept,
    /// Nothing: its message was given up (RFC 3758).
    Abandoned,
}

/// One TSN. 32 bytes, copied freely; the payload stays with its message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    /// Time of the last transmission.
    pub(super) sent_at: Instant,
    pub(super) key: MessageKey,
    pub(super) offset: u32,
    pub(super) fsn: u32,
    pub(super) len: u16,
    /// Path of the last transmission.
    pub(super) path: PathId,
    pub(super) state: State,
    /// Transmissions, saturating: 1 is what Karn's algorithm asks for.
    pub(super) transmits: u8,
    pub(super) misses: u8,
    pub(super) begin: bool,
    pub(super) end: bool,
    /// Ineligible for another fast retransmit (§7.2.4 rule 5).
    pub(super) fast_retransmitted: bool,
    /// Its last transmission was in a packet larger than every path carries.
    pub(super) large: bool,
    /// The peer had it and gave it up since it was last sent (§6.2.1): its send time says nothing.
    pub(super) reneged: bool,
    pub(super) credit: Credit,
}

const _: () = assert!(size_of::<Record>() <= 32);

/// TSNs in the send window at most: the offsets of gap ack blocks have 16 bits. Some are left for
/// what is pushed to mark the end of messages given up.
const MAX_RECORDS: usize = u16::MAX as usize - 1024;

/// What is kept per path.
#[derive(Debug, Default)]
pub(super) struct PathFlight {
    /// Bytes in flight, of chunks.
    pub(super) bytes: usize,
    /// No record before this index is in flight on the path.
    pub(super) earliest: u32,
    pub(super) rack: Rack,
    pub(super) retransmits: Retransmits,
    /// The last transmission: its time and TSN.
    pub(super) latest: Option<(Instant, Tsn)>,
    /// Where the controller asks how fast the path delivers.
    pub(super) sampler: Option<Box<Sampler>>,
}

/// A TSN marked for retransmission, with what its chunk is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostChunk {
    pub tsn: Tsn,
    pub fragment: Fragment,
    /// The path it was last sent on.
    pub path: PathId,
    /// How often it was sent; 255 may be more.
    pub transmits: u8,
}

/// The ring of records, the oldest first. The record of a TSN is found by its distance from the
/// cumulative TSN ack point; inside, TSNs are such indexes, and the wrap is nobody's concern.
///
/// Every index kept (gap ranges, hints) counts from the front of the ring and moves with it when
/// the front is acknowledged.
#[derive(Debug)]
pub struct Outstanding {
    pub(super) records: VecDeque<Record>,
    /// Cumulative TSN ack point: the record in front has the next TSN.
    pub(super) cumulative: Tsn,
    /// Bytes of a chunk's header.
    header: usize,
    pub(super) detection: LossDetection,
    pub(super) paths: SmallVec<[PathFlight; 1]>,
    /// Bytes of user data in flight, on all paths.
    pub(super) data_in_flight: usize,

    /// Records that are gap-acked: half-open index ranges, sorted, apart from each other. What
    /// the next SACK says is compared with it, so that only the difference costs.
    pub(super) gaps: Vec<(u32, u32)>,
    /// Records that are acknowledged for good, likewise: a part of `gaps`.
    pub(super) kept: SmallVec<[(u32, u32); 8]>,
    /// Room for the ranges of the SACK being processed.
    pub(super) claimed: Vec<(u32, u32)>,

    /// Records marked for retransmission.
    pub(super) lost: usize,
    /// The first of them, if there is one.
    pub(super) first_lost: u32,
    /// Records that are given up: whether they were lost will not be known.
    pub(super) given_up: usize,
    /// No record before this index can be fast retransmitted.
    pub(super) countable: u32,
    /// So many records from the front are abandoned: the Advanced.Peer.Ack.Point (RFC 3758 §3.5),
    /// by its distance.
    pub(super) skippable: u32,
    /// When something was last sent again.
    pub(super) last_resent: Option<Instant>,

    /// Whether any path is sampled.
    pub(super) sampling: bool,
    /// What each record takes along for that: as many as there are records, or none.
    pub(super) notes: VecDeque<Option<Note>>,
}

impl Outstanding {
    /// Nothing sent yet; `initial_tsn` will be the first. `interleaving` says that chunks are
    /// I-DATA, whose headers are larger.
    pub fn new(initial_tsn: Tsn, interleaving: bool, detection: LossDetection) -> Self {
        Self {
            records: VecDeque::new(),
            //= RFC 9260 §5.1
            //# When the TCB is created, each endpoint MUST set its internal Cumulative TSN Ack
            //# Point to the value of its transmitted Initial TSN minus one.
            cumulative: initial_tsn.previous(),
            header: if interleaving {
                I_DATA_HEADER
            } else {
                DATA_HEADER
            },
            detection,
            paths: SmallVec::new(),
            data_in_flight: 0,
            gaps: Vec::new(),
            kept: SmallVec::new(),
            claimed: Vec::new(),
            lost: 0,
            first_lost: 0,
            given_up: 0,
            countable: 0,
            skippable: 0,
            last_resent: None,
            sampling: false,
            notes: VecDeque::new(),
        }
    }

    /// TSNs go on with this one, and nothing is outstanding. What a path has delivered so far stays
    /// counted, for whoever tells round trips by it.
    pub fn begin_anew(&mut self, next_tsn: Tsn) {
        debug_assert!(self.is_empty());
        let interleaving = self.header == I_DATA_HEADER;
        let before = std::mem::replace(self, Self::new(next_tsn, interleaving, self.detection));
        self.sampling = before.sampling;
        self.paths = (before.paths.into_iter())
            .map(|path| PathFlight {
                sampler: path.sampler,
                ..PathFlight::default()
            })
            .collect();
    }

    /// The TSN that [`push`](Self::push) gives next.
    pub fn next_tsn(&self) -> Tsn {
        self.cumulative.plus(self.records.len() as u32).next()
    }

    /// The cumulative TSN ack point.
    pub fn cumulative(&self) -> Tsn {
        self.cumulative
    }

    /// Whether everything sent was acknowledged cumulatively.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// What the records take, bytes.
    pub fn held(&self) -> usize {
        self.len() * size_of::<Record>()
    }

    /// TSNs in the send window.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Bytes in flight on a path as congestion control counts them: chunks with header and
    /// padding (§7.2).
    pub fn flight(&self, path: PathId) -> usize {
        self.paths.get(path.index()).map_or(0, |path| path.bytes)
    }

    /// Bytes of user data in flight on all paths: what the peer's receive window is charged with
    /// (§6.2.1).
    pub fn total_flight(&self) -> usize {
        self.data_in_flight
    }

    /// Bytes a chunk with `len` bytes of user data takes in a packet, header and padding included.
    //= RFC 9260 §7.2
    //# When calculating one of these variables, the length of the DATA chunk, including the
    //# padding, SHOULD be used.
    pub fn chunk_size(&self, len: u16) -> usize {
        self.header + usize::from(len).next_multiple_of(4)
    }

    /// A fragment leaves for the first time: gives it its TSN.
    //= RFC 9260 §6.9
    //# The transmitter MUST then assign, in sequence, a separate TSN to each of the DATA chunks in
    //# the series.
    //= RFC 9260 §3.3.1
    //# The TSNs of DATA chunks sent SHOULD be strictly sequential.
    //= RFC 9260 §3.3.1
    //# This means that the TSNs for each fragment of a fragmented user message MUST be strictly
    //# sequential.
    pub fn push(&mut self, now: Instant, fragment: &Fragment, path: PathId) -> Tsn {
        let tsn = self.next_tsn();
        let index = self.records.len() as u32;
        self.records.push_back(Record {
            sent_at: now,
            key: fragment.key,
            offset: fragment.offset,
            fsn: fragment.fsn,
            len: fragment.len,
            path,
            state: State::InFlight,
            transmits: 1,
            misses: 0,
            begin: fragment.begin,
            end: fragment.end,
            fast_retransmitted: false,
            large: false,
            reneged: false,
            credit: Credit::Due,
        });
        self.know_path(path);
        self.note_sent(now, index, path, fragment.len);
        self.enter_flight(index, path, fragment.len);
        self.paths[path.index()].latest = Some((now, tsn));
        tsn
    }

    /// Whether a record is of a path, so that the path cannot be another's yet. O(window).
    pub fn refers_to(&self, path: PathId) -> bool {
        self.records.iter().any(|record| record.path == path)
    }

    /// A path begins: what is remembered of an earlier one with its id, which no record is of any
    /// more, says nothing of it.
    pub fn forget_path(&mut self, path: PathId) {
        if let Some(known) = self.paths.get_mut(path.index()) {
            *known = PathFlight::default();
        }
    }

    /// Whether a TSN is acknowledged, cumulatively or by a gap block.
    pub fn is_acked(&self, tsn: Tsn) -> bool {
        if !self.cumulative.before(tsn) {
            return true;
        }
        let index = tsn.distance_from(self.cumulative.next()) as usize;
        let record = self.records.get(index);
        record.is_some_and(|record| record.state == State::GapAcked)
    }

    /// Whether something is in flight on a path, and of what has arrived nothing left after the
    /// last of it.
    pub fn is_tail_missing(&self, path: PathId) -> bool {
        let Some(path) = self.paths.get(path.index()).filter(|path| path.bytes > 0) else {
            return false;
        };
        (path.latest).is_some_and(|(sent_at, tsn)| !path.rack.has_arrived(sent_at, tsn))
    }

    /// The last transmission on a path: its time and, of what left then, the TSN written last.
    pub fn left_last(&self, path: PathId) -> Option<(Instant, Tsn)> {
        self.paths.get(path.index())?.latest
    }

    /// The path that a TSN was last sent on, unless it is acknowledged cumulatively or was never sent.
    pub fn path_of(&self, tsn: Tsn) -> Option<PathId> {
        let index = tsn.distance_from(self.cumulative.next());
        self.records.get(index as usize).map(|record| record.path)
    }

    /// Send time of the earliest TSN in flight on a path, from which T3-rtx runs.
    pub fn oldest_in_flight(&self, path: PathId) -> Option<Instant> {
        let flight = self.paths.get(path.index()).filter(|path| path.bytes > 0)?;
        (self.records.iter().skip(flight.earliest as usize))
            .find(|record| record.path == path && record.state == State::InFlight)
            .map(|record| record.sent_at)
    }

    /// As many TSNs are in the send window as a peer's gap ack blocks can name (§3.3.4): no more are
    /// to be sent. Only what was given up, which takes no room in the send buffer, leads here with
    /// messages of usual size.
    pub fn is_full(&self) -> bool {
        self.records.len() >= MAX_RECORDS
    }

    pub(super) fn know_path(&mut self, path: PathId) {
        if path.index() >= self.paths.len() {
            self.paths
                .resize_with(path.index() + 1, PathFlight::default);
        }
    }

    pub(super) fn enter_flight(&mut self, index: u32, path: PathId, len: u16) {
        let size = self.chunk_size(len);
        self.know_path(path);
        let flight = &mut self.paths[path.index()];
        flight.earliest = if flight.bytes == 0 {
            index
        } else {
            flight.earliest.min(index)
        };
        flight.bytes += size;
        self.data_in_flight += usize::from(len);
    }

    pub(super) fn leave_flight(&mut self, record: &Record) {
        self.paths[record.path.index()].bytes -= self.chunk_size(record.len);
        self.data_in_flight -= usize::from(record.len);
    }

    /// The front of the ring moved by `count` records.
    pub(super) fn shift(&mut self, count: u32) {
        self.cumulative = self.cumulative.plus(count);
        self.first_lost = self.first_lost.saturating_sub(count);
        self.countable = self.countable.saturating_sub(count);
        self.skippable = self.skippable.saturating_sub(count);
        self.extend_skippable();
        for path in &mut self.paths {
            path.earliest = path.earliest.saturating_sub(count);
            path.rack.fresh = path.rack.fresh.saturating_sub(count);
        }
        let shift = |(start, end): &mut (u32, u32)| {
            *start = start.saturating_sub(count);
            *end = end.saturating_sub(count);
            *start < *end
        };
        self.gaps.retain_mut(shift);
        self.kept.retain(shift);
    }
}

#[cfg(test)]
mod tests;
