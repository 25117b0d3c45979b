//! The handle to an association: messages on any stream, life cycle, paths.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use sctp_proto::{
    AddressError, AssociationConfig, AssociationState, AssociationStats, AssociationStatus,
    CloseReason, ConfigError, Memory, Message, NextMessage, PathConfig, PathError, PathId,
    PathInfo, PrPolicy, PrStatus, Reliability, SchedulerKind, SendInfo, StreamId, StreamScheduler,
};
use tokio::{sync::Notify, task::coop};

use crate::{
    ConnectError, Notifications, RecvError, RecvStream, SendError, SendStream, StreamClaimed,
    state::{Shared, State},
};

/// Handle to an association; clones share it.
///
/// When the last handle is dropped (clones, [`SendStream`]s and [`RecvStream`]s all count),
/// SHUTDOWN begins: what was queued still arrives. Only [`abort`](Self::abort) aborts.
#[derive(Debug, Clone)]
pub struct Association(Arc<Owner>);

/// What all handles of an association hold, and its task does not.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        let now = self.shared.clock.now();
        self.shared
            .with(|state, wakes| state.start_shutdown(now, wakes));
    }
}

impl Association {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(Arc::new(Owner { shared }))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Waits until `ready` yields something; asks again whenever `notify` is notified.
    pub(crate) async fn wait_for<T>(
        &self,
        notify: &Notify,
        mut ready: impl FnMut(&mut State) -> Option<T>,
    ) -> T {
        loop {
            // Made before the look, so that nothing that happens after it is missed.
            let notified = notify.notified();
            if let Some(result) = self.shared().with(|state, _| ready(state)) {
                return result;
            }
            notified.await;
        }
    }
}

/// Messages on any stream (one-to-one style, RFC 6458 §4).
impl Association {
    /// Queues one message; waits while the send buffer is full. Returns once queued, not once
    /// acknowledged. Cancel-safe: the message is queued whole or not at all.
    pub async fn send(
        &self,
        stream: StreamId,
        data: Bytes,
        info: SendInfo,
    ) -> Result<(), SendError> {
        coop::consume_budget().await;
        let mut data = data;
        loop {
            let notified = self.shared().writable.notified();
            match self.try_send(stream, data, info.clone()) {
                Err(SendError::Blocked(back)) => data = back,
                result => return result,
            }
            notified.await;
        }
    }

    /// Queues one message if there is room now.
    pub fn try_send(&self, stream: StreamId, data: Bytes, info: SendInfo) -> Result<(), SendError> {
        let now = self.shared().clock.now();
        self.shared()
            .with(|state, wakes| state.send(now, stream, data, info, wakes))
    }

    /// The next message, or part of one, on any stream without handles, the streams in turn.
    /// `None` once the peer has shut down and all is read. Cancel-safe.
    ///
    /// Both this and [`accept_stream`](Self::accept_stream) draw on the same unclaimed streams:
    /// this takes one message and leaves the stream unclaimed, that claims the stream with all it
    /// holds, and each message goes to whichever asks first. Use one or the other.
    pub async fn recv(&self) -> Result<Option<Message>, RecvError> {
        coop::consume_budget().await;
        loop {
            let notified = self.shared().readable.notified();
            if let Some(result) = self.try_recv() {
                return result;
            }
            notified.await;
        }
    }

    /// As [`recv`](Self::recv). Of several tasks the one that polled last is woken.
    pub fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, RecvError>> {
        let coop = ready!(coop::poll_proceed(cx));
        let found = self.shared().with(|state, wakes| {
            let found = recv(state.next_unclaimed(wakes), state);
            if found.is_none() {
                state.recv_waker = Some(cx.waker().clone());
            }
            found
        });
        match found {
            Some(result) => {
                coop.made_progress();
                Poll::Ready(result)
            }
            None => Poll::Pending,
        }
    }

    fn try_recv(&self) -> Option<Result<Option<Message>, RecvError>> {
        self.shared()
            .with(|state, wakes| recv(state.next_unclaimed(wakes), state))
    }

    /// Waits until everything sent is acknowledged (SCTP_SENDER_DRY_EVENT), or given up as
    /// [`Reliability`] allows.
    pub async fn flushed(&self) -> Result<(), SendError> {
        self.wait_for(&self.shared().changed, |state| match &state.closed {
            _ if state.dry => Some(Ok(())),
            Some(CloseReason::Shutdown) => Some(Ok(())),
            Some(reason) => Some(Err(SendError::Closed(reason.clone()))),
            None => None,
        })
        .await
    }

    /// What is next to be received on a stream (SCTP_NXTINFO).
    pub fn next_message(&self, stream: StreamId) -> Option<NextMessage> {
        self.shared().lock().proto.next_message(stream)
    }

