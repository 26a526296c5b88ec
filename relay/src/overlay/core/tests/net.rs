//! A simulated mesh: whole overlays, sessions with delay that fall silent, and a clock that goes from event to event.
//!
//! Everything follows from what is called here in which order: there is no chance in it but [`Net::dice`], which has a seed.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use headwater_pubsub::wire::{FullTrackName, TrackName, TrackNamespace};

use super::hub::{Hub, Media, Said};
use super::keys;
use crate::overlay::core::{Input, Output, Overlay};
use crate::overlay::id::{Neighbour, NodeId};
use crate::overlay::message::Entry;
use crate::overlay::routes;

/// How often each origin has a new object.
const OBJECTS: Duration = Duration::from_millis(250);
/// The silence that makes an end give a session up: at least this, and at most as much more as the second.
const DETECTION: (u64, u64) = (300, 90);
/// From a draining node's word to its end.
const DRAIN: Duration = Duration::from_secs(3);

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn track_name() -> FullTrackName {
    let namespace = TrackNamespace::new(["live"]).unwrap();
    FullTrackName::new(namespace, TrackName::new("video").unwrap()).unwrap()
}

pub(super) fn entry(number: usize) -> Entry {
    Entry::Namespace(TrackNamespace::new(["live".to_owned(), number.to_string()]).unwrap())
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) core: Overlay,
    pub(super) hub: Hub,
    pub(super) alive: bool,
    epoch: u64,
    ends_at: Option<Duration>,
}

#[derive(Debug)]
enum Wire {
    Gossip(Bytes),
    Media(Media),
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) node: usize,
    /// While this end believes in it.
    pub(super) session: Option<Neighbour>,
    sent: VecDeque<(Duration, Wire)>,
    /// When it gives up a session that fell silent.
    gives_up: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) ends: [End; 2],
    pub(super) delay: Duration,
    /// Bytes would get through.
    pub(super) whole: bool,
    /// The sessions at both ends are one.
    pub(super) joined: bool,
}

#[derive(Debug)]
pub(super) struct Net {
    pub(super) now: Duration,
    pub(super) nodes: Vec<Node>,
    pub(super) links: Vec<Link>,
    sessions: u64,
    next_object: Duration,
    dice: u64,
    /// What came out that is for people, and what ended sessions.
    pub(super) told: Vec<(usize, Output)>,
    /// Everything that came out, if asked for.
    pub(super) trace: Option<Vec<String>>,
}

impl Net {
    /// Nodes with ids of their own, and links between pairs of them.
    pub(super) fn new(count: usize, links: &[(usize, usize)], delay: Duration) -> Self {
        let ids: Vec<_> = (0..count).map(keys::id).collect();
        Self::of(&ids, links, delay)
    }

    /// A line of nodes, each a neighbour of the next, without delay.
    pub(super) fn line(count: usize) -> Self {
        let links: Vec<_> = (1..count).map(|node| (node - 1, node)).collect();
        Self::new(count, &links, Duration::ZERO)
    }

    /// Nodes with these ids; two may have the same.
    pub(super) fn of(ids: &[NodeId], links: &[(usize, usize)], delay: Duration) -> Self {
        let nodes = ids.iter().zip(1..).map(|(&id, run)| Node {
            core: Overlay::new(keys::identity(id, 1, run), routes::Config::default()),
            hub: Hub::default(),
            alive: true,
            epoch: 1,
            ends_at: None,
        });
        let mut net = Self {
            now: Duration::ZERO,
            nodes: nodes.collect(),
            links: Vec::new(),
            sessions: 0,
            next_object: OBJECTS,
            dice: 1,
            told: Vec::new(),
            trace: None,
        };
        net.add_links(links, delay);
        net.run(Duration::from_secs(2));
        net
    }

    pub(super) fn add_links(&mut self, links: &[(usize, usize)], delay: Duration) {
        let end = |node| End {
            node,
            session: None,
            sent: VecDeque::new(),
            gives_up: None,
        };
        self.links.extend(links.iter().map(|&(a, b)| Link {
            ends: [end(a), end(b)],
            delay,
            whole: true,
            joined: false,
        }));
        self.meet();
    }

    pub(super) fn id(&self, node: usize) -> NodeId {
        self.nodes[node].core.node()
    }

