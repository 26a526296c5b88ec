//! The sample table of a progressive MP4, read one sample at a time (ISO/IEC 14496-12, "Sample Table Box").
//!
//! The tables stay as they are in the file; a [`Cursor`] walks them, so a file of a million frames costs no more than
//! its own index.

use std::num::NonZeroU32;

use mp4_atom::{Ctts, Stsc, StszSamples, Stts};

use super::{DemuxError, MAX_SAMPLE, Planned};

/// Where the chunks of a track lie.
#[derive(Debug)]
pub(super) enum Offsets {
    Short(Vec<u32>),
    Long(Vec<u64>),
}

impl Default for Offsets {
    fn default() -> Self {
        Self::Short(Vec::new())
    }
}

impl Offsets {
    fn get(&self, chunk: usize) -> Option<u64> {
        match self {
            Self::Short(all) => all.get(chunk).map(|offset| u64::from(*offset)),
            Self::Long(all) => all.get(chunk).copied(),
        }
    }
}

/// The tables of one track.
#[derive(Debug)]
pub(in crate::media) struct SampleTable {
    sizes: StszSamples,
    stts: Stts,
    ctts: Ctts,
    stsc: Stsc,
    offsets: Offsets,
    /// Numbers of the keyframes, from 1, rising; `None` means that all are.
    sync: Option<Vec<u32>>,
}

impl SampleTable {
    pub(super) fn new(
        sizes: StszSamples,
        stts: Stts,
        ctts: Ctts,
        stsc: Stsc,
        offsets: Offsets,
        sync: Option<Vec<u32>>,
    ) -> Result<Self, DemuxError> {
        if stsc
            .entries
            .iter()
            .any(|entry| entry.sample_description_index > 1)
        {
            return Err(DemuxError::Invalid(
                "a track changes its codec parameters midway, which is not supported",
            ));
        }
        if !stsc.entries.is_sorted_by(|a, b| a.first_chunk < b.first_chunk) {
            return Err(DemuxError::Invalid("the chunk table (stsc) is not in order"));
        }
        let table = Self {
            sizes,
            stts,
            ctts,
            stsc,
            offsets,
            sync,
        };
        if !table.is_empty() && table.sync.as_ref().is_some_and(Vec::is_empty) {
            return Err(DemuxError::NoKeyframe { after: None });
        }
        Ok(table)
    }

