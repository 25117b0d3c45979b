//! DATA and I-DATA chunks to messages, within one receive window.

#[cfg(any(test, feature = "internals"))]
mod audit;
mod promise;
mod skip;
mod window;

use std::collections::BTreeMap;

pub use self::skip::Skipped;
use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::{
    fragments::{Key, Read, Run, Runs},
    stall::Stalls,
    store::{Id, List, Store, cost},
    stream::{Partial, Readiness, Stream},
};
use crate::{
    config::AssociationConfig,
    ids::{Ppid, StreamId, Tsn},
    message::{Message, MessageData, NextMessage},
    serial::before32,
};

/// One chunk with user data, its TSN known to be new.
#[derive(Debug)]
pub struct RxChunk {
    pub tsn: Tsn,
    pub stream: StreamId,
    pub unordered: bool,
    pub begin: bool,
    pub end: bool,
    /// SSN (DATA) or MID (I-DATA).
    pub seq: u32,
    /// FSN (I-DATA without B bit).
    pub fsn: u32,
    /// Means something with the B bit only.
    pub ppid: Ppid,
    /// The user data, a slice of the datagram.
    pub payload: Bytes,
    /// Size of the buffer that `payload` keeps from being freed: that of the datagram or, if that
    /// is a slice itself, of what it is a slice of.
    pub buffer: u32,
    /// The TSN is the one after the cumulative TSN, which will advance by this chunk.
    pub cumulative: bool,
}

/// Why a chunk was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RxError {
    /// It does not fit the window: to be dropped, and not to be acknowledged. An honest peer runs
    /// into this when its chunks are so small that the overhead outweighs them.
    NoRoom,
    /// The peer contradicts itself: to be answered with ABORT, Protocol Violation.
    Violation(&'static str),
}

/// Parts of a byte: fine enough that rounding does not show in the average of tiny payloads.
const UNIT: u64 = 1024;

/// Holds what cannot be delivered yet, or was not read yet.
///
/// Every method is O(log chunks) for each chunk that it takes or gives, and a message in order that
/// is one chunk costs one look-up of its stream each way and no allocation.
#[derive(Debug)]
pub struct Reassembly {
    window: usize,
    /// What may be held before the endpoint's limits are reached.
    ceiling: usize,
    /// Room that a full packet needs, or an eighth of a window of only a few.
    packet: usize,
    inbound_streams: u16,
    interleaving: bool,
    streams: FxHashMap<StreamId, Stream>,
    store: Store,
    runs: Runs,
    /// Ordered messages that have their first fragment and wait for earlier ones, by stream and
    /// SSN or MID.
    waiting: BTreeMap<(StreamId, u32), Key>,
    readiness: Readiness,
    /// The stream of the last chunk that was undelivered when the cumulative TSN came to it.
    edge: StreamId,
    /// Whether the peer has ever given up messages.
    skips: bool,
    /// Usual payload of a chunk, in [`UNIT`]s: a moving average over some sixteen chunks.
    usual_payload: u64,
    /// The window is short: incomplete messages are delivered in parts.
    pressure: bool,
    /// A chunk was refused, and nothing was freed since.
    refused: bool,
    /// Payload that the peer may still send of what it was told.
    promised: u32,
    /// The window in the last SACK.
    advertised: u32,
    stalls: Stalls,
}

/// Chunks.
impl Reassembly {
    pub fn new(config: &AssociationConfig, inbound_streams: u16, interleaving: bool) -> Self {
        let window = config.receive_window as usize;
        Self {
            window,
            ceiling: usize::MAX,
            packet: usize::from(config.path_mtu).min(window / 8),
            inbound_streams,
            interleaving,
            streams: FxHashMap::default(),
            store: Store::default(),
            runs: Runs::new(interleaving),
            waiting: BTreeMap::new(),
            readiness: Readiness::default(),
            edge: StreamId(0),
            skips: false,
            usual_payload: UNIT * u64::from(config.path_mtu),
            pressure: false,
            refused: false,
            promised: config.receive_window,
            advertised: config.receive_window,
            stalls: Stalls::new(config.stall_timeout, window),
        }
    }

    /// The peer may use more streams than before.
    pub fn set_inbound_streams(&mut self, streams: u16) {
        self.inbound_streams = streams;
    }

    /// Whether the peer may use this stream. What comes on another is acknowledged, answered with
    /// ERROR, Invalid Stream Identifier, and discarded (§6.5); `insert` does the last.
    pub fn is_valid(&self, stream: StreamId) -> bool {
        stream.0 < self.inbound_streams
    }

