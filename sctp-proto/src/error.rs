//! Errors, one small enum per operation. Whose fault it was shows in the name of the variant:
//! the caller's, unless it says *peer* or a time-out.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use thiserror::Error;

use crate::ids::StreamId;

/// An error cause received from the peer in an ABORT or ERROR chunk (RFC 9260 §3.3.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorCause {
    /// Cause code, as on the wire.
    pub code: u16,
    /// Cause-specific information, cut to 256 bytes.
    pub info: Bytes,
}

impl ErrorCause {
    /// The name RFC 9260 §3.3.10 gives the code, or "unknown".
    pub fn name(&self) -> &'static str {
        match self.code {
            1 => "invalid stream identifier",
            2 => "missing mandatory parameter",
            3 => "stale cookie",
            4 => "out of resource",
            5 => "unresolvable address",
            6 => "unrecognized chunk type",
            7 => "invalid mandatory parameter",
            8 => "unrecognized parameters",
            9 => "no user data",
            10 => "cookie received while shutting down",
            11 => "restart of an association with new addresses",
            12 => "user-initiated abort",
            13 => "protocol violation",
            14 => "restart of an association with new encapsulation port",
            0x00A0 => "request to delete the last address",
            0x00A1 => "operation refused for want of resources",
            0x00A2 => "request to delete the source address",
            0x00A3 => "illegal ASCONF-ACK",
            0x00A4 => "request refused: no authorization",
            0x0105 => "unsupported HMAC identifier",
            _ => "unknown",
        }
    }
}

/// Why an association ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// Both sides completed SHUTDOWN (§9.2): everything sent was acknowledged.
    Shutdown,
    /// This side called `abort`, or dropped the attempt.
    LocalAbort,
    /// The peer sent ABORT (§9.1); its first cause, if it gave one.
    PeerAbort(Option<ErrorCause>),
    /// The peer broke the protocol and was sent an ABORT that says so.
    PeerMisbehaved(&'static str),
    /// The peer stopped answering: Association.Max.Retrans exceeded (§8.1).
    TimedOut,
    /// Nobody answered the INIT, or the COOKIE ECHO: Max.Init.Retransmits exceeded (§5.1).
    HandshakeTimedOut,
    /// The peer found every state cookie stale (§5.2.6).
    StaleCookie,
    /// The peer's host says, by ICMP, that nobody takes packets there (§10).
    Unreachable,
    /// The shutdown guard timer T5 ran out (§9.2).
    ShutdownTimedOut,
    /// The peer acknowledged nothing for as long as
    /// [`abort_stalled_peer`](crate::AssociationConfig::abort_stalled_peer) says, though it was
    /// alive.
    PeerStalled,
}

impl std::fmt::Display for CloseReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shutdown => f.write_str("shut down by both sides"),
            Self::LocalAbort => f.write_str("aborted by this side"),
            Self::PeerAbort(None) => f.write_str("aborted by the peer"),
            Self::PeerAbort(Some(cause)) => {
                write!(f, "aborted by the peer: {}", cause.name())?;
                if cause.code == 12 && !cause.info.is_empty() {
                    write!(f, " ({})", cause.info.escape_ascii())?;
                }
                Ok(())
            }
            Self::PeerMisbehaved(how) => write!(f, "the peer broke the protocol: {how}"),
            Self::TimedOut => f.write_str("the peer stopped answering"),
            Self::HandshakeTimedOut => f.write_str("the peer did not answer"),
            Self::StaleCookie => f.write_str("the peer found the state cookie stale"),
            Self::Unreachable => f.write_str("nobody takes packets at the peer's address"),
            Self::ShutdownTimedOut => f.write_str("the peer did not complete the shutdown"),
            Self::PeerStalled => f.write_str("the peer was alive and acknowledged nothing"),
        }
    }
}

/// Why `connect` could not start.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// No peer address was given.
    #[error("no peer address given")]
    NoAddress,
    /// An address that nobody can be reached at: unspecified, multicast, broadcast, or port 0.
    #[error("{0} is not an address a peer can be reached at")]
    InvalidAddress(SocketAddr),
    /// The SCTP source port asked for already leads to this peer, or none is left.
    #[error("no SCTP source port is free towards this peer")]
    PortInUse,
    /// The endpoint holds as many associations as its configuration allows.
    #[error("the endpoint holds as many associations as it is configured to")]
    TooManyAssociations,
}

