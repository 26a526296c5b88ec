//! Nodes of one mesh act as one relay.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use headwater_certs::StateDir;
use headwater_certs::mesh::{Authority, Rights};
use headwater_pubsub::net::{Client, Clock, PublishedTrack, SubscribeOptions, Subscriber, TrackWriter};
use headwater_pubsub::track::{Cache, CacheLimits};
use headwater_pubsub::wire::{FullTrackName, Location, Properties, TrackName, TrackNamespace};
use headwater_relay::config::Config;
use headwater_relay::emulator::{Link, Weather};
use tokio::task::JoinSet;

use crate::running::Running;

/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes members.
pub(crate) struct Mesh {
    pub(crate) authority: Authority,
}

impl Mesh {
    pub(crate) fn new() -> Self {
        Self {
            authority: Authority::generate().expect("randomness"),
        }
    }

    /// A state directory of a new member, which has nobody to renew its certificate.
    pub(crate) fn member(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let state = StateDir::create(dir.path()).expect("a state directory");
        #[expect(clippy::disallowed_methods, reason = "certificates are valid by date")]
        let now = SystemTime::now();
        self.authority.enlist(&state, Rights::All, now).expect("a member");
        dir
    }

    pub(crate) fn start(&self, peers: &[&Running]) -> Running {
        let peers: Vec<_> = peers.iter().map(|peer| peer.address).collect();
        self.start_at(&peers)
    }

    pub(crate) fn start_at(&self, peers: &[SocketAddr]) -> Running {
        Running::start_in(self.member(), dialling(peers))
    }
}

/// How a node with these peers runs.
pub(crate) fn dialling(peers: &[SocketAddr]) -> Config {
    Config {
        threads: 1,
        peers: peers.iter().map(|peer| format!("moqt://{peer}")).collect(),
        ..Config::default()
    }
}

fn namespace() -> TrackNamespace {
    TrackNamespace::new(["live", "cam"]).expect("short")
}

fn track() -> FullTrackName {
    FullTrackName::new(namespace(), TrackName::new("video").expect("short")).expect("short")
}

/// Publishes the track at a node; gives the writer once the namespace is accepted.
async fn publish(client: &Client, clock: Clock) -> TrackWriter {
    let cache: Arc<Cache> = Cache::new(CacheLimits::default());
    let track = PublishedTrack::new(track(), Properties::default(), &cache).expect("legal");
    client.serve(&track);
    let announced = client
        .publish_namespace(namespace(), Vec::new())
        .await
        .expect("allowed");
    // Held for the test's life.
    std::mem::forget(announced);
    track.writer(clock)
}

