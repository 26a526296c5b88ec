//! Reading MP4: [`Demuxer`] for bytes as they come, [`FileReader`] for a file that can be searched.
//!
//! Progressive and fragmented files (ISO/IEC 14496-12), H.264, H.265, AV1, VP8, VP9, AAC and Opus. Edit lists are applied
//! to the decode times, so the samples of all tracks share one time line that never falls below zero.
//!
//! Bounds: [`MAX_MOOV`], [`MAX_MOOF`], [`MAX_SAMPLE`], [`MAX_SAMPLE_ENTRY`], [`MAX_FRAGMENT_SAMPLES`], [`MAX_TRACKS`]. Memory is
//! taken for bytes that have arrived, never for sizes that a header claims.

mod codec;
mod error;
mod file;
mod fragment;
mod moov;
mod queue;
mod tables;

use std::collections::VecDeque;

use bytes::Bytes;
use mp4_atom::{Atom, FourCC, Moof, Moov};

pub use error::DemuxError;
pub use file::FileReader;
pub(super) use fragment::{Match, Timeline, plan};
pub(super) use moov::{Movie, Track, align};

use self::queue::Queue;
use self::tables::Cursor;
use super::boxes::{Head, MAX_HEAD};
use super::{MediaKind, Sample, TrackInfo};

/// Largest index (`moov`) in bytes: about 60 hours of progressive video.
pub const MAX_MOOV: u64 = 16 << 20;
/// Largest fragment header (`moof`) in bytes.
pub const MAX_MOOF: u64 = 8 << 20;
/// Largest sample in bytes; a keyframe of 8K video at high quality stays below half of it.
pub const MAX_SAMPLE: u32 = 16 << 20;
/// Largest sample entry in bytes; decoder configurations have some hundred.
pub const MAX_SAMPLE_ENTRY: usize = 64 << 10;
/// Most samples in one fragment.
pub const MAX_FRAGMENT_SAMPLES: usize = 1 << 18;
/// Most tracks in a file.
pub const MAX_TRACKS: usize = 32;
/// Video frames after which we stop waiting for a keyframe.
pub const MAX_FRAMES_WITHOUT_KEYFRAME: u32 = 3000;

/// What a reader finds, in this order: the tracks once, then samples.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The audio and video tracks; [`Sample::track`] is an index into this list.
    Tracks(Vec<TrackInfo>),
    /// The next sample.
    Sample(Sample),
}

/// A sample that is announced; its bytes are still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) track: usize,
    pub(super) offset: u64,
    pub(super) size: u32,
    pub(super) dts: u64,
    pub(super) cts: i32,
    pub(super) duration: u32,
    pub(super) keyframe: bool,
}

impl Planned {
    fn end(&self) -> u64 {
        self.offset.saturating_add(self.size.into())
    }

    pub(super) fn with(self, data: Bytes) -> Sample {
        let Self {
            track,
            dts,
            cts,
            duration,
            keyframe,
            ..
        } = self;
        Sample {
            track,
            dts,
            offset: cts,
            duration,
            keyframe,
            data,
        }
    }
}

/// Reads an MP4 from bytes as they arrive, samples in the order of the file.
///
/// Feed with [`push`](Self::push), then call [`next_event`](Self::next_event) until it says `None`; at the end of the input call
/// [`finish`](Self::finish). A sample is given out with its last byte. After an error every call repeats that the
/// input is damaged. How the input is cut into chunks makes no difference.
#[derive(Debug, Default)]
pub struct Demuxer {
    queue: Queue,
    state: State,
    movie: Option<Movie>,
    timelines: Vec<Timeline>,
    /// Samples of the current fragment.
    pending: VecDeque<Planned>,
    /// A progressive file: per track the walk and its next sample.
    cursors: Vec<(Cursor, Option<Planned>)>,
    keyframes: KeyframeWatch,
    any_box: bool,
    failed: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of a box.
    #[default]
    Head,
    /// Inside a box of no interest that ends there.
    Skip { end: u64 },
    /// Inside an `mdat` that ends there.
    Data { end: u64 },
}

impl Demuxer {
    /// A reader at the start of its input.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the input. Waiting bytes are kept until they are used, so drain between pushes.
    pub fn push(&mut self, chunk: Bytes) {
        if !self.failed {
            self.queue.push(chunk);
        }
    }

