//! A relay whose upstream is gone goes on with another: what it asks for, and what it is given.

use std::sync::Arc;

use proptest::prelude::*;

use super::fetch::fill;
use super::harness::*;
use crate::fanout::SubscribeOptions;
use crate::track::{Authority, Cache, CacheLimits, Source, SubgroupWriter, Time, Track};
use crate::wire::data::{Datagram, SubgroupHeader};
use crate::wire::property::Properties;
use crate::wire::{Filter, GroupOrder, Location, PublishDoneCode};

#[test]
fn a_whole_track_goes_on_behind_its_largest_object() {
    let track = relay();
    assert_eq!(track.next_expected(), None);
    let source = track.source();
    put_group(&source, ms(0), 0, 3);
    put_group(&source, ms(0), 1, 2);
    assert_eq!(track.next_expected(), Some(at(1, 2)));
    track.claim_largest(at(7, 7));
    assert_eq!(track.next_expected(), Some(at(1, 2)), "a claim brings nothing");
}

#[test]
fn what_was_published_before_the_subscription_is_not_expected() {
    let track = relay();
    track.claim_largest(at(4, 5));
    assert_eq!(track.next_expected(), Some(at(4, 6)));
    let source = track.source();
    let mut late = source.subgroup(ms(0), &header(5, 0)).unwrap();
    put(&mut late, ms(0), 5, 0..2);
    assert_eq!(
        track.next_expected(),
        Some(at(4, 6)),
        "the rest of group 4 may be under way"
    );
    let mut rest = source
        .subgroup(
            ms(0),
            &SubgroupHeader {
                end_of_group: true,
                ..header(4, 0)
            },
        )
        .unwrap();
    put(&mut rest, ms(0), 4, 6..8);
    rest.fin(ms(0)).unwrap();
    // The stream of object 1 is open: it is asked for again, as its subgroup may end with it.
    assert_eq!(track.next_expected(), Some(at(5, 1)));
}

#[test]
fn the_oldest_hole_counts_whatever_subgroup_it_is_in() {
    let track = relay();
    let source = track.source();
    let mut even = source.subgroup(ms(0), &header(3, 0)).unwrap();
    let mut odd = source
        .subgroup(
            ms(0),
            &SubgroupHeader {
                end_of_group: true,
                ..header(3, 1)
            },
        )
        .unwrap();
    put_group(&source, ms(0), 2, 4);
    track.claim_largest(at(9, 0));
    put(&mut even, ms(0), 3, [0, 2, 4]);
    put(&mut odd, ms(0), 3, [1]);
    put_group(&source, ms(0), 4, 4);
    // Groups 0 and 1 could still come: nobody said what there was at the beginning.
    assert_eq!(track.next_expected(), Some(at(0, 0)));
    put_group(&source, ms(0), 0, 1);
    put_group(&source, ms(0), 1, 1);
    assert_eq!(
        track.next_expected(),
        Some(at(3, 1)),
        "the last of a subgroup without end"
    );
    put(&mut odd, ms(0), 3, [3]);
    odd.object(ms(0), &head(5, 10)).unwrap();
    odd.payload(ms(0), vec![1].into()).unwrap();
    drop(odd);
    assert_eq!(
        track.next_expected(),
        Some(at(3, 4)),
        "before what was cut in the middle"
    );
}

#[test]
fn a_group_that_nobody_ended_is_waited_for_while_the_track_is_near() {
    let track = relay();
    let source = track.source();
    for group in 0..2 {
        let mut writer = source.subgroup(ms(0), &header(group, 0)).unwrap();
        put(&mut writer, ms(0), group, 0..3);
        writer.fin(ms(0)).unwrap();
    }
    assert_eq!(
        track.next_expected(),
        Some(at(0, 3)),
        "another subgroup could follow"
    );
    put_group(&source, ms(6000), 2, 3);
    assert_eq!(track.next_expected(), Some(at(2, 3)));
    let mut open = source.subgroup(ms(6000), &header(3, 0)).unwrap();
    put(&mut open, ms(6000), 3, 0..1);
    put_group(&source, ms(20_000), 4, 3);
    track.expire(ms(50_000));
    drop(open);
    assert_eq!(
        track.next_expected(),
        Some(at(3, 0)),
        "its stream was lost just now, and may have ended with its last object"
    );
}

