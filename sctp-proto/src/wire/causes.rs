//! Error causes, carried by ABORT and ERROR (§3.3.10).

use std::time::Duration;

use bytes::{BufMut, Bytes};

use super::{
    packet::Malformed,
    params::Params,
    reader::Reader,
    tlv::{TlvWriter, Tlvs},
};
use crate::{
    error::ErrorCause,
    ids::{StreamId, Tsn},
};

/// Bytes of a cause's information that are kept for the user.
const KEPT_INFO: usize = 256;

/// Bytes of a cause's information that are sent. With the common header, a chunk header and the
/// cause's own the packet then fits into the smallest IPv6 MTU, UDP included: 12 + 4 + 4 + 1024 + 8 +
/// 40 < 1280. Longer quotations are cut.
const SENT_INFO: usize = 1024;

/// Cause codes.
pub mod cause {
    /// Invalid Stream Identifier (§3.3.10.1).
    pub const INVALID_STREAM: u16 = 1;
    /// Missing Mandatory Parameter (§3.3.10.2).
    pub const MISSING_MANDATORY_PARAMETER: u16 = 2;
    /// Stale Cookie (§3.3.10.3).
    pub const STALE_COOKIE: u16 = 3;
    /// Out of Resource (§3.3.10.4).
    pub const OUT_OF_RESOURCE: u16 = 4;
    /// Unresolvable Address (§3.3.10.5).
    pub const UNRESOLVABLE_ADDRESS: u16 = 5;
    /// Unrecognized Chunk Type (§3.3.10.6).
    pub const UNRECOGNIZED_CHUNK: u16 = 6;
    /// Invalid Mandatory Parameter (§3.3.10.7).
    pub const INVALID_MANDATORY_PARAMETER: u16 = 7;
    /// Unrecognized Parameters (§3.3.10.8).
    pub const UNRECOGNIZED_PARAMETERS: u16 = 8;
    /// No User Data (§3.3.10.9).
    pub const NO_USER_DATA: u16 = 9;
    /// Cookie Received While Shutting Down (§3.3.10.10).
    pub const COOKIE_WHILE_SHUTTING_DOWN: u16 = 10;
    /// Restart of an Association with New Addresses (§3.3.10.11).
    pub const RESTART_WITH_NEW_ADDRESSES: u16 = 11;
    /// User-Initiated Abort (§3.3.10.12).
    pub const USER_INITIATED_ABORT: u16 = 12;
    /// Protocol Violation (§3.3.10.13).
    pub const PROTOCOL_VIOLATION: u16 = 13;
    /// Restart of an Association with New Encapsulation Port
    /// (draft-tuexen-tsvwg-sctp-udp-encaps-cons §4).
    pub const RESTART_WITH_NEW_ENCAPSULATION_PORT: u16 = 14;
    /// Request to Delete Last Remaining IP Address (RFC 5061 §4.3.1).
    pub const DELETE_LAST_ADDRESS: u16 = 0x00A0;
    /// Operation Refused Due to Resource Shortage (RFC 5061 §4.3.2).
    pub const RESOURCE_SHORTAGE: u16 = 0x00A1;
    /// Request to Delete Source IP Address (RFC 5061 §4.3.3).
    pub const DELETE_SOURCE_ADDRESS: u16 = 0x00A2;
    /// Association Aborted Due to Illegal ASCONF-ACK (RFC 5061 §4.3.4).
    pub const ILLEGAL_ASCONF_ACK: u16 = 0x00A3;
    /// Request Refused - No Authorization (RFC 5061 §4.3.5).
    pub const NO_AUTHORIZATION: u16 = 0x00A4;
    /// Unsupported HMAC Identifier (RFC 4895 §4.1).
    pub const UNSUPPORTED_HMAC: u16 = 0x0105;
}

/// The causes of an ABORT or ERROR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Causes<'a> {
    bytes: &'a [u8],
}

