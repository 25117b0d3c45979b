//! Which states take DATA, SACK, SHUTDOWN and the user's messages (§4, §6, §9.2).

use std::time::Duration;

use sctp_proto::{
    AssociationState::{
        self, CookieEchoed, Established, ShutdownAckSent, ShutdownPending, ShutdownReceived,
        ShutdownSent,
    },
    CloseReason, SendError, SendInfo, StreamId,
};
use sctp_tests::{
    build::{cookie_ack, data, heartbeat, init_ack, shutdown},
    codec::{Chunk, kind},
    peer::{COOKIE, Peer, TAG},
};

const SECOND: Duration = Duration::from_secs(1);

/// The states in which the peer is known.
const OPEN: [AssociationState; 6] = [
    CookieEchoed,
    Established,
    ShutdownPending,
    ShutdownSent,
    ShutdownReceived,
    ShutdownAckSent,
];

fn close(peer: &mut Peer) {
    let now = peer.now;
    peer.association().shutdown(now);
    peer.collect();
}

fn buffered(peer: &mut Peer) -> usize {
    peer.association().buffered_amount(StreamId(1))
}

fn chunks(peer: &mut Peer) -> Vec<Chunk> {
    let packets = peer.receive_all().into_iter();
    packets
        .flat_map(|received| received.packet.chunks)
        .collect()
}

//= RFC 9260 §6, test
//# DATA chunks MUST only be received according to the...
//= RFC 9260 §6, test
//# A DATA chunk received in any other state SHOULD be...
//= RFC 9260 §6.2, test
//# Acknowledgements MUST be sent in SACK chunks unless shutdown...
#[test]
fn data_is_taken_until_the_peer_has_promised_that_there_is_no_more() {
    for state in OPEN {
        let mut peer = Peer::in_state(state);
        peer.send(data(1).tsn(1).immediate().be());
        let answer = chunks(&mut peer);
        let acknowledged = answer.iter().any(|chunk| match chunk.kind {
            kind::SACK => chunk.as_sack().cumulative == 1,
            kind::SHUTDOWN => state == ShutdownSent && chunk.as_shutdown() == 1,
            _ => false,
        });
        // In COOKIE-ECHOED it stands for a COOKIE ACK that is lost.
        let up = state == CookieEchoed;
        let taken = up || matches!(state, Established | ShutdownPending | ShutdownSent);
        assert_eq!(acknowledged, taken, "{state:?}: {answer:?}");
        assert_eq!(peer.host_recv(1).is_some(), taken, "{state:?}");
        let shutdowns = answer.iter().filter(|c| c.kind == kind::SHUTDOWN).count();
        assert_eq!(shutdowns, usize::from(state == ShutdownSent), "{state:?}");
        assert_eq!(peer.state(), if up { Established } else { state });
    }
}

//= RFC 9260 §6, test
//# A SACK chunk MUST be processed in ESTABLISHED, SHUTDOWN-PENDING, and...
#[test]
fn a_sack_counts_where_data_can_be_outstanding() {
    for state in [Established, ShutdownPending, ShutdownReceived] {
        let mut peer = Peer::in_state(state);
        if state == Established {
            peer.host_send(1, "outstanding");
        }
        assert_eq!(buffered(&mut peer), 11);
        let sack = peer.sack(1);
        peer.send(sack);
        assert_eq!(buffered(&mut peer), 0, "{state:?}");
    }
    let mut peer = Peer::server();
    peer.host_send(1, "outstanding");
    peer.answer_init(init_ack(TAG, COOKIE));
    peer.expect_packet(&[kind::COOKIE_ECHO, kind::DATA]);
    let sack = peer.sack(1);
    peer.send(sack.clone());
    assert_eq!(buffered(&mut peer), 11);
    peer.send_bundle(vec![cookie_ack(), sack.into()]);
    assert_eq!(buffered(&mut peer), 0);
}

