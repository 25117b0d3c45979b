//! The timers of one association and when the next is due.

use smallvec::SmallVec;

use crate::{ids::PathId, time::Instant};

/// A timer of the association as a whole. The last variant sizes the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Timer {
    /// T1-init in COOKIE-WAIT, T1-cookie in COOKIE-ECHOED (§5.1).
    T1,
    /// T2-shutdown (§9.2).
    T2,
    /// T5-shutdown-guard (§9.2).
    T5,
    /// Retransmission of a RE-CONFIG request (RFC 6525 §5.1.1).
    Reconfig,
    /// T4: retransmission of an ASCONF (RFC 5061 §5.1).
    Asconf,
    /// An address that the peer was told of had its time to be heard at.
    Introduce,
    /// The association is idle of user data (RFC 6458 §8.1.8).
    Autoclose,
}

/// A timer that every path has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum PathTimer {
    /// What was overtaken counts as lost (RFC 8985 §6.3).
    Reordering,
    /// A tail loss probe (RFC 8985 §7). Before T3: due at one time, the probe postpones it.
    Probe,
    /// T3-rtx (§6.3).
    T3,
    /// The next HEARTBEAT, or the time-out of the one under way (§8.3).
    Heartbeat,
    /// Data that the pacer holds may leave.
    Pacing,
    /// PROBE_TIMER: no answer came to a probe of the path MTU (RFC 8899 §5.1.1).
    PathMtu,
}

impl Timer {
    const ALL: [Self; Self::Autoclose as usize + 1] = [
        Self::T1,
        Self::T2,
        Self::T5,
        Self::Reconfig,
        Self::Asconf,
        Self::Introduce,
        Self::Autoclose,
    ];
}

impl PathTimer {
    const ALL: [Self; Self::PathMtu as usize + 1] = [
        Self::Reordering,
        Self::Probe,
        Self::T3,
        Self::Heartbeat,
        Self::Pacing,
        Self::PathMtu,
    ];
}

/// One that ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expired {
    Association(Timer),
    Path(PathTimer, PathId),
}

type PathSlots = [Option<Instant>; PathTimer::ALL.len()];

/// A slot per timer. Setting and stopping are O(1); the earliest deadline is cached and found anew
/// only after the timer it belonged to was stopped or put off.
#[derive(Debug, Default)]
pub(crate) struct TimerTable {
    association: [Option<Instant>; Timer::ALL.len()],
    paths: SmallVec<[PathSlots; 1]>,
    /// Never later than the earliest deadline.
    bound: Option<Instant>,
}

impl TimerTable {
    /// Starts or restarts a timer.
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.association[timer as usize] = Some(at);
        self.lower(at);
    }

    /// Stops a timer.
    pub(crate) fn stop(&mut self, timer: Timer) {
        self.association[timer as usize] = None;
    }

    /// Whether a timer runs.
    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.association[timer as usize].is_some()
    }

    /// Starts or restarts a timer of a path.
    pub(crate) fn set_path(&mut self, timer: PathTimer, path: PathId, at: Instant) {
        if self.paths.len() <= path.index() {
            self.paths.resize(path.index() + 1, PathSlots::default());
        }
        self.paths[path.index()][timer as usize] = Some(at);
        self.lower(at);
    }

    /// Stops a timer of a path.
    pub(crate) fn stop_path(&mut self, timer: PathTimer, path: PathId) {
        if let Some(slots) = self.paths.get_mut(path.index()) {
            slots[timer as usize] = None;
        }
    }

    /// Stops all timers of a path.
    pub(crate) fn stop_all_of(&mut self, path: PathId) {
        if let Some(slots) = self.paths.get_mut(path.index()) {
            *slots = PathSlots::default();
        }
    }

    /// Whether a timer of a path runs.
    pub(crate) fn is_path_set(&self, timer: PathTimer, path: PathId) -> bool {
        self.path_deadline(timer, path).is_some()
    }

    /// When a timer of a path runs out.
    pub(crate) fn path_deadline(&self, timer: PathTimer, path: PathId) -> Option<Instant> {
        self.paths.get(path.index())?[timer as usize]
    }

    /// Stops all.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The earliest deadline, or a moment before it: a timer that was put off leaves its old
    /// deadline behind as a harmless early wake-up, which saves a search per restart of T3.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.bound
    }

    /// Takes one timer that is due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Expired> {
        if self.bound.is_none_or(|bound| bound > now) {
            return None;
        }
        let due = |slot: &Option<Instant>| slot.is_some_and(|at| at <= now);
        for timer in Timer::ALL {
            if due(&self.association[timer as usize]) {
                self.association[timer as usize] = None;
                return Some(Expired::Association(timer));
            }
        }
        for (index, slots) in (0u8..).zip(&mut self.paths) {
            for timer in PathTimer::ALL {
                if due(&slots[timer as usize]) {
                    slots[timer as usize] = None;
                    return Some(Expired::Path(timer, PathId(index)));
                }
            }
        }
        let all = self.association.iter().chain(self.paths.iter().flatten());
        self.bound = all.flatten().min().copied();
        None
    }

    fn lower(&mut self, at: Instant) {
        self.bound = Some(self.bound.map_or(at, |bound| bound.min(at)));
    }
}

/// For the tests, which check the books.
#[cfg(feature = "internals")]
impl TimerTable {
    /// The timers that run.
    pub(super) fn all(&self) -> impl Iterator<Item = (Expired, Instant)> {
        let association = Timer::ALL.into_iter().filter_map(|timer| {
            let at = self.association[timer as usize]?;
            Some((Expired::Association(timer), at))
        });
        let paths = (0_u8..).zip(&self.paths).flat_map(|(index, slots)| {
            PathTimer::ALL.into_iter().filter_map(move |timer| {
                let at = slots[timer as usize]?;
                Some((Expired::Path(timer, PathId(index)), at))
            })
        });
        association.chain(paths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn timers_run_out_once_and_only_when_due() {
        let mut table = TimerTable::default();
        table.set(Timer::T2, at(30));
        table.set_path(PathTimer::T3, PathId(1), at(20));
        assert_eq!(table.next(), Some(at(20)));
        assert_eq!(table.pop(at(19)), None);
        assert_eq!(
            table.pop(at(25)),
            Some(Expired::Path(PathTimer::T3, PathId(1)))
        );
        assert_eq!(table.pop(at(25)), None);
        assert_eq!(table.next(), Some(at(30)));
        assert_eq!(table.pop(at(30)), Some(Expired::Association(Timer::T2)));
        assert_eq!(table.pop(at(99)), None);
        assert_eq!(table.next(), None);
    }

    #[test]
    fn a_timer_put_off_does_not_run_out_at_its_old_deadline() {
        let mut table = TimerTable::default();
        table.set(Timer::T1, at(10));
        table.set(Timer::T1, at(40));
        assert!(table.next() <= Some(at(40)));
        assert_eq!(table.pop(at(10)), None);
        assert_eq!(table.next(), Some(at(40)));
        table.stop(Timer::T1);
        assert_eq!(table.pop(at(50)), None);
        assert_eq!(table.next(), None);
    }
}
