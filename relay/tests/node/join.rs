//! Joins of live tracks through a node, over and over: whatever the moment, each object from the group's start on comes once
//! and in order.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use headwater_pubsub::{
    net::{
        Client, Clock, Ordered, OrderedOptions, PublishedTrack, ReceivedObject, SubscribeOptions, Subscriber,
        TrackWriter,
    },
    track::{Cache, CacheLimits},
    wire::{FullTrackName, Location, Properties, TrackName, TrackNamespace, data::ObjectStatus},
};
use headwater_relay::config::Config;
use tokio::task::JoinSet;

use crate::running::Running;

/// How long each story goes on.
const LENGTH: Duration = Duration::from_secs(4);
/// Far beyond what any join takes; one that hangs fails here.
const PATIENCE: Duration = Duration::from_secs(30);

/// SplitMix64: the same choices for the same seed.
struct Choices(u64);

impl Choices {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

fn namespace() -> TrackNamespace {
    TrackNamespace::new(["join"]).expect("short")
}

/// How a track is written while it is joined.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Objects of group 0 before the first join.
    before: u64,
    /// Objects of each group in the end.
    objects: u64,
    groups: u64,
    /// Objects written at once.
    burst: u64,
    pause: Duration,
    /// About how many bytes an object has at most.
    length: u64,
    seed: u64,
}

impl Plan {
    fn choose(choices: &mut Choices) -> Self {
        let objects = 40 + choices.below(400);
        Self {
            before: choices.below(objects),
            objects,
            groups: 1 + choices.below(2),
            burst: 1 + choices.below(6) * choices.below(6),
            pause: Duration::from_micros(choices.below(3) * 400),
            length: match choices.below(3) {
                0 => 1,
                1 => 20,
                _ => 1000,
            },
            seed: choices.next(),
        }
    }
}

fn payload(at: Location, length: u64) -> Bytes {
    let text = format!("{}/{} ", at.group, at.object);
    let length = usize::try_from(length).expect("short");
    Bytes::from(text.repeat(1 + length / text.len()))
}

/// Writes the track as planned.
async fn write(plan: Plan, mut writer: TrackWriter) {
    let mut choices = Choices(plan.seed);
    for id in 0..plan.groups {
        let mut group = writer.group(id).expect("new");
        for object in 0..plan.objects {
            if (id > 0 || object >= plan.before) && object % plan.burst == 0 {
                if plan.pause.is_zero() {
                    tokio::task::yield_now().await;
                } else {
                    tokio::time::sleep(plan.pause).await;
                }
            }
            let length = choices.below(plan.length);
            let bytes = payload(Location::new(id, object), length);
            group.object(Properties::default(), bytes).expect("in order");
        }
        group.finish().expect("whole");
    }
    // Who joins after the end finds nothing.
    tokio::time::sleep(Duration::from_millis(30)).await;
    writer.end_track();
}

#[expect(clippy::large_enum_variant, reason = "a few of them, for a moment")]
enum Reader {
    Plain(Subscriber),
    Ordered(Ordered),
}

impl Reader {
    async fn next(&mut self) -> Option<ReceivedObject> {
        match self {
            Self::Plain(subscriber) => subscriber.next().await,
            Self::Ordered(ordered) => ordered.next().await,
        }
    }
}

/// Joins after `delay` and reads to the end.
async fn read(client: Client, track: FullTrackName, plan: Plan, delay: Duration, ordered: bool) {
    tokio::time::sleep(delay).await;
    let Ok(subscriber) = client.join(track.clone(), 0, SubscribeOptions::default()).await else {
        // The track ended first.
        return;
    };
    let largest = subscriber.largest();
    let start = largest.map_or(0, |largest| largest.group);
    let mut reader = if ordered {
        let options = OrderedOptions {
            patience: PATIENCE,
            ..OrderedOptions::default()
        };
        Reader::Ordered(subscriber.ordered(options))
    } else {
        Reader::Plain(subscriber)
    };
    let mut read = Vec::new();
    while let Some(object) = reader.next().await {
        if object.status == ObjectStatus::Normal {
            let text = payload(object.location, 0);
            assert!(object.payload.starts_with(&text), "{track}: {object:?}");
            read.push((object.location.group, object.location.object));
        }
    }
    if !ordered {
        // Streams of different groups may overtake each other.
        read.sort_by_key(|(group, _)| *group);
    }
    let expected =
        (start..plan.groups).flat_map(|group| (0..plan.objects).map(move |object| (group, object)));
    let missing = expected.clone().filter(|at| !read.contains(at));
    let missing: Vec<_> = missing.take(3).collect();
    assert!(
        read.iter().copied().eq(expected),
        "{track}, joined at {largest:?}, ordered {ordered}, {plan:?}: {} objects read, missing from {missing:?} on",
        read.len(),
    );
}

/// Joins tracks for a while, several at a time.
async fn story(node: &Running, seed: u64) -> u64 {
    let mut choices = Choices(seed);
    let clock = Clock::new();
    let mut drivers = JoinSet::new();
    let publisher = node.dial("moqt", clock, &mut drivers).await;
    let mut near = [
        node.dial("moqt", clock, &mut drivers).await,
        node.dial("https", clock, &mut drivers).await,
    ];
    let _announced = publisher
        .publish_namespace(namespace(), Vec::new())
        .await
        .expect("allowed");
    let cache: Arc<Cache> = Cache::new(CacheLimits::default());
    let mut joins = 0;
    while clock.now() < LENGTH {
        let mut tasks = JoinSet::new();
        for _ in 0..1 + choices.below(24) {
            let plan = Plan::choose(&mut choices);
            let name = TrackName::new(format!("t{joins}")).expect("short");
            let name = FullTrackName::new(namespace(), name).expect("short");
            let track = PublishedTrack::new(name.clone(), Properties::default(), &cache).expect("legal");
            publisher.serve(&track);
            tasks.spawn(write(plan, track.writer(clock)));
            if choices.below(2) == 0 {
                near.reverse();
            }
            for client in &near {
                let delay = Duration::from_micros(choices.below(4) * choices.below(4000));
                let ordered = choices.below(2) == 0;
                tasks.spawn(read(client.clone(), name.clone(), plan, delay, ordered));
                joins += 1;
            }
        }
        let all = async {
            while let Some(done) = tasks.join_next().await {
                if let Err(failed) = done {
                    std::panic::resume_unwind(failed.into_panic());
                }
            }
        };
        tokio::time::timeout(PATIENCE, all)
            .await
            .expect("every track ends");
    }
    joins
}

fn run(threads: u32, seed: u64) {
    let node = Running::start(Config {
        threads,
        upstream_linger: Duration::ZERO,
        ..Config::default()
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let joins = runtime.block_on(story(&node, seed));
    eprintln!("{joins} joins, seed {seed}");
    assert!(joins > 0);
}

#[test]
fn joins_of_a_node_with_one_thread_lose_nothing() {
    run(1, 1);
}

#[test]
fn joins_of_a_node_with_two_threads_lose_nothing() {
    run(2, 2);
}
