//! What can be asked of the routes. Nothing here changes anything.

use super::super::id::{Distance, Key, Neighbour, NodeId, Seq};
use super::Routes;
use super::output::{Candidate, Role};

impl Routes {
    /// Every neighbour as a way to an origin, in the order of their sessions.
    pub fn candidates(&self, origin: NodeId) -> impl Iterator<Item = Candidate> + use<'_> {
        self.origins.get(origin).into_iter().flat_map(|route| {
            route.paths(&self.neighbours).map(|(link, adjacent)| Candidate {
                neighbour: adjacent.neighbour,
                node: adjacent.node,
                distance: link.heard.distance,
                cost: adjacent.cost,
                total: link.total(adjacent),
                feasible: link.heard.distance.is_some() && link.feasible(route.fd),
                suspect: adjacent.suspect,
                full: link.full,
                low: link.low.key(),
                role: link.role,
            })
        })
    }

    /// The upstream of the route to an origin.
    #[must_use]
    pub fn primary(&self, origin: NodeId) -> Option<Neighbour> {
        self.origins.get(origin)?.primary
    }

    /// Length of the route to an origin; zero at the origin itself.
    #[must_use]
    pub fn total(&self, origin: NodeId) -> Option<Distance> {
        self.origins.get(origin)?.total
    }

    /// The tentative upstream that brought fresh media, where there is no route.
    #[must_use]
    pub fn proved_tentative(&self, origin: NodeId) -> Option<Neighbour> {
        self.origins
            .get(origin)
            .filter(|route| route.proved)?
            .holder(&self.neighbours, Role::Tentative)
    }

    /// What this node advertises for an origin: the key that its neighbours hear.
    #[must_use]
    pub fn advertised(&self, origin: NodeId) -> Option<Key> {
        self.origins.get(origin)?.mine.key()
    }

    /// The closest key that this node ever advertised for an origin, and never will undercut without dropping upstreams.
    #[must_use]
    pub fn feasibility_distance(&self, origin: NodeId) -> Option<Key> {
        self.origins.get(origin)?.fd
    }

    /// All origins heard of and not forgotten, in order.
    pub fn origins(&self) -> impl Iterator<Item = NodeId> + use<'_> {
        self.origins.iter().map(|route| route.origin)
    }

    /// This node's own sequence number, announced or not.
    #[must_use]
    pub const fn own_seq(&self) -> Seq {
        self.own.seq
    }
}
