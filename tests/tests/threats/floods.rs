//! Peers that send much, or tell of much, to be held or walked.

use sctp_proto::AssociationState;
use sctp_tests::{
    build::{data, i_data, incoming_reset, init, outgoing_reset},
    codec::{Chunk, cause, kind},
    peer::{Peer, TAG},
};

use crate::assert_alive;

/// What a host holds of received data at most, while `send` floods it; its window is `window`.
fn flood(peer: &mut Peer, window: usize, count: u32, chunk: impl Fn(u32) -> Chunk) -> usize {
    let mut peak = 0;
    for tsn in 1..=count {
        peer.send(chunk(tsn));
        peer.receive_all();
        let audit = peer.conn().audit;
        assert_eq!(audit.window, window);
        peak = peak.max(audit.held);
    }
    peak
}

#[test]
fn threat_25_floods_of_tiny_chunks_stay_within_the_window() {
    // bedrock-v/webrtc-v#6, pion#469, go-libp2p#2724: overhead that is not counted.
    const WINDOW: u32 = 16 * 1024;
    let connected = |interleaving: bool| {
        let mut peer = Peer::client_with(|c| {
            c.receive_window(WINDOW).max_inbound_streams(65_535);
        });
        let extensions: &[u8] = if interleaving { &[kind::I_DATA] } else { &[] };
        peer.host.audited = true;
        peer.connect(init(TAG).streams(65_535, 65_535).extensions(extensions));
        peer
    };
    let window = WINDOW as usize;
    let floods: [(bool, &dyn Fn(u32) -> Chunk); 6] = [
        // A message that never ends, of one byte at a time.
        (false, &|tsn| {
            let chunk = data(1).tsn(tsn).payload("x");
            if tsn == 1 { chunk.b() } else { chunk.m() }
        }),
        (true, &|tsn| {
            let chunk = i_data(1).tsn(tsn).fsn(tsn - 1).payload("x");
            if tsn == 1 { chunk.b() } else { chunk.m() }
        }),
        // Messages of one byte that nobody reads, on one stream and on all there are.
        (false, &|tsn| {
            data(1).tsn(tsn).seq(tsn - 1).payload("x").be()
        }),
        (true, &|tsn| i_data(tsn as u16).tsn(tsn).payload("x").be()),
        // Every second TSN, so that nothing is ever acknowledged for good.
        (false, &|tsn| {
            data(1).tsn(2 * tsn).seq(tsn).payload("x").be()
        }),
        // The beginning of a message on every stream.
        (true, &|tsn| i_data(tsn as u16).tsn(tsn).payload("x").b()),
    ];
    for (number, (interleaving, chunk)) in floods.into_iter().enumerate() {
        let mut peer = connected(interleaving);
        let peak = flood(&mut peer, window, 2000, chunk);
        assert!(
            peak <= window,
            "flood {number}: {peak} of {window} bytes held"
        );
        // The window is in use: the flood was not refused for another reason.
        assert!(peak >= window / 2, "flood {number}: {peak} bytes held");
        assert_eq!(peer.state(), AssociationState::Established);
    }
}

#[test]
fn threat_26_streams_that_do_not_exist_are_answered_with_error() {
    // FreeBSD SA-19:... an index out of range of an array of streams.
    for interleaving in [false, true] {
        for streams in [1, 10, 65_535_u16] {
            let mut peer = Peer::client_with(|c| _ = c.max_inbound_streams(streams));
            let extensions: &[u8] = if interleaving { &[kind::I_DATA] } else { &[] };
            peer.connect(init(TAG).streams(65_535, 65_535).extensions(extensions));
            for (tsn, stream) in (1..).zip([0, streams - 1, streams, 65_535]) {
                let chunk = if interleaving {
                    i_data(stream)
                } else {
                    data(stream)
                };
                peer.send(chunk.tsn(tsn).seq(u32::from(tsn == 2 && streams == 1)).be());
                let error = peer.find(kind::ERROR);
                let invalid = stream >= streams;
                assert_eq!(error.is_some(), invalid, "stream {stream} of {streams}");
                if let Some(error) = error {
                    assert_eq!(error.cause(), Some(cause::INVALID_STREAM));
                    assert_eq!(error.causes()[0].1[..2], stream.to_be_bytes());
                }
                assert_eq!(peer.host_recv(stream).is_some(), !invalid, "{stream}");
                assert_eq!(peer.state(), AssociationState::Established);
            }
        }
    }
}

#[test]
fn threat_26_resets_of_streams_that_do_not_exist_are_refused() {
    for stream in [0, 9, 10, 65_535_u16] {
        let mut peer = Peer::client_with(|c| {
            c.max_inbound_streams(10).outbound_streams(10);
        });
        peer.connect(init(TAG).streams(10, 10).extensions(&[kind::RE_CONFIG]));
        peer.send(outgoing_reset(1, 0, 0, &[stream]));
        peer.send(incoming_reset(2, &[stream]));
        peer.receive_all();
        assert_alive(&mut peer, 1);
    }
}