    /// Whether a chunk with this much user data is taken: it fits, and is within what was promised
    /// or does not need the room of the last packet. If not, what is incomplete is offered for
    /// partial delivery from now on; the caller may `renege` and ask again.
    ///
    /// Whatever its size, one chunk is taken when nothing is held: the largest that an honest peer
    /// sends may exceed a small window.
    pub fn has_room(&mut self, stream: StreamId, payload: usize) -> bool {
        let free = self.free();
        let promised = free >= self.packet || payload <= self.promised as usize;
        if (promised && free >= cost(payload)) || self.held() == 0 {
            return true;
        }
        if !self.is_valid(stream) || self.is_discarding(stream) {
            return true;
        }
        self.refused = true;
        if !self.pressure {
            self.pressure = true;
            self.offer_all();
        }
        false
    }

    /// Takes a chunk whose TSN is new. On an error nothing changes.
    pub fn insert(&mut self, chunk: RxChunk) -> Result<(), RxError> {
        let id = chunk.stream;
        if !self.has_room(id, chunk.payload.len()) {
            return Err(RxError::NoRoom);
        }
        if !self.is_valid(id) {
            return Ok(());
        }
        let stream = self.streams.entry(id).or_default();
        if stream.discarding {
            return Ok(());
        }
        if self.skips && self.interleaving && skip::is_late(stream, chunk.unordered, chunk.seq) {
            return Ok(());
        }
        let payload = chunk.payload.len() as u32;
        let key = Key::new(&chunk, self.interleaving);
        let joins = self.runs.admit(key, &chunk).map_err(RxError::Violation)?;
        let RxChunk {
            unordered,
            begin,
            end,
            seq,
            cumulative,
            tsn,
            ..
        } = chunk;
        if !unordered && begin {
            let begun = if seq == stream.next {
                stream.head.is_some()
            } else {
                !self.waiting.is_empty() && self.waiting.contains_key(&(id, seq))
            };
            if begun {
                return Err(RxError::Violation("two messages with one sequence number"));
            }
        }
        if !unordered && self.interleaving && before32(seq, stream.next) {
            return Err(RxError::Violation("message identifier used before"));
        }
        self.promised = self.promised.saturating_sub(payload);
        self.usual_payload -= self.usual_payload / 16;
        self.usual_payload += UNIT / 16 * u64::from(payload);
        self.stalls.charge(id, stream, cost(chunk.payload.len()));
        let node = self.store.insert(chunk, key);
        //= RFC 9260 §6.6
        //# Within a stream, an endpoint MUST deliver DATA chunks received with the U flag set to 0
        //# to the upper layer according to the order of their Stream Sequence Number.
        //= RFC 9260 §6.6
        //# If DATA chunks arrive out of order of their Stream Sequence Number, the endpoint MUST
        //# hold the received DATA chunks from delivery to the ULP until they are reordered.
        //= RFC 9260 §3.3.1
        //# After reassembly (if necessary), unordered DATA chunks MUST be dispatched to the upper
        //# layer by the receiver without any attempt to reorder.
        if begin && end && !stream.is_locked() && (unordered || seq == stream.next) {
            stream.ready = self.store.join(stream.ready, List::one(node));
            self.readiness.announce(id, stream);
            if !unordered {
                stream.next = successor(seq, self.interleaving);
                if !self.waiting.is_empty() {
                    self.follow(id);
                }
            }
        } else {
            let run = self.runs.place(joins, node, &mut self.store);
            if !cumulative {
                self.store.raise(node);
            }
            if begin && !unordered {
                if seq == stream.next {
                    stream.head = Some(run);
                } else {
                    self.waiting.insert((id, seq), run);
                }
            }
            self.extended(id, run);
            if cumulative {
                self.settled(node, tsn);
            }
        }
        self.watch_pressure();
        Ok(())
    }

    /// The cumulative TSN advanced to `cumulative`: what it passed is not reneged any more, and may
    /// be delivered in part. To be called after each insert for which it advanced; work is bounded
    /// by the chunks it passed.
    pub fn on_cumulative(&mut self, cumulative: Tsn) {
        while let Some(id) = self.store.settle_one(cumulative) {
            self.settled(id, cumulative);
        }
    }