    fn dice(&mut self, below: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.dice >> 33) % below
    }

    pub(super) fn feed(&mut self, node: usize, input: Input) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:?} {node} <- {input:?}", self.now));
        }
        self.nodes[node].core.handle(self.now, input);
        self.drain(node);
    }

    fn feed_all(&mut self, node: usize, inputs: Vec<Input>) {
        inputs.into_iter().for_each(|input| self.feed(node, input));
    }

    pub(super) fn drain(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].core.poll() {
            if let Some(trace) = &mut self.trace {
                trace.push(format!("{:?} {node} -> {output:?}", self.now));
            }
            match output {
                Output::Ready { neighbour } => self.write(node, neighbour),
                Output::Pull {
                    track,
                    neighbour,
                    wanted,
                    feed,
                    ..
                } => {
                    let said = self.nodes[node].hub.pull(track, neighbour, wanted, feed);
                    self.say(node, said);
                }
                Output::Remote { entry, present } => {
                    let remote = &mut self.nodes[node].hub.remote;
                    let changed = if present {
                        remote.insert(entry)
                    } else {
                        remote.remove(&entry)
                    };
                    assert!(changed, "node {node} is told what it knows");
                }
                Output::Close { neighbour, .. } => {
                    self.told.push((node, output));
                    if let Some((link, _)) = self.locate(node, neighbour) {
                        self.part(link);
                    }
                }
                Output::Repin { .. } | Output::RouteChanged { .. } | Output::Probe { .. } => {}
                other => self.told.push((node, other)),
            }
        }
    }

    fn write(&mut self, node: usize, neighbour: Neighbour) {
        while let Some(object) = self.nodes[node].core.gossip(neighbour) {
            self.send(node, neighbour, Wire::Gossip(object));
        }
    }

    fn say(&mut self, node: usize, said: Said) {
        for (neighbour, media) in said {
            self.send(node, neighbour, Wire::Media(media));
        }
    }

    fn send(&mut self, node: usize, neighbour: Neighbour, wire: Wire) {
        let Some((link, end)) = self.locate(node, neighbour) else {
            return;
        };
        let link = &mut self.links[link];
        if !link.joined {
            return;
        }
        let sent = &mut link.ends[end].sent;
        let at = self.now + link.delay;
        // In order, even if the link has become faster.
        let at = sent.back().map_or(at, |&(before, _)| at.max(before));
        sent.push_back((at, wire));
    }

    /// The link and the end that a session of a node belongs to.
    fn locate(&self, node: usize, session: Neighbour) -> Option<(usize, usize)> {
        // Sessions are numbered in pairs, so the number alone is enough but for clones of a node.
        self.links.iter().enumerate().find_map(|(link, state)| {
            let end = state
                .ends
                .iter()
                .position(|end| end.node == node && end.session == Some(session))?;
            Some((link, end))
        })
    }

    /// The node at the other end of a session that lives.
    pub(super) fn peer(&self, node: usize, session: Neighbour) -> Option<usize> {
        let (link, end) = self.locate(node, session)?;
        let link = &self.links[link];
        link.joined.then_some(link.ends[1 - end].node)
    }

    /// Opens sessions over every link that could have one.
    fn meet(&mut self) {
        for link in 0..self.links.len() {
            let state = &self.links[link];
            let ready = |end: &End| end.session.is_none() && self.nodes[end.node].alive;
            // Nobody has a session with its own id.
            let ids = state.ends.each_ref().map(|end| self.id(end.node));
            if !state.whole || ids[0] == ids[1] || !state.ends.iter().all(ready) {
                continue;
            }
            self.links[link].joined = true;
            let nodes = self.links[link].ends.each_ref().map(|end| end.node);
            for end in &mut self.links[link].ends {
                self.sessions += 1;
                end.session = Some(Neighbour(self.sessions));
                (end.sent, end.gives_up) = (VecDeque::new(), None);
            }
            for end in 0..2 {
                let neighbour = self.links[link].ends[end].session.expect("set above");
                let node = self.id(nodes[1 - end]);
                self.feed(nodes[end], Input::NeighbourUp { neighbour, node });
            }
        }
    }

    /// The session over a link is dead; each end notices in its own time.
    fn silence(&mut self, link: usize) {
        self.links[link].joined = false;
        for end in 0..2 {
            let at = self.now + ms(DETECTION.0 + self.dice(DETECTION.1));
            let end = &mut self.links[link].ends[end];
            end.sent.clear();
            if end.session.is_some() && end.gives_up.is_none() {
                end.gives_up = Some(at);
            }
        }
    }

    /// One end closes the session: it is over there at once, and at the other end when that is told.
    fn part(&mut self, link: usize) {
        self.links[link].joined = false;
        let at = self.now + self.links[link].delay;
        for end in &mut self.links[link].ends {
            end.sent.clear();
            end.gives_up = end.session.is_some().then_some(at);
        }
    }

    fn give_up(&mut self, link: usize, end: usize) {
        let end = &mut self.links[link].ends[end];
        end.gives_up = None;
        let (node, Some(neighbour)) = (end.node, end.session.take()) else {
            return;
        };
        let me = self.id(node);
        let inputs = self.nodes[node].hub.lost(me, neighbour);
        self.feed_all(node, inputs);
        self.feed(node, Input::NeighbourDown { neighbour });
    }

    pub(super) fn cut(&mut self, link: usize) {
        if self.links[link].whole {
            self.links[link].whole = false;
            self.silence(link);
        }
    }

    pub(super) fn heal(&mut self, link: usize) {
        self.links[link].whole = true;
    }

    /// The node dies without a word.
    pub(super) fn kill(&mut self, node: usize) {
        self.nodes[node].alive = false;
        self.nodes[node].ends_at = None;
        self.nodes[node].hub = Hub::default();
        for link in 0..self.links.len() {
            if self.links[link].ends.iter().any(|end| end.node == node) {
                self.silence(link);
                let ends = &mut self.links[link].ends;
                ends.iter_mut()
                    .filter(|end| end.node == node)
                    .for_each(|end| (end.session, end.gives_up) = (None, None));
            }
        }
    }

    /// It comes back under the same id, knowing nothing.
    pub(super) fn start(&mut self, node: usize) {
        let epoch = self.nodes[node].epoch + 1;
        self.start_at(node, epoch);
    }

    pub(super) fn start_at(&mut self, node: usize, epoch: u64) {
        let (id, run) = (self.id(node), 100 + self.dice(1 << 30));
        let this = &mut self.nodes[node];
        (this.epoch, this.alive) = (epoch, true);
        this.core = Overlay::new(keys::identity(id, epoch, run), routes::Config::default());
    }

    /// It says that it is about to go, and goes a little later.
    pub(super) fn leave(&mut self, node: usize) {
        let ends = self.links.iter().flat_map(|link| &link.ends);
        let sessions = ends.filter(|end| end.node == node).filter_map(|end| end.session);
        let said = sessions.map(|session| (session, Media::Goaway)).collect();
        self.say(node, said);
        self.nodes[node].ends_at.get_or_insert(self.now + DRAIN);
    }

    pub(super) fn announce(&mut self, node: usize, entry: Entry, present: bool) {
        let announced = &mut self.nodes[node].hub.announced;
        let changed = if present {
            announced.insert(entry.clone())
        } else {
            announced.remove(&entry)
        };
        if changed {
            self.feed(node, Input::Announce { entry, present });
        }
    }

    pub(super) fn read(&mut self, node: usize, origin: NodeId, wanted: bool) {
        let me = self.id(node);
        let inputs = self.nodes[node].hub.read(me, origin, wanted);
        self.feed_all(node, inputs);
    }

    /// When something happens next.
    fn next(&self) -> Duration {
        let deadlines = self.nodes.iter().filter(|node| node.alive);
        let deadlines = deadlines.flat_map(|node| [node.core.deadline(), node.ends_at]);
        let ends = self.links.iter().flat_map(|link| &link.ends);
        let ends = ends.flat_map(|end| [end.gives_up, end.sent.front().map(|&(at, _)| at)]);
        let next = deadlines.chain(ends).flatten().min();
        next.map_or(self.next_object, |at| at.min(self.next_object))
            .max(self.now)
    }

    /// Lets time pass, with all that happens in it.
    pub(super) fn run(&mut self, time: Duration) {
        self.run_with(time, |_| {});
    }

    /// The same, looking at it after each event.
    pub(super) fn run_with(&mut self, time: Duration, mut look: impl FnMut(&Self)) {
        let end = self.now + time;
        let mut at_once = 0;
        loop {
            let at = self.next();
            if at > end {
                break;
            }
            at_once = if at > self.now { 0 } else { at_once + 1 };
            assert!(at_once < 100_000, "no end of what happens at {at:?}");
            self.now = at;
            self.step();
            look(self);
        }
        self.now = end;
    }

    /// Everything that is due now, once.
    fn step(&mut self) {
        for link in 0..self.links.len() {
            for end in 0..2 {
                self.deliver(link, end);
                if self.links[link].ends[end]
                    .gives_up
                    .is_some_and(|at| at <= self.now)
                {
                    self.give_up(link, end);
                }
            }
        }
        for node in 0..self.nodes.len() {
            let this = &self.nodes[node];
            if this.ends_at.is_some_and(|at| at <= self.now) {
                self.kill(node);
            } else if this.alive && this.core.deadline().is_some_and(|at| at <= self.now) {
                self.feed(node, Input::Tick);
            }
        }
        if self.next_object <= self.now {
            self.next_object = self.now + OBJECTS;
            self.publish();
        }
        self.meet();
    }

    fn deliver(&mut self, link: usize, end: usize) {
        while let Some((at, _)) = self.links[link].ends[end].sent.front()
            && *at <= self.now
            && let Some((_, wire)) = self.links[link].ends[end].sent.pop_front()
        {
            let other = &self.links[link].ends[1 - end];
            let (node, neighbour) = (other.node, other.session.expect("it is joined"));
            match wire {
                Wire::Gossip(object) => self.feed(node, Input::Gossip { neighbour, object }),
                Wire::Media(media) => {
                    let this = &mut self.nodes[node];
                    let (inputs, said) = this.hub.hear(&this.core, neighbour, media);
                    self.say(node, said);
                    self.feed_all(node, inputs);
                }
            }
        }
    }

    /// Each origin has a new object.
    fn publish(&mut self) {
        let number = u64::try_from(self.now.as_millis()).unwrap();
        for node in 0..self.nodes.len() {
            let this = &mut self.nodes[node];
            if this.alive && !this.hub.announced.is_empty() {
                let id = this.core.node();
                let said = this.hub.object(id, number);
                self.say(node, said);
            }
        }
    }
}
