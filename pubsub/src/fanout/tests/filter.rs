//! What passes a subscription: its filter's range, and of that only what arrives after it began.

use super::harness::*;
use crate::fanout::{SubscribeError, SubscribeOptions, Subscription, SubscriptionUpdate};
use crate::wire::data::SubgroupHeader;
use crate::wire::{Filter, GroupOrder, PublishDoneCode};

/// A subscriber that asks for `filter`.
fn asking(filter: Filter) -> SubscribeOptions {
    SubscribeOptions {
        filter: Some(filter),
        ..SubscribeOptions::default()
    }
}

#[test]
fn a_filter_that_starts_in_the_past_passes_only_what_arrives_later() {
    let past = [
        Filter::AbsoluteStart(at(0, 0)),
        Filter::AbsoluteStart(at(3, 1)),
        Filter::AbsoluteRange {
            start: at(0, 0),
            end_group: 9,
        },
    ];
    let options = past.map(asking).into_iter().chain([SubscribeOptions::default()]);
    for options in options {
        for track in [relay(), original()] {
            let source = track.source();
            put_group(&source, ms(0), 2, 3);
            let mut writer = source.subgroup(ms(0), &header(3, 0)).unwrap();
            put(&mut writer, ms(0), 3, 0..2);
            source.datagram(ms(0), &datagram(4, 0)).unwrap();
            let mut subscriber = Subscriber::new(&track, ms(1), options);
            subscriber.drain(ms(1));
            assert_eq!(subscriber.objects(), [], "{:?}", options.filter);
            put(&mut writer, ms(2), 3, 2..4);
            put_group(&source, ms(2), 5, 2);
            source.datagram(ms(2), &datagram(4, 1)).unwrap();
            subscriber.drain(ms(2));
            let later = [at(3, 2), at(3, 3), at(4, 1), at(5, 0), at(5, 1)];
            assert_eq!(subscriber.objects(), later, "{:?}", options.filter);
        }
    }
}

#[test]
fn an_update_to_an_earlier_start_does_not_bring_back_the_past() {
    let track = relay();
    let source = track.source();
    put_group(&source, ms(0), 1, 3);
    let mut subscriber = Subscriber::new(&track, ms(1), asking(Filter::AbsoluteStart(at(8, 0))));
    put_group(&source, ms(2), 2, 3);
    subscriber.drain(ms(2));
    let update = SubscriptionUpdate {
        filter: Some(Filter::AbsoluteStart(at(0, 0))),
        ..SubscriptionUpdate::default()
    };
    subscriber.subscription.update(ms(3), update);
    subscriber.drain(ms(3));
    assert_eq!(subscriber.objects(), []);
    put_group(&source, ms(4), 3, 2);
    subscriber.drain(ms(4));
    assert_eq!(subscriber.objects(), [at(3, 0), at(3, 1)]);
}

/// Players in the field subscribe like this, never fetch, and give up a stream whose Object IDs have gaps.
#[test]
fn largest_object_in_descending_order_gives_each_later_group_from_its_first_object_without_gaps() {
    let track = relay();
    let source = track.source();
    let first = SubgroupHeader {
        first_object: true,
        ..header(3, 0)
    };
    let mut running = source.subgroup(ms(0), &first).unwrap();
    put(&mut running, ms(0), 3, 0..4);
    let options = SubscribeOptions {
        group_order: Some(GroupOrder::Descending),
        ..asking(Filter::LargestObject)
    };
    let mut subscriber = Subscriber::new(&track, ms(1), options);
    put(&mut running, ms(2), 3, 4..6);
    running.fin(ms(2)).unwrap();
    for group in 4..7 {
        put_group(&source, ms(2), group, 5);
    }
    subscriber.drain(ms(3));
    let groups = subscriber.streams.values().map(|stream| stream.open.group);
    assert_eq!(
        groups.collect::<Vec<_>>(),
        [6, 5, 4, 3],
        "the newest goes out first"
    );
    for stream in subscriber.streams.values().filter(|stream| stream.open.group > 3) {
        assert!(stream.header.unwrap().first_object);
        assert_eq!(stream.ids(), (0..5).collect::<Vec<_>>());
        assert_eq!(stream.end, End::Fin);
    }
}

#[test]
fn only_what_arrives_later_is_sent_and_the_joining_fetch_has_the_rest() {
    let track = relay();
    let source = track.source();
    let mut writer = source
        .subgroup(
            ms(0),
            &SubgroupHeader {
                first_object: true,
                ..header(3, 0)
            },
        )
        .unwrap();
    put(&mut writer, ms(0), 3, 0..4);
    let options = SubscribeOptions {
        filter: Some(Filter::LargestObject),
        ..SubscribeOptions::default()
    };
    let mut subscriber = Subscriber::new(&track, ms(1), options);
    assert_eq!(subscriber.subscription.joining_location(), Some(at(3, 3)));
    assert_eq!(subscriber.subscription.start(), at(3, 4));
    put(&mut writer, ms(2), 3, 4..6);
    writer.fin(ms(3)).unwrap();
    subscriber.drain(ms(3));
    assert_eq!(subscriber.objects(), [at(3, 4), at(3, 5)]);
    assert_eq!(subscriber.only_stream().end, End::Fin);
    assert!(!subscriber.only_stream().header.unwrap().first_object);

    let mut joining = Fetcher::new(&track, at(3, 0), at(3, 4), GroupOrder::Ascending);
    joining.drain(ms(3));
    assert!(joining.fin);
    assert_eq!(joining.objects, [at(3, 0), at(3, 1), at(3, 2), at(3, 3)]);
    assert_eq!(joining.fetch.range(), Some((at(3, 4), false)));
}

#[test]
fn a_range_that_is_over_is_refused() {
    let track = relay();
    let source = track.source();
    put_group(&source, ms(0), 5, 1);
    let filter = Some(Filter::AbsoluteRange {
        start: at(2, 0),
        end_group: 4,
    });
    let options = SubscribeOptions {
        filter,
        ..SubscribeOptions::default()
    };
    let refused = Subscription::new(&track, ms(0), options, waker(), 1);
    assert_eq!(refused.err(), Some(SubscribeError::InvalidRange));
}

#[test]
fn a_range_ends_the_subscription_when_it_is_behind() {
    let track = relay();
    let source = track.source();
    let filter = Some(Filter::AbsoluteRange {
        start: at(1, 0),
        end_group: 2,
    });
    let mut subscriber = Subscriber::new(
        &track,
        ms(0),
        SubscribeOptions {
            filter,
            ..SubscribeOptions::default()
        },
    );
    for group in 0..5 {
        put_group(&source, ms(group), group, 2);
    }
    subscriber.drain(ms(10));
    assert_eq!(subscriber.done, None);
    let settled = subscriber.subscription.next_timeout().unwrap();
    subscriber.drain(settled);
    assert_eq!(subscriber.objects(), [at(1, 0), at(1, 1), at(2, 0), at(2, 1)]);
    assert_eq!(
        subscriber.done,
        Some((PublishDoneCode::SUBSCRIPTION_ENDED, Some(2)))
    );
}
