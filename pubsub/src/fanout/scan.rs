//! What a track knows about a location, for fetches.

use crate::track::{Authority, Group, State, Time, predecessor, successor};
use crate::wire::Location;
use crate::wire::data::ObjectStatus;

/// Known locations that one look goes over while everything between them stays unknown.
const MAX_STEPS: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A whole object that may be served.
    Object,
    /// An object that is still arriving.
    Wait,
    /// Nothing exists up to here, inclusive.
    Absent(Location),
    /// Nothing is known up to here, inclusive.
    Unknown(Location),
}

/// The last location that an End Location of the wire includes.
pub(super) const fn inclusive(end: Location) -> Location {
    match end.object {
        0 => Location::new(end.group, u64::MAX),
        object => Location::new(end.group, object - 1),
    }
}

pub(super) fn has_objects(group: &Group) -> bool {
    group
        .objects
        .values()
        .any(|object| object.status == ObjectStatus::Normal)
}

/// What is known of `at`, and how far the same holds, up to `last`.
pub(super) fn classify(state: &State, at: Location, last: Location, now: Time) -> Found {
    match known(state, at, now) {
        Some(Found::Absent(until)) => Found::Absent(until.min(last)),
        Some(found) => found,
        None => unknown_from(state, at, last, now),
    }
}

/// What is known of `at` alone; `None`: nothing.
fn known(state: &State, at: Location, now: Time) -> Option<Found> {
    let group = state.groups.get(&at.group);
    if let Some(end) = group.and_then(|group| group.end)
        && at.object >= end
    {
        return Some(Found::Absent(Location::new(at.group, u64::MAX)));
    }
    if let Some(object) = group.and_then(|group| group.objects.get(&at.object)) {
        if object.status != ObjectStatus::Normal {
            return Some(Found::Absent(at));
        }
        if object.is_awaited() {
            return Some(Found::Wait);
        }
        return (object.is_complete() && state.is_fresh(object, now)).then_some(Found::Object);
    }
    if let Some(until) = state.absence.end_of(at) {
        return Some(Found::Absent(until));
    }
    if state.authority() == Authority::Relay || state.absence.evicted_until(at).is_some() {
        return None;
    }
    // The original publisher knows: what it neither has nor had does not exist, unless a stream of the group is still open.
    if group.is_some_and(|group| group.writers > 0) {
        return None;
    }
    let next = next_known(state, at)
        .into_iter()
        .chain(state.absence.next_evicted(at))
        .min();
    Some(Found::Absent(
        next.and_then(predecessor)
            .unwrap_or(Location::new(u64::MAX, u64::MAX)),
    ))
}

/// The first location behind `at` that something is stored or told about.
fn next_known(state: &State, at: Location) -> Option<Location> {
    let from = successor(at)?;
    let in_group = |id: u64, first: u64| {
        let group = state.groups.get(&id)?;
        let object = group.objects.range(first..).next().map(|(&object, _)| object);
        let end = group.end.filter(|&end| end >= first);
        object
            .into_iter()
            .chain(end)
            .min()
            .map(|object| Location::new(id, object))
    };
    let here = in_group(
        at.group,
        from.object.max(if from.group == at.group { 0 } else { u64::MAX }),
    );
    let here = here.filter(|&here| here > at);
    let later = || {
        let mut groups = state.groups.range(at.group.checked_add(1)?..);
        groups.find_map(|(&id, _)| in_group(id, 0))
    };
    here.or_else(later)
        .into_iter()
        .chain(state.absence.next_from(from))
        .min()
}

fn unknown_from(state: &State, at: Location, last: Location, now: Time) -> Found {
    let mut until = at;
    for _ in 0..MAX_STEPS {
        let next = match state.authority() {
            Authority::Relay => next_known(state, until),
            // Evicted or open: each location may differ.
            Authority::Original => {
                let evicted = state.absence.evicted_until(until).and_then(successor);
                let known = next_known(state, until);
                if evicted.is_some() {
                    evicted.into_iter().chain(known).min()
                } else {
                    known
                }
            }
        };
        let Some(next) = next.filter(|&next| next <= last) else {
            return Found::Unknown(last);
        };
        until = predecessor(next).unwrap_or(next);
        if known(state, next, now).is_some() {
            break;
        }
        until = next;
    }
    Found::Unknown(until)
}
