//! What is behind a track's lock: its groups, what is known about absence, and who waits for news.

mod admission;
mod arrival;
mod eviction;

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

pub(super) use admission::{Debt, Incoming};
pub(crate) use eviction::Eviction;

use super::absence::Absence;
use super::error::Malformed;
use super::group::{Group, Lane, Object, SUBGROUP_COST, Subgroup};
use super::wake::Wakers;
use super::{Authority, Edge, Time, TrackStats};
use crate::wire::property::{Properties, TrackProperties};
use crate::wire::{GroupOrder, Location, PublishDoneCode};

/// How long an object that lost its source is held for another source to complete.
const GRACE: Time = Time::from_secs(2);
/// One lane of one subgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LaneKey {
    pub(crate) group: u64,
    pub(crate) subgroup: u64,
    pub(crate) lane: Lane,
}

/// A datagram owed to subscriptions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DatagramEntry {
    pub(crate) seq: u64,
    pub(crate) at: Location,
}

/// Track Properties, read once.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) raw: Properties,
    pub(super) view: TrackProperties,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(super) authority: Authority,
    pub(super) known: Known,
    pub(crate) groups: BTreeMap<u64, Group>,
    pub(crate) largest: Option<Location>,
    /// When the first object came by subscription, and what had been published before.
    pub(super) began: Option<(Time, Option<Location>)>,
    /// Largest location that a fetch from upstream has told of; counts how many told.
    pub(crate) extent: (Option<Location>, u64),
    pub(crate) absence: Absence,
    pub(crate) ended: Option<(PublishDoneCode, String)>,
    pub(crate) malformed: Option<Malformed>,
    /// The arrival order: counts everything that changes what a subscription sees.
    pub(crate) seq: u64,
    /// Lanes by their last change; each lane at most once.
    pub(crate) changed: BTreeMap<u64, LaneKey>,
    pub(crate) datagrams: VecDeque<DatagramEntry>,
    pub(crate) evictions: VecDeque<Eviction>,
    /// The last entry of any eviction that is no longer remembered.
    pub(crate) evictions_forgotten: u64,
    pub(super) wakers: Wakers,
    /// Something happened that waiters must hear of.
    pub(super) news: bool,
    /// Sources that can still deliver.
    pub(crate) sources: usize,
    /// Incomplete objects without a source: until when, and which.
    pub(super) waiting: Vec<(Time, Location)>,
    /// Latest time seen.
    pub(super) now: Time,
    /// What the groups cost the budget.
    pub(super) cost: u64,
    pub(super) stats: TrackStats,
}

impl State {
    pub(super) fn new(authority: Authority) -> Self {
        Self {
            authority,
            known: Known::default(),
            groups: BTreeMap::new(),
            largest: None,
            began: None,
            extent: (None, 0),
            absence: Absence::default(),
            ended: None,
            malformed: None,
            seq: 0,
            changed: BTreeMap::new(),
            datagrams: VecDeque::new(),
            evictions: VecDeque::new(),
            evictions_forgotten: 0,
            wakers: Wakers::default(),
            news: false,
            sources: 0,
            waiting: Vec::new(),
            now: Time::ZERO,
            cost: 0,
            stats: TrackStats::default(),
        }
    }

    pub(crate) const fn authority(&self) -> Authority {
        self.authority
    }

    pub(crate) fn default_priority(&self) -> u8 {
        self.known.view.default_publisher_priority.unwrap_or(128)
    }

    pub(crate) fn default_order(&self) -> GroupOrder {
        self.known.view.default_group_order.unwrap_or_default()
    }

    pub(crate) fn object_timeout(&self) -> Option<Time> {
        timeout(self.known.view.object_delivery_timeout_ms)
    }

    pub(crate) fn subgroup_timeout(&self) -> Option<Time> {
        timeout(self.known.view.subgroup_delivery_timeout_ms)
    }

    /// How long objects may be served; `None`: as long as they are here.
    pub(crate) fn max_age(&self) -> Option<Time> {
        self.known.view.max_cache_duration_ms.map(Time::from_millis)
    }

    pub(crate) const fn edge(&self) -> Edge {
        Edge {
            largest: self.largest,
            seq: self.seq,
        }
    }

