//! Media through a relay: what arrives is what was sent, packet by packet and picture by picture.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use headwater_tests::media::{self, AV1_OPUS, Codecs, FRAME_RATE, GROUP, H264_AAC, VP9_OPUS};
use headwater_tests::{Home, Process, Relay};

/// How far the border between two packets of sound may lie from a keyframe, in seconds: three packets of AAC.
const PACKETS: f64 = 0.065;

/// Checks that `result` holds the end of `source` without a gap, and gives the video frame it begins with.
fn compare(source: &Path, result: &Path) -> Result<usize> {
    let (sent, got) = (media::packets(source)?, media::packets(result)?);
    let video = media::position(&sent.0, &got.0).context("video packets")?;
    let audio = media::position(&sent.1, &got.1).context("audio packets")?;
    ensure!(
        video + got.0.len() == sent.0.len(),
        "the last {} frames are missing",
        sent.0.len() - video - got.0.len()
    );
    ensure!(
        audio + got.1.len() == sent.1.len(),
        "the last of {} audio packets are missing",
        sent.1.len()
    );
    ensure!(
        video % GROUP == 0,
        "begins with frame {video}, which is no keyframe"
    );
    // Each track is joined at its newest group, and one may just have begun with the picture while the sound's still went on: a
    // group apart or none, and nothing between. Which of the two is a race of live subscriptions that nobody decides.
    let seconds = (share(video, sent.0.len()) - share(audio, sent.1.len())) * share(sent.0.len(), FRAME_RATE);
    let apart = share(GROUP, FRAME_RATE);
    ensure!(
        seconds.abs() < PACKETS || (seconds - apart).abs() < PACKETS,
        "the sound begins {seconds:.2} s before the picture"
    );
    let pictures =
        media::position(&media::pictures(source)?, &media::pictures(result)?).context("pictures")?;
    ensure!(
        pictures == video,
        "decoded from picture {pictures} on, delivered from {video} on"
    );
    Ok(video)
}

fn share(part: usize, whole: usize) -> f64 {
    f64::from(u32::try_from(part).unwrap_or(u32::MAX)) / f64::from(u32::try_from(whole).unwrap_or(u32::MAX))
}

/// Waits until the publisher, started with `--json`, is at its `count`th group of pictures.
fn published_groups(publisher: &Process, count: u64) -> Result<()> {
    publisher.find("groups", |line| {
        let progress: serde_json::Value = serde_json::from_str(line.strip_prefix("| ")?).ok()?;
        (progress["groups"].as_u64()? >= count).then_some(())
    })
}

struct Case {
    codecs: &'static Codecs,
    url: fn(&Relay, &str) -> String,
}

/// Why an early subscriber is not held to group 0: media is paced by the clock, and between the catalog and the subscriptions that
/// follow it a busy machine may let the first second pass. Then group 1 is the newest.
const HURRY: &str = "one who was waiting starts with the first group or the second";

/// A subscriber that waits before the publisher comes gets the file from its beginning to its last frame.
fn file_to_early_subscriber(case: &Case) -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    let (clip, result) = (home.file("clip.mp4"), home.file("result.mp4"));
    media::encode(case.codecs, 4, &clip)?;
    let url = (case.url)(&relay, "live/cam");
    let subscriber = home.moq(["subscribe", &url, "-o", "result.mp4"]).start()?;
    subscriber.line("wait")?;
    let publisher = home.moq(["publish", &url, "clip.mp4"]).start()?;
    publisher.success()?;
    subscriber.success()?;
    assert!(compare(&clip, &result)? <= GROUP, "{}: {HURRY}", case.codecs.name);
    Ok(())
}

#[test]
fn h264_and_aac_reach_an_early_subscriber_whole_over_raw_quic() -> Result<()> {
    file_to_early_subscriber(&Case {
        codecs: &H264_AAC,
        url: Relay::url,
    })
}

#[test]
fn vp9_and_opus_reach_an_early_subscriber_whole_over_webtransport() -> Result<()> {
    file_to_early_subscriber(&Case {
        codecs: &VP9_OPUS,
        url: Relay::web_url,
    })
}

#[test]
fn av1_and_opus_reach_an_early_subscriber_whole_over_raw_quic() -> Result<()> {
    file_to_early_subscriber(&Case {
        codecs: &AV1_OPUS,
        url: Relay::url,
    })
}

/// One who comes in the middle starts at a keyframe and gets all that follows.
fn file_to_late_joiner(case: &Case) -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    let (clip, result) = (home.file("clip.mp4"), home.file("result.mp4"));
    media::encode(case.codecs, 8, &clip)?;
    let url = (case.url)(&relay, "live/cam");
    let publisher = home.moq(["publish", "--json", &url, "clip.mp4"]).start()?;
    published_groups(&publisher, 4)?;
    let subscriber = home.moq(["subscribe", &url, "-o", "result.mp4"]).start()?;
    publisher.success()?;
    subscriber.success()?;
    let first = compare(&clip, &result)?;
    assert!(first > 0, "a late joiner got the beginning, which is past");
    Ok(())
}

#[test]
fn a_late_joiner_of_h264_starts_at_a_keyframe_and_misses_nothing_after_it() -> Result<()> {
    file_to_late_joiner(&Case {
        codecs: &H264_AAC,
        url: Relay::web_url,
    })
}

#[test]
fn a_late_joiner_of_vp9_starts_at_a_keyframe_and_misses_nothing_after_it() -> Result<()> {
    file_to_late_joiner(&Case {
        codecs: &VP9_OPUS,
        url: Relay::url,
    })
}

/// A live pipe is as good as a file; two subscribers, one before and one after its beginning, each over another transport.
fn pipe_to_two_subscribers(codecs: &Codecs) -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    let clip = home.file("clip.mp4");
    media::encode(codecs, 6, &clip)?;
    let url = relay.url("live/cam");
    let early = home.moq(["subscribe", &url, "-o", "early.mp4"]).start()?;
    early.line("wait")?;
    let (camera, pipe) = media::live(&clip)?;
    let publisher = home.moq(["publish", "--json", &url, "-"]).stdin(pipe).start()?;
    published_groups(&publisher, 3)?;
    let late = home
        .moq(["subscribe", &relay.web_url("live/cam"), "-o", "late.mp4"])
        .start()?;
    camera.success()?;
    publisher.success()?;
    early.success()?;
    late.success()?;
    assert!(
        compare(&clip, &home.file("early.mp4"))? <= GROUP,
        "{}: {HURRY}",
        codecs.name
    );
    assert!(compare(&clip, &home.file("late.mp4"))? > 0);
    Ok(())
}

#[test]
fn a_pipe_of_h264_and_aac_reaches_early_and_late_subscribers() -> Result<()> {
    pipe_to_two_subscribers(&H264_AAC)
}

#[test]
fn a_pipe_of_vp9_and_opus_reaches_early_and_late_subscribers() -> Result<()> {
    pipe_to_two_subscribers(&VP9_OPUS)
}
