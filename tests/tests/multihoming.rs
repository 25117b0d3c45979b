//! Several paths (§5.4, §6.4, §8.2; RFC 7829): which there are, what they carry, how they fail.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use sctp_proto::{
    AssociationConfig, AssociationState, CloseReason, CongestionControl, EndpointConfig, Event,
    Instant, PathError, PathInfo, PathState, SendInfo,
};
use sctp_tests::{
    build::{bare_abort, cookie_echo, data, heartbeat_ack, init},
    codec::{Chunk, Packet, kind, param},
    host::{Host, local_addresses},
    net::{Datagram, Link, Verdict},
    pair::{
        Builder, Pair,
        Side::{self, Client, Server},
    },
    peer::{Peer, TAG},
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

// ---- addresses that have yet to be confirmed -----------------------------------------------

/// Where the hand-driven peer is as well.
fn other() -> SocketAddr {
    "10.1.0.1:9899".parse().unwrap()
}

/// A peer that listed [`other`], of which nothing is known yet; the HEARTBEAT to it.
fn listing(change: impl FnOnce(&mut AssociationConfig)) -> (Peer, Chunk) {
    let mut peer = Peer::client_with(change);
    let IpAddr::V4(ip) = other().ip() else {
        unreachable!()
    };
    let chunk = init(TAG).param(param::IPV4_ADDRESS, &ip.octets());
    let answer = peer.init(chunk);
    peer.send(cookie_echo(&answer.cookie()));
    let mut beat = None;
    for received in peer.receive_all() {
        if received.kinds() == [kind::HEARTBEAT] {
            assert_eq!(received.to, other());
            beat = Some(received.packet.chunks[0].clone());
        }
    }
    (
        peer,
        beat.expect("a HEARTBEAT to the address that was listed"),
    )
}

/// The same, [`other`] confirmed.
fn confirmed(change: impl FnOnce(&mut AssociationConfig)) -> Peer {
    let (mut peer, beat) = listing(change);
    peer.send_chunk_from(other(), heartbeat_ack(&beat));
    peer.receive_all();
    let path = peer.association().paths().nth(1).expect("a path");
    assert_eq!(path.state, PathState::Active);
    peer.events();
    peer
}

/// The packets with DATA or I-DATA there are: where they went, and how many such chunks.
fn data_sent(peer: &mut Peer) -> Vec<(SocketAddr, usize)> {
    let is_data = |kind: &u8| [kind::DATA, kind::I_DATA].contains(kind);
    let sent = peer.receive_all().into_iter();
    sent.map(|received| {
        (
            received.to,
            received.kinds().iter().filter(|k| is_data(k)).count(),
        )
    })
    .filter(|(_, chunks)| *chunks > 0)
    .collect()
}

//= RFC 9260 §5.4, test
//# An endpoint MUST NOT send any chunks to an UNCONFIRMED address, with...
#[test]
fn nothing_but_heartbeats_goes_to_an_address_that_has_proved_nothing() {
    let (mut peer, beat) = listing(|_| {});
    peer.host_send(1, vec![0; 3000]);
    // No SACK comes: every time-out would welcome another path.
    for _ in 0..100 {
        peer.advance(100 * MS);
        for received in peer.receive_all() {
            let only_heartbeat = received.kinds() == [kind::HEARTBEAT];
            assert!(received.to == peer.addr || only_heartbeat, "{received:?}");
        }
    }
    // Neither a changed nonce nor the right one for another address proves anything.
    let mut forged = beat.clone();
    *forged.value.last_mut().unwrap() ^= 1;
    peer.send_chunk_from(other(), heartbeat_ack(&forged));
    peer.send_chunk_from(other(), heartbeat_ack(&beat));
    let acked = path_at(&mut peer, other()).stats.heartbeats_acked;
    assert_eq!(acked, 0, "neither was its last");
    let path = path_at(&mut peer, other());
    assert_ne!(path.state, PathState::Active);
    let chosen = peer.association().set_primary(path.id);
    assert_eq!(chosen, Err(PathError::Unconfirmed));
}

fn path_at(peer: &mut Peer, remote: SocketAddr) -> PathInfo {
    let mut paths = peer.association().paths();
    paths.find(|path| path.remote == remote).expect("a path")
}

//= RFC 9260 §5.4, test
//# The number of packets containing HEARTBEAT chunks sent at each RTO...
#[test]
fn addresses_that_are_listed_are_probed_one_per_time_out() {
    for most in [1, 3] {
        let mut peer = Peer::client_with(|c| _ = c.heartbeat_max_burst(most));
        let chunk = (1..=7_u8).fold(init(TAG), |init, n| {
            init.param(param::IPV4_ADDRESS, &[10, n, 0, 1])
        });
        let answer = peer.init(chunk);
        peer.send(cookie_echo(&answer.cookie()));
        let mut beats = 0;
        for _ in 0..5 {
            let round = peer.find_all(kind::HEARTBEAT).len() as u32;
            assert!(round <= most, "{round} in one time-out");
            beats += round;
            peer.advance(SECOND);
        }
        assert!(beats >= 5, "{beats}");
    }
}

#[test]
fn threat_19_an_address_that_somebody_camps_on_is_free_for_its_owner() {
    // RFC 5062 §3: the camper lists the address of another, who then comes with the same ports.
    let (mut peer, _) = listing(|_| {});
    let inits = |peer: &mut Peer| {
        let packet = peer.packet(0, vec![init(0x7777_7777).into()]);
        peer.send_from(other(), packet.encode());
        let answer = peer
            .receive_all()
            .into_iter()
            .find(|r| r.kinds() == [kind::INIT_ACK]);
        answer.expect("an INIT ACK for the owner").packet
    };
    let answer = inits(&mut peer);
    assert_eq!(answer.tag, 0x7777_7777);
    let ack = answer.chunks[0].as_init();
    let packet = peer.packet(ack.tag, vec![cookie_echo(&ack.cookie())]);
    peer.send_from(other(), packet.encode());
    assert_eq!(peer.host.conns.len(), 2, "an association of its own");
    // The camper's probes are answered by nobody, and its association is none the worse.
    assert_eq!(
        peer.host.conns[0].association.state(),
        AssociationState::Established
    );
}

#[test]
fn a_peer_that_restarts_at_another_of_its_addresses_is_known_by_what_it_lists() {
    // Confirmed or not: it lists the one that is.
    for known in [false, true] {
        let mut peer = match known {
            true => confirmed(|_| {}),
            false => listing(|_| {}).0,
        };
        let IpAddr::V4(here) = peer.addr.ip() else {
            unreachable!()
        };
        let chunk = init(0x7777_7777).param(param::IPV4_ADDRESS, &here.octets());
        let packet = peer.packet(0, vec![chunk.into()]);
        peer.tag = 0x7777_7777;
        peer.receive_all();
        peer.send_from(other(), packet.encode());
        let answer = peer.expect(kind::INIT_ACK).as_init();
        let packet = peer.packet(answer.tag, vec![cookie_echo(&answer.cookie())]);
        peer.send_from(other(), packet.encode());
        assert_eq!(peer.host.conns.len(), 1, "the same association");
        peer.take_established(true);
        let first = peer.association().paths().next().expect("a path");
        assert_eq!((first.remote, first.state), (other(), PathState::Active));
    }
}

#[test]
fn threat_21_a_stranger_at_a_listed_address_cannot_end_the_association() {
    // It gets HEARTBEATs of an association that it does not know, and says so (§8.4).
    let (mut peer, _) = listing(|_| {});
    let reflected = peer.packet(TAG, vec![bare_abort(true)]);
    peer.send_from(other(), reflected.encode());
    assert_eq!(peer.state(), AssociationState::Established);
}

#[test]
fn addresses_that_mean_something_else_here_are_not_probed() {
    // From a public address: what is private, or loopback, is in the network of the host.
    let mut peer = Peer::client();
    peer.addr = "192.0.2.9:9899".parse().unwrap();
    let chunk = [
        [127, 0, 0, 1],
        [10, 9, 9, 9],
        [169, 254, 1, 1],
        [198, 51, 100, 7],
    ];
    let chunk = chunk
        .iter()
        .fold(init(TAG), |init, ip| init.param(param::IPV4_ADDRESS, ip));
    let answer = peer.init(chunk);
    peer.send(cookie_echo(&answer.cookie()));
    peer.advance(30 * SECOND);
    let there: Vec<_> = peer
        .association()
        .paths()
        .map(|path| path.remote.ip())
        .collect();
    assert_eq!(
        there,
        ["192.0.2.9", "198.51.100.7"].map(|ip| ip.parse::<IpAddr>().unwrap())
    );
}

//= RFC 6951 §5.7, test
//# When using UDP encapsulation for legacy NAT traversal, IP addresses that might...
#[test]
fn addresses_that_a_nat_would_translate_are_told_to_nobody_beyond_it() {
    let own = [
        "10.0.0.1:9899",
        "192.168.0.1:9899",
        "127.0.0.1:9899",
        "198.51.100.1:9899",
    ];
    let own: Vec<SocketAddr> = own.iter().map(|a| a.parse().unwrap()).collect();
    let listed = |to: &str| {
        let mut host = Host::new(&own, EndpointConfig::default(), None, [7; 32]);
        let now = Instant::from_nanos(1_000_000_000);
        let connected = host.connect(now, AssociationConfig::default(), &[to.parse().unwrap()]);
        connected.unwrap();
        host.poll(now);
        let packet = host.take_packet().expect("an INIT");
        let init = Packet::decode(&packet.payload).unwrap().chunks[0].as_init();
        let kinds = init.params.into_iter();
        let addresses = kinds.filter(|(kind, _)| *kind == param::IPV4_ADDRESS);
        addresses.map(|(_, value)| value[0]).collect::<Vec<_>>()
    };
    assert_eq!(listed("203.0.113.5:9899"), [], "one alone is not listed");
    assert_eq!(listed("10.9.9.9:9899"), [10, 192, 198]);
    assert_eq!(listed("127.0.0.2:9899"), [10, 192, 127, 198]);
}

// ---- what goes where ------------------------------------------------------------------------

//= RFC 9260 §6.4, test
//# By default, an endpoint SHOULD always transmit to the primary path, unless...
//= RFC 9260 §6.4.1, test
//# When there is outbound data to send and the primary path becomes...
#[test]
fn data_takes_the_primary_unless_it_asks_for_another_or_that_has_failed() {
    let mut peer = confirmed(|c| _ = c.tail_loss_probes(false));
    let here = peer.addr;
    let second = path_at(&mut peer, other()).id;
    let mut info = SendInfo::default();
    info.path = Some(second);
    peer.host_send(1, "by default");
    peer.host_send_with(2, "as asked", info.clone());
    assert_eq!(data_sent(&mut peer), [(here, 1), (other(), 1)]);
    let sack = peer.sack(2);
    peer.send(sack);
    peer.association().set_primary(second).unwrap();
    peer.collect();
    assert!(peer.events().contains(&Event::PrimaryChanged(second)));
    peer.host_send(1, "the user's choice");
    assert_eq!(data_sent(&mut peer), [(other(), 1)]);
    // Its time-out makes another of it, whether asked for or not.
    peer.advance_to_packet();
    assert_eq!(
        path_at(&mut peer, other()).state,
        PathState::PotentiallyFailed
    );
    assert_eq!(data_sent(&mut peer), [(here, 1)], "again, by the other");
    let sack = peer.sack(3);
    peer.send(sack);
    peer.host_send_with(2, "as asked", info);
    assert_eq!(data_sent(&mut peer), [(here, 1)]);
}

//= RFC 9260 §6.4, test
//# Furthermore, when its peer is multi-homed, an endpoint SHOULD try to...
//= RFC 9260 §6.3.3, test
//# The RTO to be used for starting T3-rtx SHOULD be the one...
//= RFC 9260 §8.2, test
//# When its peer endpoint is multi-homed, an endpoint SHOULD keep an...
#[test]
fn what_timed_out_goes_again_by_the_other_path_and_by_its_time_out() {
    let mut peer = confirmed(|c| {
        c.tail_loss_probes(false)
            .potentially_failed_max_retrans(None)
            .rto_max(8 * SECOND);
    });
    let here = peer.addr;
    peer.host_send(1, "lost");
    data_sent(&mut peer);
    // The other has measured its round trip: its time-out is the least there is.
    assert_eq!(peer.advance_to_packet(), SECOND);
    assert_eq!(data_sent(&mut peer), [(other(), 1)]);
    assert_eq!(peer.advance_to_packet(), 400 * MS);
    assert_eq!(
        data_sent(&mut peer),
        [(here, 1)],
        "and back, as that has timed out too"
    );
    let errors = |peer: &mut Peer, remote| path_at(peer, remote).stats.errors;
    assert_eq!(
        (errors(&mut peer, here), errors(&mut peer, other())),
        (1, 1)
    );
    assert_eq!(peer.advance_to_packet(), 2 * SECOND);
    assert_eq!(
        (errors(&mut peer, here), errors(&mut peer, other())),
        (2, 1)
    );
}

//= RFC 9260 §6.4, test
//# When its peer is multi-homed, an endpoint SHOULD send fast retransmissions to...
//= RFC 9260 §7.2.1, test
//# In instances where its peer endpoint is multi-homed, if an endpoint...
//= RFC 9260 §7.2, test
//# Unlike TCP, an SCTP sender MUST keep a set of...
#[test]
fn a_fast_retransmission_stays_on_its_path_and_so_do_the_windows() {
    let mut peer = confirmed(|_| {});
    let (here, before) = (peer.addr, path_at(&mut peer, other()).stats.cwnd);
    peer.host_send(1, vec![0; 40_000]);
    let sent: usize = data_sent(&mut peer).iter().map(|(_, chunks)| chunks).sum();
    assert!(sent >= 3);
    for gap in 2..=4 {
        let sack = peer.sack(0).gap(2, gap);
        peer.send(sack);
    }
    let again = data_sent(&mut peer);
    assert!(
        !again.is_empty() && again.iter().all(|(to, _)| *to == here),
        "{again:?}"
    );
    assert_eq!(path_at(&mut peer, other()).stats.cwnd, before);
    assert_eq!(path_at(&mut peer, other()).stats.flight, 0);
}

//= RFC 9260 §6.4, test
//# However, an endpoint SHOULD NOT vary the destination transport address of...
//= RFC 9260 §6.7, test
//# When its peer is multi-homed, the SCTP endpoint SHOULD always try...
#[test]
fn a_sack_goes_where_the_data_came_from_or_elsewhere_if_that_came_twice() {
    let mut peer = confirmed(|_| {});
    let here = peer.addr;
    let sack_to = |peer: &mut Peer, from: SocketAddr, tsn: u32| {
        let chunk = data(1).tsn(tsn).unordered().payload("x").immediate().be();
        peer.send_chunk_from(from, chunk);
        let sacks = peer
            .receive_all()
            .into_iter()
            .filter(|r| r.kinds().contains(&kind::SACK));
        let to: Vec<_> = sacks.map(|received| received.to).collect();
        assert_eq!(to.len(), 1, "one SACK for {tsn}");
        to[0]
    };
    let first = 1;
    for n in 0..3 {
        assert_eq!(sack_to(&mut peer, other(), first + n), other());
    }
    for n in 3..6 {
        assert_eq!(sack_to(&mut peer, here, first + n), here);
    }
    assert_eq!(
        sack_to(&mut peer, here, first),
        other(),
        "the last one got lost"
    );
    assert_eq!(sack_to(&mut peer, here, first + 6), here);
}

#[test]
fn a_sack_that_the_system_refuses_to_send_goes_the_other_way() {
    let mut peer = confirmed(|_| {});
    let here = peer.addr;
    let mut sacks_of = |tsn| -> Vec<SocketAddr> {
        peer.send(data(1).tsn(tsn).payload("x").immediate().be());
        let all = peer.receive_all().into_iter();
        let sacks = all.filter(|received| received.kinds().contains(&kind::SACK));
        let to = sacks.map(|received| received.to).collect();
        // From the next on, one address more.
        let next = if tsn == 1 { here } else { other() };
        peer.host.unreachable.push(next.ip());
        to
    };
    assert_eq!(sacks_of(1), [here]);
    assert_eq!(sacks_of(2), [other()], "and once");
    assert_eq!(sacks_of(3), [], "no going round between the two");
}

//= RFC 9260 §7.3, test
//# The sender SHOULD track an AMDCS that will be the smallest PMDCS...
//= RFC 9260 §7.3, test
//# When fragmenting messages into multiple parts, this AMDCS SHOULD be used...
//= RFC 9260 §7.3, test
//# An endpoint MUST maintain separate PMTU estimates for each destination...
//= RFC 9260 §6.9, test
//# If its peer is multi-homed, the endpoint SHOULD choose a DATA chunk...
//= RFC 9260 §6.10, test
//# If its peer endpoint is multi-homed, the sending endpoint SHOULD choose a...
#[test]
fn chunks_fit_every_path_and_packets_theirs() {
    let mut peer = confirmed(|c| {
        c.path_mtu(1500).min_path_mtu(576);
    });
    let second = path_at(&mut peer, other()).id;
    let now = peer.now;
    peer.association().handle_packet_too_big(now, second, 1000);
    let here = peer.addr;
    let (wide, narrow) = (path_at(&mut peer, here), path_at(&mut peer, other()));
    assert_eq!(wide.stats.max_packet, 1472);
    assert!(narrow.stats.max_packet < 1000);
    peer.host_send(1, vec![0; 20_000]);
    let packets = peer.receive_all();
    let limit = narrow.stats.max_packet - 12;
    for received in &packets {
        for chunk in &received.packet.chunks {
            assert!(
                chunk.value.len() + 4 <= limit,
                "a chunk of {}",
                chunk.value.len() + 4
            );
        }
        assert!(received.len <= 1472);
    }
    assert!(
        packets
            .iter()
            .any(|received| received.len > narrow.stats.max_packet)
    );
}

// ---- failures ---------------------------------------------------------------------------------

fn changes(pair: &mut Pair, side: Side) -> Vec<(usize, PathState)> {
    let events = pair.events(side).into_iter();
    events
        .filter_map(|event| match event {
            Event::PathChanged { path, state } => Some((path.index(), state)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_path_that_times_out_fails_potentially_then_for_good_and_comes_back() {
    let builder = two_by_two().both(|c| {
        c.tail_loss_probes(false)
            .heartbeat_interval(Some(5 * SECOND))
            .rto_max(4 * SECOND);
    });
    let mut pair = connect(builder);
    cut(&mut pair, A);
    pair.send(Client, 1, "over the other");
    pair.drive_for(SECOND);
    assert_eq!(pair.recv(Server, 1).unwrap(), "over the other");
    assert_eq!(
        changes(&mut pair, Client)[0],
        (0, PathState::PotentiallyFailed)
    );
    // HEARTBEATs go there once per time-out; the sixth failure is one too many.
    pair.drive_for(30 * SECOND);
    assert_eq!(state(&mut pair, Client, 0), PathState::Inactive);
    let straight = ends(&mut pair, Client)
        .iter()
        .position(|ends| *ends == (1, 1));
    assert_eq!(
        state(&mut pair, Client, straight.unwrap()),
        PathState::Active
    );
    assert!(pair.established());
    pair.events(Client);
    pair.net.clear_scripts();
    pair.drive_for(20 * SECOND);
    assert!(changes(&mut pair, Client).contains(&(0, PathState::Active)));
    let seen = record(&mut pair);
    pair.send(Client, 1, "the old way");
    pair.drive_for(SECOND);
    assert_eq!(pair.recv(Server, 1).unwrap(), "the old way");
    let seen = seen.lock().unwrap();
    let probes = [kind::HEARTBEAT, kind::HEARTBEAT_ACK];
    assert!(
        seen.iter()
            .all(|(_, datagram)| !within(datagram, B)
                || probes.iter().any(|kind| datagram.has(*kind)))
    );
}

//= RFC 9260 §8.1, test
//# Unacknowledged HEARTBEAT chunks observed on paths different from the path currently...
//= RFC 9260 §8.2, test
//# If more than one alternate address is active when the primary path...
#[test]
fn paths_that_idle_and_die_do_not_end_the_association() {
    let three = ["10.0.0.2:9899", "10.1.0.2:9899", "10.2.0.2:9899"];
    let builder = Pair::builder().addrs(&[A[0]], &three).audited().both(|c| {
        c.heartbeat_interval(Some(SECOND))
            .association_max_retrans(3)
            .path_max_retrans(2)
            .rto_max(2 * SECOND);
    });
    let mut pair = connect(builder);
    assert_eq!(paths(&mut pair, Client).len(), 3);
    cut(&mut pair, ["10.1.0.1:9899", "10.1.0.2:9899"]);
    pair.drive_for(60 * SECOND);
    assert!(pair.established());
    let states: Vec<_> = paths(&mut pair, Client)
        .iter()
        .map(|path| path.state)
        .collect();
    assert_eq!(
        states.iter().filter(|s| **s == PathState::Inactive).count(),
        1
    );
    // Now the primary: of the others, one carries all.
    pair.net.clear_scripts();
    pair.drive_for(10 * SECOND);
    cut(&mut pair, ["10.9.0.1:9899", three[0]]);
    let seen = record(&mut pair);
    pair.send(Client, 1, vec![0; 30_000]);
    pair.drive_for(10 * SECOND);
    assert_eq!(pair.recv(Server, 1).unwrap().len(), 30_000);
    let seen = seen.lock().unwrap();
    let carried: std::collections::HashSet<_> = seen
        .iter()
        .filter(|(_, datagram)| datagram.has(kind::I_DATA))
        .map(|(_, datagram)| datagram.to)
        .collect();
    assert_eq!(carried.len(), 1, "{carried:?}");
}

#[test]
fn an_association_whose_paths_have_all_failed_tries_them_in_turn() {
    let builder = two_by_two().both(|c| {
        c.association_max_retrans(60)
            .path_max_retrans(1)
            .rto_max(2 * SECOND);
    });
    let mut pair = connect(builder);
    pair.net.links(|link| link.down = true);
    let addresses = |list: [&str; 2]| list.map(|a| a.parse::<SocketAddr>().unwrap().ip());
    let all = [addresses(A), addresses(B)].concat();
    for from in &all {
        for to in &all {
            pair.net.link(*from, *to).down = true;
        }
    }
    pair.send(Client, 1, "at last");
    pair.drive_for(40 * SECOND);
    for path in paths(&mut pair, Client) {
        assert_eq!(path.state, PathState::Inactive, "{path:?}");
    }
    // One of the four is there again, and not the primary.
    let [_, _, here, there] = [all[0], all[1], all[2], all[3]];
    pair.net.link(here, there).down = false;
    pair.net.link(there, here).down = false;
    pair.drive_for(20 * SECOND);
    assert_eq!(pair.recv(Server, 1).unwrap(), "at last");
    assert!(pair.established());
}

#[test]
fn a_primary_that_fails_too_often_is_replaced_for_good() {
    let builder = two_by_two().both(|c| {
        c.heartbeat_interval(Some(SECOND))
            .primary_switchover_max_retrans(Some(2))
            .rto_max(2 * SECOND);
    });
    let mut pair = connect(builder);
    cut(&mut pair, A);
    pair.send(Client, 1, "through");
    pair.drive_for(20 * SECOND);
    let primary = |pair: &mut Pair| {
        paths(pair, Client)
            .into_iter()
            .find(|p| p.is_primary)
            .unwrap()
    };
    let instead = primary(&mut pair).id;
    assert_ne!(instead.index(), 0);
    assert!(
        pair.events(Client)
            .contains(&Event::PrimaryChanged(instead))
    );
    pair.net.clear_scripts();
    pair.drive_for(20 * SECOND);
    assert_eq!(primary(&mut pair).id, instead, "it stays");
}

#[test]
fn a_path_that_lost_only_its_tail_is_back_after_a_round_trip() {
    let mut pair = connect(two_by_two());
    pair.net.drop_next(1);
    pair.send(Client, 1, "the only packet");
    pair.drive_for(SECOND);
    assert_eq!(pair.recv(Server, 1).unwrap(), "the only packet");
    let expected = [(0, PathState::PotentiallyFailed), (0, PathState::Active)];
    assert_eq!(changes(&mut pair, Client), expected);
    assert_eq!(pair.stats(Client).cross_path_failovers, 1);
}

#[test]
fn one_known_address_at_either_end_is_enough_for_failover() {
    for (client, server) in [(&[A[0], B[0]][..], &[A[1]][..]), (&[A[0]], &[A[1], B[1]])] {
        for from in [Client, Server] {
            let builder = Pair::builder().addrs(client, server);
            let builder = builder
                .link(link())
                .both(shipped)
                .untraced()
                .steps(2_000_000);
            let mut pair = connect(builder);
            let two = if client.len() == 2 { client } else { server };
            let dead: IpAddr = two[0].parse::<SocketAddr>().unwrap().ip();
            bulk(&mut pair, from, SECOND / 2, |_| {});
            pair.net
                .script(move |_, d| match d.from.ip() == dead || d.to.ip() == dead {
                    true => Verdict::Drop,
                    false => Verdict::Pass,
                });
            let (silence, _) = bulk(&mut pair, from, SECOND, |_| {});
            assert!(silence < 500 * MS, "{from:?}, {silence:?}");
        }
    }
}

// ---- addresses that come and go --------------------------------------------------------------

fn set_addresses(pair: &mut Pair, side: Side, addrs: &[&str]) {
    let ip = |text: &&str| text.parse::<SocketAddr>().unwrap().ip();
    let up: Vec<IpAddr> = addrs.iter().map(ip).collect();
    pair.set_addresses(side, |ip| up.contains(&ip));
}

#[test]
fn an_interface_that_goes_takes_its_paths_along_and_data_moves_on() {
    let mut pair = connect(two_by_two().link(link()).both(shipped).steps(2_000_000));
    bulk(&mut pair, Client, SECOND / 2, |_| {});
    cut(&mut pair, A);
    set_addresses(&mut pair, Client, &[B[0]]);
    let (silence, _) = bulk(&mut pair, Client, SECOND, |_| {});
    assert!(silence < 150 * MS, "{silence:?}");
    assert_eq!(ends(&mut pair, Client), [(1, 1), (1, 0)]);
    let events = pair.events(Client);
    let removed = events
        .iter()
        .filter(|e| matches!(e, Event::PathRemoved(_)))
        .count();
    assert_eq!(removed, 2, "{events:?}");
    assert!(events.iter().any(|e| matches!(e, Event::PrimaryChanged(_))));
    // It comes again: the peer knows it of old, or has to be told first.
    pair.net.clear_scripts();
    set_addresses(&mut pair, Client, &[A[0], B[0]]);
    bulk(&mut pair, Client, SECOND, |_| {});
    // The last one stays, for there has to be one.
    set_addresses(&mut pair, Client, &[]);
    assert_eq!(paths(&mut pair, Client).len().min(1), 1);
    pair.drive_for(SECOND);
}

#[test]
fn a_download_goes_on_at_once_when_the_client_loses_the_address_it_comes_to() {
    let loopback = "127.0.0.1:9899";
    let bbr = |c: &mut AssociationConfig| {
        shipped(c);
        c.congestion_control(CongestionControl::Bbr);
    };
    for at in 0..3 {
        let builder = two_by_two().link(link()).both(bbr);
        let mut pair = connect(builder.untraced().steps(5_000_000));
        pair.client.addrs.push(loopback.parse().unwrap());
        bulk(&mut pair, Server, SECOND + at * 137 * MS, |_| {});
        // Nothing comes to the address, or leaves from it or by its network. A SACK is refused
        // before the driver hears of that.
        cut(&mut pair, A);
        let gone = A.map(|text| text.parse::<SocketAddr>().unwrap().ip());
        pair.client.unreachable.extend(gone);
        let mut told = Some(pair.now + 5 * MS);
        let (silence, _) = bulk(&mut pair, Server, 200 * MS, |pair| {
            if told.take_if(|at| *at <= pair.now).is_some() {
                set_addresses(pair, Client, &[loopback, B[0]]);
            }
        });
        // The news is on its way for 25 ms, as is what comes again by the other path, and a message
        // is several packets.
        assert!(silence < 120 * MS, "{silence:?}");
        assert_eq!(ends(&mut pair, Server), [(1, 1), (0, 1)]);
    }
}

#[test]
fn paths_come_and_go_without_end() {
    let mut pair = connect(two_by_two().steps(2_000_000));
    for round in 0..60 {
        pair.send(Client, 1, vec![round; 5000]);
        let list: &[&str] = match round % 3 {
            0 => &[A[0]],
            1 => &[B[0]],
            _ => &[A[0], B[0]],
        };
        set_addresses(&mut pair, Server, &[A[1], B[1]]);
        set_addresses(&mut pair, Client, list);
        pair.drive_for(300 * MS);
        while let Some(message) = pair.recv(Server, 1) {
            assert_eq!(message.len(), 5000);
        }
    }
    pair.shutdown(Client);
    pair.drive_for(60 * SECOND);
    assert_eq!(pair.closed(Server), Some(CloseReason::Shutdown));
}

// ---- the handshake ----------------------------------------------------------------------------

#[test]
fn a_path_that_is_dead_from_the_beginning_is_passed_by() {
    let mut pair = two_by_two().build();
    cut(&mut pair, A);
    pair.start();
    pair.drive_until(Pair::established);
    assert!(pair.now < Instant::from_nanos(1_000_000_000) + 5 * SECOND);
    assert_eq!(
        ends(&mut pair, Client)[0],
        (1, 1),
        "the first that answered"
    );
}

#[test]
fn a_path_that_dies_in_the_middle_of_the_handshake_is_passed_by() {
    let mut pair = Pair::builder()
        .addrs(&[A[0]], &[A[1], B[1]])
        .audited()
        .build();
    // COOKIE ECHO goes to the second address once the first swallows it.
    let dead: IpAddr = "10.0.0.2".parse().unwrap();
    pair.net.script(move |_, datagram| {
        match datagram.has(kind::COOKIE_ECHO) && datagram.to.ip() == dead {
            true => Verdict::Drop,
            false => Verdict::Pass,
        }
    });
    pair.start();
    pair.drive_until(Pair::established);
    assert!(pair.now < Instant::from_nanos(1_000_000_000) + 5 * SECOND);
}

#[test]
fn threat_18_an_init_ack_is_three_times_its_init_whatever_it_lists() {
    let many: Vec<String> = (0..8).map(|n| format!("[fd00::{n:x}1]:9899")).collect();
    let many: Vec<SocketAddr> = many.iter().map(|a| a.parse().unwrap()).collect();
    let mut peer = Peer::client();
    peer.addr = "[fd00::99]:9899".parse().unwrap();
    peer.host.addrs = many.clone();
    peer.host
        .endpoint
        .set_local_addresses(local_addresses(&many));
    let mut most = 0;
    for padding in [0, 8, 20, 40, 60, 100, 200, 400] {
        let mut chunk = init(TAG);
        if padding > 0 {
            chunk = chunk.param(param::PADDING, &vec![0; padding - 4]);
        }
        let packet = peer.packet(0, vec![chunk.into()]).encode();
        let size = packet.len();
        peer.send_bytes(packet);
        let answer = peer.receive().expect("an INIT ACK");
        assert!(answer.len <= 3 * size, "{} bytes for {size}", answer.len);
        let init = answer.packet.chunks[0].as_init();
        let listed = init
            .params
            .iter()
            .filter(|(k, _)| *k == param::IPV6_ADDRESS)
            .count();
        assert!(listed >= most, "room for more lists more");
        most = listed;
    }
    assert_eq!(most, 8);
}
