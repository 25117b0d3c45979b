//! Runs: fragments of one message with none missing between them.

use std::{collections::BTreeMap, ops::RangeInclusive};

use smallvec::SmallVec;

use super::{
    reassembly::RxChunk,
    store::{Chunk, Id, List, Store},
};
use crate::{
    ids::{Ppid, StreamId, Tsn},
    serial::{before32, span},
};

/// Where a fragment belongs.
///
/// A lane is one message with I-DATA, where the fragments are numbered by FSN. With DATA it is the
/// stream: the fragments of a message have consecutive TSNs (§6.9), which also tells unordered
/// messages apart, so that the TSN is the number and the B and E bits bound the message. A peer
/// that gives a message TSNs with another stream's between them has one that is never complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    lane: u64,
    number: u32,
}

impl Key {
    pub(super) fn new(chunk: &RxChunk, interleaving: bool) -> Self {
        if !interleaving {
            return Self::of_tsn(chunk.stream, chunk.tsn);
        }
        let number = if chunk.begin { 0 } else { chunk.fsn };
        Self::of_fragment(chunk.stream, chunk.unordered, chunk.seq, number)
    }

    /// Where an I-DATA chunk with this MID and FSN belongs.
    fn of_fragment(stream: StreamId, unordered: bool, mid: u32, number: u32) -> Self {
        Self {
            lane: u64::from(stream.0) << 33 | u64::from(unordered) << 32 | u64::from(mid),
            number,
        }
    }

    /// Where a DATA chunk of the stream with this TSN belongs.
    pub(super) fn of_tsn(stream: StreamId, tsn: Tsn) -> Self {
        Self {
            lane: u64::from(stream.0) << 33,
            number: tsn.value(),
        }
    }

    fn at(self, number: u32) -> Self {
        Self { number, ..self }
    }

    fn whole_stream(stream: StreamId) -> RangeInclusive<Self> {
        let lane = u64::from(stream.0) << 33;
        let last = lane | (u64::MAX >> 31);
        Self { lane, number: 0 }..=Self {
            lane: last,
            number: u32::MAX,
        }
    }
}

/// What was read last of a message that is delivered in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) tsn: Tsn,
    pub(super) ppid: Ppid,
    pub(super) seq: u32,
    pub(super) unordered: bool,
}

/// Fragments of one message in a row, perhaps all of them. Empty only when what came from the
/// message's beginning was delivered (partial delivery): then it keeps the place.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) list: List,
    /// Number of the fragment that would come next.
    end: u32,
    /// Everything before the first is here or delivered.
    pub(super) begins: bool,
    ends: bool,
    pub(super) unordered: bool,
    pub(super) seq: u32,
    /// Known if `begins`.
    pub(super) ppid: Ppid,
    /// TSN of the first fragment or, if some were delivered in part, of the last of these.
    tsn: Tsn,
}

impl Run {
    /// Number of the fragment that would come next.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    /// The message, as far as it was read.
    pub(super) fn read(&self) -> Read {
        Read {
            tsn: self.tsn,
            ppid: self.ppid,
            seq: self.seq,
            unordered: self.unordered,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.begins && self.ends
    }

    //= RFC 9260 §6.6
    //# The sender can fill the 'Stream Sequence Number' with arbitrary value, but the receiver MUST
    //# ignore the field.
    fn is_of_message(&self, chunk: &RxChunk) -> bool {
        self.unordered == chunk.unordered && (chunk.unordered || self.seq == chunk.seq)
    }
}

/// The runs that a fragment joins.
#[derive(Debug, Default)]
pub(super) struct Joins {
    before: Option<Key>,
    after: Option<Key>,
}

/// All runs, by the number of their first fragment. Each operation costs O(log runs), in whatever
/// order fragments come.
#[derive(Debug)]
pub(super) struct Runs {
    interleaving: bool,
    map: BTreeMap<Key, Run>,
}

impl Runs {
    pub(super) fn new(interleaving: bool) -> Self {
        Self {
            interleaving,
            map: BTreeMap::new(),
        }
    }

