//! Setting an association up (§5.1), and what the network or a strange peer makes of it.

use std::time::Duration;

use sctp_proto::{AssociationState, CloseReason, Event, SendInfo, StreamId};
use sctp_tests::{
    build::{abort, bare_abort, cookie_ack, cookie_echo, data, init, init_ack, sack, tlv},
    codec::{Chunk, cause, kind, param},
    pair::{
        Pair,
        Side::{Client, Server},
    },
    peer::{COOKIE, Peer, TAG},
};

/// One way through the default network.
const DELAY: Duration = Duration::from_millis(10);

//= RFC 9260 §5.1.1, test
//# After receiving the stream configuration information from the other...
//= RFC 9260 §5.1.1, test
//# After the association is initialized, the valid outbound stream...
#[test]
fn both_sides_agree_on_what_the_association_is() {
    let mut pair = Pair::builder()
        .client(|c| {
            c.outbound_streams(7).max_inbound_streams(500);
        })
        .server(|c| {
            c.outbound_streams(1000).max_inbound_streams(5);
        })
        .build();
    pair.connect();
    assert_eq!(pair.conn(Client).association.streams(), (5, 500));
    assert_eq!(pair.conn(Server).association.streams(), (500, 5));
    for side in [Client, Server] {
        assert!(pair.conn(side).association.interleaving());
        assert!(pair.conn(side).association.can_reset_streams());
    }
    assert_eq!(pair.conn(Server).association.ports().0, 80);
}

#[test]
fn extensions_need_both_sides() {
    let mut pair = Pair::builder()
        .server(|c| {
            c.interleaving(false).stream_reset(false);
        })
        .build();
    pair.connect();
    for side in [Client, Server] {
        assert!(!pair.conn(side).association.interleaving());
        assert!(!pair.conn(side).association.can_reset_streams());
    }
    pair.send(Client, 3, "as DATA");
    pair.drive();
    assert_eq!(pair.recv(Server, 3).unwrap(), "as DATA");
}

//= RFC 9260 §5, test
//# Before the first data transmission can take place from...
//= RFC 9260 §5.1.4, test
//# When an endpoint (in the COOKIE-WAIT state) receives an...
//= RFC 9260 §5.1, test
//# The COOKIE ECHO chunk MAY be bundled with any...
#[test]
fn it_takes_two_round_trips_and_the_first_request_one() {
    let mut pair = Pair::default();
    let begin = pair.now;
    pair.start();
    pair.send(Client, 0, "request");
    // INIT, INIT ACK, COOKIE ECHO with the request: three times through the network.
    pair.drive_until(|pair| !pair.server.conns.is_empty());
    assert_eq!(pair.now - begin, 3 * DELAY);
    assert_eq!(pair.recv(Server, 0).unwrap(), "request");
    pair.send(Server, 0, "response");
    pair.drive_until(|pair| pair.recv(Client, 0).is_some());
    assert_eq!(pair.now - begin, 4 * DELAY);
}

//= RFC 9260 §3.3.11, test
//# This chunk MUST precede any DATA chunk sent within...
//= RFC 9260 §3.3.12, test
//# This chunk MUST precede any DATA or SACK chunk...
#[test]
fn early_data_survives_the_loss_of_any_packet_of_the_handshake() {
    for lost in [
        kind::INIT,
        kind::INIT_ACK,
        kind::COOKIE_ECHO,
        kind::COOKIE_ACK,
    ] {
        for times in 1..=3 {
            let mut pair = Pair::default();
            pair.net.drop_chunk(lost, times);
            pair.start();
            pair.send(Client, 0, "request");
            pair.drive_until(Pair::established);
            pair.drive();
            assert_eq!(pair.recv(Server, 0).unwrap(), "request", "lost {lost}");
            assert_eq!(pair.recv(Server, 0), None);
            assert_eq!(pair.server.conns.len(), 1);
        }
    }
}

