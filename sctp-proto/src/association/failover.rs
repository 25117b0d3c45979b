//! Paths that fail and come back (§8.2, RFC 7829), and the probe that finds out before a timer does.
//!
//! When nothing is heard of a path for two round trips, a tail loss probe is due. If another path is
//! active, the probe goes there, with the earliest of what is in flight on the silent one. Its answer
//! tells what has become of all that left before it: if what left last on the silent path has not
//! arrived either, the path has potentially failed. What was in flight there goes again by the
//! other, and a HEARTBEAT asks whether the path is alive after all. A path that has but lost its tail
//! is back after a round trip; one that is dead costs some round trips instead of a time-out.

use super::{
    Event, PathState,
    cx::{Cx, Fatal, Handled},
    state::State,
    tcb::Tcb,
    timers::PathTimer,
};
use crate::{
    error::CloseReason,
    ids::{PathId, Tsn},
    path::heartbeat,
    time::Instant,
    wire::Sack,
};

/// A tail loss probe that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Probe {
    /// The path that is silent.
    pub(crate) of: PathId,
    /// The path that the probe takes: the same, or another that is active.
    pub(crate) via: PathId,
}

impl Probe {
    pub(crate) fn crosses(self) -> bool {
        self.of != self.via
    }
}

/// A probe under way by another path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crossing {
    pub(crate) of: PathId,
    pub(crate) via: PathId,
    /// What it repeats.
    pub(crate) first: Tsn,
    pub(crate) last: Tsn,
}

impl Tcb {
    /// One more failure of a path that data, or what else guards the association, has met: it or the
    /// association may be over.
    //= RFC 9260 §8.1
    //# An endpoint SHOULD keep a counter on the total number of consecutive retransmissions to its
    //# peer (this includes data retransmissions to all the destination transport addresses of the
    //# peer if it is multi-homed), including the number of unacknowledged HEARTBEAT chunks observed
    //# on the path that is currently used for data transfer.
    pub(super) fn count_error(&mut self, cx: &mut Cx, id: PathId) -> Handled {
        self.count_path_error(cx, id);
        self.errors += 1;
        //= RFC 9260 §8.1
        //# If the value of this counter exceeds the limit indicated in the protocol parameter
        //# 'Association.Max.Retrans', the endpoint SHOULD consider the peer endpoint unreachable
        //# and SHALL stop transmitting any more data to it (and thus the association enters the
        //# CLOSED state).
        if self.errors > cx.config.association_max_retrans {
            //= RFC 9260 §8.1
            //# In addition, the endpoint SHOULD report the failure to the upper layer and
            //# optionally report back all outstanding user data remaining in its outbound queue.
            return Err(Fatal::silent(CloseReason::TimedOut));
        }
        Ok(())
    }

    /// One more failure of a path, which says nothing of the association.
    //= RFC 9260 §8.2
    //# When its peer endpoint is multi-homed, an endpoint SHOULD keep an error counter for each of
    //# the destination transport addresses of the peer endpoint.
    pub(super) fn count_path_error(&mut self, cx: &mut Cx, id: PathId) {
        let alone = self.paths.is_single();
        let tolerated = cx.config.potentially_failed_max_retrans.filter(|_| !alone);
        let path = self.paths.get_mut(id);
        path.rto.on_timeout();
        if let Some(state) = path.on_error(tolerated) {
            self.on_failed(cx, id, state);
        }
        self.switch_over(cx, id);
    }

    /// Another path takes the place of a primary one that has failed too often, in whatever state that
    /// is by now (RFC 7829, PSMR).
    fn switch_over(&mut self, cx: &mut Cx, id: PathId) {
        let limit = cx.config.primary_switchover_max_retrans;
        let over = |errors: u32| limit.is_some_and(|limit| errors > limit);
        if id == self.paths.primary() && over(self.paths.get(id).errors) {
            let instead = self.paths.for_new_data();
            if self.paths.get(instead).is_usable() && self.paths.set_primary(instead) {
                cx.event(Event::PrimaryChanged(instead));
            }
        }
    }

    /// A path is not active any more: data takes another, if there is one.
    fn on_failed(&mut self, cx: &mut Cx, id: PathId, state: PathState) {
        cx.path_changed(id, state);
        self.crossing
            .take_if(|crossing| crossing.of == id || crossing.via == id);
        let path = self.paths.get_mut(id);
        // Whether it is alive after all shows at once (RFC 7829 §3.2).
        path.heartbeat.due |= state == PathState::PotentiallyFailed;
        tracing::debug!(
            path = id.index(),
            ?state,
            errors = path.errors,
            "path failed"
        );
    }

