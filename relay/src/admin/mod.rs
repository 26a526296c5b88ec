//! The operator's interface: health, readiness, metrics and the node's status, over plain HTTP.
//!
//! It listens on this machine by default. There a browser could still be tricked into asking (DNS rebinding), so the
//! Host header must be a loopback name, and no CORS header is ever sent. On any other address every request needs a
//! bearer token; [`serve`] refuses to start without one.
//!
//! | path | answer |
//! |---|---|
//! | `/health` | 200 while the process answers |
//! | `/ready` | 200 while new sessions are taken, 503 before and while draining |
//! | `/metrics` | OpenMetrics text, see [`Metrics`] |
//! | `/api/v1/node`, `/api/v1/sessions`, `/api/v1/tracks` | JSON, see [`status`](crate::status) |
//! | `/api/v1/neighbours`, `/api/v1/routes` | JSON: the mesh as this node sees it; empty without one |
//! | `/api/v1/routes?namespace=live/cam` | JSON: the ways to who publishes it, and why the one in use |
//! | `/api/v1/trace?namespace=live/cam` | JSON: the path by which it comes here, as each node on it tells |
//! | `/api/v1/overlay` | JSON: all nodes and links of the mesh, redacted |
//!
//! It only reads; nothing here changes the node.

pub(crate) mod api;
mod metrics;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use metrics::{
    Copies, Direction, DropReason, Flow, GossipWay, LimitName, MeshMetrics, Metrics, MisconductKind,
    RefusalReason, Role,
};

use crate::config::Secret;
use crate::http;
use crate::status::Inspect;

/// The operator's interface cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// Strangers could reach it.
    #[error(
        "the admin address {0} is not of this machine only: set admin_token (--admin-token), or use 127.0.0.1"
    )]
    TokenRequired(SocketAddr),
    /// The address cannot be had.
    #[error(
        "cannot listen on {address} for the admin interface: {source}; choose another with --admin, or --admin off"
    )]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Settings of the operator's interface.
#[derive(Debug, Clone)]
pub struct AdminOptions {
    /// Asked for with every request if set; required on an address that is not loopback.
    pub token: Option<Secret>,
    /// Connections at one time.
    pub connections: usize,
    /// Time for the headers of a request.
    pub patience: Duration,
}

impl Default for AdminOptions {
    fn default() -> Self {
        Self {
            token: None,
            connections: 256,
            patience: Duration::from_secs(5),
        }
    }
}

/// Takes the address.
///
/// # Errors
///
/// [`AdminError::Listen`] if it cannot be had.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, AdminError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| AdminError::Listen { address, source })
}

/// Checks the options and returns the future that serves until `cancel`. Dropping it closes every connection.
///
/// # Errors
///
/// [`AdminError::TokenRequired`] if `listener` is reachable from elsewhere and there is no token.
pub fn serve(
    listener: TcpListener,
    node: Arc<dyn Inspect>,
    metrics: Arc<Metrics>,
    options: AdminOptions,
    cancel: CancellationToken,
) -> Result<impl Future<Output = ()> + Send + 'static, AdminError> {
    let address = listener.local_addr().map_err(|source| AdminError::Listen {
        address: ([0, 0, 0, 0], 0).into(),
        source,
    })?;
    let local = address.ip().to_canonical().is_loopback();
    if !local && options.token.is_none() {
        return Err(AdminError::TokenRequired(address));
    }
    let reach = if local {
        api::Reach::ThisMachine
    } else {
        api::Reach::Anywhere
    };
    let router = api::router(node, Arc::clone(&metrics), reach, options.token);
    let inner = cancel.clone();
    let full = move || {
        metrics.limit_hit(LimitName::AdminConnections);
    };
    Ok(http::accept_connections(
        listener,
        options.connections,
        cancel,
        full,
        move |stream, _| http::serve_connection(stream, router.clone(), options.patience, inner.clone()),
    ))
}

#[cfg(test)]
pub(crate) mod tests;
