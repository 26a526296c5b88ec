//! Publishers that send one subscription elsewhere, or limit it: subscribers behind the node do not notice.

use std::{ops::ControlFlow, time::Duration};

use bytes::Bytes;
use headwater_pubsub::{
    net::{Clock, PublishedTrack, SubscribeOptions, Subscriber, TrackWriter},
    track::{Cache, CacheLimits},
    wire::{
        Location, Message, MessageReader, Parameters, Properties, PublishDoneCode, RequestErrorCode, Version,
        control::{Publish, PublishDone, RequestError, RequestOk, StreamKind},
        data::ObjectStatus,
    },
};
use headwater_relay::config::Config;
use tokio::task::JoinSet;

use crate::{
    peer::{Peer, encoded, node, run, track},
    running::Running,
};

/// Objects of a group.
const GROUP: u64 = 5;

/// Writes an object every millisecond, GROUP to a group, until `count` were written.
async fn write(mut writer: TrackWriter, count: u64) {
    let mut pace = tokio::time::interval(Duration::from_millis(1));
    for id in 0..count / GROUP {
        let mut group = writer.group(id).expect("new");
        for _ in 0..GROUP {
            pace.tick().await;
            group
                .object(Properties::default(), Bytes::from_static(b"x"))
                .expect("in order");
        }
        group.finish().expect("whole");
    }
    writer.end_track();
}

async fn next(subscriber: &mut Subscriber) -> Option<Location> {
    loop {
        let object = subscriber.next().await?;
        if object.status == ObjectStatus::Normal {
            return Some(object.location);
        }
    }
}

#[test]
fn a_subscription_that_is_sent_elsewhere_loses_and_repeats_nothing() {
    const COUNT: u64 = 2000;
    let node = Running::start(Config::default());
    run(async {
        let clock = Clock::new();
        let mut drivers = JoinSet::new();
        let publisher = node.dial("moqt", clock, &mut drivers).await;
        let reader = node.dial("moqt", clock, &mut drivers).await;
        let name = track("moved", "track");
        let limits = CacheLimits {
            min_groups: 1000,
            ..CacheLimits::default()
        };
        let published = PublishedTrack::new(name.clone(), Properties::default(), &Cache::new(limits))
            .expect("no properties");
        publisher.serve(&published);
        let _publication = publisher
            .publish_namespace(name.namespace().clone(), Vec::new())
            .await
            .expect("allowed");
        let mut subscriber = reader
            .subscribe(name.clone(), SubscribeOptions::default())
            .await
            .expect("published");
        let writer = published.writer(clock);
        drivers.spawn(write(writer, COUNT));
        let mut seen = Vec::new();
        let mut told = 0;
        while let Some(at) = next(&mut subscriber).await {
            seen.push(at);
            if seen.len().is_multiple_of(300) && told < 4 {
                told += publisher.send_track_goaway(&name, "", Duration::ZERO);
            }
        }
        assert_eq!(told, 4);
        let done = subscriber.done().expect("ended by the publisher");
        assert_eq!(done.code, PublishDoneCode::TRACK_ENDED);
        seen.sort_unstable();
        let all: Vec<_> = (0..COUNT)
            .map(|id| Location::new(id / GROUP, id % GROUP))
            .collect();
        assert_eq!(seen, all);
    });
}

/// EXPIRES.
fn expires(ms: u64) -> Parameters {
    Parameters {
        expires_ms: Some(ms),
        ..Parameters::default()
    }
}

/// A publisher that ends its track unless it is asked for more time.
struct Limited {
    peer: Peer,
    reader: MessageReader,
}

impl Limited {
    async fn publish(node: &Running, ms: u64) -> Self {
        let mut peer = Peer::with_setup(node).await;
        let publish = Publish {
            request_id: 0,
            track: track("limited", "track"),
            track_alias: 7,
            parameters: expires(ms),
            properties: Properties::default(),
        };
        peer.bidi(&encoded(&Message::Publish(publish))).await;
        let mut limited = Self {
            peer,
            reader: MessageReader::new(Version::Draft18, StreamKind::Request),
        };
        assert!(matches!(limited.hear().await, Message::RequestOk(_)));
        limited
    }

    /// The node's next message.
    async fn hear(&mut self) -> Message {
        loop {
            if let Some(message) = self.reader.poll().expect("legal") {
                return message;
            }
            let bytes = self.peer.answer(0).await;
            self.reader.push(bytes);
        }
    }

    async fn say(&mut self, message: &Message) {
        let stream = self.peer.streams.get_mut(1).expect("the request");
        stream.write_all(&encoded(message)).await.expect("taken");
    }

    /// Waits for the node to ask for more time; says that the time is over if it does not come within `ms`.
    async fn asked_within(&mut self, ms: u64) -> ControlFlow<()> {
        let asked = tokio::time::timeout(Duration::from_millis(ms), self.hear()).await;
        if let Ok(message) = asked {
            assert!(matches!(message, Message::RequestUpdate(_)), "{message:?}");
            return ControlFlow::Continue(());
        }
        let done = PublishDone {
            code: PublishDoneCode::EXPIRED,
            stream_count: Some(0),
            reason: "nobody asked for more time".to_owned(),
        };
        self.say(&Message::PublishDone(done)).await;
        ControlFlow::Break(())
    }

    /// Group `group` with one object.
    async fn object(&mut self, group: u8) {
        self.peer.uni(&[0x10, 7, group, 0, 0, 1, b'x']).await;
        let stream = self.peer.streams.last_mut().expect("just opened");
        stream.finish().expect("open");
    }
}

#[test]
fn a_publisher_that_limits_a_subscription_is_asked_for_more_time_until_it_refuses() {
    let node = node();
    run(async {
        let mut publisher = Limited::publish(&node, 400).await;
        let mut drivers = JoinSet::new();
        let client = node.dial("moqt", Clock::new(), &mut drivers).await;
        let mut subscriber = client
            .subscribe(track("limited", "track"), SubscribeOptions::default())
            .await
            .expect("published");
        for group in 0..3 {
            assert_eq!(publisher.asked_within(400).await, ControlFlow::Continue(()));
            let ok = RequestOk {
                parameters: expires(400),
                properties: Properties::default(),
            };
            publisher.say(&Message::RequestOk(ok)).await;
            publisher.object(group).await;
            assert_eq!(next(&mut subscriber).await, Some(Location::new(group.into(), 0)));
        }
        assert_eq!(publisher.asked_within(400).await, ControlFlow::Continue(()));
        let error = RequestError {
            code: RequestErrorCode::EXPIRED_AUTH_TOKEN,
            retry_after_ms: None,
            reason: "time is over".to_owned(),
            redirect: None,
        };
        publisher.say(&Message::RequestError(error)).await;
        assert_eq!(next(&mut subscriber).await, None);
        let done = subscriber.done().expect("told");
        assert_eq!(done.code, PublishDoneCode::INTERNAL_ERROR);
        assert!(done.reason.contains("time is over"), "{}", done.reason);
    });
}
