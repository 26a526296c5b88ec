//! Streams of objects that a caller writes itself: above media, one reader, told when they end.

use std::sync::Arc;

use bytes::Bytes;
use headwater_pubsub::net::{
    Clock, DataEvent, Handler, ObjectReceiver, ObjectStreamError, SessionHandle, Sink, object_queue,
};
use headwater_pubsub::session::{Event, Limits, RequestKey, Side};
use headwater_pubsub::wire::control::Setup;
use headwater_pubsub::wire::data::{SubgroupHeader, SubgroupId};
use headwater_pubsub::wire::{Parameters, Properties, StreamCode};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::harness::{PATIENCE, Wire, dial, name};

/// Passes on what the control plane says, and which streams ended.
struct Watch {
    events: mpsc::Sender<Event>,
    ends: mpsc::Sender<(RequestKey, u64, Option<StreamCode>)>,
}

impl Handler for Watch {
    fn event(&self, _session: &SessionHandle, event: Event) {
        self.events.try_send(event).expect("room for every event");
    }

    fn data(&self, _session: &SessionHandle, event: DataEvent) {
        if let DataEvent::StreamEnded { key, group, code } = event {
            self.ends
                .try_send((key, group, code))
                .expect("room for every end");
        }
    }
}

struct End {
    handle: SessionHandle,
    events: mpsc::Receiver<Event>,
    ends: mpsc::Receiver<(RequestKey, u64, Option<StreamCode>)>,
}

/// A writer whose SUBSCRIBE was answered, and a reader with its queue.
struct Told {
    writer: End,
    reader: End,
    alias: u64,
    key: RequestKey,
    queue: ObjectReceiver,
}

fn header(alias: u64, group: u64) -> SubgroupHeader {
    SubgroupHeader {
        track_alias: alias,
        group,
        subgroup: SubgroupId::Zero,
        priority: Some(0),
        has_properties: false,
        end_of_group: false,
        first_object: true,
    }
}

fn told<F: Future<Output = ()>>(tell: impl Fn(Told) -> F) {
    for wire in [Wire::Quic, Wire::WebTransport] {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let clock = Clock::new();
            // The client is never run: its transport is.
            let (client, server) = dial(wire, clock).await;
            let transports = [
                (client.0.handle().transport().clone(), Side::Client),
                (server, Side::Server),
            ];
            let mut drivers = JoinSet::new();
            let mut end = |(transport, side)| {
                let handle = SessionHandle::new(transport, clock, side, Setup::default(), Limits::default());
                let handle = handle.expect("a short SETUP");
                let (events, seen) = mpsc::channel(100);
                let (ends, ended) = mpsc::channel(100);
                drivers.spawn(handle.driver(Arc::new(Watch { events, ends })).run());
                End {
                    handle,
                    events: seen,
                    ends: ended,
                }
            };
            let [reader, writer] = transports.map(&mut end);
            let story = async {
                tell(subscribed(reader, writer).await).await;
            };
            tokio::time::timeout(PATIENCE, story)
                .await
                .expect("the story ends");
            drop(client);
        });
    }
}

async fn subscribed(mut reader: End, mut writer: End) -> Told {
    let subscribed = reader
        .handle
        .act(|session, _| session.subscribe(name("gossip"), Parameters::default()));
    let key = subscribed.expect("a session");
    let (sender, queue) = object_queue(256 << 10);
    reader.handle.receive(key, Sink::Reader(sender));
    let asked = loop {
        if let Event::Request { key, .. } = writer.events.recv().await.expect("a request") {
            break key;
        }
    };
    let answer = |session: &mut headwater_pubsub::session::Session, _| {
        session.accept_subscribe(asked, Parameters::default(), Properties::empty())
    };
    let alias = writer.handle.act(answer).expect("an open request");
    loop {
        if let Event::Accepted { .. } = reader.events.recv().await.expect("an answer") {
            return Told {
                writer,
                reader,
                alias,
                key,
                queue,
            };
        }
    }
}

#[test]
fn large_and_many_small_objects_arrive_in_order_and_the_end_is_told() {
    const SMALL: u64 = 20_000;
    told(
        async |Told {
                   writer,
                   mut reader,
                   alias,
                   key,
                   mut queue,
               }| {
            let mut stream = writer
                .handle
                .open_object_stream(header(alias, 7), 0)
                .await
                .expect("a stream");
            let send = async {
                stream.write(0, vec![7; 64 << 10].into()).await.expect("room");
                for id in 1..SMALL {
                    stream
                        .write(id, Bytes::from(id.to_be_bytes().to_vec()))
                        .await
                        .expect("room");
                }
                let again = stream.write(5, Bytes::new()).await;
                assert!(matches!(again, Err(ObjectStreamError::Encode(_))), "{again:?}");
                assert_eq!(stream.last_object(), Some(SMALL - 1));
                stream.finish().await.expect("room");
            };
            let read = async {
                let first = queue.recv().await.expect("the first");
                assert_eq!((first.location.group, first.payload.len()), (7, 64 << 10));
                for id in 1..SMALL {
                    let object = queue.recv().await.expect("the next");
                    assert_eq!(
                        (object.location.object, &object.payload[..]),
                        (id, &id.to_be_bytes()[..])
                    );
                }
            };
            tokio::join!(send, read);
            assert_eq!(reader.ends.recv().await, Some((key, 7, None)));
            assert_eq!(writer.handle.sent().objects, SMALL);
        },
    );
}