    /// Bytes queued or unacknowledged on an outbound stream.
    pub fn buffered_amount(&self, stream: StreamId) -> usize {
        self.shared().lock().proto.buffered_amount(stream)
    }

    /// The largest message that can be sent, bytes.
    pub fn max_message_size(&self) -> usize {
        self.shared().lock().proto.max_message_size()
    }
}

/// What was found to read, or why nothing ever will be.
fn recv<T>(found: Option<T>, state: &State) -> Option<Result<Option<T>, RecvError>> {
    match found {
        Some(found) => Some(Ok(Some(found))),
        None => state
            .end_of_receiving()
            .map(|end| end.map(|()| None).map_err(RecvError::Closed)),
    }
}

/// Streams.
impl Association {
    /// Claims a stream in both directions: its messages go to these handles instead of
    /// [`recv`](Self::recv). The stream number may be one that only one direction has.
    pub fn stream(&self, id: StreamId) -> Result<(SendStream, RecvStream), StreamClaimed> {
        let incarnation = self
            .shared()
            .with(|state, _| state.claim(id).then_some(state.incarnation))
            .ok_or(StreamClaimed(id))?;
        Ok(self.handles(id, incarnation))
    }

    /// Claims the next unclaimed stream with a message waiting: the "new request" signal of a
    /// server. `None` once the peer has shut down and every message has been claimed. Cancel-safe.
    pub async fn accept_stream(&self) -> Result<Option<(SendStream, RecvStream)>, RecvError> {
        loop {
            let notified = self.shared().readable.notified();
            let found = self.shared().with(|state, wakes| {
                let claimed = state.claim_ready(wakes);
                recv(claimed.map(|id| (id, state.incarnation)), state)
            });
            if let Some(result) = found {
                return Ok(result?.map(|(id, incarnation)| self.handles(id, incarnation)));
            }
            notified.await;
        }
    }

    fn handles(&self, id: StreamId, incarnation: u32) -> (SendStream, RecvStream) {
        (
            SendStream::new(self.clone(), id, incarnation),
            RecvStream::new(self.clone(), id, incarnation),
        )
    }

    /// Usable streams, (outbound, inbound): negotiated once established, before that what this
    /// side asks for.
    pub fn streams(&self) -> (u16, u16) {
        self.shared().lock().proto.streams()
    }

    /// Whether messages of several streams can be interleaved (I-DATA, RFC 8260).
    pub fn interleaving(&self) -> bool {
        self.shared().lock().proto.interleaving()
    }

    /// Another stream scheduler from now on (RFC 8260 §3).
    pub fn set_scheduler(&self, kind: SchedulerKind) {
        self.shared().lock().proto.set_scheduler(kind);
    }

    /// A stream scheduler of the user's own from now on.
    pub fn set_custom_scheduler(&self, scheduler: Box<dyn StreamScheduler>) {
        let mut state = self.shared().lock();
        state.proto.set_custom_scheduler(scheduler);
    }

    /// Whether messages can be given up after they were sent (RFC 3758).
    pub fn partial_reliability(&self) -> bool {
        self.shared().lock().proto.partial_reliability()
    }

    /// The reliability of messages sent from now on whose `SendInfo` has none.
    pub fn set_default_reliability(&self, reliability: Reliability) {
        let mut state = self.shared().lock();
        state.proto.set_default_reliability(reliability);
    }

    /// How many messages were given up, by one policy or by all (RFC 7496 §4.3).
    pub fn pr_status(&self, policy: Option<PrPolicy>) -> PrStatus {
        self.shared().lock().proto.pr_status(policy)
    }

    /// The same of one outbound stream.
    pub fn pr_stream_status(&self, stream: StreamId, policy: Option<PrPolicy>) -> PrStatus {
        self.shared().lock().proto.pr_stream_status(stream, policy)
    }
}

/// Life cycle.
impl Association {
    /// A number that no other association of this endpoint has, ever.
    pub fn id(&self) -> u64 {
        self.shared().id
    }

    /// Waits until the association is established, or the attempt has failed.
    pub async fn established(&self) -> Result<(), ConnectError> {
        self.wait_for(&self.shared().changed, |state| match &state.closed {
            _ if state.established => Some(Ok(())),
            Some(reason) => Some(Err(ConnectError::Failed(reason.clone()))),
            None => None,
        })
        .await
    }

    /// Begins the graceful end and waits for it: what was queued still arrives, then both sides
    /// close. Once polled, dropping the future does not stop the shutdown. An attempt to connect
    /// that nobody has answered is given up at once, unless something is queued.
    pub async fn shutdown(&self) -> CloseReason {
        self.start_shutdown();
        self.closed().await
    }

