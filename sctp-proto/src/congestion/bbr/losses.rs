//! What losses mean: the bounds they set to rate and window, and when they do.
//!
//! A queue that overflows was full: the round trip of late is longer than the path's. A path that loses at random does so whether or not there is a queue, so what it loses
//! with none, round after round, is nobody's fault, and only what exceeds it is a sign. Where neither
//! helps (a queue too short to be seen), a share of losses that no path should have is one.

use std::time::Duration;

use super::{
    Bbr, Phase, RateSample,
    model::{StandingRtt, scaled},
};
use crate::time::Instant;

/// Share of losses, per mille, that the queue of a path may have to get more out of it.
const THRESHOLD: u64 = 20;
/// Share of losses that is congestion whatever else is known.
const ALWAYS: u64 = 150;
/// The most that is taken for a path's own.
const MOST_RANDOM: u64 = 125;
/// Bytes after which what was counted of a path's own losses begins to be forgotten, in packets.
const MEMORY: u64 = 1000;
/// Packets without loss that a path is believed to have carried before anything is known.
const PRIOR: u64 = 40;
/// Losses of one round that end Startup: one burst is no sign of a full pipe.
const STARTUP_LOSSES: u32 = 6;
/// What is left of a bound when a round was congested: per mille.
const BETA: u64 = 700;
/// What is left free below the highest window, for others to grow into: per mille.
const HEADROOM: u64 = 150;

/// Limits that congestion has set.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bounds {
    /// In flight at most, as far as probing has found out.
    high: Option<usize>,
    /// In flight at most and bytes per second at most, until the next probing.
    low: Option<usize>,
    rate: Option<u64>,
}

impl Bounds {
    pub(super) fn high(&self) -> usize {
        self.high.unwrap_or(usize::MAX)
    }

    pub(super) fn set_high(&mut self, bytes: usize) {
        self.high = Some(bytes);
    }

    /// What probing may go up to, less room for others.
    pub(super) fn high_with_headroom(&self, pmdcs: usize) -> usize {
        self.high.map_or(usize::MAX, |high| {
            let room = scaled(high as u64, HEADROOM) as usize;
            high.saturating_sub(room.max(pmdcs))
        })
    }

    pub(super) fn low(&self) -> usize {
        self.low.unwrap_or(usize::MAX)
    }

    pub(super) fn rate(&self) -> u64 {
        self.rate.unwrap_or(u64::MAX)
    }

    /// A round was congested: a share less than before, but what was delivered all the same.
    fn lower(&mut self, rate: u64, cwnd: usize, latest_rate: u64, latest_inflight: usize) {
        let rate = self.rate.unwrap_or(rate);
        let low = self.low.unwrap_or(cwnd) as u64;
        self.rate = Some(scaled(rate, BETA).max(latest_rate));
        self.low = Some((scaled(low, BETA) as usize).max(latest_inflight));
    }

    /// What holds only until the next probing does so no more.
    pub(super) fn release(&mut self) {
        self.low = None;
        self.rate = None;
    }

    /// Puts back what was, as far as it is more than there is.
    pub(super) fn relax(&mut self, before: &Self) {
        self.high = self.high.zip(before.high).map(|(a, b)| a.max(b));
        self.low = self.low.zip(before.low).map(|(a, b)| a.max(b));
        self.rate = self.rate.zip(before.rate).map(|(a, b)| a.max(b));
    }
}

/// The losses of a round trip, and those of the path.
#[derive(Debug, Default)]
pub(super) struct Losses {
    end: u64,
    ended: bool,
    acked: u64,
    lost: u64,
    events: u32,
    /// Bytes lost beside which the round trip told of a queue.
    queued: u64,
    /// The round trip of late, and the longest that it was in this round.
    standing: StandingRtt,
    longest: Duration,
    /// The highest rate, and the most delivered within a round trip, of the round.
    rate_latest: u64,
    inflight_latest: usize,
    /// Bytes that came and went while no queue was there, and those of them that were lost.
    calm: u64,
    calm_lost: u64,
}

