//! Bounds: windows, streams that are not read, peers that wait, associations.

use std::time::Duration;

use bytes::Bytes;
use sctp_proto::{
    AssociationConfig, AssociationState, ConnectError, EndpointConfig, Event, SendInfo, StreamId,
};
use sctp_tests::{
    build::{cookie_echo, data, i_data, init},
    codec::{cause, kind},
    net::Link,
    pair::{
        Pair,
        Side::{self, Client, Server},
    },
    peer::{Peer, TAG},
};

const SECOND: Duration = Duration::from_secs(1);

/// Queues messages of one stream until it is full.
fn stuff(pair: &mut Pair, side: Side, stream: u16) {
    let message = Bytes::from(vec![0; 16 * 1024]);
    while pair
        .try_send(side, stream, message.clone(), SendInfo::default())
        .is_ok()
    {}
}

#[test]
fn an_unread_stream_is_reported_then_discarded_and_the_others_go_on() {
    for interleaving in [false, true] {
        let mut pair = Pair::builder()
            .both(|c| {
                c.receive_window(512 * 1024).interleaving(interleaving);
            })
            .build();
        pair.connect();
        // One handler never reads its upload, which never ends.
        let mut answered = 0;
        let mut stalled = None;
        let mut discarded = None;
        let begin = pair.now;
        while pair.now - begin < 30 * SECOND {
            stuff(&mut pair, Client, 1);
            pair.drive_for(SECOND / 20);
            let now = pair.now;
            for event in pair.events(Server) {
                match event {
                    Event::StreamStalled(stream) => {
                        assert_eq!(stream, StreamId(1));
                        stalled.get_or_insert(now);
                    }
                    Event::StreamDiscarded(stream) => {
                        assert_eq!(stream, StreamId(1));
                        discarded.get_or_insert(now);
                    }
                    _ => {}
                }
            }
            // Every other request is answered.
            let stream = 2 + answered % 100;
            if pair.recv(Server, stream).is_some() {
                answered += 1;
            }
            let next = 2 + answered % 100;
            if pair
                .conn(Client)
                .association
                .buffered_amount(StreamId(next))
                == 0
            {
                let _ = pair.try_send(Client, next, "request".into(), SendInfo::default());
            }
        }
        let stalled = stalled.expect("StreamStalled");
        let discarded = discarded.expect("StreamDiscarded");
        let waited = discarded - stalled;
        assert!((10 * SECOND..=11 * SECOND).contains(&waited), "{waited:?}");
        assert!(answered > 100, "{answered} answers");
        assert!(pair.established());
        assert!(pair.stats(Server).stall_discarded_bytes > 64 * 1024);
        assert_eq!(pair.recv(Server, 1), None, "what it held is gone");
    }
}

#[test]
fn a_stream_that_is_read_in_time_loses_nothing() {
    let mut pair = Pair::builder()
        .both(|c| {
            c.receive_window(256 * 1024);
        })
        .build();
    pair.connect();
    let mut sent = 0_usize;
    let mut received = 0_usize;
    for _ in 0..20 {
        let message = Bytes::from(vec![0; 16 * 1024]);
        while pair
            .try_send(Client, 1, message.clone(), SendInfo::default())
            .is_ok()
        {
            sent += message.len();
        }
        // Nothing for nine seconds, then everything.
        pair.drive_for(9 * SECOND);
        received += pair
            .recv_all(Server)
            .iter()
            .map(|m| m.data.len())
            .sum::<usize>();
    }
    pair.drive_for(SECOND);
    while received < sent {
        let before = received;
        pair.drive_for(SECOND);
        received += pair
            .recv_all(Server)
            .iter()
            .map(|m| m.data.len())
            .sum::<usize>();
        assert!(
            received > before,
            "{received} of {sent}: {}",
            pair.summary()
        );
    }
    let events = pair.events(Server);
    assert!(
        !events
            .iter()
            .any(|e| matches!(e, Event::StreamDiscarded(_)))
    );
}

#[test]
fn a_stopped_stream_takes_no_room() {
    let mut pair = Pair::builder()
        .both(|c| {
            c.receive_window(64 * 1024);
        })
        .build();
    pair.connect();
    pair.send(Client, 1, "unread");
    pair.drive();
    pair.conn(Server).association.stop(StreamId(1));
    for _ in 0..50 {
        pair.send(Client, 1, vec![0; 50_000]);
        pair.drive();
        assert_eq!(pair.recv(Server, 1), None);
        pair.send(Client, 2, "beside");
        pair.drive();
        assert_eq!(pair.recv(Server, 2).unwrap(), "beside");
    }
    // Until the peer ends the stream: then it begins anew.
    let now = pair.now;
    pair.conn(Client)
        .association
        .reset_streams(now, &[StreamId(1)])
        .unwrap();
    pair.drive();
    pair.send(Client, 1, "anew");
    pair.drive();
    assert_eq!(pair.recv(Server, 1).unwrap(), "anew");
}

