//! Chunks that only who knows a key can have sent (AUTH, RFC 4895).
//!
//! Both sides put a random number, the chunk types they want authenticated and the algorithms they
//! know into INIT and INIT ACK ([`AuthParams`]). An association shared key is made of these and of
//! an endpoint pair shared key, which the users of both sides have configured, or else is empty.
//! With the empty key an HMAC proves that its sender has seen the handshake; with another, that it
//! was told the key.

mod algorithm;
mod keys;
mod params;

use self::algorithm::Keyed;
pub use self::{algorithm::HmacAlgorithm, keys::SharedKey};
pub(crate) use self::{
    keys::AuthKeys,
    params::{AuthFault, AuthParams, RANDOM, can_be_listed},
};
use crate::wire::{self, AUTH_HEADER, AuthPlan, ChunkSet, MAX_MAC, kind};

/// Association shared keys kept ready. One per direction is usual; while keys change there are two.
const READY: usize = 4;

/// What became of an AUTH chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// What follows it is from who knows this key.
    Genuine {
        key: u16,
    },
    /// The HMAC is wrong, or no HMAC.
    Forged,
    UnknownKey(u16),
    /// An algorithm that this side has not listed.
    UnsupportedAlgorithm(u16),
}

/// Authentication as agreed with one peer.
#[derive(Debug)]
pub(crate) struct Auth {
    /// The chunk types that this side takes only behind an AUTH.
    required: ChunkSet,
    /// Those that the peer takes only behind an AUTH.
    requested: ChunkSet,
    /// What this side has listed.
    listed: Vec<HmacAlgorithm>,
    /// What this side sends with.
    algorithm: HmacAlgorithm,
    /// Both key vectors, the smaller one first.
    vectors: Box<[u8]>,
    /// Those used last, the latest at the end.
    ready: Vec<Ready>,
    /// The key that the peer's latest AUTH was made with, once there was one.
    peer_key: Option<u16>,
    /// The unknown key that the user was told of last.
    told: Option<u16>,
}

/// The keyed HMAC of an association shared key.
#[derive(Debug)]
struct Ready {
    key: u16,
    algorithm: HmacAlgorithm,
    keyed: Keyed,
}

impl Auth {
    /// `None` if the peer knows no algorithm that this side knows.
    pub(crate) fn new(local: &AuthParams, peer: &AuthParams) -> Option<Self> {
        //= RFC 4895 §6.1
        //# The receiver of an HMAC-ALGO parameter SHOULD use the first
        //# listed algorithm it supports.
        let algorithm = peer.algorithms().next()?;
        Some(Self {
            required: local.chunks(),
            requested: peer.chunks(),
            listed: local.algorithms().collect(),
            algorithm,
            vectors: params::concatenated(&local.key_vector(), &peer.key_vector()),
            ready: Vec::new(),
            peer_key: None,
            told: None,
        })
    }

    /// Whether this side takes chunks of this type only behind an AUTH.
    pub(crate) fn requires(&self, kind: u8) -> bool {
        self.required.contains(kind)
    }

    /// Chunk types that this side takes only behind an AUTH.
    pub(crate) fn required(&self) -> ChunkSet {
        self.required
    }

    /// Chunk types that the peer takes only behind an AUTH.
    pub(crate) fn requested(&self) -> ChunkSet {
        self.requested
    }

    /// Bytes that an AUTH takes.
    pub(crate) fn size(&self) -> usize {
        AUTH_HEADER + self.algorithm.mac_len()
    }

    /// Whether every packet keeps room for an AUTH: the peer wants more chunks authenticated than
    /// those of RFC 5061, whose writers ask for room themselves.
    pub(crate) fn reserves(&self) -> bool {
        let mut others = self.requested;
        others.remove(kind::ASCONF);
        others.remove(kind::ASCONF_ACK);
        !others.is_empty()
    }

    /// Notes what key the peer sends with; whether that is another than before. The first one is
    /// no news if it is the active key of this side.
    pub(crate) fn peer_uses(&mut self, key: u16, active: u16) -> bool {
        self.told = None;
        self.peer_key.replace(key).unwrap_or(active) != key
    }

