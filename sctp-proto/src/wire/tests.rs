//! The codec against hostile lengths; against itself in `properties`. The exact bytes of each chunk
//! are tested where the chunk is defined.

mod properties;

use super::*;
use crate::ids::{Ppid, StreamId, Tsn};

const HEADER: CommonHeader = CommonHeader {
    source_port: 5000,
    destination_port: 80,
    verification_tag: 0x0102_0304,
};

/// The packet that `write` makes.
fn packet(write: impl FnOnce(&mut PacketWriter<'_>)) -> Vec<u8> {
    let mut buf = Vec::new();
    let mut writer = PacketWriter::new(&mut buf, usize::from(u16::MAX), &HEADER);
    write(&mut writer);
    let length = writer.finish();
    assert_eq!(length, buf.len());
    assert!(checksum_ok(&buf));
    buf
}

/// The one chunk of a packet.
fn only_chunk(packet: &[u8]) -> Result<Chunk<'_>, Malformed> {
    let mut chunks = chunks(packet);
    let raw = chunks.next().expect("a chunk")?;
    assert_eq!(chunks.next(), None);
    Chunk::parse(raw)
}

/// Checks that `write` makes exactly these bytes after the common header, and hands what parsing
/// them gives to `check`.
pub(super) fn assert_chunk(
    bytes: &[u8],
    write: impl FnOnce(&mut PacketWriter<'_>),
    check: impl FnOnce(Chunk<'_>),
) {
    let packet = packet(write);
    assert_eq!(packet[COMMON_HEADER..], *bytes);
    check(only_chunk(&packet).expect("well-formed"));
}

/// A packet of one chunk whose length field says `length`, whatever follows it.
fn forged(kind: u8, flags: u8, length: u16, value: &[u8]) -> Vec<u8> {
    let mut packet = packet(|_| {});
    packet.extend([kind, flags]);
    packet.extend(length.to_be_bytes());
    packet.extend(value);
    packet
}

/// A packet of one chunk with this value and a true length.
fn crafted(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    forged(kind, flags, (CHUNK_HEADER + value.len()) as u16, value)
}

#[test]
fn packets_of_a_batch_follow_each_other() {
    let mut buf = vec![0xEE; 3];
    for n in 1..=2 {
        let mut writer = PacketWriter::new(&mut buf, 103, &HEADER);
        assert!(writer.is_empty());
        assert_eq!(writer.remaining(), 88);
        writer.chunk(77, 0x55, &[n; 5]);
        assert!(!writer.is_empty());
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

#[test]
fn writing_into_a_reused_buffer_does_not_allocate() {
    let mut buf = Vec::with_capacity(1400);
    let before = buf.as_ptr();
    for _ in 0..3 {
        buf.clear();
        let mut writer = PacketWriter::new(&mut buf, 1400, &HEADER);
        writer.data(&fields(7), &[1; 1372]);
        assert_eq!(writer.remaining(), 0);
        writer.finish();
        assert_eq!((buf.as_ptr(), buf.capacity()), (before, 1400));
    }
}

fn fields(tsn: u32) -> DataFields {
    DataFields {
        tsn: Tsn::new(tsn),
        stream: StreamId(3),
        seq: 4,
        fsn: 0,
        ppid: Ppid(5),
        unordered: false,
        begin: true,
        end: true,
        immediate: false,
    }
}

/// Everything there is to walk in a packet. Panics if a walk takes more steps than the packet has
/// words: none may consume less than four bytes per step.
fn walk(packet: &[u8]) {
    let budget = packet.len() / 4;
    let mut end = COMMON_HEADER;
    for chunk in chunks(packet) {
        let Ok(raw) = chunk else { break };
        assert!(raw.offset >= end && raw.raw.len() >= CHUNK_HEADER);
        assert_eq!(raw.raw, &packet[raw.offset..raw.offset + raw.raw.len()]);
        end = raw.offset + raw.raw.len();
        match Chunk::parse(raw) {
            Ok(Chunk::Data(data)) => {
                assert_eq!(packet[data.payload], raw.raw[DATA_HEADER..]);
            }
            Ok(Chunk::IData(data)) => {
                assert_eq!(packet[data.payload], raw.raw[I_DATA_HEADER..]);
            }
            Ok(Chunk::Init(init) | Chunk::InitAck(init)) => walk_params(init.params, budget),
            Ok(Chunk::Abort { causes, .. } | Chunk::Error(causes)) => {
                assert!(causes.iter().count() <= budget);
                for raw in causes.iter() {
                    assert!(raw.to_owned().info.len() <= 256);
                    if let Ok(
                        Cause::UnrecognizedParameters(params)
                        | Cause::RestartWithNewAddresses(params),
                    ) = Cause::parse(raw)
                    {
                        walk_params(params, budget);
                    }
                }
            }
            Ok(Chunk::Sack(sack)) => {
                assert_eq!(sack.gap_blocks().count(), sack.gap_block_count());
                assert_eq!(
                    16 + 4 * (sack.gap_block_count() + sack.duplicates().count()),
                    raw.raw.len()
                );
            }
            Ok(Chunk::NrSack(sack)) => {
                let blocks = sack.gap_block_count() + sack.nr_gap_blocks().count();
                let lists = blocks + sack.duplicates().count();
                assert_eq!(20 + 4 * lists, raw.raw.len());
            }
            Ok(Chunk::ForwardTsn(forward)) => assert!(forward.skipped().count() <= budget),
            Ok(Chunk::IForwardTsn(forward)) => assert!(forward.skipped().count() <= budget),
            Ok(Chunk::ReConfig(reconfig)) => {
                assert!(reconfig.params().count() <= budget);
                for param in reconfig.params().flatten() {
                    if let ReConfigParam::OutgoingReset { streams, .. }
                    | ReConfigParam::IncomingReset { streams, .. } = param
                    {
                        assert_eq!(streams.iter().count(), streams.len());
                    }
                }
            }
            _ => {}
        }
    }
}

fn walk_params(params: Params<'_>, budget: usize) {
    assert!(params.iter().count() <= budget);
    for raw in params.iter().flatten() {
        let _ = Param::parse(raw);
    }
}

/// usrsctp#352, sipsorcery#1758, aiortc: a length of zero, and the walk stands still. Runs of four
/// items with every choice of these lengths, at every level where items are.
#[test]
fn threat_05_every_walk_consumes_four_bytes_a_step() {
    const LENGTHS: [u8; 7] = [0, 1, 2, 3, 4, 8, 200];
    let carriers: [(u8, &[u8]); 6] = [
        (kind::INIT, &[1; 16]),
        (kind::INIT_ACK, &[1; 16]),
        (kind::ERROR, &[]),
        (kind::ABORT, &[]),
        (kind::RE_CONFIG, &[]),
        (kind::HEARTBEAT, &[]),
    ];
    for number in 0..LENGTHS.len().pow(4) {
        let mut items = Vec::new();
        for place in 0..4 {
            let length = LENGTHS[number / LENGTHS.len().pow(place) % LENGTHS.len()];
            items.extend([0, 8, 0, length]);
            items.extend(&[0; 4][..if length == 8 { 4 } else { 0 }]);
        }
        // As chunks; as parameters or causes; as parameters of a cause.
        let mut packet = packet(|_| {});
        packet.extend(&items);
        walk(&packet);
        let cause = [&[0, 8, 0, 4 + items.len() as u8], &items[..]].concat();
        for (kind, fixed) in carriers {
            walk(&crafted(kind, 0, &[fixed, &items].concat()));
            walk(&crafted(kind, 0, &[fixed, &cause].concat()));
        }
    }
}

#[test]
fn chunk_lengths_below_the_header_end_the_walk() {
    for length in 0..4 {
        let packet = forged(kind::SACK, 0, length, &[0; 64]);
        let mut chunks = chunks(&packet);
        assert_eq!(chunks.next(), Some(Err(Malformed("chunk length"))));
        assert_eq!(chunks.next(), None);
    }
}

#[test]
fn parameter_lengths_below_the_header_end_the_walk() {
    for length in 0..4 {
        let bad = [0, 5, 0, length, 1, 2, 3, 4];
        let first_good = [&[0, 8, 0, 5, 9, 0, 0, 0], &bad[..]].concat();
        for (bytes, good) in [(&bad[..], 0), (&first_good[..], 1)] {
            let mut items = Params::new(bytes).iter();
            assert_eq!(
                items.by_ref().take(good).filter(Result::is_ok).count(),
                good
            );
            assert_eq!(items.next(), Some(Err(Malformed("parameter length"))));
            assert_eq!(items.next(), None);

            let packet = crafted(kind::RE_CONFIG, 0, bytes);
            let Ok(Chunk::ReConfig(reconfig)) = only_chunk(&packet) else {
                panic!("a RE-CONFIG")
            };
            let mut items = reconfig.params().skip(good);
            assert_eq!(items.next(), Some(Err(Malformed("parameter length"))));
            assert_eq!(items.next(), None);

            // Causes are all checked before the first is seen; a HEARTBEAT has one parameter.
            for kind in [
                kind::ABORT,
                kind::ERROR,
                kind::HEARTBEAT,
                kind::HEARTBEAT_ACK,
            ] {
                assert!(only_chunk(&crafted(kind, 0, bytes)).is_err());
            }
        }
    }
}

#[test]
fn lengths_past_the_end_are_malformed() {
    for excess in [1, 4, 65_000] {
        let packet = forged(kind::COOKIE_ECHO, 0, 12 + excess, &[0; 8]);
        assert_eq!(only_chunk(&packet), Err(Malformed("chunk length")));
        let [high, low] = (8 + excess).to_be_bytes();
        let bytes = [0, 5, high, low, 1, 2, 3, 4];
        let mut items = Params::new(&bytes).iter();
        assert_eq!(items.next(), Some(Err(Malformed("parameter length"))));
    }
}

#[test]
fn one_to_three_stray_bytes_are_malformed() {
    for stray in 1..4 {
        let mut packet = packet(|packet| packet.cookie_ack());
        packet.extend(vec![0; stray]);
        let mut chunks = chunks(&packet);
        assert!(chunks.next().unwrap().is_ok());
        assert_eq!(
            chunks.next(),
            Some(Err(Malformed("chunk header cut short")))
        );
        assert_eq!(chunks.next(), None);

        let bytes = vec![0; stray];
        let mut items = Params::new(&bytes).iter();
        assert_eq!(
            items.next(),
            Some(Err(Malformed("parameter header cut short")))
        );
        assert_eq!(items.next(), None);
    }
}

//= RFC 9260 §3.2, test
//# The receiver MUST ignore the padding bytes.
//= RFC 9260 §3.2.1, test
//# The receiver MUST ignore the padding bytes.
#[test]
fn the_padding_of_the_last_item_may_be_missing() {
    let mut packet = packet(|packet| packet.cookie_echo(&[1; 5]));
    packet.truncate(packet.len() - 3);
    assert_eq!(only_chunk(&packet), Ok(Chunk::CookieEcho(&[1; 5])));

    for bytes in [&[0, 7, 0, 5, 1][..], &[0, 7, 0, 5, 1, 0xFF, 0xFF, 0xFF]] {
        let items: Vec<_> = Params::new(bytes).iter().collect();
        let [Ok(item)] = items[..] else {
            panic!("one item")
        };
        assert_eq!(Param::parse(item), Ok(Param::StateCookie(&[1])));
    }
}

#[test]
fn packets_shorter_than_a_common_header_have_nothing_in_them() {
    for length in 0..COMMON_HEADER {
        let packet = vec![0; length];
        assert_eq!(CommonHeader::parse(&packet), None);
        assert!(!checksum_ok(&packet));
        assert_eq!(chunks(&packet).count(), 0);
    }
    assert_eq!(chunks(&[0; COMMON_HEADER]).count(), 0);
}

#[test]
fn fixed_parts_must_be_whole() {
    let fixed_parts = [
        (kind::DATA, 12),
        (kind::I_DATA, 16),
        (kind::INIT, 16),
        (kind::INIT_ACK, 16),
        (kind::SACK, 12),
        (kind::HEARTBEAT, 4),
        (kind::HEARTBEAT_ACK, 4),
        (kind::SHUTDOWN, 4),
        (kind::FORWARD_TSN, 4),
        (kind::I_FORWARD_TSN, 4),
    ];
    for (kind, length) in fixed_parts {
        for short in 0..length {
            let packet = crafted(kind, 0, &vec![0; short]);
            assert!(only_chunk(&packet).is_err(), "type {kind}, {short} bytes");
        }
    }
}

#[test]
fn lists_must_be_whole_entries() {
    let lists = [
        (kind::SACK, 12, 4),
        (kind::FORWARD_TSN, 4, 4),
        (kind::I_FORWARD_TSN, 4, 8),
        (kind::SHUTDOWN, 4, 4),
        (kind::SHUTDOWN_ACK, 0, 4),
        (kind::COOKIE_ACK, 0, 4),
        (kind::SHUTDOWN_COMPLETE, 0, 4),
    ];
    for (kind, fixed, entry) in lists {
        assert!(only_chunk(&crafted(kind, 0, &vec![0; fixed])).is_ok());
        for excess in 1..entry {
            let packet = crafted(kind, 0, &vec![0; fixed + excess]);
            assert!(only_chunk(&packet).is_err(), "type {kind}, {excess} more");
        }
    }
}

#[test]
fn an_abort_full_of_empty_causes_is_walked_in_a_loop() {
    const COUNT: usize = (u16::MAX as usize - CHUNK_HEADER) / 4;
    let value = [0, 4, 0, 4].repeat(COUNT);
    let packet = crafted(kind::ABORT, 0, &value);
    walk(&packet);
    let Ok(Chunk::Abort { causes, .. }) = only_chunk(&packet) else {
        panic!("an ABORT")
    };
    assert_eq!(causes.iter().count(), COUNT);
    assert!(
        causes
            .iter()
            .all(|raw| Cause::parse(raw) == Ok(Cause::OutOfResource))
    );
}

#[test]
fn causes_nested_as_deep_as_a_chunk_holds_need_no_recursion() {
    const DEPTH: usize = (u16::MAX as usize - CHUNK_HEADER) / 4;
    let value: Vec<u8> = (1..=DEPTH as u16)
        .rev()
        .flat_map(|words| [[0, 8], (4 * words).to_be_bytes()])
        .flatten()
        .collect();
    let packet = crafted(kind::ERROR, 0, &value);
    walk(&packet);
    let Ok(Chunk::Error(causes)) = only_chunk(&packet) else {
        panic!("an ERROR")
    };
    let causes: Vec<_> = causes.iter().collect();
    let [cause] = causes[..] else {
        panic!("one cause")
    };
    let Ok(Cause::UnrecognizedParameters(mut params)) = Cause::parse(cause) else {
        panic!("unrecognized parameters")
    };
    let mut depth = 1;
    while let Some(param) = params.iter().next() {
        let Ok(Param::UnrecognizedParameter(inner)) = Param::parse(param.unwrap()) else {
            panic!("an unrecognized parameter")
        };
        params = Params::new(inner);
        depth += 1;
    }
    assert_eq!(depth, DEPTH);
}

#[test]
fn the_two_high_bits_say_what_to_do_with_the_unknown() {
    let table = [
        (0x3F, OnUnknown::Stop, true, false),
        (0x40, OnUnknown::StopAndReport, true, true),
        (0xBF, OnUnknown::Skip, false, false),
        (0xC0, OnUnknown::SkipAndReport, false, true),
    ];
    for (kind, action, stop, report) in table {
        assert_eq!(on_unknown_chunk(kind), action);
        assert_eq!(on_unknown_param(u16::from(kind) << 8 | 0x3F), action);
        assert_eq!((action.stop(), action.report()), (stop, report));
    }
}
