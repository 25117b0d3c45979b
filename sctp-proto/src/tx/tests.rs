//! The ring against a model that keeps a `BTreeMap` and recomputes everything.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

use super::{
    outstanding::{Record, State},
    *,
};
use crate::{
    config::{AssociationConfig, LossDetection},
    ids::{PathId, StreamId, Tsn},
    message::SendInfo,
    time::Instant,
};

const PATHS: u8 = 3;

#[derive(Debug, Clone)]
enum Op {
    /// A message of this size on this stream and path.
    Send {
        len: usize,
        stream: u16,
        path: u8,
    },
    /// A SACK that advances by this share of the window (of 16), and whose gap blocks have the
    /// TSNs that are acknowledged already (but for every `renege`-th) and those that `mask` picks.
    Sack {
        advance: u8,
        mask: u64,
        renege: u8,
        in_recovery: bool,
    },
    /// A time-out.
    T3 {
        path: u8,
    },
    /// Sends up to `count` lost chunks again.
    Resend {
        count: u8,
        path: u8,
    },
    /// Asks for losses by send times.
    Detect {
        path: u8,
        in_recovery: bool,
        srtt: Option<u8>,
    },
    /// The peer got the TSNs that `mask` picks, of those about the front, more than once.
    Duplicated {
        mask: u64,
    },
    /// A fast recovery is over.
    Recovered {
        path: u8,
    },
    /// A tail loss probe with this much room.
    Probe {
        path: u8,
        room: usize,
    },
    /// Gives up the message of the `pick`-th TSN in the window.
    GiveUp {
        pick: u8,
    },
    /// Sends so many fragments of a message on this stream and path, and gives it up.
    Cut {
        fragments: usize,
        stream: u16,
        path: u8,
        unordered: bool,
    },
    Wait {
        ms: u8,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let path = 0..PATHS;
    prop_oneof![
        6 => (1usize..4000, 0u16..4, path.clone())
            .prop_map(|(len, stream, path)| Op::Send { len, stream, path }),
        6 => (0u8..6, any::<u64>(), any::<u64>(), 0u8..12, any::<bool>()).prop_map(
            |(advance, a, b, renege, in_recovery)| {
                Op::Sack { advance, mask: a & b, renege, in_recovery }
            }
        ),
        1 => path.clone().prop_map(|path| Op::T3 { path }),
        3 => (1u8..8, path.clone()).prop_map(|(count, path)| Op::Resend { count, path }),
        2 => (1u8..50).prop_map(|ms| Op::Wait { ms }),
        3 => (path.clone(), any::<bool>(), proptest::option::of(1u8..100)).prop_map(
            |(path, in_recovery, srtt)| Op::Detect { path, in_recovery, srtt },
        ),
        2 => any::<u64>().prop_map(|mask| Op::Duplicated { mask }),
        1 => path.clone().prop_map(|path| Op::Recovered { path }),
        1 => (path.clone(), 32usize..2000).prop_map(|(path, room)| Op::Probe { path, room }),
        2 => any::<u8>().prop_map(|pick| Op::GiveUp { pick }),
        1 => (1usize..4, 0u16..4, path, any::<bool>()).prop_map(
            |(fragments, stream, path, unordered)| Op::Cut { fragments, stream, path, unordered },
        ),
    ]
}

/// What the model knows of a TSN; the rules are those of the RFC, each in its plainest form.
#[derive(Debug, Clone)]
struct Chunk {
    len: usize,
    path: PathId,
    state: State,
    sent_at: Instant,
    transmits: u32,
    misses: u32,
    fast_retransmitted: bool,
    reneged: bool,
    /// A SACK has named it.
    counted: bool,
    /// Its message, and whether that was given up.
    message: Named,
    abandoned: bool,
}

/// A message: a number no other has, and what a FORWARD-TSN calls it.
type Named = (u32, (StreamId, bool), u32);

impl Chunk {
    /// What it is when it is found to be lost.
    fn lost(&self) -> State {
        match self.abandoned {
            false => State::Lost,
            true => State::GivenUp,
        }
    }
}

/// What the model knows of a path: RFC 8985, with no list and no hint.
#[derive(Debug, Default)]
struct PathModel {
    /// Send time, number and round-trip time of the newest transmission delivered.
    newest: Option<(Instant, u64, Duration)>,
    min_rtt: Option<Duration>,
    highest: Option<u64>,
    reordered: bool,
    /// All that was sent again after others' acknowledgements had told of a loss.
    repaired: Vec<u64>,
    /// Needless retransmissions that widened the window, recoveries since the last one, and what
    /// has to be acknowledged cumulatively before the next can.
    widened: u32,
    calm: u32,
    round: u64,
}

#[derive(Debug, Default, PartialEq)]
struct Expected {
    /// path -> (bytes acked, flight before, includes the earliest)
    acked: BTreeMap<u8, (usize, usize, bool)>,
    lost: BTreeMap<u8, usize>,
    reneged: u32,
}

#[derive(Debug)]
struct Model {
    /// By number of TSNs sent before it, which does not wrap.
    chunks: BTreeMap<u64, Chunk>,
    /// Number of the first TSN that is not acknowledged cumulatively.
    front: u64,
    next: u64,
    paths: BTreeMap<u8, PathModel>,
    /// Whether send times tell of losses.
    by_time: bool,
    /// Whether the peer ever gave something up.
    reneged: bool,
}

/// Bytes of chunks in a packet as the operations have it.
const PACKET: usize = 1240;

fn size(len: usize) -> usize {
    20 + len.div_ceil(4) * 4
}

impl Model {
    fn flight(&self, path: u8) -> usize {
        (self.chunks.values())
            .filter(|c| c.path.0 == path && c.state == State::InFlight)
            .map(|c| size(c.len))
            .sum()
    }

