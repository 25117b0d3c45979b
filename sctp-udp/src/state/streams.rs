//! The streams of an association as the driver sees them: who holds which half, what is there to
//! read, and where one life of a stream ends and the next begins.

use std::{collections::VecDeque, task::Waker};

use sctp_proto::{CloseReason, Message, StreamId, Tsn};

use super::{State, Wakes, reconfig::Asked};

/// Ends of one inbound stream that nobody has read yet; with more, the stream counts as stalled.
const MAX_ENDS: usize = 16;

/// Bytes read after which the protocol is asked whether the peer should be told of the room.
const READ_QUANTUM: usize = 4096;

/// What the next read of a stream finds.
#[derive(Debug)]
pub(crate) enum Next {
    Message(Message),
    /// The peer reset the stream after what was read before.
    End,
    Empty,
}

/// What the next read of a stream would find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peek {
    Message,
    End,
    Nothing,
}

/// One stream number, both directions. Kept only while it has something to say.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) send_claimed: bool,
    pub(crate) recv_claimed: bool,
    /// The protocol said there is something to read, and has not come back empty-handed since.
    pub(super) readable: bool,
    /// Listed in `State::ready`.
    queued: bool,
    /// The last message read is not complete.
    partial: bool,
    /// Last TSNs before the resets by the peer whose end nobody has read yet, oldest first.
    ends: VecDeque<Tsn>,
    /// Its data was discarded: see [`RecvError::Stalled`](crate::RecvError::Stalled).
    pub(crate) stalled: bool,
    /// The protocol said `Blocked` and not `Writable` since.
    pub(crate) blocked: bool,
    /// Its outbound direction is to be reset.
    pub(super) reset: Asked,
    /// The peer is to reset its inbound direction.
    pub(super) incoming_reset: Asked,
    pub(crate) recv_waker: Option<Waker>,
    pub(crate) send_waker: Option<Waker>,
}

impl Stream {
    fn is_claimed(&self) -> bool {
        self.send_claimed || self.recv_claimed
    }

    fn is_idle(&self) -> bool {
        !self.is_claimed()
            && !self.readable
            && !self.queued
            && !self.stalled
            && !self.blocked
            && self.ends.is_empty()
            && self.reset == Asked::Nothing
            && self.incoming_reset == Asked::Nothing
    }
}

/// Receiving.
impl State {
    /// What reading a stream yields now, whoever reads it.
    pub(crate) fn next(&mut self, id: StreamId, wakes: &mut Wakes) -> Next {
        let next = match self.peek(id) {
            Peek::Message => match self.proto.recv(id) {
                Some(message) => {
                    if let Some(stream) = self.streams.get_mut(&id) {
                        stream.partial = !message.complete && !message.aborted;
                    }
                    self.unreported += message.data.len();
                    Next::Message(message)
                }
                None => Next::Empty,
            },
            Peek::End => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.ends.pop_front();
                    stream.partial = false;
                    stream.stalled = false;
                }
                Next::End
            }
            Peek::Nothing => Next::Empty,
        };
        // The peer learns of the room by the next SACK, or by a window update that only the
        // protocol can tell to be due. Asking after every small message would be a wake each.
        if self.unreported >= READ_QUANTUM || (self.unreported > 0 && matches!(next, Next::Empty)) {
            self.unreported = 0;
            self.wake_driver(wakes);
        }
        next
    }

    /// What `next` would yield. Nothing is taken from the protocol, whose window counts what it
    /// holds, before somebody wants to have it.
    fn peek(&mut self, id: StreamId) -> Peek {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Peek::Nothing;
        };
        let first = stream.readable.then(|| self.proto.next_tsn(id)).flatten();
        if stream.readable && first.is_none() {
            // Coming back empty-handed is what makes the protocol say `Readable` again.
            stream.readable = self.proto.recv(id).is_some();
        }
        match (first, stream.ends.front()) {
            (Some(first), Some(last)) if !first.ends_by(*last) => Peek::End,
            (Some(_), _) => Peek::Message,
            (None, Some(_)) => Peek::End,
            (None, None) => Peek::Nothing,
        }
    }

    /// The next message of any unclaimed stream, the streams in turn.
    pub(crate) fn next_unclaimed(&mut self, wakes: &mut Wakes) -> Option<Message> {
        while let Some(id) = self.pop_ready(wakes) {
            if let Next::Message(message) = self.next(id, wakes) {
                self.requeue(id);
                return Some(message);
            }
        }
        None
    }

    /// Claims the next unclaimed stream that has a message.
    pub(crate) fn claim_ready(&mut self, wakes: &mut Wakes) -> Option<StreamId> {
        let id = self.pop_ready(wakes)?;
        let stream = self.streams.entry(id).or_default();
        stream.send_claimed = true;
        stream.recv_claimed = true;
        Some(id)
    }

    /// The next unclaimed stream that has a message; ends before it concern nobody.
    fn pop_ready(&mut self, wakes: &mut Wakes) -> Option<StreamId> {
        while let Some(id) = self.ready.pop_front() {
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            stream.queued = false;
            if stream.is_claimed() {
                continue;
            }
            while let Peek::End = self.peek(id) {
                self.next(id, wakes);
            }
            if let Peek::Message = self.peek(id) {
                return Some(id);
            }
            self.prune(id);
        }
        None
    }

    fn requeue(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !stream.is_claimed()
            && !stream.queued
            && stream.readable
        {
            stream.queued = true;
            self.ready.push_back(id);
        }
    }

    /// Lists an unclaimed stream with a message for `recv` and `accept_stream`.
    pub(super) fn offer(&mut self, id: StreamId, wakes: &mut Wakes) {
        self.requeue(id);
        if !self.ready.is_empty() {
            wakes.add(&mut self.recv_waker);
            wakes.readable = true;
        }
    }

    /// Once nothing is left to read: whether nothing ever will be, and why.
    pub(crate) fn end_of_receiving(&self) -> Option<Result<(), CloseReason>> {
        match &self.closed {
            _ if self.peer_shutdown => Some(Ok(())),
            Some(CloseReason::Shutdown) => Some(Ok(())),
            Some(reason) => Some(Err(reason.clone())),
            None => None,
        }
    }
}

