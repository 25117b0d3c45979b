//! Every chunk held, in one slab, with the links that make lists of them.

use std::{collections::BTreeMap, mem::size_of, ops::Bound};

use bytes::Bytes;
use slab::Slab;

use super::{fragments::Key, reassembly::RxChunk};
use crate::ids::{Ppid, StreamId, Tsn};

/// What a chunk costs beyond its payload: its place in the slab, the block of the allocator that
/// its payload may be copied to, and a share of the indexes, of which a message in order needs none
/// and a lone fragment some 110 bytes. Resident memory is 0.7 to 1 times what is counted, and 1.5
/// to 1.8 times for nothing but one-byte chunks out of order.
pub(super) const CHUNK_OVERHEAD: usize = size_of::<Chunk>() + ALLOCATION + INDEX;
const ALLOCATION: usize = 16;
const INDEX: usize = 48;

/// Small payloads in a batch; with more, the batch is taken as ended.
const MAX_PINNING: usize = 1024;

/// Chunks for which an empty slab keeps memory.
const MAX_SPARE: usize = 256;

/// What holding a payload of this size counts against the window.
pub(super) const fn cost(payload: usize) -> usize {
    payload + CHUNK_OVERHEAD
}

/// A slab index.
pub(super) type Id = u32;
const NIL: Id = Id::MAX;

/// One chunk held.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) payload: Bytes,
    pub(super) key: Key,
    pub(super) tsn: Tsn,
    /// SSN or MID.
    pub(super) seq: u32,
    /// Of the message; only the first chunk of a list that is delivered has it for sure.
    pub(super) ppid: Ppid,
    pub(super) stream: StreamId,
    pub(super) unordered: bool,
    pub(super) begin: bool,
    pub(super) end: bool,
    /// In `Store::above`.
    above: bool,
    /// The payload takes less than half of the buffer that it keeps from being freed.
    pinning: bool,
    previous: Id,
    next: Id,
}

/// Chunks in a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct List {
    head: Id,
    tail: Id,
}

impl Default for List {
    fn default() -> Self {
        Self {
            head: NIL,
            tail: NIL,
        }
    }
}

impl List {
    pub(super) fn one(id: Id) -> Self {
        Self { head: id, tail: id }
    }

    pub(super) fn first(&self) -> Option<Id> {
        (self.head != NIL).then_some(self.head)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head == NIL
    }
}

/// Owner of all chunks held.
#[derive(Debug, Default)]
pub(super) struct Store {
    chunks: Slab<Chunk>,
    /// Sum of [`cost`].
    held: usize,
    /// Those that may be dropped again: not deliverable yet and beyond the cumulative TSN. By TSN
    /// value, which wraps: see [`highest_above`](Self::highest_above).
    above: BTreeMap<u32, Id>,
    /// Their part of `held`.
    held_above: usize,
    /// Inserted since the last [`compact`](Self::compact), with `pinning`; may name chunks gone.
    pinning: Vec<Id>,
}

impl Store {
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// What would be held if all that may be reneged were.
    pub(super) fn held_for_good(&self) -> usize {
        self.held - self.held_above
    }

    pub(super) fn insert(&mut self, chunk: RxChunk, key: Key) -> Id {
        let len = chunk.payload.len();
        self.held += cost(len);
        let pinning = len < chunk.buffer as usize / 2;
        // The window bounds the slab far below 2³² entries.
        let id = self.chunks.insert(Chunk {
            payload: chunk.payload,
            key,
            tsn: chunk.tsn,
            seq: chunk.seq,
            ppid: chunk.ppid,
            stream: chunk.stream,
            unordered: chunk.unordered,
            begin: chunk.begin,
            end: chunk.end,
            above: false,
            pinning,
            previous: NIL,
            next: NIL,
        }) as Id;
        if pinning {
            if self.pinning.len() == MAX_PINNING {
                self.compact();
            }
            self.pinning.push(id);
        }
        id
    }

    pub(super) fn count(&self) -> usize {
        self.chunks.len()
    }

    /// Bytes of user data from this chunk on to the end of its message, or to where its list ends or
    /// `stop` says; and whether the message ends there.
    pub(super) fn extent(&self, first: Id, stop: impl Fn(&Chunk) -> bool) -> (usize, bool) {
        let (mut id, mut len) = (first, 0);
        while id != NIL {
            let chunk = self.get(id);
            if stop(chunk) {
                break;
            }
            len += chunk.payload.len();
            if chunk.end {
                return (len, true);
            }
            id = chunk.next;
        }
        (len, false)
    }

    pub(super) fn get(&self, id: Id) -> &Chunk {
        &self.chunks[id as usize]
    }

    /// The chunk, unless it was removed.
    pub(super) fn find(&self, id: Id) -> Option<&Chunk> {
        self.chunks.get(id as usize)
    }

    pub(super) fn set_ppid(&mut self, id: Id, ppid: Ppid) {
        self.chunks[id as usize].ppid = ppid;
    }

    /// Removes a chunk that is in no list.
    fn remove(&mut self, id: Id) -> Chunk {
        self.settle(id);
        let chunk = self.chunks.remove(id as usize);
        self.held -= cost(chunk.payload.len());
        if self.chunks.is_empty() && self.chunks.capacity() > MAX_SPARE {
            self.chunks = Slab::new();
        }
        chunk
    }

