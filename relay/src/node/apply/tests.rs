//! Every request is answered, even where the node has lost the track that the hub counts on.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use headwater_certs::{ClientTrust, client_config};
use headwater_pubsub::{
    net::{
        self, Client, Clock, ConnectOptions, Dialer, PublishOptions, PublishedTrack, QuicLimits,
        RequestFailed, SubscribeOptions, TrackEvent, TrackStatusOptions, connect,
    },
    track::{Cache, CacheLimits},
    wire::{FullTrackName, Properties, PublishDoneCode, RequestErrorCode, TrackName, TrackNamespace},
};
use tokio::task::JoinSet;

use super::Shared;
use crate::{
    config::Config,
    node::{Node, Shutdown},
};

/// Far beyond what the story takes; a request without an answer fails here.
const PATIENCE: Duration = Duration::from_secs(30);

async fn dial(address: SocketAddr, pin: headwater_certs::Fingerprint, drivers: &mut JoinSet<()>) -> Client {
    let tls = client_config(&ClientTrust::Pin(vec![pin]), &[]).expect("a pin");
    let dialer = Dialer::new(net::client().expect("a socket"), tls, QuicLimits::default());
    let url = format!("moqt://{address}/").parse().expect("a URL");
    let (client, driver) = connect(&dialer, &url, ConnectOptions::default())
        .await
        .expect("connected");
    drivers.spawn(async move {
        driver.run().await;
    });
    client.established().await.expect("SETUP");
    client
}

fn track() -> PublishedTrack {
    let namespace = TrackNamespace::new(["lost"]).expect("short");
    let name = FullTrackName::new(namespace, TrackName::new("t").expect("short")).expect("short");
    PublishedTrack::new(name, Properties::default(), &Cache::new(CacheLimits::default())).expect("legal")
}

async fn story(shared: Arc<Shared>, clients: [Client; 3]) {
    let [publisher, other, viewer] = clients;
    let track = track();
    let _writer = track.writer(Clock::new());
    let _publication = publisher
        .publish(&track, PublishOptions::default())
        .await
        .expect("allowed");
    shared.state().tracks.clear();

    let lost = |failed: RequestFailed| assert_eq!(failed.code(), Some(RequestErrorCode::INTERNAL_ERROR));
    let status = viewer.track_status(track.name().clone(), TrackStatusOptions::default());
    lost(status.await.expect_err("the track is lost"));
    lost(
        other
            .publish(&track, PublishOptions::default())
            .await
            .expect_err("the track is lost"),
    );
    let subscribed = viewer.subscribe(track.name().clone(), SubscribeOptions::default());
    lost(subscribed.await.expect_err("the track is lost"));
    let mut offers = other
        .tracks(track.name().namespace().clone(), Vec::new())
        .await
        .expect("accepted");
    let Some(TrackEvent::Offer(offer)) = offers.next().await else {
        panic!("an offer");
    };
    let mut offered = offer.accept(&SubscribeOptions::default()).expect("still offered");
    assert!(offered.next().await.is_none(), "no objects of a lost track");
    assert_eq!(
        offered.done().map(|done| done.code),
        Some(PublishDoneCode::INTERNAL_ERROR)
    );
    // The sessions stand: each answer came once.
    let status = viewer.track_status(track.name().clone(), TrackStatusOptions::default());
    lost(status.await.expect_err("the track is still lost"));
}

#[tokio::test]
async fn a_request_for_a_track_that_the_node_lost_is_answered() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        admin: None,
        state_dir: Some(directory.path().to_owned()),
        ..Config::default()
    };
    let node = Node::bind(config).await.expect("a node");
    let (address, pin) = (node.local_addr(), node.fingerprint().expect("a key"));
    let shared = node.shared.clone();
    let shutdown = Shutdown::default();
    let mut tasks = JoinSet::new();
    tasks.spawn(node.run(shutdown.clone()));
    let mut drivers = JoinSet::new();
    let clients = [
        dial(address, pin, &mut drivers).await,
        dial(address, pin, &mut drivers).await,
        dial(address, pin, &mut drivers).await,
    ];
    tokio::time::timeout(PATIENCE, story(shared, clients))
        .await
        .expect("every request is answered");
    shutdown.abort.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.expect("the node ends well");
    }
}
