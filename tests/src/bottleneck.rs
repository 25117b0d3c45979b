//! Associations that share a bottleneck: bulk transfers side by side, and pages of many objects.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use sctp_proto::{
    AssociationConfig, CongestionControl, Event, Instant, PathStats, SchedulerKind, SendError,
    SendInfo, StreamId,
};

use crate::{
    net::Link,
    pair::{Pair, Side::Client, Side::Server},
};

/// Bytes of IP and UDP header, which a [`Link`] does not count.
const HEADERS: u64 = 28;
/// The MTU of Ethernet.
const MTU: u64 = 1500;
/// Bytes of one message of a bulk transfer, as `sctp-http` forms them.
const MESSAGE: usize = 64 * 1024;
/// Bytes of the first message of an answer; the next have twice as many each.
const FIRST_MESSAGE: usize = 16 * 1024;

/// A link of so many Mbit/s, with a round trip of so many milliseconds and room for so many packets
/// of 1,500 bytes in its queue; in both directions it loses this share of packets.
pub fn link(mbit: f64, round_trip_ms: u64, queue_packets: usize, loss: f64) -> Link {
    let payload = MTU - HEADERS;
    let rate = mbit * 125_000.0 * payload as f64 / MTU as f64;
    Link {
        delay: Duration::from_millis(round_trip_ms) / 2,
        rate: Some(rate as u64),
        queue: queue_packets * payload as usize,
        max_payload: payload as usize,
        loss,
        ..Link::default()
    }
}

/// Settings of a server that is told nothing else. Written out, so that only a test links
/// `http-server` to hold them to it.
pub fn served(config: &mut AssociationConfig) {
    config
        .scheduler(SchedulerKind::RoundRobinPerMessage)
        .congestion_control(CongestionControl::Bbr)
        .initial_window(Some(10))
        .rto_min(Duration::from_millis(200))
        .send_buffer(4 * 1024 * 1024)
        .stream_send_buffer(1024 * 1024)
        .heartbeat_interval(Some(Duration::from_secs(5)));
}

/// Settings as `sctp-http --mtu 1500` has them, but for the controller, and for what ends an
/// association or is sent while it is idle.
pub fn shipped(config: &mut AssociationConfig, kind: CongestionControl) {
    served(config);
    config
        .congestion_control(kind)
        .path_mtu(MTU as u16)
        .plpmtud(false)
        .heartbeat_interval(None)
        .association_max_retrans(100)
        .path_max_retrans(100)
        .max_init_retransmits(100);
}

/// Bulk transfers from the client to the server that share one link, each by an association of its
/// own.
#[derive(Debug)]
pub struct Flows {
    /// The hosts and the network.
    pub pair: Pair,
    /// Bytes of user data that arrived, per flow.
    pub received: Vec<u64>,
    /// Flows that have more to send as soon as they are told of room for it.
    blocked: Vec<bool>,
    message: Bytes,
}

impl Flows {
    /// One flow by each of these controllers, which begin together.
    pub fn new(seed: u64, link: Link, kinds: &[CongestionControl]) -> Self {
        let pair = Pair::builder()
            .seed(seed)
            .link(link)
            .server(|c| shipped(c, CongestionControl::Cubic))
            .untraced()
            .steps(usize::MAX)
            .build();
        let mut flows = Self {
            pair,
            received: Vec::new(),
            blocked: Vec::new(),
            message: Bytes::from(vec![0; MESSAGE]),
        };
        for kind in kinds {
            flows.join(*kind);
        }
        flows
    }

    /// One flow more.
    pub fn join(&mut self, kind: CongestionControl) {
        let mut config = AssociationConfig::default();
        shipped(&mut config, kind);
        let to = self.pair.server.addrs.clone();
        let started = self.pair.client.connect(self.pair.now, config, &to);
        started.expect("the client can connect");
        self.received.push(0);
        self.blocked.push(false);
    }

