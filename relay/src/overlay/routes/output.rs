//! What goes in and out of the routes.

use std::time::Duration;

use super::super::id::{Cost, Distance, Neighbour, NodeId, Seq};

/// What a neighbour says about an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Of the origin, as the neighbour's upstream has it.
    pub seq: Seq,
    /// From the neighbour to the origin; `None` is a retraction.
    pub distance: Option<Distance>,
    /// The neighbour takes no new children for this origin.
    pub full: bool,
    /// The neighbour forgets what it advertised: whoever pulls this origin from it must stop and say so.
    pub reset: bool,
}

/// A wish for a sequence number of `origin` not lower than `wanted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whose number it is.
    pub origin: NodeId,
    /// The lowest one that helps.
    pub wanted: Seq,
    /// Hops that it may still travel.
    pub ttl: u8,
}

/// Everything that is due for one neighbour, to be sent in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flush {
    /// Origins whose reset this node obeyed.
    pub reset_acks: Vec<NodeId>,
    /// In the order of the origins' ids.
    pub rows: Vec<(NodeId, Row)>,
    /// In the order of the origins' ids.
    pub requests: Vec<Request>,
}

impl Flush {
    pub(super) const fn is_empty(&self) -> bool {
        self.reset_acks.is_empty() && self.rows.is_empty() && self.requests.is_empty()
    }
}

/// What a neighbour is used for, for one origin. All but [`Tentative`](Self::Tentative) bind the feasibility distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The route: its distance is the one advertised.
    Primary,
    /// Becomes the primary when its media has caught up.
    Pending,
    /// Feeds single tracks, at the wish of the upstream chooser.
    Track,
    /// Was the primary, and may finish.
    Draining,
    /// Not feasible: used by a starved node on proof of fresh media, and never advertised.
    Tentative,
}

/// Why a route is what it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A row came.
    Row,
    /// The session with a neighbour ended.
    NeighbourDown,
    /// The cost of a link changed.
    Cost,
    /// A better path lasted, and there was no media that had to catch up.
    Better,
    /// The media of the pending upstream caught up.
    CaughtUp,
    /// A neighbour wanted a newer sequence number, and a feasible neighbour had it.
    Requested,
    /// The upstream chooser gave up a neighbour.
    Released,
    /// A timer ran out.
    Timer,
    /// Interest in the origin came or went.
    Interest,
    /// A neighbour is suspected no longer, or has become so.
    Suspicion,
    /// A neighbour said that it is about to go.
    Leaving,
    /// This node is the origin.
    Own,
}

/// Why a neighbour is not to be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// It has no route any more. A subscription there may stay until another delivers; it counts as tentative.
    Retracted,
    /// Its session ended.
    Down,
    /// It forgot what it advertised. Unsubscribe at once.
    Reset,
    /// This node got closer to the origin than the neighbour is known to be. Unsubscribe at once.
    Lowered,
    /// The time for draining is over.
    Drained,
    /// Its media did not catch up in time.
    Late,
    /// The media half gave it up.
    Released,
    /// A route without media moved on, so there is nothing to drain.
    Replaced,
    /// It was tentative, and a feasible upstream is there. A subscription may stay until that one delivers.
    Superseded,
    /// It was tentative and brought nothing fresh.
    Failed,
    /// It was tentative, and nobody wants the origin any more.
    Unwanted,
}

/// What the caller has to do or to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Something is due for this neighbour: call [`next_flush`](super::Routes::next_flush) until it returns `None`.
    Ready(Neighbour),
    /// The route to an origin is another one now, or none.
    RouteChanged {
        /// Where to.
        origin: NodeId,
        /// `None`: no route, or this node is the origin itself.
        primary: Option<Neighbour>,
        /// Length through the primary, zero at the origin.
        total: Option<Distance>,
        /// Why.
        cause: Cause,
    },
    /// A neighbour may be pulled from for an origin, in this role.
    Use {
        /// What is pulled.
        origin: NodeId,
        /// From whom.
        neighbour: Neighbour,
        /// As what.
        role: Role,
    },
    /// Move the tracks of this neighbour elsewhere and [`release`](super::Routes::release) it, or it is cut at the time given.
    Vacate {
        /// What is pulled.
        origin: NodeId,
        /// From whom.
        neighbour: Neighbour,
        /// The time when it is dropped.
        by: Duration,
    },
    /// A neighbour may be pulled from no longer.
    Drop {
        /// What was pulled.
        origin: NodeId,
        /// From whom.
        neighbour: Neighbour,
        /// Why.
        reason: DropReason,
    },
    /// This node, an origin, has a new sequence number: its beacon must be signed before the next flush.
    OwnSeq {
        /// The new one.
        seq: Seq,
    },
    /// This node had to leave its epoch for a greater one, which must be stored.
    Epoch {
        /// The new one.
        epoch: u64,
    },
    /// An operator must look.
    Alarm(Alarm),
}

/// What an operator must look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// Newer sequence numbers of this very node keep coming from elsewhere: another node has the same key.
    ClonedKey {
        /// The last one heard.
        heard: Seq,
        /// From whom.
        neighbour: Neighbour,
    },
}

/// One neighbour as a way to an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The session.
    pub neighbour: Neighbour,
    /// Who it is with.
    pub node: NodeId,
    /// Its own distance, `None` if it has no route.
    pub distance: Option<Distance>,
    /// Of the hop to it.
    pub cost: Cost,
    /// Both together.
    pub total: Option<Distance>,
    /// Whether it can be used without danger of a cycle.
    pub feasible: bool,
    /// Whether its session is suspected.
    pub suspect: bool,
    /// Whether it takes no new children.
    pub full: bool,
    /// The closest it ever was in this session.
    pub low: Option<super::super::id::Key>,
    /// What it is used for now.
    pub role: Option<Role>,
}

/// Why something from a neighbour was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nothing happened. The caller's session is gone already.
    #[error("the neighbour is not in session")]
    NoNeighbour,
    /// Nothing happened, and the table no longer mirrors the neighbour's: the session must be restarted.
    #[error("more rows than the neighbour may send")]
    Rows,
    /// The request was ignored. The neighbour misbehaves.
    #[error("more requests than the neighbour may send")]
    Requests,
    /// The request was ignored; the neighbour will ask again.
    #[error("more requests than the neighbour may send for one origin")]
    RequestsOfOrigin,
    /// The row was ignored. The neighbour knows of more origins than it may.
    #[error("more origins than the neighbour may advertise")]
    OriginsOfNeighbour,
    /// The row was ignored: The table is full of origins that were there before.
    #[error("more origins than fit")]
    Origins,
    /// The row was ignored. Only the origin itself is at distance zero.
    #[error("distance zero from a neighbour that is not the origin")]
    ZeroDistance,
    /// Nothing happened. No honest clock says this.
    #[error("an epoch beyond any clock")]
    Epoch,
}
