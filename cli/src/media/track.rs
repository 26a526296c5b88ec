//! What every part of this folder agrees on: a track's description and one of its samples.

use std::fmt;
use std::num::NonZeroU32;

use bytes::Bytes;
use mp4_atom::{Matrix, Tkhd};

/// Video or audio; other tracks of a file (timecode, text, data) are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

impl fmt::Display for MediaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Video => "video",
            Self::Audio => "audio",
        })
    }
}

/// What a fragment's samples inherit when it does not say (`trex`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SampleDefaults {
    /// In ticks of the track; 0 when not known.
    pub duration: u32,
    /// In bytes.
    pub size: u32,
    /// As in `trun`.
    pub flags: u32,
}

/// One audio or video track.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackInfo {
    /// Video or audio.
    pub kind: MediaKind,
    /// The track id in the source, never 0, unique in its file.
    pub id: u32,
    /// Ticks per second of all times of this track.
    pub timescale: NonZeroU32,
    /// The codec as in RFC 6381 and WebCodecs, for example `avc1.64001e`, `opus`.
    pub codec: String,
    /// Width of the coded picture in pixels (video).
    pub width: Option<u32>,
    /// Height of the coded picture in pixels (video).
    pub height: Option<u32>,
    /// Frames per second, if the source says (video).
    pub framerate: Option<f64>,
    /// Samples per second (audio).
    pub sample_rate: Option<u32>,
    /// Number of channels (audio).
    pub channels: Option<u32>,
    /// Bits per second, if the source says.
    pub bitrate: Option<u64>,
    /// ISO 639-2 language code, `und` when not known.
    pub language: String,
    /// The sample entry box (`avc1`, `mp4a`, ...) exactly as in the source: it holds the decoder's configuration.
    pub sample_entry: Bytes,
    /// Defaults for fragments, as in the source's `trex`.
    pub defaults: SampleDefaults,
    /// Orientation and display size as in the source's `tkhd`.
    pub(super) display: Display,
}

/// The part of `tkhd` that survives into our own headers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Display {
    pub(super) matrix: Matrix,
    pub(super) width: mp4_atom::FixedPoint<u16>,
    pub(super) height: mp4_atom::FixedPoint<u16>,
}

impl From<&Tkhd> for Display {
    fn from(tkhd: &Tkhd) -> Self {
        Self {
            matrix: tkhd.matrix.clone(),
            width: tkhd.width,
            height: tkhd.height,
        }
    }
}

impl TrackInfo {
    /// `ticks` of this track in microseconds, rounded down, saturating.
    #[must_use]
    pub fn micros(&self, ticks: u64) -> u64 {
        let micros = u128::from(ticks) * 1_000_000 / u128::from(self.timescale.get());
        u64::try_from(micros).unwrap_or(u64::MAX)
    }

    /// `micros` in ticks of this track, rounded to the nearest, saturating.
    #[must_use]
    pub fn ticks(&self, micros: u64) -> u64 {
        let ticks = (u128::from(micros) * u128::from(self.timescale.get()) + 500_000) / 1_000_000;
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }
}

/// One coded frame (video) or access unit (audio).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Index into the list of tracks, not the track id.
    pub track: usize,
    /// Decode time in ticks of the track, edit list applied: times of all tracks share one zero.
    pub dts: u64,
    /// Composition offset in ticks: presentation time minus decode time.
    pub offset: i32,
    /// In ticks; 0 when the source does not say.
    pub duration: u32,
    /// Decoding can start here; always set for audio.
    pub keyframe: bool,
    /// The coded bytes.
    pub data: Bytes,
}

impl Sample {
    /// Presentation time in ticks of the track, never below 0.
    #[must_use]
    pub fn pts(&self) -> u64 {
        self.dts.saturating_add_signed(i64::from(self.offset))
    }

    /// Where the next sample starts if there is no gap.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.dts.saturating_add(u64::from(self.duration))
    }
}
