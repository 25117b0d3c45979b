//! The receiving half of a claimed stream.

use std::task::{Context, Poll};

use sctp_proto::{Message, StreamId};

use crate::{Association, RecvError, StreamReader};

/// The receiving half of a claimed stream.
///
/// Dropped before its end was read, it acts as [`stop`](Self::stop): what is unread, and what
/// still comes, is discarded until the peer resets the stream, so that the rest of one request is
/// never taken for a new one. [`SendStream::release`](crate::SendStream::release) gives the stream
/// back without that.
#[derive(Debug)]
pub struct RecvStream {}

impl RecvStream {
    /// The stream.
    pub fn id(&self) -> StreamId {
        todo!()
    }

    /// The association.
    pub fn association(&self) -> &Association {
        todo!()
    }

    /// The next message, or part of one. `None`, from then on always, after the last message
    /// before the peer reset the stream or shut down; what follows a reset goes to who claims the
    /// stream next. Cancel-safe.
    pub async fn recv(&mut self) -> Result<Option<Message>, RecvError> {
        todo!()
    }

    /// As [`recv`](Self::recv). The task that polled last is woken.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, RecvError>> {
        todo!()
    }

    /// Discards what is unread and what still comes, acknowledging it all the same, until the peer
    /// resets the stream.
    pub fn stop(self) {
        todo!()
    }

    /// Reads bytes instead of messages.
    pub fn into_reader(self) -> StreamReader {
        todo!()
    }
}
