//! What is shown, by name: which namespaces lie under a prefix, and which origins have a track.

use std::collections::{BTreeMap, BTreeSet};

use headwater_pubsub::wire::{FullTrackName, TrackNamespace};

use crate::overlay::id::NodeId;
use crate::overlay::message::Entry;

/// Names sort so that those under a prefix are neighbours: a sorted map is the trie.
#[derive(Debug, Default)]
pub(super) struct Index {
    namespaces: BTreeMap<TrackNamespace, BTreeSet<NodeId>>,
    tracks: BTreeMap<FullTrackName, BTreeSet<NodeId>>,
}

impl Index {
    pub(super) fn insert(&mut self, entry: &Entry, origin: NodeId) {
        match entry {
            Entry::Namespace(namespace) => self
                .namespaces
                .entry(namespace.clone())
                .or_default()
                .insert(origin),
            Entry::Track(track) => self.tracks.entry(track.clone()).or_default().insert(origin),
        };
    }

    pub(super) fn remove(&mut self, entry: &Entry, origin: NodeId) {
        match entry {
            Entry::Namespace(namespace) => remove(&mut self.namespaces, namespace, origin),
            Entry::Track(track) => remove(&mut self.tracks, track, origin),
        }
    }

    pub(super) fn namespaces(&self, prefix: &TrackNamespace) -> impl Iterator<Item = &TrackNamespace> {
        self.namespaces
            .range(prefix.clone()..)
            .map(|(namespace, _)| namespace)
            .take_while(move |namespace| namespace.has_prefix(prefix))
    }

    pub(super) fn tracks(&self, prefix: &TrackNamespace) -> impl Iterator<Item = &FullTrackName> {
        // The empty name sorts first in its namespace, and every name has it as lower bound.
        let first = FullTrackName::new(prefix.clone(), headwater_pubsub::wire::TrackName::default()).ok();
        first.into_iter().flat_map(move |first| {
            self.tracks
                .range(first..)
                .map(|(track, _)| track)
                .take_while(move |track| track.namespace().has_prefix(prefix))
        })
    }

    /// Who announced the track itself, else its namespace, else the longest prefix of that which somebody announced.
    pub(super) fn origins_of(&self, track: &FullTrackName) -> BTreeSet<NodeId> {
        if let Some(origins) = self.tracks.get(track) {
            return origins.clone();
        }
        let fields: Vec<_> = track.namespace().fields().collect();
        (0..=fields.len())
            .rev()
            .filter_map(|len| TrackNamespace::new(fields.iter().take(len)).ok())
            .find_map(|namespace| self.namespaces.get(&namespace))
            .cloned()
            .unwrap_or_default()
    }
}

fn remove<K: Ord>(map: &mut BTreeMap<K, BTreeSet<NodeId>>, key: &K, origin: NodeId) {
    if let Some(origins) = map.get_mut(key) {
        origins.remove(&origin);
        if origins.is_empty() {
            map.remove(key);
        }
    }
}
