//! Subgroup streams: a header, then the objects of one subgroup in ascending order.

use bytes::Bytes;

use super::ObjectStatus;
use crate::wire::property::Properties;

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

/// Reads a subgroup stream from its first byte.
#[derive(Debug)]
pub struct SubgroupReader {}
