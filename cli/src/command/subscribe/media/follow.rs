//! Where a broadcast changes: tells the objects of one description of it from those of the next.
//!
//! A fragmented MP4 has its description in front, and a publisher that comes back may describe its tracks otherwise. Catalogs are
//! objects of a track of their own, so nothing orders them against media. `moq publish` repeats the catalog in a group with the
//! ID of each group of pictures: where that is seen, the objects of a group wait until the catalog of their group or a later
//! one is there. A catalog that describes the tracks otherwise is for the groups behind the last one that was as before. Publishers that write it
//! once, numbered for themselves, are not waited for, and a change of theirs holds from when it is seen.
//!
//! No clock and no sockets: time is given in.

use std::collections::VecDeque;
use std::time::Duration;

/// How long objects wait for a catalog, and a change for the last objects before it: the longest groups of pictures in use. The
/// catalog of a publisher's first group is missed if it was written before the relay had subscribed; the next one tells.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that wait at most.
const MAX_HELD: usize = 32 << 20;

/// What comes of a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item<T> {
    /// An object of a group, with its size.
    Object { group: u64, size: usize, object: T },
    /// There are no more.
    Ended,
}

#[derive(Debug)]
struct Lane<T> {
    /// Of the newest object.
    group: Option<u64>,
    held: VecDeque<Item<T>>,
    ended: bool,
}

/// See the module. `T` is an object.
#[derive(Debug)]
pub(super) struct Follow<T> {
    lanes: Vec<Lane<T>>,
    /// Up to this group the description is known to hold.
    known: u64,
    /// Catalogs come with the groups they describe.
    in_step: bool,
    /// First group that is described otherwise.
    change: Option<u64>,
    /// When to wait no longer.
    until: Option<Duration>,
    held: usize,
}

impl<T> Follow<T> {
    /// So many tracks, described by the catalog of group `known`.
    pub(super) fn new(tracks: usize, known: u64) -> Self {
        let lane = || Lane {
            group: None,
            held: VecDeque::new(),
            ended: false,
        };
        Self {
            lanes: std::iter::repeat_with(lane).take(tracks).collect(),
            known,
            in_step: false,
            change: None,
            until: None,
            held: 0,
        }
    }

    /// Takes what came of a track; gives what may be written now, with its track.
    pub(super) fn push(&mut self, now: Duration, track: usize, item: Item<T>) -> Vec<(usize, Item<T>)> {
        let Some(lane) = self.lanes.get_mut(track) else {
            return Vec::new();
        };
        if let Item::Object { group, size, .. } = &item {
            lane.group = Some(*group);
            self.in_step |= *group == self.known;
            self.held += size;
        }
        lane.held.push_back(item);
        let released = self.release();
        if self.held > MAX_HELD {
            return [released, self.give_up()].into_iter().flatten().collect();
        }
        if self.until.is_none() && self.lanes.iter().any(|lane| !lane.held.is_empty()) {
            self.until = Some(now.saturating_add(PATIENCE));
        }
        released
    }

    /// A catalog of group `group` describes the tracks as before.
    pub(super) fn same(&mut self, group: u64) -> Vec<(usize, Item<T>)> {
        self.in_step |= self.lanes.iter().any(|lane| lane.group == Some(group));
        self.known = self.known.max(group);
        self.release()
    }

    /// A catalog of group `group` describes them otherwise.
    pub(super) fn changed(&mut self, now: Duration, group: u64) -> Vec<(usize, Item<T>)> {
        if self.change.is_none() {
            // In step, a group whose own catalog did not come is of a publisher that wrote it before the relay was there to read.
            let unknown = self.known.saturating_add(1);
            self.change = Some(if self.in_step { group.min(unknown) } else { group });
            self.until = Some(now.saturating_add(PATIENCE));
        }
        self.release()
    }

    /// When [`Follow::tick`] is due.
    pub(super) const fn deadline(&self) -> Option<Duration> {
        self.until
    }

    /// Time has passed; gives what may be written now.
    pub(super) fn tick(&mut self, now: Duration) -> Vec<(usize, Item<T>)> {
        if self.until.is_some_and(|until| until <= now) {
            return self.give_up();
        }
        Vec::new()
    }

    /// Whether all that belongs to the description was given: what is held belongs to the next one.
    pub(super) fn is_over(&self) -> bool {
        let there = |lane: &Lane<T>| lane.ended || !lane.held.is_empty();
        self.change.is_some() && (self.until.is_none() || self.lanes.iter().all(there))
    }

    /// What was held, by track, and which tracks had ended before.
    pub(super) fn into_held(self) -> Vec<(usize, Item<T>)> {
        let mut all = Vec::new();
        for (track, lane) in self.lanes.into_iter().enumerate() {
            all.extend(lane.ended.then_some((track, Item::Ended)));
            all.extend(lane.held.into_iter().map(|item| (track, item)));
        }
        all
    }

    fn give_up(&mut self) -> Vec<(usize, Item<T>)> {
        self.until = None;
        if self.change.is_some() {
            return Vec::new();
        }
        self.in_step = false;
        self.release()
    }

