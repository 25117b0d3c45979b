//! Losses and what mends them (§6.1, §6.2.1, §6.3, §7.2.4).

use std::time::Duration;

use bytes::Bytes;
use sctp_proto::{AssociationState, CloseReason, LossDetection, SendInfo, StreamId};
use sctp_tests::{
    codec::{cause, kind},
    net::{Gilbert, Link, Verdict},
    pair::{
        Pair,
        Side::{Client, Server},
    },
    peer::Peer,
};

const MS: Duration = Duration::from_millis(1);

#[test]
fn the_i_bit_is_sent_when_asked_for() {
    let mut peer = Peer::connected();
    let info = SendInfo::default().sack_immediately(true);
    peer.host_send_with(1, vec![0; 3000], info);
    let chunks = peer.find_all(kind::DATA);
    let bits: Vec<_> = chunks.iter().map(|c| c.as_data().immediate).collect();
    let (last, before) = bits.split_last().unwrap();
    assert!(last, "on the last fragment");
    assert!(before.iter().all(|bit| !bit), "{bits:?}");
}

/// Sends four packets' worth, so that four DATA chunks are outstanding, each in its packet.
fn four_outstanding(peer: &mut Peer) {
    let now = peer.now;
    for _ in 0..4 {
        let message = Bytes::from(vec![0; 1000]);
        let association = peer.association();
        association
            .send(now, StreamId(1), message, SendInfo::default())
            .unwrap();
    }
    peer.collect();
    assert_eq!(peer.find_all(kind::DATA).len(), 4);
}

fn retransmitted(peer: &mut Peer) -> Vec<u32> {
    let first = peer.host_tsn;
    let chunks = peer.find_all(kind::DATA);
    let offset = |c: &sctp_tests::codec::Chunk| c.as_data().tsn.wrapping_sub(first);
    chunks.iter().map(offset).collect()
}

//= RFC 9260 §7.2.4, test
//# Whenever an endpoint receives a SACK chunk that indicates...
//= RFC 9260 §7.2.4, test
//# When a Fast Retransmit is being performed, the sender...
//= RFC 9260 §6.7, test
//# The number of "missing" reports for each outstanding DATA...
#[test]
fn three_missing_reports_resend_at_once_and_only_once() {
    let mut peer = Peer::connected_with(|c| {
        c.loss_detection(LossDetection::MissingReports);
    });
    four_outstanding(&mut peer);
    for highest in 2..=4 {
        assert_eq!(retransmitted(&mut peer), [], "too early");
        let sack = peer.sack(0).gap(2, highest);
        peer.send(sack);
    }
    assert_eq!(retransmitted(&mut peer), [0]);
    assert_eq!(peer.association().stats().fast_retransmits, 1);
    // More reports do not send it once more: that is left to T3-rtx.
    for n in 5..=8 {
        peer.host_send(1, "one more");
        peer.receive_all();
        let sack = peer.sack(0).gap(2, n);
        peer.send(sack);
        assert_eq!(retransmitted(&mut peer), []);
    }
    peer.advance(Duration::from_secs(2));
    assert_eq!(retransmitted(&mut peer)[0], 0);
}

//= RFC 9260 §7.2.4, test
//# Miss indications SHOULD follow the Highest TSN Newly Acknowledged...
//= RFC 9260 §6.7, test
//# All DATA chunks with TSNs not included in the...
#[test]
fn repeated_reports_of_the_same_are_no_new_reports() {
    // §7.2.4: only TSNs newly acknowledged count (highest TSN newly acknowledged).
    let mut peer = Peer::connected();
    four_outstanding(&mut peer);
    for _ in 0..10 {
        let sack = peer.sack(0).gap(3, 3);
        peer.send(sack);
    }
    assert_eq!(retransmitted(&mut peer), []);
    // TSN 1 (offset 1) acknowledged now: the highest newly acknowledged is below offset 2.
    let sack = peer.sack(0).gap(2, 3);
    peer.send(sack);
    assert_eq!(retransmitted(&mut peer), []);
}

