mod hostile;
mod model;
mod skip;

use super::*;
use crate::time::Instant;
use std::time::Duration;

/// A chunk of stream 0 with this TSN, unfragmented until told otherwise.
fn chunk(tsn: u32) -> RxChunk {
    RxChunk {
        tsn: Tsn::new(tsn),
        stream: StreamId(0),
        unordered: false,
        begin: true,
        end: true,
        seq: 0,
        fsn: 0,
        ppid: Ppid(7),
        payload: Bytes::from(format!("<{tsn}>")),
        buffer: 0,
        cumulative: true,
    }
}

/// What the tests vary.
impl RxChunk {
    fn stream(self, id: u16) -> Self {
        Self {
            stream: StreamId(id),
            ..self
        }
    }
    fn seq(self, seq: u32) -> Self {
        Self { seq, ..self }
    }
    /// First fragment.
    fn b(self) -> Self {
        Self { end: false, ..self }
    }
    /// Middle fragment.
    fn m(self, fsn: u32) -> Self {
        Self {
            begin: false,
            end: false,
            fsn,
            ppid: Ppid(0),
            ..self
        }
    }
    /// Last fragment.
    fn e(self, fsn: u32) -> Self {
        Self {
            begin: false,
            end: true,
            fsn,
            ppid: Ppid(0),
            ..self
        }
    }
    fn unordered(self) -> Self {
        Self {
            unordered: true,
            ..self
        }
    }
    /// Beyond the cumulative TSN.
    fn above(self) -> Self {
        Self {
            cumulative: false,
            ..self
        }
    }
    fn len(self, len: usize) -> Self {
        Self {
            payload: Bytes::from(vec![b'x'; len]),
            ..self
        }
    }
}

fn reassembly(interleaving: bool) -> Reassembly {
    Reassembly::new(&AssociationConfig::default(), 10, interleaving)
}

/// With a receive window of this size.
fn small(window: u32, interleaving: bool) -> Reassembly {
    let mut config = AssociationConfig::default();
    config.receive_window(window).path_mtu(576);
    Reassembly::new(&config, 10, interleaving)
}

fn violation(result: Result<(), RxError>) -> bool {
    matches!(result, Err(RxError::Violation(_)))
}

