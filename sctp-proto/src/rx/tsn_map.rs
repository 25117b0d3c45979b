//! Which TSNs have arrived: the cumulative TSN ack point and, beyond it, one bit per TSN.

use smallvec::SmallVec;

use crate::ids::Tsn;

/// How far beyond the cumulative point a TSN is taken. Gap ack block offsets are 16 bits wide, and
/// this many bits, wherever they begin within a word, lie in 1024 words: 8 KiB at most.
pub const MAX_SPAN: u32 = 1023 * 64;

/// Duplicates remembered for one SACK; §6.2 only asks to report them, and the sender makes little
/// of their number.
const MAX_DUPLICATES: usize = 16;

/// Gap ack blocks: first and last offset from the cumulative TSN ack (§3.3.4).
pub type GapBlocks = SmallVec<[(u16, u16); 16]>;

/// What a TSN is to a [`TsnMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TsnCheck {
    /// Not received yet.
    New,
    /// Received before.
    Duplicate,
    /// More than [`MAX_SPAN`] beyond the cumulative point: to be dropped unacknowledged.
    TooFar,
}

/// The TSNs received.
///
/// A ring of words, grown on demand, in which a TSN's place follows from its value alone, so that
/// advancing moves nothing. Data in order touches no word at all.
#[derive(Debug)]
pub struct TsnMap {
    cumulative: Tsn,
    /// The highest TSN received; the cumulative point when there are no gaps.
    highest: Tsn,
    /// A power of two of them, or none. Only bits of TSNs in `cumulative + 2 ..= highest` are set.
    words: Vec<u64>,
    duplicates: SmallVec<[Tsn; MAX_DUPLICATES]>,
}

impl TsnMap {
    /// Nothing received; the peer begins with `peer_initial_tsn`.
    pub fn new(peer_initial_tsn: Tsn) -> Self {
        let cumulative = peer_initial_tsn.previous();
        Self {
            cumulative,
            highest: cumulative,
            words: Vec::new(),
            duplicates: SmallVec::new(),
        }
    }

    /// The last TSN before the first that is missing.
    pub fn cumulative(&self) -> Tsn {
        self.cumulative
    }

    /// The highest TSN received.
    pub fn highest(&self) -> Tsn {
        self.highest
    }

    /// Whether anything beyond the cumulative point has arrived.
    pub fn has_gaps(&self) -> bool {
        self.highest != self.cumulative
    }

    /// What this TSN would be; changes nothing.
    pub fn check(&self, tsn: Tsn) -> TsnCheck {
        if !self.cumulative.before(tsn) {
            TsnCheck::Duplicate
        } else if tsn.distance_from(self.cumulative) > MAX_SPAN {
            TsnCheck::TooFar
        } else if self.contains(tsn) {
            TsnCheck::Duplicate
        } else {
            TsnCheck::New
        }
    }

    /// Takes a TSN that `check` found [`New`](TsnCheck::New).
    pub fn insert(&mut self, tsn: Tsn) {
        debug_assert_eq!(self.check(tsn), TsnCheck::New);
        if tsn == self.cumulative.next() {
            let gaps = self.has_gaps();
            self.cumulative = tsn;
            if gaps {
                self.advance();
            } else {
                self.highest = tsn;
            }
            return;
        }
        self.reserve(tsn);
        let (word, bit) = self.place(tsn);
        self.words[word] |= 1 << bit;
        if self.highest.before(tsn) {
            self.highest = tsn;
        }
    }

    /// Remembers a duplicate for the next SACK.
    pub fn duplicate(&mut self, tsn: Tsn) {
        if self.duplicates.len() < MAX_DUPLICATES {
            self.duplicates.push(tsn);
        }
    }

    /// The duplicates since the last call.
    pub fn take_duplicates(&mut self) -> SmallVec<[Tsn; MAX_DUPLICATES]> {
        std::mem::take(&mut self.duplicates)
    }

    /// Forgets a TSN beyond the cumulative point that was received and then dropped (reneging,
    /// §6.2).
    pub fn remove(&mut self, tsn: Tsn) {
        if !self.contains(tsn) {
            return;
        }
        let (word, bit) = self.place(tsn);
        self.words[word] &= !(1 << bit);
        if tsn == self.highest {
            self.highest = self.last_set(tsn);
        }
    }

