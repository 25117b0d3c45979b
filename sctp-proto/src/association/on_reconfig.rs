//! RE-CONFIG, both directions (RFC 6525): streams end, and begin again at number 0.
//!
//! One request of ours is under way at a time, as RFC 6525 §5.1.1 has it. A request names streams
//! on which everything has got its TSN; until the answer is there they take no messages.

use smallvec::SmallVec;

use super::{Event, cx::Cx, tcb::Tcb, timers::Timer};
use crate::{
    ids::{StreamId, Tsn},
    wire::{ReConfig, ReConfigParam, reconfig_result as result},
};

/// Streams named in one request at most, so that it fits every packet.
const MAX_STREAMS_PER_REQUEST: usize = 128;

/// State of both directions.
#[derive(Debug)]
pub(crate) struct Reconfig {
    /// Outbound streams that the user wants reset and that are not in a request yet.
    waiting: Vec<StreamId>,
    pub(super) request: Option<Request>,
    next_request: u32,
    /// Sequence number the peer's next request must have.
    pub(super) expected: u32,
    /// Result of the peer's last request, for retransmissions of it.
    last_result: u32,
    /// The peer's request that waits for its last TSN to arrive.
    deferred: Option<Deferred>,
}

/// Our request under way.
#[derive(Debug)]
pub(crate) struct Request {
    pub(super) seq: u32,
    pub(super) last_tsn: Tsn,
    pub(super) streams: Vec<StreamId>,
}

#[derive(Debug)]
struct Deferred {
    last_tsn: Tsn,
    streams: Vec<StreamId>,
}

impl Reconfig {
    pub(crate) fn new(local_initial_tsn: Tsn, peer_initial_tsn: Tsn) -> Self {
        Self {
            waiting: Vec::new(),
            request: None,
            next_request: local_initial_tsn.value(),
            expected: peer_initial_tsn.value(),
            last_result: result::BAD_SEQUENCE,
            deferred: None,
        }
    }

    /// Takes streams that are to be reset; those under way already are left as they are.
    pub(super) fn want(&mut self, streams: &[StreamId]) {
        for &stream in streams {
            let under_way = self
                .request
                .as_ref()
                .is_some_and(|r| r.streams.contains(&stream));
            if !under_way && !self.waiting.contains(&stream) {
                self.waiting.push(stream);
            }
        }
    }
}

impl Tcb {
    /// Makes a request of the streams that wait and have nothing unsent left.
    pub(super) fn advance_reconfig(&mut self, cx: &mut Cx) {
        if self.reconfig.waiting.is_empty()
            || self.reconfig.request.is_some()
            || !self.state.reconfigures()
        {
            return;
        }
        let mut ready = Vec::new();
        self.reconfig.waiting.retain(|&stream| {
            let take = ready.len() < MAX_STREAMS_PER_REQUEST && cx.queue.stream_idle(stream);
            if take {
                ready.push(stream);
            }
            !take
        });
        if ready.is_empty() {
            return;
        }
        self.reconfig.request = Some(Request {
            seq: self.reconfig.next_request,
            last_tsn: self.outstanding.next_tsn().previous(),
            streams: ready,
        });
        self.reconfig.next_request = self.reconfig.next_request.wrapping_add(1);
        self.due.reconfig_request = true;
    }

    pub(super) fn on_reconfig(&mut self, cx: &mut Cx, reconfig: &ReConfig<'_>) {
        // RFC 6525 §3.1: at most two parameters in a chunk.
        for param in reconfig.params().take(2) {
            let Ok(param) = param else {
                cx.stats.dropped_malformed += 1;
                return;
            };
            match param {
                ReConfigParam::OutgoingReset {
                    request_seq,
                    last_tsn,
                    streams,
                    ..
                } => {
                    let streams = streams.iter().collect();
                    self.on_request(request_seq, |tcb| tcb.reset_inbound(cx, last_tsn, streams));
                }
                ReConfigParam::Response {
                    response_seq,
                    result,
                    ..
                } => {
                    self.on_response(cx, response_seq, result);
                }
                // Not supported: the peer is told so (RFC 6525 §5.2.1: "Denied").
                ReConfigParam::IncomingReset { request_seq, .. }
                | ReConfigParam::TsnReset { request_seq }
                | ReConfigParam::AddOutgoing { request_seq, .. }
                | ReConfigParam::AddIncoming { request_seq, .. } => {
                    self.on_request(request_seq, |_| result::DENIED);
                }
                ReConfigParam::Unknown(_) => {}
            }
        }
    }

