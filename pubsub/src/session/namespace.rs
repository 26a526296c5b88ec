//! PUBLISH_NAMESPACE, SUBSCRIBE_NAMESPACE and SUBSCRIBE_TRACKS, both ways (draft section "Namespace Discovery").
//!
//! Namespaces are whole names towards the application; on the wire they lack the prefix that was asked for.

use std::collections::BTreeSet;

use super::Session;
use super::error::{IllegalMove, RequestRefused, Violation};
use super::event::{Event, IncomingRequest, RequestKey};
use super::request::{Exchange, Opener};
use super::token::AuthToken;
use crate::wire::control::{
    Namespace, NamespaceDone, PublishBlocked, PublishNamespace, RequestOk, SubscribeNamespace,
    SubscribeTracks,
};
use crate::wire::parameter::Scope;
use crate::wire::{FullTrackName, Message, Parameters, RequestErrorCode, StreamCode, TrackNamespace};

/// Where a namespace request stands.
#[derive(Debug)]
pub(super) enum Discovery {
    /// PUBLISH_NAMESPACE.
    Publishing { answer: Answer },
    /// SUBSCRIBE_NAMESPACE, with the namespaces that were sent under it and are not done.
    Namespaces {
        answer: Answer,
        prefix: TrackNamespace,
        known: BTreeSet<TrackNamespace>,
    },
    /// SUBSCRIBE_TRACKS, with the tracks that were reported as blocked by us.
    Tracks {
        answer: Answer,
        prefix: TrackNamespace,
        blocked: BTreeSet<FullTrackName>,
    },
}

/// Whether a request was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Awaited,
    Given,
}

impl Discovery {
    const fn namespaces(prefix: TrackNamespace) -> Self {
        Self::Namespaces {
            answer: Answer::Awaited,
            prefix,
            known: BTreeSet::new(),
        }
    }

    const fn tracks(prefix: TrackNamespace) -> Self {
        Self::Tracks {
            answer: Answer::Awaited,
            prefix,
            blocked: BTreeSet::new(),
        }
    }

    pub(super) const fn is_answered(&self) -> bool {
        let (Self::Publishing { answer } | Self::Namespaces { answer, .. } | Self::Tracks { answer, .. }) =
            self;
        matches!(answer, Answer::Given)
    }

    pub(super) const fn accept(&mut self) {
        let (Self::Publishing { answer } | Self::Namespaces { answer, .. } | Self::Tracks { answer, .. }) =
            self;
        *answer = Answer::Given;
    }

    pub(super) const fn name(&self) -> &'static str {
        match (self, self.is_answered()) {
            (Self::Publishing { .. }, false) => "a PUBLISH_NAMESPACE without answer",
            (Self::Publishing { .. }, true) => "a published namespace",
            (Self::Namespaces { .. }, false) => "a SUBSCRIBE_NAMESPACE without answer",
            (Self::Namespaces { .. }, true) => "a namespace subscription",
            (Self::Tracks { .. }, false) => "a SUBSCRIBE_TRACKS without answer",
            (Self::Tracks { .. }, true) => "a subscription to tracks",
        }
    }

    pub(super) const fn ok_scope(&self) -> Scope {
        match self {
            Self::Publishing { .. } => Scope::PublishNamespaceOk,
            Self::Namespaces { .. } => Scope::SubscribeNamespaceOk,
            Self::Tracks { .. } => Scope::SubscribeTracksOk,
        }
    }

    const fn prefix(&self) -> Option<&TrackNamespace> {
        match self {
            Self::Publishing { .. } => None,
            Self::Namespaces { prefix, .. } | Self::Tracks { prefix, .. } => Some(prefix),
        }
    }

    /// Whether two requests share a space of prefixes that may not overlap.
    const fn is_same_kind(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::Namespaces { .. }, Self::Namespaces { .. }) | (Self::Tracks { .. }, Self::Tracks { .. })
        )
    }

    /// Changes the prefix. Namespaces outside the new one can no longer be named on the wire, so they are done: these are returned.
    pub(super) fn set_prefix(&mut self, new: TrackNamespace) -> Vec<TrackNamespace> {
        match self {
            Self::Publishing { .. } => Vec::new(),
            Self::Tracks { prefix, .. } => {
                *prefix = new;
                Vec::new()
            }
            Self::Namespaces { prefix, known, .. } => {
                let gone = known
                    .extract_if(.., |namespace| !namespace.has_prefix(&new))
                    .collect();
                *prefix = new;
                gone
            }
        }
    }

    /// The namespaces that are known and not done; forgets them.
    pub(super) fn take_namespaces(&mut self) -> Vec<TrackNamespace> {
        match self {
            Self::Namespaces { known, .. } => std::mem::take(known).into_iter().collect(),
            Self::Publishing { .. } | Self::Tracks { .. } => Vec::new(),
        }
    }
}

// Our requests.
impl Session {
    /// Sends PUBLISH_NAMESPACE: we have tracks under `namespace`. [`cancel`](Self::cancel) withdraws it.
    ///
    /// # Errors
    /// [`RequestRefused`] says why nothing was sent.
    pub fn publish_namespace(
        &mut self,
        namespace: TrackNamespace,
        parameters: Parameters,
    ) -> Result<RequestKey, RequestRefused> {
        self.check_may_ask(Some(&namespace))?;
        if namespace.is_session() {
            return Err(RequestRefused::Reserved);
        }
        parameters
            .check(Scope::PublishNamespace)
            .map_err(RequestRefused::Parameter)?;
        let exchange = Exchange::Discovery(Discovery::Publishing {
            answer: Answer::Awaited,
        });
        self.open(exchange, false, |request_id| {
            Message::PublishNamespace(PublishNamespace {
                request_id,
                namespace,
                parameters,
            })
        })
    }

