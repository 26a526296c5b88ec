//! A scripted neighbour: a session that speaks gossip as a member does, and says what it is told to.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use headwater_certs::mesh::{Context, EXPORTER_LABEL, Exporter, Membership, NodeIdentity, Proof, Role};
use headwater_certs::{ClientTrust, StateDir, client_config};
use headwater_pubsub::net::{
    Clock, DataEvent, Dialer, Handler, ObjectReceiver, ObjectStream, QuicLimits, SessionEnd, SessionHandle,
    Sink, object_queue,
};
use headwater_pubsub::session::{Accepted, Event, IncomingRequest, Limits, RequestKey, Session, Side};
use headwater_pubsub::wire::control::{RequestError, Setup};
use headwater_pubsub::wire::data::{SubgroupHeader, SubgroupId};
use headwater_pubsub::wire::{
    FullTrackName, Parameters, Properties, SessionCode, StreamCode, Token, TrackName, TrackNamespace,
};
use headwater_relay::overlay::id::{Distance, Neighbour, NodeId, Seq};
use headwater_relay::overlay::logs;
use headwater_relay::overlay::message::{
    AliasWriter, Attributes, Beacon, Entry, Fit, Hash, Hello, MAX_OBJECT, ObjectWriter, Record, Roles, Row,
    Signature, VERSION,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::broadcast::within;
use crate::running::Running;

const OPTION: u64 = 0x4857_0100;
const PROOF_TOKEN: u64 = 0x4857_0000;
const OVERLAY: Context = Context::new("overlay record");
/// Gossip that the node sends and nobody looks at.
const QUEUE: u32 = 16 << 20;

/// What a proof is made of.
pub(crate) type Papers = Box<dyn Fn(&Exporter) -> Vec<u8> + Send + Sync>;

/// A member by its state directory.
pub(crate) struct Member {
    pub(crate) membership: Membership,
    pub(crate) identity: Arc<NodeIdentity>,
}

impl Member {
    pub(crate) fn of(dir: &std::path::Path) -> Self {
        let state = StateDir::create(dir).expect("there");
        let membership = Membership::from_state(&state)
            .expect("readable")
            .expect("a member");
        Self {
            identity: Arc::clone(membership.identity()),
            membership,
        }
    }

    pub(crate) fn id(&self) -> NodeId {
        NodeId(*self.membership.node().as_bytes())
    }

    /// What it shows to a node that it dialled.
    pub(crate) fn papers(&self) -> Papers {
        let membership = self.membership.clone();
        Box::new(move |exporter| membership.prove(exporter, Role::Client).encode())
    }

    /// HELLO as this node says it.
    pub(crate) fn hello(&self, epoch: u64) -> Record {
        Record::Hello(Hello {
            version: VERSION,
            node: self.id(),
            epoch,
            roles: Roles::RELAY,
            price: 0,
            features: 0,
        })
    }

    /// A beacon about `origin`, signed by this member whoever that is.
    pub(crate) fn beacon(&self, origin: NodeId, seq: Seq) -> Record {
        let mut beacon = Beacon {
            origin,
            seq,
            log_version: 0,
            log_head: Hash([0; 32]),
            time_ms: seq.epoch,
            signature: Signature([0; 64]),
        };
        beacon.signature = Signature(self.identity.sign(OVERLAY, &beacon.signed_bytes()).0);
        Record::Beacon(beacon)
    }
}

/// The key of a member, for its log.
struct Signing(Arc<NodeIdentity>);

impl logs::Sign for Signing {
    fn sign(&self, bytes: &[u8]) -> Signature {
        Signature(self.0.sign(OVERLAY, bytes).0)
    }
}

struct Believing;

impl logs::Verify for Believing {
    fn verify(&self, _: NodeId, _: &[u8], _: Signature) -> bool {
        true
    }

    fn may_announce(&self, _: NodeId, _: &Entry) -> bool {
        true
    }
}

/// A subscription of the node to a track of the neighbour, accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    key: RequestKey,
    alias: u64,
}

/// What the session says to the story.
enum Told {
    Alias(u64),
    Wanted(Wanted),
    Unwanted(RequestKey, Option<StreamCode>),
    Accepted(RequestKey),
    Refused(RequestError),
}

struct Script {
    papers: Papers,
    told: mpsc::Sender<Told>,
    /// The last exporter and proof, for whoever wants to use them again.
    shown: Mutex<Option<Vec<u8>>>,
}

