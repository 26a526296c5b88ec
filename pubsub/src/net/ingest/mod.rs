//! Streams and datagrams of the peer: found out what they are, then read into a [`Sink`].

mod fetch;
mod opening;
mod subgroup;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tracing::debug;

use super::{
    queue::ObjectSender,
    reader::ReceivedObject,
    session::{DataEvent, Handler, SessionHandle},
    transport::{Read, RecvStream},
};
use crate::{
    session::{AliasState, RequestKey},
    track::{Fill, Malformed, Source, SourceError},
    wire::{
        DecodeError, GroupOrder, SessionCode, StreamCode,
        data::{Datagram, DatagramKind},
    },
};

use opening::Opening;

/// How long a data stream may wait for the control message that makes its alias or Request ID known.
const UNKNOWN_PATIENCE: Duration = Duration::from_secs(3);
/// How long a stream may take to say what it is and whose.
const HEADER_PATIENCE: Duration = Duration::from_secs(5);
/// Bytes read of a stream before it is known whose it is; the rest stays under flow control.
const FIRST_READ: usize = 512;

/// Where the objects of a subscription go.
#[derive(Clone, Debug)]
pub enum Sink {
    /// Into a track that others read from.
    Track(Arc<Source>),
    /// To one reader; a full queue holds the peer's streams back.
    Reader(ObjectSender),
}

/// Where the objects of a FETCH go.
#[derive(Debug)]
pub enum FillSink {
    /// Into a track that others read from.
    Track(Fill, GroupOrder),
    /// To one reader; a full queue holds the peer's stream back.
    Reader(ObjectSender, GroupOrder),
}

/// Why a stream was given up.
enum Fault {
    /// The bytes break the protocol: the session ends.
    Session(DecodeError),
    /// The objects break the rules of tracks: the subscription ends.
    Track(RequestKey, Malformed),
    /// Nobody wants the stream.
    Unwanted(StreamCode),
    /// The connection is gone.
    Closed,
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        Self::Session(error)
    }
}

impl Fault {
    /// What a track says of the bytes of one of its sources.
    fn source(key: RequestKey, error: SourceError) -> Self {
        match error {
            SourceError::Malformed(malformed) => Self::Track(key, malformed),
            SourceError::Session(error) => Self::Session(error),
            // Our limit, not the track's fault: the others of its objects go on.
            _ => Self::Unwanted(StreamCode::EXCESSIVE_LOAD),
        }
    }
}

/// Read one unidirectional stream of the peer to its end. Only the control stream is given back, to be read on: its task is
/// as old as the session, and this one has room for any kind of stream.
pub(crate) async fn uni(
    handle: SessionHandle,
    handler: Arc<dyn Handler>,
    mut stream: RecvStream,
) -> Option<ControlStream> {
    let opening = tokio::time::timeout(HEADER_PATIENCE, opening::open(&handle, &mut stream))
        .await
        .unwrap_or(Err(Fault::Unwanted(StreamCode::CANCELLED)));
    let result = match opening {
        Ok(opening) => {
            let held = opening.held();
            match opening {
                Opening::Control(bytes) => return ControlStream::begin(&handle, stream, bytes),
                Opening::Subgroup(reader, header) => {
                    subgroup::read(&handle, &*handler, &mut stream, reader, header, held).await
                }
                Opening::Fetch { seen, request_id } => {
                    fetch::read(&handle, &*handler, &mut stream, seen, request_id, held).await
                }
                Opening::Padding => discard(&mut stream).await,
                Opening::Nothing => Ok(()),
            }
        }
        Err(fault) => Err(fault),
    };
    match result {
        Ok(()) | Err(Fault::Closed) => {}
        Err(Fault::Session(error)) => {
            handle.close(error.code(), &error.to_string());
        }
        Err(Fault::Track(key, malformed)) => {
            stream.stop(StreamCode::MALFORMED_TRACK);
            handler.data(
                &handle,
                DataEvent::Malformed {
                    key,
                    reason: malformed.to_string(),
                },
            );
        }
        Err(Fault::Unwanted(code)) => stream.stop(code),
    }
    None
}

/// The peer's control stream, which has begun.
pub(crate) struct ControlStream(RecvStream);

