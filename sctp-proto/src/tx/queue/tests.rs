//! Admission, watermarks, fragments, numbering, expiry, reset.

use std::time::Duration;

use super::*;
use crate::ids::Ppid;

const FULL: usize = 1000;
const T0: Instant = Instant::from_nanos(1_000_000_000);

fn queue_with(buffer: usize, stream: usize) -> SendQueue {
    let mut config = AssociationConfig::default();
    config
        .send_buffer(buffer)
        .stream_send_buffer(stream)
        .outbound_streams(100);
    SendQueue::new(&config)
}

fn queue() -> SendQueue {
    queue_with(1 << 20, 1 << 20)
}

fn send(queue: &mut SendQueue, stream: u16, len: usize) -> Result<(), SendError> {
    let data = Bytes::from(vec![stream as u8; len]);
    queue.push(T0, StreamId(stream), data, SendInfo::default())
}

fn is_blocked(result: Result<(), SendError>) -> bool {
    matches!(result, Err(SendError::Blocked(_)))
}

/// Hands out everything in packets of their own.
fn send_all(queue: &mut SendQueue) -> Vec<Fragment> {
    std::iter::from_fn(|| queue.next_fragment(T0, FULL, FULL)).collect()
}

fn ack(queue: &mut SendQueue, fragment: &Fragment) -> bool {
    queue.acked(fragment.key, fragment.len)
}

fn writable(queue: &mut SendQueue) -> Vec<u16> {
    std::iter::from_fn(|| queue.poll_writable())
        .map(|id| id.0)
        .collect()
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let mut queue = queue_with(5000, 5000);
    assert_eq!(send(&mut queue, 0, 0), Err(SendError::Empty));
    let too_large = Err(SendError::TooLarge { max: 5000 });
    assert_eq!(send(&mut queue, 0, 5001), too_large);
    let unknown = Err(SendError::UnknownStream(StreamId(100)));
    assert_eq!(send(&mut queue, 100, 1), unknown);
    assert!(queue.is_empty() && !queue.has_unsent());
    assert_eq!(send(&mut queue, 99, 5000), Ok(()));
    assert_eq!((queue.buffered(), queue.unsent_bytes()), (5000, 5000));
}

#[test]
fn a_refused_message_comes_back() {
    let mut queue = queue_with(5000, 5000);
    send(&mut queue, 0, 3000).unwrap();
    let data = Bytes::from(vec![7; 3000]);
    let refused = queue.push(T0, StreamId(1), data.clone(), SendInfo::default());
    assert_eq!(refused, Err(SendError::Blocked(data)));
    assert_eq!(queue.buffered(), 3000);
}

#[test]
fn a_message_beyond_the_share_of_its_stream_needs_the_stream_empty() {
    let mut queue = queue_with(10_000, 1000);
    send(&mut queue, 0, 3000).unwrap();
    assert!(is_blocked(send(&mut queue, 0, 1)));
    assert_eq!(queue.stream_buffered(StreamId(0)), 3000);
    // Another stream does not mind.
    send(&mut queue, 1, 400).unwrap();
    assert!(is_blocked(send(&mut queue, 1, 3000)));
    let sent = send_all(&mut queue);
    for fragment in &sent {
        ack(&mut queue, fragment);
    }
    assert_eq!(writable(&mut queue), [0, 1]);
    assert_eq!(send(&mut queue, 1, 3000), Ok(()));
}

#[test]
fn writable_comes_at_half_and_once() {
    let mut queue = queue_with(100_000, 1000);
    for _ in 0..10 {
        send(&mut queue, 3, 100).unwrap();
    }
    assert!(is_blocked(send(&mut queue, 3, 100)));
    let sent = send_all(&mut queue);
    for fragment in &sent[..4] {
        assert!(ack(&mut queue, fragment));
    }
    assert_eq!(queue.poll_writable(), None);
    ack(&mut queue, &sent[4]);
    assert_eq!(writable(&mut queue), [3]);
    ack(&mut queue, &sent[5]);
    assert_eq!(queue.poll_writable(), None);
}

