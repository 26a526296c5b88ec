//! Members that break the rules of the mesh, and strangers who want to be members: each is refused, told why, logged by name
//! and counted, and a publisher and a subscriber at two other nodes notice nothing.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use headwater_certs::StateDir;
use headwater_certs::mesh::{Authority, Rights, Role};
use headwater_pubsub::wire::{RequestErrorCode, SessionCode};
use headwater_relay::node::WallClock;
use headwater_relay::overlay::id::{Distance, NodeId, Seq};
use headwater_relay::overlay::message::{DownHint, Record, Row};

use crate::broadcast::{Audience, Broadcast, Stage, until, within};
use crate::impostor::{Impostor, Member, Papers, proof};
use crate::mesh::{Mesh, dialling, run};
use crate::peer::track;
use crate::running::Running;

/// Everything that was logged in this process.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn listen_to_the_log() {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_writer(|| Log)
        .try_init()
        .expect("the first in this process");
}

/// Whether one line has both.
fn logged(what: &str, whom: &str) -> bool {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&log)
        .lines()
        .any(|line| line.contains(what) && line.contains(whom))
}

#[expect(clippy::disallowed_methods, reason = "certificates are valid by date")]
fn now() -> SystemTime {
    SystemTime::now()
}

const DAY: Duration = Duration::from_secs(86_400);
/// The sequence number of something that nobody has heard of.
const SEQ: Seq = Seq {
    epoch: 1_700_000_000_000,
    number: 5,
};

/// A publisher at one node, a subscriber at the other, and the nodes.
struct Healthy {
    mesh: Mesh,
    /// Here strangers knock.
    door: Running,
    far: Running,
    /// Of the far node.
    dir: tempfile::TempDir,
    broadcast: Broadcast,
    audience: Audience,
    _stage: Stage,
}

impl Healthy {
    async fn new() -> Self {
        let (mesh, mut stage) = (Mesh::new(), Stage::new());
        let door = mesh.start(&[]);
        let dir = mesh.member();
        let far = Running::start_at(dir.path(), dialling(&[door.address]), WallClock::system());
        let name = track("healthy", "video");
        let broadcast = Broadcast::start(&mut stage, &far, &name, 0).await;
        let audience = Audience::join(&mut stage, &door, &name).await;
        Self {
            mesh,
            door,
            far,
            dir,
            broadcast,
            audience,
            _stage: stage,
        }
    }

    fn misconduct(&self, kind: &str) -> f64 {
        self.door.metric("moq_neighbour_misconduct", kind)
    }

    /// A new member in session with the node at the door, that said HELLO.
    async fn neighbour(&mut self) -> (Impostor, Member) {
        let dir = self.mesh.member();
        let member = Member::of(dir.path());
        let mut session = Impostor::neighbour(&self.door, &member).await;
        session.say(&[member.hello(SEQ.epoch)]).await;
        (session, member)
    }

    /// Nothing was lost, and nobody but the two nodes is left.
    async fn finish(mut self) {
        self.audience.more(20).await;
        let last = self.broadcast.finish().await;
        self.audience.finish_reading().await;
        self.audience.assert_whole();
        assert_eq!(self.audience.seen.iter().max(), Some(&last), "to the last object");
        assert_eq!(self.door.metric("moq_route_changes", "neighbour_down"), 0.0);
        assert_eq!(self.far.metric("moq_neighbours", ""), 1.0);
    }
}

fn row(origin: NodeId, seq: Seq, distance: Option<u64>) -> Row {
    Row {
        origin,
        seq,
        distance: distance.and_then(Distance::new),
        full: false,
        reset: false,
        beacon_follows: false,
        log_version: 0,
    }
}

