//! How often something may be done.

use std::time::Duration;

use crate::time::Instant;

/// At most so many events per second, and no more than a second's worth at once.
#[derive(Debug)]
pub(super) struct RateLimit {
    /// Zero: never.
    per_second: u32,
    /// When the budget will be whole again if nothing more is taken from it.
    whole_at: Instant,
}

impl RateLimit {
    pub(super) const fn new(per_second: u32) -> Self {
        Self {
            per_second,
            whole_at: Instant::EPOCH,
        }
    }

    /// Takes one from the budget, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if self.per_second == 0 {
            return false;
        }
        let second = Duration::from_secs(1);
        let whole_at = self.whole_at.max(now) + second / self.per_second;
        if whole_at - now > second {
            return false;
        }
        self.whole_at = whole_at;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_its_budget_and_no_more() {
        let at = |millis| Instant::EPOCH + Duration::from_millis(millis);
        let mut limit = RateLimit::new(10);
        let taken = |limit: &mut RateLimit, now| (0..100).filter(|_| limit.take(now)).count();
        assert_eq!(taken(&mut limit, at(0)), 10);
        assert_eq!(taken(&mut limit, at(99)), 0);
        assert_eq!(taken(&mut limit, at(100)), 1);
        assert_eq!(taken(&mut limit, at(600)), 5);
        assert_eq!(taken(&mut limit, at(100_000)), 10);
        assert!(!RateLimit::new(0).take(at(1)));
    }
}
