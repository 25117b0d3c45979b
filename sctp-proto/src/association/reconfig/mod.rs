//! RE-CONFIG (RFC 6525), both directions: streams begin again at number 0, alone or all of the
//! association together with its TSNs, and streams are added.
//!
//! `ours` makes the requests of this side and takes their answers; `theirs` performs what the peer
//! asks for and answers. Either side has one chunk of requests under way at a time.

mod commands;
mod ours;
mod theirs;

use smallvec::SmallVec;

pub(crate) use self::{
    ours::{Ask, Ours, Request},
    theirs::{Answer, Theirs},
};
use super::{
    cx::{Cx, Handled},
    tcb::Tcb,
};
use crate::{
    ids::{PathId, Tsn},
    time::Instant,
    wire::{ReConfig, ReConfigParam, on_unknown_param, reconfig_result as result},
};

/// Streams named in one request at most, so that a chunk with two of them fits every packet.
const MAX_STREAMS_PER_REQUEST: usize = 96;

/// State of both directions.
#[derive(Debug)]
pub(crate) struct Reconfig {
    pub(super) ours: Ours,
    pub(super) theirs: Theirs,
}

impl Reconfig {
    pub(crate) fn new(local_initial_tsn: Tsn, peer_initial_tsn: Tsn) -> Self {
        Self {
            ours: Ours::new(local_initial_tsn),
            theirs: Theirs::new(peer_initial_tsn),
        }
    }
}

/// What the peer made of a request of this side (RFC 6525 §4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReconfigOutcome {
    /// Done.
    Performed,
    /// There was nothing to do, which is as good.
    NothingToDo,
    /// The peer does not do this for others, or no more of it.
    Denied,
    /// The peer knows no such stream.
    WrongStream,
    /// The peer was busy with another request, and still was after several attempts.
    Busy,
    /// The peer expected another request number: one side has lost count.
    BadSequence,
    /// The peer answers other things, but not this request, however often it was made: many know no
    /// more than the reset of outgoing streams.
    Unanswered,
    /// A result that RFC 6525 does not have.
    Unknown(u32),
}

impl ReconfigOutcome {
    fn of(code: u32) -> Self {
        match code {
            result::SUCCESS_NOTHING_TO_DO => Self::NothingToDo,
            result::PERFORMED => Self::Performed,
            result::DENIED => Self::Denied,
            result::WRONG_SSN => Self::WrongStream,
            result::IN_PROGRESS_ALREADY => Self::Busy,
            result::BAD_SEQUENCE => Self::BadSequence,
            other => Self::Unknown(other),
        }
    }

    /// Whether what was asked for is the case now.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Performed | Self::NothingToDo)
    }
}

impl std::fmt::Display for ReconfigOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Performed => f.write_str("performed"),
            Self::NothingToDo => f.write_str("nothing to do"),
            Self::Denied => f.write_str("the peer denied it"),
            Self::WrongStream => f.write_str("the peer knows no such stream"),
            Self::Busy => f.write_str("the peer was busy with another request"),
            Self::Unanswered => f.write_str("the peer does not answer such requests"),
            Self::BadSequence => f.write_str("the peer expected another request number"),
            Self::Unknown(code) => write!(f, "the peer gave the unknown result {code}"),
        }
    }
}

impl Tcb {
    /// A RE-CONFIG chunk that came by a path. One that may not be, or has a parameter that does not parse, changes
    /// nothing.
    pub(super) fn on_reconfig(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        by: Option<PathId>,
        reconfig: &ReConfig<'_>,
    ) -> Handled {
        let mut params: SmallVec<[ReConfigParam<'_>; 2]> = SmallVec::new();
        // RFC 6525 §3.1: at most two parameters in a chunk.
        for param in reconfig.params().take(3) {
            let Ok(param) = param else {
                cx.stats.dropped_malformed += 1;
                return Ok(());
            };
            params.push(param);
        }
        if !may_be_together(&params) {
            cx.stats.dropped_malformed += 1;
            return Ok(());
        }
        for param in params {
            match param {
                ReConfigParam::Response {
                    response_seq,
                    result,
                    tsns,
                } => self.on_answer(cx, now, response_seq, result, tsns)?,
                ReConfigParam::Unknown(raw) => {
                    let unknown = on_unknown_param(raw.kind);
                    if unknown.report() {
                        self.due
                            .error(|causes| _ = causes.unrecognized_parameters(raw.raw));
                    }
                    if unknown.stop() {
                        break;
                    }
                }
                request => self.on_request(cx, now, by, &request)?,
            }
        }
        Ok(())
    }
}

/// Whether one chunk may have these parameters (RFC 6525 §3.1); in which order, and what else is
/// there that is unknown, makes no difference.
fn may_be_together(params: &[ReConfigParam<'_>]) -> bool {
    use ReConfigParam as P;
    matches!(
        params,
        [_] | [P::Unknown(_), _]
            | [_, P::Unknown(_)]
            | [
                P::Response { .. },
                P::Response { .. } | P::OutgoingReset { .. }
            ]
            | [P::OutgoingReset { .. }, P::Response { .. }]
            | [P::OutgoingReset { .. }, P::IncomingReset { .. }]
            | [P::IncomingReset { .. }, P::OutgoingReset { .. }]
            | [P::AddOutgoing { .. }, P::AddIncoming { .. }]
            | [P::AddIncoming { .. }, P::AddOutgoing { .. }]
    )
}
