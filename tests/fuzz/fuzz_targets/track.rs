//! A track under any operations: sources that come, contradict each other, break off and go, fetches from upstream, an eviction
//! at every corner. What subscriptions and fetches write decodes, and repeats no object.

#![no_main]

#[path = "track/readers.rs"]
mod readers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use headwater_pubsub::fanout::{Fetch, FetchOptions, SubscribeOptions, Subscription, SubscriptionUpdate};
use headwater_pubsub::track::{Authority, Cache, CacheLimits, Fill, Source, SubgroupWriter, Time, Track};
use headwater_pubsub::wire::data::{
    Datagram, FetchObject, FetchReader, ObjectStatus, SubgroupHeader, SubgroupId, SubgroupObject,
};
use headwater_pubsub::wire::{
    Filter, FullTrackName, GroupOrder, Location, Properties, PublishDoneCode, StreamCode, TrackName,
    TrackNamespace, Version,
};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use readers::{Fetcher, MANY, Subscriber};

/// Where an honest source ends every subgroup: Object IDs are below.
const END: u64 = 15;
const BUDGET: u64 = 8 << 10;
/// Groups of datagrams, where sources agree.
const DATAGRAMS: std::ops::Range<u64> = 100..104;

/// Whether sources agree about every object, or contradict each other where it happens.
#[derive(Clone, Copy, PartialEq)]
enum Manners {
    Honest,
    Wild,
}

fn payload(at: Location) -> Bytes {
    let len = at.group.wrapping_mul(31).wrapping_add(at.object.wrapping_mul(7)) % 40;
    (0..len)
        .map(|i| u8::try_from(at.group.wrapping_add(at.object).wrapping_add(i) % 251).expect("below 251"))
        .collect::<Vec<_>>()
        .into()
}

/// Small numbers, and sometimes the largest ones.
fn id(u: &mut Unstructured<'_>) -> Result<u64> {
    Ok(match u.int_in_range(0..=31_u8)? {
        0 => u64::MAX,
        1 => u64::MAX - 1,
        small => u64::from(small % 8),
    })
}

fn location(u: &mut Unstructured<'_>) -> Result<Location> {
    Ok(Location::new(id(u)?, id(u)?))
}

fn properties(u: &mut Unstructured<'_>, manners: Manners) -> Result<Properties> {
    if manners == Manners::Honest || !u.ratio(1, 8)? {
        return Ok(Properties::empty());
    }
    // Gaps before a group and before an object, or anything else.
    let kind = *u.choose(&[0x3C, 0x3E, 0x40])?;
    Ok(Properties::builder()
        .int(kind, id(u)?)
        .build()
        .unwrap_or_default())
}

/// A stream of a source, and the payload that its object still needs.
struct Writer {
    inner: SubgroupWriter,
    group: u64,
    next: u64,
    rest: Bytes,
}

struct World {
    track: Arc<Track>,
    cache: Arc<Cache>,
    manners: Manners,
    now: Time,
    sources: Vec<Source>,
    writers: Vec<Writer>,
    fills: Vec<(Fill, Location)>,
    subscribers: Vec<Subscriber>,
    fetchers: Vec<Fetcher>,
}

/// An index into a list, if it has any.
fn pick(u: &mut Unstructured<'_>, len: usize) -> Result<Option<usize>> {
    if len == 0 {
        Ok(None)
    } else {
        Ok(Some(u.choose_index(len)?))
    }
}

impl World {
    fn new(u: &mut Unstructured<'_>) -> Result<Self> {
        let manners = if u.arbitrary()? {
            Manners::Honest
        } else {
            Manners::Wild
        };
        let authority = if u.arbitrary()? {
            Authority::Original
        } else {
            Authority::Relay
        };
        let cache = Cache::new(CacheLimits {
            budget: if u.arbitrary()? { BUDGET } else { 1 << 30 },
            min_groups: 1,
            min_age: Time::from_millis(100),
            max_object: 1 << 10,
            max_lag: 1 << 10,
        });
        let name = FullTrackName::new(
            TrackNamespace::new(["fuzz"]).expect("legal"),
            TrackName::new("t").expect("legal"),
        );
        let track = Track::new(name.expect("legal"), authority, &cache);
        Ok(Self {
            sources: vec![track.source()],
            track,
            cache,
            manners,
            now: Time::ZERO,
            writers: Vec::new(),
            fills: Vec::new(),
            subscribers: Vec::new(),
            fetchers: Vec::new(),
        })
    }