    /// The chunks in front that are all given up.
    fn in_front(&self) -> impl Iterator<Item = (u64, &Chunk)> {
        let chunks = self.chunks.iter().map(|(&n, chunk)| (n, chunk));
        chunks.take_while(|(_, chunk)| chunk.abandoned)
    }

    fn advanced(&self) -> Option<u64> {
        self.in_front().last().map(|(n, _)| n)
    }

    fn earliest(&self, path: PathId) -> Option<u64> {
        let mut in_flight =
            (self.chunks.iter()).filter(|(_, c)| c.path == path && c.state == State::InFlight);
        in_flight.next().map(|(&n, _)| n)
    }

    fn delivered(&mut self, now: Instant, n: u64, chunk: &Chunk) {
        let path = self.paths.entry(chunk.path.0).or_default();
        let rtt = now - chunk.sent_at;
        if chunk.transmits > 1 && path.min_rtt.is_some_and(|least| rtt < least) {
            return;
        }
        path.reordered |= chunk.transmits == 1 && path.highest > Some(n);
        path.highest = path.highest.max(Some(n));
        if path
            .newest
            .is_none_or(|(at, newest, _)| (at, newest) <= (chunk.sent_at, n))
        {
            path.newest = Some((chunk.sent_at, n, rtt));
        }
    }

    /// What is lost by now, and when more is.
    fn detect(
        &mut self,
        now: Instant,
        path: u8,
        in_recovery: bool,
        srtt: Option<Duration>,
    ) -> (usize, Option<Instant>) {
        let above: usize = (self.chunks.values())
            .filter(|c| c.path.0 == path && c.state == State::GapAcked)
            .map(|c| size(c.len))
            .sum();
        let known = self.paths.entry(path).or_default();
        let Some((sent_at, number, rtt)) = known.newest else {
            return (0, None);
        };
        let quarter = known.min_rtt.unwrap_or_default() / 4;
        let window = quarter * (1 + known.widened);
        let patience = if !known.reordered && (in_recovery || above > 2 * PACKET) {
            Duration::ZERO
        } else {
            let most = srtt.unwrap_or(Duration::MAX);
            window.min(most).max(Duration::from_millis(1))
        };
        let (mut lost, mut due) = (0, None);
        for (&n, chunk) in &mut self.chunks {
            let waits = chunk.path.0 == path && chunk.state == State::InFlight && !chunk.reneged;
            if !waits || (chunk.sent_at, n) >= (sent_at, number) {
                continue;
            }
            let at = chunk.sent_at + rtt + patience;
            if at > now {
                due = Some(due.map_or(at, |due: Instant| due.min(at)));
                continue;
            }
            lost += size(chunk.len);
            chunk.state = chunk.lost();
            chunk.fast_retransmitted = true;
        }
        (lost, due)
    }

