//! PUBLISH_NAMESPACE and SUBSCRIBE_NAMESPACE.

use std::collections::BTreeSet;

use headwater_pubsub::wire::{RequestErrorCode, TrackNamespace};

use super::Hub;
use super::input::{RequestKey, RequestRef, Rights, SessionId, TrackId};
use super::namespaces::Interest;
use super::output::Output;
use super::publish::{not_allowed, owned};
use super::refusals::{Refusal, error};
use super::session::{Incoming, Kind};
use crate::overlay::message::Entry;

impl Hub {
    pub(super) fn publish_namespace(
        &mut self,
        session: SessionId,
        key: RequestKey,
        namespace: TrackNamespace,
    ) {
        let request = RequestRef::Peer(session, key);
        if let Err(refusal) = self.admit_namespace(session, &namespace) {
            self.reject(request, refusal);
            return;
        }
        let Some(identity) = self
            .sessions
            .get(&session)
            .map(|session| session.identity.clone())
        else {
            return;
        };
        self.push(Output::Accept { request });
        let first = self.namespaces.publish(&namespace, &identity, (session, key));
        if first {
            self.announce(Entry::Namespace(namespace.clone()), true);
        }
        if first && !self.mesh.has_namespace(&namespace) {
            for (request, suffix) in self.namespaces.interested(Interest::Namespaces, &namespace) {
                self.push(Output::Namespace { request, suffix });
            }
        }
        self.refusals
            .forget(session, |track| track.namespace().has_prefix(&namespace));
        self.fetch_refusals
            .forget(session, |track| track.namespace().has_prefix(&namespace));
        let tracks: Vec<TrackId> = self.tracks.under(&namespace).collect();
        for id in tracks {
            self.forgive(session, id);
            self.touch(id);
        }
        self.hold_request(session, key, Incoming::PublishNamespace { namespace });
    }

    fn admit_namespace(&self, session: SessionId, namespace: &TrackNamespace) -> Result<(), Refusal> {
        let state = self.admit(session, Kind::PublishNamespace)?;
        if state.rights != Rights::Publish {
            return Err(not_allowed());
        }
        if namespace.is_dot() || namespace.is_session() {
            return Err(error(
                RequestErrorCode::DOES_NOT_EXIST,
                "the namespace is reserved",
            ));
        }
        let fed_by_other = self
            .tracks
            .under(namespace)
            .filter_map(|id| self.tracks.get(id))
            .any(|track| self.is_fed_by_other(track, &state.identity));
        if fed_by_other || self.namespaces.is_taken(namespace, &state.identity) {
            return Err(owned());
        }
        Ok(())
    }

    /// What runs under the namespace goes on; new subscriptions no longer reach this publisher.
    pub(super) fn withdraw_namespace(&mut self, namespace: &TrackNamespace, by: (SessionId, RequestKey)) {
        let last = self.namespaces.withdraw(namespace, by);
        if last {
            self.announce(Entry::Namespace(namespace.clone()), false);
        }
        if last && !self.mesh.has_namespace(namespace) {
            for (request, suffix) in self.namespaces.interested(Interest::Namespaces, namespace) {
                self.push(Output::NamespaceDone { request, suffix });
            }
        }
    }

    pub(super) fn subscribe_namespace(
        &mut self,
        session: SessionId,
        key: RequestKey,
        prefix: TrackNamespace,
    ) {
        let request = RequestRef::Peer(session, key);
        if let Err(refusal) = self.admit_interest(Interest::Namespaces, request, &prefix) {
            self.reject(request, refusal);
            return;
        }
        self.push(Output::Accept { request });
        self.namespaces
            .subscribe(Interest::Namespaces, &prefix, (session, key));
        for suffix in self.suffixes(&prefix) {
            self.push(Output::Namespace { request, suffix });
        }
        self.hold_request(session, key, Incoming::SubscribeNamespace { prefix });
    }

    fn suffixes(&self, prefix: &TrackNamespace) -> Vec<TrackNamespace> {
        let known: BTreeSet<_> = self
            .namespaces
            .under(prefix)
            .chain(self.mesh.namespaces_under(prefix))
            .collect();
        known
            .into_iter()
            .filter_map(|namespace| namespace.strip_prefix(prefix))
            .collect()
    }

