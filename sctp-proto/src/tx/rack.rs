//! Losses by send times (RACK, RFC 8985): what left well before something that has arrived is lost.
//!
//! Missing reports need three SACKs and count for a first transmission only. Send times tell of
//! the loss of a retransmission, and of losses where too little follows to report them.
//!
//! RFC 8985 has a list of all segments by time of transmission. First transmissions are in the
//! ring in that order; here only retransmissions, which are few, have a list. A pass over either
//! ends at what may still arrive and resumes there, so that each transmission is looked at about
//! once, whatever the window.

use std::{collections::VecDeque, time::Duration};

use super::{
    outstanding::{Outstanding, Record, State},
    reordering::Reordering,
    sack::AckOutcome,
};
use crate::{
    config::LossDetection,
    ids::{PathId, Tsn},
    time::Instant,
};

/// The least time allowed for reordering: timers of common systems fire about a millisecond late.
const GRANULARITY: Duration = Duration::from_millis(1);
/// How long a least round-trip time is kept, at least. Routes change, and a path that has become
/// longer must not be taken for a short one for ever.
const MIN_RTT_KEPT: Duration = Duration::from_secs(150);
/// Packets reported above a hole that make it a loss without a wait, while no reordering was seen
/// (RFC 8985 §6.2 step 4: DupThresh), less one.
const PACKETS_ABOVE: usize = 2;

/// What the reordering window depends on besides the path's own history.
#[derive(Debug, Clone, Copy)]
pub struct Settling {
    /// Smoothed round-trip time: no reordering is waited for longer.
    pub srtt: Option<Duration>,
    /// Whether the path is in fast recovery.
    pub in_recovery: bool,
    /// Bytes of chunks in a full packet.
    pub packet: usize,
}

/// The least round-trip time of the last few minutes.
#[derive(Debug, Clone, Copy, Default)]
struct MinRtt {
    current: Option<Duration>,
    previous: Option<Duration>,
    began: Option<Instant>,
}

impl MinRtt {
    fn add(&mut self, now: Instant, rtt: Duration) {
        if now - *self.began.get_or_insert(now) > MIN_RTT_KEPT {
            self.began = Some(now);
            self.previous = self.current.take();
        }
        self.current = Some(self.current.map_or(rtt, |least| least.min(rtt)));
    }

    fn get(&self) -> Option<Duration> {
        match (self.current, self.previous) {
            (Some(current), Some(previous)) => Some(current.min(previous)),
            (current, previous) => current.or(previous),
        }
    }
}

/// A transmission that arrived.
#[derive(Debug, Clone, Copy)]
struct Delivered {
    sent_at: Instant,
    tsn: Tsn,
    rtt: Duration,
}

impl Delivered {
    /// Whether another transmission left before this one. TSNs order what left at one time.
    fn is_after(&self, sent_at: Instant, tsn: Tsn) -> bool {
        sent_at < self.sent_at || (sent_at == self.sent_at && tsn.before(self.tsn))
    }
}

/// What acknowledgements have told of one path.
#[derive(Debug, Default)]
pub(super) struct Rack {
    /// Of the transmissions that arrived, the last to leave.
    newest: Option<Delivered>,
    min_rtt: MinRtt,
    /// The highest TSN acknowledged.
    highest: Option<Tsn>,
    /// Whether packets have overtaken each other.
    pub(super) reordered: bool,
    /// How far, as needless retransmissions tell. `None` before the first retransmission.
    pub(super) reordering: Option<Box<Reordering>>,
    /// Bytes of chunks acknowledged by gap blocks.
    pub(super) gap_bytes: usize,
    /// No record before this index waits for its first transmission to arrive.
    pub(super) fresh: u32,
    /// Retransmissions in the order they left. What was acknowledged or left once more since is
    /// dropped when it comes to the front.
    resent: VecDeque<(Tsn, Instant)>,
}

impl Rack {
    /// Takes note of a record acknowledged for the first time (RFC 8985 §6.2 steps 2 and 3).
    pub(super) fn delivered(&mut self, now: Instant, tsn: Tsn, record: &Record) {
        let rtt = now - record.sent_at;
        if record.transmits > 1 {
            // The retransmission cannot have been that fast: an earlier transmission arrived.
            if self.is_too_fast(rtt) {
                return;
            }
        } else if self.highest.is_some_and(|highest| tsn.before(highest)) {
            self.reordered = true;
        }
        if self.highest.is_none_or(|highest| highest.before(tsn)) {
            self.highest = Some(tsn);
        }
        let sent_at = record.sent_at;
        if (self.newest).is_none_or(|newest| !newest.is_after(sent_at, tsn)) {
            self.newest = Some(Delivered { sent_at, tsn, rtt });
        }
    }

    /// Whether a transmission, or one that left after it, has arrived.
    pub(super) fn has_arrived(&self, sent_at: Instant, tsn: Tsn) -> bool {
        (self.newest).is_some_and(|newest| {
            newest.is_after(sent_at, tsn) || (newest.sent_at, newest.tsn) == (sent_at, tsn)
        })
    }

    /// Whether no packet of the path can have been acknowledged after so short a time.
    pub(super) fn is_too_fast(&self, rtt: Duration) -> bool {
        self.min_rtt.get().is_some_and(|least| rtt < least)
    }

    /// A round-trip time that is no retransmission's.
    pub(super) fn measured(&mut self, now: Instant, rtt: Duration) {
        self.min_rtt.add(now, rtt);
    }

    /// Of what has arrived, the last to leave is not known any more: it was taken for one that left
    /// later.
    pub(super) fn forget_newest(&mut self) {
        self.newest = None;
    }

    pub(super) fn min_rtt(&self) -> Option<Duration> {
        self.min_rtt.get()
    }

