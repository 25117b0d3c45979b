//! SCTP (RFC 9260) as a state machine without I/O, clock or randomness of its own.
//!
//! An [`Endpoint`] owns the ports and routes datagrams; an [`Association`] is one peer. The caller
//! moves datagrams and time in and takes packets, deadlines and events out:
//!
//! 1. hand every received datagram to [`Endpoint::handle_datagram`]; it answers by itself, yields
//!    an [`Incoming`] peer, or an [`AssociationEvent`] for [`Association::handle_event`];
//! 2. after every input or command on an association, poll it until empty, in this order:
//!    [`poll_transmit`](Association::poll_transmit), [`poll_timeout`](Association::poll_timeout),
//!    [`poll_endpoint_event`](Association::poll_endpoint_event) (to [`Endpoint::handle_event`]),
//!    [`poll_event`](Association::poll_event);
//! 3. when the deadline of `poll_timeout` has come, call
//!    [`handle_timeout`](Association::handle_timeout).
//!
//! Section numbers without a name are of RFC 9260.

mod accounts;
mod address;
mod asconf;
mod association;
mod auth;
mod capabilities;
mod config;
mod congestion;
mod cookie;
mod endpoint;
mod error;
pub mod event_log;
mod icmp;
mod ids;
mod init_ack;
mod message;
mod path;
mod rx;
mod scheduler;
mod serial;
mod time;
mod transmit;
mod tx;
mod wire;

pub use address::LocalAddress;
pub use association::{
    Association, AssociationEvent, AssociationState, AssociationStats, AssociationStatus,
    AuthEvent, EndpointEvent, Event, LocalChange, Memory, PathConfig, PathInfo, PathState,
    PathStats, ReconfigOutcome, ReconfigRequest,
};
pub use auth::{HmacAlgorithm, SharedKey};
pub use config::{
    AssociationConfig, CongestionControl, EndpointConfig, ErrorDetection, LossDetection,
    SchedulerKind, ServerConfig,
};
pub use congestion::{PathModel, Phase as PathPhase};
pub use endpoint::{DatagramEvent, Endpoint, EndpointStats, Incoming};
pub use error::{
    AcceptError, AddStreamsError, AddressError, AuthKeyError, CloseReason, ConfigError,
    ConnectError, ErrorCause, PathError, ResetError, SendError,
};
pub use icmp::{IcmpKind, IcmpMessage};
pub use ids::{AssociationHandle, PathId, Ppid, SocketId, StreamId, Tsn};
pub use message::{Message, MessageData, NextMessage, PrPolicy, PrStatus, Reliability, SendInfo};
pub use scheduler::{StreamScheduler, Turn, Waiting};
pub use time::Instant;
pub use transmit::{DatagramMeta, EcnCodepoint, Transmit};

/// The mechanisms, for this repository's tests, fuzz targets and benchmarks. Exempt from semver.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals {
    pub use crate::association::Audit;
    /// The receiving side.
    pub mod rx {
        pub use crate::rx::*;
    }
    /// The sending side.
    pub mod tx {
        pub use crate::tx::*;
    }
    /// The codec.
    pub mod wire {
        pub use crate::wire::*;
    }
}
