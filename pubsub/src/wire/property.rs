//! Properties: key-value pairs that travel with tracks and objects and that relays pass on as received.
//!
//! A block is a sequence of `type delta | value`, bounded by a length that its surroundings give: even types hold one vi64,
//! odd ones a length and as many bytes (draft sections "Key-Value-Pair Structure" and "Properties"). A block is kept as bytes
//! and read only where someone asks; nothing here re-encodes or reorders what was received.

mod build;
pub mod kind;
mod view;

use std::fmt;

use bytes::Bytes;

use crate::wire::error::DecodeError;
use crate::wire::varint;

pub use build::PropertiesBuilder;
pub use view::{MalformedTrack, ObjectProperties, ObjectPropertiesError, TrackProperties};

/// Most bytes of one byte-valued property (draft section "Key-Value-Pair Structure").
pub const MAX_VALUE: usize = 65_535;

/// A block of properties, kept byte for byte as received.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Properties(Bytes);

/// One property of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property<'a> {
    /// Property type; see [`kind`].
    pub kind: u64,
    /// Its value.
    pub value: PropertyValue<'a>,
}

/// The value of a property; which form it has follows from the parity of the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertyValue<'a> {
    /// Of even types.
    Int(u64),
    /// Of odd types.
    Bytes(&'a [u8]),
}

impl<'a> PropertyValue<'a> {
    /// The integer, if it is one.
    pub const fn int(self) -> Option<u64> {
        match self {
            Self::Int(value) => Some(value),
            Self::Bytes(_) => None,
        }
    }

    /// The bytes, if it is bytes.
    pub const fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(value) => Some(value),
            Self::Int(_) => None,
        }
    }
}

/// Why a block cannot be read on. What it means depends on where the block came from; see [`TrackProperties::parse`] and
/// [`ObjectProperties::parse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PropertyError {
    /// The block ends inside a pair, whose type is given if it was reached.
    #[error("the block ends in the middle of a property")]
    Truncated {
        /// Type of the incomplete property.
        kind: Option<u64>,
    },
    /// The type deltas add up to more than 2^64 - 1.
    #[error("a property type exceeds 2^64 - 1")]
    TypeOverflow,
    /// A value is longer than 65535 bytes.
    #[error("a property value of {0} bytes")]
    TooLong(u64),
}

impl From<PropertyError> for DecodeError {
    fn from(error: PropertyError) -> Self {
        match error {
            // draft "Key-Value-Pair Structure": a type we understand whose value does not have its shape.
            PropertyError::Truncated { kind: Some(kind) } if kind::is_known(kind) => {
                Self::KeyValueFormatting("property")
            }
            PropertyError::Truncated { .. } => Self::Truncated,
            PropertyError::TypeOverflow => Self::OutOfRange("property type"),
            PropertyError::TooLong(len) => Self::TooLong {
                field: "property",
                len,
                max: MAX_VALUE as u64,
            },
        }
    }
}

impl Properties {
    /// A block without properties.
    pub const fn empty() -> Self {
        Self(Bytes::new())
    }

    /// Takes a block as it is; whether it can be read shows when it is read.
    pub const fn from_bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Starts a block of our own.
    pub fn builder() -> PropertiesBuilder {
        PropertiesBuilder::default()
    }

    /// The block as received, without its length.
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Length of the block in bytes.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the block has no bytes.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The properties of the block in order; those inside IMMUTABLE_PROPERTIES are not unfolded. Ends after the first error.
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(&self.0)
    }

    /// The first property of type `kind`: of the mutable list, else inside IMMUTABLE_PROPERTIES. Unreadable rests are
    /// taken as absent.
    pub fn get(&self, kind: u64) -> Option<PropertyValue<'_>> {
        self.iter()
            .chain(self.immutable())
            .map_while(Result::ok)
            .find(|property| property.kind == kind)
            .map(|found| found.value)
    }

    /// The properties inside IMMUTABLE_PROPERTIES, if there are any.
    pub fn immutable(&self) -> Iter<'_> {
        let nested = self
            .iter()
            .map_while(Result::ok)
            .find(|property| property.kind == kind::IMMUTABLE_PROPERTIES);
        Iter::new(
            nested
                .and_then(|property| property.value.bytes())
                .unwrap_or_default(),
        )
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Walks a block; see [`Properties::iter`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: &'a [u8],
    kind: u64,
}

impl<'a> Iter<'a> {
    const fn new(block: &'a [u8]) -> Self {
        Self { rest: block, kind: 0 }
    }

    fn varint(&mut self) -> Option<u64> {
        let (value, len) = varint::decode(self.rest)?;
        self.rest = self.rest.get(len..)?;
        Some(value)
    }

    fn read(&mut self) -> Result<Property<'a>, PropertyError> {
        let delta = self.varint().ok_or(PropertyError::Truncated { kind: None })?;
        let kind = self.kind.checked_add(delta).ok_or(PropertyError::TypeOverflow)?;
        self.kind = kind;
        let truncated = PropertyError::Truncated { kind: Some(kind) };
        let number = self.varint().ok_or(truncated)?;
        let value = if kind.is_multiple_of(2) {
            PropertyValue::Int(number)
        } else {
            let len = usize::try_from(number)
                .ok()
                .filter(|&len| len <= MAX_VALUE)
                .ok_or(PropertyError::TooLong(number))?;
            let (value, rest) = self.rest.split_at_checked(len).ok_or(truncated)?;
            self.rest = rest;
            PropertyValue::Bytes(value)
        };
        Ok(Property { kind, value })
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Result<Property<'a>, PropertyError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let property = self.read();
        if property.is_err() {
            self.rest = &[];
        }
        Some(property)
    }
}

#[cfg(test)]
mod tests;
