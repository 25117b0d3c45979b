//! Messages given up (RFC 3758 §3.5), and why (RFC 7496).
//!
//! [`SendQueue`] decides: a message of which nothing was sent simply goes. Of one that has TSNs the
//! bytes go, and [`Outstanding::settle`] marks its records, in its own range of TSNs and nowhere
//! else. The peer is then told to go on after the marked records in front, which stay until it has.
//!
//! RFC 3758 has a chunk count as acknowledged from the moment it is abandoned, and yet has the
//! window shrink if it is lost (F5). So one that is in flight stays there, until it is acknowledged,
//! skipped, or found to be lost: were it left out, whoever gives up fast enough would send without
//! regard to the path. It is never sent again, and no window grows by it.

use rustc_hash::FxHashMap;

use super::{
    message::{FailedMessage, MessageKey},
    outstanding::{Credit, Outstanding, Record, State},
    queue::SendQueue,
};
use crate::{
    ids::{PathId, StreamId, Tsn},
    message::{PrPolicy, PrStatus, Reliability},
    rx::Skipped,
    time::Instant,
};

/// What was given up by each policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrCounters([PrStatus; PrPolicy::ALL.len()]);

impl PrCounters {
    /// By one policy, or by all.
    pub fn of(&self, policy: Option<PrPolicy>) -> PrStatus {
        match policy {
            Some(policy) => self.0[policy as usize],
            None => self
                .0
                .iter()
                .fold(PrStatus::default(), |sum, status| PrStatus {
                    unsent: sum.unsent + status.unsent,
                    sent: sum.sent + status.sent,
                }),
        }
    }

    fn count(&mut self, policy: PrPolicy, sent: bool) {
        let status = &mut self.0[policy as usize];
        match sent {
            false => status.unsent += 1,
            true => status.sent += 1,
        }
    }
}

/// What a FORWARD-TSN or I-FORWARD-TSN says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    pub cumulative: Tsn,
    pub skipped: Vec<Skipped>,
}

impl SendQueue {
    /// Whether what was sent in part can be given up: the peer can be told (RFC 3758).
    pub fn set_partial(&mut self, on: bool) {
        self.partial = on;
    }

    /// The reliability of messages that name none.
    pub fn set_default_reliability(&mut self, reliability: Reliability) {
        self.default_reliability = reliability;
    }

    /// What was given up, on one stream or on all.
    pub fn pr_status(&self, id: Option<StreamId>, policy: Option<PrPolicy>) -> PrStatus {
        match id {
            None => self.pr_status.of(policy),
            Some(id) => (self.streams.get(id))
                .and_then(|stream| stream.pr_status.as_ref())
                .map_or(PrStatus::default(), |counters| counters.of(policy)),
        }
    }

    /// Whether a fragment that was sent so often is not to be sent again.
    pub fn is_worthless(&self, now: Instant, key: MessageKey, transmits: u8) -> bool {
        let message = &self.messages[key];
        self.partial
            && match message.reliability {
                Reliability::Reliable | Reliability::Priority(_) => false,
                Reliability::Lifetime(_) => message.expires.is_some_and(|at| at <= now),
                // The count of transmissions ends at 255.
                Reliability::MaxRetransmits(most) => {
                    most < u16::from(u8::MAX) && u16::from(transmits) > most
                }
            }
    }

    /// Gives a message up; if it has TSNs, only where the peer can be told, and
    /// [`Outstanding::settle`] is due before the next acknowledgement. It comes out of
    /// [`poll_failed`](Self::poll_failed).
    pub fn give_up(&mut self, key: MessageKey) {
        let message = &self.messages[key];
        if message.is_released() {
            return;
        }
        let (id, len, unsent) = (message.stream, message.data.len(), message.unsent());
        let (sent, policy) = (message.sent, message.reliability.policy());
        debug_assert!(!message.abandoned && (self.partial || sent == 0));
        if unsent > 0 {
            self.unlink(key);
            self.unsent -= unsent;
        }
        if let Some(policy) = policy {
            self.pr_status.count(policy, sent > 0);
            let stream = self.streams.entry(id);
            stream
                .pr_status
                .get_or_insert_default()
                .count(policy, sent > 0);
        }
        self.free(id, len);
        if sent == 0 {
            let message = self.messages.remove(key);
            self.not_discardable(&message);
            self.failed.push_back(message.failed());
            return;
        }
        let message = &mut self.messages[key];
        message.abandoned = true;
        message.sent = 0;
        self.failed.push_back(FailedMessage {
            stream: id,
            context: message.context,
            sent: sent as usize,
            data: std::mem::take(&mut message.data),
        });
        let (reliability, order) = (message.reliability, message.order);
        if let Reliability::Priority(number) = reliability {
            self.discardable.remove(&(number, order));
        }
        // `settle` finds by it whether the end of the message has a TSN.
        self.messages[key].unacked = unsent as u32;
        self.given_up.push(key);
    }

