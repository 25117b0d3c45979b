//! The retransmission time-out of one path (§6.3.1).

use std::time::Duration;

use super::counters::RttRange;
use crate::{config::AssociationConfig, time::Instant};

/// Clock granularity G: what RTTVAR is taken for when every measurement was the same. Timers of
/// common systems fire about a millisecond late.
const GRANULARITY: Duration = Duration::from_millis(1);

/// SRTT, RTTVAR and the time-out they give.
#[derive(Debug, Clone)]
pub(crate) struct RtoEstimator {
    min: Duration,
    max: Duration,
    rto: Duration,
    srtt: Option<Duration>,
    rttvar: Duration,
    /// There is nothing yet but what the handshake took.
    provisional: bool,
    /// When the next measurement is welcome.
    next_sample: Instant,
    range: RttRange,
}

impl RtoEstimator {
    pub(crate) fn new(config: &AssociationConfig) -> Self {
        Self {
            min: config.rto_min,
            max: config.rto_max,
            //= RFC 9260 §6.3.1
            //# Until an RTT measurement has been made for a packet sent to the given destination
            //# transport address, set RTO to the protocol parameter 'RTO.Initial'.
            rto: config.rto_initial,
            srtt: None,
            rttvar: Duration::ZERO,
            provisional: false,
            next_sample: Instant::EPOCH,
            range: RttRange::default(),
        }
    }

    /// The time from a state cookie to its echo, which has a round trip in it: so the first answer
    /// does not wait for RTO.Initial when it is lost. It may be more, since a lost COOKIE ECHO leaves
    /// again and the echo may have waited here to be accepted; where another machine made the cookie,
    /// by another clock, it may be anything. So the first measurement takes its place.
    pub(crate) fn on_handshake(&mut self, took: Duration) {
        if self.srtt.is_none() && !took.is_zero() && took < self.rto {
            self.smooth(took);
            self.provisional = true;
        }
    }

    /// A measurement that data gave at `now`. Taken at most once per round trip, however many
    /// SACKs bring one: alpha and beta are made for that.
    pub(crate) fn on_measurement_at(&mut self, now: Instant, rtt: Duration) {
        //= RFC 9260 §6.3.1
        //# Furthermore, new RTT measurements SHOULD be made no more than once per round trip for a
        //# given destination transport address.
        if now < self.next_sample {
            return;
        }
        let rtt = rtt.min(self.max);
        //= RFC 9260 §6.3.1
        //# When data is in flight and when allowed by rule C5 below, a new RTT measurement MUST be
        //# made each round trip.
        self.next_sample = now + rtt;
        self.on_measurement(rtt);
    }

    /// A measurement, whatever the time of the last one: what a HEARTBEAT gives. Ends any
    /// back-off (§6.3.3).
    pub(crate) fn on_measurement(&mut self, rtt: Duration) {
        // A machine that slept for an hour in the middle of a round trip has not measured a path of
        // an hour: what follows from it, the pace included, would be good for nothing for as long.
        let rtt = rtt.min(self.max);
        self.range.measured(rtt);
        self.smooth(rtt);
        self.range.timed(self.rto);
    }

    fn smooth(&mut self, rtt: Duration) {
        let before = self.srtt.filter(|_| !std::mem::take(&mut self.provisional));
        // RTO.Alpha is 1/8 and RTO.Beta 1/4 (§16).
        let srtt = match before {
            None => {
                self.rttvar = rtt / 2;
                rtt
            }
            Some(srtt) => {
                self.rttvar = self.rttvar.saturating_mul(3) / 4 + srtt.abs_diff(rtt) / 4;
                srtt.saturating_mul(7) / 8 + rtt / 8
            }
        };
        if self.rttvar.is_zero() {
            self.rttvar = GRANULARITY;
        }
        self.srtt = Some(srtt);
        //= RFC 9260 §6.3.1
        //# Whenever RTO is computed, if it is less than 'RTO.Min' seconds, then it is rounded up to
        //# 'RTO.Min' seconds.
        self.rto = srtt
            .saturating_add(self.rttvar.saturating_mul(4))
            .clamp(self.min, self.max);
    }

    /// T3-rtx ran out: backs the timer off.
    pub(crate) fn on_timeout(&mut self) {
        //= RFC 9260 §6.3.3
        //# For the destination address for which the timer expires, set RTO = RTO * 2 ("back off
        //# the timer").
        self.rto = self.rto.saturating_mul(2).min(self.max);
        self.range.timed(self.rto);
    }

    /// The time-outs were too early: takes the back-off back, to what the measurements give.
    pub(crate) fn undo_back_off(&mut self) {
        if let Some(srtt) = self.srtt {
            let measured = srtt.saturating_add(self.rttvar.saturating_mul(4));
            self.rto = measured.clamp(self.min, self.max);
        }
    }

    /// The time-out, backed off as it stands.
    pub(crate) fn rto(&self) -> Duration {
        self.rto
    }

    /// The time-out is to lie between these from now on.
    pub(crate) fn set_limits(&mut self, min: Duration, max: Duration) {
        (self.min, self.max) = (min, max);
        self.rto = self.rto.clamp(min, max);
    }

    /// RTTVAR; zero before the first measurement.
    pub(crate) fn rttvar(&self) -> Duration {
        self.rttvar
    }

