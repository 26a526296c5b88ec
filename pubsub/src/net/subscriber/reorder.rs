//! Putting objects into order: groups ascending, objects ascending inside a group.
//!
//! A hole is not waited for if it is known to be empty: behind the end of a group, or where Prior Group ID Gap or Prior Object
//! ID Gap says so (draft sections of these names). Any other hole is waited for until patience ends or too many bytes wait.
//! Objects behind the present position are dropped.

use std::collections::BTreeMap;

use super::seam::Gap;
use crate::{
    net::reader::ReceivedObject,
    session::Time,
    wire::{Location, data::ObjectStatus, property::ObjectProperties},
};

/// Group ends that are remembered; older ones are forgotten first.
const MAX_ENDS: usize = 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Reorder {
    patience: Time,
    max_bytes: u64,
    /// The next object that is due; `None` until something came.
    next: Option<Location>,
    waiting: BTreeMap<Location, ReceivedObject>,
    bytes: u64,
    /// First object that does not exist, by group.
    ends: BTreeMap<u64, u64>,
    /// Where it is proven that nothing exists.
    empty: Option<Gap>,
    /// Since when the first one that waits has been kept up by a hole.
    blocked: Option<Time>,
    skipped: u64,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Give this to the application.
    Object(Box<ReceivedObject>),
    /// Wait for more objects, but not beyond this time.
    Wait(Option<Time>),
}

impl Reorder {
    pub(super) const fn new(patience: Time, max_bytes: u64, start: Option<Location>) -> Self {
        Self {
            patience,
            max_bytes,
            next: start,
            waiting: BTreeMap::new(),
            bytes: 0,
            ends: BTreeMap::new(),
            empty: None,
            blocked: None,
            skipped: 0,
        }
    }

    /// How many holes were given up.
    pub(super) const fn skipped(&self) -> u64 {
        self.skipped
    }

    pub(super) fn push(&mut self, object: ReceivedObject) {
        let at = object.location;
        if self.next.is_some_and(|next| at < next) || self.waiting.contains_key(&at) {
            return;
        }
        if object.status != ObjectStatus::Normal {
            self.ends.entry(at.group).or_insert(at.object);
            if self.ends.len() > MAX_ENDS {
                self.ends.pop_first();
            }
        }
        self.bytes = self.bytes.saturating_add(object.payload.len() as u64);
        self.waiting.insert(at, object);
    }

    /// Nothing exists in `gap` that was not pushed.
    pub(super) const fn prove_empty(&mut self, gap: Gap) {
        self.empty = Some(gap);
    }

    /// The first group that waits for what is due, if that is `at` and the hole that begins there goes on to that group.
    pub(super) fn held_up_from(&self, at: Location) -> Option<u64> {
        let (first, object) = self.waiting.first_key_value()?;
        let hole =
            self.next == Some(at) && first.group > at.group && !self.is_empty_between(at, *first, object);
        hole.then_some(first.group)
    }

    pub(super) fn poll(&mut self, now: Time) -> Next {
        let Some((&at, object)) = self.waiting.first_key_value() else {
            self.blocked = None;
            return Next::Wait(None);
        };
        let due = self.is_due(at, object);
        if !due && self.bytes <= self.max_bytes {
            let until = self.blocked.get_or_insert(now).saturating_add(self.patience);
            if now < until {
                return Next::Wait(Some(until));
            }
        }
        if !due {
            self.skipped += 1;
        }
        self.take()
    }

    /// Whether nothing is missing before an object.
    fn is_due(&self, at: Location, object: &ReceivedObject) -> bool {
        self.next
            .is_none_or(|next| at == next || self.is_empty_between(next, at, object))
    }

    /// What waits, in order; for after the last object: holes are skipped at once.
    pub(super) fn drain(&mut self) -> Option<ReceivedObject> {
        if let Some((&at, object)) = self.waiting.first_key_value()
            && !self.is_due(at, object)
        {
            self.skipped += 1;
        }
        match self.take() {
            Next::Object(object) => Some(*object),
            Next::Wait(_) => None,
        }
    }

    fn take(&mut self) -> Next {
        let Some((at, object)) = self.waiting.pop_first() else {
            return Next::Wait(None);
        };
        self.blocked = None;
        self.bytes = self.bytes.saturating_sub(object.payload.len() as u64);
        self.next = match object.status {
            ObjectStatus::Normal => Some(Location::new(at.group, at.object.saturating_add(1))),
            ObjectStatus::EndOfGroup | ObjectStatus::EndOfTrack => {
                Some(Location::new(at.group.saturating_add(1), 0))
            }
        };
        self.ends.retain(|&group, _| group >= at.group);
        Next::Object(Box::new(object))
    }

