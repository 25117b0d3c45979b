//! The parameters of INIT and INIT ACK, of this RFC and of its extensions.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use bytes::BufMut;

use super::{
    packet::Malformed,
    reader::Reader,
    tlv::{RawParam, TlvWriter, Tlvs},
};

/// Parameter types. One is the same in every chunk (§3.2.1).
pub mod param {
    /// Opaque to all but the sender of a HEARTBEAT (§3.3.5).
    pub const HEARTBEAT_INFO: u16 = 1;
    /// An IPv4 address of the sender (§3.3.2.1.1).
    pub const IPV4_ADDRESS: u16 = 5;
    /// An IPv6 address of the sender (§3.3.2.1.2).
    pub const IPV6_ADDRESS: u16 = 6;
    /// What COOKIE ECHO has to return (§3.3.3.1.1).
    pub const STATE_COOKIE: u16 = 7;
    /// A parameter of the INIT, returned (§3.3.3.1.2).
    pub const UNRECOGNIZED_PARAMETER: u16 = 8;
    /// Asks for a longer cookie life (§3.3.2.1.3).
    pub const COOKIE_PRESERVATIVE: u16 = 9;
    /// Deprecated; answered with ABORT (§3.3.2.1.4).
    pub const HOST_NAME_ADDRESS: u16 = 11;
    /// Address families the sender can use (§3.3.2.1.5).
    pub const SUPPORTED_ADDRESS_TYPES: u16 = 12;
    /// Outgoing SSN Reset Request (RFC 6525 §4.1).
    pub const OUTGOING_RESET: u16 = 13;
    /// Incoming SSN Reset Request (RFC 6525 §4.2).
    pub const INCOMING_RESET: u16 = 14;
    /// SSN/TSN Reset Request (RFC 6525 §4.3).
    pub const TSN_RESET: u16 = 15;
    /// Re-configuration Response (RFC 6525 §4.4).
    pub const RECONFIG_RESPONSE: u16 = 16;
    /// Add Outgoing Streams Request (RFC 6525 §4.5).
    pub const ADD_OUTGOING_STREAMS: u16 = 17;
    /// Add Incoming Streams Request (RFC 6525 §4.6).
    pub const ADD_INCOMING_STREAMS: u16 = 18;
    /// This side speaks ECN (RFC 4960 Appendix A); reserved in RFC 9260 (§3.3.2).
    pub const ECN_CAPABLE: u16 = 0x8000;
    /// Packets with checksum zero are welcome (RFC 9653).
    pub const ZERO_CHECKSUM_ACCEPTABLE: u16 = 0x8001;
    /// Random number for AUTH (RFC 4895 §3.1).
    pub const RANDOM: u16 = 0x8002;
    /// Chunk types to be authenticated (RFC 4895 §3.2).
    pub const CHUNK_LIST: u16 = 0x8003;
    /// HMAC algorithms (RFC 4895 §3.3).
    pub const HMAC_ALGORITHMS: u16 = 0x8004;
    /// Fills an INIT up (RFC 4820 §4).
    pub const PADDING: u16 = 0x8005;
    /// Chunk types the sender knows (RFC 5061 §4.2.7).
    pub const SUPPORTED_EXTENSIONS: u16 = 0x8008;
    /// FORWARD-TSN is understood (RFC 3758 §3.1).
    pub const FORWARD_TSN_SUPPORTED: u16 = 0xC000;
    /// Adds an address (RFC 5061 §4.2.1).
    pub const ADD_IP_ADDRESS: u16 = 0xC001;
    /// Deletes an address (RFC 5061 §4.2.2).
    pub const DELETE_IP_ADDRESS: u16 = 0xC002;
    /// An ASCONF request failed (RFC 5061 §4.2.3).
    pub const ERROR_CAUSE_INDICATION: u16 = 0xC003;
    /// Sets the peer's primary path (RFC 5061 §4.2.4).
    pub const SET_PRIMARY_ADDRESS: u16 = 0xC004;
    /// An ASCONF request succeeded (RFC 5061 §4.2.5).
    pub const SUCCESS_INDICATION: u16 = 0xC005;
    /// Tells the upper layer of the sender (RFC 5061 §4.2.6).
    pub const ADAPTATION_LAYER: u16 = 0xC006;
}

/// The parameters of a chunk, or those quoted in an error cause; not yet walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params<'a> {
    bytes: &'a [u8],
}

impl<'a> Params<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Their bytes, padding included.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The parameters in order; the first malformed one is the last item.
    pub fn iter(&self) -> Tlvs<'a> {
        Tlvs::new(self.bytes)
    }
}

