//! What there is: namespaces and tracks under a prefix, now and later (draft section "Namespace Discovery").

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, watch};

use super::{
    SessionHandle, Sink,
    client::{Client, GoawayWatch, RequestFailed, request::Request},
    queue::object_queue,
    subscriber::{Feed, Live, SubscribeOptions, Subscriber},
};
use crate::{
    session::{Accepted, RequestKey},
    wire::{
        FullTrackName, Parameters, Properties, RequestErrorCode, Token, TrackNamespace, control::RequestError,
    },
};

/// Offers that wait for the application at most; further ones are refused. Each is a request stream the peer keeps open.
const MAX_OFFERS: usize = 1024;

/// A namespace came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceChange {
    /// It exists now.
    Added(TrackNamespace),
    /// It is gone.
    Removed(TrackNamespace),
}

/// The namespaces known, and which changes of it the application has not seen. Bounded by the session's limit of namespaces:
/// a namespace that comes and goes unseen leaves nothing behind.
#[derive(Debug, Default)]
pub(crate) struct NamespaceSet {
    state: Mutex<Names>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Names {
    /// How many times each is there: two requests of the peer may name one.
    present: BTreeMap<TrackNamespace, usize>,
    seen: BTreeSet<TrackNamespace>,
    unseen: BTreeSet<TrackNamespace>,
    closed: bool,
}

impl NamespaceSet {
    fn lock(&self) -> MutexGuard<'_, Names> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, namespace: TrackNamespace) {
        let mut names = self.lock();
        *names.present.entry(namespace.clone()).or_default() += 1;
        names.note(namespace);
        drop(names);
        self.changed.notify_one();
    }

    pub(crate) fn remove(&self, namespace: &TrackNamespace) {
        let mut names = self.lock();
        if let Some(count) = names.present.get_mut(namespace) {
            *count -= 1;
            if *count == 0 {
                names.present.remove(namespace);
            }
        }
        names.note(namespace.clone());
        drop(names);
        self.changed.notify_one();
    }

    /// The request or the session is over: nothing is known to exist any more.
    pub(crate) fn close(&self) {
        let mut names = self.lock();
        names.closed = true;
        names.present.clear();
        names.unseen = names.seen.clone();
        drop(names);
        self.changed.notify_one();
    }

