//! Frames that come bare, one in each object, made into CMAF: what hang calls legacy, and LOC (draft-ietf-moq-loc-04).
//!
//! An object of hang begins with microseconds as a QUIC variable-length integer (RFC 9000 §16), one of LOC has its time in its
//! properties; the rest is the frame as WebCodecs gives it. The first object of a video group is a keyframe. `header` makes up the
//! CMAF header from the catalog's words, and a [`Repackager`] the fragments, so that everything behind them knows one packaging only.
//!
//! A frame says when it is shown, not how long nor when it is decoded. Its duration is the way to the next one, so one frame is
//! held back; frames shown before the one they follow are decoded right after it. A time far from those before it counts only if
//! the next one agrees more with it than with those before. A time that is a little behind is raised: the muxer would take it for
//! a publisher that starts over, and put the track out of step with the others. H.264 and H.265 without `description` keep their
//! parameter sets in the stream (`avc3`, `hev1`); those that LOC has in properties are put there, before each keyframe (`sets`).
//! Not read: more than two channels of Opus.

mod adts;
mod header;
mod loc;
mod records;
mod sets;
mod units;

use bytes::Bytes;
use headwater_pubsub::wire::property::Properties;

pub(super) use header::{Described, header};
pub use records::Codec;
pub use units::Parameters;

use self::sets::Sets;
use super::cmaf::{self, EncodeError};
use super::{MediaKind, Sample};

/// Why an object gave no frame. The next one is taken as if it had not been there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Neither in front nor among the properties, as the framing has it.
    #[error("the object has no timestamp")]
    NoTime,
    /// No unit of time, or a time that no clock shows.
    #[error("the object's timestamp is beyond all clocks")]
    Time,
    /// A frame whose time was far from those before it, and from the one after it.
    #[error("the time of the frame before fits neither those before it nor this one")]
    Astray,
    /// A frame of H.264 or H.265 without a start code.
    #[error("the frame has no start code")]
    NoStartCode,
    /// A frame of H.264 or H.265 with neither start codes nor lengths that add up.
    #[error("the frame has no start code, and lengths of its parts that do not add up")]
    Lengths,
    /// The ADTS header of AAC does not fit what follows it.
    #[error("the ADTS header of the frame is damaged, or more than one frame follows it")]
    Adts,
    /// The decoder configuration with a frame is none of its codec.
    #[error("the decoder configuration with the frame is damaged")]
    Config,
    /// The decoder configuration with a frame is larger than we take.
    #[error(
        "the decoder configuration with the frame has {0} bytes, more than our limit of {MAX_DESCRIPTION}"
    )]
    LargeConfig(usize),
    /// A keyframe of H.264 or H.265, and nothing has brought parameter sets.
    #[error("the keyframe comes without parameter sets")]
    NoParameters,
    /// A fragment does not fit the format.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Where an object has the time of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// Microseconds in front of the frame: hang.
    Front,
    /// Among its properties: LOC.
    Property {
        /// Units per second, where the object does not say.
        per_second: u64,
    },
}

/// How the parts of a frame are set apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Units {
    /// As an MP4 has them.
    Ready,
    /// AAC, which may have an ADTS header in front.
    Adts,
    /// NAL units with start codes.
    StartCodes,
    /// NAL units with lengths or start codes; the header has these parameter sets, if any.
    Either(Codec, Option<Parameters>),
}

/// What the frames of a track are, as far as they have to be changed or timed for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framing {
    /// Video or audio.
    pub kind: MediaKind,
    /// Ticks per second in the track's header.
    pub timescale: u32,
    /// Where their times are.
    pub time: Time,
    /// What their parts are.
    pub units: Units,
}

/// An object as it came.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    /// It begins a group.
    pub first: bool,
    /// Its properties.
    pub properties: &'a Properties,
    /// Its payload.
    pub payload: &'a Bytes,
}

/// A frame of which it is not known yet how long it lasts.
#[derive(Debug)]
struct Held {
    sample: Sample,
    /// A neighbour agrees with its time.
    sure: bool,
}

/// A frame that is understood, but has no place yet.
#[derive(Debug)]
struct Frame {
    pts: u64,
    keyframe: bool,
    data: Bytes,
}

