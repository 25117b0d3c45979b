//! SCTP (RFC 9260) over UDP (RFC 6951) for tokio.
//!
//! An [`Endpoint`] owns UDP sockets and any number of [`Association`]s. An association carries
//! messages on streams, by its own methods or by per-stream handles ([`SendStream`],
//! [`RecvStream`]), which also read and write bytes ([`StreamWriter`], [`StreamReader`]).
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use sctp_udp::{AssociationConfig, Endpoint, EndpointConfig, Ppid, SendInfo, StreamId};
//!
//! let endpoint = Endpoint::bind(EndpointConfig::default(), None, &["0.0.0.0:0".parse()?])?;
//! let peer = "192.0.2.1:9899".parse()?;
//! let association = endpoint
//!     .connect(&[peer], Arc::new(AssociationConfig::default()))
//!     .await?;
//! association
//!     .send(StreamId(0), "hello".into(), SendInfo::new(Ppid(0)))
//!     .await?;
//! if let Some(answer) = association.recv().await? {
//!     println!("{:?}", answer.data.into_bytes());
//! }
//! association.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod addresses;
mod association;
mod association_driver;
mod auth;
mod bind;
pub mod capture;
mod clock;
mod endpoint;
mod endpoint_driver;
mod error;
mod incoming;
mod interfaces;
mod io;
mod net;
mod notifications;
mod qlog;
mod reconfig;
mod recv_stream;
mod routes;
mod send_stream;
mod socket;
mod sockets;
mod state;
mod udp_socket;

pub use association::Association;
pub use capture::Capture;
pub use endpoint::Endpoint;
pub use error::{
    AcceptError, AddStreamsError, ConnectError, RecvError, ResetError, SendError, StreamClaimed,
};
pub use incoming::Incoming;
pub use io::{StreamReader, StreamWriter};
pub use notifications::{Notification, Notifications};
pub use qlog::{QlogDirectory, QlogWriter};
pub use recv_stream::RecvStream;
pub use send_stream::SendStream;
pub use socket::{Batch, DatagramSocket, Received};
pub use sockets::SocketStats;
pub use udp_socket::UdpSocket;

pub use sctp_proto::{
    AddressError, AssociationConfig, AssociationState, AssociationStats, AssociationStatus,
    AuthEvent, AuthKeyError, CloseReason, ConfigError, CongestionControl, EcnCodepoint,
    EndpointConfig, EndpointStats, ErrorCause, HmacAlgorithm, IcmpKind, IcmpMessage, LocalChange,
    LossDetection, Memory, Message, MessageData, NextMessage, PathConfig, PathError, PathId,
    PathInfo, PathState, PathStats, Ppid, PrPolicy, PrStatus, ReconfigOutcome, Reliability,
    SchedulerKind, SendInfo, ServerConfig, SharedKey, StreamId, StreamScheduler, Tsn, Turn,
    Waiting,
};
pub use sctp_proto::{ErrorDetection, event_log};
pub use sctp_proto::{PathModel, PathPhase};
