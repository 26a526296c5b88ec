//! Surveys: the whole mesh as its nodes tell of themselves. `docs/gossip.md`, STATUS_REQ and STATUS_REP.
//!
//! A question floods: each node passes it on to all its neighbours but the one that asked, waits for their answers, and answers
//! with all of them and its own. A question that comes a second time, by another way, is answered with nothing, so each node is
//! told of once and waits end. Nobody asks one neighbour more than once a second on average; whom it does not ask, it tells of
//! from memory, as far as that is fresh. Whoever waits in vain says what it knows, sooner the further the question has come.
//!
//! What a node pulls comes in a record of its own (STATUS_PULLS) before the summary, which nodes that do not know it skip.
//!
//! Nodes, links and hashes of namespaces only: no addresses, no names. Nothing here is signed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{Misconduct, Output, Overlay};
use crate::overlay::id::{Neighbour, NodeId};
use crate::overlay::message::{
    Last, LinkHealth, LinkSummary, MAX_LINKS, MAX_PULLS, NodePulls, Pull, Record, StatusPulls, StatusRep,
    StatusReq, Summary,
};

/// Hops that a question may travel.
const TTL: u8 = 16;
/// Questions to one neighbour at once, then one a second; twice as many are taken, as arrivals bunch.
pub(super) const BURST: u32 = 8;
/// How long the last node waits, and how much longer each node before it.
const WAIT: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(150));
/// For how long an answer here is the answer to the next question here.
const CACHED: Duration = Duration::from_secs(1);
/// For how long a node that could not be asked is told of from memory.
const FRESH: Duration = Duration::from_secs(10);
/// Nodes told of at most.
const NODES: usize = 1024;
/// Questions under way at one time; beyond, a node answers with itself alone.
const OPEN: usize = 64;
/// Questions remembered, so that each is answered once.
const SEEN: usize = 4096;
/// Nodes in one record: with all their links, or pulls, they fit an object.
const PER_RECORD: usize = 16;

/// What a node tells of itself that only its caller knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// What people call it, at most 64 bytes.
    pub name: String,
    /// Load of its busiest resource, in thousandths.
    pub load: u32,
    /// Sessions with plain clients.
    pub clients: u64,
    /// Tracks that flow through it.
    pub tracks: u64,
    /// From where what it serves comes, most subscribed first; what is beyond [`MAX_PULLS`] is not told.
    pub pulls: Vec<Pull>,
}

/// A node as it tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portrait {
    /// How it is, and its links.
    pub summary: Summary,
    /// From where what it serves comes.
    pub pulls: Vec<Pull>,
}

/// A question under way.
#[derive(Debug)]
struct Open {
    /// The neighbour that asked; `None`: somebody here.
    asker: Option<Neighbour>,
    waiting: BTreeSet<Neighbour>,
    heard: BTreeSet<NodeId>,
    /// Some neighbour could not be asked, or did not answer.
    gaps: bool,
    until: Duration,
}

/// The questions under way, and what was heard.
#[derive(Debug, Default)]
pub(super) struct Surveys {
    pub(super) vitals: Vitals,
    open: BTreeMap<u64, Open>,
    seen: BTreeSet<u64>,
    seen_order: VecDeque<u64>,
    known: BTreeMap<NodeId, (Duration, Portrait)>,
    /// The answer to the last question here, and when it was complete.
    cached: Option<(Duration, Vec<Portrait>)>,
    next: u64,
}

impl Surveys {
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.open.values().map(|open| open.until).min()
    }

    /// Whether the question is a new one.
    fn note(&mut self, request: u64) -> bool {
        if !self.seen.insert(request) {
            return false;
        }
        self.seen_order.push_back(request);
        if self.seen_order.len() > SEEN
            && let Some(oldest) = self.seen_order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }

    /// Keeps what a node tells; false if there is no room for one more.
    fn keep(&mut self, now: Duration, portrait: Portrait) -> bool {
        let node = portrait.summary.node;
        if self.known.len() >= NODES && !self.known.contains_key(&node) {
            self.known.retain(|_, (at, _)| *at + FRESH > now);
        }
        let room = self.known.len() < NODES || self.known.contains_key(&node);
        if room {
            self.known.insert(node, (now, portrait));
        }
        room
    }
}

