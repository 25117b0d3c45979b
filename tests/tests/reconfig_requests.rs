//! RE-CONFIG beyond the end of a stream (RFC 6525): resets the other side asks for, the reset of
//! the whole association, more streams; and what peers do wrong with them.

use std::time::Duration;

use sctp_proto::{
    AddStreamsError, AssociationConfig, AssociationState, Event, ReconfigOutcome, ReconfigRequest,
    ResetError, SendError, SendInfo, StreamId,
};
use sctp_tests::{
    build::{
        self, add_incoming, add_outgoing, association_reset, association_reset_response, data,
        incoming_reset, outgoing_reset, reconfig_response, reconfig_together, tlv,
    },
    codec::{
        Chunk, be32, cause, kind, outgoing_reset_request, param,
        result::{
            BAD_SEQUENCE, DENIED, IN_PROGRESS, IN_PROGRESS_ALREADY, NOTHING_TO_DO, PERFORMED,
            WRONG_SSN,
        },
    },
    net::{Link, Verdict},
    pair::{
        Pair,
        Side::{self, Client, Server},
    },
    peer::{Peer, TAG},
};

const SECOND: Duration = Duration::from_secs(1);

/// Obeys whatever the peer asks for.
fn obedient(config: &mut AssociationConfig) {
    config
        .obey_stream_reset(true)
        .obey_association_reset(true)
        .obey_add_streams(true);
}

/// A response: (request number, result, TSNs).
type Response = (u32, u32, Option<(u32, u32)>);

/// All parameters of all RE-CONFIG chunks there are; forgets all packets.
fn params(peer: &mut Peer) -> Vec<(u16, Vec<u8>)> {
    let chunks = peer.find_all(kind::RE_CONFIG);
    chunks.iter().flat_map(Chunk::reconfig_params).collect()
}

fn responses_of(params: &[(u16, Vec<u8>)]) -> Vec<Response> {
    let responses = params
        .iter()
        .filter(|(kind, _)| *kind == param::RECONFIG_RESPONSE);
    let tsns = |value: &[u8]| (value.len() > 8).then(|| (be32(value, 8), be32(value, 12)));
    responses
        .map(|(_, value)| (be32(value, 0), be32(value, 4), tsns(value)))
        .collect()
}

fn responses(peer: &mut Peer) -> Vec<Response> {
    responses_of(&params(peer))
}

/// What the host answers to a chunk: results only.
fn results(peer: &mut Peer, chunk: Chunk) -> Vec<u32> {
    peer.receive_all();
    peer.send(chunk);
    responses(peer).into_iter().map(|r| r.1).collect()
}

fn ids(streams: &[u16]) -> Vec<StreamId> {
    streams.iter().copied().map(StreamId).collect()
}

fn answered(events: &[Event]) -> Vec<(ReconfigRequest, ReconfigOutcome)> {
    let answer = |event: &Event| match event {
        Event::ReconfigAnswered { request, outcome } => Some((request.clone(), *outcome)),
        _ => None,
    };
    events.iter().filter_map(answer).collect()
}

fn association(pair: &mut Pair, side: Side) -> &mut sctp_proto::Association {
    &mut pair.conn(side).association
}

fn obedient_pair() -> Pair {
    let mut pair = Pair::builder().both(obedient).audited().build();
    pair.connect();
    pair
}

fn is_resetting(result: &Result<(), SendError>) -> bool {
    matches!(result, Err(SendError::StreamResetting(_)))
}

// Resets that the other side asks for.

#[test]
fn a_peer_asked_to_resets_its_streams() {
    let mut pair = obedient_pair();
    pair.send(Server, 3, "the end of it");
    pair.send(Server, 4, vec![4; 20_000]);
    let now = pair.now;
    let asked = association(&mut pair, Client).reset_incoming(now, &ids(&[3, 4]));
    assert_eq!(asked, Ok(()));
    pair.drive();
    let events = pair.events(Client);
    let request = ReconfigRequest::IncomingReset(ids(&[3, 4]));
    assert_eq!(
        answered(&events),
        [(request, ReconfigOutcome::Performed)],
        "{events:?}"
    );
    let is_reset = |event: &Event| matches!(event, Event::IncomingReset { streams, .. } if *streams == ids(&[3, 4]));
    assert_eq!(events.iter().filter(|event| is_reset(event)).count(), 1);
    assert!(pair.events(Server).contains(&Event::OutgoingReset {
        streams: ids(&[3, 4]),
        outcome: ReconfigOutcome::Performed,
    }));
    assert_eq!(pair.recv(Client, 3).unwrap(), "the end of it");
    assert_eq!(pair.recv(Client, 4).unwrap().len(), 20_000);
    pair.send(Server, 3, "anew");
    pair.drive();
    assert_eq!(pair.recv(Client, 3).unwrap(), "anew");
}

#[test]
fn whoever_does_not_obey_denies() {
    let mut pair = Pair::connected();
    let now = pair.now;
    let client = association(&mut pair, Client);
    client.reset_incoming(now, &ids(&[1])).unwrap();
    pair.drive();
    let now = pair.now;
    let client = association(&mut pair, Client);
    client.reset_association(now).unwrap();
    pair.drive();
    let denied = ReconfigOutcome::Denied;
    assert_eq!(
        answered(&pair.events(Client)),
        [
            (ReconfigRequest::IncomingReset(ids(&[1])), denied),
            (ReconfigRequest::AssociationReset, denied),
        ]
    );
    // All goes on as before.
    pair.send(Client, 1, "to");
    pair.send(Server, 1, "fro");
    pair.drive();
    assert_eq!(pair.recv(Server, 1).unwrap(), "to");
    assert_eq!(pair.recv(Client, 1).unwrap(), "fro");
}

