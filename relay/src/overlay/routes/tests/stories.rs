//! Single stories, told by one node between others that are played by hand.

use std::time::Duration;

use super::super::{Alarm, Config, DropReason, Limits, Output, Refusal, Role, Routes, Row};
use super::net::node_id;
use crate::overlay::id::{Cost, Distance, Neighbour, NodeId, Seq};

const A: Neighbour = Neighbour(1);
const B: Neighbour = Neighbour(2);
const C: Neighbour = Neighbour(3);

fn at(millis: u64) -> Duration {
    Duration::from_millis(1_000_000 + millis)
}

fn origin() -> NodeId {
    node_id(9)
}

fn row(number: u32, micros: u64) -> Row {
    Row {
        seq: Seq { epoch: 1, number },
        distance: Distance::new(micros),
        full: false,
        reset: false,
    }
}

fn retraction(number: u32) -> Row {
    Row {
        distance: None,
        ..row(number, 0)
    }
}

fn drain(routes: &mut Routes) -> Vec<Output> {
    std::iter::from_fn(|| routes.poll()).collect()
}

/// Rows that are due for a neighbour, with requests thrown away.
fn rows(routes: &mut Routes, now: Duration, neighbour: Neighbour) -> Vec<Row> {
    std::iter::from_fn(|| routes.next_flush(now, neighbour, 100))
        .flat_map(|flush| flush.rows)
        .map(|(_, row)| row)
        .collect()
}

/// A node with three neighbours at 1 ms each that wants the origin.
fn node(config: Config) -> Routes {
    let mut routes = Routes::new(node_id(0), 1, config);
    for (index, neighbour) in [A, B, C].into_iter().enumerate() {
        routes.neighbour_up(at(0), neighbour, node_id(index + 1), Cost::clamped(1_000));
    }
    routes.interest(at(0), origin(), true);
    drain(&mut routes);
    routes
}

fn role(routes: &Routes, neighbour: Neighbour) -> Option<Role> {
    routes
        .candidates(origin())
        .find(|way| way.neighbour == neighbour)?
        .role
}

#[test]
fn a_lost_primary_is_replaced_at_once_by_a_feasible_neighbour() {
    let mut routes = node(Config::default());
    routes.row(at(0), A, origin(), row(1, 5_000)).unwrap();
    routes.row(at(0), B, origin(), row(1, 5_500)).unwrap();
    routes.tick(at(10));
    assert_eq!(rows(&mut routes, at(10), C), [row(1, 6_000)]);
    drain(&mut routes);

    routes.neighbour_down(at(20), A);
    assert_eq!(routes.primary(origin()), Some(B));
    assert!(
        drain(&mut routes).contains(&Output::Ready(C)),
        "the loss of the primary does not wait for company"
    );
    assert_eq!(rows(&mut routes, at(20), C), [row(1, 6_500)]);
}

#[test]
fn an_infeasible_neighbour_is_asked_for_a_newer_number_and_tried_meanwhile() {
    let mut routes = node(Config::default());
    routes.row(at(0), A, origin(), row(1, 5_000)).unwrap();
    routes.row(at(0), B, origin(), row(1, 7_000)).unwrap();
    drain(&mut routes);

    routes.row(at(20), A, origin(), retraction(1)).unwrap();
    assert_eq!(routes.total(origin()), None);
    assert_eq!(role(&routes, B), Some(Role::Tentative));
    let flush = routes.next_flush(at(20), B, 100).unwrap();
    assert_eq!(flush.requests.len(), 1);
    assert_eq!(flush.requests[0].wanted, Seq { epoch: 1, number: 2 });
    assert_eq!(routes.proved_tentative(origin()), None);
    routes.tentative_proved(at(60), B, origin());
    assert_eq!(routes.proved_tentative(origin()), Some(B));

    routes.row(at(80), B, origin(), row(2, 7_000)).unwrap();
    assert_eq!(role(&routes, B), Some(Role::Primary));
    assert_eq!(routes.proved_tentative(origin()), None);
    assert_eq!(routes.total(origin()), Distance::new(8_000));
}

