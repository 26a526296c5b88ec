//! What we offer to the peer by ourselves: namespaces and tracks.

use std::cell::Cell;

use tokio::sync::watch;

use super::PublishedTrack;
use crate::{
    net::client::{
        Client, GoawayWatch, RequestEnd, RequestFailed,
        request::Request,
        state::{Serving, ServingKind},
    },
    session::RequestKey,
    wire::{Parameters, PublishDoneCode, Token, TrackNamespace},
};

/// A namespace that the peer knows we have tracks under. Dropping it withdraws it.
#[derive(Debug)]
pub struct NamespacePublication {
    request: Request,
    namespace: TrackNamespace,
    end: watch::Receiver<Option<RequestEnd>>,
}

impl NamespacePublication {
    /// The namespace.
    pub const fn namespace(&self) -> &TrackNamespace {
        &self.namespace
    }

    /// Hears whether the peer wants this request made again elsewhere.
    pub fn goaway(&self) -> GoawayWatch {
        self.request.client.inner.goaway_watch(self.request.key)
    }

    /// Wait until the peer revokes it or the session ends. Cancel-safe.
    pub async fn ended(&mut self) -> RequestEnd {
        ended(&mut self.end).await
    }
}

async fn ended(end: &mut watch::Receiver<Option<RequestEnd>>) -> RequestEnd {
    let end = end.wait_for(Option::is_some).await.map(|end| *end);
    // Without its sender the request was forgotten, which only the end of everything does.
    end.ok().flatten().unwrap_or(RequestEnd::Session)
}

/// How to offer a track.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishOptions {
    /// Authorization.
    pub tokens: Vec<Token>,
}

/// A track that the peer accepted. Dropping it ends the subscription at once and resets its streams; to let everything arrive,
/// end the track and wait for [`Publication::ended`].
#[derive(Debug)]
pub struct Publication {
    client: Client,
    key: RequestKey,
    end: watch::Receiver<Option<RequestEnd>>,
}

impl Publication {
    /// Hears whether the peer wants this request made again elsewhere.
    pub fn goaway(&self) -> GoawayWatch {
        self.client.inner.goaway_watch(self.key)
    }

    /// Wait until everything of a track that ended was sent, the peer unsubscribed, or the session ended. Cancel-safe.
    pub async fn ended(&mut self) -> RequestEnd {
        ended(&mut self.end).await
    }
}

impl Publication {
    /// End the subscription at once and reset its streams, as dropping does, for this reason: GOING_AWAY once the track is published
    /// where [the peer sent it](Self::goaway).
    pub fn end(self, code: PublishDoneCode, reason: &str) {
        self.withdraw(code, reason);
    }

    fn withdraw(&self, code: PublishDoneCode, reason: &str) {
        let serving = {
            let mut state = self.client.inner.state();
            state.endings.remove(&self.key);
            state.goaways.remove(&self.key);
            state.serving.remove(&self.key)
        };
        if serving.is_some() {
            self.client.handle().end_subscription(self.key, code, reason);
        }
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        self.withdraw(PublishDoneCode::SUBSCRIPTION_ENDED, "withdrawn");
    }
}

impl Client {
    /// Tell the peer that there are tracks under `namespace`; serve them with [`Client::serve`] before.
    ///
    /// # Errors
    /// See [`RequestFailed`]. UNAUTHORIZED: we may not publish there.
    ///
    /// Cancel-safe: if dropped, the namespace is withdrawn.
    pub async fn publish_namespace(
        &self,
        namespace: TrackNamespace,
        tokens: Vec<Token>,
    ) -> Result<NamespacePublication, RequestFailed> {
        let parameters = Parameters {
            authorization_tokens: tokens,
            ..Parameters::default()
        };
        let (sender, end) = watch::channel(None);
        let asked = self.ask(
            |session| session.publish_namespace(namespace.clone(), parameters),
            |state, key| {
                state.endings.insert(key, sender);
            },
        )?;
        let (request, _accepted) = asked.answer().await?;
        Ok(NamespacePublication {
            request,
            namespace,
            end,
        })
    }

    /// Offer a track to the peer, as to a relay. Objects written from now on are sent once the peer accepts, while the peer's
    /// FORWARD is 1. It need not be served; for fetches of its past it must be.
    ///
    /// # Errors
    /// See [`RequestFailed`]. UNINTERESTED: nobody there wants it.
    ///
    /// Cancel-safe: if dropped, the offer is withdrawn.
    pub async fn publish(
        &self,
        track: &PublishedTrack,
        options: PublishOptions,
    ) -> Result<Publication, RequestFailed> {
        let edge = track.track().edge();
        let parameters = Parameters {
            authorization_tokens: options.tokens,
            largest_object: edge.largest,
            ..Parameters::default()
        };
        let (sender, end) = watch::channel(None);
        let alias = Cell::new(0);
        let asked = self.ask(
            |session| {
                let (key, given) = session.publish(
                    track.name().clone(),
                    parameters,
                    track.track().properties(),
                    false,
                )?;
                alias.set(given);
                Ok(key)
            },
            |state, key| {
                state.endings.insert(key, sender);
                let kind = ServingKind::Publication {
                    alias: alias.get(),
                    edge,
                    offer: None,
                };
                state.serving.insert(
                    key,
                    Serving {
                        track: track.clone(),
                        kind,
                    },
                );
            },
        )?;
        let (request, _accepted) = asked.answer().await?;
        Ok(Publication {
            client: self.clone(),
            key: request.release(),
            end,
        })
    }
}
