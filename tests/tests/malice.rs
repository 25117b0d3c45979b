//! Peers and strangers that mean harm. Each test names what has gone wrong in some stack before.

use std::{net::SocketAddr, time::Duration};

use sctp_proto::{AssociationState, CloseReason};
use sctp_tests::{
    build::{
        cookie_echo, data, error, heartbeat, i_data, init, init_ack, outgoing_reset, sack,
        shutdown, tlv,
    },
    codec::{Chunk, cause, kind, param},
    peer::{COOKIE, Peer, TAG},
    rng::Rng,
};

fn assert_alive(peer: &mut Peer, tsn: u32) {
    assert_eq!(peer.state(), AssociationState::Established);
    peer.send(data(9).tsn(tsn).payload("ping").be());
    assert_eq!(peer.host_recv(9).unwrap(), "ping");
}

/// A packet of random chunks whose lengths are right, so that it gets past the checksum and the
/// walk over chunks.
fn random_packet(rng: &mut Rng, peer: &Peer, tag: u32) -> Vec<u8> {
    let known = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 64, 130, 192, 194];
    let chunks = (0..rng.between(1, 4)).map(|_| {
        let kind = match rng.below(4) {
            0 => rng.below(256) as u8,
            _ => known[rng.below(known.len())],
        };
        let flags = rng.next_u64() as u8;
        let length = rng.below(60);
        let mut value = rng.bytes(length);
        if rng.chance(0.3) {
            // Plausible parameters rather than noise.
            let kind = [1, 5, 7, 8, 9, 13, 14, 16, 0x8008][rng.below(9)];
            value.truncate(16);
            value.extend_from_slice(&tlv(kind, &rng.bytes(8)));
        }
        Chunk::new(kind, flags, &value)
    });
    let chunks = chunks.collect();
    peer.packet(tag, chunks).encode()
}

#[test]
fn a_storm_of_blind_packets_leaves_the_association_alone() {
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
fn a_storm_with_the_right_tag_does_no_more_than_end_the_association() {
    // A peer gone mad: anything but a panic, a loop or a leak.
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let mut peer = if seed % 2 == 0 {
            Peer::connected()
        } else {
            Peer::interleaving()
        };
        peer.host_send(1, vec![0; 5000]);
        for _ in 0..100 {
            let packet = random_packet(&mut rng, &peer, peer.host_tag);
            let addr = std::mem::replace(&mut peer.addr, SocketAddr::from(([10, 9, 9, 9], 9)));
            peer.send_from(addr, packet);
            peer.addr = addr;
            peer.receive_all();
            while peer.association().recv_any().is_some() {}
            if peer.state() == AssociationState::Closed {
                break;
            }
        }
    }
}

#[test]
fn every_length_of_every_chunk_is_survived() {
    // usrsctp#352, sipsorcery#1758: lengths of zero to three, and those that lie.
    for kind in (0..=255_u8).filter(|kind| *kind != kind::ABORT) {
        let mut peer = Peer::connected();
        for length in [0, 1, 2, 3, 5, 8, 15, 16, 17, 100, 65_535] {
            for size in [0, 4, 12, 16, 40] {
                let chunk = Chunk::new(kind, 3, &vec![0; size]).forged_length(length);
                let packet = peer.packet(peer.host_tag, vec![chunk, data(9).be()]);
                let addr = std::mem::replace(&mut peer.addr, SocketAddr::from(([10, 9, 9, 9], 9)));
                peer.send_from(addr, packet.encode());
                peer.addr = addr;
                peer.receive_all();
            }
        }
    }
}

