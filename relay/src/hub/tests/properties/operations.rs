//! Random operations of a few sessions on a few tracks.

use headwater_pubsub::wire::Location;
use headwater_pubsub::wire::control::RequestOk;
use proptest::prelude::*;

use super::*;

const NAMESPACES: [&str; 4] = ["", "a", "a/b", "c"];
const TRACKS: [&str; 4] = ["a/x", "a/b/x", "c/x", "c/y"];
const CODES: [RequestErrorCode; 4] = [
    RequestErrorCode::DOES_NOT_EXIST,
    RequestErrorCode::UNAUTHORIZED,
    RequestErrorCode::DUPLICATE_SUBSCRIPTION,
    RequestErrorCode::INVALID_RANGE,
];

/// What happens next. Small numbers pick among what is there.
#[derive(Clone, Debug)]
enum Op {
    Up {
        session: u64,
        identity: bool,
    },
    Down {
        session: u64,
    },
    Goaway {
        session: u64,
    },
    Move {
        pick: usize,
    },
    Subscribe {
        session: u64,
        track: usize,
        wait: u16,
        forward: Option<bool>,
        new_group: Option<u64>,
    },
    Publish {
        session: u64,
        track: usize,
        dynamic_groups: bool,
    },
    Fetch {
        session: u64,
        track: usize,
        fill: Option<u16>,
    },
    Join {
        session: u64,
        pick: usize,
    },
    Status {
        session: u64,
        track: usize,
    },
    Announce {
        session: u64,
        namespace: usize,
    },
    Interest {
        session: u64,
        namespace: usize,
        tracks: bool,
    },
    Update {
        pick: usize,
        forward: Option<bool>,
        namespace: Option<usize>,
        new_group: Option<u64>,
    },
    Cancel {
        pick: usize,
    },
    Answer {
        pick: usize,
        refuse: Option<usize>,
    },
    End {
        pick: usize,
        how: u8,
    },
    AnswerUpdate {
        pick: usize,
        ok: bool,
    },
    Hole {
        pick: usize,
        group: u64,
    },
    NodeEnds {
        pick: usize,
    },
    Largest {
        pick: usize,
        group: Option<u64>,
    },
    Remote {
        track: usize,
        present: bool,
    },
    Pass {
        ms: u16,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let (session, pick) = (0..4_u64, 0..16_usize);
    let (track, namespace) = (0..TRACKS.len(), 0..NAMESPACES.len());
    let s = || session.clone();
    let p = || pick.clone();
    let forward = || proptest::option::of(any::<bool>());
    let group = || proptest::option::weighted(0.2, 0..6_u64);
    let op = prop_oneof![
        3 => (s(), any::<bool>()).prop_map(|(session, identity)| Op::Up { session, identity }),
        1 => s().prop_map(|session| Op::Down { session }),
        1 => (0..24_u64).prop_map(|session| Op::Goaway { session }),
        3 => p().prop_map(|pick| Op::Move { pick }),
        6 => (s(), track.clone(), prop_oneof![Just(0), 1..4000_u16], forward(), group()).prop_map(
            |(session, track, wait, forward, new_group)| Op::Subscribe { session, track, wait, forward, new_group }
        ),
        3 => (s(), track.clone(), any::<bool>())
            .prop_map(|(session, track, dynamic_groups)| Op::Publish { session, track, dynamic_groups }),
        3 => (s(), track.clone(), proptest::option::of(0..3000_u16))
            .prop_map(|(session, track, fill)| Op::Fetch { session, track, fill }),
        2 => (s(), p()).prop_map(|(session, pick)| Op::Join { session, pick }),
        1 => (s(), track.clone()).prop_map(|(session, track)| Op::Status { session, track }),
        3 => (track, any::<bool>()).prop_map(|(track, present)| Op::Remote { track, present }),
        4 => (s(), namespace.clone()).prop_map(|(session, namespace)| Op::Announce { session, namespace }),
        3 => (s(), namespace.clone(), any::<bool>())
            .prop_map(|(session, namespace, tracks)| Op::Interest { session, namespace, tracks }),
        4 => (p(), forward(), proptest::option::of(namespace), group()).prop_map(
            |(pick, forward, namespace, new_group)| Op::Update { pick, forward, namespace, new_group }
        ),
        3 => p().prop_map(|pick| Op::Cancel { pick }),
        12 => (p(), proptest::option::weighted(0.3, 0..CODES.len()))
            .prop_map(|(pick, refuse)| Op::Answer { pick, refuse }),
        3 => (p(), any::<u8>()).prop_map(|(pick, how)| Op::End { pick, how }),
        4 => (p(), proptest::bool::weighted(0.9)).prop_map(|(pick, ok)| Op::AnswerUpdate { pick, ok }),
        4 => (p(), 0..4_u64).prop_map(|(pick, group)| Op::Hole { pick, group }),
        2 => p().prop_map(|pick| Op::NodeEnds { pick }),
        2 => (p(), group()).prop_map(|(pick, group)| Op::Largest { pick, group }),
        4 => (0..3000_u16).prop_map(|ms| Op::Pass { ms }),
    ];
    proptest::collection::vec(op, 1..120)
}

impl Node {
    fn run(&mut self, op: Op) {
        match op {
            Op::Up { session, identity } => {
                if !self.up.contains_key(&session) {
                    let id = SessionId(self.next_session);
                    self.next_session += 1;
                    self.up.insert(session, id);
                    let identity = Identity(Bytes::from_static(if identity { b"alice" } else { b"bob" }));
                    self.feed(Input::SessionUp {
                        session: id,
                        identity,
                        rights: Rights::Publish,
                    });
                }
            }
            Op::Down { session } => self.down(session),
            Op::Goaway { session } => {
                if let Some(&session) = self.up.get(&session) {
                    self.feed(Input::SessionGoaway { session });
                }
            }
            Op::Move { pick } => {
                let ours = |request: &RequestRef, _: &Request| matches!(request, RequestRef::Hub(..));
                if let Some(request) = self.pick(pick, ours) {
                    self.feed(Input::RequestGoaway { request });
                }
            }
            Op::Remote { track: at, present } => {
                let entry = crate::overlay::message::Entry::Track(track(TRACKS[at]));
                self.feed(Input::Remote { entry, present });
            }
            Op::Pass { ms } => self.pass(Duration::from_millis(u64::from(ms))),
            Op::Answer { pick, refuse } => self.answer_hub(pick, refuse),
            Op::End { pick, how } => self.end_hub(pick, how),
            Op::AnswerUpdate { pick, ok } => self.answer_update(pick, ok),
            Op::Largest { pick, group } => {
                let watched: Vec<TrackId> = self.watched.iter().copied().collect();
                if let Some(at) = pick.checked_rem(watched.len()) {
                    self.feed(Input::LargestGroup {
                        track: watched[at],
                        group,
                    });
                }
            }
            Op::Update { .. } | Op::Cancel { .. } | Op::Hole { .. } | Op::NodeEnds { .. } => self.change(op),
            op => self.ask(op),
        }
    }

