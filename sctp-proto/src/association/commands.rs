//! What users ask of an association (§11.1; RFC 6458), and what they can see of it.

use bytes::Bytes;

use super::{
    Association, AssociationState, AssociationStats, Event, PathConfig, PathInfo, PathState,
    cx::Fatal,
    state::{Phase, State},
    timers::PathTimer,
};
use crate::{
    config::SchedulerKind,
    error::{CloseReason, PathError, SendError},
    ids::{PathId, StreamId, Tsn},
    message::{Message, NextMessage, PrPolicy, PrStatus, Reliability, SendInfo},
    path::Paths,
    rx::Reassembly,
    scheduler::StreamScheduler,
    time::Instant,
    wire::CauseWriter,
};

/// Bytes of the reason given with an ABORT at most, so that it fits every packet.
const MAX_ABORT_REASON: usize = 512;

impl Association {
    /// Queues one message (§11.1.5 SEND). It leaves with the next `poll_transmit`; before the
    /// association is established, with the COOKIE ECHO.
    pub fn send(
        &mut self,
        now: Instant,
        stream: StreamId,
        data: Bytes,
        info: SendInfo,
    ) -> Result<(), SendError> {
        self.cx.log.at(now);
        let outbound = match &mut self.phase {
            Phase::CookieWait(_) => self.cx.config.outbound_streams,
            Phase::Open(tcb) if tcb.state.takes_messages() => tcb.agreed.outbound_streams,
            //= RFC 9260 §9.2
            //# An endpoint SHOULD reject any new data request from its upper layer if it is in the
            //# SHUTDOWN-PENDING, SHUTDOWN-SENT, SHUTDOWN-RECEIVED, or SHUTDOWN-ACK-SENT state.
            //= RFC 9260 §4
            //# In the SHUTDOWN-RECEIVED state, the endpoint MUST NOT accept any new send requests
            //# from its SCTP user.
            //= RFC 9260 §4
            //# In the SHUTDOWN-ACK-SENT state, the endpoint MUST NOT accept any new send requests
            //# from its SCTP user.
            Phase::Open(_) | Phase::Closed(..) => return Err(SendError::Closing),
        };
        if self.cx.shutdown_requested {
            return Err(SendError::Closing);
        }
        //= RFC 9260 §6.5
        //# Every DATA chunk MUST carry a valid stream identifier.
        //= RFC 9260 §5.1.1
        //# After the association is initialized, the valid outbound stream identifier range for
        //# either endpoint MUST be 0 to min(local OS, remote MIS) - 1.
        if stream.0 >= outbound {
            return Err(SendError::UnknownStream(stream));
        }
        let exists = |id| self.path_table().is_some_and(|paths| paths.contains(id));
        if info.path.is_some_and(|path| !exists(path)) {
            return Err(SendError::UnknownPath);
        }
        // The sender had nothing to send: this is a new opportunity as Max.Burst has it.
        if let Phase::Open(tcb) = &mut self.phase
            && !self.cx.queue.has_unsent()
        {
            tcb.burst = tcb.burst.max(tcb.opening_burst(&self.cx));
        }
        if let Phase::Open(tcb) = &mut self.phase
            && self.cx.queue.is_empty()
        {
            tcb.progress.advanced(now);
        }
        self.limit_holdings();
        let pushed = self.cx.queue.push(now, stream, data, info);
        if let Phase::Open(tcb) = &mut self.phase {
            tcb.settle(&mut self.cx, now);
        }
        pushed?;
        self.cx.stats.messages_sent += 1;
        Ok(())
    }

    /// Takes the next message, or part of one, of a stream (§11.1.6 RECEIVE).
    pub fn recv(&mut self, stream: StreamId) -> Option<Message> {
        let message = self.rx()?.recv(stream);
        self.on_read(message)
    }

