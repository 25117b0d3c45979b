//! Timers: one arm each; failure of paths and of the association (§8.1, §8.2).

use super::{
    Association, PathState,
    cx::{Cx, Fatal, Handled},
    state::{Phase, State},
    tcb::Tcb,
    timers::{Expired, PathTimer, Timer},
};
use crate::{
    error::CloseReason,
    event_log::{LogEvent, LossTrigger},
    ids::PathId,
    path::{Suspicion, heartbeat},
    time::Instant,
    tx::Cause,
    wire::CauseWriter,
};

impl Association {
    /// To be called when the deadline of [`poll_timeout`](Self::poll_timeout) has come. Harmless
    /// at any other time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.cx.log.at(now);
        while let Some(expired) = self.cx.timers.pop(now) {
            self.log_expired(expired);
            let handled = match &mut self.phase {
                Phase::CookieWait(wait) => match expired {
                    Expired::Association(Timer::T1) => wait.on_t1(&mut self.cx),
                    _ => Ok(()),
                },
                Phase::Open(tcb) => tcb.on_timer(&mut self.cx, now, expired),
                Phase::Closed(..) => Ok(()),
            };
            self.conclude(now, handled);
        }
        if let Phase::Open(tcb) = &mut self.phase {
            tcb.sack.expired(now);
            tcb.discard_stalled(&mut self.cx, now);
        }
    }
}

impl Tcb {
    fn on_timer(&mut self, cx: &mut Cx, now: Instant, expired: Expired) -> Handled {
        match expired {
            Expired::Association(Timer::T1) => self.on_t1_cookie(cx),
            Expired::Association(Timer::T2) => {
                cx.stats.t2_expiries += 1;
                match self.state {
                    //= RFC 9260 §9.2
                    //# If the timer expires, the endpoint MUST resend the SHUTDOWN chunk with the
                    //# updated last sequential TSN received from its peer.
                    State::ShutdownSent => self.due.shutdown = true,
                    //= RFC 9260 §9.2
                    //# If the timer expires, the endpoint MUST resend the SHUTDOWN ACK chunk.
                    State::ShutdownAckSent => self.due.shutdown_ack = true,
                    _ => return Ok(()),
                }
                //= RFC 9260 §9.2
                //# An endpoint SHOULD limit the number of retransmissions of the SHUTDOWN chunk to
                //# the protocol parameter 'Association.Max.Retrans'.
                //= RFC 9260 §9.2
                //# If this threshold is exceeded, the endpoint SHOULD destroy the TCB and SHOULD
                //# report the peer endpoint unreachable to the upper layer (and thus the
                //# association enters the CLOSED state).
                //= RFC 9260 §9.2
                //# The sender of the SHUTDOWN ACK chunk SHOULD limit the number of retransmissions
                //# of the SHUTDOWN ACK chunk to the protocol parameter 'Association.Max.Retrans'.
                //= RFC 9260 §9.2
                //# The rules in Section 6.3 MUST be followed to determine the proper timer value
                //# for T2-shutdown.
                self.count_error(cx, self.control_path)
            }
            Expired::Association(Timer::T5) => {
                //= RFC 9260 §9.2
                //# At the expiration of this timer, the sender SHOULD abort the association by
                //# sending an ABORT chunk.
                let mut causes = CauseWriter::new();
                causes.user_initiated_abort(b"shutdown took too long");
                Err(Fatal {
                    reason: CloseReason::ShutdownTimedOut,
                    abort: Some(causes),
                })
            }
            Expired::Association(Timer::Reconfig) => self.on_reconfig_timeout(cx),
            Expired::Association(Timer::Asconf) => self.on_asconf_timeout(cx),
            Expired::Association(Timer::Introduce) => {
                self.announce(cx, true);
                Ok(())
            }
            Expired::Association(Timer::Autoclose) => {
                self.on_idle(cx, now);
                Ok(())
            }
            Expired::Path(PathTimer::Reordering, _) => {
                self.on_reordering_timer(cx, now);
                Ok(())
            }
            Expired::Path(PathTimer::Probe, path) => {
                self.on_probe_timer(cx, now, path);
                Ok(())
            }
            Expired::Path(PathTimer::T3, path) => self.on_t3(cx, now, path),
            Expired::Path(PathTimer::Heartbeat, path) => self.on_heartbeat_timer(cx, now, path),
            // What was held leaves when the driver polls.
            Expired::Path(PathTimer::Pacing, _) => Ok(()),
            Expired::Path(PathTimer::PathMtu, path) => {
                self.on_mtu_probe_timeout(now, path);
                Ok(())
            }
        }
    }

