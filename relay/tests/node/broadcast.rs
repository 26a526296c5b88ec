//! Publishers that go on until they are told to stop, and readers that note what they got, for stories of a mesh.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use headwater_pubsub::net::{
    Client, Clock, NamespacePublication, Publication, PublishOptions, PublishedTrack, SubscribeOptions,
    Subscriber, TrackWriter,
};
use headwater_pubsub::track::{Cache, CacheLimits};
use headwater_pubsub::wire::data::ObjectStatus;
use headwater_pubsub::wire::{FullTrackName, Location, Properties};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::running::Running;

/// Far beyond what a story's step takes, the 8 s that a node may wait before it dials again included.
pub(crate) const PATIENCE: Duration = Duration::from_secs(25);
/// Objects of a group.
pub(crate) const GROUP: u64 = 10;
/// Pause between two objects.
const PAUSE: Duration = Duration::from_millis(20);

/// Whose sessions and clocks a story uses.
pub(crate) struct Stage {
    pub(crate) clock: Clock,
    drivers: JoinSet<()>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            clock: Clock::new(),
            drivers: JoinSet::new(),
        }
    }

    pub(crate) async fn client(&mut self, node: &Running) -> Client {
        node.dial("moqt", self.clock, &mut self.drivers).await
    }
}

/// A track being published, group by group, each object with the publisher's mark.
pub(crate) struct Broadcast {
    phase: watch::Sender<Phase>,
    writer: JoinSet<Location>,
    announced: Option<NamespacePublication>,
    published: Option<Publication>,
    client: Client,
}

impl Broadcast {
    /// Publishes at a node from group `first` on.
    pub(crate) async fn start(stage: &mut Stage, node: &Running, name: &FullTrackName, first: u64) -> Self {
        let this = Self::announce(stage, node, name, first).await;
        this.begin();
        this
    }

    /// The same, by PUBLISH alone.
    pub(crate) async fn publish(stage: &mut Stage, node: &Running, name: &FullTrackName, first: u64) -> Self {
        let client = stage.client(node).await;
        let track = published(name);
        let publication = client
            .publish(&track, PublishOptions::default())
            .await
            .expect("allowed");
        let this = Self::of(client, track.writer(stage.clock), first);
        this.begin();
        Self {
            published: Some(publication),
            ..this
        }
    }

    /// By PUBLISH_NAMESPACE, without any object before [`begin`](Self::begin).
    pub(crate) async fn announce(
        stage: &mut Stage,
        node: &Running,
        name: &FullTrackName,
        first: u64,
    ) -> Self {
        let client = stage.client(node).await;
        let track = published(name);
        client.serve(&track);
        let announced = client
            .publish_namespace(name.namespace().clone(), Vec::new())
            .await
            .expect("allowed");
        Self {
            announced: Some(announced),
            ..Self::of(client, track.writer(stage.clock), first)
        }
    }

    fn of(client: Client, track: TrackWriter, first: u64) -> Self {
        let (phase, told) = watch::channel(Phase::Announced);
        let mut writer = JoinSet::new();
        writer.spawn(write(track, first, told));
        Self {
            phase,
            writer,
            announced: None,
            published: None,
            client,
        }
    }

    /// Objects come from now on.
    pub(crate) fn begin(&self) {
        self.phase.send_replace(Phase::Writing);
    }

    /// Ends the group, then the track; the last object.
    pub(crate) async fn finish(&mut self) -> Location {
        self.phase.send_replace(Phase::Ending);
        self.writer.join_next().await.expect("one").expect("written")
    }

    /// Withdraws the namespace or the track.
    pub(crate) fn withdraw(&mut self) {
        self.announced = None;
        self.published = None;
    }

    /// Goes away without a word about the track.
    pub(crate) fn leave(self) {
        self.client
            .close(headwater_pubsub::wire::SessionCode::NO_ERROR, "elsewhere");
    }
}

fn published(name: &FullTrackName) -> PublishedTrack {
    let cache = Cache::new(CacheLimits::default());
    PublishedTrack::new(name.clone(), Properties::default(), &cache).expect("legal")
}

/// Where a broadcast is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Announced,
    Writing,
    Ending,
}

