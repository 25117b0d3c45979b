//! Everything the user has sent and the peer has not acknowledged in full.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::{
    abandon::PrCounters,
    message::{FailedMessage, Fragment, Message, MessageKey, MessageSlab, Stage},
    scheduler::{Left, Scheduler},
    stream::{DEFAULT_VALUE, Room, Stream, StreamTable},
};
use crate::{
    config::{AssociationConfig, SchedulerKind},
    error::SendError,
    ids::{PathId, StreamId, Tsn},
    message::{Reliability, SendInfo},
    scheduler::StreamScheduler,
    time::Instant,
};

/// Fragments are multiples of this, but for the last of a message: chunks then need no padding.
const ALIGNMENT: usize = 4;
/// Largest fragment: a chunk's length field has 16 bits and counts the header.
const MAX_FRAGMENT: usize = u16::MAX as usize - 63;
/// A message that has to be fragmented anyway is cut to fill what is left of a packet when that
/// is at least 1/4 of a packet; below that, headers cost more than the room is worth.
const MIN_FRAGMENT_SHARE: usize = 4;

/// Messages queued and outstanding, their streams, and the scheduler that chooses between these.
///
/// Exists before the peer is known: messages wait in it during the handshake. All operations are
/// O(1), or O(log n) in streams with work, unless said otherwise.
#[derive(Debug)]
pub struct SendQueue {
    pub(super) messages: MessageSlab,
    pub(super) streams: StreamTable,
    pub(super) scheduler: Scheduler,
    outbound_streams: u16,
    interleaving: bool,
    /// No stream takes messages.
    held: bool,

    /// Bytes of all messages.
    pub(super) buffered: usize,
    /// Of these, bytes not handed out.
    pub(super) unsent: usize,
    pub(super) buffer_limit: usize,
    /// Bytes that may be buffered before the endpoint's limits are reached; a message is taken all
    /// the same if it is the only one.
    pub(super) ceiling: usize,
    pub(super) stream_limit: usize,
    /// A message found the buffer full: nobody is admitted until no more than this many bytes are
    /// left, so that late-comers do not take the room from those who wait for it.
    pub(super) full_until: Option<usize>,
    /// Streams to tell `Writable`, in turn.
    ready: VecDeque<StreamId>,

    pub(super) failed: VecDeque<FailedMessage>,
    /// Steps that messages have taken whose user wants to know.
    stages: VecDeque<Stage>,
    pub(super) default_reliability: Reliability,
    /// Whether what was sent in part can be given up: the peer can be told.
    pub(super) partial: bool,
    /// Messages that make room for others (RFC 7496 §4.2), by priority number and order.
    pub(super) discardable: BTreeMap<(u32, u64), MessageKey>,
    /// Given up after a part was sent, and not made known to `Outstanding` yet.
    pub(super) given_up: Vec<MessageKey>,
    pub(super) pr_status: PrCounters,
    /// Room that was left in the packet after the last fragment: more than that, and it is
    /// another packet.
    packet_room: usize,
    pushed: u64,
    /// Whether a message has ever asked for a path.
    pinned: bool,
}

impl SendQueue {
    pub fn new(config: &AssociationConfig) -> Self {
        Self {
            messages: MessageSlab::default(),
            streams: StreamTable::default(),
            scheduler: Scheduler::new(
                config.scheduler,
                config.custom_scheduler.as_ref().map(|make| (make.0)()),
            ),
            outbound_streams: config.outbound_streams,
            interleaving: false,
            held: false,
            buffered: 0,
            unsent: 0,
            //= RFC 9260 §6.1
            //# The data sender MUST NOT use a TSN that is more than 2^31 - 1 above the beginning TSN
            //# of the current send window.
            // Every TSN in the window carries at least one byte of the buffer.
            buffer_limit: config.send_buffer.min(i32::MAX as usize),
            ceiling: usize::MAX,
            stream_limit: config.stream_send_buffer,
            full_until: None,
            ready: VecDeque::new(),
            failed: VecDeque::new(),
            stages: VecDeque::new(),
            default_reliability: config.default_reliability,
            partial: false,
            discardable: BTreeMap::new(),
            given_up: Vec::new(),
            pr_status: PrCounters::default(),
            packet_room: 0,
            pushed: 0,
            pinned: false,
        }
    }

