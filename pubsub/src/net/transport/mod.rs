//! One small type over raw QUIC and WebTransport; nothing above it can tell them apart.
//!
//! WebTransport streams that we open are opened on the QUIC connection behind the session: the stream header is the first
//! bytes we write, so that it shares a write with what follows. Stream codes are mapped into HTTP/3's space there
//! (RFC 9114 section 8.1, draft-ietf-webtrans-http3 "Resetting Data Streams").

mod code;
mod stream;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use quinn::VarInt;
use web_transport_quinn::proto::error_to_http3;

use super::congestion::endure_losses;
use crate::wire::{SessionCode, Version};

use code::CodeSpace;
pub use code::TransportClosed;
pub(crate) use stream::{Read, RecvStream, SendStream, WriteFailed};

/// Header of a unidirectional WebTransport stream: type 0x54, session 0. A connection carries one session, whose CONNECT
/// is the client's first stream, so the session ID is always 0.
const WEBTRANSPORT_UNI: &[u8] = &[0x40, 0x54, 0x00];
/// Header of a bidirectional WebTransport stream: signal 0x41, session 0.
const WEBTRANSPORT_BIDI: &[u8] = &[0x40, 0x41, 0x00];

/// Requests that a peer who connects to us may have open at first. QUIC allots memory for each permitted stream at once: about
/// 100 B, which most sessions would never use.
pub(super) const FIRST_REQUESTS: u32 = 32;

/// How many requests the peer may have open; it only grows.
#[derive(Debug)]
struct Allowance {
    now: AtomicU32,
    most: u32,
}

impl Allowance {
    /// With so many open it is to be this much; `None`: it is enough as it is.
    fn grow(&self, open: usize) -> Option<u32> {
        let open = u32::try_from(open).unwrap_or(u32::MAX);
        let now = self.now.load(Ordering::Relaxed);
        let wanted = open.saturating_mul(4).min(self.most);
        (open >= now / 2 && now < wanted).then(|| {
            self.now.store(wanted, Ordering::Relaxed);
            wanted
        })
    }
}

/// The transport of one session. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Transport {
    kind: Kind,
    version: Version,
    /// `None`: what QUIC was set up with stands.
    requests: Option<Arc<Allowance>>,
}

#[derive(Clone, Debug)]
enum Kind {
    Quic(quinn::Connection),
    WebTransport(Arc<web_transport_quinn::Session>),
}

/// What the transport knows about its path.
#[derive(Clone, Copy, Debug, Default)]
pub struct PathStats {
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Packets sent and lost so far.
    pub sent_packets: u64,
    /// Packets declared lost so far.
    pub lost_packets: u64,
    /// UDP bytes received.
    pub received_bytes: u64,
    /// UDP bytes sent.
    pub sent_bytes: u64,
    /// UDP datagrams received.
    pub received_datagrams: u64,
    /// UDP datagrams sent.
    pub sent_datagrams: u64,
}

impl Transport {
    /// A raw QUIC connection whose ALPN chose `version`.
    pub fn quic(connection: quinn::Connection, version: Version) -> Self {
        Self {
            kind: Kind::Quic(connection),
            version,
            requests: None,
        }
    }

    /// A WebTransport session whose `WT-Protocol` chose `version`.
    pub fn web_transport(session: web_transport_quinn::Session, version: Version) -> Self {
        Self {
            kind: Kind::WebTransport(Arc::new(session)),
            version,
            requests: None,
        }
    }

    /// QUIC was set up to let the peer have [`FIRST_REQUESTS`] requests open: it may have up to `most` once it needs them.
    pub(super) fn growing_to(mut self, most: u32) -> Self {
        self.requests = Some(Arc::new(Allowance {
            now: AtomicU32::new(FIRST_REQUESTS.min(most)),
            most,
        }));
        self
    }

    /// The peer has `open` requests open: it is allowed more before it must wait.
    pub(crate) fn expect_requests(&self, open: usize) {
        if let Some(count) = self.requests.as_ref().and_then(|requests| requests.grow(open)) {
            self.connection().set_max_concurrent_bi_streams(count.into());
        }
    }

    /// The peer publishes, or is a neighbour: it may open as many requests at once as it is ever allowed. To offer a track that
    /// there is no stream for is given up for good.
    pub fn expect_offers(&self) {
        self.expect_requests(usize::MAX);
    }

    /// The MoQT version agreed on.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Which of the two this is, as the session machine wants to know.
    pub fn session_transport(&self) -> crate::session::Transport {
        match self.kind {
            Kind::Quic(_) => crate::session::Transport::Quic,
            Kind::WebTransport(_) => crate::session::Transport::WebTransport,
        }
    }