    fn sack(&mut self, now: Instant, advance: u64, gaps: &[u64], in_recovery: bool) -> Expected {
        let mut expected = Expected::default();
        let before = self.chunks.clone();
        let flights: Vec<_> = (0..PATHS).map(|path| self.flight(path)).collect();
        let (mut newly, mut named) = (Vec::new(), BTreeSet::new());
        let front = self.front + advance;
        for (&n, chunk) in &before {
            let covered = n < front || gaps.contains(&n);
            if covered && chunk.state != State::GapAcked {
                newly.push(n);
                let earliest = n < front || self.earliest(chunk.path).is_none_or(|e| e >= n);
                // What was given up may have been skipped by the peer, unless a gap block names it.
                let arrived = !chunk.abandoned || (n >= front && chunk.state == State::InFlight);
                let path = chunk.path.0;
                let ack =
                    expected
                        .acked
                        .entry(path)
                        .or_insert((0, flights[usize::from(path)], false));
                // Of those in gaps only the first on its path can be the earliest.
                ack.2 |= earliest && (n < front || !named.contains(&path));
                named.insert(path);
                if !chunk.counted && !chunk.abandoned {
                    ack.0 += size(chunk.len);
                }
                let chunk_now = self.chunks.get_mut(&n).unwrap();
                chunk_now.state = State::GapAcked;
                chunk_now.counted = true;
                if arrived {
                    self.delivered(now, n, chunk);
                }
            }
        }
        self.chunks.retain(|&n, _| n >= front);
        self.front = front;

        let in_gaps = |n: &&u64| **n >= front;
        // One past the highest TSN that misses are counted before.
        let htna = newly.iter().filter(in_gaps).max().map_or(front, |&n| n + 1);
        let newest = (newly.iter().filter(in_gaps))
            .filter(|n| before[*n].transmits == 1)
            .map(|n| before[n].sent_at)
            .max();
        let reported = if in_recovery && advance > 0 {
            gaps.iter().max().map_or(front, |&n| n + 1)
        } else {
            htna
        };
        for (&n, chunk) in &mut self.chunks {
            if chunk.state == State::GapAcked && !gaps.contains(&n) {
                expected.reneged += 1;
                self.reneged = true;
                if chunk.abandoned {
                    chunk.state = State::GivenUp;
                    continue;
                }
                chunk.state = State::InFlight;
                chunk.misses = u32::from(n >= reported);
                chunk.reneged = true;
            }
        }
        for (&n, chunk) in &mut self.chunks {
            let reported = n < reported && chunk.state == State::InFlight;
            let evidence = chunk.transmits == 1 || newest.is_some_and(|at| at > chunk.sent_at);
            let reordered = |path: &PathModel| path.reordered && self.by_time;
            let overruled = self.paths.get(&chunk.path.0).is_some_and(reordered);
            if reported && evidence && !chunk.fast_retransmitted && !overruled {
                chunk.misses += 1;
                if chunk.misses >= 3 {
                    chunk.state = chunk.lost();
                    chunk.fast_retransmitted = true;
                    *expected.lost.entry(chunk.path.0).or_default() += size(chunk.len);
                }
            }
        }
        expected
    }
}

fn detection(by_time: bool) -> LossDetection {
    match by_time {
        true => LossDetection::SendTimes,
        false => LossDetection::MissingReports,
    }
}

struct Run {
    queue: SendQueue,
    ring: Outstanding,
    model: Model,
    now: Instant,
    first: Tsn,
    sent_messages: u32,
    given_up: u32,
    acked_messages: u32,
}

impl Run {
    fn new(first: u32, detection: LossDetection) -> Self {
        let mut queue = SendQueue::new(&AssociationConfig::default());
        queue.negotiated(4, true);
        queue.set_partial(true);
        Self {
            queue,
            ring: Outstanding::new(Tsn(first), true, detection),
            model: Model {
                chunks: BTreeMap::new(),
                front: 0,
                next: 0,
                paths: BTreeMap::new(),
                by_time: detection == LossDetection::SendTimes,
                reneged: false,
            },
            now: Instant::from_nanos(1),
            first: Tsn(first),
            sent_messages: 0,
            given_up: 0,
            acked_messages: 0,
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Send { len, stream, path } => self.send(len, stream, PathId(path)),
            Op::Sack {
                advance,
                mask,
                renege,
                in_recovery,
            } => {
                let window = self.model.next - self.model.front;
                let advance = window * u64::from(advance) / 16;
                let front = self.model.front + advance;
                let gaps: Vec<u64> = (self.model.chunks.iter())
                    .filter(|&(&n, _)| n > front)
                    .filter(|&(&n, chunk)| match chunk.state {
                        State::GapAcked => renege == 0 || n % 12 != u64::from(renege),
                        _ => mask >> (n % 64) & 1 == 1,
                    })
                    .map(|(&n, _)| n)
                    .collect();
                self.sack(advance, &gaps, in_recovery);
            }
            Op::T3 { path } => {
                let mut bytes = 0;
                for chunk in self.model.chunks.values_mut() {
                    if chunk.path.0 == path && chunk.state == State::InFlight {
                        chunk.state = chunk.lost();
                        bytes += chunk.len;
                    }
                }
                assert_eq!(self.ring.t3_expired(PathId(path)), bytes);
            }
            Op::Resend { count, path } => self.resend(usize::from(count), PathId(path)),
            Op::Detect {
                path,
                in_recovery,
                srtt,
            } => self.detect(path, in_recovery, srtt),
            Op::Duplicated { mask } => self.duplicated(mask),
            Op::Recovered { path } => {
                let known = self.model.paths.entry(path).or_default();
                known.calm += 1;
                if known.calm >= 16 {
                    known.widened = 0;
                }
                self.ring.recovered(PathId(path));
            }
            Op::Probe { path, room } => self.probe(PathId(path), room),
            Op::GiveUp { pick } => self.give_up(usize::from(pick)),
            Op::Cut {
                fragments,
                stream,
                path,
                unordered,
            } => self.cut(fragments, stream, PathId(path), unordered),
            Op::Wait { ms } => self.now += Duration::from_millis(u64::from(ms)),
        }
        self.check();
    }

