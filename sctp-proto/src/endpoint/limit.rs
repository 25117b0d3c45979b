//! How often something may be done, altogether or for one source.

use std::{
    hash::{DefaultHasher, Hasher},
    net::IpAddr,
    time::Duration,
};

use crate::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

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
        let left = take(self.whole_at, now, self.per_second);
        self.whole_at = left.unwrap_or(self.whole_at);
        left.is_some()
    }
}

/// When a budget that will be whole at `whole_at` will be so after one is taken from it; `None` if
/// there is none to take.
fn take(whole_at: Instant, now: Instant, per_second: u32) -> Option<Instant> {
    if per_second == 0 {
        return None;
    }
    let whole_at = whole_at.max(now) + SECOND / per_second;
    (whole_at - now <= SECOND).then_some(whole_at)
}

/// Budgets per row. A flood that empties all of them sends at a thousand times the limit of one
/// source; fewer would make that easier, more would cost 16 bytes each.
const BUDGETS: usize = 1024;

/// At most so many events per second from each source, in a table whose size depends on nothing.
///
/// A source is an IPv4 address, or the /64 of an IPv6 one: what one host can choose from. It has
/// a budget in each of two rows, at places that a secret decides, and shares both with others. It
/// is held back when both are empty: whoever floods from one source, or from some hundreds, thus
/// empties hardly any pair but his own, and nobody can find out whom he shares one with. O(1).
#[derive(Debug)]
pub(super) struct SourceLimit {
    per_second: u32,
    secret: u128,
    /// When each budget will be whole again.
    rows: [Box<[Instant]>; 2],
}

impl SourceLimit {
    pub(super) fn new(per_second: u32, secret: u128) -> Self {
        let row = || vec![Instant::EPOCH; BUDGETS].into_boxed_slice();
        Self {
            per_second,
            secret,
            rows: [row(), row()],
        }
    }

    /// Takes one from the budget of a source, if there is one.
    pub(super) fn take(&mut self, now: Instant, source: IpAddr) -> bool {
        let hash = self.hash(source);
        let places = [hash as u32, (hash >> 32) as u32].map(|half| half as usize % BUDGETS);
        let [first, second] = &mut self.rows;
        let budgets = [&mut first[places[0]], &mut second[places[1]]];
        let fuller = (*budgets[0]).min(*budgets[1]);
        let Some(whole_at) = take(fuller, now, self.per_second) else {
            return false;
        };
        for budget in budgets {
            *budget = whole_at.max(*budget);
        }
        true
    }

    fn hash(&self, source: IpAddr) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u128(self.secret);
        match source.to_canonical() {
            IpAddr::V4(ip) => hasher.write_u32(ip.to_bits()),
            IpAddr::V6(ip) => hasher.write_u64((ip.to_bits() >> 64) as u64),
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::EPOCH + Duration::from_millis(millis)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_second_has_its_budget_and_no_more() {
        let mut limit = RateLimit::new(10);
        let taken = |limit: &mut RateLimit, now| (0..100).filter(|_| limit.take(now)).count();
        assert_eq!(taken(&mut limit, at(0)), 10);
        assert_eq!(taken(&mut limit, at(99)), 0);
        assert_eq!(taken(&mut limit, at(100)), 1);
        assert_eq!(taken(&mut limit, at(600)), 5);
        assert_eq!(taken(&mut limit, at(100_000)), 10);
        assert!(!RateLimit::new(0).take(at(1)));
    }

    #[test]
    fn each_source_has_its_own_budget() {
        let mut limit = SourceLimit::new(10, 7);
        let mut taken = |now, source| (0..100).filter(|_| limit.take(now, ip(source))).count();
        assert_eq!(taken(at(0), "192.0.2.1"), 10);
        assert_eq!(taken(at(0), "192.0.2.2"), 10);
        assert_eq!(taken(at(200), "192.0.2.1"), 2);
        // The same one, as an IPv6 socket shows it.
        assert_eq!(taken(at(200), "::ffff:192.0.2.1"), 0);
        // A host may choose the lower half of its address.
        assert_eq!(taken(at(0), "2001:db8::1"), 10);
        assert_eq!(taken(at(0), "2001:db8::77:1"), 0);
        assert_eq!(taken(at(0), "2001:db8:0:1::1"), 10);
    }

    #[test]
    fn a_flood_from_many_sources_leaves_others_their_budget() {
        let mut limit = SourceLimit::new(10, 7);
        for host in 0..100 {
            let source = IpAddr::from([198, 51, 100, host]);
            (0..1000).for_each(|_| _ = limit.take(at(0), source));
        }
        let served = (0..=255).filter(|&host| limit.take(at(0), IpAddr::from([192, 0, 2, host])));
        // Both of its places are among some 100 of 1024 for about one in a hundred.
        let served = served.count();
        assert!(served >= 245, "{served} of 256");
    }

    #[test]
    fn the_secret_decides_who_shares_a_budget() {
        let sharing = |secret| {
            let limit = SourceLimit::new(1, secret);
            let place = |host| limit.hash(IpAddr::from([192, 0, 2, host])) as usize % BUDGETS;
            (0..=255).map(place).collect::<Vec<_>>()
        };
        assert_ne!(sharing(1), sharing(2));
    }
}
