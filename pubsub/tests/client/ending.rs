//! How sessions begin and end, and what waiters hear of it.

use std::time::Duration;

use headwater_pubsub::{
    net::{RequestFailed, SessionEnd, SubscribeOptions, TransportClosed},
    wire::{PublishDoneCode, SessionCode},
};

use crate::harness::{Ends, Wire, name, namespace, open, stories, track};

stories! {
    async fn both_ends_learn_of_the_other(ends: Ends) {
        let near = ends.near.established().await.expect("alive");
        assert!(near.implementation.is_some_and(|name| name.starts_with(b"headwater/")));
        let far = ends.far.established().await.expect("alive");
        // Over WebTransport the path is HTTP's.
        assert!(far.path.is_none_or(|path| path == "/live?room=1"));
    }

    async fn the_code_of_a_close_reaches_the_other_side(ends: Ends) {
        ends.far.serve(&track(name("video")));
        let mut subscriber = ends.near.subscribe(name("video"), SubscribeOptions::default()).await.expect("served");
        ends.far.close(SessionCode::UNAUTHORIZED, "not here");
        let SessionEnd::Transport(TransportClosed::Peer { code, reason }) = ends.near.closed().await else {
            panic!("closed by the peer, not {:?}", ends.near.closed().await)
        };
        assert_eq!((code, reason.as_str()), (SessionCode::UNAUTHORIZED, "not here"));
        assert!(matches!(ends.far.closed().await, SessionEnd::Closed { code: SessionCode::UNAUTHORIZED, .. }));
        assert_eq!(subscriber.next().await, None);
        assert_eq!(subscriber.done(), None);
        let late = ends.near.subscribe(name("audio"), SubscribeOptions::default()).await.expect_err("closed");
        assert!(matches!(late, RequestFailed::Session(_)));
    }

    async fn requests_without_an_answer_hear_of_the_end(ends: Ends) {
        let mut offers = ends.far.published_tracks(namespace(&["live"]));
        let offered = track(name("video"));
        let publishing = ends.near.publish(&offered, headwater_pubsub::net::PublishOptions::default());
        let (refused, offer) = tokio::join!(publishing, async {
            let offer = offers.next().await;
            ends.far.close(SessionCode::NO_ERROR, "bye");
            offer
        });
        assert!(matches!(refused.expect_err("unanswered"), RequestFailed::Session(_)));
        drop(offer);
    }

    async fn goaway_is_heard_and_stops_new_requests(ends: Ends) {
        ends.far.serve(&track(name("video")));
        ends.near.established().await.expect("alive");
        ends.far.send_goaway("moqt://elsewhere.example/", Duration::ZERO).expect("the first");
        let goaway = ends.near.goaway().await.expect("heard");
        assert_eq!(goaway.uri, "moqt://elsewhere.example/");
        let refused = ends.near.subscribe(name("video"), SubscribeOptions::default()).await.expect_err("too late");
        assert_eq!(refused, RequestFailed::GoingAway);
        assert!(ends.far.send_goaway("", Duration::ZERO).is_err());
    }

    async fn one_track_is_sent_elsewhere_and_the_others_stay(ends: Ends) {
        for track_name in ["video", "audio"] {
            ends.far.serve(&track(name(track_name)));
        }
        let mut moved = ends.near.subscribe(name("video"), SubscribeOptions::default()).await.expect("served");
        let stays = ends.near.subscribe(name("audio"), SubscribeOptions::default()).await.expect("served");
        assert_eq!(ends.far.send_track_goaway(&name("video"), "moqt://elsewhere.example/", Duration::from_millis(50)), 1);
        let goaway = moved.goaway().heard().await;
        assert_eq!((&goaway.uri[..], goaway.timeout), (&b"moqt://elsewhere.example/"[..], Duration::from_millis(50)));
        assert_eq!(ends.far.send_track_goaway(&name("video"), "", Duration::ZERO), 0, "once");
        assert_eq!(moved.next().await, None, "reset after the timeout");
        assert_eq!(stays.goaway().get(), None);
        let again = ends.near.subscribe(name("video"), SubscribeOptions::default()).await;
        assert!(again.is_ok(), "the session takes new requests");
    }

    async fn a_client_sends_nobody_elsewhere(ends: Ends) {
        ends.near.serve(&track(name("video")));
        let subscriber = ends.far.subscribe(name("video"), SubscribeOptions::default()).await.expect("served");
        assert_eq!(ends.near.send_track_goaway(&name("video"), "moqt://elsewhere.example/", Duration::ZERO), 0);
        assert_eq!(ends.near.send_track_goaway(&name("video"), "", Duration::ZERO), 1);
        assert_eq!(subscriber.goaway().heard().await.uri, "");
    }

    async fn a_track_no_longer_served_ends_its_subscriptions(ends: Ends) {
        ends.far.serve(&track(name("video")));
        let mut subscriber = ends.near.subscribe(name("video"), SubscribeOptions::default()).await.expect("served");
        ends.far.stop_serving(&name("video"), PublishDoneCode::EXPIRED, "time is over");
        assert_eq!(subscriber.next().await, None);
        let done = subscriber.done().expect("ended");
        assert_eq!((done.code, done.reason.as_str()), (PublishDoneCode::EXPIRED, "time is over"));
    }
}

#[tokio::test]
async fn a_dropped_driver_ends_the_session_for_both() {
    let clock = headwater_pubsub::net::Clock::new();
    let ((near, near_driver), (far, far_driver)) = open(Wire::Quic, clock).await;
    drop(near_driver);
    let end = far_driver.run().await;
    assert_eq!(far.closed().await, end);
    assert!(matches!(end, SessionEnd::Transport(_)));
    assert!(matches!(
        near.closed().await,
        SessionEnd::Transport(TransportClosed::Local)
    ));
}
