//! The end of a stream: RE-CONFIG (RFC 6525), both directions, and its losses.

use std::time::Duration;

use sctp_proto::{AssociationState, Event, ResetError, SendError, SendInfo, StreamId};
use sctp_tests::{
    build::{data, i_data, outgoing_reset, reconfig_response},
    codec::{
        Chunk, be32, kind, outgoing_reset_request, param,
        result::{BAD_SEQUENCE, DENIED, IN_PROGRESS, NOTHING_TO_DO, PERFORMED, WRONG_SSN},
    },
    net::{Link, Verdict},
    pair::{
        Pair,
        Side::{self, Client, Server},
    },
    peer::Peer,
};

const SECOND: Duration = Duration::from_secs(1);

/// (request number, result) of the response in a RE-CONFIG chunk.
fn response(chunk: &Chunk) -> (u32, u32) {
    let (kind, value) = chunk.reconfig_params().remove(0);
    assert_eq!(kind, param::RECONFIG_RESPONSE, "{chunk:?}");
    (be32(&value, 0), be32(&value, 4))
}

/// (request number, last TSN, streams) of the outgoing reset request in a RE-CONFIG chunk.
fn request(chunk: &Chunk) -> (u32, u32, Vec<u16>) {
    let found = outgoing_reset_request(&chunk.reconfig_params());
    let (number, _, last, streams) = found.expect("an outgoing reset request");
    (number, last, streams)
}

fn reset(peer: &mut Peer, streams: &[u16]) {
    let now = peer.now;
    let streams: Vec<_> = streams.iter().copied().map(StreamId).collect();
    peer.association()
        .reset_streams(now, &streams)
        .expect("it can be reset");
    peer.collect();
}

/// What an event says about resets.
#[derive(Debug, PartialEq, Eq)]
enum Reset {
    Incoming(Vec<u16>),
    Outgoing(Vec<u16>, bool),
}

impl Reset {
    fn of(event: Event) -> Option<Self> {
        let ids = |streams: Vec<StreamId>| streams.into_iter().map(|s| s.0).collect();
        match event {
            Event::IncomingReset { streams, .. } => Some(Self::Incoming(ids(streams))),
            Event::OutgoingReset { streams, outcome } => {
                Some(Self::Outgoing(ids(streams), outcome.is_success()))
            }
            _ => None,
        }
    }
}

fn resets(peer: &mut Peer) -> Vec<Reset> {
    peer.events().into_iter().filter_map(Reset::of).collect()
}

fn resets_at(pair: &mut Pair, side: Side) -> Vec<Reset> {
    pair.events(side)
        .into_iter()
        .filter_map(Reset::of)
        .collect()
}

fn reset_from(pair: &mut Pair, side: Side, streams: &[u16]) {
    let now = pair.now;
    let streams: Vec<_> = streams.iter().copied().map(StreamId).collect();
    let association = &mut pair.conn(side).association;
    association
        .reset_streams(now, &streams)
        .expect("it can be reset");
}

#[test]
fn a_stream_ends_and_begins_anew() {
    for interleaving in [false, true] {
        let mut pair = Pair::builder()
            .both(|c| {
                c.interleaving(interleaving);
            })
            .build();
        pair.connect();
        for round in 0..3 {
            let text = format!("round {round}");
            pair.send(Client, 1, text.clone());
            pair.send(Client, 1, vec![0; 5000]);
            pair.send_with(Client, 1, "aside", SendInfo::default().unordered(true));
            reset_from(&mut pair, Client, &[1]);
            assert!(matches!(
                pair.try_send(Client, 1, "too early".into(), SendInfo::default()),
                Err(SendError::StreamResetting(StreamId(1)))
            ));
            pair.send(Client, 2, "others go on");
            pair.drive();
            assert_eq!(
                resets_at(&mut pair, Client),
                [Reset::Outgoing(vec![1], true)]
            );
            assert_eq!(resets_at(&mut pair, Server), [Reset::Incoming(vec![1])]);
            // What came before the end is still there.
            let mut received: Vec<_> = std::iter::from_fn(|| pair.recv(Server, 1)).collect();
            received.sort_by_key(|message| message.len());
            assert_eq!(received.len(), 3);
            assert_eq!(received[1], text);
            assert_eq!(pair.recv(Server, 2).unwrap(), "others go on");
        }
    }
}

