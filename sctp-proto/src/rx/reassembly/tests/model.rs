//! An honest peer, a bad network and a lazy user: every message arrives, intact and in order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::rx::{TsnCheck, TsnMap};

#[derive(Debug, Clone)]
struct Sent {
    stream: u16,
    unordered: bool,
    len: usize,
}

#[derive(Debug, Clone)]
struct Scenario {
    interleaving: bool,
    initial: u32,
    /// First SSN or MID of each stream.
    first_seq: u32,
    window: u32,
    messages: Vec<Sent>,
    fragment: usize,
    /// Which stream the sender turns to, which chunk the network delivers, what the user reads.
    choices: Vec<u8>,
    /// How far ahead of the oldest unacknowledged chunk the sender goes.
    ahead: usize,
    /// By `recv_any` rather than by the streams that `poll_readable` tells.
    any: bool,
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let message = (
        0..4_u16,
        prop::bool::weighted(0.3),
        prop_oneof![1..40_usize, 1..9000_usize],
    )
        .prop_map(|(stream, unordered, len)| Sent {
            stream,
            unordered,
            len,
        });
    (
        any::<bool>(),
        prop_oneof![any::<u32>(), (u32::MAX - 40)..=u32::MAX],
        prop_oneof![Just(0), Just(u32::MAX - 1), Just(65_534)],
        prop_oneof![Just(4096_u32), Just(10_000), Just(60_000)],
        prop::collection::vec(message, 1..25),
        prop_oneof![Just(40_usize), Just(500), Just(1500)],
        prop::collection::vec(any::<u8>(), 64),
        1..60_usize,
        any::<bool>(),
    )
        .prop_map(
            |(
                interleaving,
                initial,
                first_seq,
                window,
                messages,
                fragment,
                choices,
                ahead,
                any,
            )| {
                let first_seq = if interleaving {
                    first_seq
                } else {
                    first_seq & 0xFFFF
                };
                let fragment = if messages.iter().map(|m| m.len).sum::<usize>() > 20_000 {
                    fragment.max(500)
                } else {
                    fragment
                };
                Scenario {
                    interleaving,
                    initial,
                    first_seq,
                    window,
                    messages,
                    fragment,
                    choices,
                    ahead,
                    any,
                }
            },
        )
}

/// The bytes of message `n`: no two messages, and no two places in one, look alike.
fn body(n: usize, len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (n * 31 + i * 7 + (i >> 8) * 3) as u8)
        .collect()
}

/// What a conforming sender makes of the messages: chunks in the order of their TSNs.
fn script(s: &Scenario) -> Vec<RxChunk> {
    let mut queues: BTreeMap<u16, Vec<RxChunk>> = BTreeMap::new();
    let mut next: BTreeMap<(u16, bool), u32> = BTreeMap::new();
    let mut whole: Vec<Vec<RxChunk>> = Vec::new();
    for (n, sent) in s.messages.iter().enumerate() {
        let next = next
            .entry((sent.stream, sent.unordered))
            .or_insert(s.first_seq);
        let seq = *next;
        *next = if s.interleaving {
            seq.wrapping_add(1)
        } else {
            seq.wrapping_add(1) & 0xFFFF
        };
        let body = Bytes::from(body(n, sent.len));
        let count = sent.len.div_ceil(s.fragment);
        let fragments: Vec<_> = (0..count)
            .map(|i| RxChunk {
                tsn: Tsn::new(0),
                stream: StreamId(sent.stream),
                unordered: sent.unordered,
                begin: i == 0,
                end: i + 1 == count,
                // The SSN of unordered DATA has no meaning.
                seq: if sent.unordered && !s.interleaving {
                    (n as u32 * 77) & 0xFFFF
                } else {
                    seq
                },
                fsn: i as u32,
                ppid: Ppid(if i == 0 { n as u32 } else { 0 }),
                payload: body.slice(i * s.fragment..sent.len.min((i + 1) * s.fragment)),
                buffer: 0,
                cumulative: false,
            })
            .collect();
        queues.entry(sent.stream).or_default();
        whole.push(fragments);
    }
    let mut chunks: Vec<RxChunk> = Vec::new();
    if s.interleaving {
        for fragments in whole {
            let stream = fragments[0].stream.0;
            queues.entry(stream).or_default().extend(fragments);
        }
        let mut queues: Vec<_> = queues
            .into_values()
            .map(|q| q.into_iter().peekable())
            .collect();
        let mut turn = 0;
        while !queues.is_empty() {
            let at = s.choices[turn % s.choices.len()] as usize % queues.len();
            turn += 1;
            chunks.extend(queues[at].next());
            if queues[at].peek().is_none() {
                drop(queues.remove(at));
            }
        }
    } else {
        chunks.extend(whole.into_iter().flatten());
    }
    for (n, chunk) in chunks.iter_mut().enumerate() {
        chunk.tsn = Tsn::new(s.initial).plus(n as u32);
    }
    chunks
}

fn copy(chunk: &RxChunk, cumulative: bool) -> RxChunk {
    RxChunk {
        payload: chunk.payload.clone(),
        cumulative,
        ..*chunk
    }
}

/// The receiving side, driven as an association drives it.
struct Receiver {
    rx: Reassembly,
    map: TsnMap,
    any: bool,
    readable: BTreeSet<StreamId>,
    parts: BTreeMap<StreamId, Vec<u8>>,
    got: Vec<Message>,
    reneged: usize,
}

