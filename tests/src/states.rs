//! A hand-driven peer and a host, brought into each state of §4.

use sctp_proto::AssociationState;

use crate::{
    build::{init, init_ack, shutdown},
    codec::kind,
    peer::{COOKIE, Peer, TAG},
};

/// Every state in which a TCB exists.
pub const STATES: [AssociationState; 7] = [
    AssociationState::CookieWait,
    AssociationState::CookieEchoed,
    AssociationState::Established,
    AssociationState::ShutdownPending,
    AssociationState::ShutdownSent,
    AssociationState::ShutdownReceived,
    AssociationState::ShutdownAckSent,
];

impl Peer {
    /// A host in this state, its peer a client or, for the states of the set-up, a server. Nothing
    /// is in the inbox, no event waits. The host acknowledges every packet at once, and no
    /// extension is agreed on. In SHUTDOWN-PENDING and SHUTDOWN-RECEIVED, one message is
    /// outstanding.
    pub fn in_state(state: AssociationState) -> Self {
        let mut peer = match state {
            AssociationState::CookieWait | AssociationState::CookieEchoed => Self::server(),
            _ => {
                let mut peer = Self::client_with(|c| _ = c.sack_frequency(1));
                peer.connect(init(TAG));
                peer
            }
        };
        peer.bring_to(state);
        peer
    }

    /// Brings a host that has just begun to connect, or one that is established and has sent
    /// nothing, into this state.
    pub fn bring_to(&mut self, state: AssociationState) {
        let now = self.now;
        match state {
            AssociationState::Established => {}
            AssociationState::CookieWait => {
                let own = self.expect(kind::INIT).as_init();
                (self.host_tag, self.host_tsn) = (own.tag, own.tsn);
            }
            AssociationState::CookieEchoed => {
                self.answer_init(init_ack(TAG, COOKIE));
                self.expect(kind::COOKIE_ECHO);
            }
            AssociationState::ShutdownPending => {
                self.host_send(1, "outstanding");
                self.association().shutdown(now);
                self.collect();
            }
            AssociationState::ShutdownSent => {
                self.association().shutdown(now);
                self.collect();
            }
            AssociationState::ShutdownReceived => {
                self.host_send(1, "outstanding");
                let before_that = self.host_tsn(0).wrapping_sub(1);
                self.send(shutdown(before_that));
            }
            AssociationState::ShutdownAckSent => {
                let all = self.host_tsn(0).wrapping_sub(1);
                self.send(shutdown(all));
            }
            other => panic!("no association can be brought into {other:?}"),
        }
        assert_eq!(self.state(), state);
        self.receive_all();
        self.events();
    }
}
