//! Each error cause that RFC 9260 has (§3.3.10), provoked and compared byte by byte.

use std::time::Duration;

use bytes::Bytes;
use sctp_proto::{AssociationConfig, AssociationState, CloseReason, EndpointConfig};
use sctp_tests::{
    build::{cookie_echo, data, i_data, init, init_ack},
    codec::{Chunk, kind, param},
    peer::{COOKIE, Peer, TAG},
};

/// Another tag of the peer.
const OTHER: u32 = 0x2222_2222;

/// The next packet: this chunk alone, with these flags and these bytes behind its header.
#[track_caller]
fn expect_bytes(peer: &mut Peer, kind: u8, value: &[u8]) {
    let chunk = peer.expect(kind);
    assert_eq!((chunk.flags, &chunk.value[..]), (0, value));
}

#[test]
fn cause_1_invalid_stream_identifier() {
    let mut peer = Peer::client_with(|c| {
        c.max_inbound_streams(0x0102);
    });
    peer.connect(init(TAG).streams(500, 500));
    // The last that exists, and the first that does not.
    peer.send(data(0x0101).tsn(1).be());
    assert_eq!(peer.find(kind::ERROR), None);
    peer.send(data(0x0102).tsn(2).be());
    let chunks = peer.expect_packet(&[kind::ERROR, kind::SACK]);
    assert_eq!(chunks[0].value, [0, 1, 0, 8, 1, 2, 0, 0]);
    assert_eq!(
        chunks[1].as_sack().cumulative,
        2,
        "acknowledged all the same"
    );
}

//= RFC 9260 §5.1, test
//# It SHOULD also specify the cause of abort, such as the type...
#[test]
fn cause_2_missing_mandatory_parameter() {
    let mut peer = Peer::server();
    peer.answer_init(
        init_ack(TAG, &[])
            .without_params()
            .extensions(&[kind::RE_CONFIG]),
    );
    let state_cookie = [0, 2, 0, 10, 0, 0, 0, 1, 0, 7];
    expect_bytes(&mut peer, kind::ABORT, &state_cookie);
    assert_eq!(peer.state(), AssociationState::Closed);
}

#[test]
fn cause_3_stale_cookie() {
    let mut endpoint = EndpointConfig::default();
    endpoint.cookie_lifetime(Duration::from_secs(10));
    for (late, measure) in [
        (Duration::from_nanos(1), 1_u32),
        (Duration::from_micros(1), 1),
        (Duration::from_nanos(1_001), 2),
        (Duration::from_secs(7), 7_000_000),
    ] {
        let mut peer = Peer::of_server(&AssociationConfig::default(), endpoint.clone());
        let cookie = peer.init(init(TAG)).cookie();
        peer.advance(Duration::from_secs(10) + late);
        peer.send(cookie_echo(&cookie));
        let expected = [&[0, 3, 0, 8][..], &measure.to_be_bytes()].concat();
        expect_bytes(&mut peer, kind::ERROR, &expected);
        assert!(peer.host.conns.is_empty());
    }
}

//= RFC 9260 §5.1, test
//# It SHOULD also specify the cause of abort, such as the type...
#[test]
fn cause_4_out_of_resource() {
    let mut endpoint = EndpointConfig::default();
    endpoint.max_associations(1);
    let mut peer = Peer::of_server(&AssociationConfig::default(), endpoint);
    // Both are invited while there is room; the second comes when there is none left.
    let first = peer.init(init(TAG));
    peer.port = 5001;
    let second = peer.init(init(TAG));
    (peer.port, peer.host_tag) = (5000, first.tag);
    peer.send(cookie_echo(&first.cookie()));
    peer.expect(kind::COOKIE_ACK);
    (peer.port, peer.host_tag) = (5001, second.tag);
    peer.send(cookie_echo(&second.cookie()));
    expect_bytes(&mut peer, kind::ABORT, &[0, 4, 0, 4]);
    // Nobody is invited any more.
    peer.send_tagged(0, init(TAG));
    expect_bytes(&mut peer, kind::ABORT, &[0, 4, 0, 4]);
}

#[test]
fn cause_5_unresolvable_address() {
    let mut peer = Peer::client();
    peer.send_tagged(0, init(TAG).param(param::HOST_NAME, b"a.b\0"));
    let quoted = [0, 5, 0, 12, 0, 11, 0, 8, b'a', b'.', b'b', 0];
    expect_bytes(&mut peer, kind::ABORT, &quoted);
}

#[test]
fn cause_6_unrecognized_chunk_type() {
    let mut peer = Peer::connected();
    peer.send(Chunk::new(0xee, 0x5a, &[1, 2, 3]));
    let quoted = [0, 6, 0, 11, 0xee, 0x5a, 0, 7, 1, 2, 3];
    expect_bytes(&mut peer, kind::ERROR, &quoted);
    // Of a chunk that is too large for any packet, as much as fits.
    peer.send(Chunk::new(0xee, 0, &[7; 5000]));
    let report = peer.expect(kind::ERROR);
    let [high, low] = 5004_u16.to_be_bytes();
    assert_eq!(report.value[4..10], [0xee, 0, high, low, 7, 7]);
    assert!((900..1200).contains(&report.value.len()));
}

