//! A track that is served, and who subscribes to it.

use bytes::Bytes;
use headwater_pubsub::{
    net::{
        OrderedOptions, RequestFailed, StreamEnd, SubscribeOptions, SubscriptionChange, TrackStatusOptions,
    },
    session::RequestRefused,
    wire::{
        Filter, Location, Properties, PublishDoneCode, RequestErrorCode, data::ObjectStatus, property::kind,
    },
};

use crate::harness::{Ends, brief, name, payload, read, read_all, stories, track, track_with};

fn timestamp(value: u64) -> Properties {
    Properties::builder()
        .int(kind::LOC_TIMESTAMP, value)
        .build()
        .expect("an even type")
}

stories! {
    /// A server allows fewer requests at first than these, and more as they are used.
    async fn many_subscriptions_are_asked_for_at_once_and_all_stay_open(ends: Ends) {
        let tracks: Vec<_> = (0..300).map(|number| track(name(&format!("track{number}")))).collect();
        let mut asking = tokio::task::JoinSet::new();
        for (number, track) in tracks.iter().enumerate() {
            ends.far.serve(track);
            let near = ends.near.clone();
            asking.spawn(async move { near.subscribe(name(&format!("track{number}")), SubscribeOptions::default()).await });
        }
        let mut open = Vec::new();
        while let Some(asked) = asking.join_next().await {
            open.push(asked.expect("asked").expect("served"));
        }
        assert_eq!(open.len(), 300);
        assert!(open.iter().all(|subscriber| subscriber.done().is_none()));
    }

    async fn objects_arrive_with_their_properties_and_the_end_says_why(ends: Ends) {
        let properties = Properties::builder().int(kind::DEFAULT_PUBLISHER_PRIORITY, 7).build().expect("an even type");
        let track = track_with(name("video"), properties.clone());
        ends.far.serve(&track);
        let mut subscriber = ends.near.subscribe(name("video"), SubscribeOptions::default()).await.expect("served");
        assert_eq!(subscriber.properties(), &properties);
        assert_eq!(subscriber.largest(), None);

        let mut writer = track.writer(ends.clock);
        for id in 0..3 {
            let mut group = writer.group(id).expect("new");
            for object in 0..4 {
                group.object(timestamp(object), payload(&format!("{id}/{object}"))).expect("in order");
            }
            group.finish().expect("whole");
        }
        writer.end_track();

        let mut objects = Vec::new();
        while let Some(object) = subscriber.next().await {
            if object.status == ObjectStatus::Normal {
                assert_eq!(object.properties.get(kind::LOC_TIMESTAMP).and_then(|value| value.int()), Some(object.location.object));
                assert_eq!(object.subgroup, Some(0));
                objects.push(brief(&object));
            }
        }
        objects.sort();
        let expected: Vec<_> = (0..3).flat_map(|g| (0..4).map(move |o| (g, o, format!("{g}/{o}")))).collect();
        assert_eq!(objects, expected);
        assert_eq!(subscriber.done().map(|done| done.code), Some(PublishDoneCode::TRACK_ENDED));
    }

    async fn an_ordered_reader_gives_groups_and_objects_in_order(ends: Ends) {
        let track = track(name("video"));
        ends.far.serve(&track);
        let subscriber = ends.near.subscribe(name("video"), SubscribeOptions::default()).await.expect("served");
        let mut ordered = subscriber.ordered(OrderedOptions::default());
        let mut writer = track.writer(ends.clock);
        // The newer group is complete before the older one has its objects.
        let mut old = writer.group(0).expect("new");
        let mut new = writer.group(1).expect("new");
        new.object(Properties::default(), payload("b0")).expect("in order");
        new.finish().expect("whole");
        old.object(Properties::default(), payload("a0")).expect("in order");
        old.object(Properties::default(), payload("a1")).expect("in order");
        old.finish().expect("whole");
        writer.end_track();
        let mut objects = Vec::new();
        while let Some(object) = ordered.next().await {
            if object.status == ObjectStatus::Normal {
                objects.push(brief(&object).2);
            }
        }
        assert_eq!(objects, ["a0", "a1", "b0"]);
        assert_eq!(ordered.skipped(), 0);
    }

    async fn an_ordered_reader_who_stops_gets_what_has_come(ends: Ends) {
        let track = track(name("video"));
        ends.far.serve(&track);
        let subscriber = ends.near.subscribe(name("video"), SubscribeOptions::default()).await.expect("served");
        let mut ordered = subscriber.ordered(OrderedOptions { patience: std::time::Duration::MAX, max_bytes: u64::MAX });
        let mut writer = track.writer(ends.clock);
        let mut old = writer.group(0).expect("new");
        old.object(Properties::default(), payload("a0")).expect("in order");
        let first = ordered.next().await.expect("live");
        // Nobody knows whether the group before has ended.
        let mut new = writer.group(5).expect("new");
        for object in ["b0", "b1"] {
            new.object(Properties::default(), payload(object)).expect("in order");
        }
        let mut objects = vec![brief(&first).2];
        while objects.len() < 3 {
            match ordered.take_ready() {
                Some(object) => objects.push(brief(&object).2),
                None => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
            }
        }
        assert_eq!(objects, ["a0", "b0", "b1"]);
        assert_eq!(ordered.skipped(), 1);
    }

    async fn groups_numbered_by_the_clock_are_not_waited_for_in_between(ends: Ends) {
        let track = track(name("video"));
        ends.far.serve(&track);
        let subscriber = ends.near.subscribe(name("video"), SubscribeOptions::default()).await.expect("served");
        // Only proof that the IDs in between are empty lets this reader go on.
        let mut ordered = subscriber.ordered(OrderedOptions { patience: std::time::Duration::MAX, max_bytes: u64::MAX });
        let mut writer = track.writer(ends.clock);
        let mut ids = Vec::new();
        for time in [0, 1_000, 1_000, 5_000] {
            let mut group = writer.append_group(time).expect("increasing");
            ids.push(group.id());
            group.object(Properties::default(), payload("x")).expect("in order");
            group.finish().expect("whole");
        }
        assert_eq!(ids, [0, 1_000, 1_001, 5_000]);
        let mut seen = Vec::new();
        while seen.len() < ids.len() {
            let object = ordered.next().await.expect("live");
            if object.status == ObjectStatus::Normal {
                seen.push(object.location.group);
            }
        }
        assert_eq!(seen, ids);
    }

    async fn subgroups_keep_their_ids_and_priorities(ends: Ends) {
        let track = track(name("layers"));
        ends.far.serve(&track);
        let mut subscriber = ends.near.subscribe(name("layers"), SubscribeOptions::default()).await.expect("served");
        let mut writer = track.writer(ends.clock);
        let mut base = writer.subgroup(9, 0, Some(10), StreamEnd::Subgroup).expect("new");
        let mut enhancement = writer.subgroup(9, 1, Some(200), StreamEnd::Subgroup).expect("new");
        base.object(0, Properties::default(), payload("base 0")).expect("in order");
        enhancement.object(1, Properties::default(), payload("enhancement 0")).expect("in order");
        base.object(2, Properties::default(), payload("base 1")).expect("in order");
        base.finish().expect("whole");
        enhancement.finish().expect("whole");
        let mut seen = Vec::new();
        for _ in 0..3 {
            let object = subscriber.next().await.expect("live");
            seen.push((object.location.object, object.subgroup, object.priority));
        }
        seen.sort();
        assert_eq!(seen, [(0, Some(0), Some(10)), (1, Some(1), Some(200)), (2, Some(0), Some(10))]);
    }

    async fn datagrams_come_as_datagrams(ends: Ends) {
        let track = track(name("cursor"));
        ends.far.serve(&track);
        let mut subscriber = ends.near.subscribe(name("cursor"), SubscribeOptions::default()).await.expect("served");
        let mut writer = track.writer(ends.clock);
        writer.datagram(Location::new(3, 0), Some(1), timestamp(5), payload("here")).expect("new");
        let object = subscriber.next().await.expect("live");
        assert_eq!(brief(&object), (3, 0, "here".to_owned()));
        assert_eq!((object.subgroup, object.priority), (None, Some(1)));
        assert_eq!(object.properties, timestamp(5));
    }

    async fn a_large_object_written_in_chunks_arrives_whole(ends: Ends) {
        let track = track(name("big"));
        ends.far.serve(&track);
        let mut subscriber = ends.near.subscribe(name("big"), SubscribeOptions::default()).await.expect("served");
        let mut writer = track.writer(ends.clock);
        let chunk = Bytes::from(vec![7; 100_000]);
        let mut group = writer.group(0).expect("new");
        let mut object = group.begin_object(Properties::default(), 3_000_000).expect("first");
        for _ in 0..30 {
            object.chunk(chunk.clone()).expect("announced");
        }
        assert_eq!(object.left(), 0);
        group.finish().expect("whole");
        let object = subscriber.next().await.expect("live");
        assert_eq!(object.payload.len(), 3_000_000);
        assert!(object.payload.iter().all(|&byte| byte == 7));
    }

    /// More at once than the sender writes before others get their turn; then nothing happens that would call it back.
    async fn tracks_that_burst_together_all_arrive(ends: Ends) {
        let tracks: Vec<_> = (0..6).map(|number| track(name(&format!("track{number}")))).collect();
        let mut subscribers = Vec::new();
        for (number, track) in tracks.iter().enumerate() {
            ends.far.serve(track);
            let name = name(&format!("track{number}"));
            subscribers.push(ends.near.subscribe(name, SubscribeOptions::default()).await.expect("served"));
        }
        let mut open = Vec::new();
        for track in &tracks {
            let mut writer = track.writer(ends.clock);
            let mut group = writer.group(0).expect("new");
            group.object(Properties::default(), Bytes::from(vec![7; 300_000])).expect("in order");
            open.push((writer, group));
        }
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.next().await.expect("live").payload.len(), 300_000);
        }
    }

    async fn more_than_the_queue_holds_waits_and_arrives(ends: Ends) {
        let track = track(name("video"));
        ends.far.serve(&track);
        let options = SubscribeOptions { queue_bytes: 1000, ..SubscribeOptions::default() };
        let mut subscriber = ends.near.subscribe(name("video"), options).await.expect("served");
        let mut writer = track.writer(ends.clock);
        let text = "x".repeat(400);
        for id in 0..50 {
            let mut group = writer.group(id).expect("new");
            group.object(Properties::default(), payload(&text)).expect("in order");
            group.finish().expect("whole");
        }
        writer.end_track();
        assert_eq!(read_all(&mut subscriber).await.len(), 50);
    }

    async fn nothing_is_sent_while_forward_is_off(ends: Ends) {
        let track = track(name("video"));
        ends.far.serve(&track);
        let options = SubscribeOptions { forward: false, ..SubscribeOptions::default() };
        let mut subscriber = ends.near.subscribe(name("video"), options).await.expect("served");
        let mut writer = track.writer(ends.clock);
        let mut group = writer.group(0).expect("new");
        group.object(Properties::default(), payload("unheard")).expect("in order");
        group.finish().expect("whole");
        let on = SubscriptionChange { forward: Some(true), ..SubscriptionChange::default() };
        subscriber.update(on).await.expect("legal");
        let mut group = writer.group(1).expect("new");
        group.object(Properties::default(), payload("heard")).expect("in order");
        assert_eq!(read(&mut subscriber, 1).await, [(1, 0, "heard".to_owned())]);

        let off = SubscriptionChange { forward: Some(false), ..SubscriptionChange::default() };
        subscriber.update(off).await.expect("legal");
        group.object(Properties::default(), payload("unheard")).expect("in order");
        group.finish().expect("whole");
        writer.end_track();
        assert_eq!(read_all(&mut subscriber).await, []);
    }

    async fn a_filter_ends_the_subscription_after_its_last_group(ends: Ends) {
        let track = track(name("video"));
        ends.far.serve(&track);
        let filter = Filter::AbsoluteRange { start: Location::new(1, 0), end_group: 2 };
        let options = SubscribeOptions { filter: Some(filter), ..SubscribeOptions::default() };
        let mut subscriber = ends.near.subscribe(name("video"), options).await.expect("served");
        let mut writer = track.writer(ends.clock);
        for id in 0..5 {
            let mut group = writer.group(id).expect("new");
            group.object(Properties::default(), payload("x")).expect("in order");
            group.finish().expect("whole");
        }
        assert_eq!(read_all(&mut subscriber).await, [(1, 0, "x".to_owned()), (2, 0, "x".to_owned())]);
        assert_eq!(subscriber.done().map(|done| done.code), Some(PublishDoneCode::SUBSCRIPTION_ENDED));
    }

    async fn a_track_that_is_not_served_does_not_exist(ends: Ends) {
        let refused = ends.near.subscribe(name("nothing"), SubscribeOptions::default()).await.expect_err("unknown");
        assert_eq!(refused.code(), Some(RequestErrorCode::DOES_NOT_EXIST));
        let refused = ends.near.track_status(name("nothing"), TrackStatusOptions::default()).await.expect_err("unknown");
        assert_eq!(refused.code(), Some(RequestErrorCode::DOES_NOT_EXIST));
    }

    async fn a_session_subscribes_to_a_track_once(ends: Ends) {
        ends.far.serve(&track(name("video")));
        let first = ends.near.subscribe(name("video"), SubscribeOptions::default()).await.expect("served");
        let second = ends.near.subscribe(name("video"), SubscribeOptions::default()).await.expect_err("a second");
        assert_eq!(second, RequestFailed::NotSent(RequestRefused::Duplicate));
        drop(first);
        ends.near.subscribe(name("video"), SubscribeOptions::default()).await.expect("the first is over");
    }

    async fn track_status_tells_without_subscribing(ends: Ends) {
        let properties = Properties::builder().int(kind::DYNAMIC_GROUPS, 1).build().expect("an even type");
        let track = track_with(name("video"), properties.clone());
        ends.far.serve(&track);
        let status = ends.near.track_status(name("video"), TrackStatusOptions::default()).await.expect("served");
        assert_eq!((status.largest, status.expires), (None, None));
        let mut writer = track.writer(ends.clock);
        let mut group = writer.group(4).expect("new");
        group.object(Properties::default(), payload("x")).expect("in order");
        let status = ends.near.track_status(name("video"), TrackStatusOptions::default()).await.expect("served");
        assert_eq!(status.largest, Some(Location::new(4, 0)));
        assert_eq!(status.properties, properties);
        assert_eq!(track.track().stats().readers, 0);
    }

    async fn a_subscriber_can_ask_for_a_new_group(ends: Ends) {
        let properties = Properties::builder().int(kind::DYNAMIC_GROUPS, 1).build().expect("an even type");
        let track = track_with(name("video"), properties);
        ends.far.serve(&track);
        let mut writer = track.writer(ends.clock);
        let mut group = writer.group(4).expect("new");
        group.object(Properties::default(), payload("x")).expect("in order");
        let mut subscriber = ends.near.subscribe(name("video"), SubscribeOptions::default()).await.expect("served");
        let change = SubscriptionChange { new_group: Some(5), ..SubscriptionChange::default() };
        subscriber.update(change).await.expect("legal");
        assert_eq!(writer.new_group_requested().await, 5);
        group.finish().expect("whole");
        let mut group = writer.group(5).expect("new");
        group.object(Properties::default(), payload("y")).expect("in order");
        assert_eq!(read(&mut subscriber, 1).await, [(5, 0, "y".to_owned())]);
    }
}
