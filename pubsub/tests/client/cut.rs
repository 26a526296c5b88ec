//! Fetches that the peer cuts: the rest is asked for again, no object is lost or comes twice.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use headwater_pubsub::{
    fanout::{Fetch, FetchOptions},
    net::{
        DataEvent, FetchCut, FetchEnd, FetchOptions as ReadOptions, Handler, Past, SessionHandle,
        SubscribeOptions,
    },
    session::{Event, IncomingRequest, RequestKey},
    track::{Authority, Cache, CacheLimits, Source, Track},
    wire::{GroupOrder, Location, Parameters, Properties, StreamCode, data::FetchObject},
};
use tokio::sync::mpsc;

use crate::harness::{Near, brief, handled, name};

const FIRST: Location = Location::new(0, 0);
const LAST: Location = Location::new(0, 3);

/// Serves fetches from a track whose objects the test puts in, and tells of the holes they meet.
struct Relay {
    source: Source,
    asked: Mutex<Vec<(Location, Location)>>,
    holes: mpsc::Sender<RequestKey>,
}

/// What a test keeps of it.
struct Kept {
    relay: Arc<Relay>,
    holes: mpsc::Receiver<RequestKey>,
}

fn relay() -> (Arc<Relay>, Kept) {
    let cache = Cache::new(CacheLimits::default());
    let track = Track::new(name("video"), Authority::Relay, &cache);
    track.claim_largest(LAST);
    let (sender, holes) = mpsc::channel(16);
    let relay = Arc::new(Relay {
        source: track.source(),
        asked: Mutex::default(),
        holes: sender,
    });
    (relay.clone(), Kept { relay, holes })
}

impl Relay {
    fn asked(&self) -> Vec<(Location, Location)> {
        self.asked.lock().expect("no panic").clone()
    }

    /// Objects that the relay has from now on.
    fn fill(&self, near: &Near, objects: std::ops::RangeInclusive<u64>) {
        let at = |object| Location::new(0, object);
        let (first, last) = (at(*objects.start()), at(*objects.end()));
        let mut fill = self.source.track().fill(first, last, GroupOrder::Ascending);
        let now = near.clock.now();
        for object in objects {
            let head = FetchObject {
                location: at(object),
                subgroup: Some(0),
                priority: 128,
                properties: Properties::default(),
                payload_len: 1,
            };
            fill.object(now, &head).expect("new");
            fill.payload(now, Bytes::from_static(b"x")).expect("announced");
        }
        fill.fin(now, Location::new(last.group, last.object + 1), false);
    }
}

impl Handler for Relay {
    fn event(&self, session: &SessionHandle, event: Event) {
        let Event::Request { key, request, .. } = event else {
            return;
        };
        match request {
            IncomingRequest::Subscribe { .. } => {
                let parameters = Parameters {
                    largest_object: Some(LAST),
                    ..Parameters::default()
                };
                session
                    .act(|session, _| session.accept_subscribe(key, parameters, Properties::empty()))
                    .expect("an open request");
            }
            IncomingRequest::Fetch { start, end, .. } => {
                self.asked.lock().expect("no panic").push((start, end));
                let request_id = session.act(|session, _| session.request_id(key)).expect("live");
                let options = FetchOptions {
                    start,
                    end,
                    order: GroupOrder::Ascending,
                    priority: 128,
                };
                session
                    .send_fetch(key, |now, waker| {
                        Fetch::new(self.source.track(), now, options, waker, request_id)
                    })
                    .expect("a range of the track");
            }
            _ => {}
        }
    }

    fn data(&self, _session: &SessionHandle, event: DataEvent) {
        if let DataEvent::FetchHole { key, .. } = event {
            self.holes.try_send(key).expect("room for every hole");
        }
    }
}

/// Resets a fetch as a relay does that lost its own upstream.
fn cut(near: &Near, key: RequestKey) {
    let code = StreamCode::INTERNAL_ERROR;
    near.far.stop_sending(key, code);
    near.far.act(|session, _| session.revoke(key, code));
}

