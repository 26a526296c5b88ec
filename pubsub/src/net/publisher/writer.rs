//! Writing a track: groups, subgroups, objects, datagrams (draft section "Object Data Model").

use bytes::Bytes;

use super::PublishedTrack;
use crate::{
    net::Clock,
    track::{self, Source, SourceError},
    wire::{
        Location, Properties, PublishDoneCode,
        data::{Datagram, ObjectStatus, SubgroupHeader, SubgroupId, SubgroupObject},
        property::{PropertyValue, kind},
    },
};

/// Appends to a track. Made by [`PublishedTrack::writer`].
///
/// Every write fails with [`SourceError::Malformed`] if it contradicts what was written before, and the track is over then:
/// an object after its group's end, two objects of one location, a priority that changes inside a subgroup.
#[derive(Debug)]
pub struct TrackWriter {
    published: PublishedTrack,
    source: Source,
    clock: Clock,
    last_group: Option<u64>,
}

/// What the end of a subgroup's stream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The subgroup is complete.
    Subgroup,
    /// The subgroup is complete, and its last object is the last of the group.
    Group,
}

impl TrackWriter {
    pub(super) fn new(published: PublishedTrack, clock: Clock) -> Self {
        Self {
            source: published.track.source(),
            published,
            clock,
            last_group: None,
        }
    }

    /// The track.
    pub const fn published(&self) -> &PublishedTrack {
        &self.published
    }

    /// Begin a group whose objects all belong to subgroup 0 and are numbered from 0.
    ///
    /// # Errors
    /// The track is malformed.
    pub fn group(&mut self, id: u64) -> Result<GroupWriter, SourceError> {
        let subgroup = self.open(id, SubgroupId::Zero, None, StreamEnd::Group)?;
        Ok(GroupWriter {
            subgroup,
            next: 0,
            gap: None,
        })
    }

    /// Begin the next group, numbered by the wall clock: `unix_ms`, or one more than the last group if that is not larger. A
    /// publisher that comes back after a restart so continues above its old groups. The IDs in between are declared never to
    /// exist, on the group's first object, so that nobody waits for them.
    ///
    /// # Errors
    /// The track is malformed.
    pub fn append_group(&mut self, unix_ms: u64) -> Result<GroupWriter, SourceError> {
        let last = self.last_group;
        let id = last.map_or(unix_ms, |last| unix_ms.max(last.saturating_add(1)));
        let gap = last
            .map(|last| id.saturating_sub(last).saturating_sub(1))
            .filter(|&gap| gap > 0);
        Ok(GroupWriter {
            gap,
            ..self.group(id)?
        })
    }

    /// Begin a subgroup, on a stream of its own. `priority`: lower is more urgent; `None`: the track's default.
    ///
    /// # Errors
    /// The track is malformed.
    pub fn subgroup(
        &mut self,
        group: u64,
        id: u64,
        priority: Option<u8>,
        end: StreamEnd,
    ) -> Result<SubgroupWriter, SourceError> {
        self.open(group, SubgroupId::Explicit(id), priority, end)
    }

    fn open(
        &mut self,
        group: u64,
        subgroup: SubgroupId,
        priority: Option<u8>,
        end: StreamEnd,
    ) -> Result<SubgroupWriter, SourceError> {
        let header = SubgroupHeader {
            track_alias: 0,
            group,
            subgroup,
            priority,
            has_properties: true,
            end_of_group: end == StreamEnd::Group,
            first_object: true,
        };
        let stream = self.source.subgroup(self.clock.now(), &header)?;
        self.begin(group);
        Ok(SubgroupWriter {
            stream,
            clock: self.clock,
            group,
        })
    }

    fn begin(&mut self, group: u64) {
        if self.last_group.is_none_or(|last| group > last) {
            self.last_group = Some(group);
            self.published.group_began();
        }
    }

    /// Write an object that is sent as a datagram, and dropped where it does not fit into one (about 1200 bytes are safe).
    ///
    /// # Errors
    /// See [`SourceError`].
    pub fn datagram(
        &mut self,
        location: Location,
        priority: Option<u8>,
        properties: Properties,
        payload: Bytes,
    ) -> Result<(), SourceError> {
        let datagram = Datagram {
            track_alias: 0,
            group: location.group,
            object: location.object,
            priority,
            end_of_group: false,
            properties,
            status: ObjectStatus::Normal,
            payload,
        };
        self.source.datagram(self.clock.now(), &datagram)?;
        self.begin(location.group);
        Ok(())
    }

