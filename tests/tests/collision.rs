//! Set-up chunks for an association that exists already (§5.2): collisions, restarts, duplicates.
//!
//! The rows of Table 12 are made the way they come about: the peer collects cookies at one moment
//! and sends them at another.

use std::{net::SocketAddr, time::Duration};

use sctp_proto::{AssociationState, Event, SendInfo, StreamId};
use sctp_tests::{
    build::{cookie_ack, cookie_echo, data, error, init, init_ack, shutdown},
    codec::{Init, cause, kind, param},
    net::{Link, Verdict},
    pair::{
        Pair,
        Side::{Client, Server},
    },
    peer::{COOKIE, Peer, TAG},
};

/// Another tag of the peer.
const OTHER: u32 = 0x2222_2222;

/// Sends an INIT beside the association and gives the INIT ACK; peer and association stay what
/// they were.
fn init_aside(peer: &mut Peer, tag: u32) -> Init {
    let before = (peer.state(), peer.tag);
    peer.tag = tag;
    peer.send_tagged(0, init(tag).extensions(&[kind::RE_CONFIG]));
    let answer = peer.expect(kind::INIT_ACK).as_init();
    peer.tag = before.1;
    assert_eq!(peer.state(), before.0, "INIT changes no state");
    answer
}

/// Sends a cookie under the tag of its INIT ACK.
fn echo(peer: &mut Peer, answer: &Init) {
    peer.send_tagged(answer.tag, cookie_echo(&answer.cookie()));
}

/// That messages go both ways, from TSN `tsn` of the peer.
fn assert_alive(peer: &mut Peer, tsn: u32) {
    assert_eq!(peer.state(), AssociationState::Established);
    peer.send(data(9).tsn(tsn).payload("ping").be());
    assert_eq!(peer.host_recv(9).unwrap(), "ping");
    peer.receive_all();
    peer.host_send(9, "pong");
    let chunk = peer.find(kind::DATA).expect("DATA").as_data();
    assert_eq!(chunk.payload, b"pong");
}

const OPEN: [AssociationState; 4] = [
    AssociationState::Established,
    AssociationState::ShutdownPending,
    AssociationState::ShutdownSent,
    AssociationState::ShutdownReceived,
];

//= RFC 9260 §5.2.1, test
//# Upon receipt of an INIT chunk in the COOKIE-WAIT...
//= RFC 9260 §5.2.1, test
//# After that, the endpoint MUST NOT change its state,...
#[test]
fn an_init_in_cookie_wait_is_answered_with_the_tag_and_tsn_of_the_own_init() {
    let mut peer = Peer::server();
    let own = peer.expect(kind::INIT).as_init();
    let answer = init_aside(&mut peer, TAG);
    assert_eq!((answer.tag, answer.tsn), (own.tag, own.tsn));
    assert_eq!(answer.a_rwnd, own.a_rwnd);
    // T1-init runs on: the INIT is repeated.
    peer.advance(Duration::from_secs(1));
    assert_eq!(peer.expect(kind::INIT).as_init().tag, own.tag);
}

//= RFC 9260 §5.2.1, test
//# Upon receipt of an INIT chunk in the COOKIE-ECHOED...
//= RFC 9260 §5.2.1, test
//# The endpoint MUST also generate a State Cookie with...
#[test]
fn an_init_in_cookie_echoed_is_answered_with_the_tag_and_tsn_of_the_own_init() {
    let mut peer = Peer::server();
    let own = peer.answer_init(init_ack(TAG, COOKIE));
    peer.expect(kind::COOKIE_ECHO);
    let answer = init_aside(&mut peer, TAG);
    assert_eq!((answer.tag, answer.tsn), (own.tag, own.tsn));
    assert_eq!(peer.state(), AssociationState::CookieEchoed);
}

//= RFC 9260 §5.2.2, test
//# Unless otherwise stated, upon receipt of an unexpected INIT...
//= RFC 9260 §5.2.2, test
//# And the INIT ACK chunk MUST contain a new...
//= RFC 9260 §5.2.2, test
//# After sending the INIT ACK or ABORT chunk, the...
//= RFC 9260 §5.2.2, test
//# The outbound SCTP packet containing this INIT ACK chunk...
#[test]
fn an_init_in_other_states_is_answered_with_a_new_tag_and_changes_nothing() {
    for state in OPEN {
        // The same tag as before (a duplicate), or another (a restart).
        for tag in [TAG, OTHER] {
            let mut peer = Peer::in_state(state);
            let answer = init_aside(&mut peer, tag);
            assert_ne!(answer.tag, peer.host_tag, "a new tag in {state:?}");
            assert_ne!(answer.tag, 0);
            assert_eq!(peer.events(), [], "{state:?}");
            assert_eq!(peer.host.live(), 1);
        }
    }
}

