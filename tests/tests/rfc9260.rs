//! Sentences of RFC 9260 that no other story tells, one test each, in the order of the RFC.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use sctp_proto::{AssociationState, CloseReason, Event, PathId, SendInfo, StreamId};
use sctp_tests::{
    build::{
        abort, bare_abort, cookie_echo, data, error, heartbeat, heartbeat_ack, init, init_ack,
        shutdown, tlv,
    },
    codec::{Chunk, cause, kind},
    net::Datagram,
    peer::{COOKIE, Peer, TAG},
};

const SECOND: Duration = Duration::from_secs(1);
/// Another tag of the peer.
const OTHER: u32 = 0x2222_2222;

/// A host that is in SHUTDOWN-SENT.
fn shutdown_sent() -> Peer {
    let mut peer = Peer::connected();
    let now = peer.now;
    peer.association().shutdown(now);
    peer.collect();
    peer.expect(kind::SHUTDOWN);
    peer
}

//= RFC 9260 §3.3.3, test
//# If an endpoint in the COOKIE-WAIT state receives an INIT ACK chunk with the Initiate Tag set to
//# 0, it MUST destroy the TCB and SHOULD send an ABORT chunk with the T bit set.
#[test]
fn an_init_ack_with_tag_zero_gets_an_abort_with_the_own_tag() {
    let mut peer = Peer::server();
    peer.answer_init(init_ack(0, COOKIE));
    let answer = peer.receive().expect("an answer").packet;
    assert!(answer.chunks[0].t_bit());
    assert_eq!(
        (answer.chunks[0].kind, answer.tag),
        (kind::ABORT, peer.host_tag)
    );
    assert_eq!(peer.state(), AssociationState::Closed);
}

//= RFC 9260 §3.3.7, test
//# Moreover, under any circumstances, an endpoint that receives an ABORT...
//= RFC 9260 §9.1, test
//# An endpoint MUST NOT respond to any received packet that contains an ABORT...
#[test]
fn a_packet_with_an_abort_is_never_answered() {
    // DATA without user data asks for an ABORT, SHUTDOWN ACK for SHUTDOWN COMPLETE.
    let mut peer = Peer::connected();
    peer.send_bundle(vec![data(1).payload("").be(), bare_abort(false)]);
    peer.expect_nothing();
    assert_eq!(peer.state(), AssociationState::Closed);

    let mut peer = shutdown_sent();
    peer.send_bundle(vec![
        sctp_tests::build::shutdown_ack(),
        abort(cause::USER_ABORT, b"enough"),
    ]);
    peer.expect_nothing();
    assert_eq!(peer.state(), AssociationState::Closed);
}

//= RFC 9260 §8.5.1, test
//# The receiver of an ABORT chunk MUST accept the packet if...
#[test]
fn a_reflected_abort_counts_wherever_it_is_in_its_packet() {
    let mut peer = Peer::connected();
    let reflected = peer.packet(
        TAG,
        vec![error(cause::UNRECOGNIZED_CHUNK, b"??"), bare_abort(true)],
    );
    peer.send_bytes(reflected.encode());
    assert_eq!(peer.state(), AssociationState::Closed);

    // What is with it has the wrong tag, and counts for nothing.
    let mut peer = Peer::connected();
    let no_abort = peer.packet(TAG, vec![heartbeat(b"?"), data(1).be()]);
    peer.send_bytes(no_abort.encode());
    peer.expect_nothing();
    let own_tag = peer.packet(peer.host_tag, vec![heartbeat(b"?"), bare_abort(true)]);
    peer.send_bytes(own_tag.encode());
    assert_eq!(peer.state(), AssociationState::Established);
}

//= RFC 9260 §6, test
//# A SACK chunk received in any other state SHOULD be discarded.
#[test]
fn a_sack_after_the_own_shutdown_is_discarded() {
    let mut peer = shutdown_sent();
    let future = peer.sack(50);
    peer.send(future.clone());
    assert_eq!(peer.state(), AssociationState::ShutdownSent);
    peer.send(shutdown(peer.host_tsn(0).wrapping_sub(1)));
    peer.expect(kind::SHUTDOWN_ACK);
    peer.send(future);
    assert_eq!(peer.state(), AssociationState::ShutdownAckSent);
}

//= RFC 9260 §6.1, test
//# The sender MUST also have an algorithm for sending new DATA chunks...
//= RFC 9260 §6.1, test
//# At any given time, the data sender MUST NOT transmit new data to any...
#[test]
fn a_window_that_is_always_smaller_than_a_packet_is_used_without_waiting() {
    let window = 3000;
    let mut peer = Peer::client_with(|c| {
        c.path_mtu(9000);
    });
    peer.connect(init(TAG).a_rwnd(window));
    peer.host_send(1, vec![0; 20_000]);
    let (mut bytes, mut chunks) = (0, 0);
    while bytes < 20_000 {
        let sent = peer.find_all(kind::DATA);
        assert!(!sent.is_empty(), "stalled after {bytes} bytes");
        let burst: usize = sent.iter().map(|c| c.as_data().payload.len()).sum();
        assert!(burst <= window as usize, "{burst} into {window}");
        bytes += burst;
        chunks += sent.len() as u32;
        let sack = peer.sack(chunks).a_rwnd(window);
        peer.send(sack);
    }
    assert!(chunks <= 20, "{chunks} chunks: silly");
}

