//! One association: the state machine a driver moves.

#![allow(unused_variables, clippy::todo, dead_code)] // skeleton

mod event;
mod stats;

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

pub use self::{
    event::{Event, PathState},
    stats::{AssociationStats, PathStats},
};
pub(crate) use crate::ids::Ports;
use crate::{
    config::AssociationConfig,
    cookie::{CookieJar, Freshness, StateCookie},
    error::{PathError, ResetError, SendError},
    ids::{PathId, StreamId},
    message::{Message, SendInfo},
    time::Instant,
    transmit::{DatagramMeta, Transmit},
};

/// What an [`Endpoint`](crate::Endpoint) has for one of its associations. Opaque.
#[derive(Debug)]
pub struct AssociationEvent(pub(crate) AssociationEventKind);

#[derive(Debug)]
pub(crate) enum AssociationEventKind {
    /// A packet for this association, its checksum verified: it has the association's
    /// verification tag, or it is one of those that §8.5.1 excepts and comes from its peer.
    Datagram { meta: DatagramMeta, packet: Bytes },
    /// A packet that is one INIT and nothing else, with tag 0, from an address of this peer or
    /// listing one (§5.2.1, §5.2.2). Its parameters are not checked yet, its source may be forged.
    Init { meta: DatagramMeta, packet: Bytes },
    /// A packet that begins with a COOKIE ECHO for this peer; the cookie is genuine, and its ports,
    /// tag and source are those of the packet (§5.2.4). The chunks behind it are not looked at.
    CookieEcho {
        meta: DatagramMeta,
        packet: Bytes,
        cookie: Box<StateCookie>,
        freshness: Freshness,
    },
}

/// What an association has for its [`Endpoint`](crate::Endpoint). Opaque.
#[derive(Debug)]
pub struct EndpointEvent(pub(crate) EndpointEventKind);

#[derive(Debug)]
pub(crate) enum EndpointEventKind {
    /// Over, and nothing left to send.
    Drained,
    /// The association restarted (§5.2.4 A): its packets carry this tag from now on.
    TagChanged { new: u32 },
}

/// State of an association (§4). `Closed` is also what RFC 9260 has before the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AssociationState {
    /// INIT sent.
    CookieWait,
    /// COOKIE ECHO sent.
    CookieEchoed,
    /// Messages flow.
    Established,
    /// `shutdown` was called; what was sent is not acknowledged yet.
    ShutdownPending,
    /// SHUTDOWN sent.
    ShutdownSent,
    /// The peer sent SHUTDOWN; what this side sent is not acknowledged yet.
    ShutdownReceived,
    /// SHUTDOWN ACK sent.
    ShutdownAckSent,
    /// Over.
    Closed,
}

/// Settings of one path (SCTP_PEER_ADDR_PARAMS, RFC 6458 §8.1.12). `None` leaves a setting as it
/// is.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PathConfig {
    /// HB.interval; `Some(None)` sends no HEARTBEAT.
    pub heartbeat_interval: Option<Option<Duration>>,
    /// Path.Max.Retrans.
    pub max_retrans: Option<u32>,
}

/// A path as it stands.
#[derive(Debug, Clone, Copy)]
pub struct PathInfo {
    /// Names the path.
    pub id: PathId,
    /// The peer's address and UDP port.
    pub remote: SocketAddr,
    /// This side's address, where known.
    pub local_ip: Option<IpAddr>,
    /// Whether it can be used.
    pub state: PathState,
    /// Whether new data goes there.
    pub is_primary: bool,
    /// Measurements and counters.
    pub stats: PathStats,
}

/// State machine of one association.
#[derive(Debug)]
pub struct Association {}

impl Association {
    /// An association that begins with an INIT to the first of `peers`.
    #[expect(
        clippy::too_many_arguments,
        reason = "all of it is known to the endpoint alone"
    )]
    pub(crate) fn connect(
        now: Instant,
        config: Arc<AssociationConfig>,
        cookies: Arc<CookieJar>,
        ports: Ports,
        local_tag: u32,
        local: &[IpAddr],
        peers: &[SocketAddr],
        seed: [u8; 32],
    ) -> Self {
        todo!()
    }

    /// An association made of a cookie; `packet` is the one with the COOKIE ECHO.
    pub(crate) fn accept(
        now: Instant,
        config: Arc<AssociationConfig>,
        cookies: Arc<CookieJar>,
        cookie: StateCookie,
        meta: DatagramMeta,
        packet: Bytes,
        seed: [u8; 32],
    ) -> Self {
        todo!()
    }

    /// Takes what the endpoint has for this association.
    pub fn handle_event(&mut self, now: Instant, event: AssociationEvent) {
        todo!()
    }

    /// To be called when the deadline of [`poll_timeout`](Self::poll_timeout) has come. Harmless
    /// at any other time.
    pub fn handle_timeout(&mut self, now: Instant) {
        todo!()
    }
}

