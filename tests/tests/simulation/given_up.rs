//! Messages that may be given up.

use std::{cell::Cell, time::Duration};

use sctp_proto::{Reliability, SendInfo};
use sctp_tests::{
    load::{Item, payload},
    pair::{
        Pair,
        Side::{Client, Server},
    },
    rng::Rng,
};

use crate::{
    assert_over, every_seed,
    offers::{Heard, Offer},
    random_items, random_laziness, random_pair_with, watchful,
};

#[test]
fn what_may_be_given_up_leaves_gaps_and_nothing_else() {
    every_seed(|seed| {
        let mut rng = Rng::new(seed ^ 0x3758);
        let agreed = [rng.chance(0.9), rng.chance(0.9)];
        let asked = Cell::new(0);
        let (mut pair, streams) = random_pair_with(&mut rng, seed, |c| {
            watchful(c);
            c.partial_reliability(agreed[asked.replace(asked.get() + 1) % 2]);
        });
        let sides = [Client, Server];
        let offers: [Vec<Offer>; 2] = sides.map(|_| {
            let items = random_items(&mut rng, streams).into_iter();
            let offer = |item: Item| Offer {
                reliability: match (item.stream % 3, rng.below(3)) {
                    (0, _) => Reliability::Reliable,
                    (_, 0) => Reliability::MaxRetransmits(rng.below(3) as u16),
                    (_, 1) => Reliability::Lifetime(Duration::from_millis(rng.below(500) as u64)),
                    _ => Reliability::Priority(rng.below(4) as u32),
                },
                item,
            };
            items.map(offer).collect()
        });
        let mut heard = [Heard::default(), Heard::default()];
        let mut next = [0, 0];
        pair.start();
        pair.drive_until(Pair::established);
        let lazy = random_laziness(&mut rng);
        let mut step = 0;
        while (0..2).any(|side| next[side] < offers[side].len()) {
            for (index, side) in sides.into_iter().enumerate() {
                while let Some(Offer { item, reliability }) = offers[index].get(next[index]) {
                    let info = SendInfo::default()
                        .unordered(item.unordered)
                        .reliability(*reliability)
                        .context(next[index] as u32);
                    let data = payload(next[index] as u64, item.size);
                    if pair.try_send(side, item.stream, data, info).is_err() {
                        break;
                    }
                    next[index] += 1;
                }
            }
            step += 1;
            assert!(pair.step(), "all is quiet: {}", pair.summary());
            if step % lazy == 0 {
                for (index, side) in sides.into_iter().enumerate() {
                    heard[index].listen(&mut pair, side, &offers[1 - index]);
                }
            }
        }
        for side in sides {
            if rng.chance(0.5) || side == Client {
                pair.shutdown(side);
            }
        }
        loop {
            let goes_on = pair.step();
            for (index, side) in sides.into_iter().enumerate() {
                heard[index].listen(&mut pair, side, &offers[1 - index]);
            }
            if !goes_on {
                break;
            }
        }
        assert_over(&mut pair, Client);
        assert_over(&mut pair, Server);
        for (index, side) in sides.into_iter().enumerate() {
            for (number, offer) in (0..).zip(&offers[index]) {
                let arrived = heard[1 - index].arrived.contains(&number);
                let failed = heard[index].failed.contains(&number);
                assert!(
                    arrived || failed,
                    "{side:?} hears nothing of message {number}"
                );
                if offer.reliability == Reliability::Reliable {
                    assert!(arrived, "{side:?}: message {number} is missing");
                }
            }
        }
    });
}
