//! The core alone, both ends in one process, no sockets and a simulated clock: what `bench.toml`
//! measures beside other stacks.
//!
//! ```text
//! bench mem MESSAGE BYTES PACKET [WINDOW]   moves BYTES in messages of MESSAGE bytes, with a receive
//!                                           window and a send buffer of WINDOW bytes (1 MiB)
//! bench setup COUNT                         sets up COUNT associations and keeps them
//! ```
//!
//! The last line is JSON.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use sctp_proto::{
    Association, AssociationConfig, AssociationHandle, DatagramEvent, DatagramMeta, Endpoint,
    EndpointConfig, Event, Instant, SendError, SendInfo, ServerConfig, SocketId, StreamId,
};

/// IP and UDP headers of an IPv4 packet.
const HEADERS: u16 = 28;
/// A round of the simulated clock.
const ROUND: Duration = Duration::from_micros(100);
/// Packets in one batch, as GSO has them; the receiver takes its messages after each.
const BATCH: NonZeroUsize = NonZeroUsize::new(16).unwrap();

/// One end: an endpoint and its associations.
struct End {
    endpoint: Endpoint,
    address: SocketAddr,
    associations: Vec<(AssociationHandle, Association)>,
    buf: Vec<u8>,
}

impl End {
    fn new(last: u8, associations: usize, server: Option<Arc<ServerConfig>>) -> Self {
        let mut config = EndpointConfig::default();
        config
            .max_associations(usize::MAX)
            .setups_per_source(u32::MAX);
        Self {
            endpoint: Endpoint::new(Arc::new(config), server, [last; 32]),
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 9899),
            associations: Vec::with_capacity(associations),
            buf: Vec::new(),
        }
    }

    /// Hands a datagram in; a reply without an association is pushed to `replies`.
    fn receive(&mut self, now: Instant, from: SocketAddr, data: &[u8], replies: &mut Vec<Vec<u8>>) {
        let meta = DatagramMeta {
            remote: from,
            socket: SocketId(0),
            local_ip: None,
            interface: None,
            ecn: None,
        };
        self.buf.clear();
        match self
            .endpoint
            .handle_datagram(now, meta, BytesMut::from(data), &mut self.buf)
        {
            Some(DatagramEvent::Association(handle, event)) => {
                let index = self
                    .associations
                    .partition_point(|(known, _)| *known < handle);
                self.associations[index].1.handle_event(now, event);
            }
            Some(DatagramEvent::New(incoming)) => {
                let accepted = self.endpoint.accept(now, incoming, None).expect("room");
                let index = self
                    .associations
                    .partition_point(|(known, _)| *known < accepted.0);
                self.associations.insert(index, accepted);
            }
            Some(DatagramEvent::Response(transmit)) => {
                replies.push(self.buf[..transmit.size].to_vec());
            }
            None => {}
        }
    }
}

/// Hands the next batch of association `index` of `from` over; `None` when it has none, else the
/// number of packets that carried DATA.
fn pass(
    now: Instant,
    from: &mut End,
    index: usize,
    to: &mut End,
    wire: &mut Vec<u8>,
) -> Option<u64> {
    wire.clear();
    let association = &mut from.associations[index].1;
    let transmit = association.poll_transmit(now, BATCH, wire)?;
    let mut data_packets = 0;
    let mut replies = Vec::new();
    for packet in wire.chunks(transmit.segment_size.unwrap_or(transmit.size)) {
        // SACK and control chunks come first; DATA is 0, I-DATA 64.
        data_packets += u64::from(packet.len() > 200 || matches!(packet[12], 0 | 64));
        to.receive(now, from.address, packet, &mut replies);
    }
    for reply in replies {
        from.receive(now, to.address, &reply, &mut Vec::new());
    }
    Some(data_packets)
}

/// Hands all batches over.
fn pass_all(now: Instant, from: &mut End, index: usize, to: &mut End, wire: &mut Vec<u8>) {
    while pass(now, from, index, to, wire).is_some() {}
}

