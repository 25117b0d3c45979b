//! What happens to an association besides messages (RFC 6458 §6.1).

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use sctp_proto::{AuthEvent, ErrorCause, LocalChange, PathId, PathState, StreamId};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// Something that happened to an association.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notification {
    /// A path changed state.
    PathChanged {
        /// The path.
        path: PathId,
        /// Its state now.
        state: PathState,
    },
    /// There is another path: an address of either side has become known.
    PathAdded(PathId),
    /// The path is no more: one of its addresses is gone.
    PathRemoved(PathId),
    /// Data goes to another path from now on.
    PrimaryChanged(PathId),
    /// The peer has answered what it was asked to do about an address of this side (RFC 5061).
    LocalAddress {
        /// The address.
        ip: IpAddr,
        /// What it was asked.
        change: LocalChange,
        /// Whether it did so.
        performed: bool,
    },
    /// The peer lost its state and set the association up anew: every stream handle made before
    /// fails with `Restarted`.
    Restarted,
    /// A message will not arrive: given up, or left when the association ended.
    SendFailed {
        /// Its outbound stream.
        stream: StreamId,
        /// [`SendInfo::context`](crate::SendInfo::context) of the message.
        context: u32,
        /// How many of its bytes were transmitted.
        sent: usize,
        /// The message.
        data: Bytes,
    },
    /// The peer reset these inbound streams, all if none is named (RFC 6525). A `RecvStream` shows
    /// it as its end.
    IncomingReset(Vec<StreamId>),
    /// One side had all numbers of the association begin anew (RFC 6525): every `RecvStream` ends.
    AssociationReset,
    /// There are more streams than before (RFC 6525).
    StreamsChanged {
        /// Streams to send on.
        outbound: u16,
        /// Streams to receive on.
        inbound: u16,
    },
    /// The stream holds more than its share of the receive window unread; see
    /// [`stall_timeout`](crate::AssociationConfig::stall_timeout).
    StreamStalled(StreamId),
    /// The stream was not read in time: its data was discarded.
    StreamDiscarded(StreamId),
    /// The peer is alive and has acknowledged nothing for so long; see
    /// [`progress_timeout`](crate::AssociationConfig::progress_timeout).
    PeerStalled {
        /// For how long.
        waited: Duration,
    },
    /// What the peer said, when the association was set up, that it adapts to (RFC 5061 §4.2.6).
    AdaptationIndication(u32),
    /// The last of a message left for the first time; for messages with
    /// [`SendInfo::tracked`](crate::SendInfo::tracked) set.
    MessageSent {
        /// Its outbound stream.
        stream: StreamId,
        /// [`SendInfo::context`](crate::SendInfo::context) of the message.
        context: u32,
    },
    /// The peer has acknowledged all of a message; for messages with
    /// [`SendInfo::tracked`](crate::SendInfo::tracked) set.
    MessageAcked {
        /// Its outbound stream.
        stream: StreamId,
        /// [`SendInfo::context`](crate::SendInfo::context) of the message.
        context: u32,
    },
    /// Keys of authenticated chunks (RFC 4895).
    Authentication(AuthEvent),
    /// The peer reported an error that does not end the association.
    PeerError(ErrorCause),
    /// So many notifications were lost because they were not read in time.
    Lagged(u64),
}

/// Notifications of one association since the call of
/// [`notifications`](crate::Association::notifications). The newest 256 are kept.
#[derive(Debug)]
pub struct Notifications(Receiver<Notification>);

impl Notifications {
    pub(crate) fn new(receiver: Receiver<Notification>) -> Self {
        Self(receiver)
    }

    /// The next one; `None` once the association is over. Cancel-safe.
    pub async fn next(&mut self) -> Option<Notification> {
        match self.0.recv().await {
            Ok(notification) => Some(notification),
            Err(RecvError::Lagged(count)) => Some(Notification::Lagged(count)),
            Err(RecvError::Closed) => None,
        }
    }
}
