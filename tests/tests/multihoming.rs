//! Several paths (§5.4, §6.4, §8.2; RFC 7829): which there are, what they carry, how they fail.

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use sctp_proto::{AssociationConfig, CongestionControl, Instant, PathInfo, PathState, SendInfo};
use sctp_tests::{
    codec::kind,
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
    let ips = network.map(|text| {
        text.parse::<std::net::SocketAddr>()
            .expect("an address")
            .ip()
    });
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

//= RFC 9260 §5.1.2, test
//# If there are only IPv4/IPv6 addresses present in the received INIT or...
//= RFC 9260 §5.1.2, test
//# The receiver SHOULD use only these transport addresses as destination transport addresses...
#[test]
fn both_lists_make_pairs_that_share_nothing_first() {
    let mut pair = connect(two_by_two());
    for side in [Client, Server] {
        assert_eq!(
            ends(&mut pair, side)[0],
            (0, 0),
            "{side:?}: that of the handshake"
        );
        let mut all = ends(&mut pair, side);
        all.sort_unstable();
        assert_eq!(all, [(0, 0), (0, 1), (1, 0), (1, 1)], "{side:?}");
    }
    assert_eq!(ends(&mut pair, Server), [(0, 0), (1, 1), (0, 1), (1, 0)]);
    // Data goes by the first, and the others carry HEARTBEATs.
    let seen = record(&mut pair);
    pair.send(Client, 1, "there");
    pair.send(Server, 1, "and back");
    pair.drive_for(SECOND);
    assert_eq!(pair.recv(Server, 1).unwrap(), "there");
    assert_eq!(pair.recv(Client, 1).unwrap(), "and back");
    for (_, datagram) in seen.lock().unwrap().iter() {
        let data = datagram.has(kind::I_DATA) || datagram.has(kind::SACK);
        assert!(data && !within(datagram, B), "{datagram:?}");
    }
}

#[test]
fn one_side_with_several_addresses_is_enough() {
    for (client, server) in [(&[A[0], B[0]][..], &[A[1]][..]), (&[A[0]], &[A[1], B[1]])] {
        let mut pair = connect(Pair::builder().addrs(client, server).audited());
        assert_eq!(paths(&mut pair, Client).len(), 2);
        assert_eq!(paths(&mut pair, Server).len(), 2);
    }
}

#[test]
fn what_is_not_announced_makes_no_path() {
    let quiet = |c: &mut AssociationConfig| _ = c.announce_addresses(false);
    let mut pair = connect(two_by_two().both(quiet));
    assert_eq!(ends(&mut pair, Client), [(0, 0)]);
    assert_eq!(ends(&mut pair, Server), [(0, 0)]);
    let mut pair = connect(two_by_two().both(|c| _ = c.max_paths(1)));
    assert_eq!(paths(&mut pair, Server).len(), 1);
    let mut pair = connect(two_by_two().client(|c| _ = c.max_paths(2)));
    assert_eq!(paths(&mut pair, Client).len(), 2);
    assert_eq!(paths(&mut pair, Server).len(), 4);
}

//= RFC 9260 §5.1.2, test
//# If an SCTP endpoint that only supports either IPv4 or IPv6 receives...
#[test]
fn both_families_serve_one_association() {
    let client = ["10.0.0.1:9899", "[fd00::1]:9899"];
    let server = ["10.0.0.2:9899", "[fd00::2]:9899"];
    let mut pair = connect(Pair::builder().addrs(&client, &server).audited());
    assert_eq!(ends(&mut pair, Client), [(0, 0), (1, 2)]);
    cut(&mut pair, [client[0], server[0]]);
    pair.send(Client, 1, vec![7; 50_000]);
    pair.drive_for(20 * SECOND);
    assert_eq!(pair.recv(Server, 1).unwrap().len(), 50_000);
    // A client with IPv4 only: the server's IPv6 address is nothing to it.
    let client = ["10.0.0.1:9899", "10.1.0.1:9899"];
    let mut pair = connect(Pair::builder().addrs(&client, &server).audited());
    assert_eq!(ends(&mut pair, Client), [(0, 0), (1, 0)]);
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

#[test]
fn a_download_goes_on_when_its_path_dies_in_less_than_half_a_second() {
    let mut worst = Duration::ZERO;
    for at in 0..3 {
        let mut pair = connect(
            two_by_two()
                .link(link())
                .both(shipped)
                .untraced()
                .steps(5_000_000),
        );
        bulk(&mut pair, Server, SECOND + at * 137 * MS, |_| {});
        cut(&mut pair, A);
        let (silence, bytes) = bulk(&mut pair, Server, 5 * SECOND, |_| {});
        assert!(silence < 500 * MS, "{silence:?}");
        assert!(bytes > 4_000_000, "{bytes} bytes in five seconds");
        assert_ne!(state(&mut pair, Server, 0), PathState::Active);
        worst = worst.max(silence);
        // With the path back there is no second stall, and data takes it again.
        pair.net.clear_scripts();
        let (silence, bytes) = bulk(&mut pair, Server, 12 * SECOND, |_| {});
        assert!(silence < 200 * MS, "{silence:?} with the path back");
        assert!(bytes > 12_000_000, "{bytes} bytes in twelve seconds");
        assert_eq!(state(&mut pair, Server, 0), PathState::Active);
        let seen = record(&mut pair);
        bulk(&mut pair, Server, SECOND, |_| {});
        let seen = seen.lock().unwrap();
        assert!(
            seen.iter()
                .any(|(_, d)| within(d, A) && d.has(kind::I_DATA))
        );
    }
    println!("the longest silence of twenty: {worst:?}");
}