//= RFC 9260 §6.2, test
//# The SCTP endpoint MUST report as many Gap Ack Blocks as can fit...
//= RFC 9260 §6.7, test
//# This single SACK chunk MUST report the Gap Ack...
//= RFC 9260 §6.7, test
//# When a single SACK chunk cannot cover all the...
#[test]
fn a_sack_has_as_many_gap_blocks_as_its_packet_takes() {
    let mut peer = Peer::connected();
    for n in 1..=400 {
        peer.send(data(1).tsn(2 * n).unordered().payload("x").be());
    }
    let sack = peer.find_all(kind::SACK).pop().expect("a SACK").as_sack();
    let room = (1280 - 20 - 8 - 12 - 16) / 4;
    assert_eq!(sack.gaps.len(), room);
    assert_eq!(sack.gaps[0], (2, 2), "from the lowest on");
}

//= RFC 9260 §7.2.1, test
//# While the endpoint does not transmit data on a given transport address...
#[test]
fn heartbeats_do_not_keep_an_unused_window_open() {
    let mut peer = Peer::connected_with(|c| {
        c.heartbeat_interval(Some(SECOND))
            .rto_initial(8 * SECOND)
            .rto_min(8 * SECOND)
            .max_burst(1000)
            .stream_send_buffer(1024 * 1024);
    });
    let now = peer.now;
    for _ in 0..200 {
        let message = Bytes::from(vec![0; 1200]);
        let association = peer.association();
        let sent = association.send(now, StreamId(1), message, SendInfo::default());
        sent.expect("the message is taken");
    }
    peer.collect();
    let mut acked = 0;
    loop {
        let packets = peer.find_all(kind::DATA).len() as u32;
        if packets == 0 {
            break;
        }
        for _ in 0..packets {
            acked += 1;
            let sack = peer.sack(acked);
            peer.send(sack);
        }
    }
    let cwnd = |peer: &mut Peer| peer.association().paths().next().unwrap().stats.cwnd;
    let before = cwnd(&mut peer);
    assert!(before > 16 * 1280, "{before}");
    // Idle for two and a half time-outs, but for HEARTBEATs, each answered.
    let end = peer.now + 20 * SECOND;
    while peer.now < end {
        peer.advance(SECOND / 10);
        for beat in peer.find_all(kind::HEARTBEAT) {
            peer.send(heartbeat_ack(&beat));
        }
    }
    peer.host_send(1, "after the pause");
    let after = cwnd(&mut peer);
    assert!(after <= before / 3, "{before} before, {after} after");
}

//= RFC 9260 §7.2.5, test
//# When detected by an SCTP implementation, the congestion control...
//= RFC 9260 §7.2.5.2, test
//# If such a routing change happens, the congestion control parameters...
#[test]
fn another_source_address_begins_with_a_new_window() {
    let mut peer = Peer::connected();
    let cwnd = |peer: &mut Peer| peer.association().paths().next().unwrap().stats.cwnd;
    let initial = cwnd(&mut peer);
    peer.host_send(1, vec![0; 60_000]);
    for n in 1..=6 {
        let sack = peer.sack(n);
        peer.send(sack);
    }
    assert!(cwnd(&mut peer) > initial);
    let beat = peer.packet(peer.host_tag, vec![heartbeat(b"?")]).encode();
    peer.receive_all();
    let to = SocketAddr::from(([10, 0, 0, 77], 9899));
    peer.host.addrs.push(to);
    let datagram = Datagram {
        from: peer.addr,
        to,
        payload: beat,
        dont_fragment: true,
        ecn: None,
    };
    peer.host.receive(peer.now, datagram);
    peer.collect();
    assert_eq!(cwnd(&mut peer), initial);
}

//= RFC 9260 §8.3, test
//# The receiver of the HEARTBEAT chunk SHOULD immediately respond...
#[test]
fn all_of_a_heartbeat_comes_back() {
    let mut peer = Peer::connected();
    let mut value = tlv(1, b"info");
    value.extend_from_slice(&tlv(0xC123, b"more"));
    value.extend_from_slice(&tlv(0x8123, b"odd"));
    peer.send(Chunk::new(kind::HEARTBEAT, 0, &value));
    assert_eq!(peer.expect(kind::HEARTBEAT_ACK).value, value);
}

