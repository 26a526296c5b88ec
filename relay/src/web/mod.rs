//! The public HTTP side of a node, on the TCP port with the same number as its UDP port.
//!
//! The first byte of a connection tells what it is: 0x16 begins a TLS handshake (RFC 8446 section 5.1), anything else is
//! plain HTTP. Plain HTTP is answered for this machine, where browsers treat it as secure; everybody else is sent to
//! HTTPS on the same port.
//!
//! | path | answer |
//! |---|---|
//! | `/certificate.sha256` | hash of the certificate in use: 64 lower-case hex digits and nothing else |
//! | `/certificates.sha256` | a line each: the certificate in use, then the next one |
//! | `/api/v1/certificate` | JSON: the certificate in use as `{sha256, not_before, not_after}`, times in seconds since 1970 |
//! | `/api/v1/overlay` | JSON: nodes and links of the mesh, redacted, if `public_overlay` is set |
//! | `/api/v1/alternates` | JSON: a list of `{url, sha256?}`, nodes that a page may turn to when this one ends |
//! | `/-/publish`, `/-/overlay`, `/-/embed` | pages for publishers, of the mesh, and of an example of the element |
//! | `/-/headwater-watch.js` | the element `<headwater-watch>`, for pages of any origin |
//! | `/-/assets/...` | what the pages are made of; never changes under one name |
//! | any other, `/` among them | the page: a list of broadcasts, or the one that the path names |
//!
//! The first form is what `@moq/net` fetches for an `http://` URL; it decodes the whole body as one number. Both may be
//! read by pages of any origin: a hash is public, and it is meant to be pinned elsewhere.
//!
//! Nothing here tells about sessions, addresses or names of tracks, and nothing can be changed.

mod alternates;
mod bundle;
mod page;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Path, State};
use axum::http::uri::{Authority, Uri};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use headwater_certs::{CertificateHash, Fingerprint, Resolver, Validity};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::admin::api::answer;
use crate::admin::{LimitName, Metrics};
use crate::http;
use crate::status::Inspect;
use bundle::Bundle;

pub use alternates::{Alternate, AlternateError, Alternates, MAX_ALTERNATES};

/// First byte of a TLS connection: the record type "handshake".
const TLS_HANDSHAKE: u8 = 0x16;
/// Protocols offered in TLS: what is served here.
pub const ALPN: &[&[u8]] = &[b"http/1.1"];

/// A page loads from this node alone, and runs no script that stands in its text. It may connect to other nodes: to those that
/// take over when this one ends, and to this one under another name (`'self'` of `http://localhost` is not
/// `https://127.0.0.1`). Certificates are known by their hashes, which the last word is for (W3C WebTransport section 6.12).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
     media-src 'self' blob:; worker-src 'self'; font-src 'self'; \
     connect-src 'self' https: 'unsafe-webtransport-hashes'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Sent with every answer.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// The port cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another program listens there.
    #[error("{0} is in use, perhaps by another relay; stop it, or choose another address with --listen")]
    InUse(SocketAddr),
    /// Something else.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Takes the TCP port. Done before UDP, whose port several sockets may share: a second relay fails here.
///
/// # Errors
///
/// [`BindError`] if the port is taken or the address is not ours.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    // tokio sets SO_REUSEADDR on Unix, which permits a restart while old connections linger but no second listener.
    TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(address),
            _ => BindError::Listen { address, source },
        })
}

/// The hashes that browsers may pin, replaced when a certificate is renewed.
#[derive(Debug, Default)]
pub struct PublishedHashes {
    hashes: RwLock<Vec<CertificateHash>>,
}

impl PublishedHashes {
    /// Publishes these, the one in use first. Empty if the certificate comes from files: browsers pin only certificates
    /// of at most 14 days.
    pub fn new(hashes: Vec<CertificateHash>) -> Self {
        Self {
            hashes: RwLock::new(hashes),
        }
    }

    /// Publishes these from now on.
    pub fn replace(&self, hashes: Vec<CertificateHash>) {
        *self.hashes.write().unwrap_or_else(PoisonError::into_inner) = hashes;
    }

    fn current(&self) -> Option<CertificateHash> {
        self.hashes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .first()
            .copied()
    }

