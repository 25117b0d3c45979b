//! Whatever comes, the books are right, what is held is bounded, and all of it can be let go.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Insert {
        tsn: u32,
        stream: u16,
        bits: u8,
        seq: u32,
        fsn: u32,
        len: usize,
    },
    OnCumulative(u32),
    Renege(u32),
    Recv(u16),
    RecvAny,
    Stop(u16),
    Reset(u16),
    ResetAll,
    Compact,
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    // Few numbers, round the wrap, so that they meet.
    let near = |n: u32| (0..n).prop_map(|n| n.wrapping_sub(3));
    let number = move |n| prop_oneof![9 => near(n), 1 => any::<u32>()];
    let insert = (
        number(60),
        0..3_u16,
        any::<u8>(),
        number(6),
        number(6),
        1..1400_usize,
    );
    prop_oneof![
        30 => insert.prop_map(|(tsn, stream, bits, seq, fsn, len)| {
            Op::Insert { tsn, stream, bits, seq, fsn, len }
        }),
        3 => number(60).prop_map(Op::OnCumulative),
        3 => number(60).prop_map(Op::Renege),
        4 => (0..3_u16).prop_map(Op::Recv),
        2 => Just(Op::RecvAny),
        1 => (0..3_u16).prop_map(Op::Stop),
        1 => (0..3_u16).prop_map(Op::Reset),
        1 => Just(Op::ResetAll),
        1 => Just(Op::Compact),
        1 => (0..20_u64).prop_map(Op::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_operations(interleaving in any::<bool>(), ops in prop::collection::vec(op(), 1..120)) {
        let mut rx = small(20_000, interleaving);
        let mut now = Instant::EPOCH;
        let mut cumulative = Tsn::new(0);
        let mut seen = std::collections::HashSet::new();
        for op in ops {
            match op {
                Op::Insert { tsn, stream, bits, seq, fsn, len } => {
                    // The TSN map lets each TSN through once, and none that is not ahead.
                    let tsn = Tsn::new(tsn);
                    if !cumulative.before(tsn) || !seen.insert(tsn) {
                        continue;
                    }
                    let chunk = RxChunk {
                        stream: StreamId(stream),
                        unordered: bits & 1 != 0,
                        begin: bits & 2 != 0,
                        end: bits & 4 != 0,
                        seq: if interleaving { seq } else { seq & 0xFFFF },
                        fsn,
                        cumulative: tsn == cumulative.next(),
                        buffer: u32::from(bits) * 16,
                        ..chunk(tsn.value()).len(len)
                    };
                    if chunk.cumulative {
                        cumulative = tsn;
                    }
                    // A violation ends an association; here it goes on, and nothing may break.
                    let held = rx.held();
                    if rx.insert(chunk).is_err() {
                        prop_assert_eq!(rx.held(), held);
                    }
                }
                Op::OnCumulative(tsn) => {
                    let tsn = Tsn::new(tsn);
                    if cumulative.before(tsn) && tsn.distance_from(cumulative) < 100 {
                        cumulative = tsn;
                        rx.on_cumulative(tsn);
                    }
                }
                Op::Renege(tsn) => {
                    if let Some(tsn) = rx.renege(cumulative, Tsn::new(tsn)) {
                        prop_assert!(seen.remove(&tsn));
                    }
                }
                Op::Recv(id) => drop(rx.recv(StreamId(id))),
                Op::RecvAny => drop(rx.recv_any()),
                Op::Stop(id) => rx.stop(StreamId(id)),
                Op::Reset(id) => rx.reset(Some(&[StreamId(id)])),
                Op::ResetAll => rx.reset(None),
                Op::Compact => rx.compact(),
                Op::Wait(seconds) => {
                    now += Duration::from_secs(seconds);
                    while rx.poll_stalled(now).is_some() {}
                    while rx.discard_stalled(now).is_some() {}
                }
            }
            rx.audit();
            prop_assert!(rx.held() <= 20_000);
        }
        for id in 0..3 {
            rx.stop(StreamId(id));
        }
        rx.audit();
        prop_assert_eq!(rx.held(), 0);
        prop_assert_eq!(rx.recv_any(), None);
        rx.reset(None);
        while rx.poll_readable().is_some() {}
        rx.reset(None);
        prop_assert!(rx.streams.is_empty());
    }
}
