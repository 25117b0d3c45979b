//! Packets that belong to no association (§8.4), and the rules for verification tags (§8.5).

use std::{net::SocketAddr, time::Duration};

use sctp_proto::AssociationState;
use sctp_tests::{
    build::{
        abort, bare_abort, cookie_ack, cookie_echo, data, error, heartbeat, heartbeat_ack, init,
        init_ack, sack, shutdown, shutdown_ack, shutdown_complete,
    },
    codec::{Chunk, cause, kind},
    peer::{COOKIE, Peer, TAG},
};

const STRANGE_TAG: u32 = 0x0bad_0bad;

/// One chunk of every type, as an honest peer would send it.
fn one_of_each() -> Vec<Chunk> {
    vec![
        data(1).be(),
        init_ack(TAG, COOKIE).into(),
        sack(0).into(),
        heartbeat(b"info"),
        heartbeat_ack(&heartbeat(b"info")),
        shutdown(0),
        shutdown_ack(),
        error(cause::INVALID_STREAM, &[0, 1, 0, 0]),
        error(cause::STALE_COOKIE, &[0; 4]),
        cookie_ack(),
        bare_abort(false),
        bare_abort(true),
        shutdown_complete(false),
        shutdown_complete(true),
        cookie_echo(COOKIE),
        Chunk::new(0x3f, 0, b"unknown"),
        Chunk::new(0xff, 0, b"unknown"),
    ]
}

//= RFC 9260 §8.4, test
//# If the OOTB packet contains an ABORT chunk, the...
//= RFC 9260 §8.4, test
//# If the packet contains a COOKIE ECHO chunk as...
//= RFC 9260 §8.4, test
//# If the packet contains a SHUTDOWN ACK chunk, the...
//= RFC 9260 §8.4, test
//# When sending the SHUTDOWN COMPLETE chunk, the receiver of...
//= RFC 9260 §8.4, test
//# If the packet contains a SHUTDOWN COMPLETE chunk, the...
//= RFC 9260 §8.4, test
//# If the packet contains an ERROR chunk with the...
//= RFC 9260 §8.4, test
//# The receiver SHOULD respond to the sender of the...
//= RFC 9260 §8.4, test
//# When sending the ABORT chunk, the receiver of the...
//= RFC 9260 §6, test
//# A DATA chunk received in CLOSED is out of...
//= RFC 9260 §6, test
//# A SACK chunk in the CLOSED state is out...
#[test]
fn out_of_the_blue_packets_get_the_answers_of_section_8_4() {
    for chunk in one_of_each() {
        let mut peer = Peer::client();
        peer.tag = STRANGE_TAG;
        peer.send_tagged(STRANGE_TAG, chunk.clone());
        let answer = peer.receive();
        peer.expect_nothing();
        let stale = chunk.kind == kind::ERROR && chunk.cause() == Some(cause::STALE_COOKIE);
        let silent = [
            kind::ABORT,
            kind::SHUTDOWN_COMPLETE,
            kind::COOKIE_ACK,
            // A cookie that is not ours.
            kind::COOKIE_ECHO,
        ];
        if silent.contains(&chunk.kind) || stale {
            assert_eq!(answer, None, "{chunk:?}");
            continue;
        }
        let answer = answer.unwrap_or_else(|| panic!("no answer to {chunk:?}"));
        let expected = match chunk.kind {
            kind::SHUTDOWN_ACK => kind::SHUTDOWN_COMPLETE,
            _ => kind::ABORT,
        };
        assert_eq!(answer.kinds(), [expected], "{chunk:?}");
        assert!(answer.packet.chunks[0].t_bit(), "{chunk:?}");
        assert_eq!(answer.packet.tag, STRANGE_TAG, "{chunk:?}");
        assert_eq!(answer.to, peer.addr);
    }
}

//= RFC 9260 §8.5.1, test
//# If the ABORT chunk is sent in response to...
#[test]
fn an_abort_anywhere_in_a_packet_is_not_answered() {
    let mut peer = Peer::client();
    peer.host_tag = STRANGE_TAG;
    peer.send_bundle(vec![data(1).be(), abort(cause::USER_ABORT, b"bye")]);
    peer.expect_nothing();
}

