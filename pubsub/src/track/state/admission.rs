//! An object's way in: what its head may not contradict, and what it tells of its surroundings.
//!
//! Sources in the draft: "Malformed Tracks", "Prior Group ID Gap", "Prior Object ID Gap".

use super::State;
use crate::track::error::{Malformed, SourceError};
use crate::track::group::{Group, Object, Place};
use crate::wire::Location;
use crate::wire::data::ObjectStatus;
use crate::wire::property::{ObjectProperties, ObjectPropertiesError, Properties, kind};

/// Whether what arrives is owed to subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::track) enum Debt {
    /// Received by subscription, or a repair of what should have been.
    Owed,
    /// Received by fetch.
    Stored,
}

/// The head of an object on its way in.
#[derive(Debug)]
pub(in crate::track) struct Incoming {
    pub(in crate::track) at: Location,
    pub(in crate::track) place: Place,
    pub(in crate::track) priority: u8,
    pub(in crate::track) status: ObjectStatus,
    pub(in crate::track) properties: Properties,
    pub(in crate::track) len: u64,
    /// The object before it on the same stream.
    pub(in crate::track) prev: Option<u64>,
    pub(in crate::track) debt: Debt,
}

impl State {
    /// Takes the head of an object. `Ok(false)`: it is known not to exist (told by a fetch) and is to be ignored.
    pub(in crate::track) fn begin(&mut self, incoming: &Incoming) -> Result<bool, SourceError> {
        let at = incoming.at;
        let gaps = read_properties(incoming)?;
        self.check_place(incoming)?;
        if incoming.status == ObjectStatus::Normal && !self.has(at) && self.absence.was_told_absent(at) {
            self.stats.ignored_objects += 1;
            return Ok(false);
        }
        if incoming.debt == Debt::Owed && !self.has(at) && self.absence.evicted_until(at).is_some() {
            // It was owed once, and nobody remembers whom it reached.
            self.stats.duplicate_objects += 1;
            return Ok(false);
        }
        if let Some(gaps) = gaps {
            self.learn_gaps(at, gaps)?;
        }
        self.store(incoming)?;
        if incoming.debt == Debt::Owed {
            self.began.get_or_insert((self.now, self.largest));
            if incoming.status == ObjectStatus::Normal {
                self.raise_largest(at);
            }
            self.log(incoming);
        }
        self.news = true;
        Ok(true)
    }

    fn has(&self, at: Location) -> bool {
        self.object(at).is_some()
    }

    /// Refuses what contradicts the ends and gaps known so far, before anything is changed.
    fn check_place(&self, incoming: &Incoming) -> Result<(), Malformed> {
        let at = incoming.at;
        let group = self.groups.get(&at.group);
        if incoming.status == ObjectStatus::Normal {
            if self.absence.track_end().is_some_and(|end| at >= end) {
                return Err(Malformed::AfterTrackEnd);
            }
            if group
                .and_then(|group| group.end)
                .is_some_and(|end| at.object >= end)
            {
                return Err(Malformed::AfterGroupEnd);
            }
            if self.absence.is_in_gap(at) {
                return Err(Malformed::Gap);
            }
        } else {
            let last = group.and_then(last_normal).map(|id| Location::new(at.group, id));
            if last.is_some_and(|last| last >= at) {
                return Err(Malformed::AfterGroupEnd);
            }
        }
        if incoming.status == ObjectStatus::EndOfTrack && self.has_beyond(at) {
            return Err(Malformed::AfterTrackEnd);
        }
        if let (Place::Subgroup(id), Some(group)) = (incoming.place, group) {
            check_subgroup(group, id, incoming)?;
        }
        Ok(())
    }

    fn has_beyond(&self, at: Location) -> bool {
        self.groups
            .range(at.group..)
            .any(|(&id, group)| last_normal(group).is_some_and(|last| Location::new(id, last) >= at))
    }