    fn send(&mut self, len: usize, stream: u16, path: PathId) {
        let data = Bytes::from(vec![0; len]);
        let info = SendInfo::default();
        if (self.queue.push(self.now, StreamId(stream), data, info)).is_err() {
            return;
        }
        self.sent_messages += 1;
        self.hand_out(usize::MAX, path);
    }

    fn hand_out(&mut self, most: usize, path: PathId) {
        for _ in 0..most {
            let Some(fragment) = self.queue.next_fragment(self.now, 1200, 1200) else {
                break;
            };
            let tsn = self.ring.push(self.now, &fragment, path);
            self.queue.assigned(fragment.key, tsn);
            let message = self.queue.message(fragment.key);
            let name = (message.stream, message.unordered);
            assert_eq!(tsn, self.first.plus(self.model.next as u32));
            let chunk = Chunk {
                len: usize::from(fragment.len),
                path,
                state: State::InFlight,
                sent_at: self.now,
                transmits: 1,
                misses: 0,
                fast_retransmitted: false,
                reneged: false,
                counted: false,
                message: (self.sent_messages, name, message.seq),
                abandoned: false,
            };
            self.model.chunks.insert(self.model.next, chunk);
            self.model.next += 1;
        }
    }

    fn give_up(&mut self, pick: usize) {
        let waits: Vec<u64> = (self.model.chunks.iter())
            .filter(|(_, chunk)| !chunk.abandoned)
            .map(|(&n, _)| n)
            .collect();
        let Some(&n) = waits.get(pick % waits.len().max(1)) else {
            return;
        };
        let key = self.ring.records[(n - self.model.front) as usize].key;
        self.queue.give_up(key);
        self.given_up += 1;
        let told = self.model.advanced();
        let message = self.model.chunks[&n].message;
        for chunk in self.model.chunks.values_mut() {
            if chunk.message == message {
                chunk.abandoned = true;
                if chunk.state == State::Lost {
                    chunk.state = State::GivenUp;
                }
            }
        }
        let more = self.ring.settle(self.now, &mut self.queue);
        assert_eq!(more, self.model.advanced() > told);
        let failed = self.queue.poll_failed().expect("it is given up");
        assert_eq!(failed.sent, failed.data.len());
    }

