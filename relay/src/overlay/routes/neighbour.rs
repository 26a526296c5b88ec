//! A neighbour in session: its link, what it may still send, and for which origins something is due to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::id::{Cost, Neighbour, NodeId, Seq};
use super::config::Limits;
use super::limits::Bucket;

/// Where a neighbour stands among all, which are sorted, or where it belongs.
pub(super) fn position(neighbours: &[Adjacent], neighbour: Neighbour) -> Result<usize, usize> {
    neighbours.binary_search_by_key(&neighbour, |adjacent| adjacent.neighbour)
}

/// State of a session that is not about one origin.
#[derive(Clone, Debug)]
pub(super) struct Adjacent {
    pub(super) neighbour: Neighbour,
    pub(super) node: NodeId,
    pub(super) cost: Cost,
    pub(super) suspect: bool,
    /// It said that it is about to go.
    pub(super) leaving: bool,
    /// Origins that it has a distance to.
    pub(super) origins: u32,
    pub(super) rows: Bucket,
    pub(super) asks: Bucket,
    /// Origins whose row may differ from the last one sent. A set, so that however slow the neighbour reads, it is bounded.
    pub(super) dirty: BTreeSet<NodeId>,
    pub(super) requests: BTreeMap<NodeId, (Seq, u8)>,
    pub(super) reset_acks: BTreeSet<NodeId>,
    /// When the next flush is due; dirty origins beyond that ride along.
    pub(super) due: Option<Duration>,
    /// Whether the caller was told, and has not drained since.
    pub(super) ready: bool,
}

impl Adjacent {
    pub(super) fn new(
        now: Duration,
        neighbour: Neighbour,
        node: NodeId,
        cost: Cost,
        limits: &Limits,
    ) -> Self {
        let table = limits.origins_per_neighbour;
        Self {
            neighbour,
            node,
            cost,
            suspect: false,
            leaving: false,
            origins: 0,
            rows: Bucket::new(now, limits.rows, table.max(limits.rows)),
            asks: Bucket::new(now, limits.requests, table.max(limits.requests)),
            dirty: BTreeSet::new(),
            requests: BTreeMap::new(),
            reset_acks: BTreeSet::new(),
            due: None,
            ready: false,
        }
    }

    /// The row of `origin` goes out at `at`, or with the next flush if there is no hurry at all.
    pub(super) fn mark(&mut self, origin: NodeId, at: Option<Duration>) {
        self.dirty.insert(origin);
        if let Some(at) = at {
            self.hasten(at);
        }
    }

    /// A flush at `at` at the latest.
    pub(super) fn hasten(&mut self, at: Duration) {
        if self.due.is_none_or(|due| at < due) {
            self.due = Some(at);
        }
    }

    /// A request goes out now; of two for one origin the one for the newer number is enough.
    pub(super) fn ask(&mut self, now: Duration, origin: NodeId, wanted: Seq, ttl: u8) {
        let entry = self.requests.entry(origin).or_insert((wanted, ttl));
        *entry = (entry.0.max(wanted), entry.1.max(ttl));
        self.hasten(now);
    }
}
