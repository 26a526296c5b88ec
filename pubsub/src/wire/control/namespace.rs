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
        varint::encode(self.request_id, buf);
        self.namespace.encode(buf);
        self.parameters.encode(buf)
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            request_id: reader.varint()?,
            namespace: TrackNamespace::decode(reader)?,
            parameters: Parameters::decode_in(reader, Scope::PublishNamespace)?,
        })
    }
}

impl Body for SubscribeNamespace {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        varint::encode(self.request_id, buf);
        self.prefix.encode(buf);
        self.parameters.encode(buf)
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            request_id: reader.varint()?,
            prefix: TrackNamespace::decode(reader)?,
            parameters: Parameters::decode_in(reader, Scope::SubscribeNamespace)?,
        })
    }
}

impl Body for SubscribeTracks {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        varint::encode(self.request_id, buf);
        self.prefix.encode(buf);
        self.parameters.encode(buf)
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            request_id: reader.varint()?,
            prefix: TrackNamespace::decode(reader)?,
            parameters: Parameters::decode_in(reader, Scope::SubscribeTracks)?,
        })
    }
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
