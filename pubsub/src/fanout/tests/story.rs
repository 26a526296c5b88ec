//! One source, one subscriber: delivery, ends, priorities, timeouts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use bytes::Bytes;

use super::harness::*;
use crate::fanout::{SubscribeOptions, SubscriptionUpdate};
use crate::track::{Authority, Cache, CacheLimits, Malformed, SourceError};
use crate::wire::data::{FetchObject, ObjectStatus, SubgroupHeader, SubgroupId, SubgroupObject};
use crate::wire::property::Properties;
use crate::wire::{GroupOrder, PublishDoneCode, StreamCode};

#[test]
fn a_group_arrives_on_one_stream_that_ends() {
    let track = relay();
    let source = track.source();
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    put_group(&source, ms(1), 5, 10);
    subscriber.drain(ms(2));
    let stream = subscriber.only_stream();
    assert_eq!(stream.ids(), (0..10).collect::<Vec<_>>());
    assert_eq!(stream.end, End::Fin);
    let header = stream.header.unwrap();
    assert!(header.first_object && header.end_of_group);
    assert_eq!(
        (header.track_alias, header.group, header.subgroup),
        (7, 5, SubgroupId::Zero)
    );
    assert_eq!(subscriber.subscription.backlog(), 0);
    assert_eq!(subscriber.subscription.next_timeout(), None);
}

#[test]
fn bytes_go_out_before_the_object_is_whole() {
    let track = relay();
    let source = track.source();
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let mut writer = source.subgroup(ms(1), &header(0, 0)).unwrap();
    writer.object(ms(1), &head(0, 2000)).unwrap();
    writer.payload(ms(1), Bytes::from(vec![1; 1000])).unwrap();
    let mut out = Vec::new();
    subscriber.subscription.poll(ms(1), 10_000, &mut out).unwrap();
    assert!(out.iter().map(Bytes::len).sum::<usize>() > 1000);
    out.clear();
    assert!(subscriber.subscription.poll(ms(1), 10_000, &mut out).is_none());
    writer.payload(ms(2), Bytes::from(vec![2; 1000])).unwrap();
    subscriber.subscription.poll(ms(2), 10_000, &mut out).unwrap();
    assert_eq!(out, [Bytes::from(vec![2; 1000])]);
}

#[test]
fn at_rest_it_is_woken_without_another_poll() {
    #[derive(Default)]
    struct Calls(AtomicUsize);
    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let track = relay();
    let source = track.source();
    let calls = Arc::new(Calls::default());
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    subscriber.subscription.set_waker(calls.clone().into());
    assert!(
        subscriber
            .subscription
            .poll(ms(0), 10_000, &mut Vec::new())
            .is_none()
    );
    let mut writer = source.subgroup(ms(1), &header(0, 0)).unwrap();
    for round in 1..=3 {
        put(&mut writer, ms(round), 0, [round]);
        assert_eq!(calls.0.swap(0, Ordering::Relaxed), 1);
        let mut out = Vec::new();
        subscriber.subscription.poll(ms(round), 10_000, &mut out).unwrap();
        assert!(subscriber.subscription.is_at_rest());
    }
}

#[test]
fn with_an_end_that_comes_too_late_it_is_not_at_rest() {
    let track = relay();
    let source = track.source();
    let options = SubscribeOptions {
        subgroup_timeout: Some(ms(100)),
        ..SubscribeOptions::default()
    };
    let mut subscriber = Subscriber::new(&track, ms(0), options);
    let mut writer = source.subgroup(ms(1), &header(0, 0)).unwrap();
    put(&mut writer, ms(1), 0, [0]);
    subscriber.drain(ms(1));
    let stream = subscriber.writes[0];
    subscriber.subscription.block(stream);
    writer.fin(ms(10)).unwrap();
    subscriber.drain(ms(10));
    subscriber.subscription.unblock(stream);
    subscriber.drain(ms(200));
    assert_eq!(
        subscriber.only_stream().end,
        End::Reset(StreamCode::DELIVERY_TIMEOUT)
    );
}

#[test]
fn urgent_subgroups_go_first_then_groups_in_order_then_subgroups() {
    let track = relay();
    let source = track.source();
    let options = SubscribeOptions {
        group_order: Some(GroupOrder::Descending),
        ..SubscribeOptions::default()
    };
    let mut subscriber = Subscriber::new(&track, ms(0), options);
    for (group, subgroup, priority) in [(1, 0, 100), (2, 1, 100), (2, 0, 100), (1, 1, 5)] {
        let header = SubgroupHeader {
            priority: Some(priority),
            ..header(group, subgroup)
        };
        let mut writer = source.subgroup(ms(0), &header).unwrap();
        put(&mut writer, ms(0), group, [10 + subgroup]);
        writer.fin(ms(0)).unwrap();
    }
    subscriber.drain(ms(0));
    let order: Vec<_> = subscriber
        .writes
        .iter()
        .map(|key| &subscriber.streams[key].open)
        .map(|open| (open.group, open.subgroup))
        .collect();
    assert_eq!(order, [(1, 1), (2, 0), (2, 1), (1, 0)]);
}

