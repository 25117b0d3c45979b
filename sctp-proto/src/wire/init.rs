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
