//! I-DATA (RFC 8260): messages of several streams side by side.

use std::time::Duration;

use bytes::Bytes;
use sctp_proto::{AssociationState, SendInfo, StreamId};
use sctp_tests::{
    build::{data, i_data},
    codec::{cause, kind},
    net::Link,
    pair::{
        Pair,
        Side::{Client, Server},
    },
    peer::Peer,
};

/// How long a small message takes beside a large one over 100 kB/s.
fn time_of_a_small_message() -> Duration {
    let mut pair = Pair::builder()
        .both(|c| {
            c.receive_window(2_000_000);
        })
        .link(Link {
            rate: Some(100_000),
            queue: 20_000,
            ..Link::default()
        })
        .build();
    pair.connect();
    pair.send(Client, 1, vec![1; 1_000_000]);
    pair.drive_for(Duration::from_secs(1));
    let begin = pair.now;
    pair.send(Client, 2, "small");
    pair.drive_until(|pair| pair.recv(Server, 2).is_some());
    let took = pair.now - begin;
    assert_eq!(pair.recv(Server, 1), None, "the large one is under way");
    let begin = pair.now;
    pair.drive_until(|pair| match pair.recv(Server, 1) {
        None => false,
        Some(message) => {
            assert_eq!(message, vec![1; 1_000_000]);
            true
        }
    });
    assert!(pair.now - begin > Duration::from_secs(5));
    took
}

#[test]
fn a_large_message_does_not_block_a_small_one() {
    let took = time_of_a_small_message();
    // The queue at the bottleneck is 200 ms long.
    assert!(took < Duration::from_millis(400), "{took:?}");
}

#[test]
fn fragments_carry_mid_and_fsn() {
    let mut peer = Peer::interleaving();
    for round in 0..2 {
        peer.host_send(1, vec![0; 3000]);
        let chunks = peer.find_all(kind::I_DATA);
        assert_eq!(chunks.len(), 3);
        for (fsn, chunk) in chunks.iter().enumerate() {
            let chunk = chunk.as_data();
            assert_eq!((chunk.stream, chunk.seq), (1, round));
            assert_eq!((chunk.begin, chunk.end), (fsn == 0, fsn == 2));
            // The first has the PPID in this place, and FSN 0 by that.
            assert_eq!(chunk.ppid_or_fsn, fsn as u32);
        }
        let sack = peer.sack(3 * (round + 1));
        peer.send(sack);
    }
    // Unordered messages are numbered apart.
    let unordered = SendInfo::default().unordered(true);
    peer.host_send_with(1, "aside", unordered);
    let chunk = peer.find(kind::I_DATA).expect("I-DATA").as_data();
    assert_eq!((chunk.unordered, chunk.seq), (true, 0));
}

#[test]
fn messages_of_two_streams_come_apart_again() {
    let mut peer = Peer::interleaving();
    peer.send(i_data(1).tsn(1).ppid(7).payload("a").b());
    peer.send(i_data(2).tsn(2).ppid(8).payload("x").b());
    peer.send(i_data(1).tsn(3).fsn(1).payload("b").m());
    peer.send(i_data(2).tsn(4).fsn(1).payload("y").e());
    assert_eq!(peer.host_recv(2).unwrap(), "xy");
    assert_eq!(peer.host_recv(1), None);
    peer.send(i_data(1).tsn(5).fsn(2).payload("c").e());
    let message = peer.association().recv(StreamId(1)).unwrap();
    assert_eq!(message.ppid.0, 7);
    assert_eq!(message.data.into_bytes(), "abc");
}

#[test]
fn fragments_may_come_in_any_order() {
    let text = ["a", "b", "c", "d"];
    let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]];
    for order in orders {
        for unordered in [false, true] {
            let mut peer = Peer::interleaving();
            for i in order {
                let mut chunk = i_data(5).tsn(1 + i).fsn(i).payload(text[i as usize]);
                if unordered {
                    chunk = chunk.unordered();
                }
                peer.send(match i {
                    0 => chunk.b(),
                    3 => chunk.e(),
                    _ => chunk.m(),
                });
            }
            assert_eq!(peer.host_recv(5).unwrap(), "abcd", "{order:?}");
        }
    }
}

#[test]
fn ordered_and_unordered_messages_are_numbered_apart() {
    let mut peer = Peer::interleaving();
    peer.send(i_data(1).tsn(1).seq(0).payload("o").b());
    peer.send(i_data(1).tsn(2).seq(0).unordered().payload("u").b());
    peer.send(i_data(1).tsn(3).seq(0).fsn(1).unordered().payload("u").e());
    assert_eq!(peer.host_recv(1).unwrap(), "uu");
    peer.send(i_data(1).tsn(4).seq(0).fsn(1).payload("o").e());
    assert_eq!(peer.host_recv(1).unwrap(), "oo");
}

#[test]
fn ordered_messages_wait_for_their_mid() {
    let mut peer = Peer::interleaving();
    peer.send(i_data(1).tsn(1).seq(1).payload("second").be());
    assert_eq!(peer.host_recv(1), None);
    peer.send(i_data(1).tsn(2).seq(0).payload("first").be());
    assert_eq!(peer.host_recv(1).unwrap(), "first");
    assert_eq!(peer.host_recv(1).unwrap(), "second");
}

#[test]
fn each_format_is_a_violation_where_the_other_was_agreed_on() {
    let mut peer = Peer::interleaving();
    peer.send(data(1).be());
    let abort = peer.find(kind::ABORT).expect("ABORT (RFC 8260 §2.2.3)");
    assert_eq!(abort.cause(), Some(cause::PROTOCOL_VIOLATION));
    let mut peer = Peer::connected();
    peer.send(i_data(1).be());
    let abort = peer.find(kind::ABORT).expect("ABORT (RFC 8260 §2.2.3)");
    assert_eq!(abort.cause(), Some(cause::PROTOCOL_VIOLATION));
    assert_eq!(peer.state(), AssociationState::Closed);
}

#[test]
fn round_robin_alternates_between_fragments() {
    let mut peer = Peer::interleaving();
    let now = peer.now;
    for stream in [1, 2] {
        let message = Bytes::from(vec![0; 20_000]);
        let association = peer.association();
        association
            .send(now, StreamId(stream), message, SendInfo::default())
            .unwrap();
    }
    peer.collect();
    let mut streams = Vec::new();
    while streams.len() < 20 {
        let chunks = peer.find_all(kind::I_DATA);
        streams.extend(chunks.iter().map(|chunk| chunk.as_data().stream));
        let sack = peer.sack(streams.len() as u32);
        peer.send(sack);
    }
    for turn in streams[..20].chunks(4) {
        assert!(turn.contains(&1) && turn.contains(&2), "{streams:?}");
    }
}

#[test]
fn without_interleaving_it_does_block() {
    // What I-DATA is for: the same with DATA takes until the large message is through.
    let mut pair = Pair::builder()
        .both(|c| {
            c.interleaving(false).receive_window(2_000_000);
        })
        .link(Link {
            rate: Some(100_000),
            queue: 20_000,
            ..Link::default()
        })
        .build();
    pair.connect();
    pair.send(Client, 1, vec![1; 500_000]);
    pair.drive_for(Duration::from_secs(1));
    let begin = pair.now;
    pair.send(Client, 2, "small");
    pair.drive_until(|pair| pair.recv(Server, 2).is_some());
    let took = pair.now - begin;
    assert!(took > Duration::from_secs(3), "{took:?}");
}