    /// Gives up the undeliverable chunk with the highest TSN, if that is after `than`, to make room
    /// for one that is lower; returns its TSN, for the caller to take from the [`TsnMap`].
    ///
    /// [`TsnMap`]: super::TsnMap
    //= RFC 9260 §6.2
    //# Also, if the new incoming DATA chunk holds a TSN value less than the largest TSN received so
    //# far, then the receiver SHOULD drop the largest TSN held for reordering and accept the new
    //# incoming DATA chunk.
    pub fn renege(&mut self, cumulative: Tsn, than: Tsn) -> Option<Tsn> {
        let id = self.store.highest_above(cumulative)?;
        if !than.before(self.store.get(id).tsn) {
            return None;
        }
        let chunk = self.runs.extract(id, &mut self.store);
        if chunk.begin && !chunk.unordered {
            self.waiting.remove(&(chunk.stream, chunk.seq));
            if let Some(stream) = self.streams.get_mut(&chunk.stream)
                && stream.next == chunk.seq
            {
                stream.head = None;
            }
        }
        //= RFC 9260 §6.2
        //# In addition, the endpoint SHOULD take into account the dropped data when calculating its
        //# a_rwnd.
        self.release(chunk.stream, cost(chunk.payload.len()));
        Some(chunk.tsn)
    }

    /// End of a receive batch: copies each payload that came since the last call, is still held
    /// and takes less than half of the buffer that it slices.
    ///
    /// So the buffers pinned are at most twice what is counted, however little of each is left.
    /// The rule looks at each chunk alone: chunks that share a buffer are read at different times,
    /// and the last of them would pin it all. What is read within its batch is never copied.
    pub fn compact(&mut self) {
        self.store.compact();
    }
}

/// Messages.
impl Reassembly {
    /// A stream that became readable; given once until `recv` has found it empty. It may be empty
    /// at once, if it was readable only for a message in parts and the window has opened since.
    pub fn poll_readable(&mut self) -> Option<StreamId> {
        while let Some(id) = self.readiness.next_edge() {
            if self.streams.get_mut(&id).is_some_and(Readiness::take_edge) {
                return Some(id);
            }
        }
        None
    }

    /// The next message of a stream, or the next part of one.
    pub fn recv(&mut self, id: StreamId) -> Option<Message> {
        let stream = self.streams.get_mut(&id)?;
        let taken = match stream.partial {
            Partial::Begun(key) => take_part(id, stream, key, &mut self.runs, &mut self.store),
            Partial::Aborted(read) => {
                stream.partial = Partial::None;
                Some((aborted(id, read), 0))
            }
            _ if !stream.ready.is_empty() => take_message(id, stream, &mut self.store),
            Partial::Offered(key) if self.pressure => {
                take_part(id, stream, key, &mut self.runs, &mut self.store)
            }
            Partial::Offered(_) | Partial::None => None,
        };
        let Some((message, freed)) = taken else {
            Readiness::exhausted(stream);
            return None;
        };
        self.stalls.release(id, stream, freed);
        self.stalls.read(id);
        self.relieved();
        if message.aborted {
            self.offer_more(id);
        }
        Some(message)
    }

    /// The TSN that what `recv` would return next begins with.
    pub fn next_tsn(&self, id: StreamId) -> Option<Tsn> {
        self.first_tsn(self.streams.get(&id)?)
    }

    /// What `recv` would return next. O(fragments of the message).
    pub fn next_message(&self, id: StreamId) -> Option<NextMessage> {
        let stream = self.streams.get(&id)?;
        let part = |key| {
            let run = self.runs.get(key)?;
            let (len, _) = self
                .store
                .extent(run.list.first()?, |chunk| chunk.is_above());
            (len > 0).then_some((run.list.first()?, run.ppid, len, false))
        };
        let (first, ppid, len, complete) = match (stream.partial, stream.ready.first()) {
            (Partial::Begun(key), _) => part(key)?,
            (Partial::Aborted(read), _) => {
                return Some(NextMessage {
                    ppid: read.ppid,
                    unordered: read.unordered,
                    tsn: read.tsn,
                    len: 0,
                    complete: false,
                });
            }
            (_, Some(first)) => {
                let (len, end) = self.store.extent(first, |_| false);
                (first, self.store.get(first).ppid, len, end)
            }
            (Partial::Offered(key), _) if self.pressure => part(key)?,
            (Partial::Offered(_) | Partial::None, None) => return None,
        };
        let first = self.store.get(first);
        Some(NextMessage {
            ppid,
            unordered: first.unordered,
            tsn: first.tsn,
            len,
            complete,
        })
    }

    /// Chunks held.
    pub fn chunks(&self) -> usize {
        self.store.count()
    }

