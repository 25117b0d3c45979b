//! Tags of associations that are over, for as long as their COOKIE ECHO could come again.
//!
//! A state cookie stays genuine for its lifetime, whatever became of the association it made. A
//! copy of its COOKIE ECHO that the network held back, or that somebody recorded, would set the
//! association up once more and deliver the DATA bundled with it a second time.

use std::collections::VecDeque;

use rustc_hash::FxHashSet;

use crate::time::Instant;

/// Tags remembered at most, the oldest forgotten first. Costs 21 bytes each.
const MAX_TAGS: usize = 65_536;

/// Verification tags, each until the last cookie that carries it is stale.
#[derive(Debug, Default)]
pub(super) struct Departed {
    order: VecDeque<(Instant, u32)>,
    tags: FxHashSet<u32>,
}

impl Departed {
    /// Remembers a tag until then. Calls come in the order of their times.
    pub(super) fn add(&mut self, until: Instant, tag: u32) {
        if self.order.len() == MAX_TAGS {
            self.forget_oldest();
        }
        if self.tags.insert(tag) {
            self.order.push_back((until, tag));
        }
    }

    /// Whether the tag is remembered. Amortised O(1).
    pub(super) fn contains(&mut self, now: Instant, tag: u32) -> bool {
        while self.order.front().is_some_and(|&(until, _)| until < now) {
            self.forget_oldest();
        }
        self.tags.contains(&tag)
    }

    fn forget_oldest(&mut self) {
        if let Some((_, tag)) = self.order.pop_front() {
            self.tags.remove(&tag);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_forgotten_in_time_and_for_want_of_room() {
        let mut departed = Departed::default();
        let at = Instant::from_nanos;
        departed.add(at(10), 1);
        departed.add(at(20), 2);
        assert!(departed.contains(at(10), 1) && departed.contains(at(10), 2));
        assert!(!departed.contains(at(11), 1) && departed.contains(at(11), 2));
        for tag in 3..MAX_TAGS as u32 + 3 {
            departed.add(at(30), tag);
        }
        assert!(!departed.contains(at(15), 2) && departed.contains(at(15), 3));
        assert_eq!(departed.order.len(), MAX_TAGS);
    }
}
