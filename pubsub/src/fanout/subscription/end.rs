//! How it ends: one lane with its stream, or the whole subscription.

use super::{Phase, Subscription, rank};
use crate::fanout::cursor::Terms;
use crate::fanout::filter::Range;
use crate::fanout::{LINGER, SETTLE, StreamKey};
use crate::track::{Lane, LaneKey, State, Time};
use crate::wire::{PublishDoneCode, StreamCode};

impl Subscription {
    /// Ends the subscription once the track has ended or the range is behind, and nothing is left to send.
    pub(super) fn check_end(&mut self, state: &State, now: Time) {
        let busy = self
            .cursors
            .values()
            .any(|cursor| cursor.pending > 0 || cursor.partial.is_some());
        let ended = if let Some((code, reason)) = &state.ended {
            self.settled = None;
            (!busy).then(|| (*code, reason.clone()))
        } else {
            self.range_is_behind(state, busy, now)
                .then(|| (PublishDoneCode::SUBSCRIPTION_ENDED, String::new()))
        };
        let Some((code, reason)) = ended else { return };
        for key in self.cursors.keys().copied().collect::<Vec<_>>() {
            self.close_lane(key, now, StreamCode::CANCELLED);
        }
        self.settled = None;
        self.phase = Phase::Ending { code, reason };
    }

    fn range_is_behind(&mut self, state: &State, busy: bool, now: Time) -> bool {
        let Some(end) = self.range.end_group else {
            return false;
        };
        let writing = || {
            state
                .groups
                .range(self.range.start.group..=end)
                .any(|(_, group)| group.writers > 0)
        };
        let behind = self.range.is_over(state.largest) && !busy && !writing();
        if !behind {
            self.settled = None;
            return false;
        }
        *self.settled.get_or_insert(now + SETTLE) <= now
    }

    /// Ends everything at once.
    pub(super) fn end(&mut self, code: PublishDoneCode, stream_code: StreamCode, reason: &str) {
        self.drop_cursors(stream_code, |_, _| true);
        while let Some((stream, _)) = self.timers.due_linger(Time::MAX) {
            self.resets.push_back((stream, stream_code));
        }
        self.settled = None;
        self.phase = Phase::Ending {
            code,
            reason: reason.to_owned(),
        };
    }

    /// The subgroup is complete: its FIN goes out with this write.
    pub(super) fn finish_lane(&mut self, state: &State, terms: &Terms, key: LaneKey) {
        let ended = state
            .groups
            .get(&key.group)
            .and_then(|g| g.subgroups.get(&key.subgroup))
            .and_then(|s| s.end);
        let stream = self.forget_lane(key);
        if let (Some(timeout), Some((_, ended)), Some(stream)) = (terms.subgroup_timeout, ended, stream) {
            let until = ended + timeout;
            self.unacknowledged.insert(stream, until);
            self.timers.acknowledge_until(until, stream);
        }
    }

    /// Resets the subgroup's streams at once and never opens it again.
    pub(super) fn drop_subgroup(&mut self, group: u64, subgroup: u64, code: StreamCode) {
        self.dropped.insert((group, subgroup));
        for lane in [Lane::Main, Lane::Late] {
            if let Some(stream) = self.forget_lane(LaneKey {
                group,
                subgroup,
                lane,
            }) {
                self.resets.push_back((stream, code));
            }
        }
    }

    pub(super) fn drop_cursors(&mut self, code: StreamCode, which: impl Fn(&Range, LaneKey) -> bool) {
        let keys: Vec<LaneKey> = self
            .cursors
            .keys()
            .copied()
            .filter(|&key| which(&self.range, key))
            .collect();
        for key in keys {
            if let Some(stream) = self.forget_lane(key) {
                self.resets.push_back((stream, code));
            }
        }
    }

    /// Gives up the lane; its stream is reset without haste.
    pub(super) fn close_lane(&mut self, key: LaneKey, now: Time, code: StreamCode) {
        if let Some(stream) = self.forget_lane(key) {
            self.timers.linger(now + LINGER, stream, code);
        }
    }

    /// Removes the cursor; what becomes of its stream is the caller's decision.
    pub(super) fn forget_lane(&mut self, key: LaneKey) -> Option<StreamKey> {
        let cursor = self.cursors.remove(&key)?;
        self.ready.remove(&(rank(self.order, &cursor, key), key));
        self.backlog = self.backlog.saturating_sub(cursor.pending);
        self.timers.set_lane(key, cursor.timer, None);
        let stream = cursor.stream?.key;
        self.streams.remove(&stream);
        Some(stream)
    }
}
