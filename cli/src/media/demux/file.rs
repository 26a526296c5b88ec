//! Reading an MP4 that can be searched: the index may be at the end, and samples come in decode order.

use std::io::{BufReader, Read, Seek, SeekFrom};

use bytes::{Bytes, BytesMut};
use mp4_atom::{Atom, FourCC, Moov};

use super::tables::Cursor;
use super::{DemuxError, Demuxer, Event, KeyframeWatch, MAX_MOOV, Movie, Planned, starts_mp4};
use crate::media::TrackInfo;
use crate::media::boxes::{Head, MAX_HEAD};

/// How much is read at a time.
const CHUNK: usize = 64 << 10;

/// Reads an MP4 file. Where the file has one index, samples come by decode time, whatever their order in the file:
/// a badly interleaved file can still be paced. A fragmented file comes in file order.
#[derive(Debug)]
pub struct FileReader<R> {
    input: BufReader<R>,
    /// Position of `input`.
    position: u64,
    len: u64,
    tracks: Vec<TrackInfo>,
    announced: bool,
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    Table {
        movie: Movie,
        heads: Vec<(Cursor, Option<Planned>)>,
        keyframes: KeyframeWatch,
    },
    Stream(Box<Demuxer>),
}

impl<R: Read + Seek> FileReader<R> {
    /// Finds the index of the file.
    ///
    /// # Errors
    /// The file cannot be read, is no MP4, is damaged, over a bound, or not supported.
    pub fn open(input: R) -> Result<Self, DemuxError> {
        let mut input = BufReader::with_capacity(CHUNK, input);
        let len = input.seek(SeekFrom::End(0))?;
        let moov = find_moov(&mut input, len)?;
        let movie = Movie::parse(&moov)?;
        let tracks = movie.tracks.iter().map(|track| track.info.clone()).collect();
        let mode = if movie.is_fragmented() {
            Mode::Stream(Box::default())
        } else {
            Mode::Table {
                movie,
                heads: Vec::new(),
                keyframes: KeyframeWatch::default(),
            }
        };
        let mut reader = Self {
            input,
            position: 0,
            len,
            tracks,
            announced: false,
            mode,
        };
        reader.rewind()?;
        Ok(reader)
    }

    /// The tracks, also given as the first event.
    #[must_use]
    pub fn tracks(&self) -> &[TrackInfo] {
        &self.tracks
    }

