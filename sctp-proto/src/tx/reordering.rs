//! How far packets of a path overtake each other: the reordering window of RACK, which grows with
//! each round trip in which a retransmission was for nothing (RFC 8985 §6.2 step 4).
//!
//! The duplicate TSNs of SACKs (RFC 9260 §3.3.4) are what DSACK is to TCP. They are advisory: a
//! peer that makes them up has its own losses found later, by one smoothed round-trip time at most,
//! and with it everything it is sent; it gains nothing, and T3-rtx stays what it is.

use std::{collections::VecDeque, time::Duration};

use super::outstanding::Outstanding;
use crate::{
    config::LossDetection,
    ids::{PathId, Tsn},
};

/// The reordering window is the least round-trip time divided by this, times so many quarters.
const QUARTER: u32 = 4;
/// Recoveries after which what the window grew by is forgotten.
const PERSISTENCE: u8 = 16;
/// Retransmissions whose duplicates are known as such. Reports come a round trip after the
/// retransmission, and one that is known is enough for all of that round trip.
const REMEMBERED: usize = 16;

/// What retransmissions have told of one path. Kept only where something was lost.
#[derive(Debug, Default)]
pub(super) struct Reordering {
    /// Quarters of the least round-trip time allowed besides the first.
    more_quarters: u8,
    /// Recoveries until `more_quarters` is forgotten.
    persist: u8,
    /// Until this TSN is acknowledged, another needless retransmission widens nothing.
    round: Option<Tsn>,
    /// The last TSNs sent again because what left after them had arrived. They stay when they are
    /// acknowledged: a duplicate comes after that.
    repaired: VecDeque<Tsn>,
}

impl Reordering {
    /// How long after what left after it a packet may arrive, before the limits that
    /// [`Settling`](super::Settling) sets.
    pub(super) fn window(&self, min_rtt: Duration) -> Duration {
        (min_rtt / QUARTER).saturating_mul(1 + u32::from(self.more_quarters))
    }

    /// A TSN taken for overtaken too long ago is sent again.
    pub(super) fn repaired(&mut self, tsn: Tsn) {
        if self.repaired.len() == REMEMBERED {
            self.repaired.pop_front();
        }
        self.repaired.push_back(tsn);
    }

    /// The retransmission of one of them was for nothing. Once per round trip the window grows.
    fn needless(&mut self, cumulative: Tsn, highest: Tsn) {
        self.persist = PERSISTENCE;
        if self.round.is_none_or(|round| !cumulative.before(round)) {
            self.round = Some(highest);
            self.more_quarters = self.more_quarters.saturating_add(1);
        }
    }

    fn recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.more_quarters = 0;
        }
    }
}

impl Outstanding {
    /// The peer got these TSNs more than once. What was sent again for no loss shows how far
    /// packets are overtaken; what was sent once, repeated by a tail loss probe or by T3-rtx shows
    /// nothing of the kind. To be called after the SACK was applied. O(duplicates), of which a
    /// packet has few.
    pub fn duplicated(&mut self, duplicates: impl ExactSizeIterator<Item = Tsn> + Clone) {
        if duplicates.len() == 0 || self.detection == LossDetection::MissingReports {
            return;
        }
        let (cumulative, highest) = (self.cumulative, self.next_tsn().previous());
        for path in &mut self.paths {
            let Some(reordering) = &mut path.rack.reordering else {
                continue;
            };
            let repaired = |tsn: Tsn| reordering.repaired.contains(&tsn);
            if duplicates.clone().any(repaired) {
                reordering.needless(cumulative, highest);
                path.rack.reordered = true;
            }
        }
    }

    /// A fast recovery is over on a path.
    pub fn recovered(&mut self, path: PathId) {
        let path = self.paths.get_mut(path.index());
        if let Some(reordering) = path.and_then(|path| path.rack.reordering.as_mut()) {
            reordering.recovered();
        }
    }
}
