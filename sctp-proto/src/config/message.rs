//! Settings about messages, and about what the peer is told that they are for.

use super::AssociationConfig;
use crate::error::ConfigError;

/// A segment is no smaller: headers would be most of what is sent.
const MIN_SEGMENT: u16 = 64;

impl AssociationConfig {
    /// Bytes of user data in one chunk at most (SCTP_MAXSEG, RFC 6458 §8.1.16). Default `None`:
    /// what a packet of the path holds. At least 64.
    pub fn max_segment(&mut self, bytes: Option<u16>) -> &mut Self {
        self.max_segment = bytes;
        self
    }

    /// The adaptation layer indication to tell the peer in INIT or INIT ACK (RFC 5061 §4.2.6;
    /// SCTP_ADAPTATION_LAYER, RFC 6458 §8.1.10): a number that the two users agree on. Default
    /// `None`: none is sent. What the peer sends comes as
    /// [`Event::AdaptationIndication`](crate::Event::AdaptationIndication), in any case.
    pub fn adaptation_indication(&mut self, indication: Option<u32>) -> &mut Self {
        self.adaptation_indication = indication;
        self
    }

    /// Bytes of user data in one chunk where a packet has room for so many.
    pub(crate) fn segment(&self, full: usize) -> usize {
        self.max_segment
            .map_or(full, |most| full.min(usize::from(most)))
    }

    pub(super) fn validate_messages(&self) -> Result<(), ConfigError> {
        if self.max_segment.is_some_and(|bytes| bytes < MIN_SEGMENT) {
            return Err(ConfigError::new(
                "max_segment",
                "must be at least 64 bytes; None takes what a packet holds",
            ));
        }
        Ok(())
    }
}
