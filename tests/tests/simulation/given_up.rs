//! Messages that may be given up.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sctp_proto::{Event, Reliability, SendInfo};
use sctp_tests::{
    load::{Item, payload},
    pair::{
        Pair,
        Side::{self, Client, Server},
    },
    rng::Rng,
};

use crate::{assert_over, every_seed, random_items, random_laziness, random_pair_with, watchful};

/// A message that may be given up, or not.
struct Offer {
    item: Item,
    reliability: Reliability,
}

/// What one side has received of the other's, and heard of its own.
#[derive(Default)]
struct Heard {
    /// Numbers of the messages that came.
    arrived: BTreeSet<u64>,
    /// The last ordered message of each stream.
    last: BTreeMap<u16, u64>,
    /// What has come of a message that comes in parts.
    parts: BTreeMap<u16, Vec<u8>>,
    /// Numbers of its own messages that failed.
    failed: BTreeSet<u64>,
}

impl Heard {
    fn listen(&mut self, pair: &mut Pair, side: Side, offers: &[Offer]) {
        for event in pair.events(side) {
            if let Event::SendFailed { context, .. } = event {
                assert!(self.failed.insert(u64::from(context)), "failed twice");
            }
        }
        for message in pair.recv_all(side) {
            let stream = message.stream.0;
            if message.aborted {
                assert!(self.parts.remove(&stream).is_some(), "no part of it came");
                continue;
            }
            let mut bytes = self.parts.remove(&stream).unwrap_or_default();
            bytes.extend_from_slice(&message.data.into_bytes());
            if !message.complete {
                self.parts.insert(stream, bytes);
                continue;
            }
            let number = u64::from_be_bytes(*bytes.first_chunk().expect("a number"));
            let item = &offers[number as usize].item;
            assert_eq!((item.stream, item.size), (stream, bytes.len()));
            assert!(
                payload(number, item.size) == bytes,
                "message {number} is damaged"
            );
            assert!(self.arrived.insert(number), "message {number} came twice");
            if !item.unordered {
                let before = self.last.insert(stream, number);
                assert!(before < Some(number), "{before:?} came before {number}");
            }
        }
    }
}

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