#[test]
fn a_reset_asked_for_is_a_request_that_names_the_one_it_answers() {
    let mut peer = Peer::connected_with(obedient);
    peer.send(incoming_reset(1, &[3]));
    let params = params(&mut peer);
    assert_eq!(responses_of(&params), [(1, PERFORMED, None)]);
    let (number, answers, last_tsn, streams) = outgoing_reset_request(&params).expect("a request");
    assert_eq!((number, answers), (peer.host_tsn, 1));
    assert_eq!(last_tsn, peer.host_tsn.wrapping_sub(1));
    assert_eq!(streams, [3]);
    // Again, while ours is under way and after: the same answer, and no second reset.
    let again = results(&mut peer, incoming_reset(1, &[3]));
    assert_eq!(again, [PERFORMED]);
    peer.send(reconfig_response(number, PERFORMED));
    let again = results(&mut peer, incoming_reset(1, &[3]));
    assert_eq!(again, [PERFORMED]);
    peer.host_send(3, "new life");
    peer.advance(10 * SECOND);
    let late = peer.find_all(kind::RE_CONFIG);
    assert!(late.is_empty(), "{late:?}");
}

#[test]
fn what_is_queued_leaves_before_the_reset_that_the_peer_wants() {
    let mut peer = Peer::connected_with(obedient);
    peer.host_send(3, vec![0; 20_000]);
    assert_eq!(
        results(&mut peer, incoming_reset(1, &[3])),
        [IN_PROGRESS],
        "the window is full"
    );
    let now = peer.now;
    let refused = peer
        .association()
        .send(now, StreamId(3), "more".into(), SendInfo::default());
    assert!(is_resetting(&refused));
    // The first flight went unseen above.
    let mut highest = peer.host_tsn(2);
    for _ in 0..100 {
        peer.send(build::sack(highest));
        let packets = peer.receive_all();
        let chunks: Vec<_> = packets.into_iter().flat_map(|r| r.packet.chunks).collect();
        let of_kind = |which| chunks.iter().filter(move |chunk| chunk.kind == which);
        if let Some(last) = of_kind(kind::DATA).next_back() {
            highest = last.as_data().tsn;
        }
        let params: Vec<_> = of_kind(kind::RE_CONFIG)
            .flat_map(Chunk::reconfig_params)
            .collect();
        if let Some((_, answers, last_tsn, streams)) = outgoing_reset_request(&params) {
            assert_eq!(responses_of(&params), [(1, PERFORMED, None)]);
            assert_eq!((answers, last_tsn, streams), (1, highest, vec![3]));
            return;
        }
    }
    panic!("no request came");
}

#[test]
fn what_waits_for_a_reset_takes_no_messages_whatever_else_is_reset_meanwhile() {
    let mut peer = Peer::connected_with(obedient);
    peer.host_send(3, vec![0; 20_000]);
    let waits = results(&mut peer, incoming_reset(1, &[1, 3]));
    assert_eq!(waits, [IN_PROGRESS], "the window is full");
    let now = peer.now;
    peer.association().reset_streams(now, &ids(&[1])).unwrap();
    peer.collect();
    let (number, _, _, streams) = outgoing_reset_request(&params(&mut peer)).expect("a request");
    assert_eq!(streams, [1]);
    peer.send(reconfig_response(number, PERFORMED));
    let info = SendInfo::default();
    let refused = peer
        .association()
        .send(now, StreamId(1), "early".into(), info);
    assert!(is_resetting(&refused), "{refused:?}");
}

#[test]
fn a_stream_whose_end_is_wanted_while_all_are_reset_takes_messages_after_that() {
    let mut peer = Peer::connected_with(obedient);
    peer.send(incoming_reset(1, &[]));
    let (first, _, _, streams) = outgoing_reset_request(&params(&mut peer)).expect("a request");
    assert_eq!(streams, [], "all of them");
    let now = peer.now;
    peer.association().reset_streams(now, &ids(&[1])).unwrap();
    peer.collect();
    peer.send(reconfig_response(first, PERFORMED));
    // Whether it is reset with the others or once more.
    if let Some((number, ..)) = outgoing_reset_request(&params(&mut peer)) {
        peer.send(reconfig_response(number, PERFORMED));
    }
    peer.host_send(2, "others");
    peer.host_send(1, "anew");
}

#[test]
fn every_result_has_its_place() {
    let mut peer = Peer::connected_with(|c| {
        obedient(c);
        c.max_inbound_streams(100).outbound_streams(100);
    });
    let (outbound, inbound) = peer.association().streams();
    assert_eq!(results(&mut peer, add_outgoing(1, 0)), [NOTHING_TO_DO]);
    assert_eq!(results(&mut peer, add_incoming(2, 0)), [NOTHING_TO_DO]);
    assert_eq!(
        results(&mut peer, outgoing_reset(3, 0, 0, &[1])),
        [PERFORMED]
    );
    assert_eq!(results(&mut peer, add_outgoing(4, 65535)), [DENIED]);
    assert_eq!(results(&mut peer, add_incoming(5, 65535)), [DENIED]);
    let unknown = [outbound.max(inbound)];
    assert_eq!(
        results(&mut peer, outgoing_reset(6, 0, 0, &unknown)),
        [WRONG_SSN]
    );
    assert_eq!(results(&mut peer, incoming_reset(7, &unknown)), [WRONG_SSN]);
    assert_eq!(
        results(&mut peer, outgoing_reset(8, 0, 1, &[1])),
        [IN_PROGRESS]
    );
    assert_eq!(
        results(&mut peer, outgoing_reset(9, 0, 1, &[2])),
        [IN_PROGRESS_ALREADY]
    );
    assert_eq!(
        results(&mut peer, association_reset(10)),
        [IN_PROGRESS_ALREADY]
    );
    for wrong in [12, 0, 8, 7, 0_u32.wrapping_sub(1)] {
        assert_eq!(
            results(&mut peer, add_outgoing(wrong, 1)),
            [BAD_SEQUENCE],
            "{wrong}"
        );
    }
    assert_eq!(peer.association().streams(), (outbound, inbound));
    assert_eq!(peer.state(), AssociationState::Established);
}

