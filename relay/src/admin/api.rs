//! Routes of the operator's interface and who may ask.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use headwater_certs::is_loopback_host;
use serde::{Deserialize, Serialize};

use super::Metrics;
use crate::config::Secret;
use crate::status::path::parse_namespace;
use crate::status::{
    AskError, Inspect, NeighbourStatus, NodeStatus, Phase, RouteStatus, SessionStatus, TrackStatus,
};

/// From where the interface can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// A loopback address: the Host header must say so too.
    ThisMachine,
    /// Any other address: the token decides.
    Anywhere,
}

#[derive(Clone)]
struct Api {
    node: Arc<dyn Inspect>,
    metrics: Arc<Metrics>,
}

#[derive(Clone)]
struct Guard {
    reach: Reach,
    token: Option<Arc<Secret>>,
}

pub(super) fn router(
    node: Arc<dyn Inspect>,
    metrics: Arc<Metrics>,
    reach: Reach,
    token: Option<Secret>,
) -> Router {
    let guard = Guard {
        reach,
        token: token.map(Arc::new),
    };
    Router::new()
        .route("/health", get(async || "ok\n"))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics_text))
        .route("/api/v1/node", get(node_status))
        .route("/api/v1/sessions", get(sessions))
        .route("/api/v1/tracks", get(tracks))
        .route("/api/v1/neighbours", get(neighbours))
        .route("/api/v1/routes", get(routes))
        .route("/api/v1/trace", get(trace))
        .route("/api/v1/overlay", get(overlay))
        .fallback(async || {
            (
                StatusCode::NOT_FOUND,
                "see /health, /ready, /metrics and /api/v1/{node,sessions,tracks,neighbours,routes,trace,overlay}\n",
            )
        })
        .layer(middleware::from_fn_with_state(guard, admit))
        .with_state(Api { node, metrics })
}

/// Lets a request through only from where it may come.
async fn admit(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if guard.reach == Reach::ThisMachine && !names_this_machine(headers) {
        return (
            StatusCode::FORBIDDEN,
            "403: the Host header must be a loopback name such as localhost. To reach this interface from elsewhere, \
             set admin (--admin) to an address of this machine's network, and admin_token (--admin-token).\n",
        )
            .into_response();
    }
    if guard
        .token
        .is_some_and(|token| !bearer(headers).is_some_and(|shown| token.matches(shown)))
    {
        return (
            StatusCode::UNAUTHORIZED,
            [(header::WWW_AUTHENTICATE, "Bearer")],
            "401: send the header \"Authorization: Bearer TOKEN\" with the value of admin_token (--admin-token).\n",
        )
            .into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static("no-store"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        header::HeaderValue::from_static("nosniff"),
    );
    response
}

fn names_this_machine(headers: &HeaderMap) -> bool {
    headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<axum::http::uri::Authority>().ok())
        .is_some_and(|authority| is_loopback_host(authority.host()))
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

async fn ready(State(api): State<Api>) -> (StatusCode, &'static str) {
    match api.node.phase() {
        Phase::Ready => (StatusCode::OK, "ready\n"),
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

async fn metrics_text(State(api): State<Api>) -> Response {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], api.metrics.to_text()).into_response()
}

#[derive(Serialize)]
struct Node {
    phase: Phase,
    #[serde(flatten)]
    status: NodeStatus,
}

async fn node_status(State(api): State<Api>) -> Json<Node> {
    Json(Node {
        phase: api.node.phase(),
        status: api.node.node(),
    })
}

#[derive(Serialize)]
struct Sessions {
    sessions: Vec<SessionStatus>,
}

async fn sessions(State(api): State<Api>) -> Json<Sessions> {
    Json(Sessions {
        sessions: api.node.sessions(),
    })
}

#[derive(Serialize)]
struct Tracks {
    tracks: Vec<TrackStatus>,
}

async fn tracks(State(api): State<Api>) -> Json<Tracks> {
    Json(Tracks {
        tracks: api.node.tracks(),
    })
}

#[derive(Serialize)]
struct Neighbours {
    neighbours: Vec<NeighbourStatus>,
}

async fn neighbours(State(api): State<Api>) -> Json<Neighbours> {
    Json(Neighbours {
        neighbours: api.node.neighbours(),
    })
}

/// What a question is about.
#[derive(Deserialize)]
struct About {
    namespace: Option<String>,
}

#[derive(Serialize)]
struct Routes {
    routes: Vec<RouteStatus>,
}

async fn routes(State(api): State<Api>, Query(about): Query<About>) -> Response {
    let Some(text) = about.namespace else {
        let routes = api.node.routes();
        return Json(Routes { routes }).into_response();
    };
    match parse_namespace(&text) {
        Ok(namespace) => answer(api.node.route(&namespace)),
        Err(error) => (StatusCode::BAD_REQUEST, format!("400: {error}\n")).into_response(),
    }
}

async fn trace(State(api): State<Api>, Query(about): Query<About>) -> Response {
    match parse_namespace(about.namespace.as_deref().unwrap_or_default()) {
        Ok(namespace) => answer(api.node.trace(&namespace).await),
        Err(error) => (StatusCode::BAD_REQUEST, format!("400: {error}\n")).into_response(),
    }
}

async fn overlay(State(api): State<Api>) -> Response {
    answer(api.node.overlay().await)
}

/// The answer as JSON, or why there is none as a line of text.
pub(crate) fn answer<T: Serialize>(answer: Result<T, AskError>) -> Response {
    match answer {
        Ok(answer) => Json(answer).into_response(),
        Err(error @ (AskError::NoMesh | AskError::NotAnnounced(_))) => {
            (StatusCode::NOT_FOUND, format!("404: {error}\n")).into_response()
        }
        Err(error @ AskError::Busy) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("503: {error}\n")).into_response()
        }
    }
}
