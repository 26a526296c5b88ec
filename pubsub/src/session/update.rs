//! REQUEST_OK and REQUEST_ERROR, and REQUEST_UPDATE, which they answer too (draft section "REQUEST_UPDATE").
//!
//! Each update gets one answer, in order. Updates that arrive before the request was accepted wait for that. A failed update
//! ends its request: a subscription by PUBLISH_DONE from its publisher, all others at once.

use super::error::{IllegalMove, Violation};
use super::event::{Accepted, Event, RequestKey};
use super::namespace::Discovery;
use super::publication::Publication;
use super::request::{After, Exchange, Opener, Request};
use super::subscription::local_error;
use super::token::AuthToken;
use super::{Session, Side, Timer};
use crate::wire::control::{RequestError, RequestOk, RequestUpdate};
use crate::wire::parameter::Scope;
use crate::wire::{Message, Parameters, RequestErrorCode, StreamCode, TrackNamespace};

/// An update of the peer that waits for our answer.
#[derive(Debug)]
pub(super) enum PeerUpdate {
    /// The request is not accepted yet, so the application does not know of the update.
    Waiting {
        parameters: Box<Parameters>,
        tokens: Vec<AuthToken>,
    },
    /// The application has it; what its success changes here.
    Delivered {
        forward: Option<bool>,
        prefix: Option<TrackNamespace>,
    },
    /// It breaks a rule and fails when its turn comes.
    Doomed {
        code: RequestErrorCode,
        reason: &'static str,
    },
}

/// An update of ours that the peer has not answered.
#[derive(Debug)]
pub(super) struct Asked {
    /// The prefix that it sets.
    prefix: Option<TrackNamespace>,
    by: Asker,
}

/// Who wanted an update of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    Application,
    /// The session itself, which keeps a subscription from expiring.
    Session,
}

/// About how many bytes the parameters of a message hold while it waits.
pub(super) fn held_size(parameters: &Parameters, tokens: &[AuthToken]) -> usize {
    let tokens: usize = tokens
        .iter()
        .map(|token| size_of::<AuthToken>() + token.value.len())
        .sum();
    let prefix = parameters
        .track_namespace_prefix
        .as_ref()
        .map_or(0, TrackNamespace::byte_len);
    size_of::<Parameters>() + prefix + tokens + parameters.extensions.len()
}

impl PeerUpdate {
    /// About how many bytes it holds.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Waiting { parameters, tokens } => held_size(parameters, tokens),
            Self::Delivered { prefix, .. } => prefix.as_ref().map_or(0, TrackNamespace::byte_len),
            Self::Doomed { .. } => 0,
        }
    }

    /// The prefix that the update would set.
    pub(super) const fn prefix(&self) -> Option<&TrackNamespace> {
        match self {
            Self::Waiting { parameters, .. } => parameters.track_namespace_prefix.as_ref(),
            Self::Delivered { prefix, .. } => prefix.as_ref(),
            Self::Doomed { .. } => None,
        }
    }
}

impl Request {
    /// The scope of parameters in an update of this request and in its OK.
    const fn update_scopes(&self) -> Option<(Scope, Scope)> {
        match &self.exchange {
            Exchange::Subscription(_) | Exchange::Publication(_) => {
                Some((Scope::UpdateSubscription, Scope::UpdateSubscriptionOk))
            }
            Exchange::Fetch(_) => Some((Scope::UpdateFetch, Scope::UpdateOtherOk)),
            Exchange::Discovery(Discovery::Publishing { .. }) => {
                Some((Scope::UpdatePublishNamespace, Scope::UpdateOtherOk))
            }
            Exchange::Discovery(_) => Some((Scope::UpdateNamespaceSubscription, Scope::UpdateOtherOk)),
            Exchange::Unread | Exchange::TrackStatus | Exchange::Over(_) => None,
        }
    }