    fn ask(&mut self, op: Op) {
        let name = |at: usize| track(TRACKS[at]);
        let input = match op {
            Op::Subscribe {
                session,
                track,
                wait,
                forward,
                new_group,
            } => {
                let Some((session, key)) = self.request(session, Kind::Subscribe, None) else {
                    return;
                };
                let parameters = Parameters {
                    rendezvous_timeout_ms: Some(u64::from(wait)),
                    forward,
                    new_group_request: new_group,
                    ..Parameters::default()
                };
                Input::Subscribe {
                    session,
                    key,
                    track: name(track),
                    origin: None,
                    parameters,
                }
            }
            Op::Publish {
                session,
                track,
                dynamic_groups,
            } => {
                let Some((session, key)) = self.request(session, Kind::Publish, None) else {
                    return;
                };
                Input::Publish {
                    session,
                    key,
                    track: name(track),
                    dynamic_groups,
                }
            }
            op => return self.ask_for_past(op),
        };
        self.name_request(&input);
        self.feed(input);
    }

    fn ask_for_past(&mut self, op: Op) {
        let input = match op {
            Op::Fetch { session, track, fill } => {
                let Some((session, key)) = self.request(session, Kind::Fetch, None) else {
                    return;
                };
                let (start, end) = (Location::new(0, 0), Location::new(3, 0));
                let range = FetchRange::Standalone {
                    track: super::track(TRACKS[track]),
                    origin: None,
                    start,
                    end,
                };
                let parameters = Parameters {
                    fill_timeout_ms: fill.map(u64::from),
                    ..Parameters::default()
                };
                Input::Fetch {
                    session,
                    key,
                    range,
                    parameters,
                }
            }
            Op::Join { session, pick } => {
                let joined = self.pick(pick, |request, state| {
                    matches!(
                        (request, state.kind),
                        (RequestRef::Peer(..), Kind::Subscribe) | (RequestRef::Hub(..), Kind::Offer)
                    )
                });
                let Some((session, key)) = self.request(session, Kind::Fetch, None) else {
                    return;
                };
                let range = FetchRange::Joining {
                    subscription: joined,
                    start: JoiningStart::Absolute(0),
                };
                Input::Fetch {
                    session,
                    key,
                    range,
                    parameters: Parameters::default(),
                }
            }
            op => return self.ask_about_names(op),
        };
        self.feed(input);
    }

