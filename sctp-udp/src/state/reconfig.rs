//! Requests for stream reconfiguration (RFC 6525) that somebody waits for.

use sctp_proto::{
    AddStreamsError as AddError, Instant, ReconfigOutcome, ReconfigRequest,
    ResetError as ProtoError, StreamId, Tsn,
};

use super::{State, Wakes};
use crate::{AddStreamsError, Notification, ResetError};

/// How a request stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Asked {
    /// None under way; the last one, if any, was performed.
    #[default]
    Nothing,
    Pending,
    Refused(ReconfigOutcome),
}

impl Asked {
    pub(super) fn answered(outcome: ReconfigOutcome) -> Self {
        if outcome.is_success() {
            Self::Nothing
        } else {
            Self::Refused(outcome)
        }
    }

    /// Takes an answer, if this side waits for one.
    fn settle(&mut self, outcome: ReconfigOutcome) {
        if *self == Self::Pending {
            *self = Self::answered(outcome);
        }
    }
}

/// Requests that concern no single stream.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    association: Asked,
    outbound: Asked,
    inbound: Asked,
    /// Inbound streams there will be once the peer has added those asked for.
    inbound_goal: u16,
}

/// Commands.
impl State {
    pub(crate) fn start_reset(
        &mut self,
        now: Instant,
        streams: &[StreamId],
        wakes: &mut Wakes,
    ) -> Result<(), ResetError> {
        self.check_open()?;
        self.proto.reset_streams(now, streams)?;
        for id in streams {
            self.streams.entry(*id).or_default().reset = Asked::Pending;
        }
        self.wake_driver(wakes);
        Ok(())
    }

    pub(crate) fn start_reset_incoming(
        &mut self,
        now: Instant,
        streams: &[StreamId],
        wakes: &mut Wakes,
    ) -> Result<(), ResetError> {
        self.check_open()?;
        self.proto.reset_incoming(now, streams)?;
        for id in streams {
            self.streams.entry(*id).or_default().incoming_reset = Asked::Pending;
        }
        self.wake_driver(wakes);
        Ok(())
    }

    pub(crate) fn start_reset_association(
        &mut self,
        now: Instant,
        wakes: &mut Wakes,
    ) -> Result<(), ResetError> {
        self.check_open()?;
        self.proto.reset_association(now)?;
        self.requests.association = Asked::Pending;
        self.wake_driver(wakes);
        Ok(())
    }

    pub(crate) fn start_add_streams(
        &mut self,
        now: Instant,
        outbound: u16,
        inbound: u16,
        wakes: &mut Wakes,
    ) -> Result<(), AddStreamsError> {
        if let Some(reason) = &self.closed {
            return Err(AddStreamsError::Closed(reason.clone()));
        }
        if self.requests.outbound == Asked::Pending || self.requests.inbound == Asked::Pending {
            return Err(AddStreamsError::InProgress);
        }
        self.proto.add_streams(now, outbound, inbound)?;
        let pending = |count| match count {
            0 => Asked::Nothing,
            _ => Asked::Pending,
        };
        self.requests.outbound = pending(outbound);
        self.requests.inbound = pending(inbound);
        self.requests.inbound_goal = self.proto.streams().1.saturating_add(inbound);
        self.wake_driver(wakes);
        Ok(())
    }

    fn check_open(&self) -> Result<(), ResetError> {
        match &self.closed {
            Some(reason) => Err(ResetError::Closed(reason.clone())),
            None => Ok(()),
        }
    }
}

/// Outcomes: `None` while the peer has not answered.
impl State {
    /// How the reset of these outbound streams stands.
    pub(crate) fn reset_outcome(&mut self, streams: &[StreamId]) -> Option<Result<(), ResetError>> {
        let asked = |id: &StreamId| self.streams.get(id).map_or(Asked::Nothing, |s| s.reset);
        self.outcome(streams.iter().map(asked))
    }

    /// How the reset of these inbound streams stands.
    pub(crate) fn incoming_reset_outcome(
        &mut self,
        streams: &[StreamId],
    ) -> Option<Result<(), ResetError>> {
        let asked = |id: &StreamId| {
            let stream = self.streams.get(id);
            stream.map_or(Asked::Nothing, |s| s.incoming_reset)
        };
        self.outcome(streams.iter().map(asked))
    }

    pub(crate) fn association_reset_outcome(&mut self) -> Option<Result<(), ResetError>> {
        self.outcome(std::iter::once(self.requests.association))
    }

