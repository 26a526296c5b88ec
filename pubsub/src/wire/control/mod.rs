//! Control and request messages: one file per family.
//!
//! A message is `type (vi64) | length (u16) | body`; the body's length must match exactly (draft section "Control Messages").

pub mod fetch;
pub mod goaway;
pub mod kind;
mod moq_lite_js;
pub mod namespace;
pub mod publish;
mod read;
pub mod request;
pub mod setup;
pub mod subscribe;

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::reader::Reader;
use crate::wire::{Version, varint};

pub use fetch::{Fetch, FetchKind, FetchOk};
pub use goaway::Goaway;
pub use namespace::{
    Namespace, NamespaceDone, PublishBlocked, PublishNamespace, SubscribeNamespace, SubscribeTracks,
};
pub use publish::{Publish, PublishDone};
pub use read::{MessageReader, StreamKind};
pub use request::{Redirect, RequestError, RequestOk, RequestUpdate};
pub use setup::Setup;
pub use subscribe::{Subscribe, SubscribeOk, TrackStatus};

/// Any message of the control stream or of a request stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// SETUP, first on each control stream.
    Setup(Setup),
    /// GOAWAY, on the control stream or on a request stream.
    Goaway(Goaway),
    /// SUBSCRIBE
    Subscribe(Subscribe),
    /// SUBSCRIBE_OK
    SubscribeOk(SubscribeOk),
    /// REQUEST_UPDATE
    RequestUpdate(RequestUpdate),
    /// REQUEST_OK, also known as PUBLISH_OK and the like
    RequestOk(RequestOk),
    /// REQUEST_ERROR
    RequestError(RequestError),
    /// PUBLISH
    Publish(Publish),
    /// PUBLISH_DONE
    PublishDone(PublishDone),
    /// FETCH
    Fetch(Fetch),
    /// FETCH_OK
    FetchOk(FetchOk),
    /// TRACK_STATUS
    TrackStatus(TrackStatus),
    /// PUBLISH_NAMESPACE
    PublishNamespace(PublishNamespace),
    /// SUBSCRIBE_NAMESPACE
    SubscribeNamespace(SubscribeNamespace),
    /// NAMESPACE
    Namespace(Namespace),
    /// NAMESPACE_DONE
    NamespaceDone(NamespaceDone),
    /// SUBSCRIBE_TRACKS
    SubscribeTracks(SubscribeTracks),
    /// PUBLISH_BLOCKED
    PublishBlocked(PublishBlocked),
}

/// Longest body in bytes: the length field has 16 bits.
pub const MAX_BODY: usize = 65_535;
/// Longest reason phrase in bytes (draft section "Reason Phrase Structure").
pub const MAX_REASON: usize = 1024;

/// The body of one message.
trait Body: Sized {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError>;

    /// Reads the fields from the front; what is left over is the caller's to refuse.
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError>;
}

impl Message {
    /// The message type on the wire.
    pub const fn kind(&self) -> u64 {
        match self {
            Self::Setup(_) => kind::SETUP,
            Self::Goaway(_) => kind::GOAWAY,
            Self::Subscribe(_) => kind::SUBSCRIBE,
            Self::SubscribeOk(_) => kind::SUBSCRIBE_OK,
            Self::RequestUpdate(_) => kind::REQUEST_UPDATE,
            Self::RequestOk(_) => kind::REQUEST_OK,
            Self::RequestError(_) => kind::REQUEST_ERROR,
            Self::Publish(_) => kind::PUBLISH,
            Self::PublishDone(_) => kind::PUBLISH_DONE,
            Self::Fetch(_) => kind::FETCH,
            Self::FetchOk(_) => kind::FETCH_OK,
            Self::TrackStatus(_) => kind::TRACK_STATUS,
            Self::PublishNamespace(_) => kind::PUBLISH_NAMESPACE,
            Self::SubscribeNamespace(_) => kind::SUBSCRIBE_NAMESPACE,
            Self::Namespace(_) => kind::NAMESPACE,
            Self::NamespaceDone(_) => kind::NAMESPACE_DONE,
            Self::SubscribeTracks(_) => kind::SUBSCRIBE_TRACKS,
            Self::PublishBlocked(_) => kind::PUBLISH_BLOCKED,
        }
    }

    /// Appends type, length and body.
    ///
    /// # Errors
    ///
    /// A field or the body longer than the draft allows, or fields that contradict each other; `buf` is then as before.
    pub fn encode(&self, version: Version, buf: &mut BytesMut) -> Result<(), EncodeError> {
        let start = buf.len();
        let result = self.encode_framed(version, buf);
        if result.is_err() {
            buf.truncate(start);
        }
        result
    }

