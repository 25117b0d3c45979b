//! Acknowledgements of what was never sent, or that make no sense.

use sctp_proto::{AssociationState, CloseReason};
use sctp_tests::{
    build::{sack, shutdown},
    codec::{Chunk, cause, kind},
    peer::Peer,
};

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
