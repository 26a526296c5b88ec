//! What a hub wants done.

use headwater_pubsub::wire::control::{RequestError, RequestOk};
use headwater_pubsub::wire::{
    FullTrackName, Location, Parameters, PublishDoneCode, StreamCode, TrackName, TrackNamespace,
};

use super::input::{JoiningStart, Origin, RequestRef, SessionId, Tag, TrackId};
use crate::overlay::id::NodeId;
use crate::overlay::message::Entry;

/// A request that the hub has opened. Authorization tokens and the Request ID are the node's to add.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are what their types and the variant say")]
pub enum Outgoing {
    /// SUBSCRIBE: its objects feed the track.
    Subscribe {
        track: TrackId,
        name: FullTrackName,
        origin: Origin,
        parameters: Parameters,
    },
    /// PUBLISH, with the largest object and the properties of the track.
    Publish {
        track: TrackId,
        name: FullTrackName,
        parameters: Parameters,
    },
    /// FETCH, standalone: its objects fill the track.
    Fetch {
        track: TrackId,
        name: FullTrackName,
        origin: Origin,
        start: Location,
        end: Location,
        parameters: Parameters,
    },
    /// FETCH, standalone, for what a track missed since its `Bridge`: its objects are owed to subscribers. If nothing is
    /// missing, `Rejected` says so.
    Repair { track: TrackId, name: FullTrackName },
    /// TRACK_STATUS.
    TrackStatus {
        name: FullTrackName,
        origin: Origin,
        parameters: Parameters,
    },
}

/// Which objects a downstream FETCH is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are what their types and the variant say")]
pub enum ServedRange {
    /// As asked; the largest object that the track knows is the largest there is, and clips it. INVALID_RANGE is the node's
    /// to find out.
    Live { start: Location, end: Location },
    /// The publisher has said where the range ends: the FETCH_OK can be sent as it is.
    Known {
        start: Location,
        end: Location,
        end_of_track: bool,
    },
    /// Up to the joining location of the subscription. INVALID_RANGE is the node's to find out.
    Joining {
        subscription: RequestRef,
        start: JoiningStart,
    },
}

/// See [`Output::Upstream`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamState {
    /// SUBSCRIBE_OK.
    Established,
    /// REQUEST_ERROR, or no answer.
    Refused,
    /// PUBLISH_DONE, or the session broke.
    Left,
}

/// What a [`Hub`](super::Hub) wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are what their types and the variant say")]
pub enum Output {
    /// Send a request. Owed in return: one `Accepted`, `Rejected` or (PUBLISH) `Blocked`.
    Open {
        session: SessionId,
        tag: Tag,
        request: Outgoing,
    },
    /// Send REQUEST_UPDATE on an upstream subscription. Owed in return: one `UpdateAnswered`.
    Update {
        request: RequestRef,
        parameters: Parameters,
    },
    /// Cancel a request: reset and STOP_SENDING. It is over; answers to it may still be fed and are ignored.
    Close { request: RequestRef, code: StreamCode },

    /// Make the track. Comes before the first output that names it.
    TrackCreated { track: TrackId, name: FullTrackName },
    /// The publishers of the track are elsewhere from now on: only groups after the largest known may come of them.
    TrackMoved { track: TrackId },
    /// The only source of the track is about to be replaced: note how far it brought the track, and keep what is incomplete,
    /// until `Bridged` or the end of the track.
    Bridge { track: TrackId },
    /// See `Bridge`.
    Bridged { track: TrackId },
    /// No source is left or the track is malformed: end every subscription it is served to with PUBLISH_DONE, once its
    /// objects are delivered (at once if malformed). All are over.
    TrackEnded {
        track: TrackId,
        code: PublishDoneCode,
        reason: String,
    },
    /// Forget the track. Nothing names it afterwards.
    TrackDropped { track: TrackId },
    /// Report the largest group of the track, now and when it grows, or stop doing so.
    WatchLargestGroup { track: TrackId, watch: bool },

    /// Answer SUBSCRIBE_OK (or INVALID_RANGE and `SubscriptionEnded`) and start delivering.
    ServeSubscribe {
        request: RequestRef,
        track: TrackId,
        parameters: Parameters,
    },
    /// Our PUBLISH was accepted: start delivering as PUBLISH_OK, whose parameters these are, says.
    ServePublish {
        request: RequestRef,
        track: TrackId,
        parameters: Parameters,
    },
    /// Answer FETCH_OK and start delivering; `Hole` asks for what is missing.
    ServeFetch {
        request: RequestRef,
        track: TrackId,
        range: ServedRange,
        parameters: Parameters,
    },
    /// Answer TRACK_STATUS as SUBSCRIBE_OK would be. The request is over.
    ServeTrackStatus { request: RequestRef, track: TrackId },
    /// Pass on the publisher's answer to TRACK_STATUS. The request is over.
    AnswerTrackStatus { request: RequestRef, ok: RequestOk },
    /// Answer PUBLISH_OK with this forward state and NEW_GROUP_REQUEST; the objects feed the track.
    AcceptPublish {
        request: RequestRef,
        track: TrackId,
        forward: bool,
        new_group_request: Option<u64>,
    },
    /// Answer REQUEST_OK to a namespace request.
    Accept { request: RequestRef },
    /// Answer REQUEST_ERROR and FIN. The request is over.
    Reject {
        request: RequestRef,
        error: RequestError,
    },

