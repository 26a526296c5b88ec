//! What is known about one neighbour: which logs it has, which it wants pushed, and what is still to be said to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Limits;
use crate::overlay::id::NodeId;
use crate::overlay::message::MAX_CHUNK;

/// A stretch of traffic that refills with time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    bytes: u64,
    burst: u64,
    rate: u64,
    at: Duration,
}

impl Bucket {
    pub(super) const fn new(now: Duration, rate: u64, burst: u64) -> Self {
        Self {
            bytes: burst,
            burst,
            rate,
            at: now,
        }
    }

    fn refill(&mut self, now: Duration) {
        let millis = u64::try_from(now.saturating_sub(self.at).as_millis()).unwrap_or(u64::MAX);
        let gained = self.rate.saturating_mul(millis) / 1000;
        if gained > 0 {
            self.bytes = self.bytes.saturating_add(gained).min(self.burst);
            self.at = now;
        }
    }

    /// Whether `bytes` may pass; they are then gone.
    pub(super) fn take(&mut self, now: Duration, bytes: u64) -> bool {
        self.refill(now);
        let passes = self.bytes >= bytes;
        if passes {
            self.bytes -= bytes;
        }
        passes
    }

    /// They did not pass after all.
    pub(super) const fn give_back(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// When `bytes` may pass.
    pub(super) fn ready_at(&self, bytes: u64) -> Duration {
        let missing = bytes.min(self.burst).saturating_sub(self.bytes);
        self.at + Duration::from_millis(missing.saturating_mul(1000) / self.rate.max(1) + 1)
    }
}

/// How news of an origin go from one neighbour to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feed {
    /// The changes, at once.
    Eager,
    /// Only that there are some.
    Lazy,
}

/// One origin's log at a neighbour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// Epoch and version that it has, as far as it said or was sent.
    pub(super) has: (u64, u64),
    /// What it was told that we have.
    pub(super) told: (u64, u64),
    /// How it wants to hear what is new.
    pub(super) feed: Feed,
    /// Bytes that may still be pushed before it has to ask; 0: nothing is on its way.
    pub(super) left: u64,
    /// How we want to hear what is new from it.
    pub(super) wanted: Feed,
    /// What it knows about that.
    pub(super) said_wanted: Feed,
    /// A pull is to be sent.
    pub(super) pull: bool,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            has: (0, 0),
            told: (0, 0),
            feed: Feed::Eager,
            left: 0,
            wanted: Feed::Eager,
            said_wanted: Feed::Eager,
            pull: false,
        }
    }
}

impl Peer {
    /// Version that it has of this epoch.
    pub(super) const fn version(&self, epoch: u64) -> u64 {
        if self.has.0 == epoch { self.has.1 } else { 0 }
    }

    pub(super) fn learn(&mut self, at: (u64, u64)) {
        self.has = self.has.max(at);
    }
}

/// One neighbour.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peers: BTreeMap<NodeId, Peer>,
    /// Origins with something to say at once.
    pub(super) urgent: BTreeSet<NodeId>,
    /// Origins whose version is to be said.
    pub(super) lazy: BTreeSet<NodeId>,
    /// When `lazy` is due.
    pub(super) lazy_at: Duration,
    /// Whether the versions of all that was held when the session began were said.
    pub(super) introduced: bool,
    pub(super) sending: Bucket,
    pub(super) receiving: Bucket,
    /// Pushes wait until then for their share of the link.
    pub(super) blocked_until: Duration,
    /// It was announced as ready and not flushed since.
    pub(super) ready: bool,
}

impl Link {
    pub(super) fn new(now: Duration, limits: &Limits) -> Self {
        let burst = limits.log_burst.max(2 * MAX_CHUNK as u64);
        Self {
            peers: BTreeMap::new(),
            urgent: BTreeSet::new(),
            lazy: BTreeSet::new(),
            lazy_at: now,
            introduced: false,
            sending: Bucket::new(now, limits.log_rate, burst),
            // The network may bunch what was sent evenly.
            receiving: Bucket::new(now, limits.log_rate + limits.log_rate / 4, 4 * burst),
            blocked_until: Duration::ZERO,
            ready: false,
        }
    }

    pub(super) fn peer(&mut self, origin: NodeId) -> &mut Peer {
        self.peers.entry(origin).or_default()
    }

    /// The version of `origin` is to be said, with others of the next moments.
    pub(super) fn say_later(&mut self, origin: NodeId, at: Duration) {
        if self.lazy.is_empty() {
            self.lazy_at = at;
        }
        self.lazy.insert(origin);
    }

    /// When there is something to write.
    pub(super) fn due(&self) -> Option<Duration> {
        let lazy = (!self.lazy.is_empty()).then_some(self.lazy_at);
        let urgent = (!self.urgent.is_empty()).then_some(self.blocked_until);
        lazy.into_iter().chain(urgent).min()
    }
}
