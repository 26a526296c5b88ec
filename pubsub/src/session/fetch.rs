//! FETCH, both ways (draft sections "Fetch State Management", "FETCH").
//!
//! A joining fetch of the peer is resolved to a range here, with the joining location of its subscription. It is held while
//! that subscription is pending, while an update of it has no answer, and while its SUBSCRIBE, sent before on another stream,
//! has not arrived.

use super::Session;
use super::error::{IllegalMove, RequestRefused, Violation};
use super::event::{Accepted, Event, FetchTarget, IncomingRequest, RequestKey};
use super::publication::Publication;
use super::request::{After, Exchange};
use super::subscription::{is_unsupported, local_error};
use super::token::AuthToken;
use super::update::held_size;
use crate::wire::control::{self, FetchKind, FetchOk};
use crate::wire::parameter::Scope;
use crate::wire::{FullTrackName, Location, Message, Parameters, Properties, RequestErrorCode, StreamCode};

/// Where a fetch stands.
#[derive(Debug)]
pub(super) enum Fetch {
    /// Ours, without answer. Where the range begins, if that is known here.
    Asked { start: Option<Location> },
    /// The peer's, joining a subscription that is not ready.
    Held(Box<Held>),
    /// The peer's, with the application.
    Offered,
    /// Accepted.
    Running,
}

/// A joining fetch that waits.
#[derive(Debug)]
pub(super) struct Held {
    id: u64,
    joining: Joining,
    parameters: Parameters,
    tokens: Vec<AuthToken>,
}

impl Held {
    /// About how many bytes it holds.
    pub(super) fn size(&self) -> usize {
        held_size(&self.parameters, &self.tokens)
    }
}

/// Which subscription a joining fetch joins, and from where.
#[derive(Clone, Copy, Debug)]
struct Joining {
    subscription: u64,
    start: JoiningStart,
}

#[derive(Clone, Copy, Debug)]
enum JoiningStart {
    GroupsBefore(u64),
    Group(u64),
}

/// What became of a joining fetch.
enum Resolved {
    Wait,
    Refused(RequestErrorCode, &'static str),
    Range {
        subscription: RequestKey,
        track: FullTrackName,
        start: Location,
        end: Location,
    },
}

impl Fetch {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Asked { .. } => "our FETCH without answer",
            Self::Held(_) => "a joining FETCH that waits for its subscription",
            Self::Offered => "a FETCH without answer",
            Self::Running => "a fetch under way",
        }
    }
}

/// Whether the range from `start` to `end`, in FETCH's encoding, holds no location.
const fn is_empty_range(start: Location, end: Location) -> bool {
    end.group < start.group || (end.group == start.group && end.object != 0 && end.object <= start.object)
}

// Our FETCH and our answers.
impl Session {
    /// Sends FETCH. Its objects come on a stream that names its [`request_id`](Self::request_id), perhaps before
    /// [`Event::Accepted`] or [`Event::Rejected`]. It is over with [`fetch_done`](Self::fetch_done).
    ///
    /// # Errors
    /// [`RequestRefused`] says why nothing was sent.
    pub fn fetch(
        &mut self,
        target: FetchTarget,
        parameters: Parameters,
    ) -> Result<RequestKey, RequestRefused> {
        let namespace = match &target {
            FetchTarget::Standalone { track, .. } => Some(track.namespace()),
            FetchTarget::RelativeJoining { .. } | FetchTarget::AbsoluteJoining { .. } => None,
        };
        self.check_may_ask(namespace)?;
        self.check_ours(&parameters, Scope::Fetch)
            .map_err(RequestRefused::Parameter)?;
        let (kind, start) = match target {
            FetchTarget::Standalone { track, start, end } => {
                (FetchKind::Standalone { track, start, end }, Some(start))
            }
            FetchTarget::RelativeJoining { subscription, groups } => {
                let subscription = self.joinable_id(subscription)?;
                (FetchKind::RelativeJoining { subscription, groups }, None)
            }
            FetchTarget::AbsoluteJoining { subscription, group } => {
                let subscription = self.joinable_id(subscription)?;
                (
                    FetchKind::AbsoluteJoining { subscription, group },
                    Some(Location::new(group, 0)),
                )
            }
        };
        self.open(Exchange::Fetch(Fetch::Asked { start }), false, |request_id| {
            Message::Fetch(control::Fetch {
                request_id,
                kind,
                parameters,
            })
        })
    }

