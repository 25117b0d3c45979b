//! What this side asks of the peer by RE-CONFIG (RFC 6525 §5.1), and what the answers change.
//!
//! A request to reset streams names those on which everything has got its TSN; until the answer is
//! there they take no messages. A request to reset the association waits until all that was sent is
//! acknowledged, for which the whole queue takes none.

use std::{mem::take, time::Duration};

use smallvec::{SmallVec, smallvec};

use super::{
    super::{Event, ReconfigRequest, cx::Handled, on_data::violation, timers::Timer},
    Cx, MAX_STREAMS_PER_REQUEST, ReconfigOutcome, Tcb, result,
};
use crate::{
    ids::{StreamId, Tsn},
    path::TailProbe,
    time::Instant,
};

/// TSNs after which no acknowledgement from before a reset of the association is on its way.
const STALE_ACKS: u32 = 1 << 24;
/// How often one request is made of a peer that is busy with another.
const MAX_ATTEMPTS: u32 = 5;
/// Time-outs of a request before which the peer answered other things, HEARTBEATs that were sent along
/// with it among them, and not the request: one more, and it is taken not to know such requests. Fewer,
/// and one whose answers get lost counts as one that does not know.
const MAX_PASSED_OVER: u32 = 5;

/// The requests of this side.
#[derive(Debug)]
pub(crate) struct Ours {
    /// Outbound streams that the user wants reset and that are not in a request yet.
    outgoing: Vec<StreamId>,
    /// Inbound streams, likewise.
    incoming: Vec<StreamId>,
    /// The user wants the association reset.
    association: bool,
    /// Streams to add, by either side's wish, that are in no request yet.
    outbound: u16,
    /// Streams that the peer is to add.
    inbound: u16,
    /// In one chunk, which is repeated until all are answered.
    pub(crate) under_way: SmallVec<[Request; 2]>,
    next: u32,
    /// Requests in a row that a busy peer refused.
    attempts: u32,
    /// Time-outs of what is under way before which the peer answered something else.
    passed_over: u32,
    /// The peer has said that it is about to perform what is under way.
    in_progress: bool,
    /// What was given up last. The peer may have got it all the same, and perform it yet.
    given_up: SmallVec<[Request; 2]>,
    /// The peer has acknowledged something since the last time-out.
    heard: bool,
    /// Number of the first request in a row that the peer did not answer: if it has not even counted
    /// them, it goes on from here.
    ignored: Option<u32>,
    /// The peer was busy: nothing is asked until the timer has run out.
    pub(crate) paused: bool,
    /// The last TSN of this side that was acknowledged before the association was reset, and the
    /// first after: acknowledgements from before may still be on their way.
    reset_at: Option<(Tsn, Tsn)>,
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) seq: u32,
    pub(crate) ask: Ask,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    /// Outbound streams begin anew; none named are all.
    OutgoingReset {
        /// Number of the peer's request that this one fulfils, or of its last.
        answers: u32,
        last_tsn: Tsn,
        streams: Vec<StreamId>,
    },
    /// The peer is to reset streams it sends on.
    IncomingReset(Vec<StreamId>),
    AssociationReset,
    AddOutbound(u16),
    AddInbound(u16),
}

impl Ours {
    pub(super) fn new(initial_tsn: Tsn) -> Self {
        Self {
            outgoing: Vec::new(),
            incoming: Vec::new(),
            association: false,
            outbound: 0,
            inbound: 0,
            under_way: SmallVec::new(),
            next: initial_tsn.value(),
            attempts: 0,
            passed_over: 0,
            in_progress: false,
            given_up: SmallVec::new(),
            heard: false,
            ignored: None,
            paused: false,
            reset_at: None,
        }
    }

    /// Whether requests are under way, or have to wait.
    pub(super) fn is_busy(&self) -> bool {
        self.paused || !self.under_way.is_empty()
    }

