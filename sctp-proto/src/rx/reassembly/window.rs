//! What is held: how much of it the peer is told, and how it is let go unread.

use std::{collections::hash_map::Entry, mem::take};

use super::{
    super::{
        stall::{Expired, Usage},
        store::CHUNK_OVERHEAD,
        stream::Partial,
    },
    Reassembly, UNIT, offer,
};
use crate::{ids::StreamId, time::Instant};

/// The window.
impl Reassembly {
    /// Bytes that count against the window.
    pub fn held(&self) -> usize {
        self.store.held()
    }

    /// Limits what is held to so many bytes, whatever the window was: the endpoint holds much for
    /// others. What was promised and does not fit is dropped, as what overruns the window is.
    pub fn set_ceiling(&mut self, bytes: usize) {
        self.ceiling = bytes;
    }

    /// The window to advertise, in a SACK that leaves now. The peer counts payload only, so it is
    /// told how much payload fits given the usual size of its chunks: then the overhead need not
    /// make it overrun the window.
    ///
    /// As in RFC 1122 §4.2.3.3, the window shrinks by what comes, so that what was promised is
    /// taken, and opens by at least a packet or not at all. Of what was promised something is taken
    /// back only if the chunks turn out so small that their overhead leaves no room for it. The last
    /// packet is not promised.
    //= RFC 9260 §6.2
    //# The receiver MUST also have an algorithm for advertising its receive window to avoid receiver
    //# silly window syndrome (SWS), as described in [RFC1122].
    pub fn advertise(&mut self) -> u32 {
        let offer = self.payload_of(self.room());
        if offer >= self.promised.saturating_add(self.payload_of(self.packet)) {
            self.promised = offer;
        }
        // Half of the last packet is for chunks that are smaller than usual.
        let tenable = self.free().saturating_sub(self.packet / 2);
        self.promised = self.promised.min(self.payload_of(tenable));
        self.advertised = self.promised;
        self.advertised
    }

    /// Whether the last SACK advertised a window of 0.
    pub fn is_closed(&self) -> bool {
        self.advertised == 0
    }

    /// Whether so much was read that the peer should be told: a quarter of the window or, for a
    /// peer that could hardly send, two packets' worth.
    //= RFC 9260 §6.2
    //# The receiver MUST avoid sending a large number of window updates -- in particular, large
    //# bursts of them.
    pub fn window_update_due(&self) -> bool {
        // In room, of which a quarter is worth the same whatever the size of the chunks.
        let last = u64::from(self.promised) * self.usual_cost() / self.usual_payload.max(1);
        let (last, room) = (last as usize, self.room());
        room >= last + self.window / 4 || (last < self.packet && room >= 2 * self.packet)
    }

    /// What is free short of the last packet.
    fn room(&self) -> usize {
        self.free().saturating_sub(self.packet)
    }

    /// How much payload in chunks of the usual size so much room takes.
    fn payload_of(&self, room: usize) -> u32 {
        let payload = room as u64 * self.usual_payload / self.usual_cost();
        u32::try_from(payload).unwrap_or(u32::MAX)
    }

    /// What a chunk with the usual payload costs, in the same unit.
    fn usual_cost(&self) -> u64 {
        self.usual_payload + UNIT * CHUNK_OVERHEAD as u64
    }

    pub(super) fn free(&self) -> usize {
        self.window
            .min(self.ceiling)
            .saturating_sub(self.store.held())
    }

    /// Counts what left the store other than by being read.
    pub(super) fn release(&mut self, id: StreamId, bytes: usize) {
        if let Some(stream) = self.streams.get_mut(&id) {
            self.stalls.release(id, stream, bytes);
        }
        self.relieved();
    }

    /// Something left the store.
    pub(super) fn relieved(&mut self) {
        self.refused = false;
        if self.pressure && self.free() >= self.window / 2 {
            self.pressure = false;
        }
    }

    /// Begins partial delivery early enough that the window need not close before: with a quarter
    /// left.
    pub(super) fn watch_pressure(&mut self) {
        if !self.pressure && self.free() < (self.window / 4).max(2 * self.packet) {
            self.pressure = true;
            self.offer_all();
        }
    }

    /// Offers what is incomplete on all streams. Pressure begins and ends a quarter of the window
    /// apart, so that this walk over the streams is rare.
    pub(super) fn offer_all(&mut self) {
        for (&id, stream) in &mut self.streams {
            offer(id, stream, &self.runs, &self.store, &mut self.readiness);
        }
    }
}

