//! A bounded set of locations, kept as inclusive ranges.

use std::collections::BTreeMap;

use crate::wire::Location;

/// Ranges kept at most; what would exceed it is forgotten from the low end, which turns knowledge into "unknown", never the reverse.
const MAX_RANGES: usize = 1024;

/// The location after `at`; `None` after the last one.
pub(crate) const fn successor(at: Location) -> Option<Location> {
    match at.object.checked_add(1) {
        Some(object) => Some(Location::new(at.group, object)),
        None => match at.group.checked_add(1) {
            Some(group) => Some(Location::new(group, 0)),
            None => None,
        },
    }
}

/// The location before `at`; `None` before the first one.
pub(crate) const fn predecessor(at: Location) -> Option<Location> {
    match at.object.checked_sub(1) {
        Some(object) => Some(Location::new(at.group, object)),
        None => match at.group.checked_sub(1) {
            Some(group) => Some(Location::new(group, u64::MAX)),
            None => None,
        },
    }
}

/// Disjoint, non-adjacent inclusive ranges of locations.
#[derive(Clone, Debug, Default)]
pub(crate) struct RangeSet {
    /// First to last location of each range.
    ranges: BTreeMap<Location, Location>,
}

impl RangeSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Adds `first..=last`, joining it with what it touches.
    pub(crate) fn insert(&mut self, first: Location, last: Location) {
        if last < first {
            return;
        }
        let (mut first, mut last) = (first, last);
        let touch = successor(last).unwrap_or(last);
        while let Some((&low, &high)) = self.ranges.range(..=touch).next_back() {
            if successor(high).is_some_and(|next| next < first) {
                break;
            }
            first = first.min(low);
            last = last.max(high);
            self.ranges.remove(&low);
        }
        self.ranges.insert(first, last);
        while self.ranges.len() > MAX_RANGES {
            self.ranges.pop_first();
        }
    }

    /// The end of the range that covers `at`.
    pub(crate) fn end_of(&self, at: Location) -> Option<Location> {
        let (_, &last) = self.ranges.range(..=at).next_back()?;
        (last >= at).then_some(last)
    }

    pub(crate) fn contains(&self, at: Location) -> bool {
        self.end_of(at).is_some()
    }

    /// The first covered location at or after `at`.
    pub(crate) fn next_covered(&self, at: Location) -> Option<Location> {
        if self.contains(at) {
            return Some(at);
        }
        self.ranges.range(at..).next().map(|(&first, _)| first)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(group: u64, object: u64) -> Location {
        Location::new(group, object)
    }

    #[test]
    fn touching_ranges_join_across_a_group_border() {
        let mut set = RangeSet::default();
        set.insert(at(1, 5), at(1, u64::MAX));
        set.insert(at(2, 0), at(2, 3));
        assert_eq!(set.end_of(at(1, 9)), Some(at(2, 3)));
        assert_eq!(set.ranges.len(), 1);
    }

    #[test]
    fn too_many_ranges_forget_the_oldest() {
        let mut set = RangeSet::default();
        for group in 0..(MAX_RANGES as u64 + 10) {
            set.insert(at(group, 2), at(group, 3));
        }
        assert_eq!(set.ranges.len(), MAX_RANGES);
        assert!(!set.contains(at(0, 2)));
        assert!(set.contains(at(MAX_RANGES as u64 + 9, 2)));
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(ranges in proptest::collection::vec((0u64..40, 0u64..6), 0..30)) {
            let mut set = RangeSet::default();
            let mut plain = [false; 64];
            for (first, len) in ranges {
                set.insert(at(0, first), at(0, first + len));
                for id in first..=first + len {
                    plain[usize::try_from(id).unwrap()] = true;
                }
            }
            for (id, &covered) in plain.iter().enumerate() {
                prop_assert_eq!(set.contains(at(0, id as u64)), covered);
            }
        }
    }
}