//= RFC 9260 §9.2, test
//# An endpoint SHOULD reject any new data request from...
#[test]
fn messages_are_taken_until_either_side_shuts_down() {
    for state in OPEN {
        let mut peer = Peer::in_state(state);
        let now = peer.now;
        let sent =
            peer.association()
                .send(now, StreamId(1), "one more".into(), SendInfo::default());
        match state {
            CookieEchoed | Established => assert_eq!(sent, Ok(())),
            _ => assert_eq!(sent, Err(SendError::Closing), "{state:?}"),
        }
    }
}

//= RFC 9260 §9.2, test
//# Once an endpoint has reached the SHUTDOWN-RECEIVED state, it...
#[test]
fn once_the_peer_shuts_down_it_is_answered_and_the_user_is_not_heard() {
    let mut peer = Peer::in_state(ShutdownReceived);
    close(&mut peer);
    assert_eq!(peer.state(), ShutdownReceived);
    peer.expect_nothing();
    let all = peer.host_tsn(0);
    for _ in 0..3 {
        peer.send(shutdown(all));
        peer.expect(kind::SHUTDOWN_ACK);
        assert_eq!(peer.state(), ShutdownAckSent);
        close(&mut peer);
        peer.expect_nothing();
    }
}

//= RFC 9260 §9.2, test
//# If a SHUTDOWN chunk by itself cannot acknowledge all of...
//= RFC 9260 §6.2, test
//# Therefore, the endpoint SHOULD use a SACK chunk instead...
#[test]
fn what_a_shutdown_cannot_acknowledge_a_sack_beside_it_does() {
    let mut peer = Peer::connected();
    close(&mut peer);
    // Without gaps and duplicates SHUTDOWN says it all, once the first DATA has had its SACK.
    peer.send(data(1).tsn(1).seq(0).be());
    peer.receive_all();
    peer.send(data(1).tsn(2).seq(1).be());
    assert_eq!(peer.expect(kind::SHUTDOWN).as_shutdown(), 2);
    for (tsn, gaps, duplicates) in [
        (4, vec![(2, 2)], vec![]),
        (4, vec![(2, 2)], vec![4]),
        (3, vec![], vec![]),
        (2, vec![], vec![2]),
    ] {
        peer.send(data(1).tsn(tsn).seq(tsn - 1).be());
        let answer = chunks(&mut peer);
        let kinds: Vec<_> = answer.iter().map(|chunk| chunk.kind).collect();
        assert_eq!(kinds, [kind::SACK, kind::SHUTDOWN], "TSN {tsn}");
        let sack = answer[0].as_sack();
        assert_eq!(
            (sack.gaps, sack.duplicates),
            (gaps, duplicates),
            "TSN {tsn}"
        );
        assert_eq!(answer[1].as_shutdown(), sack.cumulative);
    }
}

//= RFC 9260 §9.2, test
//# The reception of any packet from its peer (i.e., as...
#[test]
fn every_packet_of_the_peer_gives_the_shutdown_more_time() {
    let mut peer = Peer::connected_with(|c| {
        c.association_max_retrans(3)
            .rto_min(SECOND)
            .rto_max(SECOND)
            .shutdown_timeout(Some(1000 * SECOND));
    });
    close(&mut peer);
    peer.expect(kind::SHUTDOWN);
    peer.advance(SECOND * 9 / 10);
    peer.send(heartbeat(b"not even DATA"));
    peer.expect(kind::HEARTBEAT_ACK);
    peer.expect_nothing();
    assert_eq!(peer.advance_to_packet(), SECOND);
    peer.expect(kind::SHUTDOWN);
    for _ in 0..10 {
        for _ in 0..2 {
            assert_eq!(peer.advance_to_packet(), SECOND);
            peer.expect(kind::SHUTDOWN);
        }
        peer.send(heartbeat(b"still here"));
        peer.expect(kind::HEARTBEAT_ACK);
    }
    peer.advance(3 * SECOND);
    assert_eq!(peer.find_all(kind::SHUTDOWN).len(), 3);
    assert_eq!(peer.state(), ShutdownSent);
    peer.advance(SECOND);
    assert_eq!(peer.closed(), Some(CloseReason::TimedOut));
}
