//! The paths of one association.

use std::net::IpAddr;

use smallvec::SmallVec;

use super::Path;
use crate::{association::PathState, ids::PathId};

/// All paths, and which of them new data takes. Never empty.
#[derive(Debug)]
pub(crate) struct Paths {
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

    /// The path with this id. Ids come from this collection, which never shrinks.
    pub(crate) fn get(&self, id: PathId) -> &Path {
        &self.list[id.index()]
    }

    /// The path with this id, to change it.
    pub(crate) fn get_mut(&mut self, id: PathId) -> &mut Path {
        &mut self.list[id.index()]
    }

    /// The path with an id that the user gave.
    pub(crate) fn lookup(&mut self, id: PathId) -> Option<&mut Path> {
        self.list.get_mut(id.index())
    }

    /// The path to this address. The UDP port is not part of an SCTP address (RFC 6951 §5.4), and
    /// an IPv4-mapped address, as dual-stack sockets show it, is the IPv4 address.
    pub(crate) fn by_remote(&self, ip: IpAddr) -> Option<PathId> {
        let ip = ip.to_canonical();
        self.list
            .iter()
            .find(|path| path.remote.ip().to_canonical() == ip)
            .map(|path| path.id)
    }

    pub(crate) fn primary(&self) -> PathId {
        self.primary
    }

    /// Makes `path` the one for new data; true if it was another before.
    pub(crate) fn set_primary(&mut self, path: PathId) -> bool {
        std::mem::replace(&mut self.primary, path) != path
    }

    /// The largest packet that this path and every active one carries.
    pub(crate) fn smallest_packet(&self, id: PathId) -> usize {
        let active = (self.list.iter()).filter(|path| path.state == PathState::Active);
        let sizes = active.map(|path| path.max_packet);
        sizes.fold(self.get(id).max_packet, usize::min)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Path> {
        self.list.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Path> {
        self.list.iter_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }
}
