//! Random operations, legal or not, on both ends of a connection that reorders streams: nothing panics, nothing comes after a
//! close, an honest pair never closes, and nothing grows.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::harness::{Pair, Solo, namespace, refusal, track, transmits};
use crate::session::{Event, FetchTarget, IncomingRequest, RequestKey, Session, Side, Time, Transmit};
use crate::wire::control::PublishDone;
use crate::wire::{
    Location, Parameters, Properties, PublishDoneCode, RequestErrorCode, SessionCode, StreamCode,
};

/// One call of an application; `pick` chooses a request that it knows.
#[derive(Clone, Copy, Debug)]
struct Step {
    end: usize,
    call: u8,
    pick: usize,
    name: usize,
}

/// What the application at one end remembers.
#[derive(Default)]
struct Application {
    keys: Vec<RequestKey>,
    /// Requests of the peer without answer.
    asked: Vec<(RequestKey, IncomingRequest)>,
}

impl Application {
    /// Takes events; keeps keys and requests that wait for an answer.
    fn learn(&mut self, session: &mut Session) {
        while let Some(event) = session.poll_event() {
            if let Event::Request { key, request, .. } = event {
                self.keys.push(key);
                self.asked.push((key, request));
            }
        }
    }
}

const NAMES: [&str; 4] = ["a/x", "a/b/x", "c/x", ".other/x"];

fn none() -> Parameters {
    Parameters::default()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step =
        (0..2usize, 0..26u8, any::<usize>(), 0..NAMES.len()).prop_map(|(end, call, pick, name)| Step {
            end,
            call,
            pick,
            name,
        });
    proptest::collection::vec(step, 0..120)
}

/// What an application would do with a request of the peer.
fn accept(session: &mut Session, key: RequestKey, request: &IncomingRequest) {
    let largest = Parameters {
        largest_object: Some(Location::new(5, 5)),
        ..none()
    };
    let accepted = match request {
        IncomingRequest::Subscribe { .. } => session
            .accept_subscribe(key, largest, Properties::default())
            .map(drop),
        IncomingRequest::Publish { .. } => session.accept_publish(key, none()),
        IncomingRequest::Fetch { end, .. } => {
            session.accept_fetch(key, false, *end, none(), Properties::default())
        }
        IncomingRequest::TrackStatus { .. } => {
            session.accept_track_status(key, none(), Properties::default())
        }
        IncomingRequest::PublishNamespace { .. }
        | IncomingRequest::SubscribeNamespace { .. }
        | IncomingRequest::SubscribeTracks { .. } => session.accept_namespace_request(key),
    };
    // The request may have ended while it waited, which is an error of the call and nothing else.
    drop(accepted);
}