impl Handler for Script {
    fn event(&self, session: &SessionHandle, event: Event) {
        let told = match event {
            Event::Established(_) => {
                let exporter = session
                    .export_keying_material(EXPORTER_LABEL, b"")
                    .map(Exporter)
                    .expect("an exporter");
                let value = (self.papers)(&exporter);
                *self.shown.lock().expect("whole") = Some(value.clone());
                let parameters = Parameters {
                    authorization_tokens: vec![Token::UseValue {
                        kind: PROOF_TOKEN,
                        value: value.into(),
                    }],
                    ..Parameters::default()
                };
                session
                    .act(|session, _| session.subscribe(gossip_track(), parameters))
                    .expect("both speak gossip");
                return;
            }
            Event::Request {
                key,
                request: IncomingRequest::Subscribe { track, .. },
                ..
            } => {
                let alias = session
                    .act(|session, _| {
                        session.accept_subscribe(key, Parameters::default(), Properties::empty())
                    })
                    .expect("asked");
                if track == gossip_track() {
                    Told::Alias(alias)
                } else {
                    Told::Wanted(Wanted { key, alias })
                }
            }
            Event::Cancelled { key, code } => Told::Unwanted(key, code),
            Event::Accepted {
                key,
                answer: Accepted::Subscribe { .. },
            } => Told::Accepted(key),
            Event::Rejected { error, .. } => Told::Refused(error),
            _ => return,
        };
        // Room for all that a story is told.
        self.told.try_send(told).expect("room");
    }

    fn data(&self, _: &SessionHandle, _: DataEvent) {}
}

fn gossip_track() -> FullTrackName {
    let namespace = TrackNamespace::new([".session"]).expect("short");
    FullTrackName::new(namespace, TrackName::new("headwater-gossip").expect("short")).expect("short")
}

/// Of the first group of a track.
const fn header(track_alias: u64) -> SubgroupHeader {
    SubgroupHeader {
        track_alias,
        group: 0,
        subgroup: SubgroupId::Zero,
        priority: Some(0),
        has_properties: false,
        end_of_group: false,
        first_object: true,
    }
}

/// A session as it is before anybody is believed.
pub(crate) struct Impostor {
    pub(crate) handle: SessionHandle,
    script: Arc<Script>,
    told: mpsc::Receiver<Told>,
    driver: JoinSet<SessionEnd>,
    aliases: AliasWriter,
    stream: Option<ObjectStream>,
    next: u64,
    _gossip: Option<ObjectReceiver>,
}

impl Impostor {
    /// Dials a node and shows these papers.
    pub(crate) async fn dial(node: &Running, papers: Papers) -> Self {
        let tls = client_config(&ClientTrust::Insecure, &[]).expect("settings");
        let dialer = Dialer::new(
            headwater_pubsub::net::client().expect("a socket"),
            tls,
            QuicLimits::default(),
        );
        let url = format!("moqt://{}/", node.address).parse().expect("a URL");
        let transport = dialer.dial(&url).await.expect("a connection");
        let setup = Setup {
            path: Some("/".into()),
            authority: Some(node.address.to_string().into()),
            extensions: Properties::builder()
                .int(OPTION, VERSION)
                .build()
                .expect("one option"),
            ..Setup::default()
        };
        let handle = SessionHandle::with_extension(
            transport,
            Clock::new(),
            Side::Client,
            setup,
            Limits::default(),
            OPTION,
        )
        .expect("a short SETUP");
        let (tell, told) = mpsc::channel(64);
        let script = Arc::new(Script {
            papers,
            told: tell,
            shown: Mutex::new(None),
        });
        let mut driver = JoinSet::new();
        driver.spawn(handle.driver(script.clone()).run());
        Self {
            handle,
            script,
            told,
            driver,
            aliases: AliasWriter::default(),
            stream: None,
            next: 0,
            _gossip: None,
        }
    }

    /// A neighbour that is believed to be `member` and has said nothing yet.
    pub(crate) async fn neighbour(node: &Running, member: &Member) -> Self {
        let mut this = Self::dial(node, member.papers()).await;
        let (mut alias, mut accepted) = (None, None);
        while alias.is_none() || accepted.is_none() {
            match within("both sides are verified", this.told.recv())
                .await
                .expect("told")
            {
                Told::Alias(given) => alias = Some(given),
                Told::Accepted(key) => accepted = Some(key),
                Told::Refused(error) => panic!("refused: {error:?}"),
                Told::Wanted(_) | Told::Unwanted(..) => panic!("before HELLO"),
            }
        }
        let (sender, receiver) = object_queue(QUEUE);
        this.handle
            .receive(accepted.expect("accepted"), Sink::Reader(sender));
        this._gossip = Some(receiver);
        this.stream = Some(
            this.handle
                .open_object_stream(header(alias.expect("given")), 0)
                .await
                .expect("in session"),
        );
        this
    }

    /// Why its papers were not taken.
    pub(crate) async fn refused(&mut self) -> RequestError {
        loop {
            match within("an answer", self.told.recv()).await.expect("told") {
                Told::Refused(error) => return error,
                Told::Alias(_) | Told::Wanted(_) | Told::Unwanted(..) => {}
                Told::Accepted(_) => panic!("the papers were taken"),
            }
        }
    }

    /// What it showed.
    pub(crate) fn shown(&self) -> Vec<u8> {
        self.script
            .shown
            .lock()
            .expect("whole")
            .clone()
            .expect("SETUP came")
    }

