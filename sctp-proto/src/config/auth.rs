//! Settings of authentication (AUTH, RFC 4895).

use super::AssociationConfig;
use crate::{
    auth::{HmacAlgorithm, SharedKey, can_be_listed},
    error::ConfigError,
    wire::{ChunkSet, kind},
};

impl AssociationConfig {
    /// Offer AUTH (RFC 4895), so that chunks can be proved to be the peer's. Default true. Costs
    /// nothing for chunks that neither side wants authenticated; 44 bytes or more in INIT and INIT
    /// ACK, and 36 or more in the state cookie.
    pub fn auth(&mut self, on: bool) -> &mut Self {
        self.auth = on;
        self
    }

    /// Chunk types that are taken from the peer only if it authenticates them (SCTP_AUTH_CHUNK,
    /// RFC 6458 §8.3.2); as on the wire, 0 for DATA. Default none. Each packet with such a chunk
    /// costs its sender and receiver a hash of the packet, and 40 bytes with HMAC-SHA-256. INIT (1),
    /// INIT ACK (2), SHUTDOWN COMPLETE (14) and AUTH (15) are refused by
    /// [`validate`](Self::validate). Peers that do not speak AUTH are not asked for it: see
    /// [`Event::Authentication`](crate::Event::Authentication).
    ///
    /// To list ABORT (6) makes forged ABORTs harmless, and the association of a peer that lost its
    /// state is found dead by time-outs only; to list COOKIE ECHO (10) with a key of
    /// [`auth_keys`](Self::auth_keys) lets only peers in that know it, and ends restarts (§6.3).
    pub fn auth_chunks(&mut self, kinds: &[u8]) -> &mut Self {
        self.auth_chunks = kinds.iter().copied().collect();
        self
    }

    /// Algorithms the peer may use, the preferred one first (SCTP_HMAC_IDENT, RFC 6458 §8.1.17).
    /// Default HMAC-SHA-256, then HMAC-SHA-1; the latter must be in the list (RFC 4895 §3.3).
    pub fn hmac_algorithms(&mut self, algorithms: &[HmacAlgorithm]) -> &mut Self {
        self.hmac_algorithms = algorithms.to_vec();
        self
    }

    /// Endpoint pair shared keys with their identifiers (SCTP_AUTH_KEY, RFC 6458 §8.3.3), of which
    /// the first is the one to send with (SCTP_AUTH_ACTIVE_KEY, §8.1.18). Default none: then both
    /// sides use the empty key with identifier 0. If there are some, identifier 0 means nothing
    /// unless it is among them, so that nobody gets by with the empty key.
    pub fn auth_keys(&mut self, keys: &[(u16, SharedKey)]) -> &mut Self {
        self.auth_keys = keys.to_vec();
        self
    }

    /// What CHUNKS lists.
    pub(crate) fn authenticated_chunks(&self) -> ChunkSet {
        let mut chunks = self.auth_chunks;
        if self.offers_asconf() {
            chunks.insert(kind::ASCONF);
            chunks.insert(kind::ASCONF_ACK);
        }
        chunks
    }

    pub(super) fn validate_auth(&self) -> Result<(), ConfigError> {
        if !self.auth_chunks.iter().all(can_be_listed) {
            return Err(ConfigError::new(
                "auth_chunks",
                "INIT, INIT ACK, SHUTDOWN COMPLETE and AUTH cannot be authenticated",
            ));
        }
        let list = &self.hmac_algorithms;
        let repeats = (1..list.len()).any(|at| list[..at].contains(&list[at]));
        //= RFC 4895 §6.1
        //# The HMAC algorithm based on SHA-1 MUST
        //# be supported and included in the HMAC-ALGO parameter.
        if repeats || !list.contains(&HmacAlgorithm::Sha1) {
            return Err(ConfigError::new(
                "hmac_algorithms",
                "must list HMAC-SHA-1, and none twice",
            ));
        }
        Ok(())
    }
}
