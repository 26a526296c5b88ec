//! What a client remembers about its requests and the peer's. One std mutex, held for lookups only: nothing under it waits,
//! and nothing under it calls the session.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::request::{Answer, Answered, RequestFailed};
use crate::{
    net::{
        SessionEnd,
        discovery::{NamespaceSet, OfferQueue},
        publisher::PublishedTrack,
        subscriber::Feed,
    },
    session::{Accepted, PeerSetup, RequestKey, Time},
    track::Edge,
    wire::{FullTrackName, Parameters, TrackNamespace},
};

/// A GOAWAY of the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goaway {
    /// Where to connect instead; empty: the same URL.
    pub uri: bytes::Bytes,
    /// How long the peer will wait before it closes; zero: no promise.
    pub timeout: std::time::Duration,
}

/// Hears of a GOAWAY on the stream of one request: the peer wants just that request made again, at the URI or, without one, on
/// this session. The request goes on meanwhile; the session and its other requests are not concerned. On the same session
/// the old one must be dropped before a track can be subscribed to again.
#[derive(Clone, Debug)]
pub struct GoawayWatch {
    pub(super) heard: Option<watch::Receiver<Option<Goaway>>>,
}

impl GoawayWatch {
    /// Of a request that nobody can send away.
    pub(crate) const fn deaf() -> Self {
        Self { heard: None }
    }

    /// What the peer has said.
    pub fn get(&self) -> Option<Goaway> {
        self.heard.as_ref().and_then(|heard| heard.borrow().clone())
    }

    /// The same, but only if it names no other place.
    pub(crate) async fn heard_here(&mut self) {
        if !self.heard().await.uri.is_empty() {
            std::future::pending().await
        }
    }

    /// Wait until the peer says it; never ready if the request ends without. Cancel-safe.
    pub async fn heard(&mut self) -> Goaway {
        if let Some(heard) = &mut self.heard
            && let Ok(goaway) = heard.wait_for(Option::is_some).await
            && let Some(goaway) = goaway.clone()
        {
            return goaway;
        }
        std::future::pending().await
    }
}

/// Shared by all handles of a session and its driver.
#[derive(Debug)]
pub(crate) struct Inner {
    state: Mutex<State>,
    pub(super) setup: watch::Sender<Option<PeerSetup>>,
    pub(super) goaway: watch::Sender<Option<Goaway>>,
    pub(super) end: watch::Sender<Option<SessionEnd>>,
    /// Namespaces that the peer offers by PUBLISH_NAMESPACE.
    pub(crate) peer_namespaces: Arc<NamespaceSet>,
}

/// Entries are as many as the requests open on the session, which the session bounds, and the tracks served.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Requests of ours without an answer.
    pub(crate) waiting: HashMap<RequestKey, Answered<Accepted>>,
    /// Updates of ours without an answer, oldest first.
    pub(crate) updates: HashMap<RequestKey, VecDeque<Answered<Parameters>>>,
    /// Subscriptions and fetches of ours.
    pub(crate) feeds: HashMap<RequestKey, Arc<Feed>>,
    /// Namespace subscriptions of ours.
    pub(crate) namespaces: HashMap<RequestKey, Arc<NamespaceSet>>,
    /// Who wants tracks that the peer offers, by prefix; the key is that of SUBSCRIBE_TRACKS.
    pub(crate) offers: Vec<Arc<OfferQueue>>,
    /// Whom to tell if the peer wants a request made again elsewhere: requests of ours, and PUBLISHes of the peer.
    pub(crate) goaways: HashMap<RequestKey, watch::Sender<Option<Goaway>>>,
    /// What else of ours may end by itself: PUBLISH_NAMESPACE and PUBLISH.
    pub(crate) endings: HashMap<RequestKey, watch::Sender<Option<super::RequestEnd>>>,

    /// Tracks that the peer may ask for.
    pub(crate) served: BTreeMap<FullTrackName, PublishedTrack>,
    /// Of each of them: whom to tell if the peer wants our offers of it made elsewhere.
    pub(crate) offers_elsewhere: BTreeMap<FullTrackName, watch::Sender<Option<Goaway>>>,
    /// Requests of the peer that are answered from a track, and publications of ours.
    pub(crate) serving: HashMap<RequestKey, Serving>,
    /// The peer's SUBSCRIBE_NAMESPACE requests.
    pub(crate) namespace_watchers: BTreeMap<RequestKey, TrackNamespace>,
    /// The peer's SUBSCRIBE_TRACKS requests.
    pub(crate) track_watchers: BTreeMap<RequestKey, TrackNamespace>,
    /// The peer's PUBLISH_NAMESPACE requests.
    pub(crate) peer_published: HashMap<RequestKey, TrackNamespace>,
}

