//! FETCH from subscribers: served from the track, which is filled from upstream where it has holes (draft sections "Fetch
//! Handling", "FILL TIMEOUT Parameter").
//!
//! While an upstream subscription flows, the track itself knows how far it reaches. Otherwise a publisher is asked for the
//! whole range first, and its FETCH_OK says where that ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use headwater_pubsub::wire::control::RequestError;
use headwater_pubsub::wire::{FullTrackName, Location, Parameters, RequestErrorCode, StreamCode};

use super::Hub;
use super::input::{FetchRange, JoiningStart, Origin, RequestKey, RequestRef, SessionId, Tag, TrackId};
use super::listen::refuse_reserved;
use super::opened::Purpose;
use super::output::{Output, ServedRange};
use super::refusals::{Refusal, error, most_useful};
use super::session::{Incoming, Kind};
use super::timers::Timer;

mod fill;
mod joining;

pub(super) use fill::Fill;

/// A downstream FETCH.
#[derive(Debug)]
pub(super) struct Fetch {
    /// `None` while a joining FETCH waits for its subscription.
    track: Option<TrackId>,
    state: FetchState,
    /// Time that it may still spend waiting for publishers.
    budget: Duration,
    /// What it waits for.
    seek: Option<Seek>,
    /// What it waited for before, and who was asked.
    last: Option<(Range, Asked)>,
    /// Upstream FETCHes that run on its behalf.
    fills: BTreeSet<Tag>,
    /// How many were begun.
    begun: usize,
}

#[derive(Debug)]
enum FetchState {
    /// The subscription it joins was not answered.
    Joining {
        subscription: RequestRef,
        start: JoiningStart,
        parameters: Parameters,
    },
    /// A publisher is being asked where its range ends.
    Finding { parameters: Parameters },
    /// The data plane has it.
    Served,
}

/// A search for the objects of a range.
#[derive(Debug)]
struct Seek {
    range: Range,
    since: Duration,
    asked: Asked,
    /// The upstream FETCH it waits for.
    tag: Option<Tag>,
}

/// Who was asked for the objects of a range.
#[derive(Debug, Default)]
struct Asked {
    /// Who could not help, and why: not asked again.
    tried: BTreeMap<SessionId, RequestError>,
    /// Whose results broke off, and how often: asked again for the rest, after the others.
    cut: BTreeMap<SessionId, usize>,
}

/// A range as in FETCH: `end` is one past the last object, or object 0 for a whole group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    start: Location,
    end: Location,
}

impl Range {
    /// The end in an order that lets "the whole group" come last.
    const fn past(self) -> (u64, u64) {
        (
            self.end.group,
            if self.end.object == 0 {
                u64::MAX
            } else {
                self.end.object
            },
        )
    }

    fn covers(self, other: Self) -> bool {
        self.start <= other.start && self.past() >= other.past()
    }

    fn is_legal(self) -> bool {
        (self.start.group, self.start.object) < self.past()
    }
}

impl Hub {
    pub(super) fn fetch(
        &mut self,
        session: SessionId,
        key: RequestKey,
        range: FetchRange,
        parameters: Parameters,
    ) {
        let request = RequestRef::Peer(session, key);
        let outcome = self
            .admit(session, Kind::Fetch)
            .map(|_| ())
            .and_then(|()| match range {
                FetchRange::Standalone {
                    track,
                    origin,
                    start,
                    end,
                } => {
                    let origin = origin.unwrap_or_else(|| self.mesh.pinned(&track));
                    self.fetch_range(request, &track, origin, Range { start, end }, parameters)
                }
                FetchRange::Joining { subscription, start } => {
                    self.fetch_joining(request, subscription, start, parameters)
                }
            });
        if let Err(refusal) = outcome {
            self.reject(request, refusal);
        }
    }

