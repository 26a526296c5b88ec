//! A checked reader over the body of one message, datagram or property block.
//!
//! Its end is known, so bytes that are missing are an error here; "need more" exists only where streams are read.

use bytes::{Buf as _, Bytes};

use crate::wire::error::DecodeError;
use crate::wire::{Location, varint};

/// Reads fields from the front of a buffer; slices share its memory.
#[derive(Clone, Debug)]
pub struct Reader {
    bytes: Bytes,
}

impl Reader {
    /// A reader at the first byte of `bytes`.
    pub const fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }

    /// Bytes not read yet.
    pub const fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Whether everything was read.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next `len` bytes, without copying.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] if fewer are left.
    pub fn slice(&mut self, len: u64) -> Result<Bytes, DecodeError> {
        match usize::try_from(len) {
            Ok(len) if len <= self.bytes.len() => Ok(self.bytes.split_to(len)),
            _ => Err(DecodeError::Truncated),
        }
    }

    /// All that is left, without copying.
    pub fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.bytes)
    }

    /// One byte.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] if none is left.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.bytes.first().ok_or(DecodeError::Truncated)?;
        self.bytes.advance(1);
        Ok(byte)
    }

    /// One vi64.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] if it is not all there.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let (value, len) = varint::decode(&self.bytes).ok_or(DecodeError::Truncated)?;
        self.bytes.advance(len);
        Ok(value)
    }

    /// A location: group and object.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] if it is not all there.
    pub fn location(&mut self) -> Result<Location, DecodeError> {
        Ok(Location::new(self.varint()?, self.varint()?))
    }

    /// A vi64 length of at most `max`, and as many bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooLong`] naming `field` if the length exceeds `max`, [`DecodeError::Truncated`] if fewer bytes are left.
    pub fn prefixed(&mut self, field: &'static str, max: u64) -> Result<Bytes, DecodeError> {
        let len = self.varint()?;
        if len > max {
            return Err(DecodeError::TooLong { field, len, max });
        }
        self.slice(len)
    }

    /// Refuses bytes that no field claimed.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Leftover`] if any are left.
    pub const fn finish(&self) -> Result<(), DecodeError> {
        match self.bytes.len() {
            0 => Ok(()),
            len => Err(DecodeError::Leftover(len)),
        }
    }
}
