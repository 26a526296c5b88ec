//! Results of fetches from upstream on their way into a track.

use std::sync::Arc;

use bytes::Bytes;

use super::error::{Malformed, SourceError};
use super::group::Place;
use super::ranges::{predecessor, successor};
use super::source::{Cursor, begin, check_size};
use super::state::{Debt, Incoming, State};
use super::{Time, Track};
use crate::wire::data::{FetchObject, ObjectStatus};
use crate::wire::{GroupOrder, Location};

/// One fetch stream from upstream. Dropping it before [`Self::fin`] means that the fetch ended early: what it brought stays,
/// the rest remains unknown.
#[derive(Debug)]
pub struct Fill {
    track: Arc<Track>,
    start: Location,
    end: Location,
    order: GroupOrder,
    debt: Debt,
    /// The last location that was told about, in the order of the stream.
    last: Option<Location>,
    current: Cursor,
}

impl Fill {
    pub(super) fn new(track: &Arc<Track>, start: Location, end: Location, order: GroupOrder) -> Self {
        let current = Cursor::default();
        Self {
            track: Arc::clone(track),
            start,
            end,
            order,
            debt: Debt::Stored,
            last: None,
            current,
        }
    }

    /// Makes the objects owed to subscriptions, like ones received by subscription: for a gap that a change of upstream left.
    #[must_use]
    pub fn repair(mut self) -> Self {
        self.debt = Debt::Owed;
        self
    }

    /// Takes the head of the next object.
    ///
    /// # Errors
    ///
    /// See [`SourceError`].
    pub fn object(&mut self, now: Time, object: &FetchObject) -> Result<(), SourceError> {
        check_size(&self.track, object.payload_len)?;
        let track = Arc::clone(&self.track);
        track.update(Some(now), |state| {
            if self.current.is_inside() {
                return Err(state.condemn(Malformed::Length).into());
            }
            let at = object.location;
            let place = object.subgroup.map_or(Place::Datagram, Place::Subgroup);
            let prev = self
                .last
                .filter(|last| last.group == at.group && self.debt == Debt::Owed)
                .map(|last| last.object);
            let incoming = Incoming {
                at,
                place,
                priority: object.priority,
                status: ObjectStatus::Normal,
                properties: object.properties.clone(),
                len: object.payload_len,
                prev: prev.filter(|&prev| same_place(state, Location::new(at.group, prev), place)),
                debt: self.debt,
            };
            self.told_until(state, at);
            let taken = begin(state, &incoming)?;
            self.current.begin(state, at, object.payload_len, !taken);
            Ok(())
        })
    }

    /// Takes the next bytes of the current object's payload.
    ///
    /// # Errors
    ///
    /// See [`SourceError`].
    pub fn payload(&mut self, now: Time, bytes: Bytes) -> Result<(), SourceError> {
        let track = Arc::clone(&self.track);
        track.update(Some(now), |state| self.current.write(state, bytes))
    }

    /// No object between the last one and `until`, inclusive, exists.
    pub fn nonexistent(&mut self, until: Location) {
        let track = Arc::clone(&self.track);
        track.update(None, |state| {
            self.told_until(state, until);
            if self.covers(until) {
                state.absence.add_fetched(until, until);
            }
            state.news = true;
        });
    }

    /// Upstream does not know about the objects between the last one and `until`, inclusive.
    pub fn unknown(&mut self, until: Location) {
        self.last = Some(until);
    }

    /// The fetch ended with FIN: what it did not bring up to its end does not exist.
    ///
    /// `end` is the End Location of FETCH_OK as on the wire (object plus one, or 0 for the whole group), `end_of_track` its flag.
    pub fn fin(self, now: Time, end: Location, end_of_track: bool) {
        let track = Arc::clone(&self.track);
        track.update(Some(now), |state| {
            let last = inclusive(end);
            let reach = last.min(self.end);
            self.told_rest(state, reach);
            let shorter = last < self.end;
            if shorter || end_of_track {
                let extent = state.extent.0.map_or(last, |known| known.max(last));
                state.extent = (Some(extent), state.extent.1 + 1);
            }
            if end_of_track && let Some(behind) = successor(last) {
                state.absence.end_track(behind);
            }
            state.news = true;
        });
    }