#[test]
fn a_thousand_duplicated_inits_change_nothing() {
    let mut peer = Peer::connected();
    for _ in 0..1000 {
        init_aside(&mut peer, TAG);
    }
    assert_eq!(peer.events(), []);
    assert_alive(&mut peer, 1);
}

//= RFC 9260 §9.2, test
//# If an endpoint is in the SHUTDOWN-ACK-SENT state and receives an...
#[test]
fn an_init_in_shutdown_ack_sent_is_answered_with_shutdown_ack() {
    let mut peer = Peer::in_state(AssociationState::ShutdownAckSent);
    peer.send_tagged(0, init(OTHER));
    peer.expect(kind::SHUTDOWN_ACK);
    assert_eq!(peer.state(), AssociationState::ShutdownAckSent);
}

#[test]
fn an_init_with_a_new_address_adds_none() {
    // §5.2.2 asks for ABORT where the address would be added. An endpoint that would not use it
    // may as well answer, as long as nothing ever goes there.
    let mut peer = Peer::connected();
    peer.tag = OTHER;
    peer.send_tagged(0, init(OTHER).param(param::IPV4_ADDRESS, &[10, 9, 9, 9]));
    let answer = peer.receive().expect("an answer").packet.chunks.remove(0);
    peer.tag = TAG;
    assert_eq!(peer.association().paths().count(), 1);
    assert_alive(&mut peer, 1);
    if answer.kind == kind::ABORT {
        assert!(!answer.t_bit());
        assert_eq!(answer.cause(), Some(cause::RESTART_WITH_NEW_ADDRESSES));
        return;
    }
    let answer = answer.as_init();
    peer.tag = OTHER;
    echo(&mut peer, &answer);
    peer.host_send(1, vec![0; 10_000]);
    peer.advance(Duration::from_secs(100));
    assert_eq!(peer.association().paths().count(), 1);
    let addr = peer.addr;
    assert!(
        peer.receive_all()
            .iter()
            .all(|received| received.to == addr)
    );
}

#[test]
fn an_init_from_another_udp_port_is_refused_and_moves_nothing() {
    let mut peer = Peer::connected();
    let elsewhere = SocketAddr::from(([10, 0, 0, 1], 4000));
    let packet = peer.packet(0, vec![init(OTHER).into()]);
    peer.send_from(elsewhere, packet.encode());
    let answer = peer.receive().expect("an answer");
    assert_eq!(answer.to, elsewhere);
    assert_eq!(answer.packet.tag, OTHER);
    let refusal = &answer.packet.chunks[0];
    assert_eq!(refusal.cause(), Some(cause::NEW_ENCAPSULATION_PORT));
    let (_, ports) = refusal.causes().remove(0);
    assert_eq!(
        ports,
        [9899_u16.to_be_bytes(), 4000_u16.to_be_bytes()].concat()
    );
    assert_alive(&mut peer, 1);
}

//= RFC 9260 §5.2.4, test
//# A RESTART notification SHOULD be sent to the ULP...
//= RFC 9260 §5.2.2, test
//# If no new addresses are added, when responding to...
#[test]
fn action_a_a_restarted_peer_gets_a_new_association() {
    for state in OPEN {
        let mut peer = Peer::in_state(state);
        let answer = init_aside(&mut peer, OTHER);
        peer.tag = OTHER;
        echo(&mut peer, &answer);
        peer.expect(kind::COOKIE_ACK);
        let events = peer.events();
        let restarted = Event::Established { restarted: true };
        assert!(events.contains(&restarted), "{state:?}: {events:?}");
        assert_eq!(peer.state(), AssociationState::Established);
        assert_eq!(peer.host.live(), 1);
        // The old tag is dead, the new one alive, and numbers begin anew.
        let old_tag = peer.host_tag;
        peer.send_tagged(old_tag, data(9).tsn(1).payload("old").be());
        assert_eq!(peer.host_recv(9), None);
        peer.host_tag = answer.tag;
        peer.receive_all();
        assert_alive(&mut peer, 1);
    }
}

