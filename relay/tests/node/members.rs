//! Who belongs to a mesh: nodes that are put out, that may announce little, and whose certificates end.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(20);
const DAY: Duration = Duration::from_secs(24 * 3600);

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
        let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
        self.member_of(rights, nobody, Fingerprint::from_bytes([0; 32]))
    }

    /// A state directory of a new member that renews its certificate there.
    fn member_of(&self, rights: Rights, address: SocketAddr, fingerprint: Fingerprint) -> TempDir {
        let office = Office {
            fingerprint,
            addresses: vec![address.to_string().parse().expect("an address")],
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

/// A date that can be moved on.
#[derive(Clone, Default)]
struct Calendar(Arc<AtomicU64>);

impl Calendar {
    fn wall(&self) -> WallClock {
        let days = Arc::clone(&self.0);
        WallClock::new(move || today() + DAY * u32::try_from(days.load(Ordering::Relaxed)).expect("few"))
    }

    fn set(&self, days: u64) {
        self.0.store(days, Ordering::Relaxed);
    }
}

fn start(dir: &Path, peers: &[&Running]) -> Running {
    start_on(&Calendar::default(), dir, peers)
}

fn start_on(calendar: &Calendar, dir: &Path, peers: &[&Running]) -> Running {
    let config = Config {
        threads: 1,
        peers: peers
            .iter()
            .map(|peer| format!("moqt://{}", peer.address))
            .collect(),
        upstream_linger: Duration::ZERO,
        ..Config::default()
    };
    Running::start_at(dir, config, calendar.wall())
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

fn expires(dir: &Path) -> SystemTime {
    let state = StateDir::create(dir).expect("a state directory");
    let membership = Membership::from_state(&state).expect("a file");
    membership.expect("a member").expires()
}

#[test]
fn certificates_are_renewed_in_time_and_who_does_not_is_dropped() {
    run(async {
        let family = Family::new();
        let calendar = Calendar::default();
        let authority = start_on(&calendar, family.dir.path(), &[]);
        let diligent = family.member_of(Rights::All, authority.address, authority.pin);
        let stray = family.member(Rights::All);
        let nodes = [&diligent, &stray].map(|dir| start_on(&calendar, dir.path(), &[&authority]));
        let clock = Clock::new();
        let mut drivers = JoinSet::new();
        let reader = authority.dial("moqt", clock, &mut drivers).await;
        let names = ["diligent", "stray"].map(|name| track(&["live", name]));
        let mut publishers = Vec::new();
        for (node, name) in nodes.iter().zip(&names) {
            let publisher = node.dial("moqt", clock, &mut drivers).await;
            publish(&publisher, clock, name).await;
            publishers.push(publisher);
            wait(&reader, name, true).await;
        }
        let dirs = [family.dir.path(), diligent.path()];
        let before = dirs.map(expires);
        calendar.set(21);
        until("both that reach the authority renew", || {
            dirs.map(expires)
                .iter()
                .zip(&before)
                .all(|(now, then)| now > then)
        })
        .await;
        calendar.set(35);
        wait(&reader, &names[1], false).await;
        wait(&reader, &names[0], true).await;
        assert!(expires(stray.path()) < calendar.wall().now());
    });
}

/// An address that nobody listens at.
fn free_address() -> SocketAddr {
    let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    socket.local_addr().expect("bound")
}

/// A node that tells others where it listens.
fn start_advertised(dir: &Path, peers: &[&Running]) -> Running {
    let listen = free_address();
    let config = Config {
        listen,
        advertise: vec![listen.to_string()],
        threads: 1,
        peers: peers
            .iter()
            .map(|peer| format!("moqt://{}", peer.address))
            .collect(),
        ..Config::default()
    };
    Running::start_at(dir, config, WallClock::system())
}

#[test]
fn a_node_that_was_told_of_one_neighbour_survives_it() {
    run(async {
        let family = Family::new();
        let (first, second) = (family.member(Rights::All), family.member(Rights::All));
        let authority = start_advertised(family.dir.path(), &[]);
        let other = start_advertised(first.path(), &[&authority]);
        let newcomer = start(second.path(), &[&authority]);
        let clock = Clock::new();
        let mut drivers = JoinSet::new();
        let publisher = other.dial("moqt", clock, &mut drivers).await;
        let reader = newcomer.dial("moqt", clock, &mut drivers).await;
        publish(&publisher, clock, &track(&["live", "before"])).await;
        wait(&reader, &track(&["live", "before"]), true).await;
        until("the newcomer keeps the other's address", || {
            let peers = std::fs::read(second.path().join("mesh.peers")).unwrap_or_default();
            let address = other.address.to_string();
            peers
                .windows(address.len())
                .any(|part| part == address.as_bytes())
        })
        .await;

        drop(authority);
        let died = tokio::time::Instant::now();
        publish(&publisher, clock, &track(&["live", "after"])).await;
        wait(&reader, &track(&["live", "after"]), true).await;
        assert!(died.elapsed() < Duration::from_secs(1), "{:?}", died.elapsed());

        // At its next start it knows the other without being told.
        drop(newcomer);
        let newcomer = start(second.path(), &[]);
        let reader = newcomer.dial("moqt", clock, &mut drivers).await;
        wait(&reader, &track(&["live", "after"]), true).await;
    });
}
