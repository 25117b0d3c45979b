//! The checksum of a packet (§6.8, appendix A), by the CPU's own CRC32c instruction where it has one.

use super::{
    chunk::kind,
    packet::{COMMON_HEADER, chunks},
};

/// Where in the common header the checksum stands.
const CHECKSUM: std::ops::Range<usize> = 8..COMMON_HEADER;

/// Whether the packet's checksum field holds the CRC32c of the packet. False for anything shorter
/// than a common header.
pub fn checksum_ok(packet: &[u8]) -> bool {
    checksum(packet).is_some_and(|expected| packet[CHECKSUM] == expected)
}

/// Whether the packet's checksum field is zero, as that of a packet is that goes without (RFC 9653).
/// One in four billion packets with a checksum is like that, too.
pub fn checksum_is_zero(packet: &[u8]) -> bool {
    packet.get(CHECKSUM).is_some_and(|field| field == [0; 4])
}

/// Whether a packet must have its checksum, whatever was agreed upon (RFC 9653 §5.2): who takes it may
/// not know yet what was, or not believe it.
pub fn needs_checksum(packet: &[u8]) -> bool {
    kinds(packet).any(requires_checksum)
}

/// Whether a packet leaves with its checksum, whatever was agreed upon: those that must have it, and
/// a SHUTDOWN ACK. The peer's SHUTDOWN COMPLETE may have been lost, and then the peer has no
/// association any more that would take it without: out of the blue, it would be dropped, and never
/// be answered (§8.4).
pub(super) fn keeps_checksum(packet: &[u8]) -> bool {
    kinds(packet).any(|kind| requires_checksum(kind) || kind == kind::SHUTDOWN_ACK)
}

fn requires_checksum(kind: u8) -> bool {
    matches!(kind, kind::INIT | kind::COOKIE_ECHO | kind::ASCONF)
}

fn kinds(packet: &[u8]) -> impl Iterator<Item = u8> {
    chunks(packet).map_while(Result::ok).map(|raw| raw.kind)
}

/// Fills the checksum field of a packet that is otherwise complete.
pub(super) fn write_checksum(packet: &mut [u8]) {
    if let Some(checksum) = checksum(packet) {
        packet[CHECKSUM].copy_from_slice(&checksum);
    }
}

/// The bytes of the checksum field that suit the rest of the packet.
///
/// The packet is neither changed nor copied: only its header goes through the CRC as a copy, with
/// the field zeroed. Appendix A maps the CRC's highest coefficients to the first byte, bit by bit
/// mirrored; of the customary reflected CRC that is the little-endian form.
fn checksum(packet: &[u8]) -> Option<[u8; 4]> {
    let (header, chunks) = packet.split_first_chunk::<COMMON_HEADER>()?;
    let mut header = *header;
    //= RFC 9260 §6.8
    //# Replace the 32 bits of the checksum field in the received SCTP
    //# packet with 0 and calculate a CRC32c checksum value of the whole
    //# received packet.
    header[CHECKSUM].fill(0);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header), chunks);
    Some(crc.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CRC32c bit by bit, as appendix A defines it.
    fn reference(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for &byte in bytes {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 };
            }
        }
        !crc
    }

    #[test]
    fn the_check_value_of_the_polynomial() {
        assert_eq!(reference(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn least_byte_first_over_the_packet_with_the_field_zeroed() {
        for length in [12, 13, 16, 63, 1024, 1500] {
            let mut packet: Vec<u8> = (0..length).map(|n| n as u8 ^ 0x5A).collect();
            assert!(!checksum_ok(&packet));
            write_checksum(&mut packet);
            assert!(checksum_ok(&packet));
            let mut zeroed = packet.clone();
            zeroed[CHECKSUM].fill(0);
            assert_eq!(packet[CHECKSUM], reference(&zeroed).to_le_bytes());
        }
    }

    /// A COOKIE ACK from port 9899 to port 80 with tag 0x01020304.
    #[test]
    fn bytes_of_a_packet() {
        #[rustfmt::skip]
        let mut packet = [
            0x26, 0xAB, 0x00, 0x50,
            0x01, 0x02, 0x03, 0x04,
            0x00, 0x00, 0x00, 0x00,
            0x0B, 0x00, 0x00, 0x04,
        ];
        write_checksum(&mut packet);
        assert_eq!(packet[CHECKSUM], [0x44, 0x78, 0x02, 0xF0]);
    }
}