    pub(super) fn len(&self) -> u32 {
        match &self.sizes {
            StszSamples::Identical { count, .. } => *count,
            StszSamples::Different { sizes } => u32::try_from(sizes.len()).unwrap_or(u32::MAX),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn size(&self, index: u32) -> u32 {
        match &self.sizes {
            StszSamples::Identical { size, .. } => *size,
            StszSamples::Different { sizes } => sizes.get(index as usize).copied().unwrap_or(0),
        }
    }

    /// Ticks that all samples last.
    fn duration(&self) -> u64 {
        self.stts.entries.iter().fold(0, |sum, e| {
            sum.saturating_add(u64::from(e.sample_count) * u64::from(e.sample_delta))
        })
    }

    /// Mean frames per second, to a thousandth.
    pub(super) fn framerate(&self, timescale: NonZeroU32) -> Option<f64> {
        let duration = self.duration();
        if duration == 0 || self.is_empty() {
            return None;
        }
        let milli = u128::from(self.len()) * u128::from(timescale.get()) * 1000 / u128::from(duration);
        Some(f64::from(u32::try_from(milli).ok()?) / 1000.0)
    }

    /// Mean bits per second.
    pub(super) fn bitrate(&self, timescale: NonZeroU32) -> Option<u64> {
        let bytes: u128 = match &self.sizes {
            StszSamples::Identical { count, size } => u128::from(*count) * u128::from(*size),
            StszSamples::Different { sizes } => sizes.iter().map(|size| u128::from(*size)).sum(),
        };
        let duration = self.duration();
        if duration == 0 || bytes == 0 {
            return None;
        }
        u64::try_from(bytes * 8 * u128::from(timescale.get()) / u128::from(duration)).ok()
    }
}

/// Where a walk over a [`SampleTable`] stands. Works only with the table it was begun with.
#[derive(Debug, Default, Clone)]
pub(super) struct Cursor {
    index: u32,
    dts: u64,
    /// Index of the chunk and how many of its samples are left.
    chunk: usize,
    in_chunk: u32,
    stsc: usize,
    offset: u64,
    stts: Run,
    ctts: Run,
    sync: usize,
}

/// A place in a run-length table: entry, and how many of its samples are used.
#[derive(Debug, Default, Clone)]
struct Run {
    entry: usize,
    used: u32,
}

impl Run {
    /// The value for the next sample; the last entry goes on if the table is too short.
    fn step<E>(&mut self, entries: &[E], count: impl Fn(&E) -> u32) -> Option<usize> {
        while let Some(entry) = entries.get(self.entry) {
            if self.used < count(entry) {
                self.used += 1;
                return Some(self.entry);
            }
            self.entry += 1;
            self.used = 0;
        }
        entries.len().checked_sub(1)
    }
}

impl Cursor {
    pub(super) fn new(shift: u64) -> Self {
        Self {
            dts: shift,
            ..Self::default()
        }
    }

    /// The next sample of `table`, or `None` at its end.
    pub(super) fn next(&mut self, track: usize, table: &SampleTable) -> Result<Option<Planned>, DemuxError> {
        if self.index >= table.len() {
            return Ok(None);
        }
        while self.in_chunk == 0 {
            self.open_chunk(table)?;
        }
        let size = table.size(self.index);
        if size > MAX_SAMPLE {
            return Err(DemuxError::TooLarge {
                what: "a sample",
                size: size.into(),
                limit: MAX_SAMPLE.into(),
            });
        }
        let delta = self
            .stts
            .step(&table.stts.entries, |e| e.sample_count)
            .and_then(|i| table.stts.entries.get(i));
        let duration = delta
            .ok_or(DemuxError::Invalid("a track has no sample times (stts)"))?
            .sample_delta;
        let cts = self
            .ctts
            .step(&table.ctts.entries, |e| e.sample_count)
            .and_then(|i| table.ctts.entries.get(i));
        let number = self.index + 1;
        let planned = Planned {
            track,
            offset: self.offset,
            size,
            dts: self.dts,
            cts: cts.map_or(Ok(0), |entry| composition(entry.sample_offset))?,
            duration,
            keyframe: self.is_sync(table, number),
        };
        let far = DemuxError::Invalid("sample times or places are beyond any file");
        self.dts = self.dts.checked_add(duration.into()).ok_or(far)?;
        self.offset = self
            .offset
            .checked_add(size.into())
            .ok_or(DemuxError::Invalid("a sample lies beyond any file"))?;
        self.in_chunk -= 1;
        self.index = number;
        Ok(Some(planned))
    }

    fn open_chunk(&mut self, table: &SampleTable) -> Result<(), DemuxError> {
        let entries = &table.stsc.entries;
        let short = DemuxError::Invalid("the chunk tables (stsc, stco) hold fewer samples than stsz");
        self.offset = table.offsets.get(self.chunk).ok_or(short)?;
        self.chunk += 1;
        while entries
            .get(self.stsc + 1)
            .is_some_and(|next| next.first_chunk as usize <= self.chunk)
        {
            self.stsc += 1;
        }
        let entry = entries
            .get(self.stsc)
            .ok_or(DemuxError::Invalid("a track has no chunk table (stsc)"))?;
        self.in_chunk = entry.samples_per_chunk;
        Ok(())
    }

    fn is_sync(&mut self, table: &SampleTable, number: u32) -> bool {
        let Some(sync) = &table.sync else { return true };
        while sync.get(self.sync).is_some_and(|next| *next < number) {
            self.sync += 1;
        }
        sync.get(self.sync) == Some(&number)
    }
}

/// A composition offset as we keep it.
pub(super) fn composition(offset: i64) -> Result<i32, DemuxError> {
    i32::try_from(offset).map_err(|_range| DemuxError::Invalid("a composition offset is out of range"))
}
