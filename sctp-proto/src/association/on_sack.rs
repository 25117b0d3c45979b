//! SACK in: what was acknowledged, lost, measured (§6.2.1, §6.3, §7.2).

use std::time::Duration;

use super::{
    Event,
    cx::{Cx, Fatal, Handled},
    on_data::violation,
    state::State,
    tcb::Tcb,
    timers::PathTimer,
};
use crate::{
    congestion::AckSample,
    ids::{PathId, Tsn},
    time::Instant,
    tx::SackError,
    wire::Sack,
};

impl Tcb {
    /// A SACK chunk, which came by this path, if by any.
    pub(super) fn on_sack(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        by: Option<PathId>,
        sack: &Sack<'_>,
    ) -> Handled {
        cx.stats.sacks_received += 1;
        cx.stats.gap_blocks_received += sack.gap_block_count() as u64;
        //= RFC 9260 §6
        //# A SACK chunk received in any other state SHOULD be discarded.
        if matches!(
            self.state,
            State::CookieEchoed { .. } | State::ShutdownSent | State::ShutdownAckSent
        ) {
            return Ok(());
        }
        //= RFC 9260 §6.2.1
        //# If Cumulative TSN Ack is less than the Cumulative TSN Ack Point, then drop the SACK
        //# chunk. Since Cumulative TSN Ack is monotonically increasing, a SACK chunk whose
        //# Cumulative TSN Ack is less than the Cumulative TSN Ack Point indicates an out-of-order
        //# SACK chunk.
        if sack.cumulative.before(self.outstanding.cumulative()) {
            return Ok(());
        }
        //= RFC 9260 §6
        //# A SACK chunk MUST be processed in ESTABLISHED, SHUTDOWN-PENDING, and SHUTDOWN-RECEIVED
        //# states.
        //= RFC 9260 §6.2.1
        //# An endpoint SHOULD use the following rules to calculate the rwnd, using the a_rwnd
        //# value, the Cumulative TSN Ack, and Gap Ack Blocks in a received SACK chunk.
        if self.is_before_reset(sack.cumulative) {
            return Ok(());
        }
        self.acknowledge(cx, now, sack.cumulative, Some(sack))?;
        (self.outstanding).keep(sack.cumulative, sack.nr_gap_blocks(), &mut cx.queue);
        self.on_crossing_answered(cx, by, sack);
        //= RFC 9260 §6.2.1
        //# Set rwnd equal to the newly received a_rwnd minus the number of bytes still outstanding
        //# after processing the Cumulative TSN Ack and the Gap Ack Blocks.
        self.peer_a_rwnd = sack.a_rwnd as usize;
        self.recover_probe();
        self.peer_rwnd = self
            .peer_a_rwnd
            .saturating_sub(self.outstanding.total_flight());
        self.sack_since_t3 = true;
        self.add_burst(cx);
        self.check_progress(cx, now)
    }

    /// The peer opens its window: what was sent into the closed one and is not acknowledged was
    /// dropped. It goes again at once instead of after a time-out that has doubled many times.
    fn recover_probe(&mut self) {
        if self.probing && !self.window_closed() {
            self.probing = false;
            for path in self.paths.iter() {
                self.outstanding.t3_expired(path.id);
                self.outstanding.forget_episode(path.id);
            }
        }
    }

    /// Whether the peer has so little room that filling it would be silly.
    pub(super) fn window_closed(&self) -> bool {
        self.peer_a_rwnd < self.least_room()
    }

    /// The least room at the peer for which a message is cut: a full packet or, where its window is
    /// small, half of that (RFC 1122 §4.2.3.4).
    pub(super) fn least_room(&self) -> usize {
        self.full_payload()
            .min(self.agreed.peer_a_rwnd as usize / 2)
    }

