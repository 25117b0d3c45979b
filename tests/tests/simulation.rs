//! Many short runs, each a function of its seed: random networks, random messages, random ends,
//! and every byte compared.
//!
//! `SCTP_SIM_SEEDS` sets how many runs there are, `SCTP_SIM_FIRST` the seed of the first, so that
//! a failing one can be had alone: `SCTP_SIM_FIRST=17 SCTP_SIM_SEEDS=1 cargo test ...`.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    env,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    time::Duration,
};

use sctp_proto::{
    AssociationConfig, AssociationState, CloseReason, CongestionControl, Event, HmacAlgorithm,
    Instant, Reliability, SchedulerKind, SendInfo,
    event_log::{EventLog, EventWriter, LogEvent, Vantage, chunk_headers},
};
use sctp_tests::{
    codec::kind,
    load::{Flow, Item, payload},
    net::{Gilbert, Link},
    pair::{
        Pair,
        Side::{self, Client, Server},
    },
    rng::Rng,
};

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn every_seed(run: impl Fn(u64)) {
    let first = setting("SCTP_SIM_FIRST", 0);
    for seed in first..first + setting("SCTP_SIM_SEEDS", 150) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            eprintln!("seed {seed} failed");
            resume_unwind(panic);
        }
    }
}

fn random_link(rng: &mut Rng) -> Link {
    let share = |rng: &mut Rng, odds, most: usize| {
        if rng.chance(odds) {
            rng.below(most + 1) as f64 / 100.0
        } else {
            0.0
        }
    };
    let ms = |rng: &mut Rng, most: usize| Duration::from_millis(rng.below(most + 1) as u64);
    Link {
        delay: ms(rng, 100),
        jitter: ms(rng, 30),
        rate: rng
            .chance(0.3)
            .then(|| rng.between(30_000, 3_000_000) as u64),
        queue: rng.between(10_000, 100_000),
        loss: share(rng, 0.7, 10),
        // Bursts of three packets on average at the most, so that no association dies of them.
        burst: rng.chance(0.4).then(|| Gilbert {
            enter: rng.between(1, 50) as f64 / 1000.0,
            leave: rng.between(30, 70) as f64 / 100.0,
            loss: rng.between(50, 100) as f64 / 100.0,
        }),
        reorder: share(rng, 0.6, 30),
        hold: ms(rng, 50),
        duplicate: share(rng, 0.5, 10),
        corrupt: share(rng, 0.3, 5),
        ..Link::default()
    }
}

fn random_items(rng: &mut Rng, streams: u16) -> Vec<Item> {
    let count = rng.between(0, 60);
    let item = |_| Item {
        stream: rng.below(usize::from(streams)) as u16,
        size: match rng.below(10) {
            0 => rng.between(10_000, 150_000),
            1..4 => rng.between(1000, 4000),
            _ => rng.between(8, 300),
        },
        unordered: rng.chance(0.2),
    };
    (0..count).map(item).collect()
}

/// An event log that keeps nothing, and holds what it is told to its order in time and to form.
#[derive(Debug)]
struct Chronicle;

impl EventLog for Chronicle {
    fn open(&self, now: Instant, _: &Vantage) -> Option<Box<dyn EventWriter>> {
        Some(Box::new(Chronicler(now)))
    }
}

struct Chronicler(Instant);

impl EventWriter for Chronicler {
    fn write(&mut self, now: Instant, event: &LogEvent<'_>) {
        assert!(now >= self.0, "time goes back");
        self.0 = now;
        if let LogEvent::PacketSent { packet, .. } = event {
            let lengths = chunk_headers(packet).map(|chunk| chunk.length.next_multiple_of(4));
            assert_eq!(12 + lengths.sum::<usize>(), packet.len(), "{event:?}");
        }
    }
}

/// What a side has authenticated, and whether it lets addresses change.
struct Trust {
    auth: bool,
    asconf: bool,
    chunks: Vec<u8>,
    algorithms: [HmacAlgorithm; 2],
}