impl Overlay {
    /// Somebody here asks; several at once get one answer.
    pub(super) fn survey(&mut self) {
        let now = self.now;
        if let Some((at, nodes)) = &self.surveys.cached
            && *at + CACHED > now
        {
            let nodes = nodes.clone();
            self.outputs.push_back(Output::Surveyed { nodes });
            return;
        }
        if self.surveys.open.values().any(|open| open.asker.is_none()) {
            return;
        }
        let request = self.request_number();
        self.surveys.note(request);
        self.ask_around(None, request, TTL);
    }

    /// A number that no other question in the mesh has, without dice: a hash of who asks, in which life, and how often before.
    fn request_number(&mut self) -> u64 {
        let count = self.surveys.next;
        self.surveys.next += 1;
        let hash = Sha256::new()
            .chain_update(self.identity.node.0)
            .chain_update(self.identity.epoch.to_be_bytes())
            .chain_update(count.to_be_bytes())
            .finalize();
        let first = hash.iter().take(8);
        first.fold(0, |number, &byte| number << 8 | u64::from(byte))
    }

    /// A neighbour asks.
    pub(super) fn status_asked(&mut self, neighbour: Neighbour, asked: StatusReq) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&neighbour) else {
            return;
        };
        if !link.surveys.1.take(now) {
            let reason = Misconduct::Flood("STATUS_REQ");
            self.outputs.push_back(Output::Refused { neighbour, reason });
        } else if self.surveys.note(asked.request) {
            self.ask_around(Some(neighbour), asked.request, asked.ttl.min(TTL));
        } else {
            self.tell_status(neighbour, asked.request, &[]);
        }
    }

    fn ask_around(&mut self, asker: Option<Neighbour>, request: u64, ttl: u8) {
        let now = self.now;
        let me = self.portrait();
        let mut open = Open {
            asker,
            waiting: BTreeSet::new(),
            heard: BTreeSet::from([me.summary.node]),
            gaps: false,
            until: now + WAIT.0 + WAIT.1 * u32::from(ttl),
        };
        self.surveys.keep(now, me);
        if ttl > 0 && self.surveys.open.len() < OPEN {
            for (&neighbour, link) in self.links.iter_mut().filter(|(it, _)| Some(**it) != asker) {
                if !link.surveys.0.take(now) {
                    open.gaps = true;
                    continue;
                }
                link.say(Record::StatusReq(StatusReq {
                    request,
                    ttl: ttl - 1,
                }));
                open.waiting.insert(neighbour);
                self.outputs.push_back(Output::Ready { neighbour });
            }
        }
        let alone = open.waiting.is_empty();
        self.surveys.open.insert(request, open);
        if alone {
            self.end_survey(request);
        }
    }

    /// A neighbour answers, or a part of it.
    pub(super) fn status_answered(&mut self, neighbour: Neighbour, answer: StatusRep) {
        let (now, me) = (self.now, self.identity.node);
        let surveys = &mut self.surveys;
        let waits = |open: &Open| open.waiting.contains(&neighbour);
        // Late, or never asked for: nobody waits.
        if !surveys.open.get(&answer.request).is_some_and(waits) {
            return;
        }
        let told = self.links.get_mut(&neighbour).and_then(|link| link.pulls.take());
        let told = told.filter(|told| told.request == answer.request);
        let told = told.into_iter().flat_map(|told| told.nodes);
        let mut pulls_of: BTreeMap<NodeId, Vec<Pull>> = told.map(|it| (it.node, it.pulls)).collect();
        let mut heard = Vec::new();
        for summary in answer.nodes {
            let node = summary.node;
            let pulls = pulls_of.remove(&node).unwrap_or_default();
            if node != me && surveys.keep(now, Portrait { summary, pulls }) {
                heard.push(node);
            }
        }
        let Some(open) = surveys.open.get_mut(&answer.request) else {
            return;
        };
        open.heard.extend(heard);
        if answer.last == Last::Yes {
            open.waiting.remove(&neighbour);
            if open.waiting.is_empty() {
                self.end_survey(answer.request);
            }
        }
    }

    /// A neighbour tells what nodes pull, of which it is about to tell more: both are taken up at once.
    pub(super) fn pulls_answered(&mut self, neighbour: Neighbour, answer: StatusPulls) {
        if let Some(link) = self.links.get_mut(&neighbour) {
            link.pulls = Some(answer);
        }
    }

    fn end_survey(&mut self, request: u64) {
        let now = self.now;
        let Some(open) = self.surveys.open.remove(&request) else {
            return;
        };
        let gaps = open.gaps || !open.waiting.is_empty();
        let known = self.surveys.known.values();
        let nodes: Vec<Portrait> = known
            .filter(|(at, node)| open.heard.contains(&node.summary.node) || (gaps && *at + FRESH > now))
            .map(|(_, node)| node.clone())
            .collect();
        if let Some(asker) = open.asker {
            self.tell_status(asker, request, &nodes);
        } else {
            self.surveys.cached = Some((now, nodes.clone()));
            self.outputs.push_back(Output::Surveyed { nodes });
        }
    }

    fn tell_status(&mut self, neighbour: Neighbour, request: u64, nodes: &[Portrait]) {
        let Some(link) = self.links.get_mut(&neighbour) else {
            return;
        };
        for record in answer(request, nodes) {
            link.say_later(record);
        }
        self.outputs.push_back(Output::Ready { neighbour });
    }

    /// This node as others see it.
    fn portrait(&self) -> Portrait {
        Portrait {
            summary: self.summary(),
            pulls: self
                .surveys
                .vitals
                .pulls
                .iter()
                .take(MAX_PULLS)
                .copied()
                .collect(),
        }
    }

    fn summary(&self) -> Summary {
        let links = self.links.values().take(MAX_LINKS).map(|link| LinkSummary {
            node: link.node,
            health: if link.suspect {
                LinkHealth::Suspect
            } else {
                LinkHealth::Ok
            },
            cost: link.cost().micros(),
            srtt: u32::try_from(link.srtt().as_micros()).unwrap_or(u32::MAX),
            loss_ppm: millionths(link.estimator.loss_ratio()),
        });
        Summary {
            node: self.identity.node,
            name: self.surveys.vitals.name.clone(),
            roles: self.identity.roles,
            uptime_s: self.now.as_secs(),
            load: self.surveys.vitals.load,
            clients: self.surveys.vitals.clients,
            tracks: self.surveys.vitals.tracks,
            links: links.collect(),
        }
    }

    /// Answers what waited too long.
    pub(super) fn tick_surveys(&mut self) {
        let now = self.now;
        self.end_surveys(|open| open.until <= now);
    }

    /// A session ended: nothing more comes from there.
    pub(super) fn survey_lost(&mut self, neighbour: Neighbour) {
        self.surveys.open.retain(|_, open| open.asker != Some(neighbour));
        for open in self.surveys.open.values_mut() {
            open.gaps |= open.waiting.remove(&neighbour);
        }
        self.end_surveys(|open| open.waiting.is_empty());
    }

    fn end_surveys(&mut self, which: impl Fn(&Open) -> bool) {
        let ended: Vec<u64> = self
            .surveys
            .open
            .iter()
            .filter(|(_, open)| which(open))
            .map(|(&request, _)| request)
            .collect();
        ended.into_iter().for_each(|request| self.end_survey(request));
    }
}

/// The records of an answer: before each of summaries what their nodes pull, if anything.
fn answer(request: u64, nodes: &[Portrait]) -> Vec<Record> {
    let mut records = Vec::new();
    for part in nodes.chunks(PER_RECORD) {
        let pulls: Vec<_> = part
            .iter()
            .filter(|it| !it.pulls.is_empty())
            .map(|it| NodePulls {
                node: it.summary.node,
                pulls: it.pulls.clone(),
            })
            .collect();
        if !pulls.is_empty() {
            let nodes = pulls;
            records.push(Record::StatusPulls(StatusPulls { request, nodes }));
        }
        records.push(Record::StatusRep(StatusRep {
            request,
            last: Last::No,
            nodes: part.iter().map(|it| it.summary.clone()).collect(),
        }));
    }
    if let Some(Record::StatusRep(end)) = records.last_mut() {
        end.last = Last::Yes;
    } else {
        records.push(Record::StatusRep(StatusRep {
            request,
            last: Last::Yes,
            nodes: Vec::new(),
        }));
    }
    records
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a ratio from 0 to 1 in millionths"
)]
fn millionths(ratio: f64) -> u32 {
    (ratio.clamp(0.0, 1.0) * 1e6) as u32
}
