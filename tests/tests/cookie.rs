//! The state cookie (§5.1.3 to §5.1.5): what is taken for one, for how long, and what a stale one
//! leads to (§5.2.6).

use std::time::Duration;

use sctp_proto::{AssociationConfig, AssociationState, CloseReason, EndpointConfig};
use sctp_tests::{
    build::{abort, cookie_ack, cookie_echo, data, error, init, init_ack},
    codec::{Init, Packet, cause, kind, param},
    peer::{COOKIE, Peer, TAG},
};

//= RFC 9260 §4, test
//# If the State Cookie in the received COOKIE ECHO...
//= RFC 9260 §5.1.5, test
//# If this comparison fails, the SCTP packet, including the...
//= RFC 9260 §5.1.3, test
//# Inside this State Cookie, the sender MUST include a...
#[test]
fn a_flipped_bit_anywhere_in_a_cookie_changes_nothing() {
    let mut peer = Peer::client();
    let cookie = peer.init(init(TAG)).cookie();
    for bit in 0..cookie.len() * 8 {
        let mut forged = cookie.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        peer.send(cookie_echo(&forged));
        assert!(peer.host.conns.is_empty(), "bit {bit} establishes");
        peer.receive_all();
    }
    let truncated = &cookie[..cookie.len() - 1];
    peer.send(cookie_echo(truncated));
    peer.send(cookie_echo(&[]));
    assert!(peer.host.conns.is_empty());
    assert_eq!(peer.host.endpoint.associations(), 0);
    peer.receive_all();
    // The true one still works.
    peer.send(cookie_echo(&cookie));
    peer.expect(kind::COOKIE_ACK);
}

#[test]
fn a_flipped_bit_in_a_cookie_changes_nothing_in_a_live_association() {
    let mut peer = Peer::connected();
    let answer = peer.init(init(TAG));
    let tag = peer.host_tag;
    let cookie = answer.cookie();
    for bit in 0..cookie.len() * 8 {
        let mut forged = cookie.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        peer.send(cookie_echo(&forged));
        assert_eq!(peer.find(kind::COOKIE_ACK), None, "bit {bit}");
    }
    assert_eq!(peer.host_tag, tag);
    assert_eq!(peer.events(), []);
    assert_eq!(peer.state(), AssociationState::Established);
    assert_eq!(peer.host.live(), 1);
}

//= RFC 9260 §5.1.5, test
//# If these values do not match, the packet MUST...
#[test]
fn a_cookie_is_for_the_address_and_ports_it_was_made_for() {
    let mut peer = Peer::client();
    let cookie = peer.init(init(TAG)).cookie();
    let echo = peer.packet(peer.host_tag, vec![cookie_echo(&cookie)]);
    let other_ip = std::net::SocketAddr::from(([10, 0, 0, 3], 9899));
    let other_udp_port = std::net::SocketAddr::from(([10, 0, 0, 1], 1234));
    peer.send_from(other_ip, echo.encode());
    peer.send_from(other_udp_port, echo.encode());
    let other_sctp_port = Packet {
        source: 5001,
        ..echo.clone()
    };
    let addr = peer.addr;
    peer.port = 5001;
    peer.send_from(addr, other_sctp_port.encode());
    peer.port = 5000;
    let other_tag = Packet {
        tag: peer.host_tag ^ 1,
        ..echo.clone()
    };
    peer.tag = peer.host_tag ^ 1;
    peer.send_bytes(other_tag.encode());
    assert!(peer.host.conns.is_empty());
    peer.tag = TAG;
    peer.receive_all();
    peer.send_bytes(echo.encode());
    peer.expect(kind::COOKIE_ACK);
}

#[test]
fn endpoints_with_a_common_key_accept_each_others_cookies() {
    let mut endpoint = EndpointConfig::default();
    endpoint.cookie_key(Some([7; 32]));
    let config = AssociationConfig::default();
    let mut first = Peer::of_server(&config, endpoint.clone());
    let mut second = Peer::of_server(&config, endpoint);
    let cookie = first.init(init(TAG)).cookie();
    second.host_tag = first.host_tag;
    second.send(cookie_echo(&cookie));
    second.expect(kind::COOKIE_ACK);
}

#[test]
fn the_same_seed_makes_the_same_cookie() {
    let cookie = || Peer::client().init(init(TAG)).cookie();
    assert_eq!(cookie(), cookie());
}

//= RFC 9260 §5.1.3, test
//# The secret key SHOULD be changed reasonably frequently (e.g.,...
#[test]
fn a_cookie_survives_the_rotation_of_its_key() {
    let mut endpoint = EndpointConfig::default();
    endpoint
        .cookie_key_rotation(Duration::from_secs(60))
        .cookie_lifetime(Duration::from_secs(60));
    let mut config = AssociationConfig::default();
    config.heartbeat_interval(None);
    for wait in 0..60_u64 {
        let mut peer = Peer::of_server(&config, endpoint.clone());
        peer.advance(Duration::from_secs(wait));
        let cookie = peer.init(init(TAG)).cookie();
        peer.advance(Duration::from_secs(59));
        peer.send(cookie_echo(&cookie));
        peer.expect(kind::COOKIE_ACK);
    }
}

//= RFC 9260 §5.1.3, test
//# The State Cookie SHOULD also contain a timestamp...
//= RFC 9260 §5.3.1, test
//# A new Verification Tag value MUST be used each time...
#[test]
fn an_old_cookie_does_not_bring_an_association_back() {
    let mut peer = Peer::client();
    let cookie = peer.init(init(TAG)).cookie();
    peer.send(cookie_echo(&cookie));
    peer.expect(kind::COOKIE_ACK);
    peer.send(abort(cause::USER_ABORT, b"over"));
    assert_eq!(peer.host.endpoint.associations(), 0);
    peer.send(cookie_echo(&cookie));
    assert_eq!(peer.host.endpoint.associations(), 0);
    peer.expect(kind::ABORT);
    // A new one is welcome.
    peer.connect(init(TAG));
}

