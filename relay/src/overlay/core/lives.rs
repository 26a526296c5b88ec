//! Whether two nodes run with one key: a copy of a state directory that lives beside the original.
//!
//! Routes and logs cannot tell: each part of the mesh keeps the copy that is near it. So each run of a node draws a number and
//! signs that it lives (LIFE of `docs/gossip.md`); of each node the record with the highest count goes everywhere. A run that hears
//! of another one whose record outbids its own makes a new one **above** that, which travels to the other. An earlier run that is
//! dead does not answer. One that lives outbids in turn, and its record names the number of the first: nobody but a run of the
//! same key that is alive now can have signed that. Whoever reads its own number so knows for certain, and says so in a last
//! record, which is the alarm everywhere.
//!
//! It takes three or four records in all, whatever lies between the two; the word stands until a new run of the node outbids it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Misconduct, Output, Overlay};
use crate::overlay::id::{Neighbour, NodeId};
use crate::overlay::message::{Life, Signature};

/// No clock of ours counts so far; beyond it nothing could be outbid.
const LIMIT: u64 = 1 << 53;
/// Records of one node that are taken in a minute, so that nobody makes the whole mesh talk of himself: three runs of one key that
/// find each other need fewer.
const CHANGES: u32 = 16;
const MINUTE: Duration = Duration::from_secs(60);

/// What is known of the runs of one node.
#[derive(Clone, Copy, Debug)]
struct Known {
    life: Life,
    /// Since when changes are counted, and how many there were.
    changes: (Duration, u32),
}

/// The record in force of each member.
#[derive(Debug)]
pub(super) struct Lives {
    /// This run's number.
    run: u64,
    /// Another run of this node's key is alive.
    pub(super) cloned: bool,
    known: BTreeMap<NodeId, Known>,
}

impl Lives {
    pub(super) const fn new(run: u64) -> Self {
        Self {
            run,
            cloned: false,
            known: BTreeMap::new(),
        }
    }

    pub(super) fn get(&self, node: NodeId) -> Option<Life> {
        self.known.get(&node).map(|known| known.life)
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.known.keys().copied()
    }

    /// Counts a change; false if there were too many.
    fn admit(&mut self, now: Duration, node: NodeId) -> bool {
        let Some(known) = self.known.get_mut(&node) else {
            return true;
        };
        let (since, count) = known.changes;
        known.changes = if now.saturating_sub(since) >= MINUTE {
            (now, 1)
        } else {
            (since, count.saturating_add(1))
        };
        known.changes.1 <= CHANGES
    }

    fn keep(&mut self, now: Duration, life: Life) {
        let known = self.known.entry(life.node).or_insert(Known {
            life,
            changes: (now, 1),
        });
        known.life = life;
    }
}

impl Overlay {
    /// The nodes that say of themselves that two run with their key, this one among them.
    pub fn cloned(&self) -> impl Iterator<Item = NodeId> + '_ {
        let known = self.lives.known.values();
        known
            .filter(|known| known.life.cloned)
            .map(|known| known.life.node)
    }

    /// Whether two nodes run with this one's key.
    pub fn is_cloned(&self, node: NodeId) -> bool {
        self.lives.get(node).is_some_and(|life| life.cloned)
    }

    /// This run's own record, above that of another one if there is one.
    pub(super) fn live(&mut self, count: u64, above: u64) {
        let mut life = Life {
            node: self.identity.node,
            count,
            run: self.lives.run,
            above,
            cloned: self.lives.cloned,
            signature: Signature([0; 64]),
        };
        life.signature = self.identity.keys.sign(&life.signed_bytes());
        self.take_life(life, None);
    }

    /// A neighbour's copy of a record.
    pub(super) fn lived(&mut self, from: Neighbour, life: Life) -> Result<(), Misconduct> {
        let (node, me) = (life.node, self.identity.node);
        let known = self.lives.get(node);
        let news = known.is_none_or(|known| known.rank() < life.rank());
        // An older one of our own key may still be the proof.
        let of_a_clone = node == me && life.above == self.lives.run && !self.lives.cloned;
        let keys = &self.identity.keys;
        if !(news || of_a_clone) || life.count >= LIMIT || !keys.is_member(node) {
            return Ok(());
        }
        if !keys.verify(node, &life.signed_bytes(), &life.signature) {
            return Err(Misconduct::Forged(node));
        }
        if !self.lives.admit(self.now, node) {
            return Ok(());
        }
        if node != me {
            self.take_life(life, Some(from));
        } else if life.run != self.lives.run {
            self.met_myself(life, from, news);
        }
        Ok(())
    }

    /// Another run of this very node spoke.
    fn met_myself(&mut self, other: Life, from: Neighbour, news: bool) {
        self.lives.cloned |= other.above == self.lives.run;
        let said = if news {
            other.cloned
        } else {
            self.is_cloned(other.node)
        };
        if !(self.lives.cloned && said) {
            let highest = self.lives.get(other.node).map_or(0, |life| life.count);
            self.live(highest.max(other.count).saturating_add(1), other.run);
        } else if news {
            self.take_life(other, Some(from));
        }
    }

    /// The routes found out by the numbers of this node that come back to it.
    pub(super) fn met_by_routes(&mut self) {
        if !std::mem::replace(&mut self.lives.cloned, true) && !self.is_cloned(self.identity.node) {
            let known = self.lives.get(self.identity.node);
            let (count, above) = known.map_or((0, 0), |life| (life.count, life.above));
            self.live(count.saturating_add(1), above);
        }
    }

    /// A record is in force: keeps it, passes it on, and tells of what changes by it.
    fn take_life(&mut self, life: Life, from: Option<Neighbour>) {
        let (node, before) = (life.node, self.is_cloned(life.node));
        self.lives.keep(self.now, life);
        for (&neighbour, link) in &mut self.links {
            if Some(neighbour) != from {
                link.lives.insert(node);
                self.outputs.push_back(Output::Ready { neighbour });
            }
        }
        if before != life.cloned {
            let present = life.cloned;
            self.outputs.push_back(Output::Cloned { node, present });
        }
    }

    /// A node is no member any more.
    pub(super) fn forget_life(&mut self, node: NodeId) {
        if self.is_cloned(node) {
            let present = false;
            self.outputs.push_back(Output::Cloned { node, present });
        }
        self.lives.known.remove(&node);
    }
}