#[test]
fn a_primary_that_is_about_to_go_is_left_at_once_for_any_feasible_way() {
    let mut routes = node(Config::default());
    routes.row(at(0), A, origin(), row(1, 5_000)).unwrap();
    routes.row(at(0), B, origin(), row(1, 5_900)).unwrap();
    routes.interest(at(0), origin(), true);
    drain(&mut routes);

    routes.leaving(at(10), A);
    assert_eq!(role(&routes, B), Some(Role::Pending));
    assert_eq!(
        role(&routes, A),
        Some(Role::Primary),
        "it serves until the other does"
    );
    routes.media_caught_up(at(60), B, origin());
    assert_eq!(role(&routes, B), Some(Role::Primary));
    assert_eq!(role(&routes, A), Some(Role::Draining));
    routes.release(at(400), A, origin());
    drain(&mut routes);
    routes.tick(at(60_000));
    assert_eq!(routes.primary(origin()), Some(B), "there is no way back");
}

#[test]
fn a_primary_that_is_about_to_go_stays_while_a_newer_number_is_asked_for_elsewhere() {
    let mut routes = node(Config::default());
    routes.row(at(0), A, origin(), row(1, 5_000)).unwrap();
    routes.row(at(0), B, origin(), row(1, 9_000)).unwrap();
    routes.interest(at(0), origin(), true);
    drain(&mut routes);

    routes.leaving(at(10), A);
    assert_eq!(routes.primary(origin()), Some(A));
    let flush = routes.next_flush(at(10), B, 100).unwrap();
    assert_eq!(flush.requests.len(), 1);
    routes.row(at(80), B, origin(), row(2, 9_000)).unwrap();
    assert_eq!(role(&routes, B), Some(Role::Pending));
}

#[test]
fn a_tentative_upstream_that_fails_makes_room_for_the_next() {
    let mut routes = node(Config::default());
    routes.row(at(0), A, origin(), row(1, 5_000)).unwrap();
    routes.row(at(0), B, origin(), row(1, 7_000)).unwrap();
    routes.row(at(0), C, origin(), row(1, 8_000)).unwrap();
    routes.neighbour_down(at(1), A);
    drain(&mut routes);

    routes.tentative_failed(at(100), B, origin());
    assert_eq!(
        (role(&routes, B), role(&routes, C)),
        (None, Some(Role::Tentative))
    );
    routes.tentative_failed(at(200), C, origin());
    assert_eq!((role(&routes, B), role(&routes, C)), (None, None));
    routes.tick(at(401));
    assert_eq!(
        role(&routes, B),
        Some(Role::Tentative),
        "the repeated request is a new attempt"
    );
}

#[test]
fn a_better_path_must_last_and_its_media_catch_up() {
    let mut routes = node(Config::default());
    routes.row(at(0), A, origin(), row(1, 20_000)).unwrap();
    routes.row(at(0), B, origin(), row(1, 20_500)).unwrap();
    routes.row(at(0), A, origin(), row(1, 50_000)).unwrap();
    assert_eq!((role(&routes, A), role(&routes, B)), (Some(Role::Primary), None));
    routes.tick(at(499));
    assert_eq!(role(&routes, B), None);
    routes.tick(at(500));
    assert_eq!(
        (role(&routes, A), role(&routes, B)),
        (Some(Role::Primary), Some(Role::Pending))
    );
    assert_eq!(routes.total(origin()), Distance::new(51_000));

    routes.media_caught_up(at(600), B, origin());
    assert_eq!(
        (role(&routes, A), role(&routes, B)),
        (Some(Role::Draining), Some(Role::Primary))
    );
    routes.tick(at(2_600));
    assert_eq!(role(&routes, A), None);

    routes.row(at(3_000), A, origin(), row(1, 1_000)).unwrap();
    routes.tick(at(10_499));
    assert_eq!(
        role(&routes, A),
        None,
        "ten seconds between two voluntary switches"
    );
    routes.tick(at(10_600));
    assert_eq!(role(&routes, A), Some(Role::Pending));
}

#[test]
fn a_shorter_distance_waits_for_tracks_that_it_would_strand() {
    let mut routes = node(Config::default());
    routes.row(at(0), A, origin(), row(1, 5_000)).unwrap();
    routes.row(at(0), B, origin(), row(1, 5_500)).unwrap();
    assert!(routes.try_use(at(1), B, origin()));
    routes.tick(at(10));
    assert_eq!(rows(&mut routes, at(10), C), [row(1, 6_000)]);
    drain(&mut routes);

    routes.row(at(20), A, origin(), row(1, 1_000)).unwrap();
    let vacate = Output::Vacate {
        origin: origin(),
        neighbour: B,
        by: at(520),
    };
    assert!(drain(&mut routes).contains(&vacate));
    assert_eq!(routes.advertised(origin()).unwrap().distance.micros(), 6_000);
    assert_eq!(routes.total(origin()), Distance::new(2_000));
    routes.tick(at(519));
    assert_eq!(role(&routes, B), Some(Role::Track));
    routes.tick(at(520));
    let cut = Output::Drop {
        origin: origin(),
        neighbour: B,
        reason: DropReason::Lowered,
    };
    assert!(drain(&mut routes).contains(&cut));
    assert_eq!(routes.advertised(origin()).unwrap().distance.micros(), 2_000);
    assert!(
        !routes.try_use(at(521), B, origin()),
        "it is further than this node now"
    );
}

