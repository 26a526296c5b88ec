//! Extension parameters: free to use once both SETUPs say so, otherwise as unknown as any other type.

use bytes::Bytes;

use super::harness::{Pair, config, encode, events, track};
use crate::session::{
    Accepted, AliasState, Config, Event, FetchTarget, IllegalMove, IncomingRequest, RequestKey,
    RequestRefused, Session, Side, Time,
};
use crate::wire::control::{FetchKind, Setup, Subscribe, SubscribeOk};
use crate::wire::parameter::ExtensionParameters;
use crate::wire::{Location, Message, Parameters, Properties, SessionCode, StreamCode, control};

/// Some SETUP option.
const OPTION: u64 = 0x4857_0001;
const KIND: u64 = 0x4857_0010;

fn setup(option: Option<u64>) -> Setup {
    let extensions = option.map_or_else(Properties::empty, |kind| {
        let block = Properties::builder().bytes(kind, Bytes::from_static(b"mesh"));
        block.build().unwrap()
    });
    Setup {
        extensions,
        ..Setup::default()
    }
}

fn extended(side: Side) -> Config {
    Config {
        setup: setup(Some(OPTION)),
        extension: Some(OPTION),
        ..config(side)
    }
}

fn parameters(value: &'static [u8]) -> Parameters {
    let mut extensions = ExtensionParameters::empty();
    extensions.insert(KIND, Bytes::from_static(value)).unwrap();
    Parameters {
        extensions,
        ..Parameters::default()
    }
}

fn request(pair: &mut Pair, end: usize) -> (RequestKey, IncomingRequest) {
    match &pair.events(end)[..] {
        [Event::Request { key, request, .. }] => (*key, request.clone()),
        other => panic!("{other:?}"),
    }
}

fn answer(pair: &mut Pair, end: usize) -> Accepted {
    match &pair.events(end)[..] {
        [Event::Accepted { answer, .. }] => answer.clone(),
        other => panic!("{other:?}"),
    }
}

/// Two ends, their SETUPs exchanged; says what each made of the other's.
fn established(client: Config, server: Config) -> (Pair, [Properties; 2]) {
    let mut pair = Pair::new(client, server);
    pair.run();
    let seen = [0, 1].map(|end| match &pair.events(end)[..] {
        [Event::Established(peer)] => peer.extensions.clone(),
        other => panic!("{other:?}"),
    });
    (pair, seen)
}

#[test]
fn who_agreed_exchanges_them_with_every_request_for_a_track() {
    let (mut pair, seen) = established(extended(Side::Client), extended(Side::Server));
    assert_eq!(seen[0], setup(Some(OPTION)).extensions);
    assert_eq!(seen[1], seen[0]);
    assert!(pair.ends.iter().all(Session::extension_agreed));

    pair.ends[0]
        .subscribe(track("live/a"), parameters(b"ask"))
        .unwrap();
    pair.run();
    let (key, asked) = request(&mut pair, 1);
    let IncomingRequest::Subscribe { parameters: got, .. } = asked else {
        panic!("{asked:?}")
    };
    assert_eq!(got, parameters(b"ask"));
    pair.ends[1]
        .accept_subscribe(key, parameters(b"yes"), Properties::empty())
        .unwrap();
    pair.run();
    let told = answer(&mut pair, 0);
    assert!(matches!(told, Accepted::Subscribe { parameters: got, .. } if got == parameters(b"yes")));

    pair.ends[0]
        .track_status(track("live/a"), parameters(b"ask"))
        .unwrap();
    pair.run();
    let (key, asked) = request(&mut pair, 1);
    assert!(
        matches!(asked, IncomingRequest::TrackStatus { parameters: got, .. } if got == parameters(b"ask"))
    );
    pair.ends[1]
        .accept_track_status(key, parameters(b"yes"), Properties::empty())
        .unwrap();
    pair.run();
    let told = answer(&mut pair, 0);
    assert!(matches!(told, Accepted::TrackStatus { parameters: got, .. } if got == parameters(b"yes")));

    let target = FetchTarget::Standalone {
        track: track("live/a"),
        start: Location::new(0, 0),
        end: Location::new(1, 0),
    };
    pair.ends[0].fetch(target, parameters(b"ask")).unwrap();
    pair.run();
    let (key, asked) = request(&mut pair, 1);
    assert!(matches!(asked, IncomingRequest::Fetch { parameters: got, .. } if got == parameters(b"ask")));
    pair.ends[1]
        .accept_fetch(
            key,
            false,
            Location::new(1, 0),
            parameters(b"yes"),
            Properties::empty(),
        )
        .unwrap();
    pair.run();
    let told = answer(&mut pair, 0);
    assert!(matches!(told, Accepted::Fetch { parameters: got, .. } if got == parameters(b"yes")));
}

