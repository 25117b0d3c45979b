//! The schedulers, seen through the queue.

mod custom;
mod properties;

use bytes::Bytes;

use crate::{
    config::{AssociationConfig, SchedulerKind},
    ids::StreamId,
    message::SendInfo,
    time::Instant,
    tx::SendQueue,
};

/// User data of a packet.
const FULL: usize = 100;
/// Bytes a chunk header takes of a packet.
const HEADER: usize = 16;

fn queue(kind: SchedulerKind, interleaving: bool) -> SendQueue {
    let mut config = AssociationConfig::default();
    config.scheduler(kind).send_buffer(1 << 24);
    config.stream_send_buffer(1 << 24);
    let mut queue = SendQueue::new(&config);
    queue.negotiated(1024, interleaving);
    queue
}

fn send(queue: &mut SendQueue, stream: u16, len: usize) {
    let data = Bytes::from(vec![0; len]);
    queue
        .push(Instant::EPOCH, StreamId(stream), data, SendInfo::default())
        .unwrap();
}

/// Fills one packet: (stream, bytes) of each chunk.
fn packet(queue: &mut SendQueue) -> Vec<(u16, u16)> {
    let mut room = FULL;
    let mut chunks = Vec::new();
    while let Some(fragment) = queue.next_fragment(Instant::EPOCH, room, FULL) {
        let stream = queue.message(fragment.key).stream.0;
        chunks.push((stream, fragment.len));
        let used = usize::from(fragment.len).next_multiple_of(4) + HEADER;
        match room.checked_sub(used) {
            Some(left) if left > 0 => room = left,
            _ => break,
        }
    }
    chunks
}

/// The streams of the chunks of `count` packets.
fn streams(queue: &mut SendQueue, count: usize) -> Vec<u16> {
    let chunks = (0..count).flat_map(|_| packet(queue));
    chunks.map(|(stream, _)| stream).collect()
}

/// Bytes per stream in `count` packets, for streams 0, 1 and 2.
fn shares(queue: &mut SendQueue, count: usize) -> [usize; 3] {
    let mut bytes = [0; 3];
    for (stream, len) in (0..count).flat_map(|_| packet(queue)) {
        bytes[usize::from(stream)] += usize::from(len);
    }
    bytes
}

#[test]
fn first_come_first_served() {
    for interleaving in [false, true] {
        let mut queue = queue(SchedulerKind::FirstComeFirstServed, interleaving);
        for (stream, len) in [(5, 250), (1, 90), (5, 90), (0, 90), (1, 90)] {
            send(&mut queue, stream, len);
        }
        assert_eq!(streams(&mut queue, 2), [5, 5]);
        send(&mut queue, 0, 90);
        assert_eq!(streams(&mut queue, 6), [5, 1, 5, 0, 1, 0]);
        assert!(!queue.has_unsent());
    }
}

#[test]
fn round_robin_takes_turns_by_message_or_by_chunk() {
    for (interleaving, expected) in [
        (false, [0, 0, 0, 1, 2, 0, 0, 0, 1, 2]),
        (true, [0, 1, 2, 0, 1, 2, 0, 0, 0, 0]),
    ] {
        let mut queue = queue(SchedulerKind::RoundRobin, interleaving);
        for _ in 0..2 {
            send(&mut queue, 0, 300);
            send(&mut queue, 1, 90);
            send(&mut queue, 2, 90);
        }
        assert_eq!(streams(&mut queue, 10), expected);
        assert!(!queue.has_unsent());
    }
}

#[test]
fn turns_by_message_are_not_interrupted_by_i_data() {
    for interleaving in [false, true] {
        let mut queue = queue(SchedulerKind::RoundRobinPerMessage, interleaving);
        for stream in 0..2 {
            send(&mut queue, stream, 250);
            send(&mut queue, stream, 250);
        }
        let mut order = streams(&mut queue, 20);
        order.dedup();
        assert_eq!(order, [0, 1, 0, 1]);
    }
}

