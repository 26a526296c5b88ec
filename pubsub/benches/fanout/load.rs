//! One track with many subscriptions and no transport: what an object costs until it is handed out.

use std::sync::Arc;
use std::task::{Wake, Waker};

use bytes::Bytes;
use headwater_pubsub::fanout::{SubscribeOptions, Subscription, Transmit};
use headwater_pubsub::track::{Authority, Cache, CacheLimits, Source, SubgroupWriter, Time, Track};
use headwater_pubsub::wire::data::{ObjectStatus, SubgroupHeader, SubgroupId, SubgroupObject};
use headwater_pubsub::wire::{FullTrackName, Properties, TrackName, TrackNamespace};

/// Bytes that a subscription may hand out in one call, as the egress task allows.
const BUDGET: usize = 64 * 1024;

struct Idle;

impl Wake for Idle {
    fn wake(self: Arc<Self>) {}
}

/// The track and its subscriptions.
pub struct Load {
    source: Source,
    writer: Option<SubgroupWriter>,
    subscriptions: Vec<Subscription>,
    chunks: Vec<Bytes>,
    payload: Bytes,
    group_length: u64,
    step: u64,
}

impl Load {
    /// Objects of `bytes` in groups of `group_length`, for so many `subscribers`.
    pub fn new(subscribers: usize, bytes: usize, group_length: u64) -> Self {
        let namespace = TrackNamespace::new(["load"]).unwrap();
        let name = FullTrackName::new(namespace, TrackName::new("t").unwrap()).unwrap();
        let limits = CacheLimits {
            budget: 1 << 20,
            min_age: Time::ZERO,
            ..CacheLimits::default()
        };
        let track = Track::new(name, Authority::Relay, &Cache::new(limits));
        let subscriptions = (0..subscribers).map(|_| {
            let waker = Waker::from(Arc::new(Idle));
            Subscription::new(&track, Time::ZERO, SubscribeOptions::default(), waker, 1).unwrap()
        });
        let mut load = Self {
            subscriptions: subscriptions.collect(),
            source: track.source(),
            writer: None,
            chunks: Vec::with_capacity(64),
            payload: vec![0x5a; bytes].into(),
            group_length,
            step: 0,
        };
        load.hand_out();
        load
    }

    /// One more object arrives and goes to all; returns the bytes handed out.
    pub fn object(&mut self) -> usize {
        let now = self.now();
        let (group, id) = (self.step / self.group_length, self.step % self.group_length);
        self.step += 1;
        if id == 0 {
            let header = SubgroupHeader {
                track_alias: 1,
                group,
                subgroup: SubgroupId::Zero,
                priority: Some(128),
                has_properties: false,
                end_of_group: true,
                first_object: true,
            };
            self.writer = Some(self.source.subgroup(now, &header).unwrap());
        }
        let writer = self.writer.as_mut().unwrap();
        let head = SubgroupObject {
            id,
            properties: Properties::empty(),
            payload_len: self.payload.len() as u64,
            status: ObjectStatus::Normal,
        };
        writer.object(now, &head).unwrap();
        writer.payload(now, self.payload.clone()).unwrap();
        if id + 1 == self.group_length {
            self.writer.take().unwrap().fin(now).unwrap();
        }
        self.hand_out()
    }

    fn now(&self) -> Time {
        Time::from_millis(self.step)
    }

    fn hand_out(&mut self) -> usize {
        let now = self.now();
        let mut bytes = 0;
        for subscription in &mut self.subscriptions {
            while let Some(transmit) = subscription.poll(now, BUDGET, &mut self.chunks) {
                assert!(matches!(transmit, Transmit::Write { .. }), "{transmit:?}");
                bytes += self.chunks.iter().map(Bytes::len).sum::<usize>();
                self.chunks.clear();
            }
        }
        bytes
    }
}