#[test]
fn a_request_for_streams_that_are_being_reset_finds_one_in_progress() {
    let mut peer = Peer::connected_with(obedient);
    let now = peer.now;
    peer.association().reset_streams(now, &ids(&[3])).unwrap();
    peer.collect();
    assert_eq!(
        results(&mut peer, incoming_reset(1, &[2, 3])),
        [IN_PROGRESS_ALREADY]
    );
}

#[test]
fn longer_lists_than_an_answer_holds_are_denied() {
    let mut peer = Peer::connected_with(obedient);
    let many: Vec<u16> = (0..200).collect();
    assert_eq!(results(&mut peer, incoming_reset(1, &many)), [DENIED]);
    // All of them is one word.
    peer.send(incoming_reset(2, &[]));
    let params = params(&mut peer);
    let (number, answers, _, streams) = outgoing_reset_request(&params).expect("a request");
    assert_eq!((answers, streams), (2, vec![]));
    let now = peer.now;
    let held = peer
        .association()
        .send(now, StreamId(7), "x".into(), SendInfo::default());
    assert!(is_resetting(&held));
    peer.send(reconfig_response(number, PERFORMED));
    peer.host_send(7, "x");
}

#[test]
fn a_busy_peer_is_asked_again_some_times() {
    let mut peer = Peer::connected();
    let now = peer.now;
    peer.association().reset_streams(now, &ids(&[1])).unwrap();
    peer.collect();
    let mut number = peer.host_tsn;
    for _ in 0..5 {
        let asked = outgoing_reset_request(&params(&mut peer)).expect("a request");
        assert_eq!(asked.0, number, "a new request, not the old one again");
        peer.send(reconfig_response(number, IN_PROGRESS_ALREADY));
        peer.expect_nothing();
        peer.advance_to_packet();
        number = number.wrapping_add(1);
    }
    peer.send(reconfig_response(number, IN_PROGRESS_ALREADY));
    assert!(peer.events().contains(&Event::OutgoingReset {
        streams: ids(&[1]),
        outcome: ReconfigOutcome::Busy,
    }));
    peer.host_send(1, "as if nothing had happened");
}

/// Lets the host's timers run for a while; the peer answers HEARTBEATs and DATA, and hands on the
/// requests.
fn pass_over(peer: &mut Peer, time: Duration) -> Vec<(u16, Vec<u8>)> {
    let end = peer.now + time;
    let mut asked = Vec::new();
    while peer.now < end {
        peer.advance(SECOND / 2);
        for received in peer.receive_all() {
            for chunk in received.packet.chunks {
                match chunk.kind {
                    kind::HEARTBEAT => peer.send(Chunk::new(kind::HEARTBEAT_ACK, 0, &chunk.value)),
                    kind::DATA => peer.send(build::sack(chunk.as_data().tsn)),
                    kind::RE_CONFIG => asked.extend(chunk.reconfig_params()),
                    _ => {}
                }
            }
        }
    }
    asked
}

#[test]
fn a_peer_that_does_not_know_a_request_is_asked_no_more_and_kept() {
    for (heartbeats, busy) in [(true, false), (false, false), (false, true)] {
        let mut peer = Peer::connected_with(|c| {
            c.heartbeat_interval(heartbeats.then_some(30 * SECOND));
        });
        let now = peer.now;
        let first = peer.host_tsn;
        peer.association().reset_association(now).unwrap();
        peer.collect();
        let mut asked = pass_over(&mut peer, SECOND / 2);
        asked.extend(params(&mut peer));
        let refused = peer
            .association()
            .send(now, StreamId(1), "x".into(), SendInfo::default());
        assert!(is_resetting(&refused));
        if busy {
            peer.association().add_streams(now, 1, 1).unwrap();
        }
        asked.extend(pass_over(&mut peer, 300 * SECOND));
        let resets = asked.iter().filter(|(kind, _)| *kind == param::TSN_RESET);
        let count = resets.count();
        assert!((6..=11).contains(&count), "{count}");
        let unanswered = ReconfigOutcome::Unanswered;
        let mut expected = vec![(ReconfigRequest::AssociationReset, unanswered)];
        if busy {
            expected.push((ReconfigRequest::AddOutbound(1), unanswered));
            expected.push((ReconfigRequest::AddInbound(1), unanswered));
        }
        assert_eq!(answered(&peer.events()), expected);
        assert_eq!(peer.state(), AssociationState::Established);
        // Streams take messages again, and what the peer knows can be asked for, by the number that
        // it expects.
        peer.host_send(1, "as if nothing had happened");
        assert!(pass_over(&mut peer, SECOND).is_empty());
        let now = peer.now;
        peer.association().reset_streams(now, &ids(&[1])).unwrap();
        peer.collect();
        let number = outgoing_reset_request(&params(&mut peer))
            .expect("a request")
            .0;
        assert_eq!(number, first.wrapping_add(expected.len() as u32));
        peer.send(reconfig_response(number, BAD_SEQUENCE));
        peer.advance_to_packet();
        let number = outgoing_reset_request(&params(&mut peer))
            .expect("a request")
            .0;
        assert_eq!(number, first);
        peer.send(reconfig_response(number, PERFORMED));
        assert!(peer.events().contains(&Event::OutgoingReset {
            streams: ids(&[1]),
            outcome: ReconfigOutcome::Performed,
        }));
    }
}