impl<'a> Causes<'a> {
    /// Takes the value of an ABORT or ERROR, if the length of every cause in it can be true.
    pub(super) fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        //= RFC 9260 §3.3.7
        //# If an endpoint receives an ABORT chunk with a format error or no TCB
        //# is found, it MUST silently discard it.
        for item in Tlvs::new(value) {
            item?;
        }
        Ok(Self { bytes: value })
    }

    /// The causes, in order.
    pub fn iter(&self) -> impl Iterator<Item = RawCause<'a>> + Clone + use<'a> {
        Tlvs::new(self.bytes).map_while(|item| {
            let item = item.ok()?;
            Some(RawCause {
                code: item.kind,
                info: item.value,
                raw: item.raw,
            })
        })
    }
}

/// A cause, its information not yet looked into; in form a parameter
/// ([`RawParam`](super::RawParam)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawCause<'a> {
    /// Cause code, one of [`cause`] if known.
    pub code: u16,
    /// Cause-specific information, without padding.
    pub info: &'a [u8],
    /// Header and information, without padding.
    pub raw: &'a [u8],
}

impl RawCause<'_> {
    /// A copy for the user, its information cut to 256 bytes.
    pub fn to_owned(self) -> ErrorCause {
        ErrorCause {
            code: self.code,
            info: Bytes::copy_from_slice(&self.info[..self.info.len().min(KEPT_INFO)]),
        }
    }
}