    /// Takes outbound streams that are to be reset; those under way already are left as they are.
    pub(super) fn want_outgoing(&mut self, streams: &[StreamId]) {
        for stream in streams {
            if !self.outgoing.contains(stream) && !self.resets(*stream) {
                self.outgoing.push(*stream);
            }
        }
    }

    /// Takes inbound streams that the peer is to reset.
    pub(super) fn want_incoming(&mut self, streams: &[StreamId]) {
        let asked = |ask: &Ask, stream| matches!(ask, Ask::IncomingReset(s) if s.contains(stream));
        for stream in streams {
            let under_way = self.under_way.iter().any(|r| asked(&r.ask, stream));
            if !under_way && !self.incoming.contains(stream) {
                self.incoming.push(*stream);
            }
        }
    }

    /// These outbound streams are reset by a request that the peer wanted. None named are all: then
    /// those that the user wants reset are so once more, which is what releases them.
    pub(super) fn forget_outgoing(&mut self, streams: &[StreamId]) {
        self.outgoing.retain(|stream| !streams.contains(stream));
    }

    /// Takes the wish to reset the association; false if that is under way already.
    pub(super) fn want_association(&mut self) -> bool {
        !self.resets_association() && !std::mem::replace(&mut self.association, true)
    }

    /// Takes streams to add, outbound and inbound; false if such a request of the user's own is
    /// under way already.
    pub(super) fn want_streams(&mut self, outbound: u16, inbound: u16) -> bool {
        if self.outbound_to_come() > 0 || self.inbound_to_come() > 0 {
            return false;
        }
        (self.outbound, self.inbound) = (outbound, inbound);
        true
    }

    /// This side is to have more streams, besides those that are asked for already.
    pub(super) fn grant_streams(&mut self, count: u16) {
        self.outbound = self.outbound.saturating_add(count);
    }

    /// Outbound streams that are asked for, or will be.
    pub(super) fn outbound_to_come(&self) -> u16 {
        let asked = self.under_way.iter().find_map(|request| match request.ask {
            Ask::AddOutbound(count) => Some(count),
            _ => None,
        });
        self.outbound.saturating_add(asked.unwrap_or(0))
    }

    fn inbound_to_come(&self) -> u16 {
        let asked = self.under_way.iter().find_map(|request| match request.ask {
            Ask::AddInbound(count) => Some(count),
            _ => None,
        });
        self.inbound.saturating_add(asked.unwrap_or(0))
    }

    /// Whether an outbound stream is being reset by its name. A reset of all does not count: its
    /// answer does not release a stream that is held by itself.
    fn resets(&self, stream: StreamId) -> bool {
        self.under_way.iter().any(|request| match &request.ask {
            Ask::OutgoingReset { streams, .. } => streams.contains(&stream),
            _ => false,
        })
    }

    /// The last TSN before the reset of outbound streams that the peer has been asked for.
    pub(in super::super) fn last_before_reset(&self) -> Option<Tsn> {
        self.under_way.iter().find_map(|request| match request.ask {
            Ask::OutgoingReset { last_tsn, .. } => Some(last_tsn),
            _ => None,
        })
    }

    /// Whether the peer has been asked to reset the association.
    pub(super) fn resets_association(&self) -> bool {
        let mut asks = self.under_way.iter().map(|request| &request.ask);
        asks.any(|ask| matches!(ask, Ask::AssociationReset))
    }

    /// Makes requests of these: they leave in one chunk.
    pub(super) fn ask(&mut self, asks: impl IntoIterator<Item = Ask>) {
        (self.passed_over, self.in_progress, self.heard) = (0, false, false);
        for ask in asks {
            let seq = self.next;
            self.next = seq.wrapping_add(1);
            self.under_way.push(Request { seq, ask });
        }
    }
}

impl Ours {
    /// The peer acknowledges DATA, or a HEARTBEAT.
    pub(in super::super) fn hear(&mut self) {
        self.heard = true;
    }

