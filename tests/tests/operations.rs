//! Random calls of everything the public surface has, on random networks: nothing panics, loops or
//! hangs, nothing is delivered twice or damaged, and all comes to an end.

use std::{collections::HashSet, env, time::Duration};

use bytes::Bytes;
use sctp_proto::{PathConfig, PathId, Reliability, SchedulerKind, SendInfo, StreamId};
use sctp_tests::{
    load::payload,
    net::Link,
    pair::{
        Pair,
        Side::{self, Client, Server},
    },
    rng::Rng,
};

/// What has been received, per side: numbers of messages, and messages that came in part.
#[derive(Default)]
struct Received {
    numbers: HashSet<u64>,
    /// Streams on which a message is being delivered in parts, or was when they were cut.
    torn: HashSet<u16>,
    /// Associations the host has had.
    conns: usize,
}

struct Run {
    pair: Pair,
    rng: Rng,
    sent: u64,
    received: [Received; 2],
    /// The client was replaced: what it sent before may be lost, and its numbers come anew.
    life: u64,
}

fn index(side: Side) -> usize {
    usize::from(side == Server)
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x0b5);
        let link = Link {
            delay: Duration::from_millis(rng.below(50) as u64),
            loss: rng.below(8) as f64 / 100.0,
            reorder: rng.below(20) as f64 / 100.0,
            duplicate: rng.below(10) as f64 / 100.0,
            corrupt: rng.below(3) as f64 / 100.0,
            ..Link::default()
        };
        let schedulers = [
            SchedulerKind::FirstComeFirstServed,
            SchedulerKind::RoundRobin,
            SchedulerKind::RoundRobinPerPacket,
            SchedulerKind::Priority,
            SchedulerKind::FairBandwidth,
            SchedulerKind::WeightedFairQueueing,
        ];
        let scheduler = schedulers[rng.below(6)];
        let interleaving = rng.chance(0.5);
        let window = rng.between(8 * 1024, 256 * 1024) as u32;
        let buffer = rng.between(8 * 1024, 512 * 1024);
        let mut pair = Pair::builder()
            .audited()
            .seed(seed)
            .link(link)
            .both_listen()
            .both(|c| {
                c.outbound_streams(8)
                    .scheduler(scheduler)
                    .interleaving(interleaving)
                    .receive_window(window)
                    .send_buffer(buffer)
                    .rto_max(Duration::from_secs(3))
                    .association_max_retrans(30)
                    .path_max_retrans(30)
                    .max_init_retransmits(30);
            })
            .build();
        pair.start();
        Self {
            pair,
            rng,
            sent: 0,
            received: Default::default(),
            life: 0,
        }
    }

    fn side(&mut self) -> Side {
        if self.rng.chance(0.5) && !self.pair.server.conns.is_empty() {
            Server
        } else {
            Client
        }
    }

    fn operate(&mut self) {
        let side = self.side();
        let stream = StreamId(self.rng.below(9) as u16);
        let now = self.pair.now;
        match self.rng.below(100) {
            0..45 => self.send(side, stream),
            45..75 => self.receive(side),
            75..80 => {
                let streams: Vec<_> = (0..self.rng.below(3))
                    .map(|i| StreamId((usize::from(stream.0) + i) as u16))
                    .collect();
                let association = &mut self.pair.conn(side).association;
                let _ = association.reset_streams(now, &streams);
            }
            80..82 => {
                self.pair.conn(side).association.stop(stream);
                self.received[index(side)].torn.insert(stream.0);
            }
            82..84 => self.pair.conn(side).association.discard_unsent(now, stream),
            84..88 => {
                let value = self.rng.below(5) as u16;
                let association = &mut self.pair.conn(side).association;
                association.set_stream_priority(stream, value);
            }
            88..90 => {
                let path = PathId::from_index(self.rng.below(2) as u8);
                let association = &mut self.pair.conn(side).association;
                let _ = association.request_heartbeat(now, path);
                let _ = association.set_primary(path);
            }
            90..92 => {
                let mut config = PathConfig::default();
                let seconds = self.rng.between(1, 20) as u64;
                config.heartbeat_interval = Some(Some(Duration::from_secs(seconds)));
                let association = &mut self.pair.conn(side).association;
                let _ = association.configure_path(now, PathId::from_index(0), config);
            }
            92..93 => {
                let millis = self.rng.between(0, 3000) as u64;
                self.pair.drive_for(Duration::from_millis(millis));
            }
            93 => self.collide(),
            94 if self.rng.chance(0.3) => {
                let seconds = 1 << self.rng.below(13);
                self.pair.sleep(Duration::from_secs(seconds));
            }
            95 if self.rng.chance(0.3) => {
                let inside = self.pair.client.addrs[0];
                let mut outside = inside;
                outside.set_port(self.rng.between(1024, 9000) as u16);
                self.pair.net.rebind(inside, outside);
            }
            _ => {}
        }
    }

    fn send(&mut self, side: Side, stream: StreamId) {
        let size = match self.rng.below(10) {
            0 => self.rng.between(10_000, 60_000),
            1..4 => self.rng.between(1000, 4000),
            _ => self.rng.between(8, 300),
        };
        let mut info = SendInfo::default()
            .unordered(self.rng.chance(0.3))
            .sack_immediately(self.rng.chance(0.1));
        if self.rng.chance(0.3) {
            info = info.reliability(match self.rng.below(3) {
                0 => Reliability::MaxRetransmits(self.rng.below(3) as u16),
                1 => Reliability::Lifetime(Duration::from_millis(self.rng.below(1000) as u64)),
                _ => Reliability::Priority(self.rng.below(3) as u32),
            });
        }
        let data = payload(self.sent, size);
        if self.pair.try_send(side, stream.0, data, info).is_ok() {
            self.sent += 1;
        }
    }

    fn receive(&mut self, side: Side) {
        // The numbers a host has seen are those of its latest association.
        let conns = self.pair.host(side).conns.len();
        if self.received[index(side)].conns != conns {
            self.received[index(side)] = Received {
                conns,
                ..Received::default()
            };
        }
        for message in self.pair.recv_all(side) {
            let received = &mut self.received[index(side)];
            let stream = message.stream.0;
            if message.aborted {
                assert!(message.data.is_empty());
                continue;
            }
            let complete = message.complete;
            let bytes: Bytes = message.data.into_bytes();
            assert!(!bytes.is_empty());
            // Parts cannot be told from wholes once a stream was cut in the middle of one.
            if !complete || received.torn.contains(&stream) {
                received.torn.insert(stream);
                continue;
            }
            let head = bytes.first_chunk().expect("messages carry their number");
            let number = u64::from_be_bytes(*head);
            assert!(number < self.sent, "message {number} was never sent");
            assert!(
                bytes == payload(number, bytes.len()),
                "message {number} is damaged"
            );
            let new = received.numbers.insert(number);
            assert!(new, "message {number} came twice to the {side:?}");
        }
    }

    /// The server calls the client as well, or a crash makes the client start anew.
    fn collide(&mut self) {
        if self.pair.server.conns.is_empty() {
            self.pair.start_from_server();
        } else if self.rng.chance(0.2) && self.life < 2 {
            self.life += 1;
            self.pair.crash(Client);
            self.pair.start();
            // What the server reads until it notices may be the rest of a message.
            self.received[index(Client)] = Received::default();
            self.received[index(Server)].numbers.clear();
        }
    }

    fn finish(mut self) {
        for side in [Client, Server] {
            if self.pair.host(side).conns.is_empty() {
                continue;
            }
            let path = PathId::from_index(0);
            let mut config = PathConfig::default();
            config.heartbeat_interval = Some(None);
            let now = self.pair.now;
            let association = &mut self.pair.conn(side).association;
            let _ = association.configure_path(now, path, config);
            if self.rng.chance(0.9) {
                self.pair.shutdown(side);
            } else {
                self.pair.abort(side, "enough");
            }
        }
        // Whoever is left hanging is read, so that windows open, and told to end as well.
        for _ in 0..2000 {
            self.pair.drive_for(Duration::from_millis(500));
            for side in [Client, Server] {
                if !self.pair.host(side).conns.is_empty() {
                    self.receive(side);
                    self.pair.shutdown(side);
                }
            }
            if self.pair.client.live() + self.pair.server.live() == 0 {
                break;
            }
        }
        let summary = self.pair.summary();
        for side in [Client, Server] {
            assert_eq!(self.pair.host(side).live(), 0, "{side:?} lives: {summary}");
            assert_eq!(self.pair.host(side).endpoint.associations(), 0);
        }
    }
}

#[test]
fn whatever_is_called_comes_to_an_end() {
    let setting = |name, default| {
        env::var(name).map_or(default, |text| text.parse::<u64>().expect("a number"))
    };
    let first = setting("SCTP_SIM_FIRST", 0);
    for seed in first..first + setting("SCTP_SIM_SEEDS", 100) {
        let mut run = Run::new(seed);
        for _ in 0..run.rng.between(10, 600) {
            run.operate();
            if run.rng.chance(0.7) {
                run.pair.step();
            }
        }
        run.finish();
    }
}
