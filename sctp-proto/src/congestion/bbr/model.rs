//! What is measured of a path: the rate of delivery, the round trip, how SACKs bunch, and whether
//! the pipe is full. Whole numbers throughout: nothing drifts, and nothing is divided by what may
//! be zero.

use std::time::Duration;

use super::RateSample;
use crate::time::Instant;

/// How long the least round trip is believed.
const MIN_RTT_KEPT: Duration = Duration::from_secs(10);
/// After so long without a round trip as short, one is provoked.
const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);
/// Growth of the rate from round to round that shows a pipe not to be full: per mille.
const GROWTH: u64 = 1250;
/// Rounds without it that show a full one.
const FULL_ROUNDS: u32 = 3;
/// Rounds that what came in bunches is remembered for, at least.
const BUNCH_ROUNDS: u64 = 5;

/// So many per mille of a number.
pub(super) fn scaled(number: u64, per_mille: u64) -> u64 {
    let product = u128::from(number) * u128::from(per_mille) / 1000;
    u64::try_from(product).unwrap_or(u64::MAX)
}

/// Bytes that a rate makes in some time.
pub(super) fn bytes_in(rate: u64, time: Duration) -> u64 {
    let product = u128::from(rate).saturating_mul(time.as_nanos()) / 1_000_000_000;
    u64::try_from(product).unwrap_or(u64::MAX)
}

/// The highest rate of this cycle of probing and the one before.
#[derive(Debug, Default)]
pub(super) struct MaxBandwidth {
    before: u64,
    current: u64,
}

impl MaxBandwidth {
    /// A rate at which there was too little to send counts only if it is higher all the same.
    pub(super) fn add(&mut self, rate: u64, app_limited: bool) {
        if !app_limited || rate >= self.get() {
            self.current = self.current.max(rate);
        }
    }

    /// A cycle is over. One that has measured nothing is none.
    pub(super) fn advance(&mut self) {
        if self.current > 0 {
            self.before = std::mem::take(&mut self.current);
        }
    }

    /// Bytes per second; 0 before anything was measured.
    pub(super) fn get(&self) -> u64 {
        self.before.max(self.current)
    }
}

/// The round trip of the path without a queue, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct MinRtt {
    least: Option<(Duration, Instant)>,
    /// The same over a shorter time: what is provoked is to be seen.
    lately: Option<(Duration, Instant)>,
}

impl MinRtt {
    /// A measurement, if there is one. Whether it is time to provoke a short one.
    pub(super) fn add(&mut self, now: Instant, rtt: Option<Duration>) -> bool {
        let Some((lately, at)) = self.lately else {
            self.lately = rtt.map(|rtt| (rtt, now));
            self.least = self.lately;
            return false;
        };
        let due = now - at > PROBE_RTT_INTERVAL;
        if let Some(rtt) = rtt
            && (rtt <= lately || due)
        {
            self.lately = Some((rtt, now));
        }
        if let Some((least, since)) = self.least
            && let Some((lately, at)) = self.lately
            && (lately <= least || now - since > MIN_RTT_KEPT)
        {
            self.least = Some((lately, at));
        }
        due
    }

    /// What was provoked is over, whatever it has shown.
    pub(super) fn probed(&mut self, now: Instant) {
        if let Some((_, at)) = &mut self.lately {
            *at = now;
        }
    }

    pub(super) fn get(&self) -> Option<Duration> {
        self.least.map(|(rtt, _)| rtt)
    }
}

/// The shortest round trip of late, a quarter to a half of one: a queue makes it longer for as long
/// as it stands. What waits for a turn to send, as over Wi-Fi, LTE and cable, waits for longer or
/// shorter than its neighbours.
#[derive(Debug, Default)]
pub(super) struct StandingRtt {
    since: Option<Instant>,
    current: Option<Duration>,
    before: Option<Duration>,
}

impl StandingRtt {
    pub(super) fn add(&mut self, now: Instant, rtt: Duration) {
        let since = *self.since.get_or_insert(now);
        if now - since > rtt / 4 {
            self.since = Some(now);
            self.before = self.current.take();
        }
        self.current = Some(self.current.map_or(rtt, |least| least.min(rtt)));
    }

    /// Zero before anything was measured.
    pub(super) fn get(&self) -> Duration {
        let lately = self.current.into_iter().chain(self.before);
        lately.min().unwrap_or_default()
    }
}

/// Round trips, told apart by what had been delivered when a chunk left.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    delivered: u64,
    end: u64,
    count: u64,
    began: bool,
}

impl Rounds {
    pub(super) fn on_sample(&mut self, sample: &RateSample) {
        self.began = sample.delivery.is_some_and(|it| it.prior >= self.end);
        self.delivered = sample.delivered;
        if self.began {
            self.count += 1;
            self.restart();
        }
    }

    /// What leaves from now on belongs to another round.
    pub(super) fn restart(&mut self) {
        self.end = self.delivered;
    }

    /// Bytes delivered by the last sample.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Whether the last sample began one.
    pub(super) fn began(&self) -> bool {
        self.began
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

/// How much more is acknowledged at once than the path delivers in the time: so much more has to be
/// in flight to keep it busy (draft §5.5.9).
#[derive(Debug, Default)]
pub(super) struct Aggregation {
    began: Option<Instant>,
    acked: u64,
    /// The most in these rounds, and in those before.
    current: usize,
    before: usize,
    turned: u64,
}

impl Aggregation {
    pub(super) fn add(&mut self, now: Instant, acked: usize, rate: u64, limit: usize, round: u64) {
        if acked == 0 || rate == 0 {
            return;
        }
        let mut expected = bytes_in(rate, now - *self.began.get_or_insert(now));
        if self.acked <= expected {
            self.restart(now);
            expected = 0;
        }
        self.acked = self.acked.saturating_add(acked as u64);
        let extra = usize::try_from(self.acked.saturating_sub(expected)).unwrap_or(usize::MAX);
        if round.saturating_sub(self.turned) >= BUNCH_ROUNDS {
            self.turned = round;
            self.before = std::mem::take(&mut self.current);
        }
        self.current = self.current.max(extra.min(limit));
    }

    /// What was expected to be acknowledged in a pause was not.
    pub(super) fn restart(&mut self, now: Instant) {
        self.began = Some(now);
        self.acked = 0;
    }

    /// Bytes.
    pub(super) fn get(&self) -> usize {
        self.current.max(self.before)
    }
}

/// Whether the path delivers as much as it can, as rounds that bring no more show.
#[derive(Debug, Default)]
pub(super) struct FullPipe {
    rate: u64,
    rounds: u32,
    now: bool,
    reached: bool,
}

impl FullPipe {
    /// A rate that was measured while there was enough to send.
    pub(super) fn on_delivery(&mut self, rate: u64, round_began: bool) {
        if self.now {
            return;
        }
        if rate >= scaled(self.rate, GROWTH) {
            self.restart(rate);
            return;
        }
        if round_began {
            self.rounds += 1;
            self.now = self.rounds >= FULL_ROUNDS;
            self.reached |= self.now;
        }
    }

    /// The search begins anew, from this rate.
    pub(super) fn restart(&mut self, rate: u64) {
        self.rate = rate;
        self.rounds = 0;
        self.now = false;
    }

    /// Something else shows that it is full.
    pub(super) fn reach(&mut self) {
        self.reached = true;
    }

    /// Whether it was full once, so that Startup is over.
    pub(super) fn is_reached(&self) -> bool {
        self.reached
    }

    /// Whether it is, as the rounds since the last restart show.
    pub(super) fn is_full(&self) -> bool {
        self.now
    }
}
