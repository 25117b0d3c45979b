//! The sending side: messages in, fragments out, acknowledgements back.
//!
//! ```text
//! push ──► SendQueue ──next_fragment──► Outstanding ──next_lost──► sent again
//!          (messages,                   (one record per TSN)
//!           streams, scheduler) ◄──────── apply_sack: AckOutcome
//! ```
//!
//! [`SendQueue`] owns the bytes and [`Outstanding`] knows the TSNs; a record names its message by
//! key. Neither knows packets, timers or events. A message is let go when its last TSN is
//! acknowledged cumulatively: gap blocks are advisory (§7.1), the peer may renege on them, unless it
//! says that it will not (`kept`). One that is given up before that
//! (RFC 3758) leaves its TSNs behind, until the peer has been told.

// The whole surface is there for tests and fuzz targets, whether or not the association uses it.
#![cfg_attr(
    not(feature = "internals"),
    allow(dead_code, unreachable_pub, unused_imports)
)]
#![cfg_attr(feature = "internals", allow(missing_docs))]

mod abandon;
#[cfg(any(test, feature = "internals"))]
mod audit;
mod kept;
mod large;
mod message;
mod outstanding;
mod queue;
mod rack;
mod rate;
mod recovery;
mod reordering;
mod retransmits;
mod sack;
mod scheduler;
mod stream;
#[cfg(test)]
mod tests;

pub use self::{
    abandon::{Forward, PrCounters},
    message::{FailedMessage, Fragment, Message, MessageKey, Stage},
    outstanding::{LostChunk, Outstanding},
    queue::SendQueue,
    rack::Settling,
    retransmits::Cause,
    sack::{AckOutcome, PathAck, PathLoss, SackError},
};