//= RFC 9260 §6.1, test
//# Whenever a transmission or retransmission is made to any...
//= RFC 9260 §6.1, test
//# When starting or restarting the T3-rtx timer, the timer...
//= RFC 9260 §8.1, test
//# An endpoint SHOULD keep a counter on the total...
//= RFC 9260 §8.1, test
//# If the value of this counter exceeds the limit...
//= RFC 9260 §8.1, test
//# In addition, the endpoint SHOULD report the failure to...
//= RFC 9260 §8.2, test
//# When the value in the error counter exceeds the...
#[test]
fn a_lost_last_packet_waits_for_t3_which_doubles() {
    let mut peer = Peer::connected_with(|c| {
        c.association_max_retrans(5).path_max_retrans(5);
    });
    peer.host_send(1, "lonely");
    peer.receive_all();
    let mut waits = Vec::new();
    loop {
        peer.advance(MS);
        if peer.closed().is_some() {
            break;
        }
        let begin = peer.now;
        while peer.find(kind::DATA).is_none() && peer.closed().is_none() {
            peer.advance(MS * 10);
        }
        if peer.closed().is_some() {
            break;
        }
        waits.push((peer.now - begin).as_millis());
    }
    assert_eq!(waits.len(), 5, "{waits:?}");
    for pair in waits.windows(2) {
        let ratio = pair[1] as f64 / pair[0] as f64;
        assert!((1.9..2.1).contains(&ratio), "{waits:?}");
    }
    assert_eq!(peer.closed(), Some(CloseReason::TimedOut));
}

//= RFC 9260 §6.3.3, test
//# Any DATA chunks that were sent to the address...
//= RFC 9260 §7.2.1, test
//# The initial cwnd after a retransmission timeout MUST be...
//= RFC 9260 §6.1, test
//# When the time comes for the sender to transmit,...
#[test]
fn t3_sends_one_packet_and_the_rest_as_acknowledgements_come() {
    let mut peer = Peer::connected();
    four_outstanding(&mut peer);
    peer.advance_to_packet();
    assert_eq!(retransmitted(&mut peer), [0], "one packet (§6.3.3 E3)");
    let sack = peer.sack(1);
    peer.send(sack);
    let next = retransmitted(&mut peer);
    assert_eq!(next.first(), Some(&1));
    // A SACK for the rest ends it.
    let sack = peer.sack(4);
    peer.send(sack);
    peer.advance(Duration::from_secs(60));
    peer.expect_nothing();
}

#[test]
fn a_shrunk_round_trip_time_shrinks_the_time_out() {
    let mut peer = Peer::connected_with(|c| {
        c.tail_loss_probes(false);
    });
    // §6.3.1: RTO.Min is 400 ms here, the round trip nothing.
    for i in 0..20 {
        peer.host_send(1, "ping");
        peer.advance(MS);
        let sack = peer.sack(i + 1);
        peer.send(sack);
    }
    peer.receive_all();
    peer.host_send(1, "lost");
    peer.receive_all();
    let wait = peer.advance_to_packet();
    assert!((400 * MS..450 * MS).contains(&wait), "{wait:?}");
}

//= RFC 9260 §6.3.1, test
//# Karn's algorithm: RTT measurements MUST NOT be made using...
#[test]
fn a_retransmitted_chunk_does_not_measure_the_round_trip() {
    // Karn's rule (§6.3.1 C5): 900 ms after the first transmission, just after the second.
    let mut peer = Peer::connected();
    peer.host_send(1, "twice");
    peer.receive_all();
    peer.advance_to_packet();
    peer.receive_all();
    let sack = peer.sack(1);
    peer.send(sack);
    let path = peer.association().paths().next().unwrap();
    assert!(path.stats.srtt < 10 * MS, "{:?}", path.stats);
}

//= RFC 9260 §6.3.1, test
//# RTT measurements SHOULD only be made using a DATA...
#[test]
fn what_waited_for_a_retransmission_does_not_measure_the_round_trip() {
    let mut peer = Peer::connected();
    four_outstanding(&mut peer);
    peer.advance_to_packet();
    assert_eq!(retransmitted(&mut peer), [0]);
    // One retransmission fills the gap before three that came a second ago.
    let sack = peer.sack(4);
    peer.send(sack);
    let path = peer.association().paths().next().unwrap();
    assert_eq!(path.stats.srtt, Duration::ZERO, "{:?}", path.stats);
    // What was sent since then does.
    peer.advance(MS);
    peer.host_send(1, "new");
    peer.advance(30 * MS);
    let sack = peer.sack(5);
    peer.send(sack);
    let path = peer.association().paths().next().unwrap();
    assert_eq!(path.stats.srtt, 30 * MS);
}

//= RFC 9260 §6.3.1, test
//# When data is in flight and when allowed by rule...
#[test]
fn every_round_trip_is_measured() {
    let mut peer = Peer::connected();
    let mut srtt = Duration::ZERO;
    for n in 1..=20 {
        peer.host_send(1, "ping");
        peer.advance(n * 10 * MS);
        let sack = peer.sack(n);
        peer.send(sack);
        let measured = peer.association().paths().next().unwrap().stats.srtt;
        assert!(measured > srtt, "{n}: {srtt:?}, {measured:?}");
        srtt = measured;
    }
}

