//! One session as its user sees it: connect, publish, subscribe, discover.
//!
//! A [`Client`] is a handle on either end of a session; "client" is who opened it, but a server that is no relay uses the same
//! type ([`attach`]). Nothing runs by itself: the [`Driver`] that comes with it must be run, on a task or beside other futures.
//!
//! What it does not do: reconnect, follow redirects, resolve crossing offers. It tells of GOAWAY, of the session or of one
//! request, and leaves the move to the caller.

mod dispatch;
mod moved;
mod offer;
pub(super) mod request;
mod serve;
pub(super) mod state;
mod status;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::watch;
use url::Url;

use self::state::{Inner, ServingKind};
pub use self::{
    request::RequestFailed,
    state::{Goaway, GoawayWatch},
    status::{TrackStatus, TrackStatusOptions},
};
use super::{Clock, DialError, Dialer, Driver, SessionEnd, SessionHandle, Transport};
use crate::{
    session::{IllegalMove, Limits, PeerSetup, RequestKey, Session, Side},
    wire::{EncodeError, FullTrackName, SessionCode, StreamCode, Token, TrackNamespace, control::Setup},
};

/// How a request of ours that runs until it is withdrawn came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestEnd {
    /// The peer wants it no more; with its code, if it gave one.
    Peer(Option<StreamCode>),
    /// It came to its natural end: everything was sent.
    Finished,
    /// The session ended.
    Session,
}

/// How to set up a session.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// What goes on the wire as PATH over raw QUIC; `None`: path and query of the URL. WebTransport sends the URL's always.
    pub path: Option<String>,
    /// Authorization for the session as a whole.
    pub tokens: Vec<Token>,
    /// Name and version of the program, for the peer's logs.
    pub implementation: String,
    /// What the peer may make us keep.
    pub limits: Limits,
    /// Must be the clock of the tracks that are published on the session.
    pub clock: Clock,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            path: None,
            tokens: Vec::new(),
            implementation: concat!("headwater/", env!("CARGO_PKG_VERSION")).to_owned(),
            limits: Limits::default(),
            clock: Clock::new(),
        }
    }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The options do not fit into SETUP.
    #[error("SETUP cannot be sent: {0}")]
    Setup(#[from] EncodeError),
}

/// A handle on a session. Clones are the same session; it lives as long as its [`Driver`] runs.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) handle: SessionHandle,
    pub(super) inner: Arc<Inner>,
}

/// Open a session to a `moqt://` (raw QUIC) or `https://` (WebTransport) URL.
///
/// Requests may be made at once: nobody waits for the peer's SETUP.
///
/// # Errors
/// See [`ConnectError`]; nothing is left open.
///
/// Cancel-safe.
pub async fn connect(
    dialer: &Dialer,
    url: &Url,
    options: ConnectOptions,
) -> Result<(Client, Driver), ConnectError> {
    let transport = dialer.dial(url).await?;
    let mut setup = setup(&options);
    if transport.session_transport() == crate::session::Transport::Quic {
        setup.path = Some(Bytes::from(
            options.path.clone().unwrap_or_else(|| path_and_query(url)),
        ));
        setup.authority = Some(Bytes::from(url.authority().to_owned()));
    }
    Ok(start(transport, Side::Client, setup, &options)?)
}

/// Run a session on a transport that is there already, as either side.
///
/// # Errors
/// The options do not fit into SETUP.
pub fn attach(
    transport: Transport,
    side: Side,
    options: &ConnectOptions,
) -> Result<(Client, Driver), EncodeError> {
    start(transport, side, setup(options), options)
}

fn setup(options: &ConnectOptions) -> Setup {
    Setup {
        authorization_tokens: options.tokens.clone(),
        implementation: Some(Bytes::from(options.implementation.clone())),
        ..Setup::default()
    }
}

