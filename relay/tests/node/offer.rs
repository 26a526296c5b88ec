//! Tracks that a node offers to a SUBSCRIBE_TRACKS.

use std::time::Duration;

use bytes::Bytes;
use headwater_pubsub::{
    net::{Clock, PublishedTrack, SubscribeOptions, Subscriber, TrackEvent},
    track::{Cache, CacheLimits},
    wire::{FullTrackName, Location, Properties, TrackName, TrackNamespace, data::ObjectStatus},
};
use headwater_relay::config::Config;
use tokio::task::JoinSet;

use crate::running::Running;

/// Far beyond what the story takes; one that hangs fails here.
const PATIENCE: Duration = Duration::from_secs(30);

async fn next(subscriber: &mut Subscriber) -> Location {
    loop {
        let object = subscriber.next().await.expect("the subscription goes on");
        if object.status == ObjectStatus::Normal {
            return object.location;
        }
    }
}

async fn story(node: &Running) {
    let clock = Clock::new();
    let mut drivers = JoinSet::new();
    let publisher = node.dial("moqt", clock, &mut drivers).await;
    let watcher = node.dial("moqt", clock, &mut drivers).await;
    let offered = node.dial("moqt", clock, &mut drivers).await;
    let namespace = TrackNamespace::new(["offer"]).expect("short");
    let name = FullTrackName::new(namespace.clone(), TrackName::new("t").expect("short")).expect("short");
    let track = PublishedTrack::new(
        name.clone(),
        Properties::default(),
        &Cache::new(CacheLimits::default()),
    )
    .expect("legal");
    let mut writer = track.writer(clock);
    let mut group = writer.group(0).expect("new");
    let mut write = || {
        group
            .object(Properties::default(), Bytes::from_static(b"x"))
            .expect("in order")
    };

    let _publication = publisher
        .publish(&track, headwater_pubsub::net::PublishOptions::default())
        .await
        .expect("allowed");
    // The one who watches already makes the node receive, and shows what it has received.
    let mut watching = watcher
        .subscribe(name, SubscribeOptions::default())
        .await
        .expect("published");
    write();
    let stated = next(&mut watching).await;
    let mut offers = offered.tracks(namespace, Vec::new()).await.expect("accepted");
    let Some(TrackEvent::Offer(offer)) = offers.next().await else {
        panic!("an offer");
    };
    write();
    let meanwhile = next(&mut watching).await;
    let mut subscriber = offer.accept(&SubscribeOptions::default()).expect("still offered");
    write();
    assert_eq!(subscriber.largest(), Some(stated));
    assert_eq!(next(&mut subscriber).await, meanwhile);
    assert_eq!(next(&mut subscriber).await, Location::new(0, 2));
}

#[test]
fn an_offer_is_followed_by_everything_after_the_object_it_stated() {
    let node = Running::start(Config::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, story(&node))
            .await
            .expect("the story ends");
    });
}
