//! Order, fragmentation, bundling and scheduling of messages (§6.5, §6.6, §6.9, §6.10).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use sctp_proto::{Event, Ppid, SchedulerKind, SendError, SendInfo, StreamId};
use sctp_tests::{
    build::data,
    codec::{Data, cause, kind},
    net::{Link, Verdict},
    pair::{
        Pair,
        Side::{Client, Server},
    },
    peer::Peer,
    rng::Rng,
};

/// DATA chunks the host has sent, in order.
fn sent(peer: &mut Peer) -> Vec<Data> {
    let chunks = peer.find_all(kind::DATA);
    chunks.iter().map(|chunk| chunk.as_data()).collect()
}

#[test]
fn messages_keep_their_boundaries_their_order_and_their_ppid() {
    let mut pair = Pair::connected();
    for i in 0..50_u32 {
        let text = format!("message {i}");
        pair.send_with(Client, 1, text, SendInfo::new(Ppid(i)));
    }
    pair.drive();
    for i in 0..50 {
        let message = pair.conn(Server).association.recv(StreamId(1)).unwrap();
        assert_eq!((message.stream, message.ppid), (StreamId(1), Ppid(i)));
        assert!(message.complete && !message.unordered);
        assert_eq!(message.data.into_bytes(), format!("message {i}"));
    }
    assert_eq!(pair.recv(Server, 1), None);
}

//= RFC 9260 §6.6, test
//# Within a stream, an endpoint MUST deliver DATA chunks...
//= RFC 9260 §6.6, test
//# If DATA chunks arrive out of order of their...
#[test]
fn an_ordered_message_waits_for_those_before_it_on_its_stream_only() {
    let mut peer = Peer::connected();
    peer.send(data(1).tsn(2).seq(1).payload("second").be());
    peer.send(data(2).tsn(3).seq(0).payload("other stream").be());
    peer.send(data(1).tsn(4).unordered().payload("unordered").be());
    assert_eq!(peer.host_recv(2).unwrap(), "other stream");
    assert_eq!(peer.host_recv(1).unwrap(), "unordered");
    assert_eq!(peer.host_recv(1), None);
    peer.send(data(1).tsn(1).seq(0).payload("first").be());
    assert_eq!(peer.host_recv(1).unwrap(), "first");
    assert_eq!(peer.host_recv(1).unwrap(), "second");
}

//= RFC 9260 §6.5, test
//# The Stream Sequence Number in all the outgoing streams...
#[test]
fn numbering_begins_at_zero_on_every_stream() {
    let mut peer = Peer::connected();
    for stream in [0, 1, 500, 1023] {
        peer.host_send(stream, "first");
        peer.host_send(stream, "second");
    }
    let numbers: Vec<_> = sent(&mut peer).iter().map(|c| (c.stream, c.seq)).collect();
    let expected = [0, 1, 500, 1023].map(|stream| [(stream, 0), (stream, 1)]);
    assert_eq!(numbers, expected.concat());
}

//= RFC 9260 §6.6, test
//# The sender can fill the 'Stream Sequence Number' with...
//= RFC 9260 §3.3.1, test
//# Therefore, the receiver MUST ignore the Stream Sequence Number...
#[test]
fn the_sequence_numbers_of_unordered_messages_mean_nothing() {
    let mut peer = Peer::connected();
    let part = |tsn, seq, text| data(1).unordered().tsn(tsn).seq(seq).payload(text);
    peer.send(part(1, 7777, "whole").be());
    peer.send(part(2, 3, "in ").b());
    peer.send(part(3, 65_535, "three ").m());
    peer.send(part(4, 0, "parts").e());
    peer.send(data(1).tsn(5).seq(0).payload("ordered").be());
    for expected in ["whole", "in three parts", "ordered"] {
        assert_eq!(peer.host_recv(1).unwrap(), expected);
    }
}

//= RFC 9260 §6.5, test
//# The Stream Sequence Number of an outgoing stream MUST...
//= RFC 9260 §6.5, test
//# In particular, when the Stream Sequence Number reaches the...
#[test]
fn stream_sequence_numbers_and_tsns_wrap() {
    let mut peer = Peer::client();
    let begin = 0_u32.wrapping_sub(70_000);
    peer.connect(sctp_tests::build::init(sctp_tests::peer::TAG).tsn(begin));
    for i in 0..140_000_u32 {
        let chunk = data(1)
            .tsn(begin.wrapping_add(i))
            .seq(i)
            .payload(i.to_be_bytes());
        peer.send(chunk.be());
        assert_eq!(peer.host_recv(1).unwrap(), i.to_be_bytes()[..]);
        peer.receive_all();
    }
}

