//! The life of a request stream: opened, written, ended, forgotten.

use super::alias::AliasEnd;
use super::error::{IllegalMove, RequestRefused};
use super::event::{Event, RequestKey, Transmit};
use super::fetch::Fetch;
use super::request::{After, Exchange, Opener, Request, Role, encode};
use super::{Phase, Session, Timer};
use crate::wire::control::StreamKind;
use crate::wire::{EncodeError, Message, MessageReader, StreamCode, TrackNamespace};

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
            Phase::Open => Ok(()),
            Phase::Closed => Err(IllegalMove::Closed),
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

    pub(super) const fn take_key(&mut self) -> RequestKey {
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
    pub(super) fn cut(&mut self, key: RequestKey, code: StreamCode) {
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
    pub(super) fn settle(&mut self, key: RequestKey) {
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
    pub(super) fn release(&mut self, key: RequestKey, how: AliasEnd, after: After) {
        let Some(request) = self.requests.get_mut(&key) else {
            return;
        };
        let opener = request.opener;
        let ended = std::mem::replace(&mut request.exchange, Exchange::Over(after));
        request.updates.clear();
        if after == After::Anything {
            // What it still says does not matter, so nothing of it is kept.
            request.reader = MessageReader::new(self.config.version, StreamKind::Request);
        }
        request.asked.clear();
        if let Some(id) = request.id
            && self.by_id.get(&id) == Some(&key)
        {
            self.by_id.remove(&id);
        }
        self.timers.remove(&Timer::RequestGoaway(key));
        self.timers.remove(&Timer::Extend(key));
        self.held_fetches.remove(&key);
        self.held_bytes -= std::mem::replace(&mut request.held, 0);
        let (role, subject) = match ended {
            Exchange::Subscription(state) => {
                if let Some(alias) = state.alias() {
                    self.aliases.end(alias, key, how);
                }
                (Role::Subscriber, state.into_subject())
            }
            Exchange::Publication(state) => (Role::Publisher, state.into_subject()),
            _ => return,
        };
        let entry = (role, opener, subject);
        if self.roles.get(&entry) == Some(&key) {
            self.roles.remove(&entry);
        }
    }

    pub(super) fn forget(&mut self, key: RequestKey) {
        if let Some(request) = self.requests.remove(&key) {
            self.held_bytes -= request.held;
            if request.opener == Opener::Peer {
                self.peer_requests -= 1;
            }
        }
        self.lingering.retain(|lingering| *lingering != key);
    }
}
