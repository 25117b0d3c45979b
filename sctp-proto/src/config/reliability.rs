//! Partial reliability (RFC 3758, RFC 7496).

use super::AssociationConfig;
use crate::message::Reliability;

impl AssociationConfig {
    /// Offer partial reliability: FORWARD-TSN (RFC 3758) and, with
    /// [`interleaving`](Self::interleaving), I-FORWARD-TSN (RFC 8260 §2.3.1). Default true
    /// (SCTP_PR_SUPPORTED, RFC 7496 §4.5).
    ///
    /// Where the peer does not, or this is false, a message of which a part has left arrives, as
    /// long as the association lives; [`Reliability`] then decides only on those of which nothing
    /// has, as the lifetime of RFC 9260 §11.1.5 does.
    pub fn partial_reliability(&mut self, on: bool) -> &mut Self {
        self.partial_reliability = on;
        self
    }

    /// The reliability of messages whose [`SendInfo`](crate::SendInfo) has none (SCTP_DEFAULT_PRINFO,
    /// RFC 7496 §4.4). Default [`Reliability::Reliable`].
    /// [`Association::set_default_reliability`](crate::Association::set_default_reliability) changes
    /// it later.
    pub fn default_reliability(&mut self, reliability: Reliability) -> &mut Self {
        self.default_reliability = reliability;
        self
    }
}
