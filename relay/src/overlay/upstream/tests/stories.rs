use super::*;

const HEDGE: Output = Output::Hedge {
    origin: ORIGIN,
    beside: A,
};

const fn caught_up(neighbour: Neighbour) -> Output {
    Output::CaughtUp {
        origin: ORIGIN,
        neighbour,
    }
}

const fn release(neighbour: Neighbour) -> Output {
    Output::Release {
        origin: ORIGIN,
        neighbour,
    }
}

#[test]
fn a_track_moves_when_the_new_upstream_has_the_newest_object_and_the_old_one_overlaps() {
    let mut bench = Bench::flowing();
    bench.use_as(B, Role::Pending);
    assert_eq!(bench.pulled(VIDEO), [A, B]);
    bench.established(VIDEO, B);
    bench.seen(VIDEO, B, 5);
    assert_eq!(bench.take_said(), [], "it brings the past");
    bench.seen(VIDEO, B, 19);
    assert_eq!(bench.take_said(), [caught_up(B)]);
    bench.use_as(A, Role::Draining);
    bench.use_as(B, Role::Primary);
    bench.flow(VIDEO, &[A, B], 20..25);
    assert_eq!((bench.pulled(VIDEO), bench.take_said()), (vec![A, B], vec![]));
    bench.flow(VIDEO, &[A, B], 25..32);
    assert_eq!(bench.take_said(), [release(A)]);
    bench.drop_from(A, true);
    assert_eq!(bench.pulled(VIDEO), [B]);
}

#[test]
fn a_longer_way_that_never_is_first_takes_over_after_a_while() {
    let mut bench = Bench::flowing();
    bench.use_as(B, Role::Pending);
    bench.established(VIDEO, B);
    for object in 20..100 {
        bench.wait(ms(33));
        bench.seen(VIDEO, A, object);
        bench.seen(VIDEO, B, object - 4);
    }
    assert_eq!(bench.take_said(), [caught_up(B)]);
}

#[test]
fn tracks_without_objects_do_not_hold_up_a_move() {
    let mut bench = Bench::flowing();
    bench.want(CHAT);
    bench.established(CHAT, A);
    bench.seen(CHAT, A, 0);
    bench.use_as(B, Role::Pending);
    bench.established(VIDEO, B);
    bench.established(CHAT, B);
    bench.flow(VIDEO, &[A, B], 20..30);
    assert_eq!(bench.take_said(), [], "the chat may yet come");
    bench.flow(VIDEO, &[A, B], 30..80);
    assert_eq!(bench.take_said(), [caught_up(B)]);
}

#[test]
fn nothing_moves_to_a_suspected_upstream() {
    let mut bench = Bench::flowing();
    bench.use_as(B, Role::Pending);
    bench.established(VIDEO, B);
    bench.suspect(B, true);
    bench.flow(VIDEO, &[A, B], 20..90);
    assert_eq!(bench.take_said(), []);
    bench.suspect(B, false);
    assert_eq!(bench.take_said(), [caught_up(B)]);
}

#[test]
fn an_upstream_without_a_route_is_kept_until_another_delivers() {
    let mut bench = Bench::flowing();
    bench.drop_from(A, false);
    bench.use_as(B, Role::Primary);
    assert_eq!(bench.pulled(VIDEO), [A, B]);
    bench.established(VIDEO, B);
    bench.seen(VIDEO, B, 3);
    assert_eq!(bench.pulled(VIDEO), [A, B]);
    bench.seen(VIDEO, B, 20);
    assert_eq!(bench.pulled(VIDEO), [B]);
}

#[test]
fn an_upstream_without_a_route_is_kept_although_another_was_about_to_be_used() {
    let mut bench = Bench::flowing();
    bench.use_as(B, Role::Pending);
    bench.drop_from(A, false);
    bench.use_as(B, Role::Primary);
    assert_eq!(bench.pulled(VIDEO), [A, B]);
}

