//! What the overlay shows of itself, for status pages and metrics.

use std::collections::BTreeSet;
use std::time::Duration;

use headwater_pubsub::wire::{FullTrackName, TrackName, TrackNamespace};

use super::Overlay;
use super::why::why;
use crate::overlay::id::{Neighbour, NodeId};
use crate::overlay::routes::Candidate;

/// A neighbour as the overlay sees it.
#[derive(Clone, Debug)]
pub struct NeighbourView {
    /// The session.
    pub neighbour: Neighbour,
    /// Who it is.
    pub node: NodeId,
    /// Since when.
    pub since: Duration,
    /// What a hop to it costs, in microseconds.
    pub cost_us: u32,
    /// Round trip, once measured.
    pub srtt: Option<Duration>,
    /// Part of the packets towards this node that is lost, 0 to 1.
    pub loss: f64,
    /// Bytes of gossip sent and received.
    pub gossip: (u64, u64),
    /// Whether something is pulled from it.
    pub pulled: bool,
}

/// The route to an origin.
#[derive(Clone, Debug)]
pub struct RouteView {
    /// Where to.
    pub origin: NodeId,
    /// Through whom.
    pub primary: Option<Neighbour>,
    /// How far, in microseconds.
    pub total_us: Option<u32>,
    /// How much it announces.
    pub entries: usize,
    /// Whether a track of it is wanted here.
    pub wanted: bool,
}

/// Tracks looked at to find who announces a namespace.
const TRACKS: usize = 1000;

impl Overlay {
    /// The neighbours, by session.
    pub fn neighbours(&self) -> impl Iterator<Item = NeighbourView> + '_ {
        self.links.iter().map(|(&neighbour, link)| NeighbourView {
            neighbour,
            node: link.node,
            since: link.since,
            cost_us: link.cost().micros(),
            srtt: link.estimator.srtt(),
            loss: link.estimator.loss_ratio(),
            gossip: link.volume,
            pulled: self.upstreams.pulled_from(neighbour),
        })
    }

    /// The origins that are known.
    pub fn routes(&self) -> impl Iterator<Item = RouteView> + '_ {
        self.routes.origins().map(|origin| self.route(origin))
    }

    /// The route to one origin, as [`routes`](Self::routes) has it.
    pub fn route(&self, origin: NodeId) -> RouteView {
        RouteView {
            origin,
            primary: self.routes.primary(origin),
            total_us: self.routes.total(origin).map(|total| total.micros()),
            entries: self.logs.shown(origin).count(),
            wanted: self.is_wanted(origin),
        }
    }

    /// The nodes that announce a namespace, a part of it, or tracks in it; this node among them.
    pub fn origins_of(&self, namespace: &TrackNamespace) -> BTreeSet<NodeId> {
        let any = FullTrackName::new(namespace.clone(), TrackName::default()).ok();
        let tracks = self
            .logs
            .tracks_matching(namespace)
            .take(TRACKS)
            .filter(|track| track.namespace() == namespace);
        any.iter()
            .chain(tracks)
            .flat_map(|track| self.logs.origins_of(track))
            .collect()
    }

    /// Why the route to an origin is what it is, in a sentence.
    pub fn why(&self, origin: NodeId) -> String {
        if origin == self.identity.node {
            return "it is published at this node".to_owned();
        }
        why(&self.candidates(origin))
    }

    /// Whether a track of the origin is wanted, here or by neighbours.
    pub fn is_wanted(&self, origin: NodeId) -> bool {
        self.upstreams.is_wanted(origin)
    }

    /// The number of this boot.
    pub const fn epoch(&self) -> u64 {
        self.identity.epoch
    }

    /// Every neighbour as a way to an origin, and why it is one or not.
    pub fn candidates(&self, origin: NodeId) -> Vec<Candidate> {
        self.routes.candidates(origin).collect()
    }

    /// Mean deviation of the round trip to a neighbour, which its silence is judged by.
    pub fn jitter(&self, neighbour: Neighbour) -> Duration {
        self.links
            .get(&neighbour)
            .map_or(Duration::ZERO, |link| link.estimator.rttvar())
    }

    /// Whether anything is pulled from a neighbour.
    pub fn pulls_from(&self, neighbour: Neighbour) -> bool {
        self.upstreams.pulled_from(neighbour)
    }
}
