//! What RFC 6458 has for users and RFC 9260 does not: status, settings at run time, steps of a
//! message, adaptation layer indications. docs/rfc6458.md has all of it, row by row.

use std::time::Duration;

use bytes::Bytes;
use sctp_proto::{AssociationConfig, AssociationState, Event, Ppid, SendInfo, StreamId};
use sctp_tests::{
    build::{cookie_echo, data, init, init_ack},
    codec::kind,
    pair::{
        Pair,
        Side::{Client, Server},
    },
    peer::{COOKIE, Peer, TAG},
};

/// Adaptation Layer Indication (RFC 5061 §4.2.6).
const ADAPTATION: u16 = 0xC006;

#[test]
fn status_tells_what_sctp_status_does() {
    let mut peer = Peer::connected_with(|c| {
        c.receive_window(100_000).outbound_streams(7);
    });
    peer.host_send(1, vec![0; 3000]);
    peer.send(data(1).tsn(2).seq(1).payload(vec![0; 100]).be());
    peer.collect();
    let status = peer.association().status();
    assert_eq!(status.state, AssociationState::Established);
    assert_eq!((status.unacknowledged_chunks, status.buffered), (3, 3000));
    assert_eq!(status.pending_chunks, 1);
    assert_eq!(status.cumulative_tsn.unwrap().value(), 0);
    assert_eq!(status.outbound_streams, 7);
    // 1280 less IPv4, UDP, the common header and that of DATA, in fours.
    assert_eq!(status.fragmentation_point, 1252 - 12 - 16);
    assert_eq!(status.primary.unwrap().remote, peer.addr);
    assert!(status.peer_window > 0 && !status.peer_stalled);
    assert_eq!(status.adaptation_indication, None);
}

#[test]
fn segments_are_as_small_as_the_user_wants() {
    let mut pair = Pair::builder()
        .client(|c| _ = c.max_segment(Some(100)))
        .build();
    pair.connect();
    pair.send(Client, 1, vec![7; 1000]);
    pair.drive();
    assert_eq!(pair.stats(Client).data_chunks_sent, 10);
    assert_eq!(pair.recv(Server, 1).unwrap(), vec![7; 1000]);
    let now = pair.now;
    let association = &mut pair.conn(Client).association;
    assert_eq!(association.status().fragmentation_point, 100);
    association
        .update_config(now, |c| _ = c.max_segment(None))
        .unwrap();
    pair.send(Client, 1, vec![7; 1000]);
    pair.drive();
    assert_eq!(pair.stats(Client).data_chunks_sent, 11);
    assert!(
        AssociationConfig::default()
            .max_segment(Some(63))
            .validate()
            .is_err()
    );
}

#[test]
fn settings_change_while_the_association_is_up() {
    let mut pair = Pair::connected();
    let now = pair.now;
    let association = &mut pair.conn(Client).association;
    let refused = association.update_config(now, |c| _ = c.sack_delay(Duration::from_secs(1)));
    assert_eq!(refused.unwrap_err().setting, "sack_delay");
    // What cannot change stays as it is.
    association
        .update_config(now, |c| {
            c.outbound_streams(1)
                .rto_initial(Duration::from_secs(2))
                .rto_min(Duration::from_secs(2))
                .autoclose(Some(Duration::from_secs(5)));
        })
        .unwrap();
    assert_eq!(association.streams().0, 1024);
    assert!(pair.path(Client).rto >= Duration::from_secs(2));
    pair.drive();
    assert!(pair.events(Client).contains(&Event::Autoclose));

    let mut pair = Pair::builder()
        .both(|c| _ = c.autoclose(Some(Duration::from_secs(5))))
        .build();
    pair.connect();
    let now = pair.now;
    for side in [Client, Server] {
        let association = &mut pair.conn(side).association;
        association
            .update_config(now, |c| _ = c.autoclose(None))
            .unwrap();
    }
    pair.drive_for(Duration::from_secs(20));
    assert_eq!(pair.state(Client), AssociationState::Established);
}

#[test]
fn delayed_acknowledgements_change_at_run_time() {
    let acknowledged_after = |delay: Option<u64>| {
        let mut peer = Peer::connected();
        // The first packet is acknowledged at once.
        peer.send(data(1).tsn(1).be());
        peer.receive_all();
        let now = peer.now;
        if let Some(delay) = delay {
            let change = |c: &mut AssociationConfig| _ = c.sack_delay(Duration::from_millis(delay));
            peer.association().update_config(now, change).unwrap();
        }
        peer.send(data(1).tsn(2).seq(1).be());
        peer.expect_nothing();
        peer.advance_to_packet()
    };
    assert_eq!(acknowledged_after(None), Duration::from_millis(40));
    assert_eq!(acknowledged_after(Some(150)), Duration::from_millis(150));
}

#[test]
fn nagle_is_turned_on_and_off_at_run_time() {
    let mut peer = Peer::connected_with(|c| _ = c.nodelay(false));
    peer.host_send(1, vec![0; 100]);
    assert_eq!(peer.find_all(kind::DATA).len(), 1);
    peer.host_send(1, vec![0; 100]);
    assert_eq!(peer.find_all(kind::DATA).len(), 0, "it waits for company");
    let now = peer.now;
    peer.association()
        .update_config(now, |c| _ = c.nodelay(true))
        .unwrap();
    peer.collect();
    assert_eq!(peer.find_all(kind::DATA).len(), 1);
}