/// Makes CMAF objects of the objects of one track. Feed with [`push`](Self::push), at the end [`finish`](Self::finish).
#[derive(Debug)]
pub struct Repackager {
    framing: Framing,
    sets: Sets,
    /// A keyframe was left out: what follows cannot be decoded until the next one.
    broken: bool,
    held: Option<Held>,
    /// Its time is far from that of the one held.
    doubted: Option<Frame>,
    /// Complete, but not given yet.
    ready: Vec<Bytes>,
    /// Duration of the sample before, in ticks.
    usual: u32,
    sequence: u32,
}

/// The longest time that one frame is said to last: more is a pause, and the next frame has its own time.
const MAX_SECONDS: u32 = 2;
/// Frames per second, as long as nothing tells.
const USUAL_RATE: u32 = 50;
/// So far a time may be behind that of the frame before without being doubted: a picture may be shown before the one it follows.
const MAX_SECONDS_BACK: u64 = 10;
/// The same for keyframes and sound, which are in order.
const MAX_SECONDS_BACK_KEY: u64 = 1;
/// So far it may be ahead without being doubted.
const MAX_SECONDS_AHEAD: u64 = 10;
/// So far it may be ahead of a doubted one to agree with it: the longest pause.
const MAX_SECONDS_PAUSE: u64 = 600;
/// Largest decoder configuration that is read, in bytes.
pub(super) const MAX_DESCRIPTION: usize = 16 << 10;