/// Makes a call; what it refuses is of no interest here.
fn act(session: &mut Session, step: Step, application: &mut Application) {
    let Application { keys, asked } = application;
    let key = keys.get(step.pick % keys.len().max(1)).copied();
    let full = track(NAMES[step.name]);
    let space = full.namespace().clone();
    let done = PublishDone {
        code: PublishDoneCode::TRACK_ENDED,
        stream_count: Some(1),
        reason: String::new(),
    };
    match (step.call, key) {
        (0, _) => drop(session.subscribe(full, none())),
        (1, _) => drop(session.publish(full, none(), Properties::default(), step.pick.is_multiple_of(2))),
        (2, _) => {
            let (start, end) = (Location::new(0, 0), Location::new(9, 0));
            drop(session.fetch(
                FetchTarget::Standalone {
                    track: full,
                    start,
                    end,
                },
                none(),
            ));
        }
        (3, Some(subscription)) => {
            drop(session.fetch(
                FetchTarget::RelativeJoining {
                    subscription,
                    groups: 2,
                },
                none(),
            ));
        }
        (4, _) => drop(session.track_status(full, none())),
        (5, _) => drop(session.publish_namespace(space, none())),
        (6, _) => drop(session.subscribe_namespace(space, none())),
        (7, _) => drop(session.subscribe_tracks(space, none())),
        (8, Some(key)) => drop(session.update(key, none())),
        (9, Some(key)) => drop(session.update(
            key,
            Parameters {
                forward: Some(step.pick.is_multiple_of(2)),
                ..none()
            },
        )),
        (10, Some(key)) => drop(session.update(
            key,
            Parameters {
                track_namespace_prefix: Some(space),
                ..none()
            },
        )),
        (11, Some(key)) => session.cancel(key, StreamCode::CANCELLED),
        (12, Some(key)) => drop(session.reject(key, refusal(RequestErrorCode::UNINTERESTED))),
        (13, Some(key)) => drop(session.publish_done(key, done)),
        (14, Some(key)) => drop(session.namespace(key, &space)),
        (15, Some(key)) => drop(session.namespace_done(key, &space)),
        (16, Some(key)) => drop(session.publish_blocked(key, &full)),
        (17, Some(key)) => drop(session.answer_update(key, Ok(none()))),
        (18, Some(key)) => drop(session.answer_update(key, Err(refusal(RequestErrorCode::TIMEOUT)))),
        (19, Some(key)) => session.fetch_done(key),
        (20, Some(key)) if step.pick.is_multiple_of(8) => {
            drop(session.request_goaway(Time::ZERO, key, Bytes::new(), Duration::from_secs(1)));
        }
        (21, _) if step.pick.is_multiple_of(16) => {
            drop(session.goaway(Time::ZERO, Bytes::new(), Duration::ZERO))
        }
        _ if !asked.is_empty() => {
            let (key, request) = asked.remove(step.pick % asked.len());
            accept(session, key, &request);
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn an_honest_pair_never_closes_whatever_its_applications_do(steps in steps(), seed: u64) {
        let mut pair = Pair::established();
        pair.shuffle(seed);
        let mut applications: [Application; 2] = Default::default();
        for step in steps {
            let application = &mut applications[step.end];
            application.keys.extend(pair.ends[step.end].newest_key());
            act(&mut pair.ends[step.end], step, application);
            pair.run_some(step.pick % 12);
            for (application, end) in applications.iter_mut().zip(&mut pair.ends) {
                application.learn(end);
            }
        }
        pair.run();
        prop_assert_eq!(&pair.closes, &[vec![], vec![]]);
        // Everything can be ended, and then nothing is left.
        for end in &mut pair.ends {
            let newest = end.newest_key().map_or(0, |key| key.0);
            for key in 0..=newest {
                end.cancel(RequestKey(key), StreamCode::CANCELLED);
            }
        }
        pair.run();
        for end in &pair.ends {
            prop_assert_eq!(end.open_requests(), 0);
            prop_assert_eq!(end.residue(), 0);
        }
    }

    #[test]
    fn arbitrary_bytes_close_at_most_once_and_never_panic(
        inputs in proptest::collection::vec((0..6usize, proptest::collection::vec(any::<u8>(), 0..40), any::<bool>()), 0..60),
        starts in proptest::collection::vec(0..8usize, 6),
    ) {
        // First bytes of real messages, so that the inputs reach further than the message type.
        const FIRST: [&[u8]; 8] = [
            &[0x03, 0, 8, 0, 1, 1, b'a', 1, b'x', 0],
            &[0x1D, 0, 9, 2, 1, 1, b'a', 1, b'x', 7, 0],
            &[0x16, 0, 5, 4, 2, 0, 1, 0],
            &[0x50, 0, 4, 6, 1, 1, b'a', 0],
            &[0x51, 0, 3, 8, 0, 0],
            &[0x06, 0, 4, 10, 1, 1, b'b', 0],
            &[0x02],
            &[],
        ];
        let mut solo = Solo::new(Side::Server);
        let ours = solo.session.subscribe(track("a/x"), none()).unwrap();
        let watched = solo.session.subscribe_namespace(namespace("a"), none()).unwrap();
        let mut keys = vec![ours, watched];
        for start in starts {
            let key = solo.session.accept();
            solo.session.recv(Time::ZERO, key, Bytes::from_static(FIRST[start]));
            keys.push(key);
        }
        let mut closes = Vec::new();
        for (stream, bytes, ends) in inputs {
            let key = keys[stream];
            solo.session.recv(Time::ZERO, key, Bytes::from(bytes));
            if ends {
                solo.session.recv_fin(Time::ZERO, key);
            }
            for transmit in transmits(&mut solo.session) {
                prop_assert!(closes.is_empty(), "after the close: {transmit:?}");
                if let Transmit::Close { code, .. } = transmit {
                    closes.push(code);
                }
            }
            for event in solo.events() {
                if let Event::Request { key, request, .. } = event {
                    accept(&mut solo.session, key, &request);
                }
            }
        }
        prop_assert!(closes.len() <= 1);
        prop_assert!(!closes.contains(&SessionCode::INTERNAL_ERROR));
    }
}
