//! Fetches: from the cache, over holes, and their ends.

use super::harness::*;
use crate::fanout::{Fetch, FetchError, FetchOptions, FetchStep};
use crate::track::Track;
use crate::wire::data::FetchObject;
use crate::wire::property::Properties;
use crate::wire::{GroupOrder, Location};

fn hole(start: Location, end: Location) -> FetchStep {
    FetchStep::Hole { start, end }
}

fn object(group: u64, id: u64) -> FetchObject {
    FetchObject {
        location: at(group, id),
        subgroup: Some(0),
        priority: 100,
        properties: Properties::empty(),
        payload_len: payload(group, id).len() as u64,
    }
}

pub(super) fn fill(
    track: &std::sync::Arc<Track>,
    start: Location,
    end: Location,
    order: GroupOrder,
    objects: &[(u64, u64)],
) {
    let mut fill = track.fill(start, end, order);
    for &(group, id) in objects {
        fill.object(ms(1), &object(group, id)).unwrap();
        if !payload(group, id).is_empty() {
            fill.payload(ms(1), payload(group, id)).unwrap();
        }
    }
    let wire_end = at(end.group, end.object.wrapping_add(1));
    fill.fin(ms(1), wire_end, false);
}

#[test]
fn a_hole_is_named_filled_and_passed() {
    let track = relay();
    let source = track.source();
    put_group(&source, ms(0), 1, 3);
    put_group(&source, ms(0), 5, 3);
    let mut fetch = Fetcher::new(&track, at(1, 0), at(5, 2), GroupOrder::Ascending);
    assert_eq!(fetch.fetch.range(), Some((at(5, 2), false)));
    assert_eq!(fetch.drain(ms(0)), hole(at(2, 0), at(4, u64::MAX)));
    assert_eq!(fetch.objects, [at(1, 0), at(1, 1), at(1, 2)]);
    fill(
        &track,
        at(2, 0),
        at(4, u64::MAX),
        GroupOrder::Ascending,
        &[(3, 1), (3, 4)],
    );
    assert_eq!(fetch.drain(ms(1)), FetchStep::Pending);
    assert!(fetch.fin);
    assert_eq!(
        fetch.objects,
        [
            at(1, 0),
            at(1, 1),
            at(1, 2),
            at(3, 1),
            at(3, 4),
            at(5, 0),
            at(5, 1)
        ]
    );
    let mut again = Fetcher::new(&track, at(2, 0), at(4, 0), GroupOrder::Ascending);
    again.drain(ms(1));
    assert_eq!((again.objects.len(), again.fin), (2, true));
}

#[test]
fn a_hole_given_up_is_told_as_unknown() {
    let track = relay();
    let source = track.source();
    put_group(&source, ms(0), 1, 3);
    put_group(&source, ms(0), 5, 3);
    let mut fetch = Fetcher::new(&track, at(1, 0), at(5, 0), GroupOrder::Ascending);
    assert_eq!(fetch.drain(ms(0)), hole(at(2, 0), at(4, u64::MAX)));
    fetch.fetch.unknown(at(2, 0), at(4, u64::MAX));
    fetch.drain(ms(0));
    assert!(fetch.fin);
    assert_eq!(fetch.unknown, [at(4, u64::MAX)]);
    assert_eq!(fetch.objects.len(), 6);
}

#[test]
fn groups_descend_and_their_objects_ascend() {
    let track = relay();
    let source = track.source();
    put_group(&source, ms(0), 1, 3);
    put_group(&source, ms(0), 5, 3);
    let mut fetch = Fetcher::new(&track, at(1, 1), at(5, 2), GroupOrder::Descending);
    assert_eq!(fetch.drain(ms(0)), hole(at(2, 0), at(4, u64::MAX)));
    assert_eq!(fetch.objects, [at(5, 0), at(5, 1)]);
    fill(
        &track,
        at(2, 0),
        at(4, u64::MAX),
        GroupOrder::Descending,
        &[(4, 1), (2, 0), (2, 7)],
    );
    fetch.drain(ms(1));
    assert!(fetch.fin);
    assert_eq!(
        fetch.objects[2..],
        [at(4, 1), at(2, 0), at(2, 7), at(1, 1), at(1, 2)]
    );
}

#[test]
fn a_descending_hole_given_up_is_told_as_unknown() {
    let track = relay();
    let source = track.source();
    put_group(&source, ms(0), 1, 2);
    put_group(&source, ms(0), 5, 2);
    let mut fetch = Fetcher::new(&track, at(1, 0), at(5, 0), GroupOrder::Descending);
    let FetchStep::Hole { start, end } = fetch.drain(ms(0)) else {
        panic!("no hole")
    };
    fetch.fetch.unknown(start, end);
    fetch.drain(ms(0));
    assert!(fetch.fin);
    assert_eq!(fetch.unknown, [at(2, u64::MAX)]);
    assert_eq!(fetch.objects.len(), 4);
}

