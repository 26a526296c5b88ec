//! OBJECT_DATAGRAM and padding datagrams.

use bytes::Bytes;

use super::ObjectStatus;
use crate::wire::property::Properties;

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