    /// Whether the responder may update this request, too: the subscriber of a PUBLISH.
    const fn responder_updates(&self) -> bool {
        match self.opener {
            Opener::Us => matches!(
                self.exchange,
                Exchange::Publication(Publication::Established { .. })
            ),
            Opener::Peer => matches!(self.exchange, Exchange::Subscription(_)),
        }
    }
}

// Our updates.
impl Session {
    /// Changes an accepted request: one of ours, or a subscription to what the peer publishes. Gives the update's Request ID.
    ///
    /// # Errors
    /// [`IllegalMove`] says why nothing was sent.
    pub fn update(&mut self, key: RequestKey, parameters: Parameters) -> Result<u64, IllegalMove> {
        self.ask_update(key, parameters, Asker::Application)
    }

    pub(super) fn ask_update(
        &mut self,
        key: RequestKey,
        parameters: Parameters,
        by: Asker,
    ) -> Result<u64, IllegalMove> {
        let request = self.live(key)?;
        let asks = request.opener == Opener::Us || request.responder_updates();
        let (true, true, false, true, Some((scope, _))) = (
            asks,
            request.exchange.is_answered(),
            request.update_failed,
            request.sending,
            request.update_scopes(),
        ) else {
            return Err(request.illegal());
        };
        self.check_ours(&parameters, scope)
            .map_err(IllegalMove::Parameter)?;
        let prefix = parameters.track_namespace_prefix.clone();
        let request_id = self.next_id.take();
        if let Err(error) = self.send(
            key,
            &Message::RequestUpdate(RequestUpdate {
                request_id,
                parameters,
            }),
        ) {
            self.next_id.give_back(request_id);
            return Err(error.into());
        }
        if let Some(request) = self.requests.get_mut(&key) {
            request.asked.push_back(Asked { prefix, by });
        }
        Ok(request_id)
    }

    pub(super) fn ok_received(&mut self, key: RequestKey, ok: RequestOk) -> Result<(), Violation> {
        let Some(request) = self.requests.get_mut(&key) else {
            return Ok(());
        };
        let status = matches!(request.exchange, Exchange::TrackStatus);
        if !status && !ok.properties.is_empty() {
            return Err(Violation::protocol(
                "REQUEST_OK with Track Properties that does not answer TRACK_STATUS",
            ));
        }
        let ours = request.opener == Opener::Us;
        match &mut request.exchange {
            Exchange::TrackStatus if ours => {
                ok.parameters.check(Scope::TrackStatusOk)?;
                let answer = Accepted::TrackStatus {
                    parameters: ok.parameters,
                    properties: ok.properties,
                };
                self.events.push_back(Event::Accepted { key, answer });
                self.over(key, After::Nothing);
                Ok(())
            }
            Exchange::Publication(state) if ours && state.is_offered() => {
                ok.parameters.check(Scope::PublishOk)?;
                state.publish_ok(&ok.parameters);
                let expires = ok.parameters.expires_ms;
                let answer = Accepted::Publish {
                    parameters: ok.parameters,
                };
                self.events.push_back(Event::Accepted { key, answer });
                self.expires(key, expires);
                self.wake_fetches();
                Ok(())
            }
            Exchange::Discovery(state) if ours && !state.is_answered() => {
                ok.parameters.check(state.ok_scope())?;
                state.accept();
                self.events.push_back(Event::Accepted {
                    key,
                    answer: Accepted::Namespace,
                });
                Ok(())
            }
            _ => self.update_ok_received(key, ok.parameters),
        }
    }

