//! DATA (§3.3.1) and I-DATA (RFC 8260 §2.1).

use std::ops::Range;

use bytes::BufMut;

use super::{
    chunk::kind,
    packet::{CHUNK_HEADER, Malformed, RawChunk},
    reader::Reader,
    writer::PacketWriter,
};
use crate::ids::{Ppid, StreamId, Tsn};

/// Bytes before the user data of a DATA chunk: chunk header, TSN, stream and SSN, PPID.
pub const DATA_HEADER: usize = CHUNK_HEADER + 4 + 4 + 4;

/// Bytes before the user data of an I-DATA chunk: chunk header, TSN, stream and reserved, MID, PPID
/// or FSN.
pub const I_DATA_HEADER: usize = CHUNK_HEADER + 4 + 4 + 4 + 4;

const IMMEDIATE: u8 = 0x08;
const UNORDERED: u8 = 0x04;
const BEGIN: u8 = 0x02;
const END: u8 = 0x01;

/// The fields of a received DATA or I-DATA chunk.
///
/// DATA:
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +---------------+-------+-+-+-+-+-------------------------------+
/// |   type = 0    |  res  |I|U|B|E|   length = 16 + user data     |
/// +---------------+-------+-+-+-+-+-------------------------------+
/// |                              TSN                              |
/// +-------------------------------+-------------------------------+
/// |            stream             |  stream sequence number (SSN) |
/// +-------------------------------+-------------------------------+
/// |              payload protocol identifier (PPID)               |
/// +---------------------------------------------------------------+
/// /                           user data                           /
/// +---------------------------------------------------------------+
/// ```
///
/// I-DATA, where the fragments of a message are numbered by the FSN, from 0 at the B bit:
/// ```text
/// +---------------+-------+-+-+-+-+-------------------------------+
/// |   type = 64   |  res  |I|U|B|E|   length = 20 + user data     |
/// +---------------+-------+-+-+-+-+-------------------------------+
/// |                              TSN                              |
/// +-------------------------------+-------------------------------+
/// |            stream             |           reserved            |
/// +-------------------------------+-------------------------------+
/// |                   message identifier (MID)                    |
/// +---------------------------------------------------------------+
/// |     B bit: PPID; else fragment sequence number (FSN)          |
/// +---------------------------------------------------------------+
/// /                           user data                           /
/// +---------------------------------------------------------------+
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// Transmission sequence number.
    pub tsn: Tsn,
    /// The sender's outbound stream.
    pub stream: StreamId,
    /// U bit: deliver without regard to order.
    pub unordered: bool,
    /// B bit: first fragment of a message.
    pub begin: bool,
    /// E bit: last fragment of a message.
    pub end: bool,
    /// I bit: the sender wants the SACK without delay.
    pub immediate: bool,
    /// SSN of DATA (without meaning if unordered), MID of I-DATA.
    pub seq: u32,
    /// Fragment number of I-DATA, 0 with the B bit; 0 in DATA.
    pub fsn: u32,
    /// Payload protocol identifier. I-DATA has it only with the B bit; 0 otherwise.
    pub ppid: Ppid,
    /// Where in the packet the user data lies, so that the caller can slice its buffer without a
    /// copy. May be empty: the caller answers with No User Data.
    pub payload: Range<usize>,
}

impl Data {
    /// Parses a DATA chunk.
    pub(super) fn parse(raw: RawChunk<'_>) -> Result<Self, Malformed> {
        let mut fields = Reader::new(raw.value, "DATA");
        Ok(Self {
            tsn: fields.tsn()?,
            stream: fields.stream()?,
            //= RFC 9260 §3.3.1
            //# Therefore, the receiver MUST ignore the Stream Sequence Number field.
            unordered: raw.flags & UNORDERED != 0,
            begin: raw.flags & BEGIN != 0,
            end: raw.flags & END != 0,
            immediate: raw.flags & IMMEDIATE != 0,
            seq: fields.u16()?.into(),
            fsn: 0,
            ppid: Ppid(fields.u32()?),
            payload: raw.offset + DATA_HEADER..raw.offset + raw.raw.len(),
        })
    }

    /// Parses an I-DATA chunk.
    pub(super) fn parse_interleaved(raw: RawChunk<'_>) -> Result<Self, Malformed> {
        let mut fields = Reader::new(raw.value, "I-DATA");
        let tsn = fields.tsn()?;
        let stream = fields.stream()?;
        let _reserved = fields.u16()?;
        let mid = fields.u32()?;
        let ppid_or_fsn = fields.u32()?;
        let begin = raw.flags & BEGIN != 0;
        let (ppid, fsn) = if begin {
            (ppid_or_fsn, 0)
        } else {
            (0, ppid_or_fsn)
        };
        Ok(Self {
            tsn,
            stream,
            unordered: raw.flags & UNORDERED != 0,
            begin,
            end: raw.flags & END != 0,
            immediate: raw.flags & IMMEDIATE != 0,
            seq: mid,
            fsn,
            ppid: Ppid(ppid),
            payload: raw.offset + I_DATA_HEADER..raw.offset + raw.raw.len(),
        })
    }
}

/// The fields of a DATA or I-DATA chunk to be sent; as in [`Data`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataFields {
    /// Transmission sequence number.
    pub tsn: Tsn,
    /// Outbound stream.
    pub stream: StreamId,
    /// SSN (the low 16 bits go out) or MID.
    pub seq: u32,
    /// Fragment number, for I-DATA without the B bit.
    pub fsn: u32,
    /// Payload protocol identifier; I-DATA carries it with the B bit only.
    pub ppid: Ppid,
    /// U bit.
    pub unordered: bool,
    /// B bit.
    pub begin: bool,
    /// E bit.
    pub end: bool,
    /// I bit.
    pub immediate: bool,
}

