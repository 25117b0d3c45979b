//! The books of the sending side against what is really there, for tests that ask after every
//! step.

use rustc_hash::FxHashMap;

use super::{
    Outstanding, SendQueue,
    outstanding::{Credit, State},
};
use crate::message::Reliability;

impl SendQueue {
    /// Checks the books against the messages. O(messages).
    pub fn audit(&self) {
        let mut per_stream: FxHashMap<_, usize> = FxHashMap::default();
        let mut unsent = 0;
        for (_, message) in self.messages.iter() {
            *per_stream.entry(message.stream).or_default() += message.data.len();
            unsent += message.unsent();
            assert!(message.unsent() <= message.unacked as usize);
            assert!(
                message.unacked > 0,
                "a message outlives its acknowledgement"
            );
        }
        let discardable = self.messages.iter().filter(|(_, message)| {
            matches!(message.reliability, Reliability::Priority(_))
                && !message.abandoned
                && !message.is_released()
        });
        assert_eq!(self.discardable.len(), discardable.count());
        assert_eq!(self.buffered(), per_stream.values().sum::<usize>());
        assert_eq!(self.unsent_bytes(), unsent);
        assert!(
            self.buffered() <= self.buffer_limit,
            "the send buffer overflows"
        );
        for (id, stream) in self.streams.iter() {
            let expected = per_stream.get(&id).copied().unwrap_or(0);
            assert_eq!(stream.buffered, expected, "{id:?}");
            assert_eq!(stream.scheduled, stream.head.is_some(), "{id:?}");
        }
    }
}

impl Outstanding {
    /// Checks the books against the records, and these against the messages they are of. O(records
    /// and messages). Gives the bytes of chunks that an acknowledgement may still name for the first
    /// time.
    pub fn audit(&self, queue: &SendQueue) -> usize {
        let mut flight = vec![0; self.paths.len()];
        let (mut data_in_flight, mut lost, mut given_up, mut unacknowledged) = (0, 0, 0, 0);
        let mut gaps: Vec<(u32, u32)> = Vec::new();
        let mut per_message: FxHashMap<u32, usize> = FxHashMap::default();
        for (index, record) in (0_u32..).zip(&self.records) {
            let size = self.chunk_size(record.len);
            let abandoned = queue.message(record.key).abandoned;
            assert_eq!(
                record.is_abandoned(),
                abandoned,
                "a message is given up as a whole"
            );
            *per_message.entry(record.key.0).or_default() += match abandoned {
                false => usize::from(record.len),
                true => 1,
            };
            match record.state {
                State::InFlight => {
                    let path = record.path.index();
                    assert!(self.paths[path].earliest <= index);
                    flight[path] += size;
                    data_in_flight += usize::from(record.len);
                }
                State::Lost => {
                    assert!(self.first_lost <= index);
                    lost += 1;
                }
                State::GivenUp => {
                    assert!(record.is_abandoned());
                    given_up += 1;
                }
                State::GapAcked => match gaps.last_mut() {
                    Some(last) if last.1 == index => last.1 += 1,
                    _ => gaps.push((index, index + 1)),
                },
            }
            if record.credit == Credit::Due {
                unacknowledged += size;
            }
        }
        let notes = if self.sampling { self.records.len() } else { 0 };
        assert_eq!(self.notes.len(), notes, "notes, one for each record");
        let kept: Vec<usize> = self.paths.iter().map(|path| path.bytes).collect();
        assert_eq!(kept, flight, "bytes in flight, per path");
        assert_eq!(self.total_flight(), data_in_flight);
        assert_eq!(self.lost, lost, "chunks marked as lost");
        assert_eq!(self.given_up, given_up, "chunks given up");
        assert_eq!(self.gaps, gaps, "chunks acknowledged by gap blocks");
        let skippable = self
            .records
            .iter()
            .take_while(|record| record.is_abandoned());
        assert_eq!(self.skippable as usize, skippable.count());
        assert!(
            queue.given_up.is_empty(),
            "a message given up is to be settled"
        );
        for (key, message) in queue.messages.iter() {
            let outstanding = per_message.remove(&key.0).unwrap_or(0);
            assert_eq!(
                message.unacked as usize,
                message.unsent() + outstanding,
                "what is neither acknowledged nor unsent has a TSN"
            );
        }
        assert!(per_message.is_empty(), "a TSN of a message that is gone");
        unacknowledged
    }
}
