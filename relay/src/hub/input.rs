//! What a hub is told: sessions coming and going, what peers ask and answer, and what the data plane finds out.

use std::fmt;

use bytes::Bytes;
use headwater_pubsub::wire::control::{PublishDone, RequestError, RequestOk};
use headwater_pubsub::wire::{FullTrackName, Location, Parameters, TrackNamespace};

use crate::overlay::id::NodeId;
use crate::overlay::message::Entry;

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident,)+) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(pub u64);

            impl From<u64> for $name {
                fn from(id: u64) -> Self {
                    Self(id)
                }
            }

            impl From<$name> for u64 {
                fn from(id: $name) -> Self {
                    id.0
                }
            }
        )+
    };
}

ids! {
    /// A session, numbered by the node and never reused.
    SessionId,
    /// A request stream that the peer of a session opened, numbered by the node and never reused within the session.
    RequestKey,
    /// A request that the hub had opened, numbered by the hub and never reused.
    Tag,
    /// One life of a track, numbered by the hub and never reused: a track that ended and comes back has a new one.
    TrackId,
}

/// A request stream, named by whoever opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestRef {
    /// The peer of the session opened it.
    Peer(SessionId, RequestKey),
    /// The hub had it opened in the session.
    Hub(SessionId, Tag),
}

impl RequestRef {
    /// The session it runs in.
    pub const fn session(self) -> SessionId {
        match self {
            Self::Peer(session, _) | Self::Hub(session, _) => session,
        }
    }
}

/// Where the publishers of a track are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// At this node.
    Here,
    /// At another node of the mesh. What comes from there and what is published here under one name are two tracks, since
    /// neighbours that served one from the other could feed each other in a circle.
    Node(NodeId),
}

/// Who a session acts for, as far as the ownership of namespaces goes: a node key, a hash of a token, an address, as
/// the node sees fit. Sessions of equal identity share their namespaces. `Debug` hides the bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub Bytes);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} bytes)", self.0.len())
    }
}

/// What a session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rights {
    /// Subscribe and fetch; PUBLISH and PUBLISH_NAMESPACE are UNAUTHORIZED.
    Subscribe,
    /// Publish as well.
    Publish,
}

/// What a FETCH asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchRange {
    /// A range of a named track.
    Standalone {
        /// The track.
        track: FullTrackName,
        /// As in [`Input::Subscribe`].
        origin: Option<Origin>,
        /// First location.
        start: Location,
        /// As on the wire: last object plus one, or object 0 for the whole group.
        end: Location,
    },
    /// What precedes the joining location of a subscription of the same session.
    Joining {
        /// The subscription, once its Request ID is resolved; `None` if the session knows no such request.
        subscription: Option<RequestRef>,
        /// Where to begin.
        start: JoiningStart,
    },
}

/// Where a joining FETCH begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JoiningStart {
    /// This many groups before the joining location's.
    Relative(u64),
    /// This group.
    Absolute(u64),
}

/// A positive answer to a request that the hub had opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// SUBSCRIBE_OK.
    Subscribe {
        /// The track has the property DYNAMIC_GROUPS with value 1.
        dynamic_groups: bool,
    },
    /// PUBLISH_OK.
    Publish {
        /// Its parameters.
        parameters: Parameters,
    },
    /// FETCH_OK.
    Fetch {
        /// As on the wire.
        end: Location,
        /// `end` covers the last object of the track.
        end_of_track: bool,
    },
    /// TRACK_STATUS_OK.
    TrackStatus(RequestOk),
}

/// How the data stream of an upstream FETCH ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FillOutcome {
    /// With FIN: what did not come is absent or was marked.
    Complete,
    /// Before its end.
    Failed,
}

/// What a [`Hub`](super::Hub) is fed; see there for what is owed in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are what their types and the variant say")]
pub enum Input {
    /// A session is set up.
    SessionUp {
        session: SessionId,
        identity: Identity,
        rights: Rights,
    },
    /// A session has shown another token: it acts for this identity and may do this from now on.
    SessionRights {
        session: SessionId,
        identity: Identity,
        rights: Rights,
    },
    /// A session is closed or lost, and with it every request in it.
    SessionDown { session: SessionId },
    /// The peer sent GOAWAY: nothing new is asked of it.
    SessionGoaway { session: SessionId },
    /// This node drains: every new request is refused with GOING_AWAY, what runs goes on.
    GoingAway,

