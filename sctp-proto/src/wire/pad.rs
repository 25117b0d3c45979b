//! PAD (RFC 4820 §3): makes a packet as large as its sender wants it.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+---------------+-------------------------------+
//! |  type = 132   |   flags = 0   |     length = 4 + padding      |
//! +---------------+---------------+-------------------------------+
//! /            padding data, zeros, of no meaning                 /
//! +---------------------------------------------------------------+
//! ```
//!
//! A receiver that does not know it skips it and says nothing, as the two high bits of its type ask.

use super::{
    chunk::kind,
    packet::{CHUNK_HEADER, COMMON_HEADER},
    writer::PacketWriter,
};

impl PacketWriter<'_> {
    /// Fills the packet up to `size` bytes, common header included, with a PAD chunk, the last of the
    /// packet; nothing if that is less than a chunk's header away. No packet is made larger than it
    /// may be.
    pub fn pad_to(&mut self, size: usize) {
        debug_assert!(self.len() >= COMMON_HEADER);
        self.last_is(kind::PAD);
        let missing = size.saturating_sub(self.len());
        let missing = missing.min(self.remaining_for(kind::PAD)) & !3;
        let Some(padding) = missing.checked_sub(CHUNK_HEADER) else {
            return;
        };
        let buf = self.open(kind::PAD, 0, padding);
        buf.resize(buf.len() + padding, 0);
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Chunk, CommonHeader, chunks, tests::assert_chunk};

    #[test]
    fn bytes_of_pad() {
        assert_chunk(
            &[0x84, 0x00, 0x00, 0x0C, 0, 0, 0, 0, 0, 0, 0, 0],
            |packet| packet.pad_to(COMMON_HEADER + 12),
            |chunk| assert_eq!(chunk, Chunk::Pad(&[0; 8])),
        );
        assert_chunk(
            &[0x84, 0x00, 0x00, 0x04],
            |packet| packet.pad_to(COMMON_HEADER + 4),
            |chunk| assert_eq!(chunk, Chunk::Pad(&[])),
        );
    }

    #[test]
    fn a_packet_becomes_as_large_as_asked_and_never_larger_than_allowed() {
        let header = CommonHeader {
            source_port: 1,
            destination_port: 2,
            verification_tag: 3,
        };
        for (asked, most, expected) in [
            (1252, 65_504, 1252),
            (65_504, 65_504, 65_504),
            (1255, 65_504, 1252),
            (2000, 1472, 1472),
            (28, 1472, 28),
            (31, 1472, 28),
            (0, 1472, 28),
        ] {
            let mut buf = Vec::new();
            let mut packet = PacketWriter::new(&mut buf, most, &header);
            packet.heartbeat(kind::HEARTBEAT, &[7; 8]);
            packet.pad_to(asked);
            assert_eq!(packet.finish(), expected, "{asked} of {most}");
            let parsed: Vec<_> = chunks(&buf)
                .map(|raw| Chunk::parse(raw.expect("a chunk")).expect("a known chunk"))
                .collect();
            assert_eq!(parsed[0], Chunk::Heartbeat(&[7; 8]));
            assert_eq!(parsed.len(), 1 + usize::from(expected > 28));
        }
    }
}
