//! ProbeRTT: little in flight for a moment, so that the queue drains that senders of this kind may
//! have built together, and the round trip shows (draft §5.3.4).

use std::time::Duration;

use super::{Bbr, Phase, RateSample};
use crate::time::Instant;

/// How long at least, beside a round trip.
const DURATION: Duration = Duration::from_millis(200);

/// The moment.
#[derive(Debug, Default)]
pub(super) struct ProbeRtt {
    /// When it may be over, once so little is in flight.
    done: Option<Instant>,
    /// Whether a round trip has passed since.
    round: bool,
}

impl Bbr {
    /// What is in flight then.
    pub(super) fn probe_rtt_window(&self) -> usize {
        self.bdp(self.rate(), self.window_gain()).max(self.least())
    }

    /// True if the window is what it was before, as of now.
    pub(super) fn check_probe_rtt(&mut self, sample: &RateSample) -> bool {
        let mut restored = false;
        let due = self.rtt.add(sample.now, sample.rtt);
        if due && self.phase != Phase::ProbeRtt && !self.idle_restart {
            self.enter(Phase::ProbeRtt);
            self.remember_window();
            self.probe_rtt = ProbeRtt::default();
            self.end_answers();
            self.rounds.restart();
        }
        if self.phase == Phase::ProbeRtt {
            if self.probe_rtt.done.is_some() {
                self.probe_rtt.round |= self.rounds.began();
                if self.probe_rtt.round {
                    restored = self.check_probe_rtt_done(sample.now);
                }
            } else if sample.flight <= self.probe_rtt_window() {
                self.probe_rtt.done = Some(sample.now + DURATION);
                self.rounds.restart();
            }
        }
        if sample.rtt.is_some() {
            self.idle_restart = false;
        }
        restored
    }

    /// True if it is over; the window is then what it was before.
    pub(super) fn check_probe_rtt_done(&mut self, now: Instant) -> bool {
        if self.probe_rtt.done.is_none_or(|done| now <= done) {
            return false;
        }
        self.rtt.probed(now);
        self.cwnd = self.cwnd.max(self.prior_cwnd);
        self.bounds.release();
        if self.full.is_reached() {
            self.begin_down(now);
            self.begin_cruise();
        } else {
            self.enter(Phase::Startup);
        }
        true
    }

    /// The window before it is shrunk for a while, unless it is by now.
    pub(super) fn remember_window(&mut self) {
        let shrunk = self.phase == Phase::ProbeRtt && self.cwnd <= self.probe_rtt_window();
        self.prior_cwnd = if shrunk {
            self.prior_cwnd.max(self.cwnd)
        } else {
            self.cwnd
        };
    }
}
