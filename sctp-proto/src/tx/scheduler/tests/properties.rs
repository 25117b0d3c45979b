//! What holds for any messages on any streams, for every scheduler.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::tx::{Fragment, MessageKey};

const KINDS: [SchedulerKind; 7] = [
    SchedulerKind::FirstComeFirstServed,
    SchedulerKind::RoundRobin,
    SchedulerKind::RoundRobinPerMessage,
    SchedulerKind::RoundRobinPerPacket,
    SchedulerKind::Priority,
    SchedulerKind::FairBandwidth,
    SchedulerKind::WeightedFairQueueing,
];
const STREAMS: u16 = 5;
/// The longest message.
const LONGEST: usize = 500;

#[derive(Debug, Clone)]
enum Op {
    Push(u16, usize),
    /// Fills a packet with this much room.
    Packet(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => (0..STREAMS, 1..=LONGEST).prop_map(|(stream, len)| Op::Push(stream, len)),
        1 => prop_oneof![3 => Just(FULL), 1 => FULL / 2..=FULL].prop_map(Op::Packet),
    ]
}

/// A message handed out in part.
struct Open {
    key: MessageKey,
    stream: u16,
    sent: u32,
    fragments: u32,
}

/// A queue and what is known about it without asking.
struct Run {
    kind: SchedulerKind,
    interleaving: bool,
    values: [u16; STREAMS as usize],
    queue: SendQueue,
    /// Lengths of the messages of each stream that were not begun, in order.
    waiting: BTreeMap<u16, Vec<usize>>,
    open: Vec<Open>,
    /// Position among all messages of the last one begun.
    last_begun: Option<u64>,
    /// Bytes each stream was served since both of a pair have had work without a pause.
    pairs: BTreeMap<(u16, u16), [u64; 2]>,
    /// Bytes that others were served while a stream with work was not.
    passed_over: [usize; STREAMS as usize],
}

impl Run {
    fn new(kind: SchedulerKind, interleaving: bool, values: [u16; STREAMS as usize]) -> Self {
        let mut queue = queue(kind, interleaving);
        for (stream, value) in (0..).zip(values) {
            queue.set_priority(StreamId(stream), value);
        }
        Self {
            kind,
            interleaving,
            values,
            queue,
            waiting: BTreeMap::new(),
            open: Vec::new(),
            last_begun: None,
            pairs: BTreeMap::new(),
            passed_over: [0; STREAMS as usize],
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Push(stream, len) => {
                send(&mut self.queue, stream, len);
                self.waiting.entry(stream).or_default().push(len);
            }
            Op::Packet(room) => self.packet(room),
        }
    }

    fn packet(&mut self, mut room: usize) {
        let mut chunks = 0;
        while let Some(fragment) = self.queue.next_fragment(Instant::EPOCH, room, FULL) {
            assert!(usize::from(fragment.len) <= room);
            self.serve(&fragment);
            chunks += 1;
            let used = usize::from(fragment.len).next_multiple_of(4) + HEADER;
            match room.checked_sub(used) {
                Some(left) if left > 0 => room = left,
                _ => break,
            }
        }
        // A message that would be whole in a packet of its own may wait for one.
        assert!(
            chunks > 0 || room < FULL || !self.has_work(),
            "{:?} idles",
            self.kind
        );
        assert_eq!(self.queue.has_unsent(), self.has_work());
    }

    fn has_work(&self) -> bool {
        (0..STREAMS).any(|stream| self.backlogged(stream))
    }

    fn backlogged(&self, stream: u16) -> bool {
        self.open.iter().any(|open| open.stream == stream)
            || self
                .waiting
                .get(&stream)
                .is_some_and(|waiting| !waiting.is_empty())
    }

    /// Whether a message once begun is finished before another begins.
    fn is_whole(&self) -> bool {
        !self.interleaving
            || matches!(
                self.kind,
                SchedulerKind::FirstComeFirstServed | SchedulerKind::RoundRobinPerMessage
            )
    }

    /// The most that a stream is served in one turn.
    fn turn(&self) -> usize {
        if self.is_whole() {
            LONGEST + FULL
        } else {
            FULL
        }
    }

