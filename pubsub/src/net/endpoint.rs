//! QUIC endpoints: settings, sockets, accepting and dialling, for raw QUIC and WebTransport on one UDP port.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use tracing::warn;
use url::{Host, Url};
use web_transport_quinn::proto::{ConnectRequest, ConnectResponse};

use super::{
    congestion::Switchable,
    connection_id::CheckedIds,
    transport::{FIRST_REQUESTS, Transport, TransportClosed},
};
use crate::wire::Version;

/// ALPN of HTTP/3, under which WebTransport runs.
pub const ALPN_H3: &str = "h3";
/// Socket buffers we ask for. With the usual 208 KiB a busy relay loses packets on its own socket.
const SOCKET_BUFFER: usize = 4 << 20;

/// How long a client that is refused over HTTP may take to read why.
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// What a peer may use of us, and when it counts as gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuicLimits {
    /// Bytes of a connection that may be in flight or unread; QUIC's own default is unlimited.
    pub receive_window: u32,
    /// The same for one stream: a large object may fill it.
    pub stream_receive_window: u32,
    /// Bytes sent and not yet acknowledged: what one slow peer can make us hold.
    pub send_window: u64,
    /// Bytes of datagrams waiting to be sent; the oldest are dropped beyond.
    pub datagram_send_bytes: usize,
    /// Unidirectional streams (data) the peer may have open. Each costs about 48 B at once.
    pub max_uni_streams: u32,
    /// Bidirectional streams (requests) the peer may have open. A server allows fewer at first, and more as they are used.
    pub max_bidi_streams: u32,
    /// Silence after which the connection is given up.
    pub idle_timeout: Duration,
    /// Pause after which something is sent to keep the connection; `None`: never.
    pub keep_alive: Option<Duration>,
    /// A handshake that takes longer is closed.
    pub handshake_timeout: Duration,
}

impl Default for QuicLimits {
    fn default() -> Self {
        Self {
            receive_window: 8 << 20,
            stream_receive_window: 2 << 20,
            send_window: 4 << 20,
            datagram_send_bytes: 128 << 10,
            max_uni_streams: 128,
            max_bidi_streams: 1024,
            idle_timeout: Duration::from_secs(10),
            keep_alive: Some(Duration::from_secs(3)),
            handshake_timeout: Duration::from_secs(5),
        }
    }
}

impl QuicLimits {
    fn transport_config(&self) -> quinn::TransportConfig {
        let mut config = quinn::TransportConfig::default();
        config
            .receive_window(self.receive_window.into())
            .stream_receive_window(self.stream_receive_window.min(self.receive_window).into())
            .send_window(self.send_window)
            .max_concurrent_uni_streams(self.max_uni_streams.into())
            .max_concurrent_bidi_streams(self.max_bidi_streams.into())
            .max_idle_timeout(quinn::IdleTimeout::try_from(self.idle_timeout).ok())
            .keep_alive_interval(self.keep_alive)
            // Streams of one priority go out in the order written: fewer switches, and groups in order.
            .send_fairness(false)
            .datagram_receive_buffer_size(Some(1 << 20))
            .datagram_send_buffer_size(self.datagram_send_bytes)
            .congestion_controller_factory(Arc::new(Switchable));
        config
    }
}

/// Why an endpoint could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The address could not be bound.
    #[error("cannot listen on UDP {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The TLS settings cannot carry QUIC (TLS 1.3 with an initial cipher suite is needed).
    #[error("the TLS settings cannot carry QUIC: {0}")]
    Tls(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
}

/// Whether several sockets may share a port, each getting a share of the peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortSharing {
    /// One socket.
    Alone,
    /// One socket per thread (`SO_REUSEPORT`).
    Shared,
}

