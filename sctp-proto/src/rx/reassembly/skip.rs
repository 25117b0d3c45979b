//! Messages that the peer has given up (RFC 3758 §3.6, RFC 8260 §2.3.1).
//!
//! A message is given up as a whole, and what is missing of it never comes. With I-DATA the peer
//! names the last message skipped, ordered and unordered, on each stream. With DATA it does so for
//! ordered messages only; of unordered ones the TSNs tell: a row of fragments that should go on
//! with a TSN which the cumulative TSN has passed will not.
//!
//! The work is bounded by what is held and by the length of the list, whatever the distances: each
//! fragment is passed by the cumulative TSN once, and a message is looked for between the last one
//! skipped before on its stream and this one.

use super::{
    super::{
        fragments::Key,
        store::Id,
        stream::{Partial, Stream},
    },
    Reassembly, successor,
};
use crate::{
    ids::{StreamId, Tsn},
    serial::{before32, span},
};

/// The last message skipped on a stream, of its ordered or its unordered ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    pub stream: StreamId,
    pub unordered: bool,
    /// SSN (FORWARD-TSN) or MID (I-FORWARD-TSN).
    pub seq: u32,
}

/// Unordered messages that may come after one that was skipped, and still are of before: more than
/// a send window has.
const LATE: u32 = 1 << 20;

/// Whether an I-DATA chunk is of a message that was skipped, and came late.
pub(super) fn is_late(stream: &mut Stream, unordered: bool, seq: u32) -> bool {
    if !unordered {
        return before32(seq, stream.next);
    }
    let Some(next) = stream.unordered_from else {
        return false;
    };
    if !before32(seq, next) && seq.wrapping_sub(next) > LATE {
        // So long ago that its number may come again.
        stream.unordered_from = None;
    }
    before32(seq, next)
}

impl Reassembly {
    /// The peer goes on after `cumulative`: what is missing up to it will not come, and of the
    /// streams in `skipped` no message up to the one named. Complete messages among these become
    /// readable, the others are dropped. To be called with the cumulative TSN as it was `before`;
    /// [`on_cumulative`](Self::on_cumulative) follows.
    //= RFC 3758 §3.6
    //# In particular, during processing of a FORWARD TSN, the receiver MUST use the stream sequence
    //# information to examine all of the listed stream reordering queues, and immediately make
    //# available for delivery stream sequence numbers earlier than or equal to the stream sequence
    //# number listed inside the FORWARD TSN.
    pub fn skip(&mut self, before: Tsn, skipped: impl Iterator<Item = Skipped>) {
        self.skips = true;
        if !self.interleaving {
            // All but the last row of fragments before the gap is seen to as the cumulative TSN
            // passes it. Of one that was read in part nothing may be left but its place.
            let last = self.runs.containing(Key::of_tsn(self.edge, before));
            let place = Key::of_tsn(self.edge, before.next());
            let place = || self.runs.get(place).map(|run| (place, run));
            if let Some((key, run)) = last.or_else(place)
                && !run.is_complete()
                && run.end() == before.next().value()
            {
                self.drop_torn(self.edge, key);
            }
        }
        for Skipped {
            stream,
            unordered,
            seq,
        } in skipped
        {
            if !self.is_valid(stream) || self.is_discarding(stream) {
                continue;
            }
            if !unordered {
                self.skip_ordered(stream, seq);
            } else if self.interleaving {
                self.skip_unordered(stream, seq);
            }
        }
    }

