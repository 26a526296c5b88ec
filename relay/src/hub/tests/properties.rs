//! A model of the node around a hub, which checks every output; [`operations`] drives it at random.

mod operations;

use std::collections::{BTreeMap, BTreeSet};

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Subscribe,
    Publish,
    Fetch,
    Status,
    Announce,
    Namespaces,
    Tracks,
    Offer,
    Fill,
}

/// A request as the node sees it.
#[derive(Debug)]
struct Request {
    kind: Kind,
    name: Option<FullTrackName>,
    answered: bool,
    /// The track it was served from, or feeds.
    track: Option<TrackId>,
    /// Updates of the peer without an answer.
    updates: usize,
    /// Of a namespace subscription, and the one that an update asks for.
    prefix: Option<TrackNamespace>,
    new_prefix: Option<TrackNamespace>,
    /// Suffixes announced to it.
    announced: BTreeSet<TrackNamespace>,
    /// A fetch waits for the answer to a hole.
    hole: bool,
}

/// The node around the hub, as far as it can be checked.
struct Node {
    world: World,
    up: BTreeMap<u64, SessionId>,
    next_session: u64,
    next_key: u64,
    live: BTreeMap<RequestRef, Request>,
    /// Requests of the hub by tag, and whether each was answered.
    tags: BTreeMap<Tag, RequestRef>,
    tracks: BTreeSet<TrackId>,
    watched: BTreeSet<TrackId>,
    /// Updates of the hub without an answer.
    owed: BTreeMap<RequestRef, usize>,
    /// Subscriptions that the data plane has yet to end.
    withdrawn: BTreeSet<RequestRef>,
    log: Vec<Output>,
}

impl Node {
    fn new() -> Self {
        Self {
            world: World::with(HubConfig {
                pause_publications: true,
                rendezvous_waiting: 3,
                fetches: 4,
                ..HubConfig::default()
            }),
            up: BTreeMap::new(),
            next_session: 0,
            next_key: 0,
            live: BTreeMap::new(),
            tags: BTreeMap::new(),
            tracks: BTreeSet::new(),
            watched: BTreeSet::new(),
            owed: BTreeMap::new(),
            withdrawn: BTreeSet::new(),
            log: Vec::new(),
        }
    }

    fn feed(&mut self, input: Input) {
        let outputs = self.world.feed(input);
        self.observe_all(outputs);
    }

