//! Loss recovery beside RFC 9260's own: by send times (RACK) and by tail loss probes, after
//! RFC 8985.

use std::time::Duration;

use sctp_proto::{
    AssociationConfig, AssociationStats, CongestionControl, LossDetection, PathStats,
};
use sctp_tests::{
    build::{cookie_echo, init, init_ack},
    codec::{Packet, kind},
    net::{Datagram, Verdict},
    pair::{
        Pair,
        Side::{Client, Server},
    },
    peer::{COOKIE, Peer, TAG},
};

const MS: Duration = Duration::from_millis(1);
/// User data that fills a packet of the default MTU.
const FULL: usize = 1280 - 20 - 8 - 12 - 16;

/// An association over 20 ms round trips whose window is open, with everything acknowledged.
fn warmed_up(change: impl Fn(&mut AssociationConfig)) -> Pair {
    let mut pair = Pair::builder()
        .both(|c| {
            c.interleaving(false);
            change(c);
        })
        .build();
    pair.connect();
    for _ in 0..3 {
        transfer(&mut pair, 60);
    }
    pair
}

fn send_packets(pair: &mut Pair, count: usize) {
    for _ in 0..count {
        pair.send(Client, 1, vec![0; FULL]);
    }
}

fn first_tsn(datagram: &Datagram) -> Option<u32> {
    let packet = Packet::decode(&datagram.payload).expect("a packet");
    let data = packet.chunks.iter().find(|c| c.kind == kind::DATA)?;
    Some(data.as_data().tsn)
}

/// Does to each of the client's DATA packets what `fate` says of its number, counted from zero
/// by TSN, and of how often it was sent before.
fn script(pair: &mut Pair, mut fate: impl FnMut(u32, u32) -> Verdict + Send + 'static) {
    let mut sent: Vec<u32> = Vec::new();
    let mut base = None;
    pair.script_from(Client, move |_, datagram| {
        let Some(tsn) = first_tsn(datagram) else {
            return Verdict::Pass;
        };
        let number = tsn.wrapping_sub(*base.get_or_insert(tsn));
        let before = sent.iter().filter(|n| **n == number).count() as u32;
        sent.push(number);
        fate(number, before)
    });
}

/// How long `count` packets take to arrive and be read, and what the client counted meanwhile.
fn transfer(pair: &mut Pair, count: usize) -> (Duration, AssociationStats) {
    let before = pair.stats(Client);
    let begin = pair.now;
    send_packets(pair, count);
    let mut left = count;
    while left > 0 {
        assert!(pair.step(), "{}", pair.summary());
        left -= pair.recv_all(Server).len();
    }
    let took = pair.now - begin;
    // The last acknowledgements come. Not long enough for the window to decay.
    pair.drive_for(60 * MS);
    let mut stats = pair.stats(Client);
    stats.data_chunks_retransmitted -= before.data_chunks_retransmitted;
    stats.t3_expiries -= before.t3_expiries;
    stats.fast_retransmits -= before.fast_retransmits;
    stats.tail_loss_probes -= before.tail_loss_probes;
    stats.spurious_retransmissions -= before.spurious_retransmissions;
    stats.reductions_undone -= before.reductions_undone;
    (took, stats)
}

#[test]
fn a_lost_tail_is_repaired_in_round_trips() {
    for lost in 1..=5 {
        let mut pair = warmed_up(|_| {});
        let srtt = pair.path(Client).srtt;
        let (clean, _) = transfer(&mut pair, 20);
        script(&mut pair, move |number, before| match number {
            _ if number >= 20 - lost && before == 0 => Verdict::Drop,
            _ => Verdict::Pass,
        });
        let (took, stats) = transfer(&mut pair, 20);
        // Two round trips until the probe leaves, one for it and one for the rest.
        assert!(took < clean + 5 * srtt, "{lost} lost: {took:?}, {clean:?}");
        assert_eq!((stats.t3_expiries, stats.tail_loss_probes), (0, 1));
        assert_eq!(stats.data_chunks_retransmitted, u64::from(lost));
    }
}

