//! Control chunks in: HEARTBEAT, ERROR, COOKIE ACK, and the chunks of §9.2.

use std::time::Duration;

use smallvec::SmallVec;

use super::{
    Event,
    cx::{Cx, Fatal, Handled},
    inbound::Came,
    outbound::Reply,
    state::State,
    tcb::Tcb,
    timers::{PathTimer, Timer},
};
use crate::{
    error::CloseReason,
    ids::{PathId, Tsn},
    path::heartbeat,
    time::Instant,
    transmit::DatagramMeta,
    wire::{Causes, cause},
};

/// A path that was out of use for so long counts as a new one when it is back. The window that its
/// failure left it, one packet, says nothing of the way as it is then, and would hold up what comes
/// back to it for some round trips.
const NEW_AFTER: Duration = Duration::from_secs(1);

impl Tcb {
    /// A HEARTBEAT; `value` is all of the chunk but its header. In COOKIE-ECHOED its answer goes with
    /// the next COOKIE ECHO, or follows the COOKIE ACK: no other packet may leave before (§5.1).
    pub(super) fn on_heartbeat(&mut self, came: Came<'_>, value: &[u8]) {
        //= RFC 9260 §8.3
        //# A receiver of a HEARTBEAT chunk MUST respond to a HEARTBEAT chunk with a HEARTBEAT ACK
        //# chunk after entering the COOKIE-ECHOED state (sender of the INIT chunk) or the
        //# ESTABLISHED state (receiver of the INIT chunk), up until reaching the SHUTDOWN-SENT
        //# state (sender of the SHUTDOWN chunk) or the SHUTDOWN-ACK-SENT state (receiver of the
        //# SHUTDOWN chunk).
        // From then on nothing asks for it, and it is sent all the same: a peer to which all addresses
        // of this side are new by now has to have it before it may answer a SHUTDOWN (§5.4).
        // An answer that is larger than the path carries may be fragmented: the peer's path MTU is
        // larger than this side's.
        //= RFC 9260 §8.3
        //# The receiver of the HEARTBEAT chunk SHOULD immediately respond with a HEARTBEAT ACK
        //# chunk that contains the Heartbeat Information TLV, together with any other received
        //# TLVs, copied unchanged from the received HEARTBEAT chunk.
        self.due.heartbeat_ack(came, value);
    }

    pub(super) fn on_heartbeat_ack(&mut self, cx: &mut Cx, now: Instant, info: &[u8]) {
        if let Some(path) = self.on_mtu_probe_answered(cx, now, info) {
            self.errors = 0;
            self.reconfig.ours.hear();
            self.on_path_answer(cx, path);
            return;
        }
        let answered = self
            .paths
            .iter_mut()
            .find_map(|path| path.heartbeat.answered(now, info).map(|rtt| (path, rtt)));
        let Some((path, rtt)) = answered else { return };
        //= RFC 9260 §8.3
        //# The receiver of the HEARTBEAT ACK chunk SHOULD also perform an RTT measurement for that
        //# destination transport address using the time value carried in the HEARTBEAT ACK chunk.
        path.rto.on_measurement_at(now, rtt);
        // It was silent, and is alive: what was lost there was lost as ever.
        if std::mem::take(&mut path.suspended) {
            path.congestion.on_loss(now, path.max_packet);
        } else if path.is_back_after(now, NEW_AFTER) {
            path.reset_congestion(&cx.config);
        }
        path.congestion.on_round_trip(now, rtt);
        let news = !std::mem::replace(&mut path.confirmed, true);
        let (id, interval) = (path.id, path.heartbeat.interval);
        //= RFC 9260 §8.3
        //# Upon the receipt of the HEARTBEAT ACK chunk, the sender of the HEARTBEAT chunk SHOULD
        //# clear the error counter of the destination transport address to which the HEARTBEAT
        //# chunk was sent and mark the destination transport address as active if it is not so
        //# marked.
        //= RFC 9260 §8.3
        //# The endpoint SHOULD report to the upper layer when an inactive destination address is
        //# marked as active due to the reception of the latest HEARTBEAT ACK chunk.
        self.on_path_answer(cx, id);
        if news {
            self.announce_confirmed(cx);
        }
        //= RFC 9260 §8.3
        //# The receiver of the HEARTBEAT ACK chunk SHOULD also clear the association overall error
        //# count (as defined in Section 8.1).
        //= RFC 9260 §8.1
        //# When a HEARTBEAT ACK chunk is received from the peer endpoint, the counter SHOULD also
        //# be reset.
        self.errors = 0;
        self.reconfig.ours.hear();
        match interval {
            Some(interval) => {
                let rto = self.paths.get(id).rto.rto();
                let at = now + heartbeat::next_in(interval, rto, cx.random.next_u64());
                cx.timers.set_path(PathTimer::Heartbeat, id, at);
            }
            None => cx.timers.stop_path(PathTimer::Heartbeat, id),
        }
    }

