//! The form of packets, chunks and parameters (§3.1 to §3.3.1), as a peer sees it. What holds for
//! every packet that leaves is in `sctp_tests::form`.

use bytes::Bytes;
use sctp_proto::{AssociationState, Event, Ppid, SendInfo};
use sctp_tests::{
    build::{cookie_ack, cookie_echo, data, error, init, init_ack, shutdown, tlv},
    codec::{Chunk, Packet, be16, cause, flag, kind, param},
    peer::{COOKIE, Peer, TAG},
};

/// The packet with these bytes where its chunks are padded.
fn padded_with(byte: u8, packet: &Packet) -> Vec<u8> {
    let mut bytes = packet.encode();
    let mut at = 12;
    while at < bytes.len() {
        let end = at + usize::from(be16(&bytes, at + 2));
        at = end.next_multiple_of(4);
        bytes[end..at].fill(byte);
    }
    bytes
}

//= RFC 9260 §3.1, test
//# The Source Port Number 0 MUST NOT be used.
//= RFC 9260 §3.1, test
//# The Destination Port Number 0 MUST NOT be used.
#[test]
fn packets_from_or_to_port_zero_are_dropped() {
    for (source, destination) in [(0, 80), (5000, 0), (0, 0)] {
        let mut peer = Peer::client();
        (peer.port, peer.host_port) = (source, destination);
        peer.send_tagged(0, init(TAG));
        peer.expect_nothing();
        peer.send_tagged(7, data(1).be());
        peer.expect_nothing();
        assert_eq!(peer.host.endpoint.stats().malformed, 2);
    }
}

//= RFC 9260 §3.2, test
//# The receiver MUST ignore the padding bytes.
#[test]
fn whatever_chunks_are_padded_with_is_ignored() {
    let mut peer = Peer::connected();
    let chunks = vec![
        Chunk::new(0xbf, 0, b"pass over me"),
        Chunk::new(0xbf, 0, b"me too"),
        data(1).tsn(1).payload("a").be(),
        data(1).tsn(2).seq(1).payload("bc").be(),
        data(1).tsn(3).seq(2).payload("def").be(),
    ];
    let packet = peer.packet(peer.host_tag, chunks);
    peer.send_sealed(padded_with(0xff, &packet));
    for expected in ["a", "bc", "def"] {
        assert_eq!(peer.host_recv(1).unwrap(), expected);
    }
    // The padding of the last one may be missing.
    let packet = peer.packet(peer.host_tag, vec![data(1).tsn(4).seq(3).payload("g").be()]);
    let mut bytes = packet.encode();
    bytes.truncate(bytes.len() - 3);
    peer.send_sealed(bytes);
    assert_eq!(peer.host_recv(1).unwrap(), "g");
}

//= RFC 9260 §3.2.1, test
//# The receiver MUST ignore the padding bytes.
#[test]
fn whatever_parameters_are_padded_with_is_ignored() {
    for length in 0..4 {
        let mut peer = Peer::client();
        // A parameter to pass over, padded with 0xff, and the request for an extension.
        let mut params = tlv(0xbfff, &vec![7; length]);
        params.resize(params.len().next_multiple_of(4), 0xff);
        let chunk = init(TAG).raw(&params).extensions(&[kind::RE_CONFIG]);
        peer.connect(chunk);
        assert!(peer.association().can_reset_streams(), "{length} bytes");
    }
}