    async fn next(&self) -> Option<NamespaceChange> {
        loop {
            {
                let mut names = self.lock();
                if let Some(change) = names.take() {
                    return Some(change);
                }
                if names.closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }
}

impl Names {
    fn note(&mut self, namespace: TrackNamespace) {
        if self.present.contains_key(&namespace) == self.seen.contains(&namespace) {
            self.unseen.remove(&namespace);
        } else {
            self.unseen.insert(namespace);
        }
    }

    fn take(&mut self) -> Option<NamespaceChange> {
        let namespace = self.unseen.pop_first()?;
        if self.present.contains_key(&namespace) {
            self.seen.insert(namespace.clone());
            Some(NamespaceChange::Added(namespace))
        } else {
            self.seen.remove(&namespace);
            Some(NamespaceChange::Removed(namespace))
        }
    }
}

/// Namespaces under a prefix, as they come and go. Dropping it ends the request.
#[derive(Debug)]
pub struct NamespaceReader {
    /// `None`: namespaces that the peer publishes to us by itself.
    request: Option<Request>,
    set: Arc<NamespaceSet>,
}

impl NamespaceReader {
    /// The next change; first one for each namespace that exists. A namespace that came and went between two calls is not
    /// mentioned. `None`: the request or the session is over; the namespaces are then reported as gone before.
    ///
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<NamespaceChange> {
        self.set.next().await
    }

    /// Hears whether the peer wants this request made again elsewhere.
    pub fn goaway(&self) -> GoawayWatch {
        self.request.as_ref().map_or_else(GoawayWatch::deaf, |request| {
            request.client.inner.goaway_watch(request.key)
        })
    }

    /// Those that exist now.
    pub fn present(&self) -> Vec<TrackNamespace> {
        self.set.lock().present.keys().cloned().collect()
    }
}

/// Tracks that the peer offers by PUBLISH and the application has not taken.
#[derive(Debug)]
pub(crate) struct OfferQueue {
    prefix: TrackNamespace,
    state: Mutex<Offers>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Offers {
    key: Option<RequestKey>,
    waiting: VecDeque<Offered>,
    closed: bool,
}

/// See [`TrackOffer`].
#[derive(Debug)]
pub(crate) enum Offered {
    Track(Box<OfferedTrack>),
    Blocked(FullTrackName),
}

/// A PUBLISH of the peer without an answer.
#[derive(Debug)]
pub(crate) struct OfferedTrack {
    pub(crate) key: RequestKey,
    pub(crate) track: FullTrackName,
    pub(crate) parameters: Parameters,
    pub(crate) properties: Properties,
}

impl OfferQueue {
    fn new(prefix: TrackNamespace) -> Arc<Self> {
        Arc::new(Self {
            prefix,
            state: Mutex::default(),
            changed: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Offers> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn key(&self) -> Option<RequestKey> {
        self.lock().key
    }

    pub(crate) fn wants(&self, track: &FullTrackName) -> bool {
        track.namespace().has_prefix(&self.prefix)
    }

    /// False if there is no room.
    pub(crate) fn push(&self, offered: Offered) -> bool {
        let mut state = self.lock();
        let room = !state.closed && state.waiting.len() < MAX_OFFERS;
        if room {
            state.waiting.push_back(offered);
        }
        drop(state);
        self.changed.notify_one();
        room
    }

    /// The peer withdrew an offer.
    pub(crate) fn withdraw(&self, request: RequestKey) {
        self.lock()
            .waiting
            .retain(|offered| !matches!(offered, Offered::Track(offered) if offered.key == request));
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }
}

/// What a track subscription brings.
#[derive(Debug)]
pub enum TrackEvent {
    /// The peer offers a track.
    Offer(TrackOffer),
    /// The peer has a track but no stream to offer it on, and will not try again: [`Client::subscribe`] to it.
    Blocked(FullTrackName),
}

/// Tracks under a prefix, offered as they appear. Dropping it ends the request and refuses the offers not yet read.
#[derive(Debug)]
pub struct TrackOffers {
    client: Client,
    queue: Arc<OfferQueue>,
    _request: Option<Request>,
}

impl TrackOffers {
    /// The next track; `None`: the request or the session is over.
    ///
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<TrackEvent> {
        loop {
            {
                let mut state = self.queue.lock();
                match state.waiting.pop_front() {
                    Some(Offered::Blocked(track)) => return Some(TrackEvent::Blocked(track)),
                    Some(Offered::Track(offered)) => {
                        return Some(TrackEvent::Offer(TrackOffer {
                            client: self.client.clone(),
                            offered,
                            answer: Answer::Due,
                        }));
                    }
                    None if state.closed => return None,
                    None => {}
                }
            }
            self.queue.changed.notified().await;
        }
    }
}

impl Drop for TrackOffers {
    fn drop(&mut self) {
        self.queue.close();
        self.client
            .inner
            .state()
            .offers
            .retain(|offers| !Arc::ptr_eq(offers, &self.queue));
        let waiting = std::mem::take(&mut self.queue.lock().waiting);
        for offered in waiting {
            if let Offered::Track(offered) = offered {
                refuse(self.client.handle(), offered.key);
            }
        }
    }
}

/// A track that the peer offers. Dropping it refuses it with UNINTERESTED.
#[derive(Debug)]
pub struct TrackOffer {
    client: Client,
    offered: Box<OfferedTrack>,
    answer: Answer,
}

/// Whether an offer has its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Due,
    Given,
}

impl TrackOffer {
    /// The track.
    pub const fn track(&self) -> &FullTrackName {
        &self.offered.track
    }

    /// Track Properties as the publisher sent them.
    pub const fn properties(&self) -> &Properties {
        &self.offered.properties
    }

    /// Accept it. Of the options, rendezvous means nothing here.
    ///
    /// # Errors
    /// The offer was withdrawn meanwhile, or the session subscribes to the track already.
    pub fn accept(mut self, options: &SubscribeOptions) -> Result<Subscriber, RequestFailed> {
        let key = self.offered.key;
        let handle = self.client.handle().clone();
        let (sender, receiver) = object_queue(options.queue_bytes);
        let feed = Feed::new();
        let live = Live::new(handle.clone(), key, receiver, &feed);
        // From here on the handle that is dropped, now or with the subscriber, ends the request.
        self.answer = Answer::Given;
        let request = Request::new(self.client.clone(), key);
        handle.receive(key, Sink::Reader(sender));
        let answer = options.clone().into_publish_ok();
        handle
            .act(|session, _| {
                session.accept_publish(key, answer)?;
                let mut state = self.client.inner.state();
                state.feeds.insert(key, feed);
                state.goaways.insert(key, watch::Sender::new(None));
                Ok(())
            })
            .map_err(RequestFailed::Illegal)?;
        let largest = self.offered.parameters.largest_object;
        let track = self.offered.track.clone();
        let properties = std::mem::take(&mut self.offered.properties);
        Ok(Subscriber::accepted(
            request, track, properties, largest, options, live,
        ))
    }
}

impl Drop for TrackOffer {
    fn drop(&mut self) {
        if self.answer == Answer::Due {
            refuse(self.client.handle(), self.offered.key);
        }
    }
}

/// Refuse an offer.
pub(crate) fn refuse(handle: &SessionHandle, key: RequestKey) {
    let error = RequestError {
        code: RequestErrorCode::UNINTERESTED,
        retry_after_ms: None,
        reason: "not wanted".to_owned(),
        redirect: None,
    };
    // One that was withdrawn needs no answer.
    let _withdrawn = handle.act(|session, _| session.reject(key, error)).is_err();
}

impl Client {
    /// Learn which namespaces exist under `prefix` (no fields: all), now and later.
    ///
    /// # Errors
    /// See [`RequestFailed`]. PREFIX_OVERLAP: this session asked for a prefix of it, or for one it is a prefix of.
    ///
    /// Cancel-safe: if dropped, the request is cancelled.
    pub async fn namespaces(
        &self,
        prefix: TrackNamespace,
        tokens: Vec<Token>,
    ) -> Result<NamespaceReader, RequestFailed> {
        let set = Arc::new(NamespaceSet::default());
        let parameters = Parameters {
            authorization_tokens: tokens,
            ..Parameters::default()
        };
        let asked = self.ask(
            |session| session.subscribe_namespace(prefix, parameters),
            |state, key| {
                state.namespaces.insert(key, set.clone());
            },
        )?;
        let (request, _accepted) = asked.answer().await?;
        Ok(NamespaceReader {
            request: Some(request),
            set,
        })
    }

    /// Namespaces that the peer publishes to us by itself, as publishers do to a relay. They are accepted in any case.
    /// Readers of one session share the changes: have one.
    pub fn published_namespaces(&self) -> NamespaceReader {
        NamespaceReader {
            request: None,
            set: self.inner.peer_namespaces.clone(),
        }
    }

    /// Be offered every track under `prefix` (no fields: all), now and later.
    ///
    /// # Errors
    /// See [`RequestFailed`]. PREFIX_OVERLAP: this session asked for a prefix of it, or for one it is a prefix of.
    ///
    /// Cancel-safe: if dropped, the request is cancelled.
    pub async fn tracks(
        &self,
        prefix: TrackNamespace,
        tokens: Vec<Token>,
    ) -> Result<TrackOffers, RequestFailed> {
        let mut offers = self.published_tracks(prefix.clone());
        let parameters = Parameters {
            authorization_tokens: tokens,
            ..Parameters::default()
        };
        let queue = offers.queue.clone();
        let asked = self.ask(
            |session| session.subscribe_tracks(prefix, parameters),
            |_state, key| queue.lock().key = Some(key),
        )?;
        let (request, answer) = asked.answer().await?;
        match answer {
            Accepted::Namespace => {
                offers._request = Some(request);
                Ok(offers)
            }
            _ => Err(RequestFailed::Ended(None)),
        }
    }

    /// Tracks under `prefix` that the peer publishes to us by itself, as publishers do to a relay. Those that nobody waits for
    /// are refused.
    pub fn published_tracks(&self, prefix: TrackNamespace) -> TrackOffers {
        let queue = OfferQueue::new(prefix);
        self.inner.state().offers.push(queue.clone());
        TrackOffers {
            client: self.clone(),
            queue,
            _request: None,
        }
    }
}