    /// Apply the update to the subscription or fetch being served, and answer REQUEST_OK.
    ApplyUpdate {
        request: RequestRef,
        parameters: Parameters,
    },
    /// Answer REQUEST_OK to an update that changes nothing in the data plane.
    AcceptUpdate { request: RequestRef },
    /// Answer REQUEST_ERROR to the update and end the request as its kind requires (PUBLISH_DONE UPDATE_FAILED, FIN). It is
    /// over.
    FailUpdate {
        request: RequestRef,
        error: RequestError,
    },

    /// End one subscription that is served with PUBLISH_DONE, whatever it is still owed. It is over.
    EndServed {
        request: RequestRef,
        code: PublishDoneCode,
        reason: String,
    },
    /// The same, but it is over only when [`Input::SubscriptionEnded`](super::Input::SubscriptionEnded) says that PUBLISH_DONE
    /// was sent.
    Withdraw {
        request: RequestRef,
        code: PublishDoneCode,
        reason: String,
    },
    /// End one PUBLISH that was not answered yet with PUBLISH_DONE. It is over.
    EndSubscription {
        request: RequestRef,
        code: PublishDoneCode,
        reason: String,
    },
    /// Reset a fetch that is being served. It is over.
    ResetFetch { request: RequestRef, code: StreamCode },
    /// The hole was filled as far as a publisher could: look again.
    HoleFilled {
        request: RequestRef,
        start: Location,
        end: Location,
    },
    /// Nothing exists in the hole, says a publisher.
    HoleEmpty {
        request: RequestRef,
        start: Location,
        end: Location,
    },
    /// Nobody can tell in time what is in the hole: report it as unknown and go on.
    HoleGivenUp {
        request: RequestRef,
        start: Location,
        end: Location,
    },

    /// Send NAMESPACE.
    Namespace {
        request: RequestRef,
        suffix: TrackNamespace,
    },
    /// Send NAMESPACE_DONE.
    NamespaceDone {
        request: RequestRef,
        suffix: TrackNamespace,
    },
    /// Send PUBLISH_BLOCKED.
    PublishBlocked {
        request: RequestRef,
        suffix: TrackNamespace,
        name: TrackName,
    },

    /// A track whose publishers are at another node is wanted: owed are `Upstream`s that say where to pull it from.
    Want {
        track: TrackId,
        name: FullTrackName,
        origin: NodeId,
    },
    /// A track of this name is wanted and may be published elsewhere: a `Pin` is owed if it is.
    Seek { name: FullTrackName },
    /// It is wanted no more; all its `Upstream`s are void.
    Unwant { track: TrackId },
    /// What became of pulling a track from a neighbour. After `Refused` and `Left` its `Upstream` is void.
    Upstream {
        track: TrackId,
        session: SessionId,
        state: UpstreamState,
    },
    /// A neighbour pulls something of an origin through this node, or no longer anything.
    Child {
        session: SessionId,
        origin: NodeId,
        present: bool,
    },
    /// Something is published here that was not, or no longer.
    Announce { entry: Entry, present: bool },
}

impl Output {
    /// The session that has to act, if it is one session's business.
    pub const fn session(&self) -> Option<SessionId> {
        match self {
            Self::Open { session, .. } => Some(*session),
            Self::TrackCreated { .. }
            | Self::TrackMoved { .. }
            | Self::Bridge { .. }
            | Self::Bridged { .. }
            | Self::Want { .. }
            | Self::Seek { .. }
            | Self::Unwant { .. }
            | Self::Upstream { .. }
            | Self::Child { .. }
            | Self::Announce { .. }
            | Self::TrackEnded { .. }
            | Self::TrackDropped { .. }
            | Self::WatchLargestGroup { .. } => None,
            Self::Update { request, .. }
            | Self::Close { request, .. }
            | Self::ServeSubscribe { request, .. }
            | Self::ServePublish { request, .. }
            | Self::ServeFetch { request, .. }
            | Self::ServeTrackStatus { request, .. }
            | Self::AnswerTrackStatus { request, .. }
            | Self::AcceptPublish { request, .. }
            | Self::Accept { request }
            | Self::Reject { request, .. }
            | Self::ApplyUpdate { request, .. }
            | Self::AcceptUpdate { request }
            | Self::FailUpdate { request, .. }
            | Self::EndServed { request, .. }
            | Self::Withdraw { request, .. }
            | Self::EndSubscription { request, .. }
            | Self::ResetFetch { request, .. }
            | Self::HoleFilled { request, .. }
            | Self::HoleEmpty { request, .. }
            | Self::HoleGivenUp { request, .. }
            | Self::Namespace { request, .. }
            | Self::NamespaceDone { request, .. }
            | Self::PublishBlocked { request, .. } => Some(request.session()),
        }
    }
}