    fn skip_ordered(&mut self, id: StreamId, seq: u32) {
        let stream = self.streams.entry(id).or_default();
        let (next, locked) = (stream.next, stream.is_locked());
        let after = successor(seq, self.interleaving);
        let half = if self.interleaving { 1 << 31 } else { 1 << 15 };
        let mask = (half - 1) << 1 | 1;
        if after == next || (after.wrapping_sub(next) & mask) >= half {
            return;
        }
        let head = stream.head.take();
        let mut passed: Vec<Key> = head.into_iter().collect();
        for range in span(next, seq, mask) {
            let range = (id, *range.start())..=(id, *range.end());
            while let Some((&at, &key)) = self.waiting.range(range.clone()).next() {
                self.waiting.remove(&at);
                passed.push(key);
            }
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.next = after;
        }
        for key in passed {
            if self.runs.get(key).is_some_and(|run| run.is_complete()) {
                self.deliver(id, key);
            } else {
                self.drop_run(id, key);
            }
        }
        if self.interleaving {
            // Fragments after a hole. With DATA the cumulative TSN finds them.
            for key in self.runs.incomplete(id, false, next, seq) {
                self.drop_run(id, key);
            }
        }
        self.resume(id, locked);
    }

    fn skip_unordered(&mut self, id: StreamId, seq: u32) {
        let stream = self.streams.entry(id).or_default();
        let after = seq.wrapping_add(1);
        // Before the first skip: from so far back as a window of the peer's can reach.
        let from = stream.unordered_from.unwrap_or(after.wrapping_sub(LATE));
        if after == from || before32(after, from) {
            return;
        }
        stream.unordered_from = Some(after);
        let locked = stream.is_locked();
        for key in self.runs.incomplete(id, true, from, seq) {
            self.drop_run(id, key);
        }
        self.resume(id, locked);
    }

    /// Numbers of the stream have moved on, or the message it was locked for is gone.
    fn resume(&mut self, id: StreamId, was_locked: bool) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.head.is_none() {
            stream.head = self.waiting.remove(&(id, stream.next));
        }
        let (locked, head) = (stream.is_locked(), stream.head);
        if locked {
            return;
        }
        if was_locked {
            self.unlocked(id);
        } else if let Some(key) = head
            && self.runs.get(key).is_some_and(|run| run.is_complete())
        {
            self.deliver_next(id, key);
        }
        self.offer_more(id);
    }

    /// A fragment that the cumulative TSN covers belongs to a row that cannot become whole: what
    /// precedes or follows it is covered, too, and not here. DATA only.
    pub(super) fn drop_if_torn(&mut self, node: Id, cumulative: Tsn) {
        let Some(chunk) = self.store.find(node) else {
            return;
        };
        let id = chunk.stream;
        let Some((key, run)) = self.runs.containing(chunk.key) else {
            return;
        };
        let torn = !run.begins || !cumulative.before(Tsn::new(run.end()));
        if run.is_complete() || !torn {
            return;
        }
        self.drop_torn(id, key);
    }

    /// Drops a row of fragments; what waited only for its end goes on.
    fn drop_torn(&mut self, id: StreamId, key: Key) {
        let locked = self.streams.get(&id).is_some_and(Stream::is_locked);
        if let Some(run) = self.runs.get(key)
            && self.waiting.get(&(id, run.seq)) == Some(&key)
        {
            self.waiting.remove(&(id, run.seq));
        }
        self.drop_run(id, key);
        self.resume(id, locked);
    }

    /// Drops the fragments of a message; if it was read in part, its reader is told.
    //= RFC 3758 §3.6
    //# The receiver MUST remove any partially reassembled message, which is still missing one or
    //# more TSNs earlier than or equal to the new cumulative TSN point.
    //= RFC 3758 §3.6
    //# In the event that the receiver has invoked the partial delivery API, a notification SHOULD
    //# also be generated to inform the upper layer API that the message being partially delivered
    //# will NOT be completed.
    fn drop_run(&mut self, id: StreamId, key: Key) {
        let Some(run) = self.runs.remove(key) else {
            return;
        };
        let freed = self.store.drop_list(run.list);
        if let Some(stream) = self.streams.get_mut(&id) {
            for place in [&mut stream.head, &mut stream.loose] {
                if *place == Some(key) {
                    *place = None;
                }
            }
            if stream.partial == Partial::Begun(key) {
                stream.partial = Partial::Aborted(run.read());
                self.readiness.announce(id, stream);
            } else if stream.partial.key() == Some(key) {
                stream.partial = Partial::None;
            }
        }
        self.release(id, freed);
    }
}