    fn release(&mut self) -> Vec<(usize, Item<T>)> {
        let mut out = Vec::new();
        for (track, lane) in self.lanes.iter_mut().enumerate() {
            while let Some(item) = lane.held.pop_front() {
                if let Item::Object { group, size, .. } = &item {
                    let described = match self.change {
                        Some(change) => *group < change,
                        None => !self.in_step || *group <= self.known,
                    };
                    if !described {
                        lane.held.push_front(item);
                        break;
                    }
                    self.held = self.held.saturating_sub(*size);
                } else {
                    lane.ended = true;
                }
                out.push((track, item));
            }
        }
        if self.change.is_none() && self.lanes.iter().all(|lane| lane.held.is_empty()) {
            self.until = None;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::ZERO;

    fn object(group: u64) -> Item<()> {
        Item::Object {
            group,
            size: 1,
            object: (),
        }
    }

    fn groups(items: &[(usize, Item<()>)]) -> Vec<(usize, u64)> {
        let group = |(track, item): &(usize, Item<()>)| match item {
            Item::Object { group, .. } => Some((*track, *group)),
            Item::Ended => None,
        };
        items.iter().filter_map(group).collect()
    }

    #[test]
    fn the_objects_of_a_group_wait_for_its_catalog_where_one_comes_with_each() {
        let mut follow = Follow::new(2, 10);
        assert_eq!(groups(&follow.push(START, 0, object(10))), [(0, 10)]);
        assert_eq!(follow.push(START, 0, object(20)), []);
        assert_eq!(groups(&follow.push(START, 1, object(10))), [(1, 10)]);
        assert_eq!(groups(&follow.same(20)), [(0, 20)]);
        assert_eq!(follow.deadline(), None);
        assert!(!follow.is_over());
    }

    #[test]
    fn a_change_holds_from_the_group_of_its_catalog_on() {
        let mut follow = Follow::new(2, 10);
        follow.push(START, 0, object(10));
        assert_eq!(follow.push(START, 0, object(20)), []);
        assert_eq!(follow.changed(START, 20), []);
        assert!(!follow.is_over(), "the other track has not come so far");
        assert_eq!(groups(&follow.push(START, 1, object(10))), [(1, 10)]);
        assert_eq!(follow.push(START, 1, object(21)), []);
        assert!(follow.is_over());
        assert_eq!(groups(&follow.into_held()), [(0, 20), (1, 21)]);
    }

    #[test]
    fn a_group_whose_catalog_was_missed_belongs_to_the_next() {
        let mut follow = Follow::new(1, 10);
        follow.push(START, 0, object(10));
        assert_eq!(follow.push(START, 0, object(20)), []);
        assert_eq!(follow.changed(START, 30), []);
        assert_eq!(follow.into_held(), [(0, object(20))]);
    }

    #[test]
    fn a_change_does_not_wait_for_ever_for_a_track_that_is_silent() {
        let mut follow = Follow::new(2, 10);
        follow.push(START, 0, object(20));
        follow.changed(START, 20);
        assert_eq!(follow.tick(PATIENCE), []);
        assert!(follow.is_over());
        let mut follow = Follow::new(2, 10);
        follow.push(START, 1, Item::Ended);
        follow.changed(START, 20);
        assert_eq!(follow.push(START, 0, object(20)), []);
        assert!(follow.is_over(), "the other has ended");
        assert_eq!(follow.into_held(), [(0, object(20)), (1, Item::Ended)]);
    }

    #[test]
    fn catalogs_that_keep_no_step_are_not_waited_for() {
        let mut follow = Follow::new(1, 0);
        assert_eq!(groups(&follow.push(START, 0, object(7))), [(0, 7)]);
        assert_eq!(groups(&follow.push(START, 0, object(8))), [(0, 8)]);
        // In step once by chance.
        let mut follow = Follow::new(1, 0);
        assert_eq!(groups(&follow.push(START, 0, object(0))), [(0, 0)]);
        assert_eq!(follow.push(START, 0, object(1)), []);
        assert_eq!(follow.deadline(), Some(PATIENCE));
        assert_eq!(groups(&follow.tick(PATIENCE)), [(0, 1)]);
        assert_eq!(groups(&follow.push(PATIENCE, 0, object(2))), [(0, 2)], "once");
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut follow = Follow::new(1, 0);
        follow.push(START, 0, object(0));
        let large = Item::Object {
            group: 1,
            size: MAX_HELD + 1,
            object: (),
        };
        assert_eq!(groups(&follow.push(START, 0, large)), [(0, 1)]);
    }

    #[test]
    fn the_end_of_a_track_comes_after_its_objects() {
        let mut follow = Follow::new(1, 0);
        follow.push(START, 0, object(0));
        follow.push(START, 0, object(1));
        assert_eq!(follow.push(START, 0, Item::Ended), []);
        assert_eq!(follow.same(1), [(0, object(1)), (0, Item::Ended)]);
    }
}
