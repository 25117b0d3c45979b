//! What is in one packet, and in which order (§6.9, §6.10).

use bytes::Bytes;
use sctp_proto::{SendInfo, StreamId};
use sctp_tests::{
    build::{data, heartbeat, shutdown},
    codec::{Chunk, kind},
    peer::Peer,
};

/// The largest packet with the default MTU of 1280, and the largest chunk in it (PMDCS).
const PACKET: usize = 1280 - 20 - 8;
const PMDCS: usize = PACKET - 12;

/// Queues a message, to leave with whatever comes next.
fn queue(peer: &mut Peer, data: impl Into<Bytes>) {
    let now = peer.now;
    let sent = peer
        .association()
        .send(now, StreamId(1), data.into(), SendInfo::default());
    sent.expect("the message is taken");
}

fn offsets(peer: &Peer, chunks: &[Chunk]) -> Vec<u32> {
    let offset = |chunk: &Chunk| chunk.as_data().tsn.wrapping_sub(peer.host_tsn);
    chunks.iter().map(offset).collect()
}

//= RFC 9260 §6, test
//# Control chunks MUST come before DATA chunks in the...
//= RFC 9260 §6.10, test
//# When bundling control chunks with DATA chunks, an endpoint...
#[test]
fn control_chunks_come_first() {
    let mut peer = Peer::connected();
    queue(&mut peer, "answer");
    queue(&mut peer, "and more");
    peer.send_bundle(vec![
        data(1).be(),
        heartbeat(b"question"),
        Chunk::new(0xFE, 0, b"to be reported"),
    ]);
    peer.expect_packet(&[
        kind::HEARTBEAT_ACK,
        kind::ERROR,
        kind::SACK,
        kind::DATA,
        kind::DATA,
    ]);
}

//= RFC 9260 §6.10, test
//# The transmitter MUST transmit DATA chunks within an SCTP...
#[test]
fn what_is_sent_again_comes_before_what_is_new_in_its_packet() {
    let mut peer = Peer::connected_with(|c| {
        c.nodelay(false);
    });
    peer.host_send(1, "lost");
    peer.receive_all();
    // Nagle's algorithm holds these back while the first is outstanding.
    peer.host_send(1, "held back");
    peer.host_send(1, "so is this");
    peer.expect_nothing();
    peer.advance_to_packet();
    let chunks = peer.expect_packet(&[kind::DATA; 3]);
    assert_eq!(offsets(&peer, &chunks), [0, 1, 2]);
}

//= RFC 9260 §6.10, test
//# An endpoint MUST process received chunks in their order...
#[test]
fn chunks_are_processed_in_their_order() {
    // After SHUTDOWN a peer has no more DATA (§6).
    let mut peer = Peer::connected();
    let all = peer.host_tsn(0).wrapping_sub(1);
    peer.send_bundle(vec![
        data(1).tsn(1).seq(0).payload("before").be(),
        shutdown(all),
        data(1).tsn(2).seq(1).payload("after").be(),
    ]);
    assert_eq!(peer.host_recv(1).unwrap(), "before");
    assert_eq!(peer.host_recv(1), None);

    let mut peer = Peer::connected();
    peer.send_bundle(vec![heartbeat(b"first"), heartbeat(b"second")]);
    let answers = peer.expect_packet(&[kind::HEARTBEAT_ACK; 2]);
    assert_eq!(answers[0].value, heartbeat(b"first").value);
    assert_eq!(answers[1].value, heartbeat(b"second").value);
}

//= RFC 9260 §6.10, test
//# If the receiver detects a partial chunk, it MUST drop...
#[test]
fn a_partial_chunk_is_dropped_and_those_before_it_are_taken() {
    let mut peer = Peer::connected();
    let whole = data(1).tsn(1).seq(0).payload("whole").be();
    let partial = data(1).tsn(2).seq(1).payload("a part of it").be();
    peer.send_bundle(vec![whole, partial.forged_length(200)]);
    assert_eq!(peer.expect(kind::SACK).as_sack().cumulative, 1);
    assert_eq!(peer.host_recv(1).unwrap(), "whole");
    assert_eq!(peer.host_recv(1), None);
}

//= RFC 9260 §6.9, test
//# The implementation MUST also take into account the space...
#[test]
fn data_is_cut_to_fit_beside_a_large_sack() {
    let mut peer = Peer::connected();
    for n in 1..=200 {
        peer.send(data(1).tsn(2 * n).unordered().payload("x").be());
    }
    peer.receive_all();
    queue(&mut peer, vec![0; 5000]);
    peer.send(data(1).tsn(402).unordered().payload("x").be());
    let first = peer.receive().expect("a packet");
    assert_eq!(first.kinds(), [kind::SACK, kind::DATA]);
    assert_eq!(first.packet.chunks[0].as_sack().gaps.len(), 201);
    assert_eq!(first.len, PACKET, "what is left of it is used");
    let mut bytes = first.packet.chunks[1].as_data().payload.len();
    for received in peer.receive_all() {
        assert!(received.len <= PACKET);
        let chunks = received.packet.chunks;
        bytes += chunks
            .iter()
            .map(|c| c.as_data().payload.len())
            .sum::<usize>();
    }
    assert!(bytes > 3 * PACKET, "{bytes}");
}

//= RFC 9260 §6, test
//# The size of each DATA chunk SHOULD be smaller than...
//= RFC 9260 §6.9, test
//# The sender SHOULD choose a size of DATA chunks that...
//= RFC 9260 §6.9, test
//# The data sender MUST break the user message into a...
#[test]
fn no_chunk_is_larger_than_fits_a_packet_of_its_own() {
    for length in [PMDCS - 16, PMDCS - 15, 2 * (PMDCS - 16), 5000] {
        let mut peer = Peer::connected();
        peer.host_send(1, vec![0; length]);
        let chunks = peer.find_all(kind::DATA);
        let sizes: Vec<_> = chunks.iter().map(|c| 4 + c.value.len()).collect();
        assert!(sizes.iter().all(|size| *size <= PMDCS), "{sizes:?}");
        let needed = length.div_ceil(PMDCS - 16).min(4);
        assert_eq!(sizes.len(), needed, "{length} bytes");
    }
}

//= RFC 9260 §6.9, test
//# If the user indicates that the user message is to...
#[test]
fn every_fragment_of_an_unordered_message_is_unordered() {
    let mut peer = Peer::connected();
    let info = SendInfo::default().unordered(true);
    peer.host_send_with(1, vec![0; 3000], info);
    let chunks = peer.find_all(kind::DATA);
    assert_eq!(chunks.len(), 3);
    assert!(chunks.iter().all(|chunk| chunk.as_data().unordered));
}
