//! One window, many streams: who keeps it from the others, and since when.

use std::time::Duration;

use smallvec::SmallVec;

use super::stream::Stream;
use crate::{ids::StreamId, time::Instant};

/// A stream that holds more than its share.
#[derive(Debug)]
struct Large {
    stream: StreamId,
    /// Since when it is stalled: more than half of the window is in use, and it could be read and
    /// is not.
    since: Option<Instant>,
    /// It was read since `since` was looked at.
    read: bool,
    reported: bool,
}

/// The two clocks that end a stall: one for each stream that holds more than its share while half
/// of the window is in use, and one for a window in which there is no room, whoever fills it.
/// Reading restarts them.
#[derive(Debug)]
pub(super) struct Stalls {
    timeout: Duration,
    window: usize,
    /// Bytes that a stream may hold without being looked at.
    share: usize,
    /// At most eight, each holding more than an eighth of the window.
    large: Vec<Large>,
    full_since: Option<Instant>,
    /// Something was read since `full_since` was looked at.
    read: bool,
}

/// What is in use when a clock is looked at.
#[derive(Debug)]
pub(super) struct Usage {
    /// Bytes, of the window.
    pub(super) held: usize,
    /// There would be no room for a full packet even if all were reneged that may be, or a chunk
    /// was refused with nothing to renege. While there is something to renege, the window only
    /// waits for the peer to fill a gap.
    pub(super) full: bool,
    /// Those of [`Stalls::large`] that have something to read.
    pub(super) readable: SmallVec<[StreamId; 8]>,
}

/// What [`Stalls::expired`] says to discard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    Stream(StreamId),
    /// Whichever stream holds most.
    Largest,
}

impl Stalls {
    pub(super) fn new(timeout: Duration, window: usize) -> Self {
        Self {
            timeout,
            window,
            share: (64 * 1024).max(window / 8),
            large: Vec::new(),
            full_since: None,
            read: false,
        }
    }

    /// The streams that hold more than their share.
    pub(super) fn large(&self) -> impl Iterator<Item = StreamId> {
        self.large.iter().map(|large| large.stream)
    }

    /// Counts what a stream holds more.
    pub(super) fn charge(&mut self, id: StreamId, stream: &mut Stream, bytes: usize) {
        stream.bytes += bytes;
        if stream.bytes > self.share && !stream.large {
            stream.large = true;
            self.large.push(Large {
                stream: id,
                since: None,
                read: false,
                reported: false,
            });
        }
    }

    /// Counts what a stream holds less.
    pub(super) fn release(&mut self, id: StreamId, stream: &mut Stream, bytes: usize) {
        stream.bytes -= bytes;
        if stream.bytes <= self.share && stream.large {
            stream.large = false;
            self.large.retain(|large| large.stream != id);
        }
    }

    /// Something was read from the stream.
    pub(super) fn read(&mut self, stream: StreamId) {
        self.read = true;
        if let Some(large) = self.large.iter_mut().find(|large| large.stream == stream) {
            large.read = true;
        }
    }

    /// A stream that is newly stalled.
    pub(super) fn poll(&mut self, now: Instant, usage: &Usage) -> Option<StreamId> {
        self.refresh(now, usage);
        let new = self
            .large
            .iter_mut()
            .find(|l| l.since.is_some() && !l.reported)?;
        new.reported = true;
        Some(new.stream)
    }

    /// When the first clock runs out.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let streams = self.large.iter().filter_map(|large| large.since);
        Some(streams.chain(self.full_since).min()? + self.timeout)
    }

    /// What to discard, one stream at a time.
    pub(super) fn expired(&mut self, now: Instant, usage: &Usage) -> Option<Expired> {
        self.refresh(now, usage);
        let over = |since: Option<Instant>| since.is_some_and(|since| since + self.timeout <= now);
        if let Some(large) = self.large.iter().find(|large| over(large.since)) {
            return Some(Expired::Stream(large.stream));
        }
        over(self.full_since).then_some(Expired::Largest)
    }

    /// Something was discarded: the clock of the full window begins anew.
    pub(super) fn discarded(&mut self) {
        self.full_since = None;
    }

    fn refresh(&mut self, now: Instant, usage: &Usage) {
        let half = usage.held > self.window / 2;
        for large in &mut self.large {
            if !half || !usage.readable.contains(&large.stream) {
                large.since = None;
                large.reported = false;
            } else if large.since.is_none() || large.read {
                large.since = Some(now);
            }
            large.read = false;
        }
        if !usage.full {
            self.full_since = None;
        } else if self.full_since.is_none() || self.read {
            self.full_since = Some(now);
        }
        self.read = false;
    }
}

#[cfg(any(test, feature = "internals"))]
impl Stalls {
    pub(super) fn share(&self) -> usize {
        self.share
    }
}