#[test]
fn a_peer_that_sends_the_number_back_twice_is_asked_no_more() {
    let mut peer = Peer::connected();
    let now = peer.now;
    peer.association().add_streams(now, 1, 0).unwrap();
    peer.collect();
    pass_over(&mut peer, 300 * SECOND);
    let now = peer.now;
    peer.association().reset_streams(now, &ids(&[1])).unwrap();
    peer.collect();
    for _ in 0..2 {
        let number = outgoing_reset_request(&params(&mut peer))
            .expect("a request")
            .0;
        peer.send(reconfig_response(number, BAD_SEQUENCE));
        peer.advance(2 * SECOND);
    }
    assert!(peer.events().contains(&Event::OutgoingReset {
        streams: ids(&[1]),
        outcome: ReconfigOutcome::BadSequence,
    }));
    assert!(params(&mut peer).is_empty());
}

#[test]
fn a_request_in_progress_for_long_is_no_failure() {
    let mut peer = Peer::connected();
    let now = peer.now;
    peer.association().reset_streams(now, &ids(&[1])).unwrap();
    peer.collect();
    for _ in 0..20 {
        let number = outgoing_reset_request(&params(&mut peer))
            .expect("a request")
            .0;
        peer.send(reconfig_response(number, IN_PROGRESS));
        peer.advance_to_packet();
        let path = peer.association().paths().next().expect("a path");
        assert_eq!(path.stats.errors, 0);
    }
    assert_eq!(peer.state(), AssociationState::Established);
}

// Two requests in a chunk.

#[test]
fn resets_of_both_directions_leave_in_one_chunk() {
    let mut peer = Peer::connected();
    // The first occupies the line, so that the others come together.
    let now = peer.now;
    peer.association().reset_streams(now, &ids(&[9])).unwrap();
    peer.collect();
    peer.receive_all();
    let now = peer.now;
    peer.association().reset_streams(now, &ids(&[1])).unwrap();
    peer.association().reset_incoming(now, &ids(&[2])).unwrap();
    peer.collect();
    peer.expect_nothing();
    peer.send(reconfig_response(peer.host_tsn, PERFORMED));
    let chunk = peer.expect(kind::RE_CONFIG);
    let kinds: Vec<_> = chunk.reconfig_params().iter().map(|p| p.0).collect();
    assert_eq!(kinds, [param::OUTGOING_RESET, param::INCOMING_RESET]);
    let (first, second) = (peer.host_tsn(1), peer.host_tsn(2));
    // One answered, the other is repeated alone.
    peer.send(reconfig_response(first, PERFORMED));
    peer.advance_to_packet();
    let chunk = peer.expect(kind::RE_CONFIG);
    let (which, value) = chunk.reconfig_params().remove(0);
    assert_eq!((which, be32(&value, 0)), (param::INCOMING_RESET, second));
    // The peer's own request answers it.
    peer.send(outgoing_reset(1, second, 0, &[2]));
    assert_eq!(
        responses(&mut peer),
        [(1, PERFORMED, None)],
        "and nothing else"
    );
    let request = ReconfigRequest::IncomingReset(ids(&[2]));
    let events = peer.events();
    assert_eq!(answered(&events), [(request, ReconfigOutcome::Performed)]);
    peer.advance(100 * SECOND);
    peer.expect_nothing();
}

#[test]
fn what_may_not_be_together_changes_nothing() {
    let add = || add_outgoing(1, 1);
    let reset = |number| outgoing_reset(number, 0, 0, &[1]);
    for chunks in [
        vec![reset(1), reset(2)],
        vec![reset(1), add_outgoing(2, 1)],
        vec![association_reset(1), reset(2)],
        vec![add(), add_outgoing(2, 1)],
        vec![reset(1), incoming_reset(2, &[1]), reset(3)],
        vec![add(), reconfig_response(1, 1)],
    ] {
        let mut peer = Peer::connected_with(obedient);
        let before = peer.association().streams();
        let chunk = reconfig_together(&chunks);
        assert_eq!(results(&mut peer, chunk.clone()), [], "{chunk:?}");
        assert_eq!(peer.association().streams(), before);
        // The first number was not used up.
        assert_eq!(results(&mut peer, reset(1)), [PERFORMED]);
    }
}

#[test]
fn both_requests_of_a_chunk_are_answered_as_often_as_they_come() {
    let mut peer = Peer::connected_with(|c| {
        obedient(c);
        c.max_inbound_streams(2000);
    });
    let (outbound, inbound) = peer.association().streams();
    let chunk = reconfig_together(&[add_outgoing(1, 2), add_incoming(2, 0)]);
    for _ in 0..3 {
        let answers = results(&mut peer, chunk.clone());
        assert_eq!(answers, [PERFORMED, NOTHING_TO_DO]);
        assert_eq!(peer.association().streams(), (outbound, inbound + 2));
    }
    // In progress, both: each is answered in its time.
    let mut peer = Peer::connected_with(obedient);
    peer.host_send(3, vec![0; 20_000]);
    let chunk = reconfig_together(&[outgoing_reset(1, 0, 1, &[1]), incoming_reset(2, &[3])]);
    assert_eq!(results(&mut peer, chunk), [IN_PROGRESS, IN_PROGRESS]);
    peer.send(data(1).tsn(1).seq(0).payload("here").be());
    assert_eq!(responses(&mut peer), [(1, PERFORMED, None)]);
}

