//! Messages that the peer has given up.

use super::*;

fn ordered(stream: u16, seq: u32) -> Skipped {
    Skipped {
        stream: StreamId(stream),
        unordered: false,
        seq,
    }
}

fn unordered(stream: u16, seq: u32) -> Skipped {
    Skipped {
        unordered: true,
        ..ordered(stream, seq)
    }
}

/// The peer goes on after `to`, having come as far as `from` before.
fn skip(rx: &mut Reassembly, from: u32, to: u32, skipped: &[Skipped]) {
    rx.skip(Tsn::new(from), skipped.iter().copied());
    rx.on_cumulative(Tsn::new(to));
    rx.audit();
}

fn all(rx: &mut Reassembly, stream: u16) -> Vec<String> {
    std::iter::from_fn(|| rx.recv(StreamId(stream)))
        .map(|message| text(Some(message)))
        .collect()
}

//= RFC 3758 §3.6, test
//# In particular, during processing of a FORWARD TSN, the receiver MUST use...
#[test]
fn what_waited_for_a_skipped_message_is_delivered() {
    for interleaving in [false, true] {
        let mut rx = reassembly(interleaving);
        // Messages 0 and 2 to 4; 1 is missing, and so is the end of 3.
        rx.insert(chunk(1).seq(0)).unwrap();
        rx.insert(chunk(3).seq(2).above()).unwrap();
        rx.insert(chunk(4).seq(3).b().above()).unwrap();
        rx.insert(chunk(6).seq(4).above()).unwrap();
        assert_eq!(all(&mut rx, 0), ["<1>"]);
        skip(&mut rx, 1, 4, &[ordered(0, 1)]);
        assert_eq!(rx.poll_readable(), Some(StreamId(0)));
        assert_eq!(all(&mut rx, 0), ["<3>"]);
        skip(&mut rx, 4, 6, &[ordered(0, 3)]);
        assert_eq!(all(&mut rx, 0), ["<6>"]);
        assert_eq!(rx.held(), 0);
        // A list that came late, or names what was delivered, changes nothing.
        skip(&mut rx, 6, 6, &[ordered(0, 1), ordered(0, 4)]);
        rx.insert(chunk(7).seq(5)).unwrap();
        assert_eq!(all(&mut rx, 0), ["<7>"]);
    }
}

#[test]
fn numbers_are_skipped_where_they_wrap() {
    for (interleaving, last) in [(false, 0xFFFF), (true, u32::MAX)] {
        let mut rx = reassembly(interleaving);
        skip(&mut rx, 0, 1, &[ordered(0, last / 2)]);
        skip(&mut rx, 1, 2, &[ordered(0, last - 1)]);
        rx.insert(chunk(4).seq(0).above()).unwrap();
        rx.insert(chunk(6).seq(2).above()).unwrap();
        skip(&mut rx, 2, 6, &[ordered(0, 1)]);
        assert_eq!(all(&mut rx, 0), ["<4>", "<6>"]);
    }
}

#[test]
fn a_stream_never_heard_of_begins_after_what_was_skipped() {
    let mut rx = reassembly(false);
    skip(&mut rx, 0, 3, &[ordered(4, 2), ordered(99, 7)]);
    rx.insert(chunk(4).stream(4).seq(3)).unwrap();
    assert_eq!(all(&mut rx, 4), ["<4>"]);
}

