//! Request streams: opening, reading, ending, and what all requests have in common.
//!
//! A request is over for us as soon as its exchange has ended; its stream may linger until the peer closes its half, so that a
//! message that must not follow is still noticed (draft sections "Session initialization", "Request Cancellation and
//! Rejection"). What a bare FIN of the requester means is only settled after this draft: here it ends the namespace requests,
//! as the draft says of two of them, and leaves SUBSCRIBE, FETCH and TRACK_STATUS alive.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::alias::AliasEnd;
use super::error::{IllegalMove, RequestRefused, Violation};
use super::event::{Event, IncomingRequest, RequestKey, Time, Transmit};
use super::fetch::Fetch;
use super::namespace::Discovery;
use super::publication::Publication;
use super::setup::Kept;
use super::subscription::Subscription;
use super::token::AuthToken;
use super::update::PeerUpdate;
use super::{Session, Timer, goaway};
use crate::wire::control::{RequestError, StreamKind};
use crate::wire::parameter::Scope;
use crate::wire::{
    EncodeError, Message, MessageReader, Parameters, RequestErrorCode, SessionCode, StreamCode,
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
    reader: MessageReader,
    /// Bytes that the reader holds, as counted in the session.
    partial: usize,
    /// Our half of the stream is open.
    pub(super) sending: bool,
    /// The peer's half of the stream is open.
    receiving: bool,
    pub(super) goaway: goaway::State,
    pub(super) exchange: Exchange,
    /// Updates that we sent and the peer has not answered, each with the prefix that it sets.
    pub(super) asked: VecDeque<Option<TrackNamespace>>,
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
    fn new(opener: Opener, version: Version, exchange: Exchange) -> Self {
        Self {
            opener,
            id: None,
            reader: MessageReader::new(version, StreamKind::Request),
            partial: 0,
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

// What the transport reports.
impl Session {
    /// The peer opened a bidirectional stream. The key is to be used for its bytes; it may be reset at once for a limit.
    pub fn accept(&mut self) -> RequestKey {
        let key = self.take_key();
        if self.is_closed() {
            return key;
        }
        let limits = &self.config.limits;
        let no_room = self.requests.len() >= limits.open_requests
            || self
                .control
                .early_streams()
                .is_some_and(|kept| kept >= limits.early_requests);
        self.requests.insert(
            key,
            Request::new(Opener::Peer, self.config.version, Exchange::Unread),
        );
        if no_room {
            self.abandon(key, StreamCode::EXCESSIVE_LOAD);
        } else {
            self.control.keep_stream(key);
        }
        key
    }

    /// Bytes of a request stream, in order and without holes.
    pub fn recv(&mut self, _now: Time, key: RequestKey, bytes: Bytes) {
        let Some(request) = self.requests.get_mut(&key) else {
            return;
        };
        if !request.receiving || matches!(request.exchange, Exchange::Over(After::Anything)) {
            return;
        }
        match self.keep_early(key, &bytes) {
            Kept::Yes => return,
            Kept::Overflow => return self.refuse_early(key),
            Kept::No => {}
        }
        if let Some(request) = self.requests.get_mut(&key) {
            request.reader.push(bytes);
        }
        let result = self.read(key);
        self.check(result);
        self.count_partial(key);
    }

    /// The peer closed its half of a request stream.
    pub fn recv_fin(&mut self, _now: Time, key: RequestKey) {
        if self.control.keep_fin(key) {
            return;
        }
        let Some(request) = self.requests.get_mut(&key) else {
            return;
        };
        request.receiving = false;
        let cut = !request.reader.is_empty();
        let (opener, failed) = (request.opener, request.update_failed);
        let ends = match (&request.exchange, opener) {
            (Exchange::Over(_), _) => return self.settle(key),
            _ if cut => return self.fail(Violation::protocol("request stream closed inside a message")),
            (Exchange::Unread, _) => return self.abandon(key, StreamCode::CANCELLED),
            (Exchange::Publication(_) | Exchange::Fetch(_) | Exchange::TrackStatus, Opener::Peer) => false,
            // A responder may close its half once it has answered what needs no more messages.
            (Exchange::Publication(Publication::Established { .. } | Publication::Failing { .. }), _) => {
                false
            }
            (
                Exchange::Fetch(Fetch::Running) | Exchange::Discovery(Discovery::Publishing { .. }),
                Opener::Us,
            ) => failed || !request.exchange.is_answered(),
            _ => true,
        };
        if ends {
            self.lost(key, None);
            self.over(key, After::Anything);
        }
    }

    /// The peer reset its half of a request stream.
    pub fn recv_reset(&mut self, key: RequestKey, code: StreamCode) {
        self.control.drop_stream(key);
        let Some(request) = self.requests.get_mut(&key) else {
            return;
        };
        request.receiving = false;
        self.cut(key, code);
    }

    /// The peer asked us to stop our half of a request stream.
    pub fn recv_stop(&mut self, key: RequestKey, code: StreamCode) {
        self.control.drop_stream(key);
        if self.requests.contains_key(&key) {
            self.cut(key, code);
        }
    }

    /// The transport has no credit for a [`Transmit::Open`](super::Transmit::Open) that does not wait.
    pub fn open_refused(&mut self, key: RequestKey) {
        let Some(request) = self.requests.get(&key) else {
            return;
        };
        if let Some(id) = request.id {
            self.next_id.give_back(id);
        }
        self.release(key, AliasEnd::Cancelled, After::Anything);
        self.forget(key);
        self.events.push_back(Event::OpenRefused { key });
    }

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
}

// Reading.
impl Session {
    fn read(&mut self, key: RequestKey) -> Result<(), Violation> {
        while !self.is_closed()
            && let Some(request) = self.requests.get_mut(&key)
            && !matches!(request.exchange, Exchange::Over(After::Anything))
            && let Some(message) = request.reader.poll()?
        {
            self.message_received(key, message)?;
        }
        Ok(())
    }

    fn message_received(&mut self, key: RequestKey, message: Message) -> Result<(), Violation> {
        let Some(request) = self.requests.get(&key) else {
            return Ok(());
        };
        match (&request.exchange, message) {
            (Exchange::Over(_), _) => Err(Violation::protocol("message after the last of its request")),
            (Exchange::Unread, message) => self.first_message(key, message),
            (_, Message::Goaway(goaway)) => self.request_goaway_received(key, goaway),
            (_, Message::RequestUpdate(update)) => self.update_received(key, update),
            (_, Message::RequestOk(ok)) => self.ok_received(key, ok),
            (_, Message::RequestError(error)) => self.error_received(key, error),
            (Exchange::Subscription(_), Message::SubscribeOk(ok)) => self.subscribe_ok_received(key, ok),
            (Exchange::Subscription(_), Message::PublishDone(done)) => self.publish_done_received(key, done),
            (Exchange::Fetch(_), Message::FetchOk(ok)) => self.fetch_ok_received(key, ok),
            (Exchange::Discovery(_), Message::Namespace(found)) => {
                self.namespace_received(key, &found.suffix)
            }
            (Exchange::Discovery(_), Message::NamespaceDone(gone)) => {
                self.namespace_done_received(key, &gone.suffix)
            }
            (Exchange::Discovery(_), Message::PublishBlocked(blocked)) => {
                self.publish_blocked_received(key, &blocked)
            }
            _ => Err(Violation::protocol("message does not belong to its request")),
        }
    }

    fn first_message(&mut self, key: RequestKey, message: Message) -> Result<(), Violation> {
        match message {
            Message::Subscribe(request) => self.subscribe_received(key, request),
            Message::Publish(request) => self.publish_received(key, request),
            Message::Fetch(request) => self.fetch_received(key, request),
            Message::TrackStatus(request) => self.track_status_received(key, request),
            Message::PublishNamespace(request) => self.publish_namespace_received(key, request),
            Message::SubscribeNamespace(request) => self.subscribe_namespace_received(key, request),
            Message::SubscribeTracks(request) => self.subscribe_tracks_received(key, request),
            _ => Err(Violation::protocol(
                "request stream does not begin with a request",
            )),
        }?;
        self.wake_fetches();
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
            // draft §3.2.1, §3.2.2: never passed to the application.
            (_, Some(namespace)) if namespace.is_dot() || namespace.is_session() => {
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

    /// Holds the bytes of incomplete messages to their bound.
    fn count_partial(&mut self, key: RequestKey) {
        let Some(request) = self.requests.get_mut(&key) else {
            return;
        };
        let before = std::mem::replace(&mut request.partial, request.reader.held());
        self.partial_bytes = self.partial_bytes - before + request.partial;
        if self.partial_bytes > self.config.limits.partial_bytes {
            self.lost(key, Some(StreamCode::EXCESSIVE_LOAD));
            self.abandon(key, StreamCode::EXCESSIVE_LOAD);
        }
    }
}

// Opening, sending, ending.
impl Session {
    /// A request that is not over.
    pub(super) fn live(&self, key: RequestKey) -> Result<&Request, IllegalMove> {
        self.check_open()?;
        match self.requests.get(&key) {
            Some(request) if request.exchange.is_known() => Ok(request),
            _ => Err(IllegalMove::Ended),
        }
    }

    pub(super) const fn check_open(&self) -> Result<(), IllegalMove> {
        match self.phase {
            super::Phase::Open => Ok(()),
            super::Phase::Closed => Err(IllegalMove::Closed),
        }
    }

    /// Whether a new request may be sent at all.
    pub(super) fn check_may_ask(&self, namespace: Option<&TrackNamespace>) -> Result<(), RequestRefused> {
        if self.is_closed() {
            return Err(RequestRefused::Closed);
        }
        if self.goaway.received {
            return Err(RequestRefused::GoingAway);
        }
        match namespace {
            Some(namespace) if namespace.is_dot() => Err(RequestRefused::Reserved),
            _ => Ok(()),
        }
    }

    /// Opens a request stream of ours with the message that `message` makes of its Request ID.
    pub(super) fn open(
        &mut self,
        exchange: Exchange,
        if_credit: bool,
        message: impl FnOnce(u64) -> Message,
    ) -> Result<RequestKey, RequestRefused> {
        let id = self.next_id.take();
        let bytes = match encode(self.config.version, &message(id)) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.next_id.give_back(id);
                return Err(error.into());
            }
        };
        let key = self.take_key();
        let mut request = Request::new(Opener::Us, self.config.version, exchange);
        request.id = Some(id);
        self.requests.insert(key, request);
        self.by_id.insert(id, key);
        self.transmits.push_back(Transmit::Open {
            key,
            bytes,
            if_credit,
        });
        Ok(key)
    }

    const fn take_key(&mut self) -> RequestKey {
        let key = RequestKey(self.next_key);
        self.next_key += 1;
        key
    }

    /// Sends a message on the stream of a request. It is dropped if our half is closed.
    pub(super) fn send(&mut self, key: RequestKey, message: &Message) -> Result<(), EncodeError> {
        let bytes = encode(self.config.version, message)?;
        if self.requests.get(&key).is_some_and(|request| request.sending) {
            self.transmits.push_back(Transmit::Write { key, bytes });
        }
        Ok(())
    }

    /// Tells the application that the peer, or a limit, ended a request that it knows.
    pub(super) fn lost(&mut self, key: RequestKey, code: Option<StreamCode>) {
        let Some(request) = self.requests.get_mut(&key) else {
            return;
        };
        let told = match &mut request.exchange {
            Exchange::Unread | Exchange::Over(_) | Exchange::Fetch(Fetch::Held(_)) => false,
            Exchange::Discovery(state) => {
                let namespaces = if request.opener == Opener::Us {
                    state.take_namespaces()
                } else {
                    Vec::new()
                };
                let gone = namespaces
                    .into_iter()
                    .map(|namespace| Event::NamespaceDone { key, namespace });
                self.events.extend(gone);
                true
            }
            _ => true,
        };
        if told {
            self.events.push_back(match request.opener {
                Opener::Us => Event::Ended { key, code },
                Opener::Peer => Event::Cancelled { key, code },
            });
        }
    }

    /// The peer reset or stopped a stream: the request ends, and so does the rest of the stream.
    fn cut(&mut self, key: RequestKey, code: StreamCode) {
        self.lost(key, Some(code));
        self.abandon(key, StreamCode::CANCELLED);
    }

    /// Ends a request and both halves of its stream at once.
    pub(super) fn abandon(&mut self, key: RequestKey, code: StreamCode) {
        self.release(key, AliasEnd::Cancelled, After::Anything);
        self.control.drop_stream(key);
        let Some(request) = self.requests.get(&key) else {
            return;
        };
        if request.sending {
            self.transmits.push_back(Transmit::Reset { key, code });
        }
        if request.receiving {
            self.transmits.push_back(Transmit::Stop { key, code });
        }
        self.forget(key);
        self.wake_fetches();
    }

    /// Ends a request and our half of its stream; the peer's half may linger.
    pub(super) fn over(&mut self, key: RequestKey, after: After) {
        let how = if after == After::Nothing {
            AliasEnd::Done
        } else {
            AliasEnd::Cancelled
        };
        self.release(key, how, after);
        let Some(request) = self.requests.get_mut(&key) else {
            return;
        };
        if std::mem::replace(&mut request.sending, false) {
            self.transmits.push_back(Transmit::Finish { key });
        }
        self.settle(key);
        self.wake_fetches();
    }

    /// Forgets a request that is over once the peer's half is closed, or lets it linger.
    fn settle(&mut self, key: RequestKey) {
        if self.requests.get(&key).is_some_and(|request| !request.receiving) {
            return self.forget(key);
        }
        if !self.lingering.contains(&key) {
            self.lingering.push_back(key);
        }
        if self.lingering.len() > self.config.limits.lingering_requests
            && let Some(&oldest) = self.lingering.front()
        {
            self.transmits.push_back(Transmit::Stop {
                key: oldest,
                code: StreamCode::CANCELLED,
            });
            self.forget(oldest);
        }
    }

    /// Takes a request out of all tables but the one of streams.
    fn release(&mut self, key: RequestKey, how: AliasEnd, after: After) {
        let Some(request) = self.requests.get_mut(&key) else {
            return;
        };
        let opener = request.opener;
        let ended = std::mem::replace(&mut request.exchange, Exchange::Over(after));
        request.updates.clear();
        request.asked.clear();
        if let Some(id) = request.id
            && self.by_id.get(&id) == Some(&key)
        {
            self.by_id.remove(&id);
        }
        self.timers.remove(&Timer::RequestGoaway(key));
        self.held_fetches.remove(&key);
        let (role, track) = match ended {
            Exchange::Subscription(state) => {
                if let Some(alias) = state.alias() {
                    self.aliases.end(alias, key, how);
                }
                (Role::Subscriber, state.into_track())
            }
            Exchange::Publication(state) => (Role::Publisher, state.into_track()),
            _ => return,
        };
        let entry = (role, opener, track);
        if self.roles.get(&entry) == Some(&key) {
            self.roles.remove(&entry);
        }
    }

    fn forget(&mut self, key: RequestKey) {
        if let Some(request) = self.requests.remove(&key) {
            self.partial_bytes -= request.partial;
        }
        self.lingering.retain(|lingering| *lingering != key);
    }
}