impl Receiver {
    fn new(s: &Scenario) -> Self {
        let mut rx = small(s.window, s.interleaving);
        for id in 0..4 {
            rx.streams.entry(StreamId(id)).or_default().next = s.first_seq;
        }
        Self {
            rx,
            map: TsnMap::new(Tsn::new(s.initial)),
            any: s.any,
            readable: BTreeSet::new(),
            parts: BTreeMap::new(),
            got: Vec::new(),
            reneged: 0,
        }
    }

    fn on_chunk(&mut self, chunk: &RxChunk) {
        if self.map.check(chunk.tsn) != TsnCheck::New {
            return;
        }
        let cumulative = chunk.tsn == self.map.cumulative().next();
        loop {
            match self.rx.insert(copy(chunk, cumulative)) {
                Ok(()) => break,
                Err(RxError::Violation(how)) => panic!("an honest peer is accused: {how}"),
                Err(RxError::NoRoom) => {
                    let Some(tsn) = self.rx.renege(self.map.cumulative(), chunk.tsn) else {
                        return;
                    };
                    assert!(chunk.tsn.before(tsn));
                    self.map.remove(tsn);
                    self.reneged += 1;
                }
            }
        }
        self.map.insert(chunk.tsn);
        if cumulative {
            self.rx.on_cumulative(self.map.cumulative());
        }
    }

    fn read_one(&mut self, choice: u8) -> bool {
        while let Some(id) = self.rx.poll_readable() {
            assert!(self.readable.insert(id) || self.any, "told twice");
        }
        let message = if self.any {
            self.rx.recv_any()
        } else {
            let at = choice as usize % self.readable.len().max(1);
            let Some(&id) = self.readable.iter().nth(at) else {
                return false;
            };
            let first = self.rx.next_tsn(id);
            let message = self.rx.recv(id);
            assert_eq!(first.is_some(), message.is_some());
            if let (Some(first), Some(message)) = (first, &message) {
                // A whole message may be listed by its first fragment, a part by its own.
                assert!(!message.tsn.before(first));
                let fragments = message.data.clone().into_fragments().count();
                assert!(fragments > 1 || message.tsn == first);
            }
            if message.is_none() {
                self.readable.remove(&id);
                return true;
            }
            message
        };
        let Some(mut message) = message else {
            return false;
        };
        let parts = self.parts.entry(message.stream).or_default();
        assert!(!message.data.is_empty());
        parts.extend_from_slice(&std::mem::take(&mut message.data).into_bytes());
        if message.complete {
            message.data = Bytes::from(std::mem::take(parts)).into();
            self.got.push(message);
        }
        true
    }
}

fn check(s: &Scenario) -> Receiver {
    let chunks = script(s);
    let mut receiver = Receiver::new(s);
    let mut turn = 0;
    let mut choice = || {
        turn += 1;
        s.choices[turn % s.choices.len()].wrapping_add((turn / s.choices.len()) as u8)
    };
    let largest = chunks
        .iter()
        .map(|c| cost(c.payload.len()))
        .max()
        .unwrap_or(0);
    while receiver.map.cumulative() != chunks[chunks.len() - 1].tsn {
        let before = (receiver.map.cumulative(), receiver.got.len());
        let mut read = false;
        // Some of what is in flight arrives, in any order; sometimes the user reads.
        let oldest = receiver
            .map
            .cumulative()
            .distance_from(chunks[0].tsn.previous()) as usize;
        for _ in 0..8 {
            let at = oldest + choice() as usize % s.ahead;
            if let Some(chunk) = chunks.get(at) {
                receiver.on_chunk(chunk);
            }
            if choice() % 4 == 0 {
                let which = choice();
                read |= receiver.read_one(which);
            }
            receiver.rx.audit();
            assert!(receiver.rx.held() <= (s.window as usize).max(largest));
        }
        // The sender retransmits the oldest in the end.
        let oldest = receiver
            .map
            .cumulative()
            .distance_from(chunks[0].tsn.previous()) as usize;
        if let Some(chunk) = chunks.get(oldest) {
            receiver.on_chunk(chunk);
        }
        if before == (receiver.map.cumulative(), receiver.got.len()) && !read {
            let which = choice();
            let read = receiver.read_one(which);
            assert!(read, "deadlock: {:?} {:#?}", receiver.map, receiver.rx);
        }
    }
    while receiver.read_one(choice()) {}
    receiver.rx.audit();
    receiver
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_message_arrives_intact_and_in_order(s in scenario()) {
        let receiver = check(&s);
        prop_assert_eq!(receiver.rx.held(), 0);
        prop_assert_eq!(receiver.got.len(), s.messages.len());
        let mut last: BTreeMap<StreamId, u32> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for message in receiver.got {
            let n = message.ppid.0 as usize;
            let sent = &s.messages[n];
            prop_assert!(seen.insert(n));
            prop_assert_eq!(message.stream, StreamId(sent.stream));
            prop_assert_eq!(message.unordered, sent.unordered);
            prop_assert!(message.data.into_bytes() == body(n, sent.len), "bytes of message {}", n);
            if !sent.unordered {
                let last = last.insert(message.stream, message.ppid.0);
                prop_assert!(last < Some(message.ppid.0), "order");
            }
        }
    }
}
