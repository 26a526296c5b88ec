//! Request streams as the transport reports them: opened, read, closed, reset.
//!
//! What a bare FIN of the requester means is only settled after this draft: here it ends the namespace requests, as the draft
//! says of two of them, and leaves SUBSCRIBE, FETCH and TRACK_STATUS alive (draft section "Request Cancellation and Rejection").

use bytes::Bytes;

use super::Session;
use super::alias::AliasEnd;
use super::config::Time;
use super::error::Violation;
use super::event::{Event, RequestKey};
use super::fetch::Fetch;
use super::namespace::Discovery;
use super::publication::Publication;
use super::request::{After, Exchange, Opener, Request};
use super::setup::Kept;
use crate::wire::{Message, StreamCode};

impl Session {
    /// Requests of the peer that are not over.
    pub const fn peer_requests(&self) -> usize {
        self.peer_requests
    }

    /// The peer opened a bidirectional stream. The key is to be used for its bytes; it may be reset at once for a limit.
    pub fn accept(&mut self) -> RequestKey {
        let key = self.take_key();
        if self.is_closed() {
            return key;
        }
        let limits = &self.config.limits;
        let no_room = self.peer_requests >= limits.open_requests
            || self
                .control
                .early_streams()
                .is_some_and(|kept| kept >= limits.early_requests);
        self.requests.insert(
            key,
            Request::new(Opener::Peer, self.config.version, Exchange::Unread),
        );
        self.peer_requests += 1;
        if no_room {
            self.abandon(key, StreamCode::EXCESSIVE_LOAD);
        } else {
            self.control.keep_stream(key);
        }
        key
    }

    /// Bytes of a request stream, in order and without holes.
    pub fn recv(&mut self, now: Time, key: RequestKey, bytes: Bytes) {
        self.now = self.now.max(now);
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
        self.count_held(key);
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

    fn read(&mut self, key: RequestKey) -> Result<(), Violation> {
        while !self.is_closed()
            && let Some(request) = self.requests.get_mut(&key)
            && !matches!(request.exchange, Exchange::Over(After::Anything))
        {
            match request.reader.poll() {
                Ok(Some(message)) => {
                    self.check_received(&message)?;
                    self.message_received(key, message)?;
                }
                Ok(None) => break,
                Err(error) if request.is_left_by(&error) => self.cut(key, StreamCode::CANCELLED),
                Err(error) => return Err(error.into()),
            }
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
}
