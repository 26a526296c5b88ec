//! The one way to get a session: [`story`].

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use headwater_pubsub::{
    net::{
        self, Client, Clock, ConnectOptions, Dialer, Driver, Handler, PortSharing, PublishedTrack,
        QuicLimits, ReceivedObject, SessionHandle, Subscriber, Transport, attach, connect,
    },
    session::{Limits, Side},
    track::{Cache, CacheLimits},
    wire::{FullTrackName, Properties, TrackName, TrackNamespace, Version, control::Setup},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::task::JoinSet;

/// What carries the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Quic,
    WebTransport,
}

/// Both ends of a session. `near` dialled, `far` accepted.
pub(crate) struct Ends {
    pub(crate) near: Client,
    pub(crate) far: Client,
    pub(crate) clock: Clock,
}

/// Defines a test for each transport.
macro_rules! stories {
    ($($(#[$meta:meta])* async fn $name:ident($ends:ident: Ends) $body:block)+) => {$(
        mod $name {
            use super::*;

            $(#[$meta])*
            async fn tell($ends: Ends) $body

            #[test]
            fn over_quic() {
                crate::harness::story(crate::harness::Wire::Quic, tell);
            }

            #[test]
            fn over_web_transport() {
                crate::harness::story(crate::harness::Wire::WebTransport, tell);
            }
        }
    )+};
}
pub(crate) use stories;

/// Far beyond what any story takes; a story that hangs fails here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Run `tell` with a fresh session whose drivers run beside it.
pub(crate) fn story<F: Future<Output = ()>>(wire: Wire, tell: impl FnOnce(Ends) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let clock = Clock::new();
        let ((near, near_driver), (far, far_driver)) = open(wire, clock).await;
        let mut drivers = JoinSet::new();
        drivers.spawn(near_driver.run());
        drivers.spawn(far_driver.run());
        tokio::time::timeout(PATIENCE, tell(Ends { near, far, clock }))
            .await
            .expect("the story ends");
    });
}

/// One end of a session whose far end is in the hands of a handler of the test's own.
pub(crate) struct Near {
    pub(crate) client: Client,
    pub(crate) far: SessionHandle,
    pub(crate) clock: Clock,
}

/// Run `tell` with a fresh session, over each transport, whose far end does what a handler says. `make` gives the handler and
/// what the test keeps of it.
pub(crate) fn handled<H: Handler, T, F: Future<Output = ()>>(
    make: impl Fn() -> (Arc<H>, T),
    tell: impl Fn(Near, T) -> F,
) {
    for wire in [Wire::Quic, Wire::WebTransport] {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let clock = Clock::new();
            let ((client, near_driver), transport) = dial(wire, clock).await;
            let far = SessionHandle::new(
                transport,
                clock,
                Side::Server,
                Setup::default(),
                Limits::default(),
            )
            .expect("a short SETUP");
            let (handler, kept) = make();
            let mut drivers = JoinSet::new();
            drivers.spawn(near_driver.run());
            drivers.spawn(far.driver(handler).run());
            let near = Near { client, far, clock };
            tokio::time::timeout(PATIENCE, tell(near, kept))
                .await
                .expect("the story ends");
        });
    }
}

/// A session, not running yet.
pub(crate) async fn open(wire: Wire, clock: Clock) -> ((Client, Driver), (Client, Driver)) {
    let (near, transport) = dial(wire, clock).await;
    (
        near,
        attach(transport, Side::Server, &options(clock)).expect("a short SETUP"),
    )
}

fn options(clock: Clock) -> ConnectOptions {
    ConnectOptions {
        clock,
        ..ConnectOptions::default()
    }
}

/// A client that runs while the set is held, and the connection that it made, on which nothing was said.
pub(crate) async fn scripted(clock: Clock) -> (Client, quinn::Connection, JoinSet<net::SessionEnd>) {
    let (server, dialer, url) = place(Wire::Quic);
    let accepting = async { server.accept().await.expect("open").await.expect("a handshake") };
    let (near, connection) = tokio::join!(connect(&dialer, &url, options(clock)), accepting);
    let (client, driver) = near.expect("connected");
    let mut drivers = JoinSet::new();
    drivers.spawn(driver.run());
    (client, connection, drivers)
}

/// A client that is not running yet, and the transport that accepted it.
pub(crate) async fn dial(wire: Wire, clock: Clock) -> ((Client, Driver), Transport) {
    let (server, dialer, url) = place(wire);
    let accepting = async {
        let incoming = server.accept().await.expect("open");
        net::accept(incoming, &QuicLimits::default())
            .await
            .expect("a handshake")
            .transport
    };
    let (near, transport) = tokio::join!(connect(&dialer, &url, options(clock)), accepting);
    (near.expect("connected"), transport)
}

/// Where to dial, and with what.
fn place(wire: Wire) -> (quinn::Endpoint, Dialer, url::Url) {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let certificate = certified.cert.der().clone();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a key");
    let limits = QuicLimits::default();
    let socket = net::bind(SocketAddr::from(([127, 0, 0, 1], 0)), PortSharing::Alone).expect("a port");
    let address = socket.local_addr().expect("bound");
    let server = net::server(
        socket,
        server_tls(certificate.clone(), key),
        &limits,
        &net::EndpointSecret::new([7; 32]),
    )
    .expect("an endpoint");

    let dialer = Dialer::new(net::client().expect("a socket"), client_tls(certificate), limits);
    let scheme = if wire == Wire::Quic { "moqt" } else { "https" };
    let url = format!("{scheme}://{address}/live?room=1")
        .parse()
        .expect("a URL");
    (server, dialer, url)
}

fn server_tls(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> rustls::ServerConfig {
    let mut tls =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring speaks TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a matching pair");
    tls.alpn_protocols = vec![Version::default().alpn().into(), net::ALPN_H3.into()];
    tls
}

fn client_tls(certificate: CertificateDer<'static>) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring speaks TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

pub(crate) fn namespace(fields: &[&str]) -> TrackNamespace {
    TrackNamespace::new(fields).expect("short")
}

pub(crate) fn name(track: &str) -> FullTrackName {
    FullTrackName::new(namespace(&["live", "cam"]), TrackName::new(track).expect("short")).expect("short")
}

pub(crate) fn track_with(name: FullTrackName, properties: Properties) -> PublishedTrack {
    PublishedTrack::new(name, properties, &Cache::new(CacheLimits::default())).expect("legal properties")
}

pub(crate) fn track(name: FullTrackName) -> PublishedTrack {
    track_with(name, Properties::default())
}

pub(crate) fn payload(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Group, object and payload.
pub(crate) fn brief(object: &ReceivedObject) -> (u64, u64, String) {
    let text = String::from_utf8_lossy(&object.payload).into_owned();
    (object.location.group, object.location.object, text)
}

/// The next objects that are no marks of an end.
pub(crate) async fn read(subscriber: &mut Subscriber, count: usize) -> Vec<(u64, u64, String)> {
    let mut objects = Vec::new();
    while objects.len() < count {
        let object = subscriber.next().await.expect("the subscription goes on");
        if object.status == headwater_pubsub::wire::data::ObjectStatus::Normal {
            objects.push(brief(&object));
        }
    }
    objects
}

/// What is left of a subscription, sorted, marks left out.
pub(crate) async fn read_all(subscriber: &mut Subscriber) -> Vec<(u64, u64, String)> {
    let mut objects = Vec::new();
    while let Some(object) = subscriber.next().await {
        if object.status == headwater_pubsub::wire::data::ObjectStatus::Normal {
            objects.push(brief(&object));
        }
    }
    objects.sort();
    objects
}
