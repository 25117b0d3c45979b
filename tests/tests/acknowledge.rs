//! Acknowledging (§6.2): when a SACK leaves, what it says, and the window it tells.

use std::time::Duration;

use sctp_proto::AssociationState;
use sctp_tests::{
    build::data,
    codec::{Sack, kind},
    peer::Peer,
    rng::Rng,
};

const MS: Duration = Duration::from_millis(1);

/// A host that has received TSNs 1 to 20 and acknowledged them all.
fn warmed_up() -> Peer {
    let mut peer = Peer::connected();
    for tsn in 1..=20 {
        peer.send(data(1).tsn(tsn).seq(tsn - 1).be());
        peer.host_recv(1).expect("a message");
    }
    peer.advance(Duration::from_secs(1));
    assert_eq!(last_sack(&mut peer).cumulative, 20);
    peer
}

fn last_sack(peer: &mut Peer) -> Sack {
    let sacks = peer.find_all(kind::SACK);
    sacks.last().expect("a SACK").as_sack()
}

//= RFC 9260 §6.2, test
//# Specifically, an acknowledgement SHOULD be generated for at least...
//= RFC 9260 §6.2, test
//# The guidelines on the delayed acknowledgement algorithm specified in...
//= RFC 9260 §5.1, test
//# After the reception of the first DATA chunk in...
#[test]
fn a_sack_may_wait_for_a_second_packet_but_not_for_long() {
    let mut peer = warmed_up();
    peer.send(data(1).tsn(21).seq(20).be());
    peer.expect_nothing();
    assert!(peer.advance_to_packet() <= 40 * MS);
    assert_eq!(last_sack(&mut peer).cumulative, 21);
    for tsn in (22..40).step_by(2) {
        peer.send(data(1).tsn(tsn).seq(tsn - 1).be());
        peer.expect_nothing();
        peer.send(data(1).tsn(tsn + 1).seq(tsn).be());
        assert_eq!(last_sack(&mut peer).cumulative, tsn + 1);
    }
}

//= RFC 9260 §6.2, test
//# When a packet arrives with duplicate DATA chunk(s) and...
//= RFC 9260 §6.2, test
//# Upon receipt of an SCTP packet containing a DATA...
//= RFC 9260 §6.2, test
//# The duplicate TSN number(s) SHOULD be reported in the...
//= RFC 9260 §6.7, test
//# If the endpoint detects a gap in the received...
//= RFC 9260 §7.2.4, test
//# However, whenever an endpoint notices a hole in the...
//= RFC 9260 §3.3.4, test
//# The SACK chunk MUST contain the Cumulative TSN Ack,...
#[test]
fn a_gap_a_duplicate_and_the_i_bit_are_acknowledged_at_once() {
    let mut peer = warmed_up();
    peer.send(data(1).tsn(23).seq(22).be());
    let sack = last_sack(&mut peer);
    assert_eq!((sack.cumulative, sack.gaps), (20, vec![(3, 3)]));
    peer.send(data(1).tsn(25).seq(24).be());
    let sack = last_sack(&mut peer);
    assert_eq!(sack.gaps, [(3, 3), (5, 5)]);
    peer.send(data(1).tsn(23).seq(22).be());
    let sack = last_sack(&mut peer);
    assert_eq!(sack.duplicates, [23]);
    peer.send(data(1).tsn(5).seq(4).be());
    let sack = last_sack(&mut peer);
    assert_eq!(sack.duplicates, [5], "each duplicate is reported once");
    for tsn in [21, 22, 24] {
        peer.send(data(1).tsn(tsn).seq(tsn - 1).be());
    }
    peer.advance(MS * 100);
    let sack = last_sack(&mut peer);
    assert_eq!((sack.cumulative, sack.gaps.len()), (25, 0));
    peer.send(data(1).tsn(26).seq(25).immediate().be());
    assert_eq!(last_sack(&mut peer).cumulative, 26);
}

//= RFC 9260 §6.1, test
//# Before an endpoint transmits a DATA chunk, if any...
#[test]
fn a_sack_rides_with_data() {
    let mut peer = warmed_up();
    peer.send(data(1).tsn(21).seq(20).be());
    peer.expect_nothing();
    peer.host_send(1, "answer");
    let chunks = peer.expect_packet(&[kind::SACK, kind::DATA]);
    assert_eq!(chunks[0].as_sack().cumulative, 21);
    peer.advance(MS * 39);
    peer.expect_nothing();
}

