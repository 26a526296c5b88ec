//! What the stories of this folder are told with: peers that say what they are told to, byte by byte, and a pair that keeps
//! the rules and must not notice.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use headwater_certs::{ClientTrust, client_config};
use headwater_pubsub::{
    net::{Clock, PublishedTrack, SubscribeOptions, Subscriber, TrackWriter},
    track::{Cache, CacheLimits},
    wire::{
        FullTrackName, Message, MessageReader, Parameters, Properties, SessionCode, StreamCode, TrackName,
        TrackNamespace, Version,
        control::{Publish, StreamKind, Subscribe},
    },
};
use headwater_relay::config::{Config, Limits};
use tokio::task::JoinSet;

use crate::running::Running;

/// SETUP without options: type 0x2F00, length 0.
pub(crate) const SETUP: &[u8] = &[0xaf, 0x00, 0x00, 0x00];
/// Far beyond what any answer takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long the node of these tests waits for SETUP.
pub(crate) const SETUP_TIME: Duration = Duration::from_secs(1);

pub(crate) fn run<F: Future<Output = ()>>(story: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, story)
            .await
            .expect("the story ends");
    });
}

pub(crate) fn node() -> Running {
    Running::start(Config {
        threads: 1,
        limits: Limits {
            handshake_timeout: SETUP_TIME,
            ..Limits::default()
        },
        ..Config::default()
    })
}

/// A publisher and a subscriber that keep the rules.
pub(crate) struct Healthy {
    writer: TrackWriter,
    subscriber: Subscriber,
    next: u64,
    _drivers: JoinSet<()>,
}

impl Healthy {
    pub(crate) async fn on(node: &Running) -> Self {
        let clock = Clock::new();
        let mut drivers = JoinSet::new();
        let publisher = node.dial("moqt", clock, &mut drivers).await;
        let name = track("healthy", "track");
        let cache = Cache::new(CacheLimits::default());
        let published =
            PublishedTrack::new(name.clone(), Properties::default(), &cache).expect("no properties");
        let writer = published.writer(clock);
        publisher.serve(&published);
        let publication = publisher
            .publish_namespace(name.namespace().clone(), Vec::new())
            .await
            .expect("accepted");
        let reader = node.dial("https", clock, &mut drivers).await;
        let subscriber = reader
            .subscribe(name, SubscribeOptions::default())
            .await
            .expect("accepted");
        drivers.spawn(async move {
            let _held = (publisher, publication, reader);
            std::future::pending().await
        });
        Self {
            writer,
            subscriber,
            next: 0,
            _drivers: drivers,
        }
    }

    /// An object still comes through.
    pub(crate) async fn beats(&mut self) {
        let mut group = self.writer.group(self.next).expect("new");
        group
            .object(Properties::default(), Bytes::from_static(b"beat"))
            .expect("first");
        group.finish().expect("whole");
        loop {
            let object = self.subscriber.next().await.expect("the healthy pair goes on");
            if object.location.group == self.next && object.payload == "beat" {
                break;
            }
        }
        self.next += 1;
    }
}

/// A peer that says what it is told to.
pub(crate) struct Peer {
    pub(crate) connection: quinn::Connection,
    /// Streams stay open until the peer is dropped, unless they were finished.
    pub(crate) streams: Vec<quinn::SendStream>,
    pub(crate) answers: Vec<quinn::RecvStream>,
    _endpoint: quinn::Endpoint,
}

impl Peer {
    pub(crate) async fn dial(node: &Running) -> Self {
        Self::attempt(node.address, Version::Draft18.alpn())
            .await
            .expect("a handshake")
    }

    /// A peer that speaks `alpn` to whoever is at `address`.
    pub(crate) async fn attempt(address: SocketAddr, alpn: &str) -> Result<Self, quinn::ConnectionError> {
        let tls = client_config(&ClientTrust::Insecure, &[alpn.as_bytes()]).expect("settings");
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("TLS 1.3");
        let endpoint = headwater_pubsub::net::client().expect("a socket");
        let mapped = match address.ip() {
            std::net::IpAddr::V4(ip) => SocketAddr::from((ip.to_ipv6_mapped(), address.port())),
            std::net::IpAddr::V6(_) => address,
        };
        let connection = endpoint
            .connect_with(quinn::ClientConfig::new(Arc::new(crypto)), mapped, "localhost")
            .expect("a valid configuration")
            .await?;
        Ok(Self {
            connection,
            streams: Vec::new(),
            answers: Vec::new(),
            _endpoint: endpoint,
        })
    }

