//! Ctrl-C: exit code 130 of `moq --help`, and what was written so far is complete.

use anyhow::{Context as _, Result};
use headwater_tests::media::{self, GROUP, H264_AAC};
use headwater_tests::{Home, Process};

/// Stopped by ctrl-C.
const INTERRUPTED: i32 = 130;

/// Most pictures between two references in test media.
const BETWEEN: usize = 2;

/// As ctrl-C would: the end comes with the documented code, quietly.
fn interrupt(process: &Process) -> Result<()> {
    process.signal("INT")?;
    assert_eq!(process.exit()?, INTERRUPTED, "{:?}", process.lines());
    let told = process.lines().iter().any(|line| line.starts_with("moq: "));
    assert!(!told, "{:?}", process.lines());
    Ok(())
}

#[test]
fn one_who_waits_or_reads_lines() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    let url = relay.url("room");
    let subscriber = home.subscribe_lines("chat", &url, &[]).start()?;
    subscriber.line("wait")?;
    interrupt(&subscriber)?;
    let subscriber = home.subscribe_lines("chat", &url, &[]).start()?;
    subscriber.line("wait")?;
    let mut publisher = home.publish_lines("chat", &url, &[])?;
    publisher.say("hello")?;
    subscriber.line("| hello")?;
    interrupt(&subscriber)?;
    interrupt(&publisher.process)
}

#[test]
fn media_written_so_far_can_be_played_and_the_publisher_stops_as_well() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    let (clip, result) = (home.file("clip.mp4"), home.file("result.mp4"));
    media::encode(&H264_AAC, 20, &clip)?;
    let url = relay.url("live/cam");
    let subscriber = home.moq(["subscribe", &url, "-o", "result.mp4"]).start()?;
    subscriber.line("wait")?;
    let publisher = home.moq(["publish", "--json", &url, "clip.mp4"]).start()?;
    publisher.more_lines("\"groups\"", 4)?;
    interrupt(&subscriber)?;
    interrupt(&publisher)?;
    let (sent, got) = (media::packets(&clip)?, media::packets(&result)?);
    let first = media::position(&sent.0, &got.0).context("video packets")?;
    assert!(
        first % GROUP == 0 && got.0.len() >= GROUP,
        "{first}, {}",
        got.0.len()
    );
    media::position(&sent.1, &got.1).context("audio packets")?;
    // A picture that comes late in decoding order is shown without those between it and the one before, at most two.
    let mut pictures = media::pictures(&result)?;
    pictures.truncate(got.0.len() - BETWEEN);
    media::position(&media::pictures(&clip)?, &pictures).context("pictures")?;
    Ok(())
}
