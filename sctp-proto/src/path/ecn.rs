//! ECN on one path: whether packets are marked, and how often marks that the peer tells of are
//! answered.

use std::time::Duration;

use crate::{ids::Tsn, time::Instant};

/// Time-outs of marked data after which packets count as lost for their mark, if what went without in
/// between arrived. One happens on paths that are merely bad.
const MAX_TIME_OUTS: u32 = 2;
/// Reductions in a row, none of them four round trips after the one before, after which the marks
/// count as somebody's mistake: any window is at its least by then.
const MAX_STREAK: u32 = 16;

/// What an ECNE asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Echo {
    /// The window is to be reduced.
    Reduce,
    /// It was reduced for this mark already: CWR with this TSN tells.
    Answered(Tsn),
    /// An honest peer cannot have seen a mark so soon: nothing.
    TooSoon,
}

/// ECN of a path.
#[derive(Debug, Default)]
pub(crate) struct PathEcn {
    /// The path loses what is marked, or marks all.
    off: bool,
    /// Time-outs since marked data was last acknowledged.
    time_outs: u32,
    /// The highest TSN that had left when the window was last reduced, and when that was.
    reduced: Option<(Tsn, Instant)>,
    streak: u32,
}

impl PathEcn {
    /// Whether packets with DATA are marked ECT.
    pub(crate) fn marks(&self) -> bool {
        !self.off
    }

    /// Data on the path was acknowledged that was not sent after a time-out, unmarked.
    pub(crate) fn on_acked(&mut self) {
        self.time_outs = 0;
    }

    /// T3-rtx ran out on the path, with marked data in flight.
    pub(crate) fn on_timeout(&mut self) {
        self.time_outs += 1;
        self.off |= self.time_outs == MAX_TIME_OUTS;
    }

    /// The peer tells that the packet with this TSN was marked. `highest` is the last TSN that left.
    pub(crate) fn on_echo(&mut self, now: Instant, tsn: Tsn, highest: Tsn, srtt: Duration) -> Echo {
        if let Some((answered, at)) = self.reduced {
            if self.has_answered(tsn) {
                return Echo::Answered(answered);
            }
            if now - at < srtt {
                return Echo::TooSoon;
            }
            let at_once = now - at < 4 * srtt;
            self.streak = if at_once { self.streak + 1 } else { 0 };
        }
        self.reduced = Some((highest, now));
        self.off |= self.streak == MAX_STREAK;
        Echo::Reduce
    }

    /// Whether the window was reduced for a mark of this TSN, or of one that had left by then.
    pub(crate) fn has_answered(&self, tsn: Tsn) -> bool {
        (self.reduced).is_some_and(|(answered, _)| !answered.before(tsn))
    }

    /// TSNs begin anew.
    pub(crate) fn forget(&mut self) {
        self.reduced = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(100);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_window_of_marks_is_answered_once() {
        let mut ecn = PathEcn::default();
        let mut echo = |ms, tsn, highest| ecn.on_echo(at(ms), Tsn(tsn), Tsn(highest), RTT);
        assert_eq!(echo(1000, 5, 20), Echo::Reduce);
        assert_eq!(echo(1001, 5, 21), Echo::Answered(Tsn(20)));
        assert_eq!(echo(1050, 20, 30), Echo::Answered(Tsn(20)));
        assert_eq!(echo(1099, 21, 30), Echo::TooSoon);
        assert_eq!(echo(1100, 21, 30), Echo::Reduce);
        assert_eq!(echo(1101, 21, 30), Echo::Answered(Tsn(30)));
    }

    #[test]
    fn marks_without_an_end_are_a_mistake() {
        let mut ecn = PathEcn::default();
        let mut tsn = 0;
        while ecn.marks() {
            tsn += 1;
            let now = at(u64::from(tsn) * 150);
            assert_eq!(ecn.on_echo(now, Tsn(tsn), Tsn(tsn), RTT), Echo::Reduce);
            assert!(tsn <= MAX_STREAK + 1);
        }
        assert_eq!(tsn, MAX_STREAK + 1);
        // With pauses they are congestion.
        let mut ecn = PathEcn::default();
        for n in 0..100 {
            ecn.on_echo(at(u64::from(n) * 400), Tsn(n), Tsn(n), RTT);
        }
        assert!(ecn.marks());
    }

    #[test]
    fn a_path_on_which_nothing_marked_arrives_goes_without() {
        let mut ecn = PathEcn::default();
        ecn.on_timeout();
        ecn.on_acked();
        ecn.on_timeout();
        assert!(ecn.marks(), "it was known to work in between");
        ecn.on_timeout();
        assert!(!ecn.marks());
        ecn.on_acked();
        assert!(!ecn.marks());
    }
}
