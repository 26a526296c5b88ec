//! A track of numbered objects, and what arrived of it and when.

use std::collections::BTreeMap;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use headwater_pubsub::net::{Client, Clock, PublishedTrack, SubscribeOptions, Subscriber};
use headwater_pubsub::track::{Cache, CacheLimits};
use headwater_pubsub::wire::data::ObjectStatus;
use headwater_pubsub::wire::{FullTrackName, Location, Properties, TrackName, TrackNamespace};
use tokio::time::Instant;

use crate::mesh::Net;

/// Objects of a group.
const GROUP: u64 = 30;
/// How long a track may take to be known.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is published: an object of `bytes` each `pause`.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// Between two objects.
    pub pause: Duration,
    /// Of each object.
    pub bytes: usize,
}

impl Pattern {
    /// The bytes of an object, different for each.
    fn payload(self, at: Location) -> Bytes {
        let step = at.group * GROUP + at.object;
        let bytes = step.to_be_bytes().into_iter().cycle();
        bytes.take(self.bytes).collect::<Vec<u8>>().into()
    }
}

/// The name of a track.
///
/// # Errors
/// It is too long.
pub fn name(text: &str) -> Result<FullTrackName> {
    let namespace = TrackNamespace::new(["bench", text])?;
    Ok(FullTrackName::new(namespace, TrackName::new("video")?)?)
}

/// When each object was published.
#[derive(Clone, Debug, Default)]
pub struct Sent(Arc<Mutex<BTreeMap<Location, Instant>>>);

impl Sent {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Location, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Publishes a track until the end of the network that runs it.
///
/// # Errors
/// The node refuses it.
pub fn publish(net: &Net, client: &Client, text: &str, pattern: Pattern) -> Result<Sent> {
    let cache: Arc<Cache> = Cache::new(CacheLimits::default());
    let name = name(text)?;
    let track = PublishedTrack::new(name.clone(), Properties::default(), &cache)?;
    client.serve(&track);
    let namespace = name.namespace().clone();
    let announced = net.wait(client.publish_namespace(namespace, Vec::new()))?;
    let (client, clock, sent) = (client.clone(), net.clock, Sent::default());
    let noted = sent.clone();
    net.spawn(async move {
        let _session = (client, announced, cache);
        // The track ends with the story.
        let _over = write(track, clock, pattern, &noted).await;
    });
    Ok(sent)
}

async fn write(track: PublishedTrack, clock: Clock, pattern: Pattern, sent: &Sent) -> Result<()> {
    let mut writer = track.writer(clock);
    let mut tick = tokio::time::interval(pattern.pause);
    for group in 0.. {
        let mut open = writer.group(group)?;
        for object in 0..GROUP {
            tick.tick().await;
            let at = Location::new(group, object);
            let payload = pattern.payload(at);
            sent.lock().insert(at, Instant::now());
            open.object(Properties::default(), payload)?;
        }
        open.finish()?;
    }
    Ok(())
}

/// What arrived of a track.
#[derive(Debug)]
pub struct Log {
    pattern: Pattern,
    arrivals: Mutex<Vec<(Instant, Location)>>,
}

/// What is wrong with what arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Objects that are missing between the first and the last.
    pub lost: usize,
    /// Objects that came again.
    pub twice: usize,
}

impl Log {
    /// Subscribes at a node and reads until the end of the network.
    ///
    /// # Errors
    /// The track is not known in time.
    pub fn start(net: &Net, client: &Client, text: &str, pattern: Pattern) -> Result<Arc<Self>> {
        let subscriber = net.wait(subscribe(client, name(text)?))?;
        let log = Arc::new(Self {
            pattern,
            arrivals: Mutex::default(),
        });
        let (client, reads) = (client.clone(), Arc::clone(&log));
        net.spawn(async move {
            let _session = client;
            reads.read(subscriber).await;
        });
        Ok(log)
    }

    async fn read(&self, mut subscriber: Subscriber) {
        while let Some(object) = subscriber.next().await {
            if object.status == ObjectStatus::Normal {
                assert!(
                    object.payload == self.pattern.payload(object.location),
                    "{:?} is damaged",
                    object.location
                );
                self.arrivals().push((Instant::now(), object.location));
            }
        }
    }

    fn arrivals(&self) -> MutexGuard<'_, Vec<(Instant, Location)>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many came.
    pub fn len(&self) -> usize {
        self.arrivals().len()
    }

    /// Whether nothing came.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the first came.
    pub fn first(&self) -> Option<Instant> {
        self.arrivals().first().map(|&(at, _)| at)
    }

    /// The largest that came.
    pub fn newest(&self) -> Option<Location> {
        self.arrivals().iter().map(|&(_, at)| at).max()
    }

    /// The longest time between two arrivals, of those that ended after `since`.
    pub fn longest_gap(&self, since: Instant) -> Duration {
        self.longest_gap_within(since..)
    }

    /// The longest time between two arrivals, of those that ended then.
    pub fn longest_gap_within(&self, when: impl RangeBounds<Instant>) -> Duration {
        let arrivals = self.arrivals();
        arrivals
            .iter()
            .zip(arrivals.iter().skip(1))
            .filter(|(_, (at, _))| when.contains(at))
            .map(|((before, _), (at, _))| at.duration_since(*before))
            .max()
            .unwrap_or_default()
    }

    /// How long each object was under way, of those that came then.
    pub fn delays(&self, sent: &Sent, when: impl RangeBounds<Instant>) -> Vec<Duration> {
        let sent = sent.lock();
        let arrivals = self.arrivals();
        let came = arrivals.iter().filter(|(at, _)| when.contains(at));
        came.filter_map(|(at, object)| Some(at.duration_since(*sent.get(object)?)))
            .collect()
    }

    /// What is missing or came twice, of all up to the end of the newest group but one: its last objects may be on their way.
    pub fn faults(&self) -> Faults {
        let twice = self.counts().values().map(|count| count - 1).sum();
        let lost = self.missing().len();
        Faults { lost, twice }
    }

    /// The objects that count as lost.
    pub fn missing(&self) -> Vec<Location> {
        let counts = self.counts();
        let (Some(first), Some(last)) = (counts.keys().next(), counts.keys().next_back()) else {
            return Vec::new();
        };
        (first.group..last.group)
            .flat_map(|group| (0..GROUP).map(move |object| Location::new(group, object)))
            .filter(|at| at >= first && !counts.contains_key(at))
            .collect()
    }

    fn counts(&self) -> BTreeMap<Location, usize> {
        let mut counts = BTreeMap::new();
        for &(_, at) in &*self.arrivals() {
            *counts.entry(at).or_default() += 1;
        }
        counts
    }
}

/// Subscribes as soon as the node knows of the track.
async fn subscribe(client: &Client, name: FullTrackName) -> Result<Subscriber> {
    let tries = async {
        loop {
            if let Ok(subscriber) = client.subscribe(name.clone(), SubscribeOptions::default()).await {
                return subscriber;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, tries)
        .await
        .context("the track is not known in time")
}