    /// The node's next subscription to a track.
    pub(crate) async fn wanted(&mut self) -> Wanted {
        match within("a subscription", self.told.recv()).await.expect("told") {
            Told::Wanted(wanted) => wanted,
            _ => panic!("no subscription"),
        }
    }

    /// The node ends a subscription, with this code.
    pub(crate) async fn unwanted(&mut self, wanted: Wanted) -> Option<StreamCode> {
        match within("its end", self.told.recv()).await.expect("told") {
            Told::Unwanted(key, code) if key == wanted.key => code,
            _ => panic!("goes on"),
        }
    }

    /// Retracts the route to `origin`.
    pub(crate) async fn retract(&mut self, origin: NodeId, epoch: u64) {
        let row = Row {
            origin,
            seq: Seq { epoch, number: 1 },
            distance: None,
            full: false,
            reset: false,
            beacon_follows: false,
            log_version: 0,
        };
        self.say(&[Record::Route(vec![row])]).await;
    }

    /// Whether the story heard all that it was told.
    pub(crate) fn is_heard(&self) -> bool {
        self.told.is_empty()
    }

    /// Publishes a group of one object.
    pub(crate) async fn publish(&self, wanted: Wanted, group: u64) {
        let header = SubgroupHeader {
            group,
            end_of_group: true,
            ..header(wanted.alias)
        };
        let stream = self.handle.open_object_stream(header, 0).await;
        let mut stream = stream.expect("in session");
        stream.write(0, Bytes::from_static(b"x")).await.expect("taken");
        stream.finish().await.expect("taken");
    }

    /// GOAWAY on the stream of a subscription: it is to be made again.
    pub(crate) fn send_elsewhere(&self, wanted: Wanted) {
        let goaway = |session: &mut Session, now| {
            session.request_goaway(now, wanted.key, Bytes::new(), std::time::Duration::ZERO)
        };
        self.handle.act(goaway).expect("the first");
    }

    /// Says the log of `member`, who announces `entry`, behind its beacon and how far it is.
    pub(crate) async fn announce(
        &mut self,
        member: &Member,
        epoch: u64,
        distance: u64,
        entry: Option<Entry>,
    ) {
        let id = member.id();
        let (sign, verify) = (Box::new(Signing(member.identity.clone())), Box::new(Believing));
        let mut log = logs::Logs::new(id, epoch, logs::Limits::default(), sign, verify);
        let (now, node) = (std::time::Duration::ZERO, Neighbour(0));
        log.neighbour_up(now, node);
        let seq = Seq { epoch, number: 1 };
        let row = Row {
            origin: id,
            seq,
            distance: Distance::new(distance),
            full: false,
            reset: false,
            beacon_follows: true,
            log_version: 0,
        };
        self.say(&[member.beacon(id, seq), Record::Route(vec![row])])
            .await;
        if let Some(entry) = entry {
            let attributes = Attributes::default();
            log.announce(now, entry, attributes, logs::Scope::World)
                .expect("room");
            let mut object = ObjectWriter::new(&mut self.aliases, MAX_OBJECT);
            log.flush(now, node, &mut object);
            let object = object.finish();
            self.say_bytes(object).await;
        }
        self.say(&[Record::SnapshotEnd]).await;
    }

    /// Says these records in one object.
    pub(crate) async fn say(&mut self, records: &[Record]) {
        let object = self.object(records);
        self.say_bytes(object).await;
    }

    /// What these records would be as an object.
    pub(crate) fn object(&mut self, records: &[Record]) -> Bytes {
        let mut object = ObjectWriter::new(&mut self.aliases, MAX_OBJECT);
        for record in records {
            assert_eq!(object.push(record), Ok(Fit::In));
        }
        object.finish()
    }

    pub(crate) async fn say_bytes(&mut self, object: Bytes) {
        let stream = self.stream.as_mut().expect("a neighbour");
        // The node may have had enough already.
        let _closed = stream.write(self.next, object).await.is_err();
        self.next += 1;
    }

    /// Leaves an object out.
    pub(crate) fn skip(&mut self) {
        self.next += 1;
    }

    /// With which code and words the node closes.
    pub(crate) async fn closed(mut self) -> (SessionCode, String) {
        let end = within("the node closes", self.driver.join_next())
            .await
            .expect("one driver")
            .expect("no panic");
        match end {
            SessionEnd::Transport(headwater_pubsub::net::TransportClosed::Peer { code, reason }) => {
                (code, reason)
            }
            other => panic!("not closed by the node: {other:?}"),
        }
    }

    /// Still in session.
    pub(crate) fn is_open(&self) -> bool {
        !self.driver.is_empty() && self.handle.act(|session, _| !session.is_closed())
    }
}

/// A proof with this certificate by this key.
pub(crate) fn proof(
    certificate: headwater_certs::mesh::NodeCertificate,
    identity: Arc<NodeIdentity>,
    role: Role,
) -> Papers {
    Box::new(move |exporter| Proof::new(&certificate, &identity, exporter, role).encode())
}