    fn covers(&self, at: Location) -> bool {
        self.start <= at && at <= self.end
    }

    /// What comes behind the last object, in the order of the stream, up to the end of the range does not exist.
    fn told_rest(&self, state: &mut State, reach: Location) {
        let Some(last) = self.last else {
            return self.add_absent(state, self.start, reach);
        };
        match (self.order, successor(last)) {
            (GroupOrder::Ascending, Some(first)) => self.add_absent(state, first, reach),
            (GroupOrder::Ascending, None) => {}
            (GroupOrder::Descending, first) => {
                let group_end = Location::new(last.group, u64::MAX);
                self.add_absent(state, first.unwrap_or(group_end), group_end.min(reach));
                if let Some(below) = predecessor(Location::new(last.group, 0)) {
                    self.add_absent(state, self.start, below);
                }
            }
        }
    }

    /// Everything between what was told last and `at`, exclusive, does not exist.
    fn told_until(&mut self, state: &mut State, at: Location) {
        let before = self.last.replace(at);
        match self.order {
            GroupOrder::Ascending => {
                let first = before.map_or(Some(self.start), successor);
                if let (Some(first), Some(last)) = (first, predecessor(at)) {
                    self.add_absent(state, first, last);
                }
            }
            GroupOrder::Descending => self.told_descending(state, before, at),
        }
    }

    fn told_descending(&self, state: &mut State, before: Option<Location>, at: Location) {
        let group_start = Location::new(at.group, 0);
        match before {
            Some(before) if before.group == at.group => {
                if let (Some(first), Some(last)) = (successor(before), predecessor(at)) {
                    self.add_absent(state, first, last);
                }
                return;
            }
            // The rest of the group before, and the groups between it and this one.
            Some(before) => {
                if let Some(first) = successor(before) {
                    self.add_absent(state, first, Location::new(before.group, u64::MAX));
                }
                if let Some(last) = predecessor(Location::new(before.group, 0)) {
                    self.add_absent(state, Location::new(at.group.saturating_add(1), 0), last);
                }
            }
            None => self.add_absent(state, Location::new(at.group.saturating_add(1), 0), self.end),
        }
        if at.object > 0 {
            self.add_absent(state, group_start, Location::new(at.group, at.object - 1));
        }
    }

    fn add_absent(&self, state: &mut State, first: Location, last: Location) {
        let (first, last) = (first.max(self.start), last.min(self.end));
        if last < first {
            return;
        }
        // What exists here, exists: a fetch that says otherwise is behind.
        let held: Vec<Location> = held_between(state, first, last);
        let mut from = Some(first);
        for at in held {
            if let (Some(first), Some(last)) = (from, predecessor(at)) {
                state.absence.add_fetched(first, last);
            }
            from = successor(at);
        }
        if let Some(first) = from {
            state.absence.add_fetched(first, last);
        }
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        let track = Arc::clone(&self.track);
        track.update(None, |state| {
            let others = state.sources > 0;
            self.current.leave(state, others);
            state.news = true;
        });
    }
}

fn held_between(state: &State, first: Location, last: Location) -> Vec<Location> {
    state
        .groups
        .range(first.group..=last.group)
        .flat_map(|(&group, held)| {
            held.objects
                .keys()
                .map(move |&object| Location::new(group, object))
        })
        .filter(|at| (first..=last).contains(at))
        .collect()
}

fn same_place(state: &State, at: Location, place: Place) -> bool {
    state.object(at).is_some_and(|object| object.place == place)
}

/// The last location that an End Location of the wire includes.
const fn inclusive(end: Location) -> Location {
    match end.object {
        0 => Location::new(end.group, u64::MAX),
        object => Location::new(end.group, object - 1),
    }
}
