//! Namespace requests of the peer, and what we tell it of namespaces and tracks.

use super::{Added, Answer, Discovery, Known};
use crate::session::Session;
use crate::session::error::{IllegalMove, Violation};
use crate::session::event::{IncomingRequest, RequestKey};
use crate::session::request::{Exchange, Opener};
use crate::session::token::AuthToken;
use crate::session::update::PeerUpdate;
use crate::wire::control::{
    Namespace, NamespaceDone, PublishBlocked, PublishNamespace, RequestOk, SubscribeNamespace,
    SubscribeTracks,
};
use crate::wire::parameter::Scope;
use crate::wire::{FullTrackName, Message, RequestErrorCode, TrackNamespace};

// Our answers.
impl Session {
    /// Accepts a PUBLISH_NAMESPACE, SUBSCRIBE_NAMESPACE or SUBSCRIBE_TRACKS of the peer.
    ///
    /// # Errors
    /// [`IllegalMove`] says why nothing was sent.
    pub fn accept_namespace_request(&mut self, key: RequestKey) -> Result<(), IllegalMove> {
        let request = self.live(key)?;
        match &request.exchange {
            Exchange::Discovery(state) if request.opener == Opener::Peer && !state.is_answered() => {}
            _ => return Err(request.illegal()),
        }
        self.send(key, &Message::RequestOk(RequestOk::default()))?;
        if let Some(request) = self.requests.get_mut(&key)
            && let Exchange::Discovery(state) = &mut request.exchange
        {
            state.accept();
        }
        self.deliver_updates(key);
        Ok(())
    }

    /// Tells the peer of a namespace under its accepted SUBSCRIBE_NAMESPACE. One that it knows is not sent again.
    ///
    /// # Errors
    /// [`IllegalMove`] says why nothing was sent.
    pub fn namespace(&mut self, key: RequestKey, namespace: &TrackNamespace) -> Result<(), IllegalMove> {
        let limits = self.config.limits;
        let (suffix, known) = self.reported(key, namespace)?;
        match known.insert(namespace, &limits) {
            Added::Yes => {}
            Added::KnownBefore => return Ok(()),
            Added::NoRoom => return Err(IllegalMove::TooManyNamespaces),
        }
        self.send(key, &Message::Namespace(Namespace { suffix }))?;
        Ok(())
    }

    /// Tells the peer that a namespace is gone. Does nothing if the peer was not told of it.
    ///
    /// # Errors
    /// [`IllegalMove`] says why nothing was sent.
    pub fn namespace_done(&mut self, key: RequestKey, namespace: &TrackNamespace) -> Result<(), IllegalMove> {
        let (suffix, known) = self.reported(key, namespace)?;
        if known.remove(namespace) {
            self.send(key, &Message::NamespaceDone(NamespaceDone { suffix }))?;
        }
        Ok(())
    }

    /// Tells the peer that a track under its accepted SUBSCRIBE_TRACKS is not published for want of stream credit; it will not
    /// be, as long as that request lasts. Said once.
    ///
    /// # Errors
    /// [`IllegalMove`] says why nothing was sent.
    pub fn publish_blocked(&mut self, key: RequestKey, track: &FullTrackName) -> Result<(), IllegalMove> {
        self.live(key)?;
        let Some(request) = self.requests.get_mut(&key) else {
            return Err(IllegalMove::Ended);
        };
        let illegal = request.illegal();
        let (
            Opener::Peer,
            Exchange::Discovery(Discovery::Tracks {
                answer: Answer::Given,
                prefix,
                blocked,
            }),
        ) = (request.opener, &mut request.exchange)
        else {
            return Err(illegal);
        };
        let suffix = track
            .namespace()
            .strip_prefix(prefix)
            .ok_or(IllegalMove::NotUnderPrefix)?;
        if blocked.insert(track.clone()) {
            let name = track.name().clone();
            self.send(key, &Message::PublishBlocked(PublishBlocked { suffix, name }))?;
        }
        Ok(())
    }

    /// Whether the peer was told by PUBLISH_BLOCKED that `track` will not be published.
    pub(in crate::session) fn is_reported_blocked(&self, track: &FullTrackName) -> bool {
        self.requests.values().any(|request| match &request.exchange {
            Exchange::Discovery(Discovery::Tracks { blocked, .. }) => blocked.contains(track),
            _ => false,
        })
    }