#[test]
fn what_a_cut_fetch_left_is_asked_for_and_nothing_else() {
    handled(relay, async |near, Kept { relay, mut holes }| {
        relay.fill(&near, 0..=1);
        let last = FetchEnd::Object(LAST);
        let mut past = near
            .client
            .fetch(name("video"), FIRST, last, ReadOptions::default())
            .await
            .expect("served");
        for object in 0..=1 {
            let read = past.next().await.expect("not cut").expect("one more");
            assert_eq!(brief(&read).1, object);
        }
        let key = holes.recv().await.expect("a hole");
        relay.fill(&near, 2..=3);
        cut(&near, key);
        for object in 2..=3 {
            let read = past.next().await.expect("asked again").expect("one more");
            assert_eq!(brief(&read).1, object);
        }
        assert_eq!(past.next().await, Ok(None));
        let end = Location::new(0, 4);
        assert_eq!(relay.asked(), [(FIRST, end), (Location::new(0, 2), end)]);
    });
}

#[test]
fn a_fetch_that_is_always_cut_is_given_up() {
    handled(relay, async |near, Kept { relay, mut holes }| {
        let options = ReadOptions {
            again: 2,
            ..ReadOptions::default()
        };
        let last = FetchEnd::Object(LAST);
        let mut past = near
            .client
            .fetch(name("video"), FIRST, last, options)
            .await
            .expect("served");
        let cutting = async {
            loop {
                let key = holes.recv().await.expect("a hole");
                cut(&near, key);
            }
        };
        tokio::select! {
            read = past.next() => assert_eq!(read, Err(FetchCut)),
            () = cutting => {}
        }
        assert_eq!(past.next().await, Err(FetchCut), "and it stays so");
        assert_eq!(relay.asked().len(), 3);
    });
}

#[test]
fn a_cut_in_descending_order_is_told() {
    handled(relay, async |near, Kept { relay, mut holes }| {
        let options = ReadOptions {
            group_order: Some(GroupOrder::Descending),
            ..ReadOptions::default()
        };
        let last = FetchEnd::Object(LAST);
        let mut past = near
            .client
            .fetch(name("video"), FIRST, last, options)
            .await
            .expect("served");
        cut(&near, holes.recv().await.expect("a hole"));
        assert_eq!(past.next().await, Err(FetchCut));
        assert_eq!(relay.asked().len(), 1);
    });
}

#[test]
fn a_joined_past_that_was_cut_becomes_whole() {
    handled(relay, async |near, Kept { relay, mut holes }| {
        relay.fill(&near, 0..=0);
        let joined = near.client.join(name("video"), 0, SubscribeOptions::default());
        let mut subscriber = joined.await.expect("served");
        assert_eq!(brief(&subscriber.next().await.expect("the first")).1, 0);
        let key = holes.recv().await.expect("a hole");
        relay.fill(&near, 1..=3);
        cut(&near, key);
        for object in 1..=3 {
            assert_eq!(brief(&subscriber.next().await.expect("the rest")).1, object);
        }
        near.far.close(headwater_pubsub::wire::SessionCode::NO_ERROR, "");
        assert_eq!(subscriber.next().await, None);
        assert_eq!(subscriber.past(), Past::Whole);
    });
}

#[test]
fn a_session_that_ends_cuts_its_fetches_at_once() {
    handled(relay, async |near, Kept { relay, mut holes }| {
        let last = FetchEnd::Object(LAST);
        let mut past = near
            .client
            .fetch(name("video"), FIRST, last, ReadOptions::default())
            .await
            .expect("served");
        holes.recv().await.expect("a hole");
        near.far.close(headwater_pubsub::wire::SessionCode::NO_ERROR, "");
        assert_eq!(past.next().await, Err(FetchCut));
        assert_eq!(relay.asked().len(), 1);
    });
}
