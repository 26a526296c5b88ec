//! Data streams and datagrams: headers, objects, and readers that find object borders as bytes arrive.
//!
//! Readers are pushed the stream's bytes in any pieces and polled for events until they give `None`. Payload comes out as
//! slices of what was pushed, as early as it is there; only the head of an object is ever waited for, so a reader that is
//! polled dry holds at most one head: [`MAX_OBJECT_PROPERTIES`] and a few integers (draft section "Data Streams and
//! Datagrams"). Whether objects fit the track (ids that repeat, ends that are passed) is not decided here.

pub mod datagram;
pub mod fetch;
mod input;
pub mod subgroup;

use bytes::BufMut;

use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::property::Properties;
use crate::wire::varint;
use input::{Head, Stop};

pub use datagram::{Datagram, DatagramKind, padding_datagram};
pub use fetch::{FetchEvent, FetchObject, FetchReader, FetchWriter, RangeStatus};
pub use subgroup::{SubgroupEvent, SubgroupHeader, SubgroupId, SubgroupObject, SubgroupReader};

/// Longest property block of an object in bytes that is accepted and sent. The draft sets no limit on the block, only on each
/// value; a block must be complete before the object can be passed on, so it needs one.
pub const MAX_OBJECT_PROPERTIES: usize = 64 * 1024;

/// Stream type of a control stream, and type of the SETUP message it begins with.
pub const CONTROL_STREAM: u64 = 0x2F00;
/// Stream type of FETCH_HEADER.
pub const FETCH_STREAM: u64 = 0x05;
/// Stream type of padding, to be discarded.
pub const PADDING_STREAM: u64 = 0x132B_3E28;
/// Datagram type of padding, to be discarded.
pub const PADDING_DATAGRAM: u64 = 0x132B_3E29;

/// The first integer of a unidirectional stream (draft section "Unidirectional Stream Types").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamType {
    /// 0x2F00: the control stream, and the type of the SETUP message it begins with.
    Control,
    /// 0x05
    Fetch,
    /// 0b0XX1XXXX, with the flag bits.
    Subgroup(u8),
    /// 0x132B3E28
    Padding,
}

impl StreamType {
    /// Reads the type at the beginning of a unidirectional stream, and how many bytes it takes. The readers of the streams
    /// begin at the same byte again. `None`: more bytes are needed.
    ///
    /// # Errors
    ///
    /// A type that the draft does not define.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        let Some((value, len)) = varint::decode(bytes) else {
            return Ok(None);
        };
        Ok(Some((Self::new(value)?, len)))
    }

    fn new(value: u64) -> Result<Self, DecodeError> {
        match (value, u8::try_from(value)) {
            (CONTROL_STREAM, _) => Ok(Self::Control),
            (FETCH_STREAM, _) => Ok(Self::Fetch),
            (PADDING_STREAM, _) => Ok(Self::Padding),
            (_, Ok(flags)) if subgroup::is_type(flags) => Ok(Self::Subgroup(flags)),
            _ => Err(DecodeError::UnknownType {
                what: "stream",
                value,
            }),
        }
    }
}

/// What an object is (draft section "Object Status").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ObjectStatus {
    /// An object with a payload, which may be empty (0x0).
    #[default]
    Normal,
    /// No object with this or a larger ID exists in the group (0x3).
    EndOfGroup,
    /// No object at this or a larger location exists in the track (0x4).
    EndOfTrack,
}

impl ObjectStatus {
    /// The status that a number on the wire stands for.
    pub const fn new(value: u64) -> Option<Self> {
        match value {
            0x0 => Some(Self::Normal),
            0x3 => Some(Self::EndOfGroup),
            0x4 => Some(Self::EndOfTrack),
            _ => None,
        }
    }

    /// The number on the wire.
    pub const fn into_inner(self) -> u64 {
        match self {
            Self::Normal => 0x0,
            Self::EndOfGroup => 0x3,
            Self::EndOfTrack => 0x4,
        }
    }

    /// Reads a status received with `properties`, which only normal objects have.
    fn decode(value: u64, properties: &Properties) -> Result<Self, DecodeError> {
        let status = Self::new(value).ok_or(DecodeError::InvalidValue {
            field: "Object Status",
            value,
        })?;
        if status != Self::Normal && !properties.is_empty() {
            return Err(DecodeError::Misplaced(
                "an object that is not normal has properties",
            ));
        }
        Ok(status)
    }
}

/// Reads a property block with its length.
fn decode_properties(head: &mut Head<'_>) -> Result<Properties, Stop> {
    let len = head.varint()?;
    match usize::try_from(len) {
        Ok(bytes) if bytes <= MAX_OBJECT_PROPERTIES => Ok(Properties::from_bytes(head.take(bytes)?)),
        _ => Err(properties_too_long(len).into()),
    }
}

const fn properties_too_long(len: u64) -> DecodeError {
    DecodeError::TooLong {
        field: "Object Properties",
        len,
        max: MAX_OBJECT_PROPERTIES as u64,
    }
}

/// Appends a property block with its length.
fn encode_properties(properties: &Properties, buf: &mut impl BufMut) {
    varint::encode(properties.len() as u64, buf);
    buf.put_slice(properties.as_bytes());
}

const fn check_properties(properties: &Properties) -> Result<(), EncodeError> {
    let (len, max) = (properties.len(), MAX_OBJECT_PROPERTIES);
    if len > max {
        return Err(EncodeError::TooLong {
            field: "Object Properties",
            len,
            max,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
