//! Track namespaces, track names and full track names.
//!
//! A namespace is a tuple of 0 to 32 byte strings, none empty; a full track name adds a name, which may be empty. The lengths
//! of all fields and the name add up to at most 4096 bytes (draft section "Track Naming"). Names are bytes and compare bytewise.
//! Their text form (draft section "Representing Namespace and Track Names") is what `Display` writes and `FromStr` reads.

mod text;

use bytes::{BufMut, Bytes, BytesMut};

use crate::wire::error::{DecodeError, NameError};
use crate::wire::reader::Reader;
use crate::wire::varint;

/// Most fields a namespace can have.
pub const MAX_NAMESPACE_FIELDS: usize = 32;
/// Most bytes that the fields and the name of a full track name can have together.
pub const MAX_FULL_TRACK_NAME: usize = 4096;

/// A track namespace. Cheap to clone: one reference-counted buffer holding the canonical encoding of the fields.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackNamespace {
    /// Each field as minimal vi64 length and bytes, so that a prefix of fields is a prefix of bytes.
    fields: Bytes,
    /// Number of fields.
    count: u8,
}

impl TrackNamespace {
    /// A namespace of the given fields.
    ///
    /// # Errors
    ///
    /// More than 32 fields, an empty field, more than 4096 bytes.
    pub fn new(fields: impl IntoIterator<Item: AsRef<[u8]>>) -> Result<Self, NameError> {
        let mut builder = Builder::default();
        for field in fields {
            builder.push(field.as_ref())?;
        }
        Ok(builder.finish())
    }

    /// The namespace without fields: a prefix of every namespace.
    pub const fn empty() -> Self {
        Self {
            fields: Bytes::new(),
            count: 0,
        }
    }

    /// Number of fields, 0 to 32.
    pub const fn field_count(&self) -> usize {
        self.count as usize
    }

    /// Whether it has no field.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Sum of the lengths of the fields in bytes, which is what the draft limits.
    pub fn byte_len(&self) -> usize {
        self.fields().map(<[u8]>::len).sum()
    }

    /// The fields in order.
    pub fn fields(&self) -> Fields<'_> {
        Fields(&self.fields)
    }

    /// Whether the first fields of this namespace are all the fields of `prefix`: `(foo, bar)` has the prefix `(foo)`,
    /// `(foobar)` has not.
    pub fn has_prefix(&self, prefix: &Self) -> bool {
        // Each field begins with its length, so equal bytes are equal fields.
        self.fields.starts_with(&prefix.fields)
    }

    /// What follows `prefix`, or `None` if this namespace does not begin with it.
    pub fn strip_prefix(&self, prefix: &Self) -> Option<Self> {
        let count = self.count.checked_sub(prefix.count)?;
        self.has_prefix(prefix).then(|| Self {
            fields: self.fields.slice(prefix.fields.len()..),
            count,
        })
    }

    /// The fields of this namespace followed by those of `suffix`.
    ///
    /// # Errors
    ///
    /// More than 32 fields or 4096 bytes.
    pub fn join(&self, suffix: &Self) -> Result<Self, NameError> {
        Self::new(self.fields().chain(suffix.fields()))
    }

    /// Whether the draft reserves it: the first field begins with a period (draft section "Reserved Namespaces").
    pub fn is_reserved(&self) -> bool {
        self.fields().next().is_some_and(|field| field.starts_with(b"."))
    }

    /// Whether it belongs to the session and is never forwarded: the first field is `.session`.
    pub fn is_session(&self) -> bool {
        self.fields().next() == Some(b".session")
    }

    /// Whether the first field is exactly `.`, under which nothing ever exists.
    pub fn is_dot(&self) -> bool {
        self.fields().next() == Some(b".")
    }

    /// Appends the wire form: field count, then each field with its length.
    pub fn encode(&self, buf: &mut impl BufMut) {
        varint::encode(u64::from(self.count), buf);
        buf.put_slice(&self.fields);
    }

    /// Reads the wire form. The bytes are copied: a name that is kept does not hold the message it came in.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Name`] for what [`Self::new`] refuses, [`DecodeError::Truncated`].
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let count = reader.varint()?;
        if count > MAX_NAMESPACE_FIELDS as u64 {
            return Err(NameError::TooManyFields.into());
        }
        let mut builder = Builder::default();
        for _ in 0..count {
            let len = reader.varint()?;
            if len > MAX_FULL_TRACK_NAME as u64 {
                return Err(NameError::TooLong.into());
            }
            builder.push(&reader.slice(len)?)?;
        }
        Ok(builder.finish())
    }
}