#[test]
fn a_full_buffer_serves_those_who_wait_before_late_comers() {
    let mut queue = queue_with(10_000, 10_000);
    for _ in 0..10 {
        send(&mut queue, 0, 1000).unwrap();
    }
    for stream in [5, 2, 9] {
        assert!(is_blocked(send(&mut queue, stream, 1000)));
    }
    let sent = send_all(&mut queue);
    for fragment in &sent[..4] {
        ack(&mut queue, fragment);
    }
    // There is room, but others wait for it.
    assert!(is_blocked(send(&mut queue, 7, 1000)));
    assert_eq!(queue.poll_writable(), None);
    ack(&mut queue, &sent[4]);
    assert_eq!(writable(&mut queue), [5, 2, 9, 7]);
    assert_eq!(send(&mut queue, 7, 1000), Ok(()));
}

#[test]
fn the_largest_message_waits_for_an_empty_buffer_and_is_then_taken() {
    let mut queue = queue_with(10_000, 10_000);
    send(&mut queue, 0, 1000).unwrap();
    send(&mut queue, 0, 1000).unwrap();
    assert!(is_blocked(send(&mut queue, 1, 10_000)));
    let sent = send_all(&mut queue);
    ack(&mut queue, &sent[0]);
    assert_eq!(queue.poll_writable(), None);
    ack(&mut queue, &sent[1]);
    assert_eq!(writable(&mut queue), [1]);
    assert_eq!(send(&mut queue, 1, 10_000), Ok(()));
}

#[test]
fn fragments_fill_packets_and_whole_messages_stay_whole() {
    // (unsent, begun, room, full) -> length
    let cases = [
        ((100, false, 100, 1000), Some(100)),
        ((100, false, 99, 1000), None),
        ((1000, false, 999, 1000), None),
        ((1001, false, 999, 1000), Some(996)),
        ((1001, false, 250, 1000), Some(248)),
        ((1001, false, 249, 1000), None),
        ((1001, false, 1000, 1000), Some(1000)),
        ((700, true, 600, 1000), Some(600)),
        ((700, true, 249, 1000), None),
        ((5, true, 5, 1000), Some(5)),
        ((5, true, 3, 3), None),
        ((200_000, false, 100_000, 100_000), Some(65_472)),
        ((66_000, false, 100_000, 100_000), Some(65_472)),
    ];
    for ((unsent, begun, room, full), expected) in cases {
        let got = fragment_len(unsent, !begun, room, full);
        assert_eq!(got, expected, "{unsent} {begun} {room} {full}");
    }
}

#[test]
fn fragments_cover_the_message() {
    let mut queue = queue();
    let data: Vec<u8> = (0..2500).map(|i| i as u8).collect();
    let info = SendInfo::new(Ppid(39)).context(4);
    queue
        .push(T0, StreamId(1), data.clone().into(), info)
        .unwrap();
    assert!(!queue.stream_idle(StreamId(1)));
    let fragments = send_all(&mut queue);
    let marks: Vec<_> = fragments.iter().map(|f| (f.fsn, f.begin, f.end)).collect();
    assert_eq!(
        marks,
        [(0, true, false), (1, false, false), (2, false, true)]
    );
    let sent: Vec<u8> = (fragments.iter())
        .flat_map(|f| queue.payload(f.key, f.offset, f.len).to_vec())
        .collect();
    assert_eq!(sent, data);
    assert_eq!(queue.message(fragments[0].key).ppid, Ppid(39));
    assert!(queue.stream_idle(StreamId(1)) && !queue.has_unsent());
    assert_eq!((queue.unsent_bytes(), queue.buffered()), (0, 2500));
    // Acknowledged in any order, it is gone with the last fragment.
    assert!(!ack(&mut queue, &fragments[2]));
    assert!(!ack(&mut queue, &fragments[0]));
    assert_eq!(queue.buffered(), 2500);
    assert!(ack(&mut queue, &fragments[1]));
    assert!(queue.is_empty());
}

fn sequence_numbers(interleaving: bool) -> Vec<(u16, u32)> {
    let mut queue = queue();
    queue.negotiated(100, interleaving);
    for unordered in [false, true, true, false, false] {
        for stream in [0, 1] {
            let info = SendInfo::default().unordered(unordered);
            queue
                .push(T0, StreamId(stream), Bytes::from_static(b"x"), info)
                .unwrap();
        }
    }
    (send_all(&mut queue).iter())
        .map(|f| queue.message(f.key))
        .filter(|message| message.stream.0 == 1)
        .map(|message| (u16::from(message.unordered), message.seq))
        .collect()
}

