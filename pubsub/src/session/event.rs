//! What a session tells the application and the transport, as values.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::token::AuthToken;
use crate::wire::control::{PublishDone, RequestError};
use crate::wire::{FullTrackName, Location, Parameters, Properties, SessionCode, StreamCode, TrackNamespace};

/// Handle of one request stream in either direction. Local to a session; never reused, ordered by age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKey(pub(super) u64);

#[cfg(test)]
impl RequestKey {
    /// For tests of those who only pass keys on.
    pub(crate) const fn of(number: u64) -> Self {
        Self(number)
    }
}

impl From<RequestKey> for u64 {
    fn from(key: RequestKey) -> Self {
        key.0
    }
}

impl fmt::Debug for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What the peer said in SETUP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerSetup {
    /// PATH, checked for its syntax; only from a client over QUIC.
    pub path: Option<Bytes>,
    /// AUTHORITY, checked for its syntax; only from a client over QUIC.
    pub authority: Option<Bytes>,
    /// Tokens for the session as a whole.
    pub tokens: Vec<AuthToken>,
    /// How many bytes of tokens we may register with the peer.
    pub max_auth_token_cache_size: u64,
    /// Name and version of the implementation; sanitise before showing it.
    pub implementation: Option<Bytes>,
    /// Options that the draft does not define, as received.
    pub extensions: Properties,
}

/// What a FETCH of ours asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchTarget {
    /// A range of a named track.
    Standalone {
        /// The track.
        track: FullTrackName,
        /// First location.
        start: Location,
        /// Last object plus one, or object 0 for the whole of group `end.group`.
        end: Location,
    },
    /// Up to the joining location of a subscription of ours, from `groups` groups before.
    RelativeJoining {
        /// The subscription.
        subscription: RequestKey,
        /// How many groups before the joining location's.
        groups: u64,
    },
    /// Up to the joining location of a subscription of ours, from a group.
    AbsoluteJoining {
        /// The subscription.
        subscription: RequestKey,
        /// First group.
        group: u64,
    },
}

/// A request of the peer, to be accepted or rejected. Authorization tokens are taken out of the parameters and come
/// resolved with [`Event::Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IncomingRequest {
    /// SUBSCRIBE: accept with [`accept_subscribe`](super::Session::accept_subscribe).
    Subscribe {
        /// The track.
        track: FullTrackName,
        /// As received.
        parameters: Parameters,
    },
    /// PUBLISH: accept with [`accept_publish`](super::Session::accept_publish).
    Publish {
        /// The track.
        track: FullTrackName,
        /// Names the track in the peer's data streams and datagrams.
        alias: u64,
        /// As received.
        parameters: Parameters,
        /// Track Properties.
        properties: Properties,
    },
    /// FETCH: accept with [`accept_fetch`](super::Session::accept_fetch).
    Fetch {
        /// The track.
        track: FullTrackName,
        /// First location.
        start: Location,
        /// Last object plus one, or object 0 for the whole of group `end.group`.
        end: Location,
        /// The subscription that a joining fetch refers to; the range is then already computed from it.
        joining: Option<RequestKey>,
        /// As received.
        parameters: Parameters,
    },
    /// TRACK_STATUS: accept with [`accept_track_status`](super::Session::accept_track_status).
    TrackStatus {
        /// The track.
        track: FullTrackName,
        /// As received.
        parameters: Parameters,
    },
    /// PUBLISH_NAMESPACE: accept with [`accept_namespace_request`](super::Session::accept_namespace_request).
    PublishNamespace {
        /// The namespace.
        namespace: TrackNamespace,
        /// As received.
        parameters: Parameters,
    },
    /// SUBSCRIBE_NAMESPACE: accept likewise, then send [`namespace`](super::Session::namespace)s.
    SubscribeNamespace {
        /// The prefix.
        prefix: TrackNamespace,
        /// As received.
        parameters: Parameters,
    },
    /// SUBSCRIBE_TRACKS: accept likewise, then [`publish`](super::Session::publish) what matches.
    SubscribeTracks {
        /// The prefix.
        prefix: TrackNamespace,
        /// As received.
        parameters: Parameters,
    },
}

/// The positive answer to a request of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accepted {
    /// SUBSCRIBE_OK
    Subscribe {
        /// Names the track in the peer's data streams and datagrams.
        alias: u64,
        /// As received.
        parameters: Parameters,
        /// Track Properties.
        properties: Properties,
    },
    /// PUBLISH_OK
    Publish {
        /// As received.
        parameters: Parameters,
    },
    /// FETCH_OK
    Fetch {
        /// All objects of the track were published and `end` covers the last.
        end_of_track: bool,
        /// Last object plus one, or object 0 for the whole of group `end.group`.
        end: Location,
        /// As received.
        parameters: Parameters,
        /// Track Properties.
        properties: Properties,
    },
    /// TRACK_STATUS_OK; the request is over.
    TrackStatus {
        /// As received.
        parameters: Parameters,
        /// Track Properties.
        properties: Properties,
    },
    /// REQUEST_OK to PUBLISH_NAMESPACE, SUBSCRIBE_NAMESPACE or SUBSCRIBE_TRACKS.
    Namespace,
}

