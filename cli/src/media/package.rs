//! Samples in, CMAF objects in groups out.
//!
//! Video: one object per frame, a group per keyframe. Audio: some frames per object, groups that begin with the first
//! sample at or after the time of each video keyframe, so that a subscriber who starts at a video group finds
//! the sound beside it. Without video, a group about each second. Object layout: draft-ietf-moq-cmsf, one track and
//! one `moof` + `mdat` per object.
//!
//! Objects leave as soon as they are whole; nothing waits for a following sample except audio that fills its object.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::{EncodeError, MediaKind, Sample, TrackInfo, cmaf};

/// How samples are gathered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackagerConfig {
    /// Audio per object, at least one frame. Default 100 ms: ten objects per second cost little and delay little.
    pub audio_object: Duration,
    /// Length of a group where there is no video to align with. Default 1 s: how long a late joiner waits at most.
    pub audio_group: Duration,
}

impl Default for PackagerConfig {
    fn default() -> Self {
        Self {
            audio_object: Duration::from_millis(100),
            audio_group: Duration::from_secs(1),
        }
    }
}

/// One object to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Index of the track, as in [`Sample::track`].
    pub track: usize,
    /// This object is the first of a new group.
    pub group_start: bool,
    /// Decode time of the first sample in microseconds, offset included: when to send it, counted from the first packet.
    pub timestamp: u64,
    /// `moof` + `mdat`.
    pub payload: Bytes,
}

/// Why a sample could not be packaged. The packager stays usable for other samples.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// The sample names a track that was not given to [`Packager::new`].
    #[error("sample of unknown track {0}")]
    UnknownTrack(usize),
    /// The object does not fit the format.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Most audio frames in one object, whatever the durations say.
const MAX_AUDIO_FRAMES: usize = 256;

/// Most keyframe times an audio track remembers while it has no samples (a silent or late track).
const MAX_BOUNDARIES: usize = 64;

/// Turns samples into packets: [`push`](Self::push), take what it returns, [`finish`](Self::finish) at the end.
///
/// Frames of a video track before its first keyframe are dropped: nobody could decode them.
#[derive(Debug)]
pub struct Packager {
    tracks: Vec<Track>,
    /// The video track whose keyframes set the audio groups.
    lead: Option<usize>,
    lead_started: bool,
    config: PackagerConfig,
    sequence: u32,
    /// Added to all times, in microseconds.
    offset: u64,
    /// First decode time and latest end of this pass, offset included, in microseconds.
    first: Option<u64>,
    end: u64,
}

#[derive(Debug)]
struct Track {
    info: TrackInfo,
    started: bool,
    /// Audio frames of the object being filled.
    filling: Vec<Sample>,
    filling_starts_group: bool,
    /// Audio: times at which new groups begin, in microseconds.
    boundaries: VecDeque<u64>,
    /// Audio without video: start of the current group, in microseconds.
    group: u64,
}

impl Packager {
    /// A packager for `tracks`, numbered as in the list.
    #[must_use]
    pub fn new(tracks: &[TrackInfo], config: PackagerConfig) -> Self {
        let lead = tracks.iter().position(|track| track.kind == MediaKind::Video);
        let tracks = tracks.iter().map(|info| Track {
            info: info.clone(),
            started: false,
            filling: Vec::new(),
            filling_starts_group: false,
            boundaries: VecDeque::new(),
            group: 0,
        });
        let tracks = tracks.collect();
        Self {
            tracks,
            lead,
            lead_started: false,
            config,
            sequence: 0,
            offset: 0,
            first: None,
            end: 0,
        }
    }

    /// What is added to all times, in microseconds.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Adds `offset` microseconds to the times of all following samples.
    pub fn set_offset(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Ends a pass over a file: what is being filled leaves, and the times of the next pass continue where the longest
    /// track of this one ended.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn next_pass(&mut self) -> Result<Vec<Packet>, PackageError> {
        let packets = self.finish()?;
        if let Some(first) = self.first.take() {
            let length = self.end.saturating_sub(first);
            self.offset = self.offset.saturating_add(length);
        }
        self.end = 0;
        Ok(packets)
    }

    /// Takes the next sample; returns the objects that are now whole, in order.
    ///
    /// # Errors
    /// The sample's track is not known, or an object does not fit the format.
    pub fn push(&mut self, mut sample: Sample) -> Result<Vec<Packet>, PackageError> {
        let index = sample.track;
        let track = self.tracks.get(index).ok_or(PackageError::UnknownTrack(index))?;
        sample.dts = sample.dts.saturating_add(track.info.ticks(self.offset));
        let begin = track.info.micros(sample.dts);
        let end = track.info.micros(sample.end());
        let mut packets = Vec::new();
        match track.info.kind {
            MediaKind::Video => self.video(sample, &mut packets)?,
            MediaKind::Audio => self.audio(sample, &mut packets)?,
        }
        self.first = Some(self.first.map_or(begin, |first| first.min(begin)));
        self.end = self.end.max(end);
        Ok(packets)
    }

