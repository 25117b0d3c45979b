//! The sending half of a claimed stream.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use sctp_proto::{SendInfo, StreamId};
use tokio::task::coop;

use crate::{Association, RecvStream, ResetError, SendError, StreamWriter};

/// The sending half of a claimed stream.
///
/// Dropped, what was queued still leaves, and the stream is not reset: only
/// [`finish`](Self::finish) and [`reset`](Self::reset) do that. The stream can be claimed again
/// once both halves are gone.
#[derive(Debug)]
pub struct SendStream {
    association: Association,
    id: StreamId,
    incarnation: u32,
    released: bool,
}

impl SendStream {
    pub(crate) fn new(association: Association, id: StreamId, incarnation: u32) -> Self {
        Self {
            association,
            id,
            incarnation,
            released: false,
        }
    }

    /// The stream.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// The association.
    pub fn association(&self) -> &Association {
        &self.association
    }

    /// Queues one message; waits while the send buffer, or this stream's share of it, is full.
    /// Cancel-safe: the message is queued whole or not at all.
    pub async fn send(&mut self, data: Bytes, info: SendInfo) -> Result<(), SendError> {
        let mut data = data;
        poll_fn(|cx| self.poll_send(cx, &mut data, &info)).await
    }

    /// As [`send`](Self::send); `data` is taken once `Ready`, and untouched while `Pending`. The
    /// task that polled last is woken.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
        info: &SendInfo,
    ) -> Poll<Result<(), SendError>> {
        let coop = ready!(coop::poll_proceed(cx));
        let shared = self.association.shared();
        let now = shared.clock.now();
        let result = shared.with(|state, wakes| {
            match state.claimed(self.id, self.incarnation) {
                None => return Err(SendError::Restarted),
                // The protocol would say the same, and the message would go there and back.
                Some(stream) if stream.blocked => {
                    stream.send_waker = Some(cx.waker().clone());
                    return Err(SendError::Blocked(std::mem::take(data)));
                }
                Some(_) => {}
            }
            let result = state.send(now, self.id, std::mem::take(data), info.clone(), wakes);
            if let Err(SendError::Blocked(_)) = &result
                && let Some(stream) = state.claimed(self.id, self.incarnation)
            {
                stream.send_waker = Some(cx.waker().clone());
            }
            result
        });
        if let Err(SendError::Blocked(back)) = result {
            *data = back;
            return Poll::Pending;
        }
        coop.made_progress();
        Poll::Ready(result)
    }

    /// Ready when a message may find room, or will never: saves making one that does not.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.association.shared().lock();
        match state.claimed(self.id, self.incarnation) {
            Some(stream) if stream.blocked => {
                stream.send_waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    /// Bytes queued or unacknowledged on this stream.
    pub fn buffered_amount(&self) -> usize {
        self.association.buffered_amount(self.id)
    }

    /// Priority (smaller first) or weight (larger is more), as the association's scheduler has it
    /// (RFC 8260 §3).
    pub fn set_priority(&self, value: u16) {
        self.association.shared().with(|state, _| {
            if state.claimed(self.id, self.incarnation).is_some() {
                state.proto.set_stream_priority(self.id, value);
            }
        });
    }

    /// Ends the stream: what was sent arrives, then it is reset (RFC 6525) and the peer's
    /// `RecvStream` yields `None`. Waits for the peer's answer; once polled, dropping the future
    /// does not stop the reset.
    pub async fn finish(self) -> Result<(), ResetError> {
        if self.is_stale() {
            return Err(ResetError::Restarted);
        }
        self.association.reset_streams(&[self.id]).await
    }

    /// Discards what was not sent yet, then resets the stream. A message sent in part is given up,
    /// and its reader told, where the peer knows of that
    /// ([`Association::partial_reliability`], RFC 3758), and completed where it does not. Where the
    /// peer cannot reset streams, only that is done.
    pub fn reset(self) {
        if self.is_stale() {
            return;
        }
        let shared = self.association.shared();
        let now = shared.clock.now();
        shared.with(|state, wakes| {
            if state.closed.is_none() {
                state.proto.discard_unsent(now, self.id);
                // Fails where the peer cannot, or when the association is ending anyway.
                let _ = state.start_reset(now, &[self.id], wakes);
            }
        });
    }

    fn is_stale(&self) -> bool {
        self.association.shared().lock().incarnation != self.incarnation
    }

    /// Gives the stream back to [`accept_stream`](Association::accept_stream) and
    /// [`recv`](Association::recv), neither ended nor discarding, as a server does after each
    /// answer; what was sent may still be on its way. Fails when something is unread: half a
    /// request must not be taken for a new one.
    ///
    /// # Panics
    ///
    /// When `recv` is of another stream.
    pub fn release(mut self, mut recv: RecvStream) -> Result<(), (Self, RecvStream)> {
        assert!(
            recv.belongs_to(&self.association, self.id),
            "both halves must be of one stream"
        );
        let released = self
            .association
            .shared()
            .with(|state, wakes| state.release(self.id, self.incarnation, wakes));
        if !released {
            return Err((self, recv));
        }
        // Somebody else may hold the stream by now.
        self.released = true;
        recv.disarm();
        Ok(())
    }

    /// Writes bytes instead of messages.
    pub fn into_writer(self, info: SendInfo) -> StreamWriter {
        StreamWriter::new(self, info)
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        self.association
            .shared()
            .with(|state, wakes| state.drop_send(self.id, self.incarnation, wakes));
    }
}