#[test]
fn a_loss_that_a_probe_repaired_shrinks_the_window() {
    let mut pair = warmed_up(|_| {});
    script(&mut pair, |number, before| match (number, before) {
        (19, 0) => Verdict::Drop,
        _ => Verdict::Pass,
    });
    let before = pair.path(Client).cwnd;
    transfer(&mut pair, 20);
    assert_eq!(
        pair.path(Client).cwnd,
        before,
        "the peer may yet tell of a duplicate"
    );
    transfer(&mut pair, 1);
    assert!(pair.path(Client).cwnd <= before / 2 + FULL);
}

#[test]
fn a_probe_that_was_for_nothing_costs_no_window() {
    let mut pair = warmed_up(|_| {});
    script(&mut pair, |number, before| match (number, before) {
        (19, 0) => Verdict::Delay(45 * MS),
        _ => Verdict::Pass,
    });
    let before = pair.path(Client).cwnd;
    let (_, stats) = transfer(&mut pair, 20);
    assert_eq!(stats.tail_loss_probes, 1);
    transfer(&mut pair, 1);
    assert_eq!(pair.path(Client).cwnd, before);
}

#[test]
fn a_lost_tail_waits_for_t3_where_probes_are_off() {
    let mut pair = warmed_up(|c| {
        c.tail_loss_probes(false);
    });
    script(&mut pair, |number, before| match (number, before) {
        (19, 0) => Verdict::Drop,
        _ => Verdict::Pass,
    });
    let (took, stats) = transfer(&mut pair, 20);
    assert!(took >= 400 * MS, "RTO.Min: {took:?}");
    assert_eq!((stats.t3_expiries, stats.tail_loss_probes), (1, 0));
}

#[test]
fn a_lone_packet_is_not_probed_while_its_sack_may_be_delayed() {
    let mut pair = warmed_up(|_| {});
    for _ in 0..10 {
        let (_, stats) = transfer(&mut pair, 1);
        assert_eq!(stats.tail_loss_probes, 0);
        pair.drive_for(50 * MS);
    }
}

#[test]
fn a_lost_retransmission_is_found_without_a_time_out() {
    for lost in 2..=4 {
        let twice = move |number, before| match number {
            5 if before < lost => Verdict::Drop,
            _ => Verdict::Pass,
        };
        let mut pair = warmed_up(|_| {});
        let srtt = pair.path(Client).srtt;
        let (clean, _) = transfer(&mut pair, 150);
        script(&mut pair, twice);
        let (took, stats) = transfer(&mut pair, 150);
        assert_eq!(stats.t3_expiries, 0, "{stats:?}");
        assert_eq!(stats.data_chunks_retransmitted, u64::from(lost));
        assert!(took < clean + 4 * lost * srtt, "{took:?}, {clean:?}");
        // RFC 9260 alone has nothing but the timer for it.
        let mut pair = warmed_up(|c| {
            c.loss_detection(LossDetection::MissingReports);
        });
        script(&mut pair, twice);
        let (_, stats) = transfer(&mut pair, 150);
        assert!(stats.t3_expiries > 0);
    }
}

/// Nothing that leaves after the last retransmission tells of its loss: a time-out of 400 ms was
/// waited for, on a path of 20.
#[test]
fn a_lost_retransmission_of_the_tail_is_probed_for() {
    // Number 19 is found lost when the retransmission of 16 has arrived, which left after it.
    for lost in [vec![17], vec![12, 17], vec![16, 19]] {
        let mut pair = warmed_up(|_| {});
        let srtt = pair.path(Client).srtt;
        let (clean, _) = transfer(&mut pair, 20);
        let last = *lost.last().unwrap();
        script(&mut pair, move |number, before| match number {
            _ if before == 0 && lost.contains(&number) => Verdict::Drop,
            _ if before == 1 && number == last => Verdict::Drop,
            _ => Verdict::Pass,
        });
        let (took, stats) = transfer(&mut pair, 20);
        assert_eq!((stats.t3_expiries, stats.tail_loss_probes), (0, 1));
        assert!(took < clean + 6 * srtt, "{last}: {took:?}, {clean:?}");
        assert_eq!(stats.spurious_retransmissions, 0);
    }
}

