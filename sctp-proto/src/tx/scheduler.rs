//! Which stream sends next (RFC 8260 §3).
//!
//! All schedulers are one heap of the streams that have work, lowest rank first; the kind
//! decides only what the rank is, or a scheduler that the user brings along. The stream being served is kept beside the heap and compared
//! with its top at the end of each turn, so that a lone stream costs no heap operation, and any
//! number of them O(log n) per turn.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{message::Message, stream::Stream};
use crate::{
    config::SchedulerKind,
    ids::StreamId,
    scheduler::{StreamScheduler, Turn, Waiting},
};

/// Bits of fraction in virtual time. With them one byte on the largest weight still counts for
/// its 1/64, and 2^54 bytes pass before virtual time saturates (streams then take turns).
const FRACTION_BITS: u32 = 10;

#[derive(Debug)]
pub(super) struct Scheduler {
    /// With a `custom` one: the kind whose turns are as long.
    kind: SchedulerKind,
    custom: Option<Box<dyn StreamScheduler>>,
    /// Whether another stream may send in the middle of a message (I-DATA).
    interleaving: bool,
    waiting: BinaryHeap<Reverse<Entry>>,
    current: Option<Current>,
    /// The packet being filled; kept for round robin per packet only.
    packet: Option<Packet>,
    /// Turns given out, the tie-break among equals: who waits longest is next.
    turns: u64,
    /// Virtual time: where a stream that gets work after a pause begins.
    clock: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    key: u64,
    turn: u64,
    stream: StreamId,
}

#[derive(Debug)]
struct Current {
    entry: Entry,
    /// In the middle of a message that no other may interrupt.
    locked: bool,
}

/// A packet being filled with chunks of one stream.
#[derive(Debug, Clone, Copy)]
struct Packet {
    stream: StreamId,
    /// It begins in the middle of a message that nobody may interrupt.
    continues: bool,
}

