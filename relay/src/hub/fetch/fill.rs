//! Upstream FETCHes that fill a track: one publisher at a time, shared by the fetches that miss the same objects.

use std::collections::BTreeSet;

use headwater_pubsub::wire::control::RequestError;
use headwater_pubsub::wire::{Location, Parameters, RequestErrorCode, StreamCode};

use super::{FetchState, Hub, Range};
use crate::hub::input::{FillOutcome, RequestRef, SessionId, Tag, TrackId};
use crate::hub::opened::{Opened, Purpose};
use crate::hub::output::{Outgoing, Output, ServedRange};
use crate::hub::refusals::error;

/// An upstream FETCH.
#[derive(Debug)]
pub(in crate::hub) struct Fill {
    pub(super) track: TrackId,
    range: Range,
    /// Fetches it runs for; without one it is cancelled.
    holders: BTreeSet<RequestRef>,
    /// End and end of track, as FETCH_OK said.
    accepted: Option<(Location, bool)>,
}

impl Hub {
    pub(super) fn fill(&self, tag: Tag) -> Option<&Fill> {
        match &self.opened.get(&tag)?.purpose {
            Purpose::Fill(fill) => Some(fill),
            _ => None,
        }
    }

    fn fill_mut(&mut self, tag: Tag) -> Option<&mut Fill> {
        match &mut self.opened.get_mut(&tag)?.purpose {
            Purpose::Fill(fill) => Some(fill),
            _ => None,
        }
    }

    /// Finds a running upstream FETCH that helps, or begins one at the next publisher.
    pub(super) fn seek(&mut self, request: RequestRef) {
        let bound = self.config.fills_per_fetch;
        let Some(fetch) = self.fetch_mut(request) else {
            return;
        };
        let served = matches!(fetch.state, FetchState::Served);
        let spent = fetch.begun >= bound;
        let (Some(id), Some(seek)) = (fetch.track, &mut fetch.seek) else {
            return;
        };
        seek.tag = None;
        let range = seek.range;
        if let Some(tag) = self.running_fill(request, id, range, served) {
            self.join_fill(request, tag);
            return;
        }
        let next = if spent {
            None
        } else {
            self.next_publisher(request, id)
        };
        let Some(session) = next else {
            self.give_up_seek(request);
            return;
        };
        self.create(id);
        let Some((name, origin)) = self
            .tracks
            .get(id)
            .map(|track| (track.name.clone(), track.origin))
        else {
            return;
        };
        let fill = Fill {
            track: id,
            range,
            holders: BTreeSet::new(),
            accepted: None,
        };
        let outgoing = Outgoing::Fetch {
            track: id,
            name,
            origin,
            start: range.start,
            end: range.end,
            parameters: Parameters::default(),
        };
        let opened = self.open(session, Purpose::Fill(fill), outgoing);
        if let (Some(fetch), RequestRef::Hub(_, tag)) = (self.fetch_mut(request), opened) {
            fetch.begun += 1;
            if let Some(track) = self.tracks.get_mut(id) {
                track.fills.insert(tag);
            }
            self.join_fill(request, tag);
        }
    }

    /// A running upstream FETCH of a publisher that was not tried: for a hole one that covers it, for a range whose end is
    /// unknown the very same range.
    fn running_fill(&self, request: RequestRef, id: TrackId, range: Range, served: bool) -> Option<Tag> {
        let tried = self.tried(request)?;
        self.tracks.get(id)?.fills.iter().copied().find(|tag| {
            let session = self.opened.get(tag).map(|opened| opened.session);
            self.fill(*tag)
                .is_some_and(|fill| fill.range == range || (served && fill.range.covers(range)))
                && session.is_some_and(|session| !tried.contains(&session))
        })
    }

    fn tried(&self, request: RequestRef) -> Option<BTreeSet<SessionId>> {
        let fetch = self.fetch_ref(request)?;
        Some(fetch.seek.as_ref()?.asked.tried.keys().copied().collect())
    }

