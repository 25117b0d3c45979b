//! The books of reassembly against what is really held, for tests that ask after every step.

use rustc_hash::FxHashMap;

use super::{
    super::{store::cost, stream::Stream},
    Reassembly,
};
use crate::{ids::StreamId, serial::before32};

impl Reassembly {
    /// Checks the books against what is really held. O(chunks).
    pub fn audit(&self) {
        let mut bytes: FxHashMap<StreamId, usize> = FxHashMap::default();
        for chunk in self.store.iter() {
            *bytes.entry(chunk.stream).or_default() += cost(chunk.payload.len());
        }
        assert_eq!(self.held(), bytes.values().sum::<usize>());
        let mut listed = 0;
        for (id, stream) in &self.streams {
            assert_eq!(stream.bytes, bytes.get(id).copied().unwrap_or(0), "{id:?}");
            assert_eq!(stream.large, stream.bytes > self.stalls.share());
            listed += self.store.len(stream.ready);
            assert_eq!(
                self.store.above_in(stream.ready),
                0,
                "readable data can be reneged"
            );
            for key in [stream.head, stream.loose, stream.partial.key()]
                .into_iter()
                .flatten()
            {
                assert!(
                    self.runs.get(key).is_some_and(|run| run.begins),
                    "{id:?} {key:?}"
                );
            }
        }
        for key in self.waiting.values() {
            assert!(self.runs.get(*key).is_some_and(|run| run.begins));
        }
        let mut above = 0;
        for (key, run) in self.runs.iter() {
            let passed = |stream: &Stream| before32(run.seq, stream.next);
            assert!(
                !self.interleaving
                    || run.unordered
                    || !self.streams.get(&key.stream()).is_some_and(passed),
                "{key:?} is of a message that will not be delivered"
            );
            listed += self.store.len(run.list);
            above += self.store.above_in(run.list);
        }
        assert_eq!(listed, self.store.count(), "each chunk is in one list");
        assert_eq!(above, self.store.above_count());
        let kept = self.store.iter().filter(|chunk| !chunk.is_above());
        let kept: usize = kept.map(|chunk| cost(chunk.payload.len())).sum();
        assert_eq!(self.store.held_for_good(), kept);
    }
}
