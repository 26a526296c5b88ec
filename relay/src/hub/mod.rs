//! What a relay node decides: which publishers a track is asked of, who is served, refused or made to wait, and when what
//! was taken upstream is given back.
//!
//! Follows the draft sections "Relays", "Namespace Discovery" and "Publishing and Retrieving Tracks". One upstream subscription
//! for each track and publisher serves any number of subscribers; a subscriber never sees which publisher, or how many.
//!
//! Of a mesh of nodes the hub knows that a track may have publishers elsewhere ([`Origin`]), and does what it is told about
//! where to pull such a track from; the overlay decides that.
//!
//! Not here: objects, caches, cursors and the largest location, which the data plane has; bytes, streams and Request IDs,
//! which sessions have; tokens, which the node turns into [`Identity`] and [`Rights`].

mod config;
mod discovery;
mod far;
mod fetch;
mod groups;
mod input;
mod listen;
mod mesh;
mod moved;
mod namespaces;
mod opened;
mod output;
mod publish;
mod publishers;
mod refusals;
mod request;
mod session;
mod settle;
mod status;
#[cfg(test)]
mod tests;
mod timers;
mod tracks;
mod update;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

pub use config::HubConfig;
pub use input::{
    Answer, FetchRange, FillOutcome, Identity, Input, JoiningStart, Origin, RequestKey, RequestRef, Rights,
    SessionId, Tag, TrackId,
};
pub use output::{Outgoing, Output, ServedRange, UpstreamState};
pub use view::{NamespaceView, SessionView, TrackView};

use namespaces::{Interest, Namespaces};
use opened::Opened;
use refusals::Refusals;
use session::Session;
use timers::{Timer, Timers};
use tracks::Tracks;

/// The deciding half of a relay node, as a state machine without clock, sockets or randomness.
///
/// Feed it with [`handle`](Self::handle), then drain [`poll`](Self::poll) before feeding again: outputs speak of the state
/// after the latest input. At [`deadline`](Self::deadline) at the latest feed [`Input::Tick`]. The same inputs at the same times
/// give the same outputs.
///
/// A request has a [`RequestRef`] for its whole life. It is over when its peer cancels it, when its session goes down, when the
/// hub says so ([`Output`] marks where) or when an input says so ([`Input`] marks where); neither side names it
/// afterwards, save that an answer may cross [`Output::Close`]: it is ignored, as is everything about a request that is over.
/// A request of a peer gets exactly one answer: `Reject`, or the `Serve...`, `Answer...` or `Accept...` of its kind.
///
/// LARGEST_OBJECT and the properties of a track travel beside the hub: the node puts them into the track before it feeds the
/// message that carried them, and reads them from there when it answers.
#[derive(Debug)]
pub struct Hub {
    config: HubConfig,
    /// Time of the latest input; never runs backwards.
    now: Duration,
    draining: bool,
    sessions: BTreeMap<SessionId, Session>,
    tracks: Tracks,
    namespaces: Namespaces,
    mesh: mesh::Mesh,
    opened: BTreeMap<Tag, Opened>,
    next_tag: u64,
    timers: Timers,
    /// Of SUBSCRIBE.
    refusals: Refusals,
    /// Of FETCH.
    fetch_refusals: Refusals,
    /// Joining fetches by the subscription that they wait for.
    joining: BTreeMap<RequestRef, BTreeSet<RequestRef>>,
    /// Tracks of which something changed that [`Self::settle`] has to follow up.
    dirty: BTreeSet<TrackId>,
    outputs: VecDeque<Output>,
}