#[test]
fn every_length_of_every_parameter_is_survived() {
    // CVE-2019-20503, CVE-2020-6831: walks over parameters that trust a length.
    for kind in (0..=0x20_u16).chain(0x8000..0x8010).chain(0xc000..0xc010) {
        for length in [0, 1, 2, 3, 4, 5, 7, 8, 100, 65_535] {
            let mut raw = tlv(kind, &[0; 8]);
            raw[2..4].copy_from_slice(&u16::to_be_bytes(length));
            for chunk in [
                Chunk::from(init(TAG).raw(&raw)),
                Chunk::from(init(TAG).extensions(&[kind::I_DATA]).raw(&raw)),
            ] {
                let mut peer = Peer::client();
                peer.send_tagged(0, chunk);
                peer.receive_all();
            }
            let mut peer = Peer::server();
            let own = peer.expect(kind::INIT).as_init();
            peer.send_tagged(own.tag, init_ack(TAG, COOKIE).raw(&raw));
            let mut peer = Peer::connected();
            for carrier in [kind::RE_CONFIG, kind::ERROR, kind::HEARTBEAT, kind::ASCONF] {
                peer.send(Chunk::new(carrier, 0, &raw));
            }
            peer.send(Chunk::new(kind::ABORT, 0, &raw));
        }
    }
}

#[test]
fn sixteen_thousand_empty_causes_are_one_loop() {
    // CVE-2026-49759: causes read by recursion.
    let causes = tlv(cause::OUT_OF_RESOURCE, &[]).repeat(16_000);
    for kind in [kind::ERROR, kind::ABORT] {
        let mut peer = Peer::connected();
        peer.send(Chunk::new(kind, 0, &causes));
        let closed = peer.state() == AssociationState::Closed;
        assert_eq!(closed, kind == kind::ABORT);
    }
}

#[test]
fn errors_end_nothing() {
    for code in 0..20 {
        let mut peer = Peer::connected();
        peer.send(error(code, b"whatever"));
        assert_alive(&mut peer, 1);
    }
}

#[test]
fn a_sack_for_data_never_sent_ends_the_association() {
    // RFC 5062: an attacker who acknowledges what a victim never received; optimistic SACKs.
    for ahead in [1, 2, 1000, 0x7fff_ffff] {
        let mut peer = Peer::connected();
        let beyond = peer.host_tsn.wrapping_sub(1).wrapping_add(ahead);
        peer.send(sack(beyond));
        peer.expect_abort(cause::PROTOCOL_VIOLATION);
        assert!(matches!(
            peer.closed(),
            Some(CloseReason::PeerMisbehaved(_))
        ));
    }
}

#[test]
fn gap_blocks_that_cannot_be_are_harmless() {
    // sipsorcery#1772: counts and blocks that lie.
    let mut peer = Peer::connected();
    peer.host_send(1, vec![0; 3000]);
    let cumulative = peer.host_tsn.wrapping_sub(1);
    peer.receive_all();
    for (start, end) in [
        (0, 0),
        (1, 1),
        (5, 2),
        (2, 65_535),
        (65_535, 65_535),
        (3, 3),
    ] {
        peer.send(sack(cumulative).gap(start, end).gap(end, start));
        if peer.state() == AssociationState::Closed {
            peer = Peer::connected();
            peer.host_send(1, vec![0; 3000]);
        }
    }
    let mut value = Chunk::from(sack(peer.host_tsn.wrapping_sub(1))).value;
    value[8..12].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    peer.send(Chunk::new(kind::SACK, 0, &value));
    let mut peer = Peer::connected();
    let mut many = sack(peer.host_tsn.wrapping_sub(1));
    for i in 0..8000 {
        many = many.gap(2 * i + 2, 2 * i + 2);
    }
    peer.send(many);
}

//= RFC 9260 §6.2, test
//# If an endpoint receives a DATA chunk with no...
#[test]
fn data_without_user_data_is_answered_with_abort() {
    for chunk in [
        data(1).tsn(1).payload("").be(),
        data(1).tsn(1).payload("").m(),
    ] {
        let mut peer = Peer::connected();
        peer.send(chunk);
        let abort = peer.find(kind::ABORT).expect("ABORT (§6.2)");
        assert_eq!(abort.cause(), Some(cause::NO_USER_DATA));
        let (_, tsn) = abort.causes().remove(0);
        assert_eq!(tsn, 1_u32.to_be_bytes());
    }
    let mut peer = Peer::interleaving();
    peer.send(i_data(1).payload("").be());
    let abort = peer.find(kind::ABORT).expect("ABORT");
    assert_eq!(abort.cause(), Some(cause::NO_USER_DATA));
}

