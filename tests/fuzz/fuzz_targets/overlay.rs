//! Three overlays in a line under any operations, the outer two with a neighbour that says anything: well-formed, forged,
//! replayed, bent. What is due to neighbours is bounded, who keeps the rules is never put out, and when the wild ones are gone
//! everything that was announced is known and has a route.

#![no_main]

#[path = "overlay/draw.rs"]
mod draw;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use draw::{HONEST, WILD, entry, id, signature};
use headwater_relay::overlay::core::{
    Feed, Identity, Input, Keys, Misconduct, Output, Overlay, Unsigned, Vitals,
};
use headwater_relay::overlay::id::{Neighbour, NodeId};
use headwater_relay::overlay::message::{
    AliasWriter, Credential, Entry, Hello, MAX_OBJECT, ObjectWriter, Record, Roles, Signature, VERSION,
};
use headwater_relay::overlay::routes::{Config, Limits};
use headwater_relay::overlay::upstream::Track;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

/// Objects due to one neighbour at one time.
const MAX_FLUSH: usize = 64;
/// Outputs that follow from one input.
const MAX_OUTPUTS: usize = 2_000;
/// Objects that are kept to be replayed.
const KEPT: usize = 16;

/// Every signature of a node is the same: what the machine does with true and false ones is the question here.
#[derive(Debug)]
struct Toy(NodeId);

impl Keys for Toy {
    fn sign(&self, _bytes: &[u8]) -> Signature {
        signature(self.0)
    }

    fn verify(&self, node: NodeId, _bytes: &[u8], theirs: &Signature) -> bool {
        signature(node) == *theirs
    }

    fn may_announce(&self, _node: NodeId, _entry: &Entry) -> bool {
        true
    }

    fn is_member(&self, node: NodeId) -> bool {
        node != id(draw::EXPELLED)
    }

    fn learn(&self, credential: &Credential) -> core::result::Result<Option<NodeId>, Unsigned> {
        match credential {
            Credential::Certificate(bytes) => match bytes.first() {
                Some(0) | None => Err(Unsigned),
                Some(&number) => Ok(Some(id(number))),
            },
            Credential::Revocation(_) => Ok(None),
        }
    }

    fn credential(&self, node: NodeId) -> Option<Credential> {
        Some(Credential::Certificate(Bytes::copy_from_slice(&node.0[..1])))
    }

    fn credentialed(&self) -> BTreeSet<NodeId> {
        (1..=4).map(id).collect()
    }
}

/// Small, so that a few operations reach them.
fn config() -> Config {
    Config {
        limits: Limits {
            rows: 40,
            requests: 20,
            origins_per_neighbour: 12,
            origins: 16,
            ..Limits::default()
        },
        ..Config::default()
    }
}

/// Rows that a neighbour got in before it was put out.
#[derive(Default)]
struct Wild {
    session: Option<Neighbour>,
    since: Duration,
    aliases: AliasWriter,
    rows: u32,
}

struct Node {
    core: Overlay,
    announced: BTreeSet<Entry>,
    remote: BTreeSet<Entry>,
    wild: Wild,
    tracks: BTreeMap<u64, BTreeSet<Neighbour>>,
}

/// The session between a node and the next one.
#[derive(Default)]
struct Link {
    sessions: Option<[Neighbour; 2]>,
    sent: [VecDeque<Bytes>; 2],
}

struct World {
    now: Duration,
    nodes: Vec<Node>,
    links: [Link; 2],
    sessions: u64,
    kept: VecDeque<Bytes>,
}

impl World {
    fn new() -> Self {
        let node = |number: u8| Node {
            core: Overlay::new(
                Identity {
                    node: id(number),
                    epoch: 2,
                    run: u64::from(number),
                    roles: Roles::RELAY,
                    price: 0,
                    keys: Arc::new(Toy(id(number))),
                    wall_ms: 1_000_000,
                },
                config(),
            )
            .seeking(u64::from(number), vec!["moqt://127.0.0.1:1".to_owned()]),
            announced: BTreeSet::new(),
            remote: BTreeSet::new(),
            wild: Wild::default(),
            tracks: BTreeMap::new(),
        };
        Self {
            now: Duration::ZERO,
            nodes: HONEST.map(node).into_iter().collect(),
            links: Default::default(),
            sessions: 0,
            kept: VecDeque::new(),
        }
    }

