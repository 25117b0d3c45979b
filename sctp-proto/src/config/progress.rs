//! Settings about a peer that is alive and takes nothing.

use std::time::Duration;

use super::AssociationConfig;
use crate::error::ConfigError;

impl AssociationConfig {
    /// How long data may wait without the peer acknowledging any of it, whatever else the peer
    /// answers, before [`Event::PeerStalled`](crate::Event::PeerStalled) tells. `None` tells
    /// nothing. Default 60 s. Noticed up to an RTO late.
    pub fn progress_timeout(&mut self, timeout: Option<Duration>) -> &mut Self {
        self.progress_timeout = timeout;
        self
    }

    /// How long data may wait so before the association is aborted, which frees what is held for
    /// it: up to the send buffer. Default `None`: never, for RFC 9260 §6.1 lets a receiver keep its
    /// window closed for as long as it answers probes. A shutdown waits for that data, too.
    pub fn abort_stalled_peer(&mut self, timeout: Option<Duration>) -> &mut Self {
        self.abort_stalled_peer = timeout;
        self
    }

    pub(super) fn validate_progress(&self) -> Result<(), ConfigError> {
        let zero = |timeout: Option<Duration>| timeout.is_some_and(|timeout| timeout.is_zero());
        if zero(self.progress_timeout) {
            return Err(ConfigError::new(
                "progress_timeout",
                "must be longer than nothing; None never tells",
            ));
        }
        if zero(self.abort_stalled_peer) {
            return Err(ConfigError::new(
                "abort_stalled_peer",
                "must be longer than nothing; None never aborts",
            ));
        }
        Ok(())
    }
}