#[test]
fn fragments_that_contradict_each_other_end_the_association_or_nothing() {
    let stories: [Vec<Chunk>; 6] = [
        // A second beginning within a message.
        vec![data(1).tsn(1).b(), data(1).tsn(2).b(), data(1).tsn(3).e()],
        // An end without a beginning.
        vec![data(1).tsn(1).e(), data(1).tsn(2).m()],
        // The stream changes within a message.
        vec![data(1).tsn(1).b(), data(2).tsn(2).m(), data(1).tsn(3).e()],
        // The SSN changes within a message.
        vec![data(1).tsn(1).b(), data(1).tsn(2).seq(5).e()],
        // Order changes within a message.
        vec![data(1).tsn(1).b(), data(1).tsn(2).unordered().e()],
        // The same SSN twice.
        vec![
            data(1).tsn(1).be(),
            data(1).tsn(2).be(),
            data(1).tsn(3).be(),
        ],
    ];
    for story in stories {
        for reverse in [false, true] {
            let mut peer = Peer::connected();
            let mut chunks = story.clone();
            if reverse {
                chunks.reverse();
            }
            for chunk in chunks {
                peer.send(chunk);
                while let Some(message) = peer.association().recv_any() {
                    assert!(message.data.len() <= 12);
                }
            }
        }
    }
    let stories: [Vec<Chunk>; 4] = [
        vec![i_data(1).tsn(1).b(), i_data(1).tsn(2).b()],
        vec![
            i_data(1).tsn(1).b(),
            i_data(1).tsn(2).fsn(1).m(),
            i_data(1).tsn(3).fsn(1).e(),
        ],
        vec![
            i_data(1).tsn(1).b(),
            i_data(1).tsn(2).fsn(2).e(),
            i_data(1).tsn(3).fsn(5).m(),
        ],
        vec![i_data(1).tsn(1).fsn(9).e(), i_data(1).tsn(2).fsn(3).e()],
    ];
    for story in stories {
        for reverse in [false, true] {
            let mut peer = Peer::interleaving();
            let mut chunks = story.clone();
            if reverse {
                chunks.reverse();
            }
            for chunk in chunks {
                peer.send(chunk);
            }
            assert_eq!(peer.host_recv(1), None);
        }
    }
}

#[test]
fn a_tsn_far_ahead_costs_nothing_and_moves_nothing() {
    // sctp-proto#55: work in proportion to a distance that a peer claims.
    for ahead in [70_000, 1 << 20, 0x7fff_ffff, 0x8000_0000, u32::MAX - 5] {
        let mut peer = Peer::connected();
        peer.send(data(1).tsn(ahead).seq(1).be());
        assert_alive(&mut peer, 1);
    }
    let mut peer = Peer::connected();
    let mut forward = 0x7fff_fff0_u32.to_be_bytes().to_vec();
    forward.extend_from_slice(&[0, 1, 0, 1]);
    peer.send(Chunk::new(kind::FORWARD_TSN, 0, &forward));
    let mut peer = Peer::interleaving();
    forward.extend_from_slice(&[0; 4]);
    peer.send(Chunk::new(kind::I_FORWARD_TSN, 0, &forward));
    if peer.state() == AssociationState::Established {
        peer.send(i_data(9).tsn(1).payload("ping").be());
        assert_eq!(peer.host_recv(9).unwrap(), "ping");
    }
}

