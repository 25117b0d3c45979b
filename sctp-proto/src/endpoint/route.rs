//! Which association a packet belongs to.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
};

use rand::{Rng, RngExt, rngs::StdRng};
use rustc_hash::{FxHashMap, FxHashSet};
use slab::Slab;
use smallvec::SmallVec;

use crate::ids::{AssociationHandle, Ports};

/// First of the ports that `connect` chooses from; 65535 is the last (RFC 6335 §6).
const FIRST_DYNAMIC_PORT: u16 = 49_152;
const DYNAMIC_PORTS: u16 = u16::MAX - FIRST_DYNAMIC_PORT + 1;

/// How packets of one association look. Waiting peers have routes, too.
#[derive(Debug)]
pub(super) struct Route {
    /// The verification tag of its incoming packets.
    pub(super) tag: u32,
    pub(super) ports: Ports,
    /// Addresses where the peer is known to be, canonical (no IPv4-mapped ones).
    pub(super) peers: SmallVec<[IpAddr; 2]>,
}

/// Routes by tag and by peer.
///
/// The UDP port of a peer is no part of its identity: a NAT may change it at any time (RFC 6951
/// §5.4). A tag serves all addresses of a peer and costs one lookup with a cheap hash, since tags
/// are chosen here at random; addresses and ports are chosen by whoever sends, and get SipHash
/// with a random key.
#[derive(Debug, Default)]
pub(super) struct Routes {
    routes: Slab<Route>,
    tags: FxHashMap<u32, usize>,
    peers: HashMap<(IpAddr, Ports), usize>,
    /// Tags of associations that take packets without a checksum.
    unchecked: FxHashSet<u32>,
}

impl Routes {
    pub(super) fn len(&self) -> usize {
        self.routes.len()
    }

    /// Adds a route. The tag must not be in use, nor any of its (peer, ports).
    pub(super) fn insert(&mut self, mut route: Route) -> AssociationHandle {
        let entry = self.routes.vacant_entry();
        let key = entry.key();
        for ip in &mut route.peers {
            *ip = ip.to_canonical();
            self.peers.insert((*ip, route.ports), key);
        }
        self.tags.insert(route.tag, key);
        entry.insert(route);
        AssociationHandle(key)
    }

    /// Removes a route; returns the tag it had.
    pub(super) fn remove(&mut self, handle: AssociationHandle) -> Option<u32> {
        let route = self.routes.try_remove(handle.0)?;
        self.tags.remove(&route.tag);
        self.unchecked.remove(&route.tag);
        for ip in route.peers {
            self.peers.remove(&(ip, route.ports));
        }
        Some(route.tag)
    }

    /// Gives an association another tag (after a restart); returns the one it had. The new one must
    /// not be in use.
    pub(super) fn retag(&mut self, handle: AssociationHandle, tag: u32) -> Option<u32> {
        let route = self.routes.get_mut(handle.0)?;
        self.tags.remove(&route.tag);
        self.tags.insert(tag, handle.0);
        if self.unchecked.remove(&route.tag) {
            self.unchecked.insert(tag);
        }
        Some(std::mem::replace(&mut route.tag, tag))
    }

    /// The association with this tag takes packets without a checksum.
    pub(super) fn take_unchecked(&mut self, tag: u32) {
        self.unchecked.insert(tag);
    }

    /// Whether a packet that looks so may go without a checksum.
    pub(super) fn takes_unchecked(&self, tag: u32, ports: Ports) -> bool {
        self.unchecked.contains(&tag) && self.by_packet(tag, ports).is_some()
    }

    pub(super) fn by_tag(&self, tag: u32) -> Option<AssociationHandle> {
        self.tags.get(&tag).copied().map(AssociationHandle)
    }

    pub(super) fn by_peer(&self, ip: IpAddr, ports: Ports) -> Option<AssociationHandle> {
        let key = self.peers.get(&(ip.to_canonical(), ports))?;
        Some(AssociationHandle(*key))
    }

    /// By tag, if the packet has the ports of that association, which knows by itself what the
    /// addresses of its peer are.
    pub(super) fn by_packet(&self, tag: u32, ports: Ports) -> Option<AssociationHandle> {
        let key = *self.tags.get(&tag)?;
        (self.routes[key].ports == ports).then_some(AssociationHandle(key))
    }

    /// The peer of an association is known for certain to be at these addresses, and at no other.
    /// One that leads to another association stays with that.
    pub(super) fn readdress(&mut self, handle: AssociationHandle, peers: &[IpAddr]) {
        let Some(route) = self.routes.get_mut(handle.0) else {
            return;
        };
        for ip in std::mem::take(&mut route.peers) {
            self.peers.remove(&(ip, route.ports));
        }
        for ip in peers.iter().map(IpAddr::to_canonical) {
            if let Entry::Vacant(place) = self.peers.entry((ip, route.ports)) {
                place.insert(handle.0);
                route.peers.push(ip);
            }
        }
    }

    /// A random tag that no association uses (§5.3.1).
    pub(super) fn fresh_tag(&self, rng: &mut impl Rng) -> u32 {
        loop {
            //= RFC 9260 §5.3.1
            //# Initiate Tag values SHOULD be selected from the range of 1 to 2^32 - 1.
            //= RFC 9260 §5.1
            //# Tag_A SHOULD be a random number in the range of 1 to 4294967295 (see Section 5.3.1
            //# for Tag value selection).
            let tag = rng.random();
            //= RFC 9260 §3.3.3
            //# The Initiate Tag MUST NOT take the value 0.
            if tag != 0 && !self.tags.contains_key(&tag) {
                return tag;
            }
        }
    }

    /// Whether `ports` lead to none of these peers yet.
    pub(super) fn is_free(&self, peers: &[IpAddr], ports: Ports) -> bool {
        peers.iter().all(|ip| self.by_peer(*ip, ports).is_none())
    }

    /// A random local port that is free towards all of these peers. Takes at most one lookup per
    /// dynamic port and peer.
    pub(super) fn free_port(&self, rng: &mut StdRng, peers: &[IpAddr], remote: u16) -> Option<u16> {
        let start = rng.random_range(0..DYNAMIC_PORTS);
        (0..DYNAMIC_PORTS)
            .map(|step| FIRST_DYNAMIC_PORT + (start + step) % DYNAMIC_PORTS)
            .find(|local| {
                let ports = Ports {
                    local: *local,
                    remote,
                };
                self.is_free(peers, ports)
            })
    }
}

#[cfg(test)]
mod tests;
