//! One track on its way through the muxer, and what waits of it.

use std::collections::VecDeque;

use bytes::Bytes;
use mp4_atom::{Atom as _, Moof};

use super::MAX_OBJECT_SAMPLES;
use crate::media::bare::Repackager;
use crate::media::boxes::Children;
use crate::media::demux::{self, DemuxError, Match, Planned, Timeline};
use crate::media::{MediaKind, Sample};

pub(super) const NANOS: i128 = 1_000_000_000;

/// A track on its way through.
#[derive(Debug)]
pub(super) struct Lane {
    /// For objects that are no CMAF.
    pub(super) repackager: Option<Repackager>,
    pub(super) timeline: Timeline,
    pub(super) timescale: i128,
    pub(super) queue: VecDeque<Piece>,
    /// A video lane opens with its first keyframe.
    pub(super) open: bool,
    pub(super) ended: bool,
    pub(super) epoch: usize,
    /// Decode time of the last piece taken, in ticks.
    pub(super) last: Option<u64>,
    /// End of the last piece taken, on the common line.
    pub(super) end: i128,
}

/// Samples without a gap: one fragment.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) epoch: usize,
    pub(super) line: i128,
    pub(super) weight: usize,
    pub(super) samples: Vec<Sample>,
}

impl Lane {
    pub(super) fn nanos(&self, ticks: u64) -> i128 {
        i128::from(ticks) * NANOS / self.timescale
    }

    /// A publisher that started over may be joined inside a group of pictures, which cannot be decoded.
    pub(super) fn close_if_over(&mut self, sample: &Sample) {
        if self.timeline.kind == MediaKind::Video && self.last.is_some_and(|last| sample.dts < last) {
            self.open = false;
        }
    }

    pub(super) fn opens(&mut self, sample: &Sample) -> bool {
        self.open |= sample.keyframe;
        self.open
    }

    /// The samples of an object, as slices of it.
    pub(super) fn read(&mut self, object: &Bytes) -> Result<Vec<Sample>, DemuxError> {
        let mut planned: VecDeque<Planned> = VecDeque::new();
        let mut start = 0;
        let mut fragments = 0;
        for child in Children(object) {
            let child = child?;
            if child.kind == Moof::KIND {
                fragments += 1;
                demux::plan(
                    child.whole,
                    start,
                    std::slice::from_mut(&mut self.timeline),
                    Match::Only,
                    &mut planned,
                )?;
            }
            start += child.whole.len() as u64;
        }
        if fragments == 0 {
            return Err(DemuxError::Invalid("it has no moof box"));
        }
        if planned.len() > MAX_OBJECT_SAMPLES {
            let (size, limit) = (planned.len() as u64, MAX_OBJECT_SAMPLES as u64);
            return Err(DemuxError::TooLarge {
                what: "the number of samples in an object",
                size,
                limit,
            });
        }
        let cut = || DemuxError::Truncated {
            what: "its media data",
        };
        let mut samples = Vec::with_capacity(planned.len());
        for planned in planned {
            let from = usize::try_from(planned.offset).map_err(|_range| cut())?;
            let data = object
                .get(from..)
                .and_then(|rest| rest.get(..planned.size as usize))
                .ok_or_else(cut)?;
            samples.push(planned.with(object.slice_ref(data)));
        }
        Ok(samples)
    }
}
