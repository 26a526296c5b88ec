//! From where a track goes on once its sources are lost: what the next upstream is asked for.
//!
//! A source can leave in the middle of objects, of subgroups and of several groups at once, and a group whose end nobody told
//! can still grow. [`Track::next_expected`] names a location that is not behind anything that may be missing. It errs to the
//! early side: what comes twice is dropped by (group, object), what is not asked for is lost.
//!
//! What bounds the error is [`STRAGGLERS`]: a group that has neither grown nor lost a stream while the track went on for so long
//! is not asked for again, although an object of it may be missing. Otherwise one lost datagram, or a publisher that never
//! tells where groups end, would make each resumption repeat the whole cache.

use super::group::Group;
use super::ranges::successor;
use super::state::State;
use super::{Time, Track};
use crate::wire::Location;

/// How far a group may lie behind the newest arrival and still be waited for: more than publishers let a subgroup be late.
const STRAGGLERS: Time = Time::from_secs(5);

impl Track {
    /// The location from which a new upstream subscription leaves no gap: the first missing or incomplete object of the oldest
    /// group that may not be whole here, or before it the last object of a subgroup that may end there. If all are whole, the location after the largest; `None` if nothing is known of the
    /// track.
    ///
    /// A group is whole if its end is known and every object before it is here, was here, or does not exist. Only what came
    /// by subscription counts as a beginning; what was fetched fills holes.
    pub fn next_expected(&self) -> Option<Location> {
        let state = self.lock();
        let live = |group: &&Group| group.stirred.is_some();
        let Some(newest) = state
            .groups
            .values()
            .filter(live)
            .map(|group| group.touched)
            .max()
        else {
            return successor(state.largest?);
        };
        let (began, joined) = state.began.unwrap_or_default();
        // What was published before we first subscribed was never expected.
        let floor = joined.and_then(successor).unwrap_or_default();
        let mut expected = (began + STRAGGLERS >= newest).then_some(floor.group);
        let mut reached = None;
        for (&id, group) in state.groups.range(floor.group..) {
            let Some(stirred) = group.stirred else { continue };
            if stirred + STRAGGLERS >= newest {
                // One that nobody has seen may be under way like one that has begun.
                if let Some(unseen) = expected.and_then(|from| first_unseen(&state, from, id)) {
                    return Some(Location::new(unseen, 0).max(floor));
                }
                let from = Location::new(id, 0).max(floor).object;
                let missing = first_missing(&state, id, group, from);
                if let Some(object) = missing.into_iter().chain(last_unended(group, from)).min() {
                    return Some(Location::new(id, object));
                }
            }
            expected = id.checked_add(1);
            let last = group.objects.last_key_value();
            reached = last.map(|(&object, _)| Location::new(id, object)).or(reached);
        }
        // The largest location may be the claim of an upstream that did not bring it.
        let largest = state.largest.filter(|&largest| state.object(largest).is_some());
        successor(largest.max(reached).or(state.largest)?)
    }
}

/// The last object of a subgroup whose end nobody told, the smallest of several. It is asked for once more, since only a stream
/// that has it can bring the end, and whoever reads the track waits for that.
fn last_unended(group: &Group, from: u64) -> Option<u64> {
    group
        .subgroups
        .values()
        .filter(|subgroup| subgroup.end.is_none())
        .filter_map(|subgroup| subgroup.main.last())
        .filter(|&last| last >= from)
        .min()
}

/// The first group from `from` on and before `until` of which nothing is known.
fn first_unseen(state: &State, from: u64, until: u64) -> Option<u64> {
    let mut group = from;
    while group < until {
        let start = Location::new(group, 0);
        group = match state.absence.end_of(start) {
            Some(end) if end.object == u64::MAX => end.group.checked_add(1)?,
            Some(end) if end.group > group => end.group,
            _ if state.groups.contains_key(&group) || state.absence.evicted_until(start).is_some() => {
                group + 1
            }
            _ => return Some(group),
        };
    }
    None
}

/// The first Object ID from `from` on that is neither whole here nor absent nor evicted; `None`: the rest of the group is whole.
fn first_missing(state: &State, id: u64, group: &Group, from: u64) -> Option<u64> {
    let end = group.end.unwrap_or(u64::MAX);
    let mut next = from;
    while next < end {
        let at = Location::new(id, next);
        let last = match group.objects.get(&next) {
            Some(object) if object.is_complete() => at,
            Some(_) => return Some(next),
            None => match state.absence.end_of(at).max(state.absence.evicted_until(at)) {
                Some(last) if last.group == id => last,
                Some(_) => return None,
                None => return Some(next),
            },
        };
        next = last.object.checked_add(1)?;
    }
    None
}
