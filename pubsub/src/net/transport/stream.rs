//! The two halves of a stream.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::code::CodeSpace;
use crate::wire::StreamCode;

/// The sending half of a stream. One that is dropped before [`Self::finish`] is reset: QUIC's own habit of finishing it would
/// make a whole out of a part.
#[derive(Debug)]
pub(crate) struct SendStream {
    kind: SendKind,
    open: bool,
}

impl Drop for SendStream {
    fn drop(&mut self) {
        if self.open {
            self.reset(StreamCode::SESSION_CLOSED);
        }
    }
}

#[derive(Debug)]
enum SendKind {
    Quic(quinn::SendStream, CodeSpace),
    WebTransport(web_transport_quinn::SendStream),
}

/// Why a write failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteFailed {
    /// The peer sent STOP_SENDING.
    Stopped(StreamCode),
    /// The stream or the connection is closed.
    Closed,
}

impl SendStream {
    pub(super) fn opened(stream: quinn::SendStream, space: CodeSpace) -> Self {
        Self {
            kind: SendKind::Quic(stream, space),
            open: true,
        }
    }

    pub(super) fn accepted(stream: web_transport_quinn::SendStream) -> Self {
        Self {
            kind: SendKind::WebTransport(stream),
            open: true,
        }
    }

    /// Give the transport as much of `chunks` as it takes now; written chunks are left empty. Ready with the number of chunks
    /// written in full; pending (and woken later) when it takes nothing.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<usize, WriteFailed>> {
        match &mut self.kind {
            SendKind::Quic(stream, space) => {
                let space = *space;
                pin!(stream.write_chunks(chunks))
                    .poll(cx)
                    .map(|result| match result {
                        Ok(written) => Ok(written.chunks),
                        Err(quinn::WriteError::Stopped(code)) => {
                            Err(WriteFailed::Stopped(space.decode(code)))
                        }
                        Err(_) => Err(WriteFailed::Closed),
                    })
            }
            SendKind::WebTransport(stream) => {
                pin!(stream.write_chunks(chunks))
                    .poll(cx)
                    .map(|result| match result {
                        Ok(written) => Ok(written.chunks),
                        Err(web_transport_quinn::WriteError::Stopped(code)) => {
                            Err(WriteFailed::Stopped(StreamCode::from(u64::from(code))))
                        }
                        Err(_) => Err(WriteFailed::Closed),
                    })
            }
        }
    }

    /// Send order among streams: higher first.
    pub(crate) fn set_priority(&self, priority: i32) {
        // A closed stream has no priority to set; its next write says so.
        let _closed = match &self.kind {
            SendKind::Quic(stream, _) => stream.set_priority(priority).is_err(),
            SendKind::WebTransport(stream) => stream.set_priority(priority).is_err(),
        };
    }

    /// End the stream after what was written.
    pub(crate) fn finish(&mut self) {
        self.open = false;
        let _closed = match &mut self.kind {
            SendKind::Quic(stream, _) => stream.finish().is_err(),
            SendKind::WebTransport(stream) => stream.finish().is_err(),
        };
    }

    /// Abandon the stream.
    pub(crate) fn reset(&mut self, code: StreamCode) {
        self.open = false;
        let _closed = match &mut self.kind {
            SendKind::Quic(stream, space) => stream.reset(space.encode(code)).is_err(),
            SendKind::WebTransport(stream) => {
                stream.reset(u32::try_from(u64::from(code)).unwrap_or(0)).is_err()
            }
        };
    }

    /// Wait until the peer has acknowledged everything including the end (`None`), or stopped the stream. Cancel-safe.
    /// Ready at once with `None` when the connection is gone.
    pub(crate) async fn stopped(&self) -> Option<StreamCode> {
        match &self.kind {
            SendKind::Quic(stream, space) => stream
                .stopped()
                .await
                .ok()
                .flatten()
                .map(|code| space.decode(code)),
            SendKind::WebTransport(stream) => stream
                .stopped()
                .await
                .ok()
                .flatten()
                .map(|code| StreamCode::from(u64::from(code))),
        }
    }

    /// Like [`Self::stopped`], for a stream that we opened, without borrowing it.
    pub(crate) fn watch(&self) -> Option<impl Future<Output = ()> + Send + Sync + 'static> {
        match &self.kind {
            SendKind::Quic(stream, _) => {
                let stopped = stream.stopped();
                Some(async move {
                    // However it ended, nothing more is to be waited for.
                    let _gone = stopped.await.is_err();
                })
            }
            SendKind::WebTransport(_) => None,
        }
    }
}

