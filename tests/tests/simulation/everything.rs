//! Everything at once: every extension on or off on either side, several paths that die and come
//! back, addresses that change, users that ask for whatever there is, and messages that all the same
//! arrive, or are heard of.

use std::time::Duration;

use sctp_proto::{AssociationConfig, CloseReason, Reliability, SendError, SendInfo};
use sctp_tests::{
    load::payload,
    pair::{
        Pair,
        Side::{self, Client, Server},
    },
    rng::Rng,
};

use crate::{
    assert_over, every_seed,
    extensions::{self, Setting},
    offers::{Heard, Offer},
    random_items, random_laziness,
    troubles::Troubles,
    watchful,
};

const SIDES: [Side; 2] = [Client, Server];

/// Addresses of both sides: as many as are asked for.
const CLIENT: [&str; 3] = ["10.0.0.1:9899", "10.1.0.1:9899", "[fd00::1]:9899"];
const SERVER: [&str; 3] = ["10.0.0.2:9899", "10.1.0.2:9899", "[fd00::2]:9899"];

#[test]
fn whatever_is_agreed_and_whatever_happens_nothing_reliable_is_lost() {
    every_seed(|seed| {
        let mut rng = Rng::new(seed ^ 0xa11);
        let setting = Setting {
            secret: rng.chance(0.3),
            guarded: rng.chance(0.3),
        };
        let mut pair = pair(&mut rng, seed, setting);
        pair.start();
        pair.drive_until(Pair::established);
        let mut troubles = Troubles::new(&mut pair, &mut rng, setting);
        let mut talk = Talk::new(&mut rng);
        let until = pair.now + Duration::from_secs(rng.below(60) as u64);
        let odds = [0.0, 0.01, 0.05][rng.below(3)];
        let lazy = random_laziness(&mut rng);
        let mut step = 0;
        while pair.now < until && !over(&mut pair) {
            talk.speak(&mut pair);
            if rng.chance(odds) {
                troubles.strike(&mut pair, &mut rng);
            }
            step += 1;
            assert!(pair.step(), "all is quiet: {}", pair.summary());
            if step % lazy == 0 {
                talk.listen(&mut pair);
            }
        }
        troubles.end(&mut pair);
        while !talk.is_said() {
            talk.speak(&mut pair);
            assert!(pair.step(), "all is quiet: {}", pair.summary());
            talk.listen(&mut pair);
        }
        for side in SIDES {
            if rng.chance(0.5) || side == Client {
                pair.shutdown(side);
            }
        }
        loop {
            let goes_on = pair.step();
            talk.listen(&mut pair);
            if !goes_on {
                break;
            }
        }
        assert_over(&mut pair, Client);
        assert_over(&mut pair, Server);
        let reason = pair.closed(Client).expect("it is over");
        assert!(
            matches!(reason, CloseReason::Shutdown | CloseReason::TimedOut),
            "{reason:?}: {}",
            pair.summary()
        );
        talk.assert_told();
    });
}

fn over(pair: &mut Pair) -> bool {
    SIDES.into_iter().any(|side| pair.closed(side).is_some())
}

fn pair(rng: &mut Rng, seed: u64, setting: Setting) -> Pair {
    let settings = |rng: &mut Rng, config: &mut AssociationConfig| {
        watchful(config);
        config
            .outbound_streams(rng.between(1, 20) as u16)
            .receive_window(rng.between(16 * 1024, 512 * 1024) as u32)
            .path_mtu([576, 1280, 1500][rng.below(3)])
            .nodelay(rng.chance(0.7))
            .sack_delay(Duration::from_millis(rng.below(200) as u64))
            .rto_max(Duration::from_secs(3))
            // Whatever happens is not the end of it.
            .association_max_retrans(10_000)
            .path_max_retrans([1, 2, 5, 40][rng.below(4)])
            .max_init_retransmits(40)
            .shutdown_timeout(Some(Duration::from_secs(60 * 60)));
        extensions::switch(rng, setting, config);
    };
    let (client, server) = (rng.between(1, 3), rng.between(1, 3));
    let mut pair = Pair::builder()
        .audited()
        .seed(seed)
        .addrs(&CLIENT[..client], &SERVER[..server])
        .link(setting.random_link(rng))
        .client(|config| settings(rng, config))
        .server(|config| settings(rng, config))
        .build();
    (pair.client.unchecked, pair.server.unchecked) = (setting.guarded, setting.guarded);
    pair
}

/// What both sides have to say.
struct Talk {
    offers: [Vec<Offer>; 2],
    /// How much of it was said.
    next: [usize; 2],
    heard: [Heard; 2],
}

impl Talk {
    fn new(rng: &mut Rng) -> Self {
        let offers = SIDES.map(|_| {
            let items = random_items(rng, 30).into_iter();
            let offer = |item| Offer {
                item,
                reliability: match rng.below(8) {
                    0 => Reliability::MaxRetransmits(rng.below(3) as u16),
                    1 => Reliability::Lifetime(Duration::from_millis(rng.below(500) as u64)),
                    2 => Reliability::Priority(rng.below(4) as u32),
                    _ => Reliability::Reliable,
                },
            };
            items.map(offer).collect()
        });
        Self {
            offers,
            next: [0, 0],
            heard: Default::default(),
        }
    }

    fn is_said(&self) -> bool {
        (0..2).all(|side| self.next[side] == self.offers[side].len())
    }

    /// Queues what the send buffers take, on streams that there are.
    fn speak(&mut self, pair: &mut Pair) {
        for (index, side) in SIDES.into_iter().enumerate() {
            let (streams, _) = pair.conn(side).association.streams();
            while let Some(offer) = self.offers[index].get_mut(self.next[index]) {
                offer.item.stream %= streams;
                let number = self.next[index];
                let info = SendInfo::default()
                    .unordered(offer.item.unordered)
                    .reliability(offer.reliability)
                    .context(number as u32);
                let data = payload(number as u64, offer.item.size);
                match pair.try_send(side, offer.item.stream, data, info) {
                    Ok(()) => self.next[index] += 1,
                    Err(SendError::Blocked(_) | SendError::StreamResetting(_)) => break,
                    Err(error) => panic!("{side:?}: message {number}: {error}: {}", pair.summary()),
                }
            }
        }
    }

    fn listen(&mut self, pair: &mut Pair) {
        for (index, side) in SIDES.into_iter().enumerate() {
            self.heard[index].listen(pair, side, &self.offers[1 - index]);
        }
    }

    /// Every message arrived, or was given up as it may be and its sender was told.
    fn assert_told(&self) {
        for (index, side) in SIDES.into_iter().enumerate() {
            for (number, offer) in (0..).zip(&self.offers[index]) {
                let arrived = self.heard[1 - index].arrived.contains(&number);
                let failed = self.heard[index].failed.contains(&number);
                assert!(
                    arrived || failed && offer.reliability != Reliability::Reliable,
                    "{side:?}: message {number} is missing: {:?}",
                    offer.reliability
                );
            }
        }
    }
}
