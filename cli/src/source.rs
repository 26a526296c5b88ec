//! Reading MP4 on a thread of its own, so that a slow disk or pipe does not stop the network.

use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::path::Path;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::exit::{Exit, Failure};
use crate::media::demux::{DemuxError, Demuxer, Event, FileReader};
use crate::media::{Sample, TrackInfo};

/// Samples read ahead: a second or two; a full queue holds the reader back.
const AHEAD: usize = 64;
/// Bytes read from a pipe at once.
const CHUNK: usize = 64 << 10;

/// Whether a file starts over at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Once.
    Once,
    /// Without end.
    Forever,
}

/// Whether the input sets the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// A file: everything is there at once, timestamps say when it is due.
    Timestamps,
    /// A pipe: what comes is due.
    Live,
}

/// What a source gives: the tracks first, then the rest.
#[derive(Debug)]
pub enum Item {
    /// The tracks.
    Tracks(Vec<TrackInfo>),
    /// The next sample.
    Sample(Sample),
    /// The file ended and starts over.
    Again,
}

/// An MP4 that is being read.
#[derive(Debug)]
pub struct Source {
    items: mpsc::Receiver<Result<Item, DemuxError>>,
    pace: Pace,
}

type Items = mpsc::Sender<Result<Item, DemuxError>>;

impl Source {
    /// Begins to read `path` (`-`: stdin) on a thread of `tasks`.
    ///
    /// # Errors
    /// The file cannot be opened or is no MP4 that can be published.
    pub fn open(path: &Path, repeat: Repeat, tasks: &mut JoinSet<()>) -> Result<Self, Failure> {
        let (sender, items) = mpsc::channel(AHEAD);
        let pace = if path == Path::new("-") {
            tasks.spawn_blocking(move || read_pipe(std::io::stdin(), &sender));
            Pace::Live
        } else {
            let unusable = |error: std::io::Error| {
                Failure::say(
                    Exit::Input,
                    format!("cannot open {}: {error}; check the name", path.display()),
                )
            };
            let file = File::open(path).map_err(unusable)?;
            if file.metadata().map_err(unusable)?.is_file() {
                let reader = FileReader::open(file)
                    .map_err(|error| Failure::new(Exit::Input, error).context(path.display().to_string()))?;
                tasks.spawn_blocking(move || read_file(reader, repeat, &sender));
                Pace::Timestamps
            } else {
                tasks.spawn_blocking(move || read_pipe(file, &sender));
                Pace::Live
            }
        };
        if repeat == Repeat::Forever && pace == Pace::Live {
            return Err(Failure::say(
                Exit::Usage,
                "--loop needs a file: a pipe cannot be read again",
            ));
        }
        Ok(Self { items, pace })
    }

    /// Begins to read an MP4 in memory, without end.
    ///
    /// # Errors
    /// It is no MP4 that can be published.
    pub fn repeat_bytes(bytes: &'static [u8], tasks: &mut JoinSet<()>) -> Result<Self, DemuxError> {
        let (sender, items) = mpsc::channel(AHEAD);
        let reader = FileReader::open(Cursor::new(bytes))?;
        tasks.spawn_blocking(move || read_file(reader, Repeat::Forever, &sender));
        Ok(Self {
            items,
            pace: Pace::Timestamps,
        })
    }

    /// Who sets the pace.
    #[must_use]
    pub const fn pace(&self) -> Pace {
        self.pace
    }

    /// The next item, `None` at the end. Cancel-safe.
    ///
    /// # Errors
    /// The input is damaged, cut off, or cannot be published.
    pub async fn next(&mut self) -> Result<Option<Item>, DemuxError> {
        self.items.recv().await.transpose()
    }

    /// The tracks, which come first.
    ///
    /// # Errors
    /// The input has none, or cannot be read.
    pub async fn tracks(&mut self) -> Result<Vec<TrackInfo>, DemuxError> {
        match self.next().await? {
            Some(Item::Tracks(tracks)) => Ok(tracks),
            _ => Err(DemuxError::Empty),
        }
    }
}

/// Nobody listens any more.
struct Gone;

fn send(items: &Items, item: Result<Item, DemuxError>) -> Result<(), Gone> {
    items.blocking_send(item).map_err(|_closed| Gone)
}

fn item(event: Event) -> Item {
    match event {
        Event::Tracks(tracks) => Item::Tracks(tracks),
        Event::Sample(sample) => Item::Sample(sample),
    }
}

fn read_file<R: Read + Seek>(mut reader: FileReader<R>, repeat: Repeat, items: &Items) {
    let mut step = || {
        let next = match reader.next_event() {
            Ok(Some(event)) => Ok(item(event)),
            Ok(None) if repeat == Repeat::Once => return Err(Gone),
            Ok(None) => reader.rewind().map(|()| Item::Again),
            Err(error) => Err(error),
        };
        let failed = next.is_err();
        send(items, next)?;
        if failed { Err(Gone) } else { Ok(()) }
    };
    while step().is_ok() {}
}

fn read_pipe(mut pipe: impl Read, items: &Items) {
    let mut demuxer = Demuxer::new();
    let mut chunk = BytesMut::zeroed(CHUNK);
    loop {
        let read = match pipe.read(&mut chunk) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error.into()),
            Ok(read) => Ok(read),
        };
        let more = read.and_then(|read| {
            match chunk.get(..read) {
                Some(new) if !new.is_empty() => demuxer.push(Bytes::copy_from_slice(new)),
                _ => demuxer.finish()?,
            }
            Ok(read > 0)
        });
        match more {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                let _closed = send(items, Err(error)).is_err();
                return;
            }
        }
        loop {
            match demuxer.next_event() {
                Ok(None) => break,
                Ok(Some(event)) => {
                    if send(items, Ok(item(event))).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let _closed = send(items, Err(error)).is_err();
                    return;
                }
            }
        }
    }
}
