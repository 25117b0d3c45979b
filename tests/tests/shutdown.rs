//! The end of an association (§9): graceful, abrupt, and with packets lost on the way.

use std::time::Duration;

use bytes::Bytes;
use sctp_proto::{AssociationState, CloseReason, Event, ResetError, SendError, SendInfo, StreamId};
use sctp_tests::{
    build::{abort, bare_abort, data, init_ack, sack, shutdown, shutdown_ack, shutdown_complete},
    codec::{Chunk, cause, kind},
    net::{Link, Verdict},
    pair::{
        Pair,
        Side::{Client, Server},
    },
    peer::{COOKIE, Peer, TAG},
};

const SECOND: Duration = Duration::from_secs(1);

fn close(peer: &mut Peer) {
    let now = peer.now;
    peer.association().shutdown(now);
    peer.collect();
}

fn assert_both_closed(pair: &mut Pair) {
    for side in [Client, Server] {
        assert_eq!(pair.closed(side), Some(CloseReason::Shutdown), "{side:?}");
        assert!(pair.conn(side).association.is_drained());
        assert_eq!(pair.host(side).endpoint.associations(), 0);
    }
}

#[test]
fn an_abort_for_a_late_packet_is_the_end_of_a_shutdown_all_the_same() {
    // The peer has gone after its SHUTDOWN COMPLETE, which got lost; an old packet of the host
    // arrives there out of the blue.
    let mut peer = Peer::connected();
    let all = peer.host_tsn(0).wrapping_sub(1);
    peer.send(shutdown(all));
    peer.expect(kind::SHUTDOWN_ACK);
    peer.send_tagged(TAG, bare_abort(true));
    assert_eq!(peer.closed(), Some(CloseReason::Shutdown));
}

//= RFC 9260 §9.2, test
//# An endpoint SHOULD reject any new data request from...
//= RFC 9260 §6, test
//# Data transmission MUST only happen in the ESTABLISHED, SHUTDOWN-PENDING,...
//= RFC 9260 §4, test
//# In the SHUTDOWN-RECEIVED state, the endpoint MUST transmit or...
#[test]
fn everything_queued_arrives_before_the_end() {
    let mut pair = Pair::connected();
    pair.send(Client, 1, vec![1; 200_000]);
    pair.send(Server, 1, vec![2; 150_000]);
    pair.shutdown(Client);
    assert!(matches!(
        pair.try_send(Client, 1, "late".into(), SendInfo::default()),
        Err(SendError::Closing)
    ));
    let now = pair.now;
    let reset = pair
        .conn(Client)
        .association
        .reset_streams(now, &[StreamId(1)]);
    assert_eq!(reset, Err(ResetError::NotEstablished));
    pair.drive();
    assert_both_closed(&mut pair);
    // What has arrived can be received after the end.
    assert_eq!(pair.recv(Server, 1).unwrap(), vec![1; 200_000]);
    assert_eq!(pair.recv(Client, 1).unwrap(), vec![2; 150_000]);
    assert!(pair.events(Server).contains(&Event::PeerShutdown));
}

//= RFC 9260 §9.2, test
//# Upon the receipt of the SHUTDOWN ACK chunk, the...
//= RFC 9260 §8.5.1, test
//# When sending a SHUTDOWN COMPLETE chunk, if the receiver...
//= RFC 9260 §3.3.8, test
//# An endpoint in an association MUST use this chunk...
//= RFC 9260 §3.3.13, test
//# This chunk MUST be used to acknowledge the receipt of the SHUTDOWN...
#[test]
fn it_takes_three_packets() {
    let mut peer = Peer::connected();
    close(&mut peer);
    assert_eq!(peer.state(), AssociationState::ShutdownSent);
    let cumulative = peer.expect(kind::SHUTDOWN).as_shutdown();
    assert_eq!(cumulative, 0, "the peer's TSNs begin at 1");
    peer.send(shutdown_ack());
    let done = peer.expect(kind::SHUTDOWN_COMPLETE);
    assert!(!done.t_bit());
    assert_eq!(peer.closed(), Some(CloseReason::Shutdown));
    assert_eq!(peer.host.endpoint.associations(), 0);
}

