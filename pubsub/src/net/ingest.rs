//! Streams and datagrams of the peer: found out what they are, then read into a [`Sink`].

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tracing::debug;

use super::{
    queue::ObjectSender,
    session::{DataEvent, Handler, SessionHandle, StreamChange},
    transport::{Read, RecvStream},
};
use crate::{
    session::{AliasState, RequestKey},
    track::{Fill, Malformed, Source, SourceError, SubgroupWriter},
    wire::{
        DecodeError, GroupOrder, SessionCode, StreamCode,
        data::{
            Datagram, DatagramKind, FetchEvent, FetchReader, StreamType, SubgroupEvent, SubgroupHeader,
            SubgroupReader,
        },
    },
};

use super::reader::{Assembler, ReceivedObject};

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

/// What a stream turned out to be.
enum Opening {
    Control(Bytes),
    Subgroup(SubgroupReader, SubgroupHeader),
    /// With everything that was read so far: the header comes before anything that depends on the group order.
    Fetch {
        seen: Vec<Bytes>,
        request_id: u64,
    },
    Padding,
    /// It ended before it said so.
    Nothing,
}

impl Opening {
    /// Bytes that are kept while its owner is not known.
    fn held(&self) -> usize {
        match self {
            Self::Fetch { seen, .. } => seen.iter().map(Bytes::len).sum(),
            Self::Subgroup(..) => FIRST_READ,
            Self::Control(_) | Self::Padding | Self::Nothing => 0,
        }
    }
}