    pub(super) fn get(&self, key: Key) -> Option<&Run> {
        self.map.get(&key)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Run> {
        self.map.remove(&key)
    }

    /// Whether the run has something to deliver in part: its first fragment is of those that the
    /// cumulative TSN covers.
    pub(super) fn is_deliverable(&self, key: Key, store: &Store) -> bool {
        self.first_deliverable(key, store).is_some()
    }

    /// The TSN of what the run has to deliver in part.
    pub(super) fn first_deliverable(&self, key: Key, store: &Store) -> Option<Tsn> {
        let first = self.get(key).and_then(|run| run.list.first())?;
        (!store.is_above(first)).then(|| store.get(first).tsn)
    }

    /// Where the fragment fits, or in what it contradicts those that are here. Changes nothing.
    pub(super) fn admit(&self, key: Key, chunk: &RxChunk) -> Result<Joins, &'static str> {
        let mut joins = Joins::default();
        if self.map.is_empty() && chunk.begin {
            return Ok(joins);
        }
        let before = self.before(key);
        if let Some((first, run)) = before {
            if before32(key.number, run.end) {
                return Err("fragment received twice");
            }
            if self.interleaving && chunk.begin {
                return Err("fragments before the first of their message");
            }
            let adjacent = run.end == key.number;
            if run.ends && !chunk.begin && (adjacent || self.interleaving) {
                return Err("fragment after the last of its message");
            }
            if adjacent && !run.ends {
                if chunk.begin {
                    return Err("message begins within another");
                }
                if !run.is_of_message(chunk) {
                    return Err("fragment within another message");
                }
                joins.before = Some(first);
            }
        } else if self.interleaving && !chunk.begin && key.number == 0 {
            return Err("first fragment without B bit");
        }
        if let Some((first, run)) = self.after(key) {
            let adjacent = first.number == key.number.wrapping_add(1);
            if (adjacent && chunk.end != run.begins)
                || (self.interleaving && (chunk.end || run.begins))
            {
                return Err("fragments beyond the ends of their message");
            }
            if adjacent && !chunk.end {
                if !run.is_of_message(chunk) {
                    return Err("fragment within another message");
                }
                joins.after = Some(first);
            }
        }
        Ok(joins)
    }

    /// Puts a chunk where `admit` found its place; returns the key of its run.
    //= RFC 9260 §6.9
    //# An endpoint MAY support fragmentation when sending DATA chunks, but it MUST support
    //# reassembly when receiving DATA chunks.
    //= RFC 9260 §6.9
    //# An endpoint MUST recognize fragmented DATA chunks by examining the B/ E bits in each of the
    //# received DATA chunks and queue the fragmented DATA chunks for reassembly.
    //= RFC 9260 §6
    //# The fragmentation and bundling mechanisms, as detailed in Sections 6.9 and 6.10, are
    //# OPTIONAL to implement by the data sender, but they MUST be implemented by the data receiver,
    //# i.e., an endpoint MUST properly receive and process bundled or fragmented data.
    pub(super) fn place(&mut self, joins: Joins, id: Id, store: &mut Store) -> Key {
        let chunk = store.get(id);
        let mut key = chunk.key;
        let mut run = Run {
            list: List::one(id),
            end: key.number.wrapping_add(1),
            begins: chunk.begin,
            ends: chunk.end,
            unordered: chunk.unordered,
            seq: chunk.seq,
            ppid: chunk.ppid,
            tsn: chunk.tsn,
        };
        if let Some(after) = joins.after.and_then(|key| self.map.remove(&key)) {
            run.list = store.join(run.list, after.list);
            run.end = after.end;
            run.ends = after.ends;
        }
        if let Some(first) = joins.before
            && let Some(before) = self.map.get_mut(&first)
        {
            key = first;
            before.list = store.join(before.list, run.list);
            before.end = run.end;
            before.ends = run.ends;
        } else {
            self.map.insert(key, run);
        }
        key
    }