impl Losses {
    fn on_sample(&mut self, sample: &RateSample, min_rtt: Option<Duration>) {
        self.acked = self.acked.saturating_add(sample.acked as u64);
        if let Some(rtt) = sample.rtt {
            self.standing.add(sample.now, rtt);
            self.longest = self.longest.max(self.standing.get());
        }
        if sample.lost > 0 {
            self.lost = self.lost.saturating_add(sample.lost as u64);
            self.events += 1;
            if min_rtt.is_some_and(|least| self.standing.get() > least + queue_that_counts(least)) {
                self.queued = self.queued.saturating_add(sample.lost as u64);
            }
        }
        self.ended = false;
        if let Some(delivery) = &sample.delivery {
            self.rate_latest = self.rate_latest.max(delivery.rate.unwrap_or(0));
            let inflight = usize::try_from(delivery.bytes).unwrap_or(usize::MAX);
            self.inflight_latest = self.inflight_latest.max(inflight);
            if delivery.prior >= self.end {
                self.end = sample.delivered;
                self.ended = true;
            }
        }
    }

    /// A round that has ended makes room for the next; to be called when all have looked at it.
    pub(super) fn conclude(&mut self, sample: &RateSample) {
        if std::mem::take(&mut self.ended) {
            (self.acked, self.lost, self.queued, self.events) = (0, 0, 0, 0);
            self.longest = Duration::ZERO;
            let delivery = sample.delivery.as_ref();
            self.rate_latest = delivery.and_then(|it| it.rate).unwrap_or(0);
            self.inflight_latest = delivery.map_or(0, |it| it.bytes as usize);
        }
    }

    fn total(&self) -> u64 {
        self.acked.saturating_add(self.lost)
    }

    /// Whether the round that has just ended was congested.
    fn congested(&self, pmdcs: usize) -> bool {
        let total = self.total();
        self.ended
            && self.lost > 0
            && (self.lost > scaled(total, ALWAYS.max(self.background() + THRESHOLD))
                || (self.queued > 0 && self.is_excessive(self.lost, total, pmdcs)))
    }

    /// Whether so much of a whole is more than the path loses anyway: by the threshold, and by twice
    /// the standard deviation.
    fn is_excessive(&self, lost: u64, total: u64, pmdcs: usize) -> bool {
        let random = self.background();
        let packets = total / pmdcs as u64;
        let deviation = (packets.saturating_mul(random * (1000 - random))).isqrt();
        let margin = scaled(pmdcs as u64, 2 * deviation);
        lost > scaled(total, random + THRESHOLD).saturating_add(margin)
    }

    /// No queue was there in the round that has just ended: what it lost, the path loses.
    fn learn(&mut self, min_rtt: Option<Duration>, pmdcs: usize) {
        let calm =
            min_rtt.is_some_and(|least| self.longest <= least + queue_that_counts(least) / 2);
        if !self.ended || !calm || self.longest.is_zero() {
            return;
        }
        self.calm = self.calm.saturating_add(self.total());
        self.calm_lost = self.calm_lost.saturating_add(self.lost);
        if self.calm > MEMORY * pmdcs as u64 {
            self.calm /= 2;
            self.calm_lost /= 2;
        }
    }

    /// Whether the round trip of late shows a queue, be it a short one: a quarter of one that counts is
    /// more than round trips differ by that are measured with timers of a millisecond.
    pub(super) fn queue_stands(&self, min_rtt: Option<Duration>) -> bool {
        min_rtt.is_some_and(|least| self.standing.get() > least + queue_that_counts(least) / 4)
    }

    /// What the path loses at random, per mille.
    pub(super) fn background(&self) -> u64 {
        let prior = PRIOR * 1500;
        (self.calm_lost.saturating_mul(1000) / self.calm.saturating_add(prior)).min(MOST_RANDOM)
    }

