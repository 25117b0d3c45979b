//! Messages that may be given up (RFC 3758, RFC 7496; with I-DATA, RFC 8260 §2.3.1).

use std::time::Duration;

use bytes::Bytes;
use sctp_proto::{
    AssociationConfig, AssociationState, Event, PrPolicy, Reliability, SendError, SendInfo,
    StreamId,
};
use sctp_tests::{
    build::{data, forward_tsn, i_data, i_forward_tsn, init, outgoing_reset, reconfig_response},
    codec::{cause, kind, outgoing_reset_request, result::PERFORMED},
    net::Link,
    pair::{
        Pair,
        Side::{Client, Server},
    },
    peer::{Peer, TAG},
};

const RTX_0: Reliability = Reliability::MaxRetransmits(0);

fn lifetime(ms: u64) -> Reliability {
    Reliability::Lifetime(Duration::from_millis(ms))
}

fn with(reliability: Reliability) -> SendInfo {
    SendInfo::default().reliability(reliability)
}

/// The kind of chunk that tells of what was given up.
fn forward_kind(interleaving: bool) -> u8 {
    match interleaving {
        false => kind::FORWARD_TSN,
        true => kind::I_FORWARD_TSN,
    }
}

/// What failed: (context, bytes sent of it, bytes).
fn failed(peer: &mut Peer) -> Vec<(u32, usize, usize)> {
    let events = peer.events();
    (events.into_iter())
        .filter_map(|event| match event {
            Event::SendFailed {
                context,
                sent,
                data,
                ..
            } => Some((context, sent, data.len())),
            _ => None,
        })
        .collect()
}

/// A window for one packet at a time, and no probes: T3-rtx is what finds losses.
fn plain(config: &mut AssociationConfig) {
    config
        .initial_window(Some(1))
        .tail_loss_probes(false)
        .rto_initial(Duration::from_secs(1));
}

// ---- receiving

#[test]
fn a_forward_tsn_releases_what_waited() {
    let mut peer = Peer::partial(false, |_| {});
    peer.send(data(1).tsn(2).seq(1).payload("second").be());
    peer.send(data(2).tsn(3).payload("elsewhere").be());
    assert_eq!(peer.host_recv(1), None);
    peer.receive_all();
    peer.send(forward_tsn(1, &[(1, 0)]));
    assert_eq!(peer.host_recv(1).unwrap(), "second");
    assert_eq!(peer.host_recv(2).unwrap(), "elsewhere");
    // It filled a gap: a SACK comes at once, and goes on over what is here.
    assert_eq!(peer.expect(kind::SACK).as_sack().cumulative, 3);
    // What was given up and comes all the same is a duplicate.
    peer.send(data(1).tsn(1).payload("late").be());
    let sack = peer.expect(kind::SACK).as_sack();
    assert_eq!((sack.cumulative, sack.duplicates), (3, vec![1]));
    assert_eq!(peer.host_recv(1), None);
    let stats = peer.association().stats();
    assert_eq!(stats.forward_tsns_received, 1);
}

#[test]
fn an_i_forward_tsn_names_ordered_and_unordered_messages_apart() {
    let mut peer = Peer::partial(true, |_| {});
    peer.send(i_data(1).tsn(2).seq(1).payload("ordered").be());
    peer.send(i_data(1).tsn(3).seq(0).unordered().payload("torn").b());
    peer.send(i_data(1).tsn(5).seq(2).unordered().payload("un").b());
    peer.send(i_forward_tsn(4, &[(1, false, 0), (1, true, 0)]));
    assert_eq!(peer.host_recv(1).unwrap(), "ordered");
    peer.send(
        i_data(1)
            .tsn(6)
            .seq(2)
            .unordered()
            .fsn(1)
            .payload("ordered")
            .e(),
    );
    assert_eq!(peer.host_recv(1).unwrap(), "unordered");
    assert_eq!(peer.host_recv(1), None);
}

