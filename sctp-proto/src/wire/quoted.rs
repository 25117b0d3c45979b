//! The beginning of a packet of our own, as an ICMP message quotes it.

use super::{
    chunk::kind,
    packet::{CHUNK_HEADER, COMMON_HEADER, CommonHeader},
};

/// What can be told from the first bytes of a packet, however few there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted {
    /// The common header. Its checksum covers bytes that are not there.
    pub header: CommonHeader,
    /// The Initiate Tag, if the packet begins with an INIT.
    pub initiate_tag: Option<u32>,
}

impl Quoted {
    /// Reads the beginning of a packet; `None` if not even the common header is there.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let header = CommonHeader::parse(packet)?;
        let chunk = packet
            .get(COMMON_HEADER..)?
            .first_chunk::<{ CHUNK_HEADER + 4 }>();
        let initiate_tag = match chunk {
            Some(&[kind::INIT, _, _, _, a, b, c, d]) => Some(u32::from_be_bytes([a, b, c, d])),
            _ => None,
        };
        Some(Self {
            header,
            initiate_tag,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_as_is_there() {
        let packet = [
            0x13,
            0x88,
            0,
            80,
            0,
            0,
            0,
            9,
            1,
            2,
            3,
            4,
            kind::INIT,
            0,
            0,
            20,
            0xAA,
            0xBB,
            0xCC,
            0xDD,
        ];
        for len in 0..COMMON_HEADER {
            assert_eq!(Quoted::parse(&packet[..len]), None, "{len} bytes");
        }
        let quoted = Quoted::parse(&packet[..19]).unwrap();
        assert_eq!(
            (quoted.header.source_port, quoted.header.destination_port),
            (5000, 80)
        );
        assert_eq!(quoted.header.verification_tag, 9);
        assert_eq!(quoted.initiate_tag, None, "one byte of the tag is missing");
        let whole = Quoted::parse(&packet).unwrap();
        assert_eq!(whole.initiate_tag, Some(0xAABB_CCDD));
        let mut other = packet;
        other[COMMON_HEADER] = kind::INIT_ACK;
        assert_eq!(Quoted::parse(&other).unwrap().initiate_tag, None);
    }
}
