//! The endpoint against hand-made packets. Most associations here are routes without a state
//! machine behind them: what is tested is where packets go.

use std::time::Duration;

use proptest::prelude::*;
use smallvec::smallvec;

use super::*;
use crate::{
    cookie::{CookieContext, Freshness},
    ids::{SocketId, Tsn},
    wire::{Chunk, DataFields, InitFields, ParamWriter, cause},
};

const NOW: Instant = Instant::from_nanos(1_000_000_000);
const CLIENT: &str = "192.0.2.7:40000";
const CLIENT_TAG: u32 = 0xC11E;
const PORTS: Ports = Ports {
    local: 80,
    remote: 50_000,
};

fn meta(remote: &str) -> DatagramMeta {
    DatagramMeta {
        remote: remote.parse().unwrap(),
        socket: SocketId(0),
        local_ip: Some([198, 51, 100, 9].into()),
        interface: None,
        ecn: None,
    }
}

/// A packet from the client's ports to ours.
fn packet(tag: u32, write: impl FnOnce(&mut PacketWriter<'_>)) -> Vec<u8> {
    packet_between(PORTS, tag, write)
}

fn packet_between(ports: Ports, tag: u32, write: impl FnOnce(&mut PacketWriter<'_>)) -> Vec<u8> {
    let header = CommonHeader {
        source_port: ports.remote,
        destination_port: ports.local,
        verification_tag: tag,
    };
    let mut buf = Vec::new();
    let mut packet = PacketWriter::new(&mut buf, 65_532, &header);
    write(&mut packet);
    packet.finish();
    buf
}

const INIT: InitFields = InitFields {
    initiate_tag: CLIENT_TAG,
    a_rwnd: 100_000,
    outbound_streams: 10,
    inbound_streams: 10,
    initial_tsn: Tsn::new(500),
};

fn init() -> Vec<u8> {
    packet(0, |p| p.init(kind::INIT, &INIT, &ParamWriter::new()))
}

fn data(tag: u32, size: usize) -> Vec<u8> {
    let fields = DataFields {
        tsn: Tsn::new(500),
        stream: crate::StreamId(0),
        seq: 0,
        fsn: 0,
        ppid: crate::Ppid(0),
        unordered: false,
        begin: true,
        end: true,
        immediate: false,
    };
    packet(tag, |p| p.data(&fields, &vec![0xDA; size]))
}

/// A listening endpoint.
struct Server {
    endpoint: Endpoint,
    now: Instant,
    /// The last stateless reply.
    reply: Vec<u8>,
}

impl Server {
    fn new() -> Self {
        Self::with(|_| (), |_| ())
    }

    fn with(
        endpoint: impl FnOnce(&mut EndpointConfig),
        server: impl FnOnce(&mut ServerConfig),
    ) -> Self {
        let (mut config, mut listen) = (EndpointConfig::default(), ServerConfig::default());
        endpoint(&mut config);
        server(&mut listen);
        Self {
            endpoint: Endpoint::new(Arc::new(config), Some(Arc::new(listen)), [3; 32]),
            now: NOW,
            reply: Vec::new(),
        }
    }

    fn receive_from(&mut self, remote: &str, packet: &[u8]) -> Option<DatagramEvent> {
        self.receive(meta(remote), packet)
    }

    fn receive(&mut self, meta: DatagramMeta, packet: &[u8]) -> Option<DatagramEvent> {
        self.reply.clear();
        let data = BytesMut::from(packet);
        let event = self
            .endpoint
            .handle_datagram(self.now, meta, data, &mut self.reply);
        if let Some(DatagramEvent::Response(transmit)) = &event {
            assert_eq!(transmit.size, self.reply.len());
            assert_eq!(transmit.destination, meta.remote);
            assert!(checksum_ok(&self.reply));
        } else {
            assert!(self.reply.is_empty());
        }
        event
    }

    /// The verification tag and the only chunk of the reply.
    fn replied(&self) -> (u32, Chunk<'_>) {
        let header = CommonHeader::parse(&self.reply).expect("a reply");
        let mut chunks = chunks(&self.reply);
        let chunk = Chunk::parse(chunks.next().unwrap().unwrap()).unwrap();
        assert!(chunks.next().is_none());
        (header.verification_tag, chunk)
    }

    /// The tag, T bit and first cause of the ABORT replied.
    fn replied_abort(&self) -> (u32, bool, Option<u16>) {
        match self.replied() {
            (tag, Chunk::Abort { t_bit, causes }) => {
                (tag, t_bit, causes.iter().next().map(|c| c.code))
            }
            other => panic!("{other:?}"),
        }
    }

    /// Sends an INIT; returns the tag and the cookie of the INIT ACK.
    fn handshake(&mut self, remote: &str) -> (u32, Vec<u8>) {
        let event = self.receive_from(remote, &init());
        assert!(
            matches!(event, Some(DatagramEvent::Response(_))),
            "{event:?}"
        );
        let (tag, chunk) = self.replied();
        assert_eq!(tag, CLIENT_TAG);
        let Chunk::InitAck(ack) = chunk else {
            panic!("{chunk:?}");
        };
        let cookie = ack.params.iter().map(Result::unwrap).find(|p| p.kind == 7);
        (ack.initiate_tag, cookie.unwrap().value.to_vec())
    }

    /// The whole handshake up to where the peer waits.
    fn waiting(&mut self, remote: &str) -> (u32, Vec<u8>, Incoming) {
        let (tag, cookie) = self.handshake(remote);
        match self.receive_from(remote, &echo(tag, &cookie)) {
            Some(DatagramEvent::New(incoming)) => (tag, cookie, incoming),
            other => panic!("{other:?}"),
        }
    }

    /// An association with the client, as far as routing goes.
    fn associate(&mut self, tag: u32) -> AssociationHandle {
        self.endpoint.routes.insert(Route {
            tag,
            ports: PORTS,
            peers: smallvec![meta(CLIENT).remote.ip()],
        })
    }
}

fn echo(tag: u32, cookie: &[u8]) -> Vec<u8> {
    packet(tag, |p| p.cookie_echo(cookie))
}

fn abort(tag: u32, t_bit: bool) -> Vec<u8> {
    packet(tag, |p| p.abort(t_bit, &CauseWriter::new()))
}

/// The association that the packet went to, and as what.
#[track_caller]
fn to_association(event: Option<DatagramEvent>) -> (AssociationHandle, AssociationEventKind) {
    match event {
        Some(DatagramEvent::Association(handle, AssociationEvent(kind))) => (handle, kind),
        other => panic!("{other:?}"),
    }
}

// ── damaged packets ──

#[test]
fn damaged_packets_are_counted_and_dropped() {
    let mut server = Server::new();
    let good = init();
    for len in 0..12 {
        assert!(server.receive_from(CLIENT, &good[..len]).is_none());
    }
    assert_eq!(server.endpoint.stats().malformed, 12);
    for byte in 0..good.len() {
        let mut bad = good.clone();
        bad[byte] ^= 0x10;
        assert!(server.receive_from(CLIENT, &bad).is_none());
    }
    assert_eq!(server.endpoint.stats().bad_checksum, good.len() as u64);

    let empty = packet(1, |_| ());
    assert!(server.receive_from(CLIENT, &empty).is_none());
    for ports in [Ports { local: 0, ..PORTS }, Ports { remote: 0, ..PORTS }] {
        let portless = packet_between(ports, 1, |p| p.shutdown_ack());
        assert!(server.receive_from(CLIENT, &portless).is_none());
    }
    assert_eq!(server.endpoint.stats().malformed, 15);
}

// ── INIT ──

#[test]
fn init_leaves_nothing_behind() {
    let mut server = Server::new();
    for _ in 0..1000 {
        server.handshake(CLIENT);
    }
    assert_eq!(server.endpoint.associations(), 0);
    assert_eq!(server.endpoint.stats().inits_answered, 1000);
}

#[test]
fn tag_zero_is_for_a_lone_init() {
    let mut server = Server::new();
    let bundled = packet(0, |p| {
        p.init(kind::INIT, &INIT, &ParamWriter::new());
        p.shutdown(Tsn::new(1));
    });
    let not_first = packet(0, |p| {
        p.cookie_ack();
        p.init(kind::INIT, &INIT, &ParamWriter::new());
    });
    let short = packet(0, |p| p.chunk(kind::INIT, 0, &[1; 15]));
    for packet in [bundled, not_first, short, data(0, 1), abort(0, true)] {
        assert!(server.receive_from(CLIENT, &packet).is_none());
    }
    assert_eq!(server.endpoint.stats().malformed, 5);
}

#[test]
fn init_with_a_tag_has_no_answer() {
    let mut server = Server::new();
    server.associate(77);
    let tagged = |tag| packet(tag, |p| p.init(kind::INIT, &INIT, &ParamWriter::new()));
    assert!(server.receive_from(CLIENT, &tagged(77)).is_none());
    assert!(server.receive_from("192.0.2.8:1", &tagged(77)).is_none());
    // §12.3, whoever's tag it is.
    assert!(server.receive_from("192.0.2.8:1", &tagged(78)).is_none());
}

#[test]
fn unacceptable_inits_are_aborted_with_their_own_tag() {
    let mut server = Server::new();
    let cases = [
        (
            InitFields {
                a_rwnd: 1499,
                ..INIT
            },
            cause::INVALID_MANDATORY_PARAMETER,
        ),
        (
            InitFields {
                outbound_streams: 0,
                ..INIT
            },
            cause::INVALID_MANDATORY_PARAMETER,
        ),
        (
            InitFields {
                inbound_streams: 0,
                ..INIT
            },
            cause::INVALID_MANDATORY_PARAMETER,
        ),
    ];
    for (fields, code) in cases {
        let packet = packet(0, |p| p.init(kind::INIT, &fields, &ParamWriter::new()));
        server.receive_from(CLIENT, &packet);
        assert_eq!(server.replied_abort(), (CLIENT_TAG, false, Some(code)));
    }
    let mut named = ParamWriter::new();
    named.param(11, b"example.org\0");
    server.receive_from(CLIENT, &packet(0, |p| p.init(kind::INIT, &INIT, &named)));
    let code = Some(cause::UNRESOLVABLE_ADDRESS);
    assert_eq!(server.replied_abort(), (CLIENT_TAG, false, code));

    let mut broken = ParamWriter::new();
    broken.raw(&[0xC0, 0x77, 0, 3]);
    server.receive_from(CLIENT, &packet(0, |p| p.init(kind::INIT, &INIT, &broken)));
    let code = Some(cause::PROTOCOL_VIOLATION);
    assert_eq!(server.replied_abort(), (CLIENT_TAG, false, code));
}

#[test]
fn init_with_initiate_tag_zero_has_no_answer() {
    let mut server = Server::new();
    let fields = InitFields {
        initiate_tag: 0,
        ..INIT
    };
    let packet = packet(0, |p| p.init(kind::INIT, &fields, &ParamWriter::new()));
    assert!(server.receive_from(CLIENT, &packet).is_none());
    server.endpoint.set_server_config(None);
    assert!(server.receive_from(CLIENT, &packet).is_none());
}

#[test]
fn init_where_nobody_listens_is_aborted() {
    let mut server = Server::new();
    let ports = Ports { local: 81, ..PORTS };
    let wrong_port = packet_between(ports, 0, |p| {
        p.init(kind::INIT, &INIT, &ParamWriter::new());
    });
    server.receive_from(CLIENT, &wrong_port);
    assert_eq!(server.replied_abort(), (CLIENT_TAG, false, None));

    server.endpoint.set_server_config(None);
    server.receive_from(CLIENT, &init());
    assert_eq!(server.replied_abort(), (CLIENT_TAG, false, None));
    assert_eq!(server.endpoint.stats().out_of_the_blue, 2);
}

#[test]
fn init_of_an_associated_peer_goes_to_the_association() {
    let mut server = Server::new();
    let handle = server.associate(77);
    // From another UDP port: the association decides what that means.
    let (to, kind) = to_association(server.receive_from("192.0.2.7:1", &init()));
    assert_eq!(to, handle);
    assert!(matches!(kind, AssociationEventKind::Init { .. }));
}

//= RFC 9260 §5.1.2, test
//# An INIT or INIT ACK chunk MUST be treated as belonging to...
#[test]
fn an_init_that_lists_an_address_of_an_association_goes_there() {
    let mut server = Server::new();
    let mut listed = ParamWriter::new();
    listed.ipv4_address([192, 0, 2, 7].into());
    let packet = packet(0, |p| p.init(kind::INIT, &INIT, &listed));
    let stranger = "203.0.113.1:1";

    // A cookie from before there was an association must not lead to it either.
    server.receive_from(stranger, &packet);
    let Chunk::InitAck(ack) = server.replied().1 else {
        panic!("no INIT ACK");
    };
    let tag = ack.initiate_tag;
    let cookie = ack.params.iter().map(Result::unwrap).find(|p| p.kind == 7);
    let echo = echo(tag, cookie.unwrap().value);
    let handle = server.associate(77);
    let event = server.receive_from(stranger, &echo);
    assert!(matches!(event, Some(DatagramEvent::New(_))), "{event:?}");

    let other = "203.0.113.2:1";
    let (to, kind) = to_association(server.receive_from(other, &packet));
    assert_eq!(to, handle);
    assert!(matches!(kind, AssociationEventKind::Init { .. }));
    server.handshake(other);
}

//= RFC 9260 §5.2.2, test
//# For a normal association INIT chunk (i.e., the endpoint is in the...
#[test]
fn the_cookie_for_a_stranger_has_no_tie_tags() {
    let mut server = Server::new();
    let (tag, cookie) = server.handshake(CLIENT);
    let context = CookieContext {
        remote: meta(CLIENT).remote,
        ports: PORTS,
        local_tag: tag,
    };
    let (opened, _) = server
        .endpoint
        .cookies
        .open(NOW, &context, &cookie)
        .unwrap();
    assert_eq!(opened.tie_tags, (0, 0));
}

//= RFC 9260 §5.1.3, test
//# The secret key SHOULD be random ([RFC4086] provides some information on...
#[test]
fn the_key_is_drawn_and_no_other_endpoint_has_it() {
    let (mut one, mut other) = (Server::new(), Server::new());
    let (config, server) = (EndpointConfig::default(), ServerConfig::default());
    other.endpoint = Endpoint::new(Arc::new(config), Some(Arc::new(server)), [4; 32]);
    let (tag, cookie) = one.handshake(CLIENT);
    assert!(other.receive_from(CLIENT, &echo(tag, &cookie)).is_none());
    assert_eq!(other.endpoint.stats().cookies_rejected, 1);
    let made = one.receive_from(CLIENT, &echo(tag, &cookie));
    assert!(matches!(made, Some(DatagramEvent::New(_))));
}

// ── COOKIE ECHO ──

#[test]
fn a_good_cookie_makes_a_peer_wait() {
    let mut server = Server::new();
    let (tag, _, incoming) = server.waiting(CLIENT);
    assert_eq!(incoming.remote(), meta(CLIENT).remote);
    assert_eq!(server.endpoint.associations(), 1);
    let pending = server.endpoint.take(&incoming).unwrap();
    assert_eq!(
        (pending.cookie.local_tag, pending.cookie.peer_tag),
        (tag, CLIENT_TAG)
    );
    assert_eq!(pending.cookie.peer_initial_tsn, Tsn::new(500));
}

#[test]
fn a_cookie_is_good_only_from_where_its_init_came() {
    let mut server = Server::new();
    let (tag, cookie) = server.handshake(CLIENT);
    let good = echo(tag, &cookie);
    assert!(server.receive_from("192.0.2.8:40000", &good).is_none());
    assert!(server.receive_from("192.0.2.7:40001", &good).is_none());
    assert!(
        server
            .receive_from(CLIENT, &echo(tag ^ 1, &cookie))
            .is_none()
    );
    let other = Ports {
        remote: 50_001,
        ..PORTS
    };
    let other_port = packet_between(other, tag, |p| p.cookie_echo(&cookie));
    assert!(server.receive_from(CLIENT, &other_port).is_none());
    let mut forged = cookie.clone();
    forged[20] ^= 1;
    assert!(server.receive_from(CLIENT, &echo(tag, &forged)).is_none());
    assert!(server.receive_from(CLIENT, &echo(tag, b"")).is_none());
    assert_eq!(server.endpoint.stats().cookies_rejected, 6);
    assert_eq!(server.endpoint.associations(), 0);
    assert!(matches!(
        server.receive_from(CLIENT, &good),
        Some(DatagramEvent::New(_))
    ));
}

#[test]
fn a_stale_cookie_is_answered_with_its_staleness() {
    let mut server = Server::new();
    let (tag, cookie) = server.handshake(CLIENT);
    server.now += Duration::from_secs(60) + Duration::from_nanos(1);
    server.receive_from(CLIENT, &echo(tag, &cookie));
    let (reply_tag, chunk) = server.replied();
    assert_eq!(reply_tag, CLIENT_TAG);
    let Chunk::Error(causes) = chunk else {
        panic!("{chunk:?}");
    };
    let cause = causes.iter().next().unwrap();
    assert_eq!(
        (cause.code, cause.info),
        (cause::STALE_COOKIE, &[0, 0, 0, 1][..])
    );
    assert_eq!(server.endpoint.stats().cookies_stale, 1);
    assert_eq!(server.endpoint.associations(), 0);
}

#[test]
fn cookie_of_an_associated_peer_goes_to_the_association() {
    let mut server = Server::new();
    let (tag, cookie) = server.handshake(CLIENT);
    let handle = server.associate(77);
    server.now += Duration::from_secs(61);
    let (to, kind) = to_association(server.receive_from(CLIENT, &echo(tag, &cookie)));
    assert_eq!(to, handle);
    let AssociationEventKind::CookieEcho {
        cookie, freshness, ..
    } = kind
    else {
        panic!("{kind:?}");
    };
    assert_eq!(cookie.local_tag, tag);
    assert_eq!(freshness, Freshness::Stale(Duration::from_secs(1)));
}

#[test]
fn a_tag_taken_meanwhile_spoils_the_cookie() {
    let mut server = Server::new();
    let (tag, cookie) = server.handshake("192.0.2.8:1");
    server.associate(tag);
    let packet = echo(tag, &cookie);
    assert!(server.receive_from("192.0.2.8:1", &packet).is_none());
    assert_eq!(server.endpoint.stats().cookies_rejected, 1);
}

#[test]
fn cookies_where_nobody_listens_any_more_are_aborted() {
    let mut server = Server::new();
    let (tag, cookie) = server.handshake(CLIENT);
    server.endpoint.set_server_config(None);
    server.receive_from(CLIENT, &echo(tag, &cookie));
    assert_eq!(server.replied_abort(), (CLIENT_TAG, false, None));
}

// ── waiting peers ──

#[test]
fn retransmissions_of_a_waiting_peer_are_absorbed() {
    let mut server = Server::new();
    let (tag, cookie, incoming) = server.waiting(CLIENT);
    for seconds in [1, 60, 120] {
        server.now = NOW + Duration::from_secs(seconds);
        assert!(server.receive_from(CLIENT, &echo(tag, &cookie)).is_none());
    }
    assert_eq!(server.endpoint.associations(), 1);
    assert!(server.endpoint.take(&incoming).unwrap().early.is_empty());
}

#[test]
fn early_packets_are_kept_up_to_a_bound() {
    let mut server = Server::new();
    let (tag, _, incoming) = server.waiting(CLIENT);
    for _ in 0..100 {
        assert!(server.receive_from(CLIENT, &data(tag, 1000)).is_none());
    }
    for _ in 0..1000 {
        assert!(server.receive_from(CLIENT, &data(tag, 1)).is_none());
    }
    let pending = server.endpoint.take(&incoming).unwrap();
    let kept: usize = pending.early.iter().map(|(_, packet)| packet.len()).sum();
    assert!(kept > 48 * 1024 && kept <= 64 * 1024, "{kept}");
    assert!(pending.early.len() < 70);
}

//= RFC 9260 §3.3.7, test
//# If an endpoint receives an ABORT chunk with a format error...
#[test]
fn a_waiting_peer_does_not_give_up_by_an_abort_with_a_format_error() {
    let mut server = Server::new();
    let (tag, _, _incoming) = server.waiting(CLIENT);
    for (tag, t_bit) in [(tag, 0), (CLIENT_TAG, 1)] {
        for causes in [&[0, 12, 0, 3][..], &[0, 12, 0, 9, 1, 2, 3, 4], &[0, 12]] {
            let broken = packet(tag, |p| p.chunk(kind::ABORT, t_bit, causes));
            assert!(server.receive_from(CLIENT, &broken).is_none());
            assert_eq!(server.endpoint.associations(), 1, "{causes:?}");
        }
    }
}

#[test]
fn a_waiting_peer_can_give_up() {
    let mut server = Server::new();
    let (tag, _, incoming) = server.waiting(CLIENT);
    // Neither another's tag nor a wrong T bit will do.
    for packet in [abort(tag, true), abort(CLIENT_TAG, false), abort(1, true)] {
        server.receive_from(CLIENT, &packet);
    }
    assert_eq!(server.endpoint.associations(), 1);
    assert!(server.receive_from(CLIENT, &abort(tag, false)).is_none());
    assert_eq!(server.endpoint.associations(), 0);
    let gone = server.endpoint.accept(NOW, incoming, None);
    assert_eq!(gone.unwrap_err(), AcceptError::Gone);

    let (_, _, _incoming) = server.waiting(CLIENT);
    assert!(
        server
            .receive_from(CLIENT, &abort(CLIENT_TAG, true))
            .is_none()
    );
    assert_eq!(server.endpoint.associations(), 0);
}

#[test]
fn a_later_peer_is_not_mistaken_for_one_that_gave_up() {
    let mut server = Server::new();
    let (tag, _, first) = server.waiting(CLIENT);
    server.receive_from(CLIENT, &abort(tag, false));
    let (_, _, second) = server.waiting(CLIENT);
    assert_eq!(first.handle, second.handle);
    server.endpoint.ignore(first);
    assert_eq!(server.endpoint.associations(), 1);
    server.endpoint.ignore(second);
    assert_eq!(server.endpoint.associations(), 0);
}

#[test]
fn a_waiting_peer_that_begins_anew_keeps_its_place() {
    let mut server = Server::new();
    let (old_tag, old_cookie, incoming) = server.waiting(CLIENT);
    server.receive_from(CLIENT, &data(old_tag, 10));
    server.now += Duration::from_secs(1);
    let (tag, cookie) = server.handshake(CLIENT);
    assert!(server.receive_from(CLIENT, &echo(tag, &cookie)).is_none());
    // The old cookie is genuine and fresh still, but older.
    assert!(
        server
            .receive_from(CLIENT, &echo(old_tag, &old_cookie))
            .is_none()
    );
    assert_eq!(server.endpoint.associations(), 1);
    assert_eq!(server.endpoint.routes.by_tag(old_tag), None);
    let pending = server.endpoint.take(&incoming).unwrap();
    assert_eq!(pending.cookie.local_tag, tag);
    assert!(pending.early.is_empty());
}

#[test]
fn the_backlog_is_bounded() {
    let mut server = Server::with(
        |_| (),
        |listen| {
            listen.max_pending(2);
        },
    );
    let (_, _, first) = server.waiting("192.0.2.1:1");
    let (_, _, _second) = server.waiting("192.0.2.2:1");
    let (tag, cookie) = server.handshake("192.0.2.3:1");
    assert!(
        server
            .receive_from("192.0.2.3:1", &echo(tag, &cookie))
            .is_none()
    );
    assert_eq!(server.endpoint.stats().backlog_overflow, 1);
    server.endpoint.ignore(first);
    let event = server.receive_from("192.0.2.3:1", &echo(tag, &cookie));
    assert!(matches!(event, Some(DatagramEvent::New(_))));
}

#[test]
fn a_full_endpoint_says_so() {
    let mut server = Server::with(
        |endpoint| {
            endpoint.max_associations(1);
        },
        |_| (),
    );
    let (tag, cookie) = server.handshake("192.0.2.8:1");
    let (_, _, _incoming) = server.waiting(CLIENT);
    let full = (CLIENT_TAG, false, Some(cause::OUT_OF_RESOURCE));
    server.receive_from("192.0.2.8:1", &echo(tag, &cookie));
    assert_eq!(server.replied_abort(), full);
    server.receive_from("192.0.2.9:1", &init());
    assert_eq!(server.replied_abort(), full);
    let config = Arc::new(AssociationConfig::default());
    let peer = meta("192.0.2.9:1").remote;
    let connect = server.endpoint.connect(NOW, config, &[], &[peer]);
    assert_eq!(connect.unwrap_err(), ConnectError::TooManyAssociations);
}

#[test]
fn an_accepted_peer_has_what_came_while_it_waited() {
    let mut server = Server::new();
    let (tag, _, incoming) = server.waiting(CLIENT);
    server.receive_from(CLIENT, &data(tag, 3));
    server.endpoint.set_server_config(None);
    let accepted = server.endpoint.accept(server.now, incoming, None);
    let (handle, mut association) = accepted.unwrap();
    assert_eq!(association.ports(), (PORTS.local, PORTS.remote));
    let message = association.recv(crate::StreamId(0)).unwrap();
    assert_eq!(message.data.into_bytes(), [0xDA; 3][..]);

    let (to, _) = to_association(server.receive_from(CLIENT, &data(tag, 3)));
    assert_eq!(to, handle);
    assert_eq!(server.endpoint.associations(), 1);
}

#[test]
fn a_refused_peer_is_aborted() {
    let mut server = Server::new();
    let (_, _, incoming) = server.waiting(CLIENT);
    let transmit = server.endpoint.refuse(incoming, &mut server.reply);
    assert_eq!(transmit.size, server.reply.len());
    assert_eq!(transmit.destination, meta(CLIENT).remote);
    let code = Some(cause::USER_INITIATED_ABORT);
    assert_eq!(server.replied_abort(), (CLIENT_TAG, false, code));
    assert_eq!(server.endpoint.associations(), 0);
}

// ── other packets ──

#[test]
fn packets_reach_their_association_whatever_the_udp_port() {
    let mut server = Server::new();
    let handle = server.associate(77);
    for remote in [CLIENT, "192.0.2.7:1", "[::ffff:192.0.2.7]:5"] {
        let (to, kind) = to_association(server.receive_from(remote, &data(77, 5)));
        assert_eq!(to, handle);
        assert!(matches!(kind, AssociationEventKind::Datagram { .. }));
    }
}

#[test]
fn a_foreign_tag_from_a_peer_is_dropped_but_for_the_exceptions() {
    let mut server = Server::new();
    let handle = server.associate(77);
    assert!(server.receive_from(CLIENT, &data(78, 5)).is_none());
    assert!(server.receive_from(CLIENT, &abort(78, false)).is_none());
    assert_eq!(server.endpoint.stats().out_of_the_blue, 2);
    let exceptions = [
        abort(78, true),
        packet(78, |p| p.shutdown_complete(true)),
        packet(78, |p| p.shutdown_ack()),
    ];
    for packet in exceptions {
        assert_eq!(
            to_association(server.receive_from(CLIENT, &packet)).0,
            handle
        );
    }
}

#[test]
fn a_known_tag_from_elsewhere_gets_no_answer() {
    let mut server = Server::new();
    let handle = server.associate(77);
    // The association knows by itself where its peer is.
    let packet = data(77, 5);
    let event = server.receive_from("192.0.2.8:40000", &packet);
    assert_eq!(to_association(event).0, handle);
    let ports = Ports {
        remote: 50_001,
        ..PORTS
    };
    let other_port = packet_between(ports, 77, |p| p.shutdown(Tsn::new(1)));
    server.receive_from(CLIENT, &other_port);
    assert_eq!(server.replied_abort(), (77, true, None));
}

#[test]
fn out_of_the_blue_packets_are_answered_with_their_own_tag() {
    let mut server = Server::new();
    server.receive_from(CLIENT, &data(5, 5));
    assert_eq!(server.replied_abort(), (5, true, None));
    server.receive_from(CLIENT, &packet(5, |p| p.shutdown_ack()));
    assert_eq!(
        server.replied(),
        (5, Chunk::ShutdownComplete { t_bit: true })
    );
    for packet in [
        abort(5, false),
        abort(5, true),
        packet(5, |p| p.cookie_ack()),
    ] {
        assert!(server.receive_from(CLIENT, &packet).is_none());
    }
    assert_eq!(server.endpoint.stats().out_of_the_blue, 5);
}

#[test]
fn replies_are_no_larger_than_what_they_answer_but_for_init_ack() {
    let mut server = Server::new();
    for packet in [data(5, 1), packet(5, |p| p.shutdown_ack())] {
        server.receive_from(CLIENT, &packet);
        assert!((1..=packet.len()).contains(&server.reply.len()));
    }
}

#[test]
fn threat_22_nothing_is_sent_to_or_for_more_than_one_host() {
    let mut server = Server::new();
    let many = [
        "224.0.0.1:1",
        "255.255.255.255:1",
        "0.0.0.0:1",
        "[ff02::1]:1",
        "192.0.2.7:0",
    ];
    for remote in many {
        assert!(server.receive_from(remote, &data(5, 5)).is_none());
        assert!(server.receive_from(remote, &init()).is_none());
    }
    let to_group = DatagramMeta {
        local_ip: Some([224, 0, 0, 1].into()),
        ..meta(CLIENT)
    };
    assert!(server.receive(to_group, &data(5, 5)).is_none());
    assert!(server.receive(to_group, &init()).is_none());
}

#[test]
fn replies_are_limited_per_second() {
    let mut server = Server::with(
        |endpoint| {
            endpoint.stateless_replies_per_second(3);
        },
        |_| (),
    );
    let replies = |server: &mut Server| {
        let answered = |_: &i32| server.receive_from(CLIENT, &data(5, 5)).is_some();
        (0..10).filter(answered).count()
    };
    assert_eq!(replies(&mut server), 3);
    assert_eq!(server.endpoint.stats().replies_suppressed, 7);
    server.handshake(CLIENT); // does not count
    server.now += Duration::from_secs(1);
    assert_eq!(replies(&mut server), 3);
}

// ── what associations tell ──

#[test]
fn a_restarted_association_goes_by_its_new_tag() {
    let mut server = Server::new();
    let handle = server.associate(77);
    let restarted = EndpointEvent(EndpointEventKind::TagChanged { new: 78 });
    assert!(server.endpoint.handle_event(handle, restarted).is_none());
    assert!(server.receive_from(CLIENT, &data(77, 5)).is_none());
    assert_eq!(
        to_association(server.receive_from(CLIENT, &data(78, 5))).0,
        handle
    );
}

#[test]
fn a_drained_association_is_forgotten() {
    let mut server = Server::new();
    let handle = server.associate(77);
    let drained = EndpointEvent(EndpointEventKind::Drained);
    assert!(server.endpoint.handle_event(handle, drained).is_none());
    assert_eq!(server.endpoint.associations(), 0);
    server.receive_from(CLIENT, &data(77, 5));
    assert_eq!(server.replied_abort(), (77, true, None));
    server.handshake(CLIENT);
}

// ── connect ──

#[test]
fn impossible_addresses_cannot_be_connected_to() {
    let mut server = Server::new();
    let mut connect = |peers: &[&str]| {
        let config = Arc::new(AssociationConfig::default());
        let peers: Vec<SocketAddr> = peers.iter().map(|p| p.parse().unwrap()).collect();
        server
            .endpoint
            .connect(NOW, config, &[], &peers)
            .unwrap_err()
    };
    assert_eq!(connect(&[]), ConnectError::NoAddress);
    for address in [
        "0.0.0.0:1",
        "[::]:1",
        "224.0.0.1:1",
        "[ff02::1]:1",
        "192.0.2.7:0",
    ] {
        let expected = ConnectError::InvalidAddress(address.parse().unwrap());
        assert_eq!(connect(&[CLIENT, address]), expected);
    }
}

#[test]
fn connecting_makes_a_route() {
    let mut server = Server::new();
    let mut config = AssociationConfig::default();
    config.remote_port(PORTS.remote);
    let (config, peer) = (Arc::new(config), meta(CLIENT).remote);
    let mut connect = || {
        let connected = server
            .endpoint
            .connect(NOW, Arc::clone(&config), &[], &[peer]);
        connected.unwrap()
    };
    let ((a, first), (b, second)) = (connect(), connect());
    assert_ne!(a, b);
    assert_ne!(first.ports(), second.ports());
    let (local, remote) = first.ports();
    assert!(local >= 49_152);
    let crossing = packet_between(Ports { local, remote }, 0, |p| {
        p.init(kind::INIT, &INIT, &ParamWriter::new());
    });
    assert_eq!(to_association(server.receive_from(CLIENT, &crossing)).0, a);
}

#[test]
fn a_port_leads_to_a_peer_once() {
    let mut server = Server::new();
    server.associate(77);
    let mut config = AssociationConfig::default();
    config
        .local_port(Some(PORTS.local))
        .remote_port(PORTS.remote);
    let peer = meta(CLIENT).remote;
    let connect = server.endpoint.connect(NOW, Arc::new(config), &[], &[peer]);
    assert_eq!(connect.unwrap_err(), ConnectError::PortInUse);
}

// ── anything ──

proptest! {
    /// Chunks of any kind, biased to those that the endpoint looks into, with a good checksum.
    #[test]
    fn threat_18_no_packet_is_answered_more_than_threefold(
        list in prop::collection::vec(
            (
                prop_oneof![
                    Just(kind::INIT), Just(kind::COOKIE_ECHO), Just(kind::ABORT),
                    Just(kind::ERROR), Just(kind::SHUTDOWN_ACK), any::<u8>(),
                ],
                any::<u8>(),
                prop::collection::vec(prop_oneof![Just(0), Just(4), any::<u8>()], 0..80),
            ),
            1..4,
        ),
        tag in prop_oneof![Just(0), Just(77), Just(78), any::<u32>()],
        echoes: bool,
    ) {
        let mut server = Server::new();
        server.associate(77);
        let (waiting, cookie, _incoming) = server.waiting("192.0.2.8:1");
        for tag in [tag, waiting] {
            for remote in [CLIENT, "192.0.2.8:1", "192.0.2.9:1"] {
                let packet = packet(tag, |p| {
                    if echoes {
                        p.cookie_echo(&cookie);
                    }
                    for (kind, flags, value) in &list {
                        p.chunk(*kind, *flags, value);
                    }
                });
                server.receive_from(remote, &packet);
                prop_assert!(server.reply.len() <= 3 * packet.len());
            }
        }
        prop_assert!(server.endpoint.associations() <= 2);
    }
}
