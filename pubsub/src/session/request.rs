//! What all requests have in common: what is kept of each, how the peer's are admitted, how they are refused.
//!
//! A request is over for us as soon as its exchange has ended; its stream may linger until the peer closes its half, so that a
//! message that must not follow is still noticed (draft sections "Session initialization", "Request Cancellation and
//! Rejection").

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::error::{IllegalMove, Violation};
use super::event::{Event, IncomingRequest, RequestKey};
use super::fetch::Fetch;
use super::namespace::Discovery;
use super::publication::Publication;
use super::subscription::Subscription;
use super::token::AuthToken;
use super::update::{Asked, PeerUpdate};
use super::{Session, goaway};
use crate::wire::control::{RequestError, StreamKind, kind};
use crate::wire::parameter::Scope;
use crate::wire::{
    DecodeError, EncodeError, Message, MessageReader, Parameters, RequestErrorCode, SessionCode, StreamCode,
    TrackNamespace, Version,
};

/// Who opened a request stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Opener {
    Us,
    Peer,
}

/// Our part in a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Publisher,
    Subscriber,
}

/// One request stream.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) opener: Opener,
    /// Its Request ID, once known.
    pub(super) id: Option<u64>,
    pub(super) reader: MessageReader,
    /// Bytes held for it, as counted in the session.
    pub(super) held: usize,
    /// Our half of the stream is open.
    pub(super) sending: bool,
    /// The peer's half of the stream is open.
    pub(super) receiving: bool,
    pub(super) goaway: goaway::State,
    pub(super) exchange: Exchange,
    /// Updates that we sent and the peer has not answered.
    pub(super) asked: VecDeque<Asked>,
    /// An update failed, which ends the request one way or another.
    pub(super) update_failed: bool,
    /// Updates of the peer that we have not answered.
    pub(super) updates: VecDeque<PeerUpdate>,
}

/// What a request stream is about, and where it stands.
#[derive(Debug)]
pub(super) enum Exchange {
    /// The peer's: its first message is not complete.
    Unread,
    /// We subscribe: our SUBSCRIBE or the peer's PUBLISH.
    Subscription(Subscription),
    /// We publish: the peer's SUBSCRIBE or our PUBLISH.
    Publication(Publication),
    /// FETCH.
    Fetch(Fetch),
    /// TRACK_STATUS without an answer; with one it is over.
    TrackStatus,
    /// PUBLISH_NAMESPACE, SUBSCRIBE_NAMESPACE, SUBSCRIBE_TRACKS.
    Discovery(Discovery),
    /// Ended.
    Over(After),
}

/// What the peer may still send on the stream of a request that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// We ended it; the peer may not know yet.
    Anything,
    /// The peer sent its last message.
    Nothing,
}

impl Exchange {
    pub(super) const fn is_fetch(&self) -> bool {
        matches!(self, Self::Fetch(_))
    }

    /// Whether the request was read and is not over.
    pub(super) const fn is_known(&self) -> bool {
        !matches!(self, Self::Unread | Self::Over(_))
    }

    /// Whether the request was accepted and is not over.
    pub(super) const fn is_answered(&self) -> bool {
        match self {
            Self::Subscription(state) => matches!(state, Subscription::Established { .. }),
            Self::Publication(state) => matches!(state, Publication::Established { .. }),
            Self::Fetch(state) => matches!(state, Fetch::Running),
            Self::Discovery(state) => state.is_answered(),
            Self::Unread | Self::TrackStatus | Self::Over(_) => false,
        }
    }

    /// Whether a request of ours, of this kind, has no answer.
    pub(super) const fn awaits_answer(&self) -> bool {
        match self {
            Self::Subscription(state) => matches!(state, Subscription::Requested { .. }),
            Self::Publication(state) => state.is_offered(),
            Self::Fetch(state) => matches!(state, Fetch::Asked { .. }),
            Self::TrackStatus => true,
            Self::Discovery(state) => !state.is_answered(),
            Self::Unread | Self::Over(_) => false,
        }
    }

    /// For [`IllegalMove::State`].
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Unread => "not read yet",
            Self::Subscription(state) => state.name(),
            Self::Publication(state) => state.name(),
            Self::Fetch(state) => state.name(),
            Self::TrackStatus => "a track status without answer",
            Self::Discovery(state) => state.name(),
            Self::Over(_) => "over",
        }
    }
}

impl Request {
    /// Whether `error` is the UNSUBSCRIBE of an older draft on a SUBSCRIBE of the peer. It can mean nothing else there, and
    /// closing the whole session over it would cut off clients that otherwise speak this draft.
    pub(super) fn is_left_by(&self, error: &DecodeError) -> bool {
        matches!(
            error,
            DecodeError::UnknownType {
                value: kind::UNSUBSCRIBE,
                ..
            }
        ) && self.opener == Opener::Peer
            && matches!(self.exchange, Exchange::Publication(_))
    }

    pub(super) fn new(opener: Opener, version: Version, exchange: Exchange) -> Self {
        Self {
            opener,
            id: None,
            reader: MessageReader::new(version, StreamKind::Request),
            held: 0,
            sending: true,
            receiving: true,
            goaway: goaway::State::default(),
            exchange,
            asked: VecDeque::new(),
            update_failed: false,
            updates: VecDeque::new(),
        }
    }

    pub(super) const fn illegal(&self) -> IllegalMove {
        IllegalMove::State {
            state: self.exchange.name(),
        }
    }
}

