//! Which members of the mesh this node knows and has sessions with: the overlay's specification, section 8.
//!
//! An *active view* of neighbours and a *passive view* of others that could take their place, mixed by exchanges of records that
//! the nodes signed themselves, as in HyParView (Leitão et al. 2007). A node wants six neighbours: four near ones and two taken at
//! random, which keep the mesh in one piece. A lost one is replaced at once: three passive peers are dialled, the first that
//! answers is the nearest and stays; for a random slot it is one by chance. Every minute one passive peer is tried, and kept if
//! it shortens a way that is used, or is nearer than others.
//!
//! Sessions that others opened, or that the operator asked for, count as neighbours and are never closed here. Not here:
//! signatures (records come in verified) and dialling.
//!
//! # Contract
//!
//! Call a method, then drain [`Members::poll`]; call [`Members::tick`] at [`Members::deadline`].

mod dice;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::id::{Neighbour, NodeId};
use super::message::PeerRecord;
use dice::Dice;

/// Neighbours that a node looks for, and of these near ones.
pub const WANTED: usize = 6;
const NEAR: usize = 4;
/// Neighbours beyond which the least useful of those dialled here go.
pub const MAX_ACTIVE: usize = 10;
/// Most peers that are known beside the neighbours.
pub const MAX_PASSIVE: usize = 48;
/// Most records in one message; more are not looked at.
pub const MAX_RECORDS: usize = 16;
/// Messages taken from a neighbour in a minute; those beyond are dropped, and at twice as many it misbehaves.
pub const MESSAGES: u32 = 10;
/// Messages to a neighbour in a minute, below what it takes.
const SAID: u32 = 8;

const MINUTE: Duration = Duration::from_secs(60);
const SHUFFLE: Duration = Duration::from_secs(120);
/// Records of neighbours and of passive peers in an exchange.
const SHUFFLED: (usize, usize) = (3, 4);
/// Passive peers that compete for a near slot.
const PROBES: usize = 3;
/// How long a peer that was tried has to prove its use.
const TRIAL: Duration = Duration::from_secs(10);
/// How long a dial may take.
const DIAL: Duration = Duration::from_secs(10);
/// How long a peer is left alone that was lost or not reached, and how often it may fail in a row.
const REST: Duration = Duration::from_secs(5);
const FAILURES: u32 = 3;
/// Pause between two looks while something is going on.
const LOOK: Duration = Duration::from_secs(1);

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a session with this node, at one of its addresses.
    Dial(PeerRecord),
    /// This session is not needed.
    Close(Neighbour),
    /// Tell a neighbour of these nodes, and of this one.
    Say(Neighbour, Vec<PeerRecord>),
    /// The passive view changed: keep it.
    Keep(Vec<PeerRecord>),
}

/// What a neighbour is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worth {
    /// Round trip, once measured.
    pub srtt: Option<Duration>,
    /// Whether something is pulled over it, or it shortens a way that is used by a tenth.
    pub used: bool,
}

/// More messages than anybody needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flood;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Near,
    Random,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Slot(Slot),
    /// Another was faster.
    Late,
    Trial,
}

#[derive(Clone, Debug)]
struct Active {
    node: NodeId,
    slot: Slot,
    /// Dialled because of this view.
    ours: bool,
    trial_until: Option<Duration>,
    heard: Window,
    said: Window,
    owed: BTreeSet<NodeId>,
}

/// Messages in the current minute.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    since: Duration,
    count: u32,
}

