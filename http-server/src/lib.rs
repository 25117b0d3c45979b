//! HTTP over SCTP, and the same over TCP: each request is answered on the SCTP stream it came on.
//!
//! [`Server`] puts any [`tower::Service`] (an axum `Router`, say) on SCTP and TCP listeners.
//! [`Files`] is a service of static files, [`Demo`] an embedded site that shows what the streams
//! are for, and [`AccessLog`] logs either. [`command`] is the program `sctp-http`.
//!
//! The mapping of HTTP to SCTP: the client chooses a stream per request and the response comes
//! back on the stream with the same id; a request or response is any number of user messages,
//! none of which holds parts of two; the payload protocol identifier is 63.

mod association;
mod body;
mod client;
pub mod command;
mod conditional;
mod demo;
mod exchange;
mod files;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod limits;
mod listen;
mod log;
mod origin;
mod response_writer;
mod server;
mod service;
mod stream;
mod tcp;

pub use body::RequestBody;
pub use demo::Demo;
pub use files::{FileBody, Files};
pub use limits::Limits;
pub use listen::{Listen, ListenError, Transport};
pub use log::{AccessLog, LogFormat};
pub use origin::Origin;
pub use sctp_udp::{AssociationConfig, StreamId};
pub use server::{BindError, Bound, SCTP_PORT, Server};
pub use service::HttpService;
