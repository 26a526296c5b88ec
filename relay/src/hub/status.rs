//! TRACK_STATUS: answered here while an upstream subscription tells the truth, else passed to one publisher after the other.

use std::collections::{BTreeMap, BTreeSet};

use headwater_pubsub::wire::control::RequestError;
use headwater_pubsub::wire::{FullTrackName, Parameters, RequestErrorCode};

use super::Hub;
use super::input::{Origin, RequestKey, RequestRef, SessionId};
use super::listen::refuse_reserved;
use super::opened::Purpose;
use super::output::{Outgoing, Output};
use super::refusals::{error, most_useful};
use super::session::{Incoming, Kind, Status};
use super::tracks::Track;

impl Hub {
    pub(super) fn track_status(
        &mut self,
        session: SessionId,
        key: RequestKey,
        name: FullTrackName,
        origin: Option<Origin>,
    ) {
        let request = RequestRef::Peer(session, key);
        let admitted = self
            .admit(session, Kind::TrackStatus)
            .and_then(|_| refuse_reserved(&name));
        if let Err(refusal) = admitted {
            self.reject(request, refusal);
            return;
        }
        let origin = origin.unwrap_or_else(|| self.mesh.pinned(&name));
        let live = self.tracks.live(&name, origin);
        if let Some(track) = live.filter(|&id| self.tracks.get(id).is_some_and(Track::is_flowing)) {
            self.push(Output::ServeTrackStatus { request, track });
            return;
        }
        let status = Status {
            name,
            origin,
            tried: BTreeMap::new(),
            moved: BTreeSet::new(),
            tag: None,
        };
        self.hold_request(session, key, Incoming::TrackStatus(status));
        self.pass_status(request);
    }

    pub(super) fn status(&mut self, request: RequestRef) -> Option<&mut Status> {
        let RequestRef::Peer(session, key) = request else {
            return None;
        };
        match self.sessions.get_mut(&session)?.request_mut(key)? {
            Incoming::TrackStatus(status) => Some(status),
            _ => None,
        }
    }

    /// Asks the next publisher, or answers with the best that is known.
    pub(super) fn pass_status(&mut self, request: RequestRef) {
        let Some(status) = self.status(request) else {
            return;
        };
        let (name, origin) = (status.name.clone(), status.origin);
        let (tried, moved) = (status.tried.clone(), status.moved.clone());
        let next = self
            .publishers(&name, origin)
            .into_iter()
            .filter(|session| !tried.contains_key(session))
            .min_by_key(|session| moved.contains(session));
        if let Some(session) = next {
            let opened = self.open(
                session,
                Purpose::Status { of: request },
                Outgoing::TrackStatus {
                    name,
                    origin,
                    parameters: Parameters::default(),
                },
            );
            if let (Some(status), RequestRef::Hub(_, tag)) = (self.status(request), opened) {
                status.tag = Some(tag);
            }
            return;
        }
        let live = self.tracks.live(&name, origin);
        if let Some(track) = live.filter(|&id| self.tracks.get(id).is_some_and(Track::is_established)) {
            self.take_peer_request(request);
            self.push(Output::ServeTrackStatus { request, track });
            return;
        }
        let refusal = most_useful(tried.into_values())
            .unwrap_or_else(|| error(RequestErrorCode::DOES_NOT_EXIST, "no publisher has this track").into());
        self.reject(request, refusal);
    }

    pub(super) fn status_refused(&mut self, of: RequestRef, session: SessionId, refusal: RequestError) {
        let Some(status) = self.status(of) else { return };
        status.tag = None;
        status.tried.insert(session, refusal);
        self.pass_status(of);
    }
}
