//! Message parameters that two ends agree on beside the draft.
//!
//! The draft lets an extension define parameters once both SETUPs carry its option, and closes the session over any other
//! unknown type, since a receiver cannot know the length of a value (draft sections "Extension Negotiation" and "Message
//! Parameters"). These are types of one private range whose values are all length-prefixed bytes, so that the codec can read
//! them without knowing what they mean. Whether they were agreed is for the session to judge.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::property::MAX_VALUE;

/// The types of extension parameters: "HW" and sixteen bits of which the upper eight are zero.
pub const EXTENSION_TYPES: RangeInclusive<u64> = 0x4857_0000..=0x4857_00ff;

/// Extension parameters of one message: at most one of each type, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtensionParameters(BTreeMap<u64, Bytes>);

impl ExtensionParameters {
    /// Without parameters.
    pub const fn empty() -> Self {
        Self(BTreeMap::new())
    }

    /// Sets a parameter, in place of one of the same type.
    ///
    /// # Errors
    ///
    /// A type outside of [`EXTENSION_TYPES`] or a value of more than 65535 bytes; nothing is changed then.
    pub fn insert(&mut self, kind: u64, value: Bytes) -> Result<(), EncodeError> {
        if !EXTENSION_TYPES.contains(&kind) {
            return Err(EncodeError::Inconsistent(
                "not the type of an extension parameter",
            ));
        }
        if value.len() > MAX_VALUE {
            return Err(EncodeError::TooLong {
                field: "extension parameter",
                len: value.len(),
                max: MAX_VALUE,
            });
        }
        self.0.insert(kind, value);
        Ok(())
    }

    /// The value of a type.
    pub fn get(&self, kind: u64) -> Option<&Bytes> {
        self.0.get(&kind)
    }

    /// Types and values, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Bytes)> {
        self.0.iter().map(|(&kind, value)| (kind, value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all values.
    pub fn len(&self) -> usize {
        self.0.values().map(Bytes::len).sum()
    }

    /// The same in memory of their own.
    pub(crate) fn compact(&self) -> Self {
        let own = |(&kind, value): (&u64, &Bytes)| (kind, Bytes::copy_from_slice(value));
        Self(self.0.iter().map(own).collect())
    }

    /// Takes what was read; each type may come once.
    pub(super) fn fill(&mut self, kind: u64, value: Bytes) -> Result<(), DecodeError> {
        match self.0.insert(kind, value) {
            None => Ok(()),
            Some(_) => Err(DecodeError::MisplacedParameter(kind)),
        }
    }
}