    fn store(&mut self, incoming: &Incoming) -> Result<(), Malformed> {
        let at = incoming.at;
        if let Some(object) = self.object(at) {
            compare(object, incoming)?;
            self.stats.duplicate_objects += 1;
        }
        if let Place::Subgroup(subgroup) = incoming.place {
            self.subgroup_mut(at.group, subgroup, incoming.priority)?;
        }
        if incoming.status == ObjectStatus::EndOfTrack {
            self.absence.end_track(at);
        }
        let (now, birth) = (self.now, self.next_seq());
        let group = self.group_mut(at.group);
        if group.objects.contains_key(&at.object) {
            return Ok(());
        }
        let object = Object {
            place: incoming.place,
            priority: incoming.priority,
            status: incoming.status,
            properties: incoming.properties.clone(),
            len: incoming.len,
            received: 0,
            chunks: Vec::new(),
            arrived: now,
            birth,
            writers: 0,
            logged: None,
            cut: false,
        };
        let cost = object.cost();
        group.objects.insert(at.object, object);
        if incoming.status == ObjectStatus::EndOfGroup {
            group.end = Some(group.end.map_or(at.object, |end| end.min(at.object)));
        }
        self.charge(at.group, 0, cost);
        self.stats.objects += 1;
        Ok(())
    }

    fn learn_gaps(&mut self, at: Location, gaps: ObjectProperties) -> Result<(), Malformed> {
        if let Some(gap) = gaps.prior_object_gap.filter(|&gap| gap > 0) {
            let first = at.object.saturating_sub(gap);
            let taken = |group: &Group| group.objects.range(first..at.object).next().is_some();
            if self.groups.get(&at.group).is_some_and(taken) {
                return Err(Malformed::Gap);
            }
            self.absence.add_gap(
                Location::new(at.group, first),
                Location::new(at.group, at.object.saturating_sub(1)),
            );
        }
        let Some(gap) = gaps.prior_group_gap else {
            return Ok(());
        };
        let group = self.group_mut(at.group);
        if group.prior_gap.is_some_and(|known| known != gap) {
            return Err(Malformed::GroupGaps);
        }
        group.prior_gap = Some(gap);
        if gap > 0 {
            let first = at.group.saturating_sub(gap);
            if self
                .groups
                .range(first..at.group)
                .any(|(_, group)| last_normal(group).is_some())
            {
                return Err(Malformed::Gap);
            }
            self.absence.add_gap(
                Location::new(first, 0),
                Location::new(at.group.saturating_sub(1), u64::MAX),
            );
        }
        Ok(())
    }
}

/// What an object's properties say about its surroundings; `None` for most.
fn read_properties(incoming: &Incoming) -> Result<Option<ObjectProperties>, SourceError> {
    if incoming.properties.is_empty() {
        return Ok(None);
    }
    let gaps = ObjectProperties::parse(&incoming.properties).map_err(|error| match error {
        ObjectPropertiesError::Track(problem) => SourceError::Malformed(problem.into()),
        ObjectPropertiesError::Session(problem) => SourceError::Session(problem),
    })?;
    gaps.check(incoming.at).map_err(Malformed::from)?;
    Ok(Some(gaps))
}

fn last_normal(group: &Group) -> Option<u64> {
    group
        .objects
        .iter()
        .rev()
        .find(|(_, object)| object.status == ObjectStatus::Normal)
        .map(|(&id, _)| id)
}

fn check_subgroup(group: &Group, id: u64, incoming: &Incoming) -> Result<(), Malformed> {
    let Some(subgroup) = group.subgroups.get(&id) else {
        return Ok(());
    };
    if subgroup.priority != incoming.priority {
        return Err(Malformed::Priority);
    }
    if incoming.status == ObjectStatus::Normal
        && subgroup.end.is_some_and(|(end, _)| incoming.at.object > end)
    {
        return Err(Malformed::AfterSubgroupEnd);
    }
    Ok(())
}

/// Refuses a copy that differs. Mutable properties may; the first copy's are kept.
fn compare(object: &Object, incoming: &Incoming) -> Result<(), Malformed> {
    if object.status != ObjectStatus::Normal && incoming.status != ObjectStatus::Normal {
        return Ok(());
    }
    if object.place != incoming.place {
        return Err(Malformed::Place);
    }
    if object.priority != incoming.priority || object.len != incoming.len || object.status != incoming.status
    {
        return Err(Malformed::Copies);
    }
    let same = object.properties == incoming.properties
        || immutable(&object.properties) == immutable(&incoming.properties);
    if same { Ok(()) } else { Err(Malformed::Copies) }
}

fn immutable(properties: &Properties) -> Option<&[u8]> {
    properties
        .iter()
        .map_while(Result::ok)
        .find(|property| property.kind == kind::IMMUTABLE_PROPERTIES)
        .and_then(|property| property.value.bytes())
}