//= RFC 9260 §6.1, test
//# Senders MUST support zero window probing.
//= RFC 9260 §6.1, test
//# If the sender continues to receive SACK chunks from...
//= RFC 9260 §6.1, test
//# The sender SHOULD send the first zero window probe...
//= RFC 9260 §6.1, test
//# A zero window probe SHOULD only be sent when...
#[test]
fn a_closed_window_is_probed_with_one_chunk_for_ever() {
    let mut peer = Peer::connected_with(|c| {
        c.association_max_retrans(4)
            .path_max_retrans(4)
            .rto_max(Duration::from_secs(2));
    });
    peer.host_send(1, "fills the window");
    peer.receive_all();
    let closed = peer.sack(1).a_rwnd(0);
    peer.send(closed.clone());
    for _ in 0..5 {
        peer.host_send(1, vec![0; 500]);
    }
    let mut waits = Vec::new();
    for _ in 0..30 {
        waits.push(peer.advance_to_packet());
        assert_eq!(retransmitted(&mut peer), [1], "one chunk (§6.1 A)");
        // The peer lives, and its window is closed: this is no failure of it.
        peer.send(closed.clone());
        assert_eq!(peer.state(), AssociationState::Established);
    }
    assert_eq!(waits[0], 400 * MS, "the RTO");
    assert_eq!(waits[2..5], [800 * MS, 1600 * MS, 2000 * MS]);
    let open = peer.sack(2);
    peer.send(open);
    assert_eq!(retransmitted(&mut peer), [2, 3, 4, 5]);
}

//= RFC 9260 §6.1, test
//# At any given time, the data sender MUST NOT...
//= RFC 9260 §6.2.1, test
//# An endpoint SHOULD use the following rules to calculate...
#[test]
fn no_more_is_sent_than_the_peers_window_takes() {
    let mut peer = Peer::client();
    let small = sctp_tests::build::init(sctp_tests::peer::TAG).a_rwnd(3000);
    peer.connect(small);
    let now = peer.now;
    for _ in 0..10 {
        let message = Bytes::from(vec![0; 1000]);
        let association = peer.association();
        association
            .send(now, StreamId(1), message, SendInfo::default())
            .unwrap();
    }
    peer.collect();
    let sent = retransmitted(&mut peer).len();
    assert!(
        (2..=3).contains(&sent),
        "{sent} chunks of 1000 bytes into 3000"
    );
}

/// Else a peer that delays its SACKs would be waited for once per window: at 64 KiB a packet and a
/// window of 128 KiB that is every other packet.
#[test]
fn what_fills_the_peers_window_asks_for_a_prompt_sack() {
    let mut peer = Peer::client();
    let small = sctp_tests::build::init(sctp_tests::peer::TAG).a_rwnd(3000);
    peer.connect(small);
    peer.host_send_with(1, vec![0; 10_000], SendInfo::default());
    let chunks = peer.find_all(kind::DATA);
    let bits: Vec<_> = chunks.iter().map(|c| c.as_data().immediate).collect();
    let (last, before) = bits.split_last().unwrap();
    assert!(last, "{bits:?}");
    assert!(
        !before.is_empty() && before.iter().all(|bit| !bit),
        "{bits:?}"
    );
}

//= RFC 9260 §6.1, test
//# A zero window probe MUST only be sent when the...
#[test]
fn a_closed_window_gets_no_probe_beside_what_it_has_not_acknowledged() {
    let mut peer = Peer::connected();
    peer.host_send(1, vec![0; 20_000]);
    assert_eq!(retransmitted(&mut peer), [0, 1, 2, 3]);
    let closed = peer.sack(0).a_rwnd(0);
    for _ in 0..5 {
        peer.send(closed.clone());
        peer.expect_nothing();
        peer.advance_to_packet();
        assert_eq!(retransmitted(&mut peer), [0], "one packet (§6.3.3 E3)");
    }
    let closed = peer.sack(4).a_rwnd(0);
    peer.send(closed);
    peer.expect_nothing();
    peer.advance_to_packet();
    assert_eq!(retransmitted(&mut peer), [4]);
}

