//! The send queue and the send window, between a user, a lossy network and a peer that at times
//! says anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sctp_proto::{
    AssociationConfig, Instant, LossDetection, PathId, Ppid, Reliability, SchedulerKind, SendError,
    SendInfo, StreamId, Tsn,
    internals::tx::{AckOutcome, Outstanding, SackError, SendQueue, Settling},
};

use crate::Input;

const STREAMS: u16 = 8;
/// User data of a packet of its own.
const FULL: usize = 1200;
const PATHS: [PathId; 2] = [PathId::from_index(0), PathId::from_index(1)];

/// The sender, and what its peer has.
struct Run {
    now: Instant,
    interleaving: bool,
    queue: SendQueue,
    window: Outstanding,
    outcome: AckOutcome,
    /// What arrived beyond the cumulative point, by distance from the initial TSN.
    arrived: BTreeMap<u32, Chunk>,
    /// Chunks at or below it, in order; none where the sender told it to go on without.
    delivered: Vec<Option<Chunk>>,
    /// Messages that the queue took, by context.
    pushed: BTreeMap<u32, Vec<u8>>,
    /// Those that it gave up.
    failed: BTreeSet<u32>,
    next_message: u32,
    initial: Tsn,
    /// Whether the peer has only told the truth.
    honest: bool,
}

#[derive(Debug, Clone)]
struct Chunk {
    context: u32,
    begin: bool,
    end: bool,
    payload: Vec<u8>,
}

/// Takes settings and a list of operations.
pub fn outstanding(data: &[u8]) {
    let mut input = Input::new(data);
    let settings = input.u8();
    let interleaving = settings & 1 != 0;
    let schedulers = [
        SchedulerKind::FirstComeFirstServed,
        SchedulerKind::RoundRobin,
        SchedulerKind::Priority,
        SchedulerKind::WeightedFairQueueing,
    ];
    let mut config = AssociationConfig::default();
    config
        .scheduler(schedulers[usize::from(settings >> 1) % schedulers.len()])
        .send_buffer(64 * 1024)
        .stream_send_buffer(16 * 1024)
        .outbound_streams(STREAMS);
    let mut queue = SendQueue::new(&config);
    queue.negotiated(STREAMS, interleaving);
    queue.set_partial(settings & 8 != 0);
    let detection = match settings & 0x80 {
        0 => LossDetection::SendTimes,
        _ => LossDetection::MissingReports,
    };
    let initial = Tsn::new(u32::from(input.u16()).wrapping_sub(100));
    let mut run = Run {
        now: Instant::EPOCH,
        interleaving,
        queue,
        window: Outstanding::new(initial, interleaving, detection),
        outcome: AckOutcome::default(),
        arrived: BTreeMap::new(),
        delivered: Vec::new(),
        pushed: BTreeMap::new(),
        failed: BTreeSet::new(),
        next_message: 0,
        initial,
        honest: true,
    };
    while !input.is_empty() && run.operation(&mut input) {
        run.check();
    }
    if run.honest {
        run.finish();
    }
}

impl Run {
    /// One operation; false if the peer's answer ends the association.
    fn operation(&mut self, input: &mut Input<'_>) -> bool {
        let operation = input.u8();
        let argument = operation >> 3;
        match operation % 8 {
            0 => self.push(
                input.u8(),
                usize::from(input.u16()) % 5000 + 1,
                reliability(argument),
            ),
            1 => self.send(
                usize::from(argument) + 1,
                input.u8(),
                PATHS[usize::from(argument & 1)],
            ),
            2 => self.resend(input.u8(), PATHS[usize::from(argument & 1)]),
            3 if argument & 2 != 0 => self.tell(usize::from(input.u8())),
            3 => self.honest_sack(argument & 1 != 0),
            4 => self.lose(argument),
            5 => self.now += Duration::from_millis(input.u8().into()),
            6 if argument & 16 != 0 => self.detect(argument & 8 != 0, argument & 4 != 0),
            6 if argument & 8 != 0 => self.discard(StreamId(u16::from(argument) % STREAMS)),
            6 => {
                while self.queue.poll_writable().is_some() {}
                self.queue
                    .set_priority(StreamId(u16::from(argument) % STREAMS), input.u16());
            }
            _ => return self.any_sack(input),
        }
        true
    }

