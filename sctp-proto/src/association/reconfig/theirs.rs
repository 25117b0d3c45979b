//! What the peer asks for by RE-CONFIG (RFC 6525 §5.2): performed once, answered as often as it is
//! asked.

use smallvec::SmallVec;

use super::{
    super::{Event, cx::Handled, state::State},
    Cx, MAX_STREAMS_PER_REQUEST, Tcb,
    ours::fulfilment,
    result,
};
use crate::{
    ids::{PathId, StreamId, Tsn},
    rx::TsnMap,
    time::Instant,
    wire::{ReConfigParam, StreamList},
};

/// Answers waiting to be sent; the peer asks again for those that are not.
const MAX_RESPONSES: usize = 4;

/// The requests of the peer.
#[derive(Debug)]
pub(crate) struct Theirs {
    /// Number the next request must have.
    expected: u32,
    /// The last two answers, the latest first: as many as one chunk has requests.
    answered: [Option<(u32, Answer)>; 2],
    /// Requests that wait for something, at most one of a kind and two in all.
    deferred: SmallVec<[Deferred; 1]>,
    /// Inbound streams up to this number were asked for by this side.
    pub(super) wanted: u16,
    /// The association was reset as this request of the peer asked. Until the peer acknowledges
    /// this TSN the answer goes ahead of whatever counts by the new TSNs.
    unproven: Option<(u32, Tsn)>,
}

/// The answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) result: u32,
    /// Of an association reset: the next TSNs of this side and of the peer.
    pub(crate) tsns: Option<(Tsn, Tsn)>,
}

impl From<u32> for Answer {
    fn from(result: u32) -> Self {
        Self { result, tsns: None }
    }
}

/// A request that is answered "in progress".
#[derive(Debug)]
enum Deferred {
    /// The peer resets streams that it sends on, once what it sent is here.
    Outgoing {
        seq: u32,
        last_tsn: Tsn,
        streams: Vec<StreamId>,
    },
    /// This side is to reset streams, once what is queued on them has left.
    Incoming { seq: u32, streams: Vec<StreamId> },
    /// The association is to be reset, once all that this side sent is acknowledged.
    Association { seq: u32 },
}

impl Theirs {
    pub(super) fn new(peer_initial_tsn: Tsn) -> Self {
        Self {
            expected: peer_initial_tsn.value(),
            answered: [None; 2],
            deferred: SmallVec::new(),
            wanted: 0,
            unproven: None,
        }
    }

    /// Number of the peer's last request.
    pub(super) fn last(&self) -> u32 {
        self.expected.wrapping_sub(1)
    }

    fn answer_to(&self, seq: u32) -> Option<Answer> {
        let mut answered = self.answered.iter().flatten();
        answered
            .find(|(known, _)| *known == seq)
            .map(|(_, answer)| *answer)
    }

    fn remember(&mut self, seq: u32, answer: Answer) {
        match self.answered.iter_mut().flatten().find(|(s, _)| *s == seq) {
            Some(known) => known.1 = answer,
            None => self.answered = [Some((seq, answer)), self.answered[0]],
        }
    }

    /// What the peer wants reset, and has to wait for, takes no messages.
    pub(super) fn hold_on(&self, cx: &mut Cx) {
        for deferred in &self.deferred {
            match deferred {
                Deferred::Outgoing { .. } => {}
                Deferred::Incoming { streams, .. } if !streams.is_empty() => {
                    streams.iter().for_each(|&stream| cx.queue.hold(stream));
                }
                Deferred::Incoming { .. } | Deferred::Association { .. } => cx.queue.hold_all(),
            }
        }
    }

    /// Whether another request can wait beside those that do: what is being reset for one must
    /// not be reset by another.
    fn is_blocked(&self, request: &ReConfigParam<'_>) -> bool {
        use ReConfigParam as P;
        self.deferred.iter().any(|deferred| match deferred {
            Deferred::Outgoing { .. } => {
                matches!(request, P::OutgoingReset { .. } | P::TsnReset { .. })
            }
            Deferred::Incoming { .. } => {
                matches!(request, P::IncomingReset { .. } | P::TsnReset { .. })
            }
            Deferred::Association { .. } => true,
        })
    }
}

