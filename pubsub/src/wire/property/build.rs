//! Writing a block of our own.

use bytes::{BufMut, Bytes, BytesMut};

use super::{MAX_VALUE, Properties, kind};
use crate::wire::error::EncodeError;
use crate::wire::varint;

/// Collects properties and writes them in ascending order of type; equal types keep the order they were given in.
#[derive(Clone, Debug, Default)]
pub struct PropertiesBuilder {
    entries: Vec<(u64, Value)>,
}

#[derive(Clone, Debug)]
enum Value {
    Int(u64),
    Bytes(Bytes),
}

impl PropertiesBuilder {
    /// Adds a property of an even type.
    #[must_use]
    pub fn int(mut self, kind: u64, value: u64) -> Self {
        self.entries.push((kind, Value::Int(value)));
        self
    }

    /// Adds a property of an odd type.
    #[must_use]
    pub fn bytes(mut self, kind: u64, value: impl Into<Bytes>) -> Self {
        self.entries.push((kind, Value::Bytes(value.into())));
        self
    }

    /// Adds a block that nobody on the way may alter.
    #[must_use]
    pub fn immutable(self, block: &Properties) -> Self {
        self.bytes(kind::IMMUTABLE_PROPERTIES, block.as_bytes().clone())
    }

    /// Writes the block.
    ///
    /// # Errors
    ///
    /// [`EncodeError::PropertyShape`] for an integer under an odd type or bytes under an even one,
    /// [`EncodeError::TooLong`] for a value of more than 65535 bytes.
    pub fn build(mut self) -> Result<Properties, EncodeError> {
        self.entries.sort_by_key(|(kind, _)| *kind);
        let mut block = BytesMut::new();
        let mut last = 0;
        for (kind, value) in self.entries {
            varint::encode(kind - last, &mut block);
            last = kind;
            match value {
                Value::Int(value) if kind.is_multiple_of(2) => varint::encode(value, &mut block),
                Value::Bytes(value) if !kind.is_multiple_of(2) => {
                    if value.len() > MAX_VALUE {
                        return Err(EncodeError::TooLong {
                            field: "property",
                            len: value.len(),
                            max: MAX_VALUE,
                        });
                    }
                    varint::encode(value.len() as u64, &mut block);
                    block.put_slice(&value);
                }
                Value::Int(_) | Value::Bytes(_) => return Err(EncodeError::PropertyShape(kind)),
            }
        }
        Ok(Properties::from_bytes(block.freeze()))
    }
}
