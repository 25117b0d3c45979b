//! What paths carry is found out by probes (RFC 8899), and found out anew when it changes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use sctp_proto::{AssociationConfig, IcmpKind, PathId};
use sctp_tests::{
    build::{heartbeat, heartbeat_ack},
    codec::{Packet, kind},
    net::{Datagram, Link, Verdict},
    pair::{
        Pair,
        Side::{self, Client, Server},
    },
    peer::Peer,
};

const SECOND: Duration = Duration::from_secs(1);
/// IPv4 and UDP headers.
const HEADERS: usize = 28;
/// Chunks are multiples of four bytes.
const fn packet(mtu: usize) -> usize {
    (mtu - HEADERS) & !3
}

fn search(config: &mut AssociationConfig) {
    config.plpmtud(true);
}

/// A pair whose links carry IP packets of so many bytes.
fn pair(mtu: usize) -> Pair {
    pair_with(mtu, |_| {})
}

fn pair_with(mtu: usize, change: impl Fn(&mut AssociationConfig)) -> Pair {
    let link = Link {
        max_payload: mtu - HEADERS,
        ..Link::default()
    };
    let builder = Pair::builder().audited().link(link);
    let mut pair = builder
        .both(|c| {
            search(c);
            change(c);
        })
        .build();
    pair.connect();
    pair
}

fn narrow(pair: &mut Pair, mtu: usize) {
    pair.net.links(|link| link.max_payload = mtu - HEADERS);
}

/// Sends so many bytes, and sees that they arrive.
fn transfer(pair: &mut Pair, bytes: usize) {
    let data: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
    pair.send(Client, 1, data.clone());
    let mut received = Vec::new();
    while received.len() < bytes {
        assert!(pair.step(), "stalled: {}", pair.summary());
        while let Some(message) = pair.conn(Server).association.recv(sctp_proto::StreamId(1)) {
            received.extend_from_slice(&message.data.into_bytes());
        }
    }
    assert!(received == data, "other bytes arrived");
}

/// Packets of one side.
type Packets = Arc<Mutex<Vec<Datagram>>>;

fn record(pair: &mut Pair, side: Side) -> Packets {
    let packets = Packets::default();
    let list = Arc::clone(&packets);
    pair.script_from(side, move |_, datagram| {
        list.lock().unwrap().push(datagram.clone());
        Verdict::Pass
    });
    packets
}

fn is_probe(datagram: &Datagram) -> bool {
    datagram.has(kind::PAD)
}

#[test]
fn packets_grow_to_what_the_path_carries() {
    for mtu in [1280, 1400, 1420, 1492, 1500, 4352, 8500, 9000, 65_535] {
        let mut pair = pair(mtu);
        transfer(&mut pair, 400_000);
        pair.drive();
        let path = pair.path(Client);
        assert_eq!(path.max_packet, packet(mtu), "{mtu}");
        let stats = pair.stats(Client);
        assert_eq!(stats.t3_expiries + stats.fast_retransmits, 0, "{mtu}");
        assert_eq!(stats.data_chunks_retransmitted, 0, "{mtu}");
        assert_eq!(path.black_holes, 0);
        assert!(path.mtu_probes_sent >= path.mtu_probes_acked);
    }
}

#[test]
fn large_packets_carry_most_of_a_transfer() {
    let mut pair = pair(9000);
    let packets = record(&mut pair, Client);
    transfer(&mut pair, 500_000);
    let packets = packets.lock().unwrap();
    let data = packets.iter().filter(|p| p.has(kind::I_DATA));
    // 500,000 bytes take 404 packets at 1,280 and 56 at 9,000.
    assert!(data.count() < 100);
}