#[test]
fn the_end_is_clipped_to_the_largest_object() {
    let track = relay();
    let source = track.source();
    put_group(&source, ms(0), 1, 3);
    let mut fetch = Fetcher::new(&track, at(1, 0), at(9, 0), GroupOrder::Ascending);
    assert_eq!(fetch.fetch.range(), Some((at(1, 3), false)));
    fetch.drain(ms(0));
    assert!(fetch.fin);
    let options = FetchOptions {
        start: at(1, 3),
        end: at(9, 0),
        order: GroupOrder::Ascending,
        priority: 0,
    };
    assert_eq!(
        Fetch::new(&track, ms(0), options, waker(), 0).err(),
        Some(FetchError::InvalidRange)
    );
    let empty = relay();
    let _source = empty.source();
    assert_eq!(
        Fetch::new(&empty, ms(0), options, waker(), 0).err(),
        Some(FetchError::InvalidRange)
    );
}

#[test]
fn without_a_source_upstream_says_where_the_end_is() {
    let track = relay();
    let mut fetch = Fetcher::new(&track, at(1, 0), at(9, 0), GroupOrder::Ascending);
    assert_eq!(fetch.fetch.range(), None);
    assert_eq!(fetch.drain(ms(0)), hole(at(1, 0), at(9, u64::MAX)));
    let mut upstream = track.fill(at(1, 0), at(9, u64::MAX), GroupOrder::Ascending);
    upstream.object(ms(1), &object(1, 1)).unwrap();
    upstream.payload(ms(1), payload(1, 1)).unwrap();
    assert_eq!(fetch.drain(ms(1)), hole(at(1, 2), at(9, u64::MAX)));
    assert_eq!(fetch.objects, [at(1, 1)]);
    upstream.fin(ms(2), at(4, 2), true);
    fetch.drain(ms(2));
    assert_eq!(fetch.fetch.range(), Some((at(4, 2), true)));
    assert!(fetch.fin);
}

#[test]
fn the_original_publisher_knows_its_gaps() {
    let track = original();
    let source = track.source();
    put_group(&source, ms(0), 1000, 3);
    put_group(&source, ms(0), 2000, 3);
    let mut fetch = Fetcher::new(&track, at(0, 0), at(2000, 0), GroupOrder::Ascending);
    fetch.drain(ms(0));
    assert!(fetch.fin);
    assert_eq!(fetch.objects.len(), 6);
    let mut fetch = Fetcher::new(&track, at(0, 0), at(2000, 0), GroupOrder::Descending);
    fetch.drain(ms(0));
    assert!(fetch.fin);
    assert_eq!(fetch.objects[0], at(2000, 0));
}

#[test]
fn an_arriving_object_is_waited_for() {
    let track = relay();
    let source = track.source();
    let mut writer = source.subgroup(ms(0), &header(0, 0)).unwrap();
    let bytes = payload(0, 3);
    writer.object(ms(0), &head(3, bytes.len())).unwrap();
    let mut fetch = Fetcher::new(&track, at(0, 3), at(0, 4), GroupOrder::Ascending);
    assert_eq!(fetch.drain(ms(0)), FetchStep::Pending);
    writer.payload(ms(1), bytes).unwrap();
    fetch.drain(ms(1));
    assert!(fetch.fin);
}

#[test]
fn what_a_fetch_brought_is_not_owed_to_subscriptions() {
    let track = relay();
    let source = track.source();
    let mut subscriber = Subscriber::new(&track, ms(0), crate::fanout::SubscribeOptions::default());
    fill(
        &track,
        at(0, 0),
        at(0, 3),
        GroupOrder::Ascending,
        &[(0, 0), (0, 1)],
    );
    subscriber.drain(ms(1));
    assert_eq!(subscriber.objects(), []);
    let mut writer = source.subgroup(ms(2), &header(0, 0)).unwrap();
    put(&mut writer, ms(2), 0, [1, 2]);
    subscriber.drain(ms(2));
    // The fetch has told that object 2 does not exist.
    assert_eq!(subscriber.objects(), [at(0, 1)]);
    assert_eq!(track.stats().ignored_objects, 1);
}

#[test]
fn objects_older_than_they_may_be_served_are_unknown_again() {
    let track = relay();
    let max_age = Properties::builder()
        .int(crate::wire::property::kind::MAX_CACHE_DURATION, 1000)
        .build()
        .unwrap();
    track.set_properties(max_age).unwrap();
    let source = track.source();
    put_group(&source, ms(0), 0, 3);
    let mut fetch = Fetcher::new(&track, at(0, 0), at(0, 3), GroupOrder::Ascending);
    assert_eq!(fetch.drain(ms(1001)), hole(at(0, 0), at(0, 2)));
    assert_eq!(track.deadline(), Some(ms(1000)));
    track.expire(ms(1000));
    assert_eq!(track.stats().groups, 0);
}
