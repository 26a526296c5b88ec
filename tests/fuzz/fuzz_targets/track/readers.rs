//! A subscriber and a fetcher that decode what they get, and hold it to its promises.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use headwater_pubsub::fanout::{Fetch, FetchStep, StreamKey, Subscription, Transmit};
use headwater_pubsub::track::Time;
use headwater_pubsub::wire::data::{
    Datagram, DatagramKind, FetchEvent, FetchReader, ObjectStatus, SubgroupEvent, SubgroupReader,
};
use headwater_pubsub::wire::{GroupOrder, Location, Version};

/// Polls after which a reader that still has something new is going round in circles.
pub const MANY: usize = 10_000;

pub struct Stream {
    reader: SubgroupReader,
    group: u64,
    /// The object that is coming, and what it lacks.
    current: Option<(u64, u64)>,
    ended: bool,
}

pub struct Subscriber {
    pub inner: Subscription,
    pub streams: BTreeMap<StreamKey, Stream>,
    pub objects: BTreeSet<Location>,
    pub last: Option<StreamKey>,
    pub done: bool,
}

impl Subscriber {
    fn take(&mut self, at: Location) {
        assert!(self.objects.insert(at), "{at:?} came twice");
    }

    pub fn poll(&mut self, now: Time, budget: usize) -> bool {
        let mut out = Vec::new();
        let Some(transmit) = self.inner.poll(now, budget, &mut out) else {
            assert!(out.is_empty(), "bytes without a write");
            return false;
        };
        assert!(!self.done, "{transmit:?} after the end");
        match transmit {
            Transmit::Write { stream, open, fin } => {
                if let Some(open) = open {
                    let reader = SubgroupReader::new(Version::Draft18);
                    let fresh = Stream {
                        reader,
                        group: open.group,
                        current: None,
                        ended: false,
                    };
                    assert!(self.streams.insert(stream, fresh).is_none(), "opened twice");
                }
                self.last = Some(stream);
                self.write(stream, out, fin);
            }
            Transmit::Reset { stream, .. } => {
                self.streams.get_mut(&stream).expect("opened").ended = true;
            }
            Transmit::Datagram => {
                let bytes = out.pop().expect("one datagram");
                assert!(out.is_empty(), "more than one datagram");
                let Ok(DatagramKind::Object(datagram)) = Datagram::decode(bytes, Version::Draft18) else {
                    panic!("not an object");
                };
                if datagram.status == ObjectStatus::Normal {
                    self.take(Location::new(datagram.group, datagram.object));
                }
            }
            Transmit::Done { .. } => {
                assert!(
                    self.streams.values().all(|stream| stream.ended),
                    "done with open streams"
                );
                self.done = true;
            }
        }
        true
    }

    fn write(&mut self, key: StreamKey, out: Vec<Bytes>, fin: bool) {
        let stream = self.streams.get_mut(&key).expect("opened");
        assert!(!stream.ended, "a write on an ended stream");
        let mut whole = Vec::new();
        for bytes in out {
            stream.reader.push(bytes);
            while let Some(event) = stream.reader.poll().expect("what is written can be read") {
                match event {
                    SubgroupEvent::Header(header) => assert_eq!(header.group, stream.group),
                    SubgroupEvent::Object(object) if object.status != ObjectStatus::Normal => {}
                    SubgroupEvent::Object(object) => stream.current = Some((object.id, object.payload_len)),
                    SubgroupEvent::Payload(bytes) => {
                        let (_, left) = stream.current.as_mut().expect("inside an object");
                        *left = left.checked_sub(bytes.len() as u64).expect("within the object");
                    }
                }
                whole.extend(
                    stream
                        .current
                        .take_if(|(_, left)| *left == 0)
                        .map(|(id, _)| Location::new(stream.group, id)),
                );
            }
        }
        if fin {
            stream.reader.finish().expect("FIN between objects");
            stream.ended = true;
        }
        for at in whole {
            self.take(at);
        }
    }

    pub fn drain(&mut self, now: Time) {
        assert!((0..MANY).any(|_| !self.poll(now, 200)), "never done");
    }
}

pub struct Fetcher {
    pub inner: Fetch,
    pub reader: FetchReader,
    pub order: GroupOrder,
    pub last: Option<Location>,
    pub over: bool,
}

impl Fetcher {
    /// Gives the hole it stands before, if any.
    pub fn drain(&mut self, now: Time) -> Option<(Location, Location)> {
        for _ in 0..MANY {
            let mut out = Vec::new();
            let step = self.inner.poll(now, 100, &mut out);
            assert!(!self.over || out.is_empty(), "bytes after the end");
            for bytes in out {
                self.feed(bytes);
            }
            match step {
                FetchStep::Write { fin: false } => {}
                FetchStep::Write { fin: true } => {
                    self.reader.finish().expect("FIN between objects");
                    self.over = true;
                }
                FetchStep::Reset(_) => self.over = true,
                FetchStep::Pending => return None,
                FetchStep::Hole { start, end } => {
                    assert!(start <= end);
                    return Some((start, end));
                }
            }
        }
        panic!("never done");
    }

    fn feed(&mut self, bytes: Bytes) {
        self.reader.push(bytes);
        while let Some(event) = self.reader.poll().expect("what is written can be read") {
            let FetchEvent::Object(object) = event else {
                continue;
            };
            let at = object.location;
            let forward = self.last.is_none_or(|last| match self.order {
                GroupOrder::Descending if at.group != last.group => at.group < last.group,
                _ => at > last,
            });
            assert!(forward, "{at:?} after {:?}", self.last);
            self.last = Some(at);
        }
    }
}
