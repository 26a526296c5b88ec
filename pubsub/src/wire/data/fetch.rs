//! Fetch streams: a header, then objects and range markers, each relative to the one before.

use bytes::Bytes;

use crate::wire::Location;
use crate::wire::property::Properties;

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

/// Reads a fetch stream from its first byte.
#[derive(Debug)]
pub struct FetchReader {}

/// Writes the heads of objects of a fetch stream, keeping the state that each is relative to.
#[derive(Debug)]
pub struct FetchWriter {}