    fn session(&mut self) -> Neighbour {
        self.sessions += 1;
        Neighbour(self.sessions)
    }

    fn feed(&mut self, node: usize, input: Input) {
        self.nodes[node].core.handle(self.now, input);
        self.drain(node);
    }

    fn drain(&mut self, node: usize) {
        let mut ended = Vec::new();
        for count in 0.. {
            let Some(output) = self.nodes[node].core.poll() else {
                break;
            };
            assert!(count < MAX_OUTPUTS, "so much follows from one input");
            match output {
                Output::Ready { neighbour } => self.write(node, neighbour),
                Output::Pull {
                    track,
                    neighbour,
                    wanted,
                    ..
                } => {
                    let from = self.nodes[node].tracks.entry(track.0).or_default();
                    if wanted {
                        from.insert(neighbour);
                    } else {
                        from.remove(&neighbour);
                    }
                }
                Output::Remote { entry, present } => {
                    let remote = &mut self.nodes[node].remote;
                    let changed = if present {
                        remote.insert(entry)
                    } else {
                        remote.remove(&entry)
                    };
                    assert!(changed, "node {node} is told what it knows");
                }
                Output::Close { neighbour, reason } => ended.push((neighbour, reason)),
                Output::Surplus { neighbour } => panic!("{neighbour} was not dialled here"),
                Output::NotAnnounced { entry, error } => panic!("{entry:?}: {error}"),
                _ => {}
            }
        }
        for (neighbour, reason) in ended {
            self.put_out(node, neighbour, &reason);
        }
    }

    fn put_out(&mut self, node: usize, neighbour: Neighbour, reason: &Misconduct) {
        let wild = &mut self.nodes[node].wild;
        if wild.session == Some(neighbour) {
            *wild = Wild::default();
            self.feed(node, Input::NeighbourDown { neighbour });
            return;
        }
        let honest = self.links.iter().filter_map(|link| link.sessions).flatten();
        assert!(
            !honest.clone().any(|it| it == neighbour),
            "node {node} puts an honest one out: {reason}"
        );
    }

    /// Everything that is due to a neighbour.
    fn write(&mut self, node: usize, neighbour: Neighbour) {
        for count in 0.. {
            let Some(object) = self.nodes[node].core.gossip(neighbour) else {
                return;
            };
            assert!(count < MAX_FLUSH, "so much is due at once");
            assert!(!object.is_empty() && object.len() <= MAX_OBJECT);
            if self.kept.len() == KEPT {
                self.kept.pop_front();
            }
            self.kept.push_back(object.clone());
            for link in &mut self.links {
                if let Some(sessions) = link.sessions
                    && let Some(end) = sessions.iter().position(|&session| session == neighbour)
                {
                    link.sent[end].push_back(object.clone());
                }
            }
        }
    }

    fn connect(&mut self, link: usize) {
        let sessions = [self.session(), self.session()];
        self.links[link] = Link {
            sessions: Some(sessions),
            ..Link::default()
        };
        for (end, neighbour) in sessions.into_iter().enumerate() {
            let node = self.nodes[link + 1 - end].core.node();
            self.feed(link + end, Input::NeighbourUp { neighbour, node });
        }
    }

    fn disconnect(&mut self, link: usize) {
        let sessions = std::mem::take(&mut self.links[link]).sessions;
        for (end, neighbour) in sessions.into_iter().flatten().enumerate() {
            self.feed(link + end, Input::NeighbourDown { neighbour });
        }
    }

