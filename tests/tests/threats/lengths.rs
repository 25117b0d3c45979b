//! Lengths that lie, at every level of what is parsed.

use std::net::SocketAddr;

use sctp_proto::AssociationState;
use sctp_tests::{
    build::{cookie_echo, data, init, init_ack, tlv},
    codec::{Chunk, cause, kind},
    peer::{COOKIE, Peer, TAG},
};

use crate::assert_alive;

#[test]
fn threat_11_every_length_of_every_chunk_is_survived() {
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
fn threat_01_every_length_of_every_parameter_is_survived() {
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
fn threat_07_sixteen_thousand_empty_causes_are_one_loop() {
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
fn threat_02_every_length_of_the_parameters_of_auth_is_survived() {
    // CVE-2020-6831: RANDOM, CHUNKS and HMAC-ALGO copied into arrays of a fixed size.
    let lengths = [
        0, 1, 2, 3, 4, 19, 20, 31, 32, 33, 63, 64, 65, 127, 128, 254, 255, 256, 257, 1023, 1024,
        4095, 4096, 32_767, 32_768, 65_000, 65_400,
    ];
    const RANDOM: u16 = 0x8002;
    const HMAC_ALGORITHMS: u16 = 0x8004;
    for kind in [RANDOM, 0x8003, HMAC_ALGORITHMS] {
        for length in lengths {
            let value = vec![0xa5; length];
            let mut peer = Peer::client();
            // Identifiers of two bytes each do not come in odd lengths; a random number has 32. The
            // others mean nothing without one: tests/auth.rs has them with one.
            let refused = match kind {
                RANDOM => length != 32,
                HMAC_ALGORITHMS => length % 2 == 1,
                _ => false,
            };
            if refused {
                peer.send_tagged(0, init(TAG).param(kind, &value));
                peer.expect(kind::ABORT);
                let mut peer = Peer::server();
                peer.answer_init(init_ack(TAG, COOKIE).param(kind, &value));
                peer.expect(kind::ABORT);
                continue;
            }
            let answer = peer.init(init(TAG).param(kind, &value));
            peer.send(cookie_echo(&answer.cookie()));
            peer.expect(kind::COOKIE_ACK);
            assert_alive(&mut peer, 1);
            let mut peer = Peer::server();
            peer.answer_init(init_ack(TAG, COOKIE).param(kind, &value));
            assert_eq!(peer.expect(kind::COOKIE_ECHO).value, COOKIE);
        }
        // Lengths that are not those of what follows.
        for length in (0..=64).chain(65_472..=65_535_u16) {
            let mut raw = tlv(kind, &[0xa5; 40]);
            raw[2..4].copy_from_slice(&length.to_be_bytes());
            let mut peer = Peer::client();
            peer.send_tagged(0, init(TAG).raw(&raw));
            assert!(peer.receive_all().len() <= 1);
        }
    }
}

#[test]
fn threat_05_lengths_below_a_header_stop_no_host() {
    // usrsctp#352, sipsorcery#1758, aiortc: a length of zero, and the walk stands still. Two items
    // with lengths of 0 to 4, as chunks and as what chunks are made of.
    let mut peer = Peer::connected();
    for (first, second) in (0..=4).flat_map(|first| (0..=4).map(move |second| (first, second))) {
        let items = [0, 8, 0, first, 0, 8, 0, second];
        let mut packet = peer.packet(peer.host_tag, vec![]).encode();
        packet.extend_from_slice(&items);
        peer.send_sealed(packet);
        for kind in [
            kind::ERROR,
            kind::RE_CONFIG,
            kind::HEARTBEAT,
            kind::INIT_ACK,
        ] {
            let fixed: &[u8] = if kind == kind::INIT_ACK {
                &[1; 16]
            } else {
                &[]
            };
            peer.send(Chunk::new(kind, 0, &[fixed, &items].concat()));
            peer.send(Chunk::new(kind, 0, &[fixed, &tlv(8, &items)].concat()));
        }
        let addr = std::mem::replace(&mut peer.addr, SocketAddr::from(([10, 9, 9, 9], 9)));
        let bad_init = init(TAG).raw(&items);
        let packet = peer.packet(0, vec![bad_init.into()]).encode();
        peer.send_from(addr, packet);
        peer.addr = addr;
        assert!(peer.receive_all().len() <= 9 + 1);
    }
    assert_alive(&mut peer, 1);
}

#[test]
fn threat_07_causes_within_causes_are_no_recursion() {
    // As deep as an ERROR can be: each cause is all that the one around it holds.
    let mut value = Vec::new();
    for depth in (1..16_000_u16).rev() {
        let length = (16_000 - depth) * 4;
        value.splice(0..0, [0, 8, (length >> 8) as u8, length as u8]);
    }
    for kind in [kind::ERROR, kind::ABORT] {
        let mut peer = Peer::connected();
        peer.send(Chunk::new(kind, 0, &value));
        let closed = peer.state() == AssociationState::Closed;
        assert_eq!(closed, kind == kind::ABORT);
    }
}