#[test]
fn the_request_names_the_last_tsn_before_it() {
    let mut peer = Peer::connected();
    peer.host_send(1, "before");
    peer.receive_all();
    let sack = peer.sack(1);
    peer.send(sack);
    reset(&mut peer, &[1]);
    let (number, last_tsn, streams) = request(&peer.expect(kind::RE_CONFIG));
    assert_eq!(number, peer.host_tsn, "numbers begin with the initial TSN");
    assert_eq!(last_tsn, peer.host_tsn(0));
    assert_eq!(streams, [1]);
    peer.send(reconfig_response(number, PERFORMED));
    assert_eq!(resets(&mut peer), [Reset::Outgoing(vec![1], true)]);
    peer.host_send(1, "anew");
    assert_eq!(peer.find(kind::DATA).unwrap().as_data().seq, 0);
    // The next request has the next number.
    let sack = peer.sack(2);
    peer.send(sack);
    reset(&mut peer, &[1]);
    assert_eq!(
        request(&peer.expect(kind::RE_CONFIG)).0,
        number.wrapping_add(1)
    );
}

#[test]
fn a_denied_request_leaves_the_stream_as_it_was() {
    for result in [DENIED, WRONG_SSN, BAD_SEQUENCE] {
        let mut peer = Peer::connected();
        peer.host_send(1, "first");
        let sack = peer.sack(1);
        peer.send(sack);
        peer.receive_all();
        reset(&mut peer, &[1]);
        let (number, ..) = request(&peer.expect(kind::RE_CONFIG));
        peer.send(reconfig_response(number, result));
        let denied = Reset::Outgoing(vec![1], false);
        assert_eq!(resets(&mut peer), [denied], "result {result}");
        peer.host_send(1, "second");
        assert_eq!(peer.find(kind::DATA).unwrap().as_data().seq, 1);
    }
}

#[test]
fn nothing_to_do_is_a_success() {
    let mut peer = Peer::connected();
    reset(&mut peer, &[1]);
    let (number, ..) = request(&peer.expect(kind::RE_CONFIG));
    peer.send(reconfig_response(number, NOTHING_TO_DO));
    assert_eq!(resets(&mut peer), [Reset::Outgoing(vec![1], true)]);
}

#[test]
fn a_lost_request_is_sent_again_as_it_was() {
    let mut peer = Peer::connected();
    reset(&mut peer, &[1, 2]);
    let first = peer.expect(kind::RE_CONFIG);
    let mut waits = Vec::new();
    for _ in 0..3 {
        waits.push(peer.advance_to_packet());
        assert_eq!(peer.expect(kind::RE_CONFIG), first);
    }
    assert!(waits.is_sorted_by(|a, b| a < b), "backed off: {waits:?}");
    let (number, ..) = request(&first);
    // Responses to something else mean nothing.
    peer.send(reconfig_response(number.wrapping_add(1), PERFORMED));
    peer.send(reconfig_response(number.wrapping_sub(1), PERFORMED));
    assert_eq!(resets(&mut peer), []);
    peer.send(reconfig_response(number, PERFORMED));
    assert_eq!(resets(&mut peer).len(), 1);
    peer.send(reconfig_response(number, PERFORMED));
    assert_eq!(resets(&mut peer), []);
    peer.advance(100 * SECOND);
    peer.expect_nothing();
}

#[test]
fn a_request_in_progress_is_asked_again() {
    let mut peer = Peer::connected();
    reset(&mut peer, &[1]);
    let first = peer.expect(kind::RE_CONFIG);
    let (number, last_tsn, _) = request(&first);
    peer.send(reconfig_response(number, IN_PROGRESS));
    assert_eq!(resets(&mut peer), []);
    peer.advance_to_packet();
    let again = request(&peer.expect(kind::RE_CONFIG));
    assert_eq!((again.0, again.1), (number, last_tsn));
    peer.send(reconfig_response(number, PERFORMED));
    assert_eq!(resets(&mut peer).len(), 1);
}

