//! A subgroup stream, read to its end.

use tracing::debug;

use super::{Fault, Sink, find_sink, wait_for};
use crate::{
    net::{
        queue::ObjectSender,
        reader::Assembler,
        session::{DataEvent, Handler, SessionHandle, StreamChange},
        transport::{Read, RecvStream},
    },
    session::RequestKey,
    track::SubgroupWriter,
    wire::{
        StreamCode,
        data::{SubgroupEvent, SubgroupHeader, SubgroupReader},
    },
};

/// Read a subgroup stream into the sink of its subscription.
pub(super) async fn read(
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
