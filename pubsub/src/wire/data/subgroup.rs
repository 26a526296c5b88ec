//! Subgroup streams: a header, then the objects of one subgroup in ascending order.

use bytes::{BufMut, Bytes};

use super::input::{Head, Input, Stop};
use super::{ObjectStatus, StreamType, check_properties, decode_properties, encode_properties};
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::property::Properties;
use crate::wire::{Version, varint};

const PROPERTIES: u8 = 0x01;
const ID_MODE: u8 = 0x06;
const ID_FIRST_OBJECT: u8 = 0x02;
const ID_EXPLICIT: u8 = 0x04;
const END_OF_GROUP: u8 = 0x08;
const SUBGROUP: u8 = 0x10;
const DEFAULT_PRIORITY: u8 = 0x20;
const FIRST_OBJECT: u8 = 0x40;

/// Whether a stream type is a SUBGROUP_HEADER: 0b0XX1XXXX, and not the reserved fourth way to give the subgroup's ID.
pub(super) const fn is_type(flags: u8) -> bool {
    flags & 0x90 == SUBGROUP && flags & ID_MODE != ID_MODE
}

/// SUBGROUP_HEADER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubgroupHeader {
    /// Track alias.
    pub track_alias: u64,
    /// Group ID.
    pub group: u64,
    /// How the subgroup is identified.
    pub subgroup: SubgroupId,
    /// Publisher priority; `None`: the track's default.
    pub priority: Option<u8>,
    /// Every object of the stream carries a property block.
    pub has_properties: bool,
    /// A FIN proves that the last object of the stream is the group's last.
    pub end_of_group: bool,
    /// The first object of the stream is the first ever published in the subgroup.
    pub first_object: bool,
}

impl SubgroupHeader {
    /// Appends stream type and header.
    pub fn encode(&self, buf: &mut impl BufMut) {
        let (mode, id) = match self.subgroup {
            SubgroupId::Zero => (0, None),
            SubgroupId::FirstObject => (ID_FIRST_OBJECT, None),
            SubgroupId::Explicit(id) => (ID_EXPLICIT, Some(id)),
        };
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = SUBGROUP
            | mode
            | flag(self.has_properties, PROPERTIES)
            | flag(self.end_of_group, END_OF_GROUP)
            | flag(self.priority.is_none(), DEFAULT_PRIORITY)
            | flag(self.first_object, FIRST_OBJECT);
        varint::encode(flags.into(), buf);
        varint::encode(self.track_alias, buf);
        varint::encode(self.group, buf);
        if let Some(id) = id {
            varint::encode(id, buf);
        }
        if let Some(priority) = self.priority {
            buf.put_u8(priority);
        }
    }

    fn decode(head: &mut Head<'_>) -> Result<Self, Stop> {
        let value = head.varint()?;
        let StreamType::Subgroup(flags) = StreamType::new(value)? else {
            return Err(DecodeError::UnknownType {
                what: "subgroup header",
                value,
            }
            .into());
        };
        Ok(Self {
            track_alias: head.varint()?,
            group: head.varint()?,
            subgroup: match flags & ID_MODE {
                ID_EXPLICIT => SubgroupId::Explicit(head.varint()?),
                ID_FIRST_OBJECT => SubgroupId::FirstObject,
                _ => SubgroupId::Zero,
            },
            priority: if flags & DEFAULT_PRIORITY == 0 {
                Some(head.u8()?)
            } else {
                None
            },
            has_properties: flags & PROPERTIES != 0,
            end_of_group: flags & END_OF_GROUP != 0,
            first_object: flags & FIRST_OBJECT != 0,
        })
    }
}

/// The three legal forms of a subgroup's identity in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubgroupId {
    /// Subgroup 0, absent on the wire.
    Zero,
    /// The Object ID of the first object on the stream, absent on the wire.
    FirstObject,
    /// Given in the header.
    Explicit(u64),
}

/// The head of an object on a subgroup stream; its payload follows as [`SubgroupEvent::Payload`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubgroupObject {
    /// Object ID (absolute).
    pub id: u64,
    /// Object properties, as received; empty where the stream has none.
    pub properties: Properties,
    /// Payload length in bytes; 0 for a status other than normal.
    pub payload_len: u64,
    /// Status.
    pub status: ObjectStatus,
}

/// What a [`SubgroupReader`] finds, in stream order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubgroupEvent {
    /// The stream's header; always first.
    Header(SubgroupHeader),
    /// An object begins.
    Object(SubgroupObject),
    /// Next bytes of the current object's payload (a slice of what was pushed); never empty. The object ends when
    /// `payload_len` bytes were given.
    Payload(Bytes),
}