#[test]
fn readable_is_told_once_until_all_is_read() {
    let mut peer = Peer::connected();
    let readable = |peer: &mut Peer| {
        let events = peer.events();
        events
            .iter()
            .filter(|e| **e == Event::Readable(StreamId(1)))
            .count()
    };
    peer.send(data(1).tsn(1).seq(0).be());
    peer.send(data(1).tsn(2).seq(1).be());
    assert_eq!(readable(&mut peer), 1);
    assert!(peer.host_recv(1).is_some() && peer.host_recv(1).is_some());
    assert_eq!(peer.host_recv(1), None);
    peer.send(data(1).tsn(3).seq(2).be());
    assert_eq!(readable(&mut peer), 1);
}

//= RFC 9260 §6.9, test
//# An endpoint MAY support fragmentation when sending DATA chunks,...
//= RFC 9260 §6.9, test
//# An endpoint MUST recognize fragmented DATA chunks by examining...
//= RFC 9260 §6, test
//# The fragmentation and bundling mechanisms, as detailed in Sections...
//= RFC 9260 §6, test
//# When converting user messages into DATA chunks, an endpoint...
#[test]
fn a_large_message_is_cut_and_put_together() {
    for (seed, size) in [1, 1199, 1200, 1300, 5000, 65_536, 262_144, 1_000_000]
        .into_iter()
        .enumerate()
    {
        for interleaving in [false, true] {
            let mut pair = Pair::builder()
                .both(|c| {
                    c.interleaving(interleaving);
                })
                .build();
            pair.connect();
            let message = Bytes::from(Rng::new(seed as u64).bytes(size));
            pair.send(Client, 1, message.clone());
            let mut received = Vec::new();
            while received.len() < size {
                assert!(pair.step(), "{} of {size} bytes came", received.len());
                while let Some(part) = pair.conn(Server).association.recv(StreamId(1)) {
                    received.extend_from_slice(&part.data.into_bytes());
                    assert_eq!(part.complete, received.len() == size);
                }
            }
            assert_eq!(received, message);
        }
    }
}

//= RFC 9260 §6.9, test
//# If an endpoint supports fragmentation, it MUST fragment a...
//= RFC 9260 §6.10, test
//# The total size of the resultant SCTP packet MUST...
//= RFC 9260 §6.9, test
//# When determining when to fragment, the SCTP implementation MUST...
#[test]
fn no_packet_is_larger_than_the_path_carries() {
    for (addrs, headers) in [
        (["10.0.0.1:9899", "10.0.0.2:9899"], 28),
        (["[2001:db8::1]:9899", "[2001:db8::2]:9899"], 48),
    ] {
        for mtu in [576, 1280, 1500, 9000] {
            let mut pair = Pair::builder()
                .addrs(&addrs[..1], &addrs[1..])
                .both(|c| {
                    c.path_mtu(mtu);
                })
                .link(Link {
                    max_payload: usize::from(mtu) - headers,
                    ..Link::default()
                })
                .build();
            let largest = Arc::new(AtomicUsize::new(0));
            let seen = largest.clone();
            pair.net.script(move |_, datagram| {
                seen.fetch_max(datagram.payload.len(), Ordering::Relaxed);
                Verdict::Pass
            });
            pair.connect();
            pair.send(Client, 1, vec![7; 100_000]);
            pair.drive();
            let largest = largest.load(Ordering::Relaxed) + headers;
            assert!(largest <= usize::from(mtu), "{largest} > {mtu}");
            // Full packets are as full as multiples of four allow.
            assert!(largest > usize::from(mtu) - 4, "{largest} < {mtu}");
            assert_eq!(pair.recv(Server, 1).unwrap().len(), 100_000);
        }
    }
}

//= RFC 9260 §3.3.1, test
//# When a user message is fragmented by SCTP for...
//= RFC 9260 §3.3.1, test
//# This means that the TSNs for each fragment of...
//= RFC 9260 §6.9, test
//# The transmitter MUST then assign, in sequence, a separate...
//= RFC 9260 §6.9, test
//# The transmitter MUST also set the B/E bits of...
#[test]
fn fragments_of_one_message_have_consecutive_tsns_and_one_ssn() {
    let mut peer = Peer::connected();
    peer.host_send(1, vec![1; 2000]);
    peer.host_send(2, vec![2; 2000]);
    let chunks = sent(&mut peer);
    assert!(chunks.len() >= 3, "{}", chunks.len());
    assert!(chunks[0].begin && !chunks[0].end);
    assert!(!chunks[1].begin && chunks[1].end);
    assert_eq!(chunks[0].stream, chunks[1].stream);
    assert_eq!(chunks[0].seq, chunks[1].seq);
    assert_eq!(chunks[1].tsn, chunks[0].tsn.wrapping_add(1));
}