fn mem(message: usize, bytes: u64, packet: u16, window: u32) {
    let mut config = AssociationConfig::default();
    config
        .path_mtu(packet + HEADERS)
        .plpmtud(false)
        .receive_window(window)
        .send_buffer(window as usize)
        .stream_send_buffer(window as usize);
    let config = Arc::new(config);
    let mut server_config = ServerConfig::default();
    server_config.association(Arc::clone(&config));
    let mut server = End::new(2, 1, Some(Arc::new(server_config)));
    let mut client = End::new(1, 1, None);
    let mut now = Instant::EPOCH;
    let mut wire = Vec::new();
    connect(now, &mut client, &mut server, config, &mut wire);

    let payload = vec![7; message];
    let (mut queued, mut received, mut data_packets) = (0_u64, 0_u64, 0);
    let mut sink = vec![0_u8; message];
    let started = clock();
    while received < bytes {
        while queued < bytes {
            let copy = Bytes::copy_from_slice(&payload);
            match client.associations[0]
                .1
                .send(now, StreamId(0), copy, SendInfo::default())
            {
                Ok(()) => queued += message as u64,
                Err(SendError::Blocked(_)) => break,
                Err(error) => panic!("send: {error}"),
            }
        }
        while let Some(packets) = pass(now, &mut client, 0, &mut server, &mut wire) {
            data_packets += packets;
            let association = &mut server.associations[0].1;
            while let Some(message) = association.recv_any() {
                let mut at = 0;
                for fragment in message.data.into_fragments() {
                    sink[at..at + fragment.len()].copy_from_slice(&fragment);
                    at += fragment.len();
                }
                received += at as u64;
            }
            while association.poll_event().is_some() {}
            pass_all(now, &mut server, 0, &mut client, &mut wire);
        }
        while let Some(event) = client.associations[0].1.poll_event() {
            assert!(!matches!(event, Event::Closed(_)), "closed: {event:?}");
        }
        now += ROUND;
        for (_, association) in client
            .associations
            .iter_mut()
            .chain(&mut server.associations)
        {
            if association.poll_timeout().is_some_and(|at| at <= now) {
                association.handle_timeout(now);
            }
        }
        pass_all(now, &mut server, 0, &mut client, &mut wire);
    }
    let wall = (clock() - started).as_secs_f64();
    eprintln!(
        "{:.0} ns per DATA packet, {:.0} ns per message; {:?}",
        wall * 1e9 / data_packets as f64,
        wall * 1e9 / (received as f64 / message as f64),
        client.associations[0].1.stats(),
    );
    println!("{{\"bytes\": {received}, \"data_packets\": {data_packets}, \"wall_s\": {wall}}}");
}

/// Sets one more association up.
fn connect(
    now: Instant,
    client: &mut End,
    server: &mut End,
    config: Arc<AssociationConfig>,
    wire: &mut Vec<u8>,
) {
    let connected = client.endpoint.connect(now, config, &[], &[server.address]);
    let index = client.associations.len();
    client.associations.push(connected.expect("connects"));
    pass_all(now, client, index, server, wire);
    pass_all(now, client, index, server, wire);
    pass_all(now, server, index, client, wire);
    for end in [client, server] {
        while end.associations[index].1.poll_event().is_some() {}
    }
}

fn setup(count: usize) {
    let mut server = End::new(2, count, Some(Arc::new(ServerConfig::default())));
    let mut client = End::new(1, count, None);
    let config = Arc::new(AssociationConfig::default());
    let mut wire = Vec::new();
    let started = clock();
    for _ in 0..count {
        let config = Arc::clone(&config);
        connect(Instant::EPOCH, &mut client, &mut server, config, &mut wire);
    }
    let wall = (clock() - started).as_secs_f64();
    println!("{{\"count\": {count}, \"wall_s\": {wall}}}");
}

/// Time since some moment: a benchmark is what the machine's clock is for.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn clock() -> Duration {
    use std::{sync::OnceLock, time::Instant};
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| words.get(index).and_then(|word| word.parse::<u64>().ok());
    match (
        words.first().map(String::as_str),
        number(1),
        number(2),
        number(3),
    ) {
        (Some("mem"), Some(message), Some(bytes), Some(packet)) => {
            let window = number(4).unwrap_or(1 << 20);
            mem(message as usize, bytes, packet as u16, window as u32);
        }
        (Some("setup"), Some(count), ..) => setup(count as usize),
        _ => {
            eprintln!("usage: bench mem MESSAGE BYTES PACKET [WINDOW] | bench setup COUNT");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