    /// The track cannot grow beyond what others tell: `largest` is what the end of a fetch is measured by.
    pub(crate) fn is_live(&self) -> bool {
        self.sources > 0 || self.authority == Authority::Original || self.ended.is_some()
    }

    pub(crate) fn object(&self, at: Location) -> Option<&Object> {
        self.groups.get(&at.group)?.objects.get(&at.object)
    }

    pub(crate) fn arm(&mut self, slot: usize) {
        self.wakers.arm(slot);
    }

    pub(crate) fn register(&mut self, waker: Waker) -> usize {
        self.wakers.insert(waker)
    }

    pub(crate) fn replace_waker(&mut self, slot: usize, waker: Waker) {
        self.wakers.replace(slot, waker);
    }

    pub(crate) fn unregister(&mut self, slot: usize) {
        self.wakers.remove(slot);
    }

    pub(super) const fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// The lane has something new.
    fn touch(&mut self, key: LaneKey, logged: u64) {
        let seq = self.next_seq();
        self.news = true;
        let Some(group) = self.groups.get_mut(&key.group) else {
            return;
        };
        let Some(subgroup) = group.subgroups.get_mut(&key.subgroup) else {
            return;
        };
        let log = subgroup.log_mut(key.lane);
        log.total += logged;
        let before = std::mem::replace(&mut log.changed, seq);
        if before != 0 {
            self.changed.remove(&before);
        }
        self.changed.insert(seq, key);
    }

    /// Both lanes of the subgroup, where they exist, have something new: its end.
    pub(super) fn touch_subgroup(&mut self, group: u64, subgroup: u64) {
        let late = self
            .groups
            .get(&group)
            .and_then(|group| group.subgroups.get(&subgroup))
            .is_some_and(|s| s.late.is_some());
        self.touch(
            LaneKey {
                group,
                subgroup,
                lane: Lane::Main,
            },
            0,
        );
        if late {
            self.touch(
                LaneKey {
                    group,
                    subgroup,
                    lane: Lane::Late,
                },
                0,
            );
        }
    }

    /// Marks the track; `problem` is handed back for convenience.
    pub(super) fn condemn(&mut self, problem: Malformed) -> Malformed {
        if self.malformed.is_none() {
            self.malformed = Some(problem);
            self.news = true;
        }
        problem
    }

    pub(super) fn raise_largest(&mut self, at: Location) {
        if self.largest.is_none_or(|largest| at > largest) {
            self.largest = Some(at);
            self.news = true;
        }
    }

    pub(super) fn group_mut(&mut self, id: u64) -> &mut Group {
        if !self.groups.contains_key(&id) {
            let birth = self.next_seq();
            let group = Group::new(birth, self.now);
            self.cost += group.cost;
            self.groups.insert(id, group);
        }
        let now = self.now;
        let group = self.groups.entry(id).or_insert_with(|| Group::new(0, now));
        group.touched = now;
        group
    }

    pub(super) fn charge(&mut self, group: u64, before: u64, after: u64) {
        if let Some(group) = self.groups.get_mut(&group) {
            group.cost = (group.cost + after).saturating_sub(before);
            self.cost = (self.cost + after).saturating_sub(before);
        }
    }

    /// The subgroup, made if new, checked if known.
    pub(super) fn subgroup_mut(
        &mut self,
        group: u64,
        subgroup: u64,
        priority: u8,
    ) -> Result<&mut Subgroup, Malformed> {
        let known = self.group_mut(group).subgroups.contains_key(&subgroup);
        if !known {
            self.charge(group, 0, SUBGROUP_COST);
        }
        let entry = self
            .group_mut(group)
            .subgroups
            .entry(subgroup)
            .or_insert_with(|| Subgroup::new(priority));
        if entry.priority == priority {
            Ok(entry)
        } else {
            Err(Malformed::Priority)
        }
    }

    /// The object may still be served: it is not older than MAX_CACHE_DURATION.
    pub(crate) fn is_fresh(&self, object: &Object, now: Time) -> bool {
        self.max_age().is_none_or(|age| now <= object.arrived + age)
    }
}

fn timeout(ms: Option<u64>) -> Option<Time> {
    ms.filter(|&ms| ms > 0).map(Time::from_millis)
}
