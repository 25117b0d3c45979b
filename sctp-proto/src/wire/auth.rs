//! AUTH (RFC 4895 §5.1), and which chunks of a packet it has to stand in front of.

use bytes::BufMut;

use super::{
    chunk::kind,
    packet::{Malformed, chunks},
    reader::Reader,
    writer::PacketWriter,
};

/// Bytes of the value before the HMAC: identifiers of key and algorithm.
const FIXED: usize = 2 + 2;

/// Bytes of the chunk before the HMAC.
pub const AUTH_HEADER: usize = 4 + FIXED;

/// Bytes of the longest HMAC there is, that of SHA-256.
pub const MAX_MAC: usize = 32;

/// A received AUTH.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +---------------+---------------+-------------------------------+
/// |   type = 15   |     flags     |       length = 8 + HMAC       |
/// +---------------+---------------+-------------------------------+
/// |     shared key identifier     |        HMAC identifier        |
/// +-------------------------------+-------------------------------+
/// /                             HMAC                              /
/// +---------------------------------------------------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Which endpoint pair shared key was used.
    pub key: u16,
    /// Which hash the HMAC is made with.
    pub algorithm: u16,
    /// The HMAC.
    pub mac: &'a [u8],
}

impl<'a> Auth<'a> {
    /// Parses the value of an AUTH. Whether the HMAC has the length of its algorithm is the
    /// caller's to judge.
    pub(super) fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Reader::new(value, "AUTH");
        Ok(Self {
            key: fields.u16()?,
            algorithm: fields.u16()?,
            mac: fields.rest(),
        })
    }
}

/// The cookie of a packet that begins with COOKIE ECHO, or with AUTH and COOKIE ECHO, and which
/// chunk that is, 0 or 1.
//= RFC 4895 §6.3
//# If a packet arrives containing an AUTH chunk as a first
//# chunk, a COOKIE-ECHO chunk as the second chunk, and possibly more
//# chunks after them, and the receiver does not have an STCB for that
//# packet, then authentication is based on the contents of the COOKIE-
//# ECHO chunk.
pub fn echoed_cookie(packet: &[u8]) -> Option<(usize, &[u8])> {
    let mut chunks = chunks(packet);
    let mut raw = chunks.next()?.ok()?;
    let place = usize::from(raw.kind == kind::AUTH);
    if place == 1 {
        raw = chunks.next()?.ok()?;
    }
    (raw.kind == kind::COOKIE_ECHO).then_some((place, raw.value))
}

/// A set of chunk types.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChunkSet([u64; 4]);

impl ChunkSet {
    /// Adds a type.
    pub const fn insert(&mut self, kind: u8) {
        self.0[(kind >> 6) as usize] |= 1 << (kind & 63);
    }

    /// Takes a type out.
    pub const fn remove(&mut self, kind: u8) {
        self.0[(kind >> 6) as usize] &= !(1 << (kind & 63));
    }

    /// Whether a type is in it.
    pub const fn contains(&self, kind: u8) -> bool {
        self.0[(kind >> 6) as usize] & (1 << (kind & 63)) != 0
    }

    /// Whether no type is in it.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// The types, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(|kind| self.contains(*kind))
    }
}

impl FromIterator<u8> for ChunkSet {
    fn from_iter<I: IntoIterator<Item = u8>>(kinds: I) -> Self {
        let mut set = Self::default();
        for kind in kinds {
            set.insert(kind);
        }
        set
    }
}

/// Which chunks of a packet under construction have to follow an AUTH, and what that AUTH is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthPlan {
    /// Chunk types that the peer takes only behind an AUTH.
    pub chunks: ChunkSet,
    /// Identifier of the endpoint pair shared key.
    pub key: u16,
    /// Identifier of the algorithm.
    pub algorithm: u16,
    /// Bytes of its HMAC, a multiple of four.
    pub mac_len: usize,
    /// Whether [`PacketWriter::remaining`] keeps room for an AUTH until it is placed. Not needed
    /// where only chunks are listed that ask with [`PacketWriter::remaining_for`]; other packets
    /// are as full as ever then.
    pub reserve: bool,
}

impl AuthPlan {
    /// Bytes that the AUTH takes.
    pub const fn size(&self) -> usize {
        AUTH_HEADER + self.mac_len
    }
}

impl PacketWriter<'_> {
    /// Appends an AUTH that is ready; for tests and for packets written anew.
    pub fn auth(&mut self, auth: &Auth<'_>) {
        let buf = self.open(kind::AUTH, 0, FIXED + auth.mac.len());
        buf.put_u16(auth.key);
        buf.put_u16(auth.algorithm);
        buf.put_slice(auth.mac);
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{chunk::Chunk, tests::assert_chunk};

    #[test]
    fn bytes_of_auth() {
        let mac = [0xAB; 20];
        let mut bytes = vec![15, 0, 0, 28, 0x12, 0x34, 0, 1];
        bytes.extend_from_slice(&mac);
        let auth = Auth {
            key: 0x1234,
            algorithm: 1,
            mac: &mac,
        };
        assert_chunk(
            &bytes,
            |packet| packet.auth(&auth),
            |chunk| assert_eq!(chunk, Chunk::Auth(auth)),
        );
    }

    #[test]
    fn an_auth_without_its_identifiers_is_malformed() {
        for length in 0..FIXED {
            assert!(Auth::parse(&[0; FIXED][..length]).is_err());
        }
        assert_eq!(Auth::parse(&[0; FIXED]).map(|auth| auth.mac.len()), Ok(0));
    }

    #[test]
    fn a_set_holds_every_chunk_type() {
        let mut set = ChunkSet::default();
        assert!(set.is_empty());
        for kind in 0..=u8::MAX {
            assert!(!set.contains(kind));
            set.insert(kind);
            assert!(set.contains(kind));
        }
        assert_eq!(set.iter().count(), 256);
        set.remove(193);
        assert!(!set.contains(193) && set.contains(192) && set.contains(194));
        let list: Vec<u8> = [193, 0, 128]
            .into_iter()
            .collect::<ChunkSet>()
            .iter()
            .collect();
        assert_eq!(list, [0, 128, 193]);
    }
}
