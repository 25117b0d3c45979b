//! The sending half of a claimed stream.

use std::task::{Context, Poll};

use bytes::Bytes;
use sctp_proto::{SendInfo, StreamId};

use crate::{Association, RecvStream, ResetError, SendError, StreamWriter};

/// The sending half of a claimed stream.
///
/// Dropped, what was queued still leaves, and the stream is not reset: only
/// [`finish`](Self::finish) and [`reset`](Self::reset) do that. The stream can be claimed again
/// once both halves are gone.
#[derive(Debug)]
pub struct SendStream {}

impl SendStream {
    /// The stream.
    pub fn id(&self) -> StreamId {
        todo!()
    }

    /// The association.
    pub fn association(&self) -> &Association {
        todo!()
    }

    /// Queues one message; waits while the send buffer, or this stream's share of it, is full.
    /// Cancel-safe: the message is queued whole or not at all.
    pub async fn send(&mut self, data: Bytes, info: SendInfo) -> Result<(), SendError> {
        todo!()
    }

    /// As [`send`](Self::send); `data` is taken (left empty) once `Ready(Ok)`, and untouched
    /// otherwise.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
        info: &SendInfo,
    ) -> Poll<Result<(), SendError>> {
        todo!()
    }

    /// Bytes queued or unacknowledged on this stream.
    pub fn buffered_amount(&self) -> usize {
        todo!()
    }

    /// Priority (smaller first) or weight (larger is more), as the association's scheduler has it
    /// (RFC 8260 §3).
    pub fn set_priority(&self, value: u16) {
        todo!()
    }

    /// Ends the stream: what was sent arrives, then it is reset (RFC 6525) and the peer's
    /// `RecvStream` yields `None`. Waits for the peer's answer; once polled, dropping the future
    /// does not stop the reset.
    pub async fn finish(self) -> Result<(), ResetError> {
        todo!()
    }

    /// Discards the messages of which nothing was sent yet, then resets the stream. A message sent
    /// in part is completed.
    pub fn reset(self) {
        todo!()
    }

    /// Gives the stream back to [`accept_stream`](Association::accept_stream) and
    /// [`recv`](Association::recv), neither ended nor discarding, as a server does after each
    /// answer. Fails when there is something unread on it: half a request must not be taken for
    /// a new one.
    pub fn release(self, recv: RecvStream) -> Result<(), (Self, RecvStream)> {
        todo!()
    }

    /// Writes bytes instead of messages.
    pub fn into_writer(self, info: SendInfo) -> StreamWriter {
        todo!()
    }
}