#[test]
fn one_hundred_requests_pass_a_response_nobody_reads() {
    // One client never reads a large response; a hundred others on the association complete.
    let mut pair = Pair::builder()
        .link(Link {
            rate: Some(10_000_000),
            ..Link::default()
        })
        .server(|c| {
            c.send_buffer(4 * 1024 * 1024);
        })
        .build();
    pair.connect();
    let mut left = 100 * 10_000;
    pair.send(Client, 1, "the large one");
    for stream in 2..102 {
        pair.send(Client, stream, "a small one");
    }
    let begin = pair.now;
    while left > 0 {
        assert!(pair.now - begin < 60 * SECOND, "{left} left");
        stuff(&mut pair, Server, 1);
        pair.drive_for(SECOND / 50);
        for stream in 2..102 {
            if pair.recv(Server, stream).is_some() {
                pair.send(Server, stream, vec![1; 10_000]);
            }
            // In parts, perhaps: the large one takes up half of the window.
            while let Some(part) = pair.conn(Client).association.recv(StreamId(stream)) {
                left -= part.data.len();
            }
        }
    }
}

#[test]
fn threat_25_tiny_fragments_are_bounded_by_their_overhead() {
    for interleaving in [false, true] {
        let mut peer = if interleaving {
            Peer::interleaving()
        } else {
            Peer::connected()
        };
        // One byte each, of a message that never ends.
        for tsn in 1..=100_000_u32 {
            let chunk = if interleaving {
                i_data(1).fsn(tsn - 1)
            } else {
                data(1)
            };
            let chunk = chunk.tsn(tsn).payload("x");
            peer.send(if tsn == 1 { chunk.b() } else { chunk.m() });
            peer.receive_all();
            if peer.state() == AssociationState::Closed {
                break;
            }
        }
        let stats = peer.association().stats();
        let held = stats.data_chunks_received - stats.dropped_no_buffer - stats.duplicate_chunks;
        // A window of 1 MiB, and an honest price per chunk.
        assert!(held < 40_000, "{held} fragments of one byte are held");
    }
}

#[test]
fn threat_25_tiny_messages_out_of_order_are_bounded_by_their_overhead() {
    let mut peer = Peer::interleaving();
    for tsn in 2..=60_000_u32 {
        let stream = (tsn % 1024) as u16;
        peer.send(
            i_data(stream)
                .tsn(tsn)
                .seq(1 + tsn / 1024)
                .payload("x")
                .be(),
        );
        peer.receive_all();
    }
    let stats = peer.association().stats();
    let held = stats.data_chunks_received - stats.dropped_no_buffer - stats.reneged;
    assert!(held < 40_000, "{held} messages of one byte are held");
    assert_eq!(peer.state(), AssociationState::Established);
}

#[test]
fn threat_27_peers_that_wait_are_limited() {
    let mut endpoint = EndpointConfig::default();
    endpoint.max_associations(50);
    let mut config = AssociationConfig::default();
    config.heartbeat_interval(None);
    let mut peer = Peer::of_server(&config, endpoint);
    peer.host.auto_accept = false;
    let mut waiting = 0;
    let mut cookies = Vec::new();
    for port in 5000..5200 {
        peer.port = port;
        let answer = peer.init(init(TAG));
        cookies.push((port, answer.tag, answer.cookie()));
    }
    for (port, tag, cookie) in cookies {
        peer.port = port;
        peer.send_tagged(tag, cookie_echo(&cookie));
        peer.receive_all();
        waiting = waiting.max(peer.host.endpoint.associations());
    }
    // Who comes now is told (§3.3.10.4).
    peer.send_tagged(0, init(TAG));
    let refusal = peer.expect(kind::ABORT);
    assert_eq!(refusal.cause(), Some(cause::OUT_OF_RESOURCE));
    assert!(waiting <= 50, "{waiting}");
    assert!(peer.host.incoming.len() <= 50);
    // Sending them away makes room.
    while let Some(incoming) = peer.host.incoming.pop_front() {
        peer.host.endpoint.ignore(incoming);
    }
    assert_eq!(peer.host.endpoint.associations(), 0);
    peer.port = 6000;
    let cookie = peer.init(init(TAG)).cookie();
    peer.send(cookie_echo(&cookie));
    assert_eq!(peer.host.incoming.len(), 1);
}

