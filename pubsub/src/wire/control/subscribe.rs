//! SUBSCRIBE, SUBSCRIBE_OK and TRACK_STATUS.

use bytes::BytesMut;

use super::Body;
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::name::FullTrackName;
use crate::wire::parameter::{Parameters, Scope};
use crate::wire::property::Properties;
use crate::wire::reader::Reader;
use crate::wire::varint;

/// SUBSCRIBE: asks for the objects of a track that are published from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Request ID.
    pub request_id: u64,
    /// The track.
    pub track: FullTrackName,
    /// Message parameters.
    pub parameters: Parameters,
}

/// SUBSCRIBE_OK: the subscription is established.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeOk {
    /// Names the track in data streams and datagrams.
    pub track_alias: u64,
    /// Message parameters.
    pub parameters: Parameters,
    /// Track Properties, as received.
    pub properties: Properties,
}

/// TRACK_STATUS: asks what a SUBSCRIBE would be told, without subscribing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackStatus {
    /// Request ID.
    pub request_id: u64,
    /// The track.
    pub track: FullTrackName,
    /// Message parameters.
    pub parameters: Parameters,
}

impl Body for Subscribe {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        encode_request(self.request_id, &self.track, &self.parameters, buf)
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (request_id, track, parameters) = decode_request(reader, Scope::Subscribe)?;
        Ok(Self {
            request_id,
            track,
            parameters,
        })
    }
}

impl Body for TrackStatus {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        encode_request(self.request_id, &self.track, &self.parameters, buf)
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (request_id, track, parameters) = decode_request(reader, Scope::TrackStatus)?;
        Ok(Self {
            request_id,
            track,
            parameters,
        })
    }
}

fn encode_request(
    request_id: u64,
    track: &FullTrackName,
    parameters: &Parameters,
    buf: &mut BytesMut,
) -> Result<(), EncodeError> {
    varint::encode(request_id, buf);
    track.encode(buf);
    parameters.encode(buf)
}

fn decode_request(
    reader: &mut Reader,
    scope: Scope,
) -> Result<(u64, FullTrackName, Parameters), DecodeError> {
    Ok((
        reader.varint()?,
        FullTrackName::decode(reader)?,
        Parameters::decode_in(reader, scope)?,
    ))
}

impl Body for SubscribeOk {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        varint::encode(self.track_alias, buf);
        self.parameters.encode(buf)?;
        buf.extend_from_slice(self.properties.as_bytes());
        Ok(())
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            track_alias: reader.varint()?,
            parameters: Parameters::decode_in(reader, Scope::SubscribeOk)?,
            properties: Properties::from_bytes(reader.rest()),
        })
    }
}