    /// The result of the handshake: how many streams there are, and whether chunks are I-DATA.
    /// Returns the messages queued for streams the peer refused, in order of `push`.
    pub fn negotiated(&mut self, outbound_streams: u16, interleaving: bool) -> Vec<FailedMessage> {
        self.outbound_streams = outbound_streams;
        self.interleaving = interleaving;
        self.partial = false;
        self.scheduler.set_interleaving(interleaving);
        let refused: Vec<_> = (self.streams.iter_mut())
            .filter(|(id, stream)| id.0 >= outbound_streams && stream.head.is_some())
            .map(|(id, _)| id)
            .collect();
        let mut failed: Vec<_> = (refused.into_iter())
            .flat_map(|id| self.take_unsent(id))
            .collect();
        failed.sort_unstable_by_key(|message| message.order);
        failed.into_iter().map(Message::failed).collect()
    }

    /// Queues a message.
    ///
    /// `Blocked` gives it back when the send buffer or the stream's share of it has no room; the
    /// stream is then told by [`poll_writable`](Self::poll_writable) once half of it is free.
    pub fn push(
        &mut self,
        now: Instant,
        id: StreamId,
        data: Bytes,
        info: SendInfo,
    ) -> Result<(), SendError> {
        if data.is_empty() {
            //= RFC 9260 §6.2
            //# An endpoint SHOULD NOT send a DATA chunk with no user data part.
            //= RFC 9260 §3.3.1
            //# A DATA chunk with a User Data field of length L will have the Length field set to
            //# (16 + L) (indicating 16 + L bytes) where L MUST be greater than 0.
            return Err(SendError::Empty);
        }
        if data.len() > self.buffer_limit {
            return Err(SendError::TooLarge {
                max: self.buffer_limit,
            });
        }
        if id.0 >= self.outbound_streams {
            return Err(SendError::UnknownStream(id));
        }
        let stream = self.streams.entry(id);
        if stream.held || self.held {
            return Err(SendError::StreamResetting(id));
        }
        let len = data.len();
        let reliability = info.reliability.unwrap_or(self.default_reliability);
        let stream_has_room = stream.buffered == 0 || stream.buffered + len <= self.stream_limit;
        let limit = self.buffer_limit.min(self.ceiling);
        let has_room = self.full_until.is_none()
            && (self.buffered + len <= limit || (self.buffered == 0 && len <= self.buffer_limit));
        if (!stream_has_room || !has_room) && !self.make_room(now, id, len, reliability) {
            self.block(id, len, !has_room);
            return Err(SendError::Blocked(data));
        }

        let stream = self.streams.entry(id);
        self.pushed += 1;
        self.pinned |= info.path.is_some();
        self.buffered += len;
        self.unsent += len;
        stream.buffered += len;
        let order = self.pushed;
        let key = self.messages.insert(Message {
            unacked: len as u32,
            last: Tsn::new(0),
            abandoned: false,
            kept: 0,
            data,
            stream: id,
            ppid: info.ppid,
            unordered: info.unordered,
            sack_immediately: info.sack_immediately,
            expires: match reliability {
                Reliability::Lifetime(lifetime) => Some(now + lifetime),
                _ => None,
            },
            reliability,
            context: info.context,
            tracked: info.tracked,
            path: info.path,
            seq: 0,
            sent: 0,
            fragments: 0,
            order,
            next: None,
            previous: stream.tail,
        });
        if let Reliability::Priority(number) = reliability {
            self.discardable.insert((number, order), key);
        }
        match stream.tail.replace(key) {
            Some(tail) => self.messages[tail].next = Some(key),
            None => {
                stream.head = Some(key);
                self.scheduler.join(id, stream, &self.messages[key]);
            }
        }
        Ok(())
    }

    /// A stream that was `Blocked` and has room again; each is given once, in turn.
    pub fn poll_writable(&mut self) -> Option<StreamId> {
        if self.full_until.is_some() {
            return None;
        }
        let id = self.ready.pop_front()?;
        self.streams.entry(id).room = Room::Open;
        Some(id)
    }

