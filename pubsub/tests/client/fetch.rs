//! The past of a track, by itself and joined with its present.

use std::time::Duration;

use headwater_pubsub::{
    net::{
        FetchEnd, FetchOptions, FetchReader, Ordered, OrderedOptions, Past, Position, PublishedTrack,
        SubscribeOptions, TrackWriter,
    },
    wire::{GroupOrder, Location, Properties, RequestErrorCode, data::ObjectStatus},
};

use crate::harness::{Ends, brief, name, payload, read, read_all, stories, track};

fn write_groups(writer: &mut TrackWriter, groups: std::ops::Range<u64>) {
    for id in groups {
        let mut group = writer.group(id).expect("new");
        for object in 0..3 {
            group
                .object(Properties::default(), payload(&format!("{id}/{object}")))
                .expect("in order");
        }
        group.finish().expect("whole");
    }
}

fn expected(groups: std::ops::Range<u64>) -> Vec<(u64, u64, String)> {
    groups
        .flat_map(|group| (0..3).map(move |object| (group, object, format!("{group}/{object}"))))
        .collect()
}

fn served(ends: &Ends, groups: u64) -> (PublishedTrack, TrackWriter) {
    let track = track(name("video"));
    ends.far.serve(&track);
    let mut writer = track.writer(ends.clock);
    write_groups(&mut writer, 0..groups);
    (track, writer)
}

async fn fetched(mut reader: FetchReader) -> Vec<(u64, u64, String)> {
    let mut objects = Vec::new();
    while let Some(object) = reader.next().await.expect("not cut") {
        objects.push(brief(&object));
    }
    objects
}

/// Waits for whatever is missing.
const PATIENT: OrderedOptions = OrderedOptions {
    patience: Duration::MAX,
    max_bytes: u64::MAX,
};

async fn in_order(ordered: &mut Ordered, count: usize) -> Vec<(u64, u64, String)> {
    let mut objects = Vec::new();
    while objects.len() < count {
        let object = ordered.next().await.expect("the subscription goes on");
        if object.status == ObjectStatus::Normal {
            objects.push(brief(&object));
        }
    }
    objects
}