#[test]
fn a_probe_is_a_padded_heartbeat_alone_in_its_packet() {
    let mut pair = pair(1500);
    let packets = record(&mut pair, Client);
    let answers = record(&mut pair, Server);
    transfer(&mut pair, 100_000);
    pair.drive();
    let packets = packets.lock().unwrap();
    let probes: Vec<_> = packets.iter().filter(|p| is_probe(p)).collect();
    assert!(!probes.is_empty());
    for probe in &probes {
        let packet = Packet::decode(&probe.payload).unwrap();
        let [heartbeat, pad] = &packet.chunks[..] else {
            panic!("{packet:?}");
        };
        assert_eq!((heartbeat.kind, pad.kind), (kind::HEARTBEAT, kind::PAD));
        assert!(pad.value.iter().all(|byte| *byte == 0));
        assert!(probe.dont_fragment);
    }
    let sizes: Vec<_> = probes.iter().map(|p| p.payload.len() + HEADERS).collect();
    assert_eq!(sizes, [1500, 9000, 9000, 9000, 1520, 1520, 1520]);
    // The answer is as small as any.
    let answers = answers.lock().unwrap();
    let acks = answers.iter().filter(|p| p.has(kind::HEARTBEAT_ACK));
    assert!(acks.clone().count() > 0);
    assert!(acks.into_iter().all(|p| p.payload.len() < 100));
    // No data is ever larger than what was answered.
    let mut confirmed = 1280;
    for packet in packets.iter().filter(|p| !is_probe(p)) {
        let size = packet.payload.len() + HEADERS;
        assert!(size <= 1500);
        confirmed = confirmed.max(size);
    }
    assert_eq!(confirmed, 1500);
}

#[test]
fn one_probe_is_under_way_at_a_time() {
    let mut pair = pair(1300);
    let times = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&times);
    pair.script_from(Client, move |now, datagram| {
        if is_probe(datagram) {
            list.lock().unwrap().push((now, datagram.payload.len()));
        }
        Verdict::Pass
    });
    transfer(&mut pair, 200_000);
    pair.drive();
    let times = times.lock().unwrap();
    let mut sizes: Vec<usize> = times.iter().map(|(_, size)| *size).collect();
    for pair in times.windows(2) {
        let gap = pair[1].0 - pair[0].0;
        let answered = pair[0].1 <= packet(1300);
        assert!(answered || gap >= SECOND, "{pair:?}");
    }
    sizes.dedup();
    assert!(times.len() <= 3 * sizes.len());
}

#[test]
fn what_carries_little_is_not_probed() {
    let mut pair = pair(9000);
    for _ in 0..1000 {
        pair.send(Client, 1, vec![1; 100]);
        pair.drive();
        pair.recv(Server, 1).unwrap();
    }
    assert_eq!(pair.path(Client).mtu_probes_sent, 0);
    assert_eq!(pair.path(Client).max_packet, packet(1280));
    assert_eq!(pair.conn(Client).association.poll_timeout(), None);
}

#[test]
fn switched_off_nothing_is_probed() {
    let mut pair = pair_with(9000, |c| _ = c.plpmtud(false));
    let packets = record(&mut pair, Client);
    transfer(&mut pair, 300_000);
    pair.drive();
    assert!(packets.lock().unwrap().iter().all(|p| !is_probe(p)));
    assert_eq!(pair.path(Client).max_packet, packet(1280));
}

#[test]
fn nothing_larger_than_allowed_is_tried() {
    let mut pair = pair_with(9000, |c| _ = c.max_path_mtu(1500));
    transfer(&mut pair, 300_000);
    pair.drive();
    assert_eq!(pair.path(Client).max_packet, packet(1500));
    assert_eq!(pair.path(Client).mtu_probes_sent, 1);
}

#[test]
fn a_search_that_is_over_wakes_nobody() {
    let mut pair = pair(1400);
    transfer(&mut pair, 100_000);
    pair.drive();
    assert_eq!(pair.conn(Client).association.poll_timeout(), None);
    let sent = pair.path(Client).mtu_probes_sent;
    pair.drive_for(3600 * SECOND);
    assert_eq!(pair.path(Client).mtu_probes_sent, sent);
}

#[test]
fn a_path_that_has_become_wide_is_used_after_the_raise_timer() {
    let mut pair = pair(1400);
    transfer(&mut pair, 100_000);
    pair.drive();
    assert_eq!(pair.path(Client).max_packet, packet(1400));
    narrow(&mut pair, 9000);
    pair.drive_for(500 * SECOND);
    transfer(&mut pair, 100_000);
    pair.drive();
    assert_eq!(pair.path(Client).max_packet, packet(1400), "too soon");
    pair.drive_for(200 * SECOND);
    transfer(&mut pair, 100_000);
    pair.drive();
    assert_eq!(pair.path(Client).max_packet, packet(9000));
}

