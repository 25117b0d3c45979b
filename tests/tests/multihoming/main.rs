//! Several paths (§5.4, §6.4, §8.2; RFC 7829): which there are, what they carry, how they fail.

mod come_and_go;
mod failures;
mod handshake;
mod listed;
mod pairs;
mod traffic;
mod unconfirmed;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use sctp_proto::{AssociationConfig, CongestionControl, Instant, PathInfo, PathState, SendInfo};
use sctp_tests::{
    net::{Datagram, Link, Verdict},
    pair::{
        Builder, Pair,
        Side::{self, Client, Server},
    },
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

const A: [&str; 2] = ["10.0.0.1:9899", "10.0.0.2:9899"];
const B: [&str; 2] = ["10.1.0.1:9899", "10.1.0.2:9899"];

/// Two addresses on each side.
fn two_by_two() -> Builder {
    Pair::builder()
        .addrs(&[A[0], B[0]], &[A[1], B[1]])
        .audited()
}

/// Sets an association up and lets its paths be confirmed.
fn connect(builder: Builder) -> Pair {
    let mut pair = builder.build();
    pair.connect();
    pair.drive_for(10 * SECOND);
    for side in [Client, Server] {
        for path in paths(&mut pair, side) {
            assert_eq!(path.state, PathState::Active, "{side:?} {path:?}");
        }
        pair.events(side);
    }
    pair
}

fn paths(pair: &mut Pair, side: Side) -> Vec<PathInfo> {
    pair.conn(side).association.paths().collect()
}

/// Addresses of the paths, by their third to last octets: (local, remote).
fn ends(pair: &mut Pair, side: Side) -> Vec<(u8, u8)> {
    let second = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets()[1],
        IpAddr::V6(ip) => ip.octets()[15],
    };
    let paths = paths(pair, side);
    let ends = paths.iter().map(|path| (path.local_ip, path.remote.ip()));
    ends.map(|(local, remote)| (local.map_or(255, second), second(remote)))
        .collect()
}

fn state(pair: &mut Pair, side: Side, index: usize) -> PathState {
    paths(pair, side)[index].state
}

/// Whether a datagram takes part in a network: one of its ends is there.
fn within(datagram: &Datagram, network: [&str; 2]) -> bool {
    let ips = network.map(|text| text.parse::<SocketAddr>().expect("an address").ip());
    ips.contains(&datagram.from.ip()) || ips.contains(&datagram.to.ip())
}

/// From now on a network carries nothing, both ways.
fn cut(pair: &mut Pair, network: [&'static str; 2]) {
    pair.net
        .script(move |_, datagram| match within(datagram, network) {
            true => Verdict::Drop,
            false => Verdict::Pass,
        });
}

/// What left, in order.
fn record(pair: &mut Pair) -> std::sync::Arc<std::sync::Mutex<Vec<(Instant, Datagram)>>> {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = seen.clone();
    pair.net.script(move |now, datagram| {
        sink.lock().unwrap().push((now, datagram.clone()));
        Verdict::Pass
    });
    seen
}

/// The link of the failover measurements: 10 Mbit/s, 50 ms there and back, 50 packets.
fn link() -> Link {
    Link {
        delay: 25 * MS,
        rate: Some(1_250_000),
        queue: 50 * 1280,
        ..Link::default()
    }
}

fn shipped(config: &mut AssociationConfig) {
    config
        .congestion_control(CongestionControl::Cubic)
        .initial_window(Some(10))
        .heartbeat_interval(Some(15 * SECOND));
}

/// Sends without end from one side for `time`; the longest time in which the other got nothing to
/// read, and how many bytes it got.
fn bulk(
    pair: &mut Pair,
    from: Side,
    time: Duration,
    mut befall: impl FnMut(&mut Pair),
) -> (Duration, usize) {
    let end = pair.now + time;
    let (mut silence, mut last, mut bytes) = (Duration::ZERO, pair.now, 0);
    while pair.now < end {
        while pair
            .try_send(from, 1, Bytes::from(vec![1; 8192]), SendInfo::default())
            .is_ok()
        {}
        befall(pair);
        pair.step();
        let mut arrived = false;
        while let Some(message) = pair
            .conn(from.peer())
            .association
            .recv(sctp_proto::StreamId(1))
        {
            bytes += message.data.len();
            arrived = true;
        }
        if arrived {
            silence = silence.max(pair.now - last);
            last = pair.now;
        }
    }
    (silence.max(pair.now - last), bytes)
}
