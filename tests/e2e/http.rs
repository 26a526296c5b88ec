//! What a relay answers over HTTP: to its operator, and to browsers on its public port.

use anyhow::Result;
use headwater_tests::{Home, http};

#[test]
fn the_operator_sees_health_readiness_and_metrics() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    for path in ["/health", "/ready"] {
        let answer = http::get(relay.admin(), path)?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
    let metrics = http::get(relay.admin(), "/metrics")?;
    assert_eq!(metrics.status, 200);
    assert!(
        metrics.body.lines().any(|line| line.starts_with("# TYPE moq_")),
        "{}",
        metrics.body
    );
    assert!(metrics.body.trim_end().ends_with("# EOF"), "{}", metrics.body);
    Ok(())
}

#[test]
fn the_operator_sees_sessions_and_tracks_of_a_broadcast() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    let url = relay.url("room");
    let mut publisher = home.publish_lines("chat", &url, &[])?;
    let subscriber = home.subscribe_lines("chat", &url, &[]).start()?;
    publisher.say("hello")?;
    subscriber.line("| hello")?;
    let tracks: serde_json::Value = serde_json::from_str(&http::get(relay.admin(), "/api/v1/tracks")?.body)?;
    assert!(tracks.to_string().contains("chat"), "{tracks}");
    let sessions: serde_json::Value =
        serde_json::from_str(&http::get(relay.admin(), "/api/v1/sessions")?.body)?;
    assert!(sessions.to_string().contains("127.0.0.1"), "{sessions}");
    assert!(publisher.process.is_running() && subscriber.is_running());
    Ok(())
}

#[test]
fn pages_of_strangers_cannot_use_the_operator_s_interface() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    let answer = http::get_as(relay.admin(), "/metrics", "evil.example")?;
    assert!((400..500).contains(&answer.status), "{answer:?}");
    Ok(())
}

#[test]
fn the_page_and_the_certificate_s_hash_are_served_beside_quic() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    let page = http::get_as(relay.listen(), "/", "localhost")?;
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html")),
        "{:?}",
        page.headers
    );
    let hashes = http::get_as(relay.listen(), "/certificate.sha256", "localhost")?;
    assert_eq!(hashes.status, 200);
    let first = hashes.body.lines().next().unwrap_or_default();
    assert!(
        first.len() == 64 && first.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{}",
        hashes.body
    );
    Ok(())
}