impl Trust {
    /// Not ABORT and COOKIE ECHO, without which an end that has crashed is not heard (RFC 4895 §6.3).
    const CHUNKS: [u8; 10] = [
        kind::DATA,
        kind::SACK,
        kind::HEARTBEAT,
        kind::HEARTBEAT_ACK,
        kind::SHUTDOWN,
        kind::SHUTDOWN_ACK,
        kind::COOKIE_ACK,
        kind::I_DATA,
        kind::RE_CONFIG,
        kind::FORWARD_TSN,
    ];

    fn random(rng: &mut Rng) -> Self {
        let listed = rng.chance(0.3);
        let (first, second) = (HmacAlgorithm::Sha1, HmacAlgorithm::Sha256);
        Self {
            auth: rng.chance(0.8),
            asconf: rng.chance(0.8),
            chunks: (Self::CHUNKS.into_iter())
                .filter(|_| listed && rng.chance(0.5))
                .collect(),
            algorithms: match rng.chance(0.5) {
                true => [first, second],
                false => [second, first],
            },
        }
    }

    fn set(&self, config: &mut AssociationConfig) {
        config
            .auth(self.auth)
            .asconf(self.asconf)
            .auth_chunks(&self.chunks)
            .hmac_algorithms(&self.algorithms);
    }
}

fn random_pair(rng: &mut Rng, seed: u64) -> (Pair, u16) {
    random_pair_with(rng, seed, |_| {})
}

/// The same, with settings changed that are not left to chance.
fn random_pair_with(
    rng: &mut Rng,
    seed: u64,
    change: impl Fn(&mut AssociationConfig),
) -> (Pair, u16) {
    let streams = rng.between(1, 20) as u16;
    let interleaving = rng.chance(0.5);
    let schedulers = [
        SchedulerKind::FirstComeFirstServed,
        SchedulerKind::RoundRobin,
        SchedulerKind::RoundRobinPerPacket,
        SchedulerKind::Priority,
        SchedulerKind::FairBandwidth,
        SchedulerKind::WeightedFairQueueing,
    ];
    let scheduler = schedulers[rng.below(schedulers.len())];
    let window = rng.between(16 * 1024, 512 * 1024) as u32;
    let mtu = [576, 1280, 1500][rng.below(3)];
    let nodelay = rng.chance(0.7);
    let sack_delay = Duration::from_millis(rng.below(200) as u64);
    // Of its own, so that the seeds before it stand for what they did.
    let mut aside = Rng::new(seed ^ 0x6f62_7365_7276_6564);
    let memory = aside.chance(0.3).then(|| aside.between(128, 512) * 1024);
    let log: Option<Arc<dyn EventLog>> = match aside.chance(0.2) {
        true => Some(Arc::new(Chronicle)),
        false => None,
    };
    let (client, server) = (Trust::random(&mut aside), Trust::random(&mut aside));
    let mut pair = Pair::builder()
        .audited()
        .seed(seed)
        .link(random_link(rng))
        .client(|c| client.set(c))
        .server(|c| server.set(c))
        .endpoint(|limits| {
            if let Some(bytes) = memory {
                limits.max_memory(bytes).max_memory_per_peer(bytes);
            }
        })
        .both(|c| {
            c.event_log(log.clone());
            c.outbound_streams(streams)
                .interleaving(interleaving)
                .scheduler(scheduler)
                .receive_window(window)
                .path_mtu(mtu)
                .nodelay(nodelay)
                .sack_delay(sack_delay)
                .rto_max(Duration::from_secs(3))
                // What is queued takes its time on slow links, however short the time-outs.
                .shutdown_timeout(Some(Duration::from_secs(300)))
                .association_max_retrans(40)
                .path_max_retrans(40)
                .max_init_retransmits(40)
                .shutdown_timeout(Some(Duration::from_secs(60 * 60)));
            change(c);
        })
        .build();
    let batch = rng.between(1, 20);
    pair.client.max_segments = NonZeroUsize::new(batch).expect("at least one");
    pair.server.max_segments = NonZeroUsize::new(rng.between(1, 20)).expect("at least one");
    (pair, streams)
}

