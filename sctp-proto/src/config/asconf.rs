//! Settings of address changes (ASCONF, RFC 5061).

use super::AssociationConfig;

impl AssociationConfig {
    /// Offer ASCONF (RFC 5061), so that either side can add and delete addresses of its own while
    /// the association goes on. Default true; not offered without [`auth`](Self::auth), since who could
    /// change addresses unproved could take associations over (RFC 5062). What the peer adds carries no
    /// data before a HEARTBEAT has proved it (§5.4).
    ///
    /// Without [`auth_keys`](Self::auth_keys) the proof is that its sender saw the handshake: nobody
    /// off the path can forge it, somebody on the path can.
    pub fn asconf(&mut self, on: bool) -> &mut Self {
        self.asconf = on;
        self
    }

    /// Tell the peer by ASCONF of addresses that come and go, as
    /// [`handle_local_addresses`](crate::Association::handle_local_addresses) has them, and of those
    /// that INIT did not, or could not, make known to it (SCTP_AUTO_ASCONF, RFC 6458 §8.1.23). Default
    /// true; nothing is told where [`announce_addresses`](Self::announce_addresses) is off.
    pub fn auto_asconf(&mut self, on: bool) -> &mut Self {
        self.auto_asconf = on;
        self
    }

    /// Let the source of an ASCONF stand for the address that it is about (the wildcard of RFC 5061
    /// §4.2.1), both as asked by this side and by the peer. Default true: it is how a client behind
    /// a NAT, which does not know its own address, gets a second path. The source of a packet is not
    /// authenticated, so that somebody on the path can put another in its place (RFC 5061 §6); data
    /// goes there only if it also answers HEARTBEATs.
    pub fn asconf_wildcard(&mut self, on: bool) -> &mut Self {
        self.asconf_wildcard = on;
        self
    }

    /// Whether ASCONF is offered.
    //= RFC 5061 §4.1.1
    //# This
    //# chunk MUST be sent in an authenticated way by using the mechanism
    //# defined in [RFC4895].
    pub(crate) fn offers_asconf(&self) -> bool {
        self.asconf && self.auth
    }
}
