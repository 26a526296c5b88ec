//! From a session to the hub: each event becomes at most one input, after the data plane was told its part.

use std::sync::Arc;

use bytes::Bytes;
use headwater_pubsub::net::{DataEvent, SessionHandle, Sink};
use headwater_pubsub::session::{Accepted, AuthToken, Event, IncomingRequest, PeerSetup, RequestKey};
use headwater_pubsub::wire::control::RequestOk;
use headwater_pubsub::wire::{PublishDoneCode, RequestErrorCode, StreamCode};
use tracing::{debug, info};

use super::mesh::{self, Asked};
use super::request::{has_dynamic_groups, input_of};
use super::state::{SessionHandler, Shared, State};
use crate::admin::{DropReason, LimitName};
use crate::hub::{self, Answer, FillOutcome, Input, Origin, RequestRef};

/// Longest part of a peer's implementation name that is shown.
const SHOWN_NAME: usize = 64;

impl SessionHandler {
    pub(crate) fn on_event(&self, state: &mut State, handle: &SessionHandle, event: Event) {
        match event {
            Event::Established(setup) => {
                self.established(state, &setup);
                self.greet(state, handle);
            }
            Event::Request { key, request, tokens } => self.request(state, key, request, &tokens),
            Event::Updated {
                key,
                parameters,
                tokens: _,
            } => {
                if let Some(asked) = &parameters.track_namespace_prefix
                    && let Some(entry) = state.sessions.get_mut(&self.id)
                    && let Some(prefix) = entry.prefixes.get_mut(&key)
                {
                    prefix.asked = Some(asked.clone());
                }
                if let Some(request) = self.reference(state, key) {
                    state.inputs.push_back(Input::Updated { request, parameters });
                }
            }
            Event::Cancelled { key, code } => self.over(state, key, code),
            Event::Ended { key, code } => self.over(state, key, code),
            Event::Accepted { key, answer } => self.accepted(state, handle, key, answer),
            Event::Rejected { key, error } if self.gossip_refused(state, key, &error) => {}
            Event::Rejected { key, error } => {
                if let Some(opened) = self.opened(state, key) {
                    handle.receive_no_more(key);
                    state.inputs.push_back(Input::Rejected { tag: opened, error });
                    self.forget(state, key);
                }
            }
            Event::UpdateAnswered { key, result } => self.update_answered(state, key, result),
            Event::PublishDone { key, done } => {
                handle.receive_rest(key, done.stream_count);
                if let Some(entry) = state.sessions.get_mut(&self.id) {
                    entry.ended.insert(key, done);
                }
            }
            Event::UpdateFailed { key } => {
                handle.end_subscription(key, PublishDoneCode::UPDATE_FAILED, "the update was refused");
            }
            Event::Goaway { .. } => {
                state.inputs.push_back(Input::SessionGoaway { session: self.id });
                mesh::leaving(state, self.id);
            }
            Event::OpenRefused { key } => {
                if let Some(tag) = self.opened(state, key) {
                    state.inputs.push_back(Input::Blocked { tag });
                    self.forget(state, key);
                }
            }
            Event::RequestGoaway { key, uri, .. } => {
                info!(
                    session = self.id.0,
                    ?key,
                    uri = shown(&uri),
                    "peer wants a request moved"
                );
                if let Some(request) = self.reference(state, key) {
                    state.inputs.push_back(Input::RequestGoaway { request });
                }
            }
            Event::NotExtended { key, error } => self.not_extended(state, handle, key, error),
            Event::Closed { code, reason } => debug!(session = self.id.0, %code, reason, "session closed"),
            // We never ask for namespaces or tracks here.
            other => debug!(session = self.id.0, event = ?other, "not for a relay"),
        }
    }

    fn established(&self, state: &mut State, setup: &PeerSetup) {
        let implementation = setup.implementation.as_ref().map(shown);
        let (identity, rights) = self.trust.admit(&self.node.config, &setup.tokens);
        info!(session = self.id.0, remote = %self.trust.address, ?rights, implementation, "session");
        if let Some(session) = state.sessions.get_mut(&self.id) {
            session.info.implementation = implementation;
        }
        state.inputs.push_back(Input::SessionUp {
            session: self.id,
            identity,
            rights,
        });
    }

    fn request(&self, state: &mut State, key: RequestKey, request: IncomingRequest, tokens: &[AuthToken]) {
        let session = self.id;
        if let IncomingRequest::Subscribe { track, .. } = &request
            && track.namespace().is_session()
            && self.asked_by_node(state, key, track, tokens)
        {
            return;
        }
        let hub_key = hub::RequestKey(u64::from(key));
        let Some(origin) = self.origin_of(state, key, &request) else {
            return;
        };
        let Some(entry) = state.sessions.get_mut(&session) else {
            return;
        };
        entry.peers.insert(hub_key, key);
        if matches!(request, IncomingRequest::Subscribe { .. }) {
            entry.asked.insert(key, self.node.clock.now());
        }
        if super::admission::shows_token(&self.node.config, tokens) {
            // A token on a request speaks for the session from here on.
            let (identity, rights) = self.trust.admit(&self.node.config, tokens);
            state.inputs.push_back(Input::SessionRights {
                session,
                identity,
                rights,
            });
        }
        if let Some(input) = input_of(session, entry, key, request, origin) {
            state.inputs.push_back(input);
        }
    }

