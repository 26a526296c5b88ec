//! Stories and properties of the hub.

mod discovery;
mod far;
mod fetch;
mod mesh;
mod moved;
mod properties;
mod publish;
mod subscribe;

use std::time::Duration;

use bytes::Bytes;
use headwater_pubsub::wire::control::{PublishDone, RequestError};
use headwater_pubsub::wire::{
    FullTrackName, Parameters, PublishDoneCode, RequestErrorCode, TrackName, TrackNamespace,
};

use super::*;

/// A hub under a clock that the test moves.
struct World {
    hub: Hub,
    now: Duration,
}

impl World {
    fn new() -> Self {
        Self::with(HubConfig {
            pause_publications: true,
            ..HubConfig::default()
        })
    }

    fn with(config: HubConfig) -> Self {
        Self {
            hub: Hub::new(config),
            now: Duration::ZERO,
        }
    }

    /// Feeds an input; gives everything that follows.
    fn feed(&mut self, input: Input) -> Vec<Output> {
        self.hub.handle(self.now, input);
        std::iter::from_fn(|| self.hub.poll()).collect()
    }

    /// Lets time pass, waking the hub when it asks for it.
    fn pass(&mut self, time: Duration) -> Vec<Output> {
        let until = self.now + time;
        let mut outputs = Vec::new();
        while let Some(at) = self.hub.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            outputs.extend(self.feed(Input::Tick));
        }
        self.now = until;
        outputs.extend(self.feed(Input::Tick));
        outputs
    }

    fn up(&mut self, session: u64, identity: &'static str) {
        let identity = Identity(Bytes::from_static(identity.as_bytes()));
        let session = SessionId(session);
        assert_eq!(
            self.feed(Input::SessionUp {
                session,
                identity,
                rights: Rights::Publish
            }),
            []
        );
    }

    fn down(&mut self, session: u64) -> Vec<Output> {
        self.feed(Input::SessionDown {
            session: SessionId(session),
        })
    }

    fn subscribe(&mut self, session: u64, key: u64, track: &FullTrackName) -> Vec<Output> {
        self.subscribe_with(session, key, track, Parameters::default())
    }

    fn subscribe_with(
        &mut self,
        session: u64,
        key: u64,
        track: &FullTrackName,
        parameters: Parameters,
    ) -> Vec<Output> {
        let (session, key, track) = (SessionId(session), RequestKey(key), track.clone());
        self.feed(Input::Subscribe {
            session,
            key,
            track,
            origin: None,
            parameters,
        })
    }

    fn publish(&mut self, session: u64, key: u64, track: &FullTrackName) -> Vec<Output> {
        let (session, key, track) = (SessionId(session), RequestKey(key), track.clone());
        self.feed(Input::Publish {
            session,
            key,
            track,
            dynamic_groups: false,
        })
    }

    fn announce(&mut self, session: u64, key: u64, namespace: &str) -> Vec<Output> {
        let (session, key, namespace) = (SessionId(session), RequestKey(key), ns(namespace));
        self.feed(Input::PublishNamespace {
            session,
            key,
            namespace,
        })
    }

    fn accept(&mut self, tag: Tag) -> Vec<Output> {
        self.feed(Input::Accepted {
            tag,
            answer: Answer::Subscribe {
                dynamic_groups: false,
            },
        })
    }

    fn refuse(&mut self, tag: Tag, code: RequestErrorCode) -> Vec<Output> {
        let error = RequestError {
            code,
            retry_after_ms: None,
            reason: String::new(),
            redirect: None,
        };
        self.feed(Input::Rejected { tag, error })
    }

    fn finish(&mut self, request: RequestRef) -> Vec<Output> {
        self.finish_with(request, PublishDoneCode::TRACK_ENDED)
    }

    fn finish_with(&mut self, request: RequestRef, code: PublishDoneCode) -> Vec<Output> {
        let done = PublishDone {
            code,
            stream_count: None,
            reason: "bye".to_owned(),
        };
        self.feed(Input::Done { request, done })
    }

    fn update(&mut self, request: RequestRef, parameters: Parameters) -> Vec<Output> {
        self.feed(Input::Updated { request, parameters })
    }

    fn cancel(&mut self, request: RequestRef) -> Vec<Output> {
        self.feed(Input::Cancelled { request })
    }

    fn answer_update(&mut self, request: RequestRef) -> Vec<Output> {
        self.feed(Input::UpdateAnswered {
            request,
            result: Ok(()),
        })
    }
}

/// `a/b`: two fields; empty: none.
fn ns(path: &str) -> TrackNamespace {
    TrackNamespace::new(path.split('/').filter(|field| !field.is_empty())).unwrap()
}

/// `a/b/name`
fn track(path: &str) -> FullTrackName {
    let (namespace, name) = path.rsplit_once('/').unwrap();
    FullTrackName::new(ns(namespace), TrackName::new(name).unwrap()).unwrap()
}

fn peer(session: u64, key: u64) -> RequestRef {
    RequestRef::Peer(SessionId(session), RequestKey(key))
}

fn forward(forward: bool) -> Parameters {
    Parameters {
        forward: Some(forward),
        ..Parameters::default()
    }
}

fn rendezvous(wait_ms: u64) -> Parameters {
    Parameters {
        rendezvous_timeout_ms: Some(wait_ms),
        ..Parameters::default()
    }
}

/// The requests opened, with the session each goes to.
fn opened(outputs: &[Output]) -> Vec<(u64, Tag)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Open { session, tag, .. } => Some((session.0, *tag)),
            _ => None,
        })
        .collect()
}

/// The only request opened.
fn tag(outputs: &[Output]) -> Tag {
    match opened(outputs)[..] {
        [(_, tag)] => tag,
        ref other => panic!("expected one request, found {other:?} in {outputs:?}"),
    }
}

/// The requests refused, with their codes.
fn rejected(outputs: &[Output]) -> Vec<(RequestRef, RequestErrorCode)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Reject { request, error } => Some((*request, error.code)),
            _ => None,
        })
        .collect()
}

/// The subscriptions served, whichever way they began.
fn served(outputs: &[Output]) -> Vec<RequestRef> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::ServeSubscribe { request, .. } | Output::ServePublish { request, .. } => Some(*request),
            _ => None,
        })
        .collect()
}

/// The forward states asked for upstream.
fn forwards(outputs: &[Output]) -> Vec<(RequestRef, Option<bool>)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Update { request, parameters } => Some((*request, parameters.forward)),
            _ => None,
        })
        .collect()
}

/// The track ends reported.
fn ended(outputs: &[Output]) -> Vec<PublishDoneCode> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::TrackEnded { code, .. } => Some(*code),
            _ => None,
        })
        .collect()
}