/// §3.2 has the padding of the last parameter, and of a chunk, left out of the length of the
/// chunk, and advises to put up with those who count it.
#[test]
fn final_padding_may_be_counted() {
    let mut peer = Peer::client();
    let answer = peer.init(init(TAG).param(0xbfff, b"12345").raw(&[0; 3]));
    let mut cookie = answer.cookie();
    cookie.resize(cookie.len().next_multiple_of(4), 0);
    peer.send(cookie_echo(&cookie));
    peer.expect(kind::COOKIE_ACK);
    peer.events();
    let mut report = error(cause::PROTOCOL_VIOLATION, b"x");
    report.value.extend_from_slice(&[0; 3]);
    peer.send(report);
    let events = peer.events();
    let [Event::PeerError(cause)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(cause.info.as_ref(), b"x");
}

#[test]
fn reserved_flags_are_ignored() {
    let flagged = |chunk: Chunk| Chunk {
        flags: chunk.flags | 0xf0,
        ..chunk
    };
    let mut peer = Peer::client();
    peer.send_tagged(0, flagged(init(TAG).into()));
    let answer = peer.expect(kind::INIT_ACK).as_init();
    (peer.host_tag, peer.host_tsn) = (answer.tag, answer.tsn);
    peer.send(flagged(cookie_echo(&answer.cookie())));
    peer.expect(kind::COOKIE_ACK);
    peer.send(flagged(data(1).payload("taken").be()));
    assert_eq!(peer.host_recv(1).unwrap(), "taken");
    peer.receive_all();
    peer.host_send(1, "pending");
    peer.receive_all();
    let sack = peer.sack(1);
    peer.send(flagged(sack.into()));
    let all = peer.host_tsn(0);
    peer.send(flagged(shutdown(all)));
    peer.expect(kind::SHUTDOWN_ACK);
    peer.send(flagged(sctp_tests::build::shutdown_complete(false)));
    assert_eq!(peer.state(), AssociationState::Closed);

    let mut peer = Peer::server();
    peer.host_tag = peer.expect(kind::INIT).as_init().tag;
    peer.send(flagged(init_ack(TAG, COOKIE).into()));
    peer.expect(kind::COOKIE_ECHO);
    peer.send(flagged(cookie_ack()));
    assert_eq!(peer.state(), AssociationState::Established);
}

//= RFC 9260 §3.3.1, test
//# Therefore, the receiver MUST ignore the Stream Sequence Number field.
#[test]
fn the_number_in_unordered_data_means_nothing() {
    let mut peer = Peer::connected();
    peer.send(data(1).tsn(1).seq(77).unordered().payload("a").be());
    peer.send(data(1).tsn(2).seq(0).unordered().payload("b").be());
    peer.send(data(1).tsn(3).seq(5).unordered().payload("c").b());
    peer.send(data(1).tsn(4).seq(9).unordered().payload("d").m());
    peer.send(data(1).tsn(5).seq(0).unordered().payload("e").e());
    for expected in ["a", "b", "cde"] {
        assert_eq!(peer.host_recv(1).unwrap(), expected);
    }
    // Nor does it count for what is ordered.
    peer.send(data(1).tsn(6).seq(0).payload("first").be());
    assert_eq!(peer.host_recv(1).unwrap(), "first");
    assert_eq!(peer.state(), AssociationState::Established);
}

//= RFC 9260 §3.3.1, test
//# If an unordered user message is fragmented, each fragment of the message...
//= RFC 9260 §3.3.1, test
//# This field MUST be sent even in fragmented DATA chunks (to make...
//= RFC 9260 §3.3.1, test
//# An unfragmented user message MUST have both the B and E bits...
//= RFC 9260 §3.3.1, test
//# The TSNs of DATA chunks sent SHOULD be strictly sequential.
#[test]
fn fragments_are_marked_and_numbered() {
    let mut peer = Peer::connected();
    let long = Bytes::from(vec![7; 3000]);
    let info = || SendInfo::new(Ppid(0x0102_0304));
    peer.host_send_with(1, long.clone(), info().unordered(true));
    peer.host_send_with(2, "short", info());
    peer.host_send_with(3, long, info());
    let mut sent = Vec::new();
    loop {
        let chunks = peer.find_all(kind::DATA);
        if chunks.is_empty() {
            break;
        }
        sent.extend(chunks.iter().map(Chunk::as_data));
        let sack = peer.sack(sent.len() as u32);
        peer.send(sack);
    }
    for (n, chunk) in (0..).zip(&sent) {
        assert_eq!(chunk.tsn, peer.host_tsn(n));
        assert_eq!(chunk.ppid_or_fsn, 0x0102_0304);
        assert_eq!(chunk.unordered, chunk.stream == 1);
    }
    let marks = |stream| {
        let of_it = sent.iter().filter(move |chunk| chunk.stream == stream);
        of_it
            .map(|chunk| (chunk.begin, chunk.end))
            .collect::<Vec<_>>()
    };
    assert_eq!(marks(1), [(true, false), (false, false), (false, true)]);
    assert_eq!(marks(2), [(true, true)]);
    assert_eq!(marks(3), [(true, false), (false, false), (false, true)]);
}

#[test]
fn what_is_unknown_in_one_packet_is_reported_in_one_chunk_with_the_answer() {
    let mut peer = Peer::connected();
    peer.send_bundle(vec![
        Chunk::new(0xc5, 3, b"one"),
        Chunk::new(0x85, 0, b"not reported"),
        data(1).be(),
        Chunk::new(0xff, 0, &[]),
        Chunk::new(0x40 | 0x15, 0, b"the last that is read"),
        data(1).tsn(2).seq(1).be(),
    ]);
    let chunks = peer.expect_packet(&[kind::ERROR, kind::SACK]);
    let causes = chunks[0].causes();
    let unknown = |bytes: &[u8]| (cause::UNRECOGNIZED_CHUNK, bytes.to_vec());
    assert_eq!(causes.len(), 3);
    assert_eq!(causes[0], unknown(b"\xc5\x03\x00\x07one"));
    assert_eq!(causes[1], unknown(&[0xff, 0, 0, 4]));
    assert_eq!(causes[2], unknown(b"\x55\x00\x00\x19the last that is read"));
    assert_eq!(
        chunks[1].as_sack().cumulative,
        1,
        "nothing behind it counts"
    );
}

#[test]
fn what_is_unknown_is_reported_in_every_state_that_has_a_peer() {
    let unknown = || Chunk::new(0xc5, 0, b"what?");
    let reported = |peer: &mut Peer| {
        let report = peer.find(kind::ERROR).expect("a report");
        assert_eq!(report.cause(), Some(cause::UNRECOGNIZED_CHUNK));
    };
    // Together with the cookie that sets the association up, and with the one that comes again.
    let mut peer = Peer::client();
    let cookie = peer.init(init(TAG)).cookie();
    for _ in 0..2 {
        peer.send_bundle(vec![cookie_echo(&cookie), unknown()]);
        let chunks = peer.expect_packet(&[kind::COOKIE_ACK, kind::ERROR]);
        assert_eq!(chunks[1].cause(), Some(cause::UNRECOGNIZED_CHUNK));
    }
    peer.host_send(1, "outstanding");
    peer.receive_all();
    let now = peer.now;
    peer.association().shutdown(now);
    assert_eq!(peer.state(), AssociationState::ShutdownPending);
    peer.send(unknown());
    reported(&mut peer);
    let before_that = peer.host_tsn(0).wrapping_sub(1);
    peer.send(shutdown(before_that));
    assert_eq!(peer.state(), AssociationState::ShutdownReceived);
    peer.send(unknown());
    reported(&mut peer);
    let all = peer.host_tsn(0);
    peer.send(shutdown(all));
    assert_eq!(peer.state(), AssociationState::ShutdownAckSent);
    peer.receive_all();
    peer.send(unknown());
    reported(&mut peer);

    // Not before COOKIE ACK: until then nothing but COOKIE ECHO leaves (§5.1 C).
    let mut peer = Peer::server();
    peer.answer_init(init_ack(TAG, COOKIE));
    peer.expect(kind::COOKIE_ECHO);
    peer.send(unknown());
    peer.expect_nothing();
    peer.send(cookie_ack());
    reported(&mut peer);
}

//= RFC 9260 §3.2.2, test
//# If the receiver of any other chunk (e.g., INIT ACK) detects unrecognized...
#[test]
fn unknown_parameters_of_an_init_ack_are_reported_with_the_cookie() {
    // 00 stop, 01 stop and report, 10 skip, 11 skip and report (§3.2.1); the cookie goes back in
    // all four cases, wherever it stands.
    for (unknown, goes_on, reported) in [
        (0x3fff, false, false),
        (0x7fff, false, true),
        (0xbfff, true, false),
        (0xffff, true, true),
    ] {
        for cookie_first in [true, false] {
            let mut answer = match cookie_first {
                true => init_ack(TAG, COOKIE),
                false => init_ack(TAG, &[]).without_params(),
            };
            answer = answer
                .param(unknown, b"what?")
                .extensions(&[kind::RE_CONFIG])
                .param(0xc123, b"");
            if !cookie_first {
                answer = answer.param(param::STATE_COOKIE, COOKIE);
            }
            let mut peer = Peer::server();
            peer.answer_init(answer);
            let mut expected = Vec::new();
            if reported {
                expected.extend_from_slice(&tlv(unknown, b"what?"));
            }
            if goes_on {
                expected.resize(expected.len().next_multiple_of(4), 0);
                expected.extend_from_slice(&tlv(0xc123, b""));
            }
            let chunks = match expected.is_empty() {
                true => peer.expect_packet(&[kind::COOKIE_ECHO]),
                false => peer.expect_packet(&[kind::COOKIE_ECHO, kind::ERROR]),
            };
            assert_eq!(chunks[0].value, COOKIE, "{unknown:#x}");
            if let Some(report) = chunks.get(1) {
                let expected = [(cause::UNRECOGNIZED_PARAMETERS, expected)];
                assert_eq!(report.causes(), expected, "{unknown:#x}");
            }
            peer.send(cookie_ack());
            assert_eq!(peer.state(), AssociationState::Established);
            assert_eq!(peer.association().can_reset_streams(), goes_on);
        }
    }
}

//= RFC 9260 §3.3.6, test
//# This field MUST contain the Heartbeat Info parameter (as defined in Section...
#[test]
fn heartbeat_information_of_any_length_comes_back_as_it_was() {
    for length in [0, 1, 2, 3, 4, 5, 40, 1000] {
        let mut peer = Peer::connected();
        let info: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
        let asked = sctp_tests::build::heartbeat(&info);
        peer.send(asked.clone());
        let answer = peer.expect(kind::HEARTBEAT_ACK);
        assert_eq!((answer.flags, answer.value), (0, asked.value));
    }
}

//= RFC 9260 §3.3.8, test
//# Since the SHUTDOWN chunk does not contain Gap Ack Blocks, the receiver...
#[test]
fn a_shutdown_without_gap_blocks_takes_nothing_back() {
    let mut peer = Peer::connected();
    for _ in 0..3 {
        peer.host_send(1, "outstanding");
    }
    peer.receive_all();
    let gap = peer.sack(1).gap(2, 2);
    peer.send(gap);
    let all_but_two = peer.host_tsn(0);
    peer.send(shutdown(all_but_two));
    assert_eq!(peer.state(), AssociationState::ShutdownReceived);
    peer.advance_to_packet();
    let again = peer.find_all(kind::DATA);
    let tsns: Vec<u32> = again.iter().map(|chunk| chunk.as_data().tsn).collect();
    assert_eq!(tsns, [peer.host_tsn(1)], "the third was not taken back");
    let all = peer.host_tsn(2);
    peer.send(shutdown(all));
    assert_eq!(peer.state(), AssociationState::ShutdownAckSent);
}

//= RFC 9260 §3.3.7, test
//# If an endpoint receives an ABORT chunk with a format error...
#[test]
fn an_abort_with_a_format_error_ends_nothing() {
    // Causes that are cut short, too short or too long.
    let broken = [&[0, 12, 0][..], &[0, 12, 0, 3], &[0, 12, 0, 9, 1, 2, 3, 4]];
    for causes in broken {
        for (tag_of_host, flags) in [(true, 0), (false, flag::T)] {
            let mut peer = Peer::connected();
            let tag = if tag_of_host { peer.host_tag } else { TAG };
            peer.send_tagged(tag, Chunk::new(kind::ABORT, flags, causes));
            peer.expect_nothing();
            assert_eq!(peer.state(), AssociationState::Established, "{causes:?}");
        }
        let mut peer = Peer::server();
        peer.host_tag = peer.expect(kind::INIT).as_init().tag;
        peer.send(Chunk::new(kind::ABORT, 0, causes));
        assert_eq!(peer.state(), AssociationState::CookieWait);
    }
}