    /// Whether nothing exists from `next` up to `at`, where `object` is.
    fn is_empty_between(&self, next: Location, at: Location, object: &ReceivedObject) -> bool {
        let next = match self.empty {
            Some(gap) if next >= gap.from && next.group < gap.before && at.group >= gap.before => {
                Location::new(gap.before, 0)
            }
            _ => next,
        };
        let gaps = ObjectProperties::parse(&object.properties).unwrap_or_default();
        let first_object = at.object.saturating_sub(gaps.prior_object_gap.unwrap_or(0));
        if next.group == at.group {
            return first_object <= next.object;
        }
        let group_is_over =
            next.object == 0 || self.ends.get(&next.group).is_some_and(|&end| next.object >= end);
        // With nothing due of its own group, the gap may begin with that group.
        let first_missing = if next.object == 0 {
            next.group
        } else {
            next.group.saturating_add(1)
        };
        let first_group = at.group.saturating_sub(gaps.prior_group_gap.unwrap_or(0));
        let is_end = object.status != ObjectStatus::Normal;
        group_is_over && first_group <= first_missing && (first_object == 0 || is_end && at.object == 0)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{Properties, property::kind};

    const PATIENCE: Time = Time::from_millis(100);

    fn object(group: u64, id: u64) -> ReceivedObject {
        ReceivedObject {
            location: Location::new(group, id),
            subgroup: Some(0),
            priority: None,
            properties: Properties::default(),
            status: ObjectStatus::Normal,
            payload: Bytes::from_static(b"0123456789"),
        }
    }

    fn end(group: u64, id: u64) -> ReceivedObject {
        ReceivedObject {
            status: ObjectStatus::EndOfGroup,
            payload: Bytes::new(),
            ..object(group, id)
        }
    }

    fn after_gap(group: u64, gap: u64) -> ReceivedObject {
        let properties = Properties::builder()
            .int(kind::PRIOR_GROUP_ID_GAP, gap)
            .build()
            .expect("an even type");
        ReceivedObject {
            properties,
            ..object(group, 0)
        }
    }

    fn given(reorder: &mut Reorder, now: Time) -> Vec<(u64, u64)> {
        std::iter::from_fn(|| match reorder.poll(now) {
            Next::Object(object) => Some((object.location.group, object.location.object)),
            Next::Wait(_) => None,
        })
        .collect()
    }

    #[test]
    fn a_hole_holds_up_until_it_is_filled() {
        let mut reorder = Reorder::new(PATIENCE, 1000, Some(Location::new(0, 0)));
        reorder.push(object(0, 1));
        assert_eq!(reorder.poll(Time::ZERO), Next::Wait(Some(PATIENCE)));
        reorder.push(object(0, 0));
        assert_eq!(given(&mut reorder, Time::ZERO), [(0, 0), (0, 1)]);
        assert_eq!(reorder.skipped(), 0);
    }

    #[test]
    fn patience_ends_and_late_objects_are_dropped() {
        let mut reorder = Reorder::new(PATIENCE, 1000, Some(Location::new(0, 0)));
        reorder.push(object(0, 1));
        assert_eq!(given(&mut reorder, Time::ZERO), []);
        assert_eq!(given(&mut reorder, PATIENCE), [(0, 1)]);
        reorder.push(object(0, 0));
        assert_eq!(given(&mut reorder, PATIENCE), []);
        assert_eq!(reorder.skipped(), 1);
    }

    #[test]
    fn too_many_bytes_end_the_wait() {
        let mut reorder = Reorder::new(PATIENCE, 15, Some(Location::new(0, 0)));
        reorder.push(object(0, 1));
        assert_eq!(given(&mut reorder, Time::ZERO), []);
        reorder.push(object(0, 2));
        assert_eq!(given(&mut reorder, Time::ZERO), [(0, 1), (0, 2)]);
    }

    #[test]
    fn a_group_that_ended_is_followed_at_once_by_the_next() {
        let mut reorder = Reorder::new(PATIENCE, 1000, Some(Location::new(4, 0)));
        for object in [object(5, 0), end(4, 1), object(4, 0)] {
            reorder.push(object);
        }
        assert_eq!(given(&mut reorder, Time::ZERO), [(4, 0), (4, 1), (5, 0)]);
    }

    #[test]
    fn a_group_without_an_end_is_waited_for() {
        let mut reorder = Reorder::new(PATIENCE, 1000, Some(Location::new(4, 0)));
        reorder.push(object(4, 0));
        reorder.push(object(5, 0));
        assert_eq!(given(&mut reorder, Time::ZERO), [(4, 0)]);
        assert_eq!(given(&mut reorder, PATIENCE), [(5, 0)]);
    }

    #[test]
    fn a_hole_that_is_told_to_be_empty_is_crossed_and_no_other() {
        let mut reorder = Reorder::new(PATIENCE, 1000, Some(Location::new(4, 2)));
        reorder.push(object(7, 0));
        reorder.push(object(9, 0));
        assert_eq!(given(&mut reorder, Time::ZERO), []);
        assert_eq!(reorder.held_up_from(Location::new(4, 2)), Some(7));
        reorder.prove_empty(Gap {
            from: Location::new(4, 2),
            before: 7,
        });
        assert_eq!(reorder.held_up_from(Location::new(4, 2)), None);
        assert_eq!(given(&mut reorder, Time::ZERO), [(7, 0)]);
        assert_eq!(given(&mut reorder, PATIENCE), [(9, 0)]);
        assert_eq!(reorder.skipped(), 1);
    }

    #[test]
    fn a_proven_gap_of_groups_is_crossed_at_once() {
        let mut reorder = Reorder::new(PATIENCE, 1000, Some(Location::new(10, 0)));
        for object in [object(10, 0), end(10, 1), after_gap(2000, 1989)] {
            reorder.push(object);
        }
        assert_eq!(given(&mut reorder, Time::ZERO), [(10, 0), (10, 1), (2000, 0)]);
    }

    proptest! {
        #[test]
        fn any_arrival_order_comes_out_sorted_and_whole(
            mut order in Just((0..4u64).flat_map(|g| (0..6u64).map(move |o| (g, o))).collect::<Vec<_>>()).prop_shuffle()
        ) {
            let mut reorder = Reorder::new(PATIENCE, u64::MAX, Some(Location::new(0, 0)));
            let mut out = Vec::new();
            for &(group, id) in &order {
                reorder.push(if id == 5 { end(group, id) } else { object(group, id) });
                out.extend(given(&mut reorder, Time::ZERO));
            }
            order.sort_unstable();
            prop_assert_eq!(out, order);
        }
    }
}
