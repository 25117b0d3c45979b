//! Pacing: when data leaves that the windows allow to leave.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use sctp_proto::{AssociationConfig, AssociationStats, PathStats, SendInfo, StreamId};
use sctp_tests::{
    build::{data, heartbeat},
    codec::kind,
    net::{Link, Verdict},
    pair::{
        Pair,
        Side::{Client, Server},
    },
    peer::{Peer, Received},
};

/// DATA of one packet: the largest that is not cut with the default MTU of 1280.
const FULL: usize = 1280 - 20 - 8 - 12 - 16;
const MS: Duration = Duration::from_millis(1);
const ROUND_TRIP: Duration = Duration::from_millis(50);

fn path(peer: &mut Peer) -> PathStats {
    let path = peer.association().paths().next();
    path.expect("a path").stats
}

fn stats(peer: &mut Peer) -> AssociationStats {
    peer.association().stats()
}

/// Queues `count` messages, each of which fills a packet.
fn queue(peer: &mut Peer, count: usize) {
    let now = peer.now;
    for _ in 0..count {
        let message = Bytes::from(vec![0; FULL]);
        let association = peer.association();
        let sent = association.send(now, StreamId(1), message, SendInfo::default());
        sent.expect("the message is taken");
    }
    peer.collect();
}

/// Packets with DATA that left and were not looked at; all packets are forgotten.
fn data_packets(peer: &mut Peer) -> usize {
    let packets = peer.receive_all();
    let with_data = |p: &&Received| p.kinds().contains(&kind::DATA);
    packets.iter().filter(with_data).count()
}

/// A host with much to send that sent ten packets a round trip ago; they are acknowledged and
/// what that let go waits in the inbox.
fn after_a_round_trip(change: impl FnOnce(&mut AssociationConfig)) -> Peer {
    let mut peer = Peer::connected_with(|c| {
        c.stream_send_buffer(1024 * 1024)
            .initial_window(Some(10))
            .pacing(true);
        change(c);
    });
    queue(&mut peer, 400);
    assert_eq!(data_packets(&mut peer), 10, "nothing is known of the path");
    assert_eq!(path(&mut peer).pacing_rate, None);
    peer.advance(ROUND_TRIP);
    peer.expect_nothing();
    let sack = peer.sack(10);
    peer.send(sack);
    peer
}

/// 400 packets have left and are acknowledged, in round trips that filled the window.
fn with_a_large_window() -> Peer {
    let mut peer = after_a_round_trip(|_| {});
    peer.advance(ROUND_TRIP);
    let mut sent = 10 + data_packets(&mut peer);
    while sent < 400 {
        let sack = peer.sack(sent as u32);
        peer.send(sack);
        peer.advance(ROUND_TRIP);
        sent += data_packets(&mut peer);
    }
    let sack = peer.sack(400);
    peer.send(sack);
    peer
}

#[test]
fn a_window_is_spread_over_the_round_trip() {
    let mut peer = after_a_round_trip(|_| {});
    let window = path(&mut peer).cwnd.div_ceil(FULL + 16);
    // Twice the window per round trip, in slow start.
    let rate = path(&mut peer).pacing_rate.expect("a round trip is known");
    assert_eq!(rate, 2 * path(&mut peer).cwnd as u64 * 20);
    let mut sent = data_packets(&mut peer);
    assert_eq!(sent, 4, "Max.Burst");
    let mut elapsed = Duration::ZERO;
    while sent < window {
        let waited = peer.advance_to_packet();
        let burst = data_packets(&mut peer);
        assert!(waited > Duration::ZERO && (1..=2).contains(&burst));
        (sent, elapsed) = (sent + burst, elapsed + waited);
    }
    assert!(elapsed >= ROUND_TRIP / 4, "{elapsed:?}");
    assert!(elapsed <= ROUND_TRIP / 2, "{elapsed:?}");
    // The window is full.
    peer.advance(ROUND_TRIP);
    peer.expect_nothing();
    assert!(stats(&mut peer).pacing_waits > 2);
}

#[test]
fn without_pacing_a_window_leaves_at_once() {
    let mut peer = after_a_round_trip(|c| {
        c.pacing(false);
    });
    assert_eq!(data_packets(&mut peer), 10);
    assert_eq!(path(&mut peer).pacing_rate, None);
    assert_eq!(stats(&mut peer).pacing_waits, 0);
}

#[test]
fn a_pause_saves_up_no_burst() {
    let mut peer = with_a_large_window();
    peer.advance(Duration::from_secs(5));
    queue(&mut peer, 100);
    assert_eq!(data_packets(&mut peer), 4);
    assert!(path(&mut peer).cwnd >= 10 * (FULL + 16));
}

