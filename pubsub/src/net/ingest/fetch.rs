//! A fetch stream, read to its end.

use bytes::Bytes;

use super::{Fault, FillSink, wait_for};
use crate::{
    net::{
        queue::ObjectSender,
        reader::Assembler,
        session::{DataEvent, Handler, SessionHandle},
        transport::{Read, RecvStream},
    },
    session::RequestKey,
    track::Fill,
    wire::{
        StreamCode,
        data::{FetchEvent, FetchReader},
    },
};

/// Read a fetch stream into the sink of its FETCH.
pub(super) async fn read(
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