    /// Wait until a subscriber asks for a new group, which only subscribers of tracks with DYNAMIC_GROUPS may. Gives the group
    /// wanted at least, or 0. Heard again until a group begins.
    ///
    /// Cancel-safe.
    pub async fn new_group_requested(&self) -> u64 {
        let mut wanted = self.published.wanted.subscribe();
        loop {
            if let Some(group) = *wanted.borrow_and_update() {
                return group;
            }
            if wanted.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// End the track: subscribers get what is still due, then PUBLISH_DONE with TRACK_ENDED.
    pub fn end_track(self) {
        self.published
            .track
            .end(PublishDoneCode::TRACK_ENDED, "the track has ended");
    }
}

/// Writes the objects of a group in order. Dropped without [`GroupWriter::finish`], the group is left open: its stream is reset
/// for subscribers.
#[derive(Debug)]
pub struct GroupWriter {
    subgroup: SubgroupWriter,
    next: u64,
    /// Prior Group ID Gap for the first object.
    gap: Option<u64>,
}

impl GroupWriter {
    /// Group ID.
    pub const fn id(&self) -> u64 {
        self.subgroup.group
    }

    /// Write an object.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub fn object(&mut self, properties: Properties, payload: Bytes) -> Result<Location, SourceError> {
        let properties = self.with_gap(properties);
        let location = self.subgroup.object(self.next, properties, payload)?;
        self.next += 1;
        Ok(location)
    }

    /// Begin an object whose payload of `len` bytes comes in chunks; subscribers get each as it is written.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub fn begin_object(
        &mut self,
        properties: Properties,
        len: u64,
    ) -> Result<ObjectWriter<'_>, SourceError> {
        let properties = self.with_gap(properties);
        let id = self.next;
        self.next += 1;
        self.subgroup.begin_object(id, properties, len)
    }

    /// The first object tells of the IDs that were left out. Properties that cannot be read are left for the track to refuse.
    fn with_gap(&mut self, properties: Properties) -> Properties {
        let Some(gap) = self.gap.take() else {
            return properties;
        };
        let mut builder = Properties::builder().int(kind::PRIOR_GROUP_ID_GAP, gap);
        for property in properties.iter() {
            let Ok(property) = property else { return properties };
            builder = match property.value {
                PropertyValue::Int(value) => builder.int(property.kind, value),
                PropertyValue::Bytes(value) => builder.bytes(property.kind, Bytes::copy_from_slice(value)),
            };
        }
        builder.build().unwrap_or(properties)
    }

    /// The group is complete.
    ///
    /// # Errors
    /// An object is incomplete; see also [`SourceError`].
    pub fn finish(self) -> Result<(), SourceError> {
        self.subgroup.finish()
    }
}

/// Writes the objects of a subgroup, in ascending order. Dropped without [`SubgroupWriter::finish`], its stream is reset for
/// subscribers.
#[derive(Debug)]
pub struct SubgroupWriter {
    stream: track::SubgroupWriter,
    clock: Clock,
    group: u64,
}

impl SubgroupWriter {
    /// Write an object.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub fn object(
        &mut self,
        id: u64,
        properties: Properties,
        payload: Bytes,
    ) -> Result<Location, SourceError> {
        let mut object = self.begin_object(id, properties, payload.len() as u64)?;
        object.chunk(payload)?;
        Ok(object.location())
    }

    /// Begin an object whose payload of `len` bytes comes in chunks; subscribers get each as it is written.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub fn begin_object(
        &mut self,
        id: u64,
        properties: Properties,
        len: u64,
    ) -> Result<ObjectWriter<'_>, SourceError> {
        let object = SubgroupObject {
            id,
            properties,
            payload_len: len,
            status: ObjectStatus::Normal,
        };
        self.stream.object(self.clock.now(), &object)?;
        Ok(ObjectWriter {
            location: Location::new(self.group, id),
            subgroup: self,
            left: len,
        })
    }

    /// The subgroup is complete.
    ///
    /// # Errors
    /// An object is incomplete; see also [`SourceError`].
    pub fn finish(self) -> Result<(), SourceError> {
        self.stream.fin(self.clock.now())
    }
}

/// Writes the payload of one object. It is complete with its last byte; nothing is to be called then.
#[derive(Debug)]
pub struct ObjectWriter<'a> {
    subgroup: &'a mut SubgroupWriter,
    location: Location,
    left: u64,
}

impl ObjectWriter<'_> {
    /// Append to the payload.
    ///
    /// # Errors
    /// More bytes than announced: the track is malformed then. See also [`SourceError`].
    pub fn chunk(&mut self, bytes: Bytes) -> Result<(), SourceError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.left = self.left.saturating_sub(bytes.len() as u64);
        self.subgroup.stream.payload(self.subgroup.clock.now(), bytes)
    }

    /// Bytes still missing.
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// Where the object is.
    pub const fn location(&self) -> Location {
        self.location
    }
}