#[test]
fn what_is_left_over_goes_when_it_brings_nothing_more() {
    let mut bench = Bench::flowing();
    bench.drop_from(A, false);
    bench.flow(VIDEO, &[A], 20..120);
    assert_eq!(bench.pulled(VIDEO), [A], "it feeds, and nothing else does");
    bench.wait(LEFTOVER - ms(1));
    assert_eq!(bench.pulled(VIDEO), [A]);
    bench.wait(ms(1));
    assert_eq!(bench.pulled(VIDEO), []);
}

#[test]
fn an_upstream_that_could_close_a_cycle_goes_at_once() {
    let mut bench = Bench::flowing();
    bench.drop_from(A, true);
    assert_eq!(bench.pulled(VIDEO), []);
}

#[test]
fn a_suspected_upstream_gets_a_second_until_it_has_been_well_for_a_while() {
    let mut bench = Bench::flowing();
    bench.suspect(A, true);
    assert_eq!(bench.take_said(), [HEDGE]);
    bench.use_as(B, Role::Track);
    bench.upstreams.hedged(bench.now, ORIGIN, B);
    bench.established(VIDEO, B);
    bench.flow(VIDEO, &[B], 20..120);
    assert_eq!((bench.pulled(VIDEO), bench.take_said()), (vec![A, B], vec![]));
    bench.suspect(A, false);
    let next = bench.flow(VIDEO, &[A, B], 120..140);
    bench.suspect(A, true);
    bench.suspect(A, false);
    let next = bench.flow(VIDEO, &[A, B], next..next + 20);
    assert_eq!(bench.take_said(), [], "well again for less than a second");
    bench.flow(VIDEO, &[A, B], next..next + 20);
    assert_eq!(bench.take_said(), [release(B)]);
}

#[test]
fn the_second_upstream_takes_over_without_being_asked_again() {
    let mut bench = Bench::flowing();
    bench.suspect(A, true);
    bench.use_as(B, Role::Track);
    bench.established(VIDEO, B);
    bench.tell(Input::Down { neighbour: A });
    bench.use_as(B, Role::Primary);
    assert_eq!(bench.pulled(VIDEO), [B]);
    bench.flow(VIDEO, &[B], 20..100);
    assert_eq!(bench.take_said(), [HEDGE]);
}

#[test]
fn a_second_that_is_suspected_too_gets_a_third() {
    let mut bench = Bench::flowing();
    bench.suspect(A, true);
    bench.use_as(B, Role::Track);
    bench.upstreams.hedged(bench.now, ORIGIN, B);
    bench.suspect(B, true);
    assert_eq!(bench.take_said(), [HEDGE, HEDGE]);
}

#[test]
fn a_track_that_falls_silent_gets_a_second_upstream_that_stays_if_it_brings_more() {
    let mut bench = Bench::flowing();
    bench.wait(STALL);
    assert_eq!(bench.take_said(), [HEDGE]);
    bench.use_as(B, Role::Track);
    bench.upstreams.hedged(bench.now, ORIGIN, B);
    bench.established(VIDEO, B);
    let next = bench.flow(VIDEO, &[B], 20..120);
    assert_eq!((bench.pulled(VIDEO), bench.take_said()), (vec![A, B], vec![]));
    bench.flow(VIDEO, &[A, B], next..next + 40);
    assert_eq!(bench.take_said(), [release(B)]);
}

#[test]
fn a_track_that_is_silent_everywhere_is_tried_less_and_less_often() {
    let mut bench = Bench::flowing();
    let mut tries = 0;
    for _ in 0..600 {
        bench.wait(ms(1000));
        for output in bench.take_said() {
            if output == HEDGE {
                tries += 1;
                bench.use_as(B, Role::Track);
                bench.upstreams.hedged(bench.now, ORIGIN, B);
                bench.established(VIDEO, B);
            } else {
                assert_eq!(output, release(B));
                bench.drop_from(B, true);
            }
        }
    }
    assert!((5..20).contains(&tries), "{tries} in ten minutes");
}

