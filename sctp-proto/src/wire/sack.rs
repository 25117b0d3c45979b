//! SACK (§3.3.4), and NR-SACK (draft-tuexen-tsvwg-sctp-multipath).

use bytes::BufMut;

use super::{chunk::kind, packet::Malformed, reader::Reader, writer::PacketWriter};
use crate::ids::Tsn;

/// Bytes of the value before the gap ack blocks: cumulative TSN ack, a_rwnd, two counts.
const FIXED: usize = 4 + 4 + 2 + 2;
/// The same of NR-SACK: one count more, and two bytes that are reserved.
const NR_FIXED: usize = FIXED + 2 + 2;

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
///
/// NR-SACK, type 16, has another list: of TSNs beyond the cumulative one that the receiver will not
/// give up any more. No TSN is in both lists.
/// ```text
/// +-------------------------------+-------------------------------+
/// |   number of gap ack blocks N  | number of NR gap ack blocks K |
/// +-------------------------------+-------------------------------+
/// |   number of duplicate TSNs M  |           reserved            |
/// +-------------------------------+-------------------------------+
/// /       gap ack blocks, NR gap ack blocks, duplicate TSNs       /
/// +---------------------------------------------------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sack<'a> {
    /// The last TSN received in sequence.
    pub cumulative: Tsn,
    /// Receive buffer space left, before what is in flight is taken off (§6.2.1).
    pub a_rwnd: u32,
    gap_blocks: &'a [[u8; 4]],
    nr_gap_blocks: &'a [[u8; 4]],
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
            nr_gap_blocks: &[],
            duplicates,
        })
    }

    /// Parses the value of an NR-SACK; the counts must account for its length exactly.
    pub(super) fn parse_nr(value: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Reader::new(value, "NR-SACK");
        let cumulative = fields.tsn()?;
        let a_rwnd = fields.u32()?;
        let gap_count = usize::from(fields.u16()?);
        let nr_count = usize::from(fields.u16()?);
        let duplicate_count = usize::from(fields.u16()?);
        let _reserved = fields.u16()?;
        let lists = fields.items::<4>()?;
        let wrong = Malformed("NR-SACK counts");
        let (gap_blocks, rest) = lists.split_at_checked(gap_count).ok_or(wrong)?;
        let (nr_gap_blocks, duplicates) = rest
            .split_at_checked(nr_count)
            .filter(|(_, duplicates)| duplicates.len() == duplicate_count)
            .ok_or(wrong)?;
        Ok(Self {
            cumulative,
            a_rwnd,
            gap_blocks,
            nr_gap_blocks,
            duplicates,
        })
    }

    /// The gap ack blocks as (start, end) offsets from the cumulative TSN ack, both inclusive, in the
    /// order and with the values the peer gave them: nothing says they are sorted, apart, or true.
    pub fn gap_blocks(&self) -> impl ExactSizeIterator<Item = (u16, u16)> + Clone + use<'a> {
        blocks(self.gap_blocks)
    }

    /// The NR gap ack blocks, of which the same holds. A SACK has none.
    pub fn nr_gap_blocks(&self) -> impl ExactSizeIterator<Item = (u16, u16)> + Clone + use<'a> {
        blocks(self.nr_gap_blocks)
    }

    /// The blocks of both lists, in the order of where they begin, if each list is in that order.
    pub fn all_gap_blocks(&self) -> impl Iterator<Item = (u16, u16)> + Clone + use<'a> {
        let mut gaps = self.gap_blocks().peekable();
        let mut nr_gaps = self.nr_gap_blocks().peekable();
        std::iter::from_fn(move || match (gaps.peek(), nr_gaps.peek()) {
            (Some(gap), Some(nr_gap)) if nr_gap.0 < gap.0 => nr_gaps.next(),
            (Some(_), _) => gaps.next(),
            (None, _) => nr_gaps.next(),
        })
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

fn blocks(blocks: &[[u8; 4]]) -> impl ExactSizeIterator<Item = (u16, u16)> + Clone {
    blocks
        .iter()
        .map(|&[a, b, c, d]| (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

impl PacketWriter<'_> {
    /// Bytes that an NR-SACK takes with so many blocks, of both lists together, and duplicates.
    pub const fn nr_sack_size(gaps: usize, duplicates: usize) -> usize {
        Self::chunk_size(NR_FIXED + 4 * (gaps + duplicates))
    }

    /// Appends an NR-SACK: `gaps` may be given up yet, `nr_gaps` will not.
    pub fn nr_sack(
        &mut self,
        cumulative: Tsn,
        a_rwnd: u32,
        gaps: &[(u16, u16)],
        nr_gaps: &[(u16, u16)],
        duplicates: &[Tsn],
    ) {
        let value_len = NR_FIXED + 4 * (gaps.len() + nr_gaps.len() + duplicates.len());
        let buf = self.open(kind::NR_SACK, 0, value_len);
        buf.put_u32(cumulative.value());
        buf.put_u32(a_rwnd);
        buf.put_u16(gaps.len() as u16);
        buf.put_u16(nr_gaps.len() as u16);
        buf.put_u16(duplicates.len() as u16);
        buf.put_u16(0);
        for &(start, end) in gaps.iter().chain(nr_gaps) {
            buf.put_u16(start);
            buf.put_u16(end);
        }
        for tsn in duplicates {
            buf.put_u32(tsn.value());
        }
        self.close();
    }

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

    #[test]
    fn bytes_of_nr_sack() {
        #[rustfmt::skip]
        let bytes = [
            0x10, 0x00, 0x00, 0x24,
            0x00, 0x00, 0x00, 0x0C,
            0x00, 0x00, 0x12, 0x34,
            0x00, 0x01, 0x00, 0x02,
            0x00, 0x01, 0x00, 0x00,
            0x00, 0x02, 0x00, 0x03,
            0x00, 0x04, 0x00, 0x04,
            0x00, 0x07, 0x00, 0x09,
            0x00, 0x00, 0x00, 0x13,
        ];
        let (gaps, nr_gaps) = ([(2, 3)], [(4, 4), (7, 9)]);
        let duplicates = [Tsn::new(19)];
        assert_eq!(PacketWriter::nr_sack_size(3, 1), bytes.len());
        assert_chunk(
            &bytes,
            |packet| packet.nr_sack(Tsn::new(12), 4660, &gaps, &nr_gaps, &duplicates),
            |chunk| {
                let Chunk::NrSack(sack) = chunk else {
                    panic!("an NR-SACK")
                };
                assert_eq!((sack.cumulative, sack.a_rwnd), (Tsn::new(12), 4660));
                assert!(sack.gap_blocks().eq(gaps));
                assert!(sack.nr_gap_blocks().eq(nr_gaps));
                assert!(sack.duplicates().eq(duplicates));
            },
        );
    }

    #[test]
    fn an_nr_sack_has_as_much_as_it_counts() {
        let mut value = [0; 16 + 12];
        for (gaps, nr_gaps, duplicates) in [(1, 1, 1), (3, 0, 0), (0, 3, 0), (0, 0, 3)] {
            (value[9], value[11], value[13]) = (gaps, nr_gaps, duplicates);
            assert!(Sack::parse_nr(&value).is_ok());
            assert!(Sack::parse_nr(&value[..24]).is_err());
            assert!(Sack::parse_nr(&value[..27]).is_err());
            value[11] = 200;
            assert!(Sack::parse_nr(&value).is_err());
        }
        assert!(Sack::parse_nr(&value[..15]).is_err());
    }
}
