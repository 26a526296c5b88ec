//! Requests that the peer sends elsewhere: what the client does about it, and what it tells.

use std::time::Duration;

use bytes::Bytes;
use headwater_pubsub::{
    net::{
        Clock, FetchEnd, FetchOptions, PublishOptions, RequestEnd, RequestFailed, SubscribeOptions,
        Subscriber, TrackEvent, TrackOffer, TrackOffers, TrackStatusOptions,
    },
    wire::{Location, Properties, PublishDoneCode, StreamCode},
};

use crate::harness::{Ends, PATIENCE, name, namespace, payload, read, stories, track};

/// GOAWAY: length 2, no URI, no timeout.
const HERE: &[u8] = &[0x10, 0x00, 0x02, 0x00, 0x00];
/// GOAWAY: length 11, a URI of 9 bytes, no timeout.
const THERE: &[u8] = b"\x10\x00\x0b\x09moqt://b/\x00";
/// Groups of a fetch; far more than its queue holds.
const GROUPS: u64 = 60;

async fn next_offer(offers: &mut TrackOffers) -> TrackOffer {
    match offers.next().await {
        Some(TrackEvent::Offer(offer)) => offer,
        other => panic!("an offer, not {other:?}"),
    }
}

/// Accepts, and waits until the publisher has heard of it.
async fn take(offer: TrackOffer) -> Subscriber {
    let subscriber = offer.accept(&SubscribeOptions::default()).expect("still offered");
    let change = headwater_pubsub::net::SubscriptionChange::default();
    subscriber.update(change).await.expect("legal");
    subscriber
}

stories! {
    async fn an_offer_that_is_sent_elsewhere_ends_in_order_and_is_made_again(ends: Ends) {
        let video = track(name("video"));
        ends.far.serve(&video);
        let mut offers = ends.near.tracks(namespace(&["live"]), Vec::new()).await.expect("answered");
        let mut writer = video.writer(ends.clock);
        // Five times in a row, then no more.
        let mut taken = Vec::new();
        for round in 0..6 {
            let mut subscriber = take(next_offer(&mut offers).await).await;
            let mut group = writer.group(round).expect("new");
            group.object(Properties::default(), payload("x")).expect("in order");
            assert_eq!(read(&mut subscriber, 1).await, [(round, 0, "x".to_owned())]);
            subscriber.send_goaway("", Duration::ZERO).expect("the first");
            assert!(subscriber.send_goaway("", Duration::ZERO).is_err(), "once");
            taken.push(subscriber);
        }
        assert_eq!(taken.last_mut().expect("six").next().await, None);
        for subscriber in taken {
            assert_eq!(subscriber.done().expect("told").code, PublishDoneCode::GOING_AWAY);
        }
        ends.far.serve(&track(name("audio")));
        assert_eq!(next_offer(&mut offers).await.track(), &name("audio"), "and no seventh of the other");
    }

    async fn an_offer_that_is_sent_to_another_uri_is_the_callers_to_make_there(ends: Ends) {
        let video = track(name("video"));
        ends.near.serve(&video);
        let mut offers = ends.far.tracks(namespace(&["live"]), Vec::new()).await.expect("answered");
        let mut subscriber = take(next_offer(&mut offers).await).await;
        let mut goaway = ends.near.offers_goaway(&name("video"));
        subscriber.send_goaway("moqt://elsewhere.example/", Duration::ZERO).expect("a server");
        assert_eq!(goaway.heard().await.uri, "moqt://elsewhere.example/");
        let mut writer = video.writer(ends.clock);
        writer.group(0).expect("new").object(Properties::default(), payload("x")).expect("in order");
        assert_eq!(read(&mut subscriber, 1).await, [(0, 0, "x".to_owned())], "it goes on until then");
        ends.near.stop_serving(&name("video"), PublishDoneCode::GOING_AWAY, "served elsewhere");
        assert_eq!(subscriber.next().await, None);
        assert_eq!(subscriber.done().expect("told").code, PublishDoneCode::GOING_AWAY);
    }

    async fn what_was_said_of_an_offer_does_not_concern_the_next_one(ends: Ends) {
        let video = track(name("video"));
        ends.near.serve(&video);
        let mut offers = ends.far.tracks(namespace(&["live"]), Vec::new()).await.expect("answered");
        let subscriber = take(next_offer(&mut offers).await).await;
        let mut goaway = ends.near.offers_goaway(&name("video"));
        subscriber.send_goaway("moqt://elsewhere.example/", Duration::ZERO).expect("a server");
        goaway.heard().await;
        drop(subscriber);
        // Nothing is offered until the end of the first one has arrived.
        loop {
            ends.near.serve(&video);
            let offer = tokio::time::timeout(Duration::from_millis(10), next_offer(&mut offers)).await;
            if offer.is_ok() {
                break;
            }
        }
        assert_eq!(goaway.get(), None);
    }

    async fn a_publication_that_is_sent_elsewhere_is_the_callers_to_make_there(ends: Ends) {
        let video = track(name("video"));
        let mut offers = ends.far.published_tracks(namespace(&["live"]));
        let publishing = ends.near.publish(&video, PublishOptions::default());
        let (publication, subscriber) = tokio::join!(publishing, async { take(next_offer(&mut offers).await).await });
        let (publication, mut subscriber) = (publication.expect("taken"), subscriber);
        subscriber.send_goaway("moqt://elsewhere.example/", Duration::ZERO).expect("a server");
        assert_eq!(publication.goaway().heard().await.uri, "moqt://elsewhere.example/");
        publication.end(PublishDoneCode::GOING_AWAY, "published elsewhere");
        assert_eq!(subscriber.next().await, None);
        let done = subscriber.done().expect("told");
        assert_eq!((done.code, done.reason.as_str()), (PublishDoneCode::GOING_AWAY, "published elsewhere"));
    }

    async fn a_publication_that_is_not_moved_in_time_is_reset(ends: Ends) {
        let video = track(name("video"));
        let mut offers = ends.far.published_tracks(namespace(&["live"]));
        let publishing = ends.near.publish(&video, PublishOptions::default());
        let (publication, subscriber) = tokio::join!(publishing, async { take(next_offer(&mut offers).await).await });
        subscriber.send_goaway("", Duration::from_millis(50)).expect("the first");
        let end = publication.expect("taken").ended().await;
        assert_eq!(end, RequestEnd::Peer(Some(StreamCode::GOING_AWAY)));
    }

    async fn the_rest_of_a_fetch_that_is_sent_to_this_session_again_is_asked_for(ends: Ends) {
        let mut fetched = large_fetch(&ends).await;
        let mut seen = vec![fetched.next().await.expect("no cut").expect("the first").location];
        assert_eq!(ends.far.send_track_goaway(&name("video"), "", Duration::from_millis(1)), 1);
        while let Some(object) = fetched.next().await.expect("whole in the end") {
            seen.push(object.location);
        }
        assert_eq!(seen, (0..GROUPS).map(|group| Location::new(group, 0)).collect::<Vec<_>>());
    }

    async fn a_fetch_that_is_sent_to_another_uri_goes_on_and_tells(ends: Ends) {
        let mut fetched = large_fetch(&ends).await;
        assert_eq!(ends.far.send_track_goaway(&name("video"), "moqt://elsewhere.example/", Duration::ZERO), 1);
        assert_eq!(fetched.goaway().heard().await.uri, "moqt://elsewhere.example/");
        let mut count = 0;
        while fetched.next().await.expect("no cut").is_some() {
            count += 1;
        }
        assert_eq!(count, GROUPS);
    }
}

