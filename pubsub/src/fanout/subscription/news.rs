//! What happened in the track since the last look: lanes that changed, groups that left, moments that came.

use super::{Phase, Subscription, rank};
use crate::fanout::cursor::{Cursor, Overdue};
use crate::track::{LaneKey, Log, State, Subgroup, Time};
use crate::wire::{PublishDoneCode, StreamCode};

impl Subscription {
    /// Looks at what changed since the last time.
    pub(super) fn look(&mut self, state: &State, now: Time) {
        if state.malformed.is_some() {
            return self.end(
                PublishDoneCode::MALFORMED_TRACK,
                StreamCode::MALFORMED_TRACK,
                "the track is malformed",
            );
        }
        if !self.options.forward {
            self.seen = state.seq;
            self.datagrams_seen = state.seq;
            return;
        }
        let seen = self.seen;
        if seen != state.seq {
            self.look_at_evictions(state, now);
            for (_, &key) in state.changed.range(seen + 1..) {
                self.visit(state, now, key, seen);
            }
            self.seen = state.seq;
        }
        while let Some(key) = self.timers.due_lane(now) {
            self.on_timer(state, now, key);
        }
        let terms = self.terms(state, now, 0);
        let patient = terms.object_timeout.is_none() && terms.subgroup_timeout.is_none();
        self.replay = self.replay.min(self.backlog);
        if patient && self.backlog - self.replay > self.track.cache().limits().max_lag {
            self.end(
                PublishDoneCode::TOO_FAR_BEHIND,
                StreamCode::TOO_FAR_BEHIND,
                "the backlog exceeds the limit",
            );
        }
    }

    fn look_at_evictions(&mut self, state: &State, now: Time) {
        let seen = self.seen;
        let mut owed = state.evictions_forgotten > seen;
        for eviction in state
            .evictions
            .iter()
            .rev()
            .take_while(|eviction| eviction.seq > seen)
        {
            owed |= eviction.last_entry > seen && self.range.has_group(eviction.group);
        }
        // A group that left may be back already, and then knows nothing of these cursors.
        let stays = |key: &&LaneKey| {
            state
                .groups
                .get(&key.group)
                .is_some_and(|group| group.birth <= seen)
        };
        let gone: Vec<LaneKey> = self.cursors.keys().filter(|key| !stays(key)).copied().collect();
        for key in gone {
            owed |= self
                .cursors
                .get(&key)
                .is_some_and(|cursor| cursor.pending > 0 || cursor.partial.is_some());
            self.close_lane(key, now, StreamCode::CANCELLED);
        }
        if let Some((&first, _)) = state.groups.first_key_value() {
            self.dropped = self.dropped.split_off(&(first, 0));
        }
        if owed {
            self.fall_behind(state, now, None);
        }
    }

    /// Something owed is gone from the cache.
    pub(super) fn fall_behind(&mut self, state: &State, now: Time, key: Option<LaneKey>) {
        let terms = self.terms(state, now, 0);
        if terms.object_timeout.is_none() && terms.subgroup_timeout.is_none() {
            self.end(
                PublishDoneCode::TOO_FAR_BEHIND,
                StreamCode::TOO_FAR_BEHIND,
                "objects left the cache before they were sent",
            );
        } else if let Some(key) = key {
            self.drop_subgroup(key.group, key.subgroup, StreamCode::DELIVERY_TIMEOUT);
        }
    }

    /// A lane changed: the cursor there, or a new one, has something to do.
    fn visit(&mut self, state: &State, now: Time, key: LaneKey, seen: u64) {
        // An eviction, or a lane looked at before, may have ended it.
        let active = matches!(self.phase, Phase::Active);
        if !active || !self.range.has_group(key.group) || self.dropped.contains(&(key.group, key.subgroup)) {
            return;
        }
        let Some(group) = state.groups.get(&key.group) else {
            return;
        };
        let Some(subgroup) = group.subgroups.get(&key.subgroup) else {
            return;
        };
        let Some(log) = subgroup.log(key.lane) else { return };
        if !self.cursors.contains_key(&key) {
            if log.left_seq > seen {
                return self.fall_behind(state, now, Some(key));
            }
            if log.after(seen) == log.end() {
                return;
            }
            let received = |id| group.objects.get(&id).map_or(0, |object| object.received);
            self.cursors
                .insert(key, Cursor::new(log, subgroup, &received, log.after(seen)));
        }
        self.attend(state, now, key, log, subgroup);
    }

    /// Books what the cursor of a lane has before it, and sets it to work.
    pub(super) fn attend(&mut self, state: &State, now: Time, key: LaneKey, log: &Log, subgroup: &Subgroup) {
        let terms = self.terms(state, now, 0);
        let Some(cursor) = self.cursors.get_mut(&key) else {
            return;
        };
        let pending = log.total.saturating_sub(cursor.passed);
        self.backlog = (self.backlog + pending).saturating_sub(cursor.pending);
        cursor.pending = pending;
        if !cursor.blocked && cursor.has_work(log, subgroup) {
            self.ready.insert((rank(self.order, cursor, key), key));
        }
        let timer = cursor.deadline(state, key, &terms);
        self.timers.set_lane(key, cursor.timer, timer);
        cursor.timer = timer;
    }

    fn on_timer(&mut self, state: &State, now: Time, key: LaneKey) {
        let terms = self.terms(state, now, 0);
        let Some(cursor) = self.cursors.get_mut(&key) else {
            return;
        };
        cursor.timer = None;
        match cursor.overdue(state, key, &terms) {
            Some(Overdue::Delivery) => {
                self.drop_subgroup(key.group, key.subgroup, StreamCode::DELIVERY_TIMEOUT)
            }
            Some(Overdue::Orphan) => self.close_lane(key, now, StreamCode::CANCELLED),
            None => {
                cursor.timer = cursor.deadline(state, key, &terms);
                self.timers.set_lane(key, None, cursor.timer);
            }
        }
    }
}
