//! Stories of a mesh about requests that are no plain subscriptions: waiting for a publisher, the past, status, namespaces,
//! and what a client that knows nothing of the mesh may ask.

use std::time::Duration;

use headwater_pubsub::net::{
    Client, FetchEnd, FetchOptions, NamespaceChange, RequestFailed, SubscribeOptions, TrackStatusOptions,
};
use headwater_pubsub::wire::{FullTrackName, Location, RequestErrorCode, TrackName, TrackNamespace};

use crate::broadcast::{Audience, Broadcast, GROUP, PATIENCE, Stage, within};
use crate::mesh::{Mesh, run};
use crate::peer::track;
use crate::running::Running;

/// A line of four nodes.
fn line(mesh: &Mesh) -> [Running; 4] {
    let a = mesh.start(&[]);
    let b = mesh.start(&[&a]);
    let c = mesh.start(&[&b]);
    let d = mesh.start(&[&c]);
    [a, b, c, d]
}

fn code<T>(result: Result<T, RequestFailed>) -> RequestErrorCode {
    match result {
        Err(RequestFailed::Refused(error)) => error.code,
        Err(other) => panic!("not refused: {other}"),
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn who_waits_at_a_far_node_is_served_when_the_publisher_comes() {
    run(async {
        let (mesh, mut stage) = (Mesh::new(), Stage::new());
        let [a, _b, _c, d] = line(&mesh);
        let name = track("late", "video");
        let client = stage.client(&d).await;
        assert_eq!(
            code(client.subscribe(name.clone(), SubscribeOptions::default()).await),
            RequestErrorCode::DOES_NOT_EXIST,
            "without the wish to wait"
        );
        let options = SubscribeOptions {
            rendezvous: Some(PATIENCE),
            ..SubscribeOptions::default()
        };
        let waiter = client.clone();
        let asked = name.clone();
        let mut waiting = tokio::task::JoinSet::new();
        waiting.spawn(async move { waiter.subscribe(asked, options).await });
        // Sent on a session in order: when this one is answered, that one waits.
        let _unknown = code(
            client
                .subscribe(track("other", "video"), SubscribeOptions::default())
                .await,
        );
        let mut broadcast = Broadcast::start(&mut stage, &a, &name, 0).await;
        let subscriber = within("an answer", waiting.join_next())
            .await
            .expect("asked")
            .expect("no panic")
            .expect("accepted");
        let mut audience = Audience::of(client, subscriber);
        audience.more(15).await;
        let last = broadcast.finish().await;
        audience.finish_reading().await;
        audience.assert_whole();
        assert_eq!(audience.seen.iter().max(), Some(&last), "to the last object");
    });
}

async fn fetch(client: &Client, name: &FullTrackName, from: Location, to: Location) -> Vec<Location> {
    let reader = client.fetch(name.clone(), from, FetchEnd::Object(to), FetchOptions::default());
    let mut reader = within("an answer", reader).await.expect("accepted");
    let mut got = Vec::new();
    while let Some(object) = within("an object", reader.next()).await.expect("whole") {
        got.push(object.location);
    }
    got
}

#[test]
fn the_past_is_fetched_and_joined_over_three_hops() {
    run(async {
        let (mesh, mut stage) = (Mesh::new(), Stage::new());
        let [a, _b, _c, d] = line(&mesh);
        let name = track("past", "video");
        let mut broadcast = Broadcast::start(&mut stage, &a, &name, 0).await;
        let client = stage.client(&d).await;
        // Known at the far end, but never pulled by anybody.
        let status = within("the status is known", async {
            loop {
                match client
                    .track_status(name.clone(), TrackStatusOptions::default())
                    .await
                {
                    Ok(status) if status.largest.is_some_and(|largest| largest.group >= 2) => return status,
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        })
        .await;
        assert!(status.largest.is_some_and(|largest| largest.group >= 2));
        let got = fetch(&client, &name, Location::new(0, 3), Location::new(1, 4)).await;
        let expected: Vec<_> = (3..GROUP)
            .map(|object| Location::new(0, object))
            .chain((0..5).map(|object| Location::new(1, object)))
            .collect();
        assert_eq!(got, expected);
        // A join begins with the group before the largest and has no seam.
        let subscriber = within(
            "joined",
            client.join(name.clone(), 1, SubscribeOptions::default()),
        )
        .await
        .expect("accepted");
        let start = subscriber.largest().expect("something").group - 1;
        let mut audience = Audience::of(client, subscriber);
        audience.more(30).await;
        let last = broadcast.finish().await;
        audience.finish_reading().await;
        audience.assert_whole();
        assert_eq!(audience.seen.iter().min(), Some(&Location::new(start, 0)));
        assert_eq!(audience.seen.iter().max(), Some(&last), "to the last object");
    });
}

#[test]
fn status_of_what_nobody_has_is_refused_at_a_far_node() {
    run(async {
        let (mesh, mut stage) = (Mesh::new(), Stage::new());
        let [_a, _b, _c, d] = line(&mesh);
        let client = stage.client(&d).await;
        let name = track("nobody", "video");
        assert_eq!(
            code(
                client
                    .track_status(name.clone(), TrackStatusOptions::default())
                    .await
            ),
            RequestErrorCode::DOES_NOT_EXIST
        );
        let past = client.fetch(
            name,
            Location::new(0, 0),
            FetchEnd::Group(0),
            FetchOptions::default(),
        );
        assert_eq!(code(past.await), RequestErrorCode::DOES_NOT_EXIST);
    });
}

#[test]
fn namespaces_come_and_go_at_a_far_node() {
    run(async {
        let (mesh, mut stage) = (Mesh::new(), Stage::new());
        let [a, _b, _c, d] = line(&mesh);
        let client = stage.client(&d).await;
        let prefix = TrackNamespace::new(["news"]).expect("short");
        let mut reader = client
            .namespaces(prefix.clone(), Vec::new())
            .await
            .expect("allowed");
        let name = track("news", "video");
        let mut first = Broadcast::start(&mut stage, &a, &name, 0).await;
        let come = within("it is told", reader.next()).await;
        assert_eq!(come, Some(NamespaceChange::Added(prefix.clone())));
        // In good order: at once.
        let since = tokio::time::Instant::now();
        first.withdraw();
        let gone = within("it is told", reader.next()).await;
        assert_eq!(gone, Some(NamespaceChange::Removed(prefix.clone())));
        assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
        let second = Broadcast::start(&mut stage, &a, &name, 100).await;
        let come = within("it is told", reader.next()).await;
        assert_eq!(come, Some(NamespaceChange::Added(prefix.clone())));
        // With its node: after a while in which it could have come back.
        let since = tokio::time::Instant::now();
        drop(a);
        drop(second);
        let gone = within("it is told", reader.next()).await;
        assert_eq!(gone, Some(NamespaceChange::Removed(prefix)));
        let after = since.elapsed();
        assert!(
            (Duration::from_secs(4)..Duration::from_secs(9)).contains(&after),
            "{after:?}"
        );
    });
}

#[test]
fn a_plain_client_gets_nothing_of_the_mesh_itself() {
    run(async {
        let (mesh, mut stage) = (Mesh::new(), Stage::new());
        let [a, _b, _c, d] = line(&mesh);
        let client = stage.client(&d).await;
        let own = TrackNamespace::new([".session"]).expect("short");
        for name in ["headwater-gossip", "headwater-join", "anything"] {
            let name = FullTrackName::new(own.clone(), TrackName::new(name).expect("short")).expect("short");
            assert_eq!(
                code(client.subscribe(name.clone(), SubscribeOptions::default()).await),
                RequestErrorCode::DOES_NOT_EXIST
            );
            assert_eq!(
                code(client.track_status(name, TrackStatusOptions::default()).await),
                RequestErrorCode::DOES_NOT_EXIST
            );
        }
        for refused in [
            client.publish_namespace(own.clone(), Vec::new()).await.map(drop),
            client.namespaces(own, Vec::new()).await.map(drop),
        ] {
            assert!(refused.is_err());
        }
        // A name that is like it, and everything else, is a name like any other: the client, which closes at any parameter
        // that it does not know, reads on.
        let name = track("session", "video");
        let mut broadcast = Broadcast::start(&mut stage, &a, &name, 0).await;
        let mut everything = client
            .namespaces(TrackNamespace::new([] as [&str; 0]).expect("empty"), Vec::new())
            .await
            .expect("allowed");
        let come = within("it is told", everything.next()).await;
        assert_eq!(come, Some(NamespaceChange::Added(name.namespace().clone())));
        let mut audience = Audience::join(&mut stage, &d, &name).await;
        audience.more(15).await;
        broadcast.finish().await;
        audience.finish_reading().await;
        audience.assert_whole();
        assert_eq!(everything.present(), [name.namespace().clone()]);
    });
}
