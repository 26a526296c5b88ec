//! FETCH and FETCH_OK.

use bytes::{BufMut as _, BytesMut};

use super::Body;
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::name::FullTrackName;
use crate::wire::parameter::{Parameters, Scope};
use crate::wire::property::Properties;
use crate::wire::reader::Reader;
use crate::wire::{Location, varint};

/// FETCH: asks for objects that were already published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Request ID.
    pub request_id: u64,
    /// What is asked for.
    pub kind: FetchKind,
    /// Message parameters.
    pub parameters: Parameters,
}

/// The three forms of FETCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchKind {
    /// A range of a named track.
    Standalone {
        /// The track.
        track: FullTrackName,
        /// First location.
        start: Location,
        /// As on the wire: last object plus one, or object 0 for the whole of group `end.group`.
        end: Location,
    },
    /// From `groups` groups before the joining location of a subscription of this session up to that location.
    RelativeJoining {
        /// Request ID of the subscription.
        subscription: u64,
        /// How many groups before the joining location's.
        groups: u64,
    },
    /// From the given group up to the joining location of a subscription of this session.
    AbsoluteJoining {
        /// Request ID of the subscription.
        subscription: u64,
        /// First group.
        group: u64,
    },
}

/// FETCH_OK: the range that the fetch stream covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchOk {
    /// All objects of the track were published and `end` covers the last.
    pub end_of_track: bool,
    /// As in [`FetchKind::Standalone`], clipped to the largest object plus one.
    pub end: Location,
    /// Message parameters.
    pub parameters: Parameters,
    /// Track Properties, as received.
    pub properties: Properties,
}

impl Body for Fetch {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        varint::encode(self.request_id, buf);
        match &self.kind {
            FetchKind::Standalone { track, start, end } => {
                varint::encode(0x1, buf);
                track.encode(buf);
                start.encode(buf);
                end.encode(buf);
            }
            FetchKind::RelativeJoining { subscription, groups } => {
                varint::encode(0x2, buf);
                varint::encode(*subscription, buf);
                varint::encode(*groups, buf);
            }
            FetchKind::AbsoluteJoining { subscription, group } => {
                varint::encode(0x3, buf);
                varint::encode(*subscription, buf);
                varint::encode(*group, buf);
            }
        }
        self.parameters.encode(buf)
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let request_id = reader.varint()?;
        let kind = match reader.varint()? {
            0x1 => FetchKind::Standalone {
                track: FullTrackName::decode(reader)?,
                start: reader.location()?,
                end: reader.location()?,
            },
            0x2 => FetchKind::RelativeJoining {
                subscription: reader.varint()?,
                groups: reader.varint()?,
            },
            0x3 => FetchKind::AbsoluteJoining {
                subscription: reader.varint()?,
                group: reader.varint()?,
            },
            value => {
                return Err(DecodeError::UnknownType {
                    what: "fetch type",
                    value,
                });
            }
        };
        Ok(Self {
            request_id,
            kind,
            parameters: Parameters::decode_in(reader, Scope::Fetch)?,
        })
    }
}

impl Body for FetchOk {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        buf.put_u8(u8::from(self.end_of_track));
        self.end.encode(buf);
        self.parameters.encode(buf)?;
        buf.extend_from_slice(self.properties.as_bytes());
        Ok(())
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let end_of_track = match reader.u8()? {
            0 => false,
            1 => true,
            value => {
                return Err(DecodeError::InvalidValue {
                    field: "End Of Track",
                    value: value.into(),
                });
            }
        };
        Ok(Self {
            end_of_track,
            end: reader.location()?,
            parameters: Parameters::decode_in(reader, Scope::FetchOk)?,
            properties: Properties::from_bytes(reader.rest()),
        })
    }
}