#[test]
fn a_new_primary_takes_back_what_it_was_told() {
    let mut routes = node(Config::default());
    routes.row(at(0), A, origin(), row(1, 5_000)).unwrap();
    routes.tick(at(10));
    assert_eq!(rows(&mut routes, at(10), B), [row(1, 6_000)]);
    routes.row(at(20), B, origin(), row(1, 5_500)).unwrap();
    routes.neighbour_down(at(30), A);
    assert_eq!(routes.primary(origin()), Some(B));
    routes.tick(at(1_030));
    assert_eq!(
        rows(&mut routes, at(1_030), B),
        [retraction(1)],
        "or it would ask here for ever"
    );
}

#[test]
fn a_request_travels_on_and_its_answer_returns() {
    let mut routes = node(Config::default());
    routes.row(at(0), A, origin(), row(1, 5_000)).unwrap();
    let wanted = Seq { epoch: 1, number: 2 };
    routes.seq_request(at(20), C, origin(), wanted, 7).unwrap();
    let flush = routes.next_flush(at(20), A, 100).unwrap();
    assert_eq!((flush.requests[0].wanted, flush.requests[0].ttl), (wanted, 6));
    routes.seq_request(at(30), B, origin(), wanted, 7).unwrap();
    assert_eq!(
        routes.next_flush(at(30), A, 100),
        None,
        "one request is enough for both"
    );

    routes.row(at(40), A, origin(), row(2, 5_000)).unwrap();
    assert_eq!(rows(&mut routes, at(40), C), [row(2, 6_000)]);
    assert_eq!(rows(&mut routes, at(40), B), [row(2, 6_000)]);
    assert_eq!(
        rows(&mut routes, at(40), A),
        [],
        "nothing goes back to the primary"
    );
}

#[test]
fn a_starved_node_asks_a_neighbour_that_regains_a_path_at_once_and_only_that_one() {
    let mut routes = node(Config::default());
    routes.row(at(0), A, origin(), row(1, 5_000)).unwrap();
    routes.row(at(0), B, origin(), row(1, 7_000)).unwrap();
    routes.row(at(20), A, origin(), retraction(1)).unwrap();
    assert_eq!(routes.next_flush(at(20), B, 100).unwrap().requests.len(), 1);
    drain(&mut routes);

    routes.row(at(30), C, origin(), row(1, 9_000)).unwrap();
    let asked = routes.next_flush(at(30), C, 100).unwrap().requests;
    assert_eq!(
        asked
            .iter()
            .map(|request| request.wanted.number)
            .collect::<Vec<_>>(),
        [2]
    );
    assert_eq!(routes.next_flush(at(30), B, 100), None);
    // A row that only changes the distance is no new path.
    routes.row(at(40), C, origin(), row(1, 9_500)).unwrap();
    assert_eq!(routes.next_flush(at(40), C, 100), None);
}

#[test]
fn a_request_that_waits_takes_the_new_way_when_the_primary_changes() {
    let mut routes = node(Config::default());
    routes.row(at(0), A, origin(), row(1, 5_000)).unwrap();
    routes.row(at(0), B, origin(), row(1, 5_500)).unwrap();
    let wanted = Seq { epoch: 1, number: 2 };
    routes.seq_request(at(20), C, origin(), wanted, 7).unwrap();
    assert_eq!(routes.next_flush(at(20), A, 100).unwrap().requests.len(), 1);
    drain(&mut routes);

    routes.neighbour_down(at(30), A);
    assert_eq!(routes.primary(origin()), Some(B));
    let flush = routes.next_flush(at(30), B, 100).unwrap();
    assert_eq!(flush.requests.len(), 1);
    assert_eq!(flush.requests[0].wanted, wanted);
    routes.row(at(40), B, origin(), row(2, 5_500)).unwrap();
    assert_eq!(rows(&mut routes, at(40), C), [row(2, 6_500)]);
}