    fn push(&mut self, which: u8, len: usize, reliability: Reliability) {
        let context = self.next_message;
        let payload: Vec<u8> = (0..len).map(|at| (at as u32 ^ context) as u8).collect();
        let info = SendInfo::new(Ppid(0))
            .unordered(which & 0x80 != 0)
            .reliability(reliability)
            .context(context);
        let stream = StreamId(u16::from(which) % STREAMS);
        match self
            .queue
            .push(self.now, stream, payload.clone().into(), info)
        {
            Ok(()) => {
                self.pushed.insert(context, payload);
                self.next_message += 1;
            }
            Err(SendError::Blocked(data)) => assert_eq!(data, payload),
            Err(error) => panic!("{error}"),
        }
        // It may have made room for itself.
        self.settle();
    }

    /// Drops what a stream has not sent yet.
    fn discard(&mut self, stream: StreamId) {
        self.queue.discard_unsent(stream);
        self.settle();
    }

    /// What is due after whatever may have made the queue give something up.
    fn settle(&mut self) {
        self.window.settle(self.now, &mut self.queue);
        while let Some(failed) = self.queue.poll_failed() {
            assert_eq!(
                Some(&*failed.data),
                self.pushed.get(&failed.context).map(Vec::as_slice)
            );
            assert!(failed.sent <= failed.data.len());
            assert!(self.failed.insert(failed.context), "it is given up once");
        }
    }

    /// Gives up what is lost and not worth being sent again.
    fn give_up_lost(&mut self) {
        while let Some(lost) = self.window.next_lost() {
            let key = lost.fragment.key;
            if !self.queue.is_worthless(self.now, key, lost.transmits) {
                break;
            }
            self.queue.give_up(key);
            self.settle();
        }
    }

    /// A FORWARD-TSN, with a list of so many entries at most, and it arrives.
    fn tell(&mut self, most: usize) {
        let forward = (self.window).forward(&self.queue, self.interleaving, most, None);
        let Some(forward) = forward else {
            return;
        };
        let advanced = self.window.advanced();
        assert!(advanced.is_some_and(|advanced| !advanced.before(forward.cumulative)));
        let count = forward.cumulative.distance_from(self.initial.previous());
        while self.delivered.len() < count as usize {
            let position = self.delivered.len() as u32;
            self.delivered.push(self.arrived.remove(&position));
        }
        self.deliver();
    }

    /// Sends up to `packets` packets of new data; `fate` tells by its bits which of them arrive.
    fn send(&mut self, packets: usize, fate: u8, path: PathId) {
        for packet in 0..packets {
            let mut room = FULL;
            let mut chunks = 0;
            while room > 32 {
                let fragment = self.queue.next_fragment(self.now, room, FULL);
                self.settle();
                let Some(fragment) = fragment else {
                    break;
                };
                assert!(usize::from(fragment.len) <= room && fragment.len > 0);
                room -= usize::from(fragment.len);
                room = room.saturating_sub(16);
                let tsn = self.window.push(self.now, &fragment, path);
                self.queue.assigned(fragment.key, tsn);
                let payload = self
                    .queue
                    .payload(fragment.key, fragment.offset, fragment.len);
                let chunk = Chunk {
                    context: self.queue.message(fragment.key).context,
                    begin: fragment.begin,
                    end: fragment.end,
                    payload: payload.to_vec(),
                };
                assert_eq!(fragment.begin, fragment.offset == 0);
                if fate >> (packet % 8) & 1 != 0 {
                    self.arrive(tsn, chunk);
                }
                chunks += 1;
            }
            if chunks == 0 {
                break;
            }
        }
    }

    /// Sends up to eight chunks again; `fate` tells which of them arrive.
    fn resend(&mut self, fate: u8, path: PathId) {
        for bit in 0..8 {
            self.give_up_lost();
            let Some(lost) = self.window.next_lost() else {
                return;
            };
            let chunk = Chunk {
                context: self.queue.message(lost.fragment.key).context,
                begin: lost.fragment.begin,
                end: lost.fragment.end,
                payload: self
                    .queue
                    .payload(lost.fragment.key, lost.fragment.offset, lost.fragment.len)
                    .to_vec(),
            };
            self.window.resent(lost.tsn, self.now, path);
            if fate >> bit & 1 != 0 {
                self.arrive(lost.tsn, chunk);
            }
        }
    }