//= RFC 3758 §3.6, test
//# Note, if the "New Cumulative TSN" value carried in the arrived FORWARD TSN...
#[test]
fn an_old_forward_tsn_is_answered_and_changes_nothing() {
    for interleaving in [false, true] {
        let mut peer = Peer::partial(interleaving, |_| {});
        let forward = |cumulative| match interleaving {
            false => forward_tsn(cumulative, &[(1, 0)]),
            true => i_forward_tsn(cumulative, &[(1, false, 0)]),
        };
        peer.send(forward(4));
        peer.receive_all();
        for old in [4, 1, 0, u32::MAX] {
            peer.send(forward(old));
            assert_eq!(peer.expect(kind::SACK).as_sack().cumulative, 4, "{old}");
        }
        assert_eq!(peer.state(), AssociationState::Established);
    }
}

//= RFC 8260 §2.3.1, test
//# If I-FORWARD-TSN support has been negotiated for an association, the...
#[test]
fn the_wrong_kind_of_forward_tsn_ends_the_association() {
    let mut peer = Peer::partial(true, |_| {});
    peer.send(forward_tsn(1, &[]));
    peer.expect_abort(cause::PROTOCOL_VIOLATION);
    let mut peer = Peer::partial(false, |_| {});
    peer.send(i_forward_tsn(1, &[]));
    peer.expect_abort(cause::PROTOCOL_VIOLATION);
}

//= RFC 3758 §3.3.1, test
//# Note that if the endpoint chooses NOT to include the parameter, then...
#[test]
fn who_did_not_agree_knows_no_forward_tsn() {
    let off = |c: &mut AssociationConfig| _ = c.partial_reliability(false);
    let peers = [
        Peer::connected(),
        Peer::interleaving(),
        Peer::partial(false, off),
        Peer::partial(true, off),
    ];
    for mut peer in peers {
        assert!(!peer.association().partial_reliability());
        for chunk in [forward_tsn(1, &[(1, 0)]), i_forward_tsn(1, &[(1, true, 0)])] {
            peer.send(chunk);
            assert_eq!(
                peer.expect(kind::ERROR).cause(),
                Some(cause::UNRECOGNIZED_CHUNK)
            );
        }
        assert_eq!(peer.state(), AssociationState::Established);
        assert_eq!(peer.association().stats().forward_tsns_received, 0);
    }
}

#[test]
fn who_reads_a_message_in_parts_is_told_of_its_end() {
    let mut peer = Peer::partial(false, |c| _ = c.receive_window(4096));
    peer.send(data(1).tsn(1).payload(vec![1; 1200]).b());
    peer.send(data(1).tsn(2).payload(vec![1; 1200]).m());
    peer.send(data(1).tsn(3).payload(vec![1; 500]).m());
    let part = peer.association().recv(StreamId(1)).expect("a part");
    assert!(!part.complete && !part.aborted);
    peer.send(forward_tsn(4, &[(1, 0)]));
    peer.send(data(1).tsn(5).seq(1).payload("next").be());
    let events = peer.events();
    assert!(events.contains(&Event::Readable(StreamId(1))), "{events:?}");
    let end = peer.association().recv(StreamId(1)).expect("the end");
    assert!(end.aborted && !end.complete && end.data.is_empty());
    let next = peer.association().recv(StreamId(1)).expect("the next");
    assert_eq!((next.complete, next.seq), (true, 1));
}

#[test]
fn a_reset_that_waited_for_what_was_given_up_is_performed() {
    let mut peer = Peer::partial(false, |_| {});
    // The peer's initial TSN is 1, and so is its first request.
    peer.send(outgoing_reset(1, 0, 3, &[1]));
    assert!(
        !peer
            .events()
            .iter()
            .any(|e| matches!(e, Event::IncomingReset { .. }))
    );
    peer.send(forward_tsn(3, &[(1, 2)]));
    assert!(
        peer.events()
            .iter()
            .any(|e| matches!(e, Event::IncomingReset { .. }))
    );
    peer.send(data(1).tsn(4).seq(0).payload("anew").be());
    assert_eq!(peer.host_recv(1).unwrap(), "anew");
}

// ---- sending

