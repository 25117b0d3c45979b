//! Packets that belong to no association (§8.4), and the rules for verification tags (§8.5).

use std::{net::SocketAddr, time::Duration};

use sctp_proto::AssociationState;
use sctp_tests::{
    build::{
        bare_abort, cookie_ack, cookie_echo, data, error, heartbeat, heartbeat_ack, init, init_ack,
        sack, shutdown, shutdown_ack, shutdown_complete,
    },
    codec::{Chunk, cause, kind},
    peer::{COOKIE, Peer, TAG},
};

const STRANGE_TAG: u32 = 0x0bad_0bad;

/// One chunk of every type, as an honest peer would send it.
fn one_of_each() -> Vec<Chunk> {
    vec![
        data(1).be(),
        init_ack(TAG, COOKIE).into(),
        sack(0).into(),
        heartbeat(b"info"),
        heartbeat_ack(&heartbeat(b"info")),
        shutdown(0),
        shutdown_ack(),
        error(cause::INVALID_STREAM, &[0, 1, 0, 0]),
        error(cause::STALE_COOKIE, &[0; 4]),
        cookie_ack(),
        bare_abort(false),
        bare_abort(true),
        shutdown_complete(false),
        shutdown_complete(true),
        cookie_echo(COOKIE),
        Chunk::new(0x3f, 0, b"unknown"),
        Chunk::new(0xff, 0, b"unknown"),
    ]
}

//= RFC 9260 §8.4, test
//# If the packet contains an INIT chunk with a...
#[test]
fn an_init_out_of_the_blue_is_the_beginning_of_a_handshake() {
    let mut peer = Peer::client();
    peer.send_tagged(0, init(TAG));
    let answer = peer.receive().expect("an answer");
    assert_eq!(
        (answer.kinds(), answer.packet.tag),
        (vec![kind::INIT_ACK], TAG)
    );
}

//= RFC 9260 §8.4, test
//# After sending this ABORT chunk, the receiver of the...
#[test]
fn an_abort_is_all_that_comes_of_a_packet_out_of_the_blue() {
    let mut peer = Peer::client();
    let cookie = peer.init(init(TAG)).cookie();
    (peer.tag, peer.host_tag) = (STRANGE_TAG, STRANGE_TAG);
    peer.send_bundle(vec![
        data(1).be(),
        heartbeat(b"anybody?"),
        cookie_echo(&cookie),
        shutdown(0),
        Chunk::new(0xff, 0, b"unknown"),
    ]);
    peer.expect(kind::ABORT);
    peer.expect_nothing();
    assert_eq!(peer.host.endpoint.associations(), 0);
    assert!(peer.host.conns.is_empty() && peer.host.timeout().is_none());
}

#[test]
fn threat_18_answers_out_of_the_blue_are_no_larger_than_what_they_answer() {
    for chunk in one_of_each() {
        let mut peer = Peer::client();
        peer.tag = STRANGE_TAG;
        let packet = peer.packet(STRANGE_TAG, vec![chunk]).encode();
        let sent = packet.len();
        peer.send_bytes(packet);
        let answered: usize = peer.receive_all().iter().map(|r| r.len).sum();
        assert!(answered <= sent, "{answered} bytes for {sent}");
    }
}

#[test]
fn threat_18_answers_out_of_the_blue_are_limited_per_second() {
    let mut peer = Peer::client();
    peer.tag = STRANGE_TAG;
    let mut answers = 0;
    for _ in 0..10_000 {
        peer.send_tagged(STRANGE_TAG, data(1).be());
        answers += peer.receive_all().len();
    }
    assert!((1..=2000).contains(&answers), "{answers}");
    assert!(peer.host.endpoint.stats().replies_suppressed >= 8000);
    peer.advance(Duration::from_secs(5));
    peer.send_tagged(STRANGE_TAG, data(1).be());
    assert!(peer.receive().is_some(), "a second later it answers again");
}