    /// The next message, or part of one, of any stream: one from each that has something, in turn,
    /// so that a busy stream does not starve the others.
    pub fn recv_any(&mut self) -> Option<Message> {
        while let Some(id) = self.readiness.next_turn() {
            if let Some(stream) = self.streams.get_mut(&id) {
                Readiness::take_turn(stream);
            }
            let Some(message) = self.recv(id) else {
                continue;
            };
            let more = self
                .streams
                .get(&id)
                .is_some_and(|stream| self.is_readable(stream));
            if let Some(stream) = self.streams.get_mut(&id) {
                if more {
                    self.readiness.announce(id, stream);
                } else {
                    Readiness::exhausted(stream);
                }
            }
            return Some(message);
        }
        None
    }
}

/// The end of a message that the peer gave up after some of it was read.
fn aborted(id: StreamId, read: Read) -> Message {
    Message {
        stream: id,
        ppid: read.ppid,
        unordered: read.unordered,
        seq: read.seq,
        tsn: read.tsn,
        complete: false,
        aborted: true,
        data: MessageData::default(),
    }
}

/// Takes the next complete message; returns it with what it had counted.
fn take_message(id: StreamId, stream: &mut Stream, store: &mut Store) -> Option<(Message, usize)> {
    let first = store.pop_front(&mut stream.ready)?;
    let mut freed = cost(first.payload.len());
    let mut message = Message {
        stream: id,
        ppid: first.ppid,
        unordered: first.unordered,
        seq: first.seq,
        tsn: first.tsn,
        complete: true,
        aborted: false,
        data: first.payload.into(),
    };
    let mut end = first.end;
    while !end && let Some(chunk) = store.pop_front(&mut stream.ready) {
        freed += cost(chunk.payload.len());
        message.data.push(chunk.payload);
        message.tsn = chunk.tsn;
        end = chunk.end;
    }
    Some((message, freed))
}

/// Takes what there is of an incomplete message; returns it with what it had counted.
fn take_part(
    id: StreamId,
    stream: &mut Stream,
    key: Key,
    runs: &mut Runs,
    store: &mut Store,
) -> Option<(Message, usize)> {
    let (mut part, mut freed) = (None::<Message>, 0);
    let next = runs.consume(key, store, |chunk, ppid| {
        freed += cost(chunk.payload.len());
        let part = part.get_or_insert_with(|| Message {
            stream: id,
            ppid,
            unordered: chunk.unordered,
            seq: chunk.seq,
            tsn: chunk.tsn,
            complete: false,
            aborted: false,
            data: MessageData::default(),
        });
        part.tsn = chunk.tsn;
        part.data.push(chunk.payload);
    });
    let part = part?;
    stream.partial = Partial::Begun(next);
    for place in [&mut stream.head, &mut stream.loose] {
        if *place == Some(key) {
            *place = Some(next);
        }
    }
    Some((part, freed))
}

/// How fragments become messages.
impl Reassembly {
    /// A run grew: if it is a whole message whose turn it is, it becomes readable, and so may those
    /// that waited for it.
    ///
    /// Nothing comes between the parts of a message that is delivered in parts, and nothing becomes
    /// readable that would have to wait for its end: it could neither be read nor be reneged.
    fn extended(&mut self, id: StreamId, key: Key) {
        let (Some(run), Some(stream)) = (self.runs.get(key), self.streams.get(&id)) else {
            return;
        };
        let was_locked = stream.is_locked();
        if !run.is_complete() || (was_locked && stream.partial != Partial::Begun(key)) {
            return;
        }
        if run.unordered {
            self.deliver(id, key);
        } else if run.seq == stream.next {
            self.deliver_next(id, key);
        }
        if was_locked {
            self.unlocked(id);
        }
    }

    /// A message that was delivered in parts has come to its end: on to those that became complete
    /// meanwhile.
    fn unlocked(&mut self, id: StreamId) {
        let head = self.streams.get(&id).and_then(|stream| stream.head);
        if let Some(key) = head
            && self.runs.get(key).is_some_and(Run::is_complete)
        {
            self.deliver_next(id, key);
        }
        for key in self.runs.complete_unordered(id) {
            self.deliver(id, key);
        }
    }