    /// A rate at which as much arrives as leaves at this one, where the path loses some.
    pub(super) fn compensated(&self, rate: u64) -> u64 {
        let arrives = 1000 - self.background();
        scaled(rate, 1_000_000 / arrives)
    }

    /// Whether a round has just ended whose losses say that the pipe is full.
    pub(super) fn end_startup(&self) -> bool {
        let total = self.total();
        self.ended
            && self.events >= STARTUP_LOSSES
            && (self.lost > scaled(total, ALWAYS)
                || (self.queued > 0 && self.lost > scaled(total, THRESHOLD)))
    }

    pub(super) fn inflight_latest(&self) -> usize {
        self.inflight_latest
    }
}

/// How much longer than the path's a round trip is that tells of a queue. More than probing makes
/// by itself, at a quarter more than the path delivers.
fn queue_that_counts(min_rtt: Duration) -> Duration {
    min_rtt / 10 * 3 + Duration::from_millis(1)
}

impl Bbr {
    /// Bounds from the losses of a sample (draft §5.5.10).
    pub(super) fn judge_losses(&mut self, sample: &RateSample) {
        let min_rtt = self.rtt.get();
        self.losses.on_sample(sample, min_rtt);
        let probing = matches!(self.phase, Phase::Startup | Phase::Refill | Phase::Up);
        if !probing && self.losses.congested(self.pmdcs) {
            self.lower_bounds();
        }
        if !matches!(self.phase, Phase::Startup | Phase::Up) {
            self.losses.learn(min_rtt, self.pmdcs);
        }
        self.raise_or_cut_high(sample);
    }

    fn lower_bounds(&mut self) {
        let (rate, cwnd) = (self.bandwidth.get(), self.cwnd);
        let losses = &self.losses;
        (self.bounds).lower(rate, cwnd, losses.rate_latest, losses.inflight_latest);
    }

    /// The network says that it is congested, at most once per round trip: whatever is under way to
    /// get more out of it ends.
    pub(super) fn on_congestion(&mut self, now: Instant) {
        if self.phase == Phase::Startup {
            self.full.reach();
            let hi = self.bdp(self.bandwidth.get(), 1000);
            self.bounds.set_high(hi.max(self.losses.inflight_latest));
            return;
        }
        if matches!(self.phase, Phase::Refill | Phase::Up) {
            let least = scaled(self.target() as u64, BETA) as usize;
            self.bounds.set_high(self.losses.inflight_latest.max(least));
            self.begin_down(now);
        }
        self.lower_bounds();
        self.cwnd = self.cwnd.min(self.bounds.low().max(self.least()));
    }

    /// What probing shows of how much may be in flight.
    fn raise_or_cut_high(&mut self, sample: &RateSample) {
        if let Some(loss) = sample.loss
            && self.cycle.is_judged()
            && (self.losses).is_excessive(loss.lost, loss.flight as u64, self.pmdcs)
        {
            self.cycle.judged();
            if !loss.app_limited {
                let least = scaled(self.target() as u64, BETA) as usize;
                self.bounds.set_high(loss.flight.max(least));
            }
            if self.phase == Phase::Up {
                self.begin_down(sample.now);
            }
            return;
        }
        let Some(high) = self.bounds.high else {
            return;
        };
        if let Some(delivery) = sample.delivery
            && delivery.lost == 0
            && delivery.flight > high
        {
            self.bounds.set_high(delivery.flight);
        }
        if self.phase == Phase::Up {
            self.raise_high(sample);
        }
    }

    /// While probing has room to: by a packet in the first round, and by twice as many in
    /// each one after it.
    fn raise_high(&mut self, sample: &RateSample) {
        let high = self.bounds.high();
        if !sample.window_used || self.cwnd < high {
            return;
        }
        let packets = self.cycle.growth(sample.acked, self.cwnd, self.pmdcs);
        self.bounds
            .set_high(high.saturating_add(packets.saturating_mul(self.pmdcs)));
    }
}
