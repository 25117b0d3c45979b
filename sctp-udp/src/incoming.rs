//! A peer between its handshake and `accept`.

use std::{net::SocketAddr, sync::Arc};

use sctp_proto::AssociationConfig;

use crate::{AcceptError, Association};

/// A peer that proved it can receive at its address; not yet an association. Dropped, it is
/// refused.
#[derive(Debug)]
#[must_use = "a dropped peer is refused"]
pub struct Incoming {}

impl Incoming {
    /// The peer's address and UDP port.
    pub fn remote(&self) -> SocketAddr {
        todo!()
    }

    /// Makes it an association with the settings of the [`ServerConfig`](crate::ServerConfig).
    pub fn accept(self) -> Result<Association, AcceptError> {
        todo!()
    }

    /// Makes it an association with settings of its own, but for what INIT ACK has announced:
    /// window and streams.
    pub fn accept_with(self, config: Arc<AssociationConfig>) -> Result<Association, AcceptError> {
        todo!()
    }

    /// Sends the peer away with an ABORT.
    pub fn refuse(self) {
        todo!()
    }

    /// Forgets the peer without an answer.
    pub fn ignore(self) {
        todo!()
    }
}