#[test]
fn one_end_alone_agrees_to_nothing_and_may_not_send_them() {
    let unconfigured = Config {
        extension: None,
        ..extended(Side::Server)
    };
    let other_option = Config {
        setup: setup(Some(OPTION + 2)),
        extension: Some(OPTION + 2),
        ..config(Side::Server)
    };
    for server in [config(Side::Server), other_option] {
        let (mut pair, _) = established(extended(Side::Client), server);
        assert!(!pair.ends.iter().any(Session::extension_agreed));
        let refused = pair.ends[0].subscribe(track("live/a"), parameters(b"ask"));
        assert!(
            matches!(refused, Err(RequestRefused::Parameter(_))),
            "{refused:?}"
        );
    }
    let (mut pair, _) = established(extended(Side::Client), unconfigured);
    assert!(pair.ends[0].extension_agreed() && !pair.ends[1].extension_agreed());
    pair.ends[0]
        .subscribe(track("live/a"), Parameters::default())
        .unwrap();
    pair.run();
    let (key, _) = request(&mut pair, 1);
    let refused = pair.ends[1].accept_subscribe(key, parameters(b"yes"), Properties::empty());
    assert!(matches!(refused, Err(IllegalMove::Parameter(_))), "{refused:?}");
}

/// What a server without the extension does with a message of the peer.
fn closed_by(message: &Message, option: Option<u64>) -> Option<SessionCode> {
    let mut session = Session::new(Time::ZERO, config(Side::Server)).unwrap();
    session.recv_control(Time::ZERO, encode(&Message::Setup(setup(option))));
    let key = session.accept();
    session.recv(Time::ZERO, key, encode(message));
    events(&mut session).into_iter().find_map(|event| match event {
        Event::Closed { code, .. } => Some(code),
        _ => None,
    })
}

#[test]
fn without_agreement_one_in_a_request_closes_the_session() {
    let subscribe = Message::Subscribe(Subscribe {
        request_id: 0,
        track: track("live/a"),
        parameters: parameters(b"ask"),
    });
    let fetch = Message::Fetch(control::Fetch {
        request_id: 0,
        kind: FetchKind::Standalone {
            track: track("live/a"),
            start: Location::new(0, 0),
            end: Location::new(1, 0),
        },
        parameters: parameters(b"ask"),
    });
    for message in [subscribe, fetch] {
        for option in [None, Some(OPTION)] {
            assert_eq!(closed_by(&message, option), Some(SessionCode::PROTOCOL_VIOLATION));
        }
    }
}

#[test]
fn without_agreement_one_in_an_answer_closes_the_session() {
    let (mut pair, _) = established(config(Side::Client), config(Side::Server));
    let key = pair.ends[0]
        .subscribe(track("live/a"), Parameters::default())
        .unwrap();
    let ok = Message::SubscribeOk(SubscribeOk {
        track_alias: 0,
        parameters: parameters(b"yes"),
        properties: Properties::empty(),
    });
    pair.ends[0].recv(Time::ZERO, key, encode(&ok));
    let closed = pair.events(0);
    assert!(
        matches!(
            &closed[..],
            [Event::Closed {
                code: SessionCode::PROTOCOL_VIOLATION,
                ..
            }]
        ),
        "{closed:?}"
    );
}

#[test]
fn requests_that_came_before_setup_are_judged_by_it() {
    let mut session = Session::new(Time::ZERO, extended(Side::Server)).unwrap();
    let key = session.accept();
    let subscribe = Message::Subscribe(Subscribe {
        request_id: 0,
        track: track("live/a"),
        parameters: parameters(b"ask"),
    });
    session.recv(Time::ZERO, key, encode(&subscribe));
    session.recv_control(Time::ZERO, encode(&Message::Setup(setup(Some(OPTION)))));
    let seen = events(&mut session);
    assert!(
        matches!(&seen[..], [Event::Established(_), Event::Request { .. }]),
        "{seen:?}"
    );
}

