//! Several sources, and what happens when they leave.

use bytes::Bytes;

use super::harness::*;
use crate::fanout::SubscribeOptions;
use crate::track::{CopyStats, Malformed, SourceError};
use crate::wire::data::FetchObject;
use crate::wire::property::Properties;
use crate::wire::{GroupOrder, StreamCode};

fn long(len: usize) -> Bytes {
    (0..len)
        .map(|i| u8::try_from(i % 251).unwrap())
        .collect::<Vec<_>>()
        .into()
}

/// Everything the subscription writes, as one piece per write.
fn written(subscriber: &mut Subscriber, now: crate::track::Time) -> Vec<u8> {
    let mut out = Vec::new();
    while subscriber.subscription.poll(now, 1 << 20, &mut out).is_some() {}
    out.concat()
}

#[test]
fn two_sources_of_one_track_make_one_stream() {
    let track = relay();
    let (one, two) = (track.source(), track.source());
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let mut first = one.subgroup(ms(0), &header(0, 0)).unwrap();
    let mut second = two.subgroup(ms(0), &header(0, 0)).unwrap();
    put(&mut first, ms(0), 0, 0..3);
    put(&mut second, ms(1), 0, 0..5);
    put(&mut first, ms(2), 0, 3..6);
    put(&mut second, ms(3), 0, 5..7);
    first.reset(ms(4), StreamCode::CANCELLED);
    second.fin(ms(4)).unwrap();
    subscriber.drain(ms(5));
    assert_eq!(subscriber.only_stream().ids(), (0..7).collect::<Vec<_>>());
    assert_eq!(subscriber.only_stream().end, End::Fin);
    assert_eq!(track.stats().duplicate_objects, 6);
}

#[test]
fn an_object_cut_off_is_continued_from_another_source() {
    let track = relay();
    let (one, two) = (track.source(), track.source());
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let bytes = long(3000);
    let mut first = one.subgroup(ms(0), &header(0, 0)).unwrap();
    first.object(ms(0), &head(0, 3000)).unwrap();
    first.payload(ms(0), bytes.slice(..1000)).unwrap();
    let mut got = written(&mut subscriber, ms(0));
    drop(first);
    drop(one);
    let mut second = two.subgroup(ms(1), &header(0, 0)).unwrap();
    second.object(ms(1), &head(0, 3000)).unwrap();
    second.payload(ms(1), bytes.slice(..700)).unwrap();
    assert!(written(&mut subscriber, ms(1)).is_empty());
    second.payload(ms(1), bytes.slice(700..)).unwrap();
    got.extend(written(&mut subscriber, ms(1)));
    assert_eq!(got[got.len() - 3000..], bytes[..]);
    assert_eq!(track.stats().cut_objects, 0);
    let copies = CopyStats {
        continued_objects: 1,
        held_bytes: 1000,
        continued_bytes: 2000,
        repeated_bytes: 1000,
    };
    assert_eq!(track.stats().copies, copies);
}

#[test]
fn an_object_without_sources_is_cut_and_comes_back_whole() {
    let track = relay();
    let one = track.source();
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let mut first = one.subgroup(ms(0), &header(0, 0)).unwrap();
    put(&mut first, ms(0), 0, [4]);
    let bytes = payload(0, 5);
    first.object(ms(0), &head(5, bytes.len())).unwrap();
    first.payload(ms(0), bytes.slice(..10)).unwrap();
    subscriber.drain(ms(0));
    drop(first);
    drop(one);
    assert_eq!(track.stats().cut_objects, 1);
    subscriber.drain(ms(1));
    let two = track.source();
    let mut second = two.subgroup(ms(2), &header(0, 0)).unwrap();
    put(&mut second, ms(2), 0, [5, 6]);
    second.fin(ms(2)).unwrap();
    subscriber.drain(ms(2));
    subscriber.drain(ms(9000));
    assert_eq!(subscriber.objects(), [at(0, 4), at(0, 5), at(0, 6)]);
    let ends: Vec<_> = subscriber
        .streams
        .values()
        .map(|stream| (stream.ids(), stream.end))
        .collect();
    assert_eq!(
        ends,
        [
            (vec![4], End::Reset(StreamCode::CANCELLED)),
            (vec![5, 6], End::Fin)
        ]
    );
}

#[test]
fn an_object_waits_for_another_source_only_so_long() {
    let track = relay();
    let (one, two) = (track.source(), track.source());
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let mut first = one.subgroup(ms(0), &header(0, 0)).unwrap();
    first.object(ms(0), &head(0, 100)).unwrap();
    first.payload(ms(0), long(10)).unwrap();
    drop(first);
    drop(one);
    let mut second = two.subgroup(ms(1), &header(0, 0)).unwrap();
    put(&mut second, ms(1), 0, [1]);
    subscriber.drain(ms(1));
    assert_eq!(subscriber.objects(), []);
    let deadline = track.deadline().unwrap();
    assert_eq!(deadline, ms(2000));
    track.expire(deadline);
    assert_eq!(track.deadline(), None);
    subscriber.drain(deadline);
    assert_eq!(subscriber.objects(), [at(0, 1)]);
}