    fn fetch_range(
        &mut self,
        request: RequestRef,
        name: &FullTrackName,
        origin: Origin,
        range: Range,
        parameters: Parameters,
    ) -> Result<(), Refusal> {
        refuse_reserved(name)?;
        if !range.is_legal() {
            return Err(error(
                RequestErrorCode::INVALID_RANGE,
                "the range ends before it begins",
            ));
        }
        let budget = self.budget(&parameters);
        let live = self.tracks.live(name, origin);
        let track = live.and_then(|id| self.tracks.get(id));
        if track.is_some_and(|track| track.is_flowing() || (budget.is_zero() && track.created)) {
            let served = ServedRange::Live {
                start: range.start,
                end: range.end,
            };
            self.hold_fetch(request, live, FetchState::Served, budget);
            self.serve_fetch(request, served, parameters);
            return Ok(());
        }
        if self.publishers(name, origin).is_empty() {
            return Err(error(
                RequestErrorCode::DOES_NOT_EXIST,
                "no publisher has this track",
            ));
        }
        if budget.is_zero() {
            return Err(error(
                RequestErrorCode::TIMEOUT,
                "nothing of the track is at hand",
            ));
        }
        let id = self.tracks.live_or_new(name, origin);
        self.hold_fetch(request, Some(id), FetchState::Finding { parameters }, budget);
        self.begin_seek(request, range);
        Ok(())
    }

    fn budget(&self, parameters: &Parameters) -> Duration {
        match parameters.fill_timeout_ms {
            Some(budget) => Duration::from_millis(budget).min(self.config.fill_max),
            None => self.config.fill,
        }
    }

    fn hold_fetch(
        &mut self,
        request: RequestRef,
        track: Option<TrackId>,
        state: FetchState,
        budget: Duration,
    ) {
        let RequestRef::Peer(session, key) = request else {
            return;
        };
        let fetch = Fetch {
            track,
            state,
            budget,
            seek: None,
            last: None,
            fills: BTreeSet::new(),
            begun: 0,
        };
        self.hold_request(session, key, Incoming::Fetch(Box::new(fetch)));
        if let Some(id) = track {
            self.attach_fetch(id, request);
        }
    }

    fn attach_fetch(&mut self, id: TrackId, request: RequestRef) {
        if let Some(track) = self.tracks.get_mut(id) {
            track.fetches.insert(request);
        }
        self.touch(id);
    }

    fn serve_fetch(&mut self, request: RequestRef, range: ServedRange, parameters: Parameters) {
        let Some(fetch) = self.fetch_mut(request) else {
            return;
        };
        fetch.state = FetchState::Served;
        let Some(track) = fetch.track else { return };
        self.push(Output::ServeFetch {
            request,
            track,
            range,
            parameters,
        });
    }

    fn fetch_ref(&self, request: RequestRef) -> Option<&Fetch> {
        let RequestRef::Peer(session, key) = request else {
            return None;
        };
        match self.sessions.get(&session)?.request(key)? {
            Incoming::Fetch(fetch) => Some(fetch),
            _ => None,
        }
    }

    fn fetch_mut(&mut self, request: RequestRef) -> Option<&mut Fetch> {
        let RequestRef::Peer(session, key) = request else {
            return None;
        };
        match self.sessions.get_mut(&session)?.request_mut(key)? {
            Incoming::Fetch(fetch) => Some(fetch),
            _ => None,
        }
    }

    fn refuse_fetch(&mut self, request: RequestRef, error: impl Into<RequestError>) {
        if let Some(Incoming::Fetch(fetch)) = self.take_peer_request(request) {
            self.push(Output::Reject {
                request,
                error: error.into(),
            });
            self.fetch_over(request, &fetch);
        }
    }

    /// Lets go of what a fetch, already forgotten, held.
    pub(super) fn fetch_over(&mut self, request: RequestRef, fetch: &Fetch) {
        self.timers.cancel(Timer::Fill(request));
        for &tag in &fetch.fills {
            self.release_fill(tag, request);
        }
        if let FetchState::Joining { subscription, .. } = &fetch.state
            && let Some(joining) = self.joining.get_mut(subscription)
        {
            joining.remove(&request);
            if joining.is_empty() {
                self.joining.remove(subscription);
            }
        }
        if let Some(id) = fetch.track {
            if let Some(track) = self.tracks.get_mut(id) {
                track.fetches.remove(&request);
            }
            self.touch(id);
        }
    }