fn path_and_query(url: &Url) -> String {
    let path = if url.path().is_empty() { "/" } else { url.path() };
    url.query()
        .map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

fn start(
    transport: Transport,
    side: Side,
    setup: Setup,
    options: &ConnectOptions,
) -> Result<(Client, Driver), EncodeError> {
    let handle = SessionHandle::new(transport, options.clock, side, setup, options.limits)?;
    let inner = Arc::new(Inner::new());
    let driver = handle.driver(inner.clone());
    Ok((Client { handle, inner }, driver))
}

impl Client {
    /// The session below, for what this type does not offer.
    pub const fn handle(&self) -> &SessionHandle {
        &self.handle
    }

    /// Wait for the peer's SETUP.
    ///
    /// # Errors
    /// The session ended before.
    ///
    /// Cancel-safe.
    pub async fn established(&self) -> Result<PeerSetup, SessionEnd> {
        self.learn(&self.inner.setup).await
    }

    /// Wait for GOAWAY: the peer will close the session, and new requests are refused. Connect anew, move what is open, close.
    ///
    /// # Errors
    /// The session ended without one.
    ///
    /// Cancel-safe.
    pub async fn goaway(&self) -> Result<Goaway, SessionEnd> {
        self.learn(&self.inner.goaway).await
    }

    async fn learn<T: Clone>(&self, value: &watch::Sender<Option<T>>) -> Result<T, SessionEnd> {
        let mut value = value.subscribe();
        tokio::select! {
            biased;
            Ok(value) = value.wait_for(Option::is_some) => match value.as_ref() {
                Some(value) => Ok(value.clone()),
                None => Err(self.end()),
            },
            end = self.closed() => Err(end),
        }
    }

    /// Tell the peer that the session will close: it should move to `uri` (only a server says where; empty: the same place). With a
    /// `timeout` above zero, the session closes with GOAWAY_TIMEOUT if requests are open after it.
    ///
    /// # Errors
    /// It was said before, or by a client with a URI.
    pub fn send_goaway(&self, uri: &str, timeout: Duration) -> Result<(), IllegalMove> {
        let uri = Bytes::copy_from_slice(uri.as_bytes());
        self.handle.act(|session, now| session.goaway(now, uri, timeout))
    }

    /// Ask the peer to make its subscriptions and fetches of one track, which we serve, again at `uri`, or if that is empty on this
    /// session; gives how many were told. A client can name no `uri`, and tells nobody then. They go on meanwhile: with a `timeout`
    /// above zero, each is reset with GOING_AWAY after it. Nothing else on the session is concerned.
    pub fn send_track_goaway(&self, track: &FullTrackName, uri: &str, timeout: Duration) -> usize {
        let asked: Vec<_> = {
            let state = self.inner.state();
            let of_track = state.serving.iter().filter(|(_, serving)| {
                serving.track.name() == track && !matches!(serving.kind, ServingKind::Publication { .. })
            });
            of_track.map(|(key, _)| *key).collect()
        };
        self.send_elsewhere(asked, uri, timeout)
    }

    /// The same for what the peer publishes: ask it to publish a namespace at `uri`.
    pub fn send_namespace_goaway(&self, namespace: &TrackNamespace, uri: &str, timeout: Duration) -> usize {
        let asked: Vec<_> = {
            let state = self.inner.state();
            let published = state.peer_published.iter();
            published
                .filter(|(_, published)| *published == namespace)
                .map(|(key, _)| *key)
                .collect()
        };
        self.send_elsewhere(asked, uri, timeout)
    }

    fn send_elsewhere(&self, requests: Vec<RequestKey>, uri: &str, timeout: Duration) -> usize {
        let uri = Bytes::copy_from_slice(uri.as_bytes());
        let told = requests.into_iter().filter(|&key| {
            // One that was told before, is over or has no answer yet is not counted.
            let told = |session: &mut Session, now| session.request_goaway(now, key, uri.clone(), timeout);
            self.handle.act(told).is_ok()
        });
        told.count()
    }

    /// Close the session; [`SessionCode::NO_ERROR`] is the usual code. What is under way may be lost.
    pub fn close(&self, code: SessionCode, reason: &str) {
        self.handle.close(code, reason);
    }

    /// Wait for the end of the session. If the driver is dropped before, this never ends. Cancel-safe.
    pub async fn closed(&self) -> SessionEnd {
        let mut end = self.inner.end.subscribe();
        loop {
            if let Some(end) = end.borrow_and_update().clone() {
                return end;
            }
            if end.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Whether the session is known to be over.
    pub(crate) fn has_ended(&self) -> bool {
        self.inner.end.borrow().is_some()
    }

    /// How the session ended; as closed by us if that is not known yet.
    fn end(&self) -> SessionEnd {
        self.inner
            .end
            .borrow()
            .clone()
            .unwrap_or_else(|| SessionEnd::Closed {
                code: SessionCode::NO_ERROR,
                reason: "closed".to_owned(),
            })
    }
}