impl Window {
    /// The number of this message in its minute.
    fn count(&mut self, now: Duration) -> u32 {
        if now.saturating_sub(self.since) >= MINUTE {
            *self = Self { since: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count
    }

    fn is_full(&self, now: Duration, most: u32) -> bool {
        self.count >= most && now.saturating_sub(self.since) < MINUTE
    }
}

#[derive(Clone, Debug)]
struct Peer {
    record: PeerRecord,
    rest_until: Duration,
    failures: u32,
}

/// The views of one node.
#[derive(Debug)]
pub struct Members {
    me: NodeId,
    active: BTreeMap<Neighbour, Active>,
    /// Records of neighbours and of passive peers.
    known: BTreeMap<NodeId, Peer>,
    dialling: BTreeMap<NodeId, (Why, Duration)>,
    dice: Dice,
    next_shuffle: Duration,
    next_trial: Duration,
    next_keep: Duration,
    /// When to look again, while something is going on.
    look: Option<Duration>,
    changed: bool,
    outputs: VecDeque<Output>,
}

impl Members {
    /// Of a node that knows nobody. Its choices follow from the seed.
    pub fn new(me: NodeId, seed: u64) -> Self {
        Self {
            me,
            active: BTreeMap::new(),
            known: BTreeMap::new(),
            dialling: BTreeMap::new(),
            dice: Dice(seed),
            next_shuffle: SHUFFLE,
            next_trial: MINUTE,
            next_keep: Duration::ZERO,
            look: None,
            changed: false,
            outputs: VecDeque::new(),
        }
    }

    /// Peers that were known at an earlier time; their records verified.
    pub fn remember(&mut self, now: Duration, records: Vec<PeerRecord>) {
        for record in records {
            self.take(record);
        }
        self.changed = false;
        self.fill(now);
    }

    /// A session with a neighbour stands.
    pub fn up(&mut self, now: Duration, neighbour: Neighbour, node: NodeId) {
        let why = self.dialling.remove(&node).map(|(why, _)| why);
        if let Some(peer) = self.known.get_mut(&node) {
            peer.failures = 0;
        }
        let slot = match why {
            Some(Why::Slot(slot)) => slot,
            Some(Why::Trial | Why::Late) | None => Slot::Near,
        };
        self.active.insert(
            neighbour,
            Active {
                node,
                slot,
                ours: why.is_some(),
                trial_until: (why == Some(Why::Trial)).then_some(now + TRIAL),
                heard: Window::default(),
                said: Window::default(),
                owed: BTreeSet::new(),
            },
        );
        match why {
            Some(Why::Late) if self.active.len() > WANTED => {
                self.outputs.push_back(Output::Close(neighbour));
                return;
            }
            Some(Why::Slot(Slot::Near)) => {
                for (why, _) in self.dialling.values_mut() {
                    if *why == Why::Slot(Slot::Near) {
                        *why = Why::Late;
                    }
                }
            }
            _ => {}
        }
        self.exchange(now, neighbour);
        self.fill(now);
    }

    /// It ended.
    pub fn down(&mut self, now: Duration, neighbour: Neighbour) {
        let Some(gone) = self.active.remove(&neighbour) else {
            return;
        };
        if let Some(peer) = self.known.get_mut(&gone.node) {
            peer.rest_until = now + REST;
        }
        self.bound();
        self.fill(now);
    }

    /// A node was not reached at any address, or is no neighbour after all.
    pub fn failed(&mut self, now: Duration, node: NodeId) {
        if self.dialling.remove(&node).is_none() {
            return;
        }
        if let Some(peer) = self.known.get_mut(&node) {
            peer.failures += 1;
            peer.rest_until = now + REST * peer.failures;
            if peer.failures >= FAILURES {
                self.known.remove(&node);
                self.changed = true;
            }
        }
        self.fill(now);
    }

    /// A node is no member any more.
    pub fn expelled(&mut self, node: NodeId) {
        self.changed |= self.known.remove(&node).is_some();
        self.dialling.remove(&node);
    }

    /// Records from a neighbour, verified.
    ///
    /// # Errors
    ///
    /// [`Flood`]: it sends far more than anybody needs.
    pub fn heard(
        &mut self,
        now: Duration,
        neighbour: Neighbour,
        records: Vec<PeerRecord>,
    ) -> Result<(), Flood> {
        let Some(active) = self.active.get_mut(&neighbour) else {
            return Ok(());
        };
        let count = active.heard.count(now);
        if count > 2 * MESSAGES {
            return Err(Flood);
        }
        if count > MESSAGES {
            return Ok(());
        }
        let from = active.node;
        for record in records.into_iter().take(MAX_RECORDS) {
            let node = record.node;
            let new = self
                .known
                .get(&node)
                .is_none_or(|peer| peer.record.addresses != record.addresses);
            // A newcomer's own record goes one step further at once, the shuffles do the rest.
            if self.take(record) && new && node == from {
                for (&other, active) in &mut self.active {
                    if other != neighbour && active.node != node {
                        active.owed.insert(node);
                    }
                }
            }
        }
        self.pay(now);
        self.fill(now);
        Ok(())
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::tick`] is wanted.
    pub fn deadline(&self) -> Duration {
        let next = self.next_shuffle.min(self.next_trial);
        self.look.map_or(next, |look| look.min(next))
    }

    /// Looks again soon while something is going on.
    fn arm(&mut self, now: Duration) {
        let busy = self.changed
            || !self.dialling.is_empty()
            || self
                .active
                .values()
                .any(|active| active.trial_until.is_some() || !active.owed.is_empty())
            || (self.active.len() < WANTED && self.passive().next().is_some());
        if busy && self.look.is_none() {
            self.look = Some(now + LOOK);
        }
    }

    /// Time passed; `worth` judges a neighbour.
    pub fn tick(&mut self, now: Duration, worth: impl Fn(Neighbour) -> Worth) {
        self.look = None;
        self.dialling.retain(|_, (_, until)| *until > now);
        if now >= self.next_shuffle {
            self.next_shuffle = now + SHUFFLE;
            let all = self.active.keys().copied().collect();
            for neighbour in self.dice.draw(all, 1) {
                self.exchange(now, neighbour);
            }
        }
        self.judge(now, &worth);
        if now >= self.next_trial {
            self.next_trial = now + MINUTE;
            if self.active.len() < MAX_ACTIVE {
                self.dial(now, 1, Why::Trial);
            }
        }
        self.shrink(&worth);
        self.pay(now);
        if self.changed && now >= self.next_keep {
            (self.changed, self.next_keep) = (false, now + MINUTE);
            let records = self.known.values().map(|peer| peer.record.clone()).collect();
            self.outputs.push_back(Output::Keep(records));
        }
        self.fill(now);
    }

    /// Peers that are known and no neighbours.
    fn passive(&self) -> impl Iterator<Item = (&NodeId, &Peer)> {
        self.known
            .iter()
            .filter(|(node, _)| !self.active.values().any(|active| active.node == **node))
    }

    /// Takes up a record if it is later than what is known; whether it did.
    fn take(&mut self, record: PeerRecord) -> bool {
        let node = record.node;
        if node == self.me || record.addresses.is_empty() {
            return false;
        }
        match self.known.get_mut(&node) {
            Some(peer) if peer.record.time_ms >= record.time_ms => return false,
            Some(peer) => peer.record = record,
            None => {
                let peer = Peer {
                    record,
                    rest_until: Duration::ZERO,
                    failures: 0,
                };
                self.known.insert(node, peer);
            }
        }
        self.changed = true;
        self.bound();
        self.known.contains_key(&node)
    }

    /// Forgets the oldest records beyond the bound.
    fn bound(&mut self) {
        let mut passive: Vec<_> = self
            .passive()
            .map(|(&node, peer)| (peer.record.time_ms, node))
            .collect();
        passive.sort_unstable();
        let surplus = passive.len().saturating_sub(MAX_PASSIVE);
        for (_, node) in passive.into_iter().take(surplus) {
            self.known.remove(&node);
        }
    }

    /// Dials for slots that are empty.
    fn fill(&mut self, now: Duration) {
        self.fill_slots(now);
        self.arm(now);
    }

    fn fill_slots(&mut self, now: Duration) {
        let coming = |slot| {
            let why = Why::Slot(slot);
            usize::from(self.dialling.values().any(|(dialled, _)| *dialled == why))
        };
        let coming = (coming(Slot::Near), coming(Slot::Random));
        if self.active.len() + coming.0 + coming.1 >= WANTED {
            return;
        }
        let random = self
            .active
            .values()
            .filter(|active| active.slot == Slot::Random)
            .count();
        let near = self.active.len() - random;
        if near + coming.0 < NEAR && coming.0 == 0 {
            self.dial(now, PROBES, Why::Slot(Slot::Near));
        } else if coming.1 == 0 && random < WANTED - NEAR {
            self.dial(now, 1, Why::Slot(Slot::Random));
        }
    }

    fn dial(&mut self, now: Duration, count: usize, why: Why) {
        let rested: Vec<_> = self
            .passive()
            .filter(|(node, peer)| peer.rest_until <= now && !self.dialling.contains_key(node))
            .map(|(_, peer)| peer.record.clone())
            .collect();
        for record in self.dice.draw(rested, count) {
            self.dialling.insert(record.node, (why, now + DIAL));
            self.outputs.push_back(Output::Dial(record));
        }
    }

    /// Some of whom this node knows are owed to a neighbour.
    fn exchange(&mut self, now: Duration, neighbour: Neighbour) {
        let Some(to) = self.active.get(&neighbour).map(|active| active.node) else {
            return;
        };
        let others = self.active.values().map(|active| active.node);
        let near = others.filter(|&node| node != to).collect();
        let passive = self.passive().map(|(&node, _)| node).collect();
        let mut owed = self.dice.draw(near, SHUFFLED.0);
        owed.extend(self.dice.draw(passive, SHUFFLED.1));
        if let Some(active) = self.active.get_mut(&neighbour) {
            active.owed.extend(owed);
            // This node's own record goes with it.
            active.owed.insert(self.me);
        }
        self.pay(now);
    }

    /// Says what is owed, as fast as it is taken.
    fn pay(&mut self, now: Duration) {
        for (&neighbour, active) in &mut self.active {
            if active.owed.is_empty() || active.said.is_full(now, SAID) {
                continue;
            }
            active.said.count(now);
            let mut records = Vec::new();
            while records.len() + 1 < MAX_RECORDS
                && let Some(node) = active.owed.pop_first()
            {
                records.extend(self.known.get(&node).map(|peer| peer.record.clone()));
            }
            self.outputs.push_back(Output::Say(neighbour, records));
        }
    }

    /// Ends trials: who is of no use goes.
    fn judge(&mut self, now: Duration, worth: &impl Fn(Neighbour) -> Worth) {
        let ended: Vec<_> = self
            .active
            .iter()
            .filter(|(_, active)| active.trial_until.is_some_and(|until| until <= now))
            .map(|(&neighbour, _)| neighbour)
            .collect();
        for neighbour in ended {
            let tried = worth(neighbour);
            let nearer = self
                .active
                .iter()
                .filter(|(other, active)| **other != neighbour && active.slot == Slot::Near)
                .any(|(&other, _)| tried.srtt < worth(other).srtt && tried.srtt.is_some());
            if let Some(active) = self.active.get_mut(&neighbour) {
                active.trial_until = None;
            }
            if !tried.used && !nearer && self.active.len() > WANTED {
                self.outputs.push_back(Output::Close(neighbour));
            }
        }
    }

    /// Beyond the bound the farthest goes that is not used.
    fn shrink(&mut self, worth: &impl Fn(Neighbour) -> Worth) {
        if self.active.len() <= MAX_ACTIVE {
            return;
        }
        let farthest = self
            .active
            .iter()
            .filter(|(_, active)| active.ours && active.slot == Slot::Near)
            .map(|(&neighbour, _)| (worth(neighbour), neighbour))
            .filter(|(worth, _)| !worth.used)
            .max_by_key(|(worth, neighbour)| (worth.srtt, *neighbour));
        if let Some((_, neighbour)) = farthest {
            self.outputs.push_back(Output::Close(neighbour));
        }
    }
}

#[cfg(test)]
mod tests;
