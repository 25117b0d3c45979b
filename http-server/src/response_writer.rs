//! Forms the user messages of responses: the rules of HTTP over SCTP about message boundaries.
//!
//! hyper writes bytes and does not tell where a response begins or ends, so the service and body
//! wrappers of `exchange` mark that here:
//!
//! - a header block is whole in its message, together with the body as far as it fits;
//! - a message has at most [`Limits::message_bytes`](crate::Limits::message_bytes), the first ones of
//!   a response less: streams take turns by message, and a small response that waits for the first
//!   turns of large ones is soon done;
//! - no message holds parts of two responses.
//!
//! The marks fit hyper's order of work: it writes all of a response and flushes before it reads
//! the next request, provided that writing never waits. So [`Outbox::append`] always takes
//! everything, and the wrappers wait instead ([`Outbox::poll_sent`]) before they hand hyper more.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

/// Bytes of the first message of a response, unless its header block takes more; the next have
/// twice as many each. With less, responses of usual size would take more than one turn.
const FIRST_MESSAGE: usize = 16 * 1024;

/// Takes whole messages of one stream, in order.
pub(crate) trait MessageSink: Send + 'static {
    /// Hands over `message`; leaves it as it is while there is no room.
    fn poll_send(&mut self, cx: &mut Context<'_>, message: &mut Bytes) -> Poll<io::Result<()>>;
}

/// Handle to the messages that one stream has yet to send. Shared by hyper's I/O and by the
/// wrappers around service and body, all of which run in the stream's one task.
pub(crate) struct Outbox<K>(Arc<Mutex<State<K>>>);

impl<K> Clone for Outbox<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct State<K> {
    /// `None` once the stream was taken back.
    sink: Option<K>,
    max_message: usize,
    /// Bytes of the message being formed, at most.
    limit: usize,
    forming: BytesMut,
    formed: VecDeque<Bytes>,
    phase: Phase,
    /// Request bodies that a handler still holds and has not read to the end.
    open_bodies: usize,
    /// One was read, or given up, and hyper has not looked at it since.
    body_closed: bool,
    /// The stream's task, to look again when a body is read or given up.
    task: Option<Waker>,
    /// Responses begun and messages sent so far.
    begun: u64,
    sent: u64,
    close: bool,
    /// The response begun last has no end but that of the stream.
    until_close: bool,
    /// The association is over, or another after a restart of the peer: nobody waits any more.
    gone: bool,
    /// The right to send while responses are contiguous.
    turn: Option<OwnedSemaphorePermit>,
    /// `turn` is an earlier response's, whose messages are not all sent.
    turn_is_old: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between responses.
    Idle,
    /// A request was read, and the service has not answered yet: what hyper writes now is `100
    /// Continue`, which the client may wait for.
    Asked,
    /// A response is being made. `starving`: its body waits for its source, so that what is there
    /// goes out rather than wait with it.
    Open { starving: bool },
    /// The body is over; hyper's next flush brings the last bytes.
    Ended,
}

