//! What must hold of an association once everything was polled, whatever came before, for tests
//! that ask after every step.

use super::{
    Association,
    announce::SILENT,
    cx::Cx,
    state::{Phase, State},
    tcb::Tcb,
    timers::{Expired, PathTimer, Timer},
};
use crate::{
    congestion,
    path::{Path, Paths, Search},
    time::Instant,
};

/// What an association holds, summed anew from its parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Audit {
    /// Bytes of DATA chunks that have a TSN and that no SACK has named yet.
    pub unacknowledged: usize,
    /// Bytes of messages queued or unacknowledged.
    pub buffered: usize,
    /// Bytes received that count against the receive window.
    pub held: usize,
    /// The receive window.
    pub window: usize,
}

/// What one chunk may take beyond the window: one is taken when nothing else is held, and the last
/// packet's room is for what is on its way.
const LARGEST_CHUNK: usize = 1 << 16;

impl Association {
    /// Checks the books. To be called after [`poll_transmit`](Self::poll_transmit) said that there
    /// is nothing to send. O(everything held). Panics when
    ///
    /// - a sum that is kept differs from the sum of its parts, sending or receiving;
    /// - a limit of memory is broken;
    /// - something is owed or waited for and no timer guards it, or one guards it later than its
    ///   rule allows;
    /// - a state has been left behind that nothing holds back any more.
    #[doc(hidden)]
    pub fn audit(&self, now: Instant) -> Audit {
        self.cx.queue.audit();
        self.audit_deadlines(now);
        let mut audit = Audit {
            buffered: self.cx.queue.buffered(),
            window: self.cx.config.receive_window as usize,
            ..Audit::default()
        };
        match &self.phase {
            Phase::CookieWait(_) => {
                assert!(self.cx.timers.is_set(Timer::T1), "an INIT without T1-init");
                let mut all = self.cx.timers.all();
                let guards_path = all.any(|(timer, _)| matches!(timer, Expired::Path(..)));
                assert!(!guards_path, "a timer of a path to nobody yet");
            }
            Phase::Open(tcb) => {
                audit.unacknowledged = tcb.outstanding.audit(&self.cx.queue);
                tcb.rx.audit();
                audit.held = tcb.rx.held();
                tcb.audit_progress(&self.cx);
            }
            Phase::Closed(rx, _) => {
                assert_eq!(self.cx.timers.all().count(), 0, "a timer of what is over");
                audit.held = rx.as_ref().map_or(0, |rx| rx.held());
            }
        }
        assert!(
            audit.held <= audit.window + LARGEST_CHUNK,
            "{audit:?}: more is held than the window allows"
        );
        assert_eq!(
            self.cx.account.held(),
            self.memory().total(),
            "the endpoint's books are not up to date"
        );
        audit
    }

    /// The largest window that a path may go back to if a reduction turns out to be for nothing.
    #[doc(hidden)]
    pub fn saved_window(&self) -> usize {
        self.largest(|path| path.congestion.saved_window())
    }

    /// The largest window that a path begins with, and begins with anew once it has been out of use
    /// for a while.
    #[doc(hidden)]
    pub fn initial_window(&self) -> usize {
        let config = &self.cx.config;
        self.largest(|path| congestion::initial(config, path.max_packet, path.remote.is_ipv6()))
    }

    fn largest(&self, window: impl Fn(&Path) -> usize) -> usize {
        let paths = self.path_table().into_iter().flat_map(Paths::iter);
        paths.map(window).max().unwrap_or(0)
    }

    fn audit_deadlines(&self, now: Instant) {
        let config = &self.cx.config;
        let path = |id| self.path_table().map(|paths| paths.get(id));
        let cached = self.cx.timers.next();
        for (timer, at) in self.cx.timers.all() {
            assert!(
                cached.is_some_and(|cached| cached <= at),
                "the cached deadline {cached:?} is later than that of {timer:?}"
            );
            let latest = match timer {
                Expired::Association(Timer::T5) => config.shutdown_guard(),
                Expired::Association(Timer::Autoclose) => config.autoclose.unwrap_or_default(),
                Expired::Association(Timer::Introduce) => SILENT * config.rto_max,
                Expired::Association(_) => config.rto_max,
                Expired::Path(PathTimer::Heartbeat, id) => {
                    let interval = path(id).and_then(|path| path.heartbeat.interval);
                    // Half an RTO of jitter, and the HEARTBEAT's own time-out.
                    interval.unwrap_or_default() + 2 * config.rto_max
                }
                // Half a burst, and a burst of debt, at a packet per round trip.
                Expired::Path(PathTimer::Pacing, id) => {
                    let round_trip = path(id).and_then(|path| path.rto.srtt());
                    let longest = round_trip.unwrap_or_default().max(config.rto_max);
                    longest * (config.max_burst * 3).div_ceil(2)
                }
                Expired::Path(PathTimer::PathMtu, _) => Search::timeout(config.rto_max),
                Expired::Path(..) => config.rto_max,
            };
            assert!(
                at <= now + latest,
                "{timer:?} is due at {at:?}, {latest:?} after {now:?} at the latest"
            );
        }
    }
}

