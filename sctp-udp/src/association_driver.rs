//! The task of one association: its timer, and sending after commands of the user.
//!
//! What runs where:
//!
//! - The endpoint's task (`endpoint_driver`) receives, routes, and hands datagrams to the
//!   associations itself, under each one's lock: no queue between them, no hop, and what is not
//!   taken from the socket is the kernel's to drop. At the end of a batch it flushes every
//!   association that got something, so that a batch in gives a batch out.
//! - The association's task owns the timer. Commands (`send`, `shutdown`, ...) change the state
//!   under the lock and wake this task, once however many commands there are; it flushes.
//! - `flush` is what both use. It holds the lock while a batch is built and not while the system
//!   call sends it; `Outbox::busy` keeps a second task from sending in between, so that packets
//!   leave in the order in which they were built.
//! - When a socket has no room, the batch stays with the association and the endpoint's task
//!   resumes it; nothing else of that association is sent meanwhile, so what is queued is bounded
//!   by the send buffer.
//!
//! Locks: the endpoint's and an association's are never held together.

use std::{
    num::NonZeroUsize,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use sctp_proto::Instant;
use tokio::time::Sleep;

use crate::{
    endpoint::EndpointShared,
    net::Net,
    sockets::Sent,
    state::{Shared, State, Wakes},
};

/// Most packets in one batch. 48 packets for the usual MTUs are what one GSO call carries.
const MAX_SEGMENTS: usize = 48;

/// Batches sent for one association before others get their turn.
const FLUSH_LIMIT: usize = 8;

/// Gives the association its `input`, sends what it has to send now, and settles what follows.
///
/// Users are woken last, so that who waited for the end of the association, and ends the process,
/// does so when the last packet has left.
///
/// `resume` is for the endpoint's task once a socket has room: without it, an association that
/// waits for room stays as it is.
pub(crate) fn flush(
    net: &Net,
    endpoint: &EndpointShared,
    shared: &Arc<Shared>,
    now: Instant,
    resume: bool,
    input: impl FnOnce(&mut State),
) {
    let mut wakes = Wakes::default();
    let mut blocked_on = None;
    let mut more = false;
    let mut state = shared.lock();
    input(&mut state);
    // Before the lock is given up: a command must not find events from before itself.
    state.take_events(&mut wakes);
    if state.outbox.busy {
        // The other task sends what this input caused, and then does all that follows below.
        state.deferred.merge(wakes);
        return;
    }
    if resume || state.outbox.blocked.is_none() {
        state.outbox.busy = true;
        let mut pending = state.outbox.blocked.take();
        let mut buffer = match &mut pending {
            Some((_, _, rest)) => std::mem::take(rest),
            None => net.take_buffer(),
        };
        let max_segments = net.sockets.max_segments().clamp(1, MAX_SEGMENTS);
        let max_segments = NonZeroUsize::new(max_segments).unwrap_or(NonZeroUsize::MIN);
        let mut left = FLUSH_LIMIT;
        loop {
            let (transmit, done) = match pending.take() {
                Some((transmit, done, _)) => (transmit, done),
                None if left == 0 => {
                    more = true;
                    break;
                }
                None => {
                    buffer.clear();
                    match state.proto.poll_transmit(now, max_segments, &mut buffer) {
                        Some(transmit) => (transmit, 0),
                        None => break,
                    }
                }
            };
            left -= 1;
            drop(state);
            let sent = net
                .sockets
                .send(&transmit, &buffer[done..transmit.size.min(buffer.len())]);
            state = shared.lock();
            match sent {
                Sent::All => {}
                Sent::Unreachable => {
                    if let Some(path) = transmit.path {
                        state.proto.handle_unreachable(now, path);
                    }
                }
                Sent::TooBig { size } => {
                    if let Some(path) = transmit.path {
                        state.proto.handle_packet_too_big(now, path, size);
                    }
                }
                Sent::Blocked { socket, bytes } => {
                    let rest = std::mem::take(&mut buffer);
                    state.outbox.blocked = Some((transmit, done + bytes, rest));
                    blocked_on = Some(socket);
                    break;
                }
            }
        }
        state.outbox.busy = false;
        net.return_buffer(buffer);
        wakes.merge(std::mem::take(&mut state.deferred));
    }
    state.take_events(&mut wakes);
    let mut events = Vec::new();
    while let Some(event) = state.proto.poll_endpoint_event() {
        events.push(event);
    }
    let drained = state.proto.is_drained() && state.outbox.blocked.is_none();
    // The task sleeps until `armed`; a later deadline can wait until it wakes by itself.
    let deadline = state.proto.poll_timeout();
    let earlier = deadline.is_some_and(|d| state.armed.is_none_or(|armed| d < armed));
    if more || earlier {
        state.wake_driver(&mut wakes);
    }
    drop(state);
    wakes.wake(shared);
    if let Some(socket) = blocked_on {
        net.push_blocked(socket, Arc::clone(shared));
    }
    if drained || !events.is_empty() {
        endpoint.settle(shared, events, drained);
    }
}

/// Sends once more what an association wants to send, and waits for its next deadline.
#[derive(Debug)]
pub(crate) struct AssociationDriver {
    shared: Arc<Shared>,
    endpoint: Arc<EndpointShared>,
    net: Arc<Net>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl AssociationDriver {
    pub(crate) fn new(shared: Arc<Shared>, endpoint: Arc<EndpointShared>, net: Arc<Net>) -> Self {
        Self {
            shared,
            endpoint,
            net,
            sleep: None,
        }
    }

    /// Sleeps until `deadline`; ready when it has passed.
    fn poll_sleep(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let deadline = self.shared.clock.to_tokio(deadline);
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    }
}

impl Future for AssociationDriver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let now = this.shared.clock.now();
        flush(
            &this.net,
            &this.endpoint,
            &this.shared,
            now,
            false,
            |state| {
                state.driver = Some(cx.waker().clone());
                if state.proto.poll_timeout().is_some_and(|d| d <= now) {
                    state.proto.handle_timeout(now);
                }
            },
        );
        let deadline = {
            let mut state = this.shared.lock();
            if state.finished {
                return Poll::Ready(());
            }
            state.armed = state.proto.poll_timeout();
            state.armed
        };
        if let Some(deadline) = deadline
            && this.poll_sleep(cx, deadline).is_ready()
        {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for AssociationDriver {
    fn drop(&mut self) {
        // Only a runtime that ends drops the task earlier; whoever waits must not wait for ever.
        if !self.shared.lock().finished {
            self.shared.lost();
        }
    }
}
