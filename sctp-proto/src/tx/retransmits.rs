//! Retransmissions that were for nothing, and what tells of them.
//!
//! Three things do. The peer reports as duplicate what it had already (the idea of RFC 3708); an
//! acknowledgement that comes sooner after a retransmission than the path is long is for what left
//! before it (that of RFC 4015); and after a time-out, once the first retransmission is
//! acknowledged, so is that of what was not sent again at all (F-RTO, RFC 5682).
//!
//! An episode is what one reduction of the window has sent again. It was for nothing if every
//! retransmission of it was: one that was needed makes it a loss. A network that duplicates packets
//! makes duplicates of retransmissions that were needed; it gives itself away by those of what left
//! only once, after which reports are not believed for a while.

use std::{collections::VecDeque, time::Duration};

use super::outstanding::{Outstanding, State};
use crate::{
    ids::{PathId, Tsn},
    time::Instant,
};

/// Retransmissions remembered per path. An episode of more is not undone for what is reported.
const REMEMBERED: usize = 256;
/// Duplicates of one SACK that are looked at: an honest peer reports few at a time.
const REPORTS: usize = 64;
/// How long reports are not believed after the network has made a duplicate.
const DISTRUST: Duration = Duration::from_secs(150);
/// Time-outs in a row after which the window before the first says nothing about the path any more.
const TIME_OUTS: u8 = 4;

/// Why a window was reduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// What acknowledgements tell: missing reports, or send times.
    Loss,
    /// T3-rtx ran out.
    TimeOut,
}

#[derive(Debug, Clone, Copy)]
struct Retransmission {
    tsn: Tsn,
    /// Whether it belongs to the episode.
    counts: bool,
    too_soon: bool,
    reported: bool,
}

/// A reduction of the window that may yet turn out to be for nothing.
#[derive(Debug, Clone, Copy)]
struct Episode {
    cause: Cause,
    /// How many of its retransmissions may have been needed.
    needed: usize,
    /// When something was last sent again, or the episode began.
    latest: Instant,
    time_outs: u8,
    /// After a time-out: the first TSN to be sent again.
    head: Option<Tsn>,
    /// Whether an earlier SACK acknowledged that one, and only as a retransmission of it may be.
    progress: bool,
    /// What the SACK being processed acknowledges.
    head_acked: bool,
    acked: bool,
    /// It acknowledges what arrived before it was sent again.
    original: bool,
    original_head: bool,
}

/// What is remembered of the retransmissions on one path.
#[derive(Debug, Default)]
pub(super) struct Retransmits {
    list: VecDeque<Retransmission>,
    /// The highest TSN that is not remembered any more.
    forgotten: Option<Tsn>,
    episode: Option<Episode>,
    /// When the network was last seen to duplicate.
    duplicated: Option<Instant>,
}

impl Retransmits {
    fn begin(&mut self, now: Instant, cause: Cause, head: Option<Tsn>) -> bool {
        if let Some(episode) = &mut self.episode
            && (cause, episode.cause) == (Cause::TimeOut, Cause::TimeOut)
            && !episode.progress
        {
            episode.time_outs += 1;
            if episode.time_outs > TIME_OUTS {
                self.episode = None;
            }
            return false;
        }
        for resent in &mut self.list {
            resent.counts = false;
        }
        self.episode = Some(Episode {
            cause,
            needed: 0,
            latest: now,
            time_outs: 1,
            head,
            progress: false,
            head_acked: false,
            acked: false,
            original: false,
            original_head: false,
        });
        true
    }

    /// A chunk left again; `counts` unless as a probe, which claims no loss.
    pub(super) fn resent(&mut self, now: Instant, tsn: Tsn, counts: bool) {
        if self.list.len() == REMEMBERED
            && let Some(oldest) = self.list.pop_front()
        {
            if self.forgotten.is_none_or(|tsn| tsn.before(oldest.tsn)) {
                self.forgotten = Some(oldest.tsn);
            }
            if oldest.counts {
                self.episode = None;
            }
        }
        let counts = counts && self.episode.is_some();
        self.list.push_back(Retransmission {
            tsn,
            counts,
            too_soon: false,
            reported: false,
        });
        if let Some(episode) = self.episode.as_mut().filter(|_| counts) {
            episode.needed += 1;
            episode.latest = now;
        }
    }

    /// What was sent again, or was to be, is acknowledged. Returns whether that shows, for the
    /// first time, that a retransmission was not needed.
    pub(super) fn acknowledged(&mut self, tsn: Tsn, waiting: bool, too_soon: bool) -> bool {
        if let Some(episode) = &mut self.episode {
            let head = episode.head == Some(tsn);
            episode.acked = true;
            episode.head_acked |= head;
            episode.original |= waiting || too_soon;
            episode.original_head |= head && (waiting || too_soon);
        }
        if waiting || !too_soon {
            return false;
        }
        let found = (self.list.iter_mut().rev()).find(|resent| resent.tsn == tsn);
        let Some(resent) = found.filter(|resent| !resent.too_soon) else {
            return false;
        };
        resent.too_soon = true;
        let (counts, first) = (resent.counts, !resent.reported);
        self.not_needed(counts && first);
        first
    }

