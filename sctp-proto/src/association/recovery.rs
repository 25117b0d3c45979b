//! Losses: what follows from one, and the two timers that find those that no SACK tells of: the
//! reordering timer (RFC 8985 §6.3) and that of tail loss probes (RFC 8985 §7).

use std::time::Duration;

use super::{cx::Cx, failover::Probe, state::State, tcb::Tcb, timers::PathTimer};
use crate::{
    config::LossDetection,
    event_log::{LogEvent, LossTrigger},
    ids::{PathId, Tsn},
    path::{Suspicion, TailProbe},
    time::Instant,
    tx::{AckOutcome, Cause, PathLoss, Settling},
    wire::{COMMON_HEADER, Sack},
};

impl Tcb {
    /// Chunks counted as lost: one packet of them leaves at once, and the window shrinks once per
    /// round of losses (§7.2.4).
    ///
    /// T3-rtx restarts with the SACK that acknowledged the earliest TSN, or when the earliest is
    /// sent again (rule 4): both are seen to where that happens.
    pub(super) fn on_loss(&mut self, cx: &mut Cx, now: Instant, loss: &PathLoss, highest: Tsn) {
        cx.log.write(&LogEvent::DataLost {
            path: loss.path,
            bytes: loss.bytes,
            trigger: LossTrigger::Acknowledgement,
        });
        if let Some(sent) = loss.large_at {
            self.on_large_lost(now, loss.path, sent, Suspicion::Overtaken);
        }
        let path = self.paths.get_mut(loss.path);
        if path.gone {
            return;
        }
        path.probe.forget();
        //= RFC 9260 §7.2.4
        //# While in Fast Recovery, the ssthresh and cwnd SHOULD NOT change for any destinations due
        //# to a subsequent Fast Recovery event (i.e., one SHOULD NOT reduce the cwnd further due to
        //# a subsequent Fast Retransmit).
        // A retransmission that is lost was no reordering.
        let real = loss.resent_at.is_some();
        if real {
            self.outstanding.forget_episode(loss.path);
        }
        if path.recovery_exit.is_some() {
            // The loss of what recovery itself sent is no subsequent Fast Retransmit, which there
            // is none of: RFC 9260 has T3-rtx for it. As a round of losses of its own (RFC 5681
            // §4.3) it costs half the window and not all of it.
            if loss.resent_at.is_none_or(|at| at < path.recovery_began) {
                return;
            }
        } else {
            //= RFC 9260 §7.2.4
            //# When a Fast Retransmit is being performed, the sender SHOULD ignore the value of cwnd
            //# and SHOULD NOT delay retransmission for this single packet.
            self.fast_retransmit = true;
            cx.stats.fast_retransmits += 1;
            let undo = cx.config.undo_spurious && !real && path.is_usable();
            if undo && (self.outstanding).begin_episode(now, loss.path, Cause::Loss) {
                path.congestion.save();
            }
        }
        path.recovery_exit = Some(highest);
        path.recovery_began = now;
        path.congestion.on_loss(now, loss.bytes);
    }

    /// Losses that send times tell of after a SACK; sets the reordering timers.
    pub(super) fn detect_losses(&mut self, cx: &mut Cx, now: Instant, outcome: &mut AckOutcome) {
        for path in self.paths.iter() {
            if self.outstanding.has_suspects(path.id) {
                let settling = Settling {
                    srtt: path.rto.srtt(),
                    in_recovery: path.recovery_exit.is_some(),
                    packet: path.max_packet - COMMON_HEADER,
                };
                let due = (self.outstanding).detect_losses(now, path.id, &settling, outcome);
                if let Some(at) = due {
                    cx.timers.set_path(PathTimer::Reordering, path.id, at);
                    continue;
                }
            }
            cx.timers.stop_path(PathTimer::Reordering, path.id);
        }
    }

    /// What was overtaken had time to arrive.
    pub(super) fn on_reordering_timer(&mut self, cx: &mut Cx, now: Instant) {
        let mut outcome = std::mem::take(&mut self.outcome);
        outcome.clear();
        let before = self.outstanding.total_flight();
        self.detect_losses(cx, now, &mut outcome);
        // No SACK tells the window anew: what goes again is charged to it again.
        let lost = before - self.outstanding.total_flight();
        self.peer_rwnd = self.peer_rwnd.saturating_add(lost);
        let highest = self.outstanding.next_tsn().previous();
        for loss in &outcome.lost {
            self.on_loss(cx, now, loss, highest);
        }
        self.on_samples(now, None);
        self.outcome = outcome;
    }

    /// How long the first COOKIE ECHO is waited for, where it is less than RTO: a COOKIE ACK is never
    /// delayed, so that the COOKIE ECHO, and the request in it, is a tail like any other. The next
    /// wait is the RTO that has not been backed off.
    ///
    /// A departure from §5.1, which has T1-cookie follow §6.3, as tail loss probes are.
    pub(super) fn cookie_probe(&self, cx: &Cx, id: PathId) -> Option<Duration> {
        let State::CookieEchoed { retransmits: 0, .. } = self.state else {
            return None;
        };
        let rto = &self.paths.get(id).rto;
        let srtt = rto.srtt().filter(|_| cx.config.tail_loss_probes)?;
        Some(TailProbe::timeout(srtt, false)).filter(|probe| *probe < rto.rto())
    }