    fn open(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let Some(source) = pick(u, self.sources.len())? else {
            return Ok(());
        };
        let (group, subgroup) = (id(u)?, u.int_in_range(0..=2_u64)?);
        let next = match self.manners {
            Manners::Honest => subgroup + 3 * u.int_in_range(0..=2_u64)?,
            Manners::Wild => id(u)?,
        };
        let wild = self.manners == Manners::Wild;
        let header = SubgroupHeader {
            track_alias: 1,
            group,
            subgroup: match u.int_in_range(0..=3_u8)? {
                0 if wild => SubgroupId::FirstObject,
                1 if wild => SubgroupId::Zero,
                _ => SubgroupId::Explicit(subgroup),
            },
            priority: if wild { u.arbitrary()? } else { Some(100) },
            has_properties: true,
            end_of_group: wild && u.arbitrary()?,
            first_object: if wild { u.arbitrary()? } else { next == subgroup },
        };
        if let Ok(inner) = self.sources[source].subgroup(self.now, &header) {
            self.writers.push(Writer {
                inner,
                group,
                next,
                rest: Bytes::new(),
            });
        }
        Ok(())
    }

    /// A step of a stream: the next object's head, or some of its payload. A writer that was refused is gone.
    fn write(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let Some(index) = pick(u, self.writers.len())? else {
            return Ok(());
        };
        let mut writer = self.writers.swap_remove(index);
        if !writer.rest.is_empty() {
            let len = u.int_in_range(1..=writer.rest.len())?;
            let piece = writer.rest.split_to(len);
            if writer.inner.payload(self.now, piece).is_ok() {
                self.writers.push(writer);
            }
            return Ok(());
        }
        let whole = self.manners == Manners::Honest && writer.next >= END;
        if whole || u.ratio(1, 8)? {
            if whole || self.manners == Manners::Wild {
                let _refused = writer.inner.fin(self.now).is_err();
            }
            return Ok(());
        }
        let at = Location::new(writer.group, writer.next);
        let wild = self.manners == Manners::Wild;
        let mut bytes = payload(at);
        let mut status = ObjectStatus::Normal;
        if wild && u.ratio(1, 16)? {
            bytes = Bytes::from_static(b"another");
        }
        if wild && u.ratio(1, 8)? {
            (status, bytes) = (
                *u.choose(&[ObjectStatus::EndOfGroup, ObjectStatus::EndOfTrack])?,
                Bytes::new(),
            );
        }
        let object = SubgroupObject {
            id: at.object,
            properties: if status == ObjectStatus::Normal {
                properties(u, self.manners)?
            } else {
                Properties::empty()
            },
            payload_len: bytes.len() as u64,
            status,
        };
        let step = if wild { 1 + id(u)? % 4 } else { 3 };
        if let (Ok(()), Some(next)) = (
            writer.inner.object(self.now, &object),
            at.object.checked_add(step),
        ) {
            (writer.rest, writer.next) = (bytes, next);
            self.writers.push(writer);
        }
        Ok(())
    }

    fn datagram(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let Some(source) = pick(u, self.sources.len())? else {
            return Ok(());
        };
        let mut at = location(u)?;
        if self.manners == Manners::Honest {
            at.group = DATAGRAMS.start + at.group % 4;
        }
        let datagram = Datagram {
            track_alias: 1,
            group: at.group,
            object: at.object,
            priority: Some(100),
            end_of_group: self.manners == Manners::Wild && u.arbitrary()?,
            properties: properties(u, self.manners)?,
            status: ObjectStatus::Normal,
            payload: payload(at),
        };
        let _refused = self.sources[source].datagram(self.now, &datagram).is_err();
        Ok(())
    }