#[test]
fn a_repair_reaches_subscriptions_beside_the_live_edge() {
    let track = relay();
    let one = track.source();
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let mut first = one.subgroup(ms(0), &header(0, 0)).unwrap();
    put(&mut first, ms(0), 0, 0..5);
    drop(first);
    let two = track.source();
    let mut second = two.subgroup(ms(1), &header(0, 0)).unwrap();
    put(&mut second, ms(1), 0, [10]);
    let mut fill = track.fill(at(0, 5), at(0, 9), GroupOrder::Ascending).repair();
    for id in 5..10 {
        let bytes = payload(0, id);
        let object = FetchObject {
            location: at(0, id),
            subgroup: Some(0),
            priority: 100,
            properties: Properties::empty(),
            payload_len: bytes.len() as u64,
        };
        fill.object(ms(2), &object).unwrap();
        fill.payload(ms(2), bytes).unwrap();
        put(&mut second, ms(2), 0, [id + 6]);
        subscriber.drain(ms(2));
    }
    fill.fin(ms(3), at(0, 10), false);
    second.fin(ms(3)).unwrap();
    subscriber.drain(ms(3));
    subscriber.drain(ms(9000));
    subscriber.drain(ms(19000));
    assert_eq!(
        subscriber.objects(),
        (0..16).map(|id| at(0, id)).collect::<Vec<_>>()
    );
    assert_eq!(
        subscriber.streams.len(),
        3,
        "before the gap, behind it, and the repair"
    );
    assert!(subscriber.streams.values().all(|stream| stream.end != End::Open));
}

#[test]
fn copies_that_differ_are_malformed() {
    for problem in ["payload", "length", "place"] {
        let track = relay();
        let (one, two) = (track.source(), track.source());
        let mut first = one.subgroup(ms(0), &header(0, 0)).unwrap();
        put(&mut first, ms(0), 0, [1]);
        let len = payload(0, 1).len();
        let (subgroup, len) = match problem {
            "payload" => (0, len),
            "length" => (0, len + 1),
            _ => (1, len),
        };
        let mut second = two.subgroup(ms(0), &header(0, subgroup)).unwrap();
        let result = second
            .object(ms(0), &head(1, len))
            .and_then(|()| second.payload(ms(0), Bytes::from(vec![9; len])));
        let expected = if problem == "place" {
            Malformed::Place
        } else {
            Malformed::Copies
        };
        assert_eq!(result, Err(SourceError::Malformed(expected)), "{problem}");
        assert_eq!(track.malformed(), Some(expected));
    }
}

#[test]
fn an_object_in_a_told_gap_is_malformed() {
    let track = relay();
    let source = track.source();
    let mut writer = source.subgroup(ms(0), &header(3, 0)).unwrap();
    let properties = Properties::builder()
        .int(crate::wire::property::kind::PRIOR_OBJECT_ID_GAP, 2)
        .build()
        .unwrap();
    let object = crate::wire::data::SubgroupObject {
        properties,
        ..head(5, 0)
    };
    writer.object(ms(0), &object).unwrap();
    let mut other = source.subgroup(ms(0), &header(3, 1)).unwrap();
    put(&mut other, ms(0), 3, [2]);
    assert_eq!(
        other.object(ms(0), &head(4, 0)),
        Err(SourceError::Malformed(Malformed::Gap))
    );
}

#[test]
fn a_subgroup_with_two_ends_is_malformed() {
    let track = relay();
    let (one, two) = (track.source(), track.source());
    let mut first = one.subgroup(ms(0), &header(0, 0)).unwrap();
    let mut second = two.subgroup(ms(0), &header(0, 0)).unwrap();
    put(&mut first, ms(0), 0, 0..3);
    put(&mut second, ms(0), 0, 0..2);
    first.fin(ms(0)).unwrap();
    assert_eq!(
        second.fin(ms(0)),
        Err(SourceError::Malformed(Malformed::SubgroupEnds))
    );
}

#[test]
fn what_stands_behind_a_cut_object_outlives_the_wait_for_its_source() {
    let track = relay();
    let (one, two) = (track.source(), track.source());
    let mut subscriber = Subscriber::new(&track, ms(0), SubscribeOptions::default());
    let mut first = one.subgroup(ms(0), &header(0, 0)).unwrap();
    put(&mut first, ms(0), 0, [1]);
    first.object(ms(0), &head(2, payload(0, 2).len())).unwrap();
    subscriber.drain(ms(0));
    let mut second = two.subgroup(ms(0), &header(0, 0)).unwrap();
    put(&mut second, ms(0), 0, [3]);
    subscriber.subscription.block(subscriber.writes[0]);
    drop((first, second, one, two));
    let stream = subscriber.writes[0];
    subscriber.drain(ms(9000));
    subscriber.subscription.unblock(stream);
    subscriber.drain(ms(9001));
    assert_eq!(subscriber.objects(), [at(0, 1), at(0, 3)]);
}
