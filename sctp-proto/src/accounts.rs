//! The books of an endpoint: what its associations hold, altogether and for one peer address, and
//! what they have done (RFC 3873).
//!
//! Associations are owned by whoever drives them, and may be driven by other threads than the
//! endpoint. So each has an [`Account`] with references to the books, to which it adds what changed
//! when it has nothing more to send, once for a whole batch of packets. Nothing is ever decided by
//! an exact sum: a limit may be passed by what all associations take in within one batch.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use crate::{
    association::{AssociationState, AssociationStats},
    config::EndpointConfig,
    error::CloseReason,
};

/// What each association may hold in each direction whatever the others hold: with less it could
/// not go on, and what it holds would never be let go.
pub(crate) const RESERVE: usize = 16 * 1024;

/// Counters of all associations of an endpoint; names as in [`EndpointStats`](crate::EndpointStats).
macro_rules! totals {
    ($($name:ident <- $of:ident),* $(,)?) => {
        #[derive(Debug, Default)]
        pub(crate) struct Totals {
            pub(crate) current_established: AtomicU64,
            pub(crate) active_establishments: AtomicU64,
            pub(crate) passive_establishments: AtomicU64,
            pub(crate) aborted: AtomicU64,
            pub(crate) shut_down: AtomicU64,
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Totals {
            /// Adds what came about since the last time.
            fn add(&self, stats: &AssociationStats, before: &AssociationStats) {
                $(add(&self.$name, stats.$of - before.$of);)*
            }
        }
    };
}

totals! {
    packets_sent <- packets_sent,
    packets_received <- packets_received,
    control_chunks_sent <- control_chunks_sent,
    control_chunks_received <- control_chunks_received,
    ordered_chunks_sent <- ordered_chunks_sent,
    ordered_chunks_received <- ordered_chunks_received,
    unordered_chunks_sent <- unordered_chunks_sent,
    unordered_chunks_received <- unordered_chunks_received,
    messages_fragmented <- messages_fragmented,
    messages_reassembled <- messages_reassembled,
    peer_stalls <- peer_stalls,
}

fn add(counter: &AtomicU64, count: u64) {
    // Most of them are as they were, and the line of the others is another core's.
    if count > 0 {
        counter.fetch_add(count, Relaxed);
    }
}

/// Bytes that associations hold, and how many they may.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: AtomicUsize,
    limit: usize,
}

impl Held {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            limit,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// What may still be held.
    pub(crate) fn left(&self) -> usize {
        self.limit.saturating_sub(self.bytes())
    }

    fn change(&self, from: usize, to: usize) {
        if to >= from {
            self.bytes.fetch_add(to - from, Relaxed);
        } else {
            self.bytes.fetch_sub(from - to, Relaxed);
        }
    }
}

/// The books of an endpoint.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub(crate) held: Held,
    pub(crate) totals: Totals,
}

impl Accounts {
    pub(crate) fn new(config: &EndpointConfig) -> Self {
        Self {
            held: Held::new(config.max_memory),
            totals: Totals::default(),
        }
    }
}

/// One association's, or one waiting peer's, access to the books. What it has put there is taken
/// back when it is dropped.
#[derive(Debug)]
pub(crate) struct Account {
    all: Arc<Accounts>,
    peer: Arc<Held>,
    /// Bytes put down.
    held: usize,
    is_client: bool,
    /// Counted as established now.
    established: bool,
    ended: bool,
    /// The counters as they were added last.
    added: AssociationStats,
}

impl Account {
    pub(crate) fn new(all: Arc<Accounts>, peer: Arc<Held>, is_client: bool) -> Self {
        Self {
            all,
            peer,
            held: 0,
            is_client,
            established: false,
            ended: false,
            added: AssociationStats::default(),
        }
    }

    /// Puts down how many bytes are held now.
    pub(crate) fn hold(&mut self, bytes: usize) {
        if bytes != self.held {
            self.all.held.change(self.held, bytes);
            self.peer.change(self.held, bytes);
            self.held = bytes;
        }
    }

