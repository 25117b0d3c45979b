//! Packets under construction: each chunk is written once, at the end of the caller's buffer.

use bytes::BufMut;

use super::{
    auth::{AUTH_HEADER, AuthPlan, MAX_MAC},
    chunk::kind,
    crc32c::{keeps_checksum, write_checksum},
    packet::{CHUNK_HEADER, COMMON_HEADER, CommonHeader},
};

/// A packet at the end of a buffer, growing chunk by chunk.
///
/// What the buffer held before stays in front of it, so that the packets of one batch follow each
/// other without a copy. Call [`finish`](Self::finish) last: until then the checksum is zero.
///
/// The caller sees to it that a chunk fits before it asks for one: it takes
/// [`chunk_size`](Self::chunk_size) of [`remaining`](Self::remaining).
#[derive(Debug)]
pub struct PacketWriter<'b> {
    buf: &'b mut Vec<u8>,
    start: usize,
    max_size: usize,
    chunks: u32,
    auth: Option<AuthPlan>,
    /// Where in the packet the AUTH is that the plan asked for; 0 if there is none yet.
    auth_at: usize,
}

impl<'b> PacketWriter<'b> {
    /// Begins a packet of at most `max_size` bytes, common header included, at the end of `buf`.
    pub fn new(buf: &'b mut Vec<u8>, max_size: usize, header: &CommonHeader) -> Self {
        let start = buf.len();
        buf.reserve(max_size);
        buf.put_u16(header.source_port);
        buf.put_u16(header.destination_port);
        buf.put_u32(header.verification_tag);
        buf.put_u32(0);
        Self {
            buf,
            start,
            // No UDP datagram holds more, and so no chunk outgrows its 16-bit length.
            max_size: max_size.min(usize::from(u16::MAX)),
            chunks: 0,
            auth: None,
            auth_at: 0,
        }
    }

    /// Puts an AUTH in front of the first chunk that the plan lists, its HMAC to be filled in by
    /// [`finish_signed`](Self::finish_signed).
    pub fn authenticate(&mut self, plan: Option<AuthPlan>) {
        self.auth = plan;
    }

    /// Bytes that a chunk with `value_len` bytes after its header takes, padding included.
    pub const fn chunk_size(value_len: usize) -> usize {
        (CHUNK_HEADER + value_len).next_multiple_of(4)
    }

    /// Bytes left for chunks, their headers and padding included: a multiple of four.
    pub fn remaining(&self) -> usize {
        let kept = match &self.auth {
            Some(plan) if plan.reserve && self.auth_at == 0 => plan.size(),
            _ => 0,
        };
        self.room().saturating_sub(kept)
    }

    /// Bytes left for chunks of this type, an AUTH that the first of them needs taken off.
    pub fn remaining_for(&self, kind: u8) -> usize {
        let needed = match &self.auth {
            Some(plan) if self.auth_at == 0 && plan.chunks.contains(kind) => plan.size(),
            _ => 0,
        };
        self.remaining().min(self.room().saturating_sub(needed))
    }

    /// The last chunk will be of this type: nothing is kept free for an AUTH that none needs any more.
    pub(super) fn last_is(&mut self, kind: u8) {
        let needed = |plan: &AuthPlan| self.auth_at != 0 || plan.chunks.contains(kind);
        self.auth = self.auth.filter(needed);
    }

    fn room(&self) -> usize {
        // The length is a multiple of four already.
        self.max_size.saturating_sub(self.len()) & !3
    }

    /// Bytes written so far, common header included.
    pub fn len(&self) -> usize {
        self.buf.len() - self.start
    }

    /// Whether the packet holds no chunk yet.
    pub fn is_empty(&self) -> bool {
        self.len() == COMMON_HEADER
    }

    /// Chunks written so far.
    pub fn chunks(&self) -> u32 {
        self.chunks
    }

    /// Appends a chunk whose value is ready.
    pub fn chunk(&mut self, kind: u8, flags: u8, value: &[u8]) {
        self.open(kind, flags, value.len()).put_slice(value);
        self.close();
    }

