//! The moments a subscription waits for.

use std::collections::{BTreeMap, BTreeSet};

use super::StreamKey;
use crate::track::{LaneKey, Time};
use crate::wire::StreamCode;

/// At most one moment per lane, and one per stream that is to be reset or acknowledged.
#[derive(Debug, Default)]
pub(super) struct Timers {
    lanes: BTreeSet<(Time, LaneKey)>,
    /// To be reset without haste.
    lingering: BTreeMap<(Time, StreamKey), StreamCode>,
    /// Ended by FIN, to be reset unless acknowledged before.
    unacknowledged: BTreeSet<(Time, StreamKey)>,
}

impl Timers {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn next(&self) -> Option<Time> {
        let lane = self.lanes.first().map(|&(at, _)| at);
        let linger = self.lingering.first_key_value().map(|(&(at, _), _)| at);
        let unacknowledged = self.unacknowledged.first().map(|&(at, _)| at);
        [lane, linger, unacknowledged].into_iter().flatten().min()
    }

    /// Moves the lane's moment from `before` to `after`.
    pub(super) fn set_lane(&mut self, key: LaneKey, before: Option<Time>, after: Option<Time>) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.lanes.remove(&(before, key));
        }
        if let Some(after) = after {
            self.lanes.insert((after, key));
        }
    }

    pub(super) fn due_lane(&mut self, now: Time) -> Option<LaneKey> {
        let &(at, key) = self.lanes.first()?;
        (at <= now && self.lanes.remove(&(at, key))).then_some(key)
    }

    pub(super) fn linger(&mut self, until: Time, stream: StreamKey, code: StreamCode) {
        self.lingering.insert((until, stream), code);
    }

    pub(super) fn is_lingering(&self) -> bool {
        !self.lingering.is_empty()
    }

    pub(super) fn due_linger(&mut self, now: Time) -> Option<(StreamKey, StreamCode)> {
        let entry = self
            .lingering
            .first_entry()
            .filter(|entry| entry.key().0 <= now)?;
        let ((_, stream), code) = entry.remove_entry();
        Some((stream, code))
    }

    pub(super) fn acknowledge_until(&mut self, until: Time, stream: StreamKey) {
        self.unacknowledged.insert((until, stream));
    }

    pub(super) fn acknowledged(&mut self, until: Time, stream: StreamKey) {
        self.unacknowledged.remove(&(until, stream));
    }

    pub(super) fn due_acknowledgement(&mut self, now: Time) -> Option<StreamKey> {
        let &(until, stream) = self.unacknowledged.first()?;
        (until <= now && self.unacknowledged.remove(&(until, stream))).then_some(stream)
    }
}