//= RFC 9260 §9.2, test
//# An endpoint SHOULD ensure that all its outstanding DATA...
#[test]
fn a_shutdown_waits_for_what_is_outstanding() {
    let mut peer = Peer::connected();
    peer.host_send(1, "first");
    peer.receive_all();
    close(&mut peer);
    assert_eq!(peer.state(), AssociationState::ShutdownPending);
    peer.expect_nothing();
    let sack = peer.sack(1);
    peer.send(sack);
    assert_eq!(peer.state(), AssociationState::ShutdownSent);
    peer.expect(kind::SHUTDOWN);
}

//= RFC 9260 §4, test
//# In the SHUTDOWN-RECEIVED state, the endpoint MUST NOT accept...
//= RFC 9260 §9.2, test
//# If there are still outstanding DATA chunks left, the...
//= RFC 9260 §9.2, test
//# If the receiver of the SHUTDOWN chunk has no...
//= RFC 9260 §3.3.9, test
//# This chunk MUST be used to acknowledge the receipt of the SHUTDOWN...
#[test]
fn the_other_side_too_sends_what_it_has_first() {
    let mut peer = Peer::connected();
    peer.host_send(1, "outstanding");
    peer.receive_all();
    let nothing = peer.host_tsn(0).wrapping_sub(1);
    peer.send(shutdown(nothing));
    assert_eq!(peer.state(), AssociationState::ShutdownReceived);
    assert!(peer.events().contains(&Event::PeerShutdown));
    assert_eq!(peer.find(kind::SHUTDOWN_ACK), None);
    let now = peer.now;
    let late = peer
        .association()
        .send(now, StreamId(1), "late".into(), SendInfo::default());
    assert!(matches!(late, Err(SendError::Closing)));
    // The user's own request changes nothing any more.
    close(&mut peer);
    assert_eq!(peer.state(), AssociationState::ShutdownReceived);
    // The SHUTDOWN itself acknowledges.
    let all = peer.host_tsn(0);
    peer.send(shutdown(all));
    assert_eq!(peer.state(), AssociationState::ShutdownAckSent);
    peer.expect(kind::SHUTDOWN_ACK);
    peer.send(shutdown_complete(false));
    assert_eq!(peer.closed(), Some(CloseReason::Shutdown));
}

//= RFC 9260 §4, test
//# In the SHUTDOWN-SENT state, the endpoint MUST acknowledge any...
//= RFC 9260 §9.2, test
//# While in the SHUTDOWN-SENT state, the SHUTDOWN chunk sender...
#[test]
fn data_after_the_own_shutdown_is_taken_and_answered_with_shutdown() {
    let mut peer = Peer::connected();
    close(&mut peer);
    peer.expect(kind::SHUTDOWN);
    peer.send(data(1).tsn(1).payload("still coming").be());
    let again = peer.find(kind::SHUTDOWN).expect("SHUTDOWN at once (§9.2)");
    assert_eq!(again.as_shutdown(), 1);
    // With a gap, a SACK tells of it.
    peer.send(data(1).tsn(3).seq(2).be());
    let chunks: Vec<_> = peer
        .receive_all()
        .into_iter()
        .flat_map(|r| r.packet.chunks)
        .collect();
    let report = chunks.iter().find(|c| c.kind == kind::SACK).expect("SACK");
    assert_eq!(report.as_sack().gaps, [(2, 2)]);
    assert!(chunks.iter().any(|c| c.kind == kind::SHUTDOWN));
    assert_eq!(peer.host_recv(1).unwrap(), "still coming");
}