#[test]
fn a_request_nobody_answers_ends_the_association() {
    let mut peer = Peer::connected_with(|c| {
        c.association_max_retrans(3);
    });
    reset(&mut peer, &[1]);
    peer.advance(1000 * SECOND);
    assert_eq!(peer.state(), AssociationState::Closed);
    assert_eq!(peer.find_all(kind::RE_CONFIG).len(), 4);
}

#[test]
fn a_request_of_the_peer_is_performed_once() {
    let mut peer = Peer::connected();
    peer.send(data(1).tsn(1).seq(0).payload("before").be());
    peer.receive_all();
    let chunk = outgoing_reset(1, 0, 1, &[1]);
    peer.send(chunk.clone());
    let answer = peer.find(kind::RE_CONFIG).expect("a response");
    assert_eq!(response(&answer), (1, PERFORMED));
    assert_eq!(resets(&mut peer), [Reset::Incoming(vec![1])]);
    assert_eq!(peer.host_recv(1).unwrap(), "before");
    // The SSN begins anew.
    peer.send(data(1).tsn(2).seq(0).payload("after").be());
    assert_eq!(peer.host_recv(1).unwrap(), "after");
    // A retransmission of the request, late, resets nothing again but is answered.
    peer.receive_all();
    peer.send(chunk);
    let answer = peer.find(kind::RE_CONFIG).expect("a response");
    assert_eq!(response(&answer).0, 1);
    assert_eq!(resets(&mut peer), []);
    peer.send(data(1).tsn(3).seq(1).payload("goes on").be());
    assert_eq!(peer.host_recv(1).unwrap(), "goes on");
}

#[test]
fn a_request_that_comes_before_its_data_waits_for_it() {
    let mut peer = Peer::connected();
    let chunk = outgoing_reset(1, 0, 2, &[1]);
    peer.send(chunk.clone());
    let answer = peer.find(kind::RE_CONFIG).expect("a response");
    assert_eq!(response(&answer), (1, IN_PROGRESS));
    assert_eq!(resets(&mut peer), []);
    peer.send(data(1).tsn(2).seq(1).payload("second").be());
    peer.send(data(1).tsn(1).seq(0).payload("first").be());
    peer.receive_all();
    peer.send(chunk);
    let answer = peer.find(kind::RE_CONFIG).expect("a response");
    assert_eq!(response(&answer), (1, PERFORMED));
    assert_eq!(resets(&mut peer), [Reset::Incoming(vec![1])]);
    assert_eq!(peer.host_recv(1).unwrap(), "first");
    assert_eq!(peer.host_recv(1).unwrap(), "second");
    peer.send(data(1).tsn(3).seq(0).payload("third").be());
    assert_eq!(peer.host_recv(1).unwrap(), "third");
}

#[test]
fn an_empty_list_means_every_stream() {
    let mut peer = Peer::interleaving();
    for stream in [1, 2, 3] {
        let tsn = u32::from(stream);
        peer.send(i_data(stream).tsn(tsn).payload("before").be());
        peer.host_recv(stream).unwrap();
    }
    peer.send(outgoing_reset(1, 0, 3, &[]));
    assert_eq!(resets(&mut peer), [Reset::Incoming(vec![])]);
    for stream in [1, 2, 3] {
        let tsn = 3 + u32::from(stream);
        peer.send(i_data(stream).tsn(tsn).payload("after").be());
        assert_eq!(peer.host_recv(stream).unwrap(), "after");
    }
}