    /// Limits what is buffered to so many bytes: the endpoint holds much for others.
    pub fn set_ceiling(&mut self, bytes: usize) {
        self.ceiling = bytes;
    }

    /// What holding all messages costs, their bytes included.
    pub fn held(&self) -> usize {
        self.buffered + self.messages.len() * size_of::<Message>()
    }

    /// Remembers that a message of `len` bytes was refused.
    fn block(&mut self, id: StreamId, len: usize, buffer_full: bool) {
        if buffer_full {
            let low = (self.buffer_limit / 2).min(self.buffer_limit - len);
            self.full_until = Some(self.full_until.map_or(low, |until| until.min(low)));
        }
        let low = (self.stream_limit / 2).min(self.stream_limit.saturating_sub(len));
        let stream = self.streams.entry(id);
        if stream.room != Room::Ready {
            stream.room = Room::Blocked(low);
            unblock(stream, id, &mut self.ready);
        }
    }

    /// Gives back the room of a message.
    pub(super) fn free(&mut self, id: StreamId, len: usize) {
        self.buffered -= len;
        if self.full_until.is_some_and(|low| self.buffered <= low) {
            self.full_until = None;
        }
        let stream = self.streams.entry(id);
        stream.buffered -= len;
        unblock(stream, id, &mut self.ready);
    }
}

/// Puts a blocked stream in line for `Writable` if it has room again.
fn unblock(stream: &mut Stream, id: StreamId, ready: &mut VecDeque<StreamId>) {
    if let Room::Blocked(low) = stream.room
        && stream.buffered <= low
    {
        stream.room = Room::Ready;
        ready.push_back(id);
    }
}

impl SendQueue {
    /// What to send next in a chunk with `room` bytes of user data, where a packet of its own
    /// would offer `full` (not less than `room`). `None`: nothing for this packet; another packet
    /// may get something while [`has_unsent`](Self::has_unsent).
    ///
    /// SSN or MID are given here, when the first fragment leaves. Messages whose lifetime ended
    /// before that are skipped and come out of [`poll_failed`](Self::poll_failed); so are those of
    /// which a part has left, if the peer can be told ([`settle`](super::Outstanding::settle) is due then). With DATA the
    /// fragments of a message come one after the other, since their TSNs must be consecutive
    /// (§6.9); with I-DATA the scheduler may switch streams after each.
    pub fn next_fragment(&mut self, now: Instant, room: usize, full: usize) -> Option<Fragment> {
        let new_packet = room == full || room > self.packet_room;
        // Whoever gets nothing closes the packet.
        self.packet_room = 0;
        loop {
            let id = self.scheduler.choose(new_packet)?;
            let stream = self.streams.entry(id);
            let Some(key) = stream.head else {
                self.scheduler.step(stream, 0, Left::Nothing);
                continue;
            };
            let message = &mut self.messages[key];
            let begin = message.sent == 0;
            //= RFC 3758 §4.1
            //# Before assigning a TSN to any message, the SCTP sender MUST evaluate the lifetime of
            //# that message. If it is expired, the SCTP sender MUST NOT assign a TSN to that
            //# message, but instead, SHOULD issue a notification to the upper layer and abandon the
            //# message.
            //= RFC 3758 §4.1
            //# Before transmitting or retransmitting a message for which a TSN is already assigned,
            //# the SCTP sender MUST evaluate the lifetime of the message.
            if message.expires.is_some_and(|at| at <= now) && (begin || self.partial) {
                self.give_up(key);
                continue;
            }
            if begin && !self.interleaving && !message.unordered && stream.ssn_exhausted() {
                // `acked` puts it back.
                self.scheduler.step(stream, 0, Left::Nothing);
                continue;
            }
            //= RFC 9260 §6
            //# When converting user messages into DATA chunks, an endpoint MUST fragment large user
            //# messages into multiple DATA chunks.
            //= RFC 9260 §6.9
            //# The data sender MUST break the user message into a series of DATA chunks.
            //= RFC 9260 §6.9
            //# When determining when to fragment, the SCTP implementation MUST take into account
            //# the SCTP packet header as well as the DATA chunk header(s).
            let len = fragment_len(message.unsent(), begin, room, full)?;
            if begin {
                message.seq = stream.number(message.unordered, self.interleaving);
            }
            let fragment = Fragment {
                key,
                offset: message.sent,
                len: len as u16,
                fsn: message.fragments,
                begin,
                //= RFC 9260 §6.9
                //# The transmitter MUST also set the B/E bits of the first DATA chunk in the series
                //# to 10, the B/E bits of the last DATA chunk in the series to 01, and the B/E bits
                //# of all other DATA chunks in the series to 00.
                //= RFC 9260 §3.3.1
                //# An unfragmented user message MUST have both the B and E bits set to 1.
                end: len == message.unsent(),
            };
            message.sent += len as u32;
            message.fragments += 1;
            let next = message.next;
            if fragment.end {
                if message.tracked {
                    self.stages.push_back(Stage::Sent {
                        stream: id,
                        context: message.context,
                    });
                }
                message.next = None;
                stream.head = next;
                match next {
                    Some(next) => self.messages[next].previous = None,
                    None => stream.tail = None,
                }
            }
            let left = match next {
                _ if !fragment.end => Left::Rest(&self.messages[key]),
                Some(next) => Left::Message(&self.messages[next]),
                None => Left::Nothing,
            };
            self.scheduler.step(stream, len, left);
            self.unsent -= len;
            self.packet_room = room - len;
            return Some(fragment);
        }
    }

