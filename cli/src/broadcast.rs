//! The tracks of a publication, written group by group.
//!
//! Media: a track for each track of the source and both catalogs. Group IDs are wall-clock milliseconds, so a publisher
//! that starts over continues above its old groups; an audio group has the ID of the video group that it sounds
//! with. The catalogs are written again with each video group (without video: each audio group), so that a subscriber who
//! cannot fetch starts as well. The tracks keep their last groups, whatever session they are served on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater_pubsub::net::{Clock, GroupWriter, PublishedTrack, TrackWriter};
use headwater_pubsub::track::{Cache, CacheLimits, SourceError};
use headwater_pubsub::wire::property::kind;
use headwater_pubsub::wire::{Location, Properties};

use crate::exit::{Exit, Failure};
use crate::media::catalog::{Catalog, HANG_TRACK, MSF_TRACK};
use crate::media::package::Packet;
use crate::media::{MediaKind, TrackInfo};
use crate::target::Target;

/// Objects of media that are older than this need not be sent: a viewer who is further behind wants the present.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes kept of all tracks, for subscribers that come late and relays that restart. The last two groups stay in any case.
const KEPT: u64 = 64 << 20;
/// Groups kept in any case.
const KEPT_GROUPS: usize = 2;
/// Priorities of tracks: lower is sent first. What is small and needed most goes before what is large.
const CATALOG_PRIORITY: u64 = 64;
const AUDIO_PRIORITY: u64 = 96;
const VIDEO_PRIORITY: u64 = 128;
/// Video groups remembered so that audio can be given their IDs.
const REMEMBERED_GROUPS: usize = 64;

/// What was written so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Groups begun.
    pub groups: u64,
    /// Objects.
    pub objects: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

/// One track and its group in progress.
#[derive(Debug)]
pub struct Lane {
    writer: TrackWriter,
    group: Option<GroupWriter>,
}

impl Lane {
    /// A new track.
    ///
    /// # Errors
    /// The name is too long.
    fn new(
        target: &Target,
        name: &str,
        priority: u64,
        timeout: Option<Duration>,
        at: &Place,
    ) -> Result<Self, Failure> {
        let usage = |error: anyhow::Error| Failure::new(Exit::Usage, error);
        let mut properties = Properties::builder().int(kind::DEFAULT_PUBLISHER_PRIORITY, priority);
        if let Some(timeout) = timeout {
            let ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            properties = properties.int(kind::OBJECT_DELIVERY_TIMEOUT, ms);
        }
        let name = target.track(name).map_err(|error| usage(error.into()))?;
        let properties = properties.build().map_err(|error| usage(error.into()))?;
        let track = PublishedTrack::new(name, properties, &at.cache).map_err(|error| usage(error.into()))?;
        Ok(Self {
            writer: track.writer(at.clock),
            group: None,
        })
    }

    fn begin(&mut self, unix_ms: u64) -> Result<u64, SourceError> {
        self.finish_group()?;
        let group = self.writer.append_group(unix_ms)?;
        let id = group.id();
        self.group = Some(group);
        Ok(id)
    }

    fn object(&mut self, payload: Bytes) -> Result<Option<Location>, SourceError> {
        let group = self.group.as_mut();
        group
            .map(|group| group.object(Properties::default(), payload))
            .transpose()
    }

    fn finish_group(&mut self) -> Result<(), SourceError> {
        self.group.take().map_or(Ok(()), GroupWriter::finish)
    }

    fn end(mut self) -> Result<(), SourceError> {
        self.finish_group()?;
        self.writer.end_track();
        Ok(())
    }
}

/// Where tracks live.
struct Place {
    cache: Arc<Cache>,
    clock: Clock,
}

impl Place {
    fn new(clock: Clock) -> Self {
        let limits = CacheLimits {
            budget: KEPT,
            min_groups: KEPT_GROUPS,
            ..CacheLimits::default()
        };
        Self {
            cache: Cache::new(limits),
            clock,
        }
    }
}

/// The tracks of a media broadcast.
#[derive(Debug)]
pub struct Broadcast {
    lanes: Vec<(MediaKind, Lane)>,
    catalogs: [(Lane, Bytes); 2],
    /// The kind whose groups bring the catalogs.
    lead: MediaKind,
    /// Video groups: timestamp of their first packet and ID.
    groups: VecDeque<(u64, u64)>,
    written: Written,
}

