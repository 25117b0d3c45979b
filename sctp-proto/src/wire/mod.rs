//! The bytes of SCTP: packets, chunks, parameters and error causes, read and written in one place.
//!
//! Reading borrows: a [`Chunk`] points into the datagram and its lists are walked in place, so
//! nothing is allocated for what a peer claims to have sent. Every walk consumes at least four
//! bytes per step or stops, and none recurses. Parsing checks form only: lengths, counts, the
//! types that a field must have. What a value means in the state at hand is the caller's to judge.
//!
//! Writing appends: a [`PacketWriter`] puts every chunk once at the end of a buffer that the caller
//! reuses, and the checksum last.
//!
//! A file holds one format in both directions: its type, its parser, and its method of the writer.

// The codec is whole, whether or not the state machine uses each part of it.
#![cfg_attr(
    not(feature = "internals"),
    allow(dead_code, unreachable_pub, unused_imports)
)]

mod asconf;
mod auth;
mod causes;
mod chunk;
mod control;
mod crc32c;
mod data;
mod ecn;
mod forward_tsn;
mod init;
mod packet;
mod pad;
mod params;
mod quoted;
mod reader;
mod reconfig;
#[cfg(any(test, feature = "internals"))]
mod round_trip;
mod sack;
#[cfg(test)]
mod tests;
mod tlv;
mod writer;

pub use asconf::{
    AddressChange, Asconf, AsconfAck, AsconfAnswer, AsconfRequest, AsconfWriter, asconf_ack_value,
    asconf_value, wildcard_like,
};
pub use auth::{AUTH_HEADER, Auth, AuthPlan, ChunkSet, MAX_MAC, echoed_cookie};
pub use causes::{Cause, CauseWriter, Causes, RawCause, cause};
pub use chunk::{Chunk, kind};
pub use crc32c::{checksum_is_zero, checksum_ok, needs_checksum};
pub use data::{DATA_HEADER, Data, DataFields, I_DATA_HEADER};
pub use forward_tsn::{ForwardTsn, IForwardTsn};
pub use init::{Init, InitFields};
pub use packet::{
    CHUNK_HEADER, COMMON_HEADER, Chunks, CommonHeader, Malformed, OnUnknown, RawChunk, chunks,
    on_unknown_chunk, on_unknown_param,
};
pub use params::{Param, ParamWriter, Params, param};
pub use quoted::Quoted;
pub use reconfig::{ReConfig, ReConfigParam, ReConfigWriter, StreamList, reconfig_result};
#[cfg(any(test, feature = "internals"))]
pub use round_trip::{check_round_trip, rewrite_reconfig};
pub use sack::Sack;
pub use tlv::{RawParam, Tlvs};
pub use writer::PacketWriter;
