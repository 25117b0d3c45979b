//! What users ask for: resets and more streams (RFC 6525 §6, RFC 6458).

use super::super::{Association, cx::Cx, state::Phase, state::State, tcb::Tcb};
use crate::{
    error::{AddStreamsError, ResetError},
    ids::StreamId,
    time::Instant,
};

/// RE-CONFIG (RFC 6525), if both sides agreed on it.
impl Association {
    /// Ends outbound streams (SCTP_RESET_STREAMS, outgoing): once all that was sent on them has
    /// left, the peer is told, and message numbering begins anew. [`Event::OutgoingReset`] tells the
    /// outcome; until then the streams take no messages.
    ///
    /// [`Event::OutgoingReset`]: crate::Event::OutgoingReset
    pub fn reset_streams(&mut self, now: Instant, outgoing: &[StreamId]) -> Result<(), ResetError> {
        let (tcb, cx) = self.reconfigurable()?;
        if let Some(&stream) = outgoing
            .iter()
            .find(|stream| stream.0 >= tcb.agreed.outbound_streams)
        {
            return Err(ResetError::UnknownStream(stream));
        }
        for &stream in outgoing {
            cx.queue.hold(stream);
        }
        tcb.reconfig.ours.want_outgoing(outgoing);
        self.conclude(now, Ok(()));
        Ok(())
    }

    /// Asks the peer to end streams it sends on (SCTP_RESET_STREAMS, incoming).
    /// [`Event::ReconfigAnswered`] tells whether it will, [`Event::IncomingReset`] that it has.
    ///
    /// [`Event::ReconfigAnswered`]: crate::Event::ReconfigAnswered
    /// [`Event::IncomingReset`]: crate::Event::IncomingReset
    pub fn reset_incoming(
        &mut self,
        now: Instant,
        incoming: &[StreamId],
    ) -> Result<(), ResetError> {
        let (tcb, _) = self.reconfigurable()?;
        if let Some(&stream) = incoming
            .iter()
            .find(|stream| stream.0 >= tcb.agreed.inbound_streams)
        {
            return Err(ResetError::UnknownStream(stream));
        }
        tcb.reconfig.ours.want_incoming(incoming);
        self.conclude(now, Ok(()));
        Ok(())
    }

    /// Asks the peer to begin anew with all numbers, those of streams and the TSNs, in both
    /// directions (SCTP_RESET_ASSOC). It is asked once everything sent is acknowledged; until
    /// [`Event::ReconfigAnswered`] no stream takes messages, and of both directions what came
    /// before [`Event::AssociationReset`] is the end of every stream.
    ///
    /// [`Event::ReconfigAnswered`]: crate::Event::ReconfigAnswered
    /// [`Event::AssociationReset`]: crate::Event::AssociationReset
    pub fn reset_association(&mut self, now: Instant) -> Result<(), ResetError> {
        let (tcb, cx) = self.reconfigurable()?;
        if !tcb.reconfig.ours.want_association() {
            return Err(ResetError::InProgress);
        }
        cx.queue.hold_all();
        self.conclude(now, Ok(()));
        Ok(())
    }

    /// Asks for more streams in either direction (SCTP_ADD_STREAMS). [`Event::ReconfigAnswered`]
    /// tells what the peer says to each, [`Event::StreamsChanged`] when there are more.
    ///
    /// The peer may then send on more streams than
    /// [`max_inbound_streams`](crate::AssociationConfig::max_inbound_streams).
    ///
    /// [`Event::ReconfigAnswered`]: crate::Event::ReconfigAnswered
    /// [`Event::StreamsChanged`]: crate::Event::StreamsChanged
    pub fn add_streams(
        &mut self,
        now: Instant,
        outbound: u16,
        inbound: u16,
    ) -> Result<(), AddStreamsError> {
        let (tcb, _) = self.reconfigurable()?;
        let sum = |there: u16, more: u16| {
            there.checked_add(more).ok_or(AddStreamsError::TooMany {
                max: u16::MAX - there,
            })
        };
        sum(tcb.agreed.outbound_streams, outbound)?;
        let wanted = sum(tcb.agreed.inbound_streams, inbound)?;
        if !tcb.reconfig.ours.want_streams(outbound, inbound) {
            return Err(AddStreamsError::InProgress);
        }
        if inbound > 0 {
            tcb.reconfig.theirs.wanted = wanted;
        }
        self.conclude(now, Ok(()));
        Ok(())
    }

    fn reconfigurable(&mut self) -> Result<(&mut Tcb, &mut Cx), ResetError> {
        match &mut self.phase {
            Phase::Open(tcb) if tcb.state == State::Established => {
                if !tcb.agreed.capabilities.reconfig() {
                    return Err(ResetError::NotSupported);
                }
                Ok((tcb, &mut self.cx))
            }
            _ => Err(ResetError::NotEstablished),
        }
    }
}