#[test]
fn subscriptions_to_one_name_are_told_apart_by_what_was_agreed() {
    let (mut pair, _) = established(extended(Side::Client), extended(Side::Server));
    let accept = |pair: &mut Pair, value| {
        let ours = pair.ends[0].subscribe(track("live/a"), value).unwrap();
        pair.run();
        let (theirs, _) = request(pair, 1);
        let alias = pair.ends[1].accept_subscribe(theirs, Parameters::default(), Properties::empty());
        pair.run();
        assert!(matches!(answer(pair, 0), Accepted::Subscribe { .. }));
        (ours, theirs, alias.unwrap())
    };
    let one = accept(&mut pair, parameters(b"one"));
    let two = accept(&mut pair, parameters(b"two"));
    let plain = accept(&mut pair, Parameters::default());
    for (ours, _, alias) in [one, two, plain] {
        assert_eq!(pair.ends[0].alias(alias), AliasState::Live(ours));
    }
    let again = pair.ends[0].subscribe(track("live/a"), parameters(b"two"));
    assert_eq!(again, Err(RequestRefused::Duplicate));

    // One of them ends alone, and may then be asked for anew.
    pair.ends[0].cancel(one.0, StreamCode::CANCELLED);
    pair.run();
    let ended = pair.events(1);
    assert!(
        matches!(&ended[..], [Event::Cancelled { key, .. }] if *key == one.1),
        "{ended:?}"
    );
    assert_eq!(pair.ends[0].alias(two.2), AliasState::Live(two.0));
    accept(&mut pair, parameters(b"one"));
}

#[test]
fn the_same_one_twice_is_refused_and_an_alias_is_not_shared() {
    let mut session = Session::new(Time::ZERO, extended(Side::Server)).unwrap();
    session.recv_control(Time::ZERO, encode(&Message::Setup(setup(Some(OPTION)))));
    for (request_id, value) in [(0, b"one"), (2, b"two"), (4, b"two")] {
        let key = session.accept();
        let subscribe = Message::Subscribe(Subscribe {
            request_id,
            track: track("live/a"),
            parameters: parameters(value),
        });
        session.recv(Time::ZERO, key, encode(&subscribe));
    }
    let asked = events(&mut session);
    assert!(
        matches!(
            &asked[..],
            [
                Event::Established(_),
                Event::Request { .. },
                Event::Request { .. }
            ]
        ),
        "the third is a duplicate: {asked:?}"
    );

    let (mut pair, _) = established(extended(Side::Client), extended(Side::Server));
    for value in [b"one", b"two"] {
        let key = pair.ends[0]
            .subscribe(track("live/a"), parameters(value))
            .unwrap();
        let ok = Message::SubscribeOk(SubscribeOk {
            track_alias: 7,
            parameters: Parameters::default(),
            properties: Properties::empty(),
        });
        pair.ends[0].recv(Time::ZERO, key, encode(&ok));
    }
    let closed = pair.events(0);
    assert!(
        matches!(
            closed.last(),
            Some(Event::Closed {
                code: SessionCode::DUPLICATE_TRACK_ALIAS,
                ..
            })
        ),
        "{closed:?}"
    );
}

#[test]
fn a_subscribe_with_more_than_is_kept_is_refused_and_nothing_else() {
    let long: &'static [u8] = &[0; 4097];
    let (mut pair, _) = established(extended(Side::Client), extended(Side::Server));
    let refused = pair.ends[0].subscribe(track("live/a"), parameters(long));
    assert!(matches!(refused, Err(RequestRefused::Encode(_))), "{refused:?}");
    pair.ends[0]
        .subscribe(track("live/a"), parameters(&long[..4096]))
        .unwrap();
    pair.run();
    request(&mut pair, 1);

    let key = pair.ends[1].accept();
    let subscribe = Message::Subscribe(Subscribe {
        request_id: 100,
        track: track("live/b"),
        parameters: parameters(long),
    });
    pair.ends[1].recv(Time::ZERO, key, encode(&subscribe));
    assert_eq!(pair.events(1), []);
    assert!(!pair.ends[1].is_closed());
    assert_eq!(pair.ends[1].open_requests(), 1, "only the one before");
}