    /// Everything that could be sent was: if nothing is heard of what is in flight on a path for
    /// two round trips, a probe is due (RFC 8985 §7.2).
    pub(super) fn schedule_probe(&mut self, cx: &mut Cx, now: Instant, id: PathId) {
        if !std::mem::take(&mut self.paths.get_mut(id).probe.restart) {
            return;
        }
        let path = self.paths.get(id);
        let t3 = cx.timers.path_deadline(PathTimer::T3, id);
        let Some((srtt, t3)) = path.rto.srtt().zip(t3).filter(|_| self.may_probe(cx, id)) else {
            cx.timers.stop_path(PathTimer::Probe, id);
            return;
        };
        // Small packets that left one after another are not alone: every second is acknowledged
        // without delay.
        let fits = self.outstanding.flight(id) <= path.max_packet - COMMON_HEADER;
        let latest = self.outstanding.left_last(id);
        let alone =
            fits && latest.is_some_and(|(at, _)| self.outstanding.oldest_in_flight(id) == Some(at));
        let prompt = latest.is_some_and(|(_, tsn)| path.probe.prompt == Some(tsn));
        let at = now + TailProbe::timeout(srtt, alone && !prompt);
        // A probe that would come after T3-rtx comes instead of it (RFC 8985 §7.2).
        cx.timers.set_path(PathTimer::Probe, id, at.min(t3));
    }

    /// Whether silence on a path asks for a probe: data is in flight there and, if the probe has
    /// to take the same path, nothing is left to be sent again, and the reordering timer does not run,
    /// which is about what was overtaken.
    ///
    /// RFC 8985 §7.2 has no probe in loss recovery nor while anything is acknowledged beyond a hole, so
    /// that the loss of the last retransmission waits for T3-rtx. It is a tail as any other: nothing
    /// that left after it will tell of it.
    fn may_probe(&self, cx: &Cx, id: PathId) -> bool {
        let path = self.paths.get(id);
        let may = cx.config.tail_loss_probes
            && cx.config.loss_detection == LossDetection::SendTimes
            && self.state.sends_data()
            && !matches!(self.state, State::CookieEchoed { .. })
            && !self.probing
            && self.outstanding.flight(id) > 0;
        if may && self.crossing_path(cx, id).is_some() {
            return self.crossing.is_none();
        }
        may && !path.on_probation
            && path.probe.is_allowed()
            && !self.outstanding.has_lost()
            && !cx.timers.is_path_set(PathTimer::Reordering, id)
    }

    /// The other path that a probe takes which asks after this one.
    fn crossing_path(&self, cx: &Cx, id: PathId) -> Option<PathId> {
        cx.config.potentially_failed_max_retrans?;
        let path = self.paths.get(id);
        self.paths.alternate(id).filter(|_| path.is_usable())
    }

    /// Nothing was heard for two round trips: a packet is to leave whose SACK the peer does not
    /// delay. T3-rtx runs anew from it (RFC 8985 §7.3), as it would for the earliest TSN, unless
    /// the probe asks another path after this one.
    pub(super) fn on_probe_timer(&mut self, cx: &mut Cx, now: Instant, id: PathId) {
        if !self.may_probe(cx, id) {
            return;
        }
        let via = self.crossing_path(cx, id).unwrap_or(id);
        self.tail_probe = Some(Probe { of: id, via });
        let packet = self.paths.get(via).max_packet - COMMON_HEADER;
        self.burst = self.burst.max(packet);
        if via == id {
            let at = now + self.paths.get(id).rto.rto();
            cx.timers.set_path(PathTimer::T3, id, at);
        }
    }

    /// What a SACK says about the probe under way on any path.
    pub(super) fn on_probe_answered(&mut self, now: Instant, sack: &Sack<'_>) {
        for path in self.paths.iter_mut() {
            let min_rtt = self.outstanding.min_rtt(path.id);
            let (probe, duplicates) = (&mut path.probe, sack.duplicates());
            if probe.on_sack(now, sack.cumulative, duplicates, min_rtt) {
                self.outstanding.forget_episode(path.id);
                path.congestion.on_loss(now, path.max_packet);
            }
        }
    }

    /// Takes back what was for nothing, as a SACK shows: the reduction of the window and, after
    /// T3-rtx, the back-off (RFC 4015). At most once for each reduction, and to what was before it:
    /// a peer that lies gets what it could have had by not reporting the loss.
    pub(super) fn undo_needless(&mut self, cx: &mut Cx, now: Instant, sack: &Sack<'_>) {
        for path in self.paths.iter_mut() {
            cx.stats.spurious_retransmissions +=
                (self.outstanding).note_duplicates(now, path.id, sack.duplicates());
            let judged = self.outstanding.judge_episode(now, path.id, path.rto.rto());
            let Some(cause) = judged.filter(|_| path.congestion.undo(now)) else {
                continue;
            };
            cx.stats.reductions_undone += 1;
            // What is found to be lost from here on is a round of losses of its own.
            if path.recovery_exit.take().is_some() {
                path.congestion.on_recovery_exit();
            }
            if cause == Cause::TimeOut {
                path.rto.undo_back_off();
                self.outstanding.put_back(path.id);
                if self.outstanding.flight(path.id) > 0 || self.outstanding.has_lost() {
                    let at = now + path.rto.rto();
                    cx.timers.set_path(PathTimer::T3, path.id, at);
                }
            }
            let window = path.congestion.window();
            tracing::debug!(path = path.id.index(), ?cause, window, "reduction undone");
        }
    }
}
