//! REQUEST_OK, REQUEST_ERROR with Redirect, and REQUEST_UPDATE.

use bytes::{Bytes, BytesMut};

use super::{Body, decode_reason, encode_prefixed, encode_reason};
use crate::wire::code::RequestErrorCode;
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::name::{TrackName, TrackNamespace, check_length};
use crate::wire::parameter::Parameters;
use crate::wire::property::Properties;
use crate::wire::reader::Reader;
use crate::wire::varint;

/// REQUEST_OK: also PUBLISH_OK, REQUEST_UPDATE_OK, TRACK_STATUS_OK and the namespace OKs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestOk {
    /// Message parameters; which ones are legal depends on the request answered.
    pub parameters: Parameters,
    /// Track Properties; empty except in answer to TRACK_STATUS.
    pub properties: Properties,
}

/// REQUEST_ERROR: the request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// Why.
    pub code: RequestErrorCode,
    /// Milliseconds after which the same request may be sent again; `None`: do not retry. (On the wire: value + 1, 0 for none.)
    pub retry_after_ms: Option<u64>,
    /// For people; at most 1024 bytes.
    pub reason: String,
    /// Present exactly when the code is REDIRECT.
    pub redirect: Option<Redirect>,
}

/// Where to send a redirected request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// URI to connect to; empty: this session's.
    pub uri: Bytes,
    /// Namespace to use; empty together with `name`: the original one.
    pub namespace: TrackNamespace,
    /// Track name to use.
    pub name: TrackName,
}

/// REQUEST_UPDATE: changes parameters of a request on its own stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestUpdate {
    /// The update's own Request ID.
    pub request_id: u64,
    /// Changed parameters; absent ones keep their value.
    pub parameters: Parameters,
}

impl Body for RequestOk {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        self.parameters.encode(buf)?;
        buf.extend_from_slice(self.properties.as_bytes());
        Ok(())
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            parameters: Parameters::decode(reader)?,
            properties: Properties::from_bytes(reader.rest()),
        })
    }
}

impl Body for RequestError {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        varint::encode(self.code.into_inner(), buf);
        varint::encode(self.retry_after_ms.map_or(0, |ms| ms.saturating_add(1)), buf);
        encode_reason(&self.reason, buf)?;
        match (&self.redirect, self.code) {
            (Some(redirect), RequestErrorCode::REDIRECT) => redirect.encode(buf),
            (None, code) if code != RequestErrorCode::REDIRECT => Ok(()),
            _ => Err(EncodeError::Inconsistent(
                "a redirect goes with the code REDIRECT and no other",
            )),
        }
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let code = RequestErrorCode::new(reader.varint()?);
        let retry_after_ms = reader.varint()?.checked_sub(1);
        let reason = decode_reason(reader)?;
        let redirect = if code == RequestErrorCode::REDIRECT {
            Some(Redirect::decode(reader)?)
        } else {
            None
        };
        Ok(Self {
            code,
            retry_after_ms,
            reason,
            redirect,
        })
    }
}

impl Redirect {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        encode_prefixed("Connect URI", &self.uri, usize::from(u16::MAX), buf)?;
        self.namespace.encode(buf);
        self.name.encode(buf);
        Ok(())
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let uri = reader.prefixed("Connect URI", u64::from(u16::MAX))?;
        let namespace = TrackNamespace::decode(reader)?;
        let name = TrackName::decode(reader)?;
        check_length(&namespace, &name)?;
        Ok(Self { uri, namespace, name })
    }
}

impl Body for RequestUpdate {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        varint::encode(self.request_id, buf);
        self.parameters.encode(buf)
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            request_id: reader.varint()?,
            parameters: Parameters::decode(reader)?,
        })
    }
}