    fn joinable_id(&self, key: RequestKey) -> Result<u64, RequestRefused> {
        match self.requests.get(&key) {
            Some(request) if matches!(request.exchange, Exchange::Subscription(_)) => {
                request.id.ok_or(RequestRefused::NotASubscription)
            }
            _ => Err(RequestRefused::NotASubscription),
        }
    }

    /// Accepts a FETCH of the peer. `end` is in the encoding of the request, clipped to the largest object plus one.
    ///
    /// # Errors
    /// [`IllegalMove`] says why nothing was sent.
    pub fn accept_fetch(
        &mut self,
        key: RequestKey,
        end_of_track: bool,
        end: Location,
        parameters: Parameters,
        properties: Properties,
    ) -> Result<(), IllegalMove> {
        let request = self.live(key)?;
        if !matches!(request.exchange, Exchange::Fetch(Fetch::Offered)) {
            return Err(request.illegal());
        }
        self.check_ours(&parameters, Scope::FetchOk)
            .map_err(IllegalMove::Parameter)?;
        self.send(
            key,
            &Message::FetchOk(FetchOk {
                end_of_track,
                end,
                parameters,
                properties,
            }),
        )?;
        if let Some(request) = self.requests.get_mut(&key) {
            request.exchange = Exchange::Fetch(Fetch::Running);
        }
        self.deliver_updates(key);
        Ok(())
    }

    /// The data stream of an accepted fetch ended, whoever asked: the fetch is over. Does nothing if it is already.
    pub fn fetch_done(&mut self, key: RequestKey) {
        if self
            .live(key)
            .is_ok_and(|request| matches!(request.exchange, Exchange::Fetch(Fetch::Running)))
        {
            self.over(key, After::Anything);
        }
    }
}

// What the peer sends.
impl Session {
    pub(super) fn fetch_ok_received(&mut self, key: RequestKey, ok: FetchOk) -> Result<(), Violation> {
        let Some(request) = self.requests.get_mut(&key) else {
            return Ok(());
        };
        let Exchange::Fetch(Fetch::Asked { start }) = request.exchange else {
            return Err(Violation::protocol("FETCH_OK that answers nothing"));
        };
        ok.parameters.check(Scope::FetchOk)?;
        let FetchOk {
            end_of_track,
            end,
            parameters,
            properties,
        } = ok;
        if start.is_some_and(|start| end < start && (end.group, end.object) != (start.group, 0)) {
            return Err(Violation::protocol("FETCH_OK ends before the start asked for"));
        }
        if is_unsupported(&properties)? {
            let error = local_error(
                RequestErrorCode::UNSUPPORTED_EXTENSION,
                "mandatory track property not understood",
            );
            self.events.push_back(Event::Rejected { key, error });
            self.abandon(key, StreamCode::CANCELLED);
            return Ok(());
        }
        request.exchange = Exchange::Fetch(Fetch::Running);
        let answer = Accepted::Fetch {
            end_of_track,
            end,
            parameters,
            properties,
        };
        self.events.push_back(Event::Accepted { key, answer });
        Ok(())
    }

    pub(super) fn fetch_received(
        &mut self,
        key: RequestKey,
        request: control::Fetch,
    ) -> Result<(), Violation> {
        let control::Fetch {
            request_id: id,
            kind,
            mut parameters,
        } = request;
        let namespace = match &kind {
            FetchKind::Standalone { track, .. } => Some(track.namespace()),
            FetchKind::RelativeJoining { .. } | FetchKind::AbsoluteJoining { .. } => None,
        };
        let Some(tokens) = self.admit(key, id, &mut parameters, Scope::Fetch, namespace)? else {
            return Ok(());
        };
        let joining = match kind {
            FetchKind::Standalone { start, end, .. } if is_empty_range(start, end) => {
                self.refuse(
                    key,
                    RequestErrorCode::INVALID_RANGE,
                    "the range ends before it begins",
                );
                return Ok(());
            }
            FetchKind::Standalone { track, start, end } => {
                let request = IncomingRequest::Fetch {
                    track,
                    start,
                    end,
                    joining: None,
                    parameters,
                };
                self.offer(key, Exchange::Fetch(Fetch::Offered), request, tokens);
                return Ok(());
            }
            FetchKind::RelativeJoining { subscription, groups } => Joining {
                subscription,
                start: JoiningStart::GroupsBefore(groups),
            },
            FetchKind::AbsoluteJoining { subscription, group } => Joining {
                subscription,
                start: JoiningStart::Group(group),
            },
        };
        let held = Held {
            id,
            joining,
            parameters,
            tokens,
        };
        if let Some(request) = self.requests.get_mut(&key) {
            request.exchange = Exchange::Fetch(Fetch::Held(Box::new(held)));
            // Resolved with the others, once this message is done.
            self.held_fetches.insert(key);
        }
        Ok(())
    }

