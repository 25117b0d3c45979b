//! The codec against itself and against hostile bytes. The bytes of each chunk are tested where the
//! chunk is defined.

use super::*;

pub(super) const HEADER: CommonHeader = CommonHeader {
    source_port: 5000,
    destination_port: 80,
    verification_tag: 0x0102_0304,
};

/// The packet that `write` makes.
pub(super) fn packet(write: impl FnOnce(&mut PacketWriter<'_>)) -> Vec<u8> {
    let mut buf = Vec::new();
    let mut writer = PacketWriter::new(&mut buf, usize::from(u16::MAX), &HEADER);
    write(&mut writer);
    let length = writer.finish();
    assert_eq!(length, buf.len());
    buf
}

#[test]
fn packets_of_a_batch_follow_each_other() {
    let mut buf = vec![0xEE; 3];
    for n in 1..=2 {
        let mut writer = PacketWriter::new(&mut buf, 103, &HEADER);
        assert!(writer.is_empty());
        assert_eq!(writer.remaining(), 88);
        writer.chunk(77, 0x55, &[n; 5]);
        assert_eq!(writer.remaining(), 76);
        assert_eq!(writer.finish(), 24);
    }
    assert_eq!(buf.len(), 3 + 2 * 24);
    for (packet, n) in buf[3..].chunks(24).zip(1..) {
        assert!(checksum_ok(packet));
        assert_eq!(CommonHeader::parse(packet), Some(HEADER));
        let mut chunks = chunks(packet);
        let chunk = chunks.next().unwrap().unwrap();
        assert_eq!((chunk.kind, chunk.flags, chunk.offset), (77, 0x55, 12));
        assert_eq!(chunk.value, [n; 5]);
        assert_eq!(chunks.next(), None);
    }
}