#[test]
fn the_end_of_a_subgroup_that_was_lost_with_its_source_comes_from_the_next() {
    let (one, other) = (relay(), relay());
    let (from, to) = (one.source(), other.source());
    let mut lost = to.subgroup(ms(0), &header(0, 0)).unwrap();
    for track in [&from, &to] {
        put_group(track, ms(0), 1, 3);
    }
    let mut whole = from.subgroup(ms(0), &header(0, 0)).unwrap();
    put(&mut whole, ms(0), 0, 0..3);
    whole.fin(ms(0)).unwrap();
    put(&mut lost, ms(0), 0, 0..3);
    drop(lost);
    // Every object is here, but not the end.
    assert_eq!(other.next_expected(), Some(at(0, 2)));
}

#[test]
fn lost_datagrams_are_asked_for_once_more_and_then_forgotten() {
    let track = relay();
    let source = track.source();
    for id in [0, 1, 3] {
        source.datagram(ms(0), &datagram(0, id)).unwrap();
    }
    assert_eq!(track.next_expected(), Some(at(0, 2)));
    source.datagram(ms(9000), &datagram(1, 0)).unwrap();
    assert_eq!(track.next_expected(), Some(at(1, 1)));
}

#[test]
fn the_cache_is_owed_from_a_location_on_and_then_what_arrives() {
    let track = relay();
    let source = track.source();
    put_group(&source, ms(0), 0, 4);
    let mut open = source.subgroup(ms(0), &header(1, 0)).unwrap();
    put(&mut open, ms(0), 1, 0..2);
    source.datagram(ms(0), &datagram(2, 0)).unwrap();
    let mut subscriber = Subscriber::resume(&track, ms(1), SubscribeOptions::default(), at(0, 2));
    assert_eq!(subscriber.subscription.first_available(), at(0, 2));
    assert_eq!(subscriber.subscription.joining_location(), Some(at(2, 0)));
    subscriber.drain(ms(1));
    put(&mut open, ms(2), 1, 2..3);
    open.fin(ms(2)).unwrap();
    subscriber.drain(ms(2));
    let expected = [at(0, 2), at(0, 3), at(1, 0), at(1, 1), at(1, 2), at(2, 0)];
    assert_eq!(subscriber.objects(), expected);
    assert!(subscriber.streams.values().all(|stream| stream.end == End::Fin));
    assert_eq!(subscriber.subscription.backlog(), 0);
}

#[test]
fn a_range_passes_only_from_the_location_on_and_then_ends() {
    let track = relay();
    let source = track.source();
    for group in 0..4 {
        put_group(&source, ms(0), group, 2);
    }
    let range = |start, end_group| SubscribeOptions {
        filter: Some(Filter::AbsoluteRange { start, end_group }),
        ..SubscribeOptions::default()
    };
    let mut subscriber = Subscriber::resume(&track, ms(0), range(at(0, 0), 2), at(1, 1));
    subscriber.drain(ms(0));
    subscriber.drain(ms(5000));
    assert_eq!(subscriber.objects(), [at(1, 1), at(2, 0), at(2, 1)]);
    assert_eq!(
        subscriber.done.map(|(code, _)| code),
        Some(PublishDoneCode::SUBSCRIPTION_ENDED)
    );
}

#[test]
fn what_left_before_is_no_error_and_is_told() {
    let cache = Cache::new(CacheLimits {
        budget: 4000,
        min_age: ms(0),
        ..CacheLimits::default()
    });
    let track = track_in(&cache, Authority::Relay);
    let source = track.source();
    for group in 0..8 {
        put_group(&source, ms(group), group, 2);
    }
    let first = at(*track.lock().groups.first_key_value().unwrap().0, 0);
    assert!(first > at(0, 0), "nothing was evicted");
    let mut subscriber = Subscriber::resume(&track, ms(9), SubscribeOptions::default(), at(0, 0));
    assert_eq!(subscriber.subscription.first_available(), first);
    subscriber.drain(ms(9));
    assert_eq!(subscriber.objects().first(), Some(&first));
    assert_eq!(subscriber.done, None);
    for group in 8..40 {
        put_group(&source, ms(group), group, 2);
    }
    subscriber.drain(ms(50));
    assert_eq!(
        subscriber.done.map(|(code, _)| code),
        Some(PublishDoneCode::TOO_FAR_BEHIND),
        "what leaves later is owed"
    );
}