    /// The track is malformed: every fetch of it ends.
    pub(super) fn end_fetches(&mut self, id: TrackId) {
        let fetches = self
            .tracks
            .get(id)
            .map(|track| track.fetches.clone())
            .unwrap_or_default();
        for request in fetches {
            let served = self
                .fetch_mut(request)
                .is_some_and(|fetch| matches!(fetch.state, FetchState::Served));
            if served {
                self.push(Output::ResetFetch {
                    request,
                    code: StreamCode::MALFORMED_TRACK,
                });
                self.cancelled(request);
            } else {
                self.refuse_fetch(
                    request,
                    error(RequestErrorCode::MALFORMED_TRACK, "the track is malformed"),
                );
            }
        }
    }

    /// The data plane found nothing between two locations.
    pub(super) fn hole(&mut self, request: RequestRef, start: Location, end: Location) {
        let Some(fetch) = self.fetch_mut(request) else {
            return;
        };
        if !matches!(fetch.state, FetchState::Served) {
            return;
        }
        let range = Range { start, end };
        if fetch.seek.is_some() || fetch.budget.is_zero() || !range.is_legal() {
            self.push(Output::HoleGivenUp { request, start, end });
        } else {
            self.begin_seek(request, range);
        }
    }

    fn begin_seek(&mut self, request: RequestRef, range: Range) {
        let now = self.now;
        let Some(fetch) = self.fetch_mut(request) else {
            return;
        };
        // Whoever filled this range before and left the hole is not asked again.
        let asked = fetch
            .last
            .take()
            .filter(|(last, _)| last.covers(range))
            .map(|(_, asked)| asked);
        let until = now.saturating_add(fetch.budget);
        fetch.seek = Some(Seek {
            range,
            since: now,
            asked: asked.unwrap_or_default(),
            tag: None,
        });
        self.timers.set(Timer::Fill(request), until);
        self.seek(request);
    }

    /// Ends the search of a fetch and settles its account of time.
    fn end_seek(&mut self, request: RequestRef) -> Option<Range> {
        let now = self.now;
        let fetch = self.fetch_mut(request)?;
        let seek = fetch.seek.take()?;
        fetch.budget = fetch.budget.saturating_sub(now.saturating_sub(seek.since));
        fetch.last = Some((seek.range, seek.asked));
        self.timers.cancel(Timer::Fill(request));
        Some(seek.range)
    }

    /// Nobody can help.
    fn give_up_seek(&mut self, request: RequestRef) {
        let Some(range) = self.end_seek(request) else {
            return;
        };
        let Some(fetch) = self.fetch_mut(request) else {
            return;
        };
        if matches!(fetch.state, FetchState::Served) {
            self.push(Output::HoleGivenUp {
                request,
                start: range.start,
                end: range.end,
            });
            return;
        }
        let said = fetch
            .last
            .take()
            .map(|(_, asked)| asked.tried)
            .unwrap_or_default();
        let refusal = most_useful(said.into_values())
            .unwrap_or_else(|| error(RequestErrorCode::DOES_NOT_EXIST, "no publisher has this track").into());
        self.refuse_fetch(request, refusal);
    }

    /// The time to wait for publishers is spent.
    pub(super) fn fill_over(&mut self, request: RequestRef) {
        let Some(range) = self.end_seek(request) else {
            return;
        };
        let Some(fetch) = self.fetch_mut(request) else {
            return;
        };
        fetch.budget = Duration::ZERO;
        if matches!(fetch.state, FetchState::Served) {
            for tag in std::mem::take(&mut fetch.fills) {
                self.release_fill(tag, request);
            }
            self.push(Output::HoleGivenUp {
                request,
                start: range.start,
                end: range.end,
            });
        } else {
            self.refuse_fetch(
                request,
                error(RequestErrorCode::TIMEOUT, "no publisher answered in time"),
            );
        }
    }

    /// The track that an upstream FETCH fills.
    pub(super) fn filled_by(&self, request: RequestRef) -> Option<TrackId> {
        let RequestRef::Hub(_, tag) = request else {
            return None;
        };
        match &self.opened.get(&tag)?.purpose {
            Purpose::Fill(fill) => Some(fill.track),
            &Purpose::Repair { track } => Some(track),
            _ => None,
        }
    }
}
