//! Publishers that stop inside an object: what subscribers get of it, byte by byte.

use bytes::Bytes;
use headwater_pubsub::wire::{
    StreamCode, Version,
    data::{SubgroupEvent, SubgroupReader},
};

use crate::{
    peer::{Peer, node, publish, run, subscribe, track},
    running::Running,
};

/// Alias of the publishers' track.
const ALIAS: u8 = 7;

/// How a publisher ends.
#[derive(Clone, Copy, Debug)]
enum Death {
    StreamReset,
    SessionClosed,
}

/// Subgroup 0 of a group whose last object is the stream's last: type, alias, group, priority.
const fn header(group: u8) -> [u8; 4] {
    [0x18, ALIAS, group, 0x00]
}

async fn publisher(node: &Running) -> Peer {
    let mut peer = Peer::with_setup(node).await;
    peer.bidi(&publish(0, track("cut", "track"), ALIAS.into())).await;
    let _accepted = peer.answer(0).await;
    peer
}

/// Writes on the stream opened last.
async fn write(peer: &mut Peer, bytes: &[u8]) {
    let stream = peer.streams.last_mut().expect("opened before");
    stream.write_all(bytes).await.expect("taken");
}

/// How a stream ended for the subscriber.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Fin,
    Reset(StreamCode),
}

/// A subgroup's stream as a subscriber sees it.
struct Subgroup {
    stream: quinn::RecvStream,
    reader: SubgroupReader,
    group: Option<u64>,
    /// ID, length and payload so far of each object.
    objects: Vec<(u64, u64, Vec<u8>)>,
}

impl Subgroup {
    async fn next(subscriber: &Peer) -> Self {
        Self {
            stream: subscriber.connection.accept_uni().await.expect("connected"),
            reader: SubgroupReader::new(Version::Draft18),
            group: None,
            objects: Vec::new(),
        }
    }

    fn take(&mut self, bytes: Bytes) {
        self.reader.push(bytes);
        while let Some(event) = self.reader.poll().expect("legal") {
            match event {
                SubgroupEvent::Header(header) => self.group = Some(header.group),
                SubgroupEvent::Object(object) => {
                    self.objects.push((object.id, object.payload_len, Vec::new()));
                }
                SubgroupEvent::Payload(bytes) => {
                    let (_, _, payload) = self.objects.last_mut().expect("its head came first");
                    payload.extend_from_slice(&bytes);
                }
            }
        }
    }

    /// Reads until object `id` has `length` bytes.
    async fn until(&mut self, id: u64, length: usize) {
        while !self
            .objects
            .iter()
            .any(|object| object.0 == id && object.2.len() >= length)
        {
            let chunk = self.stream.read_chunk(usize::MAX, true).await.expect("not reset");
            self.take(chunk.expect("more is to come").bytes);
        }
    }

    /// Reads to the end.
    async fn end(&mut self) -> End {
        loop {
            match self.stream.read_chunk(usize::MAX, true).await {
                Ok(Some(chunk)) => self.take(chunk.bytes),
                Ok(None) => return End::Fin,
                Err(quinn::ReadError::Reset(code)) => {
                    return End::Reset(StreamCode::from(code.into_inner()));
                }
                Err(error) => panic!("the session goes on: {error}"),
            }
        }
    }
}

/// A subscriber to the track, whose control stream from the node has been taken.
async fn subscriber(node: &Running) -> Peer {
    let mut peer = Peer::with_setup(node).await;
    let control = peer.connection.accept_uni().await.expect("connected");
    peer.answers.push(control);
    peer.bidi(&subscribe(0, track("cut", "track"))).await;
    let _accepted = peer.answer(1).await;
    peer
}

#[test]
fn an_object_cut_by_its_publisher_stays_cut_and_the_next_group_comes_whole() {
    let node = node();
    run(async {
        let mut publisher = publisher(&node).await;
        let subscriber = subscriber(&node).await;
        publisher.uni(&header(0)).await;
        write(&mut publisher, b"\x00\x05whole\x00\x09part").await;
        let mut first = Subgroup::next(&subscriber).await;
        first.until(1, 4).await;
        let stream = publisher.streams.last_mut().expect("opened");
        stream.reset(0u32.into()).expect("open");
        assert!(matches!(first.end().await, End::Reset(_)));
        assert_eq!(first.group, Some(0));
        assert_eq!(
            first.objects,
            [(0, 5, b"whole".to_vec()), (1, 9, b"part".to_vec())]
        );

        publisher.uni(&header(1)).await;
        write(&mut publisher, b"\x00\x05again\x00\x05whole").await;
        let stream = publisher.streams.last_mut().expect("opened");
        stream.finish().expect("open");
        let mut second = Subgroup::next(&subscriber).await;
        assert_eq!(second.end().await, End::Fin);
        assert_eq!(second.group, Some(1));
        assert_eq!(
            second.objects,
            [(0, 5, b"again".to_vec()), (1, 5, b"whole".to_vec())]
        );
    });
}

#[test]
fn an_object_goes_on_from_the_other_copy_when_its_publisher_dies() {
    for death in [Death::StreamReset, Death::SessionClosed] {
        let node = node();
        run(async {
            let mut dying = publisher(&node).await;
            let mut other = publisher(&node).await;
            let subscriber = subscriber(&node).await;
            other.uni(&header(0)).await;
            write(&mut other, b"\x00\x0aab").await;
            let mut seen = Subgroup::next(&subscriber).await;
            seen.until(0, 2).await;
            dying.uni(&header(0)).await;
            write(&mut dying, b"\x00\x0aabcdef").await;
            seen.until(0, 6).await;
            match death {
                Death::StreamReset => {
                    let stream = dying.streams.last_mut().expect("opened");
                    stream.reset(0u32.into()).expect("open");
                }
                Death::SessionClosed => dying.connection.close(0u32.into(), b""),
            }
            write(&mut other, b"cdefghij\x00\x04next").await;
            let stream = other.streams.last_mut().expect("opened");
            stream.finish().expect("open");
            assert_eq!(seen.end().await, End::Fin, "{death:?}");
            assert_eq!(
                seen.objects,
                [(0, 10, b"abcdefghij".to_vec()), (1, 4, b"next".to_vec())],
                "{death:?}"
            );
        });
    }
}
