//! The random numbers of one association.

use rand::{Rng, SeedableRng, rngs::StdRng};

/// A generator that keeps the seed of the next number and nothing else: an association draws a few
/// numbers at its beginning and one per HEARTBEAT, and a [`StdRng`] at hand, which computes in
/// advance, would be a tenth of an idle association. Earlier numbers do not follow from the seed.
#[derive(Debug)]
pub(crate) struct Random {
    seed: [u8; 32],
}

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { seed }
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        let mut rng = StdRng::from_seed(self.seed);
        rng.fill_bytes(&mut self.seed);
        rng.next_u64()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_differ_by_seed_and_from_one_to_the_next() {
        let draw = |seed| {
            let mut random = Random::new([seed; 32]);
            std::iter::repeat_with(move || random.next_u64()).take(1000)
        };
        let numbers: HashSet<u64> = draw(1).chain(draw(2)).collect();
        assert_eq!(numbers.len(), 2000);
        assert!(draw(1).eq(draw(1)));
    }
}
