//! User messages between `send` and their acknowledgement.

use bytes::Bytes;
use slab::Slab;

use crate::{
    ids::{PathId, Ppid, StreamId, Tsn},
    message::Reliability,
    time::Instant,
};

/// Names a message of a [`SendQueue`](super::SendQueue) until it is acknowledged or has failed;
/// reused after that.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct MessageKey(pub(super) u32);

/// A user message that is queued or outstanding.
#[derive(Debug)]
pub struct Message {
    pub data: Bytes,
    pub stream: StreamId,
    pub ppid: Ppid,
    pub unordered: bool,
    pub sack_immediately: bool,
    pub reliability: Reliability,
    pub context: u32,
    /// The user wants to know of each step.
    pub tracked: bool,
    /// The path the user asked for.
    pub path: Option<PathId>,
    /// When a message of limited lifetime is not worth sending any more.
    pub expires: Option<Instant>,
    /// SSN (DATA) or MID (I-DATA). Meaningful once `sent` is not 0.
    pub seq: u32,
    /// Bytes handed out in fragments.
    pub(super) sent: u32,
    /// Fragments handed out: the FSN of the next one.
    pub(super) fragments: u32,
    /// Bytes not yet acknowledged cumulatively, unsent ones included; once the message is abandoned,
    /// TSNs.
    pub(super) unacked: u32,
    /// The TSN of the last fragment handed out. Meaningful once `sent` is not 0.
    pub(super) last: Tsn,
    /// Given up after a part of it was sent. Its bytes are gone; what is left of it is what the peer
    /// has to be told.
    pub(super) abandoned: bool,
    /// Of these, bytes acknowledged for good ahead of the cumulative TSN.
    pub(super) kept: u32,
    /// Position in the order of the calls to `send`.
    pub(super) order: u64,
    /// The message after this one on its stream, while both have something unsent.
    pub(super) next: Option<MessageKey>,
    /// The one before it.
    pub(super) previous: Option<MessageKey>,
}

impl Message {
    /// Bytes not handed out yet.
    pub(super) fn unsent(&self) -> usize {
        self.data.len().saturating_sub(self.sent as usize)
    }

    /// Whether the peer has all of it for good, so that its payload is gone.
    pub(super) fn is_released(&self) -> bool {
        self.data.is_empty()
    }

    pub(super) fn failed(self) -> FailedMessage {
        FailedMessage {
            stream: self.stream,
            context: self.context,
            sent: self.sent as usize,
            data: self.data,
        }
    }
}

/// A message that will not arrive, for `Event::SendFailed`.
#[derive(Debug, PartialEq, Eq)]
pub struct FailedMessage {
    pub stream: StreamId,
    pub context: u32,
    /// How many of its bytes were transmitted, from the first on.
    pub sent: usize,
    pub data: Bytes,
}

/// A step that a message has taken whose user wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// All of it has left once.
    Sent { stream: StreamId, context: u32 },
    /// All of it was acknowledged.
    Acked { stream: StreamId, context: u32 },
}

/// A piece of a message that becomes one DATA or I-DATA chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    pub key: MessageKey,
    pub offset: u32,
    pub len: u16,
    /// Fragment sequence number, counted from 0 (RFC 8260 §2.1). DATA chunks have none.
    pub fsn: u32,
    pub begin: bool,
    pub end: bool,
}

/// All messages of a queue, by key.
#[derive(Debug, Default)]
pub(super) struct MessageSlab(Slab<Message>);

impl MessageSlab {
    pub(super) fn insert(&mut self, message: Message) -> MessageKey {
        // Every message holds a byte of the send buffer, which has less than 2^31.
        MessageKey(self.0.insert(message) as u32)
    }

    pub(super) fn remove(&mut self, key: MessageKey) -> Message {
        self.0.remove(key.0 as usize)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Message> {
        self.0.iter_mut().map(|(_, message)| message)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes all messages, in the order of the calls to `send`.
    pub(super) fn take_all(&mut self) -> Vec<Message> {
        let mut messages: Vec<_> = self.0.drain().collect();
        messages.sort_unstable_by_key(|message| message.order);
        messages
    }
}

/// For the tests, which check the books.
#[cfg(any(test, feature = "internals"))]
impl MessageSlab {
    pub(super) fn iter(&self) -> impl Iterator<Item = (MessageKey, &Message)> {
        let entries = self.0.iter();
        entries.map(|(key, message)| (MessageKey(key as u32), message))
    }
}

impl std::ops::Index<MessageKey> for MessageSlab {
    type Output = Message;

    fn index(&self, key: MessageKey) -> &Message {
        &self.0[key.0 as usize]
    }
}

impl std::ops::IndexMut<MessageKey> for MessageSlab {
    fn index_mut(&mut self, key: MessageKey) -> &mut Message {
        &mut self.0[key.0 as usize]
    }
}
