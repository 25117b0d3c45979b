//! HyStart++ (RFC 9406): leaves slow start when the round-trip time grows, before a queue
//! overflows.

use std::time::Duration;

use crate::time::Instant;

/// Bounds of the growth of the round-trip time that counts (RFC 9406 §4.3).
const MIN_THRESHOLD: Duration = Duration::from_millis(4);
const MAX_THRESHOLD: Duration = Duration::from_millis(16);
/// Share of the round-trip time that counts.
const THRESHOLD_DIVISOR: u32 = 8;
/// Measurements of a round before it is judged: single ones say little.
const SAMPLES: u32 = 8;
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
    previous: Option<Duration>,
    current: Option<Duration>,
    samples: u32,
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
            self.previous = self.current.take();
            self.samples = 0;
            if let Some(conservative) = &mut self.conservative {
                conservative.rounds += 1;
            }
        }
        let lowest = self.current.map_or(rtt, |current| current.min(rtt));
        self.current = Some(lowest);
        self.samples = self.samples.saturating_add(1);
        if self.samples >= SAMPLES {
            self.judge(lowest);
        }
        self.advice()
    }

    fn judge(&mut self, lowest: Duration) {
        match self.conservative {
            Some(Conservative { baseline, .. }) if lowest < baseline => self.conservative = None,
            Some(_) => {}
            None => {
                let grown = self.previous.is_some_and(|previous| {
                    let share = previous / THRESHOLD_DIVISOR;
                    let threshold = share.clamp(MIN_THRESHOLD, MAX_THRESHOLD);
                    lowest >= previous.saturating_add(threshold)
                });
                if grown {
                    self.conservative = Some(Conservative {
                        baseline: lowest,
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
}