    /// What was measured so far.
    pub(crate) fn range(&self) -> RttRange {
        self.range
    }

    /// Smoothed round-trip time; `None` before the first measurement.
    pub(crate) fn srtt(&self) -> Option<Duration> {
        self.srtt
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn estimator() -> RtoEstimator {
        let mut config = AssociationConfig::default();
        config
            .rto_min(ms(10))
            .rto_initial(ms(1000))
            .rto_max(ms(5000));
        RtoEstimator::new(&config)
    }

    #[test]
    fn first_and_later_measurements() {
        let mut rto = estimator();
        assert_eq!((rto.rto(), rto.srtt()), (ms(1000), None));
        rto.on_measurement(ms(100));
        assert_eq!((rto.rto(), rto.srtt()), (ms(100 + 4 * 50), Some(ms(100))));
        // RTTVAR = 3/4 * 50 + 1/4 * |100 - 180| = 57.5; SRTT = 7/8 * 100 + 1/8 * 180 = 110
        rto.on_measurement(ms(180));
        assert_eq!((rto.rto(), rto.srtt()), (ms(110 + 230), Some(ms(110))));
    }

    #[test]
    fn what_the_handshake_took_stands_until_the_first_measurement() {
        let mut rto = estimator();
        for nothing in [Duration::ZERO, ms(1000)] {
            rto.on_handshake(nothing);
            assert_eq!((rto.rto(), rto.srtt()), (ms(1000), None));
        }
        rto.on_handshake(ms(100));
        assert_eq!((rto.rto(), rto.srtt()), (ms(300), Some(ms(100))));
        rto.on_measurement(ms(20));
        assert_eq!((rto.rto(), rto.srtt()), (ms(60), Some(ms(20))));
        rto.on_handshake(ms(100));
        assert_eq!(rto.srtt(), Some(ms(20)));
        rto.on_measurement(ms(100));
        assert_eq!(rto.srtt(), Some(ms(30)));
    }

    #[test]
    fn bounds_hold() {
        let mut rto = estimator();
        rto.on_measurement(Duration::ZERO);
        assert_eq!(rto.rto(), ms(10));
        rto.on_measurement(Duration::MAX);
        rto.on_measurement(Duration::MAX);
        assert_eq!(rto.rto(), ms(5000));
    }

    #[test]
    fn a_round_trip_across_a_suspension_is_no_longer_than_the_maximum() {
        let mut rto = estimator();
        let start = Instant::from_nanos(1_000_000_000);
        rto.on_measurement_at(start, ms(3_600_000));
        assert_eq!(rto.srtt(), Some(ms(5000)));
        rto.on_measurement_at(start + ms(5000), ms(1000));
        assert_eq!(rto.srtt(), Some(ms(4500)));
    }

    #[test]
    fn backs_off_to_the_maximum_and_collapses() {
        let mut rto = estimator();
        rto.on_measurement(ms(200));
        for expected in [1200, 2400, 4800, 5000, 5000] {
            rto.on_timeout();
            assert_eq!(rto.rto(), ms(expected));
        }
        rto.undo_back_off();
        assert_eq!(rto.rto(), ms(600));
        rto.on_measurement(ms(200));
        // RTTVAR = 3/4 * 100
        assert_eq!(rto.rto(), ms(500));
    }

    //= RFC 9260 §6.3.1, test
    //# Furthermore, new RTT measurements SHOULD be made no more...
    #[test]
    fn data_gives_one_sample_per_round_trip() {
        let mut rto = estimator();
        let start = Instant::from_nanos(1_000_000_000);
        rto.on_measurement_at(start, ms(100));
        rto.on_measurement_at(start + ms(99), ms(900));
        assert_eq!(rto.srtt(), Some(ms(100)));
        rto.on_measurement_at(start + ms(100), ms(900));
        assert_eq!(rto.srtt(), Some(ms(200)));
    }

    proptest! {
        /// CVE-2025-38718 and its like: a time-out doubled, or shifted, once too often.
        #[test]
        fn threat_13_no_series_of_time_outs_and_measurements_leaves_the_bounds(
            min in 1_u64..1000,
            span in 0_u64..100_000,
            series in vec(prop_oneof![
                3 => Just(None),
                1 => (0_u64..5000).prop_map(|millis| Some(ms(millis))),
                1 => (any::<u64>(), 0_u32..1_000_000_000)
                    .prop_map(|(seconds, nanos)| Some(Duration::new(seconds, nanos))),
            ], 0..300),
        ) {
            let mut config = AssociationConfig::default();
            let max = ms(min + span);
            config.rto_min(ms(min)).rto_initial(max).rto_max(max);
            let mut rto = RtoEstimator::new(&config);
            for step in series {
                let before = rto.rto();
                match step {
                    None => {
                        rto.on_timeout();
                        prop_assert_eq!(rto.rto(), (2 * before).min(max));
                    }
                    Some(measured) => rto.on_measurement(measured),
                }
                prop_assert!((ms(min)..=max).contains(&rto.rto()), "{:?}", rto);
            }
        }
    }

    #[test]
    fn a_steady_round_trip_keeps_a_margin() {
        let mut rto = estimator();
        for _ in 0..200 {
            rto.on_measurement(ms(50));
        }
        assert!(rto.rto() > ms(50));
    }
}
