//! Subscriptions in which we are the publisher: the peer's SUBSCRIBE, or our PUBLISH (draft section "Subscriptions"), and
//! TRACK_STATUS, which asks what a SUBSCRIBE would be told.

use super::Session;
use super::error::{IllegalMove, RequestRefused, Violation};
use super::event::{IncomingRequest, RequestKey};
use super::extension::Subject;
use super::request::{After, Exchange, Opener, Role};
use crate::wire::control::{Publish, PublishDone, RequestOk, Subscribe, SubscribeOk, TrackStatus};
use crate::wire::parameter::Scope;
use crate::wire::{
    FullTrackName, Location, Message, Parameters, Properties, PublishDoneCode, RequestErrorCode,
};

/// Where a subscription to a track that we publish stands.
#[derive(Debug)]
pub(super) enum Publication {
    /// The peer's SUBSCRIBE has no answer: Pending (Subscriber).
    Requested { subject: Subject, forward: bool },
    /// Our PUBLISH has no answer: Pending (Publisher).
    Offered {
        subject: Subject,
        joining: Option<Location>,
    },
    /// Accepted.
    Established {
        subject: Subject,
        forward: bool,
        /// Joining Location: what LARGEST_OBJECT said when objects began to flow; `None`: the track was empty.
        joining: Option<Location>,
    },
    /// An update failed: only PUBLISH_DONE may follow.
    Failing { subject: Subject },
}

impl Publication {
    pub(super) const fn subject(&self) -> &Subject {
        match self {
            Self::Requested { subject, .. }
            | Self::Offered { subject, .. }
            | Self::Established { subject, .. }
            | Self::Failing { subject } => subject,
        }
    }

    pub(super) fn into_subject(self) -> Subject {
        match self {
            Self::Requested { subject, .. }
            | Self::Offered { subject, .. }
            | Self::Established { subject, .. }
            | Self::Failing { subject } => subject,
        }
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Requested { .. } => "a SUBSCRIBE without answer",
            Self::Offered { .. } => "our PUBLISH without answer",
            Self::Established { .. } => "an established publication",
            Self::Failing { .. } => "a publication whose update failed",
        }
    }

    pub(super) const fn is_offered(&self) -> bool {
        matches!(self, Self::Offered { .. })
    }

    /// The peer accepted our PUBLISH; FORWARD absent means 1 here, whatever PUBLISH said.
    pub(super) fn publish_ok(&mut self, parameters: &Parameters) {
        if let Self::Offered { subject, joining } = self {
            let forward = parameters.forward.unwrap_or(true);
            *self = Self::Established {
                subject: subject.clone(),
                forward,
                joining: *joining,
            };
        }
    }

    /// We granted an update.
    pub(super) const fn update_ok(&mut self, asked: Option<bool>, largest: Option<Location>) {
        if let Self::Established { forward, joining, .. } = self
            && let Some(asked) = asked
        {
            if asked && !*forward {
                *joining = largest;
            }
            *forward = asked;
        }
    }

    /// An update failed.
    pub(super) fn fail(&mut self) {
        *self = Self::Failing {
            subject: self.subject().clone(),
        };
    }
}

// Our answers and our PUBLISH.
impl Session {
    /// Accepts a SUBSCRIBE of the peer; gives the track alias for its data streams and datagrams. LARGEST_OBJECT in
    /// `parameters` becomes the subscription's joining location.
    ///
    /// # Errors
    /// [`IllegalMove`] says why nothing was sent.
    pub fn accept_subscribe(
        &mut self,
        key: RequestKey,
        parameters: Parameters,
        properties: Properties,
    ) -> Result<u64, IllegalMove> {
        let request = self.live(key)?;
        let Exchange::Publication(Publication::Requested { subject, forward }) = &request.exchange else {
            return Err(request.illegal());
        };
        self.check_ours(&parameters, Scope::SubscribeOk)
            .map_err(IllegalMove::Parameter)?;
        let (subject, forward, joining) = (subject.clone(), *forward, parameters.largest_object);
        let track_alias = self.next_alias;
        self.send(
            key,
            &Message::SubscribeOk(SubscribeOk {
                track_alias,
                parameters,
                properties,
            }),
        )?;
        self.next_alias += 1;
        if let Some(request) = self.requests.get_mut(&key) {
            request.exchange = Exchange::Publication(Publication::Established {
                subject,
                forward,
                joining,
            });
        }
        self.deliver_updates(key);
        self.wake_fetches();
        Ok(track_alias)
    }

