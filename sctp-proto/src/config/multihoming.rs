//! Settings of an association with several paths.

use super::AssociationConfig;
use crate::error::ConfigError;

/// Paths of an association at most.
pub(crate) const MAX_PATHS: usize = 8;

impl AssociationConfig {
    /// Paths at most, 1 to 8: pairs of an address of this side and one of the peer's. Default 8;
    /// with 1 the association stays on the path of its handshake, and tells the peer of no other
    /// address. Each costs about a kilobyte, and a HEARTBEAT now and then.
    pub fn max_paths(&mut self, count: usize) -> &mut Self {
        self.max_paths = count;
        self
    }

    /// Tell the peer the addresses of this side in INIT and INIT ACK, if there are several. Default
    /// true. Loopback addresses are told on loopback only, link-local and private ones where the
    /// peer's is of the same kind.
    pub fn announce_addresses(&mut self, on: bool) -> &mut Self {
        self.announce_addresses = on;
        self
    }

    /// PFMR (RFC 7829 §3.2): failures beyond which an active path has potentially failed, so that
    /// data takes another that is active until a HEARTBEAT comes back; they are sent once per
    /// time-out. Default 0: the first one; RFC 7829 recommends it. `None`: a path carries data until
    /// [`path_max_retrans`](Self::path_max_retrans) failures have made it inactive. Without effect
    /// while there is one path.
    pub fn potentially_failed_max_retrans(&mut self, count: Option<u32>) -> &mut Self {
        self.potentially_failed_max_retrans = count;
        self
    }

    /// PSMR (RFC 7829 §3.4): failures of the primary path beyond which another takes its place for
    /// good. Default `None`: data goes back to the primary as soon as it answers.
    pub fn primary_switchover_max_retrans(&mut self, count: Option<u32>) -> &mut Self {
        self.primary_switchover_max_retrans = count;
        self
    }

    /// HB.Max.Burst: HEARTBEATs sent per time-out at most to addresses that are yet to be confirmed
    /// (§5.4). Default 1 (§16): a peer that lists addresses of others cannot have them flooded.
    pub fn heartbeat_max_burst(&mut self, count: u32) -> &mut Self {
        self.heartbeat_max_burst = count;
        self
    }

    /// Whether the peer is told several addresses of this side.
    pub(crate) fn lists_addresses(&self) -> bool {
        self.announce_addresses && self.max_paths > 1
    }

    pub(super) fn validate_multihoming(&self) -> Result<(), ConfigError> {
        if !(1..=MAX_PATHS).contains(&self.max_paths) {
            return Err(ConfigError::new("max_paths", "must be 1 to 8"));
        }
        if self.heartbeat_max_burst == 0 {
            return Err(ConfigError::new(
                "heartbeat_max_burst",
                "must be at least 1, or no address would ever be confirmed",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_allow_no_path_are_refused() {
        type Change = fn(&mut AssociationConfig);
        let changes: [Change; 3] = [
            |c| _ = c.max_paths(0),
            |c| _ = c.max_paths(9),
            |c| _ = c.heartbeat_max_burst(0),
        ];
        for change in changes {
            let mut config = AssociationConfig::default();
            change(&mut config);
            assert!(config.validate().is_err());
        }
        let mut config = AssociationConfig::default();
        config.max_paths(1).announce_addresses(false);
        assert!(config.validate().is_ok());
    }
}
