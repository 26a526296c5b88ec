//! OBJECT_DATAGRAM and padding datagrams.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    MAX_OBJECT_PROPERTIES, ObjectStatus, PADDING_DATAGRAM, check_properties, encode_properties,
    properties_too_long,
};
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::property::Properties;
use crate::wire::reader::Reader;
use crate::wire::{Version, varint};

const PROPERTIES: u8 = 0x01;
const END_OF_GROUP: u8 = 0x02;
const ZERO_OBJECT_ID: u8 = 0x04;
const DEFAULT_PRIORITY: u8 = 0x08;
const STATUS: u8 = 0x20;
const DEFINED: u8 = PROPERTIES | END_OF_GROUP | ZERO_OBJECT_ID | DEFAULT_PRIORITY | STATUS;

/// What a datagram is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatagramKind {
    /// OBJECT_DATAGRAM
    Object(Datagram),
    /// Padding, to be discarded.
    Padding,
}

/// A padding datagram with so many bytes behind its type.
pub fn padding_datagram(bytes: usize) -> Bytes {
    let mut buf = BytesMut::new();
    varint::encode(PADDING_DATAGRAM, &mut buf);
    buf.put_bytes(0, bytes);
    buf.freeze()
}

/// An object in a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Track alias.
    pub track_alias: u64,
    /// Group ID.
    pub group: u64,
    /// Object ID.
    pub object: u64,
    /// Publisher priority; `None`: the track's default.
    pub priority: Option<u8>,
    /// This object is the group's last.
    pub end_of_group: bool,
    /// Object properties, as received.
    pub properties: Properties,
    /// Status.
    pub status: ObjectStatus,
    /// Payload; empty if the status is not normal.
    pub payload: Bytes,
}

impl Datagram {
    /// Appends the whole datagram.
    ///
    /// # Errors
    ///
    /// Properties, payload or the end-of-group mark with a status other than normal, or more than
    /// [`MAX_OBJECT_PROPERTIES`]. Nothing was appended then.
    pub fn encode(&self, buf: &mut impl BufMut) -> Result<(), EncodeError> {
        let normal = self.status == ObjectStatus::Normal;
        if !normal && (self.end_of_group || !self.payload.is_empty() || !self.properties.is_empty()) {
            return Err(EncodeError::Inconsistent(
                "only a normal object has payload, properties or an end-of-group mark",
            ));
        }
        check_properties(&self.properties)?;
        // The status is implicit with a payload only (draft "Object Status"), and readers refuse a datagram that has neither; at
        // the end of a group it cannot be said.
        let explicit = self.payload.is_empty() && !self.end_of_group;
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = flag(!self.properties.is_empty(), PROPERTIES)
            | flag(self.end_of_group, END_OF_GROUP)
            | flag(self.object == 0, ZERO_OBJECT_ID)
            | flag(self.priority.is_none(), DEFAULT_PRIORITY)
            | flag(explicit, STATUS);
        varint::encode(flags.into(), buf);
        varint::encode(self.track_alias, buf);
        varint::encode(self.group, buf);
        if self.object != 0 {
            varint::encode(self.object, buf);
        }
        if let Some(priority) = self.priority {
            buf.put_u8(priority);
        }
        if !self.properties.is_empty() {
            encode_properties(&self.properties, buf);
        }
        if explicit {
            varint::encode(self.status.into_inner(), buf);
        } else {
            buf.put_slice(&self.payload);
        }
        Ok(())
    }

    /// Reads a datagram; payload and properties are slices of it.
    ///
    /// # Errors
    ///
    /// An unknown type, missing or leftover bytes, an empty property block, a status that may not go with the rest.
    pub fn decode(bytes: Bytes, _version: Version) -> Result<DatagramKind, DecodeError> {
        let reader = &mut Reader::new(bytes);
        let value = reader.varint()?;
        if value == PADDING_DATAGRAM {
            return Ok(DatagramKind::Padding);
        }
        // draft "Object Datagram": a status cannot signal the end of the group as well.
        let flags = u8::try_from(value).ok().filter(|flags| flags & !DEFINED == 0);
        let flags = flags.filter(|flags| flags & (STATUS | END_OF_GROUP) != STATUS | END_OF_GROUP);
        let flags = flags.ok_or(DecodeError::UnknownType {
            what: "datagram",
            value,
        })?;
        let (track_alias, group) = (reader.varint()?, reader.varint()?);
        let object = if flags & ZERO_OBJECT_ID == 0 {
            reader.varint()?
        } else {
            0
        };
        let priority = if flags & DEFAULT_PRIORITY == 0 {
            Some(reader.u8()?)
        } else {
            None
        };
        let properties = if flags & PROPERTIES == 0 {
            Properties::empty()
        } else {
            decode_properties(reader)?
        };
        let status = if flags & STATUS == 0 {
            ObjectStatus::Normal
        } else {
            let status = ObjectStatus::decode(reader.varint()?, &properties)?;
            reader.finish()?;
            status
        };
        let end_of_group = flags & END_OF_GROUP != 0;
        let payload = reader.rest();
        let datagram = Self {
            track_alias,
            group,
            object,
            priority,
            end_of_group,
            properties,
            status,
            payload,
        };
        Ok(DatagramKind::Object(datagram))
    }
}

fn decode_properties(reader: &mut Reader) -> Result<Properties, DecodeError> {
    let len = reader.varint()?;
    if len == 0 {
        return Err(DecodeError::Misplaced(
            "a datagram announces properties and has none",
        ));
    }
    if len > MAX_OBJECT_PROPERTIES as u64 {
        return Err(properties_too_long(len));
    }
    Ok(Properties::from_bytes(reader.slice(len)?))
}