/// The first packets of the answer were discarded until the COOKIE ACK was there, which cost a
/// time-out of T1-cookie and another of the peer's T3-rtx.
#[test]
fn data_stands_for_a_lost_cookie_ack() {
    let mut pair = Pair::default();
    pair.net.drop_chunk(kind::COOKIE_ACK, 1);
    pair.start();
    let begin = pair.now;
    pair.send(Client, 0, "request");
    pair.drive_until(|pair| !pair.server.conns.is_empty());
    pair.send(Server, 0, vec![7; 3000]);
    pair.drive_until(|pair| pair.recv(Client, 0).is_some());
    assert_eq!(pair.now - begin, 4 * DELAY);
    assert_eq!(pair.state(Client), AssociationState::Established);
    pair.drive();
    for side in [Client, Server] {
        let stats = pair.stats(side);
        assert_eq!((stats.t1_expiries, stats.t3_expiries), (0, 0), "{side:?}");
    }
}

/// A lost COOKIE ECHO, and the request in it, waited for RTO.Min, although nobody delays a COOKIE ACK.
#[test]
fn a_lost_cookie_echo_leaves_again_after_two_round_trips() {
    let mut pair = Pair::default();
    pair.net.drop_chunk(kind::COOKIE_ECHO, 1);
    pair.start();
    let begin = pair.now;
    pair.send(Client, 0, "request");
    pair.drive_until(|pair| !pair.server.conns.is_empty());
    assert_eq!(pair.now - begin, 3 * DELAY + 4 * DELAY);
    // Once: then the time-out follows the rules.
    let mut pair = Pair::default();
    pair.net.drop_chunk(kind::COOKIE_ECHO, 3);
    pair.start();
    let begin = pair.now;
    pair.drive_until(|pair| !pair.server.conns.is_empty());
    let waits = 4 * DELAY + Duration::from_millis(400 + 800);
    assert_eq!(pair.now - begin, 3 * DELAY + waits);
}

/// The server had measured nothing yet, and a first answer of one packet waited for RTO.Initial.
#[test]
fn a_lost_first_answer_waits_for_what_the_handshake_took() {
    let mut pair = Pair::default();
    pair.start();
    let begin = pair.now;
    pair.send(Client, 0, "request");
    pair.drive_until(|pair| !pair.server.conns.is_empty());
    pair.net.drop_chunk(kind::I_DATA, 1);
    pair.send(Server, 0, "response");
    pair.drive_until(|pair| pair.recv(Client, 0).is_some());
    // Two round trips until the probe, and as much as the client may delay its SACK.
    let patience = 2 * 2 * DELAY + Duration::from_millis(200);
    assert_eq!(pair.now - begin, 4 * DELAY + patience);
}

#[test]
fn a_handshake_survives_the_doubling_of_every_packet() {
    let mut pair = Pair::default();
    pair.net.script(|_, _| sctp_tests::net::Verdict::Duplicate);
    pair.connect();
    pair.send(Client, 0, "once");
    pair.drive();
    assert_eq!(pair.recv(Server, 0).unwrap(), "once");
    assert_eq!(pair.recv(Server, 0), None);
    assert_eq!((pair.client.conns.len(), pair.server.conns.len()), (1, 1));
    assert!(
        pair.events(Server)
            .iter()
            .all(|e| !matches!(e, Event::Established { .. }))
    );
}

//= RFC 9260 §4, test
//# If the T1-init timer expires, the endpoint MUST retransmit...
//= RFC 9260 §4, test
//# This MUST be repeated up to 'Max.Init.Retransmits' times.
//= RFC 9260 §4, test
//# After that, the endpoint MUST abort the initialization process...
//= RFC 9260 §5.1.6, test
//# When retransmitting the INIT chunk, the endpoint MUST follow...
//= RFC 9260 §5.1, test
//# The T1-init timer and T1-cookie timer SHOULD follow the...
#[test]
fn init_is_given_up_after_max_init_retransmits() {
    let mut peer = Peer::server_with(|c| {
        c.max_init_retransmits(3).rto_max(Duration::from_secs(4));
    });
    peer.expect(kind::INIT);
    let mut waits = Vec::new();
    for _ in 0..3 {
        waits.push(peer.advance_to_packet().as_secs());
        peer.expect(kind::INIT);
    }
    assert_eq!(waits, [1, 2, 4], "the time-out doubles");
    peer.advance(Duration::from_secs(60));
    peer.expect_nothing();
    assert_eq!(peer.closed(), Some(CloseReason::HandshakeTimedOut));
    assert!(peer.association().is_drained());
    assert_eq!(peer.host.endpoint.associations(), 0);
}