#[test]
fn unknown_parameters_are_treated_by_their_high_bits() {
    for (which, reported, performed) in [
        (0x0123, false, false),
        (0x4123, true, false),
        (0x8123, false, true),
        (0xc123, true, true),
    ] {
        let mut peer = Peer::connected();
        let unknown = Chunk::new(kind::RE_CONFIG, 0, &tlv(which, &[1, 2, 3, 4]));
        let chunk = reconfig_together(&[unknown, outgoing_reset(1, 0, 0, &[1])]);
        peer.send(chunk);
        let chunks: Vec<_> = peer
            .receive_all()
            .into_iter()
            .flat_map(|r| r.packet.chunks)
            .collect();
        let error = chunks.iter().find(|chunk| chunk.kind == kind::ERROR);
        let expected = reported.then_some(cause::UNRECOGNIZED_PARAMETERS);
        assert_eq!(error.and_then(Chunk::cause), expected, "{which:x}");
        let responded = chunks.iter().any(|chunk| chunk.kind == kind::RE_CONFIG);
        assert_eq!(responded, performed, "{which:x}");
    }
}

// More streams.

#[test]
fn streams_are_added_in_both_directions() {
    let mut pair = Pair::builder()
        .both(|c| {
            c.outbound_streams(4).max_inbound_streams(4);
        })
        .server(|c| {
            c.outbound_streams(10).max_inbound_streams(10);
        })
        .audited()
        .build();
    pair.connect();
    assert_eq!(association(&mut pair, Client).streams(), (4, 4));
    let refused = pair.try_send(Client, 6, "x".into(), SendInfo::default());
    assert!(matches!(refused, Err(SendError::UnknownStream(_))));
    let now = pair.now;
    let client = association(&mut pair, Client);
    assert_eq!(client.add_streams(now, 3, 2), Ok(()));
    assert_eq!(
        client.add_streams(now, 1, 0),
        Err(AddStreamsError::InProgress)
    );
    pair.drive();
    assert_eq!(association(&mut pair, Client).streams(), (7, 6));
    assert_eq!(association(&mut pair, Server).streams(), (6, 7));
    let events = pair.events(Client);
    let performed = ReconfigOutcome::Performed;
    assert_eq!(
        answered(&events),
        [
            (ReconfigRequest::AddOutbound(3), performed),
            (ReconfigRequest::AddInbound(2), performed),
        ]
    );
    assert!(events.contains(&Event::StreamsChanged {
        outbound: 7,
        inbound: 6
    }));
    assert!(pair.events(Server).contains(&Event::StreamsChanged {
        outbound: 6,
        inbound: 7
    }));
    pair.send(Client, 6, "the last of the new ones");
    pair.send(Server, 5, "likewise");
    pair.drive();
    assert_eq!(pair.recv(Server, 6).unwrap(), "the last of the new ones");
    assert_eq!(pair.recv(Client, 5).unwrap(), "likewise");
    // The server has said in the handshake how many it wants at most.
    let now = pair.now;
    let client = association(&mut pair, Client);
    assert_eq!(client.add_streams(now, 4, 5), Ok(()));
    pair.drive();
    assert_eq!(association(&mut pair, Client).streams(), (7, 6));
    let denied = ReconfigOutcome::Denied;
    assert_eq!(
        answered(&pair.events(Client)),
        [
            (ReconfigRequest::AddOutbound(4), denied),
            (ReconfigRequest::AddInbound(5), denied),
        ]
    );
}

#[test]
fn streams_that_the_peer_was_granted_are_asked_for_although_it_is_busy() {
    let mut peer = Peer::client_with(|c| {
        obedient(c);
        c.outbound_streams(100);
    });
    peer.connect(
        build::init(TAG)
            .streams(10, 10)
            .extensions(&[kind::RE_CONFIG]),
    );
    let now = peer.now;
    peer.association().add_streams(now, 2, 0).unwrap();
    peer.collect();
    let number = peer.host_tsn;
    peer.receive_all();
    // The requests of both sides cross, and the peer takes one at a time.
    assert_eq!(results(&mut peer, add_incoming(1, 3)), [PERFORMED]);
    peer.send(reconfig_response(number, IN_PROGRESS_ALREADY));
    for _ in 0..20 {
        peer.advance(SECOND);
        for (kind, value) in params(&mut peer) {
            assert_eq!(kind, param::ADD_OUTGOING_STREAMS);
            peer.send(reconfig_response(be32(&value, 0), PERFORMED));
        }
    }
    assert_eq!(peer.association().streams().0, 10 + 2 + 3);
}

#[test]
fn there_are_no_more_than_65535_streams() {
    let mut pair = Pair::builder()
        .both(|c| {
            c.outbound_streams(65535).max_inbound_streams(65535);
        })
        .build();
    pair.connect();
    let now = pair.now;
    let client = association(&mut pair, Client);
    assert_eq!(client.streams(), (65535, 65535));
    for (outbound, inbound) in [(1, 0), (0, 1), (65535, 65535)] {
        assert_eq!(
            client.add_streams(now, outbound, inbound),
            Err(AddStreamsError::TooMany { max: 0 })
        );
    }
    let mut peer = Peer::connected_with(|c| {
        c.max_inbound_streams(65535);
    });
    let (_, inbound) = peer.association().streams();
    assert_eq!(
        results(&mut peer, add_outgoing(1, 65535)),
        [DENIED],
        "{inbound} and 65535"
    );
    assert_eq!(
        results(&mut peer, add_outgoing(2, 65535 - inbound)),
        [PERFORMED]
    );
    assert_eq!(peer.association().streams().1, 65535);
    peer.send(data(65534).tsn(1).payload("the very last").be());
    assert_eq!(peer.host_recv(65534).unwrap(), "the very last");
    assert_eq!(results(&mut peer, add_outgoing(3, 1)), [DENIED]);
}