#[test]
fn a_neighbour_that_breaks_the_rules_of_gossip_is_closed_and_nobody_else_notices() {
    listen_to_the_log();
    run(async {
        let mut healthy = Healthy::new().await;
        let other = NodeId([7; 32]);
        let far = Member::of(healthy.dir.path()).id();
        for (what, kind, words) in [
            ("a forged beacon", "forged", "forged record"),
            ("a forged beacon of a live node", "forged", "forged record"),
            ("a row without a beacon", "forged", "without its beacon"),
            ("distance zero", "route", "distance zero"),
            ("a flood of rows", "route", "more rows"),
            ("a flood of hints", "flood", "too many DOWN_HINT"),
            ("a truncated record", "gossip", "unreadable gossip"),
            ("a record longer than its object", "gossip", "unreadable gossip"),
            ("an object that is too long", "gossip", "unreadable gossip"),
            ("HELLO again", "gossip", "HELLO"),
            ("a gap", "gossip", "a gap"),
        ] {
            let before = healthy.misconduct(kind);
            let (mut session, member) = healthy.neighbour().await;
            let hint = Record::DownHint(DownHint {
                prefix: [9; 8],
                age_ms: 1,
            });
            let honest = member.beacon(member.id(), SEQ);
            match what {
                "a forged beacon" => session.say(&[member.beacon(other, SEQ)]).await,
                "a forged beacon of a live node" => {
                    let newer = Seq {
                        epoch: SEQ.epoch << 1,
                        number: 0,
                    };
                    session.say(&[member.beacon(far, newer)]).await;
                }
                "a row without a beacon" => {
                    session
                        .say(&[Record::Route(vec![row(other, SEQ, Some(9))])])
                        .await;
                }
                "distance zero" => {
                    session.say(&[Record::Route(vec![row(far, SEQ, Some(0))])]).await;
                }
                "a flood of rows" => {
                    for _ in 0..4 {
                        session
                            .say(&[Record::Route(vec![row(other, SEQ, None); 2500])])
                            .await;
                    }
                }
                "a flood of hints" => session.say(&vec![hint; 40]).await,
                "a truncated record" => {
                    let object = session.object(&[honest]);
                    session.say_bytes(object.slice(..object.len() - 1)).await;
                }
                "a record longer than its object" => {
                    session.say_bytes(Bytes::from_static(&[0x03, 0x09, 0x00])).await;
                }
                "an object that is too long" => {
                    session.say_bytes(Bytes::from(vec![0x7f; 65_537])).await;
                }
                "HELLO again" => session.say(&[member.hello(SEQ.epoch)]).await,
                _ => {
                    session.skip();
                    session.say(&[honest]).await;
                }
            }
            let (code, reason) = session.closed().await;
            assert_eq!(code, SessionCode::PROTOCOL_VIOLATION, "{what}: {reason}");
            assert!(reason.contains(words), "{what}: {reason}");
            assert_eq!(healthy.misconduct(kind), before + 1.0, "{what}");
            assert!(
                logged("neighbour misbehaves", &member.id().to_string()),
                "{what} is logged by name"
            );
            healthy.audience.more(5).await;
        }
        healthy.finish().await;
    });
}

#[test]
fn who_speaks_before_hello_or_as_another_node_is_closed() {
    listen_to_the_log();
    run(async {
        let healthy = Healthy::new().await;
        let far = Member::of(healthy.dir.path());
        for (kind, words, as_another) in [
            ("gossip", "HELLO", false),
            ("proof", "of another node than the session", true),
        ] {
            let before = healthy.misconduct(kind);
            let dir = healthy.mesh.member();
            let member = Member::of(dir.path());
            let mut session = Impostor::neighbour(&healthy.door, &member).await;
            if as_another {
                session.say(&[far.hello(SEQ.epoch)]).await;
            } else {
                session.say(&[member.beacon(member.id(), SEQ)]).await;
            }
            let (code, reason) = session.closed().await;
            assert_eq!(code, SessionCode::PROTOCOL_VIOLATION, "{reason}");
            assert!(reason.contains(words), "{reason}");
            assert_eq!(healthy.misconduct(kind), before + 1.0);
            assert!(logged("neighbour misbehaves", &member.id().to_string()));
        }
        healthy.finish().await;
    });
}

#[test]
fn replayed_rows_and_beacons_change_no_route() {
    listen_to_the_log();
    run(async {
        let mut healthy = Healthy::new().await;
        let far = Member::of(healthy.dir.path());
        let (mut session, _member) = healthy.neighbour().await;
        // Of an earlier life of the node that publishes, rightly signed then, and nearer than it is.
        let old = far.beacon(far.id(), SEQ);
        session
            .say(&[old, Record::Route(vec![row(far.id(), SEQ, Some(1))])])
            .await;
        // Again, and as somebody else's newest.
        let rows = Record::Route(vec![row(far.id(), SEQ, Some(1)); 20]);
        session
            .say(&[far.beacon(far.id(), SEQ), rows, Record::SnapshotEnd])
            .await;
        healthy.audience.more(60).await;
        assert!(session.is_open(), "nothing of it is forbidden");
        assert_eq!(healthy.misconduct(""), 0.0);
        healthy.finish().await;
    });
}

