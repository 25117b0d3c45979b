//! Congestion control (§7.2): what the window does, seen from outside.

use std::time::Duration;

use bytes::Bytes;
use sctp_proto::{
    AssociationConfig, CongestionControl, LossDetection, PathStats, SendInfo, StreamId,
};
use sctp_tests::{
    bottleneck::{link, page},
    codec::kind,
    net::{Link, Verdict},
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
    busy_with(|_| {})
}

fn busy_with(change: impl FnOnce(&mut AssociationConfig)) -> Peer {
    let mut peer = Peer::connected_with(|c| {
        c.stream_send_buffer(1024 * 1024).max_burst(1000);
        change(c);
    });
    queue(&mut peer, 400);
    peer
}

/// A host in slow start with a window of more than ten packets, all of it in flight; and how many
/// of its DATA chunks are acknowledged.
fn wide() -> (Peer, u32) {
    let mut peer = busy_with(|c| {
        c.loss_detection(LossDetection::MissingReports);
    });
    let mut acked = 0;
    loop {
        let sent = peer.association().stats().data_chunks_sent as u32;
        if path(&mut peer).cwnd > 10 * (FULL + 16) {
            return (peer, acked);
        }
        acked = sent;
        let sack = peer.sack(sent);
        peer.send(sack);
    }
}

//= RFC 9260 §7.2.1, test
//# The initial cwnd before data transmission MUST be set...
//= RFC 9260 §6.1, test
//# If data is available, the sender SHOULD exceed cwnd by...
//= RFC 9260 §7.2.1, test
//# A limited overbooking as described in rule B in...
//= RFC 9260 §6.1, test
//# When the window is full (i.e., transmission is disallowed by...
#[test]
fn it_begins_with_the_initial_window() {
    let mut peer = busy();
    let cwnd = path(&mut peer).cwnd;
    assert!(
        (4 * FULL.min(1101)..=4 * (FULL + 28)).contains(&cwnd),
        "{cwnd}"
    );
    // cwnd and one packet, of which the first byte was allowed (§6.1 B).
    let sent = cwnd.div_ceil(FULL + 16);
    assert!(sent * (FULL + 16) > cwnd, "one packet goes beyond");
    assert_eq!(data_packets(&mut peer), sent);
    // More is accepted, and waits until something is acknowledged.
    queue(&mut peer, 10);
    peer.advance(Duration::from_millis(900));
    assert_eq!(data_packets(&mut peer), 0);
    let sack = peer.sack(1);
    peer.send(sack);
    assert!(data_packets(&mut peer) > 0);
}

//= RFC 9260 §7.2, test
//# When calculating one of these variables, the length of...
#[test]
fn the_flight_counts_chunk_headers_and_padding() {
    let mut peer = Peer::connected();
    for (bytes, chunk) in [(1, 20), (4, 20), (5, 24), (1000, 1016)] {
        let before = path(&mut peer).flight;
        peer.host_send(1, vec![0; bytes]);
        assert_eq!(path(&mut peer).flight - before, chunk, "{bytes} bytes");
    }
}

//= RFC 9260 §7.2, test
//# The slow-start and congestion avoidance algorithms MUST be used...
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