    /// A peer that has said SETUP.
    pub(crate) async fn with_setup(node: &Running) -> Self {
        let mut peer = Self::dial(node).await;
        peer.uni(SETUP).await;
        peer
    }

    pub(crate) async fn uni(&mut self, bytes: &[u8]) {
        let mut stream = self.connection.open_uni().await.expect("credit");
        stream.write_all(bytes).await.expect("taken");
        self.streams.push(stream);
    }

    pub(crate) async fn bidi(&mut self, bytes: &[u8]) {
        let (mut stream, answers) = self.connection.open_bi().await.expect("credit");
        stream.write_all(bytes).await.expect("taken");
        self.streams.push(stream);
        // Dropping it would ask the node to stop answering, and cancel the request.
        self.answers.push(answers);
    }

    /// With which code the node closes.
    pub(crate) async fn closed(self) -> SessionCode {
        match self.connection.closed().await {
            quinn::ConnectionError::ApplicationClosed(close) => {
                SessionCode::from(close.error_code.into_inner())
            }
            other => panic!("not closed by the node: {other}"),
        }
    }

    /// The first bytes of the answer to the request that was made `index`th.
    pub(crate) async fn answer(&mut self, index: usize) -> Bytes {
        let answers = self.answers.get_mut(index).expect("asked");
        let chunk = answers.read_chunk(usize::MAX, true).await.expect("connected");
        chunk.expect("an answer before the end").bytes
    }
}

/// A request that the node made, in the hands of the peer.
pub(crate) struct Asked {
    answer: quinn::SendStream,
    question: quinn::RecvStream,
    reader: MessageReader,
}

impl Asked {
    /// The node's next request.
    pub(crate) async fn of(peer: &Peer) -> Self {
        let (answer, question) = peer.connection.accept_bi().await.expect("a request");
        Self {
            answer,
            question,
            reader: MessageReader::new(Version::Draft18, StreamKind::Request),
        }
    }

    /// What the node says next; `None` after its last word.
    pub(crate) async fn hear(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.reader.poll().expect("legal") {
                return Some(message);
            }
            let chunk = self
                .question
                .read_chunk(usize::MAX, true)
                .await
                .expect("no reset");
            self.reader.push(chunk?.bytes);
        }
    }

    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        self.answer.write_all(bytes).await.expect("taken");
    }

    /// With which code the node cancels it.
    pub(crate) async fn cancelled(mut self) -> StreamCode {
        loop {
            match self.question.read_chunk(usize::MAX, true).await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("closed, not cancelled"),
                Err(quinn::ReadError::Reset(code)) => return StreamCode::from(code.into_inner()),
                Err(other) => panic!("{other}"),
            }
        }
    }
}

/// A message as it is on the wire.
pub(crate) fn encoded(message: &Message) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    message.encode(Version::Draft18, &mut bytes).expect("short");
    bytes.to_vec()
}

pub(crate) fn track(namespace: &str, name: &str) -> FullTrackName {
    let namespace = TrackNamespace::new([namespace]).expect("short");
    FullTrackName::new(namespace, TrackName::new(name).expect("short")).expect("short")
}

/// SUBSCRIBE to `track`.
pub(crate) fn subscribe(request_id: u64, track: FullTrackName) -> Vec<u8> {
    encoded(&Message::Subscribe(Subscribe {
        request_id,
        track,
        parameters: Parameters::default(),
    }))
}

/// PUBLISH of `track`.
pub(crate) fn publish(request_id: u64, track: FullTrackName, track_alias: u64) -> Vec<u8> {
    encoded(&Message::Publish(Publish {
        request_id,
        track,
        track_alias,
        parameters: Parameters::default(),
        properties: Properties::default(),
    }))
}
