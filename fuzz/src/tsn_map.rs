//! The TSN map against a set of numbers that do not wrap.

use std::collections::BTreeSet;

use sctp_proto::{
    Tsn,
    internals::rx::{GapBlocks, MAX_SPAN, TsnCheck, TsnMap},
};

use crate::Input;

/// What the map stands for. Position 0 is just before the initial TSN.
struct Model {
    initial: Tsn,
    cumulative: u64,
    /// Received, beyond the cumulative point.
    beyond: BTreeSet<u64>,
}

impl Model {
    fn tsn(&self, position: u64) -> Tsn {
        self.initial.previous().plus(position as u32)
    }

    fn insert(&mut self, position: u64) {
        self.beyond.insert(position);
        self.advance();
    }

    fn advance(&mut self) {
        self.beyond = self.beyond.split_off(&(self.cumulative + 1));
        while self.beyond.remove(&(self.cumulative + 1)) {
            self.cumulative += 1;
        }
    }

    fn check(&self, position: u64) -> TsnCheck {
        if position <= self.cumulative || self.beyond.contains(&position) {
            TsnCheck::Duplicate
        } else if position - self.cumulative > u64::from(MAX_SPAN) {
            TsnCheck::TooFar
        } else {
            TsnCheck::New
        }
    }

    fn gap_blocks(&self, max: usize) -> Vec<(u16, u16)> {
        let mut blocks: Vec<(u16, u16)> = Vec::new();
        for position in &self.beyond {
            let offset = (position - self.cumulative) as u16;
            match blocks.last_mut() {
                Some(last) if last.1 + 1 == offset => last.1 = offset,
                _ => blocks.push((offset, offset)),
            }
        }
        blocks.truncate(max);
        blocks
    }
}

/// Takes an initial TSN and a list of operations.
pub fn tsn_map(data: &[u8]) {
    let mut input = Input::new(data);
    let initial = Tsn::new(input.u32());
    let mut map = TsnMap::new(initial);
    let mut model = Model {
        initial,
        cumulative: 0,
        beyond: BTreeSet::new(),
    };
    while !input.is_empty() {
        let operation = input.u8();
        match operation % 8 {
            0..=2 => arrive(&mut map, &mut model, u64::from(operation >> 3)),
            3 => arrive(&mut map, &mut model, u64::from(input.u16())),
            4 => {
                let position = model.cumulative + u64::from(input.u16());
                map.remove(model.tsn(position));
                model.beyond.remove(&position);
            }
            5 => {
                // From nothing to as far as a TSN can be ahead; backwards as well.
                let distance = u64::from(input.u32() >> (operation >> 3));
                if distance == 1 << 31 {
                    continue; // neither ahead nor behind (RFC 1982 §3.2)
                }
                let moved = map.advance_to(model.tsn(model.cumulative + distance));
                let ahead = distance > 0 && distance < 1 << 31;
                assert_eq!(moved, ahead);
                if ahead {
                    model.cumulative += distance;
                    model.advance();
                }
            }
            6 => {
                let back = u64::from(input.u16()).min(model.cumulative);
                let position = model.cumulative - back;
                assert_eq!(map.check(model.tsn(position)), TsnCheck::Duplicate);
                assert!(!map.advance_to(model.tsn(position)));
                map.remove(model.tsn(position));
            }
            _ => {
                let max = usize::from(operation >> 3);
                let mut blocks = GapBlocks::new();
                map.gap_blocks(max, &mut blocks);
                assert_eq!(blocks[..], model.gap_blocks(max));
            }
        }
        let highest = model.beyond.last().copied().unwrap_or(model.cumulative);
        assert_eq!(map.cumulative(), model.tsn(model.cumulative));
        assert_eq!(map.highest(), model.tsn(highest));
        assert_eq!(map.has_gaps(), !model.beyond.is_empty());
    }
    let mut blocks = GapBlocks::new();
    map.gap_blocks(usize::MAX, &mut blocks);
    assert_eq!(blocks[..], model.gap_blocks(usize::MAX));
}

fn arrive(map: &mut TsnMap, model: &mut Model, ahead: u64) {
    let position = model.cumulative + ahead;
    let tsn = model.tsn(position);
    let check = map.check(tsn);
    assert_eq!(check, model.check(position));
    match check {
        TsnCheck::New => {
            map.insert(tsn);
            model.insert(position);
        }
        TsnCheck::Duplicate => map.duplicate(tsn),
        TsnCheck::TooFar => {}
    }
}
