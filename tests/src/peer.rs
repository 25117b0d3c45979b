//! A peer moved by hand: it says exactly what a test tells it to, and reads what comes back.
//!
//! It speaks to one [`Host`] without a network between them: what it sends arrives at once, and
//! what the host sends is in its inbox after every call. It has its own codec ([`crate::codec`])
//! and no protocol logic at all beyond the two handshakes.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use sctp_proto::{
    Association, AssociationConfig, AssociationState, CloseReason, EcnCodepoint, EndpointConfig,
    Event, Instant, SendInfo, ServerConfig, StreamId,
};

use crate::{
    build::{self, cookie_ack, cookie_echo, init, init_ack},
    codec::{Chunk, Init, Packet, kind, param, seal},
    host::{Conn, Host},
    net::Datagram,
    rng::Rng,
    trace::Trace,
};

/// The tag the peer asks for unless told otherwise.
pub const TAG: u32 = 0x1111_1111;

/// The cookie the peer hands out.
pub const COOKIE: &[u8] = b"a cookie of the hand-driven peer";

/// The key of the host's own cookies, for tests that forge some.
pub const COOKIE_KEY: [u8; 32] = *b"the key of a host's state cookie";

/// How long the host makes cookies with a key derived from [`COOKIE_KEY`].
pub const COOKIE_KEY_ROTATION: Duration = Duration::from_secs(3600);

/// A hand-driven peer and the host it speaks to.
#[derive(Debug)]
pub struct Peer {
    /// The host under test.
    pub host: Host,
    /// The clock.
    pub now: Instant,
    /// Where the peer is; 10.0.0.1:9899.
    pub addr: SocketAddr,
    /// The peer's SCTP port.
    pub port: u16,
    /// The host's SCTP port.
    pub host_port: u16,
    /// The tag the host must put on its packets.
    pub tag: u32,
    /// The tag the peer puts on its packets.
    pub host_tag: u32,
    /// The host's initial TSN.
    pub host_tsn: u32,
    inbox: VecDeque<Received>,
    trace: Trace,
}

/// A packet of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Where it was sent to.
    pub to: SocketAddr,
    /// Its length.
    pub len: usize,
    /// Whether routers may not fragment it.
    pub dont_fragment: bool,
    /// How it is marked.
    pub ecn: Option<EcnCodepoint>,
    /// The packet.
    pub packet: Packet,
}

impl Received {
    /// Types of its chunks.
    pub fn kinds(&self) -> Vec<u8> {
        self.packet.chunks.iter().map(|chunk| chunk.kind).collect()
    }
}

