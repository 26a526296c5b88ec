//! Random interleavings: sources that come, break off and go, subscribers that join and block, fetches.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use proptest::prelude::*;

use super::harness::*;
use crate::fanout::{FetchStep, StreamKey, SubscribeOptions};
use crate::track::{Authority, Cache, CacheLimits, Source, SubgroupWriter, Time};
use crate::wire::data::{ObjectStatus, SubgroupHeader};
use crate::wire::{Filter, GroupOrder, Location};

const GROUPS: u64 = 4;
const SUBGROUPS: u64 = 3;
const PER_SUBGROUP: u64 = 5;
/// Groups from here on are of datagrams.
const DATAGRAM_GROUP: u64 = 10;

#[derive(Clone, Copy, Debug)]
enum Action {
    Source,
    LoseSource(usize),
    Open {
        source: usize,
        group: u64,
        subgroup: u64,
        from: u64,
    },
    Write {
        writer: usize,
        bytes: usize,
    },
    Break(usize),
    Datagram {
        source: usize,
        group: u64,
        id: u64,
    },
    Join(u8),
    Poll {
        subscriber: usize,
        budget: usize,
        times: usize,
    },
    Block(usize),
    Unblock(usize),
    Pass(u64),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        1 => Just(Action::Source),
        1 => any::<usize>().prop_map(Action::LoseSource),
        5 => (any::<usize>(), 0..GROUPS, 0..SUBGROUPS, 0..PER_SUBGROUP)
            .prop_map(|(source, group, subgroup, from)| Action::Open { source, group, subgroup, from }),
        20 => (any::<usize>(), 1usize..30).prop_map(|(writer, bytes)| Action::Write { writer, bytes }),
        1 => any::<usize>().prop_map(Action::Break),
        2 => (any::<usize>(), 0u64..2, 0u64..6).prop_map(|(source, group, id)| Action::Datagram { source, group, id }),
        1 => any::<u8>().prop_map(Action::Join),
        10 => (any::<usize>(), 1usize..60, 1usize..6)
            .prop_map(|(subscriber, budget, times)| Action::Poll { subscriber, budget, times }),
        2 => any::<usize>().prop_map(Action::Block),
        2 => any::<usize>().prop_map(Action::Unblock),
        2 => (1u64..1500).prop_map(Action::Pass),
    ]
}

struct Writer {
    inner: SubgroupWriter,
    group: u64,
    subgroup: u64,
    index: u64,
    /// Payload bytes of the current object that are written.
    inside: Option<usize>,
}

impl Writer {
    const fn id(&self) -> u64 {
        self.subgroup + self.index * SUBGROUPS
    }

    /// Goes on by one step; gives itself back unless the subgroup is complete.
    fn write(mut self, now: Time, bytes: usize) -> Option<Self> {
        let all = payload(self.group, self.id());
        match self.inside {
            None => {
                self.inner.object(now, &head(self.id(), all.len())).unwrap();
                self.inside = Some(0);
            }
            Some(done) => {
                let end = all.len().min(done + bytes);
                self.inner.payload(now, all.slice(done..end)).unwrap();
                self.inside = Some(end);
            }
        }
        if self.inside == Some(all.len()) {
            self.inside = None;
            self.index += 1;
        }
        if self.index == PER_SUBGROUP {
            self.inner.fin(now).unwrap();
            return None;
        }
        Some(self)
    }
}

/// What a subscriber does.
fn read(subscriber: &mut Subscriber, blocked: &mut Vec<StreamKey>, now: Time, action: &Action) {
    match action {
        Action::Poll { budget, times, .. } => {
            for _ in 0..*times {
                subscriber.poll(now, *budget);
            }
        }
        Action::Block(_) => {
            if let Some(&last) = subscriber.writes.last() {
                subscriber.subscription.block(last);
                blocked.push(last);
            }
        }
        _ => blocked
            .drain(..)
            .for_each(|key| subscriber.subscription.unblock(key)),
    }
}

struct World {
    track: Arc<crate::track::Track>,
    now: Time,
    sources: Vec<Source>,
    writers: Vec<(usize, Writer)>,
    subscribers: Vec<(Subscriber, Vec<StreamKey>)>,
    names: usize,
    source_names: Vec<usize>,
}

/// Polls only when it must, and no longer than it must.
struct Sleeper {
    inner: Subscriber,
    woken: Arc<AtomicBool>,
    blocked: Vec<StreamKey>,
}

struct Flag(Arc<AtomicBool>);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Sleeper {
    fn new(world: &World, options: SubscribeOptions) -> Self {
        let mut sleeper = Self {
            inner: Subscriber::new(&world.track, world.now, options),
            woken: Arc::new(AtomicBool::new(true)),
            blocked: Vec::new(),
        };
        let waker = Arc::new(Flag(Arc::clone(&sleeper.woken)));
        sleeper.inner.subscription.set_waker(waker.into());
        sleeper.look(world.now);
        sleeper
    }