impl<'a> IntoIterator for Params<'a> {
    type Item = Result<RawParam<'a>, Malformed>;
    type IntoIter = Tlvs<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A parameter of INIT or INIT ACK whose form has been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Param<'a> {
    /// An IPv4 address of the sender.
    Ipv4Address(Ipv4Addr),
    /// An IPv6 address of the sender.
    Ipv6Address(Ipv6Addr),
    /// The state cookie.
    StateCookie(&'a [u8]),
    /// A parameter of our INIT, header included, that the peer does not know.
    UnrecognizedParameter(&'a [u8]),
    /// By how much the peer wants its cookie to live longer.
    CookiePreservative(Duration),
    /// A host name, which nobody resolves.
    HostName(&'a [u8]),
    /// Address parameter types, two bytes each.
    SupportedAddressTypes(&'a [u8]),
    /// The peer speaks ECN.
    EcnCapable,
    /// The peer speaks FORWARD-TSN.
    ForwardTsnSupported,
    /// Chunk types the peer knows, one byte each.
    SupportedExtensions(&'a [u8]),
    /// The peer takes packets with checksum zero if they are guarded by this error detection method.
    ZeroChecksum(u32),
    /// The peer's random number for AUTH.
    Random(&'a [u8]),
    /// Chunk types the peer wants authenticated, one byte each.
    ChunkList(&'a [u8]),
    /// HMAC identifiers, two bytes each, the preferred first.
    HmacAlgorithms(&'a [u8]),
    /// What the peer's upper layer says of itself.
    AdaptationLayer(u32),
    /// Every other type: the caller applies [`on_unknown_param`](super::on_unknown_param).
    Unknown(RawParam<'a>),
}

impl<'a> Param<'a> {
    /// Parses the value of a parameter.
    pub fn parse(raw: RawParam<'a>) -> Result<Self, Malformed> {
        let value = raw.value;
        Ok(match raw.kind {
            param::IPV4_ADDRESS => Self::Ipv4Address(fixed::<4>(value, "IPv4 Address")?.into()),
            param::IPV6_ADDRESS => Self::Ipv6Address(fixed::<16>(value, "IPv6 Address")?.into()),
            param::STATE_COOKIE => Self::StateCookie(value),
            param::UNRECOGNIZED_PARAMETER => Self::UnrecognizedParameter(value),
            param::COOKIE_PRESERVATIVE => {
                let millis = u32::from_be_bytes(fixed(value, "Cookie Preservative")?);
                Self::CookiePreservative(Duration::from_millis(millis.into()))
            }
            param::HOST_NAME_ADDRESS => Self::HostName(value),
            param::SUPPORTED_ADDRESS_TYPES => {
                Self::SupportedAddressTypes(pairs(value, "Supported Address Types")?)
            }
            param::ECN_CAPABLE => {
                let [] = fixed(value, "ECN Capable")?;
                Self::EcnCapable
            }
            param::FORWARD_TSN_SUPPORTED => {
                let [] = fixed(value, "Forward-TSN-Supported")?;
                Self::ForwardTsnSupported
            }
            param::SUPPORTED_EXTENSIONS => Self::SupportedExtensions(value),
            param::ZERO_CHECKSUM_ACCEPTABLE => Self::ZeroChecksum(u32::from_be_bytes(fixed(
                value,
                "Zero Checksum Acceptable",
            )?)),
            param::RANDOM => Self::Random(value),
            param::CHUNK_LIST => Self::ChunkList(value),
            param::HMAC_ALGORITHMS => {
                Self::HmacAlgorithms(pairs(value, "Requested HMAC Algorithm")?)
            }
            param::ADAPTATION_LAYER => {
                Self::AdaptationLayer(u32::from_be_bytes(fixed(value, "Adaptation Layer")?))
            }
            _ => Self::Unknown(raw),
        })
    }
}

/// The whole of a value that has exactly `N` bytes.
fn fixed<const N: usize>(value: &[u8], what: &'static str) -> Result<[u8; N], Malformed> {
    value.try_into().map_err(|_| Malformed(what))
}

/// A value that is a list of 16-bit numbers, unchanged.
fn pairs<'a>(value: &'a [u8], what: &'static str) -> Result<&'a [u8], Malformed> {
    Reader::new(value, what).items::<2>().map(|_| value)
}

/// Parameters under construction, for [`PacketWriter::init`](super::PacketWriter::init).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParamWriter(TlvWriter);

impl ParamWriter {
    /// No parameter yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The parameters in wire form, each but the last padded.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Any parameter whose value is ready. A value no length field can describe is cut.
    pub fn param(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.0.item(kind, value);
        self
    }

    /// A parameter that is already in wire form, without padding.
    pub fn raw(&mut self, param: &[u8]) -> &mut Self {
        self.0.raw(param);
        self
    }

    /// IPv4 Address.
    pub fn ipv4_address(&mut self, address: Ipv4Addr) -> &mut Self {
        self.param(param::IPV4_ADDRESS, &address.octets())
    }

    /// IPv6 Address, for an address that is not an IPv4 address in disguise: those go out as such.
    pub fn ipv6_address(&mut self, address: Ipv6Addr) -> &mut Self {
        //= RFC 9260 §3.3.2.1.2
        //# A sender MUST NOT use an IPv4-mapped IPv6 address [RFC4291] but
        //# SHOULD instead use an IPv4 Address parameter for an IPv4 address.
        match address.to_ipv4_mapped() {
            Some(address) => self.ipv4_address(address),
            None => self.param(param::IPV6_ADDRESS, &address.octets()),
        }
    }

    /// IPv4 or IPv6 Address.
    pub fn address(&mut self, address: IpAddr) -> &mut Self {
        match address {
            IpAddr::V4(address) => self.ipv4_address(address),
            IpAddr::V6(address) => self.ipv6_address(address),
        }
    }

    /// State Cookie.
    pub fn state_cookie(&mut self, cookie: &[u8]) -> &mut Self {
        self.param(param::STATE_COOKIE, cookie)
    }

    /// Unrecognized Parameter: quotes a parameter of the INIT, [`RawParam::raw`].
    pub fn unrecognized_parameter(&mut self, raw: &[u8]) -> &mut Self {
        self.param(param::UNRECOGNIZED_PARAMETER, raw)
    }

    /// Cookie Preservative; a fraction of a millisecond counts as one.
    pub fn cookie_preservative(&mut self, increment: Duration) -> &mut Self {
        let millis = increment.as_nanos().div_ceil(1_000_000);
        let millis = u32::try_from(millis).unwrap_or(u32::MAX);
        self.param(param::COOKIE_PRESERVATIVE, &millis.to_be_bytes())
    }

    /// Supported Address Types: [`param::IPV4_ADDRESS`], [`param::IPV6_ADDRESS`] or both.
    pub fn supported_address_types(&mut self, kinds: &[u16]) -> &mut Self {
        let buf = self.0.open(param::SUPPORTED_ADDRESS_TYPES, 2 * kinds.len());
        for &kind in kinds {
            buf.put_u16(kind);
        }
        self
    }

    /// ECN Capable.
    pub fn ecn_capable(&mut self) -> &mut Self {
        self.param(param::ECN_CAPABLE, &[])
    }

    /// Forward-TSN-Supported.
    pub fn forward_tsn_supported(&mut self) -> &mut Self {
        self.param(param::FORWARD_TSN_SUPPORTED, &[])
    }

    /// Supported Extensions: the chunk types of [`kind`](super::kind) that this side knows.
    pub fn supported_extensions(&mut self, chunk_kinds: &[u8]) -> &mut Self {
        self.param(param::SUPPORTED_EXTENSIONS, chunk_kinds)
    }

    /// Zero Checksum Acceptable, with the identifier of an error detection method.
    pub fn zero_checksum(&mut self, method: u32) -> &mut Self {
        self.param(param::ZERO_CHECKSUM_ACCEPTABLE, &method.to_be_bytes())
    }

    /// Adaptation Layer Indication.
    pub fn adaptation_layer(&mut self, indication: u32) -> &mut Self {
        self.param(param::ADAPTATION_LAYER, &indication.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Param<'_>, Malformed> {
        let mut items = Params::new(bytes).iter();
        let raw = items.next().expect("a parameter")?;
        assert_eq!(items.next(), None);
        Param::parse(raw)
    }

    #[test]
    fn bytes_of_each_parameter() {
        let v6 = [
            0, 6, 0, 20, 0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
        ];
        let address = Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 1);
        let unknown = RawParam {
            kind: 0xC123,
            value: &[7],
            raw: &[0xC1, 0x23, 0, 5, 7],
        };
        let table: [(&[u8], Param<'_>); 16] = [
            (
                &[0, 5, 0, 8, 1, 2, 3, 4],
                Param::Ipv4Address(Ipv4Addr::new(1, 2, 3, 4)),
            ),
            (&v6, Param::Ipv6Address(address)),
            (&[0, 7, 0, 6, 8, 9], Param::StateCookie(&[8, 9])),
            (
                &[0, 8, 0, 8, 0x80, 9, 0, 4],
                Param::UnrecognizedParameter(&[0x80, 9, 0, 4]),
            ),
            (
                &[0, 9, 0, 8, 0, 0, 0, 9],
                Param::CookiePreservative(Duration::from_millis(9)),
            ),
            (&[0, 11, 0, 6, b'a', 0], Param::HostName(b"a\0")),
            (
                &[0, 12, 0, 8, 0, 5, 0, 6],
                Param::SupportedAddressTypes(&[0, 5, 0, 6]),
            ),
            (&[0x80, 0, 0, 4], Param::EcnCapable),
            (&[0x80, 1, 0, 8, 0, 0, 0, 1], Param::ZeroChecksum(1)),
            (&[0x80, 2, 0, 6, 1, 2], Param::Random(&[1, 2])),
            (&[0x80, 3, 0, 5, 0xC1], Param::ChunkList(&[0xC1])),
            (
                &[0x80, 4, 0, 8, 0, 3, 0, 1],
                Param::HmacAlgorithms(&[0, 3, 0, 1]),
            ),
            (&[0x80, 8, 0, 5, 0x82], Param::SupportedExtensions(&[0x82])),
            (&[0xC0, 0, 0, 4], Param::ForwardTsnSupported),
            (&[0xC0, 6, 0, 8, 0, 0, 1, 0], Param::AdaptationLayer(256)),
            (&[0xC1, 0x23, 0, 5, 7], Param::Unknown(unknown)),
        ];
        for (bytes, param) in table {
            assert_eq!(parse(bytes), Ok(param));
        }
    }

    #[test]
    fn parameters_of_fixed_length_have_no_other() {
        for kind in [
            param::IPV4_ADDRESS,
            param::IPV6_ADDRESS,
            param::COOKIE_PRESERVATIVE,
            param::ECN_CAPABLE,
            param::FORWARD_TSN_SUPPORTED,
            param::ZERO_CHECKSUM_ACCEPTABLE,
            param::ADAPTATION_LAYER,
            param::SUPPORTED_ADDRESS_TYPES,
            param::HMAC_ALGORITHMS,
        ] {
            for length in [1, 3, 5, 15, 17] {
                let mut params = ParamWriter::new();
                params.param(kind, &vec![0; length]);
                assert!(
                    parse(params.as_bytes()).is_err(),
                    "type {kind}, {length} bytes"
                );
            }
        }
    }

    //= RFC 9260 §3.3.2.1.2, test
    //# A sender MUST NOT use an IPv4-mapped IPv6 address...
    #[test]
    fn ipv4_addresses_in_disguise_go_out_as_such() {
        let address = Ipv4Addr::new(192, 0, 2, 1);
        let mut params = ParamWriter::new();
        params.ipv6_address(address.to_ipv6_mapped());
        assert_eq!(parse(params.as_bytes()), Ok(Param::Ipv4Address(address)));
    }

    #[test]
    fn cookie_preservative_rounds_up_and_saturates() {
        for (increment, millis) in [
            (Duration::from_micros(1), 1),
            (Duration::from_secs(1), 1000),
            (Duration::MAX, u32::MAX),
        ] {
            let mut params = ParamWriter::new();
            params.cookie_preservative(increment);
            let expected = Duration::from_millis(millis.into());
            assert_eq!(
                parse(params.as_bytes()),
                Ok(Param::CookiePreservative(expected))
            );
        }
    }

    //= RFC 9260 §3.2.1, test
    //# The total length of a parameter (including Parameter Type, Parameter Length, and...
    //= RFC 9260 §3.2.1, test
    //# A sender MUST NOT pad with more than 3 bytes.
    #[test]
    fn only_the_last_parameter_is_left_unpadded() {
        let mut params = ParamWriter::new();
        params.state_cookie(&[1]).raw(&[0xC1, 0x23, 0, 5, 7]);
        assert_eq!(
            params.as_bytes(),
            [0, 7, 0, 5, 1, 0, 0, 0, 0xC1, 0x23, 0, 5, 7]
        );
    }

    #[test]
    fn a_value_no_length_can_describe_is_cut() {
        let mut params = ParamWriter::new();
        params.state_cookie(&vec![1; 70_000]);
        assert_eq!(params.as_bytes().len(), 65_535);
        let Ok(Param::StateCookie(cookie)) = parse(params.as_bytes()) else {
            panic!("a cookie")
        };
        assert_eq!(cookie.len(), 65_531);
    }
}