#[test]
fn a_path_that_becomes_narrow_under_load_is_noticed() {
    for (before, after) in [(1500, 1400), (9000, 1500), (65_535, 1280), (1500, 1280)] {
        let mut pair = pair(before);
        transfer(&mut pair, 400_000);
        pair.drive();
        assert_eq!(pair.path(Client).max_packet, packet(before));
        let data: Vec<u8> = vec![7; 900_000];
        pair.send(Client, 1, data.clone());
        pair.drive_for(Duration::from_millis(25));
        narrow(&mut pair, after);
        let began = pair.now;
        let acked = pair.stats(Client).messages_acked;
        pair.drive_until(|pair| pair.stats(Client).messages_acked > acked);
        // Two time-outs, and what it takes to send it.
        let took = pair.now - began;
        assert!(took < 10 * SECOND, "{before} to {after}: {took:?}");
        assert_eq!(pair.recv(Server, 1).unwrap(), data);
        pair.drive();
        let path = pair.path(Client);
        assert_eq!(path.black_holes, 1, "{before} to {after}");
        // It was found again as soon as there was time for it.
        transfer(&mut pair, 100_000);
        pair.drive();
        assert_eq!(pair.path(Client).max_packet, packet(after));
    }
}

/// The large messages get lost while small ones go on arriving, so that no timer runs out.
#[test]
fn a_black_hole_beside_small_messages_is_noticed() {
    let mut pair = pair(1500);
    transfer(&mut pair, 200_000);
    pair.drive();
    narrow(&mut pair, 1400);
    pair.send(Client, 1, vec![9; 20_000]);
    for _ in 0..200 {
        pair.send(Client, 2, vec![1; 50]);
        pair.drive_for(Duration::from_millis(20));
    }
    assert_eq!(pair.path(Client).black_holes, 1, "{}", pair.summary());
    pair.drive();
    assert_eq!(pair.recv(Server, 1).unwrap(), vec![9; 20_000]);
}

/// Bundles of small messages are large packets too.
#[test]
fn a_black_hole_for_bundles_is_noticed() {
    let mut pair = pair(1500);
    transfer(&mut pair, 200_000);
    pair.drive();
    narrow(&mut pair, 1400);
    for _ in 0..100 {
        pair.send(Client, 3, vec![1; 140]);
    }
    for _ in 0..200 {
        pair.send(Client, 2, vec![1; 50]);
        pair.drive_for(Duration::from_millis(20));
    }
    assert_eq!(pair.path(Client).black_holes, 1, "{}", pair.summary());
    pair.drive();
    assert_eq!(pair.stats(Client).messages_acked, 301);
}

#[test]
fn an_initial_mtu_that_is_too_large_is_noticed() {
    let mut pair = pair_with(1280, |c| _ = c.path_mtu(1500));
    transfer(&mut pair, 100_000);
    pair.drive();
    let path = pair.path(Client);
    assert_eq!((path.black_holes, path.max_packet), (1, packet(1280)));
}

#[test]
fn random_loss_is_not_taken_for_a_narrow_path() {
    for seed in 0..8 {
        let link = Link {
            max_payload: 1500 - HEADERS,
            loss: 0.1,
            ..Link::default()
        };
        let builder = Pair::builder().seed(seed).audited().link(link);
        let mut pair = builder.both(search).build();
        pair.connect();
        for _ in 0..3 {
            transfer(&mut pair, 300_000);
            pair.drive();
        }
        let path = pair.path(Client);
        // A stray one only sends the search back to where it began.
        assert!(path.black_holes <= 1, "seed {seed}: {}", pair.summary());
        assert_eq!(path.max_packet, packet(1500), "seed {seed}");
    }
}

