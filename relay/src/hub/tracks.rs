//! The tracks of a hub: who feeds each, who listens, and the index by name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use headwater_pubsub::wire::control::RequestError;
use headwater_pubsub::wire::parameter::ExtensionParameters;
use headwater_pubsub::wire::{FullTrackName, Parameters, PublishDoneCode, TrackName, TrackNamespace};

use super::groups::NewGroups;
use super::input::{Origin, RequestKey, RequestRef, SessionId, Tag, TrackId};

/// One life of a track.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) name: FullTrackName,
    pub(super) origin: Origin,
    /// Of a track of the mesh: the neighbours it is to be pulled from; `None` until it is wanted.
    pub(super) upstreams: Option<BTreeSet<SessionId>>,
    /// The node was told to make it.
    pub(super) created: bool,
    /// Its last source left: it serves the fetches it has and nothing else.
    pub(super) ended: bool,
    /// Upstream subscriptions, at most one per session.
    pub(super) sources: BTreeMap<SessionId, Source>,
    /// Downstream subscriptions.
    pub(super) listeners: BTreeMap<RequestRef, Listener>,
    /// Those of them that wait to be served, or whose updates are held.
    pub(super) unserved: BTreeSet<RequestRef>,
    /// SUBSCRIBE_TRACKS that it is to be offered to once there is a source.
    pub(super) expecting: BTreeSet<RequestRef>,
    /// SUBSCRIBE_TRACKS that are offered the track once its largest object is known again.
    pub(super) unoffered: BTreeSet<RequestRef>,
    /// Downstream fetches, waiting or served.
    pub(super) fetches: BTreeSet<RequestRef>,
    /// Upstream fetches.
    pub(super) fills: BTreeSet<Tag>,
    /// Why the latest source left that had been established.
    pub(super) last_end: Option<(PublishDoneCode, String)>,
    /// The newest session that said that the track is over.
    pub(super) ended_by: Option<SessionId>,
    /// Publishers that refused since the latest subscriber came, and how.
    pub(super) said: BTreeMap<SessionId, RequestError>,
    /// How long the next refusal of a publisher counts.
    pub(super) backoff: BTreeMap<SessionId, Duration>,
    /// Peers that sent a subscription, or a fetch of what it missed, elsewhere, and how often in a row.
    pub(super) moves: BTreeMap<SessionId, Moves>,
    /// Something may be missing since a source was given up; it is to be fetched from the next one.
    pub(super) repair: Repair,
    /// The fetches for that.
    pub(super) repairs: BTreeSet<RequestRef>,
    pub(super) groups: NewGroups,
    /// A listener left or changed its forward state: upstream may have to stop forwarding.
    pub(super) quieter: bool,
}

/// An upstream subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) request: RequestRef,
    pub(super) state: SourceState,
    /// REQUEST_UPDATEs that were not answered.
    pub(super) unanswered: u32,
    /// Of a subscription that is being made again: how often it was refused as a duplicate of the old one.
    pub(super) again: Option<u32>,
    /// It goes as soon as another one is established.
    pub(super) leaving: bool,
}

/// Whether a track misses something that its next source may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repair {
    Done,
    Due,
}

/// How often in a row a peer sent a request elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moves {
    pub(super) count: u32,
    pub(super) last: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceState {
    /// SUBSCRIBE was not answered.
    Asked,
    /// SUBSCRIBE was refused because a PUBLISH for the track is on its way.
    Crossing,
    /// Established, forward state 0.
    Stopped,
    /// Established, forward state 1 asked for; what the track knows as its largest object may be out of date.
    Starting,
    /// Established, forward state 1.
    Flowing,
}

impl Source {
    pub(super) const fn new(request: RequestRef, state: SourceState) -> Self {
        Self {
            request,
            state,
            unanswered: 0,
            again: None,
            leaving: false,
        }
    }

    pub(super) const fn is_established(self) -> bool {
        matches!(
            self.state,
            SourceState::Stopped | SourceState::Starting | SourceState::Flowing
        )
    }

    /// Whether it came by PUBLISH.
    pub(super) const fn is_published(self) -> bool {
        matches!(self.request, RequestRef::Peer(..)) && self.is_established()
    }
}

/// A downstream subscription.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) state: ListenerState,
    pub(super) forward: bool,
    /// Whether it said whose publishers it means, as neighbours do.
    pub(super) asker: Asker,
    /// Updates that wait until they can be answered truthfully.
    pub(super) held: Vec<Parameters>,
    /// It is being ended, and is to be offered again then.
    pub(super) offer_again: bool,
}

/// Who a downstream subscription is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// Somebody to whom the mesh is one relay.
    Client,
    /// A node of the mesh that means this origin.
    Neighbour,
}

#[derive(Debug)]
pub(super) enum ListenerState {
    /// SUBSCRIBE was not answered.
    Waiting {
        parameters: Box<Parameters>,
        /// It waits for a publisher to appear, until its timer says otherwise.
        rendezvous: bool,
    },
    /// Our PUBLISH was not answered; it goes back to this SUBSCRIBE_TRACKS.
    Offered { interest: RequestKey },
    /// Established.
    Served,
}