impl Association {
    /// Appends up to `max_segments` packets of equal size (the last may be shorter) for one path
    /// to `buf` (which must be empty); `None` when there is nothing to send now.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        max_segments: NonZeroUsize,
        buf: &mut Vec<u8>,
    ) -> Option<Transmit> {
        todo!()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` for never.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// What the endpoint has to know.
    pub fn poll_endpoint_event(&mut self) -> Option<EndpointEvent> {
        todo!()
    }

    /// What the user has to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        todo!()
    }
}

impl Association {
    /// Queues one message (§11.1.5 SEND). It leaves with the next `poll_transmit`; before the
    /// association is established, with the COOKIE ECHO.
    pub fn send(
        &mut self,
        now: Instant,
        stream: StreamId,
        data: Bytes,
        info: SendInfo,
    ) -> Result<(), SendError> {
        todo!()
    }

    /// Takes the next message, or part of one, of a stream (§11.1.6 RECEIVE).
    pub fn recv(&mut self, stream: StreamId) -> Option<Message> {
        todo!()
    }

    /// Takes the next message, or part of one, of any stream, in the order they became readable.
    pub fn recv_any(&mut self) -> Option<Message> {
        todo!()
    }

    /// Discards what the stream holds and what comes on it, acknowledging it all the same, until
    /// the peer resets the stream.
    pub fn stop(&mut self, stream: StreamId) {
        todo!()
    }

    /// Ends outbound streams (RFC 6525): once all that was sent on them is acknowledged, the peer
    /// is told, and message numbering begins anew. [`Event::OutgoingReset`] tells the outcome.
    pub fn reset_streams(&mut self, now: Instant, outgoing: &[StreamId]) -> Result<(), ResetError> {
        todo!()
    }

    /// Drops the messages of a stream of which nothing was sent yet; each comes back as
    /// [`Event::SendFailed`].
    pub fn discard_unsent(&mut self, stream: StreamId) {
        todo!()
    }

    /// Priority (smaller first) or weight (larger is more) of an outbound stream, as the scheduler
    /// has it (RFC 8260 §3).
    pub fn set_stream_priority(&mut self, stream: StreamId, value: u16) {
        todo!()
    }

    /// Begins the graceful end (§9.2): what was queued still arrives, then both sides close.
    pub fn shutdown(&mut self, now: Instant) {
        todo!()
    }

    /// Ends the association at once (§9.1); the peer is sent ABORT with this reason.
    pub fn abort(&mut self, now: Instant, reason: Bytes) {
        todo!()
    }

    /// Sends new data on this path from now on (§11.1.9).
    pub fn set_primary(&mut self, path: PathId) -> Result<(), PathError> {
        todo!()
    }

    /// Changes settings of a path.
    pub fn configure_path(
        &mut self,
        now: Instant,
        path: PathId,
        config: PathConfig,
    ) -> Result<(), PathError> {
        todo!()
    }

    /// Sends a HEARTBEAT now (§11.1.12 REQUESTHEARTBEAT).
    pub fn request_heartbeat(&mut self, now: Instant, path: PathId) -> Result<(), PathError> {
        todo!()
    }
}

impl Association {
    /// The state (§4).
    pub fn state(&self) -> AssociationState {
        todo!()
    }

    /// The paths.
    pub fn paths(&self) -> impl Iterator<Item = PathInfo> {
        std::iter::empty()
    }

    /// Usable streams, (outbound, inbound): negotiated once established, before that what this
    /// side asks for.
    pub fn streams(&self) -> (u16, u16) {
        todo!()
    }

    /// Whether messages of several streams can be interleaved (I-DATA was negotiated, RFC 8260).
    pub fn interleaving(&self) -> bool {
        todo!()
    }

    /// Whether streams can be reset (RE-CONFIG was negotiated, RFC 6525).
    pub fn can_reset_streams(&self) -> bool {
        todo!()
    }

    /// Bytes queued or unacknowledged on an outbound stream.
    pub fn buffered_amount(&self, stream: StreamId) -> usize {
        todo!()
    }

    /// The largest message that can be sent.
    pub fn max_message_size(&self) -> usize {
        todo!()
    }

    /// SCTP ports, (local, remote).
    pub fn ports(&self) -> (u16, u16) {
        todo!()
    }

    /// Over, and nothing left to send: it can be dropped once its events are polled.
    pub fn is_drained(&self) -> bool {
        todo!()
    }

    /// Counters.
    pub fn stats(&self) -> AssociationStats {
        todo!()
    }
}