/// A cause whose form has been checked. Text after causes that have no information is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause<'a> {
    /// DATA came on a stream that does not exist.
    InvalidStream(StreamId),
    /// Types of the parameters that are missing, two bytes each.
    MissingMandatoryParameters(&'a [u8]),
    /// How long the cookie had been expired; zero if the peer does not tell.
    StaleCookie(Duration),
    /// The peer lacks resources.
    OutOfResource,
    /// The address parameter, header included, that the peer cannot use.
    UnresolvableAddress(&'a [u8]),
    /// The chunk, header included, perhaps cut.
    UnrecognizedChunk(&'a [u8]),
    /// A mandatory parameter has an invalid value.
    InvalidMandatoryParameter,
    /// The parameters of our INIT ACK that the peer does not know.
    UnrecognizedParameters(Params<'a>),
    /// The DATA chunk with this TSN was empty.
    NoUserData(Tsn),
    /// The cookie came while the peer was shutting down.
    CookieWhileShuttingDown,
    /// The addresses that a restart would have added.
    RestartWithNewAddresses(Params<'a>),
    /// The reason given by the peer's user.
    UserInitiatedAbort(&'a [u8]),
    /// What the peer says we did wrong.
    ProtocolViolation(&'a [u8]),
    /// A restart from another UDP port; 0 stands for no encapsulation.
    RestartWithNewEncapsulationPort {
        /// The port known to the peer.
        current: u16,
        /// The port the INIT came from.
        new: u16,
    },
    /// Every other code.
    Unknown(RawCause<'a>),
}

impl<'a> Cause<'a> {
    /// Parses the information of a cause.
    pub fn parse(raw: RawCause<'a>) -> Result<Self, Malformed> {
        let info = raw.info;
        let mut fields = Reader::new(info, "error cause");
        Ok(match raw.code {
            cause::INVALID_STREAM => Self::InvalidStream(fields.stream()?),
            cause::MISSING_MANDATORY_PARAMETER => {
                let count = fields.u32()?;
                let kinds = fields.rest();
                if u32::try_from(kinds.len()) != Ok(count.saturating_mul(2)) {
                    return Err(Malformed("Missing Mandatory Parameter count"));
                }
                Self::MissingMandatoryParameters(kinds)
            }
            cause::STALE_COOKIE => Self::StaleCookie(Duration::from_micros(fields.u32()?.into())),
            cause::OUT_OF_RESOURCE => Self::OutOfResource,
            cause::UNRESOLVABLE_ADDRESS => Self::UnresolvableAddress(info),
            cause::UNRECOGNIZED_CHUNK => Self::UnrecognizedChunk(info),
            cause::INVALID_MANDATORY_PARAMETER => Self::InvalidMandatoryParameter,
            cause::UNRECOGNIZED_PARAMETERS => Self::UnrecognizedParameters(Params::new(info)),
            cause::NO_USER_DATA => Self::NoUserData(fields.tsn()?),
            cause::COOKIE_WHILE_SHUTTING_DOWN => Self::CookieWhileShuttingDown,
            cause::RESTART_WITH_NEW_ADDRESSES => Self::RestartWithNewAddresses(Params::new(info)),
            cause::USER_INITIATED_ABORT => Self::UserInitiatedAbort(info),
            cause::PROTOCOL_VIOLATION => Self::ProtocolViolation(info),
            cause::RESTART_WITH_NEW_ENCAPSULATION_PORT => Self::RestartWithNewEncapsulationPort {
                current: fields.u16()?,
                new: fields.u16()?,
            },
            _ => Self::Unknown(raw),
        })
    }
}

/// Causes under construction, for [`PacketWriter::abort`](super::PacketWriter::abort) and
/// [`PacketWriter::error`](super::PacketWriter::error).
///
/// Information of any length is cut to 1024 bytes, so that one cause fits into any packet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CauseWriter(TlvWriter);

impl CauseWriter {
    /// No cause yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The causes in wire form, each but the last padded.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether there is no cause yet.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// Any cause whose information is ready.
    pub fn cause(&mut self, code: u16, info: &[u8]) -> &mut Self {
        self.0.item(code, &info[..info.len().min(SENT_INFO)]);
        self
    }

    /// Invalid Stream Identifier.
    pub fn invalid_stream(&mut self, stream: StreamId) -> &mut Self {
        let [high, low] = stream.0.to_be_bytes();
        self.cause(cause::INVALID_STREAM, &[high, low, 0, 0])
    }

    /// Missing Mandatory Parameter, for at most 510 parameter types.
    pub fn missing_mandatory_parameters(&mut self, kinds: &[u16]) -> &mut Self {
        let kinds = &kinds[..kinds.len().min((SENT_INFO - 4) / 2)];
        let buf = self
            .0
            .open(cause::MISSING_MANDATORY_PARAMETER, 4 + 2 * kinds.len());
        buf.put_u32(kinds.len() as u32);
        for &kind in kinds {
            buf.put_u16(kind);
        }
        self
    }

    /// Stale Cookie, expired for so long; a fraction of a microsecond counts as one.
    pub fn stale_cookie(&mut self, staleness: Duration) -> &mut Self {
        let micros = staleness.as_nanos().div_ceil(1_000);
        let micros = u32::try_from(micros).unwrap_or(u32::MAX);
        self.cause(cause::STALE_COOKIE, &micros.to_be_bytes())
    }

    /// Out of Resource.
    pub fn out_of_resource(&mut self) -> &mut Self {
        self.cause(cause::OUT_OF_RESOURCE, &[])
    }

    /// Unresolvable Address: quotes the address parameter, header included.
    pub fn unresolvable_address(&mut self, raw: &[u8]) -> &mut Self {
        self.cause(cause::UNRESOLVABLE_ADDRESS, raw)
    }

    /// Unrecognized Chunk Type: quotes the chunk, [`RawChunk::raw`](super::RawChunk::raw).
    pub fn unrecognized_chunk(&mut self, raw: &[u8]) -> &mut Self {
        self.cause(cause::UNRECOGNIZED_CHUNK, raw)
    }

    /// Invalid Mandatory Parameter.
    pub fn invalid_mandatory_parameter(&mut self) -> &mut Self {
        self.cause(cause::INVALID_MANDATORY_PARAMETER, &[])
    }

    /// Unrecognized Parameters: quotes parameters in wire form, as of
    /// [`ParamWriter::as_bytes`](super::ParamWriter::as_bytes).
    pub fn unrecognized_parameters(&mut self, raw: &[u8]) -> &mut Self {
        self.cause(cause::UNRECOGNIZED_PARAMETERS, raw)
    }

    /// No User Data.
    pub fn no_user_data(&mut self, tsn: Tsn) -> &mut Self {
        self.cause(cause::NO_USER_DATA, &tsn.value().to_be_bytes())
    }

    /// Cookie Received While Shutting Down.
    pub fn cookie_while_shutting_down(&mut self) -> &mut Self {
        self.cause(cause::COOKIE_WHILE_SHUTTING_DOWN, &[])
    }

    /// Restart of an Association with New Addresses: quotes the new address parameters in wire form.
    pub fn restart_with_new_addresses(&mut self, raw: &[u8]) -> &mut Self {
        self.cause(cause::RESTART_WITH_NEW_ADDRESSES, raw)
    }

    /// User-Initiated Abort.
    pub fn user_initiated_abort(&mut self, reason: &[u8]) -> &mut Self {
        self.cause(cause::USER_INITIATED_ABORT, reason)
    }

    /// Protocol Violation, with a text for the peer's log.
    pub fn protocol_violation(&mut self, info: &[u8]) -> &mut Self {
        self.cause(cause::PROTOCOL_VIOLATION, info)
    }

    /// Restart of an Association with New Encapsulation Port: the UDP port in use and the one the
    /// INIT came from, 0 for none.
    pub fn restart_with_new_encapsulation_port(&mut self, current: u16, new: u16) -> &mut Self {
        let [a, b] = current.to_be_bytes();
        let [c, d] = new.to_be_bytes();
        self.cause(cause::RESTART_WITH_NEW_ENCAPSULATION_PORT, &[a, b, c, d])
    }
}

impl CauseWriter {
    /// Unsupported HMAC Identifier.
    pub fn unsupported_hmac(&mut self, algorithm: u16) -> &mut Self {
        self.cause(cause::UNSUPPORTED_HMAC, &algorithm.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{chunk::Chunk, tests::assert_chunk};

    #[test]
    fn bytes_of_each_cause() {
        let address = [0, 5, 0, 8, 192, 0, 2, 1];
        let chunk = [0xC5, 0, 0, 6, 1, 2];
        let mut causes = CauseWriter::new();
        causes
            .invalid_stream(StreamId(0x0102))
            .missing_mandatory_parameters(&[7, 6, 5])
            .stale_cookie(Duration::from_nanos(999_001))
            .out_of_resource()
            .unresolvable_address(&address)
            .unrecognized_chunk(&chunk)
            .invalid_mandatory_parameter()
            .unrecognized_parameters(&[0xC1, 0x23, 0, 4])
            .no_user_data(Tsn::new(0x0A0B_0C0D))
            .cookie_while_shutting_down()
            .restart_with_new_addresses(&address)
            .user_initiated_abort(b"bye")
            .protocol_violation(b"no")
            .restart_with_new_encapsulation_port(9899, 40_000)
            .cause(0x8001, &[1]);
        #[rustfmt::skip]
        let bytes = [
            0x06, 0x01, 0x00, 0x81,
            0x00, 0x01, 0x00, 0x08, 0x01, 0x02, 0x00, 0x00,
            0x00, 0x02, 0x00, 0x0E, 0x00, 0x00, 0x00, 0x03,
            0x00, 0x07, 0x00, 0x06, 0x00, 0x05, 0x00, 0x00,
            0x00, 0x03, 0x00, 0x08, 0x00, 0x00, 0x03, 0xE8,
            0x00, 0x04, 0x00, 0x04,
            0x00, 0x05, 0x00, 0x0C, 0x00, 0x05, 0x00, 0x08, 0xC0, 0x00, 0x02, 0x01,
            0x00, 0x06, 0x00, 0x0A, 0xC5, 0x00, 0x00, 0x06, 0x01, 0x02, 0x00, 0x00,
            0x00, 0x07, 0x00, 0x04,
            0x00, 0x08, 0x00, 0x08, 0xC1, 0x23, 0x00, 0x04,
            0x00, 0x09, 0x00, 0x08, 0x0A, 0x0B, 0x0C, 0x0D,
            0x00, 0x0A, 0x00, 0x04,
            0x00, 0x0B, 0x00, 0x0C, 0x00, 0x05, 0x00, 0x08, 0xC0, 0x00, 0x02, 0x01,
            0x00, 0x0C, 0x00, 0x07, b'b', b'y', b'e', 0x00,
            0x00, 0x0D, 0x00, 0x06, b'n', b'o', 0x00, 0x00,
            0x00, 0x0E, 0x00, 0x08, 0x26, 0xAB, 0x9C, 0x40,
            0x80, 0x01, 0x00, 0x05, 0x01, 0x00, 0x00, 0x00,
        ];
        assert_chunk(
            &bytes,
            |packet| packet.abort(true, &causes),
            |chunk| {
                let Chunk::Abort {
                    t_bit: true,
                    causes,
                } = chunk
                else {
                    panic!("an ABORT with the T bit")
                };
                let parsed: Vec<_> = causes
                    .iter()
                    .map(|raw| Cause::parse(raw).unwrap())
                    .collect();
                let unknown = RawCause {
                    code: 0x8001,
                    info: &[1],
                    raw: &[0x80, 0x01, 0x00, 0x05, 0x01],
                };
                let expected = [
                    Cause::InvalidStream(StreamId(0x0102)),
                    Cause::MissingMandatoryParameters(&[0, 7, 0, 6, 0, 5]),
                    Cause::StaleCookie(Duration::from_millis(1)),
                    Cause::OutOfResource,
                    Cause::UnresolvableAddress(&address),
                    Cause::UnrecognizedChunk(&[0xC5, 0, 0, 6, 1, 2]),
                    Cause::InvalidMandatoryParameter,
                    Cause::UnrecognizedParameters(Params::new(&[0xC1, 0x23, 0, 4])),
                    Cause::NoUserData(Tsn::new(0x0A0B_0C0D)),
                    Cause::CookieWhileShuttingDown,
                    Cause::RestartWithNewAddresses(Params::new(&address)),
                    Cause::UserInitiatedAbort(b"bye"),
                    Cause::ProtocolViolation(b"no"),
                    Cause::RestartWithNewEncapsulationPort {
                        current: 9899,
                        new: 40_000,
                    },
                    Cause::Unknown(unknown),
                ];
                assert_eq!(parsed, expected);
            },
        );
    }

    #[test]
    fn bytes_of_error() {
        let mut causes = CauseWriter::new();
        assert!(causes.is_empty());
        causes.cookie_while_shutting_down();
        assert!(!causes.is_empty());
        assert_chunk(
            &[9, 0, 0, 8, 0, 10, 0, 4],
            |packet| packet.error(&causes),
            |chunk| {
                let Chunk::Error(causes) = chunk else {
                    panic!("an ERROR")
                };
                let owned: Vec<_> = causes.iter().map(RawCause::to_owned).collect();
                let expected = ErrorCause {
                    code: cause::COOKIE_WHILE_SHUTTING_DOWN,
                    info: Bytes::new(),
                };
                assert_eq!(owned, [expected]);
            },
        );
    }

    #[test]
    fn information_that_is_too_short_is_malformed() {
        for (code, length) in [
            (cause::INVALID_STREAM, 1),
            (cause::MISSING_MANDATORY_PARAMETER, 3),
            (cause::STALE_COOKIE, 3),
            (cause::NO_USER_DATA, 3),
            (cause::RESTART_WITH_NEW_ENCAPSULATION_PORT, 3),
        ] {
            let info = &[0; 4][..length];
            let raw = RawCause {
                code,
                info,
                raw: info,
            };
            assert!(Cause::parse(raw).is_err(), "cause {code}");
        }
    }

    #[test]
    fn the_count_of_missing_parameters_must_be_true() {
        for (count, parameters, ok) in [
            (0_u32, 0, true),
            (2, 2, true),
            (1, 2, false),
            (2, 1, false),
            (0x8000_0001, 1, false),
            (u32::MAX, 1, false),
        ] {
            let mut info = count.to_be_bytes().to_vec();
            info.resize(4 + 2 * parameters, 0);
            let raw = RawCause {
                code: cause::MISSING_MANDATORY_PARAMETER,
                info: &info,
                raw: &info,
            };
            assert_eq!(Cause::parse(raw).is_ok(), ok, "{count} in {parameters}");
        }
    }

    #[test]
    fn long_information_is_cut() {
        let mut causes = CauseWriter::new();
        causes.unrecognized_chunk(&[1; 60_000]);
        assert_eq!(causes.as_bytes().len(), 4 + SENT_INFO);
        causes.missing_mandatory_parameters(&[1; 40_000]);
        assert_eq!(causes.as_bytes().len(), 2 * (4 + SENT_INFO));
        let causes = Causes::parse(causes.as_bytes()).unwrap();
        assert!(causes.iter().all(|cause| Cause::parse(cause).is_ok()));
        assert!(
            causes
                .iter()
                .all(|cause| cause.to_owned().info.len() == KEPT_INFO)
        );
    }
}