/// Appends the head of an object: ID delta, property block if the stream has them, payload length, and the status if that
/// length is 0. `prev_id` is the ID of the object before it on the stream, if there is one.
///
/// # Errors
///
/// An ID that does not follow `prev_id`, properties where the header announced none, properties or payload with a status
/// other than normal, more than [`super::MAX_OBJECT_PROPERTIES`]. Nothing was appended then.
pub fn encode_object(
    prev_id: Option<u64>,
    object: &SubgroupObject,
    has_properties: bool,
    buf: &mut impl BufMut,
) -> Result<(), EncodeError> {
    let delta = match prev_id {
        None => Some(object.id),
        Some(prev) => object
            .id
            .checked_sub(prev)
            .and_then(|distance| distance.checked_sub(1)),
    };
    let delta = delta.ok_or(EncodeError::Inconsistent(
        "the object does not follow the one before",
    ))?;
    if !has_properties && !object.properties.is_empty() {
        return Err(EncodeError::Inconsistent(
            "the stream's header announces no properties",
        ));
    }
    if object.status != ObjectStatus::Normal && (object.payload_len > 0 || !object.properties.is_empty()) {
        return Err(EncodeError::Inconsistent(
            "only a normal object has payload or properties",
        ));
    }
    check_properties(&object.properties)?;
    varint::encode(delta, buf);
    if has_properties {
        encode_properties(&object.properties, buf);
    }
    varint::encode(object.payload_len, buf);
    if object.payload_len == 0 {
        varint::encode(object.status.into_inner(), buf);
    }
    Ok(())
}

/// Reads a subgroup stream from its first byte.
///
/// After each [`Self::push`], call [`Self::poll`] until it gives `None`, and [`Self::finish`] when the stream ended with a
/// FIN. After an error the stream cannot be read on.
#[derive(Debug)]
pub struct SubgroupReader {
    input: Input,
    header: Option<SubgroupHeader>,
    last_id: Option<u64>,
    payload_left: u64,
}

impl SubgroupReader {
    /// A reader at the first byte of a stream, its type.
    pub fn new(_version: Version) -> Self {
        Self {
            input: Input::default(),
            header: None,
            last_id: None,
            payload_left: 0,
        }
    }

    /// Adds bytes that follow those pushed before.
    pub fn push(&mut self, bytes: Bytes) {
        self.input.push(bytes);
    }

    /// The next event; `None`: more bytes are needed.
    ///
    /// # Errors
    ///
    /// What the peer did wrong.
    pub fn poll(&mut self) -> Result<Option<SubgroupEvent>, DecodeError> {
        let Some(header) = self.header else {
            self.header = self.input.head(SubgroupHeader::decode)?;
            return Ok(self.header.map(SubgroupEvent::Header));
        };
        if self.payload_left > 0 {
            let Some(payload) = self.input.payload(self.payload_left) else {
                return Ok(None);
            };
            self.payload_left -= payload.len() as u64;
            return Ok(Some(SubgroupEvent::Payload(payload)));
        }
        let last_id = self.last_id;
        let object = self
            .input
            .head(|head| decode_object(last_id, header.has_properties, head))?;
        if let Some(object) = &object {
            self.last_id = Some(object.id);
            self.payload_left = object.payload_len;
        }
        Ok(object.map(SubgroupEvent::Object))
    }

    /// Whether the stream stands in the middle of its header or of an object.
    pub fn in_object(&self) -> bool {
        self.header.is_none() || self.payload_left > 0 || !self.input.is_empty()
    }

    /// Accepts a FIN, once polled dry.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] in the middle of the header or of an object (draft section "Streams").
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.in_object() {
            Err(DecodeError::Truncated)
        } else {
            Ok(())
        }
    }
}

fn decode_object(
    last_id: Option<u64>,
    has_properties: bool,
    head: &mut Head<'_>,
) -> Result<SubgroupObject, Stop> {
    let delta = head.varint()?;
    let id = match last_id {
        None => Some(delta),
        Some(last) => last.checked_add(delta).and_then(|id| id.checked_add(1)),
    };
    let id = id.ok_or(DecodeError::OutOfRange("Object ID"))?;
    let properties = if has_properties {
        decode_properties(head)?
    } else {
        Properties::empty()
    };
    let payload_len = head.varint()?;
    let status = match payload_len {
        0 => ObjectStatus::decode(head.varint()?, &properties)?,
        _ => ObjectStatus::Normal,
    };
    Ok(SubgroupObject {
        id,
        properties,
        payload_len,
        status,
    })
}