    /// The peer answers what is not under way. If it has begun to count anew what this side, which
    /// gave the request up, counts on as before, messages would wait without end for those before
    /// them: then there is no going on.
    fn on_late_answer(&mut self, seq: u32, outcome: ReconfigOutcome) -> Handled {
        let late = self.given_up.iter().find(|request| request.seq == seq);
        let resets = late.is_some_and(|request| {
            matches!(
                request.ask,
                Ask::OutgoingReset { .. } | Ask::AssociationReset
            )
        });
        match resets && outcome == ReconfigOutcome::Performed {
            true => Err(violation("a reset that was long given up")),
            false => Ok(()),
        }
    }

    /// How long the peer is given for an answer.
    pub(in super::super) fn patience(&self, rto: Duration, max: Duration) -> Duration {
        let longer = 1_u32 << self.passed_over.min(16);
        rto.saturating_mul(longer).min(max)
    }
}

/// Requests.
impl Tcb {
    /// Makes requests of what waits and is ready.
    pub(in super::super) fn advance_reconfig(&mut self, cx: &mut Cx) {
        if !self.state.reconfigures() {
            return;
        }
        self.advance_deferred(cx);
        if self.reconfig.ours.is_busy() {
            return;
        }
        let asks = self.next_asks(cx);
        if !asks.is_empty() {
            self.reconfig.ours.ask(asks);
            self.due.reconfig_request = true;
        }
    }

    /// What the next chunk asks for: resets of streams, then more of them, and the association last,
    /// which has to wait anyway.
    fn next_asks(&mut self, cx: &Cx) -> SmallVec<[Ask; 2]> {
        let last_tsn = self.outstanding.next_tsn().previous();
        let answers = self.reconfig.theirs.last();
        let ours = &mut self.reconfig.ours;
        let mut asks = SmallVec::new();
        let ready = take_first(&mut ours.outgoing, |stream| cx.queue.stream_idle(stream));
        if !ready.is_empty() {
            asks.push(Ask::OutgoingReset {
                answers,
                last_tsn,
                streams: ready,
            });
        }
        let incoming = take_first(&mut ours.incoming, |_| true);
        if !incoming.is_empty() {
            asks.push(Ask::IncomingReset(incoming));
        }
        if !asks.is_empty() {
            return asks;
        }
        if ours.outbound > 0 {
            asks.push(Ask::AddOutbound(take(&mut ours.outbound)));
        }
        if ours.inbound > 0 {
            asks.push(Ask::AddInbound(take(&mut ours.inbound)));
        }
        if asks.is_empty() && ours.association && cx.queue.is_empty() {
            ours.association = false;
            asks.push(Ask::AssociationReset);
        }
        asks
    }

    /// The peer has not answered in time, or had time enough for what it was busy with. Silence
    /// counts against it, as that to DATA does. A peer that answers other things time and again is
    /// there, and does not know what it is asked for: that ends the request and nothing else. One that
    /// has said that it is about to perform it does so, however long it takes.
    pub(in super::super) fn on_reconfig_timeout(&mut self, cx: &mut Cx) -> Handled {
        let ours = &mut self.reconfig.ours;
        ours.paused = false;
        if ours.under_way.is_empty() {
            return Ok(());
        }
        let heard = take(&mut ours.heard);
        ours.passed_over += u32::from(heard);
        if ours.passed_over > MAX_PASSED_OVER && !ours.in_progress {
            return self.give_up_requests(cx);
        }
        self.due.reconfig_request = true;
        if heard {
            if !ours.in_progress {
                // In the packet of the request, so that its answer tells that the request came, too.
                let id = self.control_route();
                self.paths.get_mut(id).heartbeat.due = true;
            }
            return Ok(());
        }
        self.count_error(cx, self.control_path)?;
        // Before silence has consequences it is made sure that it is one.
        let path = self.paths.get_mut(self.control_path);
        let last = self.errors == cx.config.association_max_retrans;
        path.heartbeat.due |= last || path.errors == path.max_retrans;
        Ok(())
    }