    /// T1-cookie: COOKIE ECHO goes again, and with it the DATA that was bundled.
    //= RFC 9260 §4
    //# If the T1-cookie timer expires, the endpoint MUST retransmit COOKIE ECHO chunk and restart
    //# the T1-cookie timer.
    //= RFC 9260 §5.1.4
    //# If the timer expires, the endpoint MUST retransmit the COOKIE ECHO chunk and restart the
    //# T1-cookie timer.
    fn on_t1_cookie(&mut self, cx: &mut Cx) -> Handled {
        let was_probe = self.cookie_probe(cx, self.data_path).is_some();
        let State::CookieEchoed { retransmits, .. } = &mut self.state else {
            return Ok(());
        };
        *retransmits += 1;
        cx.stats.t1_expiries += 1;
        if *retransmits > cx.config.max_init_retransmits {
            return Err(Fatal::silent(CloseReason::HandshakeTimedOut));
        }
        //= RFC 9260 §5.1
        //# Retransmissions of INIT chunks and COOKIE ECHO chunks SHOULD use all addresses of the
        //# peer similar to retransmissions of DATA chunks.
        let echoed = self.data_path;
        if !was_probe {
            self.paths.get_mut(echoed).rto.on_timeout();
        }
        let lost = self.outstanding.t3_expired(echoed);
        self.peer_rwnd = self.peer_rwnd.saturating_add(lost);
        self.due.cookie_echo = true;
        Ok(())
    }

    /// T3-rtx: everything in flight on the path counts as lost (§6.3.3).
    fn on_t3(&mut self, cx: &mut Cx, now: Instant, id: PathId) -> Handled {
        self.check_progress(cx, now)?;
        let large_at = self.outstanding.last_large(id);
        let lost = self.outstanding.t3_expired(id);
        self.give_up_lost(cx, now);
        self.repeat_forward();
        if lost == 0 && !self.is_waited_for(id) {
            if self.forward_under_way(id) {
                // Nothing but a FORWARD-TSN is on its way: no loss of data.
                return self.count_error(cx, id);
            }
            // Nothing is on its way: the timer ran because the peer's window is closed.
            //= RFC 9260 §6.1
            //# Senders MUST support zero window probing.
            self.zero_window_probe = cx.queue.has_unsent() && self.outstanding.is_empty();
            return Ok(());
        }
        cx.log.write(&LogEvent::DataLost {
            path: id,
            bytes: lost,
            trigger: LossTrigger::TimeOut,
        });
        self.peer_rwnd = self.peer_rwnd.saturating_add(lost);
        cx.stats.t3_expiries += 1;
        // §6.1 A: a peer that answers zero window probes, but has no room yet, is not failing.
        //= RFC 9260 §6.1
        //# If the sender continues to receive SACK chunks from the peer while doing zero window
        //# probing, the unacknowledged window probes SHOULD NOT increment the error counter for the
        //# association or any destination transport address.
        let probing = self.sack_since_t3 && self.window_closed();
        self.probing = probing;
        self.sack_since_t3 = false;
        let path = self.paths.get_mut(id);
        path.t3_expiries += 1;
        if !path.on_probation {
            path.ecn.on_timeout();
        }
        path.recovery_exit = None;
        path.suspended = false;
        path.probe.forget();
        self.crossing.take_if(|crossing| crossing.of == id);
        tracing::debug!(path = id.index(), lost, rto = ?path.rto.rto(), probing, "T3-rtx");
        // One packet goes again, into a closed window too (§6.3.3 E3).
        path.on_probation = true;
        if probing {
            self.outstanding.forget_episode(id);
            path.rto.on_timeout();
            return Ok(());
        }
        // What goes again by another path tells nothing of whether it had to.
        let alone = self.paths.is_single();
        let path = self.paths.get_mut(id);
        if !alone {
            self.outstanding.forget_episode(id);
        } else if cx.config.undo_spurious && self.outstanding.begin_episode(now, id, Cause::TimeOut)
        {
            path.congestion.save();
        }
        path.congestion.on_timeout(now);
        // It knows of these losses now; no rate was measured.
        self.outstanding.take_sample(now, id, None, false);
        if let Some(sent) = large_at {
            self.on_large_lost(now, id, sent, Suspicion::TimeOut);
        } else {
            self.paths.get_mut(id).on_base_lost(now);
            self.due.mtu_probe = true;
        }
        self.count_error(cx, id)
    }

