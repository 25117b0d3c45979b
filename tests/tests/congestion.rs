//! Congestion control (§7.2): what the window does, seen from outside.

use std::time::Duration;

use bytes::Bytes;
use sctp_proto::{PathStats, SendInfo, StreamId};
use sctp_tests::{
    codec::kind,
    net::Link,
    pair::{
        Pair,
        Side::{Client, Server},
    },
    peer::Peer,
};

/// DATA of one packet: the largest that is not cut with the default MTU of 1280.
const FULL: usize = 1280 - 20 - 8 - 12 - 16;

fn path(peer: &mut Peer) -> PathStats {
    let path = peer.association().paths().next();
    path.expect("a path").stats
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

fn data_packets(peer: &mut Peer) -> usize {
    let packets = peer.receive_all();
    packets
        .iter()
        .filter(|p| p.kinds().contains(&kind::DATA))
        .count()
}

/// A host with much to send, whose path no acknowledgement has come back for yet.
fn busy() -> Peer {
    let mut peer = Peer::connected_with(|c| {
        c.stream_send_buffer(1024 * 1024).max_burst(1000);
    });
    queue(&mut peer, 400);
    peer
}

//= RFC 9260 §7.2.1, test
//# The initial cwnd before data transmission MUST be set...
#[test]
fn it_begins_with_the_initial_window() {
    let mut peer = busy();
    let cwnd = path(&mut peer).cwnd;
    assert!(
        (4 * FULL.min(1101)..=4 * (FULL + 28)).contains(&cwnd),
        "{cwnd}"
    );
    // cwnd and one packet, of which the first byte was allowed (§6.1 B).
    assert_eq!(data_packets(&mut peer), cwnd.div_ceil(FULL + 16));
}

//= RFC 9260 §7.2.1, test
//# If these conditions are met, then cwnd MUST be...
//= RFC 9260 §7.2.1, test
//# The positive integer L SHOULD be 1 and MAY...
#[test]
fn slow_start_grows_by_no_more_than_a_packet_per_sack() {
    let mut peer = busy();
    let mut acked = data_packets(&mut peer) as u32;
    let mut sent = acked;
    for _ in 0..20 {
        let before = path(&mut peer).cwnd;
        let sack = peer.sack(acked);
        peer.send(sack);
        let after = path(&mut peer);
        let growth = after.cwnd - before;
        assert!(growth > 0, "the window was fully used");
        assert!(growth <= after.max_packet, "{growth}");
        sent += data_packets(&mut peer) as u32;
        acked = sent;
    }
}

#[test]
fn many_small_acknowledgements_grow_it_no_more_than_one_large() {
    // §7.2.1: at most the bytes acknowledged; a SACK that acknowledges nothing grows nothing.
    let mut peer = busy();
    data_packets(&mut peer);
    for acked in [1, 1, 1, 1, 2, 2] {
        let before = path(&mut peer);
        let sack = peer.sack(acked);
        peer.send(sack);
        let after = path(&mut peer);
        let newly = before.flight.saturating_sub(after.flight);
        assert!(after.cwnd - before.cwnd <= newly.max(after.max_packet));
        if acked == 1 && before.flight == after.flight {
            assert_eq!(after.cwnd, before.cwnd, "nothing was acknowledged");
        }
    }
}

//= RFC 9260 §7.2.1, test
//# When cwnd is less than or equal to ssthresh,...
//= RFC 9260 §7.2.1, test
//# Only when these two conditions are met can the...
#[test]
fn a_window_that_is_not_used_does_not_grow() {
    let mut peer = Peer::connected();
    let initial = path(&mut peer).cwnd;
    for n in 1..=50 {
        peer.host_send(1, "small");
        let sack = peer.sack(n);
        peer.send(sack);
    }
    assert_eq!(path(&mut peer).cwnd, initial);
}

//= RFC 9260 §7.2.3, test
//# Upon detection of packet losses from SACK chunks (see...
//= RFC 9260 §7.2.4, test
//# While in Fast Recovery, the ssthresh and cwnd SHOULD...
#[test]
fn every_sack_of_a_batch_counts() {
    // Nothing leaves between the SACKs of a batch, so that less and less is in flight when each is
    // processed: the window was used all the same.
    let mut peer = busy();
    let mut sent = data_packets(&mut peer) as u32;
    let acked = loop {
        let acked = sent;
        let sack = peer.sack(acked);
        peer.send(sack);
        sent += data_packets(&mut peer) as u32;
        if sent - acked >= 8 {
            break acked;
        }
    };
    let before = path(&mut peer).cwnd;
    let sacks = (1..=4).map(|n| peer.sack(acked + 2 * n).into()).collect();
    peer.send_bundle(sacks);
    let grown = path(&mut peer).cwnd - before;
    assert!(grown >= 4 * FULL, "{grown}");
}

#[test]
fn a_fast_retransmit_halves_it_once_per_recovery() {
    let mut peer = busy();
    let mut sent = data_packets(&mut peer) as u32;
    for _ in 0..10 {
        let sack = peer.sack(sent);
        peer.send(sack);
        sent += data_packets(&mut peer) as u32;
    }
    let base = sent - (path(&mut peer).flight / (FULL + 16)) as u32;
    // Two chunks are lost, the first and the third; many more arrive. Until that is noticed, the
    // window may grow.
    let mut before = 0;
    for highest in 4..12 {
        before = before.max(path(&mut peer).cwnd);
        let sack = peer.sack(base).gap(2, 2).gap(4, highest);
        peer.send(sack);
    }
    let after = path(&mut peer);
    let half = (before / 2).max(4 * after.max_packet);
    let near = after.max_packet;
    assert!(
        (half - near..=half + near).contains(&after.cwnd),
        "{before} -> {after:?}"
    );
    let association = peer.association();
    assert_eq!(association.stats().t3_expiries, 0);
    assert!(association.stats().data_chunks_retransmitted >= 1);
}

//= RFC 9260 §7.2.3, test
//# When the T3-rtx timer expires on an address, SCTP...
#[test]
fn a_time_out_leaves_one_packet() {
    let mut peer = busy();
    data_packets(&mut peer);
    peer.advance_to_packet();
    assert_eq!(data_packets(&mut peer), 1);
    let after = path(&mut peer);
    assert!(after.cwnd <= after.max_packet, "{after:?}");
    assert_eq!(after.t3_expiries, 1);
}

#[test]
fn an_idle_window_decays_to_no_less_than_four_packets() {
    let mut peer = busy();
    let mut sent = data_packets(&mut peer) as u32;
    while sent < 400 {
        let sack = peer.sack(sent);
        peer.send(sack);
        sent += data_packets(&mut peer) as u32;
    }
    let sack = peer.sack(sent);
    peer.send(sack);
    let grown = path(&mut peer).cwnd;
    assert!(grown > 20 * FULL, "{grown}");
    peer.advance(Duration::from_secs(600));
    queue(&mut peer, 100);
    let after = path(&mut peer);
    assert!(after.cwnd < grown / 2, "{after:?}");
    assert!(after.cwnd >= 4 * FULL, "{after:?}");
    assert!(data_packets(&mut peer) <= 6);
}

//= RFC 9260 §6.1, test
//# When the time comes for the sender to transmit new...
#[test]
fn max_burst_bounds_what_one_sack_lets_go() {
    let mut peer = Peer::connected_with(|c| {
        c.stream_send_buffer(1024 * 1024).max_burst(4);
    });
    queue(&mut peer, 400);
    let mut sent = data_packets(&mut peer) as u32;
    assert!(sent <= 4, "{sent}");
    let mut burst = sent;
    for _ in 0..30 {
        // Everything is acknowledged: the whole window is free. What was acknowledged allows as
        // much and half as much again at most, even where it is more than Max.Burst.
        let allowed = 4.max(2 * burst);
        let sack = peer.sack(sent);
        peer.send(sack);
        burst = data_packets(&mut peer) as u32;
        assert!((1..=allowed).contains(&burst), "{burst} > {allowed}");
        sent += burst;
        if sent > 380 {
            break;
        }
    }
}

#[test]
fn a_bottleneck_is_filled() {
    // 1 MB/s, 40 ms round trip, 40 kB of buffer: the sender finds the rate and keeps to it.
    let mut pair = Pair::builder()
        .link(Link {
            delay: Duration::from_millis(20),
            rate: Some(1_000_000),
            queue: 40_000,
            ..Link::default()
        })
        .build();
    pair.connect();
    let begin = pair.now;
    let mut queued = 0;
    let mut received = 0;
    while received < 4_000_000 {
        while queued < 4_000_000 {
            let message = Bytes::from(vec![0; 20_000]);
            if pair
                .try_send(Client, 1, message, SendInfo::default())
                .is_err()
            {
                break;
            }
            queued += 20_000;
        }
        assert!(pair.step());
        received += pair
            .recv_all(Server)
            .iter()
            .map(|m| m.data.len())
            .sum::<usize>();
    }
    let seconds = (pair.now - begin).as_secs_f64();
    assert!(seconds < 6.0, "{:.0} B/s", 4_000_000.0 / seconds);
    let stats = pair.stats(Client);
    assert!(
        stats.data_chunks_retransmitted * 20 < stats.data_chunks_sent,
        "{stats:?}"
    );
    assert_eq!(stats.t3_expiries, 0, "losses are mended without waiting");
}

#[test]
fn a_large_transfer_does_not_starve_the_other_direction() {
    let mut pair = Pair::builder()
        .link(Link {
            rate: Some(500_000),
            ..Link::default()
        })
        .build();
    pair.connect();
    let message = Bytes::from(vec![0; 250_000]);
    pair.send(Client, 1, message.clone());
    pair.send(Server, 1, message);
    let begin = pair.now;
    pair.drive();
    assert_eq!(pair.recv(Server, 1).map(|m| m.len()), Some(250_000));
    assert_eq!(pair.recv(Client, 1).map(|m| m.len()), Some(250_000));
    let seconds = (pair.now - begin).as_secs_f64();
    assert!(seconds < 2.0, "{seconds}");
}