/// Collects fields and keeps the limits.
#[derive(Default)]
struct Builder {
    fields: BytesMut,
    count: u8,
    bytes: usize,
}

impl Builder {
    fn push(&mut self, field: &[u8]) -> Result<(), NameError> {
        if field.is_empty() {
            return Err(NameError::EmptyField);
        }
        if usize::from(self.count) == MAX_NAMESPACE_FIELDS {
            return Err(NameError::TooManyFields);
        }
        self.bytes = self.bytes.saturating_add(field.len());
        if self.bytes > MAX_FULL_TRACK_NAME {
            return Err(NameError::TooLong);
        }
        self.count += 1;
        varint::encode(field.len() as u64, &mut self.fields);
        self.fields.put_slice(field);
        Ok(())
    }

    fn finish(self) -> TrackNamespace {
        TrackNamespace {
            fields: self.fields.freeze(),
            count: self.count,
        }
    }
}

/// The fields of a namespace in order; see [`TrackNamespace::fields`].
#[derive(Clone, Debug)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let (len, head) = varint::decode(self.0)?;
        let (field, rest) = self.0.get(head..)?.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(field)
    }
}

/// A track name: any bytes, possibly none.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackName(Bytes);

impl TrackName {
    /// A name of the given bytes, copied.
    ///
    /// # Errors
    ///
    /// More than 4096 bytes.
    pub fn new(name: impl AsRef<[u8]>) -> Result<Self, NameError> {
        let name = name.as_ref();
        if name.len() > MAX_FULL_TRACK_NAME {
            return Err(NameError::TooLong);
        }
        Ok(Self(Bytes::copy_from_slice(name)))
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it has no bytes, which is a legal name.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends the wire form: length and bytes.
    pub fn encode(&self, buf: &mut impl BufMut) {
        varint::encode(self.0.len() as u64, buf);
        buf.put_slice(&self.0);
    }

    /// Reads the wire form; the bytes are copied.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Name`] if it is too long, [`DecodeError::Truncated`].
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let len = reader.varint()?;
        if len > MAX_FULL_TRACK_NAME as u64 {
            return Err(NameError::TooLong.into());
        }
        Ok(Self::new(reader.slice(len)?)?)
    }
}

/// A track namespace and a track name: what identifies a track in a scope.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FullTrackName {
    namespace: TrackNamespace,
    name: TrackName,
}

impl FullTrackName {
    /// The track `name` in `namespace`.
    ///
    /// # Errors
    ///
    /// More than 4096 bytes together.
    pub fn new(namespace: TrackNamespace, name: TrackName) -> Result<Self, NameError> {
        check_length(&namespace, &name)?;
        Ok(Self { namespace, name })
    }

    /// The namespace.
    pub const fn namespace(&self) -> &TrackNamespace {
        &self.namespace
    }

    /// The name in the namespace.
    pub const fn name(&self) -> &TrackName {
        &self.name
    }

    /// Appends the wire form: namespace, then name.
    pub fn encode(&self, buf: &mut impl BufMut) {
        self.namespace.encode(buf);
        self.name.encode(buf);
    }

    /// Reads the wire form.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Name`] for broken limits, [`DecodeError::Truncated`].
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let namespace = TrackNamespace::decode(reader)?;
        let name = TrackName::decode(reader)?;
        Ok(Self::new(namespace, name)?)
    }
}

/// Checks the limit on a namespace (or what is left of one) and a name that travel side by side.
pub(crate) fn check_length(namespace: &TrackNamespace, name: &TrackName) -> Result<(), NameError> {
    if namespace.byte_len() + name.0.len() > MAX_FULL_TRACK_NAME {
        return Err(NameError::TooLong);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