    /// Runs for this long, with as much to send as there is room for.
    pub fn run(&mut self, time: Duration) {
        let end = self.pair.now + time;
        while self.pair.now < end {
            let now = self.pair.now;
            for (conn, blocked) in self.pair.client.conns.iter_mut().zip(&mut self.blocked) {
                let room = |event: &Event| matches!(event, Event::Writable(_));
                *blocked &= !conn.events.drain(..).any(|event| room(&event));
                while !*blocked {
                    let (message, info) = (self.message.clone(), SendInfo::default());
                    let sent = conn.association.send(now, StreamId(1), message, info);
                    *blocked = sent.is_err();
                }
            }
            assert!(self.pair.step(), "all is quiet");
            for (conn, received) in self.pair.server.conns.iter_mut().zip(&mut self.received) {
                while let Some(message) = conn.association.recv_any() {
                    *received += message.data.len() as u64;
                }
                conn.events.clear();
            }
        }
    }

    /// Bytes per flow that arrive within this time.
    pub fn measure(&mut self, time: Duration) -> Vec<u64> {
        let before = self.received.clone();
        self.run(time);
        let now = self.received.iter().zip(before);
        now.map(|(now, before)| now - before).collect()
    }

    /// How the sender of a flow stands.
    pub fn path(&self, flow: usize) -> PathStats {
        let association = &self.pair.client.conns[flow].association;
        association.paths().next().expect("a path").stats
    }
}

/// What a page took.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// From the first packet of the handshake to the last byte of the page.
    pub time: Duration,
    /// The mean of the times from the first packet to the last byte of each object.
    pub mean_object: Duration,
    /// Bytes of packets that the server sent, UDP and IP headers included.
    pub wire: u64,
}

/// Fetches a page: a document and then all its objects, each by a request on a stream of its own
/// once the document has come. Requests take 100 bytes.
pub fn page(
    seed: u64,
    link: Link,
    kind: CongestionControl,
    html: usize,
    objects: &[usize],
) -> Page {
    let mut pair = Pair::builder()
        .seed(seed)
        .link(link)
        .both(|c| shipped(c, kind))
        .untraced()
        .steps(usize::MAX)
        .build();
    let start = pair.now;
    let request = Bytes::from(vec![0; 100]);
    pair.start();
    pair.send(Client, 0, request.clone());
    let mut left: Vec<usize> = std::iter::once(html)
        .chain(objects.iter().copied())
        .collect();
    // What each stream has still to send.
    let mut answers = vec![VecDeque::new(); left.len()];
    let mut done: Vec<Instant> = Vec::new();
    while done.len() < left.len() {
        assert!(pair.step(), "all is quiet: {}", pair.summary());
        let now = pair.now;
        if !pair.server.conns.is_empty() {
            for asked in pair.recv_all(Server) {
                let stream = usize::from(asked.stream.0);
                answers[stream] = parts(left[stream]);
                send(&mut pair, asked.stream, &mut answers[stream]);
            }
            for event in pair.events(Server) {
                if let Event::Writable(stream) = event {
                    send(&mut pair, stream, &mut answers[usize::from(stream.0)]);
                }
            }
        }
        for answer in pair.recv_all(Client) {
            let stream = usize::from(answer.stream.0);
            left[stream] -= answer.data.len();
            if left[stream] == 0 {
                done.push(now);
                if stream == 0 {
                    for stream in 1..left.len() {
                        pair.send(Client, stream as u16, request.clone());
                    }
                }
            }
        }
    }
    let times = done.iter().map(|at| *at - start);
    let mean_object = times.clone().sum::<Duration>() / done.len() as u32;
    let stats = pair.stats(Server);
    Page {
        time: times.max().unwrap_or_default(),
        mean_object,
        wire: stats.bytes_sent + stats.packets_sent * HEADERS,
    }
}

/// Sends of an answer what there is room for.
fn send(pair: &mut Pair, stream: StreamId, answer: &mut VecDeque<Bytes>) {
    while let Some(message) = answer.pop_front() {
        match pair.try_send(Server, stream.0, message, SendInfo::default()) {
            Ok(()) => {}
            Err(SendError::Blocked(message)) => return answer.push_front(message),
            Err(error) => panic!("{error}"),
        }
    }
}

/// An answer, in messages that streams can take turns with.
fn parts(size: usize) -> VecDeque<Bytes> {
    let mut parts = VecDeque::new();
    let (mut left, mut limit) = (size, FIRST_MESSAGE);
    while left > 0 {
        let len = left.min(limit);
        parts.push_back(Bytes::from(vec![0; len]));
        left -= len;
        limit = MESSAGE.min(2 * limit);
    }
    parts
}
