//! ECNE and CWR (RFC 4960 Appendix A).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+---------------+-------------------------------+
//! | type = 12, 13 |     flags     |           length = 8          |
//! +---------------+---------------+-------------------------------+
//! |                              TSN                              |
//! +---------------------------------------------------------------+
//! ```
//!
//! In draft-stewart-tsvwg-sctpecn, which usrsctp follows, an ECNE has 12 bytes: the number of packets
//! marked since the last CWR comes after the TSN.

use super::{chunk::kind, packet::Malformed, reader::Reader, writer::PacketWriter};
use crate::ids::Tsn;

/// Parses the value of an ECNE: the lowest TSN of a packet that was marked.
pub(super) fn ecne(value: &[u8]) -> Result<Tsn, Malformed> {
    let mut fields = Reader::new(value, "ECNE");
    let tsn = fields.tsn()?;
    if value.len() == 8 {
        let _marked = fields.u32()?;
    }
    fields.end()?;
    Ok(tsn)
}

/// Parses the value of a CWR: what was marked up to this TSN has been answered.
pub(super) fn cwr(value: &[u8]) -> Result<Tsn, Malformed> {
    let mut fields = Reader::new(value, "CWR");
    let tsn = fields.tsn()?;
    fields.end()?;
    Ok(tsn)
}

impl PacketWriter<'_> {
    /// Bytes that an ECNE or a CWR takes.
    pub const ECN_CHUNK: usize = Self::chunk_size(4);

    /// Appends an ECNE.
    pub fn ecne(&mut self, tsn: Tsn) {
        self.chunk(kind::ECNE, 0, &tsn.value().to_be_bytes());
    }

    /// Appends a CWR.
    pub fn cwr(&mut self, tsn: Tsn) {
        self.chunk(kind::CWR, 0, &tsn.value().to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{chunk::Chunk, tests::assert_chunk};

    #[test]
    fn bytes_of_ecne_and_cwr() {
        let tsn = Tsn::new(0x0102_0304);
        assert_chunk(
            &[12, 0, 0, 8, 1, 2, 3, 4],
            |packet| packet.ecne(tsn),
            |chunk| assert_eq!(chunk, Chunk::Ecne(tsn)),
        );
        assert_chunk(
            &[13, 0, 0, 8, 1, 2, 3, 4],
            |packet| packet.cwr(tsn),
            |chunk| assert_eq!(chunk, Chunk::Cwr(tsn)),
        );
    }

    #[test]
    fn an_ecne_may_count_what_was_marked() {
        assert_eq!(ecne(&[0, 0, 0, 7, 0, 0, 0, 3]), Ok(Tsn::new(7)));
        for len in [0, 3, 5, 6, 7, 9, 12] {
            assert!(ecne(&vec![0; len]).is_err(), "{len} bytes");
        }
        assert!(cwr(&[0; 8]).is_err() && cwr(&[0; 3]).is_err());
    }
}
