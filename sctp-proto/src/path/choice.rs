//! Which path a packet takes.
//!
//! New data takes the primary path while that is active, whatever the others are like. When it has
//! failed, even only potentially (RFC 7829), data takes another: an active one; if there is none,
//! the one that failed least. What was lost goes again where it went before, unless that way has
//! failed or timed out: then by the path that has least in common with it.

use super::{Path, Paths};
use crate::{association::PathState, ids::PathId};

/// How well a path will do, the best first: its state; then what it has in common with the one to
/// be avoided, or its failures, of which an active one has none that count.
type Rank = (u8, u32, usize);

impl Paths {
    /// Where new data goes that asks for no path.
    //= RFC 9260 §6.4
    //# By default, an endpoint SHOULD always transmit to the primary path, unless the SCTP user
    //# explicitly specifies the destination transport address (and possibly source transport
    //# address) to use.
    //= RFC 9260 §6.4.1
    //# When there is outbound data to send and the primary path becomes inactive (e.g., due to
    //# failures) or where the SCTP user explicitly requests to send data to an inactive destination
    //# transport address before reporting an error to its ULP, the SCTP endpoint SHOULD try to send
    //# the data to an alternate active destination transport address if one exists.
    //= RFC 9260 §8.2
    //# If more than one alternate address is active when the primary path is marked inactive, only
    //# ONE transport address SHOULD be chosen and used as the new destination transport address.
    pub(crate) fn for_new_data(&self) -> PathId {
        let primary = self.get(self.primary());
        if primary.is_usable() || (self.is_single() && !primary.gone) {
            return primary.id;
        }
        let confirmed = self.iter().filter(|path| path.confirmed);
        let best = confirmed.min_by_key(|path| rank(path, primary));
        // Where none is confirmed any more, data waits for the first that will be.
        let best = best.or_else(|| self.iter().find(|_| primary.gone));
        best.map_or(primary.id, |path| path.id)
    }

    /// Where data goes that asks for this path.
    pub(crate) fn for_pinned(&self, wanted: PathId) -> PathId {
        let usable = self
            .iter()
            .any(|path| path.id == wanted && path.is_usable());
        if usable { wanted } else { self.for_new_data() }
    }

    /// Where a chunk goes again that was last sent on this path and lost.
    //= RFC 9260 §6.4
    //# Furthermore, when its peer is multi-homed, an endpoint SHOULD try to retransmit a chunk that
    //# timed out to an active destination transport address that is different from the last
    //# destination address to which the chunk was sent.
    //= RFC 9260 §6.4
    //# When its peer is multi-homed, an endpoint SHOULD send fast retransmissions to the same
    //# destination transport address to which the original data was sent.
    pub(crate) fn for_lost(&self, last: PathId) -> PathId {
        let path = self.get(last);
        if path.is_usable() && !path.on_probation {
            return last;
        }
        match self.alternate(last) {
            Some(other) => other,
            None if path.is_usable() => last,
            None => self.for_new_data(),
        }
    }

    /// The active path that has least in common with this one, if there is another.
    //= RFC 9260 §6.4.1
    //# When retransmitting timed-out data, the endpoint SHOULD attempt to pick the most divergent
    //# source-destination pair from the original source-destination pair to which the packet was
    //# transmitted.
    pub(crate) fn alternate(&self, to: PathId) -> Option<PathId> {
        if self.is_single() {
            return None;
        }
        let avoided = self.get(to);
        let others = self.iter().filter(|path| path.is_usable() && path.id != to);
        let best = others.min_by_key(|path| rank(path, avoided));
        best.map(|path| path.id)
    }
}

fn rank(path: &Path, avoided: &Path) -> Rank {
    let failures = path.unanswered;
    let (state, order) = match path.state {
        PathState::Active if !path.on_probation => (0, path.shared_ends(avoided)),
        PathState::Active => (1, path.shared_ends(avoided)),
        PathState::PotentiallyFailed => (2, failures),
        // Dormant if it comes to that (RFC 7829 §3.3): each time-out makes another one the best.
        PathState::Inactive | PathState::Unconfirmed => (3, failures),
    };
    (state, order, path.id.index())
}

impl Path {
    /// Whether data may take it as long as there is no reason against.
    pub(crate) fn is_usable(&self) -> bool {
        self.confirmed && self.state == PathState::Active && !self.gone
    }

