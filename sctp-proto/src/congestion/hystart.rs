//! HyStart++ (RFC 9406): leaves slow start when the round-trip time grows, before a queue
//! overflows.
//!
//! Where it is not RFC 9406 §4.2: that judges a round by its shortest round trip. The packets that
//! leave first in a round find the queue as empty as the round before has left it, so a queue shows
//! a round late, when the window has doubled once more; one as long as the path overflows in that
//! round. Here the last measurements of a round are compared with the shortest of the round before.
//! And a round trip that grows by twice as much again while it is watched tells of a queue, and of no
//! noise that takes five more rounds to be told from one: slow start is over.

use std::time::Duration;

use crate::time::Instant;

/// Bounds of the growth of the round-trip time that counts (RFC 9406 §4.3).
const MIN_THRESHOLD: Duration = Duration::from_millis(4);
const MAX_THRESHOLD: Duration = Duration::from_millis(16);
/// Share of the round-trip time that counts.
const THRESHOLD_DIVISOR: u32 = 8;
/// Measurements that are judged together, by the shortest: single ones say little.
const SAMPLES: usize = 8;
/// Rounds of conservative slow start at most.
const CONSERVATIVE_ROUNDS: u32 = 5;

/// How to go on after an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advice {
    SlowStart,
    /// Slow start at a fraction of its pace.
    Conservative,
    CongestionAvoidance,
}

/// The first slow start of a path: afterwards ssthresh is known, and nothing has to be guessed.
///
/// RFC 9406 ends a round by sequence number. A controller sees none: here a round ends with the
/// first measurement of a packet that left after the round began, which is the same moment.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct HyStart {
    round_began: Option<Instant>,
    /// The shortest round trip of the round before, and of this one so far.
    previous: Option<Duration>,
    shortest: Option<Duration>,
    /// The last measurements of this round, in a ring, and how many there were in all.
    recent: [Duration; SAMPLES],
    samples: usize,
    conservative: Option<Conservative>,
}

#[derive(Debug, Clone, Copy)]
struct Conservative {
    /// A round below this shows that the growth was noise.
    baseline: Duration,
    rounds: u32,
}

impl HyStart {
    /// An acknowledgement came while in slow start.
    pub(super) fn on_ack(&mut self, now: Instant, rtt: Option<Duration>) -> Advice {
        let Some(rtt) = rtt else {
            return self.advice();
        };
        let began = *self.round_began.get_or_insert(now);
        if now - began >= rtt {
            self.round_began = Some(now);
            self.previous = self.shortest.take();
            self.samples = 0;
            if let Some(conservative) = &mut self.conservative {
                conservative.rounds += 1;
            }
        }
        self.shortest = Some(self.shortest.map_or(rtt, |shortest| shortest.min(rtt)));
        self.recent[self.samples % SAMPLES] = rtt;
        self.samples = self.samples.saturating_add(1);
        if self.samples >= SAMPLES
            && let Some(lately) = self.recent.iter().min()
        {
            self.judge(*lately);
        }
        self.advice()
    }

    /// `lately` is the shortest of the last measurements.
    fn judge(&mut self, lately: Duration) {
        match &mut self.conservative {
            Some(Conservative { baseline, .. }) if lately < *baseline => self.conservative = None,
            Some(Conservative { baseline, rounds }) => {
                if lately >= baseline.saturating_add(2 * threshold(*baseline)) {
                    *rounds = CONSERVATIVE_ROUNDS;
                }
            }
            None => {
                let grown = |before: Duration| lately >= before.saturating_add(threshold(before));
                if self.previous.is_some_and(grown) {
                    self.conservative = Some(Conservative {
                        baseline: lately,
                        rounds: 0,
                    });
                }
            }
        }
    }

    fn advice(&self) -> Advice {
        match self.conservative {
            None => Advice::SlowStart,
            Some(Conservative { rounds, .. }) if rounds >= CONSERVATIVE_ROUNDS => {
                Advice::CongestionAvoidance
            }
            Some(_) => Advice::Conservative,
        }
    }
}

