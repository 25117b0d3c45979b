//! INIT and INIT ACK (§3.3.2, §3.3.3).

use bytes::BufMut;

use super::{
    packet::Malformed,
    params::{ParamWriter, Params},
    reader::Reader,
    writer::PacketWriter,
};
use crate::ids::Tsn;

/// Bytes of the value before the parameters: tag, a_rwnd, stream counts, TSN.
const FIXED: usize = 4 + 4 + 2 + 2 + 4;

/// A received INIT or INIT ACK.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +---------------+---------------+-------------------------------+
/// | type = 1 or 2 |     flags     |   length = 20 + parameters    |
/// +---------------+---------------+-------------------------------+
/// |                         initiate tag                          |
/// +---------------------------------------------------------------+
/// |          advertised receiver window credit (a_rwnd)           |
/// +-------------------------------+-------------------------------+
/// |  number of outbound streams   |   number of inbound streams   |
/// +-------------------------------+-------------------------------+
/// |                          initial TSN                          |
/// +---------------------------------------------------------------+
/// /                          parameters                           /
/// +---------------------------------------------------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Init<'a> {
    /// The verification tag of packets towards the sender.
    pub initiate_tag: u32,
    /// Receive buffer space.
    pub a_rwnd: u32,
    /// Streams the sender wants to send on.
    pub outbound_streams: u16,
    /// Streams the sender is ready to receive on.
    pub inbound_streams: u16,
    /// TSN of the sender's first DATA chunk.
    pub initial_tsn: Tsn,
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> Init<'a> {
    /// Parses the value of an INIT or INIT ACK. Values that the RFC forbids (tag 0, no streams, a
    /// small window) are not refused here: the answer to them differs with the state.
    pub(super) fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Reader::new(value, "INIT");
        Ok(Self {
            initiate_tag: fields.u32()?,
            a_rwnd: fields.u32()?,
            outbound_streams: fields.u16()?,
            inbound_streams: fields.u16()?,
            initial_tsn: fields.tsn()?,
            params: Params::new(fields.rest()),
        })
    }
}

/// The fixed part of an INIT or INIT ACK to be sent; as in [`Init`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InitFields {
    /// The verification tag that this side wants to see.
    pub initiate_tag: u32,
    /// Receive buffer space.
    pub a_rwnd: u32,
    /// Streams to send on.
    pub outbound_streams: u16,
    /// Streams to receive on.
    pub inbound_streams: u16,
    /// TSN of the first DATA chunk.
    pub initial_tsn: Tsn,
}