    /// SUBSCRIBE. `origin`: whose publishers are meant, from a neighbour that knows; `None` from everybody else.
    Subscribe {
        session: SessionId,
        key: RequestKey,
        track: FullTrackName,
        origin: Option<Origin>,
        parameters: Parameters,
    },
    /// PUBLISH. `dynamic_groups`: the track has the property DYNAMIC_GROUPS with value 1.
    Publish {
        session: SessionId,
        key: RequestKey,
        track: FullTrackName,
        dynamic_groups: bool,
    },
    /// FETCH.
    Fetch {
        session: SessionId,
        key: RequestKey,
        range: FetchRange,
        parameters: Parameters,
    },
    /// TRACK_STATUS.
    TrackStatus {
        session: SessionId,
        key: RequestKey,
        track: FullTrackName,
        origin: Option<Origin>,
    },
    /// PUBLISH_NAMESPACE.
    PublishNamespace {
        session: SessionId,
        key: RequestKey,
        namespace: TrackNamespace,
    },
    /// SUBSCRIBE_NAMESPACE.
    SubscribeNamespace {
        session: SessionId,
        key: RequestKey,
        prefix: TrackNamespace,
    },
    /// SUBSCRIBE_TRACKS.
    SubscribeTracks {
        session: SessionId,
        key: RequestKey,
        prefix: TrackNamespace,
        parameters: Parameters,
    },
    /// REQUEST_UPDATE from the peer, on any request.
    Updated {
        request: RequestRef,
        parameters: Parameters,
    },
    /// The peer ended the request stream: a requester its request, a publisher a subscription without PUBLISH_DONE.
    Cancelled { request: RequestRef },

    /// A request of the hub was answered positively. LARGEST_OBJECT and properties are already in the track.
    Accepted { tag: Tag, answer: Answer },
    /// A request of the hub was refused; it is over.
    Rejected { tag: Tag, error: RequestError },
    /// PUBLISH_DONE of an upstream subscription, after its last object; it is over.
    Done { request: RequestRef, done: PublishDone },
    /// The answer to one [`Output::Update`](super::Output::Update). LARGEST_OBJECT is already in the track.
    UpdateAnswered {
        request: RequestRef,
        result: Result<(), RequestError>,
    },
    /// The peer wants an upstream request of the hub made elsewhere (GOAWAY on its stream); it goes on until then.
    RequestGoaway { request: RequestRef },
    /// A PUBLISH of the hub could not be sent for want of stream credit; it is over.
    Blocked { tag: Tag },

    /// The largest group of a track the hub watches: at once when it begins to, and each time it grows.
    LargestGroup { track: TrackId, group: Option<u64> },
    /// A downstream FETCH cannot go on: nothing is known of the objects from `start` up to `end` (as in FETCH). The next
    /// one comes only after the answer to this.
    Hole {
        request: RequestRef,
        start: Location,
        end: Location,
    },
    /// The data stream of an upstream FETCH is over, its objects are in the track, and it was accepted before; it is over.
    FillDone { tag: Tag, outcome: FillOutcome },
    /// An upstream subscription or FETCH broke the rules of its track.
    Malformed { request: RequestRef },
    /// The data plane ended a downstream subscription that was served: range over, too far behind, INVALID_RANGE.
    SubscriptionEnded { request: RequestRef },
    /// The data plane finished a downstream FETCH that was served, or refused or reset it.
    FetchEnded { request: RequestRef },

    /// Clients that ask for this name without saying whose are served from this origin from now on, those that are served
    /// already included. Not remembered beyond the track.
    Pin { name: FullTrackName, origin: Origin },
    /// A track of the mesh is to be pulled from this neighbour as well, or no longer.
    Upstream {
        track: TrackId,
        session: SessionId,
        wanted: bool,
    },
    /// The neighbour that leads to an origin: who is asked by FETCH and TRACK_STATUS while no subscription runs.
    Route {
        origin: NodeId,
        session: Option<SessionId>,
    },
    /// Somebody in the mesh announces this, or nobody any more.
    Remote { entry: Entry, present: bool },
    /// Only the time.
    Tick,
}