impl<K: MessageSink> Outbox<K> {
    pub(crate) fn new(sink: K, max_message: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            sink: Some(sink),
            max_message,
            limit: max_message.min(FIRST_MESSAGE),
            forming: BytesMut::new(),
            formed: VecDeque::new(),
            phase: Phase::Idle,
            open_bodies: 0,
            body_closed: false,
            task: None,
            begun: 0,
            sent: 0,
            close: false,
            until_close: false,
            gone: false,
            turn: None,
            turn_is_old: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request was read whose response comes next.
    pub(crate) fn begin(&self) {
        let mut state = self.lock();
        state.cut();
        state.limit = state.max_message.min(FIRST_MESSAGE);
        state.begun += 1;
        state.turn_is_old = true;
        state.phase = Phase::Asked;
        state.until_close = false;
    }

    /// The service has answered: what hyper writes from now on is the response. `until_close`: it
    /// has no end but that of the stream.
    pub(crate) fn answer(&self, until_close: bool) {
        let mut state = self.lock();
        state.phase = Phase::Open { starving: false };
        state.until_close = until_close;
    }

    /// Whether the response, cut short, cannot be told from one that is whole.
    pub(crate) fn seems_whole(&self) -> bool {
        self.lock().until_close
    }

    /// The response's body waits for its source.
    pub(crate) fn starve(&self) {
        let mut state = self.lock();
        if let Phase::Open { starving } = &mut state.phase {
            *starving = true;
        }
    }

    /// hyper has taken the whole body, or needs none; the bytes may still be in its buffer.
    pub(crate) fn end(&self) {
        self.lock().phase = Phase::Ended;
    }

    /// The association, or connection, is to end after this response.
    pub(crate) fn close(&self) {
        self.lock().close = true;
    }

    /// Keeps `turn` until the response is sent.
    pub(crate) fn hold_turn(&self, turn: OwnedSemaphorePermit) {
        let mut state = self.lock();
        state.turn = Some(turn);
        state.turn_is_old = false;
    }

    /// Takes all of `bytes`; forms a message whenever there is enough for one.
    pub(crate) fn append(&self, mut bytes: &[u8]) {
        let state = &mut *self.lock();
        while !bytes.is_empty() {
            let room = state.limit - state.forming.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            state.forming.extend_from_slice(now);
            bytes = later;
            if state.forming.len() == state.limit {
                state.cut_full();
            }
        }
    }

    /// hyper has written what it has.
    pub(crate) fn flush(&self) {
        let state = &mut *self.lock();
        match &mut state.phase {
            Phase::Open { starving } => {
                if !std::mem::take(starving) {
                    return;
                }
            }
            Phase::Ended => state.phase = Phase::Idle,
            Phase::Idle | Phase::Asked => {}
        }
        state.cut();
    }

    /// Sends until at most `left` formed messages wait. An error means that the association, or
    /// the stream, takes no more.
    pub(crate) fn poll_sent(&self, cx: &mut Context<'_>, left: usize) -> Poll<io::Result<()>> {
        let state = &mut *self.lock();
        while state.formed.len() > left {
            let Some((sink, message)) = state.sink.as_mut().zip(state.formed.front_mut()) else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            if let Err(error) = ready!(sink.poll_send(cx, message)) {
                state.gone |= is_gone(&error);
                return Poll::Ready(Err(error));
            }
            state.formed.pop_front();
            state.sent += 1;
        }
        if state.formed.is_empty() && (state.phase == Phase::Idle || state.turn_is_old) {
            state.turn = None;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether no response is begun and not yet handed to the association, and no request body is
    /// open. While one is, the task of `cx` is woken when it no longer is.
    pub(crate) fn is_idle(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        state.task = (state.open_bodies > 0).then(|| cx.waker().clone());
        state.phase == Phase::Idle
            && state.forming.is_empty()
            && state.formed.is_empty()
            && state.open_bodies == 0
    }

    /// Whether a request body was read or given up since the last call.
    pub(crate) fn take_body_closed(&self) -> bool {
        std::mem::take(&mut self.lock().body_closed)
    }

    /// Whether a response is begun of which hyper has not written the end.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().phase != Phase::Idle
    }

    pub(crate) fn responses_begun(&self) -> u64 {
        self.lock().begun
    }

    /// Messages sent so far, if more are waiting.
    pub(crate) fn blocked_at(&self) -> Option<u64> {
        let state = self.lock();
        (!state.formed.is_empty()).then_some(state.sent)
    }

    /// Receiving failed. Errors of kind `ConnectionAborted` mean that the association is gone.
    pub(crate) fn failed(&self, error: &io::Error) {
        self.lock().gone |= is_gone(error);
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.lock().gone
    }

    pub(crate) fn asked_to_close(&self) -> bool {
        self.lock().close
    }

    /// Counts a request body that the handler may read.
    pub(crate) fn open_body(&self) -> OpenBody
    where
        K: Send,
    {
        self.lock().open_bodies += 1;
        let outbox = self.clone();
        OpenBody(Some(Box::new(move || {
            let task = {
                let mut state = outbox.lock();
                state.open_bodies -= 1;
                state.body_closed = true;
                state.task.take()
            };
            if let Some(task) = task {
                task.wake();
            }
        })))
    }

    /// The sink back; what was not sent is dropped.
    pub(crate) fn take_sink(&self) -> Option<K> {
        let mut state = self.lock();
        state.turn = None;
        state.sink.take()
    }
}

impl<K> State<K> {
    /// The message being formed has all the bytes that it may have.
    fn cut_full(&mut self) {
        let first = self.limit == FIRST_MESSAGE && self.limit < self.max_message;
        if first && !self.forming.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            // A header block of that size: it stays whole.
            self.limit = self.max_message;
            return;
        }
        self.cut();
        self.limit = self.limit.saturating_mul(2).min(self.max_message);
    }

    fn cut(&mut self) {
        if !self.forming.is_empty() {
            self.formed.push_back(self.forming.split().freeze());
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionAborted
}

/// Tells the outbox, when dropped, that a request body is read or given up.
pub(crate) struct OpenBody(Option<Box<dyn FnOnce() + Send + Sync>>);

impl std::fmt::Debug for OpenBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpenBody")
    }
}

impl Drop for OpenBody {
    fn drop(&mut self) {
        if let Some(closed) = self.0.take() {
            closed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `room` messages, then waits.
    struct Sink {
        room: usize,
        messages: Vec<Bytes>,
    }

    impl MessageSink for Sink {
        fn poll_send(&mut self, _: &mut Context<'_>, message: &mut Bytes) -> Poll<io::Result<()>> {
            if self.messages.len() == self.room {
                return Poll::Pending;
            }
            self.messages.push(std::mem::take(message));
            Poll::Ready(Ok(()))
        }
    }

    fn outbox(room: usize) -> Outbox<Sink> {
        outbox_of(room, 10)
    }

    fn outbox_of(room: usize, max_message: usize) -> Outbox<Sink> {
        let messages = Vec::new();
        Outbox::new(Sink { room, messages }, max_message)
    }

    fn send(outbox: &Outbox<Sink>) -> bool {
        outbox
            .poll_sent(&mut Context::from_waker(Waker::noop()), 0)
            .is_ready()
    }

    fn begin(outbox: &Outbox<Sink>) {
        outbox.begin();
        outbox.answer(false);
    }

    fn is_idle(outbox: &Outbox<Sink>) -> bool {
        outbox.is_idle(&Context::from_waker(Waker::noop()))
    }

    fn lengths(outbox: &Outbox<Sink>) -> Vec<usize> {
        outbox
            .take_sink()
            .unwrap()
            .messages
            .iter()
            .map(Bytes::len)
            .collect()
    }

    #[test]
    fn head_waits_for_the_body() {
        let outbox = outbox(9);
        begin(&outbox);
        outbox.append(b"head");
        outbox.flush();
        assert!(send(&outbox));
        outbox.append(b"body");
        outbox.end();
        outbox.flush();
        assert!(send(&outbox) && is_idle(&outbox));
        assert_eq!(lengths(&outbox), [8]);
    }

    #[test]
    fn a_starving_body_does_not_hold_back_what_is_there() {
        let outbox = outbox(9);
        begin(&outbox);
        outbox.append(b"head");
        outbox.starve();
        outbox.flush();
        assert!(send(&outbox) && !is_idle(&outbox));
        outbox.append(b"event");
        outbox.flush();
        outbox.append(b"event");
        assert_eq!(lengths(&outbox), [4]);
    }

    #[test]
    fn messages_are_full_but_for_the_last() {
        let outbox = outbox(9);
        begin(&outbox);
        outbox.append(b"head");
        outbox.append(&[0; 18]);
        outbox.flush();
        outbox.append(&[0; 3]);
        outbox.end();
        outbox.flush();
        assert!(send(&outbox));
        assert_eq!(lengths(&outbox), [10, 10, 5]);
    }

    #[test]
    fn the_first_messages_of_a_response_are_small() {
        let outbox = outbox_of(99, 64 * 1024);
        for _ in 0..2 {
            begin(&outbox);
            outbox.append(b"head\r\n\r\n");
            outbox.append(&[0; 200_000]);
            outbox.end();
            outbox.flush();
        }
        assert!(send(&outbox));
        let kib = [16, 32, 64].map(|kib| kib * 1024);
        let rest = 200_008 - kib.iter().sum::<usize>() - kib[2];
        let one = [kib[0], kib[1], kib[2], kib[2], rest];
        assert_eq!(lengths(&outbox), [one, one].concat());
    }

    #[test]
    fn a_large_head_stays_whole() {
        let outbox = outbox_of(9, 64 * 1024);
        begin(&outbox);
        outbox.append(&[b'h'; 20_000]);
        outbox.append(b"\r\n\r\nbody");
        outbox.end();
        outbox.flush();
        assert!(send(&outbox));
        assert_eq!(lengths(&outbox), [20_008]);
    }

    #[test]
    fn no_message_holds_parts_of_two_responses() {
        let outbox = outbox(9);
        for _ in 0..2 {
            begin(&outbox);
            outbox.append(b"all");
            outbox.end();
        }
        outbox.flush();
        assert!(send(&outbox));
        assert_eq!(lengths(&outbox), [3, 3]);
    }

    #[test]
    fn a_full_sink_is_seen_and_the_order_kept() {
        let outbox = outbox(1);
        begin(&outbox);
        outbox.append(&[1; 25]);
        outbox.end();
        outbox.flush();
        assert!(!send(&outbox));
        assert_eq!(outbox.blocked_at(), Some(1));
        assert!(!is_idle(&outbox) && !outbox.is_open());
        assert_eq!(lengths(&outbox), [10]);
    }

    #[test]
    fn an_open_request_body_keeps_the_stream() {
        let outbox = outbox(1);
        let body = outbox.open_body();
        assert!(!is_idle(&outbox));
        drop(body);
        assert!(is_idle(&outbox));
    }
}
