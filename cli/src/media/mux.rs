//! Objects of several tracks in, CMAF or bare frames (LOC, what hang calls legacy), one fragmented MP4 out.
//!
//! Objects of a track come in their order; tracks may run apart. Fragments leave in order of decode time, and times are
//! moved so that the file begins near zero with the tracks in step as they were. Sample bytes are not changed. A
//! publisher that starts over (its times fall back) is continued behind what was written.
//!
//! Memory: a track that lags holds the others back for at most [`MAX_LAG`] of media or [`MAX_BUFFERED`] bytes.

mod lane;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use mp4_atom::{Atom, Moov};

use self::lane::{Lane, NANOS, Piece};
use super::bare::{FrameError, Framing, Object, Repackager};
use super::boxes::Children;
use super::demux::{self, DemuxError, Movie, Timeline};

use super::{EncodeError, MediaKind, Sample, TrackInfo, cmaf};

/// How far one track may run ahead of another, in media time, before it is written without it.
pub const MAX_LAG: Duration = Duration::from_secs(2);
/// Bytes that wait for another track at most.
pub const MAX_BUFFERED: usize = 32 << 20;
/// Most samples in one object; an object of ours has one frame, those of others up to a group.
pub const MAX_OBJECT_SAMPLES: usize = 4096;

/// Why the muxer could not be made or could not take an object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MuxError {
    /// No track was chosen.
    #[error("no track to write")]
    NoTracks,
    /// The header of a track, from the catalog, is unusable.
    #[error("the catalog's init segment of track {track} is unusable")]
    Init {
        /// Index in the list given to [`Muxer::new`].
        track: usize,
        /// Why.
        #[source]
        source: DemuxError,
    },
    /// The object names a track that was not given to [`Muxer::new`].
    #[error("object of unknown track {0}")]
    UnknownTrack(usize),
    /// The object is no CMAF chunk. It is dropped; the muxer goes on with the next one.
    #[error("an object of track {track} is no CMAF fragment")]
    Object {
        /// Index of the track.
        track: usize,
        /// Why.
        #[source]
        source: DemuxError,
    },
    /// The object is not framed as the catalog says. It is dropped; the muxer goes on with the next one.
    #[error("an object of track {track} is not framed as the catalog says")]
    Frame {
        /// Index of the track.
        track: usize,
        /// Why.
        #[source]
        source: FrameError,
    },
    /// A fragment does not fit the format.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Writes one MP4: [`header`](Self::header) first, then what [`take`](Self::take) and at the end [`finish`](Self::finish) return.
#[derive(Debug)]
pub struct Muxer {
    lanes: Vec<Lane>,
    infos: Vec<TrackInfo>,
    /// Starts of the publishers' time lines; the last is the current one.
    epochs: Vec<Epoch>,
    /// Place on the common line that becomes zero; set with the first fragment.
    origin: Option<i128>,
    buffered: usize,
    sequence: u32,
    dropped: u64,
}

/// One publisher's time line: `base` on it lies at `line` on ours. Nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Epoch {
    base: i128,
    line: i128,
}

impl Muxer {
    /// A muxer for tracks with these headers (`ftyp` + `moov`, one track each).
    ///
    /// # Errors
    /// There is no track, or a header is not usable.
    pub fn new(inits: &[Bytes]) -> Result<Self, MuxError> {
        let mut tracks = Vec::with_capacity(inits.len());
        for (track, init) in inits.iter().enumerate() {
            tracks.push(parse_init(init).map_err(|source| MuxError::Init { track, source })?);
        }
        if tracks.is_empty() {
            return Err(MuxError::NoTracks);
        }
        demux::align(&mut tracks);
        let lanes = tracks.iter().map(|track| Lane {
            repackager: None,
            timeline: Timeline {
                id: track.info.id,
                kind: track.info.kind,
                defaults: track.info.defaults,
                shift: track.shift,
                next: track.shift,
            },
            timescale: track.info.timescale.get().into(),
            queue: VecDeque::new(),
            open: track.info.kind == MediaKind::Audio,
            ended: false,
            epoch: 0,
            last: None,
            end: i128::MIN,
        });
        Ok(Self {
            lanes: lanes.collect(),
            infos: tracks.into_iter().map(|track| track.info).collect(),
            epochs: vec![Epoch::default()],
            origin: None,
            buffered: 0,
            sequence: 0,
            dropped: 0,
        })
    }