/// §6.10: control chunks first, then DATA in increasing order of TSN.
fn check_order(packet: &Packet) {
    let mut last = None;
    for chunk in &packet.chunks {
        if matches!(chunk.kind, kind::DATA | kind::I_DATA) {
            let tsn = chunk.as_data().tsn;
            let ahead = last.is_none_or(|last: u32| (1..1 << 31).contains(&tsn.wrapping_sub(last)));
            assert!(ahead, "TSNs out of order: {packet:?}");
            last = Some(tsn);
        } else {
            assert_eq!(last, None, "a control chunk after DATA: {packet:?}");
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.trace.write_if_failing(0);
    }
}

impl Peer {
    /// A peer of a host that listens on SCTP port 80 with these settings, and their endpoint's.
    pub fn of_server(config: &AssociationConfig, endpoint: EndpointConfig) -> Self {
        let mut server = ServerConfig::default();
        server.association(Arc::new(config.clone()));
        Self::new(endpoint, Some(server))
    }

    /// A peer of a host that listens, with the default settings but for HEARTBEAT and the search for the
    /// path MTU, which are off.
    pub fn client() -> Self {
        Self::client_with(|_| {})
    }

    /// As [`client`](Self::client), with changed settings of the host's associations.
    pub fn client_with(change: impl FnOnce(&mut AssociationConfig)) -> Self {
        let mut config = AssociationConfig::default();
        config.heartbeat_interval(None).plpmtud(false);
        change(&mut config);
        Self::of_server(&config, Self::endpoint())
    }

    /// A peer that has an association with a listening host.
    pub fn connected() -> Self {
        Self::connected_with(|_| {})
    }

    /// As [`connected`](Self::connected), with changed settings of the host.
    pub fn connected_with(change: impl FnOnce(&mut AssociationConfig)) -> Self {
        let mut peer = Self::client_with(change);
        peer.connect(init(TAG).extensions(&[kind::RE_CONFIG]));
        peer
    }

    /// A peer that has an association with I-DATA and stream reset with a listening host.
    pub fn interleaving() -> Self {
        let mut peer = Self::client();
        peer.connect(init(TAG).extensions(&[kind::RE_CONFIG, kind::I_DATA]));
        peer
    }

    /// A peer that has an association with a listening host in which messages can be given up, in
    /// I-DATA or in DATA.
    pub fn partial(interleaving: bool, change: impl FnOnce(&mut AssociationConfig)) -> Self {
        let mut peer = Self::client_with(change);
        let data = [kind::RE_CONFIG];
        let i_data = [kind::RE_CONFIG, kind::I_DATA, kind::I_FORWARD_TSN];
        let chunks: &[u8] = if interleaving { &i_data } else { &data };
        let supported = param::FORWARD_TSN_SUPPORTED;
        peer.connect(init(TAG).extensions(chunks).param(supported, &[]));
        peer
    }

    /// A peer on SCTP port 80 that a host has begun to connect to from its port 5000; the INIT
    /// waits in the inbox.
    pub fn server() -> Self {
        Self::server_with(|_| {})
    }

    /// As [`server`](Self::server), with changed settings.
    pub fn server_with(change: impl FnOnce(&mut AssociationConfig)) -> Self {
        let mut own = ServerConfig::default();
        own.port(5000);
        let mut peer = Self::new(Self::endpoint(), Some(own));
        (peer.port, peer.host_port) = (80, 5000);
        let mut config = AssociationConfig::default();
        config
            .heartbeat_interval(None)
            .plpmtud(false)
            .local_port(Some(5000));
        change(&mut config);
        let connected = peer.host.connect(peer.now, config, &[peer.addr]);
        connected.expect("the host can connect");
        peer.collect();
        peer
    }

    fn endpoint() -> EndpointConfig {
        let mut config = EndpointConfig::default();
        config
            .cookie_key(Some(COOKIE_KEY))
            .cookie_key_rotation(COOKIE_KEY_ROTATION);
        config
    }

    fn new(endpoint: EndpointConfig, server: Option<ServerConfig>) -> Self {
        let addr = SocketAddr::from(([10, 0, 0, 2], 9899));
        Self {
            host: Host::new(&[addr], endpoint, server, Rng::new(1).seed()),
            now: Instant::from_nanos(1_000_000_000),
            addr: SocketAddr::from(([10, 0, 0, 1], 9899)),
            port: 5000,
            host_port: 80,
            tag: TAG,
            host_tag: 0,
            host_tsn: 0,
            inbox: VecDeque::new(),
            trace: Trace::default(),
        }
    }
}

/// The handshakes.
impl Peer {
    /// Sends INIT and takes the INIT ACK.
    pub fn init(&mut self, chunk: build::Init) -> Init {
        self.send_tagged(0, chunk);
        let answer = self.expect(kind::INIT_ACK).as_init();
        self.host_tag = answer.tag;
        self.host_tsn = answer.tsn;
        answer
    }

    /// Sets an association up with a listening host.
    pub fn connect(&mut self, chunk: build::Init) {
        let answer = self.init(chunk);
        self.send(cookie_echo(&answer.cookie()));
        self.expect(kind::COOKIE_ACK);
        self.take_established(false);
    }

    /// Answers the INIT of a host that connects, up to the COOKIE ECHO, which is left in the
    /// inbox.
    pub fn answer_init(&mut self, answer: build::Init) -> Init {
        let chunk = self.expect(kind::INIT).as_init();
        self.host_tag = chunk.tag;
        self.host_tsn = chunk.tsn;
        self.send(answer);
        chunk
    }

    /// Completes the handshake of a host that connects.
    pub fn accept(&mut self) {
        let extensions = [kind::RE_CONFIG];
        self.answer_init(init_ack(TAG, COOKIE).extensions(&extensions));
        let echo = self.expect(kind::COOKIE_ECHO);
        assert_eq!(echo.value, COOKIE, "the cookie comes back as it was");
        self.send(cookie_ack());
        self.take_established(false);
    }

    /// Takes the event that tells of an association.
    pub fn take_established(&mut self, restarted: bool) {
        let event = Event::Established { restarted };
        let taken = self.conn().take_event(|e| *e == event);
        assert!(taken.is_some(), "no {event:?}");
    }
}

/// Sending.
impl Peer {
    /// Sends one chunk with the right tag.
    pub fn send(&mut self, chunk: impl Into<Chunk>) {
        self.send_tagged(self.host_tag, chunk);
    }

    /// Sends one chunk with this tag.
    pub fn send_tagged(&mut self, tag: u32, chunk: impl Into<Chunk>) {
        let packet = self.packet(tag, vec![chunk.into()]);
        self.send_bytes(packet.encode());
    }

    /// Sends several chunks in one packet.
    pub fn send_bundle(&mut self, chunks: Vec<Chunk>) {
        let packet = self.packet(self.host_tag, chunks);
        self.send_bytes(packet.encode());
    }

    /// A packet with the right ports.
    pub fn packet(&self, tag: u32, chunks: Vec<Chunk>) -> Packet {
        Packet {
            source: self.port,
            destination: self.host_port,
            tag,
            chunks,
        }
    }

    /// Sends the bytes, after putting the right checksum in.
    pub fn send_sealed(&mut self, mut bytes: Vec<u8>) {
        seal(&mut bytes);
        self.send_bytes(bytes);
    }

    /// Sends exactly these bytes.
    pub fn send_bytes(&mut self, bytes: Vec<u8>) {
        self.send_from(self.addr, bytes);
    }

    /// Sends exactly these bytes from another address.
    pub fn send_from(&mut self, from: SocketAddr, bytes: Vec<u8>) {
        self.deliver(from, bytes);
        self.collect();
    }

    /// Sends one chunk with the right tag from another address.
    pub fn send_chunk_from(&mut self, from: SocketAddr, chunk: impl Into<Chunk>) {
        let packet = self.packet(self.host_tag, vec![chunk.into()]);
        self.send_from(from, packet.encode());
    }

    /// Sends one chunk with the right tag and does not poll the host yet, so that what it made of
    /// the packet can be seen before it goes on.
    pub fn send_unpolled(&mut self, chunk: impl Into<Chunk>) {
        self.send_bundle_unpolled(vec![chunk.into()]);
    }

    /// The same with several chunks in one packet.
    pub fn send_bundle_unpolled(&mut self, chunks: Vec<Chunk>) {
        let packet = self.packet(self.host_tag, chunks);
        self.deliver(self.addr, packet.encode());
    }

    /// Sends one chunk in a packet that was marked with Congestion Experienced.
    pub fn send_marked(&mut self, chunk: impl Into<Chunk>) {
        let packet = self.packet(self.host_tag, vec![chunk.into()]);
        self.deliver_marked(self.addr, packet.encode(), Some(EcnCodepoint::Ce));
        self.collect();
    }

    fn deliver(&mut self, from: SocketAddr, bytes: Vec<u8>) {
        self.deliver_marked(from, bytes, None);
    }

    fn deliver_marked(&mut self, from: SocketAddr, bytes: Vec<u8>, ecn: Option<EcnCodepoint>) {
        let to = self.host.addrs[0];
        self.trace.record(self.now, from, to, &bytes, "");
        let datagram = Datagram {
            from,
            to,
            payload: bytes,
            dont_fragment: true,
            ecn,
        };
        self.host.receive(self.now, datagram);
    }
}

/// Receiving.
impl Peer {
    /// Polls the host and takes what it sends.
    pub fn collect(&mut self) {
        self.host.poll(self.now);
        while let Some(datagram) = self.host.take_packet() {
            self.take(&datagram);
        }
    }

    //= RFC 9260 §8.5, test
    //# When sending an SCTP packet, the endpoint MUST fill...
    //= RFC 9260 §3.3.2, test
    //# This value MUST be placed into the Verification Tag...
    //= RFC 9260 §3.1, test
    //# On transmit, the value of the Verification Tag MUST...
    //= RFC 9260 §8.5.1, test
    //# The sender MUST set the Verification Tag of the...
    //= RFC 9260 §8.5.1, test
    //# When sending a COOKIE ECHO chunk, the endpoint MUST...
    //= RFC 9260 §6.10, test
    //# An endpoint MUST NOT bundle INIT, INIT ACK, or...
    //= RFC 9260 §12.3, test
    //# Accordingly, we stress the requirements, as stated in Section...
    fn take(&mut self, datagram: &Datagram) {
        let Datagram {
            from,
            to,
            payload,
            dont_fragment,
            ecn,
        } = datagram;
        self.trace.record(self.now, *from, *to, payload, "");
        let packet = Packet::decode(payload).unwrap_or_else(|error| {
            panic!("the host sent a packet that is wrong: {error}");
        });
        check_order(&packet);
        if *to == self.addr {
            assert_eq!(packet.source, self.host_port, "source port");
            assert_eq!(packet.destination, self.port, "destination port");
            let first = &packet.chunks[0];
            let is_init = packet.chunks.iter().any(|c| c.kind == kind::INIT);
            let reflected = matches!(first.kind, kind::ABORT | kind::SHUTDOWN_COMPLETE);
            if is_init {
                assert_eq!(
                    (packet.tag, packet.chunks.len()),
                    (0, 1),
                    "INIT comes alone"
                );
            } else if !(reflected && first.t_bit()) {
                assert_eq!(packet.tag, self.tag, "verification tag of {packet:?}");
            }
        }
        self.inbox.push_back(Received {
            to: *to,
            len: payload.len(),
            dont_fragment: *dont_fragment,
            ecn: *ecn,
            packet,
        });
    }

    /// The next packet.
    pub fn receive(&mut self) -> Option<Received> {
        self.inbox.pop_front()
    }

    /// All packets there are.
    pub fn receive_all(&mut self) -> Vec<Received> {
        self.inbox.drain(..).collect()
    }

    /// The next packet, which must have exactly these chunks.
    pub fn expect_packet(&mut self, kinds: &[u8]) -> Vec<Chunk> {
        let Some(received) = self.receive() else {
            panic!("expected a packet with chunks {kinds:?}, and none came");
        };
        assert_eq!(received.kinds(), kinds, "chunks of {:?}", received.packet);
        received.packet.chunks
    }

    /// The next packet, which must be this chunk alone.
    pub fn expect(&mut self, kind: u8) -> Chunk {
        self.expect_packet(&[kind]).remove(0)
    }

    /// The first chunk of this type in any packet there is; forgets all packets.
    pub fn find(&mut self, kind: u8) -> Option<Chunk> {
        let mut chunks = self.receive_all().into_iter().flat_map(|r| r.packet.chunks);
        chunks.find(|chunk| chunk.kind == kind)
    }

    /// All chunks of this type; forgets all packets.
    pub fn find_all(&mut self, kind: u8) -> Vec<Chunk> {
        let chunks = self.receive_all().into_iter().flat_map(|r| r.packet.chunks);
        chunks.filter(|chunk| chunk.kind == kind).collect()
    }

    /// No packet may be there.
    pub fn expect_nothing(&mut self) {
        let packets = self.receive_all();
        assert!(packets.is_empty(), "unexpected: {packets:?}");
    }

    /// An ABORT with this cause, and the association is over.
    pub fn expect_abort(&mut self, cause: u16) -> Chunk {
        let abort = self.expect(kind::ABORT);
        assert_eq!(abort.cause(), Some(cause), "cause of {abort:?}");
        assert_eq!(self.state(), AssociationState::Closed);
        abort
    }

    /// Lets time pass.
    pub fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.host.timeout().filter(|at| *at <= end) {
            self.now = at;
            self.collect();
        }
        self.now = end;
        self.collect();
    }

    /// Lets time pass until the host sends something; gives how long that took.
    pub fn advance_to_packet(&mut self) -> Duration {
        let begin = self.now;
        for _ in 0..10_000 {
            if !self.inbox.is_empty() {
                return self.now - begin;
            }
            let Some(at) = self.host.timeout() else {
                panic!("no packet will ever come: nothing is scheduled");
            };
            self.now = at;
            self.collect();
        }
        panic!("no packet after 10,000 timers");
    }
}