    /// The peer got a TSN once more. Returns as [`acknowledged`](Self::acknowledged) does.
    fn duplicate(&mut self, now: Instant, tsn: Tsn) -> bool {
        // Where a probe repeated a retransmission, one copy too many is taken for the probe.
        let candidates = self.list.iter_mut();
        let found = candidates
            .filter(|resent| resent.tsn == tsn && !resent.reported)
            .min_by_key(|resent| resent.counts);
        let Some(resent) = found else {
            if self.forgotten.is_none_or(|oldest| oldest.before(tsn)) {
                self.duplicated = Some(now);
            }
            return false;
        };
        resent.reported = true;
        let (counts, first) = (resent.counts, !resent.too_soon);
        self.not_needed(counts && first);
        first
    }

    fn not_needed(&mut self, counts: bool) {
        if let Some(episode) = self.episode.as_mut().filter(|_| counts) {
            episode.needed -= 1;
        }
    }

    /// Decides on the episode after a SACK; `waits` says that something of it is yet to be sent
    /// again. After `patience` without a retransmission nothing more is expected.
    fn judge(&mut self, now: Instant, waits: bool, patience: Duration) -> Option<Cause> {
        let distrusted = (self.duplicated).is_some_and(|at| now - at < DISTRUST);
        let episode = self.episode.as_mut()?;
        let unneeded = episode.needed == 0 && !waits && !distrusted;
        // The retransmission may have repaired what was lost, and with it have acknowledged what
        // arrived long ago: only the next SACK is about what arrived after it.
        let late = episode.original_head || (episode.progress && episode.original);
        if unneeded || (episode.cause == Cause::TimeOut && late) {
            let cause = episode.cause;
            self.episode = None;
            return Some(cause);
        }
        if now - episode.latest > patience {
            self.episode = None;
            return None;
        }
        if episode.acked && !episode.head_acked && !episode.progress {
            // The first acknowledgement is not for what was sent again first: that is missing.
            episode.head = None;
        }
        episode.progress |= episode.head_acked && episode.head.is_some();
        (episode.acked, episode.head_acked, episode.original) = (false, false, false);
        None
    }
}

impl Outstanding {
    /// The window of a path is being reduced: what is sent again from here on is to show whether it
    /// had to be. For a time-out to be called when its losses are marked. False if that goes on
    /// with the time-out before.
    pub fn begin_episode(&mut self, now: Instant, path: PathId, cause: Cause) -> bool {
        let head = self.next_lost().map(|lost| lost.tsn);
        let head = head.filter(|_| cause == Cause::TimeOut);
        (self.paths.get_mut(path.index()))
            .is_some_and(|path| path.retransmits.begin(now, cause, head))
    }

    /// The last reduction of a path's window stays, whatever becomes known of it.
    pub fn forget_episode(&mut self, path: PathId) {
        if let Some(path) = self.paths.get_mut(path.index()) {
            path.retransmits.episode = None;
        }
    }

    /// Duplicates that the peer reports. Returns how many retransmissions they show, for the first
    /// time, not to have been needed.
    pub fn note_duplicates(
        &mut self,
        now: Instant,
        path: PathId,
        duplicates: impl Iterator<Item = Tsn>,
    ) -> u64 {
        let Some(path) = self.paths.get_mut(path.index()) else {
            return 0;
        };
        duplicates
            .take(REPORTS)
            .map(|tsn| u64::from(path.retransmits.duplicate(now, tsn)))
            .sum()
    }

    /// Whether the last reduction of a path's window turns out to have been for nothing, and what it
    /// was for. To be asked after every SACK, once; then never again for that reduction. Nothing is
    /// said of one while something is given up that may have been lost.
    pub fn judge_episode(
        &mut self,
        now: Instant,
        path: PathId,
        patience: Duration,
    ) -> Option<Cause> {
        let waits = self.has_lost() || self.given_up > 0;
        let path = self.paths.get_mut(path.index())?;
        path.retransmits.judge(now, waits, patience)
    }

