//! PUBLISH_NAMESPACE, SUBSCRIBE_NAMESPACE and SUBSCRIBE_TRACKS, both ways (draft section "Namespace Discovery").
//!
//! Namespaces are whole names towards the application; on the wire they lack the prefix that was asked for.

mod responder;

use std::collections::BTreeSet;

use super::Session;
use super::config::Limits;
use super::error::{RequestRefused, Violation};
use super::event::{Event, RequestKey};
use super::request::{Exchange, Opener};
use crate::wire::control::{PublishBlocked, PublishNamespace, SubscribeNamespace, SubscribeTracks};
use crate::wire::parameter::Scope;
use crate::wire::{FullTrackName, Message, Parameters, StreamCode, TrackNamespace};

/// Where a namespace request stands.
#[derive(Debug)]
pub(super) enum Discovery {
    /// PUBLISH_NAMESPACE.
    Publishing { answer: Answer },
    /// SUBSCRIBE_NAMESPACE, with the namespaces that were sent under it and are not done.
    Namespaces {
        answer: Answer,
        prefix: TrackNamespace,
        known: Known,
    },
    /// SUBSCRIBE_TRACKS, with the tracks that were reported as blocked by us.
    Tracks {
        answer: Answer,
        prefix: TrackNamespace,
        blocked: BTreeSet<FullTrackName>,
    },
}

/// The namespaces known under a prefix.
#[derive(Debug, Default)]
pub(super) struct Known {
    namespaces: BTreeSet<TrackNamespace>,
    bytes: usize,
}

/// What became of a namespace that was to be added.
enum Added {
    Yes,
    KnownBefore,
    NoRoom,
}

impl Known {
    fn insert(&mut self, namespace: &TrackNamespace, limits: &Limits) -> Added {
        if self.namespaces.contains(namespace) {
            return Added::KnownBefore;
        }
        let bytes = self.bytes.saturating_add(namespace.byte_len());
        if self.namespaces.len() >= limits.namespaces || bytes > limits.namespace_bytes {
            return Added::NoRoom;
        }
        self.bytes = bytes;
        self.namespaces.insert(namespace.clone());
        Added::Yes
    }

    fn remove(&mut self, namespace: &TrackNamespace) -> bool {
        let known = self.namespaces.remove(namespace);
        if known {
            self.bytes -= namespace.byte_len();
        }
        known
    }

    /// Takes out those that are not under `prefix`.
    fn take_outside(&mut self, prefix: &TrackNamespace) -> Vec<TrackNamespace> {
        let gone: Vec<_> = self
            .namespaces
            .extract_if(.., |namespace| !namespace.has_prefix(prefix))
            .collect();
        self.bytes -= gone.iter().map(TrackNamespace::byte_len).sum::<usize>();
        gone
    }
}

/// Whether a request was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Awaited,
    Given,
}

impl Discovery {
    fn namespaces(prefix: TrackNamespace) -> Self {
        Self::Namespaces {
            answer: Answer::Awaited,
            prefix,
            known: Known::default(),
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
                let gone = known.take_outside(&new);
                *prefix = new;
                gone
            }
        }
    }

    /// The namespaces that are known and not done; forgets them.
    pub(super) fn take_namespaces(&mut self) -> Vec<TrackNamespace> {
        match self {
            Self::Namespaces { known, .. } => std::mem::take(known).namespaces.into_iter().collect(),
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

// The peer's answers to our namespace requests.
impl Session {
    pub(super) fn namespace_received(
        &mut self,
        key: RequestKey,
        suffix: &TrackNamespace,
    ) -> Result<(), Violation> {
        let limits = self.config.limits;
        let (namespace, known) = self.enumerated(key, suffix)?;
        match known.insert(&namespace, &limits) {
            Added::Yes => self.events.push_back(Event::Namespace { key, namespace }),
            Added::KnownBefore => {}
            Added::NoRoom => {
                self.lost(key, Some(StreamCode::EXCESSIVE_LOAD));
                self.abandon(key, StreamCode::EXCESSIVE_LOAD);
            }
        }
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
    ) -> Result<(TrackNamespace, &mut Known), Violation> {
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
