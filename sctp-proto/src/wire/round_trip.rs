//! The law of the codec, for property tests and fuzz targets: what was understood of a packet is
//! the same once written anew, and writing that anew changes no byte.

use super::*;
use crate::ids::{StreamId, Tsn};

/// Packets up to this length are written anew; the largest there is, is no better a test.
const LONGEST: usize = 16 * 1024;

/// Checks the law on any bytes; panics where it is broken.
pub fn check_round_trip(packet: &[u8]) {
    let Some(header) = CommonHeader::parse(packet) else {
        assert!(packet.len() < COMMON_HEADER);
        return;
    };
    let _ = checksum_ok(packet);
    let understood: Vec<Chunk<'_>> = chunks(packet)
        .map_while(Result::ok)
        .filter_map(|raw| Chunk::parse(raw).ok())
        .collect();
    if packet.len() > LONGEST {
        return;
    }
    let once = written(&header, &understood, packet);
    assert!(checksum_ok(&once));
    assert_eq!(CommonHeader::parse(&once), Some(header));
    let again: Vec<Chunk<'_>> = chunks(&once)
        .map(|raw| Chunk::parse(raw.expect("a chunk's form")).expect("a chunk"))
        .collect();
    assert_eq!(again.len(), understood.len());
    for (before, after) in understood.iter().zip(&again) {
        assert_eq!(describe(before, packet), describe(after, &once));
    }
    assert_eq!(written(&header, &again, &once), once, "no fixed point");
}