/// Requests.
impl Tcb {
    /// One request: performed if it is the next, answered in any case.
    pub(super) fn on_request(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        by: Option<PathId>,
        request: &ReConfigParam<'_>,
    ) -> Handled {
        let seq = match *request {
            ReConfigParam::OutgoingReset { request_seq, .. }
            | ReConfigParam::IncomingReset { request_seq, .. }
            | ReConfigParam::TsnReset { request_seq }
            | ReConfigParam::AddOutgoing { request_seq, .. }
            | ReConfigParam::AddIncoming { request_seq, .. } => request_seq,
            ReConfigParam::Response { .. } | ReConfigParam::Unknown(_) => return Ok(()),
        };
        // It may be what this side asked for, whose answer is the request itself (§5.2.3).
        if let ReConfigParam::OutgoingReset { response_seq, .. } = *request
            && seq == self.reconfig.theirs.expected
            && self.asked_incoming_reset(response_seq)
        {
            self.on_answer(cx, now, response_seq, result::PERFORMED, None)?;
        }
        let answer = if seq == self.reconfig.theirs.expected {
            self.reconfig.theirs.expected = seq.wrapping_add(1);
            let blocked = self.reconfig.theirs.is_blocked(request);
            let answer = if blocked || cx.is_unread() {
                result::IN_PROGRESS_ALREADY.into()
            } else {
                self.perform(cx, seq, request)
            };
            self.reconfig.theirs.remember(seq, answer);
            answer
        } else {
            // A request that comes again changes nothing, whatever has become of its streams. The last
            // answer seems to be lost.
            self.due.answers_by = by.and_then(|by| match by == self.control_route() {
                true => self.paths.alternate(by),
                false => Some(by),
            });
            let answer = self.reconfig.theirs.answer_to(seq);
            answer.unwrap_or(result::BAD_SEQUENCE.into())
        };
        self.respond(seq, answer);
        Ok(())
    }

    fn asked_incoming_reset(&self, seq: u32) -> bool {
        let mut under_way = self.reconfig.ours.under_way.iter();
        under_way.any(|r| r.seq == seq && matches!(r.ask, super::Ask::IncomingReset(_)))
    }

    fn perform(&mut self, cx: &mut Cx, seq: u32, request: &ReConfigParam<'_>) -> Answer {
        match *request {
            ReConfigParam::OutgoingReset {
                last_tsn, streams, ..
            } => self.reset_inbound(cx, seq, last_tsn, streams).into(),
            ReConfigParam::IncomingReset { streams, .. } => {
                self.reset_outbound(cx, seq, streams).into()
            }
            ReConfigParam::TsnReset { .. } => self.reset_association(cx, seq),
            ReConfigParam::AddOutgoing { count, .. } => self.add_inbound(cx, count).into(),
            ReConfigParam::AddIncoming { count, .. } => self.add_outbound(cx, count).into(),
            ReConfigParam::Response { .. } | ReConfigParam::Unknown(_) => result::DENIED.into(),
        }
    }

    /// Queues an answer, in place of an earlier one to the same request.
    fn respond(&mut self, seq: u32, answer: Answer) {
        let responses = &mut self.due.reconfig_responses;
        responses.retain(|(queued, _)| *queued != seq);
        if responses.len() < MAX_RESPONSES {
            responses.push((seq, answer));
        }
    }

    /// The peer resets its outgoing streams, as soon as all that it sent on them is here (§5.2.2).
    fn reset_inbound(
        &mut self,
        cx: &mut Cx,
        seq: u32,
        last_tsn: Tsn,
        streams: StreamList<'_>,
    ) -> u32 {
        let known = self.agreed.inbound_streams;
        if streams.iter().any(|stream| stream.0 >= known) {
            return result::WRONG_SSN;
        }
        let streams = streams.iter().collect();
        if self.tsn_map.cumulative().before(last_tsn) {
            self.reconfig.theirs.deferred.push(Deferred::Outgoing {
                seq,
                last_tsn,
                streams,
            });
            return result::IN_PROGRESS;
        }
        self.perform_inbound(cx, last_tsn, streams);
        result::PERFORMED
    }

    fn perform_inbound(&mut self, cx: &mut Cx, last_tsn: Tsn, streams: Vec<StreamId>) {
        self.rx.reset((!streams.is_empty()).then_some(&streams[..]));
        cx.event(Event::IncomingReset { streams, last_tsn });
    }