/// Bind a UDP socket with large buffers. An IPv6 wildcard takes IPv4 as well.
///
/// # Errors
/// The address is in use or not ours.
pub fn bind(address: SocketAddr, sharing: PortSharing) -> Result<UdpSocket, EndpointError> {
    let fail = |source| EndpointError::Bind { address, source };
    let domain = socket2::Domain::for_address(address);
    let socket =
        socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP)).map_err(fail)?;
    if address.is_ipv6() {
        socket.set_only_v6(false).map_err(fail)?;
    }
    #[cfg(unix)]
    if sharing == PortSharing::Shared {
        socket.set_reuse_port(true).map_err(fail)?;
    }
    enlarge_buffers(&socket);
    socket.bind(&address.into()).map_err(fail)?;
    Ok(socket.into())
}

fn enlarge_buffers(socket: &socket2::Socket) {
    let asked = socket
        .set_recv_buffer_size(SOCKET_BUFFER)
        .and_then(|()| socket.set_send_buffer_size(SOCKET_BUFFER));
    // Linux reports twice what it granted.
    let granted = socket.recv_buffer_size().unwrap_or(0) / 2;
    if asked.is_err() || granted < SOCKET_BUFFER {
        warn!(
            granted,
            wanted = SOCKET_BUFFER,
            "small UDP socket buffers: expect loss under load (raise net.core.rmem_max and net.core.wmem_max)"
        );
    }
}

/// What the endpoints of one server have in common, and keep over a restart.
///
/// From it come the key of stateless resets (RFC 9000 section 10.3), so that a peer whose server was restarted learns at its
/// next packet that its connection is gone instead of waiting for the idle timeout, and the key of address tokens, so that
/// one thread's Retry is good at another's socket. `Debug` hides it.
#[derive(Clone)]
pub struct EndpointSecret([u8; 32]);

impl std::fmt::Debug for EndpointSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EndpointSecret(hidden)")
    }
}

impl EndpointSecret {
    /// From 32 bytes that nobody else knows.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn reset_key(&self) -> ring::hmac::Key {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.0);
        ring::hmac::Key::new(
            ring::hmac::HMAC_SHA256,
            ring::hmac::sign(&key, b"stateless reset").as_ref(),
        )
    }

    fn token_key(&self) -> ring::hkdf::Prk {
        ring::hkdf::Salt::new(ring::hkdf::HKDF_SHA256, b"address token").extract(&self.0)
    }

    /// Connection IDs carry a check, so that packets of strangers are dropped and not answered with a reset.
    fn connection_id_key(&self) -> u64 {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.0);
        let tag = ring::hmac::sign(&key, b"connection id");
        tag.as_ref()
            .first_chunk()
            .map_or(0, |first| u64::from_be_bytes(*first))
    }
}

/// A QUIC endpoint on `socket` that accepts sessions.
///
/// # Errors
/// The TLS settings cannot carry QUIC, or the socket is unusable.
pub fn server(
    socket: UdpSocket,
    tls: rustls::ServerConfig,
    limits: &QuicLimits,
    secret: &EndpointSecret,
) -> Result<quinn::Endpoint, EndpointError> {
    let address = socket
        .local_addr()
        .unwrap_or_else(|_unbound| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    let crypto = Arc::new(QuicServerConfig::try_from(tls)?);
    let mut config = quinn::ServerConfig::new(crypto, Arc::new(secret.token_key()));
    let mut transport = limits.transport_config();
    transport.max_concurrent_bidi_streams(limits.max_bidi_streams.min(FIRST_REQUESTS).into());
    config.transport_config(Arc::new(transport));
    // A moved address would hash to another thread's socket.
    config.migration(false);
    let mut shared = quinn::EndpointConfig::new(Arc::new(secret.reset_key()));
    let cid_key = secret.connection_id_key();
    shared.cid_generator(move || Box::new(CheckedIds::new(cid_key)));
    endpoint(socket, shared, Some(config), address)
}

/// A QUIC endpoint for dialling only.
///
/// # Errors
/// No socket can be had.
pub fn client() -> Result<quinn::Endpoint, EndpointError> {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let socket = bind(any, PortSharing::Alone)
        .or_else(|_no_ipv6| bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), PortSharing::Alone))?;
    endpoint(socket, quinn::EndpointConfig::default(), None, any)
}

