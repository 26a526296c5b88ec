use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};

use headwater_pubsub::wire::TrackNamespace;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::*;
use crate::http::tests::{exchange, get, status};
use crate::status::{
    AskError, Asking, CandidateStatus, Health, HopStatus, LocationStatus, MeshStatus, NamespaceRoutes,
    NeighbourStatus, NodeStatus, Opened, OriginRoutes, OverlayLink, OverlayNode, OverlayPull, OverlayStatus,
    Phase, RouteStatus, SessionStatus, TraceOutcome, TraceStatus, TrackStatus, Transport, Volume,
};

mod mesh;

/// A node that tells something of everything.
pub(crate) struct Node(Mutex<Phase>);

impl Node {
    pub(crate) fn ready() -> Self {
        Self(Mutex::new(Phase::Ready))
    }
}

impl Inspect for Node {
    fn sessions(&self) -> Vec<SessionStatus> {
        vec![SessionStatus {
            id: 7,
            remote: ([192, 0, 2, 1], 5).into(),
            transport: Transport::WebTransport,
            implementation: Some("player 1".into()),
            since: UNIX_EPOCH + Duration::from_secs(60),
            subscriptions: 2,
            publications: 0,
            received: Volume::default(),
            sent: Volume { objects: 3, bytes: 4 },
            rtt_ms: Some(1.5),
        }]
    }

    fn tracks(&self) -> Vec<TrackStatus> {
        vec![TrackStatus {
            name: "live-cam--video".into(),
            subscribers: 1,
            publishers: 1,
            origin: Some("aa".into()),
            upstreams: vec!["bb".into()],
            children: vec!["cc".into(), "dd".into()],
            largest: Some(LocationStatus { group: 9, object: 0 }),
            groups_cached: 2,
            bytes_cached: 1000,
            received: Volume::default(),
        }]
    }

    fn node(&self) -> NodeStatus {
        NodeStatus {
            name: "attic".into(),
            version: "1.2.3".into(),
            fingerprint: None,
            mesh: Some(MeshStatus {
                id: "ee".into(),
                node: "aa".into(),
                epoch: 5,
                cloned: vec!["bb".into()],
                expires: UNIX_EPOCH + Duration::from_secs(90),
            }),
            listen: Vec::new(),
            since: UNIX_EPOCH,
            sessions: 1,
            tracks: 1,
            cache_bytes: 1000,
            cache_capacity: 2000,
            received: Volume::default(),
            sent: Volume::default(),
        }
    }

    fn phase(&self) -> Phase {
        *self.0.lock().unwrap()
    }

    fn neighbours(&self) -> Vec<NeighbourStatus> {
        mesh::neighbours()
    }

    fn routes(&self) -> Vec<RouteStatus> {
        mesh::routes()
    }

    fn route(&self, namespace: &TrackNamespace) -> Result<NamespaceRoutes, AskError> {
        mesh::route(namespace)
    }

    fn trace(&self, namespace: &TrackNamespace) -> Asking<TraceStatus> {
        Box::pin(std::future::ready(mesh::trace(namespace)))
    }

    fn overlay(&self) -> Asking<OverlayStatus> {
        Box::pin(std::future::ready(Ok(mesh::overlay())))
    }
}

struct Running {
    address: SocketAddr,
    node: Arc<Node>,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

async fn start(address: &str, token: Option<&str>) -> Result<Running, AdminError> {
    let listener = bind(address.parse().unwrap()).await?;
    let address = SocketAddr::new([127, 0, 0, 1].into(), listener.local_addr().unwrap().port());
    let node = Arc::new(Node(Mutex::new(Phase::Starting)));
    let options = AdminOptions {
        token: token.map(|text| text.to_owned().into()),
        ..AdminOptions::default()
    };
    let cancel = CancellationToken::new();
    let metrics = Arc::new(Metrics::new("1.2.3"));
    let serving = serve(
        listener,
        Arc::clone(&node) as Arc<dyn Inspect>,
        metrics,
        options,
        cancel.clone(),
    )?;
    let mut tasks = JoinSet::new();
    tasks.spawn(serving);
    Ok(Running {
        address,
        node,
        cancel,
        tasks,
    })
}

impl Running {
    async fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        exchange(&mut stream, request).await
    }

