//! The requests that a hub has opened: what each is for, and what its answer changes.

use headwater_pubsub::wire::control::{PublishDone, RequestError};
use headwater_pubsub::wire::{PublishDoneCode, RequestErrorCode, StreamCode};

use super::Hub;
use super::fetch::Fill;
use super::input::{Answer, RequestRef, SessionId, Tag, TrackId};
use super::output::{Outgoing, Output};
use super::refusals::error;
use super::session::Incoming;
use super::timers::Timer;
use super::tracks::SourceState;

/// A request of the hub that is not over.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) session: SessionId,
    pub(super) purpose: Purpose,
}

#[derive(Debug)]
pub(super) enum Purpose {
    /// An upstream subscription.
    Subscribe { track: TrackId },
    /// A PUBLISH to a session with a matching SUBSCRIBE_TRACKS.
    Offer { track: TrackId },
    /// An upstream FETCH.
    Fill(Fill),
    /// A FETCH for what was missed while a subscription was made again.
    Repair { track: TrackId },
    /// A TRACK_STATUS passed on for this one.
    Status { of: RequestRef },
}

impl Hub {
    pub(super) fn open(&mut self, session: SessionId, purpose: Purpose, request: Outgoing) -> RequestRef {
        let tag = Tag(self.next_tag);
        self.next_tag += 1;
        self.opened.insert(tag, Opened { session, purpose });
        if let Some(session) = self.sessions.get_mut(&session) {
            session.tags.insert(tag);
        }
        self.timers
            .set(Timer::Answer(tag), self.now.saturating_add(self.config.answer));
        self.push(Output::Open {
            session,
            tag,
            request,
        });
        RequestRef::Hub(session, tag)
    }

    /// Forgets a request of the hub.
    pub(super) fn forget(&mut self, tag: Tag) -> Option<Opened> {
        let opened = self.opened.remove(&tag)?;
        if let Some(session) = self.sessions.get_mut(&opened.session) {
            session.tags.remove(&tag);
        }
        self.timers.cancel(Timer::Answer(tag));
        Some(opened)
    }

    /// Cancels an upstream request, whoever opened it, and forgets it.
    pub(super) fn close(&mut self, request: RequestRef, code: StreamCode) {
        let known = match request {
            RequestRef::Hub(_, tag) => self.forget(tag).is_some(),
            RequestRef::Peer(session, key) => self.take_request(session, key).is_some(),
        };
        if known {
            self.push(Output::Close { request, code });
        }
    }

    pub(super) fn accepted(&mut self, tag: Tag, answer: Answer) {
        let Some(opened) = self.opened.get(&tag) else {
            return;
        };
        let session = opened.session;
        self.timers.cancel(Timer::Answer(tag));
        match (&opened.purpose, answer) {
            (&Purpose::Subscribe { track }, Answer::Subscribe { dynamic_groups }) => {
                self.source_established(track, session, dynamic_groups);
            }
            (&Purpose::Offer { track }, Answer::Publish { parameters }) => {
                self.offer_accepted(track, RequestRef::Hub(session, tag), parameters);
            }
            (Purpose::Fill(_), Answer::Fetch { end, end_of_track }) => {
                self.fill_accepted(tag, end, end_of_track);
            }
            (&Purpose::Status { of }, Answer::TrackStatus(mut ok)) => {
                // How long a subscription there would last says nothing of one here.
                ok.parameters.expires_ms = None;
                self.forget(tag);
                if self.take_peer_request(of).is_some() {
                    self.push(Output::AnswerTrackStatus { request: of, ok });
                }
            }
            // An answer of another kind than the question is the session machine's to refuse.
            (_, _) => {}
        }
    }

    pub(super) fn rejected(&mut self, tag: Tag, refusal: RequestError) {
        let Some(Opened { session, purpose }) = self.forget(tag) else {
            return;
        };
        match purpose {
            Purpose::Subscribe { track } => self.source_refused(track, session, refusal),
            Purpose::Offer { track } => self.offer_refused(track, RequestRef::Hub(session, tag), &refusal),
            Purpose::Fill(fill) => self.fill_refused(tag, session, &fill, &refusal),
            Purpose::Repair { track } => self.repair_over(track, RequestRef::Hub(session, tag)),
            Purpose::Status { of } => self.status_refused(of, session, refusal),
        }
    }

    /// The time to answer is over.
    pub(super) fn unanswered(&mut self, tag: Tag) {
        let Some(opened) = self.opened.get(&tag) else {
            return;
        };
        let request = RequestRef::Hub(opened.session, tag);
        if let &Purpose::Offer { track } = &opened.purpose {
            self.close(request, StreamCode::CANCELLED);
            self.drop_listener(track, request);
            return;
        }
        self.push(Output::Close {
            request,
            code: StreamCode::CANCELLED,
        });
        self.rejected(
            tag,
            error(RequestErrorCode::TIMEOUT, "the publisher did not answer").into(),
        );
    }

