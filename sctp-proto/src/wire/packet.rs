//! The common header (§3.1), the walk over a packet's chunks (§3.2), and what to do with the ones
//! nobody knows.

use super::reader::Reader;

/// Bytes of the common header.
pub const COMMON_HEADER: usize = 12;

/// Bytes of a chunk's header: type, flags, length.
pub const CHUNK_HEADER: usize = 4;

/// Bytes that are not what they should be, and in what way. For counters and traces; the peer never
/// sees the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// The common header without its checksum (§3.1).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------------------------------+-------------------------------+
/// |          source port          |       destination port        |
/// +-------------------------------+-------------------------------+
/// |                       verification tag                        |
/// +---------------------------------------------------------------+
/// |              checksum (CRC32c, least byte first)              |
/// +---------------------------------------------------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommonHeader {
    /// The sender's SCTP port.
    pub source_port: u16,
    /// The receiver's SCTP port.
    pub destination_port: u16,
    /// The receiver's tag; zero with INIT; the sender's own with a T bit (§8.5).
    pub verification_tag: u32,
}

impl CommonHeader {
    /// Reads the header off the front of a packet, or `None` if the packet is shorter than one.
    /// Looks at no checksum: see [`checksum_ok`](super::checksum_ok).
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let (header, _) = packet.split_first_chunk::<COMMON_HEADER>()?;
        let mut fields = Reader::new(header, "common header");
        Some(Self {
            source_port: fields.u16().ok()?,
            destination_port: fields.u16().ok()?,
            verification_tag: fields.u32().ok()?,
        })
    }
}

/// One chunk, its value not yet looked into (§3.2).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +---------------+---------------+-------------------------------+
/// |     type      |     flags     |    length: header + value     |
/// +---------------+---------------+-------------------------------+
/// /                             value                             /
/// +---------------------------------------------------------------+
/// /               zero bytes up to a multiple of 4                /
/// +---------------------------------------------------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawChunk<'a> {
    /// Chunk type, one of [`kind`](super::kind) if known.
    pub kind: u8,
    /// Chunk flags.
    pub flags: u8,
    /// What follows the chunk header, without padding.
    pub value: &'a [u8],
    /// Header and value, without padding: what an error cause quotes.
    pub raw: &'a [u8],
    /// Where in the packet the chunk begins.
    pub offset: usize,
}

/// The chunks of a packet, in order: what follows its common header.
///
/// The walk ends with one `Err` at the first chunk whose length field cannot be true: under four,
/// or past the end of the packet. The padding of the last chunk may be missing.
pub fn chunks(packet: &[u8]) -> Chunks<'_> {
    Chunks {
        packet,
        offset: COMMON_HEADER,
    }
}

/// Iterator of [`chunks`].
#[derive(Debug, Clone)]
pub struct Chunks<'a> {
    packet: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<RawChunk<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.offset;
        let rest = self.packet.get(offset..).filter(|rest| !rest.is_empty())?;
        // Where the walk goes on from unless a whole chunk is found: nowhere.
        self.offset = self.packet.len();
        let Some(&[kind, flags, high, low]) = rest.first_chunk::<CHUNK_HEADER>() else {
            return Some(Err(Malformed("chunk header cut short")));
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(value) = rest.get(CHUNK_HEADER..length) else {
            return Some(Err(Malformed("chunk length")));
        };
        //= RFC 9260 §3.2
        //# The receiver MUST ignore the padding bytes.
        self.offset = offset + length.next_multiple_of(4);
        Some(Ok(RawChunk {
            kind,
            flags,
            value,
            raw: &rest[..length],
            offset,
        }))
    }
}

/// What the two high bits of a chunk or parameter type ask of a receiver that does not know the
/// type (§3.2, §3.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknown {
    /// 00: process nothing further of the packet, or of the chunk the parameter is in.
    Stop,
    /// 01: as `Stop`, and report the chunk or parameter.
    StopAndReport,
    /// 10: pass over it.
    Skip,
    /// 11: as `Skip`, and report the chunk or parameter.
    SkipAndReport,
}

impl OnUnknown {
    /// Whether what follows the chunk or parameter is to be left unread.
    pub const fn stop(self) -> bool {
        matches!(self, Self::Stop | Self::StopAndReport)
    }

    /// Whether the sender is to be told.
    pub const fn report(self) -> bool {
        matches!(self, Self::StopAndReport | Self::SkipAndReport)
    }

    const fn from_high_bits(byte: u8) -> Self {
        match byte >> 6 {
            0b00 => Self::Stop,
            0b01 => Self::StopAndReport,
            0b10 => Self::Skip,
            _ => Self::SkipAndReport,
        }
    }
}

/// What to do with a chunk of a type that is not known, or not negotiated.
pub const fn on_unknown_chunk(kind: u8) -> OnUnknown {
    OnUnknown::from_high_bits(kind)
}

/// What to do with a parameter of a type that is not known.
pub const fn on_unknown_param(kind: u16) -> OnUnknown {
    OnUnknown::from_high_bits((kind >> 8) as u8)
}