/// A host whose RTO is one second whatever happens and that has RFC 9260's own recovery only,
/// with this many messages of 1000 bytes queued.
fn steady(messages: usize) -> Peer {
    let second = Duration::from_secs(1);
    let mut peer = Peer::connected_with(|c| {
        c.rto_min(second).rto_initial(second).rto_max(second);
        c.loss_detection(LossDetection::MissingReports);
    });
    let now = peer.now;
    for _ in 0..messages {
        let message = Bytes::from(vec![0; 1000]);
        let sent = peer
            .association()
            .send(now, StreamId(1), message, SendInfo::default());
        sent.expect("the message is taken");
    }
    peer.collect();
    peer
}

//= RFC 9260 §6.1, test
//# If the timer for that address is already running, the...
//= RFC 9260 §6.1, test
//# Otherwise, the data sender MUST NOT restart the timer.
#[test]
fn only_the_earliest_chunk_that_is_sent_again_restarts_t3() {
    let mut peer = steady(20);
    assert!(retransmitted(&mut peer).len() >= 4);
    // Chunks 0 and 2 are lost. Three reports for the one, two for the other.
    let reports = [
        peer.sack(0).gap(2, 2),
        peer.sack(0).gap(2, 2).gap(4, 4),
        peer.sack(0).gap(2, 2).gap(4, 5),
        peer.sack(0).gap(2, 2).gap(4, 6),
    ];
    peer.send(reports[0].clone());
    peer.send(reports[1].clone());
    peer.advance(100 * MS);
    assert!(!retransmitted(&mut peer).contains(&0));
    peer.send(reports[2].clone());
    assert!(retransmitted(&mut peer).contains(&0));
    let restarted = peer.now;
    peer.advance(400 * MS);
    peer.send(reports[3].clone());
    assert!(retransmitted(&mut peer).contains(&2));
    peer.advance_to_packet();
    assert_eq!(peer.now - restarted, 1000 * MS);
    assert_eq!(retransmitted(&mut peer)[0], 0);
}

#[test]
fn t3_restarts_when_the_earliest_chunk_is_acknowledged_and_stops_after_the_last() {
    // Rules R2 and R3 of §6.3.2.
    let mut peer = steady(4);
    let begin = peer.now;
    peer.receive_all();
    peer.advance(300 * MS);
    let not_the_earliest = peer.sack(0).gap(2, 2);
    peer.send(not_the_earliest);
    peer.advance(300 * MS);
    let earliest = peer.sack(2);
    peer.send(earliest);
    peer.expect_nothing();
    peer.advance_to_packet();
    assert_eq!(peer.now - begin, 1600 * MS);
    let last = peer.sack(4);
    peer.send(last);
    peer.receive_all();
    peer.advance(Duration::from_secs(60));
    peer.expect_nothing();

    let mut peer = steady(4);
    let begin = peer.now;
    peer.receive_all();
    peer.advance(300 * MS);
    let not_the_earliest = peer.sack(0).gap(2, 2);
    peer.send(not_the_earliest);
    peer.advance_to_packet();
    assert_eq!(peer.now - begin, 1000 * MS);
}

//= RFC 9260 §6.7, test
//# Upon the reception of a SACK chunk, the endpoint...
#[test]
fn what_is_acknowledged_for_good_leaves_the_buffer_and_the_rest_stays() {
    let mut peer = Peer::connected();
    four_outstanding(&mut peer);
    let buffered = |peer: &mut Peer| peer.association().buffered_amount(StreamId(1));
    assert_eq!(buffered(&mut peer), 4000);
    let beyond_a_gap = peer.sack(0).gap(2, 4);
    peer.send(beyond_a_gap);
    assert_eq!(buffered(&mut peer), 4000, "the peer may yet renege");
    let sack = peer.sack(3);
    peer.send(sack);
    assert_eq!(buffered(&mut peer), 1000);
    let sack = peer.sack(4);
    peer.send(sack);
    assert_eq!(buffered(&mut peer), 0);
}

#[test]
fn reneged_chunks_are_sent_again() {
    let mut peer = Peer::connected();
    four_outstanding(&mut peer);
    let sack = peer.sack(1).gap(2, 3);
    peer.send(sack);
    // The receiver dropped what it had acknowledged by the gap block (§6.2.1 iv).
    let sack = peer.sack(1);
    peer.send(sack);
    let mut again = retransmitted(&mut peer);
    peer.advance(Duration::from_secs(5));
    again.extend(retransmitted(&mut peer));
    assert!(again.contains(&1));
    let sack = peer.sack(2);
    peer.send(sack);
    again.extend(retransmitted(&mut peer));
    assert!(again.contains(&2) || again.contains(&3), "{again:?}");
}