    /// The suffix of `namespace` under the peer's accepted SUBSCRIBE_NAMESPACE, and what it knows.
    fn reported(
        &mut self,
        key: RequestKey,
        namespace: &TrackNamespace,
    ) -> Result<(TrackNamespace, &mut Known), IllegalMove> {
        self.live(key)?;
        let Some(request) = self.requests.get_mut(&key) else {
            return Err(IllegalMove::Ended);
        };
        let illegal = request.illegal();
        match (request.opener, &mut request.exchange) {
            (
                Opener::Peer,
                Exchange::Discovery(Discovery::Namespaces {
                    answer: Answer::Given,
                    prefix,
                    known,
                }),
            ) => {
                let suffix = namespace
                    .strip_prefix(prefix)
                    .ok_or(IllegalMove::NotUnderPrefix)?;
                Ok((suffix, known))
            }
            _ => Err(illegal),
        }
    }
}

// The peer's requests.
impl Session {
    pub(in crate::session) fn publish_namespace_received(
        &mut self,
        key: RequestKey,
        mut request: PublishNamespace,
    ) -> Result<(), Violation> {
        let (id, namespace) = (request.request_id, Some(&request.namespace));
        let Some(tokens) = self.admit(
            key,
            id,
            &mut request.parameters,
            Scope::PublishNamespace,
            namespace,
        )?
        else {
            return Ok(());
        };
        let PublishNamespace {
            namespace,
            parameters,
            ..
        } = request;
        let exchange = Exchange::Discovery(Discovery::Publishing {
            answer: Answer::Awaited,
        });
        self.offer(
            key,
            exchange,
            IncomingRequest::PublishNamespace {
                namespace,
                parameters,
            },
            tokens,
        );
        Ok(())
    }

    pub(in crate::session) fn subscribe_namespace_received(
        &mut self,
        key: RequestKey,
        mut request: SubscribeNamespace,
    ) -> Result<(), Violation> {
        let (id, prefix) = (request.request_id, Some(&request.prefix));
        let admitted = self.admit(
            key,
            id,
            &mut request.parameters,
            Scope::SubscribeNamespace,
            prefix,
        )?;
        let SubscribeNamespace {
            prefix, parameters, ..
        } = request;
        let discovery = Discovery::namespaces(prefix.clone());
        let request = IncomingRequest::SubscribeNamespace { prefix, parameters };
        self.offer_discovery(key, discovery, request, admitted);
        Ok(())
    }

    pub(in crate::session) fn subscribe_tracks_received(
        &mut self,
        key: RequestKey,
        mut request: SubscribeTracks,
    ) -> Result<(), Violation> {
        let (id, prefix) = (request.request_id, Some(&request.prefix));
        let admitted = self.admit(key, id, &mut request.parameters, Scope::SubscribeTracks, prefix)?;
        let SubscribeTracks {
            prefix, parameters, ..
        } = request;
        let discovery = Discovery::tracks(prefix.clone());
        let request = IncomingRequest::SubscribeTracks { prefix, parameters };
        self.offer_discovery(key, discovery, request, admitted);
        Ok(())
    }

    fn offer_discovery(
        &mut self,
        key: RequestKey,
        discovery: Discovery,
        request: IncomingRequest,
        admitted: Option<Vec<AuthToken>>,
    ) {
        let Some(tokens) = admitted else { return };
        let overlaps = discovery
            .prefix()
            .is_some_and(|prefix| self.overlaps(key, &discovery, prefix));
        if overlaps {
            self.refuse(
                key,
                RequestErrorCode::PREFIX_OVERLAP,
                "prefix overlaps that of another request",
            );
            return;
        }
        self.offer(key, Exchange::Discovery(discovery), request, tokens);
    }

    /// Why an update of the peer may not set this prefix.
    pub(in crate::session) fn prefix_objection(
        &self,
        key: RequestKey,
        prefix: Option<&TrackNamespace>,
    ) -> Option<(RequestErrorCode, &'static str)> {
        let prefix = prefix?;
        if prefix.is_dot() || prefix.is_session() {
            return Some((RequestErrorCode::DOES_NOT_EXIST, "reserved namespace"));
        }
        match self.requests.get(&key).map(|request| &request.exchange) {
            Some(Exchange::Discovery(state)) if self.overlaps(key, state, prefix) => Some((
                RequestErrorCode::PREFIX_OVERLAP,
                "prefix overlaps that of another request",
            )),
            _ => None,
        }
    }

    /// Whether `prefix` and that of another request of the peer, of the same kind, contain each other. Prefixes that an
    /// update would set count as well.
    fn overlaps(&self, key: RequestKey, kind: &Discovery, prefix: &TrackNamespace) -> bool {
        self.requests.iter().any(|(other, request)| {
            let Exchange::Discovery(state) = &request.exchange else {
                return false;
            };
            let comparable = *other != key && request.opener == Opener::Peer && state.is_same_kind(kind);
            let coming = request.updates.iter().filter_map(PeerUpdate::prefix);
            comparable
                && state
                    .prefix()
                    .into_iter()
                    .chain(coming)
                    .any(|other| other.has_prefix(prefix) || prefix.has_prefix(other))
        })
    }
}