#[test]
fn what_is_not_allowed_is_denied_but_what_was_asked_for_is_not() {
    let mut pair = Pair::builder()
        .both(|c| {
            c.outbound_streams(4)
                .max_inbound_streams(4)
                .obey_add_streams(false);
        })
        .server(|c| {
            c.obey_add_streams(true).outbound_streams(9);
        })
        .build();
    pair.connect();
    let now = pair.now;
    let server = association(&mut pair, Server);
    server.add_streams(now, 1, 1).unwrap();
    pair.drive();
    let denied = ReconfigOutcome::Denied;
    assert_eq!(
        answered(&pair.events(Server)),
        [
            (ReconfigRequest::AddOutbound(1), denied),
            (ReconfigRequest::AddInbound(1), denied),
        ]
    );
    let now = pair.now;
    association(&mut pair, Client)
        .add_streams(now, 0, 5)
        .unwrap();
    pair.drive();
    assert_eq!(association(&mut pair, Client).streams(), (4, 9));
}

// The whole association.

#[test]
fn an_association_begins_anew() {
    for interleaving in [false, true] {
        let mut pair = Pair::builder()
            .both(obedient)
            .both(|c| {
                c.interleaving(interleaving);
            })
            .audited()
            .build();
        pair.connect();
        for round in 0..4 {
            for stream in 0..5 {
                pair.send(Client, stream, format!("{stream} in round {round}"));
                pair.send(Server, stream, vec![round; 5000]);
            }
            let now = pair.now;
            let side = if round % 2 == 0 { Client } else { Server };
            let asker = association(&mut pair, side);
            assert_eq!(asker.reset_association(now), Ok(()));
            assert_eq!(asker.reset_association(now), Err(ResetError::InProgress));
            let held = pair.try_send(side, 0, "x".into(), SendInfo::default());
            assert!(is_resetting(&held));
            pair.drive();
            let mut tsns = Vec::new();
            for side in [Client, Server] {
                let events = pair.events(side);
                let reset = events.iter().find_map(|event| match event {
                    Event::AssociationReset {
                        own_next,
                        peer_next,
                        ..
                    } => Some((*own_next, *peer_next)),
                    _ => None,
                });
                tsns.push(reset.expect("an association reset"));
            }
            assert_eq!(tsns[0], (tsns[1].1, tsns[1].0), "both mean the same");
            for stream in 0..5 {
                let text = format!("{stream} in round {round}");
                assert_eq!(pair.recv(Server, stream).unwrap(), text);
                assert_eq!(pair.recv(Client, stream).unwrap(), vec![round; 5000]);
            }
        }
    }
}

#[test]
fn its_reset_survives_the_loss_of_any_packet() {
    for which in 0..10 {
        for side in [Client, Server] {
            let mut pair = obedient_pair();
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
                let text = format!("{round}");
                pair.send(Client, 1, text.clone());
                pair.send(Server, 1, text.clone());
                let now = pair.now;
                association(&mut pair, Client)
                    .reset_association(now)
                    .unwrap();
                // The other side sends as soon as it may, by the new numbers.
                pair.drive_until(|pair| {
                    let sent = pair.try_send(Server, 2, "at once".into(), SendInfo::default());
                    let reset = |event: &Event| matches!(event, Event::AssociationReset { .. });
                    sent.is_ok() && pair.conn(Server).events.iter().any(reset)
                });
                pair.drive();
                assert_eq!(pair.recv(Server, 1).unwrap(), text);
                assert_eq!(pair.recv(Client, 1).unwrap(), text);
                assert_eq!(pair.recv(Client, 2).unwrap(), "at once");
                while pair.recv(Client, 2).is_some() {}
                pair.events(Server);
                let events = pair.events(Client);
                let answer = (
                    ReconfigRequest::AssociationReset,
                    ReconfigOutcome::Performed,
                );
                assert_eq!(answered(&events), [answer]);
            }
        }
    }
}

#[test]
fn the_tsns_go_on_where_the_responder_says() {
    let mut peer = Peer::connected_with(obedient);
    peer.send(data(1).tsn(1).seq(0).payload("before").be());
    peer.host_send(1, "before");
    assert_eq!(
        results(&mut peer, association_reset(1)),
        [IN_PROGRESS],
        "the host has something unacknowledged"
    );
    let sack = peer.sack(1);
    peer.send(sack);
    let (next, theirs) = (peer.host_tsn(1), 2_u32.wrapping_add(1 << 31));
    let performed = (1, PERFORMED, Some((next, theirs)));
    assert_eq!(responses(&mut peer), [performed]);
    // Lost: the same answer again, and it goes ahead of what counts by it.
    peer.send(association_reset(1));
    assert_eq!(responses(&mut peer), [performed]);
    peer.host_send(1, "after");
    let kinds = peer.receive().expect("a packet").kinds();
    assert_eq!(kinds, [kind::RE_CONFIG, kind::DATA]);
    let sack = peer.sack(2);
    peer.send(sack);
    peer.host_send(1, "proven");
    let kinds = peer.receive().expect("a packet").kinds();
    assert_eq!(kinds, [kind::DATA]);
    // The old TSN is far away, the new one is the next, and its stream begins at 0.
    assert_eq!(peer.host_recv(1).unwrap(), "before");
    peer.send(data(1).tsn(2).seq(1).payload("old").be());
    assert_eq!(peer.host_recv(1), None);
    peer.send(data(1).tsn(theirs).seq(0).payload("new").be());
    assert_eq!(peer.host_recv(1).unwrap(), "new");
    // Late once more: nothing begins anew now.
    assert_eq!(results(&mut peer, association_reset(1)), [PERFORMED]);
    peer.send(data(1).tsn(theirs + 1).seq(1).payload("goes on").be());
    assert_eq!(peer.host_recv(1).unwrap(), "goes on");
}

