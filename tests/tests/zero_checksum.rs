//! Packets without a checksum (RFC 9653): only where both sides have said so, each for its direction,
//! and where something below SCTP finds errors.

use std::sync::{Arc, Mutex};

use sctp_proto::{AssociationConfig, CloseReason, ErrorDetection};
use sctp_tests::{
    build::{bare_abort, cookie_echo, data, heartbeat, init},
    codec::{Chunk, Packet, kind},
    net::Verdict,
    pair::{
        Pair,
        Side::{self, Client, Server},
    },
    peer::{Peer, TAG},
};

/// Zero Checksum Acceptable.
const PARAM: u16 = 0x8001;
/// Error detection method 1.
const DTLS: [u8; 4] = [0, 0, 0, 1];

fn guarded(config: &mut AssociationConfig) {
    config.zero_checksum(Some(ErrorDetection::Dtls));
}

fn pair(client: bool, server: bool) -> Pair {
    let off = |_: &mut AssociationConfig| {};
    let choose = |on: bool| if on { guarded } else { off };
    let builder = Pair::builder().audited();
    let mut pair = builder
        .client(choose(client))
        .server(choose(server))
        .build();
    pair.client.unchecked = true;
    pair.server.unchecked = true;
    pair
}

/// Chunk types of the packets of one side, and whether each has a checksum.
type Packets = Arc<Mutex<Vec<(Vec<u8>, bool)>>>;

fn record(pair: &mut Pair, side: Side) -> Packets {
    let packets = Packets::default();
    let list = Arc::clone(&packets);
    pair.script_from(side, move |_, datagram| {
        let checked = datagram.payload[8..12] != [0; 4];
        let kinds = Packet::kinds(&datagram.payload);
        list.lock().unwrap().push((kinds, checked));
        Verdict::Pass
    });
    packets
}

fn exchange(pair: &mut Pair) {
    pair.start();
    pair.send(Client, 1, vec![1; 20_000]);
    pair.drive_until(Pair::established);
    pair.send(Server, 1, vec![2; 20_000]);
    pair.drive();
    assert_eq!(pair.recv(Server, 1).unwrap(), vec![1; 20_000]);
    assert_eq!(pair.recv(Client, 1).unwrap(), vec![2; 20_000]);
    pair.shutdown(Client);
    pair.drive();
}

#[test]
fn each_side_sends_so_if_both_have_said_so() {
    for (client, server) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut pair = pair(client, server);
        let lists = [Client, Server].map(|side| record(&mut pair, side));
        exchange(&mut pair);
        for list in lists {
            let list = list.lock().unwrap();
            let set_up = [kind::INIT, kind::INIT_ACK, kind::COOKIE_ECHO];
            for (kinds, checked) in list.iter() {
                let ends = [kind::SHUTDOWN_ACK, kind::SHUTDOWN_COMPLETE];
                let must = (kinds.iter()).any(|kind| set_up.contains(kind) || ends.contains(kind));
                assert_eq!(*checked, must || !(client && server), "{kinds:?}");
            }
            assert!(list.iter().any(|(kinds, _)| kinds.contains(&kind::I_DATA)));
        }
        for host in [&pair.client, &pair.server] {
            assert_eq!(host.endpoint.stats().bad_checksum, 0);
        }
    }
}

#[test]
fn what_is_not_promised_is_not_offered() {
    let mut peer = Peer::client();
    let answer = peer.init(init(TAG).param(PARAM, &DTLS));
    assert!(answer.params.iter().all(|(kind, _)| *kind != PARAM));
    let mut peer = Peer::client_with(guarded);
    let answer = peer.init(init(TAG));
    assert!(answer.params.contains(&(PARAM, DTLS.to_vec())));
    let mut peer = Peer::server_with(guarded);
    let sent = peer.expect(kind::INIT).as_init();
    assert!(sent.params.contains(&(PARAM, DTLS.to_vec())));
}

/// A peer that has an association with a host that takes packets without a checksum.
fn connected() -> Peer {
    let mut peer = Peer::client_with(guarded);
    peer.connect(init(TAG));
    peer
}

fn zeroed(packet: &Packet) -> Vec<u8> {
    let mut bytes = packet.encode();
    bytes[8..12].fill(0);
    bytes
}

/// How many packets the host has found to have a wrong checksum.
fn refused(peer: &Peer) -> u64 {
    peer.host.endpoint.stats().bad_checksum
}