    fn subscribe(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if self.subscribers.len() >= 4 {
            return Ok(());
        }
        let options = SubscribeOptions {
            filter: filter(u)?,
            forward: u.ratio(7, 8)?,
            group_order: *u.choose(&[None, Some(GroupOrder::Ascending), Some(GroupOrder::Descending)])?,
            object_timeout: u.ratio(1, 4)?.then_some(Time::from_millis(500)),
            subgroup_timeout: u.ratio(1, 4)?.then_some(Time::from_millis(500)),
            ..SubscribeOptions::default()
        };
        if let Ok(inner) = Subscription::new(&self.track, self.now, options, Waker::noop().clone(), 7) {
            self.subscribers.push(Subscriber {
                inner,
                streams: BTreeMap::new(),
                objects: BTreeSet::new(),
                last: None,
                done: false,
            });
        }
        Ok(())
    }

    fn subscriber(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let Some(index) = pick(u, self.subscribers.len())? else {
            return Ok(());
        };
        let subscriber = &mut self.subscribers[index];
        match (u.int_in_range(0..=9_u8)?, subscriber.last) {
            (0, Some(last)) => subscriber.inner.block(last),
            (1, _) => subscriber
                .streams
                .keys()
                .for_each(|&key| subscriber.inner.unblock(key)),
            (2, Some(last)) => subscriber.inner.stopped(last),
            (3, Some(last)) => subscriber.inner.acknowledged(last),
            (4, _) => {
                let update = SubscriptionUpdate {
                    filter: filter(u)?,
                    forward: u.arbitrary()?,
                    ..SubscriptionUpdate::default()
                };
                subscriber.inner.update(self.now, update);
            }
            (5, _) => subscriber.drain(self.now),
            (6, _) if u.ratio(1, 4)? => drop(self.subscribers.swap_remove(index)),
            _ => {
                subscriber.poll(self.now, u.int_in_range(1..=60)?);
            }
        }
        Ok(())
    }

    fn fetch(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let order = if u.arbitrary()? {
            GroupOrder::Ascending
        } else {
            GroupOrder::Descending
        };
        let options = FetchOptions {
            start: location(u)?,
            end: location(u)?,
            order,
            priority: 128,
        };
        if self.fetchers.len() < 4
            && let Ok(inner) = Fetch::new(&self.track, self.now, options, Waker::noop().clone(), 4)
        {
            let reader = FetchReader::new(Version::Draft18, order);
            self.fetchers.push(Fetcher {
                inner,
                reader,
                order,
                last: None,
                over: false,
            });
        }
        Ok(())
    }

    /// A hole is given up, or a fetch from upstream begins to fill it.
    fn fetcher(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let Some(index) = pick(u, self.fetchers.len())? else {
            return Ok(());
        };
        let Some((start, end)) = self.fetchers[index].drain(self.now) else {
            if self.fetchers[index].over {
                self.fetchers.swap_remove(index);
            }
            return Ok(());
        };
        if u.arbitrary()? {
            self.fetchers[index].inner.unknown(start, end);
        } else if self.fills.len() < 4 {
            let fill = self.track.fill(start, end, GroupOrder::Ascending);
            self.fills
                .push((if u.arbitrary()? { fill.repair() } else { fill }, start));
        }
        Ok(())
    }