    /// The TSN that what [`recv`](Self::recv) would take next begins with; `None` if there is
    /// nothing. Against the `last_tsn` of [`Event::IncomingReset`], it
    /// tells what came before the reset from what begins anew.
    pub fn next_tsn(&self, stream: StreamId) -> Option<Tsn> {
        match &self.phase {
            Phase::CookieWait(_) => None,
            Phase::Open(tcb) => tcb.rx.next_tsn(stream),
            Phase::Closed(rx, _) => rx.as_ref()?.next_tsn(stream),
        }
    }

    /// What [`recv`](Self::recv) would take next: SCTP_NXTINFO (RFC 6458 §5.3.6). Takes time as the
    /// message has fragments.
    pub fn next_message(&self, stream: StreamId) -> Option<NextMessage> {
        match &self.phase {
            Phase::CookieWait(_) => None,
            Phase::Open(tcb) => tcb.rx.next_message(stream),
            Phase::Closed(rx, _) => rx.as_ref()?.next_message(stream),
        }
    }

    /// Takes the next message, or part of one, of any stream, in the order they became readable.
    pub fn recv_any(&mut self) -> Option<Message> {
        let message = self.rx()?.recv_any();
        self.on_read(message)
    }

    fn on_read(&mut self, message: Option<Message>) -> Option<Message> {
        let message = message?;
        self.cx.stats.messages_received += u64::from(message.complete);
        if let Phase::Open(tcb) = &mut self.phase {
            tcb.update_window();
        }
        Some(message)
    }

    fn rx(&mut self) -> Option<&mut Reassembly> {
        match &mut self.phase {
            Phase::CookieWait(_) => None,
            Phase::Open(tcb) => Some(&mut tcb.rx),
            Phase::Closed(rx, _) => rx.as_deref_mut(),
        }
    }

    /// Discards what the stream holds and what comes on it, acknowledging it all the same, until
    /// the peer resets the stream.
    pub fn stop(&mut self, stream: StreamId) {
        if let Phase::Open(tcb) = &mut self.phase {
            tcb.rx.stop(stream);
            tcb.update_window();
        }
    }

    /// Drops what of a stream was not sent yet; each message comes back as [`Event::SendFailed`]. One
    /// of which a part was sent is given up where the peer can be told
    /// ([`partial_reliability`](Self::partial_reliability)), and else completed.
    pub fn discard_unsent(&mut self, now: Instant, stream: StreamId) {
        self.cx.queue.discard_unsent(stream);
        if let Phase::Open(tcb) = &mut self.phase {
            tcb.settle(&mut self.cx, now);
        }
        self.conclude(now, Ok(()));
    }

    /// The reliability of messages sent from now on whose [`SendInfo`] has none
    /// (SCTP_DEFAULT_PRINFO, RFC 7496 §4.4).
    pub fn set_default_reliability(&mut self, reliability: Reliability) {
        self.cx.queue.set_default_reliability(reliability);
    }

    /// Another stream scheduler from now on (SCTP_STREAM_SCHEDULER, RFC 8260 §4.3.2). What is on its
    /// way is finished first, where no other may come between.
    pub fn set_scheduler(&mut self, kind: SchedulerKind) {
        self.cx.queue.set_scheduler(kind, None);
    }

    /// A stream scheduler of the user's own from now on.
    pub fn set_custom_scheduler(&mut self, scheduler: Box<dyn StreamScheduler>) {
        let kind = SchedulerKind::default();
        self.cx.queue.set_scheduler(kind, Some(scheduler));
    }

    /// What [`set_stream_priority`](Self::set_stream_priority) has set; 256 before that.
    pub fn stream_priority(&self, stream: StreamId) -> u16 {
        self.cx.queue.priority(stream)
    }

    /// Priority (smaller first) or weight (larger is more) of an outbound stream, as the scheduler
    /// has it (RFC 8260 §3).
    pub fn set_stream_priority(&mut self, stream: StreamId, value: u16) {
        self.cx.queue.set_priority(stream, value);
    }