#[test]
fn a_message_that_does_not_fit_the_packet_keeps_its_turn() {
    let mut queue = queue(SchedulerKind::RoundRobin, false);
    send(&mut queue, 0, 60);
    send(&mut queue, 1, 60);
    send(&mut queue, 2, 8);
    assert_eq!(packet(&mut queue), [(0, 60)]);
    assert_eq!(packet(&mut queue), [(1, 60), (2, 8)]);
}

#[test]
fn round_robin_per_packet_keeps_streams_apart() {
    let mut queue = queue(SchedulerKind::RoundRobinPerPacket, false);
    for _ in 0..4 {
        send(&mut queue, 0, 24);
        send(&mut queue, 1, 24);
    }
    send(&mut queue, 2, 24);
    assert_eq!(packet(&mut queue), [(0, 24), (0, 24)]);
    assert_eq!(packet(&mut queue), [(1, 24), (1, 24)]);
    assert_eq!(packet(&mut queue), [(2, 24)]);
    assert_eq!(packet(&mut queue), [(0, 24), (0, 24)]);
    assert_eq!(packet(&mut queue), [(1, 24), (1, 24)]);
    assert!(!queue.has_unsent());
}

#[test]
fn round_robin_per_packet_chained_the_messages_of_one_stream() {
    // Each began in the packet in which the one before it ended, and could not be interrupted.
    let mut queue = queue(SchedulerKind::RoundRobinPerPacket, false);
    for _ in 0..10 {
        send(&mut queue, 0, 250);
    }
    assert_eq!(packet(&mut queue), [(0, 100)]);
    send(&mut queue, 1, 50);
    let mut served = streams(&mut queue, 4);
    served.dedup();
    assert_eq!(served, [0, 1, 0]);
}

/// However little room the next packet has, for what is bundled with it.
#[test]
fn getting_nothing_closes_the_packet() {
    let mut queue = queue(SchedulerKind::RoundRobinPerPacket, false);
    send(&mut queue, 0, 60);
    send(&mut queue, 1, 20);
    let mut next = |room| queue.next_fragment(Instant::EPOCH, room, FULL);
    assert_eq!(next(90).map(|fragment| fragment.len), Some(60));
    assert_eq!(next(24), None);
    assert_eq!(next(24).map(|fragment| fragment.len), Some(20));
}

#[test]
fn round_robin_per_packet_interrupts_messages_with_i_data_only() {
    for (interleaving, expected) in [(false, [0, 0, 0, 1, 1]), (true, [0, 1, 0, 1, 0])] {
        let mut queue = queue(SchedulerKind::RoundRobinPerPacket, interleaving);
        send(&mut queue, 0, 300);
        send(&mut queue, 1, 200);
        assert_eq!(streams(&mut queue, 5), expected);
    }
}

#[test]
fn smaller_priorities_go_first_and_equals_take_turns() {
    for (interleaving, expected) in [
        (false, [0, 0, 0, 9, 2, 3, 2, 3]),
        (true, [0, 9, 2, 3, 2, 3, 0, 0]),
    ] {
        let mut queue = queue(SchedulerKind::Priority, interleaving);
        queue.set_priority(StreamId(9), 1);
        queue.set_priority(StreamId(2), 2);
        queue.set_priority(StreamId(3), 2);
        send(&mut queue, 0, 300);
        assert_eq!(streams(&mut queue, 1), [0]);
        for stream in [2, 3, 2, 3, 9] {
            send(&mut queue, stream, 90);
        }
        assert_eq!(streams(&mut queue, 7), expected[1..]);
    }
}

#[test]
fn a_new_priority_counts_at_once() {
    let mut queue = queue(SchedulerKind::Priority, true);
    queue.set_priority(StreamId(0), 1);
    for stream in [0, 1, 2] {
        send(&mut queue, stream, 300);
    }
    assert_eq!(streams(&mut queue, 1), [0]);
    queue.set_priority(StreamId(2), 0);
    assert_eq!(streams(&mut queue, 1), [2]);
    queue.set_priority(StreamId(2), 9);
    assert_eq!(streams(&mut queue, 3), [0, 0, 2]);
}

