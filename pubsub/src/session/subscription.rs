//! Subscriptions in which we are the subscriber: our SUBSCRIBE, or the peer's PUBLISH (draft section "Subscriptions").

use super::error::{IllegalMove, RequestRefused, Violation};
use super::event::{Accepted, Event, IncomingRequest, RequestKey};
use super::extension::{MAX_EXTENSIONS, Subject};
use super::request::{After, Exchange, Opener, Role};
use super::{AliasState, Session};
use crate::wire::control::{Publish, PublishDone, RequestError, RequestOk, Subscribe, SubscribeOk};
use crate::wire::parameter::Scope;
use crate::wire::property::TrackProperties;
use crate::wire::{
    EncodeError, FullTrackName, Message, Parameters, Properties, RequestErrorCode, SessionCode, StreamCode,
};

/// Where a subscription of ours stands.
#[derive(Debug)]
pub(super) enum Subscription {
    /// Our SUBSCRIBE has no answer: Pending (Subscriber).
    Requested { subject: Subject },
    /// The peer's PUBLISH has no answer: Pending (Publisher).
    Offered {
        subject: Subject,
        alias: u64,
        /// As the PUBLISH stated it.
        expires_ms: Option<u64>,
    },
    /// Accepted.
    Established { subject: Subject, alias: u64 },
}

impl Subscription {
    pub(super) const fn subject(&self) -> &Subject {
        match self {
            Self::Requested { subject }
            | Self::Offered { subject, .. }
            | Self::Established { subject, .. } => subject,
        }
    }

    pub(super) fn into_subject(self) -> Subject {
        match self {
            Self::Requested { subject }
            | Self::Offered { subject, .. }
            | Self::Established { subject, .. } => subject,
        }
    }

    pub(super) const fn alias(&self) -> Option<u64> {
        match self {
            Self::Requested { .. } => None,
            Self::Offered { alias, .. } | Self::Established { alias, .. } => Some(*alias),
        }
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Requested { .. } => "our SUBSCRIBE without answer",
            Self::Offered { .. } => "a PUBLISH without answer",
            Self::Established { .. } => "an established subscription",
        }
    }
}

// Our SUBSCRIBE and TRACK_STATUS.
impl Session {
    /// Sends SUBSCRIBE. [`Event::Accepted`] or [`Event::Rejected`] follows.
    ///
    /// # Errors
    /// [`RequestRefused`] says why nothing was sent.
    pub fn subscribe(
        &mut self,
        track: FullTrackName,
        parameters: Parameters,
    ) -> Result<RequestKey, RequestRefused> {
        self.check_may_ask(Some(track.namespace()))?;
        let subject = Subject::of(&track, &parameters).ok_or(EncodeError::TooLong {
            field: "extension parameters",
            len: parameters.extensions.len(),
            max: MAX_EXTENSIONS,
        })?;
        if self.holder(Role::Subscriber, &subject).is_some() {
            return Err(RequestRefused::Duplicate);
        }
        self.check_ours(&parameters, Scope::Subscribe)
            .map_err(RequestRefused::Parameter)?;
        let exchange = Exchange::Subscription(Subscription::Requested {
            subject: subject.clone(),
        });
        let role = (Role::Subscriber, Opener::Us, subject);
        let key = self.open(exchange, false, |request_id| {
            Message::Subscribe(Subscribe {
                request_id,
                track,
                parameters,
            })
        })?;
        self.roles.insert(role, key);
        Ok(key)
    }

    /// Accepts a PUBLISH of the peer. A SUBSCRIBE of ours for the same track that has no answer yet is given up and reported
    /// as rejected, since a session has at most one subscription per track and role.
    ///
    /// # Errors
    /// [`IllegalMove`] says why nothing was sent.
    pub fn accept_publish(&mut self, key: RequestKey, parameters: Parameters) -> Result<(), IllegalMove> {
        let request = self.live(key)?;
        let Exchange::Subscription(Subscription::Offered {
            subject,
            alias,
            expires_ms,
        }) = &request.exchange
        else {
            return Err(request.illegal());
        };
        let (subject, alias, expires_ms) = (subject.clone(), *alias, *expires_ms);
        self.check_ours(&parameters, Scope::PublishOk)
            .map_err(IllegalMove::Parameter)?;
        let ok = RequestOk {
            parameters,
            ..RequestOk::default()
        };
        let ok = super::request::encode(self.config.version, &Message::RequestOk(ok))?;
        // draft §5.1: ours must be Terminated before PUBLISH_OK.
        let ours = (Role::Subscriber, Opener::Us, subject);
        if let Some(&pending) = self.roles.get(&ours) {
            let error = local_error(
                RequestErrorCode::DUPLICATE_SUBSCRIPTION,
                "overtaken by the peer's PUBLISH of the same track",
            );
            self.events.push_back(Event::Rejected { key: pending, error });
            self.abandon(pending, StreamCode::CANCELLED);
        }
        self.transmits
            .push_back(super::Transmit::Write { key, bytes: ok });
        if let Some(request) = self.requests.get_mut(&key) {
            let (_, _, subject) = ours;
            request.exchange = Exchange::Subscription(Subscription::Established { subject, alias });
        }
        self.expires(key, expires_ms);
        self.deliver_updates(key);
        Ok(())
    }

    /// A live subscription to `subject` in which we have `role`, whoever began it.
    pub(super) fn holder(&self, role: Role, subject: &Subject) -> Option<RequestKey> {
        [Opener::Us, Opener::Peer]
            .into_iter()
            .find_map(|opener| self.roles.get(&(role, opener, subject.clone())).copied())
    }
}

