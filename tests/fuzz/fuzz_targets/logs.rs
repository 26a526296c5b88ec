//! The logs of two nodes under any operations, and of one under any records. Bounds hold, what is announced matches what is
//! shown, and after quiet both hold the same.

#![no_main]

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use headwater_pubsub::wire::TrackNamespace;
use headwater_relay::overlay::id::{Neighbour, NodeId};
use headwater_relay::overlay::logs::{Limits, Logs, Output, Scope, Sign, Verify};
use headwater_relay::overlay::message::{
    AliasReader, AliasWriter, Attributes, Entry, Have, LogPull, MAX_OBJECT, ObjectReader, ObjectWriter,
    Record, Signature,
};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

/// Every signature of a node is the same: what the machine does with true ones is the question here.
struct Keys(NodeId);

impl Sign for Keys {
    fn sign(&self, _bytes: &[u8]) -> Signature {
        Signature([self.0.0[0]; 64])
    }
}

impl Verify for Keys {
    fn verify(&self, node: NodeId, _bytes: &[u8], signature: Signature) -> bool {
        signature == Signature([node.0[0]; 64])
    }

    fn may_announce(&self, _node: NodeId, _entry: &Entry) -> bool {
        true
    }
}

struct Node {
    id: NodeId,
    logs: Logs,
    shown: BTreeSet<(NodeId, Entry)>,
    writer: AliasWriter,
    reader: AliasReader,
    session: Neighbour,
    inbox: Vec<Bytes>,
}

/// The wild neighbour has this number at every node.
const WILD: Neighbour = Neighbour(0);

fn limits() -> Limits {
    Limits {
        origins: 6,
        bytes: 64 << 10,
        compact_from: 4,
        ..Limits::default()
    }
}

fn node(number: u8, epoch: u64) -> Node {
    let id = NodeId([number; 32]);
    Node {
        id,
        logs: Logs::new(id, epoch, limits(), Box::new(Keys(id)), Box::new(Keys(id))),
        shown: BTreeSet::new(),
        writer: AliasWriter::default(),
        reader: AliasReader::default(),
        session: Neighbour(1),
        inbox: Vec::new(),
    }
}

struct World {
    now: Duration,
    nodes: [Node; 2],
    connected: bool,
    sessions: u64,
    wild: AliasReader,
}

fn handle(logs: &mut Logs, now: Duration, from: Neighbour, record: Record) {
    match record {
        Record::LogHave(haves) => haves.into_iter().for_each(|have| logs.have(now, from, have)),
        Record::LogPush(push) => logs.push(now, from, push),
        Record::LogPull(pull) => logs.pull(now, from, pull),
        Record::LogPrune(origin) => logs.prune(now, from, origin),
        Record::LogGraft(origin) => logs.graft(now, from, origin),
        _ => {}
    }
}

fn entry(u: &mut Unstructured<'_>) -> Result<Entry> {
    let fields = [b"n".to_vec(), vec![u.int_in_range(b'a'..=b'h')?]];
    Ok(Entry::Namespace(TrackNamespace::new(fields).expect("short")))
}

impl World {
    fn disconnect(&mut self) {
        self.connected = false;
        for node in &mut self.nodes {
            node.logs.neighbour_down(self.now, node.session);
            node.inbox.clear();
        }
        self.route();
    }

    fn connect(&mut self) {
        self.connected = true;
        self.sessions += 1;
        for node in &mut self.nodes {
            (node.writer, node.reader) = (AliasWriter::default(), AliasReader::default());
            node.session = Neighbour(self.sessions);
            node.logs.neighbour_up(self.now, node.session);
        }
        self.route();
    }

    fn route(&mut self) {
        let ids = [self.nodes[0].id, self.nodes[1].id];
        for (node, origin) in self.nodes.iter_mut().zip([ids[1], ids[0]]) {
            let primary = self.connected.then_some(node.session);
            node.logs.route_changed(self.now, origin, primary);
        }
    }

    fn settle(&mut self) {
        for index in 0..2 {
            while let Some(output) = self.nodes[index].logs.poll() {
                let node = &mut self.nodes[index];
                match output {
                    Output::Ready(WILD) => {
                        let mut aliases = AliasWriter::default();
                        node.logs
                            .flush(self.now, WILD, &mut ObjectWriter::new(&mut aliases, MAX_OBJECT));
                    }
                    Output::Ready(session) => {
                        let mut object = ObjectWriter::new(&mut node.writer, MAX_OBJECT);
                        node.logs.flush(self.now, session, &mut object);
                        let object = object.finish();
                        if !object.is_empty() && self.connected {
                            self.nodes[1 - index].inbox.push(object);
                        }
                    }
                    Output::NamespaceUp { origin, entry, .. } => drop(node.shown.insert((origin, entry))),
                    Output::NamespaceDown { origin, entry } => {
                        assert!(node.shown.remove(&(origin, entry)), "hides what is not shown");
                    }
                    Output::Refused { .. } => {}
                    Output::EpochTaken(epoch) => {
                        node.logs
                            .set_epoch(self.now, epoch.saturating_add(1))
                            .expect("not more than before");
                    }
                }
            }
            let node = &self.nodes[index];
            assert!(
                node.logs.bytes() <= 2 * limits().bytes,
                "{} bytes are held",
                node.logs.bytes()
            );
        }
    }

