//! One inbound stream, and the order in which streams become readable.

use std::collections::VecDeque;

use super::{
    fragments::{Key, Read},
    store::List,
};
use crate::ids::StreamId;

/// The message of a stream that is delivered in parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Partial {
    #[default]
    None,
    /// What has come of this message may be read as long as the window is short.
    Offered(Key),
    /// Some of it was: nothing else of the stream may be read before its end.
    Begun(Key),
    /// Some of it was, and there is no more: the peer gave it up, and the reader is yet to be told.
    Aborted(Read),
}

impl Partial {
    pub(super) fn key(self) -> Option<Key> {
        match self {
            Self::None | Self::Aborted(_) => None,
            Self::Offered(key) | Self::Begun(key) => Some(key),
        }
    }
}

/// What exists of an inbound stream. Few bytes, for each stream ever used stays until reset.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// SSN or MID of the next ordered message.
    pub(super) next: u32,
    /// If unordered messages were skipped: the first MID that was not (I-DATA).
    pub(super) unordered_from: Option<u32>,
    /// Complete messages in order of delivery, one after the other.
    pub(super) ready: List,
    /// The run that begins message `next`. Whole only while the stream is locked.
    pub(super) head: Option<Key>,
    /// An incomplete unordered message whose first fragment is acknowledged for good.
    pub(super) loose: Option<Key>,
    pub(super) partial: Partial,
    /// What it holds, as counted against the window.
    pub(super) bytes: usize,
    /// Whatever comes is thrown away.
    pub(super) discarding: bool,
    /// Known to [`Stalls`](super::stall::Stalls) as holding more than its share.
    pub(super) large: bool,
    /// The user was told, or will be, and has not found it empty since.
    notified: bool,
    in_edges: bool,
    in_turn: bool,
}

impl Stream {
    /// A part of a message was read, and its end has not come.
    pub(super) fn is_locked(&self) -> bool {
        matches!(self.partial, Partial::Begun(_))
    }

    /// Nothing came of it, or all is over: what a new stream is.
    pub(super) fn is_unused(&self) -> bool {
        self.bytes == 0
            && self.next == 0
            && !self.discarding
            && !self.in_edges
            && !self.in_turn
            && self.partial == Partial::None
    }
}

/// Which streams have something to read.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    /// To be told to the user, each stream at most once.
    edges: VecDeque<StreamId>,
    /// Whose turn it is when any stream will do, each at most once.
    turn: VecDeque<StreamId>,
}

impl Readiness {
    /// The stream has something to read.
    pub(super) fn announce(&mut self, id: StreamId, stream: &mut Stream) {
        if !stream.notified {
            stream.notified = true;
            if !stream.in_edges {
                stream.in_edges = true;
                self.edges.push_back(id);
            }
        }
        if !stream.in_turn {
            stream.in_turn = true;
            self.turn.push_back(id);
        }
    }

    /// The user found nothing to read: the next `announce` is news again.
    pub(super) fn exhausted(stream: &mut Stream) {
        stream.notified = false;
    }

    pub(super) fn next_edge(&mut self) -> Option<StreamId> {
        self.edges.pop_front()
    }

    /// Whether the edge taken for this stream still means something.
    pub(super) fn take_edge(stream: &mut Stream) -> bool {
        stream.in_edges = false;
        stream.notified
    }

    pub(super) fn next_turn(&mut self) -> Option<StreamId> {
        self.turn.pop_front()
    }

    pub(super) fn take_turn(stream: &mut Stream) {
        stream.in_turn = false;
    }
}
