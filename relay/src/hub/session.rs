//! What a hub knows of a session: who it is, what it asked, what was asked of it, and how much of each it may.

use std::collections::{BTreeMap, BTreeSet};

use headwater_pubsub::wire::control::RequestError;
use headwater_pubsub::wire::{FullTrackName, RequestErrorCode, TrackNamespace};

use super::HubConfig;
use super::fetch::Fetch;
use super::input::{Identity, Origin, RequestKey, Rights, SessionId, Tag, TrackId};
use super::refusals::{Refusal, error};

/// A session that is up.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) identity: Identity,
    pub(super) rights: Rights,
    /// The peer sent GOAWAY.
    pub(super) leaving: bool,
    /// Requests of the peer that are not over.
    requests: BTreeMap<RequestKey, Incoming>,
    counts: BTreeMap<Kind, usize>,
    /// Requests of the hub that are not over.
    pub(super) tags: BTreeSet<Tag>,
    /// SUBSCRIBEs that wait for a publisher to appear.
    pub(super) rendezvous: usize,
}

/// A request of a peer.
#[derive(Debug)]
pub(super) enum Incoming {
    Subscribe { track: TrackId },
    Publish { track: TrackId },
    Fetch(Box<Fetch>),
    TrackStatus(Status),
    PublishNamespace { namespace: TrackNamespace },
    SubscribeNamespace { prefix: TrackNamespace },
    SubscribeTracks(TracksInterest),
}

/// A TRACK_STATUS that was passed on.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) name: FullTrackName,
    pub(super) origin: Origin,
    /// Publishers asked so far, and what they said.
    pub(super) tried: BTreeMap<SessionId, RequestError>,
    /// Publishers that sent the question elsewhere: asked once more, after the others.
    pub(super) moved: BTreeSet<SessionId>,
    /// The question that is out.
    pub(super) tag: Option<Tag>,
}

/// A SUBSCRIBE_TRACKS.
#[derive(Debug)]
pub(super) struct TracksInterest {
    pub(super) prefix: TrackNamespace,
    /// Forward state of the PUBLISHes it brings.
    pub(super) forward: bool,
    /// Live tracks that were offered already, whatever became of it.
    pub(super) offered: BTreeSet<TrackId>,
    /// Tracks of other nodes that were sought for it, whatever became of them while they are published.
    pub(super) expected: BTreeSet<FullTrackName>,
    /// Tracks that PUBLISH_BLOCKED named, which are never offered again.
    pub(super) blocked: BTreeSet<FullTrackName>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Subscribe,
    Publish,
    Fetch,
    TrackStatus,
    PublishNamespace,
    /// SUBSCRIBE_NAMESPACE and SUBSCRIBE_TRACKS.
    NamespaceInterest,
}

impl Incoming {
    const fn kind(&self) -> Kind {
        match self {
            Self::Subscribe { .. } => Kind::Subscribe,
            Self::Publish { .. } => Kind::Publish,
            Self::Fetch(_) => Kind::Fetch,
            Self::TrackStatus(_) => Kind::TrackStatus,
            Self::PublishNamespace { .. } => Kind::PublishNamespace,
            Self::SubscribeNamespace { .. } | Self::SubscribeTracks(_) => Kind::NamespaceInterest,
        }
    }
}

impl Session {
    pub(super) const fn new(identity: Identity, rights: Rights) -> Self {
        Self {
            identity,
            rights,
            leaving: false,
            requests: BTreeMap::new(),
            counts: BTreeMap::new(),
            tags: BTreeSet::new(),
            rendezvous: 0,
        }
    }

    pub(super) fn request(&self, key: RequestKey) -> Option<&Incoming> {
        self.requests.get(&key)
    }

    pub(super) fn request_mut(&mut self, key: RequestKey) -> Option<&mut Incoming> {
        self.requests.get_mut(&key)
    }

    pub(super) fn requests(&self) -> impl Iterator<Item = (RequestKey, &Incoming)> {
        self.requests.iter().map(|(&key, request)| (key, request))
    }

    pub(super) fn insert(&mut self, key: RequestKey, request: Incoming) {
        *self.counts.entry(request.kind()).or_default() += 1;
        self.requests.insert(key, request);
    }

    pub(super) fn remove(&mut self, key: RequestKey) -> Option<Incoming> {
        let request = self.requests.remove(&key)?;
        if let Some(count) = self.counts.get_mut(&request.kind()) {
            *count = count.saturating_sub(1);
        }
        Some(request)
    }

    pub(super) fn count(&self, kind: Kind) -> usize {
        self.counts.get(&kind).copied().unwrap_or_default()
    }

    /// Whether one more request of a kind is within the limits.
    pub(super) fn admit(&self, kind: Kind, config: &HubConfig) -> Result<(), Refusal> {
        let limit = match kind {
            Kind::Subscribe => config.subscriptions,
            Kind::Publish => config.publications,
            Kind::Fetch => config.fetches,
            Kind::TrackStatus => config.track_statuses,
            Kind::PublishNamespace => config.namespaces,
            Kind::NamespaceInterest => config.namespace_subscriptions,
        };
        if self.count(kind) < limit {
            Ok(())
        } else {
            Err(overload(config))
        }
    }
}

/// EXCESSIVE_LOAD with the time to come again.
pub(super) fn overload(config: &HubConfig) -> Refusal {
    let retry = u64::try_from(config.retry.as_millis()).unwrap_or(u64::MAX);
    Refusal {
        retry_after_ms: Some(retry),
        ..error(RequestErrorCode::EXCESSIVE_LOAD, "too many requests of this kind")
    }
}
