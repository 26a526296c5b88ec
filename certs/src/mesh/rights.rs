//! What a member may announce: namespaces under certain prefixes, by default all.
//!
//! A prefix is a tuple of fields as in MoQ Transport (draft section "Track Naming"), here as plain bytes: this crate
//! knows nothing of tracks.

use std::collections::BTreeSet;

use super::codec::{DecodeError, Reader, Writer};

/// Most fields of one prefix, as many as a track namespace may have.
const MAX_FIELDS: usize = 32;
/// Most prefixes of one certificate.
pub const MAX_PREFIXES: usize = 16;
/// Most bytes of all fields of all prefixes together: an invite must still fit a QR code.
pub const MAX_PREFIX_BYTES: usize = 1024;

const ALL: u8 = 0;
const UNDER: u8 = 1;

/// The first fields of namespaces: one or more, none empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamespacePrefix(Vec<Vec<u8>>);

/// Prefixes that no certificate can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RightsError {
    /// A prefix of no fields would be every namespace, which is said by naming no prefix.
    #[error("an empty namespace means all of them; leave it out")]
    NoFields,
    /// More fields than a track namespace can have, or an empty one.
    #[error("a namespace has 1 to {MAX_FIELDS} fields, none of them empty")]
    Field,
    /// Too many prefixes.
    #[error("at most {MAX_PREFIXES} namespaces can be named")]
    TooMany,
    /// Too long prefixes.
    #[error("the namespaces are longer than {MAX_PREFIX_BYTES} bytes together")]
    TooLong,
}

impl NamespacePrefix {
    /// The namespaces that begin with `fields`.
    ///
    /// # Errors
    ///
    /// [`RightsError`] if there are no fields or too many, or one is empty.
    pub fn new(fields: impl IntoIterator<Item: AsRef<[u8]>>) -> Result<Self, RightsError> {
        let fields: Vec<Vec<u8>> = fields
            .into_iter()
            .take(MAX_FIELDS + 1)
            .map(|field| field.as_ref().to_vec())
            .collect();
        if fields.is_empty() {
            return Err(RightsError::NoFields);
        }
        if fields.len() > MAX_FIELDS || fields.iter().any(Vec::is_empty) {
            return Err(RightsError::Field);
        }
        Ok(Self(fields))
    }

    /// The fields in order.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    fn begins(&self, namespace: &[&[u8]]) -> bool {
        namespace
            .get(..self.0.len())
            .is_some_and(|start| start.iter().copied().eq(self.fields()))
    }

    fn byte_len(&self) -> usize {
        self.fields().map(<[u8]>::len).sum()
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = usize::from(reader.u8()?);
        if count > MAX_FIELDS {
            return Err(DecodeError::Field("namespace"));
        }
        let fields: Vec<_> = (0..count)
            .map(|_| reader.bytes(MAX_PREFIX_BYTES, "namespace"))
            .collect::<Result<_, _>>()?;
        Self::new(fields).map_err(|_limit| DecodeError::Field("namespace"))
    }
}

/// Which namespaces a member may announce. Reading is free to every member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Rights {
    /// All.
    #[default]
    All,
    /// Those that begin with one of these.
    Under(Prefixes),
}

/// A bounded set of prefixes; see [`Rights::under`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefixes(BTreeSet<NamespacePrefix>);

impl Prefixes {
    /// In ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &NamespacePrefix> {
        self.0.iter()
    }
}

impl Rights {
    /// Everything under these prefixes; without any, all.
    ///
    /// # Errors
    ///
    /// [`RightsError`] if they are too many or too long.
    pub fn under(prefixes: impl IntoIterator<Item = NamespacePrefix>) -> Result<Self, RightsError> {
        let prefixes: BTreeSet<_> = prefixes.into_iter().collect();
        if prefixes.is_empty() {
            return Ok(Self::All);
        }
        if prefixes.len() > MAX_PREFIXES {
            return Err(RightsError::TooMany);
        }
        if prefixes.iter().map(NamespacePrefix::byte_len).sum::<usize>() > MAX_PREFIX_BYTES {
            return Err(RightsError::TooLong);
        }
        Ok(Self::Under(Prefixes(prefixes)))
    }

    /// Whether the namespace with these fields may be announced.
    pub fn allow<'a>(&self, namespace: impl IntoIterator<Item = &'a [u8]>) -> bool {
        match self {
            Self::All => true,
            Self::Under(prefixes) => {
                let fields: Vec<_> = namespace.into_iter().take(MAX_FIELDS).collect();
                prefixes.iter().any(|prefix| prefix.begins(&fields))
            }
        }
    }

    pub(super) fn encode(&self, writer: Writer) -> Writer {
        match self {
            Self::All => writer.u8(ALL),
            Self::Under(Prefixes(prefixes)) => {
                prefixes
                    .iter()
                    .fold(writer.u8(UNDER).count(prefixes.len()), |writer, prefix| {
                        prefix
                            .fields()
                            .fold(writer.count(prefix.0.len()), |writer, field| writer.bytes(field))
                    })
            }
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const FIELD: DecodeError = DecodeError::Field("list of namespaces");
        match reader.u8()? {
            ALL => Ok(Self::All),
            UNDER => {
                let count = usize::from(reader.u8()?);
                if count == 0 || count > MAX_PREFIXES {
                    return Err(FIELD);
                }
                let list: Vec<_> = (0..count)
                    .map(|_| NamespacePrefix::decode(reader))
                    .collect::<Result<_, _>>()?;
                // One order only: what is signed has one encoding.
                if !list.is_sorted_by(|a, b| a < b) {
                    return Err(FIELD);
                }
                Self::under(list).map_err(|_limit| FIELD)
            }
            _ => Err(FIELD),
        }
    }
}