    /// The next event, or `None` until more bytes are pushed.
    ///
    /// # Errors
    /// The input is no MP4, is damaged, over a bound, or not supported.
    pub fn next_event(&mut self) -> Result<Option<Event>, DemuxError> {
        if self.failed {
            return Err(DemuxError::Invalid("reading went on after an error"));
        }
        let event = self.advance();
        self.failed = event.is_err();
        event
    }

    /// Tells that the input has ended; call when [`next_event`](Self::next_event) says `None`.
    ///
    /// # Errors
    /// The input ended inside a box or a fragment, before its index, or without a video keyframe.
    pub fn finish(&mut self) -> Result<(), DemuxError> {
        if self.queue.position() == 0 && self.queue.len() == 0 {
            return Err(DemuxError::Empty);
        }
        if !self.any_box {
            return Err(self.not_mp4());
        }
        if self.movie.is_none() {
            return Err(if self.queue.len() > 0 {
                DemuxError::Truncated { what: "its index" }
            } else {
                DemuxError::NoMoov
            });
        }
        if !self.pending.is_empty() {
            return Err(DemuxError::Truncated { what: "a fragment" });
        }
        if self.cursors.iter().any(|(_, head)| head.is_some()) {
            return Err(DemuxError::Truncated {
                what: "its media data",
            });
        }
        if self.queue.len() > 0 {
            return Err(DemuxError::Truncated { what: "a box" });
        }
        self.keyframes.finish()
    }

    fn advance(&mut self) -> Result<Option<Event>, DemuxError> {
        loop {
            match self.state {
                State::Head => match self.head()? {
                    Step::Again => {}
                    Step::Starved => return Ok(None),
                    Step::Tracks(tracks) => return Ok(Some(Event::Tracks(tracks))),
                },
                State::Skip { end } => {
                    if !self.queue.skip_to(end) {
                        return Ok(None);
                    }
                    self.state = State::Head;
                }
                State::Data { end } => {
                    let Some(planned) = self.planned_before(end)? else {
                        self.state = State::Skip { end };
                        continue;
                    };
                    if !self.queue.skip_to(planned.offset) {
                        return Ok(None);
                    }
                    let Some(data) = self.queue.take(planned.size as usize) else {
                        return Ok(None);
                    };
                    self.consume(planned)?;
                    return Ok(Some(Event::Sample(planned.with(data))));
                }
            }
        }
    }

    fn head(&mut self) -> Result<Step, DemuxError> {
        let mut bytes = [0; MAX_HEAD];
        let bytes = self.queue.peek(&mut bytes);
        if !self.any_box && bytes.len() >= 8 && !bytes.get(4..8).is_some_and(starts_mp4) {
            return Err(self.not_mp4());
        }
        let Some(head) = Head::parse(bytes)? else {
            return Ok(Step::Starved);
        };
        self.any_box = true;
        let start = self.queue.position();
        let end = head.size.map_or(Some(u64::MAX), |size| start.checked_add(size));
        let end = end.ok_or(DemuxError::BoxSize { kind: head.kind })?;
        match head.kind {
            Moov::KIND if self.movie.is_some() => Err(DemuxError::Invalid("a second index (moov) follows")),
            Moov::KIND => {
                let Some(moov) = self.whole(&head, MAX_MOOV, "the index (moov)")? else {
                    return Ok(Step::Starved);
                };
                self.open(Movie::parse(&moov)?).map(Step::Tracks)
            }
            Moof::KIND => {
                if self.movie.is_none() {
                    return Err(DemuxError::Invalid("a fragment comes before the index (moov)"));
                }
                if !self.pending.is_empty() {
                    return Err(DemuxError::Invalid(
                        "a fragment's samples lie outside its media data",
                    ));
                }
                let Some(moof) = self.whole(&head, MAX_MOOF, "a fragment header (moof)")? else {
                    return Ok(Step::Starved);
                };
                plan(&moof, start, &mut self.timelines, Match::Id, &mut self.pending)?;
                Ok(Step::Again)
            }
            MDAT if self.movie.is_none() && head.size.is_none_or(|size| size > head.len as u64) => {
                Err(DemuxError::MoovAtEnd)
            }
            kind => {
                self.queue.skip_to(start + head.len as u64);
                self.state = if kind == MDAT {
                    State::Data { end }
                } else {
                    State::Skip { end }
                };
                Ok(Step::Again)
            }
        }
    }

