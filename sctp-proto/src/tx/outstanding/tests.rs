//! SACKs, losses and time-outs, one story each.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::{
    config::{AssociationConfig, LossDetection},
    ids::StreamId,
    message::SendInfo,
    tx::{AckOutcome, PathAck, PathLoss, SackError, SendQueue},
};

const MAIN: PathId = PathId(0);
const OTHER: PathId = PathId(1);
/// User data of each chunk, and its size in a packet.
const LEN: usize = 98;
const CHUNK: usize = 16 + 100;

/// The sending side alone; the test is the peer. TSNs are counted from 1 and wrap at the sixth.
struct Sender {
    queue: SendQueue,
    ring: Outstanding,
    now: Instant,
    in_recovery: bool,
}

const FIRST: Tsn = Tsn(u32::MAX - 4);

fn tsn(n: u32) -> Tsn {
    FIRST.plus(n).previous()
}

impl Sender {
    fn new() -> Self {
        let mut queue = SendQueue::new(&AssociationConfig::default());
        queue.negotiated(10, false);
        Self {
            queue,
            ring: Outstanding::new(FIRST, false, LossDetection::MissingReports),
            now: Instant::from_nanos(1_000_000_000),
            in_recovery: false,
        }
    }

    fn with(count: usize) -> Self {
        let mut sender = Self::new();
        for _ in 0..count {
            sender.send(MAIN);
        }
        sender
    }

    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    fn send(&mut self, path: PathId) -> Tsn {
        let data = Bytes::from(vec![1; LEN]);
        self.queue
            .push(self.now, StreamId(0), data, SendInfo::default())
            .unwrap();
        let fragment = self.queue.next_fragment(self.now, 1000, 1000).unwrap();
        let tsn = self.ring.push(self.now, &fragment, path);
        self.queue.assigned(fragment.key, tsn);
        tsn
    }

    fn try_sack(&mut self, cumulative: u32, gaps: &[(u16, u16)]) -> Result<AckOutcome, SackError> {
        let mut outcome = AckOutcome::default();
        let applied = self.ring.apply_sack(
            self.now,
            tsn(cumulative),
            gaps.iter().copied(),
            &mut self.queue,
            self.in_recovery,
            &mut outcome,
        );
        applied.map(|()| outcome)
    }

    fn sack(&mut self, cumulative: u32, gaps: &[(u16, u16)]) -> AckOutcome {
        self.try_sack(cumulative, gaps).unwrap()
    }

    /// Sends all that is lost again; returns which.
    fn resend(&mut self, path: PathId) -> Vec<u32> {
        let mut sent = Vec::new();
        while let Some(lost) = self.ring.next_lost() {
            self.ring.resent(lost.tsn, self.now, path);
            sent.push(lost.tsn.distance_from(tsn(0)));
        }
        sent
    }

    fn states(&self) -> String {
        let letter = |record: &Record| match record.state {
            State::InFlight => 'f',
            State::GapAcked => 'a',
            State::Lost => 'L',
            State::GivenUp => 'X',
        };
        self.ring.records.iter().map(letter).collect()
    }
}

//= RFC 9260 §5.1, test
//# When the TCB is created, each endpoint MUST set its internal Cumulative...
#[test]
fn the_ack_point_begins_before_the_initial_tsn() {
    for initial in [0, 1, 0x8000_0000, u32::MAX] {
        let ring = Outstanding::new(Tsn::new(initial), false, LossDetection::default());
        assert_eq!(ring.cumulative().value(), initial.wrapping_sub(1));
    }
}

#[test]
fn cumulative_acknowledgements_let_messages_go() {
    let mut sender = Sender::with(8);
    assert_eq!(sender.ring.next_tsn(), tsn(9));
    assert_eq!(sender.ring.flight(MAIN), 8 * CHUNK);
    assert_eq!(sender.ring.total_flight(), 8 * LEN);
    let outcome = sender.sack(6, &[]);
    assert!(outcome.cumulative_advanced && !outcome.dry);
    assert_eq!(outcome.messages_acked, 6);
    assert_eq!(outcome.highest_outstanding, tsn(8));
    let ack = PathAck {
        path: MAIN,
        bytes: 6 * CHUNK,
        flight_before: 8 * CHUNK,
        includes_earliest: true,
        large: false,
    };
    assert_eq!(outcome.acked[..], [ack]);
    assert_eq!(sender.queue.buffered(), 2 * LEN);
    assert_eq!(sender.ring.cumulative(), tsn(6));
    let outcome = sender.sack(8, &[]);
    assert!(outcome.dry && sender.ring.is_empty());
    assert_eq!(sender.ring.flight(MAIN), 0);
}