#[test]
fn wrong_requests_are_denied_and_change_nothing() {
    for (chunk, result) in [
        (outgoing_reset(1, 0, 0, &[1024]), Some(WRONG_SSN)),
        (outgoing_reset(7, 0, 0, &[1]), Some(BAD_SEQUENCE)),
        (
            outgoing_reset(0_u32.wrapping_sub(5), 0, 0, &[1]),
            Some(BAD_SEQUENCE),
        ),
        (Chunk::new(kind::RE_CONFIG, 0, &[]), None),
        (
            Chunk::new(kind::RE_CONFIG, 0, &[0, 13, 0, 8, 0, 0, 0, 1]),
            None,
        ),
        (Chunk::new(kind::RE_CONFIG, 0, &[0, 13, 0, 0]), None),
        (Chunk::new(kind::RE_CONFIG, 0, &[0, 13, 255, 255]), None),
    ] {
        let mut peer = Peer::connected();
        peer.send(chunk.clone());
        let answer = peer.find(kind::RE_CONFIG).map(|answer| response(&answer).1);
        assert_eq!(answer, result, "{chunk:?}");
        assert_eq!(resets(&mut peer), []);
        assert_eq!(peer.state(), AssociationState::Established);
        // The right number is still the first.
        peer.send(outgoing_reset(1, 0, 0, &[1]));
        let answer = peer.find(kind::RE_CONFIG).expect("a response");
        assert_eq!(response(&answer).0, 1);
    }
}

#[test]
fn without_re_config_streams_do_not_end() {
    let mut pair = Pair::builder()
        .server(|c| {
            c.stream_reset(false);
        })
        .build();
    pair.connect();
    let now = pair.now;
    let association = &mut pair.conn(Client).association;
    assert_eq!(
        association.reset_streams(now, &[StreamId(1)]),
        Err(ResetError::NotSupported)
    );
    let mut pair = Pair::connected();
    let now = pair.now;
    let association = &mut pair.conn(Client).association;
    let streams = association.streams().0;
    assert_eq!(
        association.reset_streams(now, &[StreamId(streams)]),
        Err(ResetError::UnknownStream(StreamId(streams)))
    );
}

#[test]
fn resets_survive_the_loss_of_any_packet() {
    for which in 0..12 {
        for side in [Client, Server] {
            let mut pair = Pair::connected();
            let mut seen = 0;
            pair.script_from(side, move |_, _| {
                seen += 1;
                if seen == which + 1 {
                    Verdict::Drop
                } else {
                    Verdict::Pass
                }
            });
            for round in 0..3 {
                pair.send(Client, 1, format!("{round}"));
                pair.send(Server, 1, format!("{round}"));
                reset_from(&mut pair, Client, &[1]);
                reset_from(&mut pair, Server, &[1]);
                pair.drive();
                for side in [Client, Server] {
                    assert_eq!(pair.recv(side, 1).unwrap(), format!("{round}"));
                    let resets = resets_at(&mut pair, side);
                    assert_eq!(resets.len(), 2, "{resets:?}");
                    assert!(resets.contains(&Reset::Incoming(vec![1])));
                    assert!(resets.contains(&Reset::Outgoing(vec![1], true)));
                }
            }
        }
    }
}

#[test]
fn streams_end_and_begin_anew_on_a_bad_network() {
    let mut pair = Pair::builder()
        .link(Link {
            loss: 0.05,
            reorder: 0.2,
            duplicate: 0.1,
            ..Link::default()
        })
        .build();
    pair.connect();
    for round in 0..200_u16 {
        let stream = round % 7;
        pair.send(Client, stream, round.to_be_bytes().to_vec());
        reset_from(&mut pair, Client, &[stream]);
        pair.drive();
        assert_eq!(pair.recv(Server, stream).unwrap(), round.to_be_bytes()[..]);
        assert_eq!(pair.recv(Server, stream), None);
    }
}

#[test]
fn a_shutdown_does_not_wait_for_a_reset_for_ever() {
    let mut pair = Pair::connected();
    pair.send(Client, 1, "last words");
    reset_from(&mut pair, Client, &[1]);
    pair.shutdown(Client);
    pair.drive();
    assert_eq!(pair.recv(Server, 1).unwrap(), "last words");
    assert!(pair.closed(Client).is_some() && pair.closed(Server).is_some());
}
