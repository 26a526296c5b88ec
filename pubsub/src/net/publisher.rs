//! Publishing: tracks written in memory, served to whoever asks, or offered.
//!
//! A [`PublishedTrack`] is the track and the place where its groups wait for subscribers and fetches; a [`TrackWriter`] appends
//! to it. Neither belongs to a session: one track can be served on many ([`Client::serve`]), and writing never waits: what
//! nobody takes leaves with the cache's rules.

mod publication;
mod writer;

use std::sync::Arc;

use tokio::sync::watch;

pub use self::{
    publication::{NamespacePublication, Publication, PublishOptions},
    writer::{GroupWriter, ObjectWriter, StreamEnd, SubgroupWriter, TrackWriter},
};
use super::Clock;
use crate::{
    track::{Authority, Cache, Track},
    wire::{DecodeError, FullTrackName, Properties},
};

/// A track that we publish. Clones are the same track.
#[derive(Clone, Debug)]
pub struct PublishedTrack {
    track: Arc<Track>,
    /// What subscribers asked for by NEW_GROUP_REQUEST since the last group began: the largest value.
    wanted: Arc<watch::Sender<Option<u64>>>,
}

impl PublishedTrack {
    /// A new track without objects.
    ///
    /// # Errors
    /// The properties cannot be read, or have values that the draft forbids.
    pub fn new(name: FullTrackName, properties: Properties, cache: &Arc<Cache>) -> Result<Self, DecodeError> {
        let track = Track::new(name, Authority::Original, cache);
        track.set_properties(properties)?;
        Ok(Self::from_track(track))
    }

    /// A track that is filled elsewhere.
    pub fn from_track(track: Arc<Track>) -> Self {
        Self {
            track,
            wanted: Arc::new(watch::Sender::new(None)),
        }
    }

    /// Its name.
    pub fn name(&self) -> &FullTrackName {
        self.track.name()
    }

    /// The track in memory.
    pub const fn track(&self) -> &Arc<Track> {
        &self.track
    }

    /// Write to it. `clock` must be that of the sessions that serve it: [`ConnectOptions::clock`](super::ConnectOptions::clock).
    pub fn writer(&self, clock: Clock) -> TrackWriter {
        TrackWriter::new(self.clone(), clock)
    }

    /// A subscriber asks for a group of at least this ID, or (0) for any new one. Without DYNAMIC_GROUPS it may not be asked.
    pub(super) fn asked_for_group(&self, group: Option<u64>) {
        let Some(group) = group else { return };
        if self.track.known_properties().dynamic_groups != Some(true) {
            return;
        }
        // draft "NEW GROUP REQUEST Parameter": a group that exists by now answers the request.
        if group > 0 && self.track.largest().is_some_and(|largest| largest.group >= group) {
            return;
        }
        self.wanted
            .send_modify(|wanted| *wanted = Some(wanted.unwrap_or(0).max(group)));
    }

    fn group_began(&self) {
        self.wanted.send_if_modified(|wanted| wanted.take().is_some());
    }
}
