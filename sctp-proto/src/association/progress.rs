//! A peer that is alive and takes nothing: it answers HEARTBEATs and zero window probes, so that no
//! error counter finds it, and what was sent to it is held for as long as it likes.
//!
//! Looked at when T3-rtx runs out, which runs as long as anything waits (§6.1, §6.3.2), and when a
//! SACK comes: no timer of its own, and nothing to do on the way of data. So it is noticed up to a
//! retransmission time-out late.

use super::{
    Event,
    cx::{Cx, Fatal, Handled},
    tcb::Tcb,
};
use crate::{error::CloseReason, time::Instant, wire::CauseWriter};

/// Since when the peer has acknowledged nothing.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The cumulative TSN ack point advanced last, or what waits began to wait.
    since: Instant,
    /// The user was told.
    stalled: bool,
}

impl Progress {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            since: now,
            stalled: false,
        }
    }

    /// The peer acknowledged something, or nothing waited for that until now.
    pub(crate) fn advanced(&mut self, now: Instant) {
        self.since = now;
        self.stalled = false;
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled
    }
}

impl Tcb {
    /// Looks whether the peer has taken nothing for too long.
    pub(super) fn check_progress(&mut self, cx: &mut Cx, now: Instant) -> Handled {
        if cx.queue.is_empty() || !self.state.sends_data() {
            return Ok(());
        }
        let waited = now - self.progress.since;
        let over = |limit: Option<_>| limit.is_some_and(|limit| waited >= limit);
        if over(cx.config.abort_stalled_peer) {
            let mut causes = CauseWriter::new();
            causes.user_initiated_abort(b"nothing was acknowledged for too long");
            return Err(Fatal {
                reason: CloseReason::PeerStalled,
                abort: Some(causes),
            });
        }
        if !self.progress.stalled && over(cx.config.progress_timeout) {
            self.progress.stalled = true;
            cx.stats.peer_stalls += 1;
            cx.event(Event::PeerStalled { waited });
        }
        Ok(())
    }
}