    fn give_up_requests(&mut self, cx: &mut Cx) -> Handled {
        let ours = &mut self.reconfig.ours;
        ours.attempts = 0;
        let given_up = take(&mut ours.under_way);
        if let Some(first) = given_up.first() {
            ours.ignored.get_or_insert(first.seq);
        }
        self.due.reconfig_request = false;
        for Request { ask, .. } in &given_up {
            self.on_outcome(cx, ask.clone(), ReconfigOutcome::Unanswered, None)?;
        }
        self.reconfig.ours.given_up = given_up;
        Ok(())
    }
}

/// Answers.
impl Tcb {
    /// The peer answers the request with this number, if it is one under way.
    pub(super) fn on_answer(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        seq: u32,
        code: u32,
        tsns: Option<(Tsn, Tsn)>,
    ) -> Handled {
        let ours = &mut self.reconfig.ours;
        let Some(index) = ours.under_way.iter().position(|r| r.seq == seq) else {
            return ours.on_late_answer(seq, ReconfigOutcome::of(code));
        };
        // It waits for data that is under way; the request is repeated until it is performed.
        if code == result::IN_PROGRESS {
            self.errors = 0;
            ours.in_progress = true;
            ours.heard = true;
            ours.ignored = None;
            return Ok(());
        }
        let Request { ask, .. } = ours.under_way.remove(index);
        if ours.under_way.is_empty() {
            self.due.reconfig_request = false;
            // The timer may have been that of a pause.
            ours.paused = false;
            cx.timers.stop(Timer::Reconfig);
        }
        let outcome = ReconfigOutcome::of(code);
        if outcome != ReconfigOutcome::BadSequence {
            ours.ignored = None;
        } else if let Some(ignored) = ours.ignored {
            if ours.under_way.is_empty() {
                (ours.next, ours.ignored) = (ignored, None);
                ours.given_up.clear();
            }
            self.ask_again_later(cx, now, ask);
            return Ok(());
        }
        if outcome == ReconfigOutcome::Busy && ours.attempts < MAX_ATTEMPTS {
            ours.attempts += 1;
            self.ask_again_later(cx, now, ask);
            return Ok(());
        }
        ours.attempts = 0;
        self.on_outcome(cx, ask, outcome, tsns)
    }

    /// What was asked for has come to this.
    fn on_outcome(
        &mut self,
        cx: &mut Cx,
        ask: Ask,
        outcome: ReconfigOutcome,
        tsns: Option<(Tsn, Tsn)>,
    ) -> Handled {
        match ask {
            Ask::OutgoingReset { streams, .. } => {
                let performed = outcome.is_success();
                if streams.is_empty() {
                    cx.queue.release(performed);
                }
                for &stream in &streams {
                    cx.queue.reset_done(stream, performed);
                }
                self.hold_on(cx);
                // It may have waited for the answer to go further.
                self.repeat_forward();
                cx.event(Event::OutgoingReset { streams, outcome });
            }
            Ask::IncomingReset(streams) => {
                let request = ReconfigRequest::IncomingReset(streams);
                cx.event(Event::ReconfigAnswered { request, outcome });
            }
            Ask::AssociationReset => {
                if outcome == ReconfigOutcome::Performed {
                    let (peer_next, own_next) =
                        tsns.ok_or_else(|| violation("an association reset without TSNs"))?;
                    self.on_association_reset(cx, peer_next, own_next);
                }
                cx.queue.release(false);
                self.hold_on(cx);
                let request = ReconfigRequest::AssociationReset;
                cx.event(Event::ReconfigAnswered { request, outcome });
            }
            Ask::AddOutbound(count) => {
                if outcome.is_success() {
                    let streams = self.agreed.outbound_streams.saturating_add(count);
                    self.agreed.outbound_streams = streams;
                    cx.queue.set_outbound_streams(streams);
                    self.tell_streams(cx);
                }
                let request = ReconfigRequest::AddOutbound(count);
                cx.event(Event::ReconfigAnswered { request, outcome });
            }
            Ask::AddInbound(count) => {
                let request = ReconfigRequest::AddInbound(count);
                cx.event(Event::ReconfigAnswered { request, outcome });
            }
        }
        Ok(())
    }

