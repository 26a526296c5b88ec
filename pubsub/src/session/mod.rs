//! The control plane of MoQ Transport: who asked what, what may follow, and how it ends.
//!
//! [`Session`] is a state machine for either end of a connection and both roles at once (draft sections "Sessions",
//! "Publishing and Retrieving Tracks", "Namespace Discovery", "Control Messages"). It owns no socket, no clock and no
//! randomness: the driver feeds it bytes of the control stream and of request streams with the time, and carries out what it
//! queues. It does not see objects: data streams and datagrams are the driver's, which asks here what their track aliases and
//! Request IDs mean.
//!
//! One file per exchange: `setup` and `goaway` (control stream), `incoming` and `stream` (request streams), `request` (what all requests share), `update`
//! (REQUEST_UPDATE), `expiry` (EXPIRES), `extension` (parameters beside the draft), `subscription` (we subscribe), `publication` (we publish), `fetch`, `namespace`. Tables that all of them
//! use: `ids`, `alias`, `token`.
//!
//! What it leaves out: expiry of tokens and of subscriptions that we serve, rendezvous waits and authorization decisions, which need the
//! application's knowledge; timers of data streams; the choice of when PUBLISH_DONE is due.

mod alias;
mod config;
mod error;
mod event;
mod expiry;
mod extension;
mod fetch;
mod goaway;
mod ids;
mod incoming;
mod namespace;
mod publication;
mod request;
mod setup;
mod stream;
mod subscription;
mod token;
mod update;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use alias::AliasState;
pub use config::{Config, Limits, Side, Time, Transport};
pub use error::{IllegalMove, RequestRefused};
pub use event::{Accepted, Event, FetchTarget, IncomingRequest, PeerSetup, RequestKey, Transmit};
pub use token::AuthToken;

use crate::wire::SessionCode;
use alias::Aliases;
use error::Violation;
use extension::Subject;
use request::{Opener, Request, Role};

/// One MoQ Transport session, without its streams of objects.
///
/// Call any input or operation, then drain [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event), then
/// ask [`next_timeout`](Self::next_timeout); each input queues a bounded number of outputs, so draining after each keeps the
/// queues small. Inputs for a request that has ended are ignored, since the peer may not know of its end yet. After
/// [`Transmit::Close`] everything is ignored.
#[derive(Debug)]
pub struct Session {
    config: Config,
    phase: Phase,
    control: setup::Control,
    /// Both SETUPs carry the option of the extension that we are configured with.
    agreed: bool,
    goaway: goaway::State,
    timers: BTreeMap<Timer, Time>,
    /// Time of the latest input that told it.
    now: Time,
    requests: BTreeMap<RequestKey, Request>,
    next_key: u64,
    /// Requests that ended but whose stream the peer has not closed, oldest first.
    lingering: VecDeque<RequestKey>,
    /// Peer's joining fetches that wait for their subscription.
    held_fetches: BTreeSet<RequestKey>,
    /// Requests of the peer whose stream is not forgotten.
    peer_requests: usize,
    /// Bytes of messages on request streams that are incomplete or wait.
    held_bytes: usize,
    next_id: ids::Counter,
    seen_ids: ids::Seen,
    /// Requests that are not over by Request ID; ours and the peer's differ in parity.
    by_id: BTreeMap<u64, RequestKey>,
    /// Subscriptions that are not over: at most one per subject, role and opener.
    roles: BTreeMap<(Role, Opener, Subject), RequestKey>,
    aliases: Aliases,
    next_alias: u64,
    tokens: token::Cache,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Closed,
}

/// Everything that waits for time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The peer's SETUP is due.
    Setup,
    /// After our GOAWAY, requests should be gone.
    Goaway,
    /// After our GOAWAY on its stream, the request should be gone.
    RequestGoaway(RequestKey),
    /// The peer will terminate the subscription unless it is extended.
    Extend(RequestKey),
}