fn text(message: Option<Message>) -> String {
    let bytes = message.expect("a message").data.into_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn a_message_in_one_chunk() {
    let mut rx = reassembly(false);
    rx.insert(chunk(1).stream(3)).unwrap();
    assert_eq!(rx.poll_readable(), Some(StreamId(3)));
    assert_eq!(rx.poll_readable(), None);
    let message = rx.recv(StreamId(3)).unwrap();
    assert_eq!(
        (message.ppid, message.tsn, message.complete),
        (Ppid(7), Tsn::new(1), true)
    );
    assert_eq!(text(Some(message)), "<1>");
    assert_eq!(rx.recv(StreamId(3)), None);
    assert_eq!(rx.held(), 0);
}

#[test]
fn order_is_per_stream() {
    let mut rx = reassembly(false);
    rx.insert(chunk(2).seq(1).above()).unwrap();
    rx.insert(chunk(3).stream(1).above()).unwrap();
    assert_eq!(rx.poll_readable(), Some(StreamId(1)));
    assert_eq!(rx.recv(StreamId(0)), None);
    rx.insert(chunk(1)).unwrap();
    rx.on_cumulative(Tsn::new(3));
    assert_eq!(rx.poll_readable(), Some(StreamId(0)));
    assert_eq!(text(rx.recv(StreamId(0))), "<1>");
    assert_eq!(text(rx.recv(StreamId(0))), "<2>");
}

#[test]
fn fragments_in_any_order() {
    for interleaving in [false, true] {
        for order in [
            [0, 1, 2],
            [2, 1, 0],
            [1, 0, 2],
            [0, 2, 1],
            [2, 0, 1],
            [1, 2, 0],
        ] {
            for unordered in [false, true] {
                let mut rx = reassembly(interleaving);
                for n in order {
                    let fragment = chunk(u32::MAX.wrapping_add(n)).above();
                    let fragment = RxChunk {
                        unordered,
                        ..match n {
                            0 => fragment.b(),
                            1 => fragment.m(1),
                            _ => fragment.e(2),
                        }
                    };
                    rx.insert(fragment).unwrap();
                }
                let message = rx.recv(StreamId(0)).unwrap();
                assert_eq!((message.ppid, message.unordered), (Ppid(7), unordered));
                assert_eq!(text(Some(message)), "<4294967295><0><1>");
                assert_eq!(rx.held(), 0);
            }
        }
    }
}

#[test]
fn sequence_numbers_wrap() {
    for (interleaving, last) in [(false, 0xFFFF), (true, u32::MAX)] {
        let mut rx = reassembly(interleaving);
        rx.streams.entry(StreamId(0)).or_default().next = last;
        rx.insert(chunk(3).seq(1).above()).unwrap();
        rx.insert(chunk(2).seq(0).above()).unwrap();
        assert_eq!(rx.recv(StreamId(0)), None);
        rx.insert(chunk(1).seq(last)).unwrap();
        for n in 1..=3 {
            assert_eq!(text(rx.recv(StreamId(0))), format!("<{n}>"));
        }
    }
}

#[test]
fn unordered_overtakes_ordered() {
    for interleaving in [false, true] {
        let mut rx = reassembly(interleaving);
        // With DATA, adjacent TSNs of two messages must not be joined.
        rx.insert(chunk(10).seq(1).above().b()).unwrap();
        rx.insert(chunk(11).seq(1).above().e(1)).unwrap();
        rx.insert(chunk(12).above().unordered().b()).unwrap();
        rx.insert(chunk(14).seq(1).above().unordered().b()).unwrap();
        rx.insert(chunk(15).seq(1).above().unordered().e(1))
            .unwrap();
        rx.insert(chunk(13).above().unordered().e(1)).unwrap();
        assert_eq!(text(rx.recv(StreamId(0))), "<14><15>");
        assert_eq!(text(rx.recv(StreamId(0))), "<12><13>");
        assert_eq!(rx.recv(StreamId(0)), None);
        rx.insert(chunk(9).above()).unwrap();
        assert_eq!(text(rx.recv(StreamId(0))), "<9>");
        assert_eq!(text(rx.recv(StreamId(0))), "<10><11>");
    }
}

#[test]
fn contradictions_are_violations() {
    let cases: Vec<(&str, bool, Vec<RxChunk>, RxChunk)> = vec![
        (
            "two firsts in a row",
            false,
            vec![chunk(5).b()],
            chunk(6).b(),
        ),
        (
            "first before a middle",
            false,
            vec![chunk(6).m(0)],
            chunk(5),
        ),
        (
            "middle after an end",
            false,
            vec![chunk(5).e(0)],
            chunk(6).m(0),
        ),
        (
            "end before a middle",
            false,
            vec![chunk(6).m(0)],
            chunk(5).e(0),
        ),
        (
            "no first after a whole",
            false,
            vec![chunk(6).e(0)],
            chunk(5),
        ),
        (
            "middle before a first",
            false,
            vec![chunk(6).b()],
            chunk(5).m(0),
        ),
        (
            "another SSN amid",
            false,
            vec![chunk(5).b()],
            chunk(6).seq(1).e(0),
        ),
        (
            "another SSN amid, from behind",
            false,
            vec![chunk(6).e(0)],
            chunk(5).seq(1).b(),
        ),
        (
            "U bit changes",
            false,
            vec![chunk(5).b()],
            chunk(6).unordered().e(0),
        ),
        ("one SSN twice", false, vec![chunk(5).b()], chunk(8).b()),
        (
            "one later SSN twice",
            false,
            vec![chunk(5).seq(3).b()],
            chunk(8).seq(3),
        ),
        ("FSN twice", true, vec![chunk(5).m(3)], chunk(6).m(3)),
        ("first twice", true, vec![chunk(5).b()], chunk(6).b()),
        ("first and whole", true, vec![chunk(5).b()], chunk(6)),
        ("two ends", true, vec![chunk(5).e(4)], chunk(6).e(7)),
        ("beyond the end", true, vec![chunk(5).e(4)], chunk(6).m(7)),
        ("end within", true, vec![chunk(5).m(7)], chunk(6).e(4)),
        ("FSN 0 without B", true, vec![], chunk(6).m(0)),
        ("whole one with more", true, vec![chunk(5).m(2)], chunk(6)),
        ("MID of the past", true, vec![chunk(5)], chunk(6)),
        ("MID far in the past", true, vec![], chunk(6).seq(u32::MAX)),
    ];
    for (what, interleaving, before, last) in cases {
        let mut rx = reassembly(interleaving);
        for chunk in before {
            rx.insert(chunk).unwrap();
        }
        let held = rx.held();
        assert!(violation(rx.insert(last)), "{what}");
        assert_eq!(rx.held(), held, "{what}");
    }
}

#[test]
fn an_invalid_stream_is_ignored() {
    let mut rx = reassembly(false);
    assert!(rx.is_valid(StreamId(9)) && !rx.is_valid(StreamId(10)));
    rx.insert(chunk(1).stream(10)).unwrap();
    rx.stop(StreamId(10));
    assert_eq!((rx.held(), rx.streams.len()), (0, 0));
}

#[test]
fn a_message_larger_than_the_window_comes_in_parts() {
    for interleaving in [false, true] {
        for unordered in [false, true] {
            let mut rx = small(10_000, interleaving);
            let (mut parts, mut bytes) = (0, 0);
            for n in 0..100 {
                let fragment = match n {
                    0 => chunk(1).b(),
                    99 => chunk(100).e(99),
                    n => chunk(n + 1).m(n),
                };
                rx.insert(RxChunk {
                    unordered,
                    ..fragment.len(500)
                })
                .unwrap();
                while rx.poll_readable().is_some() {
                    while let Some(part) = rx.recv(StreamId(0)) {
                        assert_eq!((part.ppid, part.unordered), (Ppid(7), unordered));
                        assert_eq!(part.complete, n == 99);
                        (parts, bytes) = (parts + 1, bytes + part.data.len());
                    }
                }
            }
            assert_eq!(bytes, 50_000);
            assert!(parts > 5, "{parts}");
            // The next one is whole again.
            rx.insert(chunk(101).seq(u32::from(!unordered))).unwrap();
            assert_eq!(text(rx.recv(StreamId(0))), "<101>");
        }
    }
}

#[test]
fn only_what_cannot_be_reneged_is_delivered_in_part() {
    let mut rx = small(10_000, true);
    rx.insert(chunk(1).b().len(1000)).unwrap();
    for n in 3..10 {
        rx.insert(chunk(n).m(n - 2).above().len(1000)).unwrap();
    }
    assert_eq!(rx.poll_readable(), Some(StreamId(0)), "the window is short");
    assert_eq!(rx.recv(StreamId(0)).unwrap().tsn, Tsn::new(1));
    assert_eq!(rx.recv(StreamId(0)), None);
    // TSN 2 is of another stream: once it is here, the cumulative TSN covers the rest.
    rx.insert(chunk(2).stream(1)).unwrap();
    rx.on_cumulative(Tsn::new(9));
    assert_eq!(rx.recv(StreamId(0)).unwrap().data.len(), 7000);
}

#[test]
fn large_messages_on_many_streams_do_not_block_each_other() {
    let mut rx = small(10_000, true);
    let mut tsn = 0;
    for fsn in 0..20 {
        for id in 0..8 {
            tsn += 1;
            let fragment = if fsn == 0 {
                chunk(tsn).b()
            } else {
                chunk(tsn).m(fsn)
            };
            while rx.insert(fragment_copy(&fragment, id)).is_err() {
                let part = rx.recv_any().expect("something can be read in part");
                assert!(!part.complete);
            }
        }
    }
}

fn fragment_copy(chunk: &RxChunk, id: u16) -> RxChunk {
    RxChunk {
        payload: chunk.payload.clone(),
        ..*chunk
    }
    .stream(id)
    .len(700)
}

/// Seen in the model test: a message that became complete while another of its stream was being
/// delivered in parts was readable only after it, and could not be reneged for its next fragment.
#[test]
fn a_message_behind_a_partial_one_can_be_reneged() {
    let mut rx = small(4096, true);
    rx.insert(chunk(1).b().len(1500)).unwrap();
    rx.insert(chunk(2).m(1).len(1500)).unwrap();
    assert!(!rx.recv(StreamId(0)).unwrap().complete);
    rx.insert(chunk(4).above().unordered().b().len(1500))
        .unwrap();
    rx.insert(chunk(5).above().unordered().e(1).len(1500))
        .unwrap();
    assert_eq!(
        rx.recv(StreamId(0)),
        None,
        "its stream is amid another message"
    );
    assert_eq!(rx.insert(chunk(3).e(2).len(1500)), Err(RxError::NoRoom));
    assert_eq!(rx.renege(Tsn::new(2), Tsn::new(3)), Some(Tsn::new(5)));
    rx.insert(chunk(3).e(2).len(1500)).unwrap();
    assert!(rx.recv(StreamId(0)).unwrap().complete);
    rx.insert(chunk(5).above().unordered().e(1).len(1500))
        .unwrap();
    assert_eq!(rx.recv(StreamId(0)).unwrap().data.len(), 3000);
}

#[test]
fn messages_complete_behind_a_partial_one_follow_it() {
    let mut rx = small(4096, true);
    rx.insert(chunk(1).unordered().b().len(3000)).unwrap();
    assert!(!rx.recv(StreamId(0)).unwrap().complete);
    rx.insert(chunk(3).above()).unwrap();
    rx.insert(chunk(4).seq(1).above()).unwrap();
    rx.insert(chunk(5).seq(9).unordered().above()).unwrap();
    assert_eq!(rx.recv(StreamId(0)), None);
    rx.insert(chunk(2).unordered().e(1)).unwrap();
    for expected in ["<2>", "<3>", "<4>", "<5>"] {
        assert_eq!(text(rx.recv(StreamId(0))), expected);
    }
}

#[test]
fn reneging_gives_up_the_highest_first() {
    for interleaving in [false, true] {
        let mut rx = small(10_000, interleaving);
        let first = u32::MAX - 3;
        // Missing: the first. Three fragments of it, and a whole message that waits for it.
        for (n, fragment) in [(2, 2), (1, 1), (3, 3)] {
            rx.insert(chunk(first.wrapping_add(n)).m(fragment).above())
                .unwrap();
        }
        rx.insert(chunk(first.wrapping_add(7)).seq(1).above())
            .unwrap();
        let cumulative = Tsn::new(first - 1);
        assert_eq!(
            rx.renege(cumulative, cumulative.plus(8)),
            None,
            "nothing is higher"
        );
        for n in [7, 3, 2, 1] {
            let given_up = rx.renege(cumulative, cumulative.next());
            assert_eq!(given_up, Some(Tsn::new(first.wrapping_add(n))));
        }
        assert_eq!(rx.renege(cumulative, cumulative.next()), None);
        assert_eq!(rx.held(), 0);
        // All of it comes again.
        rx.insert(chunk(first.wrapping_add(7)).seq(1).above())
            .unwrap();
        rx.insert(chunk(first).b()).unwrap();
        rx.insert(chunk(first.wrapping_add(1)).e(1)).unwrap();
        assert!(rx.recv(StreamId(0)).is_some());
        assert_eq!(text(rx.recv(StreamId(0))), "<3>");
    }
}

#[test]
fn what_can_be_read_is_not_reneged() {
    let mut rx = reassembly(false);
    rx.insert(chunk(5).stream(1).above()).unwrap();
    assert_eq!(rx.renege(Tsn::new(0), Tsn::new(1)), None);
    assert!(rx.recv(StreamId(1)).is_some());
}

#[test]
fn any_stream_in_turn() {
    let mut rx = reassembly(false);
    for n in 0..4 {
        rx.insert(chunk(n + 1).seq(n)).unwrap();
    }
    rx.insert(chunk(5).stream(1)).unwrap();
    rx.insert(chunk(6).stream(2)).unwrap();
    // Read by name: its turn is void.
    assert_eq!(text(rx.recv(StreamId(1))), "<5>");
    for expected in ["<1>", "<6>", "<2>", "<3>", "<4>"] {
        assert_eq!(text(rx.recv_any()), expected);
    }
    assert_eq!(rx.recv_any(), None);
    while rx.poll_readable().is_some() {}
    rx.insert(chunk(7).seq(4)).unwrap();
    assert_eq!(rx.poll_readable(), Some(StreamId(0)), "told anew");
}

#[test]
fn a_tiny_fragment_flood_is_bounded() {
    // One byte each, from the last to the first, every other one missing.
    let mut rx = reassembly(true);
    let mut taken = 0;
    for n in (1..20_000).rev() {
        match rx.insert(chunk(n).m(2 * n).above().len(1)) {
            Ok(()) => taken += 1,
            Err(refusal) => assert_eq!(refusal, RxError::NoRoom),
        }
    }
    let window = AssociationConfig::default().receive_window as usize;
    assert!(rx.held() <= window);
    assert!(taken * cost(1) == rx.held() && taken > 1000);
    assert_eq!(rx.advertise(), 0);
}

#[test]
fn the_advertised_window_has_room_for_the_overhead() {
    for size in [20, 100, 1200] {
        let mut rx = reassembly(false);
        let mut tsn = 0;
        // A sender that knows payload only and uses all that it is told, in bursts.
        while rx.advertise() as usize >= size {
            let burst = (rx.advertise() as usize).min(20_000) / size;
            for _ in 0..burst {
                rx.insert(chunk(tsn + 1).seq(tsn & 0xFFFF).len(size))
                    .expect("room");
                tsn += 1;
            }
        }
        assert!(rx.held() > rx.window - 4 * rx.packet);
    }
}

//= RFC 9260 §6.2, test
//# The receiver MUST also have an algorithm for advertising its...
#[test]
fn the_window_opens_by_enough_or_not_at_all() {
    let mut rx = small(20_000, false);
    let full = rx.advertise();
    assert!(full > 15_000 && full < 20_000);
    // What was promised is taken to the last byte, and the window closes.
    let (mut tsn, mut last) = (0, full);
    while last > 0 {
        let size = last.min(500);
        tsn += 1;
        rx.insert(chunk(tsn).seq(tsn - 1).len(size as usize))
            .expect("promised");
        let left = rx.advertise();
        assert!(left <= last - size, "{last} less {size} is {left}");
        last = left;
    }
    assert!(rx.is_closed() && !rx.window_update_due());
    let mut read = 0;
    while !rx.window_update_due() {
        assert!(rx.is_closed());
        assert!(rx.recv(StreamId(0)).is_some());
        read += 1;
    }
    assert!((1..=5).contains(&read), "two packets' worth: {read}");
    assert!(rx.advertise() as usize >= rx.packet);
    assert!(!rx.is_closed() && !rx.window_update_due());
    while rx.recv(StreamId(0)).is_some() {}
    assert!(rx.window_update_due());
    rx.advertise();
    assert!(!rx.window_update_due());
}

//= RFC 9260 §6.2, test
//# In addition, the endpoint SHOULD take into account the dropped...
#[test]
fn what_is_given_up_counts_no_more() {
    let mut rx = small(20_000, true);
    for tsn in 2..=13 {
        rx.insert(chunk(tsn).above().m(tsn).len(1000)).unwrap();
    }
    let before = rx.advertise();
    for _ in 0..8 {
        assert!(rx.renege(Tsn::new(0), Tsn::new(1)).is_some());
    }
    let after = rx.advertise();
    assert!(after >= before + 7000, "{before} before, {after} after");
}

//= RFC 9260 §6.2, test
//# The receiver MUST avoid sending a large number of window...
#[test]
fn window_updates_are_few_whatever_the_size_of_chunks() {
    for size in [1, 20, 1200] {
        let (mut rx, mut tsn) = (reassembly(false), 0);
        while rx.advertise() as usize >= size {
            tsn += 1;
            rx.insert(chunk(tsn).seq(tsn - 1).len(size)).unwrap();
        }
        let mut updates = 0;
        while rx.recv(StreamId(0)).is_some() {
            if rx.window_update_due() {
                rx.advertise();
                updates += 1;
            }
        }
        assert!((4..=5).contains(&updates), "{updates}");
    }
}

#[test]
fn one_chunk_fits_an_empty_window_whatever_its_size() {
    let mut rx = small(4096, false);
    rx.insert(chunk(1).len(9000)).unwrap();
    assert_eq!(rx.advertise(), 0);
    assert_eq!(rx.insert(chunk(2).seq(1).len(1)), Err(RxError::NoRoom));
    assert_eq!(rx.recv(StreamId(0)).unwrap().data.len(), 9000);
    rx.insert(chunk(2).seq(1).len(1)).unwrap();
}

#[test]
fn small_payloads_do_not_pin_large_buffers() {
    let datagram = Bytes::from(vec![b'x'; 1000]);
    let mut rx = reassembly(false);
    for (n, range) in [(0, 0..100), (1, 100..200), (2, 200..900)] {
        let payload = datagram.slice(range);
        rx.insert(RxChunk {
            payload,
            buffer: 1000,
            ..chunk(n + 1).seq(n)
        })
        .unwrap();
    }
    // Read within the batch: not copied.
    let first = rx.recv(StreamId(0)).unwrap().data.into_bytes();
    assert_eq!(first.as_ptr(), datagram.as_ptr());
    rx.compact();
    let second = rx.recv(StreamId(0)).unwrap().data.into_bytes();
    assert_ne!(second.as_ptr(), datagram[100..].as_ptr());
    assert_eq!(second, datagram.slice(100..200));
    let third = rx.recv(StreamId(0)).unwrap().data.into_bytes();
    assert_eq!(
        third.as_ptr(),
        datagram[200..].as_ptr(),
        "most of the buffer"
    );
}

const SECOND: Duration = Duration::from_secs(1);

/// Fills a stream with whole messages of 1000 bytes until it holds this much.
fn fill(rx: &mut Reassembly, tsn: &mut u32, id: u16, bytes: usize) {
    let seq = |rx: &Reassembly| {
        rx.streams
            .get(&StreamId(id))
            .map_or(0, |stream| stream.next)
    };
    let held = |rx: &Reassembly| {
        rx.streams
            .get(&StreamId(id))
            .map_or(0, |stream| stream.bytes)
    };
    while held(rx) < bytes {
        *tsn += 1;
        rx.insert(chunk(*tsn).stream(id).seq(seq(rx)).len(1000))
            .expect("room");
    }
}

#[test]
fn an_unread_stream_is_told_then_discarded() {
    let (mut rx, mut tsn, start) = (reassembly(false), 0, Instant::EPOCH);
    fill(&mut rx, &mut tsn, 1, 300_000);
    assert_eq!(
        rx.poll_stalled(start),
        None,
        "less than half of the window is in use"
    );
    fill(&mut rx, &mut tsn, 2, 100_000);
    fill(&mut rx, &mut tsn, 3, 200_000);
    let mut stalled = [rx.poll_stalled(start), rx.poll_stalled(start)].map(Option::unwrap);
    stalled.sort();
    assert_eq!(stalled, [StreamId(1), StreamId(3)]);
    assert_eq!(rx.poll_stalled(start + SECOND), None, "once per stall");
    assert_eq!(rx.stall_deadline(), Some(start + 10 * SECOND));

    // Stream 3 is read a little: its clock begins anew.
    assert!(rx.recv(StreamId(3)).is_some());
    assert_eq!(rx.poll_stalled(start + 5 * SECOND), None);
    let held = rx.held();
    let (id, freed) = rx.discard_stalled(start + 10 * SECOND).unwrap();
    assert_eq!((id, freed), (StreamId(1), held - rx.held()));
    assert!(freed >= 300_000 && rx.is_discarding(StreamId(1)));
    assert_eq!(rx.recv(StreamId(1)), None);
    assert_eq!(
        rx.discard_stalled(start + 100 * SECOND),
        None,
        "the window is not in use"
    );
    assert_eq!(rx.stall_deadline(), None);

    // What comes is taken and thrown away, until the peer resets the stream.
    let held = rx.held();
    rx.insert(chunk(tsn + 1).stream(1).seq(77)).unwrap();
    assert_eq!(rx.held(), held);
    rx.reset(Some(&[StreamId(1)]));
    rx.insert(chunk(tsn + 2).stream(1)).unwrap();
    assert!(rx.recv(StreamId(1)).is_some());
}

#[test]
fn a_window_full_of_small_shares_opens_again() {
    let (mut rx, mut tsn, start) = (reassembly(false), 0, Instant::EPOCH);
    // Ten streams, none with more than an eighth.
    for id in 0..9 {
        fill(&mut rx, &mut tsn, id, 104_000);
    }
    while rx.advertise() >= 1000 {
        tsn += 1;
        rx.insert(chunk(tsn).stream(9).unordered().len(1000))
            .unwrap();
    }
    assert_eq!(rx.poll_stalled(start), None);
    assert_eq!(rx.stall_deadline(), Some(start + 10 * SECOND));
    // Someone reads, and the window fills again: not stalled.
    while !rx.window_update_due() {
        assert!(rx.recv(StreamId(4)).is_some());
    }
    rx.advertise();
    fill(&mut rx, &mut tsn, 4, 104_000);
    assert_eq!(rx.poll_stalled(start + 9 * SECOND), None);
    assert_eq!(rx.discard_stalled(start + 10 * SECOND), None);
    let (_, freed) = rx.discard_stalled(start + 19 * SECOND).unwrap();
    assert!(freed >= 104_000 && rx.advertise() > 0);
    assert_eq!(
        rx.discard_stalled(start + 19 * SECOND),
        None,
        "one is enough"
    );
}

#[test]
fn a_peer_that_stops_amid_its_messages_is_got_rid_of() {
    let (mut rx, start) = (small(10_000, true), Instant::EPOCH);
    // Middles without firsts: nothing to deliver, and nothing to renege.
    let mut tsn = 0;
    while rx.advertise() >= 300 {
        tsn += 1;
        rx.insert(chunk(tsn).stream((tsn % 3) as u16).m(tsn).len(300))
            .unwrap();
    }
    assert_eq!(rx.poll_stalled(start), None);
    assert!(rx.discard_stalled(start + 10 * SECOND).is_some());
    assert!(rx.advertise() > 0);
}

/// Nobody is to blame for what cannot be read yet: a slow message, or a gap that takes long.
#[test]
fn waiting_for_the_peer_is_not_a_stall() {
    let (mut rx, start) = (reassembly(true), Instant::EPOCH);
    let window = rx.window;
    let mut tsn = 0;
    while rx.held() < window * 2 / 3 {
        let fragment = if tsn == 0 {
            chunk(1).b()
        } else {
            chunk(tsn + 1).m(tsn)
        };
        rx.insert(fragment.len(1000)).unwrap();
        tsn += 1;
    }
    assert_eq!(
        rx.poll_stalled(start),
        None,
        "two thirds of a window, none of it readable"
    );
    assert_eq!(rx.stall_deadline(), None);
    // After a gap, until the window is full.
    while rx.has_room(StreamId(0), 1000) {
        tsn += 1;
        rx.insert(chunk(tsn + 1).m(tsn).above().len(1000)).unwrap();
    }
    while rx.recv(StreamId(0)).is_some() {}
    while rx.has_room(StreamId(0), 1000) {
        tsn += 1;
        rx.insert(chunk(tsn + 1).m(tsn).above().len(1000)).unwrap();
    }
    assert_eq!((rx.advertise(), rx.poll_stalled(start)), (0, None));
    assert_eq!(rx.discard_stalled(start + 3600 * SECOND), None);
}

#[test]
fn stop_discards_what_is_here_and_what_comes() {
    for interleaving in [false, true] {
        let mut rx = reassembly(interleaving);
        rx.insert(chunk(1)).unwrap();
        rx.insert(chunk(3).seq(2).above()).unwrap();
        rx.insert(chunk(4).seq(1).above().b()).unwrap();
        rx.insert(chunk(5).stream(1).above().b()).unwrap();
        rx.stop(StreamId(0));
        rx.audit();
        assert_eq!(rx.held(), cost(3), "the other stream is not touched");
        assert_eq!(rx.renege(Tsn::new(1), Tsn::new(1)), Some(Tsn::new(5)));
        rx.insert(chunk(6).seq(1).above().e(1)).unwrap();
        assert_eq!(rx.held(), 0);
        assert_eq!(rx.recv(StreamId(0)), None);
    }
}

#[test]
fn after_a_reset_numbers_begin_anew() {
    for interleaving in [false, true] {
        let mut rx = reassembly(interleaving);
        rx.insert(chunk(1)).unwrap();
        rx.insert(chunk(2).seq(1)).unwrap();
        rx.insert(chunk(3).seq(2).b()).unwrap();
        rx.insert(chunk(5).stream(1).seq(4).above()).unwrap();
        rx.reset(Some(&[StreamId(0)]));
        rx.insert(chunk(6)).unwrap();
        for expected in ["<1>", "<2>", "<6>"] {
            assert_eq!(text(rx.recv(StreamId(0))), expected);
        }
        assert_eq!(rx.held(), cost(3), "stream 1 was not reset");
        rx.reset(None);
        assert_eq!(rx.held(), 0);
        rx.insert(chunk(7).stream(1)).unwrap();
        assert_eq!(text(rx.recv(StreamId(1))), "<7>");
    }
}

#[test]
fn steady_state_keeps_no_memory() {
    let mut rx = reassembly(false);
    for n in 0..100_000_u32 {
        rx.insert(chunk(n + 1).seq(n & 0xFFFF)).unwrap();
        assert!(rx.recv(StreamId(0)).is_some());
    }
    assert_eq!((rx.held(), rx.store.count()), (0, 0));
    assert_eq!(rx.streams.len(), 1);
}
