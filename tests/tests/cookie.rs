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
fn threat_04_a_flipped_bit_anywhere_in_a_cookie_changes_nothing() {
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
fn threat_04_a_flipped_bit_in_a_cookie_changes_nothing_in_a_live_association() {
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
fn threat_22_a_cookie_is_for_the_address_and_ports_it_was_made_for() {
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
    // The ERROR came at once: what is asked for is the second beyond the round trip.
    let chunk = peer.expect(kind::INIT).as_init();
    let asked = chunk.param(param::COOKIE_PRESERVATIVE);
    assert_eq!(asked, Some(&1000_u32.to_be_bytes()[..]));
    peer.host_tag = chunk.tag;
    peer.send(init_ack(TAG, COOKIE));
    peer.expect(kind::COOKIE_ECHO);
    peer.send(cookie_ack());
    assert_eq!(peer.state(), AssociationState::Established);
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
    peer.expect(kind::COOKIE_ECHO);
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
fn a_cookie_lives_longer_by_what_its_peer_asks_for_and_twice_as_long_at_most() {
    let second = Duration::from_secs(1);
    for (asked, lives) in [
        (0, 60),
        (1, 61),
        (30, 90),
        (60, 120),
        (61, 120),
        (4_000_000, 120),
    ] {
        let millis = 1000 * asked as u32;
        let chunk = || init(TAG).param(param::COOKIE_PRESERVATIVE, &millis.to_be_bytes());
        let mut peer = Peer::client();
        let cookie = peer.init(chunk()).cookie();
        peer.advance(lives * second);
        peer.send(cookie_echo(&cookie));
        peer.expect(kind::COOKIE_ACK);

        let mut peer = Peer::client();
        let cookie = peer.init(chunk()).cookie();
        peer.advance(lives * second + Duration::from_millis(1));
        peer.send(cookie_echo(&cookie));
        let report = peer.expect(kind::ERROR);
        let expected = (cause::STALE_COOKIE, 1000_u32.to_be_bytes().to_vec());
        assert_eq!(report.causes(), [expected], "{asked} s asked for");
    }
}

//= RFC 9260 §3.3.11, test
//# This field MUST contain the exact cookie received in the State Cookie...
#[test]
fn a_cookie_of_any_length_comes_back_as_it_was() {
    for length in [0, 1, 2, 3, 4, 5, 55, 56, 500, 1216] {
        let cookie: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
        let mut peer = Peer::server();
        peer.answer_init(init_ack(TAG, &cookie));
        assert_eq!(peer.expect(kind::COOKIE_ECHO).value, cookie);
        peer.advance_to_packet();
        assert_eq!(peer.expect(kind::COOKIE_ECHO).value, cookie, "again");
    }
}

//= RFC 9260 §5.1.5, test
//# Immediately acknowledge any DATA chunk bundled with the COOKIE ECHO chunk...
//= RFC 9260 §5.1.5, test
//# As mentioned in step 6, if the SACK chunk is bundled with...
#[test]
fn data_with_the_cookie_is_acknowledged_at_once_behind_the_cookie_ack() {
    for chunks in 1..=3 {
        let mut peer = Peer::client();
        let cookie = peer.init(init(TAG)).cookie();
        let mut bundle = vec![cookie_echo(&cookie)];
        bundle.extend((1..=chunks).map(|n| data(1).tsn(n).seq(n - 1).be()));
        peer.send_bundle(bundle);
        let answer = peer.expect_packet(&[kind::COOKIE_ACK, kind::SACK]);
        assert_eq!(answer[1].as_sack().cumulative, chunks);
    }
    //= RFC 9260 §5.1, test
    //# Subsequent acknowledgements SHOULD be done as described in Section 6.2.
    // What comes after it is acknowledged as ever: every second packet.
    let mut peer = Peer::client();
    let cookie = peer.init(init(TAG)).cookie();
    peer.send_bundle(vec![cookie_echo(&cookie), data(1).be()]);
    peer.receive_all();
    peer.send(data(1).tsn(2).seq(1).be());
    peer.expect_nothing();
    peer.send(data(1).tsn(3).seq(2).be());
    assert_eq!(peer.expect(kind::SACK).as_sack().cumulative, 3);
}

//= RFC 9260 §5.1.5, test
//# If a COOKIE ECHO chunk is received from an endpoint with which...
#[test]
fn data_with_a_cookie_that_comes_again_is_a_duplicate() {
    let mut peer = Peer::client();
    let cookie = peer.init(init(TAG)).cookie();
    for round in 0..3 {
        peer.send_bundle(vec![cookie_echo(&cookie), data(1).payload("once").be()]);
        let answer = peer.expect_packet(&[kind::COOKIE_ACK, kind::SACK]);
        let sack = answer[1].as_sack();
        assert_eq!((sack.cumulative, sack.duplicates.len()), (1, round.min(1)));
        assert_eq!(peer.host_recv(1).is_some(), round == 0);
    }
    assert_eq!(peer.host.live(), 1);
}

#[test]
fn data_with_a_stale_cookie_is_nowhere_delivered() {
    let mut peer = Peer::client();
    let cookie = peer.init(init(TAG)).cookie();
    peer.advance(Duration::from_secs(61));
    peer.send_bundle(vec![cookie_echo(&cookie), data(1).payload("late").be()]);
    peer.expect(kind::ERROR);
    assert!(peer.host.conns.is_empty());
    peer.connect(init(TAG));
    assert_eq!(peer.host_recv(1), None);
}

//= RFC 9260 §5.1.3, test
//# If the State Cookie is not encrypted, it MUST NOT contain information...
#[test]
fn a_cookie_tells_nothing_of_the_association_it_would_restart() {
    // Whoever sends an INIT gets a cookie: the tags of a live association are not in it.
    let mut peer = Peer::connected();
    let (own, tag) = (peer.host_tag, peer.tag);
    peer.tag = 0x2222_2222;
    let cookie = peer.init(init(0x2222_2222)).cookie();
    for secret in [own, tag, peer.host_tag] {
        let bytes = secret.to_be_bytes();
        assert!(cookie.windows(4).all(|window| window != bytes));
    }
}

//= RFC 9260 §5.2.1, test
//# For an endpoint that is in the COOKIE-ECHOED state, it MUST populate...
#[test]
fn a_cookie_has_the_same_tie_tags_from_cookie_echoed_on_and_none_before() {
    let cookie = |peer: &mut Peer| {
        let before = (peer.tag, peer.host_tag);
        peer.tag = 0x2222_2222;
        let cookie = peer.init(init(0x2222_2222)).cookie();
        (peer.tag, peer.host_tag) = before;
        cookie
    };
    let mut peer = Peer::server();
    peer.host_tag = peer.expect(kind::INIT).as_init().tag;
    let waiting = cookie(&mut peer);
    peer.send(init_ack(TAG, COOKIE));
    peer.expect(kind::COOKIE_ECHO);
    let echoed = cookie(&mut peer);
    peer.send(cookie_ack());
    let established = cookie(&mut peer);
    // Two numbers more than before there was a peer, and before what fills the last word and the
    // MAC; `cookie.rs` has the layout.
    assert_eq!(waiting.len() + 8, echoed.len());
    assert_eq!(echoed.len(), established.len());
    let tie_tags = |cookie: &[u8]| cookie[39..47].to_vec();
    assert_eq!(tie_tags(&echoed), tie_tags(&established));
    for tag in tie_tags(&echoed).chunks(4) {
        assert_ne!(tag, [0; 4]);
        assert_ne!(tag, TAG.to_be_bytes());
        assert_ne!(tag, peer.host_tag.to_be_bytes());
    }
}