    /// Begins the graceful end (§9.2): what was queued still arrives, then both sides close.
    pub fn shutdown(&mut self, now: Instant) {
        self.cx.log.at(now);
        match &mut self.phase {
            Phase::CookieWait(_) => self.cx.shutdown_requested = true,
            Phase::Open(tcb) => match tcb.state {
                State::CookieEchoed { .. } => self.cx.shutdown_requested = true,
                //= RFC 9260 §9.2
                //# Once an endpoint has reached the SHUTDOWN-RECEIVED state, it MUST ignore ULP
                //# shutdown requests but MUST continue responding to SHUTDOWN chunks from its peer.
                State::Established => tcb.state = State::ShutdownPending,
                _ => {}
            },
            Phase::Closed(..) => {}
        }
        self.conclude(now, Ok(()));
    }

    /// Ends the association at once (§9.1); the peer is sent ABORT with this reason, of which it
    /// gets 512 bytes at most.
    pub fn abort(&mut self, now: Instant, reason: Bytes) {
        self.cx.log.at(now);
        let mut causes = CauseWriter::new();
        //= RFC 9260 §9.1
        //# If the association is aborted on request of the upper layer, a "User-Initiated Abort"
        //# error cause (see Section 3.3.10.12) SHOULD be present in the ABORT chunk.
        causes.user_initiated_abort(&reason[..reason.len().min(MAX_ABORT_REASON)]);
        let fatal = Fatal {
            reason: CloseReason::LocalAbort,
            abort: Some(causes),
        };
        self.conclude(now, Err(fatal));
    }

    /// Sends new data on this path from now on (§11.1.9).
    pub fn set_primary(&mut self, path: PathId) -> Result<(), PathError> {
        let Phase::Open(tcb) = &mut self.phase else {
            return Err(PathError::UnknownPath);
        };
        let found = tcb.paths.lookup(path).ok_or(PathError::UnknownPath)?;
        if !found.confirmed {
            return Err(PathError::Unconfirmed);
        }
        if tcb.paths.set_primary(path) {
            self.cx.event(Event::PrimaryChanged(path));
        }
        Ok(())
    }

    /// Changes settings of a path.
    pub fn configure_path(
        &mut self,
        now: Instant,
        path: PathId,
        config: PathConfig,
    ) -> Result<(), PathError> {
        let Phase::Open(tcb) = &mut self.phase else {
            return Err(PathError::UnknownPath);
        };
        let found = tcb.paths.lookup(path).ok_or(PathError::UnknownPath)?;
        if let Some(max_retrans) = config.max_retrans {
            found.max_retrans = max_retrans;
        }
        if let Some(kind) = config.congestion_control {
            found.use_controller(kind, &self.cx.config);
            tcb.outstanding.forget_episode(path);
        }
        if let Some(interval) = config.heartbeat_interval {
            found.heartbeat.interval = interval;
            // One that is to be confirmed, or has just failed, is probed once per time-out all the same.
            let probed = matches!(
                found.state,
                PathState::Unconfirmed | PathState::PotentiallyFailed
            );
            match interval {
                _ if probed => {}
                Some(interval) => {
                    self.cx
                        .timers
                        .set_path(PathTimer::Heartbeat, path, now + interval);
                }
                None => self.cx.timers.stop_path(PathTimer::Heartbeat, path),
            }
        }
        Ok(())
    }

    /// Sends a HEARTBEAT now (§11.1.12 REQUESTHEARTBEAT).
    pub fn request_heartbeat(&mut self, now: Instant, path: PathId) -> Result<(), PathError> {
        let _ = now;
        let Phase::Open(tcb) = &mut self.phase else {
            return Err(PathError::UnknownPath);
        };
        tcb.paths
            .lookup(path)
            .ok_or(PathError::UnknownPath)?
            .heartbeat
            .due = true;
        Ok(())
    }
}

impl Association {
    /// The state (§4).
    pub fn state(&self) -> AssociationState {
        match &self.phase {
            Phase::CookieWait(_) => AssociationState::CookieWait,
            Phase::Open(tcb) => AssociationState::from(&tcb.state),
            Phase::Closed(..) => AssociationState::Closed,
        }
    }