    fn connection(&self) -> &quinn::Connection {
        match &self.kind {
            Kind::Quic(connection) => connection,
            Kind::WebTransport(session) => session,
        }
    }

    fn space(&self) -> CodeSpace {
        match self.kind {
            Kind::Quic(_) => CodeSpace::Quic,
            Kind::WebTransport(_) => CodeSpace::Http3,
        }
    }

    /// Address of the peer; one of IPv4 as such, also where the socket is of IPv6.
    pub fn remote_address(&self) -> SocketAddr {
        plain(self.connection().remote_address())
    }

    /// What is known of the path now.
    pub fn path_stats(&self) -> PathStats {
        let stats = self.connection().stats();
        PathStats {
            rtt: stats.path.rtt,
            sent_packets: stats.path.sent_packets,
            lost_packets: stats.path.lost_packets,
            received_bytes: stats.udp_rx.bytes,
            sent_bytes: stats.udp_tx.bytes,
            received_datagrams: stats.udp_rx.datagrams,
            sent_datagrams: stats.udp_tx.datagrams,
        }
    }

    /// A secret that only the two ends of the connection can derive, and only with the same label and context (RFC 5705, RFC 8446
    /// section 7.5). `None` if TLS refuses.
    pub fn export_keying_material(&self, label: &[u8], context: &[u8]) -> Option<[u8; 32]> {
        let mut secret = [0; 32];
        self.connection()
            .export_keying_material(&mut secret, label, context)
            .ok()?;
        Some(secret)
    }

    /// Whether the peer takes datagrams.
    pub fn accepts_datagrams(&self) -> bool {
        self.connection().max_datagram_size().is_some()
    }

    /// Allow the peer so many unidirectional streams at a time. QUIC allots memory for each permitted stream at once, so the
    /// limit is raised only for peers that publish.
    pub fn set_max_uni_streams(&self, count: u32) {
        self.connection().set_max_concurrent_uni_streams(count.into());
    }

    /// Let the peer have so many bytes on the way to us, unread: a neighbour that carries many tracks needs more than a client.
    pub fn set_receive_window(&self, bytes: u32) {
        self.connection().set_receive_window(bytes.into());
    }

    /// From now on losses do not slow the session down unless the path is full: for a path that may lose by chance, and a peer
    /// that gets more than one stream of media. It costs more time per packet.
    pub fn endure_losses(&self) {
        endure_losses(self.connection());
    }

    /// Open a unidirectional stream; pending while the peer's limit is reached. Cancel-safe.
    pub(crate) async fn open_uni(&self) -> Result<SendStream, TransportClosed> {
        let space = self.space();
        match self.connection().open_uni().await {
            Ok(stream) => Ok(SendStream::opened(stream, space)),
            Err(error) => Err(TransportClosed::from_quic(&error, space)),
        }
    }

    /// Open a bidirectional stream; pending while the peer's limit is reached. Cancel-safe.
    pub(crate) async fn open_bi(&self) -> Result<(SendStream, RecvStream), TransportClosed> {
        let space = self.space();
        match self.connection().open_bi().await {
            Ok((send, recv)) => Ok((SendStream::opened(send, space), RecvStream::Quic(recv, space))),
            Err(error) => Err(TransportClosed::from_quic(&error, space)),
        }
    }

    /// Bytes to write first on a unidirectional stream from [`Transport::open_uni`]; empty on raw QUIC.
    pub(crate) fn uni_prefix(&self) -> Bytes {
        match self.space() {
            CodeSpace::Quic => Bytes::new(),
            CodeSpace::Http3 => Bytes::from_static(WEBTRANSPORT_UNI),
        }
    }

    /// Bytes to write first on a bidirectional stream from [`Transport::open_bi`]; empty on raw QUIC.
    pub(crate) fn bidi_prefix(&self) -> Bytes {
        match self.space() {
            CodeSpace::Quic => Bytes::new(),
            CodeSpace::Http3 => Bytes::from_static(WEBTRANSPORT_BIDI),
        }
    }

    /// Next unidirectional stream of the peer. Cancel-safe.
    pub(crate) async fn accept_uni(&self) -> Result<RecvStream, TransportClosed> {
        match &self.kind {
            Kind::Quic(connection) => match connection.accept_uni().await {
                Ok(stream) => Ok(RecvStream::Quic(stream, CodeSpace::Quic)),
                Err(error) => Err(TransportClosed::from_quic(&error, CodeSpace::Quic)),
            },
            Kind::WebTransport(session) => match session.accept_uni().await {
                Ok(stream) => Ok(RecvStream::WebTransport(stream)),
                Err(error) => Err(TransportClosed::from_web_transport(&error)),
            },
        }
    }