#[test]
fn a_blocked_stream_holds_up_no_other() {
    let track = relay();
    let source = track.source();
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let mut first = source.subgroup(ms(0), &header(0, 0)).unwrap();
    put(&mut first, ms(0), 0, 1..3);
    subscriber.drain(ms(0));
    let blocked = *subscriber.writes.last().unwrap();
    subscriber.subscription.block(blocked);
    put(&mut first, ms(1), 0, 3..5);
    put_group(&source, ms(1), 1, 3);
    subscriber.drain(ms(1));
    assert_eq!(subscriber.streams[&blocked].ids(), [1, 2]);
    assert_eq!(subscriber.objects().len(), 5);
    subscriber.subscription.unblock(blocked);
    subscriber.drain(ms(2));
    assert_eq!(subscriber.streams[&blocked].ids(), [1, 2, 3, 4]);
}

#[test]
fn a_gap_in_the_ids_of_one_upstream_stream_stays_on_one_stream() {
    let track = relay();
    let source = track.source();
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let mut writer = source.subgroup(ms(0), &header(0, 0)).unwrap();
    put(&mut writer, ms(0), 0, [0, 5, 900]);
    writer.fin(ms(0)).unwrap();
    subscriber.drain(ms(0));
    assert_eq!(subscriber.only_stream().ids(), [0, 5, 900]);
}

#[test]
fn a_gap_between_two_upstream_streams_opens_a_new_stream() {
    let track = relay();
    let source = track.source();
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let mut writer = source.subgroup(ms(0), &header(0, 0)).unwrap();
    put(&mut writer, ms(0), 0, [0, 1]);
    writer.reset(ms(0), StreamCode::CANCELLED);
    let mut writer = source.subgroup(ms(1), &header(0, 0)).unwrap();
    put(&mut writer, ms(1), 0, [5, 6]);
    writer.fin(ms(1)).unwrap();
    subscriber.drain(ms(1));
    subscriber.drain(ms(5000));
    let ends: Vec<_> = subscriber
        .streams
        .values()
        .map(|stream| (stream.ids(), stream.end))
        .collect();
    assert_eq!(
        ends,
        [
            (vec![0, 1], End::Reset(StreamCode::CANCELLED)),
            (vec![5, 6], End::Fin)
        ]
    );
}

#[test]
fn objects_of_other_subgroups_prove_a_gap_empty() {
    let track = relay();
    let source = track.source();
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let mut other = source.subgroup(ms(0), &header(0, 1)).unwrap();
    put(&mut other, ms(0), 0, [1, 2]);
    let mut writer = source.subgroup(ms(0), &header(0, 0)).unwrap();
    put(&mut writer, ms(0), 0, [0]);
    drop(writer);
    let mut writer = source.subgroup(ms(1), &header(0, 0)).unwrap();
    put(&mut writer, ms(1), 0, [3]);
    subscriber.drain(ms(1));
    assert_eq!(subscriber.streams.len(), 2, "one stream per subgroup");
}

#[test]
fn a_stream_without_properties_is_replaced_when_they_appear() {
    let track = relay();
    let (one, two) = (track.source(), track.source());
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let mut writer = one.subgroup(ms(0), &header(0, 0)).unwrap();
    put(&mut writer, ms(0), 0, [0]);
    subscriber.drain(ms(0));
    let with = SubgroupHeader {
        has_properties: true,
        ..header(0, 0)
    };
    let mut other = two.subgroup(ms(1), &with).unwrap();
    let properties = Properties::from_bytes(Bytes::from_static(&[0x10, 0x01]));
    put(&mut other, ms(1), 0, [0]);
    let object = SubgroupObject {
        properties,
        ..head(1, payload(0, 1).len())
    };
    other.object(ms(1), &object).unwrap();
    other.payload(ms(1), payload(0, 1)).unwrap();
    subscriber.drain(ms(1));
    assert_eq!(subscriber.objects(), [at(0, 0), at(0, 1)]);
    let forms: Vec<_> = subscriber
        .streams
        .values()
        .map(|stream| stream.header.unwrap().has_properties)
        .collect();
    assert_eq!(forms, [false, true]);
}