    /// Goes back to the first sample. The tracks are not announced again.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn rewind(&mut self) -> Result<(), DemuxError> {
        self.input.seek(SeekFrom::Start(0))?;
        self.position = 0;
        match &mut self.mode {
            Mode::Stream(demuxer) => **demuxer = Demuxer::new(),
            Mode::Table {
                movie,
                heads,
                keyframes,
            } => {
                heads.clear();
                for (index, track) in movie.tracks.iter().enumerate() {
                    let mut cursor = Cursor::new(track.shift);
                    let head = cursor.next(index, &track.table)?;
                    heads.push((cursor, head));
                }
                *keyframes = KeyframeWatch::new(&self.tracks);
            }
        }
        Ok(())
    }

    /// The next event, or `None` at the end of the file.
    ///
    /// # Errors
    /// The file cannot be read, is damaged or cut off, or has no video keyframe.
    pub fn next_event(&mut self) -> Result<Option<Event>, DemuxError> {
        if !self.announced {
            self.announced = true;
            return Ok(Some(Event::Tracks(self.tracks.clone())));
        }
        if matches!(self.mode, Mode::Stream(_)) {
            self.next_in_stream()
        } else {
            self.next_in_table()
        }
    }

    fn next_in_stream(&mut self) -> Result<Option<Event>, DemuxError> {
        let Mode::Stream(demuxer) = &mut self.mode else {
            return Ok(None);
        };
        loop {
            match demuxer.next_event()? {
                // Announced already, from the index that open() read.
                Some(Event::Tracks(_)) => {}
                Some(sample) => return Ok(Some(sample)),
                None => {
                    let mut chunk = BytesMut::zeroed(CHUNK);
                    let read = self.input.read(&mut chunk)?;
                    if read == 0 {
                        demuxer.finish()?;
                        return Ok(None);
                    }
                    chunk.truncate(read);
                    demuxer.push(chunk.freeze());
                }
            }
        }
    }

    fn next_in_table(&mut self) -> Result<Option<Event>, DemuxError> {
        let Mode::Table {
            movie,
            heads,
            keyframes,
        } = &mut self.mode
        else {
            return Ok(None);
        };
        let tracks = &self.tracks;
        let time = |p: &Planned| {
            tracks
                .get(p.track)
                .map_or(0, |t| u128::from(p.dts) * NANOS / u128::from(t.timescale.get()))
        };
        let Some(next) = heads.iter().filter_map(|(_, head)| *head).min_by_key(time) else {
            keyframes.finish()?;
            return Ok(None);
        };
        if let Some((cursor, head)) = heads.get_mut(next.track)
            && let Some(track) = movie.tracks.get(next.track)
        {
            *head = cursor.next(next.track, &track.table)?;
        }
        keyframes.saw(next.track, next.keyframe)?;
        if next.end() > self.len {
            return Err(DemuxError::Truncated {
                what: "its media data",
            });
        }
        // A short step stays inside the buffer of the reader.
        let step = i128::from(next.offset) - i128::from(self.position);
        self.input.seek_relative(
            i64::try_from(step).map_err(|_range| DemuxError::Invalid("a sample lies beyond any file"))?,
        )?;
        let mut data = BytesMut::zeroed(next.size as usize);
        self.input.read_exact(&mut data)?;
        self.position = next.end();
        Ok(Some(Event::Sample(next.with(data.freeze()))))
    }
}

const NANOS: u128 = 1_000_000_000;

/// Steps from box to box until the index, and reads it.
fn find_moov<R: Read + Seek>(input: &mut BufReader<R>, len: u64) -> Result<Bytes, DemuxError> {
    let mut position = input.seek(SeekFrom::Start(0))?;
    if len == 0 {
        return Err(DemuxError::Empty);
    }
    while position < len {
        let mut bytes = [0; MAX_HEAD];
        let there = usize::try_from(len - position).map_or(MAX_HEAD, |left| left.min(MAX_HEAD));
        let bytes = bytes.get_mut(..there).unwrap_or_default();
        input.read_exact(bytes)?;
        if position == 0 && !bytes.get(4..8).is_some_and(starts_mp4) {
            return Err(DemuxError::NotMp4 {
                found: format!("\"{}\"", bytes.escape_ascii()),
            });
        }
        let head = Head::parse(bytes)?.ok_or(DemuxError::Truncated { what: "a box" })?;
        let Some(size) = head.size else { break };
        if head.kind == Moov::KIND {
            return read_moov(input, position, size, len);
        }
        position = position
            .checked_add(size)
            .ok_or(DemuxError::BoxSize { kind: head.kind })?;
        if position > len && head.kind == MOOF {
            return Err(DemuxError::Truncated { what: "a fragment" });
        }
        input.seek(SeekFrom::Start(position))?;
    }
    Err(DemuxError::NoMoov)
}

const MOOF: FourCC = FourCC::new(b"moof");

fn read_moov<R: Read + Seek>(
    input: &mut BufReader<R>,
    position: u64,
    size: u64,
    len: u64,
) -> Result<Bytes, DemuxError> {
    let limit = MAX_MOOV;
    let bytes = match usize::try_from(size) {
        Ok(bytes) if size <= limit => bytes,
        _ => {
            return Err(DemuxError::TooLarge {
                what: "the index (moov)",
                size,
                limit,
            });
        }
    };
    if position.checked_add(size).is_none_or(|end| end > len) {
        return Err(DemuxError::Truncated {
            what: "its index (moov)",
        });
    }
    input.seek(SeekFrom::Start(position))?;
    let mut moov = BytesMut::zeroed(bytes);
    input.read_exact(&mut moov)?;
    Ok(moov.freeze())
}
