//! REQUEST_UPDATE, both ways, and NEW_GROUP_REQUEST.

use headwater_pubsub::wire::control::RequestError;
use headwater_pubsub::wire::{Parameters, PublishDoneCode};

use super::Hub;
use super::groups::Step;
use super::input::{RequestRef, SessionId, TrackId};
use super::output::Output;
use super::session::{Incoming, overload};
use super::timers::Timer;
use super::tracks::{ListenerState, SourceState};

impl Hub {
    pub(super) fn updated(&mut self, request: RequestRef, parameters: Parameters) {
        if let Some(id) = self.listens_to(request) {
            self.update_listener(id, request, parameters);
            return;
        }
        let RequestRef::Peer(session, key) = request else {
            return;
        };
        let new_prefix = parameters.track_namespace_prefix.clone();
        match (
            self.sessions
                .get(&session)
                .and_then(|session| session.request(key)),
            new_prefix,
        ) {
            (None, _) => {}
            (Some(Incoming::SubscribeNamespace { prefix }), Some(new)) => {
                let old = prefix.clone();
                self.move_namespace_interest(request, &old, &new);
            }
            (Some(Incoming::SubscribeTracks(interest)), Some(new)) => {
                let old = interest.prefix.clone();
                self.move_tracks_interest(request, &old, &new);
            }
            (Some(Incoming::Fetch(_)), _) => self.push(Output::ApplyUpdate { request, parameters }),
            (Some(_), _) => self.push(Output::AcceptUpdate { request }),
        }
    }

    fn update_listener(&mut self, id: TrackId, request: RequestRef, parameters: Parameters) {
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        let flowing = track.is_flowing();
        let Some(listener) = track.listeners.get_mut(&request) else {
            return;
        };
        let resumes = !listener.forward && parameters.forward == Some(true);
        listener.forward = parameters.forward.unwrap_or(listener.forward);
        track.quieter |= parameters.forward == Some(false);
        let served = matches!(listener.state, ListenerState::Served);
        // Order is kept: behind one that waits, all wait. An OK that switches forwarding on carries the largest object, which
        // upstream has to tell first.
        if !served || !listener.held.is_empty() || (resumes && !flowing) {
            listener.held.push(parameters);
            let full = listener.held.len() > self.config.held_updates;
            track.unserved.insert(request);
            if full {
                self.refuse_flood(id, request);
            }
        } else {
            let new_group = parameters.new_group_request;
            self.push(Output::ApplyUpdate { request, parameters });
            if let Some(value) = new_group {
                self.ask_new_group(id, value);
            }
        }
        self.touch(id);
    }

    /// Ends a subscription whose updates pile up.
    fn refuse_flood(&mut self, id: TrackId, request: RequestRef) {
        let error: RequestError = overload(&self.config).into();
        let state = self
            .tracks
            .get(id)
            .and_then(|track| track.listeners.get(&request))
            .map(|found| &found.state);
        let output = match state {
            Some(ListenerState::Waiting { .. }) => Output::Reject { request, error },
            Some(ListenerState::Offered { .. }) => Output::EndSubscription {
                request,
                code: PublishDoneCode::UPDATE_FAILED,
                reason: error.reason,
            },
            Some(ListenerState::Served) => Output::FailUpdate { request, error },
            None => return,
        };
        self.push(output);
        self.drop_listener(id, request);
    }

    /// Refuses an update of a namespace subscription, which ends it.
    pub(super) fn fail_update(&mut self, request: RequestRef, error: RequestError) {
        self.push(Output::FailUpdate { request, error });
        self.cancelled(request);
    }

    pub(super) fn update_answered(&mut self, request: RequestRef, result: Result<(), RequestError>) {
        let Some((id, session)) = self.source_of(request) else {
            return;
        };
        if let Err(refusal) = result {
            // A refused update ends the subscription. draft section "Updating Subscriptions"
            self.forget_request(request);
            self.source_left(
                id,
                session,
                Some((
                    PublishDoneCode::UPDATE_FAILED,
                    format!("the publisher refused an update: {}", refusal.reason),
                )),
            );
            return;
        }
        let Some(source) = self
            .tracks
            .get_mut(id)
            .and_then(|track| track.sources.get_mut(&session))
        else {
            return;
        };
        source.unanswered = source.unanswered.saturating_sub(1);
        if source.unanswered == 0 {
            self.restarted(id, session);
        }
    }

    /// A source forwards again, or had time enough to say so.
    pub(super) fn restarted(&mut self, id: TrackId, session: SessionId) {
        let Some(source) = self
            .tracks
            .get_mut(id)
            .and_then(|track| track.sources.get_mut(&session))
        else {
            return;
        };
        if source.state == SourceState::Starting {
            source.state = SourceState::Flowing;
            self.timers.cancel(Timer::Restart(id, session));
            self.touch(id);
        }
    }

    pub(super) fn ask_new_group(&mut self, id: TrackId, value: u64) {
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        let step = track.groups.ask(value);
        self.step_groups(id, step);
    }

    pub(super) fn largest_group(&mut self, id: TrackId, group: Option<u64>) {
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        let step = track.groups.report(group);
        self.step_groups(id, step);
    }

    pub(super) fn step_groups(&mut self, id: TrackId, step: Step) {
        if let Some(watch) = step.watch {
            self.push(Output::WatchLargestGroup { track: id, watch });
        }
        let Some(value) = step.request else { return };
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        let mut requests = Vec::new();
        for source in track
            .sources
            .values_mut()
            .filter(|source| source.is_established())
        {
            source.unanswered += 1;
            requests.push(source.request);
        }
        for request in requests {
            let parameters = Parameters {
                new_group_request: Some(value),
                ..Parameters::default()
            };
            self.push(Output::Update { request, parameters });
        }
    }
}