#[test]
fn answers_out_of_the_blue_are_no_larger_than_what_they_answer() {
    for chunk in one_of_each() {
        let mut peer = Peer::client();
        peer.tag = STRANGE_TAG;
        let packet = peer.packet(STRANGE_TAG, vec![chunk]).encode();
        let sent = packet.len();
        peer.send_bytes(packet);
        let answered: usize = peer.receive_all().iter().map(|r| r.len).sum();
        assert!(answered <= sent, "{answered} bytes for {sent}");
    }
}

#[test]
fn answers_out_of_the_blue_are_limited_per_second() {
    let mut peer = Peer::client();
    peer.tag = STRANGE_TAG;
    let mut answers = 0;
    for _ in 0..10_000 {
        peer.send_tagged(STRANGE_TAG, data(1).be());
        answers += peer.receive_all().len();
    }
    assert!((1..=2000).contains(&answers), "{answers}");
    assert!(peer.host.endpoint.stats().replies_suppressed >= 8000);
    peer.advance(Duration::from_secs(5));
    peer.send_tagged(STRANGE_TAG, data(1).be());
    assert!(peer.receive().is_some(), "a second later it answers again");
}

//= RFC 9260 §8.4, test
//# If the OOTB packet is to or from a...
#[test]
fn nonsense_addresses_are_not_answered() {
    for source in ["224.0.0.1:9899", "255.255.255.255:9899", "0.0.0.0:9899"] {
        let mut peer = Peer::client();
        let source: SocketAddr = source.parse().unwrap();
        for (tag, chunk) in [(STRANGE_TAG, data(1).be()), (0, init(TAG).into())] {
            let packet = peer.packet(tag, vec![chunk]);
            peer.send_from(source, packet.encode());
            peer.expect_nothing();
        }
    }
    let mut peer = Peer::client();
    let packet = peer.packet(STRANGE_TAG, vec![data(1).be()]);
    let no_port = SocketAddr::from(([10, 0, 0, 1], 0));
    peer.send_from(no_port, packet.encode());
    peer.expect_nothing();
}

//= RFC 9260 §6.8, test
//# When an SCTP packet is received, the receiver MUST...
//= RFC 9260 §6.8, test
//# If it is not, the receiver MUST treat the...
#[test]
fn damaged_packets_are_dropped_without_a_word() {
    let mut peer = Peer::connected();
    let good = peer.packet(peer.host_tag, vec![data(1).be()]).encode();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        peer.send_bytes(bad);
        peer.expect_nothing();
    }
    for length in 0..good.len() {
        peer.send_bytes(good[..length].to_vec());
        peer.expect_nothing();
    }
    assert_eq!(peer.host_recv(1), None);
    let counted = peer.host.endpoint.stats();
    assert!(counted.bad_checksum >= good.len() as u64 * 8);
    peer.send_bytes(good);
    assert_eq!(peer.host_recv(1).unwrap(), "data");
}

//= RFC 9260 §8.5, test
//# If the received Verification Tag value does not match...
//= RFC 9260 §8.5.1, test
//# Otherwise, the receiver MUST silently discard the packet and...
//= RFC 9260 §9.1, test
//# An endpoint receiving an ABORT chunk MUST apply the...
#[test]
fn the_tag_decides_in_every_state_what_may_touch_an_association() {
    // §8.5 and §8.5.1: chunk x tag {0, the host's, the peer's, strange}. The T bit is part of
    // the chunk. A packet is either taken, or the association stays as it was and nothing is
    // said.
    for chunk in one_of_each() {
        let host_tag = Peer::connected().host_tag;
        for tag in [0, host_tag, TAG, STRANGE_TAG] {
            let mut peer = Peer::connected();
            assert_eq!(peer.host_tag, host_tag, "the same seed, the same tag");
            let before = peer.association().stats().packets_received;
            peer.send_tagged(tag, chunk.clone());
            let taken = peer.state() == AssociationState::Closed
                || peer.association().stats().packets_received > before;
            let reflectable = matches!(chunk.kind, kind::ABORT | kind::SHUTDOWN_COMPLETE);
            let right = if reflectable && chunk.t_bit() {
                tag == TAG
            } else {
                tag == host_tag
            };
            if !right {
                assert_eq!(peer.state(), AssociationState::Established);
                // A SHUTDOWN ACK, too, only speaks to this association with its tag.
                peer.expect_nothing();
            }
            if chunk.kind == kind::ABORT {
                let closed = peer.state() == AssociationState::Closed;
                assert_eq!(closed, right, "ABORT, T {} tag {tag:#x}", chunk.t_bit());
            } else if right && !reflectable && chunk.kind != kind::COOKIE_ECHO {
                assert!(taken, "{chunk:?} with the right tag");
            }
        }
    }
}