//= RFC 9260 §6.2, test
//# When sending a SACK chunk, the data receiver SHOULD...
#[test]
fn the_window_shrinks_with_what_is_unread_and_grows_with_what_is_read() {
    let mut peer = Peer::connected_with(|c| {
        c.receive_window(20_000);
    });
    let fill = vec![0; 1000];
    let mut windows = vec![20_000];
    for tsn in 1..=8 {
        peer.send(
            data(1)
                .tsn(tsn)
                .seq(tsn - 1)
                .immediate()
                .payload(&fill)
                .be(),
        );
        windows.push(last_sack(&mut peer).a_rwnd);
    }
    assert!(windows.is_sorted_by(|a, b| a > b), "{windows:?}");
    assert!(windows[8] <= 12_000);
    while peer.host_recv(1).is_some() {}
    peer.send(data(1).tsn(9).seq(8).immediate().be());
    assert!(last_sack(&mut peer).a_rwnd > windows[1]);
}

//= RFC 9260 §6.2, test
//# In either case, if such a DATA chunk is dropped,...
//= RFC 9260 §6.2, test
//# The dropped DATA chunk(s) MUST NOT be included in...
//= RFC 9260 §6.2, test
//# When the window opens up, an SCTP receiver SHOULD...
//= RFC 9260 §6.2, test
//# The data receiver SHOULD notify the data sender in...
#[test]
fn data_beyond_the_window_is_not_kept() {
    let mut peer = Peer::connected_with(|c| {
        c.receive_window(20_000);
    });
    for tsn in 1..=100 {
        peer.send(data(1).tsn(tsn).seq(tsn - 1).payload(vec![0; 1000]).be());
    }
    peer.advance(Duration::from_secs(1));
    let held = last_sack(&mut peer).cumulative;
    peer.send(data(1).tsn(101).seq(100).payload(vec![0; 1000]).be());
    let refusal = peer.expect(kind::SACK).as_sack();
    assert_eq!((refusal.cumulative, refusal.gaps), (held, vec![]));
    assert_eq!(refusal.a_rwnd, 0);
    assert!((10..=20).contains(&held), "{held}");
    assert!(peer.association().stats().dropped_no_buffer >= 80);
    assert_eq!(peer.state(), AssociationState::Established);
    // Reading makes room, and the peer is told (§6.2).
    for _ in 0..held {
        peer.host_recv(1).expect("a message");
    }
    assert!(last_sack(&mut peer).a_rwnd > 10_000);
    peer.send(data(1).tsn(held + 1).seq(held).immediate().be());
    assert_eq!(last_sack(&mut peer).cumulative, held + 1);
}

//= RFC 9260 §6.2, test
//# Also, if the new incoming DATA chunk holds a...
//= RFC 9260 §6.2, test
//# If a data receiver drops DATA chunks, it MUST...
#[test]
fn what_fills_a_gap_displaces_what_came_too_early() {
    let mut peer = Peer::connected_with(|c| {
        c.receive_window(10_000);
    });
    let fill = vec![0; 1000];
    for tsn in 2..=12 {
        peer.send(data(1).tsn(tsn).seq(tsn - 1).payload(&fill).be());
    }
    let before = last_sack(&mut peer);
    let [(2, highest)] = before.gaps[..] else {
        panic!("{before:?}");
    };
    peer.send(data(1).tsn(1).seq(0).payload(&fill).be());
    let after = last_sack(&mut peer);
    assert!(
        after.cumulative < u32::from(highest),
        "something had to go: {after:?}"
    );
    assert_eq!(after.gaps, [], "and is not acknowledged any more");
    assert!(peer.host_recv(1).is_some(), "TSN 1 was taken");
    // Whatever was given up for it is sent again, and all arrives.
    let mut received = 1;
    for tsn in 2..=12 {
        peer.send(data(1).tsn(tsn).seq(tsn - 1).payload(&fill).be());
        while peer.host_recv(1).is_some() {
            received += 1;
        }
    }
    assert_eq!(received, 12);
}