impl Tcb {
    /// Whatever is missing for the association to go on, a timer brings about.
    fn audit_progress(&self, cx: &Cx) {
        let timers = &cx.timers;
        match self.state {
            State::CookieEchoed { .. } => {
                assert!(timers.is_set(Timer::T1), "a COOKIE ECHO without T1-cookie");
                return;
            }
            State::ShutdownSent | State::ShutdownAckSent => {
                let waits = !self.paths.iter().any(|path| path.confirmed);
                assert!(
                    timers.is_set(Timer::T2) || waits,
                    "{:?} without T2",
                    self.state
                );
            }
            State::ShutdownPending | State::ShutdownReceived => {
                assert!(!cx.queue.is_empty(), "{:?} for nothing", self.state);
            }
            State::Established => {}
        }
        let mut some = false;
        for path in self.paths.iter() {
            let id = path.id;
            // Of the timers of a path, these bring nothing back that is lost.
            let retransmits = timers.all().any(|(timer, _)| match timer {
                Expired::Path(PathTimer::Heartbeat | PathTimer::Pacing | PathTimer::PathMtu, _) => {
                    false
                }
                Expired::Path(_, path) => path == id,
                Expired::Association(_) => false,
            });
            if self.outstanding.flight(id) > 0 {
                assert!(retransmits, "data in flight without a timer");
            }
            some |= retransmits || timers.is_path_set(PathTimer::Pacing, id);
            if self.forward_pending() && self.told.path == id && self.state.sends_data() {
                assert!(retransmits, "a FORWARD-TSN under way without a timer");
                assert!(!self.forward_due(id), "a FORWARD-TSN is due");
            }
            // What waits for a path to be confirmed waits for a HEARTBEAT.
            some |= !path.confirmed && timers.is_path_set(PathTimer::Heartbeat, id);
            let probes = path.mtu_probe_under_way().is_some();
            assert!(
                !probes || timers.is_path_set(PathTimer::PathMtu, id),
                "a probe of the path MTU is waited for without end"
            );
            if self.is_probed(id) && path.heartbeat.interval.is_some() {
                assert!(
                    timers.is_path_set(PathTimer::Heartbeat, id),
                    "a path is not probed"
                );
            }
        }
        let waits = self.outstanding.has_lost() || cx.queue.has_unsent();
        assert!(
            some || !waits || !self.state.sends_data(),
            "data waits without a timer"
        );
        for id in self.paths.gone() {
            let timer = timers
                .all()
                .any(|(timer, _)| matches!(timer, Expired::Path(_, path) if path == id));
            assert!(!timer, "a timer of a path that is gone");
            assert_eq!(
                self.outstanding.flight(id),
                0,
                "data in flight where no path is"
            );
        }
        assert!(
            self.paths.len() <= cx.config.max_paths.max(1) + 1,
            "too many paths"
        );
        assert!(self.paths.contains(self.paths.primary()), "no primary path");
        let sacked = !self.sack.due() && self.owed_sacks.is_empty();
        let waits = !self.paths.get(self.sack_path).confirmed;
        assert!(sacked || waits, "a SACK is due");
        if let Some(changes) = &self.changes {
            changes.audit(timers.is_set(Timer::Asconf));
        }
        if self.sack.pending() && !waits {
            assert!(self.sack.deadline().is_some(), "a SACK without a deadline");
        }
        let asked = self.reconfig.ours.paused || !self.reconfig.ours.under_way.is_empty();
        // What is due waits where no path is confirmed, as all else does.
        let waits = self.due.reconfig_request && !self.paths.get(self.control_route()).confirmed;
        if asked && !waits && self.state.reconfigures() {
            assert!(timers.is_set(Timer::Reconfig), "a request without a timer");
        }
    }
}