    fn next_publisher(&mut self, request: RequestRef, id: TrackId) -> Option<SessionId> {
        let tried = self.tried(request)?;
        let track = self.tracks.get(id)?;
        let (name, origin) = (track.name.clone(), track.origin);
        let mut publishers: Vec<SessionId> = self.publishers(&name, origin).into_iter().collect();
        if let Some(seek) = self.fetch_ref(request).and_then(|fetch| fetch.seek.as_ref()) {
            publishers.sort_by_key(|session| seek.asked.cut.get(session).copied().unwrap_or_default());
        }
        for session in publishers {
            if tried.contains(&session) {
                continue;
            }
            match self.fetch_refusals.get(session, &name).cloned() {
                None => return Some(session),
                Some(refusal) => self.note_tried(request, session, refusal),
            }
        }
        None
    }

    fn note_tried(&mut self, request: RequestRef, session: SessionId, refusal: RequestError) {
        if let Some(seek) = self.fetch_mut(request).and_then(|fetch| fetch.seek.as_mut()) {
            seek.asked.tried.insert(session, refusal);
        }
    }

    /// The result of a publisher broke off: it is asked again, but not for ever.
    fn note_cut(&mut self, request: RequestRef, session: SessionId) {
        let again = self.config.fill_again;
        let Some(seek) = self.fetch_mut(request).and_then(|fetch| fetch.seek.as_mut()) else {
            return;
        };
        let cuts = seek.asked.cut.entry(session).or_default();
        *cuts += 1;
        if *cuts > again {
            seek.asked.tried.insert(session, left_open());
        }
    }

    fn join_fill(&mut self, request: RequestRef, tag: Tag) {
        let Some(fetch) = self.fetch_mut(request) else {
            return;
        };
        fetch.fills.insert(tag);
        let served = matches!(fetch.state, FetchState::Served);
        if let Some(seek) = &mut fetch.seek {
            seek.tag = Some(tag);
        }
        let Some(fill) = self.fill_mut(tag) else { return };
        fill.holders.insert(request);
        if let Some((end, end_of_track)) = fill.accepted
            && !served
        {
            self.serve_found(request, end, end_of_track);
        }
    }

    fn serve_found(&mut self, request: RequestRef, end: Location, end_of_track: bool) {
        let Some(range) = self.end_seek(request) else {
            return;
        };
        let Some(fetch) = self.fetch_mut(request) else {
            return;
        };
        fetch.last = None;
        if let FetchState::Finding { parameters } = std::mem::replace(&mut fetch.state, FetchState::Served) {
            self.serve_fetch(
                request,
                ServedRange::Known {
                    start: range.start,
                    end,
                    end_of_track,
                },
                parameters,
            );
        }
    }

    pub(in crate::hub) fn fill_accepted(&mut self, tag: Tag, end: Location, end_of_track: bool) {
        let Some(fill) = self.fill_mut(tag) else { return };
        fill.accepted = Some((end, end_of_track));
        for request in self.waiting_for(tag) {
            let finding = self
                .fetch_ref(request)
                .is_some_and(|fetch| matches!(fetch.state, FetchState::Finding { .. }));
            if finding {
                self.serve_found(request, end, end_of_track);
            }
        }
    }

    /// The fetches that wait for an upstream FETCH and for nothing else.
    fn waiting_for(&self, tag: Tag) -> Vec<RequestRef> {
        let holders = self
            .fill(tag)
            .map(|fill| fill.holders.clone())
            .unwrap_or_default();
        self.only_waiting(&holders, tag)
    }

    fn only_waiting(&self, holders: &BTreeSet<RequestRef>, tag: Tag) -> Vec<RequestRef> {
        let waits = |request: &RequestRef| {
            self.fetch_ref(*request)
                .and_then(|fetch| fetch.seek.as_ref())
                .is_some_and(|seek| seek.tag == Some(tag))
        };
        holders.iter().copied().filter(waits).collect()
    }