    /// A message of which a part is never sent ends with a TSN all the same.
    fn cut(&mut self, fragments: usize, stream: u16, path: PathId, unordered: bool) {
        let data = Bytes::from(vec![0; 1200 * fragments + 1]);
        let info = SendInfo::default().unordered(unordered);
        if (self.queue.push(self.now, StreamId(stream), data, info)).is_err() {
            return;
        }
        self.sent_messages += 1;
        self.given_up += 1;
        self.hand_out(fragments, path);
        let last = self.model.chunks[&(self.model.next - 1)].clone();
        self.queue.discard_unsent(StreamId(stream));
        for chunk in self.model.chunks.values_mut() {
            chunk.abandoned |= chunk.message == last.message;
        }
        let end = Chunk {
            len: 0,
            state: State::GivenUp,
            transmits: 0,
            abandoned: true,
            ..last
        };
        self.model.chunks.insert(self.model.next, end);
        self.model.next += 1;
        self.ring.settle(self.now, &mut self.queue);
        let failed = self.queue.poll_failed().expect("it is given up");
        assert_eq!(
            (failed.sent, failed.data.len()),
            (1200 * fragments, 1200 * fragments + 1)
        );
        assert!(!self.queue.has_unsent());
    }

    fn sack(&mut self, advance: u64, gaps: &[u64], in_recovery: bool) {
        let front = self.model.front + advance;
        let mut blocks: Vec<(u16, u16)> = Vec::new();
        for &n in gaps {
            let offset = (n - front + 1) as u16;
            match blocks.last_mut() {
                Some(last) if last.1 + 1 == offset => last.1 = offset,
                _ => blocks.push((offset, offset)),
            }
        }
        let mut outcome = AckOutcome::default();
        let cumulative = self.first.plus(front as u32).previous();
        let blocks = blocks.iter().copied();
        let (ring, queue) = (&mut self.ring, &mut self.queue);
        ring.apply_sack(
            self.now,
            cumulative,
            blocks,
            queue,
            in_recovery,
            &mut outcome,
        )
        .unwrap();
        let expected = self.model.sack(self.now, advance, gaps, in_recovery);
        let got = Expected {
            acked: (outcome.acked.iter())
                .map(|a| (a.path.0, (a.bytes, a.flight_before, a.includes_earliest)))
                .collect(),
            lost: outcome
                .lost
                .iter()
                .map(|loss| (loss.path.0, loss.bytes))
                .collect(),
            reneged: outcome.reneged,
        };
        assert_eq!(got, expected);
        assert_eq!(outcome.bad_gap_blocks, 0);
        if let Some((path, rtt)) = outcome.rtt {
            let least = &mut self.model.paths.get_mut(&path.0).unwrap().min_rtt;
            *least = Some(least.map_or(rtt, |least| least.min(rtt)));
        }
        self.acked_messages += outcome.messages_acked;
    }

    fn detect(&mut self, path: u8, in_recovery: bool, srtt: Option<u8>) {
        let srtt = srtt.map(|ms| Duration::from_millis(u64::from(ms)));
        let settling = Settling {
            srtt,
            in_recovery,
            packet: PACKET,
        };
        if !self.ring.has_suspects(PathId(path)) {
            if self.model.by_time && !self.model.reneged {
                let found = self.model.detect(self.now, path, in_recovery, srtt);
                assert_eq!(found, (0, None));
            }
            return;
        }
        let mut outcome = AckOutcome::default();
        let ring = &mut self.ring;
        let due = ring.detect_losses(self.now, PathId(path), &settling, &mut outcome);
        let lost = outcome.lost.iter().map(|loss| loss.bytes).sum();
        let found = self.model.detect(self.now, path, in_recovery, srtt);
        assert_eq!((lost, due), found);
    }