#[test]
fn lost_probes_are_neither_congestion_nor_failures() {
    let mut pair = pair(1280);
    let before = pair.path(Client);
    pair.send(Client, 1, vec![0; 3000]);
    pair.drive();
    let path = pair.path(Client);
    assert!(path.mtu_probes_sent > path.mtu_probes_acked + 5);
    assert!(path.cwnd >= before.cwnd);
    assert_eq!((path.errors, path.t3_expiries), (0, 0));
    assert_eq!(pair.stats(Client).fast_retransmits, 0);
}

#[test]
fn a_dead_path_fails_no_size() {
    let mut pair = pair(1500);
    pair.net.links(|link| link.down = true);
    pair.send(Client, 1, vec![0; 10_000]);
    pair.drive_for(5 * SECOND);
    pair.net.links(|link| link.down = false);
    pair.drive();
    assert_eq!(pair.recv(Server, 1).unwrap(), vec![0; 10_000]);
    assert_eq!(pair.path(Client).max_packet, packet(1500));
}

/// A router that tells: nothing has to be found out by losses.
#[test]
fn what_a_router_tells_is_tried_next() {
    for mtu in [1300, 1400, 1784] {
        let mut pair = pair(mtu);
        let packets = record(&mut pair, Client);
        pair.send(Client, 1, vec![3; 200_000]);
        let mut seen = 0;
        while pair.step() {
            let sent = packets.lock().unwrap().clone();
            for datagram in &sent[seen..] {
                if datagram.payload.len() + HEADERS > mtu {
                    let kind = IcmpKind::PacketTooBig { mtu: mtu as u16 };
                    let now = pair.now;
                    pair.host(Client).icmp(now, kind, datagram);
                }
            }
            seen = sent.len();
        }
        assert_eq!(pair.recv(Server, 1).unwrap(), vec![3; 200_000]);
        let path = pair.path(Client);
        assert_eq!(path.max_packet, packet(mtu));
        assert!(path.mtu_probes_sent <= 4, "{mtu}: {path:?}");
        assert_eq!(pair.stats(Client).t3_expiries, 0);
    }
}

#[test]
fn what_the_interface_does_not_carry_is_not_waited_for() {
    let mut peer = Peer::connected_with(search);
    peer.host_send(1, vec![0; 3000]);
    let mut refused = Vec::new();
    for _ in 0..100 {
        let probes: Vec<_> = (peer.receive_all().into_iter())
            .filter(|sent| sent.kinds().contains(&kind::PAD))
            .collect();
        let [probe] = &probes[..] else {
            assert!(probes.is_empty(), "one at a time");
            break;
        };
        if probe.len > packet(1500) {
            refused.push(probe.len);
            let now = peer.now;
            let path = PathId::from_index(0);
            peer.association()
                .handle_packet_too_big(now, path, probe.len);
            peer.collect();
        } else {
            let info = probe.packet.chunks[0].value[4..].to_vec();
            peer.send(heartbeat_ack(&heartbeat(&info)));
        }
    }
    assert_eq!(refused, [packet(9000), packet(1520)]);
    let path = peer.association().paths().next().unwrap().stats;
    assert_eq!(path.max_packet, packet(1500));
}

#[test]
fn only_the_nonce_of_a_probe_confirms_its_size() {
    let mut peer = Peer::connected_with(search);
    peer.host_send(1, vec![0; 3000]);
    let sent = peer.receive_all();
    let probe = sent
        .iter()
        .find(|p| p.kinds().contains(&kind::PAD))
        .unwrap();
    let info = probe.packet.chunks[0].value[4..].to_vec();
    let max_packet = |peer: &mut Peer| {
        let path = peer.association().paths().next().unwrap();
        path.stats.max_packet
    };
    for bit in 0..64 {
        let mut forged = info.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        peer.send(heartbeat_ack(&heartbeat(&forged)));
    }
    peer.send(heartbeat_ack(&heartbeat(&info[..7])));
    peer.send(heartbeat_ack(&heartbeat(&[&info[..], &[0]].concat())));
    assert_eq!(max_packet(&mut peer), packet(1280));
    peer.send(heartbeat_ack(&heartbeat(&info)));
    assert_eq!(max_packet(&mut peer), packet(1500));
    peer.send(heartbeat_ack(&heartbeat(&info)));
    assert_eq!(max_packet(&mut peer), packet(1500));
}