//= RFC 3758 §3.6, test
//# The receiver MUST remove any partially reassembled message, which is still...
#[test]
fn torn_messages_go_and_whole_ones_stay() {
    type Case = (&'static str, fn(&mut Reassembly), u32, u32);
    // Unordered DATA, which no list names: TSN 5 is missing throughout.
    let cases: [Case; 4] = [
        (
            "the end is missing, the beginning was acknowledged",
            |rx| {
                rx.insert(chunk(3).unordered().b()).unwrap();
                rx.insert(chunk(4).unordered().m(1)).unwrap();
            },
            4,
            5,
        ),
        (
            "the beginning is missing",
            |rx| {
                rx.insert(chunk(6).unordered().m(1).above()).unwrap();
                rx.insert(chunk(7).unordered().e(2).above()).unwrap();
            },
            4,
            7,
        ),
        (
            "the middle is missing",
            |rx| {
                rx.insert(chunk(4).unordered().b()).unwrap();
                rx.insert(chunk(6).unordered().e(2).above()).unwrap();
            },
            4,
            6,
        ),
        (
            "of several streams",
            |rx| {
                rx.insert(chunk(6).stream(2).unordered().b().above())
                    .unwrap();
                rx.insert(chunk(8).stream(3).unordered().e(1).above())
                    .unwrap();
            },
            4,
            8,
        ),
    ];
    for (what, bring, from, to) in cases {
        let mut rx = reassembly(false);
        rx.insert(chunk(9).stream(5).unordered().above()).unwrap();
        bring(&mut rx);
        skip(&mut rx, from, to, &[]);
        assert_eq!(all(&mut rx, 5), ["<9>"], "{what}");
        assert_eq!(rx.held(), 0, "{what}");
    }
    // One that goes on after the last TSN skipped is not torn.
    let mut rx = reassembly(false);
    rx.insert(chunk(6).unordered().b().above()).unwrap();
    skip(&mut rx, 4, 6, &[]);
    rx.insert(chunk(7).unordered().e(1)).unwrap();
    assert_eq!(all(&mut rx, 0), ["<6><7>"]);
}

#[test]
fn unordered_messages_are_skipped_by_their_numbers() {
    let mut rx = reassembly(true);
    rx.insert(chunk(1).unordered().seq(0).b()).unwrap();
    rx.insert(chunk(3).unordered().seq(1).e(2).above()).unwrap();
    rx.insert(chunk(5).unordered().seq(2).b().above()).unwrap();
    rx.insert(chunk(7).seq(0).b().above()).unwrap();
    skip(&mut rx, 1, 5, &[unordered(0, 1)]);
    // A late fragment of one of them is nothing but late.
    rx.insert(chunk(8).unordered().seq(1).m(1).above()).unwrap();
    rx.insert(chunk(9).unordered().seq(2).e(1).above()).unwrap();
    assert_eq!(all(&mut rx, 0), ["<5><9>"]);
    rx.insert(chunk(10).seq(0).e(1).above()).unwrap();
    assert_eq!(all(&mut rx, 0), ["<7><10>"]);
    assert_eq!(rx.held(), 0);
    // Ordered ones that were skipped are late as well, and no violation.
    skip(&mut rx, 10, 12, &[ordered(0, 4)]);
    rx.insert(chunk(13).seq(3).m(1)).unwrap();
    assert_eq!(rx.held(), 0);
    // Long after, the numbers come round.
    for mid in [1 << 21, 1 << 31, (1 << 31) + (1 << 30), 1] {
        rx.insert(chunk(14).unordered().seq(mid).above()).unwrap();
        assert_eq!(all(&mut rx, 0), ["<14>"], "{mid}");
    }
}

#[test]
fn nothing_is_left_of_a_message_given_up_wherever_it_is_torn() {
    for is_unordered in [false, true] {
        let of = |tsn, mid| match is_unordered {
            false => chunk(tsn).seq(mid).above(),
            true => chunk(tsn).unordered().seq(mid).above(),
        };
        let mut rx = reassembly(true);
        // 0 has lost its beginning, 1 its second fragment, 2 its end; of 3 more is to come.
        rx.insert(of(3, 0).m(1)).unwrap();
        rx.insert(of(4, 0).e(2)).unwrap();
        rx.insert(of(5, 1).b()).unwrap();
        rx.insert(of(7, 1).m(2)).unwrap();
        rx.insert(of(9, 1).m(4)).unwrap();
        rx.insert(of(10, 2).b()).unwrap();
        rx.insert(of(13, 3).m(1)).unwrap();
        let last = match is_unordered {
            false => ordered(0, 2),
            true => unordered(0, 2),
        };
        skip(&mut rx, 1, 11, &[last]);
        rx.insert(of(12, 3).b()).unwrap();
        rx.insert(of(14, 3).e(2)).unwrap();
        assert_eq!(all(&mut rx, 0), ["<12><13><14>"]);
        assert_eq!(rx.held(), 0);
    }
}

//= RFC 3758 §3.6, test
//# In the event that the receiver has invoked the partial delivery API, a...
#[test]
fn who_has_read_a_part_is_told_that_there_is_no_more() {
    for (interleaving, is_unordered) in [(false, false), (false, true), (true, false), (true, true)]
    {
        let first = |tsn| match is_unordered {
            false => chunk(tsn),
            true => chunk(tsn).unordered(),
        };
        let mut rx = small(4096, interleaving);
        rx.insert(first(1).b().len(3200)).unwrap();
        let part = rx.recv(StreamId(0)).expect("under pressure");
        assert_eq!((part.complete, part.aborted), (false, false));
        // Whole messages wait behind it.
        rx.insert(chunk(4).seq(u32::from(!is_unordered)).above())
            .unwrap();
        rx.insert(chunk(5).unordered().seq(1).above()).unwrap();
        assert_eq!(rx.recv(StreamId(0)), None);
        let gone = match (interleaving, is_unordered) {
            (false, true) => vec![],
            (_, true) => vec![unordered(0, 0)],
            (_, false) => vec![ordered(0, 0)],
        };
        assert_eq!(rx.next_tsn(StreamId(0)), None);
        skip(&mut rx, 1, 5, &gone);
        assert_eq!(rx.next_tsn(StreamId(0)), Some(Tsn::new(1)));
        let end = rx.recv(StreamId(0)).expect("the end");
        assert!(
            end.aborted && !end.complete && end.data.is_empty(),
            "{end:?}"
        );
        assert_eq!((end.unordered, end.ppid), (is_unordered, Ppid(7)));
        let mut rest = all(&mut rx, 0);
        rest.sort();
        assert_eq!(rest, ["<4>", "<5>"]);
        assert_eq!(rx.held(), 0);
    }
}

#[test]
fn the_end_of_an_unordered_message_comes_before_what_skipping_made_readable() {
    let mut rx = small(4096, true);
    rx.insert(chunk(1).unordered().b().len(3200)).unwrap();
    rx.recv(StreamId(0)).expect("under pressure");
    rx.insert(chunk(4).seq(1).above()).unwrap();
    rx.insert(chunk(5).seq(2).above()).unwrap();
    skip(&mut rx, 1, 2, &[ordered(0, 0)]);
    skip(&mut rx, 2, 3, &[ordered(0, 1)]);
    assert_eq!(
        rx.recv(StreamId(0)),
        None,
        "the rest of the first is to come"
    );
    rx.insert(chunk(6).unordered().e(1).above()).unwrap();
    rx.audit();
    assert_eq!(all(&mut rx, 0), ["<6>", "<4>", "<5>"]);
}

#[test]
fn a_reset_does_not_swallow_the_end_of_a_message_given_up() {
    let mut rx = small(4096, false);
    rx.insert(chunk(1).b().len(3200)).unwrap();
    rx.recv(StreamId(0)).expect("under pressure");
    skip(&mut rx, 1, 2, &[ordered(0, 0)]);
    rx.reset(Some(&[StreamId(0)]));
    rx.insert(chunk(3).seq(0)).unwrap();
    assert!(rx.recv(StreamId(0)).expect("the end").aborted);
    assert_eq!(all(&mut rx, 0), ["<3>"]);
}

/// Row 9: the work is that of what is held, whatever the distances, and however long the list.
#[test]
fn threat_09_a_list_of_nothing_costs_nothing() {
    let mut rx = reassembly(true);
    for n in 0..1000 {
        rx.insert(chunk(2 * n + 2).unordered().seq(2 * n).b().len(1).above())
            .unwrap();
    }
    // Each entry by itself would look at all that is held, if it did not begin where the last ended.
    for seq in (0..200_000).step_by(2) {
        let list = [
            unordered(0, seq),
            ordered(0, seq),
            ordered(3, seq | 1 << 31),
        ];
        rx.skip(Tsn::new(1), list.into_iter());
    }
    rx.audit();
    assert_eq!(rx.held(), 0);
}