    pub(super) fn on_error(&mut self, cx: &mut Cx, now: Instant, causes: &Causes<'_>) -> Handled {
        for raw in causes.iter() {
            let reported = raw.to_owned();
            tracing::debug!(cause = reported.name(), "peer reports an error");
            if raw.code == cause::UNRECOGNIZED_CHUNK {
                self.on_unrecognized_chunk(cx, raw.info);
            }
            if raw.code == cause::STALE_COOKIE {
                return self.on_stale_cookie(cx, now);
            }
            cx.peer_error(reported);
        }
        Ok(())
    }

    pub(super) fn on_cookie_ack(&mut self, cx: &mut Cx, now: Instant) {
        // COOKIE ACK in any other state is a duplicate: §5.2.5.
        //= RFC 9260 §5.2.5
        //# At any state other than COOKIE-ECHOED, an endpoint SHOULD silently discard a received
        //# COOKIE ACK chunk.
        if let State::CookieEchoed { .. } = self.state {
            self.establish(cx, now, false);
        }
    }

    /// DATA of the form agreed on, before the COOKIE ACK, which leaves before it: that is lost or
    /// late.
    ///
    /// A departure from §6, which has such DATA discarded: the COOKIE ACK would then cost a time-out
    /// here, and what left behind it another one at the peer. Who sends DATA has taken the cookie, and
    /// has the same to show as with a COOKIE ACK, this side's tag.
    pub(super) fn on_data_before_cookie_ack(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        interleaved: bool,
    ) {
        if interleaved == self.agreed.capabilities.interleaving() {
            self.on_cookie_ack(cx, now);
        }
    }

    /// Enters ESTABLISHED.
    pub(super) fn establish(&mut self, cx: &mut Cx, now: Instant, restarted: bool) {
        self.state = State::Established;
        cx.stats.establishments += u64::from(!restarted);
        self.due.cookie_echo = false;
        cx.queue.set_partial(self.can_abandon());
        cx.timers.stop(Timer::T1);
        self.progress.advanced(now);
        cx.event(Event::Established { restarted });
        self.tell_if_not_authenticated(cx);
        if let Some(indication) = self.agreed.adaptation {
            cx.event(Event::AdaptationIndication(indication));
        }
        // The DATA that left with the COOKIE ECHO is guarded by T1-cookie until now.
        for path in self.paths.iter_mut() {
            if self.outstanding.flight(path.id) > 0 {
                path.probe.restart = true;
                cx.timers
                    .set_path(PathTimer::T3, path.id, now + path.rto.rto());
            }
        }
        let ids: SmallVec<[PathId; 8]> = self.paths.iter().map(|path| path.id).collect();
        for id in ids {
            self.begin_heartbeats(cx, now, id);
        }
        if cx.shutdown_requested {
            self.state = State::ShutdownPending;
        }
        self.begin_announcing(cx, now);
        cx.restart_autoclose(now);
    }

