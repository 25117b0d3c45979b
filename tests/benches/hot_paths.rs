//! The parts that every packet passes, each alone: `cargo bench -p sctp-tests`.
//!
//! Where one run handles several packets or chunks, the counter says how many, so that what is printed
//! is a rate of those.

use std::{net::SocketAddr, sync::Arc};

use bytes::{Bytes, BytesMut};
use divan::{Bencher, counter::ItemsCount};
use sctp_proto::{
    AssociationConfig, DatagramEvent, DatagramMeta, Endpoint, EndpointConfig, Instant,
    LossDetection, PathId, Ppid, SchedulerKind, SendInfo, ServerConfig, SocketId, StreamId, Tsn,
    internals::{
        rx::{GapBlocks, Reassembly, RxChunk, TsnMap},
        tx::{AckOutcome, Outstanding, SendQueue},
        wire::{
            Chunk, CommonHeader, DATA_HEADER, DataFields, InitFields, PacketWriter, Param,
            ParamWriter, checksum_ok, chunks, kind,
        },
    },
};

/// User data of a full packet.
const FULL: usize = 1440;
const PACKET: usize = 1472;
/// Chunks in one run of what is measured by the chunk.
const CHUNKS: u32 = 1024;
const INITIAL: Tsn = Tsn::new(u32::MAX - 100);
const PATH: PathId = PathId::from_index(0);

const HEADER: CommonHeader = CommonHeader {
    source_port: 50_000,
    destination_port: 80,
    verification_tag: 1,
};

fn main() {
    divan::main();
}

fn config() -> AssociationConfig {
    let mut config = AssociationConfig::default();
    config
        .send_buffer(usize::MAX)
        .stream_send_buffer(usize::MAX)
        .receive_window(u32::MAX);
    config
}

fn fields(tsn: Tsn) -> DataFields {
    DataFields {
        tsn,
        stream: StreamId(0),
        seq: 0,
        fsn: 0,
        ppid: Ppid(0),
        unordered: false,
        begin: true,
        end: true,
        immediate: false,
    }
}

/// As many chunks of `payload` bytes as fit a packet.
fn data_packet(payload: usize, buf: &mut Vec<u8>) {
    let payload = &[7; FULL][..payload];
    let mut packet = PacketWriter::new(buf, PACKET, &HEADER);
    while packet.remaining() >= DATA_HEADER + payload.len() {
        packet.data(&fields(INITIAL), payload);
    }
    packet.finish();
}

mod packet {
    use super::*;

    /// Written with its checksum.
    #[divan::bench(args = [64, FULL])]
    fn build(bencher: Bencher<'_, '_>, payload: usize) {
        let mut buf = Vec::with_capacity(PACKET);
        bencher.bench_local(move || {
            buf.clear();
            data_packet(payload, &mut buf);
            buf.len()
        });
    }

    /// The checksum verified and every chunk parsed.
    #[divan::bench(args = [64, FULL])]
    fn parse(bencher: Bencher<'_, '_>, payload: usize) {
        let mut packet = Vec::new();
        data_packet(payload, &mut packet);
        bencher.bench_local(move || {
            assert!(checksum_ok(&packet));
            let parsed = chunks(&packet).filter(|raw| raw.and_then(Chunk::parse).is_ok());
            parsed.count()
        });
    }

    #[divan::bench(args = [64, PACKET, 9000])]
    fn crc32c(bencher: Bencher<'_, '_>, len: usize) {
        let packet = vec![7; len];
        bencher.bench_local(move || checksum_ok(&packet));
    }
}

mod tx {
    use super::*;

    /// A queue of `CHUNKS` messages over as many streams as given.
    fn queue(scheduler: SchedulerKind, streams: u16) -> SendQueue {
        let mut config = config();
        config.scheduler(scheduler).outbound_streams(1024);
        let mut queue = SendQueue::new(&config);
        queue.negotiated(1024, false);
        for message in 0..CHUNKS {
            let stream = StreamId(message as u16 % streams);
            let data = Bytes::from_static(&[7; 64]);
            queue
                .push(Instant::EPOCH, stream, data, SendInfo::default())
                .expect("room");
        }
        queue
    }