//= RFC 9260 §9.2, test
//# If the timer expires, the endpoint MUST resend the SHUTDOWN chunk...
//= RFC 9260 §9.2, test
//# It SHOULD then start the T2-shutdown timer and enter...
//= RFC 9260 §9.2, test
//# The rules in Section 6.3 MUST be followed to...
#[test]
fn a_lost_shutdown_is_sent_again_with_the_latest_tsn() {
    let mut peer = Peer::connected();
    close(&mut peer);
    peer.expect(kind::SHUTDOWN);
    let first = peer.advance_to_packet();
    assert_eq!(peer.expect(kind::SHUTDOWN).as_shutdown(), 0);
    let second = peer.advance_to_packet();
    assert!(second > first, "backed off: {first:?}, {second:?}");
    peer.expect(kind::SHUTDOWN);
    assert_eq!(peer.state(), AssociationState::ShutdownSent);
}

//= RFC 9260 §9.2, test
//# An endpoint SHOULD limit the number of retransmissions of...
//= RFC 9260 §9.2, test
//# If this threshold is exceeded, the endpoint SHOULD destroy...
//= RFC 9260 §9.2, test
//# The sender of the SHUTDOWN ACK chunk SHOULD limit...
//= RFC 9260 §9.2, test
//# If the timer expires, the endpoint MUST resend the SHUTDOWN ACK...
#[test]
fn a_shutdown_nobody_answers_is_given_up() {
    for ack in [false, true] {
        let mut peer = Peer::connected_with(|c| {
            c.association_max_retrans(3);
        });
        if ack {
            let all = peer.host_tsn(0).wrapping_sub(1);
            peer.send(shutdown(all));
        } else {
            close(&mut peer);
        }
        let kind = if ack {
            kind::SHUTDOWN_ACK
        } else {
            kind::SHUTDOWN
        };
        peer.advance(100 * SECOND);
        assert_eq!(peer.find_all(kind).len(), 4, "one and three more");
        assert_eq!(peer.closed(), Some(CloseReason::TimedOut));
        assert_eq!(peer.host.endpoint.associations(), 0);
    }
}

#[test]
fn a_peer_that_sends_for_ever_meets_the_guard() {
    let mut peer = Peer::connected_with(|c| {
        c.shutdown_timeout(Some(30 * SECOND));
    });
    close(&mut peer);
    for tsn in 1..=100 {
        peer.send(data(1).tsn(tsn).seq(tsn - 1).be());
        while peer.host_recv(1).is_some() {}
        peer.receive_all();
        if peer.closed().is_some() {
            break;
        }
        peer.advance(SECOND);
    }
    assert_eq!(peer.closed(), Some(CloseReason::ShutdownTimedOut));
    peer.send(data(1).tsn(101).be());
    assert!(peer.find(kind::ABORT).is_some());
}

/// Has the peer go on sending until the host is done with the shutdown that it has begun; how long
/// that took, and what the host said at the end.
fn send_until_closed(peer: &mut Peer) -> (Duration, Chunk) {
    close(peer);
    peer.expect(kind::SHUTDOWN);
    let begin = peer.now;
    let mut tsn = 0;
    loop {
        peer.advance(SECOND);
        let last = peer.receive_all().pop();
        if peer.closed().is_some() {
            let mut chunks = last.expect("a word at the end").packet.chunks;
            return (peer.now - begin, chunks.remove(0));
        }
        tsn += 1;
        peer.send(data(1).tsn(tsn).seq(tsn - 1).be());
        peer.host_recv(1);
    }
}

//= RFC 9260 §9.2, test
//# If the T5-shutdown-guard timer is used, it SHOULD be...
//= RFC 9260 §9.2, test
//# At the expiration of this timer, the sender SHOULD...
#[test]
fn the_guard_is_five_times_rto_max_unless_it_is_set() {
    for (max, set, expected) in [
        (60 * SECOND, None, 300 * SECOND),
        (4 * SECOND, None, 20 * SECOND),
        (4 * SECOND, Some(7 * SECOND), 7 * SECOND),
    ] {
        let mut peer = Peer::connected_with(|c| {
            c.rto_max(max).shutdown_timeout(set);
        });
        let (took, last) = send_until_closed(&mut peer);
        assert_eq!(took, expected, "RTO.Max {max:?}, set to {set:?}");
        assert_eq!(peer.closed(), Some(CloseReason::ShutdownTimedOut));
        assert_eq!((last.kind, last.t_bit()), (kind::ABORT, false));
    }
}

