//! Chunk types, and the parsed form of each.

use super::{
    asconf::{Asconf, AsconfAck},
    auth::Auth,
    causes::Causes,
    control,
    data::Data,
    ecn,
    forward_tsn::{ForwardTsn, IForwardTsn},
    init::Init,
    packet::{Malformed, RawChunk},
    reconfig::ReConfig,
    sack::Sack,
};
use crate::ids::Tsn;

/// Chunk types.
pub mod kind {
    /// User data (§3.3.1).
    pub const DATA: u8 = 0;
    /// Begins an association (§3.3.2).
    pub const INIT: u8 = 1;
    /// Answers INIT (§3.3.3).
    pub const INIT_ACK: u8 = 2;
    /// Acknowledges DATA (§3.3.4).
    pub const SACK: u8 = 3;
    /// Asks whether a path works (§3.3.5).
    pub const HEARTBEAT: u8 = 4;
    /// Answers HEARTBEAT (§3.3.6).
    pub const HEARTBEAT_ACK: u8 = 5;
    /// Ends an association at once (§3.3.7).
    pub const ABORT: u8 = 6;
    /// Begins a graceful end (§3.3.8).
    pub const SHUTDOWN: u8 = 7;
    /// Answers SHUTDOWN (§3.3.9).
    pub const SHUTDOWN_ACK: u8 = 8;
    /// Reports what went wrong without ending the association (§3.3.10).
    pub const ERROR: u8 = 9;
    /// Returns the state cookie (§3.3.11).
    pub const COOKIE_ECHO: u8 = 10;
    /// Answers COOKIE ECHO (§3.3.12).
    pub const COOKIE_ACK: u8 = 11;
    /// Tells of packets marked with Congestion Experienced (RFC 4960 Appendix A).
    pub const ECNE: u8 = 12;
    /// Answers ECNE: the congestion window was reduced (RFC 4960 Appendix A).
    pub const CWR: u8 = 13;
    /// Answers SHUTDOWN ACK (§3.3.13).
    pub const SHUTDOWN_COMPLETE: u8 = 14;
    /// Authenticates the chunks after it (RFC 4895).
    pub const AUTH: u8 = 15;
    /// Acknowledges DATA, some of it for good (draft-tuexen-tsvwg-sctp-multipath).
    pub const NR_SACK: u8 = 16;
    /// User data whose messages may interleave (RFC 8260 §2.1).
    pub const I_DATA: u8 = 64;
    /// Answers ASCONF (RFC 5061).
    pub const ASCONF_ACK: u8 = 128;
    /// Resets or adds streams (RFC 6525).
    pub const RE_CONFIG: u8 = 130;
    /// Fills a packet up (RFC 4820).
    pub const PAD: u8 = 132;
    /// Gives up DATA (RFC 3758).
    pub const FORWARD_TSN: u8 = 192;
    /// Changes addresses (RFC 5061).
    pub const ASCONF: u8 = 193;
    /// Gives up I-DATA (RFC 8260 §2.3.1).
    pub const I_FORWARD_TSN: u8 = 194;
}

/// The T bit of ABORT and SHUTDOWN COMPLETE: the verification tag is the one the receiver sent.
pub(super) const T_BIT: u8 = 0x01;