impl Hub {
    /// A hub without sessions.
    pub fn new(config: HubConfig) -> Self {
        Self {
            config,
            now: Duration::ZERO,
            draining: false,
            sessions: BTreeMap::new(),
            tracks: Tracks::default(),
            namespaces: Namespaces::default(),
            mesh: mesh::Mesh::default(),
            opened: BTreeMap::new(),
            next_tag: 0,
            timers: Timers::default(),
            refusals: Refusals::default(),
            fetch_refusals: Refusals::default(),
            joining: BTreeMap::new(),
            dirty: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes an input at `now`, the time since a start of the caller's choice. Timers that are due fire first.
    pub fn handle(&mut self, now: Duration, input: Input) {
        self.now = self.now.max(now);
        self.fire_timers();
        self.apply(input);
        self.settle_all();
    }

    /// Takes the next output. Each call to [`handle`](Self::handle) must be followed by calls until `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to feed [`Input::Tick`] if nothing else is fed before.
    pub fn deadline(&self) -> Option<Duration> {
        [
            self.timers.next(),
            self.refusals.next(),
            self.fetch_refusals.next(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn apply(&mut self, input: Input) {
        match input {
            Input::SessionUp {
                session,
                identity,
                rights,
            } => {
                self.sessions
                    .entry(session)
                    .or_insert_with(|| Session::new(identity, rights));
            }
            Input::SessionRights {
                session,
                identity,
                rights,
            } => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.identity = identity;
                    session.rights = rights;
                }
            }
            Input::SessionDown { session } => self.session_down(session),
            Input::SessionGoaway { session } => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.leaving = true;
                }
            }
            Input::GoingAway => self.drain(),
            Input::Updated { request, parameters } => self.updated(request, parameters),
            Input::Cancelled { request } => self.cancelled(request),
            Input::Tick => {}
            input @ (Input::Subscribe { .. }
            | Input::Publish { .. }
            | Input::Fetch { .. }
            | Input::TrackStatus { .. }
            | Input::PublishNamespace { .. }
            | Input::SubscribeNamespace { .. }
            | Input::SubscribeTracks { .. }) => self.asked(input),
            input => self.told(input),
        }
    }

    /// A new request of a peer.
    fn asked(&mut self, input: Input) {
        match input {
            Input::Subscribe {
                session,
                key,
                track,
                origin,
                parameters,
            } => {
                self.subscribe(session, key, &track, origin, parameters);
            }
            Input::Publish {
                session,
                key,
                track,
                dynamic_groups,
            } => {
                self.publish(session, key, &track, dynamic_groups);
            }
            Input::Fetch {
                session,
                key,
                range,
                parameters,
            } => self.fetch(session, key, range, parameters),
            Input::TrackStatus {
                session,
                key,
                track,
                origin,
            } => self.track_status(session, key, track, origin),
            Input::PublishNamespace {
                session,
                key,
                namespace,
            } => {
                self.publish_namespace(session, key, namespace);
            }
            Input::SubscribeNamespace { session, key, prefix } => {
                self.subscribe_namespace(session, key, prefix);
            }
            Input::SubscribeTracks {
                session,
                key,
                prefix,
                parameters,
            } => {
                self.subscribe_tracks(session, key, &prefix, &parameters);
            }
            _ => {}
        }
    }

    /// An answer to the hub, or news from the data plane.
    fn told(&mut self, input: Input) {
        match input {
            Input::Accepted { tag, answer } => self.accepted(tag, answer),
            Input::Rejected { tag, error } => self.rejected(tag, error),
            Input::Done { request, done } => self.done(request, done),
            Input::UpdateAnswered { request, result } => self.update_answered(request, result),
            Input::RequestGoaway { request } => self.request_goaway(request),
            Input::Blocked { tag } => self.offer_blocked(tag),
            Input::LargestGroup { track, group } => self.largest_group(track, group),
            Input::Hole { request, start, end } => self.hole(request, start, end),
            Input::FillDone { tag, outcome } => self.fill_done(tag, outcome),
            Input::Malformed { request } => self.malformed(request),
            Input::SubscriptionEnded { request } | Input::FetchEnded { request } => {
                self.ended_by_node(request)
            }
            input => self.told_of_mesh(input),
        }
    }

    fn fire_timers(&mut self) {
        while let Some(timer) = self.timers.expired(self.now) {
            match timer {
                Timer::Wait(request) => self.wait_over(request),
                Timer::Answer(tag) => self.unanswered(tag),
                Timer::Crossing(track, session) => self.crossing_over(track, session),
                Timer::Restart(track, session) => self.restarted(track, session),
                Timer::Linger(track) => self.linger_over(track),
                Timer::Fill(request) => self.fill_over(request),
                Timer::Cut(track) => self.cut_over(track),
                Timer::Abandoned(track) => self.abandoned(track),
            }
            self.settle_all();
        }
        while let Some((session, track)) = self.refusals.expired(self.now) {
            self.refusal_over(session, &track);
        }
        while self.fetch_refusals.expired(self.now).is_some() {}
        self.settle_all();
    }

    /// Queues an output, unless it is the business of a session that is down.
    fn push(&mut self, output: Output) {
        if output
            .session()
            .is_none_or(|session| self.sessions.contains_key(&session))
        {
            self.outputs.push_back(output);
        }
    }
}
