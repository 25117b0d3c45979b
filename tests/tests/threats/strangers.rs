//! Those who know addresses and ports of an association, but not its tags.

use std::{net::SocketAddr, time::Duration};

use sctp_proto::AssociationState;
use sctp_tests::{
    build::{data, heartbeat, init, init_ack, sack},
    codec::{Chunk, kind},
    net::Datagram,
    peer::{COOKIE, Peer, TAG},
    rng::Rng,
};

use crate::{assert_alive, random_packet};

#[test]
fn threat_24_a_storm_of_blind_packets_leaves_the_association_alone() {
    // An attacker who knows addresses and ports but no tag (RFC 5062).
    let mut rng = Rng::new(11);
    let mut peer = Peer::connected();
    let before = peer.events();
    assert_eq!(before, []);
    for round in 0..100_000_u32 {
        let tag = match rng.below(8) {
            0 => 0,
            1 => peer.host_tag ^ (1 << rng.below(32)),
            _ => rng.next_u64() as u32,
        };
        if tag == peer.host_tag || tag == TAG {
            continue;
        }
        let packet = random_packet(&mut rng, &peer, tag);
        // What an INIT in the storm is answered with carries the storm's tags.
        let addr = std::mem::replace(&mut peer.addr, SocketAddr::from(([10, 9, 9, 9], 9)));
        let from = if rng.chance(0.8) {
            addr
        } else {
            SocketAddr::from(([10, 0, 0, 1], rng.next_u64() as u16))
        };
        peer.send_from(from, packet);
        peer.addr = addr;
        peer.receive_all();
        assert_eq!(peer.state(), AssociationState::Established, "round {round}");
    }
    assert_eq!(peer.events(), []);
    assert_eq!(peer.host.live(), 1);
    let path = peer.association().paths().next().unwrap();
    assert_eq!(path.remote, peer.addr, "nothing moved the peer");
    assert_alive(&mut peer, 1);
}

#[test]
fn a_replayed_packet_is_old_news() {
    let mut peer = Peer::connected();
    let mut old = Vec::new();
    for tsn in 1..=20 {
        let packet = peer.packet(peer.host_tag, vec![data(1).tsn(tsn).seq(tsn - 1).be()]);
        old.push(packet.encode());
        peer.send_bytes(packet.encode());
        peer.host_recv(1).unwrap();
    }
    for packet in old.iter().cycle().take(1000) {
        peer.send_bytes(packet.clone());
        assert_eq!(peer.host_recv(1), None);
        peer.receive_all();
    }
    assert_alive(&mut peer, 21);
}

#[test]
fn a_forged_init_ack_during_set_up_needs_the_tag() {
    let mut peer = Peer::server();
    let own = peer.expect(kind::INIT).as_init();
    let mut rng = Rng::new(3);
    for _ in 0..1000 {
        let tag = rng.next_u64() as u32;
        if tag != own.tag {
            peer.send_tagged(tag, init_ack(0x6666, b"evil cookie"));
        }
    }
    peer.receive_all();
    assert_eq!(peer.state(), AssociationState::CookieWait);
    peer.host_tag = own.tag;
    peer.send(init_ack(TAG, COOKIE));
    assert_eq!(peer.expect(kind::COOKIE_ECHO).value, COOKIE);
}

#[test]
fn a_huge_cookie_is_echoed_or_refused() {
    let mut peer = Peer::server();
    let own = peer.expect(kind::INIT).as_init();
    peer.host_tag = own.tag;
    let cookie = vec![0xcc; 60_000];
    peer.send(init_ack(TAG, &cookie));
    peer.advance(Duration::from_secs(60));
    for received in peer.receive_all() {
        assert!(received.len <= 65_507, "{} bytes", received.len);
    }
}

#[test]
fn threat_24_a_million_blind_packets_are_survived() {
    // The same packets over and over, by the shortest way into the host.
    let mut rng = Rng::new(12);
    let mut peer = Peer::connected();
    peer.host_send(1, vec![0; 3000]);
    peer.receive_all();
    let storm: Vec<Datagram> = (0..2000)
        .map(|number| {
            let tag = peer.host_tag ^ (1 + rng.below(u32::MAX as usize) as u32);
            let port = if number % 4 == 0 { 9 } else { peer.addr.port() };
            Datagram {
                from: SocketAddr::new(peer.addr.ip(), port),
                to: peer.host.addrs[0],
                payload: random_packet(&mut rng, &peer, tag),
                dont_fragment: true,
                ecn: None,
            }
        })
        .collect();
    let before = peer.association().stats();
    for _ in 0..1_000_000 / storm.len() {
        for datagram in &storm {
            peer.host.receive(peer.now, datagram.clone());
            while peer.host.take_packet().is_some() {}
        }
        peer.host.poll(peer.now);
        while peer.host.take_packet().is_some() {}
    }
    let after = peer.association().stats();
    assert_eq!(after.sacks_received, before.sacks_received);
    assert_eq!(after.data_chunks_received, before.data_chunks_received);
    assert_eq!(peer.host.live(), 1);
    assert_eq!(peer.events(), []);
    let path = peer.association().paths().next().expect("a path");
    assert_eq!(path.remote, peer.addr, "nothing moved the peer");
    peer.receive_all();
    assert_alive(&mut peer, 1);
}

#[test]
fn threat_15_only_a_packet_with_the_right_tag_moves_the_udp_port() {
    // The encapsulation port moved before the tag was checked (Linux 4349770).
    let moved = SocketAddr::from(([10, 0, 0, 1], 40_000));
    let remote = |peer: &mut Peer| peer.association().paths().next().expect("a path").remote;
    let mut peer = Peer::connected();
    let home = peer.addr;
    let chunks = || {
        let chunk = data(9).tsn(2).seq(1).be();
        [
            chunk,
            heartbeat(&[7; 8]),
            sack(0).into(),
            Chunk::new(200, 0, &[]),
        ]
    };
    for tag in [
        0,
        TAG,
        peer.host_tag ^ 1,
        peer.host_tag.swap_bytes(),
        u32::MAX,
    ] {
        for chunk in chunks() {
            let packet = peer.packet(tag, vec![chunk]);
            peer.addr = moved;
            peer.tag = tag;
            peer.send_from(moved, packet.encode());
            (peer.addr, peer.tag) = (home, TAG);
            peer.receive_all();
            assert_eq!(remote(&mut peer), home, "moved by tag {tag:#x}");
        }
    }
    // A damaged packet, and an INIT, move nothing either.
    let mut damaged = peer
        .packet(peer.host_tag, vec![heartbeat(&[7; 8])])
        .encode();
    damaged[20] ^= 1;
    peer.send_from(moved, damaged);
    let packet = peer.packet(0, vec![init(TAG).into()]).encode();
    peer.addr = moved;
    peer.send_from(moved, packet);
    peer.addr = home;
    peer.receive_all();
    assert_eq!(remote(&mut peer), home);
    // The right tag does.
    let packet = peer.packet(peer.host_tag, vec![data(9).payload("ping").be()]);
    peer.addr = moved;
    peer.send_from(moved, packet.encode());
    assert_eq!(remote(&mut peer), moved);
    assert_eq!(peer.host_recv(9).unwrap(), "ping");
    let answers = peer.receive_all();
    assert!(answers.iter().all(|answer| answer.to == moved));
}