//= RFC 9260 §4, test
//# If the T1-cookie timer expires, the endpoint MUST retransmit...
//= RFC 9260 §5.1.4, test
//# If the timer expires, the endpoint MUST retransmit the...
//= RFC 9260 §5.1.4, test
//# The endpoint MUST also start the T1-cookie timer after...
#[test]
fn cookie_echo_is_given_up_after_max_init_retransmits() {
    let mut peer = Peer::server_with(|c| {
        c.max_init_retransmits(3);
    });
    peer.answer_init(init_ack(TAG, COOKIE));
    for _ in 0..3 {
        assert_eq!(peer.expect(kind::COOKIE_ECHO).value, COOKIE);
        peer.advance_to_packet();
    }
    assert_eq!(peer.expect(kind::COOKIE_ECHO).value, COOKIE);
    peer.advance(Duration::from_secs(60));
    peer.expect_nothing();
    assert_eq!(peer.closed(), Some(CloseReason::HandshakeTimedOut));
}

#[test]
fn what_was_queued_comes_back_when_nobody_answers() {
    let mut peer = Peer::server_with(|c| {
        c.max_init_retransmits(1);
    });
    peer.host_send_with(3, "lost", SendInfo::default().context(77));
    peer.advance(Duration::from_secs(60));
    let events = peer.events();
    let failed = Event::SendFailed {
        stream: StreamId(3),
        context: 77,
        sent: 0,
        data: "lost".into(),
    };
    assert!(events.contains(&failed), "{events:?}");
    assert_eq!(
        events.last(),
        Some(&Event::Closed(CloseReason::HandshakeTimedOut))
    );
}

#[test]
fn a_refused_peer_is_told() {
    let mut pair = Pair::default();
    pair.server.auto_accept = false;
    pair.start();
    pair.drive_until(|pair| !pair.server.incoming.is_empty());
    let incoming = pair.server.incoming.pop_front().unwrap();
    assert_eq!(incoming.remote(), pair.client.addrs[0]);
    pair.server.refuse(incoming);
    pair.drive();
    assert!(matches!(
        pair.closed(Client),
        Some(CloseReason::PeerAbort(_))
    ));
    assert_eq!(pair.server.endpoint.associations(), 0);
}

#[test]
fn a_peer_that_waits_for_accept_loses_nothing() {
    let mut pair = Pair::default();
    pair.server.auto_accept = false;
    pair.start();
    pair.send(Client, 2, "patience");
    pair.drive_for(Duration::from_secs(5));
    // Its COOKIE ECHO was repeated, and absorbed.
    assert_eq!(pair.server.incoming.len(), 1);
    let incoming = pair.server.incoming.pop_front().unwrap();
    let now = pair.now;
    pair.server.accept(now, incoming);
    pair.drive();
    assert!(pair.established());
    assert_eq!(pair.recv(Server, 2).unwrap(), "patience");
    assert_eq!(pair.server.conns.len(), 1);
}

#[test]
fn abort_ends_an_attempt_with_the_peers_reason() {
    let mut peer = Peer::server();
    let chunk = peer.expect(kind::INIT).as_init();
    // A tag that is not the initiate tag ends nothing (§8.5.1 B).
    peer.send_tagged(
        chunk.tag ^ 1,
        abort(cause::INVALID_MANDATORY_PARAMETER, b""),
    );
    assert_eq!(peer.state(), AssociationState::CookieWait);
    peer.send_tagged(chunk.tag, abort(cause::OUT_OF_RESOURCE, b""));
    let Some(CloseReason::PeerAbort(Some(reason))) = peer.closed() else {
        panic!("{:?}", peer.closed());
    };
    assert_eq!(reason.name(), "out of resource");
    peer.expect_nothing();
}

