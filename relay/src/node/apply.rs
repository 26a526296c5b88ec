//! From the hub to sessions and tracks: each output is carried out at once.

use std::sync::Arc;

use headwater_pubsub::net::{FillSink, SessionHandle};
use headwater_pubsub::session::{FetchTarget, RequestKey, RequestRefused};
use headwater_pubsub::track::{Authority, Edge, Track};
use headwater_pubsub::wire::control::{PublishDone, RequestError};
use headwater_pubsub::wire::{
    FullTrackName, GroupOrder, Location, Parameters, PublishDoneCode, RequestErrorCode,
};
use tracing::debug;

use super::serve::{
    accept_publish, answered, apply_update, refusal, reject, serve_fetch, serve_publish, serve_subscribe,
    serve_track_status, track_missing,
};
use super::state::{Bridge, Opened, Session, Shared, State};
use crate::admin::LimitName;
use crate::hub::{Input, Outgoing, Output, RequestRef, SessionId, Tag, TrackId};

#[cfg(test)]
mod tests;

impl Shared {
    /// Carry out one output. What fails on the way is fed back to the hub as an input.
    pub(super) fn apply(&self, state: &mut State, output: Output) {
        match output {
            Output::Open {
                session,
                tag,
                request,
            } => self.open(state, session, tag, request),
            Output::ServeSubscribe {
                request,
                track,
                parameters,
            } => {
                with(state, request, |entry, key, tracks| {
                    let Some(track) = tracks.get(&track) else {
                        reject(entry, key, track_missing());
                        return Some(Input::SubscriptionEnded { request });
                    };
                    serve_subscribe(entry, key, request, track, &parameters)
                });
            }
            Output::ServePublish {
                request,
                track,
                parameters,
            } => with(state, request, |entry, key, tracks| {
                serve_publish(entry, key, request, tracks.get(&track), &parameters)
            }),
            Output::ServeFetch {
                request,
                track: id,
                range,
                parameters,
            } => {
                with(state, request, |entry, key, tracks| {
                    let Some(track) = tracks.get(&id) else {
                        reject(entry, key, track_missing());
                        return Some(Input::FetchEnded { request });
                    };
                    serve_fetch(entry, key, request, id, track, &range, &parameters)
                });
            }
            Output::AcceptPublish {
                request,
                track: id,
                forward,
                new_group_request,
            } => {
                let streams = self.config.limits.publisher_uni_streams;
                with(state, request, |entry, key, tracks| {
                    entry.handle.transport().set_max_uni_streams(streams);
                    entry.handle.transport().expect_offers();
                    let Some(track) = tracks.get(&id).cloned() else {
                        reject(entry, key, track_missing());
                        return Some(Input::Cancelled { request });
                    };
                    accept_publish(entry, key, id, &track, forward, new_group_request);
                    None
                });
            }
            other => self.apply_track(state, other),
        }
    }

    /// What tracks there are, and what is kept of them.
    fn apply_track(&self, state: &mut State, output: Output) {
        match output {
            Output::TrackCreated { track, name } => {
                state
                    .tracks
                    .insert(track, Track::new(name, Authority::Relay, &self.cache));
            }
            Output::Bridge { track } => bridge(state, track),
            Output::Bridged { track } => {
                state.bridges.remove(&track);
            }
            Output::TrackEnded { track, code, reason } => {
                state.bridges.remove(&track);
                state.tracks.get(&track).inspect(|track| track.end(code, reason));
            }
            Output::TrackDropped { track } => {
                state.tracks.remove(&track);
                state.bridges.remove(&track);
                if let Some(mesh) = &mut state.mesh {
                    mesh.forget(track);
                }
            }
            Output::WatchLargestGroup { track, watch } => {
                if watch {
                    state.watched.insert(track, None);
                } else {
                    state.watched.remove(&track);
                }
                self.timer.notify_one();
            }
            other => self.apply_answer(state, other),
        }
    }

    /// The outputs that only speak to a session.
    fn apply_answer(&self, state: &mut State, output: Output) {
        match output {
            Output::Update { request, parameters } => with(state, request, |entry, key, _| {
                let refused = entry
                    .handle
                    .act(|session, _| session.update(key, parameters))
                    .err()?;
                debug!(?request, %refused, "update not sent");
                None
            }),
            Output::Close { request, code } => with(state, request, |entry, key, _| {
                entry.handle.act(|session, _| session.cancel(key, code));
                entry.handle.receive_no_more(key);
                entry.handle.stop_sending(key, code);
                entry.forget(key);
                None
            }),
            Output::ServeTrackStatus { request, track } => {
                with(state, request, |entry, key, tracks| {
                    serve_track_status(entry, key, tracks.get(&track));
                    None
                });
            }
            Output::AnswerTrackStatus { request, ok } => {
                tell(state, request, |session, key| {
                    session.accept_track_status(key, ok.parameters, ok.properties)
                });
                over(state, request);
            }
            Output::Accept { request } => with(state, request, |entry, key, _| {
                if !entry.prefixes.contains_key(&key) {
                    // PUBLISH_NAMESPACE: we will subscribe, and streams will come.
                    let streams = self.config.limits.publisher_uni_streams;
                    entry.handle.transport().set_max_uni_streams(streams);
                    entry.handle.transport().expect_offers();
                }
                answered(
                    entry
                        .handle
                        .act(|session, _| session.accept_namespace_request(key)),
                );
                None
            }),
            Output::Reject { request, error } => {
                self.metrics.request_error(error.code.into());
                if error.code == RequestErrorCode::EXCESSIVE_LOAD {
                    self.metrics.limit_hit(LimitName::Requests);
                }
                with(state, request, |entry, key, _| {
                    reject(entry, key, error);
                    None
                });
            }
            Output::ApplyUpdate { request, parameters } => with(state, request, |entry, key, _| {
                apply_update(entry, key, &parameters);
                None
            }),
            Output::EndSubscription {
                request,
                code,
                reason,
            } => {
                let done = PublishDone {
                    code,
                    stream_count: Some(0),
                    reason,
                };
                tell(state, request, |session, key| session.publish_done(key, done));
                over(state, request);
            }
            other => self.apply_detail(state, other),
        }
    }