#[test]
fn datagrams_stay_datagrams() {
    let track = relay();
    let source = track.source();
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    source.datagram(ms(0), &datagram(1, 1)).unwrap();
    source.datagram(ms(0), &datagram(1, 0)).unwrap();
    source.datagram(ms(0), &datagram(1, 1)).unwrap();
    subscriber.drain(ms(0));
    assert_eq!(subscriber.datagrams, [at(1, 1), at(1, 0)]);
    let mut fetch = Fetcher::new(&track, at(1, 0), at(1, 2), GroupOrder::Ascending);
    fetch.drain(ms(0));
    assert_eq!(fetch.objects, [at(1, 0), at(1, 1)]);
}

#[test]
fn a_datagram_that_a_fetch_brought_in_pieces_goes_out_whole() {
    let track = relay();
    let source = track.source();
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let bytes = payload(1, 0);
    let object = FetchObject {
        location: at(1, 0),
        subgroup: None,
        priority: 100,
        properties: Properties::empty(),
        payload_len: bytes.len() as u64,
    };
    let mut fill = track.fill(at(1, 0), at(1, 0), GroupOrder::Ascending);
    fill.object(ms(0), &object).unwrap();
    fill.payload(ms(0), bytes.slice(..9)).unwrap();
    source.datagram(ms(0), &datagram(1, 0)).unwrap();
    subscriber.drain(ms(0));
    assert_eq!(subscriber.datagrams, [at(1, 0)]);
}

#[test]
fn nothing_is_sent_while_forward_is_off() {
    let track = relay();
    let source = track.source();
    let options = SubscribeOptions {
        forward: false,
        ..SubscribeOptions::default()
    };
    let mut subscriber = Subscriber::new(&track, ms(0), options);
    put_group(&source, ms(0), 0, 3);
    subscriber.drain(ms(0));
    assert!(subscriber.streams.is_empty());
    let on = SubscriptionUpdate {
        forward: Some(true),
        ..SubscriptionUpdate::default()
    };
    subscriber.subscription.update(ms(1), on);
    assert_eq!(subscriber.subscription.joining_location(), Some(at(0, 2)));
    put_group(&source, ms(1), 1, 3);
    subscriber.drain(ms(1));
    assert_eq!(subscriber.objects(), [at(1, 0), at(1, 1), at(1, 2)]);
    let mut writer = source.subgroup(ms(2), &header(2, 0)).unwrap();
    put(&mut writer, ms(2), 2, [0]);
    subscriber.drain(ms(2));
    let off = SubscriptionUpdate {
        forward: Some(false),
        ..SubscriptionUpdate::default()
    };
    subscriber.subscription.update(ms(3), off);
    put(&mut writer, ms(3), 2, [1]);
    subscriber.drain(ms(3));
    assert_eq!(
        subscriber.streams.values().last().unwrap().end,
        End::Reset(StreamCode::CANCELLED)
    );
    assert_eq!(subscriber.objects().len(), 4);
}

#[test]
fn an_ended_track_is_delivered_before_it_is_done() {
    let track = relay();
    let source = track.source();
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    put_group(&source, ms(0), 0, 5);
    drop(source);
    track.end(PublishDoneCode::TRACK_ENDED, "over");
    subscriber.drain(ms(1));
    assert_eq!(subscriber.objects().len(), 5);
    assert_eq!(subscriber.done, Some((PublishDoneCode::TRACK_ENDED, Some(1))));
}

#[test]
fn the_end_of_a_group_is_told() {
    let track = relay();
    let source = track.source();
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let mut writer = source.subgroup(ms(0), &header(0, 0)).unwrap();
    put(&mut writer, ms(0), 0, [0, 1]);
    let marker = SubgroupObject {
        status: ObjectStatus::EndOfGroup,
        ..head(2, 0)
    };
    writer.object(ms(0), &marker).unwrap();
    writer.fin(ms(0)).unwrap();
    subscriber.drain(ms(0));
    let last = subscriber.only_stream().objects.last().unwrap().clone();
    assert_eq!((last.0, last.1), (2, ObjectStatus::EndOfGroup));
    assert_eq!(subscriber.only_stream().end, End::Fin);
    let mut writer = source.subgroup(ms(1), &header(0, 1)).unwrap();
    assert_eq!(
        writer.object(ms(1), &head(3, 0)),
        Err(SourceError::Malformed(Malformed::AfterGroupEnd))
    );
}