/// A chunk whose form has been checked. Flags and reserved bits without a meaning are ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// DATA.
    Data(Data),
    /// I-DATA.
    IData(Data),
    /// INIT.
    Init(Init<'a>),
    /// INIT ACK.
    InitAck(Init<'a>),
    /// SACK.
    Sack(Sack<'a>),
    /// NR-SACK.
    NrSack(Sack<'a>),
    /// HEARTBEAT: the value of its Heartbeat Info parameter.
    Heartbeat(&'a [u8]),
    /// HEARTBEAT ACK: the value of its Heartbeat Info parameter.
    HeartbeatAck(&'a [u8]),
    /// ABORT.
    Abort {
        /// The verification tag is the receiver's own, reflected.
        t_bit: bool,
        /// Why; often nothing.
        causes: Causes<'a>,
    },
    /// SHUTDOWN.
    Shutdown {
        /// Cumulative TSN ack point of the sender.
        cumulative: Tsn,
    },
    /// SHUTDOWN ACK.
    ShutdownAck,
    /// ERROR.
    Error(Causes<'a>),
    /// COOKIE ECHO: the cookie.
    CookieEcho(&'a [u8]),
    /// COOKIE ACK.
    CookieAck,
    /// ECNE: the lowest TSN of a packet that was marked.
    Ecne(Tsn),
    /// CWR: what was marked up to this TSN has been answered.
    Cwr(Tsn),
    /// SHUTDOWN COMPLETE.
    ShutdownComplete {
        /// The verification tag is the receiver's own, reflected.
        t_bit: bool,
    },
    /// FORWARD-TSN.
    ForwardTsn(ForwardTsn<'a>),
    /// I-FORWARD-TSN.
    IForwardTsn(IForwardTsn<'a>),
    /// RE-CONFIG.
    ReConfig(ReConfig<'a>),
    /// AUTH.
    Auth(Auth<'a>),
    /// PAD: its bytes, which mean nothing.
    Pad(&'a [u8]),
    /// ASCONF.
    Asconf(Asconf<'a>),
    /// ASCONF-ACK.
    AsconfAck(AsconfAck<'a>),
    /// Every other type, those of extensions that nobody here speaks included: the caller applies
    /// [`on_unknown_chunk`](super::on_unknown_chunk).
    Unknown(RawChunk<'a>),
}

impl<'a> Chunk<'a> {
    /// Parses the value of a chunk. Costs the same for any length, but for ABORT and ERROR, whose
    /// causes are walked once.
    #[inline]
    pub fn parse(raw: RawChunk<'a>) -> Result<Self, Malformed> {
        Ok(match raw.kind {
            kind::DATA => Self::Data(Data::parse(raw)?),
            kind::I_DATA => Self::IData(Data::parse_interleaved(raw)?),
            kind::INIT => Self::Init(Init::parse(raw.value)?),
            kind::INIT_ACK => Self::InitAck(Init::parse(raw.value)?),
            kind::SACK => Self::Sack(Sack::parse(raw.value)?),
            kind::NR_SACK => Self::NrSack(Sack::parse_nr(raw.value)?),
            kind::HEARTBEAT => Self::Heartbeat(control::heartbeat_info(raw.value)?),
            kind::HEARTBEAT_ACK => Self::HeartbeatAck(control::heartbeat_info(raw.value)?),
            kind::ABORT => Self::Abort {
                t_bit: raw.flags & T_BIT != 0,
                causes: Causes::parse(raw.value)?,
            },
            kind::SHUTDOWN => Self::Shutdown {
                cumulative: control::shutdown(raw.value)?,
            },
            kind::SHUTDOWN_ACK => {
                control::no_value(raw.value, "SHUTDOWN ACK")?;
                Self::ShutdownAck
            }
            kind::ERROR => Self::Error(Causes::parse(raw.value)?),
            kind::COOKIE_ECHO => Self::CookieEcho(raw.value),
            kind::COOKIE_ACK => {
                control::no_value(raw.value, "COOKIE ACK")?;
                Self::CookieAck
            }
            kind::ECNE => Self::Ecne(ecn::ecne(raw.value)?),
            kind::CWR => Self::Cwr(ecn::cwr(raw.value)?),
            kind::SHUTDOWN_COMPLETE => {
                control::no_value(raw.value, "SHUTDOWN COMPLETE")?;
                Self::ShutdownComplete {
                    t_bit: raw.flags & T_BIT != 0,
                }
            }
            kind::FORWARD_TSN => Self::ForwardTsn(ForwardTsn::parse(raw.value)?),
            kind::I_FORWARD_TSN => Self::IForwardTsn(IForwardTsn::parse(raw.value)?),
            kind::PAD => Self::Pad(raw.value),
            kind::RE_CONFIG => Self::ReConfig(ReConfig::parse(raw.value)),
            kind::AUTH => Self::Auth(Auth::parse(raw.value)?),
            kind::ASCONF => Self::Asconf(Asconf::parse(raw.value)?),
            kind::ASCONF_ACK => Self::AsconfAck(AsconfAck::parse(raw.value)?),
            _ => Self::Unknown(raw),
        })
    }
}