    /// The path that the message asks for which [`next_fragment`](Self::next_fragment) would cut,
    /// for a packet that is empty (`new_packet`) or not.
    pub fn wanted_path(&mut self, new_packet: bool) -> Option<PathId> {
        if !self.pinned {
            return None;
        }
        let id = self.scheduler.choose(new_packet)?;
        let head = self.streams.entry(id).head?;
        self.messages[head].path
    }

    /// A path is gone: what asked for it asks for none, so that it does not take another that gets
    /// its id. O(messages) where any has ever asked for a path.
    pub fn forget_path(&mut self, path: PathId) {
        if self.pinned {
            let messages = self.messages.iter_mut();
            messages.for_each(|message| _ = message.path.take_if(|wanted| *wanted == path));
        }
    }

    /// The last fragment that was handed out of a message has this TSN.
    pub fn assigned(&mut self, key: MessageKey, tsn: Tsn) {
        self.messages[key].last = tsn;
    }

    /// A step that a message has taken, for the user.
    pub fn poll_stage(&mut self) -> Option<Stage> {
        self.stages.pop_front()
    }

    /// Whether [`poll_failed`](Self::poll_failed) has one.
    pub fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// A message that was given up.
    pub fn poll_failed(&mut self) -> Option<FailedMessage> {
        self.failed.pop_front()
    }

    /// A TSN with `len` bytes of a message was acknowledged cumulatively. True if these were the
    /// last of a message that was not given up; one that was is gone as well.
    pub(super) fn acked(&mut self, key: MessageKey, len: u16) -> bool {
        let message = &mut self.messages[key];
        message.unacked -= match message.abandoned {
            false => u32::from(len),
            true => 1,
        };
        if message.unacked > 0 {
            self.release_kept(key);
            return false;
        }
        let message = self.messages.remove(key);
        if !message.abandoned {
            self.not_discardable(&message);
            if message.tracked {
                self.stages.push_back(Stage::Acked {
                    stream: message.stream,
                    context: message.context,
                });
            }
        }
        if !message.unordered {
            let stream = self.streams.entry(message.stream);
            stream.ordered -= 1;
            if let Some(head) = stream.head
                && !stream.scheduled
            {
                self.scheduler
                    .join(message.stream, stream, &self.messages[head]);
            }
        }
        self.free(message.stream, message.data.len());
        !message.abandoned
    }

    /// `len` bytes of a message were acknowledged for good, and not cumulatively yet.
    pub(super) fn keep(&mut self, key: MessageKey, len: u16) {
        self.messages[key].kept += u32::from(len);
        self.release_kept(key);
    }

    /// `len` bytes that were acknowledged for good are about to be [`acked`](Self::acked).
    pub(super) fn passed(&mut self, key: MessageKey, len: u16) {
        self.messages[key].kept -= u32::from(len);
    }