#[test]
fn what_was_queued_before_a_restart_comes_back_and_nothing_goes_over() {
    let mut peer = Peer::connected();
    peer.send(data(3).tsn(1).payload("unread").be());
    peer.host_send_with(3, "unacknowledged", SendInfo::default().context(5));
    let answer = init_aside_forgetting(&mut peer);
    peer.tag = OTHER;
    echo(&mut peer, &answer);
    let failed = Event::SendFailed {
        stream: StreamId(3),
        context: 5,
        sent: "unacknowledged".len(),
        data: "unacknowledged".into(),
    };
    let events = peer.events();
    assert!(events.contains(&failed), "{events:?}");
    assert_eq!(peer.host_recv(3), None, "unread messages are gone");
    peer.receive_all();
    peer.advance(Duration::from_secs(10));
    assert_eq!(peer.find(kind::DATA), None);
    peer.host_tag = answer.tag;
    // Streams and TSNs begin anew.
    assert_alive(&mut peer, 1);
    peer.send(data(3).tsn(2).seq(0).payload("new").be());
    assert_eq!(peer.host_recv(3).unwrap(), "new");
}

fn init_aside_forgetting(peer: &mut Peer) -> Init {
    peer.receive_all();
    init_aside(peer, OTHER)
}

//= RFC 9260 §5.2.4, test
//# If the endpoint is in the SHUTDOWN-ACK-SENT state and...
#[test]
fn action_a_in_shutdown_ack_sent_resends_shutdown_ack_with_an_error() {
    let mut peer = Peer::connected();
    let answer = init_aside(&mut peer, OTHER);
    let all = peer.host_tsn(0).wrapping_sub(1);
    peer.send(shutdown(all));
    peer.expect(kind::SHUTDOWN_ACK);
    peer.events();
    // The answer goes to the old or to the new incarnation, by its tag.
    let cookie = cookie_echo(&answer.cookie());
    let packet = peer.packet(answer.tag, vec![cookie]);
    let addr = peer.addr;
    peer.addr = SocketAddr::from(([10, 0, 0, 99], 1));
    peer.send_from(addr, packet.encode());
    peer.addr = addr;
    let received = peer.receive_all();
    let chunks: Vec<_> = received.iter().flat_map(|r| &r.packet.chunks).collect();
    assert!(chunks.iter().any(|c| c.kind == kind::SHUTDOWN_ACK));
    let report = chunks
        .iter()
        .find(|c| c.kind == kind::ERROR)
        .expect("ERROR");
    assert_eq!(report.cause(), Some(cause::COOKIE_WHILE_SHUTTING_DOWN));
    assert_eq!(peer.state(), AssociationState::ShutdownAckSent);
}

#[test]
fn action_b_in_cookie_wait_establishes() {
    // Local tag M, peer's tag 0.
    let mut peer = Peer::server();
    peer.expect(kind::INIT);
    let answer = init_aside(&mut peer, TAG);
    peer.host_tag = answer.tag;
    echo(&mut peer, &answer);
    peer.expect(kind::COOKIE_ACK);
    peer.take_established(false);
    assert_eq!(peer.host.live(), 1);
    // T1-init is stopped.
    peer.advance(Duration::from_secs(60));
    peer.expect_nothing();
    assert_alive(&mut peer, 1);
}

//= RFC 9260 §5.2.4, test
//# The endpoint SHOULD stay in or enter the ESTABLISHED...
#[test]
fn action_b_in_cookie_echoed_takes_the_peers_new_tag() {
    // Local tag M, peer's tag X.
    let mut peer = Peer::server();
    let own = peer.answer_init(init_ack(TAG, COOKIE));
    peer.expect(kind::COOKIE_ECHO);
    let answer = init_aside(&mut peer, OTHER);
    assert_eq!(answer.tag, own.tag);
    peer.tag = OTHER;
    echo(&mut peer, &answer);
    peer.expect(kind::COOKIE_ACK);
    peer.take_established(false);
    peer.advance(Duration::from_secs(60));
    peer.expect_nothing();
    assert_alive(&mut peer, 1);
}

#[test]
fn action_b_in_established_takes_the_peers_new_tag() {
    // Local tag M, peer's tag X, from a cookie of before.
    let mut peer = Peer::server();
    let own = peer.expect(kind::INIT).as_init();
    let answer = init_aside(&mut peer, OTHER);
    (peer.host_tag, peer.host_tsn) = (own.tag, own.tsn);
    peer.send(init_ack(TAG, COOKIE));
    peer.expect(kind::COOKIE_ECHO);
    peer.send(cookie_ack());
    peer.take_established(false);
    peer.tag = OTHER;
    echo(&mut peer, &answer);
    peer.expect(kind::COOKIE_ACK);
    assert_eq!(peer.events(), []);
    assert_alive(&mut peer, 1);
}