    fn ask_about_names(&mut self, op: Op) {
        let namespace = |at: usize| ns(NAMESPACES[at]);
        let input = match op {
            Op::Status { session, track } => {
                let Some((session, key)) = self.request(session, Kind::Status, None) else {
                    return;
                };
                Input::TrackStatus {
                    session,
                    key,
                    track: super::track(TRACKS[track]),
                    origin: None,
                }
            }
            Op::Announce {
                session,
                namespace: at,
            } => {
                let Some((session, key)) = self.request(session, Kind::Announce, None) else {
                    return;
                };
                Input::PublishNamespace {
                    session,
                    key,
                    namespace: namespace(at),
                }
            }
            Op::Interest {
                session,
                namespace: at,
                tracks: true,
            } => {
                let Some((session, key)) = self.request(session, Kind::Tracks, None) else {
                    return;
                };
                Input::SubscribeTracks {
                    session,
                    key,
                    prefix: namespace(at),
                    parameters: Parameters::default(),
                }
            }
            Op::Interest {
                session,
                namespace: at,
                tracks: false,
            } => {
                let Some((session, key)) = self.request(session, Kind::Namespaces, None) else {
                    return;
                };
                Input::SubscribeNamespace {
                    session,
                    key,
                    prefix: namespace(at),
                }
            }
            other => panic!("{other:?}"),
        };
        self.name_request(&input);
        self.feed(input);
    }

    /// Notes the track or prefix of a request for the checks; a refused one is gone before them.
    fn name_request(&mut self, input: &Input) {
        if let Input::SubscribeNamespace { session, key, prefix } = input {
            self.live(RequestRef::Peer(*session, *key)).prefix = Some(prefix.clone());
        }
        if let Input::Subscribe {
            session, key, track, ..
        }
        | Input::Publish {
            session, key, track, ..
        } = input
        {
            self.live(RequestRef::Peer(*session, *key)).name = Some(track.clone());
        }
    }

    fn change(&mut self, op: Op) {
        let updatable = |request: &RequestRef, state: &Request| match request {
            RequestRef::Peer(..) => {
                // An update may come before the answer, but not to a TRACK_STATUS.
                (state.answered || state.kind == Kind::Subscribe) && state.kind != Kind::Status
            }
            RequestRef::Hub(..) => state.kind == Kind::Offer,
        };
        match op {
            Op::Update {
                pick,
                forward,
                namespace,
                new_group,
            } => {
                let Some(request) = self.pick(pick, updatable) else {
                    return;
                };
                self.live(request).updates += 1;
                let track_namespace_prefix = namespace.map(|at| ns(NAMESPACES[at]));
                self.live(request).new_prefix.clone_from(&track_namespace_prefix);
                let parameters = Parameters {
                    forward,
                    track_namespace_prefix,
                    new_group_request: new_group,
                    ..Parameters::default()
                };
                self.feed(Input::Updated { request, parameters });
            }
            Op::Cancel { pick } => {
                let Some(request) = self.pick(pick, |_, _| true) else {
                    return;
                };
                self.end(request);
                self.feed(Input::Cancelled { request });
            }
            Op::Hole { pick, group } => {
                let fetching = |_: &RequestRef, state: &Request| {
                    state.kind == Kind::Fetch && state.answered && !state.hole
                };
                let Some(request) = self.pick(pick, fetching) else {
                    return;
                };
                self.live(request).hole = true;
                let (start, end) = (Location::new(group, 0), Location::new(3, 0));
                self.feed(Input::Hole { request, start, end });
            }
            Op::NodeEnds { pick } => {
                let served = |request: &RequestRef, state: &Request| {
                    state.answered
                        && match request {
                            RequestRef::Peer(..) => matches!(state.kind, Kind::Subscribe | Kind::Fetch),
                            RequestRef::Hub(..) => state.kind == Kind::Offer,
                        }
                };
                let Some(request) = self.pick(pick, served) else {
                    return;
                };
                let input = match self.end(request).kind {
                    Kind::Fetch => Input::FetchEnded { request },
                    _ => Input::SubscriptionEnded { request },
                };
                self.feed(input);
            }
            other => panic!("{other:?}"),
        }
    }

