//! Type-length-value items (§3.2.1): the one shape of parameters and error causes.

use bytes::BufMut;

use super::packet::Malformed;

/// Bytes of an item's header: type and length.
pub(super) const TLV_HEADER: usize = 4;

/// The longest value that an item's 16-bit length can tell.
const MAX_VALUE: usize = u16::MAX as usize - TLV_HEADER;

/// A parameter, its value not yet looked into (§3.2.1).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------------------------------+-------------------------------+
/// |             type              |    length: header + value     |
/// +-------------------------------+-------------------------------+
/// /                             value                             /
/// +---------------------------------------------------------------+
/// /               zero bytes up to a multiple of 4                /
/// +---------------------------------------------------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawParam<'a> {
    /// Parameter type, one of [`param`](super::param) if known.
    pub kind: u16,
    /// What follows the header, without padding.
    pub value: &'a [u8],
    /// Header and value, without padding: what a report of an unrecognized parameter quotes.
    pub raw: &'a [u8],
}

/// The items in a run of bytes, in order.
///
/// Ends with one `Err` at the first item whose length field cannot be true: under four, or past the
/// end. The padding of the last item may be there or not.
#[derive(Debug, Clone)]
pub struct Tlvs<'a> {
    rest: &'a [u8],
}

impl<'a> Tlvs<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Result<RawParam<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        // Left empty unless a whole item is found, so that a malformed one ends the walk.
        let rest = std::mem::take(&mut self.rest);
        let Some(&[kind_high, kind_low, high, low]) = rest.first_chunk::<TLV_HEADER>() else {
            return Some(Err(Malformed("parameter header cut short")));
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(value) = rest.get(TLV_HEADER..length) else {
            return Some(Err(Malformed("parameter length")));
        };
        //= RFC 9260 §3.2.1
        //# The receiver MUST ignore the padding bytes.
        self.rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(RawParam {
            kind: u16::from_be_bytes([kind_high, kind_low]),
            value,
            raw: &rest[..length],
        }))
    }
}

/// Items under construction. The last one is left unpadded, as chunk and cause lengths count the
/// padding of every item but the last (§3.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TlvWriter {
    bytes: Vec<u8>,
}

impl TlvWriter {
    /// Appends an item. A value that no length field can describe is cut to what one can.
    pub(super) fn item(&mut self, kind: u16, value: &[u8]) {
        let value = &value[..value.len().min(MAX_VALUE)];
        self.open(kind, value.len()).put_slice(value);
    }

    /// Pads the item before, writes the header of an item of `value_len` bytes, and hands out the
    /// buffer for exactly those.
    pub(super) fn open(&mut self, kind: u16, value_len: usize) -> &mut Vec<u8> {
        debug_assert!(value_len <= MAX_VALUE);
        self.pad();
        self.bytes.put_u16(kind);
        self.bytes.put_u16((TLV_HEADER + value_len) as u16);
        &mut self.bytes
    }

    /// Appends an item that is already in wire form.
    pub(super) fn raw(&mut self, item: &[u8]) {
        self.pad();
        self.bytes.put_slice(item);
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    //= RFC 9260 §3.2.1
    //# The total length of a parameter (including Parameter Type, Parameter Length, and Parameter
    //# Value fields) MUST be a multiple of 4 bytes.
    //= RFC 9260 §3.2.1
    //# A sender MUST NOT pad with more than 3 bytes.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