stories! {
    async fn a_fetch_gives_its_range_inclusively_and_in_order(ends: Ends) {
        let (_track, _writer) = served(&ends, 5);
        let last = FetchEnd::Object(Location::new(3, 0));
        let reader = ends.near.fetch(name("video"), Location::new(1, 1), last, FetchOptions::default()).await.expect("there");
        assert_eq!(reader.end(), Location::new(3, 1));
        let mut wanted = expected(1..4);
        wanted.drain(7..);
        wanted.remove(0);
        assert_eq!(fetched(reader).await, wanted);
    }

    async fn a_fetch_of_a_group_takes_all_of_it(ends: Ends) {
        let (_track, _writer) = served(&ends, 3);
        let options = FetchOptions { group_order: Some(GroupOrder::Descending), ..FetchOptions::default() };
        let reader = ends.near.fetch(name("video"), Location::new(0, 0), FetchEnd::Group(1), options).await.expect("there");
        let mut wanted = expected(1..2);
        wanted.extend(expected(0..1));
        assert_eq!(fetched(reader).await, wanted);
    }

    async fn a_fetch_of_what_is_not_published_is_refused(ends: Ends) {
        let (_track, _writer) = served(&ends, 2);
        let start = Location::new(7, 0);
        let refused = ends.near.fetch(name("video"), start, FetchEnd::Group(9), FetchOptions::default()).await;
        assert_eq!(refused.expect_err("beyond").code(), Some(RequestErrorCode::INVALID_RANGE));
        let refused = ends.near.fetch(name("none"), start, FetchEnd::Group(9), FetchOptions::default()).await;
        assert_eq!(refused.expect_err("unknown").code(), Some(RequestErrorCode::DOES_NOT_EXIST));
    }

    async fn a_joined_track_has_every_object_once_and_the_past_first(ends: Ends) {
        let (_track, mut writer) = served(&ends, 6);
        let mut subscriber = ends.near.join(name("video"), 2, SubscribeOptions::default()).await.expect("served");
        assert_eq!(subscriber.position(), Position::Past);
        assert_eq!(subscriber.largest(), Some(Location::new(5, 2)));
        write_groups(&mut writer, 6..9);
        writer.end_track();
        assert_eq!(read(&mut subscriber, 9).await, expected(3..6));
        assert_eq!(read_all(&mut subscriber).await, expected(6..9));
        assert_eq!(subscriber.position(), Position::Live);
    }

    async fn a_join_in_the_middle_of_a_group_has_no_seam(ends: Ends) {
        let track = track(name("video"));
        ends.far.serve(&track);
        let mut writer = track.writer(ends.clock);
        let mut group = writer.group(0).expect("new");
        group.object(Properties::default(), payload("0")).expect("in order");
        group.object(Properties::default(), payload("1")).expect("in order");
        let mut subscriber = ends.near.join(name("video"), 0, SubscribeOptions::default()).await.expect("served");
        group.object(Properties::default(), payload("2")).expect("in order");
        group.finish().expect("whole");
        writer.end_track();
        let objects = read_all(&mut subscriber).await;
        assert_eq!(objects, [(0, 0, "0".to_owned()), (0, 1, "1".to_owned()), (0, 2, "2".to_owned())]);
    }

    async fn a_join_on_the_last_object_of_a_group_does_not_wait_for_more_of_it(ends: Ends) {
        let (_track, mut writer) = served(&ends, 2);
        let subscriber = ends.near.join(name("video"), 0, SubscribeOptions::default()).await.expect("served");
        // Only proof that the group is over lets this reader go on.
        let mut ordered = subscriber.ordered(PATIENT);
        write_groups(&mut writer, 2..4);
        assert_eq!(in_order(&mut ordered, 9).await, expected(1..4));
        assert_eq!(ordered.skipped(), 0);
    }

    async fn the_first_group_of_a_track_is_not_held_back_whatever_its_number(ends: Ends) {
        let (_track, mut writer) = served(&ends, 0);
        let subscriber = ends.near.join(name("video"), 0, SubscribeOptions::default()).await.expect("served");
        let mut ordered = subscriber.ordered(PATIENT);
        write_groups(&mut writer, 1_700_000_000_000..1_700_000_000_001);
        assert_eq!(in_order(&mut ordered, 3).await, expected(1_700_000_000_000..1_700_000_000_001));
    }

    async fn a_join_in_a_group_that_goes_on_waits_for_the_rest_of_it(ends: Ends) {
        let track = track(name("video"));
        ends.far.serve(&track);
        let mut writer = track.writer(ends.clock);
        let mut old = writer.group(0).expect("new");
        old.object(Properties::default(), payload("0/0")).expect("in order");
        let subscriber = ends.near.join(name("video"), 0, SubscribeOptions::default()).await.expect("served");
        let mut ordered = subscriber.ordered(PATIENT);
        write_groups(&mut writer, 1..2);
        let mut wanted = expected(0..2);
        let rest = wanted.split_off(1);
        assert_eq!(in_order(&mut ordered, 1).await, wanted);
        // The newer group is there; the older one is in doubt and no answer ends the doubt.
        let early = tokio::time::timeout(Duration::from_millis(200), ordered.next()).await;
        assert!(early.is_err(), "{early:?} before the rest of its group");
        old.object(Properties::default(), payload("0/1")).expect("in order");
        old.object(Properties::default(), payload("0/2")).expect("in order");
        old.finish().expect("whole");
        assert_eq!(in_order(&mut ordered, 5).await, rest);
    }

    async fn a_fetch_tells_of_what_nobody_knows(ends: Ends) {
        let track = track(name("video"));
        ends.far.serve(&track);
        let mut writer = track.writer(ends.clock);
        let mut open = writer.group(0).expect("new");
        open.object(Properties::default(), payload("0/0")).expect("in order");
        write_groups(&mut writer, 1..2);
        let start = Location::new(0, 0);
        let mut reader = ends.near.fetch(name("video"), start, FetchEnd::Group(1), FetchOptions::default()).await.expect("there");
        let mut objects = Vec::new();
        while let Some(object) = reader.next().await.expect("not cut") {
            objects.push(brief(&object));
        }
        let mut wanted = expected(0..2);
        wanted.drain(1..3);
        assert_eq!(objects, wanted);
        assert_eq!(reader.unknown_ranges(), 1);
        open.finish().expect("whole");
    }

    async fn a_joined_track_tells_what_of_its_past_nobody_knows(ends: Ends) {
        let track = track(name("video"));
        ends.far.serve(&track);
        let mut writer = track.writer(ends.clock);
        let mut open = writer.group(0).expect("new");
        open.object(Properties::default(), payload("0/0")).expect("in order");
        write_groups(&mut writer, 1..2);
        let mut subscriber = ends.near.join(name("video"), 1, SubscribeOptions::default()).await.expect("served");
        assert_eq!(subscriber.past(), Past::Reading);
        write_groups(&mut writer, 2..3);
        assert_eq!(read(&mut subscriber, 7).await.len(), 7);
        assert_eq!(subscriber.past(), Past::Unknown { ranges: 1 });
        open.finish().expect("whole");
        drop(subscriber);
        let mut subscriber = ends.near.join(name("video"), 1, SubscribeOptions::default()).await.expect("served");
        writer.end_track();
        assert_eq!(read_all(&mut subscriber).await, expected(1..3));
        assert_eq!(subscriber.past(), Past::Whole);
    }

    async fn a_join_reaches_back_no_further_than_the_first_group(ends: Ends) {
        let (_track, writer) = served(&ends, 2);
        let mut subscriber = ends.near.join(name("video"), 100, SubscribeOptions::default()).await.expect("served");
        writer.end_track();
        assert_eq!(read_all(&mut subscriber).await, expected(0..2));
    }

    async fn a_track_without_a_past_is_joined_live(ends: Ends) {
        let (_track, mut writer) = served(&ends, 0);
        let mut subscriber = ends.near.join(name("video"), 1, SubscribeOptions::default()).await.expect("served");
        assert_eq!(subscriber.position(), Position::Live);
        write_groups(&mut writer, 0..2);
        writer.end_track();
        assert_eq!(read_all(&mut subscriber).await, expected(0..2));
    }
}