#[test]
fn a_source_that_floods_out_of_the_blue_leaves_others_their_answers() {
    let mut peer = Peer::client();
    let packet = peer.packet(STRANGE_TAG, vec![data(1).be()]).encode();
    let flood = SocketAddr::from(([192, 0, 2, 66], 9899));
    for _ in 0..10_000 {
        peer.send_from(flood, packet.clone());
    }
    assert_eq!(peer.receive_all().len(), 200);
    for host in 1..=60 {
        peer.send_from(([192, 0, 2, host], 9899).into(), packet.clone());
    }
    assert_eq!(peer.receive_all().len(), 60);
}

//= RFC 9260 §8.4, test
//# If the OOTB packet is to or from a...
#[test]
fn nonsense_addresses_are_not_answered() {
    for source in ["224.0.0.1:9899", "255.255.255.255:9899", "0.0.0.0:9899"] {
        let mut peer = Peer::client();
        let source: SocketAddr = source.parse().unwrap();
        for (tag, chunk) in [(STRANGE_TAG, data(1).be()), (0, init(TAG).into())] {
            let packet = peer.packet(tag, vec![chunk]);
            peer.send_from(source, packet.encode());
            peer.expect_nothing();
        }
    }
    let mut peer = Peer::client();
    let packet = peer.packet(STRANGE_TAG, vec![data(1).be()]);
    let no_port = SocketAddr::from(([10, 0, 0, 1], 0));
    peer.send_from(no_port, packet.encode());
    peer.expect_nothing();
}

//= RFC 9260 §6.8, test
//# When an SCTP packet is received, the receiver MUST...
//= RFC 9260 §6.8, test
//# If it is not, the receiver MUST treat the...
#[test]
fn damaged_packets_are_dropped_without_a_word() {
    let mut peer = Peer::connected();
    let good = peer.packet(peer.host_tag, vec![data(1).be()]).encode();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        peer.send_bytes(bad);
        peer.expect_nothing();
    }
    for length in 0..good.len() {
        peer.send_bytes(good[..length].to_vec());
        peer.expect_nothing();
    }
    assert_eq!(peer.host_recv(1), None);
    let counted = peer.host.endpoint.stats();
    assert!(counted.bad_checksum >= good.len() as u64 * 8);
    peer.send_bytes(good);
    assert_eq!(peer.host_recv(1).unwrap(), "data");
}

//= RFC 9260 §8.5.1, test
//# If the receiver is in COOKIE-ECHOED or COOKIE-WAIT state,...
//= RFC 9260 §8.5.1, test
//# Only where no TCB exists SHOULD the sender use...
//= RFC 9260 §9.2, test
//# The sender of the INIT or COOKIE ECHO chunk...
#[test]
fn a_shutdown_ack_during_set_up_is_out_of_the_blue() {
    // §8.5.1 E, §9.2: the answer reflects the tag, and the attempt goes on.
    let mut peer = Peer::server();
    let own = peer.expect(kind::INIT).as_init();
    peer.tag = own.tag;
    peer.send_tagged(own.tag, shutdown_ack());
    let answer = peer.receive().expect("an answer");
    assert_eq!(answer.kinds(), [kind::SHUTDOWN_COMPLETE]);
    assert!(answer.packet.chunks[0].t_bit());
    assert_eq!(answer.packet.tag, own.tag);
    assert_eq!(peer.state(), AssociationState::CookieWait);
    peer.tag = TAG;
    peer.host_tag = own.tag;
    peer.send(init_ack(TAG, COOKIE));
    peer.expect(kind::COOKIE_ECHO);
}

#[test]
fn the_right_tag_from_a_wrong_address_gets_nothing() {
    let mut peer = Peer::connected();
    let elsewhere = SocketAddr::from(([10, 0, 0, 77], 9899));
    let packet = peer.packet(peer.host_tag, vec![data(1).be()]);
    peer.send_from(elsewhere, packet.encode());
    assert_eq!(peer.host_recv(1), None);
    peer.expect_nothing();
    assert_eq!(peer.association().stats().dropped_unknown_address, 1);
    assert_eq!(peer.state(), AssociationState::Established);
    // So is the right tag with wrong SCTP ports.
    let mut packet = peer.packet(peer.host_tag, vec![data(1).be()]);
    packet.source = 5001;
    peer.port = 5001;
    peer.send_bytes(packet.encode());
    peer.port = 5000;
    assert_eq!(peer.host_recv(1), None);
    assert_eq!(peer.state(), AssociationState::Established);
}
