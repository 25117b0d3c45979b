//! The endpoint: sockets, and the associations on them.

use std::{io, net::SocketAddr, sync::Arc};

use sctp_proto::{AssociationConfig, EndpointConfig, EndpointStats, ServerConfig};

use crate::{Association, ConnectError, DatagramSocket, Incoming};

/// UDP sockets (RFC 6951) shared by any number of associations. Cheap to clone.
///
/// When the last clone is dropped the endpoint stops accepting and refuses who waits; its
/// associations go on, and the sockets are closed with the last of them.
#[derive(Debug, Clone)]
pub struct Endpoint {}

impl Endpoint {
    /// Binds one socket per address; a wildcard address serves every local address of its family,
    /// and an IPv6 socket serves IPv6 only. Port 0 takes a free port, one for all sockets
    /// (RFC 6951 §5.1). With `server`, associations are accepted.
    ///
    /// Must be called within a tokio runtime, which from then on drives the endpoint. A
    /// configuration that cannot work is an error of kind `InvalidInput`.
    pub fn bind(
        config: EndpointConfig,
        server: Option<ServerConfig>,
        local: &[SocketAddr],
    ) -> io::Result<Self> {
        todo!()
    }

    /// An endpoint on any sockets: real, simulated, encrypted.
    pub fn from_sockets(
        config: EndpointConfig,
        server: Option<ServerConfig>,
        sockets: Vec<Arc<dyn DatagramSocket>>,
    ) -> io::Result<Self> {
        todo!()
    }

    /// Sets an association up with the peer that has these addresses, and waits until it is
    /// established. Dropping the future aborts the attempt.
    pub async fn connect(
        &self,
        peer: &[SocketAddr],
        config: Arc<AssociationConfig>,
    ) -> Result<Association, ConnectError> {
        todo!()
    }

    /// As [`connect`](Self::connect), without waiting: messages sent before the association is
    /// established leave with the COOKIE ECHO, so that a first request costs one round trip.
    /// [`Association::established`] tells how it went.
    pub fn connect_early(
        &self,
        peer: &[SocketAddr],
        config: Arc<AssociationConfig>,
    ) -> Result<Association, ConnectError> {
        todo!()
    }

    /// The next peer that completed its side of the handshake; `None` once the endpoint is closed.
    /// Cancel-safe.
    pub async fn accept(&self) -> Option<Incoming> {
        todo!()
    }

    /// Addresses and UDP port of the sockets.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        todo!()
    }

    /// Starts, changes or (with `None`) stops accepting. Associations that exist go on.
    pub fn set_server_config(&self, server: Option<ServerConfig>) -> io::Result<()> {
        todo!()
    }

    /// Associations held, peers waiting for `accept` included.
    pub fn associations(&self) -> usize {
        todo!()
    }

    /// Counters of packets that reached no association.
    pub fn stats(&self) -> EndpointStats {
        todo!()
    }

    /// Stops accepting, refuses who waits, shuts every association down and waits until all are
    /// over. Dropping the future does not stop this.
    pub async fn close(&self) {
        todo!()
    }
}