async fn write(mut writer: TrackWriter, first: u64, mut told: watch::Receiver<Phase>) -> Location {
    told.wait_for(|phase| *phase != Phase::Announced)
        .await
        .expect("the story goes on");
    let mut group = first;
    loop {
        let mut open = writer.group(group).expect("new");
        for object in 0..GROUP {
            open.object(Properties::default(), payload(Location::new(group, object)))
                .expect("in order");
            tokio::time::sleep(PAUSE).await;
        }
        open.finish().expect("whole");
        if *told.borrow() == Phase::Ending {
            break;
        }
        group += 1;
    }
    // Whoever is behind gets the last objects first.
    tokio::time::sleep(Duration::from_millis(500)).await;
    writer.end_track();
    Location::new(group, GROUP - 1)
}

fn payload(at: Location) -> Bytes {
    Bytes::from(format!("{}/{}", at.group, at.object))
}

/// A subscription and what it brought.
pub(crate) struct Audience {
    subscriber: Subscriber,
    /// In the order of arrival.
    pub(crate) seen: Vec<Location>,
    _client: Client,
}

impl Audience {
    /// Subscribes at a node as soon as it knows of the track.
    pub(crate) async fn join(stage: &mut Stage, node: &Running, name: &FullTrackName) -> Self {
        let client = stage.client(node).await;
        let subscriber = within("the track is known", async {
            loop {
                match client.subscribe(name.clone(), SubscribeOptions::default()).await {
                    Ok(subscriber) => return subscriber,
                    Err(_unknown_yet) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        })
        .await;
        Self::of(client, subscriber)
    }

    pub(crate) fn of(client: Client, subscriber: Subscriber) -> Self {
        Self {
            subscriber,
            seen: Vec::new(),
            _client: client,
        }
    }

    async fn next(&mut self) -> Option<Location> {
        loop {
            let object = within("an object or the end", self.subscriber.next()).await?;
            if object.status == ObjectStatus::Normal {
                assert_eq!(object.payload, payload(object.location));
                self.seen.push(object.location);
                return Some(object.location);
            }
        }
    }

    /// Reads until something at or after `at` came.
    pub(crate) async fn reach(&mut self, at: Location) {
        while let Some(got) = self.next().await {
            if got >= at {
                return;
            }
        }
        panic!("the track ended before {at:?}, after {:?}", self.seen.last());
    }

    /// Reads so many objects more.
    pub(crate) async fn more(&mut self, count: usize) {
        for _ in 0..count {
            let got = self.next().await;
            assert!(got.is_some(), "the track ended after {:?}", self.seen.last());
        }
    }

    /// Reads to the end of the track.
    pub(crate) async fn finish_reading(&mut self) {
        while self.next().await.is_some() {}
    }

    /// Nothing came twice, and nothing is missing between the first and the last.
    pub(crate) fn assert_whole(&self) {
        self.assert_whole_but(u64::MAX, Takeover::Whole);
    }

    /// The same, but a publisher went away within a group, and another one took over with group `next` or a later one.
    pub(crate) fn assert_whole_but(&self, next: u64, takeover: Takeover) {
        let mut groups: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for at in &self.seen {
            let new = groups.entry(at.group).or_default().insert(at.object);
            assert!(new, "{at:?} came twice: {:?}", self.seen);
        }
        let first = *groups.keys().next().expect("something came");
        let last = *groups.keys().last().expect("something came");
        let cut_short = groups.keys().copied().rfind(|&group| group < next);
        let late = groups.keys().copied().find(|&group| group >= next);
        for (group, objects) in groups {
            let begins_late = late == Some(group) && takeover == Takeover::InsideGroup;
            let begin = if group == first || begins_late {
                *objects.first().expect("not empty")
            } else {
                0
            };
            let end = if group == last || cut_short == Some(group) {
                objects.last().expect("not empty") + 1
            } else {
                GROUP
            };
            let expected: BTreeSet<u64> = (begin..end).collect();
            assert_eq!(objects, expected, "group {group} of {:?}", self.seen);
        }
    }

    /// The groups that came, in order, once each.
    pub(crate) fn groups(&self) -> Vec<u64> {
        let groups: BTreeSet<u64> = self.seen.iter().map(|at| at.group).collect();
        groups.into_iter().collect()
    }
}

/// How the second publisher's objects begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takeover {
    /// With the beginning of a group: its node had the track already.
    Whole,
    /// Wherever it was: its node asked for the track only then, and a subscription brings nothing that was before.
    InsideGroup,
}

/// The answer, in time.
pub(crate) async fn within<T>(what: &str, story: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, story)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    within(what, async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