    /// The same for objects that are framed so, track by track; `None` is CMAF.
    #[must_use]
    pub fn framed(mut self, framings: impl IntoIterator<Item = Option<Framing>>) -> Self {
        for (lane, framing) in self.lanes.iter_mut().zip(framings) {
            lane.repackager = framing.map(Repackager::new);
        }
        self
    }

    /// The tracks, in the order given.
    #[must_use]
    pub fn tracks(&self) -> &[TrackInfo] {
        &self.infos
    }

    /// Samples that were left out: video before its first keyframe, what came too late for its place, and at the end of a track
    /// frames that cannot be written.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The start of the file: `ftyp` and a `moov` with all tracks, numbered from 1.
    ///
    /// # Errors
    /// The header does not fit the format.
    pub fn header(&self) -> Result<Bytes, MuxError> {
        Ok(cmaf::header((1..).zip(&self.infos))?)
    }

    /// Takes the next object of `track`; returns the fragments that may now be written, in order.
    ///
    /// # Errors
    /// The object is no CMAF chunk, or not framed as was said, or its track is not known; it is dropped, or for a frame that had to
    /// wait for its duration, that one.
    pub fn take(&mut self, track: usize, object: Object<'_>) -> Result<Vec<Bytes>, MuxError> {
        let lane = self.lanes.get_mut(track).ok_or(MuxError::UnknownTrack(track))?;
        let Some(repackager) = &mut lane.repackager else {
            return self.push(track, object.payload);
        };
        match repackager
            .push(object)
            .map_err(|source| MuxError::Frame { track, source })?
        {
            Some(chunk) => self.push(track, &chunk),
            None => Ok(Vec::new()),
        }
    }

    /// [`take`](Self::take) of a CMAF chunk.
    ///
    /// # Errors
    /// As there.
    pub fn push(&mut self, track: usize, object: &Bytes) -> Result<Vec<Bytes>, MuxError> {
        let lane = self.lanes.get_mut(track).ok_or(MuxError::UnknownTrack(track))?;
        let samples = lane
            .read(object)
            .map_err(|source| MuxError::Object { track, source })?;
        let mut piece: Vec<Sample> = Vec::new();
        for sample in samples {
            let opened = self.lanes.get_mut(track).is_some_and(|lane| {
                lane.close_if_over(&sample);
                lane.opens(&sample)
            });
            if !opened {
                self.dropped += 1;
                continue;
            }
            if piece.last().is_some_and(|last| last.end() != sample.dts) {
                self.enqueue(track, std::mem::take(&mut piece));
            }
            piece.push(sample);
        }
        self.enqueue(track, piece);
        self.drain()
    }

    /// Tells that `track` has no more objects, so that the others need not wait for it.
    ///
    /// # Errors
    /// The track is not known, or a fragment does not fit the format.
    pub fn end_track(&mut self, track: usize) -> Result<Vec<Bytes>, MuxError> {
        let mut out = self.last(track)?;
        self.lanes
            .get_mut(track)
            .ok_or(MuxError::UnknownTrack(track))?
            .ended = true;
        out.extend(self.drain()?);
        Ok(out)
    }