//= RFC 9260 §8.3, test
//# After this, the endpoint SHOULD continue sending HEARTBEAT chunks...
#[test]
fn the_errors_of_an_inactive_path_are_not_counted() {
    let mut peer = Peer::connected_with(|c| {
        c.heartbeat_interval(Some(SECOND))
            .path_max_retrans(2)
            .association_max_retrans(50)
            .rto_max(2 * SECOND);
    });
    peer.advance(120 * SECOND);
    assert!(peer.find_all(kind::HEARTBEAT).len() > 10, "still probed");
    let path = peer.association().paths().next().unwrap();
    assert_eq!(path.stats.errors, 3);
}

//= RFC 9260 §8.3, test
//# On an idle destination address that is allowed to heartbeat...
#[test]
fn unanswered_heartbeats_come_once_per_interval_and_doubling_time_out() {
    let mut peer = Peer::connected_with(|c| {
        c.heartbeat_interval(Some(30 * SECOND));
    });
    peer.advance_to_packet();
    peer.expect(kind::HEARTBEAT);
    let mut rto = SECOND;
    for _ in 0..4 {
        rto *= 2;
        let wait = peer.advance_to_packet();
        peer.expect(kind::HEARTBEAT);
        let range = 30 * SECOND + rto / 2..=30 * SECOND + rto * 3 / 2;
        assert!(range.contains(&wait), "{wait:?} not in {range:?}");
    }
}

//= RFC 9260 §8.3, test
//# By default, an SCTP endpoint SHOULD monitor the reachability...
#[test]
fn no_heartbeat_leaves_after_shutdown_nor_before_the_association_is_up() {
    let mut peer = shutdown_sent();
    let now = peer.now;
    let _ = peer
        .association()
        .request_heartbeat(now, PathId::from_index(0));
    peer.advance(5 * SECOND);
    assert_eq!(peer.find(kind::HEARTBEAT), None);

    let mut peer = Peer::server();
    peer.answer_init(init_ack(TAG, COOKIE));
    let now = peer.now;
    let _ = peer
        .association()
        .request_heartbeat(now, PathId::from_index(0));
    peer.advance(5 * SECOND);
    assert_eq!(peer.find(kind::HEARTBEAT), None);
}

#[test]
fn errors_too_large_to_share_a_packet_do_not_keep_later_ones_from_it() {
    let mut peer = Peer::connected();
    let (small, large) = ([7; 480], [7; 1100]);
    peer.send_bundle(vec![
        Chunk::new(0xFE, 0, &small),
        Chunk::new(0xFE, 0, &large),
    ]);
    let report = peer.expect(kind::ERROR);
    assert_eq!(report.cause(), Some(cause::UNRECOGNIZED_CHUNK));
    peer.send(Chunk::new(0xFE, 0, &[7; 8]));
    assert_eq!(peer.expect(kind::ERROR).causes()[0].1.len(), 12);
}

//= RFC 9260 §3.3.2, test
//# During the life of the association, this buffer space SHOULD NOT...
#[test]
fn an_accepted_association_has_the_window_that_was_announced() {
    let mut peer = Peer::client_with(|c| {
        c.receive_window(300_000);
    });
    let answer = peer.init(init(TAG));
    assert_eq!(answer.a_rwnd, 300_000);
    let mut other = sctp_proto::AssociationConfig::default();
    other.heartbeat_interval(None).receive_window(8192);
    peer.host.auto_accept = false;
    peer.send(cookie_echo(&answer.cookie()));
    let waiting = peer.host.incoming.pop_front().expect("the peer waits");
    peer.host.accept_with(peer.now, waiting, Some(other));
    peer.collect();
    peer.expect(kind::COOKIE_ACK);
    peer.send(data(1).be());
    let sack = peer.expect(kind::SACK).as_sack();
    assert!(sack.a_rwnd > 200_000, "{}", sack.a_rwnd);
}

//= RFC 9260 §9.1, test
//# If a "User-Initiated Abort" error cause is present in the ABORT chunk, the Upper Layer...
#[test]
fn the_reasons_of_an_end_are_told() {
    let mut peer = Peer::connected();
    peer.send(abort(cause::USER_ABORT, b"why not"));
    let Some(CloseReason::PeerAbort(Some(reason))) = peer.closed() else {
        panic!("{:?}", peer.closed());
    };
    assert_eq!(reason.code, cause::USER_ABORT);
    assert_eq!(reason.info.as_ref(), b"why not");
    assert!(!peer.events().contains(&Event::PeerShutdown));
}

//= RFC 9260 §12.3, test
//# The receiver of an INIT chunk MUST silently discard the INIT chunk and all further chunks if...
#[test]
fn an_init_out_of_the_blue_with_a_tag_is_discarded() {
    let mut peer = Peer::client();
    peer.send_tagged(OTHER, init(TAG));
    peer.expect_nothing();
}
