//! GOAWAY on request streams, byte by byte, from peers that are not ours: the node makes the request again and nobody behind it
//! notices.

use bytes::{Bytes, BytesMut};
use headwater_pubsub::{
    net::{Clock, PublishOptions, PublishedTrack, SubscribeOptions, Subscriber},
    track::{Cache, CacheLimits},
    wire::{
        GroupOrder, Location, Message, Parameters, Properties, PublishDoneCode, SessionCode, StreamCode,
        control::{FetchKind, FetchOk, Publish, RequestOk, SubscribeOk},
        data::{FetchObject, FetchWriter, ObjectStatus},
    },
};
use tokio::task::JoinSet;

use crate::peer::{Asked, Peer, encoded, node, run, track};
use crate::running::Running;

/// GOAWAY: length 2, no URI, no timeout.
const GOAWAY: &[u8] = &[0x10, 0x00, 0x02, 0x00, 0x00];
/// The same with a URI of one byte.
const WITH_URI: &[u8] = &[0x10, 0x00, 0x03, 0x01, b'u', 0x00];
/// PUBLISH_NAMESPACE: length 12, request 0, the namespace `scripted`, no parameters.
const PUBLISH_NAMESPACE: &[u8] = b"\x06\x00\x0c\x00\x01\x08scripted\x00";
/// SUBSCRIBE_TRACKS of the same.
const SUBSCRIBE_TRACKS: &[u8] = b"\x51\x00\x0c\x00\x01\x08scripted\x00";
/// REQUEST_OK without parameters.
const REQUEST_OK: u8 = 0x07;

async fn next(subscriber: &mut Subscriber) -> Location {
    loop {
        let object = subscriber.next().await.expect("the subscription goes on");
        if object.status == ObjectStatus::Normal {
            return object.location;
        }
    }
}

/// Answers the node's SUBSCRIBE.
async fn serve(peer: &Peer, alias: u8, largest: Option<Location>) -> Asked {
    let mut asked = Asked::of(peer).await;
    let heard = asked.hear().await;
    assert!(
        matches!(&heard, Some(Message::Subscribe(asked)) if asked.track == track("scripted", "t")),
        "{heard:?}"
    );
    let ok = SubscribeOk {
        track_alias: alias.into(),
        parameters: Parameters {
            largest_object: largest,
            ..Parameters::default()
        },
        properties: Properties::default(),
    };
    asked.say(&encoded(&Message::SubscribeOk(ok))).await;
    asked
}

/// The node's FETCH: its request ID and range.
async fn fetched(peer: &Peer) -> (Asked, u64, Location, Location) {
    let mut asked = Asked::of(peer).await;
    match asked.hear().await {
        Some(Message::Fetch(fetch)) => match fetch.kind {
            FetchKind::Standalone { start, end, .. } => (asked, fetch.request_id, start, end),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_publisher_that_sends_a_subscription_and_a_fetch_elsewhere_is_asked_again() {
    let node = node();
    run(async {
        let mut publisher = Peer::with_setup(&node).await;
        publisher.bidi(PUBLISH_NAMESPACE).await;
        assert_eq!(publisher.answer(0).await.first(), Some(&REQUEST_OK));
        let mut drivers = JoinSet::new();
        let client = node.dial("moqt", Clock::new(), &mut drivers).await;
        let subscribing = client.subscribe(track("scripted", "t"), SubscribeOptions::default());
        let (subscriber, mut old) = tokio::join!(subscribing, serve(&publisher, 7, None));
        let mut subscriber = subscriber.expect("published");
        // Group 0, object 0.
        publisher.uni(&[0x10, 7, 0, 0, 0, 1, b'x']).await;
        assert_eq!(next(&mut subscriber).await, Location::new(0, 0));

        old.say(GOAWAY).await;
        assert_eq!(old.cancelled().await, StreamCode::GOING_AWAY);
        let _new = serve(&publisher, 8, Some(Location::new(2, 0))).await;
        // What was missed is asked for, and asked for again.
        let (mut away, _, start, end) = fetched(&publisher).await;
        away.say(GOAWAY).await;
        assert_eq!(away.cancelled().await, StreamCode::GOING_AWAY);
        let (mut asked, id, again, end_again) = fetched(&publisher).await;
        assert_eq!((again, end_again), (start, end));
        assert!(start <= Location::new(1, 0), "{start:?}");
        assert_eq!(end, Location::new(2, 1));
        asked.say(&fetch_ok(end)).await;
        publisher.uni(&fetch_stream(id)).await;
        let stream = publisher.streams.last_mut().expect("just opened");
        stream.finish().expect("open");
        publisher.uni(&[0x10, 8, 3, 0, 0, 1, b'x']).await;
        let mut seen = Vec::new();
        while seen.len() < 3 {
            seen.push(next(&mut subscriber).await.group);
        }
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3]);
    });
}

fn fetch_ok(end: Location) -> Vec<u8> {
    encoded(&Message::FetchOk(FetchOk {
        end_of_track: false,
        end,
        parameters: Parameters::default(),
        properties: Properties::default(),
    }))
}

/// Object 0 of groups 1 and 2.
fn fetch_stream(request_id: u64) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    let mut writer = FetchWriter::new(GroupOrder::Ascending);
    writer.header(request_id, &mut bytes);
    for group in [1, 2] {
        let object = FetchObject {
            location: Location::new(group, 0),
            subgroup: Some(0),
            priority: 0,
            properties: Properties::empty(),
            payload_len: 1,
        };
        writer.object(&object, &mut bytes).expect("short");
        bytes.extend_from_slice(b"x");
    }
    bytes.to_vec()
}

