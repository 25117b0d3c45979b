//! What may stand in for the checksum.

use super::{AssociationConfig, ServerConfig};
use crate::error::ConfigError;

/// Something below SCTP that finds packets that were changed on the way, at least as well as
/// CRC32c does (an alternate error detection method, RFC 9653 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorDetection {
    /// DTLS, which all packets of the association come and go by (RFC 8261).
    Dtls,
}

impl ErrorDetection {
    /// Its number in the registry of RFC 9653 §8.2.
    pub(crate) const fn id(self) -> u32 {
        match self {
            Self::Dtls => 1,
        }
    }
}

impl AssociationConfig {
    /// Take packets without a checksum, and send them if the peer takes them too (RFC 9653). Default
    /// `None`: every packet has its CRC32c.
    ///
    /// Setting it is a promise: *every* packet of the association, whichever path it takes, goes
    /// through what is named here. Over plain UDP that is never so: whoever can change a packet on
    /// the way, or a broken router, would change data unseen. The driver has to know; `sctp-udp`
    /// refuses it unless its sockets say so themselves.
    ///
    /// INIT, COOKIE ECHO, ASCONF and SHUTDOWN ACK have their checksum in any case, and so have answers to
    /// packets out of the blue.
    pub fn zero_checksum(&mut self, guarded_by: Option<ErrorDetection>) -> &mut Self {
        self.zero_checksum = guarded_by;
        self
    }

    /// For drivers: whether what [`zero_checksum`](Self::zero_checksum) promises is what is below.
    pub fn validate_error_detection(
        &self,
        below: Option<ErrorDetection>,
    ) -> Result<(), ConfigError> {
        if self.zero_checksum.is_some() && self.zero_checksum != below {
            return Err(ConfigError::new(
                "zero_checksum",
                "the sockets do not detect errors as promised",
            ));
        }
        Ok(())
    }
}

impl ServerConfig {
    /// As [`AssociationConfig::validate_error_detection`], of the associations that are accepted.
    pub fn validate_error_detection(
        &self,
        below: Option<ErrorDetection>,
    ) -> Result<(), ConfigError> {
        self.association.validate_error_detection(below)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_promise_is_kept_only_by_what_it_names() {
        let mut config = AssociationConfig::default();
        assert!(config.validate_error_detection(None).is_ok());
        assert!(
            config
                .validate_error_detection(Some(ErrorDetection::Dtls))
                .is_ok()
        );
        config.zero_checksum(Some(ErrorDetection::Dtls));
        let mut server = ServerConfig::default();
        server.association(Arc::new(config.clone()));
        for (below, sound) in [(None, false), (Some(ErrorDetection::Dtls), true)] {
            assert_eq!(config.validate_error_detection(below).is_ok(), sound);
            assert_eq!(server.validate_error_detection(below).is_ok(), sound);
        }
    }
}