//= RFC 3758 §4.1, test
//# Before assigning a TSN to any message, the SCTP sender MUST evaluate...
#[test]
fn what_expires_before_it_was_sent_gets_no_tsn() {
    for interleaving in [false, true] {
        let mut peer = Peer::partial(interleaving, plain);
        // Two packets fill the window.
        peer.host_send(1, vec![0; 2400]);
        peer.host_send_with(1, "too late", with(lifetime(100)).context(1));
        peer.host_send_with(2, "in time", with(lifetime(10_000)).context(2));
        peer.advance(Duration::from_millis(200));
        let sent = peer.receive_all().len() as u32;
        assert_eq!(failed(&mut peer), []);
        let sack = peer.sack(sent);
        peer.send(sack);
        let packets = peer.receive_all();
        let chunks: Vec<_> = packets.iter().flat_map(|p| &p.packet.chunks).collect();
        assert_eq!(chunks.last().unwrap().as_data().payload, b"in time");
        assert!(chunks.iter().all(|c| c.kind != forward_kind(interleaving)));
        assert_eq!(failed(&mut peer), [(1, 0, 8)]);
        let status = peer
            .association()
            .pr_stream_status(StreamId(1), Some(PrPolicy::Lifetime));
        assert_eq!((status.unsent, status.sent), (1, 0));
    }
}

//= RFC 3758 §3.5, test
//# If, after step C1 and C2, the "Advanced.Peer.Ack.Point" is greater...
//= RFC 3758 §3.5, test
//# If a FORWARD TSN is sent, the sender MUST assure that at least one...
#[test]
fn a_message_lost_once_too_often_is_skipped() {
    for interleaving in [false, true] {
        for limit in [0, 2] {
            let mut peer = Peer::partial(interleaving, plain);
            let info = with(Reliability::MaxRetransmits(limit)).context(7);
            peer.host_send_with(3, "gone", info);
            for _ in 0..=limit {
                let packets = peer.receive_all();
                assert_eq!(packets.len(), 1, "sent {limit} times more");
                assert_eq!(failed(&mut peer), []);
                peer.advance_to_packet();
            }
            let forward = peer.expect(forward_kind(interleaving));
            let tsn = peer.host_tsn(0);
            assert_eq!(forward.as_forward_tsn(), (tsn, vec![(3, false, 0)]));
            assert_eq!(failed(&mut peer), [(7, 4, 4)]);
            // It is repeated until the peer has come to it, by T3-rtx.
            let waited = peer.advance_to_packet();
            assert!(waited >= Duration::from_secs(1), "{waited:?}");
            let again = peer.expect(forward_kind(interleaving));
            assert_eq!(again.as_forward_tsn().0, tsn);
            let sack = peer.sack(1);
            peer.send(sack);
            peer.advance(Duration::from_secs(60));
            peer.expect_nothing();
            assert!(peer.events().contains(&Event::SenderDry));
            // Its number was used.
            peer.host_send(3, "next");
            let next = peer.receive().unwrap().packet.chunks.remove(0).as_data();
            assert_eq!(next.seq, 1);
            let status = peer.association().pr_status(Some(PrPolicy::MaxRetransmits));
            assert_eq!((status.unsent, status.sent), (0, 1));
            assert_eq!(peer.association().stats().messages_abandoned, 1);
        }
    }
}

//= RFC 3758 §4.1, test
//# Before transmitting or retransmitting a message for which a TSN is already...
//= RFC 3758 §3.5, test
//# When a TSN is "abandoned", if it is part of a fragmented message, all...
#[test]
fn a_message_cut_short_ends_with_a_tsn_that_was_never_sent() {
    for interleaving in [false, true] {
        for is_unordered in [false, true] {
            let mut peer = Peer::partial(interleaving, plain);
            let info = with(lifetime(500)).context(1).unordered(is_unordered);
            peer.host_send_with(1, vec![0; 20_000], info);
            let begun = peer.receive_all().len() as u32;
            peer.advance(Duration::from_millis(600));
            peer.expect_nothing();
            // All that was sent arrives, and yet the rest is too late.
            let sack = peer.sack(begun);
            peer.send(sack);
            let forward = peer.expect(forward_kind(interleaving)).as_forward_tsn();
            assert_eq!(forward.0, peer.host_tsn(begun));
            let named = match (interleaving, is_unordered) {
                (false, true) => vec![],
                _ => vec![(1, is_unordered, 0)],
            };
            assert_eq!(forward.1, named);
            let (_, sent, len) = failed(&mut peer)[0];
            assert!(sent > 1000 && sent < 5000 && len == 20_000, "{sent}");
            // The next message takes the TSN after it.
            peer.host_send(1, "next");
            let next = peer
                .find(forward_data(interleaving))
                .expect("the next")
                .as_data();
            assert_eq!(next.tsn, peer.host_tsn(begun + 1));
            let sack = peer.sack(begun + 2);
            peer.send(sack);
            assert!(peer.events().contains(&Event::SenderDry));
        }
    }
}

