//! Events of the session to those who wait for them. Runs in the driver; nothing here waits.

use super::{Goaway, RequestEnd, request::RequestFailed, state::Inner};
use crate::{
    net::{DataEvent, Handler, SessionEnd, SessionHandle, discovery::Offered},
    session::{Accepted, Event, RequestKey},
    wire::{PublishDoneCode, StreamCode},
};

impl Handler for Inner {
    fn event(&self, session: &SessionHandle, event: Event) {
        match event {
            Event::Established(setup) => {
                self.setup.send_replace(Some(setup));
            }
            Event::Request { key, request, .. } => self.requested(session, key, request),
            Event::Updated { key, parameters, .. } => self.updated(session, key, &parameters),
            Event::Cancelled { key, code } => self.cancelled(session, key, code),
            Event::Accepted { key, answer } => {
                match &answer {
                    Accepted::Publish { parameters } => self.publish_accepted(session, key, parameters),
                    Accepted::Fetch {
                        end, end_of_track, ..
                    } => session.fetch_accepted(key, *end, *end_of_track),
                    _ => {}
                }
                self.answer(key, Ok(answer));
            }
            Event::Rejected { key, error } => {
                let offer = self.serving(key);
                let code = error.code;
                self.failed(session, key, RequestFailed::Refused(Box::new(error)));
                if let Some(offer) = offer {
                    self.offer_refused(session, &offer, code);
                }
            }
            Event::UpdateAnswered { key, result } => self.answer_update(
                key,
                result.map_err(|error| RequestFailed::Refused(Box::new(error))),
            ),
            // If we are the publisher, the end is ours to say; otherwise the publisher's PUBLISH_DONE follows.
            Event::NotExtended { key, error } => {
                tracing::info!(
                    ?key,
                    reason = error.reason,
                    "the peer does not extend a subscription"
                );
                if self.state().serving.contains_key(&key) {
                    session.end_subscription(key, PublishDoneCode::UPDATE_FAILED, "it was not extended");
                }
            }
            Event::UpdateFailed { key } => {
                session.end_subscription(key, PublishDoneCode::UPDATE_FAILED, "an update broke a rule");
            }
            Event::PublishDone { key, done } => {
                let feed = self.state().feeds.get(&key).cloned();
                session.receive_rest(key, done.stream_count);
                if let Some(feed) = feed {
                    feed.publish_done(done);
                }
            }
            Event::Namespace { key, namespace } => {
                let set = self.state().namespaces.get(&key).cloned();
                if let Some(set) = set {
                    set.add(namespace);
                }
            }
            Event::NamespaceDone { key, namespace } => {
                let set = self.state().namespaces.get(&key).cloned();
                if let Some(set) = set {
                    set.remove(&namespace);
                }
            }
            Event::PublishBlocked { key, track } => {
                let offers = self
                    .state()
                    .offers
                    .iter()
                    .find(|offers| offers.key() == Some(key))
                    .cloned();
                // Without room the track goes unmentioned, as it would without this message.
                let _noted = offers.is_some_and(|offers| offers.push(Offered::Blocked(track)));
            }
            Event::Goaway { uri, timeout, .. } => {
                self.goaway.send_replace(Some(Goaway { uri, timeout }));
            }
            Event::Ended { key, code } => self.ended_by_peer(session, key, code),
            Event::OpenRefused { key } => self.open_refused(session, key),
            Event::RequestGoaway { key, uri, timeout } => {
                self.sent_elsewhere(session, key, Goaway { uri, timeout })
            }
            Event::Closed { code, reason } => self.finish(&SessionEnd::Closed { code, reason }),
        }
    }

    fn data(&self, session: &SessionHandle, event: DataEvent) {
        match event {
            // Of use to relays, which answer for how long a join takes.
            DataEvent::FirstObject { .. } => {}
            DataEvent::SubscriptionEnded { key, .. } => {
                let serving = self.state().serving.remove(&key);
                self.end_request(key, RequestEnd::Finished);
                if let Some(serving) = serving {
                    self.offer_ended(session, &serving);
                }
            }
            DataEvent::FetchHole { key, start, end } => session.fetch_unknown(key, start, end),
            DataEvent::FetchEnded { key } => {
                self.state().serving.remove(&key);
                session.act(|session, _| session.fetch_done(key));
            }
            DataEvent::Malformed { key, reason } => {
                tracing::warn!(?key, reason, "malformed track");
                session.act(|session, _| session.cancel(key, StreamCode::MALFORMED_TRACK));
                self.end_feed(key);
            }
            DataEvent::ReceptionEnded { key } => self.end_feed(key),
            // A subscriber reads objects, however they travelled.
            DataEvent::StreamEnded { .. } => {}
            DataEvent::FillEnded { key, complete } => {
                let feed = self.state().feeds.get(&key).cloned();
                if let Some(feed) = feed {
                    feed.filled(complete);
                }
            }
        }
    }

    fn ended(&self, _session: &SessionHandle, end: &SessionEnd) {
        self.finish(end);
    }
}

impl Inner {
    /// A request of ours failed before it was accepted.
    pub(super) fn failed(&self, session: &SessionHandle, key: RequestKey, failed: RequestFailed) {
        self.state().serving.remove(&key);
        session.receive_no_more(key);
        self.answer(key, Err(failed));
        self.end_feed(key);
        self.end_request(key, RequestEnd::Peer(None));
    }

    /// The peer ended a request of ours.
    fn ended_by_peer(&self, session: &SessionHandle, key: RequestKey, code: Option<StreamCode>) {
        let serving = self.state().serving.remove(&key);
        if serving.is_some() {
            session.stop_sending(key, StreamCode::CANCELLED);
        }
        let elsewhere = self.goaway_watch(key).get();
        let failed = elsewhere.map_or(RequestFailed::Ended(code), RequestFailed::Elsewhere);
        self.answer(key, Err(failed));
        self.end_feed(key);
        let set = {
            let mut state = self.state();
            // Their senders go, which those who wait hear as the end.
            state.updates.remove(&key);
            state.namespaces.remove(&key)
        };
        if let Some(set) = set {
            set.close();
        }
        let offers = self
            .state()
            .offers
            .iter()
            .find(|offers| offers.key() == Some(key))
            .cloned();
        if let Some(offers) = offers {
            offers.close();
        }
        self.end_request(key, RequestEnd::Peer(code));
        if let Some(serving) = serving {
            self.offer_ended(session, &serving);
        }
    }

    /// A subscription or fetch of ours gives no more than what is queued.
    fn end_feed(&self, key: RequestKey) {
        let feed = self.state().feeds.get(&key).cloned();
        if let Some(feed) = feed {
            feed.end();
        }
    }

    pub(super) fn end_request(&self, key: RequestKey, end: RequestEnd) {
        let ending = self.state().endings.remove(&key);
        if let Some(ending) = ending {
            ending.send_replace(Some(end));
        }
    }
}
