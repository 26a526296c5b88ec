//! PUBLISH_NAMESPACE, SUBSCRIBE_NAMESPACE, SUBSCRIBE_TRACKS and what they bring: NAMESPACE, NAMESPACE_DONE, PUBLISH_BLOCKED.

use bytes::BytesMut;

use super::Body;
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::name::{TrackName, TrackNamespace, check_length};
use crate::wire::parameter::{Parameters, Scope};
use crate::wire::reader::Reader;
use crate::wire::varint;

/// PUBLISH_NAMESPACE: the sender has tracks under this namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishNamespace {
    /// Request ID.
    pub request_id: u64,
    /// The namespace.
    pub namespace: TrackNamespace,
    /// Message parameters.
    pub parameters: Parameters,
}

/// SUBSCRIBE_NAMESPACE: asks which namespaces exist under a prefix, now and later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeNamespace {
    /// Request ID.
    pub request_id: u64,
    /// The prefix; no fields: everything.
    pub prefix: TrackNamespace,
    /// Message parameters.
    pub parameters: Parameters,
}

/// SUBSCRIBE_TRACKS: asks to be sent a PUBLISH for each track under a prefix, now and later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeTracks {
    /// Request ID.
    pub request_id: u64,
    /// The prefix; no fields: everything.
    pub prefix: TrackNamespace,
    /// Message parameters.
    pub parameters: Parameters,
}

/// NAMESPACE: a namespace under the prefix asked for exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// The namespace less the prefix.
    pub suffix: TrackNamespace,
}

/// NAMESPACE_DONE: a namespace announced by NAMESPACE is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceDone {
    /// The namespace less the prefix.
    pub suffix: TrackNamespace,
}

/// PUBLISH_BLOCKED: a PUBLISH could not be sent for want of stream credit, and will not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishBlocked {
    /// The track's namespace less the prefix.
    pub suffix: TrackNamespace,
    /// The track's name.
    pub name: TrackName,
}

impl Body for PublishNamespace {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        encode_request(self.request_id, &self.namespace, &self.parameters, buf)
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (request_id, namespace, parameters) = decode_request(reader, Scope::PublishNamespace)?;
        Ok(Self {
            request_id,
            namespace,
            parameters,
        })
    }
}

impl Body for SubscribeNamespace {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        encode_request(self.request_id, &self.prefix, &self.parameters, buf)
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (request_id, prefix, parameters) = decode_request(reader, Scope::SubscribeNamespace)?;
        Ok(Self {
            request_id,
            prefix,
            parameters,
        })
    }
}

impl Body for SubscribeTracks {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        encode_request(self.request_id, &self.prefix, &self.parameters, buf)
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (request_id, prefix, parameters) = decode_request(reader, Scope::SubscribeTracks)?;
        Ok(Self {
            request_id,
            prefix,
            parameters,
        })
    }
}

fn encode_request(
    request_id: u64,
    namespace: &TrackNamespace,
    parameters: &Parameters,
    buf: &mut BytesMut,
) -> Result<(), EncodeError> {
    varint::encode(request_id, buf);
    namespace.encode(buf);
    parameters.encode(buf)
}

fn decode_request(
    reader: &mut Reader,
    scope: Scope,
) -> Result<(u64, TrackNamespace, Parameters), DecodeError> {
    Ok((
        reader.varint()?,
        TrackNamespace::decode(reader)?,
        Parameters::decode_in(reader, scope)?,
    ))
}

impl Body for Namespace {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        self.suffix.encode(buf);
        Ok(())
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            suffix: TrackNamespace::decode(reader)?,
        })
    }
}

impl Body for NamespaceDone {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        self.suffix.encode(buf);
        Ok(())
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            suffix: TrackNamespace::decode(reader)?,
        })
    }
}

impl Body for PublishBlocked {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        self.suffix.encode(buf);
        self.name.encode(buf);
        Ok(())
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let suffix = TrackNamespace::decode(reader)?;
        let name = TrackName::decode(reader)?;
        check_length(&suffix, &name)?;
        Ok(Self { suffix, name })
    }
}