    /// This side is to reset its outgoing streams: it does so by a request of its own, which says
    /// that it is the answer, once nothing is left to send on them (§5.2.3).
    fn reset_outbound(&mut self, cx: &mut Cx, seq: u32, streams: StreamList<'_>) -> u32 {
        let allowed = cx.config.obey_stream_reset && self.state == State::Established;
        if !allowed || streams.len() > MAX_STREAMS_PER_REQUEST {
            return result::DENIED;
        }
        let known = self.agreed.outbound_streams;
        if streams.iter().any(|stream| stream.0 >= known) {
            return result::WRONG_SSN;
        }
        let streams: Vec<_> = streams.iter().collect();
        // The answer is a request: two sides that wait for each other's would wait for ever.
        if !self.reconfig.ours.under_way.is_empty() {
            return result::IN_PROGRESS_ALREADY;
        }
        if streams.is_empty() {
            cx.queue.hold_all();
        }
        for &stream in &streams {
            cx.queue.hold(stream);
        }
        let deferred = Deferred::Incoming { seq, streams };
        match self.try_deferred(cx, deferred) {
            Ok(answer) => answer.result,
            Err(deferred) => {
                self.reconfig.theirs.deferred.push(deferred);
                result::IN_PROGRESS
            }
        }
    }

    /// All stream and transmission numbers of both sides begin anew (§5.2.4), once nothing of this
    /// side is unacknowledged.
    fn reset_association(&mut self, cx: &mut Cx, seq: u32) -> Answer {
        if !cx.config.obey_association_reset || self.state != State::Established {
            return result::DENIED.into();
        }
        let under_way = !self.reconfig.ours.under_way.is_empty();
        if under_way || !self.reconfig.theirs.deferred.is_empty() {
            return result::IN_PROGRESS_ALREADY.into();
        }
        cx.queue.hold_all();
        match self.try_deferred(cx, Deferred::Association { seq }) {
            Ok(answer) => answer,
            Err(deferred) => {
                self.reconfig.theirs.deferred.push(deferred);
                result::IN_PROGRESS.into()
            }
        }
    }

    /// The peer wants to send on more streams (§5.2.5). As many as this side offered in the
    /// handshake it may have, and those that this side asked for.
    fn add_inbound(&mut self, cx: &mut Cx, count: u16) -> u32 {
        if count == 0 {
            return result::SUCCESS_NOTHING_TO_DO;
        }
        let offered = match cx.config.obey_add_streams && self.state == State::Established {
            true => cx.config.max_inbound_streams,
            false => 0,
        };
        let limit = offered.max(self.reconfig.theirs.wanted);
        let streams = self.agreed.inbound_streams.checked_add(count);
        let Some(streams) = streams.filter(|&streams| streams <= limit) else {
            return result::DENIED;
        };
        self.agreed.inbound_streams = streams;
        self.rx.set_inbound_streams(streams);
        self.tell_streams(cx);
        result::PERFORMED
    }

    /// The peer wants this side to have more streams to send on (§5.2.6): this side asks for them,
    /// if it wanted as many in the handshake.
    fn add_outbound(&mut self, cx: &Cx, count: u16) -> u32 {
        if count == 0 {
            return result::SUCCESS_NOTHING_TO_DO;
        }
        let to_come = self.reconfig.ours.outbound_to_come();
        let streams = self.agreed.outbound_streams.checked_add(to_come);
        let streams = streams.and_then(|streams| streams.checked_add(count));
        let allowed = cx.config.obey_add_streams && self.state == State::Established;
        if !allowed || streams.is_none_or(|streams| streams > cx.config.outbound_streams) {
            return result::DENIED;
        }
        self.reconfig.ours.grant_streams(count);
        result::PERFORMED
    }
}

/// Requests that had to wait.
impl Tcb {
    /// Performs what can be performed by now of what waits for this side's data.
    pub(super) fn advance_deferred(&mut self, cx: &mut Cx) {
        for deferred in std::mem::take(&mut self.reconfig.theirs.deferred) {
            let seq = match deferred {
                Deferred::Outgoing { seq, .. }
                | Deferred::Incoming { seq, .. }
                | Deferred::Association { seq } => seq,
            };
            match self.try_deferred(cx, deferred) {
                Ok(answer) => self.answer_deferred(seq, answer),
                Err(deferred) => self.reconfig.theirs.deferred.push(deferred),
            }
        }
    }

