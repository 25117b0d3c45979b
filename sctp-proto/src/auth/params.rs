//! What a side says about authentication in INIT or INIT ACK (RFC 4895 §3).

use smallvec::SmallVec;

use super::HmacAlgorithm;
use crate::{
    config::AssociationConfig,
    wire::{ChunkSet, ParamWriter, kind, param},
};

/// Bytes of a random number (RFC 4895 §6.1).
pub(crate) const RANDOM: usize = 32;

/// Chunk types that a peer may list: CHUNKS has 260 bytes at most (RFC 4895 §3.2).
const MAX_CHUNKS: usize = 256;

/// HMAC identifiers that a peer may list. Two are defined; a list of this many is carried in the
/// state cookie at no more than its own size.
const MAX_ALGORITHMS: usize = 16;

/// Why a peer's parameters cannot be used: in words, for the ABORT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AuthFault(pub(crate) &'static str);

/// RANDOM, CHUNKS and HMAC-ALGO of one side, as they were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthParams {
    random: [u8; RANDOM],
    /// `None` if there was no CHUNKS parameter.
    chunks: Option<SmallVec<[u8; 8]>>,
    algorithms: SmallVec<[u16; 4]>,
}

impl AuthParams {
    /// Those of this side.
    pub(crate) fn local(config: &AssociationConfig, random: [u8; RANDOM]) -> Self {
        let chunks: SmallVec<_> = config.authenticated_chunks().iter().collect();
        Self {
            random,
            //= RFC 4895 §6.1
            //# This list is included in the INIT
            //# and INIT-ACK, and MAY be omitted if it is empty.
            chunks: (!chunks.is_empty()).then_some(chunks),
            algorithms: config.hmac_algorithms.iter().map(|a| a.id()).collect(),
        }
    }

    /// Those of a peer, out of the values of its parameters; `None` if it cannot authenticate, or
    /// only by means that nobody knows here.
    pub(crate) fn of_peer(
        random: Option<&[u8]>,
        chunks: Option<&[u8]>,
        algorithms: Option<&[u8]>,
    ) -> Result<Option<Self>, AuthFault> {
        let Some(random) = random else {
            return Ok(None);
        };
        //= RFC 4895 §6.1
        //# If the Random
        //# Number is not 32 bytes, the association MUST be aborted.  The ABORT
        //# chunk SHOULD contain the error cause 'Protocol Violation'.
        let Ok(random) = random.try_into() else {
            return Err(AuthFault("RANDOM is not of 32 bytes"));
        };
        //= RFC 4895 §3.2
        //# Its
        //# maximum length is 260 bytes.
        if chunks.is_some_and(|chunks| chunks.len() > MAX_CHUNKS) {
            return Err(AuthFault("CHUNKS lists more types than there are"));
        }
        let (algorithms, _) = algorithms.unwrap_or_default().as_chunks::<2>();
        if algorithms.len() > MAX_ALGORITHMS {
            return Err(AuthFault("HMAC-ALGO lists too many algorithms"));
        }
        let found = Self {
            random,
            chunks: chunks.map(SmallVec::from_slice),
            algorithms: algorithms
                .iter()
                .map(|id| u16::from_be_bytes(*id))
                .collect(),
        };
        let usable = found.algorithms().next().is_some();
        Ok(usable.then_some(found))
    }

    /// Appends the parameters.
    //= RFC 4895 §6.1
    //# An SCTP endpoint willing to receive or send authenticated chunks MUST
    //# send one RANDOM parameter in its INIT or INIT-ACK chunk.
    pub(crate) fn write(&self, params: &mut ParamWriter) {
        params.param(param::RANDOM, &self.random);
        if let Some(chunks) = &self.chunks {
            params.param(param::CHUNK_LIST, chunks);
        }
        params.param(param::HMAC_ALGORITHMS, &self.algorithm_bytes());
    }

    /// Types of the chunks that the side takes only behind an AUTH.
    //= RFC 4895 §3.2
    //# However, if a
    //# CHUNKS parameter is received then the types for INIT, INIT-ACK,
    //# SHUTDOWN-COMPLETE, and AUTH chunks MUST be ignored.
    pub(super) fn chunks(&self) -> ChunkSet {
        let listed = self.chunks.iter().flatten().copied();
        listed.filter(|kind| can_be_listed(*kind)).collect()
    }