fn forward_data(interleaving: bool) -> u8 {
    match interleaving {
        false => kind::DATA,
        true => kind::I_DATA,
    }
}

#[test]
fn a_forward_tsn_is_repeated_once_per_round_trip() {
    let mut peer = Peer::partial(false, |c| {
        plain(c);
        c.initial_window(Some(10));
    });
    // A round-trip time of 100 ms.
    peer.host_send(1, "measure");
    peer.advance(Duration::from_millis(100));
    let sack = peer.sack(1);
    peer.send(sack);
    peer.receive_all();
    peer.host_send_with(1, "gone", with(RTX_0));
    for _ in 0..6 {
        peer.host_send(2, vec![0; 1000]);
    }
    peer.receive_all();
    let mut forwards = 0;
    for end in 2..=6 {
        let sack = peer.sack(1).gap(2, end);
        peer.send(sack);
        forwards += peer.find_all(kind::FORWARD_TSN).len();
    }
    assert_eq!(
        forwards, 1,
        "as soon as it was lost, and not with each SACK"
    );
    peer.advance(Duration::from_millis(110));
    let sack = peer.sack(1).gap(2, 7);
    peer.send(sack);
    assert_eq!(
        peer.expect(kind::FORWARD_TSN).as_forward_tsn().0,
        peer.host_tsn(1)
    );
    // More to tell is told at once.
    peer.host_send_with(3, "gone, too", with(RTX_0));
    peer.receive_all();
    let sack = peer.sack(8);
    peer.send(sack);
    peer.expect_nothing();
}

/// The peer may have performed the reset as it came to what was given up before, and says so by and
/// by: it is not to be told then, with what is given up after, of a number from before once more.
#[test]
fn what_was_given_up_after_the_request_of_a_reset_is_told_after_what_was_given_up_before() {
    for interleaving in [false, true] {
        let mut peer = Peer::partial(interleaving, plain);
        let told = |peer: &mut Peer| loop {
            peer.advance_to_packet();
            if let Some(chunk) = peer.find(forward_kind(interleaving)) {
                break chunk.as_forward_tsn();
            }
        };
        peer.host_send_with(1, "gone", with(RTX_0));
        let first = (peer.host_tsn(0), vec![(1, false, 0)]);
        assert_eq!(told(&mut peer), first);
        let now = peer.now;
        let reset = peer.association().reset_streams(now, &[StreamId(1)]);
        assert_eq!(reset, Ok(()));
        peer.host_send_with(2, "gone, too", with(RTX_0));
        while failed(&mut peer).is_empty() {
            assert_eq!(told(&mut peer), first);
        }
        assert_eq!(told(&mut peer), first);
        let sack = peer.sack(1);
        peer.send(sack);
        assert_eq!(told(&mut peer), (peer.host_tsn(1), vec![(2, false, 0)]));
    }
}