#[test]
fn a_number_alone_does_not_travel() {
    let mut routes = node(Config::default());
    routes.row(at(0), A, origin(), row(1, 5_000)).unwrap();
    routes.tick(at(10));
    assert_eq!(rows(&mut routes, at(10), B).len(), 1);
    routes.row(at(20), A, origin(), row(2, 5_000)).unwrap();
    routes.tick(at(60_000));
    assert_eq!(rows(&mut routes, at(60_000), B), []);
    routes.row(at(61_000), A, origin(), row(2, 9_000)).unwrap();
    routes.tick(at(61_010));
    assert_eq!(rows(&mut routes, at(61_010), B), [row(2, 10_000)]);
}

#[test]
fn an_origin_raises_its_number_for_who_asks_and_not_too_often() {
    let mut routes = node(Config::default());
    routes.announce(at(0), true);
    let me = node_id(0);
    routes.tick(at(10));
    let told = |number| Row {
        seq: Seq { epoch: 1, number },
        ..row(number, 0)
    };
    assert_eq!(rows(&mut routes, at(10), A), [told(1)]);
    assert_eq!(rows(&mut routes, at(10), B), [told(1)]);
    drain(&mut routes);

    routes
        .seq_request(at(20), A, me, Seq { epoch: 1, number: 2 }, 40)
        .unwrap();
    assert!(drain(&mut routes).contains(&Output::OwnSeq {
        seq: Seq { epoch: 1, number: 2 }
    }));
    assert_eq!(rows(&mut routes, at(20), A), [told(2)]);
    assert_eq!(rows(&mut routes, at(20), B), []);

    routes
        .seq_request(at(30), B, me, Seq { epoch: 1, number: 3 }, 40)
        .unwrap();
    assert_eq!(rows(&mut routes, at(30), B), []);
    assert_eq!(routes.deadline(), Some(at(120)));
    routes.tick(at(120));
    assert_eq!(rows(&mut routes, at(120), B), [told(3)]);
    routes
        .seq_request(
            at(300),
            B,
            me,
            Seq {
                epoch: 1,
                number: 1_000,
            },
            40,
        )
        .unwrap();
    assert_eq!(routes.own_seq().number, 4, "never by more than one");
}

#[test]
fn a_node_that_hears_of_a_later_life_of_its_own_moves_beyond_it() {
    let mut routes = node(Config::default());
    routes.announce(at(0), true);
    let later = |epoch| Row {
        seq: Seq { epoch, number: 5 },
        ..row(5, 4_000)
    };
    routes.row(at(1), A, node_id(0), later(7)).unwrap();
    assert_eq!(routes.own_seq(), Seq { epoch: 8, number: 0 });
    assert!(drain(&mut routes).contains(&Output::Epoch { epoch: 8 }));
    routes.tick(at(20));
    assert_eq!({ rows(&mut routes, at(20), A)[0].seq.epoch }, 8);
    assert_eq!(routes.total(node_id(0)), Some(Distance::ZERO));

    routes.row(at(30), A, node_id(0), later(20)).unwrap();
    routes.row(at(40), A, node_id(0), later(30)).unwrap();
    drain(&mut routes);
    routes.row(at(50), A, node_id(0), later(40)).unwrap();
    let alarm = Alarm::ClonedKey {
        heard: Seq { epoch: 40, number: 5 },
        neighbour: A,
    };
    assert_eq!(drain(&mut routes), [Output::Alarm(alarm)]);
    assert_eq!({ routes.own_seq().epoch }, 31);
}

#[test]
fn a_lost_origin_is_forgotten_after_everybody_let_go() {
    let mut routes = node(Config::default());
    routes.row(at(0), A, origin(), row(1, 5_000)).unwrap();
    routes.tick(at(10));
    assert_eq!(rows(&mut routes, at(10), B).len(), 1);
    routes.neighbour_down(at(20), A);
    assert_eq!(rows(&mut routes, at(20), B), [retraction(1)]);
    routes.tick(at(180_019));
    assert!(routes.feasibility_distance(origin()).is_some());
    routes.tick(at(180_020));
    assert_eq!(
        rows(&mut routes, at(180_020), B),
        [Row {
            reset: true,
            ..retraction(1)
        }]
    );
    assert!(
        routes.feasibility_distance(origin()).is_some(),
        "not before the answer"
    );
    routes.reset_ack(at(180_030), B, origin());
    assert_eq!(routes.origins().count(), 0);
}

