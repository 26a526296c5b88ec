//! Joining FETCH: what precedes a subscription of the same session, once that is established.

use headwater_pubsub::wire::{Parameters, RequestErrorCode};

use super::{FetchState, Hub};
use crate::hub::input::{JoiningStart, RequestRef, TrackId};
use crate::hub::output::ServedRange;
use crate::hub::refusals::{Refusal, error};
use crate::hub::tracks::ListenerState;

impl Hub {
    pub(super) fn fetch_joining(
        &mut self,
        request: RequestRef,
        subscription: Option<RequestRef>,
        start: JoiningStart,
        parameters: Parameters,
    ) -> Result<(), Refusal> {
        let found = subscription
            .filter(|subscription| subscription.session() == request.session())
            .and_then(|subscription| Some((subscription, self.listens_to(subscription)?)));
        let Some((subscription, id)) = found else {
            return Err(no_such_subscription());
        };
        let Some(listener) = self
            .tracks
            .get(id)
            .and_then(|track| track.listeners.get(&subscription))
        else {
            return Err(no_such_subscription());
        };
        // A PUBLISH_OK may be overtaken by the FETCH that joins it.
        let offered = matches!(listener.state, ListenerState::Offered { .. });
        if !listener.forward && !offered {
            return Err(not_forwarding());
        }
        let ready = matches!(listener.state, ListenerState::Served) && listener.held.is_empty();
        let budget = self.budget(&parameters);
        if ready {
            self.hold_fetch(request, Some(id), FetchState::Served, budget);
            self.serve_fetch(request, ServedRange::Joining { subscription, start }, parameters);
        } else {
            self.joining.entry(subscription).or_default().insert(request);
            self.hold_fetch(
                request,
                None,
                FetchState::Joining {
                    subscription,
                    start,
                    parameters,
                },
                budget,
            );
        }
        Ok(())
    }

    /// A subscription is established: the fetches that join it can be served.
    pub(in crate::hub) fn serve_joining(&mut self, id: TrackId, subscription: RequestRef) {
        let listener = self
            .tracks
            .get(id)
            .and_then(|track| track.listeners.get(&subscription));
        let forward = listener.is_some_and(|listener| listener.forward);
        for request in self.joining.remove(&subscription).unwrap_or_default() {
            if !forward {
                self.refuse_fetch(request, not_forwarding());
                continue;
            }
            let Some(fetch) = self.fetch_mut(request) else {
                continue;
            };
            fetch.track = Some(id);
            if let FetchState::Joining {
                subscription,
                start,
                parameters,
            } = std::mem::replace(&mut fetch.state, FetchState::Served)
            {
                self.attach_fetch(id, request);
                self.serve_fetch(request, ServedRange::Joining { subscription, start }, parameters);
            }
        }
    }

    /// A subscription is over: nothing can join it.
    pub(in crate::hub) fn refuse_joining(&mut self, subscription: RequestRef) {
        for request in self.joining.remove(&subscription).unwrap_or_default() {
            self.refuse_fetch(request, no_such_subscription());
        }
    }
}

const fn no_such_subscription() -> Refusal {
    error(
        RequestErrorCode::INVALID_JOINING_REQUEST_ID,
        "no such subscription is established",
    )
}

const fn not_forwarding() -> Refusal {
    error(
        RequestErrorCode::INVALID_RANGE,
        "the subscription to join does not forward objects",
    )
}
