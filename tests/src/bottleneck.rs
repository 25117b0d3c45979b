//! Associations that share a bottleneck: bulk transfers side by side, and pages of many objects.

use std::time::Duration;

use bytes::Bytes;
use sctp_proto::{
    AssociationConfig, CongestionControl, Instant, PathStats, SchedulerKind, SendInfo, StreamId,
};

use crate::{
    net::Link,
    pair::{Pair, Side::Client, Side::Server},
};

/// Bytes of IP and UDP header, which a [`Link`] does not count.
const HEADERS: u64 = 28;
/// The MTU of Ethernet.
const MTU: u64 = 1500;
/// Bytes of one message of a bulk transfer.
const MESSAGE: usize = 16 * 1024;

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

/// Settings as `sctp-http` has them, but for the controller.
pub fn shipped(config: &mut AssociationConfig, kind: CongestionControl) {
    config
        .congestion_control(kind)
        .initial_window(Some(10))
        .path_mtu(MTU as u16)
        .scheduler(SchedulerKind::RoundRobinPerMessage)
        .receive_window(8 * 1024 * 1024)
        .send_buffer(8 * 1024 * 1024)
        .stream_send_buffer(8 * 1024 * 1024)
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
    }

    /// Runs for this long, with as much to send as there is room for.
    pub fn run(&mut self, time: Duration) {
        let end = self.pair.now + time;
        while self.pair.now < end {
            let now = self.pair.now;
            for conn in &mut self.pair.client.conns {
                let send = |message| {
                    let info = SendInfo::default();
                    (conn.association).send(now, StreamId(1), message, info)
                };
                std::iter::repeat_with(|| self.message.clone())
                    .map(send)
                    .find(Result::is_err);
            }
            assert!(self.pair.step(), "all is quiet");
            for (conn, received) in self.pair.server.conns.iter_mut().zip(&mut self.received) {
                while let Some(message) = conn.association.recv_any() {
                    *received += message.data.len() as u64;
                }
                conn.events.clear();
            }
            for conn in &mut self.pair.client.conns {
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
    let mut done: Vec<Instant> = Vec::new();
    while done.len() < left.len() {
        assert!(pair.step(), "all is quiet: {}", pair.summary());
        let now = pair.now;
        if !pair.server.conns.is_empty() {
            for asked in pair.recv_all(Server) {
                let size = left[usize::from(asked.stream.0)];
                for part in parts(size) {
                    pair.send(Server, asked.stream.0, part);
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

/// An answer, in messages that streams can take turns with.
fn parts(size: usize) -> impl Iterator<Item = Bytes> {
    let whole = std::iter::repeat_n(MESSAGE, size / MESSAGE);
    let rest = Some(size % MESSAGE).filter(|rest| *rest > 0);
    whole.chain(rest).map(|len| Bytes::from(vec![0; len]))
}