#[test]
fn a_checksum_of_zero_is_taken_where_it_was_announced() {
    // The peer has announced nothing: what it gets has its checksum.
    let mut peer = connected();
    let packet = peer.packet(peer.host_tag, vec![heartbeat(b"zero")]);
    peer.send_bytes(zeroed(&packet));
    peer.expect(kind::HEARTBEAT_ACK);
    // A right one is as good as ever, a wrong one as bad.
    peer.send(heartbeat(b"right"));
    peer.expect(kind::HEARTBEAT_ACK);
    let mut wrong = packet.encode();
    wrong[8] ^= 1;
    peer.send_bytes(wrong);
    peer.expect_nothing();
    assert_eq!(refused(&peer), 1);
}

#[test]
fn a_checksum_of_zero_is_wrong_where_it_was_not_announced() {
    let mut peer = Peer::connected();
    let packet = peer.packet(peer.host_tag, vec![heartbeat(b"zero")]);
    peer.send_bytes(zeroed(&packet));
    peer.expect_nothing();
    assert_eq!(refused(&peer), 1);
}

#[test]
fn another_method_than_ours_is_none() {
    for method in [0, 2, u32::MAX] {
        let mut peer = Peer::client_with(guarded);
        peer.host.unchecked = true;
        peer.connect(init(TAG).param(PARAM, &method.to_be_bytes()));
        // Panics if a packet comes without a checksum.
        peer.send(heartbeat(b"checked"));
        peer.expect(kind::HEARTBEAT_ACK);
    }
}

/// Whoever cannot be known to go through what guards the association has to have a checksum, and
/// it is checked before anything is made of the packet.
#[test]
fn threat_10_nothing_else_goes_without() {
    let mut peer = connected();
    let tag = peer.host_tag;
    let before = refused(&peer);
    let mut other = peer.packet(tag, vec![heartbeat(b"x")]);
    other.source ^= 1;
    let packets = [
        // Another tag, none, the peer's own with a T bit.
        peer.packet(tag ^ 1, vec![heartbeat(b"x")]),
        peer.packet(0, vec![init(7).into()]),
        peer.packet(TAG, vec![bare_abort(true)]),
        // Chunks that set up associations or move them, wherever they stand.
        peer.packet(tag, vec![cookie_echo(b"cookie")]),
        peer.packet(tag, vec![data(1).be(), cookie_echo(b"cookie")]),
        peer.packet(tag, vec![Chunk::new(kind::ASCONF, 0, &[0; 12])]),
        // Other ports.
        other,
    ];
    for (n, packet) in packets.iter().enumerate() {
        peer.send_bytes(zeroed(packet));
        peer.expect_nothing();
        assert_eq!(refused(&peer), before + n as u64 + 1, "{packet:?}");
    }
    // Another address: the association it seems to be for does not know it.
    let elsewhere = std::net::SocketAddr::from(([10, 0, 0, 77], 9899));
    let packet = peer.packet(tag, vec![heartbeat(b"x")]);
    peer.send_from(elsewhere, zeroed(&packet));
    peer.expect_nothing();
    // The association has not noticed any of it.
    assert!(peer.host.live() == 1);
    peer.send_bytes(zeroed(&packet));
    peer.expect(kind::HEARTBEAT_ACK);
}

/// The UDP port of the peer moves with a packet that has the tag, and with no other.
#[test]
fn threat_15_the_port_follows_the_tag_without_a_checksum_too() {
    let mut peer = connected();
    let (tag, old) = (peer.host_tag, peer.addr);
    let mut new = old;
    new.set_port(4711);
    let forged = peer.packet(tag ^ 1, vec![heartbeat(b"x")]);
    peer.send_from(new, zeroed(&forged));
    peer.expect_nothing();
    let good = peer.packet(tag, vec![heartbeat(b"x")]);
    peer.addr = new;
    peer.send_from(new, zeroed(&good));
    peer.expect(kind::HEARTBEAT_ACK);
}

#[test]
fn an_association_that_is_over_takes_nothing_more() {
    let mut peer = connected();
    let packet = peer.packet(peer.host_tag, vec![heartbeat(b"late")]);
    peer.send(bare_abort(false));
    let before = refused(&peer);
    peer.send_bytes(zeroed(&packet));
    peer.expect_nothing();
    assert_eq!(refused(&peer), before + 1);
}

/// A SHUTDOWN ACK that came to a peer whose SHUTDOWN COMPLETE had been lost was dropped there for its
/// checksum, as often as it went: the end was a time-out.
#[test]
fn a_lost_shutdown_complete_is_asked_for_again() {
    let mut pair = pair(true, true);
    pair.connect();
    pair.net.drop_chunk(kind::SHUTDOWN_COMPLETE, 1);
    pair.shutdown(Server);
    pair.drive();
    for side in [Client, Server] {
        assert_eq!(pair.closed(side), Some(CloseReason::Shutdown), "{side:?}");
    }
    assert_eq!(pair.server.endpoint.stats().bad_checksum, 0);
}
