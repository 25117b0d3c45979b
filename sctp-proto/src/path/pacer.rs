//! Pacing: a window that opens leaves spread over time, not as one burst that the bottleneck's
//! queue has to hold.
//!
//! A bucket of credit that fills at the rate the congestion controller names and is emptied by
//! what leaves. It never holds more than a quantum, so that neither a pause nor a late timer is
//! followed by a larger burst.

use std::time::Duration;

use crate::time::Instant;

/// What is waited for where that is more than half of the burst that is always allowed: a tick of
/// timers that count milliseconds, as tokio's do. A fast path thus costs a wake-up per millisecond,
/// and whole batches leave.
const WAIT: Duration = Duration::from_millis(1);
/// How late a timer may be: rounded up to a tick by the timer, and to another by the call that
/// sleeps. With less, late timers would lose credit, and the rate would not be reached.
const LATE: Duration = Duration::from_millis(2);
/// Credit is counted in nanobytes: a rate in bytes per second times nanoseconds, without a
/// division and without a remainder.
const NANO: i64 = 1_000_000_000;

/// When the next packet may leave on one path. Without a rate it holds nothing.
#[derive(Debug)]
pub(crate) struct Pacer {
    /// Bytes per second; `None` for as fast as the window allows.
    rate: Option<i64>,
    /// The most credit there can be.
    quantum: i64,
    /// The credit that a sender waits for once it has none.
    awaited: i64,
    /// What may leave now. Negative after a packet that began with less credit than it needs.
    credit: i64,
    /// When `credit` was brought up to date.
    at: Instant,
}

impl Pacer {
    /// One that holds nothing until it is told a rate, and not before `initial` bytes have left:
    /// the initial window is made to leave at once, whether or not a packet of it has measured the
    /// round trip already.
    pub(crate) fn new(initial: usize) -> Self {
        Self {
            rate: None,
            quantum: 0,
            awaited: 0,
            credit: nanobytes(initial),
            at: Instant::EPOCH,
        }
    }

    /// Credits the time since the last call, at the rate as it is now; to be called before
    /// [`holds`](Self::holds) is asked at another time. `least` bytes may leave as one burst
    /// however slow the path is.
    pub(crate) fn refill(&mut self, now: Instant, rate: Option<u64>, least: usize) {
        let Some(rate) = rate else {
            (self.rate, self.quantum) = (None, 0);
            return;
        };
        let rate = i64::try_from(rate.max(1)).unwrap_or(i64::MAX);
        let least = nanobytes(least);
        self.awaited = gained(rate, WAIT).max(least / 2);
        self.quantum = gained(rate, WAIT + LATE).max(least);
        let gained = match self.rate {
            Some(_) => gained(rate, now - self.at),
            None => self.quantum,
        };
        // What is left of the initial window is more, perhaps; it does not grow.
        if self.credit < self.quantum {
            self.credit = self.credit.saturating_add(gained).min(self.quantum);
        }
        self.rate = Some(rate);
        self.at = now;
    }

    /// When `refill` was last called with a rate.
    pub(crate) fn refilled_at(&self) -> Instant {
        self.at
    }

    /// Bytes per second, once known.
    pub(crate) fn rate(&self) -> Option<u64> {
        self.rate.map(i64::unsigned_abs)
    }

    /// So many bytes left, held or not: what leaves because it must not wait is paid for later.
    pub(crate) fn on_sent(&mut self, bytes: usize) {
        // A debt of more than a quantum would be a silence longer than a burst is. Without a rate
        // there is no debt.
        let left = self.credit.saturating_sub(nanobytes(bytes));
        self.credit = left.max(-self.quantum);
    }

    /// Whether a packet has to wait. One that may begin to leave leaves whole.
    pub(crate) fn holds(&self) -> bool {
        self.rate.is_some() && self.credit <= 0
    }

    /// When what is held may leave: not at the first byte of credit but when a burst is worth
    /// the wake-up. Later than the last `refill`.
    pub(crate) fn ready_at(&self) -> Instant {
        let missing = self.awaited.saturating_sub(self.credit);
        // Rounded down: with a rest of credit after the burst one more packet would leave.
        let nanos = missing.unsigned_abs() / self.rate().unwrap_or(1);
        self.at + Duration::from_nanos(nanos.max(1))
    }
}

fn nanobytes(bytes: usize) -> i64 {
    i64::try_from(bytes)
        .unwrap_or(i64::MAX)
        .saturating_mul(NANO)
}