    fn fill(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let Some(index) = pick(u, self.fills.len())? else {
            return Ok(());
        };
        let (mut fill, at) = self.fills.swap_remove(index);
        match u.int_in_range(0..=5_u8)? {
            0 => fill.nonexistent(at),
            1 => fill.unknown(at),
            2 => return Ok(fill.fin(self.now, at, self.manners == Manners::Wild && u.arbitrary()?)),
            3 => return Ok(()),
            _ if self.manners == Manners::Honest && at.object >= END && !DATAGRAMS.contains(&at.group) => {}
            _ => {
                let bytes = payload(at);
                let object = FetchObject {
                    location: at,
                    subgroup: (!DATAGRAMS.contains(&at.group)).then_some(at.object % 3),
                    priority: 100,
                    properties: properties(u, self.manners)?,
                    payload_len: bytes.len() as u64,
                };
                let cut = u.ratio(1, 8)?;
                let empty = bytes.is_empty();
                if fill.object(self.now, &object).is_err()
                    || cut
                    || !empty && fill.payload(self.now, bytes).is_err()
                {
                    return Ok(());
                }
            }
        }
        if let Some(next) = at.object.checked_add(1) {
            self.fills.push((fill, Location::new(at.group, next)));
        }
        Ok(())
    }

    fn act(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=23_u8)? {
            0 if self.sources.len() < 3 => self.sources.push(self.track.source()),
            1 => {
                if let Some(index) = pick(u, self.sources.len())? {
                    self.sources.swap_remove(index);
                }
            }
            2..=4 => self.open(u)?,
            5..=11 => self.write(u)?,
            12 => {
                if let Some(index) = pick(u, self.writers.len())? {
                    self.writers
                        .swap_remove(index)
                        .inner
                        .reset(self.now, StreamCode::CANCELLED);
                }
            }
            13 => self.datagram(u)?,
            14 => self.subscribe(u)?,
            15..=17 => self.subscriber(u)?,
            18 => self.fetch(u)?,
            19 => self.fetcher(u)?,
            20 => self.fill(u)?,
            21 => self.track.claim_largest(location(u)?),
            22 if u.ratio(1, 8)? => self.track.end(PublishDoneCode::TRACK_ENDED, ""),
            _ => {
                self.now += Time::from_millis(u.int_in_range(0..=1500)?);
                self.track.expire(self.now);
            }
        }
        let bound = 2 * self.cache.limits().budget + 4096;
        assert!(
            self.cache.bytes() <= bound,
            "{} bytes are cached",
            self.cache.bytes()
        );
        if self.manners == Manners::Honest {
            assert_eq!(self.track.malformed(), None);
        }
        Ok(())
    }

    /// Everything goes home, and everybody is heard out.
    fn finish(mut self) {
        self.writers.clear();
        self.fills.clear();
        for _ in 0..3 {
            self.now += Time::from_secs(3);
            self.track.expire(self.now);
            for subscriber in &mut self.subscribers {
                subscriber
                    .streams
                    .keys()
                    .for_each(|&key| subscriber.inner.unblock(key));
                subscriber.drain(self.now);
            }
            for fetcher in &mut self.fetchers {
                for _ in 0..MANY {
                    let Some((start, end)) = fetcher.drain(self.now) else {
                        break;
                    };
                    fetcher.inner.unknown(start, end);
                }
            }
        }
        for subscriber in &self.subscribers {
            assert_eq!(subscriber.inner.backlog(), 0);
        }
        self.subscribers.clear();
        self.fetchers.clear();
        assert_eq!(self.track.stats().readers, 0);
        drop(self.sources);
        drop(self.track);
        assert_eq!(self.cache.bytes(), 0, "what is dropped costs nothing");
    }
}

fn filter(u: &mut Unstructured<'_>) -> Result<Option<Filter>> {
    Ok(match u.int_in_range(0..=6_u8)? {
        0 | 1 => None,
        2 => Some(Filter::NextGroupStart),
        3 => Some(Filter::LargestObject),
        4 => Some(Filter::AbsoluteStart(location(u)?)),
        _ => {
            let start = location(u)?;
            Some(Filter::AbsoluteRange {
                start,
                end_group: start.group.saturating_add(id(u)?),
            })
        }
    })
}

fuzz_target!(|data: &[u8]| {
    let u = &mut Unstructured::new(data);
    let Ok(mut world) = World::new(u) else { return };
    while !u.is_empty() && world.act(u).is_ok() {}
    world.finish();
});