    /// Data that left by a path was acknowledged. What counts as failed stays so while there is
    /// an active path: the acknowledgement may be for what arrived before the path failed, and only
    /// the HEARTBEAT that is under way tells of the path as it is.
    pub(super) fn on_data_answer(&mut self, cx: &mut Cx, id: PathId) {
        let path = self.paths.get(id);
        if path.gone || (!path.is_usable() && self.paths.alternate(id).is_some()) {
            return;
        }
        self.on_path_answer(cx, id);
    }

    /// The peer answered by this path.
    pub(super) fn on_path_answer(&mut self, cx: &mut Cx, id: PathId) {
        if let Some(state) = self.paths.get_mut(id).on_answer() {
            cx.path_changed(id, state);
        }
    }

    /// Whether a path is probed. One that is not confirmed is until the end: what is monitored ends
    /// with SHUTDOWN and SHUTDOWN ACK (§8.3), the proof of an address (§5.4) does not, and where the
    /// peer is at no other address these wait for it themselves.
    pub(super) fn is_probed(&self, id: PathId) -> bool {
        let up = !matches!(self.state, State::CookieEchoed { .. });
        self.state.sends_heartbeats() || (up && !self.paths.get(id).confirmed)
    }

    /// HEARTBEATs of a path begin: at once where it has yet to be confirmed.
    pub(super) fn begin_heartbeats(&mut self, cx: &mut Cx, now: Instant, id: PathId) {
        let path = self.paths.get(id);
        if !path.confirmed {
            self.probe_unconfirmed(cx, now, id);
        } else if let Some(interval) = path.heartbeat.interval {
            let at = now + heartbeat::next_in(interval, path.rto.rto(), cx.random.next_u64());
            cx.timers.set_path(PathTimer::Heartbeat, id, at);
        }
    }

    /// A HEARTBEAT to an address that is to be confirmed, now or when it is its turn.
    //= RFC 9260 §5.4
    //# An endpoint MUST NOT send any chunks to an UNCONFIRMED address, with the following
    //# exceptions:
    pub(super) fn probe_unconfirmed(&mut self, cx: &mut Cx, now: Instant, id: PathId) {
        let rto = self.paths.get(self.paths.primary()).rto.rto();
        match self.probes.take(now, rto, cx.config.heartbeat_max_burst) {
            Ok(()) => self.paths.get_mut(id).heartbeat.due = true,
            Err(at) => cx.timers.set_path(PathTimer::Heartbeat, id, at),
        }
    }

    /// What a SACK that came by a path says about a probe that took another path than the one it
    /// asks after.
    pub(super) fn on_crossing_answered(
        &mut self,
        cx: &mut Cx,
        by: Option<PathId>,
        sack: &Sack<'_>,
    ) {
        let Some(crossing) = self.crossing else {
            return;
        };
        let Crossing {
            of,
            via,
            first,
            last,
        } = crossing;
        let repeated = |tsn: Tsn| !tsn.before(first) && !last.before(tsn);
        let acknowledged = !sack.cumulative.before(first) || self.outstanding.is_acked(first);
        let duplicate = sack.duplicates().any(repeated);
        let answer = duplicate || (by == Some(via) && acknowledged);
        // An answer that is lost, or goes elsewhere, must not be looked for in what comes later, nor
        // keep another probe from leaving.
        self.crossing.take_if(|_| answer || acknowledged);
        if !answer {
            return;
        }
        // Where the probe repeats all there is, its being new there is what tells.
        let missing = match self.outstanding.flight(of) {
            0 => !duplicate,
            _ => self.outstanding.is_tail_missing(of),
        };
        if missing && self.paths.get(of).is_usable() {
            cx.stats.cross_path_failovers += 1;
            self.give_up_flight(cx, of);
        }
    }

    /// A path is silent about what the other has shown not to have arrived, or takes no packets.
    pub(super) fn give_up_flight(&mut self, cx: &mut Cx, id: PathId) {
        let lost = self.outstanding.t3_expired(id);
        self.outstanding.forget_episode(id);
        self.peer_rwnd = self.peer_rwnd.saturating_add(lost);
        for timer in [PathTimer::T3, PathTimer::Probe, PathTimer::Reordering] {
            cx.timers.stop_path(timer, id);
        }
        if self.forward_under_way(id) {
            self.repeat_forward();
        }
        let path = self.paths.get_mut(id);
        path.probe.forget();
        path.recovery_exit = None;
        // What follows from it for the window, the answer to the HEARTBEAT decides.
        path.suspended = true;
        if let Some(state) = path.on_error(Some(0)) {
            self.on_failed(cx, id, state);
        }
        self.switch_over(cx, id);
        // The first packet of what is lost need not wait for the other's window.
        self.fast_retransmit = true;
    }
}