/// The host's association.
impl Peer {
    /// The host's latest association with its events.
    pub fn conn(&mut self) -> &mut Conn {
        self.host.conn()
    }

    /// The host's latest association.
    pub fn association(&mut self) -> &mut Association {
        &mut self.host.conn().association
    }

    /// Its state.
    pub fn state(&mut self) -> AssociationState {
        self.association().state()
    }

    /// Why it ended.
    pub fn closed(&mut self) -> Option<CloseReason> {
        self.conn().closed.clone()
    }

    /// Takes the events.
    pub fn events(&mut self) -> Vec<Event> {
        self.conn().events.drain(..).collect()
    }

    /// Makes the host send a message that it must take.
    pub fn host_send(&mut self, stream: u16, data: impl Into<Bytes>) {
        self.host_send_with(stream, data, SendInfo::default());
    }

    /// Makes the host send a message that it must take.
    pub fn host_send_with(&mut self, stream: u16, data: impl Into<Bytes>, info: SendInfo) {
        let now = self.now;
        let sent = self
            .association()
            .send(now, StreamId(stream), data.into(), info);
        sent.expect("the message is taken");
        self.collect();
    }

    /// Makes the host's user take the next whole message of a stream.
    pub fn host_recv(&mut self, stream: u16) -> Option<Bytes> {
        let message = self.association().recv(StreamId(stream))?;
        assert!(message.complete, "a part of a message");
        self.collect();
        Some(message.data.into_bytes())
    }

    /// The TSN of the host's `n`-th DATA chunk, counted from zero.
    pub fn host_tsn(&self, n: u32) -> u32 {
        self.host_tsn.wrapping_add(n)
    }

    /// A SACK for the host's first `n` DATA chunks.
    pub fn sack(&self, n: u32) -> build::Sack {
        build::sack(self.host_tsn(n).wrapping_sub(1))
    }
}
