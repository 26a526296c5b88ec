//! A server's data streams, read as they come: objects of a subscription, or of a fetch.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use headwater_pubsub::wire::data::{FetchEvent, FetchReader, ObjectStatus, SubgroupEvent, SubgroupReader};
use headwater_pubsub::wire::{GroupOrder, Location, Version};

use super::pattern::Head;

/// A control stream begins with SETUP.
const SETUP: u8 = 0xaf;
/// A fetch stream with FETCH_HEADER.
const FETCH: u8 = 0x05;

/// Gives each whole object to `take`: where it lies, what its payload begins with, and its length.
pub(super) async fn read(
    mut stream: quinn::RecvStream,
    take: &mut impl FnMut(Location, Head, u64),
) -> Result<()> {
    let Some(chunk) = stream.read_chunk(usize::MAX, true).await? else {
        return Ok(());
    };
    let mut objects = Objects::default();
    match chunk.bytes.first() {
        Some(&SETUP) => while stream.read_chunk(usize::MAX, true).await?.is_some() {},
        Some(&FETCH) => {
            let mut reader = FetchReader::new(Version::Draft18, GroupOrder::Ascending);
            let mut next = Some(chunk);
            while let Some(chunk) = next {
                reader.push(chunk.bytes);
                while let Some(event) = reader.poll()? {
                    match event {
                        FetchEvent::Object(fields) => objects.begin(fields.location, fields.payload_len),
                        FetchEvent::Payload(bytes) => objects.go_on(&bytes, take)?,
                        _ => {}
                    }
                }
                next = stream.read_chunk(usize::MAX, true).await?;
            }
        }
        _ => {
            let mut reader = SubgroupReader::new(Version::Draft18);
            let mut group = 0;
            let mut next = Some(chunk);
            while let Some(chunk) = next {
                reader.push(chunk.bytes);
                while let Some(event) = reader.poll()? {
                    match event {
                        SubgroupEvent::Header(header) => group = header.group,
                        SubgroupEvent::Object(fields) if fields.status == ObjectStatus::Normal => {
                            objects.begin(Location::new(group, fields.id), fields.payload_len);
                        }
                        SubgroupEvent::Object(_) => {}
                        SubgroupEvent::Payload(bytes) => objects.go_on(&bytes, take)?,
                    }
                }
                next = stream.read_chunk(usize::MAX, true).await?;
            }
        }
    }
    Ok(())
}

/// The object of a stream that arrives.
#[derive(Default)]
struct Objects {
    at: Location,
    len: u64,
    left: u64,
    head: Vec<u8>,
}

impl Objects {
    fn begin(&mut self, at: Location, len: u64) {
        (self.at, self.len, self.left) = (at, len, len);
        self.head.clear();
    }

    fn go_on(&mut self, bytes: &Bytes, take: &mut impl FnMut(Location, Head, u64)) -> Result<()> {
        let missing = Head::LEN.saturating_sub(self.head.len());
        self.head.extend(bytes.iter().take(missing));
        self.left = self
            .left
            .saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if self.left == 0 {
            let head = Head::decode(&self.head).context("a payload without a head")?;
            take(self.at, head, self.len);
        }
        Ok(())
    }
}