#[test]
fn a_malformed_track_ends_its_subscriptions_and_fetches() {
    let track = relay();
    let source = track.source();
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let mut writer = source.subgroup(ms(0), &header(0, 0)).unwrap();
    put(&mut writer, ms(0), 0, [0]);
    subscriber.drain(ms(0));
    let mut fetch = Fetcher::new(&track, at(0, 0), at(0, 1), GroupOrder::Ascending);
    let mut other = source
        .subgroup(
            ms(0),
            &SubgroupHeader {
                priority: Some(3),
                ..header(0, 0)
            },
        )
        .unwrap();
    assert_eq!(
        other.object(ms(0), &head(1, 0)),
        Err(SourceError::Malformed(Malformed::Priority))
    );
    subscriber.drain(ms(1));
    assert_eq!(subscriber.done, Some((PublishDoneCode::MALFORMED_TRACK, None)));
    assert_eq!(
        subscriber.only_stream().end,
        End::Reset(StreamCode::MALFORMED_TRACK)
    );
    fetch.drain(ms(1));
    assert_eq!(fetch.reset, Some(StreamCode::MALFORMED_TRACK));
}

#[test]
fn late_objects_are_dropped_with_their_subgroup() {
    let track = relay();
    let source = track.source();
    let options = SubscribeOptions {
        object_timeout: Some(ms(100)),
        ..SubscribeOptions::default()
    };
    let mut subscriber = Subscriber::new(&track, ms(0), options);
    let mut writer = source.subgroup(ms(0), &header(0, 0)).unwrap();
    put(&mut writer, ms(0), 0, [1]);
    subscriber.drain(ms(0));
    let stream = *subscriber.writes.last().unwrap();
    subscriber.subscription.block(stream);
    put(&mut writer, ms(10), 0, [2, 3]);
    subscriber.drain(ms(10));
    let timeout = subscriber.subscription.next_timeout().unwrap();
    assert!(timeout > ms(110) && timeout <= ms(112), "{timeout:?}");
    subscriber.drain(timeout);
    assert_eq!(
        subscriber.streams[&stream].end,
        End::Reset(StreamCode::DELIVERY_TIMEOUT)
    );
    put(&mut writer, ms(120), 0, [4]);
    put_group(&source, ms(120), 1, 2);
    subscriber.drain(ms(121));
    assert_eq!(subscriber.objects(), [at(0, 1), at(1, 0), at(1, 1)]);
    assert_eq!(subscriber.done, None);
}

#[test]
fn a_subgroup_not_acknowledged_in_time_is_reset() {
    let track = relay();
    let source = track.source();
    let options = SubscribeOptions {
        subgroup_timeout: Some(ms(100)),
        ..SubscribeOptions::default()
    };
    let mut subscriber = Subscriber::new(&track, ms(0), options);
    put_group(&source, ms(0), 0, 2);
    put_group(&source, ms(0), 1, 2);
    subscriber.drain(ms(1));
    let keys: Vec<_> = subscriber.streams.keys().copied().collect();
    subscriber.subscription.acknowledged(keys[0]);
    assert_eq!(subscriber.subscription.next_timeout(), Some(ms(100)));
    subscriber.drain(ms(100));
    assert_eq!(subscriber.streams[&keys[0]].end, End::Fin);
    assert_eq!(
        subscriber.streams[&keys[1]].end,
        End::Reset(StreamCode::DELIVERY_TIMEOUT)
    );
}

#[test]
fn a_stopped_subgroup_is_not_opened_again() {
    let track = relay();
    let source = track.source();
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let mut writer = source.subgroup(ms(0), &header(0, 0)).unwrap();
    put(&mut writer, ms(0), 0, [1]);
    subscriber.drain(ms(0));
    subscriber.subscription.stopped(subscriber.writes[0]);
    put(&mut writer, ms(1), 0, [2]);
    subscriber.drain(ms(1));
    assert_eq!(subscriber.objects(), [at(0, 1)]);
    assert_eq!(subscriber.only_stream().end, End::Reset(StreamCode::CANCELLED));
}

#[test]
fn a_subscriber_far_behind_is_ended_alone() {
    let limits = CacheLimits {
        max_lag: 5000,
        ..CacheLimits::default()
    };
    let track = track_in(&Cache::new(limits), Authority::Relay);
    let source = track.source();
    let mut slow = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let mut fast = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let mut writer = source.subgroup(ms(0), &header(0, 0)).unwrap();
    put(&mut writer, ms(0), 0, [0]);
    slow.drain(ms(0));
    slow.subscription.block(slow.writes[0]);
    for id in 1..300 {
        put(&mut writer, ms(id), 0, [id]);
        fast.drain(ms(id));
        slow.drain(ms(id));
    }
    assert_eq!(slow.done, Some((PublishDoneCode::TOO_FAR_BEHIND, None)));
    assert_eq!(slow.only_stream().end, End::Reset(StreamCode::TOO_FAR_BEHIND));
    assert_eq!(fast.objects().len(), 300);
}
