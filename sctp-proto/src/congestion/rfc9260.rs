//! Slow start and congestion avoidance of RFC 9260 §7.2, to the byte.

use std::time::Duration;

use super::{AckSample, Controller, decayed_window, window_rate};
use crate::{time::Instant, wire::COMMON_HEADER};

#[derive(Debug)]
pub(super) struct Rfc9260 {
    /// The largest DATA chunk that fits a packet of this path, header included (PMDCS, §1.3).
    pmdcs: usize,
    /// What an idle window does not shrink below.
    initial: usize,
    cwnd: usize,
    ssthresh: usize,
    partial_bytes_acked: usize,
    /// The window and the threshold that [`undo`](Controller::undo) puts back.
    saved: Option<(usize, usize)>,
}

impl Rfc9260 {
    pub(super) fn new(max_packet: usize, initial: usize) -> Self {
        Self {
            pmdcs: max_packet - COMMON_HEADER,
            initial,
            cwnd: initial,
            //= RFC 9260 §7.2.1
            //# The initial value of ssthresh SHOULD be arbitrarily high (e.g., the size of the
            //# largest-possible advertised window).
            ssthresh: usize::MAX,
            partial_bytes_acked: 0,
            saved: None,
        }
    }

    fn halved(&self) -> usize {
        (self.cwnd / 2).max(4 * self.pmdcs)
    }

    fn slow_start(&mut self, ack: &AckSample) {
        //= RFC 9260 §7.2.1
        //# When cwnd is less than or equal to ssthresh, an SCTP endpoint MUST use the slow-start
        //# algorithm to increase cwnd only if the current congestion window is being fully utilized
        //# and the data sender is not in Fast Recovery.
        if ack.cwnd_fully_used && !ack.in_recovery {
            //= RFC 9260 §7.2.1
            //# The positive integer L SHOULD be 1 and MAY be larger than 1.
            //= RFC 9260 §7.2.1
            //# Only when these two conditions are met can the cwnd be increased; otherwise, the
            //# cwnd MUST NOT be increased.
            //= RFC 9260 §7.2.1
            //# If these conditions are met, then cwnd MUST be increased by, at most, the lesser of
            self.cwnd = self.cwnd.saturating_add(ack.acked.min(self.pmdcs));
        }
    }

    /// The duplicates a SACK reports are left out of `partial_bytes_acked`: their sizes are not
    /// known any more, and a peer could report any number of them.
    fn congestion_avoidance(&mut self, ack: &AckSample) {
        //= RFC 9260 §7.2.2
        //# SCTP MUST NOT increment cwnd by more than PMDCS per RTT.
        self.partial_bytes_acked = self.partial_bytes_acked.saturating_add(ack.acked);
        if ack.cwnd_fully_used {
            if self.partial_bytes_acked >= self.cwnd {
                self.partial_bytes_acked -= self.cwnd;
                //= RFC 9260 §7.2.2
                //# When cwnd is greater than ssthresh, cwnd SHOULD be incremented by PMDCS per RTT
                //# if the sender has cwnd or more bytes of data outstanding for the corresponding
                //# transport address.
                //= RFC 9260 §7.2.2
                //# SCTP SHOULD increment cwnd by PMDCS once per RTT when the sender has cwnd or
                //# more bytes of data outstanding for the corresponding transport address.
                self.cwnd = self.cwnd.saturating_add(self.pmdcs);
            }
        } else {
            self.partial_bytes_acked = self.partial_bytes_acked.min(self.cwnd);
        }
    }
}

impl Controller for Rfc9260 {
    fn on_sent(&mut self, _now: Instant, _bytes: usize, _flight: usize, _app_limited: bool) {}

    fn on_ack(&mut self, ack: &AckSample) {
        if self.cwnd <= self.ssthresh {
            self.slow_start(ack);
        } else {
            self.congestion_avoidance(ack);
        }
        //= RFC 9260 §7.2.2
        //# When all of the data transmitted by the sender has been acknowledged by the receiver,
        //# partial_bytes_acked is initialized to 0.
        if ack.acked >= ack.flight_before {
            self.partial_bytes_acked = 0;
        }
    }

    fn on_loss(&mut self, _now: Instant, _lost: usize) {
        //= RFC 9260 §7.2.3
        //# ssthresh = max(cwnd / 2, 4 * PMDCS)
        //# cwnd = ssthresh
        //# partial_bytes_acked = 0
        //= RFC 9260 §7.2.3
        //# Upon detection of packet losses from SACK chunks (see Section 7.2.4), an endpoint SHOULD
        //# do the following:
        self.ssthresh = self.halved();
        self.cwnd = self.ssthresh;
        self.partial_bytes_acked = 0;
    }