    fn send_all(queue: &mut SendQueue) -> Outstanding {
        let mut window = Outstanding::new(INITIAL, false, LossDetection::default());
        while let Some(fragment) = queue.next_fragment(Instant::EPOCH, FULL, FULL) {
            window.push(Instant::EPOCH, &fragment, PATH);
        }
        window
    }

    /// The scheduler picks a stream and the next TSN is given, per message.
    #[divan::bench(args = [1, 100, 1024])]
    fn next_fragment(bencher: Bencher<'_, '_>, streams: u16) {
        bencher
            .counter(ItemsCount::new(CHUNKS))
            .with_inputs(|| queue(SchedulerKind::FairBandwidth, streams))
            .bench_local_values(|mut queue| (send_all(&mut queue), queue));
    }

    /// One SACK that leaves out every so many-th chunk and then one for all, per chunk.
    #[divan::bench(args = [2, 16, 1024])]
    fn sack_with_gaps(bencher: Bencher<'_, '_>, every: u32) {
        let gaps: Vec<(u16, u16)> = (1..=CHUNKS as u16)
            .step_by(every as usize)
            .map(|missing| (missing + 1, missing + every as u16 - 1))
            .collect();
        let last = INITIAL.plus(CHUNKS - 1);
        let mut outcome = AckOutcome::default();
        bencher
            .counter(ItemsCount::new(CHUNKS))
            .with_inputs(|| {
                let mut queue = queue(SchedulerKind::FirstComeFirstServed, 1);
                (send_all(&mut queue), queue)
            })
            .bench_local_values(move |(mut window, mut queue)| {
                let gaps = gaps.iter().copied();
                for (cumulative, gaps) in [(INITIAL.previous(), Some(gaps)), (last, None)] {
                    outcome.clear();
                    let gaps = gaps.into_iter().flatten();
                    let now = Instant::EPOCH;
                    window
                        .apply_sack(now, cumulative, gaps, &mut queue, false, &mut outcome)
                        .expect("sent");
                }
                assert!(window.is_empty());
                (window, queue)
            });
    }
}

mod rx {
    use super::*;

    /// TSNs in order, or each so many of them reversed, with the gap blocks read after each sixteenth;
    /// per TSN.
    #[divan::bench(args = [1, 2, 64])]
    fn tsn_map(bencher: Bencher<'_, '_>, reversed: u32) {
        let mut gaps = GapBlocks::new();
        bencher
            .counter(ItemsCount::new(CHUNKS))
            .with_inputs(|| TsnMap::new(INITIAL))
            .bench_local_values(|mut map| {
                for distance in 0..CHUNKS {
                    map.insert(INITIAL.plus(distance ^ (reversed - 1)));
                    if distance % 16 == 0 {
                        map.gap_blocks(16, &mut gaps);
                    }
                }
                map
            });
    }

    /// How the fragments of messages come.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Arrival {
        /// One fragment is a message.
        Whole,
        InOrder,
        /// The last fragment of each message first.
        Reversed,
    }

    /// Messages inserted and read, per chunk.
    #[divan::bench(args = [Arrival::Whole, Arrival::InOrder, Arrival::Reversed])]
    fn reassembly(bencher: Bencher<'_, '_>, arrival: Arrival) {
        let fragments = if arrival == Arrival::Whole { 1 } else { 12 };
        let reversed = arrival == Arrival::Reversed;
        let datagram = Bytes::from(vec![7; PACKET]);
        let chunk = |message: u32, fragment: u32| RxChunk {
            tsn: INITIAL.plus(message * fragments + fragment),
            stream: StreamId(0),
            unordered: false,
            begin: fragment == 0,
            end: fragment + 1 == fragments,
            seq: message,
            fsn: fragment,
            ppid: Ppid(0),
            payload: datagram.slice(PACKET - FULL..),
            buffer: PACKET as u32,
            cumulative: arrival != Arrival::Reversed,
        };
        let messages = CHUNKS / fragments;
        bencher
            .counter(ItemsCount::new(messages * fragments))
            .with_inputs(|| Reassembly::new(&config(), 1, true))
            .bench_local_values(|mut rx| {
                for message in 0..messages {
                    for fragment in 0..fragments {
                        let fragment = if reversed {
                            fragments - 1 - fragment
                        } else {
                            fragment
                        };
                        rx.insert(chunk(message, fragment)).expect("room");
                    }
                    rx.on_cumulative(INITIAL.plus((message + 1) * fragments - 1));
                    assert!(rx.recv(StreamId(0)).is_some());
                }
                rx
            });
    }
}