#[test]
fn an_older_sack_takes_nothing_back() {
    let mut peer = Peer::connected();
    four_outstanding(&mut peer);
    let newer = peer.sack(4);
    peer.send(newer);
    let older = peer.sack(2).a_rwnd(0);
    peer.send(older);
    peer.host_send(1, "goes on");
    assert_eq!(retransmitted(&mut peer), [4]);
    assert_eq!(peer.state(), AssociationState::Established);
}

//= RFC 9260 §12.4, test
//# An SCTP implementation MUST abort the association if it...
#[test]
fn a_sack_for_what_was_never_sent_is_a_violation() {
    let mut peer = Peer::connected();
    peer.host_send(1, "one");
    peer.receive_all();
    let sack = peer.sack(2);
    peer.send(sack);
    peer.expect_abort(cause::PROTOCOL_VIOLATION);
    assert!(matches!(
        peer.closed(),
        Some(CloseReason::PeerMisbehaved(_))
    ));
}

#[test]
fn one_lost_packet_among_many_costs_one_round_trip() {
    let mut pair = Pair::connected();
    // The window is open.
    pair.send(Client, 1, vec![0; 200_000]);
    pair.drive();
    pair.recv(Server, 1).unwrap();
    let before = pair.stats(Client);
    let begin = pair.now;
    let mut count = 0;
    pair.script_from(Client, move |_, _| {
        count += 1;
        if count == 10 {
            Verdict::Drop
        } else {
            Verdict::Pass
        }
    });
    pair.send(Client, 1, vec![1; 60_000]);
    pair.drive_until(|pair| pair.recv(Server, 1).is_some());
    assert!(pair.now - begin < 150 * MS, "{:?}", pair.now - begin);
    let after = pair.stats(Client);
    assert_eq!(
        after.data_chunks_retransmitted - before.data_chunks_retransmitted,
        1
    );
    assert_eq!(after.t3_expiries, before.t3_expiries);
}

#[test]
fn bad_networks_only_make_it_slower() {
    let ms = Duration::from_millis;
    let bad = |change: fn(&mut Link)| {
        let mut link = Link::default();
        change(&mut link);
        link
    };
    let networks = [
        bad(|link| link.loss = 0.2),
        bad(|link| {
            link.burst = Some(Gilbert {
                enter: 0.02,
                leave: 0.3,
                loss: 1.0,
            })
        }),
        bad(|link| link.reorder = 0.5),
        bad(|link| link.duplicate = 0.5),
        bad(|link| link.corrupt = 0.2),
        bad(|link| link.jitter = Duration::from_millis(200)),
        bad(|link| {
            link.rate = Some(100_000);
            link.queue = 10_000;
        }),
        bad(|link| link.delay = Duration::from_millis(800)),
    ];
    for (index, link) in networks.into_iter().enumerate() {
        for interleaving in [false, true] {
            let mut pair = Pair::builder()
                .seed(index as u64)
                .link(link.clone())
                .both(|c| {
                    c.interleaving(interleaving)
                        .rto_max(ms(5000))
                        .max_init_retransmits(30);
                })
                .build();
            pair.connect();
            let message: Bytes = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
            pair.send(Client, 1, message.clone());
            pair.send(Server, 1, message.clone());
            pair.drive();
            assert_eq!(
                pair.recv(Server, 1),
                Some(message.clone()),
                "network {index}"
            );
            assert_eq!(pair.recv(Client, 1), Some(message), "network {index}");
        }
    }
}

#[test]
fn an_outage_shorter_than_the_association_lives_is_survived() {
    let mut pair = Pair::connected();
    pair.net.links(|link| link.down = true);
    pair.send(Client, 1, "through the dark");
    pair.drive_for(Duration::from_secs(20));
    assert!(pair.established());
    pair.net.links(|link| link.down = false);
    pair.drive();
    assert_eq!(pair.recv(Server, 1).unwrap(), "through the dark");
}

#[test]
fn an_endless_outage_ends_the_association_and_gives_the_messages_back() {
    let mut pair = Pair::connected();
    pair.net.links(|link| link.down = true);
    pair.send_with(Client, 1, "into the dark", SendInfo::default().context(4));
    pair.drive();
    assert_eq!(pair.closed(Client), Some(CloseReason::TimedOut));
    let events = pair.events(Client);
    let failed = events.iter().any(|event| {
        matches!(event, sctp_proto::Event::SendFailed { context: 4, sent: 1.., data, .. }
            if data == "into the dark")
    });
    assert!(failed, "{events:?}");
    assert_eq!(pair.client.endpoint.associations(), 0);
}
