//! CUBIC (RFC 9438): the window grows by a cubic function of the time since it was last reduced,
//! so that a path with a large bandwidth-delay product is filled again in seconds, whatever its
//! round-trip time.
//!
//! Windows are bytes where RFC 9438 has segments; a segment is a full DATA chunk (PMDCS).

use std::time::Duration;

use super::{
    AckSample, Controller, decayed_window,
    hystart::{Advice, HyStart},
    window_rate,
};
use crate::{time::Instant, wire::COMMON_HEADER};

/// C: aggressiveness, packets per second cubed (RFC 9438 §5.1).
const C: f64 = 0.4;
/// What is left of the window after a loss (RFC 9438 §4.6).
const BETA: f64 = 0.7;
/// What is left after a loss in slow start. The window is then up to twice what the path carried a
/// round trip ago; with `BETA` of it in flight, what is sent again would be lost again.
const SLOW_START_BETA: f64 = 0.5;
/// Packets per round trip by which a sender that reduces to `BETA` grows as fast on average as
/// one of RFC 9260, which halves: `3 * (1 - BETA) / (1 + BETA)` (RFC 9438 §4.3).
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);
/// Packets by which one SACK may grow the window in slow start: L of RFC 9260 §7.2.1, for a sender
/// without pacing (RFC 9406 §4.3).
const SLOW_START_PACKETS: usize = 8;
/// Conservative slow start is slower by this (RFC 9406 §4.3).
const CONSERVATIVE_DIVISOR: f64 = 4.0;
/// Packets that the window is not reduced below by a loss. RFC 9438 §4.6 has two; with fewer than
/// four in flight there is no room for the three missing reports that tell of the next loss, and
/// RFC 9260 §7.2.3 allows as many.
const LEAST_PACKETS: usize = 4;
/// A window beyond any path. Keeps arithmetic finite.
const MOST: f64 = (1_u64 << 48) as f64;

#[derive(Debug)]
pub(super) struct Cubic {
    /// The largest DATA chunk that fits a packet of this path, header included.
    pmdcs: usize,
    /// What an idle window does not shrink below.
    initial: usize,
    /// Fractions of bytes count: a large window grows by less than one per SACK.
    cwnd: f64,
    ssthresh: f64,
    /// W_max: where the curve is flat, about where the last loss happened. 0: not known.
    w_max: f64,
    /// cwnd_prior: the window before it was last reduced.
    prior: f64,
    /// Smoothed round-trip time, seconds.
    srtt: f64,
    /// When half of the window was last in flight.
    half_used: Option<Instant>,
    /// In the first slow start only (RFC 9406 §4.3).
    hystart: Option<HyStart>,
    /// In congestion avoidance, from the first SACK of it.
    epoch: Option<Epoch>,
    /// What [`undo`](Controller::undo) puts back.
    saved: Option<Saved>,
}

/// What a reduction of the window changes (RFC 9438 §4.9).
#[derive(Debug, Clone, Copy)]
struct Saved {
    cwnd: f64,
    ssthresh: f64,
    w_max: f64,
    prior: f64,
    hystart: Option<HyStart>,
    epoch: Option<Epoch>,
}

/// One stage of congestion avoidance: from a reduction of the window to the next.
#[derive(Debug, Clone, Copy)]
struct Epoch {
    /// W_max of this stage, bytes.
    plateau: f64,
    /// K: seconds from the beginning to the plateau.
    k: f64,
    /// Bytes per second cubed.
    c: f64,
    /// W_est: the window that a sender of RFC 9260 would have.
    reno: f64,
    /// Seconds since the beginning, those left out in which the application or the peer limited
    /// what was in flight (RFC 9438 §5.8).
    elapsed: f64,
    /// When `elapsed` was brought up to date.
    at: Instant,
}