/// The receiving half of a stream.
#[derive(Debug)]
pub(crate) enum RecvStream {
    Quic(quinn::RecvStream, CodeSpace),
    WebTransport(web_transport_quinn::RecvStream),
}

/// How a stream goes on.
#[derive(Debug)]
pub(crate) enum Read {
    /// Next bytes.
    Data(Bytes),
    /// The peer finished the stream.
    Fin,
    /// The peer reset the stream.
    Reset(StreamCode),
    /// The connection is gone.
    Closed,
}

impl Read {
    fn failed(error: &quinn::ReadError, space: CodeSpace) -> Self {
        match error {
            quinn::ReadError::Reset(code) => Self::Reset(space.decode(*code)),
            _ => Self::Closed,
        }
    }

    fn web_failed(error: &web_transport_quinn::ReadError) -> Self {
        match error {
            web_transport_quinn::ReadError::Reset(code) => Self::Reset(StreamCode::from(u64::from(*code))),
            web_transport_quinn::ReadError::InvalidReset(_) => Self::Reset(StreamCode::INTERNAL_ERROR),
            _ => Self::Closed,
        }
    }
}

/// Most bytes taken from a stream at a time.
const READ_BYTES: usize = 64 * 1024;
/// Pieces gathered at a time: mostly each is what one packet brought, so together about as much.
const READ_PIECES: usize = 48;

impl RecvStream {
    /// Next bytes or end of the stream. Cancel-safe.
    ///
    /// What is there comes as one piece in a buffer of its own, up to 64 KiB: packets share theirs with all that the system gave at
    /// once, whosever they are. And quinn looks for what it has to send among the pieces of a stream from the first one on.
    pub(crate) async fn read(&mut self) -> Read {
        poll_fn(|cx| {
            let mut pieces = [const { Bytes::new() }; READ_PIECES];
            let mut room = READ_BYTES;
            let mut count = 0;
            for piece in &mut pieces {
                if room == 0 {
                    break;
                }
                match self.poll_read(cx, room) {
                    Poll::Ready(Read::Data(bytes)) => *piece = bytes,
                    // It is told again the next time.
                    Poll::Ready(_) | Poll::Pending if count > 0 => break,
                    end => return end,
                }
                room = room.saturating_sub(piece.len());
                count += 1;
            }
            let gathered = pieces.get(..count).unwrap_or_default().concat();
            Poll::Ready(Read::Data(gathered.into()))
        })
        .await
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<Read> {
        pin!(self.read_up_to(max)).poll(cx)
    }

    /// The next piece as it came, at most `max` bytes: what is not read counts against the peer's flow control.
    pub(crate) async fn read_up_to(&mut self, max: usize) -> Read {
        let read = match self {
            Self::Quic(stream, space) => stream
                .read_chunk(max, true)
                .await
                .map_err(|error| Read::failed(&error, *space)),
            Self::WebTransport(stream) => stream
                .read_chunk(max, true)
                .await
                .map_err(|error| Read::web_failed(&error)),
        };
        match read {
            Ok(Some(chunk)) => Read::Data(chunk.bytes),
            Ok(None) => Read::Fin,
            Err(end) => end,
        }
    }

    /// Ask the peer to stop sending.
    pub(crate) fn stop(&mut self, code: StreamCode) {
        let _closed = match self {
            Self::Quic(stream, space) => stream.stop(space.encode(code)).is_err(),
            Self::WebTransport(stream) => stream.stop(u32::try_from(u64::from(code)).unwrap_or(0)).is_err(),
        };
    }
}