    async fn get(&self, path: &str) -> String {
        self.ask(&get(path, "localhost:4480", "")).await
    }
}

#[tokio::test]
async fn readiness_follows_the_node() {
    let mut running = start("127.0.0.1:0", None).await.unwrap();
    for (phase, code) in [
        (Phase::Starting, "503"),
        (Phase::Ready, "200"),
        (Phase::Draining, "503"),
    ] {
        *running.node.0.lock().unwrap() = phase;
        assert_eq!(status(&running.get("/ready").await), code, "{phase:?}");
        assert_eq!(status(&running.get("/health").await), "200");
    }
    running.cancel.cancel();
    running.tasks.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn status_and_metrics_are_told() {
    let running = start("127.0.0.1:0", None).await.unwrap();
    for (path, expected) in [
        (
            "/api/v1/sessions",
            r#"{"sessions":[{"id":7,"remote":"192.0.2.1:5","transport":"webtransport","#,
        ),
        ("/api/v1/sessions", r#""since_unix":60"#),
        (
            "/api/v1/tracks",
            r#"{"tracks":[{"name":"live-cam--video","subscribers":1,"#,
        ),
        ("/api/v1/tracks", r#""largest":{"group":9,"object":0}"#),
        (
            "/api/v1/node",
            r#"{"phase":"starting","name":"attic","version":"1.2.3","#,
        ),
        ("/metrics", "moq_build_info{version=\"1.2.3\""),
    ] {
        let answer = running.get(path).await;
        assert!(
            status(&answer) == "200" && answer.contains(expected),
            "{path}: {answer}"
        );
        assert!(
            !answer.to_ascii_lowercase().contains("access-control"),
            "{answer}"
        );
    }
    assert_eq!(status(&running.get("/else").await), "404");
}

#[tokio::test]
async fn a_foreign_host_header_is_refused_and_the_setting_named() {
    let running = start("127.0.0.1:0", None).await.unwrap();
    for host in [
        "relay.example",
        "127.0.0.1.relay.example:4480",
        "localhost.evil",
        "",
        "[::1",
        "192.0.2.1:4480",
    ] {
        let answer = running.ask(&get("/api/v1/node", host, "")).await;
        assert!(
            status(&answer) == "403" && answer.contains("--admin"),
            "{host}: {answer}"
        );
    }
    for host in ["localhost", "127.0.0.1:4480", "[::1]:4480", "LOCALHOST:1"] {
        assert_eq!(
            status(&running.ask(&get("/health", host, "")).await),
            "200",
            "{host}"
        );
    }
    let answer = running.ask("GET /health HTTP/1.0\r\n\r\n").await;
    assert_eq!(status(&answer), "403", "{answer}");
}

#[tokio::test]
async fn elsewhere_a_token_is_needed_to_start_and_to_ask() {
    let Err(error) = start("0.0.0.0:0", None).await else {
        panic!("started without a token")
    };
    assert!(
        matches!(error, AdminError::TokenRequired(_)) && error.to_string().contains("admin_token"),
        "{error}"
    );

    let running = start("0.0.0.0:0", Some("open sesame")).await.unwrap();
    for wrong in [
        "",
        "Authorization: Bearer open sesam\r\n",
        "Authorization: open sesame\r\n",
        "Authorization: B\r\n",
    ] {
        let answer = running.ask(&get("/health", "relay.example", wrong)).await;
        assert!(
            status(&answer) == "401" && answer.contains("admin_token"),
            "{wrong}: {answer}"
        );
    }
    let answer = running
        .ask(&get(
            "/health",
            "relay.example",
            "authorization: bearer open sesame\r\n",
        ))
        .await;
    assert_eq!(status(&answer), "200", "{answer}");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let running = start("127.0.0.1:0", None).await.unwrap();
    let Err(error) = start(&running.address.to_string(), None).await else {
        panic!("bound twice")
    };
    assert!(
        error.to_string().contains(&running.address.to_string()),
        "{error}"
    );
}