    fn update_ok_received(&mut self, key: RequestKey, parameters: Parameters) -> Result<(), Violation> {
        let Some(request) = self.requests.get_mut(&key) else {
            return Ok(());
        };
        let (Some(asked), Some((_, scope))) = (request.asked.pop_front(), request.update_scopes()) else {
            return Err(Violation::protocol("REQUEST_OK that answers nothing"));
        };
        parameters.check(scope)?;
        let expires = parameters.expires_ms;
        if asked.by == Asker::Application {
            self.events.push_back(Event::UpdateAnswered {
                key,
                result: Ok(parameters),
            });
        }
        if let (Some(prefix), Exchange::Discovery(state)) = (asked.prefix, &mut request.exchange) {
            let gone = state.set_prefix(prefix);
            self.events.extend(
                gone.into_iter()
                    .map(|namespace| Event::NamespaceDone { key, namespace }),
            );
        }
        // What an answer about something else leaves out is not taken back.
        if scope == Scope::UpdateSubscriptionOk && (expires.is_some() || asked.by == Asker::Session) {
            self.expires(key, expires);
        }
        Ok(())
    }

    pub(super) fn error_received(&mut self, key: RequestKey, error: RequestError) -> Result<(), Violation> {
        let Some(request) = self.requests.get_mut(&key) else {
            return Ok(());
        };
        if let Some(redirect) = &error.redirect {
            // draft §10.6.1
            if self.config.side == Side::Server && !redirect.uri.is_empty() {
                return Err(Violation::protocol("REDIRECT to a URI from a client"));
            }
            if matches!(request.exchange, Exchange::Discovery(_)) && !redirect.name.is_empty() {
                return Err(Violation::protocol(
                    "REDIRECT of a namespace request to a track name",
                ));
            }
        }
        if request.opener == Opener::Us && request.exchange.awaits_answer() {
            self.events.push_back(Event::Rejected { key, error });
            self.over(key, After::Nothing);
            return Ok(());
        }
        let Some(asked) = request.asked.pop_front() else {
            return Err(Violation::protocol("REQUEST_ERROR that answers nothing"));
        };
        request.update_failed = true;
        if let Exchange::Publication(state) = &mut request.exchange {
            state.fail();
            request.updates.clear();
        }
        self.timers.remove(&Timer::Extend(key));
        self.events.push_back(match asked.by {
            Asker::Application => Event::UpdateAnswered {
                key,
                result: Err(error),
            },
            Asker::Session => Event::NotExtended { key, error },
        });
        self.wake_fetches();
        Ok(())
    }
}

// The peer's updates.
impl Session {
    pub(super) fn update_received(
        &mut self,
        key: RequestKey,
        update: RequestUpdate,
    ) -> Result<(), Violation> {
        let Some(request) = self.requests.get(&key) else {
            return Ok(());
        };
        let failing = matches!(
            request.exchange,
            Exchange::Publication(Publication::Failing { .. })
        );
        let asks = match request.opener {
            Opener::Peer => true,
            Opener::Us => failing || request.responder_updates(),
        };
        let (true, Some((scope, _))) = (asks, request.update_scopes()) else {
            return Err(Violation::protocol("REQUEST_UPDATE where none is possible"));
        };
        let RequestUpdate {
            request_id,
            mut parameters,
        } = update;
        parameters.check(scope)?;
        let (failed, waiting) = (failing || request.update_failed, request.updates.len());
        self.register_peer_id(request_id)?;
        let tokens = self
            .tokens
            .resolve(std::mem::take(&mut parameters.authorization_tokens))?;
        if failed {
            // draft §10.9.1: one REQUEST_ERROR may stand for all updates; the request is ending.
            return Ok(());
        }
        if waiting >= self.config.limits.pending_updates {
            self.lost(key, Some(StreamCode::EXCESSIVE_LOAD));
            self.abandon(key, StreamCode::EXCESSIVE_LOAD);
            return Ok(());
        }
        let update = match tokens {
            Err(rejection) => PeerUpdate::Doomed {
                code: rejection.code,
                reason: rejection.reason,
            },
            Ok(tokens) => match self.prefix_objection(key, parameters.track_namespace_prefix.as_ref()) {
                Some((code, reason)) => PeerUpdate::Doomed { code, reason },
                None => PeerUpdate::Waiting {
                    parameters: Box::new(parameters),
                    tokens,
                },
            },
        };
        if let Some(request) = self.requests.get_mut(&key) {
            request.updates.push_back(update);
        }
        self.deliver_updates(key);
        Ok(())
    }