#[test]
fn fair_bandwidth_shares_bytes_whatever_the_message_sizes() {
    for interleaving in [false, true] {
        let mut queue = queue(SchedulerKind::FairBandwidth, interleaving);
        queue.set_priority(StreamId(2), 1);
        for _ in 0..1000 {
            send(&mut queue, 0, 100);
            send(&mut queue, 1, 20);
            send(&mut queue, 1, 20);
        }
        for _ in 0..100 {
            send(&mut queue, 2, 1000);
        }
        let bytes = shares(&mut queue, 600);
        let most = bytes.iter().max().unwrap();
        let least = bytes.iter().min().unwrap();
        assert!(most - least <= 1000, "{bytes:?}");
        if interleaving {
            assert!(most - least <= FULL, "{bytes:?}");
        }
    }
}

#[test]
fn weights_share_bytes_in_proportion() {
    for interleaving in [false, true] {
        let mut queue = queue(SchedulerKind::WeightedFairQueueing, interleaving);
        for (stream, weight) in [(0, 1), (1, 2), (2, 4)] {
            queue.set_priority(StreamId(stream), weight);
            for _ in 0..4000 {
                send(&mut queue, stream, 100);
            }
        }
        let [one, two, four] = shares(&mut queue, 700);
        assert!(two.abs_diff(2 * one) <= 400, "{one} {two}");
        assert!(four.abs_diff(4 * one) <= 400, "{one} {four}");
    }
}

#[test]
fn a_weight_of_zero_counts_as_one() {
    let mut queue = queue(SchedulerKind::WeightedFairQueueing, true);
    for stream in [0, 1] {
        queue.set_priority(StreamId(stream), stream);
        send(&mut queue, stream, 1000);
    }
    assert_eq!(shares(&mut queue, 10), [500, 500, 0]);
}

/// A stream that paused neither saves up credit nor is held back for what it had before.
#[test]
fn pauses_are_not_credited() {
    let mut queue = queue(SchedulerKind::FairBandwidth, true);
    send(&mut queue, 0, 100_000);
    shares(&mut queue, 500);
    send(&mut queue, 1, 10_000);
    let bytes = shares(&mut queue, 100);
    assert!(bytes[0].abs_diff(bytes[1]) <= FULL, "{bytes:?}");
}

/// The clock went on with each fragment, by the weight of the stream it was of.
#[test]
fn a_long_message_of_a_light_stream_put_newcomers_behind_the_heavy() {
    let mut queue = queue(SchedulerKind::WeightedFairQueueing, false);
    queue.set_priority(StreamId(0), 1);
    queue.set_priority(StreamId(1), 5);
    queue.set_priority(StreamId(2), 5);
    send(&mut queue, 0, 1000);
    assert_eq!(streams(&mut queue, 1), [0]);
    for _ in 0..10 {
        send(&mut queue, 1, 100);
    }
    assert_eq!(streams(&mut queue, 10), [[0; 9].as_slice(), &[1]].concat());
    send(&mut queue, 2, 100);
    assert!(streams(&mut queue, 2).contains(&2));
}

/// No stream waits for more than one turn of each other one, for all kinds that promise it.
#[test]
fn nobody_starves() {
    for kind in [
        SchedulerKind::RoundRobin,
        SchedulerKind::RoundRobinPerPacket,
        SchedulerKind::FairBandwidth,
        SchedulerKind::WeightedFairQueueing,
    ] {
        let mut queue = queue(kind, true);
        send(&mut queue, 0, 1_000_000);
        streams(&mut queue, 100);
        for stream in 1..50 {
            send(&mut queue, stream, 90);
        }
        let mut served = streams(&mut queue, 51);
        served.sort_unstable();
        served.dedup();
        assert_eq!(served.len(), 50, "{kind:?}");
    }
}