    /// Moves the cumulative point to `cumulative` and over what follows it, as FORWARD-TSN asks;
    /// false if it is there already. Costs at most one step per word held, whatever the distance.
    pub fn advance_to(&mut self, cumulative: Tsn) -> bool {
        if !self.cumulative.before(cumulative) {
            return false;
        }
        if !cumulative.before(self.highest) {
            self.words.fill(0);
            self.highest = cumulative;
            self.cumulative = cumulative;
            return true;
        }
        let mut at = self.cumulative.next();
        while !cumulative.before(at) {
            let (word, bit) = self.place(at);
            let count = (64 - bit).min(cumulative.distance_from(at) + 1);
            self.words[word] &= !ones(bit, count);
            at = at.plus(count);
        }
        self.cumulative = cumulative;
        self.advance();
        true
    }

    /// Writes the gap ack blocks to `out`, from the lowest TSN on, at most `max`.
    //= RFC 9260 §6.7
    //# This single SACK chunk MUST report the Gap Ack Blocks from the lowest to highest TSNs, within
    //# the size limit set by the PMTU, and leave the remaining highest TSN numbers unacknowledged.
    //= RFC 9260 §3.3.4
    //# The Gap Ack Blocks SHOULD be isolated.
    pub fn gap_blocks(&self, max: usize, out: &mut GapBlocks) {
        out.clear();
        // A span of at most MAX_SPAN fits the 16 bits.
        let offset = |tsn: Tsn| tsn.distance_from(self.cumulative) as u16;
        let mut at = self.cumulative.next();
        while out.len() < max && self.has_gaps() {
            let start = self.skip(at, |word| word);
            if self.highest.before(start) {
                break;
            }
            at = self.skip(start, |word| !word);
            out.push((offset(start), offset(at.previous())));
        }
    }

    fn contains(&self, tsn: Tsn) -> bool {
        if !self.cumulative.before(tsn) || self.highest.before(tsn) {
            return false;
        }
        let (word, bit) = self.place(tsn);
        self.words[word] >> bit & 1 != 0
    }

    /// Index of a TSN's word, and its bit therein. Only with words, that is while there are gaps.
    fn place(&self, tsn: Tsn) -> (usize, u32) {
        let word = (tsn.value() >> 6) as usize & (self.words.len() - 1);
        (word, tsn.value() & 63)
    }

    /// The first TSN from `from` on with a one in what `view` makes of its word, or one beyond
    /// `highest`.
    fn skip(&self, from: Tsn, view: impl Fn(u64) -> u64) -> Tsn {
        let mut at = from;
        while !self.highest.before(at) {
            let (word, bit) = self.place(at);
            let rest = view(self.words[word]) >> bit;
            if rest != 0 {
                let found = at.plus(rest.trailing_zeros());
                return if self.highest.before(found) {
                    self.highest.next()
                } else {
                    found
                };
            }
            at = at.plus(64 - bit);
        }
        self.highest.next()
    }

    /// The last TSN before `tsn` that is set, or the cumulative point.
    fn last_set(&self, tsn: Tsn) -> Tsn {
        let mut at = tsn;
        while self.cumulative.before(at) {
            let (word, bit) = self.place(at);
            let rest = self.words[word] << (63 - bit);
            if rest != 0 {
                let found = Tsn::new(at.value().wrapping_sub(rest.leading_zeros()));
                return if self.cumulative.before(found) {
                    found
                } else {
                    self.cumulative
                };
            }
            at = Tsn::new(at.value().wrapping_sub(bit + 1));
        }
        self.cumulative
    }

    /// Moves the cumulative point over the TSNs that follow it, clearing their bits.
    fn advance(&mut self) {
        while self.has_gaps() {
            let (word, bit) = self.place(self.cumulative.next());
            let run = (self.words[word] >> bit).trailing_ones().min(64 - bit);
            if run == 0 {
                return;
            }
            self.words[word] &= !ones(bit, run);
            self.cumulative = self.cumulative.plus(run);
            if bit + run < 64 {
                return;
            }
        }
    }

    /// Makes the ring long enough for `tsn`.
    fn reserve(&mut self, tsn: Tsn) {
        let first = self.cumulative.next().value() >> 6;
        let span = |to: Tsn| (((to.value() >> 6).wrapping_sub(first)) & (u32::MAX >> 6)) + 1;
        let needed = span(tsn) as usize;
        if needed <= self.words.len() {
            return;
        }
        let mut words = vec![0; needed.next_power_of_two().max(4)];
        let (new_mask, old_mask) = (words.len() - 1, self.words.len().wrapping_sub(1));
        if self.has_gaps() {
            for n in 0..span(self.highest) {
                let word = first.wrapping_add(n) as usize;
                words[word & new_mask] = self.words[word & old_mask];
            }
        }
        self.words = words;
    }
}

/// `count` (1 to 64) ones from bit `from` on.
fn ones(from: u32, count: u32) -> u64 {
    (u64::MAX >> (64 - count)) << from
}

#[cfg(test)]
mod tests;