/// Growth of a round trip of this length that tells of a queue.
fn threshold(rtt: Duration) -> Duration {
    (rtt / THRESHOLD_DIVISOR).clamp(MIN_THRESHOLD, MAX_THRESHOLD)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A round of ten measurements, spread over its time; the advice after it.
    fn round(hystart: &mut HyStart, now: &mut Instant, rtt: Duration) -> Advice {
        let mut advice = Advice::SlowStart;
        for _ in 0..10 {
            *now += rtt / 10;
            advice = hystart.on_ack(*now, Some(rtt));
        }
        advice
    }

    #[test]
    fn a_steady_round_trip_changes_nothing() {
        let (mut hystart, mut now) = (HyStart::default(), Instant::EPOCH);
        for _ in 0..100 {
            assert_eq!(round(&mut hystart, &mut now, 50 * MS), Advice::SlowStart);
        }
    }

    #[test]
    fn growth_below_an_eighth_is_noise() {
        let (mut hystart, mut now) = (HyStart::default(), Instant::EPOCH);
        round(&mut hystart, &mut now, 80 * MS);
        assert_eq!(round(&mut hystart, &mut now, 89 * MS), Advice::SlowStart);
        // Of a short round trip, below 4 ms.
        let (mut hystart, mut now) = (HyStart::default(), Instant::EPOCH);
        round(&mut hystart, &mut now, MS);
        assert_eq!(round(&mut hystart, &mut now, 4 * MS), Advice::SlowStart);
    }

    /// Measurements of one round, a millisecond apart; the advice after the last.
    fn acks(hystart: &mut HyStart, now: &mut Instant, rtts: &[u32]) -> Advice {
        let mut advice = Advice::SlowStart;
        for rtt in rtts {
            *now += MS;
            advice = hystart.on_ack(*now, Some(*rtt * MS));
        }
        advice
    }

    /// The first packet of a round has seen nothing of the queue that those behind it make.
    #[test]
    fn a_queue_shows_in_the_round_that_makes_it() {
        let (mut hystart, mut now) = (HyStart::default(), Instant::EPOCH);
        round(&mut hystart, &mut now, 80 * MS);
        now += 80 * MS;
        let grows = [80, 82, 84, 86, 88, 90, 92, 94, 96];
        assert_eq!(acks(&mut hystart, &mut now, &grows), Advice::SlowStart);
        let grown = [98, 100, 102, 104, 106];
        assert_eq!(acks(&mut hystart, &mut now, &grown), Advice::Conservative);
    }

    #[test]
    fn a_queue_that_has_grown_twice_as_much_again_ends_slow_start() {
        let (mut hystart, mut now) = (HyStart::default(), Instant::EPOCH);
        round(&mut hystart, &mut now, 80 * MS);
        now += 80 * MS;
        let careful = acks(&mut hystart, &mut now, &[90; 8]);
        assert_eq!(careful, Advice::Conservative);
        // An eighth of 90 ms, twice, is 22.5 ms; one short measurement among eight holds it up.
        let advice = acks(
            &mut hystart,
            &mut now,
            &[120, 120, 120, 112, 120, 120, 120, 120],
        );
        assert_eq!(advice, Advice::Conservative);
        let advice = acks(&mut hystart, &mut now, &[120; 4]);
        assert_eq!(advice, Advice::CongestionAvoidance);
    }

    #[test]
    fn growth_leads_to_five_careful_rounds_and_the_end() {
        let (mut hystart, mut now) = (HyStart::default(), Instant::EPOCH);
        round(&mut hystart, &mut now, 80 * MS);
        round(&mut hystart, &mut now, 80 * MS);
        let mut careful = 0;
        while round(&mut hystart, &mut now, 100 * MS) == Advice::Conservative {
            careful += 1;
        }
        assert!((4..=6).contains(&careful), "{careful}");
        assert_eq!(
            hystart.on_ack(now, Some(100 * MS)),
            Advice::CongestionAvoidance
        );
    }

    #[test]
    fn a_round_trip_that_shrinks_again_was_noise() {
        let (mut hystart, mut now) = (HyStart::default(), Instant::EPOCH);
        round(&mut hystart, &mut now, 80 * MS);
        round(&mut hystart, &mut now, 80 * MS);
        assert_eq!(
            round(&mut hystart, &mut now, 100 * MS),
            Advice::Conservative
        );
        round(&mut hystart, &mut now, 80 * MS);
        assert_eq!(round(&mut hystart, &mut now, 80 * MS), Advice::SlowStart);
    }

    #[test]
    fn few_measurements_are_not_judged() {
        let (mut hystart, mut now) = (HyStart::default(), Instant::EPOCH);
        for rtt in [20, 40, 80, 160, 320] {
            for _ in 0..SAMPLES - 1 {
                let advice = hystart.on_ack(now, Some(rtt * MS));
                assert_eq!(advice, Advice::SlowStart);
            }
            now += 1000 * MS;
        }
        assert_eq!(hystart.on_ack(now, None), Advice::SlowStart);
    }

    #[test]
    fn a_round_trip_without_end_is_a_round_trip() {
        let mut hystart = HyStart::default();
        let mut now = Instant::EPOCH;
        round(&mut hystart, &mut now, MS);
        hystart.on_ack(now, Some(Duration::MAX));
        hystart.previous = Some(Duration::MAX);
        for _ in 0..2 * SAMPLES {
            hystart.on_ack(now, Some(Duration::MAX));
        }
        assert_ne!(hystart.advice(), Advice::SlowStart);
    }
}