    /// Whose publishers a request means: what a neighbour says, or `Some(None)` where the node pins it. `None`: it was refused.
    fn origin_of(
        &self,
        state: &mut State,
        key: RequestKey,
        request: &IncomingRequest,
    ) -> Option<Option<Origin>> {
        let (IncomingRequest::Subscribe { track, parameters }
        | IncomingRequest::Fetch {
            track, parameters, ..
        }
        | IncomingRequest::TrackStatus {
            track, parameters, ..
        }) = request
        else {
            return Some(None);
        };
        let reason = match Asked::read(parameters) {
            Ok(None) => {
                mesh::repin(state, track);
                return Some(None);
            }
            Ok(Some(asked)) => match Shared::origin_asked(state, self.id, asked) {
                Ok(origin) => return Some(Some(origin)),
                Err(unfit) => unfit.to_string(),
            },
            Err(unreadable) => unreadable.to_string(),
        };
        debug!(session = self.id.0, reason, "neighbour refused");
        if let Some(entry) = state.sessions.get(&self.id) {
            mesh::reject(&entry.handle, key, RequestErrorCode::DOES_NOT_EXIST, reason);
        }
        None
    }

    /// The peer ended a request stream.
    fn over(&self, state: &mut State, key: RequestKey, code: Option<StreamCode>) {
        let Some(request) = self.reference(state, key) else {
            return;
        };
        if let Some(entry) = state.sessions.get(&self.id) {
            entry
                .handle
                .stop_sending(key, code.unwrap_or(StreamCode::CANCELLED));
            entry.handle.receive_no_more(key);
        }
        state.inputs.push_back(Input::Cancelled { request });
        self.forget(state, key);
    }

    fn accepted(&self, state: &mut State, handle: &SessionHandle, key: RequestKey, answer: Accepted) {
        if self.gossip_accepted(state, key, &answer) {
            return;
        }
        let Some(opened) = state
            .sessions
            .get(&self.id)
            .and_then(|entry| entry.opened.get(&key))
            .copied()
        else {
            return;
        };
        let track = opened.track.and_then(|id| state.tracks.get(&id)).cloned();
        let answer = match answer {
            Accepted::Subscribe {
                parameters,
                properties,
                ..
            } => {
                let dynamic_groups = has_dynamic_groups(&properties);
                if let Some(track) = track {
                    take_in(&track, properties, parameters.largest_object);
                    let source = Arc::new(track.source());
                    if let (Some(id), Some(mesh)) = (opened.track, &mut state.mesh) {
                        mesh.fed(id, self.id, &source);
                    }
                    handle.receive(key, Sink::Track(source));
                }
                Answer::Subscribe { dynamic_groups }
            }
            Accepted::Publish { parameters } => Answer::Publish { parameters },
            Accepted::Fetch {
                end_of_track,
                end,
                properties,
                ..
            } => {
                if let Some(track) = track {
                    take_in(&track, properties, None);
                    handle.fetch_accepted(key, end, end_of_track);
                }
                Answer::Fetch { end, end_of_track }
            }
            Accepted::TrackStatus {
                parameters,
                properties,
            } => Answer::TrackStatus(RequestOk {
                parameters,
                properties,
            }),
            _ => return,
        };
        let over = matches!(answer, Answer::TrackStatus(_));
        state.inputs.push_back(Input::Accepted {
            tag: opened.tag,
            answer,
        });
        if over {
            self.forget(state, key);
        }
    }

    fn update_answered(
        &self,
        state: &mut State,
        key: RequestKey,
        result: Result<headwater_pubsub::wire::Parameters, headwater_pubsub::wire::control::RequestError>,
    ) {
        let Some(request) = self.reference(state, key) else {
            return;
        };
        let largest = result
            .as_ref()
            .ok()
            .and_then(|parameters| parameters.largest_object);
        if let (Some(largest), Some(track)) = (largest, self.fed_track(state, key)) {
            track.claim_largest(largest);
        }
        state.inputs.push_back(Input::UpdateAnswered {
            request,
            result: result.map(|_| ()),
        });
    }