impl Track {
    pub(super) fn new(name: FullTrackName, origin: Origin) -> Self {
        Self {
            name,
            origin,
            upstreams: None,
            created: false,
            ended: false,
            sources: BTreeMap::new(),
            listeners: BTreeMap::new(),
            unserved: BTreeSet::new(),
            expecting: BTreeSet::new(),
            unoffered: BTreeSet::new(),
            fetches: BTreeSet::new(),
            fills: BTreeSet::new(),
            last_end: None,
            ended_by: None,
            said: BTreeMap::new(),
            backoff: BTreeMap::new(),
            moves: BTreeMap::new(),
            repair: Repair::Done,
            repairs: BTreeSet::new(),
            groups: NewGroups::default(),
            quieter: false,
        }
    }

    pub(super) fn is_established(&self) -> bool {
        self.sources.values().any(|source| source.is_established())
    }

    /// Whether an upstream subscription tells the largest object truthfully.
    pub(super) fn is_flowing(&self) -> bool {
        self.sources
            .values()
            .any(|source| source.state == SourceState::Flowing)
    }

    pub(super) fn is_pending(&self) -> bool {
        self.sources.values().any(|source| !source.is_established())
    }

    pub(super) fn is_published(&self) -> bool {
        self.sources.values().any(|source| source.is_published())
    }

    /// Whether anybody but those who did not answer a PUBLISH is there.
    pub(super) fn is_wanted(&self) -> bool {
        !self.expecting.is_empty()
            || self
                .listeners
                .values()
                .any(|listener| !matches!(listener.state, ListenerState::Offered { .. }))
    }

    /// The forward state that all listeners together need. Those who were or will be offered the track count, or they would miss
    /// what is published while they answer.
    pub(super) fn wants_objects(&self) -> bool {
        !self.expecting.is_empty()
            || !self.unoffered.is_empty()
            || self.listeners.values().any(|listener| listener.forward)
    }

    /// The SUBSCRIBEs that were not answered, with their parameters and whether they wait for a publisher to appear.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (RequestRef, &Parameters, bool)> {
        self.unserved
            .iter()
            .filter_map(|&request| match &self.listeners.get(&request)?.state {
                ListenerState::Waiting {
                    parameters,
                    rendezvous,
                } => Some((request, &**parameters, *rendezvous)),
                ListenerState::Offered { .. } | ListenerState::Served => None,
            })
    }

    /// The extension parameters of the first subscriber that waits.
    pub(super) fn extensions_awaited(&self) -> ExtensionParameters {
        self.waiting()
            .next()
            .map(|(_, parameters, _)| parameters.extensions.clone())
            .unwrap_or_default()
    }

    /// The NEW_GROUP_REQUEST that waiting subscribers brought.
    pub(super) fn new_group_awaited(&self) -> Option<u64> {
        self.waiting()
            .filter_map(|(_, parameters, _)| parameters.new_group_request)
            .max()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.listeners.is_empty()
            && self.expecting.is_empty()
            && self.unoffered.is_empty()
            && self.fetches.is_empty()
    }
}

/// Tracks by id, and the live ones by name.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    by_id: BTreeMap<TrackId, Track>,
    by_name: BTreeMap<(FullTrackName, Origin), TrackId>,
    next: u64,
}

impl Tracks {
    pub(super) fn get(&self, id: TrackId) -> Option<&Track> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: TrackId) -> Option<&mut Track> {
        self.by_id.get_mut(&id)
    }

    pub(super) fn live(&self, name: &FullTrackName, origin: Origin) -> Option<TrackId> {
        self.by_name.get(&(name.clone(), origin)).copied()
    }

    pub(super) fn live_or_new(&mut self, name: &FullTrackName, origin: Origin) -> TrackId {
        if let Some(id) = self.live(name, origin) {
            return id;
        }
        let id = TrackId(self.next);
        self.next += 1;
        self.by_id.insert(id, Track::new(name.clone(), origin));
        self.by_name.insert((name.clone(), origin), id);
        id
    }

    /// Gives a live track another origin, where there is no such track yet.
    pub(super) fn set_origin(&mut self, id: TrackId, origin: Origin) {
        self.unname(id);
        if let Some(track) = self.by_id.get_mut(&id) {
            track.origin = origin;
            self.by_name.insert((track.name.clone(), origin), id);
        }
    }

    /// Takes a track out of the index: a new life may begin under its name.
    pub(super) fn unname(&mut self, id: TrackId) {
        if let Some(track) = self.by_id.get(&id)
            && self.live(&track.name, track.origin) == Some(id)
        {
            self.by_name.remove(&(track.name.clone(), track.origin));
        }
    }

    pub(super) fn remove(&mut self, id: TrackId) -> Option<Track> {
        self.unname(id);
        self.by_id.remove(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (TrackId, &Track)> {
        self.by_id.iter().map(|(&id, track)| (id, track))
    }

    /// Live tracks of this node's publishers whose namespace begins with `prefix`, in the order of their names.
    pub(super) fn under<'a>(&'a self, prefix: &'a TrackNamespace) -> impl Iterator<Item = TrackId> + 'a {
        self.by_name
            .range((first_under(prefix), Origin::Here)..)
            .take_while(move |((name, _), _)| name.namespace().has_prefix(prefix))
            .filter(|((_, origin), _)| *origin == Origin::Here)
            .map(|(_, &id)| id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty() && self.by_name.is_empty()
    }
}

/// The lowest name whose namespace begins with `prefix`.
#[expect(
    clippy::expect_used,
    reason = "a namespace within its bound and an empty name are within theirs"
)]
pub(super) fn first_under(prefix: &TrackNamespace) -> FullTrackName {
    FullTrackName::new(prefix.clone(), TrackName::default()).expect("an empty name adds nothing")
}
