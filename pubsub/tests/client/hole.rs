//! Holes of a fetch, as a relay's handler is told of them and answers.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use headwater_pubsub::{
    fanout::{Fetch, FetchOptions},
    net::{DataEvent, FetchEnd, FetchOptions as ReadOptions, Handler, SessionHandle},
    session::{Event, IncomingRequest, RequestKey},
    track::{Authority, Cache, CacheLimits, Source, Track},
    wire::{GroupOrder, Location, Properties, data::FetchObject},
};

use crate::harness::{brief, handled, name};

const LAST: Location = Location::new(0, 3);

/// Serves fetches from a track and notes the holes.
struct Relay {
    source: Source,
    holes: Mutex<Vec<(RequestKey, Location, Location)>>,
}

impl Relay {
    /// A relay whose upstream has told of objects up to [`LAST`] and sent none.
    fn new() -> Arc<Self> {
        let cache = Cache::new(CacheLimits::default());
        let track = Track::new(name("video"), Authority::Relay, &cache);
        track.claim_largest(LAST);
        Arc::new(Self {
            source: track.source(),
            holes: Mutex::default(),
        })
    }

    fn track(&self) -> &Arc<Track> {
        self.source.track()
    }

    fn holes(&self) -> Vec<(RequestKey, Location, Location)> {
        self.holes.lock().expect("no panic").clone()
    }
}

impl Handler for Relay {
    fn event(&self, session: &SessionHandle, event: Event) {
        if let Event::Request {
            key,
            request: IncomingRequest::Fetch { start, end, .. },
            ..
        } = event
        {
            let request_id = session.act(|session, _| session.request_id(key)).expect("live");
            let options = FetchOptions {
                start,
                end,
                order: GroupOrder::Ascending,
                priority: 128,
            };
            session
                .send_fetch(key, |now, waker| {
                    Fetch::new(self.track(), now, options, waker, request_id)
                })
                .expect("a range of the track");
        }
    }

    fn data(&self, _session: &SessionHandle, event: DataEvent) {
        if let DataEvent::FetchHole { key, start, end } = event {
            self.holes.lock().expect("no panic").push((key, start, end));
        }
    }
}

fn payload(object: u64) -> Bytes {
    Bytes::from(format!("object {object}"))
}

#[test]
fn a_hole_that_fills_bit_by_bit_is_told_once() {
    handled(
        || {
            let relay = Relay::new();
            (relay.clone(), relay)
        },
        async |near, relay| {
            let mut past = near
                .client
                .fetch(
                    name("video"),
                    Location::new(0, 0),
                    FetchEnd::Object(LAST),
                    ReadOptions::default(),
                )
                .await
                .expect("served");
            let mut fill = relay
                .track()
                .fill(Location::new(0, 0), LAST, GroupOrder::Ascending);
            for object in 0..=LAST.object {
                let payload = payload(object);
                let head = FetchObject {
                    location: Location::new(0, object),
                    subgroup: Some(0),
                    priority: 128,
                    properties: Properties::default(),
                    payload_len: payload.len() as u64,
                };
                let now = near.clock.now();
                fill.object(now, &head).expect("new");
                fill.payload(now, payload).expect("announced");
                let read = past.next().await.expect("not cut").expect("one more");
                assert_eq!(brief(&read).1, object);
            }
            let holes = relay.holes();
            let [(key, start, end)] = holes[..] else {
                panic!("one hole, not {holes:?}");
            };
            assert_eq!((start, end), (Location::new(0, 0), LAST));
            near.far.fetch_again(key);
            assert_eq!(past.next().await, Ok(None));
        },
    );
}
