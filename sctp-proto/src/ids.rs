//! Names for the quantities on the wire, so that one cannot be taken for another.

use std::fmt;

use crate::{serial, wire::CommonHeader};

/// An outbound or inbound stream (RFC 9260 §1.3). The two directions are numbered apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u16);

/// Payload protocol identifier: opaque to SCTP, carried end to end (RFC 9260 §3.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ppid(pub u32);

/// Transmission sequence number of one DATA chunk.
///
/// Has no `Ord` on purpose: TSNs wrap, and only [`Tsn::before`] compares them rightly.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tsn(pub(crate) u32);

impl Tsn {
    /// The TSN with this wire value.
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The wire value.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// Whether this TSN was assigned strictly before `other`.
    pub const fn before(self, other: Self) -> bool {
        serial::before32(self.0, other.0)
    }

    /// Whether this TSN is `last`, or one of the 2³⁰ before it. So it tells what came before the
    /// reset of a stream, or of the association, from what came after, even if TSNs jumped there by
    /// half a circle (RFC 6525 §5.2.4), where `before` has no answer.
    pub const fn ends_by(self, last: Self) -> bool {
        last.distance_from(self) < 1 << 30
    }

    /// The TSN `n` after this one.
    pub const fn plus(self, n: u32) -> Self {
        Self(self.0.wrapping_add(n))
    }

    /// The TSN after this one.
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// The TSN before this one.
    pub const fn previous(self) -> Self {
        Self(self.0.wrapping_sub(1))
    }

    /// How many TSNs lie from `earlier` to this one, modulo 2³²; meaningful only when `earlier`
    /// is not after `self`.
    pub const fn distance_from(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }
}

impl fmt::Debug for Tsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tsn({})", self.0)
    }
}

/// One (local address, remote address) pair of an association (RFC 9260 §6.4). The index is
/// stable for the life of the association.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathId(pub(crate) u8);

impl PathId {
    /// The index of this path, counted from zero.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The path with this index.
    pub const fn from_index(index: u8) -> Self {
        Self(index)
    }
}

/// Names an association within its [`Endpoint`](crate::Endpoint). Reused once the association is
/// drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AssociationHandle(pub usize);

/// Names one of the driver's sockets. Opaque to the protocol: what came in by a socket is
/// answered by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SocketId(pub u16);

/// SCTP ports of an association. The UDP ports below them are not part of its identity (RFC 6951).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ports {
    pub(crate) local: u16,
    pub(crate) remote: u16,
}

impl Ports {
    /// The common header of a packet to the peer.
    //= RFC 9260 §3.1
    //# On transmit, the value of the Verification Tag MUST be set to the value of the Initiate Tag
    //# received from the peer endpoint during the association initialization, with the following
    //# exceptions:
    pub(crate) const fn header(self, verification_tag: u32) -> CommonHeader {
        CommonHeader {
            source_port: self.local,
            destination_port: self.remote,
            verification_tag,
        }
    }
}
