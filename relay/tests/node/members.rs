//! Who belongs to a mesh: nodes that are put out, that may announce little, and whose certificates end.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use headwater_certs::mesh::{
    Authority, Exporter, Membership, NamespacePrefix, NodeId, NodeIdentity, Office, Request, Revocations,
    Rights, Terms,
};
use headwater_certs::{Fingerprint, StateDir};
use headwater_pubsub::net::{Client, Clock, PublishedTrack, SubscribeOptions};
use headwater_pubsub::track::{Cache, CacheLimits};
use headwater_pubsub::wire::{FullTrackName, Properties, TrackName, TrackNamespace};
use headwater_relay::config::Config;
use headwater_relay::node::WallClock;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::running::Running;

/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(20);

#[expect(clippy::disallowed_methods, reason = "certificates are valid by date")]
fn today() -> SystemTime {
    SystemTime::now()
}

/// A mesh whose authority has files, and the node that holds it.
struct Family {
    dir: TempDir,
    authority: Authority,
}

impl Family {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let state = StateDir::create(dir.path()).expect("a state directory");
        let (authority, _) = Authority::create(&state, today()).expect("a mesh");
        Self { dir, authority }
    }

    fn state(&self) -> StateDir {
        StateDir::create(self.dir.path()).expect("a state directory")
    }

    /// A state directory of a new member; where it would renew its certificate there is nobody.
    fn member(&self, rights: Rights) -> TempDir {
        let office = Office {
            fingerprint: Fingerprint::from_bytes([0; 32]),
            addresses: vec!["127.0.0.1:9".parse().expect("an address")],
        };
        let dir = tempfile::tempdir().expect("a directory");
        let state = StateDir::create(dir.path()).expect("a state directory");
        let identity = Arc::new(NodeIdentity::load_or_create(&state).expect("a key"));
        let terms = Terms {
            office,
            valid: Duration::from_secs(3600),
            rights,
        };
        let invite = self.authority.invite(terms, today()).expect("an invite");
        let exporter = Exporter([1; 32]);
        let request = Request::join(&invite, &identity, &exporter).encode();
        let answer = self
            .authority
            .admit(&self.state(), &request, &exporter, today())
            .expect("files");
        Membership::join(identity, &invite, &answer)
            .expect("granted")
            .join_state(&state)
            .expect("kept");
        dir
    }

    fn revoke(&self, node: NodeId) {
        self.authority
            .revoke(&self.state(), node, today())
            .expect("revoked");
    }

    /// Whom this directory knows as revoked.
    fn revoked(&self, dir: &Path, node: NodeId) -> bool {
        let state = StateDir::create(dir).expect("a state directory");
        Revocations::load(&state, self.authority.mesh())
            .expect("a list")
            .contains(node)
    }
}

fn node_of(dir: &TempDir) -> NodeId {
    let state = StateDir::create(dir.path()).expect("a state directory");
    NodeIdentity::load(&state).expect("a file").expect("a key").id()
}

fn start(dir: &Path, peers: &[&Running]) -> Running {
    let config = Config {
        threads: 1,
        peers: peers
            .iter()
            .map(|peer| format!("moqt://{}", peer.address))
            .collect(),
        upstream_linger: Duration::ZERO,
        ..Config::default()
    };
    Running::start_at(dir, config, WallClock::system())
}

fn track(namespace: &[&str]) -> FullTrackName {
    let namespace = TrackNamespace::new(namespace).expect("short");
    FullTrackName::new(namespace, TrackName::new("video").expect("short")).expect("short")
}

/// Publishes a track at a node for the life of the client.
async fn publish(client: &Client, clock: Clock, name: &FullTrackName) {
    let cache: Arc<Cache> = Cache::new(CacheLimits::default());
    let track = PublishedTrack::new(name.clone(), Properties::default(), &cache).expect("legal");
    client.serve(&track);
    let announced = client
        .publish_namespace(name.namespace().clone(), Vec::new())
        .await
        .expect("allowed");
    std::mem::forget((announced, track.writer(clock)));
}

async fn is_known(client: &Client, name: &FullTrackName) -> bool {
    client
        .subscribe(name.clone(), SubscribeOptions::default())
        .await
        .is_ok()
}

/// Waits until a client's node knows the track, or knows it no more.
async fn wait(client: &Client, name: &FullTrackName, known: bool) {
    let tries = async {
        while is_known(client, name).await != known {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, tries)
        .await
        .unwrap_or_else(|_| panic!("{name} should be known: {known}"));
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let tries = async {
        while !holds() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, tries)
        .await
        .unwrap_or_else(|_| panic!("{what} in time"));
}

fn run(story: impl Future<Output = ()>) {
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

#[test]
fn a_revoked_node_is_out_everywhere_and_for_good() {
    run(async {
        let family = Family::new();
        let (between, out) = (family.member(Rights::All), family.member(Rights::All));
        let authority = start(family.dir.path(), &[]);
        let middle = start(between.path(), &[&authority]);
        let far = start(out.path(), &[&middle]);
        let clock = Clock::new();
        let mut drivers = JoinSet::new();
        let reader = authority.dial("moqt", clock, &mut drivers).await;
        let publisher = far.dial("moqt", clock, &mut drivers).await;
        publish(&publisher, clock, &track(&["live", "before"])).await;
        wait(&reader, &track(&["live", "before"]), true).await;

        let node = node_of(&out);
        family.revoke(node);
        wait(&reader, &track(&["live", "before"]), false).await;
        until("the node between keeps the revocation", || {
            family.revoked(between.path(), node)
        })
        .await;

        // It comes back, and dials both; what another node announces after it is seen, and not what it announces.
        drop(far);
        let far = start(out.path(), &[&middle, &authority]);
        let publisher = far.dial("moqt", clock, &mut drivers).await;
        publish(&publisher, clock, &track(&["live", "after"])).await;
        let honest = middle.dial("moqt", clock, &mut drivers).await;
        publish(&honest, clock, &track(&["live", "other"])).await;
        wait(&reader, &track(&["live", "other"]), true).await;
        assert!(!is_known(&reader, &track(&["live", "after"])).await);

        // A node that joins later hears of it from its first neighbour.
        let late = family.member(Rights::All);
        let _late = start(late.path(), &[&middle]);
        until("a newcomer is told", || family.revoked(late.path(), node)).await;
    });
}

#[test]
fn what_a_certificate_does_not_cover_is_shown_nowhere() {
    run(async {
        let family = Family::new();
        let anna = NamespacePrefix::new(["live", "anna"]).expect("short");
        let narrow = family.member(Rights::under([anna]).expect("one"));
        let between = family.member(Rights::All);
        let authority = start(family.dir.path(), &[]);
        let middle = start(between.path(), &[&authority]);
        let far = start(narrow.path(), &[&middle]);
        let clock = Clock::new();
        let mut drivers = JoinSet::new();
        let publisher = far.dial("moqt", clock, &mut drivers).await;
        publish(&publisher, clock, &track(&["live", "bob"])).await;
        publish(&publisher, clock, &track(&["live", "anna", "cam"])).await;
        for node in [&authority, &middle] {
            let reader = node.dial("moqt", clock, &mut drivers).await;
            wait(&reader, &track(&["live", "anna", "cam"]), true).await;
            assert!(!is_known(&reader, &track(&["live", "bob"])).await);
        }
    });
}
