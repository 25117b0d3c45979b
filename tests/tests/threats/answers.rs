//! What a stranger, or a peer, can make a host send.

use std::{net::SocketAddr, time::Duration};

use sctp_proto::AssociationState;
use sctp_tests::{
    build::{cookie_echo, heartbeat, init, outgoing_reset},
    codec::{Chunk, kind, param},
    peer::{Peer, TAG},
    rng::Rng,
};

use crate::random_packet;

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