/// Steps until `done`, moving the load. A lazy reader reads every `lazy` steps, so that windows
/// close, and when nothing else is going to happen within a second.
fn work(
    pair: &mut Pair,
    flows: &mut [Flow],
    lazy: usize,
    mut done: impl FnMut(&mut Pair, &[Flow]) -> bool,
) {
    for step in 0.. {
        let soon = pair.now + Duration::from_secs(1);
        if step % lazy == 0 || pair.next_wake().is_none_or(|at| at > soon) {
            flows.iter_mut().for_each(|flow| flow.drain(pair));
        }
        flows.iter_mut().for_each(|flow| flow.pump(pair));
        if done(pair, flows) {
            return;
        }
        if !pair.step() {
            let left: Vec<_> = flows.iter().map(Flow::left).collect();
            panic!(
                "all is quiet, {left:?} messages are missing, {}",
                pair.summary()
            );
        }
    }
}

fn random_laziness(rng: &mut Rng) -> usize {
    match rng.below(3) {
        0 => 1,
        _ => rng.between(1, 60),
    }
}

fn assert_over(pair: &mut Pair, side: Side) {
    assert!(pair.conn(side).association.is_drained(), "{side:?}");
    assert_eq!(pair.host(side).endpoint.associations(), 0, "{side:?}");
}

#[test]
fn every_message_arrives_once_in_order_and_whole() {
    every_seed(|seed| exchange(seed, |_| {}, |_, _| {}));
}

#[test]
fn it_does_so_by_other_controllers_from_any_initial_window() {
    every_seed(|seed| {
        let change = |c: &mut AssociationConfig| {
            let kind = match seed % 2 {
                0 => CongestionControl::Cubic,
                _ => CongestionControl::Bbr,
            };
            c.congestion_control(kind)
                .initial_window(Some(1 + (seed % 10) as u32));
        };
        exchange(seed, change, |_, _| {});
    });
}

/// Paths are probed, and nothing is discarded because nobody was awake to read it.
fn watchful(config: &mut AssociationConfig) {
    let day = Duration::from_secs(24 * 60 * 60);
    config
        .heartbeat_interval(Some(Duration::from_secs(1)))
        .stall_timeout(day);
}

#[test]
fn it_does_so_behind_a_nat_that_forgets() {
    every_seed(|seed| {
        // The client's UDP port changes; what is sent to the old one is lost.
        exchange(seed, watchful, |pair, rng| {
            if rng.chance(0.01) {
                let inside = pair.client.addrs[0];
                let mut outside = inside;
                outside.set_port(rng.between(1024, 9000) as u16);
                pair.net.rebind(inside, outside);
            }
        });
    });
}

#[test]
fn it_does_so_on_paths_that_become_narrow_and_wide() {
    every_seed(|seed| {
        let search = |c: &mut AssociationConfig| {
            watchful(c);
            c.plpmtud(true);
        };
        // Without a word: large packets get lost. Now and then even those of 1,280 bytes do.
        exchange(seed, search, |pair, rng| {
            if rng.chance(0.01) {
                let mtu = [1000, 1280, 1300, 1400, 1492, 1500, 2000, 9000, 65_535][rng.below(9)];
                pair.net.links(|link| link.max_payload = mtu - 28);
            }
        });
    });
}

#[test]
fn it_does_so_on_machines_that_sleep() {
    every_seed(|seed| {
        // From a second to some hours, between any two steps.
        exchange(seed, watchful, |pair, rng| {
            if rng.chance(0.005) {
                let seconds = 1 << rng.below(14);
                pair.sleep(Duration::from_millis(rng.between(0, 1000 * seconds) as u64));
            }
        });
    });
}