/// Encodes one message.
pub(super) fn encode(version: Version, message: &Message) -> Result<Bytes, EncodeError> {
    let mut buf = BytesMut::new();
    message.encode(version, &mut buf)?;
    Ok(buf.freeze())
}

impl Session {
    /// Ends a request of ours: our SUBSCRIBE, FETCH, namespace request and so on. A subscription in which we publish is
    /// better ended with [`publish_done`](Self::publish_done). Does nothing if it is over.
    pub fn cancel(&mut self, key: RequestKey, code: StreamCode) {
        if self.live(key).is_ok() {
            self.abandon(key, code);
        }
    }

    /// Ends a request of the peer without answering it, or after having accepted it: unsubscribes from what it publishes,
    /// breaks off a fetch, revokes a namespace. Does nothing if it is over.
    pub fn revoke(&mut self, key: RequestKey, code: StreamCode) {
        self.cancel(key, code);
    }

    /// Rejects a request of the peer.
    ///
    /// # Errors
    /// [`IllegalMove`] says why nothing was sent.
    pub fn reject(&mut self, key: RequestKey, error: RequestError) -> Result<(), IllegalMove> {
        let request = self.live(key)?;
        let offered = match &request.exchange {
            Exchange::Subscription(state) => matches!(state, Subscription::Offered { .. }),
            Exchange::Publication(state) => matches!(state, Publication::Requested { .. }),
            Exchange::Fetch(state) => matches!(state, Fetch::Offered),
            Exchange::TrackStatus => request.opener == Opener::Peer,
            Exchange::Discovery(state) => request.opener == Opener::Peer && !state.is_answered(),
            Exchange::Unread | Exchange::Over(_) => false,
        };
        if !offered {
            return Err(request.illegal());
        }
        self.send(key, &Message::RequestError(error))?;
        self.over(key, After::Anything);
        Ok(())
    }
    /// What every request of the peer goes through. `None` if it was rejected here.
    pub(super) fn admit(
        &mut self,
        key: RequestKey,
        id: u64,
        parameters: &mut Parameters,
        scope: Scope,
        namespace: Option<&TrackNamespace>,
    ) -> Result<Option<Vec<AuthToken>>, Violation> {
        self.register_peer_id(id)?;
        parameters.check(scope)?;
        let tokens = self
            .tokens
            .resolve(std::mem::take(&mut parameters.authorization_tokens))?;
        if let Some(request) = self.requests.get_mut(&key) {
            request.id = Some(id);
            self.by_id.insert(id, key);
        }
        let refused = match (tokens, namespace) {
            _ if self.goaway.sent => (RequestErrorCode::GOING_AWAY, "going away"),
            (Err(rejection), _) => (rejection.code, rejection.reason),
            // draft §3.2.1, §3.2.2: never passed to the application, unless an extension was agreed, whose tracks live there.
            (_, Some(namespace))
                if namespace.is_dot()
                    || (namespace.is_session() && !(self.agreed && scope == Scope::Subscribe)) =>
            {
                (RequestErrorCode::DOES_NOT_EXIST, "reserved namespace")
            }
            (Ok(tokens), _) => return Ok(Some(tokens)),
        };
        self.refuse(key, refused.0, refused.1);
        Ok(None)
    }

    /// Notes a Request ID of the peer.
    pub(super) fn register_peer_id(&mut self, id: u64) -> Result<(), Violation> {
        if self.seen_ids.insert(id) {
            return Ok(());
        }
        Err(Violation::new(
            SessionCode::INVALID_REQUEST_ID,
            "Request ID used twice or of the wrong parity",
        ))
    }

    /// Passes a request of the peer to the application.
    pub(super) fn offer(
        &mut self,
        key: RequestKey,
        exchange: Exchange,
        request: IncomingRequest,
        tokens: Vec<AuthToken>,
    ) {
        if let Some(state) = self.requests.get_mut(&key) {
            state.exchange = exchange;
            self.events.push_back(Event::Request { key, request, tokens });
        }
    }

    /// Rejects a request of the peer by the draft's rules, without the application.
    pub(super) fn refuse(&mut self, key: RequestKey, code: RequestErrorCode, reason: &str) {
        let error = RequestError {
            code,
            retry_after_ms: None,
            reason: reason.to_owned(),
            redirect: None,
        };
        match self.send(key, &Message::RequestError(error)) {
            Ok(()) => self.over(key, After::Anything),
            Err(_too_long) => self.abandon(key, StreamCode::INTERNAL_ERROR),
        }
    }

    /// Counts again what is held for a request, and resets it if the session holds too much.
    pub(super) fn count_held(&mut self, key: RequestKey) {
        let Some(request) = self.requests.get_mut(&key) else {
            return;
        };
        let waiting = match &request.exchange {
            Exchange::Fetch(Fetch::Held(fetch)) => fetch.size(),
            _ => 0,
        };
        let updates: usize = request.updates.iter().map(PeerUpdate::size).sum();
        let now = request.reader.held() + waiting + updates;
        let before = std::mem::replace(&mut request.held, now);
        self.held_bytes = self.held_bytes - before + now;
        if self.held_bytes > self.config.limits.held_bytes && now > before {
            self.lost(key, Some(StreamCode::EXCESSIVE_LOAD));
            self.abandon(key, StreamCode::EXCESSIVE_LOAD);
        }
    }
}