    /// An acknowledgement up to `cumulative`, by SACK or by SHUTDOWN, and what follows from it.
    pub(super) fn acknowledge(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        cumulative: Tsn,
        sack: Option<&Sack<'_>>,
    ) -> Handled {
        let mut outcome = std::mem::take(&mut self.outcome);
        outcome.clear();
        let in_recovery = self.paths.iter().any(|path| path.recovery_exit.is_some());
        let was_dry = cx.queue.is_empty();
        let applied = match sack {
            Some(sack) => self.outstanding.apply_sack(
                now,
                cumulative,
                sack.all_gap_blocks(),
                &mut cx.queue,
                in_recovery,
                &mut outcome,
            ),
            None => self
                .outstanding
                .apply_cumulative(now, cumulative, &mut cx.queue, &mut outcome),
        };
        if let Err(SackError::BeyondSent) = applied {
            self.outcome = outcome;
            return Err(never_sent());
        }
        if let Some((path, rtt)) = outcome.rtt {
            self.paths.get_mut(path).rto.on_measurement_at(now, rtt);
        }
        if outcome.cumulative_advanced {
            self.progress.advanced(now);
        }
        for ack in &outcome.acked {
            //= RFC 9260 §8.1
            //# The counter used for endpoint failure detection MUST be reset each time a DATA chunk
            //# sent to that peer endpoint is acknowledged (by the reception of a SACK chunk).
            self.errors = 0;
            self.reconfig.ours.hear();
            let path = self.paths.get_mut(ack.path);
            if path.gone {
                continue;
            }
            if !std::mem::take(&mut path.on_probation) {
                path.ecn.on_acked();
            }
            path.probe.restart = true;
            if ack.large
                && let Some(search) = &mut path.search
            {
                search.arrived();
            }
            //= RFC 9260 §7.2.4
            //# Note: Before the above adjustments, if the received SACK chunk also acknowledges new
            //# DATA chunks and advances the Cumulative TSN Ack Point, the cwnd adjustment rules
            //# defined in Sections 7.2.1 and 7.2.2 MUST be applied first.
            //= RFC 9260 §7.2.1
            //# In instances where its peer endpoint is multi-homed, if an endpoint receives a SACK
            //# chunk that results in updating the cwnd, then it SHOULD update its cwnd (or cwnds)
            //# apportioned to the destination addresses to which it transmitted the acknowledged
            //# data.
            path.congestion.on_ack(&AckSample {
                now,
                acked: ack.bytes,
                flight_before: ack.flight_before,
                cumulative_advanced: outcome.cumulative_advanced,
                cwnd_fully_used: path.window_used,
                rtt: outcome
                    .rtt
                    .filter(|&(sampled, _)| sampled == ack.path)
                    .map(|(_, rtt)| rtt),
                in_recovery,
            });
            //= RFC 9260 §8.2
            //# When an outstanding TSN is acknowledged or a HEARTBEAT chunk sent to that address is
            //# acknowledged with a HEARTBEAT ACK chunk, the endpoint SHOULD clear the error counter
            //# of the destination transport address to which the DATA chunk was last sent (or
            //# HEARTBEAT chunk was sent) and SHOULD also report to the upper layer when an inactive
            //# destination address is marked as active.
            self.on_data_answer(cx, ack.path);
            self.restart_t3(cx, now, ack.path, ack.includes_earliest);
        }
        for path in self.paths.iter_mut() {
            if path
                .recovery_exit
                .is_some_and(|exit| !cumulative.before(exit))
            {
                path.recovery_exit = None;
                path.congestion.on_recovery_exit();
                self.outstanding.recovered(path.id);
            }
        }
        if let Some(sack) = sack {
            self.on_probe_answered(now, sack);
            self.outstanding.duplicated(sack.duplicates());
            cx.stats.spurious_retransmissions += outcome.spurious;
            self.undo_needless(cx, now, sack);
        }
        self.detect_losses(cx, now, &mut outcome);
        for loss in &outcome.lost {
            self.on_loss(cx, now, loss, outcome.highest_outstanding);
        }
        self.on_samples(now, outcome.rtt);
        self.give_up_lost(cx, now);
        self.review_forward(now);
        if outcome.reneged > 0 {
            self.guard_reneged(cx, now);
        }
        cx.stats.messages_acked += u64::from(outcome.messages_acked);
        self.outcome = outcome;
        if !was_dry && cx.queue.is_empty() {
            cx.event(Event::SenderDry);
        }
        Ok(())
    }

    /// Tells the controllers that ask for it how fast their paths deliver, once losses are known.
    pub(super) fn on_samples(&mut self, now: Instant, rtt: Option<(PathId, Duration)>) {
        for path in self.paths.iter_mut() {
            let rtt = rtt.filter(|&(id, _)| id == path.id).map(|(_, rtt)| rtt);
            let used = path.window_used;
            // Taken in any case: a controller that comes after one without samples must not have all
            // that was acknowledged meanwhile counted to it.
            let sample = self.outstanding.take_sample(now, path.id, rtt, used);
            if let Some(sample) = sample.filter(|_| path.congestion.wants_samples()) {
                path.congestion.on_sample(&sample);
            }
        }
    }

    /// The rule R4 of §6.3.2: TSNs that were acknowledged by gap blocks no longer are.
    fn guard_reneged(&mut self, cx: &mut Cx, now: Instant) {
        for id in self.paths.gone() {
            self.outstanding.t3_expired(id);
        }
        for path in self.paths.iter() {
            if self.outstanding.flight(path.id) > 0
                && !cx.timers.is_path_set(PathTimer::T3, path.id)
            {
                cx.timers
                    .set_path(PathTimer::T3, path.id, now + path.rto.rto());
            }
        }
    }

    /// Whether something counted as lost waits for this path.
    pub(super) fn is_waited_for(&self, path: PathId) -> bool {
        let lost = self.outstanding.next_lost();
        lost.is_some_and(|lost| self.paths.for_lost(lost.path) == path)
    }

    /// The rules R2 and R3 of §6.3.2 after an acknowledgement of data sent on `path`.
    fn restart_t3(&mut self, cx: &mut Cx, now: Instant, path: PathId, includes_earliest: bool) {
        let outstanding = self.outstanding.flight(path) > 0
            || self.is_waited_for(path)
            || self.forward_under_way(path);
        if !outstanding {
            cx.timers.stop_path(PathTimer::T3, path);
        } else if includes_earliest {
            let at = now + self.paths.get(path).rto.rto();
            cx.timers.set_path(PathTimer::T3, path, at);
        }
    }
}

fn never_sent() -> Fatal {
    violation("acknowledged a TSN that was never sent")
}