#[test]
fn nothing_is_probed_after_shutdown() {
    let mut pair = pair(1280);
    let packets = record(&mut pair, Client);
    pair.send(Client, 1, vec![0; 20_000]);
    pair.drive_for(Duration::from_millis(200));
    pair.shutdown(Client);
    pair.drive_for(Duration::from_millis(100));
    let before = packets.lock().unwrap().len();
    pair.drive();
    let packets = packets.lock().unwrap();
    assert!(packets[before..].iter().all(|p| !is_probe(p)));
}

/// A path that carries less than 1,280 bytes: packets are fragmented, and everything arrives.
#[test]
fn a_path_below_the_base_is_left_to_fragmentation() {
    let mut pair = pair_with(1500, |c| _ = c.rto_max(3 * SECOND));
    transfer(&mut pair, 100_000);
    pair.drive();
    narrow(&mut pair, 1000);
    transfer(&mut pair, 100_000);
    pair.drive();
    let packets = record(&mut pair, Client);
    transfer(&mut pair, 100_000);
    let packets = packets.lock().unwrap();
    let data = packets.iter().filter(|p| p.has(kind::I_DATA));
    assert!(data.clone().count() > 0);
    assert!(data.clone().all(|p| !p.dont_fragment), "{}", pair.summary());
}

/// Two networks, the first of which carries jumbo frames.
fn two_paths() -> Pair {
    let builder = Pair::builder().audited().addrs(
        &["10.0.0.1:9899", "10.1.0.1:9899"],
        &["10.0.0.2:9899", "10.1.0.2:9899"],
    );
    let mut pair = builder.both(search).build();
    pair.net.links(|link| link.max_payload = 1500 - HEADERS);
    let ends = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse::<std::net::IpAddr>().unwrap());
    for (from, to) in [(ends[0], ends[1]), (ends[1], ends[0])] {
        pair.net.link(from, to).max_payload = 9000 - HEADERS;
    }
    pair.connect();
    pair.drive_for(10 * SECOND);
    pair
}

fn sizes(pair: &mut Pair) -> Vec<usize> {
    let paths = pair.conn(Client).association.paths();
    paths.map(|path| path.stats.max_packet).collect()
}

#[test]
fn each_path_has_its_own_and_messages_are_cut_for_the_least() {
    let mut pair = two_paths();
    transfer(&mut pair, 300_000);
    pair.drive();
    let narrow = packet(1500);
    assert_eq!(sizes(&mut pair), [packet(9000), narrow, narrow, narrow]);
    let packets = record(&mut pair, Client);
    pair.send(Client, 1, vec![5; 300_000]);
    pair.drive_until(|pair| pair.path(Client).flight > 50_000);
    // The wide path dies: what was on its way fits the other.
    pair.script_from(Client, |_, datagram| match datagram.from.ip().to_string() {
        ip if ip == "10.0.0.1" => Verdict::Drop,
        _ => Verdict::Pass,
    });
    pair.drive_until(|pair| pair.stats(Client).messages_acked == 2);
    assert_eq!(pair.recv(Server, 1).unwrap(), vec![5; 300_000]);
    let packets = packets.lock().unwrap();
    assert!(packets.iter().all(|packet| packet.dont_fragment));
    let data = packets.iter().filter(|packet| packet.has(kind::I_DATA));
    let by_path = |network: &str| {
        let from = data
            .clone()
            .filter(|p| p.from.ip().to_string().starts_with(network));
        from.map(|p| p.payload.len()).max().unwrap_or(0)
    };
    // Chunks for the narrow path share a packet on the wide one.
    assert!(by_path("10.0.") > packet(1500) && by_path("10.0.") <= packet(9000));
    assert_eq!(by_path("10.1."), packet(1500));
}

#[test]
fn every_path_is_searched_when_one_has_data() {
    let mut pair = two_paths();
    pair.net.links(|link| link.max_payload = 1500 - HEADERS);
    transfer(&mut pair, 300_000);
    pair.drive();
    assert_eq!(sizes(&mut pair), [packet(1500); 4]);
    for path in pair.conn(Client).association.paths() {
        assert!(path.stats.mtu_probes_acked >= 1);
    }
}