//= RFC 9260 §8.5.1, test
//# An endpoint MUST ignore the SHUTDOWN COMPLETE chunk if...
//= RFC 9260 §9.2, test
//# Upon reception of the SHUTDOWN COMPLETE chunk, the endpoint...
//= RFC 9260 §9.2, test
//# If the endpoint is in the SHUTDOWN-ACK-SENT state, the...
#[test]
fn a_shutdown_complete_counts_in_shutdown_ack_sent_only() {
    for (t_bit, tag_of_host, ends) in [
        (false, true, true),
        (true, false, true),
        (false, false, false),
        (true, true, false),
    ] {
        let mut peer = Peer::connected();
        let tag = if tag_of_host { peer.host_tag } else { TAG };
        peer.send_tagged(tag, shutdown_complete(t_bit));
        assert_eq!(peer.state(), AssociationState::Established);
        let all = peer.host_tsn(0).wrapping_sub(1);
        peer.send(shutdown(all));
        peer.expect(kind::SHUTDOWN_ACK);
        peer.send_tagged(tag, shutdown_complete(t_bit));
        let closed = peer.state() == AssociationState::Closed;
        assert_eq!(closed, ends, "T {t_bit}, the host's tag {tag_of_host}");
    }
}

//= RFC 9260 §8.5.1, test
//# If the receiver is in COOKIE-ECHOED or COOKIE-WAIT state,...
//= RFC 9260 §8.5.1, test
//# Only where no TCB exists SHOULD the sender use...
//= RFC 9260 §9.2, test
//# The sender of the INIT or COOKIE ECHO chunk...
#[test]
fn a_shutdown_ack_during_set_up_is_out_of_the_blue() {
    // §8.5.1 E, §9.2: the answer reflects the tag, and the attempt goes on.
    let mut peer = Peer::server();
    let own = peer.expect(kind::INIT).as_init();
    peer.tag = own.tag;
    peer.send_tagged(own.tag, shutdown_ack());
    let answer = peer.receive().expect("an answer");
    assert_eq!(answer.kinds(), [kind::SHUTDOWN_COMPLETE]);
    assert!(answer.packet.chunks[0].t_bit());
    assert_eq!(answer.packet.tag, own.tag);
    assert_eq!(peer.state(), AssociationState::CookieWait);
    peer.tag = TAG;
    peer.host_tag = own.tag;
    peer.send(init_ack(TAG, COOKIE));
    peer.expect(kind::COOKIE_ECHO);
}

#[test]
fn the_right_tag_from_a_wrong_address_is_out_of_the_blue() {
    let mut peer = Peer::connected();
    let elsewhere = SocketAddr::from(([10, 0, 0, 77], 9899));
    let packet = peer.packet(peer.host_tag, vec![data(1).be()]);
    peer.send_from(elsewhere, packet.encode());
    assert_eq!(peer.host_recv(1), None);
    if let Some(answer) = peer.receive() {
        assert_eq!(answer.to, elsewhere);
        assert_eq!(answer.kinds(), [kind::ABORT]);
        assert!(answer.packet.chunks[0].t_bit());
    }
    assert_eq!(peer.state(), AssociationState::Established);
    // So is the right tag with wrong SCTP ports.
    let mut packet = peer.packet(peer.host_tag, vec![data(1).be()]);
    packet.source = 5001;
    peer.port = 5001;
    peer.send_bytes(packet.encode());
    peer.port = 5000;
    assert_eq!(peer.host_recv(1), None);
    assert_eq!(peer.state(), AssociationState::Established);
}
