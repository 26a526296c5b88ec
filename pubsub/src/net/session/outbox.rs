//! What waits to be written on a stream: bounded, and with how it ends.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::wire::StreamCode;

/// Most bytes that may wait for one request stream. A peer that does not read its answers loses the request.
const MAX_OUTBOX: usize = 1 << 20;

/// What waits to be written on one stream.
#[derive(Default)]
pub(crate) struct Outbox {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    pub(super) end: Option<End>,
    pub(super) stop: Option<StreamCode>,
    pub(super) ready: Arc<Notify>,
}

/// How the sending half of a request stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Finish,
    Reset(StreamCode),
}

/// What the task of a stream has to do next.
pub(crate) struct Work {
    pub(crate) end: Option<End>,
    pub(crate) stop: Option<StreamCode>,
}

impl Outbox {
    /// Queue bytes; false if there is no room for them.
    pub(super) fn push(&mut self, bytes: Bytes) -> bool {
        let room = self.bytes + bytes.len() <= MAX_OUTBOX;
        if room {
            self.bytes += bytes.len();
            self.chunks.push_back(bytes);
        }
        self.ready.notify_one();
        room
    }

    /// Put what opens the stream before everything else.
    pub(crate) fn begin_with(&mut self, prefix: Bytes) {
        if !prefix.is_empty() {
            self.chunks.push_front(prefix);
        }
    }

    /// What there is to do. The queue is emptied into `chunks` once those are written: what the transport does not take stays
    /// here, where it is counted. The end is told when nothing is left before it.
    pub(crate) fn take(&mut self, chunks: &mut Vec<Bytes>) -> Work {
        if chunks.is_empty() {
            self.bytes = 0;
            chunks.extend(self.chunks.drain(..));
        }
        Work {
            end: match self.end {
                Some(End::Finish) if !self.chunks.is_empty() => None,
                end => end,
            },
            stop: self.stop.take(),
        }
    }

    /// Notified when there is something to take.
    pub(crate) fn ready(&self) -> Arc<Notify> {
        self.ready.clone()
    }
}
