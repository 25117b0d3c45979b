//! What is kept per outbound stream.

use super::{abandon::PrCounters, message::MessageKey};
use crate::ids::StreamId;

/// Priority or weight of a stream that was given none: in the middle, so that others can be set
/// above and below.
pub(super) const DEFAULT_VALUE: u16 = 256;

/// Ordered messages one stream may have in the send window when SSNs number them.
//= RFC 9260 §6.1
//# For each stream, the data sender MUST NOT have more than 2^16 - 1 ordered user messages in the
//# current send window.
const MAX_ORDERED: u32 = (1 << 16) - 1;

/// Whether a stream takes messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Open,
    /// A message was refused; `Writable` is due once no more than this many bytes are buffered.
    Blocked(usize),
    /// In the queue of streams to tell `Writable`.
    Ready,
}

#[derive(Debug)]
pub(super) struct Stream {
    /// The first message of which something is unsent.
    pub(super) head: Option<MessageKey>,
    pub(super) tail: Option<MessageKey>,
    /// Bytes of the messages queued or outstanding.
    pub(super) buffered: usize,
    pub(super) room: Room,
    /// Being reset: takes no message.
    pub(super) held: bool,
    /// Ordered messages begun and not yet acknowledged.
    pub(super) ordered: u32,
    /// SSN or MID of the next ordered message; an SSN is its low 16 bits.
    pub(super) next_ordered: u32,
    /// MID of the next unordered message.
    pub(super) next_unordered: u32,
    /// The last message, by its place in the order of the calls to `send`, that was numbered before
    /// numbering last began anew.
    pub(super) renumbered: u64,
    /// What was given up on it, if anything was.
    pub(super) pr_status: Option<Box<PrCounters>>,

    // the scheduler's
    /// Whether the scheduler has it.
    pub(super) scheduled: bool,
    /// Priority (smaller first) or weight (larger is more).
    pub(super) value: u16,
    /// Virtual time up to which the stream was served.
    pub(super) served: u64,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            head: None,
            tail: None,
            buffered: 0,
            room: Room::Open,
            held: false,
            ordered: 0,
            //= RFC 9260 §6.5
            //# The Stream Sequence Number in all the outgoing streams MUST start from 0 when the
            //# association is established.
            next_ordered: 0,
            next_unordered: 0,
            renumbered: 0,
            pr_status: None,
            scheduled: false,
            value: DEFAULT_VALUE,
            served: 0,
        }
    }
}

impl Stream {
    /// Numbers a message that is about to be sent for the first time.
    pub(super) fn number(&mut self, unordered: bool, interleaving: bool) -> u32 {
        if unordered {
            //= RFC 9260 §6.5
            //# For unordered user messages, the Stream Sequence Number MUST NOT be changed.
            if !interleaving {
                return 0;
            }
            let mid = self.next_unordered;
            self.next_unordered = mid.wrapping_add(1);
            return mid;
        }
        self.ordered += 1;
        //= RFC 9260 §6.5
        //# The Stream Sequence Number of an outgoing stream MUST be incremented by 1 for each
        //# ordered user message sent on that outgoing stream.
        //= RFC 9260 §6.5
        //# In particular, when the Stream Sequence Number reaches the value 65535, the next Stream
        //# Sequence Number MUST be set to 0.
        let seq = self.next_ordered;
        self.next_ordered = seq.wrapping_add(1);
        if interleaving { seq } else { seq & 0xffff }
    }

    /// Whether one more ordered message would leave two with the same SSN in the send window.
    pub(super) fn ssn_exhausted(&self) -> bool {
        self.ordered >= MAX_ORDERED
    }

    /// Message numbering begins anew (RFC 6525 §5.1.2), after so many messages of the queue.
    pub(super) fn restart_numbering(&mut self, pushed: u64) {
        self.renumbered = pushed;
        self.next_ordered = 0;
        self.next_unordered = 0;
    }
}

/// Streams per page: few, since many an association uses only the first.
const PAGE: usize = 8;

/// The streams that were ever used, by number: an array in pages, so that a lookup costs two
/// loads, and a lone stream 65,535 one page and 64 KiB of references to none.
#[derive(Debug, Default)]
pub(super) struct StreamTable {
    pages: Vec<Option<Box<[Stream; PAGE]>>>,
}

impl StreamTable {
    pub(super) fn get(&self, id: StreamId) -> Option<&Stream> {
        let (page, slot) = split(id);
        Some(&self.pages.get(page)?.as_ref()?[slot])
    }

    /// The stream, made on first use.
    pub(super) fn entry(&mut self, id: StreamId) -> &mut Stream {
        let (page, slot) = split(id);
        if page >= self.pages.len() {
            self.pages.resize_with(page + 1, || None);
        }
        &mut self.pages[page].get_or_insert_default()[slot]
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (StreamId, &mut Stream)> {
        let pages = self.pages.iter_mut().enumerate();
        pages
            .filter_map(|(n, page)| Some((n, page.as_mut()?)))
            .flat_map(|(n, page)| {
                let first = n * PAGE;
                let streams = page.iter_mut().enumerate();
                streams.map(move |(i, stream)| (StreamId((first + i) as u16), stream))
            })
    }
}

/// For the tests, which check the books.
#[cfg(any(test, feature = "internals"))]
impl StreamTable {
    pub(super) fn iter(&self) -> impl Iterator<Item = (StreamId, &Stream)> {
        let pages = self.pages.iter().enumerate();
        pages
            .filter_map(|(n, page)| Some((n, page.as_ref()?)))
            .flat_map(|(n, page)| {
                let streams = page.iter().enumerate();
                streams.map(move |(i, stream)| (StreamId((n * PAGE + i) as u16), stream))
            })
    }
}

fn split(id: StreamId) -> (usize, usize) {
    (usize::from(id.0) / PAGE, usize::from(id.0) % PAGE)
}