/// Messages both ways, and the graceful end. `befall` is asked before every step.
fn exchange(
    seed: u64,
    change: impl Fn(&mut AssociationConfig),
    befall: impl Fn(&mut Pair, &mut Rng),
) {
    let mut rng = Rng::new(seed ^ 0x5eed);
    let (mut pair, streams) = random_pair_with(&mut rng, seed, change);
    let mut flows = [
        Flow::new(Client, random_items(&mut rng, streams)),
        Flow::new(Server, random_items(&mut rng, streams)),
    ];
    pair.start();
    // What the client sends first may leave with the COOKIE ECHO.
    if rng.chance(0.5) {
        flows[0].pump(&mut pair);
    }
    pair.drive_until(Pair::established);
    let lazy = random_laziness(&mut rng);
    work(&mut pair, &mut flows, lazy, |pair, flows| {
        befall(pair, &mut rng);
        flows.iter().all(|flow| flow.left() == 0)
    });
    assert_chunks(&mut pair, Client);
    assert_chunks(&mut pair, Server);
    // The end, by either side or by both, at once or after a while.
    let first = if rng.chance(0.5) { Client } else { Server };
    pair.drive_for(Duration::from_millis(rng.below(100) as u64));
    pair.shutdown(first);
    if rng.chance(0.3) {
        pair.shutdown(first.peer());
    }
    pair.drive();
    assert_over(&mut pair, Client);
    assert_over(&mut pair, Server);
    // The last packet of a shutdown may be lost, and the answer out of the blue with it.
    let reason = pair.closed(first).expect("it is over");
    assert!(
        matches!(reason, CloseReason::Shutdown | CloseReason::TimedOut),
        "{reason:?}"
    );
    // Nothing came on top.
    for flow in &mut flows {
        flow.drain(&mut pair);
    }
    assert_messages(&mut pair, Client, flows[0].len());
    assert_messages(&mut pair, Server, flows[1].len());
}

/// Every chunk was sent for the first time once, and taken for good once.
fn assert_chunks(pair: &mut Pair, from: Side) {
    let (sent, received) = (pair.stats(from), pair.stats(from.peer()));
    let taken = received.data_chunks_received
        - received.duplicate_chunks
        - received.dropped_no_buffer
        - received.reneged;
    assert_eq!(taken, sent.data_chunks_sent, "{sent:?} {received:?}");
}

/// Both ends count the messages that there were.
fn assert_messages(pair: &mut Pair, from: Side, messages: usize) {
    let (sent, received) = (pair.stats(from), pair.stats(from.peer()));
    let messages = messages as u64;
    assert_eq!(received.messages_received, messages, "{received:?}");
    assert!(sent.messages_acked <= messages, "{sent:?}");
    if pair.closed(from) == Some(CloseReason::Shutdown) {
        assert_eq!(sent.messages_acked, messages, "{sent:?}");
    }
    assert!(sent.messages_abandoned == 0 && sent.restarts == 0);
}

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

#[test]
fn an_end_that_crashes_begins_anew_and_everything_after_that_arrives() {
    every_seed(|seed| {
        let mut rng = Rng::new(seed ^ 0xc4a54);
        // The same port after every crash, so that the peer takes it for a restart (§5.2.4).
        let (mut pair, streams) = random_pair_with(&mut rng, seed, |c| {
            watchful(c);
            c.local_port(Some(5000));
        });
        let sides = [Client, Server];
        let mut flows = sides.map(|side| Flow::new(side, random_items(&mut rng, streams)));
        // Associations an end has had, and whether the last is younger than the last crash.
        let (mut had, mut fresh) = ([0, 0], [false, false]);
        let mut crashes = rng.between(1, 3);
        pair.start();
        loop {
            for (index, side) in sides.into_iter().enumerate() {
                if pair.host(side).conns.is_empty() {
                    continue;
                }
                let is_up = |event: &Event| matches!(event, Event::Established { .. });
                while pair.conn(side).take_event(is_up).is_some() {
                    had[index] += 1;
                    fresh[index] = true;
                    flows[1 - index].cut();
                    if had[index] > 1 {
                        flows[index].renew(random_items(&mut rng, streams));
                    }
                }
            }
            for (index, side) in sides.into_iter().enumerate() {
                flows[index].drain(&mut pair);
                let there = !pair.host(side).conns.is_empty();
                if there && pair.state(side) == AssociationState::Established {
                    flows[index].pump(&mut pair);
                }
            }
            let arrived = flows.iter().all(|flow| flow.left() == 0);
            if crashes == 0 && fresh == [true, true] && arrived {
                break;
            }
            if crashes > 0 && rng.chance(0.01) {
                crashes -= 1;
                fresh = [false, false];
                let side = sides[rng.below(2)];
                pair.crash(side);
                if side == Client {
                    pair.start();
                }
            }
            // A server that knows nothing of the association says so, if it is spoken to.
            if let Some(reason) = pair.closed(Client) {
                assert!(
                    matches!(
                        reason,
                        CloseReason::PeerAbort(_)
                            | CloseReason::TimedOut
                            | CloseReason::HandshakeTimedOut
                    ),
                    "{reason:?}"
                );
                pair.start();
            }
            assert!(pair.step(), "all is quiet: {}", pair.summary());
        }
        pair.shutdown(sides[rng.below(2)]);
        pair.drive();
        assert_over(&mut pair, Client);
        assert_over(&mut pair, Server);
        flows.iter_mut().for_each(|flow| flow.drain(&mut pair));
    });
}