    /// Gives back the room of a message that the peer has for good. It stays until its TSNs are
    /// acknowledged cumulatively, for they count.
    fn release_kept(&mut self, key: MessageKey) {
        let message = &mut self.messages[key];
        if message.kept == message.unacked && message.unsent() == 0 && !message.is_released() {
            let data = std::mem::take(&mut message.data);
            let (stream, order) = (message.stream, message.order);
            if let Reliability::Priority(number) = message.reliability {
                self.discardable.remove(&(number, order));
            }
            self.free(stream, data.len());
        }
    }

    /// The message, for the fields of its chunks. The key is of a fragment not yet acknowledged.
    pub fn message(&self, key: MessageKey) -> &Message {
        &self.messages[key]
    }

    /// The bytes of a fragment.
    pub fn payload(&self, key: MessageKey, offset: u32, len: u16) -> &[u8] {
        &self.messages[key].data[offset as usize..][..usize::from(len)]
    }

    /// Takes all messages, in order of `push`: the association has ended or begins anew. Numbering
    /// begins anew too. Keys that [`Outstanding`](super::Outstanding) holds are void after this.
    pub fn drain_all(&mut self) -> Vec<FailedMessage> {
        self.scheduler.clear();
        self.buffered = 0;
        self.unsent = 0;
        self.full_until = None;
        self.held = false;
        self.discardable.clear();
        self.given_up.clear();
        for (id, stream) in self.streams.iter_mut() {
            stream.buffered = 0;
            unblock(stream, id, &mut self.ready);
            *stream = Stream {
                room: stream.room,
                value: stream.value,
                pr_status: stream.pr_status.take(),
                ..Stream::default()
            };
        }
        // What the peer has for good has not failed.
        let failed = self.messages.take_all().into_iter();
        let failed = failed.filter(|message| !message.abandoned && !message.is_released());
        self.failed
            .drain(..)
            .chain(failed.map(Message::failed))
            .collect()
    }
}

/// How much of a message goes into a chunk with `room` bytes.
fn fragment_len(unsent: usize, begin: bool, room: usize, full: usize) -> Option<usize> {
    if unsent <= room && unsent <= MAX_FRAGMENT {
        return Some(unsent);
    }
    //= RFC 9260 §6.9
    //# If an endpoint supports fragmentation, it MUST fragment a user message if the size of the
    //# user message to be sent causes the outbound SCTP packet size to exceed the current PMTU.
    if begin && unsent <= full && full <= MAX_FRAGMENT {
        return None;
    }
    let worthwhile = room >= full / MIN_FRAGMENT_SHARE;
    let len = room.min(MAX_FRAGMENT) / ALIGNMENT * ALIGNMENT;
    (worthwhile && len > 0).then_some(len)
}

impl SendQueue {
    /// Bytes queued or outstanding.
    pub fn buffered(&self) -> usize {
        self.buffered
    }

    /// Bytes queued or outstanding on a stream.
    pub fn stream_buffered(&self, id: StreamId) -> usize {
        self.streams.get(id).map_or(0, |stream| stream.buffered)
    }

    /// Whether [`next_fragment`](Self::next_fragment) would give something for a whole packet
    /// (unless all that is left has expired).
    pub fn has_unsent(&self) -> bool {
        !self.scheduler.is_empty()
    }

    /// Bytes queued and not handed out.
    pub fn unsent_bytes(&self) -> usize {
        self.unsent
    }

    /// Whether nothing is queued and nothing outstanding.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The priority or weight of a stream.
    pub fn priority(&self, id: StreamId) -> u16 {
        self.streams
            .get(id)
            .map_or(DEFAULT_VALUE, |stream| stream.value)
    }

    /// Another scheduler from now on. A message that no other may interrupt is finished first; then
    /// the streams are ranked as if they had got their work now, in the order of their first
    /// messages. O(n log n) in streams used.
    pub fn set_scheduler(&mut self, kind: SchedulerKind, custom: Option<Box<dyn StreamScheduler>>) {
        let locked = self.scheduler.locked();
        let mut waiting: Vec<(u64, StreamId, MessageKey)> = Vec::new();
        for (id, stream) in self.streams.iter_mut() {
            stream.served = 0;
            if stream.scheduled
                && let Some(head) = stream.head
            {
                waiting.push((self.messages[head].order, id, head));
            }
        }
        waiting.sort_unstable_by_key(|&(order, ..)| order);
        self.scheduler = Scheduler::new(kind, custom);
        self.scheduler.set_interleaving(self.interleaving);
        for (_, id, head) in waiting {
            let stream = self.streams.entry(id);
            self.scheduler.join(id, stream, &self.messages[head]);
        }
        if let Some(id) = locked {
            self.scheduler.lock(id);
        }
    }