    /// Makes room for a message, if it is one that others make room for: those with a larger
    /// priority number, the largest first, and of one number the youngest, on which least was spent
    /// yet. False, and nothing is given up, if that is not enough. O(messages given up, and those
    /// looked at in vain).
    pub(super) fn make_room(
        &mut self,
        now: Instant,
        id: StreamId,
        len: usize,
        reliability: Reliability,
    ) -> bool {
        self.expire_first(now, id);
        let stream = self.streams.entry(id);
        let stream_over = match stream.buffered {
            0 => 0,
            buffered => (buffered + len).saturating_sub(self.stream_limit),
        };
        // Where others wait for room, the message takes none of it.
        let waited_for = self.full_until.map_or(0, |_| len);
        let limit = match self.buffered {
            0 => self.buffer_limit,
            _ => self.buffer_limit.min(self.ceiling),
        };
        let over = (self.buffered + len).saturating_sub(limit);
        let over = over.max(waited_for);
        if (stream_over, over) == (0, 0) {
            return true;
        }
        let Reliability::Priority(number) = reliability else {
            return false;
        };
        let Some(least) = number.checked_add(1) else {
            return false;
        };
        let (mut victims, mut freed, mut freed_on_stream) = (Vec::new(), 0, 0);
        for &key in self
            .discardable
            .range((least, 0)..)
            .rev()
            .map(|(_, key)| key)
        {
            let message = &self.messages[key];
            let helps = freed < over || (message.stream == id && freed_on_stream < stream_over);
            if !helps || (message.sent > 0 && !self.partial) {
                continue;
            }
            freed += message.data.len();
            if message.stream == id {
                freed_on_stream += message.data.len();
            }
            victims.push(key);
            if freed >= over && freed_on_stream >= stream_over {
                victims.into_iter().for_each(|key| self.give_up(key));
                return true;
            }
        }
        false
    }

    /// Gives up what has expired in front of a stream that has no room.
    fn expire_first(&mut self, now: Instant, id: StreamId) {
        while let Some(key) = self.streams.entry(id).head {
            let message = &self.messages[key];
            let expired = message.expires.is_some_and(|at| at <= now);
            if !expired || (message.sent > 0 && !self.partial) {
                break;
            }
            self.give_up(key);
        }
    }

    /// A message leaves the queue, or its bytes do.
    pub(super) fn not_discardable(&mut self, message: &super::Message) {
        if let Reliability::Priority(number) = message.reliability {
            self.discardable.remove(&(number, message.order));
        }
    }

    /// Takes a message that has something unsent out of its stream.
    fn unlink(&mut self, key: MessageKey) {
        let message = &mut self.messages[key];
        let (id, next, previous) = (message.stream, message.next.take(), message.previous.take());
        if let Some(previous) = previous {
            self.messages[previous].next = next;
        }
        if let Some(next) = next {
            self.messages[next].previous = previous;
        }
        let stream = self.streams.entry(id);
        if next.is_none() {
            stream.tail = previous;
        }
        if previous.is_some() {
            return;
        }
        stream.head = next;
        if !stream.scheduled {
            return;
        }
        match next {
            Some(next) => (self.scheduler).replaced(id, stream, &self.messages[next]),
            None => self.scheduler.remove(id, stream),
        }
    }
}

impl Record {
    /// Of a message that was given up.
    pub(super) fn is_abandoned(&self) -> bool {
        self.credit == Credit::Abandoned
    }
}