    /// Bytes put down last.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// How many more bytes may be held.
    pub(crate) fn left(&self) -> usize {
        self.all.held.left().min(self.peer.left())
    }

    /// Adds what the association has done, and in what state it is.
    pub(crate) fn settle(&mut self, state: AssociationState, stats: &AssociationStats) {
        let totals = &self.all.totals;
        let came = stats.establishments - self.added.establishments;
        add(
            match self.is_client {
                true => &totals.active_establishments,
                false => &totals.passive_establishments,
            },
            came,
        );
        totals.add(stats, &self.added);
        self.added = *stats;
        self.set_established(matches!(
            state,
            AssociationState::Established
                | AssociationState::ShutdownPending
                | AssociationState::ShutdownReceived
        ));
    }

    /// The association is over.
    pub(crate) fn end(&mut self, reason: &CloseReason) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let totals = &self.all.totals;
        match reason {
            CloseReason::Shutdown => add(&totals.shut_down, 1),
            CloseReason::LocalAbort
            | CloseReason::PeerAbort(_)
            | CloseReason::PeerMisbehaved(_)
            | CloseReason::PeerStalled
            | CloseReason::ShutdownTimedOut => add(&totals.aborted, 1),
            _ => {}
        }
    }

    fn set_established(&mut self, established: bool) {
        if std::mem::replace(&mut self.established, established) != established {
            let current = &self.all.totals.current_established;
            match established {
                true => current.fetch_add(1, Relaxed),
                false => current.fetch_sub(1, Relaxed),
            };
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.hold(0);
        self.set_established(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books(all: usize, peer: usize) -> (Arc<Accounts>, Arc<Held>) {
        let mut config = EndpointConfig::default();
        config.max_memory(all);
        (Arc::new(Accounts::new(&config)), Arc::new(Held::new(peer)))
    }

    #[test]
    fn what_is_held_is_counted_and_given_back() {
        let (all, peer) = books(1000, 600);
        let other = Arc::new(Held::new(600));
        let mut first = Account::new(Arc::clone(&all), Arc::clone(&peer), true);
        let mut second = Account::new(Arc::clone(&all), Arc::clone(&peer), true);
        let mut third = Account::new(Arc::clone(&all), other, true);
        first.hold(400);
        second.hold(100);
        assert_eq!((first.left(), third.left()), (100, 500));
        second.hold(300);
        third.hold(200);
        assert_eq!((first.left(), third.left()), (0, 100));
        first.hold(0);
        assert_eq!((peer.bytes(), all.held.bytes()), (300, 500));
        drop((second, third));
        assert_eq!((peer.bytes(), all.held.bytes()), (0, 0));
    }

    #[test]
    fn an_association_is_established_as_long_as_it_says_so() {
        let (all, peer) = books(1, 1);
        let mut account = Account::new(Arc::clone(&all), peer, false);
        let stats = AssociationStats {
            establishments: 1,
            packets_sent: 7,
            ..AssociationStats::default()
        };
        let current = || all.totals.current_established.load(Relaxed);
        account.settle(AssociationState::Established, &stats);
        account.settle(AssociationState::ShutdownPending, &stats);
        assert_eq!(current(), 1);
        assert_eq!(all.totals.passive_establishments.load(Relaxed), 1);
        assert_eq!(all.totals.packets_sent.load(Relaxed), 7);
        account.settle(AssociationState::ShutdownSent, &stats);
        assert_eq!(current(), 0);
        account.end(&CloseReason::Shutdown);
        account.end(&CloseReason::LocalAbort);
        let ends = (&all.totals.shut_down, &all.totals.aborted);
        assert_eq!((ends.0.load(Relaxed), ends.1.load(Relaxed)), (1, 0));
        account.settle(AssociationState::Established, &stats);
        drop(account);
        assert_eq!(current(), 0);
    }
}