#[test]
fn gap_acknowledged_messages_are_kept_until_the_cumulative_point_passes() {
    let mut sender = Sender::with(4);
    let outcome = sender.sack(0, &[(2, 4)]);
    assert_eq!(
        (outcome.messages_acked, sender.queue.buffered()),
        (0, 4 * LEN)
    );
    assert_eq!(outcome.acked[0].bytes, 3 * CHUNK);
    assert!(!outcome.acked[0].includes_earliest);
    assert_eq!(sender.ring.flight(MAIN), CHUNK);
    let outcome = sender.sack(4, &[]);
    assert_eq!((outcome.messages_acked, outcome.acked[0].bytes), (4, CHUNK));
    assert!(sender.queue.is_empty());
}

#[test]
fn what_was_never_sent_cannot_be_acknowledged() {
    let mut sender = Sender::with(4);
    assert_eq!(sender.try_sack(5, &[]).err(), Some(SackError::BeyondSent));
    assert_eq!(
        sender.try_sack(1, &[(2, 4)]).err(),
        Some(SackError::BeyondSent)
    );
    // Nothing was changed on the way.
    assert_eq!((sender.ring.cumulative(), sender.ring.len()), (tsn(0), 4));
    assert_eq!(sender.ring.flight(MAIN), 4 * CHUNK);
    assert!(sender.try_sack(1, &[(2, 3)]).is_ok());
}

#[test]
fn an_old_sack_changes_nothing() {
    let mut sender = Sender::with(8);
    sender.sack(5, &[(2, 2)]);
    let outcome = sender.sack(4, &[(3, 4)]);
    assert!(outcome.acked.is_empty() && !outcome.cumulative_advanced);
    assert_eq!(sender.states(), "faf");
}

#[test]
fn senseless_gap_blocks_are_ignored() {
    let mut sender = Sender::with(9);
    let outcome = sender.sack(0, &[(0, 1), (1, 2), (4, 3), (3, 4), (4, 5), (2, 2), (7, 8)]);
    assert_eq!(outcome.bad_gap_blocks, 5);
    assert_eq!(sender.states(), "ffaaffaaf");
}

#[test]
fn adjacent_gap_blocks_are_one() {
    let mut sender = Sender::with(6);
    sender.sack(0, &[(2, 2), (3, 3), (5, 5)]);
    assert_eq!(sender.ring.gaps, [(1, 3), (4, 5)]);
}

#[test]
fn the_third_missing_report_makes_a_loss() {
    let mut sender = Sender::with(6);
    for end in 2..4 {
        let outcome = sender.sack(0, &[(2, end)]);
        assert!(outcome.lost.is_empty());
    }
    assert_eq!(sender.ring.next_lost(), None);
    let outcome = sender.sack(0, &[(2, 4)]);
    let loss = PathLoss {
        path: MAIN,
        bytes: CHUNK,
        resent_at: None,
        large_at: None,
    };
    assert_eq!(outcome.lost[..], [loss]);
    assert_eq!(outcome.highest_outstanding, tsn(6));
    assert_eq!(sender.ring.next_lost().map(|lost| lost.tsn), Some(tsn(1)));
    assert_eq!(sender.ring.flight(MAIN), 2 * CHUNK);
    // Sent again, it is not fast retransmitted a second time.
    assert_eq!(sender.resend(OTHER), [1]);
    assert_eq!(sender.ring.flight(OTHER), CHUNK);
    for end in 5..=6 {
        sender.sack(0, &[(2, end)]);
    }
    for _ in 0..5 {
        let new = sender.send(MAIN).distance_from(tsn(0)) as u16;
        assert!(sender.sack(0, &[(2, new)]).lost.is_empty());
    }
}

#[test]
fn only_what_is_newly_acknowledged_reports_misses() {
    let mut sender = Sender::with(10);
    // TSN 1 and 4 are missing. Reports count for what lies before the highest newly acknowledged.
    sender.sack(0, &[(2, 3), (5, 6)]);
    for _ in 0..5 {
        assert!(sender.sack(0, &[(2, 3), (5, 6)]).lost.is_empty());
    }
    let misses: Vec<_> = sender.ring.records.iter().map(|r| r.misses).collect();
    assert_eq!(misses[..5], [1, 0, 0, 1, 0]);
    // Filling a gap below TSN 7 reports nothing about what is above.
    let mut sender = Sender::with(10);
    sender.sack(0, &[(6, 6)]);
    sender.sack(0, &[(2, 2), (6, 6)]);
    let misses: Vec<_> = sender.ring.records.iter().map(|r| r.misses).collect();
    assert_eq!(misses[..6], [2, 1, 1, 1, 1, 0]);
}