    fn lines(&self) -> String {
        let hashes = self.hashes.read().unwrap_or_else(PoisonError::into_inner);
        hashes.iter().map(|hash| format!("{hash}\n")).collect()
    }
}

/// What the public side serves, and its limits.
#[derive(Clone)]
pub struct WebState {
    /// TLS settings; the certificate inside may be replaced at run time. Use [`ALPN`].
    pub tls: Arc<rustls::ServerConfig>,
    /// For `/api/v1/certificate`.
    pub certificate: Arc<Resolver>,
    /// For `/certificate.sha256`.
    pub hashes: Arc<PublishedHashes>,
    /// For `/api/v1/alternates`.
    pub alternates: Arc<Alternates>,
    /// The node's key, shown on the page.
    pub fingerprint: Option<Fingerprint>,
    /// Who is asked for the redacted view of the mesh; nobody unless it is public.
    pub overlay: Option<Arc<dyn Inspect>>,
    /// Counts the limit below.
    pub metrics: Arc<Metrics>,
    /// Connections at one time.
    pub connections: usize,
    /// Time for the first byte, for the TLS handshake and for the headers of a request.
    pub patience: Duration,
}

impl std::fmt::Debug for WebState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebState")
            .field("fingerprint", &self.fingerprint)
            .field("overlay", &self.overlay.is_some())
            .finish_non_exhaustive()
    }
}

/// Serves until `cancel`. Dropping the future closes every connection.
pub fn serve(
    listener: TcpListener,
    state: WebState,
    cancel: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    serve_bundle(listener, state, bundle::built, cancel)
}

fn serve_bundle(
    listener: TcpListener,
    state: WebState,
    bundle: Bundle,
    cancel: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    let doors = Doors {
        tls: TlsAcceptor::from(Arc::clone(&state.tls)),
        pages: pages(&state, bundle),
        redirect: Router::new()
            .fallback(redirect)
            .layer(middleware::map_response(secure)),
        patience: state.patience,
        cancel: cancel.clone(),
    };
    let full = move || state.metrics.limit_hit(LimitName::WebConnections);
    http::accept_connections(
        listener,
        state.connections,
        cancel,
        full,
        move |stream, remote| doors.clone().admit(stream, remote),
    )
}

/// What a connection may turn out to be.
#[derive(Clone)]
struct Doors {
    tls: TlsAcceptor,
    pages: Router,
    redirect: Router,
    patience: Duration,
    cancel: CancellationToken,
}

/// What to do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Tls,
    Pages,
    Redirect,
}

impl Door {
    fn of(first_byte: u8, remote: SocketAddr) -> Self {
        if first_byte == TLS_HANDSHAKE {
            Self::Tls
        } else if remote.ip().to_canonical().is_loopback() {
            Self::Pages
        } else {
            Self::Redirect
        }
    }
}

impl Doors {
    async fn admit(self, stream: TcpStream, remote: SocketAddr) {
        let mut first = [0];
        let Ok(Ok(1)) = timeout(self.patience, stream.peek(&mut first)).await else {
            return;
        };
        let [first] = first;
        match Door::of(first, remote) {
            Door::Tls => match timeout(self.patience, self.tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    http::serve_connection(stream, self.pages, self.patience, self.cancel).await
                }
                Ok(Err(error)) => tracing::debug!(%remote, %error, "TLS handshake over TCP failed"),
                Err(_) => tracing::debug!(%remote, "TLS handshake over TCP took too long"),
            },
            Door::Pages => http::serve_connection(stream, self.pages, self.patience, self.cancel).await,
            Door::Redirect => http::serve_connection(stream, self.redirect, self.patience, self.cancel).await,
        }
    }
}

#[derive(Clone)]
struct Pages {
    bundle: Bundle,
    overlay: Option<Arc<dyn Inspect>>,
    certificate: Arc<Resolver>,
    hashes: Arc<PublishedHashes>,
    alternates: Arc<Alternates>,
    fingerprint: Option<String>,
}