    /// Next bidirectional stream of the peer. Cancel-safe.
    pub(crate) async fn accept_bi(&self) -> Result<(SendStream, RecvStream), TransportClosed> {
        match &self.kind {
            Kind::Quic(connection) => match connection.accept_bi().await {
                Ok((send, recv)) => Ok((
                    SendStream::opened(send, CodeSpace::Quic),
                    RecvStream::Quic(recv, CodeSpace::Quic),
                )),
                Err(error) => Err(TransportClosed::from_quic(&error, CodeSpace::Quic)),
            },
            Kind::WebTransport(session) => match session.accept_bi().await {
                Ok((send, recv)) => Ok((SendStream::accepted(send), RecvStream::WebTransport(recv))),
                Err(error) => Err(TransportClosed::from_web_transport(&error)),
            },
        }
    }

    /// Next datagram of the peer. Cancel-safe.
    pub(crate) async fn read_datagram(&self) -> Result<Bytes, TransportClosed> {
        match &self.kind {
            Kind::Quic(connection) => connection
                .read_datagram()
                .await
                .map_err(|error| TransportClosed::from_quic(&error, CodeSpace::Quic)),
            Kind::WebTransport(session) => session
                .read_datagram()
                .await
                .map_err(|error| TransportClosed::from_web_transport(&error)),
        }
    }

    /// Send a datagram if it fits; one that does not is dropped, as the draft says (section "Datagrams").
    pub(crate) fn send_datagram(&self, datagram: Bytes) -> bool {
        match &self.kind {
            Kind::Quic(connection) => connection.send_datagram(datagram).is_ok(),
            Kind::WebTransport(session) => session.send_datagram(datagram).is_ok(),
        }
    }

    /// Close the session. What was written but not delivered may be lost.
    pub fn close(&self, code: SessionCode, reason: &str) {
        let code = u64::from(code);
        match &self.kind {
            Kind::Quic(connection) => {
                connection.close(VarInt::from_u64(code).unwrap_or(VarInt::MAX), reason.as_bytes());
            }
            Kind::WebTransport(session) => {
                session.close(u32::try_from(code).unwrap_or(u32::MAX), reason.as_bytes());
            }
        }
    }

    /// Close the connection at once, without what [`Transport::close`] does for the close to be understood.
    pub(crate) fn abandon(&self) {
        let code = match self.space() {
            CodeSpace::Quic => 0,
            CodeSpace::Http3 => error_to_http3(0),
        };
        self.connection()
            .close(VarInt::from_u64(code).unwrap_or(VarInt::MAX), b"");
    }

    /// Wait until the connection below is closed, which over WebTransport is later than the session.
    pub(crate) async fn gone(&self) {
        self.connection().closed().await;
    }

    /// Wait until the session is closed.
    pub async fn closed(&self) -> TransportClosed {
        match &self.kind {
            Kind::Quic(connection) => TransportClosed::from_quic(&connection.closed().await, CodeSpace::Quic),
            Kind::WebTransport(session) => TransportClosed::from_web_transport(&session.closed().await),
        }
    }
}

/// The address as people write it: one of IPv4 that a socket of IPv6 tells as `::ffff:192.0.2.1` is `192.0.2.1` again.
pub fn plain(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        // Scope and flow label stay.
        IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_always_allowed_more_requests_than_it_has_up_to_the_most() {
        let allowance = || Allowance {
            now: AtomicU32::new(FIRST_REQUESTS),
            most: 1000,
        };
        let requests = allowance();
        for open in [1, 15, 20, 17, 31, 40, 33, 100, 63, 129, 500, 3, 999, 1000] {
            let before = requests.now.load(Ordering::Relaxed);
            let after = requests.grow(open).unwrap_or(before);
            assert!(after >= before, "{open}");
            assert!(
                after == 1000 || usize::try_from(after).is_ok_and(|after| 2 * open < after),
                "{open}"
            );
        }
        assert_eq!(requests.grow(1000), None);
        assert_eq!(allowance().grow(usize::MAX), Some(1000));
        let few = Allowance {
            now: AtomicU32::new(10),
            most: 10,
        };
        assert_eq!(few.grow(usize::MAX), None);
    }
}
