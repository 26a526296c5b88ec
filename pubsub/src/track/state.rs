//! What is behind a track's lock: its groups, what is known about absence, and who waits for news.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use bytes::Bytes;

use super::absence::Absence;
use super::error::{Malformed, SourceError};
use super::group::{Entry, Group, Head, Lane, Object, Place, SUBGROUP_COST, Subgroup};
use super::wake::Wakers;
use super::{Authority, Time, TrackStats};
use crate::wire::data::ObjectStatus;
use crate::wire::property::{ObjectProperties, ObjectPropertiesError, Properties, TrackProperties, kind};
use crate::wire::{GroupOrder, Location, PublishDoneCode};

/// How long an object that lost its source is held for another source to complete.
pub(super) const GRACE: Time = Time::from_secs(2);
/// Evictions remembered for subscriptions that have not looked since.
const MAX_EVICTIONS: usize = 256;

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

/// A group that left the cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Eviction {
    /// When, in the arrival order.
    pub(crate) seq: u64,
    pub(crate) group: u64,
    /// Its last entry, in the arrival order.
    pub(crate) last_entry: u64,
}

/// Whether what arrives is owed to subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Debt {
    /// Received by subscription, or a repair of what should have been.
    Owed,
    /// Received by fetch.
    Stored,
}