impl ControlStream {
    /// Hands on its first bytes at once, since requests may have come with them; `None` if it is the second.
    fn begin(handle: &SessionHandle, stream: RecvStream, bytes: Bytes) -> Option<Self> {
        if std::mem::replace(&mut handle.shared.core().controlled, true) {
            handle.close(SessionCode::PROTOCOL_VIOLATION, "a second control stream");
            return None;
        }
        Self::hand_on(handle, bytes);
        Some(Self(stream))
    }

    /// Reads it to its end.
    pub(crate) async fn read(mut self, handle: SessionHandle) {
        loop {
            match self.0.read().await {
                Read::Data(bytes) => Self::hand_on(&handle, bytes),
                Read::Fin | Read::Reset(_) => {
                    handle.act(|session, _| session.recv_control_closed());
                    handle.shared.routes.notify_waiters();
                    return;
                }
                Read::Closed => return,
            }
        }
    }

    fn hand_on(handle: &SessionHandle, bytes: Bytes) {
        handle.act(|session, now| session.recv_control(now, bytes));
        // Whatever SETUP or GOAWAY changed, streams that waited may look again.
        handle.shared.routes.notify_waiters();
    }
}

async fn discard(stream: &mut RecvStream) -> Result<(), Fault> {
    while let Read::Data(_) = stream.read().await {}
    Ok(())
}

/// Wait for `find` to know the answer, as long as patience lasts and there is room for the `held` bytes of the stream.
async fn wait_for<T>(
    handle: &SessionHandle,
    held: usize,
    mut find: impl FnMut() -> Result<Option<T>, Fault>,
) -> Result<T, Fault> {
    if let Some(found) = find()? {
        return Ok(found);
    }
    let _held = Held::new(handle, held)?;
    let search = async {
        loop {
            let changed = handle.shared.routes.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = find()? {
                return Ok(found);
            }
            changed.await;
        }
    };
    tokio::time::timeout(UNKNOWN_PATIENCE, search)
        .await
        .unwrap_or(Err(Fault::Unwanted(StreamCode::CANCELLED)))
}

/// Counts bytes as waiting while it lives.
struct Held<'a> {
    handle: &'a SessionHandle,
    bytes: usize,
}

impl<'a> Held<'a> {
    fn new(handle: &'a SessionHandle, bytes: usize) -> Result<Self, Fault> {
        if handle.shared.core().hold(bytes) {
            Ok(Self { handle, bytes })
        } else {
            Err(Fault::Unwanted(StreamCode::EXCESSIVE_LOAD))
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.handle.shared.core().let_go(self.bytes);
    }
}

fn find_sink(handle: &SessionHandle, alias: u64) -> Result<Option<(RequestKey, Sink)>, Fault> {
    let core = handle.shared.core();
    match core.session.alias(alias) {
        AliasState::Live(key) | AliasState::Ending(key) => Ok(core.sink(key).map(|sink| (key, sink))),
        AliasState::Retired => Err(Fault::Unwanted(StreamCode::CANCELLED)),
        AliasState::Unknown => Ok(None),
    }
}

/// A datagram of the peer. One whose alias is not known yet is dropped, as datagrams may be.
pub(crate) fn datagram(handle: &SessionHandle, handler: &dyn Handler, bytes: Bytes) {
    let datagram = match Datagram::decode(bytes, handle.transport().version()) {
        Ok(DatagramKind::Object(datagram)) => datagram,
        Ok(DatagramKind::Padding) => return,
        Err(error) => return handle.close(error.code(), &error.to_string()),
    };
    match find_sink(handle, datagram.track_alias) {
        Ok(Some((key, Sink::Track(source)))) => {
            handle.shared.received.add(1, datagram.payload.len() as u64);
            match source.datagram(handle.now(), &datagram) {
                Ok(()) => {}
                Err(SourceError::Malformed(malformed)) => {
                    let reason = malformed.to_string();
                    handler.data(handle, DataEvent::Malformed { key, reason });
                }
                Err(SourceError::Session(error)) => handle.close(error.code(), &error.to_string()),
                Err(error) => debug!(%error, "datagram dropped"),
            }
        }
        Ok(Some((_, Sink::Reader(queue)))) => {
            // A reader that is behind loses datagrams, which may be lost anyway.
            let _full = queue.try_send(ReceivedObject::from(datagram)).is_err();
        }
        Ok(None) | Err(_) => debug!(
            alias = datagram.track_alias,
            "datagram for an unknown track dropped"
        ),
    }
}