    pub(in crate::hub) fn fill_done(&mut self, tag: Tag, outcome: FillOutcome) {
        if self.fill(tag).is_none() {
            self.repaired(tag);
            return;
        }
        let Some(Opened {
            session,
            purpose: Purpose::Fill(fill),
        }) = self.forget(tag)
        else {
            return;
        };
        let waiting = self.unhold(tag, &fill);
        for request in waiting {
            match outcome {
                FillOutcome::Complete => self.note_tried(request, session, left_open()),
                FillOutcome::Failed => self.note_cut(request, session),
            }
            let served = self
                .fetch_ref(request)
                .is_some_and(|fetch| matches!(fetch.state, FetchState::Served));
            // What came before a cut is there: the data plane reports the rest as a hole, and only that is asked for again.
            if served {
                if let Some(range) = self.end_seek(request) {
                    self.push(Output::HoleFilled {
                        request,
                        start: range.start,
                        end: range.end,
                    });
                }
            } else {
                self.seek(request);
            }
        }
    }

    /// An upstream FETCH, already forgotten, was refused or broke off.
    pub(in crate::hub) fn fill_refused(
        &mut self,
        tag: Tag,
        session: SessionId,
        fill: &Fill,
        refusal: &RequestError,
    ) {
        let waiting = self.unhold(tag, fill);
        if refusal.code == RequestErrorCode::DOES_NOT_EXIST
            && self.sessions.contains_key(&session)
            && let Some(track) = self.tracks.get(fill.track)
        {
            let until = self.now.saturating_add(self.config.refusal);
            let key = (session, track.name.clone());
            self.fetch_refusals
                .add(key, until, refusal.clone(), self.config.refusals);
        }
        for request in waiting {
            // The publisher knows the track and says that the range has nothing.
            if refusal.code == RequestErrorCode::INVALID_RANGE {
                self.nothing_there(request, refusal.clone());
            } else {
                self.note_tried(request, session, refusal.clone());
                self.seek(request);
            }
        }
    }

    fn nothing_there(&mut self, request: RequestRef, refusal: RequestError) {
        let Some(range) = self.end_seek(request) else {
            return;
        };
        let served = self
            .fetch_ref(request)
            .is_some_and(|fetch| matches!(fetch.state, FetchState::Served));
        if served {
            self.push(Output::HoleEmpty {
                request,
                start: range.start,
                end: range.end,
            });
        } else {
            self.refuse_fetch(request, refusal);
        }
    }

    /// Takes an upstream FETCH that is over from its track and its fetches; gives those that wait for it.
    fn unhold(&mut self, tag: Tag, fill: &Fill) -> Vec<RequestRef> {
        if let Some(track) = self.tracks.get_mut(fill.track) {
            track.fills.remove(&tag);
        }
        let waiting = self.only_waiting(&fill.holders, tag);
        for &request in &fill.holders {
            if let Some(fetch) = self.fetch_mut(request) {
                fetch.fills.remove(&tag);
            }
        }
        waiting
    }

    /// A fetch no longer needs an upstream FETCH; the last one to say so cancels it.
    pub(super) fn release_fill(&mut self, tag: Tag, request: RequestRef) {
        let Some(fill) = self.fill_mut(tag) else { return };
        fill.holders.remove(&request);
        if !fill.holders.is_empty() {
            return;
        }
        let id = fill.track;
        if let Some(track) = self.tracks.get_mut(id) {
            track.fills.remove(&tag);
        }
        if let Some(session) = self.opened.get(&tag).map(|opened| opened.session) {
            self.close(RequestRef::Hub(session, tag), StreamCode::CANCELLED);
        }
    }
}

fn left_open() -> RequestError {
    error(RequestErrorCode::TIMEOUT, "the publisher left the range open").into()
}
