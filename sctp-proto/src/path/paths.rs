//! The paths of one association.

use std::net::IpAddr;

use smallvec::SmallVec;

use super::Path;
use crate::ids::PathId;

/// Places for paths, those that are gone included: their ids are given again only when there are
/// so many, and nothing refers to them any more.
const MAX_PLACES: usize = 16;

/// All paths, and which of them new data takes unless it has failed. Never empty.
#[derive(Debug)]
pub(crate) struct Paths {
    /// By id. One that is gone keeps its place.
    list: SmallVec<[Path; 1]>,
    primary: PathId,
}

impl Paths {
    /// A collection whose primary path is `first`, which must have index 0.
    pub(crate) fn new(first: Path) -> Self {
        debug_assert_eq!(first.id, PathId(0));
        let mut list = SmallVec::new();
        list.push(first);
        Self {
            list,
            primary: PathId(0),
        }
    }

    /// The first path, that of the handshake, alone.
    pub(crate) fn into_first(mut self) -> Path {
        let mut first = self.list.swap_remove(0);
        first.gone = false;
        first
    }

    /// The path with this id, gone or not. Ids come from this collection, which never shrinks.
    pub(crate) fn get(&self, id: PathId) -> &Path {
        &self.list[id.index()]
    }

    /// The path with this id, to change it.
    pub(crate) fn get_mut(&mut self, id: PathId) -> &mut Path {
        &mut self.list[id.index()]
    }

    /// Whether there is a path with this id.
    pub(crate) fn contains(&self, id: PathId) -> bool {
        self.list.get(id.index()).is_some_and(|path| !path.gone)
    }

    /// The path with an id that the user gave.
    pub(crate) fn lookup(&mut self, id: PathId) -> Option<&mut Path> {
        self.list.get_mut(id.index()).filter(|path| !path.gone)
    }

    /// The path that a packet came by: that of its two addresses, or else the first from there.
    /// The UDP port is not part of an SCTP address (RFC 6951 §5.4), and an IPv4-mapped address, as
    /// dual-stack sockets show it, is the IPv4 address.
    pub(crate) fn find(&self, remote: IpAddr, local: Option<IpAddr>) -> Option<PathId> {
        let (remote, local) = (remote.to_canonical(), local.map(|ip| ip.to_canonical()));
        let from_there = |path: &&Path| path.remote.ip().to_canonical() == remote;
        let mut paths = self.iter().filter(from_there);
        let exact = paths.clone().find(|path| path.local() == local);
        exact.or_else(|| paths.next()).map(|path| path.id)
    }

    /// An id for another path: one that was never used or, where there were many, that of a path
    /// which is gone and which nothing refers to.
    pub(crate) fn vacant(&self, refers: impl Fn(PathId) -> bool) -> Option<PathId> {
        if self.list.len() < MAX_PLACES {
            return Some(PathId(self.list.len() as u8));
        }
        let mut gone = self.list.iter().filter(|path| path.gone);
        gone.find(|path| !refers(path.id)).map(|path| path.id)
    }

    /// Adds a path under an id that [`vacant`](Self::vacant) gave.
    pub(crate) fn add(&mut self, path: Path) {
        match self.list.get_mut(path.id.index()) {
            Some(place) => *place = path,
            None => self.list.push(path),
        }
    }

    pub(crate) fn primary(&self) -> PathId {
        self.primary
    }

    /// Makes `path` the one for new data; true if it was another before.
    pub(crate) fn set_primary(&mut self, path: PathId) -> bool {
        std::mem::replace(&mut self.primary, path) != path
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Path> + Clone {
        self.list.iter().filter(|path| !path.gone)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Path> {
        self.list.iter_mut().filter(|path| !path.gone)
    }

    /// Those that are no more.
    pub(crate) fn gone(&self) -> impl Iterator<Item = PathId> {
        let gone = self.list.iter().filter(|path| path.gone);
        gone.map(|path| path.id)
    }

    pub(crate) fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is another path, confirmed or not.
    pub(crate) fn is_single(&self) -> bool {
        self.list.len() == 1 || self.len() == 1
    }

    /// The least of the confirmed paths' packet sizes: what fits it can leave on any of them.
    //= RFC 9260 §7.3
    //# The sender SHOULD track an AMDCS that will be the smallest PMDCS discovered for all of the
    //# peer's destination addresses.
    pub(crate) fn least_max_packet(&self) -> usize {
        let confirmed = self.iter().filter(|path| path.confirmed);
        let least = confirmed.map(|path| path.max_packet).min();
        least.unwrap_or(self.get(self.primary).max_packet)
    }
}
