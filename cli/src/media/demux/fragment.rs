//! A movie fragment (`moof`): which samples it announces and where their bytes lie.

use std::collections::VecDeque;

use mp4_atom::{Atom, FourCC, Tfdt, Tfhd, Trun};

use super::codec::leaf;
use super::tables::composition;
use super::{DemuxError, MAX_FRAGMENT_SAMPLES, MAX_SAMPLE, Planned};
use crate::media::boxes::Children;
use crate::media::{MediaKind, SampleDefaults};

/// What fragments of a track need from the header, and where the track's decode time stands.
#[derive(Debug, Clone)]
pub(in crate::media) struct Timeline {
    pub(in crate::media) id: u32,
    pub(in crate::media) kind: MediaKind,
    pub(in crate::media) defaults: SampleDefaults,
    pub(in crate::media) shift: u64,
    /// Decode time of the next sample, for fragments without `tfdt`.
    pub(in crate::media) next: u64,
}

/// How a `traf` finds its track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::media) enum Match {
    /// By track id; a fragment of an unknown track is passed over.
    Id,
    /// All belong to the only track, whatever their id: objects of one MoQT track.
    Only,
}

/// `sample_is_non_sync_sample` of the sample flags.
const NON_SYNC: u32 = 0x0001_0000;

const TRAF: FourCC = FourCC::new(b"traf");

/// Decode times above this are damage; below it no sum of ours can overflow.
const MAX_TIME: u64 = 1 << 62;

/// Appends the samples of the `moof` box `moof`, which starts at stream position `start`, in order of position.
pub(in crate::media) fn plan(
    moof: &[u8],
    start: u64,
    tracks: &mut [Timeline],
    matching: Match,
    out: &mut VecDeque<Planned>,
) -> Result<(), DemuxError> {
    let body = Children(moof)
        .next()
        .ok_or(DemuxError::Invalid("a fragment header is empty"))??
        .body;
    // Where data of a traf begins if it says nothing: at the moof for the first, behind the previous one else.
    let mut implied = start;
    for traf in Children(body) {
        let traf = traf?;
        if traf.kind == TRAF {
            implied = run(traf.body, start, implied, tracks, matching, out)?;
        }
    }
    out.make_contiguous().sort_by_key(|planned| planned.offset);
    let overlap = out
        .iter()
        .zip(out.iter().skip(1))
        .any(|(a, b)| a.offset + u64::from(a.size) > b.offset);
    if overlap {
        Err(DemuxError::Invalid("samples of a fragment overlap"))
    } else {
        Ok(())
    }
}

/// Plans one `traf`; returns the position behind its data.
fn run(
    traf: &[u8],
    start: u64,
    implied: u64,
    tracks: &mut [Timeline],
    matching: Match,
    out: &mut VecDeque<Planned>,
) -> Result<u64, DemuxError> {
    let mut tfhd: Option<Tfhd> = None;
    let mut tfdt: Option<Tfdt> = None;
    let mut truns: Vec<Trun> = Vec::new();
    let mut samples = out.len();
    for child in Children(traf) {
        let child = child?;
        match child.kind {
            Tfhd::KIND => tfhd = Some(leaf(&child)?),
            Tfdt::KIND => tfdt = Some(leaf(&child)?),
            Trun::KIND => {
                let trun: Trun = leaf(&child)?;
                samples = samples.saturating_add(trun.samples.len());
                if samples > MAX_FRAGMENT_SAMPLES {
                    return Err(DemuxError::TooLarge {
                        what: "the number of samples in a fragment",
                        size: samples as u64,
                        limit: MAX_FRAGMENT_SAMPLES as u64,
                    });
                }
                truns.push(trun);
            }
            _ => {}
        }
    }
    let tfhd = tfhd.ok_or(DemuxError::Invalid("a fragment does not say its track (tfhd)"))?;
    let index = match matching {
        Match::Id => tracks.iter().position(|track| track.id == tfhd.track_id),
        Match::Only => Some(0),
    };
    let base = if tfhd.default_base_is_moof {
        start
    } else {
        tfhd.base_data_offset.unwrap_or(implied)
    };
    let timeline = index.and_then(|index| tracks.get_mut(index));
    let mut timeline = timeline.cloned().zip(index).map(|(copy, index)| (index, copy));
    if let Some((_, timeline)) = &mut timeline {
        if tfhd.sample_description_index.is_some_and(|n| n > 1) {
            return Err(DemuxError::Invalid(
                "a track changes its codec parameters midway, which is not supported",
            ));
        }
        timeline.next = tfdt.map_or(timeline.next, |tfdt| {
            tfdt.base_media_decode_time.saturating_add(timeline.shift)
        });
    }
    let mut position = base;
    for trun in &truns {
        if let Some(offset) = trun.data_offset {
            let outside = DemuxError::Invalid("a fragment points before the file");
            position = base.checked_add_signed(offset.into()).ok_or(outside)?;
        }
        position = samples_of(trun, &tfhd, position, timeline.as_mut(), out)?;
    }
    if let Some((index, timeline)) = timeline
        && let Some(track) = tracks.get_mut(index)
    {
        track.next = timeline.next;
    }
    Ok(position)
}

/// Plans one `trun` whose data begins at `position`; returns the position behind it.
fn samples_of(
    trun: &Trun,
    tfhd: &Tfhd,
    mut position: u64,
    mut timeline: Option<&mut (usize, Timeline)>,
    out: &mut VecDeque<Planned>,
) -> Result<u64, DemuxError> {
    let defaults = timeline
        .as_ref()
        .map(|(_, timeline)| timeline.defaults)
        .unwrap_or_default();
    for entry in &trun.samples {
        let size = entry.size.or(tfhd.default_sample_size).unwrap_or(defaults.size);
        if size > MAX_SAMPLE {
            return Err(DemuxError::TooLarge {
                what: "a sample",
                size: size.into(),
                limit: MAX_SAMPLE.into(),
            });
        }
        let end = position.checked_add(size.into()).filter(|end| *end < MAX_TIME);
        let end = end.ok_or(DemuxError::Invalid("a fragment points beyond any file"))?;
        if let Some((track, timeline)) = timeline.as_deref_mut() {
            if timeline.next > MAX_TIME {
                return Err(DemuxError::Invalid("a decode time is out of range"));
            }
            let duration = entry
                .duration
                .or(tfhd.default_sample_duration)
                .unwrap_or(defaults.duration);
            let flags = entry
                .flags
                .or(tfhd.default_sample_flags)
                .unwrap_or(defaults.flags);
            out.push_back(Planned {
                track: *track,
                offset: position,
                size,
                dts: timeline.next,
                cts: composition(entry.cts.unwrap_or(0))?,
                duration,
                keyframe: timeline.kind == MediaKind::Audio || flags & NON_SYNC == 0,
            });
            timeline.next += u64::from(duration);
        }
        position = end;
    }
    Ok(position)
}