impl Epoch {
    fn begin(now: Instant, cwnd: f64, w_max: f64, pmdcs: usize) -> Self {
        let c = C * pmdcs as f64;
        let plateau = w_max.max(cwnd);
        Self {
            plateau,
            k: ((plateau - cwnd) / c).cbrt(),
            c,
            reno: cwnd,
            elapsed: 0.0,
            at: now,
        }
    }

    /// W_cubic: the window `seconds` after the beginning (RFC 9438 §4.2).
    fn window(&self, seconds: f64) -> f64 {
        self.c * (seconds - self.k).powi(3) + self.plateau
    }
}

impl Cubic {
    pub(super) fn new(max_packet: usize, initial: usize) -> Self {
        Self {
            pmdcs: max_packet - COMMON_HEADER,
            initial,
            cwnd: initial as f64,
            ssthresh: f64::INFINITY,
            w_max: 0.0,
            prior: 0.0,
            srtt: 0.0,
            half_used: None,
            hystart: Some(HyStart::default()),
            epoch: None,
            saved: None,
        }
    }

    fn packets(&self, count: usize) -> f64 {
        (count * self.pmdcs) as f64
    }

    /// Whether slow start may go on although the window was not full: half of it was in flight
    /// within two round trips, so that what it grows by is what the path has carried just then
    /// (RFC 7661 §4.3; its §4.2 allows three). An answer of eight packets thus makes room for one
    /// of sixteen.
    fn validated(&self, now: Instant) -> bool {
        let lately = |at| (now - at).as_secs_f64() <= 2.0 * self.srtt;
        self.cwnd <= self.ssthresh && self.half_used.is_some_and(lately)
    }

    /// RFC 9438 §4.10: as elsewhere, but for HyStart++.
    fn slow_start(&mut self, ack: &AckSample) {
        let advice = match &mut self.hystart {
            Some(hystart) => hystart.on_ack(ack.now, ack.rtt),
            None => Advice::SlowStart,
        };
        let growth = (ack.acked as f64).min(self.packets(SLOW_START_PACKETS));
        match advice {
            Advice::SlowStart => self.cwnd += growth,
            Advice::Conservative => self.cwnd += growth / CONSERVATIVE_DIVISOR,
            Advice::CongestionAvoidance => {
                self.hystart = None;
                self.ssthresh = self.cwnd;
                self.prior = self.cwnd;
                self.congestion_avoidance(ack);
            }
        }
    }

    /// RFC 9438 §4.2 to §4.5.
    fn congestion_avoidance(&mut self, ack: &AckSample) {
        let (cwnd, w_max, pmdcs) = (self.cwnd, self.w_max, self.pmdcs);
        let epoch = self
            .epoch
            .get_or_insert_with(|| Epoch::begin(ack.now, cwnd, w_max, pmdcs));
        self.w_max = epoch.plateau;
        epoch.elapsed += (ack.now - epoch.at).as_secs_f64();
        epoch.at = ack.now;

        // Of a window that shrank since, more may be acknowledged than it holds.
        let share = (ack.acked as f64 / cwnd).min(1.0);
        let alpha = if epoch.reno < self.prior { ALPHA } else { 1.0 };
        epoch.reno = (epoch.reno + alpha * pmdcs as f64 * share).min(MOST);
        if epoch.window(epoch.elapsed) < epoch.reno {
            // The Reno-friendly region: never slower than the other controller.
            self.cwnd = epoch.reno.clamp(cwnd, cwnd + ack.acked as f64);
        } else {
            let target = epoch.window(epoch.elapsed + self.srtt);
            self.cwnd += (target.clamp(cwnd, 1.5 * cwnd) - cwnd) * share;
        }
    }

    /// What every reduction of the window has in common (RFC 9438 §4.6).
    fn reduce(&mut self) {
        let beta = if self.cwnd < self.ssthresh {
            SLOW_START_BETA
        } else {
            BETA
        };
        self.prior = self.cwnd;
        self.ssthresh = (self.cwnd * beta).max(self.packets(LEAST_PACKETS));
        self.epoch = None;
        self.hystart = None;
    }
}