impl Outstanding {
    /// Marks what the queue has given up since the last call. True if there is more to tell the
    /// peer than before. O(TSNs from the first to the last of each message).
    //= RFC 3758 §3.5
    //# When a TSN is "abandoned", if it is part of a fragmented message, all other TSN's within that
    //# fragmented message MUST be abandoned at the same time.
    pub fn settle(&mut self, now: Instant, queue: &mut SendQueue) -> bool {
        if queue.given_up.is_empty() {
            return false;
        }
        let before = self.skippable;
        for key in std::mem::take(&mut queue.given_up) {
            let message = &queue.messages[key];
            let (last, cut) = (message.last, message.unacked > 0);
            let mut marked = self.mark(key, last);
            if cut {
                // Whether its beginning arrived or not, the peer waits for its end: that gets a TSN,
                // which is never sent.
                self.push_given_up(now, key);
                marked += 1;
            }
            queue.messages[key].unacked = marked;
        }
        self.find_lost();
        self.extend_skippable();
        self.skippable > before
    }

    /// Marks the records of a message, of which the last has this TSN.
    fn mark(&mut self, key: MessageKey, last: Tsn) -> u32 {
        let mut marked = 0;
        if !self.cumulative.before(last) {
            return 0;
        }
        for index in (0..last.distance_from(self.cumulative)).rev() {
            let record = &mut self.records[index as usize];
            if record.key != key {
                continue;
            }
            marked += 1;
            record.credit = Credit::Abandoned;
            if record.state == State::Lost {
                record.state = State::GivenUp;
                self.lost -= 1;
                self.given_up += 1;
            }
            if record.begin {
                break;
            }
        }
        marked
    }

    fn push_given_up(&mut self, now: Instant, key: MessageKey) {
        let path = self.records.back().map_or(PathId(0), |last| last.path);
        self.records.push_back(Record {
            sent_at: now,
            key,
            offset: 0,
            fsn: 0,
            len: 0,
            path,
            state: State::GivenUp,
            transmits: 0,
            misses: 0,
            begin: false,
            end: true,
            fast_retransmitted: false,
            reneged: false,
            large: false,
            credit: Credit::Abandoned,
        });
        self.given_up += 1;
        self.know_path(path);
        self.note_nothing();
    }

    /// C2 of RFC 3758 §3.5: over all that is abandoned. A record is passed once.
    pub(super) fn extend_skippable(&mut self) {
        while (self.records.get(self.skippable as usize))
            .is_some_and(|record| record.is_abandoned())
        {
            self.skippable += 1;
        }
    }

    /// The Advanced.Peer.Ack.Point, if the peer has not come to it.
    pub fn advanced(&self) -> Option<Tsn> {
        (self.skippable > 0).then(|| self.cumulative.plus(self.skippable))
    }

    /// What to tell the peer in a list of so many entries at most and, if so, no further than to this
    /// TSN. O(TSNs skipped).
    //= RFC 3758 §3.5
    //# Each stream SHOULD only be reported once; this means that if multiple abandoned messages
    //# occur in the same stream, then only the highest abandoned stream sequence number is reported.
    //= RFC 3758 §3.5
    //# If the total size of the FORWARD TSN does NOT fit in a single MTU, then the sender of the
    //# FORWARD TSN SHOULD lower the Advanced.Peer.Ack.Point to the last TSN that will fit in a
    //# single MTU.
    pub fn forward(
        &self,
        queue: &SendQueue,
        interleaving: bool,
        most: usize,
        up_to: Option<Tsn>,
    ) -> Option<Forward> {
        let most_tsns = up_to.map_or(u32::MAX, |up_to| up_to.distance_from(self.cumulative));
        let skippable = self.skippable.min(most_tsns);
        let (mut count, mut skipped) = (0, Vec::<Skipped>::new());
        let mut entries: FxHashMap<(StreamId, bool), usize> = FxHashMap::default();
        for record in self.records.range(..skippable as usize) {
            let message = queue.message(record.key);
            // Who performed a reset has come to all that was sent before it, whether or not its SACK
            // arrived. Numbers from then would have it skip what has them anew.
            if (interleaving || !message.unordered) && !queue.is_renumbered(message) {
                let entry = Skipped {
                    stream: message.stream,
                    unordered: message.unordered,
                    seq: message.seq,
                };
                // Numbers are given as messages begin, so that a later one is a higher one.
                match entries.get(&(entry.stream, entry.unordered)) {
                    Some(&at) => skipped[at] = entry,
                    None if skipped.len() == most => break,
                    None => {
                        entries.insert((entry.stream, entry.unordered), skipped.len());
                        skipped.push(entry);
                    }
                }
            }
            count += 1;
        }
        (count > 0).then(|| Forward {
            cumulative: self.cumulative.plus(count),
            skipped,
        })
    }
}