impl Broadcast {
    /// Tracks for the media `tracks`, without objects yet.
    ///
    /// # Errors
    /// The tracks cannot be described, or their names are too long.
    pub fn new(target: &Target, tracks: &[TrackInfo], clock: Clock) -> Result<Self, Failure> {
        let place = Place::new(clock);
        let catalog = Catalog::of(tracks).map_err(|error| Failure::new(Exit::Input, error))?;
        let mut lanes = Vec::new();
        for track in &catalog.tracks {
            let priority = match track.kind {
                MediaKind::Video => VIDEO_PRIORITY,
                MediaKind::Audio => AUDIO_PRIORITY,
            };
            let lane = Lane::new(target, &track.name, priority, Some(DELIVERY_TIMEOUT), &place)?;
            lanes.push((track.kind, lane));
        }
        let describe = |name| Lane::new(target, name, CATALOG_PRIORITY, None, &place);
        let video = lanes.iter().any(|(kind, _)| *kind == MediaKind::Video);
        Ok(Self {
            catalogs: [
                (describe(MSF_TRACK)?, catalog.to_msf()),
                (describe(HANG_TRACK)?, catalog.to_hang()),
            ],
            lanes,
            lead: if video { MediaKind::Video } else { MediaKind::Audio },
            groups: VecDeque::new(),
            written: Written::default(),
        })
    }

    /// All tracks, to be served.
    #[must_use]
    pub fn tracks(&self) -> Vec<PublishedTrack> {
        let lanes = self.lanes.iter().map(|(_, lane)| lane);
        let all = lanes.chain(self.catalogs.iter().map(|(lane, _)| lane));
        all.map(|lane| lane.writer.published().clone()).collect()
    }

    /// What was written so far, catalogs not counted.
    #[must_use]
    pub const fn written(&self) -> Written {
        self.written
    }

    /// Writes a packet at the wall-clock time `unix_ms`. Packets of a track before its first group are dropped (`None`).
    ///
    /// # Errors
    /// The object is larger than what tracks take.
    pub fn push(&mut self, packet: Packet, unix_ms: u64) -> Result<Option<Location>, SourceError> {
        let Some((kind, lane)) = self.lanes.get_mut(packet.track) else {
            return Ok(None);
        };
        if packet.group_start {
            let beside = self
                .groups
                .iter()
                .rev()
                .find(|(start, _)| *start <= packet.timestamp);
            let id = match (*kind, beside) {
                (MediaKind::Audio, Some((_, id))) => lane.begin(*id)?,
                _ => lane.begin(unix_ms)?,
            };
            self.written.groups += 1;
            let lead = *kind == self.lead;
            if *kind == MediaKind::Video {
                if self.groups.len() == REMEMBERED_GROUPS {
                    self.groups.pop_front();
                }
                self.groups.push_back((packet.timestamp, id));
            }
            if lead {
                for (catalog, json) in &mut self.catalogs {
                    catalog.begin(id)?;
                    catalog.object(json.clone())?;
                    catalog.finish_group()?;
                }
            }
        }
        let bytes = packet.payload.len() as u64;
        let Some((_, lane)) = self.lanes.get_mut(packet.track) else {
            return Ok(None);
        };
        let location = lane.object(packet.payload)?;
        if location.is_some() {
            self.written.objects += 1;
            self.written.bytes += bytes;
        }
        Ok(location)
    }

    /// Ends all tracks.
    ///
    /// # Errors
    /// A track is malformed.
    pub fn end(self) -> Result<(), SourceError> {
        for (_, lane) in self.lanes {
            lane.end()?;
        }
        for (lane, _) in self.catalogs {
            lane.end()?;
        }
        Ok(())
    }
}

/// A track of lines: a group takes the lines of one second.
#[derive(Debug)]
pub struct Lines {
    lane: Lane,
    written: Written,
}

impl Lines {
    /// The track `name`, without objects yet. Its objects do not expire: nobody wants half of a conversation.
    ///
    /// # Errors
    /// The name is too long.
    pub fn new(target: &Target, name: &str, clock: Clock) -> Result<Self, Failure> {
        let lane = Lane::new(target, name, VIDEO_PRIORITY, None, &Place::new(clock))?;
        Ok(Self {
            lane,
            written: Written::default(),
        })
    }

    /// The track, to be served.
    #[must_use]
    pub fn tracks(&self) -> Vec<PublishedTrack> {
        vec![self.lane.writer.published().clone()]
    }

    /// What was written so far.
    #[must_use]
    pub const fn written(&self) -> Written {
        self.written
    }

    /// Whether a group is open, to be ended by [`Lines::end_group`] a second after it began.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.lane.group.is_some()
    }

    /// Writes a line at the wall-clock time `unix_ms`, into a new group if none is open.
    ///
    /// # Errors
    /// The line is larger than what tracks take.
    pub fn line(&mut self, line: Bytes, unix_ms: u64) -> Result<(), SourceError> {
        if !self.is_open() {
            self.lane.begin(unix_ms)?;
            self.written.groups += 1;
        }
        self.written.objects += 1;
        self.written.bytes += line.len() as u64;
        self.lane.object(line).map(|_location| ())
    }

    /// Ends the group in progress.
    ///
    /// # Errors
    /// The track is malformed.
    pub fn end_group(&mut self) -> Result<(), SourceError> {
        self.lane.finish_group()
    }

    /// Ends the track.
    ///
    /// # Errors
    /// The track is malformed.
    pub fn end(self) -> Result<(), SourceError> {
        self.lane.end()
    }
}
