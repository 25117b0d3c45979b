//! Streams that begin anew, and more of them (RFC 6525).

use sctp_proto::StreamId;

use crate::{AddStreamsError, Association, ResetError, state::State};

/// Reconfiguration of streams (RE-CONFIG, RFC 6525), if both sides agreed on it.
impl Association {
    /// Whether streams can be reset and added (RE-CONFIG, RFC 6525).
    pub fn can_reset_streams(&self) -> bool {
        self.shared().lock().proto.can_reset_streams()
    }

    /// Resets outbound streams, once what was sent on them is acknowledged, and waits for the peer's
    /// answer. Once polled, dropping the future does not stop the reset.
    pub async fn reset_streams(&self, outgoing: &[StreamId]) -> Result<(), ResetError> {
        let now = self.shared().clock.now();
        let incarnation = self.shared().with(|state, wakes| {
            state
                .start_reset(now, outgoing, wakes)
                .map(|()| state.incarnation)
        })?;
        self.reset_answered(incarnation, |state| state.reset_outcome(outgoing))
            .await
    }

    /// Has the peer reset streams that it sends on, and waits until it has: their `RecvStream`s end
    /// with what it sent before. Many a peer denies that. Once polled, dropping the future does not
    /// stop the reset.
    pub async fn reset_incoming(&self, incoming: &[StreamId]) -> Result<(), ResetError> {
        let now = self.shared().clock.now();
        let incarnation = self.shared().with(|state, wakes| {
            state
                .start_reset_incoming(now, incoming, wakes)
                .map(|()| state.incarnation)
        })?;
        self.reset_answered(incarnation, |state| state.incoming_reset_outcome(incoming))
            .await
    }

    /// Has all numbers of the association begin anew, those of streams and the TSNs, in both
    /// directions, and waits for the peer's answer; many a peer denies that. Every `RecvStream` of
    /// either side ends with what came before.
    ///
    /// The peer is asked once everything sent is acknowledged. Until it has answered, sending
    /// fails with [`SendError::StreamResetting`](crate::SendError::StreamResetting).
    pub async fn reset_association(&self) -> Result<(), ResetError> {
        let now = self.shared().clock.now();
        let incarnation = self.shared().with(|state, wakes| {
            state
                .start_reset_association(now, wakes)
                .map(|()| state.incarnation)
        })?;
        self.reset_answered(incarnation, State::association_reset_outcome)
            .await
    }

    /// Asks for more streams to send on and to receive on, and waits until there are: the new ones
    /// can be claimed with [`stream`](Self::stream), and come out of
    /// [`accept_stream`](Self::accept_stream), as any other. On an error those of one direction may
    /// be there all the same: see [`streams`](Self::streams).
    ///
    /// Once polled, dropping the future does not take the request back.
    pub async fn add_streams(&self, outbound: u16, inbound: u16) -> Result<(), AddStreamsError> {
        let now = self.shared().clock.now();
        let incarnation = self.shared().with(|state, wakes| {
            state
                .start_add_streams(now, outbound, inbound, wakes)
                .map(|()| state.incarnation)
        })?;
        self.wait_for(&self.shared().changed, |state| {
            if state.incarnation != incarnation {
                return Some(Err(AddStreamsError::Restarted));
            }
            state.add_streams_outcome()
        })
        .await
    }

    async fn reset_answered(
        &self,
        incarnation: u32,
        mut outcome: impl FnMut(&mut State) -> Option<Result<(), ResetError>>,
    ) -> Result<(), ResetError> {
        self.wait_for(&self.shared().changed, |state| {
            if state.incarnation != incarnation {
                return Some(Err(ResetError::Restarted));
            }
            outcome(state)
        })
        .await
    }
}
