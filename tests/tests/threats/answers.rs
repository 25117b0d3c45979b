//! What a stranger, or a peer, can make a host send.

use std::{net::SocketAddr, time::Duration};

use sctp_proto::AssociationState;
use sctp_tests::{
    build::{cookie_echo, data, heartbeat, init, outgoing_reset, shutdown, shutdown_ack, tlv},
    codec::{Chunk, Packet, kind, param},
    peer::{Peer, Received, TAG},
    rng::Rng,
};

use crate::random_packet;

//= RFC 9260 §12.4, test
//# When an SCTP implementation receives a packet containing multiple...
#[test]
fn threat_18_one_packet_in_is_at_most_one_packet_out() {
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
fn threat_18_a_peer_that_asks_for_much_is_not_answered_with_more() {
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
fn threat_19_addresses_in_an_init_are_not_spoken_to() {
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

/// How many packets answer this one, how many bytes for each of its, and of which chunks.
fn measure(peer: &mut Peer, packet: &Packet) -> (usize, f64, Vec<u8>) {
    let packet = packet.encode();
    let size = packet.len();
    peer.receive_all();
    peer.send_bytes(packet);
    let answers = peer.receive_all();
    let bytes: usize = answers.iter().map(|answer| answer.len).sum();
    let kinds = answers.iter().flat_map(Received::kinds).collect();
    (answers.len(), bytes as f64 / size as f64, kinds)
}

#[test]
fn threat_18_every_kind_of_response_is_one_packet_of_three_times_the_size_at_most() {
    let (ports, stray) = (Peer::client(), 0x5712_a700);
    let out_of_the_blue = |chunk: Chunk| (Peer::client(), ports.packet(stray, vec![chunk]));
    let in_state = |state, chunk: &dyn Fn(&Peer) -> Chunk| {
        let peer = Peer::in_state(state);
        let packet = peer.packet(peer.host_tag, vec![chunk(&peer)]);
        (peer, packet)
    };
    let up = AssociationState::Established;
    let to_init =
        |init: sctp_tests::build::Init| (Peer::client(), ports.packet(0, vec![init.into()]));
    let mut stale = Peer::client();
    let cookie = stale.init(init(TAG)).cookie();
    let fresh = (stale.host_tag, cookie.clone());
    stale.advance(Duration::from_secs(120));
    let echo = |(tag, cookie): &(u32, Vec<u8>)| ports.packet(*tag, vec![cookie_echo(cookie)]);
    let mut waiting = Peer::client();
    waiting.init(init(TAG));
    let mut elsewhere = to_init(init(TAG));
    elsewhere.0.host_port = 81;
    elsewhere.1.destination = 81;
    // The kind of response, who gives it, and what to.
    let cases: Vec<(u8, (Peer, Packet))> = vec![
        (kind::INIT_ACK, to_init(init(TAG))),
        (
            kind::INIT_ACK,
            to_init(init(TAG).extensions(&[kind::I_DATA, kind::RE_CONFIG])),
        ),
        (
            kind::INIT_ACK,
            to_init(init(TAG).raw(&tlv(0xfff0, &[7; 8]).repeat(100))),
        ),
        (kind::ABORT, to_init(init(TAG).streams(0, 1))),
        (
            kind::ABORT,
            to_init(init(TAG).param(param::HOST_NAME, b"a\0")),
        ),
        (kind::ABORT, elsewhere),
        (kind::ABORT, out_of_the_blue(data(1).payload("x").be())),
        (kind::SHUTDOWN_COMPLETE, out_of_the_blue(shutdown_ack())),
        (kind::ERROR, (stale, echo(&fresh))),
        (kind::COOKIE_ACK, (waiting, echo(&fresh))),
        (kind::SACK, in_state(up, &|_| data(1).payload("x").be())),
        (kind::HEARTBEAT_ACK, in_state(up, &|_| heartbeat(b""))),
        (
            kind::HEARTBEAT_ACK,
            in_state(up, &|_| heartbeat(&[1; 1000])),
        ),
        (kind::ERROR, in_state(up, &|_| Chunk::new(0xff, 0, b""))),
        (
            kind::ERROR,
            in_state(up, &|_| data(0xffff).payload("x").be()),
        ),
        (kind::ABORT, in_state(up, &|_| data(1).payload("").be())),
        (
            kind::SHUTDOWN_ACK,
            in_state(up, &|peer| shutdown(peer.host_tsn.wrapping_sub(1))),
        ),
        (
            kind::SHUTDOWN_COMPLETE,
            in_state(AssociationState::ShutdownSent, &|_| shutdown_ack()),
        ),
        (
            kind::SHUTDOWN_ACK,
            in_state(AssociationState::ShutdownAckSent, &|_| init(TAG).into()),
        ),
    ];
    for (number, (kind, (mut peer, mut packet))) in cases.into_iter().enumerate() {
        if packet.chunks[0].kind == kind::INIT {
            packet.tag = 0;
        }
        let (packets, factor, kinds) = measure(&mut peer, &packet);
        assert!(
            kinds.contains(&kind),
            "case {number}: {kinds:?} instead of {kind}"
        );
        assert_eq!(packets, 1, "case {number}: {kinds:?}");
        assert!(
            factor <= 3.0,
            "case {number}: {kinds:?} is {factor} times as large"
        );
    }
}
