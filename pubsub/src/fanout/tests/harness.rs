//! A track with readers whose streams are decoded again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Wake, Waker};

use bytes::Bytes;

use crate::fanout::{
    Fetch, FetchOptions, FetchStep, Open, StreamKey, SubscribeOptions, Subscription, Transmit,
};
use crate::track::{Authority, Cache, CacheLimits, Edge, Source, SubgroupWriter, Time, Track};
use crate::wire::data::{
    Datagram, DatagramKind, FetchEvent, FetchReader, ObjectStatus, SubgroupEvent, SubgroupHeader, SubgroupId,
    SubgroupObject, SubgroupReader,
};
use crate::wire::property::Properties;
use crate::wire::{
    FullTrackName, GroupOrder, Location, PublishDoneCode, StreamCode, TrackName, TrackNamespace, Version,
};

pub(super) const fn at(group: u64, object: u64) -> Location {
    Location::new(group, object)
}

pub(super) const fn ms(ms: u64) -> Time {
    Time::from_millis(ms)
}

pub(super) fn track_in(cache: &Arc<Cache>, authority: Authority) -> Arc<Track> {
    let namespace = TrackNamespace::new(["test"]).unwrap();
    let name = FullTrackName::new(namespace, TrackName::new("t").unwrap()).unwrap();
    Track::new(name, authority, cache)
}

pub(super) fn relay() -> Arc<Track> {
    track_in(&Cache::new(CacheLimits::default()), Authority::Relay)
}

pub(super) fn original() -> Arc<Track> {
    track_in(&Cache::new(CacheLimits::default()), Authority::Original)
}

/// The payload that object `{group, id}` always has: its length and bytes follow from where it is.
pub(super) fn payload(group: u64, id: u64) -> Bytes {
    let len = usize::try_from((group * 31 + id * 7) % 40).unwrap();
    (0..len)
        .map(|i| u8::try_from((group * 3 + id * 5 + i as u64) % 251).unwrap())
        .collect::<Vec<_>>()
        .into()
}

pub(super) fn header(group: u64, subgroup: u64) -> SubgroupHeader {
    SubgroupHeader {
        track_alias: 1,
        group,
        subgroup: SubgroupId::Explicit(subgroup),
        priority: Some(100),
        has_properties: false,
        end_of_group: false,
        first_object: false,
    }
}

pub(super) fn head(id: u64, len: usize) -> SubgroupObject {
    SubgroupObject {
        id,
        properties: Properties::empty(),
        payload_len: len as u64,
        status: ObjectStatus::Normal,
    }
}

/// Writes whole objects, each with the payload of its location.
pub(super) fn put(writer: &mut SubgroupWriter, now: Time, group: u64, ids: impl IntoIterator<Item = u64>) {
    for id in ids {
        let bytes = payload(group, id);
        writer.object(now, &head(id, bytes.len())).unwrap();
        if !bytes.is_empty() {
            writer.payload(now, bytes).unwrap();
        }
    }
}

/// A whole group of one subgroup, ended by FIN.
pub(super) fn put_group(source: &Source, now: Time, group: u64, objects: u64) {
    let header = SubgroupHeader {
        end_of_group: true,
        first_object: true,
        ..header(group, 0)
    };
    let mut writer = source.subgroup(now, &header).unwrap();
    put(&mut writer, now, group, 0..objects);
    writer.fin(now).unwrap();
}

pub(super) fn datagram(group: u64, object: u64) -> Datagram {
    Datagram {
        track_alias: 1,
        group,
        object,
        priority: Some(100),
        end_of_group: false,
        properties: Properties::empty(),
        status: ObjectStatus::Normal,
        payload: payload(group, object),
    }
}

struct Idle;

impl Wake for Idle {
    fn wake(self: Arc<Self>) {}
}

pub(super) fn waker() -> Waker {
    Arc::new(Idle).into()
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Open,
    Fin,
    Reset(StreamCode),
}

