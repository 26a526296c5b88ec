//! What people see of a mesh of real relays: `moq status`, `moq route`, `moq trace`, and the redacted view.

use anyhow::{Context as _, Result, ensure};
use headwater_tests::{Home, Relay, http};
use serde_json::Value;

/// Nobody answers, or not as a relay does.
const CONNECT: i32 = 3;
/// Refused, or not there.
const REFUSED: i32 = 4;

/// A relay that holds a mesh's authority; who joins dials it.
fn founder(home: &Home) -> Result<Relay> {
    home.moq(["mesh", "create"]).output()?;
    home.relay().args(["--public-overlay", "--name", "attic"]).start()
}

/// A relay that joins by an invite, and is a neighbour of the founder's.
fn joiner(home: &Home, founder_home: &Home, founder: &Relay) -> Result<Relay> {
    let address = founder.listen().to_string();
    let invite = founder_home
        .moq(["mesh", "invite", "--address", &address])
        .output()?;
    let join = format!("join={}", invite.trim());
    let relay = home
        .relay()
        .args(["--set", &join, "--set", "name=cellar"])
        .start()?;
    relay.process.line("neighbour")?;
    Ok(relay)
}

fn json(relay: &Relay, path: &str) -> Result<Value> {
    let answer = http::get(relay.admin(), path)?;
    ensure!(answer.status == 200, "{path}: {answer:?}");
    Ok(serde_json::from_str(&answer.body)?)
}

fn node(relay: &Relay) -> Result<String> {
    let node = json(relay, "/api/v1/node")?;
    Ok(node["mesh"]["node"].as_str().context("in a mesh")?.to_owned())
}

/// `moq` with `args`, asked of this relay.
fn ask(home: &Home, relay: &Relay, args: &[&str]) -> Result<String> {
    let admin = relay.admin().to_string();
    home.moq([args, &["--admin", &admin]].concat()).output()
}