    fn on_recovery_exit(&mut self) {}

    fn on_timeout(&mut self, _now: Instant) {
        //= RFC 9260 §7.2.3
        //# ssthresh = max(cwnd / 2, 4 * PMDCS)
        //# cwnd = PMDCS
        //# partial_bytes_acked = 0
        //= RFC 9260 §7.2.3
        //# When the T3-rtx timer expires on an address, SCTP SHOULD perform slow start by:
        self.ssthresh = self.halved();
        self.cwnd = self.pmdcs;
        self.partial_bytes_acked = 0;
    }

    fn save(&mut self) {
        self.saved = Some((self.cwnd, self.ssthresh));
    }

    fn undo(&mut self, _now: Instant) -> bool {
        let Some((cwnd, ssthresh)) = self.saved.take() else {
            return false;
        };
        self.cwnd = self.cwnd.max(cwnd);
        self.ssthresh = self.ssthresh.max(ssthresh);
        self.partial_bytes_acked = 0;
        true
    }

    fn saved_window(&self) -> usize {
        self.saved.map_or(0, |(cwnd, _)| cwnd)
    }

    /// Beside that of `decayed_window` a departure from the letter: ssthresh is not lowered while in
    /// slow start (a short exchange on a fresh association is no sign of congestion, and would end
    /// slow start for good).
    fn on_idle(&mut self, _now: Instant, idle: Duration, rto: Duration) {
        let least = self.initial.max(4 * self.pmdcs);
        if let Some(window) = decayed_window(self.cwnd, least, idle, rto) {
            self.ssthresh = self.ssthresh.max(self.cwnd);
            self.cwnd = window;
            self.saved = None;
            self.partial_bytes_acked = 0;
        }
    }

    fn on_mtu(&mut self, max_packet: usize) {
        self.pmdcs = max_packet - COMMON_HEADER;
        self.cwnd = self.cwnd.max(self.pmdcs);
        self.saved = None;
    }

    fn window(&self) -> usize {
        self.cwnd
    }

    fn ssthresh(&self) -> usize {
        self.ssthresh
    }