    /// Notes that the peer sends with an unknown key; whether that has to be told.
    pub(crate) fn is_news(&mut self, key: u16) -> bool {
        self.told.replace(key).is_none()
    }

    /// What packets with chunks that the peer wants authenticated look like.
    pub(crate) fn plan(&self, keys: &AuthKeys) -> AuthPlan {
        AuthPlan {
            chunks: self.requested,
            key: keys.active(),
            algorithm: self.algorithm.id(),
            mac_len: self.algorithm.mac_len(),
            reserve: self.reserves(),
        }
    }

    /// The HMAC of an AUTH with an HMAC of zeros and all that follows it.
    pub(crate) fn sign(&mut self, keys: &AuthKeys, covered: &[u8]) -> [u8; MAX_MAC] {
        //= RFC 4895 §6.2
        //# If the endpoint has no endpoint pair shared key for the peer, it MUST
        //# use Shared Key Identifier zero with an empty endpoint pair shared
        //# key.
        let algorithm = self.algorithm;
        match self.keyed(keys, keys.active(), algorithm) {
            Some(keyed) => keyed.mac([covered]),
            // The active key cannot be deleted.
            None => [0; MAX_MAC],
        }
    }

    /// Judges the AUTH chunk at `offset` of a packet. Costs a hash of the rest of the packet.
    pub(crate) fn verify(&mut self, keys: &AuthKeys, packet: &[u8], offset: usize) -> Verdict {
        let Some((chunk, rest)) = packet.get(offset..).and_then(split_auth) else {
            return Verdict::Forged;
        };
        //= RFC 4895 §6.3
        //# If this algorithm was not specified by the
        //# receiver in the HMAC-ALGO parameter in the INIT or INIT-ACK chunk
        //# during association setup, the AUTH chunk and all the chunks after it
        //# MUST be discarded and an ERROR chunk SHOULD be sent with the error
        //# cause defined in Section 4.1.
        let algorithm = HmacAlgorithm::from_id(chunk.algorithm);
        let Some(algorithm) = algorithm.filter(|known| self.listed.contains(known)) else {
            return Verdict::UnsupportedAlgorithm(chunk.algorithm);
        };
        if chunk.mac.len() != algorithm.mac_len() {
            return Verdict::Forged;
        }
        //= RFC 4895 §6.3
        //# If no endpoint
        //# pair shared key has been configured for that Shared Key Identifier,
        //# all authenticated chunks MUST be silently discarded.
        let Some(keyed) = self.keyed(keys, chunk.key, algorithm) else {
            return Verdict::UnknownKey(chunk.key);
        };
        let zeros = &[0; MAX_MAC][..chunk.mac.len()];
        let head = &packet[offset..offset + AUTH_HEADER];
        if keyed.verify([head, zeros, rest], chunk.mac) {
            Verdict::Genuine { key: chunk.key }
        } else {
            Verdict::Forged
        }
    }

    /// A key was set anew or deleted: what was made of it is forgotten.
    pub(crate) fn forget(&mut self, key: u16) {
        self.ready.retain(|ready| ready.key != key);
    }

    fn keyed(&mut self, keys: &AuthKeys, key: u16, algorithm: HmacAlgorithm) -> Option<&Keyed> {
        let fits = |ready: &Ready| ready.key == key && ready.algorithm == algorithm;
        let at = match self.ready.iter().position(fits) {
            Some(at) => at,
            None => {
                let secret = keys.get(key)?;
                let keyed = Keyed::new(algorithm, [secret.bytes(), &self.vectors]);
                if self.ready.len() == READY {
                    self.ready.remove(0);
                }
                self.ready.push(Ready {
                    key,
                    algorithm,
                    keyed,
                });
                self.ready.len() - 1
            }
        };
        Some(&self.ready[at].keyed)
    }
}

/// The AUTH that `bytes` begin with, and what follows its HMAC: padding, and all other chunks.
fn split_auth(bytes: &[u8]) -> Option<(wire::Auth<'_>, &[u8])> {
    let length = usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
    let mac = bytes.get(AUTH_HEADER..length)?;
    let number = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let chunk = wire::Auth {
        key: number(4),
        algorithm: number(6),
        mac,
    };
    Some((chunk, &bytes[length..]))
}

#[cfg(test)]
mod tests;