#[test]
fn early_data_of_peers_that_wait_is_limited() {
    let mut peer = Peer::client();
    peer.host.auto_accept = false;
    let cookie = peer.init(init(TAG)).cookie();
    peer.send_bundle(vec![
        cookie_echo(&cookie),
        data(1).tsn(1).payload("early").be(),
    ]);
    for tsn in 2..=500 {
        let chunk = data(1).tsn(tsn).seq(tsn - 1).payload(vec![0; 1000]);
        peer.send(chunk.be());
    }
    let incoming = peer.host.incoming.pop_front().expect("it waits");
    let now = peer.now;
    peer.host.accept(now, incoming);
    peer.collect();
    assert_eq!(peer.host_recv(1).unwrap(), "early");
    let mut kept = 0;
    while let Some(message) = peer.host_recv(1) {
        kept += message.len();
    }
    assert!(kept <= 64 * 1024, "{kept}");
    assert_eq!(peer.state(), AssociationState::Established);
}

#[test]
fn a_client_cannot_have_more_associations_than_allowed() {
    let mut pair = Pair::builder()
        .endpoint(|e| {
            e.max_associations(3);
        })
        .build();
    let to = pair.server.addrs.clone();
    let now = pair.now;
    for _ in 0..3 {
        pair.client
            .connect(now, AssociationConfig::default(), &to)
            .unwrap();
    }
    let refused = pair.client.connect(now, AssociationConfig::default(), &to);
    assert_eq!(refused, Err(ConnectError::TooManyAssociations));
    assert_eq!(
        pair.client.connect(now, AssociationConfig::default(), &[]),
        Err(ConnectError::NoAddress)
    );
}

#[test]
fn many_associations_share_an_endpoint() {
    let mut pair = Pair::default();
    for _ in 0..100 {
        pair.start();
    }
    pair.drive();
    assert_eq!(pair.server.endpoint.associations(), 100);
    let now = pair.now;
    for (number, conn) in pair.client.conns.iter_mut().enumerate() {
        assert_eq!(conn.association.state(), AssociationState::Established);
        let text = Bytes::from(number.to_string());
        conn.association
            .send(now, StreamId(0), text, SendInfo::default())
            .unwrap();
    }
    pair.drive();
    let mut received: Vec<_> = pair
        .server
        .conns
        .iter_mut()
        .map(|conn| {
            conn.association
                .recv_any()
                .expect("a message")
                .data
                .into_bytes()
        })
        .map(|text| String::from_utf8_lossy(&text).parse::<usize>().unwrap())
        .collect();
    received.sort_unstable();
    assert_eq!(received, (0..100).collect::<Vec<_>>());
}

#[test]
fn the_highest_stream_costs_no_more_than_the_lowest() {
    let mut pair = Pair::builder()
        .both(|c| {
            c.outbound_streams(65_535).max_inbound_streams(65_535);
        })
        .build();
    pair.connect();
    assert_eq!(pair.conn(Client).association.streams(), (65_535, 65_535));
    for stream in [0, 1, 40_000, 65_534] {
        pair.send(Client, stream, "x");
    }
    pair.drive();
    for stream in [0, 1, 40_000, 65_534] {
        assert_eq!(pair.recv(Server, stream).unwrap(), "x");
    }
}

//= RFC 9260 §6.9, test
//# If the data receiver runs out of buffer space...
#[test]
fn a_window_smaller_than_a_message_delivers_it_in_parts() {
    for interleaving in [false, true] {
        let mut pair = Pair::builder()
            .both(|c| {
                c.receive_window(16 * 1024).interleaving(interleaving);
            })
            .build();
        pair.connect();
        let message: Bytes = (0..300_000_u32).map(|i| (i % 241) as u8).collect();
        pair.send(Client, 1, message.clone());
        let mut received = Vec::new();
        loop {
            let part = pair.conn(Server).association.recv(StreamId(1));
            let Some(part) = part else {
                assert!(pair.step(), "{} bytes came", received.len());
                continue;
            };
            received.extend_from_slice(&part.data.into_bytes());
            if part.complete {
                break;
            }
        }
        assert_eq!(received, message);
    }
}

