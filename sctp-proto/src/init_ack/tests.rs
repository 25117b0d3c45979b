use std::{net::SocketAddr, time::Duration};

use super::*;
use crate::{
    capabilities::InitKind,
    config::EndpointConfig,
    cookie::{CookieContext, Freshness},
    ids::SocketId,
    wire::{Chunk, checksum_ok, chunks},
};

const NOW: Instant = Instant::from_nanos(5_000_000_000);
const PORTS: Ports = Ports {
    local: 80,
    remote: 50_000,
};
const LOCAL_TAG: u32 = 0xCAFE;

fn meta(remote: &str) -> DatagramMeta {
    DatagramMeta {
        remote: remote.parse().unwrap(),
        socket: SocketId(3),
        local_ip: Some([198, 51, 100, 9].into()),
        interface: None,
        ecn: None,
    }
}

fn init_packet(params: &ParamWriter) -> Vec<u8> {
    let header = CommonHeader {
        source_port: PORTS.remote,
        destination_port: PORTS.local,
        verification_tag: 0,
    };
    let fixed = InitFields {
        initiate_tag: 0xBEEF,
        a_rwnd: 70_000,
        outbound_streams: 5,
        inbound_streams: 6,
        initial_tsn: Tsn::new(77),
    };
    let mut buf = Vec::new();
    let mut packet = PacketWriter::new(&mut buf, 4096, &header);
    packet.init(kind::INIT, &fixed, params);
    packet.finish();
    buf
}

fn only_chunk(packet: &[u8]) -> Chunk<'_> {
    let mut chunks = chunks(packet);
    let first = chunks.next().unwrap().unwrap();
    assert!(chunks.next().is_none());
    Chunk::parse(first).unwrap()
}

/// The INIT ACK that answers an INIT with these parameters.
fn answer(jar: &CookieJar, from: &str, params: &ParamWriter) -> (Vec<u8>, Transmit) {
    let packet = init_packet(params);
    let Chunk::Init(init) = only_chunk(&packet) else {
        panic!("no INIT");
    };
    let peer = PeerParams::parse(&init, InitKind::Init, offered()).unwrap();
    let mut config = AssociationConfig::default();
    config.outbound_streams(10).max_inbound_streams(4);
    let this_side = InitAck {
        cookies: jar,
        config: &config,
        local_tag: LOCAL_TAG,
        local_initial_tsn: Tsn::new(1234),
        tie_tags: (0, 0),
        locals: &Locals::default(),
    };
    let mut buf = Vec::new();
    let transmit = this_side.write(NOW, &meta(from), PORTS, &init, &peer, &mut buf);
    (buf, transmit)
}

fn jar() -> CookieJar {
    CookieJar::new(&EndpointConfig::default(), [1; 32])
}

//= RFC 9260 §5.1, test
//# Moreover, "Z" MUST generate and send along with the...
//= RFC 9260 §3.3.3.1.1, test
//# This parameter value MUST contain all the necessary state...
#[test]
fn says_what_the_cookie_remembers() {
    let jar = jar();
    let mut params = ParamWriter::new();
    params
        .supported_extensions(&[kind::I_DATA, kind::RE_CONFIG, kind::AUTH])
        .cookie_preservative(Duration::from_secs(1))
        .ipv4_address([203, 0, 113, 5].into());
    let (packet, transmit) = answer(&jar, "192.0.2.7:9899", &params);

    assert!(checksum_ok(&packet));
    assert_eq!(
        transmit.destination,
        "192.0.2.7:9899".parse::<SocketAddr>().unwrap()
    );
    assert_eq!(transmit.source_ip, Some([198, 51, 100, 9].into()));
    assert_eq!(
        (transmit.socket, transmit.size),
        (SocketId(3), packet.len())
    );
    let header = CommonHeader::parse(&packet).unwrap();
    assert_eq!(header.verification_tag, 0xBEEF);
    assert_eq!((header.source_port, header.destination_port), (80, 50_000));

    let Chunk::InitAck(ack) = only_chunk(&packet) else {
        panic!("no INIT ACK");
    };
    assert_eq!(ack.initiate_tag, LOCAL_TAG);
    assert_eq!(ack.a_rwnd, 1 << 20);
    // 10 asked for, 6 allowed; 4 allowed, whatever is asked for.
    assert_eq!((ack.outbound_streams, ack.inbound_streams), (6, 4));
    assert_eq!(ack.initial_tsn, Tsn::new(1234));
    let ours = PeerParams::parse(&ack, InitKind::InitAck, offered()).unwrap();
    assert!(ours.capabilities.interleaving() && ours.capabilities.reconfig());

    let context = CookieContext {
        remote: transmit.destination,
        ports: PORTS,
        local_tag: LOCAL_TAG,
    };
    let (cookie, freshness) = jar.open(NOW, &context, ours.cookie.unwrap()).unwrap();
    assert_eq!(freshness, Freshness::Fresh);
    assert_eq!(cookie.lifetime, Duration::from_secs(61));
    assert_eq!((cookie.local_tag, cookie.peer_tag), (LOCAL_TAG, 0xBEEF));
    assert_eq!(cookie.local_initial_tsn, Tsn::new(1234));
    assert_eq!(cookie.peer_initial_tsn, Tsn::new(77));
    assert_eq!((cookie.outbound_streams, cookie.inbound_streams), (6, 4));
    assert_eq!((cookie.local_a_rwnd, cookie.peer_a_rwnd), (1 << 20, 70_000));
    assert_eq!(cookie.capabilities, ours.capabilities);
    assert_eq!(cookie.tie_tags, (0, 0));
    assert_eq!(
        cookie.peer_addresses.as_slice(),
        ["203.0.113.5".parse::<std::net::IpAddr>().unwrap()]
    );
}

#[test]
fn unrecognized_parameters_come_back_one_by_one() {
    let mut params = ParamWriter::new();
    params
        .param(0xC777, b"a")
        .param(0x8777, b"b")
        .param(0x4777, b"c")
        .param(0xC778, b"d");
    let (packet, _) = answer(&jar(), "192.0.2.7:9899", &params);
    let Chunk::InitAck(ack) = only_chunk(&packet) else {
        panic!("no INIT ACK");
    };
    let reports: Vec<_> = ack
        .params
        .iter()
        .map(Result::unwrap)
        .filter(|raw| raw.kind == 8)
        .map(|raw| raw.value)
        .collect();
    assert_eq!(
        reports,
        [[0xC7, 0x77, 0, 5, b'a'], [0x47, 0x77, 0, 5, b'c']]
    );
}

//= RFC 9260 §12.4, test
//# An SCTP implementation SHOULD attempt to make the INIT...
#[test]
fn is_at_most_three_times_the_init() {
    let mut extensions = ParamWriter::new();
    extensions.supported_extensions(&[kind::I_DATA, kind::RE_CONFIG]);
    let mut addresses = ParamWriter::new();
    let mut unknown = ParamWriter::new();
    for n in 0..100 {
        addresses.ipv6_address([0x2001, 0xDB8, 0, 0, 0, 0, 0, n].into());
        unknown.param(0xC700 | n, &[]);
    }
    for params in [ParamWriter::new(), extensions, addresses, unknown] {
        for from in ["192.0.2.7:9899", "[2001:db8::1]:9899"] {
            let question = init_packet(&params).len();
            let (packet, _) = answer(&jar(), from, &params);
            assert!(
                packet.len() <= 3 * question,
                "{} bytes for {question}",
                packet.len()
            );
        }
    }
}

/// What the defaults offer.
fn offered() -> Capabilities {
    Capabilities::offered(&AssociationConfig::default())
}