//= RFC 9260 §5.1, test
//# It SHOULD also specify the cause of abort, such as the type...
#[test]
fn cause_7_invalid_mandatory_parameter() {
    for wrong in [
        init(TAG).a_rwnd(1499),
        init(TAG).streams(0, 1),
        init(TAG).streams(1, 0),
    ] {
        let mut peer = Peer::client();
        peer.send_tagged(0, wrong);
        expect_bytes(&mut peer, kind::ABORT, &[0, 7, 0, 4]);
    }
}

#[test]
fn cause_8_unrecognized_parameters() {
    let mut peer = Peer::server();
    let answer = init_ack(TAG, COOKIE).param(0xfffe, &[1]);
    peer.answer_init(answer.param(0xbffe, &[2]).param(0xfffd, &[]));
    let chunks = peer.expect_packet(&[kind::COOKIE_ECHO, kind::ERROR]);
    // Each but the last is padded; the lengths do not count that.
    let quoted = [0, 8, 0, 16, 0xff, 0xfe, 0, 5, 1, 0, 0, 0, 0xff, 0xfd, 0, 4];
    assert_eq!(chunks[1].value, quoted);
}

#[test]
fn cause_9_no_user_data() {
    let mut peer = Peer::connected();
    peer.send(data(1).tsn(0xa1b2_c3d4).payload("").be());
    let tsn = [0, 9, 0, 8, 0xa1, 0xb2, 0xc3, 0xd4];
    expect_bytes(&mut peer, kind::ABORT, &tsn);
    assert_eq!(peer.state(), AssociationState::Closed);
}

#[test]
fn cause_10_cookie_received_while_shutting_down() {
    let mut peer = Peer::in_state(AssociationState::Established);
    let old = (peer.tag, peer.host_tag);
    peer.tag = OTHER;
    let again = peer.init(init(OTHER));
    (peer.tag, peer.host_tag) = old;
    peer.bring_to(AssociationState::ShutdownAckSent);
    // The report goes to the new incarnation, under its tag; SHUTDOWN ACK to the old one.
    let (addr, port) = (peer.addr, peer.port);
    let echo = peer.packet(again.tag, vec![cookie_echo(&again.cookie())]);
    peer.addr = std::net::SocketAddr::from(([10, 99, 99, 99], 1));
    peer.send_from(addr, echo.encode());
    (peer.addr, peer.port) = (addr, port);
    let mut answers = peer.receive_all();
    answers.sort_by_key(|answer| answer.packet.tag != OTHER);
    assert_eq!(answers.len(), 2);
    let report = &answers[0].packet.chunks[0];
    assert_eq!((report.kind, report.flags), (kind::ERROR, 0));
    assert_eq!(report.value, [0, 10, 0, 4]);
    assert_eq!(answers[1].kinds(), [kind::SHUTDOWN_ACK]);
    assert_eq!(answers[1].packet.tag, TAG);
    assert_eq!(peer.state(), AssociationState::ShutdownAckSent);
}

//= RFC 9260 §5.2.1, test
//# The error SHOULD list the addresses that were added to the restarting...
//= RFC 9260 §5.2.2, test
//# The error SHOULD list the addresses that were added to the restarting...
#[test]
fn cause_11_restart_of_an_association_with_new_addresses() {
    let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    for state in [
        AssociationState::CookieEchoed,
        AssociationState::Established,
        AssociationState::ShutdownPending,
        AssociationState::ShutdownSent,
        AssociationState::ShutdownReceived,
    ] {
        let mut peer = Peer::in_state(state);
        peer.tag = OTHER;
        let chunk = init(OTHER)
            .param(param::IPV4_ADDRESS, &[10, 0, 0, 1])
            .param(param::IPV6_ADDRESS, &v6)
            .param(param::IPV4_ADDRESS, &[10, 0, 0, 9]);
        peer.send_tagged(0, chunk);
        // Copies of the parameters, but for the address that is known.
        let new = [
            &[0, 11, 0, 32, 0, 6, 0, 20][..],
            &v6,
            &[0, 5, 0, 8, 10, 0, 0, 9],
        ];
        expect_bytes(&mut peer, kind::ABORT, &new.concat());
        assert_eq!(peer.state(), state);
    }
}

#[test]
fn cause_12_user_initiated_abort() {
    for (reason, bytes) in [
        ("", &[0, 12, 0, 4][..]),
        ("no", &[0, 12, 0, 6, b'n', b'o']),
        ("never", &[0, 12, 0, 9, b'n', b'e', b'v', b'e', b'r']),
    ] {
        let mut peer = Peer::connected();
        let now = peer.now;
        peer.association().abort(now, Bytes::from(reason));
        peer.collect();
        expect_bytes(&mut peer, kind::ABORT, bytes);
        assert_eq!(peer.closed(), Some(CloseReason::LocalAbort));
    }
}

#[test]
fn cause_13_protocol_violation() {
    let mut peer = Peer::connected();
    peer.send(i_data(1).be());
    let abort = peer.expect(kind::ABORT);
    let text = b"DATA and I-DATA mixed up";
    let expected = [&[0, 13, 0, 4 + text.len() as u8][..], text].concat();
    assert_eq!((abort.flags, abort.value), (0, expected));
    assert_eq!(peer.state(), AssociationState::Closed);
}