//= RFC 9260 §5.2.4, test
//# The cookie SHOULD be silently discarded.
//= RFC 9260 §5.2.4, test
//# The endpoint SHOULD NOT change states and SHOULD leave...
#[test]
fn action_c_a_late_cookie_is_discarded() {
    // Local tag X, peer's tag M, no tie-tags: the peer got this cookie before the host began an
    // association of its own, in which the peer uses the same tag.
    let mut peer = Peer::client();
    (peer.port, peer.host_port) = (80, 80);
    let early = peer.init(init(TAG));
    let mut config = sctp_proto::AssociationConfig::default();
    config.heartbeat_interval(None).local_port(Some(80));
    let (now, addr) = (peer.now, peer.addr);
    peer.host.connect(now, config, &[addr]).unwrap();
    peer.collect();
    peer.answer_init(init_ack(TAG, COOKIE));
    peer.expect(kind::COOKIE_ECHO);
    assert_ne!(early.tag, peer.host_tag);
    echo(&mut peer, &early);
    peer.expect_nothing();
    assert_eq!(peer.state(), AssociationState::CookieEchoed);
    assert_eq!(peer.host.live(), 1);
    // Its timer runs on, and the handshake completes.
    peer.advance_to_packet();
    peer.expect(kind::COOKIE_ECHO);
    peer.send(cookie_ack());
    assert_alive(&mut peer, 1);
    echo(&mut peer, &early);
    assert_eq!(peer.find(kind::COOKIE_ACK), None);
    assert_eq!(peer.state(), AssociationState::Established);
}

#[test]
fn action_d_a_duplicated_cookie_is_acknowledged_again() {
    let mut peer = Peer::client();
    let answer = peer.init(init(TAG));
    for _ in 0..3 {
        echo(&mut peer, &answer);
        peer.expect(kind::COOKIE_ACK);
    }
    peer.take_established(false);
    assert_eq!(peer.events(), []);
    assert_eq!(peer.host.live(), 1);
    // Even when its life is over: both tags match (§5.2.4, 3).
    peer.advance(Duration::from_secs(3600));
    echo(&mut peer, &answer);
    peer.expect(kind::COOKIE_ACK);
    assert_alive(&mut peer, 1);
}

//= RFC 9260 §5.2.4, test
//# When both local and remote tags match, the endpoint...
//= RFC 9260 §5.2.4, test
//# It SHOULD stop any T1-cookie timer that is running...
#[test]
fn action_d_in_cookie_echoed_establishes() {
    // Both tags M: the peer uses one tag for its INIT and its INIT ACK.
    let mut peer = Peer::server();
    peer.expect(kind::INIT);
    let answer = init_aside(&mut peer, TAG);
    (peer.host_tag, peer.host_tsn) = (answer.tag, answer.tsn);
    peer.send(init_ack(TAG, COOKIE));
    peer.expect(kind::COOKIE_ECHO);
    echo(&mut peer, &answer);
    peer.expect(kind::COOKIE_ACK);
    peer.take_established(false);
    peer.advance(Duration::from_secs(60));
    peer.expect_nothing();
    assert_alive(&mut peer, 1);
}

//= RFC 9260 §5.2.4, test
//# For any case not shown in Table 12, the...
#[test]
fn cookies_that_match_no_row_are_discarded() {
    // Both tags X without tie-tags: two cookies from before there was an association.
    let mut peer = Peer::client();
    let first = peer.init(init(TAG));
    peer.tag = OTHER;
    peer.send_tagged(0, init(OTHER));
    let second = peer.expect(kind::INIT_ACK).as_init();
    peer.tag = TAG;
    echo(&mut peer, &first);
    peer.expect(kind::COOKIE_ACK);
    peer.take_established(false);
    echo(&mut peer, &second);
    peer.expect_nothing();

    // The same after a restart: neither the first incarnation's cookie nor the one that
    // restarted it does anything more.
    let restart = init_aside(&mut peer, OTHER);
    peer.tag = OTHER;
    echo(&mut peer, &restart);
    peer.expect(kind::COOKIE_ACK);
    peer.take_established(true);
    peer.host_tag = restart.tag;
    echo(&mut peer, &first);
    peer.expect_nothing();
    let third = init_aside(&mut peer, 0x3333_3333);
    peer.tag = 0x3333_3333;
    echo(&mut peer, &third);
    peer.expect(kind::COOKIE_ACK);
    peer.take_established(true);
    peer.host_tag = third.tag;
    echo(&mut peer, &restart);
    peer.expect_nothing();
    assert_eq!(peer.events(), []);
    assert_alive(&mut peer, 1);
}

