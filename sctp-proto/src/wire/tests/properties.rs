//! What holds for any chunk, and for any bytes.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

/// Every chunk type that is parsed, and some that are not.
const KINDS: [u8; 23] = [
    kind::DATA,
    kind::INIT,
    kind::INIT_ACK,
    kind::SACK,
    kind::HEARTBEAT,
    kind::HEARTBEAT_ACK,
    kind::ABORT,
    kind::SHUTDOWN,
    kind::SHUTDOWN_ACK,
    kind::ERROR,
    kind::COOKIE_ECHO,
    kind::COOKIE_ACK,
    kind::ECNE,
    kind::SHUTDOWN_COMPLETE,
    kind::AUTH,
    kind::I_DATA,
    kind::ASCONF_ACK,
    kind::RE_CONFIG,
    kind::PAD,
    kind::FORWARD_TSN,
    kind::ASCONF,
    kind::I_FORWARD_TSN,
    255,
];

/// Bytes that make true lengths and counts likely.
fn plausible_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => Just(0), 4 => 1_u8..=20, 1 => any::<u8>()];
    vec(byte, 0..=48)
}

/// Parameters or causes with true lengths.
fn items() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![0_u16..=20, 0x7FFE_u16..=0x8009, 0xC000_u16..=0xC008];
    vec((kind, plausible_bytes()), 0..5).prop_map(|items| {
        let mut params = ParamWriter::new();
        for (kind, value) in &items {
            params.param(*kind, value);
        }
        params.as_bytes().to_vec()
    })
}

fn chunk_value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        plausible_bytes(),
        items(),
        (vec(any::<u8>(), 16), items()).prop_map(|(fixed, items)| [fixed, items].concat()),
        (
            any::<[u8; 8]>(),
            0_u16..4,
            0_u16..4,
            vec(any::<u32>(), 0..7)
        )
            .prop_map(|(fixed, gaps, duplicates, list)| {
                let mut value = fixed.to_vec();
                value.extend(gaps.to_be_bytes());
                value.extend(duplicates.to_be_bytes());
                value.extend(list.iter().flat_map(|entry| entry.to_be_bytes()));
                value
            }),
    ]
}

fn data_fields() -> impl Strategy<Value = DataFields> {
    let numbers = any::<(u32, u16, u32, u32, u32)>();
    (numbers, any::<[bool; 4]>()).prop_map(
        |((tsn, stream, seq, fsn, ppid), [unordered, begin, end, immediate])| DataFields {
            tsn: Tsn::new(tsn),
            stream: StreamId(stream),
            seq,
            fsn,
            ppid: Ppid(ppid),
            unordered,
            begin,
            end,
            immediate,
        },
    )
}