#[test]
fn an_association_idle_of_user_data_is_closed_where_that_is_asked_for() {
    let idle = 10 * SECOND;
    let mut peer = Peer::connected_with(|c| {
        c.autoclose(Some(idle)).heartbeat_interval(Some(SECOND));
    });
    let begin = peer.now;
    // Received and sent data count, HEARTBEATs and their answers do not.
    peer.advance(9 * SECOND);
    peer.send(data(1).be());
    peer.advance(9 * SECOND);
    peer.host_send(1, "hello");
    let sack = peer.sack(1);
    peer.send(sack);
    peer.receive_all();
    for _ in 0..9 {
        peer.advance(SECOND);
        for beat in peer.find_all(kind::HEARTBEAT) {
            peer.send(Chunk::new(kind::HEARTBEAT_ACK, 0, &beat.value));
        }
    }
    assert_eq!(peer.state(), AssociationState::Established);
    peer.advance(SECOND);
    assert_eq!(peer.now - begin, 28 * SECOND);
    assert_eq!(peer.state(), AssociationState::ShutdownSent);
    assert!(peer.find(kind::SHUTDOWN).is_some());
    assert!(peer.events().contains(&Event::Autoclose));
    peer.send(shutdown_ack());
    assert_eq!(peer.closed(), Some(CloseReason::Shutdown));
    // What came can be read all the same.
    assert_eq!(peer.host_recv(1).unwrap(), "data");
}

#[test]
fn what_waits_for_the_peers_window_is_not_idle() {
    let mut peer = Peer::connected_with(|c| {
        c.autoclose(Some(SECOND)).rto_max(60 * SECOND);
    });
    let closed = peer.sack(0).a_rwnd(0);
    peer.send(closed.clone());
    peer.host_send(1, vec![0; 3000]);
    for _ in 0..100 {
        peer.advance(SECOND);
        if !peer.receive_all().is_empty() {
            peer.send(closed.clone());
        }
    }
    assert_eq!(peer.state(), AssociationState::Established);
}

#[test]
fn by_default_an_idle_association_stays() {
    let mut pair = Pair::connected();
    pair.drive_for(100_000 * SECOND);
    assert!(pair.established());
}

//= RFC 9260 §9.2, test
//# If an endpoint is in the SHUTDOWN-SENT state and...
//= RFC 9260 §9.2, test
//# If an endpoint is in the SHUTDOWN-ACK-SENT state and receives a SHUTDOWN...
#[test]
fn both_sides_may_shut_down_at_once() {
    let mut peer = Peer::connected();
    close(&mut peer);
    peer.expect(kind::SHUTDOWN);
    let all = peer.host_tsn(0).wrapping_sub(1);
    peer.send(shutdown(all));
    assert_eq!(peer.state(), AssociationState::ShutdownAckSent);
    peer.expect(kind::SHUTDOWN_ACK);
    // And SHUTDOWN ACK meets SHUTDOWN ACK.
    peer.send(shutdown_ack());
    peer.expect(kind::SHUTDOWN_COMPLETE);
    assert_eq!(peer.closed(), Some(CloseReason::Shutdown));
    for lead in 0..45 {
        let mut pair = Pair::connected();
        pair.send(Client, 1, vec![0; 5000]);
        pair.send(Server, 1, vec![0; 5000]);
        pair.shutdown(Client);
        pair.drive_for(Duration::from_millis(lead));
        pair.shutdown(Server);
        pair.drive();
        assert_both_closed(&mut pair);
    }
}

