//! Fetch streams: a header, then objects and range markers, each relative to the one before.

mod read;
mod write;

use bytes::Bytes;

use crate::wire::Location;
use crate::wire::property::Properties;

pub use read::FetchReader;
pub use write::FetchWriter;

const SUBGROUP_MODE: u64 = 0x03;
const SUBGROUP_PRIOR: u64 = 0x01;
const SUBGROUP_NEXT: u64 = 0x02;
const SUBGROUP_EXPLICIT: u64 = 0x03;
const OBJECT_DELTA: u64 = 0x04;
const GROUP_DELTA: u64 = 0x08;
const PRIORITY: u64 = 0x10;
const PROPERTIES: u64 = 0x20;
const DATAGRAM: u64 = 0x40;
/// Flags end here; larger values are range markers or illegal.
const FLAGS_END: u64 = 0x80;
const END_OF_NON_EXISTENT_RANGE: u64 = 0x8C;
const END_OF_UNKNOWN_RANGE: u64 = 0x10C;

/// The head of an object on a fetch stream; its payload follows as [`FetchEvent::Payload`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchObject {
    /// Location of the object.
    pub location: Location,
    /// Subgroup ID; `None`: the object's forwarding preference is datagram.
    pub subgroup: Option<u64>,
    /// Publisher priority.
    pub priority: u8,
    /// Object properties, as received.
    pub properties: Properties,
    /// Payload length in bytes.
    pub payload_len: u64,
}

/// What is known of the objects that a range marker stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RangeStatus {
    /// They do not exist (0x8C).
    NonExistent,
    /// Nothing (0x10C).
    Unknown,
}

/// What a [`FetchReader`] finds, in stream order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchEvent {
    /// FETCH_HEADER with the Request ID; always first.
    Header {
        /// Request ID of the FETCH.
        request_id: u64,
    },
    /// An object begins.
    Object(FetchObject),
    /// Next bytes of the current object's payload; never empty.
    Payload(Bytes),
    /// No object between the last one and this location, inclusive, exists (0x8C).
    EndOfNonExistentRange(Location),
    /// The objects between the last one and this location, inclusive, are of unknown status (0x10C).
    EndOfUnknownRange(Location),
}
