//! Restarts (§5.2.2, §5.2.4 action A): which are let in, and that they begin anew. That each takes
//! the right row of the table is in the matrices.

use std::time::Duration;

use sctp_proto::AssociationState;
use sctp_tests::{
    build::{cookie_ack, cookie_echo, init, init_ack, tlv},
    codec::{Chunk, cause, kind, param},
    peer::{COOKIE, Peer, TAG},
};

/// Another tag of the peer.
const OTHER: u32 = 0x2222_2222;

/// Sends an INIT beside the association, with this tag.
fn listing_aside(peer: &mut Peer, tag: u32, addresses: &[[u8; 4]]) -> Chunk {
    let before = peer.tag;
    peer.tag = tag;
    let chunk = addresses.iter().fold(init(tag), |init, address| {
        init.param(param::IPV4_ADDRESS, address)
    });
    // What is listed and not confirmed yet is probed.
    peer.receive_all();
    peer.send_tagged(0, chunk.extensions(&[kind::RE_CONFIG]));
    let answer = peer.receive().expect("an answer").packet.chunks.remove(0);
    peer.tag = before;
    answer
}

fn connected_listing(addresses: &[[u8; 4]]) -> Peer {
    let mut peer = Peer::client();
    peer.connect(addresses.iter().fold(init(TAG), |init, address| {
        init.param(param::IPV4_ADDRESS, address)
    }));
    peer
}

//= RFC 9260 §5.2.1, test
//# If the INIT chunk indicates that a new address has been added...
//= RFC 9260 §5.2.1, test
//# An ABORT chunk SHOULD be sent in a response...
#[test]
fn an_init_with_a_new_address_in_cookie_echoed_is_discarded() {
    let mut peer = Peer::server();
    peer.answer_init(init_ack(TAG, COOKIE));
    peer.expect(kind::COOKIE_ECHO);
    let refusal = listing_aside(&mut peer, OTHER, &[[10, 9, 9, 9]]);
    assert_eq!(refusal.cause(), Some(cause::RESTART_WITH_NEW_ADDRESSES));
    assert_eq!(peer.state(), AssociationState::CookieEchoed);
    peer.send(cookie_ack());
    assert_eq!(peer.state(), AssociationState::Established);
}

//= RFC 9260 §5.2.2, test
//# If new addresses are added to the association, the endpoint MUST respond...
//= RFC 9260 §5.2.2, test
//# The error SHOULD list the addresses that were added...
//= RFC 9260 §5.2.2, test
//# Before responding, the endpoint MUST check to see if...
#[test]
fn a_restart_may_list_the_addresses_of_the_association_and_no_others() {
    let (old, new) = ([10, 7, 7, 7], [10, 9, 9, 9]);
    let mut peer = connected_listing(&[old, [10, 0, 0, 1]]);
    for list in [&[][..], &[old], &[[10, 0, 0, 1], old]] {
        assert_eq!(listing_aside(&mut peer, OTHER, list).kind, kind::INIT_ACK);
    }
    let refusal = listing_aside(&mut peer, OTHER, &[old, new]);
    assert_eq!((refusal.kind, refusal.t_bit()), (kind::ABORT, false));
    let causes = refusal.causes();
    assert_eq!(causes.len(), 1);
    assert_eq!(causes[0].0, cause::RESTART_WITH_NEW_ADDRESSES);
    assert_eq!(causes[0].1, tlv(param::IPV4_ADDRESS, &new));
    assert_eq!(peer.state(), AssociationState::Established);
}

#[test]
fn the_addresses_of_an_init_ack_are_those_of_the_association() {
    let mut peer = Peer::server();
    let old = [10, 7, 7, 7];
    peer.answer_init(init_ack(TAG, COOKIE).param(param::IPV4_ADDRESS, &old));
    peer.expect(kind::COOKIE_ECHO);
    peer.send(cookie_ack());
    assert_eq!(listing_aside(&mut peer, OTHER, &[old]).kind, kind::INIT_ACK);
    assert_eq!(
        listing_aside(&mut peer, OTHER, &[[10, 9, 9, 9]]).kind,
        kind::ABORT
    );
}

/// A dual-stack socket shows an IPv4 peer under an IPv4-mapped address; the peer lists it as it is.
#[test]
fn an_address_in_disguise_was_taken_for_a_new_one() {
    let mut peer = Peer::client();
    peer.addr = "[::ffff:10.0.0.1]:9899".parse().unwrap();
    peer.connect(init(TAG));
    let own = [10, 0, 0, 1];
    assert_eq!(listing_aside(&mut peer, OTHER, &[own]).kind, kind::INIT_ACK);
    let new = [10, 0, 0, 9];
    let refusal = listing_aside(&mut peer, OTHER, &[own, new]);
    let expected = tlv(param::IPV4_ADDRESS, &new);
    assert_eq!(
        refusal.causes(),
        [(cause::RESTART_WITH_NEW_ADDRESSES, expected)]
    );
}

//= RFC 9260 §5.2.4, test
//# All the congestion control parameters (e.g., cwnd, ssthresh) related to this peer...
#[test]
fn a_restart_begins_with_the_windows_and_time_outs_of_a_new_association() {
    let mut peer = Peer::connected_with(|c| {
        c.max_burst(100);
    });
    let path = |peer: &mut Peer| peer.association().paths().next().expect("a path").stats;
    let fresh = path(&mut peer);
    // The window grows, the round trip is measured, then all is lost: the time-out doubles, the
    // slow start threshold falls, an error is counted.
    peer.host_send(1, vec![0; 100_000]);
    let mut acked = 0;
    for _ in 0..5 {
        peer.advance(Duration::from_millis(100));
        acked += peer.find_all(kind::DATA).len() as u32;
        let sack = peer.sack(acked);
        peer.send(sack);
    }
    assert!(path(&mut peer).cwnd > fresh.cwnd);
    peer.receive_all();
    peer.advance_to_packet();
    peer.advance(Duration::from_secs(3));
    let worn = path(&mut peer);
    assert!(worn.cwnd < fresh.cwnd && worn.errors > 0 && worn.srtt > Duration::ZERO);

    peer.receive_all();
    peer.tag = OTHER;
    let again = peer.init(init(OTHER));
    peer.send(cookie_echo(&again.cookie()));
    peer.expect(kind::COOKIE_ACK);
    let mut anew = path(&mut peer);
    // The cookie of a restart has tie-tags in it.
    anew.bytes_received = fresh.bytes_received;
    assert_eq!(anew, fresh);
    // In slow start: every packet that is acknowledged lets the window grow by one.
    peer.host_send(1, vec![0; 100_000]);
    for round in 1..=8 {
        let sack = peer.sack(round);
        peer.send(sack);
    }
    assert!(path(&mut peer).cwnd >= fresh.cwnd + 7 * 1200);
}