#[test]
fn the_requester_takes_the_tsns_it_is_given_and_old_acknowledgements_mean_nothing() {
    for (theirs, ours) in [(1, 7_u32), (77, 1 << 31), (1, u32::MAX)] {
        let mut peer = Peer::connected();
        let ours = peer.host_tsn(2).wrapping_add(ours);
        for n in 1..=2 {
            peer.host_send(1, "old");
            let sack = peer.sack(n);
            peer.send(sack);
        }
        let now = peer.now;
        peer.association().reset_association(now).unwrap();
        peer.collect();
        let (which, value) = params(&mut peer).pop().expect("a request");
        assert_eq!((which, value.len()), (param::TSN_RESET, 4));
        let number = be32(&value, 0);
        peer.send(association_reset_response(
            number,
            PERFORMED,
            (theirs, ours),
        ));
        let old = [peer.sack(2), peer.sack(1), peer.sack(0)];
        peer.receive_all();
        peer.host_send(1, "new");
        let chunk = peer.find(kind::DATA).expect("DATA").as_data();
        assert_eq!((chunk.tsn, chunk.seq), (ours, 0));
        for sack in old {
            peer.send(sack);
            assert_eq!(peer.state(), AssociationState::Established);
        }
        peer.send(data(1).tsn(theirs).seq(0).payload("new").be());
        assert_eq!(peer.host_recv(1).unwrap(), "new");
        peer.send(build::sack(ours));
        assert!(peer.events().contains(&Event::SenderDry));
    }
}

#[test]
fn the_last_of_several_messages_asks_for_a_prompt_answer_by_the_new_tsns_too() {
    let mut peer = Peer::connected();
    let ask = |peer: &mut Peer| {
        peer.host_send(1, "first");
        peer.host_send(1, "last");
        let sent = peer.find_all(kind::DATA);
        sent.last().expect("DATA").as_data()
    };
    assert!(ask(&mut peer).immediate);
    let sack = peer.sack(2);
    peer.send(sack);
    let now = peer.now;
    peer.association().reset_association(now).unwrap();
    peer.collect();
    let (_, value) = params(&mut peer).pop().expect("a request");
    let next = peer.host_tsn(2).wrapping_add(1 << 31);
    let answer = association_reset_response(be32(&value, 0), PERFORMED, (1, next));
    peer.send(answer);
    let last = ask(&mut peer);
    assert_eq!(last.tsn, next.wrapping_add(1));
    assert!(last.immediate);
}

#[test]
fn a_performed_reset_without_tsns_is_a_violation() {
    let mut peer = Peer::connected();
    let now = peer.now;
    peer.association().reset_association(now).unwrap();
    peer.collect();
    let number = be32(&params(&mut peer)[0].1, 0);
    peer.send(reconfig_response(number, PERFORMED));
    peer.expect_abort(cause::PROTOCOL_VIOLATION);
}

#[test]
fn resets_of_both_sides_that_cross_happen_one_after_the_other() {
    let mut pair = obedient_pair();
    let now = pair.now;
    for side in [Client, Server] {
        pair.send(side, 1, "before");
        association(&mut pair, side).reset_association(now).unwrap();
        pair.conn(side)
            .association
            .add_streams(now, 1, 1)
            .expect("more streams");
    }
    pair.drive();
    for side in [Client, Server] {
        let events = pair.events(side);
        let resets = events
            .iter()
            .filter(|event| matches!(event, Event::AssociationReset { .. }));
        assert_eq!(resets.count(), 2, "{events:?}");
        assert_eq!(pair.recv(side, 1).unwrap(), "before");
        pair.send(side, 1, "after");
    }
    pair.drive();
    for side in [Client, Server] {
        assert_eq!(pair.recv(side, 1).unwrap(), "after");
    }
}

#[test]
fn requests_of_both_sides_for_each_others_streams_do_not_wait_for_each_other() {
    let mut pair = obedient_pair();
    let now = pair.now;
    for side in [Client, Server] {
        pair.send(side, 1, "before");
        let asked = association(&mut pair, side).reset_incoming(now, &ids(&[1]));
        assert_eq!(asked, Ok(()));
    }
    pair.drive_for(20 * SECOND);
    for side in [Client, Server] {
        let events = pair.events(side);
        let request = ReconfigRequest::IncomingReset(ids(&[1]));
        assert_eq!(
            answered(&events),
            [(request, ReconfigOutcome::Performed)],
            "{events:?}"
        );
        assert_eq!(pair.recv(side, 1).unwrap(), "before");
        pair.send(side, 1, "after");
    }
    pair.drive();
    for side in [Client, Server] {
        assert_eq!(pair.recv(side, 1).unwrap(), "after");
        assert_eq!(pair.state(side), AssociationState::Established);
    }
}