#[test]
fn a_probe_after_a_retransmission_that_was_late_undoes_no_reduction() {
    let mut pair = warmed_up(|_| {});
    script(&mut pair, |number, before| match (number, before) {
        (17, 0) => Verdict::Drop,
        (17, 1) => Verdict::Delay(45 * MS),
        _ => Verdict::Pass,
    });
    let (_, stats) = transfer(&mut pair, 20);
    assert_eq!((stats.t3_expiries, stats.tail_loss_probes), (0, 1));
    transfer(&mut pair, 1);
    assert_eq!(pair.stats(Client).reductions_undone, 0);
}

/// Three requests in a packet each are no lone packet, whatever their size: their loss was waited
/// for as if the peer might delay its SACK.
#[test]
fn small_packets_are_not_taken_for_a_lone_one() {
    let mut pair = warmed_up(|_| {});
    let srtt = pair.path(Client).srtt;
    script(&mut pair, |number, before| match before {
        0 if number > 0 => Verdict::Drop,
        _ => Verdict::Pass,
    });
    let begin = pair.now;
    for _ in 0..4 {
        pair.send(Client, 1, "request");
        pair.drive_for(MS);
    }
    let mut left = 4;
    while left > 0 {
        assert!(pair.step(), "{}", pair.summary());
        left -= pair.recv_all(Server).len();
    }
    assert!(pair.now - begin < 5 * srtt, "{:?}", pair.now - begin);
}

#[test]
fn a_packet_overtaken_by_few_is_waited_for() {
    let mut pair = warmed_up(|_| {});
    // Overtaken by two, for less than a quarter of a round trip.
    script(&mut pair, |number, _| match number {
        7 => Verdict::Delay(4 * MS),
        8.. => Verdict::Delay(Duration::ZERO),
        _ => Verdict::Pass,
    });
    let (_, stats) = transfer(&mut pair, 10);
    assert_eq!(
        (stats.data_chunks_retransmitted, stats.fast_retransmits),
        (0, 0)
    );
    // From then on no number of packets makes a loss of what is late by so little.
    pair.net.clear_scripts();
    script(&mut pair, |number, _| match number % 10 {
        3 => Verdict::Delay(4 * MS),
        _ => Verdict::Pass,
    });
    let (_, stats) = transfer(&mut pair, 200);
    assert_eq!(
        (stats.data_chunks_retransmitted, stats.fast_retransmits),
        (0, 0)
    );
}

/// Every tenth packet is late by more than a quarter of a round trip.
fn reorder(pair: &mut Pair) {
    script(pair, |number, before| match (number % 10, before) {
        (3, 0) => Verdict::Delay(11 * MS),
        _ => Verdict::Pass,
    });
}

#[test]
fn reordering_that_persists_costs_few_retransmissions() {
    let mut pair = warmed_up(|_| {});
    reorder(&mut pair);
    let mut needless = Vec::new();
    for _ in 0..8 {
        let (_, stats) = transfer(&mut pair, 100);
        assert_eq!(stats.t3_expiries, 0);
        needless.push(stats.data_chunks_retransmitted);
    }
    assert!(needless[0] > 0, "{needless:?}");
    assert_eq!(needless[4..], [0; 4], "{needless:?}");
}