    fn pacing_rate(&self, srtt: Option<Duration>) -> Option<u64> {
        window_rate(self.cwnd, self.cwnd <= self.ssthresh, srtt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PMDCS of the tests.
    const P: usize = 1000;

    fn controller() -> Rfc9260 {
        Rfc9260::new(P + COMMON_HEADER, 4 * P)
    }

    /// An ACK while the window was used to the full.
    fn ack(acked: usize) -> AckSample {
        AckSample {
            now: Instant::EPOCH,
            acked,
            flight_before: usize::MAX,
            cumulative_advanced: true,
            cwnd_fully_used: true,
            rtt: None,
            in_recovery: false,
        }
    }

    #[test]
    fn slow_start_grows_by_what_is_acked_up_to_one_chunk() {
        let mut cc = controller();
        cc.on_ack(&ack(300));
        assert_eq!(cc.window(), 4300);
        cc.on_ack(&ack(2500));
        assert_eq!(cc.window(), 5300);
    }

    #[test]
    fn an_unused_window_does_not_grow() {
        let mut cc = controller();
        cc.on_ack(&AckSample {
            cwnd_fully_used: false,
            ..ack(1000)
        });
        cc.on_ack(&AckSample {
            in_recovery: true,
            ..ack(1000)
        });
        assert_eq!(cc.window(), 4000);
    }

    /// At cwnd 5000 above ssthresh 4000.
    fn avoiding() -> Rfc9260 {
        let mut cc = controller();
        cc.on_loss(Instant::EPOCH, P);
        cc.on_ack(&ack(P));
        assert_eq!((cc.window(), cc.ssthresh()), (5000, 4000));
        cc
    }

    //= RFC 9260 §7.2.2, test
    //# SCTP MUST NOT increment cwnd by more than PMDCS...
    //= RFC 9260 §7.2.2, test
    //# SCTP SHOULD increment cwnd by PMDCS once per RTT...
    #[test]
    fn congestion_avoidance_grows_by_one_chunk_per_window() {
        let mut cc = avoiding();
        cc.on_ack(&ack(2000));
        cc.on_ack(&ack(2999));
        assert_eq!(cc.window(), 5000);
        cc.on_ack(&ack(101));
        assert_eq!((cc.window(), cc.partial_bytes_acked), (6000, 100));
    }

    #[test]
    fn credit_of_an_unused_window_is_capped() {
        let mut cc = avoiding();
        for _ in 0..10 {
            cc.on_ack(&AckSample {
                cwnd_fully_used: false,
                ..ack(1000)
            });
        }
        assert_eq!((cc.window(), cc.partial_bytes_acked), (5000, 5000));
        cc.on_ack(&AckSample {
            flight_before: 1000,
            cwnd_fully_used: false,
            ..ack(1000)
        });
        assert_eq!(cc.partial_bytes_acked, 0);
    }

    #[test]
    fn losses_and_time_outs_cut_the_window() {
        let mut cc = controller();
        cc.cwnd = 20_000;
        cc.on_loss(Instant::EPOCH, P);
        assert_eq!((cc.window(), cc.ssthresh()), (10_000, 10_000));
        cc.on_timeout(Instant::EPOCH);
        assert_eq!((cc.window(), cc.ssthresh()), (1000, 5000));
        cc.on_timeout(Instant::EPOCH);
        assert_eq!((cc.window(), cc.ssthresh()), (1000, 4000));
    }

    #[test]
    fn a_mistake_is_undone_once_and_never_beyond_what_was() {
        let mut cc = controller();
        cc.cwnd = 20_000;
        cc.save();
        cc.on_timeout(Instant::EPOCH);
        cc.on_timeout(Instant::EPOCH);
        assert_eq!(cc.saved_window(), 20_000);
        assert!(cc.undo(Instant::EPOCH));
        assert_eq!((cc.window(), cc.ssthresh()), (20_000, usize::MAX));
        assert!(!cc.undo(Instant::EPOCH));
        cc.save();
        cc.on_loss(Instant::EPOCH, P);
        cc.cwnd = 30_000;
        assert!(cc.undo(Instant::EPOCH));
        assert_eq!(cc.window(), 30_000, "what grew since stays");
        let second = Duration::from_secs(1);
        cc.save();
        cc.on_idle(Instant::EPOCH, second, second);
        assert!(!cc.undo(Instant::EPOCH));
        cc.save();
        cc.on_mtu(P);
        assert!(!cc.undo(Instant::EPOCH));
    }

    //= RFC 9260 §7.2.2, test
    //# Same as in the slow start, when the sender...
    //= RFC 9260 §7.1, test
    //# The parameters SHOULD decay if the address is not...
    #[test]
    fn idle_windows_decay_once_per_time_out() {
        let second = Duration::from_secs(1);
        let mut cc = avoiding();
        cc.cwnd = 40_000;
        cc.on_idle(Instant::EPOCH, second - Duration::from_nanos(1), second);
        assert_eq!((cc.window(), cc.ssthresh()), (40_000, 4000));
        cc.on_idle(Instant::EPOCH, 2 * second, second);
        assert_eq!((cc.window(), cc.ssthresh()), (10_000, 40_000));
        cc.on_idle(Instant::EPOCH, 1000 * second, second);
        assert_eq!((cc.window(), cc.ssthresh()), (4000, 40_000));
    }

    //= RFC 9260 §7.2.1, test
    //# The initial value of ssthresh SHOULD be arbitrarily high...
    #[test]
    fn being_idle_raises_no_window_and_ends_no_slow_start() {
        let mut cc = controller();
        cc.on_idle(
            Instant::EPOCH,
            Duration::from_secs(9),
            Duration::from_secs(1),
        );
        assert_eq!((cc.window(), cc.ssthresh()), (4000, usize::MAX));
        cc.on_timeout(Instant::EPOCH);
        cc.on_idle(
            Instant::EPOCH,
            Duration::from_secs(9),
            Duration::from_secs(1),
        );
        assert_eq!(cc.window(), 1000);
    }

    #[test]
    fn a_large_initial_window_outlasts_idleness() {
        let mut cc = Rfc9260::new(P + COMMON_HEADER, 10 * P);
        cc.on_ack(&ack(P));
        let second = Duration::from_secs(1);
        cc.on_idle(Instant::EPOCH, 9 * second, second);
        assert_eq!(cc.window(), 10 * P);
    }

    #[test]
    fn a_larger_chunk_always_fits_the_window() {
        let mut cc = controller();
        cc.on_timeout(Instant::EPOCH);
        cc.on_mtu(9000 + COMMON_HEADER);
        assert_eq!(cc.window(), 9000);
    }
}