    pub(super) fn on_shutdown(&mut self, cx: &mut Cx, now: Instant, cumulative: Tsn) -> Handled {
        if let State::CookieEchoed { .. } = self.state {
            //= RFC 9260 §9.2
            //# If a SHUTDOWN chunk is received in the COOKIE-WAIT or COOKIE ECHOED state, the
            //# SHUTDOWN chunk SHOULD be silently discarded.
            return Ok(());
        }
        if !cumulative.before(self.outstanding.cumulative()) {
            //= RFC 9260 §9.2
            //# If there are still outstanding DATA chunks left, the SHUTDOWN chunk receiver MUST
            //# continue to follow normal data transmission procedures defined in Section 6, until
            //# all outstanding DATA chunks are acknowledged; however, the SHUTDOWN chunk receiver
            //# MUST NOT accept new data from its SCTP user.
            //= RFC 9260 §3.3.8
            //# Since the SHUTDOWN chunk does not contain Gap Ack Blocks, the receiver of the
            //# SHUTDOWN chunk MUST NOT interpret the lack of a Gap Ack Block as a renege.
            self.acknowledge(cx, now, cumulative, None)?;
        }
        match self.state {
            State::CookieEchoed { .. } => {}
            State::Established | State::ShutdownPending => {
                self.state = State::ShutdownReceived;
                cx.event(Event::PeerShutdown);
            }
            State::ShutdownReceived => {}
            State::ShutdownSent => {
                //= RFC 9260 §9.2
                //# If an endpoint is in the SHUTDOWN-SENT state and receives a SHUTDOWN chunk from
                //# its peer, the endpoint SHOULD respond immediately with a SHUTDOWN ACK chunk to
                //# its peer and move into the SHUTDOWN-ACK-SENT state, restarting its T2-shutdown
                //# timer.
                cx.event(Event::PeerShutdown);
                self.enter_shutdown_ack_sent(cx, now);
            }
            //= RFC 9260 §3.3.9
            //# This chunk MUST be used to acknowledge the receipt of the SHUTDOWN chunk at the
            //# completion of the shutdown process; see Section 9.2 for details.
            State::ShutdownAckSent => self.due.shutdown_ack = true,
        }
        Ok(())
    }

    pub(super) fn on_shutdown_ack(&mut self, cx: &mut Cx, meta: &DatagramMeta) -> Handled {
        //= RFC 9260 §9.2
        //# Upon the receipt of the SHUTDOWN ACK chunk, the sender of the SHUTDOWN chunk MUST stop
        //# the T2-shutdown timer, send a SHUTDOWN COMPLETE chunk to its peer, and remove all record
        //# of the association.
        //= RFC 9260 §9.2
        //# If an endpoint is in the SHUTDOWN-ACK-SENT state and receives a SHUTDOWN ACK, it MUST
        //# stop the T2-shutdown timer, send a SHUTDOWN COMPLETE chunk to its peer, and remove all
        //# record of the association.
        //= RFC 9260 §3.3.13
        //# This chunk MUST be used to acknowledge the receipt of the SHUTDOWN ACK chunk at the
        //# completion of the shutdown process; see Section 9.2 for details.
        if matches!(self.state, State::ShutdownSent | State::ShutdownAckSent) {
            //= RFC 9260 §8.5.1
            //# When sending a SHUTDOWN COMPLETE chunk, if the receiver of the SHUTDOWN ACK chunk
            //# has a TCB, then the destination endpoint's tag MUST be used and the T bit MUST NOT
            //# be set.
            cx.reply(Reply::shutdown_complete(
                meta,
                cx.ports,
                self.agreed.peer_tag,
                false,
            ));
            return Err(Fatal::silent(CloseReason::Shutdown));
        }
        Ok(())
    }