/// A server's answers to the two packets that a client sends to be let in.
mod handshake {
    use super::*;

    fn server() -> Endpoint {
        let mut config = EndpointConfig::default();
        config.setups_per_source(u32::MAX);
        Endpoint::new(
            Arc::new(config),
            Some(Arc::new(ServerConfig::default())),
            [7; 32],
        )
    }

    fn meta() -> DatagramMeta {
        DatagramMeta {
            remote: SocketAddr::from(([192, 0, 2, 1], 9899)),
            socket: SocketId(0),
            local_ip: None,
            interface: None,
            ecn: None,
        }
    }

    fn init() -> Vec<u8> {
        let mut buf = Vec::new();
        let header = CommonHeader {
            verification_tag: 0,
            ..HEADER
        };
        let fields = InitFields {
            initiate_tag: 1,
            a_rwnd: 1 << 20,
            outbound_streams: 10,
            inbound_streams: 10,
            initial_tsn: INITIAL,
        };
        let mut packet = PacketWriter::new(&mut buf, PACKET, &header);
        packet.init(kind::INIT, &fields, &ParamWriter::new());
        packet.finish();
        buf
    }

    /// Tag and cookie of an INIT ACK.
    fn cookie_of(packet: &[u8]) -> Option<(u32, Vec<u8>)> {
        let Ok(Chunk::InitAck(ack)) = Chunk::parse(chunks(packet).next()?.ok()?) else {
            return None;
        };
        let mut params = ack.params.iter().map_while(Result::ok).map(Param::parse);
        params.find_map(|param| match param {
            Ok(Param::StateCookie(cookie)) => Some((ack.initiate_tag, cookie.to_vec())),
            _ => None,
        })
    }

    /// INIT to INIT ACK: a cookie is made.
    #[divan::bench]
    fn init_to_init_ack(bencher: Bencher<'_, '_>) {
        let (mut server, init, mut buf) = (server(), init(), Vec::new());
        bencher
            .with_inputs(|| BytesMut::from(&init[..]))
            .bench_local_values(|init| {
                buf.clear();
                server.handle_datagram(Instant::EPOCH, meta(), init, &mut buf)
            });
    }

    /// COOKIE ECHO to an association that is asked for: the cookie is checked.
    #[divan::bench]
    fn cookie_echo_to_incoming(bencher: Bencher<'_, '_>) {
        let mut buf = Vec::new();
        let mut server = server();
        let init = BytesMut::from(&init()[..]);
        server.handle_datagram(Instant::EPOCH, meta(), init, &mut buf);
        let (tag, cookie) = cookie_of(&buf).expect("an INIT ACK");
        let mut echo = Vec::new();
        let header = CommonHeader {
            verification_tag: tag,
            ..HEADER
        };
        let mut packet = PacketWriter::new(&mut echo, PACKET, &header);
        packet.cookie_echo(&cookie);
        packet.finish();
        bencher
            .with_inputs(|| BytesMut::from(&echo[..]))
            .bench_local_values(|echo| {
                buf.clear();
                match server.handle_datagram(Instant::EPOCH, meta(), echo, &mut buf) {
                    Some(DatagramEvent::New(incoming)) => server.ignore(incoming),
                    other => panic!("not let in: {other:?}"),
                }
            });
    }
}