#[test]
fn what_is_found_is_no_lag_and_what_comes_on_top_is() {
    let cache = Cache::new(CacheLimits {
        max_lag: 300,
        ..CacheLimits::default()
    });
    let track = track_in(&cache, Authority::Relay);
    let source = track.source();
    for group in 0..40 {
        put_group(&source, ms(0), group, 3);
    }
    let mut subscriber = Subscriber::resume(&track, ms(0), SubscribeOptions::default(), at(0, 0));
    assert!(subscriber.subscription.backlog() > 1000);
    subscriber.drain(ms(0));
    assert_eq!((subscriber.objects().len(), subscriber.done), (120, None));

    let mut slow = Subscriber::resume(&track, ms(0), SubscribeOptions::default(), at(0, 0));
    for group in 40..80 {
        put_group(&source, ms(1), group, 3);
    }
    slow.drain(ms(1));
    assert_eq!(
        slow.done.map(|(code, _)| code),
        Some(PublishDoneCode::TOO_FAR_BEHIND)
    );
}

#[test]
fn what_was_only_fetched_is_left_to_fetches() {
    let track = relay();
    let source = track.source();
    put_group(&source, ms(0), 3, 2);
    fill(
        &track,
        at(1, 0),
        at(1, 1),
        GroupOrder::Ascending,
        &[(1, 0), (1, 1)],
    );
    let subscriber = Subscriber::resume(&track, ms(0), SubscribeOptions::default(), at(1, 0));
    assert_eq!(subscriber.subscription.first_available(), at(3, 0));
}

/// What happens on one stream, or one datagram.
#[derive(Clone, Debug)]
enum Lane {
    Stream { header: SubgroupHeader, ids: Vec<u64> },
    Datagrams { group: u64, ids: Vec<u64> },
}

/// A group: to which of three subgroups each of its objects belongs, whether its end is told, whether it is of datagrams.
type Plan = Vec<(Vec<u64>, bool, bool)>;

fn lanes(plan: &Plan) -> Vec<Lane> {
    let mut lanes = Vec::new();
    for (group, (places, told, datagrams)) in (0..).zip(plan) {
        if *datagrams {
            let ids = (0..places.len() as u64).collect();
            lanes.push(Lane::Datagrams { group, ids });
            continue;
        }
        for subgroup in 0..3 {
            let ids: Vec<u64> = (0..)
                .zip(places)
                .filter(|(_, at)| **at == subgroup)
                .map(|(id, _)| id)
                .collect();
            let ends = ids.last() == Some(&(places.len() as u64 - 1));
            let header = SubgroupHeader {
                end_of_group: *told && ends,
                first_object: true,
                ..header(group, subgroup)
            };
            if !ids.is_empty() {
                lanes.push(Lane::Stream { header, ids });
            }
        }
    }
    lanes
}

/// How far a publisher is on one lane, at one relay.
#[derive(Default)]
struct Progress {
    next: usize,
    inside: usize,
    writer: Option<SubgroupWriter>,
    done: bool,
}

/// One relay and where its upstream is.
struct Relay {
    track: Arc<Track>,
    source: Source,
    progress: Vec<Progress>,
}

impl Relay {
    fn new(lanes: usize) -> Self {
        let track = relay();
        Self {
            source: track.source(),
            track,
            progress: std::iter::repeat_with(Progress::default).take(lanes).collect(),
        }
    }