    pub(super) fn done(&mut self, request: RequestRef, done: PublishDone) {
        let Some((id, session)) = self.source_of(request) else {
            return;
        };
        self.forget_request(request);
        self.source_left(id, session, Some((done.code, done.reason)));
    }

    /// The track that a request feeds by subscription.
    pub(super) fn source_of(&self, request: RequestRef) -> Option<(TrackId, SessionId)> {
        let session = request.session();
        let id = match request {
            RequestRef::Hub(_, tag) => match self.opened.get(&tag)?.purpose {
                Purpose::Subscribe { track } => track,
                Purpose::Offer { .. }
                | Purpose::Fill(_)
                | Purpose::Repair { .. }
                | Purpose::Status { .. } => {
                    return None;
                }
            },
            RequestRef::Peer(_, key) => match self.sessions.get(&session)?.request(key)? {
                &Incoming::Publish { track } => track,
                _ => return None,
            },
        };
        (self.tracks.get(id)?.sources.get(&session)?.request == request).then_some((id, session))
    }

    pub(super) fn forget_request(&mut self, request: RequestRef) {
        match request {
            RequestRef::Hub(_, tag) => drop(self.forget(tag)),
            RequestRef::Peer(session, key) => drop(self.take_request(session, key)),
        }
    }

    fn source_established(&mut self, id: TrackId, session: SessionId, dynamic_groups: bool) {
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        let Some(source) = track.sources.get_mut(&session) else {
            return;
        };
        source.state = SourceState::Flowing;
        track.last_end = None;
        track.said.remove(&session);
        track.backoff.remove(&session);
        let step = track.groups.learn(dynamic_groups);
        self.step_groups(id, step);
        self.upstream_established(id, session);
        self.repair(id, session);
        self.release_leaving(id, session);
        self.touch(id);
    }

    fn source_refused(&mut self, id: TrackId, session: SessionId, refusal: RequestError) {
        let now = self.now;
        if self.refused_again(id, session, &refusal) {
            return;
        }
        let Some(source) = self
            .tracks
            .get_mut(id)
            .and_then(|track| track.sources.get_mut(&session))
        else {
            return;
        };
        if source.again.is_none() && refusal.code == RequestErrorCode::DUPLICATE_SUBSCRIPTION {
            // Its PUBLISH for this track crossed our SUBSCRIBE and may arrive after this answer.
            source.state = SourceState::Crossing;
            self.timers.set(
                Timer::Crossing(id, session),
                now.saturating_add(self.config.refusal),
            );
            return;
        }
        self.remove_source(id, session);
        self.refused(id, session, refusal);
    }

    /// The PUBLISH that was to explain a refusal did not come.
    pub(super) fn crossing_over(&mut self, id: TrackId, session: SessionId) {
        if self.ask_once_more(id, session) {
            return;
        }
        if self.remove_source(id, session).is_some() {
            self.refused(
                id,
                session,
                error(RequestErrorCode::DOES_NOT_EXIST, "the publisher refused"),
            );
        }
    }

    /// An upstream subscription is over. `why`: what PUBLISH_DONE said; `None` if its session or stream broke off.
    pub(super) fn source_left(
        &mut self,
        id: TrackId,
        session: SessionId,
        why: Option<(PublishDoneCode, String)>,
    ) {
        let Some(source) = self.remove_source(id, session) else {
            return;
        };
        if source.is_published()
            && !self
                .tracks
                .get(id)
                .is_some_and(super::tracks::Track::is_published)
        {
            self.withdraw_track(id);
        }
        if self.is_of_mesh(id) {
            self.left_in_mesh(id, session, why);
            return;
        }
        // Whoever ends a request means it; of a session that broke nobody knows whether its publisher comes back.
        let vanished = why.is_none() && !self.sessions.contains_key(&session);
        let (code, words) = if vanished {
            (PublishDoneCode::INTERNAL_ERROR, "the publisher vanished")
        } else {
            (PublishDoneCode::TRACK_ENDED, "the publisher left")
        };
        if source.is_established()
            && let Some(track) = self.tracks.get_mut(id)
        {
            // A publisher that was killed and came back is here twice until its old session times out: what it said last stands.
            let said = track.ended_by > Some(session)
                && track.last_end.as_ref().is_some_and(|(code, _)| ends_track(*code));
            if !(vanished && said) {
                let why = why.unwrap_or_else(|| (code, words.to_owned()));
                if ends_track(why.0) {
                    track.ended_by = track.ended_by.max(Some(session));
                }
                track.last_end = Some(why);
            }
        }
        self.refused(
            id,
            session,
            error(RequestErrorCode::DOES_NOT_EXIST, "the publisher ended the track"),
        );
    }
}

/// Whether a publisher that ends our subscription so has no more of the track: the subscription has no filter.
const fn ends_track(code: PublishDoneCode) -> bool {
    matches!(
        code,
        PublishDoneCode::TRACK_ENDED | PublishDoneCode::SUBSCRIPTION_ENDED
    )
}
