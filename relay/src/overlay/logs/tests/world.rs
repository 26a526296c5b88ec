//! Nodes with logs, links that delay and break, and routes from an oracle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use headwater_pubsub::wire::TrackNamespace;
use sha2::{Digest as _, Sha256};

use crate::overlay::id::{Neighbour, NodeId};
use crate::overlay::logs::*;
use crate::overlay::message::{AliasReader, AliasWriter, MAX_OBJECT, ObjectReader, ObjectWriter, Record};

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn id(node: usize) -> NodeId {
    NodeId([u8::try_from(node).unwrap() + 1; 32])
}

pub(super) fn namespace(text: &str) -> Entry {
    Entry::Namespace(TrackNamespace::new(text.split('/')).unwrap())
}

/// Signatures that anybody can make: what matters here is who checks what.
#[derive(Clone, Copy)]
pub(super) struct Keys(pub(super) NodeId);

fn signature(node: NodeId, bytes: &[u8]) -> Signature {
    let half: [u8; 32] = Sha256::new()
        .chain_update(node.0)
        .chain_update(bytes)
        .finalize()
        .into();
    let mut whole = [0; 64];
    whole[..32].copy_from_slice(&half);
    Signature(whole)
}

impl Sign for Keys {
    fn sign(&self, bytes: &[u8]) -> Signature {
        signature(self.0, bytes)
    }
}

impl Verify for Keys {
    fn verify(&self, node: NodeId, bytes: &[u8], theirs: Signature) -> bool {
        signature(node, bytes) == theirs
    }

    fn may_announce(&self, _node: NodeId, entry: &Entry) -> bool {
        *entry != namespace("forbidden")
    }
}

pub(super) fn logs(node: usize, epoch: u64, limits: Limits) -> Logs {
    let keys = Keys(id(node));
    Logs::new(id(node), epoch, limits, Box::new(keys), Box::new(keys))
}

#[derive(Default)]
struct Wire {
    writer: AliasWriter,
    reader: AliasReader,
    objects: VecDeque<(Duration, Bytes)>,
}

pub(super) struct World {
    pub(super) now: Duration,
    pub(super) nodes: Vec<Logs>,
    pub(super) limits: Limits,
    epochs: Vec<u64>,
    /// Delay of each undirected link, lower node first.
    pub(super) links: BTreeMap<(usize, usize), Duration>,
    /// Live sessions, both directions: the neighbour number at the first node, and what flies to the second.
    wires: BTreeMap<(usize, usize), (Neighbour, Wire)>,
    sessions: u64,
    /// What each node was told, by origin.
    pub(super) told: Vec<BTreeMap<NodeId, BTreeMap<Entry, Attributes>>>,
    heads: Vec<BTreeMap<NodeId, (u64, u64)>>,
    pub(super) refused: Vec<Refusal>,
    /// Changes that arrived anywhere.
    pub(super) changes_received: usize,
    pub(super) bytes_received: usize,
}

impl World {
    pub(super) fn new(count: usize, limits: Limits) -> Self {
        Self {
            now: Duration::ZERO,
            nodes: (0..count).map(|node| logs(node, 1, limits)).collect(),
            limits,
            epochs: vec![1; count],
            links: BTreeMap::new(),
            wires: BTreeMap::new(),
            sessions: 0,
            told: vec![BTreeMap::new(); count],
            heads: vec![BTreeMap::new(); count],
            refused: Vec::new(),
            changes_received: 0,
            bytes_received: 0,
        }
    }

    pub(super) fn connect(&mut self, a: usize, b: usize, delay: Duration) {
        let (a, b) = (a.min(b), a.max(b));
        if a == b || self.links.insert((a, b), delay).is_some() {
            return;
        }
        for (x, y) in [(a, b), (b, a)] {
            self.sessions += 1;
            let neighbour = Neighbour(self.sessions);
            self.wires.insert((x, y), (neighbour, Wire::default()));
            self.nodes[x].neighbour_up(self.now, neighbour);
        }
        self.settle();
        self.route();
    }

    pub(super) fn cut(&mut self, a: usize, b: usize) {
        let (a, b) = (a.min(b), a.max(b));
        if self.links.remove(&(a, b)).is_none() {
            return;
        }
        for (x, y) in [(a, b), (b, a)] {
            let (neighbour, _) = self.wires.remove(&(x, y)).unwrap();
            self.nodes[x].neighbour_down(self.now, neighbour);
        }
        self.settle();
        self.route();
    }

    /// The node loses all it knew.
    pub(super) fn restart(&mut self, node: usize) {
        let links: Vec<_> = self
            .links
            .keys()
            .copied()
            .filter(|(a, b)| *a == node || *b == node)
            .collect();
        for (a, b) in links {
            self.cut(a, b);
        }
        self.epochs[node] += 1;
        self.nodes[node] = logs(node, self.epochs[node], self.limits);
        self.told[node].clear();
        self.heads[node].clear();
        self.route();
    }

    pub(super) fn announce(&mut self, node: usize, entry: Entry) {
        self.nodes[node]
            .announce(self.now, entry, Attributes::default(), Scope::World)
            .unwrap();
        self.settle();
        self.route();
    }

    pub(super) fn withdraw(&mut self, node: usize, entry: &Entry) {
        self.nodes[node].withdraw(self.now, entry).unwrap();
        self.settle();
    }

    /// Delay from every node to `origin` and the next hop on the way, by shortest path.
    pub(super) fn paths(&self, origin: usize) -> BTreeMap<usize, (Duration, usize)> {
        let mut paths = BTreeMap::new();
        let mut open = BTreeSet::from([(Duration::ZERO, origin, origin)]);
        while let Some((delay, node, next)) = open.pop_first() {
            if paths.contains_key(&node) {
                continue;
            }
            paths.insert(node, (delay, next));
            for (&(a, b), &length) in &self.links {
                if a == node {
                    open.insert((delay + length, b, node));
                } else if b == node {
                    open.insert((delay + length, a, node));
                }
            }
        }
        paths
    }

