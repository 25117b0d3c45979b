//! SACK (§3.3.4).

use bytes::BufMut;

use super::{chunk::kind, packet::Malformed, reader::Reader, writer::PacketWriter};
use crate::ids::Tsn;

/// Bytes of the value before the gap ack blocks: cumulative TSN ack, a_rwnd, two counts.
const FIXED: usize = 4 + 4 + 2 + 2;

/// A received SACK; its lists are read in place.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +---------------+---------------+-------------------------------+
/// |   type = 3    |     flags     |   length = 16 + 4 N + 4 M     |
/// +---------------+---------------+-------------------------------+
/// |                      cumulative TSN ack                       |
/// +---------------------------------------------------------------+
/// |          advertised receiver window credit (a_rwnd)           |
/// +-------------------------------+-------------------------------+
/// |  number of gap ack blocks N   |   number of duplicate TSNs M  |
/// +-------------------------------+-------------------------------+
/// |        block 1 start          |          block 1 end          |
/// +-------------------------------+-------------------------------+
/// /                     ... up to block N, then                   /
/// +---------------------------------------------------------------+
/// |                        duplicate TSN 1                        |
/// +---------------------------------------------------------------+
/// /                       ... up to TSN M                         /
/// +---------------------------------------------------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sack<'a> {
    /// The last TSN received in sequence.
    pub cumulative: Tsn,
    /// Receive buffer space left, before what is in flight is taken off (§6.2.1).
    pub a_rwnd: u32,
    gap_blocks: &'a [[u8; 4]],
    duplicates: &'a [[u8; 4]],
}

impl<'a> Sack<'a> {
    /// Parses the value of a SACK; the counts must account for its length exactly.
    pub(super) fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Reader::new(value, "SACK");
        let cumulative = fields.tsn()?;
        let a_rwnd = fields.u32()?;
        let gap_count = usize::from(fields.u16()?);
        let duplicate_count = usize::from(fields.u16()?);
        let lists = fields.items::<4>()?;
        let (gap_blocks, duplicates) = lists
            .split_at_checked(gap_count)
            .filter(|(_, duplicates)| duplicates.len() == duplicate_count)
            .ok_or(Malformed("SACK counts"))?;
        Ok(Self {
            cumulative,
            a_rwnd,
            gap_blocks,
            duplicates,
        })
    }

    /// The gap ack blocks as (start, end) offsets from the cumulative TSN ack, both inclusive, in the
    /// order and with the values the peer gave them: nothing says they are sorted, apart, or true.
    pub fn gap_blocks(&self) -> impl ExactSizeIterator<Item = (u16, u16)> + Clone + use<'a> {
        self.gap_blocks
            .iter()
            .map(|&[a, b, c, d]| (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }

    /// How many gap ack blocks there are.
    pub const fn gap_block_count(&self) -> usize {
        self.gap_blocks.len()
    }

    /// TSNs the peer received again, one entry for each time.
    pub fn duplicates(&self) -> impl ExactSizeIterator<Item = Tsn> + Clone + use<'a> {
        self.duplicates
            .iter()
            .map(|&tsn| Tsn::new(u32::from_be_bytes(tsn)))
    }
}

impl PacketWriter<'_> {
    /// Bytes that a SACK with so many gap ack blocks and duplicates takes.
    pub const fn sack_size(gaps: usize, duplicates: usize) -> usize {
        Self::chunk_size(FIXED + 4 * (gaps + duplicates))
    }

    /// Appends a SACK. Gaps are (start, end) offsets from `cumulative`, both inclusive.
    //= RFC 9260 §3.3.4
    //# Then, the parameter part of the SACK chunk MUST be constructed as follows (assuming the new
    //# a_rwnd is set to 4660 by the sender):
    pub fn sack(&mut self, cumulative: Tsn, a_rwnd: u32, gaps: &[(u16, u16)], duplicates: &[Tsn]) {
        let value_len = FIXED + 4 * (gaps.len() + duplicates.len());
        let buf = self.open(kind::SACK, 0, value_len);
        buf.put_u32(cumulative.value());
        buf.put_u32(a_rwnd);
        buf.put_u16(gaps.len() as u16);
        buf.put_u16(duplicates.len() as u16);
        for &(start, end) in gaps {
            buf.put_u16(start);
            buf.put_u16(end);
        }
        for tsn in duplicates {
            buf.put_u32(tsn.value());
        }
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{chunk::Chunk, tests::assert_chunk};

    /// The example of §3.3.4, and two duplicates.
    //= RFC 9260 §3.3.4, test
    //# Then, the parameter part of the SACK chunk MUST...
    #[test]
    fn bytes_of_sack() {
        #[rustfmt::skip]
        let bytes = [
            0x03, 0x00, 0x00, 0x20,
            0x00, 0x00, 0x00, 0x0C,
            0x00, 0x00, 0x12, 0x34,
            0x00, 0x02, 0x00, 0x02,
            0x00, 0x02, 0x00, 0x03,
            0x00, 0x05, 0x00, 0x05,
            0x00, 0x00, 0x00, 0x13,
            0x00, 0x00, 0x00, 0x13,
        ];
        let gaps = [(2, 3), (5, 5)];
        let duplicates = [Tsn::new(19), Tsn::new(19)];
        assert_chunk(
            &bytes,
            |packet| packet.sack(Tsn::new(12), 4660, &gaps, &duplicates),
            |chunk| {
                let Chunk::Sack(sack) = chunk else {
                    panic!("a SACK")
                };
                assert_eq!((sack.cumulative, sack.a_rwnd), (Tsn::new(12), 4660));
                assert_eq!(sack.gap_block_count(), 2);
                assert!(sack.gap_blocks().eq(gaps));
                assert!(sack.duplicates().eq(duplicates));
            },
        );
    }
}