//= RFC 9260 §6.5, test
//# For unordered user messages, the Stream Sequence Number MUST...
#[test]
fn ordered_and_unordered_messages_are_numbered_apart() {
    assert_eq!(
        sequence_numbers(false),
        [(0, 0), (1, 0), (1, 0), (0, 1), (0, 2)]
    );
    assert_eq!(
        sequence_numbers(true),
        [(0, 0), (1, 0), (1, 1), (0, 1), (0, 2)]
    );
}

#[test]
fn ssns_wrap_and_mids_do_not() {
    for (interleaving, expected) in [(false, 0), (true, 65_536)] {
        let mut queue = queue();
        queue.negotiated(100, interleaving);
        let mut seq = None;
        for _ in 0..=65_536 {
            send(&mut queue, 0, 1).unwrap();
            let fragment = queue.next_fragment(T0, FULL, FULL).unwrap();
            seq = Some(queue.message(fragment.key).seq);
            ack(&mut queue, &fragment);
        }
        assert_eq!(seq, Some(expected));
    }
}

//= RFC 9260 §6.1, test
//# For each stream, the data sender MUST NOT have...
#[test]
fn no_two_messages_of_a_window_share_an_ssn() {
    let mut queue = queue();
    for _ in 0..65_537 {
        send(&mut queue, 0, 1).unwrap();
    }
    let sent = send_all(&mut queue);
    assert_eq!(sent.len(), 65_535);
    assert!(!queue.has_unsent());
    // Neither other streams nor unordered messages are held up by it.
    send(&mut queue, 1, 1).unwrap();
    assert_eq!(send_all(&mut queue).len(), 1);
    ack(&mut queue, &sent[0]);
    assert!(queue.has_unsent());
    let resumed = send_all(&mut queue);
    assert_eq!(resumed.len(), 1);
    assert_eq!(queue.message(resumed[0].key).seq, 65_535);
    ack(&mut queue, &sent[1]);
    let wrapped = send_all(&mut queue);
    assert_eq!(queue.message(wrapped[0].key).seq, 0);
}

#[test]
fn expired_messages_are_skipped_unless_begun() {
    let mut queue = queue();
    let limited = |context, ms| {
        SendInfo::default()
            .context(context)
            .reliability(Reliability::Lifetime(Duration::from_millis(ms)))
    };
    let data = Bytes::from(vec![0; 1500]);
    for (context, ms) in [(1, 5), (2, 5), (3, 20)] {
        queue
            .push(T0, StreamId(0), data.clone(), limited(context, ms))
            .unwrap();
    }
    assert!(queue.next_fragment(T0, FULL, FULL).unwrap().begin);
    let later = T0 + Duration::from_millis(5);
    assert!(queue.next_fragment(later, FULL, FULL).unwrap().end);
    let third = queue.next_fragment(later, FULL, FULL).unwrap();
    assert_eq!(queue.message(third.key).context, 3);
    // The second gave its number to the third.
    assert_eq!(queue.message(third.key).seq, 1);
    let failed = queue.poll_failed().unwrap();
    assert_eq!((failed.context, failed.sent, failed.data), (2, 0, data));
    assert_eq!(queue.poll_failed(), None);
    assert_eq!((queue.buffered(), queue.unsent_bytes()), (3000, 500));
}

#[test]
fn a_stream_being_reset_takes_nothing_and_empties_itself() {
    let mut queue = queue();
    let id = StreamId(4);
    send(&mut queue, 4, 10).unwrap();
    send(&mut queue, 4, 10).unwrap();
    queue.hold(id);
    assert_eq!(send(&mut queue, 4, 10), Err(SendError::StreamResetting(id)));
    assert!(!queue.stream_idle(id));
    let sent = send_all(&mut queue);
    assert!(queue.stream_idle(id));
    assert_eq!(queue.message(sent[1].key).seq, 1);
    for fragment in &sent {
        ack(&mut queue, fragment);
    }
    queue.reset_done(id, false);
    send(&mut queue, 4, 10).unwrap();
    let denied = queue.next_fragment(T0, FULL, FULL).unwrap();
    assert_eq!(queue.message(denied.key).seq, 2);
    ack(&mut queue, &denied);
    queue.reset_done(id, true);
    send(&mut queue, 4, 10).unwrap();
    let performed = queue.next_fragment(T0, FULL, FULL).unwrap();
    assert_eq!(queue.message(performed.key).seq, 0);
}

