//! Which peer address each association is charged to, and whether one more may be.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use rustc_hash::FxHashMap;

use crate::{
    accounts::{Account, Accounts, Held, RESERVE},
    config::EndpointConfig,
    ids::AssociationHandle,
};

/// What one peer address has, which is an IPv4 address or the /64 of an IPv6 one: a host may
/// choose the rest of it.
#[derive(Debug)]
struct PeerAddress {
    held: Arc<Held>,
    /// Waiting peers included.
    associations: usize,
}

/// The associations of each peer address. An association is charged to the address that it was set
/// up with, whatever others it has.
#[derive(Debug)]
pub(super) struct Ledger {
    accounts: Arc<Accounts>,
    max_associations_per_peer: usize,
    max_memory_per_peer: usize,
    /// Peers choose their addresses: hashed with a random key.
    addresses: HashMap<IpAddr, PeerAddress>,
    charged: FxHashMap<AssociationHandle, IpAddr>,
}

impl Ledger {
    pub(super) fn new(config: &EndpointConfig) -> Self {
        Self {
            accounts: Arc::new(Accounts::new(config)),
            max_associations_per_peer: config.max_associations_per_peer,
            max_memory_per_peer: config.max_memory_per_peer,
            addresses: HashMap::new(),
            charged: FxHashMap::default(),
        }
    }

    pub(super) fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Whether one more association with this address may be.
    pub(super) fn admits(&self, ip: IpAddr) -> bool {
        let at_hand = |peer: &PeerAddress| {
            peer.associations < self.max_associations_per_peer && peer.held.left() >= RESERVE
        };
        self.accounts.held.left() >= RESERVE && self.addresses.get(&key(ip)).is_none_or(at_hand)
    }

    /// Charges a new association or waiting peer to an address.
    pub(super) fn open(
        &mut self,
        handle: AssociationHandle,
        ip: IpAddr,
        is_client: bool,
    ) -> Account {
        let ip = key(ip);
        let limit = self.max_memory_per_peer;
        let peer = self.addresses.entry(ip).or_insert_with(|| PeerAddress {
            held: Arc::new(Held::new(limit)),
            associations: 0,
        });
        peer.associations += 1;
        self.charged.insert(handle, ip);
        Account::new(
            Arc::clone(&self.accounts),
            Arc::clone(&peer.held),
            is_client,
        )
    }

    /// The association, or waiting peer, is gone.
    pub(super) fn close(&mut self, handle: AssociationHandle) {
        let Some(ip) = self.charged.remove(&handle) else {
            return;
        };
        if let Entry::Occupied(mut entry) = self.addresses.entry(ip) {
            entry.get_mut().associations -= 1;
            if entry.get().associations == 0 {
                entry.remove();
            }
        }
    }

    /// Associations with an address, and the bytes that they hold.
    pub(super) fn of(&self, ip: IpAddr) -> (usize, usize) {
        match self.addresses.get(&key(ip)) {
            Some(peer) => (peer.associations, peer.held.bytes()),
            None => (0, 0),
        }
    }
}

fn key(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(associations: usize, per_peer: usize, all: usize) -> Ledger {
        let mut config = EndpointConfig::default();
        config
            .max_associations_per_peer(associations)
            .max_memory_per_peer(per_peer)
            .max_memory(all);
        Ledger::new(&config)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_so_many_associations_and_no_more() {
        let mut ledger = ledger(2, 1 << 20, 1 << 30);
        let mut open = |number, from| ledger.open(AssociationHandle(number), ip(from), false);
        let accounts = [open(1, "192.0.2.1"), open(2, "::ffff:192.0.2.1")];
        assert!(!ledger.admits(ip("192.0.2.1")));
        assert!(ledger.admits(ip("192.0.2.2")));
        ledger.close(AssociationHandle(1));
        // A second time, as when it is refused and then forgotten.
        ledger.close(AssociationHandle(1));
        assert!(ledger.admits(ip("192.0.2.1")));
        ledger.close(AssociationHandle(2));
        assert_eq!(ledger.of(ip("192.0.2.1")), (0, 0));
        assert!(ledger.addresses.is_empty() && ledger.charged.is_empty());
        drop(accounts);
    }

    #[test]
    fn the_lower_half_of_an_ipv6_address_makes_no_other_peer() {
        let mut ledger = ledger(1, 1 << 20, 1 << 30);
        let _account = ledger.open(AssociationHandle(1), ip("2001:db8::1"), false);
        assert!(!ledger.admits(ip("2001:db8::77")));
        assert!(ledger.admits(ip("2001:db8:0:1::1")));
    }

    #[test]
    fn who_holds_all_that_an_address_may_gets_no_more_associations() {
        let mut ledger = ledger(100, 4 * RESERVE, 6 * RESERVE);
        let mut account = ledger.open(AssociationHandle(1), ip("192.0.2.1"), false);
        account.hold(3 * RESERVE);
        assert!(ledger.admits(ip("192.0.2.1")));
        account.hold(3 * RESERVE + 1);
        assert!(!ledger.admits(ip("192.0.2.1")) && ledger.admits(ip("192.0.2.2")));
        account.hold(5 * RESERVE + 1);
        assert!(!ledger.admits(ip("192.0.2.2")), "nobody has room any more");
        drop(account);
        assert!(ledger.admits(ip("192.0.2.1")));
    }
}