#[test]
fn in_fast_recovery_progress_reports_every_hole() {
    let mut sender = Sender::with(10);
    sender.sack(0, &[(2, 2), (4, 8)]);
    sender.in_recovery = true;
    sender.sack(2, &[(2, 6)]);
    let misses = |sender: &Sender| sender.ring.records[0].misses;
    assert_eq!(misses(&sender), 2);
    // Without progress of the cumulative point, as outside of recovery.
    sender.sack(2, &[(2, 6)]);
    assert_eq!(misses(&sender), 2);
}

#[test]
fn t3_marks_what_its_path_has_in_flight() {
    let mut sender = Sender::with(3);
    sender.send(OTHER);
    sender.send(MAIN);
    sender.sack(0, &[(2, 2)]);
    assert_eq!(sender.ring.t3_expired(MAIN), 3 * LEN);
    assert_eq!(sender.states(), "LaLfL");
    assert_eq!(sender.ring.flight(MAIN), 0);
    assert_eq!(sender.ring.total_flight(), LEN);
    assert_eq!(sender.resend(MAIN), [1, 3, 5]);
    assert!(!sender.ring.has_lost());
    assert_eq!(sender.ring.flight(MAIN), 3 * CHUNK);
}

#[test]
fn late_acknowledgements_spare_the_retransmission() {
    let mut sender = Sender::with(5);
    sender.ring.t3_expired(MAIN);
    let outcome = sender.sack(2, &[(2, 2)]);
    assert_eq!(outcome.acked[0].bytes, 3 * CHUNK);
    assert_eq!(outcome.acked[0].flight_before, 0);
    assert_eq!(sender.states(), "LaL");
    assert_eq!(sender.resend(MAIN), [3, 5]);
}

/// After a time-out the SACKs of the flight before it keep coming. They say nothing about the
/// retransmission; those of what was sent after it do.
#[test]
fn a_retransmission_is_lost_only_by_what_left_after_it() {
    let mut sender = Sender::with(6);
    sender.ring.t3_expired(MAIN);
    sender.wait(10);
    let lost = sender.ring.next_lost().unwrap();
    sender.ring.resent(lost.tsn, sender.now, MAIN);
    for end in 2..=6 {
        sender.sack(0, &[(2, end)]);
    }
    assert_eq!(sender.states(), "faaaaa");
    sender.wait(10);
    for _ in 0..3 {
        let new = sender.send(MAIN).distance_from(tsn(0)) as u16;
        sender.sack(0, &[(2, new)]);
    }
    assert_eq!(sender.resend(MAIN), [1]);
}

#[test]
fn a_reneging_peer_gets_it_again() {
    let mut sender = Sender::with(6);
    sender.sack(0, &[(2, 6)]);
    let outcome = sender.sack(0, &[(2, 3), (6, 6)]);
    assert_eq!(outcome.reneged, 2);
    assert_eq!(sender.states(), "faaffa");
    assert_eq!(sender.ring.flight(MAIN), 3 * CHUNK);
    let misses: Vec<_> = sender.ring.records.iter().map(|r| r.misses).collect();
    assert_eq!(misses, [1, 0, 0, 1, 1, 0]);
    sender.ring.t3_expired(MAIN);
    assert_eq!(sender.resend(MAIN), [1, 4, 5]);
    assert!(sender.sack(6, &[]).dry);
}

#[test]
fn round_trips_are_measured_on_what_was_sent_once() {
    let mut sender = Sender::with(1);
    sender.wait(10);
    sender.send(MAIN);
    sender.wait(20);
    // The newest counts.
    let rtt = |ms| Some((MAIN, Duration::from_millis(ms)));
    assert_eq!(sender.sack(2, &[]).rtt, rtt(20));
    sender.send(MAIN);
    sender.ring.t3_expired(MAIN);
    sender.wait(5);
    sender.resend(MAIN);
    sender.wait(5);
    assert_eq!(sender.sack(3, &[]).rtt, None);
}