    /// Updates and holes of fetches.
    fn apply_detail(&self, state: &mut State, output: Output) {
        match output {
            Output::ResetFetch { request, code } => with(state, request, |entry, key, _| {
                entry.handle.stop_sending(key, code);
                entry.handle.act(|session, _| session.revoke(key, code));
                entry.forget(key);
                None
            }),
            Output::HoleFilled { request, .. } => with(state, request, |entry, key, _| {
                entry.handle.fetch_again(key);
                None
            }),
            Output::HoleEmpty { request, start, end } => with(state, request, |entry, key, tracks| {
                let served = entry.fetches.get(&key)?;
                if let Some(track) = tracks.get(&served.track) {
                    track
                        .fill(start, end.last_before(), served.order)
                        .fin(entry.handle.now(), end, false);
                }
                entry.handle.fetch_again(key);
                None
            }),
            Output::HoleGivenUp { request, start, end } => with(state, request, |entry, key, _| {
                entry.handle.fetch_unknown(key, start, end.last_before());
                None
            }),
            Output::AcceptUpdate { request } => {
                with(state, request, |entry, key, _| {
                    let prefix = entry.prefixes.get_mut(&key)?;
                    prefix.current = prefix.asked.take()?;
                    None
                });
                tell(state, request, |session, key| {
                    session.answer_update(key, Ok(Parameters::default()))
                });
            }
            Output::FailUpdate { request, error } => {
                let reason = error.reason.clone();
                tell(state, request, |session, key| {
                    session.answer_update(key, Err(error))
                });
                with(state, request, |entry, key, _| {
                    entry
                        .handle
                        .end_subscription(key, PublishDoneCode::UPDATE_FAILED, &reason);
                    None
                });
                over(state, request);
            }
            Output::Withdraw {
                request,
                code,
                reason,
            } => with(state, request, |entry, key, _| {
                entry.handle.end_subscription(key, code, &reason);
                None
            }),
            Output::EndServed {
                request,
                code,
                reason,
            } => {
                with(state, request, |entry, key, _| {
                    entry.handle.end_subscription(key, code, &reason);
                    None
                });
                over(state, request);
            }
            other => self.apply_discovery(state, other),
        }
    }

    /// What namespace subscriptions are told; the rest is the mesh's.
    fn apply_discovery(&self, state: &mut State, output: Output) {
        match output {
            Output::Namespace { request, suffix } => with(state, request, |entry, key, _| {
                let namespace = entry.prefixes.get(&key)?.current.join(&suffix).ok()?;
                answered(entry.handle.act(|session, _| session.namespace(key, &namespace)));
                None
            }),
            Output::NamespaceDone { request, suffix } => with(state, request, |entry, key, _| {
                let namespace = entry.prefixes.get(&key)?.current.join(&suffix).ok()?;
                answered(
                    entry
                        .handle
                        .act(|session, _| session.namespace_done(key, &namespace)),
                );
                None
            }),
            Output::PublishBlocked {
                request,
                suffix,
                name,
            } => with(state, request, |entry, key, _| {
                let namespace = entry.prefixes.get(&key)?.current.join(&suffix).ok()?;
                let track = FullTrackName::new(namespace, name).ok()?;
                answered(
                    entry
                        .handle
                        .act(|session, _| session.publish_blocked(key, &track)),
                );
                None
            }),
            Output::Seek { name } => super::mesh::repin(state, &name),
            other => self.tell_overlay(state, other),
        }
    }

