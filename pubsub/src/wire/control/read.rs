//! Finds messages in the bytes of a control or request stream.

use bytes::{Buf as _, Bytes, BytesMut};

use super::{Message, kind};
use crate::wire::error::DecodeError;
use crate::wire::{Version, varint};

/// Which messages a stream may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// The unidirectional control stream: SETUP, then GOAWAY with a Request ID.
    Control,
    /// A bidirectional request stream: everything else, and GOAWAY without a Request ID.
    Request,
}

/// Reads messages from a stream, in whatever pieces it arrives.
///
/// After each [`Self::push`], call [`Self::poll`] until it gives `None`; then at most one incomplete message (at most
/// 65546 bytes) is held. After an error the stream cannot be read on. The order of messages is the session's concern.
#[derive(Debug)]
pub struct MessageReader {
    version: Version,
    stream: StreamKind,
    held: BytesMut,
}

impl MessageReader {
    /// A reader at the first byte of a stream. The control stream's type is the message type of SETUP, so it belongs to it.
    pub fn new(version: Version, stream: StreamKind) -> Self {
        Self {
            version,
            stream,
            held: BytesMut::new(),
        }
    }

    /// Reads what comes from here on as this version.
    pub const fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// Adds bytes that follow those pushed before.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the same shape as the readers of data streams, which keep the bytes"
    )]
    pub fn push(&mut self, bytes: Bytes) {
        self.held.extend_from_slice(&bytes);
    }

    /// The next complete message; `None`: more bytes are needed.
    ///
    /// # Errors
    ///
    /// What the peer did wrong; unknown and misplaced message types are refused before their body arrives.
    pub fn poll(&mut self) -> Result<Option<Message>, DecodeError> {
        let Some((kind, kind_len)) = varint::decode(&self.held) else {
            return Ok(None);
        };
        self.check_kind(kind)?;
        let Some(&length) = self.held.get(kind_len..).and_then(<[u8]>::first_chunk) else {
            return Ok(None);
        };
        let (start, len) = (kind_len + 2, usize::from(u16::from_be_bytes(length)));
        let Some(body) = self.held.get(start..start + len) else {
            return Ok(None);
        };
        // A copy of its own, so that what is kept of a message holds no more memory than that message.
        let body = Bytes::copy_from_slice(body);
        self.held.advance(start + len);
        if self.held.is_empty() {
            self.held = BytesMut::new();
        }
        let message = Message::decode(kind, body, self.version)?;
        self.check_goaway(&message)?;
        Ok(Some(message))
    }

    /// Whether no incomplete message is held: a stream that ends now ends between messages.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many bytes of an incomplete message are held.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    fn check_kind(&self, kind: u64) -> Result<(), DecodeError> {
        if !kind::is_known(kind) {
            return Err(DecodeError::UnknownType {
                what: "message",
                value: kind,
            });
        }
        match (self.stream, kind) {
            (StreamKind::Control, kind::SETUP | kind::GOAWAY) => Ok(()),
            (StreamKind::Control, _) => Err(DecodeError::Misplaced(
                "a request's message on the control stream",
            )),
            (StreamKind::Request, kind::SETUP) => Err(DecodeError::Misplaced("SETUP on a request stream")),
            (StreamKind::Request, _) => Ok(()),
        }
    }

    const fn check_goaway(&self, message: &Message) -> Result<(), DecodeError> {
        match (self.stream, message) {
            (StreamKind::Control, Message::Goaway(goaway)) if goaway.request_id.is_none() => {
                Err(DecodeError::Truncated)
            }
            (StreamKind::Request, Message::Goaway(goaway)) if goaway.request_id.is_some() => Err(
                DecodeError::Misplaced("GOAWAY with a Request ID on a request stream"),
            ),
            _ => Ok(()),
        }
    }
}
