//! A peer that is alive and takes nothing of what is sent to it: it is noticed, and may be aborted.

use std::time::Duration;

use sctp_proto::{AssociationConfig, AssociationState, CloseReason, Event};
use sctp_tests::{
    build::heartbeat_ack,
    codec::{cause, kind},
    peer::Peer,
};

const SECOND: Duration = Duration::from_secs(1);

/// Answers what a live peer answers for so long: HEARTBEATs, and each packet with DATA with this
/// cumulative TSN and window.
fn live(peer: &mut Peer, time: Duration, acked: u32, a_rwnd: u32) {
    let end = peer.now + time;
    while peer.now < end && peer.closed().is_none() {
        peer.advance(SECOND / 2);
        for packet in peer.receive_all() {
            for chunk in &packet.packet.chunks {
                match chunk.kind {
                    kind::HEARTBEAT => peer.send(heartbeat_ack(chunk)),
                    kind::DATA => peer.send(peer.sack(acked).a_rwnd(a_rwnd)),
                    _ => {}
                }
            }
        }
    }
}

fn stalls(peer: &mut Peer) -> Vec<Duration> {
    let waited = |event| match event {
        Event::PeerStalled { waited } => Some(waited),
        _ => None,
    };
    peer.events().into_iter().filter_map(waited).collect()
}

#[test]
fn a_window_that_stays_closed_is_noticed_once_and_again_after_progress() {
    let mut peer = Peer::connected_with(|c| {
        c.heartbeat_interval(Some(10 * SECOND));
    });
    peer.host_send(1, vec![0; 4000]);
    peer.receive_all();
    peer.send(peer.sack(1).a_rwnd(0));
    live(&mut peer, 55 * SECOND, 1, 0);
    assert_eq!(stalls(&mut peer), [], "it may take its time");
    live(&mut peer, 400 * SECOND, 1, 0);
    let noticed = stalls(&mut peer);
    assert_eq!(noticed.len(), 1, "{noticed:?}");
    // A time-out of at most RTO.Max late.
    assert!((60 * SECOND..=121 * SECOND).contains(&noticed[0]));
    assert_eq!(peer.state(), AssociationState::Established);
    assert!(peer.association().is_peer_stalled());

    peer.send(peer.sack(2).a_rwnd(0));
    assert!(!peer.association().is_peer_stalled());
    live(&mut peer, 400 * SECOND, 2, 0);
    assert_eq!(stalls(&mut peer).len(), 1);
    assert_eq!(peer.association().stats().peer_stalls, 2);
}

#[test]
fn a_receiver_that_acknowledges_by_gaps_alone_is_noticed() {
    let mut peer = Peer::connected_with(|c| {
        c.association_max_retrans(100).path_max_retrans(100);
    });
    peer.host_send(1, vec![0; 4000]);
    let end = peer.now + 300 * SECOND;
    while peer.now < end {
        if !peer.receive_all().is_empty() {
            // All but the first, whatever is sent again.
            peer.send(peer.sack(0).gap(2, 3));
        }
        peer.advance(SECOND / 2);
    }
    assert_eq!(stalls(&mut peer).len(), 1);
}

#[test]
fn a_stalled_peer_is_aborted_where_that_is_asked_for() {
    let mut peer = Peer::connected_with(|c| {
        c.heartbeat_interval(Some(10 * SECOND))
            .progress_timeout(Some(20 * SECOND))
            .abort_stalled_peer(Some(90 * SECOND));
    });
    peer.host_send(1, vec![0; 4000]);
    peer.receive_all();
    peer.send(peer.sack(1).a_rwnd(0));
    let begin = peer.now;
    while peer.closed().is_none() {
        peer.advance_to_packet();
        let packets = peer.receive_all();
        let mut chunks = packets.iter().flat_map(|packet| &packet.packet.chunks);
        if let Some(abort) = chunks.find(|chunk| chunk.kind == kind::ABORT) {
            assert_eq!(abort.causes()[0].0, cause::USER_ABORT);
            break;
        }
        peer.send(peer.sack(1).a_rwnd(0));
    }
    let after = peer.now - begin;
    assert!((90 * SECOND..=151 * SECOND).contains(&after), "{after:?}");
    assert_eq!(peer.closed(), Some(CloseReason::PeerStalled));
    let events = peer.events();
    let at = |found: fn(&Event) -> bool| events.iter().position(found);
    let stalled = at(|event| matches!(event, Event::PeerStalled { .. }));
    let failed = at(|event| matches!(event, Event::SendFailed { .. }));
    assert!(stalled.is_some() && stalled < failed, "{events:?}");
}

#[test]
fn nothing_is_told_of_a_peer_that_nothing_waits_for_or_that_is_slow() {
    let mut peer = Peer::connected_with(|c| {
        c.heartbeat_interval(Some(10 * SECOND))
            .abort_stalled_peer(Some(60 * SECOND));
    });
    live(&mut peer, 500 * SECOND, 0, 1 << 20);
    // Idle for longer than that, and then it takes a message at once.
    peer.host_send(1, "late");
    live(&mut peer, 5 * SECOND, 1, 1 << 20);
    // One chunk at a time, each after most of the time that is allowed.
    for n in 2..8 {
        peer.host_send(1, vec![0; 100]);
        live(&mut peer, 20 * SECOND, n - 1, 1 << 20);
        peer.send(peer.sack(n).a_rwnd(1 << 20));
    }
    assert_eq!(stalls(&mut peer), []);
    assert_eq!(peer.state(), AssociationState::Established);
}

#[test]
fn times_of_nothing_are_refused() {
    let mut config = AssociationConfig::default();
    assert!(
        config
            .progress_timeout(Some(Duration::ZERO))
            .validate()
            .is_err()
    );
    assert!(config.progress_timeout(None).validate().is_ok());
    assert!(
        config
            .abort_stalled_peer(Some(Duration::ZERO))
            .validate()
            .is_err()
    );
}
