//! What a stream of the peer is, and whose: as much of it is read as says so.

use bytes::Bytes;

use super::{FIRST_READ, Fault};
use crate::{
    net::{
        session::SessionHandle,
        transport::{Read, RecvStream},
    },
    wire::{
        GroupOrder, StreamCode,
        data::{FetchEvent, FetchReader, StreamType, SubgroupEvent, SubgroupHeader, SubgroupReader},
    },
};

/// What a stream turned out to be.
pub(super) enum Opening {
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
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Fetch { seen, .. } => seen.iter().map(Bytes::len).sum(),
            Self::Subgroup(..) => FIRST_READ,
            Self::Control(_) | Self::Padding | Self::Nothing => 0,
        }
    }
}

/// Read until it is known what the stream is and whose.
pub(super) async fn open(handle: &SessionHandle, stream: &mut RecvStream) -> Result<Opening, Fault> {
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