/// Read one unidirectional stream of the peer to its end.
pub(crate) async fn uni(handle: SessionHandle, handler: Arc<dyn Handler>, mut stream: RecvStream) {
    let opening = tokio::time::timeout(HEADER_PATIENCE, open(&handle, &mut stream))
        .await
        .unwrap_or(Err(Fault::Unwanted(StreamCode::CANCELLED)));
    let result = match opening {
        Ok(opening) => {
            let held = opening.held();
            match opening {
                Opening::Control(bytes) => control(&handle, &mut stream, bytes).await,
                Opening::Subgroup(reader, header) => {
                    subgroup(&handle, &*handler, &mut stream, reader, header, held).await
                }
                Opening::Fetch { seen, request_id } => {
                    fetch(&handle, &*handler, &mut stream, seen, request_id, held).await
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
}

/// Read until it is known what the stream is and whose.
async fn open(handle: &SessionHandle, stream: &mut RecvStream) -> Result<Opening, Fault> {
    let mut head = bytes::BytesMut::new();
    let (kind, bytes) = loop {
        let Read::Data(bytes) = stream.read_up_to(FIRST_READ).await else {
            return Ok(Opening::Nothing);
        };
        if head.is_empty()
            && let Some((kind, _)) = StreamType::decode(&bytes)?
        {
            break (kind, bytes);
        }
        head.extend_from_slice(&bytes);
        if let Some((kind, _)) = StreamType::decode(&head)? {
            break (kind, head.freeze());
        }
    };
    match kind {
        StreamType::Control => Ok(Opening::Control(bytes)),
        StreamType::Padding => Ok(Opening::Padding),
        StreamType::Subgroup(_) => open_subgroup(handle, stream, bytes).await,
        StreamType::Fetch => open_fetch(handle, stream, bytes).await,
    }
}

async fn open_subgroup(
    handle: &SessionHandle,
    stream: &mut RecvStream,
    bytes: Bytes,
) -> Result<Opening, Fault> {
    let mut reader = SubgroupReader::new(handle.transport().version());
    reader.push(bytes);
    loop {
        match reader.poll()? {
            Some(SubgroupEvent::Header(header)) => return Ok(Opening::Subgroup(reader, header)),
            Some(_) => return Err(Fault::Unwanted(StreamCode::INTERNAL_ERROR)),
            None => match stream.read_up_to(FIRST_READ).await {
                Read::Data(bytes) => reader.push(bytes),
                Read::Fin => {
                    reader.finish()?;
                    return Ok(Opening::Nothing);
                }
                Read::Reset(_) => return Ok(Opening::Nothing),
                Read::Closed => return Err(Fault::Closed),
            },
        }
    }
}

async fn open_fetch(handle: &SessionHandle, stream: &mut RecvStream, bytes: Bytes) -> Result<Opening, Fault> {
    let mut probe = FetchReader::new(handle.transport().version(), GroupOrder::Ascending);
    let mut seen = vec![bytes.clone()];
    probe.push(bytes);
    loop {
        match probe.poll()? {
            Some(FetchEvent::Header { request_id }) => return Ok(Opening::Fetch { seen, request_id }),
            Some(_) => return Err(Fault::Unwanted(StreamCode::INTERNAL_ERROR)),
            None => match stream.read_up_to(FIRST_READ).await {
                Read::Data(bytes) => {
                    seen.push(bytes.clone());
                    probe.push(bytes);
                }
                Read::Fin => {
                    probe.finish()?;
                    return Ok(Opening::Nothing);
                }
                Read::Reset(_) => return Ok(Opening::Nothing),
                Read::Closed => return Err(Fault::Closed),
            },
        }
    }
}

async fn control(handle: &SessionHandle, stream: &mut RecvStream, bytes: Bytes) -> Result<(), Fault> {
    if std::mem::replace(&mut handle.shared.core().controlled, true) {
        handle.close(SessionCode::PROTOCOL_VIOLATION, "a second control stream");
        return Ok(());
    }
    let mut next = Read::Data(bytes);
    loop {
        match next {
            Read::Data(bytes) => handle.act(|session, now| session.recv_control(now, bytes)),
            Read::Fin | Read::Reset(_) => {
                handle.act(|session, _| session.recv_control_closed());
                return Ok(());
            }
            Read::Closed => return Err(Fault::Closed),
        }
        // Whatever SETUP or GOAWAY changed, streams that waited may look again.
        handle.shared.routes.notify_waiters();
        next = stream.read().await;
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

async fn subgroup(
    handle: &SessionHandle,
    handler: &dyn Handler,
    stream: &mut RecvStream,
    reader: SubgroupReader,
    header: SubgroupHeader,
    held: usize,
) -> Result<(), Fault> {
    let (key, sink) = wait_for(handle, held, || find_sink(handle, header.track_alias)).await?;
    let _counted = Counted::new(handle, key);
    match sink {
        Sink::Track(source) => {
            let into = source
                .subgroup(handle.now(), &header)
                .map_err(|error| Fault::source(key, error))?;
            subgroup_into_track(handle, stream, reader, key, into).await
        }
        Sink::Reader(queue) => {
            let code = subgroup_into_reader(stream, reader, header, queue).await?;
            let group = header.group;
            handler.data(handle, DataEvent::StreamEnded { key, group, code });
            Ok(())
        }
    }
}

/// Counts a data stream as open while it lives.
struct Counted<'a> {
    handle: &'a SessionHandle,
    key: RequestKey,
}

impl<'a> Counted<'a> {
    fn new(handle: &'a SessionHandle, key: RequestKey) -> Self {
        handle.shared.core().count_stream(key, StreamChange::Came);
        Self { handle, key }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.handle
            .shared
            .core()
            .count_stream(self.key, StreamChange::Ended);
        self.handle.shared.driver.notify_one();
    }
}

async fn subgroup_into_track(
    handle: &SessionHandle,
    stream: &mut RecvStream,
    mut reader: SubgroupReader,
    key: RequestKey,
    mut into: SubgroupWriter,
) -> Result<(), Fault> {
    loop {
        let now = handle.now();
        while let Some(event) = reader.poll()? {
            match event {
                SubgroupEvent::Header(_) => Ok(()),
                SubgroupEvent::Object(object) => {
                    handle.shared.received.add(1, object.payload_len);
                    into.object(now, &object)
                }
                SubgroupEvent::Payload(bytes) => into.payload(now, bytes),
            }
            .map_err(|error| Fault::source(key, error))?;
        }
        match stream.read().await {
            Read::Data(bytes) => reader.push(bytes),
            Read::Fin => {
                reader.finish()?;
                return into.fin(handle.now()).map_err(|error| Fault::source(key, error));
            }
            Read::Reset(code) => {
                into.reset(handle.now(), code);
                return Ok(());
            }
            Read::Closed => {
                into.reset(handle.now(), StreamCode::SESSION_CLOSED);
                return Err(Fault::Closed);
            }
        }
    }
}

/// Read a subgroup stream to its end; gives the code if it was reset.
async fn subgroup_into_reader(
    stream: &mut RecvStream,
    mut reader: SubgroupReader,
    header: SubgroupHeader,
    queue: ObjectSender,
) -> Result<Option<StreamCode>, Fault> {
    let mut assembler = Assembler::subgroup(header);
    loop {
        while let Some(event) = reader.poll()? {
            if let Some(object) = assembler.subgroup_event(event)
                && queue.send(object).await.is_err()
            {
                return Err(Fault::Unwanted(StreamCode::CANCELLED));
            }
        }
        match stream.read().await {
            Read::Data(bytes) => reader.push(bytes),
            Read::Fin => {
                reader.finish()?;
                if let Some(end) = assembler.end_of_group() {
                    // A reader that left does not care for the end either.
                    let _left = queue.send(end).await.is_err();
                }
                return Ok(None);
            }
            Read::Reset(code) => {
                debug!(group = header.group, ?code, "subgroup reset");
                return Ok(Some(code));
            }
            Read::Closed => return Err(Fault::Closed),
        }
    }
}

async fn fetch(
    handle: &SessionHandle,
    handler: &dyn Handler,
    stream: &mut RecvStream,
    seen: Vec<Bytes>,
    request_id: u64,
    held: usize,
) -> Result<(), Fault> {
    let (key, sink) = wait_for(handle, held, || {
        let mut core = handle.shared.core();
        let key = core.session.fetch_key(request_id);
        Ok(key.and_then(|key| core.fills.remove(&key).map(|sink| (key, sink))))
    })
    .await?;
    let (mut into, order) = match sink {
        FillSink::Track(fill, order) => (FetchInto::Track(key, fill), order),
        FillSink::Reader(queue, order) => (FetchInto::Reader(Assembler::fetch(), queue), order),
    };
    let mut reader = FetchReader::new(handle.transport().version(), order);
    seen.into_iter().for_each(|bytes| reader.push(bytes));
    let mut result = fetch_into(handle, stream, reader, &mut into).await;
    if let Ok(true) = result {
        result = into.fin(handle).await.map(|()| true);
    }
    handle.act(|session, _| session.fetch_done(key));
    if let Err(Fault::Track(key, malformed)) = &result {
        let (key, reason) = (*key, malformed.to_string());
        handler.data(handle, DataEvent::Malformed { key, reason });
        stream.stop(StreamCode::MALFORMED_TRACK);
        return Ok(());
    }
    let complete = matches!(result, Ok(true));
    handler.data(handle, DataEvent::FillEnded { key, complete });
    result.map(|_| ())
}

/// Where a fetch stream goes.
enum FetchInto {
    Track(RequestKey, Fill),
    Reader(Assembler, ObjectSender),
}

impl FetchInto {
    async fn event(&mut self, handle: &SessionHandle, event: FetchEvent) -> Result<(), Fault> {
        match self {
            Self::Track(key, fill) => {
                let now = handle.now();
                let taken = match event {
                    FetchEvent::Header { .. } => Ok(()),
                    FetchEvent::Object(object) => fill.object(now, &object),
                    FetchEvent::Payload(bytes) => fill.payload(now, bytes),
                    FetchEvent::EndOfNonExistentRange(location) => {
                        fill.nonexistent(location);
                        Ok(())
                    }
                    FetchEvent::EndOfUnknownRange(location) => {
                        fill.unknown(location);
                        Ok(())
                    }
                };
                taken.map_err(|error| Fault::source(*key, error))
            }
            Self::Reader(assembler, queue) => {
                if let FetchEvent::EndOfUnknownRange(_) = event {
                    queue.unknown_range();
                }
                if let Some(object) = assembler.fetch_event(event)
                    && queue.send(object).await.is_err()
                {
                    return Err(Fault::Unwanted(StreamCode::CANCELLED));
                }
                Ok(())
            }
        }
    }

    /// The stream ended with FIN: what did not come up to the end that FETCH_OK gives does not exist.
    async fn fin(self, handle: &SessionHandle) -> Result<(), Fault> {
        let Self::Track(key, fill) = self else {
            return Ok(());
        };
        let end = wait_for(handle, 0, || Ok(handle.shared.core().take_fetch_end(key))).await?;
        fill.fin(handle.now(), end.end, end.end_of_track);
        Ok(())
    }
}

/// Read a fetch stream to its end; true if it ended with FIN.
async fn fetch_into(
    handle: &SessionHandle,
    stream: &mut RecvStream,
    mut reader: FetchReader,
    into: &mut FetchInto,
) -> Result<bool, Fault> {
    loop {
        while let Some(event) = reader.poll()? {
            into.event(handle, event).await?;
        }
        match stream.read().await {
            Read::Data(bytes) => reader.push(bytes),
            Read::Fin => {
                reader.finish()?;
                return Ok(true);
            }
            Read::Reset(_) => return Ok(false),
            Read::Closed => return Err(Fault::Closed),
        }
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