/// The peer has performed the reset, so it has come to all that was given up before; what it says of
/// that was lost. A number from before would make it skip what has the numbers after.
#[test]
fn what_was_given_up_before_a_reset_is_not_named_after_it() {
    for interleaving in [false, true] {
        let mut peer = Peer::partial(interleaving, plain);
        peer.host_send_with(1, "gone", with(RTX_0));
        peer.receive_all();
        peer.advance_to_packet();
        let forward = peer.expect(forward_kind(interleaving)).as_forward_tsn();
        assert_eq!(forward, (peer.host_tsn(0), vec![(1, false, 0)]));
        let now = peer.now;
        let reset = peer.association().reset_streams(now, &[StreamId(1)]);
        assert_eq!(reset, Ok(()));
        peer.collect();
        let params = peer.expect(kind::RE_CONFIG).reconfig_params();
        let (number, _, last_tsn, _) = outgoing_reset_request(&params).expect("a request");
        assert_eq!(last_tsn, peer.host_tsn(0));
        peer.send(reconfig_response(number, PERFORMED));
        peer.host_send_with(2, "gone, too", with(RTX_0));
        let told = loop {
            peer.advance_to_packet();
            let chunk = peer.find(forward_kind(interleaving));
            match chunk.map(|chunk| chunk.as_forward_tsn()) {
                Some((first, named)) if first == last_tsn => assert_eq!(named, []),
                Some(told) => break told,
                None => {}
            }
        };
        assert_eq!(told, (peer.host_tsn(1), vec![(2, false, 0)]));
    }
}

//= RFC 3758 §3.5, test
//# Each stream SHOULD only be reported once; this means that if multiple...
//= RFC 3758 §3.5, test
//# If the total size of the FORWARD TSN does NOT fit in a single MTU, then...
#[test]
fn a_list_too_long_for_a_packet_is_told_in_parts() {
    for interleaving in [false, true] {
        let mut peer = Peer::partial(interleaving, |c| {
            plain(c);
            c.initial_window(Some(10)).path_mtu(576).min_path_mtu(576);
        });
        let streams = 140_u16;
        for stream in (0..streams).chain(0..50) {
            peer.host_send_with(stream, "x", with(RTX_0));
        }
        peer.receive_all();
        peer.advance_to_packet();
        let mut told = 0;
        let mut names = Vec::new();
        for _ in 0..10 {
            let Some(forward) = peer.find(forward_kind(interleaving)) else {
                break;
            };
            let (cumulative, list) = forward.as_forward_tsn();
            told = cumulative.wrapping_sub(peer.host_tsn(0)) + 1;
            let each: std::collections::HashSet<_> = list.iter().map(|e| e.0).collect();
            assert_eq!(each.len(), list.len());
            names.extend(list);
            let sack = peer.sack(told);
            peer.send(sack);
        }
        assert_eq!(told, u32::from(streams) + 50);
        // The last that is said of each stream is the last of its messages.
        for stream in 0..streams {
            let last = names.iter().rev().find(|entry| entry.0 == stream);
            assert_eq!(last, Some(&(stream, false, u32::from(stream < 50))));
        }
    }
}

#[test]
fn messages_make_room_for_more_important_ones() {
    let mut peer = Peer::partial(false, |c| {
        plain(c);
        c.send_buffer(10_000).stream_send_buffer(10_000);
    });
    let important = |number, context| with(Reliability::Priority(number)).context(context);
    // The window takes the first two, sent in part and in whole.
    peer.host_send_with(1, vec![0; 2000], important(5, 1));
    peer.host_send_with(1, vec![0; 2000], important(9, 2));
    peer.host_send_with(2, vec![0; 2000], important(7, 3));
    peer.host_send_with(3, vec![0; 2000], important(7, 4));
    peer.host_send(4, vec![0; 2000]);
    peer.receive_all();
    let now = peer.now;
    let mut send = |stream: u16, len: usize, info| {
        let data = Bytes::from(vec![0; len]);
        let sent = peer.association().send(now, StreamId(stream), data, info);
        peer.collect();
        let gone: Vec<u32> = failed(&mut peer).iter().map(|f| f.0).collect();
        (sent.is_ok(), gone)
    };
    // Nobody makes room for what is not more important, nor for what asks for nothing.
    assert_eq!(send(5, 100, important(9, 6)), (false, vec![]));
    assert_eq!(send(5, 100, SendInfo::default()), (false, vec![]));
    // The least important first, then of two alike the younger.
    assert_eq!(send(5, 1500, important(6, 7)), (true, vec![2]));
    assert_eq!(send(5, 1500, important(6, 8)), (true, vec![4]));
    // Not enough: nobody goes in vain.
    assert_eq!(send(5, 9000, important(4, 9)), (false, vec![]));
    assert_eq!(send(5, 7000, important(4, 10)), (true, vec![3, 8, 7, 1]));
    let status = peer.association().pr_status(Some(PrPolicy::Priority));
    assert!(status.sent >= 1, "{status:?}");
    assert_eq!(status.sent + status.unsent, 6);
    let all = peer.association().pr_status(None);
    assert_eq!(all, status);
}

