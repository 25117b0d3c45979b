//! What a peer may ask for by RE-CONFIG (SCTP_ENABLE_STREAM_RESET, RFC 6525 §6.3.1).
//!
//! That a peer resets the streams *it* sends on needs no permission beyond
//! [`stream_reset`](AssociationConfig::stream_reset): it harms nobody but itself.

use super::AssociationConfig;

impl AssociationConfig {
    /// Whether the peer may have this side reset streams that this side sends on
    /// (SCTP_ENABLE_RESET_STREAM_REQ). A stream takes no messages while that is under way, and
    /// [`Event::OutgoingReset`](crate::Event::OutgoingReset) tells that its messages are
    /// numbered anew. Default false, as in RFC 6525: whoever is in the middle of an answer would
    /// have it cut in two.
    pub fn obey_stream_reset(&mut self, obey: bool) -> &mut Self {
        self.obey_stream_reset = obey;
        self
    }

    /// Whether the peer may reset the association: all streams of both directions, and the TSNs
    /// (SCTP_ENABLE_RESET_ASSOC_REQ). No stream takes messages until all that was sent is
    /// acknowledged. Default false, as in RFC 6525.
    pub fn obey_association_reset(&mut self, obey: bool) -> &mut Self {
        self.obey_association_reset = obey;
        self
    }

    /// Whether the peer may add streams (SCTP_ENABLE_CHANGE_ASSOC_REQ): inbound up to
    /// [`max_inbound_streams`](Self::max_inbound_streams), which it was offered in the handshake
    /// already, outbound up to [`outbound_streams`](Self::outbound_streams). Default true; a stream
    /// costs nothing before it is used. What this side asks for by
    /// [`add_streams`](crate::Association::add_streams) it gets in either case.
    pub fn obey_add_streams(&mut self, obey: bool) -> &mut Self {
        self.obey_add_streams = obey;
        self
    }
}
