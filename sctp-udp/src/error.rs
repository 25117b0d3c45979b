//! Errors, one small enum per operation.

use std::{io, net::SocketAddr};

use bytes::Bytes;
use sctp_proto::{CloseReason, ConfigError, ReconfigOutcome, StreamId};
use thiserror::Error;

/// Why there is no association.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The configuration cannot work.
    #[error("invalid configuration: {0}")]
    Config(#[from] ConfigError),
    /// No peer address was given.
    #[error("no peer address given")]
    NoAddress,
    /// An address that nobody can be reached at: unspecified, multicast, broadcast, or port 0.
    #[error("{0} is not an address a peer can be reached at")]
    InvalidAddress(SocketAddr),
    /// The endpoint has no socket of the address family (IPv4, IPv6) of this address.
    #[error("the endpoint has no socket of the address family of {0}")]
    NoSocket(SocketAddr),
    /// The SCTP source port asked for already leads to this peer, or none is left.
    #[error("no SCTP source port is free towards this peer")]
    PortInUse,
    /// The endpoint holds as many associations as its configuration allows.
    #[error("the endpoint holds as many associations as it is configured to")]
    TooManyAssociations,
    /// The endpoint was closed.
    #[error("the endpoint is closed")]
    EndpointClosed,
    /// The attempt ended before the association was established: the peer did not answer, or
    /// refused.
    #[error("{0}")]
    Failed(CloseReason),
}

impl From<sctp_proto::ConnectError> for ConnectError {
    fn from(error: sctp_proto::ConnectError) -> Self {
        use sctp_proto::ConnectError as E;
        match error {
            E::NoAddress => Self::NoAddress,
            E::InvalidAddress(address) => Self::InvalidAddress(address),
            E::PortInUse => Self::PortInUse,
            // Non-exhaustive: whatever else keeps an association from starting is a limit.
            _ => Self::TooManyAssociations,
        }
    }
}

/// Why a waiting peer could not be accepted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The configuration cannot work. The peer was refused.
    #[error("invalid configuration: {0}")]
    Config(#[from] ConfigError),
    /// The peer gave up, or set up another association, while it waited.
    #[error("the peer is no longer waiting")]
    Gone,
    /// The endpoint was closed. The peer was refused.
    #[error("the endpoint is closed")]
    EndpointClosed,
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// SCTP has no empty messages.
    #[error("a message needs at least one byte")]
    Empty,
    /// Larger than the send buffer can ever hold.
    #[error("the message is larger than the largest that can be sent, {max} bytes")]
    TooLarge {
        /// The largest that can.
        max: usize,
    },
    /// The association has no such outbound stream: see
    /// [`Association::streams`](crate::Association::streams).
    #[error("there is no outbound stream {}", .0.0)]
    UnknownStream(StreamId),
    /// The stream is being reset; it takes messages again once the peer has answered.
    #[error("outbound stream {} is being reset", .0.0)]
    StreamResetting(StreamId),
    /// No such path.
    #[error("there is no such path")]
    UnknownPath,
    /// No room in the send buffer; here is the message back. Only `try_send` says so, `send`
    /// waits.
    #[error("the send buffer is full")]
    Blocked(Bytes),
    /// This side or the peer has begun to shut the association down.
    #[error("the association is shutting down")]
    Closing,
    /// The peer restarted and set the association up anew: this handle belongs to the old
    /// incarnation. Claim the stream again.
    #[error("the peer restarted the association")]
    Restarted,
    /// The association is over.
    #[error("the association is over: {0}")]
    Closed(CloseReason),
}

/// Why nothing more can be received.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The stream was not read in time while it kept others waiting: its data was discarded, and
    /// what comes on it is discarded until the peer resets it.
    #[error("the stream was not read in time and its data was discarded")]
    Stalled,
    /// The peer restarted and set the association up anew: this handle belongs to the old
    /// incarnation. Claim the stream again.
    #[error("the peer restarted the association")]
    Restarted,
    /// The association ended otherwise than by a graceful shutdown.
    #[error("the association is over: {0}")]
    Closed(CloseReason),
}

/// Why streams were not reset.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResetError {
    /// The peer did not negotiate RE-CONFIG (RFC 6525).
    #[error("the peer does not support stream reconfiguration")]
    NotSupported,
    /// The association has no such stream in that direction.
    #[error("there is no stream {} to reset", .0.0)]
    UnknownStream(StreamId),
    /// The association is not, or no longer, established.
    #[error("the association is not established")]
    NotEstablished,
    /// Such a request of this side is under way already.
    #[error("such a reset is under way already")]
    InProgress,
    /// The peer does not do that for others.
    #[error("the peer denied the reset")]
    Denied,
    /// The peer did not do it, for another reason.
    #[error("no reset: {0}")]
    Refused(ReconfigOutcome),
    /// The peer restarted the association.
    #[error("the peer restarted the association")]
    Restarted,
    /// The association ended before the peer answered.
    #[error("the association is over: {0}")]
    Closed(CloseReason),
}

/// Why there are no more streams than before.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddStreamsError {
    /// The peer did not negotiate RE-CONFIG (RFC 6525).
    #[error("the peer does not support stream reconfiguration")]
    NotSupported,
    /// There would be more than 65,535 streams.
    #[error("there can be {max} more streams at most")]
    TooMany {
        /// How many there can be.
        max: u16,
    },
    /// The association is not, or no longer, established.
    #[error("the association is not established")]
    NotEstablished,
    /// Streams are being added already.
    #[error("streams are being added already")]
    InProgress,
    /// The peer does not take part, or wants no more streams.
    #[error("no streams added: {0}")]
    Refused(ReconfigOutcome),
    /// The peer restarted the association.
    #[error("the peer restarted the association")]
    Restarted,
    /// The association ended before the peer answered.
    #[error("the association is over: {0}")]
    Closed(CloseReason),
}

/// The stream already has handles, or its number is not below that of the streams of this
/// association in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("stream {} is claimed already, or does not exist", .0.0)]
pub struct StreamClaimed(pub StreamId);

fn close_kind(reason: &CloseReason) -> io::ErrorKind {
    match reason {
        CloseReason::TimedOut
        | CloseReason::HandshakeTimedOut
        | CloseReason::ShutdownTimedOut
        | CloseReason::PeerStalled => io::ErrorKind::TimedOut,
        CloseReason::LocalAbort => io::ErrorKind::ConnectionAborted,
        CloseReason::Shutdown => io::ErrorKind::BrokenPipe,
        _ => io::ErrorKind::ConnectionReset,
    }
}

impl From<SendError> for io::Error {
    fn from(error: SendError) -> Self {
        let kind = match &error {
            SendError::Closed(reason) => close_kind(reason),
            SendError::Restarted => io::ErrorKind::ConnectionReset,
            SendError::Closing | SendError::StreamResetting(_) => io::ErrorKind::BrokenPipe,
            SendError::Blocked(_) => io::ErrorKind::WouldBlock,
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

impl From<RecvError> for io::Error {
    fn from(error: RecvError) -> Self {
        let kind = match &error {
            RecvError::Closed(reason) => close_kind(reason),
            RecvError::Restarted => io::ErrorKind::ConnectionReset,
            RecvError::Stalled => io::ErrorKind::TimedOut,
        };
        Self::new(kind, error)
    }
}