    /// Sends PUBLISH; gives the request and the track alias for its data streams and datagrams, which may be used at once if
    /// FORWARD is not 0. With `if_credit` it does not wait for stream credit: then [`Event::OpenRefused`](super::Event::OpenRefused) may
    /// follow, and [`publish_blocked`](Self::publish_blocked) is due to whom the track was to be offered.
    ///
    /// # Errors
    /// [`RequestRefused`] says why nothing was sent.
    pub fn publish(
        &mut self,
        track: FullTrackName,
        parameters: Parameters,
        properties: Properties,
        if_credit: bool,
    ) -> Result<(RequestKey, u64), RequestRefused> {
        self.check_may_ask(Some(track.namespace()))?;
        if track.namespace().is_session() {
            return Err(RequestRefused::Reserved);
        }
        let subject = Subject::plain(&track);
        if self.holder(Role::Publisher, &subject).is_some() {
            return Err(RequestRefused::Duplicate);
        }
        if self.is_reported_blocked(&track) {
            return Err(RequestRefused::Blocked);
        }
        self.check_ours(&parameters, Scope::Publish)
            .map_err(RequestRefused::Parameter)?;
        let track_alias = self.next_alias;
        let joining = parameters.largest_object;
        let exchange = Exchange::Publication(Publication::Offered {
            subject: subject.clone(),
            joining,
        });
        let role = (Role::Publisher, Opener::Us, subject);
        let key = self.open(exchange, if_credit, |request_id| {
            Message::Publish(Publish {
                request_id,
                track,
                track_alias,
                parameters,
                properties,
            })
        })?;
        self.next_alias += 1;
        self.roles.insert(role, key);
        Ok((key, track_alias))
    }

    /// Ends a subscription in which we publish, whoever began it, once all its data streams are closed. After a failed update
    /// the code sent is UPDATE_FAILED. A SUBSCRIBE that was not accepted is rejected instead.
    ///
    /// # Errors
    /// [`IllegalMove`] says why nothing was sent.
    pub fn publish_done(&mut self, key: RequestKey, mut done: PublishDone) -> Result<(), IllegalMove> {
        let request = self.live(key)?;
        match &request.exchange {
            Exchange::Publication(Publication::Requested { .. }) => return Err(request.illegal()),
            Exchange::Publication(Publication::Failing { .. }) => done.code = PublishDoneCode::UPDATE_FAILED,
            Exchange::Publication(_) => {}
            _ => return Err(request.illegal()),
        }
        self.send(key, &Message::PublishDone(done))?;
        self.over(key, After::Anything);
        Ok(())
    }

    /// Answers a TRACK_STATUS of the peer with what SUBSCRIBE_OK would have said.
    ///
    /// # Errors
    /// [`IllegalMove`] says why nothing was sent.
    pub fn accept_track_status(
        &mut self,
        key: RequestKey,
        parameters: Parameters,
        properties: Properties,
    ) -> Result<(), IllegalMove> {
        let request = self.live(key)?;
        if !matches!(request.exchange, Exchange::TrackStatus) || request.opener == Opener::Us {
            return Err(request.illegal());
        }
        self.check_ours(&parameters, Scope::TrackStatusOk)
            .map_err(IllegalMove::Parameter)?;
        self.send(
            key,
            &Message::RequestOk(RequestOk {
                parameters,
                properties,
            }),
        )?;
        self.over(key, After::Anything);
        Ok(())
    }

    /// Asks for the state of a track. [`Event::Accepted`](super::Event::Accepted) or
    /// [`Event::Rejected`](super::Event::Rejected) ends it.
    ///
    /// # Errors
    /// [`RequestRefused`] says why nothing was sent.
    pub fn track_status(
        &mut self,
        track: FullTrackName,
        parameters: Parameters,
    ) -> Result<RequestKey, RequestRefused> {
        self.check_may_ask(Some(track.namespace()))?;
        self.check_ours(&parameters, Scope::TrackStatus)
            .map_err(RequestRefused::Parameter)?;
        self.open(Exchange::TrackStatus, false, |request_id| {
            Message::TrackStatus(TrackStatus {
                request_id,
                track,
                parameters,
            })
        })
    }
}

// What the peer sends.
impl Session {
    pub(super) fn subscribe_received(
        &mut self,
        key: RequestKey,
        mut request: Subscribe,
    ) -> Result<(), Violation> {
        let namespace = Some(request.track.namespace());
        let id = request.request_id;
        let Some(tokens) = self.admit(key, id, &mut request.parameters, Scope::Subscribe, namespace)? else {
            return Ok(());
        };
        let Subscribe {
            track, parameters, ..
        } = request;
        let Some(subject) = Subject::of(&track, &parameters) else {
            self.refuse(
                key,
                RequestErrorCode::EXCESSIVE_LOAD,
                "extension parameters too long",
            );
            return Ok(());
        };
        if self.holder(Role::Publisher, &subject).is_some() {
            self.refuse(
                key,
                RequestErrorCode::DUPLICATE_SUBSCRIPTION,
                "already publishing this track in this session",
            );
            return Ok(());
        }
        self.roles
            .insert((Role::Publisher, Opener::Peer, subject.clone()), key);
        let forward = parameters.forward.unwrap_or(true);
        let exchange = Exchange::Publication(Publication::Requested { subject, forward });
        self.offer(
            key,
            exchange,
            IncomingRequest::Subscribe { track, parameters },
            tokens,
        );
        Ok(())
    }

    pub(super) fn track_status_received(
        &mut self,
        key: RequestKey,
        mut request: TrackStatus,
    ) -> Result<(), Violation> {
        let namespace = Some(request.track.namespace());
        let id = request.request_id;
        let Some(tokens) = self.admit(key, id, &mut request.parameters, Scope::TrackStatus, namespace)?
        else {
            return Ok(());
        };
        let TrackStatus {
            track, parameters, ..
        } = request;
        self.offer(
            key,
            Exchange::TrackStatus,
            IncomingRequest::TrackStatus { track, parameters },
            tokens,
        );
        Ok(())
    }
}