#[test]
fn status_route_and_trace_tell_how_a_track_comes_through_a_mesh() -> Result<()> {
    let homes = [Home::new()?, Home::new()?, Home::new()?];
    let middle = founder(&homes[0])?;
    let near = joiner(&homes[1], &homes[0], &middle)?;
    let far = joiner(&homes[2], &homes[0], &middle)?;
    let mut publisher = homes[1].publish_lines("chat", &near.url("live/room"), &[])?;
    let subscriber = homes[2]
        .subscribe_lines("chat", &far.url("live/room"), &[])
        .start()?;
    publisher.say("hello")?;
    subscriber.line("| hello")?;
    let (origin, here) = (node(&near)?, node(&far)?);

    let status: Value = serde_json::from_str(&ask(&homes[2], &far, &["status", "--json"])?)?;
    assert_eq!(status["node"]["mesh"]["node"], here.as_str());
    assert_eq!(status["neighbours"][0]["health"], "ok", "{status}");
    let track = &status["tracks"][0];
    assert_eq!(track["origin"], origin.as_str(), "{status}");
    assert_eq!(track["upstreams"].as_array().map(Vec::len), Some(1), "{status}");
    let upstream = track["upstreams"][0].as_str().context("an upstream")?;
    let text = ask(&homes[2], &far, &["status"])?;
    for part in [
        here.as_str(),
        "neighbour",
        "HEALTH",
        "SUBSCRIBERS",
        &upstream[..16],
        "relay cellar, ",
        "(attic)",
        // As it was dialled, not as a socket of IPv6 tells it.
        &format!("  {}  ", middle.listen()),
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let text = ask(&homes[1], &near, &["status"])?;
    assert!(text.contains("published here"), "{text}");

    let text = ask(&homes[2], &far, &["route", "live/room"])?;
    let first = format!("live/room is published at {}, ", &origin[..16]);
    assert!(text.starts_with(&first) && text.contains("VIA"), "{text}");
    assert!(text.contains("primary"), "{text}");

    let trace: Value = serde_json::from_str(&ask(&homes[2], &far, &["trace", "live/room", "--json"])?)?;
    assert_eq!(trace["outcome"], "reached", "{trace}");
    let hops = trace["hops"].as_array().context("hops")?;
    assert_eq!(hops.first().map(|hop| &hop["node"]), Some(&Value::from(here)));
    assert_eq!(hops.last().map(|hop| &hop["node"]), Some(&Value::from(origin)));
    for pair in hops.windows(2) {
        assert_eq!(pair[0]["upstream"], pair[1]["node"], "{trace}");
    }
    let text = ask(&homes[2], &far, &["trace", "live/room"])?;
    assert!(text.contains("PULLS FROM") && text.contains("distance"), "{text}");
    assert!(text.contains("(attic)") && text.contains("(cellar)"), "{text}");
    Ok(())
}

#[test]
fn the_whole_mesh_is_shown_without_addresses_and_names() -> Result<()> {
    let homes = [Home::new()?, Home::new()?, Home::new()?];
    let middle = founder(&homes[0])?;
    let others = [
        joiner(&homes[1], &homes[0], &middle)?,
        joiner(&homes[2], &homes[0], &middle)?,
    ];
    let mut publisher = homes[1].publish_lines("chat", &others[0].url("secretroom"), &[])?;
    let subscriber = homes[2]
        .subscribe_lines("chat", &others[1].url("secretroom"), &[])
        .start()?;
    publisher.say("hello")?;
    subscriber.line("| hello")?;
    let mut ids = vec![node(&middle)?, node(&others[0])?, node(&others[1])?];
    ids.sort();
    let public = http::get_as(middle.listen(), "/api/v1/overlay", "localhost")?;
    ensure!(public.status == 200, "{public:?}");
    let private = http::get(others[0].admin(), "/api/v1/overlay")?;
    for body in [public.body, private.body] {
        let overlay: Value = serde_json::from_str(&body)?;
        let nodes = overlay["nodes"].as_array().context("nodes")?;
        let found: Vec<_> = nodes.iter().filter_map(|node| node["node"].as_str()).collect();
        assert_eq!(found, ids, "{body}");
        assert!(
            nodes.iter().all(|node| node["links"][0]["node"].is_string()),
            "{body}"
        );
        for secret in ["127.0.0.1", "secretroom", "chat"] {
            assert!(!body.contains(secret), "{secret} is in {body}");
        }
    }
    let closed = http::get_as(others[0].listen(), "/api/v1/overlay", "localhost")?;
    assert_eq!(closed.status, 404, "{closed:?}");
    assert!((middle.metric("moq_neighbours")? - 2.0).abs() < 0.1);
    assert!(middle.metric("moq_gossip_bytes_total")? > 0.0);
    Ok(())
}

#[test]
fn a_relay_that_cannot_be_asked_is_told_in_one_sentence() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().args(["--admin-token", "open sesame"]).start()?;
    let admin = relay.admin().to_string();
    let token = ["--admin-token", "open sesame"];
    let cases: [(&[&str], i32, &str); 6] = [
        (&["status", "--admin", "127.0.0.1:1"], CONNECT, "is it running"),
        (&["status", "--admin", &admin], REFUSED, "HEADWATER_ADMIN_TOKEN"),
        (
            &["status", "--admin", &admin, "--admin-token", "wrong one"],
            REFUSED,
            "this token",
        ),
        (
            &["route", "a/b", "--admin", &admin, token[0], token[1]],
            REFUSED,
            "in no mesh",
        ),
        (
            &["trace", "a/b", "--admin", &admin, token[0], token[1]],
            REFUSED,
            "in no mesh",
        ),
        (&["trace", "a//b", "--admin", &admin], 2, "empty field"),
    ];
    for (args, expected, part) in cases {
        let (code, lines) = home.moq(args).finish()?;
        let told: Vec<_> = lines.iter().filter(|line| line.starts_with("moq: ")).collect();
        assert_eq!((code, told.len()), (expected, 1), "{args:?}: {lines:?}");
        assert!(told[0].contains(part), "{args:?}: {lines:?}");
    }
    let status = home
        .moq(["status", "--admin", &admin, token[0], token[1]])
        .output()?;
    assert!(status.contains("in no mesh"), "{status}");
    Ok(())
}