#[test]
fn reordering_long_past_is_not_waited_for() {
    let mut pair = warmed_up(|_| {});
    reorder(&mut pair);
    for _ in 0..8 {
        transfer(&mut pair, 100);
    }
    pair.net.clear_scripts();
    // A round of losses each, and none for nothing: after the sixteenth nobody remembers.
    for _ in 0..17 {
        script(&mut pair, |number, before| match (number, before) {
            (5, 0) => Verdict::Drop,
            _ => Verdict::Pass,
        });
        let (_, stats) = transfer(&mut pair, 30);
        assert_eq!(stats.data_chunks_retransmitted, 1);
        pair.net.clear_scripts();
    }
    reorder(&mut pair);
    let (_, stats) = transfer(&mut pair, 100);
    assert!(stats.data_chunks_retransmitted > 0, "{stats:?}");
}

#[test]
fn what_is_overtaken_for_too_long_is_lost() {
    let mut pair = warmed_up(|_| {});
    let (clean, _) = transfer(&mut pair, 10);
    // The last but one of a burst is lost: one packet above it, and no third report.
    script(&mut pair, |number, before| match (number, before) {
        (8, 0) => Verdict::Drop,
        _ => Verdict::Pass,
    });
    let (took, stats) = transfer(&mut pair, 10);
    assert_eq!((stats.t3_expiries, stats.tail_loss_probes), (0, 0));
    // A quarter of a round trip to wait, and one to get there.
    assert!(took < clean + 30 * MS, "{took:?}, {clean:?}");
}

/// Sends 40 packets over a path that carries nothing of the client's for 500 ms; the path before
/// and after, and what was counted.
fn stall(change: impl Fn(&mut AssociationConfig)) -> (PathStats, PathStats, AssociationStats) {
    let mut pair = warmed_up(change);
    let before = pair.path(Client);
    let end = pair.now + 500 * MS;
    pair.script_from(Client, move |now, _| match now < end {
        true => Verdict::Delay(end - now),
        false => Verdict::Pass,
    });
    let (_, stats) = transfer(&mut pair, 40);
    (before, pair.path(Client), stats)
}

#[test]
fn a_time_out_that_a_stalled_path_caused_is_undone() {
    for kind in [
        CongestionControl::Rfc9260,
        CongestionControl::Cubic,
        CongestionControl::Bbr,
    ] {
        let (before, after, stats) = stall(|c| {
            c.congestion_control(kind).tail_loss_probes(false);
        });
        assert_eq!((stats.t3_expiries, stats.reductions_undone), (1, 1));
        assert!(after.cwnd >= before.cwnd, "{before:?} {after:?}");
        assert_eq!(after.rto, before.rto, "{kind:?}");
        // What was marked lost is not sent again.
        assert!(stats.data_chunks_retransmitted < 10, "{stats:?}");
        assert!(stats.spurious_retransmissions > 0);
    }
    let (before, after, stats) = stall(|c| {
        c.undo_spurious(false).tail_loss_probes(false);
    });
    assert_eq!((stats.t3_expiries, stats.reductions_undone), (1, 0));
    assert!(after.cwnd < before.cwnd, "{before:?} {after:?}");
}

#[test]
fn a_time_out_after_a_real_loss_stays() {
    for lost in [1, 3, 40] {
        let mut pair = warmed_up(|c| {
            c.tail_loss_probes(false);
        });
        let before = pair.path(Client).cwnd;
        script(&mut pair, move |number, before| {
            match number + lost >= 40 && before == 0 {
                true => Verdict::Drop,
                false => Verdict::Pass,
            }
        });
        let (_, stats) = transfer(&mut pair, 40);
        assert_eq!((stats.t3_expiries, stats.reductions_undone), (1, 0));
        assert!(pair.path(Client).cwnd < before, "{lost} lost");
    }
}

/// Packet 7 of 60 meets a fate; the window before and after, and what was counted.
fn one_of_sixty(
    on: bool,
    fate: impl FnMut(u32, u32) -> Verdict + Send + 'static,
) -> (usize, usize, AssociationStats) {
    let mut pair = warmed_up(|c| {
        c.undo_spurious(on);
    });
    let before = pair.path(Client).cwnd;
    script(&mut pair, fate);
    let (_, stats) = transfer(&mut pair, 60);
    assert_eq!((stats.t3_expiries, stats.fast_retransmits), (0, 1));
    (before, pair.path(Client).cwnd, stats)
}