    /// Writes the header of a chunk and hands out the buffer for exactly `value_len` bytes, to be
    /// followed by [`close`](Self::close).
    pub(super) fn open(&mut self, kind: u8, flags: u8, value_len: usize) -> &mut Vec<u8> {
        if let Some(plan) = self.auth
            && self.auth_at == 0
            && plan.chunks.contains(kind)
        {
            self.place_auth(&plan);
        }
        debug_assert!(
            Self::chunk_size(value_len) <= self.remaining(),
            "a chunk of type {kind} with {value_len} bytes does not fit into {}",
            self.remaining()
        );
        self.chunks += 1;
        self.buf.put_slice(&[kind, flags]);
        self.buf.put_u16((CHUNK_HEADER + value_len) as u16);
        self.buf
    }

    /// Pads the chunk just written.
    //= RFC 9260 §3.2
    //# The total length of a chunk (including Type, Length, and Value fields) MUST be a multiple of
    //# 4 bytes.
    //= RFC 9260 §3.2
    //# If the length of the chunk is not a multiple of 4 bytes, the sender MUST pad the chunk with
    //# all zero bytes, and this padding is not included in the Chunk Length field.
    //= RFC 9260 §3.2
    //# The sender MUST NOT pad with more than 3 bytes.
    //= RFC 9260 §3.3.1
    //# The implementation MUST pad the end of the data to a 4-byte boundary with all zero bytes.
    //= RFC 9260 §3.3.1
    //# A sender MUST never add more than 3 bytes of padding.
    pub(super) fn close(&mut self) {
        //= RFC 9260 §3.2
        //# If the length of the chunk is
        //# not a multiple of 4 bytes, the sender MUST pad the chunk with all
        //# zero bytes, and this padding is not included in the Chunk Length
        //# field.
        let length = self.len().next_multiple_of(4);
        self.buf.resize(self.start + length, 0);
    }

    //= RFC 4895 §6.2
    //# To send chunks in an authenticated way, the sender MUST include these
    //# chunks after an AUTH chunk.
    fn place_auth(&mut self, plan: &AuthPlan) {
        self.auth_at = self.len();
        debug_assert!(plan.size() <= self.room(), "no room for AUTH");
        self.chunks += 1;
        self.buf.put_slice(&[kind::AUTH, 0]);
        self.buf.put_u16(plan.size() as u16);
        self.buf.put_u16(plan.key);
        self.buf.put_u16(plan.algorithm);
        let end = self.buf.len() + plan.mac_len;
        self.buf.resize(end, 0);
    }

    /// As [`finish_signed`](Self::finish_signed), but leaves the checksum zero, unless a chunk is in the
    /// packet that is not to go without.
    pub fn finish_unchecked(mut self, sign: impl FnOnce(&[u8]) -> [u8; MAX_MAC]) -> usize {
        self.sign(sign);
        if keeps_checksum(&self.buf[self.start..]) {
            write_checksum(&mut self.buf[self.start..]);
        }
        self.len()
    }

    /// Fills the HMAC of the AUTH in, if there is one, then the checksum. `sign` is given the AUTH
    /// with its HMAC zero, and all that follows it; as much as fits of its answer is taken.
    pub fn finish_signed(mut self, sign: impl FnOnce(&[u8]) -> [u8; MAX_MAC]) -> usize {
        self.sign(sign);
        self.finish()
    }

    fn sign(&mut self, sign: impl FnOnce(&[u8]) -> [u8; MAX_MAC]) {
        if let Some(plan) = self.auth
            && self.auth_at != 0
        {
            let at = self.start + std::mem::take(&mut self.auth_at);
            let mac = sign(&self.buf[at..]);
            let field = at + AUTH_HEADER;
            self.buf[field..field + plan.mac_len].copy_from_slice(&mac[..plan.mac_len]);
        }
    }

    /// Writes the checksum. Returns the length of the packet.
    //= RFC 9260 §6.8
    //# When sending an SCTP packet, the endpoint MUST strengthen the data integrity of the
    //# transmission by including the CRC32c checksum value calculated on the packet, as described
    //# below.
    //= RFC 9260 §6.8
    //# After the packet is constructed (containing the SCTP common header and one or more control
    //# or DATA chunks), the transmitter MUST:
    pub fn finish(self) -> usize {
        debug_assert_eq!(self.auth_at, 0, "the HMAC is not filled in");
        write_checksum(&mut self.buf[self.start..]);
        self.len()
    }
}