    fn duplicated(&mut self, mask: u64) {
        let model = &mut self.model;
        let begin = model.front.saturating_sub(32);
        let picked: Vec<u64> = (begin..model.next.min(begin + 64))
            .filter(|n| mask >> (n - begin) & 1 == 1)
            .collect();
        let by_time = model.by_time;
        for path in model.paths.values_mut().filter(|_| by_time) {
            let known = path.repaired.iter().rev().take(16);
            if known.clone().any(|n| picked.contains(n)) {
                path.reordered = true;
                path.calm = 0;
                if model.front >= path.round {
                    path.round = model.next;
                    path.widened += 1;
                }
            }
        }
        let tsns: Vec<Tsn> = picked.iter().map(|&n| self.first.plus(n as u32)).collect();
        self.ring.duplicated(tsns.into_iter());
    }

    /// What is repeated is the end of what is in flight on the path, and fits.
    fn probe(&mut self, path: PathId, room: usize) {
        let mut left = room;
        let in_flight = self.model.chunks.iter().rev();
        let tail: Vec<u64> = in_flight
            .filter(|(_, c)| c.path == path && c.state == State::InFlight && !c.abandoned)
            .map_while(|(&n, c)| {
                left = left.checked_sub(size(c.len))?;
                Some(n)
            })
            .collect();
        let mut next = self.ring.tail(path, room);
        for &n in tail.iter().rev() {
            let chunk = next.unwrap();
            assert_eq!(chunk.tsn, self.first.plus(n as u32));
            self.ring.probed(chunk.tsn, self.now, path);
            let model = self.model.chunks.get_mut(&n).unwrap();
            model.sent_at = self.now;
            model.transmits += 1;
            model.misses = 0;
            model.reneged = false;
            next = self.ring.in_flight_after(chunk.tsn, path);
        }
        assert_eq!(next, None);
    }

    fn resend(&mut self, count: usize, path: PathId) {
        for _ in 0..count {
            let Some(lost) = self.ring.next_lost() else {
                break;
            };
            self.ring.resent(lost.tsn, self.now, path);
            let mut chunks = self.model.chunks.iter_mut();
            let (&n, chunk) = chunks.find(|(_, c)| c.state == State::Lost).unwrap();
            if chunk.fast_retransmitted {
                let lost_on = self.model.paths.entry(chunk.path.0).or_default();
                lost_on.repaired.push(n);
            }
            chunk.state = State::InFlight;
            chunk.path = path;
            chunk.sent_at = self.now;
            chunk.transmits += 1;
            chunk.misses = 0;
            chunk.reneged = false;
            self.check();
        }
    }

    /// What a FORWARD-TSN says: the last TSN of those in front that are given up, and the last
    /// message of each stream among them.
    fn check_forward(&self) {
        let front: Vec<_> = self.model.in_front().collect();
        let forward = self.ring.forward(&self.queue, true, usize::MAX, None);
        assert_eq!(self.ring.advanced(), forward.as_ref().map(|f| f.cumulative));
        let last = front.last().map(|(n, _)| self.first.plus(*n as u32));
        assert_eq!(forward.as_ref().map(|f| f.cumulative), last);
        let mut expected: BTreeMap<_, u32> = BTreeMap::new();
        for (_, chunk) in &front {
            expected.insert(chunk.message.1, chunk.message.2);
        }
        let skipped = forward.map_or(Vec::new(), |forward| forward.skipped);
        let got: BTreeMap<_, _> = (skipped.iter())
            .map(|s| ((s.stream, s.unordered), s.seq))
            .collect();
        assert_eq!((got.len(), got), (skipped.len(), expected));
        // Of a list that is cut short, the TSNs are those of its streams.
        if let Some(short) = self.ring.forward(&self.queue, true, 1, None) {
            assert_eq!(short.skipped.len(), 1);
            let only = (short.skipped[0].stream, short.skipped[0].unordered);
            let count = front
                .iter()
                .take_while(|(_, c)| c.message.1 == only)
                .count();
            let last = self.first.plus((self.model.front as usize + count) as u32);
            assert_eq!(short.cumulative, last.previous());
        }
    }

