//! The index of an MP4 (`moov`): its tracks, their sample tables, their edit lists.

use std::num::NonZeroU32;

use bytes::Bytes;
use mp4_atom::{Atom, Co64, Ctts, Elst, FourCC, Hdlr, Mdhd, Mvhd, Stco, Stsc, Stss, Stsz, Stts, Tkhd, Trex};

use super::codec::{self, leaf};
use super::tables::{Offsets, SampleTable};
use super::{DemuxError, MAX_SAMPLE_ENTRY, MAX_TRACKS};
use crate::media::boxes::{Child, Children};
use crate::media::track::Display;
use crate::media::{MediaKind, SampleDefaults, TrackInfo};

/// A parsed `moov`.
#[derive(Debug)]
pub(in crate::media) struct Movie {
    pub(in crate::media) tracks: Vec<Track>,
    /// Fragments may follow, perhaps after samples that the index holds itself.
    fragmented: bool,
}

/// An audio or video track of the movie.
#[derive(Debug)]
pub(in crate::media) struct Track {
    pub(in crate::media) info: TrackInfo,
    /// Samples outside fragments; empty in a fragmented file.
    pub(in crate::media) table: SampleTable,
    /// How the edit list moves the track against the others, in nanoseconds.
    edit: i128,
    /// What is added to every decode time for that, in ticks; set by [`align`].
    pub(in crate::media) shift: u64,
}

const MDIA: FourCC = FourCC::new(b"mdia");
const MINF: FourCC = FourCC::new(b"minf");
const STBL: FourCC = FourCC::new(b"stbl");
const STSD: FourCC = FourCC::new(b"stsd");
const EDTS: FourCC = FourCC::new(b"edts");
const MVEX: FourCC = FourCC::new(b"mvex");
const TRAK: FourCC = FourCC::new(b"trak");

impl Movie {
    /// Parses a whole `moov` box. Metadata, chapters and tracks that are neither audio nor video are passed over.
    pub(in crate::media) fn parse(moov: &Bytes) -> Result<Self, DemuxError> {
        let body = Children(moov).next().ok_or(DemuxError::NoMoov)??.body;
        let mut movie_timescale = 0;
        let mut traks = Vec::new();
        let mut trexs: Vec<Trex> = Vec::new();
        let mut fragmented = false;
        for child in Children(body) {
            let child = child?;
            match child.kind {
                Mvhd::KIND => movie_timescale = leaf::<Mvhd>(&child)?.timescale,
                TRAK if traks.len() >= MAX_TRACKS => {
                    return Err(DemuxError::TooLarge {
                        what: "the number of tracks",
                        size: traks.len() as u64 + 1,
                        limit: MAX_TRACKS as u64,
                    });
                }
                TRAK => traks.push(child.body),
                MVEX => {
                    fragmented = true;
                    for trex in Children(child.body)
                        .filter(|c| c.is_ok_and(|c| c.kind == Trex::KIND))
                        .take(MAX_TRACKS)
                    {
                        trexs.push(leaf(&trex?)?);
                    }
                }
                _ => {}
            }
        }
        let mut tracks: Vec<Track> = Vec::new();
        for trak in traks {
            let Some(mut track) = Parts::collect(trak)?.track(moov, movie_timescale)? else {
                continue;
            };
            if tracks.iter().any(|other| other.info.id == track.info.id) {
                return Err(DemuxError::Invalid("two tracks have one id"));
            }
            if let Some(trex) = trexs.iter().find(|trex| trex.track_id == track.info.id) {
                track.info.defaults = SampleDefaults {
                    duration: trex.default_sample_duration,
                    size: trex.default_sample_size,
                    flags: trex.default_sample_flags,
                };
            }
            tracks.push(track);
        }
        if tracks.is_empty() {
            return Err(DemuxError::NoTracks);
        }
        align(&mut tracks);
        Ok(Self { tracks, fragmented })
    }

    /// True if samples may be in fragments.
    pub(super) fn is_fragmented(&self) -> bool {
        self.fragmented
    }
}

/// Turns edit lists into one non-negative shift per track.
///
/// An edit list moves a track against the others: an empty edit delays it, a media time hides its start (encoder
/// delay). Objects on the wire have no edit list, so the moves go into the decode times, all raised by the same
/// amount so that none falls below zero.
pub(in crate::media) fn align(tracks: &mut [Track]) {
    let raise = tracks.iter().map(|track| -track.edit).max().unwrap_or(0).max(0);
    for track in tracks {
        let ticks = ((track.edit + raise) * i128::from(track.info.timescale.get()) + NANOS / 2) / NANOS;
        track.shift = u64::try_from(ticks).unwrap_or(0);
    }
}

const NANOS: i128 = 1_000_000_000;

/// Longest delay or cut we take from an edit list: ten days. More is damage.
const MAX_EDIT: i128 = 10 * 86_400 * NANOS;

fn edit(elst: &Elst, movie_timescale: u32, timescale: NonZeroU32) -> Result<i128, DemuxError> {
    let mut delay = 0_i128;
    for entry in &elst.entries {
        if let Some(start) = entry.media_time {
            delay -= i128::from(start) * NANOS / i128::from(timescale.get());
            break;
        }
        if movie_timescale == 0 {
            return Err(DemuxError::Invalid("an edit list in a movie without a timescale"));
        }
        delay += i128::from(entry.segment_duration) * NANOS / i128::from(movie_timescale);
    }
    if delay.abs() > MAX_EDIT {
        return Err(DemuxError::Invalid(
            "an edit list moves a track by more than ten days",
        ));
    }
    Ok(delay)
}