#[test]
fn small_messages_share_a_packet() {
    let mut peer = Peer::connected();
    let now = peer.now;
    for i in 0..10 {
        let association = peer.association();
        let text = Bytes::from(vec![i; 50]);
        association
            .send(now, StreamId(1), text, SendInfo::default())
            .unwrap();
    }
    peer.collect();
    let packets = peer.receive_all();
    assert_eq!(packets.len(), 1, "{packets:?}");
    assert_eq!(packets[0].kinds(), [kind::DATA; 10]);
}

#[test]
fn nagle_holds_small_messages_back_while_data_is_outstanding() {
    let mut peer = Peer::connected_with(|c| {
        c.nodelay(false);
    });
    peer.host_send(1, "first");
    assert_eq!(
        sent(&mut peer).len(),
        1,
        "nothing is outstanding: it leaves"
    );
    peer.host_send(1, "second");
    peer.host_send(1, "third");
    peer.expect_nothing();
    let sack = peer.sack(1);
    peer.send(sack);
    assert_eq!(sent(&mut peer).len(), 2);
}

//= RFC 9260 §6.2, test
//# An endpoint SHOULD NOT send a DATA chunk with...
#[test]
fn messages_of_no_bytes_and_of_too_many_are_refused() {
    let mut pair = Pair::connected();
    let info = SendInfo::default;
    let refused = |pair: &mut Pair, stream, size| {
        let result = pair.try_send(Client, stream, vec![0; size].into(), info());
        result.expect_err("it is refused")
    };
    assert_eq!(refused(&mut pair, 1, 0), SendError::Empty);
    let max = pair.conn(Client).association.max_message_size();
    assert_eq!(refused(&mut pair, 1, max + 1), SendError::TooLarge { max });
    let streams = pair.conn(Client).association.streams().0;
    assert_eq!(
        refused(&mut pair, streams, 5),
        SendError::UnknownStream(StreamId(streams))
    );
    pair.send(Client, 1, vec![0; max]);
    pair.drive_until(|pair| !pair.recv_all(Server).is_empty());
    pair.drive();
    pair.send(Client, streams - 1, "the last stream");
    pair.drive();
    assert_eq!(pair.recv(Server, streams - 1).unwrap(), "the last stream");
}

