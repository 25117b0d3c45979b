//! What the tasks around one association share: the protocol's state machine, and who waits for
//! what on which stream.

mod reconfig;
mod streams;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use sctp_proto::{
    AssociationHandle, AssociationState, CloseReason, Event, SendInfo, StreamId, Transmit,
};
use tokio::sync::{Notify, broadcast};

use self::reconfig::Requests;
pub(crate) use self::streams::{Next, Stream};
use crate::{Notification, SendError, clock::Clock};

/// Notifications kept for a reader that is behind.
const NOTIFICATIONS: usize = 256;

/// Locks; a panic of another holder is no reason to take this task down as well.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One association as its handles, its task and the endpoint's task see it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: u64,
    pub(crate) handle: AssociationHandle,
    /// Where the association was set up with.
    pub(crate) remote: SocketAddr,
    pub(crate) clock: Clock,
    state: Mutex<State>,
    /// An unclaimed stream has something to read, or nothing will come any more.
    pub(crate) readable: Notify,
    /// Some stream has room again, or never will.
    pub(crate) writable: Notify,
    /// Established, dry, closing, closed; a stream reset is answered.
    pub(crate) changed: Notify,
}

impl Shared {
    pub(crate) fn new(
        id: u64,
        handle: AssociationHandle,
        remote: SocketAddr,
        clock: Clock,
        proto: sctp_proto::Association,
    ) -> Self {
        Self {
            id,
            handle,
            remote,
            clock,
            state: Mutex::new(State::new(proto)),
            readable: Notify::new(),
            writable: Notify::new(),
            changed: Notify::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Runs `f` under the lock, sorts the events it caused, and wakes who waited for them once the
    /// lock is free. The way in for every input and command: no event ever stays behind unseen.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut State, &mut Wakes) -> R) -> R {
        let mut wakes = Wakes::default();
        let result = {
            let mut state = self.lock();
            let result = f(&mut state, &mut wakes);
            state.take_events(&mut wakes);
            result
        };
        wakes.wake(self);
        result
    }

    /// The task that drives the association is gone before its time: its runtime ended.
    pub(crate) fn lost(&self) {
        self.with(|state, wakes| {
            state.close(CloseReason::LocalAbort, wakes);
            state.finish(wakes);
        });
    }
}

/// Whom to wake once the lock is free.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    tasks: Vec<Waker>,
    readable: bool,
    writable: bool,
    pub(crate) changed: bool,
}

impl Wakes {
    fn add(&mut self, waker: &mut Option<Waker>) {
        self.tasks.extend(waker.take());
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.tasks.extend(other.tasks);
        self.readable |= other.readable;
        self.writable |= other.writable;
        self.changed |= other.changed;
    }

    pub(crate) fn wake(self, shared: &Shared) {
        for task in self.tasks {
            task.wake();
        }
        for (set, notify) in [
            (self.readable, &shared.readable),
            (self.writable, &shared.writable),
            (self.changed, &shared.changed),
        ] {
            if set {
                notify.notify_waiters();
            }
        }
    }
}

/// The sending side of the driver: see `association_driver::flush`.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Some task is sending for this association right now.
    pub(crate) busy: bool,
    /// A batch, and how much of it has left, that waits for room in a socket.
    pub(crate) blocked: Option<(Transmit, usize, Vec<u8>)>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) proto: sctp_proto::Association,
    pub(crate) outbox: Outbox,
    /// Whom the task that is sending has to wake when it is done.
    pub(crate) deferred: Wakes,
    /// The association's task, unless it has been woken already.
    pub(crate) driver: Option<Waker>,
    /// The deadline that task sleeps until.
    pub(crate) armed: Option<sctp_proto::Instant>,
    /// The endpoint has forgotten the association: its task may end.
    pub(crate) finished: bool,
    /// Counts restarts by the peer: handles of an earlier incarnation fail.
    pub(crate) incarnation: u32,
    pub(crate) established: bool,
    pub(crate) closed: Option<CloseReason>,
    /// Everything sent is acknowledged.
    pub(crate) dry: bool,
    /// The peer shut down: it sends nothing more.
    peer_shutdown: bool,
    streams: FxHashMap<StreamId, Stream>,
    /// Unclaimed streams that may have a message, in turn. Some may have none after all.
    ready: VecDeque<StreamId>,
    pub(crate) recv_waker: Option<Waker>,
    /// Bytes read since the association's task was last woken for it.
    unreported: usize,
    notifications: Option<broadcast::Sender<Notification>>,
    requests: Requests,
}