/// Subscribes as soon as the node knows of the track.
async fn subscribe(client: &Client) -> Subscriber {
    let tries = async {
        loop {
            if let Ok(subscriber) = client.subscribe(track(), SubscribeOptions::default()).await {
                return subscriber;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, tries)
        .await
        .expect("the track is known in time")
}

/// Writes one object each `pause`, ten to a group, until told how many were read in the end.
async fn write(mut writer: TrackWriter, objects: u64, pause: Duration) {
    for group in 0..objects / 10 {
        let mut open = writer.group(group).expect("new");
        for object in 0..10 {
            let payload = Bytes::from(format!("{group}/{object}"));
            open.object(Properties::default(), payload).expect("in order");
            tokio::time::sleep(pause).await;
        }
        open.finish().expect("whole");
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    writer.end_track();
}

/// Reads to the end of the track.
async fn read(mut subscriber: Subscriber) -> Vec<Location> {
    let mut seen = Vec::new();
    while let Some(object) = tokio::time::timeout(PATIENCE, subscriber.next())
        .await
        .expect("objects come")
    {
        if object.status == headwater_pubsub::wire::data::ObjectStatus::Normal {
            let text = format!("{}/{}", object.location.group, object.location.object);
            assert_eq!(object.payload, text.as_bytes());
            seen.push(object.location);
        }
    }
    seen
}

pub(crate) fn run(story: impl Future<Output = ()>) {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init()
        .ok();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(story);
}

/// From the first on nothing is missing, and nothing comes twice.
fn assert_whole(mut seen: Vec<Location>, last: Location) {
    seen.sort_unstable();
    let first = *seen.first().expect("something was read");
    let expected: Vec<Location> = (first.group..=last.group)
        .flat_map(|group| (0..10).map(move |object| Location::new(group, object)))
        .filter(|at| *at >= first)
        .collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_track_published_at_one_end_of_a_line_is_read_at_the_other() {
    let mesh = Mesh::new();
    let near = mesh.start(&[]);
    let middle = mesh.start(&[&near]);
    let far = mesh.start(&[&middle]);
    run(async {
        let clock = Clock::new();
        let mut drivers = JoinSet::new();
        let publisher = near.dial("moqt", clock, &mut drivers).await;
        let client = far.dial("moqt", clock, &mut drivers).await;
        let writer = publish(&publisher, clock).await;
        drivers.spawn(write(writer, 100, Duration::from_millis(10)));
        let subscriber = subscribe(&client).await;
        let seen = read(subscriber).await;
        assert_whole(seen, Location::new(9, 9));
    });
}

/// A square: `near` at one corner, `far` at the other, two nodes between them, all links with delay.
struct Square {
    near: Running,
    between: [Running; 2],
    far: Running,
    /// The links of each node between.
    links: [[Weather; 2]; 2],
    _tasks: JoinSet<std::io::Result<()>>,
}

impl Square {
    async fn start(mesh: &Mesh, delay: Duration) -> Self {
        let mut tasks = JoinSet::new();
        let near = mesh.start(&[]);
        let mut between = Vec::new();
        let mut ends = Vec::new();
        let mut links = Vec::new();
        for index in 0..2 {
            // The second way is longer, so the first is taken.
            let weather = [0, 1].map(|link| Weather::new(delay * (index + 1), u64::from(index * 2 + link)));
            let link = Link::bind(near.address, weather[0].clone())
                .await
                .expect("a link");
            let node = mesh.start_at(&[link.local_addr().expect("bound")]);
            tasks.spawn(link.run());
            let link = Link::bind(node.address, weather[1].clone())
                .await
                .expect("a link");
            ends.push(link.local_addr().expect("bound"));
            tasks.spawn(link.run());
            between.push(node);
            links.push(weather);
        }
        let far = mesh.start_at(&ends);
        Self {
            near,
            between: between.try_into().unwrap_or_else(|_| panic!("two")),
            far,
            links: links.try_into().unwrap_or_else(|_| panic!("two")),
            _tasks: tasks,
        }
    }
}

/// Reads to the end; gives the objects and the longest pause between two of them.
async fn read_with_pause(mut subscriber: Subscriber) -> (Vec<Location>, Duration) {
    let mut seen = Vec::new();
    let mut longest = Duration::ZERO;
    let mut last = tokio::time::Instant::now();
    while let Some(object) = tokio::time::timeout(PATIENCE, subscriber.next())
        .await
        .expect("objects come")
    {
        if object.status == headwater_pubsub::wire::data::ObjectStatus::Normal {
            if !seen.is_empty() {
                longest = longest.max(last.elapsed());
            }
            last = tokio::time::Instant::now();
            seen.push(object.location);
        }
    }
    (seen, longest)
}

#[test]
fn a_node_that_falls_silent_on_the_path_costs_a_pause_and_no_object() {
    run(async {
        let mesh = Mesh::new();
        let square = Square::start(&mesh, Duration::from_millis(15)).await;
        let clock = Clock::new();
        let mut drivers = JoinSet::new();
        let publisher = square.near.dial("moqt", clock, &mut drivers).await;
        let client = square.far.dial("moqt", clock, &mut drivers).await;
        let writer = publish(&publisher, clock).await;
        drivers.spawn(write(writer, 200, Duration::from_millis(33)));
        let subscriber = subscribe(&client).await;
        let mut readers = JoinSet::new();
        readers.spawn(read_with_pause(subscriber));
        tokio::time::sleep(Duration::from_secs(2)).await;
        square.links[0].iter().for_each(|link| link.cut(true));
        let (seen, longest) = readers.join_next().await.expect("a reader").expect("read");
        assert_whole(seen, Location::new(19, 9));
        eprintln!("longest pause {longest:?}");
        assert!(longest < Duration::from_secs(2), "{longest:?}");
        drop(square.between);
    });
}

#[test]
fn a_node_that_drains_is_left_without_a_pause_and_goes_when_nobody_needs_it() {
    run(async {
        let mesh = Mesh::new();
        let square = Square::start(&mesh, Duration::from_millis(15)).await;
        let clock = Clock::new();
        let mut drivers = JoinSet::new();
        let publisher = square.near.dial("moqt", clock, &mut drivers).await;
        let client = square.far.dial("moqt", clock, &mut drivers).await;
        let writer = publish(&publisher, clock).await;
        drivers.spawn(write(writer, 120, Duration::from_millis(33)));
        let subscriber = subscribe(&client).await;
        let mut readers = JoinSet::new();
        readers.spawn(read_with_pause(subscriber));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let [mut first, second] = square.between;
        let began = tokio::time::Instant::now();
        first.drain();
        tokio::task::spawn_blocking(move || first.join())
            .await
            .expect("joined");
        let took = began.elapsed();
        let (seen, longest) = readers.join_next().await.expect("a reader").expect("read");
        assert_whole(seen, Location::new(11, 9));
        assert!(
            took < Duration::from_secs(5),
            "its last user left long before {took:?}"
        );
        eprintln!("longest pause {longest:?}");
        drop(second);
    });
}