#[test]
fn pauses_of_a_conversation_are_no_silence() {
    let mut bench = Bench::default();
    bench.want(CHAT);
    bench.use_as(A, Role::Primary);
    bench.established(CHAT, A);
    let pauses = [
        200, 3000, 500, 12_000, 800, 300, 9000, 400, 15_000, 700, 1000, 8000,
    ];
    for object in 0..240_u16 {
        bench.wait(ms(pauses[usize::from(object) % pauses.len()]));
        bench.seen(CHAT, A, u64::from(object));
    }
    let tries = bench.take_said().len();
    assert!(tries <= 3, "{tries} in {:?}", bench.now);
}

#[test]
fn nobody_to_turn_to_is_no_reason_to_ask_all_the_time() {
    let mut bench = Bench::flowing();
    bench.wait(STALL);
    for _ in 0..10 {
        assert_eq!(bench.take_said(), [HEDGE]);
        bench.upstreams.hedge_refused(bench.now, ORIGIN);
        bench.wait(STALL_MAX * 2);
    }
}

#[test]
fn a_refusal_is_asked_again_after_twice_the_time() {
    let mut bench = Bench::default();
    bench.want(VIDEO);
    bench.use_as(A, Role::Primary);
    for wait in [100, 200, 400, 800, 1600, 2000, 2000] {
        bench.tell(Input::Lost {
            track: VIDEO,
            neighbour: A,
        });
        bench.wait(ms(wait - 1));
        assert_eq!(bench.pulled(VIDEO), []);
        bench.wait(ms(1));
        assert_eq!(bench.pulled(VIDEO), [A]);
        assert_eq!(bench.reasons.get(&(VIDEO, A)), Some(&Why::Retry));
    }
}

#[test]
fn a_guess_stays_if_it_brings_more_than_there_was() {
    let mut bench = Bench::flowing();
    bench.tell(Input::Down { neighbour: A });
    bench.use_as(B, Role::Tentative);
    assert!(bench.upstreams.is_guess(VIDEO, B) && !bench.upstreams.has_firm(ORIGIN));
    bench.established(VIDEO, B);
    bench.seen(VIDEO, B, 19);
    assert_eq!(bench.take_said(), [], "that was here before");
    bench.seen(VIDEO, B, 20);
    let (origin, neighbour) = (ORIGIN, B);
    assert_eq!(bench.take_said(), [Output::Proved { origin, neighbour }]);
    bench.use_as(B, Role::Primary);
    assert!(!bench.upstreams.is_guess(VIDEO, B) && bench.upstreams.has_firm(ORIGIN));
}

#[test]
fn a_guess_that_brings_the_past_fails_after_a_round_trip_and_two_intervals() {
    let mut bench = Bench::flowing();
    bench.tell(Input::Down { neighbour: A });
    bench.use_as(B, Role::Tentative);
    bench.established(VIDEO, B);
    bench.seen(VIDEO, B, 19);
    bench.wait(ms(105));
    assert_eq!(bench.take_said(), []);
    bench.wait(ms(1));
    let (origin, neighbour) = (ORIGIN, B);
    assert_eq!(bench.take_said(), [Output::Failed { origin, neighbour }]);
}

#[test]
fn a_neighbour_that_is_in_the_way_goes_when_the_primary_carries_all() {
    let mut bench = Bench::flowing();
    bench.use_as(B, Role::Track);
    bench.established(VIDEO, B);
    bench.suspect(A, true);
    bench.flow(VIDEO, &[B], 20..30);
    let (origin, neighbour) = (ORIGIN, B);
    bench.tell(Input::Vacate { origin, neighbour });
    assert_eq!(bench.take_said(), [], "nothing else feeds the track");
    bench.suspect(A, false);
    assert_eq!(bench.take_said(), [release(B)]);
}

#[test]
fn a_track_that_is_wanted_later_is_pulled_from_all_that_are_in_use() {
    let mut bench = Bench::flowing();
    bench.use_as(B, Role::Pending);
    bench.want(CHAT);
    assert_eq!(bench.pulled(CHAT), [A, B]);
    bench.tell(Input::Unwant { track: VIDEO });
    assert_eq!((bench.pulled(VIDEO), bench.pulled(CHAT)), (vec![], vec![A, B]));
}
