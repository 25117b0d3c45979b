//! Big-endian fields taken one after another off the front of a slice.

use super::packet::Malformed;
use crate::ids::{StreamId, Tsn};

/// What is left to read, and what to call it when it is too short or too long.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(self.malformed())?;
        self.rest = rest;
        Ok(*head)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn tsn(&mut self) -> Result<Tsn, Malformed> {
        self.u32().map(Tsn::new)
    }

    pub(super) fn stream(&mut self) -> Result<StreamId, Malformed> {
        self.u16().map(StreamId)
    }

    /// All that is left.
    pub(super) const fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// All that is left, which must be whole items of `N` bytes.
    pub(super) fn items<const N: usize>(self) -> Result<&'a [[u8; N]], Malformed> {
        match self.rest.as_chunks() {
            (items, []) => Ok(items),
            _ => Err(self.malformed()),
        }
    }

    /// Nothing must be left.
    pub(super) const fn end(self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.malformed())
        }
    }

    const fn malformed(&self) -> Malformed {
        Malformed(self.what)
    }
}
