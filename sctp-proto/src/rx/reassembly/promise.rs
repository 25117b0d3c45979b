//! What will not be given up any more of what is beyond the cumulative TSN, for NR-SACK.

use super::Reassembly;
use crate::{ids::Tsn, rx::GapBlocks};

/// Chunks that may be given up that are looked at for one SACK; beyond these all counts as one that
/// may be.
const MAX_SCAN: usize = 4096;

impl Reassembly {
    /// Splits gap ack blocks, of which at most `max` come out: those that may yet be given up to make
    /// room for what is missing ([`renege`](Self::renege)), and those that will not be, because they
    /// are deliverable, delivered or discarded.
    pub fn split_gaps(
        &self,
        cumulative: Tsn,
        gaps: &[(u16, u16)],
        max: usize,
    ) -> (GapBlocks, GapBlocks) {
        let (mut may, mut kept) = (GapBlocks::new(), GapBlocks::new());
        let mut above = (self.store.above_after(cumulative))
            .map(|tsn| tsn.distance_from(cumulative))
            .peekable();
        let mut scanned = 0;
        for &(start, end) in gaps {
            let mut at = u32::from(start);
            let end = u32::from(end);
            while at <= end && may.len() + kept.len() < max {
                while above.next_if(|&offset| offset < at).is_some() {}
                let last = match above.peek() {
                    _ if scanned >= MAX_SCAN => end,
                    Some(&first) if first == at => {
                        let mut last = at;
                        while above.next_if(|&offset| offset == last).is_some() {
                            scanned += 1;
                            last += 1;
                        }
                        (last - 1).min(end)
                    }
                    Some(&first) if first <= end => {
                        kept.push((at as u16, (first - 1) as u16));
                        at = first;
                        continue;
                    }
                    _ => {
                        kept.push((at as u16, end as u16));
                        break;
                    }
                };
                may.push((at as u16, last as u16));
                at = last + 1;
            }
        }
        (may, kept)
    }
}
