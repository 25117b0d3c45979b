//! HEARTBEATs of one path: probing it while it is idle (§8.3).

use std::time::Duration;

use crate::time::Instant;

/// Bytes of Heartbeat Information: a 64-bit nonce (§5.4), which also tells the path.
pub(crate) const INFO_LEN: usize = 8;

/// What is under way and what is due on one path.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    /// HB.interval; `None` sends none on an idle path.
    pub(crate) interval: Option<Duration>,
    /// To be sent with the next packet on this path.
    pub(crate) due: bool,
    /// Sent last and not answered yet.
    outstanding: Option<Outstanding>,
    pub(crate) sent: u64,
    pub(crate) acked: u64,
}

/// A HEARTBEAT that waits for its answer, which counts even if it comes late: a path whose
/// round-trip time is longer than its time-out is measured so.
#[derive(Debug)]
struct Outstanding {
    nonce: u64,
    sent: Instant,
    timed_out: bool,
}

impl Heartbeat {
    pub(crate) fn new(interval: Option<Duration>) -> Self {
        Self {
            interval,
            due: false,
            outstanding: None,
            sent: 0,
            acked: 0,
        }
    }

    /// The Heartbeat Information to send now, made of a random number. A later one replaces an earlier: only the answer to
    /// the last counts.
    pub(crate) fn send(&mut self, now: Instant, nonce: u64) -> [u8; INFO_LEN] {
        //= RFC 9260 §3.3.5
        //# When a HEARTBEAT chunk is being used for path verification purposes, it MUST include a
        //# random nonce of length 64 bits or longer ([RFC4086] provides some information on
        //# randomness guidelines).
        self.outstanding = Some(Outstanding {
            nonce,
            sent: now,
            timed_out: false,
        });
        self.due = false;
        self.sent += 1;
        nonce.to_be_bytes()
    }

    /// The round-trip time, if `info` is what was sent last and is unanswered.
    pub(crate) fn answered(&mut self, now: Instant, info: &[u8]) -> Option<Duration> {
        let Outstanding { nonce, sent, .. } = self.outstanding.as_ref()?;
        if info != nonce.to_be_bytes() {
            return None;
        }
        let rtt = now - *sent;
        self.outstanding = None;
        self.acked += 1;
        Some(rtt)
    }

    /// The time of the one under way is over; true if there was one whose time was not over yet.
    pub(crate) fn timed_out(&mut self) -> bool {
        self.outstanding
            .as_mut()
            .is_some_and(|beat| !std::mem::replace(&mut beat.timed_out, true))
    }

    /// Sends no more, and waits for no answer.
    pub(crate) fn stop(&mut self) {
        self.due = false;
        self.outstanding = None;
    }
}

/// How many HEARTBEATs may leave per time-out to addresses that are to be confirmed.
#[derive(Debug)]
pub(crate) struct Burst {
    ends: Instant,
    left: u32,
}

impl Default for Burst {
    fn default() -> Self {
        Self {
            ends: Instant::EPOCH,
            left: 0,
        }
    }
}

impl Burst {
    /// Takes one of `most` per `rto`; else tells when there is one again.
    //= RFC 9260 §5.4
    //# The number of packets containing HEARTBEAT chunks sent at each RTO SHOULD be limited by the
    //# 'HB.Max.Burst' parameter.
    pub(crate) fn take(&mut self, now: Instant, rto: Duration, most: u32) -> Result<(), Instant> {
        if now >= self.ends {
            *self = Self {
                ends: now + rto,
                left: most,
            };
        }
        self.left = self.left.checked_sub(1).ok_or(self.ends)?;
        Ok(())
    }
}

/// Time to the next HEARTBEAT of an idle path, by a random number.
pub(crate) fn next_in(interval: Duration, rto: Duration, random: u64) -> Duration {
    //= RFC 9260 §8.3
    //# On an idle destination address that is allowed to heartbeat, it is RECOMMENDED that a
    //# HEARTBEAT chunk is sent once per RTO of that destination address plus the protocol
    //# parameter 'HB.interval', with jittering of +/- 50% of the RTO value and exponential
    //# backoff of the RTO if the previous HEARTBEAT chunk is unanswered.
    let rto_nanos = u64::try_from(rto.as_nanos()).unwrap_or(u64::MAX);
    let jitter = random % rto_nanos.max(1);
    interval + rto / 2 + Duration::from_nanos(jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_nonce_is_an_answer_and_only_once() {
        let mut heartbeat = Heartbeat::new(None);
        let first = heartbeat.send(Instant::from_nanos(5), 1);
        let second = heartbeat.send(Instant::from_nanos(10), 2);
        let now = Instant::from_nanos(30);
        assert_eq!(heartbeat.answered(now, &first), None);
        assert_eq!(heartbeat.answered(now, &second[..7]), None);
        assert_eq!(
            heartbeat.answered(now, &second),
            Some(Duration::from_nanos(20))
        );
        assert_eq!(heartbeat.answered(now, &second), None);
        assert!(!heartbeat.timed_out());
    }

    #[test]
    fn a_burst_is_for_one_time_out() {
        let mut burst = Burst::default();
        let (at, rto) = (Instant::from_nanos, Duration::from_nanos(100));
        assert_eq!(burst.take(at(50), rto, 2), Ok(()));
        assert_eq!(burst.take(at(60), rto, 2), Ok(()));
        assert_eq!(burst.take(at(149), rto, 2), Err(at(150)));
        assert_eq!(burst.take(at(150), rto, 2), Ok(()));
    }

    #[test]
    fn a_late_answer_counts_and_one_time_out_is_told_once() {
        let mut heartbeat = Heartbeat::new(None);
        let info = heartbeat.send(Instant::from_nanos(5), 1);
        assert!(heartbeat.timed_out());
        assert!(!heartbeat.timed_out());
        let late = Instant::from_nanos(2005);
        let rtt = heartbeat.answered(late, &info);
        assert_eq!(rtt, Some(Duration::from_nanos(2000)));
        heartbeat.send(late, 2);
        heartbeat.stop();
        assert!(!heartbeat.timed_out());
    }

    #[test]
    fn jitter_stays_within_half_an_rto() {
        let (interval, rto) = (Duration::from_secs(15), Duration::from_secs(1));
        for random in (0..u64::MAX).step_by(usize::MAX / 1000) {
            let next = next_in(interval, rto, random);
            assert!(next >= interval + rto / 2 && next <= interval + rto * 3 / 2);
        }
    }
}
