//! Lengths that lie, at every level of what is parsed.

use std::net::SocketAddr;

use sctp_proto::AssociationState;
use sctp_tests::{
    build::{data, init, init_ack, tlv},
    codec::{Chunk, cause, kind},
    peer::{COOKIE, Peer, TAG},
};

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