impl Controller for Cubic {
    fn on_sent(&mut self, now: Instant, _bytes: usize, flight: usize, _app_limited: bool) {
        if flight as f64 >= self.cwnd / 2.0 {
            self.half_used = Some(now);
        }
    }

    fn on_ack(&mut self, ack: &AckSample) {
        if let Some(rtt) = ack.rtt {
            let rtt = rtt.as_secs_f64();
            self.srtt = if self.srtt == 0.0 {
                rtt
            } else {
                self.srtt + (rtt - self.srtt) / 8.0
            };
        }
        if ack.in_recovery || !(ack.cwnd_fully_used || self.validated(ack.now)) {
            if let Some(epoch) = &mut self.epoch {
                epoch.at = ack.now;
            }
            return;
        }
        if self.cwnd <= self.ssthresh {
            self.slow_start(ack);
        } else {
            self.congestion_avoidance(ack);
        }
        self.cwnd = self.cwnd.min(MOST);
    }

    fn on_loss(&mut self, _now: Instant, _lost: usize) {
        // Fast convergence (RFC 9438 §4.7): a window that did not get back to where it was has
        // company now, and leaves room for it.
        self.w_max = if self.cwnd < self.w_max {
            self.cwnd * (1.0 + BETA) / 2.0
        } else {
            self.cwnd
        };
        self.reduce();
        self.cwnd = self.cwnd.min(self.ssthresh);
    }

    fn on_recovery_exit(&mut self) {}

    /// RFC 9438 §4.8: what was known of the path is void, and the next stage of congestion
    /// avoidance is at its plateau when it begins.
    fn on_timeout(&mut self, _now: Instant) {
        self.reduce();
        self.w_max = 0.0;
        self.cwnd = self.packets(1);
    }

    fn save(&mut self) {
        self.saved = Some(Saved {
            cwnd: self.cwnd,
            ssthresh: self.ssthresh,
            w_max: self.w_max,
            prior: self.prior,
            hystart: self.hystart,
            epoch: self.epoch,
        });
    }

    /// The stage of congestion avoidance goes on where it was: the time since does not count.
    fn undo(&mut self, now: Instant) -> bool {
        let Some(saved) = self.saved.take() else {
            return false;
        };
        self.cwnd = self.cwnd.max(saved.cwnd);
        self.ssthresh = self.ssthresh.max(saved.ssthresh);
        self.w_max = saved.w_max;
        self.prior = saved.prior;
        self.hystart = saved.hystart;
        self.epoch = saved.epoch.map(|epoch| Epoch { at: now, ..epoch });
        true
    }

    fn saved_window(&self) -> usize {
        self.saved.map_or(0, |saved| saved.cwnd as usize)
    }

    fn on_idle(&mut self, now: Instant, idle: Duration, rto: Duration) {
        if let Some(epoch) = &mut self.epoch {
            epoch.at = now;
        }
        let least = self.initial.max(self.pmdcs * LEAST_PACKETS);
        if let Some(window) = decayed_window(self.window(), least, idle, rto) {
            self.ssthresh = self.ssthresh.max(self.cwnd);
            self.cwnd = window as f64;
            self.epoch = None;
            self.saved = None;
        }
    }

    fn on_mtu(&mut self, max_packet: usize) {
        self.pmdcs = max_packet - COMMON_HEADER;
        self.cwnd = self.cwnd.max(self.packets(1));
        self.epoch = None;
        self.saved = None;
    }

    fn window(&self) -> usize {
        self.cwnd as usize
    }

    fn ssthresh(&self) -> usize {
        self.ssthresh as usize
    }

    fn pacing_rate(&self, srtt: Option<Duration>) -> Option<u64> {
        window_rate(self.window(), self.cwnd <= self.ssthresh, srtt)
    }
}

#[cfg(test)]
mod tests;
