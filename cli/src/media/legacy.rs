//! The framing that hang calls legacy, made into CMAF: each object is a time and one coded frame.
//!
//! An object begins with microseconds as a QUIC variable-length integer (RFC 9000 §16); the rest is the frame as WebCodecs gives it. The
//! first object of a video group is a keyframe. `header` makes up the CMAF header from the catalog's words, and a
//! [`Repackager`] the fragments, so that everything behind them knows one packaging only.
//!
//! A frame says when it is shown, not how long nor when it is decoded. Its duration is the way to the next one, so one frame is
//! held back; frames shown before the one they follow are decoded right after it. H.264 without `description` is a byte stream
//! (ITU-T H.264 annex B): start codes become lengths, parameter sets stay in the stream (`avc3`).
//! Not read: H.265 without `description`, more than two channels of Opus.

mod header;

use bytes::{BufMut as _, Bytes, BytesMut};

pub(super) use header::{Described, header};

use super::cmaf::{self, EncodeError};
use super::{MediaKind, Sample};

/// Why an object gave no frame. The next one is taken as if it had not been there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LegacyError {
    /// No time at its beginning.
    #[error("the object begins with no timestamp")]
    NoTime,
    /// An H.264 frame without a start code.
    #[error("the H.264 frame has no start code")]
    NoStartCode,
    /// A fragment does not fit the format.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// What the frames of a track are, as far as they have to be changed or timed for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    /// Video or audio.
    pub kind: MediaKind,
    /// Ticks per second in the track's header.
    pub timescale: u32,
    /// Frames are byte streams with start codes.
    pub start_codes: bool,
}

/// Makes CMAF objects of the objects of one track. Feed with [`push`](Self::push), at the end [`finish`](Self::finish).
#[derive(Debug)]
pub struct Repackager {
    framing: Framing,
    /// Its duration is not known yet.
    held: Option<Sample>,
    /// Duration of the sample before, in ticks.
    usual: u32,
    sequence: u32,
}

/// The longest time that one frame is said to last: more is a pause, and the next frame has its own time.
const MAX_SECONDS: u32 = 2;
/// Frames per second, as long as nothing tells.
const USUAL_RATE: u32 = 50;

impl Repackager {
    /// For a track that is framed so.
    #[must_use]
    pub const fn new(framing: Framing) -> Self {
        Self {
            framing,
            held: None,
            usual: framing.timescale / USUAL_RATE,
            sequence: 0,
        }
    }

    /// Takes an object, of which `first` says that it begins a group; returns the frame before it as a CMAF object.
    ///
    /// # Errors
    /// The object is not so framed; it is left out.
    pub fn push(&mut self, first: bool, object: &Bytes) -> Result<Option<Bytes>, LegacyError> {
        let (micros, frame) = split(object).ok_or(LegacyError::NoTime)?;
        if frame.is_empty() {
            // Says that nothing comes until then.
            return Ok(None);
        }
        let data = if self.framing.start_codes {
            with_lengths(&frame).ok_or(LegacyError::NoStartCode)?
        } else {
            frame
        };
        let pts = self.ticks(micros);
        let keyframe = first || self.framing.kind == MediaKind::Audio;
        let dts = match &self.held {
            // Only a keyframe may be behind: its publisher has started over.
            Some(before) if !keyframe => pts.max(before.dts + 1),
            _ => pts,
        };
        let offset = i64::try_from(pts).unwrap_or(i64::MAX) - i64::try_from(dts).unwrap_or(i64::MAX);
        let next = Sample {
            track: 0,
            dts,
            offset: i32::try_from(offset).unwrap_or(i32::MIN),
            duration: 0,
            keyframe,
            data,
        };
        let before = self.held.replace(next);
        before.map(|sample| self.fragment(sample, Some(dts))).transpose()
    }

    /// The last frame, which lasts as long as the one before it.
    ///
    /// # Errors
    /// It does not fit the format.
    pub fn finish(&mut self) -> Result<Option<Bytes>, LegacyError> {
        let last = self.held.take();
        last.map(|sample| self.fragment(sample, None)).transpose()
    }

    fn fragment(&mut self, mut sample: Sample, next: Option<u64>) -> Result<Bytes, LegacyError> {
        let way = next.and_then(|next| next.checked_sub(sample.dts));
        if let Some(way) = way.and_then(|way| u32::try_from(way).ok()).filter(|way| *way > 0) {
            self.usual = way.min(self.framing.timescale.saturating_mul(MAX_SECONDS));
        }
        sample.duration = self.usual;
        self.sequence = self.sequence.wrapping_add(1);
        Ok(cmaf::fragment(
            header::TRACK_ID,
            self.sequence,
            sample.dts,
            &[sample],
        )?)
    }

    fn ticks(&self, micros: u64) -> u64 {
        let ticks = (u128::from(micros) * u128::from(self.framing.timescale) + 500_000) / 1_000_000;
        u64::try_from(ticks).unwrap_or(u64::MAX / 2)
    }
}

/// The time in front, and the rest.
fn split(object: &Bytes) -> Option<(u64, Bytes)> {
    let first = *object.first()?;
    let length = 1_usize << (first >> 6);
    let rest = object.get(1..length)?;
    let micros = rest.iter().fold(u64::from(first & 0x3f), |value, byte| {
        value << 8 | u64::from(*byte)
    });
    Some((micros, object.slice(length..)))
}

/// Each NAL unit of a byte stream behind its length in four bytes; `None` if there is none.
fn with_lengths(stream: &[u8]) -> Option<Bytes> {
    let mut out = BytesMut::with_capacity(stream.len() + 16);
    let mut rest = stream.get(start_code(stream)? + 3..)?;
    loop {
        let end = start_code(rest);
        let unit = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        // Zeros before a start code belong to it; a NAL unit never ends in one.
        let used = unit
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        if let Some(unit) = unit.get(..used).filter(|unit| !unit.is_empty()) {
            out.put_u32(u32::try_from(unit.len()).ok()?);
            out.extend_from_slice(unit);
        }
        match end.and_then(|end| rest.get(end + 3..)) {
            Some(next) => rest = next,
            None => return (!out.is_empty()).then(|| out.freeze()),
        }
    }
}

/// Where three bytes are 0, 0, 1.
fn start_code(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|three| three == [0, 0, 1])
}

#[cfg(test)]
mod tests;