//= RFC 9260 §8.5, test
//# When receiving an SCTP packet, the endpoint MUST ensure...
#[test]
fn an_init_ack_needs_the_tag_of_the_init() {
    let mut peer = Peer::server();
    let chunk = peer.expect(kind::INIT).as_init();
    peer.send_tagged(chunk.tag ^ 1, init_ack(TAG, COOKIE));
    peer.expect_nothing();
    assert_eq!(peer.state(), AssociationState::CookieWait);
    peer.send_tagged(chunk.tag, init_ack(TAG, COOKIE));
    peer.expect(kind::COOKIE_ECHO);
}

//= RFC 9260 §3.3.3, test
//# If an endpoint in the COOKIE-WAIT state receives an INIT ACK chunk with the OS value set to 0,
//# it MUST destroy the TCB and SHOULD send an ABORT chunk.
//= RFC 9260 §3.3.3, test
//# If an endpoint in the COOKIE-WAIT state receives an INIT ACK chunk with the MIS value set to 0,
//# it MUST destroy the TCB and SHOULD send an ABORT chunk.
//= RFC 9260 §5.1, test
//# The Verification Tag field in the common header of...
#[test]
fn an_init_ack_with_nonsense_ends_the_attempt() {
    // §3.3.3: an initiate tag of zero, no streams.
    let nonsense = [
        init_ack(0, COOKIE),
        init_ack(TAG, COOKIE).streams(0, 1),
        init_ack(TAG, COOKIE).streams(1, 0),
    ];
    for chunk in nonsense {
        let mut peer = Peer::server();
        peer.host_tag = peer.expect(kind::INIT).as_init().tag;
        let forged = Chunk::from(chunk);
        peer.tag = forged.as_init().tag;
        peer.send(forged);
        assert!(peer.find(kind::COOKIE_ECHO).is_none());
        assert_eq!(peer.state(), AssociationState::Closed);
    }
    let mut peer = Peer::server();
    peer.host_tag = peer.expect(kind::INIT).as_init().tag;
    let mut without_cookie = Chunk::from(init(TAG));
    without_cookie.kind = kind::INIT_ACK;
    peer.send(without_cookie);
    peer.expect_abort(cause::MISSING_PARAMETER);
}

//= RFC 9260 §3.3.2, test
//# A receiver of an INIT chunk with the a_rwnd...
//= RFC 9260 §3.3.2, test
//# A receiver of an INIT chunk with the OS...
//= RFC 9260 §3.3.2, test
//# A receiver of an INIT chunk with the MIS...
//= RFC 9260 §5.1, test
//# If an endpoint receives an INIT, INIT ACK, or...
//= RFC 9260 §8.4, test
//# If, for whatever reason, the INIT chunk cannot be...
#[test]
fn an_init_that_cannot_be_obeyed_is_answered_with_abort() {
    // §3.3.2: no streams, or a window below the least a peer must have.
    for chunk in [
        init(TAG).streams(0, 1),
        init(TAG).streams(1, 0),
        init(TAG).a_rwnd(1499),
    ] {
        let mut peer = Peer::client();
        peer.send_tagged(0, chunk);
        let answer = peer.expect(kind::ABORT);
        assert!(!answer.t_bit());
        assert_eq!(peer.host.endpoint.associations(), 0);
    }
    let mut peer = Peer::client();
    peer.tag = 0;
    peer.send_tagged(0, init(0));
    assert!(peer.find(kind::INIT_ACK).is_none());
}

//= RFC 9260 §3, test
//# INIT, INIT ACK, and SHUTDOWN COMPLETE chunks MUST NOT...
//= RFC 9260 §5.1, test
//# An INIT or INIT ACK chunk MUST NOT be...
//= RFC 9260 §5.1, test
//# They MUST be the only chunks present in the...
//= RFC 9260 §8.5.1, test
//# When an endpoint receives an SCTP packet with the...
//= RFC 9260 §8.5.1, test
//# Otherwise, the receiver MUST silently discard the packet.
//= RFC 9260 §3.1, test
//# A packet containing an INIT chunk MUST have a...
#[test]
fn an_init_shares_its_packet_with_nothing_and_has_tag_zero() {
    let mut peer = Peer::client();
    peer.send_tagged(5, init(TAG));
    assert!(peer.find(kind::INIT_ACK).is_none());
    let bundle = vec![init(TAG).into(), data(0).be()];
    let packet = peer.packet(0, bundle);
    peer.send_bytes(packet.encode());
    peer.expect_nothing();
    let bundle = vec![data(0).be(), init(TAG).into()];
    let packet = peer.packet(0, bundle);
    peer.send_bytes(packet.encode());
    peer.expect_nothing();
}