    fn look(&mut self, now: Time) {
        let is_due = |time: Option<Time>| time.is_some_and(|time| time <= now);
        while self.woken.swap(false, Ordering::Relaxed) || is_due(self.inner.subscription.next_timeout()) {
            while self.inner.poll_once(now, 64) && !self.inner.subscription.is_at_rest() {}
        }
    }

    fn act(&mut self, now: Time, action: &Action) {
        if matches!(action, Action::Block(_) | Action::Unblock(_)) {
            read(&mut self.inner, &mut self.blocked, now, action);
            self.woken.store(true, Ordering::Relaxed);
        }
        self.look(now);
    }
}

fn pick(len: usize, index: usize) -> Option<usize> {
    (len > 0).then(|| index % len)
}

impl World {
    fn new() -> Self {
        let track = track_in(&Cache::new(CacheLimits::default()), Authority::Relay);
        let mut world = Self {
            track,
            now: ms(0),
            sources: Vec::new(),
            writers: Vec::new(),
            subscribers: Vec::new(),
            names: 0,
            source_names: Vec::new(),
        };
        world.act(Action::Source);
        world.act(Action::Join(0));
        world
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Source if self.sources.len() < 3 => {
                self.sources.push(self.track.source());
                self.source_names.push(self.names);
                self.names += 1;
            }
            Action::Source => {}
            Action::LoseSource(index) => {
                if let Some(index) = pick(self.sources.len(), index) {
                    self.sources.remove(index);
                    let name = self.source_names.remove(index);
                    self.writers.retain(|(source, _)| *source != name);
                }
            }
            Action::Open {
                source,
                group,
                subgroup,
                from,
            } => self.open(source, group, subgroup, from),
            Action::Write { writer, bytes } => {
                if let Some(index) = pick(self.writers.len(), writer) {
                    let (source, writer) = self.writers.swap_remove(index);
                    self.writers
                        .extend(writer.write(self.now, bytes).map(|writer| (source, writer)));
                }
            }
            Action::Break(index) => {
                if let Some(index) = pick(self.writers.len(), index) {
                    self.writers.swap_remove(index);
                }
            }
            Action::Datagram { source, group, id } => {
                if let Some(index) = pick(self.sources.len(), source) {
                    self.sources[index]
                        .datagram(self.now, &datagram(DATAGRAM_GROUP + group, id))
                        .unwrap();
                }
            }
            Action::Join(kind) => self.join(kind),
            Action::Poll { subscriber, .. } | Action::Block(subscriber) | Action::Unblock(subscriber) => {
                if let Some(index) = pick(self.subscribers.len(), subscriber) {
                    let (subscriber, blocked) = &mut self.subscribers[index];
                    read(subscriber, blocked, self.now, &action);
                }
            }
            Action::Pass(time) => {
                self.now += ms(time);
                self.track.expire(self.now);
            }
        }
    }

    fn join(&mut self, kind: u8) {
        let filter = match kind % 3 {
            0 => Filter::LargestObject,
            1 => Filter::NextGroupStart,
            _ => {
                let largest = self.track.largest().unwrap_or_default();
                Filter::AbsoluteRange {
                    start: at(largest.group + 1, 1),
                    end_group: largest.group + 2,
                }
            }
        };
        let order = if kind.is_multiple_of(2) {
            GroupOrder::Ascending
        } else {
            GroupOrder::Descending
        };
        let options = SubscribeOptions {
            filter: Some(filter),
            group_order: Some(order),
            ..SubscribeOptions::default()
        };
        self.subscribers
            .push((Subscriber::new(&self.track, self.now, options), Vec::new()));
    }

    fn open(&mut self, source: usize, group: u64, subgroup: u64, from: u64) {
        let Some(index) = pick(self.sources.len(), source) else {
            return;
        };
        let name = self.source_names[index];
        if self
            .writers
            .iter()
            .any(|(other, w)| *other == name && (w.group, w.subgroup) == (group, subgroup))
        {
            return;
        }
        let header = SubgroupHeader {
            first_object: from == 0,
            ..header(group, subgroup)
        };
        let inner = self.sources[index].subgroup(self.now, &header).unwrap();
        self.writers.push((
            name,
            Writer {
                inner,
                group,
                subgroup,
                index: from,
                inside: None,
            },
        ));
    }

    /// Everything goes home, and everybody is heard out.
    fn finish(&mut self) {
        self.writers.clear();
        for _ in 0..4 {
            self.now += ms(3000);
            self.track.expire(self.now);
            for (subscriber, blocked) in &mut self.subscribers {
                for key in blocked.drain(..) {
                    subscriber.subscription.unblock(key);
                }
                subscriber.drain(self.now);
            }
        }
    }

    fn whole(&self) -> Vec<Location> {
        let state = self.track.lock();
        let objects = state.groups.iter().flat_map(|(&group, held)| {
            held.objects
                .iter()
                .filter(|(_, object)| object.is_complete() && object.status == ObjectStatus::Normal)
                .map(move |(&id, _)| at(group, id))
        });
        objects.collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_owed_object_arrives_once(actions in proptest::collection::vec(action(), 1..250)) {
        let mut world = World::new();
        for action in actions {
            world.act(action);
        }
        world.finish();
        prop_assert_eq!(world.track.malformed(), None);
        let whole = world.whole();
        for (subscriber, _) in &world.subscribers {
            let (start, end) = (subscriber.subscription.start(), subscriber.subscription.end_group());
            // A range may settle as complete before a straggler comes: then it may miss some, never repeat any.
            let owed: Vec<_> = whole
                .iter()
                .copied()
                .filter(|&at| at >= start && end.is_none_or(|end| at.group <= end))
                .collect();
            let got = subscriber.objects();
            if end.is_none() {
                prop_assert_eq!(&got, &owed);
            } else {
                let unique: BTreeSet<_> = got.iter().copied().collect();
                prop_assert_eq!(unique.len(), got.len());
                prop_assert!(got.iter().all(|at| owed.contains(at)));
            }
            prop_assert_eq!(subscriber.subscription.backlog(), 0);
            prop_assert!(subscriber.streams.values().all(|stream| stream.end != End::Open));
            // A joining fetch has exactly the rest.
            let Some(joining) = subscriber.subscription.joining_location().filter(|_| end.is_none()) else { continue };
            if start.group != joining.group {
                continue;
            }
            let mut fetch = Fetcher::new(&world.track, at(0, 0), at(joining.group, joining.object + 1), GroupOrder::Ascending);
            while let FetchStep::Hole { start, end } = fetch.drain(world.now) {
                fetch.fetch.unknown(start, end);
            }
            prop_assert!(fetch.fin);
            let both: Vec<_> = fetch.objects.iter().chain(&got).copied().collect();
            prop_assert_eq!(&both, &whole);
        }
    }

    #[test]
    fn whoever_polls_only_when_told_to_misses_nothing(
        actions in proptest::collection::vec(action(), 1..250),
        object_timeout in proptest::option::of(1u64..3000),
        subgroup_timeout in proptest::option::of(1u64..3000),
        end_group in proptest::option::of(0..GROUPS),
    ) {
        let mut world = World::new();
        let options = SubscribeOptions {
            object_timeout: object_timeout.map(ms),
            subgroup_timeout: subgroup_timeout.map(ms),
            filter: end_group.map(|end_group| Filter::AbsoluteRange { start: at(0, 0), end_group }),
            ..SubscribeOptions::default()
        };
        let mut sleeper = Sleeper::new(&world, options);
        let (mut eager, mut blocked) = (Subscriber::new(&world.track, world.now, options), Vec::new());
        let pass = (0..4).map(|_| Action::Pass(3000));
        for action in actions.into_iter().chain([Action::Unblock(0)]).chain(pass) {
            world.act(action);
            sleeper.act(world.now, &action);
            if matches!(action, Action::Block(_) | Action::Unblock(_)) {
                read(&mut eager, &mut blocked, world.now, &action);
            }
            eager.drain(world.now);
        }
        prop_assert_eq!(&sleeper.inner.writes, &eager.writes);
        prop_assert_eq!(sleeper.inner.objects(), eager.objects());
        prop_assert_eq!(sleeper.inner.done, eager.done);
        for (key, stream) in &eager.streams {
            prop_assert_eq!(&sleeper.inner.streams[key].end, &stream.end);
        }
    }

    #[test]
    fn a_fetch_gives_what_is_there_in_its_order(
        actions in proptest::collection::vec(action(), 1..120),
        first in (0..GROUPS, 0u64..10),
        descending: bool,
    ) {
        let mut world = World::new();
        for action in actions {
            world.act(action);
        }
        world.finish();
        let whole = world.whole();
        let start = at(first.0, first.1);
        let Some(largest) = world.track.largest().filter(|&largest| largest >= start) else { return Ok(()) };
        if world.sources.is_empty() {
            world.act(Action::Source);
        }
        let order = if descending { GroupOrder::Descending } else { GroupOrder::Ascending };
        let mut fetch = Fetcher::new(&world.track, start, at(largest.group, 0), order);
        while let FetchStep::Hole { start, end } = fetch.drain(world.now) {
            prop_assert!(start <= end);
            fetch.fetch.unknown(start, end);
        }
        prop_assert!(fetch.fin);
        let mut expected: Vec<_> = whole.into_iter().filter(|&at| at >= start).collect();
        if descending {
            expected.sort_by_key(|at| (std::cmp::Reverse(at.group), at.object));
        }
        prop_assert_eq!(fetch.objects, expected);
    }
}