/// The boxes of a `trak` that we use.
#[derive(Default)]
struct Parts<'a> {
    tkhd: Option<Tkhd>,
    elst: Option<Elst>,
    mdhd: Option<Mdhd>,
    hdlr: Option<Hdlr>,
    stsd: Option<Child<'a>>,
    stts: Stts,
    ctts: Ctts,
    stss: Option<Stss>,
    stsc: Stsc,
    stsz: Option<Stsz>,
    offsets: Option<Offsets>,
}

impl<'a> Parts<'a> {
    fn collect(trak: &'a [u8]) -> Result<Self, DemuxError> {
        let mut parts = Self::default();
        let mut open = vec![trak];
        while let Some(container) = open.pop() {
            for child in Children(container) {
                let child = child?;
                match child.kind {
                    EDTS | MDIA | MINF | STBL if open.len() < 8 => open.push(child.body),
                    Tkhd::KIND => parts.tkhd = Some(leaf(&child)?),
                    Elst::KIND => parts.elst = Some(leaf(&child)?),
                    Mdhd::KIND => parts.mdhd = Some(leaf(&child)?),
                    // QuickTime has a second handler inside minf, about where the data lies.
                    Hdlr::KIND => parts.hdlr = Some(parts.hdlr.take().map_or_else(|| handler(&child), Ok)?),
                    STSD => parts.stsd = Some(child),
                    Stts::KIND => parts.stts = leaf(&child)?,
                    Ctts::KIND => parts.ctts = leaf(&child)?,
                    Stss::KIND => parts.stss = Some(leaf(&child)?),
                    Stsc::KIND => parts.stsc = leaf(&child)?,
                    Stsz::KIND => parts.stsz = Some(leaf(&child)?),
                    Stco::KIND => parts.offsets = Some(Offsets::Short(leaf::<Stco>(&child)?.entries)),
                    Co64::KIND => parts.offsets = Some(Offsets::Long(leaf::<Co64>(&child)?.entries)),
                    _ => {}
                }
            }
        }
        Ok(parts)
    }

    /// The track, or `None` if it is neither audio nor video.
    fn track(self, moov: &Bytes, movie_timescale: u32) -> Result<Option<Track>, DemuxError> {
        let hdlr = self.hdlr.ok_or(DemuxError::Invalid("a track has no handler"))?;
        let kind = match &<[u8; 4]>::from(hdlr.handler) {
            b"vide" => MediaKind::Video,
            b"soun" => MediaKind::Audio,
            _ => return Ok(None),
        };
        let tkhd = self
            .tkhd
            .ok_or(DemuxError::Invalid("a track has no header (tkhd)"))?;
        let mdhd = self
            .mdhd
            .ok_or(DemuxError::Invalid("a track has no media header (mdhd)"))?;
        let timescale =
            NonZeroU32::new(mdhd.timescale).ok_or(DemuxError::Invalid("a track has timescale 0"))?;
        if tkhd.track_id == 0 {
            return Err(DemuxError::Invalid("a track has id 0"));
        }
        let stsd = self
            .stsd
            .ok_or(DemuxError::Invalid("a track has no sample description (stsd)"))?;
        let entry = sample_entry(&stsd)?;
        let described = codec::describe(&entry, kind, tkhd.track_id)?;
        let edit = self
            .elst
            .map_or(Ok(0), |elst| edit(&elst, movie_timescale, timescale))?;
        let sizes = self.stsz.unwrap_or_default().samples;
        let sync = (kind == MediaKind::Video)
            .then_some(self.stss)
            .flatten()
            .map(|stss| stss.entries);
        let table = SampleTable::new(
            sizes,
            self.stts,
            self.ctts,
            self.stsc,
            self.offsets.unwrap_or_default(),
            sync,
        )?;
        let video = kind == MediaKind::Video;
        let info = TrackInfo {
            kind,
            id: tkhd.track_id,
            timescale,
            codec: described.codec,
            width: described.width,
            height: described.height,
            framerate: if video { table.framerate(timescale) } else { None },
            sample_rate: described.sample_rate,
            channels: described.channels,
            bitrate: described.bitrate.or_else(|| table.bitrate(timescale)),
            language: mdhd.language,
            sample_entry: moov.slice_ref(entry.whole),
            defaults: SampleDefaults::default(),
            display: Display::from(&tkhd),
        };
        Ok(Some(Track {
            info,
            table,
            edit,
            shift: 0,
        }))
    }
}

/// The first sample entry of an `stsd`.
fn sample_entry<'a>(stsd: &Child<'a>) -> Result<Child<'a>, DemuxError> {
    // Version, flags and the number of entries come before the first entry.
    let entries = stsd
        .body
        .get(8..)
        .ok_or(DemuxError::Invalid("a sample description (stsd) is too short"))?;
    let entry = Children(entries)
        .next()
        .ok_or(DemuxError::Invalid("a sample description (stsd) is empty"))??;
    if entry.whole.len() > MAX_SAMPLE_ENTRY {
        return Err(DemuxError::TooLarge {
            what: "a sample entry",
            size: entry.whole.len() as u64,
            limit: MAX_SAMPLE_ENTRY as u64,
        });
    }
    Ok(entry)
}

/// Handlers of QuickTime have a counted name that need not be text, so only the type is read.
fn handler(child: &Child<'_>) -> Result<Hdlr, DemuxError> {
    let kind = child.body.get(8..).and_then(|rest| rest.first_chunk::<4>());
    let handler = FourCC::from(*kind.ok_or(DemuxError::Invalid("a handler (hdlr) is too short"))?);
    Ok(Hdlr {
        handler,
        name: String::new(),
    })
}