    /// The algorithms that the side knows, the preferred one first; but for those unknown here.
    pub(crate) fn algorithms(&self) -> impl Iterator<Item = HmacAlgorithm> + '_ {
        let ids = self.algorithms.iter().copied();
        ids.filter_map(HmacAlgorithm::from_id)
    }

    /// The parameters in a row, without padding.
    //= RFC 4895 §6.1
    //# These parameters include the parameter type, parameter length, and
    //# the parameter value, but padding is omitted; all padding MUST be
    //# removed from this concatenation before proceeding with further
    //# computation of keys.
    pub(super) fn key_vector(&self) -> Vec<u8> {
        let mut vector = Vec::new();
        let mut add = |kind: u16, value: &[u8]| {
            vector.extend_from_slice(&kind.to_be_bytes());
            vector.extend_from_slice(&(4 + value.len() as u16).to_be_bytes());
            vector.extend_from_slice(value);
        };
        add(param::RANDOM, &self.random);
        if let Some(chunks) = &self.chunks {
            add(param::CHUNK_LIST, chunks);
        }
        add(param::HMAC_ALGORITHMS, &self.algorithm_bytes());
        vector
    }

    fn algorithm_bytes(&self) -> SmallVec<[u8; 8]> {
        let bytes = self.algorithms.iter().flat_map(|id| id.to_be_bytes());
        bytes.collect()
    }

    /// Bytes that [`encode`](Self::encode) appends.
    pub(crate) fn encoded_len(&self) -> usize {
        let chunks = self.chunks.as_ref().map_or(0, |chunks| chunks.len());
        RANDOM + 2 + 1 + chunks + 2 * self.algorithms.len()
    }

    /// The form that a state cookie carries: random number, how many chunk types plus one or zero,
    /// how many algorithms, and both lists.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let chunks = self.chunks.as_ref().map_or(0, |chunks| chunks.len() + 1);
        out.extend_from_slice(&self.random);
        out.extend_from_slice(&(chunks as u16).to_be_bytes());
        out.push(self.algorithms.len() as u8);
        out.extend(self.chunks.iter().flatten());
        out.extend_from_slice(&self.algorithm_bytes());
    }

    /// Takes what [`encode`](Self::encode) wrote off the front.
    pub(crate) fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let (random, rest) = bytes.split_first_chunk::<RANDOM>()?;
        let ([high, low, algorithms], rest) = rest.split_first_chunk()?;
        let chunks = usize::from(u16::from_be_bytes([*high, *low]));
        let (list, rest) = rest.split_at_checked(chunks.saturating_sub(1))?;
        let (ids, rest) = rest.split_at_checked(2 * usize::from(*algorithms))?;
        *bytes = rest;
        let list = (chunks > 0).then_some(list);
        Self::of_peer(Some(random), list, Some(ids)).ok()?
    }
}

/// Whether a chunk type may be in CHUNKS.
//= RFC 4895 §3.2
//# The chunk types for INIT, INIT-ACK, SHUTDOWN-COMPLETE, and AUTH
//# chunks MUST NOT be listed in the CHUNKS parameter.
pub(crate) const fn can_be_listed(kind: u8) -> bool {
    !matches!(
        kind,
        kind::INIT | kind::INIT_ACK | kind::SHUTDOWN_COMPLETE | kind::AUTH
    )
}

/// Both key vectors, the numerically smaller one first; of two equal numbers the shorter.
//= RFC 4895 §6.1
//# This is performed by selecting
//# the numerically smaller key vector and concatenating it to the
//# endpoint pair shared key, and then concatenating the numerically
//# larger key vector to that.
pub(super) fn concatenated(one: &[u8], other: &[u8]) -> Box<[u8]> {
    let number = |vector: &[u8]| {
        let zeros = vector.iter().take_while(|byte| **byte == 0).count();
        (vector.len() - zeros, zeros)
    };
    let digits = |vector: &[u8]| vector[number(vector).1..].to_vec();
    //= RFC 4895 §6.1
    //# If the key vectors are equal as numbers
    //# but differ in length, then the concatenation order is the endpoint
    //# shared key, followed by the shorter key vector, followed by the
    //# longer key vector.
    let order = (number(one).0.cmp(&number(other).0))
        .then_with(|| digits(one).cmp(&digits(other)))
        .then_with(|| one.len().cmp(&other.len()));
    let parts = if order.is_le() {
        [one, other]
    } else {
        [other, one]
    };
    parts.concat().into()
}