    /// What it has in common with another. The peer's address counts for more than the one of this
    /// side: routes go by the destination, so that what is sent there from elsewhere mostly takes
    /// the same way.
    fn shared_ends(&self, other: &Self) -> u32 {
        let remote = |path: &Self| path.remote.ip().to_canonical();
        u32::from(self.local() == other.local()) + 2 * u32::from(remote(self) == remote(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AssociationConfig;

    /// Two addresses on each side: (0, 0), (1, 1), (0, 1), (1, 0), all confirmed and active.
    fn paths() -> Paths {
        let path = |id: u8, local: u8, remote: u8| {
            let remote = format!("10.{remote}.0.2:9899").parse().expect("an address");
            let config = AssociationConfig::default();
            let mut path = Path::new(PathId(id), remote, PathState::Active, &config);
            path.local_ip = Some(format!("10.{local}.0.1").parse().expect("an address"));
            path
        };
        let mut paths = Paths::new(path(0, 0, 0));
        for (id, local, remote) in [(1, 0, 1), (2, 1, 0), (3, 1, 1)] {
            paths.add(path(id, local, remote));
        }
        paths
    }

    fn set(paths: &mut Paths, id: u8, state: PathState, unanswered: u32) {
        let path = paths.get_mut(PathId(id));
        (path.state, path.unanswered) = (state, unanswered);
    }

    #[test]
    fn new_data_takes_the_primary_while_it_is_active() {
        let mut paths = paths();
        assert_eq!(paths.for_new_data(), PathId(0));
        paths.set_primary(PathId(2));
        assert_eq!(paths.for_new_data(), PathId(2));
        paths.get_mut(PathId(2)).on_probation = true;
        assert_eq!(paths.for_new_data(), PathId(2), "it has not failed");
    }

    //= RFC 9260 §6.4.1, test
    //# When retransmitting timed-out data, the endpoint SHOULD attempt to pick...
    #[test]
    fn the_way_round_a_failure_shares_neither_end() {
        let mut paths = paths();
        assert_eq!(paths.alternate(PathId(0)), Some(PathId(3)));
        assert_eq!(paths.alternate(PathId(1)), Some(PathId(2)));
        set(&mut paths, 0, PathState::PotentiallyFailed, 1);
        assert_eq!(paths.for_new_data(), PathId(3));
        assert_eq!(paths.for_lost(PathId(0)), PathId(3));
        set(&mut paths, 3, PathState::PotentiallyFailed, 1);
        assert_eq!(paths.for_lost(PathId(0)), PathId(1), "one end in common");
    }

    #[test]
    fn another_address_of_the_peer_is_more_of_a_way_round_than_another_of_this_side() {
        let mut paths = paths();
        set(&mut paths, 1, PathState::PotentiallyFailed, 1);
        assert_eq!(paths.alternate(PathId(2)), Some(PathId(3)));
        set(&mut paths, 3, PathState::PotentiallyFailed, 1);
        assert_eq!(
            paths.alternate(PathId(2)),
            Some(PathId(0)),
            "rather than none"
        );
    }

    #[test]
    fn losses_go_again_the_same_way_unless_it_timed_out() {
        let mut paths = paths();
        assert_eq!(paths.for_lost(PathId(2)), PathId(2));
        paths.get_mut(PathId(2)).on_probation = true;
        assert_eq!(paths.for_lost(PathId(2)), PathId(1));
        for other in [0, 1, 3] {
            set(&mut paths, other, PathState::Inactive, 7);
        }
        assert_eq!(paths.for_lost(PathId(2)), PathId(2), "there is no other");
    }

    #[test]
    fn of_those_that_failed_the_one_that_failed_least() {
        let mut paths = paths();
        for (id, failures) in [(0, 4), (1, 3), (2, 2), (3, 3)] {
            set(&mut paths, id, PathState::PotentiallyFailed, failures);
        }
        assert_eq!(paths.for_new_data(), PathId(2));
        assert_eq!(paths.alternate(PathId(0)), None);
        set(&mut paths, 2, PathState::Inactive, 2);
        assert_eq!(paths.for_new_data(), PathId(1));
    }

    #[test]
    fn when_all_have_failed_they_are_tried_in_turn() {
        let mut paths = paths();
        for id in 0..4 {
            set(&mut paths, id, PathState::Inactive, 6);
        }
        let mut tried = Vec::new();
        for _ in 0..8 {
            let path = paths.for_new_data();
            tried.push(path.0);
            paths.get_mut(path).unanswered += 1;
        }
        assert_eq!(tried, [0, 1, 2, 3, 0, 1, 2, 3]);
    }

    #[test]
    fn what_is_not_confirmed_or_gone_carries_nothing() {
        let mut paths = paths();
        paths.get_mut(PathId(3)).confirmed = false;
        paths.get_mut(PathId(1)).gone = true;
        assert_eq!(paths.alternate(PathId(0)), Some(PathId(2)));
        for id in 0..4 {
            set(
                &mut paths,
                id,
                PathState::Inactive,
                u32::from(id == 0) * 9 + 1,
            );
        }
        assert_eq!(paths.for_new_data(), PathId(2));
        assert_eq!(paths.for_pinned(PathId(1)), PathId(2));
    }
}
