//! What leaves the cache: whole groups, or the oldest objects of one.

use super::State;
use crate::track::group::Group;
use crate::wire::Location;

/// Evictions remembered for subscriptions that have not looked since.
const MAX_EVICTIONS: usize = 256;

/// A group that left the cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Eviction {
    /// When, in the arrival order.
    pub(crate) seq: u64,
    pub(crate) group: u64,
    /// Its last entry, in the arrival order.
    pub(crate) last_entry: u64,
}

impl State {
    /// Forgets `id`; subscriptions that are owed something of it are told.
    pub(in crate::track) fn evict_group(&mut self, id: u64) {
        let Some(group) = self.groups.remove(&id) else {
            return;
        };
        self.cost = self.cost.saturating_sub(group.cost);
        for log in group
            .subgroups
            .values()
            .flat_map(|s| std::iter::once(&s.main).chain(s.late.as_deref()))
        {
            self.changed.remove(&log.changed);
        }
        let seq = self.next_seq();
        self.evictions.push_back(Eviction {
            seq,
            group: id,
            last_entry: group.last_seq,
        });
        if self.evictions.len() > MAX_EVICTIONS
            && let Some(forgotten) = self.evictions.pop_front()
        {
            self.evictions_forgotten = self.evictions_forgotten.max(forgotten.last_entry);
        }
        if let Some((&last, _)) = group.objects.last_key_value() {
            self.absence.evict(Location::new(id, 0), Location::new(id, last));
        }
        self.trim_datagrams();
        self.stats.evicted_groups += 1;
    }

    /// Drops datagram entries at the front whose objects are gone.
    fn trim_datagrams(&mut self) {
        while self
            .datagrams
            .front()
            .is_some_and(|entry| !self.groups.contains_key(&entry.at.group))
        {
            self.datagrams.pop_front();
        }
    }

    /// Forgets objects of `id` from its beginning until `want` is freed; whole ones only, unless `incomplete`.
    pub(in crate::track) fn shed(&mut self, id: u64, want: u64, incomplete: bool) {
        let Some(group) = self.groups.get_mut(&id) else {
            return;
        };
        let mut freed = 0;
        let mut gone = Vec::new();
        for (&object_id, object) in &group.objects {
            if freed >= want {
                break;
            }
            if incomplete || object.is_complete() {
                freed += object.cost();
                gone.push(object_id);
            }
        }
        for object_id in &gone {
            group.objects.remove(object_id);
            self.absence
                .evict(Location::new(id, *object_id), Location::new(id, *object_id));
        }
        let Group {
            objects, subgroups, ..
        } = group;
        for subgroup in subgroups.values_mut() {
            subgroup
                .main
                .trim(|entry| entry.dead.is_some() || !objects.contains_key(&entry.id));
            if let Some(late) = subgroup.late.as_deref_mut() {
                late.trim(|entry| entry.dead.is_some() || !objects.contains_key(&entry.id));
            }
        }
        group.cost = group.cost.saturating_sub(freed);
        self.cost = self.cost.saturating_sub(freed);
        self.datagrams
            .retain(|entry| entry.at.group != id || gone.binary_search(&entry.at.object).is_err());
        self.news = true;
    }
}
