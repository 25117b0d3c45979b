//! Which local address is paired with which of the peer's.

use std::net::IpAddr;

use smallvec::SmallVec;

use crate::address::is_same_family;

/// A pair as indexes into the two lists it was made from.
pub(crate) type Pair = (usize, usize);

/// The first `max` pairs of one family, those that share neither end first: (0, 0), (1, 1), then
/// (0, 1), (1, 2) or (1, 0), and so on. What goes wrong between two ends of a pair then leaves the
/// next one whole, and no other pair is tried before it. IPv4 and IPv6 take turns, the family of
/// the first local address (or the peer's, if there is none) first.
pub(crate) fn pairs(locals: &[IpAddr], remotes: &[IpAddr], max: usize) -> SmallVec<[Pair; 8]> {
    let first = locals.first().or(remotes.first());
    let mut found = SmallVec::new();
    let Some(&first) = first else { return found };
    let family = |list: &[IpAddr], same: bool| -> SmallVec<[usize; 8]> {
        let indexes = list.iter().enumerate();
        indexes
            .filter(|(_, ip)| is_same_family(**ip, first) == same)
            .map(|(index, _)| index)
            .collect()
    };
    let families = [true, false].map(|same| (family(locals, same), family(remotes, same)));
    let rounds = families.iter().map(|(_, remotes)| remotes.len()).max();
    for round in 0..rounds.unwrap_or(0) {
        for (locals, remotes) in &families {
            for (n, &local) in locals
                .iter()
                .enumerate()
                .take_while(|_| round < remotes.len())
            {
                found.push((local, remotes[(n + round) % remotes.len()]));
            }
        }
    }
    found.truncate(max);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts
            .iter()
            .map(|text| text.parse().expect("an address"))
            .collect()
    }

    fn of(locals: &[&str], remotes: &[&str]) -> Vec<Pair> {
        pairs(&ips(locals), &ips(remotes), 8).to_vec()
    }

    #[test]
    fn pairs_that_share_nothing_come_first() {
        let two = ["10.0.0.1", "10.1.0.1"];
        assert_eq!(of(&two, &two), [(0, 0), (1, 1), (0, 1), (1, 0)]);
        assert_eq!(of(&two, &two[..1]), [(0, 0), (1, 0)]);
        assert_eq!(of(&two[..1], &two), [(0, 0), (0, 1)]);
        let three = ["10.0.0.1", "10.1.0.1", "10.2.0.1"];
        let pairs = of(&two, &three);
        assert_eq!(pairs, [(0, 0), (1, 1), (0, 1), (1, 2), (0, 2), (1, 0)]);
    }

    #[test]
    fn families_are_not_mixed() {
        let mixed = ["2001:db8::1", "10.0.0.1", "::ffff:10.1.0.1"];
        let pairs = of(&mixed, &mixed);
        assert_eq!(pairs, [(0, 0), (1, 1), (2, 2), (1, 2), (2, 1)]);
        assert_eq!(of(&["::1"], &["10.0.0.1"]), []);
    }

    #[test]
    fn there_are_no_more_than_allowed_and_each_once() {
        let many: Vec<String> = (0..20).map(|n| format!("10.0.0.{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (l, r) in [(1, 20), (20, 1), (3, 20), (20, 3), (20, 20)] {
            let found = of(&many[..l], &many[..r]);
            assert_eq!(found.len(), 8.min(l * r));
            let unique: std::collections::HashSet<_> = found.iter().collect();
            assert_eq!(unique.len(), found.len(), "{found:?}");
        }
        assert_eq!(of(&[], &["10.0.0.1"]), []);
    }
}
