//! A subscription that goes on where the subscriber left off with someone else.
//!
//! A relay whose upstream is gone has a beginning of the track and wants the rest from another node, without a gap and without
//! waiting for a fetch. The cache is the queue of every subscription; this one begins at its head instead of its tail.

use std::sync::Arc;
use std::task::Waker;

use super::{SubscribeError, SubscribeOptions, Subscription};
use crate::fanout::cursor::{Cursor, Terms};
use crate::track::{Lane, LaneKey, Log, Object, State, Subgroup, Time, Track, successor};
use crate::wire::{Filter, Location};

impl Subscription {
    /// Subscribes to what is in the cache from `from` on, in its order of arrival in each subgroup, and to what arrives from now on.
    ///
    /// A filter with a start or an end narrows that, one relative to the largest object means nothing here. What left the cache
    /// before, was only fetched, or is later than a delivery timeout or MAX_CACHE_DURATION allows, is not owed:
    /// [`Self::first_available`] tells. What is found does not count as lag: the bound applies to what the backlog grows
    /// beyond the least it has been since, so a slow subscriber is ended as late as the cache itself gives up on it.
    ///
    /// # Errors
    ///
    /// See [`SubscribeError`]; [`SubscribeError::InvalidRange`] only if the filter ends before `from`.
    pub fn resume(
        track: &Arc<Track>,
        now: Time,
        options: SubscribeOptions,
        waker: Waker,
        track_alias: u64,
        from: Location,
    ) -> Result<Self, SubscribeError> {
        let (start, end_group) = match options.filter {
            None | Some(Filter::NextGroupStart | Filter::LargestObject) => (from, None),
            Some(Filter::AbsoluteStart(start)) => (start.max(from), None),
            Some(Filter::AbsoluteRange { start, end_group }) => (start.max(from), Some(end_group)),
        };
        if end_group.is_some_and(|end| end < start.group) {
            return Err(SubscribeError::InvalidRange);
        }
        let options = SubscribeOptions {
            filter: Some(Filter::AbsoluteStart(start)),
            ..options
        };
        let mut subscription = Self::new(track, now, options, waker, track_alias)?;
        subscription.range.end_group = end_group;
        if subscription.options.forward {
            subscription.replay(now);
        }
        Ok(subscription)
    }

    /// The first location that it can give, at or behind the start of its range: what a resumption asked for before it is to be
    /// fetched. Taken when it began.
    pub const fn first_available(&self) -> Location {
        self.first
    }

    /// Owes what the cache has, as far as it may be given.
    fn replay(&mut self, now: Time) {
        let track = Arc::clone(&self.track);
        let state = track.lock();
        let terms = self.terms(&state, now, 0);
        let mut found = Found::default();
        found.evicted(&state, &terms);
        found.stored(&state, &terms);
        self.replay_datagrams(&state, &terms, &mut found);
        for (&group, held) in state.groups.range(terms.range.start.group..) {
            for (&subgroup, content) in &held.subgroups {
                for lane in [Lane::Main, Lane::Late] {
                    let key = LaneKey {
                        group,
                        subgroup,
                        lane,
                    };
                    let Some(log) = content.log(lane) else { continue };
                    let Some(index) = found.lane(&state, &terms, key, log, content) else {
                        continue;
                    };
                    let received = |id| held.objects.get(&id).map_or(0, |object| object.received);
                    self.cursors
                        .insert(key, Cursor::new(log, content, &received, index));
                    self.attend(&state, now, key, log, content);
                }
            }
        }
        self.replay = self.backlog;
        self.first = found.first(state.largest).max(terms.range.start);
    }

    fn replay_datagrams(&mut self, state: &State, terms: &Terms, found: &mut Found) {
        self.datagrams_seen = 0;
        for entry in &state.datagrams {
            let timeout = super::smaller(terms.object_timeout, terms.subgroup_timeout);
            let fresh = state.object(entry.at).is_some_and(|object| {
                state.is_fresh(object, terms.now)
                    && timeout.is_none_or(|timeout| terms.now <= object.arrived + timeout)
            });
            if !fresh {
                self.datagrams_seen = entry.seq;
            }
            if terms.range.contains(entry.at) {
                found.note(entry.at, fresh);
            }
        }
    }
}

/// What a resumption finds.
#[derive(Debug, Default)]
struct Found {
    /// Locations that it owes.
    owed: Vec<Location>,
    /// The last location that was published and cannot be given.
    lost: Option<Location>,
}

impl Found {
    fn note(&mut self, at: Location, given: bool) {
        if given {
            self.owed.push(at);
        } else {
            self.lost = self.lost.max(Some(at));
        }
    }

    fn evicted(&mut self, state: &State, terms: &Terms) {
        let mut from = Some(terms.range.start);
        while let Some(first) = from.and_then(|from| state.absence.next_evicted(from)) {
            let last = state.absence.evicted_until(first).unwrap_or(first);
            if !terms.range.has_group(first.group) {
                return;
            }
            self.note(last, false);
            from = successor(last);
        }
    }

    /// Objects that no subscription is owed: fetched ones, and those whose rest never came.
    fn stored(&mut self, state: &State, terms: &Terms) {
        for (&group, held) in state.groups.range(terms.range.start.group..) {
            for (&id, object) in &held.objects {
                let at = Location::new(group, id);
                if object.is_unlogged() && terms.range.contains(at) {
                    self.note(at, false);
                }
            }
        }
    }

    /// The first entry of a lane behind which all can be given; `None`: nothing in it passes.
    fn lane(
        &mut self,
        state: &State,
        terms: &Terms,
        key: LaneKey,
        log: &Log,
        subgroup: &Subgroup,
    ) -> Option<u64> {
        let may_go = |object: &Object| state.is_fresh(object, terms.now) && !terms.is_late(object, subgroup);
        let entries = || log.iter_from(log.base()).filter(|entry| entry.dead.is_none());
        let location = |id| Location::new(key.group, id);
        let mut after = None;
        for entry in entries() {
            if !state.object(location(entry.id)).is_some_and(may_go) {
                after = Some(entry.seq);
            }
        }
        let mut passes = false;
        for entry in entries().filter(|entry| terms.range.contains(location(entry.id))) {
            let given = after.is_none_or(|after| entry.seq > after);
            passes |= given;
            self.note(location(entry.id), given);
        }
        passes.then(|| log.after(after.unwrap_or(0)))
    }

    /// The first location from which on everything is owed.
    fn first(&self, largest: Option<Location>) -> Location {
        let owed = self
            .owed
            .iter()
            .filter(|&&at| self.lost.is_none_or(|lost| at > lost));
        let behind = || self.lost.max(largest).and_then(successor).unwrap_or_default();
        owed.min().copied().unwrap_or_else(behind)
    }
}
