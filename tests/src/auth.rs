//! AUTH (RFC 4895) by hand: written from its text, sharing nothing but the hash functions with the
//! stack under test.

use hmac::{Hmac, KeyInit, Mac};

use crate::{
    build,
    codec::{Chunk, Init, be16, kind, param},
};

/// The random number of the hand-driven peer.
pub const RANDOM: [u8; 32] = [0x5a; 32];

/// HMAC identifier of SHA-1.
pub const SHA1: u16 = 1;

/// HMAC identifier of SHA-256.
pub const SHA256: u16 = 3;

/// An INIT or INIT ACK that offers AUTH: these chunks are to be authenticated, by these algorithms.
pub fn offer(init: build::Init, chunks: &[u8], algorithms: &[u16]) -> build::Init {
    let algorithms: Vec<u8> = algorithms.iter().flat_map(|id| id.to_be_bytes()).collect();
    let mut init = init.param(param::RANDOM, &RANDOM);
    if !chunks.is_empty() {
        init = init.param(param::CHUNKS, chunks);
    }
    init.param(param::HMAC_ALGO, &algorithms)
}

/// What authenticates the packets of one association.
#[derive(Debug, Clone)]
pub struct Auth {
    /// Identifier of the shared key.
    pub key_id: u16,
    /// The endpoint pair shared key.
    pub key: Vec<u8>,
    /// The algorithm to sign with.
    pub algorithm: u16,
    vectors: Vec<u8>,
}

impl Auth {
    /// Between who sent `own`, as a chunk, and the host that sent `host`; with the empty key.
    pub fn new(own: &Chunk, host: &Init) -> Self {
        let (own, host) = (vector(&own.as_init()), vector(host));
        // Both are numbers that begin with 0x80: the longer one is the larger.
        let own_first = (own.len(), &own) <= (host.len(), &host);
        Self {
            key_id: 0,
            key: Vec::new(),
            algorithm: SHA256,
            vectors: if own_first {
                [own, host].concat()
            } else {
                [host, own].concat()
            },
        }
    }

    /// With a shared key.
    pub fn with_key(mut self, id: u16, key: &[u8]) -> Self {
        (self.key_id, self.key) = (id, key.to_vec());
        self
    }

    /// With another algorithm.
    pub fn with_algorithm(mut self, algorithm: u16) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// The chunks behind an AUTH.
    pub fn sign(&self, chunks: Vec<Chunk>) -> Vec<Chunk> {
        let length = if self.algorithm == SHA1 { 20 } else { 32 };
        let mut value = self.key_id.to_be_bytes().to_vec();
        value.extend_from_slice(&self.algorithm.to_be_bytes());
        value.resize(4 + length, 0);
        let mut signed = vec![Chunk::new(kind::AUTH, 0, &value)];
        signed.extend(chunks);
        let mac = self.mac(self.algorithm, &signed);
        signed[0].value[4..].copy_from_slice(&mac);
        signed
    }

    /// Whether the chunks of a packet begin with AUTH, or have one, that is right.
    pub fn vouches_for(&self, chunks: &[Chunk]) -> bool {
        let Some(at) = chunks.iter().position(|chunk| chunk.kind == kind::AUTH) else {
            return false;
        };
        let mut covered = chunks[at..].to_vec();
        let mac = covered[0].value.split_off(4);
        let (key_id, algorithm) = (be16(&covered[0].value, 0), be16(&covered[0].value, 2));
        covered[0].value.resize(4 + mac.len(), 0);
        key_id == self.key_id && self.mac(algorithm, &covered) == mac
    }

    fn mac(&self, algorithm: u16, chunks: &[Chunk]) -> Vec<u8> {
        let key = [&self.key[..], &self.vectors].concat();
        let mut bytes = Vec::new();
        for chunk in chunks {
            chunk.encode(&mut bytes);
        }
        match algorithm {
            SHA1 => {
                let mut mac = Hmac::<sha1::Sha1>::new_from_slice(&key).expect("a key");
                mac.update(&bytes);
                mac.finalize().into_bytes().to_vec()
            }
            _ => {
                let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).expect("a key");
                mac.update(&bytes);
                mac.finalize().into_bytes().to_vec()
            }
        }
    }
}

/// RANDOM, CHUNKS and HMAC-ALGO in a row, without padding (RFC 4895 §6.1).
fn vector(init: &Init) -> Vec<u8> {
    let kinds = [param::RANDOM, param::CHUNKS, param::HMAC_ALGO];
    let present = kinds
        .iter()
        .filter_map(|kind| Some(build::tlv(*kind, init.param(*kind)?)));
    present.flatten().collect()
}