// What the peer sends.
impl Session {
    pub(super) fn publish_received(
        &mut self,
        key: RequestKey,
        mut request: Publish,
    ) -> Result<(), Violation> {
        let alias = request.track_alias;
        let subject = Subject::plain(&request.track);
        self.check_alias(alias, &subject)?;
        let unsupported = is_unsupported(&request.properties)?;
        let namespace = Some(request.track.namespace());
        let id = request.request_id;
        let Some(tokens) = self.admit(key, id, &mut request.parameters, Scope::Publish, namespace)? else {
            self.aliases.refuse(alias);
            return Ok(());
        };
        let refusal = if unsupported {
            Some((
                RequestErrorCode::UNSUPPORTED_EXTENSION,
                "mandatory track property not understood",
            ))
        } else if self.subscribes_beside_pending(&subject) {
            Some((
                RequestErrorCode::DUPLICATE_SUBSCRIPTION,
                "already subscribed to this track",
            ))
        } else {
            None
        };
        if let Some((code, reason)) = refusal {
            self.aliases.refuse(alias);
            self.refuse(key, code, reason);
            return Ok(());
        }
        let Publish {
            track,
            parameters,
            properties,
            ..
        } = request;
        self.roles
            .insert((Role::Subscriber, Opener::Peer, subject.clone()), key);
        self.aliases.insert(alias, key);
        let exchange = Exchange::Subscription(Subscription::Offered {
            subject,
            alias,
            expires_ms: parameters.expires_ms,
        });
        let request = IncomingRequest::Publish {
            track,
            alias,
            parameters,
            properties,
        };
        self.offer(key, exchange, request, tokens);
        Ok(())
    }

    pub(super) fn subscribe_ok_received(
        &mut self,
        key: RequestKey,
        ok: SubscribeOk,
    ) -> Result<(), Violation> {
        let subject = match self.requests.get(&key).map(|request| &request.exchange) {
            Some(Exchange::Subscription(Subscription::Requested { subject })) => subject.clone(),
            _ => return Err(Violation::protocol("SUBSCRIBE_OK that answers nothing")),
        };
        ok.parameters.check(Scope::SubscribeOk)?;
        let alias = ok.track_alias;
        self.check_alias(alias, &subject)?;
        if is_unsupported(&ok.properties)? {
            let error = local_error(
                RequestErrorCode::UNSUPPORTED_EXTENSION,
                "mandatory track property not understood",
            );
            self.aliases.refuse(alias);
            self.events.push_back(Event::Rejected { key, error });
            self.abandon(key, StreamCode::CANCELLED);
            return Ok(());
        }
        // The peer's PUBLISH of the same track, if there is one, has become a second subscription.
        let offered = (Role::Subscriber, Opener::Peer, subject.clone());
        if let Some(&duplicate) = self.roles.get(&offered) {
            self.lost(duplicate, None);
            self.refuse(
                duplicate,
                RequestErrorCode::DUPLICATE_SUBSCRIPTION,
                "already subscribed to this track",
            );
        }
        self.aliases.insert(alias, key);
        if let Some(request) = self.requests.get_mut(&key) {
            request.exchange = Exchange::Subscription(Subscription::Established { subject, alias });
        }
        let SubscribeOk {
            parameters,
            properties,
            ..
        } = ok;
        self.expires(key, parameters.expires_ms);
        let answer = Accepted::Subscribe {
            alias,
            parameters,
            properties,
        };
        self.events.push_back(Event::Accepted { key, answer });
        Ok(())
    }

    pub(super) fn publish_done_received(
        &mut self,
        key: RequestKey,
        done: PublishDone,
    ) -> Result<(), Violation> {
        let state = self.requests.get(&key).map(|request| &request.exchange);
        if let Some(Exchange::Subscription(Subscription::Requested { .. })) = state {
            return Err(Violation::protocol("PUBLISH_DONE without SUBSCRIBE_OK"));
        }
        self.events.push_back(Event::PublishDone { key, done });
        self.over(key, After::Nothing);
        Ok(())
    }

    /// draft §11.1: an alias in use may not be given to another track.
    fn check_alias(&self, alias: u64, subject: &Subject) -> Result<(), Violation> {
        let AliasState::Live(owner) = self.aliases.state(alias) else {
            return Ok(());
        };
        match self.requests.get(&owner).map(|request| &request.exchange) {
            Some(Exchange::Subscription(state)) if state.subject() != subject => Err(Violation::new(
                SessionCode::DUPLICATE_TRACK_ALIAS,
                "track alias of another track",
            )),
            _ => Ok(()),
        }
    }

    /// Whether we have a subscription to `subject` other than a SUBSCRIBE of ours without answer, which a PUBLISH may cross.
    fn subscribes_beside_pending(&self, subject: &Subject) -> bool {
        [Opener::Us, Opener::Peer].into_iter().any(|opener| {
            let key = self.roles.get(&(Role::Subscriber, opener, subject.clone()));
            let state = key
                .and_then(|key| self.requests.get(key))
                .map(|request| &request.exchange);
            !matches!(
                state,
                None | Some(Exchange::Subscription(Subscription::Requested { .. }))
            )
        })
    }
}

/// An error that the session itself reports of a request of ours.
pub(super) fn local_error(code: RequestErrorCode, reason: &str) -> RequestError {
    RequestError {
        code,
        retry_after_ms: None,
        reason: reason.to_owned(),
        redirect: None,
    }
}

/// Whether Track Properties forbid to process their track.
pub(super) fn is_unsupported(properties: &Properties) -> Result<bool, Violation> {
    Ok(TrackProperties::parse(properties)?.unknown_mandatory.is_some())
}