    /// The peer is busy with another request, perhaps one that crossed this: puts the request back.
    fn ask_again_later(&mut self, cx: &mut Cx, now: Instant, ask: Ask) {
        let ours = &mut self.reconfig.ours;
        match ask {
            Ask::OutgoingReset { streams, .. } if streams.is_empty() => {
                // The peer's own wish: it may ask again.
                cx.queue.release(false);
                self.hold_on(cx);
            }
            Ask::OutgoingReset { streams, .. } => ours.outgoing.extend(streams),
            Ask::IncomingReset(streams) => ours.incoming.extend(streams),
            Ask::AssociationReset => ours.association = true,
            // The peer may have been granted more meanwhile.
            Ask::AddOutbound(count) => ours.grant_streams(count),
            Ask::AddInbound(count) => ours.inbound = count,
        }
        let ours = &mut self.reconfig.ours;
        if ours.under_way.is_empty() {
            ours.paused = true;
            // Requests of both sides that crossed must not cross again.
            let rto = self.paths.get(self.paths.primary()).rto.rto();
            let jitter = rto.mul_f64((cx.random.next_u64() % 256) as f64 / 256.0);
            let at = now + (rto / 2 + jitter).min(cx.config.rto_max);
            cx.timers.set(Timer::Reconfig, at);
        }
    }

    /// A wish of the user's to reset the association goes on holding the queue, and so does what the
    /// peer waits for.
    pub(super) fn hold_on(&self, cx: &mut Cx) {
        if self.reconfig.ours.association || self.reconfig.ours.resets_association() {
            cx.queue.hold_all();
        }
        self.reconfig.theirs.hold_on(cx);
    }

    /// Tells the user how many streams there are.
    pub(super) fn tell_streams(&self, cx: &mut Cx) {
        cx.event(Event::StreamsChanged {
            outbound: self.agreed.outbound_streams,
            inbound: self.agreed.inbound_streams,
        });
    }

    /// The peer has reset the association and says with which TSNs both sides go on. Nothing of this
    /// side is outstanding: that is what the request waited for.
    fn on_association_reset(&mut self, cx: &mut Cx, peer_next: Tsn, own_next: Tsn) {
        self.reconfig.ours.reset_at = Some((self.outstanding.cumulative(), own_next));
        self.outstanding.begin_anew(own_next);
        for path in self.paths.iter_mut() {
            path.recovery_exit = None;
            path.probe = TailProbe::default();
        }
        self.begin_anew(cx, peer_next, own_next);
    }
}

impl Tcb {
    /// Whether an acknowledgement is from before the association was reset, by TSNs that mean nothing
    /// any more.
    pub(in super::super) fn is_before_reset(&mut self, cumulative: Tsn) -> bool {
        let Some((last, next)) = self.reconfig.ours.reset_at else {
            return false;
        };
        if self.outstanding.cumulative().distance_from(next.previous()) >= STALE_ACKS {
            self.reconfig.ours.reset_at = None;
            return false;
        }
        cumulative.ends_by(last)
    }
}

/// Takes the first streams that are ready off a list, as many as fit a request.
fn take_first(list: &mut Vec<StreamId>, ready: impl Fn(StreamId) -> bool) -> Vec<StreamId> {
    let mut taken = Vec::new();
    list.retain(|&stream| {
        let take = taken.len() < MAX_STREAMS_PER_REQUEST && ready(stream);
        if take {
            taken.push(stream);
        }
        !take
    });
    taken
}

/// The request that resets these outbound streams as the peer's request `seq` asks.
pub(super) fn fulfilment(seq: u32, last_tsn: Tsn, streams: Vec<StreamId>) -> SmallVec<[Ask; 1]> {
    smallvec![Ask::OutgoingReset {
        answers: seq,
        last_tsn,
        streams,
    }]
}