    /// A request of the peer: performed once, answered as often as it comes.
    fn on_request(&mut self, seq: u32, perform: impl FnOnce(&mut Self) -> u32) {
        let answer = if seq == self.reconfig.expected {
            self.reconfig.expected = seq.wrapping_add(1);
            self.reconfig.last_result = perform(self);
            self.reconfig.last_result
        } else if seq == self.reconfig.expected.wrapping_sub(1) {
            self.reconfig.last_result
        } else {
            result::BAD_SEQUENCE
        };
        self.respond(seq, answer);
    }

    fn respond(&mut self, seq: u32, answer: u32) {
        let responses: &mut SmallVec<_> = &mut self.due.reconfig_responses;
        responses.retain(|(queued, _)| *queued != seq);
        if responses.len() < 2 {
            responses.push((seq, answer));
        }
    }

    /// The peer resets its outgoing streams, as soon as all that it sent on them is here.
    fn reset_inbound(&mut self, cx: &mut Cx, last_tsn: Tsn, streams: Vec<StreamId>) -> u32 {
        if streams
            .iter()
            .any(|stream| stream.0 >= self.agreed.inbound_streams)
        {
            return result::WRONG_SSN;
        }
        if self.tsn_map.cumulative().before(last_tsn) {
            self.reconfig.deferred = Some(Deferred { last_tsn, streams });
            return result::IN_PROGRESS;
        }
        self.perform_inbound(cx, last_tsn, streams);
        result::PERFORMED
    }

    fn perform_inbound(&mut self, cx: &mut Cx, last_tsn: Tsn, streams: Vec<StreamId>) {
        self.rx.reset((!streams.is_empty()).then_some(&streams[..]));
        cx.event(Event::IncomingReset { streams, last_tsn });
    }

    /// The cumulative TSN moved: a request that waited for it may be due.
    pub(super) fn reconfig_reached(&mut self, cx: &mut Cx, cumulative: Tsn) {
        if self
            .reconfig
            .deferred
            .as_ref()
            .is_some_and(|d| !cumulative.before(d.last_tsn))
        {
            let deferred = self.reconfig.deferred.take().expect("just seen");
            self.perform_inbound(cx, deferred.last_tsn, deferred.streams);
            self.reconfig.last_result = result::PERFORMED;
            self.respond(self.reconfig.expected.wrapping_sub(1), result::PERFORMED);
        }
    }

    fn on_response(&mut self, cx: &mut Cx, seq: u32, answer: u32) {
        if self
            .reconfig
            .request
            .as_ref()
            .is_none_or(|request| request.seq != seq)
        {
            return;
        }
        // It waits for data that is under way; the request is repeated until it is performed.
        if answer == result::IN_PROGRESS {
            self.errors = 0;
            return;
        }
        let request = self.reconfig.request.take().expect("just seen");
        self.due.reconfig_request = false;
        cx.timers.stop(Timer::Reconfig);
        let performed = matches!(answer, result::PERFORMED | result::SUCCESS_NOTHING_TO_DO);
        for &stream in &request.streams {
            cx.queue.reset_done(stream, performed);
        }
        cx.event(Event::OutgoingReset {
            streams: request.streams,
            performed,
        });
    }

    /// The peer has not answered our request within the RTO.
    pub(super) fn on_reconfig_timeout(&mut self) {
        self.due.reconfig_request = self.reconfig.request.is_some();
    }
}