proptest! {
    #[test]
    fn no_bytes_break_the_walk(chunks in vec(any::<u8>(), 0..200)) {
        let mut packet = packet(|_| {});
        packet.extend(chunks);
        walk(&packet);
    }

    #[test]
    fn no_plausible_chunk_breaks_the_walk(
        chunks in vec((select(&KINDS), any::<u8>(), chunk_value(), 0_u16..6), 1..4),
    ) {
        let mut packet = packet(|_| {});
        for (kind, flags, value, error) in chunks {
            // One length in three is off by one or two.
            let length = (CHUNK_HEADER + value.len()) as u16;
            let length = if error < 2 { length - error } else { length };
            packet.extend(forged(kind, flags, length, &value).split_off(COMMON_HEADER));
            packet.resize(packet.len().next_multiple_of(4), 0xFF);
        }
        walk(&packet);
    }

    /// CVE-2019-20503: a validator and a parser of different minds. What the parser takes for a
    /// chunk, the writer can say; and saying it twice changes nothing.
    #[test]
    fn threat_01_writing_what_was_parsed_is_a_fixed_point(
        chunks in vec((select(&KINDS), any::<u8>(), chunk_value()), 1..4),
    ) {
        let mut packet = packet(|_| {});
        for (kind, flags, value) in chunks {
            packet.extend(crafted(kind, flags, &value).split_off(COMMON_HEADER));
            packet.resize(packet.len().next_multiple_of(4), 0xFF);
        }
        check_round_trip(&packet);
    }

    #[test]
    fn threat_01_no_bytes_are_written_otherwise_than_they_were_understood(
        bytes in vec(prop_oneof![3 => 0_u8..20, 1 => any::<u8>()], 0..200),
    ) {
        check_round_trip(&bytes);
    }

    #[test]
    fn data_survives_the_wire(fields in data_fields(), payload in vec(any::<u8>(), 0..50)) {
        let bytes = packet(|packet| {
            packet.data(&fields, &payload);
            packet.i_data(&fields, &payload);
        });
        let parsed: Vec<_> = chunks(&bytes)
            .map(|raw| Chunk::parse(raw.unwrap()).unwrap())
            .collect();
        let [Chunk::Data(data), Chunk::IData(i_data)] = &parsed[..] else {
            panic!("DATA and I-DATA")
        };
        for parsed in [data, i_data] {
            prop_assert_eq!(&bytes[parsed.payload.clone()], &payload);
            prop_assert_eq!(parsed.tsn, fields.tsn);
            prop_assert_eq!(parsed.stream, fields.stream);
            prop_assert_eq!(
                [parsed.unordered, parsed.begin, parsed.end, parsed.immediate],
                [fields.unordered, fields.begin, fields.end, fields.immediate]
            );
        }
        prop_assert_eq!((data.seq, data.fsn, data.ppid), (fields.seq & 0xFFFF, 0, fields.ppid));
        let (fsn, ppid) = if fields.begin { (0, fields.ppid) } else { (fields.fsn, Ppid(0)) };
        prop_assert_eq!((i_data.seq, i_data.fsn, i_data.ppid), (fields.seq, fsn, ppid));
    }

    #[test]
    fn a_sack_survives_the_wire(
        cumulative: u32,
        a_rwnd: u32,
        gaps in vec(any::<(u16, u16)>(), 0..20),
        duplicates in vec(any::<u32>().prop_map(Tsn::new), 0..20),
    ) {
        let bytes = packet(|packet| {
            let before = packet.remaining();
            packet.sack(Tsn::new(cumulative), a_rwnd, &gaps, &duplicates);
            let size = PacketWriter::sack_size(gaps.len(), duplicates.len());
            assert_eq!(before - packet.remaining(), size);
        });
        let Ok(Chunk::Sack(sack)) = only_chunk(&bytes) else { panic!("a SACK") };
        prop_assert_eq!((sack.cumulative.value(), sack.a_rwnd), (cumulative, a_rwnd));
        prop_assert!(sack.gap_blocks().eq(gaps));
        prop_assert!(sack.duplicates().eq(duplicates));
    }

    #[test]
    fn threat_08_sack_counts_must_account_for_the_length(
        gaps in prop_oneof![0_u16..6, any::<u16>()],
        duplicates in prop_oneof![0_u16..6, any::<u16>()],
        entries in 0_usize..10,
    ) {
        let mut value = vec![0; 8];
        value.extend(gaps.to_be_bytes());
        value.extend(duplicates.to_be_bytes());
        value.extend(vec![0; 4 * entries]);
        let packet = crafted(kind::SACK, 0, &value);
        let true_counts = usize::from(gaps) + usize::from(duplicates) == entries;
        prop_assert_eq!(only_chunk(&packet).is_ok(), true_counts);
    }

    #[test]
    fn parameters_survive_the_wire(v4: [u8; 4], v6: [u8; 16], cookie: Vec<u8>, number: u32) {
        let (v4, v6) = (Ipv4Addr::from(v4), Ipv6Addr::from(v6));
        let mut params = ParamWriter::new();
        params.state_cookie(&cookie).ipv4_address(v4).ipv6_address(v6).zero_checksum(number);
        params.supported_extensions(&cookie).adaptation_layer(number).forward_tsn_supported();
        let parsed: Vec<_> = Params::new(params.as_bytes())
            .iter()
            .map(|raw| Param::parse(raw.unwrap()).unwrap())
            .collect();
        let v6 = v6.to_ipv4_mapped().map_or(Param::Ipv6Address(v6), Param::Ipv4Address);
        prop_assert_eq!(parsed, [
            Param::StateCookie(&cookie),
            Param::Ipv4Address(v4),
            v6,
            Param::ZeroChecksum(number),
            Param::SupportedExtensions(&cookie),
            Param::AdaptationLayer(number),
            Param::ForwardTsnSupported,
        ]);
    }

    #[test]
    fn any_flipped_bit_fails_the_checksum(payload in vec(any::<u8>(), 1..100), bit: prop::sample::Index) {
        let mut packet = packet(|packet| packet.data(&fields(1), &payload));
        let bit = bit.index(8 * packet.len());
        packet[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!checksum_ok(&packet));
    }
}
