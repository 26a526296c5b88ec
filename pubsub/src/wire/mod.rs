//! The bytes of MoQ Transport.
//!
//! Everything here is a pure function of bytes: no clock, no socket, no state beyond what one stream needs to be read.
//! This is the one place that names a draft: [`Version`].

pub mod code;
pub mod control;
pub mod data;
pub mod error;
pub mod name;
pub mod parameter;
pub mod property;
pub mod reader;
pub mod varint;

use bytes::BufMut;

pub use code::{PublishDoneCode, RequestErrorCode, SessionCode, StreamCode};
pub use control::{Message, MessageReader};
pub use error::{DecodeError, EncodeError};
pub use name::{FullTrackName, TrackName, TrackNamespace};
pub use parameter::{Filter, GroupOrder, Parameters, Token};
pub use property::Properties;

/// The protocol version of a session, chosen by ALPN (raw QUIC) or by `WT-Protocol` (WebTransport).
///
/// Today it has one draft; drafts 19 to 22 share its framing and data plane and will join it here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Version {
    /// draft-ietf-moq-transport-18
    #[default]
    Draft18,
    /// Draft-18 as `@moq/net` of moq-dev speaks it, which calls itself `moq-lite-js` in SETUP: its parameters have other shapes
    /// (`control/moq_lite_js.rs`). A session changes to it when it hears that name.
    Draft18MoqLiteJs,
}

impl Version {
    /// The identifier used as ALPN and in `WT-Available-Protocols`.
    pub const fn alpn(self) -> &'static str {
        match self {
            Self::Draft18 | Self::Draft18MoqLiteJs => "moqt-18",
        }
    }

    /// The version that an ALPN or WebTransport protocol identifier stands for.
    pub fn from_alpn(alpn: &[u8]) -> Option<Self> {
        (alpn == Self::Draft18.alpn().as_bytes()).then_some(Self::Draft18)
    }
}

/// A position in a track: a group and an object in it. Ordered by group, then object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// Group ID.
    pub group: u64,
    /// Object ID in the group.
    pub object: u64,
}

impl Location {
    /// The location `{group, object}`.
    pub const fn new(group: u64, object: u64) -> Self {
        Self { group, object }
    }

    /// Read as the End Location of FETCH (the object after the last, or object 0 for the whole group): the last location of
    /// the range. Object IDs end at 2^64 - 1, so the whole group ends there.
    pub const fn last_before(self) -> Self {
        Self {
            group: self.group,
            object: self.object.wrapping_sub(1),
        }
    }

    /// As the last location of a range: its End Location in FETCH. The inverse of [`Self::last_before`].
    pub const fn end_after(self) -> Self {
        Self {
            group: self.group,
            object: self.object.wrapping_add(1),
        }
    }
    /// Appends group and object.
    pub fn encode(self, buf: &mut impl BufMut) {
        varint::encode(self.group, buf);
        varint::encode(self.object, buf);
    }
}