pub(super) struct Stream {
    reader: SubgroupReader,
    pub(super) open: Open,
    pub(super) header: Option<SubgroupHeader>,
    /// Whole objects in order.
    pub(super) objects: Vec<(u64, ObjectStatus, Vec<u8>)>,
    current: Option<(SubgroupObject, Vec<u8>)>,
    pub(super) end: End,
}

impl Stream {
    fn feed(&mut self, bytes: Bytes) {
        self.reader.push(bytes);
        while let Some(event) = self.reader.poll().unwrap() {
            match event {
                SubgroupEvent::Header(header) => self.header = Some(header),
                SubgroupEvent::Object(object) => self.current = Some((object, Vec::new())),
                SubgroupEvent::Payload(bytes) => self.current.as_mut().unwrap().1.extend_from_slice(&bytes),
            }
            if let Some((object, bytes)) = self
                .current
                .take_if(|(object, bytes)| object.payload_len == bytes.len() as u64)
            {
                self.objects.push((object.id, object.status, bytes));
            }
        }
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.objects.iter().map(|(id, ..)| *id).collect()
    }
}

/// A subscription and what its subscriber has got.
pub(super) struct Subscriber {
    pub(super) subscription: Subscription,
    pub(super) streams: BTreeMap<StreamKey, Stream>,
    pub(super) datagrams: Vec<Location>,
    /// Streams in the order of their writes.
    pub(super) writes: Vec<StreamKey>,
    pub(super) done: Option<(PublishDoneCode, Option<u64>)>,
}

impl Subscriber {
    pub(super) fn new(track: &Arc<Track>, now: Time, options: SubscribeOptions) -> Self {
        Self::of(Subscription::new(track, now, options, waker(), 7).unwrap())
    }

    pub(super) fn since(track: &Arc<Track>, edge: Edge, now: Time, options: SubscribeOptions) -> Self {
        Self::of(Subscription::since(track, edge, now, options, waker(), 7).unwrap())
    }

    pub(super) fn resume(track: &Arc<Track>, now: Time, options: SubscribeOptions, from: Location) -> Self {
        Self::of(Subscription::resume(track, now, options, waker(), 7, from).unwrap())
    }

    fn of(subscription: Subscription) -> Self {
        Self {
            subscription,
            streams: BTreeMap::new(),
            datagrams: Vec::new(),
            writes: Vec::new(),
            done: None,
        }
    }

    /// One poll; `false` if there was nothing.
    pub(super) fn poll(&mut self, now: Time, budget: usize) -> bool {
        let polled = self.poll_once(now, budget);
        if self.subscription.is_at_rest() {
            assert!(polled, "at rest without having given anything");
            assert!(!self.poll_once(now, budget), "it was not at rest");
        }
        polled
    }

    /// One poll that is not followed by another where there is nothing more; `false` if there was nothing.
    pub(super) fn poll_once(&mut self, now: Time, budget: usize) -> bool {
        let mut out = Vec::new();
        let Some(transmit) = self.subscription.poll(now, budget, &mut out) else {
            assert!(out.is_empty(), "bytes without a write");
            return false;
        };
        assert!(self.done.is_none(), "{transmit:?} after the end");
        match transmit {
            Transmit::Write { stream, open, fin } => {
                self.writes.push(stream);
                if let Some(open) = open {
                    let reader = SubgroupReader::new(Version::Draft18);
                    let fresh = Stream {
                        reader,
                        open,
                        header: None,
                        objects: Vec::new(),
                        current: None,
                        end: End::Open,
                    };
                    assert!(
                        self.streams.insert(stream, fresh).is_none(),
                        "a stream opened twice"
                    );
                }
                let stream = self.streams.get_mut(&stream).expect("the stream was opened");
                assert_eq!(stream.end, End::Open, "a write on an ended stream");
                for bytes in out {
                    stream.feed(bytes);
                }
                if fin {
                    stream.reader.finish().unwrap();
                    stream.end = End::Fin;
                }
            }
            Transmit::Reset { stream, code } => {
                let stream = self.streams.get_mut(&stream).expect("the stream was opened");
                assert!(!matches!(stream.end, End::Reset(_)), "a stream reset twice");
                stream.end = End::Reset(code);
            }
            Transmit::Datagram => {
                let [bytes] = &out[..] else {
                    panic!("a datagram is one piece")
                };
                let DatagramKind::Object(datagram) =
                    Datagram::decode(bytes.clone(), Version::Draft18).unwrap()
                else {
                    panic!("not an object")
                };
                assert_eq!(datagram.track_alias, 7);
                assert_eq!(datagram.payload, payload(datagram.group, datagram.object));
                self.datagrams.push(at(datagram.group, datagram.object));
            }
            Transmit::Done {
                code, stream_count, ..
            } => {
                assert!(
                    self.streams.values().all(|stream| stream.end != End::Open),
                    "done with open streams"
                );
                self.done = Some((code, stream_count));
            }
        }
        true
    }