/// The head of an object on its way in.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) at: Location,
    pub(super) place: Place,
    pub(super) priority: u8,
    pub(super) status: ObjectStatus,
    pub(super) properties: Properties,
    pub(super) len: u64,
    /// The object before it on the same stream.
    pub(super) prev: Option<u64>,
    pub(super) debt: Debt,
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

    /// Takes the head of an object. `Ok(false)`: it is known not to exist (told by a fetch) and is to be ignored.
    pub(super) fn begin(&mut self, incoming: &Incoming) -> Result<bool, SourceError> {
        let at = incoming.at;
        let gaps = read_properties(incoming)?;
        self.check_place(incoming)?;
        if incoming.status == ObjectStatus::Normal && !self.has(at) && self.absence.was_told_absent(at) {
            self.stats.ignored_objects += 1;
            return Ok(false);
        }
        if incoming.debt == Debt::Owed && !self.has(at) && self.absence.evicted_until(at).is_some() {
            // It was owed once, and nobody remembers whom it reached.
            self.stats.duplicate_objects += 1;
            return Ok(false);
        }
        if let Some(gaps) = gaps {
            self.learn_gaps(at, gaps)?;
        }
        self.store(incoming)?;
        if incoming.debt == Debt::Owed {
            if incoming.status == ObjectStatus::Normal {
                self.raise_largest(at);
            }
            self.log(incoming);
        }
        self.news = true;
        Ok(true)
    }

    fn has(&self, at: Location) -> bool {
        self.object(at).is_some()
    }

    /// Refuses what contradicts the ends and gaps known so far, before anything is changed.
    fn check_place(&self, incoming: &Incoming) -> Result<(), Malformed> {
        let at = incoming.at;
        let group = self.groups.get(&at.group);
        if incoming.status == ObjectStatus::Normal {
            if self.absence.track_end().is_some_and(|end| at >= end) {
                return Err(Malformed::AfterTrackEnd);
            }
            if group
                .and_then(|group| group.end)
                .is_some_and(|end| at.object >= end)
            {
                return Err(Malformed::AfterGroupEnd);
            }
            if self.absence.is_in_gap(at) {
                return Err(Malformed::Gap);
            }
        } else {
            let last = group.and_then(last_normal).map(|id| Location::new(at.group, id));
            if last.is_some_and(|last| last >= at) {
                return Err(Malformed::AfterGroupEnd);
            }
        }
        if incoming.status == ObjectStatus::EndOfTrack && self.has_beyond(at) {
            return Err(Malformed::AfterTrackEnd);
        }
        if let (Place::Subgroup(id), Some(group)) = (incoming.place, group) {
            check_subgroup(group, id, incoming)?;
        }
        Ok(())
    }

    fn has_beyond(&self, at: Location) -> bool {
        self.groups
            .range(at.group..)
            .any(|(&id, group)| last_normal(group).is_some_and(|last| Location::new(id, last) >= at))
    }

    fn store(&mut self, incoming: &Incoming) -> Result<(), Malformed> {
        let at = incoming.at;
        if let Some(object) = self.object(at) {
            compare(object, incoming)?;
            self.stats.duplicate_objects += 1;
        }
        if let Place::Subgroup(subgroup) = incoming.place {
            self.subgroup_mut(at.group, subgroup, incoming.priority)?;
        }
        if incoming.status == ObjectStatus::EndOfTrack {
            self.absence.end_track(at);
        }
        let (now, birth) = (self.now, self.next_seq());
        let group = self.group_mut(at.group);
        if group.objects.contains_key(&at.object) {
            return Ok(());
        }
        let object = Object {
            place: incoming.place,
            priority: incoming.priority,
            status: incoming.status,
            properties: incoming.properties.clone(),
            len: incoming.len,
            received: 0,
            chunks: Vec::new(),
            arrived: now,
            birth,
            writers: 0,
            logged: None,
            cut: false,
        };
        let cost = object.cost();
        group.objects.insert(at.object, object);
        if incoming.status == ObjectStatus::EndOfGroup {
            group.end = Some(group.end.map_or(at.object, |end| end.min(at.object)));
        }
        self.charge(at.group, 0, cost);
        self.stats.objects += 1;
        Ok(())
    }

    fn learn_gaps(&mut self, at: Location, gaps: ObjectProperties) -> Result<(), Malformed> {
        if let Some(gap) = gaps.prior_object_gap.filter(|&gap| gap > 0) {
            let first = at.object.saturating_sub(gap);
            let taken = |group: &Group| group.objects.range(first..at.object).next().is_some();
            if self.groups.get(&at.group).is_some_and(taken) {
                return Err(Malformed::Gap);
            }
            self.absence.add_gap(
                Location::new(at.group, first),
                Location::new(at.group, at.object.saturating_sub(1)),
            );
        }
        let Some(gap) = gaps.prior_group_gap else {
            return Ok(());
        };
        let group = self.group_mut(at.group);
        if group.prior_gap.is_some_and(|known| known != gap) {
            return Err(Malformed::GroupGaps);
        }
        group.prior_gap = Some(gap);
        if gap > 0 {
            let first = at.group.saturating_sub(gap);
            if self
                .groups
                .range(first..at.group)
                .any(|(_, group)| last_normal(group).is_some())
            {
                return Err(Malformed::Gap);
            }
            self.absence.add_gap(
                Location::new(first, 0),
                Location::new(at.group.saturating_sub(1), u64::MAX),
            );
        }
        Ok(())
    }

    /// Puts the object into the arrival order, unless it is there.
    fn log(&mut self, incoming: &Incoming) {
        let at = incoming.at;
        if self.absence.evicted_until(at).is_some() {
            return;
        }
        let seq = self.next_seq();
        let Some(group) = self.groups.get_mut(&at.group) else {
            return;
        };
        let Group {
            objects,
            subgroups,
            last_seq,
            ..
        } = group;
        let Some(object) = objects.get_mut(&at.object) else {
            return;
        };
        let Place::Subgroup(id) = object.place else {
            if object.logged.is_none() {
                object.logged = Some(Lane::Main);
                self.datagrams.push_back(DatagramEntry { seq, at });
            }
            return;
        };
        let Some(subgroup) = subgroups.get_mut(&id) else {
            return;
        };
        if let Some(lane) = object.logged {
            if let Some(entry) = subgroup
                .log_mut(lane)
                .live_mut(at.object)
                .filter(|entry| entry.prev.is_none())
            {
                entry.prev = incoming.prev;
            }
            return;
        }
        let lane = if subgroup.main.accepts(at.object) {
            Lane::Main
        } else {
            Lane::Late
        };
        let has_properties = subgroup.has_properties || !object.properties.is_empty();
        let log = subgroup.log_mut(lane);
        let after = log.last().filter(|&last| last < at.object);
        let head = Head::new(at.object, after, has_properties, object);
        log.push(Entry {
            seq,
            id: at.object,
            prev: incoming.prev,
            dead: None,
            head,
        });
        object.logged = Some(lane);
        object.cut = false;
        *last_seq = seq;
        let stored = object.received;
        self.touch(
            LaneKey {
                group: at.group,
                subgroup: id,
                lane,
            },
            stored,
        );
    }

    /// Appends payload to an object that exists; tells its lane.
    pub(super) fn append(&mut self, at: Location, bytes: Bytes) {
        let now = self.now;
        let Some(group) = self.groups.get_mut(&at.group) else {
            return;
        };
        group.touched = now;
        let Some(object) = group.objects.get_mut(&at.object) else {
            return;
        };
        let before = object.cost();
        let len = bytes.len() as u64;
        object.append(bytes);
        let after = object.cost();
        let key = match (object.place, object.logged) {
            (Place::Subgroup(subgroup), Some(lane)) => Some(LaneKey {
                group: at.group,
                subgroup,
                lane,
            }),
            _ => None,
        };
        let whole = object.is_complete();
        self.charge(at.group, before, after);
        self.stats.payload_bytes += len;
        match key {
            Some(key) => self.touch(key, len),
            // Only fetches see it, and they take whole objects.
            None => self.news |= whole,
        }
    }

    /// A stream left an object; `others`: another source of the track may complete it.
    pub(super) fn leave_object(&mut self, at: Location, others: bool) {
        let Some(object) = self
            .groups
            .get_mut(&at.group)
            .and_then(|group| group.objects.get_mut(&at.object))
        else {
            return;
        };
        object.writers = object.writers.saturating_sub(1);
        if object.writers > 0 || object.is_complete() {
            return;
        }
        if others {
            self.waiting.push((self.now + GRACE, at));
        } else {
            self.cut(at);
        }
    }

    /// Gives up on the rest of an object.
    pub(super) fn cut(&mut self, at: Location) {
        let Some(group) = self.groups.get_mut(&at.group) else {
            return;
        };
        let Some(object) = group.objects.get_mut(&at.object) else {
            return;
        };
        if object.is_complete() || object.writers > 0 || object.cut {
            return;
        }
        object.cut = true;
        let received = object.received;
        self.news = true;
        self.stats.cut_objects += 1;
        let (Place::Subgroup(subgroup), Some(lane)) = (object.place, object.logged.take()) else {
            return;
        };
        let entry = group
            .subgroups
            .get_mut(&subgroup)
            .and_then(|subgroup| subgroup.log_mut(lane).live_mut(at.object));
        if let Some(entry) = entry {
            entry.dead = Some(received);
            self.touch(
                LaneKey {
                    group: at.group,
                    subgroup,
                    lane,
                },
                0,
            );
        }
    }

    /// Forgets `id`; subscriptions that are owed something of it are told.
    pub(super) fn evict_group(&mut self, id: u64) {
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
    pub(super) fn shed(&mut self, id: u64, want: u64, incomplete: bool) {
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

    /// Objects with these properties cannot be told apart from `Stored` ones; used by fetches that ask what may be served.
    pub(crate) fn is_fresh(&self, object: &Object, now: Time) -> bool {
        self.max_age().is_none_or(|age| now <= object.arrived + age)
    }
}

fn timeout(ms: Option<u64>) -> Option<Time> {
    ms.filter(|&ms| ms > 0).map(Time::from_millis)
}

/// What an object's properties say about its surroundings; `None` for most.
fn read_properties(incoming: &Incoming) -> Result<Option<ObjectProperties>, SourceError> {
    if incoming.properties.is_empty() {
        return Ok(None);
    }
    let gaps = ObjectProperties::parse(&incoming.properties).map_err(|error| match error {
        ObjectPropertiesError::Track(problem) => SourceError::Malformed(problem.into()),
        ObjectPropertiesError::Session(problem) => SourceError::Session(problem),
    })?;
    gaps.check(incoming.at).map_err(Malformed::from)?;
    Ok(Some(gaps))
}

fn last_normal(group: &Group) -> Option<u64> {
    group
        .objects
        .iter()
        .rev()
        .find(|(_, object)| object.status == ObjectStatus::Normal)
        .map(|(&id, _)| id)
}

fn check_subgroup(group: &Group, id: u64, incoming: &Incoming) -> Result<(), Malformed> {
    let Some(subgroup) = group.subgroups.get(&id) else {
        return Ok(());
    };
    if subgroup.priority != incoming.priority {
        return Err(Malformed::Priority);
    }
    if incoming.status == ObjectStatus::Normal
        && subgroup.end.is_some_and(|(end, _)| incoming.at.object > end)
    {
        return Err(Malformed::AfterSubgroupEnd);
    }
    Ok(())
}

/// Refuses a copy that differs. Mutable properties may; the first copy's are kept.
fn compare(object: &Object, incoming: &Incoming) -> Result<(), Malformed> {
    if object.status != ObjectStatus::Normal && incoming.status != ObjectStatus::Normal {
        return Ok(());
    }
    if object.place != incoming.place {
        return Err(Malformed::Place);
    }
    if object.priority != incoming.priority || object.len != incoming.len || object.status != incoming.status
    {
        return Err(Malformed::Copies);
    }
    let same = object.properties == incoming.properties
        || immutable(&object.properties) == immutable(&incoming.properties);
    if same { Ok(()) } else { Err(Malformed::Copies) }
}

fn immutable(properties: &Properties) -> Option<&[u8]> {
    properties
        .iter()
        .map_while(Result::ok)
        .find(|property| property.kind == kind::IMMUTABLE_PROPERTIES)
        .and_then(|property| property.value.bytes())
}
