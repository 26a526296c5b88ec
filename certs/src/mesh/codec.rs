//! The binary form of everything in a mesh: a version byte, then fields in a fixed order, integers big-endian.
//!
//! What is accepted has exactly one encoding, so signatures over the encoding are signatures over the value. No field
//! is longer than its type's stated bound, nothing may follow the last one, and nothing is allocated before its length
//! was checked against the bytes that are there.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Version of every encoding of this module.
const VERSION: u8 = 1;
/// Later moments (year 36812) are refused, so that sums of times never overflow.
const MAX_SECONDS: u64 = 1 << 40;

/// Bytes that are not what they should be. Nothing was taken from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// They end too early.
    #[error("it ends too early")]
    Truncated,
    /// More bytes follow.
    #[error("something follows its end")]
    Trailing,
    /// Made by another version of this program.
    #[error("it has version {0}, this program knows version {VERSION}")]
    Version(u8),
    /// A field that is too long, out of order, or not one of the known values.
    #[error("its {0} is not valid")]
    Field(&'static str),
}

/// Takes fields from the front of bytes.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// After the version byte of `bytes`.
    pub(super) fn versioned(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Self { rest: bytes };
        match reader.u8()? {
            VERSION => Ok(reader),
            other => Err(DecodeError::Version(other)),
        }
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Bytes with their length in front, at most `most`.
    pub(super) fn bytes(&mut self, most: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let len = usize::from(self.u16()?);
        if len > most {
            return Err(DecodeError::Field(what));
        }
        self.take(len)
    }

    /// A moment in whole seconds.
    pub(super) fn time(&mut self) -> Result<SystemTime, DecodeError> {
        let seconds = self.u64()?;
        Some(seconds)
            .filter(|&seconds| seconds <= MAX_SECONDS)
            .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
            .ok_or(DecodeError::Field("time"))
    }

    /// Refuses what follows the last field.
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing)
        }
    }
}

/// Puts fields together.
#[derive(Debug)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn versioned() -> Self {
        Self(vec![VERSION])
    }

    #[must_use]
    pub(super) fn put(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    #[must_use]
    pub(super) fn u8(self, value: u8) -> Self {
        self.put(&[value])
    }

    #[must_use]
    pub(super) fn u16(self, value: u16) -> Self {
        self.put(&value.to_be_bytes())
    }

    #[must_use]
    pub(super) fn u32(self, value: u32) -> Self {
        self.put(&value.to_be_bytes())
    }

    #[must_use]
    pub(super) fn u64(self, value: u64) -> Self {
        self.put(&value.to_be_bytes())
    }

    /// A count of things of which there are never more than 255.
    #[must_use]
    pub(super) fn count(self, count: usize) -> Self {
        debug_assert!(count <= usize::from(u8::MAX), "{count} does not fit the field");
        self.u8(u8::try_from(count).unwrap_or(u8::MAX))
    }

    /// Bytes with their length in front; callers keep them below 64 KiB.
    #[must_use]
    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        debug_assert!(
            bytes.len() <= usize::from(u16::MAX),
            "a field of {} bytes",
            bytes.len()
        );
        self.u16(u16::try_from(bytes.len()).unwrap_or(u16::MAX))
            .put(bytes)
    }

    #[must_use]
    pub(super) fn time(self, time: SystemTime) -> Self {
        self.u64(seconds(time))
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Whole seconds since 1970, none before it.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
        .min(MAX_SECONDS)
}

/// What [`Reader::time`] will read of `time`: values are equal to what others decode.
pub(super) fn whole_seconds(time: SystemTime) -> SystemTime {
    UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds(time)))
        .unwrap_or(UNIX_EPOCH)
}