    fn open(&self, state: &mut State, session: SessionId, tag: Tag, request: Outgoing) {
        let Some(entry) = state.sessions.get_mut(&session) else {
            // The session is going down; its SessionDown follows.
            return;
        };
        let track = match &request {
            Outgoing::Subscribe { track, .. }
            | Outgoing::Publish { track, .. }
            | Outgoing::Repair { track, .. }
            | Outgoing::Fetch { track, .. } => Some(*track),
            Outgoing::TrackStatus { .. } => None,
        };
        let known = track.and_then(|id| state.tracks.get(&id)).cloned();
        let mut request = request;
        if let Some(mesh) = &state.mesh {
            mesh.address(&mut request, session, known.as_deref());
        }
        let from = track
            .and_then(|id| state.bridges.get(&id))
            .map(|bridge| bridge.from);
        let gap = known
            .as_ref()
            .zip(from)
            .and_then(|(track, from)| missed(track, from));
        if matches!(request, Outgoing::Repair { .. }) && gap.is_none() {
            let error = refusal(RequestErrorCode::INVALID_RANGE, "nothing was missed");
            state.inputs.push_back(Input::Rejected { tag, error });
            return;
        }
        match send(&entry.handle, request, known.as_ref(), gap) {
            Ok((key, offer)) => {
                entry.tags.insert(tag, key);
                entry.opened.insert(key, Opened { tag, track, offer });
            }
            Err(refused) => {
                debug!(session = session.0, %refused, "request not sent");
                let error = RequestError {
                    code: RequestErrorCode::GOING_AWAY,
                    retry_after_ms: None,
                    reason: refused.to_string(),
                    redirect: None,
                };
                state.inputs.push_back(Input::Rejected { tag, error });
            }
        }
    }
}

/// Send a request of the hub.
fn send(
    handle: &SessionHandle,
    request: Outgoing,
    track: Option<&Arc<Track>>,
    gap: Option<(Location, Location)>,
) -> Result<(RequestKey, Option<(u64, Edge)>), RequestRefused> {
    match request {
        Outgoing::Subscribe { name, parameters, .. } => handle
            .act(|session, _| session.subscribe(name, parameters))
            .map(|key| (key, None)),
        Outgoing::Publish {
            name, mut parameters, ..
        } => {
            let edge = track.map(|track| track.edge());
            parameters.largest_object = edge.and_then(|edge| edge.largest);
            let properties = track.map(|track| track.properties()).unwrap_or_default();
            handle
                .act(|session, _| session.publish(name, parameters, properties, true))
                .map(|(key, alias)| (key, edge.map(|edge| (alias, edge))))
        }
        Outgoing::Fetch {
            name,
            start,
            end,
            parameters,
            ..
        } => {
            let target = FetchTarget::Standalone {
                track: name,
                start,
                end,
            };
            let key = handle.act(|session, _| session.fetch(target, parameters))?;
            if let Some(track) = track {
                let order = GroupOrder::Ascending;
                handle.receive_fetch(
                    key,
                    FillSink::Track(track.fill(start, end.last_before(), order), order),
                );
            }
            Ok((key, None))
        }
        Outgoing::Repair { name, .. } => {
            let (start, last) = gap.unwrap_or_default();
            let end = Location::new(last.group, last.object.checked_add(1).unwrap_or(0));
            let target = FetchTarget::Standalone {
                track: name,
                start,
                end,
            };
            let key = handle.act(|session, _| session.fetch(target, Parameters::default()))?;
            if let Some(track) = track {
                let order = GroupOrder::Ascending;
                let fill = track.fill(start, last, order).repair();
                handle.receive_fetch(key, FillSink::Track(fill, order));
            }
            Ok((key, None))
        }
        Outgoing::TrackStatus { name, parameters, .. } => handle
            .act(|session, _| session.track_status(name, parameters))
            .map(|key| (key, None)),
    }
}

/// The only source of a track goes; one that is waiting to make up for another one already keeps its place.
fn bridge(state: &mut State, id: TrackId) {
    let Some(track) = state.tracks.get(&id) else {
        return;
    };
    let from = track.next_expected().unwrap_or_default();
    let bridge = state.bridges.entry(id).or_insert_with(|| Bridge {
        from,
        _source: track.source(),
    });
    bridge.from = bridge.from.min(from);
}

/// The first and last location that a track may have missed since it was complete up to `from`.
fn missed(track: &Track, from: Location) -> Option<(Location, Location)> {
    let start = track.next_expected().map_or(from, |next| next.min(from));
    let last = track.largest()?;
    (start <= last).then_some((start, last))
}

/// Find the session and the request, act, and feed back what comes of it.
fn with(
    state: &mut State,
    request: RequestRef,
    action: impl FnOnce(
        &mut Session,
        RequestKey,
        &std::collections::HashMap<TrackId, Arc<Track>>,
    ) -> Option<Input>,
) {
    let Some(entry) = state.sessions.get_mut(&request.session()) else {
        return;
    };
    let Some(key) = entry.key(request) else {
        debug!(?request, "request is over");
        return;
    };
    if let Some(input) = action(entry, key, &state.tracks) {
        state.inputs.push_back(input);
    }
}

/// Say something on a request stream.
fn tell<E: std::fmt::Display>(
    state: &mut State,
    request: RequestRef,
    say: impl FnOnce(&mut headwater_pubsub::session::Session, RequestKey) -> Result<(), E>,
) {
    with(state, request, |entry, key, _| {
        answered(entry.handle.act(|session, _| say(session, key)));
        None
    });
}

/// The request is over: nothing names it any more.
fn over(state: &mut State, request: RequestRef) {
    with(state, request, |entry, key, _| {
        entry.forget(key);
        None
    });
}
