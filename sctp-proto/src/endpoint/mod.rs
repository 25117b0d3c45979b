//! Ports, cookies and routing: what exists whether or not there is an association.

#![allow(unused_variables, clippy::todo, dead_code)] // skeleton

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::BytesMut;

use crate::{
    association::{Association, AssociationEvent, EndpointEvent},
    config::{AssociationConfig, EndpointConfig, ServerConfig},
    error::{AcceptError, ConnectError},
    ids::AssociationHandle,
    time::Instant,
    transmit::{DatagramMeta, Transmit},
};

/// What became of a datagram.
#[derive(Debug)]
pub enum DatagramEvent {
    /// It belongs to this association: hand it over.
    Association(AssociationHandle, AssociationEvent),
    /// A peer completed its side of the handshake and waits for `accept` or `refuse`.
    New(Incoming),
    /// It was answered without an association: send `buf[..transmit.size]`.
    Response(Transmit),
}

/// A peer that proved, by a valid state cookie, that it can receive at its address.
#[derive(Debug)]
pub struct Incoming {}

impl Incoming {
    /// Its address and UDP port.
    pub fn remote(&self) -> SocketAddr {
        todo!()
    }
}

/// Counters of packets that reached no association.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointStats {
    /// INIT chunks answered with INIT ACK.
    pub inits_answered: u64,
    /// Cookies with a wrong MAC, or for other addresses, ports or tags than they came from.
    pub cookies_rejected: u64,
    /// Cookies past their lifetime.
    pub cookies_stale: u64,
    /// Packets with a wrong checksum.
    pub bad_checksum: u64,
    /// Packets too short, or with chunks that do not parse.
    pub malformed: u64,
    /// Packets that belong to no association (§8.4).
    pub out_of_the_blue: u64,
    /// Replies not sent because of their rate limit.
    pub replies_suppressed: u64,
    /// Peers ignored because too many were waiting.
    pub backlog_overflow: u64,
}

/// A SCTP endpoint: ports, cookie keys, routing by verification tag. No I/O, no clock.
#[derive(Debug)]
pub struct Endpoint {}

impl Endpoint {
    /// An endpoint; `server` makes it accept associations. All its randomness (tags, TSNs, ports,
    /// nonces, the cookie key) comes from `seed`, which must be secret and never be used twice.
    pub fn new(
        config: Arc<EndpointConfig>,
        server: Option<Arc<ServerConfig>>,
        seed: [u8; 32],
    ) -> Self {
        todo!()
    }

    /// Starts, changes or (with `None`) stops accepting. Associations that exist go on.
    pub fn set_server_config(&mut self, server: Option<Arc<ServerConfig>>) {
        todo!()
    }

    /// Begins an association (ASSOCIATE, §11.1.2). `local` lists addresses of this side to tell
    /// the peer, `peer` the known ones of the peer; INIT ACK may add more.
    pub fn connect(
        &mut self,
        now: Instant,
        config: Arc<AssociationConfig>,
        local: &[IpAddr],
        peer: &[SocketAddr],
    ) -> Result<(AssociationHandle, Association), ConnectError> {
        todo!()
    }

    /// Routes one datagram. Stateless replies (INIT ACK, ABORT, SHUTDOWN COMPLETE: §5.1, §8.4)
    /// are appended to `buf` (which must be empty).
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        meta: DatagramMeta,
        data: BytesMut,
        buf: &mut Vec<u8>,
    ) -> Option<DatagramEvent> {
        todo!()
    }

    /// Takes what an association has for the endpoint.
    pub fn handle_event(
        &mut self,
        handle: AssociationHandle,
        event: EndpointEvent,
    ) -> Option<AssociationEvent> {
        todo!()
    }

    /// Makes an association of a waiting peer. `config` replaces the server's settings but for
    /// what INIT ACK has announced: window and streams.
    pub fn accept(
        &mut self,
        now: Instant,
        incoming: Incoming,
        config: Option<Arc<AssociationConfig>>,
    ) -> Result<(AssociationHandle, Association), AcceptError> {
        todo!()
    }

    /// Sends a waiting peer away: the ABORT is appended to `buf`.
    pub fn refuse(&mut self, incoming: Incoming, buf: &mut Vec<u8>) -> Transmit {
        todo!()
    }

    /// Forgets a waiting peer without an answer.
    pub fn ignore(&mut self, incoming: Incoming) {
        todo!()
    }

    /// Associations held, peers waiting for `accept` included.
    pub fn associations(&self) -> usize {
        todo!()
    }

    /// Counters.
    pub fn stats(&self) -> EndpointStats {
        todo!()
    }
}