#[test]
fn interest_outlives_a_route_that_nothing_is_left_of() {
    let mut routes = node(Config::default());
    routes.child(at(0), A, origin(), true);
    assert_eq!(routes.origins().count(), 1);
    routes.child(at(10), A, origin(), false);
    assert_eq!(routes.origins().count(), 0);
    routes.child(at(20), A, origin(), true);
    routes.neighbour_down(at(30), A);
    assert_eq!(routes.origins().count(), 0);

    routes.row(at(40), B, origin(), row(1, 9_000)).unwrap();
    routes.row(at(40), C, origin(), row(1, 4_000)).unwrap();
    routes.tick(at(540));
    assert_eq!(
        role(&routes, C),
        Some(Role::Pending),
        "media that is wanted has to catch up"
    );
}

#[test]
fn an_answer_to_a_reset_that_was_called_off_counts_for_nothing() {
    let mut routes = node(Config::default());
    routes.row(at(0), A, origin(), row(1, 5_000)).unwrap();
    routes.tick(at(10));
    rows(&mut routes, at(10), B);
    routes.row(at(20), A, origin(), retraction(1)).unwrap();
    rows(&mut routes, at(20), B);
    routes.tick(at(180_020));
    assert_eq!(rows(&mut routes, at(180_020), B).len(), 1);
    // The route returns while the reset is under way, so the neighbour may point here again.
    routes.row(at(180_030), A, origin(), row(1, 4_000)).unwrap();
    routes.tick(at(180_040));
    assert_eq!(rows(&mut routes, at(180_040), B), [row(1, 5_000)]);
    let fd = routes.feasibility_distance(origin());
    routes.reset_ack(at(180_050), B, origin());
    assert_eq!(routes.feasibility_distance(origin()), fd);
}

#[test]
fn a_reset_is_obeyed_and_answered_even_for_an_unknown_origin() {
    let mut routes = node(Config::default());
    routes.row(at(0), A, origin(), row(1, 5_000)).unwrap();
    drain(&mut routes);
    routes
        .row(
            at(20),
            A,
            origin(),
            Row {
                reset: true,
                ..retraction(1)
            },
        )
        .unwrap();
    assert!(drain(&mut routes).contains(&Output::Drop {
        origin: origin(),
        neighbour: A,
        reason: DropReason::Reset
    }));
    assert_eq!(routes.next_flush(at(20), A, 100).unwrap().reset_acks, [origin()]);
    routes
        .row(
            at(30),
            B,
            node_id(8),
            Row {
                reset: true,
                ..retraction(1)
            },
        )
        .unwrap();
    assert_eq!(
        routes.next_flush(at(30), B, 100).unwrap().reset_acks,
        [node_id(8)]
    );
}

#[test]
fn what_goes_beyond_the_limits_is_refused_and_changes_nothing() {
    let limits = Limits {
        rows: 10,
        requests: 2,
        origins_per_neighbour: 2,
        origins: 3,
        ..Limits::default()
    };
    let mut routes = node(Config {
        limits,
        ..Config::default()
    });
    let take = |routes: &mut Routes, from, node| routes.row(at(0), from, node_id(node), row(1, 5_000));
    assert_eq!(take(&mut routes, A, 20), Ok(()));
    assert_eq!(take(&mut routes, A, 21), Ok(()));
    assert_eq!(take(&mut routes, A, 22), Err(Refusal::OriginsOfNeighbour));
    assert_eq!(take(&mut routes, B, 23), Ok(()));
    assert_eq!(take(&mut routes, B, 24), Err(Refusal::Origins));
    assert_eq!(routes.origins().count(), 3);
    assert_eq!(
        routes.row(at(0), B, node_id(20), row(1, 0)),
        Err(Refusal::ZeroDistance)
    );
    assert_eq!(
        routes.row(at(0), Neighbour(7), origin(), row(1, 1)),
        Err(Refusal::NoNeighbour)
    );
    for _ in 0..8 {
        routes.row(at(0), C, node_id(20), row(1, 5_000)).unwrap();
    }
    routes.row(at(0), C, node_id(20), row(1, 5_000)).unwrap();
    routes.row(at(0), C, node_id(20), row(1, 5_000)).unwrap();
    assert_eq!(take(&mut routes, C, 20), Err(Refusal::Rows));
    let wanted = Seq { epoch: 1, number: 2 };
    let ask = |routes: &mut Routes| routes.seq_request(at(0), C, node_id(20), wanted, 40);
    assert_eq!(
        (ask(&mut routes), ask(&mut routes), ask(&mut routes)),
        (Ok(()), Ok(()), Err(Refusal::Requests))
    );
}