    fn arrive(&mut self, tsn: Tsn, chunk: Chunk) {
        let position = tsn.distance_from(self.initial);
        if position as usize >= self.delivered.len() {
            self.arrived.entry(position).or_insert(chunk);
        }
        self.deliver();
    }

    fn deliver(&mut self) {
        while let Some(chunk) = self.arrived.remove(&(self.delivered.len() as u32)) {
            self.delivered.push(Some(chunk));
        }
    }

    /// What a correct peer says, with its gap blocks or with none (it has reneged on them).
    fn honest_sack(&mut self, reneging: bool) {
        let count = self.delivered.len() as u32;
        if reneging {
            self.arrived.clear();
        }
        let mut gaps: Vec<(u16, u16)> = Vec::new();
        for position in self.arrived.keys() {
            let offset = (position - count + 1) as u16;
            match gaps.last_mut() {
                Some(last) if last.1 + 1 == offset => last.1 = offset,
                _ => gaps.push((offset, offset)),
            }
        }
        let cumulative = self.initial.previous().plus(count);
        let result = self.apply(cumulative, &gaps, false);
        // A lie before may have acknowledged more than the truth.
        assert!(result.is_ok() || !self.honest);
    }

    /// Whatever the input says; only what was never sent ends the association.
    fn any_sack(&mut self, input: &mut Input<'_>) -> bool {
        self.honest = false;
        let distance = i32::from(input.u8() as i8);
        let cumulative = self.window.cumulative().plus(distance as u32);
        let blocks: Vec<(u16, u16)> = (0..input.u8() % 4)
            .map(|_| (u16::from(input.u8()), u16::from(input.u8())))
            .collect();
        let sent = self.window.next_tsn().previous();
        let result = self.apply(cumulative, &blocks, distance & 1 != 0);
        if sent.before(cumulative) {
            assert_eq!(result, Err(SackError::BeyondSent));
        }
        result.is_ok()
    }

    fn apply(
        &mut self,
        cumulative: Tsn,
        blocks: &[(u16, u16)],
        in_fast_recovery: bool,
    ) -> Result<(), SackError> {
        self.outcome.clear();
        let before = self.window.cumulative();
        let flight: usize = PATHS.iter().map(|path| self.window.flight(*path)).sum();
        let blocks = blocks.iter().copied();
        let (queue, outcome) = (&mut self.queue, &mut self.outcome);
        let result = self.window.apply_sack(
            self.now,
            cumulative,
            blocks,
            queue,
            in_fast_recovery,
            outcome,
        );
        if result.is_err() {
            assert_eq!(self.window.cumulative(), before, "an error changes nothing");
            return result;
        }
        assert_eq!(
            outcome.cumulative_advanced,
            self.window.cumulative() != before
        );
        if !cumulative.before(before) {
            assert_eq!(outcome.dry, queue.is_empty());
        }
        let after: usize = PATHS.iter().map(|path| self.window.flight(*path)).sum();
        let lost: usize = outcome.lost.iter().map(|lost| lost.bytes).sum();
        if outcome.reneged == 0 {
            assert!(
                after + lost <= flight,
                "an acknowledgement puts nothing in flight"
            );
        }
        if let Some((_, rtt)) = outcome.rtt {
            assert!(rtt <= self.now - Instant::EPOCH);
        }
        result
    }

    /// A path loses all that is in flight there, or what is larger than it carries.
    fn lose(&mut self, argument: u8) {
        let path = PATHS[usize::from(argument & 1)];
        match usize::from(argument >> 2) {
            0 => self.window.t3_expired(path),
            steps => self.window.dropped(path, |size| size > steps * 150),
        };
    }

