//! The stateless handshake: INITs of any kind, and cookies that came back changed.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::BytesMut;
use sctp_proto::{
    DatagramEvent, DatagramMeta, Endpoint, EndpointConfig, Instant, ServerConfig, SocketId, Tsn,
    internals::wire::{
        Chunk, CommonHeader, InitFields, PacketWriter, Param, ParamWriter, chunks, kind,
    },
};

use crate::Input;

const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 9899);

/// Takes what becomes of the cookie, and the parameters of an INIT.
pub fn cookie(data: &[u8]) {
    let mut input = Input::new(data);
    let (edit, position, change) = (input.u8(), input.u16(), input.u8());
    let wait = Duration::from_millis(u64::from(input.u16()) * 2);
    let params = input.rest();

    let mut endpoint = Endpoint::new(
        Arc::new(EndpointConfig::default()),
        Some(Arc::new(ServerConfig::default())),
        [7; 32],
    );
    let mut now = Instant::EPOCH + Duration::from_secs(5000);
    let client = SocketAddr::from(CLIENT);
    let init = init(params);
    let mut buf = Vec::new();
    match endpoint.handle_datagram(now, meta(client), BytesMut::from(&init[..]), &mut buf) {
        Some(DatagramEvent::Response(transmit)) => {
            assert_eq!((transmit.destination, transmit.size), (client, buf.len()));
            // The answer to a short INIT is longer by the cookie, and never by much more.
            assert!(buf.len() <= 3 * init.len().max(100), "{} bytes", buf.len());
        }
        Some(other) => panic!("an INIT alone makes nothing: {other:?}"),
        None => {}
    }
    assert_eq!(endpoint.associations(), 0);
    let Some((tag, mut cookie)) = cookie_of(&buf) else {
        return;
    };

    let original = cookie.clone();
    let mut remote = client;
    let mut echo_tag = tag;
    match edit % 8 {
        0 => {}
        1 => {
            let position = usize::from(position) % cookie.len();
            cookie[position] ^= change;
        }
        2 => cookie.truncate(usize::from(position) % cookie.len()),
        3 => cookie.push(change),
        4 => remote.set_port(position),
        5 => remote.set_ip([10, 0, position as u8, change].into()),
        6 => echo_tag ^= u32::from(position),
        _ => now += wait,
    }
    let lifetime = Duration::from_secs(60);
    let untouched = cookie == original && remote == client && echo_tag == tag;
    let age = if edit % 8 == 7 { wait } else { Duration::ZERO };
    // One that was asked for may be granted, and at most doubles the lifetime (§3.3.2.1.3); it is not
    // where a parameter before it ends the INIT.
    let granted = increment_of(&init).min(lifetime);
    let mut packet = Vec::new();
    let mut writer = PacketWriter::new(&mut packet, 65_535, &header(echo_tag));
    writer.cookie_echo(&cookie);
    writer.finish();
    buf.clear();
    let event = endpoint.handle_datagram(now, meta(remote), BytesMut::from(&packet[..]), &mut buf);
    let admitted = matches!(event, Some(DatagramEvent::New(_)));
    if untouched && age <= lifetime {
        assert!(admitted, "a cookie of {age:?}");
    }
    if admitted {
        assert!(untouched, "a forged cookie");
        assert!(age <= lifetime + granted, "{age:?}, {granted:?} longer");
    }
    if !untouched {
        assert!(event.is_none(), "a forged cookie has no answer");
    }
    assert_eq!(endpoint.associations(), usize::from(admitted));
}

fn meta(remote: SocketAddr) -> DatagramMeta {
    DatagramMeta {
        remote,
        socket: SocketId(0),
        local_ip: Some([10, 0, 0, 2].into()),
        interface: None,
        ecn: None,
    }
}

fn header(verification_tag: u32) -> CommonHeader {
    CommonHeader {
        source_port: 5000,
        destination_port: 80,
        verification_tag,
    }
}

fn init(params: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let mut writer = PacketWriter::new(&mut packet, 65_535, &header(0));
    let fixed = InitFields {
        initiate_tag: 9,
        a_rwnd: 65_536,
        outbound_streams: 10,
        inbound_streams: 10,
        initial_tsn: Tsn::new(1),
    };
    let mut written = ParamWriter::new();
    written.raw(&params[..params.len().min(32 * 1024)]);
    writer.init(kind::INIT, &fixed, &written);
    writer.finish();
    packet
}

/// The most that the Cookie Preservatives of an INIT ask for.
fn increment_of(packet: &[u8]) -> Duration {
    let Some(Ok(Ok(Chunk::Init(init)))) = chunks(packet).next().map(|raw| raw.map(Chunk::parse))
    else {
        return Duration::ZERO;
    };
    let increments =
        (init.params.iter())
            .map_while(Result::ok)
            .filter_map(|raw| match Param::parse(raw) {
                Ok(Param::CookiePreservative(increment)) => Some(increment),
                _ => None,
            });
    increments.max().unwrap_or_default()
}

/// Tag and cookie of an INIT ACK.
fn cookie_of(packet: &[u8]) -> Option<(u32, Vec<u8>)> {
    let raw = chunks(packet).next()?.ok()?;
    let Ok(Chunk::InitAck(ack)) = Chunk::parse(raw) else {
        return None;
    };
    let cookie = ack
        .params
        .iter()
        .map_while(Result::ok)
        .find_map(|raw| match Param::parse(raw) {
            Ok(Param::StateCookie(cookie)) => Some(cookie.to_vec()),
            _ => None,
        });
    Some((ack.initiate_tag, cookie.expect("an INIT ACK has a cookie")))
}
