//! The handle to an association: messages on any stream, life cycle, paths.

use std::{
    net::SocketAddr,
    task::{Context, Poll},
};

use bytes::Bytes;
use sctp_proto::{
    AssociationState, AssociationStats, CloseReason, Message, PathConfig, PathError, PathId,
    PathInfo, SendInfo, StreamId,
};

use crate::{
    ConnectError, Notifications, RecvError, RecvStream, ResetError, SendError, SendStream,
    StreamClaimed,
};

/// Handle to an association; clones share it.
///
/// When the last handle is dropped (clones, [`SendStream`]s and [`RecvStream`]s all count),
/// SHUTDOWN begins: what was queued still arrives. Only [`abort`](Self::abort) aborts.
#[derive(Debug, Clone)]
pub struct Association {}

/// Messages on any stream (one-to-one style, RFC 6458 §4).
impl Association {
    /// Queues one message; waits while the send buffer is full. Returns once queued, not once
    /// acknowledged. Cancel-safe: the message is queued whole or not at all.
    pub async fn send(
        &self,
        stream: StreamId,
        data: Bytes,
        info: SendInfo,
    ) -> Result<(), SendError> {
        todo!()
    }

    /// Queues one message if there is room now.
    pub fn try_send(&self, stream: StreamId, data: Bytes, info: SendInfo) -> Result<(), SendError> {
        todo!()
    }

    /// The next message, or part of one, on any stream without handles, in the order they became
    /// readable. `None` once the peer has shut down and all is read. Cancel-safe.
    ///
    /// Both this and [`accept_stream`](Self::accept_stream) draw on the same unclaimed streams:
    /// each message is seen by whichever asks first. Use one or the other.
    pub async fn recv(&self) -> Result<Option<Message>, RecvError> {
        todo!()
    }

    /// As [`recv`](Self::recv). The task that polled last is woken.
    pub fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, RecvError>> {
        todo!()
    }

    /// Waits until everything sent is acknowledged (SCTP_SENDER_DRY_EVENT).
    pub async fn flushed(&self) -> Result<(), SendError> {
        todo!()
    }

    /// Bytes queued or unacknowledged on an outbound stream.
    pub fn buffered_amount(&self, stream: StreamId) -> usize {
        todo!()
    }

    /// The largest message that can be sent, bytes.
    pub fn max_message_size(&self) -> usize {
        todo!()
    }
}

/// Streams.
impl Association {
    /// Claims a stream in both directions: its messages go to these handles instead of
    /// [`recv`](Self::recv). The stream number may be one that only one direction has.
    pub fn stream(&self, id: StreamId) -> Result<(SendStream, RecvStream), StreamClaimed> {
        todo!()
    }

    /// Claims the next unclaimed stream with a message waiting: the "new request" signal of a
    /// server. `None` once the peer has shut down and every message has been claimed. Cancel-safe.
    pub async fn accept_stream(&self) -> Result<Option<(SendStream, RecvStream)>, RecvError> {
        todo!()
    }

    /// Resets outbound streams (RFC 6525), once what was sent on them is acknowledged, and waits
    /// for the peer's answer. Dropping the future does not stop the reset.
    pub async fn reset_streams(&self, outgoing: &[StreamId]) -> Result<(), ResetError> {
        todo!()
    }

    /// Usable streams, (outbound, inbound): negotiated once established, before that what this
    /// side asks for.
    pub fn streams(&self) -> (u16, u16) {
        todo!()
    }

    /// Whether messages of several streams can be interleaved (I-DATA, RFC 8260).
    pub fn interleaving(&self) -> bool {
        todo!()
    }

    /// Whether streams can be reset (RE-CONFIG, RFC 6525).
    pub fn can_reset_streams(&self) -> bool {
        todo!()
    }
}

/// Life cycle.
impl Association {
    /// A number that no other association of this endpoint has, ever.
    pub fn id(&self) -> u64 {
        todo!()
    }

    /// Waits until the association is established, or the attempt has failed.
    pub async fn established(&self) -> Result<(), ConnectError> {
        todo!()
    }

    /// Begins the graceful end and waits for it: what was queued still arrives, then both sides
    /// close. Dropping the future does not stop the shutdown.
    pub async fn shutdown(&self) -> CloseReason {
        todo!()
    }

    /// Begins the graceful end without waiting.
    pub fn start_shutdown(&self) {
        todo!()
    }

    /// Ends the association at once; the peer is sent ABORT with this reason (RFC 9260 §3.3.10.12).
    pub fn abort(&self, reason: Bytes) {
        todo!()
    }

    /// Waits until the association is over.
    pub async fn closed(&self) -> CloseReason {
        todo!()
    }

    /// Waits until either side has begun to shut the association down, or it is over: no message
    /// can be sent any more.
    pub async fn closing(&self) {
        todo!()
    }

    /// The state (RFC 9260 §4).
    pub fn state(&self) -> AssociationState {
        todo!()
    }

    /// Counters.
    pub fn stats(&self) -> AssociationStats {
        todo!()
    }

    /// What happens to the association from now on: paths, failed messages, errors of the peer.
    pub fn notifications(&self) -> Notifications {
        todo!()
    }
}

/// Addresses and paths.
impl Association {
    /// SCTP ports, (local, remote).
    pub fn ports(&self) -> (u16, u16) {
        todo!()
    }

    /// Address and UDP port of the primary path.
    pub fn peer_addr(&self) -> SocketAddr {
        todo!()
    }

    /// Addresses and UDP ports of the peer, one per path.
    pub fn peer_addrs(&self) -> Vec<SocketAddr> {
        todo!()
    }

    /// The paths as they stand.
    pub fn paths(&self) -> Vec<PathInfo> {
        todo!()
    }

    /// Sends new data on this path from now on.
    pub fn set_primary(&self, path: PathId) -> Result<(), PathError> {
        todo!()
    }

    /// Changes settings of a path.
    pub fn configure_path(&self, path: PathId, config: PathConfig) -> Result<(), PathError> {
        todo!()
    }

    /// Sends a HEARTBEAT now.
    pub fn request_heartbeat(&self, path: PathId) -> Result<(), PathError> {
        todo!()
    }
}