    pub(super) fn on_shutdown_complete(&mut self) -> Handled {
        //= RFC 9260 §8.5.1
        //# An endpoint MUST ignore the SHUTDOWN COMPLETE chunk if it is not in the
        //# SHUTDOWN-ACK-SENT state.
        //= RFC 9260 §9.2
        //# Upon reception of the SHUTDOWN COMPLETE chunk, the endpoint verifies that it is in the
        //# SHUTDOWN-ACK-SENT state; if it is not, the chunk SHOULD be discarded.
        //= RFC 9260 §9.2
        //# If the endpoint is in the SHUTDOWN-ACK-SENT state, the endpoint SHOULD stop the
        //# T2-shutdown timer and remove all knowledge of the association (and thus the association
        //# enters the CLOSED state).
        if self.state == State::ShutdownAckSent {
            return Err(Fatal::silent(CloseReason::Shutdown));
        }
        Ok(())
    }

    /// The steps of a shutdown that wait for everything to be acknowledged.
    pub(super) fn advance_shutdown(&mut self, cx: &mut Cx, now: Instant) {
        //= RFC 9260 §9.2
        //# An endpoint SHOULD ensure that all its outstanding DATA chunks have been acknowledged
        //# before initiating the shutdown procedure.
        if !cx.queue.is_empty() {
            return;
        }
        match self.state {
            State::ShutdownPending => {
                //= RFC 9260 §9.2
                //# It SHOULD then start the T2-shutdown timer and enter the SHUTDOWN-SENT state.
                self.state = State::ShutdownSent;
                self.due.shutdown = true;
                self.discontinue(cx, now);
                self.guard_shutdown(cx, now);
            }
            State::ShutdownReceived => {
                //= RFC 9260 §9.2
                //# If the receiver of the SHUTDOWN chunk has no more outstanding DATA chunks, the
                //# SHUTDOWN chunk receiver MUST send a SHUTDOWN ACK chunk and start a T2-shutdown
                //# timer of its own, entering the SHUTDOWN-ACK-SENT state.
                self.enter_shutdown_ack_sent(cx, now);
                self.guard_shutdown(cx, now);
            }
            _ => {}
        }
    }

    fn enter_shutdown_ack_sent(&mut self, cx: &mut Cx, now: Instant) {
        self.state = State::ShutdownAckSent;
        self.due.shutdown = false;
        self.due.shutdown_ack = true;
        self.discontinue(cx, now);
    }

    /// Stops what ends with SHUTDOWN: HEARTBEATs to addresses that have been confirmed (§8.3), and stream
    /// resets.
    fn discontinue(&mut self, cx: &mut Cx, now: Instant) {
        self.errors = 0;
        self.stop_path_mtu(cx, now);
        cx.timers.stop(Timer::Reconfig);
        self.due.reconfig_request = false;
        for path in self.paths.iter_mut().filter(|path| path.confirmed) {
            path.heartbeat.stop();
            cx.timers.stop_path(PathTimer::Heartbeat, path.id);
        }
    }

    fn guard_shutdown(&mut self, cx: &mut Cx, now: Instant) {
        if !cx.timers.is_set(Timer::T5) {
            cx.timers.set(Timer::T5, now + cx.config.shutdown_guard());
        }
    }

    /// T2-shutdown runs anew from now, if it runs, but for no longer than twice its time in all. What
    /// comes says that the peer is alive, and nothing of whether it got the SHUTDOWN: HEARTBEATs of
    /// several paths, each in time, would keep a lost one from ever going again.
    pub(super) fn restart_t2(&mut self, cx: &mut Cx, now: Instant) {
        if cx.timers.is_set(Timer::T2) {
            let rto = self.paths.get(self.control_path).rto.rto();
            let latest = (self.shutdown_sent + 2 * rto).max(now);
            cx.timers.set(Timer::T2, (now + rto).min(latest));
        }
    }
}