    /// Looks again at joining fetches that wait; to be called whenever a request appears, changes or ends.
    pub(super) fn wake_fetches(&mut self) {
        if self.held_fetches.is_empty() {
            return;
        }
        for key in self.held_fetches.clone() {
            let state = self.requests.get(&key).map(|request| &request.exchange);
            let Some(Exchange::Fetch(Fetch::Held(held))) = state else {
                continue;
            };
            match self.resolve(held.id, held.joining) {
                Resolved::Wait => {}
                Resolved::Refused(code, reason) => {
                    self.held_fetches.remove(&key);
                    self.refuse(key, code, reason);
                }
                Resolved::Range {
                    subscription,
                    track,
                    start,
                    end,
                } => {
                    self.held_fetches.remove(&key);
                    self.offer_held(key, subscription, track, start, end);
                }
            }
        }
    }

    fn offer_held(
        &mut self,
        key: RequestKey,
        subscription: RequestKey,
        track: FullTrackName,
        start: Location,
        end: Location,
    ) {
        let Some(request) = self.requests.get_mut(&key) else {
            return;
        };
        let offered = Exchange::Fetch(Fetch::Offered);
        if let Exchange::Fetch(Fetch::Held(held)) = std::mem::replace(&mut request.exchange, offered) {
            let Held {
                parameters, tokens, ..
            } = *held;
            let joining = Some(subscription);
            let request = IncomingRequest::Fetch {
                track,
                start,
                end,
                joining,
                parameters,
            };
            self.events.push_back(Event::Request { key, request, tokens });
        }
        self.count_held(key);
    }

    fn resolve(&self, fetch_id: u64, joining: Joining) -> Resolved {
        let unknown = Resolved::Refused(
            RequestErrorCode::INVALID_JOINING_REQUEST_ID,
            "no such subscription in this session",
        );
        let Joining {
            subscription: id,
            start,
        } = joining;
        let Some(&subscription) = self.by_id.get(&id) else {
            // A SUBSCRIBE that was sent before this FETCH can arrive after it: streams are not ordered.
            let under_way = self.config.side.peer().owns(id) && id < fetch_id && !self.seen_ids.contains(id);
            return if under_way { Resolved::Wait } else { unknown };
        };
        let Some(request) = self.requests.get(&subscription) else {
            return unknown;
        };
        match &request.exchange {
            // PUBLISH_OK can lose the race against a FETCH that follows it.
            Exchange::Publication(Publication::Requested { .. } | Publication::Offered { .. }) => {
                Resolved::Wait
            }
            // draft §10.12.2: pending updates first.
            Exchange::Publication(Publication::Established { .. }) if !request.updates.is_empty() => {
                Resolved::Wait
            }
            Exchange::Publication(Publication::Established { forward: false, .. }) => Resolved::Refused(
                RequestErrorCode::INVALID_RANGE,
                "the subscription does not forward",
            ),
            Exchange::Publication(Publication::Established { joining: None, .. }) => {
                Resolved::Refused(RequestErrorCode::INVALID_RANGE, "nothing was published")
            }
            Exchange::Publication(Publication::Established {
                subject,
                joining: Some(at),
                ..
            }) => {
                let group = match start {
                    JoiningStart::GroupsBefore(groups) => at.group.saturating_sub(groups),
                    JoiningStart::Group(group) => group,
                };
                if group > at.group {
                    return Resolved::Refused(
                        RequestErrorCode::INVALID_RANGE,
                        "starts after the joining location",
                    );
                }
                // Object 0 stands for the whole group, which is right for the largest Object ID, too.
                let end = Location::new(at.group, at.object.wrapping_add(1));
                Resolved::Range {
                    subscription,
                    track: subject.track.clone(),
                    start: Location::new(group, 0),
                    end,
                }
            }
            _ => unknown,
        }
    }
}
