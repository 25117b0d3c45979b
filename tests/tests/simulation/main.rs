//! Many short runs, each a function of its seed: random networks, random messages, random ends,
//! and every byte compared.
//!
//! `SCTP_SIM_SEEDS` sets how many runs there are, `SCTP_SIM_FIRST` the seed of the first, so that
//! a failing one can be had alone: `SCTP_SIM_FIRST=17 SCTP_SIM_SEEDS=1 cargo test ...`.

mod ends;
mod everything;
mod exchange;
mod extensions;
mod given_up;
mod offers;
mod troubles;

use std::{
    env,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    time::Duration,
};

use sctp_proto::{
    AssociationConfig, HmacAlgorithm, Instant, SchedulerKind,
    event_log::{EventLog, EventWriter, LogEvent, Vantage, chunk_headers},
};
use sctp_tests::{
    codec::kind,
    load::{Flow, Item},
    net::{Gilbert, Link},
    pair::{Pair, Side},
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

/// Paths are probed, and nothing is discarded because nobody was awake to read it.
fn watchful(config: &mut AssociationConfig) {
    let day = Duration::from_secs(24 * 60 * 60);
    config
        .heartbeat_interval(Some(Duration::from_secs(1)))
        .stall_timeout(day);
}
