//! What an association tells its user: the notifications of RFC 6458 §6.1, as values.

use std::time::Duration;

use std::net::IpAddr;

use bytes::Bytes;

use super::ReconfigOutcome;
use crate::{
    error::{CloseReason, ErrorCause},
    ids::{PathId, StreamId, Tsn},
};

/// Reachability of a path (§5.4, §8.2; RFC 7829 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathState {
    /// No HEARTBEAT has come back yet: no data may be sent there.
    Unconfirmed,
    /// Reachable.
    Active,
    /// Retransmissions fail, but not yet so many that it counts as inactive.
    PotentiallyFailed,
    /// Path.Max.Retrans exceeded.
    Inactive,
}

/// What a user of AUTH has to know (SCTP_AUTHENTICATION_EVENT, RFC 6458 §6.1.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthEvent {
    /// The peer sends with the key of this identifier from now on.
    NewKey(u16),
    /// No packet leaves with this key any more: it can be deleted.
    FreeKey(u16),
    /// The peer uses a key that is not known here; what it sends with it is discarded. Told once
    /// until another key is used.
    UnknownKey(u16),
    /// Chunks are to be authenticated, or keys are set, and the peer does not speak AUTH: nothing
    /// is authenticated.
    NotSupported,
}

/// What one side asks of the other by RE-CONFIG (RFC 6525).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReconfigRequest {
    /// The peer is to reset streams that it sends on.
    IncomingReset(Vec<StreamId>),
    /// The numbers of all streams, and the TSNs, begin anew in both directions.
    AssociationReset,
    /// So many more streams to send on.
    AddOutbound(u16),
    /// So many more streams for the peer to send on.
    AddInbound(u16),
}

/// What the peer was asked to do about an address of this side (RFC 5061).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalChange {
    /// To take it for one of this side's.
    Added,
    /// To forget it.
    Deleted,
    /// To send data there.
    MadePrimary,
}