#[test]
fn a_window_that_the_pacer_holds_is_used() {
    // Four packets of eleven left, three of them are acknowledged a moment later.
    let mut peer = after_a_round_trip(|_| {});
    let before = path(&mut peer);
    assert!(before.flight < before.cwnd / 2);
    peer.advance(MS);
    let sack = peer.sack(13);
    peer.send(sack);
    assert!(path(&mut peer).cwnd > before.cwnd);
}

#[test]
fn a_window_that_nobody_fills_is_not_used_because_there_is_a_pacer() {
    let mut peer = with_a_large_window();
    let before = path(&mut peer).cwnd;
    for sent in (404..444).step_by(4) {
        queue(&mut peer, 4);
        assert_eq!(data_packets(&mut peer), 4);
        peer.advance(ROUND_TRIP);
        let sack = peer.sack(sent);
        peer.send(sack);
    }
    assert_eq!(path(&mut peer).cwnd, before);
}

#[test]
fn control_chunks_and_acknowledgements_do_not_wait() {
    let mut peer = after_a_round_trip(|_| {});
    data_packets(&mut peer);
    let waits = stats(&mut peer).pacing_waits;
    assert!(waits > 0, "data waits");
    peer.send(heartbeat(b"now"));
    peer.expect(kind::HEARTBEAT_ACK);
    peer.send(data(1).tsn(1).be());
    peer.send(data(1).tsn(2).seq(1).be());
    peer.expect(kind::SACK);
    let id = peer.association().paths().next().expect("a path").id;
    let now = peer.now;
    let asked = peer.association().request_heartbeat(now, id);
    asked.expect("there is such a path");
    peer.collect();
    let beat = peer.find(kind::HEARTBEAT);
    assert!(beat.is_some());
}

#[test]
fn a_fast_retransmission_does_not_wait() {
    let mut peer = after_a_round_trip(|_| {});
    peer.advance(ROUND_TRIP);
    assert!(data_packets(&mut peer) > 6);
    // Reports that a chunk is missing, at one moment: each lets new data go until the credit is
    // used up.
    for highest in [2, 3] {
        let sack = peer.sack(10).gap(2, highest);
        peer.send(sack);
    }
    data_packets(&mut peer);
    let sack = peer.sack(10).gap(2, 4);
    peer.send(sack);
    let chunks = peer.find_all(kind::DATA);
    assert_eq!(chunks.len(), 1, "the pacer holds the rest");
    assert_eq!(chunks[0].as_data().tsn, peer.host_tsn(10));
    assert_eq!(stats(&mut peer).data_chunks_retransmitted, 1);
}

/// Bytes that arrive in ten seconds on a path of 1 MB/s and 40 ms at a peer that acknowledges every
/// sixteenth packet, and the most packets of data that left at one moment.
fn to_a_peer_that_acknowledges_seldom(pacing: bool) -> (usize, usize) {
    let mut pair = Pair::builder()
        .link(Link {
            delay: Duration::from_millis(20),
            rate: Some(1_000_000),
            ..Link::default()
        })
        .both(|c| {
            c.pacing(pacing)
                .sack_frequency(16)
                .stream_send_buffer(1024 * 1024);
        })
        .build();
    pair.connect();
    let bursts = Arc::new(Mutex::new((pair.now, 0, 0)));
    let seen = Arc::clone(&bursts);
    pair.script_from(Client, move |now, datagram| {
        if datagram.payload.len() > 1000 {
            let mut seen = seen.lock().expect("no test panics here");
            let (last, count, most) = *seen;
            let count = if now == last { count + 1 } else { 1 };
            *seen = (now, count, count.max(most));
        }
        Verdict::Pass
    });
    let end = pair.now + Duration::from_secs(10);
    let mut received = 0;
    while pair.now < end {
        let message = Bytes::from(vec![0; 20_000]);
        while pair
            .try_send(Client, 1, message.clone(), SendInfo::default())
            .is_ok()
        {}
        assert!(pair.step());
        let messages = pair.recv_all(Server);
        received += messages.iter().map(|m| m.data.len()).sum::<usize>();
    }
    let most = bursts.lock().expect("no test panics here").2;
    (received, most)
}

#[test]
fn a_peer_that_acknowledges_seldom_gets_no_bursts_and_the_whole_rate() {
    // Max.Burst per SACK, and a SACK per sixteen packets, is a quarter of what is acknowledged.
    let (unpaced, _) = to_a_peer_that_acknowledges_seldom(false);
    let (paced, burst) = to_a_peer_that_acknowledges_seldom(true);
    assert!(paced > 8_500_000, "{paced}");
    assert!(unpaced < paced / 2, "{unpaced} against {paced}");
    // Three milliseconds of a rate that is higher in slow start; a SACK lets sixteen go.
    assert!(burst <= 10, "{burst}");
}