#[test]
fn each_step_of_a_message_is_told_to_who_wants_to_know() {
    let mut pair = Pair::connected();
    let info = |context| SendInfo::default().context(context).tracked(true);
    pair.send_with(Client, 1, vec![0; 5000], info(1));
    pair.send_with(Client, 2, "quiet", SendInfo::default().context(2));
    pair.send_with(Client, 3, "short", info(3));
    pair.drive();
    let steps = |pair: &mut Pair| -> Vec<(char, u32)> {
        let step = |event: &Event| match event {
            Event::MessageSent { context, .. } => Some(('s', *context)),
            Event::MessageAcked { context, .. } => Some(('a', *context)),
            Event::SendFailed { context, .. } => Some(('f', *context)),
            _ => None,
        };
        pair.events(Client).iter().filter_map(step).collect()
    };
    let mut told = steps(&mut pair);
    assert!(told.iter().position(|s| *s == ('s', 1)) < told.iter().position(|s| *s == ('a', 1)));
    told.sort_unstable();
    assert_eq!(told, [('a', 1), ('a', 3), ('s', 1), ('s', 3)]);

    // Sent, lost, and failed when the association ends.
    pair.net.links(|link| link.down = true);
    pair.send_with(Client, 1, "lost", info(4));
    pair.drive_for(Duration::from_millis(100));
    pair.abort(Client, "enough");
    pair.drive();
    assert_eq!(steps(&mut pair), [('s', 4), ('f', 4)]);
}

#[test]
fn adaptation_layer_indications_go_both_ways() {
    let mut pair = Pair::builder()
        .client(|c| _ = c.adaptation_indication(Some(7)))
        .server(|c| _ = c.adaptation_indication(Some(0x8000_0000)))
        .build();
    pair.connect();
    let told = |pair: &mut Pair, side| {
        let told = pair.conn(side).association.status().adaptation_indication;
        let event = pair.events(side).into_iter().find_map(|event| match event {
            Event::AdaptationIndication(indication) => Some(indication),
            _ => None,
        });
        assert!(event.is_none() || event == told);
        told
    };
    assert_eq!(told(&mut pair, Client), Some(0x8000_0000));
    assert_eq!(told(&mut pair, Server), Some(7));
}

#[test]
fn an_adaptation_layer_indication_is_these_bytes_and_event() {
    let mut peer = Peer::client_with(|c| _ = c.adaptation_indication(Some(0x0102_0304)));
    let answer = peer.init(init(TAG).param(ADAPTATION, &[0, 0, 1, 0]));
    let own = answer.params.iter().find(|(kind, _)| *kind == ADAPTATION);
    assert_eq!(own.unwrap().1, [1, 2, 3, 4]);
    // It is known: not reported back as unrecognized.
    assert!(
        answer.params.iter().all(|(kind, _)| *kind != 8),
        "{answer:?}"
    );
    peer.send(cookie_echo(&answer.cookie()));
    let events = peer.events();
    assert_eq!(
        events[..2],
        [
            Event::Established { restarted: false },
            Event::AdaptationIndication(256)
        ]
    );

    let mut peer = Peer::server_with(|c| _ = c.adaptation_indication(Some(5)));
    let own = peer.answer_init(init_ack(TAG, COOKIE).param(ADAPTATION, &[0, 0, 0, 9]));
    let sent = own.params.iter().find(|(kind, _)| *kind == ADAPTATION);
    assert_eq!(sent.unwrap().1, [0, 0, 0, 5]);
    assert_eq!(peer.association().status().adaptation_indication, Some(9));
    // None is sent unless it is asked for.
    let mut peer = Peer::client();
    let answer = peer.init(init(TAG));
    assert!(answer.params.iter().all(|(kind, _)| *kind != ADAPTATION));
}

#[test]
fn the_next_message_can_be_looked_at_before_it_is_taken() {
    let mut pair = Pair::connected();
    let next = |pair: &mut Pair| pair.conn(Server).association.next_message(StreamId(1));
    assert_eq!(next(&mut pair), None);
    pair.send_with(Client, 1, vec![0; 3000], SendInfo::new(Ppid(46)));
    pair.send_with(Client, 1, "two", SendInfo::default().unordered(true));
    pair.drive();
    let first = next(&mut pair).unwrap();
    assert!(first.complete);
    let lens = [first.len, {
        let taken = pair.recv(Server, 1).unwrap();
        assert_eq!(taken.len(), first.len);
        next(&mut pair).unwrap().len
    }];
    let mut sorted = lens;
    sorted.sort_unstable();
    assert_eq!(sorted, [3, 3000]);
    assert!(first.ppid == Ppid(46) || first.unordered);
    pair.recv(Server, 1).unwrap();
    assert_eq!(next(&mut pair), None);
}

#[test]
fn the_next_part_of_a_message_in_parts_is_shown_as_one() {
    let mut peer = Peer::connected_with(|c| _ = c.receive_window(16 * 1024));
    let fill = vec![0; 1000];
    peer.send(data(1).tsn(1).ppid(9).payload(&fill).b());
    for tsn in 2..=13 {
        peer.send(data(1).tsn(tsn).ppid(9).payload(&fill).m());
    }
    let association = peer.association();
    let next = association
        .next_message(StreamId(1))
        .expect("under pressure");
    assert_eq!((next.ppid, next.complete), (Ppid(9), false));
    let part = association.recv(StreamId(1)).unwrap();
    assert_eq!(part.data.len(), next.len);
    assert!(!part.complete);
}

#[test]
fn sequence_numbers_of_messages_are_told() {
    let mut pair = Pair::builder().both(|c| _ = c.interleaving(false)).build();
    pair.connect();
    for text in ["one", "two", "three"] {
        pair.send(Client, 1, Bytes::from(text));
    }
    pair.drive();
    let seqs: Vec<_> = pair
        .recv_all(Server)
        .iter()
        .map(|message| message.seq)
        .collect();
    assert_eq!(seqs, [0, 1, 2]);
}