//= RFC 9260 §5.2.4, test
//# If the State Cookie is older than the lifespan...
//= RFC 9260 §5.2.4, test
//# The endpoint also MUST transmit an ERROR chunk with...
#[test]
fn a_stale_cookie_restarts_nothing() {
    let mut peer = Peer::connected();
    let answer = init_aside(&mut peer, OTHER);
    peer.advance(Duration::from_secs(61));
    peer.tag = OTHER;
    echo(&mut peer, &answer);
    let report = peer.expect(kind::ERROR);
    assert_eq!(report.cause(), Some(cause::STALE_COOKIE));
    peer.tag = TAG;
    assert_eq!(peer.events(), []);
    assert_alive(&mut peer, 1);
}

//= RFC 9260 §5.2.3, test
//# If an INIT ACK chunk is received by an...
//= RFC 9260 §5.2.5, test
//# At any state other than COOKIE-ECHOED, an endpoint SHOULD...
#[test]
fn handshake_chunks_of_the_past_change_nothing() {
    let mut peer = Peer::connected();
    peer.send(cookie_ack());
    peer.send(init_ack(OTHER, COOKIE));
    peer.send(error(cause::STALE_COOKIE, &[0; 4]));
    peer.expect_nothing();
    assert_alive(&mut peer, 1);
}

#[test]
fn a_restarted_client_reaches_its_server_again() {
    let mut pair = Pair::builder()
        .client(|c| {
            c.local_port(Some(5000));
        })
        .build();
    pair.connect();
    pair.send(Client, 1, "before");
    pair.drive();
    pair.crash(Client);
    pair.start();
    pair.send(Client, 1, "after");
    pair.drive();
    assert!(pair.established());
    let restarted = Event::Established { restarted: true };
    assert!(pair.events(Server).contains(&restarted));
    assert_eq!(pair.recv(Server, 1).unwrap(), "after");
    assert_eq!(pair.server.endpoint.associations(), 1);
}

#[test]
fn a_client_whose_server_crashed_is_told() {
    let mut pair = Pair::connected();
    pair.crash(Server);
    pair.send(Client, 1, "anyone?");
    pair.drive();
    assert!(pair.closed(Client).is_some());
}

fn assert_one_association(pair: &mut Pair, why: &str) {
    assert!(pair.established(), "{why}");
    for (side, from) in [(Client, "from the server"), (Server, "from the client")] {
        assert_eq!(pair.host(side).endpoint.associations(), 1, "{why}");
        assert_eq!(
            pair.recv(side, 1).as_deref(),
            Some(from.as_bytes()),
            "{why}"
        );
        assert_eq!(pair.recv(side, 1), None, "{why}: once");
    }
}

fn start_both(pair: &mut Pair, lead: Duration) {
    pair.start();
    pair.send(Client, 1, "from the client");
    pair.drive_for(lead);
    if pair.server.conns.is_empty() {
        pair.start_from_server();
    }
    pair.send(Server, 1, "from the server");
}

#[test]
fn both_sides_connecting_at_once_make_one_association() {
    for lead in 0..45 {
        let mut pair = Pair::builder().both_listen().build();
        start_both(&mut pair, Duration::from_millis(lead));
        pair.drive();
        assert_one_association(&mut pair, &format!("{lead} ms apart"));
    }
}

#[test]
fn a_collision_survives_the_loss_of_any_packet() {
    let sides = [Client, Server];
    for (lead, side, which) in (0..3)
        .flat_map(|lead| sides.map(|side| (lead * 7, side)))
        .flat_map(|(lead, side)| (0..8).map(move |which| (lead, side, which)))
    {
        let mut pair = Pair::builder().both_listen().build();
        let mut seen = 0;
        pair.script_from(side, move |_, _| {
            seen += 1;
            if seen == which + 1 {
                Verdict::Drop
            } else {
                Verdict::Pass
            }
        });
        start_both(&mut pair, Duration::from_millis(lead));
        pair.drive();
        let why = format!("{lead} ms apart, packet {which} of the {side:?} lost");
        assert_one_association(&mut pair, &why);
    }
}

#[test]
fn collisions_on_bad_networks_make_one_association() {
    for seed in 0..60 {
        let mut pair = Pair::builder()
            .seed(seed)
            .both_listen()
            .link(Link {
                loss: 0.1,
                duplicate: 0.1,
                reorder: 0.3,
                hold: Duration::from_millis(40),
                ..Link::default()
            })
            .build();
        start_both(&mut pair, Duration::from_millis(seed % 30));
        pair.drive();
        assert_one_association(&mut pair, &format!("seed {seed}"));
    }
}