/// What a session tells the application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The peer's SETUP came.
    Established(PeerSetup),
    /// The peer asks something: answer once, when ready.
    Request {
        /// The request.
        key: RequestKey,
        /// What is asked.
        request: IncomingRequest,
        /// Tokens that came with it, resolved.
        tokens: Vec<AuthToken>,
    },
    /// The peer wants to change a request that was accepted: answer with [`answer_update`](super::Session::answer_update),
    /// once each, in order.
    Updated {
        /// The request.
        key: RequestKey,
        /// What changes; absent parameters keep their value.
        parameters: Parameters,
        /// Tokens that came with it, resolved.
        tokens: Vec<AuthToken>,
    },
    /// The peer cancelled or closed what it had asked, answered or not. The request is over.
    Cancelled {
        /// The request.
        key: RequestKey,
        /// Why, if the peer reset or stopped the stream; `None` if it closed it.
        code: Option<StreamCode>,
    },
    /// The peer accepted a request of ours.
    Accepted {
        /// The request.
        key: RequestKey,
        /// Its answer.
        answer: Accepted,
    },
    /// A request of ours failed: refused by the peer, or its answer unusable (UNSUPPORTED_EXTENSION), or a SUBSCRIBE overtaken
    /// by the peer's PUBLISH of the same track that we accepted (DUPLICATE_SUBSCRIPTION). The request is over.
    Rejected {
        /// The request.
        key: RequestKey,
        /// Why.
        error: RequestError,
    },
    /// The peer answered our oldest unanswered [`update`](super::Session::update) of this request. After an error a
    /// subscription ends: the publisher, perhaps we, sends PUBLISH_DONE.
    UpdateAnswered {
        /// The request.
        key: RequestKey,
        /// The parameters of REQUEST_OK, or the error.
        result: Result<Parameters, RequestError>,
    },
    /// The peer limits a subscription by EXPIRES and refuses to extend it, which ends it as any refused update does: the
    /// publisher, perhaps we, sends PUBLISH_DONE.
    NotExtended {
        /// The subscription.
        key: RequestKey,
        /// Why.
        error: RequestError,
    },
    /// An update of the peer to a subscription in which we publish broke a rule and was refused without asking: close its
    /// streams and send PUBLISH_DONE.
    UpdateFailed {
        /// The subscription.
        key: RequestKey,
    },
    /// The publisher ended a subscription. Streams and datagrams may still be under way.
    PublishDone {
        /// The subscription.
        key: RequestKey,
        /// Why, and how many streams there were.
        done: PublishDone,
    },
    /// A namespace under the prefix of our SUBSCRIBE_NAMESPACE exists.
    Namespace {
        /// The namespace subscription.
        key: RequestKey,
        /// The whole namespace.
        namespace: TrackNamespace,
    },
    /// A namespace reported before is gone; also sent for each one when the namespace subscription ends.
    NamespaceDone {
        /// The namespace subscription.
        key: RequestKey,
        /// The whole namespace.
        namespace: TrackNamespace,
    },
    /// The publisher cannot PUBLISH a track that matches our SUBSCRIBE_TRACKS, and will not: subscribe to it instead.
    PublishBlocked {
        /// The track subscription.
        key: RequestKey,
        /// The track.
        track: FullTrackName,
    },
    /// The peer will close the session: no new requests are possible; move what is open and close.
    Goaway {
        /// Where to connect instead; empty: the same URI.
        uri: Bytes,
        /// How long the peer will wait; zero: no promise.
        timeout: Duration,
        /// Requests of ours from this ID on were not processed.
        request_id: u64,
    },
    /// The peer wants one request moved.
    RequestGoaway {
        /// The request.
        key: RequestKey,
        /// Where to ask instead; empty: this session.
        uri: Bytes,
        /// How long the peer will wait; zero: no promise.
        timeout: Duration,
    },
    /// The responder ended a request of ours: it was revoked, or its stream closed. The request is over.
    Ended {
        /// The request.
        key: RequestKey,
        /// Why, if the peer reset or stopped the stream, or we did for a limit; `None` if the peer closed it.
        code: Option<StreamCode>,
    },
    /// The transport had no credit for a request of ours that did not want to wait; it was not sent and is over.
    OpenRefused {
        /// The request.
        key: RequestKey,
    },
    /// The session is over; the last event.
    Closed {
        /// The code on the wire.
        code: SessionCode,
        /// For people.
        reason: String,
    },
}

/// What a session wants the transport to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// Write to our control stream, opening it (unidirectional) the first time.
    Control(Bytes),
    /// Open a bidirectional stream, remember it under `key` and write.
    Open {
        /// The new request.
        key: RequestKey,
        /// Its first bytes.
        bytes: Bytes,
        /// Do not wait for stream credit: if there is none, call [`open_refused`](super::Session::open_refused).
        if_credit: bool,
    },
    /// Write to a request stream.
    Write {
        /// The request.
        key: RequestKey,
        /// Whole messages.
        bytes: Bytes,
    },
    /// Close our half of a request stream.
    Finish {
        /// The request.
        key: RequestKey,
    },
    /// Reset our half of a request stream.
    Reset {
        /// The request.
        key: RequestKey,
        /// Why.
        code: StreamCode,
    },
    /// Ask the peer to stop its half of a request stream; nothing of it needs to be fed any more.
    Stop {
        /// The request.
        key: RequestKey,
        /// Why.
        code: StreamCode,
    },
    /// Close the transport session; nothing follows.
    Close {
        /// Why.
        code: SessionCode,
        /// For people.
        reason: String,
    },
}