    /// Tells all nodes their routes to all origins, as a routing protocol that is done would.
    fn route(&mut self) {
        for origin in 0..self.nodes.len() {
            let is_origin = self.nodes[origin].head(id(origin)).is_some();
            let paths = if is_origin {
                self.paths(origin)
            } else {
                BTreeMap::new()
            };
            for node in (0..self.nodes.len()).filter(|node| *node != origin) {
                let next = paths.get(&node).map(|&(_, next)| next);
                let primary = next.map(|next| self.wires[&(node, next)].0);
                self.nodes[node].route_changed(self.now, id(origin), primary);
            }
        }
        self.settle();
    }

    /// Carries out what the nodes want at this moment.
    fn settle(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.settle_node(node));
    }

    fn settle_node(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].poll() {
            match output {
                Output::Ready(neighbour) => self.flush(node, neighbour),
                Output::NamespaceUp {
                    origin,
                    entry,
                    attributes,
                } => {
                    self.told[node]
                        .entry(origin)
                        .or_default()
                        .insert(entry, attributes);
                }
                Output::NamespaceDown { origin, entry } => {
                    assert!(
                        self.told[node]
                            .entry(origin)
                            .or_default()
                            .remove(&entry)
                            .is_some()
                    );
                }
                Output::Refused { reason, .. } => self.refused.push(reason),
                Output::EpochTaken(epoch) => panic!("epoch {epoch} of node {node} is taken"),
            }
        }
        for origin in 0..self.nodes.len() {
            let at = self.nodes[node]
                .head(id(origin))
                .map(|(epoch, version, _)| (epoch, version));
            let before = self.heads[node].insert(id(origin), at.unwrap_or_default());
            assert!(
                at.is_none() || before.unwrap_or_default() <= at.unwrap_or_default(),
                "a log went back"
            );
        }
    }

    fn flush(&mut self, node: usize, neighbour: Neighbour) {
        let found = self
            .wires
            .iter_mut()
            .find(|((from, _), (number, _))| *from == node && *number == neighbour);
        let Some((&(_, to), (_, wire))) = found else {
            return;
        };
        let delay = self.links[&(node.min(to), node.max(to))];
        let mut object = ObjectWriter::new(&mut wire.writer, MAX_OBJECT);
        self.nodes[node].flush(self.now, neighbour, &mut object);
        let object = object.finish();
        if !object.is_empty() {
            wire.objects.push_back((self.now + delay, object));
        }
    }

    fn deliver(&mut self, from: usize, to: usize) {
        let back = self.wires[&(to, from)].0;
        let (_, wire) = self.wires.get_mut(&(from, to)).unwrap();
        let (_, object) = wire.objects.pop_front().unwrap();
        self.bytes_received += object.len();
        let mut records = Vec::new();
        let mut reader = ObjectReader::new(&mut wire.reader, object).unwrap();
        while let Some(record) = reader.poll().unwrap() {
            records.push(record);
        }
        let node = &mut self.nodes[to];
        for record in records {
            match record {
                Record::LogHave(haves) => haves.into_iter().for_each(|have| node.have(self.now, back, have)),
                Record::LogPush(push) => {
                    self.changes_received += push.changes.len();
                    node.push(self.now, back, push);
                }
                Record::LogPull(pull) => node.pull(self.now, back, pull),
                Record::LogPrune(origin) => node.prune(self.now, back, origin),
                Record::LogGraft(origin) => node.graft(self.now, back, origin),
                other => panic!("{other:?}"),
            }
        }
        self.settle_node(to);
    }

    /// Lets time pass, with all that happens in it.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.settle();
        loop {
            let wires = self
                .wires
                .iter()
                .filter_map(|(&link, (_, wire))| Some((wire.objects.front()?.0, Some(link))));
            let timers = self
                .nodes
                .iter()
                .filter_map(|node| Some((node.deadline()?, None)));
            let Some((at, link)) = wires
                .chain(timers)
                .min_by_key(|(at, _)| *at)
                .filter(|(at, _)| *at <= end)
            else {
                break;
            };
            self.now = self.now.max(at);
            if let Some((from, to)) = link {
                self.deliver(from, to);
            } else {
                self.nodes.iter_mut().for_each(|node| node.tick(self.now));
                self.settle();
            }
        }
        self.now = end;
        self.nodes.iter_mut().for_each(|node| node.tick(end));
        self.settle();
    }

    /// I5: after quiet every node's log of each reachable origin is the origin's, and is what it shows.
    pub(super) fn check_quiet(&self) {
        for origin in 0..self.nodes.len() {
            let theirs = self.nodes[origin].head(id(origin));
            let shown: BTreeMap<_, _> = self.nodes[origin]
                .shown(id(origin))
                .map(|(e, a)| (e.clone(), a.clone()))
                .collect();
            let paths = self.paths(origin);
            for node in 0..self.nodes.len() {
                let told = self.told[node].get(&id(origin)).cloned().unwrap_or_default();
                if paths.contains_key(&node) && theirs.is_some() {
                    assert_eq!(
                        self.nodes[node].head(id(origin)),
                        theirs,
                        "node {node}, origin {origin}"
                    );
                    assert_eq!(told, shown, "node {node}, origin {origin}");
                } else if !paths.contains_key(&node) {
                    assert!(told.is_empty(), "node {node} shows unreachable {origin}");
                }
            }
        }
    }
}