    /// Copies the payloads that came since the last call, are still held and take less than half
    /// of their buffer.
    pub(super) fn compact(&mut self) {
        for id in self.pinning.drain(..) {
            if let Some(chunk) = self.chunks.get_mut(id as usize)
                && chunk.pinning
            {
                chunk.pinning = false;
                chunk.payload = Bytes::copy_from_slice(&chunk.payload);
            }
        }
    }
}

/// Lists.
impl Store {
    /// `front`, then `back`.
    pub(super) fn join(&mut self, front: List, back: List) -> List {
        if front.is_empty() {
            return back;
        }
        if back.is_empty() {
            return front;
        }
        self.chunks[front.tail as usize].next = back.head;
        self.chunks[back.head as usize].previous = front.tail;
        List {
            head: front.head,
            tail: back.tail,
        }
    }

    /// Takes the first chunk out of the list and the store.
    pub(super) fn pop_front(&mut self, list: &mut List) -> Option<Chunk> {
        let chunk = self.remove(list.first()?);
        list.head = chunk.next;
        match list.first() {
            Some(head) => self.chunks[head as usize].previous = NIL,
            None => list.tail = NIL,
        }
        Some(chunk)
    }

    /// Takes one chunk out of the store and leaves what was before and after it in its list.
    pub(super) fn split_at(&mut self, list: List, id: Id) -> (List, Chunk, List) {
        let chunk = self.remove(id);
        let before = match chunk.previous {
            NIL => List::default(),
            tail => {
                self.chunks[tail as usize].next = NIL;
                List {
                    head: list.head,
                    tail,
                }
            }
        };
        let after = match chunk.next {
            NIL => List::default(),
            head => {
                self.chunks[head as usize].previous = NIL;
                List {
                    head,
                    tail: list.tail,
                }
            }
        };
        (before, chunk, after)
    }

    /// Drops a whole list; returns the cost that it had.
    pub(super) fn drop_list(&mut self, mut list: List) -> usize {
        let before = self.held;
        while self.pop_front(&mut list).is_some() {}
        before - self.held
    }

    /// Marks all chunks of a list as not to be dropped any more.
    pub(super) fn settle_list(&mut self, list: List) {
        if self.above.is_empty() {
            return;
        }
        let mut at = list.head;
        while at != NIL {
            self.settle(at);
            at = self.chunks[at as usize].next;
        }
    }
}

/// The cumulative TSN.
impl Store {
    /// The chunk is beyond the cumulative TSN: it may be dropped and may not be delivered in part.
    pub(super) fn raise(&mut self, id: Id) {
        let chunk = &mut self.chunks[id as usize];
        chunk.above = true;
        self.above.insert(chunk.tsn.value(), id);
        self.held_above += cost(chunk.payload.len());
    }

    pub(super) fn has_above(&self) -> bool {
        !self.above.is_empty()
    }

    pub(super) fn is_above(&self, id: Id) -> bool {
        self.chunks[id as usize].above
    }

    fn settle(&mut self, id: Id) {
        let chunk = &mut self.chunks[id as usize];
        if std::mem::take(&mut chunk.above) {
            self.above.remove(&chunk.tsn.value());
            self.held_above -= cost(chunk.payload.len());
        }
    }

    /// Takes one of the chunks that the cumulative TSN has passed from those above it.
    pub(super) fn settle_one(&mut self, cumulative: Tsn) -> Option<Id> {
        if self.above.is_empty() {
            return None;
        }
        // At or before the cumulative TSN is the half of the circle that ends there.
        let last = cumulative.value();
        let first = last.wrapping_sub(u32::MAX / 2);
        let found = if first <= last {
            self.above.range(first..=last).next()
        } else {
            self.above
                .range(first..)
                .next()
                .or_else(|| self.above.range(..=last).next())
        };
        let id = *found?.1;
        self.settle(id);
        Some(id)
    }

    /// The TSNs of those above, in their order.
    pub(super) fn above_after(&self, cumulative: Tsn) -> impl Iterator<Item = Tsn> {
        // Values at or below the cumulative TSN's have wrapped, and so come last.
        let from = cumulative.value();
        let after = (Bound::Excluded(from), Bound::Unbounded);
        let wrapped = self.above.range(..=from);
        (self.above.range(after))
            .chain(wrapped)
            .map(|(&tsn, _)| Tsn::new(tsn))
    }

    /// The chunk with the highest TSN of those above.
    pub(super) fn highest_above(&self, cumulative: Tsn) -> Option<Id> {
        // Values at or below the cumulative TSN's have wrapped, and so come last.
        let wrapped = self.above.range(..=cumulative.value()).next_back();
        wrapped
            .or_else(|| self.above.last_key_value())
            .map(|(_, &id)| id)
    }
}

impl Chunk {
    pub(super) fn is_above(&self) -> bool {
        self.above
    }
}

/// For the tests, which check the books.
#[cfg(any(test, feature = "internals"))]
impl Store {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter().map(|(_, chunk)| chunk)
    }

    pub(super) fn above_count(&self) -> usize {
        self.above.len()
    }

    pub(super) fn len(&self, list: List) -> usize {
        self.walk(list).count()
    }

    pub(super) fn above_in(&self, list: List) -> usize {
        self.walk(list).filter(|&id| self.is_above(id)).count()
    }

    fn walk(&self, list: List) -> impl Iterator<Item = Id> {
        std::iter::successors(list.first(), move |&id| {
            let next = self.chunks[id as usize].next;
            assert_eq!(next == NIL, id == list.tail);
            (next != NIL).then_some(next)
        })
    }
}