    /// Whether a session may subscribe to the namespaces or tracks under a prefix.
    pub(super) fn admit_interest(
        &self,
        interest: Interest,
        request: RequestRef,
        prefix: &TrackNamespace,
    ) -> Result<(), Refusal> {
        self.admit(request.session(), Kind::NamespaceInterest)?;
        self.check_prefix(interest, request, prefix)
    }

    /// The rules that a prefix obeys when it comes and when it is changed.
    fn check_prefix(
        &self,
        interest: Interest,
        request: RequestRef,
        prefix: &TrackNamespace,
    ) -> Result<(), Refusal> {
        if prefix.is_dot() || prefix.is_session() {
            return Err(error(
                RequestErrorCode::DOES_NOT_EXIST,
                "the namespace is reserved",
            ));
        }
        let session = request.session();
        let overlap = self
            .sessions
            .get(&session)
            .into_iter()
            .flat_map(|session| session.requests())
            .any(|(key, other)| {
                let theirs = match (other, interest) {
                    (Incoming::SubscribeNamespace { prefix }, Interest::Namespaces) => prefix,
                    (Incoming::SubscribeTracks(tracks), Interest::Tracks) => &tracks.prefix,
                    _ => return false,
                };
                RequestRef::Peer(session, key) != request
                    && (theirs.has_prefix(prefix) || prefix.has_prefix(theirs))
            });
        if overlap {
            return Err(error(
                RequestErrorCode::PREFIX_OVERLAP,
                "the session has a subscription that overlaps",
            ));
        }
        let matches = match interest {
            Interest::Namespaces => self
                .namespaces
                .under(prefix)
                .chain(self.mesh.namespaces_under(prefix))
                .take(self.config.matches + 1)
                .count(),
            Interest::Tracks => {
                let most = self.config.matches + 1;
                self.published_under(prefix).len() + self.mesh.tracks_under(prefix).take(most).count()
            }
        };
        if matches > self.config.matches {
            return Err(error(
                RequestErrorCode::NAMESPACE_TOO_LARGE,
                "the prefix matches too much",
            ));
        }
        Ok(())
    }

    /// TRACK_NAMESPACE_PREFIX on a SUBSCRIBE_NAMESPACE. What was announced is withdrawn under the old prefix and announced
    /// again under the new one, so that no suffix is ever ambiguous.
    pub(super) fn move_namespace_interest(
        &mut self,
        request: RequestRef,
        old: &TrackNamespace,
        new: &TrackNamespace,
    ) {
        let RequestRef::Peer(session, key) = request else {
            return;
        };
        if let Err(refusal) = self.check_prefix(Interest::Namespaces, request, new) {
            self.fail_update(request, refusal.into());
            return;
        }
        for suffix in self.suffixes(old) {
            self.push(Output::NamespaceDone { request, suffix });
        }
        self.push(Output::AcceptUpdate { request });
        self.namespaces
            .unsubscribe(Interest::Namespaces, old, (session, key));
        self.namespaces
            .subscribe(Interest::Namespaces, new, (session, key));
        for suffix in self.suffixes(new) {
            self.push(Output::Namespace { request, suffix });
        }
        if let Some(session) = self.sessions.get_mut(&session)
            && let Some(Incoming::SubscribeNamespace { prefix }) = session.request_mut(key)
        {
            *prefix = new.clone();
        }
    }

    /// TRACK_NAMESPACE_PREFIX on a SUBSCRIBE_TRACKS: subscriptions that it brought stay.
    pub(super) fn move_tracks_interest(
        &mut self,
        request: RequestRef,
        old: &TrackNamespace,
        new: &TrackNamespace,
    ) {
        let RequestRef::Peer(session, key) = request else {
            return;
        };
        if let Err(refusal) = self.check_prefix(Interest::Tracks, request, new) {
            self.fail_update(request, refusal.into());
            return;
        }
        self.push(Output::AcceptUpdate { request });
        self.namespaces.unsubscribe(Interest::Tracks, old, (session, key));
        self.namespaces.subscribe(Interest::Tracks, new, (session, key));
        let published: Vec<TrackId> = self.published_under(new);
        if let Some(interest) = self.tracks_interest(request) {
            interest.prefix = new.clone();
            interest.offered.retain(|id| published.contains(id));
        }
        self.offer_under(new, request);
        self.expect_only_under(new, request);
        self.expect_under(new, request);
    }
}
