//! PUBLISH and PUBLISH_DONE.

use bytes::BytesMut;

use super::{Body, decode_reason, encode_reason};
use crate::wire::code::PublishDoneCode;
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::name::FullTrackName;
use crate::wire::parameter::{Parameters, Scope};
use crate::wire::property::Properties;
use crate::wire::reader::Reader;
use crate::wire::varint;

/// The stream count that stands for "unknown" in draft-18.
const UNKNOWN_STREAM_COUNT: u64 = (1 << 62) - 1;

/// PUBLISH: a publisher offers a track as a subscription that it initiates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Request ID.
    pub request_id: u64,
    /// The track.
    pub track: FullTrackName,
    /// Names the track in data streams and datagrams.
    pub track_alias: u64,
    /// Message parameters.
    pub parameters: Parameters,
    /// Track Properties, as received.
    pub properties: Properties,
}

/// PUBLISH_DONE: the publisher has closed every data stream of the subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishDone {
    /// Why.
    pub code: PublishDoneCode,
    /// Data streams opened for the subscription; `None` if unknown (2^62 - 1 on the wire).
    pub stream_count: Option<u64>,
    /// For people; at most 1024 bytes.
    pub reason: String,
}

impl Body for Publish {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        varint::encode(self.request_id, buf);
        self.track.encode(buf);
        varint::encode(self.track_alias, buf);
        self.parameters.encode(buf)?;
        buf.extend_from_slice(self.properties.as_bytes());
        Ok(())
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            request_id: reader.varint()?,
            track: FullTrackName::decode(reader)?,
            track_alias: reader.varint()?,
            parameters: Parameters::decode_in(reader, Scope::Publish)?,
            properties: Properties::from_bytes(reader.rest()),
        })
    }
}

impl Body for PublishDone {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        varint::encode(self.code.into_inner(), buf);
        varint::encode(self.stream_count.unwrap_or(UNKNOWN_STREAM_COUNT), buf);
        encode_reason(&self.reason, buf)
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            code: PublishDoneCode::new(reader.varint()?),
            stream_count: Some(reader.varint()?).filter(|&count| count != UNKNOWN_STREAM_COUNT),
            reason: decode_reason(reader)?,
        })
    }
}
