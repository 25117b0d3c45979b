//! The hashes that HMACs are made with (RFC 4895 §3.3, RFC 2104).

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::wire::MAX_MAC;

/// An algorithm that chunks can be authenticated with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HmacAlgorithm {
    /// HMAC-SHA-1, which everybody must know (RFC 4895 §3.3). That SHA-1 has collisions does not
    /// help to forge an HMAC.
    Sha1,
    /// HMAC-SHA-256.
    Sha256,
}

impl HmacAlgorithm {
    /// The HMAC Identifier.
    pub(crate) const fn id(self) -> u16 {
        match self {
            Self::Sha1 => 1,
            Self::Sha256 => 3,
        }
    }

    pub(crate) const fn from_id(id: u16) -> Option<Self> {
        match id {
            1 => Some(Self::Sha1),
            3 => Some(Self::Sha256),
            _ => None,
        }
    }

    pub(crate) const fn mac_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// An HMAC whose key is in place.
pub(super) enum Keyed {
    Sha1(Box<Hmac<Sha1>>),
    Sha256(Box<Hmac<Sha256>>),
}

impl Keyed {
    /// The key is the concatenation of the parts.
    pub(super) fn new(algorithm: HmacAlgorithm, key: [&[u8]; 2]) -> Self {
        let key = Zeroizing::new(key.concat());
        match algorithm {
            HmacAlgorithm::Sha1 => Self::Sha1(Box::new(keyed(&key))),
            HmacAlgorithm::Sha256 => Self::Sha256(Box::new(keyed(&key))),
        }
    }

    /// The HMAC of the parts in a row; zeros follow one that is shorter than the longest.
    pub(super) fn mac<const N: usize>(&self, parts: [&[u8]; N]) -> [u8; MAX_MAC] {
        let mut mac = [0; MAX_MAC];
        match self {
            Self::Sha1(keyed) => {
                let tag = over((**keyed).clone(), parts).finalize().into_bytes();
                mac[..tag.len()].copy_from_slice(&tag);
            }
            Self::Sha256(keyed) => {
                let tag = over((**keyed).clone(), parts).finalize().into_bytes();
                mac.copy_from_slice(&tag);
            }
        }
        mac
    }

    /// Whether `mac` is the HMAC of the parts; takes as long for any that is not.
    pub(super) fn verify<const N: usize>(&self, parts: [&[u8]; N], mac: &[u8]) -> bool {
        match self {
            Self::Sha1(keyed) => over((**keyed).clone(), parts).verify_slice(mac).is_ok(),
            Self::Sha256(keyed) => over((**keyed).clone(), parts).verify_slice(mac).is_ok(),
        }
    }
}

impl std::fmt::Debug for Keyed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyed").finish_non_exhaustive() // no key in a log
    }
}

fn keyed<M: Mac + KeyInit>(key: &[u8]) -> M {
    // Cannot fail: HMAC takes keys of any length (RFC 2104 §2).
    <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn over<M: Mac, const N: usize>(mut mac: M, parts: [&[u8]; N]) -> M {
    for part in parts {
        mac.update(part);
    }
    mac
}