    /// Sets the priority or weight of a stream; O(n) in streams with work.
    pub fn set_priority(&mut self, id: StreamId, value: u16) {
        let stream = self.streams.entry(id);
        stream.value = value;
        if stream.scheduled
            && let Some(head) = stream.head
        {
            self.scheduler.reorder(id, stream, &self.messages[head]);
        }
    }
}

/// Stream reset (RFC 6525 §5.1.2).
impl SendQueue {
    /// The stream takes no message until [`reset_done`](Self::reset_done). What is queued on it
    /// is still sent: the reset is due once the stream is idle and all is acknowledged.
    pub fn hold(&mut self, id: StreamId) {
        self.streams.entry(id).held = true;
    }

    /// No stream takes a message until [`release`](Self::release).
    pub fn hold_all(&mut self) {
        self.held = true;
    }

    /// Streams take messages again, those that are held by themselves excepted; if all were reset,
    /// numbering begins anew.
    pub fn release(&mut self, performed: bool) {
        self.held = false;
        if performed {
            self.restart_numbering();
        }
    }

    /// Numbering of every stream begins anew. O(streams used).
    pub fn restart_numbering(&mut self) {
        for (_, stream) in self.streams.iter_mut() {
            stream.restart_numbering(self.pushed);
        }
    }

    /// Whether the number of a message means nothing any more: its stream was reset since.
    pub(super) fn is_renumbered(&self, message: &Message) -> bool {
        (self.streams.get(message.stream)).is_some_and(|stream| message.order <= stream.renumbered)
    }

    /// There are more streams than before.
    pub fn set_outbound_streams(&mut self, streams: u16) {
        self.outbound_streams = streams;
    }

    /// Whether nothing is queued unsent on the stream.
    pub fn stream_idle(&self, id: StreamId) -> bool {
        self.streams
            .get(id)
            .is_none_or(|stream| stream.head.is_none())
    }

    /// Drops the messages of a stream of which nothing was sent yet, and gives up the one in
    /// progress, if the peer can be told ([`settle`](super::Outstanding::settle) is due then); else that is
    /// completed. They come out of [`poll_failed`](Self::poll_failed).
    pub fn discard_unsent(&mut self, id: StreamId) {
        let dropped = self.take_unsent(id);
        let in_progress = self.streams.get(id).and_then(|stream| stream.head);
        if let Some(key) = in_progress.filter(|_| self.partial) {
            self.give_up(key);
        }
        self.failed.extend(dropped.into_iter().map(Message::failed));
    }

    /// The peer performed the reset, and numbering begins anew, or denied it. Either way the
    /// stream takes messages again.
    pub fn reset_done(&mut self, id: StreamId, performed: bool) {
        let stream = self.streams.entry(id);
        stream.held = false;
        if performed {
            stream.restart_numbering(self.pushed);
        }
    }

    /// Unlinks the messages of a stream nothing of which was sent.
    fn take_unsent(&mut self, id: StreamId) -> Vec<Message> {
        let mut taken = Vec::new();
        let stream = self.streams.entry(id);
        let mut next = stream.head;
        if let Some(head) = stream.head
            && self.messages[head].sent > 0
        {
            next = self.messages[head].next.take();
            stream.tail = Some(head);
        } else {
            stream.head = None;
            stream.tail = None;
            if stream.scheduled {
                self.scheduler.remove(id, stream);
            }
        }
        while let Some(key) = next {
            let message = self.messages.remove(key);
            next = message.next;
            self.not_discardable(&message);
            self.unsent -= message.data.len();
            self.free(id, message.data.len());
            taken.push(message);
        }
        taken
    }
}

#[cfg(test)]
mod tests;