/// Nanobytes of so much time.
fn gained(rate: i64, time: Duration) -> i64 {
    let nanos = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    rate.saturating_mul(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const PACKET: usize = 1000;
    const LEAST: usize = 4 * PACKET;
    /// A packet per millisecond: less than `LEAST` in any time that counts.
    const SLOW: Option<u64> = Some(1_000_000);
    /// A hundred packets per millisecond.
    const FAST: Option<u64> = Some(100_000_000);

    fn pacer(rate: Option<u64>) -> (Pacer, Instant) {
        let (mut pacer, now) = (Pacer::new(LEAST), Instant::EPOCH);
        pacer.refill(now, rate, LEAST);
        (pacer, now)
    }

    /// Packets that leave at once.
    fn burst(pacer: &mut Pacer) -> usize {
        let mut packets = 0;
        while !pacer.holds() {
            assert!(packets < 1_000_000, "endless credit");
            pacer.on_sent(PACKET);
            packets += 1;
        }
        packets
    }

    /// Packets within `time`, by a sender that always has some, whose timers are `late`.
    fn packets(pacer: &mut Pacer, now: Instant, rate: Option<u64>, time: Duration) -> usize {
        let (mut now, end) = (now, now + time);
        let mut packets = 0;
        while now < end {
            pacer.refill(now, rate, LEAST);
            packets += burst(pacer);
            assert!(pacer.ready_at() > now);
            // Rounded up to a tick of a millisecond, and a tick more.
            let tick = pacer.ready_at().as_nanos().next_multiple_of(1_000_000) + 1_000_000;
            now = Instant::from_nanos(tick);
        }
        packets
    }

    #[test]
    fn without_a_rate_nothing_is_held() {
        let (mut pacer, now) = pacer(None);
        for _ in 0..1000 {
            pacer.on_sent(PACKET);
            assert!(!pacer.holds());
        }
        // What left before the rate was known is not held against it.
        pacer.refill(now, SLOW, LEAST);
        assert_eq!(burst(&mut pacer), 4);
        pacer.refill(now, None, LEAST);
        assert!(!pacer.holds());
    }

    #[test]
    fn the_initial_window_leaves_at_once() {
        let (mut pacer, now) = (Pacer::new(10 * PACKET), Instant::EPOCH);
        pacer.on_sent(PACKET);
        pacer.refill(now + 50 * MS, SLOW, LEAST);
        assert_eq!(burst(&mut pacer), 9);
        pacer.refill(now + 5000 * MS, SLOW, LEAST);
        assert_eq!(burst(&mut pacer), 4);
    }

    #[test]
    fn a_slow_path_gets_the_least_burst_and_then_half_of_it_at_a_time() {
        let (mut pacer, now) = pacer(SLOW);
        assert_eq!(burst(&mut pacer), 4);
        assert_eq!(pacer.ready_at(), now + 2 * MS);
        pacer.refill(now + 2 * MS, SLOW, LEAST);
        assert_eq!(burst(&mut pacer), 2);
    }

    #[test]
    fn a_fast_path_gets_what_it_carries_in_a_tick() {
        let (mut pacer, now) = pacer(FAST);
        assert_eq!(burst(&mut pacer), 300);
        assert_eq!(pacer.ready_at(), now + MS);
        pacer.refill(now + MS, FAST, LEAST);
        assert_eq!(burst(&mut pacer), 100);
    }

    #[test]
    fn the_rate_is_reached_with_timers_that_are_late() {
        for rate in [SLOW, Some(3_141_592), FAST] {
            let (mut pacer, now) = pacer(rate);
            let expected = rate.unwrap_or(0) as usize / PACKET;
            let sent = packets(&mut pacer, now, rate, 1000 * MS);
            let most = expected + expected / 100 + LEAST / PACKET;
            assert!(sent >= expected * 98 / 100, "{sent} of {expected}");
            assert!(sent <= most, "{sent} of {expected}");
        }
    }

    #[test]
    fn a_pause_is_worth_no_more_than_a_quantum() {
        let (mut pacer, now) = pacer(SLOW);
        burst(&mut pacer);
        pacer.refill(now + 100_000 * MS, SLOW, LEAST);
        assert_eq!(burst(&mut pacer), 4);
    }

    #[test]
    fn what_must_not_wait_is_paid_for_later() {
        let (mut pacer, now) = pacer(SLOW);
        burst(&mut pacer);
        pacer.on_sent(2 * PACKET);
        assert_eq!(pacer.ready_at(), now + 4 * MS);
        // Never for longer than a quantum, and what is waited for.
        pacer.on_sent(1000 * PACKET);
        assert_eq!(pacer.ready_at(), now + 6 * MS);
    }

    #[test]
    fn a_packet_that_is_allowed_leaves_whole() {
        let (mut pacer, now) = pacer(SLOW);
        burst(&mut pacer);
        pacer.refill(now + Duration::from_nanos(1), SLOW, LEAST);
        assert!(!pacer.holds());
        pacer.on_sent(PACKET);
        assert!(pacer.holds());
        pacer.refill(now + MS, SLOW, LEAST);
        assert!(pacer.holds());
    }

    #[test]
    fn many_looks_at_the_clock_lose_nothing() {
        let (mut pacer, mut now) = pacer(SLOW);
        burst(&mut pacer);
        for _ in 0..1000 {
            now += Duration::from_nanos(1000);
            pacer.refill(now, Some(1_900_000), LEAST);
        }
        assert_eq!(burst(&mut pacer), 2);
    }

    #[test]
    fn absurd_rates_and_times_do_no_harm() {
        let (mut pacer, _) = pacer(Some(u64::MAX));
        pacer.on_sent(usize::MAX);
        pacer.refill(Instant::from_nanos(u64::MAX), Some(u64::MAX), usize::MAX);
        pacer.on_sent(usize::MAX);
        let _ = pacer.ready_at();
        let (mut pacer, now) = self::pacer(Some(0));
        burst(&mut pacer);
        assert!(pacer.ready_at() > now);
    }
}