//= RFC 9260 §5.1.5, test
//# The COOKIE ACK chunk MAY be bundled with an...
#[test]
fn data_before_the_cookie_ack_is_answered_only_with_the_cookie() {
    let mut peer = Peer::client();
    let answer = peer.init(init(TAG));
    peer.send_bundle(vec![
        cookie_echo(&answer.cookie()),
        data(1).payload("early").be(),
    ]);
    let chunks = peer.receive_all();
    let first = &chunks[0].packet.chunks[0];
    assert_eq!(first.kind, kind::COOKIE_ACK, "§5.1 E: it comes first");
    assert_eq!(peer.host_recv(1).unwrap(), "early");
}

//= RFC 9260 §4, test
//# Or, if the received State Cookie is expired (see...
//= RFC 9260 §5.1.5, test
//# If the elapsed time is longer than the lifespan...
//= RFC 9260 §5.1.3, test
//# The State Cookie SHOULD also contain a timestamp on...
#[test]
fn a_stale_cookie_is_reported_and_a_fresh_one_taken() {
    let mut peer = Peer::client();
    let cookie = peer.init(init(TAG)).cookie();
    peer.advance(Duration::from_secs(61));
    peer.send(cookie_echo(&cookie));
    let report = peer.expect(kind::ERROR);
    assert_eq!(report.cause(), Some(cause::STALE_COOKIE));
    // The measure of staleness is in microseconds (§3.3.10.3): one second too old.
    let (_, staleness) = report.causes().remove(0);
    let micros = u32::from_be_bytes(staleness.try_into().unwrap());
    assert!((900_000..=1_100_000).contains(&micros), "{micros}");
    assert!(peer.host.conns.is_empty());
    peer.connect(init(TAG));
}

//= RFC 9260 §5.2.6, test
//# When processing an ERROR chunk with a "Stale Cookie"...
#[test]
fn a_client_told_that_its_cookie_is_stale_asks_for_more_time() {
    let mut peer = Peer::server();
    peer.answer_init(init_ack(TAG, COOKIE));
    peer.expect(kind::COOKIE_ECHO);
    peer.send(error(cause::STALE_COOKIE, &2_000_000_u32.to_be_bytes()));
    // §5.2.6: a new INIT, with a Cookie Preservative, or the end; never an association.
    match peer.find(kind::INIT) {
        Some(chunk) => {
            let chunk = chunk.as_init();
            assert!(chunk.param(param::COOKIE_PRESERVATIVE).is_some());
            peer.host_tag = chunk.tag;
            peer.send(init_ack(TAG, COOKIE));
            peer.expect(kind::COOKIE_ECHO);
            peer.send(cookie_ack());
            assert_eq!(peer.state(), AssociationState::Established);
        }
        None => assert_eq!(peer.closed(), Some(CloseReason::StaleCookie)),
    }
}

#[test]
fn a_client_whose_cookies_are_always_stale_gives_up() {
    let mut peer = Peer::server();
    for _ in 0..20 {
        let Some(chunk) = peer.find(kind::INIT) else {
            break;
        };
        peer.host_tag = chunk.as_init().tag;
        peer.send(init_ack(TAG, COOKIE));
        peer.expect(kind::COOKIE_ECHO);
        peer.send(error(cause::STALE_COOKIE, &2_000_000_u32.to_be_bytes()));
    }
    assert_eq!(peer.closed(), Some(CloseReason::StaleCookie));
}

//= RFC 9260 §5.2.6, test
//# When calculating the time extension, an implementation SHOULD use the RTT...
#[test]
fn no_more_time_is_asked_for_than_the_round_trip_and_a_second() {
    let mut peer = Peer::server();
    peer.answer_init(init_ack(TAG, COOKIE));
    peer.expect(kind::COOKIE_ECHO);
    peer.advance(Duration::from_millis(300));
    peer.send(error(cause::STALE_COOKIE, &30_000_000_u32.to_be_bytes()));
    let again: Init = peer.expect(kind::INIT).as_init();
    let asked = again.param(param::COOKIE_PRESERVATIVE).expect("asks");
    let asked = u32::from_be_bytes(asked.try_into().unwrap());
    assert!((300..=1300).contains(&asked), "{asked} ms");
}

//= RFC 9260 §5.2.6, test
//# In all cases, if the association is not in the COOKIE-ECHOED state...
#[test]
fn a_stale_cookie_error_out_of_place_is_nobodys_business() {
    let mut peer = Peer::connected();
    peer.events();
    peer.send(error(cause::STALE_COOKIE, &[0, 0, 0, 1]));
    assert_eq!(peer.events(), []);
    assert_eq!(peer.state(), AssociationState::Established);
}

#[test]
fn a_cookie_preservative_lengthens_the_life_of_a_cookie() {
    let mut peer = Peer::client();
    let chunk = init(TAG).param(param::COOKIE_PRESERVATIVE, &30_000_u32.to_be_bytes());
    let cookie = peer.init(chunk).cookie();
    peer.advance(Duration::from_secs(75));
    peer.send(cookie_echo(&cookie));
    // Honouring it is optional (§3.3.2.1); what counts is an answer either way.
    let answer = peer.receive().expect("an answer");
    assert!(matches!(
        answer.kinds()[..],
        [kind::COOKIE_ACK] | [kind::ERROR]
    ));
}