impl PacketWriter<'_> {
    /// Bytes that an INIT or INIT ACK with these parameters takes.
    pub fn init_size(params: &ParamWriter) -> usize {
        Self::chunk_size(FIXED + params.as_bytes().len())
    }

    /// Appends an INIT or INIT ACK, as `kind` says. It is the only chunk of its packet (§3).
    //= RFC 9260 §3.3.2
    //# The Chunk Flags field in INIT chunks is reserved, and all bits in it SHOULD be set to 0 by
    //# the sender and ignored by the receiver.
    //= RFC 9260 §3.3.3
    //# The Chunk Flags field in INIT ACK chunks is reserved, and all bits in it SHOULD be set to 0
    //# by the sender and ignored by the receiver.
    //= RFC 9260 §3.3.2.1
    //# Any Type-Length-Value fields MUST be placed after the fixed-length fields.
    //= RFC 9260 §3.3.3.1
    //# Any Type-Length-Value fields MUST be placed after the fixed-length fields.
    pub fn init(&mut self, kind: u8, fixed: &InitFields, params: &ParamWriter) {
        let params = params.as_bytes();
        let buf = self.open(kind, 0, FIXED + params.len());
        buf.put_u32(fixed.initiate_tag);
        buf.put_u32(fixed.a_rwnd);
        buf.put_u16(fixed.outbound_streams);
        buf.put_u16(fixed.inbound_streams);
        buf.put_u32(fixed.initial_tsn.value());
        buf.put_slice(params);
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use super::*;
    use crate::wire::{
        chunk::{Chunk, kind},
        params::{Param, param},
        tests::assert_chunk,
    };

    const FIELDS: InitFields = InitFields {
        initiate_tag: 0xDEAD_BEEF,
        a_rwnd: 0x0002_0000,
        outbound_streams: 0x0010,
        inbound_streams: 0xFFFF,
        initial_tsn: Tsn::new(0x8000_0001),
    };

    fn assert_init(init: &Init<'_>, params: &[Param<'_>]) {
        assert_eq!(init.initiate_tag, FIELDS.initiate_tag);
        assert_eq!(init.a_rwnd, FIELDS.a_rwnd);
        assert_eq!(init.outbound_streams, FIELDS.outbound_streams);
        assert_eq!(init.inbound_streams, FIELDS.inbound_streams);
        assert_eq!(init.initial_tsn, FIELDS.initial_tsn);
        let parsed: Vec<_> = init
            .params
            .iter()
            .map(|raw| Param::parse(raw.unwrap()).unwrap())
            .collect();
        assert_eq!(parsed, params);
    }

    //= RFC 9260 §3.3.2.1, test
    //# Any Type-Length-Value fields MUST be placed after the fixed-length fields.
    //= RFC 9260 §3, test
    //# All integer fields in an SCTP packet MUST be transmitted in network...
    //= RFC 9260 §3.2.1, test
    //# The total length of a parameter (including Parameter Type, Parameter Length, and...
    #[test]
    fn bytes_of_init() {
        #[rustfmt::skip]
        let bytes = [
            0x01, 0x00, 0x00, 0x33,
            0xDE, 0xAD, 0xBE, 0xEF,
            0x00, 0x02, 0x00, 0x00,
            0x00, 0x10, 0xFF, 0xFF,
            0x80, 0x00, 0x00, 0x01,
            0x00, 0x05, 0x00, 0x08, 192, 0, 2, 1,
            0x00, 0x0C, 0x00, 0x06, 0x00, 0x05, 0x00, 0x00,
            0x00, 0x09, 0x00, 0x08, 0x00, 0x00, 0x05, 0xDC,
            0x80, 0x08, 0x00, 0x07, 0xC0, 0x40, 0x82, 0x00,
        ];
        let address = Ipv4Addr::new(192, 0, 2, 1);
        let increment = Duration::from_millis(1500);
        let extensions = [kind::FORWARD_TSN, kind::I_DATA, kind::RE_CONFIG];
        let mut params = ParamWriter::new();
        params
            .ipv4_address(address)
            .supported_address_types(&[param::IPV4_ADDRESS])
            .cookie_preservative(increment)
            .supported_extensions(&extensions);
        assert_eq!(PacketWriter::init_size(&params), bytes.len());
        assert_chunk(
            &bytes,
            |packet| packet.init(kind::INIT, &FIELDS, &params),
            |chunk| {
                let Chunk::Init(init) = chunk else {
                    panic!("an INIT")
                };
                let params = [
                    Param::Ipv4Address(address),
                    Param::SupportedAddressTypes(&[0, 5]),
                    Param::CookiePreservative(increment),
                    Param::SupportedExtensions(&extensions),
                ];
                assert_init(&init, &params);
            },
        );
    }

    //= RFC 9260 §3.3.3.1, test
    //# Any Type-Length-Value fields MUST be placed after the fixed-length fields.
    #[test]
    fn bytes_of_init_ack() {
        #[rustfmt::skip]
        let bytes = [
            0x02, 0x00, 0x00, 0x24,
            0xDE, 0xAD, 0xBE, 0xEF,
            0x00, 0x02, 0x00, 0x00,
            0x00, 0x10, 0xFF, 0xFF,
            0x80, 0x00, 0x00, 0x01,
            0x00, 0x07, 0x00, 0x05, 0x99, 0x00, 0x00, 0x00,
            0x00, 0x08, 0x00, 0x08, 0xC1, 0x23, 0x00, 0x04,
        ];
        let mut params = ParamWriter::new();
        params
            .state_cookie(&[0x99])
            .unrecognized_parameter(&[0xC1, 0x23, 0x00, 0x04]);
        assert_chunk(
            &bytes,
            |packet| packet.init(kind::INIT_ACK, &FIELDS, &params),
            |chunk| {
                let Chunk::InitAck(init) = chunk else {
                    panic!("an INIT ACK")
                };
                let params = [
                    Param::StateCookie(&[0x99]),
                    Param::UnrecognizedParameter(&[0xC1, 0x23, 0x00, 0x04]),
                ];
                assert_init(&init, &params);
            },
        );
    }
}