    pub(crate) fn add_streams_outcome(&mut self) -> Option<Result<(), AddStreamsError>> {
        let asked = [self.requests.outbound, self.requests.inbound];
        if asked.contains(&Asked::Pending) {
            let reason = self.closed.clone()?;
            return Some(Err(AddStreamsError::Closed(reason)));
        }
        let refused = asked.into_iter().find_map(|asked| match asked {
            Asked::Refused(outcome) => Some(outcome),
            Asked::Nothing | Asked::Pending => None,
        });
        Some(match refused {
            Some(outcome) => Err(AddStreamsError::Refused(outcome)),
            None => Ok(()),
        })
    }

    fn outcome(&self, asked: impl Iterator<Item = Asked>) -> Option<Result<(), ResetError>> {
        let mut refused = None;
        for asked in asked {
            match asked {
                Asked::Nothing => {}
                Asked::Pending => {
                    let reason = self.closed.clone()?;
                    return Some(Err(ResetError::Closed(reason)));
                }
                Asked::Refused(outcome) => refused = Some(outcome),
            }
        }
        Some(match refused {
            None => Ok(()),
            Some(ReconfigOutcome::Denied) => Err(ResetError::Denied),
            Some(outcome) => Err(ResetError::Refused(outcome)),
        })
    }
}

/// Events.
impl State {
    /// Streams named by an event; none named are all that are known here.
    fn named(&self, streams: &[StreamId]) -> Vec<StreamId> {
        match streams {
            [] => self.streams.keys().copied().collect(),
            streams => streams.to_vec(),
        }
    }

    pub(super) fn on_outgoing_reset(
        &mut self,
        streams: &[StreamId],
        outcome: ReconfigOutcome,
        wakes: &mut Wakes,
    ) {
        for id in self.named(streams) {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.reset = Asked::answered(outcome);
                wakes.add(&mut stream.send_waker);
                self.prune(id);
            }
        }
        wakes.changed = true;
        wakes.writable = true;
    }

    pub(super) fn on_incoming_reset(
        &mut self,
        streams: Vec<StreamId>,
        last_tsn: Tsn,
        wakes: &mut Wakes,
    ) {
        for id in self.named(&streams) {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.incoming_reset = Asked::Nothing;
            }
            self.peer_reset(id, last_tsn, wakes);
        }
        wakes.changed = true;
        self.notify(Notification::IncomingReset(streams));
    }

    /// Both directions of every stream begin anew.
    pub(super) fn on_association_reset(&mut self, last_tsn: Tsn, wakes: &mut Wakes) {
        for id in self.named(&[]) {
            self.peer_reset(id, last_tsn, wakes);
        }
        self.notify(Notification::AssociationReset);
    }

    pub(super) fn on_answered(
        &mut self,
        request: &ReconfigRequest,
        outcome: ReconfigOutcome,
        wakes: &mut Wakes,
    ) {
        match request {
            // What the peer said it would do is done when its own request has come.
            ReconfigRequest::IncomingReset(streams) if outcome != ReconfigOutcome::Performed => {
                for id in streams {
                    if let Some(stream) = self.streams.get_mut(id) {
                        stream.incoming_reset.settle(outcome);
                        self.prune(*id);
                    }
                }
            }
            ReconfigRequest::AssociationReset => {
                self.requests.association.settle(outcome);
                wakes.writable = true;
            }
            ReconfigRequest::AddOutbound(_) => self.requests.outbound.settle(outcome),
            ReconfigRequest::AddInbound(_) if !outcome.is_success() => {
                self.requests.inbound.settle(outcome);
            }
            _ => {}
        }
        wakes.changed = true;
    }

    pub(super) fn on_streams_changed(&mut self, outbound: u16, inbound: u16, wakes: &mut Wakes) {
        if inbound >= self.requests.inbound_goal {
            self.requests.inbound.settle(ReconfigOutcome::Performed);
        }
        wakes.changed = true;
        self.notify(Notification::StreamsChanged { outbound, inbound });
    }
}

impl From<ProtoError> for ResetError {
    fn from(error: ProtoError) -> Self {
        match error {
            ProtoError::NotSupported => Self::NotSupported,
            ProtoError::UnknownStream(id) => Self::UnknownStream(id),
            ProtoError::InProgress => Self::InProgress,
            _ => Self::NotEstablished,
        }
    }
}

impl From<AddError> for AddStreamsError {
    fn from(error: AddError) -> Self {
        match error {
            AddError::NotSupported => Self::NotSupported,
            AddError::TooMany { max } => Self::TooMany { max },
            AddError::InProgress => Self::InProgress,
            _ => Self::NotEstablished,
        }
    }
}