/// Claims, and their end.
impl State {
    /// The peer reset the stream: what it sent up to `last_tsn` is the end of one life.
    pub(super) fn peer_reset(&mut self, id: StreamId, last_tsn: Tsn, wakes: &mut Wakes) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.recv_claimed || stream.readable {
            if stream.ends.len() < MAX_ENDS {
                stream.ends.push_back(last_tsn);
            } else if !stream.stalled {
                stream.stalled = true;
                self.proto.stop(id);
            }
            wakes.add(&mut stream.recv_waker);
        } else {
            stream.stalled = false;
            self.prune(id);
        }
    }

    /// Claims both directions; false if either is claimed, or no direction has such a stream.
    pub(crate) fn claim(&mut self, id: StreamId) -> bool {
        let (outbound, inbound) = self.proto.streams();
        if id.0 >= outbound.max(inbound) {
            return false;
        }
        let stream = self.streams.entry(id).or_default();
        if stream.is_claimed() {
            return false;
        }
        stream.send_claimed = true;
        stream.recv_claimed = true;
        true
    }

    /// The stream of a handle, unless the handle is of an earlier incarnation.
    pub(crate) fn claimed(&mut self, id: StreamId, incarnation: u32) -> Option<&mut Stream> {
        if incarnation != self.incarnation {
            return None;
        }
        self.streams.get_mut(&id)
    }

    pub(crate) fn drop_send(&mut self, id: StreamId, incarnation: u32, wakes: &mut Wakes) {
        if let Some(stream) = self.claimed(id, incarnation) {
            stream.send_claimed = false;
            stream.send_waker = None;
            self.offer(id, wakes);
            self.prune(id);
        }
    }

    /// Gives the receiving half up. Unless its `ended` was read, what belongs to it is discarded.
    pub(crate) fn drop_recv(
        &mut self,
        id: StreamId,
        incarnation: u32,
        ended: bool,
        wakes: &mut Wakes,
    ) {
        let Some(stream) = self.claimed(id, incarnation) else {
            return;
        };
        stream.recv_claimed = false;
        stream.recv_waker = None;
        if !ended {
            if stream.ends.is_empty() {
                stream.partial = false;
                if self.closed.is_none() {
                    self.proto.stop(id);
                    self.peek(id);
                    self.wake_driver(wakes);
                }
            } else {
                stream.stalled = false;
                while !matches!(self.next(id, wakes), Next::End | Next::Empty) {}
            }
        }
        self.offer(id, wakes);
        self.prune(id);
    }

    /// Gives both halves up without discarding; false, and nothing happens, if something is unread.
    pub(crate) fn release(&mut self, id: StreamId, incarnation: u32, wakes: &mut Wakes) -> bool {
        if incarnation != self.incarnation {
            return true;
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return true;
        };
        if stream.partial || !matches!(self.peek(id), Peek::Nothing) {
            return false;
        }
        let stream = self.streams.entry(id).or_default();
        stream.send_claimed = false;
        stream.recv_claimed = false;
        stream.recv_waker = None;
        stream.send_waker = None;
        self.offer(id, wakes);
        self.prune(id);
        true
    }

    pub(super) fn prune(&mut self, id: StreamId) {
        if self.streams.get(&id).is_some_and(Stream::is_idle) {
            self.streams.remove(&id);
        }
    }
}
