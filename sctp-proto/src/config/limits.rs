//! Limits on what an endpoint's associations hold together.

use super::EndpointConfig;
use crate::{accounts::RESERVE, error::ConfigError};

impl EndpointConfig {
    /// Associations that one peer address has at most, waiting peers included: an IPv4 address or
    /// the /64 of an IPv6 one. Default 25,000, so that no one address takes all places of
    /// [`max_associations`](Self::max_associations); a large NAT has no more. Further peers are
    /// refused with the cause Out of Resource.
    pub fn max_associations_per_peer(&mut self, count: usize) -> &mut Self {
        self.max_associations_per_peer = count;
        self
    }

    /// Bytes that all associations and waiting peers hold at most: messages to be sent, messages to
    /// be read, and what keeping them costs. Default 1 GiB.
    ///
    /// At the limit new peers are refused with the cause Out of Resource, receive windows shrink,
    /// and `send` blocks while earlier messages wait. Associations that there are go on: each may
    /// hold 16 KiB in each direction whatever the others do, by which, and by what they all take in
    /// within one batch of packets, the limit may be passed.
    pub fn max_memory(&mut self, bytes: usize) -> &mut Self {
        self.max_memory = bytes;
        self
    }

    /// Bytes of [`max_memory`](Self::max_memory) that the associations of one peer address hold at
    /// most, addresses as in [`max_associations_per_peer`](Self::max_associations_per_peer). Default
    /// 256 MiB.
    pub fn max_memory_per_peer(&mut self, bytes: usize) -> &mut Self {
        self.max_memory_per_peer = bytes;
        self
    }

    pub(super) fn validate_limits(&self) -> Result<(), ConfigError> {
        if self.max_associations_per_peer == 0 {
            return Err(ConfigError::new(
                "max_associations_per_peer",
                "must be at least 1",
            ));
        }
        for (setting, bytes) in [
            ("max_memory", self.max_memory),
            ("max_memory_per_peer", self.max_memory_per_peer),
        ] {
            if bytes < 4 * RESERVE {
                return Err(ConfigError::new(
                    setting,
                    "must be at least 64 KiB, or no association could be",
                ));
            }
        }
        Ok(())
    }
}
