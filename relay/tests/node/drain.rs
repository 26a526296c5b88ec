//! A node that leaves in good order.

use std::time::Duration;

use headwater_pubsub::{
    net::{Clock, SessionEnd, TransportClosed},
    wire::{SessionCode, TrackNamespace},
};
use headwater_relay::config::Config;
use tokio::task::JoinSet;

use crate::running::Running;

/// Far beyond what the story takes; one that hangs fails here.
const PATIENCE: Duration = Duration::from_secs(30);

async fn story(node: &Running) {
    let clock = Clock::new();
    let mut drivers = JoinSet::new();
    let peer = node.dial("moqt", clock, &mut drivers).await;
    let namespace = TrackNamespace::new(["stays"]).expect("short");
    let _open = peer
        .publish_namespace(namespace, Vec::new())
        .await
        .expect("allowed");
    node.drain();
    peer.goaway().await.expect("GOAWAY");
    let end = peer.closed().await;
    let code = match &end {
        SessionEnd::Closed { code, .. } => Some(*code),
        SessionEnd::Transport(TransportClosed::Peer { code, .. }) => Some(*code),
        _ => None,
    };
    assert_eq!(code, Some(SessionCode::NO_ERROR), "{end}");
}

#[test]
fn whoever_stays_to_the_end_of_a_drain_is_let_go_without_an_error() {
    let node = Running::start(Config {
        drain: Duration::from_millis(50),
        ..Config::default()
    });
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