    /// Takes what waits in the repackager, such as the frame whose duration is not known. What cannot be written of it counts as
    /// dropped: nobody can be told of it any more than that, and the other tracks go on.
    fn last(&mut self, track: usize) -> Result<Vec<Bytes>, MuxError> {
        let mut out = Vec::new();
        loop {
            let lane = self.lanes.get_mut(track).ok_or(MuxError::UnknownTrack(track))?;
            let left = match lane.repackager.as_mut().map(Repackager::finish) {
                None | Some(Ok(None)) => return Ok(out),
                Some(Ok(Some(chunk))) => self.push(track, &chunk),
                Some(Err(source)) => Err(MuxError::Frame { track, source }),
            };
            match left {
                Ok(fragments) => out.extend(fragments),
                Err(MuxError::Object { .. } | MuxError::Frame { .. }) => self.dropped += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Ends all tracks: returns what still waits.
    ///
    /// # Errors
    /// A fragment does not fit the format.
    pub fn finish(&mut self) -> Result<Vec<Bytes>, MuxError> {
        let mut out = Vec::new();
        for track in 0..self.lanes.len() {
            out.extend(self.last(track)?);
        }
        for lane in &mut self.lanes {
            lane.ended = true;
        }
        out.extend(self.drain()?);
        Ok(out)
    }

    fn enqueue(&mut self, track: usize, samples: Vec<Sample>) {
        let reach = self.lanes.iter().map(|lane| lane.end).max().unwrap_or(0);
        let (Some(lane), Some(first), Some(last)) =
            (self.lanes.get_mut(track), samples.first(), samples.last())
        else {
            return;
        };
        let base = lane.nanos(first.dts);
        if lane
            .last
            .replace(last.dts)
            .is_some_and(|before| first.dts < before)
        {
            // The publisher started over. The first track that shows it sets where the new line begins.
            if lane.epoch + 1 == self.epochs.len() {
                self.epochs.push(Epoch { base, line: reach });
            }
            lane.epoch = self.epochs.len() - 1;
        }
        let epoch = self.epochs.get(lane.epoch).copied().unwrap_or_default();
        let line = base - epoch.base + epoch.line;
        if lane.epoch > 0 && line < lane.end - NANOS / 1000 || self.origin.is_some_and(|origin| line < origin)
        {
            self.dropped += samples.len() as u64;
            return;
        }
        lane.end = lane.end.max(lane.nanos(last.end()) - epoch.base + epoch.line);
        let weight = samples
            .iter()
            .map(|sample| sample.data.len() + size_of::<Sample>())
            .sum();
        self.buffered += weight;
        lane.queue.push_back(Piece {
            epoch: lane.epoch,
            line,
            weight,
            samples,
        });
    }

    fn drain(&mut self) -> Result<Vec<Bytes>, MuxError> {
        let mut out = Vec::new();
        while self.is_ready() {
            let heads = self
                .lanes
                .iter()
                .enumerate()
                .filter_map(|(i, lane)| Some((lane.queue.front()?.line, i)));
            let Some((line, index)) = heads.min() else { break };
            let origin = *self.origin.get_or_insert(line);
            let Some(lane) = self.lanes.get_mut(index) else {
                break;
            };
            let Some(piece) = lane.queue.pop_front() else {
                break;
            };
            self.buffered = self.buffered.saturating_sub(piece.weight);
            let epoch = self.epochs.get(piece.epoch).copied().unwrap_or_default();
            // One whole number of ticks per track and epoch: what was without a gap stays so.
            let moved = ((epoch.line - epoch.base - origin) * lane.timescale).div_euclid(NANOS);
            let first = piece.samples.first().map_or(0, |sample| i128::from(sample.dts));
            let Ok(base) = u64::try_from(first + moved) else {
                self.dropped += piece.samples.len() as u64;
                continue;
            };
            self.sequence = self.sequence.wrapping_add(1);
            let id = u32::try_from(index + 1).unwrap_or(u32::MAX);
            out.push(cmaf::fragment(id, self.sequence, base, &piece.samples)?);
        }
        Ok(out)
    }

    /// True if the earliest waiting piece may leave.
    fn is_ready(&self) -> bool {
        let complete = self.lanes.iter().all(|lane| lane.ended || !lane.queue.is_empty());
        let earliest = self
            .lanes
            .iter()
            .filter_map(|lane| lane.queue.front())
            .map(|piece| piece.line)
            .min();
        let latest = self
            .lanes
            .iter()
            .filter_map(|lane| lane.queue.back())
            .map(|piece| piece.line)
            .max();
        let Some((earliest, latest)) = earliest.zip(latest) else {
            return false;
        };
        let lag = i128::try_from(MAX_LAG.as_nanos()).unwrap_or(i128::MAX);
        complete || latest - earliest > lag || self.buffered > MAX_BUFFERED
    }
}

/// The only track of a CMAF header.
pub(super) fn parse_init(init: &Bytes) -> Result<demux::Track, DemuxError> {
    for child in Children(init) {
        let child = child?;
        if child.kind == Moov::KIND {
            if child.whole.len() as u64 > demux::MAX_MOOV {
                return Err(DemuxError::TooLarge {
                    what: "the index (moov)",
                    size: child.whole.len() as u64,
                    limit: demux::MAX_MOOV,
                });
            }
            let movie = Movie::parse(&init.slice_ref(child.whole))?;
            return movie.tracks.into_iter().next().ok_or(DemuxError::NoTracks);
        }
    }
    Err(DemuxError::NoMoov)
}