#[test]
fn a_reset_of_the_association_and_one_of_streams_that_cross_do_not_wait_for_each_other() {
    let mut pair = obedient_pair();
    let now = pair.now;
    association(&mut pair, Client)
        .reset_association(now)
        .unwrap();
    association(&mut pair, Server)
        .reset_incoming(now, &ids(&[1]))
        .unwrap();
    pair.drive_for(20 * SECOND);
    for side in [Client, Server] {
        let events = pair.events(side);
        let outcomes: Vec<_> = answered(&events).into_iter().map(|(_, o)| o).collect();
        assert_eq!(outcomes, [ReconfigOutcome::Performed], "{events:?}");
        pair.send(side, 1, "after");
    }
    pair.drive();
    for side in [Client, Server] {
        assert_eq!(pair.recv(side, 1).unwrap(), "after");
    }
}

#[test]
fn a_shutdown_does_not_wait_for_a_reset_of_the_association() {
    for link in [
        Link::default(),
        Link {
            loss: 0.3,
            ..Link::default()
        },
    ] {
        let mut pair = Pair::builder().both(obedient).link(link).build();
        pair.connect();
        let now = pair.now;
        pair.send(Server, 1, "last words");
        association(&mut pair, Client)
            .reset_association(now)
            .unwrap();
        pair.shutdown(Server);
        pair.drive();
        assert_eq!(pair.recv(Client, 1).unwrap(), "last words");
        assert!(pair.closed(Client).is_some() && pair.closed(Server).is_some());
    }
}

/// The server's control chunks leave by a path on which nothing of it arrives; the client's requests do
/// arrive by that path.
#[test]
fn an_answer_that_is_lost_goes_by_another_path_the_next_time() {
    let mut pair = Pair::builder()
        .addrs(
            &["10.0.0.1:9899", "10.1.0.1:9899"],
            &["10.0.0.2:9899", "10.1.0.2:9899"],
        )
        .both(obedient)
        .both(|c| _ = c.heartbeat_interval(None))
        .audited()
        .build();
    pair.connect();
    pair.drive_for(5 * SECOND);
    let dead = pair.server.addrs[0].ip();
    pair.net
        .script(move |_, datagram| match datagram.from.ip() == dead {
            true => Verdict::Drop,
            false => Verdict::Pass,
        });
    let now = pair.now;
    association(&mut pair, Client)
        .reset_streams(now, &ids(&[1]))
        .expect("it can be reset");
    pair.drive_for(2 * SECOND);
    assert!(pair.events(Client).contains(&Event::OutgoingReset {
        streams: ids(&[1]),
        outcome: ReconfigOutcome::Performed,
    }));
}

#[test]
fn a_restart_forgets_all_requests() {
    let mut pair = Pair::builder()
        .both(obedient)
        .both(|c| {
            c.local_port(Some(5000));
        })
        .build();
    pair.connect();
    let now = pair.now;
    let server = association(&mut pair, Server);
    server.reset_association(now).unwrap();
    server.add_streams(now, 1, 1).ok();
    pair.crash(Client);
    pair.start();
    pair.drive();
    pair.events(Server);
    pair.send(Server, 1, "not held any more");
    pair.drive();
    assert_eq!(pair.recv(Client, 1).unwrap(), "not held any more");
    assert_eq!(answered(&pair.events(Server)), []);
}

#[test]
fn without_re_config_nothing_of_it_is_asked_or_done() {
    let mut pair = Pair::builder()
        .both(obedient)
        .client(|c| {
            c.stream_reset(false);
        })
        .build();
    pair.connect();
    let now = pair.now;
    for side in [Client, Server] {
        let side = association(&mut pair, side);
        let ids = ids(&[1]);
        assert_eq!(
            side.reset_incoming(now, &ids),
            Err(ResetError::NotSupported)
        );
        assert_eq!(side.reset_association(now), Err(ResetError::NotSupported));
        assert_eq!(
            side.add_streams(now, 1, 1),
            Err(AddStreamsError::NotSupported)
        );
    }
    let mut peer = Peer::client_with(obedient);
    peer.connect(build::init(sctp_tests::peer::TAG));
    let before = peer.association().streams();
    for chunk in [
        add_outgoing(1, 1),
        association_reset(1),
        incoming_reset(1, &[1]),
    ] {
        assert_eq!(results(&mut peer, chunk), []);
    }
    assert_eq!(peer.association().streams(), before);
}

#[test]
fn a_flood_of_requests_is_answered_within_bounds() {
    let mut peer = Peer::connected_with(obedient);
    let streams = peer.association().streams();
    let before = peer.association().stats().packets_sent;
    // Nobody takes the events.
    for number in 1..=3000 {
        peer.send_unpolled(outgoing_reset(number, 0, 0, &[1]));
    }
    peer.collect();
    let answers = responses(&mut peer).len();
    assert!((1..=4).contains(&answers), "{answers} answers at once");
    let events = peer.events().len();
    assert!((1000..=1100).contains(&events), "{events} events");
    // Once they are taken, all goes on, and the last request is remembered for what it got.
    let again = results(&mut peer, outgoing_reset(3000, 0, 0, &[1]));
    assert_eq!(again, [IN_PROGRESS_ALREADY]);
    let answer = results(&mut peer, outgoing_reset(3001, 0, 0, &[1]));
    assert_eq!(answer, [PERFORMED]);
    for number in 3002..=6000 {
        assert_eq!(results(&mut peer, association_reset(number)), [PERFORMED]);
    }
    let answers = peer.association().stats().packets_sent - before;
    assert!(answers <= 3010, "one packet each at most: {answers}");
    assert_eq!(peer.association().streams(), streams);
    assert_eq!(peer.state(), AssociationState::Established);
}