#[test]
fn large_messages_of_several_streams_share_a_small_window() {
    // Incomplete messages of many streams fill the window: each must be delivered in parts.
    let mut pair = Pair::builder()
        .both(|c| {
            c.receive_window(16 * 1024).send_buffer(4 * 1024 * 1024);
        })
        .link(Link {
            loss: 0.02,
            ..Link::default()
        })
        .build();
    pair.connect();
    for stream in 0..20 {
        pair.send(Client, stream, vec![stream as u8; 50_000]);
    }
    let mut received = [0; 20];
    while received != [50_000; 20] {
        for message in pair.recv_all(Server) {
            let bytes = message.data.into_bytes();
            let stream = message.stream.0;
            assert!(bytes.iter().all(|b| u16::from(*b) == stream));
            received[usize::from(stream)] += bytes.len();
        }
        assert!(pair.step(), "{received:?}");
    }
}

#[test]
fn nothing_but_init_ack_leaves_before_a_cookie() {
    let mut peer = Peer::client();
    for port in 1..2000 {
        peer.port = port;
        peer.send_tagged(0, init(TAG));
        peer.expect(kind::INIT_ACK);
    }
    assert_eq!(peer.host.endpoint.associations(), 0);
    assert!(peer.host.conns.is_empty() && peer.host.timeout().is_none());
}

/// Sends an INIT from each of these hosts; how many were answered.
fn inits_answered(peer: &mut Peer, hosts: impl Iterator<Item = [u8; 4]>) -> usize {
    let packet = peer.packet(0, vec![init(TAG).into()]).encode();
    let mut answered = 0;
    for host in hosts {
        peer.send_from((host, 9899).into(), packet.clone());
        answered += peer.find_all(kind::INIT_ACK).len();
    }
    answered
}

/// Row 16 of the threats: INITs and cookies cost something, so that each source has its share.
#[test]
fn a_source_that_floods_with_inits_starves_no_other() {
    let mut endpoint = EndpointConfig::default();
    endpoint.setups_per_source(100);
    let mut peer = Peer::of_server(&AssociationConfig::default(), endpoint);
    let flood = [192, 0, 2, 66];
    let answered = inits_answered(&mut peer, std::iter::repeat_n(flood, 5000));
    assert_eq!(answered, 100);
    assert_eq!(peer.host.endpoint.stats().setups_limited, 4900);
    // Nor are its cookies looked into, be they good or forged.
    let forged = peer.packet(7, vec![cookie_echo(&[0; 200])]).encode();
    for _ in 0..100 {
        peer.send_from((flood, 9899).into(), forged.clone());
    }
    let stats = peer.host.endpoint.stats();
    assert_eq!((stats.cookies_rejected, stats.setups_limited), (0, 5000));
    // Everybody else is served as if nothing were.
    let others = (1..=60).map(|host| [192, 0, 2, host]);
    assert_eq!(inits_answered(&mut peer, others), 60);
    peer.connect(init(TAG));
    // And the source itself, when it has become quiet.
    peer.advance(SECOND);
    let answered = inits_answered(&mut peer, std::iter::repeat_n(flood, 5000));
    assert_eq!(answered, 100);
}

#[test]
fn thousands_of_set_ups_from_one_address_at_once_are_not_a_flood() {
    let config = AssociationConfig::default();
    let mut peer = Peer::of_server(&config, EndpointConfig::default());
    let nat = std::iter::repeat_n([192, 0, 2, 1], 5000);
    assert_eq!(inits_answered(&mut peer, nat), 5000);
    assert_eq!(peer.host.endpoint.stats().setups_limited, 0);
}

/// A window that closes and opens as its reader goes: what was on its way when it closed had been
/// promised room, so that nothing is ever sent twice.
#[test]
fn a_slow_reader_loses_nothing_that_was_promised_room() {
    for size in [100, 700, 1000, 3000] {
        let mut pair = Pair::builder()
            .both(|c| {
                c.receive_window(20_000).interleaving(false);
            })
            .build();
        pair.connect();
        let total = 100_000 / size;
        for _ in 0..total {
            pair.send(Client, 1, vec![0; size]);
        }
        let mut received = 0;
        while received < total {
            pair.drive_for(Duration::from_millis(20));
            // About 30 kB a second.
            for _ in 0..(600 / size).max(1) {
                received += usize::from(pair.recv(Server, 1).is_some());
            }
        }
        let (client, server) = (pair.stats(Client), pair.stats(Server));
        assert_eq!(server.dropped_no_buffer, 0, "{size} bytes");
        assert_eq!(client.data_chunks_retransmitted, 0, "{size} bytes");
    }
}