impl State {
    fn new(proto: sctp_proto::Association) -> Self {
        Self {
            proto,
            outbox: Outbox::default(),
            deferred: Wakes::default(),
            driver: None,
            armed: None,
            finished: false,
            incarnation: 0,
            established: false,
            closed: None,
            dry: true,
            peer_shutdown: false,
            streams: FxHashMap::default(),
            ready: VecDeque::new(),
            recv_waker: None,
            unreported: 0,
            notifications: None,
            requests: Requests::default(),
        }
    }

    /// Has the association's task look for something to send.
    pub(crate) fn wake_driver(&mut self, wakes: &mut Wakes) {
        wakes.add(&mut self.driver);
    }

    pub(crate) fn subscribe(&mut self) -> broadcast::Receiver<Notification> {
        match &self.notifications {
            Some(sender) => sender.subscribe(),
            None => {
                let (sender, receiver) = broadcast::channel(NOTIFICATIONS);
                if !self.finished && self.closed.is_none() {
                    self.notifications = Some(sender);
                }
                receiver
            }
        }
    }

    fn notify(&mut self, notification: Notification) {
        if let Some(sender) = &self.notifications
            && sender.send(notification).is_err()
        {
            self.notifications = None;
        }
    }
}

/// Events of the protocol.
impl State {
    pub(crate) fn take_events(&mut self, wakes: &mut Wakes) {
        while let Some(event) = self.proto.poll_event() {
            self.take_event(event, wakes);
        }
    }

    fn take_event(&mut self, event: Event, wakes: &mut Wakes) {
        match event {
            Event::Established { restarted } => {
                if restarted {
                    self.restart(wakes);
                }
                self.established = true;
                wakes.changed = true;
            }
            Event::PeerShutdown => {
                self.peer_shutdown = true;
                self.wake_all(wakes);
            }
            // Who waits for the association to begin its end, or to have room, looks again.
            Event::Autoclose => self.wake_all(wakes),
            Event::Closed(reason) => self.close(reason, wakes),
            Event::Readable(id) => {
                let stream = self.streams.entry(id).or_default();
                stream.readable = true;
                if stream.recv_claimed {
                    wakes.add(&mut stream.recv_waker);
                } else {
                    self.offer(id, wakes);
                }
            }
            Event::Writable(id) => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.blocked = false;
                    wakes.add(&mut stream.send_waker);
                    self.prune(id);
                }
                wakes.writable = true;
            }
            Event::IncomingReset { streams, last_tsn } => {
                self.on_incoming_reset(streams, last_tsn, wakes);
            }
            Event::OutgoingReset { streams, outcome } => {
                self.on_outgoing_reset(&streams, outcome, wakes);
            }
            Event::ReconfigAnswered { request, outcome } => {
                self.on_answered(&request, outcome, wakes);
            }
            Event::AssociationReset { last_tsn, .. } => self.on_association_reset(last_tsn, wakes),
            Event::StreamsChanged { outbound, inbound } => {
                self.on_streams_changed(outbound, inbound, wakes);
            }
            Event::StreamStalled(id) => self.notify(Notification::StreamStalled(id)),
            Event::StreamDiscarded(id) => {
                let stream = self.streams.entry(id).or_default();
                stream.stalled = true;
                wakes.add(&mut stream.recv_waker);
                self.notify(Notification::StreamDiscarded(id));
            }
            Event::AdaptationIndication(indication) => {
                self.notify(Notification::AdaptationIndication(indication));
            }
            Event::Authentication(event) => self.notify(Notification::Authentication(event)),
            Event::MessageSent { stream, context } => {
                self.notify(Notification::MessageSent { stream, context });
            }
            Event::MessageAcked { stream, context } => {
                self.notify(Notification::MessageAcked { stream, context });
            }
            Event::PeerStalled { waited } => self.notify(Notification::PeerStalled { waited }),
            Event::PathChanged { path, state } => {
                self.notify(Notification::PathChanged { path, state });
            }
            Event::PathAdded(path) => self.notify(Notification::PathAdded(path)),
            Event::PathRemoved(path) => self.notify(Notification::PathRemoved(path)),
            Event::PrimaryChanged(path) => self.notify(Notification::PrimaryChanged(path)),
            Event::LocalAddress {
                ip,
                change,
                performed,
            } => self.notify(Notification::LocalAddress {
                ip,
                change,
                performed,
            }),
            Event::SendFailed {
                stream,
                context,
                sent,
                data,
            } => self.notify(Notification::SendFailed {
                stream,
                context,
                sent,
                data,
            }),
            Event::SenderDry => {
                self.dry = true;
                wakes.changed = true;
            }
            Event::PeerError(cause) => self.notify(Notification::PeerError(cause)),
            other => tracing::debug!(
                ?other,
                "event of the protocol that the driver does not know"
            ),
        }
    }

    /// On a restart (§5.2.4 A) nothing of the old incarnation goes to the new one.
    fn restart(&mut self, wakes: &mut Wakes) {
        self.incarnation += 1;
        self.peer_shutdown = false;
        self.dry = true;
        self.wake_all(wakes);
        self.streams.clear();
        self.ready.clear();
        self.requests = Requests::default();
        self.notify(Notification::Restarted);
    }

    pub(crate) fn close(&mut self, reason: CloseReason, wakes: &mut Wakes) {
        self.closed.get_or_insert(reason);
        self.wake_all(wakes);
    }

    /// Every waiter looks again: for the end of the association, or of sending.
    pub(crate) fn wake_all(&mut self, wakes: &mut Wakes) {
        for stream in self.streams.values_mut() {
            stream.blocked = false;
            wakes.add(&mut stream.recv_waker);
            wakes.add(&mut stream.send_waker);
        }
        wakes.add(&mut self.recv_waker);
        wakes.readable = true;
        wakes.writable = true;
        wakes.changed = true;
    }

    /// The last packet has left, and the endpoint has forgotten the association.
    pub(crate) fn finish(&mut self, wakes: &mut Wakes) {
        self.finished = true;
        self.notifications = None;
        wakes.changed = true;
    }
}

