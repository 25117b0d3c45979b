//! The cycle of probing: Down, Cruise, Refill, Up (draft §5.3.3).

use std::time::Duration;

use super::{Bbr, Phase, RateSample};
use crate::time::Instant;

/// How long to cruise before probing again: so long, and up to a second more at random, so that
/// senders that share a path do not all probe at once.
const CRUISE: Duration = Duration::from_secs(2);
const CRUISE_SPREAD: Duration = Duration::from_secs(1);
/// Or so many rounds at most, however slow the path is: where a sender of RFC 9260 beside this one
/// would have grown by as many packets.
const CRUISE_ROUNDS: u64 = 63;
/// What is in flight when probing is done: per mille of what the path holds.
const PROBED: u64 = 1250;
/// Rounds of probing in which growth doubles.
const DOUBLINGS: u32 = 30;

/// What acknowledgements come of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Answers {
    #[default]
    None,
    /// Probing has begun, and nothing of it is acknowledged yet.
    Awaited,
    /// What is acknowledged left while probing.
    Probing,
    /// Probing is over, and some of it is still to be acknowledged.
    Last,
}

/// Where in the cycle the controller is.
#[derive(Debug, Default)]
pub(super) struct Cycle {
    began: Option<Instant>,
    wait: Duration,
    rounds: u64,
    answers: Answers,
    /// Whether losses are those of probing.
    judged: bool,
    up_rounds: u32,
    up_acked: usize,
}

impl Cycle {
    /// Whether a loss says something about how much the path carries.
    pub(super) fn is_judged(&self) -> bool {
        self.judged
    }

    /// It has been said.
    pub(super) fn judged(&mut self) {
        self.judged = false;
    }

    fn has_lasted(&self, now: Instant, time: Duration) -> bool {
        self.began.is_some_and(|began| now - began > time)
    }

    /// Packets that the highest window grows by, for so many bytes acknowledged.
    pub(super) fn growth(&mut self, acked: usize, cwnd: usize, pmdcs: usize) -> usize {
        let per_packet = (cwnd >> self.up_rounds.min(DOUBLINGS)).max(pmdcs);
        self.up_acked = self.up_acked.saturating_add(acked);
        let packets = self.up_acked / per_packet;
        self.up_acked %= per_packet;
        packets
    }
}

impl Bbr {
    /// Less than the path delivers, until the queue of probing is gone.
    pub(super) fn begin_down(&mut self, now: Instant) {
        let random = random(now, self.rounds.delivered());
        let spread = random % CRUISE_SPREAD.as_nanos() as u64;
        self.cycle.up_acked = 0;
        self.cycle.answers = Answers::Last;
        self.cycle.rounds = random & 1;
        self.cycle.wait = CRUISE + Duration::from_nanos(spread);
        self.cycle.began = Some(now);
        self.rounds.restart();
        self.enter(Phase::Down);
    }

    pub(super) fn begin_cruise(&mut self) {
        self.enter(Phase::Cruise);
    }

    fn begin_refill(&mut self) {
        self.bounds.release();
        self.cycle.up_rounds = 0;
        self.cycle.up_acked = 0;
        self.cycle.answers = Answers::None;
        self.rounds.restart();
        self.enter(Phase::Refill);
    }

    fn begin_up(&mut self, sample: &RateSample) {
        self.cycle.answers = Answers::Awaited;
        self.cycle.judged = true;
        self.cycle.began = Some(sample.now);
        self.rounds.restart();
        let rate = sample.delivery.and_then(|it| it.rate);
        self.full.restart(rate.unwrap_or(0));
        self.enter(Phase::Up);
    }

    /// What probing has shown is to be forgotten in two cycles from here.
    pub(super) fn end_answers(&mut self) {
        self.cycle.answers = Answers::Last;
    }

    pub(super) fn advance_cycle(&mut self, sample: &RateSample) {
        if !self.full.is_reached() {
            return;
        }
        let round = self.rounds.began();
        if round {
            self.cycle.rounds += 1;
            self.on_answers(sample);
        }
        match self.phase {
            Phase::Startup | Phase::Drain | Phase::ProbeRtt => {}
            Phase::Down => {
                if !self.check_probing(sample) && self.is_drained(sample) {
                    self.begin_cruise();
                }
            }
            Phase::Cruise => _ = self.check_probing(sample),
            Phase::Refill => {
                if round {
                    self.begin_up(sample);
                }
            }
            Phase::Up => {
                if round {
                    self.cycle.up_rounds += 1;
                }
                if self.is_probed(sample) {
                    self.begin_down(sample.now);
                }
            }
        }
    }

    fn on_answers(&mut self, sample: &RateSample) {
        match self.cycle.answers {
            Answers::Awaited => self.cycle.answers = Answers::Probing,
            Answers::Last => {
                self.cycle.judged = false;
                self.cycle.answers = Answers::None;
                let app_limited = sample.delivery.is_some_and(|it| it.app_limited);
                if self.phase != Phase::ProbeRtt && !app_limited {
                    self.bandwidth.advance();
                }
            }
            Answers::None | Answers::Probing => {}
        }
    }

    /// Whether it is time to look for more; then it begins.
    fn check_probing(&mut self, sample: &RateSample) -> bool {
        let rounds = (self.target() / self.pmdcs) as u64;
        let due = self.cycle.has_lasted(sample.now, self.cycle.wait)
            || self.cycle.rounds >= rounds.clamp(1, CRUISE_ROUNDS);
        if due {
            self.begin_refill();
        }
        due
    }

    fn is_drained(&self, sample: &RateSample) -> bool {
        sample.flight <= self.bounds.high_with_headroom(self.pmdcs)
            && sample.flight <= self.inflight(self.bandwidth.get(), 1000)
    }

    /// Whether enough more was in flight for long enough to tell if the path delivers more.
    fn is_probed(&mut self, sample: &RateSample) -> bool {
        let rate = self.bandwidth.get();
        if sample.window_used && self.cwnd >= self.bounds.high() {
            // The window and not the path is the limit.
            let rate = sample.delivery.and_then(|it| it.rate);
            self.full.restart(rate.unwrap_or(0));
        } else if self.full.is_full() {
            return true;
        }
        let round_trip = self.rtt.get().unwrap_or_default();
        self.cycle.has_lasted(sample.now, round_trip)
            && sample.flight >= self.inflight(rate, PROBED)
    }
}

/// A number that nobody has to be unable to predict: it keeps senders apart that share a path. Taken
/// from the times of SACKs, which are as good as random (SplitMix64).
fn random(now: Instant, delivered: u64) -> u64 {
    let z = now.as_nanos() ^ delivered.rotate_left(32);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
