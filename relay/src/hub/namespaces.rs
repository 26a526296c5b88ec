//! Published namespaces, who owns them, and who wants to hear of namespaces and tracks.
//!
//! Maps ordered by namespace: what lies under a prefix is a range, what a namespace lies under is at most 33 look-ups.

use std::collections::{BTreeMap, BTreeSet};

use headwater_pubsub::wire::TrackNamespace;

use super::input::{Identity, RequestKey, RequestRef, SessionId};

type Requests = BTreeSet<(SessionId, RequestKey)>;

/// The namespaces of a hub.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    published: BTreeMap<TrackNamespace, Published>,
    subscribers: BTreeMap<TrackNamespace, Requests>,
    track_subscribers: BTreeMap<TrackNamespace, Requests>,
}

/// A published namespace.
#[derive(Debug)]
pub(super) struct Published {
    owner: Identity,
    by: Requests,
}

/// The two kinds of namespace subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interest {
    Namespaces,
    Tracks,
}

impl Namespaces {
    /// Whether someone else owns this namespace, one above it or one below it.
    pub(super) fn is_taken(&self, namespace: &TrackNamespace, identity: &Identity) -> bool {
        let other = |published: &Published| published.owner != *identity;
        prefixes(namespace).any(|above| self.published.get(&above).is_some_and(other))
            || self.below(namespace).any(|(_, published)| other(published))
    }

    /// Whether someone else owns this namespace or one above it.
    pub(super) fn is_owned_by_other(&self, namespace: &TrackNamespace, identity: &Identity) -> bool {
        prefixes(namespace).any(|above| {
            self.published
                .get(&above)
                .is_some_and(|published| published.owner != *identity)
        })
    }

    /// Adds a publisher; whether it is the first.
    pub(super) fn publish(
        &mut self,
        namespace: &TrackNamespace,
        owner: &Identity,
        by: (SessionId, RequestKey),
    ) -> bool {
        let published = self
            .published
            .entry(namespace.clone())
            .or_insert_with(|| Published {
                owner: owner.clone(),
                by: Requests::new(),
            });
        published.by.insert(by);
        published.by.len() == 1
    }

    /// Takes a publisher away; whether it was the last.
    pub(super) fn withdraw(&mut self, namespace: &TrackNamespace, by: (SessionId, RequestKey)) -> bool {
        let Some(published) = self.published.get_mut(namespace) else {
            return false;
        };
        published.by.remove(&by);
        let last = published.by.is_empty();
        if last {
            self.published.remove(namespace);
        }
        last
    }

    /// Whether this very namespace is published.
    pub(super) fn is_published(&self, namespace: &TrackNamespace) -> bool {
        self.published.contains_key(namespace)
    }

    /// Sessions that published this namespace or one above it.
    pub(super) fn publishers(&self, namespace: &TrackNamespace) -> BTreeSet<SessionId> {
        prefixes(namespace)
            .filter_map(|above| self.published.get(&above))
            .flat_map(|published| published.by.iter().map(|&(session, _)| session))
            .collect()
    }

    /// Published namespaces that begin with `prefix`.
    pub(super) fn under(&self, prefix: &TrackNamespace) -> impl Iterator<Item = &TrackNamespace> {
        self.below(prefix).map(|(namespace, _)| namespace)
    }

    fn below(&self, prefix: &TrackNamespace) -> impl Iterator<Item = (&TrackNamespace, &Published)> {
        self.published
            .range(prefix.clone()..)
            .take_while(|(namespace, _)| namespace.has_prefix(prefix))
    }

    /// Every published namespace with the number of its publishers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&TrackNamespace, usize)> {
        self.published
            .iter()
            .map(|(namespace, published)| (namespace, published.by.len()))
    }

    /// Adds a namespace subscription.
    pub(super) fn subscribe(
        &mut self,
        interest: Interest,
        prefix: &TrackNamespace,
        by: (SessionId, RequestKey),
    ) {
        self.interests(interest)
            .entry(prefix.clone())
            .or_default()
            .insert(by);
    }

    /// Takes a namespace subscription away.
    pub(super) fn unsubscribe(
        &mut self,
        interest: Interest,
        prefix: &TrackNamespace,
        by: (SessionId, RequestKey),
    ) {
        let interests = self.interests(interest);
        if let Some(requests) = interests.get_mut(prefix) {
            requests.remove(&by);
            if requests.is_empty() {
                interests.remove(prefix);
            }
        }
    }

    /// Namespace subscriptions to a prefix of `namespace`, each with what follows its prefix.
    pub(super) fn interested(
        &self,
        interest: Interest,
        namespace: &TrackNamespace,
    ) -> Vec<(RequestRef, TrackNamespace)> {
        let interests = match interest {
            Interest::Namespaces => &self.subscribers,
            Interest::Tracks => &self.track_subscribers,
        };
        let mut found = Vec::new();
        for prefix in prefixes(namespace) {
            let Some(requests) = interests.get(&prefix) else {
                continue;
            };
            let Some(suffix) = namespace.strip_prefix(&prefix) else {
                continue;
            };
            found.extend(
                requests
                    .iter()
                    .map(|&(session, key)| (RequestRef::Peer(session, key), suffix.clone())),
            );
        }
        found
    }

    const fn interests(&mut self, interest: Interest) -> &mut BTreeMap<TrackNamespace, Requests> {
        match interest {
            Interest::Namespaces => &mut self.subscribers,
            Interest::Tracks => &mut self.track_subscribers,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.published.is_empty() && self.subscribers.is_empty() && self.track_subscribers.is_empty()
    }
}

/// The prefixes of a namespace, from the empty one to itself.
fn prefixes(namespace: &TrackNamespace) -> impl Iterator<Item = TrackNamespace> + '_ {
    (0..=namespace.field_count())
        .filter_map(|fields| TrackNamespace::new(namespace.fields().take(fields)).ok())
}
