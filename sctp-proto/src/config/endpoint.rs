//! Settings of an endpoint, and of its listening side.

use std::{sync::Arc, time::Duration};

use super::AssociationConfig;
use crate::error::ConfigError;

/// Settings that all associations of an endpoint share.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    pub(crate) cookie_key: Option<[u8; 32]>,
    pub(crate) cookie_lifetime: Duration,
    pub(crate) cookie_key_rotation: Duration,
    pub(crate) unix_time_at_epoch: Duration,
    pub(crate) max_associations: usize,
    pub(crate) max_associations_per_peer: usize,
    pub(crate) max_memory: usize,
    pub(crate) max_memory_per_peer: usize,
    pub(crate) stateless_replies_per_second: u32,
    pub(crate) stateless_replies_per_source: u32,
    pub(crate) setups_per_source: u32,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            cookie_key: None,
            cookie_lifetime: Duration::from_secs(60),
            cookie_key_rotation: Duration::from_secs(3600),
            unix_time_at_epoch: Duration::ZERO,
            max_associations: 100_000,
            max_associations_per_peer: 25_000,
            max_memory: 1 << 30,
            max_memory_per_peer: 256 << 20,
            stateless_replies_per_second: 1000,
            stateless_replies_per_source: 200,
            setups_per_source: 20_000,
        }
    }
}

impl EndpointConfig {
    /// Master key that the keys for state cookies are derived from. Default `None`: one drawn from
    /// the seed. Machines that answer for one address share it.
    pub fn cookie_key(&mut self, key: Option<[u8; 32]>) -> &mut Self {
        self.cookie_key = key;
        self
    }

    /// Valid.Cookie.Life. Default 60 s (RFC 9260 §16).
    pub fn cookie_lifetime(&mut self, lifetime: Duration) -> &mut Self {
        self.cookie_lifetime = lifetime;
        self
    }

    /// How often the key for state cookies changes; cookies made with the key before are honoured.
    /// Default one hour. At least the cookie lifetime.
    pub fn cookie_key_rotation(&mut self, interval: Duration) -> &mut Self {
        self.cookie_key_rotation = interval;
        self
    }

    /// Unix time at [`Instant::EPOCH`](crate::Instant::EPOCH). Only machines that share a cookie
    /// key need it. Default zero.
    pub fn unix_time_at_epoch(&mut self, time: Duration) -> &mut Self {
        self.unix_time_at_epoch = time;
        self
    }

    /// Associations the endpoint holds at most, peers waiting for `accept` included. Default
    /// 100,000.
    pub fn max_associations(&mut self, count: usize) -> &mut Self {
        self.max_associations = count;
        self
    }

    /// Replies to packets that belong to no association (ABORT, SHUTDOWN COMPLETE: §8.4) sent per
    /// second at most, in all. INIT ACK is not counted: it is the size of the INIT's own answer.
    /// Default 1000.
    pub fn stateless_replies_per_second(&mut self, count: u32) -> &mut Self {
        self.stateless_replies_per_second = count;
        self
    }

    /// Replies of [`stateless_replies_per_second`](Self::stateless_replies_per_second) that one
    /// source gets at most, an IPv4 address or the /64 of an IPv6 one. Default 200, so that no one
    /// source uses up the replies for all. The table of sources takes 16 KiB, however many there
    /// are.
    pub fn stateless_replies_per_source(&mut self, count: u32) -> &mut Self {
        self.stateless_replies_per_source = count;
        self
    }

    /// INIT and COOKIE ECHO chunks from one source, an IPv4 address or the /64 of an IPv6 one, that
    /// are looked into per second at most; further ones are ignored before they cost any
    /// cryptography. Setting up takes one of each. Default 20,000: more set-ups than a host or a
    /// large NAT asks for, and no more than some hundredths of a core for whoever floods. The table
    /// of sources takes 16 KiB, however many there are.
    pub fn setups_per_source(&mut self, count: u32) -> &mut Self {
        self.setups_per_source = count;
        self
    }

    /// Checks the settings against each other.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.setups_per_source == 0 {
            return Err(ConfigError::new(
                "setups_per_source",
                "must be at least 1, or nobody could connect or be connected to",
            ));
        }
        if self.cookie_lifetime < Duration::from_millis(1) {
            return Err(ConfigError::new("cookie_lifetime", "must be at least 1 ms"));
        }
        if self.cookie_key_rotation < self.cookie_lifetime {
            return Err(ConfigError::new(
                "cookie_key_rotation",
                "must be at least the cookie lifetime, or valid cookies would be refused",
            ));
        }
        self.validate_limits()?;
        if self.max_associations == 0 {
            return Err(ConfigError::new("max_associations", "must be at least 1"));
        }
        Ok(())
    }
}

/// Settings of the listening side of an endpoint.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub(crate) port: u16,
    pub(crate) association: Arc<AssociationConfig>,
    pub(crate) max_pending: usize,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            port: 80,
            association: Arc::new(AssociationConfig::default()),
            max_pending: 1024,
        }
    }
}

impl ServerConfig {
    /// The SCTP port to listen on. Default 80.
    pub fn port(&mut self, port: u16) -> &mut Self {
        self.port = port;
        self
    }

    /// Settings of accepted associations; INIT ACK announces its windows and streams.
    pub fn association(&mut self, config: Arc<AssociationConfig>) -> &mut Self {
        self.association = config;
        self
    }

    /// Peers with a valid cookie that may wait for `accept`; further ones are ignored and try
    /// again. Default 1024. Each may hold up to 64 KiB of early data.
    pub fn max_pending(&mut self, count: usize) -> &mut Self {
        self.max_pending = count;
        self
    }

    /// Checks the settings against each other.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.port == 0 {
            return Err(ConfigError::new(
                "port",
                "0 is not a port; choose 1 to 65535",
            ));
        }
        self.association.validate()
    }
}