#[test]
fn a_stream_dropped_unfinished_is_reset_and_the_reader_is_told() {
    told(
        async |Told {
                   writer,
                   mut reader,
                   alias,
                   key,
                   mut queue,
               }| {
            let mut stream = writer
                .handle
                .open_object_stream(header(alias, 1), 0)
                .await
                .expect("a stream");
            stream.write(0, Bytes::from_static(b"hello")).await.expect("room");
            assert_eq!(&queue.recv().await.expect("an object").payload[..], b"hello");
            drop(stream);
            let (ended, group, code) = reader.ends.recv().await.expect("an end");
            assert_eq!((ended, group), (key, 1));
            assert!(code.is_some(), "not a FIN");
            // The subscription goes on with another stream.
            let mut stream = writer
                .handle
                .open_object_stream(header(alias, 2), 0)
                .await
                .expect("a stream");
            stream.write(0, Bytes::from_static(b"again")).await.expect("room");
            assert_eq!(queue.recv().await.expect("an object").location.group, 2);
            stream.reset(StreamCode::INTERNAL_ERROR);
            let end = reader.ends.recv().await;
            assert_eq!(end, Some((key, 2, Some(StreamCode::INTERNAL_ERROR))));
        },
    );
}

#[test]
fn a_reader_that_does_not_read_holds_the_writer_back() {
    told(
        async |Told {
                   writer,
                   alias,
                   mut queue,
                   ..
               }| {
            let mut stream = writer
                .handle
                .open_object_stream(header(alias, 0), 0)
                .await
                .expect("a stream");
            let piece = Bytes::from(vec![1; 64 << 10]);
            let mut written = 0;
            // Nobody reads: sooner or later the write stays pending, and the rest of its object with it.
            while let Ok(result) =
                tokio::time::timeout(PATIENCE / 40, stream.write(written, piece.clone())).await
            {
                result.expect("room");
                written += 1;
                assert!(written < 4096, "256 MiB were taken that nobody reads");
            }
            assert_eq!(stream.last_object(), Some(written), "begun, to be completed");
            let finish = async { stream.finish().await.expect("room") };
            let read = async {
                for id in 0..=written {
                    let object = queue.recv().await.expect("every object");
                    assert_eq!((object.location.object, object.payload.len()), (id, piece.len()));
                }
            };
            tokio::join!(finish, read);
        },
    );
}

#[test]
fn a_reader_that_left_stops_the_stream() {
    told(
        async |Told {
                   writer, alias, queue, ..
               }| {
            let mut stream = writer
                .handle
                .open_object_stream(header(alias, 0), 0)
                .await
                .expect("a stream");
            drop(queue);
            for id in 0.. {
                if let Err(error) = stream.write(id, Bytes::from_static(b"x")).await {
                    assert!(matches!(error, ObjectStreamError::Stopped(_)), "{error}");
                    return;
                }
                tokio::task::yield_now().await;
            }
        },
    );
}

#[test]
fn both_ends_export_the_same_secret_and_count_padding() {
    told(async |Told { writer, reader, .. }| {
        let secret = |end: &End, label: &[u8], context: &[u8]| {
            end.handle
                .export_keying_material(label, context)
                .expect("TLS is up")
        };
        let one = secret(&writer, b"EXPORTER-test", b"context");
        assert_eq!(one, secret(&reader, b"EXPORTER-test", b"context"));
        assert_ne!(one, secret(&reader, b"EXPORTER-test", b"other"));
        assert_ne!(one, secret(&reader, b"EXPORTER-else", b"context"));

        assert!(writer.handle.accepts_datagrams() && reader.handle.accepts_datagrams());
        let before = (
            writer.handle.path_stats().sent_datagrams,
            reader.handle.path_stats().received_datagrams,
        );
        assert!(writer.handle.send_padding());
        loop {
            let after = (
                writer.handle.path_stats().sent_datagrams,
                reader.handle.path_stats().received_datagrams,
            );
            if after.0 > before.0 && after.1 > before.1 {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
}
