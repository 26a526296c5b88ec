//! Writing and reading of the fields that several records share.

use bytes::{BufMut as _, BytesMut};
use headwater_pubsub::wire::reader::Reader;
use headwater_pubsub::wire::{DecodeError, EncodeError, varint};

use super::alias::{AliasReader, AliasWriter};
use crate::overlay::id::{NodeId, Seq};

/// A SHA-256 hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

/// An ed25519 signature. What it covers is said where it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signature(pub [u8; 64]);

/// The body of one record.
pub(super) trait Body: Sized {
    fn encode(&self, out: &mut Out<'_>) -> Result<(), EncodeError>;

    /// Reads the fields from the front; what is left over is the caller's to refuse.
    fn decode(input: &mut In<'_>) -> Result<Self, DecodeError>;
}

/// A body that is written.
#[derive(Debug)]
pub(super) struct Out<'a> {
    pub(super) buf: BytesMut,
    pub(super) aliases: &'a mut AliasWriter,
}

impl Out<'_> {
    pub(super) fn int(&mut self, value: impl Into<u64>) {
        varint::encode(value.into(), &mut self.buf);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.buf.put_u8(value);
    }

    pub(super) fn bytes(&mut self, value: &[u8]) {
        self.buf.put_slice(value);
    }

    /// Length and bytes.
    pub(super) fn prefixed(
        &mut self,
        field: &'static str,
        value: &[u8],
        max: usize,
    ) -> Result<(), EncodeError> {
        at_most(field, value.len(), max)?;
        self.int(value.len() as u64);
        self.bytes(value);
        Ok(())
    }

    /// The alias, by which further fields can refer to it; in a full table alias 0 and the id.
    pub(super) fn node(&mut self, id: NodeId) -> u64 {
        let alias = self.aliases.alias(id);
        self.int(alias);
        if alias == 0 {
            self.bytes(&id.0);
        }
        alias
    }

    pub(super) fn seq(&mut self, seq: Seq) {
        self.int(seq.epoch);
        self.int(seq.number);
    }
}

/// A body that is read.
#[derive(Debug)]
pub(super) struct In<'a> {
    pub(super) reader: Reader,
    pub(super) aliases: &'a mut AliasReader,
}

impl In<'_> {
    pub(super) const fn is_empty(&self) -> bool {
        self.reader.is_empty()
    }

    pub(super) fn int(&mut self) -> Result<u64, DecodeError> {
        self.reader.varint()
    }

    pub(super) fn int32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        u32::try_from(self.int()?).map_err(|_too_large| DecodeError::OutOfRange(field))
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.reader.u8()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.reader.slice(N as u64)?;
        bytes.first_chunk().copied().ok_or(DecodeError::Truncated)
    }

    pub(super) fn text(&mut self, field: &'static str, max: usize) -> Result<String, DecodeError> {
        let bytes = self.reader.prefixed(field, max as u64)?;
        String::from_utf8(bytes.into())
            .map_err(|_not_utf8| DecodeError::Misplaced("bytes that are not UTF-8 in a text"))
    }

    /// The alias, 0 if there is none, and the id.
    pub(super) fn aliased(&mut self) -> Result<(u64, NodeId), DecodeError> {
        match self.int()? {
            0 => Ok((0, self.id()?)),
            alias => Ok((alias, self.aliases.id(alias)?)),
        }
    }

    pub(super) fn node(&mut self) -> Result<NodeId, DecodeError> {
        Ok(self.aliased()?.1)
    }

    pub(super) fn id(&mut self) -> Result<NodeId, DecodeError> {
        self.array().map(NodeId)
    }

    pub(super) fn seq(&mut self) -> Result<Seq, DecodeError> {
        Ok(Seq {
            epoch: self.int()?,
            number: self.int32("sequence number")?,
        })
    }
}

/// Refuses what is longer than its limit.
pub(super) const fn at_most(field: &'static str, len: usize, max: usize) -> Result<(), EncodeError> {
    if len > max {
        return Err(EncodeError::TooLong { field, len, max });
    }
    Ok(())
}

/// Refuses bits that have no meaning yet: what they would change is not known.
pub(super) const fn known_bits(field: &'static str, bits: u8, known: u8) -> Result<(), DecodeError> {
    if bits & !known != 0 {
        return Err(DecodeError::InvalidValue {
            field,
            value: bits as u64,
        });
    }
    Ok(())
}
