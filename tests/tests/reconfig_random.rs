//! Streams reset and added, associations reset, by both sides at random over random networks, with
//! the books audited at every step: every message arrives once and in order all the same, but for
//! some that may be given up.

use std::{collections::VecDeque, env, time::Duration};

use bytes::Bytes;
use sctp_proto::{AssociationState, Reliability, SendInfo, StreamId};
use sctp_tests::{
    net::{Ecn, Link},
    pair::{
        Pair,
        Side::{self, Client, Server},
    },
    rng::Rng,
};

const STREAMS: usize = 6;
const MESSAGES: u32 = 120;

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// What one side sends, per stream, and what of it has arrived.
#[derive(Default)]
struct Flow {
    sent: u32,
    /// Numbers of messages, and whether they have to arrive.
    expected: [VecDeque<(u32, bool)>; STREAMS],
    parts: [Vec<u8>; STREAMS],
    /// Those that have to.
    left: usize,
    /// Share of those that need not.
    unreliable: f64,
}

fn payload(number: u32) -> Bytes {
    let mut bytes = number.to_be_bytes().to_vec();
    let len = 4 + (number as usize * 7919) % 3000;
    bytes.resize(len, number as u8);
    bytes.into()
}

impl Flow {
    /// Sends a message, unless the stream is being reset or has no room.
    fn pump(&mut self, pair: &mut Pair, side: Side, rng: &mut Rng) {
        if self.sent == MESSAGES {
            return;
        }
        let stream = rng.below(STREAMS);
        let data = payload(self.sent);
        let reliability = match rng.chance(self.unreliable) {
            false => Reliability::Reliable,
            true if rng.chance(0.5) => Reliability::MaxRetransmits(rng.below(2) as u16),
            true => Reliability::Lifetime(Duration::from_millis(rng.below(300) as u64)),
        };
        let reliable = reliability == Reliability::Reliable;
        let info = SendInfo::default().reliability(reliability);
        if pair.try_send(side, stream as u16, data, info).is_ok() {
            self.expected[stream].push_back((self.sent, reliable));
            self.sent += 1;
            self.left += usize::from(reliable);
        }
    }

    fn drain(&mut self, pair: &mut Pair, side: Side) {
        for message in pair.recv_all(side.peer()) {
            let stream = usize::from(message.stream.0);
            let parts = &mut self.parts[stream];
            parts.extend_from_slice(&message.data.into_bytes());
            if message.aborted {
                parts.clear();
            } else if message.complete {
                let whole = std::mem::take(parts);
                let expected = &mut self.expected[stream];
                loop {
                    let (next, reliable) = expected.pop_front().expect("something was sent");
                    self.left -= usize::from(reliable);
                    if whole == payload(next) {
                        break;
                    }
                    assert!(!reliable, "message {next} of stream {stream}");
                }
            }
        }
    }
}

/// Something about streams that one side asks for, or nothing.
fn reconfigure(pair: &mut Pair, side: Side, rng: &mut Rng) {
    let now = pair.now;
    let streams: Vec<_> = (0..STREAMS as u16)
        .filter(|_| rng.chance(0.4))
        .map(StreamId)
        .collect();
    let (outbound, inbound) = (rng.below(3) as u16, rng.below(3) as u16);
    let choice = rng.below(10);
    let association = &mut pair.conn(side).association;
    // What cannot be at the moment is refused, and changes nothing.
    match choice {
        0..=3 => _ = association.reset_streams(now, &streams),
        4..=5 => _ = association.reset_incoming(now, &streams),
        6 => _ = association.reset_association(now),
        _ => _ = association.add_streams(now, outbound, inbound),
    }
}

fn run(seed: u64) {
    let mut rng = Rng::new(seed ^ 0x6525);
    let mut share = |most: usize| rng.below(most + 1) as f64 / 100.0;
    let link = Link {
        loss: share(10),
        reorder: share(30),
        duplicate: share(10),
        corrupt: share(3),
        ecn: Ecn::Mark(share(20)),
        delay: Duration::from_millis(seed % 60),
        ..Link::default()
    };
    let window = rng.between(16 * 1024, 256 * 1024) as u32;
    let mut pair = Pair::builder()
        .seed(seed)
        .link(link)
        .both(|c| {
            c.obey_stream_reset(true)
                .obey_association_reset(true)
                .outbound_streams(100)
                .max_inbound_streams(100)
                .interleaving(seed.is_multiple_of(2))
                .nr_sack(seed.is_multiple_of(3))
                .ecn(seed.is_multiple_of(5))
                .receive_window(window)
                .rto_max(Duration::from_secs(3))
                .association_max_retrans(60)
                .path_max_retrans(60)
                .max_init_retransmits(40);
        })
        .client(|c| {
            c.outbound_streams(STREAMS as u16)
                .max_inbound_streams(STREAMS as u16);
        })
        .audited()
        .build();
    pair.start();
    pair.drive_until(Pair::established);
    let sides = [Client, Server];
    let unreliable = [0.0, 0.3, 0.7][(seed / 2 % 3) as usize];
    let mut flows = [(); 2].map(|()| Flow {
        unreliable,
        ..Flow::default()
    });
    loop {
        for (flow, side) in flows.iter_mut().zip(sides) {
            if rng.chance(0.5) {
                flow.pump(&mut pair, side, &mut rng);
            }
            if rng.chance(0.04) && flow.sent < MESSAGES {
                reconfigure(&mut pair, side, &mut rng);
            }
            if rng.chance(0.5) {
                flow.drain(&mut pair, side);
            }
            assert_eq!(pair.state(side), AssociationState::Established);
        }
        let stepped = pair.step();
        if !stepped {
            for (flow, side) in flows.iter_mut().zip(sides) {
                flow.drain(&mut pair, side);
            }
            if flows
                .iter()
                .all(|flow| flow.sent == MESSAGES && flow.left == 0)
            {
                break;
            }
        }
    }
    // Nothing is held for ever.
    for side in sides {
        for stream in 0..STREAMS as u16 {
            pair.send(side, stream, "the end");
        }
    }
    pair.drive();
    for side in sides {
        assert_eq!(pair.recv_all(side).len(), STREAMS, "seed {seed}");
        let own = pair.conn(side).association.streams();
        let other = pair.conn(side.peer()).association.streams();
        assert_eq!(own, (other.1, other.0), "both count the same streams");
    }
    pair.shutdown(Client);
    pair.drive();
    assert!(pair.closed(Client).is_some() && pair.closed(Server).is_some());
}

#[test]
fn every_message_arrives_whatever_happens_to_the_streams() {
    let first = setting("SCTP_SIM_FIRST", 0);
    for seed in first..first + setting("SCTP_SIM_SEEDS", 25) {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("seed {seed} failed");
            std::panic::resume_unwind(panic);
        }
    }
}