    /// Takes from the front what may be delivered in part; returns the run's new key.
    pub(super) fn consume(
        &mut self,
        key: Key,
        store: &mut Store,
        mut take: impl FnMut(Chunk, Ppid),
    ) -> Key {
        let Some(mut run) = self.map.remove(&key) else {
            return key;
        };
        let mut number = key.number;
        while run.list.first().is_some_and(|id| !store.is_above(id)) {
            if let Some(chunk) = store.pop_front(&mut run.list) {
                number = number.wrapping_add(1);
                run.tsn = chunk.tsn;
                take(chunk, run.ppid);
            }
        }
        let key = key.at(number);
        self.map.insert(key, run);
        key
    }

    /// Takes one chunk out of the store and out of the run that has it.
    pub(super) fn extract(&mut self, id: Id, store: &mut Store) -> Chunk {
        let key = store.get(id).key;
        let first = self.before(key).map_or(key, |(first, _)| first);
        let Some(run) = self.map.remove(&first) else {
            return store.split_at(List::one(id), id).1;
        };
        let (before, chunk, after) = store.split_at(run.list, id);
        if !after.is_empty() {
            let rest = Run {
                list: after,
                begins: false,
                ..run
            };
            self.map.insert(key.at(key.number.wrapping_add(1)), rest);
        }
        if !before.is_empty() || (run.begins && !chunk.begin) {
            self.map.insert(
                first,
                Run {
                    list: before,
                    end: key.number,
                    ends: false,
                    ..run
                },
            );
        }
        chunk
    }

    /// The unordered messages of a stream that are here as a whole.
    pub(super) fn complete_unordered(&self, stream: StreamId) -> SmallVec<[Key; 4]> {
        let runs = self.map.range(Key::whole_stream(stream));
        runs.filter(|(_, run)| run.unordered && run.is_complete())
            .map(|(&key, _)| key)
            .collect()
    }

    /// The row that has the fragment of this number.
    pub(super) fn containing(&self, key: Key) -> Option<(Key, &Run)> {
        self.before(key)
            .filter(|(_, run)| before32(key.number, run.end))
    }

    /// What is here of those messages of a stream with MIDs from `from` to `to` of which something
    /// is missing (I-DATA).
    pub(super) fn incomplete(
        &self,
        stream: StreamId,
        unordered: bool,
        from: u32,
        to: u32,
    ) -> SmallVec<[Key; 4]> {
        let key = |mid, number| Key::of_fragment(stream, unordered, mid, number);
        span(from, to, u32::MAX)
            .map(|mids| key(*mids.start(), 0)..=key(*mids.end(), u32::MAX))
            .flat_map(|keys| self.map.range(keys))
            .filter(|(_, run)| !run.is_complete())
            .map(|(&key, _)| key)
            .collect()
    }

    /// Drops all that a stream has here; returns the cost that it had.
    pub(super) fn drop_stream(&mut self, stream: StreamId, store: &mut Store) -> usize {
        let mut freed = 0;
        let range = Key::whole_stream(stream);
        while let Some((&key, _)) = self.map.range(range.clone()).next() {
            if let Some(run) = self.map.remove(&key) {
                freed += store.drop_list(run.list);
            }
        }
        freed
    }

    /// The last run of the lane that begins at or before `key`, round the circle of numbers.
    fn before(&self, key: Key) -> Option<(Key, &Run)> {
        let (&first, run) = self
            .map
            .range(key.at(0)..=key)
            .next_back()
            .or_else(|| self.map.range(key..=key.at(u32::MAX)).next_back())?;
        (!before32(key.number, first.number)).then_some((first, run))
    }

    /// The first run of the lane that begins after `key`, round the circle of numbers.
    fn after(&self, key: Key) -> Option<(Key, &Run)> {
        let beyond = key.number.checked_add(1).map(|number| key.at(number));
        let (&first, run) = beyond
            .and_then(|next| self.map.range(next..=key.at(u32::MAX)).next())
            .or_else(|| self.map.range(key.at(0)..=key).next())?;
        before32(key.number, first.number).then_some((first, run))
    }
}

#[cfg(any(test, feature = "internals"))]
impl Key {
    pub(super) fn stream(self) -> StreamId {
        StreamId((self.lane >> 33) as u16)
    }
}

#[cfg(any(test, feature = "internals"))]
impl Runs {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Run)> {
        self.map.iter()
    }
}
