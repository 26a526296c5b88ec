//! What a track knows not to exist, and what it knew and forgot.

use super::ranges::RangeSet;
use crate::wire::Location;

#[derive(Debug, Default)]
pub(crate) struct Absence {
    /// Told by PRIOR_GROUP_ID_GAP and PRIOR_OBJECT_ID_GAP: an object in here makes the track malformed.
    gaps: RangeSet,
    /// Told by the results of fetches: an object in here is ignored (draft section "Caching Relays").
    fetched: RangeSet,
    /// Was here and left the cache: a hole in it proves nothing, even on an original publisher.
    evicted: RangeSet,
    /// Nothing exists at or behind this.
    track_end: Option<Location>,
}

impl Absence {
    pub(super) fn add_gap(&mut self, first: Location, last: Location) {
        self.gaps.insert(first, last);
    }

    pub(super) fn add_fetched(&mut self, first: Location, last: Location) {
        self.fetched.insert(first, last);
    }

    pub(super) fn evict(&mut self, first: Location, last: Location) {
        self.evicted.insert(first, last);
    }

    pub(super) fn end_track(&mut self, at: Location) {
        self.track_end = Some(self.track_end.map_or(at, |end| end.min(at)));
    }

    pub(crate) const fn track_end(&self) -> Option<Location> {
        self.track_end
    }

    pub(super) fn is_in_gap(&self, at: Location) -> bool {
        !self.gaps.is_empty() && self.gaps.contains(at)
    }

    pub(super) fn was_told_absent(&self, at: Location) -> bool {
        !self.fetched.is_empty() && self.fetched.contains(at)
    }

    /// The last location of the proven absence that begins at `at` or before it.
    pub(crate) fn end_of(&self, at: Location) -> Option<Location> {
        if self.track_end.is_some_and(|end| at >= end) {
            return Some(Location::new(u64::MAX, u64::MAX));
        }
        self.gaps.end_of(at).max(self.fetched.end_of(at))
    }

    /// The first proven absence at or behind `at`.
    pub(crate) fn next_from(&self, at: Location) -> Option<Location> {
        let told = [
            self.gaps.next_covered(at),
            self.fetched.next_covered(at),
            self.track_end.map(|end| end.max(at)),
        ];
        told.into_iter().flatten().min()
    }

    /// The last location of what was evicted around `at`.
    pub(crate) fn evicted_until(&self, at: Location) -> Option<Location> {
        self.evicted.end_of(at)
    }

    /// The first evicted location at or behind `at`.
    pub(crate) fn next_evicted(&self, at: Location) -> Option<Location> {
        self.evicted.next_covered(at)
    }
}
