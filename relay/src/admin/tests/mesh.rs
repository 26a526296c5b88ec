//! What is told of the mesh, field by field.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::*;
use crate::status::path::path_of;

pub(super) fn neighbours() -> Vec<NeighbourStatus> {
    vec![NeighbourStatus {
        node: "bb".into(),
        session: 3,
        remote: ([192, 0, 2, 7], 4443).into(),
        opened: Opened::Dialled,
        since: UNIX_EPOCH + Duration::from_secs(70),
        cost_us: 6000,
        rtt_ms: Some(10.5),
        loss: 0.0,
        health: Health::Suspect,
        gossip_sent_bytes: 100,
        gossip_received_bytes: 200,
        pulled: vec!["live-cam--video".into()],
    }]
}

pub(super) fn routes() -> Vec<RouteStatus> {
    vec![RouteStatus {
        origin: "cc".into(),
        here: false,
        primary: Some("bb".into()),
        total_us: Some(6000),
        entries: 2,
        wanted: true,
    }]
}

pub(super) fn route(namespace: &TrackNamespace) -> Result<NamespaceRoutes, AskError> {
    match path_of(namespace).as_str() {
        "lonely" => Err(AskError::NoMesh),
        "live/cam" => Ok(NamespaceRoutes {
            namespace: path_of(namespace),
            origins: vec![OriginRoutes {
                origin: "cc".into(),
                here: false,
                primary: Some("bb".into()),
                total_us: Some(6000),
                why: "bb is the only neighbour with a route".into(),
                candidates: vec![CandidateStatus {
                    node: "bb".into(),
                    session: 3,
                    distance_us: Some(0),
                    cost_us: 6000,
                    total_us: Some(6000),
                    feasible: true,
                    suspect: false,
                    full: false,
                    role: Some("primary"),
                }],
            }],
        }),
        _ => Err(AskError::NotAnnounced(namespace.clone())),
    }
}

pub(super) fn trace(namespace: &TrackNamespace) -> Result<TraceStatus, AskError> {
    if path_of(namespace) != "live/cam" {
        return Err(AskError::Busy);
    }
    Ok(TraceStatus {
        namespace: path_of(namespace),
        origin: "bb".into(),
        outcome: TraceOutcome::Reached,
        total_us: 6000,
        hops: vec![HopStatus {
            node: "aa".into(),
            upstream: Some("bb".into()),
            cost_us: Some(6000),
            rtt_ms: Some(10.0),
            since_ms: Some(7),
        }],
    })
}

pub(super) fn overlay() -> OverlayStatus {
    OverlayStatus {
        asked: "aa".into(),
        nodes: vec![OverlayNode {
            node: "aa".into(),
            name: String::new(),
            uptime_s: 60,
            load: 0.25,
            clients: 2,
            tracks: 1,
            links: vec![OverlayLink {
                node: "bb".into(),
                health: Health::Ok,
                cost_us: 6000,
                rtt_ms: None,
                loss: 0.5,
            }],
            pulls: vec![
                OverlayPull {
                    hash: "0102030405060708".into(),
                    from: Some("bb".into()),
                },
                OverlayPull {
                    hash: "1112131415161718".into(),
                    from: None,
                },
            ],
        }],
    }
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("headers end").1
}

#[tokio::test]
async fn the_mesh_is_told_as_json() {
    let running = start("127.0.0.1:0", None).await.unwrap();
    for (path, expected) in [
        (
            "/api/v1/neighbours",
            json!({"neighbours": [{
                "node": "bb", "session": 3, "remote": "192.0.2.7:4443", "opened": "dialled", "since_unix": 70,
                "cost_us": 6000, "rtt_ms": 10.5, "loss": 0.0, "health": "suspect",
                "gossip_sent_bytes": 100, "gossip_received_bytes": 200, "pulled": ["live-cam--video"],
            }]}),
        ),
        (
            "/api/v1/routes",
            json!({"routes": [{
                "origin": "cc", "here": false, "primary": "bb", "total_us": 6000, "entries": 2, "wanted": true,
            }]}),
        ),
        (
            "/api/v1/routes?namespace=live%2Fcam",
            json!({"namespace": "live/cam", "origins": [{
                "origin": "cc", "here": false, "primary": "bb", "total_us": 6000,
                "why": "bb is the only neighbour with a route",
                "candidates": [{
                    "node": "bb", "session": 3, "distance_us": 0, "cost_us": 6000, "total_us": 6000,
                    "feasible": true, "suspect": false, "full": false, "role": "primary",
                }],
            }]}),
        ),
        (
            "/api/v1/trace?namespace=live/cam",
            json!({"namespace": "live/cam", "origin": "bb", "outcome": "reached", "total_us": 6000, "hops": [
                {"node": "aa", "upstream": "bb", "cost_us": 6000, "rtt_ms": 10.0, "since_ms": 7},
            ]}),
        ),
        (
            "/api/v1/overlay",
            json!({"asked": "aa", "nodes": [{
                "node": "aa", "name": "", "uptime_s": 60, "load": 0.25, "clients": 2, "tracks": 1,
                "links": [{"node": "bb", "health": "ok", "cost_us": 6000, "rtt_ms": null, "loss": 0.5}],
                "pulls": [{"hash": "0102030405060708", "from": "bb"}, {"hash": "1112131415161718", "from": null}],
            }]}),
        ),
    ] {
        let answer = running.get(path).await;
        let told: Value = serde_json::from_str(body(&answer)).expect("JSON");
        assert_eq!(told, expected, "{path}");
    }
    let node: Value = serde_json::from_str(body(&running.get("/api/v1/node").await)).expect("JSON");
    assert_eq!(
        node["mesh"],
        json!({"id": "ee", "node": "aa", "epoch": 5, "cloned": ["bb"], "expires_unix": 90})
    );
    let tracks: Value = serde_json::from_str(body(&running.get("/api/v1/tracks").await)).expect("JSON");
    let track = &tracks["tracks"][0];
    assert_eq!(
        (&track["origin"], &track["upstreams"], &track["children"]),
        (&json!("aa"), &json!(["bb"]), &json!(["cc", "dd"]))
    );
}

#[tokio::test]
async fn a_question_without_answer_is_told_why() {
    let running = start("127.0.0.1:0", None).await.unwrap();
    let busy = running.get("/api/v1/trace?namespace=busy").await;
    assert!(status(&busy) == "503" && body(&busy).contains("again"), "{busy}");
    for (namespace, code, part) in [
        ("lonely", "404", "in no mesh"),
        ("live%2Fother", "404", "nobody in the mesh announces live/other"),
        ("a%2F%2Fb", "400", "empty field"),
    ] {
        let answer = running
            .get(&format!("/api/v1/routes?namespace={namespace}"))
            .await;
        assert!(
            status(&answer) == code && body(&answer).contains(part),
            "{namespace}: {answer}"
        );
    }
}
