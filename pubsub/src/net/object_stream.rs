//! A stream of objects that the caller writes itself, outside of tracks and caches.
//!
//! What a node tells one neighbour is for that neighbour alone: no other subscriber will ask for it, nobody fetches its past, and
//! it must not wait behind media. Such a track is answered with [`Session::accept_subscribe`](crate::session::Session::accept_subscribe) and
//! written here, object by object, as fast as the transport takes it. How many streams there were, for PUBLISH_DONE, is the
//! caller's to count.

use std::{future::poll_fn, sync::Arc};

use bytes::{Bytes, BytesMut};

use super::{
    session::{SessionHandle, Shared},
    transport::{SendStream, TransportClosed, WriteFailed},
};
use crate::wire::{
    EncodeError, Properties, StreamCode,
    data::{ObjectStatus, SubgroupHeader, SubgroupObject, subgroup::encode_object},
};

/// Above every media stream, whose priorities have 17 bits, and below control and requests.
const ABOVE_MEDIA: i32 = 1 << 17;

/// Why an object was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectStreamError {
    /// The peer wants no more of the stream; nothing can be written on it any more.
    #[error("the peer stopped the stream: {0}")]
    Stopped(StreamCode),
    /// The session is over.
    #[error("the session is over")]
    Closed,
    /// The object cannot follow on this stream. Nothing of it was written; the stream goes on.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl From<WriteFailed> for ObjectStreamError {
    fn from(failed: WriteFailed) -> Self {
        match failed {
            WriteFailed::Stopped(code) => Self::Stopped(code),
            WriteFailed::Closed => Self::Closed,
        }
    }
}

/// A subgroup stream in the hands of the caller. Dropped before [`Self::finish`], it is reset.
pub struct ObjectStream {
    shared: Arc<Shared>,
    send: SendStream,
    has_properties: bool,
    /// The last object that was taken.
    last: Option<u64>,
    /// What the transport has not taken yet: the header at first, then of one object at most.
    rest: Vec<Bytes>,
}

impl std::fmt::Debug for ObjectStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectStream")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

impl ObjectStream {
    /// Write an object without properties, waiting until the transport has taken all of it. Object IDs ascend.
    ///
    /// # Errors
    /// See [`ObjectStreamError`].
    ///
    /// Cancel-safe in this sense: an object whose write was dropped either was not begun or is completed by the next call, before
    /// its own object. [`Self::last_object`] tells which.
    pub async fn write(&mut self, object_id: u64, payload: Bytes) -> Result<(), ObjectStreamError> {
        // The header waits for the first object.
        if self.last.is_some() {
            self.flush().await?;
        }
        let object = SubgroupObject {
            id: object_id,
            properties: Properties::empty(),
            payload_len: payload.len() as u64,
            status: ObjectStatus::Normal,
        };
        let mut head = BytesMut::new();
        encode_object(self.last, &object, self.has_properties, &mut head)?;
        self.last = Some(object_id);
        self.shared.sent.add(1, object.payload_len);
        self.rest.extend(
            [head.freeze(), payload]
                .into_iter()
                .filter(|bytes| !bytes.is_empty()),
        );
        self.flush().await
    }

    /// The last object that was taken, perhaps not yet in full by the transport.
    pub const fn last_object(&self) -> Option<u64> {
        self.last
    }

    /// End the stream behind the last object. What was written is delivered as long as the session lives.
    ///
    /// # Errors
    /// See [`ObjectStreamError`]; the stream is then gone as well.
    ///
    /// Dropped before it is ready, the stream is reset.
    pub async fn finish(mut self) -> Result<(), ObjectStreamError> {
        self.flush().await?;
        self.send.finish();
        Ok(())
    }

    /// Abandon the stream.
    pub fn reset(mut self, code: StreamCode) {
        self.send.reset(code);
    }

    async fn flush(&mut self) -> Result<(), ObjectStreamError> {
        while !self.rest.is_empty() {
            poll_fn(|cx| self.send.poll_write(cx, &mut self.rest)).await?;
            self.rest.retain(|bytes| !bytes.is_empty());
        }
        Ok(())
    }
}

impl SessionHandle {
    /// Open a unidirectional stream for objects of a track that the peer subscribed to, waiting while the peer allows no more
    /// streams. It goes before all media of the session; among such streams a lower `priority` goes first. The track alias in
    /// `header` is that of the accepted subscription.
    ///
    /// # Errors
    /// The session is over.
    ///
    /// Cancel-safe.
    pub async fn open_object_stream(
        &self,
        header: SubgroupHeader,
        priority: u8,
    ) -> Result<ObjectStream, TransportClosed> {
        let send = self.shared.transport.open_uni().await?;
        send.set_priority(ABOVE_MEDIA + i32::from(u8::MAX - priority));
        let mut head = BytesMut::from(&self.shared.transport.uni_prefix()[..]);
        header.encode(&mut head);
        Ok(ObjectStream {
            shared: Arc::clone(&self.shared),
            send,
            has_properties: header.has_properties,
            last: None,
            rest: vec![head.freeze()],
        })
    }
}