#[test]
fn papers_that_are_not_right_leave_an_ordinary_client() {
    listen_to_the_log();
    run(async {
        let (mesh, foreign) = (Mesh::new(), Authority::generate().expect("randomness"));
        let dir = mesh.member();
        let outcast = Member::of(mesh.member().path());
        // The node knows of the revocation from its start on.
        let state = StateDir::create(dir.path()).expect("there");
        mesh.authority
            .revoke(&state, outcast.membership.node(), now())
            .expect("revoked");
        let door = Running::start_in(dir, dialling(&[]));
        let member = Member::of(mesh.member().path());
        let (id, key) = (member.membership.node(), &member.identity);
        let certificate = member.membership.certificate().clone();
        let expired = mesh.authority.certify(id, Rights::All, now() - 40 * DAY);
        let unborn = mesh.authority.certify(id, Rights::All, now() + 3 * DAY);
        let stranger = foreign.certify(id, Rights::All, now());
        let recorded = {
            let session = Impostor::neighbour(&door, &member).await;
            session.shown()
        };
        let cases: Vec<(&str, Papers)> = vec![
            ("expired", proof(expired, key.clone(), Role::Client)),
            ("not valid yet", proof(unborn, key.clone(), Role::Client)),
            ("of another mesh", proof(stranger, key.clone(), Role::Client)),
            ("revoked", outcast.papers()),
            ("recorded", Box::new(move |_| recorded.clone())),
            ("sent back", proof(certificate.clone(), key.clone(), Role::Server)),
            (
                "by another key",
                proof(certificate, outcast.identity.clone(), Role::Client),
            ),
            ("nothing", Box::new(|_| Vec::new())),
            ("noise", Box::new(|_| vec![0x5a; 300])),
        ];
        for (count, (what, papers)) in (1..).zip(cases) {
            let mut session = Impostor::dial(&door, papers).await;
            let error = session.refused().await;
            assert_eq!(
                error.code,
                RequestErrorCode::UNAUTHORIZED,
                "{what}: {}",
                error.reason
            );
            assert!(session.is_open(), "{what}: an ordinary client may stay");
            assert_eq!(
                door.metric("moq_neighbour_misconduct", "proof"),
                f64::from(count),
                "{what}"
            );
            assert!(
                logged("not a neighbour", &error.reason),
                "{what}: {}",
                error.reason
            );
        }
        for (reason, count) in [
            ("expired", 2.0),
            ("foreign", 1.0),
            ("revoked", 1.0),
            ("bad_proof", 3.0),
            ("malformed", 2.0),
        ] {
            assert_eq!(door.metric("moq_mesh_refusals", reason), count, "{reason}");
        }
        until("the member's own session is over", || {
            door.metric("moq_neighbours", "") == 0.0
        })
        .await;
        // The right papers are still right.
        let mut session = Impostor::neighbour(&door, &member).await;
        session.say(&[member.hello(SEQ.epoch)]).await;
        within(
            "taken in",
            until("a neighbour", || door.metric("moq_neighbours", "") == 1.0),
        )
        .await;
        assert!(session.is_open());
    });
}

#[test]
fn a_storm_of_dials_leaves_one_session_and_is_counted() {
    run(async {
        let mesh = Mesh::new();
        let door = mesh.start(&[]);
        let member = Member::of(mesh.member().path());
        let mut sessions = Vec::new();
        for _ in 0..5 {
            sessions.push(Impostor::neighbour(&door, &member).await);
        }
        within(
            "the older ones are over",
            until("one", || door.metric("moq_sessions", "role=\"neighbour\"") == 1.0),
        )
        .await;
        assert_eq!(door.metric("moq_mesh_refusals", "second_session"), 4.0);
        assert_eq!(door.metric("moq_neighbours", ""), 1.0);
        assert_eq!(door.metric("moq_sessions", "role=\"client\""), 0.0);
        assert!(
            sessions.last().is_some_and(Impostor::is_open),
            "the newest is kept"
        );
    });
}