/// Takes the node's PUBLISH.
async fn take(peer: &Peer) -> (Asked, Publish) {
    let mut asked = Asked::of(peer).await;
    let Some(Message::Publish(publish)) = asked.hear().await else {
        panic!("PUBLISH")
    };
    asked
        .say(&encoded(&Message::RequestOk(RequestOk::default())))
        .await;
    (asked, publish)
}

/// Waits for a data stream of the track with this alias.
async fn data(peer: &mut Peer, alias: u64) {
    loop {
        let mut stream = peer.connection.accept_uni().await.expect("connected");
        let head = stream.read_chunk(usize::MAX, true).await;
        let head = head.expect("no reset").expect("a header").bytes;
        // 0b0XX1XXXX is a subgroup; anything else is the node's control stream.
        if head.first().is_some_and(|kind| kind & 0x90 == 0x10) {
            assert_eq!(head.get(1).copied().map(u64::from), Some(alias));
            return;
        }
        peer.answers.push(stream);
    }
}

/// Asks for the tracks of a publisher at the node.
async fn interested(node: &Running) -> Peer {
    let mut peer = Peer::with_setup(node).await;
    peer.bidi(SUBSCRIBE_TRACKS).await;
    assert_eq!(peer.answer(0).await.first(), Some(&REQUEST_OK));
    peer
}

#[test]
fn a_subscriber_that_sends_what_it_was_offered_elsewhere_is_offered_it_again() {
    let node = node();
    run(async {
        let clock = Clock::new();
        let mut drivers = JoinSet::new();
        let client = node.dial("moqt", clock, &mut drivers).await;
        let cache = Cache::new(CacheLimits::default());
        let published =
            PublishedTrack::new(track("scripted", "t"), Properties::default(), &cache).expect("legal");
        let publication = client.publish(&published, PublishOptions::default()).await;
        let _publication = publication.expect("allowed");
        let mut writer = published.writer(clock);
        let mut write = |group| {
            let mut group = writer.group(group).expect("new");
            group
                .object(Properties::default(), Bytes::from_static(b"x"))
                .expect("first");
            group.finish().expect("whole");
        };

        let mut subscriber = interested(&node).await;
        let (mut asked, first) = take(&subscriber).await;
        write(0);
        data(&mut subscriber, first.track_alias).await;
        asked.say(GOAWAY).await;
        let done = asked.hear().await;
        assert!(
            matches!(&done, Some(Message::PublishDone(done)) if done.code == PublishDoneCode::GOING_AWAY),
            "{done:?}"
        );
        assert_eq!(asked.hear().await, None, "and closes its side");
        let (mut asked, second) = take(&subscriber).await;
        assert_ne!(first.track_alias, second.track_alias);
        assert!(first.request_id < second.request_id);
        assert_eq!(second.parameters.largest_object, Some(Location::new(0, 0)));
        write(1);
        data(&mut subscriber, second.track_alias).await;

        asked.say(&[GOAWAY, GOAWAY].concat()).await;
        assert_eq!(
            subscriber.closed().await,
            SessionCode::PROTOCOL_VIOLATION,
            "once per stream"
        );
        let client = interested(&node).await;
        let (mut asked, _) = take(&client).await;
        asked.say(WITH_URI).await;
        assert_eq!(
            client.closed().await,
            SessionCode::PROTOCOL_VIOLATION,
            "a client names no place"
        );
    });
}