    fn deliver(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        for object in std::mem::take(&mut node.inbox) {
            let mut reader = ObjectReader::new(&mut node.reader, object).expect("we wrote it");
            while let Some(record) = reader.poll().expect("we wrote it") {
                handle(&mut node.logs, self.now, node.session, record);
            }
        }
        self.settle();
    }

    /// Any record, or one about an origin that both know.
    fn wild(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let index = usize::from(u.arbitrary::<bool>()?);
        let origin = NodeId([u.int_in_range(1..=9)?; 32]);
        let epoch = u.int_in_range(0..=4)?;
        let record = match u.int_in_range(0..=4_u8)? {
            0 => Record::LogHave(vec![Have {
                origin,
                epoch,
                version: u.int_in_range(0..=9)?,
            }]),
            1 => Record::LogPull(LogPull {
                origin,
                epoch,
                from: u.arbitrary()?,
                max_bytes: u.arbitrary()?,
            }),
            2 => Record::LogPrune(origin),
            3 => Record::LogGraft(origin),
            _ => {
                let len = u.int_in_range(0..=200)?;
                let object = Bytes::copy_from_slice(u.bytes(len)?);
                let Ok(mut reader) = ObjectReader::new(&mut self.wild, object) else {
                    return Ok(());
                };
                match reader.poll() {
                    Ok(Some(record)) => record,
                    _ => return Ok(()),
                }
            }
        };
        handle(&mut self.nodes[index].logs, self.now, WILD, record);
        Ok(())
    }

    fn act(&mut self, u: &mut Unstructured<'_>, with_wild: bool) -> Result<()> {
        let index = usize::from(u.arbitrary::<bool>()?);
        match u.int_in_range(0..=11_u8)? {
            0..=2 => {
                let scope = if u.ratio(1, 8)? { Scope::Node } else { Scope::World };
                let attributes = Attributes {
                    expiry: u
                        .arbitrary::<Option<u8>>()?
                        .map(|secs| Duration::from_secs(secs.into())),
                    ..Attributes::default()
                };
                // A full log refuses, and that is no failure.
                drop(
                    self.nodes[index]
                        .logs
                        .announce(self.now, entry(u)?, attributes, scope),
                );
            }
            3 | 4 => drop(self.nodes[index].logs.withdraw(self.now, &entry(u)?)),
            5 if self.connected => self.disconnect(),
            5 | 6 if !self.connected => self.connect(),
            7 | 8 => self.deliver(index),
            9 if with_wild => self.wild(u)?,
            _ => {
                self.now += Duration::from_millis(u.int_in_range(0..=1500)?);
                self.nodes.iter_mut().for_each(|node| node.logs.tick(self.now));
            }
        }
        self.settle();
        Ok(())
    }

    /// Quiet, and then both agree.
    fn finish(mut self, with_wild: bool) {
        if !self.connected {
            self.connect();
        }
        for _ in 0..200 {
            self.now += Duration::from_millis(500);
            self.nodes.iter_mut().for_each(|node| node.logs.tick(self.now));
            self.settle();
            self.deliver(0);
            self.deliver(1);
        }
        if with_wild {
            return;
        }
        for index in 0..2 {
            let (own, other) = (&self.nodes[index], &self.nodes[1 - index]);
            let head = own.logs.head(own.id);
            // Nobody tells of a log in which nothing ever was.
            if head.is_some() {
                assert_eq!(other.logs.head(own.id), head);
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let u = &mut Unstructured::new(data);
    let mut world = World {
        now: Duration::ZERO,
        nodes: [node(1, 1), node(2, 1)],
        connected: false,
        sessions: 1,
        wild: AliasReader::default(),
    };
    let Ok(with_wild) = u.arbitrary() else { return };
    if with_wild {
        world
            .nodes
            .iter_mut()
            .for_each(|node| node.logs.neighbour_up(Duration::ZERO, WILD));
    }
    while !u.is_empty() && world.act(u, with_wild).is_ok() {}
    world.finish(with_wild);
});