/// A packet of these chunks, which were parsed from `packet`.
fn written(header: &CommonHeader, chunks: &[Chunk<'_>], packet: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = PacketWriter::new(&mut bytes, 4 * LONGEST, header);
    for chunk in chunks {
        write(&mut writer, chunk, packet);
    }
    assert_eq!(writer.finish(), bytes.len());
    bytes
}

fn write(writer: &mut PacketWriter<'_>, chunk: &Chunk<'_>, packet: &[u8]) {
    match chunk {
        Chunk::Data(data) => writer.data(&fields(data), &packet[data.payload.clone()]),
        Chunk::IData(data) => writer.i_data(&fields(data), &packet[data.payload.clone()]),
        Chunk::Init(init) | Chunk::InitAck(init) => {
            let fixed = InitFields {
                initiate_tag: init.initiate_tag,
                a_rwnd: init.a_rwnd,
                outbound_streams: init.outbound_streams,
                inbound_streams: init.inbound_streams,
                initial_tsn: init.initial_tsn,
            };
            let mut params = ParamWriter::new();
            for raw in init.params.iter().map_while(Result::ok) {
                params.raw(raw.raw);
            }
            let kind = match chunk {
                Chunk::Init(_) => kind::INIT,
                _ => kind::INIT_ACK,
            };
            writer.init(kind, &fixed, &params);
        }
        Chunk::Sack(sack) => {
            let gaps: Vec<(u16, u16)> = sack.gap_blocks().collect();
            let duplicates: Vec<Tsn> = sack.duplicates().collect();
            assert_eq!(gaps.len(), sack.gap_block_count());
            writer.sack(sack.cumulative, sack.a_rwnd, &gaps, &duplicates);
        }
        Chunk::NrSack(sack) => {
            let gaps: Vec<(u16, u16)> = sack.gap_blocks().collect();
            let nr_gaps: Vec<(u16, u16)> = sack.nr_gap_blocks().collect();
            let duplicates: Vec<Tsn> = sack.duplicates().collect();
            writer.nr_sack(sack.cumulative, sack.a_rwnd, &gaps, &nr_gaps, &duplicates);
        }
        Chunk::Heartbeat(info) => writer.heartbeat(kind::HEARTBEAT, info),
        Chunk::HeartbeatAck(info) => writer.heartbeat(kind::HEARTBEAT_ACK, info),
        Chunk::Abort { t_bit, causes } => writer.abort(*t_bit, &rewrite(causes)),
        Chunk::Shutdown { cumulative } => writer.shutdown(*cumulative),
        Chunk::Ecne(tsn) => writer.ecne(*tsn),
        Chunk::Cwr(tsn) => writer.cwr(*tsn),
        Chunk::ShutdownAck => writer.shutdown_ack(),
        Chunk::Error(causes) => writer.error(&rewrite(causes)),
        Chunk::CookieEcho(cookie) => writer.cookie_echo(cookie),
        Chunk::CookieAck => writer.cookie_ack(),
        Chunk::ShutdownComplete { t_bit } => writer.shutdown_complete(*t_bit),
        Chunk::ForwardTsn(forward) => {
            let skipped: Vec<(StreamId, u16)> = forward.skipped().collect();
            writer.forward_tsn(forward.new_cumulative, &skipped);
        }
        Chunk::IForwardTsn(forward) => {
            let skipped: Vec<(StreamId, bool, u32)> = forward.skipped().collect();
            writer.i_forward_tsn(forward.new_cumulative, &skipped);
        }
        Chunk::ReConfig(reconfig) => writer.reconfig(rewrite_reconfig(reconfig).as_bytes()),
        Chunk::Auth(auth) => writer.auth(auth),
        Chunk::Pad(padding) => writer.chunk(kind::PAD, 0, padding),
        Chunk::Asconf(asconf) => writer.asconf(&rewrite_asconf(asconf)),
        Chunk::AsconfAck(ack) => writer.asconf_ack(&rewrite_asconf_ack(ack)),
        Chunk::Unknown(raw) => writer.chunk(raw.kind, raw.flags, raw.value),
    }
}

fn fields(data: &Data) -> DataFields {
    DataFields {
        tsn: data.tsn,
        stream: data.stream,
        seq: data.seq,
        fsn: data.fsn,
        ppid: data.ppid,
        unordered: data.unordered,
        begin: data.begin,
        end: data.end,
        immediate: data.immediate,
    }
}

/// Causes with their information as the writer cuts it.
fn rewrite(causes: &Causes<'_>) -> CauseWriter {
    let mut writer = CauseWriter::new();
    for cause in causes.iter() {
        writer.cause(cause.code, cause.info);
    }
    writer
}

/// An ASCONF out of what parsing told of it. Requests of types that nobody here sends are left out.
fn rewrite_asconf(asconf: &Asconf<'_>) -> Vec<u8> {
    let mut requests = AsconfWriter::new();
    for request in asconf.requests().map_while(Result::ok) {
        requests.request(request.correlation, request.change);
    }
    asconf_value(asconf.seq, asconf.lookup, &requests)
}

/// An ASCONF-ACK, likewise.
fn rewrite_asconf_ack(ack: &AsconfAck<'_>) -> Vec<u8> {
    let mut answers = AsconfWriter::new();
    for answer in ack.answers().map_while(Result::ok) {
        match answer {
            AsconfAnswer::Success { correlation } => _ = answers.success(correlation),
            AsconfAnswer::Error {
                correlation,
                causes,
            } => _ = answers.error(correlation, rewrite(&causes).as_bytes()),
            AsconfAnswer::Unknown(_) => {}
        }
    }
    asconf_ack_value(ack.seq, &answers)
}

/// The parameters of a RE-CONFIG, out of what parsing told of them.
pub fn rewrite_reconfig(reconfig: &ReConfig<'_>) -> ReConfigWriter {
    let mut writer = ReConfigWriter::new();
    for param in reconfig.params().map_while(Result::ok) {
        match param {
            ReConfigParam::OutgoingReset {
                request_seq,
                response_seq,
                last_tsn,
                streams,
            } => {
                let streams: Vec<StreamId> = streams.iter().collect();
                writer.outgoing_reset(request_seq, response_seq, last_tsn, &streams);
            }
            ReConfigParam::IncomingReset {
                request_seq,
                streams,
            } => {
                let streams: Vec<StreamId> = streams.iter().collect();
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
            // The writer knows what we send, and this is not.
            ReConfigParam::Unknown(_) => {}
        }
    }
    writer
}

/// A chunk in words that do not depend on where in a packet it lies or how it is padded.
fn describe(chunk: &Chunk<'_>, packet: &[u8]) -> String {
    match chunk {
        Chunk::Data(data) | Chunk::IData(data) => {
            let interleaved = matches!(chunk, Chunk::IData(_));
            let payload = &packet[data.payload.clone()];
            format!("{interleaved} {:?} {payload:?}", fields(data))
        }
        Chunk::Init(init) | Chunk::InitAck(init) => {
            let params: Vec<_> = init
                .params
                .iter()
                .map_while(Result::ok)
                .map(|raw| raw.raw)
                .collect();
            format!(
                "{} {} {} {} {} {:?} {params:?}",
                matches!(chunk, Chunk::Init(_)),
                init.initiate_tag,
                init.a_rwnd,
                init.outbound_streams,
                init.inbound_streams,
                init.initial_tsn
            )
        }
        Chunk::Abort { t_bit, causes } => format!("{t_bit} {:?}", rewrite(causes)),
        Chunk::Error(causes) => format!("{:?}", rewrite(causes)),
        Chunk::ReConfig(reconfig) => format!("{:?}", rewrite_reconfig(reconfig)),
        Chunk::Asconf(asconf) => format!("ASCONF {:?}", rewrite_asconf(asconf)),
        Chunk::AsconfAck(ack) => format!("ASCONF-ACK {:?}", rewrite_asconf_ack(ack)),
        // Their reserved bits are ignored.
        Chunk::ForwardTsn(forward) => {
            format!(
                "{:?} {:?}",
                forward.new_cumulative,
                forward.skipped().collect::<Vec<_>>()
            )
        }
        Chunk::IForwardTsn(forward) => {
            format!(
                "I {:?} {:?}",
                forward.new_cumulative,
                forward.skipped().collect::<Vec<_>>()
            )
        }
        Chunk::Unknown(raw) => format!("{} {} {:?}", raw.kind, raw.flags, raw.value),
        chunk => format!("{chunk:?}"),
    }
}