    pub(super) fn drain(&mut self, now: Time) {
        while self.poll(now, 64) {}
    }

    /// Every whole object got, with its payload checked, in location order.
    pub(super) fn objects(&self) -> Vec<Location> {
        let mut all = self.datagrams.clone();
        for stream in self.streams.values() {
            for (id, status, bytes) in &stream.objects {
                if *status == ObjectStatus::Normal {
                    assert_eq!(
                        bytes,
                        &payload(stream.open.group, *id),
                        "payload of {}/{id}",
                        stream.open.group
                    );
                    all.push(at(stream.open.group, *id));
                }
            }
        }
        all.sort();
        all
    }

    pub(super) fn only_stream(&self) -> &Stream {
        assert_eq!(self.streams.len(), 1);
        self.streams.values().next().unwrap()
    }
}

/// A fetch and what its requester has got.
pub(super) struct Fetcher {
    pub(super) fetch: Fetch,
    reader: FetchReader,
    pub(super) objects: Vec<Location>,
    pub(super) unknown: Vec<Location>,
    current: Option<(Location, u64, Vec<u8>)>,
    pub(super) fin: bool,
    pub(super) reset: Option<StreamCode>,
}

impl Fetcher {
    pub(super) fn new(track: &Arc<Track>, start: Location, end: Location, order: GroupOrder) -> Self {
        let options = FetchOptions {
            start,
            end,
            order,
            priority: 128,
        };
        Self {
            fetch: Fetch::new(track, ms(0), options, waker(), 4).unwrap(),
            reader: FetchReader::new(Version::Draft18, order),
            objects: Vec::new(),
            unknown: Vec::new(),
            current: None,
            fin: false,
            reset: None,
        }
    }

    /// Polls until nothing is written; gives what stopped it.
    pub(super) fn drain(&mut self, now: Time) -> FetchStep {
        loop {
            let mut out = Vec::new();
            let step = self.fetch.poll(now, 50, &mut out);
            for bytes in out {
                self.feed(bytes);
            }
            match step {
                FetchStep::Write { fin } => {
                    assert!(!self.fin && self.reset.is_none());
                    self.fin = fin;
                    if fin {
                        self.reader.finish().unwrap();
                    }
                }
                FetchStep::Reset(code) => {
                    self.reset = Some(code);
                    return step;
                }
                FetchStep::Pending | FetchStep::Hole { .. } => return step,
            }
        }
    }

    fn feed(&mut self, bytes: Bytes) {
        self.reader.push(bytes);
        while let Some(event) = self.reader.poll().unwrap() {
            match event {
                FetchEvent::Header { request_id } => assert_eq!(request_id, 4),
                FetchEvent::Object(object) => {
                    self.current = Some((object.location, object.payload_len, Vec::new()));
                }
                FetchEvent::Payload(bytes) => self.current.as_mut().unwrap().2.extend_from_slice(&bytes),
                FetchEvent::EndOfNonExistentRange(_) => {}
                FetchEvent::EndOfUnknownRange(at) => self.unknown.push(at),
            }
            if let Some((at, _, bytes)) = self.current.take_if(|(_, len, bytes)| *len == bytes.len() as u64) {
                assert_eq!(bytes, payload(at.group, at.object), "payload of {at:?}");
                self.objects.push(at);
            }
        }
    }
}