impl Repackager {
    /// For a track that is framed so.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self {
            usual: framing.timescale / USUAL_RATE,
            framing,
            sets: Sets::default(),
            broken: false,
            held: None,
            doubted: None,
            ready: Vec::new(),
            sequence: 0,
        }
    }

    /// Takes an object; returns the frames that are complete with it as a CMAF object.
    ///
    /// # Errors
    /// The object is not so framed; it is left out, and with a keyframe those that need it. With [`FrameError::Astray`] and [`FrameError::Encode`] it is taken, and one before
    /// it is left out.
    pub fn push(&mut self, object: Object<'_>) -> Result<Option<Bytes>, FrameError> {
        let Some(frame) = self.read(object)? else {
            return Ok(None);
        };
        let astray = match self.doubted.take() {
            Some(doubted) if self.has_moved(&doubted, &frame) => {
                // The publisher has moved. A frame that nobody agreed with stays behind.
                let alone = self.is_alone(&doubted);
                if alone {
                    self.held = None;
                }
                self.place(doubted)?;
                self.place(frame)?;
                self.held.iter_mut().for_each(|held| held.sure = true);
                alone
            }
            Some(doubted) if self.breaks(&doubted, &frame) => {
                self.broken = true;
                true
            }
            doubted => {
                if self.held.is_none() || self.follows_held(&frame) {
                    self.place(frame)?;
                } else {
                    self.doubted = Some(frame);
                }
                doubted.is_some()
            }
        };
        if astray {
            return Err(FrameError::Astray);
        }
        Ok(self.take_ready())
    }

    /// What is left at the end, to be asked for until there is nothing. The last frame lasts as long as the one before it.
    ///
    /// # Errors
    /// A frame does not fit the format, or nothing agrees with its time; it is left out.
    pub fn finish(&mut self) -> Result<Option<Bytes>, FrameError> {
        // The last frame may have come after a pause.
        let pause = self.held.as_ref().zip(self.doubted.as_ref());
        let pause =
            pause.is_some_and(|(held, doubted)| self.is_near(held.sample.pts(), doubted, MAX_SECONDS_PAUSE));
        if let Some(last) = self.doubted.take_if(|_| pause) {
            self.place(last)?;
        }
        if let Some(last) = self.held.take() {
            self.fragment(last.sample, None)?;
        }
        if self.ready.is_empty() && self.doubted.take().is_some() {
            return Err(FrameError::Astray);
        }
        Ok(self.take_ready())
    }

    /// The frame of an object, cut as an MP4 has it.
    fn read(&mut self, object: Object<'_>) -> Result<Option<Frame>, FrameError> {
        let video = self.framing.kind == MediaKind::Video;
        let read = loc::read(&self.framing, object).inspect_err(|_| self.broken |= video && object.first)?;
        if read.data.is_empty() {
            return Ok(None);
        }
        let (pts, keyframe) = (read.pts, read.keyframe);
        if self.broken && !keyframe {
            return Ok(None);
        }
        self.broken = video && keyframe;
        let data = match &self.framing.units {
            Units::Ready => read.data,
            Units::Adts => adts::frame(&read.data).ok_or(FrameError::Adts)?,
            Units::StartCodes => units::of_stream(&read.data).ok_or(FrameError::NoStartCode)?,
            Units::Either(codec, known) => {
                let known = known.as_ref();
                if let Some(config) = read.config {
                    let config = Parameters::read(*codec, config).ok_or(FrameError::Config)?;
                    self.sets.take(config, known);
                }
                let config = self.sets.config(known);
                let data = units::of_either(&read.data, config).ok_or(FrameError::Lengths)?;
                if keyframe {
                    self.sets.complete(*codec, data, known)?
                } else {
                    data
                }
            }
        };
        self.broken = false;
        Ok(Some(Frame { pts, keyframe, data }))
    }

    /// Gives a frame its place behind the one that is held, which is complete with that.
    fn place(&mut self, frame: Frame) -> Result<(), FrameError> {
        let sure = self.follows_held(&frame);
        let Frame { pts, keyframe, data } = frame;
        let dts = match &self.held {
            Some(before) if sure => pts.max(before.sample.dts + 1),
            // First of all, or moved.
            _ => pts,
        };
        let shown = match self.framing.kind {
            MediaKind::Video => pts,
            MediaKind::Audio => dts,
        };
        let offset = i64::try_from(shown).unwrap_or(i64::MAX) - i64::try_from(dts).unwrap_or(i64::MAX);
        let sample = Sample {
            track: 0,
            dts,
            offset: i32::try_from(offset).unwrap_or(i32::MIN),
            duration: 0,
            keyframe,
            data,
        };
        match self.held.replace(Held { sample, sure }) {
            Some(before) => self.fragment(before.sample, Some(dts)),
            None => Ok(()),
        }
    }

    fn fragment(&mut self, mut sample: Sample, next: Option<u64>) -> Result<(), FrameError> {
        let way = next.and_then(|next| next.checked_sub(sample.dts));
        if let Some(way) = way.and_then(|way| u32::try_from(way).ok()).filter(|way| *way > 0) {
            self.usual = way.min(self.framing.timescale.saturating_mul(MAX_SECONDS));
        }
        sample.duration = self.usual;
        self.sequence = self.sequence.wrapping_add(1);
        let fragment = cmaf::fragment(header::TRACK_ID, self.sequence, sample.dts, &[sample])?;
        self.ready.push(fragment);
        Ok(())
    }

    fn take_ready(&mut self) -> Option<Bytes> {
        let mut ready = std::mem::take(&mut self.ready);
        match ready.len() {
            0 | 1 => ready.pop(),
            _ => Some(ready.concat().into()),
        }
    }

    /// Whether the time of `frame` may be that of the one behind the held one.
    fn follows_held(&self, frame: &Frame) -> bool {
        self.held
            .as_ref()
            .is_some_and(|held| self.is_near(held.sample.pts(), frame, MAX_SECONDS_AHEAD))
    }

    /// Whether `frame` agrees with the doubted one before it, and not more with the one that is held.
    fn has_moved(&self, doubted: &Frame, frame: &Frame) -> bool {
        let held = self.held.as_ref().filter(|_| self.follows_held(frame));
        let way = |pts: u64| pts.abs_diff(frame.pts);
        self.is_near(doubted.pts, frame, MAX_SECONDS_PAUSE)
            && held.is_none_or(|held| way(doubted.pts) < way(held.sample.pts()))
    }

    /// Whether `frame` cannot be decoded without the doubted one before it.
    fn breaks(&self, doubted: &Frame, frame: &Frame) -> bool {
        self.framing.kind == MediaKind::Video && doubted.keyframe && !frame.keyframe
    }

    /// Whether nothing agrees with the held frame: neither the one before it nor, after a pause, `next`.
    fn is_alone(&self, next: &Frame) -> bool {
        self.held
            .as_ref()
            .is_some_and(|held| !held.sure && !self.is_near(held.sample.pts(), next, MAX_SECONDS_PAUSE))
    }

    /// Whether `frame` is shown at most so many seconds after the time `before`, and hardly before it.
    fn is_near(&self, before: u64, frame: &Frame, ahead: u64) -> bool {
        let seconds = |seconds: u64| seconds.saturating_mul(self.framing.timescale.into());
        let back = if frame.keyframe {
            MAX_SECONDS_BACK_KEY
        } else {
            MAX_SECONDS_BACK
        };
        frame.pts.saturating_add(seconds(back)) >= before
            && frame.pts <= before.saturating_add(seconds(ahead))
    }
}

#[cfg(test)]
mod tests;