    /// The paths; none once the association is over.
    pub fn paths(&self) -> impl Iterator<Item = PathInfo> {
        let paths = self.path_table();
        let primary = paths.map(Paths::primary);
        paths.into_iter().flat_map(Paths::iter).map(move |path| {
            let flight = match &self.phase {
                Phase::Open(tcb) => tcb.outstanding.flight(path.id),
                _ => 0,
            };
            path.info(Some(path.id) == primary, flight)
        })
    }

    pub(super) fn path_table(&self) -> Option<&Paths> {
        match &self.phase {
            Phase::CookieWait(wait) => Some(&wait.paths),
            Phase::Open(tcb) => Some(&tcb.paths),
            Phase::Closed(..) => None,
        }
    }

    pub(super) fn path_table_mut(&mut self) -> Option<&mut Paths> {
        match &mut self.phase {
            Phase::CookieWait(wait) => Some(&mut wait.paths),
            Phase::Open(tcb) => Some(&mut tcb.paths),
            Phase::Closed(..) => None,
        }
    }

    /// Usable streams, (outbound, inbound): negotiated once the peer is known, before that what
    /// this side asks for.
    pub fn streams(&self) -> (u16, u16) {
        match &self.phase {
            Phase::Open(tcb) => (tcb.agreed.outbound_streams, tcb.agreed.inbound_streams),
            _ => (
                self.cx.config.outbound_streams,
                self.cx.config.max_inbound_streams,
            ),
        }
    }

    /// Whether messages of several streams can be interleaved (I-DATA was negotiated, RFC 8260).
    pub fn interleaving(&self) -> bool {
        matches!(&self.phase, Phase::Open(tcb) if tcb.agreed.capabilities.interleaving())
    }

    /// Whether messages can be given up after they were sent (RFC 3758; with
    /// [`interleaving`](Self::interleaving), RFC 8260 §2.3.1).
    pub fn partial_reliability(&self) -> bool {
        matches!(&self.phase, Phase::Open(tcb) if tcb.can_abandon())
    }

    /// How many messages were given up, by one policy or by all (SCTP_PR_ASSOC_STATUS, RFC 7496
    /// §4.3).
    pub fn pr_status(&self, policy: Option<PrPolicy>) -> PrStatus {
        self.cx.queue.pr_status(None, policy)
    }

    /// The same of one outbound stream (SCTP_PR_STREAM_STATUS). A reset of the stream changes
    /// nothing in it.
    pub fn pr_stream_status(&self, stream: StreamId, policy: Option<PrPolicy>) -> PrStatus {
        self.cx.queue.pr_status(Some(stream), policy)
    }

    /// Whether streams can be reset (RE-CONFIG was negotiated, RFC 6525).
    pub fn can_reset_streams(&self) -> bool {
        matches!(&self.phase, Phase::Open(tcb) if tcb.agreed.capabilities.reconfig())
    }

    /// Whether the peer is alive and has acknowledged nothing for as long as
    /// [`progress_timeout`](crate::AssociationConfig::progress_timeout) says, of data that waits.
    pub fn is_peer_stalled(&self) -> bool {
        matches!(&self.phase, Phase::Open(tcb) if tcb.progress.is_stalled())
    }

    /// Bytes queued or unacknowledged on an outbound stream.
    pub fn buffered_amount(&self, stream: StreamId) -> usize {
        self.cx.queue.stream_buffered(stream)
    }

    /// The largest message that can be sent.
    pub fn max_message_size(&self) -> usize {
        self.cx.config.send_buffer
    }

    /// SCTP ports, (local, remote).
    pub fn ports(&self) -> (u16, u16) {
        (self.cx.ports.local, self.cx.ports.remote)
    }

    /// Why the association ended, once it has.
    pub fn close_reason(&self) -> Option<&CloseReason> {
        match &self.phase {
            Phase::Closed(_, reason) => Some(reason),
            _ => None,
        }
    }

    /// Over, and nothing left to send: it can be dropped once its events are polled.
    pub fn is_drained(&self) -> bool {
        self.drained
    }

    /// Counters.
    pub fn stats(&self) -> AssociationStats {
        self.cx.stats
    }
}
