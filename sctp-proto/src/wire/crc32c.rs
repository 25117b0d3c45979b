//! The checksum of a packet (§6.8, appendix A), by the CPU's own CRC32c instruction where it has one.

use super::packet::COMMON_HEADER;

/// Where in the common header the checksum stands.
const CHECKSUM: std::ops::Range<usize> = 8..COMMON_HEADER;

/// Whether the packet's checksum field holds the CRC32c of the packet. False for anything shorter
/// than a common header.
pub fn checksum_ok(packet: &[u8]) -> bool {
    checksum(packet).is_some_and(|expected| packet[CHECKSUM] == expected)
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
