//! GOAWAY: the sender is about to close the session, or wants one request moved.

use bytes::{Bytes, BytesMut};

use super::{Body, encode_prefixed};
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::reader::Reader;
use crate::wire::varint;

/// Longest New Session URI in bytes.
pub const MAX_URI: usize = 8192;

/// GOAWAY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goaway {
    /// Where to connect instead; empty: the current URI. Always empty from a client.
    pub uri: Bytes,
    /// Milliseconds the sender will wait; 0: no promise.
    pub timeout_ms: u64,
    /// The smallest Request ID of the receiver that was not processed. Present on the control stream only.
    pub request_id: Option<u64>,
}

impl Body for Goaway {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), EncodeError> {
        encode_prefixed("New Session URI", &self.uri, MAX_URI, buf)?;
        varint::encode(self.timeout_ms, buf);
        if let Some(request_id) = self.request_id {
            varint::encode(request_id, buf);
        }
        Ok(())
    }

    /// Takes a Request ID if there is one; whether there must be is known to who knows the stream.
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let uri = reader.prefixed("New Session URI", MAX_URI as u64)?;
        let timeout_ms = reader.varint()?;
        let request_id = if reader.is_empty() {
            None
        } else {
            Some(reader.varint()?)
        };
        Ok(Self {
            uri,
            timeout_ms,
            request_id,
        })
    }
}
