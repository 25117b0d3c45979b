//! A peer between its handshake and `accept`.

use std::{net::SocketAddr, sync::Arc};

use sctp_proto::AssociationConfig;

use crate::{AcceptError, Association, endpoint::EndpointShared};

/// A peer that proved it can receive at its address; not yet an association. Dropped, it is
/// refused.
#[derive(Debug)]
#[must_use = "a dropped peer is refused"]
pub struct Incoming {
    remote: SocketAddr,
    /// None once the peer was dealt with.
    proto: Option<sctp_proto::Incoming>,
    endpoint: Arc<EndpointShared>,
}

impl Incoming {
    pub(crate) fn new(proto: sctp_proto::Incoming, endpoint: Arc<EndpointShared>) -> Self {
        Self {
            remote: proto.remote(),
            proto: Some(proto),
            endpoint,
        }
    }

    /// The peer's address and UDP port.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Makes it an association with the settings of the [`ServerConfig`](crate::ServerConfig).
    pub fn accept(self) -> Result<Association, AcceptError> {
        self.accept_as(None)
    }

    /// Makes it an association with settings of its own, but for what INIT ACK has announced:
    /// window, streams and extensions.
    pub fn accept_with(self, config: Arc<AssociationConfig>) -> Result<Association, AcceptError> {
        self.accept_as(Some(config))
    }

    fn accept_as(
        mut self,
        config: Option<Arc<AssociationConfig>>,
    ) -> Result<Association, AcceptError> {
        let proto = self.proto.take().ok_or(AcceptError::Gone)?;
        self.endpoint.accept(proto, config)
    }

    /// Sends the peer away with an ABORT.
    pub fn refuse(self) {}

    /// Forgets the peer without an answer.
    pub fn ignore(mut self) {
        if let Some(proto) = self.proto.take() {
            self.endpoint.lock().proto.ignore(proto);
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(proto) = self.proto.take() {
            self.endpoint.refuse(proto);
        }
    }
}