/// Something the user of an association has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The handshake is complete; `restarted` if the peer lost its state and set up the same
    /// association anew (§5.2.4 action A). After a restart every stream begins again, unread
    /// messages of the old incarnation are gone, and what was not acknowledged comes back as
    /// `SendFailed`.
    Established {
        /// Whether this replaces an earlier incarnation.
        restarted: bool,
    },
    /// What the peer said, when the association was set up, that it adapts to (RFC 5061 §4.2.6):
    /// comes right after `Established`, if it said anything.
    AdaptationIndication(u32),
    /// The peer will send no more messages; sending is over as well (SCTP has no half-closed
    /// state, §9). Unread messages can still be received.
    PeerShutdown,
    /// The association was idle for as long as [`autoclose`](crate::AssociationConfig::autoclose)
    /// says: the graceful shutdown begins, as if `shutdown` had been called.
    Autoclose,
    /// The association is over. Nothing but `recv` of what has arrived makes sense any more.
    Closed(CloseReason),
    /// The stream has something to `recv`. Given once until everything was taken.
    Readable(StreamId),
    /// The stream, once `Blocked`, has room again. Streams get it in turn.
    Writable(StreamId),
    /// The peer reset inbound streams (RFC 6525): what it sent before is the end of them, the next
    /// message begins anew. Messages received before may still wait for `recv`.
    IncomingReset {
        /// The inbound streams; empty means all.
        streams: Vec<StreamId>,
        /// The last TSN before the reset: what begins after it belongs to the streams' next life
        /// (see [`next_tsn`](crate::Association::next_tsn) and [`Tsn::ends_by`]).
        last_tsn: Tsn,
    },
    /// Outbound streams were reset, or were not: as `reset_streams` asked or, where
    /// [`obey_stream_reset`](crate::AssociationConfig::obey_stream_reset) allows it, the peer.
    OutgoingReset {
        /// The outbound streams; empty means all.
        streams: Vec<StreamId>,
        /// What the peer made of it.
        outcome: ReconfigOutcome,
    },
    /// The peer answered a `reset_incoming`, `reset_association` or `add_streams`, or a request
    /// that it had asked for itself. What changes by it has an event of its own.
    ReconfigAnswered {
        /// What was asked for.
        request: ReconfigRequest,
        /// What the peer made of it.
        outcome: ReconfigOutcome,
    },
    /// One side had all numbers of the association begin anew (SCTP_ASSOC_RESET_EVENT): every
    /// stream of both directions ends with what came before.
    AssociationReset {
        /// The next TSN of this side.
        own_next: Tsn,
        /// The next TSN of the peer.
        peer_next: Tsn,
        /// The last TSN of the peer before: see [`Tsn::ends_by`].
        last_tsn: Tsn,
    },
    /// There are more streams than before (SCTP_STREAM_CHANGE_EVENT).
    StreamsChanged {
        /// Outbound streams now.
        outbound: u16,
        /// Inbound streams now.
        inbound: u16,
    },
    /// The stream holds more than its share of the receive window unread, so that it may keep
    /// other streams waiting; unless it is read, its data is discarded after
    /// [`stall_timeout`](crate::AssociationConfig::stall_timeout).
    StreamStalled(StreamId),
    /// The stalled stream was not read: what it held is gone, and what comes is discarded (and
    /// acknowledged) until the peer resets the stream.
    StreamDiscarded(StreamId),
    /// The peer is alive and has acknowledged nothing for so long, of data that waits for it (see
    /// [`progress_timeout`](crate::AssociationConfig::progress_timeout)): its window is closed, or
    /// it does not answer what it should. Told once, and again if it happens again after progress.
    PeerStalled {
        /// For how long.
        waited: Duration,
    },
    /// A path changed state.
    PathChanged {
        /// The path.
        path: PathId,
        /// Its state now.
        state: PathState,
    },
    /// There is another path: an address of either side has become known.
    PathAdded(PathId),
    /// The path is no more: one of its addresses is gone. Its id may later name another, after a
    /// `PathAdded`.
    PathRemoved(PathId),
    /// Data goes to another path from now on, unless that fails: the user has asked for it, the
    /// old one is gone, or has failed too often
    /// ([`primary_switchover_max_retrans`](crate::AssociationConfig::primary_switchover_max_retrans)).
    PrimaryChanged(PathId),
    /// A message will not arrive: given up, or left when the association ended.
    SendFailed {
        /// Its outbound stream.
        stream: StreamId,
        /// [`SendInfo::context`](crate::SendInfo::context) of the message.
        context: u32,
        /// How many of its bytes were transmitted, from the first on, once at least: 0 for
        /// SCTP_DATA_UNSENT of RFC 6458 §6.1.11.
        sent: usize,
        /// The message.
        data: Bytes,
    },
    /// The last of a message left for the first time; for messages with
    /// [`SendInfo::tracked`](crate::SendInfo::tracked) set.
    MessageSent {
        /// Its outbound stream.
        stream: StreamId,
        /// [`SendInfo::context`](crate::SendInfo::context) of the message.
        context: u32,
    },
    /// The peer has acknowledged all of a message; for messages with
    /// [`SendInfo::tracked`](crate::SendInfo::tracked) set. One that will not arrive comes as
    /// `SendFailed` instead.
    MessageAcked {
        /// Its outbound stream.
        stream: StreamId,
        /// [`SendInfo::context`](crate::SendInfo::context) of the message.
        context: u32,
    },
    /// Everything sent was acknowledged (SCTP_SENDER_DRY_EVENT).
    SenderDry,
    /// The peer has answered what it was asked to do about an address of this side.
    LocalAddress {
        /// The address.
        ip: IpAddr,
        /// What it was asked.
        change: LocalChange,
        /// Whether it did so. False as well if what was asked from an address that the peer did not
        /// know was not answered there: the address does not work.
        performed: bool,
    },
    /// Keys come and go, or there are none.
    Authentication(AuthEvent),
    /// The peer reported an error that does not end the association (§3.3.10).
    PeerError(ErrorCause),
}