#[test]
fn a_shutdown_survives_the_loss_of_any_of_its_packets() {
    for lost in [
        kind::SHUTDOWN,
        kind::SHUTDOWN_ACK,
        kind::SHUTDOWN_COMPLETE,
        kind::SACK,
        kind::DATA,
        kind::I_DATA,
    ] {
        for times in 1..=2 {
            let mut pair = Pair::connected();
            pair.net.drop_chunk(lost, times);
            pair.send(Client, 1, vec![5; 3000]);
            pair.send(Server, 1, vec![6; 3000]);
            pair.shutdown(Client);
            pair.drive();
            assert_both_closed(&mut pair);
            assert_eq!(pair.recv(Server, 1).unwrap(), vec![5; 3000]);
            assert_eq!(pair.recv(Client, 1).unwrap(), vec![6; 3000]);
        }
    }
}

#[test]
fn shutdowns_on_bad_networks_lose_nothing() {
    for seed in 0..40 {
        let mut pair = Pair::builder()
            .seed(seed)
            .link(Link {
                loss: 0.15,
                duplicate: 0.1,
                reorder: 0.2,
                ..Link::default()
            })
            .build();
        pair.connect();
        for stream in 0..5 {
            pair.send(Client, stream, vec![5; 3000]);
            pair.send(Server, stream, vec![6; 3000]);
        }
        pair.drive_for(Duration::from_millis(seed * 3));
        pair.shutdown(Server);
        pair.drive();
        for (side, byte) in [(Server, 5), (Client, 6)] {
            for stream in 0..5 {
                assert_eq!(
                    pair.recv(side, stream).unwrap(),
                    vec![byte; 3000],
                    "seed {seed}"
                );
            }
            // A lost SHUTDOWN COMPLETE is answered out of the blue; nothing is left either way.
            assert!(pair.closed(side).is_some(), "seed {seed}");
            assert_eq!(pair.host(side).endpoint.associations(), 0);
        }
    }
}

#[test]
fn a_shutdown_before_the_association_is_up_delivers_what_was_queued() {
    let mut pair = Pair::default();
    pair.start();
    pair.send(Client, 1, "hello and goodbye");
    pair.shutdown(Client);
    pair.drive();
    assert_eq!(pair.closed(Client), Some(CloseReason::Shutdown));
    assert_eq!(pair.recv(Server, 1).unwrap(), "hello and goodbye");
}

//= RFC 9260 §9.2, test
//# If a SHUTDOWN chunk is received in the COOKIE-WAIT...
#[test]
fn a_shutdown_chunk_during_set_up_is_discarded() {
    let mut peer = Peer::server();
    peer.answer_init(init_ack(TAG, COOKIE));
    peer.expect(kind::COOKIE_ECHO);
    peer.send(shutdown(0));
    peer.expect_nothing();
    assert_eq!(peer.state(), AssociationState::CookieEchoed);
}

#[test]
fn a_shutdown_that_acknowledges_what_was_never_sent_is_a_violation() {
    let mut peer = Peer::connected();
    peer.send(sack(peer.host_tsn(0).wrapping_sub(1)));
    let beyond = peer.host_tsn(5);
    peer.send(shutdown(beyond));
    peer.expect_abort(cause::PROTOCOL_VIOLATION);
}

#[test]
fn a_shutdown_ack_out_of_place_ends_nothing() {
    let mut peer = Peer::connected();
    peer.send(shutdown_ack());
    assert_eq!(peer.state(), AssociationState::Established);
    peer.send(shutdown_complete(false));
    assert_eq!(peer.state(), AssociationState::Established);
}

