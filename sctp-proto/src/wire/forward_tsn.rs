//! FORWARD-TSN (RFC 3758 §3.2) and I-FORWARD-TSN (RFC 8260 §2.3.1).

use bytes::BufMut;

use super::{chunk::kind, packet::Malformed, reader::Reader, writer::PacketWriter};
use crate::ids::{StreamId, Tsn};

/// A received FORWARD-TSN; its list is read in place.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +---------------+---------------+-------------------------------+
/// |  type = 192   |     flags     |       length = 8 + 4 N        |
/// +---------------+---------------+-------------------------------+
/// |                      new cumulative TSN                       |
/// +-------------------------------+-------------------------------+
/// |           stream 1            |  largest SSN skipped on it    |
/// +-------------------------------+-------------------------------+
/// /                      ... up to stream N                       /
/// +---------------------------------------------------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForwardTsn<'a> {
    /// Every TSN up to this one is to be taken as received.
    pub new_cumulative: Tsn,
    skipped: &'a [[u8; 4]],
}

impl<'a> ForwardTsn<'a> {
    pub(super) fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Reader::new(value, "FORWARD-TSN");
        Ok(Self {
            new_cumulative: fields.tsn()?,
            skipped: fields.items()?,
        })
    }

    /// Streams with ordered messages skipped, and the last SSN skipped on each.
    pub fn skipped(&self) -> impl ExactSizeIterator<Item = (StreamId, u16)> + Clone + use<'a> {
        self.skipped.iter().map(|&[a, b, c, d]| {
            let stream = StreamId(u16::from_be_bytes([a, b]));
            (stream, u16::from_be_bytes([c, d]))
        })
    }
}

/// A received I-FORWARD-TSN; its list is read in place.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +---------------+---------------+-------------------------------+
/// |  type = 194   |     flags     |       length = 8 + 8 N        |
/// +---------------+---------------+-------------------------------+
/// |                      new cumulative TSN                       |
/// +-------------------------------+-----------------------------+-+
/// |           stream 1            |          reserved           |U|
/// +-------------------------------+-----------------------------+-+
/// |      largest MID skipped on it, unordered if the U bit is set |
/// +---------------------------------------------------------------+
/// /                      ... up to entry N                        /
/// +---------------------------------------------------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IForwardTsn<'a> {
    /// Every TSN up to this one is to be taken as received.
    pub new_cumulative: Tsn,
    skipped: &'a [[u8; 8]],
}

impl<'a> IForwardTsn<'a> {
    pub(super) fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Reader::new(value, "I-FORWARD-TSN");
        Ok(Self {
            new_cumulative: fields.tsn()?,
            skipped: fields.items()?,
        })
    }

    /// Streams with messages skipped, whether the unordered ones are meant, and the last MID skipped
    /// on each.
    pub fn skipped(
        &self,
    ) -> impl ExactSizeIterator<Item = (StreamId, bool, u32)> + Clone + use<'a> {
        self.skipped.iter().map(|&[a, b, _, flags, c, d, e, f]| {
            let stream = StreamId(u16::from_be_bytes([a, b]));
            (stream, flags & 1 != 0, u32::from_be_bytes([c, d, e, f]))
        })
    }
}

impl PacketWriter<'_> {
    /// Appends a FORWARD-TSN: (stream, last SSN skipped) for each stream with ordered messages
    /// skipped. Takes [`chunk_size`](Self::chunk_size)`(4 + 4 * skipped.len())`.
    pub fn forward_tsn(&mut self, new_cumulative: Tsn, skipped: &[(StreamId, u16)]) {
        let buf = self.open(kind::FORWARD_TSN, 0, 4 + 4 * skipped.len());
        buf.put_u32(new_cumulative.value());
        for &(stream, ssn) in skipped {
            buf.put_u16(stream.0);
            buf.put_u16(ssn);
        }
        self.close();
    }

    /// Appends an I-FORWARD-TSN: (stream, unordered, last MID skipped). Takes
    /// [`chunk_size`](Self::chunk_size)`(4 + 8 * skipped.len())`.
    pub fn i_forward_tsn(&mut self, new_cumulative: Tsn, skipped: &[(StreamId, bool, u32)]) {
        let buf = self.open(kind::I_FORWARD_TSN, 0, 4 + 8 * skipped.len());
        buf.put_u32(new_cumulative.value());
        for &(stream, unordered, mid) in skipped {
            buf.put_u16(stream.0);
            buf.put_u16(unordered.into());
            buf.put_u32(mid);
        }
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{chunk::Chunk, tests::assert_chunk};

    #[test]
    fn bytes_of_forward_tsn() {
        #[rustfmt::skip]
        let bytes = [
            0xC0, 0x00, 0x00, 0x10,
            0x00, 0x00, 0x01, 0x00,
            0x00, 0x01, 0xFF, 0xFF,
            0x00, 0x02, 0x00, 0x03,
        ];
        let skipped = [(StreamId(1), 0xFFFF), (StreamId(2), 3)];
        assert_chunk(
            &bytes,
            |packet| packet.forward_tsn(Tsn::new(256), &skipped),
            |chunk| {
                let Chunk::ForwardTsn(forward) = chunk else {
                    panic!("a FORWARD-TSN")
                };
                assert_eq!(forward.new_cumulative, Tsn::new(256));
                assert!(forward.skipped().eq(skipped));
            },
        );
    }

    #[test]
    fn bytes_of_i_forward_tsn() {
        #[rustfmt::skip]
        let bytes = [
            0xC2, 0x00, 0x00, 0x18,
            0x00, 0x00, 0x01, 0x00,
            0x00, 0x01, 0x00, 0x00,
            0x00, 0x01, 0x00, 0x00,
            0x00, 0x01, 0x00, 0x01,
            0xFF, 0xFF, 0xFF, 0xFF,
        ];
        let skipped = [
            (StreamId(1), false, 0x0001_0000),
            (StreamId(1), true, u32::MAX),
        ];
        assert_chunk(
            &bytes,
            |packet| packet.i_forward_tsn(Tsn::new(256), &skipped),
            |chunk| {
                let Chunk::IForwardTsn(forward) = chunk else {
                    panic!("an I-FORWARD-TSN")
                };
                assert_eq!(forward.new_cumulative, Tsn::new(256));
                assert!(forward.skipped().eq(skipped));
            },
        );
    }
}