#[test]
fn without_the_peer_only_what_was_not_sent_is_given_up() {
    let mut peer = Peer::connected_with(|c| {
        plain(c);
        c.send_buffer(30_000).stream_send_buffer(30_000);
    });
    peer.host_send_with(1, vec![0; 20_000], with(lifetime(100)).context(1));
    peer.host_send_with(2, "unsent", with(lifetime(100)).context(2));
    peer.host_send_with(3, "sent once", with(RTX_0).context(3));
    let now = peer.now;
    let more = with(Reliability::Priority(1)).context(4);
    let data = Bytes::from(vec![0; 20_000]);
    let sent = peer.association().send(now, StreamId(4), data, more);
    assert!(matches!(sent, Err(SendError::Blocked(_))));
    let mut bytes = 0;
    for _ in 0..200 {
        let packets = peer.receive_all();
        let chunks = packets.iter().flat_map(|p| &p.packet.chunks);
        let chunks: Vec<_> = chunks.filter(|c| c.kind == kind::DATA).collect();
        let Some(last) = chunks.iter().map(|c| c.as_data().tsn).max() else {
            break;
        };
        bytes += chunks
            .iter()
            .map(|c| c.as_data().payload.len())
            .sum::<usize>();
        peer.advance(Duration::from_millis(200));
        let sack = peer.sack(last.wrapping_sub(peer.host_tsn(0)) + 1);
        peer.send(sack);
    }
    assert!(bytes >= 20_009, "{bytes}");
    assert_eq!(failed(&mut peer), [(2, 0, 6)]);
}

#[test]
fn the_default_is_for_messages_that_name_none() {
    let mut peer = Peer::partial(false, |c| {
        plain(c);
        c.default_reliability(RTX_0);
    });
    peer.host_send_with(1, "by default", SendInfo::default().context(1));
    peer.host_send_with(2, "reliable", with(Reliability::Reliable).context(2));
    peer.association()
        .set_default_reliability(Reliability::Reliable);
    peer.host_send_with(3, "the new default", SendInfo::default().context(3));
    peer.receive_all();
    peer.advance_to_packet();
    assert_eq!(failed(&mut peer), [(1, 10, 10)]);
    let packets = peer.receive_all();
    let chunks = packets.iter().flat_map(|p| &p.packet.chunks);
    let again: Vec<_> = chunks
        .filter(|chunk| chunk.kind == kind::DATA)
        .map(|chunk| chunk.as_data().payload)
        .collect();
    assert_eq!(again, [&b"reliable"[..], b"the new default"]);
}

#[test]
fn a_shutdown_waits_for_what_was_given_up_to_be_known() {
    let mut peer = Peer::partial(false, plain);
    peer.host_send_with(1, "gone", with(RTX_0));
    peer.receive_all();
    let now = peer.now;
    peer.association().shutdown(now);
    peer.collect();
    peer.advance_to_packet();
    peer.expect(kind::FORWARD_TSN);
    assert_eq!(peer.state(), AssociationState::ShutdownPending);
    let sack = peer.sack(1);
    peer.send(sack);
    peer.expect(kind::SHUTDOWN);
    // And for nothing that expires before it is sent.
    let mut peer = Peer::partial(false, plain);
    peer.host_send(1, vec![0; 2400]);
    peer.host_send_with(1, "late", with(lifetime(10)));
    let now = peer.now;
    peer.association().shutdown(now);
    peer.advance(Duration::from_millis(50));
    for acked in 1..=2 {
        peer.receive_all();
        let sack = peer.sack(acked);
        peer.send(sack);
    }
    peer.expect(kind::SHUTDOWN);
}