#[test]
fn unknown_chunks_are_treated_by_their_two_high_bits() {
    // 00 stop, 01 stop and report, 10 skip, 11 skip and report (§3.2).
    for (unknown, goes_on, reported) in [
        (0x3f, false, false),
        (0x7f, false, true),
        (0xbf, true, false),
        (0xff, true, true),
    ] {
        let mut peer = Peer::connected();
        peer.send_bundle(vec![
            Chunk::new(unknown, 0, b"what?"),
            data(1).payload("behind").be(),
        ]);
        let report = peer.find(kind::ERROR);
        assert_eq!(report.is_some(), reported, "{unknown:#x}");
        if let Some(report) = report {
            assert_eq!(report.cause(), Some(cause::UNRECOGNIZED_CHUNK));
            let (_, info) = report.causes().remove(0);
            assert_eq!(info[..9], [unknown, 0, 0, 9, b'w', b'h', b'a', b't', b'?']);
        }
        assert_eq!(peer.host_recv(1).is_some(), goes_on, "{unknown:#x}");
        assert_eq!(peer.state(), AssociationState::Established);
    }
}

//= RFC 9260 §12.4, test
//# When an SCTP implementation receives a packet containing multiple...
#[test]
fn one_packet_in_is_at_most_one_packet_out() {
    // RFC 5062, amplification: what a stranger sends is answered by one packet of at most three
    // times its size.
    let mut rng = Rng::new(5);
    for _ in 0..3000 {
        let mut peer = Peer::client();
        let tag = if rng.chance(0.3) {
            0
        } else {
            rng.next_u64() as u32
        };
        let packet = match rng.below(4) {
            0 => peer
                .packet(0, vec![init(rng.next_u64() as u32 | 1).into()])
                .encode(),
            _ => random_packet(&mut rng, &peer, tag),
        };
        let size = packet.len();
        let addr = std::mem::replace(&mut peer.addr, SocketAddr::from(([10, 9, 9, 9], 9)));
        peer.send_from(addr, packet);
        let answers = peer.receive_all();
        assert!(answers.len() <= 1);
        let bytes: usize = answers.iter().map(|r| r.len).sum();
        assert!(bytes <= 3 * size, "{bytes} bytes for {size}");
    }
}

#[test]
fn a_peer_that_asks_for_much_is_not_answered_with_more() {
    let mut peer = Peer::connected();
    let beats = vec![heartbeat(&[7; 100]); 10];
    peer.send_bundle(beats);
    let bytes: usize = peer.receive_all().iter().map(|r| r.len).sum();
    assert!(bytes <= 12 + 10 * 108, "{bytes}");
    // Unknown chunks to be reported: a packet full of them.
    let unknown = vec![Chunk::new(0xff, 0, &[]); 300];
    let size = 12 + 4 * 300;
    peer.send_bundle(unknown);
    let bytes: usize = peer.receive_all().iter().map(|r| r.len).sum();
    assert!(bytes <= 3 * size, "{bytes}");
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
fn requests_without_end_do_not_pile_up() {
    // Each asks for an answer; the answers of one packet fit one packet.
    let mut peer = Peer::connected();
    for number in 1..2000 {
        peer.send(outgoing_reset(number, 0, 0, &[1]));
        assert!(peer.receive_all().len() <= 1);
    }
    assert_eq!(peer.state(), AssociationState::Established);
}

#[test]
fn shutdown_with_a_tsn_of_the_future_or_past_is_survived() {
    for offset in [5_u32, 0x7fff_ffff, 0x8000_0001, u32::MAX - 3] {
        let mut peer = Peer::connected();
        peer.host_send(1, "outstanding");
        peer.receive_all();
        let tsn = peer.host_tsn.wrapping_add(offset);
        peer.send(shutdown(tsn));
        assert_ne!(peer.state(), AssociationState::ShutdownAckSent);
    }
}

#[test]
fn addresses_in_an_init_are_not_spoken_to() {
    // RFC 5062, bombing and camping: nothing goes to an address that has proved nothing.
    let mut peer = Peer::client();
    let victim = [10, 66, 66, 66];
    let answer = peer.init(init(TAG).param(param::IPV4_ADDRESS, &victim));
    peer.send(cookie_echo(&answer.cookie()));
    peer.host_send(1, vec![0; 20_000]);
    peer.advance(Duration::from_secs(5));
    for received in peer.receive_all() {
        let heartbeat = received.kinds() == [kind::HEARTBEAT];
        assert!(received.to == peer.addr || heartbeat, "{received:?}");
    }
}
