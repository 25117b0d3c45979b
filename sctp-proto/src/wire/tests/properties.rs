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

/// Writes a parsed chunk again, out of what parsing told of it.
fn rewrite(chunk: &Chunk<'_>, packet: &[u8], writer: &mut PacketWriter<'_>) {
    let fields = |data: &Data| DataFields {
        tsn: data.tsn,
        stream: data.stream,
        seq: data.seq,
        fsn: data.fsn,
        ppid: data.ppid,
        unordered: data.unordered,
        begin: data.begin,
        end: data.end,
        immediate: data.immediate,
    };
    let rewrite_init = |kind, init: &Init<'_>, writer: &mut PacketWriter<'_>| {
        let mut params = ParamWriter::new();
        for param in init.params.iter().map_while(Result::ok) {
            params.param(param.kind, param.value);
        }
        let fixed = InitFields {
            initiate_tag: init.initiate_tag,
            a_rwnd: init.a_rwnd,
            outbound_streams: init.outbound_streams,
            inbound_streams: init.inbound_streams,
            initial_tsn: init.initial_tsn,
        };
        writer.init(kind, &fixed, &params);
    };
    let rewrite_causes = |causes: &Causes<'_>| {
        let mut writer = CauseWriter::new();
        for cause in causes.iter() {
            writer.cause(cause.code, cause.info);
        }
        writer
    };
    match chunk {
        Chunk::Data(data) => writer.data(&fields(data), &packet[data.payload.clone()]),
        Chunk::IData(data) => writer.i_data(&fields(data), &packet[data.payload.clone()]),
        Chunk::Init(init) => rewrite_init(kind::INIT, init, writer),
        Chunk::InitAck(init) => rewrite_init(kind::INIT_ACK, init, writer),
        Chunk::Sack(sack) => {
            let gaps: Vec<_> = sack.gap_blocks().collect();
            let duplicates: Vec<_> = sack.duplicates().collect();
            writer.sack(sack.cumulative, sack.a_rwnd, &gaps, &duplicates);
        }
        Chunk::Heartbeat(info) => writer.heartbeat(kind::HEARTBEAT, info),
        Chunk::HeartbeatAck(info) => writer.heartbeat(kind::HEARTBEAT_ACK, info),
        Chunk::Abort { t_bit, causes } => writer.abort(*t_bit, &rewrite_causes(causes)),
        Chunk::Shutdown { cumulative } => writer.shutdown(*cumulative),
        Chunk::ShutdownAck => writer.shutdown_ack(),
        Chunk::Error(causes) => writer.error(&rewrite_causes(causes)),
        Chunk::CookieEcho(cookie) => writer.cookie_echo(cookie),
        Chunk::CookieAck => writer.cookie_ack(),
        Chunk::ShutdownComplete { t_bit } => writer.shutdown_complete(*t_bit),
        Chunk::ForwardTsn(forward) => {
            let skipped: Vec<_> = forward.skipped().collect();
            writer.forward_tsn(forward.new_cumulative, &skipped);
        }
        Chunk::IForwardTsn(forward) => {
            let skipped: Vec<_> = forward.skipped().collect();
            writer.i_forward_tsn(forward.new_cumulative, &skipped);
        }
        Chunk::ReConfig(reconfig) => {
            let mut params = ReConfigWriter::new();
            for param in reconfig.params().flatten() {
                rewrite_reconfig_param(param, &mut params);
            }
            writer.reconfig(params.as_bytes());
        }
        Chunk::Unknown(raw) => writer.chunk(raw.kind, raw.flags, raw.value),
    }
}

fn rewrite_reconfig_param(param: ReConfigParam<'_>, writer: &mut ReConfigWriter) {
    match param {
        ReConfigParam::OutgoingReset {
            request_seq,
            response_seq,
            last_tsn,
            streams,
        } => {
            let streams: Vec<_> = streams.iter().collect();
            writer.outgoing_reset(request_seq, response_seq, last_tsn, &streams);
        }
        ReConfigParam::IncomingReset {
            request_seq,
            streams,
        } => {
            let streams: Vec<_> = streams.iter().collect();
            writer.incoming_reset(request_seq, &streams);
        }
        ReConfigParam::TsnReset { request_seq } => {
            writer.tsn_reset(request_seq);
        }
        ReConfigParam::Response {
            response_seq,
            result,
            tsns,
        } => {
            writer.response(response_seq, result, tsns);
        }
        ReConfigParam::AddOutgoing { request_seq, count } => {
            writer.add_outgoing(request_seq, count);
        }
        ReConfigParam::AddIncoming { request_seq, count } => {
            writer.add_incoming(request_seq, count);
        }
        ReConfigParam::Unknown(_) => {}
    }
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

    /// What the parser takes for a chunk, the writer can say; and saying it twice changes nothing.
    #[test]
    fn writing_what_was_parsed_is_a_fixed_point(
        kind in select(&KINDS),
        flags: u8,
        value in chunk_value(),
    ) {
        let original = crafted(kind, flags, &value);
        let Ok(parsed) = only_chunk(&original) else { return Ok(()) };
        let once = packet(|writer| rewrite(&parsed, &original, writer));
        let again = only_chunk(&once).expect("what was written is well-formed");
        let twice = packet(|writer| rewrite(&again, &once, writer));
        prop_assert_eq!(&once, &twice);
        // Padding, reserved bits and malformed tails of parameters are not kept; all else is.
        match (&parsed, &again) {
            (Chunk::Init(a), Chunk::Init(b)) | (Chunk::InitAck(a), Chunk::InitAck(b)) => {
                let a: Vec<_> = a.params.iter().map_while(Result::ok).collect();
                let b: Vec<_> = b.params.iter().map(Result::unwrap).collect();
                prop_assert_eq!(a, b);
            }
            (Chunk::Abort { causes: a, .. }, Chunk::Abort { causes: b, .. })
            | (Chunk::Error(a), Chunk::Error(b)) => {
                prop_assert!(a.iter().eq(b.iter()));
            }
            (Chunk::ReConfig(a), Chunk::ReConfig(b)) => {
                let known = |param: &ReConfigParam<'_>| !matches!(param, ReConfigParam::Unknown(_));
                let a: Vec<_> = a.params().flatten().filter(known).collect();
                let b: Vec<_> = b.params().map(Result::unwrap).collect();
                prop_assert_eq!(a, b);
            }
            (Chunk::IForwardTsn(a), Chunk::IForwardTsn(b)) => {
                prop_assert_eq!(a.new_cumulative, b.new_cumulative);
                prop_assert!(a.skipped().eq(b.skipped()));
            }
            _ => prop_assert_eq!(&parsed, &again),
        }
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
    fn sack_counts_must_account_for_the_length(
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