    /// A time-out was for nothing: what it marked and has not left again is in flight as before.
    /// What had left again before, or was missed by others, stays marked. O(window), as rare
    /// as the time-out.
    pub fn put_back(&mut self, path: PathId) {
        for index in 0..self.records.len() as u32 {
            let record = &mut self.records[index as usize];
            let marked = record.state == State::Lost && record.path == path;
            if !marked || record.transmits > 1 || record.fast_retransmitted || record.reneged {
                continue;
            }
            record.state = State::InFlight;
            record.misses = 0;
            let record = *record;
            let len = record.len;
            self.note_put_back(&record);
            self.lost -= 1;
            self.countable = self.countable.min(index);
            self.enter_flight(index, path, len);
            let rack = &mut self.paths[path.index()].rack;
            rack.fresh = rack.fresh.min(index);
        }
        if let Some(path) = self.paths.get_mut(path.index()) {
            path.rack.forget_newest();
        }
        self.find_lost();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    const PATIENCE: Duration = Duration::from_secs(1);

    /// An episode in which TSNs 5 and 6 left again.
    fn episode(cause: Cause) -> Retransmits {
        let mut resent = Retransmits::default();
        assert!(resent.begin(at(0), cause, Some(Tsn(5))));
        resent.resent(at(1), Tsn(5), true);
        resent.resent(at(1), Tsn(6), true);
        resent
    }

    #[test]
    fn every_retransmission_has_to_be_for_nothing() {
        let mut resent = episode(Cause::Loss);
        assert!(resent.duplicate(at(9), Tsn(5)));
        assert_eq!(resent.judge(at(9), false, PATIENCE), None);
        assert!(resent.acknowledged(Tsn(6), false, true));
        assert!(!resent.duplicate(at(10), Tsn(6)), "known already");
        assert_eq!(resent.judge(at(10), true, PATIENCE), None, "more to come");
        assert_eq!(resent.judge(at(10), false, PATIENCE), Some(Cause::Loss));
        assert_eq!(resent.judge(at(11), false, PATIENCE), None, "once");
    }

    #[test]
    fn a_network_that_duplicates_is_not_believed() {
        let mut resent = episode(Cause::Loss);
        assert!(!resent.duplicate(at(8), Tsn(4)));
        for tsn in [5, 6] {
            assert!(resent.duplicate(at(9), Tsn(tsn)));
        }
        assert_eq!(resent.judge(at(9), false, PATIENCE), None);
        assert!(resent.begin(at(200_000), Cause::Loss, None));
        resent.resent(at(200_000), Tsn(9), true);
        assert!(resent.duplicate(at(200_001), Tsn(9)));
        let late = resent.judge(at(200_001), false, PATIENCE);
        assert_eq!(late, Some(Cause::Loss));
    }

    #[test]
    fn a_report_counts_for_one_transmission() {
        let mut resent = Retransmits::default();
        resent.resent(at(0), Tsn(5), false);
        resent.begin(at(1), Cause::Loss, None);
        resent.resent(at(1), Tsn(5), true);
        assert!(resent.duplicate(at(2), Tsn(5)));
        assert_eq!(resent.judge(at(2), false, PATIENCE), None, "the probe's");
        assert!(resent.duplicate(at(3), Tsn(5)));
        assert_eq!(resent.judge(at(3), false, PATIENCE), Some(Cause::Loss));
    }

    #[test]
    fn one_copy_too_many_is_a_probes() {
        let mut resent = episode(Cause::Loss);
        resent.resent(at(2), Tsn(6), false);
        for tsn in [5, 6] {
            assert!(resent.duplicate(at(9), Tsn(tsn)));
        }
        assert_eq!(resent.judge(at(9), false, PATIENCE), None);
        assert!(resent.duplicate(at(10), Tsn(6)));
        assert_eq!(resent.judge(at(10), false, PATIENCE), Some(Cause::Loss));
    }

    #[test]
    fn patience_ends() {
        let mut resent = episode(Cause::Loss);
        assert_eq!(resent.judge(at(1002), false, PATIENCE), None);
        for tsn in [5, 6] {
            assert!(resent.duplicate(at(1003), Tsn(tsn)));
        }
        assert_eq!(resent.judge(at(1003), false, PATIENCE), None);
    }

    #[test]
    fn a_time_out_is_undone_by_what_left_before_it() {
        let mut resent = episode(Cause::TimeOut);
        resent.acknowledged(Tsn(5), false, true);
        let judged = resent.judge(at(9), true, PATIENCE);
        assert_eq!(judged, Some(Cause::TimeOut), "too soon for the head");

        let mut resent = episode(Cause::TimeOut);
        resent.acknowledged(Tsn(5), false, false);
        resent.acknowledged(Tsn(7), true, false);
        let judged = resent.judge(at(9), true, PATIENCE);
        assert_eq!(judged, None, "the head may have been all that was missing");
        resent.acknowledged(Tsn(8), true, false);
        let judged = resent.judge(at(9), true, PATIENCE);
        assert_eq!(judged, Some(Cause::TimeOut));
    }

    #[test]
    fn a_time_out_whose_head_is_missing_stays() {
        let mut resent = episode(Cause::TimeOut);
        resent.acknowledged(Tsn(7), true, false);
        assert_eq!(resent.judge(at(9), true, PATIENCE), None);
        resent.acknowledged(Tsn(5), false, false);
        assert_eq!(resent.judge(at(9), true, PATIENCE), None);
        resent.acknowledged(Tsn(8), true, false);
        assert_eq!(resent.judge(at(9), true, PATIENCE), None);
    }

    #[test]
    fn time_outs_in_a_row_are_one_up_to_a_point() {
        let mut resent = episode(Cause::TimeOut);
        for _ in 1..TIME_OUTS {
            assert!(!resent.begin(at(2), Cause::TimeOut, None));
            assert!(resent.episode.is_some());
        }
        assert!(!resent.begin(at(2), Cause::TimeOut, None));
        assert!(resent.episode.is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut resent = episode(Cause::Loss);
        for tsn in 0..2000 {
            resent.resent(at(2), Tsn(tsn), true);
        }
        assert_eq!(resent.list.len(), REMEMBERED);
        assert!(resent.episode.is_none());
    }
}