    /// Passes on updates that waited, once the request is accepted.
    pub(super) fn deliver_updates(&mut self, key: RequestKey) {
        let Some(request) = self.requests.get_mut(&key) else {
            return;
        };
        if !request.exchange.is_answered() {
            return;
        }
        for update in &mut request.updates {
            let forward = match update {
                PeerUpdate::Waiting { parameters, .. } => parameters.forward,
                PeerUpdate::Delivered { .. } => continue,
                PeerUpdate::Doomed { .. } => break,
            };
            let delivered = PeerUpdate::Delivered {
                forward,
                prefix: update.prefix().cloned(),
            };
            if let PeerUpdate::Waiting { parameters, tokens } = std::mem::replace(update, delivered) {
                let parameters = *parameters;
                self.events.push_back(Event::Updated {
                    key,
                    parameters,
                    tokens,
                });
            }
        }
        let doomed = match request.updates.front() {
            Some(PeerUpdate::Doomed { code, reason }) => Some(local_error(*code, reason)),
            _ => None,
        };
        self.count_held(key);
        if let Some(error) = doomed
            && self.fail_update(key, error).is_err()
        {
            self.abandon(key, StreamCode::INTERNAL_ERROR);
        }
    }

    /// Answers the oldest update of the peer that [`Event::Updated`] reported and that was not answered.
    ///
    /// After an error the request ends: if we publish, close the subscription's streams and call
    /// [`publish_done`](Self::publish_done), which will say UPDATE_FAILED; reset the data stream of a fetch; forget a
    /// namespace request.
    ///
    /// # Errors
    /// [`IllegalMove`] says why nothing was sent.
    pub fn answer_update(
        &mut self,
        key: RequestKey,
        answer: Result<Parameters, RequestError>,
    ) -> Result<(), IllegalMove> {
        let request = self.live(key)?;
        let (Some(PeerUpdate::Delivered { .. }), Some((_, scope))) =
            (request.updates.front(), request.update_scopes())
        else {
            return Err(request.illegal());
        };
        let parameters = match answer {
            Ok(parameters) => parameters,
            Err(error) => {
                self.fail_update(key, error)?;
                return Ok(());
            }
        };
        self.check_ours(&parameters, scope)
            .map_err(IllegalMove::Parameter)?;
        let largest = parameters.largest_object;
        let ok = RequestOk {
            parameters,
            ..RequestOk::default()
        };
        self.send(key, &Message::RequestOk(ok))?;
        if let Some(request) = self.requests.get_mut(&key)
            && let Some(PeerUpdate::Delivered { forward, prefix }) = request.updates.pop_front()
        {
            match &mut request.exchange {
                Exchange::Publication(state) => state.update_ok(forward, largest),
                Exchange::Discovery(state) => {
                    if let Some(prefix) = prefix {
                        state.set_prefix(prefix);
                    }
                }
                _ => {}
            }
        }
        self.deliver_updates(key);
        self.wake_fetches();
        Ok(())
    }

    fn fail_update(&mut self, key: RequestKey, error: RequestError) -> Result<(), IllegalMove> {
        self.send(key, &Message::RequestError(error))?;
        let Some(request) = self.requests.get_mut(&key) else {
            return Ok(());
        };
        request.update_failed = true;
        let doomed = matches!(request.updates.front(), Some(PeerUpdate::Doomed { .. }));
        request.updates.clear();
        match &mut request.exchange {
            Exchange::Publication(state) => {
                state.fail();
                if doomed {
                    self.events.push_back(Event::UpdateFailed { key });
                }
                self.wake_fetches();
            }
            // Its publisher, the peer, ends it.
            Exchange::Subscription(_) => {}
            _ => {
                if doomed {
                    self.lost(key, None);
                }
                self.over(key, After::Anything);
            }
        }
        Ok(())
    }
}