    /// Whether send times alone tell of losses: where packets overtake each other, three missing
    /// reports are no sign of one (RFC 8985 §6.2 step 4).
    pub(super) fn overrules_reports(&self, detection: LossDetection) -> bool {
        self.reordered && detection == LossDetection::SendTimes
    }

    /// How long after what left after it a packet may arrive (RFC 8985 §6.2 step 4).
    fn reordering_window(&self, settling: &Settling) -> Duration {
        let reported = self.gap_bytes > PACKETS_ABOVE * settling.packet;
        if !self.reordered && (settling.in_recovery || reported) {
            return Duration::ZERO;
        }
        let min_rtt = self.min_rtt.get().unwrap_or_default();
        let window = match &self.reordering {
            Some(reordering) => reordering.window(min_rtt),
            None => Reordering::default().window(min_rtt),
        };
        window
            .min(settling.srtt.unwrap_or(Duration::MAX))
            .max(GRANULARITY)
    }
}

impl Record {
    /// Whether its transmission of this time is the last, and was never acknowledged.
    fn awaited(&self, sent_at: Instant) -> bool {
        self.state == State::InFlight && self.sent_at == sent_at && !self.reneged
    }
}

impl Outstanding {
    /// The least round-trip time of a path in the last minutes.
    pub fn min_rtt(&self, path: PathId) -> Option<Duration> {
        self.paths.get(path.index())?.rack.min_rtt()
    }

    /// Whether something sent on a path is acknowledged beyond a hole.
    pub fn has_gaps(&self, path: PathId) -> bool {
        (self.paths.get(path.index())).is_some_and(|path| path.rack.gap_bytes > 0)
    }

    /// Whether [`detect_losses`](Self::detect_losses) may find any on a path: something is
    /// acknowledged beyond a hole, or was sent again. O(1).
    pub fn has_suspects(&self, path: PathId) -> bool {
        let path = self.paths.get(path.index());
        self.detection == LossDetection::SendTimes
            && path.is_some_and(|path| {
                path.bytes > 0 && (path.rack.gap_bytes > 0 || !path.rack.resent.is_empty())
            })
    }

    /// Marks lost what left on a path so long before something that has arrived that it should
    /// have arrived too; tells when to ask again (RFC 8985 §6.2 step 5). To be called after a
    /// SACK, and at that time.
    ///
    /// RFC 8985 asks again when the last of those under suspicion is due, this when the first
    /// is: the rest need not be looked at for it.
    pub fn detect_losses(
        &mut self,
        now: Instant,
        path: PathId,
        settling: &Settling,
        outcome: &mut AckOutcome,
    ) -> Option<Instant> {
        let rack = &self.paths.get(path.index())?.rack;
        let newest = rack.newest?;
        let allowed = newest.rtt.saturating_add(rack.reordering_window(settling));
        let first = self.detect_first(now, path, newest, allowed, outcome);
        let again = self.detect_resent(now, path, newest, allowed, outcome);
        self.find_lost();
        [first, again].into_iter().flatten().min()
    }

    /// Losses among first transmissions.
    fn detect_first(
        &mut self,
        now: Instant,
        path: PathId,
        newest: Delivered,
        allowed: Duration,
        outcome: &mut AckOutcome,
    ) -> Option<Instant> {
        let mut index = self.paths[path.index()].rack.fresh;
        let mut due = None;
        while let Some(&record) = self.records.get(index as usize) {
            if record.transmits == 1 {
                let tsn = self.cumulative.plus(index + 1);
                if !newest.is_after(record.sent_at, tsn) {
                    break;
                }
                if record.path == path && record.awaited(record.sent_at) {
                    due = Some(record.sent_at + allowed).filter(|due| *due > now);
                    if due.is_some() {
                        break;
                    }
                    self.mark_missing(index, outcome);
                }
            }
            index += 1;
        }
        self.paths[path.index()].rack.fresh = index;
        due
    }

    /// Losses among retransmissions.
    fn detect_resent(
        &mut self,
        now: Instant,
        path: PathId,
        newest: Delivered,
        allowed: Duration,
        outcome: &mut AckOutcome,
    ) -> Option<Instant> {
        while let Some(&(tsn, sent_at)) = self.paths[path.index()].rack.resent.front() {
            let index = tsn.distance_from(self.cumulative.next());
            let record = self.records.get(index as usize);
            if record.is_some_and(|record| record.path == path && record.awaited(sent_at)) {
                if !newest.is_after(sent_at, tsn) {
                    return None;
                }
                let due = sent_at + allowed;
                if due > now {
                    return Some(due);
                }
                self.mark_missing(index, outcome);
            }
            self.paths[path.index()].rack.resent.pop_front();
        }
        None
    }

    /// Notes that a record left again, on the path it has. What need not be waited for any more
    /// is dropped before it outnumbers what is outstanding.
    pub(super) fn note_resent(&mut self, index: u32) {
        if self.detection == LossDetection::MissingReports {
            return;
        }
        let first = self.cumulative.next();
        let record = self.records[index as usize];
        let resent = &mut self.paths[record.path.index()].rack.resent;
        if resent.len() > 2 * self.records.len() {
            resent.retain(|&(tsn, sent_at)| {
                let record = self.records.get(tsn.distance_from(first) as usize);
                record.is_some_and(|record| record.awaited(sent_at))
            });
        }
        let tsn = first.plus(index);
        // TSNs order what leaves at one time, as `Delivered::is_after` has it.
        let mut at = resent.len();
        while at > 0 && resent[at - 1].1 == record.sent_at && tsn.before(resent[at - 1].0) {
            at -= 1;
        }
        resent.insert(at, (tsn, record.sent_at));
    }
}