#[test]
fn discarding_keeps_the_message_in_progress() {
    let mut queue = queue();
    send(&mut queue, 0, 1500).unwrap();
    send(&mut queue, 0, 10).unwrap();
    send(&mut queue, 1, 10).unwrap();
    send(&mut queue, 0, 20).unwrap();
    assert!(queue.next_fragment(T0, FULL, FULL).unwrap().begin);
    queue.discard_unsent(StreamId(0));
    queue.discard_unsent(StreamId(1));
    queue.discard_unsent(StreamId(50));
    let failed: Vec<_> = std::iter::from_fn(|| queue.poll_failed())
        .map(|failed| (failed.stream.0, failed.sent, failed.data.len()))
        .collect();
    assert_eq!(failed, [(0, 0, 10), (0, 0, 20), (1, 0, 10)]);
    let rest = send_all(&mut queue);
    assert_eq!(rest.len(), 1);
    assert!(rest[0].end);
    assert_eq!(queue.buffered(), 1500);
    send(&mut queue, 0, 30).unwrap();
    assert_eq!(send_all(&mut queue).len(), 1);
}

#[test]
fn refused_streams_give_their_messages_back_in_order() {
    let mut queue = queue();
    for (stream, len) in [(9, 1), (0, 2), (5, 3), (9, 4)] {
        send(&mut queue, stream, len).unwrap();
    }
    let failed = queue.negotiated(5, true);
    let lens: Vec<_> = failed.iter().map(|failed| failed.data.len()).collect();
    assert_eq!(lens, [1, 3, 4]);
    assert_eq!(
        send(&mut queue, 5, 1),
        Err(SendError::UnknownStream(StreamId(5)))
    );
    assert_eq!(send_all(&mut queue).len(), 1);
    assert_eq!(queue.buffered(), 2);
}

#[test]
fn draining_gives_everything_back_and_begins_anew() {
    let mut queue = queue_with(4096, 4096);
    send(&mut queue, 3, 1500).unwrap();
    send(&mut queue, 1, 10).unwrap();
    queue.next_fragment(T0, FULL, FULL).unwrap();
    send(&mut queue, 2, 10).unwrap();
    assert!(is_blocked(send(&mut queue, 7, 4000)));
    queue.hold(StreamId(1));
    let failed = queue.drain_all();
    let failed: Vec<_> = failed.iter().map(|f| (f.stream.0, f.sent > 0)).collect();
    assert_eq!(failed, [(3, true), (1, false), (2, false)]);
    assert!(queue.is_empty() && !queue.has_unsent());
    assert_eq!((queue.buffered(), queue.unsent_bytes()), (0, 0));
    assert_eq!(writable(&mut queue), [7]);
    send(&mut queue, 1, 4000).unwrap();
    let first = queue.next_fragment(T0, FULL, FULL).unwrap();
    assert_eq!(queue.message(first.key).seq, 0);
}

#[test]
fn the_last_stream_costs_one_page() {
    let mut queue = {
        let mut config = AssociationConfig::default();
        config.outbound_streams(65_535);
        SendQueue::new(&config)
    };
    send(&mut queue, 65_534, 1).unwrap();
    send(&mut queue, 0, 1).unwrap();
    let ids: Vec<_> = queue.streams.iter_mut().map(|(id, _)| id.0).collect();
    assert_eq!(ids.len(), 16);
    assert!(ids.contains(&0) && ids.contains(&65_534));
}

//= RFC 9260 §6.1, test
//# The data sender MUST NOT use a TSN that is...
#[test]
fn the_send_window_never_spans_half_of_all_tsns() {
    assert_eq!(queue_with(usize::MAX, 1).buffer_limit, i32::MAX as usize);
    // Each TSN takes at least one byte of the buffer.
    let mut queue = queue_with(10, 10);
    for _ in 0..10 {
        send(&mut queue, 1, 1).unwrap();
    }
    assert!(is_blocked(send(&mut queue, 1, 1)));
    assert_eq!(send_all(&mut queue).len(), 10);
    assert!(is_blocked(send(&mut queue, 1, 1)));
}
