//! A track that its publisher offers by itself.

use headwater_pubsub::{
    net::{PublishOptions, RequestEnd, SubscribeOptions, TrackEvent},
    wire::{Location, Properties, PublishDoneCode, RequestErrorCode},
};

use crate::harness::{Ends, name, namespace, payload, read, read_all, stories, track};

stories! {
    async fn a_published_track_flows_to_who_accepts_it(ends: Ends) {
        let mut offers = ends.far.published_tracks(namespace(&["live"]));
        let track = track(name("video"));
        let accepting = async {
            let Some(TrackEvent::Offer(offer)) = offers.next().await else { panic!("an offer") };
            offer.accept(&SubscribeOptions::default()).expect("still offered")
        };
        let (publication, mut subscriber) = tokio::join!(ends.near.publish(&track, PublishOptions::default()), accepting);
        let mut publication = publication.expect("accepted");
        let mut writer = track.writer(ends.clock);
        let mut group = writer.group(0).expect("new");
        group.object(Properties::default(), payload("x")).expect("in order");
        group.finish().expect("whole");
        writer.end_track();
        assert_eq!(read_all(&mut subscriber).await, [(0, 0, "x".to_owned())]);
        assert_eq!(subscriber.done().map(|done| done.code), Some(PublishDoneCode::TRACK_ENDED));
        assert_eq!(publication.ended().await, RequestEnd::Finished);
    }

    async fn a_published_track_that_nobody_waits_for_is_refused(ends: Ends) {
        let refused = ends.near.publish(&track(name("video")), PublishOptions::default()).await.expect_err("unasked");
        assert_eq!(refused.code(), Some(RequestErrorCode::UNINTERESTED));
    }

    async fn a_dropped_offer_is_a_refusal(ends: Ends) {
        let mut offers = ends.far.published_tracks(namespace(&["live"]));
        let track = track(name("video"));
        let (refused, ()) = tokio::join!(ends.near.publish(&track, PublishOptions::default()), async {
            drop(offers.next().await);
        });
        assert_eq!(refused.expect_err("dropped").code(), Some(RequestErrorCode::UNINTERESTED));
    }

    async fn what_is_written_while_an_offer_is_considered_follows_the_object_it_stated(ends: Ends) {
        let mut offers = ends.far.published_tracks(namespace(&["live"]));
        let track = track(name("video"));
        let mut writer = track.writer(ends.clock);
        let mut group = writer.group(0).expect("new");
        group.object(Properties::default(), payload("stated")).expect("in order");
        let accepting = async {
            let Some(TrackEvent::Offer(offer)) = offers.next().await else { panic!("an offer") };
            group.object(Properties::default(), payload("meanwhile")).expect("in order");
            offer.accept(&SubscribeOptions::default()).expect("still offered")
        };
        let (_publication, mut subscriber) = tokio::join!(ends.near.publish(&track, PublishOptions::default()), accepting);
        group.object(Properties::default(), payload("after")).expect("in order");
        assert_eq!(subscriber.largest(), Some(Location::new(0, 0)));
        assert_eq!(
            read(&mut subscriber, 2).await,
            [(0, 1, "meanwhile".to_owned()), (0, 2, "after".to_owned())]
        );
    }

    async fn dropping_the_subscriber_tells_the_publisher(ends: Ends) {
        let mut offers = ends.far.published_tracks(namespace(&["live"]));
        let track = track(name("video"));
        let accepting = async {
            let Some(TrackEvent::Offer(offer)) = offers.next().await else { panic!("an offer") };
            offer.accept(&SubscribeOptions::default()).expect("still offered")
        };
        let (publication, subscriber) = tokio::join!(ends.near.publish(&track, PublishOptions::default()), accepting);
        drop(subscriber);
        assert!(matches!(publication.expect("accepted").ended().await, RequestEnd::Peer(_)));
    }

    async fn dropping_the_publication_ends_the_subscription(ends: Ends) {
        let mut offers = ends.far.published_tracks(namespace(&["live"]));
        let track = track(name("video"));
        let accepting = async {
            let Some(TrackEvent::Offer(offer)) = offers.next().await else { panic!("an offer") };
            offer.accept(&SubscribeOptions::default()).expect("still offered")
        };
        let (publication, mut subscriber) = tokio::join!(ends.near.publish(&track, PublishOptions::default()), accepting);
        let mut writer = track.writer(ends.clock);
        let mut group = writer.group(0).expect("new");
        group.object(Properties::default(), payload("x")).expect("in order");
        assert_eq!(read(&mut subscriber, 1).await.len(), 1);
        drop(publication);
        assert_eq!(read_all(&mut subscriber).await, []);
        assert_eq!(subscriber.done().map(|done| done.code), Some(PublishDoneCode::SUBSCRIPTION_ENDED));
    }
}
