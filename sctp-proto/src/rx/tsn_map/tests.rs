use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// The same by other means: offsets from the initial TSN, which do not wrap.
struct Model {
    initial: u32,
    cumulative: i64,
    above: BTreeSet<i64>,
}

impl Model {
    fn insert(&mut self, offset: i64) {
        self.above.insert(offset);
        self.advance();
    }

    fn advance_to(&mut self, offset: i64) {
        self.cumulative = offset;
        self.above = self.above.split_off(&(offset + 1));
        self.advance();
    }

    fn advance(&mut self) {
        while self.above.remove(&(self.cumulative + 1)) {
            self.cumulative += 1;
        }
    }

    fn highest(&self) -> i64 {
        self.above.last().copied().unwrap_or(self.cumulative)
    }

    fn gap_blocks(&self) -> Vec<(u16, u16)> {
        let mut blocks: Vec<(u16, u16)> = Vec::new();
        for &offset in &self.above {
            let offset = (offset - self.cumulative) as u16;
            match blocks.last_mut() {
                Some(last) if last.1 + 1 == offset => last.1 = offset,
                _ => blocks.push((offset, offset)),
            }
        }
        blocks
    }

    fn check(&self, offset: i64) -> TsnCheck {
        if offset <= self.cumulative || self.above.contains(&offset) {
            TsnCheck::Duplicate
        } else if offset - self.cumulative > i64::from(MAX_SPAN) {
            TsnCheck::TooFar
        } else {
            TsnCheck::New
        }
    }

    fn tsn(&self, offset: i64) -> Tsn {
        Tsn::new(self.initial.wrapping_add(offset as u32))
    }

    fn agrees_with(&self, map: &TsnMap) {
        assert_eq!(map.cumulative(), self.tsn(self.cumulative));
        assert_eq!(map.highest(), self.tsn(self.highest()));
        assert_eq!(map.has_gaps(), !self.above.is_empty());
        let (blocks, mut out) = (self.gap_blocks(), GapBlocks::new());
        map.gap_blocks(usize::MAX, &mut out);
        assert_eq!(out.as_slice(), blocks);
        map.gap_blocks(2, &mut out);
        assert_eq!(out.as_slice(), &blocks[..blocks.len().min(2)]);
        let set: u32 = map.words.iter().map(|word| word.count_ones()).sum();
        assert_eq!(set as usize, self.above.len(), "no bit is left behind");
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// This far beyond the cumulative point.
    Insert(i64),
    /// A row of them.
    InsertRow(i64, i64),
    Renege,
    AdvanceTo(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (-3_i64..20).prop_map(Step::Insert),
        2 => (0_i64..400).prop_map(Step::Insert),
        1 => (0..i64::from(MAX_SPAN) + 70).prop_map(Step::Insert),
        3 => (0_i64..90, 1_i64..200).prop_map(|(from, len)| Step::InsertRow(from, len)),
        2 => Just(Step::Renege),
        1 => (-3_i64..300).prop_map(Step::AdvanceTo),
        1 => (0_i64..1 << 31).prop_map(Step::AdvanceTo),
    ]
}

proptest! {
    #[test]
    fn agrees_with_a_set(
        initial in prop_oneof![any::<u32>(), (u32::MAX - 300)..=u32::MAX],
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut map = TsnMap::new(Tsn::new(initial));
        let mut model = Model { initial, cumulative: -1, above: BTreeSet::new() };
        for step in steps {
            match step {
                Step::Insert(distance) => try_insert(&mut map, &mut model, distance),
                Step::InsertRow(from, len) => {
                    let cumulative = model.cumulative;
                    for offset in cumulative + from..cumulative + from + len {
                        let distance = offset - model.cumulative;
                        try_insert(&mut map, &mut model, distance);
                    }
                }
                Step::Renege => {
                    if let Some(highest) = model.above.pop_last() {
                        map.remove(model.tsn(highest));
                    }
                }
                Step::AdvanceTo(distance) => {
                    let to = model.cumulative + distance;
                    prop_assert_eq!(map.advance_to(model.tsn(to)), distance > 0);
                    if distance > 0 {
                        model.advance_to(to);
                    }
                }
            }
            model.agrees_with(&map);
        }
    }
}

fn try_insert(map: &mut TsnMap, model: &mut Model, distance: i64) {
    let offset = model.cumulative + distance;
    let check = map.check(model.tsn(offset));
    assert_eq!(check, model.check(offset));
    if check == TsnCheck::New {
        map.insert(model.tsn(offset));
        model.insert(offset);
    }
}

#[test]
fn order_costs_no_memory() {
    let mut map = TsnMap::new(Tsn::new(u32::MAX - 1));
    for n in 0..1000 {
        map.insert(Tsn::new((u32::MAX - 1).wrapping_add(n)));
    }
    assert_eq!(map.cumulative(), Tsn::new(997));
    assert_eq!(map.words.capacity(), 0);
}

#[test]
fn the_ring_is_bounded() {
    // The cumulative point in each place within its word, and the farthest TSN from it.
    for initial in 0..64 {
        let mut map = TsnMap::new(Tsn::new(initial));
        let farthest = map.cumulative().plus(MAX_SPAN);
        assert_eq!(map.check(farthest), TsnCheck::New);
        assert_eq!(map.check(farthest.next()), TsnCheck::TooFar);
        map.insert(farthest);
        assert_eq!(map.words.len(), 1024);
    }
}

#[test]
fn threat_09_a_forged_advance_costs_little() {
    let mut map = TsnMap::new(Tsn::new(1));
    map.insert(Tsn::new(5));
    // Half the circle away: one pass over the four words held.
    assert!(map.advance_to(Tsn::new(i32::MAX as u32)));
    assert!(!map.has_gaps());
    assert_eq!(map.words.len(), 4);
}

#[test]
fn duplicates_are_bounded_and_given_once() {
    let mut map = TsnMap::new(Tsn::new(1));
    for n in 0..100 {
        map.duplicate(Tsn::new(n));
    }
    assert_eq!(map.take_duplicates().len(), MAX_DUPLICATES);
    assert!(map.take_duplicates().is_empty());
}
