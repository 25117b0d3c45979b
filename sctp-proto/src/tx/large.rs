//! Which transmissions were larger than every path carries: their fate tells of paths that swallow
//! what is large.
//!
//! It is packets that are swallowed, and what is known of is chunks: the mark is for those that
//! reach beyond the size that every path carries, of which each large packet has one at least.

use super::outstanding::{Outstanding, State};
use crate::{
    ids::{PathId, Tsn},
    time::Instant,
};

impl Outstanding {
    /// The last transmission of a TSN was in a large packet.
    pub fn mark_large(&mut self, tsn: Tsn) {
        let index = tsn.distance_from(self.cumulative.next());
        if let Some(record) = self.records.get_mut(index as usize) {
            record.large = true;
        }
    }

    /// When the last large packet in flight on a path left. O(window), as rare as a time-out.
    pub fn last_large(&self, path: PathId) -> Option<Instant> {
        let records = self.records.iter();
        records
            .filter(|record| record.path == path && record.state == State::InFlight && record.large)
            .map(|record| record.sent_at)
            .max()
    }
}