    fn observe_all(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            self.observe(&output);
            self.log.push(output);
        }
        self.check();
    }

    fn begin(&mut self, request: RequestRef, kind: Kind, name: Option<FullTrackName>) {
        let state = Request {
            kind,
            name,
            answered: false,
            track: None,
            updates: 0,
            prefix: None,
            new_prefix: None,
            announced: BTreeSet::new(),
            hole: false,
        };
        assert!(self.live.insert(request, state).is_none());
    }

    fn end(&mut self, request: RequestRef) -> Request {
        if let RequestRef::Hub(_, tag) = request {
            self.tags.remove(&tag);
        }
        self.owed.remove(&request);
        self.live
            .remove(&request)
            .unwrap_or_else(|| panic!("{request:?} is not live"))
    }

    fn live(&mut self, request: RequestRef) -> &mut Request {
        self.live
            .get_mut(&request)
            .unwrap_or_else(|| panic!("{request:?} is not live"))
    }

    fn answer(&mut self, request: RequestRef) -> &mut Request {
        let state = self.live(request);
        assert!(
            !std::mem::replace(&mut state.answered, true),
            "{request:?} was answered"
        );
        state
    }

    fn serve(&mut self, request: RequestRef, track: TrackId) {
        assert!(self.tracks.contains(&track));
        self.live(request).track = Some(track);
    }

    fn observe(&mut self, output: &Output) {
        if let Some(session) = output.session() {
            assert!(
                self.up.values().any(|up| *up == session),
                "{output:?} names a session that is down"
            );
        }
        match output {
            Output::Open {
                session,
                tag,
                request,
            } => self.observe_open(*session, *tag, request),
            Output::TrackCreated { track, .. } => assert!(self.tracks.insert(*track)),
            Output::TrackDropped { track } => {
                assert!(self.tracks.remove(track));
                self.watched.remove(track);
                assert!(
                    self.live.values().all(|request| request.track != Some(*track)),
                    "{track:?} is in use"
                );
            }
            Output::Bridge { track } | Output::Bridged { track } => assert!(self.tracks.contains(track)),
            Output::TrackEnded { track, .. } => self.observe_end(*track),
            Output::WatchLargestGroup { track, watch } => {
                assert!(self.tracks.contains(track));
                let changed = if *watch {
                    self.watched.insert(*track)
                } else {
                    self.watched.remove(track)
                };
                assert!(changed);
            }
            Output::Update { request, .. } => {
                let state = self.live(*request);
                assert!(state.answered && matches!(state.kind, Kind::Subscribe | Kind::Publish));
                *self.owed.entry(*request).or_default() += 1;
            }
            Output::Close { request, .. } | Output::EndSubscription { request, .. } => {
                self.end(*request);
            }
            Output::ResetFetch { request, .. } => assert!(self.end(*request).answered),
            Output::Reject { request, .. } => assert!(!self.end(*request).answered),
            Output::ServeTrackStatus { request, .. } | Output::AnswerTrackStatus { request, .. } => {
                assert_eq!(self.end(*request).kind, Kind::Status);
            }
            other => self.observe_request(other),
        }
    }

    fn observe_request(&mut self, output: &Output) {
        match output {
            Output::ServeSubscribe { request, track, .. }
            | Output::ServeFetch { request, track, .. }
            | Output::AcceptPublish { request, track, .. } => {
                self.answer(*request);
                self.serve(*request, *track);
            }
            Output::ServePublish { request, track, .. } => self.serve(*request, *track),
            Output::Accept { request } => {
                self.answer(*request);
            }
            Output::ApplyUpdate { request, .. } | Output::AcceptUpdate { request } => {
                let state = self.live(*request);
                state.updates = state.updates.checked_sub(1).expect("no update is open");
                if let Some(new) = state.new_prefix.take() {
                    state.prefix = Some(new);
                }
            }
            Output::FailUpdate { request, .. } => {
                assert!(self.end(*request).updates > 0);
            }
            Output::HoleFilled { request, .. }
            | Output::HoleEmpty { request, .. }
            | Output::HoleGivenUp { request, .. } => {
                assert!(std::mem::take(&mut self.live(*request).hole));
            }
            Output::Namespace { request, suffix } => {
                let state = self.live(*request);
                assert!(state.answered && state.announced.insert(suffix.clone()));
            }
            Output::NamespaceDone { request, suffix } => {
                assert!(self.live(*request).announced.remove(suffix));
            }
            Output::Withdraw { request, .. } => {
                assert!(self.live(*request).answered);
                self.withdrawn.insert(*request);
            }
            Output::PublishBlocked { request, .. } => assert_eq!(self.live(*request).kind, Kind::Tracks),
            // Nobody else publishes it, as far as this world goes.
            Output::Seek { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    fn observe_open(&mut self, session: SessionId, tag: Tag, request: &Outgoing) {
        let (kind, name, track) = match request {
            Outgoing::Subscribe { track, name, .. } => (Kind::Subscribe, name, Some(*track)),
            Outgoing::Publish { track, name, .. } => (Kind::Offer, name, Some(*track)),
            Outgoing::Fetch { track, name, .. } | Outgoing::Repair { track, name } => {
                (Kind::Fill, name, Some(*track))
            }
            Outgoing::TrackStatus { name, .. } => (Kind::Status, name, None),
        };
        assert!(track.is_none_or(|track| self.tracks.contains(&track)));
        let request = RequestRef::Hub(session, tag);
        self.begin(request, kind, Some(name.clone()));
        self.live(request).track = track;
        self.tags.insert(tag, request);
    }

    fn observe_end(&mut self, track: TrackId) {
        let over: Vec<RequestRef> = self
            .live
            .iter()
            .filter(|(_, state)| state.track == Some(track) && state.answered)
            .filter(|(request, state)| match request {
                RequestRef::Peer(..) => state.kind == Kind::Subscribe,
                RequestRef::Hub(..) => state.kind == Kind::Offer,
            })
            .map(|(&request, _)| request)
            .collect();
        for request in over {
            self.end(request);
        }
    }

    /// What holds between any two inputs.
    fn check(&self) {
        let mut upstream = BTreeSet::new();
        let mut downstream = BTreeSet::new();
        for (request, state) in &self.live {
            let ours = matches!(request, RequestRef::Hub(..));
            let key = (request.session(), state.name.clone());
            match state.kind {
                Kind::Subscribe if ours => assert!(upstream.insert(key), "two upstream: {request:?}"),
                Kind::Publish => assert!(upstream.insert(key), "two upstream: {request:?}"),
                Kind::Subscribe | Kind::Offer => {
                    assert!(downstream.insert(key), "two downstream: {request:?}")
                }
                _ => {}
            }
        }
        for (request, state) in &self.live {
            if let (Kind::Namespaces, Some(prefix)) = (state.kind, &state.prefix) {
                let all = self.world.hub.namespaces();
                let suffixes = all
                    .filter_map(|view| view.namespace.strip_prefix(prefix))
                    .collect();
                assert_eq!(state.announced, suffixes, "{request:?}");
            }
        }
        if self.up.is_empty() {
            assert!(self.live.is_empty());
        }
    }

    /// The `pick`th of the live requests that `which` allows, going round.
    fn pick(&self, pick: usize, which: impl Fn(&RequestRef, &Request) -> bool) -> Option<RequestRef> {
        let found: Vec<RequestRef> = self
            .live
            .iter()
            .filter(|(request, state)| which(request, state))
            .map(|(&r, _)| r)
            .collect();
        found.get(pick.checked_rem(found.len())?).copied()
    }

    fn request(
        &mut self,
        session: u64,
        kind: Kind,
        name: Option<FullTrackName>,
    ) -> Option<(SessionId, RequestKey)> {
        let session = *self.up.get(&session)?;
        self.next_key += 1;
        let key = RequestKey(self.next_key);
        self.begin(RequestRef::Peer(session, key), kind, name);
        Some((session, key))
    }

    fn down(&mut self, session: u64) {
        let Some(session) = self.up.remove(&session) else {
            return;
        };
        self.live.retain(|request, _| request.session() != session);
        self.tags.retain(|_, request| request.session() != session);
        self.owed.retain(|request, _| request.session() != session);
        self.feed(Input::SessionDown { session });
    }

    fn pass(&mut self, time: Duration) {
        for request in std::mem::take(&mut self.withdrawn) {
            if self.live.contains_key(&request) {
                self.end(request);
                self.feed(Input::SubscriptionEnded { request });
            }
        }
        let until = self.world.now + time;
        while let Some(at) = self.world.hub.deadline().filter(|at| *at <= until) {
            self.world.now = self.world.now.max(at);
            self.feed(Input::Tick);
            assert!(
                self.world.hub.deadline().is_none_or(|next| next > self.world.now),
                "the hub spins"
            );
        }
        self.world.now = until;
    }

    /// After a long silence nothing may wait for an answer, but what only time cannot answer.
    fn check_silence(&mut self) {
        self.pass(Duration::from_secs(120));
        for (request, state) in &self.live {
            if matches!(request, RequestRef::Peer(..)) {
                assert!(state.answered, "{request:?} {state:?} was never answered");
                assert_eq!(
                    state.updates, 0,
                    "{request:?} {state:?} has an update without an answer"
                );
                assert!(!state.hole, "{request:?} {state:?} has a hole without an answer");
            }
        }
    }

    fn finish(mut self) -> Vec<Output> {
        self.check_silence();
        for session in 0..4 {
            self.down(session);
        }
        self.pass(Duration::from_secs(600));
        assert!(self.tracks.is_empty(), "{:?}", self.tracks);
        assert!(self.world.hub.is_empty(), "{:#?}", self.world.hub);
        self.log
    }
}