    /// Ends the input: returns the audio that did not fill its object.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn finish(&mut self) -> Result<Vec<Packet>, PackageError> {
        let mut packets = Vec::new();
        for index in 0..self.tracks.len() {
            self.flush(index, &mut packets)?;
        }
        Ok(packets)
    }

    fn video(&mut self, sample: Sample, packets: &mut Vec<Packet>) -> Result<(), PackageError> {
        let index = sample.track;
        let Some(track) = self.tracks.get_mut(index) else {
            return Ok(());
        };
        if !track.started && !sample.keyframe {
            return Ok(());
        }
        track.started = true;
        if sample.keyframe && self.lead == Some(index) {
            let time = track.info.micros(sample.pts());
            self.keyframe(time);
        }
        let group_start = sample.keyframe;
        let packet = self.object(index, group_start, &[sample])?;
        packets.push(packet);
        Ok(())
    }

    /// Tells the audio tracks that video starts a group at `time`.
    fn keyframe(&mut self, time: u64) {
        // Audio from before the first keyframe belongs to the first group already.
        if std::mem::replace(&mut self.lead_started, true) {
            for track in self
                .tracks
                .iter_mut()
                .filter(|track| track.info.kind == MediaKind::Audio)
            {
                if track.boundaries.len() == MAX_BOUNDARIES {
                    track.boundaries.pop_front();
                }
                track.boundaries.push_back(time);
            }
        }
    }

    fn audio(&mut self, sample: Sample, packets: &mut Vec<Packet>) -> Result<(), PackageError> {
        let index = sample.track;
        let without_video = self.lead.is_none();
        let limit = self.config.audio_object;
        let group = self.config.audio_group;
        let Some(track) = self.tracks.get_mut(index) else {
            return Ok(());
        };
        let time = track.info.micros(sample.pts());
        let starts_group = track.starts_group(time, without_video.then_some(group));
        let gap = track.filling.last().is_some_and(|last| last.end() != sample.dts);
        if starts_group || gap {
            self.flush(index, packets)?;
        }
        let Some(track) = self.tracks.get_mut(index) else {
            return Ok(());
        };
        track.filling_starts_group |= starts_group;
        track.filling.push(sample);
        if track.is_full(limit) {
            self.flush(index, packets)?;
        }
        Ok(())
    }

    fn flush(&mut self, index: usize, packets: &mut Vec<Packet>) -> Result<(), PackageError> {
        let Some(track) = self.tracks.get_mut(index) else {
            return Ok(());
        };
        let samples = std::mem::take(&mut track.filling);
        let group_start = std::mem::take(&mut track.filling_starts_group);
        if !samples.is_empty() {
            packets.push(self.object(index, group_start, &samples)?);
        }
        Ok(())
    }

    fn object(
        &mut self,
        index: usize,
        group_start: bool,
        samples: &[Sample],
    ) -> Result<Packet, PackageError> {
        let track = self.tracks.get(index).ok_or(PackageError::UnknownTrack(index))?;
        let base = samples.first().map_or(0, |sample| sample.dts);
        self.sequence = self.sequence.wrapping_add(1);
        let payload = cmaf::fragment(track.info.id, self.sequence, base, samples)?;
        Ok(Packet {
            track: index,
            group_start,
            timestamp: track.info.micros(base),
            payload,
        })
    }
}

impl Track {
    /// True if the sample at `time` begins a group; `length` is set where there is no video to follow.
    fn starts_group(&mut self, time: u64, length: Option<Duration>) -> bool {
        let mut starts = !std::mem::replace(&mut self.started, true);
        while self.boundaries.front().is_some_and(|boundary| *boundary <= time) {
            self.boundaries.pop_front();
            starts = true;
        }
        if let Some(length) = length {
            let length = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
            // Backwards counts too: a source that starts over.
            starts |= time < self.group || time - self.group >= length;
            if starts {
                self.group = time;
            }
        }
        starts
    }

    /// True if one more frame would make the object longer than `limit`, or frames have no known length.
    fn is_full(&self, limit: Duration) -> bool {
        let (Some(first), Some(last)) = (self.filling.first(), self.filling.last()) else {
            return false;
        };
        let ticks = last
            .end()
            .saturating_sub(first.dts)
            .saturating_add(u64::from(last.duration));
        let next = Duration::from_micros(self.info.micros(ticks));
        last.duration == 0 || next > limit || self.filling.len() >= MAX_AUDIO_FRAMES
    }
}
