//! The cache's bounds, and who is told when something leaves.

use super::harness::*;
use crate::fanout::{StreamCredit, SubscribeOptions};
use crate::track::{Authority, Cache, CacheLimits};
use crate::wire::PublishDoneCode;

fn small() -> CacheLimits {
    CacheLimits {
        budget: 100_000,
        min_groups: 2,
        min_age: ms(1000),
        ..CacheLimits::default()
    }
}

#[test]
fn old_groups_of_the_least_used_track_leave_first() {
    let cache = Cache::new(small());
    let (idle, busy) = (
        track_in(&cache, Authority::Relay),
        track_in(&cache, Authority::Relay),
    );
    let (one, two) = (idle.source(), busy.source());
    for group in 0..10 {
        put_group(&one, ms(0), group, 10);
    }
    for group in 0..30 {
        put_group(&two, ms(2000 + group), group, 10);
        assert!(cache.bytes() <= 200_000);
    }
    assert_eq!(idle.stats().groups, 2, "the last groups stay");
    assert!(busy.stats().groups > 5);
    drop((one, idle));
    drop((two, busy));
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn a_group_that_never_ends_loses_its_oldest_objects() {
    let cache = Cache::new(small());
    let track = track_in(&cache, Authority::Relay);
    let source = track.source();
    let mut fast = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let mut slow = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let mut writer = source.subgroup(ms(0), &header(0, 0)).unwrap();
    for id in 0..2000 {
        put(&mut writer, ms(id), 0, [id]);
        fast.drain(ms(id));
        assert!(cache.bytes() <= 202_000, "{} bytes", cache.bytes());
    }
    assert_eq!(fast.objects().len(), 2000);
    slow.drain(ms(2000));
    assert_eq!(slow.done, Some((PublishDoneCode::TOO_FAR_BEHIND, Some(0))));
}

#[test]
fn a_subscription_that_ended_for_an_eviction_owes_nothing_of_what_stayed() {
    let cache = Cache::new(small());
    let track = track_in(&cache, Authority::Relay);
    let source = track.source();
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    for group in 0..100 {
        put_group(&source, ms(group * 100), group, 10);
    }
    assert!(track.stats().evicted_groups > 0 && track.stats().groups > 0);
    subscriber.drain(ms(10_000));
    assert_eq!(subscriber.done, Some((PublishDoneCode::TOO_FAR_BEHIND, Some(0))));
    assert_eq!(subscriber.subscription.backlog(), 0);
    assert_eq!(subscriber.subscription.next_timeout(), None);
}

#[test]
fn an_object_is_not_sent_again_after_it_was_evicted() {
    let cache = Cache::new(small());
    let track = track_in(&cache, Authority::Relay);
    let (one, two) = (track.source(), track.source());
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    for group in 0..100 {
        put_group(&one, ms(group * 100), group, 10);
        subscriber.drain(ms(group * 100));
    }
    assert!(track.stats().evicted_groups > 50);
    put_group(&two, ms(10_000), 3, 10);
    subscriber.drain(ms(10_000));
    let objects = subscriber.objects();
    assert_eq!(objects.len(), 1000);
    assert_eq!(subscriber.done, None);
}

#[test]
fn with_a_delivery_timeout_evicted_objects_are_dropped_not_fatal() {
    let cache = Cache::new(small());
    let track = track_in(&cache, Authority::Relay);
    let source = track.source();
    let options = SubscribeOptions {
        object_timeout: Some(ms(500)),
        ..SubscribeOptions::default()
    };
    let mut subscriber = Subscriber::new(&track, ms(0), options);
    for group in 0..100 {
        put_group(&source, ms(group * 100), group, 10);
    }
    subscriber.drain(ms(9_900));
    assert_eq!(subscriber.done, None);
    assert_eq!(subscriber.objects().len(), 60);
}

#[test]
fn a_group_that_comes_back_after_its_eviction_goes_on() {
    let cache = Cache::new(small());
    let track = track_in(&cache, Authority::Relay);
    let source = track.source();
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let mut writer = source.subgroup(ms(0), &header(0, 0)).unwrap();
    put(&mut writer, ms(0), 0, 0..5);
    for group in 1..100 {
        put_group(&source, ms(group * 100), group, 10);
        if track.stats().evicted_groups == 1 {
            // Nobody has looked since the eviction.
            put(&mut writer, ms(group * 100), 0, 5..8);
            break;
        }
        subscriber.drain(ms(group * 100));
    }
    subscriber.drain(ms(20_000));
    let first: Vec<_> = subscriber
        .objects()
        .into_iter()
        .filter(|at| at.group == 0)
        .collect();
    assert_eq!(first.len(), 8);
    assert_eq!(subscriber.done, None);
}

#[test]
fn what_threads_share_can_be_shared() {
    fn shared<T: Send + Sync>() {}
    fn moved<T: Send>() {}
    shared::<crate::track::Track>();
    shared::<Cache>();
    moved::<crate::fanout::Subscription>();
    moved::<crate::fanout::Fetch>();
    moved::<crate::track::SubgroupWriter>();
}

#[test]
fn without_stream_credit_what_is_owed_counts_as_behind() {
    let cache = Cache::new(CacheLimits {
        max_lag: 2000,
        ..CacheLimits::default()
    });
    let track = track_in(&cache, Authority::Relay);
    let source = track.source();
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let mut open = source.subgroup(ms(0), &header(0, 0)).unwrap();
    put(&mut open, ms(0), 0, 0..2);
    subscriber.drain(ms(0));
    subscriber.subscription.set_stream_credit(StreamCredit::Exhausted);
    put(&mut open, ms(1), 0, 2..4);
    put_group(&source, ms(1), 1, 1);
    subscriber.drain(ms(1));
    assert_eq!(subscriber.objects(), [at(0, 0), at(0, 1), at(0, 2), at(0, 3)]);
    assert!(subscriber.subscription.backlog() > 0);
    subscriber.subscription.set_stream_credit(StreamCredit::Available);
    subscriber.drain(ms(2));
    assert!(subscriber.objects().contains(&at(1, 0)));
    subscriber.subscription.set_stream_credit(StreamCredit::Exhausted);
    for group in 2..100 {
        put_group(&source, ms(3), group, 1);
        subscriber.drain(ms(3));
    }
    assert_eq!(
        subscriber.done.map(|(code, _)| code),
        Some(PublishDoneCode::TOO_FAR_BEHIND)
    );
}
