//! Who learns of which namespaces and tracks.

use headwater_pubsub::{
    net::{NamespaceChange, SubscribeOptions, TrackEvent},
    wire::{FullTrackName, Properties, PublishDoneCode, RequestErrorCode, TrackName, TrackNamespace},
};

use crate::harness::{Ends, name, namespace, payload, read, stories, track};

fn under(fields: &[&str], track: &str) -> FullTrackName {
    FullTrackName::new(namespace(fields), TrackName::new(track).expect("short")).expect("short")
}

stories! {
    async fn namespaces_come_and_go_with_the_tracks_served(ends: Ends) {
        ends.far.serve(&track(under(&["live", "a"], "video")));
        ends.far.serve(&track(under(&["other"], "video")));
        let mut names = ends.near.namespaces(namespace(&["live"]), Vec::new()).await.expect("answered");
        assert_eq!(names.next().await, Some(NamespaceChange::Added(namespace(&["live", "a"]))));
        ends.far.serve(&track(under(&["live", "b"], "video")));
        ends.far.serve(&track(under(&["live", "b"], "audio")));
        assert_eq!(names.next().await, Some(NamespaceChange::Added(namespace(&["live", "b"]))));
        ends.far.stop_serving(&under(&["live", "a"], "video"), PublishDoneCode::TRACK_ENDED, "");
        assert_eq!(names.next().await, Some(NamespaceChange::Removed(namespace(&["live", "a"]))));
        assert_eq!(names.present(), [namespace(&["live", "b"])]);
    }

    async fn overlapping_prefixes_are_refused(ends: Ends) {
        let _first = ends.near.namespaces(namespace(&["live"]), Vec::new()).await.expect("answered");
        let refused = ends.near.namespaces(TrackNamespace::empty(), Vec::new()).await.expect_err("a prefix of it");
        assert_eq!(refused.code(), Some(RequestErrorCode::PREFIX_OVERLAP));
    }

    async fn a_published_namespace_is_known_until_it_is_dropped(ends: Ends) {
        let mut names = ends.far.published_namespaces();
        let publication = ends.near.publish_namespace(namespace(&["live", "cam"]), Vec::new()).await.expect("accepted");
        assert_eq!(publication.namespace(), &namespace(&["live", "cam"]));
        assert_eq!(names.next().await, Some(NamespaceChange::Added(namespace(&["live", "cam"]))));
        drop(publication);
        assert_eq!(names.next().await, Some(NamespaceChange::Removed(namespace(&["live", "cam"]))));
    }

    async fn tracks_are_offered_as_they_appear_and_flow_once_accepted(ends: Ends) {
        let video = track(name("video"));
        ends.far.serve(&video);
        let mut offers = ends.near.tracks(namespace(&["live"]), Vec::new()).await.expect("answered");
        let Some(TrackEvent::Offer(offer)) = offers.next().await else { panic!("an offer") };
        assert_eq!(offer.track(), &name("video"));
        let mut subscriber = offer.accept(&SubscribeOptions::default()).expect("still offered");
        // The update is answered after PUBLISH_OK was read, so what is written now is sent.
        subscriber.update(headwater_pubsub::net::SubscriptionChange::default()).await.expect("legal");
        let mut writer = video.writer(ends.clock);
        let mut group = writer.group(0).expect("new");
        group.object(Properties::default(), payload("x")).expect("in order");
        assert_eq!(read(&mut subscriber, 1).await, [(0, 0, "x".to_owned())]);

        ends.far.serve(&track(name("audio")));
        let Some(TrackEvent::Offer(offer)) = offers.next().await else { panic!("an offer") };
        assert_eq!(offer.track(), &name("audio"));
    }
}