impl DataFields {
    fn flags(&self) -> u8 {
        let bit = |on, mask| if on { mask } else { 0 };
        bit(self.immediate, IMMEDIATE)
            | bit(self.unordered, UNORDERED)
            | bit(self.begin, BEGIN)
            | bit(self.end, END)
    }
}

impl PacketWriter<'_> {
    /// Appends a DATA chunk: [`DATA_HEADER`] and the payload, padded.
    //= RFC 9260 §3.3.1
    //# The following format MUST be used for the DATA chunk:
    //= RFC 9260 §3
    //# All integer fields in an SCTP packet MUST be transmitted in network byte order, unless
    //# otherwise stated.
    //= RFC 9260 §3.3.1
    //# This field MUST be sent even in fragmented DATA chunks (to make sure it is available for
    //# agents in the middle of the network).
    //= RFC 9260 §3.3.1
    //# Any padding MUST NOT be included in the Length field.
    pub fn data(&mut self, fields: &DataFields, payload: &[u8]) {
        let value_len = DATA_HEADER - CHUNK_HEADER + payload.len();
        let buf = self.open(kind::DATA, fields.flags(), value_len);
        buf.put_u32(fields.tsn.value());
        buf.put_u16(fields.stream.0);
        buf.put_u16(fields.seq as u16);
        buf.put_u32(fields.ppid.0);
        buf.put_slice(payload);
        self.close();
    }

    /// Appends an I-DATA chunk: [`I_DATA_HEADER`] and the payload, padded.
    pub fn i_data(&mut self, fields: &DataFields, payload: &[u8]) {
        let value_len = I_DATA_HEADER - CHUNK_HEADER + payload.len();
        let buf = self.open(kind::I_DATA, fields.flags(), value_len);
        buf.put_u32(fields.tsn.value());
        buf.put_u16(fields.stream.0);
        buf.put_u16(0);
        buf.put_u32(fields.seq);
        buf.put_u32(if fields.begin {
            fields.ppid.0
        } else {
            fields.fsn
        });
        buf.put_slice(payload);
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{chunk::Chunk, tests::assert_chunk};

    //= RFC 9260 §3.3.1, test
    //# The following format MUST be used for the DATA...
    //= RFC 9260 §3.3.1, test
    //# Any padding MUST NOT be included in the Length...
    //= RFC 9260 §3.3.1, test
    //# The implementation MUST pad the end of the data...
    //= RFC 9260 §3.3.1, test
    //# A sender MUST never add more than 3 bytes of...
    //= RFC 9260 §3.3.1, test
    //# A DATA chunk with a User Data field of length L will...
    //= RFC 9260 §3, test
    //# All integer fields in an SCTP packet MUST be transmitted in network...
    #[test]
    fn bytes_of_data() {
        let fields = DataFields {
            tsn: Tsn::new(0x1122_3344),
            stream: StreamId(0x0102),
            seq: 0xAAAA_0304,
            fsn: 9,
            ppid: Ppid(0x0506_0708),
            unordered: false,
            begin: true,
            end: true,
            immediate: true,
        };
        #[rustfmt::skip]
        let bytes = [
            0x00, 0x0B, 0x00, 0x12,
            0x11, 0x22, 0x33, 0x44,
            0x01, 0x02, 0x03, 0x04,
            0x05, 0x06, 0x07, 0x08,
            b'h', b'i', 0x00, 0x00,
        ];
        let data = Data {
            tsn: fields.tsn,
            stream: fields.stream,
            unordered: false,
            begin: true,
            end: true,
            immediate: true,
            seq: 0x0304,
            fsn: 0,
            ppid: fields.ppid,
            payload: 28..30,
        };
        assert_chunk(
            &bytes,
            |packet| packet.data(&fields, b"hi"),
            |chunk| assert_eq!(chunk, Chunk::Data(data)),
        );
    }

    #[test]
    fn bytes_of_i_data() {
        let first = DataFields {
            tsn: Tsn::new(0x1122_3344),
            stream: StreamId(0x0102),
            seq: 0xAABB_CCDD,
            fsn: 7,
            ppid: Ppid(0x0506_0708),
            unordered: true,
            begin: true,
            end: false,
            immediate: false,
        };
        #[rustfmt::skip]
        let mut bytes = [
            0x40, 0x06, 0x00, 0x17,
            0x11, 0x22, 0x33, 0x44,
            0x01, 0x02, 0x00, 0x00,
            0xAA, 0xBB, 0xCC, 0xDD,
            0x05, 0x06, 0x07, 0x08,
            b'a', b'b', b'c', 0x00,
        ];
        let mut data = Data {
            tsn: first.tsn,
            stream: first.stream,
            unordered: true,
            begin: true,
            end: false,
            immediate: false,
            seq: first.seq,
            fsn: 0,
            ppid: first.ppid,
            payload: 32..35,
        };
        assert_chunk(
            &bytes,
            |packet| packet.i_data(&first, b"abc"),
            |chunk| assert_eq!(chunk, Chunk::IData(data.clone())),
        );

        let last = DataFields {
            begin: false,
            end: true,
            ..first
        };
        bytes[1] = 0x05;
        bytes[16..20].copy_from_slice(&[0, 0, 0, 7]);
        (data.begin, data.end, data.fsn, data.ppid) = (false, true, 7, Ppid(0));
        assert_chunk(
            &bytes,
            |packet| packet.i_data(&last, b"abc"),
            |chunk| assert_eq!(chunk, Chunk::IData(data)),
        );
    }
}
