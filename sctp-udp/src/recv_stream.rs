//! The receiving half of a claimed stream.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
};

use sctp_proto::{Message, StreamId};
use tokio::task::coop;

use crate::{Association, RecvError, StreamReader, state::Next};

/// The receiving half of a claimed stream.
///
/// Dropped before its end was read, it acts as [`stop`](Self::stop): what is unread, and what
/// still comes, is discarded until the peer resets the stream, so that the rest of one request is
/// never taken for a new one. [`SendStream::release`](crate::SendStream::release) gives the stream
/// back without that.
#[derive(Debug)]
pub struct RecvStream {
    association: Association,
    id: StreamId,
    incarnation: u32,
    /// `None` was read: what follows is the next holder's.
    ended: bool,
    released: bool,
}

impl RecvStream {
    pub(crate) fn new(association: Association, id: StreamId, incarnation: u32) -> Self {
        Self {
            association,
            id,
            incarnation,
            ended: false,
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

    /// The next message, or part of one. `None`, from then on always, after the last message
    /// before the peer reset the stream or shut down; what follows a reset goes to who claims the
    /// stream next. Cancel-safe.
    pub async fn recv(&mut self) -> Result<Option<Message>, RecvError> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv). The task that polled last is woken.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, RecvError>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        let coop = ready!(coop::poll_proceed(cx));
        let found = self.association.shared().with(|state, wakes| {
            match state.claimed(self.id, self.incarnation) {
                None => return Some(Err(RecvError::Restarted)),
                Some(stream) if stream.stalled => return Some(Err(RecvError::Stalled)),
                Some(_) => {}
            }
            match state.next(self.id, wakes) {
                Next::Message(message) => return Some(Ok(Some(message))),
                Next::End => return Some(Ok(None)),
                Next::Empty => {}
            }
            if let Some(end) = state.end_of_receiving() {
                return Some(end.map(|()| None).map_err(RecvError::Closed));
            }
            if let Some(stream) = state.claimed(self.id, self.incarnation) {
                stream.recv_waker = Some(cx.waker().clone());
            }
            None
        });
        match found {
            Some(result) => {
                coop.made_progress();
                self.ended = matches!(result, Ok(None));
                Poll::Ready(result)
            }
            None => Poll::Pending,
        }
    }

    /// Discards what is unread and what still comes, acknowledging it all the same, until the peer
    /// resets the stream.
    pub fn stop(self) {}

    /// Reads bytes instead of messages.
    pub fn into_reader(self) -> StreamReader {
        StreamReader::new(self)
    }

    pub(crate) fn belongs_to(&self, association: &Association, id: StreamId) -> bool {
        self.id == id && Arc::ptr_eq(self.association.shared(), association.shared())
    }

    /// The claim was given back already: dropping the handle does nothing.
    pub(crate) fn disarm(&mut self) {
        self.released = true;
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        self.association
            .shared()
            .with(|state, wakes| state.drop_recv(self.id, self.incarnation, self.ended, wakes));
    }
}