    /// Begins the graceful end without waiting.
    pub fn start_shutdown(&self) {
        let now = self.shared().clock.now();
        self.shared()
            .with(|state, wakes| state.start_shutdown(now, wakes));
    }

    /// Ends the association at once; the peer is sent ABORT with this reason (RFC 9260 §3.3.10.12).
    /// Who ends the process next waits for [`closed`](Self::closed), or the ABORT may not leave.
    pub fn abort(&self, reason: Bytes) {
        let now = self.shared().clock.now();
        self.shared()
            .with(|state, wakes| state.abort(now, reason, wakes));
    }

    /// Waits until the association is over and the last packet has left, so that the process may
    /// end.
    pub async fn closed(&self) -> CloseReason {
        self.wait_for(&self.shared().changed, |state| {
            state.closed.clone().filter(|_| state.finished)
        })
        .await
    }

    /// Waits until either side has begun to shut the association down, or it is over: no message
    /// can be sent any more.
    pub async fn closing(&self) {
        self.wait_for(&self.shared().changed, |state| {
            state.is_closing().then_some(())
        })
        .await;
    }

    /// The state (RFC 9260 §4).
    pub fn state(&self) -> AssociationState {
        self.shared().lock().proto.state()
    }

    /// Counters.
    pub fn stats(&self) -> AssociationStats {
        self.shared().lock().proto.stats()
    }

    /// How the association stands (SCTP_STATUS).
    pub fn status(&self) -> AssociationStatus {
        self.shared().lock().proto.status()
    }

    /// Bytes held for the association.
    pub fn memory(&self) -> Memory {
        self.shared().lock().proto.memory()
    }

    /// Changes those settings that can change while the association is up; see
    /// [`sctp_proto::Association::update_config`].
    pub fn update_config(
        &self,
        change: impl FnOnce(&mut AssociationConfig),
    ) -> Result<(), ConfigError> {
        let now = self.shared().clock.now();
        self.shared().with(|state, wakes| {
            state.wake_driver(wakes);
            state.proto.update_config(now, change)
        })
    }

    /// What happens to the association from now on: paths, failed messages, errors of the peer.
    pub fn notifications(&self) -> Notifications {
        Notifications::new(self.shared().lock().subscribe())
    }
}

/// Addresses and paths.
impl Association {
    /// SCTP ports, (local, remote).
    pub fn ports(&self) -> (u16, u16) {
        self.shared().lock().proto.ports()
    }

    /// Address and UDP port of the primary path; before and after there is one, where the
    /// association was set up with.
    pub fn peer_addr(&self) -> SocketAddr {
        let state = self.shared().lock();
        let primary = state.proto.paths().find(|path| path.is_primary);
        primary.map_or(self.shared().remote, |path| path.remote)
    }

    /// Addresses and UDP ports of the peer, one per path.
    pub fn peer_addrs(&self) -> Vec<SocketAddr> {
        let state = self.shared().lock();
        state.proto.paths().map(|path| path.remote).collect()
    }

    /// The paths as they stand.
    pub fn paths(&self) -> Vec<PathInfo> {
        self.shared().lock().proto.paths().collect()
    }

    /// Sends new data on this path from now on.
    pub fn set_primary(&self, path: PathId) -> Result<(), PathError> {
        self.shared().with(|state, _| state.proto.set_primary(path))
    }

    /// Whether either side can change its addresses (ASCONF and AUTH, RFC 5061).
    pub fn can_change_addresses(&self) -> bool {
        self.shared().lock().proto.can_change_addresses()
    }

    /// Asks the peer to send data to this address of this side (RFC 5061 §4.2.4);
    /// [`Notification::LocalAddress`](crate::Notification::LocalAddress) tells what it made of that.
    pub fn set_peer_primary(&self, ip: IpAddr) -> Result<(), AddressError> {
        let now = self.shared().clock.now();
        self.shared().with(|state, wakes| {
            state.wake_driver(wakes);
            state.proto.set_peer_primary(now, ip)
        })
    }

    /// Changes settings of a path.
    pub fn configure_path(&self, path: PathId, config: PathConfig) -> Result<(), PathError> {
        let now = self.shared().clock.now();
        self.shared().with(|state, wakes| {
            state.wake_driver(wakes);
            state.proto.configure_path(now, path, config)
        })
    }

    /// Sends a HEARTBEAT now.
    pub fn request_heartbeat(&self, path: PathId) -> Result<(), PathError> {
        let now = self.shared().clock.now();
        self.shared().with(|state, wakes| {
            state.wake_driver(wakes);
            state.proto.request_heartbeat(now, path)
        })
    }
}