/// What a stream has left after a step.
#[derive(Debug, Clone, Copy)]
pub(super) enum Left<'a> {
    /// The rest of the same message.
    Rest(&'a Message),
    /// Another message.
    Message(&'a Message),
    Nothing,
}

impl Scheduler {
    pub(super) fn new(kind: SchedulerKind, custom: Option<Box<dyn StreamScheduler>>) -> Self {
        let turn = custom.as_ref().map(|custom| custom.turn());
        Self {
            kind: match turn {
                None => kind,
                Some(Turn::Message) => SchedulerKind::RoundRobinPerMessage,
                Some(Turn::Chunk) => SchedulerKind::RoundRobin,
                Some(Turn::Packet) => SchedulerKind::RoundRobinPerPacket,
            },
            custom,
            interleaving: false,
            waiting: BinaryHeap::new(),
            current: None,
            packet: None,
            turns: 0,
            clock: 0,
        }
    }

    pub(super) fn set_interleaving(&mut self, on: bool) {
        self.interleaving = on;
    }

    /// Whether no stream has work.
    pub(super) fn is_empty(&self) -> bool {
        self.current.is_none() && self.waiting.is_empty()
    }

    /// A stream gets work: this message is its first.
    pub(super) fn join(&mut self, id: StreamId, stream: &mut Stream, message: &Message) {
        stream.scheduled = true;
        stream.served = stream.served.max(self.clock);
        let entry = self.rank(id, stream, message);
        self.waiting.push(Reverse(entry));
    }

    /// The stream to serve now. `new_packet` says that nothing was put into the packet yet.
    /// Stable: until [`step`](Self::step) or [`join`](Self::join) the answer stays the same.
    pub(super) fn choose(&mut self, new_packet: bool) -> Option<StreamId> {
        let per_packet = self.kind == SchedulerKind::RoundRobinPerPacket;
        if per_packet && !new_packet {
            return self
                .packet
                .filter(|&packet| self.fills(packet))
                .map(|packet| packet.stream);
        }
        let continues = self.current.as_ref().is_some_and(|current| current.locked);
        match &mut self.current {
            None => {
                let Reverse(entry) = self.waiting.pop()?;
                self.current = Some(Current {
                    entry,
                    locked: false,
                });
            }
            Some(current) if !current.locked => {
                if let Some(mut top) = self.waiting.peek_mut()
                    && top.0 < current.entry
                {
                    std::mem::swap(&mut top.0, &mut current.entry);
                }
            }
            Some(_) => {}
        }
        let chosen = self.current.as_ref().map(|current| current.entry.stream);
        if per_packet {
            self.packet = chosen.map(|stream| Packet { stream, continues });
        }
        chosen
    }

    /// The stream that [`choose`](Self::choose) gave was served `sent` bytes (none if it had
    /// nothing worth sending) and has this left.
    pub(super) fn step(&mut self, stream: &mut Stream, sent: usize, left: Left<'_>) {
        let Some(mut current) = self.current.take() else {
            return;
        };
        // The clock stands still within a message: who comes while a long one of a light stream is
        // on its way is not put behind all that others do in the meantime.
        if !current.locked {
            self.clock = self.clock.max(stream.served);
        }
        self.charge(stream, sent);
        if let Some(custom) = &mut self.custom
            && sent > 0
        {
            custom.on_sent(current.entry.stream, sent);
        }
        let message = match left {
            Left::Nothing => {
                stream.scheduled = false;
                return;
            }
            Left::Rest(_) if !self.interleaving || self.is_by_message() => {
                current.locked = true;
                self.current = Some(current);
                return;
            }
            Left::Rest(message) | Left::Message(message) => message,
        };
        self.current = Some(Current {
            entry: self.rank(current.entry.stream, stream, message),
            locked: false,
        });
    }

    /// Priority or weight of the stream changed, or its first message, which is this one.
    pub(super) fn reorder(&mut self, id: StreamId, stream: &Stream, message: &Message) {
        let entry = self.rank(id, stream, message);
        match &mut self.current {
            Some(current) if current.entry.stream == id => current.entry = entry,
            _ => {
                self.waiting.retain(|waiting| waiting.0.stream != id);
                self.waiting.push(Reverse(entry));
            }
        }
    }

    /// The first message of a stream is gone other than by being sent; this is the next one.
    /// Whatever was not to be interrupted is over. O(n) for a stream that is not being served and
    /// whose turn depends on its message, else O(1).
    pub(super) fn replaced(&mut self, id: StreamId, stream: &mut Stream, message: &Message) {
        if self.serves(id) {
            let entry = self.rank(id, stream, message);
            self.current = Some(Current {
                entry,
                locked: false,
            });
        } else if self.kind == SchedulerKind::FirstComeFirstServed || self.custom.is_some() {
            self.reorder(id, stream, message);
        }
    }

    /// The stream has no work any more, other than by being served. O(n).
    pub(super) fn remove(&mut self, id: StreamId, stream: &mut Stream) {
        stream.scheduled = false;
        if self.serves(id) {
            self.current = None;
        } else {
            self.waiting.retain(|waiting| waiting.0.stream != id);
        }
    }

    /// No stream has work any more.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.current = None;
        self.packet = None;
    }

    /// Whether a message once begun is finished first, even if it could be interrupted.
    fn is_by_message(&self) -> bool {
        matches!(
            self.kind,
            SchedulerKind::FirstComeFirstServed | SchedulerKind::RoundRobinPerMessage
        )
    }

    /// Whether more of its stream goes into a packet. After the end of a message from earlier
    /// packets that would be another turn: one message after the other, each begun in the packet
    /// where the one before it ends, would keep all others waiting for good.
    fn fills(&self, packet: Packet) -> bool {
        self.current.as_ref().is_some_and(|current| {
            current.entry.stream == packet.stream
                && (current.locked || !packet.continues || self.waiting.is_empty())
        })
    }

    fn serves(&self, id: StreamId) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| current.entry.stream == id)
    }

    /// The stream in the middle of a message that no other may interrupt.
    pub(super) fn locked(&self) -> Option<StreamId> {
        let current = self.current.as_ref().filter(|current| current.locked);
        current.map(|current| current.entry.stream)
    }

    /// A stream that has joined is in the middle of such a message. O(n).
    pub(super) fn lock(&mut self, id: StreamId) {
        let found = self.waiting.iter().find(|waiting| waiting.0.stream == id);
        let Some(&Reverse(entry)) = found else {
            return;
        };
        self.waiting.retain(|waiting| waiting.0.stream != id);
        self.current = Some(Current {
            entry,
            locked: true,
        });
    }

    fn rank(&mut self, id: StreamId, stream: &Stream, message: &Message) -> Entry {
        self.turns += 1;
        if let Some(custom) = &mut self.custom {
            return Entry {
                key: custom.rank(&Waiting {
                    stream: id,
                    value: stream.value,
                    order: message.order,
                    len: message.data.len(),
                    unsent: message.unsent(),
                    ppid: message.ppid,
                    unordered: message.unordered,
                    expires: message.expires,
                }),
                turn: self.turns,
                stream: id,
            };
        }
        let key = match self.kind {
            SchedulerKind::FirstComeFirstServed => message.order,
            SchedulerKind::RoundRobin
            | SchedulerKind::RoundRobinPerMessage
            | SchedulerKind::RoundRobinPerPacket => 0,
            SchedulerKind::Priority => u64::from(stream.value),
            SchedulerKind::FairBandwidth | SchedulerKind::WeightedFairQueueing => stream.served,
        };
        Entry {
            key,
            turn: self.turns,
            stream: id,
        }
    }

    /// Start-time fair queueing: the clock is where the turn in service began, and each byte moves
    /// the stream on by the inverse of its weight.
    fn charge(&mut self, stream: &mut Stream, sent: usize) {
        let weight = match self.kind {
            SchedulerKind::WeightedFairQueueing => u64::from(stream.value.max(1)),
            SchedulerKind::FairBandwidth => 1,
            _ => return,
        };
        let cost = ((sent as u64) << FRACTION_BITS) / weight;
        stream.served = stream.served.saturating_add(cost);
    }
}

#[cfg(test)]
mod tests;