//= RFC 9260 §6.2, test
//# However, an SCTP transmitter MUST NOT be more aggressive in...
//= RFC 9260 §6.2, test
//# An SCTP receiver MUST NOT generate more than one SACK...
#[test]
fn a_packet_gets_one_sack_at_most_whatever_it_carries() {
    let mut peer = warmed_up();
    let bundle = |first: u32| (first..first + 10).map(|tsn| data(1).tsn(tsn).seq(tsn - 1).be());
    peer.send_bundle(bundle(21).collect());
    peer.expect_nothing();
    peer.send_bundle(bundle(31).collect());
    assert_eq!(peer.expect(kind::SACK).as_sack().cumulative, 40);
    peer.expect_nothing();
    // Gaps, duplicates and the I bit ask for one each, and get one together.
    let mut mixed: Vec<_> = bundle(45).collect();
    mixed.extend(bundle(31));
    mixed.extend([60, 62, 64].map(|tsn| data(1).tsn(tsn).seq(tsn - 1).immediate().be()));
    peer.send_bundle(mixed);
    let sack = peer.expect(kind::SACK).as_sack();
    assert_eq!(
        (sack.cumulative, sack.gaps),
        (40, vec![(5, 14), (20, 20), (22, 22), (24, 24)])
    );
    peer.expect_nothing();
    peer.advance(Duration::from_secs(1));
    peer.expect_nothing();
}

//= RFC 9260 §6.2, test
//# The SCTP endpoint MUST always acknowledge the reception of each...
//= RFC 9260 §6.2, test
//# In particular, the SCTP endpoint MUST fill in the Cumulative...
//= RFC 9260 §6.2, test
//# An endpoint SHOULD NOT revoke a SACK chunk and discard data.
#[test]
fn whatever_was_taken_is_acknowledged_in_whatever_order_it_came() {
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let mut peer = Peer::connected();
        let mut left: Vec<u32> = (1..=60).collect();
        let mut taken = [false; 61];
        taken[0] = true;
        while !left.is_empty() {
            let tsn = left.swap_remove(rng.below(left.len()));
            peer.send(data(1).tsn(tsn).unordered().be());
            taken[tsn as usize] = true;
            peer.advance(Duration::from_millis(200));
            let sack = last_sack(&mut peer);
            let cumulative = taken.iter().take_while(|taken| **taken).count() as u32 - 1;
            assert_eq!(sack.cumulative, cumulative);
            let mut acked = [false; 61];
            acked[..=cumulative as usize].fill(true);
            for (start, end) in sack.gaps {
                let block = cumulative + u32::from(start)..=cumulative + u32::from(end);
                block.for_each(|tsn| acked[tsn as usize] = true);
            }
            assert_eq!(acked, taken);
        }
    }
}

//= RFC 9260 §6.2, test
//# When the receiver's advertised window is 0, the receiver MUST...
#[test]
fn a_window_of_zero_takes_what_fills_a_gap_and_nothing_beyond() {
    let mut peer = Peer::connected_with(|c| {
        c.receive_window(20_000);
    });
    let (mut tsn, mut window) = (0, 20_000);
    while window > 0 {
        tsn += if tsn == 4 { 2 } else { 1 };
        let payload = vec![0; window.min(1000) as usize];
        peer.send(
            data(1)
                .tsn(tsn)
                .seq(tsn - 1)
                .payload(payload)
                .immediate()
                .be(),
        );
        window = last_sack(&mut peer).a_rwnd;
    }
    assert!(tsn > 10, "{tsn}");
    peer.send(data(1).tsn(tsn + 1).seq(tsn).payload("x").be());
    let refusal = peer.expect(kind::SACK).as_sack();
    assert_eq!((refusal.cumulative, refusal.a_rwnd), (4, 0));
    assert_eq!(refusal.gaps, [(2, tsn as u16 - 4)]);
    peer.send(data(1).tsn(5).seq(4).payload("the gap").be());
    let held = last_sack(&mut peer).cumulative;
    assert!(held >= 5, "{held}");
    while peer.host_recv(1).is_some() {}
    assert!(last_sack(&mut peer).a_rwnd > 10_000, "open again");
    peer.send(data(1).tsn(held + 1).seq(held).immediate().be());
    assert!(last_sack(&mut peer).cumulative > held);
}