    fn encode_framed(&self, version: Version, buf: &mut BytesMut) -> Result<(), EncodeError> {
        varint::encode(self.kind(), buf);
        let length_at = buf.len();
        buf.put_u16(0);
        match version {
            Version::Draft18 => self.encode_body(buf)?,
            Version::Draft18MoqLiteJs => moq_lite_js::encode_body(self, buf)?,
        }
        let len = buf.len() - length_at - 2;
        let length = u16::try_from(len).map_err(|_error| EncodeError::TooLong {
            field: "message",
            len,
            max: MAX_BODY,
        })?;
        if let Some(field) = buf.get_mut(length_at..length_at + 2) {
            field.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }

    fn encode_body(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        match self {
            Self::Setup(body) => body.encode(buf),
            Self::Goaway(body) => body.encode(buf),
            Self::Subscribe(body) => body.encode(buf),
            Self::SubscribeOk(body) => body.encode(buf),
            Self::RequestUpdate(body) => body.encode(buf),
            Self::RequestOk(body) => body.encode(buf),
            Self::RequestError(body) => body.encode(buf),
            Self::Publish(body) => body.encode(buf),
            Self::PublishDone(body) => body.encode(buf),
            Self::Fetch(body) => body.encode(buf),
            Self::FetchOk(body) => body.encode(buf),
            Self::TrackStatus(body) => body.encode(buf),
            Self::PublishNamespace(body) => body.encode(buf),
            Self::SubscribeNamespace(body) => body.encode(buf),
            Self::Namespace(body) => body.encode(buf),
            Self::NamespaceDone(body) => body.encode(buf),
            Self::SubscribeTracks(body) => body.encode(buf),
            Self::PublishBlocked(body) => body.encode(buf),
        }
    }

    /// Reads a body of exactly the length that the message gave.
    ///
    /// 0x1E is read as REQUEST_OK: the draft's table still lists it as PUBLISH_OK, its text made it an alias.
    ///
    /// # Errors
    ///
    /// An unknown type, or a body that does not have the form of its type.
    pub fn decode(kind: u64, body: Bytes, version: Version) -> Result<Self, DecodeError> {
        match version {
            Version::Draft18 => Self::decode_body(kind, body),
            Version::Draft18MoqLiteJs => moq_lite_js::decode_body(kind, &body),
        }
    }

    fn decode_body(kind: u64, body: Bytes) -> Result<Self, DecodeError> {
        let reader = &mut Reader::new(body);
        let message = match kind {
            kind::SETUP => Self::Setup(Body::decode(reader)?),
            kind::GOAWAY => Self::Goaway(Body::decode(reader)?),
            kind::SUBSCRIBE => Self::Subscribe(Body::decode(reader)?),
            kind::SUBSCRIBE_OK => Self::SubscribeOk(Body::decode(reader)?),
            kind::REQUEST_UPDATE => Self::RequestUpdate(Body::decode(reader)?),
            kind::REQUEST_OK | kind::PUBLISH_OK => Self::RequestOk(Body::decode(reader)?),
            kind::REQUEST_ERROR => Self::RequestError(Body::decode(reader)?),
            kind::PUBLISH => Self::Publish(Body::decode(reader)?),
            kind::PUBLISH_DONE => Self::PublishDone(Body::decode(reader)?),
            kind::FETCH => Self::Fetch(Body::decode(reader)?),
            kind::FETCH_OK => Self::FetchOk(Body::decode(reader)?),
            kind::TRACK_STATUS => Self::TrackStatus(Body::decode(reader)?),
            kind::PUBLISH_NAMESPACE => Self::PublishNamespace(Body::decode(reader)?),
            kind::SUBSCRIBE_NAMESPACE => Self::SubscribeNamespace(Body::decode(reader)?),
            kind::NAMESPACE => Self::Namespace(Body::decode(reader)?),
            kind::NAMESPACE_DONE => Self::NamespaceDone(Body::decode(reader)?),
            kind::SUBSCRIBE_TRACKS => Self::SubscribeTracks(Body::decode(reader)?),
            kind::PUBLISH_BLOCKED => Self::PublishBlocked(Body::decode(reader)?),
            value => {
                return Err(DecodeError::UnknownType {
                    what: "message",
                    value,
                });
            }
        };
        reader.finish()?;
        Ok(message)
    }
}

fn encode_prefixed(
    field: &'static str,
    value: &[u8],
    max: usize,
    buf: &mut BytesMut,
) -> Result<(), EncodeError> {
    if value.len() > max {
        return Err(EncodeError::TooLong {
            field,
            len: value.len(),
            max,
        });
    }
    varint::encode(value.len() as u64, buf);
    buf.put_slice(value);
    Ok(())
}

fn encode_reason(reason: &str, buf: &mut BytesMut) -> Result<(), EncodeError> {
    encode_prefixed("reason phrase", reason.as_bytes(), MAX_REASON, buf)
}

/// Bytes that are not UTF-8 are replaced: a phrase for people is no reason to close.
fn decode_reason(reader: &mut Reader) -> Result<String, DecodeError> {
    let reason = reader.prefixed("reason phrase", MAX_REASON as u64)?;
    Ok(String::from_utf8_lossy(&reason).into_owned())
}

#[cfg(test)]
mod tests;