    /// Carries what is said between the honest, until nothing is.
    fn deliver(&mut self) {
        for round in 0.. {
            let mut moved = false;
            for link in 0..self.links.len() {
                for end in 0..2 {
                    while let Some(object) = self.links[link].sent[end].pop_front() {
                        moved = true;
                        let Some(sessions) = self.links[link].sessions else {
                            continue;
                        };
                        let neighbour = sessions[1 - end];
                        self.feed(link + 1 - end, Input::Gossip { neighbour, object });
                    }
                }
            }
            if !moved {
                return;
            }
            assert!(round < 1_000, "they never stop talking");
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        let mut at_once = 0;
        loop {
            self.deliver();
            let next = self.nodes.iter().filter_map(|node| node.core.deadline()).min();
            let Some(next) = next.filter(|&at| at <= until) else {
                break;
            };
            at_once = if next > self.now { 0 } else { at_once + 1 };
            assert!(at_once < 1_000, "a deadline that stays");
            self.now = self.now.max(next);
            for node in 0..self.nodes.len() {
                if self.nodes[node].core.deadline().is_some_and(|at| at <= self.now) {
                    self.feed(node, Input::Tick);
                }
            }
        }
        self.now = until;
        (0..self.nodes.len()).for_each(|node| self.feed(node, Input::Tick));
        self.deliver();
    }

    fn check(&self) {
        let limits = config().limits;
        for node in &self.nodes {
            // And its own.
            assert!(node.core.routes().count() <= limits.origins + 1);
            let seconds = (self.now - node.wild.since).as_secs() + 1;
            let most = u64::from(limits.rows) * (seconds + 1);
            assert!(node.wild.session.is_none() || u64::from(node.wild.rows) <= most);
            let sessions: BTreeSet<_> = node.core.neighbours().map(|view| view.neighbour).collect();
            assert!(sessions.len() <= 3);
            for from in node.tracks.values() {
                assert!(from.is_subset(&sessions), "pulls from who is gone");
            }
        }
    }

    /// The wild neighbour of an outer node comes, as itself or as the node at the other end.
    fn admit(&mut self, u: &mut Unstructured<'_>, node: usize) -> Result<()> {
        let neighbour = self.session();
        let number = WILD[node];
        self.nodes[node].wild = Wild {
            session: Some(neighbour),
            since: self.now,
            ..Wild::default()
        };
        self.feed(
            node,
            Input::NeighbourUp {
                neighbour,
                node: id(number),
            },
        );
        if u.ratio(7, 8)? {
            let hello = Hello {
                version: VERSION,
                node: id(number),
                epoch: u.int_in_range(0..=4)?,
                roles: Roles::RELAY,
                price: u.arbitrary()?,
                features: u.arbitrary()?,
            };
            self.utter(u, node, &[Record::Hello(hello)])?;
        }
        Ok(())
    }

    fn wild(&mut self, u: &mut Unstructured<'_>, node: usize) -> Result<()> {
        let Some(neighbour) = self.nodes[node].wild.session else {
            return self.admit(u, node);
        };
        match u.int_in_range(0..=15_u8)? {
            0 => {
                self.nodes[node].wild = Wild::default();
                self.feed(node, Input::NeighbourDown { neighbour });
            }
            1 if !self.kept.is_empty() => {
                let object = self.kept[u.choose_index(self.kept.len())?].clone();
                self.feed(node, Input::Gossip { neighbour, object });
            }
            2 => {
                let len = u.int_in_range(0..=64)?;
                let object = Bytes::copy_from_slice(u.bytes(len)?);
                self.feed(node, Input::Gossip { neighbour, object });
            }
            _ => {
                let count = u.int_in_range(1..=4_u8)?;
                let records = (0..count)
                    .map(|_| draw::record(u, WILD[node]))
                    .collect::<Result<Vec<_>>>()?;
                self.utter(u, node, &records)?;
            }
        }
        Ok(())
    }

    /// Says records as they should be said, now and then with one byte bent.
    fn utter(&mut self, u: &mut Unstructured<'_>, node: usize, records: &[Record]) -> Result<()> {
        let wild = &mut self.nodes[node].wild;
        let Some(neighbour) = wild.session else {
            return Ok(());
        };
        let mut object = ObjectWriter::new(&mut wild.aliases, MAX_OBJECT);
        for record in records {
            // Some cannot be said at all.
            let _said = object.push(record).is_ok();
            if let Record::Route(rows) = record {
                wild.rows += u32::try_from(rows.len()).unwrap_or(u32::MAX);
            }
        }
        let mut object = object.finish().to_vec();
        if u.ratio(1, 16)? && !object.is_empty() {
            let at = u.choose_index(object.len())?;
            object[at] ^= u.arbitrary::<u8>()?;
            // Bent rows may be fewer.
            wild.rows = 0;
        }
        let object = object.into();
        self.feed(node, Input::Gossip { neighbour, object });
        Ok(())
    }

    fn neighbour(&self, u: &mut Unstructured<'_>, node: usize) -> Result<Neighbour> {
        let all: Vec<_> = self.nodes[node]
            .core
            .neighbours()
            .map(|view| view.neighbour)
            .collect();
        Ok(if all.is_empty() || u.ratio(1, 16)? {
            Neighbour(u.int_in_range(0..=self.sessions)?)
        } else {
            *u.choose(&all)?
        })
    }

    /// What the sessions, the hub and people want of a node.
    fn local(&mut self, u: &mut Unstructured<'_>, node: usize) -> Result<()> {
        let neighbour = self.neighbour(u, node)?;
        let track = Track(u.int_in_range(0..=3)?);
        let origin = draw::node(u)?;
        let input = match u.int_in_range(0..=15_u8)? {
            0..=2 => {
                let (entry, present) = (entry(u)?, u.ratio(2, 3)?);
                let announced = &mut self.nodes[node].announced;
                if present {
                    announced.insert(entry.clone());
                } else {
                    announced.remove(&entry);
                }
                Input::Announce { entry, present }
            }
            3 | 4 => Input::Want {
                track,
                name: draw::track(),
                origin,
            },
            5 => Input::Unwant { track },
            6 => Input::Established { track, neighbour },
            7 => Input::Lost { track, neighbour },
            8 => Input::Seen {
                track,
                neighbour,
                newest: (u.int_in_range(0..=9)?, u.int_in_range(0..=9)?),
            },
            9 => {
                let feed = if u.arbitrary()? {
                    Feed::Normal
                } else {
                    Feed::Tentative
                };
                let present = self.nodes[node].core.admit_child(origin, feed).is_ok() && u.arbitrary()?;
                Input::Child {
                    neighbour,
                    origin,
                    present,
                }
            }
            10 => Input::Suspect {
                neighbour,
                suspect: u.arbitrary()?,
            },
            11 => Input::Packets {
                neighbour,
                sent: u.int_in_range(0..=100_000)?,
                lost: u.int_in_range(0..=100_000)?,
                active: u.arbitrary()?,
            },
            12 => Input::Trace {
                request: u.arbitrary()?,
                origin,
            },
            13 => Input::Survey,
            14 => Input::Standing { node: origin },
            _ => match u.int_in_range(0..=3_u8)? {
                0 => Input::Remember {
                    records: draw::peers(u)?,
                },
                1 => Input::DialFailed { node: origin },
                2 => Input::Leaving { neighbour },
                _ => Input::Vitals(Vitals {
                    pulls: draw::pulls(u)?,
                    ..Vitals::default()
                }),
            },
        };
        self.feed(node, input);
        Ok(())
    }

    fn act(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let node = u.int_in_range(0..=2_usize)?;
        match u.int_in_range(0..=15_u8)? {
            0..=7 if node != 1 => self.wild(u, node)?,
            8 | 9 => self.pass(Duration::from_millis(u.int_in_range(0..=50)?)),
            10 => self.pass(Duration::from_millis(u.int_in_range(0..=5_000)?)),
            11 => {
                let link = u.int_in_range(0..=1)?;
                if self.links[link].sessions.is_some() {
                    self.disconnect(link);
                } else {
                    self.connect(link);
                }
            }
            12 => self.deliver(),
            _ => self.local(u, node)?,
        }
        self.check();
        Ok(())
    }

    /// Without the wild ones, and after quiet time, all is known and can be reached.
    fn finish(mut self) {
        for node in 0..self.nodes.len() {
            if let Some(neighbour) = std::mem::take(&mut self.nodes[node].wild).session {
                self.feed(node, Input::NeighbourDown { neighbour });
            }
        }
        for link in 0..self.links.len() {
            self.disconnect(link);
            self.connect(link);
        }
        self.pass(Duration::from_secs(120));
        for node in &self.nodes {
            for other in self
                .nodes
                .iter()
                .filter(|other| other.core.node() != node.core.node())
            {
                let origin = other.core.node();
                let route = node.core.route(origin);
                assert_eq!(
                    route.entries,
                    other.announced.len(),
                    "{} of {origin}",
                    node.core.node()
                );
                let routed = route.primary.is_some();
                assert_eq!(
                    routed,
                    !other.announced.is_empty(),
                    "{} to {origin}",
                    node.core.node()
                );
                for entry in &other.announced {
                    assert!(node.remote.contains(entry));
                }
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let u = &mut Unstructured::new(data);
    let mut world = World::new();
    (0..2).for_each(|link| world.connect(link));
    while !u.is_empty() && world.act(u).is_ok() {}
    world.finish();
});