/// Why an [`Incoming`](crate::Incoming) could not be accepted.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcceptError {
    /// The peer gave up, or set up another association, while it waited.
    #[error("the peer is no longer waiting")]
    Gone,
}

/// Why a message was not taken. The caller's doing, but for `Blocked` and `Closing`.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// SCTP has no empty messages (§6.1: a DATA chunk carries at least one byte).
    #[error("a message needs at least one byte")]
    Empty,
    /// Larger than the send buffer can ever hold.
    #[error("the message is larger than the largest that can be sent, {max} bytes")]
    TooLarge {
        /// The largest that can.
        max: usize,
    },
    /// The association has no such outbound stream (for streams the peer refused, see
    /// [`Association::streams`](crate::Association::streams)).
    #[error("there is no outbound stream {}", .0.0)]
    UnknownStream(StreamId),
    /// The stream is being reset; it takes messages again once
    /// [`Event::OutgoingReset`](crate::Event::OutgoingReset) arrives.
    #[error("outbound stream {} is being reset", .0.0)]
    StreamResetting(StreamId),
    /// No room in the send buffer; here is the message back. [`Event::Writable`](crate::Event)
    /// tells when to try again.
    #[error("the send buffer is full")]
    Blocked(Bytes),
    /// No such path.
    #[error("there is no such path")]
    UnknownPath,
    /// The association is shutting down or closed.
    #[error("the association is shutting down or closed")]
    Closing,
}

/// Why streams, or the association, were not reset (RFC 6525).
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetError {
    /// The peer did not negotiate RE-CONFIG.
    #[error("the peer does not support stream reconfiguration")]
    NotSupported,
    /// The association has no such stream in that direction.
    #[error("there is no stream {} to reset", .0.0)]
    UnknownStream(StreamId),
    /// The association is not, or no longer, established.
    #[error("the association is not established")]
    NotEstablished,
    /// Such a request of this side is under way already.
    #[error("such a request is under way already")]
    InProgress,
}

/// Why no streams were asked for (RFC 6525).
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddStreamsError {
    /// The peer did not negotiate RE-CONFIG.
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
    /// Streams have been asked for already, and the peer has not answered.
    #[error("streams are being added already")]
    InProgress,
}

impl From<ResetError> for AddStreamsError {
    fn from(error: ResetError) -> Self {
        match error {
            ResetError::NotSupported => Self::NotSupported,
            ResetError::InProgress => Self::InProgress,
            ResetError::UnknownStream(_) | ResetError::NotEstablished => Self::NotEstablished,
        }
    }
}

/// Why a key for authentication could not be used (RFC 6458 §8.1.18, §8.3.4, §8.3.5).
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthKeyError {
    /// No key has this identifier.
    #[error("there is no key {0}")]
    Unknown(u16),
    /// The key is in use: another has to be made active, and this one deactivated.
    #[error("key {0} is in use")]
    InUse(u16),
}

/// Why the peer cannot be asked to do something about an address of this side.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// The association is not, or no longer, established.
    #[error("the association is not established")]
    NotEstablished,
    /// ASCONF and AUTH were not negotiated with the peer.
    #[error("the peer does not let addresses change")]
    NotSupported,
    /// No path leaves from this address.
    #[error("no path leaves from {0}")]
    UnknownAddress(IpAddr),
    /// The peer has said that it does not know how, or too much waits to be asked.
    #[error("the peer cannot be asked about {0}")]
    Refused(IpAddr),
}

/// Why a path could not be configured.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathError {
    /// No such path.
    #[error("there is no such path")]
    UnknownPath,
    /// The path is not confirmed yet (§5.4): no data may be sent on it.
    #[error("the path is not confirmed yet")]
    Unconfirmed,
}

/// A configuration that cannot work.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{setting}: {problem}")]
pub struct ConfigError {
    /// Name of the setting.
    pub setting: &'static str,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl ConfigError {
    pub(crate) fn new(setting: &'static str, problem: impl Into<String>) -> Self {
        Self {
            setting,
            problem: problem.into(),
        }
    }

    pub(crate) fn range(setting: &'static str, low: Duration, high: Duration) -> Self {
        Self::new(setting, format!("must lie between {low:?} and {high:?}"))
    }
}