    /// Takes one step on one of the oldest lanes that are not done; false if all are.
    fn step(&mut self, lanes: &[Lane], now: Time, pick: usize) -> bool {
        let open: Vec<usize> = (0..lanes.len())
            .filter(|&lane| !self.progress[lane].done)
            .take(4)
            .collect();
        if open.is_empty() {
            return false;
        }
        let index = open[pick % open.len()];
        let progress = &mut self.progress[index];
        match &lanes[index] {
            Lane::Datagrams { group, ids } => {
                let sent = Datagram {
                    properties: Properties::empty(),
                    ..datagram(*group, ids[progress.next])
                };
                self.source.datagram(now, &sent).unwrap();
                progress.next += 1;
                progress.done = progress.next == ids.len();
            }
            Lane::Stream { header, ids } => {
                let mut writer = match progress.writer.take() {
                    Some(writer) => writer,
                    None => self.source.subgroup(now, header).unwrap(),
                };
                let Some(&id) = ids.get(progress.next) else {
                    progress.done = true;
                    writer.fin(now).unwrap();
                    return true;
                };
                let all = payload(header.group, id);
                if progress.inside == 0 {
                    writer.object(now, &head(id, all.len())).unwrap();
                }
                let end = all.len().min(progress.inside + 1 + pick % 40);
                if end > progress.inside {
                    writer.payload(now, all.slice(progress.inside..end)).unwrap();
                }
                progress.inside = end;
                if end == all.len() {
                    (progress.inside, progress.next) = (0, progress.next + 1);
                }
                progress.writer = Some(writer);
            }
        }
        true
    }
}

/// Brings what a subscriber of one relay got to the track of another.
fn bring(subscriber: &Subscriber, track: &Arc<Track>, now: Time) {
    let source = track.source();
    for stream in subscriber.streams.values() {
        let mut writer = source.subgroup(now, &stream.header.unwrap()).unwrap();
        put(&mut writer, now, stream.open.group, stream.ids());
        if stream.end == End::Fin {
            writer.fin(now).unwrap();
        }
    }
    for at in &subscriber.datagrams {
        source.datagram(now, &datagram(at.group, at.object)).unwrap();
    }
}

fn plan() -> impl Strategy<Value = Plan> {
    let group = (
        proptest::collection::vec(0_u64..3, 1..7),
        any::<bool>(),
        prop::bool::weighted(0.2),
    );
    proptest::collection::vec(group, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn another_upstream_gives_all_the_rest_and_subscribers_get_it_once(
        plan in plan(),
        picks in proptest::collection::vec(any::<usize>(), 0..120),
        other_picks in proptest::collection::vec(any::<usize>(), 0..120),
        read_at in 0_usize..120,
    ) {
        let lanes = lanes(&plan);
        let all: Vec<Location> = (0..).zip(&plan)
            .flat_map(|(group, (places, ..))| (0..places.len() as u64).map(move |id| at(group, id)))
            .collect();
        let mut lost = Relay::new(lanes.len());
        let mut reader = Subscriber::new(&lost.track, ms(0), SubscribeOptions::default());
        for (step, pick) in picks.into_iter().enumerate() {
            lost.step(&lanes, ms(10), pick);
            if step == read_at {
                reader.drain(ms(10));
            }
        }
        let Relay { track, source, progress } = lost;
        drop((progress, source));
        let from = track.next_expected().unwrap_or_default();
        let held = |at: &Location| track.lock().object(*at).is_some_and(|object| object.is_complete());
        if let Some(missing) = all.iter().find(|at| !held(at)) {
            prop_assert!(from <= *missing, "{:?} is behind {:?}", from, missing);
        }
        // The other relay may be behind or ahead of the one that was lost.
        let mut other = Relay::new(lanes.len());
        for pick in other_picks {
            other.step(&lanes, ms(20), pick);
        }
        let mut second = Subscriber::resume(&other.track, ms(30), SubscribeOptions::default(), from);
        prop_assert!(second.subscription.first_available() >= from);
        second.poll(ms(30), 50);
        while other.step(&lanes, ms(40), 0) {}
        second.drain(ms(40));
        prop_assert_eq!(second.done, None);
        prop_assert!(second.objects().iter().all(|at| *at >= from));
        bring(&second, &track, ms(50));
        for time in [50, 3000, 6000] {
            track.expire(ms(time));
            reader.drain(ms(time));
        }
        prop_assert_eq!(track.malformed(), None);
        prop_assert_eq!(all.iter().find(|at| !held(at)), None);
        prop_assert_eq!(reader.objects(), all);
    }
}