#[test]
fn a_shutdown_at_any_moment_delivers_what_was_queued() {
    every_seed(|seed| {
        let mut rng = Rng::new(seed ^ 0xc105e);
        let (mut pair, streams) = random_pair(&mut rng, seed);
        let mut flow = Flow::new(Client, random_items(&mut rng, streams));
        pair.start();
        pair.drive_until(Pair::established);
        let mut flows = [flow];
        let lazy = random_laziness(&mut rng);
        work(&mut pair, &mut flows, lazy, |_, flows| {
            flows[0].all_queued()
        });
        [flow] = flows;
        let side = if rng.chance(0.5) { Client } else { Server };
        pair.shutdown(side);
        while pair.step() {
            flow.drain(&mut pair);
        }
        flow.drain(&mut pair);
        assert_eq!(flow.left(), 0);
        assert_over(&mut pair, Client);
        assert_over(&mut pair, Server);
    });
}

#[test]
fn an_abort_at_any_moment_leaves_nothing() {
    every_seed(|seed| {
        let mut rng = Rng::new(seed ^ 0xab047);
        let (mut pair, streams) = random_pair(&mut rng, seed);
        pair.start();
        let mut flows = [
            Flow::new(Client, random_items(&mut rng, streams)),
            Flow::new(Server, random_items(&mut rng, streams)),
        ];
        for _ in 0..rng.below(300) {
            flows[0].pump(&mut pair);
            if !pair.server.conns.is_empty() {
                flows[1].pump(&mut pair);
            }
            if !pair.step() {
                break;
            }
            flows[0].drain(&mut pair);
            flows[1].drain(&mut pair);
        }
        let side = match pair.server.conns.is_empty() {
            false if rng.chance(0.5) => Server,
            _ => Client,
        };
        pair.abort(side, "enough");
        // A lost ABORT leaves the other side to find out by itself, even if the association comes
        // up there only now, from a COOKIE ECHO under way: it has to say something.
        let other = side.peer();
        pair.flush();
        for _ in 0..2 {
            if !pair.host(other).conns.is_empty() && pair.closed(other).is_none() {
                let now = pair.now;
                let association = &mut pair.conn(other).association;
                association.shutdown(now);
            }
            pair.drive();
        }
        for side in [Client, Server] {
            assert_eq!(pair.host(side).endpoint.associations(), 0, "{side:?}");
        }
    });
}

#[test]
fn a_large_file_and_many_small_ones_over_one_association() {
    // The soak binary does the same with a gigabyte.
    let mut pair = Pair::builder()
        .link(Link {
            loss: 0.01,
            reorder: 0.01,
            duplicate: 0.01,
            ..Link::default()
        })
        .untraced()
        .steps(10_000_000)
        .build();
    pair.connect();
    let megabytes = setting("SCTP_SIM_MEGABYTES", 4) as usize;
    let piece = 64 * 1024;
    let mut items = vec![
        Item {
            stream: 0,
            size: piece,
            unordered: false,
        };
        megabytes * 1024 * 1024 / piece
    ];
    for number in 0..1000 {
        items.push(Item {
            stream: 1 + number % 1000,
            size: 100 + usize::from(number % 1900),
            unordered: false,
        });
    }
    let mut flows = [Flow::new(Client, items)];
    work(&mut pair, &mut flows, 1, |_, flows| flows[0].left() == 0);
    pair.shutdown(Client);
    pair.drive();
    assert_eq!(pair.closed(Client), Some(CloseReason::Shutdown));
}