    /// Asks for losses by send times; `probing` sends the end of what is in flight once more.
    fn detect(&mut self, in_recovery: bool, probing: bool) {
        let settling = Settling {
            srtt: None,
            in_recovery,
            packet: FULL,
        };
        for path in PATHS {
            let flight = self.window.flight(path);
            self.outcome.clear();
            let due = (self.window).detect_losses(self.now, path, &settling, &mut self.outcome);
            assert!(due.is_none_or(|due| due > self.now));
            let lost: usize = self.outcome.lost.iter().map(|lost| lost.bytes).sum();
            assert_eq!(self.window.flight(path) + lost, flight);
            let mut next = self.window.tail(path, FULL).filter(|_| probing);
            while let Some(chunk) = next {
                self.window.probed(chunk.tsn, self.now, path);
                next = self.window.in_flight_after(chunk.tsn, path);
            }
            assert_eq!(self.window.flight(path) + lost, flight);
        }
    }

    fn check(&self) {
        let window = &self.window;
        self.queue.audit();
        window.audit(&self.queue);
        let len = window.next_tsn().distance_from(window.cumulative()) - 1;
        assert_eq!(window.len(), len as usize);
        assert_eq!(window.is_empty(), len == 0);
        assert_eq!(window.has_lost(), window.next_lost().is_some());
        if let Some(lost) = window.next_lost() {
            assert!(window.cumulative().before(lost.tsn) && lost.tsn.before(window.next_tsn()));
            let payload =
                self.queue
                    .payload(lost.fragment.key, lost.fragment.offset, lost.fragment.len);
            assert_eq!(payload.len(), usize::from(lost.fragment.len));
        }
        let mut flight = 0;
        for path in PATHS {
            flight += window.flight(path);
            assert_eq!(
                window.flight(path) == 0,
                window.oldest_in_flight(path).is_none()
            );
        }
        assert!(window.total_flight() <= flight);
        if window.is_empty() {
            assert_eq!(flight, 0);
            assert!(!window.has_lost());
        }
        if self.queue.is_empty() {
            assert!(window.is_empty() && !self.queue.has_unsent());
            assert_eq!(self.queue.buffered(), 0);
        } else {
            // Of what was given up nothing is left but its TSNs, which the peer is to skip.
            assert!(self.queue.buffered() > 0 || !self.failed.is_empty());
        }
        assert!(self.queue.unsent_bytes() <= self.queue.buffered());
    }

    /// Lets everything arrive: all messages that were not given up must then be there, whole.
    fn finish(&mut self) {
        while !self.queue.is_empty() {
            let before = (self.window.cumulative(), self.queue.unsent_bytes());
            self.send(64, 0xff, PATHS[0]);
            for path in PATHS {
                self.window.t3_expired(path);
            }
            while self.window.has_lost() {
                self.resend(0xff, PATHS[0]);
            }
            self.tell(usize::from(STREAMS) * 2);
            self.honest_sack(false);
            self.check();
            let after = (self.window.cumulative(), self.queue.unsent_bytes());
            assert_ne!(before, after, "no progress");
        }
        let mut messages: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        let mut unfinished = None;
        for chunk in self.delivered.iter().flatten() {
            if self.failed.contains(&chunk.context) {
                continue;
            }
            let message = messages.entry(chunk.context).or_default();
            assert_eq!(message.is_empty(), chunk.begin);
            message.extend_from_slice(&chunk.payload);
            if !self.interleaving {
                assert_eq!(
                    unfinished.is_none(),
                    chunk.begin,
                    "fragments have consecutive TSNs"
                );
                assert!(unfinished.is_none_or(|context| context == chunk.context));
                unfinished = (!chunk.end).then_some(chunk.context);
            }
            if chunk.end {
                assert_eq!(Some(&*message), self.pushed.get(&chunk.context));
            }
        }
        self.pushed
            .retain(|context, _| !self.failed.contains(context));
        assert_eq!(messages, self.pushed);
    }
}

/// How long a message is worth sending.
fn reliability(argument: u8) -> Reliability {
    match argument & 3 {
        0 => Reliability::Reliable,
        1 => Reliability::Lifetime(Duration::from_millis(u64::from(argument) * 8)),
        2 => Reliability::MaxRetransmits(u16::from(argument >> 2)),
        _ => Reliability::Priority(u32::from(argument >> 2)),
    }
}
