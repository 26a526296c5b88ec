//! Text instead of media: each line of a publisher's input is an object of one track.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use headwater_tests::Home;
use serde_json::Value;

#[test]
fn lines_arrive_in_order_and_both_ends_finish_with_the_input() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    let url = relay.url("room/7");
    let mut publisher = home.publish_lines("chat", &url, &[])?;
    let subscriber = home.subscribe_lines("chat", &url, &[]).start()?;
    let sent: Vec<String> = (0..200).map(|number| format!("line {number} äöü")).collect();
    for (index, line) in sent.iter().enumerate() {
        publisher.say(line)?;
        if index == 0 {
            // Once one is through, the subscription stands, and all later ones must come.
            subscriber.line("| line 0 ")?;
        }
    }
    publisher.end()?;
    subscriber.success()?;
    let lines = subscriber.lines();
    let got: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("| ")).collect();
    assert_eq!(got, sent);
    Ok(())
}

#[test]
fn objects_as_json_tell_where_they_stand() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    let url = relay.web_url("room/7");
    let mut publisher = home.publish_lines("log", &url, &[])?;
    let subscriber = home
        .moq(["subscribe", "--track", "log", "--json", &url])
        .start()?;
    publisher.say("one")?;
    let first: Value = serde_json::from_str(subscriber.line("\"payload\"")?.trim_start_matches("| "))?;
    assert_eq!(first["size"], 3, "{first}");
    assert!(
        first["group"].is_u64() && first["subgroup"].is_u64() && first["object"].is_u64(),
        "{first}"
    );
    let payload = first["payload"].as_str().context("no payload")?;
    assert_eq!(base64::engine::general_purpose::STANDARD.decode(payload)?, b"one");
    Ok(())
}

#[test]
fn namespaces_are_listed_as_they_come_and_go() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    let list = home.moq(["list", "--json", &relay.url("room")]).start()?;
    let publisher = home.publish_lines("chat", &relay.url("room/7"), &[])?;
    list.line("room/7")?;
    drop(publisher);
    list.more_lines("room/7", 1)?;
    Ok(())
}
