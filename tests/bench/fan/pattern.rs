//! What is published, and the head of each payload.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{BufMut as _, Bytes, BytesMut};
use clap::ValueEnum;
use headwater_pubsub::wire::{FullTrackName, TrackName, TrackNamespace};

/// Patterns by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// 20 kB, 30 times a second, groups of 30, to 100 subscribers.
    Video,
    /// 4 kB, 60 times a second, groups of 60, to 100.
    #[value(name = "4k")]
    FourK,
    /// 200 B, 50 times a second, each a group, to 200.
    Audio,
    /// 200 B, 5 times a second, each a group, to 1000.
    Chat,
    /// 64 kB, as fast as it goes, to one.
    Bulk1,
    /// The same to 10.
    Bulk10,
    /// The same to 50.
    Bulk50,
    /// 200 tracks of 1 kB, 10 times a second, groups of 10, each to 5 of 40 sessions.
    Many,
    /// As video, but 10 of the 100 do not read.
    Slow,
    /// 50 more a second, each for a second, of a track whose cache is full: 20 kB, 30 times a second, groups of 30.
    Join,
    /// 1000 sessions that have asked for a track of which nothing comes.
    Idle,
    /// A little of everything, to see that it works.
    Smoke,
}

/// When objects are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rate {
    /// So many a second, on each track.
    PerSecond(u32),
    /// As fast as the slowest subscriber takes them.
    AsTaken,
    /// The first at once, and no more.
    Still,
}

impl Name {
    pub(crate) const fn pattern(self) -> Pattern {
        let video = Pattern {
            bytes: 20_000,
            rate: Rate::PerSecond(30),
            group: 30,
            sessions: 100,
            stalled: 0,
            tracks: 1,
            classes: 1,
            joins: None,
        };
        let (bytes, rate, group, sessions) = match self {
            Self::Video => return video,
            Self::Slow => {
                return Pattern { stalled: 10, ..video };
            }
            Self::Many => {
                return Pattern {
                    bytes: 1000,
                    rate: Rate::PerSecond(10),
                    group: 10,
                    sessions: 40,
                    tracks: 200,
                    classes: 8,
                    ..video
                };
            }
            Self::FourK => (4000, Rate::PerSecond(60), 60, 100),
            Self::Audio => (200, Rate::PerSecond(50), 1, 200),
            Self::Chat => (200, Rate::PerSecond(5), 1, 1000),
            Self::Bulk1 => (BULK, Rate::AsTaken, BULK_GROUP, 1),
            Self::Bulk10 => (BULK, Rate::AsTaken, BULK_GROUP, 10),
            Self::Bulk50 => (BULK, Rate::AsTaken, BULK_GROUP, 50),
            Self::Join => {
                return Pattern {
                    sessions: 1,
                    joins: Some(50),
                    ..video
                };
            }
            Self::Idle => (200, Rate::Still, 1, 1000),
            Self::Smoke => {
                return Pattern {
                    bytes: 3000,
                    group: 10,
                    sessions: 8,
                    tracks: 4,
                    classes: 2,
                    ..video
                };
            }
        };
        Pattern {
            bytes,
            rate,
            group,
            sessions,
            ..video
        }
    }

    pub(crate) fn text(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

const BULK: usize = 64 << 10;
const BULK_GROUP: u64 = 100;
/// Objects that may be under way of a pattern without a rate: the source waits for the slowest subscriber then.
pub(crate) const WINDOW: u64 = 64;

/// What is published and who reads it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pattern {
    /// Of each object's payload.
    pub(crate) bytes: usize,
    pub(crate) rate: Rate,
    /// Objects of a group.
    pub(crate) group: u64,
    /// Sessions that read.
    pub(crate) sessions: usize,
    /// The first so many of them ask and do not read.
    pub(crate) stalled: usize,
    pub(crate) tracks: usize,
    /// A session reads the tracks whose number leaves the same rest by this as its own.
    pub(crate) classes: usize,
    /// Sessions that come in a second, stay for a second and go, beside those that read all the time.
    pub(crate) joins: Option<u32>,
}

impl Pattern {
    /// The tracks that a session reads.
    pub(crate) fn tracks_of(&self, session: usize) -> impl Iterator<Item = usize> + use<> {
        let classes = self.classes;
        (0..self.tracks).filter(move |track| track % classes == session % classes)
    }

    /// How long the source publishes before anything is measured: until caches, congestion windows and path MTUs are what they
    /// stay.
    pub(crate) const fn warm(&self) -> Duration {
        match self.joins {
            // Of the cache that the relay is given then.
            Some(_) => Duration::from_secs(8),
            None => Duration::from_millis(1500),
        }
    }

    /// One object: its head, and filler.
    pub(crate) fn payload(&self, track: usize, step: u64) -> Bytes {
        let mut payload = BytesMut::with_capacity(self.bytes);
        Head::now(track, step).encode(&mut payload);
        payload.resize(self.bytes, 0x5a);
        payload.freeze()
    }

    /// The name of a track.
    pub(crate) fn track(&self, number: usize) -> anyhow::Result<FullTrackName> {
        let namespace = namespace()?;
        Ok(FullTrackName::new(
            namespace,
            TrackName::new(format!("track{number}"))?,
        )?)
    }
}

/// Where all tracks are.
pub(crate) fn namespace() -> anyhow::Result<TrackNamespace> {
    Ok(TrackNamespace::new(["bench", "fan"])?)
}

/// What a payload begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// Clock of the machine when it was published, in microseconds.
    pub(crate) sent: u64,
    pub(crate) track: u64,
    /// Number of the object in its track.
    pub(crate) step: u64,
}

impl Head {
    pub(crate) const LEN: usize = 24;

    pub(crate) fn now(track: usize, step: u64) -> Self {
        Self {
            sent: now_us(),
            track: u64::try_from(track).unwrap_or(u64::MAX),
            step,
        }
    }

    pub(crate) fn encode(self, buf: &mut BytesMut) {
        buf.put_u64(self.sent);
        buf.put_u64(self.track);
        buf.put_u64(self.step);
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let field = |at: usize| {
            let part = bytes.get(at..at + 8)?;
            Some(u64::from_be_bytes(part.try_into().ok()?))
        };
        Some(Self {
            sent: field(0)?,
            track: field(8)?,
            step: field(16)?,
        })
    }
}

/// The machine's clock, which source and sink share.
#[expect(
    clippy::disallowed_methods,
    reason = "two processes have no other clock in common"
)]
pub(crate) fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
