//! What the tests stand on: a seeded network in virtual time, two endpoints on it, a hand-driven
//! peer, and a trace that Wireshark opens.
//!
//! Nothing here sleeps and nothing asks the machine for time or randomness: a run is a function of
//! its seed. The chunks that [`peer`] crafts and reads, and those that [`net`]'s scripts look for,
//! go through a codec of their own ([`codec`]), so that a mistake in the protocol's codec shows
//! instead of being made twice.

pub mod auth;
pub mod bottleneck;
pub mod build;
pub mod codec;
pub mod form;
pub mod host;
pub mod load;
pub mod net;
pub mod pair;
pub mod peer;
pub mod rng;
pub mod sockets;
pub mod states;
pub mod trace;