//= RFC 9260 §7.2.3, test
//# Upon detection of packet losses from SACK chunks (see...
//= RFC 9260 §7.2.4, test
//# While in Fast Recovery, the ssthresh and cwnd SHOULD...
#[test]
fn a_fast_retransmit_halves_it_once_per_recovery() {
    let mut peer = busy_with(|c| {
        c.loss_detection(LossDetection::MissingReports);
    });
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

//= RFC 9260 §7.2.4, test
//# Note: Before the above adjustments, if the received SACK...
#[test]
fn a_sack_that_tells_a_loss_grows_the_window_before_it_is_halved() {
    let (mut peer, base) = wide();
    // Chunk base + 3 is lost. Each of the three that tell so acknowledges two others, one of them
    // cumulatively.
    for n in 1..=2 {
        let sack = peer.sack(base + n).gap(5 - n as u16, 4);
        peer.send(sack);
    }
    let before = path(&mut peer).cwnd;
    let sack = peer.sack(base + 3).gap(2, 4);
    peer.send(sack);
    let after = path(&mut peer).cwnd;
    assert_eq!(peer.association().stats().fast_retransmits, 1);
    assert_eq!(after, (before + FULL + 16) / 2);
}

//= RFC 9260 §7.2.2, test
//# When cwnd is greater than ssthresh, cwnd SHOULD be...
#[test]
fn after_a_loss_it_grows_by_one_packet_per_round_trip() {
    let (mut peer, base) = wide();
    for highest in 2..=4 {
        let sack = peer.sack(base).gap(2, highest);
        peer.send(sack);
    }
    assert_eq!(peer.association().stats().fast_retransmits, 1);
    let mut sent = peer.association().stats().data_chunks_sent as u32;
    let sack = peer.sack(sent);
    peer.send(sack);
    for round in 0..10 {
        // What is in flight is acknowledged packet by packet.
        let acked = sent;
        sent = peer.association().stats().data_chunks_sent as u32;
        let before = path(&mut peer);
        assert!(before.flight >= before.cwnd, "{before:?}");
        for n in acked + 1..=sent {
            let sack = peer.sack(n);
            peer.send(sack);
        }
        let grown = path(&mut peer).cwnd - before.cwnd;
        assert_eq!(grown, FULL + 16, "round {round} of {before:?}");
    }
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
    fill_bottleneck(CongestionControl::Rfc9260);
}

#[test]
fn cubic_fills_a_bottleneck() {
    fill_bottleneck(CongestionControl::Cubic);
}

#[test]
fn bbr_fills_a_bottleneck() {
    fill_bottleneck(CongestionControl::Bbr);
}

fn fill_bottleneck(kind: CongestionControl) {
    // 1 MB/s, 40 ms round trip, 40 kB of buffer: the sender finds the rate and keeps to it.
    let mut pair = Pair::builder()
        .link(Link {
            delay: Duration::from_millis(20),
            rate: Some(1_000_000),
            queue: 40_000,
            ..Link::default()
        })
        .both(|c| {
            c.congestion_control(kind);
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

#[test]
fn an_initial_window_that_is_set_leaves_at_once() {
    for kind in [
        CongestionControl::Rfc9260,
        CongestionControl::Cubic,
        CongestionControl::Bbr,
    ] {
        let mut peer = Peer::connected_with(|c| {
            c.stream_send_buffer(1024 * 1024)
                .congestion_control(kind)
                .initial_window(Some(10));
        });
        queue(&mut peer, 400);
        assert_eq!(data_packets(&mut peer), 10, "{kind:?}");
        // With nothing in flight they may again; beside others Max.Burst, four, holds.
        let sack = peer.sack(10);
        peer.send(sack);
        assert_eq!(data_packets(&mut peer), 10, "{kind:?}");
        let sack = peer.sack(11);
        peer.send(sack);
        assert!((1..=4).contains(&data_packets(&mut peer)));
    }
}

#[test]
fn ten_packets_before_the_handshake_is_over_take_one_round_trip_after_it() {
    let arrival = |packets| {
        let mut pair = Pair::builder()
            .both(|c| {
                c.initial_window(packets);
            })
            .build();
        let begin = pair.now;
        pair.start();
        for _ in 0..10 {
            pair.send(Client, 1, vec![0; 1000]);
        }
        // One message leaves with the COOKIE ECHO and waits at the server, which accepts at once.
        let mut left = 10;
        while left > 0 {
            assert!(pair.step());
            if !pair.server.conns.is_empty() {
                left -= pair.recv_all(Server).len();
            }
        }
        pair.now - begin
    };
    // INIT, INIT ACK, COOKIE ECHO, COOKIE ACK, DATA: 10 ms each.
    assert_eq!(arrival(Some(10)), Duration::from_millis(50));
    assert!(arrival(None) >= Duration::from_millis(70));
}

/// Sends on every association of the client as fast as it is taken, for this long; the bytes that
/// arrived, per association.
fn saturate(pair: &mut Pair, time: Duration) -> Vec<usize> {
    let end = pair.now + time;
    let mut received = vec![0; pair.client.conns.len()];
    let message = Bytes::from(vec![0; 10_000]);
    while pair.now < end {
        let now = pair.now;
        for conn in &mut pair.client.conns {
            let association = &mut conn.association;
            while association
                .send(now, StreamId(1), message.clone(), SendInfo::default())
                .is_ok()
            {}
        }
        assert!(pair.step());
        for (conn, bytes) in pair.server.conns.iter_mut().zip(&mut received) {
            while let Some(message) = conn.association.recv_any() {
                *bytes += message.data.len();
            }
        }
    }
    received
}

/// Bytes in the ten seconds after a single loss on a path of 2.5 MB/s and 200 ms that was full.
fn after_a_loss(kind: CongestionControl) -> usize {
    // The receive window holds one bandwidth-delay product: no other packet is lost.
    let mut pair = Pair::builder()
        .link(Link {
            delay: Duration::from_millis(100),
            rate: Some(2_500_000),
            queue: 1_000_000,
            ..Link::default()
        })
        .both(|c| {
            c.congestion_control(kind)
                .receive_window(640_000)
                .send_buffer(2_000_000)
                .stream_send_buffer(2_000_000);
        })
        .untraced()
        .build();
    pair.connect();
    saturate(&mut pair, Duration::from_secs(10));
    let full = saturate(&mut pair, Duration::from_secs(1))[0];
    assert!(full > 2_200_000, "the path is full: {full}");
    let mut lost = false;
    pair.script_from(Client, move |_, datagram| {
        if lost || datagram.payload.len() < 1000 {
            return Verdict::Pass;
        }
        lost = true;
        Verdict::Drop
    });
    let bytes = saturate(&mut pair, Duration::from_secs(10))[0];
    let stats = pair.stats(Client);
    assert_eq!((stats.fast_retransmits, stats.t3_expiries), (1, 0));
    bytes
}

#[test]
fn cubic_recovers_sooner_on_a_long_fat_path() {
    let reno = after_a_loss(CongestionControl::Rfc9260);
    let cubic = after_a_loss(CongestionControl::Cubic);
    // 25 MB would be all. Half a window more grows by a packet per 200 ms in one case; K is six
    // seconds in the other.
    assert!(cubic > 20_000_000, "{cubic}");
    assert!(cubic * 4 > reno * 5, "{cubic} against {reno}");
}

/// 510 kB take 533 kB with headers. A queue as long as the path is seen a round before it overflows.
#[test]
fn slow_start_ends_before_the_queue_overflows() {
    for kind in [CongestionControl::Cubic, CongestionControl::Bbr] {
        let page = page(1, link(10.0, 50, 50, 0.0), kind, 10_000, &[10_000; 50]);
        assert!(page.wire < 540_000, "{kind:?}: {page:?}");
    }
}

#[test]
fn two_cubic_flows_share_a_bottleneck() {
    let mut pair = Pair::builder()
        .link(Link {
            delay: Duration::from_millis(20),
            rate: Some(1_000_000),
            queue: 40_000,
            // Without it the flows are in step with the queue, and one always finds it full.
            jitter: Duration::from_millis(2),
            ..Link::default()
        })
        .both(|c| {
            c.congestion_control(CongestionControl::Cubic);
        })
        .untraced()
        .steps(10_000_000)
        .build();
    pair.connect();
    saturate(&mut pair, Duration::from_secs(5));
    // The second one comes to a path that is full.
    pair.start();
    pair.drive_until(|pair| pair.server.conns.len() == 2 && pair.established());
    saturate(&mut pair, Duration::from_secs(10));
    let bytes = saturate(&mut pair, Duration::from_secs(40));
    let (less, more) = (bytes[0].min(bytes[1]), bytes[0].max(bytes[1]));
    assert!(less + more > 36_000_000, "{bytes:?}");
    assert!(more < 2 * less, "{bytes:?}");
}
