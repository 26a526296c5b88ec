//! Request IDs (draft section "Request ID"): ours counted, the peer's remembered as intervals.
//!
//! The peer's IDs arrive out of order, because each request has its own stream, so a maximum is not enough and a plain set
//! would grow for ever. IDs of streams that were reset before they were read never arrive: such holes are closed, lowest
//! first, when there are more than the set keeps.

use std::collections::BTreeMap;

use super::config::Side;

impl Side {
    /// Parity of the Request IDs that this side generates.
    const fn parity(self) -> u64 {
        match self {
            Self::Client => 0,
            Self::Server => 1,
        }
    }

    /// Whether this side may generate `id`.
    pub(super) const fn owns(self, id: u64) -> bool {
        id & 1 == self.parity()
    }
}

/// The IDs of our requests, in order.
#[derive(Debug)]
pub(super) struct Counter {
    next: u64,
}

impl Counter {
    pub(super) const fn new(side: Side) -> Self {
        Self { next: side.parity() }
    }

    /// A new ID. 2^63 requests do not happen in one session.
    pub(super) const fn take(&mut self) -> u64 {
        let id = self.next;
        self.next = id.wrapping_add(2);
        id
    }

    /// Takes back the ID of a request that never left, so that the peer sees no hole; only possible for the newest.
    pub(super) const fn give_back(&mut self, id: u64) {
        if self.next == id.wrapping_add(2) {
            self.next = id;
        }
    }
}

/// The peer's Request IDs seen so far, as disjoint intervals of sequence numbers (ID without its parity bit).
#[derive(Debug)]
pub(super) struct Seen {
    side: Side,
    /// First to last sequence number of each interval; no two touch.
    intervals: BTreeMap<u64, u64>,
    max_intervals: usize,
}

impl Seen {
    /// An empty set of the IDs that `side` generates, in at most `max_intervals` (at least 1) intervals.
    pub(super) fn new(side: Side, max_intervals: usize) -> Self {
        Self {
            side,
            intervals: BTreeMap::new(),
            max_intervals: max_intervals.max(1),
        }
    }

    /// Adds `id`. False if it has the wrong parity or was there already: INVALID_REQUEST_ID.
    #[must_use]
    pub(super) fn insert(&mut self, id: u64) -> bool {
        if !self.side.owns(id) || self.contains(id) {
            return false;
        }
        let sequence = id >> 1;
        let (mut first, mut last) = (sequence, sequence);
        if let Some((&start, &end)) = self.intervals.range(..sequence).next_back()
            && end + 1 == sequence
        {
            first = start;
        }
        if let Some(end) = self.intervals.remove(&(sequence + 1)) {
            last = end;
        }
        self.intervals.insert(first, last);
        if self.intervals.len() > self.max_intervals {
            self.close_lowest_hole();
        }
        true
    }

    /// Whether `id` is one of the peer's and was seen.
    pub(super) fn contains(&self, id: u64) -> bool {
        let sequence = id >> 1;
        self.side.owns(id)
            && self
                .intervals
                .range(..=sequence)
                .next_back()
                .is_some_and(|(_, &end)| sequence <= end)
    }

    /// The smallest ID above all that were seen: what GOAWAY tells the peer.
    pub(super) fn next(&self) -> u64 {
        let sequence = self
            .intervals
            .last_key_value()
            .map_or(0, |(_, &end)| end.saturating_add(1));
        sequence.saturating_mul(2) | self.side.parity()
    }

    fn close_lowest_hole(&mut self) {
        if let Some((first, _)) = self.intervals.pop_first()
            && let Some((_, end)) = self.intervals.pop_first()
        {
            self.intervals.insert(first, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wrong_parity_is_refused() {
        let mut seen = Seen::new(Side::Server, 8);
        assert!(!seen.insert(4));
        assert!(seen.insert(5));
        assert!(!seen.insert(5));
        assert_eq!(seen.next(), 7);
    }

    #[test]
    fn the_largest_id_does_not_overflow() {
        let mut seen = Seen::new(Side::Server, 8);
        assert!(seen.insert(u64::MAX));
        assert!(seen.insert(u64::MAX - 2));
        assert!(!seen.insert(u64::MAX));
        assert_eq!(seen.next(), u64::MAX);
    }

    #[test]
    fn holes_beyond_the_bound_close_from_below() {
        let mut seen = Seen::new(Side::Client, 2);
        for id in [0, 8, 16] {
            assert!(seen.insert(id));
        }
        assert_eq!(seen.intervals.len(), 2);
        assert!(seen.contains(4), "the lowest hole counts as used");
        assert!(!seen.contains(12));
    }

    proptest! {
        #[test]
        fn intervals_agree_with_a_plain_set(ids in proptest::collection::vec(0u64..200, 0..300)) {
            let mut seen = Seen::new(Side::Client, 1000);
            let mut plain = BTreeSet::new();
            for id in ids {
                prop_assert_eq!(seen.insert(id), id % 2 == 0 && plain.insert(id));
            }
            for id in 0..200 {
                prop_assert_eq!(seen.contains(id), plain.contains(&id));
            }
            let runs = plain.iter().filter(|&&id| id == 0 || !plain.contains(&(id - 2))).count();
            prop_assert_eq!(seen.intervals.len(), runs);
        }
    }
}
