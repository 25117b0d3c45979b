//! The states of §4, and which follow which.
//!
//! ```text
//!  connect                                             COOKIE ECHO with a valid cookie
//!     │                                                              │ (endpoint/listen.rs)
//!     ▼         INIT ACK                  COOKIE ACK                 ▼
//! CookieWait ───────────▶ CookieEchoed ─────────────▶ Established ◀───
//!                              ▲ ╎                     │       │
//!                     collision, stale cookie          │       │
//!                                           shutdown() │       │ SHUTDOWN
//!                                                      ▼       ▼
//!                                     ShutdownPending ───▶ ShutdownReceived
//!                                   all acked │  SHUTDOWN      │ all acked
//!                                             ▼                ▼
//!                                     ShutdownSent ──────▶ ShutdownAckSent
//!                                             │  SHUTDOWN      │ SHUTDOWN COMPLETE,
//!                                SHUTDOWN ACK │                │ SHUTDOWN ACK
//!                                             ▼                ▼
//!                                                   Closed
//! ```
//!
//! ABORT, and too many failures, lead from every state to Closed.

use bytes::Bytes;

use super::{AssociationState, handshake::CookieWait, tcb::Tcb};
use crate::{error::CloseReason, rx::Reassembly, time::Instant};

/// What exists depends on how far the association has come.
#[derive(Debug)]
pub(crate) enum Phase {
    /// The peer is not known yet.
    CookieWait(Box<CookieWait>),
    /// The peer is known: COOKIE-ECHOED to SHUTDOWN-ACK-SENT.
    Open(Box<Tcb>),
    /// Over. What has arrived can still be read.
    Closed(Option<Box<Reassembly>>, CloseReason),
}

/// The states in which the peer is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// COOKIE ECHO sent.
    CookieEchoed {
        /// The peer's state cookie.
        cookie: Bytes,
        /// When it was echoed first.
        since: Instant,
        /// Expiries of T1-cookie.
        retransmits: u32,
        /// How often the peer found a cookie stale.
        stale: u32,
    },
    Established,
    ShutdownPending,
    ShutdownSent,
    ShutdownReceived,
    ShutdownAckSent,
}

impl State {
    /// Whether the user's messages are still taken.
    pub(crate) fn takes_messages(&self) -> bool {
        matches!(self, Self::CookieEchoed { .. } | Self::Established)
    }

    /// Whether DATA from the peer is taken: not before COOKIE ACK, for which DATA itself is taken, and
    /// not after SHUTDOWN, which promised that there is none left.
    pub(crate) fn takes_data(&self) -> bool {
        matches!(
            self,
            Self::Established | Self::ShutdownPending | Self::ShutdownSent
        )
    }

    /// Whether this side still sends DATA.
    //= RFC 9260 §6
    //# Data transmission MUST only happen in the ESTABLISHED, SHUTDOWN-PENDING, and
    //# SHUTDOWN-RECEIVED states.
    //= RFC 9260 §4
    //# In the SHUTDOWN-RECEIVED state, the endpoint MUST transmit or retransmit data and leave this
    //# state when all data in queue is transmitted.
    pub(crate) fn sends_data(&self) -> bool {
        !matches!(self, Self::ShutdownSent | Self::ShutdownAckSent)
    }

    /// Whether paths are probed: from ESTABLISHED until SHUTDOWN or SHUTDOWN ACK is sent (§8.3).
    pub(crate) fn sends_heartbeats(&self) -> bool {
        matches!(
            self,
            Self::Established | Self::ShutdownPending | Self::ShutdownReceived
        )
    }

    /// Whether streams can be reset (RFC 6525 §5.1: only in ESTABLISHED, and in what follows it
    /// until SHUTDOWN is sent).
    pub(crate) fn reconfigures(&self) -> bool {
        matches!(
            self,
            Self::Established | Self::ShutdownPending | Self::ShutdownReceived
        )
    }
}

impl From<&State> for AssociationState {
    fn from(state: &State) -> Self {
        match state {
            State::CookieEchoed { .. } => Self::CookieEchoed,
            State::Established => Self::Established,
            State::ShutdownPending => Self::ShutdownPending,
            State::ShutdownSent => Self::ShutdownSent,
            State::ShutdownReceived => Self::ShutdownReceived,
            State::ShutdownAckSent => Self::ShutdownAckSent,
        }
    }
}