    /// The whole box at the front, once it is there.
    fn whole(&mut self, head: &Head, limit: u64, what: &'static str) -> Result<Option<Bytes>, DemuxError> {
        let size = head.size.ok_or(DemuxError::BoxSize { kind: head.kind })?;
        match usize::try_from(size) {
            Ok(bytes) if size <= limit => Ok(self.queue.take(bytes)),
            _ => Err(DemuxError::TooLarge { what, size, limit }),
        }
    }

    fn open(&mut self, movie: Movie) -> Result<Vec<TrackInfo>, DemuxError> {
        for (index, track) in movie.tracks.iter().enumerate() {
            let (id, kind, defaults, shift) =
                (track.info.id, track.info.kind, track.info.defaults, track.shift);
            self.timelines.push(Timeline {
                id,
                kind,
                defaults,
                shift,
                next: shift,
            });
            let mut cursor = Cursor::new(shift);
            let head = cursor.next(index, &track.table)?;
            self.cursors.push((cursor, head));
        }
        let infos: Vec<_> = movie.tracks.iter().map(|track| track.info.clone()).collect();
        self.keyframes = KeyframeWatch::new(&infos);
        self.movie = Some(movie);
        Ok(infos)
    }

    /// The announced sample that lies first, if it begins before `end`.
    fn planned_before(&self, end: u64) -> Result<Option<Planned>, DemuxError> {
        let progressive = self
            .cursors
            .iter()
            .filter_map(|(_, head)| *head)
            .min_by_key(|head| head.offset);
        let Some(next) = self.pending.front().copied().or(progressive) else {
            return Ok(None);
        };
        if next.offset >= end {
            return Ok(None);
        }
        // The front may stand past the offset only while nothing of the sample was used.
        if next.offset < self.queue.position() {
            return Err(DemuxError::Invalid(
                "a sample lies outside the media data or overlaps another",
            ));
        }
        if next.end() > end {
            return Err(DemuxError::Invalid("a sample reaches beyond its media data"));
        }
        Ok(Some(next))
    }

    fn consume(&mut self, planned: Planned) -> Result<(), DemuxError> {
        if self.pending.pop_front().is_none()
            && let Some((cursor, head)) = self.cursors.get_mut(planned.track)
            && let Some(track) = self
                .movie
                .as_ref()
                .and_then(|movie| movie.tracks.get(planned.track))
        {
            *head = cursor.next(planned.track, &track.table)?;
        }
        self.keyframes.saw(planned.track, planned.keyframe)
    }

    fn not_mp4(&self) -> DemuxError {
        let mut bytes = [0; MAX_HEAD];
        let found = self.queue.peek(&mut bytes).escape_ascii().to_string();
        DemuxError::NotMp4 {
            found: format!("\"{found}\""),
        }
    }
}

enum Step {
    Again,
    Starved,
    Tracks(Vec<TrackInfo>),
}

const MDAT: FourCC = FourCC::new(b"mdat");

/// Boxes that an MP4 may begin with; anything else is another format.
fn starts_mp4(kind: &[u8]) -> bool {
    const FIRST: [&[u8; 4]; 14] = [
        b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"sidx", b"emsg",
        b"prft", b"uuid", b"pdin",
    ];
    FIRST.iter().any(|first| first.as_slice() == kind)
}

/// Counts the frames of each video track that come before its first keyframe.
#[derive(Debug, Default, Clone)]
struct KeyframeWatch(Vec<Option<u32>>);

impl KeyframeWatch {
    fn new(tracks: &[TrackInfo]) -> Self {
        Self(
            tracks
                .iter()
                .map(|track| (track.kind == MediaKind::Video).then_some(0))
                .collect(),
        )
    }

    fn saw(&mut self, track: usize, keyframe: bool) -> Result<(), DemuxError> {
        let Some(waiting) = self.0.get_mut(track) else {
            return Ok(());
        };
        *waiting = match *waiting {
            Some(frames) if !keyframe && frames + 1 >= MAX_FRAMES_WITHOUT_KEYFRAME => {
                return Err(DemuxError::NoKeyframe {
                    after: Some(frames + 1),
                });
            }
            Some(frames) if !keyframe => Some(frames + 1),
            _ => None,
        };
        Ok(())
    }

    fn finish(&self) -> Result<(), DemuxError> {
        match self.0.iter().flatten().find(|frames| **frames > 0) {
            Some(_) => Err(DemuxError::NoKeyframe { after: None }),
            None => Ok(()),
        }
    }
}