#[test]
fn a_filled_gap_measures_nothing_that_waited_behind_it() {
    let mut sender = Sender::with(4);
    sender.wait(10);
    // A gap block tells of an arrival, now.
    assert_eq!(
        sender.sack(0, &[(2, 2)]).rtt,
        Some((MAIN, Duration::from_millis(10)))
    );
    sender.sack(0, &[(2, 3)]);
    sender.ring.t3_expired(MAIN);
    sender.resend(MAIN);
    sender.send(MAIN);
    sender.wait(10);
    // TSN 5 left at the time of the retransmission of 1 and 4: it may have waited for these.
    assert_eq!(sender.sack(5, &[]).rtt, None);
    sender.send(MAIN);
    sender.wait(10);
    assert!(sender.sack(6, &[]).rtt.is_some());
}

#[test]
fn each_path_has_its_own_earliest_tsn() {
    let mut sender = Sender::new();
    for path in [MAIN, OTHER, MAIN, OTHER, MAIN] {
        sender.send(path);
        sender.wait(1);
    }
    let start = Instant::from_nanos(1_000_000_000);
    let after = |ms| Some(start + Duration::from_millis(ms));
    assert_eq!(sender.ring.oldest_in_flight(OTHER), after(1));
    let outcome = sender.sack(0, &[(2, 3)]);
    let earliest: Vec<_> = (outcome.acked.iter())
        .map(|ack| (ack.path, ack.includes_earliest))
        .collect();
    assert_eq!(earliest, [(OTHER, true), (MAIN, false)]);
    assert_eq!(sender.ring.oldest_in_flight(MAIN), after(0));
    assert_eq!(sender.ring.oldest_in_flight(OTHER), after(3));
    sender.sack(4, &[]);
    assert_eq!(sender.ring.oldest_in_flight(MAIN), after(4));
    assert_eq!(sender.ring.oldest_in_flight(OTHER), None);
    assert_eq!(sender.ring.oldest_in_flight(PathId(7)), None);
}

#[test]
fn shutdown_acknowledges_without_a_word_on_gaps() {
    let mut sender = Sender::with(6);
    sender.sack(0, &[(3, 4), (6, 6)]);
    let mut outcome = AckOutcome::default();
    let (ring, queue) = (&mut sender.ring, &mut sender.queue);
    ring.apply_cumulative(sender.now, tsn(3), queue, &mut outcome)
        .unwrap();
    assert_eq!(outcome.acked[0].bytes, 2 * CHUNK);
    assert_eq!((outcome.reneged, sender.states()), (0, "afa".into()));
    let (ring, queue) = (&mut sender.ring, &mut sender.queue);
    let beyond = ring.apply_cumulative(sender.now, tsn(7), queue, &mut outcome);
    assert_eq!(beyond, Err(SackError::BeyondSent));
}

#[test]
fn an_outcome_is_used_again() {
    let mut sender = Sender::with(6);
    let mut outcome = sender.sack(0, &[(2, 4)]);
    outcome.clear();
    assert!(outcome.acked.is_empty() && outcome.rtt.is_none());
    assert_eq!(outcome.messages_acked, 0);
}

#[test]
fn what_was_given_up_and_what_is_acknowledged_again_grow_no_window() {
    let mut sender = Sender::new();
    sender.ring.sample_rate(MAIN);
    for _ in 0..3 {
        sender.send(MAIN);
    }
    sender.queue.set_partial(true);
    sender.queue.give_up(sender.ring.records[1].key);
    sender.ring.settle(sender.now, &mut sender.queue);
    let acked = |sender: &mut Sender, cumulative, gaps: &[(u16, u16)]| {
        sender.wait(50);
        sender.sack(cumulative, gaps);
        let sample = sender.ring.take_sample(sender.now, MAIN, None, true);
        sample.map_or(0, |sample| sample.acked)
    };
    assert_eq!(acked(&mut sender, 0, &[(2, 2)]), 0, "given up");
    assert_eq!(acked(&mut sender, 0, &[(2, 3)]), CHUNK);
    assert_eq!(acked(&mut sender, 0, &[]), 0, "taken back");
    assert_eq!(acked(&mut sender, 0, &[(3, 3)]), 0, "again");
    assert_eq!(acked(&mut sender, 1, &[(2, 2)]), CHUNK);
}

#[test]
fn resending_what_is_not_lost_has_no_effect() {
    let mut sender = Sender::with(2);
    sender.ring.resent(tsn(1), sender.now, MAIN);
    sender.ring.resent(tsn(0), sender.now, MAIN);
    sender.ring.resent(tsn(3), sender.now, MAIN);
    assert_eq!(sender.ring.flight(MAIN), 2 * CHUNK);
}