    /// A subscription ends because the peer, who limits it, does not extend it.
    fn not_extended(
        &self,
        state: &mut State,
        handle: &SessionHandle,
        key: RequestKey,
        mut error: headwater_pubsub::wire::control::RequestError,
    ) {
        let offered = state
            .sessions
            .get(&self.id)
            .and_then(|entry| entry.opened.get(&key))
            .is_some_and(|opened| opened.offer.is_some());
        if offered {
            return handle.end_subscription(key, PublishDoneCode::UPDATE_FAILED, "it was not extended");
        }
        if let Some(request) = self.reference(state, key) {
            error.reason = format!("it does not extend the subscription ({})", error.reason);
            let result = Err(error);
            state.inputs.push_back(Input::UpdateAnswered { request, result });
        }
    }

    /// The track that a request of this session feeds.
    fn fed_track(&self, state: &State, key: RequestKey) -> Option<Arc<headwater_pubsub::track::Track>> {
        let entry = state.sessions.get(&self.id)?;
        let id = entry
            .opened
            .get(&key)
            .and_then(|opened| opened.track)
            .or_else(|| entry.published.get(&key).copied())?;
        state.tracks.get(&id).cloned()
    }

    pub(crate) fn on_data(&self, state: &mut State, handle: &SessionHandle, event: DataEvent) {
        let input = match event {
            DataEvent::FirstObject { key } => {
                let entry = state.sessions.get_mut(&self.id);
                if let Some(asked) = entry.and_then(|entry| entry.asked.remove(&key)) {
                    let waited = self.node.clock.now().saturating_sub(asked);
                    self.node.metrics.join.observe(waited.as_secs_f64());
                }
                return;
            }
            DataEvent::SubscriptionEnded { key, code } => {
                if code == PublishDoneCode::TOO_FAR_BEHIND {
                    self.node.metrics.limit_hit(LimitName::LagBytes);
                    self.node.metrics.groups_dropped(DropReason::TooFarBehind, 1);
                }
                let Some(request) = self.reference(state, key) else {
                    return;
                };
                self.forget(state, key);
                Input::SubscriptionEnded { request }
            }
            DataEvent::FetchHole { key, start, end } => {
                let Some(request) = self.reference(state, key) else {
                    return;
                };
                Input::Hole {
                    request,
                    start,
                    end: end.end_after(),
                }
            }
            DataEvent::FetchEnded { key } => {
                let Some(request) = self.reference(state, key) else {
                    return;
                };
                self.forget(state, key);
                Input::FetchEnded { request }
            }
            DataEvent::Malformed { key, reason } => {
                let Some(request) = self.reference(state, key) else {
                    return;
                };
                info!(session = self.id.0, ?key, reason, "malformed track");
                Input::Malformed { request }
            }
            DataEvent::ReceptionEnded { key } => {
                let Some(request) = self.reference(state, key) else {
                    return;
                };
                let done = state
                    .sessions
                    .get_mut(&self.id)
                    .and_then(|entry| entry.ended.remove(&key));
                let Some(done) = done else { return };
                self.forget(state, key);
                Input::Done { request, done }
            }
            DataEvent::FillEnded { key, complete } => {
                let Some(tag) = self.opened(state, key) else {
                    return;
                };
                // The stream may have ended before it was accepted; then the request still stands.
                handle.act(|session, _| session.cancel(key, StreamCode::CANCELLED));
                handle.receive_no_more(key);
                self.forget(state, key);
                let outcome = if complete {
                    FillOutcome::Complete
                } else {
                    FillOutcome::Failed
                };
                Input::FillDone { tag, outcome }
            }
            other => {
                debug!(event = ?other, "not for a relay");
                return;
            }
        };
        state.inputs.push_back(input);
    }

    fn reference(&self, state: &State, key: RequestKey) -> Option<RequestRef> {
        state
            .sessions
            .get(&self.id)
            .map(|entry| entry.reference(self.id, key))
    }

    fn opened(&self, state: &State, key: RequestKey) -> Option<hub::Tag> {
        state
            .sessions
            .get(&self.id)?
            .opened
            .get(&key)
            .map(|opened| opened.tag)
    }

    fn forget(&self, state: &mut State, key: RequestKey) {
        if let Some(entry) = state.sessions.get_mut(&self.id) {
            entry.forget(key);
        }
    }
}

/// Put what an answer or a PUBLISH says about a track into the track.
pub(super) fn take_in(
    track: &headwater_pubsub::track::Track,
    properties: headwater_pubsub::wire::Properties,
    largest: Option<headwater_pubsub::wire::Location>,
) {
    // The session has checked the properties; the newest set replaces the old one (draft section "Properties").
    if let Err(error) = track.set_properties(properties) {
        debug!(%error, "track properties kept as they were");
    }
    if let Some(largest) = largest {
        track.claim_largest(largest);
    }
}

/// A peer's name for itself, fit for a log and a page.
fn shown(name: &Bytes) -> String {
    String::from_utf8_lossy(name)
        .chars()
        .filter(|c| !c.is_control())
        .take(SHOWN_NAME)
        .collect()
}