//= RFC 9260 §9.1, test
//# When an endpoint decides to abort an existing association,...
//= RFC 9260 §9.1, test
//# If the association is aborted on request of the...
//= RFC 9260 §9.1, test
//# After checking the Verification Tag, the receiving endpoint MUST...
#[test]
fn an_abort_ends_both_sides_with_its_reason() {
    let mut pair = Pair::connected();
    pair.send_with(Client, 1, vec![0; 50_000], SendInfo::default().context(1));
    pair.drive_for(Duration::from_millis(5));
    pair.abort(Client, "no more");
    pair.drive();
    assert_eq!(pair.closed(Client), Some(CloseReason::LocalAbort));
    let Some(CloseReason::PeerAbort(Some(reason))) = pair.closed(Server) else {
        panic!("{:?}", pair.closed(Server));
    };
    assert_eq!((reason.code, &reason.info[..]), (12, &b"no more"[..]));
    let failed = |event: &Event| {
        matches!(
            event,
            Event::SendFailed {
                context: 1,
                sent: 1..,
                ..
            }
        )
    };
    assert!(pair.events(Client).iter().any(failed));
    for side in [Client, Server] {
        assert!(pair.conn(side).association.is_drained());
        assert_eq!(pair.host(side).endpoint.associations(), 0);
    }
}

//= RFC 9260 §3.3.7, test
//# DATA chunks MUST NOT be bundled with ABORT chunks.
//= RFC 9260 §9.1, test
//# The sender MUST fill in the peer's Verification Tag...
//= RFC 9260 §8.5.1, test
//# The endpoint MUST always fill in the Verification Tag...
#[test]
fn an_abort_carries_no_data() {
    let mut peer = Peer::connected();
    peer.host_send(1, vec![0; 10_000]);
    peer.receive_all();
    let now = peer.now;
    peer.association().abort(now, Bytes::from_static(b"why"));
    peer.collect();
    let chunk = peer.expect_abort(cause::USER_ABORT);
    assert_eq!(chunk.causes(), [(cause::USER_ABORT, b"why".to_vec())]);
    assert!(!chunk.t_bit());
    peer.advance(100 * SECOND);
    peer.expect_nothing();
}

#[test]
fn aborts_of_the_peer_come_in_several_forms() {
    for (chunk, reflected, code) in [
        (bare_abort(false), false, None),
        (bare_abort(true), true, None),
        (abort(cause::USER_ABORT, b"reason"), false, Some(12)),
        (abort(999, &[7; 1000]), false, Some(999)),
    ] {
        let mut peer = Peer::connected();
        let tag = if reflected { TAG } else { peer.host_tag };
        peer.send_tagged(tag, chunk);
        peer.expect_nothing();
        let Some(CloseReason::PeerAbort(cause)) = peer.closed() else {
            panic!("{:?}", peer.closed());
        };
        assert_eq!(cause.map(|c| c.code), code);
    }
}

#[test]
fn an_abort_that_is_lost_is_repeated_when_the_peer_speaks() {
    let mut pair = Pair::connected();
    pair.net.drop_chunk(kind::ABORT, 1);
    pair.abort(Server, "gone");
    pair.flush();
    pair.send(Client, 1, "anyone?");
    pair.drive();
    assert!(matches!(
        pair.closed(Client),
        Some(CloseReason::PeerAbort(_))
    ));
}

#[test]
fn a_dropped_attempt_tells_the_peer_nothing_it_does_not_know() {
    let mut peer = Peer::server();
    peer.expect(kind::INIT);
    let now = peer.now;
    peer.association().abort(now, Bytes::new());
    peer.collect();
    // The peer's tag is not known: there is nothing to abort yet.
    peer.expect_nothing();
    assert_eq!(peer.closed(), Some(CloseReason::LocalAbort));
    assert!(peer.association().is_drained());
}

#[test]
fn nothing_is_left_after_many_associations() {
    let mut pair = Pair::builder().untraced().steps(1_000_000).build();
    for _ in 0..2000 {
        pair.connect();
        pair.send(Client, 1, "x");
        pair.shutdown(Client);
        pair.drive();
        assert_both_closed(&mut pair);
        pair.client.conns.clear();
        pair.server.conns.clear();
    }
}

#[test]
fn duplicates_of_the_end_change_nothing() {
    let mut pair = Pair::connected();
    pair.net.script(|_, _| Verdict::Duplicate);
    pair.send(Client, 1, "x");
    pair.shutdown(Client);
    pair.drive();
    assert_both_closed(&mut pair);
}
