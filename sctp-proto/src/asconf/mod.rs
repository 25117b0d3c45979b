//! The order of address changes (ASCONF, RFC 5061 §5): one request of a side is under way at a time,
//! and each is performed once, however often it comes.
//!
//! What a change does to addresses and paths is `association/on_asconf.rs`'s.

mod incoming;
mod outgoing;

pub(crate) use self::{
    incoming::{Incoming, Order},
    outgoing::{Acked, Outgoing, Wish},
};

#[cfg(test)]
mod tests;