    /// Sends SUBSCRIBE_NAMESPACE: which namespaces are there under `prefix`, now and later? No fields: all.
    ///
    /// # Errors
    /// [`RequestRefused`] says why nothing was sent.
    pub fn subscribe_namespace(
        &mut self,
        prefix: TrackNamespace,
        parameters: Parameters,
    ) -> Result<RequestKey, RequestRefused> {
        self.check_may_ask(Some(&prefix))?;
        parameters
            .check(Scope::SubscribeNamespace)
            .map_err(RequestRefused::Parameter)?;
        let exchange = Exchange::Discovery(Discovery::namespaces(prefix.clone()));
        self.open(exchange, false, |request_id| {
            Message::SubscribeNamespace(SubscribeNamespace {
                request_id,
                prefix,
                parameters,
            })
        })
    }

    /// Sends SUBSCRIBE_TRACKS: send a PUBLISH for each track under `prefix`, now and later. No fields: all.
    ///
    /// # Errors
    /// [`RequestRefused`] says why nothing was sent.
    pub fn subscribe_tracks(
        &mut self,
        prefix: TrackNamespace,
        parameters: Parameters,
    ) -> Result<RequestKey, RequestRefused> {
        self.check_may_ask(Some(&prefix))?;
        parameters
            .check(Scope::SubscribeTracks)
            .map_err(RequestRefused::Parameter)?;
        let exchange = Exchange::Discovery(Discovery::tracks(prefix.clone()));
        self.open(exchange, false, |request_id| {
            Message::SubscribeTracks(SubscribeTracks {
                request_id,
                prefix,
                parameters,
            })
        })
    }
}

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
        let max = self.config.limits.namespaces;
        let (suffix, known) = self.reported(key, namespace)?;
        if known.contains(namespace) {
            return Ok(());
        }
        if known.len() >= max {
            return Err(IllegalMove::TooManyNamespaces);
        }
        known.insert(namespace.clone());
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
    pub(super) fn is_reported_blocked(&self, track: &FullTrackName) -> bool {
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
    ) -> Result<(TrackNamespace, &mut BTreeSet<TrackNamespace>), IllegalMove> {
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
    pub(super) fn publish_namespace_received(
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

    pub(super) fn subscribe_namespace_received(
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

    pub(super) fn subscribe_tracks_received(
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
    pub(super) fn prefix_objection(
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
            let coming = request
                .updates
                .iter()
                .filter_map(super::update::PeerUpdate::prefix);
            comparable
                && state
                    .prefix()
                    .into_iter()
                    .chain(coming)
                    .any(|other| other.has_prefix(prefix) || prefix.has_prefix(other))
        })
    }
}

// The peer's answers to our namespace requests.
impl Session {
    pub(super) fn namespace_received(
        &mut self,
        key: RequestKey,
        suffix: &TrackNamespace,
    ) -> Result<(), Violation> {
        let max = self.config.limits.namespaces;
        let (namespace, known) = self.enumerated(key, suffix)?;
        if known.contains(&namespace) {
            return Ok(());
        }
        if known.len() >= max {
            self.lost(key, Some(StreamCode::EXCESSIVE_LOAD));
            self.abandon(key, StreamCode::EXCESSIVE_LOAD);
            return Ok(());
        }
        known.insert(namespace.clone());
        self.events.push_back(Event::Namespace { key, namespace });
        Ok(())
    }

    pub(super) fn namespace_done_received(
        &mut self,
        key: RequestKey,
        suffix: &TrackNamespace,
    ) -> Result<(), Violation> {
        let (namespace, known) = self.enumerated(key, suffix)?;
        if !known.remove(&namespace) {
            return Err(Violation::protocol("NAMESPACE_DONE without NAMESPACE"));
        }
        self.events.push_back(Event::NamespaceDone { key, namespace });
        Ok(())
    }

    pub(super) fn publish_blocked_received(
        &mut self,
        key: RequestKey,
        blocked: &PublishBlocked,
    ) -> Result<(), Violation> {
        let Some(request) = self.requests.get(&key) else {
            return Ok(());
        };
        let (
            Opener::Us,
            Exchange::Discovery(Discovery::Tracks {
                answer: Answer::Given,
                prefix,
                ..
            }),
        ) = (request.opener, &request.exchange)
        else {
            return Err(Violation::protocol(
                "PUBLISH_BLOCKED outside an accepted SUBSCRIBE_TRACKS",
            ));
        };
        let namespace = prefix.join(&blocked.suffix).map_err(name_too_long)?;
        let track = FullTrackName::new(namespace, blocked.name.clone()).map_err(name_too_long)?;
        self.events.push_back(Event::PublishBlocked { key, track });
        Ok(())
    }

    /// The whole namespace of a suffix under our accepted SUBSCRIBE_NAMESPACE, and what we know.
    fn enumerated(
        &mut self,
        key: RequestKey,
        suffix: &TrackNamespace,
    ) -> Result<(TrackNamespace, &mut BTreeSet<TrackNamespace>), Violation> {
        match self
            .requests
            .get_mut(&key)
            .map(|request| (request.opener, &mut request.exchange))
        {
            Some((
                Opener::Us,
                Exchange::Discovery(Discovery::Namespaces {
                    answer: Answer::Given,
                    prefix,
                    known,
                }),
            )) => Ok((prefix.join(suffix).map_err(name_too_long)?, known)),
            _ => Err(Violation::protocol(
                "NAMESPACE or NAMESPACE_DONE outside an accepted SUBSCRIBE_NAMESPACE",
            )),
        }
    }
}

fn name_too_long(error: crate::wire::error::NameError) -> Violation {
    Violation::protocol(&error.to_string())
}