/// A fetch that is not over before much of it was read.
async fn large_fetch(ends: &Ends) -> headwater_pubsub::net::FetchReader {
    let video = track(name("video"));
    let mut writer = video.writer(ends.clock);
    for group in 0..GROUPS {
        let mut group = writer.group(group).expect("new");
        let object = Bytes::from(vec![0; 100_000]);
        group.object(Properties::default(), object).expect("in order");
        group.finish().expect("whole");
    }
    ends.far.serve(&video);
    let options = FetchOptions {
        queue_bytes: 100_000,
        ..FetchOptions::default()
    };
    let last = FetchEnd::Group(GROUPS - 1);
    let fetched = ends.near.fetch(name("video"), Location::default(), last, options);
    fetched.await.expect("served")
}

/// Takes the next request and says `goaway` instead of an answer.
async fn send_on(connection: &quinn::Connection, goaway: &[u8]) -> (quinn::SendStream, quinn::RecvStream) {
    let (mut answer, mut question) = connection.accept_bi().await.expect("a request");
    question
        .read_chunk(usize::MAX, true)
        .await
        .expect("open")
        .expect("a message");
    answer.write_all(goaway).await.expect("taken");
    (answer, question)
}

#[tokio::test]
async fn questions_without_an_answer_are_asked_again_once_and_then_told_where() {
    let told = async {
        let (client, connection, _driver) = crate::harness::scripted(Clock::new()).await;
        let script = async {
            let mut control = connection.open_uni().await.expect("credit");
            // SETUP without options.
            control.write_all(&[0xaf, 0x00, 0x00, 0x00]).await.expect("taken");
            let mut held = Vec::new();
            for goaway in [HERE, THERE, HERE, HERE, HERE, THERE] {
                let (answer, question) = send_on(&connection, goaway).await;
                held.push((answer, question));
            }
            let (mut answer, question) = send_on(&connection, THERE).await;
            // A reset could overtake what was said before it.
            answer.finish().expect("open");
            held.push((answer, question));
            connection.closed().await;
        };
        let story = async {
            let elsewhere = |failed: RequestFailed| match failed {
                RequestFailed::Elsewhere(goaway) => goaway.uri,
                other => panic!("{other:?}"),
            };
            for uri in ["moqt://b/", ""] {
                let status = client
                    .track_status(name("video"), TrackStatusOptions::default())
                    .await;
                assert_eq!(elsewhere(status.expect_err("sent elsewhere")), uri);
            }
            let last = FetchEnd::Group(1);
            let fetched = client.fetch(name("video"), Location::default(), last, FetchOptions::default());
            assert_eq!(elsewhere(fetched.await.expect_err("sent elsewhere")), "moqt://b/");
            let subscribed = client.subscribe(name("video"), SubscribeOptions::default()).await;
            assert_eq!(elsewhere(subscribed.expect_err("ended")), "moqt://b/");
        };
        tokio::select! {
            () = story => {}
            () = script => panic!("the story ends first"),
        }
    };
    tokio::time::timeout(PATIENCE, told)
        .await
        .expect("the story ends");
}