fn endpoint(
    socket: UdpSocket,
    shared: quinn::EndpointConfig,
    config: Option<quinn::ServerConfig>,
    address: SocketAddr,
) -> Result<quinn::Endpoint, EndpointError> {
    let fail = |source| EndpointError::Bind { address, source };
    socket.set_nonblocking(true).map_err(fail)?;
    quinn::Endpoint::new(shared, config, socket, Arc::new(quinn::TokioRuntime)).map_err(fail)
}

/// Why a connection did not become a session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The handshake took too long.
    #[error("handshake timed out")]
    TimedOut,
    /// QUIC or TLS failed.
    #[error("handshake failed: {0}")]
    Quic(#[from] quinn::ConnectionError),
    /// The HTTP/3 exchange failed.
    #[error("WebTransport handshake failed: {0}")]
    WebTransport(#[from] web_transport_quinn::ServerError),
    /// The client speaks no version of ours.
    #[error("the client offers no version of MoQ Transport that we speak")]
    Version,
}

/// A transport and what the client asked for in HTTP.
#[derive(Debug)]
pub struct Accepted {
    /// The transport.
    pub transport: Transport,
    /// Path of the WebTransport URL; on raw QUIC it comes in SETUP.
    pub path: Option<String>,
}

/// Finish the handshake of an incoming connection: raw QUIC by ALPN, or WebTransport by CONNECT.
///
/// # Errors
/// See [`AcceptError`]; the connection is closed then.
pub async fn accept(incoming: quinn::Incoming, limits: &QuicLimits) -> Result<Accepted, AcceptError> {
    let handshake = async {
        let connection = incoming.await?;
        let alpn = connection
            .handshake_data()
            .and_then(|data| data.downcast::<quinn::crypto::rustls::HandshakeData>().ok())
            .and_then(|data| data.protocol)
            .unwrap_or_default();
        if let Some(version) = Version::from_alpn(&alpn) {
            return Ok(Accepted {
                transport: Transport::quic(connection, version).growing_to(limits.max_bidi_streams),
                path: None,
            });
        }
        accept_web_transport(connection, limits).await
    };
    tokio::time::timeout(limits.handshake_timeout, handshake)
        .await
        .unwrap_or(Err(AcceptError::TimedOut))
}

async fn accept_web_transport(
    connection: quinn::Connection,
    limits: &QuicLimits,
) -> Result<Accepted, AcceptError> {
    let request = web_transport_quinn::Request::accept(connection.clone()).await?;
    let version = request
        .protocols
        .iter()
        .find_map(|protocol| Version::from_alpn(protocol.as_bytes()));
    let Some(version) = version else {
        // A browser would otherwise open the session with an empty protocol and guess an older draft.
        request
            .reject(web_transport_quinn::http::StatusCode::BAD_REQUEST)
            .await?;
        // Dropped at once, the connection would close before the answer has left.
        let _left = tokio::time::timeout(REFUSAL_TIME, connection.closed())
            .await
            .is_ok();
        return Err(AcceptError::Version);
    };
    let path = request.url.path().to_owned();
    let session = request
        .respond(ConnectResponse::OK.with_protocol(version.alpn()))
        .await?;
    Ok(Accepted {
        transport: Transport::web_transport(session, version).growing_to(limits.max_bidi_streams),
        path: Some(path),
    })
}

/// Why dialling failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The URL has a scheme other than `moqt` and `https`, or no host.
    #[error("{0} is not a moqt:// or https:// URL with a host")]
    Url(Url),
    /// The host name has no address.
    #[error("cannot resolve {host}: {source}")]
    Resolve {
        /// The host.
        host: String,
        /// What the resolver says.
        #[source]
        source: io::Error,
    },
    /// The TLS settings cannot carry QUIC.
    #[error("the TLS settings cannot carry QUIC: {0}")]
    Tls(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
    /// The connection could not be begun.
    #[error("cannot dial: {0}")]
    Dial(#[from] quinn::ConnectError),
    /// The handshake failed.
    #[error("{0}")]
    Handshake(#[from] quinn::ConnectionError),
    /// Nobody answered in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The server answered, but not as a MoQ Transport server.
    #[error("the server does not speak MoQ Transport over WebTransport: {0}")]
    WebTransport(#[from] web_transport_quinn::ClientError),
    /// The server accepted WebTransport but chose no version.
    #[error("the server chose no MoQ Transport version (WT-Protocol is missing)")]
    Version,
    /// The session ended while it was set up.
    #[error(transparent)]
    Closed(#[from] TransportClosed),
}

/// Dials sessions. One UDP socket serves them all.
#[derive(Clone, Debug)]
pub struct Dialer {
    endpoint: quinn::Endpoint,
    tls: Arc<rustls::ClientConfig>,
    limits: QuicLimits,
}

impl Dialer {
    /// Dial from `endpoint`, trusting what `tls` trusts. The ALPN of `tls` is replaced by what each URL asks for.
    pub fn new(endpoint: quinn::Endpoint, tls: rustls::ClientConfig, limits: QuicLimits) -> Self {
        Self {
            endpoint,
            tls: Arc::new(tls),
            limits,
        }
    }

    /// Connect to a `moqt://` (raw QUIC) or `https://` (WebTransport) URL. Every address of the host is tried in turn.
    ///
    /// # Errors
    /// See [`DialError`]. Nothing is left open.
    pub async fn dial(&self, url: &Url) -> Result<Transport, DialError> {
        let (host, alpn) = match (url.scheme(), url.host()) {
            ("moqt", Some(host)) => (host, Version::default().alpn()),
            ("https", Some(host)) => (host, ALPN_H3),
            _ => return Err(DialError::Url(url.clone())),
        };
        let mut tls = (*self.tls).clone();
        tls.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        config.transport_config(Arc::new(self.limits.transport_config()));
        // Anything that is not an IP literal under a scheme unknown to the URL standard arrives percent-encoded as a domain.
        let name = host.to_string();
        let server_name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let mut failure = DialError::TimedOut(self.limits.handshake_timeout);
        for address in addresses(&host, url.port().unwrap_or(443)).await? {
            let attempt = self.attempt(config.clone(), address, &server_name, url);
            match tokio::time::timeout(self.limits.handshake_timeout, attempt).await {
                Ok(Ok(transport)) => return Ok(transport),
                Ok(Err(error)) => failure = error,
                Err(_elapsed) => failure = DialError::TimedOut(self.limits.handshake_timeout),
            }
        }
        Err(failure)
    }

    async fn attempt(
        &self,
        config: quinn::ClientConfig,
        address: SocketAddr,
        server_name: &str,
        url: &Url,
    ) -> Result<Transport, DialError> {
        let local_is_v6 = self.endpoint.local_addr().is_ok_and(|local| local.is_ipv6());
        let address = match (local_is_v6, address.ip()) {
            (true, IpAddr::V4(ip)) => SocketAddr::from((ip.to_ipv6_mapped(), address.port())),
            _ => address,
        };
        let connection = self.endpoint.connect_with(config, address, server_name)?.await?;
        if url.scheme() == "moqt" {
            return Ok(Transport::quic(connection, Version::default()));
        }
        let request = ConnectRequest::new(url.clone()).with_protocol(Version::default().alpn());
        let session = web_transport_quinn::Session::connect(connection, request).await?;
        let version = session
            .protocol()
            .and_then(|protocol| Version::from_alpn(protocol.as_bytes()));
        Ok(Transport::web_transport(
            session,
            version.ok_or(DialError::Version)?,
        ))
    }
}

/// The host's addresses, IPv4 loopback before IPv6 as it stands with the resolver.
async fn addresses(host: &Host<&str>, port: u16) -> Result<Vec<SocketAddr>, DialError> {
    match host {
        Host::Ipv4(ip) => Ok(vec![SocketAddr::from((*ip, port))]),
        Host::Ipv6(ip) => Ok(vec![SocketAddr::from((*ip, port))]),
        Host::Domain(name) => match name.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::from((ip, port))]),
            Err(_not_a_literal) => tokio::net::lookup_host((*name, port))
                .await
                .map(Iterator::collect)
                .map_err(|source| DialError::Resolve {
                    host: (*name).to_owned(),
                    source,
                }),
        },
    }
}