#[test]
fn an_init_to_a_port_nobody_listens_on_is_answered_with_abort() {
    let mut peer = Peer::client();
    peer.host_port = 81;
    peer.send_tagged(0, init(TAG));
    let answer = peer.expect(kind::ABORT);
    assert!(!answer.t_bit(), "the tag is the INIT's (§8.4)");
}

//= RFC 9260 §3.2.2, test
//# If the receiver of an INIT chunk detects unrecognized...
//= RFC 9260 §3.3.3.1.2, test
//# This parameter is returned to the originator of the...
#[test]
fn unknown_parameters_are_treated_by_their_two_high_bits() {
    // 00 stop, 01 stop and report, 10 skip, 11 skip and report (§3.2.1). What follows in the
    // packet is a request for RE-CONFIG, which only a reader that goes on will see.
    for (unknown, goes_on, reported) in [
        (0x3fff, false, false),
        (0x7fff, false, true),
        (0xbfff, true, false),
        (0xffff, true, true),
    ] {
        let mut peer = Peer::client();
        let chunk = init(TAG)
            .param(unknown, b"what?")
            .extensions(&[kind::RE_CONFIG]);
        let answer = peer.init(chunk);
        let report = answer.param(param::UNRECOGNIZED);
        let expected = reported.then(|| tlv(unknown, b"what?"));
        assert_eq!(report.map(|r| r[..9].to_vec()), expected, "{unknown:#x}");
        peer.send(cookie_echo(&answer.cookie()));
        peer.expect(kind::COOKIE_ACK);
        assert_eq!(
            peer.association().can_reset_streams(),
            goes_on,
            "{unknown:#x}"
        );
    }
}

//= RFC 9260 §3.3.2, test
//# The receiver of an INIT chunk containing a Host...
//= RFC 9260 §3.3.2.1.4, test
//# The receiver of an INIT chunk or an INIT...
//= RFC 9260 §3.3.3, test
//# The receiver of INIT ACK chunks containing a Host...
//= RFC 9260 §5.1.2, test
//# If there is a Host Name Address parameter present...
#[test]
fn a_host_name_address_is_refused() {
    let mut peer = Peer::client();
    peer.send_tagged(0, init(TAG).param(param::HOST_NAME, b"example\0"));
    let answer = peer.expect(kind::ABORT);
    assert_eq!(answer.cause(), Some(cause::UNRESOLVABLE_ADDRESS));
}

//= RFC 9260 §5.1.1, test
//# In the INIT and INIT ACK chunks, the sender...
//= RFC 6951 §3.2, test
//# For single-homed associations, IP addresses MUST NOT be listed...
#[test]
fn init_says_what_the_configuration_says() {
    let mut peer = Peer::server_with(|c| {
        c.outbound_streams(9).max_inbound_streams(11);
        c.receive_window(100_000);
    });
    let chunk = peer.expect(kind::INIT).as_init();
    assert_ne!(chunk.tag, 0);
    assert_eq!((chunk.outbound_streams, chunk.inbound_streams), (9, 11));
    assert_eq!(chunk.a_rwnd, 100_000);
    assert!(chunk.supports(kind::RE_CONFIG) && chunk.supports(kind::I_DATA));
    let addresses = chunk.addresses();
    assert!(addresses.is_empty(), "one address is that of the packet");
}

#[test]
fn a_packet_of_the_handshake_is_not_acknowledged_by_strangers() {
    // COOKIE ACK and SACK in COOKIE-WAIT change nothing (§5.2.5).
    let mut peer = Peer::server();
    peer.host_tag = peer.expect(kind::INIT).as_init().tag;
    peer.send(cookie_ack());
    peer.send(sack(5));
    assert_eq!(peer.state(), AssociationState::CookieWait);
    // An ABORT that reflects a tag the peer does not have yet is not for this association.
    peer.send_tagged(0x1234, bare_abort(true));
    assert_eq!(peer.state(), AssociationState::CookieWait);
}