/// Streams that nobody reads, that are stopped, or that the peer resets.
impl Reassembly {
    /// A stream that is newly stalled: it holds more than max(64 KiB, window/8), more than half of
    /// the window is in use, and it could be read and is not. To be called after each input and
    /// command.
    pub fn poll_stalled(&mut self, now: Instant) -> Option<StreamId> {
        let usage = self.usage();
        self.stalls.poll(now, &usage)
    }

    /// When `discard_stalled` may have something to do, if no one reads.
    pub fn stall_deadline(&self) -> Option<Instant> {
        self.stalls.deadline()
    }

    /// Discards a stream that was stalled for the stall time-out or, if the window has been full
    /// and nothing was read for as long, the stream that holds most; returns it with the bytes
    /// freed. To be called until it returns `None`.
    pub fn discard_stalled(&mut self, now: Instant) -> Option<(StreamId, usize)> {
        let usage = self.usage();
        let id = match self.stalls.expired(now, &usage)? {
            Expired::Stream(id) => id,
            Expired::Largest => *self
                .streams
                .iter()
                .max_by_key(|(id, s)| (s.bytes, id.0))
                .map(|(id, _)| id)?,
        };
        self.stalls.discarded();
        Some((id, self.discard(id)))
    }

    /// Discards what the stream holds, and what comes on it until the peer resets it.
    pub fn stop(&mut self, id: StreamId) {
        if self.is_valid(id) {
            self.streams.entry(id).or_default();
            self.discard(id);
        }
    }

    /// Whether what comes on the stream is thrown away.
    pub fn is_discarding(&self, id: StreamId) -> bool {
        self.streams
            .get(&id)
            .is_some_and(|stream| stream.discarding)
    }

    /// The peer reset these streams (`None`: all), and its last TSN before that is reached: message
    /// numbers begin anew. Complete messages stay readable, incomplete ones are dropped, and
    /// discarding ends.
    pub fn reset(&mut self, streams: Option<&[StreamId]>) {
        match streams {
            Some(streams) => streams.iter().for_each(|&id| self.reset_one(id)),
            None => {
                let all: Vec<_> = self.streams.keys().copied().collect();
                all.into_iter().for_each(|id| self.reset_one(id));
            }
        }
    }

    fn reset_one(&mut self, id: StreamId) {
        if !self.streams.contains_key(&id) {
            return;
        }
        // What was read in part does not go on after the reset, and what was given up before it has
        // not been told of yet.
        let read = self.streams.get(&id).and_then(|s| match s.partial {
            Partial::Begun(key) => self.runs.get(key).map(|run| run.read()),
            Partial::Aborted(read) => Some(read),
            Partial::None | Partial::Offered(_) => None,
        });
        self.drop_undelivered(id);
        if let Some(read) = read
            && let Some(stream) = self.streams.get_mut(&id)
        {
            stream.partial = Partial::Aborted(read);
            self.readiness.announce(id, stream);
        }
        if let Entry::Occupied(mut entry) = self.streams.entry(id) {
            let stream = entry.get_mut();
            stream.next = 0;
            stream.unordered_from = None;
            stream.discarding = false;
            if stream.is_unused() {
                entry.remove();
            }
        }
    }

    /// Drops all that the stream holds and goes on so.
    fn discard(&mut self, id: StreamId) -> usize {
        let mut freed = self.drop_undelivered(id);
        if let Some(stream) = self.streams.get_mut(&id) {
            let ready = self.store.drop_list(take(&mut stream.ready));
            stream.discarding = true;
            self.release(id, ready);
            freed += ready;
        }
        freed
    }

    /// Drops the fragments of a stream, and complete messages that wait for others.
    fn drop_undelivered(&mut self, id: StreamId) -> usize {
        let Some(stream) = self.streams.get_mut(&id) else {
            return 0;
        };
        stream.head = None;
        stream.loose = None;
        stream.partial = Partial::None;
        while let Some((&key, _)) = self.waiting.range((id, 0)..=(id, u32::MAX)).next() {
            self.waiting.remove(&key);
        }
        let freed = self.runs.drop_stream(id, &mut self.store);
        self.release(id, freed);
        freed
    }

    fn usage(&self) -> Usage {
        let room = self.window.saturating_sub(self.store.held_for_good());
        let stream = |id: &StreamId| {
            self.streams
                .get(id)
                .is_some_and(|stream| self.is_readable(stream))
        };
        Usage {
            held: self.held(),
            full: room < 2 * self.packet || (self.refused && !self.store.has_above()),
            readable: self.stalls.large().filter(stream).collect(),
        }
    }
}