    /// Moves a complete message behind those that can be read.
    fn deliver(&mut self, id: StreamId, key: Key) {
        let (Some(run), Some(stream)) = (self.runs.remove(key), self.streams.get_mut(&id)) else {
            return;
        };
        self.store.settle_list(run.list);
        if let Some(first) = run.list.first() {
            self.store.set_ppid(first, run.ppid);
        }
        if stream.loose == Some(key) {
            stream.loose = None;
        }
        let locked = stream.is_locked();
        if stream.partial.key() == Some(key) {
            stream.partial = Partial::None;
        }
        stream.ready = if locked && !stream.is_locked() {
            // The end of what was read in part, before what the peer's skipping has made readable.
            self.store.join(run.list, stream.ready)
        } else {
            self.store.join(stream.ready, run.list)
        };
        self.readiness.announce(id, stream);
    }

    /// Delivers the complete message `next` of the stream, and those that waited for it.
    fn deliver_next(&mut self, id: StreamId, key: Key) {
        self.deliver(id, key);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.head = None;
            stream.next = successor(stream.next, self.interleaving);
            self.follow(id);
        }
    }

    /// Message `next` of the stream has changed: finds it among those that waited for their turn.
    fn follow(&mut self, id: StreamId) {
        while let Some(stream) = self.streams.get_mut(&id)
            && let Some(key) = self.waiting.remove(&(id, stream.next))
        {
            if !self.runs.get(key).is_some_and(Run::is_complete) {
                stream.head = Some(key);
                self.offer_more(id);
                return;
            }
            stream.next = successor(stream.next, self.interleaving);
            self.deliver(id, key);
        }
    }

    /// The cumulative TSN covers this undelivered chunk now.
    fn settled(&mut self, node: Id, cumulative: Tsn) {
        let Some(chunk) = self.store.find(node) else {
            return;
        };
        let id = chunk.stream;
        self.edge = id;
        if self.skips && !self.interleaving {
            self.drop_if_torn(node, cumulative);
        }
        let Some(chunk) = self.store.find(node) else {
            return;
        };
        if let Some(stream) = self.streams.get_mut(&id)
            && chunk.unordered
            && chunk.begin
            && stream.loose.is_none()
            && self.runs.get(chunk.key).is_some()
        {
            stream.loose = Some(chunk.key);
        }
        self.offer_more(id);
    }

    /// There may be more of a message of this stream to deliver in part.
    fn offer_more(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id)
            && (self.pressure || matches!(stream.partial, Partial::Begun(_)))
        {
            offer(id, stream, &self.runs, &self.store, &mut self.readiness);
        }
    }

    /// Whether `recv` would find something.
    fn is_readable(&self, stream: &Stream) -> bool {
        self.first_tsn(stream).is_some()
    }

    /// The first TSN of what `recv` would find.
    fn first_tsn(&self, stream: &Stream) -> Option<Tsn> {
        let deliverable = |key| self.runs.first_deliverable(key, &self.store);
        match (stream.partial, stream.ready.first()) {
            (Partial::Begun(key), _) => deliverable(key),
            (Partial::Aborted(read), _) => Some(read.tsn),
            (_, Some(first)) => Some(self.store.get(first).tsn),
            (Partial::Offered(key), _) if self.pressure => deliverable(key),
            (Partial::Offered(_) | Partial::None, None) => None,
        }
    }
}

/// The SSN or MID after this one.
const fn successor(seq: u32, interleaving: bool) -> u32 {
    let next = seq.wrapping_add(1);
    if interleaving { next } else { next & 0xFFFF }
}

/// Offers an incomplete message of the stream for partial delivery, if one has a beginning that is
/// acknowledged for good: the one begun already, else the ordered one whose turn it is, else an
/// unordered one.
//= RFC 9260 §6.9
//# If the data receiver runs out of buffer space while still waiting for more fragments to complete
//# the reassembly of the message, it SHOULD dispatch part of its inbound message through a partial
//# delivery API (see Section 11), freeing some of its receive buffer space so that the rest of the
//# message can be received.
fn offer(id: StreamId, stream: &mut Stream, runs: &Runs, store: &Store, readiness: &mut Readiness) {
    let candidates = match stream.partial {
        Partial::None => [stream.head, stream.loose],
        Partial::Offered(key) | Partial::Begun(key) => [Some(key), None],
        Partial::Aborted(_) => [None, None],
    };
    let deliverable = |&key: &Key| runs.is_deliverable(key, store);
    if let Some(key) = candidates.into_iter().flatten().find(deliverable) {
        if stream.partial == Partial::None {
            stream.partial = Partial::Offered(key);
        }
        readiness.announce(id, stream);
    }
}

#[cfg(test)]
mod tests;