    /// The cumulative TSN moved: a request that waited for it may be due.
    pub(in super::super) fn reconfig_reached(&mut self, cx: &mut Cx) {
        if !self.reconfig.theirs.deferred.is_empty() {
            self.advance_deferred(cx);
        }
    }

    fn answer_deferred(&mut self, seq: u32, answer: Answer) {
        if self.reconfig.theirs.answer_to(seq).is_some() {
            self.reconfig.theirs.remember(seq, answer);
        }
        self.respond(seq, answer);
    }

    /// Performs a request if what it waits for is the case.
    fn try_deferred(&mut self, cx: &mut Cx, deferred: Deferred) -> Result<Answer, Deferred> {
        match deferred {
            Deferred::Outgoing {
                last_tsn, streams, ..
            } if !self.tsn_map.cumulative().before(last_tsn) => {
                self.perform_inbound(cx, last_tsn, streams);
                Ok(result::PERFORMED.into())
            }
            Deferred::Incoming { seq, streams }
                if self.reconfig.ours.under_way.is_empty() && is_idle(cx, &streams) =>
            {
                self.reconfig.ours.forget_outgoing(&streams);
                let last_tsn = self.outstanding.next_tsn().previous();
                self.reconfig.ours.ask(fulfilment(seq, last_tsn, streams));
                self.due.reconfig_request = true;
                Ok(result::PERFORMED.into())
            }
            // The end of the association has begun meanwhile.
            Deferred::Association { .. } if self.state != State::Established => {
                cx.queue.release(false);
                Ok(result::DENIED.into())
            }
            Deferred::Association { .. }
                if self.reconfig.ours.under_way.is_empty() && cx.queue.is_empty() =>
            {
                Ok(self.perform_association(cx, deferred))
            }
            deferred => Err(deferred),
        }
    }

    //= RFC 6525 §5.2.4
    //# The value SHOULD be the smallest TSN not acknowledged by the
    //# receiver of the request plus 2^31.
    //= RFC 6525 §5.2.4
    //# The value SHOULD be the highest TSN sent by the receiver
    //# of the request plus 1.
    fn perform_association(&mut self, cx: &mut Cx, deferred: Deferred) -> Answer {
        let peer_next = self.tsn_map.cumulative().next().plus(1 << 31);
        let own_next = self.outstanding.next_tsn();
        self.begin_anew(cx, peer_next, own_next);
        cx.queue.release(false);
        self.hold_on(cx);
        if let Deferred::Association { seq } = deferred {
            self.reconfig.theirs.unproven = Some((seq, own_next));
        }
        Answer {
            result: result::PERFORMED,
            tsns: Some((own_next, peer_next)),
        }
    }

    /// Numbers of both directions begin anew, as though FORWARD-TSN had passed all that is missing
    /// of the peer's data.
    //= RFC 6525 §5.2.4
    //# The next expected and outgoing SSNs MUST be reset to 0 for all
    //# incoming and outgoing streams.
    pub(super) fn begin_anew(&mut self, cx: &mut Cx, peer_next: Tsn, own_next: Tsn) {
        let last_tsn = self.tsn_map.cumulative();
        // What the peer sent by the new numbers may have come before its answer.
        let passed = last_tsn.distance_from(peer_next.previous());
        if passed >= 1 << 30 {
            self.tsn_map = TsnMap::new(peer_next);
        }
        self.owed_sacks.clear();
        self.forget_marks();
        self.rx.reset(None);
        cx.queue.restart_numbering();
        cx.event(Event::AssociationReset {
            own_next,
            peer_next,
            last_tsn,
        });
    }

    /// The answer to an association reset that goes ahead of SACK and DATA by the new numbers, so
    /// that the peer never takes them for something else, whatever the network loses.
    pub(in super::super) fn repeat_unproven(&mut self) {
        let Some((seq, own_next)) = self.reconfig.theirs.unproven else {
            return;
        };
        if !self.outstanding.cumulative().before(own_next) {
            self.reconfig.theirs.unproven = None;
        } else if let Some(answer) = self.reconfig.theirs.answer_to(seq) {
            self.respond(seq, answer);
        }
    }
}

/// Whether nothing is queued unsent on these streams; none named are all.
fn is_idle(cx: &Cx, streams: &[StreamId]) -> bool {
    match streams {
        [] => cx.queue.unsent_bytes() == 0,
        streams => streams.iter().all(|&stream| cx.queue.stream_idle(stream)),
    }
}
