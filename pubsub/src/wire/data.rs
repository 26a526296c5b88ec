//! Data streams and datagrams: headers, objects, and readers that find object borders as bytes arrive.

pub mod datagram;
pub mod fetch;
pub mod subgroup;

pub use datagram::Datagram;
pub use fetch::{FetchEvent, FetchObject, FetchReader, FetchWriter};
pub use subgroup::{SubgroupEvent, SubgroupHeader, SubgroupId, SubgroupObject, SubgroupReader};

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
