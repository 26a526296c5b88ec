//! Peers that break the rules, byte by byte: each is told which one, and nobody else on the node notices.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use headwater_certs::{ClientTrust, client_config};
use headwater_pubsub::{
    net::{Clock, PublishedTrack, SubscribeOptions, Subscriber, TrackWriter},
    track::{Cache, CacheLimits},
    wire::{
        FullTrackName, Message, Parameters, Properties, SessionCode, StreamCode, TrackName, TrackNamespace,
        Version, control::Subscribe,
    },
};
use headwater_relay::config::{Config, Limits};
use tokio::task::JoinSet;

use crate::running::Running;

/// SETUP without options: type 0x2F00, length 0.
const SETUP: &[u8] = &[0xaf, 0x00, 0x00, 0x00];
/// Far beyond what any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the node of these tests waits for SETUP.
const SETUP_TIME: Duration = Duration::from_secs(1);

fn run<F: Future<Output = ()>>(story: F) {
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

fn node() -> Running {
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
struct Healthy {
    writer: TrackWriter,
    subscriber: Subscriber,
    next: u64,
    _drivers: JoinSet<()>,
}

impl Healthy {
    async fn on(node: &Running) -> Self {
        let clock = Clock::new();
        let mut drivers = JoinSet::new();
        let publisher = node.dial("moqt", clock, &mut drivers).await;
        let namespace = TrackNamespace::new(["healthy"]).expect("short");
        let name =
            FullTrackName::new(namespace.clone(), TrackName::new("track").expect("short")).expect("short");
        let cache = Cache::new(CacheLimits::default());
        let track = PublishedTrack::new(name.clone(), Properties::default(), &cache).expect("no properties");
        let writer = track.writer(clock);
        publisher.serve(&track);
        let publication = publisher
            .publish_namespace(namespace, Vec::new())
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
    async fn beats(&mut self) {
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
struct Peer {
    connection: quinn::Connection,
    /// Streams stay open until the peer is dropped, unless they were finished.
    streams: Vec<quinn::SendStream>,
    answers: Vec<quinn::RecvStream>,
    endpoint: quinn::Endpoint,
}

impl Peer {
    async fn dial(node: &Running) -> Self {
        let tls =
            client_config(&ClientTrust::Insecure, &[Version::Draft18.alpn().as_bytes()]).expect("settings");
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("TLS 1.3");
        let endpoint = headwater_pubsub::net::client().expect("a socket");
        let address = match node.address.ip() {
            std::net::IpAddr::V4(ip) => {
                std::net::SocketAddr::from((ip.to_ipv6_mapped(), node.address.port()))
            }
            std::net::IpAddr::V6(_) => node.address,
        };
        let connection = endpoint
            .connect_with(quinn::ClientConfig::new(Arc::new(crypto)), address, "localhost")
            .expect("a valid configuration")
            .await
            .expect("a handshake");
        Self {
            connection,
            streams: Vec::new(),
            answers: Vec::new(),
            endpoint,
        }
    }

    /// A peer that has said SETUP.
    async fn with_setup(node: &Running) -> Self {
        let mut peer = Self::dial(node).await;
        peer.uni(SETUP).await;
        peer
    }

    async fn uni(&mut self, bytes: &[u8]) {
        let mut stream = self.connection.open_uni().await.expect("credit");
        stream.write_all(bytes).await.expect("taken");
        self.streams.push(stream);
    }

    async fn bidi(&mut self, bytes: &[u8]) {
        let (mut stream, answers) = self.connection.open_bi().await.expect("credit");
        stream.write_all(bytes).await.expect("taken");
        self.streams.push(stream);
        // Dropping it would ask the node to stop answering, and cancel the request.
        self.answers.push(answers);
    }

    /// With which code the node closes.
    async fn closed(self) -> SessionCode {
        match self.connection.closed().await {
            quinn::ConnectionError::ApplicationClosed(close) => {
                SessionCode::from(close.error_code.into_inner())
            }
            other => panic!("not closed by the node: {other}"),
        }
    }
}

fn subscribe(request_id: u64) -> Vec<u8> {
    let namespace = TrackNamespace::new(["nobody"]).expect("short");
    let track = FullTrackName::new(namespace, TrackName::new("nothing").expect("short")).expect("short");
    let message = Message::Subscribe(Subscribe {
        request_id,
        track,
        parameters: Parameters::default(),
    });
    let mut bytes = BytesMut::new();
    message.encode(Version::Draft18, &mut bytes).expect("short");
    bytes.to_vec()
}

/// SUBSCRIBE with this body.
fn subscribe_body(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("short").to_be_bytes();
    [&[0x03], length.as_slice(), body].concat()
}

#[test]
fn what_breaks_the_control_stream_is_told_and_closes_only_that_session() {
    let node = node();
    run(async {
        let mut healthy = Healthy::on(&node).await;
        let violations: &[(&str, &[u8])] = &[
            ("an unknown message", &[0x3f, 0x00, 0x00]),
            ("a second SETUP", SETUP),
            ("a request on the control stream", &[0x03, 0x00, 0x00]),
            ("a GOAWAY cut short", &[0x10, 0x00, 0x01, 0x00]),
        ];
        for (what, bytes) in violations {
            let mut peer = Peer::dial(&node).await;
            peer.uni(&[SETUP, bytes].concat()).await;
            assert_eq!(peer.closed().await, SessionCode::PROTOCOL_VIOLATION, "{what}");
            healthy.beats().await;
        }
        let mut twice = Peer::with_setup(&node).await;
        twice.uni(SETUP).await;
        assert_eq!(
            twice.closed().await,
            SessionCode::PROTOCOL_VIOLATION,
            "a second control stream"
        );
        let mut ended = Peer::with_setup(&node).await;
        ended
            .streams
            .first_mut()
            .expect("the control stream")
            .finish()
            .expect("open");
        assert_eq!(
            ended.closed().await,
            SessionCode::PROTOCOL_VIOLATION,
            "a finished control stream"
        );
        let mut path = Peer::dial(&node).await;
        // PATH (1), 3 bytes that do not begin with a slash.
        path.uni(&[0xaf, 0x00, 0x00, 0x05, 0x01, 0x03, b'a', b' ', b'b'])
            .await;
        assert_eq!(path.closed().await, SessionCode::MALFORMED_PATH);
        healthy.beats().await;
    });
}

#[test]
fn what_breaks_a_request_is_told_and_closes_only_that_session() {
    let node = node();
    run(async {
        let mut healthy = Healthy::on(&node).await;
        let too_many_fields = [&[0x00, 33][..], &[1, b'x'].repeat(33), &[0x00, 0x00]].concat();
        let long_name = [&[0x00, 0x01, 0x01, b'x', 0x90, 0x01][..], &[b'n'; 4097], &[0x00]].concat();
        let violations = [
            ("an answer that nobody asked for", vec![0x07, 0x00, 0x01, 0x00]),
            ("SETUP as a request", SETUP.to_vec()),
            (
                "a length beyond the fields",
                subscribe_body(&[0x00, 0x01, 0x01, b'x', 0x01, b'y', 0x00, 0x00]),
            ),
            ("a length inside the fields", subscribe_body(&[0x00, 0x01, 0x01])),
            (
                "an empty namespace field",
                subscribe_body(&[0x00, 0x01, 0x00, 0x01, b'y', 0x00]),
            ),
            ("33 namespace fields", subscribe_body(&too_many_fields)),
            ("a name of 4098 bytes", subscribe_body(&long_name)),
            (
                "an unknown parameter",
                subscribe_body(&[0x00, 0x01, 0x01, b'x', 0x01, b'y', 0x01, 0x7b, 0x00]),
            ),
        ];
        for (what, bytes) in violations {
            let mut peer = Peer::with_setup(&node).await;
            peer.bidi(&bytes).await;
            assert_eq!(peer.closed().await, SessionCode::PROTOCOL_VIOLATION, "{what}");
            healthy.beats().await;
        }
        let mut odd = Peer::with_setup(&node).await;
        odd.bidi(&subscribe(1)).await;
        assert_eq!(
            odd.closed().await,
            SessionCode::INVALID_REQUEST_ID,
            "a server's Request ID"
        );
        let mut again = Peer::with_setup(&node).await;
        again.bidi(&subscribe(0)).await;
        again.bidi(&subscribe(0)).await;
        assert_eq!(
            again.closed().await,
            SessionCode::INVALID_REQUEST_ID,
            "a Request ID twice"
        );
        healthy.beats().await;
    });
}

#[test]
fn what_breaks_the_data_plane_is_told_and_a_stray_stream_only_stopped() {
    let node = node();
    run(async {
        let mut healthy = Healthy::on(&node).await;
        for (what, bytes) in [
            ("an unknown stream type", [0x03]),
            ("a reserved subgroup form", [0x16]),
        ] {
            let mut peer = Peer::with_setup(&node).await;
            peer.uni(&bytes).await;
            assert_eq!(peer.closed().await, SessionCode::PROTOCOL_VIOLATION, "{what}");
        }
        let unknown = Peer::with_setup(&node).await;
        unknown
            .connection
            .send_datagram(Bytes::from_static(&[0x10, 0x00]))
            .expect("datagrams");
        assert_eq!(
            unknown.closed().await,
            SessionCode::PROTOCOL_VIOLATION,
            "an unknown datagram type"
        );

        let mut stray = Peer::with_setup(&node).await;
        // A subgroup of a track alias that nobody gave: alias 99, group 0, priority 0.
        stray.uni(&[0x10, 0x63, 0x00, 0x00, 0x00, 0x01, b'x']).await;
        let stopped = stray
            .streams
            .last()
            .expect("just opened")
            .stopped()
            .await
            .expect("connected");
        assert_eq!(
            stopped.map(|code| StreamCode::from(code.into_inner())),
            Some(StreamCode::CANCELLED)
        );
        assert!(stray.connection.close_reason().is_none(), "the session goes on");
        healthy.beats().await;
    });
}

#[test]
fn who_says_nothing_is_closed_in_time() {
    let node = node();
    run(async {
        let mut healthy = Healthy::on(&node).await;
        let silent = Peer::dial(&node).await;
        assert_eq!(silent.closed().await, SessionCode::CONTROL_MESSAGE_TIMEOUT);
        healthy.beats().await;
    });
}

#[test]
fn sessions_beyond_the_limit_are_refused_until_one_leaves() {
    let node = Running::start(Config {
        threads: 1,
        limits: Limits {
            sessions: 2,
            ..Limits::default()
        },
        ..Config::default()
    });
    run(async {
        let first = Peer::with_setup(&node).await;
        let second = Peer::with_setup(&node).await;
        let tls =
            client_config(&ClientTrust::Insecure, &[Version::Draft18.alpn().as_bytes()]).expect("settings");
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("TLS 1.3");
        let third = second
            .endpoint
            .connect_with(
                quinn::ClientConfig::new(Arc::new(crypto)),
                second.connection.remote_address(),
                "localhost",
            )
            .expect("a valid configuration")
            .await;
        assert!(
            matches!(third, Err(quinn::ConnectionError::ConnectionClosed(_))),
            "{third:?}"
        );
        assert!(first.connection.close_reason().is_none());
    });
}