/// A subscription or fetch of the peer.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    pub(crate) track: PublishedTrack,
    pub(crate) kind: ServingKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServingKind {
    /// The peer's SUBSCRIBE, accepted.
    Subscription,
    /// The peer's FETCH.
    Fetch,
    /// Our PUBLISH: its objects from `edge` on flow once the peer accepts.
    Publication {
        alias: u64,
        edge: Edge,
        /// The SUBSCRIBE_TRACKS of the peer that it was offered for, unless it was offered by itself.
        offer: Option<Offer>,
    },
}

/// What an offer for a SUBSCRIBE_TRACKS is for, and how often it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) watcher: RequestKey,
    /// How often in a row the peer sent it elsewhere, and when it did so last.
    pub(crate) moves: u32,
    pub(crate) moved: Time,
    /// The peer accepted it.
    pub(crate) accepted: bool,
    /// It is to be made again once it is over.
    pub(crate) again: bool,
}

impl Inner {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            setup: watch::Sender::new(None),
            goaway: watch::Sender::new(None),
            end: watch::Sender::new(None),
            peer_namespaces: Arc::new(NamespaceSet::default()),
        }
    }

    /// The state. A panic while it was held ended that task; no method leaves it half changed.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request of ours is over and its handle gone. Gives what it was served from, if it was a PUBLISH.
    pub(super) fn forget(&self, key: RequestKey) -> Option<Serving> {
        let mut state = self.state();
        state.waiting.remove(&key);
        state.updates.remove(&key);
        state.feeds.remove(&key);
        state.namespaces.remove(&key);
        state.endings.remove(&key);
        state.goaways.remove(&key);
        state.offers.retain(|offers| offers.key() != Some(key));
        state.serving.remove(&key)
    }

    /// What a request of the peer, or an offer of ours, is served from.
    pub(super) fn serving(&self, key: RequestKey) -> Option<Serving> {
        self.state().serving.get(&key).cloned()
    }

    /// Who hears of a GOAWAY on the stream of a request.
    pub(crate) fn goaway_watch(&self, key: RequestKey) -> GoawayWatch {
        let state = self.state();
        GoawayWatch {
            heard: state.goaways.get(&key).map(watch::Sender::subscribe),
        }
    }

    /// The first answer to a request of ours. Nobody may wait for it any more.
    pub(super) fn answer(&self, key: RequestKey, answer: Answer<Accepted>) {
        let waiting = self.state().waiting.remove(&key);
        if let Some(waiting) = waiting {
            let _gone = waiting.send(answer).is_err();
        }
    }

    /// The answer to the oldest update of a request.
    pub(super) fn answer_update(&self, key: RequestKey, answer: Answer<Parameters>) {
        let waiting = self.state().updates.get_mut(&key).and_then(VecDeque::pop_front);
        if let Some(waiting) = waiting {
            let _gone = waiting.send(answer).is_err();
        }
    }

    /// The session is over: everyone who waits hears it.
    pub(super) fn finish(&self, end: &SessionEnd) {
        self.end.send_if_modified(|known| {
            let first = known.is_none();
            known.get_or_insert_with(|| end.clone());
            first
        });
        let state = std::mem::take(&mut *self.state());
        for waiting in state.waiting.into_values() {
            let _gone = waiting.send(Err(RequestFailed::Session(end.clone()))).is_err();
        }
        for waiting in state.updates.into_values().flatten() {
            let _gone = waiting.send(Err(RequestFailed::Session(end.clone()))).is_err();
        }
        state.feeds.values().for_each(|feed| feed.end());
        state.namespaces.values().for_each(|set| set.close());
        state.offers.iter().for_each(|offers| offers.close());
        self.peer_namespaces.close();
        for ending in state.endings.values() {
            ending.send_replace(Some(super::RequestEnd::Session));
        }
    }
}