    fn answer_hub(&mut self, pick: usize, refuse: Option<usize>) {
        let open =
            |request: &RequestRef, state: &Request| matches!(request, RequestRef::Hub(..)) && !state.answered;
        let Some(request @ RequestRef::Hub(_, tag)) = self.pick(pick, open) else {
            return;
        };
        if let Some(at) = refuse {
            let offer = self.end(request).kind == Kind::Offer;
            if offer && at == 0 {
                self.feed(Input::Blocked { tag });
            } else {
                let error = RequestError {
                    code: CODES[at],
                    retry_after_ms: None,
                    reason: String::new(),
                    redirect: None,
                };
                self.feed(Input::Rejected { tag, error });
            }
            return;
        }
        let answer = match self.answer(request).kind {
            Kind::Subscribe => Answer::Subscribe {
                dynamic_groups: pick.is_multiple_of(2),
            },
            Kind::Offer => Answer::Publish {
                parameters: forward(!pick.is_multiple_of(3)),
            },
            Kind::Fill => Answer::Fetch {
                end: Location::new(2, 1),
                end_of_track: false,
            },
            _ => {
                self.end(request);
                Answer::TrackStatus(RequestOk::default())
            }
        };
        self.feed(Input::Accepted { tag, answer });
    }

    fn end_hub(&mut self, pick: usize, how: u8) {
        let feeding = |request: &RequestRef, state: &Request| {
            state.answered
                && match request {
                    RequestRef::Peer(..) => state.kind == Kind::Publish,
                    RequestRef::Hub(..) => matches!(state.kind, Kind::Subscribe | Kind::Fill),
                }
        };
        let Some(request) = self.pick(pick, feeding) else {
            return;
        };
        if how < 32 {
            // The hub closes a source itself.
            if self.live(request).kind == Kind::Fill {
                return;
            }
            self.feed(Input::Malformed { request });
            return;
        }
        let input = match (self.end(request).kind, request) {
            (Kind::Fill, RequestRef::Hub(_, tag)) => {
                let outcome = if how < 192 {
                    FillOutcome::Complete
                } else {
                    FillOutcome::Failed
                };
                Input::FillDone { tag, outcome }
            }
            _ => {
                let done = PublishDone {
                    code: PublishDoneCode::TRACK_ENDED,
                    stream_count: None,
                    reason: String::new(),
                };
                Input::Done { request, done }
            }
        };
        self.feed(input);
    }

    fn answer_update(&mut self, pick: usize, ok: bool) {
        let owing: Vec<RequestRef> = self.owed.keys().copied().collect();
        let Some(at) = pick.checked_rem(owing.len()) else {
            return;
        };
        let request = owing[at];
        let left = self.owed[&request] - 1;
        self.owed.insert(request, left);
        if left == 0 {
            self.owed.remove(&request);
        }
        let result = if ok {
            Ok(())
        } else {
            self.end(request);
            Err(RequestError {
                code: RequestErrorCode::INTERNAL_ERROR,
                retry_after_ms: None,
                reason: String::new(),
                redirect: None,
            })
        };
        self.feed(Input::UpdateAnswered { request, result });
    }
}

fn play(ops: &[Op]) -> Vec<Output> {
    let mut node = Node::new();
    for session in 0..4 {
        node.run(Op::Up {
            session,
            identity: session != 3,
        });
    }
    for op in ops {
        node.run(op.clone());
    }
    node.finish()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_request_is_answered_once_and_nothing_is_left_behind(ops in ops()) {
        play(&ops);
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs(ops in ops()) {
        prop_assert_eq!(play(&ops), play(&ops));
    }
}