//= RFC 3758 §3.5, test
//# The sender MUST NOT credit an "abandoned" data chunk to the...
#[test]
fn what_is_given_up_opens_no_window() {
    let mut peer = Peer::partial(false, |c| {
        plain(c);
        c.initial_window(Some(4));
    });
    for _ in 0..4 {
        peer.host_send_with(1, vec![0; 1200], with(RTX_0));
    }
    let sent = peer.receive_all().len() as u32;
    let window = |peer: &mut Peer| peer.association().paths().next().unwrap().stats.cwnd;
    let before = window(&mut peer);
    peer.advance_to_packet();
    let after_loss = window(&mut peer);
    assert!(after_loss < before, "the loss counts as any other");
    let sack = peer.sack(sent);
    peer.send(sack);
    assert_eq!(window(&mut peer), after_loss);
    let flight = peer.association().paths().next().unwrap().stats.flight;
    assert_eq!(flight, 0);
}

#[test]
fn a_peer_that_skips_is_alive() {
    let mut peer = Peer::partial(false, |c| {
        plain(c);
        c.association_max_retrans(3);
    });
    for n in 0..10 {
        peer.host_send_with(1, "gone", with(RTX_0));
        peer.receive_all();
        peer.advance_to_packet();
        peer.expect(kind::FORWARD_TSN);
        let sack = peer.sack(n + 1);
        peer.send(sack);
    }
    assert_eq!(peer.state(), AssociationState::Established);
    // One that says nothing is not.
    peer.host_send_with(1, "gone", with(RTX_0));
    peer.advance(Duration::from_secs(300));
    assert_eq!(peer.state(), AssociationState::Closed);
}

// ---- both

#[test]
fn both_sides_agree_where_both_can() {
    for (interleaving, client, server) in [
        (false, true, true),
        (true, true, true),
        (true, true, false),
        (true, false, true),
        (false, false, true),
    ] {
        let mut pair = Pair::builder()
            .both(|c| _ = c.interleaving(interleaving))
            .client(|c| _ = c.partial_reliability(client))
            .server(|c| _ = c.partial_reliability(server))
            .build();
        pair.connect();
        for side in [Client, Server] {
            let association = &pair.conn(side).association;
            assert_eq!(association.partial_reliability(), client && server);
            assert_eq!(association.interleaving(), interleaving);
        }
    }
    // A peer that knows I-DATA, and of giving up no more than RFC 3758 has.
    let mut peer = Peer::client();
    let chunk = init(TAG).extensions(&[kind::I_DATA, kind::FORWARD_TSN]);
    peer.connect(chunk);
    assert!(peer.association().interleaving() && !peer.association().partial_reliability());
}

#[test]
fn a_lossy_link_delivers_what_is_in_time_and_in_order() {
    for interleaving in [false, true] {
        let mut pair = Pair::builder()
            .both(|c| _ = c.interleaving(interleaving))
            .link(Link {
                delay: Duration::from_millis(20),
                loss: 0.2,
                ..Link::default()
            })
            .audited()
            .build();
        pair.connect();
        for n in 0..300_u32 {
            let info = with(lifetime(50));
            pair.send_with(Client, 1, n.to_be_bytes().to_vec(), info);
            pair.send(Client, 2, n.to_be_bytes().to_vec());
            pair.drive_for(Duration::from_millis(10));
        }
        pair.shutdown(Client);
        pair.drive();
        let received = pair.recv_all(Server);
        let numbers = |stream| -> Vec<u32> {
            let messages = received.iter().filter(|m| m.stream == StreamId(stream));
            messages
                .map(|m| u32::from_be_bytes(m.data.clone().into_bytes()[..].try_into().unwrap()))
                .collect()
        };
        assert_eq!(numbers(2), (0..300).collect::<Vec<_>>());
        let timed = numbers(1);
        assert!(
            timed.is_sorted() && timed.len() < 300 && timed.len() > 200,
            "{}",
            timed.len()
        );
        let status = pair
            .conn(Client)
            .association
            .pr_status(Some(PrPolicy::Lifetime));
        assert!(timed.len() as u64 + status.sent + status.unsent >= 300);
        assert!(status.sent > 0);
    }
}