    fn serve(&mut self, fragment: &Fragment) {
        let message = self.queue.message(fragment.key);
        let (stream, order, len) = (message.stream.0, message.order, message.data.len());
        let begins = fragment.begin;
        let had_work: Vec<u16> = (0..STREAMS).filter(|&s| self.backlogged(s)).collect();

        // Order, and messages whole.
        if begins {
            let waiting = self
                .waiting
                .get_mut(&stream)
                .expect("a message of the stream");
            assert_eq!(waiting.remove(0), len, "order of stream {stream}");
            assert!(
                self.open.iter().all(|open| open.stream != stream),
                "two messages of stream {stream} at once"
            );
            assert!(
                self.open.is_empty() || !self.is_whole(),
                "a message interrupted"
            );
            if self.kind == SchedulerKind::FirstComeFirstServed {
                assert!(self.last_begun < Some(order), "came later, served first");
                self.last_begun = Some(order);
            }
            self.open.push(Open {
                key: fragment.key,
                stream,
                sent: 0,
                fragments: 0,
            });
        }
        let at = self.open.iter().position(|open| open.key == fragment.key);
        let open = &mut self.open[at.expect("a message that was begun")];
        assert_eq!((open.sent, open.fragments), (fragment.offset, fragment.fsn));
        open.sent += u32::from(fragment.len);
        open.fragments += 1;
        assert_eq!(fragment.end, open.sent as usize == len);
        if fragment.end {
            self.open.remove(at.unwrap_or_default());
        }

        // Whose turn it was.
        let value = |stream: u16| self.values[usize::from(stream)];
        if self.kind == SchedulerKind::Priority && (begins || !self.is_whole()) {
            let first = had_work.iter().map(|&s| value(s)).min();
            assert_eq!(Some(value(stream)), first, "not the first in priority");
        }
        self.share(stream, usize::from(fragment.len), &had_work);
        // A pause, however short, is not credited.
        if !self.backlogged(stream) {
            self.pairs.retain(|(a, b), _| *a != stream && *b != stream);
        }
    }

    fn share(&mut self, served: u16, len: usize, had_work: &[u16]) {
        self.passed_over[usize::from(served)] = 0;
        let most = 2 * usize::from(STREAMS) * self.turn();
        for &other in had_work.iter().filter(|&&other| other != served) {
            let passed_over = &mut self.passed_over[usize::from(other)];
            *passed_over += len;
            let in_turn = matches!(
                self.kind,
                SchedulerKind::RoundRobin
                    | SchedulerKind::RoundRobinPerMessage
                    | SchedulerKind::RoundRobinPerPacket
            );
            assert!(!in_turn || *passed_over <= most, "stream {other} starves");
        }
        let weight = match self.kind {
            SchedulerKind::FairBandwidth => |_: &Self, _: u16| 1.0,
            SchedulerKind::WeightedFairQueueing => {
                |run: &Self, stream: u16| f64::from(run.values[usize::from(stream)])
            }
            _ => return,
        };
        // Two streams that both have work are served in proportion, within what each may be served
        // at once (start-time fair queueing).
        self.pairs
            .retain(|(a, b), _| had_work.contains(a) && had_work.contains(b));
        for (i, &a) in had_work.iter().enumerate() {
            for &b in &had_work[i + 1..] {
                let bytes = self.pairs.entry((a, b)).or_default();
                bytes[0] += if a == served { len as u64 } else { 0 };
                bytes[1] += if b == served { len as u64 } else { 0 };
                let [x, y] = *bytes;
                let (wa, wb) = (weight(self, a), weight(self, b));
                let apart = (x as f64 / wa - y as f64 / wb).abs();
                let most = self.turn() as f64 * (1.0 / wa + 1.0 / wb) + 2.0;
                assert!(
                    apart <= most,
                    "{a} and {b}: {x} and {y} bytes, {apart} apart"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_scheduler_is_fair_starves_nobody_and_keeps_messages_whole(
        kind in select(&KINDS),
        interleaving: bool,
        values in [1_u16..=8, 1_u16..=8, 1_u16..=8, 1_u16..=8, 1_u16..=8],
        ops in vec(op(), 1..300),
    ) {
        let mut run = Run::new(kind, interleaving, values);
        for op in &ops {
            run.apply(op);
        }
        while run.has_work() {
            run.packet(FULL);
        }
        prop_assert!(run.open.is_empty());
    }
}
