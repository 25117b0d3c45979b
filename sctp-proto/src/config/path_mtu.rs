//! Settings of the path MTU.

use super::AssociationConfig;
use crate::error::ConfigError;

/// The smallest path MTU that can be set: what every IPv4 host takes in (RFC 791 §3.1).
const LEAST: u16 = 576;

impl AssociationConfig {
    /// MTU that a path is taken to have at first, bytes of IP packet. Default 1280, which every IPv6
    /// link carries (RFC 8200 §5) and nearly every IPv4 one. SCTP packets are smaller by the IP and
    /// UDP headers. A path that turns out to carry less is taken for what it carries; one that
    /// carries more is found out by [`plpmtud`](Self::plpmtud).
    pub fn path_mtu(&mut self, bytes: u16) -> &mut Self {
        self.path_mtu = bytes;
        self
    }

    /// The smallest MTU that packets are made for, whatever the network says, bytes of IP packet.
    /// Default 1280 (RFC 8899 §5.1.2 has 1,200 bytes of UDP as a base that works nearly everywhere):
    /// nobody can make packets smaller, and so more, than that with a forged message. What an IPv4
    /// path with a smaller MTU cannot carry is left to be fragmented on the way; where fragments
    /// do not get through, set this lower, to 576 at least. Over IPv6 it is 1280 at least.
    pub fn min_path_mtu(&mut self, bytes: u16) -> &mut Self {
        self.min_path_mtu = bytes;
        self
    }

    /// The largest MTU that is looked for, bytes of IP packet. Default 65,535, the largest IPv4
    /// packet: what the interface cannot send is refused by the operating system at once, and costs
    /// nothing. Not less than [`path_mtu`](Self::path_mtu). Large packets cost memory where they
    /// wait: a batch to send is 64 KiB in any case, and a message that waits to be read pins no
    /// more than it did.
    pub fn max_path_mtu(&mut self, bytes: u16) -> &mut Self {
        self.max_path_mtu = bytes;
        self
    }

    /// Find out what packets a path carries (packetization layer path MTU discovery, RFC 8899).
    /// Default true. Once a path has more to carry than fits a packet, HEARTBEATs padded to larger
    /// sizes are sent, one at a time; packets grow to what is answered. A path on which large
    /// packets get lost again and again while no large one arrives is taken to have become
    /// narrow: packets shrink to the base, 1280 bytes, and the search begins anew. What was not
    /// found is looked for again after ten minutes, if there is data to send then. With false the path
    /// MTU is what is set, or less if the network says so.
    ///
    /// Costs a few packets per path that are lost if they are too large, which counts neither as
    /// congestion nor against the path; nothing on a path that carries little; 100 bytes on one that
    /// carries much.
    pub fn plpmtud(&mut self, on: bool) -> &mut Self {
        self.plpmtud = on;
        self
    }

    pub(super) fn validate_path_mtu(&self) -> Result<(), ConfigError> {
        if self.path_mtu < LEAST {
            return Err(ConfigError::new("path_mtu", "must be at least 576 bytes"));
        }
        if self.min_path_mtu < LEAST {
            return Err(ConfigError::new(
                "min_path_mtu",
                "must be at least 576 bytes",
            ));
        }
        if self.plpmtud && self.max_path_mtu < self.path_mtu {
            return Err(ConfigError::new(
                "max_path_mtu",
                "must not be less than path_mtu, which paths begin with",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_does_not_begin_above_its_end() {
        let mut config = AssociationConfig::default();
        config.path_mtu(1500).max_path_mtu(1499);
        assert!(config.validate().is_err());
        config.max_path_mtu(1500);
        assert!(config.validate().is_ok());
        // What is not looked for has no end.
        config.plpmtud(false).max_path_mtu(0);
        assert!(config.validate().is_ok());
    }

    #[test]
    fn no_host_takes_less_than_576_bytes() {
        for change in [AssociationConfig::path_mtu, AssociationConfig::min_path_mtu] {
            for (bytes, sound) in [(0, false), (575, false), (576, true)] {
                let mut config = AssociationConfig::default();
                change(&mut config, bytes);
                assert_eq!(config.validate().is_ok(), sound, "{bytes} bytes");
            }
        }
    }
}