    /// The HEARTBEAT under way was not answered in time, or the path was idle long enough for one.
    fn on_heartbeat_timer(&mut self, cx: &mut Cx, now: Instant, id: PathId) -> Handled {
        let path = self.paths.get_mut(id);
        let timed_out = path.heartbeat.timed_out();
        let rto = path.rto.rto();
        let mut handled = Ok(());
        if timed_out && (path.heartbeat.interval.is_some() || !path.is_usable()) {
            handled = self.on_heartbeat_lost(cx, now, id);
        }
        let path = self.paths.get_mut(id);
        match path.state {
            // In each RTO (§5.4).
            PathState::Unconfirmed => {
                self.probe_unconfirmed(cx, now, id);
                return handled;
            }
            // Once per time-out (RFC 7829 §3.2).
            PathState::PotentiallyFailed => {
                path.heartbeat.due = true;
                return handled;
            }
            PathState::Active | PathState::Inactive => {}
        }
        let Some(interval) = path.heartbeat.interval else {
            return handled;
        };
        if timed_out {
            // The time-out just waited for is part of the time from HEARTBEAT to HEARTBEAT.
            let backed_off = path.rto.rto();
            let next = heartbeat::next_in(interval, backed_off, cx.random.next_u64());
            let at = now + next.saturating_sub(rto);
            cx.timers.set_path(PathTimer::Heartbeat, id, at);
            return handled;
        }
        // Busy paths are measured by their data.
        let idle_for = path.last_sent.map_or(interval, |sent| now - sent);
        if idle_for < interval {
            let at = now + heartbeat::next_in(interval - idle_for, rto, cx.random.next_u64());
            cx.timers.set_path(PathTimer::Heartbeat, id, at);
        } else {
            //= RFC 9260 §8.3
            //# By default, an SCTP endpoint SHOULD monitor the reachability of the idle destination
            //# transport address(es) of its peer by sending a HEARTBEAT chunk periodically to the
            //# destination transport address(es).
            //= RFC 9260 §8.3
            //# Only one heartbeat SHOULD be sent each time the heartbeat timer expires (if multiple
            //# destinations are idle).
            //= RFC 9260 §3.3.5
            //# An endpoint SHOULD send a HEARTBEAT (HB) chunk to its peer endpoint to probe the
            //# reachability of a particular destination transport address defined in the present
            //# association.
            path.heartbeat.due = true;
        }
        Ok(())
    }

    /// A HEARTBEAT was not answered in time.
    //= RFC 9260 §8.3
    //# The endpoint SHOULD increment the respective error counter of the destination transport
    //# address each time a HEARTBEAT chunk is sent to that address and not acknowledged within one
    //# RTO.
    fn on_heartbeat_lost(&mut self, cx: &mut Cx, now: Instant, id: PathId) -> Handled {
        let path = self.paths.get_mut(id);
        if std::mem::take(&mut path.suspended) {
            path.congestion.on_timeout(now);
        }
        //= RFC 9260 §8.1
        //# Unacknowledged HEARTBEAT chunks observed on paths different from the path currently used
        //# for data transfer SHOULD NOT increment the association error counter, as this could lead
        //# to association closure even if the path that is currently used for data transfer is
        //# available (but idle).
        // One that is not confirmed is chosen only where no other is left.
        if id == self.paths.for_new_data() {
            return self.count_error(cx, id);
        }
        self.count_path_error(cx, id);
        Ok(())
    }

    /// No user data came or went for the time that autoclose is set to. What waits for the peer's
    /// window is not idle.
    fn on_idle(&mut self, cx: &mut Cx, now: Instant) {
        if self.state != State::Established {
            return;
        }
        if cx.queue.is_empty() {
            self.state = State::ShutdownPending;
            cx.event(super::Event::Autoclose);
        } else {
            cx.restart_autoclose(now);
        }
    }
}

impl Tcb {
    /// Throws away what streams hold that nobody reads, once their time is over.
    pub(super) fn discard_stalled(&mut self, cx: &mut Cx, now: Instant) {
        while let Some((stream, bytes)) = self.rx.discard_stalled(now) {
            cx.stats.stall_discarded_bytes += bytes as u64;
            cx.event(super::Event::StreamDiscarded(stream));
            self.update_window();
        }
    }

    /// Tells the peer of room that has come about, if it is enough to be worth a SACK.
    //= RFC 9260 §6.2
    //# When the window opens up, an SCTP receiver SHOULD send additional SACK chunks to update the
    //# window even if no new data is received.
    //= RFC 9260 §6.2
    //# The data receiver SHOULD notify the data sender in a timely manner of changes in its ability
    //# to receive data.
    pub(super) fn update_window(&mut self) {
        if self.rx.window_update_due() {
            self.sack.request();
        }
    }
}