fn pages(state: &WebState, bundle: Bundle) -> Router {
    let fingerprint = state.fingerprint.map(|fingerprint| fingerprint.to_hex());
    let pages = Pages {
        bundle,
        overlay: state.overlay.clone(),
        certificate: Arc::clone(&state.certificate),
        hashes: Arc::clone(&state.hashes),
        alternates: Arc::clone(&state.alternates),
        fingerprint,
    };
    Router::new()
        .route("/certificate.sha256", get(certificate_hash))
        .route("/certificates.sha256", get(certificate_hashes))
        .route("/api/v1/certificate", get(certificate))
        .route("/api/v1/overlay", get(overlay))
        .route("/api/v1/alternates", get(alternates))
        .route(
            "/api/{*rest}",
            get(async || (StatusCode::NOT_FOUND, "nothing here\n")),
        )
        .route("/-/{*path}", get(file))
        .fallback(get(the_page))
        .layer(middleware::map_response(secure))
        .with_state(pages)
}

async fn secure(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.extend(SECURITY_HEADERS);
    // What does not say otherwise is true for the moment.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn certificate_hash(State(pages): State<Pages>) -> Response {
    let Some(hash) = pages.hashes.current() else {
        let text = "404: this relay's certificate is signed by an authority and needs no hash\n";
        return (StatusCode::NOT_FOUND, ANY_ORIGIN, text).into_response();
    };
    (ANY_ORIGIN, hash.to_hex()).into_response()
}

async fn certificate_hashes(State(pages): State<Pages>) -> Response {
    (ANY_ORIGIN, pages.hashes.lines()).into_response()
}

/// What a page wants to know that could not connect: a browser does not tell it what was wrong with a certificate.
#[derive(Serialize)]
struct CertificateInUse {
    sha256: String,
    not_before: u64,
    not_after: u64,
}

impl CertificateInUse {
    fn of(resolver: &Resolver) -> Option<Self> {
        let served = resolver.current();
        let certificate = served.cert.first()?;
        let validity = Validity::of(certificate)?;
        Some(Self {
            sha256: CertificateHash::of(certificate).to_hex(),
            not_before: seconds(validity.not_before),
            not_after: seconds(validity.not_after),
        })
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

async fn certificate(State(pages): State<Pages>) -> Response {
    match CertificateInUse::of(&pages.certificate) {
        Some(certificate) => (ANY_ORIGIN, Json(certificate)).into_response(),
        None => (StatusCode::NOT_FOUND, "nothing here\n").into_response(),
    }
}

const ANY_ORIGIN: [(HeaderName, &str); 1] = [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];

/// Asked by anybody, answered at most once a second by the mesh and else from memory.
async fn overlay(State(pages): State<Pages>) -> Response {
    match pages.overlay {
        Some(node) => answer(node.overlay().await),
        None => (StatusCode::NOT_FOUND, "nothing here\n").into_response(),
    }
}

/// An element on a page of another origin plays from here too.
async fn alternates(State(pages): State<Pages>) -> Response {
    (ANY_ORIGIN, Json(pages.alternates.get())).into_response()
}

async fn file(State(pages): State<Pages>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    let is_page = !path.contains('.');
    if is_page && (pages.bundle)(bundle::FRONT).is_none() {
        return placeholder(&pages, &headers);
    }
    bundle::file(pages.bundle, &path)
}

async fn the_page(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    bundle::front(pages.bundle).unwrap_or_else(|| placeholder(&pages, &headers))
}

/// What a binary without pages says, at each place where one would be.
fn placeholder(pages: &Pages, headers: &HeaderMap) -> Response {
    let text = page::render(
        host(headers).as_ref(),
        env!("CARGO_PKG_VERSION"),
        pages.fingerprint.as_deref(),
    );
    Html(text).into_response()
}

async fn redirect(headers: HeaderMap, uri: Uri) -> Response {
    match host(&headers).and_then(|host| secure_location(&host, &uri)) {
        Some(location) => (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, location)]).into_response(),
        None => (StatusCode::BAD_REQUEST, "400: use https on this port\n").into_response(),
    }
}

fn host(headers: &HeaderMap) -> Option<Authority> {
    headers.get(header::HOST)?.to_str().ok()?.parse().ok()
}

/// The same place over HTTPS. HTTP and HTTPS share the port, so the host stays as it is; `None` if it hides another one.
fn secure_location(host: &Authority, uri: &Uri) -> Option<HeaderValue> {
    if host.as_str().contains('@') {
        return None;
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { path } else { "/" };
    HeaderValue::try_from(format!("https://{host}{path}")).ok()
}

#[cfg(test)]
mod tests;
