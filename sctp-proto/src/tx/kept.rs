//! What the peer has acknowledged for good ahead of the cumulative TSN (NR-SACK): it is never sent
//! again, whatever the peer says later, and a message of which all is acknowledged gives its room in
//! the send buffer back before those that were sent earlier.

use smallvec::SmallVec;

use super::{
    outstanding::{Credit, Outstanding, State},
    queue::SendQueue,
    sack::difference,
};
use crate::ids::Tsn;

/// Half-open ranges of indexes, sorted and apart from each other.
type Ranges = SmallVec<[(u32, u32); 8]>;

impl Outstanding {
    /// Notes the NR gap ack blocks of an NR-SACK, as (start, end) offsets from its cumulative TSN ack.
    /// To be called after [`apply_sack`](Self::apply_sack) with the same cumulative TSN and these
    /// blocks among the others; what it did not take for acknowledged is ignored here as well. Costs
    /// each TSN of a block once, and each block.
    pub fn keep(
        &mut self,
        cumulative: Tsn,
        nr_gap_blocks: impl Iterator<Item = (u16, u16)>,
        queue: &mut SendQueue,
    ) {
        if cumulative != self.cumulative {
            return;
        }
        let mut named = Ranges::new();
        for (start, end) in nr_gap_blocks {
            // Offset 1 is the TSN after the cumulative one, which has index 0.
            let start = u32::from(start).saturating_sub(1);
            let end = u32::from(end).min(self.records.len() as u32);
            let free_from = named.last().map_or(1, |last| last.1);
            if start < free_from || end <= start {
                continue;
            }
            match named.last_mut() {
                Some(last) if last.1 == start => last.1 = end,
                _ => named.push((start, end)),
            }
        }
        let kept = std::mem::take(&mut self.kept);
        let mut news = Ranges::new();
        difference(&named, &kept, |start, end| {
            for index in start..end {
                let record = &mut self.records[index as usize];
                if record.state != State::GapAcked {
                    continue;
                }
                // What was given up has no room to give back.
                if record.credit == Credit::Counted {
                    record.credit = Credit::Kept;
                    queue.keep(record.key, record.len);
                }
                match news.last_mut() {
                    Some(last) if last.1 == index => last.1 += 1,
                    _ => news.push((index, index + 1)),
                }
            }
        });
        self.kept = union(&kept, &news);
    }

    /// Adds what is kept to the gap blocks of an acknowledgement that moves the front by `advance`.
    pub(super) fn claim_kept(&mut self, advance: u32) {
        if self.kept.is_empty() {
            return;
        }
        let kept: Ranges = (self.kept.iter())
            .map(|&(start, end)| (start.saturating_sub(advance), end.saturating_sub(advance)))
            .filter(|(start, end)| start < end)
            .collect();
        let claimed = union(&self.claimed, &kept);
        self.claimed.clear();
        self.claimed.extend(claimed);
    }
}

/// The ranges of both.
fn union(a: &[(u32, u32)], b: &[(u32, u32)]) -> Ranges {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut all = Ranges::new();
    loop {
        let next = match (a.peek(), b.peek()) {
            (Some(x), Some(y)) if x.0 <= y.0 => a.next(),
            (_, Some(_)) => b.next(),
            (_, None) => a.next(),
        };
        let Some(&(start, end)) = next else {
            return all;
        };
        match all.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => all.push((start, end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unions_are_sorted_and_apart() {
        let union = |a: &[(u32, u32)], b: &[(u32, u32)]| union(a, b).to_vec();
        assert_eq!(union(&[], &[]), []);
        assert_eq!(union(&[(1, 2)], &[]), [(1, 2)]);
        assert_eq!(
            union(&[(1, 2), (5, 9)], &[(2, 3), (4, 6)]),
            [(1, 3), (4, 9)]
        );
        assert_eq!(union(&[(3, 4)], &[(1, 9)]), [(1, 9)]);
        assert_eq!(
            union(&[(1, 9)], &[(2, 3), (4, 5), (10, 11)]),
            [(1, 9), (10, 11)]
        );
    }
}