#[test]
fn a_reduction_for_what_was_only_overtaken_is_undone() {
    let late = |number, before| match (number, before) {
        (7, 0) => Verdict::Delay(15 * MS),
        _ => Verdict::Pass,
    };
    let (before, after, stats) = one_of_sixty(true, late);
    assert_eq!(stats.reductions_undone, 1);
    assert_eq!(stats.spurious_retransmissions, 1);
    assert!(after >= before, "{before} {after}");
    let (before, after, stats) = one_of_sixty(false, late);
    assert_eq!(stats.reductions_undone, 0);
    assert!(after < before, "{before} {after}");
}

#[test]
fn a_reduction_for_a_loss_stays() {
    let lost = |number, before| match (number, before) {
        (7, 0) => Verdict::Drop,
        _ => Verdict::Pass,
    };
    let (before, after, stats) = one_of_sixty(true, lost);
    assert_eq!(stats.reductions_undone, 0);
    assert_eq!(stats.spurious_retransmissions, 0);
    assert!(after < before, "{before} {after}");
}

#[test]
fn one_loss_among_those_overtaken_keeps_the_reduction() {
    let mixed = |number, before| match (number, before) {
        (7, 0) => Verdict::Delay(15 * MS),
        (9, 0) => Verdict::Drop,
        _ => Verdict::Pass,
    };
    let (before, after, stats) = one_of_sixty(true, mixed);
    assert_eq!(stats.spurious_retransmissions, 1);
    assert_eq!(stats.reductions_undone, 0);
    assert!(after < before, "{before} {after}");
}

#[test]
fn duplicates_made_by_the_network_undo_no_loss() {
    let duplicated = |number, before| match (number, before) {
        (7, 0) => Verdict::Drop,
        (5 | 6, 0) | (7, 1) => Verdict::Duplicate,
        _ => Verdict::Pass,
    };
    let (before, after, stats) = one_of_sixty(true, duplicated);
    assert_eq!(stats.reductions_undone, 0);
    assert!(after < before, "{before} {after}");
}

#[test]
fn what_is_sent_again_is_charged_to_the_peers_window_once() {
    // With the COOKIE ECHO.
    let mut peer = Peer::server();
    peer.host_send(1, vec![0; 1000]);
    peer.answer_init(init_ack(TAG, COOKIE).a_rwnd(10_000));
    for _ in 0..3 {
        peer.expect_packet(&[kind::COOKIE_ECHO, kind::DATA]);
        assert_eq!(peer.association().status().peer_window, 9000);
        peer.advance_to_packet();
    }
    // The INITs have crossed, and the cookie of this side's counts.
    peer.receive_all();
    peer.tag = TAG + 1;
    let answer = peer.init(init(TAG + 1).a_rwnd(5000));
    peer.send(cookie_echo(&answer.cookie()));
    peer.expect(kind::COOKIE_ACK);
    assert_eq!(peer.association().status().peer_window, 4000);
    // When the time for reordering is over.
    let mut peer = Peer::connected();
    for n in 1..=4 {
        peer.host_send(1, vec![0; 1000]);
        if n == 1 {
            peer.advance(Duration::from_millis(100));
            let sack = peer.sack(1);
            peer.send(sack);
        }
    }
    peer.receive_all();
    peer.advance(Duration::from_millis(100));
    let sack = peer.sack(1).a_rwnd(10_000).gap(2, 2);
    peer.send(sack);
    assert_eq!(peer.association().status().peer_window, 8000);
    peer.receive_all();
    peer.advance_to_packet();
    let again = peer.expect(kind::DATA).as_data();
    assert_eq!(again.tsn, peer.host_tsn(1));
    assert_eq!(peer.association().stats().fast_retransmits, 1);
    assert_eq!(peer.association().status().peer_window, 8000);
}