#[test]
fn a_full_buffer_gives_the_message_back_and_tells_when_there_is_room() {
    let mut pair = Pair::builder()
        .client(|c| {
            c.send_buffer(64 * 1024).stream_send_buffer(16 * 1024);
        })
        .build();
    pair.connect();
    let message = Bytes::from(vec![3; 4096]);
    let mut taken = 0;
    let returned = loop {
        match pair.try_send(Client, 1, message.clone(), SendInfo::default()) {
            Ok(()) => taken += 1,
            Err(SendError::Blocked(returned)) => break returned,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(returned, message);
    assert_eq!(taken, 4);
    assert_eq!(
        pair.conn(Client).association.buffered_amount(StreamId(1)),
        16 * 1024
    );
    // Another stream has room of its own.
    pair.send(Client, 2, message.clone());
    pair.drive();
    let events = pair.events(Client);
    let writable = |e: &&Event| matches!(e, Event::Writable(_));
    assert_eq!(
        events.iter().filter(writable).collect::<Vec<_>>(),
        [&Event::Writable(StreamId(1))]
    );
    assert_eq!(
        pair.conn(Client).association.buffered_amount(StreamId(1)),
        0
    );
    pair.send(Client, 1, message);
}

#[test]
fn sender_dry_is_told_when_all_is_acknowledged() {
    let mut pair = Pair::connected();
    pair.send(Client, 1, vec![0; 10_000]);
    pair.flush();
    assert!(!pair.events(Client).contains(&Event::SenderDry));
    pair.drive();
    assert!(pair.events(Client).contains(&Event::SenderDry));
}

//= RFC 9260 §6.5, test
//# If an endpoint receives a DATA chunk with an...
//= RFC 9260 §6.5, test
//# Every DATA chunk MUST carry a valid stream identifier.
#[test]
fn an_unknown_stream_is_reported_and_its_data_acknowledged() {
    for stream in [1024, 1025, 65_535] {
        let mut peer = Peer::connected();
        peer.send(data(stream).tsn(1).be());
        let chunks: Vec<_> = peer
            .receive_all()
            .into_iter()
            .flat_map(|r| r.packet.chunks)
            .collect();
        let report = chunks
            .iter()
            .find(|c| c.kind == kind::ERROR)
            .expect("ERROR");
        assert_eq!(report.cause(), Some(cause::INVALID_STREAM));
        let (_, info) = report.causes().remove(0);
        assert_eq!(info[..2], stream.to_be_bytes());
        peer.send(data(1023).tsn(2).payload("the last stream").be());
        assert_eq!(peer.host_recv(1023).unwrap(), "the last stream");
        peer.advance(Duration::from_secs(1));
        let sacks = peer.find_all(kind::SACK);
        assert_eq!(sacks.last().expect("SACK").as_sack().cumulative, 2);
    }
}

/// Two streams of many messages each under a scheduler that no congestion holds back much: the
/// streams in the order in which their messages left.
fn schedule(scheduler: SchedulerKind, prepare: impl Fn(&mut Peer)) -> Vec<u16> {
    let mut peer = Peer::connected_with(|c| {
        c.scheduler(scheduler).max_burst(100);
    });
    prepare(&mut peer);
    let now = peer.now;
    for stream in [1, 2] {
        for _ in 0..20 {
            let message = Bytes::from(vec![0; 1000]);
            let association = peer.association();
            association
                .send(now, StreamId(stream), message, SendInfo::default())
                .unwrap();
        }
    }
    let mut streams = Vec::new();
    while streams.len() < 40 {
        peer.collect();
        streams.extend(sent(&mut peer).iter().map(|chunk| chunk.stream));
        let sack = peer.sack(streams.len() as u32);
        peer.send(sack);
    }
    streams
}

#[test]
fn first_come_is_first_served() {
    let order = schedule(SchedulerKind::FirstComeFirstServed, |_| {});
    assert_eq!(order, [[1; 20], [2; 20]].concat());
}

#[test]
fn round_robin_takes_turns() {
    for scheduler in [
        SchedulerKind::RoundRobin,
        SchedulerKind::RoundRobinPerPacket,
        SchedulerKind::FairBandwidth,
    ] {
        let order = schedule(scheduler, |_| {});
        for turn in order.chunks(4) {
            let first = turn.iter().filter(|s| **s == 1).count();
            assert!((1..=3).contains(&first), "{scheduler:?}: {order:?}");
        }
    }
}

#[test]
fn priority_goes_first() {
    let order = schedule(SchedulerKind::Priority, |peer| {
        peer.association().set_stream_priority(StreamId(1), 10);
        peer.association().set_stream_priority(StreamId(2), 5);
    });
    assert_eq!(order, [[2; 20], [1; 20]].concat());
}

#[test]
fn weights_share_the_bandwidth() {
    let order = schedule(SchedulerKind::WeightedFairQueueing, |peer| {
        peer.association().set_stream_priority(StreamId(1), 300);
        peer.association().set_stream_priority(StreamId(2), 100);
    });
    // Until the heavier stream is done it gets three of four.
    let first = order[..24].iter().filter(|s| **s == 1).count();
    assert!((17..=19).contains(&first), "{order:?}");
}

//= RFC 9260 §3.3.1, test
//# After reassembly (if necessary), unordered DATA chunks MUST be...
#[test]
fn unordered_messages_pass_lost_ones() {
    let mut pair = Pair::connected();
    pair.net.drop_next(1);
    pair.send(Client, 1, "lost at first");
    pair.flush();
    pair.send_with(Client, 1, "passes", SendInfo::default().unordered(true));
    pair.drive_for(Duration::from_millis(15));
    let message = pair.conn(Server).association.recv(StreamId(1)).unwrap();
    assert!(message.unordered);
    assert_eq!(message.data.into_bytes(), "passes");
    pair.drive();
    assert_eq!(pair.recv(Server, 1).unwrap(), "lost at first");
}

#[test]
fn unsent_messages_can_be_discarded() {
    let mut peer = Peer::connected();
    // One that fills the congestion window, one that waits.
    peer.host_send(1, vec![0; 20_000]);
    peer.host_send_with(1, "never mind", SendInfo::default().context(9));
    let now = peer.now;
    peer.association().discard_unsent(now, StreamId(1));
    peer.collect();
    let failed = Event::SendFailed {
        stream: StreamId(1),
        context: 9,
        sent: 0,
        data: "never mind".into(),
    };
    let events = peer.events();
    assert!(events.contains(&failed), "{events:?}");
    // The message begun is completed.
    let mut bytes = 0;
    let mut count = 0;
    while bytes < 20_000 {
        let chunks = sent(&mut peer);
        assert!(!chunks.is_empty());
        bytes += chunks.iter().map(|c| c.payload.len()).sum::<usize>();
        count += chunks.len();
        let sack = peer.sack(count as u32);
        peer.send(sack);
    }
    assert_eq!(bytes, 20_000);
    peer.expect_nothing();
}