    /// Everything the ring keeps is what the records and the model say.
    fn check(&self) {
        let (ring, model) = (&self.ring, &self.model);
        assert_eq!(ring.next_tsn(), self.first.plus(model.next as u32));
        assert_eq!(
            ring.cumulative(),
            self.first.plus(model.front as u32).previous()
        );
        assert_eq!(ring.len(), model.chunks.len());
        let view = |r: &Record| (r.state, r.path, usize::from(r.len), r.sent_at, r.misses);
        let got: Vec<_> = ring.records.iter().map(view).collect();
        let expected: Vec<_> = (model.chunks.values())
            .map(|c| (c.state, c.path, c.len, c.sent_at, c.misses as u8))
            .collect();
        assert_eq!(got, expected);
        for path in 0..PATHS {
            assert_eq!(ring.flight(PathId(path)), model.flight(path));
            let earliest = model.earliest(PathId(path));
            let sent_at = earliest.map(|n| model.chunks[&n].sent_at);
            assert_eq!(ring.oldest_in_flight(PathId(path)), sent_at);
            let known = (ring.paths.get(usize::from(path))).map(|path| &path.rack);
            let reordering = known.and_then(|rack| rack.reordering.as_ref());
            let four = Duration::from_millis(4);
            let quarters = reordering.map_or(four / 4, |known| known.window(four));
            let widened = model.paths.get(&path).map_or(0, |known| known.widened);
            assert_eq!(quarters, four / 4 * (1 + widened));
        }
        let in_flight = model.chunks.values().filter(|c| c.state == State::InFlight);
        assert_eq!(ring.total_flight(), in_flight.map(|c| c.len).sum::<usize>());
        let first_lost = model.chunks.iter().find(|(_, c)| c.state == State::Lost);
        assert_eq!(
            ring.next_lost().map(|lost| lost.tsn),
            first_lost.map(|(&n, _)| self.first.plus(n as u32))
        );
        assert_eq!(ring.has_lost(), first_lost.is_some());
        self.check_forward();
        self.ring.audit(&self.queue);
        self.queue.audit();
    }

    /// The peer has received everything: nothing is left, nothing was lost on the way.
    fn finish(mut self) {
        self.sack(self.model.next - self.model.front, &[], false);
        self.check();
        assert!(self.ring.is_empty() && self.queue.is_empty());
        assert_eq!((self.queue.buffered(), self.ring.total_flight()), (0, 0));
        assert_eq!(self.acked_messages, self.sent_messages - self.given_up);
    }
}

proptest! {
    #[test]
    fn the_ring_does_what_the_model_does(
        first in prop_oneof![any::<u32>(), u32::MAX - 60..u32::MAX],
        by_time in any::<bool>(),
        ops in vec(op(), 1..120),
    ) {
        let mut run = Run::new(first, detection(by_time));
        for op in &ops {
            run.apply(op);
        }
        run.finish();
    }

    /// Any blocks at all: no panic, nothing counted wrong, and the rest still arrives.
    #[test]
    fn threat_08_any_sack_is_survived(
        count in 0usize..40,
        sacks in vec((any::<u32>(), vec((0u16..50, 0u16..50), 0..6)), 0..20),
        near in vec((0u32..50, vec((0u16..50, 0u16..50), 0..6)), 0..20),
    ) {
        let mut run = Run::new(u32::MAX - 9, LossDetection::SendTimes);
        for _ in 0..count {
            run.send(10, 0, PathId(0));
        }
        let near = near.into_iter().map(|(n, gaps)| (run.first.plus(n).0, gaps));
        for (cumulative, gaps) in sacks.into_iter().chain(near) {
            let mut outcome = AckOutcome::default();
            let (ring, queue) = (&mut run.ring, &mut run.queue);
            let gaps = gaps.into_iter();
            let _ = ring.apply_sack(run.now, Tsn(cumulative), gaps, queue, false, &mut outcome);
            let in_flight = ring.records.iter().filter(|r| r.state == State::InFlight);
            prop_assert_eq!(in_flight.count() * 32, ring.flight(PathId(0)));
            let lost = ring.records.iter().filter(|r| r.state == State::Lost).count();
            prop_assert_eq!(lost, ring.lost);
        }
        let mut outcome = AckOutcome::default();
        let last = run.ring.next_tsn().previous();
        run.ring.apply_cumulative(run.now, last, &mut run.queue, &mut outcome).unwrap();
        prop_assert!(run.queue.is_empty() && !run.ring.has_lost());
    }
}