impl Session {
    /// A new session; our SETUP is queued at once, since nobody waits for the other's.
    ///
    /// # Errors
    /// If our SETUP cannot be encoded.
    pub fn new(now: Time, mut config: Config) -> Result<Self, crate::wire::EncodeError> {
        let token_bytes = *config
            .setup
            .max_auth_token_cache_size
            .get_or_insert(config.limits.token_cache_bytes);
        let setup = request::encode(config.version, &crate::wire::Message::Setup(config.setup.clone()))?;
        let timers = BTreeMap::from([(Timer::Setup, now.saturating_add(config.limits.setup_timeout))]);
        Ok(Self {
            phase: Phase::Open,
            control: setup::Control::new(config.version),
            agreed: false,
            goaway: goaway::State::default(),
            timers,
            now,
            requests: BTreeMap::new(),
            next_key: 0,
            lingering: VecDeque::new(),
            held_fetches: BTreeSet::new(),
            peer_requests: 0,
            held_bytes: 0,
            next_id: ids::Counter::new(config.side),
            seen_ids: ids::Seen::new(config.side.peer(), config.limits.request_id_holes),
            by_id: BTreeMap::new(),
            roles: BTreeMap::new(),
            aliases: Aliases::new(config.limits.ended_aliases),
            next_alias: 0,
            tokens: token::Cache::new(token_bytes),
            transmits: VecDeque::from([Transmit::Control(setup)]),
            events: VecDeque::new(),
            config,
        })
    }

    /// What the transport should do next.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// What the application should know next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn next_timeout(&self) -> Option<Time> {
        self.timers.values().min().copied()
    }

    /// Does what is due at `now`; harmless if nothing is.
    pub fn handle_timeout(&mut self, now: Time) {
        self.now = self.now.max(now);
        let due: Vec<Timer> = self
            .timers
            .iter()
            .filter(|&(_, &at)| at <= now)
            .map(|(&timer, _)| timer)
            .collect();
        for timer in due {
            self.timers.remove(&timer);
            match timer {
                Timer::Setup => self.fail(Violation::new(
                    SessionCode::CONTROL_MESSAGE_TIMEOUT,
                    "no SETUP from the peer in time",
                )),
                Timer::Goaway => self.goaway_expired(),
                Timer::RequestGoaway(key) => self.request_goaway_expired(key),
                Timer::Extend(key) => self.extend(key),
            }
        }
    }

    /// Closes the session. Does nothing if it is closed.
    pub fn close(&mut self, code: SessionCode, reason: &str) {
        self.fail(Violation::new(code, reason));
    }

    /// Whether the session is closed, by either end.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Whether extension parameters may be used: both SETUPs carry the option that [`Config::extension`] names. False before
    /// [`Event::Established`].
    pub const fn extension_agreed(&self) -> bool {
        self.agreed
    }

    /// What a track alias in a data stream or datagram of the peer stands for.
    pub fn alias(&self, alias: u64) -> AliasState {
        self.aliases.state(alias)
    }

    /// The fetch of ours that a fetch stream of the peer answers; `None` if it is over or never was.
    pub fn fetch_key(&self, request_id: u64) -> Option<RequestKey> {
        let key = self.by_id.get(&request_id)?;
        let request = self.requests.get(key)?;
        (request.opener == Opener::Us && request.exchange.is_fetch()).then_some(*key)
    }

    /// The Request ID of a request that is not over.
    pub fn request_id(&self, key: RequestKey) -> Option<u64> {
        self.requests.get(&key)?.id
    }

    /// Bytes kept of the peer's messages that are incomplete, wait for another, or came before its SETUP: at most
    /// `held_bytes + early_bytes` of [`Limits`], and one message on the control stream.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes + self.control.held()
    }

    /// How many requests, of both sides, are not over.
    pub fn open_requests(&self) -> usize {
        self.requests.len().saturating_sub(self.lingering.len())
    }

    fn fail(&mut self, violation: Violation) {
        if self.is_closed() {
            return;
        }
        let Violation { code, reason } = violation;
        self.phase = Phase::Closed;
        self.timers.clear();
        self.requests.clear();
        self.by_id.clear();
        self.roles.clear();
        self.held_fetches.clear();
        self.lingering.clear();
        self.control.discard();
        self.transmits.clear();
        self.transmits.push_back(Transmit::Close {
            code,
            reason: reason.clone(),
        });
        self.events.push_back(Event::Closed { code, reason });
    }

    fn check(&mut self, result: Result<(), Violation>) {
        if let Err(violation) = result {
            self.fail(violation);
        }
    }
}