/// Commands.
impl State {
    pub(crate) fn send(
        &mut self,
        now: sctp_proto::Instant,
        id: StreamId,
        data: Bytes,
        info: SendInfo,
        wakes: &mut Wakes,
    ) -> Result<(), SendError> {
        use sctp_proto::SendError as E;
        if let Some(reason) = &self.closed {
            return Err(SendError::Closed(reason.clone()));
        }
        match self.proto.send(now, id, data, info) {
            Ok(()) => {
                self.dry = false;
                self.wake_driver(wakes);
                Ok(())
            }
            Err(E::Blocked(data)) => {
                self.streams.entry(id).or_default().blocked = true;
                Err(SendError::Blocked(data))
            }
            Err(E::Empty) => Err(SendError::Empty),
            Err(E::TooLarge { max }) => Err(SendError::TooLarge { max }),
            Err(E::UnknownStream(id)) => Err(SendError::UnknownStream(id)),
            Err(E::StreamResetting(id)) => Err(SendError::StreamResetting(id)),
            Err(E::UnknownPath) => Err(SendError::UnknownPath),
            Err(_) => Err(SendError::Closing),
        }
    }

    pub(crate) fn start_shutdown(&mut self, now: sctp_proto::Instant, wakes: &mut Wakes) {
        if self.closed.is_none() {
            if self.dry && self.proto.state() == AssociationState::CookieWait {
                // Nobody has answered yet, and there is nothing to wait for an answer with.
                self.proto.abort(now, Bytes::new());
            } else {
                self.proto.shutdown(now);
            }
            self.wake_driver(wakes);
            self.wake_all(wakes);
        }
    }

    pub(crate) fn abort(&mut self, now: sctp_proto::Instant, reason: Bytes, wakes: &mut Wakes) {
        if self.closed.is_none() {
            self.proto.abort(now, reason);
            self.wake_driver(wakes);
        }
    }

    /// Whether no message can be sent any more.
    pub(crate) fn is_closing(&self) -> bool {
        use AssociationState as S;
        self.closed.is_some()
            || self.peer_shutdown
            || !matches!(
                self.proto.state(),
                S::CookieWait | S::CookieEchoed | S::Established
            )
    }
}
